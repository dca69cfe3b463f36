//! What calls say becomes findings: slow, failing, more or fewer, spread otherwise than usual.

use super::Engine;
use super::cusum::{Judged, Oddity};
use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use super::traces::{Flow, FlowState, JudgedFlow, Verdict, WINDOW_MS};
use crate::model::{Check, Direction, Explanation, MetricRole, Time, Unit};

/// Whose calls are judged.
#[derive(Clone, Copy)]
struct Calls {
    entity: EntityIx,
    /// The other end, when it is about an edge.
    callee: Option<EntityIx>,
    /// Who is ill if they are odd.
    sick: EntityIx,
}

/// What is judged of them.
#[derive(Clone, Copy)]
struct Side {
    check: Check,
    role: MetricRole,
    unit: Unit,
    /// What they are called.
    requests: &'static str,
    /// The same when they have an other end.
    calls: &'static str,
}

const SLOW: Side = Side {
    check: Check::TraceDuration,
    role: MetricRole::Latency,
    unit: Unit::Seconds,
    requests: "requests",
    calls: "calls",
};

const FAILING: Side = Side {
    check: Check::TraceErrors,
    role: MetricRole::Errors,
    unit: Unit::Ratio,
    requests: "failing requests",
    calls: "failing calls",
};

const RATE: Side = Side {
    check: Check::TraceRate,
    role: MetricRole::Traffic,
    unit: Unit::PerSecond,
    ..SLOW
};

/// A shape is no symptom that an entity is blamed for.
const SHAPE: Side = Side {
    check: Check::Distribution,
    role: MetricRole::Other,
    unit: Unit::Ratio,
    ..SLOW
};

impl Calls {
    fn key(self, side: Side) -> Key {
        match self.callee {
            Some(callee) => Key::Edge(self.entity, callee, side.check),
            None => Key::Entity(self.entity, side.check),
        }
    }
}

impl Engine {
    /// What calls say becomes a finding, or ends one. What an entity measures itself is judged by that: a sample
    /// of its calls would only say the same with less certainty.
    pub(super) fn note_calls(&mut self, judged: &JudgedFlow) {
        let (entity, callee, sick) = match judged.flow {
            Flow::Served(entity) => (entity, None, entity),
            Flow::Called(from, to) => (from, Some(to), to),
            Flow::Own(_) | Flow::Gap(_) => return,
        };
        let calls = Calls {
            entity,
            callee,
            sick,
        };
        self.note_shape(judged, calls);
        // What a callee tells of itself is told of once, by it.
        let is_told_there = callee.is_some() && self.traces.serves(sick);
        let sides = [
            (SLOW, judged.slow),
            (FAILING, judged.failing),
            (RATE, judged.rate),
        ];
        for (side, verdict) in sides {
            if is_told_there || !verdict.is_usual() && self.measures(sick, side.role) {
                self.findings.end(calls.key(side), judged.at);
            } else {
                self.note_side(judged, calls, side, verdict);
            }
        }
    }

    /// Whether an entity measures this of itself, and long enough to be judged by it.
    pub(super) fn measures(&self, entity: EntityIx, role: MetricRole) -> bool {
        let series = self.intake.of_entity(entity).iter();
        let mut rows = series.map(|series| self.intake.row(*series));
        rows.any(|row| row.role == role && row.is_judged() && !row.is_silent && row.judge.is_warm())
    }

    fn note_side(&mut self, judged: &JudgedFlow, calls: Calls, side: Side, verdict: Verdict) {
        let key = calls.key(side);
        let noted = self.findings.of_key(key).map(|state| &state.finding);
        match verdict {
            Verdict::Usual => {}
            Verdict::Over => self.findings.end(key, judged.at),
            Verdict::Accepted => {
                let before = noted.map(|finding| &*finding.text);
                let text = format!("new normal accepted: {}", before.unwrap_or_default());
                self.findings.accept(key, judged.at, text);
            }
            Verdict::Odd(odd) => {
                let begins = match side.check {
                    Check::TraceRate => judged.rate_since,
                    Check::TraceErrors => judged.failing_since,
                    _ => judged.at.plus_ms(-WINDOW_MS),
                };
                let since = noted.map_or(begins, |finding| finding.since);
                self.note_odd_calls(judged, calls, side, &odd, since);
            }
        }
    }

    fn note_odd_calls(
        &mut self,
        judged: &JudgedFlow,
        calls: Calls,
        side: Side,
        odd: &Oddity,
        since: Time,
    ) {
        let durations = self.traces.durations(judged.flow);
        let slower = durations
            .filter(|_| side.check == Check::TraceDuration)
            .and_then(|durations| explain::slower(odd.seen, durations));
        let subject = self.subject_of_calls(calls, side);
        let text = explain::metric(&subject, odd.seen, odd.expected, side.unit, since);
        let Some(mut seen) = self.observation(judged, calls, side, odd, since) else {
            return;
        };
        if let Some(words) = slower {
            seen.explain.unusual = format!("{words}; {}", seen.explain.unusual).into();
        }
        self.observe(Observation {
            text,
            pages: side.check != Check::TraceRate,
            ..seen
        });
    }

    /// How durations are spread informs, also of entities that measure themselves: a mean does not show it.
    fn note_shape(&mut self, judged: &JudgedFlow, calls: Calls) {
        let key = calls.key(SHAPE);
        let subject = self.subject_of_calls(calls, SHAPE);
        let what = || format!("how long {subject} take");
        let Some(shift) = self.findings.settle(key, judged.at, judged.shape, what) else {
            return;
        };
        // Calls that their callee tells of as well are told of once.
        if calls.callee.is_some() && self.traces.serves(calls.sick) {
            return;
        }
        let odd = Oddity::up_to(shift.seen, shift.high, shift.score);
        let text = explain::shift(&subject, &shift, Unit::Seconds);
        if let Some(seen) = self.observation(judged, calls, SHAPE, &odd, shift.since) {
            self.observe(Observation { text, ..seen });
        }
    }

    fn subject_of_calls(&self, calls: Calls, side: Side) -> String {
        match calls.callee {
            Some(callee) => format!("{} to {}", side.calls, self.entities.id(callee).name()),
            None => side.requests.to_owned(),
        }
    }

    /// What is seen of calls; `None` of those that nobody knows any more.
    fn observation(
        &self,
        judged: &JudgedFlow,
        calls: Calls,
        side: Side,
        odd: &Oddity,
        since: Time,
    ) -> Option<Observation> {
        let score = odd.score as f32;
        let state = self.traces.flow(judged.flow)?;
        Some(Observation {
            key: calls.key(side),
            entity: calls.entity,
            callee: calls.callee,
            sick: calls.sick,
            check: side.check,
            series: None,
            subject: self.subject_of_calls(calls, side).into(),
            role: side.role,
            unit: side.unit,
            since,
            at: judged.at,
            expected: odd.expected,
            seen: odd.seen,
            direction: if odd.seen < odd.expected.low {
                Direction::Down
            } else {
                Direction::Up
            },
            score,
            pages: false,
            text: String::new(),
            explain: explanation(judged, state, side, score),
        })
    }
}

/// What stands behind a finding about calls: all that is judged of them.
fn explanation(judged: &JudgedFlow, state: &FlowState, side: Side, score: f32) -> Explanation {
    let is_odd = |verdict: &Verdict| matches!(verdict, Judged::Odd(_));
    let mut checks = vec![
        ("duration", is_odd(&judged.slow)),
        ("failures", is_odd(&judged.failing)),
    ];
    checks.extend(state.rate().map(|_| ("rate", is_odd(&judged.rate))));
    let is_spread = matches!(judged.shape, Judged::Odd(_));
    checks.extend(state.shape().map(|_| ("spread of durations", is_spread)));
    let baseline = match (side.check, state.rate(), state.shape()) {
        (Check::TraceRate, Some(rate), _) => rate.baseline(state.baseline().since),
        (Check::Distribution, _, Some(shape)) => shape.baseline(),
        _ => state.baseline(),
    };
    explain::rarity(score).judged_by(checks).against(baseline)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, EntityId, Input, Labels, Signal, SourceId, Span, SpanId, SpanKind, Stamped, TraceId,
        WhyAnswer,
    };

    const START_S: u64 = 1_768_392_000;

    /// Seconds of eight traces each in which `web` calls `db`, which tells of it or does not.
    fn live(engine: &mut Engine, seconds: std::ops::Range<u64>, slower: u64, is_told: bool) {
        for second in seconds {
            let at = Time::from_secs((START_S + second) as i64);
            let mut signals = Vec::new();
            for n in 0..8 {
                let trace = second * 8 + n;
                let duration_us = slower * (20_000 + 60 * (trace * 7_919 % 1_009));
                let span = |service: &str, id: u64, kind| {
                    let resource = Labels::from_pairs([("service.name", service)]);
                    Signal::Span(Box::new(Span {
                        trace: TraceId(u128::from(trace) + 1),
                        id: SpanId(id),
                        parent: (id > 1).then(|| SpanId(id - 1)),
                        resource: resource.expect("labels"),
                        name: "GET /".into(),
                        kind,
                        start: at,
                        duration_us,
                        error: false,
                        peer: (kind == SpanKind::Client).then(|| Arc::from("service/db")),
                        weight: None,
                    }))
                };
                signals.push(span("web", 1, SpanKind::Server));
                signals.push(span("web", 2, SpanKind::Client));
                if is_told {
                    signals.push(span("db", 3, SpanKind::Server));
                }
            }
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
    }

    /// It went on for good: whoever ends it had gone by then.
    #[test]
    fn what_is_odd_of_calls_ends_once_their_callee_tells_of_them() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        live(&mut engine, 0..3_600, 1, false);
        live(&mut engine, 3_600..3_780, 10, false);
        let place = |engine: &Engine, name| engine.entities.find(&EntityId::parse(name));
        let (web, db) = (place(&engine, "service/web"), place(&engine, "service/db"));
        let (web, db) = web.zip(db).expect("both are known");
        let key = Key::Edge(web, db, Check::TraceDuration);
        let state = engine.findings.of_key(key).expect("calls are slow");
        assert!(state.finding.pages);
        live(&mut engine, 3_780..3_840, 10, true);
        assert!(engine.findings.of_key(key).is_none(), "the callee says it");
        let WhyAnswer::Others(others) = engine.why("web calls db", None) else {
            panic!("they are known");
        };
        let because = &others[0].because[0];
        assert!(
            because.starts_with("db tells of the requests it serves itself: "),
            "{because}"
        );
    }
}
