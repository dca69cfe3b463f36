//! Reading the chain of lines, and finding the first one that is not what was written.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::index::Index;
use super::{Head, LINE_BYTES_MAX, Line, head};
use crate::model::{Record, Time};

/// Patience with a note of the end that lags behind: longer than a disk takes for one append.
const NOTE_PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two looks at it.
const NOTE_PAUSE: Duration = Duration::from_millis(50);
/// The note of the end is written right after each append, so that a crash leaves it behind by the lines of
/// one append: of one turn of the engine, which brings a few, or so many while it catches up with a disk that
/// was full.
pub const CRASH_LINES_MAX: u64 = 64;
/// Lines that doubt the end, told of one journal: the first ones. Each is of one start.
const DOUBTS_TOLD_MAX: usize = 100;

/// Names the format; its hash is what the first line points back to. Another version of the format
/// has another name, so that it cannot be read as this one.
const FORMAT: &str = "stormglass journal 1";

/// A line as it is written; [`Line`] is the same, read.
#[derive(Serialize)]
pub(super) struct LineRef<'a> {
    pub n: u64,
    pub at: Time,
    pub prev: &'a str,
    pub seq: u64,
    pub record: &'a Record,
}

/// The first line that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("line {line} {kind}")]
pub struct Broken {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub kind: BrokenKind,
}

/// See [`Broken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenKind {
    /// Its bytes are not those that were written.
    #[error("was changed")]
    Changed,
    /// It cannot be read at all.
    #[error("is damaged")]
    Damaged,
    /// It is gone, and later ones are there.
    #[error("is missing")]
    Missing,
    /// Another line is in its place, with a number that was before.
    #[error("is out of order")]
    OutOfOrder,
    /// It was written, and the journal ends before it.
    #[error("was cut off")]
    Cut,
    /// It points back to something else than the name of this version of the format.
    #[error("does not begin a journal of this version")]
    Foreign,
}

/// A journal that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Its lines.
    pub lines: u64,
    /// The hash of its last line.
    pub hash: String,
    /// Whether its end was checked against what was noted beside it.
    pub end_checked: bool,
    /// Lines after the end that is noted beside it: more than [`CRASH_LINES_MAX`] mean that an older note was
    /// put there, and that lines may have been cut off.
    #[serde(default)]
    pub lines_after_noted: u64,
    /// Starts that found signs of lines cut off or replaced before them, the first ones. Nothing takes
    /// them away again: the lines since are whole, of those before nobody can say it.
    #[serde(default)]
    pub doubts: Vec<Doubt>,
    /// Bytes after its last line, of one that was never finished nor acknowledged: the next start drops
    /// them.
    #[serde(default)]
    pub unfinished_bytes: u64,
}

/// What a start found and wrote into the journal: see [`Record::Started`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The line that says so, from 1.
    pub line: u64,
    /// When.
    pub at: Time,
    /// What was found, a sentence each.
    pub found: Vec<String>,
}

impl Verified {
    /// Whether what is noted beside it says where it ends, but for what a crash leaves unnoted.
    pub const fn is_end_known(&self) -> bool {
        self.end_checked && self.lines_after_noted <= CRASH_LINES_MAX
    }
}

/// What opening a journal finds out.
#[derive(Debug)]
pub(super) struct Scan {
    /// After the last line; after the last one written, when lines were cut off.
    pub head: Head,
    /// Bytes up to and with the last whole line; what follows is torn.
    pub good_bytes: u64,
    pub broken: Option<Broken>,
    /// Where its lines begin.
    pub index: Index,
    /// Bytes behind the last whole line.
    unfinished_bytes: u64,
    /// Lines that doubt what is before them.
    doubts: Vec<Doubt>,
    /// Bytes and head before the first break.
    before_break: Option<(u64, Head)>,
    /// What was noted beside it.
    noted: Option<Head>,
}

impl Scan {
    /// Lines after the noted end; none when no end is noted.
    pub(super) fn lines_after_noted(&self) -> u64 {
        let noted = self.noted.as_ref().map(|noted| noted.lines);
        noted.map_or(0, |noted| self.head.lines.saturating_sub(noted))
    }
}

/// Reads a journal line by line.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<File>,
    raw: Vec<u8>,
    position: u64,
}

/// Checks a whole journal, and its end against `expected` or, without it, against what is noted
/// beside the file. A torn end is no fault: it was never acknowledged.
pub fn verify(path: &Path, expected: Option<&Head>) -> io::Result<Result<Verified, Broken>> {
    verify_within(path, expected, NOTE_PATIENCE)
}

/// The same with another patience with a note that lags behind.
pub(super) fn verify_within(
    path: &Path,
    expected: Option<&Head>,
    patience: Duration,
) -> io::Result<Result<Verified, Broken>> {
    let noted = expected.cloned().or_else(|| head::read_beside(path));
    let scan = scan(path, noted.clone())?;
    let lines_after_noted = match (expected, scan.lines_after_noted()) {
        // Whoever noted it knows that more came.
        (Some(_), _) | (None, 0) => 0,
        (None, after) => after.min(unnoted(path, &scan.head, patience)),
    };
    Ok(match scan.broken {
        Some(broken) => Err(broken),
        None => Ok(Verified {
            lines: scan.head.lines,
            hash: scan.head.hash,
            end_checked: noted.is_some(),
            lines_after_noted,
            doubts: scan.doubts,
            unfinished_bytes: scan.unfinished_bytes,
        }),
    })
}

/// Lines up to `end` that the note does not know by now: a daemon that writes meanwhile notes them in a
/// moment.
fn unnoted(path: &Path, end: &Head, patience: Duration) -> u64 {
    let mut left = patience;
    loop {
        let noted = head::read_beside(path).map_or(0, |noted| noted.lines);
        let after = end.lines.saturating_sub(noted);
        if after == 0 || left.is_zero() {
            return after;
        }
        std::thread::sleep(NOTE_PAUSE);
        left = left.saturating_sub(NOTE_PAUSE);
    }
}

/// The hash of a line's bytes, in hex.
pub(super) fn hash(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a String takes any text");
    }
    hex
}

/// What the first line points back to.
pub(super) fn genesis() -> String {
    hash(FORMAT.as_bytes())
}

/// Bytes up to the end.
fn rest(reader: &mut impl io::Read) -> io::Result<u64> {
    io::copy(reader, &mut io::sink())
}

/// Reads a journal once and checks every link.
pub(super) fn scan(path: &Path, noted: Option<Head>) -> io::Result<Scan> {
    let mut lines = Lines::open(path, 0)?;
    let mut check = Check::new(noted);
    while lines.read_raw()? {
        let Some(line) = lines.raw.strip_suffix(b"\n") else {
            let read = lines.raw.len() as u64;
            check.scan.unfinished_bytes = read + rest(&mut lines.reader)?;
            break;
        };
        check.line(line);
    }
    Ok(check.end())
}

impl Scan {
    /// Takes unreadable lines that were never acknowledged as part of the torn end: after a power
    /// cut, the pages of one append may be there in any order.
    pub fn without_torn_lines(mut self) -> Self {
        let Some((good_bytes, head)) = self.before_break.take() else {
            return self;
        };
        let torn = self
            .noted
            .as_ref()
            .is_some_and(|noted| noted.lines <= head.lines);
        let unreadable = self
            .broken
            .as_ref()
            .is_some_and(|broken| broken.kind == BrokenKind::Damaged && broken.line > head.lines);
        if torn && unreadable {
            self.good_bytes = good_bytes;
            self.head = head;
            self.broken = None;
        }
        self
    }
}

/// Follows the chain and remembers the first break.
struct Check {
    scan: Scan,
    /// The last link did not hold; the next line says which side of it was changed.
    loose: bool,
}

impl Check {
    fn new(noted: Option<Head>) -> Self {
        Self {
            scan: Scan {
                head: Head::default(),
                good_bytes: 0,
                broken: None,
                index: Index::default(),
                unfinished_bytes: 0,
                doubts: Vec::new(),
                before_break: None,
                noted,
            },
            loose: false,
        }
    }

    /// Takes the bytes of the next line, without its newline.
    fn line(&mut self, bytes: &[u8]) {
        let before = self.scan.head.clone();
        let mut here = Head {
            lines: before.lines.saturating_add(1),
            hash: hash(bytes),
        };
        // The whole line is read, not only the link: a line that holds no record is damaged.
        let line = serde_json::from_slice::<Line>(bytes).ok();
        if self.scan.broken.is_some() {
            self.say_more(&before, line.as_ref());
        } else if let Some(kind) = self.judge(&before, &here, line.as_ref()) {
            self.loose = kind == BrokenKind::Changed;
            let line = here.lines;
            self.scan.broken = Some(Broken { line, kind });
            self.scan.before_break = Some((self.scan.good_bytes, before));
        }
        if let Some(line) = line {
            // Behind a gap, numbers go on as they were written.
            if self.scan.broken.is_some() {
                here.lines = here.lines.max(line.n);
            }
            self.doubt(line);
        }
        self.scan.index.take(here.lines, self.scan.good_bytes);
        self.scan.head = here;
        self.scan.good_bytes += bytes.len() as u64 + 1;
    }

    /// Keeps what a start found before this line.
    fn doubt(&mut self, line: Line) {
        let Record::Started { found, .. } = line.record else {
            return;
        };
        if !found.is_empty() && self.scan.doubts.len() < DOUBTS_TOLD_MAX {
            let (line, at) = (line.n, line.at);
            self.scan.doubts.push(Doubt { line, at, found });
        }
    }

    /// What is wrong with a line that follows good ones.
    fn judge(&self, before: &Head, here: &Head, line: Option<&Line>) -> Option<BrokenKind> {
        let Some(line) = line else {
            return Some(BrokenKind::Damaged);
        };
        // The line the noted end speaks of must be the one that was written.
        let noted = self.scan.noted.as_ref();
        let contradicts = |noted: &Head| noted.lines == here.lines && noted.hash != here.hash;
        match line.n.cmp(&here.lines) {
            Ordering::Greater => Some(BrokenKind::Missing),
            Ordering::Less => Some(BrokenKind::OutOfOrder),
            Ordering::Equal if line.prev != before.hash && before.lines == 0 => {
                Some(BrokenKind::Foreign)
            }
            Ordering::Equal if line.prev != before.hash => Some(BrokenKind::Changed),
            Ordering::Equal => noted
                .is_some_and(contradicts)
                .then_some(BrokenKind::Changed),
        }
    }

    /// What later lines say of the first break.
    fn say_more(&mut self, before: &Head, line: Option<&Line>) {
        let Some(broken) = &mut self.scan.broken else {
            return;
        };
        if self.loose {
            // A line that points to the one before as it is now shows that this one is genuine: so
            // it was the one before that which was changed.
            self.loose = false;
            if line.is_some_and(|line| line.prev == before.hash) {
                broken.line -= 1;
            }
        }
        if broken.kind == BrokenKind::Missing && line.is_some_and(|line| line.n == broken.line) {
            broken.kind = BrokenKind::OutOfOrder;
        }
    }

    fn end(self) -> Scan {
        let mut scan = self.scan;
        let noted_lines = scan.noted.as_ref().map_or(0, |noted| noted.lines);
        let last_line_changed = noted_lines == scan.head.lines;
        match &mut scan.broken {
            // The noted end shows that the last line is genuine, as a later line would.
            Some(broken) if self.loose && scan.noted.as_ref() == Some(&scan.head) => {
                broken.line -= 1;
            }
            None if noted_lines > scan.head.lines => {
                scan.broken = Some(Broken {
                    line: scan.head.lines + 1,
                    kind: BrokenKind::Cut,
                });
            }
            _ => {}
        }
        // The chain goes on from what was written, not from what is there now, so that a line that
        // is gone or changed at the very end stays visible when others follow.
        let end_differs = last_line_changed || noted_lines > scan.head.lines;
        if let Some(noted) = &scan.noted
            && scan.broken.is_some()
            && end_differs
        {
            scan.head = noted.clone();
        }
        scan
    }
}

impl Lines {
    pub(super) fn open(path: &Path, begins: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(begins))?;
        Ok(Self {
            reader: BufReader::new(file),
            raw: Vec::new(),
            position: 0,
        })
    }

    /// Reads the bytes of the next line with its newline; `false` at the end.
    fn read_raw(&mut self) -> io::Result<bool> {
        self.raw.clear();
        // One more than the longest line and its newline, so that a longer one is told apart.
        let limit = LINE_BYTES_MAX as u64 + 2;
        let mut limited = io::Read::take(&mut self.reader, limit);
        limited.read_until(b'\n', &mut self.raw)?;
        self.position += 1;
        Ok(!self.raw.is_empty())
    }
}

impl Iterator for Lines {
    /// A line, or the number of one that cannot be read. A torn end is not a line.
    type Item = io::Result<Result<Line, Broken>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.read_raw() {
            Err(error) => Some(Err(error)),
            Ok(false) => None,
            Ok(true) => {
                let bytes = self.raw.strip_suffix(b"\n")?;
                let damaged = Broken {
                    line: self.position,
                    kind: BrokenKind::Damaged,
                };
                Some(Ok(serde_json::from_slice(bytes).map_err(|_| damaged)))
            }
        }
    }
}
