//! Log records of an `ExportLogsServiceRequest`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use super::attributes::{Resources, key_value, render, scalar, submessage};
use super::traces::{span_id, trace_id};
use super::{ReadError, Taken, time_of_ns};
use crate::model::{Labels, LogLevel, LogLine, Signal, Time};
use crate::sources::wire::{Fields, WireError};

/// Longest text kept of one record, in bytes; longer ones are cut.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Reads logs.
pub(super) struct Logs {
    resources: Arc<Resources>,
}

impl Logs {
    pub(super) fn new(resources: Arc<Resources>) -> Self {
        Self { resources }
    }

    /// Reads a whole request.
    pub(super) fn read(
        &self,
        message: &[u8],
        now: Time,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let mut groups = Fields::of(message);
        while let Some((number, group)) = groups.next()? {
            if number == 1 {
                self.group(group.bytes(1)?, now, taken)?;
            }
        }
        Ok(())
    }

    /// Reads `ResourceLogs`: resource (1), scopes (2), each with records (2).
    fn group(&self, group: &[u8], now: Time, taken: &mut Taken) -> Result<(), ReadError> {
        let resource = self.resources.labels(submessage(group, 1)?)?;
        let mut scopes = Fields::of(group);
        while let Some((number, scope)) = scopes.next()? {
            if number != 2 {
                continue;
            }
            let mut records = scope.fields(2)?;
            while let Some((number, record)) = records.next()? {
                if number == 2 {
                    match read_record(record.bytes(2)?, &resource, now) {
                        Ok(Some(line)) => taken.push(Signal::Log(Box::new(line)))?,
                        Ok(None) => taken.reject("a log record has no body"),
                        Err(error) => taken.reject(&format!("a log record: {error}")),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads a `LogRecord`; `None` when it says nothing.
fn read_record(record: &[u8], resource: &Labels, now: Time) -> Result<Option<LogLine>, WireError> {
    let (mut at_ns, mut observed_ns, mut severity) = (0, 0, 0);
    let (mut severity_text, mut text) = (Cow::Borrowed(""), String::new());
    let (mut trace, mut span) = (None, None);
    let mut attributes = Vec::new();
    let mut fields = Fields::of(record);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => at_ns = value.uint(1)?,
            2 => severity = value.uint(2)?,
            3 => severity_text = value.text_lossy(3)?,
            5 => {
                text.clear();
                render(value.bytes(5)?, &mut text)?;
            }
            6 => attributes.push(value.bytes(6)?),
            9 => trace = trace_id(value.bytes(9)?),
            10 => span = span_id(value.bytes(10)?),
            11 => observed_ns = value.uint(11)?,
            _ => {}
        }
    }
    if let Some(exception) = exception_text(&attributes)? {
        let gap = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{gap}{exception}");
    }
    if text.is_empty() {
        return Ok(None);
    }
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Ok(Some(LogLine {
        at: time_of_ns(at_ns).or(time_of_ns(observed_ns)).unwrap_or(now),
        labels: resource.clone(),
        level: level(severity).or_else(|| LogLevel::parse(&severity_text)),
        text: text.into(),
        trace,
        span,
    }))
}

/// Severity numbers come in fours; 0 is none given.
const fn level(severity: u64) -> Option<LogLevel> {
    match severity {
        1..=4 => Some(LogLevel::Trace),
        5..=8 => Some(LogLevel::Debug),
        9..=12 => Some(LogLevel::Info),
        13..=16 => Some(LogLevel::Warn),
        17..=20 => Some(LogLevel::Error),
        21..=24 => Some(LogLevel::Fatal),
        _ => None,
    }
}

/// `type: message`, and the stack trace below if there is one, of attributes by the conventions
/// for exceptions; `None` if they tell of none.
pub(super) fn exception_text(attributes: &[&[u8]]) -> Result<Option<String>, WireError> {
    let (mut kind, mut message, mut stack) = (None, None, None);
    for attribute in attributes {
        let (key, value) = key_value(attribute)?;
        match key {
            "exception.type" => kind = scalar(value)?,
            "exception.message" => message = scalar(value)?,
            "exception.stacktrace" => stack = scalar(value)?,
            _ => {}
        }
    }
    let head: Vec<Cow<'_, str>> = [kind, message].into_iter().flatten().collect();
    if head.is_empty() {
        return Ok(None);
    }
    let mut text = head.join(": ");
    if let Some(stack) = stack {
        let _ = write!(text, "\n{stack}");
    }
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Ok(Some(text))
}
