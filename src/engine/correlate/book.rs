//! The incidents held, by number, and what became of them since anybody asked.
//!
//! Work for one more alert or finding never depends on how large its incident is.

use std::collections::{BTreeMap, BTreeSet};

use super::held::{Due, Hearing, Held};
use crate::engine::entities::EntityIx;
use crate::model::{EntityId, Incident, IncidentId, Phase, Time};

/// Resolved incidents stay in view this long, in milliseconds …
const KEPT_RESOLVED_MS: i64 = 2 * 3_600_000;
/// … and at most this many.
pub const RESOLVED_MAX: usize = 200;

/// An incident that people wrote to, or that grew, is recorded no more often than this, in milliseconds.
const RECORD_LATER_MS: i64 = 15_000;

/// All incidents in view.
#[derive(Debug, Default)]
pub struct Book {
    held: BTreeMap<IncidentId, Held>,
    changed: BTreeSet<IncidentId>,
    gone: Vec<IncidentId>,
    /// Incidents as they were when they were merged into others, for the journal.
    farewells: Vec<Incident>,
    last_id: u64,
    /// How often severities rose and phases changed.
    turns: (u64, u64),
}

/// Evidence about an incident grows by itself for this long after it was opened, in milliseconds.
const YOUNG_MS: i64 = 5 * 60_000;

/// How often incidents are diagnosed, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    /// Those that changed.
    pub changed_ms: i64,
    /// Those that were opened lately, changed or not.
    pub young_ms: i64,
}

impl Book {
    /// Opens an incident rooted at `root`.
    pub fn open(&mut self, root: EntityIx, entity: EntityId, began: Time, now: Time) -> IncidentId {
        self.last_id += 1;
        let id = IncidentId(self.last_id);
        let incident = Incident::opened(id, entity, began, now);
        self.held.insert(id, Held::new(incident, root, now));
        self.record(id);
        id
    }

    /// Puts back an incident from the journal.
    pub fn restore(
        &mut self,
        incident: Incident,
        members: BTreeSet<EntityIx>,
        onsets: BTreeMap<EntityIx, Time>,
        root: EntityIx,
    ) {
        self.last_id = self.last_id.max(incident.id.0);
        let joined = incident.updated;
        let mut held = Held::new(incident, root, joined);
        held.members = members;
        held.is_pinned = !held.incident.regrouped.is_empty();
        held.onsets = onsets;
        let is_sick = matches!(held.incident.phase, Phase::Open | Phase::Acknowledged);
        if is_sick || held.incident.hidden().is_some() {
            held.hearing = Hearing::Waiting;
        }
        self.held.insert(held.incident.id, held);
    }

    /// Numbers up to this one were given before.
    pub fn resume_after(&mut self, last: IncidentId) {
        self.last_id = self.last_id.max(last.0);
    }

    /// One incident.
    pub fn get(&self, id: IncidentId) -> Option<&Held> {
        self.held.get(&id)
    }

    /// Every incident, to change; consoles are told at the end of the step.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.changed.extend(self.held.keys());
        self.held.values_mut()
    }

    /// One incident, to change; consoles are told at the end of the step.
    pub fn get_mut(&mut self, id: IncidentId) -> Option<&mut Held> {
        let held = self.held.get_mut(&id)?;
        self.changed.insert(id);
        Some(held)
    }

    /// One incident, for bookkeeping that consoles do not see.
    pub fn peek_mut(&mut self, id: IncidentId) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    /// The journal is to keep the incident as it is at the end of the step.
    pub fn record(&mut self, id: IncidentId) {
        if let Some(held) = self.get_mut(id) {
            held.pending.record = Due::Now;
        }
    }

    /// The same, but before long: what a person said is in the journal as the decision it was, and the
    /// whole incident with each of them would be many times as much.
    pub fn record_later(&mut self, id: IncidentId) {
        if let Some(held) = self.get_mut(id) {
            held.pending.record = held.pending.record.max(Due::Later);
        }
    }

    /// Has those recorded that waited long enough.
    pub fn record_due(&mut self, now: Time) {
        for (id, held) in &mut self.held {
            let waited_ms = now.since(held.recorded).abs();
            if held.pending.record == Due::Later && waited_ms >= RECORD_LATER_MS {
                held.pending.record = Due::Now;
                self.changed.insert(*id);
            }
        }
    }

    /// Incidents to diagnose now: new ones at once, changed ones not more often than `every.changed_ms`, and
    /// young ones once more after `every.young_ms`, though they did not change: evidence about them still grows.
    pub fn undiagnosed(&self, now: Time, every: Every, is_tick: bool) -> Vec<IncidentId> {
        let is_due = |held: &Held| {
            let is_young = now.since(held.incident.opened) <= YOUNG_MS;
            held.has_signals()
                && match held.diagnosed {
                    None => held.pending.diagnosis,
                    Some(at) if held.pending.diagnosis => {
                        is_tick && now.since(at) >= every.changed_ms
                    }
                    Some(at) => is_tick && is_young && now.since(at) >= every.young_ms,
                }
        };
        let mut due: Vec<(bool, Option<Time>, IncidentId)> = self
            .looked_at(is_tick)
            .filter(|held| is_due(held))
            .map(|held| (!held.pending.diagnosis, held.diagnosed, held.incident.id))
            .collect();
        // Those that changed, then the one that waited longest first, so that none starves.
        due.sort_unstable();
        due.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Incidents whose severity, title and place are to be read again: new ones at once, changed
    /// ones on a tick.
    pub fn unsummed(&mut self, now: Time, is_tick: bool) -> Vec<IncidentId> {
        let due: Vec<IncidentId> = self
            .looked_at(is_tick)
            .filter(|held| held.pending.summary && (is_tick || held.summed.is_none()))
            .map(|held| held.incident.id)
            .collect();
        for id in &due {
            if let Some(held) = self.get_mut(*id) {
                held.pending.summary = false;
                held.summed = Some(now);
            }
        }
        due
    }

    /// All open incidents on a tick; between ticks only those changed in this step.
    fn looked_at(&self, is_tick: bool) -> Box<dyn Iterator<Item = &Held> + '_> {
        if is_tick {
            Box::new(self.held.values().filter(|held| held.is_open()))
        } else {
            Box::new(self.changed.iter().filter_map(|id| self.held.get(id)))
        }
    }

    /// An incident was diagnosed; whether anything new came of it.
    pub fn note_diagnosed(&mut self, id: IncidentId, now: Time, is_news: bool) {
        let is_due = (self.get(id)).is_some_and(|held| held.pending.diagnosis);
        let held = if is_news || is_due {
            self.get_mut(id)
        } else {
            self.peek_mut(id)
        };
        if let Some(held) = held {
            held.diagnosed = Some(now);
            held.pending.diagnosis = false;
            held.pending.summary |= is_news || is_due;
        }
    }

    /// All incidents, by id.
    pub fn iter(&self) -> impl Iterator<Item = (IncidentId, &Held)> {
        self.held.iter().map(|(id, held)| (*id, held))
    }

    /// Open incidents that were opened, or that something joined, after `since`; the last opened first.
    pub fn young(&self, since: Time) -> impl Iterator<Item = &Held> {
        self.held
            .values()
            .rev()
            .filter(move |held| held.incident.opened.max(held.joined) >= since)
            .filter(|held| held.is_open() && held.is_noisy())
    }

    /// Incidents changed since the last call: their ids, each once; whether to record it.
    pub fn take_changed(&mut self, now: Time) -> Vec<(IncidentId, bool)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .filter_map(|id| {
                let held = self.held.get_mut(&id)?;
                held.incident.revision += 1;
                let (severity, phase) = (held.incident.severity, held.incident.phase);
                let seen = std::mem::replace(&mut held.seen, (severity, phase));
                self.turns.0 += u64::from(seen.0 < severity);
                self.turns.1 += u64::from(seen.1 != phase);
                held.incident.updated = now;
                let to_record = held.pending.record == Due::Now;
                if to_record {
                    held.pending.record = Due::No;
                    held.recorded = now;
                }
                Some((id, to_record))
            })
            .collect()
    }

    /// How often severities rose, and phases changed, since the start.
    pub fn turns(&self) -> (u64, u64) {
        self.turns
    }

    /// Incidents that left the view since the last call.
    pub fn take_gone(&mut self) -> Vec<IncidentId> {
        std::mem::take(&mut self.gone)
    }

    /// The journal is to keep an incident that is no longer in view.
    pub fn say_farewell(&mut self, gone: Incident) {
        self.farewells.push(gone);
    }

    /// Incidents to record that are no longer in view.
    pub fn take_farewells(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.farewells)
    }

    /// Takes an incident out of view.
    pub fn remove(&mut self, id: IncidentId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.changed.remove(&id);
        self.gone.push(id);
        Some(held)
    }

    /// Takes old resolved incidents out of view.
    pub fn expire(&mut self, now: Time) {
        let mut resolved: Vec<(Time, IncidentId)> = self
            .held
            .values()
            .filter_map(|held| Some((held.incident.resolved?, held.incident.id)))
            .collect();
        resolved.sort_unstable();
        let excess = resolved.len().saturating_sub(RESOLVED_MAX);
        for (i, (at, id)) in resolved.into_iter().enumerate() {
            if i < excess || now.since(at) > KEPT_RESOLVED_MS {
                self.remove(id);
            }
        }
    }
}
