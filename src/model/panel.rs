//! What somebody looks at: charts, log groups, traces and alert rows, asked for when on screen.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    EntityId, Fingerprint, HeldBack, IncidentId, Labels, Lane, LogLevel, MetricRole, SeriesId,
    Severity, SpanKind, Time, TraceId, Unit,
};

/// A metric over its baseline band. The vectors have the same length, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chart {
    /// The series.
    pub series: SeriesId,
    /// The entity it is about.
    pub entity: EntityId,
    /// Metric name and what tells it apart, untrusted.
    pub title: Box<str>,
    /// What it says of the entity.
    pub role: MetricRole,
    /// Unit of all values.
    pub unit: Unit,
    /// Event times, ascending.
    pub times: Vec<Time>,
    /// Values seen.
    pub values: Vec<f32>,
    /// Lower end of what was expected then.
    pub low: Vec<f32>,
    /// Upper end of what was expected then.
    pub high: Vec<f32>,
    /// Since when it is abnormal, if it is.
    pub abnormal_since: Option<Time>,
    /// Changes and alerts within the times shown.
    pub marks: Vec<ChartMark>,
}

/// A mark on a chart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChartMark {
    /// When.
    pub at: Time,
    /// What sort of thing.
    pub lane: Lane,
    /// What, untrusted.
    pub text: Box<str>,
}

/// Log lines of one template at one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogGroup {
    /// The entity.
    pub entity: EntityId,
    /// The template, variables as `<number>`, `<ip>`, …; untrusted.
    pub template: Box<str>,
    /// Severity of its lines.
    pub level: LogLevel,
    /// Whether it was first seen within the incident.
    pub is_new: bool,
    /// First line.
    pub first_seen: Time,
    /// Latest line.
    pub last_seen: Time,
    /// Lines counted.
    pub count: u64,
    /// Lines per bucket, oldest first, for a sparkline.
    pub buckets: Vec<u32>,
    /// Width of a bucket, in milliseconds.
    pub bucket_ms: i64,
    /// One line, secrets masked, untrusted.
    pub sample: Box<str>,
}

/// One span of a trace, as a row of the waterfall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanRow {
    /// The entity that emitted it.
    pub entity: EntityId,
    /// Operation, untrusted.
    pub name: Box<str>,
    /// Which side of a call.
    pub kind: SpanKind,
    /// Depth in the tree, 0 the root.
    pub depth: u32,
    /// Start, in microseconds after the start of the trace.
    pub offset_us: u64,
    /// Duration, in microseconds.
    pub duration_us: u64,
    /// Time not spent in children, in microseconds.
    pub self_us: u64,
    /// Whether its status is an error.
    pub error: bool,
    /// Whether it lies on the critical path.
    pub critical: bool,
}

/// An exemplar trace: its spans in order of the tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// Identity.
    pub trace: TraceId,
    /// When its root began.
    pub start: Time,
    /// Why this one is shown: `slowest`, `error`, …
    pub reason: Box<str>,
    /// Spans, depth first.
    pub spans: Vec<SpanRow>,
}

/// Where an alert stands among all, the most urgent first: what fires before what is over, the worst, then
/// the newest. Smaller is earlier; written as text it is the key of the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertPlace {
    over: bool,
    severity: Reverse<Severity>,
    starts_at: Reverse<Time>,
    fingerprint: Fingerprint,
}

impl AlertPlace {
    /// The place of an alert.
    pub const fn of(
        firing: bool,
        severity: Severity,
        starts_at: Time,
        fingerprint: Fingerprint,
    ) -> Self {
        Self {
            over: !firing,
            severity: Reverse(severity),
            starts_at: Reverse(starts_at),
            fingerprint,
        }
    }

    /// Which alert it is the place of.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '.');
        let firing = match parts.next()? {
            "0" => true,
            "1" => false,
            _ => return None,
        };
        let word = parts.next()?;
        let severity = Severity::ALL.into_iter().find(|s| s.as_str() == word)?;
        let starts_at = Time::from_ms(parts.next()?.parse().ok()?);
        let fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self::of(
            firing,
            severity,
            starts_at,
            Fingerprint(fingerprint),
        ))
    }
}

impl fmt::Display for AlertPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (over, severity) = (u8::from(self.over), self.severity.0.as_str());
        let (ms, fingerprint) = (self.starts_at.0.ms(), self.fingerprint.0);
        write!(f, "{over}.{severity}.{ms}.{fingerprint:016x}")
    }
}

impl AlertRow {
    /// Where it stands among all.
    pub const fn place(&self) -> AlertPlace {
        AlertPlace::of(self.firing, self.severity, self.starts_at, self.fingerprint)
    }

    /// How it is, in a word.
    pub const fn state(&self) -> &'static str {
        match self {
            Self { held: Some(_), .. } => "held",
            Self { flapping: true, .. } => "flaps",
            Self {
                firing: true,
                unheard: Some(_),
                ..
            } => "stale",
            Self { firing: true, .. } => "fires",
            Self { firing: false, .. } => "over",
        }
    }
}

/// An alert as a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRow {
    /// Identity.
    pub fingerprint: Fingerprint,
    /// Identifying labels.
    pub labels: Labels,
    /// Its summary or description, untrusted.
    pub summary: Box<str>,
    /// Link to the rule that raised it, untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<Box<str>>,
    /// The entity it is about.
    pub entity: EntityId,
    /// From its `severity` label.
    pub severity: Severity,
    /// When it began.
    pub starts_at: Time,
    /// When it ends or ended.
    pub ends_at: Time,
    /// Whether it fires now.
    pub firing: bool,
    /// Whether it goes on and off: it counts as firing until it stays one way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    /// Why it is held back from incidents and people, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<HeldBack>>,
    /// Why nobody vouches for it any more: its sender fell silent while it fires, or it is over and nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<Box<Unheard>>,
}

/// That an alert is not sent any more, and its sender did not say that it is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unheard {
    /// When it was sent last.
    pub since: Time,
    /// What is known of its sender, in words that go on after the alert's name.
    pub why: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_order_of_urgency_and_round_trip() {
        let at = Time::from_secs;
        let place =
            |firing, severity, s, n| AlertPlace::of(firing, severity, at(s), Fingerprint(n));
        let ordered = [
            place(true, Severity::Critical, 90, 7),
            place(true, Severity::Critical, 30, 3),
            place(true, Severity::Critical, 30, 4),
            place(true, Severity::Info, 99, 1),
            place(false, Severity::Critical, 99, 2),
        ];
        assert!(ordered.is_sorted());
        for place in ordered {
            assert_eq!(AlertPlace::parse(&place.to_string()), Some(place));
        }
        for text in [
            "",
            "2.critical.1.0",
            "0.bad.1.0",
            "0.info.x.0",
            "0.info.1.zz",
            "0.info.1",
        ] {
            assert_eq!(AlertPlace::parse(text), None, "{text}");
        }
    }
}
