//! How long to wait before trying again: doubling, bounded, and short again after success.

use std::time::Duration;

/// First wait, in milliseconds.
const WAIT_MS_MIN: u64 = 500;
/// Longest wait, in milliseconds: a source is back at most this long after its cause is gone.
const WAIT_MS_MAX: u64 = 10_000;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    wait_ms: u64,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self {
            wait_ms: WAIT_MS_MIN,
        }
    }

    /// How long to wait this time.
    pub(super) fn next_wait(&mut self) -> Duration {
        let wait = Duration::from_millis(self.wait_ms);
        self.wait_ms = (self.wait_ms * 2).min(WAIT_MS_MAX);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..7).map(|_| backoff.next_wait().as_millis()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }
}
