//! When and where something was wrong: what was seen then teaches nobody what is normal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::behaviour::ServiceIx;
use crate::model::Time;

/// The times of trouble of each service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubles {
    /// By service, in order of time; they do not overlap.
    of: BTreeMap<ServiceIx, Vec<Spell>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Spell {
    from: Time,
    to: Time,
}

impl Troubles {
    /// Something is wrong with a service from `from` to `to`.
    pub fn note(&mut self, service: ServiceIx, from: Time, to: Time) {
        let spells = self.of.entry(service).or_default();
        let mut all = Spell { from, to };
        spells.retain(|spell| {
            let is_apart = spell.to < all.from || all.to < spell.from;
            if !is_apart {
                all.from = all.from.min(spell.from);
                all.to = all.to.max(spell.to);
            }
            is_apart
        });
        let at = spells.partition_point(|spell| spell.from < all.from);
        spells.insert(at, all);
    }

    /// Whether something was wrong with a service at `at`.
    pub fn hold(&self, service: ServiceIx, at: Time) -> bool {
        let mut spells = self.of.get(&service).into_iter().flatten();
        spells.any(|spell| spell.from <= at && at <= spell.to)
    }

    /// Forgets what was over before `since`.
    pub fn forget(&mut self, since: Time) {
        self.of.retain(|_, spells| {
            spells.retain(|spell| spell.to >= since);
            !spells.is_empty()
        });
    }

    /// Nothing was wrong at a time that never was, after `now`.
    pub fn set_back(&mut self, now: Time) {
        for spell in self.of.values_mut().flatten() {
            spell.from = spell.from.min(now);
            spell.to = spell.to.min(now);
        }
    }

    /// The services that had trouble.
    pub fn services(&self) -> impl Iterator<Item = ServiceIx> {
        self.of.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_secs(second)
    }

    #[test]
    fn spells_that_meet_are_one_and_others_stay_apart() {
        let mut troubles = Troubles::default();
        troubles.note(1, at(10), at(20));
        troubles.note(1, at(40), at(50));
        troubles.note(1, at(15), at(30));
        for (second, expected) in [(9, false), (10, true), (30, true), (31, false), (45, true)] {
            assert_eq!(troubles.hold(1, at(second)), expected, "{second}");
        }
        assert!(!troubles.hold(2, at(15)), "another service was well");
        troubles.note(1, at(5), at(60));
        assert_eq!(troubles.of[&1].len(), 1, "{troubles:?}");
    }

    #[test]
    fn what_is_over_for_long_is_forgotten() {
        let mut troubles = Troubles::default();
        troubles.note(1, at(10), at(20));
        troubles.note(2, at(10), at(40));
        troubles.forget(at(30));
        assert_eq!(troubles.services().collect::<Vec<_>>(), [2]);
        troubles.set_back(at(15));
        assert!(troubles.hold(2, at(15)) && !troubles.hold(2, at(16)));
    }
}
