//! What a config makes the daemon watch and where: for `check`, and for what `serve` says at its start.

use std::net::SocketAddr;

use serde::Serialize;

use super::place::Place;
use crate::config::{self, Config, SourcesConfig};
use crate::sources;

/// One source that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Watched {
    /// Its kind, as the config calls it.
    pub source: &'static str,
    /// Where its telemetry comes from, or goes to.
    pub what: String,
}

/// Every source that is on, in the order of the config reference.
pub fn watched(config: &Config) -> Vec<Watched> {
    let mut all = receivers(config);
    let mut add = |source, what: String| all.push(Watched { source, what });
    let sources = &config.sources;
    if sources.host.enabled {
        let name = sources.host.name.as_deref().unwrap_or("this host");
        let every = sources.host.interval_s;
        add("host", format!("{name}, every {every} s"));
    }
    for beat in &sources.heartbeat {
        add(
            "heartbeat",
            format!("{}, every {} s", beat.name, beat.every_s),
        );
    }
    for scrape in &sources.scrape {
        for target in &scrape.targets {
            let every = scrape.interval_s;
            add(
                "scrape",
                format!("{}: {target}, every {every} s", scrape.job),
            );
        }
    }
    for promql in &sources.promql {
        add("promql", promql.name.clone());
    }
    let syslog = &sources.syslog;
    for (how, address) in [
        ("udp", syslog.udp),
        ("tcp", syslog.tcp),
        ("tls", syslog.tls),
    ] {
        if let Some(address) = address {
            add("syslog", format!("{how} {address}"));
        }
    }
    if let Some(address) = sources.statsd.udp {
        add("statsd", format!("udp {address}"));
    }
    if sources.journald.enabled {
        add("journald", "the systemd journal".to_owned());
    }
    asked(sources, &mut add);
    all
}

/// Stores, streams, clusters and files that are read.
fn asked(sources: &SourcesConfig, add: &mut impl FnMut(&'static str, String)) {
    for loki in &sources.loki_tail {
        add("loki_tail", format!("{} at {}", loki.name, loki.url));
    }
    for elastic in &sources.elastic {
        let (name, index, url) = (&elastic.name, &elastic.index, &elastic.url);
        add("elastic", format!("{name}: {index} at {url}"));
    }
    for nats in &sources.nats {
        let (name, stream, url) = (&nats.name, &nats.stream, &nats.url);
        add("nats", format!("{name}: {stream} at {url}"));
    }
    for kafka in &sources.kafka {
        let (topics, brokers) = (kafka.topics.join(", "), kafka.brokers.join(", "));
        add("kafka", format!("{}: {topics} at {brokers}", kafka.name));
    }
    for cluster in &sources.kubernetes {
        let of = cluster.context.as_deref().unwrap_or("the current context");
        let namespace = cluster.namespace.as_deref().unwrap_or("all namespaces");
        add(
            "kubernetes",
            format!("{}: {namespace} of {of}", cluster.name),
        );
    }
    for tail in &sources.tail {
        for path in &tail.paths {
            add("tail", path.clone());
        }
    }
}

/// Those that take what is sent to the listeners.
fn receivers(config: &Config) -> Vec<Watched> {
    let sources = &config.sources;
    let scheme = if config.tls.is_on() { "https" } else { "http" };
    let at = |address: SocketAddr, path: &str| format!("{scheme}://{address}{path}");
    let listed = [
        ("alerts", sources.alerts.enabled, "/api/v2/alerts"),
        (
            "remote_write",
            sources.remote_write.enabled,
            "/api/v1/write",
        ),
        ("otlp", sources.otlp.enabled, "/v1/{traces,metrics,logs}"),
        ("changes", sources.changes.enabled, "/api/v1/changes"),
        ("loki", sources.loki.enabled, "/loki/api/v1/push"),
        ("github", sources.github.secret_file.is_some(), ""),
        ("gitlab", sources.gitlab.secret_file.is_some(), ""),
        ("gitea", sources.gitea.secret_file.is_some(), ""),
        ("notifications", sources.notifications.enabled, ""),
        ("pagerduty", sources.pagerduty.enabled, ""),
    ];
    let on = listed.into_iter().filter(|(_, is_on, _)| *is_on);
    let mut all: Vec<Watched> = on
        .map(|(source, _, path)| Watched {
            source,
            what: at(config.listen, sources::place_of(source).unwrap_or(path)),
        })
        .collect();
    if let Some(address) = config.otlp_listener() {
        let what = at(address, "/v1/{traces,metrics,logs}");
        all.push(Watched {
            source: "otlp",
            what,
        });
    }
    if let Some(address) = config.grpc_listener() {
        all.push(Watched {
            source: "otlp",
            what: format!("grpc {address}"),
        });
    }
    for webhook in &sources.webhook {
        all.push(Watched {
            source: "webhook",
            what: {
                let place = sources::place_of_mapped(webhook);
                format!("{} at {}", webhook.name, at(config.listen, &place))
            },
        });
    }
    all
}

/// Patterns of `[[sources.tail]]` that match no file now, with file and line: they may match later, or
/// never.
pub fn unmatched(place: &Place) -> Vec<String> {
    let text = place.file.as_ref();
    let text = text.and_then(|file| std::fs::read_to_string(file).ok());
    let mut warnings = Vec::new();
    for (i, tail) in place.config.sources.tail.iter().enumerate() {
        let paths = tail.paths.iter().enumerate();
        for (j, path) in paths.filter(|(_, path)| !sources::matches_any(path)) {
            let line = text
                .as_deref()
                .and_then(|text| config::line_of_tail_path(text, i, j));
            let at = match (&place.file, line) {
                (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
                _ => String::new(),
            };
            warnings.push(format!("{at}`sources.tail` {path:?} matches no file yet"));
        }
    }
    warnings
}
