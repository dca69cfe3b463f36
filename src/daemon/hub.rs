//! What every console holds: the view, kept by folding deltas, and one outbox per console.
//!
//! Publishing never waits for a console. An outbox that overflows is emptied, and its console gets a
//! fresh snapshot instead; so a slow console costs one view, however long it sleeps. There are two
//! views: one is read, the other is brought up to date and takes its place, so that nobody copies or
//! serialises a view while the publisher waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use indexmap::IndexMap;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::api::{HEARTBEAT_MS, View, WatchMessage};
use crate::model::{Actor, Delta, EntityId, IncidentId, SilenceId, Time};

/// Messages an outbox holds before its console is sent a snapshot instead.
const OUTBOX_MESSAGES_MAX: usize = 256;
/// Bytes an outbox holds before its console is sent a snapshot instead.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// The view and those who watch it.
#[derive(Debug)]
pub(super) struct Hub {
    /// Held for the length of a publication, by its publisher alone. Taken before `state`.
    spare: Mutex<Spare>,
    /// Held for moments only.
    state: Mutex<State>,
    now_ms: AtomicI64,
    closing: watch::Sender<bool>,
}

/// One console's end: lines to send, for as long as it is held.
#[derive(Debug)]
pub(super) struct Console {
    hub: Arc<Hub>,
    id: u64,
    actor: Actor,
    wake: Arc<Notify>,
    closing: watch::Receiver<bool>,
}

/// Deltas of several inputs; a later one of the same row replaces the earlier one.
#[derive(Debug, Default)]
pub(super) struct DeltaBuffer(IndexMap<Row, Delta>);

/// What a delta replaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Row {
    Incident(IncidentId),
    Entity(EntityId),
    Counts,
    Source(String),
    Silence(SilenceId),
    Automation,
    Mode,
    Banner,
}

#[derive(Debug)]
struct State {
    view: Arc<View>,
    outboxes: BTreeMap<u64, Outbox>,
    next_id: u64,
}

/// The view that nobody is given any more, one publication behind.
#[derive(Debug)]
struct Spare {
    view: Arc<View>,
    /// What it lacks.
    behind: Option<(u64, Time, Vec<Delta>)>,
}

#[derive(Debug)]
struct Outbox {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing sent yet, or too much to send: the next line is a snapshot.
    stale: bool,
    wake: Arc<Notify>,
}

/// [`WatchMessage::Deltas`] without owning them.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Deltas {
        seq: u64,
        at: Time,
        deltas: &'a [Delta],
    },
}

impl Hub {
    pub(super) fn new(view: View) -> Self {
        Self {
            now_ms: AtomicI64::new(view.at.ms()),
            spare: Mutex::new(Spare {
                view: Arc::new(view.clone()),
                behind: None,
            }),
            state: Mutex::new(State {
                view: Arc::new(view),
                outboxes: BTreeMap::new(),
                next_id: 0,
            }),
            closing: watch::Sender::new(false),
        }
    }

    /// Tells the time without telling consoles; their next heartbeat carries it.
    pub(super) fn set_now(&self, now: Time) {
        self.now_ms.store(now.ms(), Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> Time {
        Time::from_ms(self.now_ms.load(Ordering::Relaxed))
    }

    /// Folds deltas into the view and hands them to every console. No deltas, no message.
    pub(super) fn publish(&self, at: Time, deltas: &[Delta]) {
        self.set_now(at);
        if deltas.is_empty() {
            return;
        }
        // A publisher that panicked leaves a spare that is valid, if behind: `View::apply` changes rows.
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::clone(&self.lock().view);
        let seq = current.seq + 1;
        spare.catch_up(&current);
        drop(current);
        let next = Arc::make_mut(&mut spare.view);
        next.apply(seq, at, deltas)
            .expect("the number after the last one leaves no gap");
        spare.behind = Some((seq, at, deltas.to_vec()));
        let mut state = self.lock();
        std::mem::swap(&mut state.view, &mut spare.view);
        if state.outboxes.values().all(|outbox| outbox.stale) {
            return;
        }
        let line = line_of(&Line::Deltas { seq, at, deltas });
        for outbox in state.outboxes.values_mut() {
            outbox.push(&line);
        }
    }

    /// Looks at the view, which is not copied for that, and at the time.
    pub(super) fn look<T>(&self, at: impl FnOnce(&View, Time) -> T) -> T {
        let view = Arc::clone(&self.lock().view);
        at(&view, self.now())
    }

    /// The view as `actor` gets it.
    pub(super) fn snapshot(&self, actor: &Actor) -> View {
        let view = Arc::clone(&self.lock().view);
        seen_by(&view, actor, self.now())
    }

    pub(super) fn attach(self: &Arc<Self>, actor: Actor) -> Console {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let outbox = Outbox {
            lines: VecDeque::new(),
            bytes: 0,
            stale: true,
            wake: Arc::clone(&wake),
        };
        state.outboxes.insert(id, outbox);
        Console {
            hub: Arc::clone(self),
            id,
            actor,
            wake,
            closing: self.closing.subscribe(),
        }
    }

    /// Ends every watch once it has been sent what it is owed.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// The view is valid after any panic: it is only changed by `View::apply`, row by row.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// The next line, newline included; a heartbeat when nothing happens; `None` when the daemon stops.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready() {
                return Some(line);
            }
            if *self.closing.borrow() {
                return None;
            }
            let heartbeat = tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS));
            tokio::select! {
                () = self.wake.notified() => {}
                _ = self.closing.wait_for(|closing| *closing) => {}
                () = heartbeat => {
                    let at = self.hub.now();
                    return Some(line_of(&WatchMessage::Heartbeat { at }));
                }
            }
        }
    }

    fn ready(&self) -> Option<Bytes> {
        let view = {
            let mut state = self.hub.lock();
            let outbox = state
                .outboxes
                .get_mut(&self.id)
                .expect("a console leaves its outbox only when it is dropped");
            if !outbox.stale {
                let line = outbox.lines.pop_front()?;
                outbox.bytes -= line.len();
                return Some(line);
            }
            outbox.stale = false;
            Arc::clone(&state.view)
        };
        let view = seen_by(&view, &self.actor, self.hub.now());
        Some(line_of(&WatchMessage::Snapshot(Box::new(view))))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.hub.lock().outboxes.remove(&self.id);
    }
}

impl Spare {
    /// Brings it to where the current view is: by what it lacks, or as a copy when somebody still reads it.
    fn catch_up(&mut self, current: &Arc<View>) {
        let behind = self.behind.take();
        let is_current = match (Arc::get_mut(&mut self.view), behind) {
            (Some(view), None) => view.seq == current.seq,
            (Some(view), Some((seq, at, deltas))) => view.apply(seq, at, &deltas).is_ok(),
            (None, _) => false,
        };
        if !is_current {
            self.view = Arc::new(View::clone(current));
        }
    }
}

/// The view as `actor` gets it at `now`: while nothing changes, ages grow all the same.
fn seen_by(view: &View, actor: &Actor, now: Time) -> View {
    View {
        at: now,
        actor: actor.clone(),
        ..view.clone()
    }
}

impl Outbox {
    fn push(&mut self, line: &Bytes) {
        if self.stale {
            return;
        }
        self.lines.push_back(line.clone());
        self.bytes += line.len();
        if self.lines.len() > OUTBOX_MESSAGES_MAX || self.bytes > OUTBOX_BYTES_MAX {
            self.lines.clear();
            self.bytes = 0;
            self.stale = true;
        }
        self.wake.notify_one();
    }
}

impl DeltaBuffer {
    pub(super) fn push(&mut self, delta: Delta) {
        let row = match &delta {
            Delta::Incident(row) => Row::Incident(row.id),
            Delta::IncidentGone(id) => Row::Incident(*id),
            Delta::Entity(health) => Row::Entity(health.entity.clone()),
            Delta::EntityGone(id) => Row::Entity(id.clone()),
            Delta::Counts(_) => Row::Counts,
            Delta::Source(row) => Row::Source(row.name.clone()),
            Delta::Silence(silence) => Row::Silence(silence.id),
            Delta::SilenceGone(id) => Row::Silence(*id),
            Delta::Automation { .. } => Row::Automation,
            Delta::Mode(_) => Row::Mode,
            Delta::Banner(_) => Row::Banner,
        };
        self.0.insert(row, delta);
    }

    pub(super) fn take(&mut self) -> Vec<Delta> {
        self.0.drain(..).map(|(_, delta)| delta).collect()
    }
}

fn line_of(message: &impl Serialize) -> Bytes {
    let mut line =
        serde_json::to_vec(message).expect("wire types have string keys and plain fields");
    line.push(b'\n');
    Bytes::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, Role};

    fn mia() -> Actor {
        Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        }
    }

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::new(View::empty("test", mia(), Time::ZERO)))
    }

    fn counts(signals: u64) -> Delta {
        Delta::Counts(Counts {
            signals,
            ..Counts::default()
        })
    }

    /// What the console holds after reading everything that is ready, and the snapshots it took.
    fn drain(console: &Console, held: &mut Option<View>) -> u32 {
        let mut snapshots = 0;
        while let Some(line) = console.ready() {
            match serde_json::from_slice(&line).unwrap() {
                WatchMessage::Snapshot(view) => {
                    snapshots += 1;
                    *held = Some(*view);
                }
                WatchMessage::Deltas { seq, at, deltas } => {
                    held.as_mut().unwrap().apply(seq, at, &deltas).unwrap();
                }
                WatchMessage::Heartbeat { .. } => unreachable!("only `next` makes heartbeats"),
            }
        }
        snapshots
    }

    #[test]
    fn a_snapshot_and_what_follows_is_the_later_snapshot() {
        let hub = hub();
        hub.publish(Time::from_ms(1), &[counts(1)]);
        let console = hub.attach(mia());
        let mut held = None;
        assert_eq!(drain(&console, &mut held), 1);
        assert_eq!(held, Some(hub.snapshot(&mia())));
        hub.publish(
            Time::from_ms(2),
            &[counts(2), Delta::Banner("b".to_owned())],
        );
        hub.publish(Time::from_ms(3), &[]);
        hub.publish(Time::from_ms(4), &[Delta::Automation { stopped: true }]);
        assert_eq!(drain(&console, &mut held), 0);
        assert_eq!(held, Some(hub.snapshot(&mia())));
        assert_eq!(
            held.map(|view| (view.seq, view.at)),
            Some((3, Time::from_ms(4)))
        );
    }

    #[test]
    fn a_slow_console_overflows_into_a_snapshot() {
        let hub = hub();
        let console = hub.attach(mia());
        let mut held = None;
        drain(&console, &mut held);
        let messages = OUTBOX_MESSAGES_MAX as u64 + 50;
        for n in 1..=messages {
            hub.publish(Time::from_ms(n as i64), &[counts(n)]);
        }
        assert_eq!(drain(&console, &mut held), 1);
        assert_eq!(held, Some(hub.snapshot(&mia())));
        hub.publish(Time::from_secs(9), &[counts(0)]);
        assert_eq!(drain(&console, &mut held), 0);
        assert_eq!(held, Some(hub.snapshot(&mia())));
    }

    #[test]
    fn while_nothing_changes_a_snapshot_is_of_now() {
        let hub = hub();
        hub.publish(Time::from_secs(1), &[counts(1)]);
        let console = hub.attach(mia());
        hub.set_now(Time::from_secs(30));
        let told = |view: &View| (view.seq, view.at);
        let expected = (1, Time::from_secs(30));
        assert_eq!(told(&hub.snapshot(&mia())), expected);
        let mut held = None;
        drain(&console, &mut held);
        assert_eq!(held.as_ref().map(told), Some(expected));
    }

    #[test]
    fn one_large_message_is_a_snapshot_too() {
        let hub = hub();
        let console = hub.attach(mia());
        let mut held = None;
        drain(&console, &mut held);
        hub.publish(Time::ZERO, &[Delta::Banner("x".repeat(OUTBOX_BYTES_MAX))]);
        assert_eq!(drain(&console, &mut held), 1);
        assert_eq!(held, Some(hub.snapshot(&mia())));
    }

    #[test]
    fn a_reader_keeps_what_it_reads_and_both_views_stay_alike() {
        let hub = hub();
        let mut readers = Vec::new();
        let mut expected = View::clone(&hub.lock().view);
        for n in 1..=20_u64 {
            let deltas = [counts(n), Delta::Banner(format!("banner {n}"))];
            let at = Time::from_ms(n as i64);
            hub.publish(at, &deltas);
            expected.apply(n, at, &deltas).unwrap();
            assert_eq!(*hub.lock().view, expected);
            // Some read for long, some not at all.
            if n % 3 == 0 {
                readers.push((n, Arc::clone(&hub.lock().view)));
            }
            if n % 7 == 0 {
                readers.remove(0);
            }
        }
        for (n, view) in readers {
            assert_eq!((view.seq, &*view.banner), (n, &*format!("banner {n}")));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_watch_sends_one_heartbeat_an_interval_and_ends_with_the_daemon() {
        let hub = hub();
        let mut console = hub.attach(mia());
        console.next().await;
        hub.set_now(Time::from_secs(7));
        let began = tokio::time::Instant::now();
        let line = console.next().await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(HEARTBEAT_MS));
        let at = Time::from_secs(7);
        let expected = WatchMessage::Heartbeat { at };
        assert_eq!(
            serde_json::from_slice::<WatchMessage>(&line).unwrap(),
            expected
        );
        hub.publish(at, &[counts(1)]);
        hub.close();
        assert!(console.next().await.is_some(), "what is owed is sent");
        assert_eq!(console.next().await, None);
        drop(console);
        assert!(hub.lock().outboxes.is_empty());
    }

    #[test]
    fn deltas_of_a_row_replace_each_other() {
        let mut buffer = DeltaBuffer::default();
        for delta in [
            counts(1),
            Delta::IncidentGone(IncidentId(1)),
            counts(2),
            Delta::IncidentGone(IncidentId(2)),
        ] {
            buffer.push(delta);
        }
        let expected = vec![
            counts(2),
            Delta::IncidentGone(IncidentId(1)),
            Delta::IncidentGone(IncidentId(2)),
        ];
        assert_eq!(buffer.take(), expected);
        assert_eq!(buffer.take(), Vec::new());
    }
}
