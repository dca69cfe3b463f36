//! What happened, in order. Only the rows on screen are built.

use crate::model::{Incident, TimelineEntry};
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{State, Tab};
use crate::tui::theme::Role;

/// Cells of the name of an entity.
const ENTITY: usize = 12;

/// Draws the pane.
pub(super) fn draw(state: &State, incident: &Incident, canvas: &mut Canvas<'_>, focused: bool) {
    let entries = &incident.timeline;
    if entries.is_empty() {
        return canvas.row(0, &Row::new().put(Role::Muted, " Nothing yet."));
    }
    let dropped = usize::from(incident.timeline_dropped > 0);
    let cursor = state.cursor(Tab::Timeline);
    let window = cursor.window(entries.len(), canvas.height().saturating_sub(dropped));
    let at = cursor.at(entries.len());
    let mut y = 0;
    for i in window {
        canvas.row(y, &entry(state, &entries[i], i == at, focused));
        y += 1;
    }
    if dropped > 0 {
        let text = format!("  and {} more that did not fit", incident.timeline_dropped);
        canvas.row(y, &Row::new().put(Role::Muted, text));
    }
}

fn entry(state: &State, entry: &TimelineEntry, here: bool, focused: bool) -> Row {
    let (mark, role) = glyph::lane(entry.lane);
    let find = &state.place.find;
    let matches = !find.is_empty() && find.line(&entry.text);
    let row = super::cursor_mark(here, focused)
        .put(Role::Muted, state.clock.second(entry.at))
        .put(Role::Body, " ")
        .put(role, mark)
        .put(role, " ")
        .column(role, entry.lane.as_str(), 10)
        .put(Role::Body, " ");
    let row = match &entry.entity {
        Some(entity) => row.column(Role::Title, entity, ENTITY),
        None => row.column(Role::Muted, "-", ENTITY),
    };
    row.put(Role::Body, " ").put(
        if matches { Role::Match } else { Role::Body },
        entry.text.to_string(),
    )
}
