//! The clocks of those who send lines and spans, told by how old these are when they come. A clock is a machine's:
//! a sender is the host that the labels name, else the entity they speak of.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::entities::resolve;
use super::intake::SourceIx;
use crate::model::{EntityId, Labels, Time};

/// Senders known at once; with more, all of them are estimated anew.
const SENDERS_MAX: usize = 4_096;
/// Label sets known at once; with more, all of them are read again.
const LABEL_SETS_MAX: usize = 8_192;
/// Who was not heard for longer is not told of, in milliseconds: its clock may have been set since.
const HEARD_MS: i64 = 10 * 60_000;
/// What is later than before weighs one part in so many: senders tell old things with the new.
const LATER_WEIGHT: i64 = 8;

/// What is fresher than the estimate by no more than this is taken at its word, in milliseconds …
const FRESHER_MS_MAX: i64 = 1_000;
/// … and by more, once another of so many signals says so, too: one wrong time is no clock.
const CONFIRM_SIGNALS: u32 = 16;

/// The clock of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How old what it says is when it comes, the freshest weighing most, in milliseconds; negative when it is ahead.
    pub lag_ms: i64,
    /// When anything last came of it.
    pub heard: Time,
    /// How many signals the estimate is of, up to two.
    signals: u32,
    /// The lag of the last that was much fresher than the estimate, in milliseconds, and for how many more signals
    /// it counts.
    fresher: Option<(i64, u32)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Clocks {
    /// Places by source and hash of the labels, so that they are not read line by line.
    places: FxHashMap<(SourceIx, u64), u32>,
    index: BTreeMap<(SourceIx, EntityId), u32>,
    of_senders: Vec<Clock>,
}

impl Clocks {
    /// Something of `at` came at `now`, from whom the labels name.
    pub fn hear(&mut self, source: SourceIx, labels: &Labels, at: Time, now: Time) {
        let key = (source, labels.stable_hash());
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => match self.place(source, labels, at, now) {
                Some(place) => {
                    self.places.insert(key, place);
                    place
                }
                None => return,
            },
        };
        self.of_senders[place as usize].hear(at, now);
    }

    /// The place of whom labels name.
    fn place(&mut self, source: SourceIx, labels: &Labels, at: Time, now: Time) -> Option<u32> {
        let resolved = resolve(labels)?;
        let sender = (source, resolved.host.unwrap_or(resolved.entity));
        if self.places.len() >= LABEL_SETS_MAX {
            self.places.clear();
        }
        if self.of_senders.len() >= SENDERS_MAX && !self.index.contains_key(&sender) {
            *self = Self::default();
        }
        let next = self.of_senders.len() as u32;
        let place = *self.index.entry(sender).or_insert(next);
        if place == next {
            self.of_senders.push(Clock {
                lag_ms: now.since(at),
                heard: now,
                signals: 0,
                fresher: None,
            });
        }
        Some(place)
    }

    /// Senders that were heard of late, with their clocks.
    pub fn of_late(&self, now: Time) -> impl Iterator<Item = (SourceIx, &EntityId, Clock)> {
        let all = self.index.iter().map(|((source, sender), place)| {
            let clock = self.of_senders[*place as usize];
            (*source, sender, clock)
        });
        all.filter(move |(_, _, clock)| now.since(clock.heard) <= HEARD_MS)
    }

    /// Our own clock was set back: what was estimated by it is worth nothing.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Clock {
    fn hear(&mut self, at: Time, now: Time) {
        let lag_ms = now.since(at);
        let later_ms = (lag_ms - self.lag_ms).max(0) / LATER_WEIGHT;
        self.fresher = self.fresher.and_then(|(lag_ms, left)| {
            let left = left.checked_sub(1)?;
            Some((lag_ms, left))
        });
        match self.signals {
            0 => self.lag_ms = lag_ms,
            // Of two that differ nobody knows which is wrong: the one that accuses no clock counts.
            1 if lag_ms > self.lag_ms => {
                self.fresher = Some((self.lag_ms, CONFIRM_SIGNALS));
                self.lag_ms = lag_ms;
            }
            _ if lag_ms < self.lag_ms - FRESHER_MS_MAX => {
                if let Some((before_ms, _)) = self.fresher {
                    self.lag_ms = self.lag_ms.min(lag_ms.max(before_ms));
                }
                self.fresher = Some((lag_ms, CONFIRM_SIGNALS));
            }
            _ => self.lag_ms = lag_ms.min(self.lag_ms + later_ms),
        }
        self.signals = (self.signals + 1).min(2);
        self.heard = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lag that is estimated after a sender said this, in milliseconds, one a second.
    fn estimated(lags_ms: impl IntoIterator<Item = i64>) -> i64 {
        const START: Time = Time::from_secs(1_768_392_000);
        let mut clocks = Clocks::default();
        let labels = Labels::from_pairs([("host", "n1")]).unwrap();
        let mut now = START;
        for lag_ms in lags_ms {
            now = now.plus_ms(1_000);
            clocks.hear(SourceIx(0), &labels, now.plus_ms(-lag_ms), now);
        }
        let (_, _, clock) = clocks.of_late(now).next().unwrap();
        clock.lag_ms
    }

    #[test]
    fn one_wrong_time_is_no_clock_and_two_are() {
        const WRONG_MS: i64 = -500_000;
        let usual = || std::iter::repeat_n(100, 40);
        let wrong = || std::iter::once(WRONG_MS);
        assert_eq!(estimated(usual().chain(wrong())), 100);
        assert_eq!(estimated(wrong().chain(usual())), 100);
        let twice = usual().chain(wrong()).chain(usual()).chain(wrong());
        assert_eq!(estimated(twice), 100, "long apart");
        assert_eq!(estimated(usual().chain([WRONG_MS; 2])), WRONG_MS);
        let old_with_new = [90_000, 30_000].into_iter().cycle().take(40);
        assert_eq!(estimated(old_with_new), 30_000);
    }

    #[test]
    fn clocks_are_bounded_and_who_falls_silent_is_not_told_of() {
        const START: Time = Time::from_secs(1_768_392_000);
        let mut clocks = Clocks::default();
        let mut hear = |name: &str, n: i64, lag_ms: i64| {
            let line = n.to_string();
            let labels = [("service", "sshd"), ("host", name), ("line", &*line)];
            let labels = Labels::from_pairs(labels).unwrap();
            let now = START.plus_ms(n);
            clocks.hear(SourceIx(0), &labels, now.plus_ms(-lag_ms), now);
            (clocks.places.len(), clocks.of_senders.len())
        };
        for n in 0..3 * SENDERS_MAX as i64 {
            let (places, senders) = hear(&format!("node-{n}"), n, 0);
            assert!(places <= LABEL_SETS_MAX && senders <= SENDERS_MAX);
        }
        for n in 0..3 * LABEL_SETS_MAX as i64 {
            // The freshest counts, whatever came late beside it.
            let (places, _) = hear("late", n, if n % 2 == 0 { 30_000 } else { 90_000 });
            assert!(places <= LABEL_SETS_MAX);
        }
        let told = |now: Time| -> Vec<(String, bool)> {
            let of_late = clocks.of_late(now);
            let late = of_late.filter(|(_, sender, _)| sender.name() == "late");
            late.map(|(_, sender, clock)| {
                let is_fresh = (30_000..40_000).contains(&clock.lag_ms);
                (sender.to_string(), is_fresh)
            })
            .collect()
        };
        assert_eq!(
            told(START.plus_ms(60_000)),
            [("host/late".to_owned(), true)]
        );
        assert_eq!(told(START.plus_ms(2 * HEARD_MS)), []);
    }
}
