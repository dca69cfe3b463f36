//! The start of a daemon, step by step: what must be free, what was kept, the engine's thread, the doors.
//!
//! Nobody is let in before everything that was kept is read; what cannot be had ends the start with the
//! setting that would change it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::access::{access, group};
use super::alertmanagers;
use super::checkpoints::{self, Checkpoints, Restored};
use super::clock::{Clock, Stamper};
use super::core::{Core, Past, Turn};
use super::door::{self, Door, Inbox};
use super::gauges::{Gauges, Ticks};
use super::http::{Api, Callers, SocketFile, api_routes, bind_socket, check_socket, serve};
use super::hub::Hub;
use super::keeper::Keeper;
use super::learn::{Learning, Scholar};
use super::ledger::Ledger;
use super::notices::{self, Notices, Origin};
use super::paths::{home, realm};
use super::recall;
use super::receiving::receive;
use super::shelf::Shelf;
use super::stop_mark::StopMark;
use super::{Daemon, DaemonError, DaemonOptions, Telemetry};
use crate::api::View;
use crate::config::Config;
use crate::engine::{Engine, Essentials};
use crate::executors::{Executors, SimHandle, SimRequest};
use crate::model::{Actor, Delta, Input, Role, Runbook, SourceId, Spoke, Time, counted};
use crate::notify::Notifier;
use crate::sources::{
    self, Guard, Listeners, SignalQueue, SourceRegistry, Sources, Tls, signal_queue,
};
use crate::store::StoreError;
use crate::store::recorder::{
    Beginning, Header, RECORDER_FOLDER, Recorder, RecorderOptions, left_bytes,
};

/// Name of the engine's thread, for debuggers and `top -H`.
const ENGINE_THREAD: &str = "engine";

/// Who may come in and where, with the addresses held.
struct Entrance {
    socket: PathBuf,
    /// Number of the group that may open the socket besides the owner.
    group: Option<u32>,
    callers: Callers,
    tls: Option<Tls>,
    guard: Option<Guard>,
    listeners: Listeners,
}

/// What an earlier run left.
struct Recovered {
    engine: Engine,
    ledger: Ledger,
    notices: Notices,
    /// What senders told before, to be fed first.
    recalled: Vec<Input>,
    /// How sources spoke before.
    spoke: BTreeMap<SourceId, Spoke>,
    /// What the engine begins from, for the recording.
    beginning: Beginning,
}

/// What joins the engine's thread to everything around it.
struct Joints<'a> {
    config: &'a Config,
    clock: Clock,
    data_dir: Option<&'a Path>,
    inbox: Inbox,
    signals: SignalQueue,
    executors: Executors,
    registry: SourceRegistry,
    hub: Arc<Hub>,
    stop_mark: StopMark,
    socket_notice: watch::Receiver<String>,
    warnings: watch::Receiver<Vec<String>>,
}

/// What everything around the engine works with.
struct Around {
    config: Arc<Config>,
    clock: Clock,
    door: Door,
    registry: SourceRegistry,
    hub: Arc<Hub>,
    ledger: Ledger,
    shelf: Shelf,
    gauges: Gauges,
    sources: Option<Sources>,
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
    outlive_file_limits();
    let mut entrance = Entrance::open(socket, &config, &telemetry).await?;
    let config = Arc::new(config);
    let data_dir = data_dir.as_deref();
    let (door, inbox) = door::door();
    let (registry, signals) = signal_queue();
    let sources = entrance.is_live().then(|| {
        let guard = entrance.guard.take();
        sources_of(&config, &registry, &clock, data_dir, guard)
    });
    let (past, simulator) = past(telemetry, &config, sources.as_ref(), data_dir);
    let mut recovered = recover(&config, runbooks, data_dir, clock.now())?;
    if entrance.is_live() {
        registry.remember(&recovered.spoke, clock.now());
    }
    let notices = &mut recovered.notices;
    tell_of_settings(notices, &config, &warnings.borrow(), entrance.is_live());
    let view = first_view(&recovered.engine, &config, notices, clock.now());
    let hub = Arc::new(Hub::new(View {
        mode: past.mode(),
        home: home(data_dir),
        ..view
    }));
    let (socket_told, socket_notice) = watch::channel(String::new());
    let ledger = recovered.ledger.clone();
    let joints = Joints {
        config: &config,
        clock: clock.clone(),
        data_dir,
        inbox,
        signals,
        executors: Executors::new(
            door.steps(),
            simulator.map(SimHandle::new),
            &realm(data_dir),
        ),
        registry: registry.clone(),
        hub: Arc::clone(&hub),
        stop_mark: StopMark::of(&entrance.socket, data_dir.is_some() && past.is_present()),
        socket_notice,
        warnings,
    };
    let core = joints.core(recovered, &past)?;
    let shelf = Shelf::new(core.recorder.as_ref(), data_dir);
    let gauges = Gauges {
        hub: Arc::clone(&hub),
        registry: registry.clone(),
        config: Arc::clone(&config),
        recorder: core.recorder.as_ref().map(Recorder::gauge),
        notifier: core.notifier.as_ref().map(Notifier::gauge),
        ticks: core.tick_times.clone(),
    };
    let around = Around {
        config,
        clock,
        door,
        registry,
        hub,
        ledger,
        shelf,
        gauges,
        sources,
    };
    around.begin(entrance, socket_told, core, past)
}

/// A file that may grow no further (`ulimit -f`) is an error that can be told. The signal that comes with it would end the
/// process without a word: once it is waited for, it does not.
fn outlive_file_limits() {
    let too_large = SignalKind::from_raw(Signal::XFSZ.as_raw());
    // A system without it has no such limit either.
    let _ = signal(too_large);
}

impl Joints<'_> {
    /// The engine as it was recovered, with everything it works through.
    fn core(self, recovered: Recovered, past: &Past) -> Result<Core, DaemonError> {
        let Recovered {
            engine,
            ledger,
            notices,
            recalled,
            beginning,
            ..
        } = recovered;
        let append = ledger.clone();
        Ok(Core {
            stamper: Stamper::new(self.clock, engine.now()),
            inbox: self.inbox,
            signals: self.signals,
            registry: self.registry,
            keeper: Keeper::new(Box::new(move |entries| append.append(entries))),
            recorder: recorder(self.config, &engine, self.data_dir, beginning)?,
            checkpoints: Checkpoints::new(self.data_dir).map_err(DaemonError::Thread)?,
            executors: self.executors,
            notifier: notifier(self.config, &ledger, past)?,
            engine,
            ledger,
            hub: self.hub,
            notices,
            stop_mark: self.stop_mark,
            socket_notice: self.socket_notice,
            warnings: self.warnings,
            turn: Turn::default(),
            source_rows: Vec::new(),
            tick_times: Ticks::default(),
            recalled,
        })
    }
}

impl Entrance {
    /// Makes sure that it is a time to start in and that nobody else has the socket; takes the addresses.
    async fn open(
        socket: PathBuf,
        config: &Config,
        telemetry: &Telemetry,
    ) -> Result<Self, DaemonError> {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| DaemonError::Clock)?;
        check_socket(&socket).await?;
        let group = group(config)?;
        let (callers, tls, guard) = access(config)?;
        let listeners = match telemetry {
            Telemetry::Live => bind_listeners(config).await?,
            Telemetry::Simulated { .. } | Telemetry::Recorded(_) => Listeners::default(),
        };
        Ok(Self {
            socket,
            group,
            callers,
            tls,
            guard,
            listeners,
        })
    }

    /// Whether telemetry comes from outside.
    const fn is_live(&self) -> bool {
        self.listeners.main.is_some()
    }
}

impl Around {
    /// Starts the engine's thread, opens the doors, and lets telemetry in.
    fn begin(
        self,
        entrance: Entrance,
        socket_told: watch::Sender<String>,
        core: Core,
        past: Past,
    ) -> Result<Daemon, DaemonError> {
        let Entrance {
            socket,
            group,
            callers,
            tls,
            listeners,
            ..
        } = entrance;
        let socket_listener = bind_socket(&socket, group)?;
        let (stop, stopping) = watch::channel(false);
        let engine_ended = spawn_engine(core, past, stopping.clone(), Arc::clone(&self.hub))?;
        let is_live = listeners.main.is_some();
        let (config, clock) = (&self.config, &self.clock);
        let followers = followers(config, is_live, &self.door, &self.registry, clock)?;
        let kept = (self.ledger, self.shelf);
        let gauges = self.gauges;
        let api = Api::new(
            self.door.clone(),
            Arc::clone(&self.hub),
            kept,
            gauges,
            callers.clone(),
        );
        let api = api_routes(api);
        let [listen, otlp_listen, otlp_grpc_listen] =
            [&listeners.main, &listeners.otlp, &listeners.grpc]
                .map(|listener| listener.as_ref().and_then(|l| l.local_addr().ok()));
        let receivers = self.sources.map(|sources| {
            let beside = beside_receivers(&self.config, &api);
            receive(sources, listeners, tls, beside).map_err(DaemonError::Thread)
        });
        let receivers = receivers.transpose()?;
        let file = SocketFile::of(&socket, group, socket_told);
        Ok(Daemon {
            door: self.door,
            registry: self.registry,
            socket,
            listen,
            otlp_listen,
            otlp_grpc_listen,
            stop,
            hub: self.hub,
            api_socket: serve(
                socket_listener,
                file,
                sources::saying_methods(api),
                callers,
                stopping,
            ),
            receivers,
            followers,
            engine_ended,
        })
    }
}

/// What the engine goes through before the present, and who acts in a simulated one.
fn past(
    telemetry: Telemetry,
    config: &Config,
    sources: Option<&Sources>,
    data_dir: Option<&Path>,
) -> (Past, Option<mpsc::Sender<SimRequest>>) {
    match telemetry {
        Telemetry::Live => (learning(config, sources, data_dir), None),
        Telemetry::Simulated { history, simulator } => (Past::History(history), Some(simulator)),
        Telemetry::Recorded(replay) => (Past::Recorded(replay), None),
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
    clock: &Clock,
) -> Result<Vec<JoinHandle<()>>, DaemonError> {
    let all = config.alertmanagers.as_slice();
    let followed = if is_live { all } else { &[] };
    alertmanagers::follow(followed, door, registry, clock).map_err(DaemonError::Alertmanager)
}

/// Starts telling people. What is simulated or long over is nobody's phone call.
fn notifier(
    config: &Config,
    ledger: &Ledger,
    past: &Past,
) -> Result<Option<Notifier>, DaemonError> {
    if !past.is_present() {
        return Ok(None);
    }
    let notifier = Notifier::start(&config.notify, &config.environment, ledger.outbox())?;
    Ok(Some(notifier))
}

/// Binds what can be bound. The addresses for OTLP are ones of convenience: a collector may have them,
/// which is told, and they are tried again later.
async fn bind_listeners(config: &Config) -> Result<Listeners, DaemonError> {
    let main = Some(sources::bind(config.listen, "listen").await?);
    Ok(Listeners {
        main,
        otlp: bind_beside(config.otlp_listener(), "otlp_listen").await,
        grpc: bind_beside(config.grpc_listener(), "otlp_grpc_listen").await,
    })
}

/// Binds an address that the daemon can do without for now.
async fn bind_beside(address: Option<SocketAddr>, setting: &'static str) -> Option<TcpListener> {
    let bound = sources::bind(address?, setting).await;
    bound
        .inspect_err(|error| {
            tracing::warn!(
                "{error}; until it is free nothing is taken there, and it is tried again"
            );
        })
        .ok()
}

/// What is odd about the settings. Nobody watches yet: the first view carries it.
fn tell_of_settings(notices: &mut Notices, config: &Config, warnings: &[String], is_live: bool) {
    let _ = notices.set(Origin::Config, &notices::in_short(warnings));
    if is_live {
        let _ = notices.set(Origin::Exposed, &exposed(config));
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
    let spoke = engine.spoke();
    let spoke = spoke.map(|(id, spoke)| (id.clone(), spoke)).collect();
    let told = recorded.map_or_else(recall::Told::default, |folder| {
        recall::recall(firing, spoke, &folder, &config.engine, now)
    });
    banners.extend(told.notice);
    let mut notices = Notices::default();
    // Nobody watches yet: the first view carries it.
    let _ = notices.set(Origin::Recovery, &banners.join(notices::SEPARATOR));
    let _ = notices.set(Origin::Database, &ledger.db_off());
    Ok(Recovered {
        engine,
        ledger,
        notices,
        recalled: told.inputs,
        spoke: told.spoke,
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
        let records = counted(left_out, "old record", "old records");
        format!("not in the recording: {records} of the journal at a start")
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
pub(super) fn restore(
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
        left_bytes: left_bytes(data_dir),
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
