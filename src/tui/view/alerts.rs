//! Alerts raised by other systems' rules, page by page: the console never holds all of them.

use crate::model::AlertRow;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::State;
use crate::tui::theme::Role;

/// The alerts shown, after the filter.
pub(in crate::tui) fn rows(state: &State) -> Vec<&AlertRow> {
    let alerts = &state.alerts;
    alerts.page.as_ref().map_or_else(Vec::new, |page| {
        page.items
            .iter()
            .filter(|row| alerts.filter.alert(row))
            .collect()
    })
}

/// Draws the view.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(page) = &state.alerts.page else {
        return super::missing(state.alerts.failed.as_deref(), canvas);
    };
    let rows = rows(state);
    let held = page.items.len() as u64;
    let rest = if held < page.total {
        format!(
            ", {} of {} fetched",
            format::count(held),
            format::count(page.total)
        )
    } else {
        String::new()
    };
    let heading = format!(
        "    S  ALERT                SERVICE      SUMMARY  ({} shown{rest})",
        rows.len()
    );
    canvas.row(0, &Row::new().put(Role::Muted, heading));
    if rows.is_empty() {
        let text = if page.total == 0 {
            " No alert fires."
        } else {
            " None of those fetched matches the filter."
        };
        return canvas.row(1, &Row::new().put(Role::Muted, text));
    }
    let cursor = &state.alerts.cursor;
    let at = cursor.at(rows.len());
    let window = cursor.window(rows.len(), canvas.height().saturating_sub(1));
    for (y, i) in window.enumerate() {
        canvas.row(y + 1, &alert(state, rows[i], i == at, canvas.width()));
    }
}

fn alert(state: &State, row: &AlertRow, here: bool, width: usize) -> Row {
    let (mark, priority, severity) = glyph::severity(row.severity);
    let name_role = if here { Role::Selection } else { Role::Body };
    let name = row.labels.get("alertname").unwrap_or("unnamed alert");
    let line = super::cursor_mark(here, true)
        .put(Role::Body, " ")
        .put(severity, priority)
        .put(severity, mark)
        .put(Role::Body, " ")
        .column(name_role, name.to_owned(), 20)
        .put(name_role, " ")
        .column(Role::Title, &row.entity, 12)
        .put(Role::Body, " ");
    let summary = width.saturating_sub(line.width() + 18);
    let age = format::age(state.engine_now().since(row.starts_at));
    let (word, role) = if row.firing {
        ("fires", Role::Crit)
    } else {
        ("over", Role::Ok)
    };
    let incident = row
        .incident
        .map_or_else(|| "-".to_owned(), |id| id.to_string());
    line.column(Role::Body, row.summary.to_string(), summary)
        .right(Role::Body, age, 5)
        .put(Role::Body, " ")
        .column(role, word, 6)
        .column(Role::Muted, incident, 6)
}
