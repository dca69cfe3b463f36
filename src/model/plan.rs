//! Plans: a runbook rendered for one incident, waiting for a person, then running.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EntityId, IncidentId, Outcome, Process, Role, RunId, RunPhase, SuspectKind, Time};

/// First sentence of a plan that a person chose; such a plan is not taken back by the engine.
pub const CHOSEN_BY_A_PERSON: &str = "chosen by a person, not proposed by the engine";
/// How a sentence begins that tells of a value which nobody measured: the author of the runbook wrote it.
pub const NOT_MEASURED: &str = "not measured: ";

/// Identity of a plan; counts up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub u64);

/// How dangerous a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Harmless if wrong.
    Low,
    /// May hurt for a moment.
    Medium,
    /// May hurt users or data: the approver types the target's name.
    High,
}

/// Which executor performs an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// A process on this machine, started from an argument vector, never through a shell.
    Command,
    /// The simulated system of the demo.
    Sim,
}

/// One thing to do, fully rendered: exactly what will run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What it does, in words.
    pub title: Box<str>,
    /// Who performs it.
    pub executor: ExecutorKind,
    /// Program and arguments.
    pub argv: Vec<Box<str>>,
    /// Killed and counted as failed after this long, in milliseconds.
    pub timeout_ms: i64,
}

/// How the engine decides whether a plan worked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// The incident's findings and alerts on the watched entity must be over within this long, in milliseconds.
    pub recover_within_ms: i64,
    /// The entity watched: the one that hurts, which need not be the target.
    pub watch: EntityId,
    /// A check to run as well; exit code 0 is success.
    pub check: Option<Action>,
}

/// One person's yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Who.
    pub by: String,
    /// When.
    pub at: Time,
    /// The digest they were shown.
    pub digest: Box<str>,
}

/// What was suspected of the target when a plan was proposed, to be compared with what is suspected now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspicion {
    /// What about it.
    pub cause: SuspectKind,
    /// Chance that it is the cause, 0 to 1.
    pub confidence: f32,
}

/// Where a plan is in its life. `engine::saga` lists every legal move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PlanState {
    /// Waits for approvals.
    Proposed,
    /// Its preconditions are being checked; the index of the one in flight.
    Checking {
        /// Index into [`Plan::preconditions`].
        step: u32,
    },
    /// Step `step` is in flight.
    Running {
        /// Index into [`Plan::steps`].
        step: u32,
    },
    /// All steps ran; waiting to see whether it helped.
    Verifying {
        /// When it is over for what is seen; after a restart, what cannot be seen yet is waited for longer.
        until: Time,
    },
    /// Undoing; `step` is in flight, counting down.
    RollingBack {
        /// Index into [`Plan::rollback`].
        step: u32,
        /// Why it is undone.
        reason: Box<str>,
    },
    /// Worked.
    Succeeded,
    /// Did not work, and was undone.
    RolledBack {
        /// Why.
        reason: Box<str>,
    },
    /// Did not work, and could not be undone or has no undo.
    Failed {
        /// Why.
        reason: Box<str>,
    },
    /// A step was started and its result is not known: a person must say.
    Unknown {
        /// The step in doubt.
        run: RunId,
    },
    /// A person said no.
    Rejected {
        /// Who.
        by: String,
        /// Why.
        reason: Box<str>,
    },
    /// Nobody approved in time.
    Expired,
    /// The ground shifted before it ran.
    Void {
        /// How.
        reason: Box<str>,
    },
}

/// How a plan of the same runbook went before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// Which.
    pub plan: PlanId,
    /// What it acted upon.
    pub target: EntityId,
    /// When it was approved.
    pub at: Time,
    /// How it ended: `succeeded`, `rolled back` or `failed`.
    pub ended: Box<str>,
    /// Why, unless it succeeded.
    pub why: Option<Box<str>>,
}

/// A plan: what would run, how it is verified and undone, and who agreed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Identity.
    pub id: PlanId,
    /// The incident it is for.
    pub incident: IncidentId,
    /// Name of the runbook it was rendered from.
    pub runbook: Box<str>,
    /// One line: what it does to what.
    pub title: Box<str>,
    /// The entity acted upon.
    pub target: EntityId,
    /// How dangerous it is.
    pub risk: Risk,
    /// Why it is proposed, in plain words.
    pub because: Vec<Box<str>>,
    /// What was suspected of the target then; `None` when it was no suspect.
    #[serde(default)]
    pub suspicion: Option<Suspicion>,
    /// Checks that must pass before the first step.
    pub preconditions: Vec<Action>,
    /// Steps, in order.
    pub steps: Vec<Action>,
    /// How to undo each step, by index; run backwards from the last step that ran. `None` has no undo.
    pub rollback: Vec<Option<Action>>,
    /// How it is verified.
    pub verify: Verification,
    /// SHA-256, in hex, of everything above: what an approval binds.
    pub digest: Box<str>,
    /// Approvals demanded by policy.
    pub approvals_needed: u32,
    /// Approvals given.
    pub approvals: Vec<Approval>,
    /// When it was proposed.
    pub created: Time,
    /// When it stops being approvable.
    pub expires: Time,
    /// Where it is.
    pub state: PlanState,
    /// Times this runbook was tried on this target before, and how often it helped.
    pub tried: u32,
    /// See `tried`.
    pub worked: u32,
    /// How its runbook went the last times, on any target, newest first.
    #[serde(default)]
    pub before: Vec<PastRun>,
    /// Results so far, oldest first.
    pub results: Vec<(RunId, Outcome)>,
    /// The process of the run in flight or in doubt, as long as it is not known to have ended.
    #[serde(default)]
    pub process: Option<Process>,
    /// Those who want it undone though it is over, while others must agree.
    #[serde(default)]
    pub undo_approvals: Vec<Approval>,
    /// Whether it succeeded once, whatever became of it after that: who undoes it says nothing about it.
    #[serde(default)]
    pub helped: bool,
    /// Whether people, or the kill switch, stopped it or took it back: that it was undone then says nothing
    /// about it.
    #[serde(default)]
    pub by_hand: bool,
}

impl Plan {
    /// The process of the run in doubt, when that run goes on although nobody hears of it.
    pub fn runs_unheard(&self) -> Option<&Process> {
        let process = self.process.as_ref()?;
        matches!(self.state, PlanState::Unknown { .. }).then_some(process)
    }
}

impl Plan {
    /// Whether a person chose it, rather than the engine.
    pub fn is_chosen(&self) -> bool {
        let first = self.because.first();
        first.is_some_and(|first| **first == *CHOSEN_BY_A_PERSON)
    }

    /// Why it is proposed.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        let said = self.because.iter().map(|sentence| &**sentence);
        said.filter(|sentence| !sentence.starts_with(NOT_MEASURED))
    }

    /// Values in it that nobody measured, a sentence each.
    pub fn assumed(&self) -> impl Iterator<Item = &str> {
        let said = self.because.iter().map(|sentence| &**sentence);
        said.filter(|sentence| sentence.starts_with(NOT_MEASURED))
    }

    /// Whether a step of it failed or was never started: what hurts afterwards then says nothing about whether
    /// it would have helped.
    pub fn stopped_short(&self) -> bool {
        let last = |phase, step: usize| {
            let of_it = |run: &RunId| run.phase == phase && run.step as usize == step;
            let mut results = self.results.iter().rev();
            results
                .find(|(run, _)| of_it(run))
                .map(|(_, outcome)| outcome)
        };
        let failed = |step| {
            last(RunPhase::Forward, step).is_some_and(|outcome| *outcome != Outcome::Succeeded)
        };
        let unverified = matches!(last(RunPhase::Verify, 0), Some(Outcome::NotStarted { .. }));
        unverified || (0..self.steps.len()).any(failed)
    }

    /// Whether it had helped before a person took all of it back.
    pub const fn was_taken_back(&self) -> bool {
        self.helped && matches!(self.state, PlanState::RolledBack { .. })
    }
}

impl PlanState {
    /// The word shown.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Checking { .. } => "checking",
            Self::Running { .. } => "running",
            Self::Verifying { .. } => "verifying",
            Self::RollingBack { .. } => "rolling back",
            Self::Succeeded => "succeeded",
            Self::RolledBack { .. } => "rolled back",
            Self::Failed { .. } => "failed",
            Self::Unknown { .. } => "unknown",
            Self::Rejected { .. } => "rejected",
            Self::Expired => "expired",
            Self::Void { .. } => "void",
        }
    }

    /// Whether nothing more will happen to the plan by itself.
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Succeeded
                | Self::RolledBack { .. }
                | Self::Failed { .. }
                | Self::Rejected { .. }
                | Self::Expired
                | Self::Void { .. }
        )
    }

    /// Whether it ran to its end, well or not; a plan that was never approved did not.
    pub const fn has_run(&self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::RolledBack { .. } | Self::Failed { .. }
        )
    }
}

impl Risk {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The role it takes to say yes to a plan of this risk, or what became of one of its steps.
    pub const fn approver(self) -> Role {
        match self {
            Self::Low | Self::Medium => Role::Responder,
            Self::High => Role::Commander,
        }
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plan {}", self.0)
    }
}
