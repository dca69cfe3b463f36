//! How long and how strongly a series has been odd in one direction: a cumulative sum over
//! calibrated surprises (Page 1954, with −log10 p in place of a likelihood ratio), calibrated again
//! so that autocorrelated series do not cry wolf.

use serde::{Deserialize, Serialize};

use super::tail::Excess;
use crate::model::{Direction, Time};

/// A surprise below this counts against an excursion; one sample in ten exceeds it.
const SURPRISE_REFERENCE: f32 = 1.0;
/// One sample adds at most this much: a lone outlier is not an excursion.
const SURPRISE_MAX: f32 = 5.0;
/// The sum stays below this, so that it falls again soon after a long excursion; high enough that also of a series
/// with the largest excess that is granted a run of a dozen values, each beyond anything before, may page.
const SUM_MAX: f32 = 60.0;
/// Share of the sum kept at each unsurprising sample.
const CALM_KEEPS: f32 = 0.88;
/// Mean excess of the sum over its quantile, as independent surprises give it …
const EXCESS_MIN: f32 = 0.5;
/// … and the most that is granted to an autocorrelated series.
const EXCESS_MAX: f32 = 2.5;

/// The running sum of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Evidence {
    sum: f32,
    streak: u16,
    down: bool,
    since: Time,
    tail: Excess,
}

impl Evidence {
    /// Reads a word of it, so that it comes while others are worked on.
    pub(super) fn touch(&self) -> u32 {
        self.sum.to_bits()
    }

    /// Adds the surprise of one sample and returns the evidence so far, as −log10 p.
    pub(super) fn step(&mut self, at: Time, surprise: f32, direction: Direction) -> f32 {
        self.add(at, surprise, direction);
        self.tail.score(self.sum, EXCESS_MIN, EXCESS_MAX)
    }

    /// The same, without learning how the sum is distributed: a fault is no guide to that.
    pub(super) fn step_held(&mut self, at: Time, surprise: f32, direction: Direction) -> f32 {
        self.add(at, surprise, direction);
        self.tail.rate(self.sum, EXCESS_MIN, EXCESS_MAX)
    }

    fn add(&mut self, at: Time, surprise: f32, direction: Direction) {
        let down = direction == Direction::Down;
        let surprising = surprise > SURPRISE_REFERENCE;
        if surprising && down != self.down {
            self.sum = 0.0;
            self.streak = 0;
            self.down = down;
        }
        let gain = surprise.min(SURPRISE_MAX) - SURPRISE_REFERENCE;
        // What calm samples have left of an older run is no beginning of one that weighs more at once.
        let is_new_run = surprising && self.streak == 0 && self.sum < gain;
        if self.sum <= 0.0 || is_new_run {
            self.since = at;
        }
        if surprising {
            self.streak = self.streak.saturating_add(1);
        } else {
            self.streak = 0;
            self.sum *= CALM_KEEPS;
        }
        self.sum = (self.sum + gain).clamp(0.0, SUM_MAX);
    }

    /// Forgets how the sum used to be distributed: under another predictor it is no guide.
    pub(super) fn recalibrate(&mut self) {
        self.tail = Excess::default();
    }

    /// The run began at `to` at the latest.
    pub(super) fn set_back(&mut self, to: Time) {
        self.since = self.since.min(to);
    }

    /// When the present run of evidence began.
    pub(super) fn since(&self) -> Time {
        self.since
    }

    /// Surprising samples in a row, in one direction.
    pub(super) fn streak(&self) -> u16 {
        self.streak
    }

    /// Which way the evidence points.
    pub(super) fn direction(&self) -> Direction {
        if self.down {
            Direction::Down
        } else {
            Direction::Up
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_where_it_began_to_weigh_most() {
        // Surprises of one sample a second, and when the last one says that its run began.
        let cases: [(&[f32], i64); 6] = [
            (&[0.5, 3.0, 3.0, 3.0], 1),
            // A gap of a sample is no new run.
            (&[0.5, 4.0, 4.0, 0.5, 4.0, 4.0], 1),
            // A lone outlier long before is no beginning.
            (&[4.0, 0.5, 0.5, 0.5, 0.5, 0.5, 4.0, 4.0], 6),
            // What weighed much more is, though calm samples came between.
            (&[5.0, 5.0, 5.0, 5.0, 0.5, 0.5, 3.0, 3.0], 0),
            (&[2.0, 0.5, 5.0], 2),
            (&[0.5, 0.5], 1),
        ];
        for (surprises, since_s) in cases {
            let mut evidence = Evidence::default();
            for (second, surprise) in (0..).zip(surprises) {
                evidence.step(Time::from_secs(second), *surprise, Direction::Up);
            }
            assert_eq!(evidence.since(), Time::from_secs(since_s), "{surprises:?}");
        }
    }
}
