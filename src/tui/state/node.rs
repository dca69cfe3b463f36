//! The one node whose metrics, logs and traces are shown instead of the whole incident's, while somebody
//! looks at it. It asks only for what is on screen, and never mixes the two.

use crate::api::Panels;
use crate::model::{EntityId, IncidentId, Time};
use crate::tui::link::Request;

use super::State;

/// What is on screen is renewed with the first news after this long, in milliseconds: they come every five
/// seconds at the latest.
const EVERY_MS: i64 = 4_500;
/// After a failed request, how long until it is tried again, in milliseconds.
const RETRY_MS: i64 = 2_000;

/// A node looked at.
#[derive(Debug)]
pub struct Node {
    /// Of which incident.
    pub incident: IncidentId,
    /// Which.
    pub entity: EntityId,
    /// Its charts, logs and traces, when they have arrived.
    pub panels: Option<Box<Panels>>,
    /// Why they could not be had, if so.
    pub failed: Option<String>,
    in_flight: bool,
    not_before: Time,
}

impl Node {
    /// One that nothing is known of yet.
    pub fn new(incident: IncidentId, entity: EntityId) -> Self {
        Self {
            incident,
            entity,
            panels: None,
            failed: None,
            in_flight: false,
            not_before: Time::ZERO,
        }
    }

    /// Whether an answer, or a failure, is about it.
    pub fn is(&self, incident: IncidentId, entity: Option<&EntityId>) -> bool {
        self.incident == incident && Some(&self.entity) == entity
    }

    /// What to ask for so that it is on screen as it is, while it is `lasting`.
    pub fn wanted(&mut self, lasting: bool, now: Time) -> Option<Request> {
        let outdated = self.panels.is_none() || lasting;
        if self.in_flight || now < self.not_before || !outdated {
            return None;
        }
        self.in_flight = true;
        self.not_before = now.plus_ms(EVERY_MS);
        Some(Request::Panels {
            incident: self.incident,
            entity: Some(self.entity.clone()),
        })
    }

    /// Takes an answer; `true` when it says anything new.
    pub fn put(&mut self, panels: Box<Panels>) -> bool {
        let is_new = self.failed.is_some() || self.panels.as_ref() != Some(&panels);
        (self.in_flight, self.failed) = (false, None);
        self.panels = Some(panels);
        is_new
    }

    /// Takes the failure of a request.
    pub fn fail(&mut self, why: String, now: Time) {
        (self.in_flight, self.failed) = (false, Some(why));
        self.not_before = now.plus_ms(RETRY_MS);
    }

    /// Forgets what was asked for: the connection it was asked on is gone.
    pub fn reconnect(&mut self) {
        (self.in_flight, self.not_before) = (false, Time::ZERO);
    }
}

impl State {
    /// The node shown alone in the panes that can, while its incident's present is looked at.
    pub fn narrowed(&self) -> Option<&Node> {
        let here = |node: &&Node| Some(node.incident) == self.looked_at();
        self.node
            .as_ref()
            .filter(here)
            .filter(|_| self.travel.is_none())
    }
}
