//! After a restart: incidents from the journal, whose signals are not in it. Silence is no health, so
//! senders get their time to speak before anything is taken for over.

use std::collections::{BTreeMap, BTreeSet};

use super::{Correlator, Hearing, Held, MERGED_MAX};
use crate::engine::entities::EntityIx;
use crate::model::{Incident, IncidentId, Lane, Time};

/// Senders are given this long after a restart to tell what is still abnormal, in milliseconds: as long
/// as an alert is believed whose sender gives no end.
pub const UNHEARD_MS: i64 = 5 * 60_000;

impl Correlator {
    /// Puts back an incident from the journal; its entities find it again when they are sick.
    pub fn restore(
        &mut self,
        incident: Incident,
        members: BTreeSet<EntityIx>,
        onsets: BTreeMap<EntityIx, Time>,
        root: EntityIx,
    ) {
        for member in &members {
            self.last_incident.insert(*member, incident.id);
        }
        self.book.restore(incident, members, onsets, root);
    }

    /// Takes from the journal that an incident is part of another.
    pub fn restore_merged(&mut self, merged: IncidentId, kept: IncidentId) {
        self.merged.insert(merged, kept);
        while self.merged.len() > MERGED_MAX {
            self.merged.pop_first();
        }
    }

    /// Gives senders their time after a restart before silence is taken for an end.
    pub(super) fn wait_for_senders(&mut self, now: Time) {
        let is_waiting = |held: &Held| held.hearing == Hearing::Waiting;
        let waiting: Vec<IncidentId> = self
            .book
            .iter()
            .filter(|(_, held)| is_waiting(held))
            .map(|(id, _)| id)
            .collect();
        if waiting.is_empty() {
            return;
        }
        let is_first = self.restarted.is_none();
        let waited_ms = now.since(*self.restarted.get_or_insert(now));
        for id in waiting {
            if is_first && let Some(held) = self.book.get_mut(id) {
                let text = "restarted: its signals count as abnormal until their senders had time to speak";
                held.tell(now, Lane::Automation, None, text);
            }
            if waited_ms >= UNHEARD_MS
                && let Some(held) = self.book.peek_mut(id)
            {
                held.hearing = if held.has_signals() {
                    Hearing::Heard
                } else {
                    Hearing::Silent
                };
            }
        }
    }
}
