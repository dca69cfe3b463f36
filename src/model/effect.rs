//! What the engine wants done. The daemon performs effects in order.

use serde::{Deserialize, Serialize};

use super::{Action, Delta, IncidentId, Record, RunId, Severity};

/// One thing to do about an input. A [`Effect::Record`] is durable before any later effect happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Write to the journal.
    Record(Record),
    /// Consoles hold something else now.
    Changed(Delta),
    /// Perform an action that was approved.
    Run {
        /// Identity of the run.
        run: RunId,
        /// What to do.
        action: Action,
    },
    /// Stop a run that is in flight.
    Cancel {
        /// Identity of the run.
        run: RunId,
    },
    /// Tell people.
    Notify(Notification),
}

/// What happened to an incident that people should be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyEvent {
    /// It is bad, for the first time or again.
    Opened,
    /// It is worse than they were told.
    Raised,
    /// It is over.
    Resolved,
}

/// Something people should be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Which incident.
    pub incident: IncidentId,
    /// What happened to it.
    pub event: NotifyEvent,
    /// How bad.
    pub severity: Severity,
    /// One line, untrusted.
    pub text: Box<str>,
}
