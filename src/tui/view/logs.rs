//! Log lines grouped by template, new ones first, with counts and sparklines; the raw line of the
//! group under the cursor below.

use crate::model::{LogGroup, LogLevel, SafeText};
use crate::tui::chart;
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{Listed, State, Tab};
use crate::tui::theme::Role;

/// Lines of the raw sample, with its heading.
const SAMPLE_ROWS: usize = 4;
/// Cells of a sparkline.
const SPARK: usize = 8;

/// The groups shown: of what is followed, after the filter.
pub(in crate::tui) fn rows(state: &State) -> Vec<&LogGroup> {
    let (find, along) = (&state.place.find, state.lanes.along.as_ref());
    state.panels().map_or_else(Vec::new, |panels| {
        panels
            .logs
            .iter()
            .filter(|group| along.is_none_or(|along| along.has_lines(group)))
            .filter(|group| find.told(Some(&group.entity), &group.template))
            .collect()
    })
}

/// Draws the pane.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, focused: bool) {
    let groups = rows(state);
    let canvas = &mut super::followed(state, canvas);
    if groups.is_empty() {
        let text = match state.lanes.along {
            _ if !state.place.find.is_empty() => return super::unfound(state, canvas, "log lines"),
            Some(_) => " No log lines of it.",
            None => " No log lines of these entities.",
        };
        return canvas.row(0, &Row::new().put(Role::Muted, text));
    }
    let cursor = state.cursor(Tab::Logs);
    let at = cursor.at(groups.len());
    let height = canvas.height();
    let samples = if height > 2 * SAMPLE_ROWS {
        SAMPLE_ROWS
    } else {
        0
    };
    let listed = height.saturating_sub(samples + 1);
    canvas.row(0, &heading());
    for (y, i) in cursor.window(groups.len(), listed).enumerate() {
        let row = group(groups[i], i == at, focused);
        super::listed(state, canvas, 1 + y, (Listed::Pane(Tab::Logs), i), &row);
    }
    if samples > 0 {
        let top = 1 + listed.min(groups.len());
        sample(state, groups[at], canvas, top);
    }
}

fn heading() -> Row {
    Row::new()
        .put(Role::Body, " ")
        .column(Role::Muted, "NEW", 4)
        .column(Role::Muted, "LEVEL", 6)
        .column(Role::Muted, "SERVICE", 12)
        .right(Role::Muted, "LINES", 6)
        .put(Role::Body, " ")
        .column(Role::Muted, "TREND", SPARK + 1)
        .put(Role::Muted, "TEMPLATE (<...> varies)")
}

fn group(group: &LogGroup, here: bool, focused: bool) -> Row {
    let (level, role) = level(group.level);
    let buckets: Vec<f32> = group.buckets.iter().map(|n| *n as f32).collect();
    let (news, news_role) = if group.is_new {
        ("NEW", Role::Anomaly)
    } else {
        ("", Role::Muted)
    };
    super::cursor_mark(here, focused)
        .column(news_role, news, 3)
        .put(Role::Body, " ")
        .column(role, level, 5)
        .put(Role::Body, " ")
        .column(Role::Title, &group.entity, 12)
        .right(Role::Body, format::count(group.count), 6)
        .put(Role::Body, " ")
        .column(role, chart::sparkline(&buckets, SPARK), SPARK)
        .put(Role::Body, " ")
        .put(Role::Body, group.template.to_string())
}

fn sample(state: &State, group: &LogGroup, canvas: &mut Canvas<'_>, top: usize) {
    let heading = Row::new().put(Role::Title, " One line of it").put(
        Role::Muted,
        format!(
            "  first {}  last {}",
            state.clock.second(group.first_seen),
            state.clock.second(group.last_seen)
        ),
    );
    canvas.row(top, &heading);
    let text = SafeText::new(&group.sample);
    for (y, line) in wrap(&text, canvas.width().saturating_sub(2))
        .into_iter()
        .take(SAMPLE_ROWS - 1)
        .enumerate()
    {
        canvas.row(
            top + 1 + y,
            &Row::new().put(Role::Body, " ").put(Role::Body, line),
        );
    }
}

fn level(level: LogLevel) -> (&'static str, Role) {
    match level {
        LogLevel::Trace => ("trace", Role::Muted),
        LogLevel::Debug => ("debug", Role::Muted),
        LogLevel::Info => ("info", Role::Info),
        LogLevel::Warn => ("WARN", Role::Warn),
        LogLevel::Error => ("ERROR", Role::High),
        LogLevel::Fatal => ("FATAL", Role::Crit),
    }
}
