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
/// Further off than it ever was by this factor it is told …
const FURTHER: f32 = 1.25;
/// … and once it lasts longer by this factor …
const LONGER: i64 = 2;
/// … and as much more, in milliseconds.
const LONGER_MS: i64 = 30 * 60_000;
const WEEK_MS: i64 = 7 * 86_400_000;
const MINUTE_MS: i64 = 60_000;
/// Steps in which deviations are kept, in one scale.
const STEPS: f32 = 4.0;

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
    /// How long it lasted at most, in minutes.
    minutes: u16,
    /// How far off it was at most, in steps of [`STEPS`].
    furthest: u8,
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
    /// How far at most, in scales.
    pub deviation: f32,
}

impl Weekly {
    /// For how many weeks running it was so at this time of the week, if that makes it expected: as long, and as far off.
    pub fn expects(&self, spell: Spell) -> Option<u8> {
        let slot = self
            .slots
            .iter()
            .find(|slot| slot.is_a_week_before(spell))?;
        let lasts_ms = spell.until.since(spell.began);
        let usual_ms = i64::from(slot.minutes) * MINUTE_MS;
        let is_usual = spell.deviation.abs() <= FURTHER * f32::from(slot.furthest) / STEPS
            && lasts_ms <= LONGER * usual_ms + LONGER_MS;
        (slot.weeks >= KNOWN_WEEKS && is_usual).then_some(slot.weeks)
    }

    /// It was odd, and is not any more.
    pub fn note(&mut self, spell: Spell) {
        let minutes = spell.until.since(spell.began) / MINUTE_MS;
        let mut fresh = Slot {
            began: spell.began,
            minutes: u16::try_from(minutes.max(0)).unwrap_or(u16::MAX),
            furthest: (spell.deviation.abs() * STEPS).ceil().min(255.0) as u8,
            down: spell.direction == Direction::Down,
            weeks: 1,
        };
        let before = |slot: &Slot| slot.is_a_week_before(spell);
        if let Some(known) = self.slots.iter_mut().find(|slot| before(slot)) {
            fresh.minutes = fresh.minutes.max(known.minutes);
            fresh.furthest = fresh.furthest.max(known.furthest);
            fresh.weeks = known.weeks.saturating_add(1);
            *known = fresh;
            return;
        }
        // What was not so a week later is none of every week.
        self.slots
            .retain(|slot| spell.began.since(slot.began) <= WEEK_MS + SLACK_MS);
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
            deviation,
        }
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
