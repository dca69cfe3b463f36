//! One template on one entity: how often, since when, one sample.

use super::tail::Baseline;
use super::values::{Values, WATCHED_FROM};
use crate::engine::detect::Beats;
use crate::model::mask::mask_secrets;
use crate::model::{LogLevel, Time};
use serde::{Deserialize, Serialize};

/// Width of a counting bucket.
pub const BUCKET_MS: i64 = 10_000;
/// Buckets kept: ten minutes, what the console draws.
pub const BUCKETS_MAX: usize = 60;
/// Buckets of one judged window: a minute.
pub(super) const WINDOW_BUCKETS: usize = 6;
/// The same in seconds: how well the time of a beat is known.
pub(super) const BUCKET_S: f32 = BUCKET_MS as f32 / 1_000.0;
/// A line after a silence this long, in milliseconds, may be one that comes regularly.
const BEAT_SILENCE_MS: i64 = 60_000;
/// Bytes kept of the one sample.
const SAMPLE_BYTES_MAX: usize = 512;

/// Counts over the last [`BUCKETS_MAX`] buckets, by event time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ring {
    /// Index (time / width) of the newest bucket.
    head: i64,
    counts: Vec<u32>,
}

impl Ring {
    /// Count one line; `false` when its bucket is no longer kept.
    pub(super) fn add(&mut self, bucket: i64, lines: u32) -> bool {
        if self.counts.is_empty() {
            self.counts = vec![0; BUCKETS_MAX];
            self.head = bucket;
        }
        self.advance(bucket);
        if self.head - bucket >= BUCKETS_MAX as i64 {
            return false;
        }
        let count = &mut self.counts[slot(bucket)];
        *count = count.saturating_add(lines);
        true
    }

    /// Make `bucket` the newest unless it is older.
    fn advance(&mut self, bucket: i64) {
        if bucket - self.head >= BUCKETS_MAX as i64 {
            self.counts.fill(0);
            self.head = bucket;
        }
        while self.head < bucket {
            self.head += 1;
            self.counts[slot(self.head)] = 0;
        }
    }

    /// Forgets everything when it counted buckets after `newest`.
    pub(super) fn set_back(&mut self, newest: i64) {
        if self.head > newest {
            *self = Self::default();
        }
    }

    pub(super) fn get(&self, bucket: i64) -> u32 {
        let kept = bucket <= self.head && self.head - bucket < BUCKETS_MAX as i64;
        if kept {
            self.counts.get(slot(bucket)).copied().unwrap_or(0)
        } else {
            0
        }
    }

    /// Lines in the window that ends with `bucket`.
    pub(super) fn window(&self, bucket: i64) -> u32 {
        (0..WINDOW_BUCKETS as i64)
            .map(|back| self.get(bucket - back))
            .fold(0, u32::saturating_add)
    }

    /// The kept buckets up to `bucket`, oldest first.
    pub(super) fn series(&self, bucket: i64) -> Vec<u32> {
        (0..BUCKETS_MAX as i64)
            .rev()
            .map(|back| self.get(bucket - back))
            .collect()
    }

    fn absorb(&mut self, other: &Self) {
        for back in 0..BUCKETS_MAX as i64 {
            let bucket = other.head - back;
            let lines = other.get(bucket);
            if lines > 0 {
                self.add(bucket, lines);
            }
        }
    }
}

fn slot(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS_MAX as i64) as usize
}

/// Which bucket a time falls into.
pub(super) fn bucket_of(at: Time) -> i64 {
    at.ms().div_euclid(BUCKET_MS)
}

/// When a bucket begins.
pub(super) fn time_of(bucket: i64) -> Time {
    Time::from_ms(bucket.saturating_mul(BUCKET_MS))
}

/// One template on one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counter {
    pub level: LogLevel,
    pub first_seen: Time,
    pub last_seen: Time,
    pub count: u64,
    pub sample: Box<str>,
    pub ring: Ring,
    /// Lines per window.
    pub baseline: Baseline,
    /// The largest window of late, forgotten over days; what is known to happen is no news.
    pub peak: f64,
    /// Longest silence between two lines, in buckets.
    pub gap_buckets_max: f64,
    /// When it comes, if it comes regularly after a silence.
    pub beats: Beats,
    /// How the values at its places are spread.
    pub values: Values,
}

impl Counter {
    pub(super) fn new(level: LogLevel, at: Time, text: &str, baseline: Baseline) -> Self {
        Self {
            level,
            first_seen: at,
            last_seen: at,
            count: 0,
            sample: sample_of(text),
            ring: Ring::default(),
            baseline,
            peak: 0.0,
            gap_buckets_max: 0.0,
            beats: Beats::default(),
            values: Values::default(),
        }
    }

    /// Notes a line at `at`; after a silence it is a beat.
    pub(super) fn beat(&mut self, at: Time) {
        if self.count == 1 || at.since(self.last_seen) >= BEAT_SILENCE_MS {
            self.beats.beat(at, BUCKET_S);
        }
    }

    /// Whether the values of a line of this bucket are to be read.
    pub(super) fn wants_values(&mut self, bucket: i64) -> bool {
        self.count >= WATCHED_FROM && self.values.wants(bucket)
    }

    /// Fold in the counter of a template that was merged into this one's.
    pub(super) fn absorb(&mut self, other: &Self) {
        if other.first_seen < self.first_seen {
            self.sample.clone_from(&other.sample);
            self.baseline = other.baseline;
        }
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.count += other.count;
        self.level = self.level.max(other.level);
        self.peak = self.peak.max(other.peak);
        self.gap_buckets_max = self.gap_buckets_max.min(other.gap_buckets_max);
        self.ring.absorb(&other.ring);
    }
}

/// A line as it may be kept: masked first, then cut.
fn sample_of(text: &str) -> Box<str> {
    let masked = mask_secrets(text);
    masked[..masked.floor_char_boundary(SAMPLE_BYTES_MAX)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_counts_by_event_time() {
        let mut ring = Ring::default();
        assert!(ring.add(100, 1) && ring.add(98, 2) && ring.add(103, 3));
        assert_eq!(
            (ring.get(98), ring.get(100), ring.get(103), ring.get(99)),
            (2, 1, 3, 0)
        );
        assert_eq!(ring.window(103), 6);
        assert!(!ring.add(103 - BUCKETS_MAX as i64, 1), "too late");
        assert!(ring.add(10_000, 1), "a leap forgets the rest");
        assert_eq!(ring.series(10_000).iter().sum::<u32>(), 1);
    }

    #[test]
    fn sample_is_masked_before_it_is_cut() {
        let counter = Counter::new(
            LogLevel::Info,
            Time::ZERO,
            "login password=hunter2",
            Baseline::default(),
        );
        assert_eq!(&*counter.sample, "login password=<secret>");
    }
}
