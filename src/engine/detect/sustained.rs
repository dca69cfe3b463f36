//! Failure modes that no single value shows: a metric stands still, varies otherwise, creeps away, or lost
//! its pattern, and stays so.
//!
//! Each check of these is calibrated by the series' own past, but what it says of one sample it says of the
//! next as well: only a stretch of them counts. Never speaks while the level itself is odd, which an
//! excursion tells better, and never pages.

use serde::{Deserialize, Serialize};

use super::series::{DENSITY, DRIFT, FLAT, SHAPE_COARSE, SPREAD};
use super::{AGREE_SCORE, CHECKS, HOLD_MS_MAX, Maturity, OPEN_EVIDENCE, Verdict};
use crate::model::{Check, Time};

/// A check that can be told by itself.
struct Speaker {
    /// Its place in the table.
    row: usize,
    /// −log10 p that it must reach …
    score: f32,
    /// … for so many samples in a row: some times what it remembers.
    samples: u16,
}

/// The checks that can be told, the clearest first.
const SPEAKERS: [Speaker; 5] = [
    // Its score says how much longer it lasts than any usual stillness, which takes time enough.
    speaker(FLAT, AGREE_SCORE, 1),
    speaker(SPREAD, 2.0, 60),
    speaker(DENSITY, 1.8, 60),
    speaker(DRIFT, 1.5, 210),
    speaker(SHAPE_COARSE, 1.5, 288),
];

const fn speaker(row: usize, score: f32, samples: u16) -> Speaker {
    Speaker {
        row,
        score,
        samples,
    }
}

/// It is over after so many samples in a row …
const CLOSE_SAMPLES: u8 = 8;
/// … that do not reach this share of what opens it.
const CLOSE_SHARE: f32 = 0.75;
/// A value that stood still for this part of a flat line does nothing else that is worth telling.
const STILL_SCORE: f32 = 0.25 * AGREE_SCORE;
/// An excursion that is near keeps it from being told.
const LEVEL_EVIDENCE: f32 = 0.5 * OPEN_EVIDENCE;

/// The sustained oddity a series is in, or may be getting into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sustained {
    /// Place in the table of the check that is followed, plus one.
    row: u8,
    calm: u8,
    loud: u16,
    stage: Stage,
    since: Time,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// Not told, if there is anything.
    #[default]
    Rising,
    /// Told.
    Open,
    /// It lasted, and is normal until it ends.
    Accepted,
}

/// A stretch of values of which one check says the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// The failure mode.
    pub check: Check,
    /// The check that tells of it, as the table names it.
    pub title: &'static str,
    /// Event time of its first sample.
    pub since: Time,
    /// Samples in a row …
    pub samples: u16,
    /// … each of which the check calls so rare, as −log10 p.
    pub score: f32,
}

/// What a verdict did to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Turn {
    /// Nothing to tell.
    Quiet,
    /// A failure mode that lasts: told with every sample, since whoever listens may have forgotten.
    Open(Stretch),
    /// It is over.
    Over,
    /// It lasted, and is normal from now on.
    Accepted,
}

impl Sustained {
    /// Takes the next verdict. The only place where the state changes.
    pub fn next(&mut self, at: Time, verdict: &Verdict) -> Turn {
        if verdict.maturity != Maturity::Mature || verdict.evidence >= LEVEL_EVIDENCE {
            // What was accepted stays so behind an excursion.
            return match self.stage {
                Stage::Accepted => Turn::Quiet,
                Stage::Rising | Stage::Open => self.end(),
            };
        }
        if self.stage != Stage::Rising {
            return self.go_on(at, verdict);
        }
        let Some(speaker) = speaking(verdict, self.row) else {
            *self = Self::default();
            return Turn::Quiet;
        };
        if usize::from(self.row) != speaker.row + 1 {
            *self = Self {
                row: speaker.row as u8 + 1,
                since: at,
                ..Self::default()
            };
        }
        self.loud = self.loud.saturating_add(1);
        if self.loud < speaker.samples {
            return Turn::Quiet;
        }
        self.stage = Stage::Open;
        Turn::Open(self.stretch(speaker))
    }

    fn go_on(&mut self, at: Time, verdict: &Verdict) -> Turn {
        let row = usize::from(self.row) - 1;
        let Some(speaker) = SPEAKERS.iter().find(|speaker| speaker.row == row) else {
            return self.end();
        };
        let is_loud = verdict.scores[row] >= CLOSE_SHARE * speaker.score;
        self.calm = if is_loud { 0 } else { self.calm + 1 };
        self.loud = self.loud.saturating_add(1);
        if self.calm >= CLOSE_SAMPLES {
            return self.end();
        }
        if self.stage == Stage::Open && at.since(self.since) >= HOLD_MS_MAX {
            self.stage = Stage::Accepted;
            return Turn::Accepted;
        }
        match self.stage {
            Stage::Open => Turn::Open(self.stretch(speaker)),
            Stage::Rising | Stage::Accepted => Turn::Quiet,
        }
    }

    fn stretch(&self, speaker: &Speaker) -> Stretch {
        Stretch {
            check: CHECKS[speaker.row].check,
            title: CHECKS[speaker.row].title,
            since: self.since,
            samples: self.loud,
            score: speaker.score,
        }
    }

    /// Nothing more is heard of it, or something else explains it.
    pub fn end(&mut self) -> Turn {
        let was_open = self.stage == Stage::Open;
        *self = Self::default();
        if was_open { Turn::Over } else { Turn::Quiet }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        self.since = self.since.min(to);
    }
}

/// The check that is loud: the one that was before, while it is.
fn speaking(verdict: &Verdict, before: u8) -> Option<&'static Speaker> {
    let is_still = verdict.scores[FLAT] >= STILL_SCORE;
    let is_loud = |speaker: &&Speaker| {
        verdict.scores[speaker.row] >= speaker.score && (speaker.row == FLAT || !is_still)
    };
    let mut loud = SPEAKERS.iter().filter(is_loud);
    let first = loud.clone().next();
    loud.find(|speaker| usize::from(before) == speaker.row + 1)
        .or(first)
}
