//! The open connections of one listener: who has how many, and which may be closed for a newcomer. Senders are
//! told apart by their address, users of the socket by their number.
//!
//! A peer that only holds connections open must not keep others out. One that waits for its answer
//! is never closed for somebody else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Most connections of one listener.
const CONNECTIONS_MAX: usize = 1_024;
/// Most connections of one peer: half of all, so that no peer alone can fill a listener.
const PEER_CONNECTIONS_MAX: usize = 512;
/// A connection of whose body nothing came for longer than this may be closed for a newcomer, in
/// milliseconds: longer than a packet takes to be sent again.
const STALLED_MS_MIN: u64 = 500;
/// A connection that does not bring the head of a first request for this long is closed, in seconds: who
/// connects has something to say.
const FIRST_HEAD_S_MAX: u64 = 10;
/// Rest after a failed accept, in milliseconds: the usual reason is too many open files.
const ACCEPT_REST_MS: u64 = 100;

/// All open connections of a listener; cheap to clone.
#[derive(Debug)]
pub(crate) struct Connections<P = IpAddr>(Arc<Mutex<Held<P>>>);

#[derive(Debug)]
struct Held<P> {
    next: u64,
    open: BTreeMap<u64, (P, Arc<Open>)>,
}

/// One connection, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Connection<P: Copy + Ord = IpAddr> {
    all: Connections<P>,
    id: u64,
    open: Arc<Open>,
}

/// What is known of a connection.
#[derive(Debug)]
struct Open {
    state: Mutex<State>,
    closed: Notify,
}

#[derive(Debug)]
struct State {
    activity: Activity,
    /// Calls whose bodies are on their way, of a connection that carries several at once …
    arriving: usize,
    /// … and those that we work on or answer.
    answering: usize,
    /// When the first of those bodies began, or a piece of one came.
    grew_at: Instant,
}

/// One of the calls that a connection carries at once; it ends when this is dropped.
pub(crate) struct CallGuard(Arc<CallState>);

/// A call, known to who answers it and to its body.
#[derive(Debug)]
struct CallState {
    open: Arc<Open>,
    /// All of its body is there, or nobody wants the rest. Changed under the lock of the connection's state.
    has_arrived: AtomicBool,
}

/// Whose body it is.
#[derive(Debug)]
enum BodyOf {
    /// Of a connection that carries one request at a time.
    Alone(Arc<Open>),
    Call(Arc<CallState>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    /// Accepted, and not a whole request head since.
    Silent(Instant),
    /// A request's head is there, its body is on its way; the last of it came then.
    Arriving(Instant),
    /// We work on the answer, or send it.
    Answering,
    /// All requests were answered.
    Idle(Instant),
}

/// A request's body: tells when all of it is there.
pub(crate) struct ArrivingBody<B> {
    body: B,
    of: BodyOf,
}

/// An answer's body: tells when it is sent, or given up.
pub(crate) struct LeavingBody {
    body: Body,
    open: Arc<Open>,
}

impl<P> Clone for Connections<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P> Default for Connections<P> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Held {
            next: 0,
            open: BTreeMap::new(),
        })))
    }
}

impl<P: Copy + Ord> Connections<P> {
    /// Makes room for one of `peer` and holds it; `None` if nothing may be closed for it.
    pub(crate) fn admit(&self, peer: P) -> Option<Connection<P>> {
        let now = Instant::now();
        let mut held = lock(&self.0);
        let of_peer = held.of(peer);
        let room = if of_peer >= PEER_CONNECTIONS_MAX {
            held.close_one(now, |of| of == peer)
        } else if held.open.len() >= CONNECTIONS_MAX {
            held.close_for_all(now)
        } else {
            true
        };
        if !room {
            return None;
        }
        let id = held.next;
        held.next += 1;
        let open = Arc::new(Open {
            state: Mutex::new(State {
                activity: Activity::Silent(now),
                arriving: 0,
                answering: 0,
                grew_at: now,
            }),
            closed: Notify::new(),
        });
        held.open.insert(id, (peer, Arc::clone(&open)));
        Some(Connection {
            all: self.clone(),
            id,
            open,
        })
    }

    /// After an accept that failed: closes a connection that does nothing, as the system has no more files to
    /// give, and rests.
    pub(crate) async fn relieve(&self) {
        lock(&self.0).close_for_all(Instant::now());
        tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
    }
}

impl<P: Copy + Ord> Held<P> {
    fn of(&self, peer: P) -> usize {
        self.open.values().filter(|(of, _)| *of == peer).count()
    }

    /// Closes one of the peer that has most, else one of anybody.
    fn close_for_all(&mut self, now: Instant) -> bool {
        let mut counts = BTreeMap::<P, usize>::new();
        for (peer, _) in self.open.values() {
            *counts.entry(*peer).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        most.is_some_and(|(peer, _)| self.close_one(now, |of| of == peer))
            || self.close_one(now, |_| true)
    }

    /// Closes the one that has done nothing for longest.
    fn close_one(&mut self, now: Instant, is_of: impl Fn(P) -> bool) -> bool {
        let candidates = self.open.iter().filter(|(_, (peer, _))| is_of(*peer));
        let least = candidates
            .filter_map(|(id, (_, open))| Some((open.activity().closable(now)?, *id)))
            .min();
        let Some((_, closed)) = least.and_then(|(_, id)| self.open.remove(&id)) else {
            return false;
        };
        closed.closed.notify_one();
        true
    }
}

impl Activity {
    /// In which order connections are closed: what nobody waits for first, then the longest.
    fn closable(self, now: Instant) -> Option<(u8, Instant)> {
        match self {
            Self::Silent(since) | Self::Idle(since) => Some((0, since)),
            Self::Arriving(since) => {
                let is_stalled = now.duration_since(since) >= Duration::from_millis(STALLED_MS_MIN);
                is_stalled.then_some((1, since))
            }
            Self::Answering => None,
        }
    }
}

impl<P: Copy + Ord> Connection<P> {
    /// Returns when it is closed for somebody else.
    pub(crate) async fn closed(&self) {
        self.open.closed.notified().await;
    }

    /// Returns when no whole head of a request came in time; never, once one did.
    pub(crate) async fn never_asks(&self) {
        tokio::time::sleep(Duration::from_secs(FIRST_HEAD_S_MAX)).await;
        if !self.is_silent() {
            std::future::pending::<()>().await;
        }
    }

    fn is_silent(&self) -> bool {
        matches!(self.open.activity(), Activity::Silent(_))
    }

    /// Notes that the peer of a one-way connection said something.
    pub(super) fn heard(&self) {
        self.open.set(Activity::Idle(Instant::now()));
    }

    /// Notes that what the peer of a one-way connection said is not handed over yet.
    pub(super) fn busy(&self) {
        self.open.set(Activity::Answering);
    }

    /// Notes a call that goes on until the first of these is dropped; its body must be read through the
    /// second.
    pub(super) fn call<B: HttpBody>(&self, body: B) -> (CallGuard, ArrivingBody<B>) {
        let has_arrived = body.is_end_stream();
        let mut state = lock(&self.open.state);
        if has_arrived {
            state.answering += 1;
        } else {
            // One more call is no sign of life of those that stall.
            if state.arriving == 0 {
                state.grew_at = Instant::now();
            }
            state.arriving += 1;
        }
        state.judge_calls();
        drop(state);
        let call = Arc::new(CallState {
            open: Arc::clone(&self.open),
            has_arrived: AtomicBool::new(has_arrived),
        });
        let of = BodyOf::Call(Arc::clone(&call));
        (CallGuard(call), ArrivingBody { body, of })
    }

    /// Notes that a request's head is there; its body must be read through what this gives.
    pub(crate) fn asked<B: HttpBody>(&self, body: B) -> ArrivingBody<B> {
        self.open.set(if body.is_end_stream() {
            Activity::Answering
        } else {
            Activity::Arriving(Instant::now())
        });
        let of = BodyOf::Alone(Arc::clone(&self.open));
        ArrivingBody { body, of }
    }

    /// Notes that the answer is sent once what this gives is.
    pub(crate) fn answers(&self, body: Body) -> LeavingBody {
        self.open.set(Activity::Answering);
        let open = Arc::clone(&self.open);
        LeavingBody { body, open }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let mut state = lock(&self.0.open.state);
        // A body that outlives its call counts no more. The call was counted when it began, and is moved
        // from one count to the other under this lock: neither can go below nothing.
        if self.0.has_arrived.swap(true, Ordering::Relaxed) {
            state.answering -= 1;
        } else {
            state.arriving -= 1;
        }
        state.judge_calls();
    }
}

impl<P: Copy + Ord> Drop for Connection<P> {
    fn drop(&mut self) {
        lock(&self.all.0).open.remove(&self.id);
    }
}

impl Open {
    fn activity(&self) -> Activity {
        lock(&self.state).activity
    }

    fn set(&self, activity: Activity) {
        lock(&self.state).activity = activity;
    }
}

impl State {
    /// What a connection that carries several calls does, from what they do: one that waits for its
    /// answer keeps it open, half-sent ones do not.
    fn judge_calls(&mut self) {
        self.activity = match (self.answering, self.arriving) {
            (0, 0) => Activity::Idle(Instant::now()),
            (0, _) => Activity::Arriving(self.grew_at),
            _ => Activity::Answering,
        };
    }
}

impl BodyOf {
    fn open(&self) -> &Open {
        match self {
            Self::Alone(open) => open,
            Self::Call(call) => &call.open,
        }
    }

    /// A piece of a body came.
    fn has_grown(&self) {
        let mut state = lock(&self.open().state);
        state.grew_at = Instant::now();
        if let Activity::Arriving(_) = state.activity {
            state.activity = Activity::Arriving(state.grew_at);
        }
    }

    /// All of a body is there, or nobody wants the rest.
    fn has_arrived(&self) {
        let mut state = lock(&self.open().state);
        match self {
            Self::Alone(_) => {
                if let Activity::Arriving(_) = state.activity {
                    state.activity = Activity::Answering;
                }
            }
            Self::Call(call) => {
                if !call.has_arrived.swap(true, Ordering::Relaxed) {
                    // It was counted there until now.
                    state.arriving -= 1;
                    state.answering += 1;
                    state.judge_calls();
                }
            }
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for ArrivingBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.of.has_arrived();
        } else if polled.is_ready() {
            self.of.has_grown();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for ArrivingBody<B> {
    fn drop(&mut self) {
        self.of.has_arrived();
    }
}

impl HttpBody for LeavingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LeavingBody {
    fn drop(&mut self) {
        self.open.set(Activity::Idle(Instant::now()));
    }
}

/// What is behind these locks is valid after any panic: nothing between two writes to it can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(n: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, n))
    }

    fn is_closed(connection: &Connection) -> bool {
        !lock(&connection.all.0).open.contains_key(&connection.id)
    }

    async fn later() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_longest_idle_of_the_greediest() {
        let all = Connections::default();
        let few: Vec<_> = (0..2).map(|_| all.admit(peer(9)).unwrap()).collect();
        later().await;
        let greedy: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        let others = CONNECTIONS_MAX - PEER_CONNECTIONS_MAX - few.len();
        let others: Vec<_> = (0..others).map(|_| all.admit(peer(2)).unwrap()).collect();
        later().await;
        // The first of them all speaks; the second is the longest idle from now on.
        drop(greedy[0].answers(Body::empty()));
        let newcomer = all.admit(peer(7)).expect("there is always room");
        assert!(is_closed(&greedy[1]));
        assert!(!few.iter().chain(&others).chain([&newcomer]).any(is_closed));
        greedy[1].closed().await;
        // At its own bound, a peer only ever takes its own place.
        let one_more = all.admit(peer(1)).unwrap();
        let and_one_more = all.admit(peer(1)).unwrap();
        assert!(is_closed(&greedy[2]) && is_closed(&greedy[3]));
        assert!(![&one_more, &and_one_more].into_iter().any(is_closed));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_an_answer_is_not_closed() {
        let all = Connections::default();
        let busy: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        let answers: Vec<_> = busy.iter().map(|c| c.answers(Body::empty())).collect();
        assert!(all.admit(peer(1)).is_none(), "all wait for answers");
        drop(answers);
        // A body that dawdles holds its place for a moment only.
        let bodies: Vec<_> = busy.iter().map(|c| c.asked(Body::from("x"))).collect();
        assert!(all.admit(peer(1)).is_none());
        tokio::time::advance(Duration::from_millis(STALLED_MS_MIN)).await;
        assert!(all.admit(peer(1)).is_some());
        drop(bodies);
        assert!(!busy.last().unwrap().is_silent());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_several_calls_is_idle_after_the_last() {
        let all = Connections::default();
        let open: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        let call = |c: &Connection| c.call(Body::empty()).0;
        let mut calls: Vec<_> = open.iter().flat_map(|c| [call(c), call(c)]).collect();
        calls.remove(0);
        later().await;
        assert!(all.admit(peer(1)).is_none(), "the other call goes on");
        calls.remove(0);
        assert!(all.admit(peer(1)).is_some());
        assert!(is_closed(&open[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_whose_bodies_do_not_come_keep_nobody_out() {
        let all = Connections::default();
        let open: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        let mut calls: Vec<_> = open.iter().map(|c| c.call(Body::from("x"))).collect();
        assert!(all.admit(peer(1)).is_none(), "they have only begun");
        later().await;
        let newcomer = all.admit(peer(1)).expect("a stalled one gives way");
        newcomer.busy();
        assert!(is_closed(&open[0]));
        // One whose body is there waits for its answer, whatever else its connection half sends.
        let answered = open[1].call(Body::empty());
        later().await;
        let _newcomer = all.admit(peer(1)).expect("a stalled one gives way");
        assert!(!is_closed(&open[1]) && is_closed(&open[2]));
        // A body that is dropped after its call counts nothing twice.
        drop(answered);
        let (call, body) = calls.remove(1);
        drop(call);
        drop(body);
        assert!(matches!(open[1].open.activity(), Activity::Idle(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn empty_calls_beside_a_stalled_one_keep_no_place() {
        let all = Connections::default();
        let open: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        let _stalled: Vec<_> = open.iter().map(|c| c.call(Body::from("x"))).collect();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(STALLED_MS_MIN - 100)).await;
            for connection in &open {
                drop(connection.call(Body::empty()));
                drop(connection.call(Body::from("half")));
            }
        }
        assert!(all.admit(peer(1)).is_some(), "the stalled ones give way");
    }

    #[tokio::test(start_paused = true)]
    async fn half_sent_bodies_that_are_renewed_keep_nobody_out() {
        let all = Connections::default();
        let mut half_sent = std::collections::VecDeque::new();
        // All places taken within four seconds, and each given up and taken again after that.
        for n in 0..4 * PEER_CONNECTIONS_MAX {
            if half_sent.len() == PEER_CONNECTIONS_MAX {
                half_sent.pop_front();
            }
            let connection = all.admit(peer(1)).expect("the longest stalled gives way");
            let body = connection.asked(Body::from("x"));
            half_sent.push_back((connection, body));
            tokio::time::advance(Duration::from_millis(8)).await;
            if n % 40 == 0 {
                let good = all.admit(peer(1)).expect("a good sender is let in");
                assert!(!is_closed(&good));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_waits_to_hand_over_is_not_closed() {
        let all = Connections::default();
        let streams: Vec<_> = (0..PEER_CONNECTIONS_MAX)
            .map(|_| all.admit(peer(1)).unwrap())
            .collect();
        for stream in &streams {
            stream.busy();
        }
        later().await;
        assert!(all.admit(peer(1)).is_none());
        streams[3].heard();
        assert!(all.admit(peer(1)).is_some());
        assert!(is_closed(&streams[3]));
    }
}
