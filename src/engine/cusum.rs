//! Windows that are odd one after the other: a cumulative sum (Page 1954) of how surprising each is, which no
//! single window can open, and which calm ones end.
//!
//! It judges nothing itself: whoever keeps one says how surprising a window is, and what it does about it.

use serde::{Deserialize, Serialize};

use super::detect::HOLD_MS_MAX;
use super::set_back::SetBack;
use crate::model::{Band, Time};

/// Taken off the sum of surprises for each window; an ordinary one adds less.
pub const SURPRISE_USUAL: f64 = 1.0;
/// Sum of surprises from which on it is odd, as for a series.
pub const EVIDENCE_MIN: f64 = 6.0;
/// The sum does not grow beyond this, so that it falls again soon.
const EVIDENCE_MAX: f64 = 12.0;
/// Evidence that was not enough for so long is forgotten, in milliseconds: what opened with it would be told as
/// hours old, and soon be accepted.
pub const LAPSES_MS: i64 = HOLD_MS_MAX / 2;
/// Windows in a row as usual that end it, and as many usual pauses in which there was none.
const CALM_WINDOWS: u8 = 3;
/// A pause between two windows is usual up to here, in milliseconds: who tells less often is not waited for.
const PAUSE_MS_MAX: i64 = 300_000;

/// The running sum of what is judged window by window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cusum {
    sum: f64,
    since: Time,
    /// End of the last window there was anything in, and how long it usually is until the next one ends.
    last: Time,
    pause_ms: i64,
    calm: u8,
    is_open: bool,
}

/// What a window did to what is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judged<Odd> {
    /// Nothing: it is as usual, or that it is again is not sure yet.
    Usual,
    /// It is odd, in this way.
    Odd(Odd),
    /// What was odd is over.
    Over,
    /// What was odd lasted for so many hours that it is usual from now on. Whoever keeps the sum begins anew.
    Accepted,
}

/// What is odd about a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oddity {
    /// What was seen.
    pub seen: f64,
    /// What was expected.
    pub expected: Band,
    /// −log10 of the chance.
    pub score: f64,
}

impl Oddity {
    /// More than `high`, where only that is odd.
    pub const fn up_to(seen: f64, high: f64, score: f64) -> Self {
        Self {
            seen,
            expected: Band { low: 0.0, high },
            score,
        }
    }
}

impl<Odd> Judged<Odd> {
    /// The same with more said of what is odd.
    pub fn map<More>(self, say: impl FnOnce(Odd) -> More) -> Judged<More> {
        match self {
            Self::Usual => Judged::Usual,
            Self::Odd(odd) => Judged::Odd(say(odd)),
            Self::Over => Judged::Over,
            Self::Accepted => Judged::Accepted,
        }
    }

    /// Whether there is nothing to tell.
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Usual)
    }
}

impl Cusum {
    /// Takes a window from `began` to `at`, of which the −log10 of the chance is `surprise`. The one place where
    /// something opens.
    pub fn judge(&mut self, began: Time, at: Time, surprise: f64) -> Judged<()> {
        self.lapse(began);
        if self.is_quiet() {
            self.since = began;
        }
        self.note_pause(began, at);
        self.sum = (self.sum + surprise - SURPRISE_USUAL).clamp(0.0, EVIDENCE_MAX);
        if !self.is_open && self.sum >= EVIDENCE_MIN {
            (self.is_open, self.calm) = (true, 0);
            return Judged::Odd(());
        }
        self.go_on(at, surprise)
    }

    /// Forgets evidence that was not enough for hours, before a window that begins at `at`. Windows of nothing take
    /// nothing off it before: who is asked each minute has five of them between two others.
    pub fn lapse(&mut self, at: Time) {
        if !self.is_open && at.since(self.since) >= LAPSES_MS {
            self.sum = 0.0;
        }
    }

    /// Takes a window in which there was nothing to judge, to `at`: no evidence of anything. Whether what was odd is
    /// over, because nothing comes any more: who is asked each minute has five such windows between two others.
    pub fn idle(&mut self, at: Time) -> bool {
        self.lapse(at);
        let waited = at.since(self.last) >= i64::from(CALM_WINDOWS) * self.pause_ms;
        waited && self.end()
    }

    /// Ends what is odd, if anything is.
    fn end(&mut self) -> bool {
        let is_over = std::mem::take(&mut self.is_open);
        if is_over {
            self.sum = 0.0;
        }
        is_over
    }

    /// Learns how often there is a window with anything in it: long pauses at once, that they got shorter slowly.
    fn note_pause(&mut self, began: Time, at: Time) {
        let since = if self.last == Time::ZERO {
            began
        } else {
            self.last
        };
        let shorter = self.pause_ms - self.pause_ms / 8;
        self.pause_ms = at.since(since).min(PAUSE_MS_MAX).max(shorter);
        self.last = at;
    }

    fn go_on(&mut self, at: Time, surprise: f64) -> Judged<()> {
        if !self.is_open {
            return Judged::Usual;
        }
        if surprise < SURPRISE_USUAL {
            self.calm += 1;
            let is_over = self.calm >= CALM_WINDOWS && self.end();
            return if is_over { Judged::Over } else { Judged::Usual };
        }
        self.calm = 0;
        if at.since(self.since) < HOLD_MS_MAX {
            Judged::Odd(())
        } else {
            Judged::Accepted
        }
    }

    /// Whether nothing speaks for anything odd: such windows teach what is usual.
    pub fn is_quiet(&self) -> bool {
        !self.is_open && self.sum <= 0.0
    }

    /// Whether it is odd.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The evidence so far, from 0 to 12; it is odd from [`EVIDENCE_MIN`] on.
    pub const fn evidence(&self) -> f64 {
        self.sum
    }

    /// Start of the first odd window.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// What spoke for one thing speaks for another: the evidence begins anew, though what is told goes on.
    pub fn turn_round(&mut self, began: Time) {
        (self.sum, self.since) = (0.0, began);
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.since);
        back.past(&mut self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_MS: i64 = 10_000;

    /// What windows of these surprises do, one after the other: `.` as usual, `!` odd, `|` over, `=` accepted.
    fn told(surprises: impl IntoIterator<Item = f64>) -> (String, Cusum) {
        let mut sum = Cusum::default();
        let windows = (0_i64..).zip(surprises);
        let told = windows.map(|(nth, surprise)| {
            let began = Time::from_ms(nth * WINDOW_MS);
            match sum.judge(began, began.plus_ms(WINDOW_MS), surprise) {
                Judged::Usual => '.',
                Judged::Odd(()) => '!',
                Judged::Over => '|',
                Judged::Accepted => '=',
            }
        });
        (told.collect(), sum)
    }

    #[test]
    fn windows_in_a_row_open_it_and_calm_ones_end_it() {
        let cases: [(&[f64], &str, i64); 6] = [
            (&[0.5; 5], ".....", 4),
            (&[4.0, 4.0], ".!", 0),
            (&[0.2, 4.0, 0.0, 4.0, 4.0], "....!", 1),
            (&[4.0, 4.0, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0], ".!..!..|", 0),
            (&[4.0, 4.0, 0.0, 0.0, 0.0, 4.0, 4.0], ".!..|.!", 5),
            (&[2.5, 2.5, 2.5, 2.5], "...!", 0),
        ];
        for (surprises, expected, since) in cases {
            let (told, sum) = told(surprises.iter().copied());
            let began = Time::from_ms(since * WINDOW_MS);
            assert_eq!(
                (told.as_str(), sum.since()),
                (expected, began),
                "{surprises:?}"
            );
        }
    }

    #[test]
    fn what_lasts_for_hours_is_to_be_accepted_and_the_evidence_is_bounded() {
        let windows = (HOLD_MS_MAX / WINDOW_MS) as usize;
        let (told, sum) = told(std::iter::repeat_n(4.0, windows));
        assert_eq!((told.find('='), told.len()), (Some(windows - 1), windows));
        assert!((sum.evidence() - EVIDENCE_MAX).abs() < 1e-9);
    }

    #[test]
    fn nothing_ends_it_after_three_usual_pauses() {
        for (pause, ends_after) in [(1, 3), (6, 18), (30, 90), (60, 90)] {
            let mut sum = Cusum::default();
            let at = |window: i64| Time::from_ms(window * WINDOW_MS);
            let mut windows = 1..;
            let mut tell = |sum: &mut Cusum| loop {
                let now = windows.next().unwrap();
                if now % pause == 0 {
                    break (now, sum.judge(at(now - 1), at(now), 4.0));
                }
                assert!(!sum.idle(at(now)), "a pause of {pause} is usual");
            };
            for told in [Judged::Usual, Judged::Odd(()), Judged::Odd(())] {
                assert_eq!(tell(&mut sum).1, told, "{pause}");
            }
            let (last, _) = tell(&mut sum);
            let ended = (1..1_000).find(|later| sum.idle(at(last + later)));
            assert_eq!(ended, Some(ends_after), "{pause}");
            assert!(sum.is_quiet() && !sum.idle(at(last + 1_000)), "told once");
        }
    }

    #[test]
    fn evidence_outlives_windows_of_nothing_but_not_a_night() {
        let minute = 6 * WINDOW_MS;
        for (pause_ms, opens_since) in [
            (minute, Some(0)),
            (60 * minute, Some(0)),
            (600 * minute, None),
        ] {
            let mut sum = Cusum::default();
            let first = Time::from_ms(WINDOW_MS);
            assert_eq!(sum.judge(Time::ZERO, first, 4.0), Judged::Usual);
            for nth in 1..pause_ms / WINDOW_MS {
                assert!(!sum.idle(first.plus_ms(nth * WINDOW_MS)));
            }
            let began = first.plus_ms(pause_ms);
            let judged = sum.judge(began, began.plus_ms(WINDOW_MS), 4.0);
            let opened = (judged == Judged::Odd(())).then(|| sum.since().ms());
            assert_eq!(opened, opens_since, "{pause_ms}");
            let again = began.plus_ms(WINDOW_MS);
            let judged = sum.judge(again, again.plus_ms(WINDOW_MS), 4.0);
            assert_eq!(judged, Judged::Odd(()), "{pause_ms}: told, not accepted");
        }
        let mut sum = Cusum::default();
        assert_eq!(
            sum.judge(Time::ZERO, Time::from_ms(WINDOW_MS), 4.0),
            Judged::Usual
        );
        let night = Time::from_ms(600 * minute);
        assert_eq!(
            sum.judge(night, night.plus_ms(WINDOW_MS), 4.0),
            Judged::Usual,
            "nobody counted the night"
        );
        assert_eq!(sum.since(), night);
    }

    #[test]
    fn evidence_for_the_other_way_begins_anew() {
        let (_, mut sum) = told([4.0, 4.0]);
        let turned = Time::from_ms(9 * WINDOW_MS);
        sum.turn_round(turned);
        assert_eq!((sum.since(), sum.is_open()), (turned, true));
        assert_eq!(sum.judge(Time::ZERO, turned, 4.0), Judged::Odd(()));
        assert_eq!(sum.since(), turned);
    }
}
