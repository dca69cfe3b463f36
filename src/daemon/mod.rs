//! The shell around the pure engine: clock, queues, the engine's thread, recovery, the HTTP API.
//!
//! [`start`] runs it inside any program: `serve` waits for it, the console attaches to it, the demo
//! feeds it a simulated system. It never draws a screen and never decides what the engine decides.

mod alertmanagers;
mod checkpoints;
mod clock;
mod core;
mod door;
mod http;
mod hub;
mod keeper;
mod learn;
mod ledger;
mod notices;
mod paths;
mod recall;
mod replay;
mod shelf;
mod stop_mark;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use clock::{Clock, TICK_MS};
pub use core::History;
pub use door::{Door, EngineStopped};
pub use paths::{default_data_dir, default_socket};
pub use replay::{Replay, Replayed};

use crate::api::View;
use crate::config::Config;
use crate::engine::{Engine, Essentials};
use crate::executors::{Executors, SimHandle, SimRequest};
use crate::model::{Actor, Delta, Input, Role, Runbook, Time};
use crate::notify::Notifier;
use crate::sources::{
    self, Guard, GuardError, ListenError, Listeners, SourceRegistry, Sources, Tls, TlsError,
    signal_queue,
};
use crate::store::StoreError;
use crate::store::recorder::{Beginning, Header, RECORDER_FOLDER, Recorder, RecorderOptions};
use checkpoints::{Checkpoints, Restored};
use clock::Stamper;
use core::{Core, Past, Turn};
use http::{Api, Callers, Operator, SocketFile, api_routes, bind_socket, check_socket, serve};
use hub::Hub;
use keeper::Keeper;
use learn::{Learning, Scholar};
use ledger::Ledger;
use notices::{Notices, Origin};
use shelf::Shelf;
use stop_mark::StopMark;

/// Name of the engine's thread, for debuggers and `top -H`.
const ENGINE_THREAD: &str = "engine";

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
    /// What is odd about the settings, a sentence each: consoles are told.
    pub warnings: Vec<String>,
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
    receivers: Option<JoinHandle<()>>,
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
    #[error("{0}")]
    Notify(String),
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

/// What an earlier run left.
struct Recovered {
    engine: Engine,
    ledger: Ledger,
    notices: Notices,
    /// What senders told before, to be fed first.
    recalled: Vec<Input>,
    /// What the engine begins from, for the recording.
    beginning: Beginning,
}

/// Starts everything and returns once the API answers.
pub async fn start(options: DaemonOptions) -> Result<Daemon, DaemonError> {
    let DaemonOptions {
        config,
        runbooks,
        clock,
        socket,
        data_dir,
        telemetry,
        warnings,
    } = options;
    check_socket(&socket).await?;
    let (callers, tls, guard) = access(&config)?;
    let listeners = match &telemetry {
        Telemetry::Live => bind_listeners(&config).await?,
        Telemetry::Simulated { .. } | Telemetry::Recorded(_) => Listeners::default(),
    };
    let is_live = listeners.main.is_some();
    let (door, inbox) = door::door();
    let (registry, signals) = signal_queue();
    let config = Arc::new(config);
    let sources =
        is_live.then(|| sources_of(&config, &registry, &clock, data_dir.as_deref(), guard));
    let (past, simulator) = match telemetry {
        Telemetry::Live => (
            learning(&config, sources.as_ref(), data_dir.as_deref()),
            None,
        ),
        Telemetry::Simulated { history, simulator } => (Past::History(history), Some(simulator)),
        Telemetry::Recorded(replay) => (Past::Recorded(replay), None),
    };
    let mode = past.mode();
    let Recovered {
        engine,
        ledger,
        mut notices,
        recalled,
        beginning,
    } = recover(&config, runbooks, data_dir.as_deref(), clock.now())?;
    tell_of_settings(&mut notices, &config, &warnings, is_live);
    let recorder = recorder(&config, &engine, data_dir.as_deref(), beginning)?;
    let shelf = Shelf::new(recorder.as_ref(), data_dir.as_deref());
    let checkpoints = Checkpoints::new(data_dir.as_deref()).map_err(DaemonError::Thread)?;
    let socket_listener = bind_socket(&socket)?;
    let view = first_view(&engine, &config, &notices, clock.now());
    let hub = Arc::new(Hub::new(View { mode, ..view }));
    let append = ledger.clone();
    let notifier = match past {
        Past::None | Past::Learning(_) => Some(notifier(&config, &ledger)?),
        // What is simulated or long over is nobody's phone call.
        Past::History(_) | Past::Recorded(_) => None,
    };
    let realm = realm(data_dir.as_deref());
    let keeps = data_dir.is_some() && matches!(past, Past::None | Past::Learning(_));
    let core = Core {
        stamper: Stamper::new(clock.clone(), engine.now()),
        engine,
        inbox,
        signals,
        registry: registry.clone(),
        keeper: Keeper::new(Box::new(move |entries| append.append(entries))),
        recorder,
        checkpoints,
        executors: Executors::new(door.steps(), simulator.map(SimHandle::new), &realm),
        notifier,
        ledger: ledger.clone(),
        hub: Arc::clone(&hub),
        notices,
        stop_mark: StopMark::of(&socket, keeps),
        turn: Turn::default(),
        source_rows: Vec::new(),
        recalled,
    };
    let (stop, stopping) = watch::channel(false);
    let engine_ended = spawn_engine(core, past, stopping.clone(), Arc::clone(&hub))?;

    let followers = followers(&config, is_live, &door, &registry)?;
    let kept = (ledger, shelf);
    let api = Api::new(door.clone(), Arc::clone(&hub), kept, callers.clone());
    let api = api_routes(api);
    let [listen, otlp_listen, otlp_grpc_listen] =
        [&listeners.main, &listeners.otlp, &listeners.grpc]
            .map(|listener| listener.as_ref().and_then(|l| l.local_addr().ok()));
    let receivers = sources.map(|sources| {
        let beside = beside_receivers(&config, &api);
        tokio::spawn(async move { sources::run(&sources, listeners, tls, beside).await })
    });
    let file = SocketFile::of(&socket);
    Ok(Daemon {
        door,
        registry,
        socket,
        listen,
        otlp_listen,
        otlp_grpc_listen,
        stop,
        hub,
        api_socket: serve(socket_listener, file, api, callers, stopping),
        receivers,
        followers,
        engine_ended,
    })
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

/// The sources of the config, by the daemon's clock.
fn sources_of(
    config: &Arc<Config>,
    registry: &SourceRegistry,
    clock: &Clock,
    data_dir: Option<&Path>,
    guard: Option<Guard>,
) -> Sources {
    let clock = clock.clone();
    let now: sources::Clock = Arc::new(move || clock.now());
    Sources::new(Arc::clone(config), registry, now)
        .kept_in(data_dir)
        .guarded_by(guard)
}

/// What the main listener serves besides receivers. Whoever may send in the clear may not decide: the
/// API has its socket.
fn beside_receivers(config: &Config, api: &Router) -> Router {
    let is_exposed = config.exposed_listeners().any(|(name, _)| name == "listen");
    if is_exposed {
        Router::new()
    } else {
        api.clone()
    }
}

/// What is to be learned before the present, if any source knows a past that was not learned from.
fn learning(config: &Config, sources: Option<&Sources>, data_dir: Option<&Path>) -> Past {
    let Some(sources) = sources.filter(|_| !config.sources.promql.is_empty()) else {
        return Past::None;
    };
    let scholar = Scholar::new(config, data_dir);
    let history = sources.history(scholar.until());
    history.map_or(Past::None, |history| {
        Past::Learning(Box::new(Learning { history, scholar }))
    })
}

/// Starts to keep silences in step with those of Alertmanagers, in the present only.
fn followers(
    config: &Config,
    is_live: bool,
    door: &Door,
    registry: &SourceRegistry,
) -> Result<Vec<JoinHandle<()>>, DaemonError> {
    let all = config.alertmanagers.as_slice();
    let followed = if is_live { all } else { &[] };
    alertmanagers::follow(followed, door, registry).map_err(DaemonError::Alertmanager)
}

/// Starts telling people.
fn notifier(config: &Config, ledger: &Ledger) -> Result<Notifier, DaemonError> {
    Notifier::start(&config.notify, &config.environment, ledger.outbox())
        .map_err(DaemonError::Notify)
}

/// What the runs of this daemon are known by after a restart: where it keeps what it keeps.
fn realm(data_dir: Option<&Path>) -> String {
    let folder = data_dir.map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    folder.map_or_else(String::new, |folder| folder.display().to_string())
}

/// Who may come in, and how the listeners are protected.
fn access(config: &Config) -> Result<(Callers, Option<Tls>, Option<Guard>), DaemonError> {
    if !config.sources.insecure {
        if let Some((setting, address)) = config.exposed_listeners().next() {
            return Err(DaemonError::Exposed { setting, address });
        }
        if let Some((setting, address)) = config.tokenless_listeners().next() {
            return Err(DaemonError::Tokenless { setting, address });
        }
    }
    let operators = config.operators.iter().map(|operator| {
        let name = operator.name.clone();
        Operator::read(operator).map_err(|why| DaemonError::Operator { name, why })
    });
    let callers = Callers::new(operators.collect::<Result<_, _>>()?);
    let guard = Guard::read(config.sources.token_file.as_deref())?;
    Ok((callers, Tls::from_config(&config.tls)?, guard))
}

/// Binds what can be bound. The addresses for OTLP are ones of convenience: a collector may have them,
/// and they are tried again later.
async fn bind_listeners(config: &Config) -> Result<Listeners, DaemonError> {
    let main = Some(sources::bind(config.listen, "listen").await?);
    let otlp = match config.otlp_listener() {
        Some(address) => sources::bind(address, "otlp_listen").await.ok(),
        None => None,
    };
    let grpc = match config.grpc_listener() {
        Some(address) => sources::bind(address, "otlp_grpc_listen").await.ok(),
        None => None,
    };
    Ok(Listeners { main, otlp, grpc })
}

/// What is odd about the settings. Nobody watches yet: the first view carries it.
fn tell_of_settings(notices: &mut Notices, config: &Config, warnings: &[String], is_live: bool) {
    let _ = notices.set(Origin::Config, &in_short(warnings));
    if is_live {
        let _ = notices.set(Origin::Exposed, &exposed(config));
    }
}

/// The first of what is odd about the settings, and how much more there is: a banner is one line.
fn in_short(warnings: &[String]) -> String {
    match warnings {
        [] => String::new(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} (and {} more: see `stormglass check`)", more.len()),
    }
}

/// What everybody must know who looks: telemetry travels in the clear, or comes from anybody.
fn exposed(config: &Config) -> String {
    let clear: Vec<_> = config.exposed_listeners().collect();
    let anybody: Vec<_> = config.tokenless_listeners().collect();
    let said = [("in the clear", clear), ("without a token", anybody)];
    let said: Vec<_> = said
        .into_iter()
        .filter(|(_, listeners)| !listeners.is_empty())
        .map(|(how, listeners)| {
            let addresses = listeners.iter().map(|(_, address)| address.to_string());
            format!("{how} on {}", addresses.collect::<Vec<_>>().join(" and "))
        })
        .collect();
    if said.is_empty() {
        return String::new();
    }
    format!(
        "INSECURE: telemetry is taken {} (`sources.insecure`)",
        said.join(", ")
    )
}

/// Opens what was kept and tells a fresh engine. Runs without a result are unknown from here on.
fn recover(
    config: &Config,
    runbooks: Vec<Runbook>,
    data_dir: Option<&Path>,
    now: Time,
) -> Result<Recovered, DaemonError> {
    let (ledger, opened) = Ledger::open(data_dir)?;
    let engine_runbooks = runbooks.clone();
    let mut engine = Engine::new(config.engine.clone(), runbooks);
    let mut banners = opened.banners;
    let restored = data_dir.map(|folder| checkpoints::restore(&mut engine, folder));
    let restored = match restored {
        Some(Err(banner)) => {
            banners.push(banner);
            None
        }
        Some(Ok(restored)) => restored,
        None => None,
    };
    let mut essentials = config.recorder.enabled.then(Essentials::default);
    restore(&mut engine, &ledger, essentials.as_mut()).map_err(|source| {
        let path = data_dir.map_or_else(PathBuf::new, Path::to_owned);
        StoreError::Folder { path, source }
    })?;
    let recorded = data_dir.map(|folder| folder.join(RECORDER_FOLDER));
    let (learned, firing) = match restored {
        Some(Restored {
            at,
            alerts,
            learned,
        }) => (Some(learned), Some((at, alerts))),
        None => (None, None),
    };
    let (recalled, unknown) = recorded.map_or_else(Default::default, |folder| {
        recall::recall(firing, &folder, &config.engine, now)
    });
    banners.extend(unknown);
    let mut notices = Notices::default();
    // Nobody watches yet: the first view carries it.
    let _ = notices.set(Origin::Recovery, &banners.join(notices::SEPARATOR));
    let _ = notices.set(Origin::Database, &ledger.db_off());
    Ok(Recovered {
        engine,
        ledger,
        notices,
        recalled,
        beginning: Beginning {
            learned,
            ..beginning(config, essentials, engine_runbooks)
        },
    })
}

/// What the engine began from, but for what it had learned.
fn beginning(config: &Config, essentials: Option<Essentials>, runbooks: Vec<Runbook>) -> Beginning {
    let (records, left_out) = essentials.map(Essentials::finish).unwrap_or_default();
    let lacks = (left_out > 0).then(|| {
        format!("{left_out} old records of the journal at a start are not in the recording")
    });
    Beginning {
        engine: config.engine.clone(),
        runbooks,
        learned: None,
        records,
        lacks: lacks.into_iter().collect(),
    }
}

/// Feeds the journal to a fresh engine, as far as it can be read.
fn restore(
    engine: &mut Engine,
    ledger: &Ledger,
    mut essentials: Option<&mut Essentials>,
) -> std::io::Result<()> {
    let mut read = Ok(());
    let records = ledger.records()?.map_while(|record| match record {
        Ok(record) => Some(record),
        Err(error) => {
            read = Err(error);
            None
        }
    });
    engine.restore(records.inspect(|record| {
        if let Some(essentials) = &mut essentials {
            essentials.take(record.clone());
        }
    }));
    read
}

/// Starts the recorder, if anything is to be recorded and there is a place for it.
fn recorder(
    config: &Config,
    engine: &Engine,
    data_dir: Option<&Path>,
    beginning: Beginning,
) -> Result<Option<Recorder>, DaemonError> {
    let Some(data_dir) = data_dir.filter(|_| config.recorder.enabled) else {
        return Ok(None);
    };
    let options = RecorderOptions {
        folder: data_dir.join(RECORDER_FOLDER),
        bytes_max: config.recorder.bytes_max,
        header: Header {
            made_by: env!("CARGO_PKG_VERSION").to_owned(),
            environment: config.environment.clone(),
            from: Time::ZERO,
            redacted: false,
            engine: config.engine.clone(),
            runbooks: engine.runbooks().to_vec(),
        },
    };
    let recorder = Recorder::start(options, beginning).map_err(DaemonError::Thread)?;
    // What an incident of before needs is kept as long as if there had been no restart.
    for row in engine.incident_rows() {
        if let Some(incident) = engine.incident(row.id) {
            recorder.pin(incident, incident.resolved.unwrap_or(engine.now()));
        }
    }
    Ok(Some(recorder))
}

/// Runs the engine on a thread of its own. A panic there is shown to every console.
fn spawn_engine(
    core: Core,
    past: Past,
    stop: watch::Receiver<bool>,
    hub: Arc<Hub>,
) -> Result<oneshot::Receiver<Result<(), String>>, DaemonError> {
    let (ended, engine_ended) = oneshot::channel();
    let runtime = Handle::current();
    let work = move || {
        let run = AssertUnwindSafe(|| runtime.block_on(core.run(past, stop)));
        let result = std::panic::catch_unwind(run).map_err(|panic| panic_text(&*panic));
        if let Err(why) = &result {
            tracing::error!("the engine stopped: {why}");
            let text = format!("ENGINE STOPPED ({why}): nothing is watched; restart the daemon");
            hub.publish(hub.now(), &[Delta::Banner(text)]);
        }
        // The daemon may have been dropped; then the log has said it.
        let _ = ended.send(result);
    };
    std::thread::Builder::new()
        .name(ENGINE_THREAD.to_owned())
        .spawn(work)
        .map_err(DaemonError::Thread)?;
    Ok(engine_ended)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without a message".to_owned())
}

/// What consoles see before the first input: what the engine restored.
fn first_view(engine: &Engine, config: &Config, notices: &Notices, at: Time) -> View {
    // Each console gets its own.
    let nobody = Actor {
        name: String::new(),
        role: Role::Viewer,
    };
    View {
        incidents: engine.incident_rows().map(|row| (row.id, row)).collect(),
        entities: engine
            .entities()
            .map(|(id, health)| (id.clone(), health))
            .collect(),
        counts: engine.counts(),
        silences: engine.silences().map(|s| (s.id, s.clone())).collect(),
        automation_stopped: engine.automation_stopped(),
        closes_after_s: config.engine.resolve_after_s,
        banner: notices.banner(),
        ..View::empty(&config.environment, nobody, at)
    }
}
