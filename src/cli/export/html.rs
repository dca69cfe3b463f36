//! An incident as one HTML page: no script, nothing loaded from anywhere, charts as SVG.

use std::fmt::Write as _;

use super::{CHARTS_MAX, Document, LOGS_MAX, SUSPECTS_MAX, clean, said};
use crate::model::{Chart, Evidence, Lane, Time, TimelineEntry, counted, told};
use crate::tui::{Judged, quantity};

/// Width of a drawing, in its own units.
const WIDTH: f64 = 880.0;
/// Height of a chart, and of the times below a drawing.
const CHART_HEIGHT: f64 = 120.0;
const AXIS_HEIGHT: f64 = 16.0;
/// Room that a time below a drawing takes, and a blank beside it.
const CLOCK_WIDTH: f64 = 64.0;
/// Height of one lane of the timeline.
const LANE_HEIGHT: f64 = 26.0;
/// Room left of a drawing for names.
const LEFT: f64 = 90.0;

/// Readable on paper and on a dark screen; shapes and words say what colours say.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #5b6570; --page: #ffffff; --rule: #d5dae0;
  --bad: #b3261e; --band: #8fb5d9; --line: #1f5f99; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --dim: #9aa5b1; --page: #14181d;
  --rule: #343b44; --bad: #ff8a80; --band: #33506b; --line: #8ec5ff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; border-bottom: 1px solid var(--rule); margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .6rem .2rem 0;
  vertical-align: top; border-bottom: 1px solid var(--rule); }
th { color: var(--dim); font-weight: 600; white-space: nowrap; } code { font-size: .9em; overflow-wrap: anywhere; }
.dim { color: var(--dim); } svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--dim); }
.band { fill: var(--band); opacity: .5; } .seen { fill: none; stroke: var(--line); stroke-width: 1.5; }
.odd { stroke: var(--bad); stroke-dasharray: 4 3; } .change { stroke: var(--dim); stroke-dasharray: 1 3; }
.grid { stroke: var(--rule); } .mark { fill: var(--bad); }
";

/// The whole page.
pub fn render(document: &Document<'_>) -> String {
    let title = escape(&document.title());
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<table>\n"
    );
    for (name, value) in document.facts() {
        row(&mut out, &[name], &[&value]);
    }
    out.push_str("</table>\n<h2>Summary</h2>\n");
    for sentence in document.narrative() {
        put(&mut out, format_args!("<p>{}</p>\n", escape(&sentence)));
    }
    suspects(&mut out, document);
    charts(&mut out, document);
    plans(&mut out, document);
    logs(&mut out, document);
    timeline(&mut out, document);
    out.push_str("</body>\n</html>\n");
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _ = out.write_fmt(text);
}

/// A row of a table; every cell is escaped here.
fn row(out: &mut String, headings: &[&str], cells: &[&str]) {
    out.push_str("<tr>");
    for heading in headings {
        put(out, format_args!("<th>{}</th>", escape(heading)));
    }
    for cell in cells {
        put(out, format_args!("<td>{}</td>", escape(cell)));
    }
    out.push_str("</tr>\n");
}

fn suspects(out: &mut String, document: &Document<'_>) {
    let suspected = document.suspects();
    if suspected.is_empty() {
        return;
    }
    out.push_str("<h2>Suspects</h2>\n<ol>\n");
    for suspect in suspected.iter().take(SUSPECTS_MAX) {
        put(
            out,
            format_args!(
                "<li><strong>{}</strong> {:.0} %, {}\n<ul>\n",
                escape(&clean(suspect.suspect.as_str())),
                suspect.confidence * 100.0,
                suspect.cause.as_str().replace('_', " "),
            ),
        );
        let mut evidence = |sign: &str, evidence: &[Evidence]| {
            for piece in evidence {
                let text = escape(&clean(&piece.text));
                put(
                    out,
                    format_args!("<li><span class=\"dim\">{sign}</span> {text}</li>\n"),
                );
            }
        };
        evidence("for", &suspect.evidence_for);
        evidence("against", &suspect.evidence_against);
        out.push_str("</ul></li>\n");
    }
    out.push_str("</ol>\n");
}

fn plans(out: &mut String, document: &Document<'_>) {
    if document.plans().is_empty() {
        return;
    }
    out.push_str("<h2>Plans</h2>\n<table>\n");
    row(out, &["plan", "what", "risk", "approved by", "ended"], &[]);
    for plan in document.plans() {
        let by: Vec<String> = plan.approvals.iter().map(|a| clean(&a.by)).collect();
        let cells = [
            &plan.id.to_string(),
            &clean(&plan.title),
            plan.risk.as_str(),
            &by.join(", "),
            plan.state.as_str(),
        ];
        row(out, &[], &cells);
    }
    out.push_str("</table>\n");
}

fn logs(out: &mut String, document: &Document<'_>) {
    if document.panels.logs.is_empty() {
        return;
    }
    out.push_str("<h2>Log lines</h2>\n<table>\n");
    row(out, &["times", "", "where", "a line"], &[]);
    for group in document.panels.logs.iter().take(LOGS_MAX) {
        let new = if group.is_new { "new" } else { "" };
        let cells = [
            &group.count.to_string(),
            new,
            &clean(group.entity.as_str()),
            &clean(&group.sample),
        ];
        row(out, &[], &cells);
    }
    out.push_str("</table>\n");
}

fn charts(out: &mut String, document: &Document<'_>) {
    let charts = document.panels.charts.iter();
    let mut charts = charts.filter(|chart| chart.times.len() > 1).peekable();
    if charts.peek().is_none() {
        return;
    }
    out.push_str(
        "<h2>Metrics</h2>\n<p class=\"dim\">The band is what was expected, the dashed line when it became \
         odd, the dotted ones changes. Times are UTC.</p>\n",
    );
    let findings = &document.detail.incident.findings;
    for chart in charts.take(CHARTS_MAX) {
        draw_chart(out, &Judged::of(findings, chart).chart);
    }
}

/// Where a time lies across a drawing.
#[derive(Clone, Copy)]
struct Across {
    from: Time,
    span_ms: f64,
}

impl Across {
    fn new(from: Time, to: Time) -> Self {
        let span_ms = to.since(from).max(1) as f64;
        Self { from, span_ms }
    }

    fn x(self, at: Time) -> f64 {
        let share = at.since(self.from) as f64 / self.span_ms;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT)
    }
}

fn draw_chart(out: &mut String, chart: &Chart) {
    let (Some(first), Some(last)) = (chart.times.first(), chart.times.last()) else {
        return;
    };
    let across = Across::new(*first, *last);
    let all = [&chart.values, &chart.low, &chart.high];
    let finite = all.iter().flat_map(|v| v.iter()).filter(|v| v.is_finite());
    let (bottom, top) = finite.fold((f32::MAX, f32::MIN), |(low, high), v| {
        (low.min(*v), high.max(*v))
    });
    if bottom > top {
        return;
    }
    let height = f64::from((top - bottom).max(f32::MIN_POSITIVE));
    let y = |v: f32| CHART_HEIGHT - 4.0 - f64::from(v - bottom) / height * (CHART_HEIGHT - 16.0);
    let name = escape(&clean(&chart.title));
    put(
        out,
        format_args!(
            "<h3>{name}</h3>\n<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{name}\">\n",
            CHART_HEIGHT + AXIS_HEIGHT
        ),
    );
    for value in [bottom, top] {
        let at = y(value);
        let label = escape(&quantity(f64::from(value), chart.unit));
        put(
            out,
            format_args!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                LEFT - 6.0,
                at + 4.0
            ),
        );
    }
    let point = |at: &Time, v: &f32| format!("{:.1},{:.1}", across.x(*at), y(*v));
    let path = |values: &[f32]| -> Vec<String> {
        let points = chart.times.iter().zip(values);
        points
            .filter(|(_, v)| v.is_finite())
            .map(|(at, v)| point(at, v))
            .collect()
    };
    let mut band = path(&chart.high);
    band.extend(path(&chart.low).into_iter().rev());
    put(
        out,
        format_args!(
            "<polygon class=\"band\" points=\"{}\"/><polyline class=\"seen\" points=\"{}\"/>\n",
            band.join(" "),
            path(&chart.values).join(" ")
        ),
    );
    let odd = chart.abnormal_since.filter(|since| since >= first);
    if let Some(since) = odd {
        let x = across.x(since);
        put(
            out,
            format_args!(
                "<line class=\"odd\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{CHART_HEIGHT}\"/>"
            ),
        );
    }
    for mark in chart.marks.iter().filter(|m| m.lane == Lane::Change) {
        let (x, text) = (across.x(mark.at), escape(&clean(&mark.text)));
        put(
            out,
            format_args!(
                "<line class=\"change\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{CHART_HEIGHT}\">\
                 <title>{text}</title></line>"
            ),
        );
    }
    draw_clock(out, across, (*first, *last), odd, CHART_HEIGHT);
    out.push_str("</svg>\n");
}

/// The times at both ends of a drawing, and between them the one that matters most, where there is room.
fn draw_clock(
    out: &mut String,
    across: Across,
    (from, to): (Time, Time),
    between: Option<Time>,
    height: f64,
) {
    let y = height + AXIS_HEIGHT - 4.0;
    let room = LEFT + CLOCK_WIDTH..WIDTH - CLOCK_WIDTH * 1.5;
    let between = between.map(|at| (across.x(at), "middle", at));
    let between = between.filter(|(x, _, _)| room.contains(x));
    let ends = [(LEFT, "start", from), (WIDTH, "end", to)];
    for (x, anchor, at) in ends.into_iter().chain(between) {
        let clock = at.to_utc().format("%H:%M:%S");
        put(
            out,
            format_args!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{clock}</text>\n"
            ),
        );
    }
}

fn timeline(out: &mut String, document: &Document<'_>) {
    let entries = &document.detail.incident.timeline;
    out.push_str("<h2>Timeline</h2>\n");
    draw_lanes(out, entries);
    out.push_str("<table>\n");
    for entry in told(entries) {
        let at = entry.first.at.to_rfc3339();
        let (lane, whom, text) = (entry.first.lane, entry.whom(), said(&entry));
        let cells = [lane.as_str(), &clean(&whom), &clean(&text)];
        row(out, &[&at], &cells);
    }
    out.push_str("</table>\n");
    let dropped = document.detail.incident.timeline_dropped;
    if dropped > 0 {
        put(
            out,
            format_args!(
                "<p class=\"dim\">{} not kept.</p>\n",
                counted(dropped.into(), "entry was", "entries were")
            ),
        );
    }
}

fn draw_lanes(out: &mut String, entries: &[TimelineEntry]) {
    let times = entries.iter().map(|entry| entry.at);
    let (Some(from), Some(to)) = (times.clone().min(), times.max()) else {
        return;
    };
    let across = Across::new(from, to);
    let height = LANE_HEIGHT * Lane::ALL.len() as f64;
    put(
        out,
        format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"timeline\">\n",
            height + AXIS_HEIGHT
        ),
    );
    for (place, lane) in Lane::ALL.iter().enumerate() {
        let y = LANE_HEIGHT * (place as f64 + 0.5);
        put(
            out,
            format_args!(
                "<text x=\"0\" y=\"{:.1}\">{}</text>\
                 <line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n",
                y + 4.0,
                lane.as_str()
            ),
        );
        for entry in entries.iter().filter(|entry| entry.lane == *lane) {
            let text = format!("{} {}", entry.at.to_rfc3339(), clean(&entry.text));
            put(
                out,
                format_args!(
                    "<circle class=\"mark\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{}</title></circle>\n",
                    across.x(entry.at),
                    escape(&text)
                ),
            );
        }
    }
    draw_clock(out, across, (from, to), None, height);
    out.push_str("</svg>\n");
}

/// What HTML would read as markup, in text and in attributes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
