//! Beyond all that was seen: overshoot of streaming 1 % and 99 % quantiles, and of a range that
//! shrinks so slowly that it remembers rare events.

use serde::{Deserialize, Serialize};

/// Share of its distance to the quantile that the range gives up with each sample.
const RANGE_SHRINK: f32 = 0.000_2;
/// Share of samples outside of each quantile.
const TAIL_SHARE: f32 = 0.01;
/// Smallest step of the quantiles, in scales.
const QUANTILE_STEP_MIN: f32 = 0.04;

/// Range and outer quantiles of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Extremes {
    low: f32,
    high: f32,
    quantile_low: f32,
    quantile_high: f32,
}

/// How far a value lies outside, both non-negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Overshoot {
    /// Of the range, in ranges.
    pub(super) range: f32,
    /// Of the quantiles, in distances between them.
    pub(super) quantile: f32,
}

impl Extremes {
    /// Judges `x`, the `count`-th value of the series, then learns it.
    pub(super) fn step(&mut self, x: f32, scale: f32, count: u32) -> Overshoot {
        if count <= 1 {
            *self = Self {
                low: x,
                high: x,
                quantile_low: x,
                quantile_high: x,
            };
        }
        let outside = |low: f32, high: f32| (x - high).max(low - x).max(0.0);
        let overshoot = Overshoot {
            range: outside(self.low, self.high) / (self.high - self.low).max(scale),
            quantile: outside(self.quantile_low, self.quantile_high)
                / (self.quantile_high - self.quantile_low).max(scale),
        };
        self.learn(x, scale * (2.0 / count as f32).max(QUANTILE_STEP_MIN));
        overshoot
    }

    /// Lower end of the range.
    pub(super) fn low(&self) -> f32 {
        self.low
    }

    fn learn(&mut self, x: f32, step: f32) {
        if x > self.high {
            self.high = x;
        } else {
            self.high -= RANGE_SHRINK * (self.high - self.quantile_high).max(0.0);
        }
        if x < self.low {
            self.low = x;
        } else {
            self.low += RANGE_SHRINK * (self.quantile_low - self.low).max(0.0);
        }
        self.quantile_high += if x > self.quantile_high {
            step * (1.0 - TAIL_SHARE)
        } else {
            -step * TAIL_SHARE
        };
        self.quantile_low += if x < self.quantile_low {
            -step * (1.0 - TAIL_SHARE)
        } else {
            step * TAIL_SHARE
        };
    }
}
