//! The list of incidents. Only the rows on screen are built.

use crate::model::{IncidentId, IncidentRow};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Screen, State};
use crate::tui::theme::Role;

use super::{empty, headline};

/// Cells of the columns but the summary.
const ID: usize = 5;
const SERVICE: usize = 12;
const AGE: usize = 4;
const OWNER: usize = 6;
const STATE: usize = 4;
/// Width at which the state of the plan gets a column of its own.
const WIDE: usize = 100;
/// Width below which the owner has no column: the headline names them.
const NARROW: usize = 66;
const PLAN: usize = 12;

/// Draws the list with its heading.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    canvas.row(0, &heading(state, canvas.width()));
    let order = state.list.order();
    if order.is_empty() {
        return empty::draw(state, canvas);
    }
    let at = state.list.position();
    let window = state
        .list
        .cursor
        .window_at(at, order.len(), canvas.height().saturating_sub(1));
    let focused = state.place.screen == Screen::Incidents;
    for (y, i) in window.enumerate() {
        let Some(row) = view.incidents.get(&order[i]) else {
            continue;
        };
        let drawn = incident(state, row, i == at, focused, canvas.width());
        canvas.row(y + 1, &drawn);
    }
}

fn heading(state: &State, width: usize) -> Row {
    let list = &state.list;
    let order = if list.reversed { ", reversed" } else { "" };
    let row = Row::new()
        .column(Role::Muted, "    S", 6)
        .column(Role::Muted, "ID", ID)
        .put(Role::Body, " ")
        .column(Role::Muted, "SERVICE", SERVICE)
        .put(Role::Body, " ")
        .put(
            Role::Muted,
            format!("SUMMARY  (by {}{order})", list.sort.as_str()),
        );
    let owner = owner_cells(width);
    let row = row
        .fit(width.saturating_sub(AGE + owner + STATE + plan_cells(width) + 3))
        .pad_to(width.saturating_sub(AGE + owner + STATE + plan_cells(width) + 2));
    let row = if plan_cells(width) > 0 {
        row.column(Role::Muted, "PLAN", PLAN).put(Role::Body, " ")
    } else {
        row
    };
    let row = row.right(Role::Muted, "AGE", AGE);
    let row = if owner > 0 {
        row.put(Role::Body, " ").column(Role::Muted, "OWNER", OWNER)
    } else {
        row
    };
    row.put(Role::Body, " ").column(Role::Muted, "ST", STATE)
}

fn incident(state: &State, row: &IncidentRow, here: bool, focused: bool, width: usize) -> Row {
    let (mark, priority, severity) = glyph::severity(row.severity);
    let (phase, phase_role) = glyph::phase(row.phase);
    // Only these cells change when the cursor moves: on a slow link that is what a move costs.
    let name_role = if here { Role::Selection } else { Role::Body };
    let me = state.feed.shown().map(|view| view.actor.name.as_str());
    let owner = match row.owner.as_deref() {
        None => "-".to_owned(),
        Some(owner) if Some(owner) == me => "you".to_owned(),
        Some(owner) => owner.to_owned(),
    };
    let right = AGE + owner_cells(width) + STATE + 2 + plan_cells(width);
    let line = super::cursor_mark(here, focused)
        .put(Role::Key, mark_of(state, row.id))
        .put(severity, priority)
        .put(severity, mark)
        .put(Role::Body, " ")
        .column(name_role, row.id.0.to_string(), ID)
        .put(name_role, " ")
        .column(name_role, &row.entity, SERVICE)
        .put(Role::Body, " ");
    let summary = width.saturating_sub(line.width() + right + 1);
    let mut line = line.column(Role::Body, headline::summary(row), summary);
    if plan_cells(width) > 0 {
        let word = row.plan.as_ref().map_or("", |(_, word)| word);
        line = line
            .put(Role::Body, " ")
            .column(Role::Automation, word.to_owned(), PLAN);
    }
    let now = state.feed.shown().map_or(state.now, |view| view.at);
    let age = format::age(row.lasted_ms(now));
    let mut line = line.put(Role::Body, " ").right(Role::Body, age, AGE);
    if owner_cells(width) > 0 {
        line = line.put(Role::Body, " ").column(Role::Muted, owner, OWNER);
    }
    line.put(Role::Body, " ").column(phase_role, phase, STATE)
}

/// Marked by hand, or changed since the operator looked.
fn mark_of(state: &State, id: IncidentId) -> &'static str {
    if state.list.marks.contains(&id) {
        glyph::MARK
    } else if state.list.unseen.contains(&id) {
        glyph::UNSEEN
    } else {
        " "
    }
}

/// Cells of the plan's column with the blank before it.
const fn plan_cells(width: usize) -> usize {
    if width < WIDE { 0 } else { PLAN + 1 }
}

/// Cells of the owner's column with the blank before it.
const fn owner_cells(width: usize) -> usize {
    if width < NARROW { 0 } else { OWNER + 1 }
}
