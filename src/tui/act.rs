//! Performs actions.

use crate::model::{Command, IncidentId, Lane, Opinion, PlanState};

use super::action::{Action, Scope};
use super::desk::{self, Desk};
use super::dialog;
use super::entities::{Entities, Purpose};
use super::explain;
use super::field::Field;
use super::inert;
use super::lanes::{self, Jump, Zoom};
use super::link::Request;
use super::node;
use super::raw;
use super::reach;
use super::refused;
use super::route;
use super::silence::{SilenceDialog, Silences};
use super::state::{
    Along, Approval, Back, Choice, Confirm, Cursor, Deed, Gone, Guard, Overlay, Question, Screen,
    State, Step, Tab, Way, Writing,
};
use super::theme::Role;
use super::update::{
    Effects, TerminalOp, alert_chosen, choose_alert, fetch_alerts, lay_over, open, refresh,
};

/// Said of what went to the clipboard: whether it got there, no terminal tells.
pub(super) const COPIED: &str = "Copied, if your terminal takes it (OSC 52).";
/// Rows from the end of the alerts held at which the next page is asked for.
const ALERTS_AHEAD: usize = 50;

/// Performs an action, or tells why not.
pub(super) fn perform(state: &mut State, action: Action, effects: &mut Effects) {
    if let Some(why) = inert::inert(state, action).or_else(|| inert::hasty(state, action)) {
        return refused::tell(state, action, &why);
    }
    if let Some(where_else) = inert::elsewhere(state, action) {
        return state.tell(Role::Muted, where_else);
    }
    match action.row().scope {
        Scope::Move => go(state, action, effects),
        Scope::View => look(state, action, effects),
        Scope::Incident => on_incident(state, action, effects),
        Scope::Plan => on_plan(state, action),
    }
}

fn go(state: &mut State, action: Action, effects: &mut Effects) {
    match action {
        Action::Down => step(state, Step::Rows(1)),
        Action::Up => step(state, Step::Rows(-1)),
        Action::Top => step(state, Step::Top),
        Action::Bottom => step(state, Step::Bottom),
        Action::HalfDown => step(state, Step::Half(1)),
        Action::HalfUp => step(state, Step::Half(-1)),
        Action::PageDown => step(state, Step::Page(1)),
        Action::PageUp => step(state, Step::Page(-1)),
        Action::Left if state.travel.is_some() => state.travel_by(Way::Back),
        Action::Right if state.travel.is_some() => state.travel_by(Way::On),
        Action::Left | Action::PreviousPane => turn(state, -1),
        Action::Right | Action::NextPane => turn(state, 1),
        Action::Open => enter(state, effects),
        Action::Back => back(state),
        Action::Quit => quit(state, effects),
        Action::Leave => effects.terminal.push(TerminalOp::Quit),
        Action::LastView | Action::HistoryBack | Action::HistoryForward => remember(state, action),
        _ => {}
    }
    if state.place.screen == Screen::Alerts {
        let held = state
            .alerts
            .page
            .as_ref()
            .map_or(0, |page| page.items.len());
        if state.alerts.cursor.at(held) + ALERTS_AHEAD >= held {
            fetch_alerts(state, false, effects);
        }
    }
}

/// Goes along the views that were left, to each as it was left.
fn remember(state: &mut State, action: Action) {
    let (is_there, none) = match action {
        Action::HistoryBack => (state.place.along(-1), "No older view."),
        Action::HistoryForward => (state.place.along(1), "No newer view."),
        _ => (state.place.last(), "No view before this."),
    };
    match state.place.noted().filter(|_| is_there) {
        Some(left) => left.show(state),
        None if is_there => {}
        None => state.tell(Role::Muted, none),
    }
}

/// Moves the cursor of whatever has the keys.
pub(super) fn step(state: &mut State, step: Step) {
    let now = state.now;
    state.moved_at = Some(now);
    match state.place.screen {
        Screen::Incidents => state.list.step(step, now),
        Screen::Incident(_) => {
            let tab = state.place.tab;
            state.cursor_mut(tab).step(step);
        }
        Screen::Alerts => state.alerts.cursor.step(step),
        Screen::Sources => state.sources.cursor.step(step),
    }
}

/// The next or previous pane. From the list of a wide screen the keys go to a pane and back.
fn turn(state: &mut State, delta: isize) {
    let screen = state.place.screen;
    if matches!(screen, Screen::Incident(_) | Screen::Incidents) {
        let tab = state.place.tab.moved(delta);
        state.place.go(screen, tab);
    }
}

fn enter(state: &mut State, effects: &mut Effects) {
    match state.gone() {
        Some(Gone::Merged(home)) => return open(state, home, state.place.tab),
        Some(_) => return explain::open(state, effects),
        None => {}
    }
    match state.place.screen {
        Screen::Incidents => {
            if let Some(id) = state.list.selected() {
                open(state, id, state.place.tab);
            }
        }
        Screen::Incident(_) if state.place.tab == Tab::Actions => open_plan(state),
        Screen::Incident(_) if state.place.tab == Tab::Path => node::narrow(state),
        Screen::Incident(_) if state.place.tab == Tab::Logs => raw::open(state, effects),
        Screen::Alerts => {
            let incident = explain::alert_here(state).and_then(|alert| alert.incident);
            match incident {
                Some(id) if state.row(id).is_some() => open(state, id, state.place.tab),
                _ => explain::open(state, effects),
            }
        }
        _ => explain::open(state, effects),
    }
}

fn back(state: &mut State) {
    let unfiltered =
        matches!(state.place.screen, Screen::Incident(_)) && state.place.find.is_empty();
    let on_timeline = unfiltered && state.place.tab == Tab::Timeline;
    let is_zoomed = state.lanes.range.is_some() && reach::has_keys(state);
    if state.travel.take().is_some() {
        return;
    }
    let lanes = &state.lanes;
    let is_part = lanes.range.is_some() || lanes.from.is_some() || lanes.along.is_some();
    let on_followed = unfiltered && Along::TABS.contains(&state.place.tab) && lanes.along.is_some();
    if is_zoomed || on_followed || on_timeline && is_part {
        lanes::show_all(state);
        return;
    }
    if state.narrowed().is_some() {
        let alone = node::TABS.contains(&state.place.tab);
        node::widen(state);
        if alone {
            state.place.go(state.place.screen, Tab::Path);
        }
        return;
    }
    if std::mem::take(&mut state.whole) {
        return;
    }
    let filter = match state.place.screen {
        Screen::Alerts => &mut state.alerts.filter,
        Screen::Incident(_) => &mut state.place.find,
        Screen::Incidents => &mut state.list.filter,
        Screen::Sources => &mut state.sources.filter,
    };
    if !filter.is_empty() {
        *filter = crate::api::filter::Filter::default();
        refresh(state);
    } else if !state.list.marks.is_empty() && state.place.screen == Screen::Incidents {
        state.list.marks.clear();
    } else {
        state.place.go(Screen::Incidents, state.place.tab);
    }
}

fn quit(state: &mut State, effects: &mut Effects) {
    if state.place.screen == Screen::Incidents {
        effects.terminal.push(TerminalOp::Quit);
    } else {
        state.place.go(Screen::Incidents, state.place.tab);
    }
}

fn look(state: &mut State, action: Action, effects: &mut Effects) {
    match action {
        Action::Timeline => tab(state, Tab::Timeline),
        Action::WhyTab => tab(state, Tab::Why),
        Action::Path => tab(state, Tab::Path),
        Action::Metrics => tab(state, Tab::Metrics),
        Action::Logs => tab(state, Tab::Logs),
        Action::Traces => tab(state, Tab::Traces),
        Action::Actions => tab(state, Tab::Actions),
        Action::Incidents => state.place.go(Screen::Incidents, state.place.tab),
        Action::Alerts => {
            state.place.go(Screen::Alerts, state.place.tab);
            fetch_alerts(state, true, effects);
        }
        Action::Sources => state.place.go(Screen::Sources, state.place.tab),
        Action::Why => explain::open(state, effects),
        Action::Filter | Action::Palette | Action::Help => boxes(state, action),
        Action::Mark => {
            state.list.toggle_mark();
            step(state, Step::Rows(1));
        }
        Action::MarkRange if matches!(state.place.screen, Screen::Incident(_)) => {
            lanes::range(state);
        }
        Action::MarkRange => state.list.mark_range(),
        Action::Earlier if pans(state) => reach::pan(state, Way::Back),
        Action::Later if pans(state) => reach::pan(state, Way::On),
        Action::Travel | Action::Earlier | Action::Later => lanes::travel(state, action),
        Action::ZoomIn => zoom(state, Zoom::In),
        Action::ZoomOut => zoom(state, Zoom::Out),
        Action::Bookmark => lanes::bookmark(state),
        Action::NextBookmark => lanes::next(state, Jump::Bookmark, Way::On),
        Action::Follow => lanes::follow(state),
        Action::Narrow => node::narrow(state),
        Action::Links => node::links(state),
        Action::Compare | Action::Heatmap => meter(state, action),
        Action::Whole => state.whole = !state.whole,
        Action::Sort | Action::Reverse => order(state, action),
        Action::Freeze => freeze(state),
        Action::NextAnomaly => lanes::next(state, Jump::Lane(Lane::Anomaly), Way::On),
        Action::PreviousAnomaly => lanes::next(state, Jump::Lane(Lane::Anomaly), Way::Back),
        Action::NextChange => lanes::next(state, Jump::Lane(Lane::Change), Way::On),
        Action::PreviousChange => lanes::next(state, Jump::Lane(Lane::Change), Way::Back),
        Action::NextMatch => next_match(state, Way::On),
        Action::PreviousMatch => next_match(state, Way::Back),
        Action::Utc => state.clock.utc = !state.clock.utc,
        Action::Theme => {
            state.look.theme = state.look.theme.next();
            let name = format!("Theme: {}", state.look.theme.name());
            state.tell(Role::Muted, &name);
        }
        Action::Mouse => {
            state.mouse = !state.mouse;
            effects.terminal.push(TerminalOp::Mouse(state.mouse));
            let text = if state.mouse {
                "Mouse on: a click selects, the wheel scrolls. Off, your terminal selects text."
            } else {
                "Mouse off: your terminal selects text."
            };
            state.tell(Role::Muted, text);
        }
        Action::Copy => match explain::row_text(state) {
            Some(text) => {
                effects.terminal.push(TerminalOp::Copy(text));
                state.tell(Role::Muted, COPIED);
            }
            None => state.tell(Role::Muted, "Nothing to copy here."),
        },
        Action::HandOver => desk::hand_over(state),
        Action::Export => export(state, effects),
        Action::Redraw => effects.terminal.push(TerminalOp::Redraw),
        Action::Suspend => effects.terminal.push(TerminalOp::Suspend),
        _ => {}
    }
}

/// Copies what writes the incident out: a document is made where its file shall be.
fn export(state: &mut State, effects: &mut Effects) {
    let Some(id) = state.chosen() else {
        return state.tell(Role::Muted, "No incident is chosen.");
    };
    let number = id.0;
    let program = &state.command;
    let command = format!("{program} export {number} --format html --out incident-{number}.html");
    let text = format!("To run in a shell: {command}. {COPIED}");
    effects.terminal.push(TerminalOp::Copy(command));
    state.tell(Role::Info, &text);
}

/// Puts the rows of the screen in another order; the cursor stays on its row.
fn order(state: &mut State, action: Action) {
    let chosen = alert_chosen(state);
    let (sort, reversed) = match state.place.screen {
        Screen::Alerts => (&mut state.alerts.sort, &mut state.alerts.reversed),
        _ => (&mut state.list.sort, &mut state.list.reversed),
    };
    match (action, route::orders(state.place.screen)) {
        (Action::Reverse, _) => *reversed = !*reversed,
        (_, Some(orders)) => *sort = sort.next(orders),
        (_, None) => {}
    }
    refresh(state);
    choose_alert(state, chosen);
}

/// Whether the keys of time move the charts along what is zoomed to.
fn pans(state: &State) -> bool {
    state.lanes.range.is_some() && reach::has_keys(state)
}

fn zoom(state: &mut State, zoom: Zoom) {
    if reach::has_keys(state) {
        reach::zoom(state, zoom);
    } else {
        lanes::zoom(state, zoom);
    }
}

/// The next row that matches the filter: where nothing else is shown, the next row.
fn next_match(state: &mut State, way: Way) {
    let only_matches = match state.place.screen {
        Screen::Incidents | Screen::Alerts | Screen::Sources => true,
        Screen::Incident(_) => matches!(state.place.tab, Tab::Metrics | Tab::Logs),
    };
    match (only_matches, way) {
        (true, Way::On) => step(state, Step::Rows(1)),
        (true, Way::Back) => step(state, Step::Rows(-1)),
        (false, _) => lanes::next(state, Jump::Match, way),
    }
}

/// Changes how metrics are shown, and goes there.
fn meter(state: &mut State, action: Action) {
    let metering = &mut state.metering;
    if action == Action::Heatmap {
        metering.heat = !metering.heat;
    } else {
        metering.before = Back::next(metering.before);
    }
    if matches!(state.place.screen, Screen::Incident(_)) {
        tab(state, Tab::Metrics);
    }
}

pub(super) fn tab(state: &mut State, tab: Tab) {
    match state.place.screen {
        Screen::Incident(id) if state.gone().is_some() => {
            let text = format!("{id} is in the list no more: this is what was told of it.");
            state.tell(Role::Muted, &text);
        }
        Screen::Incident(id) => {
            explain::seek(state, id);
            state.place.go(state.place.screen, tab);
        }
        // On a wide screen a number goes to the pane; on a small one it turns the preview.
        Screen::Incidents => match state.list.selected() {
            Some(id) if state.layout() != super::state::Layout::Single => open(state, id, tab),
            _ => state.place.go(Screen::Incidents, tab),
        },
        Screen::Alerts | Screen::Sources => state.tell(Role::Muted, "Open an incident first."),
    }
}

fn boxes(state: &mut State, action: Action) {
    let overlay = match action {
        Action::Filter => {
            let field = Field::new(state.filter().text());
            Overlay::Filter { field }
        }
        Action::Palette => Overlay::Palette {
            field: Field::default(),
            cursor: Cursor::default(),
            before: Box::new(state.look.theme.clone()),
        },
        _ => Overlay::Help {
            field: Field::default(),
            cursor: Cursor::default(),
        },
    };
    lay_over(state, overlay);
}

fn freeze(state: &mut State) {
    let feed = &mut state.feed;
    feed.missed = 0;
    feed.frozen = match feed.frozen.take() {
        Some(_) => None,
        None => feed.view.clone().map(Box::new),
    };
    // What came meanwhile may have taken the row away.
    let aim = state.aim();
    refresh(state);
    state.note_shift(aim);
}

/// Opens what makes a silence, for the alert or the incident under the cursor.
fn silence(state: &mut State, effects: &mut Effects) {
    let dialog = if state.place.screen == Screen::Alerts {
        explain::alert_here(state).map(SilenceDialog::of_alert)
    } else {
        let row = state.chosen().and_then(|id| state.row(id));
        if let Some(row) = row.filter(|row| row.alerts_firing > 0) {
            let incident = row.id;
            effects.requests.push(Request::AlertsOf { incident });
        }
        row.map(SilenceDialog::of_incident)
    };
    let Some(mut dialog) = dialog else { return };
    dialog.ask(effects);
    lay_over(state, Overlay::Silence(Box::new(dialog)));
}

fn on_incident(state: &mut State, action: Action, effects: &mut Effects) {
    match action {
        Action::Silence => return silence(state, effects),
        Action::Silences => return lay_over(state, Overlay::Silences(Silences::default())),
        _ => {}
    }
    let Some(incident) = state.chosen() else {
        return;
    };
    match action {
        Action::Acknowledge => {
            for incident in marked_or(state, incident) {
                effects.command(Command::Acknowledge { incident });
            }
            state.list.marks.clear();
        }
        Action::Assign => {
            let question = Question::Assign(marked_or(state, incident));
            let field = Field::default();
            lay_over(state, Overlay::Prompt { question, field });
        }
        Action::Note => {
            let area = Box::default();
            let writing = Writing::Note;
            lay_over(
                state,
                Overlay::Note {
                    incident,
                    area,
                    writing,
                },
            );
        }
        Action::Resolve => {
            let incidents = marked_or(state, incident);
            confirm(state, Confirm::Resolve(incidents));
        }
        Action::Reopen => {
            for incident in marked_or(state, incident) {
                effects.command(Command::Reopen { incident });
            }
            state.list.marks.clear();
        }
        Action::Useful => mark(state, Opinion::Useful, effects),
        Action::Noise => mark(state, Opinion::Noise, effects),
        Action::Cause => choose_entities(state, incident, Purpose::Cause),
        Action::Split => choose_entities(state, incident, Purpose::Split),
        Action::Desk => lay_over(state, Overlay::Desk(Desk::new(incident))),
        Action::Status => desk::write_status(state, incident),
        Action::Merge => {
            let question = Question::Merge(marked_or(state, incident));
            let field = Field::default();
            lay_over(state, Overlay::Prompt { question, field });
        }
        Action::Propose => {
            let Some(target) = state.row(incident).map(dialog::target) else {
                return;
            };
            // What can be rendered changes with what is known of the target.
            effects
                .requests
                .push(Request::Runbooks { incident, target });
            if state
                .runbooks
                .as_ref()
                .is_some_and(|(of, _)| *of != incident)
            {
                state.runbooks = None;
            }
            let (field, cursor) = Default::default();
            let overlay = Overlay::Runbooks {
                incident,
                field,
                cursor,
            };
            lay_over(state, overlay);
        }
        _ => {}
    }
}

/// Says what a person thinks of what the row under the cursor shows; the same again takes it back.
fn mark(state: &mut State, opinion: Opinion, effects: &mut Effects) {
    let Some(finding) = explain::finding_here(state).map(|finding| finding.id) else {
        let text =
            "Nothing was noticed on this row: go to an anomaly on the timeline, or a metric.";
        return state.tell(Role::Muted, text);
    };
    let said = state.opinions.get(&finding).copied();
    let opinion = (said != Some(opinion)).then_some(opinion);
    effects.command(Command::Mark { finding, opinion });
}

fn choose_entities(state: &mut State, incident: IncidentId, purpose: Purpose) {
    let Some(detail) = state.details.get(incident) else {
        return;
    };
    let list = Entities::of(purpose, &detail.incident);
    lay_over(state, Overlay::Entities(list));
}

/// What an action is about: the rows marked, where they can be seen, else the one chosen.
fn marked_or(state: &State, incident: IncidentId) -> Vec<IncidentId> {
    if state.list.marks.is_empty() || state.place.screen != Screen::Incidents {
        vec![incident]
    } else {
        state.list.marks.iter().copied().collect()
    }
}

fn on_plan(state: &mut State, action: Action) {
    if action == Action::KillSwitch {
        let stopped = state
            .feed
            .view
            .as_ref()
            .is_some_and(|view| view.automation_stopped);
        return confirm(state, Confirm::KillSwitch { on: !stopped });
    }
    let Some(id) = state.plan().map(|plan| plan.id) else {
        return;
    };
    match action {
        Action::Approve => open_plan(state),
        Action::Reject => {
            let question = Question::Reject(id);
            let field = Field::default();
            lay_over(state, Overlay::Prompt { question, field });
        }
        Action::RollBack => {
            let Some(plan) = state.plan() else { return };
            let dialog = Approval::new(Deed::RollBack, plan.clone(), state.now);
            lay_over(state, Overlay::Approval(dialog));
        }
        _ => {}
    }
}

fn confirm(state: &mut State, what: Confirm) {
    let guard = Guard::new(state.now);
    let choice = Choice::default();
    lay_over(
        state,
        Overlay::Confirm {
            what,
            guard,
            choice,
        },
    );
}

/// Shows a plan in full; one whose step is in doubt asks what became of it.
fn open_plan(state: &mut State) {
    let Some(plan) = state.plan() else { return };
    let overlay = match plan.state {
        PlanState::Unknown { run } => Overlay::Settle {
            plan: plan.id,
            run,
            guard: Guard::new(state.now),
            cursor: Cursor::default(),
        },
        _ => Overlay::Approval(Approval::new(Deed::Approve, plan.clone(), state.now)),
    };
    lay_over(state, overlay);
}
