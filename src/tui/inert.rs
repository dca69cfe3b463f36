//! Why an action cannot be performed now. A refusal is told where the key was pressed; it never lets what
//! is typed after it do something else.

use crate::api::View;
use crate::model::{ALLOWS_AUTOMATION, Mode, Phase, Plan, PlanState, Role as Rank};

use super::action::{Action, Scope};
use super::explain;
use super::state::{Deed, Gone, Screen, State, has_undo};

/// Why a key cannot have meant what is under the cursor now; `None` when it can.
pub(super) fn hasty(state: &State, action: Action) -> Option<String> {
    let on_marks = state.place.screen == Screen::Incidents && !state.list.marks.is_empty();
    match (action, action.row().scope) {
        // A stop is never too early, and what was marked is what was meant.
        (Action::KillSwitch | Action::Silences, _) => None,
        (_, Scope::Incident) if on_marks => None,
        (_, Scope::Incident) => state.shifted(false),
        (_, Scope::Plan) => state.shifted(true),
        _ => None,
    }
}

/// Why an action cannot be performed now; `None` when it can.
pub(super) fn inert(state: &State, action: Action) -> Option<String> {
    inert_on(state, state.feed.view.as_ref(), action)
}

/// The same on the view drawn, which may be held still; a yes that policy would refuse is not offered
/// either, though its key still shows the plan.
pub(super) fn seems_inert(state: &State, action: Action) -> Option<String> {
    inert_on(state, state.feed.shown(), action).or_else(|| barred(state, action))
}

fn barred(state: &State, action: Action) -> Option<String> {
    let plan = state.plan()?;
    match (action, &plan.state) {
        (Action::Approve, PlanState::Proposed) => state.barred(plan, Deed::Approve),
        (Action::RollBack, state_now) if state_now.is_final() => state.barred(plan, Deed::RollBack),
        _ => None,
    }
}

/// Where to press a key that would do something to the rows of another screen, unseen.
pub(super) fn elsewhere(state: &State, action: Action) -> Option<&'static str> {
    let on_list = state.place.screen == Screen::Incidents;
    let on_incident = matches!(state.place.screen, Screen::Incident(_));
    match action {
        Action::Mark | Action::MarkRange if on_list => None,
        Action::MarkRange if on_incident => None,
        Action::Mark | Action::MarkRange => Some("Incidents are marked, in their list."),
        Action::Sort | Action::Reverse if on_incident => {
            Some("Incidents are sorted in their list.")
        }
        Action::Sort | Action::Reverse if state.place.screen == Screen::Sources => {
            Some("Sources stand in the order of their names.")
        }
        Action::Compare | Action::Heatmap | Action::Whole if !on_list && !on_incident => {
            Some("Open an incident first.")
        }
        Action::NextAnomaly
        | Action::PreviousAnomaly
        | Action::NextChange
        | Action::PreviousChange
        | Action::NextBookmark
            if state.chosen().is_none() =>
        {
            Some("Open an incident first.")
        }
        _ => None,
    }
}

fn inert_on(state: &State, view: Option<&View>, action: Action) -> Option<String> {
    let scope = action.row().scope;
    if !matches!(scope, Scope::Incident | Scope::Plan) {
        return None;
    }
    let Some(view) = view else {
        return Some("not connected yet".to_owned());
    };
    if let Some(why) = only_reads(state, view) {
        return Some(why);
    }
    // These are about no incident, or about the alert under the cursor.
    let on_alerts = state.place.screen == Screen::Alerts;
    match action {
        Action::KillSwitch => return may_not_allow(view),
        Action::Silences => return None,
        Action::Silence if on_alerts => {
            let none = explain::alert_here(state).is_none();
            return none.then(|| "there is no alert here".to_owned());
        }
        _ => {}
    }
    let Some(row) = state.chosen().and_then(|id| view.incidents.get(&id)) else {
        return Some(match (state.gone(), state.chosen()) {
            (Some(Gone::Merged(home)), Some(id)) => {
                format!("{id} is part of {home} now: Enter opens that")
            }
            (Some(_), Some(id)) => format!("{id} is in the list no more"),
            _ => "no incident is chosen".to_owned(),
        });
    };
    match action {
        Action::Acknowledge if row.owner.as_ref() == Some(&view.actor.name) => {
            Some("it is yours already".to_owned())
        }
        Action::Acknowledge | Action::Assign | Action::Resolve | Action::Propose
            if row.phase == Phase::Resolved =>
        {
            Some("it is over; X reopens it".to_owned())
        }
        Action::Cause | Action::Split | Action::Desk | Action::Status
            if state.details.get(row.id).is_none() =>
        {
            Some("it is being fetched".to_owned())
        }
        Action::Reopen if !matches!(row.phase, Phase::Resolved | Phase::Mitigated) => {
            Some("it is open".to_owned())
        }
        _ if scope == Scope::Plan => inert_plan(state, row.plan.is_some(), action),
        _ => None,
    }
}

/// Why this operator may not allow automation again; whoever may decide may stop it.
fn may_not_allow(view: &View) -> Option<String> {
    let me = &view.actor;
    let is_too_low = view.automation_stopped && me.role < ALLOWS_AUTOMATION;
    is_too_low.then(|| {
        let (name, has, needed) = (&me.name, me.role.as_str(), ALLOWS_AUTOMATION.as_str());
        format!("automation is stopped; you are a {has} ({name}), and it takes a {needed} to allow it again")
    })
}

/// Why nothing can be decided on this screen, whatever it is about; `None` when it can.
pub(super) fn only_reads(state: &State, view: &View) -> Option<String> {
    if state.travel.is_some() {
        let back = state.keymap.keys(Action::Travel).unwrap_or_default();
        return Some(format!("you look at the past; {back} comes back to now"));
    }
    match view.mode {
        Mode::Live => {}
        Mode::Learning => {
            return Some("still learning from history; nothing happened yet".to_owned());
        }
        Mode::Replay { .. } => {
            return Some("this is a replay: nothing can be decided in it".to_owned());
        }
    }
    if view.actor.role < Rank::Responder {
        return Some(format!(
            "you are a viewer ({}); it takes a responder",
            view.actor.name
        ));
    }
    None
}

fn inert_plan(state: &State, has_plan: bool, action: Action) -> Option<String> {
    let Some(plan) = state.plan() else {
        return Some(if has_plan {
            "the plan is being fetched".to_owned()
        } else {
            "no plan is proposed; p chooses a runbook".to_owned()
        });
    };
    let word = plan.state.as_str();
    match (action, &plan.state) {
        (Action::Approve, PlanState::Proposed) if plan.expires <= state.engine_now() => {
            Some(format!("{} has expired; p chooses a runbook", plan.id))
        }
        (Action::Approve, PlanState::Proposed) if state.has_approved(plan) => {
            Some("you approved it already; it takes another person".to_owned())
        }
        (Action::Approve | Action::Reject, PlanState::Proposed) => None,
        // What goes on has no end yet that anybody could tell.
        (Action::Approve, PlanState::Unknown { .. }) => {
            state.still_runs(plan).or_else(|| state.too_low(plan))
        }
        (Action::RollBack, _) if plan.runs_unheard().is_some() => None,
        (Action::RollBack, _) if may_roll_back(plan) => None,
        (Action::Approve, _) => Some(format!("{} is {word}: nothing to approve", plan.id)),
        (Action::Reject, _) => Some(format!("{} is {word}: too late to reject", plan.id)),
        _ => Some(format!("{} is {word}: nothing to undo", plan.id)),
    }
}

/// What `engine::saga` lets a person stop and undo; it has the last word.
fn may_roll_back(plan: &Plan) -> bool {
    match plan.state {
        PlanState::Checking { .. } | PlanState::Running { .. } | PlanState::Verifying { .. } => {
            true
        }
        // A step that failed may have done half its work.
        PlanState::Succeeded | PlanState::Failed { .. } => has_undo(plan),
        _ => false,
    }
}
