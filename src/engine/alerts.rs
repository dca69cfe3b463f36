//! The table of alerts: one entry a fingerprint, however often it is sent.
//!
//! An alert whose end has passed is looked at, and over unless it turns out that its sender fell silent: see
//! `unheard`. A resend moves the end. Everything here is O(log n) an alert, whatever the size of the storm.

mod twins;

use std::collections::{BTreeMap, BTreeSet};

use super::entities::EntityIx;
use super::refusals::Corrected;
use super::set_back::SetBack;
use super::unheard::{Lost, SenderIx};
use crate::model::{
    Alert, AlertRow, EntityId, Fingerprint, IncidentId, Labels, Severity, Time, Unheard,
};
pub use twins::{News, Twins};

/// Resolved alerts are kept for lists this long, in milliseconds.
const KEPT_RESOLVED_MS: i64 = 15 * 60_000;
/// Longest summary kept, in bytes.
const SUMMARY_BYTES_MAX: usize = 256;
/// Longest link to a rule that is kept, in bytes: it holds the query.
const URL_BYTES_MAX: usize = 1_024;
/// This many changes between firing and resolved …
const FLAPS_MAX: u8 = 5;
/// … each within this long of the one before, make it flapping, in milliseconds.
const FLAP_GAP_MS: i64 = 5 * 60_000;
/// An alert that began longer before it came says nothing of what began first, in milliseconds: it
/// outlasts any rule's own `for`, a restart of the sender, and a storm's delays.
const ONSET_AGE_MS_MAX: i64 = 60 * 60_000;
/// Annotations that say in a line what is wrong.
const SUMMARY_ANNOTATIONS: [&str; 4] = ["summary", "description", "message", "title"];

/// One alert held.
#[derive(Debug)]
pub struct AlertState {
    /// Identifying labels.
    pub labels: Labels,
    /// What is wrong, untrusted.
    pub summary: Box<str>,
    /// Link to the rule that raised it, untrusted; one that is too long to keep leads nowhere and is left out.
    pub generator_url: Option<Box<str>>,
    /// The entity it is about.
    pub entity: EntityIx,
    /// From its `severity` label.
    pub severity: Severity,
    /// When it began, as told, but not in the future.
    pub starts_at: Time,
    /// When it began as far as what began first is judged by it: no longer ago than is believed.
    pub onset: Time,
    /// When it ends or ended.
    pub ends_at: Time,
    /// Whether it fires.
    pub firing: bool,
    /// Who sent it last, if that is known.
    pub sender: Option<SenderIx>,
    /// When it was sent last.
    pub told_at: Time,
    /// What is known of its sender, which fell silent, while its end has passed and it does not count as over.
    pub lost: Option<Box<Lost>>,
    /// How it ended, if its sender did not say that it did.
    pub unsaid: Option<Box<str>>,
    /// When it is looked at next, while it fires: its end, or later when its sender fell silent.
    due: Time,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    /// Whether it is held back, so that its incident does not count it.
    is_held: bool,
    /// When it last changed between firing and resolved, and how often in quick succession.
    changed_at: Time,
    changes: u8,
}

/// What taking an alert, or the passing of time, changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertChange {
    /// It fires: for the first time, or again.
    Fired(Fingerprint),
    /// It is over.
    Resolved(Fingerprint),
    /// It began to go on and off: counts as firing until it stays one way.
    Flapping(Fingerprint),
    /// It fires as before and says something else: what is told of it now, and no event.
    Retold(Fingerprint),
    /// Sent again, nothing new.
    Resent,
    /// No room.
    Refused,
}

/// All alerts, by fingerprint.
#[derive(Debug, Default)]
pub struct Alerts {
    table: BTreeMap<Fingerprint, AlertState>,
    /// When firing alerts are looked at: their ends, mostly.
    ends: BTreeSet<(Time, Fingerprint)>,
    /// Firing alerts whose sender fell silent.
    unheard: BTreeSet<Fingerprint>,
    /// Ends of resolved alerts, which leave some time later.
    ended: BTreeSet<(Time, Fingerprint)>,
    of_incident: BTreeSet<(IncidentId, Fingerprint)>,
    /// Alerts that go on and off; told once, and once when it ends.
    flapping: BTreeSet<Fingerprint>,
    firing: u64,
    /// Sent again since the start, and begun to flap.
    resent: u64,
    flapped: u64,
}

/// The times of an alert as far as they are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it began, not in the future.
    pub starts_at: Time,
    /// The same, and no longer ago than is believed.
    pub onset: Time,
    /// When it ends or ended.
    pub ends_at: Time,
}

impl Times {
    /// Reads the times of an alert that came at `now`. A sender may say anything: an onset of long ago
    /// would make everything else its consequence and keep telemetry of all the time since.
    pub fn of(alert: &Alert, now: Time, timeout_ms: i64) -> (Self, Option<Corrected>) {
        let starts_at = alert.starts_at.min(now);
        let onset = starts_at.max(now.plus_ms(-ONSET_AGE_MS_MAX));
        let ends_at = if alert.ends_at == Time::ZERO {
            now.plus_ms(timeout_ms)
        } else {
            alert.ends_at
        };
        let corrected = if alert.starts_at > now {
            Some(Corrected::AlertAhead)
        } else if onset > starts_at {
            Some(Corrected::AlertAncient)
        } else {
            None
        };
        let times = Self {
            starts_at,
            onset,
            ends_at,
        };
        (times, corrected)
    }
}

impl AlertState {
    /// Its name.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("unnamed alert")
    }

    /// When it came, or came again after an end.
    pub fn came(&self) -> Time {
        self.changed_at
    }

    /// For how long its sender vouched for it when it sent it last, in milliseconds.
    pub fn lease_ms(&self) -> i64 {
        self.ends_at.since(self.told_at).max(0)
    }

    /// That nobody vouches for it any more: while it fires, or since it is over and nobody said so.
    fn told_unheard(&self) -> Option<Unheard> {
        let why = match &self.lost {
            Some(lost) => lost.why.clone(),
            None => self.unsaid.clone()?,
        };
        let since = self.told_at;
        Some(Unheard { since, why })
    }

    /// Whether it goes on and off too often to be told each time.
    fn is_flapping(&self, now: Time) -> bool {
        self.changes >= FLAPS_MAX && now.since(self.changed_at) <= FLAP_GAP_MS
    }

    /// Takes the text of the latest telling, and says whether it is another. One without any, as many
    /// senders tell an end, takes nothing away. Nothing is copied when it is the same.
    fn retell(&mut self, alert: &Alert) -> bool {
        let Some(text) = said(alert).filter(|text| **text != *self.summary) else {
            return false;
        };
        self.summary = text.into();
        true
    }

    fn turn(&mut self, firing: bool, now: Time) {
        self.firing = firing;
        let is_quick = now.since(self.changed_at) <= FLAP_GAP_MS;
        self.changes = if is_quick {
            self.changes.saturating_add(1)
        } else {
            1
        };
        self.changed_at = now;
    }
}

impl Alerts {
    /// Takes an alert about `entity` with believable times; at most `alerts_max` are held.
    pub fn take(
        &mut self,
        alert: &Alert,
        times: Times,
        entity: EntityIx,
        now: Time,
        alerts_max: usize,
    ) -> AlertChange {
        let ends_at = times.ends_at;
        let fingerprint = alert.fingerprint;
        let firing = ends_at > now;
        if let Some(held) = self.table.get_mut(&fingerprint) {
            let was_firing = held.firing;
            if was_firing {
                self.ends.remove(&(held.due, fingerprint));
            } else {
                self.ended.remove(&(held.ends_at, fingerprint));
            }
            (held.ends_at, held.due, held.told_at) = (ends_at, ends_at, now);
            (held.lost, held.unsaid) = (None, None);
            self.unheard.remove(&fingerprint);
            if firing && !was_firing {
                (held.starts_at, held.onset) = (times.starts_at, times.onset);
            } else if firing {
                // Of two senders of one alert, or two tellings, the earlier beginning is believed.
                held.starts_at = held.starts_at.min(times.starts_at);
                held.onset = held.onset.min(times.onset);
            }
            let is_retold = held.retell(alert);
            if let Some(url) =
                url_of(alert).filter(|url| held.generator_url.as_deref() != Some(url))
            {
                held.generator_url = Some(url.into());
            }
            if firing != was_firing {
                held.turn(firing, now);
            }
            if firing {
                self.ends.insert((ends_at, fingerprint));
            } else {
                self.ended.insert((ends_at, fingerprint));
            }
            let flaps = held.is_flapping(now);
            return match self.told(fingerprint, was_firing, firing, flaps) {
                AlertChange::Resent if is_retold && firing => AlertChange::Retold(fingerprint),
                change => change,
            };
        }
        if !firing {
            // The end of something never seen to begin.
            return AlertChange::Resent;
        }
        if self.table.len() >= alerts_max && !self.drop_the_oldest_resolved() {
            return AlertChange::Refused;
        }
        let state = AlertState {
            labels: alert.labels.clone(),
            summary: summary_of(alert),
            generator_url: url_of(alert).map(Box::from),
            entity,
            severity: severity_of(&alert.labels),
            starts_at: times.starts_at,
            onset: times.onset,
            ends_at,
            firing: true,
            sender: None,
            told_at: now,
            lost: None,
            unsaid: None,
            due: ends_at,
            incident: None,
            is_held: false,
            changed_at: now,
            changes: 1,
        };
        self.ends.insert((ends_at, fingerprint));
        self.table.insert(fingerprint, state);
        self.told(fingerprint, false, true, false)
    }

    fn told(&mut self, fingerprint: Fingerprint, was: bool, is: bool, flaps: bool) -> AlertChange {
        match (was, is) {
            (false, true) => self.firing += 1,
            (true, false) => self.firing -= 1,
            _ => {
                self.resent += 1;
                return AlertChange::Resent;
            }
        }
        if flaps {
            return if self.flapping.insert(fingerprint) {
                self.flapped += 1;
                AlertChange::Flapping(fingerprint)
            } else {
                AlertChange::Resent
            };
        }
        if is {
            AlertChange::Fired(fingerprint)
        } else {
            AlertChange::Resolved(fingerprint)
        }
    }

    /// Alerts that stopped going on and off since the last call, with whether they fire now.
    pub fn settle(&mut self, now: Time) -> Vec<(Fingerprint, bool)> {
        let table = &self.table;
        let settled: Vec<(Fingerprint, bool)> = self
            .flapping
            .iter()
            .filter_map(|fingerprint| match table.get(fingerprint) {
                Some(state) if state.is_flapping(now) => None,
                Some(state) => Some((*fingerprint, state.firing)),
                None => Some((*fingerprint, false)),
            })
            .collect();
        for (fingerprint, _) in &settled {
            self.flapping.remove(fingerprint);
        }
        settled
    }

    /// Follows a clock that was set back: what fires goes on for as long as it had to.
    pub fn set_back(&mut self, back: SetBack) {
        self.ends.clear();
        self.ended.clear();
        for (fingerprint, held) in &mut self.table {
            back.past(&mut held.changed_at);
            back.past(&mut held.starts_at);
            back.past(&mut held.onset);
            back.past(&mut held.told_at);
            if let Some(lost) = &mut held.lost {
                lost.set_back(back);
            }
            if held.firing {
                back.due(&mut held.due);
                match held.lost {
                    Some(_) => back.past(&mut held.ends_at),
                    None => back.due(&mut held.ends_at),
                }
                self.ends.insert((held.due, *fingerprint));
            } else {
                back.past(&mut held.ends_at);
                self.ended.insert((held.ends_at, *fingerprint));
            }
        }
    }

    /// Forgets what is over for long.
    pub fn forget_old(&mut self, now: Time) {
        while let Some(&(ended, fingerprint)) = self.ended.first()
            && ended.plus_ms(KEPT_RESOLVED_MS) <= now
        {
            self.ended.pop_first();
            self.remove(fingerprint);
        }
    }

    /// Firing alerts that are due to be looked at, in that order. Each is to [`Self::end`] or to [`Self::wait`].
    pub fn take_due(&mut self, now: Time) -> Vec<Fingerprint> {
        let mut due = Vec::new();
        while let Some(&(at, fingerprint)) = self.ends.first()
            && at <= now
        {
            self.ends.pop_first();
            due.push(fingerprint);
        }
        due
    }

    /// An alert that was due is over, and nobody said so: how that is told. Whether it is to be told at all.
    pub fn end(&mut self, fingerprint: Fingerprint, unsaid: Box<str>, now: Time) -> bool {
        let Some(held) = self.table.get_mut(&fingerprint) else {
            return false;
        };
        if held.lost.take().is_some() {
            self.unheard.remove(&fingerprint);
        }
        // It may have been due long ago, while the engine was away; it is kept from now on.
        held.ends_at = now;
        held.unsaid = Some(unsaid);
        held.turn(false, now);
        self.ended.insert((held.ends_at, fingerprint));
        self.firing -= 1;
        !self.flapping.contains(&fingerprint)
    }

    /// An alert that was due goes on and is looked at again then; `lost` is what is known of its sender.
    pub fn wait(&mut self, fingerprint: Fingerprint, due: Time, lost: Option<Lost>) {
        let Some(held) = self.table.get_mut(&fingerprint).filter(|held| held.firing) else {
            return;
        };
        self.ends.remove(&(held.due, fingerprint));
        held.due = due;
        self.ends.insert((due, fingerprint));
        if let Some(lost) = lost {
            held.lost = Some(Box::new(lost));
            self.unheard.insert(fingerprint);
        }
    }

    /// Notes who sent an alert, and when: it may have been kept meanwhile.
    pub fn sent_by(&mut self, fingerprint: Fingerprint, sender: Option<SenderIx>, at: Time) {
        if let Some(held) = self.table.get_mut(&fingerprint) {
            (held.sender, held.told_at) = (sender, at);
        }
    }

    /// The engine itself was away: what could not be sent again meanwhile has as long from now on.
    pub fn resume(&mut self, due: Time) {
        for fingerprint in self.take_due(due.plus_ms(-1)) {
            self.wait(fingerprint, due, None);
        }
    }

    /// Alerts that fire, as far as is known: their sender fell silent.
    pub fn unheard(&self) -> usize {
        self.unheard.len()
    }

    fn remove(&mut self, fingerprint: Fingerprint) {
        if let Some(held) = self.table.remove(&fingerprint)
            && let Some(incident) = held.incident
        {
            self.of_incident.remove(&(incident, fingerprint));
        }
    }

    fn drop_the_oldest_resolved(&mut self) -> bool {
        let Some((_, fingerprint)) = self.ended.pop_first() else {
            return false;
        };
        self.remove(fingerprint);
        true
    }

    /// Makes an alert part of an incident.
    pub fn attach(&mut self, fingerprint: Fingerprint, incident: IncidentId) {
        let Some(held) = self.table.get_mut(&fingerprint) else {
            return;
        };
        if let Some(old) = held.incident.replace(incident) {
            self.of_incident.remove(&(old, fingerprint));
        }
        self.of_incident.insert((incident, fingerprint));
    }

    /// One alert.
    pub fn get(&self, fingerprint: Fingerprint) -> Option<&AlertState> {
        self.table.get(&fingerprint)
    }

    /// Whether an alert fires, or goes on and off, held back or not.
    pub fn fires(&self, fingerprint: Fingerprint) -> bool {
        let fires = |held: &AlertState| held.firing;
        self.flapping.contains(&fingerprint) || self.get(fingerprint).is_some_and(fires)
    }

    /// Whether its incident counts an alert as firing: it fires, and is not held back.
    pub fn counts_as_firing(&self, fingerprint: Fingerprint) -> bool {
        self.fires(fingerprint) && !self.get(fingerprint).is_some_and(|held| held.is_held)
    }

    /// Marks an alert as held back, or not.
    pub fn hold(&mut self, fingerprint: Fingerprint, is_held: bool) {
        if let Some(held) = self.table.get_mut(&fingerprint) {
            held.is_held = is_held;
        }
    }

    /// Alerts sent again since the start, with nothing new.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Alerts that began to go on and off since the start.
    pub fn flapped(&self) -> u64 {
        self.flapped
    }

    /// Alerts that go on and off now.
    pub fn flapping(&self) -> usize {
        self.flapping.len()
    }

    /// Alerts firing.
    pub fn firing(&self) -> u64 {
        self.firing
    }

    /// Alerts held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Fingerprints of the alerts of one incident, in order.
    pub fn of_incident(
        &self,
        incident: IncidentId,
        after: Option<Fingerprint>,
    ) -> impl Iterator<Item = Fingerprint> {
        use std::ops::Bound::{Excluded, Included};
        let from = match after {
            Some(after) => Excluded((incident, after)),
            None => Included((incident, Fingerprint(0))),
        };
        self.of_incident
            .range((from, Included((incident, Fingerprint(u64::MAX)))))
            .map(|(_, fingerprint)| *fingerprint)
    }

    /// Alerts in order of fingerprint.
    pub fn iter(
        &self,
        after: Option<Fingerprint>,
    ) -> impl Iterator<Item = (Fingerprint, &AlertState)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.table
            .range((from, Unbounded))
            .map(|(fingerprint, state)| (*fingerprint, state))
    }

    /// One alert as a row.
    pub fn row(
        &self,
        fingerprint: Fingerprint,
        entity: impl Fn(EntityIx) -> EntityId,
    ) -> Option<AlertRow> {
        let state = self.table.get(&fingerprint)?;
        Some(AlertRow {
            fingerprint,
            labels: state.labels.clone(),
            summary: state.summary.clone(),
            generator_url: state.generator_url.clone(),
            entity: entity(state.entity),
            severity: state.severity,
            starts_at: state.starts_at,
            ends_at: state.ends_at,
            firing: state.firing,
            flapping: self.flapping.contains(&fingerprint),
            incident: state.incident,
            held: None,
            unheard: state.told_unheard().map(Box::new),
        })
    }
}

/// What is wrong, in the sender's words, as long as is kept.
fn said(alert: &Alert) -> Option<&str> {
    let text = alert.annotations.first_of(&SUMMARY_ANNOTATIONS)?;
    Some(cut(text))
}

/// The link to its rule, if it can be kept.
fn url_of(alert: &Alert) -> Option<&str> {
    let url = alert.generator_url.as_deref();
    url.filter(|url| url.len() <= URL_BYTES_MAX)
}

fn summary_of(alert: &Alert) -> Box<str> {
    said(alert).unwrap_or_else(|| cut(alert.name())).into()
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SUMMARY_BYTES_MAX)]
}

fn severity_of(labels: &Labels) -> Severity {
    severity_told(labels).unwrap_or(Severity::Warning)
}

/// How grave an alert is by its labels, if they say.
fn severity_told(labels: &Labels) -> Option<Severity> {
    labels
        .first_of(&["severity", "level", "priority"])
        .map(Severity::parse)
}

#[cfg(test)]
mod tests;
