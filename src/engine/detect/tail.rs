//! How rare is a statistic, by its own past: the calibration that makes one threshold fit all series.
//!
//! Half an exponential tail above a streaming 97 % quantile, half a histogram on a logarithmic
//! scale; the result is −log10 of the false-alarm probability. It never looks at other series and
//! never allocates.

use serde::{Deserialize, Serialize};

/// Histogram bins, two an octave from [`BIN_LOWEST_LOG2`].
const BINS: usize = 24;
/// Logarithm of the lower end of the lowest bin.
const BIN_LOWEST_LOG2: i32 = -4;
/// Its `BINS` from `BINS - 1 - n` on count one sample of bin `n`: in that bin and in all below.
const ONE_SAMPLE: [u16; 2 * BINS] = {
    let mut counts = [0; 2 * BINS];
    let mut i = 0;
    while i < BINS {
        counts[i] = 1;
        i += 1;
    }
    counts
};
/// The histogram is halved at this count, so that it forgets with a half-life of about as many samples.
const COUNT_MAX: u16 = 8_000;
/// Share of samples above the quantile where the exponential tail begins.
const TAIL_SHARE: f32 = 0.03;
/// −log10 of [`TAIL_SHARE`].
const TAIL_SCORE: f32 = 1.523;
/// Smallest step of the quantile tracker, in units of the tail's mean excess.
const QUANTILE_STEP_MIN: f32 = 0.006;
/// One sample moves the mean excess by at most this many mean excesses.
const EXCESS_CLIP: f32 = 10.0;
/// Smallest weight of one excess in their mean.
const EXCESS_WEIGHT_MIN: f32 = 0.01;
/// A score may exceed what the number of samples seen can prove by this much.
const EXTRAPOLATION: f32 = 2.0;

/// The distribution of one non-negative statistic so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Samples in each bin and above it, so that a rank is read and not summed up: at most [`COUNT_MAX`].
    from: [u16; BINS],
    beyond: Excess,
}

/// The upper end of a distribution alone: exponential above its 97 % quantile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Excess {
    /// Samples that weigh in it.
    count: u16,
    quantile: f32,
    /// Mean of how far samples above the quantile lie above it.
    mean: f32,
}

impl Default for Excess {
    fn default() -> Self {
        Self {
            count: 0,
            quantile: 0.0,
            mean: 1.0,
        }
    }
}

impl Excess {
    /// −log10 of the chance of `value`, with a mean excess of at least `mean_min` and at most `mean_max`, then
    /// learns it. Not limited by the count.
    pub(super) fn score(&mut self, value: f32, mean_min: f32, mean_max: f32) -> f32 {
        let score = self.rate(value, mean_min, mean_max);
        self.learn(value);
        if self.count >= COUNT_MAX {
            self.count /= 2;
        }
        score
    }

    /// The same, without learning it.
    pub(super) fn rate(&self, value: f32, mean_min: f32, mean_max: f32) -> f32 {
        let mean = self.mean.clamp(mean_min, mean_max);
        let over = (value - self.quantile.min(mean_max)) / (mean * std::f32::consts::LN_10);
        if over > 0.0 { TAIL_SCORE + over } else { 0.0 }
    }

    /// The score of a value above the quantile.
    fn beyond(&self, value: f32) -> f32 {
        TAIL_SCORE + (value - self.quantile) / (self.mean.max(1e-6) * std::f32::consts::LN_10)
    }

    fn learn(&mut self, value: f32) {
        let seen = f32::from(self.count) + 1.0;
        let step =
            (3.0 / seen).max(QUANTILE_STEP_MIN) * self.mean.max(0.02 * self.quantile).max(1e-6);
        if value > self.quantile {
            self.quantile += step * (1.0 - TAIL_SHARE);
            let weight = (1.0 / (seen * TAIL_SHARE + 3.0)).max(EXCESS_WEIGHT_MIN);
            let over = (value - self.quantile)
                .max(0.0)
                .min(self.mean * EXCESS_CLIP + 1e-3);
            self.mean += weight * (over - self.mean);
        } else {
            self.quantile -= step * TAIL_SHARE;
        }
        self.count += 1;
    }
}

impl Tail {
    /// −log10 of the chance of a value as large as `value`, then learns it.
    pub(super) fn score(&mut self, value: f32) -> f32 {
        let score = self.rate(value);
        self.learn(value, bin(value));
        score
    }

    /// Reads a word of each of its cache lines, so that they come while others are worked on.
    pub(super) fn touch(&self) -> u32 {
        u32::from(self.from[0]) ^ self.beyond.mean.to_bits()
    }

    /// The same, without learning it.
    pub(super) fn rate(&self, value: f32) -> f32 {
        let bin = bin(value);
        let above = self.above(bin);
        let rank = f32::from(above) + 0.5 * f32::from(self.from[bin] - above) + 0.5;
        let count = f32::from(self.beyond.count);
        let by_rank = log10(count + 1.0) - log10(rank);
        let by_tail = if value > self.beyond.quantile {
            self.beyond.beyond(value)
        } else {
            by_rank.min(TAIL_SCORE)
        };
        let limit = log10(count + 2.0) + EXTRAPOLATION;
        (0.5 * (by_rank + by_tail)).clamp(0.0, limit)
    }

    /// How many of the latest values were at least as large as one just learned, itself aside, and how
    /// many there were.
    pub(super) fn as_far(&self, value: f32) -> (u16, u16) {
        let bin = bin(value);
        let itself = u16::from(self.from[bin] > self.above(bin));
        (self.from[bin] - itself, self.beyond.count)
    }

    /// The largest value that is still nothing special.
    pub(super) fn usual_max(&self) -> f32 {
        self.beyond.quantile + 2.0 * self.beyond.mean
    }

    /// Forgets most of what it knows: the statistic is about to be distributed otherwise.
    pub(super) fn loosen(&mut self) {
        self.forget(16);
    }

    /// Samples in the bins above `bin`.
    fn above(&self, bin: usize) -> u16 {
        self.from.get(bin + 1).copied().unwrap_or(0)
    }

    /// The hottest loop of the engine. Sixteen bits all the way, which [`COUNT_MAX`] allows, and a table instead of
    /// a comparison, so that a few vector instructions do it.
    fn learn(&mut self, value: f32, bin: usize) {
        self.beyond.learn(value);
        let one = &ONE_SAMPLE[BINS - 1 - bin..][..BINS];
        for (from, one) in self.from.iter_mut().zip(one) {
            *from += one;
        }
        if self.beyond.count >= COUNT_MAX {
            self.forget(2);
        }
    }

    /// Keeps one sample in `of` of each bin.
    fn forget(&mut self, of: u16) {
        let (mut before, mut kept) = (0, 0);
        for from in self.from.iter_mut().rev() {
            kept += (*from - before) / of;
            before = std::mem::replace(from, kept);
        }
        self.beyond.count = kept;
    }
}

/// The bin of a value: its exponent and the first bit of its mantissa.
fn bin(value: f32) -> usize {
    let half_octaves = (value.max(1e-9).to_bits() >> 22) as i32 - ((127 + BIN_LOWEST_LOG2) << 1);
    half_octaves.clamp(0, BINS as i32 - 1) as usize
}

/// Logarithm of a positive normal number, within 0.004; the same on every machine, unlike the
/// platform's own, and a fraction of its cost.
pub(super) fn log10(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    let log2 = exponent + (2.0 - mantissa / 3.0) * mantissa - 5.0 / 3.0;
    log2 * std::f32::consts::LOG10_2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::dice::Dice;

    #[test]
    fn samples_are_counted_in_their_bin_and_all_below() {
        let mut bins = [0_u16; BINS];
        let mut tail = Tail::default();
        let mut dice = Dice(7);
        let check = |tail: &Tail, bins: &[u16; BINS]| {
            let from = |bin: usize| bins[bin..].iter().sum::<u16>();
            assert_eq!(tail.from, std::array::from_fn(from));
            assert_eq!((tail.above(BINS - 1), tail.beyond.count), (0, from(0)));
        };
        for _ in 0..3 * COUNT_MAX {
            let value = 30.0 * dice.unit().powi(8) as f32;
            tail.learn(value, bin(value));
            bins[bin(value)] += 1;
            if bins.iter().sum::<u16>() == COUNT_MAX {
                bins = bins.map(|n| n / 2);
            }
            check(&tail, &bins);
        }
        tail.loosen();
        check(&tail, &bins.map(|n| n / 16));
    }

    #[test]
    fn logarithm_is_close() {
        for x in [0.5_f32, 1.0, 1.5, 2.0, 3.0, 10.0, 1_000.0, 8_000.5] {
            assert!((log10(x) - x.log10()).abs() < 0.005, "{x}");
        }
    }

    #[test]
    fn a_score_is_a_false_alarm_rate_whatever_the_distribution() {
        let shapes: [fn(f32) -> f32; 3] =
            [|u| -u.ln(), |u| (-u.ln()).sqrt(), |u| 5.0 * u.powf(-0.2)];
        for (i, shape) in shapes.iter().enumerate() {
            let mut tail = Tail::default();
            let mut dice = Dice(1);
            let mut alarms = 0;
            for n in 0..60_000 {
                let score = tail.score(shape(dice.unit() as f32));
                alarms += u32::from(n >= 10_000 && score >= 2.0);
            }
            let rate = f64::from(alarms) / 50_000.0;
            assert!((0.004..0.02).contains(&rate), "shape {i}: {rate}");
        }
    }
}
