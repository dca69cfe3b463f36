//! Alerts raised by other systems' rules, page by page: the console never holds all of them.

use crate::model::AlertRow;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Listed, State};
use crate::tui::theme::Role;

/// Cells of the columns.
const ALERT: usize = 20;
const SERVICE: usize = 12;
const AGE: usize = 5;
const STATE: usize = 6;
const INCIDENT: usize = 6;
/// Cells right of the summary, with the blank after the age.
const RIGHT: usize = AGE + 1 + STATE + INCIDENT;

/// The alerts shown, after the filter: what fires before what is over, the worst first, then the newest.
pub(in crate::tui) fn rows(state: &State) -> Vec<&AlertRow> {
    let alerts = &state.alerts;
    let items = alerts.page.iter().flat_map(|page| &page.items);
    let mut rows: Vec<&AlertRow> = items.filter(|row| alerts.filter.alert(row)).collect();
    // Pages come in this order; what changed since stands where it belongs now.
    rows.sort_by_key(|row| row.place());
    rows
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
    let shown = format!("SUMMARY  ({} shown{rest})", rows.len());
    canvas.row(0, &heading(shown, canvas.width()));
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
        let row = alert(state, rows[i], i == at, canvas.width());
        super::listed(state, canvas, y + 1, (Listed::Alerts, i), &row);
    }
}

fn heading(summary: String, width: usize) -> Row {
    let line = Row::new()
        .put(Role::Muted, "  SEV ")
        .column(Role::Muted, "ALERT", ALERT)
        .put(Role::Muted, " ")
        .column(Role::Muted, "SERVICE", SERVICE)
        .put(Role::Muted, " ");
    let room = width.saturating_sub(line.width() + RIGHT);
    line.column(Role::Muted, summary, room)
        .right(Role::Muted, "AGE", AGE)
        .put(Role::Muted, " ")
        .column(Role::Muted, "STATE", STATE)
        .column(Role::Muted, "INC", INCIDENT)
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
        .column(name_role, name.to_owned(), ALERT)
        .put(name_role, " ")
        .column(Role::Title, &row.entity, SERVICE)
        .put(Role::Body, " ");
    let summary = width.saturating_sub(line.width() + RIGHT);
    let age = state.age(state.engine_now().since(row.starts_at));
    let (word, role) = if row.held.is_some() {
        ("held", Role::Muted)
    } else if row.flapping {
        ("flaps", Role::Crit)
    } else if row.firing && row.unheard.is_some() {
        ("stale", Role::Blind)
    } else if row.firing {
        ("fires", Role::Crit)
    } else {
        ("over", Role::Ok)
    };
    let incident = row
        .incident
        .map_or_else(|| "-".to_owned(), |id| id.to_string());
    let unheard = row.unheard.as_ref().filter(|_| row.firing);
    let text = unheard.map_or(&*row.summary, |unheard| {
        unheard.why.trim_start_matches("is ")
    });
    line.column(Role::Body, text.to_owned(), summary)
        .right(Role::Body, age, AGE)
        .put(Role::Body, " ")
        .column(role, word, STATE)
        .column(Role::Muted, incident, INCIDENT)
}
