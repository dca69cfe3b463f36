//! What a message of a stream holds, as signals: documents of JSON, or OTLP as protobuf.

use serde_json::{Map, Value};

use crate::config::StreamFormat;
use crate::model::{Signal, Time};
use crate::sources::elastic::document::Reader;
use crate::sources::otlp::{Otlp, Telemetry};
use crate::sources::polled::LINE_BYTES_MAX;

/// Most documents in one message.
const DOCUMENTS_MAX: usize = 10_000;

/// What a message held.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) signals: Vec<Signal>,
    /// Items that could not be used, and why the first one could not.
    pub(super) refused: u64,
    pub(super) why: Option<String>,
}

/// Reads messages as a config says.
pub(super) struct Payload {
    format: StreamFormat,
    reader: Reader,
    otlp: Otlp,
}

impl Payload {
    pub(super) fn new(format: StreamFormat, reader: Reader, otlp: Otlp) -> Self {
        Self {
            format,
            reader,
            otlp,
        }
    }

    /// Reads a message that was published at `at`; else why nothing of it can be used.
    pub(super) fn read(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        let telemetry = match self.format {
            StreamFormat::Json => return self.documents(message, at),
            StreamFormat::OtlpTraces => Telemetry::Traces,
            StreamFormat::OtlpMetrics => Telemetry::Metrics,
            StreamFormat::OtlpLogs => Telemetry::Logs,
        };
        let (signals, refused, why) = self.otlp.read_message(telemetry, message)?;
        Ok(Taken {
            signals,
            refused,
            why,
        })
    }

    fn documents(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        let not_one = |error| format!("not a document of JSON: {error}");
        let mut taken = Taken::default();
        match serde_json::from_slice(message).map_err(not_one)? {
            Value::Object(document) => self.document(&document, at, &mut taken),
            Value::Array(items) if items.len() > DOCUMENTS_MAX => {
                return Err(format!("more than {DOCUMENTS_MAX} documents in a message"));
            }
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::Object(document) => self.document(&document, at, &mut taken),
                        _ => taken.refuse("what is in the list is no document"),
                    }
                }
            }
            _ => return Err("neither a document of JSON nor a list of them".to_owned()),
        }
        Ok(taken)
    }

    fn document(&self, document: &Map<String, Value>, at: Time, taken: &mut Taken) {
        let Some(message) = self.reader.message(document) else {
            return taken.refuse("a document without a message: name its field by `message`");
        };
        let kept = &message[..message.floor_char_boundary(LINE_BYTES_MAX)];
        if kept.len() < message.len() {
            taken.refuse(&format!(
                "a line longer than {LINE_BYTES_MAX} bytes was cut"
            ));
        }
        let at = self.reader.time(document).unwrap_or(at);
        match self.reader.line(document, at, kept) {
            Ok(line) => taken.signals.push(Signal::Log(Box::new(line))),
            Err(why) => taken.refuse(&why),
        }
    }
}

impl Taken {
    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.why.get_or_insert_with(|| why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::DocumentFields;
    use crate::sources::http::Limits;
    use crate::sources::{Rhythm, signal_queue};

    fn payload(format: StreamFormat) -> Payload {
        let (registry, _queue) = signal_queue();
        let sender = registry.source("nats", Rhythm::Sporadic, "");
        let clock = Arc::new(|| Time::from_secs(1));
        let otlp = Otlp::new(sender, Limits::new(1 << 20, 1), clock, 100);
        let reader = Reader::new(DocumentFields::default(), BTreeMap::new());
        Payload::new(format, reader, otlp)
    }

    #[test]
    fn documents_alone_and_in_lists_become_lines() {
        let payload = payload(StreamFormat::Json);
        let at = Time::from_secs(9);
        let text = br#"[{"message":"a","service.name":"cart","@timestamp":5000},{"text":"b"},7,{"message":"c"}]"#;
        let taken = payload.read(text, at).unwrap();
        let lines: Vec<_> = taken
            .signals
            .iter()
            .map(|signal| match signal {
                Signal::Log(line) => (line.at, &*line.text),
                _ => panic!("{signal:?}"),
            })
            .collect();
        assert_eq!(lines, [(Time::from_secs(5), "a"), (at, "c")]);
        assert_eq!(taken.refused, 2);
        assert_eq!(
            payload
                .read(br#"{"message":"a"}"#, at)
                .unwrap()
                .signals
                .len(),
            1
        );
        for (bad, why) in [("7", "neither a document"), ("{", "not a document of JSON")] {
            let error = payload.read(bad.as_bytes(), at).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        /// Whatever a message holds, in whichever format it should be: no panic, and no more signals than
        /// bytes.
        #[test]
        fn any_message_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
        ) {
            let formats = [
                StreamFormat::Json,
                StreamFormat::OtlpTraces,
                StreamFormat::OtlpMetrics,
                StreamFormat::OtlpLogs,
            ];
            for format in formats {
                let payload = payload(format);
                for message in [&bytes[..], text.as_bytes()] {
                    if let Ok(taken) = payload.read(message, Time::ZERO) {
                        prop_assert!(taken.signals.len() <= message.len());
                    }
                }
            }
        }
    }
}
