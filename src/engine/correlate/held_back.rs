//! How much of an incident fires and is held back, or is not heard of any more: neither makes anything be over.
//!
//! Counts, and repeats what the stages of holding say; decides nothing about what is held back.

use super::held::Held;
use super::{Correlator, Hearing, World};
use crate::engine::alerts::Alerts;
use crate::model::{Fingerprint, HeldBack, IncidentId, Time};

/// Alerts of one incident looked at.
const COUNTED_MAX: usize = 4_096;

impl Correlator {
    /// How many alerts of an incident fire without being counted and what keeps them so, and how many are counted of
    /// which nobody knows whether they do.
    pub(super) fn count_held_back(&mut self, id: IncidentId, world: &World<'_>) {
        let Some(held) = self.book.get(id) else {
            return;
        };
        let known = &held.incident;
        let found = Withheld::of(id, world);
        if held.hearing == Hearing::Waiting && known.held.is_some() && found.longest.is_none() {
            // What fired before a restart has not been told of again.
            return;
        }
        let is_same = (known.impact.alerts_held, known.impact.alerts_unheard)
            == (found.held_back, found.unheard)
            && known.held.as_deref() == found.longest.as_ref();
        if is_same {
            return;
        }
        if let Some(held) = self.book.get_mut(id) {
            let was_hidden = held.incident.hidden().is_some();
            held.incident.impact.alerts_held = found.held_back;
            held.incident.impact.alerts_unheard = found.unheard;
            held.incident.held = found.longest.map(Box::new);
            if was_hidden && held.hearing == Hearing::Heard {
                held.calm_after_all(world.now);
            }
        }
    }

    /// An alert fires and is held back from the beginning: after a restart it may be what was hidden before.
    pub fn on_alert_hidden(&mut self, fingerprint: Fingerprint, world: &mut World<'_>) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        if self.restarted().is_none() || alert.incident.is_some() {
            return;
        }
        let was_hidden = |held: &Held| {
            let is_waiting = held.hearing == Hearing::Waiting && held.incident.hidden().is_some();
            is_waiting && held.members.contains(&alert.entity)
        };
        let hidden = self.book.iter().find(|(_, held)| was_hidden(held));
        if let Some(id) = hidden.map(|(id, _)| id) {
            world.alerts.attach(fingerprint, id);
            self.count_held_back(id, world);
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

/// What is not told of an incident's alerts.
#[derive(Default)]
struct Withheld {
    held_back: u32,
    unheard: u32,
    /// What holds one of them back for longest.
    longest: Option<HeldBack>,
}

impl Withheld {
    fn of(id: IncidentId, world: &World<'_>) -> Self {
        let alerts = &*world.alerts;
        let mut found = Self::default();
        let mut longest: Option<((bool, Option<Time>), Fingerprint)> = None;
        for alert in alerts.of_incident(id, None).take(COUNTED_MAX) {
            let is_counted = alerts.counts_as_firing(alert);
            let is_lost = alerts.get(alert).is_some_and(|held| held.lost.is_some());
            found.unheard += u32::from(is_counted && is_lost);
            if is_counted || !alerts.fires(alert) {
                continue;
            }
            found.held_back += 1;
            let until = world.holds.until(alert);
            let ends = (until.is_none(), until);
            // Of those that end together the first stays, so that words do not change without need.
            if longest.is_none_or(|(latest, _)| ends > latest) {
                longest = Some((ends, alert));
            }
        }
        found.longest = longest.and_then(|(_, alert)| world.holds.told(alert));
        found
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
