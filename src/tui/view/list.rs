//! The list of incidents. Only the rows on screen are built. Where a summary is longer than its column, or the
//! owner has none, and there are lines to spare, each incident takes more than one.

use std::ops::Range;

use crate::model::{IncidentId, IncidentRow, SafeText};
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{Listed, Screen, State};
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
/// Width below which the owner has no column: a second line names them, where there is one.
const NARROW: usize = 66;
const PLAN: usize = 12;
/// Where the summary begins: behind the cursor, the mark, the priority, number and place.
const SUMMARY_AT: usize = SERVICE_AT + SERVICE + 1;
/// Where the service stands.
const SERVICE_AT: usize = 6 + ID + 1;
/// Lines of an incident at most.
const ROWS_MAX: usize = 3;

/// Draws the list with its heading.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    let order = state.list.order();
    if order.is_empty() {
        canvas.row(0, &heading(state, &(0..0), canvas.width()));
        return empty::draw(state, canvas);
    }
    let at = state.list.position();
    let room = canvas.height().saturating_sub(1);
    let wanted = |id| {
        let row = view.incidents.get(id);
        row.map_or(1, |row| wanted_lines(row, canvas.width()))
    };
    // As many for all of them: no row is at another place for what its neighbours say.
    let spare = (room / order.len()).clamp(1, ROWS_MAX);
    let lines = if spare > 1 {
        order.iter().map(wanted).max().unwrap_or(1).min(spare)
    } else {
        1
    };
    let window = state.list.cursor.window_at(at, order.len(), room / lines);
    canvas.row(0, &heading(state, &window, canvas.width()));
    let focused = state.place.screen == Screen::Incidents;
    for (y, i) in window.enumerate() {
        let Some(row) = view.incidents.get(&order[i]) else {
            continue;
        };
        let y = 1 + y * lines;
        let mut told = broken(row, canvas.width(), lines).into_iter();
        let summary = told.next().unwrap_or_default();
        let drawn = incident(state, row, (i == at, focused), summary, canvas.width());
        let spot = (Listed::Incidents, i);
        super::listed(state, canvas, y, spot, &drawn);
        for below in 1..lines {
            let mut line = Row::new().pad_to(SERVICE_AT);
            if below == 1 && owner_cells(canvas.width()) == 0 {
                line = line.column(Role::Muted, whose(state, row), SERVICE);
            }
            let rest = told.next().unwrap_or_default();
            let line = line.pad_to(SUMMARY_AT).put(Role::Body, rest);
            super::listed(state, canvas, y + below, spot, &line);
        }
    }
}

/// Cells there are for the summary in its column.
const fn summary_cells(width: usize) -> usize {
    let right = AGE + owner_cells(width) + STATE + 2 + plan_cells(width);
    width.saturating_sub(SUMMARY_AT + right + 1)
}

/// Lines that say all of an incident, as far as it may have them.
fn wanted_lines(row: &IncidentRow, width: usize) -> usize {
    let owner = if owner_cells(width) == 0 { 2 } else { 1 };
    broken(row, width, ROWS_MAX).len().max(owner)
}

/// The summary as far as its column goes, and what follows, for the lines below; the last of so many holds the
/// rest.
fn broken(row: &IncidentRow, width: usize, lines: usize) -> Vec<String> {
    let text = SafeText::new(&headline::summary(row));
    let mut told: Vec<String> = Vec::new();
    let mut left = text.as_str();
    while told.len() + 1 < lines && !left.is_empty() {
        let cells = if told.is_empty() {
            summary_cells(width)
        } else {
            width.saturating_sub(SUMMARY_AT + 1)
        };
        let first = wrap(&SafeText::new(left), cells).into_iter().next();
        let first = first.map_or_else(String::new, |first| first.to_string());
        left = left.strip_prefix(&*first).unwrap_or_default().trim_start();
        told.push(first);
    }
    if !left.is_empty() {
        told.push(left.to_owned());
    }
    told
}

/// Who has an incident, where the word stands without a heading.
fn whose(state: &State, row: &IncidentRow) -> String {
    match owner(state, row) {
        Some(owner) => owner.to_owned(),
        None => "nobody".to_owned(),
    }
}

/// Who has an incident; the operator is `you`.
fn owner<'a>(state: &State, row: &'a IncidentRow) -> Option<&'a str> {
    let me = state.feed.shown().map(|view| view.actor.name.as_str());
    let owner = row.owner.as_deref()?;
    Some(if Some(owner) == me { "you" } else { owner })
}

fn heading(state: &State, window: &Range<usize>, width: usize) -> Row {
    let list = &state.list;
    let order = super::order(list.sort, list.reversed);
    let owner = owner_cells(width);
    let room = width.saturating_sub(SUMMARY_AT + AGE + owner + STATE + plan_cells(width) + 3);
    let len = list.order().len();
    let summary = super::scrolled("SUMMARY", window, len, &format!("({order})"), room);
    let row = Row::new()
        .column(Role::Muted, "    S", 6)
        .column(Role::Muted, "ID", ID)
        .put(Role::Body, " ")
        .column(Role::Muted, "SERVICE", SERVICE)
        .put(Role::Body, " ")
        .put(Role::Muted, summary);
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

fn incident(
    state: &State,
    row: &IncidentRow,
    (here, focused): (bool, bool),
    summary: String,
    width: usize,
) -> Row {
    let (mark, priority, severity) = glyph::severity(row.severity);
    let (phase, phase_role) = glyph::standing(row);
    // Only these cells change when the cursor moves: on a slow link that is what a move costs.
    let name_role = if here { Role::Selection } else { Role::Body };
    let owner = owner(state, row).unwrap_or("-").to_owned();
    let line = super::cursor_mark(here, focused)
        .put(Role::Key, mark_of(state, row.id))
        .put(severity, priority)
        .put(severity, mark)
        .put(Role::Body, " ")
        .column(name_role, row.id.0.to_string(), ID)
        .put(name_role, " ")
        .column(name_role, &row.entity, SERVICE)
        .put(Role::Body, " ");
    let mut line = line.column(Role::Body, summary, summary_cells(width));
    if plan_cells(width) > 0 {
        let word = row.plan.as_ref().map_or("", |(_, word)| word);
        line = line
            .put(Role::Body, " ")
            .column(Role::Automation, word.to_owned(), PLAN);
    }
    let now = state.feed.shown().map_or(state.now, |view| view.at);
    let age = state.age(row.lasted_ms(now));
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
