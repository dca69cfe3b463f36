//! Which hours of the week are like those of working days, and which are not: found by itself, whatever the time zone and
//! whichever days are free.
//!
//! It begins with Saturday and Sunday in UTC. An hour of the week that was nearer to those of the other kind two weeks running
//! is found to be of that kind. What was found is used once it explains such hours clearly better than what was thought: an
//! hour of chance does not come again.

use serde::{Deserialize, Serialize};

/// Hours of a week.
const WEEK_HOURS: usize = 7 * 24;
/// Bytes of a bit for each of them.
const BYTES: usize = WEEK_HOURS / 8;
/// The same of a day.
const DAY_BYTES: usize = 24 / 8;
const HOUR_MS: i64 = 3_600_000;
/// The epoch was a Thursday: weeks are counted from the Sunday before.
const EPOCH_HOUR: i64 = 4 * 24;

/// An hour of the other kind stays so while it lies more than so many scales off those of working days, …
const STAYS_SCALES: f32 = 0.5;
/// … and becomes so beyond these.
const JOINS_SCALES: f32 = 1.0;

/// What was found is used once at least so many hours of which another kind was found than was thought …
const TRIED_MIN: u8 = 6;
/// … of about so many of late …
const TRIED_MAX: u8 = 24;
/// … lie off that kind by less than this share of what they lie off the kind thought of …
const GAIN: f32 = 0.5;
/// … and until they lie off it by more than this share.
const LOSS: f32 = 0.8;

/// What is taken for the other kind at first: Sunday, the first of a week, and Saturday.
const AT_FIRST: [u8; BYTES] = {
    let mut other = [0; BYTES];
    let mut at = 0;
    while at < DAY_BYTES {
        other[at] = 0xff;
        other[BYTES - 1 - at] = 0xff;
        at += 1;
    }
    other
};

/// The kind of most days; that of the rest, of weekends as a rule, is 1.
pub(super) const WORKING: u8 = 0;

/// The kinds of all hours of a week, and what is being learned of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kinds {
    /// Hours found to be of the other kind.
    found: [u8; BYTES],
    /// Hours that were nearer to the kind that they are not, a week ago.
    doubted: [u8; BYTES],
    /// How far hours of which another kind was found than was thought lay off that, and off the kind thought of, in scales.
    off_found: f32,
    off_thought: f32,
    /// How many such hours there were, up to [`TRIED_MAX`].
    tried: u8,
    /// Whether what was found is used.
    is_used: bool,
    /// The hour of the week that passes now, and the values of it.
    hour: u8,
    count: u16,
    sum: f32,
}

/// An hour that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    /// Which one of the week, from Sunday 00:00 UTC.
    pub(super) hour: usize,
    /// The mean of its values.
    pub(super) mean: f32,
}

impl Default for Kinds {
    fn default() -> Self {
        Self {
            found: AT_FIRST,
            doubted: [0; BYTES],
            off_found: 0.0,
            off_thought: 0.0,
            tried: 0,
            is_used: false,
            hour: 0,
            count: 0,
            sum: 0.0,
        }
    }
}

/// The hour of the week in which an instant lies, from Sunday 00:00 UTC.
pub(super) fn hour_of_week(at_ms: i64) -> usize {
    (at_ms.div_euclid(HOUR_MS) + EPOCH_HOUR).rem_euclid(WEEK_HOURS as i64) as usize
}

/// The kind of an hour of the week while nothing is known of it.
pub(super) fn kind_at_first(hour: usize) -> u8 {
    u8::from(has(&AT_FIRST, hour))
}

impl Kinds {
    /// The kind of an hour of the week.
    pub(super) fn of(&self, hour: usize) -> u8 {
        let kinds = if self.is_used { &self.found } else { &AT_FIRST };
        u8::from(has(kinds, hour))
    }

    /// Adds a value of an hour; gives the hour before once it is over.
    pub(super) fn add(&mut self, hour: usize, x: f32) -> Option<Seen> {
        let before = usize::from(self.hour);
        let over = (before != hour && self.count > 0).then(|| Seen {
            hour: before,
            mean: self.sum / f32::from(self.count),
        });
        if before != hour {
            (self.hour, self.count, self.sum) = (hour as u8, 0, 0.0);
        }
        if self.count < u16::MAX {
            self.count += 1;
            self.sum += x;
        }
        over
    }

    /// An hour lay so many scales off those of working days, and off those of the other kind, if there was one.
    pub(super) fn judge(&mut self, hour: usize, working: f32, other: Option<f32>) {
        if let Some(other) = other {
            self.try_out(hour, working, other);
        }
        let is_nearer = other.is_none_or(|other| other < working);
        let is_other = if has(&self.found, hour) {
            working > STAYS_SCALES && is_nearer || self.is_last(hour)
        } else {
            working > JOINS_SCALES && is_nearer
        };
        if is_other == has(&self.found, hour) {
            set(&mut self.doubted, hour, false);
        } else if !has(&self.doubted, hour) {
            set(&mut self.doubted, hour, true);
        } else if is_other && self.is_new_level() {
            // No day is as those before: that is none of every week.
            self.doubted = [0; BYTES];
        } else {
            set(&mut self.doubted, hour, false);
            set(&mut self.found, hour, is_other);
        }
    }

    /// Notes whether the kind that was found explains an hour better than the one thought of.
    fn try_out(&mut self, hour: usize, working: f32, other: f32) {
        let (found, thought) = match (has(&self.found, hour), has(&AT_FIRST, hour)) {
            (true, false) => (other, working),
            (false, true) => (working, other),
            _ => return,
        };
        self.tried = (self.tried + 1).min(TRIED_MAX);
        let weight = f32::from(self.tried).recip();
        self.off_found += weight * (found - self.off_found);
        self.off_thought += weight * (thought - self.off_thought);
        let most = if self.is_used { LOSS } else { GAIN };
        self.is_used = self.tried >= TRIED_MIN && self.off_found < most * self.off_thought;
    }

    /// Whether an hour teaches at once what its kind is like, though it may be odd: other days have this hour of that kind
    /// than was thought, so that what is known of it is of others.
    pub(super) fn teaches(&self, hour: usize) -> bool {
        let is_new = |hour: usize| has(&self.found, hour) != has(&AT_FIRST, hour);
        self.is_used && has(&self.found, hour) && days_of(hour).any(is_new)
    }

    /// Whether no other day has this hour of the other kind: what is known of that is kept.
    fn is_last(&self, hour: usize) -> bool {
        !days_of(hour).skip(1).any(|hour| has(&self.found, hour))
    }

    /// Whether most hours of working days were none, a week ago and since.
    fn is_new_level(&self) -> bool {
        let (mut working, mut doubted) = (0, 0);
        for (other, doubt) in self.found.iter().zip(self.doubted) {
            working += (!other).count_ones();
            doubted += (!other & doubt).count_ones();
        }
        2 * doubted > working
    }
}

/// The hours of a week at the same time of the day, that hour first.
fn days_of(hour: usize) -> impl Iterator<Item = usize> {
    (0..7).map(move |days| (hour + 24 * days) % WEEK_HOURS)
}

fn has(bits: &[u8; BYTES], hour: usize) -> bool {
    bits[hour / 8] & (1 << (hour % 8)) != 0
}

fn set(bits: &mut [u8; BYTES], hour: usize, to: bool) {
    let bit = 1 << (hour % 8);
    if to {
        bits[hour / 8] |= bit;
    } else {
        bits[hour / 8] &= !bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY_NOON: usize = 24 + 12;
    const SUNDAY_NOON: usize = 12;

    #[test]
    fn a_week_begins_on_sunday_in_utc() {
        // 2026-01-04T00:00:00Z was a Sunday.
        let at_ms = |hours: i64| (1_767_484_800 + hours * 3_600) * 1_000;
        assert_eq!(hour_of_week(at_ms(0)), 0);
        assert_eq!(hour_of_week(at_ms(0) - 1), WEEK_HOURS - 1);
        let other: Vec<i64> = (0..168)
            .filter(|h| kind_at_first(hour_of_week(at_ms(*h))) != WORKING)
            .collect();
        let expected: Vec<i64> = (0..24).chain(144..168).collect();
        assert_eq!(other, expected);
    }

    #[test]
    fn an_hour_that_passed_is_its_mean() {
        let mut kinds = Kinds::default();
        assert_eq!(kinds.add(5, 1.0), None);
        assert_eq!(kinds.add(5, 3.0), None);
        assert_eq!(kinds.add(6, 9.0), Some(Seen { hour: 5, mean: 2.0 }));
        assert_eq!(kinds.add(8, 1.0), Some(Seen { hour: 6, mean: 9.0 }));
    }

    /// Weeks in which these hours lie so many scales off working days and off the rest; whether that is used then.
    fn weeks(
        kinds: &mut Kinds,
        weeks: usize,
        hours: std::ops::Range<usize>,
        off: (f32, f32),
    ) -> bool {
        for _ in 0..weeks {
            for hour in hours.clone() {
                kinds.judge(hour, off.0, Some(off.1));
            }
        }
        kinds.is_used
    }

    #[test]
    fn what_is_so_two_weeks_running_is_found_and_used_once_it_explains_the_next() {
        let morning = MONDAY_NOON - 4..MONDAY_NOON + 4;
        let mut kinds = Kinds::default();
        assert!(!weeks(&mut kinds, 2, morning.clone(), (9.0, 1.0)));
        assert_eq!(kinds.of(MONDAY_NOON), WORKING);
        assert!(weeks(&mut kinds, 1, morning.clone(), (9.0, 1.0)));
        assert_ne!(kinds.of(MONDAY_NOON), WORKING);
        assert!(kinds.teaches(MONDAY_NOON) && kinds.teaches(SUNDAY_NOON));
        assert!(!kinds.teaches(SUNDAY_NOON + 6), "as was thought");
        // It is not so any more.
        assert!(!weeks(&mut kinds, 5, morning, (0.1, 9.0)));
        assert_eq!(kinds.of(MONDAY_NOON), WORKING);
    }

    #[test]
    fn what_is_so_by_chance_is_not_used() {
        let mut kinds = Kinds::default();
        weeks(&mut kinds, 2, 30..50, (3.0, 1.0));
        assert!(has(&kinds.found, 40));
        assert!(!weeks(&mut kinds, 1, 30..50, (2.0, 2.5)));
        // Another week between makes none of what is every week.
        let mut kinds = Kinds::default();
        for off in [(3.0, 1.0), (0.1, 3.0), (3.0, 1.0)] {
            weeks(&mut kinds, 1, 30..50, off);
        }
        assert!(!has(&kinds.found, 40));
    }

    #[test]
    fn a_new_level_is_no_weekend_and_the_last_free_day_stays_one() {
        let mut kinds = Kinds::default();
        weeks(&mut kinds, 4, 24..144, (9.0, 1.0));
        assert_eq!(kinds.found, AT_FIRST, "all working days at once");
        weeks(&mut kinds, 4, 0..168, (0.0, 9.0));
        let left: u32 = kinds.found.iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(left, 24, "each hour of one day");
    }
}
