//! Speed of the log template miner, on lines the bench makes itself.
//!
//! `cargo bench --bench logs`. Throughput is lines a second on one core.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stormglass::engine::logs::Miner;

/// Lines a batch.
const LINES: u64 = 16_000;

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

criterion_group!(benches, bench);
criterion_main!(benches);
