//! Keys and pasted text while a box or dialog has them.
//!
//! Pasted text only ever lands in a field; it never presses a button.

use crossterm::event::{KeyCode, KeyEvent};
use tui_textarea::TextArea;

use crate::api::RunbookRow;
use crate::model::{
    Command, Coordinate, EntityId, IncidentId, IncidentRow, PERSON_TEXT_BYTES_MAX, PlanId, RunId,
    SafeText,
};

use super::act;
use super::action::{ACTIONS, Action};
use super::field::Field;
use super::filter::{self, Filter};
use super::help::{self, HelpRow};
use super::key::Key;
use super::keymap::Lookup;
use super::route::Route;
use super::state::{
    Approval, Choice, Confirm, Cursor, Deed, Fit, Guard, Overlay, Question, Screen, State, Step,
    Writing, fit, outcomes,
};
use super::theme::{Role, Theme};
use super::update::{Effects, refresh};

/// Said when Enter pressed the button a dialog opens on, which does nothing.
const CANCELLED: &str = "Cancelled: nothing was done. Tab goes to the other button.";

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
        Overlay::Why { cursor, .. } => in_text(state, cursor, key),
        Overlay::Note {
            incident,
            area,
            writing,
        } => in_note(*incident, area, *writing, key, effects),
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
        KeyCode::Enter | KeyCode::Esc => return Then::Close,
        _ => field.key(key),
    };
    let filter = Filter::parse(field.text());
    set_filter(state, filter);
    Then::Stay
}

fn set_filter(state: &mut State, filter: Filter) {
    match state.place.screen {
        Screen::Alerts => state.alerts.filter = filter,
        Screen::Incident(_) => state.place.find = filter,
        _ => {
            state.list.filter = filter;
            refresh(state);
        }
    }
}

/// What fits what was typed, the best first; all actions in the order of the table when nothing was.
pub(super) fn palette_rows(typed: &str) -> Vec<HelpRow> {
    let typed = typed.to_lowercase();
    let mut fits: Vec<(usize, Action)> = ACTIONS
        .iter()
        .filter_map(|row| {
            let by_name = filter::score(&typed, row.name);
            // A fit in the description counts, but less than any in the name.
            let by_doc = row.doc.to_lowercase().find(&typed).map(|at| 1_000 + at);
            Some((by_name.or(by_doc)?, row.action))
        })
        .collect();
    if !typed.is_empty() {
        // Among equal fits the shorter name is the nearer one.
        fits.sort_by_key(|(cost, action)| (*cost, action.row().name.len()));
    }
    let actions = fits.into_iter().map(|(_, action)| HelpRow::Key(action));
    // Themes have names of their own; among all actions they would only be in the way.
    let themes = Theme::names().filter(|name| {
        !typed.is_empty() && (format!("theme {name}").contains(&typed) || typed == "themes")
    });
    actions.chain(themes.map(HelpRow::Theme)).collect()
}

fn palette_row(field: &Field, cursor: &Cursor) -> Option<HelpRow> {
    let rows = palette_rows(field.text());
    let at = cursor.at(rows.len());
    rows.into_iter().nth(at)
}

/// Shows the theme under the cursor, and the one before when there is none or the palette is left.
fn preview(
    state: &mut State,
    (field, cursor): (&Field, &Cursor),
    before: &Theme,
    then: &Then,
    key: Key,
) {
    let here = palette_row(field, cursor);
    match (then, here) {
        // What Enter did stays, be it the theme or an action.
        (Then::Close, _) if key.code == KeyCode::Enter => {}
        (Then::Stay, Some(HelpRow::Theme(name))) => wear(state, name),
        _ => state.look.theme.clone_from(before),
    }
}

fn wear(state: &mut State, name: &str) {
    // Those that are shipped can be read; a test sees to it.
    if let Ok(theme) = Theme::shipped(name) {
        state.look.theme = theme;
    }
}

fn in_palette(
    state: &mut State,
    (field, cursor): (&mut Field, &mut Cursor),
    chosen: Option<HelpRow>,
    key: Key,
    effects: &mut Effects,
) -> Then {
    match key.code {
        KeyCode::Esc => return Then::Close,
        KeyCode::Enter => {
            match chosen {
                Some(HelpRow::Key(action)) => act::perform(state, action, effects),
                Some(HelpRow::Theme(name)) => {
                    wear(state, name);
                    state.tell(Role::Muted, &format!("Theme: {name}"));
                }
                // On a word there is nothing to do but read it.
                _ => return Then::Stay,
            }
            return Then::Close;
        }
        _ if choosing(cursor, key) => {}
        _ => {
            field.key(key);
            *cursor = Cursor::default();
        }
    }
    Then::Stay
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

fn in_confirm(
    state: &mut State,
    what: &Confirm,
    guard: &mut Guard,
    choice: &mut Choice,
    key: Key,
    effects: &mut Effects,
) -> Then {
    // Whoever stops everything does not look for a button.
    let same = matches!(what, Confirm::KillSwitch { .. })
        && state.keymap.lookup(&[key]) == Lookup::Action(Action::KillSwitch);
    if same {
        if !guard.believes(state.now) {
            return Then::Stay;
        }
        confirmed(state, what, effects);
        return Then::Close;
    }
    match button(state, key, choice) {
        Button::Leave => Then::Close,
        Button::Moved | Button::Other => {
            guard.saw_key(state.now);
            Then::Stay
        }
        Button::Press if !guard.believes(state.now) => Then::Stay,
        Button::Press => {
            match choice {
                Choice::Proceed => confirmed(state, what, effects),
                Choice::Cancel => state.tell(Role::Muted, CANCELLED),
            }
            Then::Close
        }
    }
}

fn in_settle(
    state: &mut State,
    (plan, run): (PlanId, RunId),
    guard: &mut Guard,
    cursor: &mut Cursor,
    key: Key,
    effects: &mut Effects,
) -> Then {
    match key.code {
        KeyCode::Esc => Then::Close,
        KeyCode::Enter if !guard.believes(state.now) => Then::Stay,
        KeyCode::Enter => {
            if let Some(why) = state.is_settled(plan, run) {
                state.tell(Role::Warn, &format!("Nothing was decided: {why}."));
                return Then::Close;
            }
            // The first row is "decide later".
            let at = cursor.at(outcomes().len() + 1);
            if let Some((_, outcome)) = at.checked_sub(1).map(|at| outcomes()[at].clone()) {
                effects.command(Command::Settle { plan, outcome });
            }
            Then::Close
        }
        _ => {
            guard.saw_key(state.now);
            in_text(state, cursor, key)
        }
    }
}

/// What a key does to a pair of buttons.
enum Button {
    Leave,
    Moved,
    Press,
    Other,
}

fn button(state: &State, key: Key, choice: &mut Choice) -> Button {
    match key.code {
        KeyCode::Esc => return Button::Leave,
        KeyCode::Enter => return Button::Press,
        _ => {}
    }
    match state.keymap.lookup(&[key]) {
        Lookup::Action(Action::NextPane | Action::PreviousPane | Action::Left | Action::Right) => {
            *choice = choice.other();
            Button::Moved
        }
        Lookup::Action(Action::Quit) => Button::Leave,
        _ => Button::Other,
    }
}

fn in_approval(
    state: &mut State,
    approval: &mut Approval,
    key: Key,
    effects: &mut Effects,
) -> Then {
    approval.told = "";
    let dead = state.dead(approval);
    let is_live = approval.is_live() && dead.is_none();
    let typing = approval.wants_name() && is_live;
    let is_text = key.typed().is_some() || key.code == KeyCode::Backspace;
    let says_yes = match approval.deed {
        Deed::Approve => Action::Approve,
        Deed::RollBack => Action::RollBack,
    };
    let is_yes = state.keymap.lookup(&[key]) == Lookup::Action(says_yes);
    if typing && is_text {
        approval.guard.saw_key(state.now);
        // Whoever is used to saying yes by the same key twice finds an empty field, not a wrong name.
        if is_yes && approval.is_no_start(key) {
            approval.told = "High risk: type the target's name.";
        } else {
            approval.typed.key(key);
            approval.ask_name();
        }
        return Then::Stay;
    }
    if let Some(step) = step_of(state, key) {
        approval.guard.saw_key(state.now);
        approval.cursor.step(step);
        return Then::Stay;
    }
    if typing && approval.in_name && key.code == KeyCode::Enter {
        return named(state, approval);
    }
    match button(state, key, &mut approval.choice) {
        Button::Leave => Then::Close,
        Button::Moved if typing => {
            approval.guard.saw_key(state.now);
            approval.turn();
            Then::Stay
        }
        Button::Press if !is_live => {
            if let Some(dead) = dead {
                let why = dead.why();
                state.tell(Role::Warn, &format!("Nothing was decided: {why}."));
            }
            Then::Close
        }
        // A yes on its way when the ground shifted must not close the dialog either: the next one would
        // be about something else.
        Button::Other if is_yes && dead.is_some() => {
            approval.guard = Guard::new(state.now);
            approval.told = "Nothing was decided: read why below.";
            Then::Stay
        }
        Button::Press if !approval.guard.believes(state.now) => {
            approval.told = "Too quick: read it, then press again.";
            Then::Stay
        }
        Button::Press if approval.choice == Choice::Cancel => {
            state.tell(Role::Muted, CANCELLED);
            Then::Close
        }
        Button::Press => approve(state, approval, effects),
        Button::Other if is_yes => {
            if !approval.guard.believes(state.now) {
                approval.told = "Too quick: read it, then press again.";
                return Then::Stay;
            }
            approve(state, approval, effects)
        }
        Button::Moved | Button::Other => {
            approval.guard.saw_key(state.now);
            Then::Stay
        }
    }
}

/// Enter in the field of the name: on to the button when it is right. It never cancels.
fn named(state: &State, approval: &mut Approval) -> Then {
    if approval.name_is_right() {
        // A held Enter must not go through both.
        approval.guard = Guard::new(state.now);
        approval.ask_yes();
        approval.told = "That is its name: Enter once more, or Esc.";
    } else {
        approval.guard.saw_key(state.now);
        approval.told = approval.asks_name();
    }
    Then::Stay
}

/// Says yes to exactly what was shown.
fn approve(state: &mut State, approval: &mut Approval, effects: &mut Effects) -> Then {
    if !approval.is_live() {
        return Then::Close;
    }
    if !approval.name_is_right() {
        approval.told = approval.asks_name();
        approval.ask_name();
        return Then::Stay;
    }
    // What cannot be read is stopped all the same.
    if !approval.is_brake() && !approval.plan.can_be_shown() {
        approval.told = "What it runs is too long to be shown: decide it by its digest.";
        return Then::Stay;
    }
    let now = state.details.plan(approval.plan.id);
    if now.is_some_and(|now| approval.is_outdated(now)) {
        approval.told = "The plan has changed since it was shown: close and read it again.";
        return Then::Stay;
    }
    let plan = approval.plan.id;
    let digest = approval.plan.digest.to_string();
    match approval.deed {
        Deed::Approve => {
            effects.command(Command::Approve { plan, digest });
            state.tell(Role::Muted, "Approving...");
        }
        Deed::RollBack => {
            let digest = Some(digest);
            effects.command(Command::RollBack { plan, digest });
            state.tell(Role::Muted, "Rolling back...");
        }
    }
    Then::Close
}

fn confirmed(state: &mut State, what: &Confirm, effects: &mut Effects) {
    match what {
        Confirm::KillSwitch { on } => effects.command(Command::KillSwitch { on: *on }),
        Confirm::Resolve(incidents) => {
            for incident in incidents.iter().copied() {
                effects.command(Command::Resolve { incident });
            }
            state.list.marks.clear();
        }
    }
}

fn in_runbooks(
    state: &mut State,
    incident: IncidentId,
    (field, cursor): (&mut Field, &mut Cursor),
    key: Key,
    effects: &mut Effects,
) -> Then {
    match key.code {
        KeyCode::Esc => return Then::Close,
        KeyCode::Enter => {
            let rows = runbook_rows(state, incident, field.text());
            let Some((_, row)) = rows.get(cursor.at(rows.len())) else {
                return Then::Stay;
            };
            let name = row.name.clone();
            if let Some(why) = row.refused.clone() {
                state.tell(Role::Warn, &format!("{name} cannot be used here: {why}"));
                return Then::Stay;
            }
            if let Some(target) = state.row(incident).map(target) {
                effects.command(Command::Propose {
                    incident,
                    runbook: name,
                    target,
                });
            }
            return Then::Close;
        }
        _ => {}
    }
    if !choosing(cursor, key) {
        field.key(key);
        *cursor = Cursor::default();
    }
    Then::Stay
}

/// Moves along rows that are filtered by typing, where letters cannot move; `false` for other keys.
fn choosing(cursor: &mut Cursor, key: Key) -> bool {
    cursor.step(match key.code {
        KeyCode::Down | KeyCode::Tab => Step::Rows(1),
        KeyCode::Up | KeyCode::BackTab => Step::Rows(-1),
        KeyCode::PageDown => Step::Page(1),
        KeyCode::PageUp => Step::Page(-1),
        _ if key.is_ctrl('n') => Step::Rows(1),
        _ if key.is_ctrl('p') => Step::Rows(-1),
        _ => return false,
    });
    true
}

/// Runbooks that have what was typed in them, and what this incident's plans say of them: the likeliest
/// first, then those of lower risk. Those that cannot be used come last.
pub(super) fn runbook_rows<'a>(
    state: &'a State,
    incident: IncidentId,
    typed: &str,
) -> Vec<(Fit, &'a RunbookRow)> {
    let plans = state.details.get(incident).map_or(&[][..], |d| &d.plans);
    let rows = state.runbooks.as_ref().map_or(&[][..], |(_, rows)| rows);
    let typed = typed.to_lowercase();
    let mut fits: Vec<(bool, usize, Fit, &RunbookRow)> = rows
        .iter()
        .filter_map(|row| {
            let text = format!("{} {}", row.title, row.description).to_lowercase();
            // A fit in the description counts, but less than any in the name.
            let cost = filter::score(&typed, &row.name)
                .or_else(|| text.find(&typed).map(|at| 1_000 + at))?;
            let cost = if typed.is_empty() { 0 } else { cost };
            Some((row.refused.is_some(), cost, fit(plans, &row.name), row))
        })
        .collect();
    fits.sort_by_key(|(refused, cost, fit, row)| (*refused, *cost, *fit, row.risk));
    fits.into_iter()
        .map(|(_, _, fit, row)| (fit, row))
        .collect()
}

/// What a runbook chosen by hand acts upon: the first suspect, or else what hurts.
pub(super) fn target(row: &IncidentRow) -> EntityId {
    match &row.suspect {
        Some((suspect, _)) => suspect.clone(),
        None => row.entity.clone(),
    }
}
