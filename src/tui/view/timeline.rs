//! What happened, in order. Only the rows on screen are built.

use std::ops::Range;

use ratatui::layout::Rect;

use crate::model::{
    Hypothesis, Incident, Lane, SafeText, SuspectKind, Time, TimelineEntry, Told, told,
};
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{Cursor, Layout, Listed, State, Tab};
use crate::tui::theme::Role;

/// Most lines for the whole text of an entry; more would hide the others.
const WHOLE_ROWS_MAX: usize = 3;
/// Fewest lines for what is listed below the entries that stay.
const LISTED_MIN: usize = 4;
/// Of many of whom the same is said, so many are named: what fits the lines there are.
const NAMES_MAX: usize = 12;
/// Cells of the name of an entity.
const ENTITY: usize = 12;

/// Lines of a pane from which the lanes stand above the entries.
const LANES_MIN: usize = 16;

/// The rows shown, each the first of its entries: what is said alike of many is one row.
pub(in crate::tui) fn entries<'a>(state: &State, incident: &'a Incident) -> Vec<&'a TimelineEntry> {
    let rows = rows(state, incident).into_iter();
    rows.map(|told| told.first).collect()
}

/// The row that tells an entry, if one does.
pub(in crate::tui) fn row_of(
    state: &State,
    incident: &Incident,
    (at, text): (Time, &str),
) -> Option<usize> {
    let is_it = |entry: &TimelineEntry| entry.at == at && *entry.text == *text;
    let rows = rows(state, incident);
    rows.iter().position(|told| told.entries().any(is_it))
}

/// The rows shown. Whoever looks for words looks at each entry.
fn rows<'a>(state: &State, incident: &'a Incident) -> Vec<Told<'a>> {
    let shown = shown(state, incident);
    if state.place.find.is_empty() {
        return told(shown);
    }
    let alone = |first| Told {
        first,
        others: Vec::new(),
    };
    shown.into_iter().map(alone).collect()
}

/// The entries shown: those in the range chosen, of what is followed; or all.
pub(super) fn shown<'a>(state: &State, incident: &'a Incident) -> Vec<&'a TimelineEntry> {
    let (range, along) = (state.lanes.range, state.lanes.along.as_ref());
    let is_shown = |entry: &&TimelineEntry| {
        range.is_none_or(|(from, to)| (from..=to).contains(&entry.at))
            && along.is_none_or(|along| along.tells(entry))
    };
    incident.timeline.iter().filter(is_shown).collect()
}

/// Whether an entry has what is looked for.
pub(in crate::tui) fn is_found(state: &State, entry: &TimelineEntry) -> bool {
    let find = &state.place.find;
    !find.is_empty() && find.told(entry.entity.as_ref(), &entry.text)
}

/// Draws the pane.
pub(super) fn draw(state: &State, incident: &Incident, canvas: &mut Canvas<'_>, focused: bool) {
    let rows = rows(state, incident);
    let entries: Vec<&TimelineEntry> = rows.iter().map(|told| told.first).collect();
    let lanes = focused && canvas.height() >= LANES_MIN && state.layout() != Layout::Triple;
    let area = canvas.area();
    let top = if lanes { super::strip::ROWS } else { 0 };
    if lanes {
        super::strip::draw(
            state,
            &mut canvas.part(Rect {
                height: top,
                ..area
            }),
        );
    }
    let canvas = &mut canvas.part(Rect {
        y: area.y + top,
        height: area.height - top,
        ..area
    });
    let canvas = &mut super::followed(state, canvas);
    if entries.is_empty() {
        let text = match state.lanes.along {
            Some(_) => " Nothing is told of it.",
            None => " Nothing yet.",
        };
        return canvas.row(0, &Row::new().put(Role::Muted, text));
    }
    let dropped = usize::from(incident.timeline_dropped > 0);
    let cursor = state.cursor(Tab::Timeline);
    let at = cursor.at(entries.len());
    let whole = if focused {
        whole(state, &rows[at], canvas.width())
    } else {
        Vec::new()
    };
    let listed = canvas.height().saturating_sub(dropped + whole.len());
    let (pinned, window) = windows(incident, &entries, cursor, listed);
    let mut y = 0;
    for i in &pinned {
        let row = entry(state, &rows[*i], false, false);
        super::listed(state, canvas, y, (Listed::Pane(Tab::Timeline), *i), &row);
        y += 1;
    }
    if !pinned.is_empty() {
        let between = window.start - pinned.len();
        let text = format!("   ... {between} more, then the latest");
        canvas.row(y, &Row::new().put(Role::Muted, text));
        y += 1;
    }
    for i in window {
        let row = entry(state, &rows[i], i == at, focused);
        super::listed(state, canvas, y, (Listed::Pane(Tab::Timeline), i), &row);
        y += 1;
    }
    let below = canvas.height().saturating_sub(whole.len());
    for (line, row) in whole.iter().enumerate() {
        canvas.row(below + line, row);
    }
    if dropped > 0 {
        let text = format!("  and {} more that did not fit", incident.timeline_dropped);
        canvas.row(y, &Row::new().put(Role::Muted, text));
    }
}

/// The entries that stay on screen above the others, and those listed below them. How it began is never
/// scrolled away by what followed; once one scrolls to where it began, it stands there alone.
fn windows(
    incident: &Incident,
    entries: &[&TimelineEntry],
    cursor: &Cursor,
    height: usize,
) -> (Vec<usize>, Range<usize>) {
    let pinned = beginning(incident, entries);
    let taken = pinned.len() + 1;
    if entries.len() > height && height >= taken + LISTED_MIN {
        let window = cursor.window(entries.len(), height - taken);
        if pinned.last().is_some_and(|last| *last < window.start) {
            return (pinned, window);
        }
    }
    (Vec::new(), cursor.window(entries.len(), height))
}

/// What an incident began with: the change that is suspected, or else what was first told of the suspect,
/// and the first that was noticed or fired.
fn beginning(incident: &Incident, entries: &[&TimelineEntry]) -> Vec<usize> {
    let first = incident.diagnosis.hypotheses.first();
    let suspected = |entry: &TimelineEntry| {
        let of_it = |h: &&Hypothesis| entry.entity.as_ref() == Some(&h.suspect);
        first.filter(of_it).is_some_and(|h| match &h.cause {
            SuspectKind::Change { at, .. } => entry.lane == Lane::Change && entry.at == *at,
            _ => matches!(entry.lane, Lane::Change | Lane::Anomaly | Lane::Alert),
        })
    };
    let odd = |entry: &TimelineEntry| matches!(entry.lane, Lane::Anomaly | Lane::Alert);
    let cause = entries.iter().position(|entry| suspected(entry));
    let symptom = entries.iter().position(|entry| odd(entry));
    let mut pinned: Vec<usize> = [cause, symptom].into_iter().flatten().collect();
    pinned.sort_unstable();
    pinned.dedup();
    pinned
}

/// The text of the entry under the cursor, wrapped, when its row cuts it; of several also of whom, and until when.
fn whole(state: &State, at: &Told<'_>, width: usize) -> Vec<Row> {
    let text = if at.is_many() {
        let until = state.clock.second(at.until());
        format!("{}: {}, until {until}", at.text(), at.names(NAMES_MAX))
    } else if entry(state, at, true, true).width() <= width {
        return Vec::new();
    } else {
        at.text()
    };
    let text = SafeText::new(&text);
    let lines = wrap(&text, width.saturating_sub(2));
    let rows = lines.into_iter().take(WHOLE_ROWS_MAX);
    rows.map(|line| Row::new().put(Role::Body, " ").put(Role::Title, line))
        .collect()
}

fn entry(state: &State, told: &Told<'_>, here: bool, focused: bool) -> Row {
    let entry = told.first;
    let (mark, role) = glyph::lane(entry.lane);
    let marked = super::super::lanes::is_marked(state, entry);
    let matches = is_found(state, entry);
    let row = super::cursor_mark(here, focused)
        .put(Role::Muted, state.clock.second(entry.at))
        .put(Role::Key, if marked { glyph::MARK } else { " " })
        .put(role, mark)
        .put(role, " ")
        .column(role, entry.lane.as_str(), 10)
        .put(Role::Body, " ");
    let row = match &entry.entity {
        Some(_) if told.is_many() => row.column(Role::Title, told.whom(), ENTITY),
        Some(entity) => row.column(Role::Title, entity, ENTITY),
        None => row.column(Role::Muted, "-", ENTITY),
    };
    row.put(Role::Body, " ")
        .put(if matches { Role::Match } else { Role::Body }, told.text())
}
