//! The list of incidents. Only the rows on screen are built. Where a summary is longer than its column and
//! there are lines to spare, each incident takes two.

use unicode_width::UnicodeWidthStr;

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
/// Width below which the owner has no column: the headline names them.
const NARROW: usize = 66;
const PLAN: usize = 12;
/// Where the summary begins: behind the cursor, the mark, the priority, number and place.
const SUMMARY_AT: usize = 6 + ID + 1 + SERVICE + 1;
/// Lines of an incident whose summary is broken.
const ROWS_CUT: usize = 2;

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
    let room = canvas.height().saturating_sub(1);
    let cut = |id| {
        let row = view.incidents.get(id);
        row.is_some_and(|row| is_cut(row, canvas.width()))
    };
    // All of them or none: no row is at another place for what its neighbours say.
    let roomy = order.len() * ROWS_CUT <= room;
    let lines = if roomy && order.iter().any(cut) {
        ROWS_CUT
    } else {
        1
    };
    let window = state.list.cursor.window_at(at, order.len(), room / lines);
    let focused = state.place.screen == Screen::Incidents;
    for (y, i) in window.enumerate() {
        let Some(row) = view.incidents.get(&order[i]) else {
            continue;
        };
        let y = 1 + y * lines;
        let [summary, rest] = if lines > 1 {
            broken(row, canvas.width())
        } else {
            [headline::summary(row), String::new()]
        };
        let drawn = incident(state, row, (i == at, focused), summary, canvas.width());
        let spot = (Listed::Incidents, i);
        super::listed(state, canvas, y, spot, &drawn);
        if lines > 1 {
            let rest = Row::new().pad_to(SUMMARY_AT).put(Role::Body, rest);
            super::listed(state, canvas, y + 1, spot, &rest);
        }
    }
}

/// Cells there are for the summary in its column.
const fn summary_cells(width: usize) -> usize {
    let right = AGE + owner_cells(width) + STATE + 2 + plan_cells(width);
    width.saturating_sub(SUMMARY_AT + right + 1)
}

fn is_cut(row: &IncidentRow, width: usize) -> bool {
    SafeText::new(&headline::summary(row)).as_str().width() > summary_cells(width)
}

/// The summary as far as its column goes, and what follows, for the line below.
fn broken(row: &IncidentRow, width: usize) -> [String; 2] {
    let text = SafeText::new(&headline::summary(row));
    let first = wrap(&text, summary_cells(width)).into_iter().next();
    let first = first.map_or_else(String::new, |first| first.to_string());
    let rest = text.as_str().strip_prefix(&*first).unwrap_or_default();
    let rest = rest.trim_start().to_owned();
    [first, rest]
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

fn incident(
    state: &State,
    row: &IncidentRow,
    (here, focused): (bool, bool),
    summary: String,
    width: usize,
) -> Row {
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
