//! One value of a series judged: by its own past, then together with the other odd series of its
//! entity, and told as a finding while it is odd.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::detect::joint::{self, Call, Voice};
use super::detect::{
    AGREE_SCORE, CHECKS, CheckRow, Excursion, Peak, SeriesDetector, Transition, Verdict,
};
use super::entities::EntityIx;
use super::explain::{self, Rarity};
use super::findings::{Key, Observation};
use super::intake::{Intake, Reading, SeriesIx, SeriesRow};
use super::set_back::SetBack;
use crate::model::{Band, Check, Direction, Explanation, MetricRole, Time, Unit};

/// Odd series of one entity weighed together at most: more say nothing new.
const VOICES_MAX: usize = 64;
/// What an odd series said counts for its entity this long, in milliseconds.
const HEARD_MS: i64 = 180_000;

/// Steps in which scores are kept.
const SCORE_STEPS: f32 = 10.0;

/// Slower than the upper end of the usual by less than this factor wakes nobody.
const SLOWER_MIN: f64 = 1.3;
/// The same for failures.
const FAILING_MORE_MIN: f64 = 1.5;
/// A resource less full than this share wakes nobody by itself.
const NEARLY_FULL: f64 = 0.8;

/// What is known of how a series behaves.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Judge {
    detector: SeriesDetector,
    excursion: Excursion,
    /// What it said last, while it is odd.
    voice: Option<(Time, Voice)>,
    /// What each check said of the latest value, in tenths.
    scores: [u8; CHECKS.len()],
}

/// Series that are odd now, by entity.
#[derive(Debug, Default)]
pub struct Odd {
    of: BTreeMap<EntityIx, BTreeSet<SeriesIx>>,
}

impl Judge {
    /// Judges a value; `None` when the detector refuses it.
    fn observe(&mut self, role: MetricRole, at: Time, value: f64) -> Option<(Verdict, Transition)> {
        let verdict = self.detector.observe(at, value).ok()?;
        let before = self.excursion.peak().map(|p| (p.worst_at, p.deviation));
        let transition = self.excursion.next(at, &verdict);
        match (transition, before) {
            (Transition::Opened, _) => {
                let rarity = self.detector.rarity(at, verdict.deviation, verdict.streak);
                self.excursion.note_rarity(rarity);
            }
            (Transition::Closed, Some((worst_at, deviation))) => {
                self.detector.note_past(worst_at, deviation);
            }
            _ => {}
        }
        self.scores = verdict.scores.map(packed);
        self.voice = self
            .excursion
            .peak()
            .map(|_| (at, Voice::of(role, &verdict)));
        Some((verdict, transition))
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.detector.set_back(back.to);
        self.excursion.set_back(back.to);
        if let Some((heard, _)) = &mut self.voice {
            back.past(heard);
        }
    }

    /// Nothing more is heard of it: whatever was odd is over.
    pub fn end(&mut self) {
        self.excursion = Excursion::default();
        self.voice = None;
    }

    /// Whether the series is odd now.
    pub fn is_odd(&self) -> bool {
        self.excursion.peak().is_some()
    }

    /// What is known of the series.
    pub fn detector(&self) -> &SeriesDetector {
        &self.detector
    }

    /// What each check said of the latest value; `None` before the first.
    pub fn scores(&self) -> Option<[f32; CHECKS.len()]> {
        let scores = self.scores.map(|score| f32::from(score) / SCORE_STEPS);
        (self.samples() > 0).then_some(scores)
    }

    /// Samples it learned from.
    pub fn samples(&self) -> u32 {
        self.detector.samples()
    }

    /// What is expected at `at`.
    pub fn band(&self, at: Time) -> Band {
        self.detector.band(at)
    }
}

fn packed(score: f32) -> u8 {
    (score * SCORE_STEPS).clamp(0.0, 255.0) as u8
}

/// What stands behind the finding of a series.
fn explanation(row: &SeriesRow, peak: &Peak) -> Explanation {
    let rarity = Rarity {
        at: peak.worst_at,
        deviation: peak.deviation,
        record: peak.rarity.record,
        age_ms: peak.rarity.age_ms,
        of: peak.rarity.of,
        as_far: peak.rarity.as_far,
    };
    let checks = || CHECKS.iter().zip(peak.scores);
    let titles = |agrees: bool| {
        let is_of = |(_, score): &(&CheckRow, f32)| (*score >= AGREE_SCORE) == agrees;
        let title = |(check, _): (&CheckRow, f32)| Box::from(check.title);
        checks().filter(is_of).map(title).collect()
    };
    Explanation {
        unusual: explain::unusual(&rarity).into(),
        agreed: titles(true),
        disagreed: titles(false),
        baseline: Some(Engine::baseline_of(row)),
    }
}

/// Whether a move of a metric of this role is the kind that hurts.
pub const fn is_harmful(role: MetricRole, direction: Direction) -> bool {
    matches!(
        (role, direction),
        (
            MetricRole::Latency | MetricRole::Errors | MetricRole::Saturation,
            Direction::Up
        ) | (MetricRole::Availability, Direction::Down)
    )
}

/// Whether a move is large enough to wake somebody: sure is not the same as much.
fn is_large(role: MetricRole, unit: Unit, seen: f64, expected: Band) -> bool {
    match (role, unit) {
        (MetricRole::Latency, _) => seen >= SLOWER_MIN * expected.high,
        (MetricRole::Errors, _) => seen >= FAILING_MORE_MIN * expected.high,
        (MetricRole::Saturation, Unit::Ratio) => seen >= NEARLY_FULL,
        (MetricRole::Saturation, Unit::Percent) => seen >= 100.0 * NEARLY_FULL,
        _ => true,
    }
}

impl Engine {
    /// Judges one value of a series, and keeps it.
    pub(super) fn judge(&mut self, reading: Reading) {
        let Reading {
            series, at, value, ..
        } = reading;
        let row = self.intake.row_mut(series);
        let Some((verdict, transition)) = row.judge.observe(row.role, at, value) else {
            return;
        };
        row.history
            .push(at, value, verdict.expected, verdict.evidence);
        let entity = row.entity;
        match transition {
            Transition::Quiet => {}
            Transition::Closed => {
                self.odd.remove(entity, series);
                self.findings.end(Key::Series(series), at);
            }
            Transition::Opened => {
                self.odd.of.entry(entity).or_default().insert(series);
                self.tell_of_series(series, at);
            }
            Transition::Worsened | Transition::Continues => self.tell_of_series(series, at),
        }
    }

    /// The finding of an odd series, as it is now.
    fn tell_of_series(&mut self, series: SeriesIx, at: Time) {
        let row = self.intake.row(series);
        let (Some(peak), Some((_, voice))) = (row.judge.excursion.peak(), row.judge.voice) else {
            return;
        };
        let call = self.call_of(row.entity, at);
        // The joint call is the entity's; it speaks for the series that move the way that hurts.
        let pages = call == Call::Page
            && is_harmful(row.role, voice.direction)
            && is_large(row.role, row.unit, peak.seen, peak.expected);
        let seen = Observation {
            key: Key::Series(series),
            entity: row.entity,
            callee: None,
            sick: row.entity,
            check: peak.check,
            series: Some(row.series.id),
            subject: row.series.name.as_ref().into(),
            role: row.role,
            unit: row.unit,
            since: peak.since,
            at,
            expected: peak.expected,
            seen: peak.seen,
            direction: peak.direction,
            score: peak.evidence,
            pages,
            text: String::new(),
            explain: None,
        };
        let is_news = self.findings.of_key(seen.key).is_none_or(|state| {
            state.finding.score < seen.score || (pages && !state.finding.pages)
        });
        if is_news {
            let text = explain::metric(
                &seen.subject,
                seen.seen,
                seen.expected,
                seen.unit,
                seen.since,
            );
            let explain = Some(Box::new(explanation(row, peak)));
            self.observe(Observation {
                text,
                explain,
                ..seen
            });
        }
    }

    /// How much the bar of a series is raised because people called the like noise.
    pub(super) fn raised_by(&self, row: &SeriesRow) -> f32 {
        let entity = self.entities.id(row.entity);
        self.opinions
            .raised_by(Check::Spike, &row.series.name, entity)
    }

    /// What the odd series of an entity say together.
    fn call_of(&self, entity: EntityIx, at: Time) -> Call {
        let voices: Vec<Voice> = self
            .odd
            .of
            .get(&entity)
            .into_iter()
            .flatten()
            .take(VOICES_MAX)
            .map(|series| self.intake.row(*series))
            .filter_map(|row| Some((row, row.judge.voice?)))
            .filter(|(_, (heard, _))| at.since(*heard).abs() <= HEARD_MS)
            .map(|(row, (_, voice))| Voice {
                evidence: voice.evidence - self.raised_by(row),
                ..voice
            })
            .collect();
        joint::weigh(&voices).call
    }
}

impl Odd {
    /// The series that are odd now, from what each of them remembers.
    pub fn restored(intake: &Intake) -> Self {
        let mut odd = Self::default();
        for (series, row) in intake.iter().filter(|(_, row)| row.judge.is_odd()) {
            odd.of.entry(row.entity).or_default().insert(series);
        }
        odd
    }

    /// The series that are odd now, by entity.
    pub fn iter(&self) -> impl Iterator<Item = (EntityIx, SeriesIx)> {
        let each = |(entity, of): (&EntityIx, &BTreeSet<SeriesIx>)| {
            let entity = *entity;
            of.iter()
                .map(move |series| (entity, *series))
                .collect::<Vec<_>>()
        };
        self.of.iter().flat_map(each)
    }

    /// A series is no longer odd.
    pub fn remove(&mut self, entity: EntityIx, series: SeriesIx) {
        if let Some(of) = self.of.get_mut(&entity) {
            of.remove(&series);
            if of.is_empty() {
                self.of.remove(&entity);
            }
        }
    }
}
