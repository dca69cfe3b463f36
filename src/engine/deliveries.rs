//! What a source delivers, how often, and when that is missed.
//!
//! Each kind of signal is waited for by itself, because each stops by itself: a collector that loses its metrics goes on
//! with lines, and a quiet night has lines without calls. What is measured comes at a pace; what only says that something
//! happened (lines, spans, counts) is missed when it pauses for longer than it ever did. A source that goes on with
//! other kinds is alive: that something which happens does not any more informs, and never pages. Alerts and changes
//! are no promise to go on.

use serde::{Deserialize, Serialize};

use super::set_back::SetBack;
use crate::model::{Pauses, Quiet, SeriesKind, Signal, Spoke, Time};

/// Batches that come within so long are one delivery, in milliseconds: what is sent at once travels in parts.
const DELIVERY_MS: i64 = 1_000;
/// Deliveries of measurements until more are expected.
const PACE_WARM_UP: u32 = 20;
/// Measurements are missed after this many of their usual gaps …
const MISSED_GAPS: i64 = 12;
/// … and at least this long, in milliseconds.
const MISSED_MS_MIN: i64 = 60_000;

/// Kinds of signals that are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Points of series.
    Points,
    /// Spans of traces.
    Spans,
    /// Log lines.
    Lines,
}

/// What a batch brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brings {
    /// Whether there is any of each of [`Kind::ALL`].
    kinds: [bool; Kind::ALL.len()],
    /// Whether a point was measured: a delta says that something happened, and is sent only then.
    measures: bool,
}

/// How a kind is promised to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It comes at a pace, as all that is measured.
    AtAPace,
    /// It comes when something happens, and never paused for longer than this, in milliseconds.
    Pausing(i64),
}

/// How much of a source is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing comes of it at all.
    Everything,
    /// Of one kind nothing comes, and of others something does.
    OneKind,
}

/// What is missed of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The kind that stopped.
    pub kind: Kind,
    /// How it used to come.
    pub promise: Promise,
    /// Whether the others stopped, too.
    pub scope: Scope,
    /// What it says, never [`Quiet::Usual`].
    pub quiet: Quiet,
    /// When the last of it came: of everything, when anything did.
    pub since: Time,
}

/// The deliveries of one source.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Deliveries {
    /// When anything came of it, of whatever kind.
    heard: Time,
    /// How each of [`Kind::ALL`] pauses.
    pauses: [Pauses; Kind::ALL.len()],
    /// The pace of what it measures.
    pace: Pace,
    /// What was told to be missing. Told again after a restart: the finding is not kept.
    #[serde(skip)]
    told: Option<Missed>,
}

/// How often measurements are delivered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Pace {
    deliveries: u32,
    /// When the last delivery began.
    began: Time,
    /// Usual time from one delivery to the next, in milliseconds; 0 before the second.
    gap_ms: i64,
}

impl Kind {
    /// All of them, the one whose loss blinds most first.
    pub const ALL: [Self; 3] = [Self::Points, Self::Spans, Self::Lines];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Points => "metrics",
            Self::Spans => "spans",
            Self::Lines => "log lines",
        }
    }
}

impl Brings {
    /// What these signals are.
    pub fn of(signals: &[Signal]) -> Self {
        let any = |is: fn(&Signal) -> bool| signals.iter().any(is);
        Self {
            kinds: [
                any(|signal| matches!(signal, Signal::Sample(_))),
                any(|signal| matches!(signal, Signal::Span(_))),
                any(|signal| matches!(signal, Signal::Log(_))),
            ],
            measures: any(
                |signal| matches!(signal, Signal::Sample(sample) if sample.series.kind != SeriesKind::Delta),
            ),
        }
    }

    fn any_of(self, kind: Kind) -> bool {
        self.kinds[kind as usize]
    }
}

impl Deliveries {
    /// Notes a batch; what was told to be missing and is not any more.
    pub fn hear(&mut self, brings: Brings, now: Time) -> Option<Missed> {
        self.heard = now;
        for kind in Kind::ALL.into_iter().filter(|kind| brings.any_of(*kind)) {
            self.pauses[kind as usize].hear(now);
        }
        if brings.measures {
            self.pace.hear(now);
        } else if brings.any_of(Kind::Points) && self.pace.is_over(now) {
            // It goes on with counts alone.
            self.pace = Pace::default();
        }
        let is_back = |missed: &Missed| match missed.scope {
            Scope::Everything => true,
            Scope::OneKind => brings.any_of(missed.kind),
        };
        self.told.take_if(|missed| is_back(missed))
    }

    /// The passing of time: what is missed now, if that is worse than what was told.
    pub fn listen(&mut self, now: Time) -> Option<Missed> {
        // That nothing comes at all is worse than that one kind is missing.
        let rank = |missed: &Missed| (missed.quiet, missed.scope == Scope::Everything);
        let told = self.told.as_ref().map_or((Quiet::Usual, false), rank);
        let all = Kind::ALL
            .into_iter()
            .filter_map(|kind| self.missed(kind, now));
        // Of those that say as much the first counts.
        let worst = all.rev().max_by_key(rank);
        let missed = worst.filter(|missed| rank(missed) > told)?;
        self.told = Some(missed);
        Some(missed)
    }

    /// What it says that nothing of a kind came until now.
    fn missed(&self, kind: Kind, now: Time) -> Option<Missed> {
        let pauses = &self.pauses[kind as usize];
        let last = pauses.heard()?;
        let promise = match kind {
            Kind::Points if self.pace.is_known() => Promise::AtAPace,
            _ => Promise::Pausing(pauses.longest_ms()),
        };
        let says = |silent_ms: i64| match promise {
            Promise::AtAPace if silent_ms > self.pace.patience_ms() => Quiet::Blind,
            Promise::AtAPace => Quiet::Usual,
            Promise::Pausing(_) => pauses.judge_silence(silent_ms),
        };
        let of_all = says(now.since(self.heard));
        let (scope, quiet, since) = match (says(now.since(last)), of_all, promise) {
            (Quiet::Usual, ..) => return None,
            // The source is alive, and of what happens nobody knows that it must.
            (_, Quiet::Usual, Promise::Pausing(_)) => (Scope::OneKind, Quiet::Unusual, last),
            (quiet, Quiet::Usual, Promise::AtAPace) => (Scope::OneKind, quiet, last),
            (_, of_all, _) => (Scope::Everything, of_all, self.heard.max(last)),
        };
        Some(Missed {
            kind,
            promise,
            scope,
            quiet,
            since,
        })
    }

    /// What was told to be missing, if that makes it blind.
    pub fn blind(&self) -> Option<&Missed> {
        let told = self.told.as_ref();
        told.filter(|missed| missed.quiet == Quiet::Blind)
    }

    /// When anything last came of it; the epoch before the first.
    pub fn heard(&self) -> Time {
        self.heard
    }

    /// Usual time from one delivery of measurements to the next, in milliseconds, however young that is.
    pub fn gap_ms(&self) -> i64 {
        self.pace.gap_ms.max(DELIVERY_MS)
    }

    /// For how long it delivers nothing at most, usually, in milliseconds, if it measures at a known pace.
    pub fn usual_gap_ms(&self) -> Option<i64> {
        self.pace.is_known().then_some(self.gap_ms())
    }

    /// How it spoke so far; `None` before the first word of it.
    pub fn spoke(&self) -> Option<Spoke> {
        // Of several kinds the one that is known for longest, and of those the one that pauses least.
        let known = |pauses: &&Pauses| (pauses.spoke_ms(), -pauses.longest_ms());
        let pauses = self.pauses.iter().max_by_key(known);
        (self.heard > Time::ZERO).then(|| Spoke {
            heard: self.heard,
            usual_ms: self.usual_gap_ms(),
            pauses: pauses.copied().unwrap_or_default(),
        })
    }

    /// Whoever listens was away until now: nobody was silent, nobody was heard.
    pub fn resume(&mut self, now: Time) {
        self.pace.began = now;
        for pauses in &mut self.pauses {
            pauses.resume(now);
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.resume(back.to);
        back.past(&mut self.heard);
        if let Some(told) = &mut self.told {
            back.past(&mut told.since);
        }
    }
}

impl Pace {
    fn hear(&mut self, now: Time) {
        let gap_ms = now.since(self.began);
        if self.deliveries > 0 && gap_ms < DELIVERY_MS {
            return;
        }
        self.gap_ms = match (self.deliveries, self.gap_ms) {
            (0, _) => 0,
            (_, 0) => gap_ms,
            (_, usual_ms) => usual_ms + (gap_ms - usual_ms) / 8,
        };
        self.deliveries = self.deliveries.saturating_add(1);
        self.began = now;
    }

    fn is_known(&self) -> bool {
        self.deliveries >= PACE_WARM_UP
    }

    /// Whether that is long over.
    fn is_over(&self, now: Time) -> bool {
        now.since(self.began) > self.patience_ms()
    }

    fn patience_ms(&self) -> i64 {
        (self.gap_ms * MISSED_GAPS).max(MISSED_MS_MIN)
    }
}

#[cfg(test)]
mod tests;
