//! The bounded queue between the sources and the engine, and what is counted on the way.
//!
//! The bound is in signals, not in batches, so that its memory is known. A source chooses what a
//! full queue does: [`SignalSender::send`] waits (back-pressure), [`SignalSender::try_send`] refuses
//! (answer 429 or 503 with `Retry-After`) and counts it as sent back, [`SignalSender::send_or_lose`]
//! counts it as lost. Commands never travel here.

mod refusals;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use refusals::{NotTaken, Refusals};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};

use super::rhythm::Gaps;
use super::rhythm::Rate;
use super::secrets;
use crate::model::{
    Batch, Heaviest, Labels, Lags, Lost, Pace, Pauses, QueueStats, Quiet, Signal, SourceHealth,
    SourceId, SourceRow, Spoke, Time,
};
use crate::store::recorder::{Kept, Receipt, receipt};

/// Most signals waiting for the engine; at some 200 bytes each this is some 25 MiB.
pub const SIGNALS_QUEUED_MAX: u32 = 131_072;
/// Once something found no room, the engine is behind until there is room for this many signals again: some ten milliseconds
/// of its work, so that it never waits for what was sent back meanwhile.
const ROOM_AGAIN: usize = SIGNALS_QUEUED_MAX as usize / 8;
/// Most batches waiting for the engine, however small they are.
const BATCHES_QUEUED_MAX: usize = 4_096;
/// Signals the engine takes at once, at most: less than a millisecond of work, after which it looks for commands
/// again. What senders bring together beyond that travels as several batches, of which all are taken or none.
const BATCH_SIGNALS_MAX: usize = 512;
/// A source is silent after this many times its usual silence, …
const SILENT_AFTER_SILENCES: i64 = 3;
/// … but never before this long, in milliseconds.
const SILENT_AFTER_MS_MIN: i64 = 60_000;
/// A source that spoke for less than this was tried out, and is not waited for, in milliseconds.
const HEARD_MS_MIN: i64 = 10_000;

/// Whether silence of a source means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// It speaks at a steady pace: scrapes, remote write, host telemetry.
    Regular,
    /// It speaks when something happens: alerts, changes, logs.
    Sporadic,
    /// It is declared to speak this often at least, in milliseconds: heartbeats.
    Declared(i64),
}

/// Who says what signals say: that is whether anybody was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// A sender.
    Sender,
    /// Senders, put together meanwhile.
    Senders,
    /// We ourselves: that nothing was sent.
    Us,
}

/// Why signals were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The queue is full: the sender should try again in a moment.
    #[error("the engine is behind and its queue is full, try again in a moment")]
    Full,
    /// The engine has stopped.
    #[error("the engine has stopped")]
    Closed,
}

/// What one source delivers through; cheap to clone.
#[derive(Clone, Debug)]
pub struct SignalSender {
    queue: mpsc::Sender<QueuedBatch>,
    room: Arc<Semaphore>,
    /// Something found no room, and nobody looked since whether there is some.
    was_full: Arc<AtomicBool>,
    source: Arc<SourceState>,
}

/// All sources known, for their rows; cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceRegistry {
    queue: mpsc::Sender<QueuedBatch>,
    room: Arc<Semaphore>,
    was_full: Arc<AtomicBool>,
    sources: Arc<Mutex<BTreeMap<String, Arc<SourceState>>>>,
}

/// The engine's end of the queue.
#[derive(Debug)]
pub struct SignalQueue {
    queue: mpsc::Receiver<QueuedBatch>,
}

/// A batch on its way; the room it takes is given back when it is dropped.
#[derive(Debug)]
pub struct QueuedBatch {
    batch: Batch,
    source: Arc<SourceState>,
    by: By,
    /// For whoever waits until it is kept.
    receipt: Option<Receipt>,
    room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct SourceState {
    id: SourceId,
    rhythm: Rhythm,
    heard: Mutex<Heard>,
    taken: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
    unread: AtomicU64,
    /// Whose signals found no room, of those that were lost.
    lost: Mutex<Heaviest<Labels>>,
}

/// What is known of a source besides its counts.
#[derive(Debug, Default)]
struct Heard {
    /// Where it listens, reads or connects.
    detail: String,
    failure: Option<String>,
    /// Whether signals do not take the failure back: they say themselves that it does not work.
    is_standing: bool,
    /// From its first batch to its last, in milliseconds.
    spoke_ms: i64,
    last_seen: Option<Time>,
    /// When it was heard before the daemon was started, and since when we listen again.
    before: Option<(Time, Time)>,
    /// Since when one is waited for that is declared to speak.
    awaited_from: Option<Time>,
    gaps: Gaps,
    pauses: Pauses,
    rate: Rate,
    /// How old data is when it comes, by the last of each batch.
    lags: Lags,
    /// Silences so long that it counted as blind.
    blind_gaps: u64,
    refusals: Refusals,
}

/// Makes the queue: sources are registered at one end, the engine reads the other.
pub fn signal_queue() -> (SourceRegistry, SignalQueue) {
    let (sender, receiver) = mpsc::channel(BATCHES_QUEUED_MAX);
    let registry = SourceRegistry {
        queue: sender,
        room: Arc::new(Semaphore::new(SIGNALS_QUEUED_MAX as usize)),
        was_full: Arc::default(),
        sources: Arc::default(),
    };
    (registry, SignalQueue { queue: receiver })
}

impl SourceRegistry {
    /// Registers a source, or finds it again. `detail` says where it listens, reads or connects.
    pub fn source(&self, name: &str, rhythm: Rhythm, detail: &str) -> SignalSender {
        let mut sources = lock(&self.sources);
        let source = sources.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(SourceState {
                id: SourceId::new(name),
                rhythm,
                heard: Mutex::default(),
                taken: AtomicU64::new(0),
                rejected: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                unread: AtomicU64::new(0),
                lost: Mutex::default(),
            })
        });
        detail.clone_into(&mut lock(&source.heard).detail);
        SignalSender {
            queue: self.queue.clone(),
            room: Arc::clone(&self.room),
            was_full: Arc::clone(&self.was_full),
            source: Arc::clone(source),
        }
    }

    /// How every source is at `now`, by name.
    pub fn rows(&self, now: Time) -> Vec<SourceRow> {
        lock(&self.sources).values().map(|s| s.row(now)).collect()
    }

    /// How sources spoke before the daemon was started: whoever should speak and does not since `now` is missed as if
    /// there had been no restart. The time between was ours, and counts for nobody's silence.
    pub fn remember(&self, spoke: &BTreeMap<SourceId, Spoke>, now: Time) {
        let sources = lock(&self.sources);
        for (id, spoke) in spoke {
            if let Some(source) = sources.get(&*id.0) {
                source.remember(*spoke, now);
            }
        }
    }

    /// How full the queue is.
    pub fn queue(&self) -> QueueStats {
        let signals_max = u64::from(SIGNALS_QUEUED_MAX);
        QueueStats {
            signals: signals_max.saturating_sub(self.room.available_permits() as u64),
            signals_max,
        }
    }

    /// Whose signals were lost for want of room, by source and label set: those with most.
    pub fn lost(&self) -> Vec<Lost> {
        let sources = lock(&self.sources);
        let lost = sources.values().flat_map(|source| source.lost());
        lost.collect()
    }
}

impl SignalSender {
    /// Hands over signals, waiting while the queue is full.
    pub async fn send(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        self.deliver(signals, By::Sender, None).await
    }

    /// The same of signals that nobody sent: they count neither as hearing the source nor as taken of it.
    pub async fn send_ours(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        self.deliver(signals, By::Us, None).await
    }

    async fn deliver(
        &self,
        signals: Vec<Signal>,
        by: By,
        receipt: Option<Receipt>,
    ) -> Result<(), SendError> {
        if signals.is_empty() && receipt.is_none() {
            return Ok(());
        }
        let wanted = permits(signals.len());
        let room = Arc::clone(&self.room)
            .acquire_many_owned(wanted)
            .await
            .map_err(|_| SendError::Closed)?;
        let queued = self.queued(signals, by, receipt, room);
        let places = self.queue.reserve_many(queued.len()).await;
        let places = places.map_err(|_| SendError::Closed)?;
        places
            .zip(queued)
            .for_each(|(place, batch)| place.send(batch));
        Ok(())
    }

    /// Hands over signals, waiting while the queue is full, and tells when they are kept: recorded on the
    /// disk, or taken by the engine when nothing is recorded.
    pub async fn send_for_receipt(&self, signals: Vec<Signal>) -> Result<Kept, SendError> {
        let (receipt, kept) = receipt();
        self.deliver(signals, By::Sender, Some(receipt)).await?;
        Ok(kept)
    }

    /// Hands over signals, or counts them as sent back when the queue is full: for senders that keep
    /// what was not taken and try again.
    pub fn try_send(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        let sent = self.offer(signals, By::Sender, None);
        sent.map_err(|(error, signals)| {
            self.send_back(signals.len() as u64, &error.to_string());
            error
        })
    }

    /// Hands over signals, or counts them as lost when the queue is full: for senders that cannot
    /// send again.
    pub fn send_or_lose(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        self.offer_or_lose(signals, By::Sender, None)
    }

    /// The same of signals that nobody sent as they are: they do not count as hearing the source.
    pub fn send_ours_or_lose(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        self.offer_or_lose(signals, By::Senders, None)
    }

    /// From `now` on whoever declared to speak is waited for, also if it is never heard.
    pub(super) fn await_from(&self, now: Time) {
        lock(&self.source.heard).awaited_from = Some(now);
    }

    /// Notes that a sender spoke, though there is nothing to hand over yet.
    pub fn hear(&self, now: Time) {
        lock(&self.source.heard).hear(now, self.source.rhythm);
    }

    /// The same, and tells when they are kept.
    pub fn send_or_lose_for_receipt(&self, signals: Vec<Signal>) -> Result<Kept, SendError> {
        let (receipt, kept) = receipt();
        self.offer_or_lose(signals, By::Sender, Some(receipt))?;
        Ok(kept)
    }

    fn offer_or_lose(
        &self,
        signals: Vec<Signal>,
        by: By,
        receipt: Option<Receipt>,
    ) -> Result<(), SendError> {
        let sent = self.offer(signals, by, receipt);
        sent.map_err(|(error, signals)| {
            self.lose(signals.len() as u64, &error.to_string());
            let mut lost = lock(&self.source.lost);
            for labels in signals.iter().filter_map(Signal::labels) {
                lost.count(labels, Labels::clone);
            }
            error
        })
    }

    /// Hands over signals if there is room for all of them; else they are given back.
    fn offer(
        &self,
        signals: Vec<Signal>,
        by: By,
        receipt: Option<Receipt>,
    ) -> Result<(), (SendError, Vec<Signal>)> {
        if signals.is_empty() && receipt.is_none() {
            return Ok(());
        }
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits(signals.len()));
        let room = match room {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => {
                self.was_full.store(true, Ordering::Relaxed);
                return Err((SendError::Full, signals));
            }
            Err(TryAcquireError::Closed) => return Err((SendError::Closed, signals)),
        };
        let queued = self.queued(signals, by, receipt, room);
        match self.queue.try_reserve_many(queued.len()) {
            Ok(places) => {
                places
                    .zip(queued)
                    .for_each(|(place, batch)| place.send(batch));
                Ok(())
            }
            Err(error) => {
                let error = match error {
                    mpsc::error::TrySendError::Full(()) => SendError::Full,
                    mpsc::error::TrySendError::Closed(()) => SendError::Closed,
                };
                let signals = queued.into_iter().flat_map(|of| of.batch.signals);
                Err((error, signals.collect()))
            }
        }
    }

    /// Signals there is room for now.
    pub(super) fn room(&self) -> usize {
        self.room.available_permits()
    }

    /// Whether there is room for so many signals now; else they count as sent back: for what would be decoded only
    /// to be refused.
    pub(super) fn would_fit(&self, signals: usize) -> Result<(), SendError> {
        if self.room() >= permits(signals) as usize {
            return Ok(());
        }
        self.was_full.store(true, Ordering::Relaxed);
        let refused = SendError::Full;
        self.send_back(signals as u64, &refused.to_string());
        Err(refused)
    }

    /// Whether something found no room of late, and there is little still.
    pub(super) fn is_behind(&self) -> bool {
        // Most of the time nothing was: one load tells.
        if !self.was_full.load(Ordering::Relaxed) {
            return false;
        }
        let is_behind = self.room() < ROOM_AGAIN;
        if !is_behind {
            self.was_full.store(false, Ordering::Relaxed);
        }
        is_behind
    }

    /// The name batches carry.
    pub fn source(&self) -> &SourceId {
        &self.source.id
    }

    /// Counts signals or requests refused as malformed; `why` may repeat what was sent.
    pub fn reject(&self, count: u64, why: &str) {
        self.source.rejected.fetch_add(count, Ordering::Relaxed);
        self.source.note(NotTaken::Rejected, why);
    }

    /// Counts signals or requests that their sender keeps and sends again.
    pub fn send_back(&self, count: u64, why: &str) {
        self.source.refused.fetch_add(count, Ordering::Relaxed);
        self.source.note(NotTaken::SentBack, why);
    }

    /// Counts a request that its sender keeps and sends again, and of which nobody knows how many signals it holds.
    pub(super) fn send_back_unread(&self, why: &str) {
        self.source.unread.fetch_add(1, Ordering::Relaxed);
        self.source.note(NotTaken::SentBack, why);
    }

    /// Counts signals lost before they reached the queue.
    pub fn lose(&self, count: u64, why: &str) {
        self.source.dropped.fetch_add(count, Ordering::Relaxed);
        self.source.note(NotTaken::Dropped, why);
    }

    /// The source cannot work, and why. The next signals it delivers take this back.
    pub fn fail(&self, why: &str) {
        let mut heard = lock(&self.source.heard);
        heard.failure = Some(why.to_owned());
        heard.is_standing = false;
    }

    /// The source cannot work, although it delivers signals that say so. Only [`Self::recovered`]
    /// takes this back.
    pub fn fail_standing(&self, why: &str) {
        let mut heard = lock(&self.source.heard);
        heard.failure = Some(why.to_owned());
        heard.is_standing = true;
    }

    /// Says anew where it listens, reads or connects, and what of that does not work.
    pub fn describe(&self, detail: &str) {
        detail.clone_into(&mut lock(&self.source.heard).detail);
    }

    /// The source works again, although it has nothing to deliver yet.
    pub fn recovered(&self) {
        lock(&self.source.heard).failure = None;
    }

    /// The batches that these signals travel as, in order; each has its part of the receipt.
    fn queued(
        &self,
        mut signals: Vec<Signal>,
        by: By,
        receipt: Option<Receipt>,
        mut room: OwnedSemaphorePermit,
    ) -> VecDeque<QueuedBatch> {
        secrets::mask(&mut signals);
        let batch = |signals, receipt, room| QueuedBatch {
            batch: Batch {
                source: self.source.id.clone(),
                signals,
            },
            source: Arc::clone(&self.source),
            by,
            receipt,
            room,
        };
        let mut queued = VecDeque::new();
        // From the end, so that each signal is moved once.
        while signals.len() > BATCH_SIGNALS_MAX {
            let whole = (signals.len() - 1) / BATCH_SIGNALS_MAX * BATCH_SIGNALS_MAX;
            let last = signals.split_off(whole);
            // One larger than the whole queue has less room than signals: the first holds what there is.
            let of_last = room.num_permits().min(last.len());
            let room_of_last = room.split(of_last).expect("no more than there are");
            queued.push_front(batch(
                last,
                receipt.as_ref().map(Receipt::part),
                room_of_last,
            ));
        }
        queued.push_front(batch(signals, receipt, room));
        queued
    }
}

impl SignalQueue {
    /// The next batch; `None` when every sender is gone. Cancel safe.
    pub async fn recv(&mut self) -> Option<QueuedBatch> {
        self.queue.recv().await
    }

    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next batch if one waits.
    pub fn try_recv(&mut self) -> Option<QueuedBatch> {
        self.queue.try_recv().ok()
    }
}

impl QueuedBatch {
    /// What is to be given back once the batch is kept, if somebody waits for that.
    pub fn receipt(&mut self) -> Option<Receipt> {
        self.receipt.take()
    }

    /// Takes the batch out, counting it as taken at `now` and giving its room back.
    pub fn take(self, now: Time) -> Batch {
        let newest = self.batch.signals.last().and_then(measured_at);
        let count = self.batch.signals.len() as u64;
        self.source.saw(count, self.by, newest, now);
        drop(self.room);
        self.batch
    }
}

impl SourceState {
    /// Notes a batch whose last measurement is of `newest`.
    fn saw(&self, count: u64, by: By, newest: Option<Time>, now: Time) {
        if count == 0 {
            return;
        }
        let mut heard = lock(&self.heard);
        if by != By::Sender {
            // What was recorded of it may have been our own words too.
            heard.before = None;
        }
        if by == By::Us {
            return;
        }
        self.taken.fetch_add(count, Ordering::Relaxed);
        heard.rate.add(count, now);
        if by == By::Senders {
            return;
        }
        heard.hear(now, self.rhythm);
        if let Some(newest) = newest {
            heard.lags.hear(now.since(newest));
        }
        if !heard.is_standing {
            heard.failure = None;
        }
    }

    fn remember(&self, spoke: Spoke, now: Time) {
        // What comes by way of a heartbeat we say ourselves: that nothing was heard.
        if matches!(self.rhythm, Rhythm::Declared(_)) {
            return;
        }
        let mut heard = lock(&self.heard);
        heard.before = Some((spoke.heard.min(now), now));
        heard.spoke_ms = spoke.pauses.spoke_ms();
        let longest_ms = spoke.pauses.longest_ms();
        heard.gaps.add(spoke.usual_ms.unwrap_or(longest_ms));
        heard.pauses = spoke.pauses;
        heard.pauses.resume(now);
    }

    fn lost(&self) -> Vec<Lost> {
        let lost = lock(&self.lost);
        let lost = lost.iter().map(|(labels, count)| Lost {
            source: Box::from(&*self.id.0),
            labels: labels.clone(),
            count,
        });
        lost.collect()
    }

    fn note(&self, what: NotTaken, why: &str) {
        lock(&self.heard).refusals.note(what, why);
    }

    fn row(&self, now: Time) -> SourceRow {
        let mut heard = lock(&self.heard);
        // The clock was set back: silence is counted from now, not from a time still to come.
        if heard.last_seen.is_some_and(|seen| seen > now) {
            heard.last_seen = Some(now);
            heard.pauses.resume(now);
        }
        if let Some((before, _)) = heard.before.filter(|(_, since)| *since > now) {
            heard.before = Some((before.min(now), now));
            heard.pauses.resume(now);
        }
        heard.awaited_from = heard.awaited_from.map(|from| from.min(now));
        heard.refusals.stamp(now);
        SourceRow {
            name: self.id.0.to_string(),
            health: match heard.last_seen {
                _ if heard.failure.is_some() => SourceHealth::Failed,
                None if heard.is_overdue(self.rhythm, now) => SourceHealth::Blind,
                None if heard.refusals.last.is_some() => SourceHealth::Rejecting,
                None => heard.unheard(self.rhythm, now),
                Some(seen) => heard.health(now.since(seen), self.rhythm, now),
            },
            detail: heard.failure.as_ref().unwrap_or(&heard.detail).clone(),
            last_seen: heard.last_seen.or(heard.before.map(|(heard, _)| heard)),
            taken: self.taken.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            unread: self.unread.load(Ordering::Relaxed),
            last_refusal: heard.refusals.last.clone(),
            last_of: heard.refusals.last_of.clone(),
            pace: Pace {
                usual_ms: heard.gaps.usual_ms(),
                longest_ms: Some(heard.pauses.longest_ms()).filter(|ms| *ms > 0),
                per_minute: heard.rate.per_minute(),
                lag_ms: heard.lags.middle_ms(),
                gaps: heard.blind_gaps,
            },
        }
    }
}

impl Heard {
    /// Notes that its sender spoke.
    fn hear(&mut self, now: Time, rhythm: Rhythm) {
        if let Some(before) = self.last_seen.replace(now) {
            let pause_ms = now.since(before);
            let was_blind = self.health(pause_ms, rhythm, now) == SourceHealth::Blind;
            self.blind_gaps += u64::from(was_blind);
            self.gaps.add(pause_ms);
            self.spoke_ms = self.spoke_ms.saturating_add(pause_ms.max(0));
        }
        self.pauses.hear(now);
    }

    /// How a source is that was not heard since the daemon was started.
    fn unheard(&self, rhythm: Rhythm, now: Time) -> SourceHealth {
        let Some((_, since)) = self.before else {
            return SourceHealth::Waiting;
        };
        match self.health(now.since(since), rhythm, now) {
            SourceHealth::Live => SourceHealth::Waiting,
            missed => missed,
        }
    }

    /// Whether one that is declared to speak was never heard, for longer than it may be silent.
    fn is_overdue(&self, rhythm: Rhythm, now: Time) -> bool {
        let awaited_from = self.awaited_from.filter(|_| self.last_seen.is_none());
        let Rhythm::Declared(patience_ms) = rhythm else {
            return false;
        };
        awaited_from.is_some_and(|from| now.since(from) > patience_ms)
    }

    /// How a source is that was heard, after a silence until `now`.
    fn health(&self, silence_ms: i64, rhythm: Rhythm, now: Time) -> SourceHealth {
        let usual_ms = self.gaps.usual_ms().unwrap_or(0);
        let bound_ms = usual_ms.saturating_mul(SILENT_AFTER_SILENCES);
        let is_long = silence_ms > bound_ms.max(SILENT_AFTER_MS_MIN);
        let is_blind = match rhythm {
            Rhythm::Regular => is_long && self.spoke_ms >= HEARD_MS_MIN,
            Rhythm::Sporadic => self.pauses.judge(now) == Quiet::Blind,
            Rhythm::Declared(patience_ms) => silence_ms > patience_ms,
        };
        match (is_blind, rhythm) {
            (true, _) => SourceHealth::Blind,
            (false, Rhythm::Regular | Rhythm::Sporadic) if is_long => SourceHealth::Silent,
            _ => SourceHealth::Live,
        }
    }
}

/// When something was measured; alerts and changes tell of times that are long past by nature.
fn measured_at(signal: &Signal) -> Option<Time> {
    match signal {
        Signal::Sample(sample) => Some(sample.at),
        Signal::Log(line) => Some(line.at),
        Signal::Span(span) => Some(span.ended()),
        Signal::Alert(_) | Signal::Change(_) => None,
    }
}

/// Room a batch takes. One larger than the whole queue takes all of it, instead of waiting forever.
fn permits(signals: usize) -> u32 {
    u32::try_from(signals)
        .unwrap_or(u32::MAX)
        .min(SIGNALS_QUEUED_MAX)
}

/// The data behind these locks is valid after any panic: each write is a single assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
