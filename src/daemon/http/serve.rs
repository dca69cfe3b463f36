//! Connections of the socket: accepted up to a bound, served by hyper, ended gracefully when the daemon stops.
//! One user's idle connections keep nobody out: the longest idle gives way to a newcomer.
//!
//! They have threads of their own: decoding a storm of telemetry keeps the others busy for longer than a person
//! should wait for the answer to a command.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt as _;

use super::caller::{Callers, Peer};
use super::socket::SocketFile;
use crate::sources::{Connection, Connections};

/// A connection that brings no further request for this long is closed, in milliseconds. Longer than
/// clients keep idle connections, so that none is closed under a request.
const IDLE_MS_MAX: u64 = 300_000;
/// Requests in flight when the daemon stops may take this long, in milliseconds.
const GOODBYE_MS_MAX: u64 = 2_000;
/// How often it is looked whether the socket's file is still there, in milliseconds.
const LOOK_EVERY_MS: u64 = 3_000;

/// Threads that serve the socket: while one encodes a long answer, the other takes commands.
const SERVING_THREADS: usize = 2;
/// What they are called.
const SERVING_NAME: &str = "stormglass-api";

/// A listener at work.
pub type Listening = JoinHandle<()>;

/// Serves `router` on the socket of this file until `stop` turns true. Each request carries its [`Peer`].
pub fn serve(
    listener: UnixListener,
    file: SocketFile,
    router: Router,
    callers: Callers,
    stop: watch::Receiver<bool>,
) -> Listening {
    let accept = move |listener| accept(listener, file, router, callers, stop);
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .thread_name(SERVING_NAME)
        .enable_all()
        .build()
    else {
        // Without threads of its own it is slower in a storm, and works.
        return tokio::spawn(accept(listener));
    };
    let (done, ended) = oneshot::channel::<()>();
    let work = move || {
        runtime.block_on(async {
            // Readiness is to be told to this runtime, not to the one that bound it.
            match listener.into_std().and_then(UnixListener::from_std) {
                Ok(listener) => accept(listener).await,
                Err(error) => tracing::error!("the socket cannot be served: {error}"),
            }
        });
        // What still runs belongs to clients who are gone.
        runtime.shutdown_background();
        drop(done);
    };
    std::thread::spawn(work);
    // It ends by being dropped.
    tokio::spawn(async move { ended.await.unwrap_or_default() })
}

async fn accept(
    mut listener: UnixListener,
    mut file: SocketFile,
    router: Router,
    callers: Callers,
    mut stop: watch::Receiver<bool>,
) {
    let all = Connections::default();
    let mut connections = JoinSet::new();
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_EVERY_MS));
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stopped(&mut stop) => break,
            _ = look.tick() => {
                if let Some(again) = file.look() {
                    listener = again;
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            all.relieve().await;
            continue;
        };
        let Ok(user) = stream.peer_cred().map(|user| user.uid()) else {
            continue;
        };
        let Some(connection) = all.admit(user) else {
            tracing::warn!(
                user,
                "a connection to the socket was refused: all those open are at work"
            );
            continue;
        };
        let (router, peer, stop) = (router.clone(), callers.local(user), stop.clone());
        connections.spawn(async move {
            tokio::select! {
                () = converse(TokioIo::new(stream), router, peer, stop, &connection) => {}
                () = connection.closed() => {}
                () = connection.never_asks() => {}
            }
        });
    }
    drop(listener);
    let goodbye = async { while connections.join_next().await.is_some() {} };
    // Whoever has not read their answer by then does not get it.
    let _ = tokio::time::timeout(Duration::from_millis(GOODBYE_MS_MAX), goodbye).await;
}

/// Waits until `stop` turns true, or nobody can turn it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn converse(
    io: TokioIo<UnixStream>,
    router: Router,
    peer: Peer,
    mut stop: watch::Receiver<bool>,
    held: &Connection<u32>,
) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let mut request = request.map(|body| Body::new(held.asked(body)));
        request.extensions_mut().insert(peer.clone());
        let answered = router.clone().oneshot(request);
        async {
            let response = answered.await?;
            Ok::<_, Infallible>(response.map(|body| held.answers(body)))
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(IDLE_MS_MAX))
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A connection that breaks is its client's affair.
        _ = connection.as_mut() => {}
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
