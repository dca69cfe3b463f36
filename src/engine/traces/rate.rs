//! How many calls there are of a flow, where samplers say how many each span stands for.
//!
//! The calls of a window are estimated from those kept, each counted as often as it says (Horvitz and
//! Thompson 1952), and compared with what is usual in the number kept: a window of which one in a
//! hundred is kept proves less, and a sampler that begins to keep more changes nothing. Tails are
//! Chernoff bounds of a negative binomial, summed up over windows (Page 1954).

use serde::{Deserialize, Serialize};

use super::judge::Verdict;
use super::{Sampled, WINDOW_MS};
use crate::engine::cusum::{Cusum, EVIDENCE_MIN, Oddity, SURPRISE_USUAL};
use crate::engine::explain;
use crate::engine::logs::{chernoff, chernoff_low};
use crate::engine::set_back::SetBack;
use crate::model::{Band, BaselineVersion, Time};

/// Windows before anything is judged: an hour, so that a deploy or a cron job is known to happen.
const WARM_UP_WINDOWS: u32 = 360;
/// Weight of a window in what is usual: an hour and a half of windows.
const WEIGHT_MIN: f64 = 1.0 / 540.0;
/// A rate of this many times the usual, or of one in as many, is odd.
const RATIO_MIN: f64 = 2.0;
/// −log10 of the chance of a window, at most: one window alone opens nothing.
const SURPRISE_MAX: f64 = 3.0;
/// A window teaches at most so many standard deviations.
const TEACH_SIGMAS_MAX: f64 = 4.0;

/// What is usual of one flow, and whether it is so now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    windows: u32,
    /// Calls in a window.
    usual: f64,
    /// Variance of the calls beyond that of sampling them, over the square of their mean.
    spread: f64,
    /// Calls that one kept stands for.
    weight: f64,
    /// Whether the evidence is that there are fewer.
    is_down: bool,
    odd: Cusum,
}

impl Rate {
    /// Judges the window that ends at `at`, then learns it unless it is odd.
    pub(super) fn judge(&mut self, at: Time, window: &Sampled) -> Verdict {
        if window.weight > 0.0 {
            self.weight = window.squares / window.weight;
        }
        if self.weight <= 0.0 {
            return Verdict::Usual;
        }
        let kept = window.weight / self.weight;
        let mean = self.usual / self.weight;
        let variance = mean + self.spread * mean * mean;
        let is_warm = self.windows >= WARM_UP_WINDOWS;
        // Little history, or a rare flow, expects a little more or less.
        let doubt = (variance / f64::from(self.windows.max(1)).min(1.0 / WEIGHT_MIN)).sqrt();
        let (up, down) = if is_warm {
            let (high, low) = (mean + doubt, (mean - doubt).max(0.0));
            let is_more = kept >= RATIO_MIN * mean;
            let is_less = kept * RATIO_MIN <= mean;
            let up = chernoff(kept, high, variance.max(high));
            let down = chernoff_low(kept, low, variance.max(low));
            (
                if is_more { up } else { 0.0 },
                if is_less { down } else { 0.0 },
            )
        } else {
            (0.0, 0.0)
        };
        let surprise = up.max(down).min(SURPRISE_MAX);
        let began = at.plus_ms(-WINDOW_MS);
        if surprise > SURPRISE_USUAL && self.is_down != (down > up) {
            self.is_down = down > up;
            self.odd.turn_round(began);
        }
        let judged = self.odd.judge(began, at, surprise);
        let sigma = variance.sqrt() * self.weight;
        let verdict = judged.map(|()| self.seen(window.weight, sigma));
        if verdict == Verdict::Accepted {
            *self = Self::default();
        } else if verdict.is_usual() && self.odd.is_quiet() {
            self.learn(window.weight, variance * self.weight * self.weight);
        }
        verdict
    }

    /// So many calls in a window, a second.
    fn seen(&self, calls: f64, sigma: f64) -> Oddity {
        const PER_SECOND: f64 = 1_000.0 / WINDOW_MS as f64;
        Oddity {
            seen: calls * PER_SECOND,
            expected: Band {
                low: (self.usual - 3.0 * sigma).max(0.0) * PER_SECOND,
                high: (self.usual + 3.0 * sigma) * PER_SECOND,
            },
            score: self.odd.evidence(),
        }
    }

    fn learn(&mut self, calls: f64, variance: f64) {
        self.windows = self.windows.saturating_add(1);
        let step = (1.0 / f64::from(self.windows)).max(WEIGHT_MIN);
        let most = TEACH_SIGMAS_MAX * variance.max(self.weight * self.weight).sqrt();
        let off = if self.windows > WARM_UP_WINDOWS {
            (calls - self.usual).clamp(-most, most)
        } else {
            calls - self.usual
        };
        self.usual += step * off;
        let of_sampling = self.usual * self.weight;
        let beyond = (off * off - of_sampling) / (self.usual * self.usual).max(f64::MIN_POSITIVE);
        self.spread = (self.spread + step * (beyond - self.spread)).max(0.0);
    }

    /// Calls a second that are usual, the evidence that there are more or fewer, and what it takes to be
    /// told; `None` while that is learned.
    pub fn standing(&self) -> Option<(f64, f64, f64)> {
        let per_second = self.usual * 1_000.0 / WINDOW_MS as f64;
        let is_warm = self.windows >= WARM_UP_WINDOWS;
        is_warm.then_some((per_second, self.odd.evidence(), EVIDENCE_MIN))
    }

    /// What judges: the windows learned, `since` when.
    pub fn baseline(&self, since: Time) -> BaselineVersion {
        explain::baseline(self.windows, WARM_UP_WINDOWS, since)
    }

    /// When what is odd began.
    pub(super) fn since(&self) -> Time {
        self.odd.since()
    }

    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, back: SetBack) {
        self.odd.set_back(back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::dice::Dice;

    struct Bench {
        rate: Rate,
        at: Time,
        dice: Dice,
        told: Vec<Verdict>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                rate: Rate::default(),
                at: Time::from_secs(1_768_392_000),
                dice: Dice(5),
                told: Vec::new(),
            }
        }

        /// Minutes of so many calls in a window, of which one in so many is kept.
        fn minutes(&mut self, minutes: i64, calls: u32, one_in: u32) {
            for _ in 0..minutes * 6 {
                let calls = (f64::from(calls) * (0.8 + 0.4 * self.dice.unit())) as u32;
                let kept = (0..calls)
                    .filter(|_| self.dice.unit() * f64::from(one_in) < 1.0)
                    .count();
                let mut window = Sampled::default();
                for _ in 0..kept {
                    window.add(1_000, false, f64::from(one_in));
                }
                self.at = self.at.plus_ms(WINDOW_MS);
                let verdict = self.rate.judge(self.at, &window);
                if verdict != Verdict::Usual {
                    self.told.push(verdict);
                }
            }
        }
    }

    #[test]
    fn another_sampling_is_no_other_traffic() {
        let mut bench = Bench::new();
        bench.minutes(120, 200, 1);
        for one_in in [100, 20, 1, 50, 2] {
            bench.minutes(60, 200, one_in);
            assert_eq!(bench.told, [], "one in {one_in}");
        }
    }

    #[test]
    fn more_and_fewer_calls_are_told_until_that_is_over() {
        for (one_in, calls) in [(1, 600), (1, 20), (10, 900), (10, 0)] {
            let mut bench = Bench::new();
            bench.minutes(180, 200, one_in);
            assert_eq!(bench.told, []);
            bench.minutes(8, calls, one_in);
            let Some(Verdict::Odd(odd)) = bench.told.first().copied() else {
                panic!("{calls}, one in {one_in}: {:?}", bench.told);
            };
            let Band { low, high } = odd.expected;
            assert!(odd.score >= EVIDENCE_MIN && low < 20.0 && high > 20.0);
            let wanted = f64::from(calls) / 10.0;
            let off = (odd.seen - wanted).abs();
            assert!(off <= 0.5 * wanted.max(1.0), "{odd:?} {wanted}");
            bench.minutes(3, 200, one_in);
            assert_eq!(bench.told.last(), Some(&Verdict::Over));
        }
    }

    #[test]
    fn rare_and_bursty_flows_are_quiet_and_what_lasts_is_accepted() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.minutes(13, 0, 1);
            bench.minutes(2, 300, 1);
        }
        assert_eq!(bench.told, [], "a job every quarter of an hour");
        let mut bench = Bench::new();
        bench.minutes(180, 200, 1);
        bench.minutes(6 * 60 + 10, 600, 1);
        assert!(bench.told.contains(&Verdict::Accepted));
        bench.told.clear();
        bench.minutes(180, 600, 1);
        assert_eq!(bench.told, []);
    }
}
