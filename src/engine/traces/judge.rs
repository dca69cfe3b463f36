//! Are these calls slower, or failing more, than usual? Made for few calls: with head sampling a
//! window of ten seconds often holds one or two.
//!
//! Durations are judged by their logarithm, of which the mean and the spread are learned call by
//! call; a window's mean is compared with a spread that shrinks with the calls in it. Failures are
//! judged by the Poisson tail of a window, and by all windows together ([`Rise`]). Abnormal windows do not
//! teach, for a while.

use serde::{Deserialize, Serialize};

use super::rise::{RISE, Rise};
use crate::engine::cusum::{Judged, Oddity};
use crate::model::Band;

/// Calls it takes until anything is judged.
pub const WARM_UP_CALLS: u32 = 20;
/// Memory, in calls.
const MEMORY_CALLS: f64 = 1_000.0;
/// Spread of a window's mean beyond that of its calls: workloads wander, in log units.
const WANDER: f64 = 0.12;
/// The smallest spread of single calls believed, in log units.
const SPREAD_MIN: f64 = 0.15;
/// Standard deviations from which a window is odd …
pub const ODD_Z: f64 = 3.5;
/// … as −log10 p …
pub const SLOW_SCORE: f32 = 3.6;
/// … and from which it is so odd that no second one is awaited.
const SURE_Z: f64 = 7.0;
/// Slower by less than this factor is never worth a finding.
const SLOWER_MIN: f64 = 1.5;
/// −log10 p of a window's failures from which it is odd …
pub const ODD_SCORE: f64 = 2.5;
/// … and from which no second one is awaited.
const SURE_SCORE: f64 = 8.0;
/// A failing share never counts as lower than this: one failure in a thousand calls is life.
const FAILING_MIN: f64 = 0.003;
/// Odd windows in a row after which the new way is usual, and told as that: 6 hours of calls.
const ODD_WINDOWS_MAX: u32 = 6 * 360;
/// Quiet windows in a row that end a finding.
const QUIET_WINDOWS: u32 = 2;
/// Highest score told.
const SCORE_MAX: f64 = 50.0;

/// Calls kept of those that were made, each with how many it stands for: sums over all that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sampled {
    /// Calls that were made.
    pub weight: f64,
    /// Sum of the squares of the weights.
    pub squares: f64,
    /// Calls that failed.
    pub errors: f64,
    /// Sum of the logarithms of durations in seconds.
    pub log_sum: f64,
    /// Sum of their squares.
    pub log_squares: f64,
}

/// The calls of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Calls.
    pub calls: f64,
    /// Calls that failed.
    pub errors: f64,
    /// Sum of the logarithms of durations in seconds.
    pub log_sum: f64,
    /// Sum of their squares.
    pub log_squares: f64,
}

/// What is usual.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Usual {
    calls: f64,
    mean: f64,
    variance: f64,
    errors: f64,
    slow: Streak,
    failing: Streak,
    rise: Rise,
}

/// Odd windows in a row, and quiet ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Streak {
    odd: u32,
    quiet: u32,
    is_open: bool,
}

/// What is to be said about a window: seconds, or the share of failures.
pub type Verdict = Judged<Oddity>;

impl Sampled {
    /// Adds a call that stands for `weight` calls.
    pub fn add(&mut self, duration_us: u64, error: bool, weight: f64) {
        let log = (duration_us.max(1) as f64 / 1e6).ln();
        self.weight += weight;
        self.squares += weight * weight;
        self.errors += weight * f64::from(u8::from(error));
        self.log_sum += weight * log;
        self.log_squares += weight * log * log;
    }

    /// Whether no call was kept.
    pub fn is_empty(&self) -> bool {
        self.weight <= 0.0
    }

    /// The window these calls prove: as many as calls of one weight would have to be to prove as much
    /// (Kish 1965), with the means and shares of all that were made.
    pub fn window(&self) -> Window {
        if self.is_empty() {
            return Window::default();
        }
        let each = self.weight / self.squares;
        Window {
            calls: self.weight * each,
            errors: self.errors * each,
            log_sum: self.log_sum * each,
            log_squares: self.log_squares * each,
        }
    }
}

impl Window {
    /// Adds the calls of another window.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.log_sum += other.log_sum;
        self.log_squares += other.log_squares;
    }

    fn mean(&self) -> f64 {
        self.log_sum / self.calls
    }
}

impl Usual {
    /// Judges durations and failures of a window with at least one call, then learns from it.
    pub fn judge(&mut self, window: &Window) -> (Verdict, Verdict) {
        let is_warm = self.calls >= f64::from(WARM_UP_CALLS);
        let (slow, failing) = if is_warm {
            (self.judge_slow(window), self.judge_failing(window))
        } else {
            (Verdict::Usual, Verdict::Usual)
        };
        if slow == Verdict::Accepted || failing == Verdict::Accepted {
            // What is usual is learned anew; what else was odd against the old usual is over with it.
            *self = Self::default();
            let end = |verdict| match verdict {
                Verdict::Odd(_) => Verdict::Accepted,
                other => other,
            };
            return (end(slow), end(failing));
        }
        if self.slow.teaches() && self.failing.teaches() && self.rise.teaches() {
            self.learn(window);
        }
        (slow, failing)
    }

    fn judge_slow(&mut self, window: &Window) -> Verdict {
        let z = self.z(window);
        let slower = (window.mean() - self.mean).exp();
        let is_odd = z >= ODD_Z && slower >= SLOWER_MIN;
        // One call proves nothing, however slow.
        let is_sure = z >= SURE_Z && window.calls >= 2.0;
        let spread = self.spread() * 2.0;
        let odd = Verdict::Odd(Oddity {
            seen: window.mean().exp(),
            expected: Band {
                low: (self.mean - spread).exp(),
                high: (self.mean + spread).exp(),
            },
            score: score_of_z(z),
        });
        self.slow.turn(is_odd, is_sure, odd)
    }

    fn judge_failing(&mut self, window: &Window) -> Verdict {
        let usual = self.failing();
        self.rise.take(window, usual);
        let score = self.failing_score(window);
        let of_window = score >= ODD_SCORE && window.errors > 2.0 * usual * window.calls;
        let is_sure = score >= SURE_SCORE || self.rise.is_open();
        // What lasts is told by what failed since it began, where the last window is too small to show it.
        let (share, score) = if of_window {
            (window.errors / window.calls, score)
        } else {
            (self.rise.share(), self.rise.evidence())
        };
        let high = (RISE * usual).min(1.0);
        let odd = Verdict::Odd(Oddity::up_to(share, high, score.min(SCORE_MAX)));
        let is_odd = of_window || self.rise.is_open();
        self.failing.turn(is_odd, is_sure, odd)
    }

    fn learn(&mut self, window: &Window) {
        let kept = self.calls.min((MEMORY_CALLS - window.calls).max(0.0));
        let total = kept + window.calls;
        let mean = (kept * self.mean + window.log_sum) / total;
        let squares = kept * (self.variance + self.mean * self.mean) + window.log_squares;
        self.variance = (squares / total - mean * mean).max(0.0);
        self.mean = mean;
        self.errors = self.errors * kept / self.calls.max(1.0) + window.errors;
        self.calls = total;
    }

    fn failing(&self) -> f64 {
        (self.errors / self.calls).max(FAILING_MIN)
    }

    /// −log10 of the chance of as many failures as in `window`, were all as usual.
    pub fn failing_score(&self, window: &Window) -> f64 {
        poisson_score(window.errors, window.calls * self.failing())
    }

    fn spread(&self) -> f64 {
        self.variance.sqrt().max(SPREAD_MIN)
    }

    /// Standard deviations by which a window's calls are slower than usual.
    pub fn z(&self, window: &Window) -> f64 {
        let spread = self.spread();
        let of_mean = (spread * spread / window.calls + WANDER * WANDER).sqrt();
        (window.mean() - self.mean) / of_mean
    }

    /// The usual duration in seconds, its spread as a factor, and the usual share of failures.
    pub fn normal(&self) -> Option<(f64, f64, f64)> {
        (self.calls >= f64::from(WARM_UP_CALLS)).then(|| {
            (
                self.mean.exp(),
                self.spread().exp(),
                self.errors / self.calls,
            )
        })
    }

    /// Nobody calls any more: what was odd about durations and failures is over.
    pub fn end(&mut self) -> (Verdict, Verdict) {
        self.rise = Rise::default();
        (self.slow.end(), self.failing.end())
    }

    /// Whether calls are told to be slow.
    pub fn is_slow(&self) -> bool {
        self.slow.is_open
    }

    /// Whether anything speaks for more failures than usual.
    pub fn fails_more(&self) -> bool {
        self.rise.has_begun() || self.failing.odd > 0
    }

    /// Calls learned from.
    pub fn calls(&self) -> u32 {
        self.calls as u32
    }
}

impl Streak {
    /// Nobody calls any more.
    fn end(&mut self) -> Verdict {
        let was_open = std::mem::take(self).is_open;
        if was_open {
            Verdict::Over
        } else {
            Verdict::Usual
        }
    }

    /// Two odd windows in a row, or one that is sure, are a finding; two quiet ones end it.
    fn turn(&mut self, is_odd: bool, is_sure: bool, odd: Verdict) -> Verdict {
        if is_odd {
            self.odd += 1;
            self.quiet = 0;
            if self.is_open && self.odd >= ODD_WINDOWS_MAX {
                return Verdict::Accepted;
            }
            if self.is_open || is_sure || self.odd >= 2 {
                self.is_open = true;
                return odd;
            }
            return Verdict::Usual;
        }
        self.quiet += 1;
        if self.quiet >= QUIET_WINDOWS || !self.is_open {
            self.odd = 0;
        }
        if self.is_open && self.quiet >= QUIET_WINDOWS {
            self.is_open = false;
            return Verdict::Over;
        }
        Verdict::Usual
    }

    fn teaches(&self) -> bool {
        self.odd == 0
    }
}

/// −log10 of the upper tail of the normal distribution, by its leading term.
fn score_of_z(z: f64) -> f64 {
    if z <= 1.0 {
        return 0.8;
    }
    let log_p = -z * z / 2.0 - (z * (2.0 * std::f64::consts::PI).sqrt()).ln();
    (-log_p / std::f64::consts::LN_10).min(SCORE_MAX)
}

/// −log10 of the chance of at least `seen` events when `expected` are usual.
fn poisson_score(seen: f64, expected: f64) -> f64 {
    if seen <= expected {
        return 0.0;
    }
    // Chernoff's bound: tight enough for a threshold, and never too small a chance.
    let log_p = seen - expected - seen * (seen / expected).ln();
    -log_p / std::f64::consts::LN_10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(durations_ms: &[u64], errors: usize) -> Window {
        let mut sampled = Sampled::default();
        for (i, ms) in durations_ms.iter().enumerate() {
            sampled.add(ms * 1_000, i < errors, 1.0);
        }
        sampled.window()
    }

    #[test]
    fn a_sample_that_keeps_all_failures_does_not_raise_their_share() {
        let all = window(&[100; 100], 2);
        let mut kept = Sampled::default();
        (0..2).for_each(|_| kept.add(100_000, true, 1.0));
        (0..7).for_each(|_| kept.add(100_000, false, 14.0));
        let kept = kept.window();
        assert!((kept.errors / kept.calls - all.errors / all.calls).abs() < 1e-9);
        assert!((kept.mean() - all.mean()).abs() < 1e-9);
        assert!(
            kept.calls < 9.0,
            "nine calls of different weight prove less"
        );
    }

    fn taught() -> Usual {
        let mut usual = Usual::default();
        for i in 0..60_u64 {
            assert_eq!(
                usual.judge(&window(&[100 + (i * 7) % 40, 80 + (i * 13) % 50], 0)),
                (Verdict::Usual, Verdict::Usual)
            );
        }
        usual
    }

    #[test]
    fn few_slow_calls_are_noticed_and_their_end_too() {
        let mut usual = taught();
        assert_eq!(
            usual.judge(&window(&[1_700], 0)).0,
            Verdict::Usual,
            "one call proves nothing"
        );
        assert!(matches!(
            usual.judge(&window(&[1_500], 0)).0,
            Verdict::Odd(odd) if odd.seen > 1.4 && odd.expected.high < 0.3
        ));
        assert_eq!(usual.judge(&window(&[100, 110], 0)).0, Verdict::Usual);
        assert_eq!(usual.judge(&window(&[100, 110], 0)).0, Verdict::Over);
    }

    #[test]
    fn many_slow_calls_need_no_second_window() {
        let mut usual = taught();
        assert!(matches!(
            usual.judge(&window(&[900, 1_000, 1_100, 900], 0)).0,
            Verdict::Odd(_)
        ));
        let mut usual = taught();
        assert_eq!(
            usual.judge(&window(&[120, 130, 125, 140], 0)).0,
            Verdict::Usual
        );
    }

    #[test]
    fn what_lasts_stays_odd_for_hours_and_is_accepted_then() {
        let mut usual = taught();
        let slow = window(&[900, 1_000, 1_100, 900], 0);
        for n in 1..ODD_WINDOWS_MAX {
            assert!(matches!(usual.judge(&slow).0, Verdict::Odd(_)), "{n}");
        }
        assert_eq!(usual.judge(&slow).0, Verdict::Accepted);
        for _ in 0..100 {
            assert_eq!(usual.judge(&slow).0, Verdict::Usual);
        }
        let slower = window(&[5_000, 5_500, 5_000, 6_000], 0);
        assert!(matches!(usual.judge(&slower).0, Verdict::Odd(_)));
    }

    #[test]
    fn failures_are_judged_by_their_number() {
        let mut usual = taught();
        assert_eq!(usual.judge(&window(&[100; 8], 1)).1, Verdict::Usual);
        let mut usual = taught();
        assert!(matches!(
            usual.judge(&window(&[100; 8], 6)).1,
            Verdict::Odd(_)
        ));
    }

    /// Five calls a window, of which one in a hundred failed, then one in eight.
    #[test]
    fn a_small_rise_of_failures_is_told_once_and_not_learned() {
        let mut usual = Usual::default();
        let windows = |usual: &mut Usual, count: usize, nth: usize| -> String {
            let errors = |window: usize| {
                let calls = window * 5 + 1..=window * 5 + 5;
                calls.filter(|call| call % nth == 0).count()
            };
            let told = (0..count).map(|nth| usual.judge(&window(&[100; 5], errors(nth))).1);
            told.map(|verdict| match verdict {
                Verdict::Usual => '.',
                Verdict::Odd(_) => '!',
                Verdict::Over => '|',
                Verdict::Accepted => '=',
            })
            .collect()
        };
        let told = windows(&mut usual, 1_000, 100);
        assert_eq!(told, ".".repeat(1_000), "as usual");
        let (_, _, before) = usual.normal().unwrap();
        let told = windows(&mut usual, 300, 8);
        let opens = told.find('!').unwrap();
        assert!(opens < 30, "{opens}");
        assert_eq!(told[opens..], "!".repeat(300 - opens), "it does not flap");
        let (_, _, after) = usual.normal().unwrap();
        assert!(after < 2.0 * before, "{before} {after}: it is not learned");
        let told = windows(&mut usual, 100, 100);
        assert_eq!(told.matches('|').count(), 1, "{told}");
        assert!(told.ends_with('.'), "{told}");
    }

    #[test]
    fn the_score_of_what_is_odd_is_known() {
        let score = score_of_z(ODD_Z) as f32;
        assert!((score - SLOW_SCORE).abs() < 0.05, "{score}");
    }
}
