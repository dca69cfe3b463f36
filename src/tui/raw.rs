//! Enter on a group of log lines: its lines as they came, read from the flight recorder when asked for and
//! not before.

use crate::model::{EntityId, LogGroup, RawLine, RawLines, SafeText, Time};

use super::explain::{bullet, width};
use super::format::Clock;
use super::link::Request;
use super::paint::{Row, wrap};
use super::state::{Awaited, Cursor, Overlay, State, Tab};
use super::theme::Role;
use super::update::{Effects, lay_over};

/// Lines are read from this long before the latest one, in milliseconds: of a template that fills the log all day
/// nobody reads the morning.
const STRETCH_MS: i64 = 15 * 60_000;
/// Lines asked for.
const LINES_MAX: usize = 200;
/// Cells of a line's time and what follows it.
const TIME_CELLS: usize = 10;

/// Asks for the lines of the group under the cursor, and lays over the screen what comes.
pub(super) fn open(state: &mut State, effects: &mut Effects) {
    let groups = super::view::log_rows(state);
    let at = state.cursor(Tab::Logs).at(groups.len());
    let Some(group) = groups.get(at) else {
        return state.tell(Role::Muted, "No log lines here.");
    };
    let (entity, template) = (group.entity.clone(), group.template.clone());
    let (from, to) = stretch(group);
    let mut rows = Vec::new();
    let reading = "Reading the flight recorder …";
    bullet(&mut rows, Role::Muted, reading, width(state));
    let title = format!("Lines of {}: {template}", entity.name());
    let overlay = Overlay::Why {
        title: SafeText::new(&title),
        rows,
        asked: Some(Awaited::Lines(entity.clone(), template.clone())),
        cursor: Cursor::default(),
    };
    effects.requests.push(Request::Lines {
        entity,
        template,
        limit: LINES_MAX,
        from,
        to,
    });
    lay_over(state, overlay);
}

/// Up to the latest line, and the whole second it is in.
fn stretch(group: &LogGroup) -> (Time, Time) {
    let to = group.last_seen.plus_ms(1_000);
    (group.first_seen.max(to.plus_ms(-STRETCH_MS)), to)
}

/// Shows the lines that came, if they are still waited for.
pub(super) fn answered(state: &mut State, of: (&EntityId, &str), read: &RawLines) {
    let width = width(state);
    let told = rows(read, state.clock, width);
    put(state, of, told);
}

/// Says why there are none.
pub(super) fn failed(state: &mut State, of: (&EntityId, &str), why: &str) {
    let mut told = Vec::new();
    bullet(&mut told, Role::Crit, why, width(state));
    put(state, of, told);
}

/// The connection they were asked for on is gone: nothing comes any more.
pub(super) fn lost(state: &mut State) {
    let Some(Overlay::Why { asked, .. }) = &state.overlay else {
        return;
    };
    if let Some(Awaited::Lines(entity, template)) = asked.clone() {
        let why = "The connection broke before they came: ask again.";
        failed(state, (&entity, &template), why);
    }
}

fn put(state: &mut State, (entity, template): (&EntityId, &str), told: Vec<Row>) {
    let Some(Overlay::Why { rows, asked, .. }) = &mut state.overlay else {
        return;
    };
    let is_waited_for = |asked: &mut Awaited| match asked {
        Awaited::Lines(of, lines) => of == entity && **lines == *template,
        Awaited::Judgement(_) | Awaited::Dependence(_) => false,
    };
    if asked.take_if(is_waited_for).is_some() {
        *rows = told;
    }
}

fn rows(read: &RawLines, clock: Clock, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    bullet(&mut rows, Role::Muted, &extent(read, clock), width);
    // The latest is what matters most.
    for line in read.lines.iter().rev() {
        of_line(&mut rows, line, clock, width);
    }
    rows
}

/// What of the stretch was read, and how much of that is shown.
fn extent(read: &RawLines, clock: Clock) -> String {
    let Some(kept_from) = read.kept_from else {
        return "There is no recording: lines are kept by the flight recorder alone.".to_owned();
    };
    let [from, to] = [read.from.max(kept_from), read.to].map(|at| clock.second(at));
    let shown = read.lines.len() as u64;
    let mut text = match (read.count, shown) {
        (0, _) => format!("No line of it was recorded from {from} to {to}."),
        (count, shown) if count > shown => {
            format!("The latest {shown} of {count} lines from {from} to {to}, newest first.")
        }
        (count, _) => format!("{count} lines from {from} to {to}, newest first."),
    };
    if kept_from > read.from {
        text.push_str(" The recording goes back no further.");
    }
    if read.to.since(read.read_to) > 1_000 {
        let read_to = clock.second(read.read_to);
        let more = format!(
            " It was read up to {read_to} alone: nothing later is written yet, or it took too long."
        );
        text.push_str(&more);
    }
    text
}

/// A line, the rows of a stack trace below each other.
fn of_line(rows: &mut Vec<Row>, line: &RawLine, clock: Clock, width: usize) {
    let parts = line.text.lines().map(SafeText::new);
    let parts = parts.flat_map(|part| wrap(&part, width.saturating_sub(TIME_CELLS)));
    for (nth, part) in parts.enumerate() {
        let time = if nth == 0 {
            clock.second(line.at)
        } else {
            String::new()
        };
        let row = Row::new().column(Role::Muted, time, TIME_CELLS);
        rows.push(row.put(Role::Body, part));
    }
}
