//! What a recording says of an incident in a stretch of time: its series, latencies, logs and traces.

use serde::{Deserialize, Serialize};

use super::{EntityId, LogGroup, SeriesId, Time, TraceView};

/// What was recorded, read again for somebody who looks at it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Beginning of the stretch asked for.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Since when there is a recording; `None` when there is none at all.
    pub kept_from: Option<Time>,
    /// Up to here it was read: before `to` when reading took too long, or nothing later is recorded.
    pub read_to: Time,
    /// Series of the incident, as they are judged.
    pub lines: Vec<RecordedLine>,
    /// How long requests took, one of each entity that says so.
    pub heat: Vec<Heat>,
    /// Log lines by template.
    pub logs: Vec<LogGroup>,
    /// Example traces.
    pub traces: Vec<TraceView>,
}

/// What of it somebody looks at; the rest is not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedPart {
    /// Everything.
    #[default]
    All,
    /// The series.
    Lines,
    /// How long requests took.
    Heat,
    /// What a moment of the past is shown by: series, logs and traces.
    Moment,
}

impl Recorded {
    /// Only a part of it.
    #[must_use]
    pub fn only(mut self, part: RecordedPart) -> Self {
        let (lines, heat, logs) = match part {
            RecordedPart::All => (true, true, true),
            RecordedPart::Lines => (true, false, false),
            RecordedPart::Heat => (false, true, false),
            RecordedPart::Moment => (true, false, true),
        };
        self.lines.retain(|_| lines);
        self.heat.retain(|_| heat);
        self.logs.retain(|_| logs);
        self.traces.retain(|_| logs);
        self
    }
}

/// One series. Both vectors have the same length, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedLine {
    /// Which.
    pub series: SeriesId,
    /// Event times, ascending.
    pub times: Vec<Time>,
    /// Values, in the unit of the chart of that series.
    pub values: Vec<f32>,
}

/// The log lines of one template at one entity, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawLines {
    /// Beginning of the stretch asked for.
    pub from: Time,
    /// Its end.
    pub to: Time,
    /// Since when there is a recording; `None` when there is none at all.
    pub kept_from: Option<Time>,
    /// Up to here it was read: before `to` when reading took too long, or nothing later is recorded.
    pub read_to: Time,
    /// Lines there were in what was read.
    pub count: u64,
    /// The latest of them, oldest first.
    pub lines: Vec<RawLine>,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawLine {
    /// When it was written, by its sender.
    pub at: Time,
    /// Its text, secrets masked, untrusted.
    pub text: Box<str>,
}

/// How many requests took how long, over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// Who served them.
    pub entity: EntityId,
    /// What counted them: `spans`, or the name of a histogram; untrusted.
    pub of: Box<str>,
    /// Beginning of the first column.
    pub from: Time,
    /// Width of a column, in milliseconds.
    pub step_ms: i64,
    /// Bands of durations, the fastest first; those at either end that are empty are left out.
    pub bands: Vec<HeatBand>,
}

/// Requests of one band of durations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeatBand {
    /// They took longer than this, in microseconds …
    pub above_us: u64,
    /// … and at most this; `None` when there is no end.
    pub to_us: Option<u64>,
    /// Requests, by column.
    pub counts: Vec<u32>,
}
