//! The whole engine on one thread, through its door: samples a second over 10,000 series with
//! detection on, alerts a second with correlation on, and memory a series.
//!
//! `cargo bench --bench engine`. Gauges, counters and means of 500 services, a tick every second of
//! virtual time, and one service in fifty in trouble by turns, so that findings, incidents and
//! diagnoses are part of what is measured; how many there were is printed. Making the batches is not
//! measured, dropping them is.

use std::collections::BTreeSet;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::engine::detect::{Excursion, SeriesDetector};
use stormglass::model::{
    Alert, Batch, Delta, Effect, Fingerprint, IncidentId, Input, Labels, Sample, Series,
    SeriesKind, Signal, SourceId, Stamped, Time, Unit,
};

/// Series in one scrape.
const SERIES: usize = 10_000;
/// Series for the measurement of memory: enough to drown what is not theirs.
const SERIES_HELD: usize = 50_000;
/// Samples in one batch.
const BATCH: usize = 500;
/// Scrapes the detectors have learned from before the clock starts: baselines may page by then.
const WARM_SCRAPES: i64 = 240;
/// Scrapes until a series holds as much as it ever will.
const FULL_SCRAPES: i64 = 400;
/// Time between scrapes, in milliseconds.
const STEP_MS: i64 = 10_000;
/// Time between ticks, in milliseconds.
const TICK_MS: i64 = 1_000;
/// One service in as many is in trouble at a time, each in its turn: what came often would be normal …
const TROUBLE_EVERY: usize = 50;
/// … for this many scrapes …
const TROUBLE_SCRAPES: i64 = 20;
/// … of as many.
const TROUBLE_PERIOD: i64 = 60;
/// Alerts of one storm.
const ALERTS: usize = 100_000;
/// Alerts in one batch, as Alertmanager's clients send them.
const ALERT_BATCH: usize = 64;
/// Where time starts.
const START: Time = Time::from_secs(1_768_392_000);
/// Bytes of a page, as `/proc/self/statm` counts.
const PAGE_BYTES: u64 = 4_096;

/// What one service exports: name, kind, unit, and how much its values grow in trouble.
const METRICS: [(&str, SeriesKind, Unit, f64); 10] = [
    (
        "http_request_duration_seconds_sum",
        SeriesKind::Counter,
        Unit::Seconds,
        4.0,
    ),
    (
        "http_request_duration_seconds_count",
        SeriesKind::Counter,
        Unit::None,
        1.0,
    ),
    (
        "http_requests_failed_total",
        SeriesKind::Counter,
        Unit::None,
        8.0,
    ),
    (
        "http_response_bytes_total",
        SeriesKind::Counter,
        Unit::Bytes,
        1.0,
    ),
    (
        "process_cpu_seconds_total",
        SeriesKind::Counter,
        Unit::Seconds,
        1.5,
    ),
    (
        "process_resident_memory_bytes",
        SeriesKind::Gauge,
        Unit::Bytes,
        1.0,
    ),
    ("pool_usage_ratio", SeriesKind::Gauge, Unit::Ratio, 2.0),
    ("queue_length", SeriesKind::Gauge, Unit::None, 5.0),
    (
        "query_duration_seconds",
        SeriesKind::Gauge,
        Unit::Seconds,
        3.0,
    ),
    ("threads", SeriesKind::Gauge, Unit::None, 1.0),
];

/// Series with the running totals that make counters grow.
struct Fleet {
    series: Vec<Arc<Series>>,
    totals: Vec<f64>,
    round: i64,
}

impl Fleet {
    fn new(count: usize) -> Self {
        let series = (0..count)
            .map(|i| {
                let (name, kind, unit, _) = METRICS[i % METRICS.len()];
                let service = format!("svc-{}", i / 20);
                let instance = format!("10.0.0.{}:9090", i / 10 % 2);
                let labels =
                    Labels::from_pairs([("service", service.as_str()), ("instance", &instance)]);
                Arc::new(Series::new(name, labels.expect("short labels"), kind, unit))
            })
            .collect();
        Self {
            series,
            totals: vec![0.0; count],
            round: 0,
        }
    }

    /// The next scrape of everything: one sample a series, and the ticks until the one after it.
    fn scrape(&mut self) -> Vec<Stamped> {
        let at = START.plus_ms(self.round * STEP_MS);
        let samples: Vec<Signal> = (0..self.series.len())
            .map(|i| {
                Signal::Sample(Sample {
                    series: Arc::clone(&self.series[i]),
                    at,
                    value: self.value(i),
                })
            })
            .collect();
        self.round += 1;
        let batches = samples.chunks(BATCH).map(|signals| Stamped {
            seq: 0,
            at,
            input: Input::Signals(Batch {
                source: SourceId::new("bench"),
                signals: signals.to_vec(),
            }),
        });
        let ticks = (0..STEP_MS / TICK_MS).map(|tick| Stamped {
            seq: 0,
            at: at.plus_ms(tick * TICK_MS),
            input: Input::Tick,
        });
        batches.chain(ticks).collect()
    }

    fn value(&mut self, i: usize) -> f64 {
        let (_, kind, _, factor) = METRICS[i % METRICS.len()];
        let turn = (self.round / TROUBLE_PERIOD) as usize;
        let in_trouble = (i / 20 + turn).is_multiple_of(TROUBLE_EVERY)
            && self.round >= WARM_SCRAPES - TROUBLE_PERIOD
            && self.round % TROUBLE_PERIOD >= TROUBLE_PERIOD - TROUBLE_SCRAPES;
        let now = noise(self.round as usize * self.series.len() + i)
            * if in_trouble { 0.15 * factor } else { 0.15 };
        if kind == SeriesKind::Counter {
            self.totals[i] += now;
            return self.totals[i];
        }
        now
    }
}

/// Noise around 1, the same in every run.
fn noise(i: usize) -> f64 {
    let x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    1.0 + 0.1 * ((x >> 40) as f64 / f64::from(1 << 24) - 0.5)
}

/// Feeds a scrape, and notes the incidents that consoles would be told of.
fn feed(
    engine: &mut Engine,
    steps: &[Stamped],
    effects: &mut Vec<Effect>,
    incidents: &mut BTreeSet<IncidentId>,
) {
    for step in steps {
        engine.step(step, effects);
    }
    incidents.extend(effects.iter().filter_map(|effect| match effect {
        Effect::Changed(Delta::Incident(row)) => Some(row.id),
        _ => None,
    }));
    effects.clear();
}

fn samples(c: &mut Criterion) {
    let mut fleet = Fleet::new(SERIES);
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects: Vec<Effect> = Vec::new();
    let mut incidents = BTreeSet::new();
    while fleet.round < WARM_SCRAPES {
        feed(&mut engine, &fleet.scrape(), &mut effects, &mut incidents);
    }
    let mut group = c.benchmark_group("engine");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.sample_size(60);
    group.bench_function("scrape_of_10000_series", |b| {
        b.iter_batched(
            || fleet.scrape(),
            |steps| feed(&mut engine, &steps, &mut effects, &mut incidents),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    println!("{} incidents in {} scrapes", incidents.len(), fleet.round);
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

/// Growth of the resident set by what the engine keeps of a series, once all its memories are full.
/// Name and labels are the source's; the engine shares them.
fn memory() {
    let mut fleet = Fleet::new(SERIES_HELD);
    drop(fleet.scrape());
    let before = resident_bytes();
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects: Vec<Effect> = Vec::new();
    let mut incidents = BTreeSet::new();
    for _ in 0..FULL_SCRAPES {
        feed(&mut engine, &fleet.scrape(), &mut effects, &mut incidents);
    }
    let grown = resident_bytes().saturating_sub(before) as usize;
    println!(
        "memory: {} B a series, {SERIES_HELD} series of {} services; {} B of it detector and excursion",
        grown / SERIES_HELD,
        SERIES_HELD / 20,
        size_of::<SeriesDetector>() + size_of::<Excursion>(),
    );
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    PAGE_BYTES * pages.unwrap_or(0)
}

criterion_group!(benches, samples, alerts);

fn main() {
    // First, on a heap that nothing else has stretched.
    memory();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
