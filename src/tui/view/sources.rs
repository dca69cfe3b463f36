//! Where telemetry comes from. Quiet is not healthy: a silent source says so in words.

use crate::model::{SafeText, SourceHealth, SourceRow, Time};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::State;
use crate::tui::theme::Role;

/// Draws the view.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    canvas.row(0, &heading());
    if view.sources.is_empty() {
        let text = " No source is configured: nothing can be seen.";
        return canvas.row(1, &Row::new().put(Role::Blind, text));
    }
    let len = view.sources.len();
    let at = state.sources.at(len);
    let width = canvas.width().saturating_sub(2);
    let told = view.sources.values().nth(at);
    let told = told.map_or_else(Vec::new, |row| {
        let texts = [Some(row.detail.clone()), refused(row, view.at)];
        let texts = texts.into_iter().flatten();
        texts
            .flat_map(|text| wrap(&SafeText::new(&text), width))
            .collect()
    });
    let listed = canvas.height().saturating_sub(2 + told.len());
    let window = state.sources.window(len, listed);
    let below = 2 + window.len();
    let rows = view.sources.values().skip(window.start).take(window.len());
    for (y, row) in rows.enumerate() {
        let mark = super::cursor_mark(window.start + y == at, true);
        let line = mark
            .put(Role::Body, " ")
            .join(summary(row, view.at, canvas.width()));
        canvas.row(y + 1, &line);
    }
    // The row cuts where it is; here is all of it.
    for (y, line) in told.into_iter().enumerate() {
        canvas.row(
            below + y,
            &Row::new().put(Role::Body, " ").put(Role::Body, line),
        );
    }
}

/// What was not taken of late, and what its sender keeps.
fn refused(row: &SourceRow, now: Time) -> Option<String> {
    let last = row.last_refusal.as_ref()?;
    let age = format::age(now.since(last.at));
    let mut text = format!("Not taken {age} ago: {}", last.why);
    if row.refused > 0 {
        let count = format::counted(row.refused, "signal", "signals");
        text = format!("{text}. In all {count} sent back, for the sender to try again");
    }
    Some(text)
}

/// What the columns are.
pub(super) fn heading() -> Row {
    Row::new()
        .put(Role::Body, "   ")
        .column(Role::Muted, "STATE", 9)
        .column(Role::Muted, "SOURCE", 15)
        .right(Role::Muted, "LAST", 8)
        .right(Role::Muted, "TAKEN", 8)
        .right(Role::Muted, "REJECTED", 9)
        .right(Role::Muted, "DROPPED", 9)
        .put(Role::Body, "  ")
        .put(Role::Muted, "WHERE")
}

/// A source as a row.
pub(super) fn summary(row: &SourceRow, now: Time, width: usize) -> Row {
    let (word, role) = match row.health {
        SourceHealth::Waiting => ("waiting", Role::Muted),
        SourceHealth::Live => ("live", Role::Ok),
        SourceHealth::Blind => ("BLIND", Role::Blind),
        SourceHealth::Failed => ("FAILED", Role::Crit),
        SourceHealth::Rejecting => ("REJECTS", Role::Warn),
    };
    let last = last_heard(row).map_or_else(
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

/// When its sender last spoke, whether or not anything of it could be taken.
fn last_heard(row: &SourceRow) -> Option<Time> {
    let refused = row.last_refusal.as_ref().map(|refusal| refusal.at);
    row.last_seen.max(refused)
}
