//! How often samples come: the usual interval, gaps, a changed pace, and silence.

use serde::{Deserialize, Serialize};

use super::weight;

/// Half-life of the usual interval, in samples.
const INTERVAL_HALF_LIFE: f32 = 35.0;
/// An interval this many times the usual one is a gap.
const GAP_FACTOR: f32 = 4.0;
/// An interval this many times longer or shorter than usual hints at a new pace …
const PACE_FACTOR: f32 = 1.9;
/// … which as many hints in a row prove.
const PACE_HINTS: u8 = 6;
/// Silence counts after this many usual intervals and as many of their usual deviations.
const SILENCE_FACTOR: f32 = 5.0;
/// A sample this many intervals late makes silence certain, however regular the series.
const SILENCE_DEVIATIONS: f32 = 8.0;
/// Samples before it is known that there is no pace …
const IRREGULAR_SAMPLES: u16 = 60;
/// … which is so while intervals differ from the usual one by this share of it, in the mean: those of points that come by
/// chance do by two thirds.
const IRREGULAR_SHARE: f32 = 0.4;
/// Shortest interval assumed, in seconds.
pub(super) const INTERVAL_S_MIN: f32 = 0.001;

/// The pace of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Cadence {
    last_ms: i64,
    interval_s: f32,
    jitter_s: f32,
    count: u16,
    hints: u8,
}

/// What one interval says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// As usual.
    Steady,
    /// Samples are missing before this one.
    Gap,
    /// Samples now come at another pace.
    Changed,
}

impl Cadence {
    /// Notes a sample at `at_ms`; `None` when it is not later than the one before.
    pub(super) fn step(&mut self, at_ms: i64) -> Option<Pace> {
        if self.count == 0 {
            self.last_ms = at_ms;
            self.count = 1;
            return Some(Pace::Steady);
        }
        if at_ms <= self.last_ms {
            return None;
        }
        let interval_s = (at_ms.saturating_sub(self.last_ms) as f32 / 1_000.0).max(INTERVAL_S_MIN);
        self.last_ms = at_ms;
        let first = self.count == 1;
        self.count = self.count.saturating_add(1);
        if first {
            self.interval_s = interval_s;
            return Some(Pace::Steady);
        }
        Some(self.learn(interval_s))
    }

    /// The last sample was one interval before `to_ms` at the latest.
    pub(super) fn set_back(&mut self, to_ms: i64) {
        let interval_ms = (self.interval_s * 1_000.0) as i64;
        self.last_ms = self.last_ms.min(to_ms.saturating_sub(interval_ms.max(1)));
    }

    /// Usual interval, in seconds; 0 before two samples were seen.
    pub(super) fn interval_s(&self) -> f32 {
        self.interval_s
    }

    /// Time of the latest sample, in milliseconds.
    pub(super) fn last_ms(&self) -> i64 {
        self.last_ms
    }

    /// When the series counts as silent unless a sample comes first, in milliseconds.
    pub(super) fn silent_from_ms(&self) -> Option<i64> {
        const SAMPLES_MIN: u16 = 10;
        let wait_s = SILENCE_FACTOR * self.interval_s + SILENCE_DEVIATIONS * self.jitter_s;
        (self.count >= SAMPLES_MIN).then(|| {
            self.last_ms
                .saturating_add((f64::from(wait_s) * 1_000.0) as i64)
        })
    }

    /// Whether intervals differ so much from one another that there is no pace.
    pub(super) fn is_irregular(&self) -> bool {
        self.count >= IRREGULAR_SAMPLES && self.jitter_s > IRREGULAR_SHARE * self.interval_s
    }

    fn learn(&mut self, interval_s: f32) -> Pace {
        let ratio = interval_s / self.interval_s;
        if (1.0 / PACE_FACTOR..=PACE_FACTOR).contains(&ratio) {
            self.hints = 0;
        } else {
            self.hints += 1;
            if self.hints >= PACE_HINTS {
                self.hints = 0;
                self.interval_s = interval_s;
                self.jitter_s = 0.0;
                return Pace::Changed;
            }
        }
        let clipped = interval_s.min(GAP_FACTOR * self.interval_s);
        let weight = weight(u32::from(self.count), INTERVAL_HALF_LIFE);
        self.jitter_s += weight * ((clipped - self.interval_s).abs() - self.jitter_s);
        self.interval_s += weight * (clipped - self.interval_s);
        if ratio > GAP_FACTOR {
            Pace::Gap
        } else {
            Pace::Steady
        }
    }
}
