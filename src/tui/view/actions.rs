//! Plans: what could be done, what is being done, what was done; the one under the cursor below, with
//! its reasons, its steps and what became of each. Nothing of it is cut: what does not fit is counted.

use crate::api::IncidentDetail;
use crate::model::{
    Action, ExecutorKind, Outcome, Plan, PlanState, RunPhase, SafeText, command_line,
};
use crate::tui::action::Action as Key;
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{Deed, Listed, State, Tab, by_urgency};
use crate::tui::theme::Role;

use super::approval;
use super::headline::{expiry, risk_role, standing, verified};

/// Cells of the columns of the list.
const ID: usize = 8;
const STATE: usize = 13;
const RISK: usize = 8;
/// Cells of the words left of the text under the list.
const LABEL: usize = 9;

/// Draws the pane.
pub(super) fn draw(state: &State, detail: &IncidentDetail, canvas: &mut Canvas<'_>, focused: bool) {
    let plans = by_urgency(detail);
    if plans.is_empty() {
        let keys = state.keymap.keys(Key::Propose).unwrap_or_default();
        let text = format!("No plan fits. {keys} chooses a runbook by hand.");
        return super::nothing(canvas, &text);
    }
    canvas.row(0, &heading());
    let cursor = state.cursor(Tab::Actions);
    // Without the keys it shows the plan that they act on elsewhere: the most urgent one.
    let at = if focused { cursor.at(plans.len()) } else { 0 };
    let listed = plans.len().min((canvas.height() / 3).max(1));
    for (y, i) in cursor.window_at(at, plans.len(), listed).enumerate() {
        let row = listed_row(plans[i], i == at, focused);
        super::listed(state, canvas, 1 + y, (Listed::Pane(Tab::Actions), i), &row);
    }
    let body = story(state, plans[at], canvas.width());
    let top = listed + 2;
    let left = canvas.height().saturating_sub(top);
    let room = super::dialogs::room(body.len(), left);
    for (y, row) in body.iter().take(room).enumerate() {
        canvas.row(top + y, row);
    }
    super::dialogs::more_below(canvas, room, body.len());
}

fn heading() -> Row {
    Row::new()
        .put(Role::Body, " ")
        .column(Role::Muted, "PLAN", ID)
        .column(Role::Muted, "STATE", STATE)
        .column(Role::Muted, "RISK", RISK)
        .put(Role::Muted, "WHAT IT DOES")
}

fn listed_row(plan: &Plan, here: bool, focused: bool) -> Row {
    let role = standing_role(plan);
    let id_role = if here { Role::Selection } else { Role::Body };
    super::cursor_mark(here, focused)
        .column(id_role, plan.id.to_string(), ID - 1)
        .put(Role::Body, " ")
        .column(role, plan.state.as_str(), STATE)
        .column(risk_role(plan.risk), plan.risk.as_str(), RISK)
        .put(Role::Body, plan.title.to_string())
}

fn standing_role(plan: &Plan) -> Role {
    match plan.state {
        PlanState::Succeeded => Role::Ok,
        PlanState::Failed { .. } => Role::Crit,
        PlanState::RollingBack { .. } | PlanState::RolledBack { .. } => Role::Warn,
        PlanState::Unknown { .. } => Role::Danger,
        _ if plan.state.is_final() => Role::Muted,
        _ => Role::Automation,
    }
}

/// Everything about the plan under the cursor, the most pressing first.
fn story(state: &State, plan: &Plan, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let (role, words) = standing(state, plan);
    let now = if plan.state == PlanState::Proposed {
        let left = expiry(plan, state.engine_now());
        let keys = state.keymap.keys(Key::Approve).unwrap_or_default();
        let id = plan.id;
        match state.barred(plan, Deed::Approve) {
            _ if state.has_approved(plan) => format!("{words}{left}"),
            Some(why) => format!("{words}{left}; not now: {why}; {keys} reads {id}"),
            None => format!("{words}{left}; {keys} reads and approves {id}"),
        }
    } else if plan.state == PlanState::Succeeded {
        state
            .detail()
            .map_or(words, |detail| verified(state, detail, plan))
    } else {
        words
    };
    labelled(&mut rows, "now", role, &now, width);
    // Once it is decided, how it goes is what matters.
    let is_decided = plan.state != PlanState::Proposed;
    if !is_decided {
        reasons(&mut rows, state, plan, width);
    }
    for (at, check) in plan.preconditions.iter().enumerate() {
        step(
            &mut rows,
            plan,
            RunPhase::Precondition,
            at,
            "check",
            check,
            width,
        );
    }
    for (at, action) in plan.steps.iter().enumerate() {
        step(&mut rows, plan, RunPhase::Forward, at, "run", action, width);
    }
    labelled(
        &mut rows,
        "verify",
        Role::Body,
        &approval::verified(plan),
        width,
    );
    if let Some(check) = &plan.verify.check {
        step(&mut rows, plan, RunPhase::Verify, 0, "", check, width);
    }
    undo(&mut rows, plan, width);
    labelled(
        &mut rows,
        "so far",
        Role::Body,
        &approval::record(plan),
        width,
    );
    for approval in &plan.approvals {
        let at = state.clock.second(approval.at);
        let text = format!("approved by {} at {at}", approval.by);
        labelled(&mut rows, "who", Role::Person, &text, width);
    }
    if is_decided {
        reasons(&mut rows, state, plan, width);
    }
    rows
}

/// Why there is a plan. What was true then may not be any more: it is said of when it is.
fn reasons(rows: &mut Vec<Row>, state: &State, plan: &Plan, width: usize) {
    let deed = if plan.is_chosen() {
        "chosen"
    } else {
        "proposed"
    };
    let then = format!("it was {deed}, at {}:", state.clock.second(plan.created));
    labelled(rows, "why", Role::Muted, &then, width);
    for reason in plan.reasons() {
        labelled(rows, "", Role::Body, reason, width);
    }
    for assumed in plan.assumed() {
        labelled(rows, "", Role::Warn, assumed, width);
    }
    let detail = state.detail_of(plan);
    let now = detail.and_then(|held| approval::sureness(plan, &held.incident.diagnosis));
    if let Some(now) = now {
        labelled(rows, "", Role::Body, &now, width);
    }
}

fn undo(rows: &mut Vec<Row>, plan: &Plan, width: usize) {
    if plan.rollback.iter().all(Option::is_none) {
        return labelled(rows, "undo", Role::Warn, "there is no undo", width);
    }
    for (at, action) in plan.rollback.iter().enumerate().rev() {
        if let Some(action) = action {
            step(rows, plan, RunPhase::Rollback, at, "undo", action, width);
        }
    }
}

/// A word, and beside it a text that is wrapped.
fn labelled(rows: &mut Vec<Row>, label: &'static str, role: Role, text: &str, width: usize) {
    let room = width.saturating_sub(LABEL + 1);
    for (at, line) in wrap(&SafeText::new(text), room).into_iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        let lead = Row::new()
            .put(Role::Body, " ")
            .column(Role::Muted, label, LABEL);
        rows.push(lead.put(role, line));
    }
}

fn step(
    rows: &mut Vec<Row>,
    plan: &Plan,
    phase: RunPhase,
    at: usize,
    word: &'static str,
    action: &Action,
    width: usize,
) {
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
    let (word, title) = match action.title.strip_prefix("undo: ") {
        Some(deed) => ("undo of", deed),
        None => (word, &*action.title),
    };
    labelled(rows, word, Role::Body, title, width);
    let prompt = match action.executor {
        ExecutorKind::Command => "$",
        ExecutorKind::Sim => "sim$",
    };
    let command = format!("{prompt} {}", command_line(&action.argv));
    labelled(rows, "", Role::Muted, &command, width);
    match result {
        Some(Outcome::Succeeded) => labelled(rows, "", Role::Ok, "done", width),
        Some(outcome) => labelled(rows, "", Role::Crit, &outcome.to_string(), width),
        None if in_flight => {
            let limit = format::duration(action.timeout_ms);
            let text = format!("in flight; stopped after {limit}");
            labelled(rows, "", Role::Automation, &text, width);
        }
        None => {}
    }
}
