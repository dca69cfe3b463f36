//! `w`: why the row under the cursor is here. Builds the rows of the explanation from what the
//! console already holds; every sentence comes from the engine.

use crate::model::{
    AlertRow, BaselineVersion, Chart, EntityId, Explanation, Finding, Incident, IncidentId, Phase,
    Plan, SafeText, SeriesId, Severity, Time, WhyAnswer, command_line,
};

use super::dependence::{self, Told};
use super::format;
use super::link::Request;
use super::paint::{Ink, Row, wrap};
use super::rows::Rows;
use super::state::{Awaited, Cursor, Overlay, Screen, State, Tab};
use super::theme::Role;
use super::update::{Effects, lay_over};
use super::waited;

/// Widest explanation, in cells: longer lines are hard to read.
const WIDTH_MAX: usize = 92;
/// Cells around an explanation.
const MARGIN: usize = 8;
/// Why an alert is told: it went through everything that holds some back.
const NOT_HELD: &str = "nobody silenced it, no maintenance window is open for it, no other alert says it already, and it does not wait for itself to clear";
/// Findings told in one explanation; the rest are counted.
const FINDINGS_MAX: usize = 20;

/// Lays the explanation of the row under the cursor over the screen, or says that there is none.
///
/// Of a metric the daemon is asked too: why it is told of, or why it is not. Of a node of the path: what
/// depends on it.
pub(super) fn open(state: &mut State, effects: &mut Effects) {
    let width = width(state);
    let Some((title, rows)) = explain(state, width) else {
        state.tell(Role::Muted, "Nothing to explain here.");
        return;
    };
    let series = chart_here(state).map(|chart| chart.series);
    let node = dependence::here(state).filter(|_| state.travel.is_none());
    if let Some(series) = series {
        effects.requests.push(Request::Why { series, at: None });
    } else if let Some(node) = node.clone() {
        effects.requests.push(Request::Dependence(node));
    }
    let asked = series.map(Awaited::Judgement);
    let cursor = Cursor::default();
    lay_over(
        state,
        Overlay::Why {
            title,
            rows,
            asked: asked.or(node.map(Awaited::Dependence)),
            cursor,
        },
    );
}

/// What is told of a source goes on while it is read: who looks at it waits for it to speak.
pub(super) fn follow(state: &mut State) {
    let (Screen::Sources, Some(Overlay::Why { title, .. })) = (state.place.screen, &state.overlay)
    else {
        return;
    };
    let fresh = explain(state, width(state)).filter(|(of, _)| of == title);
    if let (Some((_, fresh)), Some(Overlay::Why { rows, .. })) = (fresh, &mut state.overlay) {
        *rows = fresh;
    }
}

/// Puts the daemon's answer about a series below what is already told, if it is still looked at.
pub(super) fn answered(state: &mut State, of: SeriesId, answer: &WhyAnswer) {
    let width = width(state);
    let Some(Overlay::Why { rows, asked, .. }) = &mut state.overlay else {
        return;
    };
    let awaited = Awaited::Judgement(of);
    if asked.take_if(|asked| *asked == awaited).is_some() {
        judgement(rows, answer, width);
    }
}

/// Cells of its lines.
pub(super) fn width(state: &State) -> usize {
    usize::from(state.size.0)
        .saturating_sub(MARGIN)
        .min(WIDTH_MAX)
}

/// Why a series is, or is not, told of now, and what judged it.
fn judgement(rows: &mut Vec<Row>, answer: &WhyAnswer, width: usize) {
    section(rows, "Why it is told of, or is not");
    let WhyAnswer::One(why) = answer else {
        let text = "The engine no longer keeps this series.";
        return bullet(rows, Role::Muted, text, width);
    };
    for sentence in &why.because {
        bullet(rows, Role::Body, sentence, width);
    }
    for check in &why.checks {
        let (role, words) = if check.score >= check.bar {
            (Role::Anomaly, "odd")
        } else {
            (Role::Muted, "not odd")
        };
        let text = format!(
            "{}: {words}, {:.1}; odd from {:.1}",
            check.title, check.score, check.bar
        );
        bullet(rows, role, &text, width);
    }
    bullet(rows, Role::Muted, &version(why.at, &why.baseline), width);
}

/// `baseline mature: 17280 samples over 12d, one for each hour; checks v3`, as it judged at `at`.
fn version(at: Time, baseline: &BaselineVersion) -> String {
    let season = if baseline.is_seasonal {
        "one for each hour"
    } else {
        "one for all hours"
    };
    format!(
        "baseline {}: {} samples over {}, {season}; checks v{}",
        baseline.maturity,
        baseline.samples,
        super::format::age(at.since(baseline.since)),
        baseline.checks
    )
}

/// The chart under the cursor of the metrics pane, when that has the keys.
fn chart_here(state: &State) -> Option<&Chart> {
    if state.place.tab != Tab::Metrics || !matches!(state.place.screen, Screen::Incident(_)) {
        return None;
    }
    super::view::chart_here(state)
}

/// What was noticed on the row under the cursor: of several findings the first that is told.
pub(super) fn finding_here(state: &State) -> Option<&Finding> {
    let Screen::Incident(_) = state.place.screen else {
        return None;
    };
    let incident = &state.detail()?.incident;
    let at = |len| state.cursor(state.place.tab).at(len);
    let is_meant: Box<dyn Fn(&Finding) -> bool> = match state.place.tab {
        Tab::Timeline => {
            let entries = super::view::timeline_entries(state, incident);
            let entry = *entries.get(at(entries.len()))?;
            let (text, since) = (&entry.text, entry.at);
            Box::new(move |f| f.since == since && (f.text == *text || text.contains(&*f.text)))
        }
        Tab::Metrics => {
            let series = chart_here(state)?.series;
            Box::new(move |f| f.series == Some(series))
        }
        Tab::Logs => {
            let groups = super::view::log_rows(state);
            let group = *groups.get(at(groups.len()))?;
            Box::new(move |f| f.entity == group.entity && f.subject == group.template)
        }
        Tab::Path => {
            let rows = super::view::path_rows(state, incident);
            let entity = rows.get(at(rows.len()))?.entity.clone();
            Box::new(move |f| f.entity == entity)
        }
        Tab::Why | Tab::Traces | Tab::Actions => return None,
    };
    incident.findings.iter().find(|finding| is_meant(finding))
}

/// Puts the cursor of the pane that shows it on what was noticed on this row: at once, or as soon as that is
/// fetched. Whoever reads a number is one key from its samples or lines.
pub(super) fn seek(state: &mut State, id: IncidentId) {
    let rows = finding_here(state).map(Rows::of_finding);
    if state.panels().is_none() {
        state.sought = rows.map(|rows| (id, rows));
    } else if let Some(rows) = rows {
        rows.back_on(state);
    }
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
    let told_apart = told_apart(incident);
    bullet(&mut rows, Role::Muted, &told_apart, width);
    if incident.impact.alerts_held > 0 {
        let held = incident.impact.alerts_held.into();
        let held = format::counted(held, "alert of it fires", "alerts of it fire");
        section(&mut rows, "What is held back");
        let why = incident.held.as_deref().map_or_else(String::new, |held| {
            format!(" ({})", held.words(|at| state.clock.minute(at)))
        });
        let text =
            format!("{held} and count for nothing{why}; in the list of alerts w says why each");
        bullet(&mut rows, Role::Body, &text, width);
    }
    if incident.impact.alerts_unheard > 0 {
        let unheard = incident.impact.alerts_unheard.into();
        let unheard = format::counted(unheard, "alert of it is", "alerts of it are");
        section(&mut rows, "What nobody vouches for");
        let text = format!(
            "{unheard} not sent any more, and neither is anything else of who sent it: it is not over for that"
        );
        bullet(&mut rows, Role::Body, &text, width);
    }
    section(&mut rows, "What was noticed");
    findings(&mut rows, state, &incident.findings, width);
    Some((SafeText::new(&format!("Why {id} is here")), rows))
}

/// What somebody would have to read who was told each signal by itself.
fn told_apart(incident: &Incident) -> String {
    let impact = &incident.impact;
    let alerts = format::counted(impact.alerts_total.into(), "alert", "alerts");
    let findings = format::counted(impact.findings_total.into(), "finding", "findings");
    let entities = format::counted(impact.entities.into(), "entity", "entities");
    format!("told apart they would be {alerts} and {findings}, on {entities}")
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
            let timeline = super::view::timeline_entries(state, &detail.incident);
            let entry = timeline.get(at(timeline.len()))?;
            let found = entry.entity.as_ref().map(&of_entity).unwrap_or_default();
            (entry.text.to_string(), found)
        }
        Tab::Path => {
            let rows = super::view::path_rows(state, &detail.incident);
            let entity = rows.get(at(rows.len()))?.entity.clone();
            let told = if state.travel.is_some() {
                Told::Past
            } else {
                Told::Asked
            };
            let rows = dependence::rows(state, &detail.incident, &entity, told);
            return Some((dependence::title(&entity), rows));
        }
        Tab::Metrics => {
            let chart = super::view::chart_here(state)?;
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
        Tab::Traces => {
            let trace = super::view::trace_here(state)?;
            let found: Vec<Finding> = all
                .iter()
                .filter(|finding| waited::went_through(trace, finding))
                .cloned()
                .collect();
            let mut rows = waited::trace(state, trace, width);
            section(&mut rows, "What was noticed where it went");
            if found.is_empty() {
                bullet(&mut rows, Role::Muted, "nothing", width);
            }
            findings(&mut rows, state, &found, width);
            return Some((waited::title(trace), rows));
        }
        Tab::Actions => return state.plan().map(|plan| because(state, plan, width)),
        Tab::Why => return incident(state, id, width),
    };
    let mut rows = Vec::new();
    // Of a metric the engine itself says why not.
    if found.is_empty() && state.place.tab != Tab::Metrics {
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

fn because(state: &State, plan: &Plan, width: usize) -> (SafeText, Vec<Row>) {
    let mut rows = Vec::new();
    // What was true then may not be any more: it is said of when it is.
    let at = state.clock.second(plan.created);
    let by = if plan.is_chosen() {
        format!("Why it was chosen, as things were at {at}")
    } else {
        format!("Why it was proposed, as things were at {at}")
    };
    section(&mut rows, by);
    for reason in &plan.because {
        bullet(&mut rows, Role::Body, reason, width);
    }
    (SafeText::new(&format!("Why: {}", plan.title)), rows)
}

fn alert(alert: &AlertRow, state: &State, width: usize) -> (SafeText, Vec<Row>) {
    let mut rows = Vec::new();
    let incident = match (alert.incident, &alert.held) {
        (Some(id), _) => format!("It belongs to {id}; Enter there, w says why."),
        (None, Some(_)) => "It belongs to no incident: it is held back.".to_owned(),
        (None, None) => "It belongs to no incident: it fires alone or only informs.".to_owned(),
    };
    bullet(&mut rows, Role::Body, &alert.summary, width);
    bullet(&mut rows, Role::Body, &incident, width);
    let since = format!("Since {}", state.clock.second(alert.starts_at));
    bullet(&mut rows, Role::Body, &since, width);
    if let Some(unheard) = &alert.unheard {
        bullet(
            &mut rows,
            Role::Blind,
            &format!("It {}", unheard.why),
            width,
        );
    }
    passage(&mut rows, alert, state, width);
    section(&mut rows, "Labels");
    for (name, value) in alert.labels.iter() {
        bullet(&mut rows, Role::Muted, &format!("{name} = {value}"), width);
    }
    let name = alert.labels.get("alertname").unwrap_or("alert");
    (SafeText::new(name), rows)
}

/// Why an alert is held back or is not, and what would be so otherwise.
fn passage(rows: &mut Vec<Row>, alert: &AlertRow, state: &State, width: usize) {
    let Some(held) = &alert.held else {
        if !alert.firing {
            return;
        }
        section(rows, "Why it is not held back");
        bullet(rows, Role::Body, NOT_HELD, width);
        if alert.flapping {
            let text = "it goes on and off: it counts as firing until it stays one way";
            bullet(rows, Role::Body, text, width);
        }
        return;
    };
    section(rows, "Why it is held back");
    let until = held.until.map_or_else(String::new, |until| {
        format!(", until {} at the latest", state.clock.minute(until))
    });
    let since = state.clock.minute(held.since);
    let text = format!("{}: {}; since {since}{until}", held.by, held.why);
    bullet(rows, Role::Body, &text, width);
    section(rows, "What would be so otherwise");
    bullet(rows, Role::Body, &otherwise(alert, state), width);
}

/// What an alert would do that is held back.
fn otherwise(alert: &AlertRow, state: &State) -> String {
    if alert.severity < Severity::Warning {
        return "it would be on this list and in no incident all the same: it only informs"
            .to_owned();
    }
    let rows = state.feed.shown().map(|view| view.incidents.values());
    let mut open = rows.into_iter().flatten();
    let there = open.find(|row| row.entity == alert.entity && row.phase != Phase::Resolved);
    match there {
        Some(row) => format!(
            "it would count on {}, which is about {}",
            row.id, row.entity
        ),
        None => format!(
            "it would be part of an incident, or open one as P{}: none is about {} now",
            alert.severity.priority(),
            alert.entity
        ),
    }
}

fn source(state: &State, width: usize) -> Option<(SafeText, Vec<Row>)> {
    let view = state.feed.shown()?;
    let sources = super::view::source_rows(state, view);
    let row = *sources.get(state.sources.cursor.at(sources.len()))?;
    let mut rows = Vec::new();
    bullet(&mut rows, Role::Body, &row.detail, width);
    let silence = super::view::source_silence(row, view.at);
    for text in silence
        .into_iter()
        .chain(super::view::speech(state, row, view.at))
    {
        bullet(&mut rows, Role::Body, &text, width);
    }
    let counts = format!(
        "{} signals taken, {} rejected as malformed, {} dropped because a queue was full",
        row.taken, row.rejected, row.dropped
    );
    bullet(&mut rows, Role::Body, &counts, width);
    if let Some(known) = state.speakers.of(&row.name) {
        let told = super::view::entities_told(known, view.at, width);
        if !told.is_empty() {
            section(&mut rows, "Whom it tells of, those with most trouble first");
            rows.extend(told);
            let others = known.entities.saturating_sub(known.told.len() as u64);
            if others > 0 {
                let all = format!("{others} more: `stormglass doctor \"{}\"`", row.name);
                bullet(&mut rows, Role::Muted, &all, width);
            }
        }
    }
    Some((SafeText::new(&row.name), rows))
}

pub(super) fn findings(rows: &mut Vec<Row>, state: &State, found: &[Finding], width: usize) {
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
        note(rows, &numbers, width);
        if let Some(explain) = &finding.explain {
            stands_behind(rows, finding.since, explain, width);
        }
    }
    if found.len() > FINDINGS_MAX {
        let rest = format!("and {} more", found.len() - FINDINGS_MAX);
        rows.push(Row::new().put(Role::Muted, rest));
    }
}

/// How unusual what began at `at` is, which checks say so and which do not, and what it was compared with.
fn stands_behind(rows: &mut Vec<Row>, at: Time, explain: &Explanation, width: usize) {
    if !explain.unusual.is_empty() {
        note(rows, &explain.unusual, width);
    }
    if !explain.agreed.is_empty() {
        let agreed = explain.agreed.join(", ");
        let disagreed = match &explain.disagreed[..] {
            [] => "no other check is asked".to_owned(),
            others => format!("not by {}", others.join(", ")),
        };
        note(rows, &format!("odd by {agreed}; {disagreed}"), width);
    }
    if let Some(baseline) = &explain.baseline {
        note(rows, &version(at, baseline), width);
    }
}

/// A sentence below a bullet, wrapped and indented further.
fn note(rows: &mut Vec<Row>, text: &str, width: usize) {
    for line in wrap(&SafeText::new(text), width.saturating_sub(4)) {
        rows.push(Row::new().put(Role::Muted, "    ").put(Role::Muted, line));
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
            let sources = super::view::source_rows(state, state.feed.shown()?);
            let row = *sources.get(state.sources.cursor.at(sources.len()))?;
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
            let timeline = super::view::timeline_entries(state, &detail.incident);
            let entry = timeline.get(at(timeline.len()))?;
            format!("{} {} {}", entry.at, entry.lane.as_str(), entry.text)
        }
        Tab::Path => {
            let rows = super::view::path_rows(state, &detail.incident);
            rows.get(at(rows.len()))?.entity.to_string()
        }
        Tab::Metrics => super::view::chart_here(state)?.title.to_string(),
        Tab::Logs => {
            let logs = super::view::log_rows(state);
            logs.get(at(logs.len()))?.sample.to_string()
        }
        Tab::Traces => {
            format!("{:032x}", super::view::trace_here(state)?.trace.0)
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
