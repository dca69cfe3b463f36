//! Places for what is new: series, dependencies and entities that fell silent for good give theirs up.
//!
//! A restart gives every pod, and every series of it, another name; without this the tables fill up
//! with the dead and the living are refused. Nothing of an open incident retires, and a source that is
//! blind makes nobody retire: silence is measured against what its own source told last. When the
//! table of series is full, those silent longest go sooner.

use super::Engine;
use super::entities::EntityIx;
use super::findings::Key;
use super::intake::{SeriesIx, SeriesRow};
use super::requests;
use super::silence::Lapse;
use crate::model::{Check, EntityId, EntityKind};

/// Silent for this long is silent for good, in milliseconds: longer than a night without a job.
const SILENT_MS: i64 = 24 * 3_600_000;
/// A series that never came often has as many of its intervals.
const SILENT_INTERVALS: i64 = 8;
/// While the table is full, this long is enough, in milliseconds.
const SILENT_FULL_MS: i64 = 30 * 60_000;
/// One part in so many of a full table retires at a look.
const FULL_SHARE: usize = 16;
/// An odd series that is silent this long, while its entity speaks, is no longer known to be odd.
const ODD_SILENT_MS: i64 = 10 * 60_000;
/// Entities that nothing refers to are looked for this often, in milliseconds.
const ENTITIES_MS: i64 = 10 * 60_000;

impl Engine {
    /// Retires what has been silent for good; call it about once a minute.
    pub(super) fn retire(&mut self) {
        self.end_what_is_no_longer_seen();
        for series in self.silent_for_good() {
            self.retire_series(series);
        }
        if self.now.since(self.swept) < ENTITIES_MS {
            return;
        }
        self.swept = self.now;
        self.twins.forget(&self.alerts);
        self.retire_logs();
        let since = self.now.plus_ms(-SILENT_MS);
        self.traces.retire(since);
        self.witness.retire(since);
        let conditions = self.correlator.conditions();
        let is_held = |ix| conditions.get(ix).is_some();
        let entities = &self.entities;
        self.topology
            .retire(since, |ix| entities.has_series(ix), is_held);
        self.retire_entities();
    }

    /// Series to retire now, in order of their place.
    fn silent_for_good(&self) -> Vec<SeriesIx> {
        let is_all_full = self.intake.len() >= self.config.series_max as usize;
        let of_source_max = self.config.source_series_max();
        let is_full = |source| is_all_full || self.intake.len_of(source) >= of_source_max;
        let mut over = Vec::new();
        let mut soon = Vec::new();
        for (ix, row) in self.intake.iter() {
            if self.is_part_of_an_incident(row.entity) {
                continue;
            }
            let newest = self.silence.newest(row.source());
            let patience_ms = SILENT_MS.max(i64::from(row.interval_ms) * SILENT_INTERVALS);
            if newest.since(row.heard_at()) > patience_ms {
                over.push(ix);
            } else if self.now.since(row.heard_at()) > SILENT_FULL_MS && is_full(row.source()) {
                soon.push((row.heard_at(), ix));
            }
        }
        soon.sort_unstable();
        soon.truncate((self.config.series_max as usize).div_ceil(FULL_SHARE));
        over.extend(soon.into_iter().map(|(_, ix)| ix));
        over.sort_unstable();
        over
    }

    fn is_part_of_an_incident(&self, entity: EntityIx) -> bool {
        self.correlator
            .conditions()
            .get(entity)
            .is_some_and(|condition| condition.incident.is_some())
    }

    fn retire_series(&mut self, series: SeriesIx) {
        let row = self.intake.row(series);
        let (entity, source, is_counted) = (row.entity, row.source(), row.is_judged());
        let id = row.series.id;
        self.odd.remove(entity, series);
        self.end_what_is_told_of(series);
        self.slos.forget(id.0);
        self.intake.retire(series);
        self.forget_forecast(series);
        self.forget_ratio(series);
        self.forget_bucket(series);
        if is_counted {
            self.entities.drop_series(entity);
            let was_silent = self.silence.is_silent(series, entity);
            self.speakers.drop_series(source, entity, was_silent);
        }
        match self.silence.drop_lapse(series, entity) {
            Some(Lapse::Over) => self.findings.end(Key::Lapse(entity), self.now),
            Some(Lapse::Lasts) => self.note_lapse(entity),
            None => {}
        }
        let is_last = self.intake.of_entity(entity).is_empty();
        if self.silence.forget(series, entity) && is_last {
            let key = Key::Entity(entity, Check::Absence);
            self.findings.end(key, self.now);
        }
        self.retired += 1;
    }

    /// Ends findings of odd series that stopped while their entity goes on: it would stay odd for ever.
    fn end_what_is_no_longer_seen(&mut self) {
        let is_over = |row: &SeriesRow| {
            self.silence.newest(row.source()).since(row.heard_at()) > ODD_SILENT_MS
        };
        let sustained = self.findings.sustained();
        let sustained = sustained.map(|series| (self.intake.row(series).entity, series));
        let over: Vec<(EntityIx, SeriesIx)> = self
            .odd
            .iter()
            .chain(sustained)
            .filter(|(entity, series)| {
                is_over(self.intake.row(*series)) && !self.silence.is_gone(*entity)
            })
            .collect();
        for (entity, series) in over {
            self.odd.remove(entity, series);
            self.intake.row_mut(series).judge.end();
            self.end_what_is_told_of(series);
        }
    }

    fn end_what_is_told_of(&mut self, series: SeriesIx) {
        for key in [
            Key::Series(series),
            Key::Sustained(series),
            Key::Arrivals(series),
            Key::Rhythm(series),
        ] {
            self.findings.end(key, self.now);
        }
    }

    fn retire_logs(&mut self) {
        let (entities, conditions) = (&self.entities, self.correlator.conditions());
        let is_held = |id: &EntityId| {
            let condition = entities.find(id).and_then(|ix| conditions.get(ix));
            condition.is_some_and(|condition| condition.incident.is_some())
        };
        let since = self.now.plus_ms(-SILENT_MS);
        for over in self.logs.retire(since, self.now, is_held) {
            self.note_log(over);
        }
    }

    /// Frees the places of entities that no table refers to.
    fn retire_entities(&mut self) {
        self.correlator.forget_old_places();
        let mut used = vec![false; self.entities.places()];
        let mut mark = |ix: EntityIx| used[ix.0 as usize] = true;
        self.intake.iter().for_each(|(_, row)| mark(row.entity));
        self.topology.iter().for_each(|(from, to, _)| {
            mark(from);
            mark(to);
        });
        self.traces.entities(&mut mark);
        requests::entities(&self.witness, &mut mark);
        self.alerts
            .iter(None)
            .for_each(|(_, state)| mark(state.entity));
        self.changes.entities().for_each(&mut mark);
        self.findings.entities(&mut mark);
        self.correlator.entities(&mut mark);
        self.silence.entities().for_each(&mut mark);
        let sources = self
            .silence
            .sources()
            .map(|id| EntityId::new(EntityKind::External, &id.0));
        let by_name = sources.filter_map(|id| self.entities.find(&id));
        by_name.for_each(&mut mark);
        let with_logs = self.logs.entities().filter_map(|id| self.entities.find(id));
        with_logs.for_each(&mut mark);
        self.speakers.retire(&used);
        self.entities.retire(&used, self.now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::CheckpointCursor;
    use crate::model::{
        Batch, Delta, Effect, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId,
        Stamped, Time, Unit,
    };

    const START: Time = Time::from_secs(1_768_392_000);
    const MINUTE_MS: i64 = 60_000;

    struct Bench {
        engine: Engine,
        now: Time,
        gone: Vec<String>,
    }

    impl Bench {
        fn new(series_max: u32) -> Self {
            let config = EngineConfig {
                series_max,
                ..EngineConfig::default()
            };
            Self {
                engine: Engine::new(config, Vec::new()),
                now: START,
                gone: Vec::new(),
            }
        }

        fn step(&mut self, input: Input) {
            let at = self.now;
            let mut effects = Vec::new();
            self.engine
                .step(&Stamped { seq: 1, at, input }, &mut effects);
            for effect in effects {
                if let Effect::Changed(Delta::EntityGone(id)) = effect {
                    self.gone.push(id.to_string());
                }
            }
        }

        /// A minute in which these pods report two metrics each, and log a line.
        fn minute(&mut self, pods: &[&str]) {
            let mut signals = Vec::new();
            for pod in pods {
                let labels = Labels::from_pairs([("pod", *pod), ("node", "n1")]).unwrap();
                for name in ["cpu", "memory"] {
                    let series = Series::new(name, labels.clone(), SeriesKind::Gauge, Unit::None);
                    let at = self.now;
                    let series = Arc::new(series);
                    let sample = Sample {
                        series,
                        at,
                        value: 1.0,
                    };
                    signals.push(Signal::Sample(sample));
                }
                signals.push(Signal::Log(Box::new(LogLine {
                    at: self.now,
                    labels,
                    level: None,
                    text: "served".into(),
                    trace: None,
                    span: None,
                })));
            }
            let source = SourceId::new("test");
            self.step(Input::Signals(Batch { source, signals }));
            for _ in 0..4 {
                self.step(Input::Tick);
                self.now = self.now.plus_ms(MINUTE_MS / 4);
            }
        }

        /// More than a day of the new pod alone; a person resolves whatever opens about the old one.
        fn hours_of_new(&mut self) {
            for _ in 0..26 {
                (0..60).for_each(|_| self.minute(&["new"]));
                self.resolve_all();
            }
        }

        fn resolve_all(&mut self) {
            let open: Vec<_> = self.engine.incident_rows().map(|row| row.id).collect();
            for incident in open {
                let by = crate::model::Actor {
                    name: "mia".to_owned(),
                    role: crate::model::Role::Responder,
                };
                let what = crate::model::Command::Resolve { incident };
                self.step(Input::Command { by, what });
            }
        }
    }

    #[test]
    fn churn_does_not_fill_the_table() {
        let mut bench = Bench::new(14);
        // Three pods at a time, renamed every hour, for a day.
        for hour in 0..24 {
            let pods: Vec<String> = (0..3).map(|pod| format!("cart-{hour}-{pod}")).collect();
            let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
            (0..60).for_each(|_| bench.minute(&pods));
            bench.resolve_all();
            let counts = bench.engine.counts();
            let row = |pod: &str| {
                let id = EntityId::new(EntityKind::Pod, pod);
                let ix = bench.engine.entities.find(&id).unwrap();
                bench.engine.intake.of_entity(ix).len()
            };
            let judged: usize = pods.iter().map(|pod| row(pod)).sum();
            assert_eq!(
                judged, 6,
                "hour {hour}: the living have their places, {counts:?}"
            );
        }
        let counts = bench.engine.counts();
        assert_eq!(counts.retired + counts.series, 24 * 6);
    }

    #[test]
    fn what_is_silent_for_a_day_goes_with_everything_that_is_only_about_it() {
        let mut bench = Bench::new(1_000);
        (0..30).for_each(|_| bench.minute(&["old", "new"]));
        (0..60).for_each(|_| bench.minute(&["new"]));
        bench.resolve_all();
        let before = bench.engine.counts();
        assert_eq!(
            (before.series, before.entities, before.retired),
            (4, 3, 0),
            "node, pods"
        );
        bench.hours_of_new();
        let after = bench.engine.counts();
        assert_eq!((after.series, after.entities, after.retired), (2, 2, 2));
        assert_eq!(bench.gone, ["pod/old"]);
        assert_eq!(bench.engine.edges().count(), 1);
        assert_eq!(bench.engine.findings.open_count(), 0);
    }

    #[test]
    fn nothing_of_an_open_incident_retires() {
        let mut bench = Bench::new(1_000);
        (0..30).for_each(|_| bench.minute(&["old", "new"]));
        (0..26 * 60).for_each(|_| bench.minute(&["new"]));
        assert_eq!(bench.engine.incident_rows().count(), 1, "it is missed");
        let counts = bench.engine.counts();
        assert_eq!((counts.series, counts.retired), (4, 0));
    }

    #[test]
    fn a_blind_source_retires_nothing() {
        let mut bench = Bench::new(1_000);
        (0..30).for_each(|_| bench.minute(&["old", "new"]));
        for _ in 0..48 * 60 {
            bench.now = bench.now.plus_ms(MINUTE_MS);
            bench.step(Input::Tick);
        }
        assert_eq!(bench.engine.counts().retired, 0);
    }

    #[test]
    fn a_checkpoint_brings_free_places_back() {
        let mut bench = Bench::new(1_000);
        (0..30).for_each(|_| bench.minute(&["old", "new"]));
        (0..60).for_each(|_| bench.minute(&["new"]));
        bench.resolve_all();
        bench.hours_of_new();
        let parts = |engine: &Engine| -> Vec<Vec<u8>> {
            let mut cursor = CheckpointCursor::default();
            std::iter::from_fn(|| engine.checkpoint_part(&mut cursor)).collect()
        };
        let whole = parts(&bench.engine);
        let mut again = Bench::new(1_000);
        let back = whole.iter().map(Vec::as_slice);
        let version = crate::engine::CHECKPOINT_VERSION;
        again.engine.restore_checkpoint(version, back).unwrap();
        again.now = bench.now;
        for bench in [&mut bench, &mut again] {
            bench.minute(&["new", "newest"]);
        }
        assert!(
            parts(&bench.engine) == parts(&again.engine),
            "the same places for the same names"
        );
        assert_eq!(again.engine.intake.places(), 4, "a free place was taken");
    }
}
