//! Listeners: binds, accepts and serves, within a bounded number of connections.
//!
//! A listener that cannot bind says which address and which setting, and tries again by itself. One
//! that is full closes the connection that is idle for longest: a newcomer is always served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower::ServiceExt;

use super::backoff::Backoff;
use super::connections::{Connection, Connections};
use super::tls::Tls;
use super::{Rhythm, SignalSender, SourceRegistry};

/// A connection without a whole request head for this long is closed, in seconds: longer than the
/// minute between pushes of many senders.
const HEAD_READ_S_MAX: u64 = 120;

/// Calls of one HTTP/2 connection at the same time; a sender with more waits.
const CALLS_MAX: u32 = 64;

/// Bytes of one HTTP/2 call, and of all calls of a connection, that may be on their way unread.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// Longest head of an HTTP/2 call, in bytes.
const HEAD_BYTES_MAX: u32 = 16 * 1024;

/// A silent HTTP/2 connection is asked whether it lives this often, in seconds …
const PING_EVERY_S: u64 = 30;

/// … and is gone when it says nothing for this long, in seconds.
const PONG_S_MAX: u64 = 20;

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 from the first byte, as gRPC does.
    Http2,
}

/// Name of the source that counts connections that were refused, or closed for a newcomer.
const CROWD: &str = "connections";

/// Why nothing listens.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody else has the address.
    #[error(
        "{address} is in use by another program: stop it, or give another address by `{setting}` in the config"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// The setting it came from.
        setting: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {address} (`{setting}` in the config): {cause}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The setting it came from.
        setting: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

/// Binds an address that came from `setting`.
pub async fn bind(address: SocketAddr, setting: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, setting },
            _ => ListenError::Other {
                address,
                setting,
                cause,
            },
        })
}

/// Binds, again and again until it works, and serves from then on. While it cannot, `sources` are
/// shown as failed.
pub(super) async fn listen(
    address: SocketAddr,
    setting: &'static str,
    router: Router,
    speech: Speech,
    tls: Option<Tls>,
    sources: Vec<SignalSender>,
    registry: SourceRegistry,
) {
    let mut backoff = Backoff::new();
    loop {
        match bind(address, setting).await {
            Ok(listener) => {
                for source in &sources {
                    source.recovered();
                }
                return serve(listener, router, speech, tls, registry).await;
            }
            Err(error) => {
                let why = error.to_string();
                for source in &sources {
                    source.fail(&why);
                }
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// Accepts connections forever; dropping the future closes them all. Those refused, and those closed for others, are counted by a
/// source of their own, which is there from the first one on.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    speech: Speech,
    tls: Option<Tls>,
    registry: SourceRegistry,
) {
    let tls = match speech {
        Speech::Http1 => tls,
        Speech::Http2 => tls.map(|tls| tls.http2()),
    };
    let all = Connections::default();
    let mut connections = JoinSet::new();
    let scheme = if tls.is_some() { "https" } else { "http" };
    let place = listener.local_addr();
    let place = place.map_or_else(|_| String::new(), |at| format!("{scheme}://{at}"));
    let crowd = move || crowd(&registry, &place);
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            all.relieve().await;
            continue;
        };
        let Some(connection) = all.admit(peer.ip().to_canonical()) else {
            crowd().send_back(1, &refused(peer));
            continue;
        };
        // An answer is one small write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let (router, tls, crowd) = (router.clone(), tls.clone(), crowd.clone());
        let connection = Arc::new(connection);
        connections.spawn(async move {
            tokio::select! {
                () = converse(stream, router, speech, tls, &connection) => {}
                () = connection.closed() => crowd().send_back(1, &gave_way(peer)),
                () = connection.never_asks() => {}
            }
        });
    }
}

/// The source that counts connections which were refused, or closed for others, whatever they would have brought: not all who
/// send keep that, and send it again. It is there from the first one on.
pub(super) fn crowd(registry: &SourceRegistry, place: &str) -> SignalSender {
    registry.source(CROWD, Rhythm::Sporadic, place)
}

/// Why a connection is not taken.
pub(super) fn refused(peer: SocketAddr) -> String {
    let peer = peer.ip().to_canonical();
    format!("a connection of {peer} was refused: all those open are at work")
}

/// Why a connection was closed before its end.
pub(super) fn gave_way(peer: SocketAddr) -> String {
    let peer = peer.ip().to_canonical();
    format!(
        "a connection of {peer} was closed for a newcomer: too many are open, and it asked nothing for longest"
    )
}

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    router: Router,
    speech: Speech,
    tls: Option<Tls>,
    connection: &Arc<Connection>,
) {
    match (speech, tls) {
        (Speech::Http1, None) => answer(stream, router, connection).await,
        (Speech::Http2, None) => answer_calls(stream, router, connection).await,
        (speech, Some(tls)) => match (speech, tls.accept(stream).await) {
            (_, None) => {}
            (Speech::Http1, Some(stream)) => answer(stream, router, connection).await,
            (Speech::Http2, Some(stream)) => answer_calls(stream, router, connection).await,
        },
    }
}

/// Serves calls over HTTP/2, several at once.
async fn answer_calls(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    connection: &Arc<Connection>,
) {
    let connection = Arc::clone(connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let (call, body) = connection.call(body);
        let request = Request::from_parts(head, Body::new(body));
        let answered = router.clone().oneshot(request);
        async move {
            let response = answered.await?;
            // The call ends with the last byte of its answer, or when it is given up.
            let body = response.map(|body| {
                body.map_frame(move |frame| {
                    let _ = &call;
                    frame
                })
            });
            Ok::<_, std::convert::Infallible>(body)
        }
    });
    // As above: a connection that breaks is the sender's to open again.
    let _ = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .keep_alive_interval(Duration::from_secs(PING_EVERY_S))
        .keep_alive_timeout(Duration::from_secs(PONG_S_MAX))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    router: Router,
    connection: &Connection,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let request = request.map(|body| Body::new(connection.asked(body)));
        let answered = router.clone().oneshot(request);
        async {
            let response = answered.await?;
            Ok::<_, std::convert::Infallible>(response.map(|body| connection.answers(body)))
        }
    });
    // A connection that breaks is the sender's to open again; nothing was taken from an
    // unfinished request.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_READ_S_MAX))
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
