//! Quiet is not healthy: scrapes that fail, entities that stop reporting, sources that go blind.
//!
//! A source that is blind makes no entity absent: what cannot be seen is not known to be gone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::deliveries::{Brings, Deliveries, Missed};
use super::detect::HOLD_MS_MAX;
use super::entities::EntityIx;
use super::intake::{Intake, SeriesIx, SeriesRow, SourceIx};
use super::set_back::SetBack;
use super::speakers::Speakers;
use crate::model::{SourceId, Spoke, Time};

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
    /// Of what an entity reports other series than before, more or fewer, are missed while the rest goes on.
    Lapsed(EntityIx),
    /// All of them report again.
    Resumed(EntityIx, Time),
    /// They stopped so long ago that nobody waits for them.
    Forgone(EntityIx),
    /// A source does not deliver what it should.
    Missed(SourceIx, Missed),
    /// What was missed of it is delivered again.
    Delivered(SourceIx, Missed),
}

/// What is left of a lapse when one series of it is missed no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// Others are still missed.
    Lasts,
    /// Nothing is.
    Over,
}

#[derive(Debug, Serialize, Deserialize)]
struct SourceState {
    id: SourceId,
    deliveries: Deliveries,
    /// When its newest sample came.
    newest: Time,
    /// When samples came of it again after a pause of its own: nobody was heard through it before.
    resumed: Time,
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
    /// Notes a batch; says when a source that did not deliver what it should does so again.
    pub fn on_batch(
        &mut self,
        id: &SourceId,
        brings: Brings,
        now: Time,
    ) -> (SourceIx, Option<Silence>) {
        let ix = self.place(id);
        let ended = self.sources[ix.0 as usize].deliveries.hear(brings, now);
        (ix, ended.map(|missed| Silence::Delivered(ix, missed)))
    }

    /// The place of a source, whether or not anything came of it.
    pub fn place(&mut self, id: &SourceId) -> SourceIx {
        match self.index.get(id) {
            Some(ix) => *ix,
            None => self.add_source(id),
        }
    }

    fn add_source(&mut self, id: &SourceId) -> SourceIx {
        // Sources are configured, so there are few; the type bounds them all the same.
        let ix = SourceIx(self.sources.len().min(usize::from(u16::MAX)) as u16);
        if usize::from(ix.0) == self.sources.len() {
            self.sources.push(SourceState {
                id: id.clone(),
                deliveries: Deliveries::default(),
                newest: Time::ZERO,
                resumed: Time::ZERO,
            });
        }
        self.index.insert(id.clone(), ix);
        ix
    }

    /// A sample of a source came.
    pub fn on_sample(&mut self, source: SourceIx, now: Time) {
        let source = &mut self.sources[source.0 as usize];
        if now > source.newest {
            let usual_ms = source.deliveries.gap_ms() * MISSED_GAPS;
            if now.since(source.newest) > usual_ms.max(SILENT_MS_MIN) {
                source.resumed = now;
            }
            source.newest = now;
        }
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
        if let Some(rest) = self.drop_lapse(series, entity) {
            return Some(match rest {
                Lapse::Over => Silence::Resumed(entity, at),
                Lapse::Lasts => Silence::Lapsed(entity),
            });
        }
        self.gone.remove(&entity)?;
        Some(Silence::Back(entity, at))
    }

    /// The engine itself was not there for a while: nobody was silent, nobody was heard.
    pub fn resume(&mut self, now: Time) {
        self.resumed = now;
        for source in &mut self.sources {
            source.deliveries.resume(now);
        }
    }

    /// Follows a clock that was set back: nobody was silent, nobody was heard.
    pub fn set_back(&mut self, back: SetBack) {
        self.resumed = back.to;
        for source in &mut self.sources {
            source.deliveries.set_back(back);
            back.past(&mut source.newest);
            back.past(&mut source.resumed);
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
            let ix = SourceIx(ix as u16);
            let missed = source.deliveries.listen(now);
            news.extend(missed.map(|missed| Silence::Missed(ix, missed)));
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
        let is_waited_for =
            row.is_judged() && row.is_paced() && (1..=INTERVAL_MS_MAX).contains(&row.interval_ms);
        if !is_waited_for || source.deliveries.blind().is_some() {
            return None;
        }
        let patience_ms = (row.usual_pause_ms() * SILENT_INTERVALS).max(SILENT_MS_MIN);
        let from = row.heard_at().max(self.resumed).max(source.resumed);
        if !row.is_silent && source.newest.since(from) <= patience_ms {
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

    /// A series is silent while others of its entity are not, its source having told something as late as `newest`.
    fn look_at_lapse(&mut self, ix: SeriesIx, intake: &Intake, newest: Time) -> Option<Silence> {
        let row = intake.row(ix);
        let entity = row.entity;
        if newest.since(row.heard_at()) > HOLD_MS_MAX {
            return self.drop_lapse(ix, entity).map(|rest| match rest {
                Lapse::Over => Silence::Forgone(entity),
                Lapse::Lasts => Silence::Lapsed(entity),
            });
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

    /// A series is missed no more; what that leaves of its entity's lapse, if it was part of one.
    pub fn drop_lapse(&mut self, series: SeriesIx, entity: EntityIx) -> Option<Lapse> {
        let lapsed = self.lapsed.get_mut(&entity)?;
        if !lapsed.remove(&series) {
            return None;
        }
        if !lapsed.is_empty() {
            return Some(Lapse::Lasts);
        }
        self.lapsed.remove(&entity);
        Some(Lapse::Over)
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
        let deliveries = &self.sources[source.0 as usize].deliveries;
        deliveries.blind().is_some()
    }

    /// When the newest sample of a source came.
    pub fn newest(&self, source: SourceIx) -> Time {
        self.sources[source.0 as usize].newest
    }

    /// Names of all sources.
    pub fn sources(&self) -> impl Iterator<Item = &SourceId> {
        self.sources.iter().map(|source| &source.id)
    }

    /// When anything last came of a source.
    pub fn heard(&self, source: SourceIx) -> Time {
        self.sources[source.0 as usize].deliveries.heard()
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
            let heard = source.deliveries.heard();
            let silent_ms = now.since(heard.max(self.resumed));
            let usual_ms = source.deliveries.usual_gap_ms();
            (from..to).contains(&heard)
                && usual_ms.is_some_and(|usual_ms| silent_ms > usual_ms * MISSED_GAPS)
        };
        let all = self.sources.iter().enumerate();
        all.filter(move |(_, source)| fell(source))
            .map(|(ix, _)| SourceIx(ix as u16))
    }

    /// When the engine itself last came back from a pause.
    pub fn resumed(&self) -> Time {
        self.resumed
    }

    /// How each source spoke that was ever heard.
    pub fn spoke(&self) -> impl Iterator<Item = (&SourceId, Spoke)> {
        let all = self.sources.iter();
        all.filter_map(|source| Some((&source.id, source.deliveries.spoke()?)))
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

    /// Sources that are blind now, and what is missed of them.
    pub fn blind(&self) -> impl Iterator<Item = (&SourceId, &Missed)> {
        let all = self.sources.iter();
        all.filter_map(|source| Some((&source.id, source.deliveries.blind()?)))
    }

    /// Targets of a source that answered once and fail to now, each since when, and how many of it ever answered.
    pub fn failing_of(&self, source: SourceIx, intake: &Intake) -> (Vec<(SeriesIx, Time)>, usize) {
        let its = self.answered.iter();
        let its = its.filter(|ix| intake.row(**ix).source() == source);
        let its: Vec<SeriesIx> = its.copied().collect();
        let failing = its.iter().filter_map(|ix| {
            let (since, _) = self.down.get(ix)?;
            Some((*ix, *since))
        });
        (failing.collect(), its.len())
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
                    .map(|ix| intake.row(*ix).heard_at())
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
