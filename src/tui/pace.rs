//! When news go into the state, and so onto the screen. The echo of a key neither waits for them nor carries
//! them: on a slow link a key costs what it changes, whatever storm is raging.
//!
//! Pure: the time comes with each call.

use crate::model::Time;

use super::link::Update;

/// Between frames of news, in milliseconds.
const FRAME_MS: i64 = 250;
/// The same over a slow link.
const SLOW_FRAME_MS: i64 = 500;
/// News wait this long after the echo of a key, so that a key costs one small write although a storm
/// is raging, and a key that follows is not behind a frame of news, in milliseconds.
const AFTER_KEY_MS: i64 = 60;
/// News wait this long for more of them, in milliseconds: what the daemon says in one breath is one frame.
const GATHER_MS: i64 = 40;
/// News held back; what is more goes into the state at once.
const NEWS_MAX: usize = 512;

/// News that wait for their frame.
#[derive(Debug)]
pub(super) struct Pace {
    frame_ms: i64,
    news: Vec<Update>,
    /// When the first of them came.
    since: Time,
    /// When the last ones were drawn.
    drawn_at: Time,
    /// When a key was last pressed.
    pressed_at: Time,
}

impl Pace {
    /// The usual one, or that of a slow link.
    pub(super) const fn new(is_slow: bool) -> Self {
        Self {
            frame_ms: if is_slow { SLOW_FRAME_MS } else { FRAME_MS },
            news: Vec::new(),
            since: Time::ZERO,
            drawn_at: Time::ZERO,
            pressed_at: Time::ZERO,
        }
    }

    /// Holds news back; gives them back when there is no room.
    pub(super) fn hold(&mut self, news: Update, now: Time) -> Option<Update> {
        if self.news.len() >= NEWS_MAX {
            return Some(news);
        }
        if self.news.is_empty() {
            self.since = now;
        }
        self.news.push(news);
        None
    }

    /// Notes that somebody is at the keys.
    pub(super) const fn pressed(&mut self, now: Time) {
        self.pressed_at = now;
    }

    /// When what is held back is due: a frame after the last ones, all that come together at once, and not on
    /// the heels of a key; but no key that is held down keeps them away. `None` when nothing is.
    pub(super) fn due(&self) -> Option<Time> {
        let gathered = self.since.plus_ms(GATHER_MS);
        let frame = self.drawn_at.plus_ms(self.frame_ms).max(gathered);
        let calm = self.pressed_at.plus_ms(AFTER_KEY_MS);
        let latest = self.since.plus_ms(2 * self.frame_ms);
        (!self.news.is_empty()).then(|| frame.max(calm.min(latest)))
    }

    /// Hands out what is due, in the order it came.
    pub(super) fn take(&mut self, now: Time) -> Vec<Update> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        self.drawn_at = now;
        self.take_all()
    }

    /// Hands out everything, for what came after it must not be taken before it.
    pub(super) fn take_all(&mut self) -> Vec<Update> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WatchMessage;

    fn at(ms: i64) -> Time {
        Time::from_ms(1_000_000 + ms)
    }

    fn news() -> Update {
        Update::Watch(WatchMessage::Heartbeat { at: Time::ZERO })
    }

    /// When news of these moments are drawn, while keys are pressed at those, asked every 10 ms.
    fn drawn(is_slow: bool, told: &[i64], pressed: &[i64]) -> Vec<(i64, usize)> {
        let mut pace = Pace::new(is_slow);
        let mut drawn = Vec::new();
        for ms in (0..3_000).step_by(10) {
            if pressed.contains(&ms) {
                pace.pressed(at(ms));
            }
            if told.contains(&ms) {
                assert!(pace.hold(news(), at(ms)).is_none());
            }
            let taken = pace.take(at(ms)).len();
            if taken > 0 {
                drawn.push((ms, taken));
            }
        }
        drawn
    }

    type Moments = &'static [i64];
    type Frames = &'static [(i64, usize)];

    #[test]
    fn news_are_drawn_together_and_not_on_the_heels_of_a_key() {
        let cases: [(Moments, Moments, Frames); 5] = [
            (&[], &[100], &[]),
            // In one breath.
            (&[0, 10, 30], &[], &[(40, 3)]),
            // A frame apart.
            (&[0, 50, 100, 290, 300], &[], &[(40, 1), (290, 3), (540, 1)]),
            // Behind the key, not with it.
            (&[100], &[130], &[(190, 1)]),
            // A key held down keeps nothing away for ever.
            (
                &[0],
                &[0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500],
                &[(500, 1)],
            ),
        ];
        for (told, pressed, expected) in cases {
            assert_eq!(
                drawn(false, told, pressed),
                expected,
                "{told:?} {pressed:?}"
            );
        }
    }

    #[test]
    fn a_slow_link_has_two_frames_a_second() {
        let storm: Vec<i64> = (0..2_000).step_by(10).collect();
        let frames = drawn(true, &storm, &[]);
        let gaps = frames.windows(2).map(|pair| pair[1].0 - pair[0].0);
        assert!(gaps.clone().all(|gap| gap >= SLOW_FRAME_MS), "{frames:?}");
        assert_eq!(
            frames.iter().map(|(_, taken)| taken).sum::<usize>(),
            storm.len()
        );
    }

    #[test]
    fn what_is_too_much_to_hold_is_given_back() {
        let mut pace = Pace::new(false);
        for _ in 0..NEWS_MAX {
            assert!(pace.hold(news(), at(0)).is_none());
        }
        assert!(pace.hold(news(), at(0)).is_some());
        assert_eq!(pace.take_all().len(), NEWS_MAX);
        assert!(pace.hold(news(), at(0)).is_none());
    }
}
