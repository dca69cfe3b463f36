//! Which requests are looked at: all of them where there are few, and a steady share where there are many.
//!
//! Whole requests are taken or left, by a hash of their identity, so that every service looks at the same ones.
//! The share halves as soon as a minute brings more than there is room for, and doubles after one that brought few.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::behaviour::{RECENT_ENTRIES_MAX, RECENT_MS};
use crate::model::Time;

const MINUTE_MS: i64 = 60_000;
/// Entries begun in a minute, so that those of the time they are kept for fit.
const PER_MINUTE_MAX: u32 = (RECENT_ENTRIES_MAX as i64 * MINUTE_MS / RECENT_MS) as u32;
/// After a minute with fewer than one in so many of these, twice as many are looked at.
const FEW: u32 = 4;
/// One in 2^`HALVINGS_MAX` at least.
const HALVINGS_MAX: u32 = 32;

/// The share of requests that are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// One request in 2^halvings is looked at.
    halvings: u32,
    /// Minutes since the epoch.
    minute: i64,
    /// Entries begun in this minute, since the share changed.
    begun: u32,
    /// Whether the share changed in this minute.
    halved: bool,
}

impl Sampling {
    /// Whether the request called `key`, of which something came at `at`, is looked at.
    pub fn keeps(&mut self, key: u64, at: Time) -> bool {
        self.turn(at);
        // Identities may not be spread evenly; their hash is.
        self.halvings == 0 || xxh3_64(&key.to_le_bytes()) >> (u64::BITS - self.halvings) == 0
    }

    /// An entry began.
    pub fn begin(&mut self) {
        self.begun += 1;
        if self.begun > PER_MINUTE_MAX {
            self.halvings = (self.halvings + 1).min(HALVINGS_MAX);
            self.begun = 0;
            self.halved = true;
        }
    }

    fn turn(&mut self, at: Time) {
        let minute = at.ms().div_euclid(MINUTE_MS);
        if minute <= self.minute {
            return;
        }
        if !self.halved && self.begun < PER_MINUTE_MAX / FEW {
            self.halvings = self.halvings.saturating_sub(1);
        }
        *self = Self {
            minute,
            halvings: self.halvings,
            ..Self::default()
        };
    }

    /// Follows a clock that was set back to `now`.
    pub fn set_back(&mut self, now: Time) {
        self.minute = self.minute.min(now.ms().div_euclid(MINUTE_MS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays minutes of so many requests each; how many were looked at in the last of them.
    fn played(sampling: &mut Sampling, minutes: std::ops::Range<i64>, requests: u64) -> u32 {
        let mut kept = 0;
        for minute in minutes {
            kept = 0;
            for n in 0..requests {
                let at = Time::from_ms(minute * MINUTE_MS + (n * 59_000 / requests) as i64);
                if sampling.keeps(n, at) {
                    sampling.begin();
                    kept += 1;
                }
            }
        }
        kept
    }

    #[test]
    fn few_are_all_looked_at_and_many_by_a_share_that_fits() {
        let mut sampling = Sampling::default();
        assert_eq!(played(&mut sampling, 0..5, 900), 900);
        let kept = played(&mut sampling, 5..10, 200_000);
        assert!(
            (PER_MINUTE_MAX / 4..=PER_MINUTE_MAX).contains(&kept),
            "{kept}"
        );
        assert_eq!(played(&mut sampling, 10..30, 100), 100, "it comes back");
    }

    #[test]
    fn a_flood_in_the_first_minute_is_bounded() {
        let mut sampling = Sampling::default();
        let kept = played(&mut sampling, 0..1, 1_000_000);
        assert!(kept < 12 * PER_MINUTE_MAX, "{kept}");
    }
}
