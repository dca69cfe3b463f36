//! What is told only when something happened, and happens more often than usual: deltas of OTLP or StatsD, of which
//! nothing is sent while there is nothing to send.
//!
//! As the rate of a series each such point says "one, after so long", which varies so much that no single one is odd. So
//! what happened is counted over as long as usually brings some points, and compared with the usual count: tails are
//! Chernoff bounds of a negative binomial, summed up over windows (Page 1954). It informs. That less happens than
//! usual it never tells.
//!
//! It looks like [`super::traces::Rate`] and is another matter: windows here are as long as some points take, and vary as counts do,
//! in proportion to their mean; calls come in windows of the clock, vary in proportion to themselves (variance as the square of the mean),
//! and each may stand for many. What both share is shared: [`Cusum`] and the bounds.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::cusum::{Cusum, EVIDENCE_MIN, Judged, Oddity};
use super::explain;
use super::findings::{Key, Observation};
use super::intake::{Reading, SeriesIx};
use super::logs::chernoff;
use super::set_back::SetBack;
use crate::model::{BaselineVersion, Check, Direction, Time, Unit};

/// A window is as long as it usually takes for so many points to come …
const POINTS: f64 = 6.0;
/// … or ends with as many times more of them.
const POINTS_MORE: f64 = 3.0;
/// Windows before anything is judged.
const WARM_UP_WINDOWS: u32 = 20;
/// Weight of a window in what is usual.
const WEIGHT_MIN: f64 = 1.0 / 64.0;
/// Less than this many times the usual is never odd.
const RATIO_MIN: f64 = 2.0;
/// −log10 of the chance of a window, at most: one alone opens nothing.
const SURPRISE_MAX: f64 = 4.0;
/// A point says that no more than this happened: squares of it can still be summed up.
const AMOUNT_MAX: f64 = 1e15;
/// A window of which less is expected says nothing of how much counts vary.
const MEAN_MIN: f64 = 1.0;
/// A window teaches at most so many standard deviations.
const TEACH_SIGMAS_MAX: f64 = 4.0;

/// What usually happens of one series, and whether it does so more often now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrivals {
    windows: u32,
    /// Points in a second.
    points_rate: f64,
    /// What they add up to in a second.
    rate: f64,
    /// Variance of the sum of a window over its mean: 1 if nothing happens together.
    dispersion: f64,
    /// The present window.
    began: Time,
    points: u32,
    sum: f64,
    odd: Cusum,
}

impl Arrivals {
    /// Takes a point, which says that `amount` happened since the one before.
    pub fn take(&mut self, at: Time, amount: f64) -> Judged<Oddity> {
        if self.began == Time::ZERO {
            self.began = at;
            return Judged::Usual;
        }
        self.points += 1;
        if amount > 0.0 {
            self.sum += amount.min(AMOUNT_MAX);
        }
        let seconds = at.since(self.began) as f64 / 1_000.0;
        let points = f64::from(self.points);
        let is_whole = if self.windows == 0 {
            points >= POINTS
        } else {
            seconds * self.points_rate >= POINTS || points >= POINTS * POINTS_MORE
        };
        if !is_whole || seconds <= 0.0 {
            return Judged::Usual;
        }
        self.judge(at, seconds)
    }

    fn judge(&mut self, at: Time, seconds: f64) -> Judged<Oddity> {
        let mean = self.rate * seconds;
        let variance = self.dispersion.max(1.0) * mean;
        // Little history expects a little more.
        let doubt = (variance * f64::from(self.windows.max(1)).recip().max(WEIGHT_MIN)).sqrt();
        let is_more = self.windows >= WARM_UP_WINDOWS && self.sum >= RATIO_MIN * mean;
        let surprise = if is_more {
            chernoff(self.sum, mean + doubt, variance.max(mean + doubt)).min(SURPRISE_MAX)
        } else {
            0.0
        };
        let judged = self.odd.judge(self.began, at, surprise);
        let odd = judged.map(|()| {
            let high = (mean + 3.0 * variance.sqrt()) / seconds;
            Oddity::up_to(self.sum / seconds, high, self.odd.evidence())
        });
        if odd == Judged::Accepted {
            *self = Self::default();
        } else if odd.is_usual() && self.odd.is_quiet() {
            self.learn(seconds, variance);
        }
        (self.began, self.points, self.sum) = (at, 0, 0.0);
        odd
    }

    fn learn(&mut self, seconds: f64, variance: f64) {
        self.windows = self.windows.saturating_add(1);
        let weight = f64::from(self.windows).recip().max(WEIGHT_MIN);
        let mean = self.rate * seconds;
        let most = TEACH_SIGMAS_MAX * variance.max(1.0).sqrt();
        let off = if self.windows > WARM_UP_WINDOWS {
            (self.sum - mean).clamp(-most, most)
        } else {
            self.sum - mean
        };
        self.rate += weight * off / seconds;
        let points = f64::from(self.points) / seconds;
        self.points_rate += weight * (points - self.points_rate);
        if self.windows == 1 {
            // It has nothing to compare with.
            self.dispersion = 1.0;
        } else if mean >= MEAN_MIN {
            self.dispersion += weight * (off * off / mean - self.dispersion);
        }
    }

    /// When what is odd began.
    pub fn since(&self) -> Time {
        self.odd.since()
    }

    /// What judges: the windows learned, `since` when.
    pub fn baseline(&self, since: Time) -> BaselineVersion {
        explain::baseline(self.windows, WARM_UP_WINDOWS, since)
    }

    /// What usually happens in a second, the evidence that it is more, and what it takes to be told; `None` while that is
    /// learned.
    pub fn standing(&self) -> Option<(f64, f64, f64)> {
        let is_warm = self.windows >= WARM_UP_WINDOWS;
        is_warm.then_some((self.rate, self.odd.evidence(), EVIDENCE_MIN))
    }

    /// Nothing more is heard of it.
    pub fn end(&mut self) {
        self.odd = Cusum::default();
        (self.points, self.sum, self.began) = (0, 0.0, Time::ZERO);
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.began);
        self.odd.set_back(back);
    }
}

impl Engine {
    /// Counts what a point says happened, if it is of a series that is told only then.
    pub(super) fn count_arrival(&mut self, reading: &Reading) {
        let row = self.intake.row_mut(reading.series);
        if !row.is_delta() {
            return;
        }
        let Some(arrivals) = row.judge.arrivals() else {
            return;
        };
        let amount = reading.value * f64::from(reading.step_ms) / 1_000.0;
        let judged = arrivals.take(reading.at, amount);
        if !judged.is_usual() {
            self.tell_of_arrivals(reading.series, reading.at, judged);
        }
    }

    fn tell_of_arrivals(&mut self, series: SeriesIx, at: Time, judged: Judged<Oddity>) {
        let key = Key::Arrivals(series);
        let row = self.intake.row(series);
        let name = explain::subject(&row.series.name);
        let what = || format!("how often {name} happen");
        let Some(odd) = self.findings.settle(key, at, judged, what) else {
            return;
        };
        let Some(arrivals) = row.judge.known_arrivals() else {
            return;
        };
        let since = arrivals.since();
        let score = odd.score as f32;
        let explain = explain::rarity(score)
            .judged_by([("points in a window", true)])
            .judged_by(row.judge.opinions())
            .against(arrivals.baseline(row.judge.detector().since()));
        let unit = match row.unit {
            Unit::None => Unit::PerSecond,
            unit => unit,
        };
        self.observe(Observation {
            key,
            entity: row.entity,
            callee: None,
            sick: row.entity,
            check: Check::LevelShift,
            series: Some(row.series.id),
            text: explain::metric(&row.series.name, odd.seen, odd.expected, unit, since),
            subject: row.series.name.as_ref().into(),
            role: row.role,
            unit,
            since,
            at,
            expected: odd.expected,
            seen: odd.seen,
            direction: Direction::Up,
            score,
            pages: false,
            explain,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::dice::Dice;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, WhyAnswer,
    };

    const START_S: i64 = 1_767_571_200;
    const STEP_S: i64 = 10;
    const HOUR_S: i64 = 3_600;

    /// An engine that is told each ten seconds of what happened, when anything did: with such a chance, so many at a
    /// time.
    fn lived(
        hours: i64,
        seed: u64,
        chance: impl Fn(i64) -> f64,
        amount: impl Fn(f64) -> f64,
    ) -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let mut dice = Dice(seed);
        let labels = Labels::from_pairs([("service", "cart")]).unwrap();
        let of = |name: &str, kind| Arc::new(Series::new(name, labels.clone(), kind, Unit::None));
        let (failed, memory) = (
            of("jobs_failed", SeriesKind::Delta),
            of("memory", SeriesKind::Gauge),
        );
        for second in (0..hours * HOUR_S).step_by(STEP_S as usize) {
            let at = Time::from_secs(START_S + second);
            let sample = |series: &Arc<Series>, value| {
                let series = Arc::clone(series);
                Signal::Sample(Sample { series, at, value })
            };
            let mut signals = vec![sample(&memory, 5.0 + dice.unit())];
            if dice.unit() < chance(second) {
                signals.push(sample(&failed, amount(dice.unit())));
            }
            let source = SourceId::new("otlp");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        engine
    }

    fn told(engine: &Engine) -> Option<(String, Check, bool)> {
        let mut rows = engine.intake.iter();
        let (series, _) = rows.find(|(_, row)| &*row.series.name == "jobs_failed")?;
        let finding = &engine.findings.of_key(Key::Arrivals(series))?.finding;
        Some((finding.text.to_string(), finding.check, finding.pages))
    }

    /// One in five minutes for two days, and then many times as many.
    fn from_then_on(times: f64) -> impl Fn(i64) -> f64 {
        move |second| {
            if second < 48 * HOUR_S {
                1.0 / 30.0
            } else {
                times / 30.0
            }
        }
    }

    #[test]
    fn what_happens_many_times_as_often_is_told() {
        for seed in 1..=8 {
            let engine = lived(49, seed, from_then_on(15.0), |_| 1.0);
            let (text, check, pages) = told(&engine).expect("it is told within the hour");
            assert!(text.starts_with("jobs failed "), "{seed}: {text}");
            assert_eq!((check, pages), (Check::LevelShift, false), "{seed}");
        }
        let engine = lived(49, 3, from_then_on(15.0), |_| 1.0);
        let WhyAnswer::One(why) = engine.why("jobs_failed", None) else {
            panic!("it is the only one");
        };
        assert!(why.finding.is_some(), "{why:?}");
    }

    #[test]
    fn as_usual_it_is_quiet_also_of_what_happens_together() {
        for seed in 1..=8 {
            assert_eq!(
                told(&lived(60, seed, from_then_on(1.0), |_| 1.0)),
                None,
                "{seed}"
            );
            let many = |dice: f64| (dice.powi(6) * 100.0).ceil();
            assert_eq!(
                told(&lived(60, seed, from_then_on(1.0), many)),
                None,
                "{seed}: many"
            );
        }
    }

    /// Windows of points of six amounts each, ten seconds apart.
    fn learned(windows: &[f64]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        let points = windows.iter().flat_map(|sum| [sum / 6.0; 6]);
        for (n, amount) in (1..).zip(std::iter::once(0.0).chain(points)) {
            arrivals.take(Time::from_secs(START_S + 10 * n), amount);
        }
        arrivals
    }

    #[test]
    fn what_begins_with_nothing_learns_how_its_counts_vary() {
        for first in [0.0, 0.5] {
            let sums: Vec<f64> = std::iter::once(first)
                .chain((0..60).map(|n| if n % 3 == 0 { 60.0 } else { 0.0 }))
                .collect();
            let arrivals = learned(&sums);
            let dispersion = arrivals.dispersion;
            assert!((10.0..100.0).contains(&dispersion), "{first}: {dispersion}");
        }
        let few = learned(&[0.0, 3.0, 0.0, 0.0, 2.0, 0.0]);
        assert!(few.dispersion <= 10.0, "{few:?}");
    }

    proptest! {
        #[test]
        fn what_is_learned_stays_a_number(sums in prop::collection::vec(
            prop_oneof![Just(0.0), Just(f64::MAX), Just(f64::MIN_POSITIVE), 0.0..10.0_f64, -1e300..1e300_f64],
            0..80,
        )) {
            let Arrivals { points_rate, rate, dispersion, .. } = learned(&sums);
            for number in [points_rate, rate, dispersion] {
                prop_assert!(number.is_finite(), "{sums:?}: {number}");
            }
        }
    }

    #[test]
    fn it_is_over_once_nothing_happens_any_more() {
        let chance = |second| match second / HOUR_S {
            0..48 => 1.0 / 30.0,
            48 => 0.5,
            _ => 0.0,
        };
        assert!(told(&lived(49, 3, chance, |_| 1.0)).is_some());
        assert_eq!(told(&lived(50, 3, chance, |_| 1.0)), None);
    }
}
