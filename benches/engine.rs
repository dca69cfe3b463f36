//! Speed of the whole engine on one thread, through its door: samples a second over 10,000 series
//! with detection on, and alerts a second with correlation on.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::model::{
    Alert, Batch, Effect, Fingerprint, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId,
    Stamped, Time, Unit,
};

/// Series in one scrape.
const SERIES: usize = 10_000;
/// Samples in one batch.
const BATCH: usize = 500;
/// Scrapes the detectors have learned from before the clock starts.
const WARM_SCRAPES: i64 = 150;
/// Time between scrapes, in milliseconds.
const STEP_MS: i64 = 10_000;
/// Alerts of one storm.
const ALERTS: usize = 100_000;
/// Alerts in one batch, as Alertmanager's clients send them.
const ALERT_BATCH: usize = 64;
/// Where time starts.
const START: Time = Time::from_secs(1_768_392_000);

fn series() -> Vec<Arc<Series>> {
    (0..SERIES)
        .map(|i| {
            let service = format!("svc-{}", i / 20);
            let part = format!("{}", i % 20);
            let labels = Labels::from_pairs([("service", service.as_str()), ("part", &part)]);
            let labels = labels.expect("short labels");
            Arc::new(Series::new(
                "work_duration_seconds",
                labels,
                SeriesKind::Gauge,
                Unit::Seconds,
            ))
        })
        .collect()
}

/// Noise around 1, the same in every run.
fn noise(i: usize) -> f64 {
    let x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    1.0 + 0.1 * ((x >> 40) as f64 / f64::from(1 << 24) - 0.5)
}

fn scrape(series: &[Arc<Series>], round: i64) -> Vec<Stamped> {
    let at = START.plus_ms(round * STEP_MS);
    series
        .chunks(BATCH)
        .enumerate()
        .map(|(chunk, series)| {
            let signals = series
                .iter()
                .enumerate()
                .map(|(i, series)| {
                    Signal::Sample(Sample {
                        series: Arc::clone(series),
                        at,
                        value: noise(round as usize * SERIES + chunk * BATCH + i),
                    })
                })
                .collect();
            let source = SourceId::new("bench");
            Stamped {
                seq: 0,
                at,
                input: Input::Signals(Batch { source, signals }),
            }
        })
        .collect()
}

fn samples(c: &mut Criterion) {
    let series = series();
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects: Vec<Effect> = Vec::new();
    let mut round = 0;
    let mut feed = |engine: &mut Engine, steps: &[Stamped]| {
        for step in steps {
            engine.step(step, &mut effects);
        }
        effects.clear();
    };
    while round < WARM_SCRAPES {
        feed(&mut engine, &scrape(&series, round));
        round += 1;
    }
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.sample_size(30);
    group.bench_function("scrape_of_10000_series", |b| {
        b.iter_batched(
            || {
                round += 1;
                scrape(&series, round)
            },
            |steps| feed(&mut engine, &steps),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn storm() -> Vec<Stamped> {
    let alerts: Vec<Signal> = (0..ALERTS)
        .map(|i| {
            let (name, instance) = (format!("Alert{}", i % 40), format!("host-{}", i / 40));
            let labels = Labels::from_pairs([
                ("alertname", name.as_str()),
                ("instance", &instance),
                ("severity", "warning"),
            ]);
            let labels = labels.expect("short labels");
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: START,
                ends_at: START.plus_ms(3_600_000),
                generator_url: None,
            }))
        })
        .collect();
    alerts
        .chunks(ALERT_BATCH)
        .map(|signals| Stamped {
            seq: 0,
            at: START,
            input: Input::Signals(Batch {
                source: SourceId::new("alerts"),
                signals: signals.to_vec(),
            }),
        })
        .collect()
}

fn alerts(c: &mut Criterion) {
    let storm = storm();
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(ALERTS as u64));
    group.sample_size(10);
    group.bench_function("storm_of_100000_alerts", |b| {
        b.iter_batched(
            || Engine::new(EngineConfig::default(), Vec::new()),
            |mut engine| {
                let mut effects = Vec::new();
                for step in &storm {
                    engine.step(step, &mut effects);
                    effects.clear();
                }
                engine
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, samples, alerts);
criterion_main!(benches);
