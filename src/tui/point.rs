//! What pointing does: it puts a cursor somewhere, and nothing else. No click decides anything, and what lies
//! over the screen can be read with the wheel but is answered by keys alone.

use crossterm::event::KeyCode;

use super::act;
use super::dialog;
use super::key::Key;
use super::state::{Listed, Screen, Spot, State, Step, Tab};
use super::update::{Effects, open};

/// Rows a turn of the wheel moves.
const WHEEL_ROWS: isize = 3;

/// Turns the wheel: down when positive.
pub(super) fn turn(state: &mut State, turns: isize, effects: &mut Effects) {
    state.list.hold();
    let rows = turns * WHEEL_ROWS;
    if state.overlay.is_none() {
        return act::step(state, Step::Rows(rows));
    }
    let arrow = if rows > 0 { KeyCode::Down } else { KeyCode::Up };
    for _ in 0..rows.unsigned_abs() {
        dialog::key(state, Key::plain(arrow), effects);
    }
}

/// Clicks on a cell of the screen, from 0.
pub(super) fn click(state: &mut State, column: u16, line: u16) {
    if state.overlay.is_some() {
        return;
    }
    state.list.hold();
    match state.spots.at(column, line) {
        Some(Spot::Pane(tab)) => act::tab(state, tab),
        Some(Spot::Row(Listed::Incidents, at)) => {
            let tab = state.place.tab;
            state.place.go(Screen::Incidents, tab);
            state.list.point(at, state.now);
        }
        Some(Spot::Row(Listed::Pane(tab), at)) => row(state, tab, at),
        Some(Spot::Row(Listed::Alerts, at)) => state.alerts.cursor.set(at),
        Some(Spot::Row(Listed::Sources, at)) => state.sources.cursor.set(at),
        None => {}
    }
}

/// Gives the keys to a pane, with its cursor on a row.
fn row(state: &mut State, tab: Tab, at: usize) {
    let Some(id) = state.looked_at() else { return };
    open(state, id, tab);
    state.cursor_mut(tab).set(at);
}
