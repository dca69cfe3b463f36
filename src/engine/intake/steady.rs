//! How steadily a series comes: since when without a pause, and how long it ever paused.
//!
//! What comes and goes, as a job does or a counter of what seldom happens, is not missed when it goes.

use serde::{Deserialize, Serialize};

use super::derive::Derive;
use super::{Intake, SeriesIx, SeriesRow};
use crate::engine::detect::Maturity;
use crate::engine::set_back::SetBack;
use crate::model::Time;

/// A series is steady once it came for as many times its longest pause, without another.
const STEADY_PAUSES: i64 = 4;
/// What is known of a pause is halved with each of these, in milliseconds.
const FORGET_MS: i64 = 7 * 86_400_000;

/// Series before and after one that are asked whether they outlived it.
const BESIDE_MAX: usize = 64;

/// The pauses of one series, in which its source went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Steady {
    /// Since when it comes without a pause.
    since: Time,
    /// Its longest pause, in milliseconds …
    longest_ms: u32,
    /// … and when that was over: shorter ones since make it no younger.
    longest_at: Time,
    /// Whether its sender said that it is over.
    is_ended: bool,
}

impl Steady {
    /// The first point came at `at`.
    pub(super) fn begin(&mut self, at: Time) {
        (self.since, self.is_ended) = (at, false);
    }

    /// Its sender says that it is over.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    /// A point came at `at`, after a pause of `pause_ms`.
    pub(super) fn resume(&mut self, at: Time, pause_ms: u32) {
        let paused_at = at.plus_ms(-i64::from(pause_ms));
        if i64::from(pause_ms) >= self.longest_ms(paused_at) {
            (self.longest_ms, self.longest_at) = (pause_ms, at);
        }
        self.begin(at);
    }

    /// Its longest pause, as far as that is still known at `at`, in milliseconds.
    fn longest_ms(&self, at: Time) -> i64 {
        let halvings = at.since(self.longest_at).div_euclid(FORGET_MS).clamp(0, 31);
        i64::from(self.longest_ms) >> halvings
    }

    /// Whether it came for so long without a pause, until `last_at`, that another one is news.
    fn is_long(&self, last_at: Time) -> bool {
        last_at.since(self.since) >= STEADY_PAUSES * self.longest_ms(last_at)
    }

    pub(super) fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.since);
        back.past(&mut self.longest_at);
    }
}

impl Intake {
    /// Whether what a series tells of still speaks: one of the same entity and source that carries all its labels, as those
    /// told with it do, had a point at `from` or later. Of many, those are asked that came beside it.
    pub fn is_outlived(&self, ix: SeriesIx, from: Time) -> bool {
        let row = self.row(ix);
        let all = self.of_entity(row.entity);
        let place = all.iter().position(|held| *held == ix).unwrap_or(0);
        let last = all.len().min(place + BESIDE_MAX);
        let mut beside = all[place.saturating_sub(BESIDE_MAX)..last].iter();
        beside.any(|other| {
            let other = self.row(*other);
            let mut labels = row.series.labels.iter();
            other.source == row.source
                && other.heard_at() >= from
                && other.derive != Derive::Up
                && labels.all(|(name, value)| other.series.labels.get(name) == Some(value))
        })
    }
}

impl SeriesRow {
    /// By when it is missed, by the engine's clock, unless a point comes first: after five of its intervals and eight times what they differ by.
    /// `None` of what nobody waits for: it is young, or it comes and goes.
    pub fn missed_from(&self) -> Option<Time> {
        let detector = self.judge.detector();
        let is_regular = detector.maturity() == Maturity::Mature && !detector.comes_irregularly();
        let from = detector.silent_from().filter(|_| is_regular)?;
        let from = from.plus_ms(self.lag_ms());
        self.steady.is_long(self.last_at).then_some(from)
    }

    /// Since when it comes without a pause in which its source went on.
    pub fn steady_since(&self) -> Time {
        self.steady.since
    }

    /// Whether its sender said that it is over, as Prometheus does of whatever its target does not tell any more. Its
    /// silence says nothing of the entity then, and yet that the metric stopped is told while the others go on.
    pub fn is_ended(&self) -> bool {
        self.steady.is_ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u32 = 60_000;

    #[test]
    fn what_paused_is_missed_again_once_it_came_for_long() {
        let at = |minutes: i64| Time::ZERO.plus_ms(minutes * 60_000);
        let mut steady = Steady::default();
        steady.begin(at(0));
        assert!(steady.is_long(at(0)), "it never paused");
        steady.resume(at(100), 10 * MINUTE_MS);
        assert_eq!([139, 140].map(|m| steady.is_long(at(m))), [false, true]);
        // A shorter pause makes no longer one forgotten …
        steady.resume(at(200), MINUTE_MS);
        assert_eq!([239, 240].map(|m| steady.is_long(at(m))), [false, true]);
        // … but weeks do.
        let weeks = 2 * 7 * 1_440 + 1;
        steady.resume(at(200 + weeks), MINUTE_MS / 2);
        let after = [9, 10].map(|m| steady.is_long(at(200 + weeks + m)));
        assert_eq!(after, [false, true]);
    }

    #[test]
    fn a_long_pause_is_forgotten_also_by_what_pauses_shortly_each_few_days() {
        const DAY_MS: i64 = 86_400_000;
        let at = |days: i64| Time::ZERO.plus_ms(days * DAY_MS);
        let mut steady = Steady::default();
        steady.begin(at(0));
        // Two days of outage, and from then on a restart every five days.
        steady.resume(at(10), 2 * DAY_MS as u32);
        let mut is_missed = Vec::new();
        for days in (15..=40).step_by(5) {
            is_missed.push(steady.is_long(at(days).plus_ms(-60_000)));
            steady.resume(at(days), MINUTE_MS);
        }
        // A day is remembered of it after a week, which five days are long enough for.
        assert_eq!(is_missed, [false, true, true, true, true, true]);
    }
}
