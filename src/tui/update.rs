//! Events in, state changed, effects out. The only place that changes the state.

use crate::api::{Panels, WatchMessage};
use crate::model::{Command, EntityId, Fingerprint, IncidentId, Phase, SafeText, Time};

use super::act;
use super::answers;
use super::burst::Next;
use super::dependence;
use super::dialog;
use super::explain;
use super::key::Key;
use super::keymap::Lookup;
use super::layered;
use super::link::{Request, Update};
use super::point;
use super::raw;
use super::route::Route;
use super::rows::Rows;
use super::session::Session;
use super::state::{Node, Overlay, Purpose, Screen, Shown, State, Tab};
use super::theme::Role;

/// Whoever left a console less than this ago is taken back to what they looked at, in milliseconds.
const RETURN_MS_MAX: i64 = 10 * 60_000;
/// After a lost connection it is told what changed if nothing was heard for at least this long, in milliseconds.
const AWAY_MS_MIN: i64 = 60_000;

/// Said of a key that came with the Enter that closed a box, as a line of pasted text does.
const DROPPED: &str =
    "What came with that Enter was taken for pasted text and did nothing: press it again.";

/// Said of an Enter that came with the key that opened the box, as a line of pasted text does.
const HELD: &str = "All that came in one piece, as pasted text does, so that nothing was done: Enter again does it.";

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Several keys were there at once, in this order.
    Keys(Vec<Key>),
    /// Text was pasted.
    Paste(String),
    /// The mouse wheel was turned: down when positive.
    Wheel(isize),
    /// The mouse was clicked at this column and line, from 0.
    Click(u16, u16),
    /// The terminal has this many columns and lines.
    Resize(u16, u16),
    /// The daemon told something.
    Update(Update),
    /// Time passed.
    Tick,
}

/// What the terminal is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TerminalOp {
    /// Leave.
    Quit,
    /// Stop, and let the shell have the terminal.
    Suspend,
    /// Draw everything again.
    Redraw,
    /// Put text on the clipboard.
    Copy(String),
    /// Report the mouse, or do not.
    Mouse(bool),
}

/// What an event led to, besides a changed state.
#[derive(Debug, Default)]
pub struct Effects {
    /// To send.
    pub requests: Vec<Request>,
    /// To do on the terminal.
    pub terminal: Vec<TerminalOp>,
    /// Whether the screen must follow.
    pub draws: bool,
}

impl Effects {
    /// Adds what came of something that happened at the same time.
    fn add(&mut self, other: Self) {
        self.requests.extend(other.requests);
        self.terminal.extend(other.terminal);
        self.draws |= other.draws;
    }

    /// Asks for a command to be carried out.
    pub fn command(&mut self, command: Command) {
        self.requests.push(Request::Command(command));
    }
}

/// Takes one event.
pub fn update(state: &mut State, at: Time, event: Event) -> Effects {
    let mut effects = Effects::default();
    let waited = state.feed.waiting(state.now).is_some();
    state.now = at;
    match event {
        Event::Key(key) => {
            effects.draws = true;
            note_view(state);
            press(state, key, &mut effects);
            note_view(state);
        }
        Event::Keys(keys) => return burst(state, at, &keys),
        Event::Paste(text) => {
            effects.draws = true;
            dialog::paste(state, &text);
        }
        Event::Wheel(turns) => {
            effects.draws = true;
            point::turn(state, turns, &mut effects);
        }
        Event::Click(column, line) => {
            effects.draws = true;
            point::click(state, column, line);
        }
        Event::Resize(columns, lines) => {
            state.size = (columns, lines);
            effects.draws = true;
        }
        Event::Update(update) => {
            let aim = state.aim();
            take(state, update, &mut effects);
            explain::follow(state);
            state.note_shift(aim);
        }
        // Ages follow the engine's time, which comes with what is told. By itself only this moves.
        Event::Tick if state.feed.stale_ms(at).is_some() => effects.draws = true,
        Event::Tick => {}
    }
    let waits = state.feed.waiting(at).is_some();
    let has_settled = state.list.settle(at) | state.settle_cursors();
    let has_expired = state.expire_notice();
    if has_settled || has_expired || waits != waited {
        effects.draws = true;
    }
    state.rest_cursors();
    settle_travel(state);
    // All that is left of it is what was told of it.
    if state.gone().is_some() {
        state.place.tab = Tab::Timeline;
    }
    layered::follow(state);
    fetch(state, &mut effects);
    state.note_proposing(&effects.requests);
    state.feed.note_sent(&effects.requests, at);
    effects
}

/// Notes what is shown, before it is left and after it was changed.
fn note_view(state: &mut State) {
    let here = Route::here(state);
    state.place.note(here);
}

/// Takes keys that came together: of text that was pasted none is an act.
fn burst(state: &mut State, at: Time, mut keys: &[Key]) -> Effects {
    let mut effects = Effects {
        draws: true,
        ..Effects::default()
    };
    state.now = at;
    let mut typed = 0;
    while let Some((key, rest)) = keys.split_first() {
        let mut burst = state.burst;
        let next = burst.next(state, keys);
        let had_box = state.overlay.is_some();
        (keys, typed) = (rest, typed + 1);
        match next {
            Next::Press => effects.add(update(state, at, Event::Key(*key))),
            Next::Paste(len, text) => {
                keys = &rest[len - 1..];
                effects.add(update(state, at, Event::Paste(text)));
            }
            Next::Drop => state.tell(Role::Warn, DROPPED),
            Next::Hold => {
                keys = &[];
                state.tell(Role::Warn, HELD);
            }
        }
        burst.pressed(state, *key, (had_box, typed));
        state.burst = burst;
        // Nobody sees what comes behind the key that leaves.
        if effects
            .terminal
            .iter()
            .any(|op| matches!(op, TerminalOp::Quit))
        {
            break;
        }
    }
    effects
}

fn press(state: &mut State, key: Key, effects: &mut Effects) {
    state.list.hold();
    if state.overlay.is_some() {
        state.pending.clear();
        dialog::key(state, key, effects);
        return;
    }
    state.pending.push(key);
    match state.keymap.lookup(&state.pending) {
        Lookup::Prefix => {}
        Lookup::Nothing => {
            state.pending.clear();
            // A key that opens a box opens it also after a sequence that means nothing: what is typed
            // next is meant for the box.
            if let Lookup::Action(action) = state.keymap.lookup(&[key])
                && action.opens_box()
            {
                act::perform(state, action, effects);
            }
        }
        Lookup::Action(action) => {
            state.pending.clear();
            act::perform(state, action, effects);
        }
    }
}

fn take(state: &mut State, update: Update, effects: &mut Effects) {
    effects.draws = true;
    match update {
        Update::Lost { why } => {
            state.feed.lost = Some(SafeText::new(&why));
            state.details.reconnect();
            state.records.reconnect();
            state.node.iter_mut().for_each(Node::reconnect);
            state.alerts.in_flight = false;
            state.speakers.fail();
            raw::lost(state);
            dependence::lost(state);
        }
        Update::Watch(message) => watch(state, message, effects),
        Update::Detail(detail) => {
            let rows = Rows::of(state, detail.incident.id);
            state.take_detail(detail);
            rows.back_on(state);
            state.renew_dialog();
        }
        Update::Panels {
            incident,
            entity,
            panels,
        } => {
            effects.draws = take_panels(state, incident, entity.as_ref(), panels);
        }
        Update::Recorded {
            incident,
            purpose,
            recorded,
        } => {
            state.records.put(purpose, incident, recorded);
            if let (Purpose::Then, Some(at)) = (purpose, state.travel.as_ref().map(|t| t.at)) {
                state.travel_to(at);
            }
        }
        Update::Alerts { after, page } => {
            take_alerts(state, after.is_some(), page);
        }
        Update::AlertsOf { incident, page } => {
            if let Some(Overlay::Silence(dialog)) = &mut state.overlay {
                dialog.offer(incident, &page.items, effects);
            }
        }
        Update::Runbooks { incident, rows } => {
            state.runbooks = Some((incident, rows));
        }
        Update::Why { series, answer } => {
            explain::answered(state, series, &answer);
        }
        Update::Lines {
            entity,
            template,
            read,
        } => raw::answered(state, (&entity, &template), &read),
        Update::Dependence { entity, told } => dependence::answered(state, &entity, &told),
        Update::Ledger(ledger) => {
            effects.draws = state.speakers.put(ledger);
        }
        Update::Preview { matchers, preview } => {
            if let Some(Overlay::Silence(dialog)) = &mut state.overlay {
                dialog.answered(&matchers, *preview);
            }
        }
        Update::Replied(reply) => {
            state.feed.answered(&reply.command);
            match (reply.refused, reply.notice) {
                (Some(refusal), _) => {
                    state.forget_proposing(&reply.command);
                    state.feed.answers.fail(format!("Refused: {refusal}"));
                }
                (None, Some(notice)) => state.feed.answers.warn(notice),
                (None, None) => {
                    remember(state, &reply.command);
                    state.feed.answers.done(reply.command);
                }
            }
            answers::tell(state);
        }
        Update::InDoubt { command, why } => {
            state.feed.answered(&command);
            state.feed.answers.fail(format!("In doubt: {why}."));
            answers::tell(state);
        }
        Update::Failed { request, why } => failed(state, &request, why),
    }
}

/// Takes charts, logs and traces; whether they say anything new.
fn take_panels(
    state: &mut State,
    incident: IncidentId,
    entity: Option<&EntityId>,
    panels: Box<Panels>,
) -> bool {
    let rows = Rows::of(state, incident);
    let is_new = match &mut state.node {
        Some(node) if node.is(incident, entity) => node.put(panels),
        _ if entity.is_some() => false,
        _ => state.details.put_panels(incident, panels),
    };
    rows.back_on(state);
    if let Some((_, sought)) = state.sought.take_if(|(of, _)| *of == incident) {
        sought.back_on(state);
    }
    is_new
}

fn watch(state: &mut State, message: WatchMessage, effects: &mut Effects) {
    state.feed.heard = state.now;
    let was_lost = state.feed.lost.take().is_some();
    let feed = &mut state.feed;
    match message {
        WatchMessage::Snapshot(view) => {
            let at = view.at;
            let before = feed.view.replace(*view).map(|view| view.at);
            feed.missed += u64::from(feed.frozen.is_some());
            match before {
                None => begin(state, effects),
                Some(heard) if was_lost && at.since(heard) >= AWAY_MS_MIN => {
                    state.since_looked(heard);
                }
                Some(_) => {}
            }
        }
        WatchMessage::Deltas { seq, at, deltas } => {
            let Some(view) = &mut feed.view else { return };
            if view.apply(seq, at, &deltas).is_err() {
                effects.requests.push(Request::Snapshot);
                return;
            }
            if feed.frozen.is_some() {
                feed.missed += deltas.len() as u64;
            }
        }
        WatchMessage::Heartbeat { at } => {
            if let Some(view) = &mut feed.view {
                view.at = at;
            }
            return;
        }
    }
    refresh(state);
}

/// With the first view: what changed since the operator last looked, and the view asked for, or the one they
/// left only just now.
fn begin(state: &mut State, effects: &mut Effects) {
    refresh(state);
    let view = state.feed.view.as_ref();
    let mut left = None;
    if let Some((place, at)) = view.map(|view| (Session::place_of(view), view.at)) {
        state.lanes.bookmarks = state.session.bookmarks(&place);
        if let Some(looked) = state.session.looked(&place) {
            state.since_looked(looked);
            if at.since(looked) <= RETURN_MS_MAX {
                left = state.session.view(&place).and_then(Route::parse);
            }
        }
    }
    let Some(text) = state.go_first.take() else {
        if let Some(route) = left {
            // What is not there any more is no place to go back to.
            let _ = route.go(state, effects);
        }
        return;
    };
    match Route::parse(&text) {
        Some(route) if route.go(state, effects) => {}
        Some(route) => state.tell(Role::Warn, &route.is_nowhere()),
        None => state.tell(Role::Warn, &format!("There is no view {text:?}.")),
    }
}

/// Sorts and filters the list again.
pub(super) fn refresh(state: &mut State) {
    if let Some(view) = state.feed.frozen.as_deref().or(state.feed.view.as_ref()) {
        state.list.refresh(view);
    }
}

fn take_alerts(state: &mut State, appends: bool, page: crate::api::AlertPage) {
    let chosen = alert_chosen(state).filter(|_| appends);
    let alerts = &mut state.alerts;
    alerts.in_flight = false;
    alerts.failed = None;
    match &mut alerts.page {
        Some(held) if appends => {
            held.items.extend(page.items);
            held.next = page.next;
            held.total = page.total;
        }
        _ => alerts.page = Some(page),
    }
    // What has come may stand above the row chosen.
    choose_alert(state, chosen);
}

/// The alert under the cursor, wherever it stands.
pub(super) fn alert_chosen(state: &State) -> Option<Fingerprint> {
    explain::alert_here(state).map(|row| row.fingerprint)
}

/// Puts the cursor on an alert, where that stands now.
pub(super) fn choose_alert(state: &mut State, chosen: Option<Fingerprint>) {
    let moved = chosen.and_then(|chosen| {
        let rows = super::view::alert_rows(state);
        rows.iter().position(|row| row.fingerprint == chosen)
    });
    if let Some(at) = moved {
        state.alerts.cursor.set(at);
    }
}

fn failed(state: &mut State, request: &Request, why: String) {
    match request {
        Request::Command(command) => {
            state.feed.answered(command);
            let text = format!("Not done: {}: {why}.", command.phrase());
            state.feed.answers.fail(text);
            answers::tell(state);
        }
        Request::Alerts { .. } => {
            state.alerts.in_flight = false;
            let text = format!("Alerts cannot be read: {why}");
            state.tell(Role::Crit, &text);
            state.alerts.failed = Some(why);
        }
        Request::Why { .. } | Request::Preview { .. } | Request::AlertsOf { .. } => {
            state.tell(Role::Crit, &format!("The engine did not answer: {why}"));
        }
        Request::Lines {
            entity, template, ..
        } => raw::failed(state, (entity, template), &why),
        Request::Dependence(entity) => dependence::failed(state, entity, &why),
        Request::Recorded { purpose, .. } => state.records.fail(*purpose, why),
        // Until then what was known before is shown.
        Request::Ledger => state.speakers.fail(),
        Request::Runbooks { .. } => {
            state.tell(Role::Crit, &format!("Runbooks cannot be read: {why}"));
        }
        Request::Panels {
            incident,
            entity: Some(entity),
        } => {
            let now = state.now;
            if let Some(node) = state
                .node
                .as_mut()
                .filter(|node| node.is(*incident, Some(entity)))
            {
                node.fail(why, now);
            }
        }
        _ => state.details.fail(request, why, state.now),
    }
}

/// Leaving an incident leaves its past; while it is looked at, what is newly known of it counts.
fn settle_travel(state: &mut State) {
    let Some(travel) = &state.travel else { return };
    if state.place.screen == Screen::Incident(travel.incident) {
        if state.details.is_fresh() {
            state.travel_to(travel.at);
        }
    } else {
        state.travel = None;
    }
    state.details.seen();
}

/// Asks for whatever the screen needs and the console does not hold.
fn fetch(state: &mut State, effects: &mut Effects) {
    state.details.rest();
    if state.feed.frozen.is_some() {
        return;
    }
    effects.requests.extend(state.wanted_of_dialog());
    effects.requests.extend(state.wanted_of_gone());
    if state.place.screen == Screen::Sources {
        effects.requests.extend(state.speakers.wanted(state.now));
    }
    let Some(id) = state.looked_at() else { return };
    let Some((revision, lasting)) = state
        .row(id)
        .map(|row| (row.revision, row.phase != Phase::Resolved))
    else {
        return;
    };
    let panels = Tab::ALL
        .into_iter()
        .any(|tab| tab.needs_panels() && state.shows(tab));
    let now = state.now;
    // What nobody sees is not asked for: of one node, or of all, never both.
    let alone = panels && state.narrowed().is_some();
    if let Some(node) = state.node.as_mut().filter(|_| alone) {
        effects.requests.extend(node.wanted(lasting, now));
    }
    let shown = Shown {
        panels: panels && !alone,
        path: state.shows(Tab::Path),
    };
    let wanted = state.details.wanted(id, revision, shown, lasting, now);
    effects.requests.extend(wanted);
    effects.requests.extend(state.recorded_wanted(id));
}

/// Asks for the first or the next page of alerts, if there is one and it is not on its way.
pub(super) fn fetch_alerts(state: &mut State, first: bool, effects: &mut Effects) {
    let after = match &state.alerts.page {
        Some(page) if !first => match &page.next {
            Some(next) => Some(next.clone()),
            None => return,
        },
        _ => None,
    };
    if !state.alerts.in_flight {
        state.alerts.in_flight = true;
        effects.requests.push(Request::Alerts { after });
    }
}

/// Puts an incident on the screen.
pub(super) fn open(state: &mut State, id: IncidentId, tab: Tab) {
    state.list.select(id);
    state.place.go(Screen::Incident(id), tab);
}

/// Gives the keys to something else than the screen.
pub(super) fn lay_over(state: &mut State, overlay: Overlay) {
    state.notice = None;
    state.overlay = Some(overlay);
}

/// Keeps what the same key would take back.
fn remember(state: &mut State, command: &Command) {
    if let Command::Mark { finding, opinion } = command {
        match opinion {
            Some(opinion) => state.opinions.insert(*finding, *opinion),
            None => state.opinions.remove(finding),
        };
    }
}
