//! Listeners: binds, accepts and serves, within a bounded number of connections.
//!
//! A listener that cannot bind says which address and which setting, and tries again by itself. One
//! that is full closes the connection that is idle for longest: a newcomer is always served.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
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

/// The same for the first request of a connection: who connects has something to say.
const FIRST_HEAD_S_MAX: u64 = 10;

/// Rest after a failed accept, in milliseconds: the usual reason is too many open files.
const ACCEPT_REST_MS: u64 = 100;

/// Name of the source that counts refused connections.
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
                return serve(listener, router, tls, registry).await;
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

/// Accepts connections forever; dropping the future closes them all. Those refused are counted by a
/// source of their own, which is there from the first one on.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    registry: SourceRegistry,
) {
    let all = Connections::default();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, peer)) = listener.accept().await else {
            all.relieve();
            tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
            continue;
        };
        let Some(connection) = all.admit(peer.ip().to_canonical()) else {
            let place = listener.local_addr();
            let place = place.map_or_else(|_| String::new(), |at| format!("http://{at}"));
            let crowd = registry.source(CROWD, Rhythm::Sporadic, &place);
            crowd.send_back(1, &refused(peer));
            continue;
        };
        // An answer is one small write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let (router, tls) = (router.clone(), tls.clone());
        connections.spawn(async move {
            let never_asks = async {
                tokio::time::sleep(Duration::from_secs(FIRST_HEAD_S_MAX)).await;
                if !connection.is_silent() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = converse(stream, router, tls, &connection) => {}
                () = connection.closed() => {}
                () = never_asks => {}
            }
        });
    }
}

/// Why a connection is not taken.
pub(super) fn refused(peer: SocketAddr) -> String {
    let peer = peer.ip().to_canonical();
    format!("a connection of {peer} was refused: all those open are at work")
}

/// Serves one connection to its end.
async fn converse(stream: TcpStream, router: Router, tls: Option<Tls>, connection: &Connection) {
    match tls {
        None => answer(stream, router, connection).await,
        Some(tls) => {
            if let Some(stream) = tls.accept(stream).await {
                answer(stream, router, connection).await;
            }
        }
    }
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
