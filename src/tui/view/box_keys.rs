//! The footer while something lies over the screen: the keys that do something there. Those of the screen below are
//! dead meanwhile, and are never shown then.

use crate::tui::action::Action;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Approval, Confirm, Deed, Overlay, State};
use crate::tui::theme::Role;

/// A key, and what it does in a word or two.
type Hint = (String, &'static str);

/// Keys of fields and buttons, the same in every keymap.
const ENTER: &str = "enter";
const ESC: &str = "esc";
const NEXT: &str = "tab";

/// Whether the line of the footer stays free below it: what is typed on the last line stands in its place.
pub(super) const fn leaves_footer(overlay: &Overlay) -> bool {
    !matches!(
        overlay,
        Overlay::Filter { .. } | Overlay::Prompt { .. } | Overlay::Refused(_)
    )
}

/// Draws them.
pub(super) fn draw(state: &State, overlay: &Overlay, canvas: &mut Canvas<'_>) {
    let mut row = Row::new();
    for (key, word) in hints(state, overlay) {
        let cell = Row::new()
            .put(Role::Body, " ")
            .put(Role::Key, key)
            .put(Role::Muted, " ")
            .put(Role::Body, word)
            .put(Role::Body, " ");
        row = row.join_if_fits(cell, canvas.width());
    }
    canvas.row(0, &row);
}

/// How to leave comes first: it is never what is cut.
fn hints(state: &State, overlay: &Overlay) -> Vec<Hint> {
    let key = |name: &str, word| (name.to_owned(), word);
    let of = |action, word| (state.keymap.keys(action).unwrap_or_default(), word);
    let mut hints = vec![key(ESC, "leave")];
    hints.extend(match overlay {
        Overlay::Filter { .. } | Overlay::Prompt { .. } | Overlay::Refused(_) => Vec::new(),
        Overlay::Palette { .. } | Overlay::Help { .. } => {
            vec![key(ENTER, "do it"), key(NEXT, "next")]
        }
        Overlay::Runbooks { .. } => vec![key(ENTER, "propose"), key(NEXT, "next")],
        Overlay::Why { .. } => vec![of(Action::Down, "on"), of(Action::Copy, "copy")],
        Overlay::Note { .. } => vec![key(ENTER, "save"), key("alt-enter", "new line")],
        Overlay::Approval(dialog) => in_approval(state, dialog),
        Overlay::Confirm { what, .. } => {
            let mut hints = vec![of(Action::NextPane, "button"), key(ENTER, "press")];
            if matches!(what, Confirm::KillSwitch { .. }) {
                hints.push(of(Action::KillSwitch, "do it"));
            }
            hints
        }
        Overlay::Settle { plan, run, .. } => {
            let mut hints = if state.is_settled(*plan, *run).is_some() {
                Vec::new()
            } else {
                vec![of(Action::Down, "move"), key(ENTER, "say so")]
            };
            let plan = state.details.plan(*plan);
            if plan.is_some_and(|plan| plan.runs_unheard().is_some()) {
                hints.push(of(Action::RollBack, "stop it"));
            }
            hints
        }
        Overlay::Silence(_) => vec![key(NEXT, "next line"), key(ENTER, "next, or make it")],
        Overlay::Silences(_) => vec![
            of(Action::Down, "move"),
            key(ENTER, "end it"),
            of(Action::Silence, "make one"),
        ],
        Overlay::Desk(desk) if desk.is_typing() => vec![key(ENTER, "say so")],
        Overlay::Desk(_) => vec![of(Action::Down, "move"), key(ENTER, "change")],
        Overlay::Entities(list) => {
            let mut hints = vec![of(Action::Down, "move"), key(ENTER, "say so")];
            if list.takes_marks() {
                hints.push(key("space", "mark"));
            }
            hints
        }
        Overlay::Links(_) => vec![of(Action::Down, "move"), key(ENTER, "copy")],
    });
    hints
}

fn in_approval(state: &State, dialog: &Approval) -> Vec<Hint> {
    let of = |action, word| (state.keymap.keys(action).unwrap_or_default(), word);
    // Letters are part of the name while one is asked for.
    let is_live = dialog.is_live() && state.dead(dialog).is_none();
    let names = is_live && dialog.wants_name();
    let mut hints = vec![if names {
        ("down".to_owned(), "read on")
    } else {
        of(Action::Down, "read on")
    }];
    if is_live {
        hints.push(of(Action::NextPane, "button"));
        hints.push((ENTER.to_owned(), "press"));
    }
    if is_live && !names {
        hints.push(match dialog.deed {
            Deed::Approve => of(Action::Approve, "approve"),
            Deed::RollBack => of(Action::RollBack, "roll back"),
        });
    }
    hints
}
