//! The engine's own thread: take inputs, stamp them, step, and perform the effects in order.
//!
//! Work is done in turns. A turn takes what waits, for a bounded time; then its records become
//! durable with one write, and only then anything is shown, run or acknowledged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::checkpoints::Checkpoints;
use super::clock::Stamper;
use super::door::{CommandRequest, Inbox};
use super::gauges::Ticks;
use super::hub::{DeltaBuffer, Hub};
use super::keeper::Keeper;
use super::learn::{Ended, Learning};
use super::ledger::Ledger;
use super::notices::{Notices, Origin, in_short, untold};
use super::replay::Replay;
use super::stop_mark::StopMark;
use crate::api::CommandReply;
use crate::engine::{CLOCK_BACK_MS_MAX, Engine};
use crate::executors::Executors;
use crate::model::{
    Action, Actor, Batch, Command, Delta, Effect, Input, Mode, Notification, Outcome, PlanState,
    Record, Refusal, Role, RunId, SourceRow, Stamped, StepEvent, StepEventKind, Time, counted,
};
use crate::notify::Notifier;
use crate::sources::{QueuedBatch, SignalQueue, SourceRegistry};
use crate::store::journal::Entry;
use crate::store::recorder::Recorder;

/// Longest turn under load, in milliseconds: bounds how long a console, or the answer to a command,
/// waits for a storm.
const TURN_MS_MAX: u64 = 10;

/// Ticks made up for between two looks at everything else: a clock that is faster than the engine
/// must not keep people waiting.
const TICKS_PER_LOOK_MAX: u32 = 16;

/// Who the journal says gave a command that the daemon gives itself.
const DAEMON_NAME: &str = "stormglass";
/// What the log says of a run before this one that never came to its end, or not with everything kept.
const UNCLEAN: &str = "the run before did not end in order: it was killed, it crashed, the machine went down, or the journal could not be written; decisions are safe in the journal, of telemetry at most its last second is lost";
/// Said of a run that was told to stop while the journal fails.
const RUN_STOPPED_UNWRITTEN: &str =
    "the run is told to stop; it is not written down yet and a crash would forget it";

/// Telemetry of the past, fed before anything live: what was told at each time, in order.
pub type History = Box<dyn Iterator<Item = (Time, Vec<Batch>)> + Send>;

/// What the engine goes through before the present, or instead of it.
pub(super) enum Past {
    /// Nothing.
    None,
    /// What to learn from; then the present.
    Learning(Box<Learning>),
    /// Telemetry of the past; then the present.
    History(History),
    /// A recording, and nothing after it.
    Recorded(Replay),
}

impl Past {
    /// Whether what comes is of now, and not simulated or long over.
    pub(super) const fn is_present(&self) -> bool {
        matches!(self, Self::None | Self::Learning(_))
    }

    /// What consoles are told at first.
    pub(super) const fn mode(&self) -> Mode {
        match self {
            Self::None => Mode::Live,
            Self::Learning(_) | Self::History(_) | Self::Recorded(_) => Mode::Learning,
        }
    }
}

/// Everything the engine's thread owns.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) stamper: Stamper,
    pub(super) inbox: Inbox,
    pub(super) signals: SignalQueue,
    pub(super) registry: SourceRegistry,
    pub(super) keeper: Keeper,
    /// `None` when nothing is to be recorded.
    pub(super) recorder: Option<Recorder>,
    pub(super) checkpoints: Checkpoints,
    pub(super) executors: Executors,
    /// `None` when nobody is to be told.
    pub(super) notifier: Option<Notifier>,
    pub(super) ledger: Ledger,
    pub(super) hub: Arc<Hub>,
    pub(super) notices: Notices,
    pub(super) stop_mark: StopMark,
    /// What is wrong with the socket's file; empty when all is well.
    pub(super) socket_notice: watch::Receiver<String>,
    /// What is odd about the settings.
    pub(super) warnings: watch::Receiver<Vec<String>>,
    pub(super) turn: Turn,
    pub(super) source_rows: Vec<SourceRow>,
    pub(super) tick_times: Ticks,
    /// What senders told before a restart, until it is fed.
    pub(super) recalled: Vec<Input>,
}

/// What one turn has gathered and not yet performed.
#[derive(Debug, Default)]
pub(super) struct Turn {
    effects: Vec<Effect>,
    records: Vec<Entry>,
    pub(super) runs: Vec<PendingRun>,
    pub(super) deltas: DeltaBuffer,
    notes: Vec<(Time, Notification)>,
    /// Those of them that the outbox has.
    kept_notes: Vec<Notification>,
    /// Whether the turn before ended with an answer, before time, questions and telemetry had theirs.
    is_cut_short: bool,
    replies: Vec<(oneshot::Sender<CommandReply>, CommandReply)>,
}

/// A start or stop of an action, in order.
#[derive(Debug)]
pub(super) enum PendingRun {
    Start(RunId, Action),
    Cancel(RunId),
}

impl Core {
    /// Feeds history, then works until `stop` turns true. What was taken by then is performed.
    pub(super) async fn run(mut self, past: Past, stop: watch::Receiver<bool>) {
        let ledger = self.ledger.clone();
        self.record_start();
        // What the journal does not have is lost with this process, and the next one says so.
        if Box::pin(self.work(past, stop)).await {
            ledger.end_run();
        }
    }

    /// Works to the end; whether all that happened is in the journal then.
    async fn work(mut self, past: Past, mut stop: watch::Receiver<bool>) -> bool {
        let mut brake = None;
        let past = match past {
            Past::Learning(_) if self.cannot_wait() => {
                self.skip_learning();
                Past::None
            }
            Past::Learning(learning) => {
                match self.learn(*learning, &mut stop).await {
                    Ended::Present(request) => brake = request,
                    Ended::Stopped => return self.keeper.holds_nothing_back(),
                }
                Past::None
            }
            past => past,
        };
        self.take_recalled();
        self.honour_mark();
        self.look_after_orphans();
        if let Some(request) = brake {
            self.command(request);
            self.finish_turn();
        }
        match past {
            Past::None | Past::Learning(_) => {}
            Past::History(history) => {
                for (at, batches) in history {
                    if *stop.borrow() {
                        return self.keeper.holds_nothing_back();
                    }
                    self.feed_history(at, batches);
                }
                self.turn.deltas.push(Delta::Mode(Mode::Live));
            }
            Past::Recorded(replay) => {
                self.replay(replay, stop).await;
                // What was decided then is not written down again.
                return true;
            }
        }
        while self.wait(&mut stop).await {
            self.work_through_queues();
            self.finish_turn();
        }
        self.take_the_rest();
        self.finish_turn();
        self.checkpoints.finish(&self.engine, self.stamper.at());
        if let Some(notifier) = self.notifier {
            notifier.stop().await;
        }
        self.ledger.flush();
        self.keeper.holds_nothing_back()
    }

    fn record_start(&mut self) {
        let at = self.stamper.now();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let unclean = self.ledger.begin_run();
        if unclean {
            tracing::warn!("{UNCLEAN}");
        }
        self.turn.records.push(Entry {
            at,
            seq: 0,
            record: Record::Started {
                version,
                at,
                found: Vec::new(),
                unclean,
            },
        });
        self.finish_turn();
    }

    fn take_recalled(&mut self) {
        for input in std::mem::take(&mut self.recalled) {
            self.input(input);
            self.finish_turn();
        }
    }

    /// Whether an earlier daemon left behind what must be looked after before anything else.
    fn cannot_wait(&self) -> bool {
        let is_stopped_unwritten = self.stop_mark.found() && !self.engine.automation_stopped();
        is_stopped_unwritten || self.engine.runs_in_doubt().next().is_some()
    }

    /// Commands that an earlier daemon started may go on without it: the engine is told which do
    /// before anybody can decide anything about them.
    fn look_after_orphans(&mut self) {
        let in_doubt = self.engine.runs_in_doubt();
        let found: Vec<StepEvent> = in_doubt
            .map(|(run, process)| self.executors.adopt(run, process))
            .collect();
        for event in found {
            self.input(Input::Step(event));
        }
        self.finish_turn();
    }

    fn feed_history(&mut self, at: Time, batches: Vec<Batch>) {
        for batch in batches {
            let stamped = self.stamper.stamp_at(at, Input::Signals(batch));
            self.step(stamped);
        }
        let tick = self.stamper.stamp_at(at, Input::Tick);
        self.step(tick);
        self.finish_turn();
        // The past comes as fast as it is taken; nothing of it needs to be lost.
        if let Some(recorder) = &self.recorder {
            recorder.catch_up();
        }
    }

    /// Waits for one input and takes it; false when it is time to stop. People and executors go
    /// first, then time, then questions, then telemetry.
    async fn wait(&mut self, stop: &mut watch::Receiver<bool>) -> bool {
        let until_tick = self.stamper.until_tick();
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return false,
            Some(request) = self.inbox.commands.recv() => self.command(request),
            Some(event) = self.inbox.steps.recv() => self.input(Input::Step(event)),
            () = tokio::time::sleep(until_tick) => {}
            Some(query) = self.inbox.queries.recv() => query(&self.engine),
            Some(queued) = self.signals.recv() => self.telemetry(queued),
        }
        true
    }

    /// Takes what waits, at most one batch of telemetry between two looks at everything else. Whoever was decided
    /// about is answered before anything else is done; a flood of commands does not keep the rest out, as every
    /// other turn takes some of it.
    fn work_through_queues(&mut self) {
        let end = Instant::now() + Duration::from_millis(TURN_MS_MAX);
        loop {
            let mut idle = true;
            while let Ok(request) = self.inbox.commands.try_recv() {
                self.command(request);
                idle = false;
            }
            while let Ok(event) = self.inbox.steps.try_recv() {
                self.input(Input::Step(event));
                idle = false;
            }
            let is_owed = !self.turn.replies.is_empty();
            self.turn.is_cut_short = is_owed && !self.turn.is_cut_short;
            if self.turn.is_cut_short {
                return;
            }
            self.ticks();
            if let Ok(query) = self.inbox.queries.try_recv() {
                query(&self.engine);
                idle = false;
            }
            if let Some(queued) = self.signals.try_recv() {
                self.telemetry(queued);
                idle = false;
            }
            if idle || is_owed || Instant::now() >= end {
                return;
            }
        }
    }

    /// What was acknowledged is not lost by stopping. The queue is bounded.
    fn take_the_rest(&mut self) {
        for _ in 0..self.signals.len() {
            let Some(queued) = self.signals.try_recv() else {
                break;
            };
            self.telemetry(queued);
        }
    }

    /// Takes one batch. Whoever waits for it to be kept is told once it is, or at once when nothing is
    /// recorded at all.
    fn telemetry(&mut self, mut queued: QueuedBatch) {
        let receipt = queued.receipt();
        let recorder = receipt.as_ref().and(self.recorder.as_ref());
        let lost = recorder.map_or(0, Recorder::lost_inputs);
        let batch = queued.take(self.stamper.now());
        self.input(Input::Signals(batch));
        match (receipt, &self.recorder) {
            (Some(receipt), Some(recorder)) => recorder.promise(receipt, lost),
            (Some(receipt), None) => receipt.give(),
            (None, _) => {}
        }
    }

    fn ticks(&mut self) {
        let mut ticked = false;
        for _ in 0..TICKS_PER_LOOK_MAX {
            let Some(tick) = self.stamper.due_tick() else {
                break;
            };
            let began = Instant::now();
            self.step(tick);
            self.tick_times.note(began.elapsed());
            ticked = true;
        }
        if ticked {
            self.keeper.retry();
            self.checkpoints.tick(&self.engine, self.stamper.at());
            let notice = self.checkpoints.notice();
            if let Some(delta) = self.notices.set(Origin::Checkpoint, notice) {
                self.turn.deltas.push(delta);
            }
            self.note_keeper();
            self.note_database();
            self.note_recorder();
            self.note_notifier();
            self.note_told();
            self.note_sources(self.stamper.at());
        }
    }

    /// A decision is durable before it acts: what the engine would decide is written down first, and
    /// fed to it only then. One that cannot be written down is refused, and nothing has changed; but
    /// a brake works also then, its record waits with the others, and the answer says so.
    fn command(&mut self, request: CommandRequest) {
        let CommandRequest { by, what, reply } = request;
        let input = |what: &Command| Input::Command {
            by: by.clone(),
            what: what.clone(),
        };
        let mut stamped = self.stamper.ahead(input(&what));
        if self.engine.now().since(stamped.at) > CLOCK_BACK_MS_MAX {
            // The engine follows the clock first: what that voids must not be approved any more.
            self.input(Input::Tick);
            stamped = self.stamper.ahead(input(&what));
        }
        let decided = self.rehearse(&stamped);
        let already = self.engine.done_already(&by, &what);
        let (refused, notice) = match self.commit(&decided) {
            Ok(()) => {
                self.stamper.relive(&stamped);
                self.step_decided(stamped, Some(&decided));
                let refused = decision(&decided, &what);
                if refused.is_none() && matches!(what, Command::KillSwitch { .. }) {
                    self.stop_mark.clear();
                    self.note_stop();
                }
                let notice = already.filter(|_| refused.is_none());
                (refused, notice)
            }
            Err(_) if self.only_stops(&what) => {
                // What could not be started was told to the engine meanwhile, under the next numbers.
                let stamped = self.stamper.stamp(input(&what));
                let decided = self.rehearse(&stamped);
                self.step_decided(stamped, None);
                let refused = decision(&decided, &what);
                let notice = refused.is_none().then(|| self.not_written(&what));
                (refused, notice)
            }
            Err(why) => (Some(Refusal::NotDurable { why }), None),
        };
        let silence = decided.iter().find_map(|entry| match &entry.record {
            Record::Silence { silence } if refused.is_none() => Some(silence.id),
            _ => None,
        });
        let answer = CommandReply {
            command: what,
            silence,
            refused,
            notice,
        };
        self.turn.replies.push((reply, answer));
    }

    /// What to say of a brake that works and is not in the journal yet; a stop of everything is marked
    /// elsewhere, where a full disk does not matter.
    fn not_written(&mut self, brake: &Command) -> String {
        if !matches!(brake, Command::KillSwitch { .. }) {
            return RUN_STOPPED_UNWRITTEN.to_owned();
        }
        let notice = self.stop_mark.set();
        self.note_stop();
        notice
    }

    /// An earlier daemon stopped all automation and could not write it down: it stays stopped.
    fn honour_mark(&mut self) {
        if self.stop_mark.found() && !self.engine.automation_stopped() {
            let by = Actor {
                name: DAEMON_NAME.to_owned(),
                role: Role::Admin,
            };
            let what = Command::KillSwitch { on: true };
            self.input(Input::Command { by, what });
        }
        self.note_stop();
        self.finish_turn();
    }

    fn note_stop(&mut self) {
        if let Some(delta) = self.notices.set(Origin::Stop, self.stop_mark.notice()) {
            self.turn.deltas.push(delta);
        }
    }

    /// The records the engine will make of a command, as far as they decide anything.
    pub(super) fn rehearse(&self, stamped: &Stamped) -> Vec<Entry> {
        let (at, seq) = (stamped.at, stamped.seq);
        let records = self.engine.rehearse(stamped).into_iter();
        records.map(|record| Entry { at, seq, record }).collect()
    }

    /// Feeds a command. What of its records is durable already is not kept twice, and may act at once.
    fn step_decided(&mut self, stamped: Stamped, durable: Option<&Vec<Entry>>) {
        self.step(stamped);
        let Some(durable) = durable else { return };
        if self.turn.records.starts_with(durable) {
            self.turn.records.drain(..durable.len());
            self.start_runs();
        } else {
            // Both are kept, and what the engine did waits until its own record is durable.
            tracing::error!("a command was decided in another way than it was written down");
        }
    }

    /// Whether a command can only stop what runs: a brake must work also when it cannot be written
    /// down yet. Undoing is one while something runs, known or unheard; otherwise it starts something.
    pub(super) fn only_stops(&self, command: &Command) -> bool {
        match command {
            Command::KillSwitch { on } => *on,
            Command::RollBack { plan, .. } => {
                self.engine
                    .plan(*plan)
                    .is_some_and(|plan| match plan.state {
                        PlanState::Checking { .. }
                        | PlanState::Running { .. }
                        | PlanState::RollingBack { .. } => true,
                        _ => plan.runs_unheard().is_some(),
                    })
            }
            _ => false,
        }
    }

    fn input(&mut self, input: Input) {
        let stamped = self.stamper.stamp(input);
        self.step(stamped);
    }

    pub(super) fn step(&mut self, stamped: Stamped) {
        let turn = &mut self.turn;
        self.engine.step(&stamped, &mut turn.effects);
        for effect in turn.effects.drain(..) {
            if let (Effect::Record(Record::Incident { incident }), Some(recorder)) =
                (&effect, &self.recorder)
            {
                recorder.pin(incident, stamped.at);
            }
            match effect {
                Effect::Record(record) => turn.records.push(Entry {
                    at: stamped.at,
                    seq: stamped.seq,
                    record,
                }),
                Effect::Changed(Delta::Banner(text)) => {
                    if let Some(delta) = self.notices.set(Origin::Engine, &text) {
                        turn.deltas.push(delta);
                    }
                }
                Effect::Changed(delta) => turn.deltas.push(delta),
                Effect::Run { run, action } => turn.runs.push(PendingRun::Start(run, action)),
                Effect::Cancel { run } => turn.runs.push(PendingRun::Cancel(run)),
                Effect::Notify(note) => turn.notes.push((stamped.at, note)),
            }
        }
        if let Some(recorder) = &self.recorder {
            recorder.record(stamped);
        }
    }

    /// Records first; only then what they justify.
    pub(super) fn finish_turn(&mut self) {
        // Whether it worked is shown; every reply says whether its own decision is durable.
        let _ = self.commit(&[]);
        if self.stop_mark.found() && self.keeper.holds_nothing_back() {
            self.stop_mark.written();
            self.note_stop();
        }
        self.tell_people();
        let deltas = self.turn.deltas.take();
        self.hub.publish(self.stamper.at(), &deltas);
        for (reply, answer) in self.turn.replies.drain(..) {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }

    /// Puts what people must be told into the outbox. That comes before what it tells of is durable: an
    /// incident that the journal has is told no more after a restart.
    fn keep_notes(&mut self) {
        let notes = std::mem::take(&mut self.turn.notes);
        if let Some(notifier) = self.notifier.as_ref().filter(|_| !notes.is_empty()) {
            notifier.keep(&notes);
        }
        let kept = notes.into_iter().map(|(_, note)| note);
        self.turn.kept_notes.extend(kept);
    }

    /// Tells people, and the log.
    fn tell_people(&mut self) {
        self.keep_notes();
        for note in self.turn.kept_notes.drain(..) {
            tracing::info!(
                incident = %note.incident,
                severity = note.severity.as_str(),
                event = ?note.event,
                "{}",
                crate::model::SafeText::new(&note.text)
            );
        }
        if let Some(notifier) = &self.notifier {
            notifier.send();
        }
    }

    /// Makes what happened in this turn durable, and with it what is about to be decided; starts what
    /// that justifies. On an error nothing of what is to be decided counts.
    fn commit(&mut self, decided: &[Entry]) -> Result<(), String> {
        self.keep_notes();
        let happened = std::mem::take(&mut self.turn.records);
        let durable = self.keeper.keep(happened, decided);
        self.note_keeper();
        match &durable {
            Ok(()) => self.start_runs(),
            Err(why) => self.refuse_runs(why),
        }
        durable
    }

    fn start_runs(&mut self) {
        for run in self.turn.runs.drain(..) {
            match run {
                PendingRun::Start(run, action) => self.executors.run(run, action),
                PendingRun::Cancel(run) => self.executors.cancel(run),
            }
        }
    }

    /// Nothing starts whose intent is not durable. The engine is told that it never ran, so that it is
    /// not undone; it asks for nothing else instead, because that could not be started either.
    fn refuse_runs(&mut self, why: &str) {
        for run in std::mem::take(&mut self.turn.runs) {
            match run {
                PendingRun::Cancel(run) => self.executors.cancel(run),
                PendingRun::Start(run, _) => {
                    let why = format!("the journal cannot be written ({why})");
                    let kind = StepEventKind::Finished(Outcome::NotStarted { why, alone: false });
                    self.input(Input::Step(StepEvent { run, kind }));
                }
            }
        }
        let records = std::mem::take(&mut self.turn.records);
        // They wait with the others; that the journal fails is known already.
        let _ = self.keeper.keep(records, &[]);
    }

    fn note_keeper(&mut self) {
        let notice = self.keeper.notice();
        if let Some(delta) = self.notices.set(Origin::Journal, &notice) {
            if notice.is_empty() {
                tracing::info!("the journal can be written again");
            } else {
                tracing::error!("{notice}");
            }
            self.turn.deltas.push(delta);
        }
    }

    fn note_database(&mut self) {
        if let Some(delta) = self.notices.set(Origin::Database, &self.ledger.db_off()) {
            self.turn.deltas.push(delta);
        }
    }

    /// Says what became of the socket's file, and what is odd about the settings by now.
    fn note_told(&mut self) {
        let socket = self.socket_notice.borrow().clone();
        let settings = in_short(&self.warnings.borrow());
        for (origin, text) in [(Origin::Socket, socket), (Origin::Config, settings)] {
            if let Some(delta) = self.notices.set(origin, &text) {
                self.turn.deltas.push(delta);
            }
        }
    }

    /// Says whom people's messages do not reach, and how many were given up.
    fn note_notifier(&mut self) {
        let text = self.notifier.as_ref().map_or_else(String::new, untold);
        if let Some(delta) = self.notices.set(Origin::Notify, &text) {
            self.turn.deltas.push(delta);
        }
    }

    /// Says what the recorder could not keep.
    fn note_recorder(&mut self) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        let status = recorder.status();
        let text = match (&status.failing, status.lost_inputs) {
            (None, 0) => String::new(),
            (Some(why), _) => format!("nothing is recorded for replay: {why}"),
            (None, lost) => {
                let inputs = counted(lost, "input is", "inputs are");
                format!(
                    "{inputs} missing from the recording: the disk was full or could not follow"
                )
            }
        };
        if let Some(delta) = self.notices.set(Origin::Recorder, &text) {
            self.turn.deltas.push(delta);
        }
    }

    /// Shows the sources that changed since the last look.
    pub(super) fn note_sources(&mut self, at: Time) {
        self.hub.set_now(at);
        let mut rows = self.registry.rows(at);
        for (source, refused) in self.engine.refused_by_source() {
            if let Some(row) = rows.iter_mut().find(|row| *row.name == *source.0) {
                row.refuse(&refused);
            }
        }
        for row in &rows {
            if !self.source_rows.contains(row) {
                self.turn.deltas.push(Delta::Source(row.clone()));
            }
        }
        self.source_rows = rows;
    }
}

/// What the engine decided about `command`, from the record it made of it.
pub(super) fn decision(records: &[Entry], command: &Command) -> Option<Refusal> {
    let decided = records.iter().find_map(|entry| match &entry.record {
        Record::Decision { what, refused, .. } if what == command => Some(refused.clone()),
        _ => None,
    });
    // A command without a record has not happened, whatever the engine made of it.
    decided.unwrap_or_else(|| {
        Some(Refusal::Policy {
            why: "the engine recorded no decision".to_owned(),
        })
    })
}

#[cfg(test)]
mod tests;
