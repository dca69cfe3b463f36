//! Learning from the past is learning: history fed afterwards, in chapters with few ticks, leaves the
//! same state as having watched it live, byte for byte, whatever the series and their faults: all that a checkpoint
//! holds of what series, shares of errors, histograms, objectives and topology teach. What differs is how it came: when
//! the engine looked last, how often and how late a source delivers, and which numbers findings have.

use std::sync::Arc;

use proptest::prelude::*;

use super::Engine;
use super::dice::Dice;
use crate::config::{EngineConfig, SloConfig};
use crate::model::{
    Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Time, Unit,
};

/// A Wednesday, 12:00.
const START_S: i64 = 1_768_392_000;
/// Seconds between samples.
const STEP_S: i64 = 30;

/// How one series behaves.
#[derive(Clone, Debug)]
struct Story {
    kind: SeriesKind,
    level: f64,
    noise: f64,
    /// From which sample on, for how many, by which factor it is off.
    fault: (usize, usize, f64),
    /// Every so many samples one is missing; 0 for none.
    gaps: usize,
}

fn story() -> impl Strategy<Value = Story> {
    let kind = prop_oneof![Just(SeriesKind::Gauge), Just(SeriesKind::Counter)];
    let fault = (200_usize..900, 0_usize..400, 0.0_f64..8.0);
    (kind, 0.5_f64..500.0, 0.0_f64..0.3, fault, 0_usize..40).prop_map(
        |(kind, level, noise, fault, gaps)| Story {
            kind,
            level,
            noise,
            fault,
            gaps,
        },
    )
}

/// What a service counts and fills, of which several series together tell something.
#[derive(Clone, Debug, Default)]
struct Shop {
    requests: f64,
    failures: f64,
    fast: f64,
    slow: f64,
    disk: f64,
}

impl Shop {
    /// The samples of one step; more fails, and slower, while the fault lasts.
    fn step(&mut self, at: Time, is_faulty: bool, dice: &mut Dice) -> Vec<Signal> {
        let requests = (300.0 + 100.0 * dice.unit()).round();
        let share = if is_faulty { 0.3 } else { 0.01 };
        let slow = (requests * (share + 0.05 * dice.unit())).round();
        self.requests += requests;
        self.failures += (requests * share * dice.unit()).round();
        self.slow += slow;
        self.fast += requests - slow;
        self.disk += if is_faulty { 4.0e6 } else { 1.0e4 } * dice.unit();
        let all = self.slow + self.fast;
        let (counter, gauge) = (SeriesKind::Counter, SeriesKind::Gauge);
        let of = [
            ("http_requests_total", "", counter, self.requests),
            ("http_request_errors_total", "", counter, self.failures),
            ("took_seconds_bucket", "0.1", counter, self.fast),
            ("took_seconds_bucket", "1", counter, all),
            ("took_seconds_bucket", "+Inf", counter, all),
            ("took_seconds_count", "", counter, all),
            (
                "took_seconds_sum",
                "",
                counter,
                0.05 * self.fast + 0.5 * self.slow,
            ),
            ("disk_used_bytes", "", gauge, 6.0e8 + self.disk),
            ("disk_size_bytes", "", gauge, 1.0e9),
            ("up", "", gauge, 1.0),
        ];
        let sample = |(name, le, kind, value): (&str, &str, SeriesKind, f64)| {
            let le = Some(("le", le)).filter(|(_, le)| !le.is_empty());
            let labels = [("service", "shop")].into_iter().chain(le);
            let series = Series::new(name, Labels::from_pairs(labels).unwrap(), kind, Unit::None);
            let series = Arc::new(series);
            Signal::Sample(Sample { series, at, value })
        };
        of.into_iter().map(sample).collect()
    }
}

/// The samples of all stories, by time.
fn past(stories: &[Story], samples: usize) -> Vec<(Time, Vec<Signal>)> {
    let mut dice = Dice(5);
    let mut totals = vec![0.0; stories.len()];
    let mut shop = Shop::default();
    let mut past = Vec::new();
    for n in 0..samples {
        let at = Time::from_secs(START_S + n as i64 * STEP_S);
        let (from, lasts, _) = stories[0].fault;
        let is_faulty = (from..from + lasts).contains(&n);
        let mut signals = shop.step(at, is_faulty, &mut dice);
        for (ix, story) in stories.iter().enumerate() {
            let noise = dice.unit() - 0.5;
            let (from, lasts, factor) = story.fault;
            let off = if (from..from + lasts).contains(&n) {
                factor
            } else {
                1.0
            };
            let value = story.level * (1.0 + story.noise * noise) * off;
            totals[ix] += value;
            if story.gaps > 1 && n % story.gaps == 1 {
                continue;
            }
            let labels = Labels::from_pairs([("service", "cart"), ("shard", &ix.to_string())]);
            let name = ["request_duration_p99_seconds", "requests_total"]
                [usize::from(story.kind == SeriesKind::Counter)];
            let series = Series::new(name, labels.unwrap(), story.kind, Unit::None);
            signals.push(Signal::Sample(Sample {
                series: Arc::new(series),
                at,
                value: if story.kind == SeriesKind::Counter {
                    totals[ix]
                } else {
                    value
                },
            }));
        }
        past.push((at, signals));
    }
    past
}

/// What an engine knows in the end, by what it is about.
fn learned(inputs: impl Iterator<Item = (Time, Input)>) -> Vec<(&'static str, String)> {
    let slo = SloConfig {
        name: "shop answers".into(),
        entity: "shop".into(),
        objective: "99.5".into(),
        failed: "http_request_errors_total".into(),
        total: "http_requests_total".into(),
    };
    let config = EngineConfig {
        slo: vec![slo],
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, Vec::new());
    let mut effects = Vec::new();
    for (seq, (at, input)) in (1..).zip(inputs) {
        effects.clear();
        engine.step(&Stamped { seq, at, input }, &mut effects);
    }
    let rows = engine.intake.saved_rows(0, usize::MAX);
    let silent: Vec<_> = engine.silence.silent().collect();
    vec![
        ("series", serde_json::to_string(&rows).unwrap()),
        (
            "pairs",
            format!("{:?}", engine.intake.saved_pairs(usize::MAX)),
        ),
        (
            "entities",
            format!("{:?}", engine.entities.saved_rows(0, usize::MAX)),
        ),
        ("topology", format!("{:?}", engine.topology.saved())),
        ("silent", format!("{silent:?}")),
        ("changes", format!("{:?}", engine.changes)),
        ("refusals", format!("{:?}", engine.refusals)),
        ("traces", format!("{:?}", engine.traces.saved_rest())),
        ("objectives", format!("{:?}", engine.slos.saved())),
        ("ratios", format!("{:?}", engine.ratios)),
        ("histograms", format!("{:?}", engine.histograms)),
        ("senders", format!("{:?}", engine.senders)),
        ("signals", format!("{}, {}", engine.signals, engine.retired)),
    ]
}

fn batch(signals: Vec<Signal>) -> Input {
    let source = SourceId::new("prometheus");
    Input::Signals(Batch { source, signals })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_past_fed_afterwards_teaches_what_watching_live_teaches(
        stories in prop::collection::vec(story(), 1..5)
    ) {
        let past = past(&stories, 1_200);
        // Live: each sample comes by itself, and a tick every second.
        let live = past.clone().into_iter().flat_map(|(at, signals)| {
            let alone = signals.into_iter().map(move |signal| (at, batch(vec![signal])));
            let ticks = (1..STEP_S).map(move |s| (at.plus_ms(1_000 * s), Input::Tick));
            std::iter::once((at, Input::Tick)).chain(alone).chain(ticks)
        });
        // Afterwards: all of a time at once, and a tick every ten seconds.
        let afterwards = past.into_iter().flat_map(|(at, signals)| {
            let ticks = (1..STEP_S / 10).map(move |s| (at.plus_ms(10_000 * s), Input::Tick));
            let told = [(at, Input::Tick), (at, batch(signals))];
            told.into_iter().chain(ticks)
        });
        for (live, afterwards) in learned(live).into_iter().zip(learned(afterwards)) {
            prop_assert_eq!(live, afterwards);
        }
    }
}
