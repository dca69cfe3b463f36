//! What comes again and again, and when it does not: a job every ten minutes, a report every hour.
//!
//! [`Beats`] learns the period of anything that happens at points in time, and says when a beat it had reason
//! to expect did not come, or came at a wrong time. [`Rhythm`] finds the beats of a series: its climbs from
//! the lower part of its range to the upper one. Only what kept time for sixteen beats in a row has a
//! period; noise hardly ever does. A beat too many is no break: what is unusual about it the other checks say.

use serde::{Deserialize, Serialize};

use super::HOLD_MS_MAX;
use crate::model::Time;

/// Beats in a row that kept time before anything is expected.
const KNOWN_BEATS: u8 = 16;
/// A beat keeps time, while the period is learned, within this share of it or so many steps of whoever looks:
/// a clock does. What fills up and is emptied does not, and is forgotten once its mean deviation is larger.
const STRICT_SHARE: f32 = 0.05;
const STRICT_STEPS: f32 = 1.5;
/// One that is known is in time within this share, or as many mean deviations, or steps.
const KEPT_SHARE: f32 = 0.2;
const KEPT_JITTERS: f32 = 6.0;
const KEPT_STEPS: f32 = 3.0;
const KEPT_SHARE_MAX: f32 = 0.45;
/// A period has so many steps at least: what is quicker is not seen well enough.
const STEPS_MIN: f32 = 8.0;
/// Weight of a beat in the period and its deviation.
const WEIGHT: f32 = 1.0 / 8.0;
/// Beats in time that end it.
const BACK_BEATS: u8 = 2;
/// After so many periods, and as long as any level, without its beat there is no rhythm any more.
const LOST_PERIODS: u8 = 6;

/// Climbs end in this part of the range and begin below that one.
const HIGH_PART: f32 = 0.6;
const LOW_PART: f32 = 0.3;
/// Share of its way to the middle that an end of the range gives up with each sample: half in 1,400.
const RANGE_SHRINK: f32 = 0.000_5;

/// When something happens that happens regularly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beats {
    /// The last beat in time, or when it should have been; [`Time::ZERO`] when that is not known.
    last: Time,
    /// The latest beat that was not in time.
    stray: Time,
    /// When the first beat that is missed was due.
    since: Time,
    period_s: f32,
    /// Mean deviation from the period.
    jitter_s: f32,
    /// Beats in a row that kept time, up to what makes it known.
    count: u8,
    missed: u8,
    /// Beats in time since one was missed.
    kept: u8,
    is_told: bool,
}

/// A rhythm that is broken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Broken {
    /// Its usual period, in milliseconds.
    pub period_ms: i64,
    /// When the first beat that is missed was due.
    pub due: Time,
    /// When one came at a wrong time instead, the latest.
    pub came: Option<Time>,
}

/// What a look at it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beat {
    /// Nothing to tell.
    Quiet,
    /// A beat was due and did not come, or others after it; told with every look.
    Broken(Broken),
    /// It keeps time again, or nobody can tell any more.
    Back,
    /// It has lost its rhythm for good.
    Lost,
}

/// The beats of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rhythm {
    low: f32,
    high: f32,
    is_high: bool,
    is_begun: bool,
    beats: Beats,
}

impl Beats {
    /// It happened at `at`, known to `step_s` seconds.
    pub fn beat(&mut self, at: Time, step_s: f32) {
        let gap_s = seconds(at.since(self.last));
        let is_known = self.count >= KNOWN_BEATS;
        if is_known && self.last == Time::ZERO {
            self.last = at;
        } else if is_known && (gap_s - self.period_s).abs() <= self.tolerance(step_s) {
            self.keep(at, gap_s);
            if self.jitter_s > self.strict(step_s) {
                *self = Self {
                    is_told: self.is_told,
                    last: at,
                    count: 1,
                    ..Self::default()
                };
            }
        } else if is_known {
            self.stray = at;
        } else if self.count > 1 && (gap_s - self.period_s).abs() <= self.strict(step_s) {
            self.keep(at, gap_s);
        } else {
            self.begin(at, gap_s, step_s);
        }
    }

    /// Whether what was due by `now` came. Call it often.
    pub fn look(&mut self, now: Time, step_s: f32) -> Beat {
        let Some((period_ms, due)) = self.due() else {
            let was_told = std::mem::take(&mut self.is_told);
            return if was_told { Beat::Back } else { Beat::Quiet };
        };
        if seconds(now.since(due)) > self.tolerance(step_s) {
            if !self.is_told {
                (self.since, self.is_told, self.missed) = (due, true, 0);
            }
            self.missed = self.missed.saturating_add(1);
            self.kept = 0;
            // The next one is due from when this one should have been.
            self.last = due;
        }
        if !self.is_told {
            return Beat::Quiet;
        }
        if self.kept >= BACK_BEATS {
            self.is_told = false;
            return Beat::Back;
        }
        if self.missed >= LOST_PERIODS && now.since(self.since) >= HOLD_MS_MAX {
            *self = Self::default();
            return Beat::Lost;
        }
        Beat::Broken(Broken {
            period_ms,
            due: self.since,
            came: (self.stray.since(self.since) > -period_ms).then_some(self.stray),
        })
    }

    /// Nobody looked for a while: what was due then may have come.
    pub fn lose_sight(&mut self) {
        if self.count < KNOWN_BEATS {
            *self = Self::default();
        }
        self.last = Time::ZERO;
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        for at in [&mut self.last, &mut self.stray, &mut self.since] {
            *at = (*at).min(to);
        }
    }

    /// Its period in milliseconds and when the next beat is due, if that is known.
    pub fn due(&self) -> Option<(i64, Time)> {
        let period_ms = (f64::from(self.period_s) * 1_000.0) as i64;
        let is_known = self.count >= KNOWN_BEATS && self.last > Time::ZERO;
        is_known.then(|| (period_ms, self.last.plus_ms(period_ms)))
    }

    /// Perhaps the period is the latest gap.
    fn begin(&mut self, at: Time, gap_s: f32, step_s: f32) {
        let is_gap = self.count > 0 && gap_s >= STEPS_MIN * step_s;
        *self = Self {
            last: at,
            period_s: if is_gap { gap_s } else { 0.0 },
            count: if is_gap { 2 } else { 1 },
            is_told: self.is_told,
            ..Self::default()
        };
    }

    fn keep(&mut self, at: Time, gap_s: f32) {
        let deviation = (gap_s - self.period_s).abs();
        // The first gap was a guess like any other.
        let weight = WEIGHT.max(1.0 / f32::from(self.count));
        self.jitter_s += weight * (deviation - self.jitter_s);
        self.period_s += weight * (gap_s - self.period_s);
        self.last = at;
        self.count = (self.count + 1).min(KNOWN_BEATS);
        self.kept = self.kept.saturating_add(1);
    }

    fn strict(&self, step_s: f32) -> f32 {
        (STRICT_SHARE * self.period_s).max(STRICT_STEPS * step_s)
    }

    fn tolerance(&self, step_s: f32) -> f32 {
        (KEPT_SHARE * self.period_s)
            .max(KEPT_JITTERS * self.jitter_s)
            .max(KEPT_STEPS * step_s)
            // A beat half a period away is neither this one nor the next.
            .min(KEPT_SHARE_MAX * self.period_s)
    }
}

impl Rhythm {
    /// Reads a word of it, so that it comes while others are worked on.
    pub fn touch(&self) -> u32 {
        self.low.to_bits()
    }

    /// Takes the next value, `step_s` seconds after the last as usual; `is_gap` says that some are missing
    /// before it.
    pub fn step(&mut self, at: Time, value: f64, step_s: f32, is_gap: bool) -> Beat {
        let x = value as f32;
        if !self.is_begun {
            *self = Self {
                low: x,
                high: x,
                is_begun: true,
                ..Self::default()
            };
        }
        if is_gap {
            self.beats.lose_sight();
            // Where in its climb it is now is not known either.
            self.is_high = true;
        }
        let shrink = RANGE_SHRINK * 0.5 * (self.high - self.low);
        self.high = (self.high - shrink).max(x);
        self.low = (self.low + shrink).min(x);
        let part = (x - self.low) / (self.high - self.low);
        if part < LOW_PART {
            self.is_high = false;
        } else if part >= HIGH_PART && !std::mem::replace(&mut self.is_high, true) {
            self.beats.beat(at, step_s);
        }
        self.beats.look(at, step_s)
    }

    /// Nothing more is heard of the series.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        self.beats.set_back(to);
    }

    /// Its period in milliseconds and when the next beat is due, if that is known.
    pub fn due(&self) -> Option<(i64, Time)> {
        self.beats.due()
    }
}

fn seconds(ms: i64) -> f32 {
    ms as f32 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::dice::Dice;

    const STEP_S: i64 = 15;
    const START_S: i64 = 1_768_392_000;

    struct Bench {
        rhythm: Rhythm,
        second: i64,
        dice: Dice,
        told: Vec<(i64, Beat)>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                rhythm: Rhythm::default(),
                second: 0,
                dice: Dice(11),
                told: Vec::new(),
            }
        }

        /// Minutes of a value; what is told is noted once, with the minute.
        fn minutes(&mut self, minutes: i64, mut value: impl FnMut(&mut Self, i64) -> f64) {
            for _ in 0..minutes * 60 / STEP_S {
                let second = self.second;
                let value = value(self, second);
                let at = Time::from_secs(START_S + second);
                let beat = self.rhythm.step(at, value, STEP_S as f32, false);
                let same = self.told.last().is_some_and(|(_, last)| {
                    std::mem::discriminant(last) == std::mem::discriminant(&beat)
                });
                let is_begun = beat != Beat::Quiet || !self.told.is_empty();
                if !same && is_begun {
                    self.told.push((second / 60, beat));
                }
                self.second += STEP_S;
            }
        }
    }

    /// A job that runs for two minutes every `period` minutes, over noise.
    fn job(period: i64) -> impl Fn(&mut Bench, i64) -> f64 {
        move |bench, second| {
            let runs = second / 60 % period < 2;
            (if runs { 80.0 } else { 20.0 }) + 5.0 * bench.dice.unit()
        }
    }

    #[test]
    fn a_beat_that_does_not_come_is_told_until_it_keeps_time_again() {
        for period in [5, 10, 60, 360] {
            let mut bench = Bench::new();
            bench.minutes(18 * period, job(period));
            assert_eq!(bench.told, [], "every {period} minutes");
            bench.minutes(2 * period, |bench, _| 20.0 + 5.0 * bench.dice.unit());
            let (minute, beat) = bench.told[0];
            let Beat::Broken(broken) = beat else {
                panic!("every {period} minutes: {:?}", bench.told);
            };
            assert!((18 * period..19 * period).contains(&minute), "{minute}");
            assert!(
                (broken.period_ms - period * 60_000).abs() < period * 600,
                "{broken:?}"
            );
            let due_s = broken.due.since(Time::from_secs(START_S)) / 1_000;
            assert!((due_s - 18 * period * 60).abs() <= period * 6, "{broken:?}");
            assert_eq!(broken.came, None);
            bench.minutes(3 * period, job(period));
            let back = bench.told.iter().any(|(_, beat)| *beat == Beat::Back);
            assert!(back, "{:?}", bench.told);
        }
    }

    #[test]
    fn a_beat_at_a_wrong_time_is_told_with_that_time() {
        let mut bench = Bench::new();
        bench.minutes(1_200, job(60));
        let late = |bench: &mut Bench, second: i64| {
            let runs = (25..27).contains(&(second / 60 % 60));
            (if runs { 80.0 } else { 20.0 }) + 5.0 * bench.dice.unit()
        };
        bench.minutes(60, late);
        let Some((_, Beat::Broken(first))) = bench.told.first().copied() else {
            panic!("{:?}", bench.told);
        };
        assert_eq!(first.came, None, "told as soon as it is overdue");
        let at = Time::from_secs(START_S + bench.second);
        let Beat::Broken(broken) = bench.rhythm.step(at, 20.0, STEP_S as f32, false) else {
            panic!("it lasts");
        };
        let came_s = broken.came.unwrap().since(broken.due) / 1_000;
        assert!((came_s - 25 * 60).abs() <= 60, "{broken:?}");
    }

    #[test]
    fn what_has_no_rhythm_is_quiet_and_a_beat_too_many_breaks_none() {
        let mut noise = Bench::new();
        noise.minutes(28 * 1_440, |bench, _| bench.dice.unit());
        assert_eq!(noise.told, []);
        let mut jobs = Bench::new();
        jobs.minutes(28 * 1_440, |bench, second| {
            // Whenever somebody asks for it, every half hour or so.
            let mut slot = (second / 120) as u64;
            for _ in 0..3 {
                slot = (slot ^ slot >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            }
            let asked = (slot >> 40).is_multiple_of(15);
            (if asked { 80.0 } else { 20.0 }) + 5.0 * bench.dice.unit()
        });
        assert_eq!(jobs.told, []);
        let (mut memory, mut level) = (Bench::new(), 0.0);
        memory.minutes(28 * 1_440, |bench, second| {
            // Fills up in twenty minutes at night and seven by day, and is emptied.
            let day = (second as f64 / 86_400.0 * std::f64::consts::TAU).sin();
            level += (1.0 + 0.5 * day) * STEP_S as f64 / 600.0;
            level -= if level > 1.0 { level } else { 0.0 };
            level + 0.02 * bench.dice.unit()
        });
        assert_eq!(memory.told, []);
        let mut extra = Bench::new();
        extra.minutes(1_200, job(60));
        extra.minutes(600, |bench, second| {
            let by_hand = (20..22).contains(&(second / 60 % 60));
            let usual = job(60)(bench, second);
            if by_hand { 90.0 } else { usual }
        });
        assert_eq!(extra.told, []);
    }

    #[test]
    fn what_was_not_seen_is_not_missed_and_what_stays_away_is_forgotten() {
        let mut bench = Bench::new();
        bench.minutes(1_200, job(60));
        bench.second += 7 * 3_600 + 1_234;
        let at = Time::from_secs(START_S + bench.second);
        assert_eq!(
            bench.rhythm.step(at, 20.0, STEP_S as f32, true),
            Beat::Quiet
        );
        bench.minutes(600, job(60));
        assert_eq!(bench.told, []);
        assert!(bench.rhythm.due().is_some(), "its period is known still");
        bench.minutes(7 * 60, |bench, _| 20.0 + 5.0 * bench.dice.unit());
        let lost = bench.told.iter().any(|(_, beat)| *beat == Beat::Lost);
        assert!(lost && bench.rhythm.due().is_none(), "{:?}", bench.told);
    }
}
