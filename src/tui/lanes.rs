//! Moving in time: along the timeline, to a part of it, and back to how an incident was.

use crate::model::{Lane, Time, TimelineEntry};

use super::action::Action;
use super::state::{STEP_MS, Screen, State, Tab};
use super::theme::Role;
use super::update::open;
use super::view::timeline_entries;

/// Shortest time that can be zoomed to, in milliseconds.
const RANGE_MS_MIN: i64 = 2_000;

/// To more, or to less, of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zoom {
    /// Half of it.
    In,
    /// Twice of it.
    Out,
}

/// What is looked for along the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Jump {
    /// An entry of this lane.
    Lane(Lane),
    /// One that matches the filter.
    Match,
    /// One that was marked.
    Bookmark,
    /// One about the same entity.
    SameEntity,
}

/// Whether an operator marked an entry.
pub(super) fn is_marked(state: &State, entry: &TimelineEntry) -> bool {
    state.looked_at().is_some_and(|id| {
        let mut of = state.lanes.bookmarks.range((id, entry.at, "".into())..);
        of.any(|(other, at, text)| *other == id && *at == entry.at && *text == entry.text)
    })
}

/// Moves the cursor of the timeline to the next entry of a kind, wrapping around.
pub(super) fn next(state: &mut State, to: Jump, forward: bool) {
    let Some(detail) = state.detail() else { return };
    let entries = timeline_entries(state, &detail.incident);
    let from = state.cursor(Tab::Timeline).at(entries.len());
    let entity = entries.get(from).and_then(|entry| entry.entity.as_ref());
    let wanted = |at: &usize| {
        let entry = entries[*at];
        match to {
            Jump::Lane(lane) => entry.lane == lane,
            Jump::Match => !state.place.find.is_empty() && state.place.find.line(&entry.text),
            Jump::Bookmark => is_marked(state, entry),
            Jump::SameEntity => entity.is_some() && entry.entity.as_ref() == entity,
        }
    };
    let found = if forward {
        (from + 1..entries.len()).chain(0..from).find(wanted)
    } else {
        let after = (from + 1..entries.len()).rev();
        (0..from).rev().chain(after).find(wanted)
    };
    let Some(at) = found else {
        return state.tell(Role::Muted, "No other one.");
    };
    state.cursor_mut(Tab::Timeline).set(at);
    if let Some(id) = state.chosen() {
        open(state, id, Tab::Timeline);
    }
}

/// The entry under the cursor: when it happened, and what it says.
fn here(state: &State) -> Option<(Time, Box<str>)> {
    let incident = &state.detail()?.incident;
    let entries = timeline_entries(state, incident);
    let entry = entries.get(state.cursor(Tab::Timeline).at(entries.len()))?;
    Some((entry.at, entry.text.clone()))
}

/// Shows another part of the timeline, and leaves the cursor on its entry.
fn show(state: &mut State, range: Option<(Time, Time)>) {
    let here = here(state);
    state.lanes.range = range;
    let Some((at, text)) = here else { return };
    let found = state.detail().and_then(|detail| {
        let entries = timeline_entries(state, &detail.incident);
        entries.iter().position(|e| e.at == at && e.text == text)
    });
    if let Some(found) = found {
        state.cursor_mut(Tab::Timeline).set(found);
    }
}

/// Shows all of it again.
pub(super) fn show_all(state: &mut State) {
    state.lanes.from = None;
    show(state, None);
}

/// Shows half, or twice, of the time around the entry under the cursor.
pub(super) fn zoom(state: &mut State, zoom: Zoom) {
    let (Some((at, _)), Some(id), Some(detail)) = (here(state), state.chosen(), state.detail())
    else {
        return state.tell(Role::Muted, "Open an incident first.");
    };
    let incident = &detail.incident;
    let first = incident.timeline.first().map_or(at, |entry| entry.at);
    let last = incident.resolved.unwrap_or(state.engine_now()).max(first);
    let (from, to) = state.lanes.range.unwrap_or((first, last));
    let span_ms = match zoom {
        Zoom::In => (to.since(from) / 2).max(RANGE_MS_MIN),
        Zoom::Out => to.since(from) * 2,
    };
    let range = (span_ms < last.since(first)).then(|| {
        let from = at.plus_ms(-span_ms / 2).max(first);
        (from, from.plus_ms(span_ms))
    });
    open(state, id, Tab::Timeline);
    show(state, range);
    if range.is_none() && zoom == Zoom::Out {
        state.tell(Role::Muted, "This is all of it.");
    }
}

/// Begins a range at the entry under the cursor, or ends it there and shows only that.
pub(super) fn range(state: &mut State) {
    let Some((at, _)) = here(state).filter(|_| state.place.tab == Tab::Timeline) else {
        return state.tell(Role::Muted, "A range is chosen on the timeline (1).");
    };
    match state.lanes.from.take() {
        None => {
            state.lanes.from = Some(at);
            let text = format!(
                "From {}: the same key at the other end; Esc shows all again.",
                state.clock.second(at)
            );
            state.tell(Role::Info, &text);
        }
        Some(from) => show(state, Some((from.min(at), from.max(at)))),
    }
}

/// Marks the entry under the cursor, or takes the mark away.
pub(super) fn bookmark(state: &mut State) {
    let (Some((at, text)), Screen::Incident(id)) = (here(state), state.place.screen) else {
        return state.tell(
            Role::Muted,
            "Entries are marked on the timeline of an incident.",
        );
    };
    let entry = (id, at, text);
    if !state.lanes.bookmarks.remove(&entry) {
        state.lanes.bookmarks.insert(entry);
    }
}

/// Goes to the past of the incident on screen, along it, or back to now.
pub(super) fn travel(state: &mut State, action: Action) {
    let Screen::Incident(_) = state.place.screen else {
        return state.tell(
            Role::Muted,
            "Open an incident first: one travels in its time.",
        );
    };
    let there = state.travel.as_ref().map(|travel| travel.at);
    match (action, there) {
        (Action::Travel, Some(_)) => state.travel = None,
        (Action::Travel, None) => {
            let Some(opened) = state.detail().map(|detail| detail.incident.opened) else {
                return state.tell(Role::Muted, "It is being fetched.");
            };
            let chosen = here(state).map(|(at, _)| at);
            let at = chosen.filter(|_| state.place.tab == Tab::Timeline);
            state.travel_to(at.unwrap_or(opened));
        }
        (Action::Later, None) => state.tell(Role::Muted, "This is now."),
        (_, at) => {
            let now = state.engine_now();
            let by = if action == Action::Earlier {
                -STEP_MS
            } else {
                STEP_MS
            };
            let to = at.unwrap_or(now).plus_ms(by);
            let present = state.feed.shown().map_or(now, |view| view.at);
            if to >= present {
                state.travel = None;
            } else {
                state.travel_to(to);
            }
        }
    }
}
