//! Many entities of one source that fall silent together while it tells of others: are they all gone, or do
//! we no longer see them? One collector, one network, one permission looks like that from here.
//!
//! They are one finding and one incident, and alerts about them that only say that nothing is heard are held
//! back behind it. It never covers what something else confirms to be lost, nor what nobody was told of:
//! that is told by itself.

mod targets;

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::absence::{Absent, absent};
use super::entities::EntityIx;
use super::explain;
use super::findings::{Findings, Key};
use super::hold::Blindness;
use super::intake::{SeriesIx, SeriesRow, SourceIx};
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
/// However many still join, it is told after so long, in milliseconds.
const GATHER_MS_MAX: i64 = 2 * 60_000;
/// What was too small a part is looked at again so often, in milliseconds: its source may tell of less.
const SMALL_MS: i64 = 60_000;
/// Entities named of a spot.
const NAMED_MAX: usize = 3;

/// Spots that are known, and those that may become one.
#[derive(Debug, Default)]
pub(super) struct BlindSpots {
    of: BTreeMap<SourceIx, Spot>,
    gathering: BTreeMap<SourceIx, Gathering>,
    /// Targets that stopped answering together, as told.
    targets: BTreeMap<SourceIx, BTreeSet<SeriesIx>>,
}

#[derive(Debug)]
struct Spot {
    /// The earliest last point.
    since: Time,
    entities: BTreeSet<EntityIx>,
}

/// Entities that are silent, and may be a spot once no more fall silent together.
#[derive(Debug)]
struct Gathering {
    silent: Silent,
    /// How many of them fell silent together.
    count: usize,
    /// When that was found, or when so many were found to be too few.
    since: Time,
    /// Since when it is open whether they are a spot.
    began: Time,
    /// Whether so many were found to be too few, or too small a part.
    is_small: bool,
}

/// Entities of one source that are silent, each with its last point.
type Silent = BTreeMap<EntityIx, Time>;

impl BlindSpots {
    /// Whether the silence of an entity is told already, or may be in a moment.
    pub(super) fn covers(&self, entity: EntityIx, findings: &Findings) -> bool {
        let is_told = |source: SourceIx| findings.of_key(Key::Source(source)).is_some();
        let mut spots = self.of.iter();
        let mut gathering = self.gathering.values();
        spots.any(|(source, spot)| spot.entities.contains(&entity) && is_told(*source))
            || gathering.any(|of| !of.is_small && of.silent.contains_key(&entity))
    }

    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, back: SetBack) {
        for spot in self.of.values_mut() {
            back.past(&mut spot.since);
        }
        for gathering in self.gathering.values_mut() {
            back.past(&mut gathering.since);
            back.past(&mut gathering.began);
            gathering.silent.values_mut().for_each(|at| back.past(at));
        }
    }
}

impl Gathering {
    fn new(now: Time) -> Self {
        Self {
            silent: Silent::new(),
            count: 0,
            since: now,
            began: now,
            is_small: false,
        }
    }

    /// Takes who is silent, so many of them together; whether it is time to judge them.
    fn is_due(&mut self, silent: Silent, count: usize, now: Time) -> bool {
        self.silent = silent;
        if self.is_small && count <= self.count {
            self.count = count;
            return now.since(self.since) >= SMALL_MS;
        }
        if self.is_small {
            *self = Self {
                silent: std::mem::take(&mut self.silent),
                ..Self::new(now)
            };
        }
        if count != self.count {
            self.count = count;
            self.since = now;
        }
        now.since(self.since) >= SETTLE_MS || now.since(self.began) >= GATHER_MS_MAX
    }
}

impl Engine {
    /// Looks whether entities that are silent fell silent together, and whether those that did still are.
    pub(super) fn find_blind_spots(&mut self) {
        self.follow_targets();
        let mut silent = self.silent_by_source();
        let known: Vec<SourceIx> = self.blind_spots.of.keys().copied().collect();
        for source in known {
            let silent = silent.remove(&source).unwrap_or_default();
            self.follow_spot(source, &silent);
        }
        let gathering = &mut self.blind_spots.gathering;
        gathering.retain(|source, _| silent.contains_key(source));
        for (source, silent) in silent {
            self.gather_spot(source, silent);
        }
    }

    /// Entities of which nothing but their silence is known, by the source that alone told of them.
    fn silent_by_source(&self) -> BTreeMap<SourceIx, Silent> {
        let gone: Silent = self.silence.gone().collect();
        if gone.is_empty() {
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
    fn gather_spot(&mut self, source: SourceIx, silent: Silent) {
        let gathering = &mut self.blind_spots.gathering;
        if self.silence.is_blind(source) {
            gathering.remove(&source);
            return;
        }
        let now = self.now;
        let (since, entities) = together(&silent);
        let count = entities.len();
        let gathered = gathering
            .entry(source)
            .or_insert_with(|| Gathering::new(now));
        if !gathered.is_due(silent, count, now) {
            return;
        }
        let all = (count >= ENTITIES_MIN).then(|| self.entities_told_by(source));
        let Some(all) = all.filter(|all| count * PART_MIN >= *all) else {
            if let Some(gathered) = self.blind_spots.gathering.get_mut(&source) {
                gathered.is_small = true;
                gathered.since = now;
            }
            return;
        };
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

    /// A source that was blind as a whole sees again, and nothing is told of it any more: entities that are
    /// still silent gather anew.
    pub(super) fn forget_spot(&mut self, source: SourceIx) {
        let spot = self.blind_spots.of.remove(&source);
        for entity in spot.into_iter().flat_map(|spot| spot.entities) {
            self.let_go_behind_spot(source, entity);
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
        let unusual = "things that fall silent at the same time are seldom lost at the same time";
        let absent = Absent {
            subject: "source",
            since,
            text,
            pages: true,
            explain: absent(unusual),
        };
        self.note_blind(Key::Source(source), source, absent);
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
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor};
    use crate::model::{
        Batch, EntityId, Input, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    const ALL: [&str; 12] = [
        "a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "b4", "b5", "b6",
    ];

    /// An engine with one source that tells of services, and its clock.
    struct Bench {
        engine: Engine,
        now: Time,
    }

    impl Bench {
        /// Half of what the source tells of fell silent a while ago.
        fn half_silent(seconds: i64) -> Self {
            let mut bench = Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                now: Time::from_secs(1_768_392_000),
            };
            bench.hear(300, &ALL);
            bench.hear(seconds, &ALL[6..]);
            bench
        }

        fn step(&mut self, input: Input) {
            let (seq, at) = (1, self.now);
            let stamped = Stamped { seq, at, input };
            self.engine.step(&stamped, &mut Vec::new());
        }

        /// So many seconds, a tick each, in which the source tells of these every five.
        fn hear(&mut self, seconds: i64, services: &[&str]) {
            for second in 0..seconds {
                if second % 5 == 0 && !services.is_empty() {
                    let signals = services.iter().flat_map(|of| self.samples(of)).collect();
                    let source = SourceId::new("agent");
                    self.step(Input::Signals(Batch { source, signals }));
                }
                self.now = self.now.plus_ms(1_000);
                self.step(Input::Tick);
            }
        }

        fn samples(&self, service: &str) -> [Signal; 2] {
            ["a", "b"].map(|name| {
                let labels = Labels::from_pairs([("service", service)]).unwrap();
                let series = Series::new(name, labels, SeriesKind::Gauge, Unit::None);
                let (series, at, value) = (Arc::new(series), self.now, 1.0);
                Signal::Sample(Sample { series, at, value })
            })
        }

        /// Ends, and goes on from a checkpoint so many seconds later.
        fn restart(&mut self, after_s: i64) {
            let mut cursor = CheckpointCursor::default();
            let parts: Vec<_> =
                std::iter::from_fn(|| self.engine.checkpoint_part(&mut cursor)).collect();
            self.engine = Engine::new(EngineConfig::default(), Vec::new());
            let parts = parts.iter().map(Vec::as_slice);
            let restored = self.engine.restore_checkpoint(CHECKPOINT_VERSION, parts);
            restored.unwrap();
            self.now = self.now.plus_ms(after_s * 1_000);
        }

        /// What is told of the source.
        fn told(&self) -> Option<&str> {
            let state = self.engine.findings.of_key(Key::Source(SourceIx(0)))?;
            Some(&state.finding.text)
        }

        /// Services that are told to be lost.
        fn lost(&self) -> Vec<&'static str> {
            let is_lost = |service: &&str| {
                let entity = self.engine.entities.find(&EntityId::parse(service));
                entity.is_some_and(|entity| self.engine.is_told_lost(entity))
            };
            ALL.into_iter().filter(is_lost).collect()
        }

        fn tells_the_spot(&self) -> bool {
            let begins = "we are blind on 6 of 12 entities of agent: a1, a2, a3 and 3 more";
            self.told().is_some_and(|text| text.starts_with(begins))
        }
    }

    #[test]
    fn a_spot_is_told_again_once_its_source_was_blind_as_a_whole() {
        let mut bench = Bench::half_silent(180);
        assert!(bench.tells_the_spot(), "{:?}", bench.told());
        // Long enough that each of them would be lost at once, were it not for the spot.
        bench.hear(20 * 60, &[]);
        assert!(bench.engine.silence.is_blind(SourceIx(0)));
        bench.hear(1, &ALL[6..]);
        assert_eq!(bench.told(), None, "it sees");
        bench.hear(25, &ALL[6..]);
        assert!(bench.tells_the_spot(), "{:?}", bench.told());
        bench.hear(600, &ALL[6..]);
        assert!(bench.tells_the_spot(), "{:?}", bench.told());
        assert_eq!(bench.lost(), [""; 0]);
        bench.hear(60, &ALL);
        assert_eq!(bench.told(), None);
    }

    #[test]
    fn a_spot_that_nobody_is_told_of_covers_nothing() {
        let mut bench = Bench::half_silent(13 * 60);
        assert!(bench.tells_the_spot(), "{:?}", bench.told());
        // As if it had been refused.
        let now = bench.now;
        bench.engine.findings.end(Key::Source(SourceIx(0)), now);
        bench.hear(4 * 60, &ALL[6..]);
        assert_eq!(bench.lost(), ALL[..6]);
    }

    #[test]
    fn a_restart_makes_no_losses_of_a_spot() {
        for after_s in [0, 20, 60] {
            let mut bench = Bench::half_silent(20 * 60);
            assert_eq!(bench.lost(), [""; 0]);
            bench.restart(after_s);
            assert_eq!(bench.told(), None);
            for _ in 0..60 {
                bench.hear(5, &ALL[6..]);
                assert_eq!(bench.lost(), [""; 0], "{after_s} s");
            }
            assert!(bench.tells_the_spot(), "{after_s} s: {:?}", bench.told());
        }
    }

    #[test]
    fn what_goes_on_growing_is_judged_in_time_and_what_shrinks_stays_small() {
        let start = Time::from_secs(1_000_000);
        let at = |s: i64| start.plus_ms(s * 1_000);
        let mut gathering = Gathering::new(start);
        let mut due = (0..).filter(|s| gathering.is_due(Silent::new(), *s as usize, at(*s)));
        assert_eq!(due.next(), Some(GATHER_MS_MAX / 1_000));
        let mut gathering = Gathering::new(start);
        assert!(!gathering.is_due(Silent::new(), 9, at(0)));
        assert!(!gathering.is_due(Silent::new(), 9, at(14)));
        assert!(gathering.is_due(Silent::new(), 9, at(15)));
        (gathering.is_small, gathering.since) = (true, at(15));
        assert!(!gathering.is_due(Silent::new(), 8, at(74)));
        assert!(gathering.is_due(Silent::new(), 8, at(75)));
        assert!(gathering.is_small);
        assert!(!gathering.is_due(Silent::new(), 9, at(75)));
        assert!(!gathering.is_small, "more joined");
    }

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
