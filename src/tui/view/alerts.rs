//! Alerts raised by other systems' rules, page by page: the console never holds all of them.

use std::ops::Range;

use crate::model::AlertRow;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Listed, Sort, State};
use crate::tui::theme::Role;

use super::{below, order, scrolled};

/// Cells of the columns.
const ALERT: usize = 20;
const SERVICE: usize = 12;
const AGE: usize = 5;
const STATE: usize = 6;
const INCIDENT: usize = 6;
/// Cells right of the summary, with the blank after the age.
const RIGHT: usize = AGE + 1 + STATE + INCIDENT;

/// The alerts shown, after the filter, in the order asked for.
pub(in crate::tui) fn rows(state: &State) -> Vec<&AlertRow> {
    let alerts = &state.alerts;
    let items = alerts.page.iter().flat_map(|page| &page.items);
    let mut rows: Vec<&AlertRow> = items.filter(|row| alerts.filter.alert(row)).collect();
    // Pages come by urgency; what changed since stands where it belongs now.
    rows.sort_by(|a, b| alerts.sort.of_alerts(a, b));
    if alerts.reversed {
        rows.reverse();
    }
    rows
}

/// Draws the view.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let alerts = &state.alerts;
    let Some(page) = &alerts.page else {
        return super::missing(alerts.failed.as_deref(), canvas);
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
    let cursor = &alerts.cursor;
    let at = cursor.at(rows.len());
    let window = cursor.window(rows.len(), canvas.height().saturating_sub(1));
    let is_usual = alerts.sort == Sort::default() && !alerts.reversed;
    let order = order(alerts.sort, alerts.reversed);
    // In few cells an order that somebody asked for is told before how much is fetched.
    let how = if is_usual { "shown" } else { order.as_str() };
    let shown = format!("({} {how}{rest})", rows.len());
    canvas.row(0, &heading((&window, rows.len()), &shown, canvas.width()));
    if rows.is_empty() {
        return match page.total {
            0 => canvas.row(1, &Row::new().put(Role::Muted, " No alert fires.")),
            _ => super::unfound(state, &mut below(canvas), "alert of those fetched"),
        };
    }
    for (y, i) in window.enumerate() {
        let row = alert(state, rows[i], i == at, canvas.width());
        super::listed(state, canvas, y + 1, (Listed::Alerts, i), &row);
    }
}

fn heading((window, len): (&Range<usize>, usize), shown: &str, width: usize) -> Row {
    let line = Row::new()
        .put(Role::Muted, "  SEV ")
        .column(Role::Muted, "ALERT", ALERT)
        .put(Role::Muted, " ")
        .column(Role::Muted, "SERVICE", SERVICE)
        .put(Role::Muted, " ");
    let room = width.saturating_sub(line.width() + RIGHT);
    let summary = scrolled("SUMMARY", window, len, shown, room);
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
    let role = match row.state() {
        "held" => Role::Muted,
        "stale" => Role::Blind,
        "over" => Role::Ok,
        _ => Role::Crit,
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
        .column(role, row.state(), STATE)
        .column(Role::Muted, incident, INCIDENT)
}
