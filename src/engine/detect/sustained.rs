//! Failure modes that no single value shows: a metric stands still, varies otherwise, creeps away, or lost
//! its pattern, and stays so.
//!
//! Each check of these is calibrated by the series' own past, but what it says of one sample it says of the
//! next as well: only a stretch of them counts. Never speaks while the level itself is odd, which an
//! excursion tells better, and never pages.

use serde::{Deserialize, Serialize};

use super::series::{DENSITY, DRIFT, FLAT, SPREAD};
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
    /// What keeps it from being told.
    gives_way: GivesWay,
}

/// The level is odd as well, and an excursion tells of that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GivesWay {
    /// As soon as that may be.
    AtOnce,
    /// Once an excursion is open; while one may be near, samples do not count.
    OnceOpen,
    /// To a run of values that lie off one way, as it does not count while there is one: values that vary more lie off
    /// both ways.
    ToRuns,
}

/// The checks that can be told, the clearest first.
const SPEAKERS: [Speaker; 4] = [
    // Its score says how much longer it lasts than any usual stillness, which takes time enough.
    speaker(FLAT, AGREE_SCORE, 1, GivesWay::AtOnce),
    speaker(SPREAD, 2.0, 60, GivesWay::ToRuns),
    speaker(DENSITY, 1.8, 60, GivesWay::ToRuns),
    speaker(DRIFT, 1.5, 210, GivesWay::OnceOpen),
];

const fn speaker(row: usize, score: f32, samples: u16, gives_way: GivesWay) -> Speaker {
    Speaker {
        row,
        score,
        samples,
        gives_way,
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
/// So many surprising values in a row, one way, are a matter of the level.
const LEVEL_STREAK: u16 = 5;
/// What a stillness taught is forgotten in as many samples, and in no more than these.
const REST_SAMPLES_MAX: u16 = 1_000;
/// After so many samples in a row that do not count it is over: what the level does lasts.
const APART_MAX: u8 = 60;

/// The sustained oddity a series is in, or may be getting into.
///
/// What a check calls rare becomes usual as it lasts, to the check: its tail and its reference learn every sample. So what
/// was rare when the stretch began is kept, and the stretch is judged by that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sustained {
    /// Place in the table of the check that is followed, plus one.
    row: u8,
    calm: u8,
    /// Samples in a row that did not count.
    apart: u8,
    loud: u16,
    stage: Stage,
    since: Time,
    /// The least that was measured while the check itself called it rare; 0 of a check that measures no such thing.
    limit: f32,
    /// The usual step when it began.
    usual_step: f32,
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
    /// It stood still until lately, and moves: what stillness taught is no guide to that.
    Resting,
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
        if verdict.maturity != Maturity::Mature {
            return self.give_way();
        }
        let followed = SPEAKERS.iter().find(|speaker| self.follows(speaker));
        if let Some(speaker) = followed
            && speaker.is_matter_of_level(verdict)
        {
            self.apart += 1;
            return if self.apart >= speaker.apart_max(verdict) {
                self.give_way()
            } else {
                Turn::Quiet
            };
        }
        self.apart = 0;
        if let Some(speaker) = followed.filter(|_| self.stage != Stage::Rising) {
            return self.go_on(at, speaker, verdict);
        }
        if self.stage == Stage::Resting && verdict.scores[FLAT] < AGREE_SCORE {
            self.loud -= 1;
            if self.loud == 0 {
                *self = Self::default();
            }
            return Turn::Quiet;
        }
        let Some(speaker) = self.speaking(verdict) else {
            *self = Self::default();
            return Turn::Quiet;
        };
        if !self.follows(speaker) {
            *self = Self {
                row: speaker.row as u8 + 1,
                since: at,
                limit: f32::MAX,
                usual_step: verdict.trends.steps.usual,
                ..Self::default()
            };
        }
        if verdict.scores[speaker.row] >= speaker.score {
            self.limit = self.limit.min(self.measured(speaker, verdict));
        }
        self.loud = self.loud.saturating_add(1);
        if self.loud < speaker.samples {
            return Turn::Quiet;
        }
        self.stage = Stage::Open;
        Turn::Open(self.stretch(speaker))
    }

    fn go_on(&mut self, at: Time, speaker: &Speaker, verdict: &Verdict) -> Turn {
        let scores = verdict.scores[speaker.row] >= CLOSE_SHARE * speaker.score;
        // What is normal by now ends as what is normal does.
        let lasts = self.stage == Stage::Open
            && self.limit > 0.0
            && self.measured(speaker, verdict) >= CLOSE_SHARE * self.limit;
        self.calm = if scores || lasts { 0 } else { self.calm + 1 };
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
            Stage::Rising | Stage::Accepted | Stage::Resting => Turn::Quiet,
        }
    }

    fn follows(&self, speaker: &Speaker) -> bool {
        usize::from(self.row) == speaker.row + 1
    }

    /// The check that is loud: the one that was before, while it is.
    fn speaking(&self, verdict: &Verdict) -> Option<&'static Speaker> {
        let is_still = verdict.scores[FLAT] >= STILL_SCORE;
        let is_as_far = |speaker: &Speaker| {
            self.follows(speaker)
                && self.limit > 0.0
                && self.measured(speaker, verdict) >= self.limit
        };
        let is_loud = |speaker: &&Speaker| {
            (verdict.scores[speaker.row] >= speaker.score || is_as_far(speaker))
                && !speaker.is_matter_of_level(verdict)
                && (speaker.row == FLAT || !is_still)
        };
        let mut loud = SPEAKERS.iter().filter(is_loud);
        let first = loud.clone().next();
        loud.find(|speaker| self.follows(speaker)).or(first)
    }

    /// How far off it is by what was usual when the stretch began; 0 of a check that measures no such thing.
    fn measured(&self, speaker: &Speaker, verdict: &Verdict) -> f32 {
        let trends = &verdict.trends;
        match speaker.row {
            SPREAD => trends.steps.ratio(self.usual_step) - 1.0,
            DENSITY => trends.density,
            // What follows the time of day leaves its level every day, and comes back by itself.
            DRIFT if !trends.has_course => trends.drift,
            _ => 0.0,
        }
    }

    /// Something else explains it; what was accepted stays so behind that.
    fn give_way(&mut self) -> Turn {
        match self.stage {
            Stage::Accepted => {
                self.apart = 0;
                Turn::Quiet
            }
            Stage::Rising | Stage::Open | Stage::Resting => self.end(),
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
        let stood_still = usize::from(self.row) == FLAT + 1 && self.stage != Stage::Rising;
        *self = if stood_still {
            Self {
                loud: self.loud.clamp(1, REST_SAMPLES_MAX),
                stage: Stage::Resting,
                ..Self::default()
            }
        } else {
            Self::default()
        };
        if was_open { Turn::Over } else { Turn::Quiet }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, to: Time) {
        self.since = self.since.min(to);
    }
}

impl Speaker {
    /// Whether what it says of a sample may be said of its level alone.
    fn is_matter_of_level(&self, verdict: &Verdict) -> bool {
        let is_run = self.gives_way != GivesWay::ToRuns || verdict.streak >= LEVEL_STREAK;
        verdict.evidence >= LEVEL_EVIDENCE && is_run
    }

    /// For how many samples in a row it may be such a matter, until that is what it is.
    fn apart_max(&self, verdict: &Verdict) -> u8 {
        match self.gives_way {
            GivesWay::AtOnce => 1,
            GivesWay::OnceOpen if verdict.trends.has_course => 1,
            GivesWay::OnceOpen if verdict.evidence >= OPEN_EVIDENCE => 1,
            GivesWay::OnceOpen | GivesWay::ToRuns => APART_MAX,
        }
    }
}
