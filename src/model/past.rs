//! What past incidents teach the present one: those that looked alike, and the causes people found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EntityId, IncidentId, Method, Time};

/// What a person found to have caused an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrueCause {
    /// Where it was.
    pub entity: EntityId,
    /// The change that it was, if it was one: its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<str>>,
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

/// How often the first suspect was right that a method spoke loudest for, among incidents whose cause a person
/// named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodRate {
    /// The method.
    pub method: Method,
    /// Incidents in which it led to the cause.
    pub right: u32,
    /// Incidents in which it led to the first suspect.
    pub of: u32,
}

/// Which weights a diagnosis was made with: the same version gives the same weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// The formula by which hit rates become weights; counts up when that changes, 0 when none were used.
    pub formula: u32,
    /// Incidents whose cause was named and that hit rates were read off.
    pub labelled: u32,
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.formula, self.labelled)
    }
}
