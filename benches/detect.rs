//! Speed of the metric detectors: samples a second on one thread over 10,000 series in turn, so that
//! each series' state is cold, as when scrapes arrive.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use stormglass::engine::detect::{Excursion, SeriesDetector, Transition};
use stormglass::model::Time;

/// Series judged in turn.
const SERIES: usize = 10_000;
/// Samples each series has learned before the clock starts.
const WARM_SAMPLES: usize = 300;
/// Time between samples, in milliseconds.
const STEP_MS: i64 = 10_000;

fn detect(c: &mut Criterion) {
    let mut watched: Vec<(SeriesDetector, Excursion)> = (0..SERIES)
        .map(|_| (SeriesDetector::new(), Excursion::default()))
        .collect();
    let values: Vec<f64> = (0..=SERIES * 7).map(noise).collect();
    let mut round = 0_usize;
    for _ in 0..WARM_SAMPLES {
        scrape(&mut watched, &values, round);
        round += 1;
    }
    let mut group = c.benchmark_group("detect");
    group.throughput(Throughput::Elements(SERIES as u64));
    group.sample_size(30);
    group.bench_function("scrape_of_10000_series", |b| {
        b.iter_batched(
            || {
                round += 1;
                round
            },
            |round| black_box(scrape(&mut watched, &values, round)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// One sample for every series; returns how many excursions changed, so that nothing is optimised away.
fn scrape(watched: &mut [(SeriesDetector, Excursion)], values: &[f64], round: usize) -> usize {
    let at = Time::from_ms(1_767_571_200_000 + round as i64 * STEP_MS);
    let season = 100.0 + 50.0 * (round as f64 / 8_640.0 * std::f64::consts::TAU).sin();
    let offset = round * 7_919 % (values.len() - watched.len());
    watched
        .iter_mut()
        .zip(&values[offset..])
        .map(|((detector, excursion), noise)| {
            let Ok(verdict) = detector.observe(at, season + noise) else {
                return 0;
            };
            usize::from(excursion.next(at, &verdict) != Transition::Quiet)
        })
        .sum()
}

/// Repeatable noise, about normal with a standard deviation of 5.
fn noise(i: usize) -> f64 {
    let mut state = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..4)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * 8.66
        })
        .sum()
}

criterion_group!(benches, detect);
criterion_main!(benches);
