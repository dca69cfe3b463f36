//! What a console holds, and how deltas change it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::{
    Actor, Counts, Delta, EntityId, Health, IncidentId, IncidentRow, Mode, Silence, SilenceId,
    SourceRow, Time,
};

/// Everything a console needs for its first screen. Bounded by open incidents and known entities,
/// never by alerts, series or lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// [`super::API_VERSION`].
    pub version: u32,
    /// Sequence number of the last message contained.
    pub seq: u64,
    /// Engine time.
    pub at: Time,
    /// Name of the environment watched, as the config gives it: `prod-eu`, `demo`, …
    pub environment: String,
    /// What tells this daemon from others that call their environment the same, on whatever machine; the same after a
    /// restart. Empty when it keeps nothing.
    #[serde(default)]
    pub home: String,
    /// Who the daemon takes this console for.
    pub actor: Actor,
    /// Incidents open, and resolved of late.
    pub incidents: BTreeMap<IncidentId, IncidentRow>,
    /// Entities and how they are.
    pub entities: BTreeMap<EntityId, Health>,
    /// Totals.
    pub counts: Counts,
    /// Sources by name.
    pub sources: BTreeMap<String, SourceRow>,
    /// Silences, those over of late included. Bounded by the engine.
    #[serde(default)]
    pub silences: BTreeMap<SilenceId, Silence>,
    /// An incident is over after being quiet this long, in seconds; 0 when the daemon does not say.
    #[serde(default)]
    pub closes_after_s: u32,
    /// Whether the kill switch is on.
    pub automation_stopped: bool,
    /// Whether this is the present.
    #[serde(default)]
    pub mode: Mode,
    /// Something the operator must know; empty when nothing.
    pub banner: String,
}

/// A message is missing: ask for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("message {got} after {have}: some are missing, ask for a snapshot")]
pub struct Gap {
    /// Last message applied.
    pub have: u64,
    /// Message received.
    pub got: u64,
}

impl View {
    /// What a console holds of an environment in which nothing is known yet.
    pub fn empty(environment: &str, actor: Actor, at: Time) -> Self {
        Self {
            version: super::API_VERSION,
            seq: 0,
            at,
            environment: environment.to_owned(),
            home: String::new(),
            actor,
            incidents: BTreeMap::new(),
            entities: BTreeMap::new(),
            counts: Counts::default(),
            sources: BTreeMap::new(),
            silences: BTreeMap::new(),
            closes_after_s: 0,
            automation_stopped: false,
            mode: Mode::Live,
            banner: String::new(),
        }
    }

    /// Applies one message of deltas. On a gap nothing is changed.
    pub fn apply(&mut self, seq: u64, at: Time, deltas: &[Delta]) -> Result<(), Gap> {
        if seq != self.seq + 1 {
            return Err(Gap {
                have: self.seq,
                got: seq,
            });
        }
        self.seq = seq;
        self.at = at;
        for delta in deltas {
            self.put(delta);
        }
        Ok(())
    }

    fn put(&mut self, delta: &Delta) {
        match delta {
            Delta::Incident(row) => {
                self.incidents.insert(row.id, row.clone());
            }
            Delta::IncidentGone(id) => {
                self.incidents.remove(id);
            }
            Delta::Entity(entity) => {
                self.entities.insert(entity.entity.clone(), entity.health);
            }
            Delta::EntityGone(id) => {
                self.entities.remove(id);
            }
            Delta::Counts(counts) => self.counts = *counts,
            Delta::Source(row) => {
                self.sources.insert(row.name.clone(), row.clone());
            }
            Delta::Silence(silence) => {
                self.silences.insert(silence.id, (**silence).clone());
            }
            Delta::SilenceGone(id) => {
                self.silences.remove(id);
            }
            Delta::Automation { stopped } => self.automation_stopped = *stopped,
            Delta::Mode(mode) => self.mode = *mode,
            Delta::Banner(text) => self.banner.clone_from(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    fn view() -> View {
        let mia = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        View {
            seq: 7,
            ..View::empty("test", mia, Time::ZERO)
        }
    }

    #[test]
    fn a_gap_changes_nothing() {
        let mut held = view();
        let banner = [Delta::Banner("x".to_owned())];
        assert_eq!(
            held.apply(9, Time::from_ms(1), &banner),
            Err(Gap { have: 7, got: 9 })
        );
        assert_eq!(held, view());
    }

    #[test]
    fn the_next_message_is_applied() {
        let mut held = view();
        held.apply(8, Time::from_ms(1), &[Delta::Automation { stopped: true }])
            .unwrap();
        let expected = View {
            seq: 8,
            at: Time::from_ms(1),
            automation_stopped: true,
            ..view()
        };
        assert_eq!(held, expected);
    }
}
