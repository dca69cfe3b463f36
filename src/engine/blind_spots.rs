//! Many entities of one source that fall silent together while it tells of others: are they all gone, or do
//! we no longer see them? One collector, one network, one permission looks like that from here.
//!
//! They are one finding and one incident, and alerts about them that only say that nothing is heard are held
//! back behind it. It never covers what something else confirms to be lost: that is told by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::hold::Blindness;
use super::intake::{SeriesRow, SourceIx};
use super::set_back::SetBack;
use crate::model::{Check, Fingerprint, Health, Labels, Time};

/// So many entities must fall silent together …
const ENTITIES_MIN: usize = 5;
/// … and at least one in so many of those that the source tells of.
const PART_MIN: usize = 10;
/// With fewer than this many left the spot is over: the rest is told one by one.
const LEFT_MIN: usize = 3;
/// Their last points lie at most this far apart, in milliseconds.
const TOGETHER_MS: i64 = 3 * 60_000;
/// A spot is told once no more entities joined it for so long, in milliseconds: it is told once.
const SETTLE_MS: i64 = 15_000;
/// Entities named of a spot.
const NAMED_MAX: usize = 3;

/// Spots that are known, and those that may become one.
#[derive(Debug, Default)]
pub(super) struct BlindSpots {
    of: BTreeMap<SourceIx, Spot>,
    gathering: BTreeMap<SourceIx, Gathering>,
}

#[derive(Debug)]
struct Spot {
    /// The earliest last point.
    since: Time,
    entities: BTreeSet<EntityIx>,
}

/// Entities that fell silent together, and may be a spot once no more join them.
#[derive(Debug)]
struct Gathering {
    count: usize,
    /// Since when there are that many.
    since: Time,
    /// Whether so many were found to be too small a part.
    is_small: bool,
}

/// Entities of one source that are silent, each with its last point.
type Silent = BTreeMap<EntityIx, Time>;

impl BlindSpots {
    /// Whether the silence of an entity is told already.
    pub(super) fn covers(&self, entity: EntityIx) -> bool {
        self.of.values().any(|spot| spot.entities.contains(&entity))
    }

    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, back: SetBack) {
        for spot in self.of.values_mut() {
            back.past(&mut spot.since);
        }
        for gathering in self.gathering.values_mut() {
            back.past(&mut gathering.since);
        }
    }
}

impl Engine {
    /// Looks whether entities that are silent fell silent together, and whether those that did still are.
    pub(super) fn find_blind_spots(&mut self) {
        let mut silent = self.silent_by_source();
        let known: Vec<SourceIx> = self.blind_spots.of.keys().copied().collect();
        for source in known {
            let silent = silent.remove(&source).unwrap_or_default();
            self.follow_spot(source, &silent);
        }
        let gathering = &mut self.blind_spots.gathering;
        gathering.retain(|source, _| silent.contains_key(source));
        for (source, silent) in silent {
            self.gather_spot(source, &silent);
        }
    }

    /// Entities of which nothing but their silence is known, by the source that alone told of them.
    fn silent_by_source(&self) -> BTreeMap<SourceIx, Silent> {
        let gone: Silent = self.silence.gone().collect();
        if self.blind_spots.of.is_empty() && gone.len() < ENTITIES_MIN {
            return BTreeMap::new();
        }
        let says_more = |alert: &Fingerprint, labels: &Labels| {
            self.alerts.fires(*alert) && !Blindness::is_about_silence(labels)
        };
        let alerts = self.alerts.iter(None);
        let alerting = alerts.filter(|(alert, state)| {
            gone.contains_key(&state.entity) && says_more(alert, &state.labels)
        });
        let alerting: BTreeSet<EntityIx> = alerting.map(|(_, state)| state.entity).collect();
        let mut silent: BTreeMap<SourceIx, Silent> = BTreeMap::new();
        for (entity, since) in gone {
            let is_lost = alerting.contains(&entity)
                || self.is_told_lost(entity)
                || self.silence.is_down(entity, &self.intake)
                || self.caller_in_trouble(entity, since).is_some();
            if let Some(source) = self.only_teller(entity).filter(|_| !is_lost) {
                silent.entry(source).or_default().insert(entity, since);
            }
        }
        silent
    }

    fn is_told_lost(&self, entity: EntityIx) -> bool {
        let told = self.findings.of_key(Key::Entity(entity, Check::Absence));
        told.is_some_and(|state| state.finding.pages)
    }

    /// The source that tells of an entity, if it is one alone.
    fn only_teller(&self, entity: EntityIx) -> Option<SourceIx> {
        let series = self.intake.of_entity(entity).iter();
        let rows = series.map(|ix| self.intake.row(*ix));
        let mut sources = rows.filter(|row| row.is_judged()).map(SeriesRow::source);
        let first = sources.next()?;
        sources.all(|source| source == first).then_some(first)
    }

    /// How many entities a source tells of. It looks at every series once.
    fn entities_told_by(&self, source: SourceIx) -> usize {
        let rows = self.intake.iter().map(|(_, row)| row);
        let its = rows.filter(|row| row.is_judged() && row.source() == source);
        its.map(|row| row.entity).collect::<BTreeSet<_>>().len()
    }

    /// Entities that fell silent together are told as a spot, if they are enough, once no more join them.
    fn gather_spot(&mut self, source: SourceIx, silent: &Silent) {
        let (since, entities) = together(silent);
        let count = entities.len();
        if count < ENTITIES_MIN || self.silence.is_blind(source) {
            self.blind_spots.gathering.remove(&source);
            return;
        }
        let fresh = Gathering {
            count,
            since: self.now,
            is_small: false,
        };
        match self.blind_spots.gathering.get(&source) {
            Some(before) if before.count == count => {
                if before.is_small || self.now.since(before.since) < SETTLE_MS {
                    return;
                }
            }
            _ => {
                self.blind_spots.gathering.insert(source, fresh);
                return;
            }
        }
        let all = self.entities_told_by(source);
        if count * PART_MIN < all {
            let is_small = true;
            let small = Gathering { is_small, ..fresh };
            self.blind_spots.gathering.insert(source, small);
            return;
        }
        self.blind_spots.gathering.remove(&source);
        self.tell_spot(source, since, &entities, all);
        for entity in &entities {
            self.hold_behind_spot(source, *entity);
        }
        let spot = Spot { since, entities };
        self.blind_spots.of.insert(source, spot);
    }

    /// Entities of a spot are heard again, or turn out to be lost; others that fell silent then join it.
    fn follow_spot(&mut self, source: SourceIx, silent: &Silent) {
        let Some(mut spot) = self.blind_spots.of.remove(&source) else {
            return;
        };
        let is_of_it = |at: Time| at.since(spot.since).abs() <= TOGETHER_MS;
        let silent = silent.iter().filter(|(_, at)| is_of_it(**at));
        let mut left: BTreeSet<EntityIx> = silent.map(|(entity, _)| *entity).collect();
        let is_over = left.len() < LEFT_MIN;
        if is_over {
            left.clear();
        }
        for entity in spot.entities.difference(&left) {
            self.let_go_behind_spot(source, *entity);
        }
        for entity in left.difference(&spot.entities) {
            self.hold_behind_spot(source, *entity);
        }
        if !is_over {
            spot.entities = left;
            self.blind_spots.of.insert(source, spot);
        } else if !self.silence.is_blind(source) {
            self.findings.end(Key::Source(source), self.now);
            let entity = self.source_entity(source);
            self.entities.set_health(entity, Health::Ok);
        }
    }

    fn tell_spot(
        &mut self,
        source: SourceIx,
        since: Time,
        entities: &BTreeSet<EntityIx>,
        all: usize,
    ) {
        let mut names: Vec<&str> = entities
            .iter()
            .map(|ix| self.entities.id(*ix).name())
            .collect();
        names.sort_unstable();
        let more = match names.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        names.truncate(NAMED_MAX);
        let text = format!(
            "we are blind on {} of {all} entities of {}: {}{more} report nothing since {}, and nothing else says that they are lost",
            entities.len(),
            self.silence.source(source).0,
            names.join(", "),
            explain::clock(since)
        );
        self.note_blind(source, since, text);
    }
}

/// The most entities whose last points lie close together, and the first of these points.
fn together(silent: &Silent) -> (Time, BTreeSet<EntityIx>) {
    let mut by_time: Vec<(Time, EntityIx)> = silent.iter().map(|(ix, at)| (*at, *ix)).collect();
    by_time.sort_unstable();
    let mut best = 0..0;
    let mut from = 0;
    for to in 0..by_time.len() {
        while by_time[to].0.since(by_time[from].0) > TOGETHER_MS {
            from += 1;
        }
        if to + 1 - from > best.len() {
            best = from..to + 1;
        }
    }
    let since = by_time.get(best.start).map_or(Time::ZERO, |(at, _)| *at);
    let entities = by_time[best].iter().map(|(_, entity)| *entity);
    (since, entities.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_group_that_fell_silent_together_is_found() {
        let silent = |points: &[i64]| -> Silent {
            let at = |s: &i64| Time::from_secs(1_000_000 + s);
            let points = points.iter().enumerate();
            points.map(|(i, s)| (EntityIx(i as u32), at(s))).collect()
        };
        let cases: [(&[i64], i64, &[u32]); 4] = [
            (&[0, 10, 500, 520, 530], 500, &[2, 3, 4]),
            (&[0, 180, 181], 0, &[0, 1]),
            (&[100, 0, 50], 0, &[0, 1, 2]),
            (&[7], 7, &[0]),
        ];
        for (points, since, expected) in cases {
            let expected: BTreeSet<_> = expected.iter().map(|ix| EntityIx(*ix)).collect();
            let since = Time::from_secs(1_000_000 + since);
            assert_eq!(together(&silent(points)), (since, expected), "{points:?}");
        }
        assert_eq!(together(&Silent::new()), (Time::ZERO, BTreeSet::new()));
    }
}
