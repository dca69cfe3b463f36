//! What people say of findings, and what follows from it: labels, and the bars they raise.

use serde::{Deserialize, Serialize};

use super::{Check, EntityId, FindingId, Learned, SeriesId, Time};

/// What a person thinks of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// It was worth telling.
    Useful,
    /// It was not.
    Noise,
}

impl Opinion {
    /// The word shown and accepted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Useful => "useful",
            Self::Noise => "noise",
        }
    }
}

/// One person's word on one finding, with what is needed to make use of it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The finding.
    pub finding: FindingId,
    /// What is thought of it; `None` takes an earlier word back.
    pub opinion: Option<Opinion>,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Time,
    /// What the finding was about.
    pub entity: EntityId,
    /// Which check made it.
    pub check: Check,
    /// Series it was seen in, when it was a metric.
    pub series: Option<SeriesId>,
    /// Name of the metric, template or edge, untrusted.
    pub subject: Box<str>,
    /// How unusual it was.
    pub score: f32,
}

/// How much rarer something must be to be told again, because people called it noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The check.
    pub check: Check,
    /// Name of the metric, template or edge, untrusted.
    pub subject: Box<str>,
    /// The entity; `None` for its peers: the same subject on every other entity.
    pub entity: Option<EntityId>,
    /// By how much the bar is raised, in powers of ten of the false-alarm rate.
    pub raised_by: f32,
    /// Labels that say noise, less those that say useful.
    pub noise: i32,
}

/// Everything people said, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Feedback {
    /// The labels that stand, by finding.
    pub labels: Vec<Label>,
    /// The bars that are raised.
    pub bars: Vec<Bar>,
    /// Observations not told because of a raised bar, since the start.
    pub held_back: u64,
    /// What merges and splits taught, by entity.
    #[serde(default)]
    pub bonds: Vec<Learned>,
}
