//! What the engine is fed, stamped once with its sequence number and time.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Actor, Alert, Batch, Change, Command, PlanId, SourceId, Time};

/// One input. `at` is set once by `daemon::clock` and does not decrease, unless the clock is set back; `seq` counts up by one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Sequence number, from 1.
    pub seq: u64,
    /// When it was received.
    pub at: Time,
    /// What was received.
    pub input: Input,
}

/// Everything that can happen to the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Telemetry from one source.
    Signals(Batch),
    /// A person asks for something.
    Command {
        /// Who.
        by: Actor,
        /// What.
        what: Command,
    },
    /// An executor reports.
    Step(StepEvent),
    /// After a restart, before anything else: what was told before it and no journal keeps.
    Recalled(Box<Recalled>),
    /// Time passed; at least one a second of engine time.
    Tick,
}

/// What senders told before a restart and need not tell again: most repeat an alert only now and then,
/// and a deploy never.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recalled {
    /// Alerts whose end was not heard of.
    pub alerts: Vec<FiringAlert>,
    /// Changes, oldest first.
    pub changes: Vec<Change>,
    /// When anything was last heard before the restart, if that is known.
    #[serde(default)]
    pub heard: Option<Time>,
}

/// An alert that fires, and since when it was known to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiringAlert {
    /// The alert; its end is always given.
    pub alert: Alert,
    /// When it came, or came again after an end.
    pub came: Time,
    /// The source it was sent to last; `None` when that is not known.
    #[serde(default)]
    pub source: Option<SourceId>,
    /// When it was sent last; `None` when that is not known.
    #[serde(default)]
    pub told_at: Option<Time>,
    /// What is known of its sender, if that fell silent.
    #[serde(default)]
    pub unheard: Option<Silenced>,
}

/// That the sender of an alert fell silent, so that its end says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silenced {
    /// Since when that is known.
    pub since: Time,
    /// How it is known, in words.
    pub why: Box<str>,
    /// Sources that fell silent with it.
    pub with: Vec<SourceId>,
}

/// Which part of a plan a run belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// A check before the first step.
    Precondition,
    /// A step.
    Forward,
    /// The check after the last step.
    Verify,
    /// The undo of a step.
    Rollback,
}

/// Identity of one run of one action; an executor never runs the same one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    /// The plan.
    pub plan: PlanId,
    /// The part of it.
    pub phase: RunPhase,
    /// Index of the action within that part.
    pub step: u32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Exit code 0, or its like.
    Succeeded,
    /// It ran and failed.
    Failed {
        /// Exit code or error in words, untrusted.
        why: String,
    },
    /// It was killed after its timeout.
    TimedOut,
    /// It was started, and what became of it is not known.
    Unknown,
    /// It was never started: what the engine asked for could not be made durable first, or there is no
    /// such program.
    NotStarted {
        /// Why, in words.
        why: String,
        /// It is this run alone that cannot be started: others, such as the undo of what ran, may be.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alone: bool,
    },
}

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number, which another process may bear later.
    pub pid: u32,
    /// What no other process of that number has: the boot it belongs to and when in it it began.
    pub mark: Box<str>,
    /// When it began.
    pub began: Time,
}

/// What an executor reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvent {
    /// Of which run.
    pub run: RunId,
    /// What.
    pub kind: StepEventKind,
}

/// See [`StepEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEventKind {
    /// A line it printed, untrusted and cut to a bounded length by the executor.
    Output(String),
    /// It ended.
    Finished(Outcome),
    /// It is this process from now on.
    Began(Process),
    /// After a restart: this process of it still lives, and is watched again.
    Lives(Process),
    /// After a restart: no process of it lives any more, and nobody heard how it ended.
    Gone,
    /// After a restart: whether anything of it still lives cannot be found out.
    NotKnown,
}

impl RunPhase {
    /// The word for one run of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Precondition => "check",
            Self::Forward => "step",
            Self::Verify => "verification",
            Self::Rollback => "undo of step",
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.plan, self.phase.as_str())?;
        match self.phase {
            RunPhase::Verify => Ok(()),
            _ => write!(f, " {}", self.step + 1),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded => f.write_str("succeeded"),
            Self::Failed { why } => write!(f, "failed: {why}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unknown => f.write_str("unknown"),
            Self::NotStarted { why, .. } => write!(f, "not started: {why}"),
        }
    }
}
