//! Keys and pasted text while a box or dialog has them.
//!
//! Pasted text only ever lands in a field; it never presses a button.

mod buttons;
mod palette;

use crossterm::event::{KeyCode, KeyEvent};
use tui_textarea::TextArea;

use crate::model::{Command, Coordinate, IncidentId, PERSON_TEXT_BYTES_MAX, SafeText};

use super::act;
use super::action::Action;
use super::field::Field;
use super::help;
use super::key::Key;
use super::keymap::Lookup;
use super::paint::Row;
use super::route::Route;
use super::rows::Rows;
use super::state::{Cursor, Overlay, Question, Screen, State, Step, Writing};
use super::theme::Role;
use super::update::{Effects, TerminalOp, refresh};
use crate::api::filter::Filter;

use buttons::{in_approval, in_confirm, in_settle};
use palette::{in_palette, in_runbooks, palette_row, preview};
pub(super) use palette::{palette_rows, runbook_rows, target};

/// What becomes of the overlay after a key.
enum Then {
    Stay,
    Close,
}

/// What becomes of an overlay that says whether it is done with.
fn then(done: bool) -> Then {
    if done { Then::Close } else { Then::Stay }
}

/// Takes a key. The overlay is taken out of the state while it decides, so that it can change both.
pub(super) fn key(state: &mut State, key: Key, effects: &mut Effects) {
    let Some(mut overlay) = state.overlay.take() else {
        return;
    };
    if key.is_ctrl('c') {
        if let Overlay::Palette { before, .. } = overlay {
            state.look.theme = *before;
        }
        return;
    }
    let key = leaving(state, key);
    let then = match &mut overlay {
        Overlay::Filter { field } => in_filter(state, field, key),
        Overlay::Palette {
            field,
            cursor,
            before,
        } => {
            let chosen = palette_row(field, cursor);
            if let (KeyCode::Enter, None, Some(route)) =
                (key.code, &chosen, Route::parse(field.text()))
            {
                if !route.go(state, effects) {
                    state.tell(Role::Warn, &route.is_nowhere());
                }
                return;
            }
            let then = in_palette(state, (field, cursor), chosen, key, effects);
            preview(state, (field, cursor), before, &then, key);
            then
        }
        Overlay::Help { field, cursor } => {
            let rows = help::rows(state, field.text());
            let at = cursor.at(rows.len());
            let chosen = rows.into_iter().nth(at);
            in_palette(state, (field, cursor), chosen, key, effects)
        }
        Overlay::Why {
            title,
            rows,
            cursor,
            ..
        } => {
            if state.keymap.lookup(&[key]) == Lookup::Action(Action::Copy) {
                let lines = rows.iter().map(Row::text);
                let lines: Vec<String> = std::iter::once(title.to_string()).chain(lines).collect();
                effects.terminal.push(TerminalOp::Copy(lines.join("\n")));
                state.tell(Role::Muted, act::COPIED);
            }
            in_text(state, cursor, key)
        }
        Overlay::Note {
            incident,
            area,
            writing,
        } => in_note(*incident, area, *writing, key, effects),
        Overlay::Refused(refused) => then(refused.key(state, key, effects)),
        Overlay::Silence(dialog) => then(dialog.key(state, key, effects)),
        Overlay::Silences(list) => then(list.key(state, key, effects)),
        Overlay::Desk(desk) => then(desk.key(state, key, effects)),
        Overlay::Prompt { question, field } => in_prompt(state, question, field, key, effects),
        Overlay::Approval(approval) => in_approval(state, approval, key, effects),
        Overlay::Confirm {
            what,
            guard,
            choice,
        } => in_confirm(state, what, guard, choice, key, effects),
        Overlay::Settle {
            plan,
            run,
            guard,
            cursor,
        } => in_settle(state, (*plan, *run), guard, cursor, key, effects),
        Overlay::Entities(list) => then(list.key(state, key, effects)),
        Overlay::Links(list) => then(list.key(state, key, effects)),
        Overlay::Runbooks {
            incident,
            field,
            cursor,
        } => in_runbooks(state, *incident, (field, cursor), key, effects),
    };
    if matches!(then, Then::Stay) && state.overlay.is_none() {
        state.overlay = Some(overlay);
    }
}

/// A key with a modifier that goes back in the operator's keymap leaves a box as Esc does.
fn leaving(state: &State, key: Key) -> Key {
    let back = state.keymap.lookup(&[key]) == Lookup::Action(Action::Back);
    if back && !key.modifiers.is_empty() {
        Key::plain(KeyCode::Esc)
    } else {
        key
    }
}

/// Takes pasted text.
pub(super) fn paste(state: &mut State, text: &str) {
    match &mut state.overlay {
        Some(Overlay::Filter { field }) => {
            field.insert(text);
            let filter = Filter::parse(field.text());
            set_filter(state, filter);
        }
        Some(
            Overlay::Palette { field, .. }
            | Overlay::Help { field, .. }
            | Overlay::Prompt { field, .. }
            | Overlay::Runbooks { field, .. },
        ) => field.insert(text),
        Some(Overlay::Note { area, .. }) => {
            let len: usize = area.lines().iter().map(String::len).sum();
            let lines: Vec<String> = text
                .lines()
                .map(|line| SafeText::new(line).to_string())
                .collect();
            let mut safe = lines.join("\n");
            let mut room = PERSON_TEXT_BYTES_MAX.saturating_sub(len).min(safe.len());
            while !safe.is_char_boundary(room) {
                room -= 1;
            }
            safe.truncate(room);
            area.insert_str(safe);
        }
        Some(Overlay::Desk(desk)) => desk.paste(text),
        Some(Overlay::Silence(dialog)) => dialog.paste(text),
        Some(Overlay::Approval(approval)) => {
            approval.told = "Pasted text cannot approve: type it.";
        }
        _ => state.tell(
            Role::Muted,
            "Pasted text is ignored here; / filters, i notes.",
        ),
    }
}

fn in_filter(state: &mut State, field: &mut Field, key: Key) -> Then {
    match key.code {
        KeyCode::Enter | KeyCode::Esc => {
            // What is kept may let everything pass, and then nothing else says it.
            if let Some(advice) = state.filter_advice() {
                state.tell(Role::Warn, &format!("There is {advice}."));
            }
            return Then::Close;
        }
        _ => field.key(key),
    };
    let filter = Filter::parse(field.text());
    set_filter(state, filter);
    Then::Stay
}

fn set_filter(state: &mut State, filter: Filter) {
    match state.place.screen {
        Screen::Alerts => state.alerts.filter = filter,
        Screen::Incident(id) => {
            let rows = Rows::of(state, id);
            state.place.find = filter;
            rows.back_on(state);
        }
        Screen::Sources => state.sources.filter = filter,
        Screen::Incidents => {
            state.list.filter = filter;
            refresh(state);
        }
    }
}

/// The way a key moves, by the operator's keymap.
pub(super) fn step_of(state: &State, key: Key) -> Option<Step> {
    let Lookup::Action(action) = state.keymap.lookup(&[key]) else {
        return None;
    };
    Some(match action {
        Action::Down => Step::Rows(1),
        Action::Up => Step::Rows(-1),
        Action::HalfDown => Step::Half(1),
        Action::HalfUp => Step::Half(-1),
        Action::PageDown => Step::Page(1),
        Action::PageUp => Step::Page(-1),
        Action::Top => Step::Top,
        Action::Bottom => Step::Bottom,
        _ => return None,
    })
}

fn in_text(state: &State, cursor: &mut Cursor, key: Key) -> Then {
    if let Some(step) = step_of(state, key) {
        cursor.step(step);
        return Then::Stay;
    }
    match key.code {
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | 'w') => Then::Close,
        _ => Then::Stay,
    }
}

fn in_prompt(
    state: &mut State,
    question: &Question,
    field: &mut Field,
    key: Key,
    effects: &mut Effects,
) -> Then {
    match key.code {
        KeyCode::Esc => return Then::Close,
        KeyCode::Enter => {}
        _ => {
            field.key(key);
            return Then::Stay;
        }
    }
    let answer = field.text().trim().to_owned();
    if answer.is_empty() {
        state.tell(Role::Warn, "Type something, or Esc to leave.");
        return Then::Stay;
    }
    match question {
        Question::Reject(plan) => effects.command(Command::Reject {
            plan: *plan,
            reason: answer,
        }),
        Question::Merge(incidents) => {
            let number = answer.trim_start_matches('#').parse().map(IncidentId);
            let Some(into) = number.ok().filter(|id| state.row(*id).is_some()) else {
                state.tell(
                    Role::Warn,
                    &format!("There is no incident {answer:?} here."),
                );
                return Then::Stay;
            };
            for incident in incidents.iter().copied().filter(|id| *id != into) {
                effects.command(Command::Merge { incident, into });
            }
            state.list.marks.clear();
        }
        Question::Assign(incidents) => {
            for incident in incidents.iter().copied() {
                let to = answer.clone();
                effects.command(Command::Assign { incident, to });
            }
            state.list.marks.clear();
        }
    }
    Then::Close
}

fn in_note(
    incident: IncidentId,
    area: &mut TextArea<'static>,
    writing: Writing,
    key: Key,
    effects: &mut Effects,
) -> Then {
    match key.code {
        KeyCode::Esc => Then::Close,
        KeyCode::Enter if key.modifiers.is_empty() => {
            let text = area.lines().join("\n").trim().to_owned();
            if !text.is_empty() {
                effects.command(match writing {
                    Writing::Note => Command::Note { incident, text },
                    Writing::Status => Command::Coordinate {
                        incident,
                        act: Coordinate::Status { text },
                    },
                });
            }
            Then::Close
        }
        KeyCode::Enter => {
            area.insert_newline();
            Then::Stay
        }
        _ => {
            let len: usize = area.lines().iter().map(String::len).sum();
            if len < PERSON_TEXT_BYTES_MAX || key.typed().is_none() {
                area.input(KeyEvent::new(key.code, key.modifiers));
            }
            Then::Stay
        }
    }
}
