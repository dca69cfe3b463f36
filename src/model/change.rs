//! Changes people and pipelines make: the first thing to look at when something breaks.

use serde::{Deserialize, Serialize};

use super::{EntityId, Labels, Time};

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A new version was rolled out.
    Deploy,
    /// Configuration was edited.
    Config,
    /// Replicas or size were changed.
    Scale,
    /// A feature flag was flipped.
    Flag,
    /// A deploy was taken back.
    Rollback,
    /// Anything else.
    Other,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The sender's id for it, for idempotent resends.
    pub id: Box<str>,
    /// When it took effect.
    pub at: Time,
    /// What was changed.
    pub kind: ChangeKind,
    /// What it was made to.
    pub entity: EntityId,
    /// One line, untrusted: `checkout v812`.
    pub title: Box<str>,
    /// Version it led to, if it has one.
    pub version: Option<Box<str>>,
    /// Version before, if known: what a rollback would return to.
    pub previous_version: Option<Box<str>>,
    /// Who or what made it, untrusted.
    pub by: Option<Box<str>>,
    /// More about it: environment, commit, link.
    pub labels: Labels,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Deploy,
        Self::Config,
        Self::Scale,
        Self::Flag,
        Self::Rollback,
        Self::Other,
    ];

    /// The word shown and accepted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Config => "config",
            Self::Scale => "scale",
            Self::Flag => "flag",
            Self::Rollback => "rollback",
            Self::Other => "change",
        }
    }
}
