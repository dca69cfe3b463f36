//! Telemetry in: one file per protocol. A source parses its wire format into signals, hands them to
//! its [`SignalSender`] and answers its peer; it never judges what it delivers.
//!
//! ```text
//! router(&Sources) ─ receivers: alerts, remote write, OTLP, changes ─┐
//! run(&Sources)    ─ listeners, this host, log files                ─┴─ SignalSender ─▶ bounded queue
//!                                                                         └─ counts ─▶ SourceRegistry
//! ```
//!
//! [`Sources::new`] registers every source that the config turns on. [`router`] is their HTTP side
//! alone, for tests; [`run`] does everything until it is dropped: it binds, listens, watches the
//! host and follows files, shows what fails as failed, and tries again by itself.

mod alerts;
mod backoff;
mod bookmark;
mod changes;
mod client;
mod connections;
mod document;
mod elastic;
mod failing;
mod guard;
mod heartbeat;
mod host;
mod http;
mod journald;
mod kafka;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod listen;
mod loki;
mod message;
mod naming;
mod nats;
mod otlp;
mod polled;
mod promql;
mod queue;
mod recent;
mod remote_write;
mod rhythm;
mod scrape;
mod series;
mod statsd;
mod syslog;
mod tail;
mod tls;
mod udp;
mod webhook;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Config, Networks, PollConfig};
use crate::model::Time;
use heartbeat::Heartbeat;
use webhook::{Forge, ForgeKind, Hook};

use listen::Speech;

pub(crate) use client::{http_client, in_full, token};
pub use guard::{Guard, GuardError};
pub use listen::{ListenError, bind};
pub use promql::{History, Learnt};
pub use queue::{
    QueuedBatch, Rhythm, SIGNALS_QUEUED_MAX, SendError, SignalQueue, SignalSender, SourceRegistry,
    signal_queue,
};
pub use tail::matches_any;
pub use tls::{Tls, TlsError};

/// Reads the time. The daemon gives its own clock; tests give a fixed one.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Listeners that are bound already. What is missing and configured is bound later, as soon as that works.
#[derive(Debug, Default)]
pub struct Listeners {
    /// Of `listen`.
    pub main: Option<TcpListener>,
    /// Of `otlp_listen`.
    pub otlp: Option<TcpListener>,
    /// Of `otlp_grpc_listen`.
    pub grpc: Option<TcpListener>,
}

/// Every source that the config turns on; cheap to clone.
#[derive(Clone)]
pub struct Sources {
    config: Arc<Config>,
    clock: Clock,
    registry: SourceRegistry,
    /// What senders need over HTTP; `None` lets everybody in who can reach us.
    guard: Option<Guard>,
    /// Where sources keep what they need after a restart; `None` keeps nothing.
    data_dir: Option<PathBuf>,
    limits: http::Limits,
    alerts: Option<SignalSender>,
    remote_write: Option<SignalSender>,
    otlp: Option<SignalSender>,
    /// OTLP over gRPC, if it is taken anywhere.
    grpc: Option<SignalSender>,
    changes: Option<SignalSender>,
    loki: Option<SignalSender>,
    notifications: Option<SignalSender>,
    pagerduty: Option<SignalSender>,
    /// One for each `[[sources.heartbeat]]`.
    heartbeats: Vec<Heartbeat>,
    /// One for each `[[sources.webhook]]`.
    mapped: Vec<SignalSender>,
    /// Those whose secret is known.
    forges: Vec<(Forge, SignalSender)>,
    host: Option<SignalSender>,
    syslog: Option<SignalSender>,
    statsd: Option<SignalSender>,
    /// One for each `[[sources.scrape]]`.
    scrapes: Vec<SignalSender>,
    /// One for each `[[sources.promql]]`, and where its present begins.
    promqls: Vec<(SignalSender, watch::Sender<Option<Time>>)>,
    journald: Option<SignalSender>,
    /// One for each `[[sources.loki_tail]]`.
    loki_tails: Vec<SignalSender>,
    /// One for each `[[sources.elastic]]`.
    elastics: Vec<SignalSender>,
    /// One for each `[[sources.nats]]`.
    nats: Vec<SignalSender>,
    /// One for each `[[sources.kafka]]`.
    kafkas: Vec<SignalSender>,
    /// One for each `[[sources.kubernetes]]`.
    clusters: Vec<SignalSender>,
    /// One for each `[[sources.tail]]`.
    tails: Vec<SignalSender>,
}

impl Sources {
    /// Registers the sources of the config.
    pub fn new(config: Arc<Config>, registry: &SourceRegistry, clock: Clock) -> Self {
        let on = &config.sources;
        let receiver = |enabled: bool, name, rhythm, path| {
            let place = format!("http://{}{path}", config.listen);
            enabled.then(|| registry.source(name, rhythm, &place))
        };
        Self {
            alerts: receiver(on.alerts.enabled, "alerts", Rhythm::Sporadic, alerts::PATH),
            remote_write: receiver(
                on.remote_write.enabled,
                "remote_write",
                Rhythm::Regular,
                remote_write::PATH,
            ),
            otlp: receiver(on.otlp.enabled, "otlp", Rhythm::Regular, otlp::PATH),
            grpc: config.grpc_listener().map(|address| {
                let place = format!("grpc://{address}");
                registry.source("otlp grpc", Rhythm::Regular, &place)
            }),
            changes: receiver(
                on.changes.enabled,
                "changes",
                Rhythm::Sporadic,
                changes::PATH,
            ),
            loki: receiver(on.loki.enabled, "loki", Rhythm::Sporadic, loki::PATH),
            notifications: receiver(
                on.notifications.enabled,
                "notifications",
                Rhythm::Sporadic,
                webhook::NOTIFICATION_PATH,
            ),
            pagerduty: receiver(
                on.pagerduty.enabled,
                "pagerduty",
                Rhythm::Sporadic,
                webhook::PAGERDUTY_PATH,
            ),
            heartbeats: heartbeats(&config, registry, &clock),
            mapped: mapped(&config, registry),
            forges: forges(&config, registry),
            host: on.host.enabled.then(|| {
                let place = format!("this host, {}", host::name(&on.host));
                registry.source("host", Rhythm::Regular, &place)
            }),
            syslog: syslog::place(&on.syslog)
                .map(|place| registry.source("syslog", Rhythm::Sporadic, &place)),
            statsd: on.statsd.udp.map(|address| {
                registry.source("statsd", Rhythm::Regular, &format!("udp {address}"))
            }),
            scrapes: on
                .scrape
                .iter()
                .map(|scrape| {
                    let place = scrape.targets.join(", ");
                    registry.source(&scrape::name(scrape), Rhythm::Regular, &place)
                })
                .collect(),
            promqls: on
                .promql
                .iter()
                .map(|promql| {
                    let sender =
                        registry.source(&promql::name(promql), Rhythm::Regular, &promql.url);
                    (sender, watch::Sender::new(Some(clock())))
                })
                .collect(),
            journald: on.journald.enabled.then(|| {
                let place = match &*on.journald.files {
                    [] => "this machine's journal".to_owned(),
                    files => files.join(", "),
                };
                registry.source(journald::NAME, Rhythm::Sporadic, &place)
            }),
            loki_tails: each(&on.loki_tail, registry, |loki| {
                (loki::tail::name(loki), loki.url.clone())
            }),
            elastics: each(&on.elastic, registry, |elastic| {
                let place = format!("{} at {}", elastic.index, elastic.url);
                (elastic::name(elastic), place)
            }),
            nats: each(&on.nats, registry, |nats| {
                let place = format!("{} at {}", nats.stream, nats.url);
                (nats::name(nats), place)
            }),
            kafkas: each(&on.kafka, registry, |kafka| {
                (kafka::name(kafka), kafka::place(kafka))
            }),
            clusters: clusters(&config, registry),
            tails: each(&on.tail, registry, |tail| {
                (tail::name(tail), tail.paths.join(", "))
            }),
            limits: http::Limits::new(on.body_bytes_max, on.requests_concurrent_max),
            clock,
            registry: registry.clone(),
            guard: None,
            data_dir: None,
            config,
        }
    }

    /// Keeps in this folder what is needed after a restart: how far each file was read.
    #[must_use]
    pub fn kept_in(mut self, data_dir: Option<&Path>) -> Self {
        self.data_dir = data_dir.map(Path::to_owned);
        self
    }

    /// Asks senders over HTTP and gRPC for a token.
    #[must_use]
    pub fn guarded_by(mut self, guard: Option<Guard>) -> Self {
        self.guard = guard;
        self
    }

    fn guarded(&self, routes: Router) -> Router {
        match &self.guard {
            Some(guard) => guard.before(routes, &self.registry),
            None => routes,
        }
    }

    /// What servers that are asked by PromQL know of the past after `learned_until`. The present of these
    /// sources begins once that is dropped.
    pub fn history(&self, learned_until: Time) -> Option<History> {
        let sections = self.config.sources.promql.iter().zip(&self.promqls);
        let sections =
            sections.map(|(config, (sender, begins))| (config, sender.clone(), begins.clone()));
        History::new(sections.collect(), learned_until, Arc::clone(&self.clock))
    }

    /// What cannot work while the main listener cannot.
    fn receivers(&self) -> Vec<SignalSender> {
        let receivers = [
            &self.alerts,
            &self.remote_write,
            &self.otlp,
            &self.changes,
            &self.loki,
            &self.notifications,
            &self.pagerduty,
        ];
        let forges = self.forges.iter().map(|(_, sender)| sender);
        let forges = forges.chain(&self.mapped);
        receivers
            .into_iter()
            .flatten()
            .chain(forges)
            .cloned()
            .collect()
    }
}

/// The calls of OTLP over gRPC, if it is taken anywhere.
pub fn grpc_router(sources: &Sources) -> Option<Router> {
    let sender = sources.grpc.clone()?;
    Some(sources.guarded(otlp::grpc_routes(otlp_receiver(sources, sender))))
}

/// The HTTP side of all receivers that the config turns on, and `/-/healthy` and `/-/ready`.
pub fn router(sources: &Sources) -> Router {
    let limits = &sources.limits;
    let mut router = Router::new();
    if let Some(sender) = sources.alerts.clone() {
        let timeout_ms = i64::from(sources.config.engine.alert_resolve_timeout_s) * 1_000;
        let clock = Arc::clone(&sources.clock);
        router = router.merge(alerts::routes(sender, limits.clone(), clock, timeout_ms));
    }
    if let Some(sender) = sources.remote_write.clone() {
        let series_max = sources.config.engine.series_max;
        router = router.merge(remote_write::routes(sender, limits.clone(), series_max));
    }
    if let Some(sender) = sources.otlp.clone() {
        router = router.merge(otlp_router(sources, sender));
    }
    if let Some(sender) = sources.changes.clone() {
        let clock = Arc::clone(&sources.clock);
        let skew_ms_max = i64::from(sources.config.engine.clock_skew_s_max) * 1_000;
        router = router.merge(changes::routes(sender, limits.clone(), clock, skew_ms_max));
    }
    if let Some(sender) = sources.loki.clone() {
        router = router.merge(loki::routes(sender, limits.clone()));
    }
    if !sources.heartbeats.is_empty() {
        let clock = Arc::clone(&sources.clock);
        router = router.merge(heartbeat::routes(sources.heartbeats.clone(), clock));
    }
    let (webhooks, forges) = webhooks(sources);
    // `route_layer` would fail without a route to stand before.
    sources
        .guarded(router.merge(webhooks))
        .merge(forges)
        .route("/-/healthy", get(|| async { "OK" }))
        .route("/-/ready", get(|| async { "OK" }))
}

/// The part of the router that takes what other tools notify, and what forges do.
fn webhooks(sources: &Sources) -> (Router, Router) {
    let on = &sources.config.sources;
    let hook = |sender| Hook {
        sender,
        limits: sources.limits.clone(),
        clock: Arc::clone(&sources.clock),
    };
    let mut router = Router::new();
    if let Some(sender) = sources.notifications.clone() {
        let hold_ms = i64::from(on.notifications.hold_s) * 1_000;
        router = router.merge(webhook::notification_routes(hook(sender), hold_ms));
    }
    if let Some(sender) = sources.pagerduty.clone() {
        let hold_ms = i64::from(on.pagerduty.hold_s) * 1_000;
        router = router.merge(webhook::pagerduty_routes(hook(sender), hold_ms));
    }
    let mapped = on.webhook.iter().zip(&sources.mapped);
    let mapped = mapped.map(|(webhook, sender)| (hook(sender.clone()), webhook.clone()));
    let mapped: Vec<_> = mapped.collect();
    if !mapped.is_empty() {
        router = router.merge(webhook::mapped::routes(mapped));
    }
    let forges = sources.forges.clone().into_iter();
    let forges = forges.fold(Router::new(), |router, (forge, sender)| {
        router.merge(forge.routes(hook(sender)))
    });
    (router, forges)
}

/// One sporadic source for each section of a kind, by its name and its place.
fn each<T>(
    sections: &[T],
    registry: &SourceRegistry,
    told: impl Fn(&T) -> (String, String),
) -> Vec<SignalSender> {
    let sources = sections.iter().map(|section| {
        let (name, place) = told(section);
        registry.source(&name, Rhythm::Sporadic, &place)
    });
    sources.collect()
}

/// One source for each cluster.
fn clusters(config: &Config, registry: &SourceRegistry) -> Vec<SignalSender> {
    let declared = config.sources.kubernetes.iter();
    let senders = declared.map(|cluster| {
        let name = format!("kubernetes {}", cluster.name);
        let namespace = cluster.namespace.as_deref().unwrap_or("all namespaces");
        registry.source(&name, Rhythm::Regular, namespace)
    });
    senders.collect()
}

/// What is waited for, from now on.
fn heartbeats(config: &Config, registry: &SourceRegistry, clock: &Clock) -> Vec<Heartbeat> {
    let declared = config.sources.heartbeat.iter();
    let heartbeats = declared.map(|heartbeat| {
        let place = format!("http://{}{}", config.listen, heartbeat::path(heartbeat));
        let name = heartbeat::name(heartbeat);
        let sender = registry.source(&name, Rhythm::Sporadic, &place);
        Heartbeat::new(heartbeat.clone(), sender, clock())
    });
    heartbeats.collect()
}

/// One source for each mapping.
fn mapped(config: &Config, registry: &SourceRegistry) -> Vec<SignalSender> {
    let declared = config.sources.webhook.iter();
    let senders = declared.map(|webhook| {
        let name = format!("webhook {}", webhook.name);
        let path = webhook::mapped::path(webhook);
        let place = format!("http://{}{path}", config.listen);
        registry.source(&name, Rhythm::Sporadic, &place)
    });
    senders.collect()
}

/// Forges that the config gives a secret for. One whose secret cannot be read is shown as failed.
fn forges(config: &Config, registry: &SourceRegistry) -> Vec<(Forge, SignalSender)> {
    let on = &config.sources;
    let kinds = [
        (ForgeKind::GitHub, &on.github),
        (ForgeKind::GitLab, &on.gitlab),
        (ForgeKind::Gitea, &on.gitea),
    ];
    let given = kinds
        .into_iter()
        .filter(|(_, forge)| forge.secret_file.is_some());
    given
        .filter_map(|(kind, forge)| {
            let place = format!("http://{}{}", config.listen, kind.path());
            let sender = registry.source(kind.name(), Rhythm::Sporadic, &place);
            match Forge::new(kind, forge) {
                Ok(forge) => Some((forge?, sender)),
                Err(error) => {
                    sender.fail(&format!(
                        "[sources.{}] {error}; restart to try again",
                        kind.name()
                    ));
                    None
                }
            }
        })
        .collect()
}

/// Runs every source until the future is dropped. With `tls`, every listener speaks nothing else.
/// `beside` is served by the main listener as well: the API.
pub async fn run(sources: &Sources, listeners: Listeners, tls: Option<Tls>, beside: Router) {
    let mut tasks = JoinSet::new();
    let config = &sources.config;
    let registry = sources.registry.clone();
    let routes = router(sources).merge(beside);
    if let Some(listener) = listeners.main {
        let (tls, registry) = (tls.clone(), registry.clone());
        tasks.spawn(listen::serve(
            listener,
            routes,
            Speech::Http1,
            tls,
            registry,
        ));
    } else {
        let (address, receivers) = (config.listen, sources.receivers());
        let (tls, registry) = (tls.clone(), registry.clone());
        let listening = listen::listen(
            address,
            "listen",
            routes,
            Speech::Http1,
            tls,
            receivers,
            registry,
        );
        tasks.spawn(listening);
    }
    if let Some(sender) = sources.syslog.clone() {
        let (syslog, clock) = (config.sources.syslog.clone(), Arc::clone(&sources.clock));
        let tls = match &syslog.client_ca_file {
            None => Ok(tls.clone()),
            Some(authorities) => Tls::with_clients(&config.tls, Some(authorities)),
        };
        // Refused at the start already; what has changed since keeps only this listener from its work.
        let tls = tls.unwrap_or_else(|error| {
            syslog::fail_tls(&syslog, &sender, &error.to_string());
            None
        });
        tasks.spawn(syslog::receive(syslog, tls, sender, clock));
    }
    if let (Some(address), Some(sender)) = (config.sources.statsd.udp, sources.statsd.clone()) {
        let (statsd, clock) = (&config.sources.statsd, Arc::clone(&sources.clock));
        let name = "sources.statsd.udp";
        match Networks::parse(&statsd.allow) {
            Ok(allow) => {
                let reader = statsd::Aggregator::new(statsd.flush_s);
                tasks.spawn(udp::receive(address, name, sender, clock, allow, reader));
            }
            Err(why) => sender.fail(&format!("`sources.statsd.allow`: {why}")),
        }
    }
    listen_for_otlp(
        sources,
        listeners.otlp,
        listeners.grpc,
        tls.as_ref(),
        &mut tasks,
    );
    let host = &config.sources.host;
    if let Some(sender) = sources.host.clone() {
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(host::watch(host.clone(), sender, clock));
    }
    for heartbeat in sources.heartbeats.clone() {
        tasks.spawn(heartbeat.watch(Arc::clone(&sources.clock)));
    }
    for (scrape, sender) in config.sources.scrape.iter().zip(&sources.scrapes) {
        let (limits, clock) = (sources.limits.clone(), Arc::clone(&sources.clock));
        let scraping = scrape::scrape(scrape.clone(), limits, sender.clone(), clock);
        tasks.spawn(scraping);
    }
    if let Some(sender) = sources.journald.clone() {
        let (journald, data_dir) = (config.sources.journald.clone(), sources.data_dir.clone());
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(journald::follow(journald, data_dir, sender, clock));
    }
    let late_ms_max = i64::from(config.engine.clock_skew_s_max) * 1_000;
    for (promql, (sender, begins)) in config.sources.promql.iter().zip(&sources.promqls) {
        let (begins, clock) = (begins.subscribe(), Arc::clone(&sources.clock));
        let sender = sender.clone();
        tasks.spawn(promql::pull(
            promql.clone(),
            begins,
            late_ms_max,
            sender,
            clock,
        ));
    }
    poll_stores(sources, &mut tasks);
    read_streams(sources, &mut tasks);
    watch_clusters(sources, &mut tasks);
    for (tail, sender) in config.sources.tail.iter().zip(&sources.tails) {
        let clock = Arc::clone(&sources.clock);
        let name = host::name(host);
        let (tail, data_dir) = (tail.clone(), sources.data_dir.clone());
        tasks.spawn(tail::follow(tail, name, data_dir, sender.clone(), clock));
    }
    while tasks.join_next().await.is_some() {}
}

/// Asks stores of log lines.
fn poll_stores(sources: &Sources, tasks: &mut JoinSet<()>) {
    let on = &sources.config.sources;
    for (loki, sender) in on.loki_tail.iter().zip(&sources.loki_tails) {
        let store = loki::tail::Loki::new(loki);
        poll_store(
            sources,
            store,
            loki.poll,
            loki::tail::of(loki),
            sender,
            tasks,
        );
    }
    for (elastic, sender) in on.elastic.iter().zip(&sources.elastics) {
        let store = elastic::Elastic::new(elastic);
        poll_store(
            sources,
            store,
            elastic.poll,
            elastic::of(elastic),
            sender,
            tasks,
        );
    }
}

/// Asks one of them, if it can be asked at all.
fn poll_store(
    sources: &Sources,
    store: Result<impl polled::LogStore + 'static, String>,
    poll: PollConfig,
    of: String,
    sender: &SignalSender,
    tasks: &mut JoinSet<()>,
) {
    let (data_dir, clock) = (sources.data_dir.clone(), Arc::clone(&sources.clock));
    match store {
        Ok(store) => {
            let sender = sender.clone();
            tasks.spawn(polled::poll(store, poll, of, data_dir, sender, clock));
        }
        Err(why) => sender.fail(&why),
    }
}

/// Reads streams of messages.
fn read_streams(sources: &Sources, tasks: &mut JoinSet<()>) {
    let engine = &sources.config.engine;
    let on = &sources.config.sources;
    let around = message::Surroundings {
        limits: sources.limits.clone(),
        clock: Arc::clone(&sources.clock),
        series_max: engine.series_max,
        skew_ms_max: i64::from(engine.clock_skew_s_max) * 1_000,
        resolve_timeout_ms: i64::from(engine.alert_resolve_timeout_s) * 1_000,
    };
    for (nats, sender) in on.nats.iter().zip(&sources.nats) {
        let message = nats.messages.with_mapping(&on.webhook);
        let payload = message::Payload::new(message, sender, around.clone());
        tasks.spawn(nats::follow(nats.clone(), payload, sender.clone()));
    }
    for (kafka, sender) in on.kafka.iter().zip(&sources.kafkas) {
        let message = kafka.messages.with_mapping(&on.webhook);
        let payload = message::Payload::new(message, sender, around.clone());
        let (kafka, data_dir) = (kafka.clone(), sources.data_dir.clone());
        tasks.spawn(kafka::follow(kafka, payload, data_dir, sender.clone()));
    }
}

/// Watches clusters.
#[cfg(feature = "kubernetes")]
fn watch_clusters(sources: &Sources, tasks: &mut JoinSet<()>) {
    let declared = sources.config.sources.kubernetes.iter();
    for (cluster, sender) in declared.zip(&sources.clusters) {
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(kubernetes::follow(cluster.clone(), sender.clone(), clock));
    }
}

/// Says that this build cannot watch clusters.
#[cfg(not(feature = "kubernetes"))]
fn watch_clusters(sources: &Sources, _tasks: &mut JoinSet<()>) {
    for sender in &sources.clusters {
        sender.fail_standing(
            "this build knows no Kubernetes: install one made with `--features kubernetes`",
        );
    }
}

/// Listens where OpenTelemetry's senders expect it besides the main listener.
fn listen_for_otlp(
    sources: &Sources,
    http: Option<TcpListener>,
    grpc: Option<TcpListener>,
    tls: Option<&Tls>,
    tasks: &mut JoinSet<()>,
) {
    let config = &sources.config;
    let over_http = config.otlp_listener().zip(sources.otlp.clone());
    let over_http = over_http.map(|(address, sender)| {
        let routes = sources.guarded(otlp_router(sources, sender.clone()));
        (address, "otlp_listen", routes, Speech::Http1, http, sender)
    });
    let over_grpc = config.grpc_listener().zip(sources.grpc.clone());
    let over_grpc = over_grpc.map(|(address, sender)| {
        let routes = sources.guarded(otlp::grpc_routes(otlp_receiver(sources, sender.clone())));
        (
            address,
            "otlp_grpc_listen",
            routes,
            Speech::Http2,
            grpc,
            sender,
        )
    });
    for (address, setting, routes, speech, listener, sender) in
        [over_http, over_grpc].into_iter().flatten()
    {
        let (tls, registry) = (tls.cloned(), sources.registry.clone());
        if let Some(listener) = listener {
            tasks.spawn(listen::serve(listener, routes, speech, tls, registry));
        } else {
            let senders = vec![sender];
            let listening =
                listen::listen(address, setting, routes, speech, tls, senders, registry);
            tasks.spawn(listening);
        }
    }
}

fn otlp_router(sources: &Sources, sender: SignalSender) -> Router {
    otlp::routes(otlp_receiver(sources, sender))
}

fn otlp_receiver(sources: &Sources, sender: SignalSender) -> otlp::Otlp {
    let clock = Arc::clone(&sources.clock);
    let series_max = sources.config.engine.series_max;
    otlp::Otlp::new(sender, sources.limits.clone(), clock, series_max)
}
