//! The timeline as a strip across the screen: one lane for changes, anomalies, alerts, people and
//! automation, so that what led to what can be seen at a glance.

use crate::model::{Lane, Time};
use crate::tui::glyph;
use crate::tui::lanes::is_marked;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{State, Tab};
use crate::tui::theme::Role;

/// Lines taken: a heading and five lanes.
pub(super) const ROWS: u16 = 6;
/// Cells of the name of a lane.
const NAME: usize = 12;
/// Where the entry under the cursor is.
const HERE: char = 'v';
/// More entries in one place than a digit says.
const MANY: char = '+';
/// Shortest time shown, in milliseconds.
const SPAN_MS_MIN: i64 = 60_000;

/// Draws the strip.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(detail) = state.detail() else { return };
    let entries = super::timeline::shown(state, &detail.incident);
    let rows = super::timeline::entries(state, &detail.incident);
    let columns = canvas.width().saturating_sub(NAME + 2);
    let all = &detail.incident.timeline;
    let first = all.first().map_or(detail.incident.began, |e| e.at);
    // As far as the charts reach: what came after the end, a note or a new alert, stands where it was.
    let last = state.engine_now();
    let (first, span_ms) = match state.lanes.range {
        Some((from, to)) => (from, to.since(from).max(1)),
        None => (first, last.since(first).max(SPAN_MS_MIN)),
    };
    let here = rows.get(state.cursor(Tab::Timeline).at(rows.len()));
    let column = |at: Time| {
        (at.since(first).clamp(0, span_ms) * (columns.max(1) as i64 - 1) / span_ms) as usize
    };
    canvas.row(
        0,
        &heading(
            state,
            first,
            first.plus_ms(span_ms),
            (entries.len(), all.len()),
            canvas.width(),
        ),
    );
    // Never over the times at the ends.
    let from = state.clock.second(first).len() + 1;
    let last = columns.saturating_sub(from + 1);
    if let Some(here) = here.filter(|here| (from..last).contains(&column(here.at))) {
        canvas.dot(NAME + column(here.at), 0, Role::Focus, HERE);
    }
    for (line, lane) in Lane::ALL.into_iter().enumerate() {
        let (mark, role) = glyph::lane(lane);
        canvas.row(
            line + 1,
            &Row::new().put(role, " ").put(role, lane.as_str()),
        );
        let mut counts = vec![0_u32; columns];
        for entry in entries.iter().filter(|entry| entry.lane == lane) {
            if let Some(count) = counts.get_mut(column(entry.at)) {
                *count += 1;
            }
        }
        let mark = mark.chars().next().unwrap_or('*');
        let mut beside_count = false;
        for (x, count) in counts.iter().copied().enumerate() {
            // Two counts side by side would read as one number.
            let counted = count > 1 && !beside_count;
            beside_count = counted;
            let glyph = match count {
                0 => continue,
                2..=9 if counted => char::from_digit(count, 10).unwrap_or(MANY),
                10.. if counted => MANY,
                _ => mark,
            };
            canvas.dot(NAME + x, line + 1, role, glyph);
        }
        // A mark stands behind its entry, where nothing else does.
        let of_lane = entries.iter().filter(|entry| entry.lane == lane);
        for entry in of_lane.filter(|entry| is_marked(state, entry)) {
            let x = column(entry.at) + 1;
            if counts.get(x) == Some(&0) {
                let mark = glyph::MARK.chars().next().unwrap_or('+');
                canvas.dot(NAME + x, line + 1, Role::Key, mark);
            }
        }
    }
}

fn heading(state: &State, first: Time, last: Time, shown: (usize, usize), width: usize) -> Row {
    let (from, to) = (state.clock.second(first), state.clock.second(last));
    let words = if shown.0 < shown.1 {
        format!(" {} of {}", shown.0, shown.1)
    } else {
        " Lanes".to_owned()
    };
    Row::new()
        .put(Role::Title, words)
        .pad_to(NAME)
        .put(Role::Muted, from)
        .pad_to(width.saturating_sub(to.len() + 2))
        .put(Role::Muted, to)
}
