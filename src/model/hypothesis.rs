//! What probably caused an incident, with the evidence for and against.

use serde::{Deserialize, Serialize};

use super::{EntityId, HitRate, MethodRate, Similar, Time, Weights};

/// The part a suspect plays. Latency and errors alone never make a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspectRole {
    /// What set it off: a change, a resource, traffic, a lost instance.
    Trigger,
    /// Where it showed first, cause unknown.
    FirstSymptom,
    /// Hurt by it, not its cause.
    Impact,
}

/// The metric of [`SuspectKind::Resource`] on what is gone as a whole.
pub const DOWN: &str = "down";

/// What kind of cause is suspected at the entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SuspectKind {
    /// A change: its id and title.
    Change {
        /// [`super::Change::id`].
        id: Box<str>,
        /// Title shown, untrusted.
        title: Box<str>,
        /// When it took effect.
        at: Time,
    },
    /// A limited resource ran out or is about to.
    Resource {
        /// Metric that says so, untrusted.
        metric: Box<str>,
    },
    /// More work arrived than usual.
    Traffic,
    /// An instance, pod or node went away.
    InstanceLoss,
    /// It became slow or failing by itself: code, or something it alone depends on and we cannot see.
    Dependency,
    /// Something at this entity; the evidence does not say what.
    Unknown,
}

/// What a piece of evidence was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Where harm comes to rest along dependencies.
    Topology,
    /// How far metrics depart.
    Metrics,
    /// Changes before the onset.
    Changes,
    /// Resources out of their range or at their limit.
    Resources,
    /// More work than usual.
    Traffic,
    /// What went away.
    Loss,
    /// Time and errors of its own in spans.
    Traces,
    /// Odd lines.
    Logs,
    /// Who was odd first.
    Order,
    /// What explains it, or does not, by correlation.
    Correlation,
    /// An alert that names it.
    Alerts,
    /// Similar incidents of the past.
    Past,
}

impl Method {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topology => "topology",
            Self::Metrics => "metrics",
            Self::Changes => "changes",
            Self::Resources => "resources",
            Self::Traffic => "traffic",
            Self::Loss => "loss",
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Order => "order of onsets",
            Self::Correlation => "correlation",
            Self::Alerts => "alerts",
            Self::Past => "past incidents",
        }
    }
}

/// One piece of evidence, as a sentence with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Plain words with numbers, untrusted: `deploy v812 2 min before onset`.
    pub text: Box<str>,
    /// How much it counts, 0 to 1.
    pub weight: f32,
    /// What it was found by; not known of what old journals hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
}

/// A suspect with what speaks for and against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// The entity suspected.
    pub suspect: EntityId,
    /// What about it.
    pub cause: SuspectKind,
    /// The part it plays.
    pub role: SuspectRole,
    /// Calibrated chance that it is the cause, 0 to 1.
    pub confidence: f32,
    /// The highest confidence that evidence of its kind allows, 0 to 1: the past lifts it no further.
    #[serde(default = "certain")]
    pub limit: f32,
    /// What speaks for it, strongest first.
    #[serde(rename = "for")]
    pub evidence_for: Vec<Evidence>,
    /// What speaks against it, strongest first.
    #[serde(rename = "against")]
    pub evidence_against: Vec<Evidence>,
}

/// The ranked suspects of an incident. Empty or all of low confidence means: abstains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Most likely first.
    pub hypotheses: Vec<Hypothesis>,
    /// What could not be seen and might have changed the answer, in plain words.
    pub not_seen: Vec<Box<str>>,
    /// Past incidents that looked alike, the likest first.
    #[serde(default)]
    pub similar: Vec<Similar>,
    /// How often the first suspect of each kind was right before, where people named the cause.
    #[serde(default)]
    pub hit_rates: Vec<HitRate>,
    /// The same for the method whose evidence spoke loudest for the first suspect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub method_rates: Vec<MethodRate>,
    /// The weights that the past was given in this diagnosis.
    #[serde(default)]
    pub weights: Weights,
}

/// The limit of what was diagnosed before limits were kept.
const fn certain() -> f32 {
    1.0
}

impl SuspectKind {
    /// The word runbooks match on.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Change { .. } => "change",
            Self::Resource { .. } => "resource",
            Self::Traffic => "traffic",
            Self::InstanceLoss => "instance_loss",
            Self::Dependency => "dependency",
            Self::Unknown => "unknown",
        }
    }
}
