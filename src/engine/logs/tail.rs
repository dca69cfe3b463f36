//! How unlikely a count is, given the counts so far.
//!
//! Counts of log lines vary more than Poisson allows, so the tail is that of a negative binomial
//! with the mean and variance learned. Tails are Chernoff bounds: closed form, and never smaller
//! than the true probability, so that a score never promises more than it holds.

use serde::{Deserialize, Serialize};

/// Half-life of what was learned, in updates.
const HALF_LIFE_UPDATES: f64 = 360.0;
/// A count teaches at most this many standard deviations above the mean, so that a burst does not
/// become normal at once.
const TEACH_SIGMAS_MAX: f64 = 4.0;
/// Windows of the caller overlap; this many updates count as one independent observation.
const UPDATES_PER_OBSERVATION: f64 = 6.0;

/// Mean and variance of a count, learned online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    updates: u32,
    mean: f64,
    variance: f64,
}

impl Baseline {
    /// A baseline that saw `updates` times nothing.
    pub(super) const fn of_zeros(updates: u32) -> Self {
        Self {
            updates,
            mean: 0.0,
            variance: 0.0,
        }
    }

    pub(super) const fn updates(&self) -> u32 {
        self.updates
    }

    pub(super) const fn mean(&self) -> f64 {
        self.mean
    }

    /// The mean, raised by its own standard error: little history expects a little more.
    pub(super) fn mean_high(&self) -> f64 {
        let steady = 1.0 / (1.0 - (-std::f64::consts::LN_2 / HALF_LIFE_UPDATES).exp());
        let observations = (f64::from(self.updates).min(steady) / UPDATES_PER_OBSERVATION).max(1.0);
        self.mean + (self.variance.max(self.mean).max(1.0 / observations) / observations).sqrt()
    }

    /// The count that is exceeded about once in a thousand windows.
    pub(super) fn high(&self) -> f64 {
        self.mean_high() + 3.0 * self.variance.max(self.mean_high()).sqrt()
    }

    /// −log10 of the probability of `count` or more.
    pub(super) fn score_high(&self, count: f64) -> f64 {
        let mean = self.mean_high();
        if count <= mean {
            0.0
        } else {
            chernoff(count, mean, self.variance.max(mean))
        }
    }

    pub(super) fn learn(&mut self, count: f64) {
        self.updates = self.updates.saturating_add(1);
        let forgetting = 1.0 - (-std::f64::consts::LN_2 / HALF_LIFE_UPDATES).exp();
        let weight = forgetting.max(1.0 / f64::from(self.updates));
        let limit = self.mean + TEACH_SIGMAS_MAX * self.variance.max(self.mean).max(1.0).sqrt();
        let count = if f64::from(self.updates) > UPDATES_PER_OBSERVATION {
            count.min(limit)
        } else {
            count
        };
        let surprise = count - self.mean;
        self.mean += weight * surprise;
        self.variance = (1.0 - weight) * (self.variance + weight * surprise * surprise);
    }
}

/// −log10 of the Chernoff bound on the upper tail of a negative binomial at `count`, for a given
/// mean and variance (Poisson when the variance does not exceed the mean).
pub(in crate::engine) fn chernoff(count: f64, mean: f64, variance: f64) -> f64 {
    if count <= mean || mean <= 0.0 {
        return 0.0;
    }
    rate_function(count, mean, variance)
}

/// The same for the lower tail: `count` or fewer.
pub(in crate::engine) fn chernoff_low(count: f64, mean: f64, variance: f64) -> f64 {
    if count >= mean || mean <= 0.0 {
        return 0.0;
    }
    rate_function(count, mean, variance)
}

fn rate_function(count: f64, mean: f64, variance: f64) -> f64 {
    let excess = variance - mean;
    let growth = if count > 0.0 {
        count * (count / mean).ln()
    } else {
        0.0
    };
    let nats = if excess <= mean * 1e-6 {
        growth - (count - mean)
    } else {
        let size = mean * mean / excess;
        growth - (count + size) * ((count + size) / (mean + size)).ln()
    };
    (nats / std::f64::consts::LN_10).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_above_the_poisson_tail() {
        // P(X >= 10 | mean 2) = 4.65e-5 exactly.
        let score = chernoff(10.0, 2.0, 2.0);
        assert!((3.0..4.34).contains(&score), "{score}");
        assert!(
            chernoff(10.0, 2.0, 8.0) < score,
            "more spread, less surprise"
        );
        assert!(chernoff(2.0, 2.0, 2.0).abs() < 1e-9);
        // P(X = 0 | mean 10) = e^-10.
        let none = chernoff_low(0.0, 10.0, 10.0);
        assert!(
            (none - 10.0 / std::f64::consts::LN_10).abs() < 1e-9,
            "{none}"
        );
        assert!(chernoff_low(0.0, 10.0, 40.0) < none && chernoff_low(10.0, 10.0, 10.0) <= 0.0);
    }

    #[test]
    fn a_burst_scores_and_does_not_teach_at_once() {
        let mut baseline = Baseline::default();
        for i in 0..360 {
            baseline.learn(f64::from(9 + i % 3));
        }
        assert!(baseline.score_high(12.0) < 1.0);
        assert!(baseline.score_high(200.0) > 50.0);
        baseline.learn(200.0);
        assert!(baseline.mean() < 10.2, "{}", baseline.mean());
    }

    #[test]
    fn zeros_expect_almost_nothing() {
        let baseline = Baseline::of_zeros(60);
        assert!(baseline.score_high(1.0) < 2.0);
        assert!(baseline.score_high(10.0) > 8.0);
    }
}
