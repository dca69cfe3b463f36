//! From a node of the path, or any row that is about one entity, to that entity's metrics, logs and
//! traces, and to the pages its team keeps of it.
//!
//! Links are copied, never opened: the console runs where the responder logged in, not where they read.

use crossterm::event::KeyCode;

use crate::model::{EntityId, SafeText};

use super::key::Key;
use super::paint::{Canvas, Row, wrap};
use super::state::{Cursor, Node, Overlay, Screen, State, Tab};
use super::theme::Role;
use super::update::{Effects, TerminalOp, lay_over};
use super::view::boxed;

/// Links offered; more than this nobody keeps.
const LINKS_MAX: usize = 40;
/// Cells of the name of a link.
const NAME: usize = 16;
/// Panes that show one node instead of all.
pub(super) const TABS: [Tab; 3] = [Tab::Metrics, Tab::Logs, Tab::Traces];

/// The entity that the row under the cursor is about.
fn here(state: &State) -> Option<EntityId> {
    let incident = &state.detail()?.incident;
    let at = |tab, len| state.cursor(tab).at(len);
    match state.place.tab {
        Tab::Path => {
            let rows = super::view::path_rows(state, incident);
            let row = rows.get(at(Tab::Path, rows.len()))?;
            Some(row.entity.clone())
        }
        Tab::Timeline => {
            let entries = super::view::timeline_entries(state, incident);
            let entry = entries.get(at(Tab::Timeline, entries.len()))?;
            entry.entity.clone()
        }
        Tab::Metrics => {
            let chart = super::view::chart_here(state)?;
            Some(chart.entity.clone())
        }
        Tab::Logs => {
            let rows = super::view::log_rows(state);
            let group = rows.get(at(Tab::Logs, rows.len()))?;
            Some(group.entity.clone())
        }
        Tab::Why | Tab::Traces | Tab::Actions => Some(incident.entity.clone()),
    }
}

/// Shows only the node under the cursor in the panes that can, or all again when it is shown already.
pub(super) fn narrow(state: &mut State) {
    let Screen::Incident(id) = state.place.screen else {
        return state.tell(Role::Muted, "Open an incident first.");
    };
    if state.travel.is_some() {
        return state.tell(Role::Muted, "Of the past all is shown together.");
    }
    let Some(entity) = here(state) else {
        return state.tell(Role::Muted, "This row is about no single node.");
    };
    if state
        .node
        .as_ref()
        .is_some_and(|node| node.entity == entity)
    {
        return widen(state);
    }
    state.node = Some(Node::new(id, entity));
    rest(state);
    if !TABS.into_iter().any(|tab| state.shows(tab)) {
        state.place.go(Screen::Incident(id), Tab::Metrics);
    }
}

/// Shows all of the incident again.
pub(super) fn widen(state: &mut State) {
    state.node = None;
    rest(state);
}

fn rest(state: &mut State) {
    for tab in TABS {
        *state.cursor_mut(tab) = Cursor::default();
    }
}

/// Pages about a node.
#[derive(Clone, Debug)]
pub struct Links {
    of: EntityId,
    pages: Vec<(SafeText, String)>,
    cursor: Cursor,
}

/// Lays the links of the node under the cursor over the screen.
pub(super) fn links(state: &mut State) {
    let of = here(state).filter(|_| matches!(state.place.screen, Screen::Incident(_)));
    let Some(of) = of else {
        return state.tell(
            Role::Muted,
            "Open an incident, and go to a node of its path.",
        );
    };
    let nodes = state.detail().map(|detail| &detail.incident.path_nodes);
    let node = nodes.and_then(|nodes| nodes.iter().find(|node| node.entity == of));
    let pages: Vec<(SafeText, String)> = node
        .map(|node| node.links.iter().take(LINKS_MAX))
        .into_iter()
        .flatten()
        .map(|(what, at)| (SafeText::new(what), SafeText::new(at).to_string()))
        .collect();
    if pages.is_empty() {
        let text = format!(
            "No page about {} is known; [[entities]] links names them.",
            of.name()
        );
        return state.tell(Role::Muted, &text);
    }
    let cursor = Cursor::default();
    lay_over(state, Overlay::Links(Links { of, pages, cursor }));
}

impl Links {
    /// Takes a key; `true` when the list is done with.
    pub(super) fn key(&mut self, state: &mut State, key: Key, effects: &mut Effects) -> bool {
        if let Some(step) = super::dialog::step_of(state, key) {
            self.cursor.step(step);
            return false;
        }
        match key.code {
            KeyCode::Esc => true,
            KeyCode::Enter | KeyCode::Char('y') => {
                if let Some((what, at)) = self.pages.get(self.cursor.at(self.pages.len())) {
                    effects.terminal.push(TerminalOp::Copy(at.clone()));
                    state.tell(
                        Role::Muted,
                        &format!("Copied: {what} of {}.", self.of.name()),
                    );
                }
                true
            }
            _ => false,
        }
    }

    /// Draws the list as a dialog; the whole of the link under the cursor stands below.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>) {
        let title = format!("Pages about {}: Enter copies, Esc leaves", self.of.name());
        let len = self.pages.len();
        let at = self.cursor.at(len);
        let width = canvas.width().saturating_sub(NAME);
        let whole = self
            .pages
            .get(at)
            .map(|(_, at)| wrap(&SafeText::new(at), width));
        let whole = whole.unwrap_or_default();
        let mut inner = boxed(
            canvas,
            &SafeText::new(&title),
            (len + whole.len() + 1) as u16,
        );
        let listed = inner.height().saturating_sub(whole.len() + 1);
        for (y, i) in self.cursor.window(len, listed).enumerate() {
            let (what, at_page) = &self.pages[i];
            let role = if i == at {
                Role::Selection
            } else {
                Role::Title
            };
            let row = super::view::cursor_mark(i == at, true)
                .column(role, what.clone(), NAME)
                .put(Role::Body, " ")
                .put(Role::Muted, SafeText::new(at_page));
            inner.row(y, &row);
        }
        for (y, line) in whole.into_iter().enumerate() {
            let row = Row::new().put(Role::Body, " ").put(Role::Body, line);
            inner.row(listed + 1 + y, &row);
        }
    }
}
