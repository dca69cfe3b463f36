//! The detector of one series: the checks of the table, asked in order, and their verdict.
//!
//! It owns all state of a series. What most series never need is made when one does: the hours of the other
//! kind of day, and the usual shapes, each bounded.

use serde::{Deserialize, Serialize};

use super::alarms::PointAlarms;
use super::baseline::{Baseline, DEVIATION_MAX, Point, Residual};
use super::cadence::{Cadence, INTERVAL_S_MIN, Pace};
use super::change::Changes;
use super::evidence::Evidence;
use super::extreme::Extremes;
use super::hold::{Aside, Hold};
use super::shape::Shapes;
use super::tail::Tail;
use super::{AGREE_SCORE, CHECKS, Maturity, Refused, Trends, Verdict, mean_weight};
use crate::model::{Band, Direction, Time};

/// Samples before anything is judged.
const WARM_UP_SAMPLES: u32 = 20;
/// Samples before a baseline may page.
const MATURE_SAMPLES: u32 = 120;
/// Age before a baseline may page, in milliseconds.
const MATURE_AGE_MS: i64 = 30 * 60_000;
/// Deviations in the short mean are clipped here, so that it takes several samples to move it.
const SHORT_MEAN_CLIP: f32 = 6.0;
/// Weight of a sample in the short mean of deviations: about 5 samples.
const SHORT_MEAN_WEIGHT: f32 = 0.2;
/// Weight of a sample in the mean that drift compares with the level: about 70 samples.
const DRIFT_WEIGHT: f32 = 0.015;
/// Widths of the shapes' buckets, in samples: a quarter of an hour of minutes, a day of five minutes.
const SHAPE_WIDTHS: [u16; 2] = [2, 36];
/// Share of a shape's score that remains with each sample after its bucket.
const SHAPE_KEEPS: f32 = 0.95;
/// Half-width of the band at least, in scales.
const BAND_SCALES_MIN: f32 = 3.0;
/// Evidence from which on the baseline hardly learns, so that a fault does not become normal at once.
const DOUBT_EVIDENCE: f32 = 6.0;
/// Values are kept within this of the first one, so that 32-bit state stays finite.
const VALUE_MAX: f64 = 1e30;
/// A value still for as many times its longest usual run is certainly a flat line.
const FLAT_RUNS: f32 = 40.0;

pub(super) const SPIKE: usize = 0;
const SHIFT: usize = 1;
const RANGE: usize = 2;
const QUANTILE: usize = 3;
pub(super) const DENSITY: usize = 4;
/// The fine one; the coarse one follows.
const SHAPE: usize = 5;
pub(super) const DRIFT: usize = 7;
pub(super) const SPREAD: usize = 8;
pub(super) const FLAT: usize = 9;
/// Checks calibrated by a tail of their own.
const CALIBRATED: usize = 9;
/// Those of them that remember a fault long after it, unless what they knew before comes back.
pub(super) const SLOW: [usize; 3] = [DENSITY, DRIFT, SPREAD];

/// Everything known about one series: 1.1 KiB, and at most half a KiB more with all it may learn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesDetector {
    origin: f64,
    count: u32,
    short_mean: f32,
    long_mean: f32,
    evidence_last: f32,
    shape_scores: [f32; 2],
    cadence: Cadence,
    alarms: PointAlarms,
    extremes: Extremes,
    changes: Changes,
    evidence: Evidence,
    baseline: Baseline,
    tails: [Tail; CALIBRATED],
    shapes: [Shapes; 2],
}

/// What turns values relative to the first one into values of the series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sill {
    /// The first value.
    origin: f64,
    /// The lowest of late, relative to it.
    low: f32,
}

/// How unusual a deviation is, by what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rarity {
    /// Of the value of this time …
    pub at: Time,
    /// … and this deviation from the baseline, in scales, signed.
    pub deviation: f32,
    /// The largest deviation before at this hour of this kind of day, in scales, if there was one.
    pub record: Option<f32>,
    /// How long the baseline has learned, in milliseconds.
    pub age_ms: i64,
    /// Of so many values of late …
    pub of: u16,
    /// … as many lay as far off.
    pub as_far: u16,
}

impl Default for SeriesDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl SeriesDetector {
    /// A detector that knows nothing.
    pub fn new() -> Self {
        Self {
            origin: 0.0,
            count: 0,
            short_mean: 0.0,
            long_mean: 0.0,
            evidence_last: 0.0,
            shape_scores: [0.0; 2],
            cadence: Cadence::default(),
            alarms: PointAlarms::default(),
            extremes: Extremes::default(),
            changes: Changes::default(),
            evidence: Evidence::default(),
            baseline: Baseline::default(),
            tails: std::array::from_fn(|_| Tail::default()),
            shapes: std::array::from_fn(|_| Shapes::default()),
        }
    }

    /// Reads a word of most of its cache lines, so that they come while others are worked on; not what is on the heap.
    pub fn touch(&self) -> u32 {
        let tails = self.tails.iter().map(Tail::touch);
        let shapes = self.shapes.iter().map(Shapes::touch);
        let first = self.count ^ self.extremes.low().to_bits() ^ self.evidence.touch();
        tails
            .chain(shapes)
            .fold(first ^ self.baseline.touch(), |all, one| all ^ one)
    }

    /// Judges one sample by what was known before it, then learns it.
    pub fn observe(&mut self, at: Time, value: f64) -> Result<Verdict, Refused> {
        if !value.is_finite() {
            return Err(Refused::NotFinite);
        }
        let pace = self.cadence.step(at.ms()).ok_or(Refused::NotLater)?;
        if self.count == 0 {
            self.origin = value;
        }
        self.count = self.count.saturating_add(1);
        self.follow(pace);
        let x = self.sill().relative(value);
        let residual = self.baseline.step(&Point {
            at_ms: at.ms(),
            x,
            magnitude: self.magnitude(),
            interval_s: self.cadence.interval_s().max(INTERVAL_S_MIN),
            doubtful: self.evidence_last >= DOUBT_EVIDENCE,
            counts: self.evidence_last <= 0.0 && self.count > WARM_UP_SAMPLES,
        });
        if residual.switched {
            // Deviations from another predictor are distributed otherwise.
            self.tails[SPIKE].loosen();
            self.tails[SHIFT].loosen();
            self.evidence.recalibrate();
        }
        let (scores, trends) = self.ask(x, &residual);
        Ok(self.verdict(at, value, &residual, scores, trends))
    }

    /// What is expected at `at`, for a chart.
    pub fn band(&self, at: Time) -> Band {
        let (expected, scale) = self.baseline.expect(at.ms(), self.magnitude());
        self.sill().band(expected, scale, &self.tails[SPIKE])
    }

    /// Sets aside what is normal as of `at`, because it is no longer so.
    pub fn hold(&self, at: Time) -> Hold {
        Hold::new(
            at,
            self.sill(),
            &self.baseline,
            &self.tails[SPIKE],
            &self.evidence,
            Aside {
                long_mean: self.long_mean,
                changes: self.changes.clone(),
                tails: SLOW.map(|slow| self.tails[slow].clone()),
            },
        )
    }

    /// It is over: what was normal before is normal again, and the fault has taught nothing, nor does what is slow to forget
    /// tell of it long after.
    pub fn recover(&mut self, hold: Hold) {
        let aside;
        (self.baseline, self.tails[SPIKE], self.evidence, aside) = hold.recovered();
        self.changes = aside.changes.resumed(&self.changes);
        self.long_mean = aside.long_mean;
        self.know_again(aside.tails);
    }

    /// What the slow checks measure is distributed as it was before a fault.
    fn know_again(&mut self, tails: [Tail; SLOW.len()]) {
        for (slow, tail) in SLOW.into_iter().zip(tails) {
            self.tails[slow] = tail;
        }
    }

    /// What lasted is normal from now on.
    pub fn accept(&mut self, hold: Hold) {
        let aside;
        (self.baseline, self.tails[SPIKE], aside) = hold.accepted();
        self.know_again(aside.tails);
        self.changes.accept();
        self.evidence = Evidence::default();
        self.evidence_last = 0.0;
    }

    /// The clock was set back to `to`: samples go on from there, one interval after the last.
    pub fn set_back(&mut self, to: Time) {
        self.cadence.set_back(to.ms());
        self.evidence.set_back(to);
        self.baseline.set_back(to.ms());
    }

    /// How far the baseline can be trusted.
    pub fn maturity(&self) -> Maturity {
        let age_ms = self.baseline.age_ms(self.cadence.last_ms());
        if self.count <= WARM_UP_SAMPLES {
            Maturity::Warming
        } else if self.count < MATURE_SAMPLES || age_ms < MATURE_AGE_MS {
            Maturity::Learning
        } else {
            Maturity::Mature
        }
    }

    /// How unusual a deviation at `at` is: by what is kept of the hour, and by the latest values.
    /// The samples of its own run, `streak` of them, do not count.
    pub fn rarity(&self, at: Time, deviation: f32, streak: u16) -> Rarity {
        let (as_far, of) = self.tails[SPIKE].as_far(deviation.abs());
        let as_far = as_far.saturating_sub(streak.saturating_sub(1));
        Rarity {
            at,
            deviation,
            record: self.baseline.record(at.ms()),
            age_ms: self.baseline.age_ms(at.ms()),
            as_far,
            of,
        }
    }

    /// An excursion is over; how far it went is no record any more.
    pub fn note_past(&mut self, at: Time, deviation: f32) {
        self.baseline.note_past(at.ms(), deviation);
    }

    /// When the first sample came.
    pub fn since(&self) -> Time {
        Time::from_ms(self.baseline.first_ms())
    }

    /// When the series counts as silent unless a sample comes first.
    pub fn silent_from(&self) -> Option<Time> {
        self.cadence.silent_from_ms().map(Time::from_ms)
    }

    /// Whether it comes at no pace at all, as what is told only when something happened does.
    pub fn comes_irregularly(&self) -> bool {
        self.cadence.is_irregular()
    }

    /// Whether a daily season explains the series well enough to be used.
    pub fn is_seasonal(&self) -> bool {
        self.baseline.is_seasonal()
    }

    /// Samples learned.
    pub fn samples(&self) -> u32 {
        self.count
    }

    /// Gaps break shapes; a new pace changes the spread, since each sample spans another time.
    fn follow(&mut self, pace: Pace) {
        match pace {
            Pace::Steady => {}
            Pace::Gap => self.shapes.iter_mut().for_each(Shapes::interrupt),
            Pace::Changed => {
                self.shapes.iter_mut().for_each(Shapes::interrupt);
                self.baseline.relearn_spread();
                self.tails.iter_mut().for_each(Tail::loosen);
            }
        }
    }

    /// Runs the checks; all scores are 0 during warm-up.
    fn ask(&mut self, x: f32, residual: &Residual) -> ([f32; CHECKS.len()], Trends) {
        let count = self.count;
        let scale = residual.level_scale;
        let deviation = residual.z.abs().min(DEVIATION_MAX);
        let clipped = residual.z.clamp(-SHORT_MEAN_CLIP, SHORT_MEAN_CLIP);
        self.short_mean += mean_weight(count, SHORT_MEAN_WEIGHT) * (clipped - self.short_mean);
        self.long_mean += mean_weight(count, DRIFT_WEIGHT) * (x - self.long_mean);
        let overshoot = self.extremes.step(x, scale, count);
        let change = self.changes.step(x, deviation, scale, count);
        let mut scores = [0.0; CHECKS.len()];
        if count <= WARM_UP_SAMPLES {
            return (scores, Trends::default());
        }
        let trends = Trends {
            steps: change.steps,
            density: change.density,
            drift: (self.long_mean - self.baseline.level()).abs() / scale,
            has_course: self.baseline.may_be_seasonal(self.cadence.last_ms()),
        };
        // Factors bring each statistic into the range of the histograms; they cancel otherwise.
        scores[SPIKE] = self.tails[SPIKE].score(deviation);
        scores[SHIFT] = self.tails[SHIFT].score(self.short_mean.abs());
        scores[RANGE] = self.tails[RANGE].score(10.0 * overshoot.range);
        scores[QUANTILE] = self.tails[QUANTILE].score(10.0 * overshoot.quantile);
        scores[DENSITY] = self.tails[DENSITY].score(10.0 * change.density);
        scores[DRIFT] = self.tails[DRIFT].score(trends.drift);
        for (i, width) in SHAPE_WIDTHS.into_iter().enumerate() {
            self.shape_scores[i] = match self.shapes[i].step(x, scale, width) {
                Some(far) => self.tails[SHAPE + i].score(8.0 * far),
                None => SHAPE_KEEPS * self.shape_scores[i],
            };
            scores[SHAPE + i] = self.shape_scores[i];
        }
        scores[SPREAD] = self.tails[SPREAD].score(2.0 * trends.steps.ratio(trends.steps.usual));
        scores[FLAT] = AGREE_SCORE * (change.still / FLAT_RUNS).min(1.0);
        (scores, trends)
    }

    fn verdict(
        &mut self,
        at: Time,
        seen: f64,
        residual: &Residual,
        scores: [f32; CHECKS.len()],
        trends: Trends,
    ) -> Verdict {
        let up = residual.z > 0.0;
        let direction = if up { Direction::Up } else { Direction::Down };
        let surprise = scores[SPIKE];
        let evidence = if self.count <= WARM_UP_SAMPLES {
            0.0
        } else {
            self.evidence.step(at, surprise, direction)
        };
        self.evidence_last = evidence;
        let direction = if evidence > 0.0 {
            self.evidence.direction()
        } else {
            direction
        };
        let total: f32 = CHECKS.iter().map(|c| c.weight).sum();
        let sum: f32 = CHECKS.iter().zip(scores).map(|(c, s)| c.weight * s).sum();
        let score = sum / total;
        Verdict {
            score,
            alarm: self
                .alarms
                .next(score, residual.height, residual.level_scale),
            surprise,
            evidence,
            streak: self.evidence.streak(),
            since: self.evidence.since(),
            scores,
            trends,
            expected: self
                .sill()
                .band(residual.expected, residual.scale, &self.tails[SPIKE]),
            seen,
            direction,
            deviation: residual.z.clamp(-DEVIATION_MAX, DEVIATION_MAX),
            distance: residual.z.abs(),
            maturity: self.maturity(),
        }
    }

    fn magnitude(&self) -> f32 {
        self.sill().magnitude(self.baseline.level())
    }

    fn sill(&self) -> Sill {
        Sill {
            origin: self.origin,
            low: self.extremes.low(),
        }
    }
}

impl Sill {
    /// A value, relative to the first one.
    pub(super) fn relative(self, value: f64) -> f32 {
        (value - self.origin).clamp(-VALUE_MAX, VALUE_MAX) as f32
    }

    /// How large the values of a series at `level` are.
    pub(super) fn magnitude(self, level: f32) -> f32 {
        (self.origin + f64::from(level)).abs().min(VALUE_MAX) as f32
    }

    /// The band covers what the tail of deviations calls usual, and stays positive for a series that
    /// never was negative.
    pub(super) fn band(self, expected: f32, scale: f32, tail: &Tail) -> Band {
        let half = scale * tail.usual_max().clamp(BAND_SCALES_MIN, DEVIATION_MAX);
        let low = self.origin + f64::from(expected - half);
        let high = self.origin + f64::from(expected + half);
        let lowest = self.origin + f64::from(self.low);
        // Extremes are kept relative to the origin in single precision: zero comes back as nearly zero.
        let rounding = (self.origin.abs() + f64::from(half)) * f64::from(f32::EPSILON) * 4.0;
        Band {
            low: if lowest >= -rounding {
                low.max(0.0)
            } else {
                low
            },
            high: high.max(low),
        }
    }
}
