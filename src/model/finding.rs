//! Findings: what the engine itself noticed, with what it expected and what it saw.

use serde::{Deserialize, Serialize};

use super::{EntityId, Explanation, MetricRole, SeriesId, Time, Unit};

/// Identity of a finding; counts up from 1 in the order of first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(pub u64);

/// How bad something is, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing, never pages.
    Info,
    /// Worth a look in working hours.
    Warning,
    /// Users notice, or soon will.
    Error,
    /// Users are hurt now.
    Critical,
}

/// The check that made a finding. One row each in `engine::detect`'s table of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Far outside the band for a moment.
    Spike,
    /// Moved to another level and stays there.
    LevelShift,
    /// Same level, other spread.
    SpreadChange,
    /// Creeping away from its baseline.
    Drift,
    /// Stopped varying.
    FlatLine,
    /// Near a known limit.
    Saturation,
    /// Its usual shape over time is broken.
    Shape,
    /// Stopped arriving.
    Absence,
    /// A log template never seen before.
    NewTemplate,
    /// A log template far more frequent than usual.
    LogBurst,
    /// A usual log template that stopped.
    LogSilence,
    /// Rate of calls on an edge or into an entity.
    TraceRate,
    /// Share of failing calls.
    TraceErrors,
    /// Duration of calls.
    TraceDuration,
    /// A source that should speak and does not.
    BlindSource,
    /// The budget of a declared objective burns too fast.
    BurnRate,
    /// Share of requests that fail, from counters.
    ErrorRatio,
    /// The values in a log template are spread otherwise than usual.
    LogValues,
    /// Durations, or what else is measured, are spread otherwise than usual.
    Distribution,
    /// What came again and again did not come, or came at a wrong time.
    Periodicity,
}

/// Which way something moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above what was expected.
    Up,
    /// Below what was expected.
    Down,
}

/// The range a value was expected in, inclusive, in the series' unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Lower end.
    pub low: f64,
    /// Upper end; never below `low`.
    pub high: f64,
}

/// Something odd on one entity, from first sight until it is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Identity.
    pub id: FindingId,
    /// What it is about.
    pub entity: EntityId,
    /// The other end when the finding is about an edge: `entity` calls `callee`.
    pub callee: Option<EntityId>,
    /// Which check made it.
    pub check: Check,
    /// Series it was seen in, when it was a metric.
    pub series: Option<SeriesId>,
    /// Name of the metric, log template or edge, untrusted.
    pub subject: Box<str>,
    /// What the subject says of the entity.
    pub role: MetricRole,
    /// Unit of `expected` and `seen`.
    pub unit: Unit,
    /// Event time of the first abnormal point.
    pub since: Time,
    /// Event time of the latest abnormal point.
    pub last_seen: Time,
    /// When it was over; `None` while it lasts.
    pub ended: Option<Time>,
    /// What was expected at the worst point.
    pub expected: Band,
    /// What was seen at the worst point.
    pub seen: f64,
    /// Which way it moved.
    pub direction: Direction,
    /// How unusual: −log10 of the false-alarm probability at the worst point; 0 or more.
    pub score: f32,
    /// Whether it may open an incident by itself, or only informs.
    pub pages: bool,
    /// The sentence shown: what was expected, what was seen, untrusted.
    pub text: Box<str>,
    /// What stands behind it.
    #[serde(default)]
    pub explain: Option<Box<Explanation>>,
    /// It ended without recovery: the level that lasted counts as normal, and why, untrusted.
    #[serde(default)]
    pub accepted: Option<Box<str>>,
}

impl Severity {
    /// All, the mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word shown and accepted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Reads the words senders use; unknown words are a warning.
    pub fn parse(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "critical" | "crit" | "page" | "disaster" | "emergency" | "fatal" | "p1" | "sev1" => {
                Self::Critical
            }
            "error" | "high" | "major" | "p2" | "sev2" => Self::Error,
            "info" | "none" | "low" | "informational" | "p4" | "p5" => Self::Info,
            _ => Self::Warning,
        }
    }

    /// The priority shown: 1 the most urgent, 4 the least.
    pub const fn priority(self) -> u8 {
        match self {
            Self::Critical => 1,
            Self::Error => 2,
            Self::Warning => 3,
            Self::Info => 4,
        }
    }
}

impl Check {
    /// Whether it judges a number over time, so that `expected` and `seen` say it all.
    pub const fn is_metric(self) -> bool {
        matches!(
            self,
            Self::Spike
                | Self::LevelShift
                | Self::SpreadChange
                | Self::Drift
                | Self::FlatLine
                | Self::Saturation
                | Self::Shape
                | Self::TraceRate
                | Self::TraceErrors
                | Self::TraceDuration
                | Self::BurnRate
                | Self::ErrorRatio
                | Self::Distribution
                | Self::Periodicity
        )
    }
}

impl Finding {
    /// Whether it still lasts.
    pub fn is_open(&self) -> bool {
        self.ended.is_none()
    }
}
