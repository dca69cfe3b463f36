//! Keys that were there together, as one read of the terminal gave them. A terminal without bracketed paste sends
//! pasted text as keys: what reads as text of several lines is taken as pasted, and so is text that would act where
//! nothing takes text; pasted text acts on nothing. A slow link gives what a person typed ahead in one read as well:
//! what goes somewhere, or into a box, is done as it was typed. Only an Enter that would act is left to be pressed
//! again when it came together with the key that opened the box: a pasted line may begin with any letter.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyModifiers};

use crate::model::Time;

use super::action::{Action, Scope};
use super::dialog::palette_rows;
use super::help::{self, HelpRow};
use super::key::Key;
use super::keymap::Lookup;
use super::state::{Cursor, Overlay, State};

/// Fewest characters that differ in what reads as text: a key held down is none, and ways through lists are few.
const LETTERS_MIN: usize = 5;
/// Fewest keys of text that would act where nothing takes text.
const KEYS_MIN: usize = 8;
/// Keys after the first Enter that make what goes before it a line among others.
const NEXT_LINE_MIN: usize = 3;
/// What comes this soon after pasted text goes on with it, in milliseconds: nobody types so fast.
const GOES_ON_MS: i64 = 50;

/// What of the keys at hand is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The first, as it was pressed.
    Press,
    /// So many of them are this text, pasted.
    Paste(usize, String),
    /// The first is no more than an accident: it came with the Enter that closed a box, and would act.
    Drop,
    /// None of them is done: the first is an Enter that would act in a box that opened with what came before it.
    Hold,
}

/// What is remembered of the keys before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Burst {
    /// When text was pasted last, as keys.
    pasted: Option<Time>,
    /// When an Enter that came with what was typed before it closed a box.
    closed: Option<Time>,
    /// When a box was opened by a key that came with others.
    opened: Option<Time>,
}

impl Burst {
    /// Judges the keys that are left of those that were there together.
    pub(super) fn next(&mut self, state: &State, keys: &[Key]) -> Next {
        let text = text(keys);
        let is_soon = |at: Option<Time>| at.is_some_and(|at| state.now.since(at) <= GOES_ON_MS);
        let goes_on = is_soon(self.pasted) && !text.is_empty();
        let is_lines = reads_as_lines(&text) && !opens_box(state, keys);
        if goes_on || is_lines || would_act(state, keys, &text) {
            self.pasted = Some(state.now);
            return Next::Paste(text.chars().count(), text);
        }
        let is_enter = text.starts_with('\n');
        if is_enter && is_soon(self.opened) && enter_acts(state) {
            return Next::Hold;
        }
        match keys.first().map(|key| state.keymap.lookup(&[*key])) {
            Some(Lookup::Action(action))
                if state.overlay.is_none() && is_soon(self.closed) && acts(action) =>
            {
                Next::Drop
            }
            _ => Next::Press,
        }
    }

    /// Notes what a key of several did: an Enter that closed a box is followed by nothing that acts.
    pub(super) fn pressed(&mut self, state: &State, key: Key, (had_box, typed): (bool, usize)) {
        if !had_box && state.overlay.is_some() {
            self.opened = Some(state.now);
        }
        let is_closed = key.code == KeyCode::Enter && had_box && state.overlay.is_none();
        if is_closed && typed >= NEXT_LINE_MIN {
            self.closed = Some(state.now);
        }
    }
}

/// Whether an action does more than show something else.
fn acts(action: Action) -> bool {
    !matches!(action.row().scope, Scope::Move | Scope::View)
        || matches!(action, Action::Quit | Action::Leave | Action::Suspend)
}

/// Whether Enter in the box that has the keys would do more than show something. The dialogs of plans guard
/// themselves.
fn enter_acts(state: &State) -> bool {
    let chosen = |rows: Vec<HelpRow>, cursor: &Cursor| {
        let at = cursor.at(rows.len());
        matches!(rows.get(at), Some(HelpRow::Key(action)) if acts(*action) && !action.opens_box())
    };
    match &state.overlay {
        Some(Overlay::Palette { field, cursor, .. }) => chosen(palette_rows(field.text()), cursor),
        Some(Overlay::Help { field, cursor }) => chosen(help::rows(state, field.text()), cursor),
        Some(
            Overlay::Prompt { .. }
            | Overlay::Note { .. }
            | Overlay::Runbooks { .. }
            | Overlay::Desk(_)
            | Overlay::Entities(_)
            | Overlay::Silence(_)
            | Overlay::Silences(_),
        ) => true,
        _ => false,
    }
}

/// The keys up to the first that no text has.
fn text(keys: &[Key]) -> String {
    let letter = |key: &Key| match key.code {
        KeyCode::Char(c) if key.modifiers.is_empty() => Some(c),
        KeyCode::Enter if key.modifiers.is_empty() => Some('\n'),
        KeyCode::Tab if key.modifiers.is_empty() => Some('\t'),
        // A line feed, as raw terminals give it.
        KeyCode::Char('j') if key.modifiers == KeyModifiers::CONTROL => Some('\n'),
        _ => None,
    };
    keys.iter().map_while(letter).collect()
}

/// Whether it is text of more than one line.
fn reads_as_lines(text: &str) -> bool {
    let next_line = text.split_once('\n').map_or("", |(_, next)| next);
    next_line.chars().count() >= NEXT_LINE_MIN && differs(text)
}

fn differs(text: &str) -> bool {
    let letters: BTreeSet<char> = text.chars().filter(|c| *c != '\n').collect();
    letters.len() >= LETTERS_MIN
}

/// Whether the first of these keys opens a box for the others.
fn opens_box(state: &State, keys: &[Key]) -> bool {
    let meant = keys.first().map(|key| state.keymap.lookup(&[*key]));
    state.overlay.is_none() && matches!(meant, Some(Lookup::Action(action)) if action.opens_box())
}

/// Whether it is text of which a letter would act at once, before any opens a box.
fn would_act(state: &State, keys: &[Key], text: &str) -> bool {
    let count = text.chars().count();
    if state.overlay.is_some() || count < KEYS_MIN || !differs(text) {
        return false;
    }
    let mut meant = keys[..count].iter().map(|key| state.keymap.lookup(&[*key]));
    let acts = meant.find_map(|lookup| match lookup {
        Lookup::Action(action) if action.opens_box() => Some(false),
        Lookup::Action(Action::Quit | Action::Leave | Action::Suspend) => Some(true),
        Lookup::Action(action) if matches!(action.row().scope, Scope::Incident | Scope::Plan) => {
            Some(true)
        }
        _ => None,
    });
    acts == Some(true)
}
