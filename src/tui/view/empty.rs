//! What the console watches when nothing is wrong, and the lines of config that would show it more:
//! quiet is not the same as healthy.

use unicode_width::UnicodeWidthStr;

use crate::api::View;
use crate::model::{Mode, SafeText, SourceHealth, SourceRow};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::State;
use crate::tui::theme::Role;

use super::sources;

/// Who sends to a receiver, where that is set, and what to write there; `{}` is the receiver's address.
struct Sender {
    source: &'static str,
    who: &'static str,
    line: fn(&str) -> String,
}

/// Where a command may be broken when it is too long for the screen.
const BREAK: char = '\u{1f}';
/// What a shell needs at the end of a line to go on with the next.
const GOES_ON: &str = " \\";
/// Lines to copy that a new user should see, with their heading: where they do not fit, receivers that wait
/// share a line.
const SENDERS_TOLD_MIN: usize = 4;
/// Cells before the names of those.
const WAITING: usize = 12;
/// Cells before a line to copy.
const INDENT: usize = 5;

/// The most telling first: where lines are few, the last are left out.
const SENDERS: [Sender; 4] = [
    Sender {
        source: "remote_write",
        who: "Metrics: in prometheus.yml",
        line: |url| format!("remote_write: [{{url: {url}}}]"),
    },
    Sender {
        source: "otlp",
        who: "Traces, logs and metrics: for any OpenTelemetry SDK",
        line: |url| {
            let base = url.split("/v1/").next().unwrap_or(url);
            format!("OTEL_EXPORTER_OTLP_ENDPOINT={base}")
        },
    },
    Sender {
        source: "changes",
        who: "Deploys: at the end of the pipeline",
        line: |url| {
            let body = "{\"kind\":\"deploy\",\"service\":\"S\",\"version\":\"V\"}";
            // The scheme is what curl takes without one; so it fits on two lines of a small screen.
            let url = url.strip_prefix("http://").unwrap_or(url);
            format!("curl {url}{BREAK}-H content-type:application/json{BREAK}-d '{body}'")
        },
    },
    Sender {
        source: "alerts",
        who: "Alerts: in prometheus.yml, under alerting: alertmanagers:",
        line: |url| {
            let host = url
                .split("://")
                .last()
                .and_then(|rest| rest.split('/').next());
            format!("- static_configs: [{{targets: [{}]}}]", host.unwrap_or(url))
        },
    },
];

/// Draws it below the heading of the list.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    if view.mode == Mode::Learning {
        return learning(state, view, canvas);
    }
    // What is filtered away is no reason to tell what is watched.
    if !state.list.filter.is_empty() && !view.incidents.is_empty() {
        return super::unfound(
            state,
            &mut super::below(&mut super::below(canvas)),
            "incident",
        );
    }
    let title = " No open incident.";
    let mut rows = vec![Row::new(), Row::new().put(Role::Ok, title)];
    for line in wrap(
        &SafeText::new(&watched(view)),
        canvas.width().saturating_sub(2),
    ) {
        rows.push(Row::new().put(Role::Body, " ").put(Role::Body, line));
    }
    let (height, width) = (canvas.height(), canvas.width());
    let page = |folds: Folds| {
        let listed = listed(state, view, folds, width);
        let room = height.saturating_sub(rows.len() + listed.len() + 1);
        let more = more(view, room, width);
        (more.len(), [listed, more.concat()].concat())
    };
    let (told, mut rest) = page(Folds::None);
    // What makes somebody speak is worth more than one line for each who does not.
    if told < SENDERS_TOLD_MIN {
        let (folded, folded_rest) = page(Folds::Waiting);
        if folded > told {
            rest = folded_rest;
        }
    }
    rows.extend(rest);
    for (y, row) in rows.iter().enumerate() {
        canvas.row(y + 1, row);
    }
}

/// Before the present is reached.
fn learning(state: &State, view: &View, canvas: &mut Canvas<'_>) {
    let clock = state.clock.minute(view.at);
    let text = format!(
        "Starting: learning from history what is normal, now at {clock}. Nothing is watched yet."
    );
    let known = format!(
        "So far: {}, {}, {}.",
        format::counted(view.counts.entities, "entity", "entities"),
        format::counted(view.counts.series, "series", "series"),
        format::counted(view.counts.templates, "log template", "log templates"),
    );
    let width = canvas.width().saturating_sub(2);
    let lines = wrap(&SafeText::new(&text), width)
        .into_iter()
        .map(|line| (Role::Info, line));
    let known = wrap(&SafeText::new(&known), width)
        .into_iter()
        .map(|line| (Role::Muted, line));
    for (y, (role, line)) in lines.chain(known).enumerate() {
        canvas.row(y + 2, &Row::new().put(Role::Body, " ").put(role, line));
    }
}

fn watched(view: &View) -> String {
    let counts = view.counts;
    format!(
        "Watching {}, {}, {}; {}, {}.",
        format::counted(counts.entities, "entity", "entities"),
        format::counted(counts.series, "series", "series"),
        format::counted(counts.templates, "log template", "log templates"),
        format::counted(counts.alerts_firing, "alert fires", "alerts fire"),
        format::counted(counts.findings_open, "finding open", "findings open"),
    )
}

/// A line to copy, which works as it is shown: whole if it fits, else broken where a shell goes on after
/// a backslash. What has no such place is wrapped.
fn pasted(line: &str, width: usize) -> Vec<SafeText> {
    let whole = SafeText::new(&line.replace(BREAK, " "));
    if whole.as_str().width() <= width || !line.contains(BREAK) {
        return wrap(&whole, width);
    }
    let mut lines: Vec<String> = Vec::new();
    for part in line.split(BREAK) {
        match lines.last_mut() {
            Some(last) if last.width() + 1 + part.width() + GOES_ON.len() <= width => {
                last.push(' ');
                last.push_str(part);
            }
            Some(last) => {
                last.push_str(GOES_ON);
                lines.push(part.to_owned());
            }
            None => lines.push(part.to_owned()),
        }
    }
    lines.iter().map(|line| SafeText::new(line)).collect()
}

/// Whether receivers nobody spoke to have a line each, or one together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folds {
    None,
    Waiting,
}

/// The sources, below a blank line and their heading.
fn listed(state: &State, view: &View, folds: Folds, width: usize) -> Vec<Row> {
    let folded = |row: &&SourceRow| folds == Folds::Waiting && is_silent(row);
    let columns = sources::source_columns(view, width);
    let mut rows = vec![
        Row::new(),
        sources::heading(columns).put(Role::Muted, sources::WHERE),
    ];
    let single = view.sources.values().filter(|row| !folded(row));
    rows.extend(single.map(|source| {
        Row::new().put(Role::Body, "  ").join(sources::summary(
            state,
            source,
            view.at,
            (columns, width),
        ))
    }));
    let waiting: Vec<&str> = view
        .sources
        .values()
        .filter(folded)
        .map(|row| &*row.name)
        .collect();
    if !waiting.is_empty() {
        let text = SafeText::new(&format!("for {}", waiting.join(", ")));
        let lines = wrap(&text, width.saturating_sub(WAITING + 1));
        rows.extend(lines.into_iter().enumerate().map(|(at, line)| {
            let lead = if at == 0 { "   waiting" } else { "" };
            Row::new()
                .column(Role::Muted, lead, WAITING)
                .put(Role::Muted, line)
        }));
    }
    if view.sources.is_empty() {
        rows.push(Row::new().put(Role::Blind, "   none: nothing can be seen"));
    }
    rows
}

/// Whether nobody ever spoke to a receiver.
fn is_silent(row: &SourceRow) -> bool {
    row.health == SourceHealth::Waiting && row.last_seen.is_none() && row.last_refusal.is_none()
}

/// For receivers that were never spoken to, what would make somebody speak: the heading, then as many as there
/// is room for.
fn more(view: &View, room: usize, width: usize) -> Vec<Vec<Row>> {
    let lines = SENDERS.iter().filter_map(|sender| {
        let row = view.sources.get(sender.source)?;
        is_silent(row).then(|| {
            let line = (sender.line)(&row.detail);
            let who = Row::new().pad_to(INDENT - 2).put(Role::Muted, sender.who);
            let written = pasted(&line, width.saturating_sub(INDENT))
                .into_iter()
                .map(|line| Row::new().pad_to(INDENT).put(Role::Title, line));
            std::iter::once(who).chain(written).collect::<Vec<_>>()
        })
    });
    let head = " It would show more with a line each (docs/sources.md has them all):";
    let mut told = vec![vec![Row::new(), Row::new().put(Role::Title, head)]];
    let mut taken = 2;
    for rows in lines {
        taken += rows.len();
        if taken > room {
            break;
        }
        told.push(rows);
    }
    if told.len() == 1 {
        told.clear();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_works_as_it_is_shown() {
        let changes = SENDERS.iter().find(|sender| sender.source == "changes");
        let line = changes.expect("a sender of changes").line;
        let line = line("http://127.0.0.1:9797/api/v1/changes");
        let shown = |width| {
            pasted(&line, width)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        let curl = "curl 127.0.0.1:9797/api/v1/changes";
        let (json, body) = (
            "-H content-type:application/json",
            r#"-d '{"kind":"deploy","service":"S","version":"V"}'"#,
        );
        let cases: [(usize, Vec<String>); 3] = [
            (200, vec![format!("{curl} {json} {body}")]),
            (75, vec![format!("{curl} {json} \\"), body.to_owned()]),
            (
                60,
                vec![format!("{curl} \\"), format!("{json} \\"), body.to_owned()],
            ),
        ];
        for (width, expected) in cases {
            let shown: Vec<String> = shown(width);
            assert_eq!(shown, expected, "{width}");
        }
    }
}
