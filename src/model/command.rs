//! What people ask for, and why it may be refused.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Coordinate, EntityId, FindingId, IncidentId, Opinion, Outcome, PlanId, SilenceId, SilenceKind,
    SilenceSpec, SilenceTwin, Time,
};

/// What a person may do, each role including the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Acknowledges, notes, approves low and medium risk.
    Responder,
    /// Approves high risk, runs the incident.
    Commander,
    /// Changes policy.
    Admin,
}

/// The role it takes to allow automation again once somebody has stopped it; stopping it takes less.
pub const ALLOWS_AUTOMATION: Role = Role::Commander;

impl Role {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Commander => "commander",
            Self::Admin => "admin",
        }
    }
}

/// Who gives a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Login name, from the socket's peer credentials or the token.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

/// What a person may ask of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command")]
pub enum Command {
    /// Take an incident.
    Acknowledge {
        /// Which.
        incident: IncidentId,
    },
    /// Give an incident to somebody.
    Assign {
        /// Which.
        incident: IncidentId,
        /// To whom.
        to: String,
    },
    /// Write something down.
    Note {
        /// Which.
        incident: IncidentId,
        /// What, untrusted.
        text: String,
    },
    /// Declare it over.
    Resolve {
        /// Which.
        incident: IncidentId,
    },
    /// Declare it not over.
    Reopen {
        /// Which.
        incident: IncidentId,
    },
    /// Say what caused an incident, also long after it is over.
    NameCause {
        /// Which.
        incident: IncidentId,
        /// Where the cause was; `None` takes back what was said.
        cause: Option<EntityId>,
        /// The change that it was, by id, if it was one: that confirms it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<Box<str>>,
    },
    /// Say that an incident is part of another.
    Merge {
        /// Which; it becomes part of the other.
        incident: IncidentId,
        /// The one that stays.
        into: IncidentId,
    },
    /// Say that some entities of an incident are another story: they become one of their own.
    Split {
        /// Which.
        incident: IncidentId,
        /// Whose findings and alerts go; the first is taken for the cause.
        entities: Vec<EntityId>,
    },
    /// Take back what merges and splits taught about two entities: evidence alone groups them again.
    Forget {
        /// One entity.
        one: EntityId,
        /// The other.
        other: EntityId,
    },
    /// Arrange who does what on an incident, and say what those outside were told.
    Coordinate {
        /// Which.
        incident: IncidentId,
        /// What changes.
        act: Coordinate,
    },
    /// Render a runbook for an incident although the engine did not propose it.
    Propose {
        /// Which.
        incident: IncidentId,
        /// Name of the runbook.
        runbook: String,
        /// The entity to act upon.
        target: EntityId,
    },
    /// Say yes to exactly what was shown.
    Approve {
        /// Which.
        plan: PlanId,
        /// Digest of what was shown.
        digest: String,
    },
    /// Say no.
    Reject {
        /// Which.
        plan: PlanId,
        /// Why.
        reason: String,
    },
    /// Stop a running plan and undo what it did; or undo one that is over, as it was shown.
    RollBack {
        /// Which.
        plan: PlanId,
        /// Digest of what was shown; demanded of a plan that is over, because it starts something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// Say what happened to a step whose result is unknown.
    Settle {
        /// Which.
        plan: PlanId,
        /// What happened.
        outcome: Outcome,
    },
    /// Say what you think of a finding, or take it back.
    Mark {
        /// Which.
        finding: FindingId,
        /// What you think; nothing takes back what was said.
        opinion: Option<Opinion>,
    },
    /// Say that the level a metric has moved to is normal now: its finding ends without recovery.
    Accept {
        /// Which.
        finding: FindingId,
    },
    /// Stop or allow all automation.
    KillSwitch {
        /// Whether automation is stopped.
        on: bool,
    },
    /// Hold alerts back, or change what is held back.
    Silence {
        /// What, until when, and why.
        spec: Box<SilenceSpec>,
        /// The same in an Alertmanager: said by the daemon, which keeps both in step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        twin: Option<SilenceTwin>,
    },
    /// Hold nothing back by a silence any more.
    Expire {
        /// Which.
        silence: SilenceId,
    },
}

impl Command {
    /// What is asked for, as a phrase with plain words: `acknowledge #4`.
    pub fn phrase(&self) -> String {
        match self {
            Self::Acknowledge { incident } => format!("acknowledge {incident}"),
            Self::Assign { incident, to } => format!("assign {incident} to {to}"),
            Self::Note { incident, text } => format!("note on {incident}: {text}"),
            Self::Resolve { incident } => format!("declare {incident} over"),
            Self::Reopen { incident } => format!("reopen {incident}"),
            Self::Merge { incident, into } => format!("merge {incident} into {into}"),
            Self::Split { incident, entities } => {
                let names: Vec<&str> = entities.iter().map(EntityId::name).collect();
                format!("split {} from {incident}", names.join(", "))
            }
            Self::Forget { one, other } => {
                format!(
                    "forget what was said of {} and {}",
                    one.name(),
                    other.name()
                )
            }
            Self::Coordinate { incident, act } => format!("{} on {incident}", act.phrase()),
            Self::Propose {
                incident,
                runbook,
                target,
            } => format!("propose {runbook} for {} on {incident}", target.name()),
            Self::Approve { plan, .. } => format!("approve {plan}"),
            Self::Reject { plan, reason } => format!("reject {plan}: {reason}"),
            Self::RollBack { plan, .. } => format!("roll back {plan}"),
            Self::Settle { plan, outcome } => format!("settle {plan}: it {outcome}"),
            Self::Mark { finding, opinion } => {
                let opinion = opinion.map_or("not judged", Opinion::as_str);
                format!("mark finding {} as {opinion}", finding.0)
            }
            Self::Accept { finding } => format!("accept finding {} as normal", finding.0),
            Self::NameCause {
                incident,
                change: Some(change),
                ..
            } => format!("confirm change {change} as the cause of {incident}"),
            Self::NameCause {
                incident, cause, ..
            } => match cause {
                Some(cause) => format!("name {} as the cause of {incident}", cause.name()),
                None => format!("take back the cause of {incident}"),
            },
            Self::KillSwitch { on: true } => "stop all automation".to_owned(),
            Self::KillSwitch { on: false } => "allow automation again".to_owned(),
            Self::Silence { spec, .. } => {
                let matchers: Vec<String> = spec.matchers.iter().map(ToString::to_string).collect();
                let verb = match spec.kind {
                    SilenceKind::Silence => "silence",
                    SilenceKind::Maintenance => "open maintenance for",
                };
                let (until, reason) = (spec.ends_at, &spec.reason);
                format!("{verb} {} until {until}: {reason}", matchers.join(", "))
            }
            Self::Expire { silence } => format!("end {silence}"),
        }
    }
}

/// Longest text of a person that is taken, in bytes: a note, a reason, a name. Longer ones are refused.
pub const PERSON_TEXT_BYTES_MAX: usize = 8_000;

/// Why a command was refused. Nothing has changed when one is returned.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refused")]
pub enum Refusal {
    /// It is long over.
    #[error("this is a replay: nothing can be decided in it")]
    Replay,
    /// The past is gone through first.
    #[error("baselines are being learned from history: decide again when that is done")]
    Learning,
    /// A name or a text that was needed is empty.
    #[error("{what} is empty: say it, so that the journal tells who and why")]
    Empty {
        /// What was left out.
        what: String,
    },
    /// There is no such incident.
    #[error("there is no incident {incident}")]
    NoIncident {
        /// The one asked for.
        incident: IncidentId,
    },
    /// There is no such finding, or it is long over.
    #[error("there is no finding {}", finding.0)]
    NoFinding {
        /// The one asked for.
        finding: FindingId,
    },
    /// There is no such silence, or it is long over.
    #[error("there is no {silence}")]
    NoSilence {
        /// The one asked for.
        silence: SilenceId,
    },
    /// A silence that would hide too much, or nothing.
    #[error("cannot silence: {why}")]
    Silence {
        /// What is wrong with it.
        why: String,
    },
    /// There is no such plan.
    #[error("there is no {plan}")]
    NoPlan {
        /// The one asked for.
        plan: PlanId,
    },
    /// There is no such runbook, or it does not fit.
    #[error("runbook {runbook:?}: {why}")]
    Runbook {
        /// The one asked for.
        runbook: String,
        /// What is wrong with it.
        why: String,
    },
    /// The role does not allow it.
    #[error("needs the role {needed:?}, {name} is {has:?}")]
    Role {
        /// Who asked.
        name: String,
        /// What they are.
        has: Role,
        /// What it takes.
        needed: Role,
    },
    /// The plan or incident is in a state that does not allow it.
    #[error("{what} is {state}: {why}")]
    State {
        /// Which plan or incident.
        what: String,
        /// Its state in one word.
        state: String,
        /// Why that does not allow it.
        why: String,
    },
    /// The digest is not that of the plan as it is now.
    #[error("{plan} is not what was shown: its digest is now {now}")]
    Digest {
        /// The plan.
        plan: PlanId,
        /// Its digest.
        now: String,
    },
    /// It expired.
    #[error("{plan} expired at {at}")]
    Expired {
        /// The plan.
        plan: PlanId,
        /// When.
        at: Time,
    },
    /// The same person already approved.
    #[error("{name} already approved {plan}; policy wants another person")]
    SamePerson {
        /// The plan.
        plan: PlanId,
        /// Who.
        name: String,
    },
    /// The kill switch is on.
    #[error("all automation is stopped by the kill switch")]
    KillSwitch,
    /// Policy forbids it.
    #[error("policy: {why}")]
    Policy {
        /// Which rule, in words.
        why: String,
    },
    /// The decision could not be made durable.
    #[error(
        "it is not on disk, because the journal cannot be written ({why}): nothing is started from it; stopping works, detection goes on"
    )]
    NotDurable {
        /// What failed.
        why: String,
    },
}
