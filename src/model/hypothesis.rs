//! What probably caused an incident, with the evidence for and against.

use serde::{Deserialize, Serialize};

use super::{EntityId, HitRate, Similar, Time};

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

/// One piece of evidence, as a sentence with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Plain words with numbers, untrusted: `deploy v812 2 min before onset`.
    pub text: Box<str>,
    /// How much it counts, 0 to 1.
    pub weight: f32,
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
