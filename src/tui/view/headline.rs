//! The four lines that stand above every pane of an incident: what broke, since when, how bad; the
//! likely cause and how sure; the next thing to do. Whatever pane is open, the next right thing is on
//! screen.

use crate::api::IncidentDetail;
use crate::model::{IncidentRow, Phase, Plan, PlanState, SuspectKind, Time};
use crate::tui::action::Action;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{State, headline};
use crate::tui::theme::Role;

/// Lines taken.
pub(super) const ROWS: u16 = 4;
/// Confidence below which a suspect is called a guess.
const GUESS: f32 = 0.3;

/// Draws the lines.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(row) = state.looked_at().and_then(|id| state.row(id)) else {
        return;
    };
    let detail = state.detail();
    let width = canvas.width();
    canvas.row(0, &what(state, row, width));
    canvas.row(1, &title(row));
    canvas.row(2, &cause(state, row, detail));
    canvas.row(3, &next(state, row, detail, width));
}

fn what(state: &State, row: &IncidentRow, width: usize) -> Row {
    let (mark, priority, role) = glyph::severity(row.severity);
    let (_, phase_role) = glyph::phase(row.phase);
    let now = state.engine_now();
    let mut line = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, row.id.to_string())
        .put(Role::Body, " ")
        .put(role, priority)
        .put(role, mark)
        .put(role, " ")
        .put(role, row.severity.as_str())
        .put(Role::Body, "  ")
        .put(Role::Title, &row.entity)
        .put(Role::Body, "  ")
        .put(phase_role, row.phase.as_str())
        .put(Role::Body, "  since ")
        .put(Role::Body, state.clock.minute(row.began))
        .put(
            Role::Body,
            format!(" ({})", format::age(now.since(row.began))),
        );
    line.push(Role::Muted, "  owner ");
    match &row.owner {
        Some(owner) => line.push(Role::Person, owner.clone()),
        None => line.push(Role::Warn, "nobody"),
    }
    let reach = [
        format!("  entities {}", row.entities),
        format!("  alerts {}", row.alerts),
        format!("  findings {}", row.findings),
    ];
    reach.into_iter().fold(line, |line, words| {
        line.join_if_fits(Row::new().put(Role::Muted, words), width)
    })
}

fn title(row: &IncidentRow) -> Row {
    Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, row.title.to_string())
}

fn cause(state: &State, row: &IncidentRow, detail: Option<&IncidentDetail>) -> Row {
    let line = Row::new().put(Role::Muted, " suspect  ");
    let Some(first) = detail.and_then(|d| d.incident.diagnosis.hypotheses.first()) else {
        return match &row.suspect {
            Some((entity, confidence)) => line
                .put(Role::Suspect, entity)
                .put(Role::Body, format!("  {confidence:.2}")),
            None => line.put(Role::Body, "none: the evidence does not point at one cause"),
        };
    };
    let line = line
        .put(Role::Suspect, &first.suspect)
        .put(Role::Body, "  ")
        .join(cause_words(state, &first.cause))
        .put(Role::Body, format!("  {:.2}", first.confidence))
        .put(
            Role::Muted,
            format!(
                "  {} for, {} against",
                first.evidence_for.len(),
                first.evidence_against.len()
            ),
        );
    if first.confidence < GUESS {
        line.put(Role::Warn, "  a guess: see 2 Why")
    } else {
        line
    }
}

/// The kind of a cause in words.
pub(super) fn cause_words(state: &State, cause: &SuspectKind) -> Row {
    let row = Row::new();
    match cause {
        SuspectKind::Change { title, at, .. } => row
            .put(Role::Change, title.to_string())
            .put(Role::Muted, " at ")
            .put(Role::Muted, state.clock.minute(*at)),
        SuspectKind::Resource { metric } => row
            .put(Role::Body, "runs out of ")
            .put(Role::Body, metric.to_string()),
        SuspectKind::Traffic => row.put(Role::Body, "more work than usual"),
        SuspectKind::InstanceLoss => row.put(Role::Body, "an instance is gone"),
        SuspectKind::Dependency => row.put(Role::Body, "slow or failing by itself"),
        SuspectKind::Unknown => row.put(Role::Body, "something, cause unknown"),
    }
}

fn next(state: &State, row: &IncidentRow, detail: Option<&IncidentDetail>, width: usize) -> Row {
    let line = Row::new().put(Role::Muted, " next     ");
    let Some(plan) = detail.and_then(|detail| headline(&detail.plans)) else {
        return without_plan(state, row, line);
    };
    match &plan.state {
        PlanState::Proposed => key(state, line, Action::Approve, "approve: ")
            .put(Role::Title, plan.title.to_string())
            .put(Role::Body, "  ")
            .join(risk(plan))
            .join_if_fits(
                Row::new().put(Role::Muted, expiry(plan, state.engine_now())),
                width,
            ),
        PlanState::Unknown { .. } => key(state, line, Action::Approve, "says what became of: ")
            .put(Role::Danger, plan.title.to_string()),
        _ => line.join(progress(state, plan)),
    }
}

fn without_plan(state: &State, row: &IncidentRow, line: Row) -> Row {
    match row.phase {
        Phase::Open => key(state, line, Action::Acknowledge, "takes it; no plan fits: ").join(key(
            state,
            Row::new(),
            Action::Propose,
            "chooses a runbook",
        )),
        Phase::Acknowledged => key(state, line, Action::Propose, "chooses a runbook; ").join(key(
            state,
            Row::new(),
            Action::Note,
            "writes down what you try",
        )),
        Phase::Mitigated => line.put(Role::Ok, "signals are back to normal; being watched"),
        Phase::Resolved => line.put(Role::Ok, "nothing: it is over"),
    }
}

fn key(state: &State, line: Row, action: Action, words: &'static str) -> Row {
    let keys = state.keymap.keys(action).unwrap_or_default();
    line.put(Role::Key, keys)
        .put(Role::Body, " ")
        .put(Role::Body, words)
}

/// Risk in words.
pub(super) fn risk(plan: &Plan) -> Row {
    let role = match plan.risk {
        crate::model::Risk::Low => Role::Ok,
        crate::model::Risk::Medium => Role::Warn,
        crate::model::Risk::High => Role::Crit,
    };
    Row::new().put(role, plan.risk.as_str()).put(role, " risk")
}

/// When it stops being approvable, in words.
pub(super) fn expiry(plan: &Plan, now: Time) -> String {
    let left_ms = plan.expires.since(now);
    if left_ms > 0 {
        format!("  expires in {}", format::age(left_ms))
    } else {
        "  expired".to_owned()
    }
}

/// Where a plan is, in words.
pub(super) fn progress(state: &State, plan: &Plan) -> Row {
    let row = Row::new()
        .put(Role::Title, plan.title.to_string())
        .put(Role::Body, "  ");
    let step = |row: Row, word: &'static str, step: u32, of: usize| {
        row.put(Role::Automation, word)
            .put(Role::Automation, format!(" {} of {of}", step + 1))
    };
    let because = |row: Row, role: Role, reason: &str| {
        row.put(role, plan.state.as_str())
            .put(Role::Muted, format!(": {reason}"))
    };
    match &plan.state {
        PlanState::Proposed => row.put(Role::Automation, "waits for approval"),
        PlanState::Checking { step: at } => {
            step(row, "checks precondition", *at, plan.preconditions.len())
        }
        PlanState::Running { step: at } => step(row, "runs step", *at, plan.steps.len()),
        PlanState::Verifying { until } => row
            .put(Role::Automation, "ran; verifying until ")
            .put(Role::Automation, state.clock.second(*until)),
        PlanState::Succeeded => row.put(Role::Ok, "worked, verified"),
        PlanState::RollingBack { reason, .. } | PlanState::RolledBack { reason } => {
            because(row, Role::Warn, reason)
        }
        PlanState::Failed { reason } => because(row, Role::Crit, reason),
        PlanState::Unknown { .. } => row.put(Role::Danger, " result unknown: a person must say "),
        PlanState::Rejected { by, reason } => {
            because(row, Role::Muted, &format!("{reason} ({by})"))
        }
        PlanState::Expired => row.put(Role::Muted, "expired"),
        PlanState::Void { reason } => because(row, Role::Muted, reason),
    }
}
