//! Checkpoints of what the engine learned: one part a tick to a thread that writes them, and a whole
//! one when the daemon stops.
//!
//! The engine's thread never waits for the disk, but at the very end. A checkpoint that fails is told
//! and tried again; the one before it stays.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;

use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor, Engine};
use crate::model::{FiringAlert, Time};
use crate::store::checkpoint::{self, Checkpoint, CheckpointFileError, CheckpointWriter};
use crate::store::recorder::Learned;

/// Engine time between two checkpoints, in milliseconds.
const EVERY_MS: i64 = 5 * 60_000;
/// Until the first, which is soon: who spoke before a crash and does not after it must be missed.
const FIRST_MS: i64 = 60_000;
/// Parts that wait for the disk; while as many do, the next one waits in the engine.
const PARTS_WAITING_MAX: usize = 2;

/// Takes checkpoints of an engine; without a folder it does nothing.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    writer: Option<Writer>,
    /// When the next one is due; `None` before the first tick.
    due: Option<Time>,
    /// The one being taken.
    cursor: Option<CheckpointCursor>,
    failing: String,
}

#[derive(Debug)]
struct Writer {
    errands: SyncSender<Errand>,
    outcomes: Receiver<Result<u64, CheckpointFileError>>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Errand {
    Begin(Time),
    Part(Vec<u8>),
    Finish,
}

impl Checkpoints {
    /// Checkpoints go to `folder`.
    pub(super) fn new(folder: Option<&Path>) -> std::io::Result<Self> {
        let writer = folder.map(|folder| Writer::start(folder.to_owned()));
        Ok(Self {
            writer: writer.transpose()?,
            ..Self::default()
        })
    }

    /// One step, at most one part: call it each tick.
    pub(super) fn tick(&mut self, engine: &Engine, now: Time) {
        let Some(writer) = &self.writer else { return };
        for outcome in writer.outcomes.try_iter() {
            self.failing = told(outcome);
        }
        let latest = now.plus_ms(EVERY_MS);
        // No later than that, also when the clock was set back.
        let first = now.plus_ms(FIRST_MS);
        let due = self.due.map_or(first, |due| due.min(latest));
        self.due = Some(due);
        let (errand, next) = match self.cursor {
            None if now < due => return,
            None => (Errand::Begin(now), Some(CheckpointCursor::default())),
            Some(mut cursor) => match engine.checkpoint_part(&mut cursor) {
                Some(part) => (Errand::Part(part), Some(cursor)),
                None => (Errand::Finish, None),
            },
        };
        match writer.errands.try_send(errand) {
            Ok(()) => {
                self.cursor = next;
                self.due = Some(now.plus_ms(EVERY_MS));
            }
            // The disk is slower than we are; the same part is asked for again.
            Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => {
                "the thread that writes checkpoints is gone".clone_into(&mut self.failing);
            }
        }
    }

    /// The next one is due now.
    pub(super) fn hasten(&mut self) {
        self.due = Some(Time::ZERO);
    }

    /// Takes a whole one, exact as of the last input, and waits until it is durable.
    pub(super) fn finish(self, engine: &Engine, now: Time) {
        let Some(writer) = self.writer else { return };
        let mut cursor = CheckpointCursor::default();
        let parts = std::iter::from_fn(|| engine.checkpoint_part(&mut cursor));
        let errands = std::iter::once(Errand::Begin(now))
            .chain(parts.map(Errand::Part))
            .chain(std::iter::once(Errand::Finish));
        for errand in errands {
            if writer.errands.send(errand).is_err() {
                break;
            }
        }
        drop(writer.errands);
        if writer.thread.join().is_err() {
            tracing::error!("the thread that writes checkpoints panicked");
        }
        writer.outcomes.try_iter().for_each(|outcome| {
            told(outcome);
        });
    }

    /// What the operator must know; empty when all is well.
    pub(super) fn notice(&self) -> &str {
        &self.failing
    }
}

impl Writer {
    fn start(folder: PathBuf) -> std::io::Result<Self> {
        let (errands, inbox) = sync_channel(PARTS_WAITING_MAX);
        let (tell, outcomes) = channel();
        let work = move || {
            let mut writer: Option<CheckpointWriter> = None;
            for errand in inbox {
                let outcome = match (errand, writer.take()) {
                    (Errand::Begin(at), _) => {
                        CheckpointWriter::create(&folder, CHECKPOINT_VERSION, at).map(Some)
                    }
                    (Errand::Part(part), Some(mut open)) => open.part(&part).map(|()| Some(open)),
                    (Errand::Finish, Some(open)) => open.finish().map(|bytes| {
                        // Nobody listens any more when the daemon ends.
                        let _ = tell.send(Ok(bytes));
                        None
                    }),
                    // It failed before, and was told.
                    (Errand::Part(_) | Errand::Finish, None) => Ok(None),
                };
                match outcome {
                    Ok(open) => writer = open,
                    Err(error) => {
                        let _ = tell.send(Err(error));
                    }
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(work)?;
        Ok(Self {
            errands,
            outcomes,
            thread,
        })
    }
}

fn told(outcome: Result<u64, CheckpointFileError>) -> String {
    match outcome {
        Ok(bytes) => {
            tracing::info!(bytes, "checkpoint written");
            String::new()
        }
        Err(error) => {
            let text = format!("what was learned cannot be kept: {error}");
            tracing::warn!("{text}");
            text
        }
    }
}

/// A checkpoint that was taken back.
pub(super) struct Restored {
    /// When it was begun.
    pub(super) at: Time,
    /// The alerts that fired then.
    pub(super) alerts: Vec<FiringAlert>,
    /// All of it, as it was read.
    pub(super) learned: Learned,
}

/// Gives a fresh engine what an earlier run learned; an error says what the operator must know.
pub(super) fn restore(engine: &mut Engine, folder: &Path) -> Result<Option<Restored>, String> {
    let unusable =
        |why: String| format!("baselines warm up again: the checkpoint cannot be used ({why})");
    let read = checkpoint::read(folder).map_err(|error| unusable(error.to_string()))?;
    let Some(Checkpoint { version, at, parts }) = read else {
        return Ok(None);
    };
    let slices = parts.iter().map(Vec::as_slice);
    let alerts = engine.restore_checkpoint(version, slices);
    let alerts = alerts.map_err(|error| unusable(error.to_string()))?;
    tracing::info!(%at, "baselines are those of before");
    let learned = Learned { version, parts };
    Ok(Some(Restored {
        at,
        alerts,
        learned,
    }))
}
