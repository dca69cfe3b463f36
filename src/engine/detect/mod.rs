//! Is this odd? One detector a series, one sample at a time, in bounded state.
//!
//! [`SeriesDetector::observe`] learns what is normal, asks every check of [`CHECKS`], calibrates each
//! by the series' own past, and says how odd the sample is, since when, and against which band.
//! [`Rhythm`] knows what comes again and again. [`Excursion`] turns verdicts into a finding's life, while [`Hold`] keeps what was normal before it;
//! [`joint`] weighs the series of one entity.
//! Nothing here looks ahead, knows a range in advance, allocates per sample or reads a clock.

mod alarms;
mod baseline;
mod cadence;
mod change;
mod evidence;
mod excursion;
mod extreme;
mod familiar;
mod hold;
pub mod joint;
#[cfg(test)]
mod proof;
mod rhythm;
mod series;
mod shape;
mod sustained;
mod tail;
#[cfg(test)]
mod tests;
mod week;
mod weekly;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use alarms::ALARM_SCORE;
pub use change::Steps;
pub use excursion::{Excursion, OPEN_EVIDENCE, Peak, Transition};
pub use hold::{HOLD_MS_MAX, HOLD_MS_MIN, Hold};
pub use joint::{Call, Joint, Voice};
pub use rhythm::{Beat, Beats, Broken, Rhythm};
pub use series::{Rarity, SeriesDetector};
pub use sustained::{Stretch, Sustained, Turn};
pub use weekly::{Spell, Weekly};

use crate::model::{Band, Check, Direction, Time};

/// A check agrees from this score on: one sample in a hundred.
pub const AGREE_SCORE: f32 = 2.0;
/// Version of the checks: counts up when the same values are judged otherwise.
pub const DETECTOR_VERSION: u32 = 4;
/// One row of the table of checks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckRow {
    /// Name in the docs and in explanations.
    pub title: &'static str,
    /// The failure mode it stands for.
    pub check: Check,
    /// Its weight in the ensemble's mean.
    pub weight: f32,
    /// What it measures.
    pub measures: &'static str,
}

/// All checks of one sample, in the order of [`Verdict::scores`].
pub const CHECKS: [CheckRow; 10] = [
    row(
        "spike",
        Check::Spike,
        0.25,
        "deviation from the baseline, in scales",
    ),
    row(
        "shift",
        Check::LevelShift,
        0.25,
        "mean deviation of the last 5 samples or so",
    ),
    row(
        "range",
        Check::Spike,
        0.5,
        "overshoot of the slowly shrinking range",
    ),
    row(
        "quantile",
        Check::Spike,
        0.3,
        "overshoot of the streaming 1 % and 99 % quantiles",
    ),
    row(
        "density",
        Check::SpreadChange,
        1.3,
        "odd samples of late against usual",
    ),
    row(
        "fine shape",
        Check::Shape,
        0.6,
        "distance from the usual shapes over 16 samples",
    ),
    row(
        "coarse shape",
        Check::Shape,
        1.0,
        "distance from the usual shapes over 288 samples",
    ),
    row(
        "drift",
        Check::Drift,
        0.3,
        "mean of the last 70 samples or so against the level",
    ),
    row(
        "spread",
        Check::SpreadChange,
        0.2,
        "recent steps between samples against usual ones",
    ),
    row(
        "flat line",
        Check::FlatLine,
        0.0,
        "time without change against the longest usual one",
    ),
];

const fn row(title: &'static str, check: Check, weight: f32, measures: &'static str) -> CheckRow {
    CheckRow {
        title,
        check,
        weight,
        measures,
    }
}

/// How far a baseline can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maturity {
    /// Too young to judge at all.
    Warming,
    /// Judges, informs, never pages.
    Learning,
    /// May page.
    Mature,
}

impl Maturity {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Learning => "learning",
            Self::Mature => "mature",
        }
    }
}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Not a number, or infinite.
    #[error("the value is not a finite number")]
    NotFinite,
    /// Not later than the sample before.
    #[error("the sample is not later than the one before")]
    NotLater,
}

/// What the checks measure of which only a stretch counts, before it is rated.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trends {
    /// How far values lie from one another.
    pub steps: Steps,
    /// How much denser odd samples are of late than usual, in standard errors, about.
    pub density: f32,
    /// How far the mean of late lies from the level, in scales.
    pub drift: f32,
    /// Whether that may be the course of a day: it follows one, or nobody knows yet.
    pub has_course: bool,
}

/// What one sample means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The ensemble's score: the weighted mean of all checks' −log10 p.
    pub score: f32,
    /// The score as a point alarm, after silence and self-raising bar; 0 when silent.
    pub alarm: f32,
    /// −log10 p of this one value against the baseline.
    pub surprise: f32,
    /// −log10 p of the run of surprises it ends; an excursion's measure.
    pub evidence: f32,
    /// Surprising samples in a row, this one included.
    pub streak: u16,
    /// When the run began.
    pub since: Time,
    /// −log10 p by check, in the order of [`CHECKS`].
    pub scores: [f32; CHECKS.len()],
    /// What the checks measure of which only a stretch counts.
    pub trends: Trends,
    /// What was expected.
    pub expected: Band,
    /// What was seen.
    pub seen: f64,
    /// Which way it lies off.
    pub direction: Direction,
    /// How far it lies off, in scales, signed.
    pub deviation: f32,
    /// The same either way, without the bound beyond which a deviation says no more.
    pub distance: f32,
    /// How far to trust all this.
    pub maturity: Maturity,
}

impl Verdict {
    /// The failure mode that explains it best: a run of surprises is a shift, a surprise alone a spike;
    /// without either, the loudest check names it.
    pub fn check(&self) -> Check {
        const SHIFT_STREAK: u16 = 3;
        if self.streak >= SHIFT_STREAK {
            return Check::LevelShift;
        }
        if self.scores[series::SPIKE] >= AGREE_SCORE {
            return Check::Spike;
        }
        let loudest = (0..CHECKS.len()).max_by(|&a, &b| self.scores[a].total_cmp(&self.scores[b]));
        loudest.map_or(Check::Spike, |i| CHECKS[i].check)
    }

    /// The checks that call this sample odd, in the order of the table.
    pub fn agreed(&self) -> impl Iterator<Item = &'static CheckRow> {
        let scores = self.scores;
        CHECKS
            .iter()
            .zip(scores)
            .filter(|(_, score)| *score >= AGREE_SCORE)
            .map(|(row, _)| row)
    }
}

/// Weight of the `count`-th sample in a mean with the given half-life; plain mean at first.
fn weight(count: u32, half_life: f32) -> f32 {
    mean_weight(count, std::f32::consts::LN_2 / half_life)
}

/// Weight of the `count`-th sample in a mean that ends up with weight `least`; plain mean at first.
fn mean_weight(count: u32, least: f32) -> f32 {
    (1.0 / count.max(1) as f32).max(least)
}
