//! One value of a series judged: by its own past, then together with the other odd series of its
//! entity, and told as a finding while it is odd.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::arrivals::Arrivals;
use super::detect::joint::{self, Call, Voice};
use super::detect::{
    AGREE_SCORE, CHECKS, Excursion, Hold, Maturity, OPEN_EVIDENCE, Peak, Rhythm, SeriesDetector,
    Spell, Sustained, Transition, Verdict, Weekly,
};
use super::diagnose::words;
use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use super::intake::{Intake, Reading, SeriesIx, SeriesRow};
use super::set_back::SetBack;
use crate::model::{
    Actor, Band, Check, Direction, Explanation, FindingId, MetricRole, Refusal, StageRow, Time,
    Unit,
};

/// Odd series of one entity weighed together at most: more say nothing new.
const VOICES_MAX: usize = 64;
/// What an odd series said counts for its entity this long, in milliseconds.
const HEARD_MS: i64 = 180_000;

/// Steps in which scores are kept.
const SCORE_STEPS: f32 = 10.0;

/// A point this many usual distances after the last has others missing before it.
const GAP_INTERVALS: u32 = 4;

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
    sustained: Sustained,
    rhythm: Rhythm,
    /// Of what is told only when something happened; few series are of that kind.
    arrivals: Option<Box<Arrivals>>,
    /// When in the week it was odd.
    weekly: Weekly,
    /// What was normal before it became odd. On the heap, as the excursion's peak is.
    hold: Option<Box<Hold>>,
    /// What it said last, while it is odd.
    voice: Option<(Time, Voice)>,
    /// What each check said of the latest value, in tenths.
    scores: [u8; CHECKS.len()],
}

/// Series that are odd now, by entity.
#[derive(Debug, Default)]
pub struct Odd {
    of: BTreeMap<EntityIx, BTreeSet<SeriesIx>>,
    expected: Expected,
}

/// Series that are odd and not told, since they are like that each week.
#[derive(Debug, Default)]
pub struct Expected {
    now: BTreeSet<SeriesIx>,
    /// How often there was one since the start …
    total: u64,
    /// … and how often it was told in the end.
    told_late: u64,
}

impl Judge {
    /// Reads a word of most of its cache lines, so that they come while others are worked on; not what few series have on
    /// the heap.
    pub fn touch(&self) -> u32 {
        self.detector.touch() ^ u32::from(self.scores[0]) ^ self.rhythm.touch()
    }

    /// Judges a value; `None` when the detector refuses it.
    fn observe(&mut self, role: MetricRole, at: Time, value: f64) -> Option<(Verdict, Transition)> {
        let learning = self.detector.observe(at, value).ok()?;
        // Once it is odd, what was normal before judges: what is being learned is the fault.
        let verdict = match &mut self.hold {
            Some(hold) => hold.judge(at, &learning),
            None => learning,
        };
        let before = self.excursion.peak().map(|p| (p.worst_at, p.deviation));
        let spell = self.spell(at);
        let mut transition = self.excursion.next(at, &verdict);
        match (transition, before) {
            (Transition::Opened, _) => {
                let rarity = self.detector.rarity(at, verdict.deviation, verdict.streak);
                self.excursion.note_rarity(rarity);
                self.hold = Some(Box::new(self.detector.hold(at)));
            }
            (Transition::Closed, Some((worst_at, deviation))) => {
                if let Some(hold) = self.hold.take() {
                    self.detector.recover(*hold);
                }
                self.detector.note_past(worst_at, deviation);
            }
            _ if self.hold.as_ref().is_some_and(|hold| hold.until() <= at) => {
                transition = self.accept();
            }
            _ => {}
        }
        if let (Transition::Closed | Transition::Accepted, Some(spell)) = (transition, spell) {
            self.weekly.note(spell);
        }
        self.scores = verdict.scores.map(packed);
        let speaks = self.is_odd() && self.odd_each_week(at).is_none();
        self.voice = speaks.then(|| (at, Voice::of(role, &verdict)));
        Some((verdict, transition))
    }

    /// Whether it has seen enough to judge.
    pub fn is_warm(&self) -> bool {
        self.detector.maturity() != Maturity::Warming
    }

    /// What lasts is normal from now on: because it lasted, or because somebody says so.
    fn accept(&mut self) -> Transition {
        if let Some(hold) = self.hold.take() {
            self.detector.accept(*hold);
        }
        self.voice = None;
        self.sustained.end();
        self.excursion.accept()
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.detector.set_back(back.to);
        self.excursion.set_back(back.to);
        self.sustained.set_back(back.to);
        self.rhythm.set_back(back.to);
        self.weekly.set_back(back.to);
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.set_back(back);
        }
        if let Some(hold) = &mut self.hold {
            hold.set_back(back.to);
        }
        if let Some((heard, _)) = &mut self.voice {
            back.past(heard);
        }
    }

    /// Nothing more is heard of it: whatever was odd is over.
    pub fn end(&mut self) {
        self.excursion = Excursion::default();
        self.sustained.end();
        self.rhythm.end();
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.end();
        }
        self.hold = None;
        self.voice = None;
    }

    /// What is known of how often things happen of a series that counts them, once it is known that it is told only then.
    pub fn arrivals(&mut self) -> Option<&mut Arrivals> {
        if self.arrivals.is_none() && self.detector.comes_irregularly() {
            self.arrivals = Some(Box::default());
        }
        self.arrivals.as_deref_mut()
    }

    /// The same, as far as it is known.
    pub fn known_arrivals(&self) -> Option<&Arrivals> {
        self.arrivals.as_deref()
    }

    /// Whether the series is odd now.
    pub fn is_odd(&self) -> bool {
        self.excursion.peak().is_some()
    }

    /// The period with which it climbs again and again, in milliseconds, and when the next climb is due.
    pub fn due(&self) -> Option<(i64, Time)> {
        self.rhythm.due()
    }

    /// What it does while it is odd, to `at`.
    fn spell(&self, at: Time) -> Option<Spell> {
        let peak = self.excursion.peak()?;
        Some(Spell {
            began: peak.since,
            until: at,
            direction: peak.direction,
            furthest: peak.furthest,
        })
    }

    /// While it is odd: for how many weeks running it was so at this time of the week, which is why that is not told.
    pub fn odd_each_week(&self, at: Time) -> Option<u8> {
        self.weekly.expects(self.spell(at)?)
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

    /// What each check said of the latest value: its title, and whether it calls it odd.
    pub fn opinions(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let scores = self.scores.map(|score| f32::from(score) / SCORE_STEPS);
        let checks = CHECKS.iter().zip(scores);
        checks.map(|(check, score)| (check.title, score >= AGREE_SCORE))
    }

    /// Samples it learned from.
    pub fn samples(&self) -> u32 {
        self.detector.samples()
    }

    /// While the series is odd: until when what was normal before it judges.
    pub fn held_until(&self) -> Option<Time> {
        self.hold.as_ref().map(|hold| hold.until())
    }

    /// What is expected at `at`; while the series is odd, by what was normal before.
    pub fn band(&self, at: Time) -> Band {
        match &self.hold {
            Some(hold) => hold.band(at),
            None => self.detector.band(at),
        }
    }
}

fn packed(score: f32) -> u8 {
    (score * SCORE_STEPS).clamp(0.0, 255.0) as u8
}

/// What stands behind the finding of a series.
fn explanation(row: &SeriesRow, peak: &Peak) -> Explanation {
    let checks = CHECKS.iter().zip(peak.scores);
    // Many values in a row are what makes a finding, whatever each check says of the worst of them.
    explain::told(explain::unusual(&peak.rarity))
        .judged_by([("run of values", peak.evidence >= OPEN_EVIDENCE)])
        .judged_by(checks.map(|(check, score)| (check.title, score >= AGREE_SCORE)))
        .against(Engine::baseline_of(row))
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
            series,
            at,
            value,
            step_ms,
            ..
        } = reading;
        let row = self.intake.row_mut(series);
        let Some((verdict, transition)) = row.judge.observe(row.role, at, value) else {
            return;
        };
        let entity = row.entity;
        let turn = row.judge.sustained.next(at, &verdict);
        let interval_ms = row.interval_ms;
        let is_gap = step_ms > GAP_INTERVALS.saturating_mul(interval_ms);
        let step_s = interval_ms as f32 / 1_000.0;
        let beat = row.judge.rhythm.step(at, value, step_s, is_gap);
        let is_expected = row.judge.odd_each_week(at).is_some();
        self.intake
            .note(&reading, verdict.expected, verdict.evidence);
        self.count_arrival(&reading);
        self.note_turn(series, turn, &verdict, at);
        self.note_beat(series, beat, at);
        match transition {
            Transition::Quiet => {}
            Transition::Closed => {
                self.odd.remove(entity, series);
                self.findings.end(Key::Series(series), at);
            }
            Transition::Accepted => {
                self.odd.remove(entity, series);
                self.tell_accepted(series, at, None);
            }
            Transition::Opened => {
                self.odd.of.entry(entity).or_default().insert(series);
                self.odd.expected.note(series, is_expected);
                self.tell_of_series(series, at);
            }
            Transition::Worsened | Transition::Continues => {
                self.odd.expected.note(series, is_expected);
                self.tell_of_series(series, at);
            }
        }
    }

    /// A person says that what lasts is normal now.
    pub(super) fn accept(&mut self, by: &Actor, id: FindingId) -> Result<(), Refusal> {
        let series = self.may_accept(id)?;
        let row = self.intake.row_mut(series);
        row.judge.accept();
        let entity = row.entity;
        self.odd.remove(entity, series);
        self.tell_accepted(series, self.now, Some(&by.name));
        Ok(())
    }

    /// The series whose level a person may call normal: one that is odd now.
    pub(super) fn may_accept(&self, id: FindingId) -> Result<SeriesIx, Refusal> {
        let refused = |state: &str, why: &str| Refusal::State {
            what: format!("finding {}", id.0),
            state: state.to_owned(),
            why: why.to_owned(),
        };
        let finding = self.finding(id).ok_or(Refusal::NoFinding { finding: id })?;
        if !finding.is_open() {
            return Err(refused("over", "there is nothing left to get used to"));
        }
        match self.findings.key_of(id) {
            Some(Key::Series(series)) if self.intake.row(series).judge.is_odd() => Ok(series),
            _ => Err(refused(
                "no level",
                "only a metric's new level can become normal; mark the finding noise instead",
            )),
        }
    }

    /// The finding of a series is over because what lasted is normal now: no recovery.
    fn tell_accepted(&mut self, series: SeriesIx, at: Time, by: Option<&str>) {
        // How it behaves there is as normal as the level is, also where nothing was told of the level.
        self.findings.end(Key::Sustained(series), at);
        let key = Key::Series(series);
        let Some(state) = self.findings.of_key(key) else {
            return;
        };
        let row = self.intake.row(series);
        let value = row.latest().map_or(state.finding.seen, f64::from);
        let how = match by {
            Some(name) => format!("by {name}"),
            None => format!("after {}", words::duration(at.since(state.finding.since))),
        };
        let text = format!(
            "new normal accepted {how}: {} {}",
            explain::subject(&row.series.name),
            words::value(value, row.unit)
        );
        self.findings.accept(key, at, text);
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
            && is_large(row.role, row.unit, peak.seen, peak.expected)
            && !self.is_negligible(series);
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
            explain: Explanation::default(),
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
            let explain = explanation(row, peak);
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

    /// What of it is not told.
    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The series of one entity that are odd now.
    pub fn of_entity(&self, entity: EntityIx) -> impl Iterator<Item = SeriesIx> {
        self.of.get(&entity).into_iter().flatten().copied()
    }

    /// A series is no longer odd.
    pub fn remove(&mut self, entity: EntityIx, series: SeriesIx) {
        self.expected.now.remove(&series);
        if let Some(of) = self.of.get_mut(&entity) {
            of.remove(&series);
            if of.is_empty() {
                self.of.remove(&entity);
            }
        }
    }
}

impl Expected {
    /// A series that is odd is as it is each week, or not.
    fn note(&mut self, series: SeriesIx, is_expected: bool) {
        if is_expected {
            self.total += u64::from(self.now.insert(series));
        } else {
            self.told_late += u64::from(self.now.remove(&series));
        }
    }

    /// What the stage of them did.
    pub fn row(&self) -> StageRow {
        StageRow {
            name: "each week".into(),
            what: "odd as it is each week at that time: not told".into(),
            of: "metrics".into(),
            total: self.total,
            now: Some(self.now.len() as u64),
            told_late: Some(self.told_late),
        }
    }
}

#[cfg(test)]
mod week_tests;

#[cfg(test)]
mod tests;
