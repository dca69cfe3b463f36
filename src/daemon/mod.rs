//! The shell around the pure engine: clock, queues, the engine's thread, recovery, the HTTP API.
//!
//! [`start()`] runs it inside any program: `serve` waits for it, the console attaches to it, the demo
//! feeds it a simulated system. It never draws a screen and never decides what the engine decides.

mod access;
mod alertmanagers;
mod checkpoints;
mod clock;
mod core;
mod door;
mod gauges;
mod http;
mod hub;
mod keeper;
mod learn;
mod ledger;
mod notices;
mod paths;
mod recall;
mod receiving;
mod replay;
mod shelf;
mod start;
mod stop_mark;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

pub use access::{Fault, Weight, faults};
pub use clock::{Clock, TICK_MS};
pub use core::History;
pub use door::{Door, EngineStopped};
pub use http::group_number;
pub use paths::{default_data_dir, default_socket};
pub use replay::{Replay, Replayed};
pub use start::start;

use crate::config::Config;
use crate::executors::SimRequest;
use crate::model::Runbook;
use crate::notify::NotifyError;
use crate::sources::{GuardError, ListenError, SourceRegistry, TlsError};
use crate::store::StoreError;
use hub::Hub;

/// What to run.
pub struct DaemonOptions {
    /// Settings.
    pub config: Config,
    /// Runbooks the engine may propose.
    pub runbooks: Vec<Runbook>,
    /// What time it is.
    pub clock: Clock,
    /// The API's socket.
    pub socket: PathBuf,
    /// Where decisions and history are kept; `None` keeps nothing.
    pub data_dir: Option<PathBuf>,
    /// Where telemetry comes from.
    pub telemetry: Telemetry,
    /// What is odd about the settings, a sentence each: consoles are told as long as it is.
    pub warnings: watch::Receiver<Vec<String>>,
}

/// Where telemetry comes from.
pub enum Telemetry {
    /// From the sources of the config: receivers, files, this host.
    Live,
    /// From a simulated system, which sends through [`Daemon::sources`]; nothing else is taken.
    Simulated {
        /// What it told before now.
        history: History,
        /// Where actions upon it go.
        simulator: mpsc::Sender<SimRequest>,
    },
    /// From a recording, decisions and all; nothing runs, and nothing can be decided in it.
    Recorded(Replay),
}

/// A running daemon. Dropping it without [`Daemon::stop`] leaves its threads to the process.
#[derive(Debug)]
pub struct Daemon {
    door: Door,
    registry: SourceRegistry,
    socket: PathBuf,
    listen: Option<SocketAddr>,
    otlp_listen: Option<SocketAddr>,
    otlp_grpc_listen: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    hub: Arc<Hub>,
    api_socket: http::Listening,
    receivers: Option<AbortHandle>,
    followers: Vec<JoinHandle<()>>,
    engine_ended: oneshot::Receiver<Result<(), String>>,
}

/// Why the daemon does not run.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// Another daemon has the socket.
    #[error(
        "another daemon answers at {}: attach to it with `stormglass attach`, or set `socket` in the config to another path", path.display()
    )]
    SocketTaken {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be opened.
    #[error("cannot open the socket {}: {why}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What failed.
        why: String,
    },
    /// In such a time neither HTTP nor the database work.
    #[error("the system's clock says a time before 1970: set it, then start again")]
    Clock,
    /// There is no such group.
    #[error(
        "`socket_group` is {group:?}, and /etc/group knows no such group: give a name that it lists, or a number"
    )]
    SocketGroup {
        /// What the config says.
        group: String,
    },
    /// What was kept cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The receivers' listener cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Others could read along.
    #[error(
        "`{setting}` is {address}, which others can reach: give `tls.cert_file` and `tls.key_file`, or listen on 127.0.0.1; for telemetry alone, `sources.insecure = true` does without"
    )]
    Exposed {
        /// The setting.
        setting: &'static str,
        /// What it says.
        address: SocketAddr,
    },
    /// Strangers could send.
    #[error("`{setting}` is {address}, {}", crate::config::without_token(setting))]
    Tokenless {
        /// The setting.
        setting: &'static str,
        /// What it says.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The senders' token cannot be used.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// An operator's token cannot be used.
    #[error("[[operators]] {name}: {why}")]
    Operator {
        /// Whose.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A receiver of notifications cannot work.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// An Alertmanager cannot be followed.
    #[error("{0}")]
    Alertmanager(String),
    /// A thread of the daemon cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// The engine broke one of its own rules.
    #[error("the engine stopped: {0}. This is a bug; decisions are safe in the journal")]
    Engine(String),
}

impl Daemon {
    /// Commands and questions, without HTTP.
    pub fn door(&self) -> &Door {
        &self.door
    }

    /// Where sources register.
    pub fn sources(&self) -> &SourceRegistry {
        &self.registry
    }

    /// The API's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where the receivers listen, if they do.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Where OTLP is taken besides, if that could be bound at once.
    pub fn otlp_listen(&self) -> Option<SocketAddr> {
        self.otlp_listen
    }

    /// Where OTLP is taken over gRPC, if that could be bound at once.
    pub fn otlp_grpc_listen(&self) -> Option<SocketAddr> {
        self.otlp_grpc_listen
    }

    /// Waits until the engine's thread ends by itself, which it only does when it breaks.
    pub async fn failed(&mut self) -> DaemonError {
        let ended = (&mut self.engine_ended).await;
        let why = match ended {
            Ok(Err(why)) => why,
            Ok(Ok(())) | Err(_) => "its thread is gone".to_owned(),
        };
        DaemonError::Engine(why)
    }

    /// Stops in order: no new requests, what was taken is performed, consoles are told, the socket
    /// is removed.
    pub async fn stop(mut self) -> Result<(), DaemonError> {
        if let Some(receivers) = &self.receivers {
            receivers.abort();
        }
        self.followers.iter().for_each(JoinHandle::abort);
        // Whoever listens for this has ended already, if nobody does.
        self.stop.send_replace(true);
        let ended = if self.engine_ended.is_terminated() {
            // Told by `failed` already.
            Ok(Ok(()))
        } else {
            (&mut self.engine_ended).await
        };
        self.hub.close();
        // A listener that panicked has nothing left to finish.
        let _ = self.api_socket.await;
        // It may have been removed by hand.
        let _ = std::fs::remove_file(&self.socket);
        match ended {
            Ok(Err(why)) => Err(DaemonError::Engine(why)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}
