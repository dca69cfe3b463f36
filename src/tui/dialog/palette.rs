//! Boxes of rows that typing narrows: the palette, the themes in it, the help, and runbooks. What Enter does
//! is one of the rows shown; typing alone never does anything.

use crossterm::event::KeyCode;

use crate::api::RunbookRow;
use crate::api::filter;
use crate::model::{Command, EntityId, IncidentId, IncidentRow};
use crate::tui::act;
use crate::tui::action::{ACTIONS, Action};
use crate::tui::field::Field;
use crate::tui::help::HelpRow;
use crate::tui::key::Key;
use crate::tui::state::{Cursor, Fit, State, Step, fit};
use crate::tui::theme::{Role, Theme};
use crate::tui::update::Effects;

use super::Then;

/// What fits what was typed, the best first. When nothing was: what does something, before what moves about,
/// which fingers know.
pub(in crate::tui) fn palette_rows(typed: &str) -> Vec<HelpRow> {
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
    if typed.is_empty() {
        fits.sort_by_key(|(_, action)| std::cmp::Reverse(action.row().scope));
    } else {
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

pub(super) fn palette_row(field: &Field, cursor: &Cursor) -> Option<HelpRow> {
    let rows = palette_rows(field.text());
    let at = cursor.at(rows.len());
    rows.into_iter().nth(at)
}

/// Shows the theme under the cursor, and the one before when there is none or the palette is left.
pub(super) fn preview(
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

pub(super) fn in_palette(
    state: &mut State,
    (field, cursor): (&mut Field, &mut Cursor),
    chosen: Option<HelpRow>,
    key: Key,
    effects: &mut Effects,
) -> Then {
    match narrowed((field, cursor), key) {
        Narrowed::Left => return Then::Close,
        Narrowed::Stayed => return Then::Stay,
        Narrowed::Taken => {}
    }
    match chosen {
        Some(HelpRow::Key(action)) => act::perform(state, action, effects),
        Some(HelpRow::Theme(name)) => {
            wear(state, name);
            state.tell(Role::Muted, &format!("Theme: {name}"));
        }
        // On a word there is nothing to do but read it.
        _ => return Then::Stay,
    }
    Then::Close
}

pub(super) fn in_runbooks(
    state: &mut State,
    incident: IncidentId,
    (field, cursor): (&mut Field, &mut Cursor),
    key: Key,
    effects: &mut Effects,
) -> Then {
    match narrowed((field, cursor), key) {
        Narrowed::Left => return Then::Close,
        Narrowed::Stayed => return Then::Stay,
        Narrowed::Taken => {}
    }
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
    Then::Close
}

/// What a key did to a box of rows that typing narrows.
enum Narrowed {
    Left,
    /// The row under the cursor is chosen.
    Taken,
    /// The cursor moved, or other rows fit.
    Stayed,
}

fn narrowed((field, cursor): (&mut Field, &mut Cursor), key: Key) -> Narrowed {
    match key.code {
        KeyCode::Esc => return Narrowed::Left,
        KeyCode::Enter => return Narrowed::Taken,
        _ => {}
    }
    if !choosing(cursor, key) {
        field.key(key);
        *cursor = Cursor::default();
    }
    Narrowed::Stayed
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
pub(in crate::tui) fn runbook_rows<'a>(
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
pub(in crate::tui) fn target(row: &IncidentRow) -> EntityId {
    match &row.suspect {
        Some((suspect, _)) => suspect.clone(),
        None => row.entity.clone(),
    }
}
