//! The only place that reads a clock. Everything below it is told the time.
//!
//! A clock may step back (NTP, a resumed laptop). Stamps do not decrease by little; a step of more than
//! [`CLOCK_BACK_MS_MAX`] is followed, and the engine says so.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::engine::CLOCK_BACK_MS_MAX;
use crate::model::{Input, Stamped, Time};

/// Engine time between two ticks, in milliseconds.
pub const TICK_MS: i64 = 1_000;
/// Ticks made up for after a pause; a longer one is jumped over with a single tick.
const TICKS_MISSED_MAX: i64 = 120;

/// What time it is for the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Real,
    Scaled {
        start: Time,
        origin: Instant,
        speed: f64,
        end: Time,
    },
}

/// Numbers inputs and stamps them with a time that does not decrease, unless the clock is set back.
#[derive(Debug)]
pub(super) struct Stamper {
    clock: Clock,
    seq: u64,
    at: Time,
    next_tick: Time,
}

impl Clock {
    /// The clock of this machine.
    pub fn real() -> Self {
        Self(Arc::new(Kind::Real))
    }

    /// A clock that shows `start` now, and runs `speed` times as fast as the real one.
    pub fn scaled(start: Time, speed: f64) -> Self {
        Self::scaled_until(start, speed, Time::from_ms(i64::MAX))
    }

    /// The same, but it stops at `end`: a recording says nothing of what came after.
    pub fn scaled_until(start: Time, speed: f64, end: Time) -> Self {
        assert!(
            speed.is_finite() && speed > 0.0,
            "speed {speed} must be above 0"
        );
        Self(Arc::new(Kind::Scaled {
            start,
            origin: Instant::now(),
            speed,
            end,
        }))
    }

    /// The time shown.
    pub fn now(&self) -> Time {
        match &*self.0 {
            Kind::Real => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(Time::ZERO, |since| Time::from_ms(since.as_millis() as i64)),
            Kind::Scaled {
                start,
                origin,
                speed,
                end,
            } => start
                .plus_ms((origin.elapsed().as_secs_f64() * 1_000.0 * speed) as i64)
                .min(*end),
        }
    }

    /// How long to wait, in real time, until this clock shows `at`.
    pub fn wait_until(&self, at: Time) -> Duration {
        let left_ms = at.since(self.now()).max(0) as f64;
        let speed = match &*self.0 {
            Kind::Real => 1.0,
            Kind::Scaled { speed, .. } => *speed,
        };
        Duration::from_secs_f64(left_ms / 1_000.0 / speed)
    }
}

impl Stamper {
    /// Stamps begin after `at`, the time of the last input that is remembered.
    pub(super) fn new(clock: Clock, at: Time) -> Self {
        Self {
            clock,
            seq: 0,
            at,
            next_tick: Time::ZERO,
        }
    }

    /// The time shown by the clock; a stamp may be later.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// The time of the last stamp.
    pub(super) fn at(&self) -> Time {
        self.at
    }

    /// Stamps an input with the current time.
    pub(super) fn stamp(&mut self, input: Input) -> Stamped {
        let now = self.follow();
        self.stamp_at(now, input)
    }

    /// The time shown. Stamps go back to a clock that was set back by much, as the engine does: they
    /// would stand still until it has caught up.
    fn follow(&mut self) -> Time {
        let now = self.clock.now();
        if self.at.since(now) > CLOCK_BACK_MS_MAX {
            self.at = now;
        }
        now
    }

    /// Stamps an input with a time of the past, as history is fed.
    pub(super) fn stamp_at(&mut self, at: Time, input: Input) -> Stamped {
        self.at = self.at.max(at);
        self.seq += 1;
        Stamped {
            seq: self.seq,
            at: self.at,
            input,
        }
    }

    /// Goes on from an input that was stamped before: as a recording holds it, or ahead of time.
    pub(super) fn relive(&mut self, stamped: &Stamped) {
        self.seq = stamped.seq;
        self.at = stamped.at;
    }

    /// The stamp an input would get now. Its number is given to another one unless [`Stamper::relive`]
    /// counts it before anything else is stamped: no number is ever given twice.
    pub(super) fn ahead(&mut self, input: Input) -> Stamped {
        let now = self.follow();
        Stamped {
            seq: self.seq + 1,
            at: self.at.max(now),
            input,
        }
    }

    /// The next tick that is due, if one is.
    pub(super) fn due_tick(&mut self) -> Option<Stamped> {
        let now = self.follow();
        if self.next_tick.since(now) > TICK_MS {
            // The clock was set back: time goes on from where it is now.
            self.next_tick = now;
        }
        if now < self.next_tick {
            return None;
        }
        if now.since(self.next_tick) > TICKS_MISSED_MAX * TICK_MS {
            self.next_tick = now;
        }
        let at = self.next_tick;
        self.next_tick = at.plus_ms(TICK_MS);
        Some(self.stamp_at(at, Input::Tick))
    }

    /// How long until the next tick, in real time.
    pub(super) fn until_tick(&self) -> Duration {
        self.clock.wait_until(self.next_tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_decrease_and_count_up() {
        let mut stamper = Stamper::new(Clock::real(), Time::ZERO);
        let times = [5, 9, 7, 9, 12].map(Time::from_secs);
        let stamps = times.map(|at| {
            let tick = stamper.stamp_at(at, Input::Tick);
            (tick.seq, tick.at.ms() / 1_000)
        });
        assert_eq!(stamps, [(1, 5), (2, 9), (3, 9), (4, 9), (5, 12)]);
    }

    #[test]
    fn stamps_follow_a_clock_that_was_set_back_by_much() {
        let (start, slow) = (Time::from_secs(1_000), 1e-9);
        let stamps = |restored_s| {
            let at = Time::from_secs(restored_s);
            let mut stamper = Stamper::new(Clock::scaled(start, slow), at);
            let tick = stamper.due_tick().map(|tick| tick.at.ms() / 1_000);
            (stamper.stamp(Input::Tick).at.ms() / 1_000, tick)
        };
        assert_eq!(stamps(9_000), (1_000, Some(1_000)), "ahead by hours");
        assert_eq!(stamps(1_020), (1_020, Some(1_020)), "ahead by little");
    }

    #[test]
    fn a_clock_with_an_end_stops_there() {
        let (start, end) = (Time::from_secs(1_000), Time::from_secs(1_001));
        let clock = Clock::scaled_until(start, 1e12, end);
        // Any time at all has passed since it was made.
        while clock.now() == start {
            std::hint::spin_loop();
        }
        assert_eq!(clock.now(), end);
    }

    #[test]
    fn a_scaled_clock_makes_up_for_missed_ticks() {
        let start = Time::from_secs(1_000);
        let mut stamper = Stamper::new(Clock::scaled(start, 1e-9), Time::ZERO);
        stamper.next_tick = start.plus_ms(-3 * TICK_MS);
        let ticks: Vec<i64> = std::iter::from_fn(|| stamper.due_tick())
            .map(|s| s.at.ms() / 1_000)
            .collect();
        assert_eq!(ticks, [997, 998, 999, 1_000]);
        stamper.next_tick = Time::ZERO;
        assert_eq!(stamper.due_tick().map(|s| s.at), Some(start));
        assert_eq!(stamper.due_tick(), None);
    }
}
