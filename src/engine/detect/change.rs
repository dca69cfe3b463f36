//! From one sample to the next: how large steps are, how dense odd samples are, and values that
//! stand still.

use serde::{Deserialize, Serialize};

use super::weight;

/// Half-life of the usual step between samples, in samples.
const STEP_HALF_LIFE: f32 = 350.0;
/// Weight of a step in the recent ones: about 10 samples.
const STEP_RECENT: f32 = 0.1;
/// Steps are compared on top of this share of the series' spread.
const SPREAD_SHARE_MIN: f32 = 0.02;
/// Mean absolute to standard deviation of a normal distribution.
const DEVIATION_TO_SCALE: f32 = 1.25;
/// Steps teach at most this many scales.
const CLIP_SCALES: f32 = 4.0;
/// Samples before steps are clipped.
const CLIP_AFTER: u32 = 30;
/// A jump is measured against at least this share of the series' spread.
const STEP_SHARE_MIN: f32 = 0.05;
/// A sample is odd beyond this many scales off the baseline …
const ODD_DEVIATION: f32 = 3.0;
/// … or after a jump of this many usual steps.
const ODD_JUMP: f32 = 4.0;
/// Weight of a sample in the recent density of odd samples: about 25 samples.
const DENSITY_RECENT: f32 = 0.04;
/// Half-life of the usual density of odd samples.
const DENSITY_HALF_LIFE: f32 = 700.0;
/// Density assumed usual at least.
const DENSITY_MIN: f32 = 0.013;
/// Share of the longest run of equal values forgotten with each change.
const RUN_FORGET: f32 = 0.001;
/// Changes of value before standing still means anything.
const MOVES_MIN: u16 = 50;

/// Steps, density of odd samples, and runs of equal values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Changes {
    last: f32,
    usual_step: f32,
    recent_step: f32,
    recent: f32,
    usual: f32,
    run: u32,
    run_usual: f32,
    moves: u16,
}

/// How far values lie from one another, of late and usually, on top of what is too little to matter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Steps {
    /// Of the last ten samples or so.
    pub recent: f32,
    /// Of the last five hundred or so.
    pub usual: f32,
}

impl Steps {
    /// How many times rougher or smoother it is than `usual`, whichever it is: 1 or more.
    pub fn ratio(self, usual: f32) -> f32 {
        let ratio = self.recent / usual.max(f32::MIN_POSITIVE);
        ratio.max(1.0 / ratio.max(f32::MIN_POSITIVE))
    }
}

/// What the last sample changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// Excess of odd samples of late, in standard errors, about.
    pub(super) density: f32,
    /// Recent and usual steps.
    pub(super) steps: Steps,
    /// How many times longer than usual the value stands still; 0 while it moves.
    pub(super) still: f32,
}

impl Changes {
    /// Judges `x`, the `count`-th value, which lies `deviation` scales off; then learns it.
    pub(super) fn step(&mut self, x: f32, deviation: f32, scale: f32, count: u32) -> Change {
        let step = if count > 1 {
            (x - self.last).abs()
        } else {
            0.0
        };
        self.last = x;
        let usual = self.usual_step * DEVIATION_TO_SCALE;
        let jump = step / usual.max(STEP_SHARE_MIN * scale);
        if count > 1 {
            let most = if count > CLIP_AFTER {
                CLIP_SCALES * usual + 1e-3 * scale
            } else {
                f32::MAX
            };
            self.usual_step += weight(count, STEP_HALF_LIFE) * (step.min(most) - self.usual_step);
            self.recent_step += STEP_RECENT * (step - self.recent_step);
        }
        let odd = if deviation > ODD_DEVIATION || jump > ODD_JUMP {
            1.0
        } else {
            0.0
        };
        self.recent += DENSITY_RECENT * (odd - self.recent);
        self.usual += weight(count, DENSITY_HALF_LIFE) * (odd - self.usual);
        let density = (self.recent - self.usual).max(0.0) / (self.usual + DENSITY_MIN).sqrt();
        Change {
            density,
            steps: self.steps(scale),
            still: self.stand_still(step),
        }
    }

    /// What lasts is normal: so far as values lie from one another now, they do from now on.
    pub(super) fn accept(&mut self) {
        self.usual_step = self.recent_step;
    }

    /// As it was before a fault, after which the next value follows those of `now`.
    pub(super) fn resumed(self, now: &Self) -> Self {
        Self {
            last: now.last,
            run: now.run,
            ..self
        }
    }

    fn steps(&self, scale: f32) -> Steps {
        let least = SPREAD_SHARE_MIN * scale;
        Steps {
            recent: self.recent_step + least,
            usual: self.usual_step + least,
        }
    }

    /// Counts equal values; the usual run is the longest of late.
    fn stand_still(&mut self, step: f32) -> f32 {
        if step > 0.0 {
            self.run_usual = self.run_usual.max(self.run as f32);
            self.run_usual -= RUN_FORGET * self.run_usual;
            self.run = 0;
            self.moves = self.moves.saturating_add(1);
            return 0.0;
        }
        self.run = self.run.saturating_add(1);
        if self.moves < MOVES_MIN {
            return 0.0;
        }
        self.run as f32 / (self.run_usual + 1.0)
    }
}
