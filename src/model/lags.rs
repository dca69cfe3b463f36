//! How old what somebody says is when it comes: the middle of the latest few, so that one wrong time is no lag.

use super::Pace;

/// As many count: of seven, three may be wrong.
const KEPT: usize = 7;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Lags {
    /// In milliseconds, within [`Pace::LAG_MS_MAX`] either way; the oldest is replaced.
    latest_ms: [i32; KEPT],
    len: u8,
    next: u8,
}

impl Lags {
    /// Nothing came yet.
    pub const fn new() -> Self {
        Self {
            latest_ms: [0; KEPT],
            len: 0,
            next: 0,
        }
    }

    /// Something came that was so old, in milliseconds; negative when it was dated ahead of our clock.
    pub fn hear(&mut self, lag_ms: i64) {
        let lag_ms = lag_ms.clamp(-Pace::LAG_MS_MAX, Pace::LAG_MS_MAX);
        self.latest_ms[usize::from(self.next)] = lag_ms as i32;
        self.next = (self.next + 1) % KEPT as u8;
        self.len = (self.len + 1).min(KEPT as u8);
    }

    /// The one in the middle, in milliseconds; of an even number the fresher. `None` before the first.
    pub fn middle_ms(&self) -> Option<i64> {
        let mut latest_ms = self.latest_ms;
        median(&mut latest_ms[..usize::from(self.len)]).map(i64::from)
    }

    /// The freshest, as far as another confirms it, in milliseconds: a clock is behind by no more than this, or ahead by
    /// no less. `None` before the first.
    pub fn fresh_ms(&self) -> Option<i64> {
        let mut latest_ms = self.latest_ms;
        freshest(&mut latest_ms[..usize::from(self.len)]).map(i64::from)
    }
}

impl Default for Lags {
    fn default() -> Self {
        Self::new()
    }
}

/// The freshest but one; of one or two the fresher. One wrong time among several is no clock. `None` of none.
pub fn freshest<T: Ord + Copy>(all: &mut [T]) -> Option<T> {
    let at = usize::from(all.len() > 2);
    (!all.is_empty()).then(|| *all.select_nth_unstable(at).1)
}

/// The one in the middle; of an even number the smaller of the two there. `None` of none.
pub fn median<T: Ord + Copy>(all: &mut [T]) -> Option<T> {
    let at = all.len().checked_sub(1)? / 2;
    Some(*all.select_nth_unstable(at).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_wrong_times_are_no_lag_and_what_lasts_is() {
        const WRONG_MS: i64 = 3_600_000;
        let middle_ms = |lags_ms: &[i64]| {
            let mut lags = Lags::default();
            for lag_ms in lags_ms {
                lags.hear(*lag_ms);
            }
            lags.middle_ms()
        };
        let cases: [(&[i64], Option<i64>); 8] = [
            (&[], None),
            (&[100], Some(100)),
            (&[WRONG_MS, 100], Some(100)),
            (&[100, 100, WRONG_MS], Some(100)),
            (&[100, 200, 300, -WRONG_MS, WRONG_MS, 200, 200], Some(200)),
            (
                &[100, 100, 100, 100, 9, 9, 9, WRONG_MS, WRONG_MS, WRONG_MS],
                Some(100),
            ),
            (
                &[100, 100, 100, 100, 9_000, 9_000, 9_000, 9_000],
                Some(9_000),
            ),
            (&[i64::MIN, i64::MAX, i64::MAX], Some(Pace::LAG_MS_MAX)),
        ];
        for (lags_ms, expected) in cases {
            assert_eq!(middle_ms(lags_ms), expected, "{lags_ms:?}");
        }
    }

    #[test]
    fn one_time_that_is_too_fresh_is_no_clock_and_two_are() {
        let fresh_ms = |lags_ms: &[i64]| {
            let mut lags = Lags::default();
            for lag_ms in lags_ms {
                lags.hear(*lag_ms);
            }
            lags.fresh_ms()
        };
        let cases: [(&[i64], Option<i64>); 5] = [
            (&[], None),
            (&[90_000, 100], Some(100)),
            (&[90_000, 100, -500_000], Some(100)),
            (&[90_000, 100, 60_000, 100, 90_000], Some(100)),
            (&[100, -500_000, 100, -500_000], Some(-500_000)),
        ];
        for (lags_ms, expected) in cases {
            assert_eq!(fresh_ms(lags_ms), expected, "{lags_ms:?}");
        }
    }
}
