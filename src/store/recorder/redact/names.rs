//! What somebody or something is called in a recording, so that free text can be rid of it.
//!
//! Values of labels, names of entities, people and sources are gathered from the whole window before anything of it is written: a
//! title may name a service before its first sample does. It never writes anything, and when there are more
//! names than it can hold it takes every word for one.

use rustc_hash::FxHashSet;

use crate::config::EngineConfig;
use crate::model::{Batch, Change, Input, Labels, Recalled, SeriesId, Signal, Stamped};

/// Parts of names held; with more, every word may be one.
const PARTS_MAX: usize = 1 << 20;
/// Longest part that is looked up, in bytes: no word anybody speaks is longer, so a longer one is taken for a name.
const PART_BYTES_MAX: usize = 64;
/// A part of a name with so many characters is found within other words too, as `cart` in `cartservice`.
const WITHIN_CHARS_MIN: usize = 4;
/// Label sets and series remembered as read.
const READ_MAX: usize = 1 << 20;

/// Words that say nothing of anybody, whoever uses them as a value: levels, protocols, and what names of metrics are
/// made of, which the engine reads. In order.
const COMMON: [&str; 141] = [
    "active",
    "alert",
    "alive",
    "alloc",
    "and",
    "at",
    "avail",
    "available",
    "batch",
    "bucket",
    "by",
    "bytes",
    "cache",
    "call",
    "calls",
    "cancelled",
    "client",
    "code",
    "connection",
    "connections",
    "container",
    "count",
    "cpu",
    "created",
    "critical",
    "current",
    "debug",
    "delay",
    "delete",
    "disk",
    "down",
    "duration",
    "elapsed",
    "emergency",
    "err",
    "error",
    "errors",
    "event",
    "events",
    "failed",
    "failure",
    "failures",
    "false",
    "fatal",
    "for",
    "free",
    "from",
    "get",
    "grpc",
    "head",
    "health",
    "heap",
    "high",
    "histogram",
    "host",
    "http",
    "https",
    "idle",
    "in",
    "inflight",
    "info",
    "internal",
    "is",
    "jvm",
    "kube",
    "lag",
    "latency",
    "level",
    "limit",
    "load",
    "low",
    "major",
    "max",
    "mean",
    "medium",
    "memory",
    "message",
    "messages",
    "milliseconds",
    "min",
    "minor",
    "network",
    "no",
    "node",
    "none",
    "not",
    "notice",
    "null",
    "of",
    "ok",
    "on",
    "open",
    "out",
    "page",
    "panic",
    "patch",
    "pending",
    "percent",
    "pod",
    "pool",
    "post",
    "process",
    "put",
    "queue",
    "rate",
    "ratio",
    "read",
    "received",
    "refused",
    "request",
    "requests",
    "response",
    "seconds",
    "sent",
    "server",
    "service",
    "size",
    "status",
    "success",
    "sum",
    "system",
    "tcp",
    "test",
    "the",
    "threads",
    "time",
    "timeout",
    "to",
    "total",
    "trace",
    "true",
    "udp",
    "unavailable",
    "unknown",
    "up",
    "usage",
    "user",
    "warn",
    "warning",
    "with",
    "write",
];

/// The names of a recording.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Words that names are made of, in lower case.
    parts: FxHashSet<Box<str>>,
    /// Most bytes of one of them.
    longest: usize,
    is_full: bool,
    series: FxHashSet<SeriesId>,
    labels: FxHashSet<u64>,
}

impl Names {
    /// Gathers what an input calls anybody or anything.
    pub(super) fn input(&mut self, stamped: &Stamped) {
        match &stamped.input {
            Input::Tick | Input::Step(_) => {}
            Input::Signals(Batch { source, signals }) => {
                self.name(&source.0);
                for signal in signals {
                    self.signal(signal);
                }
            }
            Input::Recalled(recalled) => self.recalled(recalled),
            Input::Command { by, .. } => self.name(&by.name),
        }
    }

    /// Gathers what the team declared.
    pub(super) fn declared(&mut self, environment: &str, engine: &EngineConfig) {
        self.name(environment);
        for edge in &engine.dependencies {
            self.name(&edge.from);
            self.name(&edge.to);
        }
        for entity in &engine.entities {
            let aliases = entity.aliases.iter();
            let said = aliases.chain(&entity.owner).chain(entity.links.values());
            for text in said.chain(entity.labels.values()) {
                self.name(text);
            }
            self.name(&entity.name);
        }
        for slo in &engine.slo {
            self.name(&slo.entity);
        }
    }

    fn recalled(&mut self, recalled: &Recalled) {
        for held in &recalled.alerts {
            self.of_labels(&held.alert.labels);
            let with = held.unheard.iter().flat_map(|silenced| &silenced.with);
            for source in held.source.iter().chain(with) {
                self.name(&source.0);
            }
        }
        for change in &recalled.changes {
            self.change(change);
        }
    }

    fn signal(&mut self, signal: &Signal) {
        match signal {
            Signal::Sample(sample) => {
                if self.series.len() >= READ_MAX || self.series.insert(sample.series.id) {
                    self.of_labels(&sample.series.labels);
                }
            }
            Signal::Log(line) => self.of_labels(&line.labels),
            Signal::Span(span) => {
                self.of_labels(&span.resource);
                if let Some(peer) = &span.peer {
                    self.name(peer);
                }
            }
            Signal::Alert(alert) => self.of_labels(&alert.labels),
            Signal::Change(change) => self.change(change),
        }
    }

    fn change(&mut self, change: &Change) {
        self.of_labels(&change.labels);
        let given = [&change.version, &change.previous_version, &change.by];
        for text in given.into_iter().flatten() {
            self.name(text);
        }
        self.name(&change.id);
        self.name(change.entity.name());
    }

    fn of_labels(&mut self, labels: &Labels) {
        if self.labels.len() < READ_MAX && !self.labels.insert(labels.stable_hash()) {
            return;
        }
        for (_, value) in labels.iter() {
            self.name(value);
        }
    }

    fn name(&mut self, text: &str) {
        for (is_word, part) in pieces(text) {
            let is_short = part.len() < 2 || part.len() > PART_BYTES_MAX;
            if !is_word || is_short || part.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let part = part.to_lowercase();
            if is_common(&part) || self.parts.contains(&*part) {
                continue;
            }
            self.is_full |= self.parts.len() >= PARTS_MAX;
            if !self.is_full {
                self.longest = self.longest.max(part.len());
                self.parts.insert(part.into_boxed_str());
            }
        }
    }

    /// Whether a word, letters and digits only, in lower case, is part of a name or holds one.
    pub(super) fn tells(&self, word: &str) -> bool {
        if word.len() < 2 || is_common(word) {
            return false;
        }
        if self.is_full || word.len() > PART_BYTES_MAX || self.parts.contains(word) {
            return true;
        }
        let starts = word.char_indices().map(|(at, _)| at);
        starts.into_iter().any(|at| self.begins(&word[at..]))
    }

    /// Whether a text begins with a part of a name that is found within other words.
    fn begins(&self, text: &str) -> bool {
        let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
        let mut ends = ends
            .skip(WITHIN_CHARS_MIN - 1)
            .take_while(|end| *end <= self.longest);
        ends.any(|end| self.parts.contains(&text[..end]))
    }
}

/// Whether a word, in lower case, says nothing of anybody.
pub(super) fn is_common(word: &str) -> bool {
    COMMON.binary_search(&word).is_ok()
}

/// A text as words, of letters and digits, and what stands between them: whether it is a word, and the piece.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_word = rest.chars().next()?.is_alphanumeric();
        let end = rest.find(|c: char| c.is_alphanumeric() != is_word);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some((is_word, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_words_are_in_order() {
        assert!(COMMON.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn names_are_found_as_words_and_within_words() {
        let mut names = Names::default();
        for name in ["cart", "db", "Payment-Gateway", "node", "12"] {
            names.name(name);
        }
        let cases = [
            ("cart", true),
            ("cartservice", true),
            ("db", true),
            ("dbus", false),
            ("payment", true),
            ("gateway", true),
            ("node", false),
            ("pay", false),
            ("12", false),
        ];
        for (word, expected) in cases {
            assert_eq!(names.tells(word), expected, "{word}");
        }
        assert!(names.tells(&"a".repeat(PART_BYTES_MAX + 1)));
    }

    #[test]
    fn pieces_make_up_the_text() {
        let got: Vec<_> = pieces("a-b2 (ü)").collect();
        let expected = [
            (true, "a"),
            (false, "-"),
            (true, "b2"),
            (false, " ("),
            (true, "ü"),
            (false, ")"),
        ];
        assert_eq!(got, expected);
    }
}
