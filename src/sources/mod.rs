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
mod families;
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
mod running;
mod scrape;
mod secrets;
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
use axum::middleware::from_fn;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{Config, ForgeConfig};
use crate::model::Time;
use heartbeat::Heartbeat;
use webhook::{Forge, ForgeKind, Hook};

pub(crate) use client::{http_client, in_full, token};
pub(crate) use connections::{Connection, Connections};
pub use guard::{Guard, GuardError};
pub use listen::{ListenError, bind};
pub use promql::{History, Learnt};
pub use queue::{
    QueuedBatch, Rhythm, SIGNALS_QUEUED_MAX, SendError, SignalQueue, SignalSender, SourceRegistry,
    signal_queue,
};
pub use running::run;
pub use tail::matches_any;
pub use tls::{Tls, TlsError};
pub use webhook::{place_of, place_of_mapped};

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
    /// What is taken where `listen` says.
    receivers: Receivers,
    /// What is asked for, or read of others.
    asked: Asked,
    /// OTLP over gRPC, if it is taken anywhere.
    grpc: Option<SignalSender>,
    /// One for each `[[sources.heartbeat]]`.
    heartbeats: Vec<Heartbeat>,
    syslog: Option<SignalSender>,
    statsd: Option<SignalSender>,
    host: Option<SignalSender>,
    journald: Option<SignalSender>,
    /// One for each `[[sources.tail]]`.
    tails: Vec<SignalSender>,
}

/// Sources that cannot work while the main listener cannot.
#[derive(Clone)]
struct Receivers {
    alerts: Option<SignalSender>,
    remote_write: Option<SignalSender>,
    otlp: Option<SignalSender>,
    changes: Option<SignalSender>,
    loki: Option<SignalSender>,
    notifications: Option<SignalSender>,
    pagerduty: Option<SignalSender>,
    /// One for each `[[sources.webhook]]`.
    mapped: Vec<SignalSender>,
    /// Those that have a secret.
    forges: Vec<(Forge, SignalSender)>,
}

/// Sources that ask others, or read what they keep.
#[derive(Clone)]
struct Asked {
    /// One for each `[[sources.scrape]]`.
    scrapes: Vec<SignalSender>,
    /// One for each `[[sources.promql]]`, and where its present begins.
    promqls: Vec<(SignalSender, watch::Sender<Option<Time>>)>,
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
}

impl Sources {
    /// Registers the sources of the config.
    pub fn new(config: Arc<Config>, registry: &SourceRegistry, clock: Clock) -> Self {
        let on = &config.sources;
        Self {
            receivers: Receivers::new(&config, registry),
            asked: Asked::new(&config, registry, &clock),
            grpc: config.grpc_listener().map(|address| {
                let place = format!("grpc://{address}");
                registry.source("otlp grpc", Rhythm::Regular, &place)
            }),
            heartbeats: heartbeats(&config, registry, &clock),
            syslog: syslog::place(&on.syslog)
                .map(|place| registry.source("syslog", Rhythm::Sporadic, &place)),
            statsd: on.statsd.udp.map(|address| {
                registry.source("statsd", Rhythm::Regular, &format!("udp {address}"))
            }),
            host: on.host.enabled.then(|| {
                let place = format!("this host, {}", host::name(&on.host));
                registry.source("host", Rhythm::Regular, &place)
            }),
            journald: on.journald.enabled.then(|| {
                let place = match &*on.journald.files {
                    [] => "this machine's journal".to_owned(),
                    files => files.join(", "),
                };
                registry.source(journald::NAME, Rhythm::Sporadic, &place)
            }),
            tails: each(&on.tail, registry, Rhythm::Sporadic, |tail| {
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
        let sections = self.config.sources.promql.iter().zip(&self.asked.promqls);
        let sections =
            sections.map(|(config, (sender, begins))| (config, sender.clone(), begins.clone()));
        History::new(sections.collect(), learned_until, Arc::clone(&self.clock))
    }
}

impl Receivers {
    fn new(config: &Config, registry: &SourceRegistry) -> Self {
        let on = &config.sources;
        let source = |is_on: bool, name, rhythm, path| {
            let place = place(config, path);
            is_on.then(|| registry.source(name, rhythm, &place))
        };
        let regular = |is_on, name, path| source(is_on, name, Rhythm::Regular, path);
        let sporadic = |is_on, name, path| source(is_on, name, Rhythm::Sporadic, path);
        let (notifications, pagerduty) = (webhook::NOTIFICATION_PATH, webhook::PAGERDUTY_PATH);
        Self {
            alerts: sporadic(on.alerts.enabled, "alerts", alerts::PATH),
            remote_write: regular(on.remote_write.enabled, "remote_write", remote_write::PATH),
            otlp: regular(on.otlp.enabled, "otlp", otlp::PATH),
            changes: sporadic(on.changes.enabled, "changes", changes::PATH),
            loki: sporadic(on.loki.enabled, "loki", loki::PATH),
            notifications: sporadic(on.notifications.enabled, "notifications", notifications),
            pagerduty: sporadic(on.pagerduty.enabled, "pagerduty", pagerduty),
            mapped: mapped(config, registry),
            forges: forges(config, registry),
        }
    }

    fn all(&self) -> Vec<SignalSender> {
        let named = [
            &self.alerts,
            &self.remote_write,
            &self.otlp,
            &self.changes,
            &self.loki,
            &self.notifications,
            &self.pagerduty,
        ];
        let forges = self.forges.iter().map(|(_, sender)| sender);
        let named = named.into_iter().flatten();
        named.chain(forges).chain(&self.mapped).cloned().collect()
    }
}

impl Asked {
    fn new(config: &Config, registry: &SourceRegistry, clock: &Clock) -> Self {
        let on = &config.sources;
        let promqls = each(&on.promql, registry, Rhythm::Regular, |promql| {
            (promql::name(promql), promql.url.clone())
        });
        let begins = || watch::Sender::new(Some(clock()));
        Self {
            scrapes: each(&on.scrape, registry, Rhythm::Regular, |scrape| {
                (scrape::name(scrape), scrape.targets.join(", "))
            }),
            promqls: promqls
                .into_iter()
                .map(|sender| (sender, begins()))
                .collect(),
            loki_tails: each(&on.loki_tail, registry, Rhythm::Sporadic, |loki| {
                (loki::tail::name(loki), loki.url.clone())
            }),
            elastics: each(&on.elastic, registry, Rhythm::Sporadic, |elastic| {
                let place = format!("{} at {}", elastic.index, elastic.url);
                (elastic::name(elastic), place)
            }),
            nats: each(&on.nats, registry, Rhythm::Sporadic, |nats| {
                let place = format!("{} at {}", nats.stream, nats.url);
                (nats::name(nats), place)
            }),
            kafkas: each(&on.kafka, registry, Rhythm::Sporadic, |kafka| {
                (kafka::name(kafka), kafka::place(kafka))
            }),
            clusters: each(&on.kubernetes, registry, Rhythm::Regular, |cluster| {
                let namespace = cluster.namespace.as_deref().unwrap_or("all namespaces");
                (format!("kubernetes {}", cluster.name), namespace.to_owned())
            }),
        }
    }
}

/// The calls of OTLP over gRPC, if it is taken anywhere.
pub fn grpc_router(sources: &Sources) -> Option<Router> {
    let sender = sources.grpc.clone()?;
    Some(sources.guarded(otlp::grpc_routes(otlp_receiver(sources, sender))))
}

/// The HTTP side of all receivers that the config turns on, and `/-/healthy` and `/-/ready`.
pub fn router(sources: &Sources) -> Router {
    saying_methods(routes(sources))
}

/// These routes, which say what methods they take. They are wrapped as a whole: which methods these are is known once all
/// routes are there.
pub fn saying_methods(routes: Router) -> Router {
    let whole = Router::new().fallback_service(routes);
    whole.layer(from_fn(http::say_methods))
}

fn routes(sources: &Sources) -> Router {
    let limits = &sources.limits;
    let skew_ms_max = i64::from(sources.config.engine.clock_skew_s_max) * 1_000;
    let mut router = Router::new();
    if let Some(sender) = sources.receivers.alerts.clone() {
        let timeout_ms = i64::from(sources.config.engine.alert_resolve_timeout_s) * 1_000;
        let clock = Arc::clone(&sources.clock);
        router = router.merge(alerts::routes(sender, limits.clone(), clock, timeout_ms));
    }
    if let Some(sender) = sources.receivers.remote_write.clone() {
        let (clock, engine) = (Arc::clone(&sources.clock), &sources.config.engine);
        let receiver = remote_write::routes(sender, limits.clone(), clock, engine);
        router = router.merge(receiver);
    }
    if let Some(sender) = sources.receivers.otlp.clone() {
        router = router.merge(otlp_router(sources, sender));
    }
    if let Some(sender) = sources.receivers.changes.clone() {
        let clock = Arc::clone(&sources.clock);
        router = router.merge(changes::routes(sender, limits.clone(), clock, skew_ms_max));
    }
    if let Some(sender) = sources.receivers.loki.clone() {
        let clock = Arc::clone(&sources.clock);
        router = router.merge(loki::routes(sender, limits.clone(), clock, skew_ms_max));
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
    if let Some(sender) = sources.receivers.notifications.clone() {
        let hold_ms = i64::from(on.notifications.hold_s) * 1_000;
        router = router.merge(webhook::notification_routes(hook(sender), hold_ms));
    }
    if let Some(sender) = sources.receivers.pagerduty.clone() {
        let hold_ms = i64::from(on.pagerduty.hold_s) * 1_000;
        router = router.merge(webhook::pagerduty_routes(hook(sender), hold_ms));
    }
    let mapped = on.webhook.iter().zip(&sources.receivers.mapped);
    let mapped = mapped.map(|(webhook, sender)| (hook(sender.clone()), webhook.clone()));
    let mapped: Vec<_> = mapped.collect();
    if !mapped.is_empty() {
        router = router.merge(webhook::mapped::routes(mapped));
    }
    let forges = sources.receivers.forges.clone().into_iter();
    let forges = forges.fold(Router::new(), |router, (forge, sender)| {
        router.merge(forge.routes(hook(sender)))
    });
    (router, forges)
}

/// Where a receiver is reached, as its senders write it.
fn place(config: &Config, path: &str) -> String {
    let scheme = if config.tls.is_on() { "https" } else { "http" };
    format!("{scheme}://{}{path}", config.listen)
}

/// One source for each section of a kind, by its name and its place.
fn each<T>(
    sections: &[T],
    registry: &SourceRegistry,
    rhythm: Rhythm,
    told: impl Fn(&T) -> (String, String),
) -> Vec<SignalSender> {
    let sources = sections.iter().map(|section| {
        let (name, place) = told(section);
        registry.source(&name, rhythm, &place)
    });
    sources.collect()
}

/// What is waited for, from now on.
fn heartbeats(config: &Config, registry: &SourceRegistry, clock: &Clock) -> Vec<Heartbeat> {
    let declared = config.sources.heartbeat.iter();
    let heartbeats = declared.map(|heartbeat| {
        let place = place(config, &heartbeat::path(heartbeat));
        let name = heartbeat::name(heartbeat);
        let rhythm = Rhythm::Declared(Heartbeat::patience_ms(heartbeat));
        let sender = registry.source(&name, rhythm, &place);
        Heartbeat::new(heartbeat.clone(), sender, clock())
    });
    heartbeats.collect()
}

/// One source for each mapping.
fn mapped(config: &Config, registry: &SourceRegistry) -> Vec<SignalSender> {
    each(
        &config.sources.webhook,
        registry,
        Rhythm::Sporadic,
        |webhook| {
            let path = webhook::mapped::path(webhook);
            let place = place(config, &path);
            (format!("webhook {}", webhook.name), place)
        },
    )
}

/// The forges whose secret cannot be read or is none, by setting, and why.
pub fn secretless_forges(config: &Config) -> Vec<(&'static str, PathBuf, String)> {
    let all = forge_kinds(config).into_iter().filter_map(|(kind, forge)| {
        let error = Forge::new(kind, forge)?.learn_secret().err()?;
        Some((error.setting, error.path.clone(), error.to_string()))
    });
    all.collect()
}

fn forge_kinds(config: &Config) -> [(ForgeKind, &ForgeConfig); 3] {
    let on = &config.sources;
    [
        (ForgeKind::GitHub, &on.github),
        (ForgeKind::GitLab, &on.gitlab),
        (ForgeKind::Gitea, &on.gitea),
    ]
}

/// Forges that the config gives a secret for. One whose secret cannot be read is shown as failed, and it is tried again.
fn forges(config: &Config, registry: &SourceRegistry) -> Vec<(Forge, SignalSender)> {
    let given = forge_kinds(config).into_iter().filter_map(|(kind, forge)| {
        let forge = Forge::new(kind, forge)?;
        let place = place(config, kind.path());
        let sender = registry.source(kind.name(), Rhythm::Sporadic, &place);
        if let Err(error) = forge.learn_secret() {
            sender.fail(&error.to_string());
        }
        Some((forge, sender))
    });
    given.collect()
}

fn otlp_router(sources: &Sources, sender: SignalSender) -> Router {
    otlp::routes(otlp_receiver(sources, sender))
}

fn otlp_receiver(sources: &Sources, sender: SignalSender) -> otlp::Otlp {
    let clock = Arc::clone(&sources.clock);
    let series_max = sources.config.engine.series_max;
    otlp::Otlp::new(sender, sources.limits.clone(), clock, series_max)
}
