//! What the journal keeps: every decision and what came of it, enough to rebuild incidents and plans.

use serde::{Deserialize, Serialize};

use super::{Actor, Command, Incident, Label, Plan, Refusal, RunId, Silence, StepEvent, Time};

/// A fact of the journal with the time it was received at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dated {
    /// When the input that caused it was received; zero where that was not kept.
    pub at: Time,
    /// The fact.
    pub record: Record,
}

/// One fact for the journal. The engine emits it before the effect it justifies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "record")]
pub enum Record {
    /// The daemon started on this journal.
    Started {
        /// Version of the program.
        version: String,
        /// When.
        at: Time,
        /// Signs that lines were cut off or replaced while no daemon ran, a sentence each; they stay in the
        /// journal, so that they are seen for ever. Mostly none.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        found: Vec<String>,
        /// Whether the run before never came to its end (it was killed, it crashed, or the machine went down), or its
        /// last records could not be written.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unclean: bool,
    },
    /// The daemon's clock was set back by so much that the engine followed it.
    ClockSetBack {
        /// The time the engine had come to.
        from: Time,
        /// The time it is.
        to: Time,
    },
    /// A person said what they think of a finding, or took it back.
    Label {
        /// What was said of what.
        label: Box<Label>,
    },
    /// A silence was made, changed or ended, as it was then.
    Silence {
        /// The silence.
        silence: Box<Silence>,
    },
    /// A command, accepted or refused.
    Decision {
        /// Who.
        by: Actor,
        /// What.
        what: Command,
        /// `None` when accepted.
        refused: Option<Refusal>,
    },
    /// An incident was opened or changed phase, as it was then.
    Incident {
        /// The incident.
        incident: Box<Incident>,
    },
    /// A plan was proposed or changed state, as it was then.
    Plan {
        /// The plan.
        plan: Box<Plan>,
    },
    /// A run is about to start. Without a matching `Result` after a crash, its outcome is unknown.
    Intent {
        /// The run.
        run: RunId,
        /// Exactly what will run.
        argv: Vec<Box<str>>,
    },
    /// What an executor reported.
    Result {
        /// The report.
        event: StepEvent,
    },
}

impl Record {
    /// With no time: where it was not kept, or does not matter.
    pub const fn undated(self) -> Dated {
        Dated {
            at: Time::ZERO,
            record: self,
        }
    }
}
