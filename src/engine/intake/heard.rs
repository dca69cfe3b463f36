//! When the points of a series come, by the engine's clock, and how old they are then.
//!
//! Silence is judged by when something came and never by what it says of its time: a sender that is late, or whose
//! clock is behind, speaks all the same.

use super::SeriesRow;
use crate::engine::set_back::{CLOCK_BACK_MS_MAX, SetBack};
use crate::model::Time;

/// Points that come within so long are one delivery, in milliseconds: who holds points back sends many at once.
const DELIVERY_MS: i64 = 1_000;
/// A longer pause between two deliveries is believed by one part in so many …
const LONGER_WEIGHT: i64 = 2;
/// … as if it were twice as long as usual at most, and a shorter one by this: one outage teaches little patience.
const SHORTER_WEIGHT: i64 = 8;

impl SeriesRow {
    /// Takes note of a point of `at` that comes `now`, `step_ms` after the last.
    pub(super) fn hear(&mut self, at: Time, step_ms: i64, now: Time) {
        if self.last_at != Time::from_ms(i64::MIN) {
            self.note_delivery(now.since(self.heard_at()));
        }
        self.note_step(at, step_ms);
        self.lag_ms = clamped(now.since(at));
    }

    fn note_step(&mut self, at: Time, step_ms: i64) {
        if self.last_at == Time::from_ms(i64::MIN) {
            self.steady.begin(at);
        } else {
            let step_ms = u32::try_from(step_ms).unwrap_or(u32::MAX);
            if self.is_silent {
                self.steady.resume(at, step_ms);
            }
            // The shortest distance seen of late is the scrape interval; gaps only stretch it slowly.
            self.interval_ms = if self.interval_ms == 0 || step_ms < self.interval_ms {
                step_ms
            } else {
                self.interval_ms + (step_ms - self.interval_ms).min(self.interval_ms) / 16
            };
        }
        self.last_at = at;
        self.is_silent = false;
    }

    fn note_delivery(&mut self, pause_ms: i64) {
        if pause_ms < DELIVERY_MS {
            return;
        }
        let usual_ms = i64::from(self.delivery_ms);
        let more_ms = pause_ms - usual_ms;
        let learned_ms = if usual_ms == 0 {
            pause_ms
        } else if more_ms > 0 {
            usual_ms + more_ms.min(usual_ms) / LONGER_WEIGHT
        } else {
            usual_ms + more_ms / SHORTER_WEIGHT
        };
        self.delivery_ms = u32::try_from(learned_ms).unwrap_or(u32::MAX);
    }

    /// Whether two deliveries of its points came, or they are so close together that they are always one.
    pub fn is_paced(&self) -> bool {
        self.delivery_ms > 0 || i64::from(self.interval_ms) < DELIVERY_MS
    }

    /// How often something of it usually comes, in milliseconds: as often as its points are apart, or as seldom as its
    /// sender delivers. 0 until two came.
    pub fn usual_pause_ms(&self) -> i64 {
        i64::from(self.interval_ms.max(self.delivery_ms))
    }

    /// When its last point came, by the engine's clock.
    pub fn heard_at(&self) -> Time {
        self.last_at.plus_ms(self.lag_ms())
    }

    /// How old its last point was when it came, in milliseconds; negative when it was ahead of the engine's clock.
    pub fn lag_ms(&self) -> i64 {
        i64::from(self.lag_ms)
    }

    /// Whether a point at `at` is new although it is earlier than the last: that one was stamped by a
    /// clock far ahead.
    pub(super) fn was_ahead(&self, at: Time) -> bool {
        self.lag_ms() < -CLOCK_BACK_MS_MAX && at <= self.last_at && at > self.heard_at()
    }

    /// What came in the time that never was came when the clock was set back.
    pub(super) fn unhear(&mut self, back: SetBack) {
        if self.heard_at() > back.to {
            self.lag_ms = clamped(back.to.since(self.last_at));
        }
    }
}

/// As many milliseconds as a row has room for: some weeks, which nothing that is taken is off by.
fn clamped(ms: i64) -> i32 {
    i32::try_from(ms).unwrap_or(if ms < 0 { i32::MIN } else { i32::MAX })
}
