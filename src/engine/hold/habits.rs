//! What an alert usually does: how often it fired of late, how often it cleared with nobody's help,
//! and after how long. Learned for each identity; this is what previews and patience are made of.
//!
//! Bounded: the alerts that fired longest ago are forgotten first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::engine::set_back::SetBack;
use crate::model::{Fingerprint, Labels, Severity, Time};

/// Alerts whose habits are known.
const HABITS_MAX: usize = 50_000;
/// Days looked back on, today included.
const DAYS: usize = 8;
/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;
/// Latest times to clear that are kept.
const CLEARS_MAX: usize = 32;
/// Fewer ends than this say nothing of the next one.
const ENDS_MIN: u32 = 8;
/// Of so many ends, all but one in this many were without help.
const HELPED_ONE_IN: u32 = 10;
/// Ends counted before the older ones weigh half.
const ENDS_MAX: u32 = 64;
/// Nobody is kept waiting longer than this, in milliseconds.
const PATIENCE_MS_MAX: i64 = 15 * 60_000;
/// Shorter waits are not worth holding anything back, in milliseconds.
const PATIENCE_MS_MIN: i64 = 30_000;

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself: nobody had taken it and nothing was done.
    Alone,
    /// Somebody or something may have helped.
    Helped,
    /// It was not seen by anybody who could have helped: says nothing.
    Unseen,
}

/// What is known of one alert.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Habit {
    labels: Labels,
    severity: Severity,
    /// Times it fired, by day; the first is the day of `day`.
    fired: VecDeque<u16>,
    /// Days since the epoch, of the last in `fired`.
    day: i64,
    /// The onset that was counted last.
    since: Time,
    ends: u32,
    alone: u32,
    /// How long it took to clear alone, in seconds, the latest last.
    clears_s: VecDeque<u32>,
}

/// How long it is worth waiting for an alert to clear, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Ends known.
    pub ends: u32,
    /// Of these, alone.
    pub alone: u32,
    /// Time to clear in the middle, in milliseconds.
    pub median_ms: i64,
    /// Nine of ten have cleared after this, in milliseconds.
    pub wait_ms: i64,
}

/// Habits of all alerts.
#[derive(Debug, Default)]
pub struct Habits {
    of: BTreeMap<Fingerprint, Habit>,
    oldest: BTreeSet<(Time, Fingerprint)>,
    /// The first that was seen at all.
    began: Option<Time>,
}

impl Habits {
    /// An alert fires since `since`; the same onset again is no other time.
    pub fn fired(
        &mut self,
        alert: Fingerprint,
        labels: &Labels,
        severity: Severity,
        since: Time,
        now: Time,
    ) {
        self.began.get_or_insert(now);
        if let Some(habit) = self.of.get_mut(&alert) {
            if habit.since == since {
                return;
            }
            self.oldest.remove(&(habit.since, alert));
            habit.since = since;
            habit.count(now);
        } else {
            if self.of.len() >= HABITS_MAX
                && let Some((_, oldest)) = self.oldest.pop_first()
            {
                self.of.remove(&oldest);
            }
            let mut habit = Habit {
                labels: labels.clone(),
                severity,
                fired: VecDeque::from([0]),
                day: day_of(now),
                since,
                ends: 0,
                alone: 0,
                clears_s: VecDeque::new(),
            };
            habit.count(now);
            self.of.insert(alert, habit);
        }
        self.oldest.insert((since, alert));
    }

    /// An alert is over.
    pub fn ended(&mut self, alert: Fingerprint, end: End, now: Time) {
        let Some(habit) = self.of.get_mut(&alert) else {
            return;
        };
        if end == End::Unseen {
            return;
        }
        if habit.ends >= ENDS_MAX {
            habit.ends /= 2;
            habit.alone /= 2;
        }
        habit.ends += 1;
        if end == End::Alone {
            habit.alone += 1;
            if habit.clears_s.len() >= CLEARS_MAX {
                habit.clears_s.pop_front();
            }
            let seconds = now.since(habit.since).max(0) / 1_000;
            habit
                .clears_s
                .push_back(u32::try_from(seconds).unwrap_or(u32::MAX));
        }
    }

    /// Whether, and how long, it is worth waiting for an alert to clear by itself. Never for one that is
    /// critical or of which little is known.
    pub fn patience(&self, alert: Fingerprint) -> Option<Patience> {
        let habit = self.of.get(&alert)?;
        if habit.severity >= Severity::Critical
            || habit.ends < ENDS_MIN
            || (habit.ends - habit.alone) * HELPED_ONE_IN > habit.ends
        {
            return None;
        }
        let mut clears: Vec<u32> = habit.clears_s.iter().copied().collect();
        clears.sort_unstable();
        let at = |share: usize| {
            let place = (clears.len() * share / 10).min(clears.len().saturating_sub(1));
            clears.get(place).map(|seconds| i64::from(*seconds) * 1_000)
        };
        let patience = Patience {
            ends: habit.ends,
            alone: habit.alone,
            median_ms: at(5)?,
            wait_ms: at(9)?.max(PATIENCE_MS_MIN),
        };
        (patience.wait_ms <= PATIENCE_MS_MAX).then_some(patience)
    }

    /// Since when an alert fires, as it was counted.
    pub fn since(&self, alert: Fingerprint) -> Option<Time> {
        Some(self.of.get(&alert)?.since)
    }

    /// Alerts that fired in the last week and fit, with how often, and how bad.
    pub fn past<'a>(
        &'a self,
        fits: impl Fn(&Labels) -> bool + 'a,
        now: Time,
    ) -> impl Iterator<Item = (Fingerprint, &'a Labels, Severity, u32)> + 'a {
        let today = day_of(now);
        self.of
            .iter()
            .map(move |(alert, habit)| (alert, habit, habit.fired_since(today)))
            .filter(move |(_, habit, times)| *times > 0 && fits(&habit.labels))
            .map(|(alert, habit, times)| (*alert, &habit.labels, habit.severity, times))
    }

    /// How far back [`Self::past`] looks, in milliseconds.
    pub fn looked_back_ms(&self, now: Time) -> i64 {
        let whole_days = (day_of(now) - (DAYS as i64 - 1)) * DAY_MS;
        let began = self.began.map_or(now.ms(), Time::ms);
        now.ms() - whole_days.max(began)
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past_if(&mut self.began);
        self.oldest.clear();
        let today = day_of(back.to);
        for (alert, habit) in &mut self.of {
            back.past(&mut habit.since);
            habit.day = habit.day.min(today);
            self.oldest.insert((habit.since, *alert));
        }
    }

    /// Rows for a checkpoint, after `after`, at most `max`.
    pub fn saved(&self, after: Option<Fingerprint>, max: usize) -> Vec<(&Fingerprint, &Habit)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.of.range((from, Unbounded)).take(max).collect()
    }

    /// When the first alert was seen.
    pub fn began(&self) -> Option<Time> {
        self.began
    }

    /// Habits as they were saved.
    pub fn restored(rows: Vec<(Fingerprint, Habit)>, began: Option<Time>) -> Self {
        let oldest = rows.iter().map(|(alert, habit)| (habit.since, *alert));
        Self {
            oldest: oldest.collect(),
            of: rows.into_iter().collect(),
            began,
        }
    }
}

impl Habit {
    fn count(&mut self, now: Time) {
        let today = day_of(now);
        let passed = (today - self.day).clamp(0, DAYS as i64);
        for _ in 0..passed {
            self.fired.push_back(0);
        }
        while self.fired.len() > DAYS {
            self.fired.pop_front();
        }
        self.day = self.day.max(today);
        if let Some(times) = self.fired.back_mut() {
            *times = times.saturating_add(1);
        }
    }

    /// Times it fired on the days that are looked back on from `today`.
    fn fired_since(&self, today: i64) -> u32 {
        let first = today - (DAYS as i64 - 1);
        let days = (0..self.fired.len() as i64).map(|back| self.day - back);
        let times = self.fired.iter().rev().zip(days);
        times
            .filter(|(_, day)| (first..=today).contains(day))
            .map(|(times, _)| u32::from(*times))
            .sum()
    }
}

fn day_of(at: Time) -> i64 {
    at.ms().div_euclid(DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time::from_secs(1_768_392_000);
    const ALERT: Fingerprint = Fingerprint(7);

    fn at(minutes: i64) -> Time {
        NOON.plus_ms(minutes * 60_000)
    }

    fn fired(habits: &mut Habits, severity: Severity, minutes: i64) {
        let labels = Labels::from_pairs([("alertname", "Flaky")]).unwrap();
        habits.fired(ALERT, &labels, severity, at(minutes), at(minutes));
    }

    /// Fires every hour, so often, and clears after four minutes, so often with help.
    fn lived(severity: Severity, times: i64, helped: i64) -> Habits {
        let mut habits = Habits::default();
        for n in 0..times {
            fired(&mut habits, severity, 60 * n);
            let end = if n < helped { End::Helped } else { End::Alone };
            habits.ended(ALERT, end, at(60 * n + 4));
        }
        habits
    }

    #[test]
    fn patience_is_earned() {
        use Severity::{Critical, Error, Warning};
        let cases = [
            ("first seen", lived(Warning, 0, 0), None),
            ("little known", lived(Warning, 7, 0), None),
            ("alone as a rule", lived(Warning, 38, 3), Some((38, 35))),
            (
                "bad, and alone as a rule",
                lived(Error, 10, 1),
                Some((10, 9)),
            ),
            ("often helped", lived(Warning, 10, 2), None),
            ("critical", lived(Critical, 38, 0), None),
        ];
        for (name, habits, expected) in cases {
            let patience = habits.patience(ALERT);
            assert_eq!(patience.map(|p| (p.ends, p.alone)), expected, "{name}");
            let wait = patience.map(|p| (p.median_ms, p.wait_ms));
            assert_eq!(wait, expected.map(|_| (240_000, 240_000)), "{name}");
        }
    }

    #[test]
    fn nobody_waits_for_long() {
        let mut habits = Habits::default();
        for n in 0..20 {
            fired(&mut habits, Severity::Warning, 60 * n);
            habits.ended(ALERT, End::Alone, at(60 * n + 20));
        }
        assert_eq!(habits.patience(ALERT), None);
    }

    #[test]
    fn what_nobody_saw_says_nothing() {
        let mut habits = Habits::default();
        for n in 0..20 {
            fired(&mut habits, Severity::Warning, 60 * n);
            habits.ended(ALERT, End::Unseen, at(60 * n + 4));
        }
        assert_eq!(habits.patience(ALERT), None);
    }

    #[test]
    fn a_week_is_looked_back_on() {
        let mut habits = Habits::default();
        let day = 24 * 60;
        for minutes in [0, 1, 1, 3 * day, 7 * day] {
            fired(&mut habits, Severity::Critical, minutes);
        }
        let times = |habits: &Habits, now| {
            let past = habits.past(|labels| labels.get("alertname") == Some("Flaky"), now);
            past.map(|(_, _, severity, times)| (severity, times))
                .collect::<Vec<_>>()
        };
        let critical = |times| vec![(Severity::Critical, times)];
        assert_eq!(
            times(&habits, at(7 * day)),
            critical(4),
            "a resend is no other time"
        );
        assert_eq!(times(&habits, at(8 * day)), critical(2));
        assert_eq!(times(&habits, at(14 * day)), critical(1));
        assert_eq!(times(&habits, at(15 * day)), []);
        assert_eq!(habits.past(|_| false, at(7 * day)).count(), 0);
        assert_eq!(
            habits.looked_back_ms(at(60)),
            3_600_000,
            "since it was begun"
        );
        let noon_ms = 12 * 3_600_000;
        assert_eq!(habits.looked_back_ms(at(30 * day)), 7 * DAY_MS + noon_ms);
    }
}
