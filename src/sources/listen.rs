//! Listeners: binds, accepts and serves, within a bounded number of connections.
//!
//! A listener that cannot bind says which address and which setting, and tries again by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::SignalSender;
use super::backoff::Backoff;
use super::tls::Tls;

/// Most connections of one listener; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1_024;

/// A connection without a whole request head for this long is closed, in seconds: longer than the
/// minute between pushes of many senders.
const HEAD_READ_S_MAX: u64 = 120;

/// Rest after a failed accept, in milliseconds: the usual reason is too many open files.
const ACCEPT_REST_MS: u64 = 100;

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
) {
    let mut backoff = Backoff::new();
    loop {
        match bind(address, setting).await {
            Ok(listener) => {
                for source in &sources {
                    source.recovered();
                }
                return serve(listener, router, tls).await;
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

/// Accepts connections forever; dropping the future closes them all.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: Option<Tls>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(ACCEPT_REST_MS)).await;
            continue;
        };
        // An answer is one small write: waiting to fill a packet would only delay it.
        let _ = stream.set_nodelay(true);
        let (router, tls) = (router.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, router).await,
                Some(tls) => {
                    if let Some(stream) = tls.accept(stream).await {
                        connection(stream, router).await;
                    }
                }
            }
            drop(place);
        });
    }
}

/// Serves one connection to its end.
async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send, router: Router) {
    // A connection that breaks is the sender's to open again; nothing was taken from an
    // unfinished request.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_READ_S_MAX))
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}
