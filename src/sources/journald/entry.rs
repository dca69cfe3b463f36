//! One entry of the journal, as `journalctl --output=json` writes it.
//!
//! Every field may be a text, a list of bytes (what is no UTF-8), a list of several values, or null. What
//! cannot be read is counted, and the entries behind it are read all the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Labels, LogLevel, LogLine, Signal, Time};
use crate::sources::SignalSender;
use crate::sources::recent::Recent;

/// Longest line kept, in bytes; the rest of a longer one is cut and counted.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Combinations of names remembered.
const LABELS_REMEMBERED_MAX: usize = 4_096;
/// Service of entries that name none.
const NAMELESS: &str = "journal";

/// The fields that are asked for, and the cursor, which always comes.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: Option<String>,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    at_us: Option<String>,
    #[serde(flatten)]
    fields: BTreeMap<String, Value>,
}

/// Reads entries and remembers the names in them.
pub(super) struct Reader {
    labels: Recent<u64, Labels>,
    refused: (u64, &'static str),
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            labels: Recent::new(LABELS_REMEMBERED_MAX),
            refused: (0, ""),
        }
    }
}

impl Reader {
    /// The line that an entry is, if it is one, and the entry's cursor.
    pub(super) fn read(&mut self, line: &[u8], now: Time) -> (Option<Signal>, Option<String>) {
        if line.is_empty() {
            self.refuse("an entry is empty, or longer than is read");
            return (None, None);
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
            self.refuse("an entry is no JSON as journalctl writes it");
            return (None, None);
        };
        let Entry {
            cursor,
            at_us,
            fields,
        } = entry;
        let Some(mut text) = fields
            .get("MESSAGE")
            .and_then(text)
            .filter(|text| !text.trim().is_empty())
        else {
            // Some entries are fields only; they say nothing in words.
            return (None, cursor);
        };
        if text.len() > LINE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
            self.refuse("the rest of a long message was cut");
        }
        let at_us: Option<i64> = at_us.and_then(|text| text.parse().ok());
        let line = LogLine {
            at: at_us.map_or(now, |us| Time::from_ms(us / 1_000)),
            labels: self.labels(&fields),
            level: fields.get("PRIORITY").and_then(text_of).and_then(level),
            text: text.trim_end().into(),
            trace: None,
            span: None,
        };
        (Some(Signal::Log(Box::new(line))), cursor)
    }

    /// Counts what could not be read.
    pub(super) fn tell(&mut self, sender: &SignalSender) {
        let (count, why) = std::mem::take(&mut self.refused);
        if count > 0 {
            sender.reject(count, why);
        }
    }

    fn refuse(&mut self, why: &'static str) {
        self.refused = (self.refused.0 + 1, why);
    }

    fn labels(&mut self, fields: &BTreeMap<String, Value>) -> Labels {
        let field = |name: &str| {
            fields
                .get(name)
                .and_then(text_of)
                .filter(|text| !text.is_empty())
        };
        let (unit, host) = (field("_SYSTEMD_UNIT"), field("_HOSTNAME"));
        let program = field("SYSLOG_IDENTIFIER");
        let key = [unit, host, program]
            .map(Option::unwrap_or_default)
            .join("\u{0}");
        let key = xxh3_64(key.as_bytes());
        if let Some(labels) = self.labels.get(&key) {
            return labels.clone();
        }
        let service = unit.and_then(|unit| unit.strip_suffix(".service"));
        // One unit for each session or instance would be a service for each of them.
        let service = service.map(|name| name.split_once('@').map_or(name, |(name, _)| name));
        let service = service.or(program).unwrap_or(NAMELESS);
        let pairs = [("service", Some(service)), ("host", host), ("unit", unit)];
        let pairs = pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        // What is too long for a label is too long for a name.
        let labels = Labels::from_pairs(pairs).unwrap_or_default();
        self.labels.put(key, labels.clone());
        labels
    }
}

/// A field that is a text as it is.
fn text_of(value: &Value) -> Option<&str> {
    value.as_str()
}

/// A field as text, whatever it is written as.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(values) => {
            let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
            let bytes: Option<Vec<u8>> = values.iter().map(byte).collect();
            match bytes {
                Some(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                // Several values: the first that says something.
                None => values
                    .iter()
                    .find_map(|value| value.as_str().map(str::to_owned)),
            }
        }
        _ => None,
    }
}

/// Syslog's priorities.
fn level(priority: &str) -> Option<LogLevel> {
    Some(match priority {
        "0" | "1" => LogLevel::Fatal,
        "2" | "3" => LogLevel::Error,
        "4" => LogLevel::Warn,
        "5" | "6" => LogLevel::Info,
        "7" => LogLevel::Debug,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_ms(5);
    /// What journalctl 252 printed of a journal: names, an error; bytes that are no text.
    const REAL: [&str; 2] = [
        r#"{"MESSAGE":"payment 1 failed after 3 tries","_SYSTEMD_UNIT":"checkout.service","SYSLOG_IDENTIFIER":"checkoutd","PRIORITY":"3","__MONOTONIC_TIMESTAMP":"1000005","__REALTIME_TIMESTAMP":"1795188152000000","_BOOT_ID":"08a5690a2eed47cf92ac0a5d2e3cf6b0","_PID":"77","_HOSTNAME":"node-1","__CURSOR":"s=d4;i=2;b=08"}"#,
        r#"{"_SYSTEMD_UNIT":"checkout.service","__REALTIME_TIMESTAMP":"1795188153000000","_HOSTNAME":"node-1","__CURSOR":"s=d4;i=3;b=08","PRIORITY":"6","_PID":"77","MESSAGE":[98,105,110,97,114,121,32,255,0,32,98,121,116,101,115,10,115,101,99],"SYSLOG_IDENTIFIER":"checkoutd"}"#,
    ];

    fn line(text: &str) -> Option<LogLine> {
        match Reader::default().read(text.as_bytes(), NOW).0 {
            Some(Signal::Log(line)) => Some(*line),
            Some(other) => panic!("not a line: {other:?}"),
            None => None,
        }
    }

    #[test]
    fn real_entries_are_read() {
        let names = [
            ("host", "node-1"),
            ("service", "checkout"),
            ("unit", "checkout.service"),
        ];
        let expected = |at_ms, level, text: &str| LogLine {
            at: Time::from_ms(at_ms),
            labels: Labels::from_pairs(names).unwrap(),
            level: Some(level),
            text: text.into(),
            trace: None,
            span: None,
        };
        let first = expected(
            1_795_188_152_000,
            LogLevel::Error,
            "payment 1 failed after 3 tries",
        );
        let second = expected(
            1_795_188_153_000,
            LogLevel::Info,
            "binary \u{fffd}\0 bytes\nsec",
        );
        assert_eq!(REAL.map(line), [Some(first), Some(second)]);
        let (_, cursor) = Reader::default().read(REAL[0].as_bytes(), NOW);
        assert_eq!(cursor.as_deref(), Some("s=d4;i=2;b=08"));
    }

    #[test]
    fn names_are_those_of_services_not_of_their_instances() {
        let cases = [
            (
                r#""_SYSTEMD_UNIT":"getty@tty1.service","SYSLOG_IDENTIFIER":"agetty""#,
                "getty",
            ),
            (
                r#""_SYSTEMD_UNIT":"session-3.scope","SYSLOG_IDENTIFIER":"sudo""#,
                "sudo",
            ),
            (r#""SYSLOG_IDENTIFIER":"kernel""#, "kernel"),
            (r#""PRIORITY":null"#, "journal"),
        ];
        for (fields, service) in cases {
            let line = line(&format!("{{\"MESSAGE\":\"x\",{fields}}}")).expect("a line");
            assert_eq!(line.labels.get("service"), Some(service), "{fields}");
            assert_eq!(line.at, NOW);
        }
    }

    #[test]
    fn what_says_nothing_is_passed_over_and_what_is_broken_counted() {
        let mut reader = Reader::default();
        let long = format!(r#"{{"MESSAGE":"{}"}}"#, "é".repeat(LINE_BYTES_MAX));
        let cases = [
            (r#"{"__CURSOR":"s=1"}"#, false, 0),
            (r#"{"MESSAGE":null}"#, false, 0),
            (r#"{"MESSAGE":"  "}"#, false, 0),
            (r#"{"MESSAGE":["a","b"]}"#, true, 0),
            ("", false, 1),
            ("[]", false, 2),
            (&long, true, 3),
        ];
        for (text, is_line, refused) in cases {
            assert_eq!(reader.read(text.as_bytes(), NOW).0.is_some(), is_line);
            assert_eq!(reader.refused.0, refused, "{}", &text[..text.len().min(40)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Reader::default().read(&raw, NOW);
        }

        #[test]
        fn any_message_is_kept(text in "\\PC{1,80}") {
            let entry = serde_json::json!({ "MESSAGE": text }).to_string();
            let kept = line(&entry).map(|line| line.text.to_string());
            let expected = (!text.trim().is_empty()).then(|| text.trim_end().to_owned());
            prop_assert_eq!(kept, expected);
        }
    }
}
