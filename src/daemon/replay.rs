//! A recording through the engine again, at the recording's own pace: telemetry, what people decided
//! and what became of it, exactly as it was stamped.
//!
//! Nothing runs: what an action led to is in the recording. Nothing can be decided: it is long over.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;

use super::clock::Clock;
use super::core::Core;
use super::door::CommandRequest;
use super::notices::Origin;
use crate::api::CommandReply;
use crate::engine::Engine;
use crate::model::{
    Delta, EntityHealth, Input, LastOf, Mode, Pace, Refusal, SourceHealth, SourceId, SourceRow,
    Stamped, Time,
};

/// Inputs taken before consoles are told and anybody is listened to.
const INPUTS_PER_LOOK_MAX: usize = 1_000;
/// What is looked at when nothing is left to wait for.
const ENDED_MS: u64 = 60_000;

/// What a recording holds, in order.
#[derive(Debug)]
pub enum Replayed {
    /// A daemon begins with this engine; what it knew then and does not know here, in words.
    Begins(Box<Engine>, String),
    /// An input, as it was stamped.
    Input(Stamped),
}

/// A recording to go through.
pub struct Replay {
    /// What it holds.
    pub inputs: Box<dyn Iterator<Item = Replayed> + Send>,
    /// What was before is gone through at once.
    pub from: Time,
    /// When it ends.
    pub until: Time,
    /// How many times as fast as it happened.
    pub speed: f64,
}

/// What was told by each source so far.
#[derive(Default)]
struct Sources(BTreeMap<SourceId, SourceRow>);

impl Core {
    /// Goes through a recording, then shows its end until `stop` turns true.
    pub(super) async fn replay(mut self, replay: Replay, mut stop: watch::Receiver<bool>) {
        let mut inputs = replay.inputs.peekable();
        let mut sources = Sources::default();
        let mut clock: Option<Clock> = None;
        loop {
            let shown = clock.as_ref().map_or(replay.from, Clock::now);
            let mut taken = 0;
            while taken < INPUTS_PER_LOOK_MAX
                && let Some(next) = inputs.next_if(|next| next.is_due(shown, clock.is_some()))
            {
                self.relive(next, &mut sources);
                taken += 1;
            }
            let waits = taken < INPUTS_PER_LOOK_MAX;
            if waits && clock.is_none() {
                let until = replay.until;
                clock = Some(Clock::scaled_until(replay.from, replay.speed, until));
                self.turn.deltas.push(Delta::Mode(Mode::Replay { until }));
            }
            let ended = inputs.peek().is_none();
            sources.show(&mut self);
            self.finish_turn();
            match &clock {
                Some(_) if ended => self.hub.set_now(replay.until),
                Some(clock) => self.hub.set_now(clock.now()),
                None => {}
            }
            let wait = match (waits, &clock, inputs.peek()) {
                (true, Some(clock), Some(Replayed::Input(next))) => clock.wait_until(next.at),
                (true, Some(_), None) => Duration::from_millis(ENDED_MS),
                _ => Duration::ZERO,
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                Some(request) = self.inbox.commands.recv() => refuse(request),
                Some(query) = self.inbox.queries.recv() => query(&self.engine),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn relive(&mut self, next: Replayed, sources: &mut Sources) {
        match next {
            Replayed::Begins(engine, incomplete) => self.begin_again(*engine, &incomplete),
            Replayed::Input(stamped) => {
                sources.note(&stamped);
                self.stamper.relive(&stamped);
                self.step(stamped);
                // What became of it comes with the recording.
                self.turn.runs.clear();
            }
        }
    }
}

impl Core {
    /// Another daemon goes on: consoles see what it knows, and nothing of what it does not.
    fn begin_again(&mut self, engine: Engine, incomplete: &str) {
        let before = std::mem::replace(&mut self.engine, engine);
        let (engine, deltas) = (&self.engine, &mut self.turn.deltas);
        for row in before.incident_rows() {
            deltas.push(Delta::IncidentGone(row.id));
        }
        for (id, _) in before.entities() {
            deltas.push(Delta::EntityGone(id.clone()));
        }
        for silence in before.silences() {
            deltas.push(Delta::SilenceGone(silence.id));
        }
        for row in engine.incident_rows() {
            deltas.push(Delta::Incident(row));
        }
        for (entity, health) in engine.entities() {
            let entity = entity.clone();
            deltas.push(Delta::Entity(EntityHealth { entity, health }));
        }
        for silence in engine.silences() {
            deltas.push(Delta::Silence(Box::new(silence.clone())));
        }
        deltas.push(Delta::Counts(engine.counts()));
        let stopped = engine.automation_stopped();
        deltas.push(Delta::Automation { stopped });
        if let Some(delta) = self.notices.set(Origin::Recovery, incomplete) {
            deltas.push(delta);
        }
    }
}

impl Replayed {
    /// Whether it is to be gone through now; before the part shown is all that happened before it.
    fn is_due(&self, shown: Time, showing: bool) -> bool {
        match self {
            Self::Begins(..) => true,
            Self::Input(stamped) if showing => stamped.at <= shown,
            Self::Input(stamped) => stamped.at < shown,
        }
    }
}

impl Sources {
    fn note(&mut self, stamped: &Stamped) {
        let Input::Signals(batch) = &stamped.input else {
            return;
        };
        let row = self
            .0
            .entry(batch.source.clone())
            .or_insert_with(|| SourceRow {
                name: batch.source.0.to_string(),
                health: SourceHealth::Live,
                detail: "recording".to_owned(),
                last_seen: None,
                taken: 0,
                rejected: 0,
                dropped: 0,
                refused: 0,
                unread: 0,
                last_refusal: None,
                last_of: LastOf::default(),
                pace: Pace::default(),
            });
        row.last_seen = Some(stamped.at);
        row.taken += batch.signals.len() as u64;
    }

    /// Tells consoles of those that said something since the last time.
    fn show(&self, core: &mut Core) {
        for row in self.0.values() {
            let told = core
                .source_rows
                .iter_mut()
                .find(|told| told.name == row.name);
            match told {
                Some(told) if told == row => continue,
                Some(told) => told.clone_from(row),
                None => core.source_rows.push(row.clone()),
            }
            core.turn.deltas.push(Delta::Source(row.clone()));
        }
    }
}

fn refuse(request: CommandRequest) {
    let CommandRequest { what, reply, .. } = request;
    // Whoever asked may have gone.
    let _ = reply.send(CommandReply {
        command: what,
        refused: Some(Refusal::Replay),
        notice: None,
        silence: None,
    });
}
