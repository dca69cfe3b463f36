//! What is missed of a source, told as a finding of it.
//!
//! That a source is blind pages. That something does not happen any more informs, in a finding of its own while the
//! source goes on with the rest.

use super::Engine;
use super::absence::{Absent, CERTAIN, UNSURE, absence, absent};
use super::deliveries::{Kind, Missed, Promise, Scope};
use super::diagnose::words;
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::intake::SourceIx;
use crate::model::{Check, EntityId, EntityKind, Health, MetricRole, Quiet};

impl Engine {
    /// A source does not deliver what it should.
    pub(super) fn note_missed(&mut self, source: SourceIx, missed: &Missed) {
        let key = key(source, missed);
        let absent = Absent {
            subject: "source",
            since: missed.since,
            text: text(&self.silence.source(source).0, missed),
            pages: missed.quiet == Quiet::Blind,
            explain: absent(unusual(missed)),
        };
        self.note_blind(key, source, absent);
        if key == Key::Source(source) {
            // Whatever part of it was told is part of that.
            for kind in Kind::ALL {
                self.findings.end(Key::Part(source, kind), self.now);
            }
        }
        if missed.quiet == Quiet::Blind {
            self.hold_behind(source);
        }
    }

    /// What was missed of a source is delivered again.
    pub(super) fn note_delivered(&mut self, source: SourceIx, missed: &Missed) {
        let key = key(source, missed);
        if key == Key::Source(source) {
            self.let_go_behind(source);
            self.forget_spot(source);
        }
        self.findings.end(key, self.now);
        if self.findings.of_key(Key::Source(source)).is_none() {
            let entity = self.source_entity(source);
            self.entities.set_health(entity, Health::Ok);
        }
    }

    /// A source does not tell what it should, in words of whoever noticed.
    pub(super) fn note_blind(&mut self, key: Key, source: SourceIx, absent: Absent<'_>) {
        let entity = self.source_entity(source);
        let mut seen = absence(key, entity, absent);
        seen.check = Check::BlindSource;
        seen.role = MetricRole::Other;
        seen.at = self.now;
        // What is sure is surer than what is unusual, so that its words replace the other's.
        seen.score = if seen.pages { CERTAIN } else { UNSURE };
        self.observe(seen);
        self.entities.set_health(entity, Health::Blind);
    }

    /// The entity that a source is.
    pub(super) fn source_entity(&mut self, source: SourceIx) -> EntityIx {
        let id = EntityId::new(EntityKind::External, &self.silence.source(source).0);
        self.entities.intern(&id)
    }
}

/// Where it is told: as the whole source, if that is blind or delivers nothing at all.
fn key(source: SourceIx, missed: &Missed) -> Key {
    match (missed.scope, missed.quiet) {
        (Scope::OneKind, Quiet::Usual | Quiet::Unusual) => Key::Part(source, missed.kind),
        (Scope::OneKind, Quiet::Blind) | (Scope::Everything, _) => Key::Source(source),
    }
}

fn text(name: &str, missed: &Missed) -> String {
    let (kind, clock) = (missed.kind.as_str(), explain::clock(missed.since));
    let seen = match (missed.scope, missed.quiet) {
        (Scope::Everything, Quiet::Blind) => {
            format!("we are blind on {name}: nothing came from it since {clock}")
        }
        (Scope::Everything, Quiet::Usual | Quiet::Unusual) => {
            format!("{name} is quiet: nothing came from it since {clock}")
        }
        (Scope::OneKind, Quiet::Blind) => {
            format!(
                "we are blind on the {kind} of {name}: none came since {clock}, and others go on"
            )
        }
        (Scope::OneKind, Quiet::Usual | Quiet::Unusual) => {
            format!("{name} brings no {kind} since {clock}, and goes on with others")
        }
    };
    match missed.promise {
        Promise::AtAPace => seen,
        Promise::Pausing(longest_ms) => {
            let longest = words::duration(longest_ms);
            format!("{seen}, and its longest pause so far was {longest}")
        }
    }
}

fn unusual(missed: &Missed) -> &'static str {
    match (missed.promise, missed.quiet) {
        (Promise::AtAPace, _) => "a silence of twelve of its usual gaps, and of a minute, at least",
        (Promise::Pausing(_), Quiet::Blind) => {
            "a silence of twelve of its longest pauses, and of ten minutes, at least"
        }
        (Promise::Pausing(_), Quiet::Usual | Quiet::Unusual) => {
            "a silence of three of its longest pauses, and of ten minutes, at least"
        }
    }
}
