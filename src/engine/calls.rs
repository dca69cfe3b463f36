//! What calls say becomes findings: slow, failing, more or fewer, spread otherwise than usual.

use super::Engine;
use super::detect::HOLD_MS_MAX;
use super::diagnose::words;
use super::distribution::Shift;
use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use super::traces::{Flow, Judged, Shape, Verdict, WINDOW_MS};
use crate::model::{Band, Check, Direction, MetricRole, Time, Unit};

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

/// What a window showed that is odd.
struct Odd {
    seen: f64,
    expected: Band,
    score: f64,
    since: Time,
}

impl Calls {
    fn key(self, side: Side) -> Key {
        match self.callee {
            Some(callee) => Key::Edge(self.entity, callee, side.check),
            None => Key::Entity(self.entity, side.check),
        }
    }
}

impl Engine {
    /// What calls say becomes a finding, or ends one. Entities that measure themselves are judged by
    /// that: a sample of their calls would only say the same with less certainty.
    pub(super) fn note_calls(&mut self, judged: &Judged) {
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
        if self.entities.has_series(sick) || callee.is_some() && self.traces.serves(sick) {
            return;
        }
        let sides = [
            (SLOW, judged.slow),
            (FAILING, judged.failing),
            (RATE, judged.rate),
        ];
        for (side, verdict) in sides {
            self.note_side(judged, calls, side, verdict);
        }
    }

    fn note_side(&mut self, judged: &Judged, calls: Calls, side: Side, verdict: Verdict) {
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
            Verdict::Odd {
                seen,
                low,
                high,
                score,
            } => {
                let begins = match side.check {
                    Check::TraceRate => judged.rate_since,
                    _ => judged.at.plus_ms(-WINDOW_MS),
                };
                let odd = Odd {
                    seen,
                    expected: Band { low, high },
                    score,
                    since: noted.map_or(begins, |finding| finding.since),
                };
                self.note_odd_calls(judged, calls, side, &odd);
            }
        }
    }

    fn note_odd_calls(&mut self, judged: &Judged, calls: Calls, side: Side, odd: &Odd) {
        let durations = self.traces.durations(judged.flow);
        let mut stands_behind = explain::rarity(odd.score as f32);
        if let Some(words) = durations
            .filter(|_| side.check == Check::TraceDuration)
            .and_then(|durations| explain::slower(odd.seen, durations))
        {
            stands_behind.unusual = format!("{words}; {}", stands_behind.unusual).into();
        }
        let subject = self.subject_of_calls(calls, side);
        let text = explain::metric(&subject, odd.seen, odd.expected, side.unit, odd.since);
        let seen = self.observation(judged, calls, side, odd);
        self.observe(Observation {
            text,
            explain: Some(Box::new(stands_behind)),
            pages: side.check != Check::TraceRate,
            ..seen
        });
    }

    /// How durations are spread informs, also of entities that measure themselves: a mean does not show it.
    fn note_shape(&mut self, judged: &Judged, calls: Calls) {
        let key = calls.key(SHAPE);
        match judged.shape {
            Shape::Usual => {}
            Shape::Over => self.findings.end(key, judged.at),
            Shape::Accepted => {
                let lasted = words::duration(HOLD_MS_MAX);
                let subject = self.subject_of_calls(calls, SHAPE);
                let text = format!("new normal accepted after {lasted}: how long {subject} take");
                self.findings.accept(key, judged.at, text);
            }
            // Calls that their callee tells of as well are told of once.
            Shape::Odd(_) if calls.callee.is_some() && self.traces.serves(calls.sick) => {}
            Shape::Odd(shift) => {
                let subject = self.subject_of_calls(calls, SHAPE);
                let text = explain::shift(&subject, &shift, Unit::Seconds);
                let seen = self.observation(judged, calls, SHAPE, &Odd::of(&shift));
                self.observe(Observation {
                    text,
                    explain: Some(Box::new(explain::rarity(shift.score as f32))),
                    pages: false,
                    ..seen
                });
            }
        }
    }

    fn subject_of_calls(&self, calls: Calls, side: Side) -> String {
        match calls.callee {
            Some(callee) => format!("{} to {}", side.calls, self.entities.id(callee).name()),
            None => side.requests.to_owned(),
        }
    }

    fn observation(&self, judged: &Judged, calls: Calls, side: Side, odd: &Odd) -> Observation {
        Observation {
            key: calls.key(side),
            entity: calls.entity,
            callee: calls.callee,
            sick: calls.sick,
            check: side.check,
            series: None,
            subject: self.subject_of_calls(calls, side).into(),
            role: side.role,
            unit: side.unit,
            since: odd.since,
            at: judged.at,
            expected: odd.expected,
            seen: odd.seen,
            direction: if odd.seen < odd.expected.low {
                Direction::Down
            } else {
                Direction::Up
            },
            score: odd.score as f32,
            pages: false,
            text: String::new(),
            explain: None,
        }
    }
}

impl Odd {
    fn of(shift: &Shift) -> Self {
        Self {
            seen: shift.seen,
            expected: Band {
                low: 0.0,
                high: shift.high,
            },
            score: shift.score,
            since: shift.since,
        }
    }
}
