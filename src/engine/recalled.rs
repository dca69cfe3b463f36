//! What senders told before a restart: alerts that fire, handed out to be kept and taken back as they were.
//!
//! An alert taken back is neither sent again nor new: it keeps the time at which it came, and the end it
//! was given. One whose end has passed meanwhile is not taken back, and not over either: its sender could
//! not be heard, so the incident waits as `correlate::restarted` says.

use super::Engine;
use super::alerts::{AlertState, Times};
use super::entities;
use super::set_back::PAUSE_MS;
use crate::model::{Alert, EntityId, EntityKind, Fingerprint, FiringAlert, Labels, Recalled, Time};

impl Engine {
    /// Alerts that fire, in order of fingerprint, at most `count` after `after`.
    pub(super) fn firing_alerts(
        &self,
        after: Option<Fingerprint>,
        count: usize,
    ) -> Vec<FiringAlert> {
        let firing = self.alerts.iter(after).filter(|(_, held)| held.firing);
        let rows = firing.take(count);
        rows.map(|(id, held)| self.as_it_came(id, held)).collect()
    }

    /// Takes back what was told before a restart.
    pub(super) fn take_recalled(&mut self, recalled: &Recalled) {
        let away_ms = recalled.heard.map(|heard| self.now.since(heard));
        if away_ms.is_some_and(|ms| ms.abs() <= PAUSE_MS) {
            self.plans.were_watched();
        }
        for change in &recalled.changes {
            self.put_change(change);
        }
        for held in &recalled.alerts {
            if held.alert.ends_at > self.now || held.unheard.is_some() {
                self.take_back(held);
            }
        }
    }

    /// Takes back what was told before a restart into an engine that is still in the past, so that the
    /// next start finds it in the checkpoint as it is at `at`.
    pub fn keep_recalled(&mut self, recalled: &Recalled, at: Time) {
        let past = std::mem::replace(&mut self.now, at);
        self.take_recalled(recalled);
        self.now = past;
    }

    fn take_back(&mut self, firing: &FiringAlert) {
        let (alert, came) = (&firing.alert, firing.came.min(self.now));
        // What was not believed of it was counted when it came.
        let (times, _) = Times::of(alert, came, self.alert_timeout_ms());
        self.put_alert(alert, times, came);
        let source = firing.source.as_ref();
        let source = source.map(|source| self.silence.place(source));
        let alerts = &self.alerts;
        self.twins.know_again(alert, source, times.onset, alerts);
        let sender = source.map(|source| self.senders.of(source, alert));
        let told_at = firing.told_at.unwrap_or(came).min(self.now);
        self.alerts.sent_by(alert.fingerprint, sender, told_at);
        if let Some(silenced) = &firing.unheard {
            self.take_back_lost(alert.fingerprint, silenced);
        }
    }

    /// The entity an alert is about.
    pub(super) fn subject_of(alert: &Alert) -> EntityId {
        entities::resolve(&alert.labels).map_or_else(
            || EntityId::new(EntityKind::External, alert.name()),
            |resolved| resolved.entity,
        )
    }

    /// An alert that would be held as this one is, had it been sent when this one came.
    fn as_it_came(&self, fingerprint: Fingerprint, held: &AlertState) -> FiringAlert {
        let summary = Labels::from_pairs([("summary", &*held.summary)]);
        let sender = held.sender.and_then(|sender| self.senders.told(sender));
        let address = || Some(sender?.1).filter(|of| !of.is_empty()).map(Box::from);
        FiringAlert {
            alert: Alert {
                fingerprint,
                labels: held.labels.clone(),
                annotations: summary.unwrap_or_else(|_| Labels::empty()),
                starts_at: held.starts_at,
                ends_at: held.ends_at,
                generator_url: held.generator_url.clone().or_else(address),
            },
            came: held.came(),
            source: sender.map(|(source, _)| self.silence.source(source).clone()),
            told_at: Some(held.told_at),
            unheard: held.lost.as_deref().map(|lost| self.silenced(lost)),
        }
    }
}
