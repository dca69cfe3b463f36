//! The incident in words; its suspects, with the evidence for and against each, what could not be seen, and why the signals are
//! one incident. The machine says *suspect*; only a person says *confirmed*.

use crate::api::{IncidentDetail, narrative};
use crate::model::{Hypothesis, Incident, SafeText, SuspectRole};
use crate::tui::chart;
use crate::tui::explain::{bullet, section};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{State, Tab};
use crate::tui::theme::Role;

use super::headline::cause_words;

/// Cells before a sentence.
const INDENT: usize = 4;
/// Past incidents told; the likest come first.
const SIMILAR_MAX: usize = 3;
/// Cells of the bar of confidence.
const BAR: usize = 10;

/// Draws the pane: a text that scrolls.
pub(super) fn draw(state: &State, detail: &IncidentDetail, canvas: &mut Canvas<'_>) {
    let rows = rows(state, detail, canvas.width());
    let room = super::dialogs::room(rows.len(), canvas.height());
    let window = state.cursor(Tab::Why).scroll(rows.len(), room);
    for (y, i) in window.clone().enumerate() {
        canvas.row(y, &rows[i]);
    }
    super::dialogs::more_below(canvas, window.end, rows.len());
}

fn rows(state: &State, detail: &IncidentDetail, width: usize) -> Vec<Row> {
    let incident = &detail.incident;
    let mut rows = Vec::new();
    if let Some(travel) = &state.travel {
        let then = state.clock.second(travel.at);
        let text = format!("As of {then}. How sure it was then is not kept: confidence is of now.");
        bullet(&mut rows, Role::Stale, &text, width);
        rows.push(Row::new());
    }
    for sentence in narrative(incident, &detail.plans, &|at| state.clock.minute(at)) {
        let lines = wrap(&SafeText::new(&sentence), width.saturating_sub(2));
        let lines = lines.into_iter();
        rows.extend(lines.map(|line| Row::new().put(Role::Body, " ").put(Role::Body, line)));
    }
    rows.push(Row::new());
    let hypotheses = &incident.diagnosis.hypotheses;
    if hypotheses.is_empty() {
        let text = " Unknown: the evidence does not point at one cause.";
        rows.push(Row::new().put(Role::Warn, text));
    }
    if !hypotheses.is_empty() {
        let legend = " + speaks for it, - against it; the number is how much";
        rows.push(Row::new().put(Role::Muted, legend));
    }
    for (at, hypothesis) in hypotheses.iter().enumerate() {
        suspect(&mut rows, state, at, hypothesis, width);
    }
    seen_before(&mut rows, state, incident, width);
    if !incident.diagnosis.not_seen.is_empty() {
        section(&mut rows, " Could not be seen");
        for text in &incident.diagnosis.not_seen {
            indented(&mut rows, Role::Blind, text, width);
        }
    }
    if !incident.priority_why.is_empty() {
        let title = format!(" Why it is P{}", incident.severity.priority());
        section(&mut rows, title);
        indented(&mut rows, Role::Body, &incident.priority_why, width);
    }
    if !incident.grouping.is_empty() {
        section(&mut rows, " Why these signals are one incident");
    }
    for text in &incident.grouping {
        indented(&mut rows, Role::Body, text, width);
    }
    rows
}

/// Past incidents that looked alike with what came of them, and how often such a first suspect was right.
fn seen_before(rows: &mut Vec<Row>, state: &State, incident: &Incident, width: usize) {
    let diagnosis = &incident.diagnosis;
    if !diagnosis.similar.is_empty() {
        section(rows, " Looked like this before");
    }
    for past in diagnosis.similar.iter().take(SIMILAR_MAX) {
        let age = format::age(state.engine_now().since(past.began));
        let cause = past.cause.as_ref().map_or_else(
            || "nobody said what caused it".to_owned(),
            |cause| format!("caused by {}", cause.name()),
        );
        let (id, alike) = (past.incident, past.likeness * 100.0);
        let text = format!(
            "{id}, {age} ago, {alike:.0} % alike: {}; {cause}",
            past.title
        );
        indented(rows, Role::Body, &text, width);
        for done in &past.done {
            let (role, word) = if done.helped {
                (Role::Ok, "helped")
            } else {
                (Role::Warn, "did not help")
            };
            let text = format!("{word}: {} ({})", done.title, done.target.name());
            indented(rows, role, &text, width);
        }
    }
    let first = diagnosis.hypotheses.first().map(|h| h.cause.as_str());
    let rates = diagnosis.hit_rates.iter().filter(|rate| rate.of > 0);
    let (own, others): (Vec<_>, Vec<_>) = rates.partition(|rate| first == Some(&*rate.kind));
    if !own.is_empty() || !others.is_empty() {
        section(
            rows,
            " How often the first suspect was the cause, where somebody named it",
        );
    }
    let weights = diagnosis.weights;
    let methods = diagnosis.method_rates.iter().filter(|rate| rate.of > 0);
    let methods: Vec<String> = methods
        .map(|rate| format!("{} {} of {}", rate.method.as_str(), rate.right, rate.of))
        .collect();
    if !methods.is_empty() {
        let text = format!("led to by {} (weights {weights})", methods.join(", "));
        indented(rows, Role::Body, &text, width);
    }
    for rate in own.iter().chain(&others) {
        let text = format!(
            "{}: {} of {}",
            rate.kind.replace('_', " "),
            rate.right,
            rate.of
        );
        indented(rows, Role::Body, &text, width);
    }
}

/// A sentence under a heading, in line with the evidence.
fn indented(rows: &mut Vec<Row>, role: Role, text: &str, width: usize) {
    let mut lines = Vec::new();
    bullet(&mut lines, role, text, width.saturating_sub(INDENT));
    let lead = || Row::new().pad_to(INDENT);
    rows.extend(lines.into_iter().map(|line| lead().join(line)));
}

fn suspect(rows: &mut Vec<Row>, state: &State, at: usize, h: &Hypothesis, width: usize) {
    let role = match h.role {
        SuspectRole::Trigger => "trigger",
        SuspectRole::FirstSymptom => "first symptom",
        SuspectRole::Impact => "hurt by it",
    };
    if at > 0 {
        rows.push(Row::new());
    }
    let head = Row::new()
        .put(Role::Muted, format!(" #{} ", at + 1))
        .put(Role::Suspect, &h.suspect)
        .put(Role::Body, format!("  confidence {:.2} ", h.confidence));
    rows.push(
        chart::bar(head, Role::Suspect, h.confidence, BAR)
            .put(Role::Muted, "  ")
            .put(Role::Muted, role)
            .put(Role::Body, "  ")
            .join(cause_words(state, h)),
    );
    let evidence = h
        .evidence_for
        .iter()
        .map(|e| ("+", Role::Ok, e))
        .chain(h.evidence_against.iter().map(|e| ("-", Role::High, e)));
    for (sign, role, evidence) in evidence {
        let weight = format!("{:.2} ", evidence.weight);
        let text = SafeText::new(&evidence.text);
        for (i, line) in wrap(&text, width.saturating_sub(11))
            .into_iter()
            .enumerate()
        {
            let lead = if i == 0 {
                Row::new()
                    .put(Role::Body, "    ")
                    .put(role, sign)
                    .put(Role::Muted, " ")
                    .put(Role::Muted, weight.clone())
            } else {
                Row::new()
            };
            rows.push(lead.pad_to(11).put(Role::Body, line));
        }
    }
    if h.evidence_against.is_empty() {
        rows.push(
            Row::new()
                .put(Role::Muted, "    - nothing speaks against it")
                .pad_to(11),
        );
    }
}
