//! Telemetry as it enters the engine: samples, log lines, spans, alerts and changes.
//!
//! Each carries its own event time. A source parses its wire format into these and nothing else.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::wide_id::{self, Digits};
use super::{Alert, Change, Labels, Time};

/// Name of the source a batch came from, as in the config: `remote_write`, `otlp`, `alerts`, …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceId(pub Arc<str>);

/// What one source delivered at once. Order within a batch is the sender's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Who delivered it.
    pub source: SourceId,
    /// What was delivered.
    pub signals: Vec<Signal>,
}

/// One piece of telemetry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A metric sample.
    Sample(Sample),
    /// A log line.
    Log(Box<LogLine>),
    /// A span of a trace.
    Span(Box<Span>),
    /// An alert, firing or resolved.
    Alert(Box<Alert>),
    /// A change: a deploy, a config edit, a scaling, …
    Change(Box<Change>),
}

/// Identity of a series: a stable hash of its name and labels. In JSON it is text, in decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Serialize for SeriesId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wide_id::serialize(self.0, self, serializer)
    }
}

impl<'de> Deserialize<'de> for SeriesId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wide_id::deserialize(Digits::Decimal, deserializer).map(Self)
    }
}

/// A metric series, shared by all its samples: sources keep one `Arc` per series and reuse it, so
/// that the engine finds its state by [`SeriesId`] without looking at the labels again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Identity, derived from name and labels.
    pub id: SeriesId,
    /// Metric name.
    pub name: Arc<str>,
    /// Labels without the name.
    pub labels: Labels,
    /// How its values accumulate.
    pub kind: SeriesKind,
    /// Unit of its values.
    pub unit: Unit,
}

/// How the values of a series accumulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesKind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, but for resets; judged as a rate per second.
    Counter,
    /// A change since the last point (OTLP delta temporality, StatsD counts).
    Delta,
}

/// Unit of a series, from metadata or its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// None known.
    None,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Bytes.
    Bytes,
    /// A share from 0 to 1.
    Ratio,
    /// A share from 0 to 100.
    Percent,
    /// So many a second.
    PerSecond,
    /// Bytes a second.
    BytesPerSecond,
}

/// What a series says of its entity; decides the bad direction and how it weighs in diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricRole {
    /// Time to serve; up is bad.
    Latency,
    /// Failures, as rate or share; up is bad.
    Errors,
    /// Share that works; down is bad.
    Availability,
    /// Work offered; both ways matter, neither is a fault by itself.
    Traffic,
    /// Use of a limited resource: pool, disk, memory, CPU, queue; up is bad.
    Saturation,
    /// Anything else; both ways.
    Other,
}

/// One value of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which series.
    pub series: Arc<Series>,
    /// Event time.
    pub at: Time,
    /// The value, in the series' unit. A NaN is a stale marker: the series ended.
    pub value: f64,
}

/// Severity of a log line, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Finest detail.
    Trace,
    /// For developers.
    Debug,
    /// Ordinary.
    Info,
    /// Odd, not yet broken.
    Warn,
    /// Broken.
    Error,
    /// The process cannot go on.
    Fatal,
}

/// A log line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Event time.
    pub at: Time,
    /// Labels of the emitter: service, host, file, …
    pub labels: Labels,
    /// Severity, when the sender says; the engine may read it from the text otherwise.
    pub level: Option<LogLevel>,
    /// The message, untrusted.
    pub text: Box<str>,
    /// Trace it belongs to, if any.
    pub trace: Option<TraceId>,
    /// Span it belongs to, if any.
    pub span: Option<SpanId>,
}

/// Identity of a trace, 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u128);

/// As tracing tools write it, 32 hex digits: no JSON reader holds a number of 128 bits.
impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{:032x}", self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|error| serde::de::Error::custom(format!("trace id {text:?}: {error}")))
    }
}

/// Identity of a span within its trace, 64 bits. In JSON it is text, 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        wide_id::serialize(self.0, self, serializer)
    }
}

impl<'de> Deserialize<'de> for SpanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        wide_id::deserialize(Digits::Hex, deserializer).map(Self)
    }
}

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// Inside a service.
    Internal,
    /// Serves a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends a message.
    Producer,
    /// Takes a message.
    Consumer,
}

/// A span: one operation within a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Trace it belongs to.
    pub trace: TraceId,
    /// Its own id.
    pub id: SpanId,
    /// The span that caused it; `None` at the root.
    pub parent: Option<SpanId>,
    /// Resource labels of the emitter (`service.name`, `host.name`, …); shared by a request's spans.
    pub resource: Labels,
    /// Operation name, untrusted.
    pub name: Arc<str>,
    /// Which side of a call.
    pub kind: SpanKind,
    /// Start.
    pub start: Time,
    /// Duration, in microseconds.
    pub duration_us: u64,
    /// Whether its status is an error.
    pub error: bool,
    /// The other side as named by attributes (`peer.service`, `server.address`, `db.system`, …), if any.
    pub peer: Option<Arc<str>>,
    /// How many spans like it were made for each that was kept, itself included, where the sender says how
    /// it samples: from 1 to [`Span::WEIGHT_MAX`]. `None`: nobody knows.
    #[serde(default)]
    pub weight: Option<f32>,
}

impl Span {
    /// The largest weight believed: a sampler that keeps fewer than one in a million is a mistake.
    pub const WEIGHT_MAX: f32 = 1_048_576.0;

    /// A weight as it may be believed.
    pub fn weight_of(told: f64) -> Option<f32> {
        let is_one = (1.0..=f64::from(Self::WEIGHT_MAX)).contains(&told);
        is_one.then_some(told as f32)
    }

    /// When it ended.
    pub fn ended(&self) -> Time {
        let duration_ms = i64::try_from(self.duration_us / 1_000).unwrap_or(i64::MAX);
        self.start.plus_ms(duration_ms)
    }
}

impl Signal {
    /// In the words of whoever sent it, whose it is; a change names its entity otherwise.
    pub fn labels(&self) -> Option<&Labels> {
        match self {
            Self::Sample(sample) => Some(&sample.series.labels),
            Self::Log(line) => Some(&line.labels),
            Self::Span(span) => Some(&span.resource),
            Self::Alert(alert) => Some(&alert.labels),
            Self::Change(_) => None,
        }
    }
}

impl SourceId {
    /// From a name.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }
}

impl Series {
    /// Builds a series; its id is a stable hash of name and labels.
    pub fn new(name: &str, labels: Labels, kind: SeriesKind, unit: Unit) -> Self {
        let id = xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), labels.stable_hash());
        Self {
            id: SeriesId(id),
            name: Arc::from(name),
            labels,
            kind,
            unit,
        }
    }
}

impl LogLevel {
    /// The level named by a word such as `warn`, `WARNING` or `E`; `None` for other words.
    pub fn parse(word: &str) -> Option<Self> {
        const WORDS: [(&str, LogLevel); 16] = [
            ("trace", LogLevel::Trace),
            ("debug", LogLevel::Debug),
            ("info", LogLevel::Info),
            ("information", LogLevel::Info),
            ("notice", LogLevel::Info),
            ("log", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("warning", LogLevel::Warn),
            ("error", LogLevel::Error),
            ("err", LogLevel::Error),
            ("severe", LogLevel::Error),
            ("crit", LogLevel::Fatal),
            ("critical", LogLevel::Fatal),
            ("alert", LogLevel::Fatal),
            ("emerg", LogLevel::Fatal),
            ("fatal", LogLevel::Fatal),
        ];
        WORDS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, level)| *level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_hex_text_for_people_and_a_number_for_machines() {
        let id = TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        let text = "\"4bf92f3577b34da6a3ce929d0e0e4736\"";
        assert_eq!(serde_json::to_string(&id).unwrap(), text);
        assert_eq!(serde_json::from_str::<TraceId>(text).unwrap(), id);
        assert!(serde_json::from_str::<TraceId>("\"not hex\"").is_err());
        let bytes = postcard::to_stdvec(&id).unwrap();
        assert_eq!(postcard::from_bytes::<TraceId>(&bytes), Ok(id));
    }
}
