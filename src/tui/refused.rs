//! What is typed after an action that was refused. The action would have opened a box, so that the keys that
//! follow were meant for it: they are swallowed until Enter or Esc, and never act on the screen below. A key that
//! moves, and can be no letter of a text, moves all the same.

use crossterm::event::KeyCode;
use ratatui::layout::Rect;

use crate::model::SafeText;

use super::act;
use super::action::Action;
use super::key::Key;
use super::keymap::Lookup;
use super::paint::{Canvas, Row, wrap};
use super::state::{Overlay, State};
use super::theme::Role;
use super::update::{Effects, lay_over};

/// Most lines of a reason.
const WHY_ROWS_MAX: usize = 4;
/// Below the reason.
const HINT: &str = " Nothing typed here goes anywhere: Enter or Esc leaves.";

/// An action that was refused, which has the keys in place of the box that it would have opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    action: Action,
    why: SafeText,
    /// Nothing was typed yet, so that the same key again means the action again.
    is_fresh: bool,
}

/// Tells why an action is not performed.
pub(super) fn tell(state: &mut State, action: Action, why: &str) {
    let why = format!("{}: {why}", action.row().name);
    if !action.opens_box() {
        return state.tell(Role::Warn, &why);
    }
    let refused = Refused {
        action,
        why: SafeText::new(&why),
        is_fresh: true,
    };
    lay_over(state, Overlay::Refused(refused));
}

impl Refused {
    /// Takes a key; `true` when it is done with.
    pub(super) fn key(&mut self, state: &mut State, key: Key, effects: &mut Effects) -> bool {
        let again = state.keymap.lookup(&[key]) == Lookup::Action(self.action);
        match key.code {
            KeyCode::Enter | KeyCode::Esc => return true,
            _ if again && self.is_fresh => act::perform(state, self.action, effects),
            _ => match self.moves(state, key) {
                Some(action) => {
                    act::perform(state, action, effects);
                    return true;
                }
                None => self.is_fresh = false,
            },
        }
        false
    }

    /// The move that a key asks for, where it cannot have been meant for the box: an arrow is no letter, and of a
    /// box that takes no text the first letter may be a move.
    fn moves(&self, state: &State, key: Key) -> Option<Action> {
        let Lookup::Action(action) = state.keymap.lookup(&[key]) else {
            return None;
        };
        let may_be_text = key.typed().is_some() && (self.action.takes_text() || !self.is_fresh);
        (action.moves() && !may_be_text).then_some(action)
    }

    /// Draws the reason on the lowest lines.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>) {
        let area = canvas.area();
        let lines = wrap(&self.why, canvas.width().saturating_sub(2));
        let shown = lines.len().min(WHY_ROWS_MAX);
        let height = area.height.min(shown as u16 + 1);
        let mut part = canvas.part(Rect {
            y: area.bottom() - height,
            height,
            ..area
        });
        part.clear();
        for (y, line) in lines.into_iter().take(shown).enumerate() {
            part.row(y, &Row::new().put(Role::Body, " ").put(Role::Warn, line));
        }
        part.row(shown, &Row::new().put(Role::Muted, HINT));
    }
}
