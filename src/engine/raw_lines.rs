//! Reads the lines of one template again, as they came: what a group of log lines stands for.
//!
//! Nobody keeps lines but the flight recorder, which has them as they were sent: secrets are masked here,
//! before anybody sees them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::entities;
use super::logs;
use crate::model::mask::mask_secrets;
use crate::model::{EntityId, Input, LogLine, RawLine, RawLines, Signal, Stamped, Time};

/// Most lines given at once; the latest are.
pub const LINES_MAX: usize = 500;
/// Bytes of one line that are given: a stack trace with its causes. How much was left out is said.
const LINE_BYTES_MAX: usize = 16 * 1_024;
/// A line that is told later than this is not looked for, in milliseconds: agents send again what was refused.
pub const LATE_MS: i64 = 15 * 60_000;

/// Lines to look for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Every name telemetry gives the entity.
    pub names: BTreeSet<EntityId>,
    /// The template, as a group of lines has it.
    pub template: Box<str>,
    /// From when.
    pub from: Time,
    /// Until when.
    pub to: Time,
    /// So many of the latest, at most [`LINES_MAX`].
    pub limit: usize,
}

/// Takes a recording's inputs, in order, and says at the end which lines were in them.
#[derive(Debug)]
pub struct Reader {
    wanted: Wanted,
    count: u64,
    /// By their time, then as they came: senders tell late, and several at a time.
    latest: BTreeMap<(Time, u64), RawLine>,
}

impl Engine {
    /// Every name telemetry gives an entity, its own too when it is not known.
    pub fn names_of(&self, entity: EntityId) -> BTreeSet<EntityId> {
        let mut names = match self.entities.find(&entity) {
            Some(ix) => self.entities.names(ix).cloned().collect(),
            None => BTreeSet::new(),
        };
        names.insert(entity);
        names
    }
}

impl Reader {
    /// Nothing is read yet.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            count: 0,
            latest: BTreeMap::new(),
        }
    }

    /// Takes one input.
    pub fn take(&mut self, stamped: &Stamped) {
        let Input::Signals(batch) = &stamped.input else {
            return;
        };
        for signal in &batch.signals {
            if let Signal::Log(line) = signal {
                self.take_line(line, stamped.at);
            }
        }
    }

    /// What was read, of a recording that begins at `kept_from` and was read up to `read_to`.
    pub fn finish(self, kept_from: Option<Time>, read_to: Time) -> RawLines {
        RawLines {
            from: self.wanted.from,
            to: self.wanted.to,
            kept_from,
            read_to: read_to.min(self.wanted.to),
            count: self.count,
            lines: self.latest.into_values().collect(),
        }
    }

    /// Takes a line that came at `came`. A clock that is ahead tells of then, as the engine reads it.
    fn take_line(&mut self, line: &LogLine, came: Time) {
        let at = line.at.min(came);
        let is_within = (self.wanted.from..=self.wanted.to).contains(&at);
        if !is_within || !self.is_of_entity(line) {
            return;
        }
        let text = mask_secrets(&line.text);
        if !logs::fits(&self.wanted.template, &text) {
            return;
        }
        self.count += 1;
        let text = bounded(&text).into();
        self.latest.insert((at, self.count), RawLine { at, text });
        if self.latest.len() > self.wanted.limit.min(LINES_MAX) {
            self.latest.pop_first();
        }
    }

    fn is_of_entity(&self, line: &LogLine) -> bool {
        let resolved = entities::resolve(&line.labels);
        resolved.is_some_and(|found| self.wanted.names.contains(&found.entity))
    }
}

/// A line as far as it is given, and how much of it is not.
fn bounded(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(LINE_BYTES_MAX);
    match text.len() - end {
        0 => text.into(),
        more => format!("{} … ({more} bytes more)", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Labels, SourceId};

    fn told(at_s: i64, service: &str, text: &str) -> Stamped {
        let labels = Labels::from_pairs([("service.name", service)]).unwrap();
        let at = Time::from_secs(at_s);
        let line = LogLine {
            labels,
            at,
            level: None,
            text: text.into(),
            trace: None,
            span: None,
        };
        let source = SourceId::new("test");
        let signals = vec![Signal::Log(Box::new(line))];
        let input = Input::Signals(Batch { source, signals });
        Stamped { seq: 1, at, input }
    }

    fn wanted(limit: usize) -> Wanted {
        Wanted {
            names: [EntityId::parse("cart")].into(),
            template: "user <id> logged in with token=<secret>".into(),
            from: Time::from_secs(10),
            to: Time::from_secs(20),
            limit,
        }
    }

    /// The group's times are those of the engine: so must be those that are looked for.
    #[test]
    fn a_clock_that_is_ahead_hides_no_line() {
        let mut reader = Reader::new(wanted(2));
        let mut ahead = told(
            15,
            "cart",
            "user u1 logged in with token=hunter2hunter2hunter2",
        );
        let Input::Signals(batch) = &mut ahead.input else {
            panic!("signals")
        };
        let Signal::Log(line) = &mut batch.signals[0] else {
            panic!("a line")
        };
        line.at = Time::from_secs(1_500);
        reader.take(&ahead);
        let read = reader.finish(None, Time::from_secs(30));
        assert_eq!(read.lines[0].at, Time::from_secs(15));
    }

    #[test]
    fn what_is_left_out_of_a_long_line_is_said() {
        assert_eq!(bounded("short"), "short");
        let long = "ä".repeat(LINE_BYTES_MAX);
        let told = bounded(&long);
        assert!(
            told.ends_with(" … (16384 bytes more)"),
            "{}",
            &told[told.len() - 40..]
        );
    }

    #[test]
    fn the_latest_lines_of_the_template_are_given_and_all_are_counted() {
        let mut reader = Reader::new(wanted(2));
        let token = "hunter2hunter2hunter2";
        for (at_s, service, user) in [
            (9, "cart", "early"),
            (10, "cart", "u1"),
            (14, "cart", "u3"),
            (12, "cart", "u2"),
            (11, "cart", "told late"),
            (13, "web", "other"),
            (21, "cart", "late"),
        ] {
            let text = format!("user {user} logged in with token={token}");
            reader.take(&told(at_s, service, &text));
        }
        reader.take(&told(15, "cart", "user u4 logged out"));
        let read = reader.finish(Some(Time::ZERO), Time::from_secs(30));
        let lines: Vec<(i64, &str)> = read
            .lines
            .iter()
            .map(|line| (line.at.ms() / 1_000, line.text.split(' ').nth(1).unwrap()))
            .collect();
        assert_eq!((read.count, &*lines), (4, &[(12, "u2"), (14, "u3")][..]));
        assert_eq!(read.read_to, Time::from_secs(20));
        assert!(read.lines.iter().all(|line| !line.text.contains(token)));
    }
}
