//! How long a source is usually silent: a quantile of its pauses, the older ones weighing less.
//!
//! One long silence (a restart, a weekend) must not make it deaf to all later ones, as a maximum
//! would. Bounded: a histogram with logarithmic buckets, no history.

use crate::model::Time;

/// Pauses shorter than this are within one delivery (several batches at once), in milliseconds.
const PAUSE_MS_MIN: i64 = 1_000;
/// Buckets for each doubling of the length.
const BUCKETS_PER_OCTAVE: f64 = 4.0;
/// Twenty octaves above a second: twelve days.
const BUCKETS: usize = 80;
/// What an earlier pause weighs after each later one: some thirty count.
const DECAY: f64 = 0.97;
/// The part of pauses that is usual; a single one among the thirty is not.
const USUAL_PART: f64 = 0.95;

/// Length of a minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;
/// What the latest minute weighs.
const MINUTE_WEIGHT: f64 = 0.1;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    weights: [f64; BUCKETS],
}

impl Gaps {
    /// Notes a pause between two deliveries.
    pub(super) fn add(&mut self, pause_ms: i64) {
        if pause_ms < PAUSE_MS_MIN {
            return;
        }
        let octaves = (pause_ms as f64 / PAUSE_MS_MIN as f64).log2();
        let bucket = (octaves * BUCKETS_PER_OCTAVE) as usize;
        for weight in &mut self.weights {
            *weight *= DECAY;
        }
        self.weights[bucket.min(BUCKETS - 1)] += 1.0;
    }

    /// What a pause is at most, usually; `None` before the first one. Right to a fifth.
    pub(super) fn usual_ms(&self) -> Option<i64> {
        let total: f64 = self.weights.iter().sum();
        let mut below = 0.0;
        let bucket = self.weights.iter().position(|weight| {
            below += weight;
            total > 0.0 && below >= total * USUAL_PART
        })?;
        let octaves = (bucket + 1) as f64 / BUCKETS_PER_OCTAVE;
        Some((PAUSE_MS_MIN as f64 * octaves.exp2()) as i64)
    }
}

/// How many signals come in a minute, usually: the mean of whole minutes, the older ones weighing less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// Since when, and how many since then.
    open: Option<(Time, u64)>,
    per_minute: Option<f64>,
}

impl Rate {
    /// Notes signals.
    pub(super) fn add(&mut self, count: u64, now: Time) {
        let (since, held) = *self.open.get_or_insert((now, 0));
        let passed_ms = now.since(since);
        if passed_ms < MINUTE_MS {
            self.open = Some((since, held + count));
            // A clock that was set back begins anew.
            if passed_ms < 0 {
                self.open = Some((now, count));
            }
            return;
        }
        let seen = held as f64 * MINUTE_MS as f64 / passed_ms as f64;
        let before = self.per_minute.unwrap_or(seen);
        self.per_minute = Some(before + (seen - before) * MINUTE_WEIGHT);
        self.open = Some((now, count));
    }

    /// `None` before the first minute is over.
    pub(super) fn per_minute(&self) -> Option<u64> {
        self.per_minute.map(|per_minute| per_minute.round() as u64)
    }
}

impl Default for Gaps {
    fn default() -> Self {
        Self {
            weights: [0.0; BUCKETS],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, how often which pause came in seconds, and the bounds of what is learned.
    type Case = (&'static str, &'static [(usize, f64)], Option<(f64, f64)>);

    fn usual_s(pauses_s: &[(usize, f64)]) -> Option<f64> {
        let mut gaps = Gaps::default();
        for (times, pause_s) in pauses_s {
            for _ in 0..*times {
                gaps.add((pause_s * 1_000.0) as i64);
            }
        }
        gaps.usual_ms().map(|ms| ms as f64 / 1_000.0)
    }

    #[test]
    fn what_is_usual_is_learned_and_one_long_silence_is_not() {
        let cases: [Case; 7] = [
            ("nothing yet", &[], None),
            ("within one delivery", &[(100, 0.2)], None),
            ("steady", &[(50, 15.0)], Some((15.0, 18.0))),
            (
                "one long silence among many",
                &[(50, 15.0), (1, 36_000.0)],
                Some((15.0, 18.0)),
            ),
            (
                "a long silence early, then steady",
                &[(1, 36_000.0), (60, 15.0)],
                Some((15.0, 18.0)),
            ),
            (
                "slower from now on",
                &[(50, 15.0), (40, 300.0)],
                Some((300.0, 360.0)),
            ),
            (
                "bursts with long rests",
                &[(99, 0.01), (1, 300.0), (99, 0.01), (1, 300.0)],
                Some((300.0, 360.0)),
            ),
        ];
        for (name, pauses, expected) in cases {
            let usual = usual_s(pauses);
            let fits = match (usual, expected) {
                (Some(usual), Some((low, high))) => (low..=high).contains(&usual),
                (usual, expected) => usual.is_none() && expected.is_none(),
            };
            assert!(fits, "{name}: {usual:?} is not {expected:?}");
        }
    }

    #[test]
    fn no_length_is_out_of_bounds() {
        for pause_ms in [i64::MIN, -1, 0, 1_000, i64::MAX] {
            let mut gaps = Gaps::default();
            gaps.add(pause_ms);
            assert_eq!(gaps.usual_ms().is_some(), pause_ms >= PAUSE_MS_MIN);
        }
    }
}
