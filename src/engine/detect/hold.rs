//! The baseline from before an onset, kept while a finding lasts: it says whether it is over.
//!
//! A baseline that goes on learning takes every fault for normal in the end; the half hour that takes is
//! shorter than most outages. So what was normal when an excursion opened is set aside, judges from then
//! on, and comes back when it is over: a fault teaches nothing. A level that lasts becomes normal only
//! after [`HOLD_MS_MAX`], or when a person says so, and then it is told as that, never as recovery.
//!
//! It never learns the fault, and exists only while a finding is open: about half a KiB on the heap.

use serde::{Deserialize, Serialize};

use super::baseline::{Baseline, DEVIATION_MAX};
use super::change::Changes;
use super::evidence::Evidence;
use super::series::{SLOW, SPIKE, Sill};
use super::tail::Tail;
use super::{Verdict, mean_weight};
use crate::model::{Band, Direction, Time};

/// A level that lasts this long is the new normal, in milliseconds: longer than a shift, so that whoever
/// was called has seen it, and shorter than a day, so that a change meant to stay is not told for ever.
pub const HOLD_MS_MAX: i64 = 6 * 3_600_000;
/// The same for a baseline that is younger than that: it claims no more time than it has learned, but
/// this much at least, in milliseconds.
pub const HOLD_MS_MIN: i64 = 30 * 60_000;
/// Weight of a sample in what the new level is: the last 50 or so.
const LEVEL_WEIGHT: f32 = 0.02;

/// What was normal before the onset, and how the values lie against it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    opened: Time,
    samples: u32,
    /// Mean distance from what was expected, in the series' unit.
    height: f32,
    /// Mean distance from that distance.
    scatter: f32,
    sill: Sill,
    baseline: Baseline,
    tail: Tail,
    evidence: Evidence,
    aside: Aside,
}

/// What else a fault would teach: the usual steps, and how what the slow checks measure is distributed. It judges
/// nothing while a finding lasts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Aside {
    pub(super) long_mean: f32,
    pub(super) changes: Changes,
    pub(super) tails: [Tail; SLOW.len()],
}

impl Hold {
    /// Sets aside what is normal as of `opened`.
    pub(super) fn new(
        opened: Time,
        sill: Sill,
        baseline: &Baseline,
        tail: &Tail,
        evidence: &Evidence,
        aside: Aside,
    ) -> Self {
        Self {
            opened,
            samples: 0,
            height: 0.0,
            scatter: 0.0,
            sill,
            baseline: baseline.clone(),
            tail: tail.clone(),
            evidence: evidence.clone(),
            aside,
        }
    }

    /// The verdict on a sample as the baseline from before the onset gives it.
    pub fn judge(&mut self, at: Time, verdict: &Verdict) -> Verdict {
        let x = self.sill.relative(verdict.seen);
        let magnitude = self.sill.magnitude(self.baseline.level());
        self.baseline.watch(at.ms(), x, magnitude);
        let (expected, scale) = self.expect(at);
        let height = x - expected;
        self.learn(height);
        let z = height / scale;
        let surprise = self.tail.rate(z.abs().min(DEVIATION_MAX));
        let direction = if z > 0.0 {
            Direction::Up
        } else {
            Direction::Down
        };
        let evidence = self.evidence.step_held(at, surprise, direction);
        let mut scores = verdict.scores;
        scores[SPIKE] = surprise;
        Verdict {
            surprise,
            evidence,
            scores,
            streak: self.evidence.streak(),
            since: self.evidence.since(),
            expected: self.sill.band(expected, scale, &self.tail),
            direction: if evidence > 0.0 {
                self.evidence.direction()
            } else {
                direction
            },
            deviation: z.clamp(-DEVIATION_MAX, DEVIATION_MAX),
            distance: z.abs(),
            ..*verdict
        }
    }

    /// What was expected of `at` before the onset.
    pub fn band(&self, at: Time) -> Band {
        let (expected, scale) = self.expect(at);
        self.sill.band(expected, scale, &self.tail)
    }

    /// When what lasts is normal.
    pub fn until(&self) -> Time {
        let age_ms = self.baseline.age_ms(self.opened.ms());
        self.opened.plus_ms(age_ms.clamp(HOLD_MS_MIN, HOLD_MS_MAX))
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        self.opened = self.opened.min(to);
        self.baseline.set_back(to.ms());
        self.evidence.set_back(to);
    }

    /// What is normal now that it is over: what was before.
    pub(super) fn recovered(self) -> (Baseline, Tail, Evidence, Aside) {
        (self.baseline, self.tail, self.evidence, self.aside)
    }

    /// What is normal now that the new level is accepted: the old season and spread around it.
    pub(super) fn accepted(mut self) -> (Baseline, Tail, Aside) {
        if self.samples > 0 {
            self.baseline.shift(self.height, self.scatter);
        }
        (self.baseline, self.tail, self.aside)
    }

    fn expect(&self, at: Time) -> (f32, f32) {
        let magnitude = self.sill.magnitude(self.baseline.level());
        self.baseline.expect(at.ms(), magnitude)
    }

    fn learn(&mut self, height: f32) {
        self.samples = self.samples.saturating_add(1);
        let weight = mean_weight(self.samples, LEVEL_WEIGHT);
        self.height += weight * (height - self.height);
        self.scatter += weight * ((height - self.height).abs() - self.scatter);
    }
}
