//! Learning from the past is learning: history fed afterwards, in chapters with few ticks, leaves the
//! same baselines as having watched it live, byte for byte, whatever the series and their faults.

use std::sync::Arc;

use proptest::prelude::*;

use super::Engine;
use super::dice::Dice;
use crate::config::EngineConfig;
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

/// The samples of all stories, by time.
fn past(stories: &[Story], samples: usize) -> Vec<(Time, Vec<Signal>)> {
    let mut dice = Dice(5);
    let mut totals = vec![0.0; stories.len()];
    let mut past = Vec::new();
    for n in 0..samples {
        let at = Time::from_secs(START_S + n as i64 * STEP_S);
        let mut signals = Vec::new();
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

/// What an engine knows of the series in the end.
fn learned(inputs: impl Iterator<Item = (Time, Input)>) -> String {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects = Vec::new();
    for (seq, (at, input)) in (1..).zip(inputs) {
        effects.clear();
        engine.step(&Stamped { seq, at, input }, &mut effects);
    }
    serde_json::to_string(&engine.intake.saved_rows(0, usize::MAX)).unwrap()
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
            let ticks = (0..STEP_S).map(move |s| (at.plus_ms(1_000 * s), Input::Tick));
            alone.chain(ticks)
        });
        // Afterwards: all of a time at once, and a tick every ten seconds.
        let afterwards = past.into_iter().flat_map(|(at, signals)| {
            let ticks = (0..STEP_S / 10).map(move |s| (at.plus_ms(10_000 * s), Input::Tick));
            std::iter::once((at, batch(signals))).chain(ticks)
        });
        prop_assert_eq!(learned(live), learned(afterwards));
    }
}
