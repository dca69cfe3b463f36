//! Every source at work: bound, listening, asking, reading; what fails is shown as failed and tried again.
//!
//! It never decides which sources there are: [`Sources::new`] did.

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[cfg(feature = "kubernetes")]
use super::kubernetes;
use super::listen::{self, Speech};
use super::{
    Listeners, SignalSender, Sources, Tls, elastic, host, journald, kafka, loki, message, nats,
    otlp, otlp_receiver, otlp_router, polled, promql, routes, saying_methods, scrape, statsd,
    syslog, tail, udp,
};
use crate::config::{Networks, PollConfig};

/// Runs every source until the future is dropped. With `tls`, every listener speaks nothing else.
/// `beside` is served by the main listener as well: the API.
pub async fn run(sources: &Sources, listeners: Listeners, tls: Option<Tls>, beside: Router) {
    let mut tasks = JoinSet::new();
    let routes = saying_methods(routes(sources).merge(beside));
    listen_for_all(sources, listeners.main, tls.clone(), routes, &mut tasks);
    listen_for_otlp(
        sources,
        listeners.otlp,
        listeners.grpc,
        tls.as_ref(),
        &mut tasks,
    );
    listen_for_syslog(sources, tls, &mut tasks);
    listen_for_statsd(sources, &mut tasks);
    for (forge, sender) in sources.receivers.forges.clone() {
        tasks.spawn(forge.learn_secret_late(sender));
    }
    for heartbeat in sources.heartbeats.clone() {
        tasks.spawn(heartbeat.watch(Arc::clone(&sources.clock)));
    }
    look_at_machine(sources, &mut tasks);
    ask_for_metrics(sources, &mut tasks);
    poll_stores(sources, &mut tasks);
    read_streams(sources, &mut tasks);
    watch_clusters(sources, &mut tasks);
    while tasks.join_next().await.is_some() {}
}

/// Serves everything that is taken where `listen` says.
fn listen_for_all(
    sources: &Sources,
    listener: Option<TcpListener>,
    tls: Option<Tls>,
    routes: Router,
    tasks: &mut JoinSet<()>,
) {
    let (speech, registry) = (Speech::Http1, sources.registry.clone());
    if let Some(listener) = listener {
        tasks.spawn(listen::serve(listener, routes, speech, tls, registry));
        return;
    }
    let (address, senders) = (sources.config.listen, sources.receivers.all());
    let listening = listen::listen(address, "listen", routes, speech, tls, senders, registry);
    tasks.spawn(listening);
}

fn listen_for_syslog(sources: &Sources, tls: Option<Tls>, tasks: &mut JoinSet<()>) {
    let Some(sender) = sources.syslog.clone() else {
        return;
    };
    let config = &sources.config;
    let (syslog, clock) = (config.sources.syslog.clone(), Arc::clone(&sources.clock));
    let tls = match &syslog.client_ca_file {
        None => Ok(tls),
        Some(authorities) => Tls::with_clients(&config.tls, Some(authorities)),
    };
    // Refused at the start already; what has changed since keeps only this listener from its work.
    let tls = tls.unwrap_or_else(|error| {
        syslog::fail_tls(&syslog, &sender, &error.to_string());
        None
    });
    let registry = sources.registry.clone();
    tasks.spawn(syslog::receive(syslog, tls, sender, clock, registry));
}

fn listen_for_statsd(sources: &Sources, tasks: &mut JoinSet<()>) {
    let statsd = &sources.config.sources.statsd;
    let (Some(address), Some(sender)) = (statsd.udp, sources.statsd.clone()) else {
        return;
    };
    let (name, clock) = ("sources.statsd.udp", Arc::clone(&sources.clock));
    match Networks::parse(&statsd.allow) {
        Ok(allow) => {
            let reader = statsd::Aggregator::new(statsd.flush_s);
            tasks.spawn(udp::receive(address, name, sender, clock, allow, reader));
        }
        Err(why) => sender.fail(&format!("`sources.statsd.allow`: {why}")),
    }
}

/// Watches this host, its journal and its log files.
fn look_at_machine(sources: &Sources, tasks: &mut JoinSet<()>) {
    let on = &sources.config.sources;
    if let Some(sender) = sources.host.clone() {
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(host::watch(on.host.clone(), sender, clock));
    }
    if let Some(sender) = sources.journald.clone() {
        let (journald, data_dir) = (on.journald.clone(), sources.data_dir.clone());
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(journald::follow(journald, data_dir, sender, clock));
    }
    for (tail, sender) in on.tail.iter().zip(&sources.tails) {
        let (name, clock) = (host::name(&on.host), Arc::clone(&sources.clock));
        let (tail, data_dir) = (tail.clone(), sources.data_dir.clone());
        tasks.spawn(tail::follow(tail, name, data_dir, sender.clone(), clock));
    }
}

/// Asks targets and servers for their metrics.
fn ask_for_metrics(sources: &Sources, tasks: &mut JoinSet<()>) {
    let on = &sources.config.sources;
    for (scrape, sender) in on.scrape.iter().zip(&sources.asked.scrapes) {
        let (limits, clock) = (sources.limits.clone(), Arc::clone(&sources.clock));
        let scraping = scrape::scrape(scrape.clone(), limits, sender.clone(), clock);
        tasks.spawn(scraping);
    }
    let late_ms_max = i64::from(sources.config.engine.clock_skew_s_max) * 1_000;
    for (promql, (sender, begins)) in on.promql.iter().zip(&sources.asked.promqls) {
        let (begins, clock) = (begins.subscribe(), Arc::clone(&sources.clock));
        let (promql, sender) = (promql.clone(), sender.clone());
        tasks.spawn(promql::pull(promql, begins, late_ms_max, sender, clock));
    }
}

/// Asks stores of log lines.
fn poll_stores(sources: &Sources, tasks: &mut JoinSet<()>) {
    let on = &sources.config.sources;
    for (loki, sender) in on.loki_tail.iter().zip(&sources.asked.loki_tails) {
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
    for (elastic, sender) in on.elastic.iter().zip(&sources.asked.elastics) {
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
    for (nats, sender) in on.nats.iter().zip(&sources.asked.nats) {
        let message = nats.messages.with_mapping(&on.webhook);
        let payload = message::Payload::new(message, sender, around.clone());
        tasks.spawn(nats::follow(nats.clone(), payload, sender.clone()));
    }
    for (kafka, sender) in on.kafka.iter().zip(&sources.asked.kafkas) {
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
    for (cluster, sender) in declared.zip(&sources.asked.clusters) {
        let clock = Arc::clone(&sources.clock);
        tasks.spawn(kubernetes::follow(cluster.clone(), sender.clone(), clock));
    }
}

/// Says that this build cannot watch clusters.
#[cfg(not(feature = "kubernetes"))]
fn watch_clusters(sources: &Sources, _tasks: &mut JoinSet<()>) {
    for sender in &sources.asked.clusters {
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
    let over_http = config.otlp_listener().zip(sources.receivers.otlp.clone());
    let over_http = over_http.map(|(address, sender)| {
        let routes = saying_methods(sources.guarded(otlp_router(sources, sender.clone())));
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
