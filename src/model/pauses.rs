//! How long a source that speaks when something happens is silent at most: its longest pause of a week or two. One rule
//! for whoever judges its silence.
//!
//! A long silence must not make it deaf for good: what was longest is forgotten after two weeks.

use serde::{Deserialize, Serialize};

use super::Time;

/// The longest pause is kept for as long, and for as long again, in milliseconds: a weekend is in it.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Silence is worth a word after this many times the longest pause …
const QUIET_PAUSES: i64 = 3;
/// … and so long, in milliseconds, of a source …
const QUIET_MS_MIN: i64 = 10 * 60_000;
/// … that spoke for so long, in milliseconds.
const QUIET_SPOKE_MS_MIN: i64 = 3_600_000;
/// One that spoke for so long, in milliseconds, through a night, …
const STEADY_SPOKE_MS_MIN: i64 = 24 * 3_600_000;
/// … and never paused for longer than this, in milliseconds, speaks all the time: …
const STEADY_PAUSE_MS_MAX: i64 = 5 * 60_000;
/// … after this many times its longest pause, and the time above, it is blind.
const BLIND_PAUSES: i64 = 12;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// First and last delivery; `None` before the first.
    spoke: Option<(Time, Time)>,
    /// The longest pause since then, and the longest before, in milliseconds.
    since: Time,
    longest_ms: i64,
    before_ms: i64,
}

/// How a source spoke until a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spoke {
    /// When anything last came of it.
    pub heard: Time,
    /// Usual time between two deliveries, in milliseconds; `None` while it is not known.
    pub usual_ms: Option<i64>,
    /// How it paused.
    pub pauses: Pauses,
}

impl Spoke {
    /// Notes a delivery.
    pub fn hear(&mut self, now: Time) {
        self.heard = now;
        self.pauses.hear(now);
    }
}

/// What it says that a source is silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quiet {
    /// Nothing: it may well be silent for so long.
    #[default]
    Usual,
    /// It was never silent for nearly as long.
    Unusual,
    /// It speaks all the time and does not any more.
    Blind,
}

impl Pauses {
    /// Notes a delivery.
    pub fn hear(&mut self, now: Time) {
        let Some((first, last)) = self.spoke else {
            self.spoke = Some((now, now));
            self.since = now;
            return;
        };
        if now.since(self.since) >= KEPT_MS {
            (self.since, self.before_ms, self.longest_ms) = (now, self.longest_ms, 0);
        }
        self.longest_ms = self.longest_ms.max(now.since(last));
        self.spoke = Some((first.min(now), now));
    }

    /// Whoever listens was away until now: that was no pause.
    pub fn resume(&mut self, now: Time) {
        if let Some((first, last)) = self.spoke {
            let spoke_ms = last.since(first).max(0);
            self.spoke = Some((now.plus_ms(-spoke_ms), now));
            self.since = self.since.min(now);
        }
    }

    /// The last delivery; `None` before the first.
    pub fn heard(&self) -> Option<Time> {
        self.spoke.map(|(_, last)| last)
    }

    /// From the first delivery to the last, in milliseconds; 0 before the second.
    pub fn spoke_ms(&self) -> i64 {
        let spoke = self.spoke.map(|(first, last)| last.since(first));
        spoke.unwrap_or(0).max(0)
    }

    /// The longest pause, in milliseconds; 0 before the second delivery.
    pub fn longest_ms(&self) -> i64 {
        self.longest_ms.max(self.before_ms)
    }

    /// What it says that nothing came until now.
    pub fn judge(&self, now: Time) -> Quiet {
        let last = self.heard().unwrap_or(now);
        self.judge_silence(now.since(last))
    }

    /// What a silence of so many milliseconds says.
    pub fn judge_silence(&self, silent_ms: i64) -> Quiet {
        let Some((first, last)) = self.spoke else {
            return Quiet::Usual;
        };
        let spoke_ms = last.since(first);
        let longest_ms = self.longest_ms();
        let is_longer = |pauses: i64| silent_ms > (longest_ms * pauses).max(QUIET_MS_MIN);
        let is_steady = spoke_ms >= STEADY_SPOKE_MS_MIN && longest_ms <= STEADY_PAUSE_MS_MAX;
        if is_steady && is_longer(BLIND_PAUSES) {
            Quiet::Blind
        } else if spoke_ms >= QUIET_SPOKE_MS_MIN && is_longer(QUIET_PAUSES) {
            Quiet::Unusual
        } else {
            Quiet::Usual
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::from_secs(1_768_392_000);
    const MINUTE_S: i64 = 60;
    const HOUR_S: i64 = 60 * MINUTE_S;

    /// One that was heard for some time, so often, and what a silence of so many minutes says then.
    fn judged(spoke_s: i64, every_s: i64, silent_min: i64) -> Quiet {
        let mut pauses = Pauses::default();
        let mut at_s = 0;
        while at_s <= spoke_s {
            pauses.hear(START.plus_ms(at_s * 1_000));
            at_s += every_s;
        }
        let last = pauses.heard().unwrap();
        pauses.judge(last.plus_ms(silent_min * 60_000 + 1))
    }

    #[test]
    fn silence_says_more_the_steadier_it_was_and_the_longer_that_is_known() {
        let cases = [
            ("tried out", 5, 1, 24 * 60, Quiet::Usual),
            ("half an hour", HOUR_S / 2, 1, 60, Quiet::Usual),
            ("two hours, not long silent", 2 * HOUR_S, 1, 9, Quiet::Usual),
            ("two hours, silent", 2 * HOUR_S, 1, 10, Quiet::Unusual),
            ("rare", 2 * HOUR_S, 20 * MINUTE_S, 59, Quiet::Usual),
            (
                "rare, too long",
                2 * HOUR_S,
                20 * MINUTE_S,
                60,
                Quiet::Unusual,
            ),
            ("a day of steady lines", 25 * HOUR_S, 20, 10, Quiet::Blind),
            (
                "a day, each five minutes",
                25 * HOUR_S,
                300,
                59,
                Quiet::Unusual,
            ),
            ("the same, for an hour", 25 * HOUR_S, 300, 60, Quiet::Blind),
            (
                "a day, each ten minutes",
                30 * HOUR_S,
                600,
                900,
                Quiet::Unusual,
            ),
        ];
        for (name, spoke_s, every_s, silent_min, expected) in cases {
            assert_eq!(judged(spoke_s, every_s, silent_min), expected, "{name}");
        }
    }

    #[test]
    fn what_was_longest_is_known_for_a_week_and_forgotten_after_two() {
        let mut pauses = Pauses::default();
        let mut now = START;
        let mut pass = |pauses: &mut Pauses, s: i64| {
            now = now.plus_ms(s * 1_000);
            pauses.hear(now);
            pauses.longest_ms()
        };
        pass(&mut pauses, 0);
        assert_eq!(pass(&mut pauses, 8 * HOUR_S), 8 * HOUR_S * 1_000);
        for _ in 0..7 * 24 {
            assert_eq!(pass(&mut pauses, HOUR_S), 8 * HOUR_S * 1_000);
        }
        let later: Vec<i64> = (0..8 * 24).map(|_| pass(&mut pauses, HOUR_S)).collect();
        assert_eq!(later.last(), Some(&(HOUR_S * 1_000)));
    }

    #[test]
    fn a_time_in_which_nobody_listened_is_no_pause() {
        let mut pauses = Pauses::default();
        (0..100).for_each(|s| pauses.hear(START.plus_ms(s * 1_000)));
        pauses.resume(START.plus_ms(9_000_000));
        pauses.hear(START.plus_ms(9_002_000));
        assert_eq!(pauses.longest_ms(), 2_000);
        // A clock that was set back.
        pauses.resume(START);
        pauses.hear(START.plus_ms(3_000));
        assert_eq!(pauses.longest_ms(), 3_000);
    }
}
