//! Samples in, values to judge out: which series, which entity, in order, once, as gauges.
//!
//! The hot path is one hash lookup by series id and then arena access. Counters become rates
//! (a reset starts over), deltas become rates, `_sum` and `_count` become a mean, a `_bucket` says how
//! much it grew. Whatever is refused is counted by reason.

mod derive;
mod heard;
mod steady;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use derive::{Derive, derive_of, increase, is_verdict, unit_after};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use steady::Steady;

use super::entities::{self, Entities, EntityIx};
use super::history::{History, Pages, Point, SavedHistory};
use super::judge::Judge;
use super::refusals::{Corrected, Refusals, Refused};
use super::roles;
use super::set_back::SetBack;
use super::speakers::{Speakers, Whose};
use super::topology::Topology;
use crate::model::{
    Band, EntityId, EntityKind, Labels, MetricRole, Provenance, Sample, Series, SeriesId,
    SeriesKind, Signal, Time, Unit,
};

/// Position of a series in the arena; that of a retired series is given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesIx(pub u32);

/// Position of a source in the engine's list of sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceIx(pub u16);

/// A `_sum` series' view of its `_count`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Pair {
    sum_at: Time,
    sum_increase: f64,
    count_at: Time,
    count_increase: f64,
}

/// One series with everything kept about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeriesRow {
    /// Name, labels and kind, shared with the source.
    pub series: Arc<Series>,
    /// The entity it is about.
    pub entity: EntityIx,
    /// What it says of its entity.
    pub role: MetricRole,
    /// Unit of the judged values.
    pub unit: Unit,
    /// How it behaves.
    pub judge: Judge,
    /// Its recent past; of a checkpoint, it is beside the row.
    #[serde(skip)]
    history: History,
    /// Event time of its last point.
    pub last_at: Time,
    /// How old that was when it came, by the engine's clock, in milliseconds; negative when it was ahead of it.
    lag_ms: i32,
    /// Usual distance between points, in milliseconds; 0 until two were seen.
    pub interval_ms: u32,
    /// Usual time from one delivery of its points to the next, in milliseconds; 0 until two came.
    delivery_ms: u32,
    /// Whether a stale marker ended it, or it is silent.
    pub is_silent: bool,
    steady: Steady,
    source: SourceIx,
    derive: Derive,
    /// Last raw value, for rates.
    raw: f64,
    /// For `_count`: the row of its `_sum`.
    sum_row: Option<SeriesIx>,
}

/// All series.
#[derive(Debug, Default)]
pub struct Intake {
    index: FxHashMap<u64, SeriesIx>,
    rows: Vec<SeriesRow>,
    /// What the rows' histories are written in.
    pages: Pages,
    of_entity: BTreeMap<EntityIx, Vec<SeriesIx>>,
    pairs: BTreeMap<SeriesIx, Pair>,
    /// Places of retired series; the lowest is taken first.
    free: BTreeSet<SeriesIx>,
    /// How many series each source brought.
    of_source: BTreeMap<SourceIx, usize>,
}

/// The rows of a checkpoint while it is read: nothing is found in them before [`Intake::restored`] has them.
#[derive(Debug, Default)]
pub struct SavedSeries {
    rows: Vec<SeriesRow>,
    pages: Pages,
}

/// What intake may touch beside its own tables.
pub struct Catalogue<'a> {
    /// The entities.
    pub entities: &'a mut Entities,
    /// The dependencies.
    pub topology: &'a mut Topology,
    /// The counts.
    pub refusals: &'a mut Refusals,
    /// The same, of each entity.
    pub speakers: &'a mut Speakers,
    /// The engine's clock.
    pub now: Time,
}

/// Bounds on what is taken.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Series with a detector.
    pub series_max: usize,
    /// Those of them that one source may bring.
    pub of_one_source: usize,
    /// Distance from the engine's clock, either way, in milliseconds.
    pub skew_ms_max: i64,
}

/// What a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// A measurement.
    Value,
    /// A scrape's own verdict.
    Up,
    /// What a bucket of a histogram, and all below it, grew by.
    Bucket,
}

/// A value to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Of which series.
    pub series: SeriesIx,
    /// Event time.
    pub at: Time,
    /// The value, in the row's unit.
    pub value: f64,
    /// What it is.
    pub what: Measured,
    /// Time since the point before, in milliseconds.
    pub step_ms: u32,
}

/// At most two values come of one sample: a rate, and the mean its `_sum` waited for.
pub type Readings = [Option<Reading>; 2];

/// What came of one sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// Readings to judge.
    pub values: Readings,
    /// The sample was neither refused nor a marker: its source speaks.
    pub counts: bool,
    /// The series was silent and is not any more.
    pub woken: Option<SeriesIx>,
}

impl Catalogue<'_> {
    /// Counts a sample of a source that is not taken.
    fn refuse(&mut self, reason: Refused, source: SourceIx, whose: Whose) {
        self.refusals.add(reason);
        self.speakers.refuse(reason, source, whose, self.now);
    }
}

impl SavedSeries {
    /// Adds a row that [`Intake::saved_rows`] gave, and its history.
    pub fn add(&mut self, mut row: SeriesRow, history: &SavedHistory) {
        row.history = History::restored(history, &mut self.pages);
        self.rows.push(row);
    }

    /// The rows so far.
    pub fn rows(&self) -> &[SeriesRow] {
        &self.rows
    }
}

impl Intake {
    /// Reads what the next samples need. A series is twenty cache lines, which nothing else has asked for since its
    /// last sample: one after the other each would be waited for, here those of many series come at once.
    pub fn touch(&self, signals: &[Signal]) {
        for signal in signals {
            if let Signal::Sample(sample) = signal
                && let Some(ix) = self.index.get(&sample.series.id.0)
            {
                let row = self.row(*ix);
                let read = row.judge.touch() ^ row.history.touch(&self.pages) ^ row.interval_ms;
                std::hint::black_box(read);
            }
        }
    }

    /// Takes one sample from `source`, received at the catalogue's `now`.
    pub fn take(
        &mut self,
        sample: &Sample,
        source: SourceIx,
        limits: Limits,
        catalogue: &mut Catalogue<'_>,
    ) -> Taken {
        const NOTHING: Taken = Taken {
            values: [None, None],
            counts: false,
            woken: None,
        };
        let now = catalogue.now;
        if now.since(sample.at).abs() > limits.skew_ms_max {
            let whose = self.whose(&sample.series, catalogue.entities);
            catalogue.refuse(Refused::Skew, source, whose);
            return NOTHING;
        }
        let ix = match self.index.get(&sample.series.id.0) {
            Some(ix) => *ix,
            None => match self.register(&sample.series, source, limits, catalogue) {
                Some(ix) => ix,
                None => return NOTHING,
            },
        };
        let row = &mut self.rows[ix.0 as usize];
        row.share(&sample.series);
        if row.was_ahead(sample.at) {
            // One sender's clock was wrong and is right again: only its own series go back.
            row.set_back(SetBack {
                from: row.last_at,
                to: sample.at,
            });
            catalogue.refusals.correct(Corrected::SenderClock);
        }
        let step_ms = sample.at.since(row.last_at);
        if step_ms <= 0 {
            let reason = if step_ms == 0 {
                Refused::Duplicate
            } else {
                Refused::Late
            };
            catalogue.refuse(reason, source, Whose::Known(row.entity));
            return NOTHING;
        }
        if !sample.value.is_finite() {
            if sample.value.is_nan() {
                row.is_silent = true;
                row.steady.end();
            } else {
                catalogue.refuse(Refused::NotFinite, source, Whose::Known(row.entity));
            }
            return NOTHING;
        }
        let woken = row.is_silent.then_some(ix);
        row.hear(sample.at, step_ms, now);
        Taken {
            values: self.derive(ix, sample.at, sample.value, step_ms),
            counts: true,
            woken,
        }
    }

    fn derive(&mut self, ix: SeriesIx, at: Time, raw: f64, step_ms: i64) -> Readings {
        let row = &mut self.rows[ix.0 as usize];
        let is_first = row.raw.is_nan();
        let before = std::mem::replace(&mut row.raw, raw);
        let reading = |value, what| {
            Some(Reading {
                series: ix,
                at,
                value,
                what,
                step_ms: u32::try_from(step_ms).unwrap_or(u32::MAX),
            })
        };
        match row.derive {
            Derive::Gauge => [reading(raw, Measured::Value), None],
            Derive::Up if is_verdict(raw) => [reading(raw, Measured::Up), None],
            Derive::Up => {
                row.derive = Derive::Gauge;
                [reading(raw, Measured::Value), None]
            }
            Derive::Held | Derive::Retired => [None, None],
            // What a bucket grew by needs no value before it.
            Derive::Bucket if row.series.kind == SeriesKind::Delta => {
                [reading(raw, Measured::Bucket), None]
            }
            _ if is_first => [None, None],
            Derive::Bucket => [reading(increase(before, raw), Measured::Bucket), None],
            Derive::PerSecond => {
                let rate = raw * 1_000.0 / step_ms as f64;
                [reading(rate, Measured::Value), None]
            }
            Derive::Rate => {
                let increase = increase(before, raw);
                let rate = reading(increase * 1_000.0 / step_ms as f64, Measured::Value);
                let mean = row.sum_row.and_then(|sum| {
                    self.mean(sum, at, |pair| {
                        pair.count_at = at;
                        pair.count_increase = increase;
                    })
                });
                [rate, mean]
            }
            Derive::Mean => {
                let increase = increase(before, raw);
                [
                    None,
                    self.mean(ix, at, |pair| {
                        pair.sum_at = at;
                        pair.sum_increase = increase;
                    }),
                ]
            }
        }
    }

    /// The mean, once both halves of a pair have a point at `at`.
    fn mean(&mut self, sum: SeriesIx, at: Time, note: impl FnOnce(&mut Pair)) -> Option<Reading> {
        let pair = self.pairs.get_mut(&sum)?;
        note(pair);
        let is_whole = pair.sum_at == pair.count_at && pair.count_increase > 0.0;
        is_whole.then(|| Reading {
            series: sum,
            at,
            value: pair.sum_increase / pair.count_increase,
            what: Measured::Value,
            step_ms: 0,
        })
    }

    fn register(
        &mut self,
        series: &Arc<Series>,
        source: SourceIx,
        limits: Limits,
        catalogue: &mut Catalogue<'_>,
    ) -> Option<SeriesIx> {
        if let Some(reason) = self.no_room(source, limits) {
            catalogue.refusals.add_series(reason, source, &series.name);
            let whose = self.whose(series, catalogue.entities);
            let now = catalogue.now;
            catalogue.speakers.refuse(reason, source, whose, now);
            return None;
        }
        let resolved = resolve(series);
        let entity = catalogue.entities.intern(&resolved.entity);
        // Callers may have named it before it spoke for itself.
        let outside = EntityId::new(EntityKind::External, resolved.entity.name());
        if let Some(alias) = catalogue.entities.find(&outside).filter(|ix| *ix != entity) {
            catalogue.topology.forget(alias);
        }
        let derive = derive_of(series);
        if !matches!(derive, Derive::Held | Derive::Bucket) {
            catalogue.entities.add_series(entity, &series.labels);
            catalogue.speakers.add_series(source, entity);
        }
        if let Some(host) = &resolved.host {
            let host = catalogue.entities.intern(host);
            catalogue
                .topology
                .see(entity, host, Provenance::Inferred, Time::ZERO);
        }
        let row = SeriesRow {
            role: roles::role_of(series),
            unit: unit_after(series, derive),
            series: Arc::clone(series),
            entity,
            judge: Judge::default(),
            history: History::default(),
            last_at: Time::from_ms(i64::MIN),
            lag_ms: 0,
            interval_ms: 0,
            delivery_ms: 0,
            is_silent: false,
            steady: Steady::default(),
            source,
            derive,
            raw: f64::NAN,
            sum_row: None,
        };
        let ix = if let Some(ix) = self.free.pop_first() {
            self.rows[ix.0 as usize] = row;
            ix
        } else {
            self.rows.push(row);
            SeriesIx(self.rows.len() as u32 - 1)
        };
        self.index.insert(series.id.0, ix);
        self.of_entity.entry(entity).or_default().push(ix);
        *self.of_source.entry(source).or_default() += 1;
        self.pair_up(ix);
        Some(ix)
    }

    /// Whose a series is, whether or not it is held.
    fn whose(&self, series: &Series, entities: &Entities) -> Whose {
        match self.index.get(&series.id.0) {
            Some(ix) => Whose::Known(self.row(*ix).entity),
            None => Whose::of(resolve(series).entity, entities),
        }
    }

    /// Why one more series of a source finds no place, if it does not.
    fn no_room(&self, source: SourceIx, limits: Limits) -> Option<Refused> {
        if self.len() >= limits.series_max {
            return Some(Refused::SeriesMax);
        }
        let is_full = self.len_of(source) >= limits.of_one_source;
        is_full.then_some(Refused::SourceSeriesMax)
    }

    /// Finds the other half of a `_sum` or `_count`, whichever came first.
    fn pair_up(&mut self, ix: SeriesIx) {
        let row = &self.rows[ix.0 as usize];
        let partner = |from: &str, to: &str| -> Option<SeriesIx> {
            let name = format!("{}{to}", row.series.name.strip_suffix(from)?);
            let id = Series::new(
                &name,
                row.series.labels.clone(),
                row.series.kind,
                Unit::None,
            )
            .id;
            self.index.get(&id.0).copied()
        };
        let (sum, count) = match row.derive {
            Derive::Mean => (Some(ix), partner("_sum", "_count")),
            Derive::Rate => (partner("_count", "_sum"), Some(ix)),
            _ => return,
        };
        if let (Some(sum), Some(count)) = (sum, count) {
            self.rows[count.0 as usize].sum_row = Some(sum);
            self.pairs.insert(sum, Pair::default());
        }
    }

    /// Points of a time that never was must not make those of now look late.
    pub fn set_back(&mut self, back: SetBack) {
        for row in &mut self.rows {
            if row.last_at > back.to {
                row.set_back(back);
            }
            row.unhear(back);
        }
    }

    /// Frees the place of a series that fell silent for good.
    pub fn retire(&mut self, ix: SeriesIx) {
        let row = &mut self.rows[ix.0 as usize];
        row.derive = Derive::Retired;
        row.judge = Judge::default();
        row.history.clear(&mut self.pages);
        row.sum_row = None;
        let entity = row.entity;
        if let Some(count) = self.of_source.get_mut(&row.source) {
            *count -= 1;
        }
        self.index.remove(&row.series.id.0);
        self.pairs.remove(&ix);
        if let Some(of) = self.of_entity.get_mut(&entity) {
            of.retain(|held| *held != ix);
            for held in of.iter() {
                let row = &mut self.rows[held.0 as usize];
                row.sum_row.take_if(|sum| *sum == ix);
            }
            if of.is_empty() {
                self.of_entity.remove(&entity);
            }
        }
        self.free.insert(ix);
    }

    /// At most `max` rows from position `from` on, for a checkpoint.
    pub fn saved_rows(&self, from: usize, max: usize) -> Vec<(&SeriesRow, SavedHistory)> {
        let rows = self.rows.iter().skip(from).take(max);
        rows.map(|row| (row, row.history.saved(&self.pages)))
            .collect()
    }

    /// The pairs of `_sum` and `_count` among the first `series` rows, for a checkpoint.
    pub fn saved_pairs(&self, series: usize) -> Vec<(SeriesIx, Pair)> {
        let kept = SeriesIx(series as u32);
        let pairs = self.pairs.range(..kept);
        pairs.map(|(sum, pair)| (*sum, *pair)).collect()
    }

    /// Finds everything anew of the rows of a checkpoint and what [`Self::saved_pairs`] gave.
    pub fn restored(saved: SavedSeries, pairs: Vec<(SeriesIx, Pair)>) -> Self {
        let mut intake = Self {
            rows: saved.rows,
            pages: saved.pages,
            ..Self::default()
        };
        let len = intake.rows.len();
        for (at, row) in intake.rows.iter_mut().enumerate() {
            let ix = SeriesIx(at as u32);
            if row.derive == Derive::Retired {
                intake.free.insert(ix);
                continue;
            }
            // Its other half may have come after the checkpoint had passed it.
            row.sum_row = row.sum_row.filter(|sum| (sum.0 as usize) < len);
            intake.index.insert(row.series.id.0, ix);
            intake.of_entity.entry(row.entity).or_default().push(ix);
            *intake.of_source.entry(row.source).or_default() += 1;
        }
        // Its place may have been given to another before the checkpoint came to the pairs.
        let known = |(sum, _): &(SeriesIx, Pair)| {
            let row = intake.rows.get(sum.0 as usize);
            row.is_some_and(|row| row.derive == Derive::Mean)
        };
        intake.pairs = pairs.into_iter().filter(known).collect();
        intake
    }

    /// Keeps a value for charts and diagnosis, with what was expected and the evidence it ended.
    pub fn note(&mut self, reading: &Reading, expected: Band, evidence: f32) {
        let history = &mut self.rows[reading.series.0 as usize].history;
        history.push(
            reading.at,
            reading.value,
            expected,
            evidence,
            &mut self.pages,
        );
    }

    /// The recent past of a series, oldest first.
    pub fn points(&self, row: &SeriesRow) -> Vec<Point> {
        row.history.points(&self.pages)
    }

    /// Since when [`Self::points`] has every point of a series, and not only means.
    pub fn fine_since(&self, row: &SeriesRow) -> Option<Time> {
        row.history.fine_since(&self.pages)
    }

    /// Every series, by place.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesIx, &SeriesRow)> {
        let at = |(at, row)| (SeriesIx(at as u32), row);
        let is_live = |(_, row): &(SeriesIx, &SeriesRow)| row.derive != Derive::Retired;
        self.rows.iter().enumerate().map(at).filter(is_live)
    }

    /// Labels of a series, if it is held.
    pub fn labels(&self, id: SeriesId) -> Option<&Labels> {
        Some(&self.row(*self.index.get(&id.0)?).series.labels)
    }

    /// The latest value of the gauge called `name` with the same labels as `beside`.
    pub fn latest_beside(&self, name: &str, beside: &Series) -> Option<f64> {
        let series = Series::new(name, beside.labels.clone(), SeriesKind::Gauge, Unit::None);
        let row = self.row(*self.index.get(&series.id.0)?);
        let is_told = row.series.kind == SeriesKind::Gauge && row.raw.is_finite();
        is_told.then_some(row.raw)
    }

    /// One series.
    pub fn row(&self, ix: SeriesIx) -> &SeriesRow {
        &self.rows[ix.0 as usize]
    }

    /// One series, to change.
    pub fn row_mut(&mut self, ix: SeriesIx) -> &mut SeriesRow {
        &mut self.rows[ix.0 as usize]
    }

    /// The series about an entity, oldest first.
    pub fn of_entity(&self, entity: EntityIx) -> &[SeriesIx] {
        self.of_entity.get(&entity).map_or(&[], Vec::as_slice)
    }

    /// How many series are known.
    pub fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// How many of them a source brought.
    pub fn len_of(&self, source: SourceIx) -> usize {
        self.of_source.get(&source).copied().unwrap_or(0)
    }

    /// How many places there are, free ones included.
    pub fn places(&self) -> usize {
        self.rows.len()
    }
}

impl SeriesRow {
    /// Name and labels read from a checkpoint are this row's alone; those of the source do as well.
    fn share(&mut self, of_source: &Arc<Series>) {
        if !Arc::ptr_eq(&self.series, of_source)
            && Arc::strong_count(&self.series) == 1
            && self.series == *of_source
        {
            self.series = Arc::clone(of_source);
        }
    }

    /// Goes on from `back.to`, without a value to take a rate from.
    fn set_back(&mut self, back: SetBack) {
        self.last_at = Time::from_ms(i64::MIN);
        self.lag_ms = 0;
        self.raw = f64::NAN;
        self.steady.set_back(back);
        self.judge.set_back(back);
        self.history.set_back(back);
    }

    /// The newest value that was kept.
    pub fn latest(&self) -> Option<f32> {
        self.history.latest()
    }

    /// The source that last registered it.
    pub fn source(&self) -> SourceIx {
        self.source
    }

    /// Whether it counts events, so that its values are rates of them.
    pub fn counts(&self) -> bool {
        matches!(self.derive, Derive::Rate | Derive::PerSecond)
    }

    /// Whether each of its points says how much happened since the one before.
    pub fn is_delta(&self) -> bool {
        self.derive == Derive::PerSecond
    }

    /// Whether its values are judged.
    pub fn is_judged(&self) -> bool {
        !matches!(self.derive, Derive::Held | Derive::Bucket | Derive::Retired)
    }

    /// Whether it is a bucket of a histogram.
    pub fn is_bucket(&self) -> bool {
        self.derive == Derive::Bucket
    }
}

/// What the labels of a series speak of.
fn resolve(series: &Series) -> entities::Resolved {
    entities::resolve(&series.labels).unwrap_or_else(|| entities::Resolved {
        entity: EntityId::new(EntityKind::External, "unlabelled"),
        host: None,
    })
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
