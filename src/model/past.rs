//! What past incidents teach the present one: those that looked alike, and the causes people found.

use serde::{Deserialize, Serialize};

use super::{EntityId, IncidentId, Time};

/// What a person found to have caused an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrueCause {
    /// Where it was.
    pub entity: EntityId,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: Time,
}

/// A past incident that looked like this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Similar {
    /// Which.
    pub incident: IncidentId,
    /// How alike, 0 to 1: what both show over what either shows, the unusual counting more.
    pub likeness: f32,
    /// Its title, untrusted.
    pub title: Box<str>,
    /// When it began.
    pub began: Time,
    /// Its cause, if a person said.
    pub cause: Option<EntityId>,
    /// What was done about it, in order.
    pub done: Vec<Done>,
}

/// A plan that ran for a past incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Its title, untrusted.
    pub title: Box<str>,
    /// The entity it acted upon.
    pub target: EntityId,
    /// Whether it was seen to help.
    pub helped: bool,
}

/// How often suspects of one kind were right, among incidents whose cause a person named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HitRate {
    /// The kind of cause: `change`, `resource`, …
    pub kind: Box<str>,
    /// Incidents in which the first suspect was of this kind and was the cause.
    pub right: u32,
    /// Incidents in which the first suspect was of this kind.
    pub of: u32,
}
