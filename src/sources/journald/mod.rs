//! The systemd journal, read by `journalctl` as a child process: its format is its own business.
//!
//! How far entries were handed over is kept over a restart as the journal's own cursor. While the engine
//! is behind, the child waits in its pipe: nothing is lost that the journal still holds. A child that
//! dies is started again where it was. Arguments are a vector; no shell is involved.

mod entry;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::{Clock, SignalSender};
use crate::config::{JournaldConfig, TailFrom};
use crate::model::Signal;
use entry::Reader;

/// The program that reads the journal.
const PROGRAM: &str = "journalctl";
/// Name of the source.
pub(super) const NAME: &str = "journald";
/// What is asked of each entry; others can be large.
const FIELDS: &str =
    "--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,_HOSTNAME,_TRANSPORT";
/// Longest entry that is read, in bytes as JSON; the rest of the journal goes on behind a longer one.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Most entries handed over at once.
const ENTRIES_PER_BATCH_MAX: usize = 4_096;
/// How long a batch waits for more entries, in milliseconds.
const BATCH_MS: u64 = 100;
/// Longest error text that is shown, in bytes.
const WHY_BYTES_MAX: u64 = 1_024;
/// Time between two writes of the cursor. Each writes what was handed over at the one before, so that a
/// crash has this long to lose nothing: entries come twice rather than never.
const CURSOR_EVERY: Duration = Duration::from_secs(5);
/// A child that lived this long was well; its death is no reason to wait long.
const WELL: Duration = Duration::from_mins(1);
/// Deaths in a row over the cursor after which it is given up: the journal no longer knows it.
const DEATHS_MAX: u32 = 4;
/// What the program says, beside that it cannot seek, when there is nothing to seek in.
const NO_JOURNAL: &str = "No journal files were";
/// Longest cursor that is believed, in bytes.
const CURSOR_BYTES_MAX: usize = 512;
/// Where the cursor is kept, in the data folder.
const FILE: &str = "journald.cursor";

/// Follows the journal until the future is dropped.
pub(super) async fn follow(
    config: JournaldConfig,
    data_dir: Option<PathBuf>,
    sender: SignalSender,
    clock: Clock,
) {
    let mut place = Place::read(data_dir.as_deref());
    let mut backoff = Backoff::new();
    let mut deaths = 0;
    loop {
        let began = Instant::now();
        let Some(why) = follow_once(&config, &mut place, &sender, &clock).await else {
            return;
        };
        if began.elapsed() >= WELL {
            backoff = Backoff::new();
            deaths = 0;
        }
        if blames_cursor(&why) {
            deaths += 1;
        }
        if deaths >= DEATHS_MAX && place.next.take().is_some() {
            sender.lose(
                1,
                &format!("where we were in the journal is not known to it any more: {why}"),
            );
        }
        sender.fail(&why);
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Follows it until that ends, and says why it did; `None` when nobody takes anything any more.
async fn follow_once(
    config: &JournaldConfig,
    place: &mut Place,
    sender: &SignalSender,
    clock: &Clock,
) -> Option<String> {
    if let Some(why) = no_journal(config).await {
        return Some(why);
    }
    match start(config, place.next.as_deref()) {
        Ok(child) => read(child, place, sender, clock).await,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("{PROGRAM} is not installed"))
        }
        Err(error) => Some(format!("{PROGRAM} cannot be started: {error}")),
    }
}

/// Why there is nothing to follow, if there is no journal here: asked for, since whoever follows one waits for it
/// without a word. `None` also when that cannot be found out.
async fn no_journal(config: &JournaldConfig) -> Option<String> {
    if !config.files.is_empty() {
        return None;
    }
    let asked = Command::new(PROGRAM)
        .args(["--lines=0", "--no-pager"])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = asked.await.ok()?;
    let said = String::from_utf8_lossy(&answer.stderr);
    let why = said.lines().find(|line| line.contains(NO_JOURNAL))?;
    Some(format!(
        "there is no journal here that we may read ({}): see whether systemd-journald runs, and that we are in the group systemd-journal",
        why.trim()
    ))
}

/// Starts the child behind a cursor, or where the config says.
fn start(config: &JournaldConfig, cursor: Option<&str>) -> io::Result<Child> {
    Command::new(PROGRAM)
        .args(arguments(config, cursor))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

fn arguments(config: &JournaldConfig, cursor: Option<&str>) -> Vec<String> {
    let fixed = [
        "--output=json",
        "--follow",
        "--all",
        "--quiet",
        "--no-pager",
        FIELDS,
    ];
    let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
    // Values stand in the same argument as their option, so that none can be taken for another option.
    arguments.extend(config.units.iter().map(|unit| format!("--unit={unit}")));
    arguments.extend(config.files.iter().map(|file| format!("--file={file}")));
    match (cursor, config.from) {
        (Some(cursor), _) => {
            arguments.extend(["--no-tail".to_owned(), format!("--after-cursor={cursor}")]);
        }
        (None, TailFrom::Start) => arguments.push("--no-tail".to_owned()),
        (None, TailFrom::End) => arguments.push("--lines=0".to_owned()),
    }
    arguments
}

/// Reads what the child prints until it ends, and says why that was; `None` when nobody takes it.
async fn read(
    mut child: Child,
    place: &mut Place,
    sender: &SignalSender,
    clock: &Clock,
) -> Option<String> {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Some(format!("{PROGRAM} has no output"));
    };
    // Read beside the entries: a full pipe would stop the child.
    let complaint = tokio::spawn(complaint(stderr));
    sender.recovered();
    let mut lines = Lines::new(BufReader::new(stdout));
    let mut reader = Reader::default();
    loop {
        let batch = batch(&mut lines, &mut reader, clock).await;
        let Ok((signals, cursor, ended)) = batch else {
            break;
        };
        reader.tell(sender);
        if !signals.is_empty() {
            sender.send(signals).await.ok()?;
        }
        place.handed_over(cursor);
        if ended {
            break;
        }
    }
    let status = child.wait().await;
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let said = complaint.await.unwrap_or_default();
    Some(format!("{PROGRAM} ended ({status}): {}", said.trim()))
}

/// Entries that come within a moment: what they hold, the cursor of the last, and whether no more come.
async fn batch<R: AsyncBufRead + Unpin>(
    lines: &mut Lines<R>,
    reader: &mut Reader,
    clock: &Clock,
) -> io::Result<(Vec<Signal>, Option<String>, bool)> {
    let (mut signals, mut cursor) = (Vec::new(), None);
    let mut until = None;
    for _ in 0..ENTRIES_PER_BATCH_MAX {
        let next = match until {
            None => lines.next().await,
            Some(until) => match tokio::time::timeout_at(until, lines.next()).await {
                Ok(next) => next,
                Err(_elapsed) => break,
            },
        };
        match next? {
            None => return Ok((signals, cursor, true)),
            Some(line) => {
                let (signal, at) = reader.read(line, clock());
                signals.extend(signal);
                cursor = at.or(cursor);
            }
        }
        until.get_or_insert_with(|| Instant::now() + Duration::from_millis(BATCH_MS));
    }
    Ok((signals, cursor, false))
}

async fn complaint(stderr: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    let mut first = stderr.take(WHY_BYTES_MAX);
    // What could not be read is not said.
    let _ = first.read_to_end(&mut said).await;
    // The rest goes nowhere, so that the child never waits for us.
    let mut rest = first.into_inner();
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Lines of bounded length. Giving up while one is waited for loses nothing of it.
struct Lines<R> {
    from: R,
    line: Vec<u8>,
    /// The line was longer than is read; its rest is passed over.
    is_too_long: bool,
    is_given: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    fn new(from: R) -> Self {
        Self {
            from,
            line: Vec::new(),
            is_too_long: false,
            is_given: false,
        }
    }

    /// The next line without its end, empty for one that was too long; `None` at the end.
    async fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.is_given) {
            self.line.clear();
            self.is_too_long = false;
        }
        loop {
            let held = self.from.fill_buf().await?;
            if held.is_empty() {
                return Ok(None);
            }
            let end = held.iter().position(|byte| *byte == b'\n');
            let piece = &held[..end.unwrap_or(held.len())];
            if self.line.len() + piece.len() > ENTRY_BYTES_MAX {
                self.is_too_long = true;
                self.line.clear();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(piece);
            }
            let taken = piece.len() + usize::from(end.is_some());
            self.from.consume(taken);
            if end.is_some() {
                self.is_given = true;
                return Ok(Some(&self.line));
            }
        }
    }
}

/// Where we are in the journal, and what of that is on the disk.
struct Place {
    file: Option<PathBuf>,
    /// The cursor of the last entry that was handed over.
    next: Option<String>,
    /// The same as of the last write.
    settled: Option<String>,
    written: Option<String>,
    written_at: Instant,
}

impl Place {
    fn read(data_dir: Option<&Path>) -> Self {
        let file = data_dir.map(|folder| folder.join(FILE));
        let kept = file.as_ref().and_then(|file| fs::read_to_string(file).ok());
        let kept = kept.map(|text| text.trim().to_owned());
        let next = kept.filter(|cursor| is_cursor(cursor));
        Self {
            file,
            settled: next.clone(),
            written: next.clone(),
            next,
            written_at: Instant::now(),
        }
    }

    fn handed_over(&mut self, cursor: Option<String>) {
        let Some(cursor) = cursor.filter(|cursor| is_cursor(cursor)) else {
            return;
        };
        if self.written_at.elapsed() >= CURSOR_EVERY {
            self.write();
            self.settled = self.next.take();
            self.written_at = Instant::now();
        }
        self.next = Some(cursor);
    }

    /// Writes what is settled, as a whole or not at all.
    fn write(&mut self) {
        let (Some(file), Some(cursor)) = (&self.file, &self.settled) else {
            return;
        };
        if self.written.as_ref() == Some(cursor) {
            return;
        }
        let draft = file.with_extension("draft");
        let kept = fs::write(&draft, cursor).and_then(|()| fs::rename(&draft, file));
        match kept {
            Ok(()) => self.written = Some(cursor.clone()),
            Err(error) => tracing::warn!("{}: {error}", file.display()),
        }
    }
}

impl Drop for Place {
    /// At an orderly stop what is in the queue is still taken.
    fn drop(&mut self) {
        self.settled = self.next.take();
        self.write();
    }
}

/// Whether the child says that it was the cursor. A journal that is not there is no reason to forget where
/// we were in it.
fn blames_cursor(why: &str) -> bool {
    why.contains("cursor") && !why.contains(NO_JOURNAL)
}

/// Whether a text is a cursor as journals write them, and no more.
fn is_cursor(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"=;-_".contains(&byte);
    !text.is_empty() && text.len() <= CURSOR_BYTES_MAX && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> JournaldConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn only_a_death_over_the_cursor_speaks_against_it() {
        let cases = [
            (
                "journalctl ended (exit status: 1): Failed to seek to cursor: Invalid argument",
                true,
            ),
            (
                "journalctl ended (exit status: 1): No journal files were found.\nFailed to seek to cursor: Invalid argument",
                false,
            ),
            (
                "journalctl ended (exit status: 1): No journal files were opened due to insufficient permissions.",
                false,
            ),
            ("journalctl ended (signal: 9 (SIGKILL)): ", false),
            ("journalctl is not installed", false),
        ];
        for (why, expected) in cases {
            assert_eq!(blames_cursor(why), expected, "{why}");
        }
    }

    #[test]
    fn arguments_say_where_to_begin_and_cannot_be_mistaken() {
        let told = |text: &str, cursor| arguments(&config(text), cursor)[6..].to_vec();
        let cases: [(&str, Option<&str>, &[&str]); 4] = [
            ("", None, &["--lines=0"]),
            ("from = \"start\"", None, &["--no-tail"]),
            (
                "",
                Some("s=1;i=2"),
                &["--no-tail", "--after-cursor=s=1;i=2"],
            ),
            (
                "units = [\"a.service\", \"--flush\"]\nfiles = [\"/j/a.journal\"]",
                None,
                &[
                    "--unit=a.service",
                    "--unit=--flush",
                    "--file=/j/a.journal",
                    "--lines=0",
                ],
            ),
        ];
        for (text, cursor, expected) in cases {
            assert_eq!(told(text, cursor), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn lines_are_bounded_and_those_behind_a_long_one_are_read() {
        let long = "x".repeat(3 * ENTRY_BYTES_MAX);
        let text = format!("one\n\n{long}\ntwo\nunfinished");
        let mut lines = Lines::new(BufReader::new(text.as_bytes()));
        let mut told = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            told.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(told, ["one", "", "", "two"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_cursor_that_is_kept_is_never_ahead_of_what_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let kept = || fs::read_to_string(folder.path().join(FILE)).ok();
        let mut place = Place::read(Some(folder.path()));
        place.handed_over(Some("s=1".to_owned()));
        tokio::time::advance(CURSOR_EVERY).await;
        place.handed_over(Some("s=2".to_owned()));
        assert_eq!(kept(), None, "a moment more");
        tokio::time::advance(CURSOR_EVERY).await;
        place.handed_over(Some("s=3".to_owned()));
        assert_eq!(kept().as_deref(), Some("s=1"));
        place.handed_over(Some("no cursor\n".to_owned()));
        drop(place);
        assert_eq!(kept().as_deref(), Some("s=3"));
        assert_eq!(
            Place::read(Some(folder.path())).next.as_deref(),
            Some("s=3")
        );
        fs::write(folder.path().join(FILE), "--flush $(x)").unwrap();
        assert_eq!(Place::read(Some(folder.path())).next, None);
    }
}
