//! What is said of an incident that goes on though nobody is told of it: it is hidden, or was called over. Never lets
//! that look like health.

use crate::model::{HeldBack, IncidentRow};
use crate::tui::format;
use crate::tui::paint::Row;
use crate::tui::state::State;
use crate::tui::theme::Role;

/// What fires of it and is not told: what hides it, and what happens then.
pub(super) fn hidden(state: &State, row: &IncidentRow, held: &HeldBack, line: Row) -> Row {
    let fires = format::counted(row.alerts_held.into(), "alert fires", "alerts fire");
    let words = held.words(|at| state.clock.minute(at));
    line.put(Role::Warn, format!("{fires}, {words}"))
}

/// Since when it is, and until when.
pub(super) fn since(state: &State, held: &HeldBack) -> String {
    let age = state.age(state.engine_now().since(held.since));
    let (at, until) = (state.clock.minute(held.since), until(state, held));
    format!("  since {at} ({age}){until}")
}

/// What it waits for.
pub(super) fn not_over(state: &State, held: &HeldBack) -> String {
    format!("{}{}, not over", held.as_str(), until(state, held))
}

fn until(state: &State, held: &HeldBack) -> String {
    held.until_words(|at| state.clock.minute(at))
}

/// An incident that was called over: what fires of it nevertheless opens nothing.
pub(super) fn over(row: &IncidentRow, line: Row) -> Row {
    match row.fires() {
        0 => line.put(Role::Ok, "nothing: it is over"),
        count => {
            let fires = format::counted(count.into(), "alert still fires", "alerts still fire");
            line.put(Role::Warn, format!("it was called over, and {fires}"))
        }
    }
}
