//! Choosing among the entities of an incident: the one that caused it, or those that are another story.
//! Suspects come first, then who is on the path, then whoever something was noticed of.
//!
//! Nothing is sent before Enter, and what is sent can be taken back the same way.

use crossterm::event::KeyCode;
use std::collections::BTreeSet;

use crate::model::{Command, EntityId, Incident, IncidentId, SafeText};

use super::key::Key;
use super::paint::Canvas;
use super::state::{Cursor, State};
use super::theme::Role;
use super::update::Effects;
use super::view::boxed;

/// Entities offered; the rest of a large incident is reached by the command line.
const OFFERED_MAX: usize = 40;
/// Cells of the name of an entity.
const NAME: usize = 28;

/// What the entities are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// One of them caused the incident, or none is said to any more.
    Cause,
    /// Those marked become an incident of their own.
    Split,
}

/// The list to choose from.
#[derive(Clone, Debug)]
pub struct Entities {
    /// What for.
    pub purpose: Purpose,
    /// Of which incident.
    pub incident: IncidentId,
    offered: Vec<(EntityId, &'static str)>,
    /// Whether a cause was named that can be taken back.
    named: bool,
    marks: BTreeSet<usize>,
    cursor: Cursor,
}

impl Entities {
    /// The entities of an incident.
    pub(super) fn of(purpose: Purpose, incident: &Incident) -> Self {
        let suspects = incident.diagnosis.hypotheses.iter();
        let suspects = suspects.map(|h| (&h.suspect, "suspect"));
        let path = incident
            .path_nodes
            .iter()
            .filter(|n| !n.is_beside)
            .map(|n| (&n.entity, "on the path"));
        let found = incident.findings.iter().map(|f| (&f.entity, "was odd"));
        let own = (&incident.entity, "hurts most");
        let mut offered: Vec<(EntityId, &'static str)> = Vec::new();
        for (entity, why) in suspects.chain([own]).chain(path).chain(found) {
            let is_new = offered.iter().all(|(other, _)| other != entity);
            if is_new && offered.len() < OFFERED_MAX {
                offered.push((entity.clone(), why));
            }
        }
        Self {
            purpose,
            incident: incident.id,
            offered,
            named: incident.cause.is_some() && purpose == Purpose::Cause,
            marks: BTreeSet::new(),
            cursor: Cursor::default(),
        }
    }

    fn len(&self) -> usize {
        self.offered.len() + usize::from(self.named)
    }

    /// Takes a key; `true` when the list is done with.
    pub(super) fn key(&mut self, state: &mut State, key: Key, effects: &mut Effects) -> bool {
        if let Some(step) = super::dialog::step_of(state, key) {
            self.cursor.step(step);
            return false;
        }
        match key.code {
            KeyCode::Esc => return true,
            KeyCode::Char(' ') if self.purpose == Purpose::Split => {
                let at = self.cursor.at(self.len());
                if !self.marks.remove(&at) {
                    self.marks.insert(at);
                }
            }
            KeyCode::Enter => {
                let Some(command) = self.command() else {
                    state.tell(Role::Warn, "Space marks what goes; at least one must stay.");
                    return false;
                };
                effects.command(command);
                return true;
            }
            _ => {}
        }
        false
    }

    /// What is asked for; nothing when nothing, or everything, would be split off.
    fn command(&self) -> Option<Command> {
        let incident = self.incident;
        let at = self.cursor.at(self.len());
        if self.purpose == Purpose::Cause {
            let cause = self.offered.get(at).map(|(entity, _)| entity.clone());
            return Some(Command::NameCause { incident, cause });
        }
        let entities: Vec<EntityId> = self
            .marks
            .iter()
            .filter_map(|at| self.offered.get(*at))
            .map(|(entity, _)| entity.clone())
            .collect();
        let some = !entities.is_empty() && entities.len() < self.offered.len();
        some.then_some(Command::Split { incident, entities })
    }

    /// Draws the list as a dialog.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>) {
        let id = self.incident;
        let title = match self.purpose {
            Purpose::Cause => format!("What caused {id}? Enter says so, Esc leaves"),
            Purpose::Split => {
                format!("What of {id} is another story? Space marks, Enter splits, Esc leaves")
            }
        };
        let len = self.len();
        let mut inner = boxed(canvas, &SafeText::new(&title), len as u16);
        let at = self.cursor.at(len);
        for (y, i) in self.cursor.window(len, inner.height()).enumerate() {
            let role = if i == at {
                Role::Selection
            } else {
                Role::Title
            };
            let mark = if self.marks.contains(&i) {
                super::glyph::MARK
            } else {
                " "
            };
            let row = super::view::cursor_mark(i == at, true).put(Role::Key, mark);
            let row = match self.offered.get(i) {
                Some((entity, why)) => row
                    .put(Role::Body, " ")
                    .column(role, entity, NAME)
                    .put(Role::Body, "  ")
                    .column(Role::Muted, entity.kind().as_str(), 10)
                    .put(Role::Body, " ")
                    .put(Role::Muted, *why),
                None => row.put(role, " nobody knows: take back what was said"),
            };
            inner.row(y, &row);
        }
    }
}
