//! What a message of a stream holds, as signals: documents of JSON as lines, metrics, alerts or changes, or
//! OTLP as protobuf. Every source that reads streams reads messages by this.
//!
//! A message that cannot be read at all is an error; an item of it that cannot be used costs none of the
//! others, and is counted.

mod points;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::alerts::Alerts;
use super::changes;
use super::document::Reader;
use super::http::Limits;
use super::otlp::{Otlp, Telemetry};
use super::polled::LINE_BYTES_MAX;
use super::{Clock, SignalSender};
use crate::config::{MessageConfig, StreamFormat, WebhookConfig};
use crate::model::{Signal, Time};
use points::Points;

/// Most documents in one message.
const DOCUMENTS_MAX: usize = 10_000;

/// What a message held.
#[derive(Debug, Default)]
pub(in crate::sources) struct Taken {
    pub(in crate::sources) signals: Vec<Signal>,
    /// Items that could not be used, and why the first one could not.
    pub(in crate::sources) refused: u64,
    pub(in crate::sources) why: Option<String>,
}

/// What reading messages takes of the settings that are not of one stream.
#[derive(Clone)]
pub(in crate::sources) struct Surroundings {
    pub(in crate::sources) limits: Limits,
    pub(in crate::sources) clock: Clock,
    pub(in crate::sources) series_max: u32,
    /// How far a sender's clock may be off.
    pub(in crate::sources) skew_ms_max: i64,
    /// How long an alert without an end is taken to fire.
    pub(in crate::sources) resolve_timeout_ms: i64,
}

/// Reads messages as a config says.
pub(in crate::sources) struct Payload {
    format: StreamFormat,
    reader: Reader,
    points: Points,
    alerts: Alerts,
    mapping: Option<WebhookConfig>,
    otlp: Otlp,
    clock: Clock,
    skew_ms_max: i64,
}

impl Payload {
    pub(in crate::sources) fn new(
        config: MessageConfig,
        sender: &SignalSender,
        around: Surroundings,
    ) -> Self {
        let Surroundings { limits, clock, .. } = around;
        let timeout_ms = around.resolve_timeout_ms;
        Self {
            format: config.format,
            reader: Reader::new(config.document, config.labels),
            points: Points::new(config.metric, around.series_max),
            alerts: Alerts::new(
                sender.clone(),
                limits.clone(),
                Arc::clone(&clock),
                timeout_ms,
            ),
            mapping: config.mapping,
            otlp: Otlp::new(
                sender.clone(),
                limits,
                Arc::clone(&clock),
                around.series_max,
            ),
            clock,
            skew_ms_max: around.skew_ms_max,
        }
    }

    /// Reads a message that was published at `at`; else why nothing of it can be used.
    pub(in crate::sources) fn read(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        // Some never say when.
        let at = if at > Time::ZERO { at } else { (self.clock)() };
        match self.format {
            StreamFormat::Json => documents(message, |document, taken| {
                self.line(document, at, taken);
            }),
            StreamFormat::Metrics => documents(message, |document, taken| {
                match self.points.sample(document, &self.reader, at) {
                    Ok(sample) => taken.signals.push(Signal::Sample(sample)),
                    Err(why) => taken.refuse(&why),
                }
            }),
            StreamFormat::Alerts => self.alerts(message, at),
            StreamFormat::Changes => self.changes(message, at),
            StreamFormat::Mapped => self.mapped(message, at),
            StreamFormat::OtlpTraces => self.otlp(Telemetry::Traces, message),
            StreamFormat::OtlpMetrics => self.otlp(Telemetry::Metrics, message),
            StreamFormat::OtlpLogs => self.otlp(Telemetry::Logs, message),
        }
    }

    fn otlp(&self, telemetry: Telemetry, message: &[u8]) -> Result<Taken, String> {
        let read = self.otlp.read_message(telemetry, message)?;
        Ok(Taken::from(read))
    }

    /// A list of alerts, or one alone.
    fn alerts(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        let is_list = message.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
        let read = if is_list {
            self.alerts.read_message(message, at)
        } else {
            let list = [b"[", message, b"]"].concat();
            self.alerts.read_message(&list, at)
        };
        Ok(Taken::from(read?))
    }

    /// Changes, of which those are left out that the engine would not believe.
    fn changes(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        let now = (self.clock)();
        let skew_ms_max = self.skew_ms_max;
        let mut taken = Taken::default();
        for signal in changes::parse(message, at, skew_ms_max)? {
            match believed(signal, now, skew_ms_max) {
                Ok(signal) => taken.signals.push(signal),
                Err(why) => taken.refuse(&why),
            }
        }
        Ok(taken)
    }

    fn mapped(&self, message: &[u8], at: Time) -> Result<Taken, String> {
        let mapping = self.mapping.as_ref().ok_or("no `mapping` is named")?;
        let value: Value =
            serde_json::from_slice(message).map_err(|error| format!("not JSON: {error}"))?;
        let items = mapping.items_of(&value)?;
        if items.len() > DOCUMENTS_MAX {
            return Err(format!("more than {DOCUMENTS_MAX} items in a message"));
        }
        let mut taken = Taken::default();
        for item in items {
            match mapping.signal(item, at) {
                Ok(signal) => taken.signals.push(signal),
                Err(why) => taken.refuse(&why),
            }
        }
        Ok(taken)
    }

    fn line(&self, document: &Map<String, Value>, at: Time, taken: &mut Taken) {
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

/// Hands on each document of a message; else why it holds none.
fn documents(
    message: &[u8],
    mut each: impl FnMut(&Map<String, Value>, &mut Taken),
) -> Result<Taken, String> {
    let not_one = |error| format!("not a document of JSON: {error}");
    let mut taken = Taken::default();
    match serde_json::from_slice(message).map_err(not_one)? {
        Value::Object(document) => each(&document, &mut taken),
        Value::Array(items) if items.len() > DOCUMENTS_MAX => {
            return Err(format!("more than {DOCUMENTS_MAX} documents in a message"));
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(document) => each(&document, &mut taken),
                    _ => taken.refuse("what is in the list is no document"),
                }
            }
        }
        _ => return Err("neither a document of JSON nor a list of them".to_owned()),
    }
    Ok(taken)
}

fn believed(signal: Signal, now: Time, skew_ms_max: i64) -> Result<Signal, String> {
    if let Signal::Change(change) = &signal {
        changes::is_of_our_time(change.at, now, skew_ms_max)?;
    }
    Ok(signal)
}

impl From<(Vec<Signal>, u64, Option<String>)> for Taken {
    fn from((signals, refused, why): (Vec<Signal>, u64, Option<String>)) -> Self {
        Self {
            signals,
            refused,
            why,
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
mod tests;
