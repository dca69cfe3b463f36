//! After a restart: incidents from the journal, whose signals are not in it. Silence is no health, so
//! senders get their time to speak before anything is taken for over; and time in which nobody could be heard is
//! neither theirs nor quiet.

use std::collections::{BTreeMap, BTreeSet};

use super::{Correlator, Hearing, Held, MERGED_MAX};
use crate::engine::entities::EntityIx;
use crate::model::{Incident, IncidentId, Lane, Time, TimelineEntry};

/// Senders are given this long after a restart to tell what is still abnormal, in milliseconds: as long
/// as an alert is believed whose sender gives no end.
pub const UNHEARD_MS: i64 = 5 * 60_000;

/// Once so much time in which nobody could be heard was left out of an incident, in milliseconds, no more of it is.
const DEAF_MS_MAX: i64 = 6 * 60 * 60_000;

/// Restarts told in one timeline, the first and the latest; those between are counted as dropped.
const RESTARTS_TOLD_MAX: usize = 20;
/// What is told of one.
const RESTARTED: &str =
    "restarted: its signals count as abnormal until their senders had time to speak";

/// Tells a restart at `at` in the timeline of an incident that was open then.
pub fn tell_restart(incident: &mut Incident, at: Time) {
    let is_restart = |entry: &&TimelineEntry| *entry.text == *RESTARTED;
    let told = incident.timeline.iter().filter(is_restart).count();
    if told >= RESTARTS_TOLD_MAX {
        let places = incident.timeline.iter().enumerate();
        let mut places = places.filter(|(_, entry)| is_restart(entry));
        if let Some((second, _)) = places.nth(1) {
            incident.timeline.remove(second);
            incident.timeline_dropped += 1;
        }
    }
    incident.tell(at, Lane::Automation, None, RESTARTED);
}

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
        self.is_restart_untold = true;
        self.restore_words(&incident);
        self.book.restore(incident, members, onsets, root);
    }

    /// Tells, in the first step after one, that there was a restart.
    pub fn tell_restarted(&mut self, now: Time) {
        if !std::mem::take(&mut self.is_restart_untold) {
            return;
        }
        self.restarted = Some(now);
        for id in self.waiting() {
            if let Some(held) = self.book.get_mut(id) {
                tell_restart(&mut held.incident, now);
            }
        }
    }

    /// The incidents whose senders have not had their time.
    fn waiting(&self) -> Vec<IncidentId> {
        let is_waiting = |held: &Held| held.hearing == Hearing::Waiting;
        let all = self.book.iter();
        all.filter(|(_, held)| is_waiting(held))
            .map(|(id, _)| id)
            .collect()
    }

    /// Takes from the journal that an incident is part of another.
    pub fn restore_merged(&mut self, merged: IncidentId, kept: IncidentId) {
        self.merged.insert(merged, kept);
        while self.merged.len() > MERGED_MAX {
            self.merged.pop_first();
        }
    }

    /// When the engine began again with incidents of before.
    pub fn restarted(&self) -> Option<Time> {
        self.restarted
    }

    /// The incidents of which nothing is known to be abnormal, each with the entities whose findings said so: who is told of
    /// by alerts alone is waited for in another way.
    pub fn quiet(&self) -> Vec<(IncidentId, Vec<EntityIx>)> {
        let is_quiet = |held: &Held| {
            held.is_open() && !held.has_signals() && !held.incident.findings.is_empty()
        };
        let quiet = self.book.iter().filter(|(_, held)| is_quiet(held));
        let sick = |held: &Held| held.onsets.keys().copied().chain([held.root]).collect();
        quiet.map(|(id, held)| (id, sick(held))).collect()
    }

    /// From `since` to `now` nobody could be heard who tells of an incident.
    pub fn leave_out(&mut self, id: IncidentId, since: Time, now: Time) {
        let begun = self.restarted.unwrap_or(since).max(since);
        if let Some(held) = self.book.peek_mut(id) {
            held.leave_out(since, begun, now);
        }
    }

    /// The same of all incidents.
    pub fn leave_out_of_all(&mut self, since: Time, now: Time) {
        for (id, _) in self.quiet() {
            self.leave_out(id, since, now);
        }
    }

    /// Gives senders their time after a restart before silence is taken for an end.
    pub(super) fn wait_for_senders(&mut self, now: Time) {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return;
        }
        let restarted = *self.restarted.get_or_insert(now);
        for id in waiting {
            if let Some(held) = self.book.peek_mut(id)
                && now.since(restarted) - held.deaf_ms >= UNHEARD_MS
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

impl Held {
    /// Leaves a time out of what counts as quiet; and what of it is after `begun` of what senders are given.
    fn leave_out(&mut self, since: Time, begun: Time, now: Time) {
        if self.deaf_ms >= DEAF_MS_MAX {
            return;
        }
        if let Some(quiet_since) = &mut self.quiet_since {
            let quiet_ms = since.since(*quiet_since).max(0);
            *quiet_since = now.plus_ms(-quiet_ms);
        }
        self.deaf_ms += now.since(begun).max(0);
    }
}
