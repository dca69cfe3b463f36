//! What was taken of late, so that the same lines can be asked for again without being taken twice.
//!
//! Stores show lines late, and their ranges meet in the middle of an instant: each question therefore
//! goes back a little, and what is known is left out. Bounded: what is forgotten is not asked for again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most lines remembered; some 10 MiB.
const SEEN_MAX: usize = 262_144;
/// Most lines of one instant that are kept over a restart; more may come twice after it.
const SEEN_KEPT_MAX: usize = 4_096;

/// How far lines were taken, as it is kept over a restart. Times are in the store's own unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Everything before was taken.
    pub(super) next: i64,
    /// And these of that very instant, by their identity.
    #[serde(default)]
    pub(super) seen: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    /// Instant and identity.
    seen: BTreeSet<(i64, u64)>,
    seen_max: usize,
    /// Everything before was taken, or is given up.
    next: i64,
    /// Before this nothing is known any more: it must not be asked for.
    floor: i64,
}

impl Window {
    pub(super) fn new(place: &Place) -> Self {
        Self::bounded(place, SEEN_MAX)
    }

    fn bounded(place: &Place, seen_max: usize) -> Self {
        Self {
            seen: place.seen.iter().map(|id| (place.next, *id)).collect(),
            seen_max,
            next: place.next,
            floor: place.next,
        }
    }

    /// Everything before was taken.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    /// Where to ask from, so that what came late is found.
    pub(super) fn from(&self, late: i64) -> i64 {
        self.next.saturating_sub(late).max(self.floor)
    }

    /// Takes a line unless it was taken before.
    pub(super) fn take(&mut self, at: i64, id: u64) -> bool {
        if at < self.floor || !self.seen.insert((at, id)) {
            return false;
        }
        while self.seen.len() > self.seen_max {
            if let Some((at, _)) = self.seen.pop_first() {
                self.floor = self.floor.max(at.saturating_add(1));
            }
        }
        true
    }

    /// Everything before `next` was taken; what is older than `late` before that is forgotten.
    pub(super) fn advance(&mut self, next: i64, late: i64) {
        self.next = self.next.max(next);
        self.floor = self.floor.max(self.next.saturating_sub(late));
        self.seen = self.seen.split_off(&(self.floor.min(self.next), 0));
    }

    /// Gives up what was not taken before `next`.
    pub(super) fn give_up(&mut self, next: i64) {
        self.advance(next, 0);
    }

    /// What to keep over a restart.
    pub(super) fn place(&self) -> Place {
        let seen = self.seen.range((self.next, 0)..=(self.next, u64::MAX));
        Place {
            next: self.next,
            seen: seen.take(SEEN_KEPT_MAX).map(|(_, id)| *id).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn late_lines_are_taken_once_and_forgotten_ones_are_not_asked_for() {
        let mut window = Window::new(&Place {
            next: 100,
            seen: vec![1],
        });
        assert_eq!(window.from(50), 100, "what was before the start is unknown");
        let taken = [(100, 1), (100, 2), (90, 3), (105, 4), (105, 4)];
        let taken = taken.map(|(at, id)| window.take(at, id));
        assert_eq!(taken, [false, true, false, true, false]);
        window.advance(120, 50);
        assert_eq!((window.next(), window.from(50)), (120, 100));
        assert!(window.take(101, 5) && !window.take(100, 2));
        window.advance(170, 50);
        assert_eq!(window.from(50), 120);
        assert!(!window.take(110, 6), "too late");
    }

    #[test]
    fn a_place_in_the_middle_of_an_instant_knows_what_was_taken_of_it() {
        let mut window = Window::new(&Place::default());
        for id in 1..4 {
            assert!(window.take(7, id));
        }
        window.advance(7, 100);
        let place = window.place();
        assert_eq!((place.next, &*place.seen), (7, &[1, 2, 3][..]));
        let mut again = Window::new(&place);
        assert!(!again.take(7, 2) && again.take(7, 4));
    }

    proptest! {
        /// Whatever is asked for again, each line is taken at most once, also when memory is short.
        #[test]
        fn nothing_is_taken_twice(
            lines in prop::collection::vec((0..40_i64, 0..4_u64), 0..200),
            late in 0..20_i64,
        ) {
            let mut window = Window::bounded(&Place::default(), 16);
            let mut taken = BTreeSet::new();
            for (step, line) in lines.iter().enumerate() {
                if line.0 >= window.from(late) && window.take(line.0, line.1) {
                    prop_assert!(taken.insert(*line), "{line:?} twice");
                }
                prop_assert!(window.seen.len() <= 16);
                if step % 7 == 0 {
                    window.advance(line.0, late);
                }
            }
        }
    }
}
