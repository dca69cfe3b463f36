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
    // Checkpoints and recordings keep the place of a kind: new ones come last.
    /// More work arrived than usual: found by the engine, or announced.
    Traffic,
    /// Something was to happen then: a maintenance window, a date that was announced.
    Calendar,
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
    pub const ALL: [Self; 8] = [
        Self::Deploy,
        Self::Config,
        Self::Scale,
        Self::Flag,
        Self::Rollback,
        Self::Traffic,
        Self::Calendar,
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
            Self::Traffic => "traffic",
            Self::Calendar => "calendar",
            Self::Other => "change",
        }
    }
}

/// What is thought of a change and an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// Nothing speaks for it.
    #[default]
    None,
    /// The engine suspects it.
    Suspect,
    /// A person says that it was the cause: nobody else can.
    Confirmed,
}

impl ChangeState {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Suspect => "suspect",
            Self::Confirmed => "confirmed",
        }
    }
}

/// A change that may have set an incident off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeOf {
    /// [`Change::id`]; made up for what the engine or the calendar tells.
    pub id: Box<str>,
    /// When it took effect.
    pub at: Time,
    /// What was changed.
    pub kind: ChangeKind,
    /// What it was made to.
    pub entity: EntityId,
    /// One line, untrusted.
    pub title: Box<str>,
    /// What is thought of it.
    pub state: ChangeState,
}

impl From<&Change> for ChangeOf {
    fn from(change: &Change) -> Self {
        Self {
            id: change.id.clone(),
            at: change.at,
            kind: change.kind,
            entity: change.entity.clone(),
            title: change.title.clone(),
            state: ChangeState::None,
        }
    }
}

impl ChangeOf {
    /// What was changed, its kind said once: titles often begin with it.
    pub fn named(&self) -> String {
        let (kind, title) = (self.kind.as_str(), &self.title);
        let begins = title.split_whitespace().next().unwrap_or_default();
        if begins.trim_end_matches(':').eq_ignore_ascii_case(kind) {
            title.to_string()
        } else {
            format!("{kind}: {title}")
        }
    }
}
