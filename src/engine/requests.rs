//! What requests leave behind, live: whole traces and log lines to the witness of diagnosis.
//!
//! Decides nothing. What belongs to an open incident is named as trouble, so that it teaches nobody what is normal.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::Engine;
use super::diagnose::{Case, GUARD_MS, SubjectIx, Vocabulary, Witness};
use super::entities::{Entities, EntityIx};
use super::logs::{self, Miner, TemplateId};
use super::traces::Tree;
use crate::model::{LogLine, Time, TraceId};

/// What the engine calls things.
struct Names<'a> {
    miner: &'a Miner,
    entities: &'a Entities,
}

impl Vocabulary for Names<'_> {
    fn current(&self, template: TemplateId) -> TemplateId {
        self.miner.current(template).unwrap_or(template)
    }

    fn template(&self, template: TemplateId) -> Option<&str> {
        self.miner.template(template)
    }

    fn service(&self, service: usize) -> &str {
        self.entities.id(entity_of(service)).name()
    }
}

impl Engine {
    /// A log line of an entity.
    pub(super) fn note_line(&mut self, entity: EntityIx, line: &LogLine, template: TemplateId) {
        let (service, at) = (service_of(entity), line.at.min(self.now));
        let seen = match line.trace {
            Some(trace) => self.witness.look(key_of(trace), service, at),
            None => self.witness.look_at_run(service, at, template, &line.text),
        };
        if let Some(seen) = seen {
            let error = logs::is_error(line);
            self.witness.line(seen, template, &line.text, error);
        }
    }

    /// Names what open incidents hold as trouble, and folds what is old.
    pub(super) fn note_troubles(&mut self) {
        for (_, held) in self
            .correlator
            .book
            .iter()
            .filter(|(_, held)| held.is_open())
        {
            let from = held.incident.began.plus_ms(-GUARD_MS);
            for entity in held.members.iter().chain([&held.root]) {
                self.witness.trouble(service_of(*entity), from, self.now);
            }
        }
        self.witness.advance(self.now);
    }

    /// Adds to a case what requests say of its subjects since the incident began.
    pub(super) fn testify(&self, case: &mut Case, chosen: &[EntityIx], began: Time) {
        let subjects: BTreeMap<usize, SubjectIx> = chosen
            .iter()
            .filter_map(|ix| Some((service_of(*ix), case.find(self.entities.id(*ix))?)))
            .collect();
        let names = Names {
            miner: self.logs.miner(),
            entities: &self.entities,
        };
        self.witness.testify(case, began, &subjects, &names);
    }
}

/// A whole trace.
pub(super) fn take_trace(witness: &mut Witness, trace: TraceId, tree: &Tree, now: Time) {
    let trace = key_of(trace);
    for (ix, part) in tree.parts.iter().enumerate() {
        let at = part.start.min(now);
        let Some(seen) = witness.look(trace, service_of(part.entity), at) else {
            return;
        };
        witness.span(seen, &part.name, part.error);
        let parent = tree.parents[ix].map(|parent| &tree.parts[parent as usize]);
        let Some(caller) = parent.filter(|parent| parent.entity != part.entity) else {
            continue;
        };
        let from = service_of(caller.entity);
        if let Some(seen) = witness.look(trace, from, at) {
            let waits = (caller.duration_us, part.duration_us);
            witness.call(seen, service_of(part.entity), waits.0, waits.1);
        }
    }
}

/// Every entity the witness refers to.
pub(super) fn entities(witness: &Witness, mut mark: impl FnMut(EntityIx)) {
    witness.services(|service| mark(entity_of(service)));
}

/// Whether it refers only to entities that are `known`.
pub(super) fn fits(witness: &Witness, known: impl Fn(EntityIx) -> bool) -> bool {
    let mut fits = true;
    entities(witness, |ix| fits &= known(ix));
    fits
}

fn key_of(trace: TraceId) -> u64 {
    xxh3_64(&trace.0.to_le_bytes())
}

fn service_of(entity: EntityIx) -> usize {
    entity.0 as usize
}

fn entity_of(service: usize) -> EntityIx {
    EntityIx(service as u32)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor};
    use crate::model::{
        Alert, Batch, Fingerprint, Input, Labels, Signal, SourceId, Span, SpanId, SpanKind, Stamped,
    };

    const START_S: i64 = 1_768_392_000;
    /// Pay no longer charges from here on.
    const SICK_S: i64 = START_S + 20 * 60;

    fn labels(service: &str) -> Labels {
        Labels::from_pairs([("service", service)]).unwrap()
    }

    fn span(trace: i64, id: u64, service: &str, kind: SpanKind, at: Time) -> Signal {
        Signal::Span(Box::new(Span {
            trace: TraceId(trace as u128),
            id: SpanId(id),
            parent: (id > 1).then_some(SpanId(id - 1)),
            resource: labels(service),
            peer: None,
            name: Arc::from("POST /orders"),
            kind,
            start: at,
            duration_us: 10_000 / id,
            error: false,
            weight: None,
        }))
    }

    fn line(trace: i64, service: &str, text: &str, at: Time) -> Signal {
        Signal::Log(Box::new(LogLine {
            at,
            labels: labels(service),
            level: None,
            text: text.into(),
            trace: Some(TraceId(trace as u128)),
            span: None,
        }))
    }

    /// One request a second: web calls pay, which takes an order and, while it is well, charges a card. Every fifth
    /// only asks for the price.
    fn second(engine: &mut Engine, second: i64) {
        let at = Time::from_secs(second);
        let mut signals = vec![
            span(second, 1, "web", SpanKind::Server, at),
            span(second, 2, "web", SpanKind::Client, at),
            span(second, 3, "pay", SpanKind::Server, at),
            line(second, "web", "order taken", at),
            line(second, "pay", "price asked for", at),
        ];
        if second % 5 != 0 && second < SICK_S {
            signals.push(line(second, "pay", "card charged", at));
        }
        if second >= SICK_S + 30 {
            let labels = Labels::from_pairs([("service", "web"), ("alertname", "NoOrders")]);
            let labels = labels.unwrap();
            signals.push(Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: Time::from_secs(SICK_S),
                ends_at: at.plus_ms(300_000),
                generator_url: None,
            })));
        }
        let source = SourceId::new("test");
        for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
            let stamped = Stamped { seq: 1, at, input };
            engine.step(&stamped, &mut Vec::new());
        }
    }

    fn fresh() -> Engine {
        Engine::new(EngineConfig::default(), Vec::new())
    }

    /// What is said for the first suspect of the only incident.
    fn said(engine: &Engine) -> (String, String) {
        let rows: Vec<_> = engine.incident_rows().map(|row| row.id).collect();
        assert_eq!(rows.len(), 1);
        let incident = engine.incident(rows[0]).unwrap();
        let first = &incident.diagnosis.hypotheses[0];
        (
            first.suspect.to_string(),
            format!("{:?}", first.evidence_for),
        )
    }

    #[test]
    fn a_line_that_requests_no_longer_leave_is_told_also_after_a_restart() {
        let mut engine = fresh();
        (START_S..SICK_S).for_each(|at| second(&mut engine, at));
        let mut cursor = CheckpointCursor::default();
        let parts: Vec<_> = std::iter::from_fn(|| engine.checkpoint_part(&mut cursor)).collect();
        let mut restarted = fresh();
        restarted
            .restore_checkpoint(CHECKPOINT_VERSION, parts.iter().map(Vec::as_slice))
            .unwrap();
        for engine in [&mut engine, &mut restarted] {
            (SICK_S..SICK_S + 200).for_each(|at| second(engine, at));
            let (suspect, evidence) = said(engine);
            assert_eq!(suspect, "service/pay", "{evidence}");
            assert!(
                evidence.contains("usual log line missing, in 0 of ")
                    && evidence.contains("card charged"),
                "{evidence}"
            );
        }
    }
}
