//! Proof of the calibration: one threshold is one false-alarm rate, whatever the series looks like.
//!
//! Series without any fault are drawn from distributions that telemetry has; counted is how often each
//! check, the point score and the evidence pass a threshold. The rates are printed, and held to a factor.

use std::collections::BTreeMap;

use super::*;
use crate::engine::dice::Dice;

const INTERVAL_MS: i64 = 60_000;
/// A Monday.
const START_MS: i64 = 1_767_571_200_000;
/// Samples that teach before anything is counted: three days, so that a season is known.
const TAUGHT: usize = 3 * 1_440;
/// Samples counted, of each series.
const COUNTED: usize = 20 * 1_440;

impl Dice {
    fn laplace(&mut self) -> f64 {
        let unit = self.unit() - 0.5;
        -unit.signum() * (1.0 - 2.0 * unit.abs()).ln()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let least = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0.0;
        while product > least {
            product *= self.unit();
            count += 1.0;
        }
        count
    }

    /// Student's with three degrees of freedom: variance finite, hardly more.
    fn student(&mut self) -> f64 {
        let chi = (0..3).map(|_| self.normal().powi(2)).sum::<f64>();
        self.normal() / (chi / 3.0).sqrt()
    }
}

/// A value, from the sample's number, the noise, and what is remembered of the one before.
type Draw = fn(usize, &mut Dice, &mut f64) -> f64;

/// The distributions.
const DISTRIBUTIONS: [(&str, Draw); 9] = [
    ("Gaussian", |_, d, _| 100.0 + d.normal()),
    ("Laplace", |_, d, _| 100.0 + d.laplace()),
    ("AR(0.9)", |_, d, last| {
        *last = 0.9 * *last + d.normal();
        100.0 + *last
    }),
    ("Poisson counts", |_, d, _| d.poisson(4.0)),
    ("heavy tails", |_, d, _| 100.0 + d.student()),
    ("log-normal", |_, d, _| (0.5 * d.normal()).exp()),
    ("seasonal", |i, d, _| {
        100.0 + 50.0 * (i as f64 / 1_440.0 * std::f64::consts::TAU).sin() + 3.0 * d.normal()
    }),
    ("noise in proportion", |i, d, _| {
        100.0 * course(i, 0.6) * (1.0 + 0.05 * d.normal())
    }),
    ("counts by day", |i, d, _| d.poisson(6.0 * course(i, 0.8))),
];

/// The course of a day around 1.
fn course(i: usize, swing: f64) -> f64 {
    1.0 + swing * (i as f64 / 1_440.0 * std::f64::consts::TAU).sin()
}

/// What is counted of one series.
#[derive(Debug, Default)]
struct Rates {
    /// Samples at which each check scores at least 2.
    checks: [u32; CHECKS.len()],
    /// Samples at which the deviation alone scores at least 3.
    surprise: u32,
    /// Excursions opened.
    opened: u32,
    /// Samples at which the evidence would page.
    pages: u32,
    /// Stretches told, by the check that told them.
    stretches: BTreeMap<&'static str, u32>,
}

fn rates(draw: Draw, seed: u64) -> Rates {
    let mut dice = Dice(seed);
    let mut last = 0.0;
    let mut detector = SeriesDetector::new();
    let mut excursion = Excursion::default();
    let mut sustained = Sustained::default();
    let mut is_told = false;
    let mut rates = Rates::default();
    for i in 0..TAUGHT + COUNTED {
        let at = Time::from_ms(START_MS + i as i64 * INTERVAL_MS);
        let value = draw(i, &mut dice, &mut last);
        let verdict = detector
            .observe(at, value)
            .expect("each sample is later than the one before");
        let opened = excursion.next(at, &verdict) == Transition::Opened;
        let was_told = is_told;
        let turn = sustained.next(at, &verdict);
        is_told = matches!(turn, Turn::Open(_));
        if i < TAUGHT {
            continue;
        }
        if let (Turn::Open(stretch), false) = (turn, was_told) {
            *rates.stretches.entry(stretch.title).or_default() += 1;
        }
        for (count, score) in rates.checks.iter_mut().zip(verdict.scores) {
            *count += u32::from(score >= AGREE_SCORE);
        }
        rates.surprise += u32::from(verdict.surprise >= 3.0);
        rates.opened += u32::from(opened);
        rates.pages += u32::from(verdict.evidence >= joint::PAGE_SCORE);
    }
    rates
}

#[test]
fn one_threshold_is_one_false_alarm_rate_whatever_the_distribution() {
    const SEEDS: u64 = 2;
    let samples = f64::from(SEEDS as u32) * COUNTED as f64;
    for (name, draw) in DISTRIBUTIONS {
        let all: Vec<Rates> = (1..=SEEDS).map(|seed| rates(draw, seed)).collect();
        let sum = |of: &dyn Fn(&Rates) -> u32| all.iter().map(of).sum::<u32>();
        let share = |of: &dyn Fn(&Rates) -> u32| 100.0 * f64::from(sum(of)) / samples;
        let checks: Vec<String> = CHECKS
            .iter()
            .enumerate()
            .map(|(i, row)| format!("{} {:.2}", row.title, share(&|r| r.checks[i])))
            .collect();
        println!(
            "{name}: {} %; deviation beyond 3: {:.3} %; excursions {} of {samples}, pages {}",
            checks.join(", "),
            share(&|r| r.surprise),
            sum(&|r| r.opened),
            sum(&|r| r.pages)
        );
        for (i, row) in CHECKS.iter().enumerate() {
            // Claimed: 1 %. Some checks are rarer on some series, none is much more frequent.
            let seen = share(&|r| r.checks[i]);
            assert!(seen <= 1.5, "{name}, {}: {seen} %", row.title);
        }
        let spike = share(&|r| r.checks[0]);
        assert!(
            (0.3..1.5).contains(&spike),
            "{name}: {spike} %, a factor of 3"
        );
        let beyond = share(&|r| r.surprise);
        assert!(
            (0.03..0.2).contains(&beyond),
            "{name}: {beyond} %, claimed 0.1 %"
        );
        // Claimed: one in a million samples, and one in ten thousand million.
        assert!(
            sum(&|r| r.opened) <= 1,
            "{name}: {} excursions",
            sum(&|r| r.opened)
        );
        assert_eq!(sum(&|r| r.pages), 0, "{name}");
        // Claimed: none in as many days, of any check that can be told by itself.
        for rates in &all {
            assert_eq!(rates.stretches, BTreeMap::new(), "{name}");
        }
    }
}
