//! Keeps the cursors of an incident's panes on their rows, by what those show, while the world adds others
//! and orders them anew. It never moves a cursor that nobody has put anywhere.

use crate::model::{EntityId, Finding, IncidentId, SeriesId, Time, TraceId};

use super::state::{Screen, State, Tab};
use super::view::{
    chart_here, chart_rows, log_rows, path_rows, row_of, timeline_entries, trace_at, trace_line,
};

/// A row by what it shows, wherever it stands.
#[derive(Debug)]
enum Row {
    Entry(Time, Box<str>),
    Entity(EntityId),
    Series(SeriesId),
    Lines(EntityId, Box<str>),
    /// A line of a trace: its heading is line 0.
    Trace(TraceId, usize),
}

/// The rows under the cursors of an incident's panes.
#[derive(Debug, Default)]
pub struct Rows(Vec<(Tab, Row)>);

impl Rows {
    /// The rows under the cursors, while `id` is looked at.
    pub(super) fn of(state: &State, id: IncidentId) -> Self {
        if state.looked_at() != Some(id) || state.travel.is_some() {
            return Self::default();
        }
        let tabs = Tab::ALL.into_iter().filter(|tab| is_kept(state, *tab));
        let row = |tab| Some((tab, here(state, tab)?));
        Self(tabs.filter_map(row).collect())
    }

    /// The row of the chart, or of the log lines, that a finding is about.
    pub(super) fn of_finding(finding: &Finding) -> Self {
        let chart = |series| (Tab::Metrics, Row::Series(series));
        let lines = || {
            let lines = Row::Lines(finding.entity.clone(), finding.subject.clone());
            (Tab::Logs, lines)
        };
        Self(vec![finding.series.map_or_else(lines, chart)])
    }

    /// Puts the cursors on the same rows, where those are now; a row that is gone leaves its cursor.
    pub(super) fn back_on(self, state: &mut State) {
        for (tab, row) in self.0 {
            if let Some(at) = place(state, &row) {
                state.cursor_mut(tab).set(at);
            }
        }
    }
}

/// Whether the cursor of a pane was put somewhere: at rest the timeline follows its end, and other
/// panes show what is worst first.
fn is_kept(state: &State, tab: Tab) -> bool {
    let cursor = state.cursor(tab);
    let focused = state.place.tab == tab && matches!(state.place.screen, Screen::Incident(_));
    !cursor.follows_end() && (focused || cursor.at(usize::MAX) > 0)
}

fn here(state: &State, tab: Tab) -> Option<Row> {
    let at = |len| state.cursor(tab).at(len);
    let incident = &state.detail()?.incident;
    Some(match tab {
        Tab::Timeline => {
            let entries = timeline_entries(state, incident);
            let entry = entries.get(at(entries.len()))?;
            Row::Entry(entry.at, entry.text.clone())
        }
        Tab::Path => {
            let rows = path_rows(state, incident);
            Row::Entity(rows.get(at(rows.len()))?.entity.clone())
        }
        Tab::Metrics => Row::Series(chart_here(state)?.series),
        Tab::Logs => {
            let rows = log_rows(state);
            let group = rows.get(at(rows.len()))?;
            Row::Lines(group.entity.clone(), group.template.clone())
        }
        Tab::Traces => {
            let (trace, line) = trace_line(state)?;
            Row::Trace(trace, line)
        }
        // Of plans the state itself takes care.
        Tab::Why | Tab::Actions => return None,
    })
}

fn place(state: &State, row: &Row) -> Option<usize> {
    let incident = &state.detail()?.incident;
    match row {
        Row::Entry(at, text) => row_of(state, incident, (*at, text)),
        Row::Entity(entity) => {
            let rows = path_rows(state, incident);
            rows.iter().position(|row| row.entity == *entity)
        }
        Row::Series(series) => {
            let charts = chart_rows(state);
            charts.iter().position(|chart| chart.series == *series)
        }
        Row::Lines(entity, template) => log_rows(state)
            .iter()
            .position(|group| group.entity == *entity && group.template == *template),
        Row::Trace(trace, line) => trace_at(state, *trace).map(|heading| heading + line),
    }
}
