//! The page of an incident that is in no list any more: it was merged into another while somebody looked at
//! it or spoke of it, or is over for so long that it made room. The page says which, and leads on.

use crate::model::{IncidentId, Phase};
use crate::tui::link::Request;

use super::{Screen, State};

/// Why the incident on screen is in no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It is part of another, which is in the list.
    Merged(IncidentId),
    /// It is over, and made room.
    Over,
    /// It is being asked for.
    Asked,
    /// The daemon knows of none, or cannot say.
    Unknown(String),
}

impl State {
    /// Why the incident on screen is in no list; `None` when it is in one, or its past is looked at.
    pub fn gone(&self) -> Option<Gone> {
        let Screen::Incident(id) = self.place.screen else {
            return None;
        };
        let listed = &self.feed.shown()?.incidents;
        if listed.contains_key(&id) || self.travel.is_some() {
            return None;
        }
        let home = self.details.home(id);
        let held = self.details.get(home).map(|detail| &detail.incident);
        Some(if home != id && listed.contains_key(&home) {
            Gone::Merged(home)
        } else if let Some(why) = self.details.failure(home) {
            Gone::Unknown(why.to_owned())
        } else if held.is_some_and(|held| held.phase == Phase::Resolved) {
            Gone::Over
        } else {
            Gone::Asked
        })
    }

    /// What must be asked for to know that, once; an answer from before it was gone does not count.
    pub fn wanted_of_gone(&mut self) -> Option<Request> {
        let (Some(Gone::Asked), Screen::Incident(id)) = (self.gone(), self.place.screen) else {
            return None;
        };
        let home = self.details.home(id);
        let held = self.details.get(home).map(|detail| &detail.incident);
        let revision = held.map_or(0, |held| held.revision + 1);
        self.details.wanted_aside(home, revision, self.now)
    }
}
