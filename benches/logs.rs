//! Speed of the log path on one thread: the template miner, the whole engine, and what a million
//! distinct templates cost.
//!
//! `cargo bench --bench logs`. Throughput is lines a second on one core. The Loghub lines are read from
//! `$STORMGLASS_BENCH_DATA/loghub_2k`; without it those say that they skip, and the bench's own remain.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::engine::logs::{FORMS_MAX, Miner};
use stormglass::eval::loghub;
use stormglass::model::{Batch, Input, Labels, LogLine, Signal, SourceId, Stamped, Time};

/// Lines a batch of the bench's own.
const LINES: u64 = 16_000;
/// Distinct templates of the flood, and services that write them.
const FLOOD: u64 = 1_000_000;
const FLOOD_SERVICES: u64 = 100;
/// Lines in one batch from a source.
const BATCH: usize = 500;
/// Lines between two ticks: what a second brings at the bar.
const TICK_LINES: usize = 800_000;
/// Where time starts.
const START: Time = Time::from_secs(1_768_392_000);
/// Bytes of a page, as `/proc/self/statm` counts.
const PAGE_BYTES: u64 = 4_096;

/// A reproducible sequence: the generator of Numerical Recipes.
fn numbers() -> impl FnMut(u64) -> u64 {
    let mut state = 7_u64;
    move |below| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// What a mixed fleet writes: a dozen statements, a few names, many values.
fn ordinary() -> Vec<String> {
    let mut pick = numbers();
    let users = ["ann", "bob", "cy", "dora", "eve", "root", "deploy"];
    let line = |n: u64, pick: &mut dyn FnMut(u64) -> u64| match n % 8 {
        0 => format!(
            "Accepted publickey for {} from 10.0.{}.{} port {} ssh2",
            users[pick(7) as usize],
            pick(255),
            pick(255),
            pick(60_000)
        ),
        1 => format!(
            "10.2.{}.{} - - [21/Nov/2026:09:11:{:02} +0000] \"GET /api/v1/items/{} HTTP/1.1\" 200 {}",
            pick(255),
            pick(255),
            pick(60),
            pick(99_999),
            pick(9_999)
        ),
        2 => format!(
            "2026-11-21T09:11:{:02}.{:03}Z INFO  [worker-{}] c.e.shop.OrderService : order {} paid in {} ms",
            pick(60),
            pick(1_000),
            pick(16),
            pick(99_999),
            pick(900)
        ),
        3 => format!(
            "level=info msg=\"request done\" path=/api/cart status=200 dur={}.{}ms trace_id={:032x}",
            pick(900),
            pick(10),
            pick(u64::MAX)
        ),
        4 => format!(
            "{{\"level\":\"warn\",\"msg\":\"cache miss\",\"key\":\"user:{}\",\"took_ms\":{}}}",
            pick(9_999),
            pick(90)
        ),
        5 => format!(
            "Receiving block blk_-{} src: /10.250.{}.{}:{} dest: /10.250.19.102:50010",
            pick(u64::MAX),
            pick(255),
            pick(255),
            pick(60_000)
        ),
        6 => format!(
            "checkpoint complete: wrote {} buffers ({}.{}%); write={}.{:03} s, sync=0.004 s",
            pick(9_999),
            pick(90),
            pick(10),
            pick(9),
            pick(1_000)
        ),
        _ => format!(
            "session opened for user {} by (uid={})",
            users[pick(7) as usize],
            pick(1_000)
        ),
    };
    (0..LINES).map(|n| line(n, &mut pick)).collect()
}

/// Every line a statement of its own: the worst a sender can do.
fn hostile() -> Vec<String> {
    let mut pick = numbers();
    let word = |pick: &mut dyn FnMut(u64) -> u64| -> String {
        (0..7).map(|_| (b'a' + pick(26) as u8) as char).collect()
    };
    (0..LINES)
        .map(|_| {
            (0..8)
                .map(|_| word(&mut pick))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn mine(lines: &[String], miner: &mut Miner) {
    for line in lines {
        black_box(miner.learn(black_box(line)));
    }
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("logs");
    group
        .throughput(Throughput::Elements(LINES))
        .sample_size(20);
    for (name, lines) in [("ordinary", ordinary()), ("hostile", hostile())] {
        group.bench_function(format!("{name}/cold"), |b| {
            b.iter_batched_ref(
                Miner::default,
                |miner| mine(&lines, miner),
                BatchSize::LargeInput,
            );
        });
        let mut warm = Miner::default();
        mine(&lines, &mut warm);
        group.bench_function(format!("{name}/warm"), |b| {
            b.iter(|| mine(&lines, &mut warm));
        });
    }
    group.finish();
}

/// The published lines: each system's own miner, as `eval loghub` has it, then all of them through
/// the engine's door as services that write at once.
fn published(c: &mut Criterion) {
    let Some(data) = std::env::var_os("STORMGLASS_BENCH_DATA") else {
        println!("STORMGLASS_BENCH_DATA is not set: the Loghub lines are skipped");
        return;
    };
    let systems = loghub::lines(&Path::new(&data).join("loghub_2k")).expect("the Loghub lines");
    let lines: usize = systems.values().map(Vec::len).sum();
    let mut group = c.benchmark_group("loghub");
    group
        .throughput(Throughput::Elements(lines as u64))
        .sample_size(30);
    group.bench_function("miner/cold", |b| {
        b.iter(|| {
            for lines in systems.values() {
                mine(lines, &mut Miner::default());
            }
        });
    });
    let mut warm: Vec<Miner> = systems.values().map(|_| Miner::default()).collect();
    group.bench_function("miner/warm", |b| {
        b.iter(|| {
            for (lines, miner) in systems.values().zip(&mut warm) {
                mine(lines, miner);
            }
        });
    });
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects = Vec::new();
    let mut passed = 0;
    group.bench_function("engine", |b| {
        b.iter_batched(
            || {
                passed += lines;
                batches(
                    &systems,
                    START.plus_ms((passed / TICK_LINES) as i64 * 1_000),
                )
            },
            |steps| {
                for step in &steps {
                    engine.step(step, &mut effects);
                }
                effects.clear();
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Every line once, interleaved as services that write at the same time, and a tick.
fn batches(systems: &BTreeMap<String, Vec<String>>, at: Time) -> Vec<Stamped> {
    let most = systems.values().map(Vec::len).max().unwrap_or(0);
    let labels: Vec<Labels> = systems
        .keys()
        .map(|name| Labels::from_pairs([("service", name.as_str())]).expect("short labels"))
        .collect();
    let signals: Vec<Signal> = (0..most)
        .flat_map(|n| {
            systems
                .values()
                .zip(&labels)
                .filter_map(move |(lines, labels)| Some((lines.get(n)?, labels)))
        })
        .map(|(text, labels)| {
            Signal::Log(Box::new(LogLine {
                at,
                labels: labels.clone(),
                level: None,
                text: text.as_str().into(),
                trace: None,
                span: None,
            }))
        })
        .collect();
    let source = SourceId::new("bench");
    let stamp = |input| Stamped { seq: 0, at, input };
    let mut steps: Vec<Stamped> = signals
        .chunks(BATCH)
        .map(|signals| {
            stamp(Input::Signals(Batch {
                source: source.clone(),
                signals: signals.to_vec(),
            }))
        })
        .collect();
    steps.push(stamp(Input::Tick));
    steps
}

/// A statement that never comes twice.
fn once(n: u64) -> String {
    format!(
        "chatty {} {} failed {} of {}",
        letters(n),
        letters(n * 7_919),
        letters(n * 104_729),
        letters(n * 31)
    )
}

/// A million statements that never come twice, among lines that do: what they cost in memory and
/// time, and whether their sender is named. Gives back the miner, so that what it holds stays held.
fn flood() -> Miner {
    let steady: Vec<String> = ordinary().into_iter().take(64).collect();
    let mut miner = Miner::default();
    let before = resident_bytes();
    let start = Instant::now();
    for n in 1..=FLOOD {
        miner.learn(&once(n));
        if n % 50 == 0 {
            miner.learn(&steady[(n / 50 % 64) as usize]);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let (worst, forms) = miner.worst_offender().expect("a million new forms");
    println!(
        "flood: {FLOOD} distinct templates in {seconds:.1} s; {} forms kept of {FORMS_MAX}, {} new, {} evicted; \
         {:.1} MiB; worst offender {worst:?} with {forms} forms",
        miner.forms(),
        miner.stats().forms_new,
        miner.stats().forms_evicted,
        mebibytes_since(before)
    );
    miner
}

/// The same through the engine's door, as services that write at once, a second's lines between two ticks: what
/// the engine as a whole keeps of it.
fn flood_engine() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects = Vec::new();
    let before = resident_bytes();
    let start = Instant::now();
    for batch in 0..FLOOD / BATCH as u64 {
        let at = START.plus_ms(batch as i64 * 500);
        let first = batch * BATCH as u64;
        let signals = (first..first + BATCH as u64).map(|n| {
            let service = format!("service-{}", n % FLOOD_SERVICES);
            let labels = Labels::from_pairs([("service", service.as_str())]).expect("short labels");
            Signal::Log(Box::new(LogLine {
                at,
                labels,
                level: None,
                text: once(n + 1).into(),
                trace: None,
                span: None,
            }))
        });
        let signals = signals.collect();
        let source = SourceId::new("bench");
        for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
            engine.step(&Stamped { seq: 0, at, input }, &mut effects);
        }
        effects.clear();
    }
    println!(
        "flood through the engine: {FLOOD} distinct templates from {FLOOD_SERVICES} services in {:.1} s; {:.1} MiB",
        start.elapsed().as_secs_f64(),
        mebibytes_since(before)
    );
}

fn mebibytes_since(before: u64) -> f64 {
    resident_bytes().saturating_sub(before) as f64 / f64::from(1 << 20)
}

/// A word of letters for a number, different for different numbers.
fn letters(n: u64) -> String {
    let mut rest = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    (0..9)
        .map(|_| {
            let letter = (b'a' + (rest % 26) as u8) as char;
            rest /= 26;
            letter
        })
        .collect()
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    PAGE_BYTES * pages.unwrap_or(0)
}

criterion_group!(benches, bench, published);

fn main() {
    let miner = flood();
    flood_engine();
    drop(miner);
    benches();
    Criterion::default().configure_from_args().final_summary();
}
