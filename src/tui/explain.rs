//! `w`: why the row under the cursor is here. Builds the rows of the explanation from what the
//! console already holds; every sentence comes from the engine.

use crate::model::{AlertRow, EntityId, Finding, IncidentId, Plan, SafeText, command_line};

use super::paint::{Ink, Row, wrap};
use super::state::{Cursor, Overlay, Screen, State, Tab};
use super::theme::Role;
use super::update::lay_over;

/// Widest explanation, in cells: longer lines are hard to read.
const WIDTH_MAX: usize = 92;
/// Cells around an explanation.
const MARGIN: usize = 8;
/// Findings told in one explanation; the rest are counted.
const FINDINGS_MAX: usize = 20;

/// Lays the explanation of the row under the cursor over the screen, or says that there is none.
pub(super) fn open(state: &mut State) {
    let width = usize::from(state.size.0)
        .saturating_sub(MARGIN)
        .min(WIDTH_MAX);
    let Some((title, rows)) = explain(state, width) else {
        state.tell(Role::Muted, "Nothing to explain here.");
        return;
    };
    let cursor = Cursor::default();
    lay_over(
        state,
        Overlay::Why {
            title,
            rows,
            cursor,
        },
    );
}

fn explain(state: &State, width: usize) -> Option<(SafeText, Vec<Row>)> {
    match state.place.screen {
        Screen::Incidents => incident(state, state.chosen()?, width),
        Screen::Incident(id) => pane(state, id, width),
        Screen::Alerts => alert_here(state).map(|row| alert(row, state, width)),
        Screen::Sources => source(state, width),
    }
}

fn incident(state: &State, id: IncidentId, width: usize) -> Option<(SafeText, Vec<Row>)> {
    let incident = &state.details.get(id)?.incident;
    let mut rows = Vec::new();
    section(&mut rows, "Why these signals are one incident");
    for sentence in &incident.grouping {
        bullet(&mut rows, Role::Body, sentence, width);
    }
    section(&mut rows, "What was noticed");
    findings(&mut rows, state, &incident.findings, width);
    Some((SafeText::new(&format!("Why {id} is here")), rows))
}

fn pane(state: &State, id: IncidentId, width: usize) -> Option<(SafeText, Vec<Row>)> {
    let detail = state.detail()?;
    let all = &detail.incident.findings;
    let at = |len| state.cursor(state.place.tab).at(len);
    let of_entity = |entity: &EntityId| -> Vec<Finding> {
        all.iter()
            .filter(|f| &f.entity == entity || f.callee.as_ref() == Some(entity))
            .cloned()
            .collect()
    };
    let (title, found) = match state.place.tab {
        Tab::Timeline => {
            let timeline = &detail.incident.timeline;
            let entry = timeline.get(at(timeline.len()))?;
            let found = entry.entity.as_ref().map(&of_entity).unwrap_or_default();
            (entry.text.to_string(), found)
        }
        Tab::Path => {
            let rows = super::view::path_rows(&detail.incident);
            let entity = rows.get(at(rows.len()))?.entity.clone();
            (entity.name().to_owned(), of_entity(&entity))
        }
        Tab::Metrics => {
            let charts = &state.panels()?.charts;
            let chart = charts.get(at(charts.len()))?;
            let found = all
                .iter()
                .filter(|f| f.series == Some(chart.series))
                .cloned()
                .collect();
            (chart.title.to_string(), found)
        }
        Tab::Logs => {
            let logs = super::view::log_rows(state);
            let group = logs.get(at(logs.len()))?;
            let found = of_entity(&group.entity)
                .into_iter()
                .filter(|f| f.subject == group.template)
                .collect();
            (group.template.to_string(), found)
        }
        Tab::Actions => return state.plan().map(|plan| because(plan, width)),
        Tab::Why | Tab::Traces => return incident(state, id, width),
    };
    let mut rows = Vec::new();
    if found.is_empty() {
        bullet(
            &mut rows,
            Role::Muted,
            "No finding is about this itself; why the incident is one:",
            width,
        );
        for sentence in &detail.incident.grouping {
            bullet(&mut rows, Role::Body, sentence, width);
        }
    }
    findings(&mut rows, state, &found, width);
    Some((SafeText::new(&format!("Why: {title}")), rows))
}

fn because(plan: &Plan, width: usize) -> (SafeText, Vec<Row>) {
    let mut rows = Vec::new();
    section(&mut rows, "Why this is proposed");
    for reason in &plan.because {
        bullet(&mut rows, Role::Body, reason, width);
    }
    (SafeText::new(&format!("Why: {}", plan.title)), rows)
}

fn alert(alert: &AlertRow, state: &State, width: usize) -> (SafeText, Vec<Row>) {
    let mut rows = Vec::new();
    let incident = alert.incident.map_or_else(
        || "It belongs to no incident: it fires alone or only informs.".to_owned(),
        |id| format!("It belongs to {id}; Enter there, w says why."),
    );
    bullet(&mut rows, Role::Body, &alert.summary, width);
    bullet(&mut rows, Role::Body, &incident, width);
    let since = format!("Since {}", state.clock.second(alert.starts_at));
    bullet(&mut rows, Role::Body, &since, width);
    section(&mut rows, "Labels");
    for (name, value) in alert.labels.iter() {
        bullet(&mut rows, Role::Muted, &format!("{name} = {value}"), width);
    }
    let name = alert.labels.get("alertname").unwrap_or("alert");
    (SafeText::new(name), rows)
}

fn source(state: &State, width: usize) -> Option<(SafeText, Vec<Row>)> {
    let sources = &state.feed.shown()?.sources;
    let row = sources.values().nth(state.sources.at(sources.len()))?;
    let mut rows = Vec::new();
    bullet(&mut rows, Role::Body, &row.detail, width);
    let counts = format!(
        "{} signals taken, {} rejected as malformed, {} dropped because a queue was full",
        row.taken, row.rejected, row.dropped
    );
    bullet(&mut rows, Role::Body, &counts, width);
    Some((SafeText::new(&row.name), rows))
}

fn findings(rows: &mut Vec<Row>, state: &State, found: &[Finding], width: usize) {
    for finding in found.iter().take(FINDINGS_MAX) {
        bullet(rows, Role::Anomaly, &finding.text, width);
        let since = state.clock.second(finding.since);
        let over = finding.ended.map_or_else(
            || "lasts".to_owned(),
            |at| format!("over at {}", state.clock.second(at)),
        );
        // The sentence says what was expected and seen.
        let numbers = format!(
            "since {since}, {over}{}",
            if finding.pages { "" } else { "; only informs" },
        );
        for line in wrap(&SafeText::new(&numbers), width.saturating_sub(4)) {
            rows.push(Row::new().put(Role::Muted, "    ").put(Role::Muted, line));
        }
    }
    if found.len() > FINDINGS_MAX {
        let rest = format!("and {} more", found.len() - FINDINGS_MAX);
        rows.push(Row::new().put(Role::Muted, rest));
    }
}

/// A heading.
pub(super) fn section(rows: &mut Vec<Row>, title: impl Into<Ink>) {
    if !rows.is_empty() {
        rows.push(Row::new());
    }
    rows.push(Row::new().put(Role::Title, title));
}

/// A sentence, wrapped and indented.
pub(super) fn bullet(rows: &mut Vec<Row>, role: Role, text: &str, width: usize) {
    for (i, line) in wrap(&SafeText::new(text), width.saturating_sub(2))
        .into_iter()
        .enumerate()
    {
        let indent = if i == 0 { "- " } else { "  " };
        rows.push(Row::new().put(Role::Muted, indent).put(role, line));
    }
}

/// The alert under the cursor.
pub(super) fn alert_here(state: &State) -> Option<&AlertRow> {
    let rows = super::view::alert_rows(state);
    let at = state.alerts.cursor.at(rows.len());
    rows.get(at).copied()
}

/// The row under the cursor as text to copy.
pub(super) fn row_text(state: &State) -> Option<String> {
    let text = match state.place.screen {
        Screen::Incidents => {
            let row = state.row(state.chosen()?)?;
            format!("{} {} {}", row.id, row.entity, row.title)
        }
        Screen::Alerts => {
            let row = alert_here(state)?;
            format!("{} {:?} {}", row.fingerprint, row.labels, row.summary)
        }
        Screen::Sources => {
            let sources = &state.feed.shown()?.sources;
            let row = sources.values().nth(state.sources.at(sources.len()))?;
            format!("{} {}", row.name, row.detail)
        }
        Screen::Incident(_) => pane_text(state)?,
    };
    Some(SafeText::new(&text).to_string())
}

fn pane_text(state: &State) -> Option<String> {
    let detail = state.detail()?;
    let at = |len| state.cursor(state.place.tab).at(len);
    Some(match state.place.tab {
        Tab::Timeline => {
            let timeline = &detail.incident.timeline;
            let entry = timeline.get(at(timeline.len()))?;
            format!("{} {} {}", entry.at, entry.lane.as_str(), entry.text)
        }
        Tab::Path => {
            let rows = super::view::path_rows(&detail.incident);
            rows.get(at(rows.len()))?.entity.to_string()
        }
        Tab::Metrics => {
            let charts = &state.panels()?.charts;
            charts.get(at(charts.len()))?.title.to_string()
        }
        Tab::Logs => {
            let logs = super::view::log_rows(state);
            logs.get(at(logs.len()))?.sample.to_string()
        }
        Tab::Traces => {
            let traces = &state.panels()?.traces;
            format!("{:032x}", traces.first()?.trace.0)
        }
        Tab::Actions => {
            let plan = state.plan()?;
            let steps: Vec<String> = plan
                .steps
                .iter()
                .map(|step| command_line(&step.argv))
                .collect();
            steps.join("\n")
        }
        Tab::Why => {
            let first = detail.incident.diagnosis.hypotheses.first()?;
            format!("{} {:.2}", first.suspect, first.confidence)
        }
    })
}
