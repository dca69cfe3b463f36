//! The page of an incident that is in no list any more: why, where to go, and what was told of it.

use ratatui::layout::Rect;

use crate::model::{IncidentId, SafeText};
use crate::tui::action::Action;
use crate::tui::format;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Gone, State};
use crate::tui::theme::Role;

use super::timeline;

/// Lines above the timeline.
const HEAD_ROWS: u16 = 5;

/// Draws the page.
pub(super) fn draw(state: &State, id: IncidentId, gone: &Gone, canvas: &mut Canvas<'_>) {
    let detail = state.detail();
    canvas.row(0, &what(state, id, gone));
    if let Some(detail) = detail {
        let title = Row::new()
            .put(Role::Body, " ")
            .put(Role::Title, SafeText::new(&detail.incident.title));
        canvas.row(1, &title);
    }
    let next = Row::new()
        .put(Role::Muted, " next     ")
        .join(next(state, gone));
    canvas.row(2, &next);
    let Some(detail) = detail else { return };
    let heading = Row::new().put(
        Role::Title,
        " What was told of it while it was an incident of its own",
    );
    canvas.row(usize::from(HEAD_ROWS) - 1, &heading);
    let area = canvas.area();
    let mut below = canvas.part(Rect {
        y: area.y + HEAD_ROWS.min(area.height),
        height: area.height.saturating_sub(HEAD_ROWS),
        ..area
    });
    timeline::draw(state, &detail.incident, &mut below, true);
}

/// Which, and what became of it.
fn what(state: &State, id: IncidentId, gone: &Gone) -> Row {
    let detail = state.detail();
    let row = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, id.to_string());
    let row = match detail {
        Some(detail) => row
            .put(Role::Body, "  ")
            .put(Role::Title, &detail.incident.entity),
        None => row,
    };
    let ended = detail.and_then(|detail| detail.incident.resolved);
    let at = ended.map_or_else(String::new, |at| {
        let ago = format::age(state.engine_now().since(at));
        format!(" at {} ({ago} ago)", state.clock.minute(at))
    });
    let row = row.put(Role::Body, "  ");
    match gone {
        Gone::Merged(home) => row
            .put(Role::Warn, format!("merged into {home}"))
            .put(Role::Body, at),
        Gone::Over => row.put(Role::Ok, "over").put(Role::Body, at),
        Gone::Asked => row.put(Role::Muted, "is in the list no more"),
        Gone::Unknown(_) => row.put(Role::Warn, "is not in the list"),
    }
}

/// What to do now.
fn next(state: &State, gone: &Gone) -> Row {
    let key = |action| state.keymap.keys(action).unwrap_or_default();
    let back = Row::new()
        .put(Role::Key, key(Action::Back))
        .put(Role::Body, " goes back to the list");
    match gone {
        Gone::Merged(home) => Row::new().put(Role::Key, key(Action::Open)).put(
            Role::Body,
            format!(" opens {home}, which has its signals and its plans now"),
        ),
        Gone::Over => back.put(Role::Muted, ": it made room for others"),
        Gone::Asked => Row::new().put(Role::Muted, "Fetching..."),
        Gone::Unknown(why) => back
            .put(Role::Muted, ": ")
            .put(Role::Warn, SafeText::new(why)),
    }
}
