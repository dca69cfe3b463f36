//! How much of an incident fires and is held back, or is not heard of any more: neither makes anything be over.
//!
//! Counts only; what is held back, and why, is for the stages of holding to say.

use super::{Correlator, World};
use crate::engine::alerts::Alerts;
use crate::model::{Fingerprint, Impact, IncidentId};

/// Alerts of one incident looked at.
const COUNTED_MAX: usize = 4_096;

impl Correlator {
    /// How many alerts of an incident fire without being counted, and how many are counted of which nobody knows
    /// whether they do.
    pub(super) fn count_held_back(&mut self, id: IncidentId, alerts: &Alerts) {
        let (mut held_back, mut unheard) = (0, 0);
        for alert in alerts.of_incident(id, None).take(COUNTED_MAX) {
            let is_counted = alerts.counts_as_firing(alert);
            held_back += u32::from(alerts.fires(alert) && !is_counted);
            let is_lost = alerts.get(alert).is_some_and(|held| held.lost.is_some());
            unheard += u32::from(is_counted && is_lost);
        }
        let known = self.book.get(id).map(|held| held.incident.impact);
        let is_other =
            |known: &Impact| (known.alerts_held, known.alerts_unheard) != (held_back, unheard);
        if known.as_ref().is_some_and(is_other)
            && let Some(held) = self.book.get_mut(id)
        {
            held.incident.impact.alerts_held = held_back;
            held.incident.impact.alerts_unheard = unheard;
        }
    }

    /// What became of an alert that goes on counting as it did; `words` go on after its name.
    pub fn tell_of_alert(&mut self, fingerprint: Fingerprint, words: &str, world: &World<'_>) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        if let Some(held) = alert.incident.and_then(|id| self.book.get_mut(id)) {
            let text = format!("{} {words}", alert.name());
            held.tell_of_alert(&text, world.entities.id(alert.entity).clone(), world.now);
        }
    }
}

/// Whether any alert of an incident is over without its sender having said so.
pub(super) fn ended_unsaid(id: IncidentId, alerts: &Alerts) -> bool {
    let is_unsaid = |alert: Fingerprint| {
        let held = alerts.get(alert);
        held.is_some_and(|held| !held.firing && held.unsaid.is_some())
    };
    let mut of_incident = alerts.of_incident(id, None).take(COUNTED_MAX);
    of_incident.any(is_unsaid)
}
