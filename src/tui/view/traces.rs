//! Exemplar traces as waterfalls. The critical path is marked with `!`, errors with a word.

use crate::model::{SpanRow, TraceId, TraceView};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Listed, State, Tab};
use crate::tui::theme::Role;
use crate::tui::waited::total_us;

/// Cells of the tree and the name of a span.
const NAME: usize = 34;
/// Deepest indentation drawn.
const INDENT_MAX: usize = 8;

/// A line of the pane.
enum Line<'a> {
    Trace(&'a TraceView),
    Span(&'a TraceView, &'a SpanRow),
}

/// All lines of the pane: of what is followed, if something is.
fn lines<'a>(state: &State, traces: &'a [TraceView]) -> Vec<Line<'a>> {
    let along = state.lanes.along.as_ref();
    traces
        .iter()
        .filter(|trace| along.is_none_or(|along| along.has_trace(trace)))
        .flat_map(|trace| {
            let spans = trace.spans.iter().map(move |span| Line::Span(trace, span));
            std::iter::once(Line::Trace(trace)).chain(spans)
        })
        .collect()
}

/// The trace under the cursor.
pub(in crate::tui) fn here(state: &State) -> Option<&TraceView> {
    let lines = lines(state, &state.panels()?.traces);
    match lines.get(state.cursor(Tab::Traces).at(lines.len()))? {
        Line::Trace(trace) | Line::Span(trace, _) => Some(trace),
    }
}

/// The line under the cursor: of which trace, and how far below its heading.
pub(in crate::tui) fn line(state: &State) -> Option<(TraceId, usize)> {
    let lines = lines(state, &state.panels()?.traces);
    let here = state.cursor(Tab::Traces).at(lines.len());
    let above = lines.get(..=here)?.iter().rev();
    let below_heading = above
        .take_while(|line| matches!(line, Line::Span(..)))
        .count();
    match lines.get(here)? {
        Line::Trace(trace) | Line::Span(trace, _) => Some((trace.trace, below_heading)),
    }
}

/// Where the heading of a trace stands.
pub(in crate::tui) fn at(state: &State, id: TraceId) -> Option<usize> {
    let lines = lines(state, &state.panels()?.traces);
    let is_it = |line: &Line<'_>| matches!(line, Line::Trace(trace) if trace.trace == id);
    lines.iter().position(is_it)
}

/// Draws the pane.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>, focused: bool) {
    let Some(traces) = state.panels().map(|panels| &panels.traces) else {
        return;
    };
    if traces.is_empty() {
        let text = "No traces of these entities: nothing sends spans, or none were odd.";
        return super::nothing(canvas, text);
    }
    let lines = lines(state, traces);
    let canvas = &mut super::followed(state, canvas);
    if lines.is_empty() {
        return super::nothing(canvas, "No trace that is kept here belongs to it.");
    }
    let cursor = state.cursor(Tab::Traces);
    let at = cursor.at(lines.len());
    let width = canvas.width();
    let legend = " ! on the critical path: what the whole trace waited for";
    canvas.row(0, &Row::new().put(Role::Muted, legend));
    let listed = canvas.height().saturating_sub(1);
    for (y, i) in cursor.window(lines.len(), listed).enumerate() {
        let mark = super::cursor_mark(i == at, focused);
        let row = match &lines[i] {
            Line::Trace(trace) => heading(state, trace, mark),
            Line::Span(trace, span) => waterfall(trace, span, mark, width),
        };
        super::listed(state, canvas, 1 + y, (Listed::Pane(Tab::Traces), i), &row);
    }
}

fn heading(state: &State, trace: &TraceView, mark: Row) -> Row {
    mark.put(Role::Title, trace.reason.to_string())
        .put(Role::Body, format!("  {}", format::micros(total_us(trace))))
        .put(
            Role::Muted,
            format!(
                "  {} at {}  trace {:032x}",
                format::counted(trace.spans.len() as u64, "span", "spans"),
                state.clock.second(trace.start),
                trace.trace.0
            ),
        )
}

fn waterfall(trace: &TraceView, span: &SpanRow, mark: Row, width: usize) -> Row {
    let indent = (span.depth as usize).min(INDENT_MAX);
    let role = match (span.error, span.critical) {
        (true, _) => Role::High,
        (false, true) => Role::Line,
        (false, false) => Role::Muted,
    };
    let mut row = mark.put(Role::Key, if span.critical { "!" } else { " " });
    for _ in 0..indent {
        row.push(Role::Muted, " ");
    }
    row.push(Role::Title, &span.entity);
    row.push(Role::Body, " ");
    row.push(Role::Body, span.name.to_string());
    row = row
        .fit(NAME)
        .pad_to(NAME)
        .right(role, format::micros(span.duration_us), 9)
        .put(Role::Body, " ")
        // A column of its own, so that all bars have one scale.
        .column(Role::High, if span.error { "error" } else { "" }, 6);
    let total = total_us(trace);
    let cells = width.saturating_sub(row.width() + 1);
    let cell = |us: u64| (u128::from(us.min(total)) * cells as u128 / u128::from(total)) as usize;
    let from = cell(span.offset_us).min(cells.saturating_sub(1));
    let to = cell(span.offset_us.saturating_add(span.duration_us)).clamp(from + 1, cells.max(1));
    let start = row.width();
    row = row.pad_to(start + from);
    for _ in from..to {
        row.push(role, crate::tui::glyph::BAR[0]);
    }
    row
}
