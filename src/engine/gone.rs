//! An entity that tells nothing any more: is it gone, or are we blind on it?
//!
//! A scrape that stopped, an agent that restarts and a machine that died look alike from here. What
//! tells them apart is everybody else: those who call it, an alert about it, or its own logs. Until
//! then the silence informs, in one line, and wakes nobody. It never stays so for long: being blind
//! on something for a quarter of an hour is trouble of its own.

use super::Engine;
use super::absence::Absent;
use super::correlate::Condition;
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::traces::Flow;
use crate::model::{Check, Explanation, Time};

/// Trouble next door counts if it began no longer before the silence than this, in milliseconds.
const TROUBLE_BEFORE_MS: i64 = 2 * 60_000;
/// A silence of this length is an incident whatever the neighbours say, in milliseconds.
const BLIND_MS_MAX: i64 = 15 * 60_000;
/// An entity whose logs or spans went on this long after its last metric lives, in milliseconds …
const LIVES_MS: i64 = 60_000;
/// … as long as the last of them is no older than this, in milliseconds.
const LIVES_SILENT_MS_MAX: i64 = 5 * 60_000;

/// What everybody else says of an entity that tells nothing.
#[derive(Clone, Copy)]
struct Witnesses {
    /// An alert about it fires.
    is_alerting: bool,
    /// Who depends on it, and is in trouble since.
    caller: Option<EntityIx>,
    /// Whether its logs went on; `None` if it never logged.
    logs_on: Option<bool>,
    /// Whether spans of it went on to come; `None` if none ever did.
    spans_on: Option<bool>,
}

impl Engine {
    /// Looks again at every entity that tells nothing: what confirms a loss makes it page.
    pub(super) fn confirm_losses(&mut self) {
        // Also where the silence was not told: what people called noise may still be a loss.
        let is_unsure = |(entity, _): &(EntityIx, Time)| {
            let told = self.findings.of_key(Key::Entity(*entity, Check::Absence));
            // What is told as a blind spot is told.
            !self.blind_spots.covers(*entity, &self.findings)
                && !told.is_some_and(|state| state.finding.pages)
        };
        let unsure: Vec<(EntityIx, Time)> = self.silence.gone().filter(is_unsure).collect();
        for (entity, since) in unsure {
            let witnesses = self.witnesses(entity, since);
            if let Some(why) = self.why_lost(since, witnesses) {
                self.note_absent(entity, since, witnesses, Some(&why));
            }
        }
    }

    /// Notes that an entity tells nothing since `since`, which is no loss yet.
    pub(super) fn note_gone(&mut self, entity: EntityIx, since: Time) {
        // That some of it stopped is part of that.
        self.findings.end(Key::Lapse(entity), self.now);
        let witnesses = self.witnesses(entity, since);
        self.note_absent(entity, since, witnesses, None);
    }

    /// Notes that an entity tells nothing; `why` says what makes that a loss.
    fn note_absent(
        &mut self,
        entity: EntityIx,
        since: Time,
        witnesses: Witnesses,
        why: Option<&str>,
    ) {
        let name = self.entities.id(entity).name();
        let clock = explain::clock(since);
        let text = match why {
            Some(why) => format!("{name} reports nothing since {clock}, and {why}"),
            None => format!("{name} reports nothing since {clock}: we are blind on it"),
        };
        let unusual = Explanation {
            unusual: "every series of it is silent for five of its intervals at least".into(),
            ..Explanation::default()
        };
        let absent = Absent {
            subject: "all metrics",
            since,
            text,
            pages: why.is_some(),
            explain: unusual
                .judged_by([
                    ("absence", true),
                    ("alert about it", witnesses.is_alerting),
                    ("callers in trouble", witnesses.caller.is_some()),
                ])
                .judged_by(witnesses.logs_on.map(|on| ("silent logs", !on)))
                .judged_by(witnesses.spans_on.map(|on| ("no spans", !on))),
        };
        self.observe_absence(Key::Entity(entity, Check::Absence), entity, absent);
    }

    /// Asks everybody else about an entity that is silent since `since`.
    fn witnesses(&self, entity: EntityIx, since: Time) -> Witnesses {
        Witnesses {
            is_alerting: self.is_alerting(entity),
            caller: self.caller_in_trouble(entity, since),
            logs_on: self.logs_on(entity, since),
            spans_on: self.spans_on(entity, since),
        }
    }

    fn why_lost(&self, since: Time, witnesses: Witnesses) -> Option<String> {
        if witnesses.is_alerting {
            return Some("an alert about it fires".to_owned());
        }
        if let Some(caller) = witnesses.caller {
            let caller = self.entities.id(caller).name();
            return Some(format!("{caller}, which depends on it, is in trouble"));
        }
        let lives = [witnesses.logs_on, witnesses.spans_on].contains(&Some(true));
        let is_long = self.now.since(since) > BLIND_MS_MAX && !lives;
        is_long.then(|| "nothing says that it is alive".to_owned())
    }

    pub(super) fn is_alerting(&self, entity: EntityIx) -> bool {
        let condition = self.correlator.conditions().get(entity);
        condition.is_some_and(Condition::is_alerting)
    }

    /// Whether it went on logging after its metrics stopped at `since`; `None` if it never logged.
    fn logs_on(&self, entity: EntityIx, since: Time) -> Option<bool> {
        let at = self.logs.last_seen(self.entities.id(entity))?;
        Some(self.goes_on(at, since))
    }

    /// The same of its spans.
    fn spans_on(&self, entity: EntityIx, since: Time) -> Option<bool> {
        let (at, _) = self.traces.flow(Flow::Own(entity))?.latest()?;
        Some(self.goes_on(at, since))
    }

    /// Whether what was heard last at `at` went on after `since`, and does.
    fn goes_on(&self, at: Time, since: Time) -> bool {
        at.since(since) > LIVES_MS && self.now.since(at) <= LIVES_SILENT_MS_MAX
    }

    /// Who depends on an entity, and is in trouble since it is silent.
    pub(super) fn caller_in_trouble(&self, entity: EntityIx, since: Time) -> Option<EntityIx> {
        let conditions = self.correlator.conditions();
        let suffers = |caller: &&EntityIx| {
            conditions.get(**caller).is_some_and(|condition| {
                condition.onset >= since.plus_ms(-TROUBLE_BEFORE_MS)
                    && (condition.sum.is_harmed || condition.is_alerting())
            })
        };
        self.topology.callers(entity).iter().find(suffers).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{DeclaredEdge, EngineConfig};
    use crate::model::{
        Batch, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    const START_S: i64 = 1_768_392_000;
    /// When `cart` falls silent.
    const SILENT_S: i64 = 3_600;

    /// What else happens.
    #[derive(Clone, Copy, Default)]
    struct World {
        caller_fails: bool,
        /// How long its logs go on, in seconds.
        logs_s: i64,
    }

    /// The shop calls the cart, which falls silent; the times at which an incident was open, in minutes
    /// after that, and what is said of the cart.
    fn opened(world: World, minutes: i64) -> (Option<i64>, String) {
        let (opened, text, _) = lived(world, minutes);
        (opened, text)
    }

    /// The same, and which checks agreed that it is odd.
    fn lived(world: World, minutes: i64) -> (Option<i64>, String, Vec<Box<str>>) {
        let edge = DeclaredEdge {
            from: "shop".to_owned(),
            to: "cart".to_owned(),
        };
        let config = EngineConfig {
            dependencies: vec![edge],
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let mut opened = None;
        let mut text = String::new();
        let mut agreed = Vec::new();
        for s in (0..SILENT_S + minutes * 60).step_by(10) {
            let at = Time::from_secs(START_S + s);
            let labels = |service: &str| Labels::from_pairs([("service", service)]).unwrap();
            let sample = |service: &str, name: &str, value: f64| {
                let series = Series::new(name, labels(service), SeriesKind::Gauge, Unit::None);
                let series = Arc::new(series);
                Signal::Sample(Sample { series, at, value })
            };
            let noise = ((s / 10 * 7_919) % 13) as f64;
            let is_silent = s >= SILENT_S;
            let errors = if is_silent && world.caller_fails {
                50.0
            } else {
                1.0 + 0.02 * noise
            };
            let mut signals = vec![
                sample("shop", "requests_failed", errors),
                sample("shop", "requests_in_progress", 10.0 + 0.1 * noise),
            ];
            if !is_silent {
                signals.push(sample("cart", "requests_in_progress", 5.0 + 0.1 * noise));
                signals.push(sample("cart", "memory_bytes", 1e9 + 1e6 * noise));
            }
            if world.logs_s > 0 && s < SILENT_S + world.logs_s {
                signals.push(Signal::Log(Box::new(LogLine {
                    at,
                    labels: labels("cart"),
                    level: None,
                    text: "served".into(),
                    trace: None,
                    span: None,
                })));
            }
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
            let about_cart = |row: &crate::model::IncidentRow| {
                let held = engine.correlator.book.get(row.id);
                held.is_some_and(|held| {
                    let mut findings = held.incident.findings.iter();
                    findings.any(|f| f.check == Check::Absence)
                })
            };
            if opened.is_none() && engine.incident_rows().any(|row| about_cart(&row)) {
                opened = Some((s - SILENT_S) / 60);
            }
            let cart = engine.entities.find(&crate::model::EntityId::parse("cart"));
            let key = cart.map(|cart| Key::Entity(cart, Check::Absence));
            if let Some(state) = key.and_then(|key| engine.findings.of_key(key)) {
                text = state.finding.text.to_string();
                let explain = state.finding.explain.as_deref();
                agreed = explain
                    .map(|explain| explain.agreed.clone())
                    .unwrap_or_default();
            }
        }
        (opened, text, agreed)
    }

    #[test]
    fn a_gap_informs_and_wakes_nobody() {
        let (opened, text) = opened(World::default(), 10);
        assert_eq!(opened, None);
        assert!(text.ends_with("we are blind on it"), "{text}");
    }

    #[test]
    fn logs_that_never_were_are_not_silent() {
        assert_eq!(lived(World::default(), 10).2, ["absence".into()]);
        // It logged while it lived, and then no more.
        let world = World {
            logs_s: 1,
            ..World::default()
        };
        assert_eq!(lived(world, 10).2, ["absence".into(), "silent logs".into()]);
    }

    #[test]
    fn a_caller_in_trouble_makes_it_a_loss() {
        let world = World {
            caller_fails: true,
            ..World::default()
        };
        let (opened, text) = opened(world, 10);
        assert!(
            opened.is_some_and(|minutes| minutes <= 2),
            "{opened:?} {text}"
        );
        assert!(text.contains("shop, which depends on it"), "{text}");
    }

    #[test]
    fn nobody_stays_blind_for_long_unless_something_else_speaks() {
        assert_eq!(opened(World::default(), 25).0, Some(15));
        let logging = |logs_s| World {
            logs_s,
            ..World::default()
        };
        assert_eq!(opened(logging(3_600), 25).0, None, "its logs go on");
        assert_eq!(
            opened(logging(120), 25).0,
            Some(15),
            "they went on a little"
        );
    }

    /// What is told of a target of the cart after its answers, one each 15 s, and whether that pages.
    fn answered(name: &str, answers: impl IntoIterator<Item = f64>) -> Option<(String, bool)> {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        for (n, value) in (0..).zip(answers) {
            let at = Time::from_secs(START_S + 15 * n);
            let labels = [("service", "cart"), ("instance", "cart-2:9090")];
            let labels = Labels::from_pairs(labels).unwrap();
            let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
            let signals = vec![Signal::Sample(Sample { series, at, value })];
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        let key = Key::Series(crate::engine::intake::SeriesIx(0));
        let finding = &engine.findings.of_key(key)?.finding;
        assert_eq!(finding.check, Check::Absence);
        Some((finding.text.to_string(), finding.pages))
    }

    #[test]
    fn an_instance_that_answers_no_more_is_lost() {
        let lost = Some((
            "cart lost the instance cart-2:9090: no answer since 12:10".to_owned(),
            true,
        ));
        for name in ["up", "redis_up", "worker_alive"] {
            let goes = |down| [1.0; 40].into_iter().chain(std::iter::repeat_n(0.0, down));
            assert_eq!(answered(name, goes(1)), None, "{name}: one scrape may fail");
            assert_eq!(answered(name, goes(2)), lost, "{name}");
            assert_eq!(answered(name, goes(2_000)), lost, "{name}: it stays so");
            let back = goes(20).chain([1.0]);
            assert_eq!(answered(name, back), None, "{name}: it is back");
        }
        let never = Some((
            "cart-2:9090 has not answered once since 12:00".to_owned(),
            false,
        ));
        assert_eq!(answered("up", [0.0; 9]), None);
        assert_eq!(answered("up", [0.0; 10]), never);
        // A count under such a name is no verdict.
        let counts = (0..60).map(|n| f64::from(n % 3));
        assert_eq!(answered("jobs_up", counts), None);
    }
}
