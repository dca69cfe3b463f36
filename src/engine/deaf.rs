//! Time in which the engine could not hear those who tell of an incident: it was away, it began again and they have not
//! spoken yet, or their source is blind. None of it is quiet time.
//!
//! Looks only at who was heard when, and never at what was said.

use super::Engine;
use super::entities::EntityIx;
use super::intake::SourceIx;
use crate::model::Time;

impl Engine {
    /// Leaves the time since the last tick, at `since`, out of those incidents whose senders could not be heard.
    pub(super) fn leave_out_deaf_time(&mut self, since: Time) {
        for (incident, sick) in self.correlator.quiet() {
            if sick.iter().any(|entity| self.is_deaf_to(*entity)) {
                self.correlator.leave_out(incident, since, self.now);
            }
        }
    }

    /// Whether none of the sources that tell of an entity is heard. Of one that no source is known to tell of, nothing was
    /// learned before a restart: then any source will do.
    fn is_deaf_to(&self, entity: EntityIx) -> bool {
        let mut tellers = self.tellers(entity);
        tellers.extend(self.speakers.of(entity));
        if !tellers.is_empty() {
            return !tellers.iter().any(|source| self.is_heard(*source));
        }
        let mut all = (0..).zip(self.silence.sources());
        self.correlator.restarted().is_some() && !all.any(|(ix, _)| self.is_heard(SourceIx(ix)))
    }

    /// Whether a source was heard since the engine began, and is not blind.
    fn is_heard(&self, source: SourceIx) -> bool {
        let began = self.correlator.restarted().unwrap_or(Time::ZERO);
        self.silence.heard(source) >= began && !self.silence.is_blind(source)
    }
}
