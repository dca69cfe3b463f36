//! Dialogs with buttons, and nothing else: approving and undoing a plan, settling a doubt, confirming. They
//! open on Cancel, believe no key that comes too quickly, and never take pasted text for a yes.

use crossterm::event::KeyCode;

use crate::model::{Command, PlanId, RunId};
use crate::tui::action::Action;
use crate::tui::key::Key;
use crate::tui::keymap::Lookup;
use crate::tui::state::{Approval, Choice, Confirm, Cursor, Deed, Guard, Overlay, State, outcomes};
use crate::tui::theme::Role;
use crate::tui::update::{Effects, lay_over};

use super::{Then, step_of};

/// Said when Enter pressed the button a dialog opens on, which does nothing.
const CANCELLED: &str = "Cancelled: nothing was done. Tab goes to the other button.";

pub(super) fn in_confirm(
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
        Button::Moved => {
            guard.saw_key(state.now);
            Then::Stay
        }
        Button::Other => {
            guard.saw_stray(key, state.now);
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

pub(super) fn in_settle(
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
        _ if state.keymap.lookup(&[key]) == Lookup::Action(Action::RollBack) => {
            guard.saw_key(state.now);
            stop(state, plan)
        }
        _ => {
            if let Some(step) = step_of(state, key) {
                guard.saw_key(state.now);
                cursor.step(step);
            } else {
                guard.saw_stray(key, state.now);
            }
            Then::Stay
        }
    }
}

/// From the question what became of a step to stopping it, when it turned out to go on.
fn stop(state: &mut State, plan: PlanId) -> Then {
    let held = state.details.plan(plan).cloned();
    let Some(runs) = held.filter(|plan| plan.runs_unheard().is_some()) else {
        state.tell(Role::Warn, "roll-back: say first what became of this step.");
        return Then::Stay;
    };
    let dialog = Approval::new(Deed::RollBack, runs, state.now);
    lay_over(state, Overlay::Approval(dialog));
    Then::Close
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
        // A letter that left would let the rest of a word act on the screen below.
        _ => Button::Other,
    }
}

pub(super) fn in_approval(
    state: &mut State,
    approval: &mut Approval,
    key: Key,
    effects: &mut Effects,
) -> Then {
    approval.told = "";
    let dead = state.dead(approval);
    let is_live = approval.is_live() && dead.is_none();
    let typing = approval.wants_name() && is_live;
    let edits = approval.in_name && (key.is_ctrl('u') || key.is_ctrl('w'));
    let is_text = key.typed().is_some() || key.code == KeyCode::Backspace || edits;
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
        Button::Moved => {
            approval.guard.saw_key(state.now);
            Then::Stay
        }
        Button::Other => {
            approval.guard.saw_stray(key, state.now);
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
            // Without one only what runs is stopped: what ended in this moment is no longer undone by it.
            let digest = (!approval.is_brake()).then_some(digest);
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
