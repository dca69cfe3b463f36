//! A clock that was set back: what incidents remember of a time that never was.

use super::{Book, Correlator, Due};
use crate::engine::set_back::SetBack;

impl Correlator {
    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.book.set_back(back);
        self.conditions.set_back(back);
        self.rules.set_back(back);
        for (_, at) in self.by_alert_name.values_mut() {
            back.past(at);
        }
        for (at, _) in &mut self.opened {
            back.past(at);
        }
        let settling = std::mem::take(&mut self.settling);
        let earlier = settling.into_iter().map(|(mut due, entity)| {
            back.due(&mut due);
            (due, entity)
        });
        self.settling = earlier.collect();
        back.past(&mut self.rejoined);
        back.past_if(&mut self.restarted);
    }
}

impl Book {
    fn set_back(&mut self, back: SetBack) {
        for held in self.all_mut() {
            back.past(&mut held.joined);
            back.past_if(&mut held.quiet_since);
            back.past_if(&mut held.diagnosed);
            back.past_if(&mut held.summed);
            if let Some((_, since)) = &mut held.moves_to {
                back.past(since);
            }
            for onset in held.onsets.values_mut() {
                back.past(onset);
            }
            let incident = &mut held.incident;
            back.past(&mut incident.began);
            back.past(&mut incident.opened);
            back.past(&mut incident.updated);
            back.past_if(&mut incident.mitigated);
            back.past_if(&mut incident.resolved);
            back.past_if(&mut incident.owned_since);
            for entry in &mut incident.timeline {
                back.past(&mut entry.at);
            }
            // Or every restart would find it in the future again.
            held.pending.record = held.pending.record.max(Due::Later);
            for finding in &mut incident.findings {
                back.past(&mut finding.since);
                back.past(&mut finding.last_seen);
                back.past_if(&mut finding.ended);
            }
        }
    }
}
