//! Plans: what could be done, what is being done, what was done; the one under the cursor with its
//! steps and results below.

use crate::api::IncidentDetail;
use crate::model::{Action, Plan, PlanState, RunPhase};
use crate::tui::explain::argv;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{State, Tab};
use crate::tui::theme::Role;

use super::headline::{expiry, progress, risk};

/// Draws the pane.
pub(super) fn draw(state: &State, detail: &IncidentDetail, canvas: &mut Canvas<'_>, focused: bool) {
    let plans = &detail.plans;
    if plans.is_empty() {
        let text = " No plan fits. p chooses a runbook by hand.";
        return canvas.row(0, &Row::new().put(Role::Muted, text));
    }
    let cursor = state.cursor(Tab::Actions);
    let at = cursor.at(plans.len());
    let listed = plans.len().min((canvas.height() / 3).max(1));
    for (y, i) in cursor.window(plans.len(), listed).enumerate() {
        canvas.row(y, &plan_row(state, &plans[i], i == at, focused));
    }
    for (y, row) in steps(state, &plans[at]).iter().enumerate() {
        canvas.row(listed + 1 + y, row);
    }
}

fn plan_row(state: &State, plan: &Plan, here: bool, focused: bool) -> Row {
    let row = super::cursor_mark(here, focused)
        .put(Role::Muted, format!("{}  ", plan.id))
        .join(risk(plan))
        .put(Role::Body, "  ")
        .join(progress(state, plan));
    if plan.state == PlanState::Proposed {
        row.put(Role::Muted, expiry(plan, state.engine_now()))
    } else {
        row
    }
}

fn steps(state: &State, plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, check) in plan.preconditions.iter().enumerate() {
        rows.extend(step(plan, RunPhase::Precondition, at, "check", check));
    }
    for (at, action) in plan.steps.iter().enumerate() {
        rows.extend(step(plan, RunPhase::Forward, at, "run", action));
    }
    if let Some(check) = &plan.verify.check {
        rows.extend(step(plan, RunPhase::Verify, 0, "verify", check));
    }
    for (at, action) in plan.rollback.iter().enumerate() {
        let started = plan
            .results
            .iter()
            .any(|(run, _)| run.phase == RunPhase::Rollback && run.step as usize == at);
        if let (Some(action), true) = (action, started) {
            rows.extend(step(plan, RunPhase::Rollback, at, "undo", action));
        }
    }
    for approval in &plan.approvals {
        let at = state.clock.second(approval.at);
        let text = format!("   approved by {} at {at}", approval.by);
        rows.push(Row::new().put(Role::Person, text));
    }
    rows
}

fn step(plan: &Plan, phase: RunPhase, at: usize, word: &'static str, action: &Action) -> [Row; 2] {
    let result = plan
        .results
        .iter()
        .rev()
        .find(|(run, _)| run.phase == phase && run.step as usize == at)
        .map(|(_, outcome)| outcome);
    let in_flight = match (&plan.state, phase) {
        (PlanState::Checking { step }, RunPhase::Precondition)
        | (PlanState::Running { step }, RunPhase::Forward)
        | (PlanState::RollingBack { step, .. }, RunPhase::Rollback) => *step as usize == at,
        _ => false,
    };
    let title = Row::new()
        .put(Role::Body, "   ")
        .column(Role::Muted, word, 7)
        .put(Role::Body, action.title.to_string());
    let title = match result {
        Some(crate::model::Outcome::Succeeded) => title.put(Role::Ok, "  done"),
        Some(outcome) => title.put(Role::Crit, format!("  {outcome}")),
        None if in_flight => title.put(Role::Automation, "  in flight"),
        None => title,
    };
    let command = Row::new()
        .pad_to(10)
        .put(Role::Muted, "$ ")
        .put(Role::Muted, argv(&action.argv));
    [title, command]
}
