//! Quiet is not healthy: scrapes that fail, entities that stop reporting, sources that go blind.
//!
//! A source that is blind makes no entity absent: what cannot be seen is not known to be gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::detect::HOLD_MS_MAX;
use super::entities::EntityIx;
use super::intake::{Intake, SeriesIx, SeriesRow, SourceIx};
use super::set_back::SetBack;
use super::speakers::Speakers;
use crate::model::{Pauses, Quiet, SourceId, Time};

/// Failed scrapes in a row until a target counts as down.
const DOWN_SCRAPES: u32 = 2;
/// Failed scrapes in a row until a target that never answered is told of.
const NEVER_SCRAPES: u32 = 10;
/// A series is silent after this many of its intervals …
const SILENT_INTERVALS: i64 = 5;
/// … and at least this long, in milliseconds.
const SILENT_MS_MIN: i64 = 45_000;
/// A series that came less often than this is not waited for, in milliseconds.
const INTERVAL_MS_MAX: u32 = 10 * 60_000;
/// Part of the series looked at in one tick.
const SERIES_PARTS: usize = 8;
/// Batches that come within so long are one delivery, in milliseconds: what is sent at once travels in parts.
const DELIVERY_MS: i64 = 1_000;
/// Deliveries until a source is expected to go on.
const SOURCE_WARM_UP: u32 = 20;
/// A source is blind after this many of its usual gaps …
const BLIND_GAPS: i64 = 12;
/// … and at least this long, in milliseconds.
const BLIND_MS_MIN: i64 = 60_000;

/// After this many of its usual gaps a source is taken to have fallen silent with somebody who did as well.
const MISSED_GAPS: i64 = 3;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// A target's scrapes fail since.
    Down(SeriesIx, Time),
    /// They failed ever since it is watched, from then on.
    Never(SeriesIx, Time),
    /// They succeed again.
    Up(SeriesIx, Time),
    /// Everything an entity reported stopped; its last point.
    Gone(EntityIx, Time),
    /// It reports again.
    Back(EntityIx, Time),
    /// Of what an entity reports one more series stopped, or some more, while the rest goes on.
    Lapsed(EntityIx),
    /// All of them report again.
    Resumed(EntityIx, Time),
    /// They stopped so long ago that nobody waits for them.
    Forgone(EntityIx),
    /// A source stopped delivering; its last batch.
    Blind(SourceIx, Time),
    /// A source that brings nothing but lines and events is silent for longer than it ever was: since when, what that
    /// says, and its longest pause, in milliseconds.
    Quiet(SourceIx, Time, Quiet, i64),
    /// It delivers again.
    Seeing(SourceIx, Time),
}

#[derive(Debug, Serialize, Deserialize)]
struct SourceState {
    id: SourceId,
    deliveries: u32,
    /// When the last delivery began …
    began: Time,
    /// … and when its last batch came.
    last: Time,
    /// Usual time from one delivery to the next, in milliseconds; 0 before the second.
    gap_ms: i64,
    /// When anything came of it, of whatever kind.
    heard: Time,
    /// How it pauses, if it brings lines.
    lines: Pauses,
    /// Newest event time of its samples.
    newest: Time,
    /// What was told of a silence of its lines.
    #[serde(skip)]
    quiet: Quiet,
    /// Told again after a restart: the finding is not kept.
    #[serde(skip)]
    is_blind: bool,
}

/// What a batch brings beside events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brings {
    /// Points of series, or spans.
    pub measurements: bool,
    /// Log lines.
    pub lines: bool,
}

impl SourceState {
    /// Looks whether a source that brings lines and measures nothing is silent for longer than it ever was.
    fn listen(&mut self, ix: SourceIx, now: Time) -> Option<Silence> {
        let quiet = self.lines.judge(now);
        if self.deliveries > 0 || quiet <= self.quiet {
            return None;
        }
        self.quiet = quiet;
        self.is_blind = quiet == Quiet::Blind;
        let since = self.last_heard();
        Some(Silence::Quiet(ix, since, quiet, self.lines.longest_ms()))
    }

    /// When it brought anything that is missed now.
    fn last_heard(&self) -> Time {
        let of_lines = self.lines.heard().filter(|_| self.deliveries == 0);
        of_lines.unwrap_or(self.last)
    }
}

/// Watches for silence.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SilenceWatch {
    sources: Vec<SourceState>,
    index: BTreeMap<SourceId, SourceIx>,
    /// Targets that answered at least once.
    answered: BTreeSet<SeriesIx>,
    /// Failed scrapes in a row: since when, how many.
    down: BTreeMap<SeriesIx, (Time, u32)>,
    /// Silent series by entity.
    silent: BTreeMap<EntityIx, BTreeSet<SeriesIx>>,
    /// Told again after a restart, as is blindness.
    #[serde(skip)]
    gone: BTreeMap<EntityIx, Time>,
    /// Series that stopped while others of their entity go on, as told.
    #[serde(skip)]
    lapsed: BTreeMap<EntityIx, BTreeSet<SeriesIx>>,
    next_part: usize,
    /// When the engine itself last came back from a pause: nobody was heard before.
    resumed: Time,
}

impl SilenceWatch {
    /// Notes a batch with measurements; says when a blind source sees again.
    pub fn on_batch(
        &mut self,
        id: &SourceId,
        brings: Brings,
        now: Time,
    ) -> (SourceIx, Option<Silence>) {
        let ix = self.place(id, now);
        let source = &mut self.sources[ix.0 as usize];
        source.heard = now;
        if brings.lines {
            source.lines.hear(now);
            let was_quiet = std::mem::take(&mut source.quiet) != Quiet::Usual;
            if was_quiet && source.deliveries == 0 {
                source.is_blind = false;
                return (ix, Some(Silence::Seeing(ix, now)));
            }
        }
        if !brings.measurements {
            return (ix, None);
        }
        let gap_ms = now.since(source.began);
        if source.deliveries == 0 || gap_ms >= DELIVERY_MS {
            source.gap_ms = match (source.deliveries, source.gap_ms) {
                (0, _) => 0,
                (_, 0) => gap_ms,
                (_, usual_ms) => usual_ms + (gap_ms - usual_ms) / 8,
            };
            source.deliveries = source.deliveries.saturating_add(1);
            source.began = now;
        }
        source.last = now;
        let was_blind = std::mem::replace(&mut source.is_blind, false);
        (ix, was_blind.then_some(Silence::Seeing(ix, now)))
    }

    /// The place of a source, whether or not anything came of it.
    pub fn place(&mut self, id: &SourceId, now: Time) -> SourceIx {
        match self.index.get(id) {
            Some(ix) => *ix,
            None => self.add_source(id, now),
        }
    }

    fn add_source(&mut self, id: &SourceId, now: Time) -> SourceIx {
        // Sources are configured, so there are few; the type bounds them all the same.
        let ix = SourceIx(self.sources.len().min(usize::from(u16::MAX)) as u16);
        if usize::from(ix.0) == self.sources.len() {
            self.sources.push(SourceState {
                id: id.clone(),
                deliveries: 0,
                began: now,
                last: now,
                gap_ms: 0,
                heard: Time::ZERO,
                lines: Pauses::default(),
                quiet: Quiet::Usual,
                newest: Time::ZERO,
                is_blind: false,
            });
        }
        self.index.insert(id.clone(), ix);
        ix
    }

    /// Notes the newest event time of a source's samples.
    pub fn on_sample(&mut self, source: SourceIx, at: Time) {
        let source = &mut self.sources[source.0 as usize];
        source.newest = source.newest.max(at);
    }

    /// A scrape's own verdict.
    pub fn on_up(&mut self, series: SeriesIx, at: Time, is_up: bool) -> Option<Silence> {
        if is_up {
            self.answered.insert(series);
            let (_, scrapes) = self.down.remove(&series)?;
            return (scrapes >= DOWN_SCRAPES).then_some(Silence::Up(series, at));
        }
        let has_answered = self.answered.contains(&series);
        let (since, scrapes) = self.down.entry(series).or_insert((at, 0));
        *scrapes = scrapes.saturating_add(1);
        match *scrapes {
            DOWN_SCRAPES.. if has_answered => Some(Silence::Down(series, *since)),
            NEVER_SCRAPES.. => Some(Silence::Never(series, *since)),
            _ => None,
        }
    }

    /// A series that was silent has a point again.
    pub fn on_woken(
        &mut self,
        series: SeriesIx,
        row: &SeriesRow,
        at: Time,
        speakers: &mut Speakers,
    ) -> Option<Silence> {
        let entity = row.entity;
        let silent = self.silent.get_mut(&entity)?;
        if silent.remove(&series) {
            speakers.woke(row.source(), entity);
        }
        if silent.is_empty() {
            self.silent.remove(&entity);
        }
        if self.drop_lapse(series, entity) {
            return Some(Silence::Resumed(entity, at));
        }
        self.gone.remove(&entity)?;
        Some(Silence::Back(entity, at))
    }

    /// The engine itself was not there for a while: nobody was silent, nobody was heard.
    pub fn resume(&mut self, now: Time) {
        self.resumed = now;
        for source in &mut self.sources {
            (source.began, source.last) = (now, now);
            source.lines.resume(now);
        }
    }

    /// Follows a clock that was set back: nobody was silent, nobody was heard.
    pub fn set_back(&mut self, back: SetBack) {
        self.resume(back.to);
        for source in &mut self.sources {
            back.past(&mut source.newest);
            back.past(&mut source.heard);
        }
        for since in self.gone.values_mut() {
            back.past(since);
        }
        for (since, _) in self.down.values_mut() {
            back.past(since);
        }
    }

    /// The passing of time: looks at a part of the series, and at every source.
    pub fn tick(
        &mut self,
        intake: &mut Intake,
        speakers: &mut Speakers,
        now: Time,
    ) -> Vec<Silence> {
        let mut news = Vec::new();
        for (ix, source) in self.sources.iter_mut().enumerate() {
            let patience_ms = (source.gap_ms * BLIND_GAPS).max(BLIND_MS_MIN);
            let is_late = now.since(source.last) > patience_ms;
            if is_late && source.deliveries >= SOURCE_WARM_UP && !source.is_blind {
                source.is_blind = true;
                news.push(Silence::Blind(SourceIx(ix as u16), source.last));
            }
            news.extend(source.listen(SourceIx(ix as u16), now));
        }
        let total = intake.places();
        let part = total.div_ceil(SERIES_PARTS);
        let from = self.next_part * part;
        self.next_part = (self.next_part + 1) % SERIES_PARTS;
        for at in from..(from + part).min(total) {
            news.extend(self.look_at(SeriesIx(at as u32), intake, speakers));
        }
        news
    }

    fn look_at(
        &mut self,
        ix: SeriesIx,
        intake: &mut Intake,
        speakers: &mut Speakers,
    ) -> Option<Silence> {
        let row = intake.row(ix);
        let source_ix = row.source();
        let source = &self.sources[source_ix.0 as usize];
        let is_waited_for = row.is_judged() && (1..=INTERVAL_MS_MAX).contains(&row.interval_ms);
        if !is_waited_for || source.is_blind {
            return None;
        }
        let patience_ms = (i64::from(row.interval_ms) * SILENT_INTERVALS).max(SILENT_MS_MIN);
        if !row.is_silent && source.newest.since(row.heard_at().max(self.resumed)) <= patience_ms {
            return None;
        }
        let (entity, last_at, newest) = (row.entity, row.heard_at(), source.newest);
        intake.row_mut(ix).is_silent = true;
        let silent = self.silent.entry(entity).or_default();
        if silent.insert(ix) {
            speakers.fell_silent(source_ix, entity);
        }
        if self.gone.contains_key(&entity) {
            return None;
        }
        // From the youngest on: of an entity with many series that are over, those speak if any does.
        let mut youngest_first = intake.of_entity(entity).iter().rev();
        if youngest_first.any(|ix| intake.row(*ix).is_judged() && !silent.contains(ix)) {
            return self.look_at_lapse(ix, intake, newest);
        }
        // Two that stop together are no chance. One alone may be of a kind that comes and goes.
        if silent.len() < 2 && !is_missed(intake.row(ix), newest) {
            return None;
        }
        self.lapsed.remove(&entity);
        self.gone.insert(entity, last_at);
        Some(Silence::Gone(entity, last_at))
    }

    /// A series is silent while others of its entity are not, its source having told something at `newest`.
    fn look_at_lapse(&mut self, ix: SeriesIx, intake: &Intake, newest: Time) -> Option<Silence> {
        let row = intake.row(ix);
        let entity = row.entity;
        if newest.since(row.heard_at()) > HOLD_MS_MAX {
            return self
                .drop_lapse(ix, entity)
                .then_some(Silence::Forgone(entity));
        }
        let from = row.missed_from().filter(|from| *from <= newest)?;
        let told = self.lapsed.get(&entity);
        let is_told = told.is_some_and(|told| told.contains(&ix));
        // Of a target that is down that is told, and not what of it.
        let is_down = || !self.down.is_empty() && self.is_down(entity, intake);
        if is_told || is_down() || !intake.is_outlived(ix, from) {
            return None;
        }
        self.lapsed.entry(entity).or_default().insert(ix);
        Some(Silence::Lapsed(entity))
    }

    /// Series of an entity that stopped while others of it go on.
    pub fn lapsed(&self, entity: EntityIx) -> impl Iterator<Item = SeriesIx> {
        self.lapsed.get(&entity).into_iter().flatten().copied()
    }

    /// A series is missed no more; whether it was the last of its entity that was.
    pub fn drop_lapse(&mut self, series: SeriesIx, entity: EntityIx) -> bool {
        let Some(lapsed) = self.lapsed.get_mut(&entity) else {
            return false;
        };
        lapsed.remove(&series);
        let is_last = lapsed.is_empty();
        if is_last {
            self.lapsed.remove(&entity);
        }
        is_last
    }

    /// Whether a series of an entity is known to be silent.
    pub fn is_silent(&self, series: SeriesIx, entity: EntityIx) -> bool {
        let silent = self.silent.get(&entity);
        silent.is_some_and(|silent| silent.contains(&series))
    }

    /// Every series that is silent.
    pub fn silent(&self) -> impl Iterator<Item = &SeriesIx> {
        self.silent.values().flatten()
    }

    /// Forgets a series that is silent for good; whether its entity counted as gone.
    pub fn forget(&mut self, series: SeriesIx, entity: EntityIx) -> bool {
        self.answered.remove(&series);
        self.down.remove(&series);
        if let Some(silent) = self.silent.get_mut(&entity) {
            silent.remove(&series);
            if silent.is_empty() {
                self.silent.remove(&entity);
                return self.gone.remove(&entity).is_some();
            }
        }
        self.gone.contains_key(&entity)
    }

    /// Forgets series whose places were given to others while a checkpoint was taken.
    pub fn mend(&mut self, intake: &Intake) {
        let is_live = |ix: &SeriesIx| (ix.0 as usize) < intake.places();
        self.answered.retain(is_live);
        self.down.retain(|ix, _| is_live(ix));
        self.silent.retain(|entity, series| {
            let is_its = |ix: &SeriesIx| is_live(ix) && intake.row(*ix).entity == *entity;
            series.retain(|ix| is_its(ix) && intake.row(*ix).is_silent);
            !series.is_empty()
        });
    }

    /// Entities that report nothing any more, each with the time of its last point.
    pub fn gone(&self) -> impl Iterator<Item = (EntityIx, Time)> {
        self.gone.iter().map(|(entity, since)| (*entity, *since))
    }

    /// Whether everything an entity reported stopped.
    pub fn is_gone(&self, entity: EntityIx) -> bool {
        self.gone.contains_key(&entity)
    }

    /// Whether a source is blind as a whole.
    pub fn is_blind(&self, source: SourceIx) -> bool {
        self.sources[source.0 as usize].is_blind
    }

    /// Newest event time of a source's samples, no later than they came.
    pub fn newest(&self, source: SourceIx) -> Time {
        self.sources[source.0 as usize].newest
    }

    /// Names of all sources.
    pub fn sources(&self) -> impl Iterator<Item = &SourceId> {
        self.sources.iter().map(|source| &source.id)
    }

    /// When anything last came of a source.
    pub fn heard(&self, source: SourceIx) -> Time {
        self.sources[source.0 as usize].heard
    }

    /// Sources that measure, spoke regularly until some moment between `from` and `to`, and have missed a few of
    /// their usual deliveries since.
    pub fn fell_silent_between(
        &self,
        from: Time,
        to: Time,
        now: Time,
    ) -> impl Iterator<Item = SourceIx> {
        let fell = move |source: &SourceState| {
            let silent_ms = now.since(source.heard.max(self.resumed));
            source.deliveries >= SOURCE_WARM_UP
                && (from..to).contains(&source.heard)
                && silent_ms > source.gap_ms.max(DELIVERY_MS) * MISSED_GAPS
        };
        let all = self.sources.iter().enumerate();
        all.filter(move |(_, source)| fell(source))
            .map(|(ix, _)| SourceIx(ix as u16))
    }

    /// When the engine itself last came back from a pause.
    pub fn resumed(&self) -> Time {
        self.resumed
    }

    /// Whether it keeps this source.
    pub fn knows(&self, source: SourceIx) -> bool {
        usize::from(source.0) < self.sources.len()
    }

    /// The entities it refers to.
    pub fn entities(&self) -> impl Iterator<Item = EntityIx> {
        self.silent.keys().copied()
    }

    /// Name of a source.
    pub fn source(&self, ix: SourceIx) -> &SourceId {
        &self.sources[ix.0 as usize].id
    }

    /// Sources that are blind now.
    pub fn blind(&self) -> impl Iterator<Item = (&SourceId, Time)> {
        self.sources
            .iter()
            .filter(|source| source.is_blind)
            .map(|source| (&source.id, source.last_heard()))
    }

    /// Whether a target of an entity answered once and does not any more.
    pub fn is_down(&self, entity: EntityIx, intake: &Intake) -> bool {
        let series = intake.of_entity(entity).iter();
        let mut down =
            series.filter_map(|ix| self.down.get(ix).filter(|_| self.answered.contains(ix)));
        down.any(|(_, scrapes)| *scrapes >= DOWN_SCRAPES)
    }

    /// Whether an entity stopped reporting, or a target of it is down, and since when.
    pub fn lost_since(&self, entity: EntityIx, intake: &Intake) -> Option<Time> {
        let down = intake
            .of_entity(entity)
            .iter()
            .filter(|ix| self.answered.contains(ix))
            .filter_map(|ix| self.down.get(ix))
            .filter(|(_, scrapes)| *scrapes >= DOWN_SCRAPES)
            .map(|(since, _)| *since)
            .min();
        let gone = || {
            self.gone.contains_key(&entity).then(|| {
                intake
                    .of_entity(entity)
                    .iter()
                    .map(|ix| intake.row(*ix).last_at)
                    .max()
                    .unwrap_or(Time::ZERO)
            })
        };
        down.or_else(gone)
    }
}

/// Whether a series that always came is missed by `newest`, and did not end by its sender's word.
fn is_missed(row: &SeriesRow, newest: Time) -> bool {
    !row.is_ended() && row.missed_from().is_some_and(|from| from <= newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: Brings = Brings {
        measurements: true,
        lines: false,
    };

    /// How often a source counts as blind that sends so many batches at once, so often, for an hour; then it stops
    /// for as long as a blind one is told after.
    fn blind(batches: i64, every_s: i64) -> (usize, usize) {
        let (mut watch, mut intake) = (SilenceWatch::default(), Intake::default());
        let mut speakers = Speakers::default();
        let id = SourceId::new("scrape metrics");
        let start_s = 1_768_392_000;
        let until_s = start_s + 3_600;
        let mut told = [0, 0];
        for s in start_s..until_s + 15 * every_s.max(60) {
            let now = Time::from_secs(s);
            if s < until_s && (s - start_s) % every_s == 0 {
                for n in 0..batches {
                    // Decoded and judged one after the other.
                    watch.on_batch(&id, MEASURES, now.plus_ms(n * 3));
                }
            }
            let blind = watch.tick(&mut intake, &mut speakers, now.plus_ms(900));
            let blind = blind.len();
            told[usize::from(s >= until_s)] += blind;
        }
        (told[0], told[1])
    }

    #[test]
    fn a_delivery_in_many_parts_is_one_and_its_source_is_missed_once_it_stops() {
        for (batches, every_s) in [
            (1, 1),
            (1, 15),
            (60, 15),
            (1, 90),
            (2, 90),
            (60, 90),
            (250, 90),
        ] {
            assert_eq!(
                blind(batches, every_s),
                (0, 1),
                "{batches} every {every_s} s"
            );
        }
    }

    /// What is told of a source that brings lines so often for so many hours, and then for so many minutes nothing.
    fn told_of_lines(hours: i64, every_s: i64, minutes: i64) -> Vec<Quiet> {
        let (mut watch, mut intake) = (SilenceWatch::default(), Intake::default());
        let mut speakers = Speakers::default();
        let id = SourceId::new("syslog");
        let brings = Brings {
            measurements: false,
            lines: true,
        };
        let start_s = 1_768_392_000;
        let until_s = start_s + hours * 3_600;
        let mut told = Vec::new();
        for s in start_s..=until_s + minutes * 60 {
            let now = Time::from_secs(s);
            if s < until_s && (s - start_s) % every_s == 0 {
                assert_eq!(watch.on_batch(&id, brings, now).1, None);
            }
            for silence in watch.tick(&mut intake, &mut speakers, now) {
                match silence {
                    Silence::Quiet(_, _, quiet, _) => told.push(quiet),
                    other => panic!("{other:?}"),
                }
            }
        }
        let now = Time::from_secs(until_s + minutes * 60 + 1);
        let seeing = watch.on_batch(&id, brings, now).1;
        assert_eq!(seeing.is_some(), !told.is_empty(), "it is over");
        assert_eq!(watch.blind().count(), 0);
        told
    }

    #[test]
    fn lines_that_stop_are_told_once_and_page_only_of_a_source_that_always_spoke() {
        let cases: [(i64, i64, i64, &[Quiet]); 5] = [
            (2, 10, 9, &[]),
            (2, 10, 120, &[Quiet::Unusual]),
            (2, 1_200, 30, &[]),
            (25, 60, 120, &[Quiet::Unusual, Quiet::Blind]),
            (25, 900, 600, &[Quiet::Unusual]),
        ];
        for (hours, every_s, minutes, expected) in cases {
            let told = told_of_lines(hours, every_s, minutes);
            assert_eq!(told, expected, "{hours} h, each {every_s} s, {minutes} min");
        }
    }
}
