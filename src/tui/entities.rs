//! Choosing among the entities of an incident: the one that caused it, or those that are another story.
//! Of a cause, changes come first, those suspected before others. Then suspects, who is on the path, then whoever something was noticed of.
//!
//! Nothing is sent before Enter, and what is sent can be taken back the same way.

use crossterm::event::KeyCode;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::model::{ChangeOf, ChangeState, Command, EntityId, Incident, IncidentId, SafeText};

use super::key::Key;
use super::paint::Canvas;
use super::state::{Cursor, State};
use super::theme::Role;
use super::update::Effects;
use super::view::boxed;

/// Entities offered; the rest of a large incident is reached by the command line.
const OFFERED_MAX: usize = 40;
/// Changes offered.
const CHANGES_MAX: usize = 8;
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

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    entity: EntityId,
    /// The change it is about, if it is one: its id.
    change: Option<Box<str>>,
    /// What it is in the incident.
    why: Box<str>,
}

/// The list to choose from.
#[derive(Clone, Debug)]
pub struct Entities {
    /// What for.
    pub purpose: Purpose,
    /// Of which incident.
    pub incident: IncidentId,
    offered: Vec<Offer>,
    /// Whether a cause was named that can be taken back.
    named: bool,
    marks: BTreeSet<usize>,
    cursor: Cursor,
}

impl Offer {
    /// What is chosen: a change, or a kind of entity.
    fn kind(&self) -> &'static str {
        match self.change {
            Some(_) => "change",
            None => self.entity.kind().as_str(),
        }
    }
}

/// The changes that may have caused an incident, those suspected first, then the latest.
fn changes(incident: &Incident) -> impl Iterator<Item = Offer> {
    let mut changes: Vec<&ChangeOf> = incident.changes.iter().collect();
    changes.sort_by_key(|change| (Reverse(change.state), Reverse(change.at)));
    changes.into_iter().take(CHANGES_MAX).map(|change| Offer {
        entity: change.entity.clone(),
        change: Some(change.id.clone()),
        why: match change.state {
            ChangeState::None => change.named().into_boxed_str(),
            state => format!("{} ({})", change.named(), state.as_str()).into_boxed_str(),
        },
    })
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
        let mut offered: Vec<Offer> = Vec::new();
        if purpose == Purpose::Cause {
            offered.extend(changes(incident));
        }
        let changes = offered.len();
        for (entity, why) in suspects.chain([own]).chain(path).chain(found) {
            let is_new = offered[changes..]
                .iter()
                .all(|other| other.entity != *entity);
            if is_new && offered.len() < OFFERED_MAX {
                let (entity, change, why) = (entity.clone(), None, why.into());
                offered.push(Offer {
                    entity,
                    change,
                    why,
                });
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

    /// Whether several of them can be marked.
    pub(super) fn takes_marks(&self) -> bool {
        self.purpose == Purpose::Split
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
            let chosen = self.offered.get(at);
            let change = chosen.and_then(|offer| offer.change.clone());
            let cause = chosen.map(|offer| offer.entity.clone());
            return Some(Command::NameCause {
                incident,
                cause,
                change,
            });
        }
        let entities: Vec<EntityId> = self
            .marks
            .iter()
            .filter_map(|at| self.offered.get(*at))
            .map(|offer| offer.entity.clone())
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
                Some(offer) => row
                    .put(Role::Body, " ")
                    .column(role, &offer.entity, NAME)
                    .put(Role::Body, "  ")
                    .column(Role::Muted, offer.kind(), 10)
                    .put(Role::Body, " ")
                    .put(Role::Muted, SafeText::new(&offer.why)),
                None => row.put(role, " nobody knows: take back what was said"),
            };
            inner.row(y, &row);
        }
    }
}
