//! What a series does at the same hour of every week: the report of each Friday, the backup of each Sunday.
//!
//! The season knows two kinds of days, and no more: what happens on one day of the week alone stays odd to it. So
//! it is kept when a series was odd, and for how long and how far; what was so for three weeks running is expected in
//! the fourth. Hours are those of UTC. It never makes anything odd.

use serde::{Deserialize, Serialize};

use crate::model::{Direction, Time};

/// Weeks running after which it is expected.
const KNOWN_WEEKS: u8 = 3;
/// Times of the week that are kept; the one seen longest ago makes room.
const SLOTS_MAX: usize = 8;
/// It begins within as much of when it began a week before, in milliseconds.
const SLACK_MS: i64 = 3_600_000;
/// Further off than usual by this factor it is told …
const FURTHER: f32 = 1.25;
/// … and once it lasts longer by this factor …
const LONGER: i64 = 2;
/// … and as much more, in milliseconds.
const LONGER_MS: i64 = 30 * 60_000;
/// Of what is not expected yet, one spell may be the other again if they go as far, to this factor, and last as long.
const ALIKE: f32 = 2.0;
/// What is usual comes down to less by this share of the difference in a week.
const SHRINK: f32 = 0.25;
const WEEK_MS: i64 = 7 * 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// When in the week a series was odd of late.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weekly {
    /// At most [`SLOTS_MAX`], on the heap: most series are odd at no time that comes again.
    slots: Vec<Slot>,
}

/// One time of the week.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// When it began last.
    began: Time,
    /// How far off it usually is at most, in scales.
    furthest: f32,
    /// How long it usually lasts at most, in minutes.
    minutes: u16,
    down: bool,
    /// Weeks running in which it was so.
    weeks: u8,
}

/// A time at which a series is or was odd.
#[derive(Clone, Copy, Debug)]
pub struct Spell {
    /// When it began.
    pub began: Time,
    /// Until when it is known to have lasted.
    pub until: Time,
    /// Which way it lay off.
    pub direction: Direction,
    /// How far at most, in scales, without a bound: what is cut off at one can go no further.
    pub furthest: f32,
}

impl Weekly {
    /// For how many weeks running it was so at this time of the week, if that makes it expected: as long, and as far off.
    pub fn expects(&self, spell: Spell) -> Option<u8> {
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.is_a_week_before(spell))?;
        let is_expected = slot.weeks >= KNOWN_WEEKS && slot.covers(spell);
        is_expected.then_some(slot.weeks)
    }

    /// It was odd, and is not any more.
    pub fn note(&mut self, spell: Spell) {
        let before = |slot: &Slot| slot.is_a_week_before(spell);
        if let Some(known) = self.slots.iter_mut().find(|slot| before(slot)) {
            *known = known.followed_by(spell);
            return;
        }
        // What was not so a week later is none of every week.
        self.slots
            .retain(|slot| spell.began.since(slot.began) <= WEEK_MS + SLACK_MS);
        let fresh = Slot::of(spell);
        if self.slots.len() < SLOTS_MAX {
            self.slots.reserve_exact(1);
            self.slots.push(fresh);
        } else if let Some(oldest) = self
            .slots
            .iter_mut()
            .min_by_key(|slot| (slot.weeks, slot.began))
        {
            *oldest = fresh;
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        self.slots.retain(|slot| slot.began <= to);
    }
}

impl Slot {
    fn of(spell: Spell) -> Self {
        let minutes = spell.until.since(spell.began) / MINUTE_MS;
        Self {
            began: spell.began,
            furthest: spell.furthest.abs(),
            minutes: u16::try_from(minutes.max(0)).unwrap_or(u16::MAX),
            down: spell.direction == Direction::Down,
            weeks: 1,
        }
    }

    /// Whether it goes no further and lasts no longer than is usual.
    fn covers(&self, spell: Spell) -> bool {
        let lasts_ms = spell.until.since(spell.began);
        spell.furthest.abs() <= FURTHER * self.furthest
            && lasts_ms <= LONGER * i64::from(self.minutes) * MINUTE_MS + LONGER_MS
    }

    /// Whether the one may be the other again, each as seen from the other.
    fn is_like(&self, other: &Self) -> bool {
        let is_as_far = |a: &Self, b: &Self| a.furthest <= ALIKE * b.furthest;
        let is_as_long = |a: &Self, b: &Self| {
            i64::from(a.minutes) <= LONGER * i64::from(b.minutes) + LONGER_MS / MINUTE_MS
        };
        is_as_far(self, other)
            && is_as_far(other, self)
            && is_as_long(self, other)
            && is_as_long(other, self)
    }

    /// What is known once there was this spell a week later. An outage at the usual hour is none of every week: it
    /// widens nothing, and the weeks are counted anew.
    fn followed_by(self, spell: Spell) -> Self {
        let fresh = Self::of(spell);
        let is_expected = self.weeks >= KNOWN_WEEKS && self.covers(spell);
        if is_expected || self.is_like(&fresh) {
            let less = |known: f32, now: f32| known + SHRINK * (now - known).min(0.0);
            let minutes = less(f32::from(self.minutes), f32::from(fresh.minutes)) as u16;
            return Self {
                furthest: fresh.furthest.max(less(self.furthest, fresh.furthest)),
                minutes: fresh.minutes.max(minutes),
                weeks: self.weeks.saturating_add(1),
                ..fresh
            };
        }
        if self.weeks > 1 {
            // Once is an exception: what is usual stays so.
            return Self {
                began: fresh.began,
                weeks: 1,
                ..self
            };
        }
        fresh
    }

    /// Whether it was the same, a week before.
    fn is_a_week_before(&self, spell: Spell) -> bool {
        let later_ms = spell.began.since(self.began) - WEEK_MS;
        later_ms.abs() <= SLACK_MS && self.down == (spell.direction == Direction::Down)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn spell(week: i64, off_min: i64, hours: i64, deviation: f32) -> Spell {
        let began = Time::ZERO.plus_ms(week * WEEK_MS + off_min * MINUTE_MS);
        Spell {
            began,
            until: began.plus_ms(hours * HOUR_MS),
            direction: if deviation < 0.0 {
                Direction::Down
            } else {
                Direction::Up
            },
            furthest: deviation.abs(),
        }
    }

    /// What is expected of a spell, after so many weeks of others.
    fn after(weeks: &[(i64, f32)], hours: i64, deviation: f32) -> Option<u8> {
        let mut weekly = Weekly::default();
        for (week, (hours, deviation)) in (1..).zip(weeks) {
            weekly.note(spell(week, 0, *hours, *deviation));
        }
        weekly.expects(spell(weeks.len() as i64 + 1, 0, hours, deviation))
    }

    #[test]
    fn what_lay_as_far_off_as_is_weighed_is_told_when_it_goes_further() {
        for usual in [32.0, 40.0, 60.0, 1_000.0] {
            let weeks = [(1, usual); 3];
            assert_eq!(after(&weeks, 1, usual), Some(3), "{usual}");
            assert_eq!(after(&weeks, 1, 2.0 * usual), None, "{usual}");
        }
    }

    #[test]
    fn an_outage_at_the_usual_hour_teaches_nothing() {
        let usual = [(1, 5.0); 3];
        let outage = [&usual[..], &[(5, 30.0)]].concat();
        let then = |weeks: &[(i64, f32)]| [&outage[..], weeks].concat();
        // What is usual counts anew, and is what it was.
        assert_eq!(after(&outage, 1, 5.0), None);
        for (hours, deviation) in [(1, 30.0), (1, 9.0), (5, 5.0)] {
            let weeks = then(&[(1, 5.0); 3]);
            assert_eq!(after(&weeks, hours, deviation), None, "{hours} {deviation}");
            assert_eq!(after(&weeks, 1, 5.0), Some(4));
        }
        // What it is from then on is learned like any other.
        let weeks = then(&[(5, 30.0); 2]);
        assert_eq!(after(&weeks, 5, 30.0), None);
        assert_eq!(after(&then(&[(5, 30.0); 3]), 5, 30.0), Some(3));
    }

    #[test]
    fn what_becomes_less_is_expected_to_be_less() {
        let weeks = [&[(4, 20.0); 3][..], &[(1, 5.0); 12]].concat();
        assert_eq!(after(&weeks[..4], 4, 20.0), Some(4), "it may come again");
        assert_eq!(after(&weeks, 1, 5.0), Some(15));
        assert_eq!(after(&weeks, 1, 20.0), None);
        assert_eq!(after(&weeks, 4, 5.0), None);
        // What differs as much as it ever does is learned all the same.
        let varies = [(1, 5.0), (2, 8.0), (1, 6.0)];
        assert_eq!(after(&varies, 1, 8.0), Some(3));
    }

    #[test]
    fn what_was_so_three_weeks_running_is_expected_in_the_fourth() {
        let mut weekly = Weekly::default();
        for week in 1..=3 {
            assert_eq!(weekly.expects(spell(week, 0, 1, 10.0)), None, "{week}");
            weekly.note(spell(week, 10 * week, 6, 10.0));
        }
        let cases = [
            ("as ever", spell(4, 20, 6, 10.0), Some(3)),
            ("a little more", spell(4, 20, 8, 12.0), Some(3)),
            ("much further off", spell(4, 20, 6, 14.0), None),
            ("the other way", spell(4, 20, 6, -10.0), None),
            ("much longer", spell(4, 20, 14, 10.0), None),
            ("at another hour", spell(4, 180, 6, 10.0), None),
            ("on another day", spell(4, 1_440, 6, 10.0), None),
            ("a week was left out", spell(5, 20, 6, 10.0), None),
        ];
        for (name, spell, expected) in cases {
            assert_eq!(weekly.expects(spell), expected, "{name}");
        }
    }

    #[test]
    fn what_does_not_come_again_makes_room() {
        let mut weekly = Weekly::default();
        for day in 0..100 {
            weekly.note(spell(0, day * 1_440 + day * 97 % 700, 1, 10.0));
            assert!(weekly.slots.len() <= SLOTS_MAX);
        }
        assert!(size_of::<Slot>() <= 16);
        for week in 20..23 {
            for day in 0..20 {
                weekly.note(spell(week, day * 400, 1, 10.0));
            }
        }
        assert!(weekly.slots.len() <= SLOTS_MAX);
    }
}
