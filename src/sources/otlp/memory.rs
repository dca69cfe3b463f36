//! What metrics remember from one request to the next: the last point of each cumulative histogram, and when the
//! buckets of a metric were told.
//!
//! Never remembers anything of a request whose signals were not taken: its sender sends it again, and it must say the
//! same then. What a request changes is a [`Draft`] until then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::histogram::Counts;
use crate::model::Time;
use crate::sources::recent::Recent;

/// Cumulative histograms whose last point is remembered, at some 150 bytes to 8 KiB each, exponential ones at 1.3 KiB;
/// and metrics of which it is known when their buckets were told.
const REMEMBERED_MAX: usize = 20_000;
/// Buckets that are told this much before the last ones, in milliseconds, are told with those: they came in parts.
const PARTS_MS: i64 = 60_000;
/// Parts of one metric told apart at most, the latest.
const PARTS_MAX: usize = 32;

/// See the module.
pub(super) struct Memory(Mutex<Kept>);

struct Kept {
    points: Recent<u128, Arc<Last>>,
    told: Recent<u128, Arc<Told>>,
}

/// What a request will have changed once its signals are taken.
#[derive(Debug, Default)]
pub(super) struct Draft {
    points: Changes<Last>,
    told: Changes<Told>,
}

/// By key, what was remembered when it was read, and what is to be.
type Changes<V> = BTreeMap<u128, (Option<Arc<V>>, Arc<V>)>;

/// The last point of a cumulative histogram.
#[derive(Debug)]
struct Last {
    at: Time,
    counts: Counts,
}

/// When the buckets of a metric were told.
#[derive(Debug)]
struct Told {
    last: Time,
    /// Which parts of late, oldest first, and with which time each: one that is sent again is told as it was.
    parts: Vec<(u128, Time)>,
}

/// Another request was taken meanwhile that told of the same: this one must be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overtaken;

impl Memory {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Kept {
            points: Recent::new(REMEMBERED_MAX),
            told: Recent::new(REMEMBERED_MAX),
        }))
    }

    /// What a cumulative histogram counted since its last point; `None` for its first, and for one that was taken
    /// already or comes after a later one.
    pub(super) fn since_last(
        &self,
        draft: &mut Draft,
        key: u128,
        at: Time,
        counts: Counts,
    ) -> Option<Counts> {
        let (base, last) = current(&draft.points, key, || {
            self.lock().points.get(&key).map(Arc::clone)
        });
        if last.as_ref().is_some_and(|last| last.is_past(at, &counts)) {
            return None;
        }
        let grown = last.map(|last| counts.since(&last.counts));
        let now = Arc::new(Last { at, counts });
        draft.points.insert(key, (base, now));
        grown
    }

    /// The time of buckets that are told now: those of one metric may come in several parts of one time, of other
    /// scopes or in other requests, and each counts, once. `part` tells one from another.
    pub(super) fn time_of_part(&self, draft: &mut Draft, key: u128, part: u128, at: Time) -> Time {
        let (base, told) = current(&draft.told, key, || {
            self.lock().told.get(&key).map(Arc::clone)
        });
        let told = told.as_deref();
        let known = told.and_then(|told| told.parts.iter().find(|(of, _)| *of == part));
        if let Some((_, at)) = known {
            return *at;
        }
        let told = Told::with(told, part, at);
        let at = told.last;
        draft.told.insert(key, (base, Arc::new(told)));
        at
    }

    /// Hands over what was read with `draft`, and remembers that once it is taken.
    pub(super) fn remember<T>(
        &self,
        draft: Draft,
        hand_over: impl FnOnce() -> Result<(), T>,
    ) -> Result<Result<(), T>, Overtaken> {
        // Most requests hold none of what is remembered, and wait for nobody.
        if draft.points.is_empty() && draft.told.is_empty() {
            return Ok(hand_over());
        }
        let mut kept = self.lock();
        let Kept { points, told } = &mut *kept;
        if !(is_unchanged(points, &draft.points) && is_unchanged(told, &draft.told)) {
            return Err(Overtaken);
        }
        let handed_over = hand_over();
        if handed_over.is_ok() {
            put(points, draft.points);
            put(told, draft.told);
        }
        Ok(handed_over)
    }

    /// Valid after any panic: it holds what was put in, or not.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was remembered before the request, and what it has made of that so far.
fn current<V>(
    changes: &Changes<V>,
    key: u128,
    remembered: impl FnOnce() -> Option<Arc<V>>,
) -> (Option<Arc<V>>, Option<Arc<V>>) {
    if let Some((base, now)) = changes.get(&key) {
        return (base.clone(), Some(Arc::clone(now)));
    }
    let base = remembered();
    (base.clone(), base)
}

fn is_unchanged<V>(kept: &mut Recent<u128, Arc<V>>, changes: &Changes<V>) -> bool {
    changes
        .iter()
        .all(|(key, (base, _))| match (kept.get(key), base) {
            (None, None) => true,
            (Some(kept), Some(base)) => Arc::ptr_eq(kept, base),
            _ => false,
        })
}

fn put<V>(kept: &mut Recent<u128, Arc<V>>, changes: Changes<V>) {
    for (key, (_, now)) in changes {
        kept.put(key, now);
    }
}

impl Last {
    /// Whether a point of `at` with these counts tells nothing after this one. One that counted more does: its
    /// sender's clock was set back.
    fn is_past(&self, at: Time, counts: &Counts) -> bool {
        let was_before = counts.start < self.counts.start
            || counts.start == self.counts.start && counts.count <= self.counts.count;
        at <= self.at && was_before
    }
}

impl Told {
    /// What was told, and this part, of `at` or, if it comes in parts, just after the last.
    fn with(before: Option<&Self>, part: u128, at: Time) -> Self {
        let last = before.map(|told| told.last);
        let is_part = |last: &Time| (0..=PARTS_MS).contains(&last.since(at));
        let at = last.filter(is_part).map_or(at, |last| last.plus_ms(1));
        let parts = before.map_or(&[][..], |told| &told.parts);
        let is_late = |(_, told): &&(u128, Time)| at.since(*told).abs() <= PARTS_MS;
        let mut parts: Vec<_> = parts.iter().filter(is_late).copied().collect();
        if parts.len() >= PARTS_MAX {
            parts.remove(0);
        }
        parts.push((part, at));
        Self { last: at, parts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: i64) -> Time {
        Time::from_secs(second)
    }

    fn counts(start_s: i64, count: u64) -> Counts {
        Counts {
            start: Some(at(start_s)),
            count,
            ..Counts::default()
        }
    }

    /// How much more one point counted than those before it, as far as it is told.
    fn grown(memory: &Memory, draft: &mut Draft, second: i64, point: Counts) -> Option<u64> {
        let grown = memory.since_last(draft, 1, at(second), point);
        grown.map(|counts| counts.count)
    }

    fn taken(memory: &Memory, draft: Draft) {
        let taken = memory.remember(draft, || Ok::<(), ()>(()));
        assert_eq!(taken, Ok(Ok(())));
    }

    /// The same of a request of one point, which is taken.
    fn request(memory: &Memory, second: i64, point: Counts) -> Option<u64> {
        let mut draft = Draft::default();
        let grown = grown(memory, &mut draft, second, point);
        taken(memory, draft);
        grown
    }

    #[test]
    fn a_refused_request_says_the_same_when_it_is_sent_again() {
        let memory = Memory::new();
        assert_eq!(request(&memory, 10, counts(1, 4)), None);
        for is_taken in [Err(()), Ok(())] {
            let mut draft = Draft::default();
            let more = grown(&memory, &mut draft, 20, counts(1, 9));
            let told = memory.time_of_part(&mut draft, 1, 7, at(20));
            assert_eq!((more, told), (Some(5), at(20)));
            // A second point of the request is compared with its first.
            assert_eq!(grown(&memory, &mut draft, 30, counts(1, 11)), Some(2));
            assert_eq!(memory.remember(draft, || is_taken), Ok(is_taken));
        }
        assert_eq!(request(&memory, 40, counts(1, 12)), Some(1));
    }

    #[test]
    fn a_point_that_was_overtaken_counts_nothing_twice() {
        let memory = Memory::new();
        assert_eq!(request(&memory, 10, counts(1, 4)), None);
        assert_eq!(request(&memory, 30, counts(1, 9)), Some(5));
        for (second, point) in [(20, counts(1, 6)), (30, counts(1, 9)), (30, counts(0, 900))] {
            assert_eq!(request(&memory, second, point), None, "of {second}");
        }
        assert_eq!(request(&memory, 40, counts(1, 12)), Some(3));
        assert_eq!(request(&memory, 30, counts(1, 13)), Some(1), "clock back");
        assert_eq!(request(&memory, 50, counts(45, 2)), Some(2), "a restart");
    }

    #[test]
    fn of_two_requests_read_at_once_the_second_is_read_again() {
        let memory = Memory::new();
        let (mut first, mut second) = (Draft::default(), Draft::default());
        grown(&memory, &mut first, 10, counts(1, 4));
        grown(&memory, &mut second, 20, counts(1, 9));
        taken(&memory, first);
        let refused = memory.remember(second, || -> Result<(), ()> { panic!("not handed over") });
        assert_eq!(refused, Err(Overtaken));
        assert_eq!(request(&memory, 20, counts(1, 9)), Some(5));
    }

    #[test]
    fn parts_of_one_time_are_told_apart_and_each_is_told_once() {
        let memory = Memory::new();
        let told = |part, second| {
            let mut draft = Draft::default();
            let told = memory.time_of_part(&mut draft, 1, part, at(second));
            taken(&memory, draft);
            told
        };
        assert_eq!(told(1, 60), at(60));
        assert_eq!(told(2, 60), at(60).plus_ms(1));
        assert_eq!(told(1, 60), at(60), "sent again");
        assert_eq!(told(2, 60), at(60).plus_ms(1), "sent again");
        assert_eq!(told(3, 70), at(70));
        for part in 4..100 {
            told(part, 70);
        }
        let remembered = memory.lock().told.get(&1).map(|told| told.parts.len());
        assert_eq!(remembered, Some(PARTS_MAX));
        assert_eq!(told(1, 500), at(500));
    }
}
