//! Where telemetry comes from. Quiet is not healthy: a silent source says so in words.

use crate::model::{SourceHealth, SourceRow, Time};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::State;
use crate::tui::theme::Role;

/// Draws the view.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    canvas.row(
        0,
        &Row::new().put(
            Role::Muted,
            "   STATE    SOURCE           LAST     TAKEN REJECTED  DROPPED  WHERE",
        ),
    );
    if view.sources.is_empty() {
        let text = " No source is configured: nothing can be seen.";
        return canvas.row(1, &Row::new().put(Role::Blind, text));
    }
    let len = view.sources.len();
    let at = state.sources.at(len);
    let window = state.sources.window(len, canvas.height().saturating_sub(1));
    let rows = view.sources.values().skip(window.start).take(window.len());
    for (y, row) in rows.enumerate() {
        let mark = super::cursor_mark(window.start + y == at, true);
        let line = mark
            .put(Role::Body, " ")
            .join(summary(row, view.at, canvas.width()));
        canvas.row(y + 1, &line);
    }
}

/// A source as a row.
pub(super) fn summary(row: &SourceRow, now: Time, width: usize) -> Row {
    let (word, role) = match row.health {
        SourceHealth::Waiting => ("waiting", Role::Muted),
        SourceHealth::Live => ("live", Role::Ok),
        SourceHealth::Blind => ("BLIND", Role::Blind),
        SourceHealth::Failed => ("FAILED", Role::Crit),
    };
    let last = row.last_seen.map_or_else(
        || "never".to_owned(),
        |at| format!("{} ago", format::age(now.since(at))),
    );
    let warn = |n: u64| if n > 0 { Role::Warn } else { Role::Muted };
    Row::new()
        .put(Role::Body, " ")
        .column(role, word, 9)
        .column(Role::Title, row.name.clone(), 15)
        .right(Role::Body, last, 8)
        .right(Role::Body, format::count(row.taken), 8)
        .right(warn(row.rejected), format::count(row.rejected), 9)
        .right(warn(row.dropped), format::count(row.dropped), 9)
        .put(Role::Body, "  ")
        .put(Role::Muted, row.detail.clone())
        .fit(width)
}
