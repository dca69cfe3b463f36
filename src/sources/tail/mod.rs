//! Log files, followed through rotation and truncation; patterns pick up files as they appear.
//!
//! Reading waits while the engine is behind, so that nothing is lost that the file still holds.
//! Offsets live in memory: after a restart a file is begun where `from` says.

mod file;
mod glob;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Clock, SignalSender};
use crate::config::{TailConfig, TailFrom};
use crate::model::logjoin::LogJoiner;
use crate::model::{Labels, LogLine, Signal, Time};
use file::{Begin, Follower, Turn};

/// Rest between two looks at the files, in milliseconds.
const POLL_MS: u64 = 250;

/// Looks between two expansions of the patterns: every five seconds.
const POLLS_PER_SCAN: u64 = 20;

/// Most files of one `[[sources.tail]]`.
const FILES_MAX: usize = 1_024;

/// Looks that a joined event waits for more lines before it counts as complete: a second.
const POLLS_PER_EVENT_MAX: u32 = 4;

/// Looks that a vanished file is kept open, for writers that still hold it: half a minute.
const POLLS_GONE_MAX: u32 = 120;

/// Most events handed over at once.
const EVENTS_PER_BATCH_MAX: usize = 8_192;

/// All files of one `[[sources.tail]]`.
struct Tail {
    config: TailConfig,
    host: String,
    files: BTreeMap<PathBuf, Followed>,
    polls: u64,
    /// What the last scan could not open.
    unopened: Option<String>,
}

/// A file and what is known of it.
struct Followed {
    follower: Follower,
    labels: Labels,
    joiner: LogJoiner,
    polls_idle: u32,
    polls_gone: u32,
}

/// What one look at the files found.
#[derive(Default)]
struct Look {
    signals: Vec<Signal>,
    cut_lines: u64,
    problem: Option<String>,
    more: bool,
}

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &TailConfig) -> String {
    format!("tail {}", config.paths.join(" "))
}

/// Follows the files until the future is dropped.
pub(super) async fn follow(config: TailConfig, host: String, sender: SignalSender, clock: Clock) {
    let mut tail = Tail {
        config,
        host,
        files: BTreeMap::new(),
        polls: 0,
        unopened: None,
    };
    loop {
        let now = clock();
        let looked = tokio::task::spawn_blocking(move || {
            let look = tail.look(now);
            (tail, look)
        });
        // Only a panic can keep a look from coming back, and its files with it.
        let Ok((back, look)) = looked.await else {
            sender.fail("following files failed; restart to try again");
            return;
        };
        tail = back;
        sender.count_rejected(look.cut_lines);
        match &look.problem {
            Some(problem) => sender.fail(problem),
            None => sender.recovered(),
        }
        if !look.signals.is_empty() && sender.send(look.signals).await.is_err() {
            return;
        }
        if !look.more {
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }
}

impl Tail {
    /// One look at all files.
    fn look(&mut self, now: Time) -> Look {
        let mut look = Look::default();
        if self.polls.is_multiple_of(POLLS_PER_SCAN) {
            self.scan();
        }
        look.problem.clone_from(&self.unopened);
        self.polls += 1;
        let mut lost = Vec::new();
        for (path, followed) in &mut self.files {
            if look.signals.len() >= EVENTS_PER_BATCH_MAX {
                look.more = true;
                break;
            }
            match followed.look(self.config.multiline, now, &mut look) {
                Ok(true) => {}
                Ok(false) => lost.push(path.clone()),
                Err(error) => {
                    look.problem = Some(format!("cannot read {}: {error}", path.display()));
                    lost.push(path.clone());
                }
            }
        }
        for path in lost {
            if let Some(followed) = self.files.remove(&path) {
                followed.close(self.config.multiline, now, &mut look);
            }
        }
        if self.files.is_empty() && look.problem.is_none() {
            let paths = self.config.paths.join(", ");
            look.problem = Some(format!("no file matches {paths}; looking again"));
        }
        look
    }

    /// Opens files that match and are not followed yet.
    fn scan(&mut self) {
        self.unopened = None;
        let first_scan = self.polls == 0;
        let begin = match self.config.from {
            TailFrom::End if first_scan => Begin::End,
            _ => Begin::Start,
        };
        let line_bytes_max = self.config.line_bytes_max as usize;
        for pattern in &self.config.paths {
            for path in glob::files(pattern, FILES_MAX) {
                if self.files.len() >= FILES_MAX || self.files.contains_key(&path) {
                    continue;
                }
                match Follower::open(&path, begin, line_bytes_max) {
                    Ok(follower) => {
                        let labels = labels(&self.config, &self.host, &path);
                        self.files.insert(path, Followed::new(follower, labels));
                    }
                    Err(error) => {
                        let why = format!("cannot open {}: {error}", path.display());
                        self.unopened = Some(why);
                    }
                }
            }
        }
    }
}

impl Followed {
    fn new(follower: Follower, labels: Labels) -> Self {
        Self {
            follower,
            labels,
            joiner: LogJoiner::new(),
            polls_idle: 0,
            polls_gone: 0,
        }
    }

    /// Reads what was added; `false` once the file is gone for good.
    fn look(&mut self, multiline: bool, now: Time, look: &mut Look) -> io::Result<bool> {
        let (labels, joiner) = (&self.labels, &mut self.joiner);
        let turn = self.follower.read(&mut |line, cut| {
            look.cut_lines += u64::from(cut);
            let event = if multiline {
                joiner.push(line)
            } else {
                Some(line.to_owned())
            };
            look.signals
                .extend(event.and_then(|text| signal(text, labels, now)));
        })?;
        match turn {
            Turn::Read => {
                look.more = true;
                (self.polls_idle, self.polls_gone) = (0, 0);
            }
            Turn::Idle => (self.polls_idle, self.polls_gone) = (self.polls_idle + 1, 0),
            Turn::Gone => {
                self.polls_idle += 1;
                self.polls_gone += 1;
            }
        }
        if self.polls_idle >= POLLS_PER_EVENT_MAX {
            let event = self.joiner.flush();
            look.signals
                .extend(event.and_then(|text| signal(text, labels, now)));
        }
        Ok(self.polls_gone < POLLS_GONE_MAX)
    }

    /// Gives what is held of a file that will not come back.
    fn close(mut self, multiline: bool, now: Time, look: &mut Look) {
        let (labels, joiner) = (&self.labels, &mut self.joiner);
        self.follower.end_line(&mut |line, cut| {
            look.cut_lines += u64::from(cut);
            let event = if multiline {
                joiner.push(line)
            } else {
                Some(line.to_owned())
            };
            look.signals
                .extend(event.and_then(|text| signal(text, labels, now)));
        });
        let event = self.joiner.flush();
        look.signals
            .extend(event.and_then(|text| signal(text, labels, now)));
    }
}

fn signal(text: String, labels: &Labels, now: Time) -> Option<Signal> {
    if text.trim().is_empty() {
        return None;
    }
    Some(Signal::Log(Box::new(LogLine {
        at: now,
        labels: labels.clone(),
        level: None,
        text: text.into_boxed_str(),
        trace: None,
        span: None,
    })))
}

/// Labels of a file's lines: service, host and path, then what the config says.
fn labels(config: &TailConfig, host: &str, path: &Path) -> Labels {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy());
    let service = config.service.as_deref().or(stem.as_deref());
    let shown = path.to_string_lossy();
    let given = config.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    let pairs = [("service", service.unwrap_or("log")), ("host", host)].into_iter();
    let with_path = pairs.clone().chain([("log.file.path", &*shown)]);
    Labels::from_pairs(with_path.chain(given.clone()))
        // A path or label longer than a label may be: the lines matter more.
        .or_else(|_| Labels::from_pairs(pairs))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tail(config: &str) -> Tail {
        Tail {
            config: toml::from_str(config).unwrap(),
            host: "n1".to_owned(),
            files: BTreeMap::new(),
            polls: 0,
            unopened: None,
        }
    }

    fn texts(look: &Look) -> Vec<(&str, &str)> {
        let lines = look.signals.iter().map(|signal| match signal {
            Signal::Log(line) => (line.labels.get("service").unwrap(), &*line.text),
            other => panic!("not a line: {other:?}"),
        });
        lines.collect()
    }

    /// Looks until nothing more is to be read and joined events are complete.
    fn settle(tail: &mut Tail) -> Look {
        let mut all = Look::default();
        for _ in 0..=POLLS_PER_EVENT_MAX + 2 {
            let look = tail.look(Time::from_secs(7));
            all.signals.extend(look.signals);
            all.cut_lines += look.cut_lines;
            all.problem = look.problem;
        }
        all
    }

    #[test]
    fn files_appear_vanish_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = folder.path().join("*.log");
        let mut tail = tail(&format!("paths = [{pattern:?}]\n"));
        let none = tail.look(Time::ZERO);
        let expected = format!("no file matches {}; looking again", pattern.display());
        assert_eq!(none.problem, Some(expected));

        fs::write(folder.path().join("cart.log"), "one\n  at frame\ntwo\n").unwrap();
        tail.polls = POLLS_PER_SCAN;
        let look = settle(&mut tail);
        assert_eq!(texts(&look), [("cart", "one\n  at frame"), ("cart", "two")]);
        assert_eq!(look.problem, None);

        fs::remove_file(folder.path().join("cart.log")).unwrap();
        for _ in 0..POLLS_GONE_MAX {
            tail.look(Time::ZERO);
        }
        assert!(tail.look(Time::ZERO).problem.is_some());
        fs::write(folder.path().join("cart.log"), "back\n").unwrap();
        tail.polls = POLLS_PER_SCAN;
        assert_eq!(texts(&settle(&mut tail)), [("cart", "back")]);
    }

    #[test]
    fn what_was_there_is_skipped_or_read_as_the_config_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for (from, expected) in [("end", vec!["new"]), ("start", vec!["old", "new"])] {
            fs::write(&path, "old\n").unwrap();
            let mut tail = tail(&format!(
                "paths = [{path:?}]\nfrom = {from:?}\nmultiline = false"
            ));
            let mut look = tail.look(Time::ZERO);
            let mut text = fs::read_to_string(&path).unwrap();
            text.push_str("new\n\n");
            fs::write(&path, text).unwrap();
            look.signals.extend(settle(&mut tail).signals);
            let got: Vec<_> = texts(&look).into_iter().map(|(_, text)| text).collect();
            assert_eq!(got, expected, "{from}");
        }
    }

    #[test]
    fn labels_say_service_host_file_and_what_the_config_adds() {
        let config = toml::from_str(
            "paths = [\"x\"]\nservice = \"gateway\"\nlabels = { tier = \"edge\", host = \"n2\" }",
        );
        let labels = labels(
            &config.unwrap(),
            "n1",
            Path::new("/var/log/nginx/access.log"),
        );
        let expected = [
            ("host", "n2"),
            ("log.file.path", "/var/log/nginx/access.log"),
            ("service", "gateway"),
            ("tier", "edge"),
        ];
        assert_eq!(labels.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn cut_lines_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, format!("{}\nok\n", "x".repeat(1_000))).unwrap();
        let config = format!("paths = [{path:?}]\nfrom = \"start\"\nline_bytes_max = 300");
        let look = settle(&mut tail(&config));
        assert_eq!((look.cut_lines, look.signals.len()), (1, 2));
    }
}
