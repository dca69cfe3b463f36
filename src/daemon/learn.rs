//! Learning from the past before the present begins: baselines of weeks in minutes.
//!
//! A second engine, the scholar, goes through the past; what it learned is taken over as a checkpoint
//! is, and what it noticed or would have decided is forgotten: nobody is told of it, nothing is written
//! down. Meanwhile consoles are answered, decisions are refused, and senders wait as with a full queue.
//! What was learned when the daemon is stopped is kept, and gone on with at the next start.
//!
//! Never keeps a brake waiting: a command that stops something ends the learning and is obeyed.

use std::path::Path;

use tokio::sync::{mpsc, watch};

use super::checkpoints;
use super::core::{Core, decision};
use super::door::CommandRequest;
use super::ledger::Ledger;
use super::notices::Origin;
use super::start::restore;
use crate::api::CommandReply;
use crate::config::Config;
use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor, Engine};
use crate::model::{Batch, Delta, Effect, Input, Mode, Refusal, Stamped, Time};
use crate::sources::{History, Learnt};
use crate::store::recorder::Learned;

/// Time between two ticks of the past, in milliseconds: shorter than what an engine takes for a pause
/// of its own. Ticks lie on whole multiples of it, as the ends of windows do that the engine judges.
const TICK_MS: i64 = 10_000;
/// Longest gap that is ticked through, in milliseconds; a longer one is jumped over, as live.
const TICKED_MS_MAX: i64 = 120_000;

/// The past, and who learns from it.
#[derive(Debug)]
pub(super) struct Learning {
    pub(super) history: History,
    pub(super) scholar: Scholar,
}

/// Why the learning ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The present begins, with a brake that did not wait for it.
    Present(Option<CommandRequest>),
    /// The daemon stops; what was learned is kept.
    Stopped,
}

/// An engine that goes through the past and performs nothing.
#[derive(Debug)]
pub(super) struct Scholar {
    engine: Engine,
    seq: u64,
    ticked: Time,
    effects: Vec<Effect>,
}

impl Scholar {
    /// Knows what the checkpoint in `data_dir` holds.
    pub(super) fn new(config: &Config, data_dir: Option<&Path>) -> Self {
        let mut engine = Engine::new(config.engine.clone(), Vec::new());
        // That it cannot be used is told by whoever restores the real one.
        let _ = data_dir.map(|folder| checkpoints::restore(&mut engine, folder));
        Self {
            engine,
            seq: 0,
            ticked: Time::ZERO,
            effects: Vec::new(),
        }
    }

    /// Until when it has learned.
    pub(super) fn until(&self) -> Time {
        self.engine.now()
    }

    /// Takes what was told at `at`, after the time that passed before.
    fn take(&mut self, at: Time, batches: Vec<Batch>) {
        if at.since(self.ticked) > TICKED_MS_MAX {
            self.ticked = Time::from_ms((at.ms().div_euclid(TICK_MS) - 1) * TICK_MS);
        }
        while at.since(self.ticked) >= TICK_MS {
            self.ticked = self.ticked.plus_ms(TICK_MS);
            self.step(self.ticked, Input::Tick);
        }
        for batch in batches {
            self.step(at, Input::Signals(batch));
        }
    }

    fn step(&mut self, at: Time, input: Input) {
        self.seq += 1;
        let seq = self.seq;
        self.engine
            .step(&Stamped { seq, at, input }, &mut self.effects);
        self.effects.clear();
    }

    /// What it learned, for an engine that knows nothing.
    fn parts(self) -> Vec<Vec<u8>> {
        let mut cursor = CheckpointCursor::default();
        std::iter::from_fn(|| self.engine.checkpoint_part(&mut cursor)).collect()
    }
}

impl Core {
    /// Learns from the past, then goes on with what was learned.
    pub(super) async fn learn(
        &mut self,
        learning: Learning,
        stop: &mut watch::Receiver<bool>,
    ) -> Ended {
        let Learning {
            history,
            mut scholar,
        } = learning;
        let (tell, mut told) = mpsc::channel(1);
        // The next chapter is asked for while this one is learned from.
        let asking = tokio::spawn(ask(history, tell));
        let (mut is_stopped, mut brake) = (false, None);
        'chapters: loop {
            let (chapter, progress) = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => { is_stopped = true; break },
                Some(request) = self.inbox.commands.recv() => {
                    brake = self.brake(request);
                    if brake.is_some() { break }
                    continue
                }
                Some(query) = self.inbox.queries.recv() => { query(&self.engine); continue }
                next = told.recv() => match next {
                    Some(next) => next,
                    None => break,
                },
            };
            for (at, batches) in chapter {
                if *stop.borrow() {
                    is_stopped = true;
                    break 'chapters;
                }
                scholar.take(at, batches);
                brake = self.look_after_people();
                if brake.is_some() {
                    break 'chapters;
                }
            }
            self.tell_progress(scholar.until(), progress);
        }
        // The present begins where the past was left.
        drop(told);
        // Nobody waits for an answer that nobody learns from.
        asking.abort();
        let _ = asking.await;
        let until = scholar.until();
        if is_stopped {
            // What fires goes on firing after the next start, and since when it did.
            let now = self.stamper.now();
            for input in std::mem::take(&mut self.recalled) {
                if let Input::Recalled(recalled) = input {
                    scholar.engine.keep_recalled(&recalled, now);
                }
            }
            std::mem::take(&mut self.checkpoints).finish(&scholar.engine, now);
            return Ended::Stopped;
        }
        tracing::info!(%until, is_ended_early = brake.is_some(), "learned from history");
        let told = brake.as_ref().map(|_| {
            let until = until.to_rfc3339();
            format!("a stop ended the learning from history at {until}: the rest is not learned")
        });
        self.take_over(scholar, told.unwrap_or_default());
        Ended::Present(brake)
    }

    /// Begins the present without the past: what an earlier daemon left behind is more urgent.
    pub(super) fn skip_learning(&mut self) {
        let text = "history is not learned from at this start: an earlier daemon left commands or a \
                    stop behind that could not wait";
        self.turn.deltas.push(Delta::Mode(Mode::Live));
        if let Some(delta) = self.notices.set(Origin::Learning, text) {
            self.turn.deltas.push(delta);
        }
        self.finish_turn();
    }

    /// Answers whoever asks between two steps; gives a brake, which ends the learning.
    fn look_after_people(&mut self) -> Option<CommandRequest> {
        while let Ok(query) = self.inbox.queries.try_recv() {
            query(&self.engine);
        }
        while let Ok(request) = self.inbox.commands.try_recv() {
            let brake = self.brake(request);
            if brake.is_some() {
                return brake;
            }
        }
        None
    }

    /// Gives back a command that stops something and will be obeyed; refuses any other.
    fn brake(&mut self, request: CommandRequest) -> Option<CommandRequest> {
        if !self.only_stops(&request.what) {
            refuse(request, Refusal::Learning);
            return None;
        }
        let stamped = self.stamper.ahead(Input::Command {
            by: request.by.clone(),
            what: request.what.clone(),
        });
        // Who may not stop anything does not end the learning either.
        match decision(&self.rehearse(&stamped), &request.what) {
            None => Some(request),
            Some(why) => {
                refuse(request, why);
                None
            }
        }
    }

    fn tell_progress(&mut self, until: Time, progress: f64) {
        let percent = (progress * 100.0).floor();
        let text = format!(
            "learning from history: {percent} % done, at {}; what is sent meanwhile waits",
            until.to_rfc3339()
        );
        if let Some(delta) = self.notices.set(Origin::Learning, &text) {
            self.turn.deltas.push(delta);
        }
        self.note_sources(self.stamper.now());
        self.finish_turn();
    }

    /// A fresh engine with what the scholar learned, and what the journal tells.
    /// `told` is what people must know of how it ended.
    fn take_over(&mut self, scholar: Scholar, told: String) {
        let runbooks = self.engine.runbooks().to_vec();
        let mut engine = Engine::new(self.engine.config().clone(), runbooks);
        let parts = scholar.parts();
        let taken = engine.restore_checkpoint(CHECKPOINT_VERSION, parts.iter().map(Vec::as_slice));
        // Alerts that fire are fed afterwards, as after any start.
        let text = match taken
            .map_err(|error| error.to_string())
            .and_then(|_alerts| remember(&mut engine, &self.ledger))
        {
            Ok(()) => {
                self.engine = engine;
                if let Some(recorder) = &self.recorder {
                    let version = CHECKPOINT_VERSION;
                    recorder.learned(Learned { version, parts });
                }
                self.checkpoints.hasten();
                told
            }
            // It was made by this very program; if that fails, the engine goes on as it was.
            Err(why) => format!("what was learned from history cannot be used: {why}"),
        };
        self.turn.deltas.push(Delta::Mode(Mode::Live));
        if let Some(delta) = self.notices.set(Origin::Learning, &text) {
            self.turn.deltas.push(delta);
        }
        let engine = &self.engine;
        let entities = engine
            .entities()
            .map(|(id, health)| crate::model::EntityHealth {
                entity: id.clone(),
                health,
            });
        entities.for_each(|told| self.turn.deltas.push(Delta::Entity(told)));
        engine
            .incident_rows()
            .for_each(|row| self.turn.deltas.push(Delta::Incident(row)));
        self.turn.deltas.push(Delta::Counts(engine.counts()));
        self.finish_turn();
    }
}

/// Asks for chapter after chapter, as fast as they are taken.
async fn ask(mut history: History, tell: mpsc::Sender<(Learnt, f64)>) {
    while let Some(chapter) = history.next().await {
        if tell.send((chapter, history.progress())).await.is_err() {
            return;
        }
    }
}

fn remember(engine: &mut Engine, ledger: &Ledger) -> Result<(), String> {
    restore(engine, ledger, None).map_err(|error| error.to_string())
}

fn refuse(request: CommandRequest, why: Refusal) {
    let CommandRequest { what, reply, .. } = request;
    // Whoever asked may have gone.
    let _ = reply.send(CommandReply {
        command: what,
        refused: Some(why),
        notice: None,
        silence: None,
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{Labels, Sample, Series, SeriesKind, Signal, SourceId, Unit};

    const START_S: i64 = 1_768_392_000;
    const STEP_S: i64 = 30;
    /// First byte of the parts that hold series with their detectors.
    const SERIES_PART: u8 = 1;

    /// What was told at each step; `None` where a series has no point.
    type Told = Vec<Vec<Option<f64>>>;

    fn batch(step: i64, values: &[Option<f64>]) -> (Time, Batch) {
        let at = Time::from_secs(START_S + step * STEP_S);
        let sample = |(n, value): (usize, &Option<f64>)| {
            let service = format!("s{n}");
            let labels = Labels::from_pairs([("service", service.as_str())]).unwrap();
            let kind = if n % 2 == 0 {
                SeriesKind::Gauge
            } else {
                SeriesKind::Counter
            };
            let series = Arc::new(Series::new("load", labels, kind, Unit::None));
            value.map(|value| Signal::Sample(Sample { series, at, value }))
        };
        let signals = values.iter().enumerate().filter_map(sample).collect();
        let source = SourceId::new("promql prometheus");
        (at.plus_ms(30_000), Batch { source, signals })
    }

    fn series(engine: &Engine) -> Vec<Vec<u8>> {
        let mut cursor = CheckpointCursor::default();
        let parts = std::iter::from_fn(|| engine.checkpoint_part(&mut cursor));
        parts
            .filter(|part| part.first() == Some(&SERIES_PART))
            .collect()
    }

    /// An engine that watches: it is told each step by itself, and time passes second by second.
    fn watched(told: &Told) -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let mut step = |at, input| {
            engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        };
        for (n, values) in told.iter().enumerate() {
            let (at, batch) = batch(n as i64, values);
            for second in (1 - STEP_S..=0).filter(|_| n > 0) {
                step(at.plus_ms(second * 1_000), Input::Tick);
            }
            step(at, Input::Signals(batch));
        }
        engine
    }

    fn learned(told: &Told) -> Scholar {
        let mut scholar = Scholar::new(&Config::default(), None);
        for (n, values) in told.iter().enumerate() {
            let (at, batch) = batch(n as i64, values);
            scholar.take(at, vec![batch]);
        }
        scholar
    }

    #[test]
    fn the_past_is_ticked_where_windows_end() {
        let mut scholar = Scholar::new(&Config::default(), None);
        let start = Time::from_secs(START_S + 7);
        let mut ticked = Vec::new();
        for after_s in [0, 4, 34, 3_600] {
            scholar.take(start.plus_ms(after_s * 1_000), Vec::new());
            ticked.push(scholar.ticked.since(Time::from_secs(START_S)) / 1_000);
        }
        assert_eq!(ticked, [0, 10, 40, 3_600]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn who_learns_from_the_past_knows_what_who_watched_knows(
            told in prop::collection::vec(
                prop::collection::vec(prop::option::weighted(0.95, 0.0..1_000.0_f64), 4), 1..400)
        ) {
            let scholar = learned(&told);
            let watched = series(&watched(&told));
            prop_assert_eq!(&series(&scholar.engine), &watched);
            // And so does who takes over from it.
            let mut heir = Engine::new(EngineConfig::default(), Vec::new());
            let parts = scholar.parts();
            let taken = heir.restore_checkpoint(CHECKPOINT_VERSION, parts.iter().map(Vec::as_slice));
            prop_assert!(taken.is_ok());
            prop_assert_eq!(&series(&heir), &watched);
        }
    }
}
