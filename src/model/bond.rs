//! What people say of two incidents, and of the entities they were about: one story, or two.

use serde::{Deserialize, Serialize};

use super::{EntityId, IncidentId, Time};

/// Whether the trouble of two entities is one story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bond {
    /// It is: a person merged their incidents.
    Together,
    /// It is not: a person split them.
    Apart,
}

impl Bond {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Apart => "apart",
        }
    }
}

/// A person's word on an incident and another one, kept with the incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regrouped {
    /// When.
    pub at: Time,
    /// Who said so.
    pub by: String,
    /// The other incident: the one merged in, or the one it was split from or into.
    pub other: IncidentId,
    /// What was said.
    pub bond: Bond,
    /// What this incident was about: the entity that explains the rest.
    pub ours: EntityId,
    /// What the other one was about.
    pub theirs: EntityId,
}

/// What people's merges and splits taught about two entities; the last word stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// One entity.
    pub one: EntityId,
    /// The other.
    pub other: EntityId,
    /// Whether their trouble is one story.
    pub bond: Bond,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Time,
    /// Of which incident.
    pub incident: IncidentId,
}
