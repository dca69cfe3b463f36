//! How much of an incident fires and is held back: a silence makes nothing be over.
//!
//! Counts only; what is held back, and why, is for the stages of holding to say.

use super::Correlator;
use crate::engine::alerts::Alerts;
use crate::model::{Fingerprint, IncidentId};

/// Alerts of one incident looked at.
const COUNTED_MAX: usize = 4_096;

impl Correlator {
    /// How many alerts of an incident fire without being counted.
    pub(super) fn count_held_back(&mut self, id: IncidentId, alerts: &Alerts) {
        let of_incident = alerts.of_incident(id, None).take(COUNTED_MAX);
        let is_held =
            |alert: &Fingerprint| alerts.fires(*alert) && !alerts.counts_as_firing(*alert);
        let count = of_incident.filter(is_held).count() as u32;
        let known = self
            .book
            .get(id)
            .map(|held| held.incident.impact.alerts_held);
        if known.is_some_and(|known| known != count)
            && let Some(held) = self.book.get_mut(id)
        {
            held.incident.impact.alerts_held = count;
        }
    }
}
