//! May this run? Roles, approvals, expiry, digest, kill switch, concurrency, and whether the ground shifted.
//!
//! Everything here is a question with a typed answer; nothing here changes anything.

use super::propose;
use super::recovery::Recovery;
use crate::config::PolicyConfig;
use crate::model::{
    ALLOWS_AUTOMATION, Actor, Change, ChangeKind, Command, Coordinate, Incident,
    PERSON_TEXT_BYTES_MAX, Phase, Plan, PlanState, Refusal, Risk, Role, Runbook, Time,
};

/// What the engine sees around a plan when it asks [`ground`].
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The plan's incident; `None` when it is no longer known.
    pub incident: Option<&'a Incident>,
    /// How the signals are that the plan is verified by; asked once it has acted.
    pub recovery: &'a Recovery,
    /// The newest change of the plan's target.
    pub newest_change: Option<&'a Change>,
}

/// Whether what a plan was proposed for is still so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Yes.
    Holds,
    /// It has acted, and nobody has had the time since a restart to say whether it helped.
    Unheard,
    /// It has acted, and this place still hurts.
    Hurts(Box<str>),
    /// The signals it is verified by are back to normal; what hurts for another reason, in words.
    Recovered(Option<Box<str>>),
    /// No, for this reason: the plan is void if nothing ran yet.
    Shifted(Box<str>),
}

/// Looks at the ground a plan stands on.
///
/// A waiting plan loses its ground when its incident is over or calms down by itself, or when its
/// target is changed after the plan was made. A plan under verification has helped when the signals of
/// its own incident say so, see `engine::recovery`.
pub fn ground(plan: &Plan, scene: Scene<'_>) -> Ground {
    let calm = match scene.incident {
        None => Some("its incident is no longer known"),
        Some(incident) => match incident.phase {
            Phase::Resolved => Some("its incident is resolved"),
            // What is hidden still hurts.
            Phase::Mitigated if incident.hidden().is_some() => None,
            Phase::Mitigated => Some("the signals went back to normal by themselves"),
            Phase::Open | Phase::Acknowledged => None,
        },
    };
    if !matches!(plan.state, PlanState::Proposed) {
        // What was acted upon is judged by its signals alone: that somebody closed the incident, or that
        // it is forgotten, heals nothing.
        return match (scene.incident, &scene.recovery.hurting) {
            (None, _) => Ground::Holds,
            (Some(_), Some(place)) => Ground::Hurts(place.clone()),
            (Some(_), None) => Ground::Recovered(scene.recovery.excused.clone()),
        };
    }
    if let Some(reason) = calm {
        return Ground::Shifted(Box::from(reason));
    }
    match scene.newest_change {
        Some(change) if change.at > plan.created && moves_ground(change.kind) => {
            Ground::Shifted(Box::from(format!(
                "newer {} on {}: {}",
                change.kind.as_str(),
                plan.target,
                change.title
            )))
        }
        _ => Ground::Holds,
    }
}

/// Changes after which a plan made before them no longer says what it will do.
const fn moves_ground(kind: ChangeKind) -> bool {
    match kind {
        ChangeKind::Deploy | ChangeKind::Rollback | ChangeKind::Config | ChangeKind::Flag => true,
        ChangeKind::Scale | ChangeKind::Traffic | ChangeKind::Calendar | ChangeKind::Other => false,
    }
}

/// People who must approve a plan of this runbook: as many as policy asks for its risk, more if it says
/// so itself, and never fewer than one, whatever the config says.
pub fn approvals_for(policy: &PolicyConfig, runbook: &Runbook) -> u32 {
    let people = match runbook.risk {
        Risk::Low => policy.approvals_low,
        Risk::Medium => policy.approvals_medium,
        Risk::High => policy.approvals_high,
    };
    people.max(runbook.approvals.unwrap_or(1)).max(1)
}

/// Whether `by` may give this command on `plan` (`None` for those that name no plan).
pub fn role_allows(by: &Actor, what: &Command, plan: Option<&Plan>) -> Result<(), Refusal> {
    let of_risk = plan.map_or(Role::Responder, |plan| plan.risk.approver());
    let needed = match what {
        Command::Approve { .. } | Command::Settle { .. } => of_risk,
        // Stopping what runs is an emergency brake; taking back what is long done is a new risk.
        Command::RollBack { .. } if plan.is_some_and(|plan| plan.state.is_final()) => of_risk,
        Command::KillSwitch { on: false } => ALLOWS_AUTOMATION,
        Command::Acknowledge { .. }
        | Command::Assign { .. }
        | Command::Note { .. }
        | Command::Mark { .. }
        | Command::Accept { .. }
        | Command::Resolve { .. }
        | Command::Reopen { .. }
        | Command::Merge { .. }
        | Command::Split { .. }
        | Command::Forget { .. }
        | Command::Coordinate { .. }
        | Command::NameCause { .. }
        | Command::Propose { .. }
        | Command::Reject { .. }
        | Command::RollBack { .. }
        | Command::Silence { .. }
        | Command::Expire { .. }
        | Command::KillSwitch { on: true } => Role::Responder,
    };
    if by.role >= needed {
        return Ok(());
    }
    Err(Refusal::Role {
        name: by.name.clone(),
        has: by.role,
        needed,
    })
}

/// Whether a command says what the journal will be asked for: to whom, what, why.
pub fn says_enough(what: &Command) -> Result<(), Refusal> {
    let (name, text) = match what {
        Command::Assign { to, .. } => ("the name", to.as_str()),
        Command::Note { text, .. } => ("the note", text.as_str()),
        Command::Coordinate { act, .. } => match act {
            Coordinate::Duty { who: Some(who), .. } => ("the name", who.as_str()),
            Coordinate::Task { text, .. } => ("the task", text.as_str()),
            Coordinate::Status { text } => ("the status update", text.as_str()),
            Coordinate::Duty { who: None, .. } | Coordinate::Done { .. } => return Ok(()),
        },
        Command::Reject { reason, .. } => ("the reason", reason.as_str()),
        Command::Silence { spec, .. } => ("the reason", spec.reason.as_str()),
        Command::NameCause {
            cause: Some(cause), ..
        } => ("the entity", cause.name()),
        _ => return Ok(()),
    };
    let what = name.to_owned();
    if text.trim().is_empty() {
        return Err(Refusal::Empty { what });
    }
    if text.len() > PERSON_TEXT_BYTES_MAX {
        let bytes = text.len();
        return Err(Refusal::State {
            what,
            state: "too long".to_owned(),
            why: format!("it has {bytes} bytes, at most {PERSON_TEXT_BYTES_MAX} are kept"),
        });
    }
    Ok(())
}

/// Whether this approval counts, and whether the plan may start if it is the last one needed.
/// `acting` are the other plans that act now.
pub fn may_approve<'a>(
    policy: &PolicyConfig,
    plan: &Plan,
    by: &Actor,
    digest: &str,
    now: Time,
    acting: impl Iterator<Item = &'a Plan>,
) -> Result<(), Refusal> {
    if now >= plan.expires {
        return Err(Refusal::Expired {
            plan: plan.id,
            at: plan.expires,
        });
    }
    is_as_shown(plan, digest)?;
    if plan.approvals.iter().any(|given| given.by == by.name) {
        return Err(Refusal::SamePerson {
            plan: plan.id,
            name: by.name.clone(),
        });
    }
    if plan.approvals.len() + 1 < plan.approvals_needed.max(1) as usize {
        return Ok(());
    }
    may_start(policy, plan, acting)
}

/// Whether this wish to undo a plan that is over counts, and whether undoing may start if it is the
/// last one needed: the same as for a start. `asked` are those who asked before.
pub fn may_undo<'a>(
    policy: &PolicyConfig,
    plan: &Plan,
    by: &Actor,
    digest: Option<&str>,
    asked: &[&str],
    acting: impl Iterator<Item = &'a Plan>,
) -> Result<(), Refusal> {
    let digest = digest.ok_or_else(|| Refusal::Policy {
        why: format!(
            "{} is over: it is undone as it was shown, so say its digest",
            plan.id
        ),
    })?;
    is_as_shown(plan, digest)?;
    if asked.contains(&&*by.name) {
        return Err(Refusal::SamePerson {
            plan: plan.id,
            name: by.name.clone(),
        });
    }
    if asked.len() + 1 < plan.approvals_needed.max(1) as usize {
        return Ok(());
    }
    may_start(policy, plan, acting)
}

/// Whether a digest is that of the plan. It is computed, not read: a plan altered behind our back must
/// not pass as what was shown.
fn is_as_shown(plan: &Plan, digest: &str) -> Result<(), Refusal> {
    let now = propose::digest(plan);
    if digest == now {
        return Ok(());
    }
    Err(Refusal::Digest { plan: plan.id, now })
}

/// Whether the plan may start beside those that act now.
fn may_start<'a>(
    policy: &PolicyConfig,
    plan: &Plan,
    acting: impl Iterator<Item = &'a Plan>,
) -> Result<(), Refusal> {
    let mut count = 0;
    for other in acting {
        if other.target == plan.target {
            let why = format!("{} acts on {} already", other.id, plan.target);
            return Err(Refusal::Policy { why });
        }
        count += 1;
    }
    if count >= policy.concurrent_plans_max.max(1) {
        let why = format!(
            "at most {} plans may act at the same time (concurrent_plans_max)",
            policy.concurrent_plans_max.max(1)
        );
        return Err(Refusal::Policy { why });
    }
    Ok(())
}

/// Whether anything may be started at all. `stopped` is the kill switch.
pub fn may_run_at_all(policy: &PolicyConfig, stopped: bool) -> Result<(), Refusal> {
    if stopped {
        return Err(Refusal::KillSwitch);
    }
    if !policy.allow_run {
        let why = "plans are proposed only (allow_run = false)".to_owned();
        return Err(Refusal::Policy { why });
    }
    Ok(())
}

/// Whether a plan acts on the world now or may at any moment: it counts against concurrency.
pub const fn acts(state: &PlanState) -> bool {
    matches!(
        state,
        PlanState::Checking { .. }
            | PlanState::Running { .. }
            | PlanState::Verifying { .. }
            | PlanState::RollingBack { .. }
            | PlanState::Unknown { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, IncidentId, PlanId};

    #[test]
    fn empty_words_are_refused() {
        let incident = IncidentId(1);
        let (to, text) = ("ole".to_owned(), String::new());
        let (plan, reason) = (PlanId(1), "\n".to_owned());
        let named = |name: &str| Command::NameCause {
            incident,
            cause: Some(EntityId::parse(name)),
            change: None,
        };
        let nobody = Command::Assign {
            incident,
            to: " ".to_owned(),
        };
        let coordinate = |act| Command::Coordinate { incident, act };
        let taken_back = Command::NameCause {
            incident,
            cause: None,
            change: None,
        };
        let cases = [
            (nobody, Some("the name")),
            (Command::Assign { incident, to }, None),
            (Command::Note { incident, text }, Some("the note")),
            (Command::Reject { plan, reason }, Some("the reason")),
            (named(""), Some("the entity")),
            (named("cart"), None),
            (taken_back, None),
            (Command::Resolve { incident }, None),
            (coordinate(Coordinate::task("@mia in 5m")), Some("the task")),
            (coordinate(Coordinate::task("call @mia")), None),
        ];
        for (what, expected) in cases {
            let expected = expected.map(|what| Refusal::Empty {
                what: what.to_owned(),
            });
            assert_eq!(says_enough(&what).err(), expected, "{what:?}");
        }
        let note = |bytes| {
            let text = "x".repeat(bytes);
            says_enough(&Command::Note { incident, text })
        };
        assert_eq!(note(PERSON_TEXT_BYTES_MAX), Ok(()));
        let why = note(PERSON_TEXT_BYTES_MAX + 1).map_err(|why| why.to_string());
        let said = "the note is too long: it has 8001 bytes, at most 8000 are kept";
        assert_eq!(why, Err(said.to_owned()));
    }
}
