//! Do calls fail more often than usual, however few come in one window? A cumulative sum (Page 1954) of the log
//! likelihood ratio of a share of failures three times the usual against the usual: what no single window proves,
//! many prove together, and what is near the limit of one window does not come and go.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::judge::Window;

/// The rise it looks for: failures so many times as frequent as usual.
pub const RISE: f64 = 3.0;
/// Evidence that opens it, in powers of ten of the likelihood ratio.
const EVIDENCE_MIN: f64 = 6.0;
/// Evidence does not grow beyond this.
const EVIDENCE_MAX: f64 = 12.0;
/// Windows teach what is usual up to this much evidence against it.
const TEACHES_MAX: f64 = 3.0;
/// Evidence for the usual share against the one seen that ends it, in powers of ten.
const RELIEF_MIN: f64 = 2.0;

/// The running sum of one flow.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Rise {
    evidence: f64,
    relief: f64,
    /// Calls since the sum began to grow, and how many of them failed.
    calls: f64,
    errors: f64,
    is_open: bool,
}

impl Rise {
    /// Takes a window of calls of which the share `usual` commonly fails, above 0.
    pub fn take(&mut self, window: &Window, usual: f64) {
        if !self.has_begun() {
            *self = Self::default();
        }
        self.calls += window.calls;
        self.errors += window.errors;
        if self.is_open {
            let seen = self.share().max(RISE * usual);
            let relief = evidence(window, seen, usual);
            self.relief = (self.relief + relief).max(0.0);
            if self.relief >= RELIEF_MIN {
                *self = Self::default();
            }
            return;
        }
        let risen = (RISE * usual).min(1.0);
        let evidence = evidence(window, usual, risen);
        self.evidence = (self.evidence + evidence).clamp(0.0, EVIDENCE_MAX);
        self.is_open = self.evidence >= EVIDENCE_MIN && self.share() > risen;
    }

    /// Whether they fail more often than usual.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether anything speaks for it.
    pub fn has_begun(&self) -> bool {
        self.is_open || self.evidence > 0.0
    }

    /// Whether so little speaks for it that what is seen is usual.
    pub fn teaches(&self) -> bool {
        !self.is_open && self.evidence < TEACHES_MAX
    }

    /// The share that fails since the sum began to grow.
    pub fn share(&self) -> f64 {
        self.errors / self.calls.max(f64::MIN_POSITIVE)
    }

    /// What speaks for it, in powers of ten of the likelihood ratio, at most 12.
    pub const fn evidence(&self) -> f64 {
        self.evidence
    }
}

/// What a window says for a share of failures `now` against the share `before`: the logarithm to base 10 of the ratio
/// of their likelihoods, failures being rare and independent (Poisson).
fn evidence(window: &Window, before: f64, now: f64) -> f64 {
    (window.errors * (now / before).ln() - (now - before) * window.calls) / LN_10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of so many calls, of which every `nth` of all fails.
    fn fails(rise: &mut Rise, windows: usize, calls: usize, nth: usize) -> Vec<bool> {
        let mut made = 0;
        let mut told = Vec::new();
        for _ in 0..windows {
            let errors = (made + 1..=made + calls).filter(|n| n % nth == 0).count();
            made += calls;
            let window = Window {
                calls: calls as f64,
                errors: errors as f64,
                ..Window::default()
            };
            rise.take(&window, 0.003);
            told.push(rise.is_open());
        }
        told
    }

    fn opens_after(calls: usize, nth: usize) -> Option<usize> {
        let told = fails(&mut Rise::default(), 2_000, calls, nth);
        let opens = told.iter().position(|is_open| *is_open)?;
        let stays = told[opens..].iter().all(|is_open| *is_open);
        assert!(stays, "{calls} calls, one in {nth}: it comes and goes");
        Some(opens + 1)
    }

    #[test]
    fn what_no_window_proves_many_prove_and_it_takes_as_many_calls_however_they_come() {
        assert_eq!(opens_after(100, 333), None, "as usual");
        assert_eq!(
            opens_after(100, 170),
            None,
            "twice as many are not looked for"
        );
        let cases = [(200, 50), (100, 50), (20, 50), (5, 50), (100, 20), (10, 4)];
        let calls = cases.map(|(calls, nth)| calls * opens_after(calls, nth).unwrap());
        assert_eq!(calls, [1_000, 900, 900, 850, 300, 60]);
    }

    #[test]
    fn it_ends_once_calls_prove_that_it_is_over() {
        for (calls, after) in [(100, 1), (20, 5), (5, 20)] {
            let mut rise = Rise::default();
            fails(&mut rise, 1_000, calls, 20);
            assert!(rise.is_open());
            let told = fails(&mut rise, 200, calls, 1_000_000);
            let ended = told.iter().position(|is_open| !is_open);
            assert_eq!(ended, Some(after - 1), "{calls} calls a window");
            assert!(rise.teaches() && !rise.has_begun());
        }
    }

    #[test]
    fn little_evidence_teaches_and_much_does_not() {
        let mut rise = Rise::default();
        fails(&mut rise, 1, 20, 20);
        assert!(rise.has_begun() && rise.teaches(), "{rise:?}");
        fails(&mut rise, 8, 20, 20);
        assert!(!rise.teaches() && !rise.is_open(), "{rise:?}");
    }
}
