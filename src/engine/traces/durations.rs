//! How long the calls of a flow take, as quantiles, in bounded room.
//!
//! Relative-error sketches (`DDSketch`: Masson, Rim and Lee 2019) that merge without loss: one of the
//! window, and two of what is usual, an hour each, merged when asked. Windows that are odd are left out, so
//! that a fault is compared with what was before it. A head sampler leaves quantiles as they are.

use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

use crate::model::Time;

/// Quantiles are right within this share of their value.
const ERROR_SHARE: f64 = 0.02;
/// Bins of one sketch at most: six powers of ten; beyond, the smallest durations are told as one.
const BINS_MAX: u32 = 350;
/// Shortest duration told apart, in seconds.
const SECONDS_MIN: f64 = 1e-6;
/// How long one sketch of what is usual is added to, in milliseconds.
const GENERATION_MS: i64 = 3_600_000;
/// Calls it takes until quantiles are told.
const CALLS_MIN: u32 = 100;
/// A call stands for at most so many in a sketch; more would leave the others without a say.
const WEIGHT_MAX: f64 = 65_536.0;
/// The place of the window's calls, after those of the two sketches.
const WINDOW: usize = 2;
/// Quantiles a duration is compared with, the highest first.
const RANKS: [f64; 4] = [0.999, 0.99, 0.95, 0.5];

/// See the module.
#[derive(Serialize, Deserialize)]
pub struct Durations {
    window: DDSketch,
    usual: [DDSketch; 2],
    /// Calls kept that each was made of: what is told of them rests on these.
    calls: [u32; 3],
    turned: Time,
}

/// What is usual, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// Half of the calls take this long at most.
    pub p50: f64,
    /// 95 of 100 do.
    pub p95: f64,
    /// 99 of 100 do.
    pub p99: f64,
}

impl Default for Durations {
    fn default() -> Self {
        Self {
            window: empty(),
            usual: [empty(), empty()],
            calls: [0; 3],
            turned: Time::ZERO,
        }
    }
}

impl std::fmt::Debug for Durations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let calls = self.calls[0].saturating_add(self.calls[1]);
        f.debug_struct("Durations")
            .field("calls", &calls)
            .finish_non_exhaustive()
    }
}

impl Durations {
    /// Adds a call of the window that stands for `weight` calls.
    pub(super) fn add(&mut self, duration_us: u64, weight: f64) {
        let seconds = (duration_us as f64 / 1e6).max(SECONDS_MIN);
        let times = weight.round().clamp(1.0, WEIGHT_MAX) as u64;
        self.window.add_with_count(seconds, times);
        self.calls[WINDOW] = self.calls[WINDOW].saturating_add(1);
    }

    /// The window ended at `at`; `teaches` says whether it was as usual.
    pub(super) fn turn(&mut self, at: Time, teaches: bool) {
        let window = std::mem::replace(&mut self.window, empty());
        let calls = std::mem::take(&mut self.calls[WINDOW]);
        if !teaches {
            return;
        }
        if at.since(self.turned) >= GENERATION_MS {
            self.turned = at;
            self.usual.swap(0, 1);
            self.usual[0] = empty();
            self.calls.swap(0, 1);
            self.calls[0] = 0;
        }
        merge(&mut self.usual[0], &window);
        self.calls[0] = self.calls[0].saturating_add(calls);
    }

    /// Follows a clock that was set back to `to`.
    pub(super) fn set_back(&mut self, to: Time) {
        self.turned = self.turned.min(to);
    }

    /// What is usual; `None` while too few calls are known.
    pub fn usual(&self) -> Option<Quantiles> {
        let all = self.all()?;
        let at = |rank| all.quantile(rank).ok().flatten();
        Some(Quantiles {
            p50: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
        })
    }

    /// The largest share of usual calls, of those told apart, that were quicker than `seconds`.
    pub fn share_quicker(&self, seconds: f64) -> Option<f64> {
        let all = self.all()?;
        let is_beyond = |rank: &f64| matches!(all.quantile(*rank), Ok(Some(of)) if of < seconds);
        Some(RANKS.into_iter().find(is_beyond).unwrap_or(0.0))
    }

    fn all(&self) -> Option<DDSketch> {
        if self.calls[0].saturating_add(self.calls[1]) < CALLS_MIN {
            return None;
        }
        let mut all = self.usual[0].clone();
        merge(&mut all, &self.usual[1]);
        Some(all)
    }
}

fn empty() -> DDSketch {
    DDSketch::new(Config::new(ERROR_SHARE, BINS_MAX, SECONDS_MIN))
}

fn merge(into: &mut DDSketch, from: &DDSketch) {
    into.merge(from)
        .expect("all sketches are made with one configuration");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds 1 to 1,000 in an order that is no order.
    fn calls() -> impl Iterator<Item = u64> {
        (0..1_000_u64).map(|n| 1_000 * (1 + n * 7_919 % 1_000))
    }

    fn is_near(told: f64, right: f64) -> bool {
        (told / right - 1.0).abs() <= 1.5 * ERROR_SHARE
    }

    #[test]
    fn quantiles_are_right_within_the_error_also_when_merged() {
        let mut durations = Durations::default();
        assert_eq!(durations.usual(), None);
        for (n, duration_us) in calls().enumerate() {
            durations.add(duration_us, 1.0);
            if n % 10 == 9 {
                // Windows of two generations.
                let at = Time::from_secs(10_000 + 60 * n as i64 / 10);
                durations.turn(at, true);
            }
        }
        let Quantiles { p50, p95, p99 } = durations.usual().unwrap();
        assert!(
            is_near(p50, 0.5) && is_near(p95, 0.95) && is_near(p99, 0.99),
            "{p50} {p95} {p99}"
        );
        let permille =
            |seconds| (1_000.0 * durations.share_quicker(seconds).unwrap()).round() as u32;
        assert_eq!([0.1, 0.6, 0.97, 5.0].map(permille), [0, 500, 950, 999]);
    }

    #[test]
    fn odd_windows_teach_nothing_and_old_ones_are_forgotten() {
        let mut durations = Durations::default();
        calls().for_each(|us| durations.add(us, 1.0));
        durations.turn(Time::from_secs(10_000), true);
        calls().for_each(|us| durations.add(100 * us, 1.0));
        durations.turn(Time::from_secs(10_010), false);
        assert!(is_near(durations.usual().unwrap().p50, 0.5));
        for hour in 1..3 {
            calls().for_each(|us| durations.add(2 * us, 1.0));
            durations.turn(Time::from_secs(10_000 + 3_600 * hour), true);
        }
        assert!(is_near(durations.usual().unwrap().p50, 1.0));
    }

    #[test]
    fn quantiles_are_those_of_all_calls_whatever_the_sampler_keeps() {
        // All of the slow half, one in ten of the others.
        let mut durations = Durations::default();
        let kept = |n: &u64| *n > 500_000 || n.is_multiple_of(10_000);
        for duration_us in calls().filter(kept) {
            let weight = if duration_us > 500_000 { 1.0 } else { 10.0 };
            durations.add(duration_us, weight);
        }
        durations.turn(Time::from_secs(10_000), true);
        let usual = durations.usual().unwrap();
        assert!(
            is_near(usual.p50, 0.5) && is_near(usual.p95, 0.95),
            "{usual:?}"
        );
        // What few calls say by their weight alone is not told.
        let mut durations = Durations::default();
        calls().take(99).for_each(|us| durations.add(us, 1_000.0));
        durations.turn(Time::from_secs(10_000), true);
        assert_eq!(durations.usual(), None);
    }

    #[test]
    fn room_is_bounded_whatever_is_added() {
        let mut durations = Durations::default();
        for n in 0..200_000_u64 {
            durations.add(n.wrapping_mul(6_364_136_223_846_793_005) >> (n % 60), 1.0);
        }
        assert!(durations.window.length() <= 2 * BINS_MAX as usize);
    }
}
