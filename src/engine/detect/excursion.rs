//! From verdicts to a finding's life: it opens when the evidence crosses a bar, is updated while it
//! worsens, and closes after it stayed low for a while (hysteresis against flapping).

use serde::{Deserialize, Serialize};

use super::{CHECKS, Rarity, Verdict};
use crate::model::{Band, Check, Direction, Time};

/// Evidence that opens an excursion: a false-alarm rate of 10⁻⁶ a sample.
pub const OPEN_EVIDENCE: f32 = 6.0;
/// An excursion may close while the evidence is below this …
const CLOSE_EVIDENCE: f32 = 2.0;
/// … for as many samples in a row.
const CLOSE_SAMPLES: u8 = 4;

/// The odd stretch a series is in, if any. One per series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Excursion {
    /// On the heap: hardly any series is odd at a time, and all would carry the room for it.
    peak: Option<Box<Peak>>,
    calm: u8,
}

/// The worst point of an excursion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// Event time of the first odd sample.
    pub since: Time,
    /// Event time of the latest odd sample.
    pub last_seen: Time,
    /// Highest evidence so far.
    pub evidence: f32,
    /// The check that spoke loudest at the worst point.
    pub check: Check,
    /// What was expected there.
    pub expected: Band,
    /// What was seen there.
    pub seen: f64,
    /// Which way it lies off.
    pub direction: Direction,
    /// Deviation there, in scales.
    pub deviation: f32,
    /// How far it lay off at most so far, either way, in scales and without a bound.
    pub furthest: f32,
    /// What each check said there.
    pub scores: [f32; CHECKS.len()],
    /// When the worst point was.
    pub worst_at: Time,
    /// How unusual the first odd point was.
    pub rarity: Rarity,
}

/// What a verdict did to the excursion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing odd, nothing open.
    Quiet,
    /// It begins.
    Opened,
    /// It goes on, no worse than before.
    Continues,
    /// It goes on, worse than before: the finding is to be updated.
    Worsened,
    /// It is over: the values are where they were expected before it.
    Closed,
    /// It lasts, and is normal from now on.
    Accepted,
}

impl Excursion {
    /// Takes the next verdict. The only place where the state changes.
    pub fn next(&mut self, at: Time, verdict: &Verdict) -> Transition {
        let high = verdict.evidence >= OPEN_EVIDENCE;
        let low = verdict.evidence < CLOSE_EVIDENCE;
        match (&mut self.peak, high, low) {
            (None, true, _) => {
                self.calm = 0;
                self.peak = Some(Box::new(Peak::of(at, verdict)));
                Transition::Opened
            }
            (None, false, _) => Transition::Quiet,
            (Some(_), _, true) => {
                self.calm += 1;
                if self.calm < CLOSE_SAMPLES {
                    return Transition::Continues;
                }
                self.peak = None;
                Transition::Closed
            }
            (Some(peak), _, false) => {
                self.calm = 0;
                peak.last_seen = at;
                peak.furthest = peak.furthest.max(verdict.distance);
                if !peak.is_worse(verdict) {
                    return Transition::Continues;
                }
                // A baseline widens while the odd stretch lasts; what was expected is what it was before.
                let now = verdict.expected;
                let is_wider = now.high - now.low > peak.expected.high - peak.expected.low;
                **peak = Peak {
                    since: peak.since,
                    rarity: peak.rarity,
                    evidence: peak.evidence.max(verdict.evidence),
                    furthest: peak.furthest,
                    expected: if is_wider { peak.expected } else { now },
                    ..Peak::of(at, verdict)
                };
                Transition::Worsened
            }
        }
    }

    /// What lasts is normal from now on.
    pub fn accept(&mut self) -> Transition {
        self.peak = None;
        Transition::Accepted
    }

    /// The clock was set back to `to`: nothing odd was seen later.
    pub fn set_back(&mut self, to: Time) {
        if let Some(peak) = &mut self.peak {
            peak.since = peak.since.min(to);
            peak.last_seen = peak.last_seen.min(to);
        }
    }

    /// Notes how unusual it was when it opened.
    pub fn note_rarity(&mut self, rarity: Rarity) {
        if let Some(peak) = &mut self.peak {
            peak.rarity = rarity;
        }
    }

    /// The worst point so far, while an excursion lasts.
    pub fn peak(&self) -> Option<&Peak> {
        self.peak.as_deref()
    }
}

impl Peak {
    fn of(at: Time, verdict: &Verdict) -> Self {
        Self {
            since: verdict.since,
            last_seen: at,
            evidence: verdict.evidence,
            check: verdict.check(),
            expected: verdict.expected,
            seen: verdict.seen,
            direction: verdict.direction,
            deviation: verdict.deviation,
            furthest: verdict.distance,
            scores: verdict.scores,
            worst_at: at,
            rarity: Rarity::default(),
        }
    }

    /// Worse by enough to be told: each tells the console something, so small steps are not.
    fn is_worse(&self, verdict: &Verdict) -> bool {
        const STEP: f32 = 1.25;
        verdict.deviation.abs() > STEP * self.deviation.abs()
            || verdict.evidence > STEP * self.evidence
    }
}
