//! Resources that run out, and those that do not, through the whole engine.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::engine::dice::Dice;
use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor};
use crate::model::{
    Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Time,
};

/// A Wednesday, 12:00.
const START_S: i64 = 1_768_392_000;

/// An engine that watches one resource, and perhaps its limit.
struct Bench {
    engine: Engine,
    minute: i64,
    dice: Dice,
    resource: (&'static str, Unit),
    limit: Option<(&'static str, f64)>,
}

impl Bench {
    fn new(resource: (&'static str, Unit), limit: Option<(&'static str, f64)>) -> Self {
        Self {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            minute: 0,
            dice: Dice(9),
            resource,
            limit,
        }
    }

    fn minutes(&mut self, minutes: i64, value: impl Fn(f64) -> f64) {
        for _ in 0..minutes {
            let noise = self.dice.unit() - 0.5;
            let at = Time::from_secs(START_S + 60 * self.minute);
            let labels = Labels::from_pairs([("service", "cart")]).unwrap();
            let sample = |(name, unit): (&str, Unit), value| {
                let series = Series::new(name, labels.clone(), SeriesKind::Gauge, unit);
                let series = Arc::new(series);
                Signal::Sample(Sample { series, at, value })
            };
            let now = value(self.minute as f64) * (1.0 + 0.004 * noise);
            let mut signals = vec![sample(self.resource, now)];
            let limit = self.limit;
            signals.extend(limit.map(|(name, limit)| sample((name, self.resource.1), limit)));
            let source = SourceId::new("test");
            self.step(at, Input::Signals(Batch { source, signals }));
            for second in 0..60 {
                self.step(at.plus_ms(1_000 * second), Input::Tick);
            }
            self.minute += 1;
        }
    }

    fn step(&mut self, at: Time, input: Input) {
        self.engine
            .step(&Stamped { seq: 1, at, input }, &mut Vec::new());
    }

    /// What is told of it now, and whether that pages.
    fn told(&self) -> Option<(String, bool)> {
        let state = self.engine.findings.of_key(Key::Limit(SeriesIx(0)))?;
        assert_eq!(state.finding.check, Check::Saturation);
        Some((state.finding.text.to_string(), state.finding.pages))
    }
}

#[test]
fn says_when_it_is_full_and_says_it_anew() {
    let mut bench = Bench::new(("disk_used_ratio", Unit::Ratio), None);
    let story = |minute: f64| 0.5 + 0.001 * minute;
    bench.minutes(200, story);
    let (text, pages) = bench.told().unwrap();
    assert!(text.starts_with("disk used runs out: 6"), "{text}");
    assert!(
        text.contains("full in 5") || text.contains("full in 4"),
        "{text}"
    );
    assert!(!pages, "there is time");
    bench.minutes(180, story);
    let (text, pages) = bench.told().unwrap();
    assert!(
        text.contains(" full in 1") || text.contains(" full in 2"),
        "{text}"
    );
    assert!(!pages, "{text}");
    bench.minutes(110, story);
    let (text, pages) = bench.told().unwrap();
    assert!(pages && text.contains("min"), "{text}");
    // Emptied it is over.
    bench.minutes(60, |_| 0.2);
    assert_eq!(bench.told(), None);
}

#[test]
fn limits_are_told_by_series_beside_it() {
    type Story = fn(f64) -> f64;
    let none = Unit::None;
    let bytes = Unit::Bytes;
    let grows: Story = |m| 300.0 + 0.5 * m;
    let shrinks: Story = |m| 200.0 - 0.5 * m;
    let cases: [(&'static str, Unit, &'static str, Story); 6] = [
        (
            "pool_connections_in_use",
            none,
            "pool_connections_max",
            grows,
        ),
        (
            "redis_memory_used_bytes",
            bytes,
            "redis_memory_max_bytes",
            grows,
        ),
        ("team_memory_usage", none, "team_memory_quota", grows),
        ("process_open_fds", none, "process_max_fds", grows),
        (
            "node_filesystem_avail_bytes",
            bytes,
            "node_filesystem_size_bytes",
            shrinks,
        ),
        (
            "node_memory_MemAvailable_bytes",
            bytes,
            "node_memory_MemTotal_bytes",
            shrinks,
        ),
    ];
    for (name, unit, limit, story) in cases {
        let mut bench = Bench::new((name, unit), Some((limit, 500.0)));
        bench.minutes(240, story);
        let told = bench.told();
        assert!(
            told.as_ref()
                .is_some_and(|(text, _)| text.contains("of 500")),
            "{name}: {told:?}"
        );
    }
}

#[test]
fn full_is_not_calm() {
    let mut bench = Bench::new(("disk_used_ratio", Unit::Ratio), None);
    let full = |minute: f64| (0.5 + 0.0025 * minute).min(1.0);
    bench.minutes(195, full);
    let told = bench.told();
    assert!(told.as_ref().is_some_and(|(_, pages)| *pages), "{told:?}");
    bench.minutes(60, full);
    let ran_out = |bench: &Bench| {
        let (text, pages) = bench.told().unwrap_or_default();
        assert!(text.starts_with("disk used ran out: ") && pages, "{text}");
    };
    ran_out(&bench);
    // A restart forgets what was told, and not that it ran out.
    let mut cursor = CheckpointCursor::default();
    let parts: Vec<_> = std::iter::from_fn(|| bench.engine.checkpoint_part(&mut cursor)).collect();
    bench.engine = Engine::new(EngineConfig::default(), Vec::new());
    let parts = parts.iter().map(Vec::as_slice);
    bench
        .engine
        .restore_checkpoint(CHECKPOINT_VERSION, parts)
        .unwrap();
    assert_eq!(bench.told(), None);
    bench.minutes(3, full);
    ran_out(&bench);
    bench.minutes(10, |_| 0.4);
    assert_eq!(bench.told(), None, "emptied");
    bench.minutes(10, |_| 1.0);
    let (text, _) = bench.told().unwrap_or_default();
    assert!(!text.contains("ran out"), "it did not grow there: {text}");
}

#[test]
fn what_does_not_run_out_is_not_told() {
    type Story = fn(f64) -> f64;
    let ratio = ("disk_used_ratio", Unit::Ratio);
    let cases: [(&str, (&'static str, Unit), Story); 6] = [
        ("steady", ratio, |_| 0.8),
        ("far from full", ratio, |m| 0.1 + 0.001 * m),
        ("falls", ratio, |m| 0.95 - 0.001 * m),
        ("slower than can be foreseen", ratio, |m| 0.6 + 0.000_01 * m),
        (
            "work",
            ("process_cpu_utilization_ratio", Unit::Ratio),
            |m| 0.5 + 0.002 * m,
        ),
        ("without a limit", ("queue_length", Unit::None), |m| {
            500.0 + m
        }),
    ];
    for (name, resource, story) in cases {
        let mut bench = Bench::new(resource, None);
        bench.minutes(230, story);
        assert_eq!(bench.told(), None, "{name}");
    }
}
