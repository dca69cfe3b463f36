//! Moving in time: along the timeline, to a part of it, and back to how an incident was.

use crate::model::{EntityId, Lane, Time, TimelineEntry};

use super::action::Action;
use super::rows::Rows;
use super::session::BOOKMARKS_MAX;
use super::state::{Along, STEP_MS, Screen, State, Tab, Way};
use super::theme::Role;
use super::update::open;
use super::view::{row_of, timeline_entries};

/// Shortest time that can be zoomed to, in milliseconds.
pub(super) const RANGE_MS_MIN: i64 = 2_000;

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
        // Entries are few and bookmarks fewer: the next of this time and what follows it.
        let mut of = state.lanes.bookmarks.range((id, entry.at, "".into())..);
        let same = |at: &Time| *at == entry.at;
        of.by_ref()
            .take_while(|(other, at, _)| *other == id && same(at))
            .any(|(_, _, text)| *text == entry.text)
    })
}

/// Moves the cursor of the timeline to the next entry of a kind, wrapping around.
pub(super) fn next(state: &mut State, to: Jump, way: Way) {
    let Some(detail) = state.detail() else { return };
    let entries = timeline_entries(state, &detail.incident);
    let from = state.cursor(Tab::Timeline).at(entries.len());
    let entity = entries.get(from).and_then(|entry| entry.entity.as_ref());
    let wanted = |at: &usize| {
        let entry = entries[*at];
        match to {
            Jump::Lane(lane) => entry.lane == lane,
            Jump::Match => super::view::is_found(state, entry),
            Jump::Bookmark => is_marked(state, entry),
            Jump::SameEntity => entity.is_some() && entry.entity.as_ref() == entity,
        }
    };
    let found = match way {
        Way::On => (from + 1..entries.len()).chain(0..from).find(wanted),
        Way::Back => {
            let after = (from + 1..entries.len()).rev();
            (0..from).rev().chain(after).find(wanted)
        }
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
    if let Some((at, text)) = here {
        rest_on(state, at, &text);
    }
}

/// Puts the cursor on an entry, if it is shown.
fn rest_on(state: &mut State, at: Time, text: &str) {
    let found = state
        .detail()
        .and_then(|detail| row_of(state, &detail.incident, (at, text)));
    if let Some(found) = found {
        state.cursor_mut(Tab::Timeline).set(found);
    }
}

/// Shows all of it again.
pub(super) fn show_all(state: &mut State) {
    let rows = state.looked_at().map(|id| Rows::of(state, id));
    if state.lanes.from.is_some() {
        state.notice = None;
    }
    (state.lanes.from, state.lanes.along) = (None, None);
    show(state, None);
    rows.unwrap_or_default().back_on(state);
}

/// Shows half, or twice, of the time around the entry under the cursor.
pub(super) fn zoom(state: &mut State, zoom: Zoom) {
    let (Some((at, _)), Some(id), Some(detail)) = (here(state), state.chosen(), state.detail())
    else {
        return state.tell(Role::Muted, "Open an incident first.");
    };
    let incident = &detail.incident;
    let first = incident.timeline.first().map_or(at, |entry| entry.at);
    let last = state.engine_now().max(first);
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
        Some(from) => {
            state.notice = None;
            show(state, Some((from.min(at), from.max(at))));
        }
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
    let lanes = &mut state.lanes;
    if !lanes.bookmarks.remove(&entry) {
        lanes.bookmarks.insert(entry);
        // The oldest incident's make room: people go back to the latest.
        while lanes.bookmarks.len() > BOOKMARKS_MAX {
            lanes.bookmarks.pop_first();
        }
    }
    lanes.unsaved = true;
}

/// Follows the trace, the change or the entity under the cursor through timeline, logs and traces; from an
/// entry that is no change, or the one followed, to the next entry about the same entity.
pub(super) fn follow(state: &mut State) {
    let Screen::Incident(id) = state.place.screen else {
        return state.tell(Role::Muted, "Open an incident first.");
    };
    let along = match state.place.tab {
        Tab::Traces => super::view::trace_here(state).map(Along::trace),
        Tab::Path | Tab::Metrics | Tab::Logs => entity_here(state).map(Along::entity),
        Tab::Timeline | Tab::Why | Tab::Actions => {
            let followed = state.lanes.along.as_ref().map(|along| &along.thread);
            let change = change_here(state).filter(|to| Some(&to.thread) != followed);
            if change.is_none() {
                return next(state, Jump::SameEntity, Way::On);
            }
            change
        }
    };
    if along.is_none() {
        return state.tell(Role::Muted, "There is nothing to follow here.");
    }
    let from = state.place.tab;
    let entry = here(state).filter(|_| from == Tab::Timeline);
    state.lanes.along = along;
    state.cursor_mut(Tab::Logs).set(0);
    state.cursor_mut(Tab::Traces).set(0);
    open(state, id, Tab::Timeline);
    state.cursor_mut(Tab::Timeline).set(0);
    if let Some((at, text)) = entry {
        rest_on(state, at, &text);
    }
}

/// The change that the entry under the cursor tells of.
fn change_here(state: &State) -> Option<Along> {
    let entries = timeline_entries(state, &state.detail()?.incident);
    Along::change(entries.get(state.cursor(Tab::Timeline).at(entries.len()))?)
}

/// The entity under the cursor of a pane whose rows have one each.
fn entity_here(state: &State) -> Option<EntityId> {
    let at = |len| state.cursor(state.place.tab).at(len);
    match state.place.tab {
        Tab::Path => {
            let rows = super::view::path_rows(state, &state.detail()?.incident);
            Some(rows.get(at(rows.len()))?.entity.clone())
        }
        Tab::Metrics => Some(super::view::chart_here(state)?.entity.clone()),
        Tab::Logs => {
            let rows = super::view::log_rows(state);
            Some(rows.get(at(rows.len()))?.entity.clone())
        }
        _ => None,
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
