//! What the engine has learned, taken out in parts and put back: baselines, templates, dependencies; and
//! the alerts that fire.
//!
//! A checkpoint holds what only time can teach and nothing that was decided: incidents, plans and
//! approvals come from the journal, and what was odd is noticed again. Of alerts it holds what was told. Parts are bounded, so that
//! whoever asks between two inputs is not kept long; entities come last, because everything before
//! refers to them by position, and a position is not given to another while a checkpoint is written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::Engine;
use super::changes::Changes;
use super::diagnose::Witness;
use super::entities::{EntityIx, EntityRow};
use super::forecast::Forecasts;
use super::histograms::Histograms;
use super::history::SavedHistory;
use super::hold::{Habit, Habits};
use super::intake::{Intake, Pair, SavedSeries, SeriesIx, SeriesRow};
use super::judge::Odd;
use super::logs::{EntityLogs, LogWatch, SavedRest};
use super::ratios::Ratios;
use super::refusals::Refusals;
use super::requests;
use super::silence::SilenceWatch;
use super::slo::Minutes;
use super::speakers::Speakers;
use super::topology::{SavedTopology, Topology};
use super::traces::{Flow, Reason, SavedTraces, TraceTables, Traces};
use super::unheard::Senders;
use crate::model::{EntityId, FindingId, Fingerprint, FiringAlert, Provenance, Time, TraceId};

/// Version of the parts. Whoever changes what is kept, or what it means, counts it up: a checkpoint
/// of another version is not read, and everything warms up again.
pub const CHECKPOINT_VERSION: u32 = 20;

/// Series in one part: about 2 MB.
const SERIES_PER_PART: usize = 1_024;
/// Entities with logs in one part; each has at most 512 templates.
const LOGS_PER_PART: usize = 16;
/// Flows, waiting traces and entities in one part.
const ROWS_PER_PART: usize = 2_048;
/// Example traces in one part; each has at most 400 spans.
const EXEMPLARS_PER_PART: usize = 32;
/// Firing alerts in one part.
const ALERTS_PER_PART: usize = 2_048;

/// How far the writing of a checkpoint has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckpointCursor {
    stage: Stage,
    /// Series written.
    series: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Series,
    Logs(usize),
    Flows(Option<Flow>),
    Waiting(Option<TraceId>),
    Exemplars(Option<(EntityIx, Reason)>),
    Requests(u8),
    Alerts(Option<Fingerprint>),
    Habits(Option<Fingerprint>),
    Rest,
    Entities(usize),
    Done,
}

/// What a part holds: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Series = 1,
    Logs = 2,
    Flows = 3,
    Waiting = 4,
    Exemplars = 5,
    Rest = 6,
    Entities = 7,
    Alerts = 8,
    Habits = 9,
    Requests = 10,
}

/// Everything that is small.
type Rest = (
    (Time, Time, Time, Time, u64, u64, bool),
    FindingId,
    Vec<(SeriesIx, Pair)>,
    SavedTopology,
    SilenceWatch,
    Changes,
    Refusals,
    SavedRest,
    SavedTraces,
    u64,
    Vec<(String, Minutes)>,
    Forecasts,
    Option<Time>,
    Ratios,
    Histograms,
    Senders,
);

/// The parts put together again.
#[derive(Default)]
struct Parts {
    series: SavedSeries,
    logs: Vec<(EntityId, EntityLogs)>,
    traces: TraceTables,
    witness: Witness,
    habits: Vec<(Fingerprint, Habit)>,
    rest: Option<Rest>,
    entities: Vec<EntityRow>,
    alerts: Vec<FiringAlert>,
}

/// Why a checkpoint was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Another program wrote it.
    #[error("it is of version {0}, this program reads {CHECKPOINT_VERSION}")]
    Version(u32),
    /// A part cannot be read.
    #[error("part {0} cannot be read")]
    Part(usize),
    /// The parts do not fit together.
    #[error("its parts do not fit together")]
    Torn,
}

impl Engine {
    /// The next part of a checkpoint; `None` after the last. Inputs may be taken between two parts: a
    /// series is then as old as its part. Taken without inputs between, it is exact.
    pub fn checkpoint_part(&self, cursor: &mut CheckpointCursor) -> Option<Vec<u8>> {
        loop {
            let (part, next) = match cursor.stage {
                Stage::Series => {
                    let rows = self.intake.saved_rows(cursor.series, SERIES_PER_PART);
                    cursor.series += rows.len();
                    let next = (rows.is_empty()).then_some(Stage::Logs(0));
                    (part(Tag::Series, &rows), next.unwrap_or(Stage::Series))
                }
                Stage::Logs(from) => {
                    let rows = self.logs.saved_entities(from, LOGS_PER_PART);
                    let next = rows.is_empty().then_some(Stage::Flows(None));
                    let on = Stage::Logs(from + rows.len());
                    (part(Tag::Logs, &rows), next.unwrap_or(on))
                }
                Stage::Flows(after) => {
                    let rows = self.traces.saved_flows(after, ROWS_PER_PART);
                    let on = rows.last().map(|(key, _)| Stage::Flows(Some(**key)));
                    (part(Tag::Flows, &rows), on.unwrap_or(Stage::Waiting(None)))
                }
                Stage::Waiting(after) => {
                    let rows = self.traces.saved_waiting(after, ROWS_PER_PART);
                    let on = rows.last().map(|(key, _)| Stage::Waiting(Some(**key)));
                    let next = on.unwrap_or(Stage::Exemplars(None));
                    (part(Tag::Waiting, &rows), next)
                }
                Stage::Exemplars(after) => {
                    let rows = self.traces.saved_exemplars(after, EXEMPLARS_PER_PART);
                    let on = rows.last().map(|(key, _)| Stage::Exemplars(Some(**key)));
                    let next = on.unwrap_or(Stage::Requests(0));
                    (part(Tag::Exemplars, &rows), next)
                }
                Stage::Requests(number) => match self.witness.saved_part(number) {
                    Some(part) => {
                        let on = Stage::Requests(number + 1);
                        (Some(encode(Tag::Requests, &part)), on)
                    }
                    None => (None, Stage::Alerts(None)),
                },
                Stage::Alerts(after) => {
                    let rows = self.firing_alerts(after, ALERTS_PER_PART);
                    let last = rows.last().map(|held| held.alert.fingerprint);
                    let on = last.map(|last| Stage::Alerts(Some(last)));
                    (part(Tag::Alerts, &rows), on.unwrap_or(Stage::Habits(None)))
                }
                Stage::Habits(after) => {
                    let rows = self.holds.habits().saved(after, ROWS_PER_PART);
                    let on = rows.last().map(|(key, _)| Stage::Habits(Some(**key)));
                    (part(Tag::Habits, &rows), on.unwrap_or(Stage::Rest))
                }
                Stage::Rest => (Some(self.rest(cursor.series)), Stage::Entities(0)),
                Stage::Entities(from) => {
                    let rows = self.entities.saved_rows(from, ROWS_PER_PART);
                    let next = rows.is_empty().then_some(Stage::Done);
                    let on = Stage::Entities(from + rows.len());
                    (part(Tag::Entities, rows), next.unwrap_or(on))
                }
                Stage::Done => return None,
            };
            cursor.stage = next;
            if part.is_some() {
                return part;
            }
        }
    }

    fn rest(&self, series: usize) -> Vec<u8> {
        let rest = (
            (
                self.now,
                self.ticked,
                self.housekept,
                self.swept,
                self.signals,
                self.retired,
                self.seen_logs,
            ),
            self.findings.last_id(),
            self.intake.saved_pairs(series),
            self.topology.saved(),
            &self.silence,
            &self.changes,
            &self.refusals,
            self.logs.saved_rest(),
            self.traces.saved_rest(),
            self.entities.refused(),
            self.slos.saved(),
            &self.forecasts,
            self.holds.habits().began(),
            &self.ratios,
            &self.histograms,
            &self.senders,
        );
        encode(Tag::Rest, &rest)
    }

    /// Puts back what the parts of a checkpoint of `version` hold. Call on a fresh engine, before
    /// [`Engine::restore`]; on an error nothing was taken. The alerts that fired then are no knowledge:
    /// they are returned, to be fed with [`crate::model::Input::Recalled`] and what came after them.
    pub fn restore_checkpoint<'a>(
        &mut self,
        version: u32,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<FiringAlert>, CheckpointError> {
        if version != CHECKPOINT_VERSION {
            return Err(CheckpointError::Version(version));
        }
        let mut whole = Parts::default();
        for (n, part) in parts.into_iter().enumerate() {
            whole.take(part).ok_or(CheckpointError::Part(n))?;
        }
        let alerts = std::mem::take(&mut whole.alerts);
        self.put_back(whole).ok_or(CheckpointError::Torn)?;
        Ok(alerts)
    }

    /// Builds every table anew before the first is replaced.
    fn put_back(&mut self, parts: Parts) -> Option<()> {
        let (
            (now, ticked, housekept, swept, signals, retired, seen_logs),
            last_finding,
            pairs,
            edges,
            silence,
            changes,
            refusals,
            log_rest,
            trace_rest,
            entities_refused,
            slos,
            forecasts,
            habits_began,
            ratios,
            histograms,
            senders,
        ) = parts.rest?;
        let known = |ix: EntityIx| (ix.0 as usize) < parts.entities.len();
        let fits = |row: &SeriesRow| known(row.entity) && silence.knows(row.source());
        let is_whole = parts.series.rows().iter().all(fits)
            && edges
                .0
                .iter()
                .all(|(from, to, _)| known(*from) && known(*to))
            && changes.entities().all(known)
            && silence.entities().all(known)
            && senders.fits(&silence)
            && requests::fits(&parts.witness, known);
        if !is_whole {
            return None;
        }
        let traces = Traces::restored(parts.traces, trace_rest, parts.entities.len())?;
        let mut entities = self.entities.restored(parts.entities, entities_refused);
        let declared: Vec<(EntityIx, EntityIx)> = self
            .config
            .dependencies
            .iter()
            .map(|edge| [&edge.from, &edge.to].map(|end| EntityId::parse(end)))
            .map(|[from, to]| (entities.intern(&from), entities.intern(&to)))
            .collect();
        self.topology = Topology::restored(edges, |from, to| declared.contains(&(from, to)));
        for (from, to) in declared {
            self.topology
                .see(from, to, Provenance::Declared, Time::ZERO);
        }
        self.intake = Intake::restored(parts.series, pairs);
        self.odd = Odd::restored(&self.intake);
        self.logs = LogWatch::restored(parts.logs, log_rest);
        self.findings.resume_after(last_finding);
        (self.now, self.ticked, self.housekept) = (now, ticked, housekept);
        (self.swept, self.signals, self.retired) = (swept, signals, retired);
        self.seen_logs = seen_logs;
        (self.entities, self.traces, self.silence) = (entities, traces, silence);
        self.witness = parts.witness;
        self.silence.mend(&self.intake);
        self.speakers = Speakers::restored(&self.intake, self.silence.silent());
        self.slos.restore(slos);
        self.forecasts = forecasts;
        self.restore_ratios(ratios);
        self.restore_histograms(histograms);
        self.holds
            .restore_habits(Habits::restored(parts.habits, habits_began));
        (self.changes, self.refusals, self.senders) = (changes, refusals, senders);
        Some(())
    }
}

impl Parts {
    /// Adds one part; `None` when it cannot be read.
    fn take(&mut self, part: &[u8]) -> Option<()> {
        let (tag, bytes) = part.split_first()?;
        match *tag {
            tag if tag == Tag::Series as u8 => {
                let rows: Vec<(SeriesRow, SavedHistory)> = decode(bytes)?;
                for (row, history) in rows {
                    self.series.add(row, &history);
                }
            }
            tag if tag == Tag::Logs as u8 => self.logs.append(&mut decode(bytes)?),
            tag if tag == Tag::Flows as u8 => self.traces.flows.append(&mut decode(bytes)?),
            tag if tag == Tag::Waiting as u8 => self.traces.waiting.append(&mut decode(bytes)?),
            tag if tag == Tag::Exemplars as u8 => {
                self.traces.exemplars.append(&mut decode(bytes)?);
            }
            tag if tag == Tag::Requests as u8 => self.witness.restore(decode(bytes)?),
            tag if tag == Tag::Habits as u8 => self.habits.append(&mut decode(bytes)?),
            tag if tag == Tag::Rest as u8 => self.rest = Some(decode(bytes)?),
            tag if tag == Tag::Entities as u8 => self.entities.append(&mut decode(bytes)?),
            tag if tag == Tag::Alerts as u8 => self.alerts.append(&mut decode(bytes)?),
            _ => return None,
        }
        Some(())
    }
}

/// A part of rows, unless there are none.
fn part<T: Serialize>(tag: Tag, rows: &[T]) -> Option<Vec<u8>> {
    (!rows.is_empty()).then(|| encode(tag, rows))
}

fn encode<T: Serialize + ?Sized>(tag: Tag, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![tag as u8]).expect("what is kept has a length and fits memory")
}

/// The value, if `bytes` hold it and nothing more.
fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, left) = postcard::take_from_bytes(bytes).ok()?;
    left.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::distribution::{Distribution, Kind};
    use crate::engine::traces::{FlowState, Rate};
    use crate::model::{
        Alert, Batch, Change, ChangeKind, Input, Labels, LogLine, Recalled, Sample, Series,
        SeriesKind, Signal, SourceId, Span, SpanId, SpanKind, Stamped, Unit,
    };

    /// An engine that has learned a little of everything.
    fn learned() -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let at = Time::from_secs(1_000_000);
        let labels = || Labels::from_pairs([("service", "cart"), ("host", "n1")]).unwrap();
        let sample = |name: &str, kind, value| {
            let series = Arc::new(Series::new(name, labels(), kind, Unit::None));
            Signal::Sample(Sample { series, at, value })
        };
        let span = |id, parent, kind| {
            Signal::Span(Box::new(Span {
                trace: TraceId(7),
                id: SpanId(id),
                parent,
                resource: labels(),
                peer: Some(Arc::from("db")),
                name: Arc::from("GET /"),
                kind,
                start: at,
                duration_us: 900,
                error: false,
                weight: Some(20.0),
            }))
        };
        let signals = vec![
            sample("up", SeriesKind::Gauge, 1.0),
            sample("up", SeriesKind::Gauge, 1.0),
            sample("time_seconds_sum", SeriesKind::Counter, 3.0),
            sample("time_seconds_count", SeriesKind::Counter, 2.0),
            sample("endless", SeriesKind::Gauge, f64::INFINITY),
            Signal::Log(Box::new(LogLine {
                at,
                labels: labels(),
                level: None,
                text: Box::from("took 12 ms"),
                trace: None,
                span: None,
            })),
            span(1, None, SpanKind::Server),
            span(2, Some(SpanId(1)), SpanKind::Client),
            Signal::Change(Box::new(Change {
                id: Box::from("d1"),
                at,
                entity: EntityId::parse("cart"),
                kind: ChangeKind::Deploy,
                version: Some(Box::from("2")),
                title: Box::from("second"),
                previous_version: Some(Box::from("1")),
                by: Some(Box::from("mia")),
                labels: labels(),
            })),
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels()),
                labels: labels(),
                annotations: Labels::from_pairs([("description", "is slow")]).unwrap(),
                starts_at: at,
                ends_at: at.plus_ms(60_000),
                generator_url: Some(Box::from("http://rules/7")),
            })),
        ];
        let source = SourceId(Arc::from("test"));
        let batch = Input::Signals(Batch { source, signals });
        for (seq, input) in (1..).zip([batch, Input::Tick]) {
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        engine
    }

    fn parts(engine: &Engine) -> Vec<Vec<u8>> {
        let mut cursor = CheckpointCursor::default();
        std::iter::from_fn(|| engine.checkpoint_part(&mut cursor)).collect()
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let whole = parts(&learned());
        let mut fresh = Engine::new(EngineConfig::default(), Vec::new());
        let mut check = |parts: &[Vec<u8>], version, expected| {
            let parts = parts.iter().map(Vec::as_slice);
            assert_eq!(fresh.restore_checkpoint(version, parts), expected);
            assert_eq!((fresh.now(), fresh.entities.len()), (Time::ZERO, 0));
        };
        let other = CHECKPOINT_VERSION + 1;
        check(&whole, other, Err(CheckpointError::Version(other)));
        for (n, part) in whole.iter().enumerate() {
            let mut cut = whole.clone();
            cut[n].pop();
            check(&cut, CHECKPOINT_VERSION, Err(CheckpointError::Part(n)));
            cut[n] = vec![99];
            check(&cut, CHECKPOINT_VERSION, Err(CheckpointError::Part(n)));
            let needed = part[0] == Tag::Rest as u8 || part[0] == Tag::Entities as u8;
            if needed {
                cut.remove(n);
                check(&cut, CHECKPOINT_VERSION, Err(CheckpointError::Torn));
            }
        }
    }

    proptest! {
        /// A part whose sum is right although its bytes are not: by another program, or by somebody.
        #[test]
        fn bent_parts_are_taken_or_refused(
            part in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            with in proptest::collection::vec(any::<u8>(), 1..12),
        ) {
            static PARTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| parts(&learned()));
            let mut whole = PARTS.clone();
            let part = part.index(whole.len());
            let at = 1 + at.index(whole[part].len() - 1);
            let end = (at + with.len()).min(whole[part].len());
            whole[part].splice(at..end, with);
            let mut fresh = Engine::new(EngineConfig::default(), Vec::new());
            let bent = whole.iter().map(Vec::as_slice);
            // Whatever comes of it, it returns.
            let _ = fresh.restore_checkpoint(CHECKPOINT_VERSION, bent);
        }
    }

    #[test]
    fn what_is_put_back_is_taken_out_again() {
        let engine = learned();
        let whole = parts(&engine);
        let mut again = Engine::new(EngineConfig::default(), Vec::new());
        let back = whole.iter().map(Vec::as_slice);
        let alerts = again.restore_checkpoint(CHECKPOINT_VERSION, back).unwrap();
        assert_eq!(alerts, engine.firing_alerts(None, usize::MAX));
        again.take_recalled(&Recalled {
            alerts,
            ..Recalled::default()
        });
        assert_eq!(parts(&again), whole);
    }

    /// Names of fields and lengths of lists, without the values.
    fn shape(value: &Value, out: &mut String) {
        match value {
            Value::Object(fields) => {
                let is_map = fields.keys().all(|key| key.parse::<u64>().is_ok());
                out.push('{');
                for (name, field) in fields.iter().take(if is_map { 1 } else { usize::MAX }) {
                    out.push_str(if is_map { "#" } else { name });
                    shape(field, out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                let shapes = items.iter().map(|item| {
                    let mut of = String::new();
                    shape(item, &mut of);
                    of
                });
                let mut shapes: Vec<String> = shapes.collect();
                shapes.dedup();
                out.push('[');
                out.push_str(&items.len().to_string());
                out.push_str(&shapes.join(","));
                out.push(']');
            }
            _ => out.push('.'),
        }
    }

    /// A witness of a request that is a count by now, of one that is kept, of one that goes on, and of a trouble.
    fn seen() -> Witness {
        let mut witness = Witness::default();
        witness.trouble(1, Time::from_secs(10), Time::from_secs(20));
        for (trace, second) in [(1, 0), (2, 3_600), (3, 3_700)] {
            let at = Time::from_secs(second);
            if let Some(seen) = witness.look(trace, 1, at) {
                witness.span(seen, "GET /", false);
                witness.call(seen, 2, 9, 1);
            }
            witness.advance(at);
        }
        let template = crate::engine::logs::TemplateId(1);
        let untraced = witness.look_at_run(1, Time::from_secs(3_700), template, "done");
        assert!(untraced.is_some());
        witness
    }

    #[test]
    fn a_change_of_what_is_kept_is_a_new_version() {
        let engine = learned();
        let witness = seen();
        let json = |value: Result<Value, serde_json::Error>| {
            let mut out = String::new();
            shape(&value.unwrap(), &mut out);
            out
        };
        let shapes = [
            json(serde_json::to_value(engine.intake.saved_rows(0, 1))),
            json(serde_json::to_value(engine.logs.saved_entities(0, 1))),
            json(serde_json::to_value(engine.logs.saved_rest())),
            json(serde_json::to_value(engine.traces.saved_flows(None, 1))),
            json(serde_json::to_value(engine.traces.saved_waiting(None, 1))),
            json(serde_json::to_value(engine.traces.saved_rest())),
            json(serde_json::to_value(witness.saved_part(0))),
            json(serde_json::to_value(witness.saved_part(1))),
            json(serde_json::to_value(witness.saved_part(2))),
            json(serde_json::to_value(witness.saved_part(3))),
            json(serde_json::to_value(engine.topology.saved())),
            json(serde_json::to_value(&engine.silence)),
            json(serde_json::to_value(&engine.changes)),
            json(serde_json::to_value(&engine.refusals)),
            json(serde_json::to_value(&engine.forecasts)),
            json(serde_json::to_value(&engine.ratios)),
            json(serde_json::to_value(&engine.histograms)),
            json(serde_json::to_value(&engine.senders)),
            json(serde_json::to_value(Distribution::new(Kind::Measure))),
            json(serde_json::to_value(FlowState::default())),
            json(serde_json::to_value(Rate::default())),
            json(serde_json::to_value(engine.entities.saved_rows(0, 1))),
            json(serde_json::to_value(engine.firing_alerts(None, 1))),
            json(serde_json::to_value(engine.holds.habits().saved(None, 1))),
        ];
        let sum = xxhash_rust::xxh3::xxh3_64(shapes.join("\n").as_bytes());
        assert_eq!(
            (CHECKPOINT_VERSION, format!("{sum:016x}")),
            (20, "4f9c067433904ada".to_owned()),
            "another shape is another version: count it up, then note the sum here\n{}",
            shapes.join("\n")
        );
    }
}
