//! Kubernetes' own events to log lines: what controllers and kubelets say about an object.
//!
//! Events are best effort and repeat themselves; each telling is a line once, by its identity and count.

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;

use super::state::Owners;
use crate::model::{Labels, LogLevel, LogLine, Time};

/// Longest note that is kept, in bytes; the API bounds it to 1 kB, and libraries to 64.
const NOTE_BYTES_MAX: usize = 16 * 1024;

/// What an event is known by: one that is told again counts up.
pub(super) fn identity(event: &Event) -> (String, i32) {
    let series = event.series.as_ref().map(|series| series.count);
    let count = series.or(event.deprecated_count).unwrap_or(1);
    (event.metadata.uid.clone().unwrap_or_default(), count)
}

/// When it was told last.
pub(super) fn at(event: &Event) -> Option<Time> {
    let series = event
        .series
        .as_ref()
        .map(|series| series.last_observed_time.0);
    let last = event.deprecated_last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let made = event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    series.or(last).or(first).or(made).map(time)
}

/// A timestamp of the API.
pub(super) fn time(at: Timestamp) -> Time {
    Time::from_ms(at.as_millisecond())
}

/// The line that an event is; `None` when it says nothing.
pub(super) fn line(event: &Event, owners: &impl Owners, at: Time) -> Option<LogLine> {
    let note = event.note.as_deref().unwrap_or_default().trim();
    let reason = event.reason.as_deref().unwrap_or_default();
    if note.is_empty() && reason.is_empty() {
        return None;
    }
    let about = event.regarding.as_ref()?;
    let (kind, name) = (about.kind.as_deref()?, about.name.as_deref()?);
    let namespace = about.namespace.as_deref().unwrap_or_default();
    let mut pairs = owners.labels(kind, namespace, name);
    let mut add = |name: &'static str, value: &str| {
        if !value.is_empty() {
            pairs.push((name, value.to_owned()));
        }
    };
    add("k8s.event.reason", reason);
    add("k8s.object.kind", kind);
    let from = event.reporting_controller.as_deref();
    add("k8s.event.controller", from.unwrap_or_default());
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    let level = match event.type_.as_deref() {
        Some("Warning") => LogLevel::Warn,
        _ => LogLevel::Info,
    };
    let text = format!("{reason}: {note}");
    let end = text.floor_char_boundary(NOTE_BYTES_MAX);
    Some(LogLine {
        at,
        labels: Labels::from_pairs(pairs).ok()?,
        level: Some(level),
        text: text[..end].into(),
        trace: None,
        span: None,
    })
}
