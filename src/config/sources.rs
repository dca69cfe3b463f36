//! What the sources may be told. Everything has a default that works without a config file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::polls::{ElasticConfig, LokiTailConfig};
use super::pulls::{JournaldConfig, KubernetesConfig, PromqlConfig};
use super::streams::{KafkaConfig, NatsConfig};

/// Settings of the sources, `[sources]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourcesConfig {
    /// Whether telemetry may be taken in the clear from other machines. The API never is.
    pub insecure: bool,
    /// File that holds the token every sender needs; none is asked for without.
    pub token_file: Option<PathBuf>,
    /// Largest body taken from a sender, in bytes, both as sent and after decompression.
    pub body_bytes_max: u64,
    /// Requests of all senders decoded at the same time; more wait for their turn.
    pub requests_concurrent_max: u32,
    /// Alerts pushed to us.
    pub alerts: ReceiverConfig,
    /// Metrics pushed by Prometheus and its like.
    pub remote_write: ReceiverConfig,
    /// Traces, metrics and logs pushed by OpenTelemetry.
    pub otlp: ReceiverConfig,
    /// Changes pushed by pipelines.
    pub changes: ReceiverConfig,
    /// Logs pushed as to Loki.
    pub loki: ReceiverConfig,
    /// Alerts that Alertmanager and Grafana notify.
    pub notifications: HookConfig,
    /// Alerts and changes sent as PagerDuty's events.
    pub pagerduty: HookConfig,
    /// JSON of any shape, by a mapping.
    pub webhook: Vec<WebhookConfig>,
    /// Deployments and releases told by GitHub.
    pub github: ForgeConfig,
    /// The same of GitLab.
    pub gitlab: ForgeConfig,
    /// The same of Gitea.
    pub gitea: ForgeConfig,
    /// This host's own telemetry.
    pub host: HostConfig,
    /// Jobs that say they are well.
    pub heartbeat: Vec<HeartbeatConfig>,
    /// Targets asked for their metrics.
    pub scrape: Vec<ScrapeConfig>,
    /// Series asked for by PromQL.
    pub promql: Vec<PromqlConfig>,
    /// Logs as syslog.
    pub syslog: SyslogConfig,
    /// Metrics as StatsD.
    pub statsd: StatsdConfig,
    /// The systemd journal.
    pub journald: JournaldConfig,
    /// Lines asked from Lokis.
    pub loki_tail: Vec<LokiTailConfig>,
    /// Log documents asked from Elasticsearch and OpenSearch.
    pub elastic: Vec<ElasticConfig>,
    /// Streams of NATS servers.
    pub nats: Vec<NatsConfig>,
    /// Topics of Kafka clusters.
    pub kafka: Vec<KafkaConfig>,
    /// Kubernetes clusters.
    pub kubernetes: Vec<KubernetesConfig>,
    /// Log files followed.
    pub tail: Vec<TailConfig>,
}

/// A source that only listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiverConfig {
    /// Whether requests are taken; off answers 404.
    pub enabled: bool,
}

/// A source that is told when alerts begin, and not always when they end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HookConfig {
    /// Whether requests are taken; off answers 404.
    pub enabled: bool,
    /// How long an alert fires that nobody resolves, in seconds.
    pub hold_s: u32,
}

/// JSON of any shape: where in it an alert or a change stands. What begins with a slash is a JSON
/// pointer, anything else is meant as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Last part of its path, and name of the source.
    pub name: String,
    /// What its items are.
    #[serde(default)]
    pub kind: WebhookKind,
    /// Where the list of items is; the whole body if not given.
    #[serde(default)]
    pub items: Option<String>,
    /// What an item is known by.
    #[serde(default)]
    pub id: Option<String>,
    /// One line about it.
    #[serde(default)]
    pub title: Option<String>,
    /// What says whether an alert is over …
    #[serde(default)]
    pub status: Option<String>,
    /// … which it is with one of these words.
    #[serde(default = "resolved")]
    pub resolved: Vec<String>,
    /// When it began or happened.
    #[serde(default)]
    pub at: Option<String>,
    /// The version a change led to.
    #[serde(default)]
    pub version: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How long an alert fires that nobody resolves, in seconds.
    #[serde(default = "hold_s")]
    pub hold_s: u32,
}

/// What the items of a mapped webhook are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookKind {
    /// Alerts.
    #[default]
    Alert,
    /// Changes.
    Change,
}

/// A forge that tells what it deploys; off without a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForgeConfig {
    /// File that holds the secret of the webhook.
    pub secret_file: Option<PathBuf>,
}

/// This host's own telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostConfig {
    /// Whether this host is watched.
    pub enabled: bool,
    /// Time between two looks, in seconds.
    pub interval_s: u32,
    /// Name of this host's entity; the host name if not given.
    pub name: Option<String>,
}

/// A job that says it is well, and whose silence is an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// Last part of its path, and name of the source.
    pub name: String,
    /// Time between two beats, in seconds.
    pub every_s: u32,
    /// How much later than that one may be, in seconds.
    #[serde(default = "grace_s")]
    pub grace_s: u32,
    /// Severity of the alert.
    #[serde(default = "severity")]
    pub severity: String,
    /// Labels of the alert.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Targets that belong together, asked for their metrics as Prometheus does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// Value of the label `job`.
    #[serde(default = "job")]
    pub job: String,
    /// `HOST:PORT`, or a whole address if the metrics are not at `http://HOST:PORT/metrics`.
    pub targets: Vec<String>,
    /// Time between two scrapes of a target, in seconds.
    #[serde(default = "interval_s")]
    pub interval_s: u32,
    /// A target that has not answered by then is down, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Labels put on every series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// File that holds the token the targets want.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Logs as syslog; nothing is listened on unless an address is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SyslogConfig {
    /// Where datagrams are taken; empty in the file for nowhere.
    #[serde(with = "super::address_or_off")]
    pub udp: Option<SocketAddr>,
    /// Where streams are taken.
    #[serde(with = "super::address_or_off")]
    pub tcp: Option<SocketAddr>,
    /// Where streams over TLS are taken.
    #[serde(with = "super::address_or_off")]
    pub tls: Option<SocketAddr>,
    /// Authorities, in PEM; only who has a certificate of one of them may send over TLS.
    pub client_ca_file: Option<PathBuf>,
    /// What a stream does while the engine is behind.
    pub when_full: WhenFull,
    /// Networks that may send; all of them if not given.
    pub allow: Vec<String>,
}

/// Metrics as StatsD and DogStatsD; nothing is listened on unless an address is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StatsdConfig {
    /// Where datagrams are taken; empty in the file for nowhere.
    #[serde(with = "super::address_or_off")]
    pub udp: Option<SocketAddr>,
    /// Time over which metrics are put together, in seconds.
    pub flush_s: u32,
    /// Networks that may send; all of them if not given.
    pub allow: Vec<String>,
}

/// What a source does that can choose while the engine is behind and the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Wait, and let the sender wait.
    #[default]
    Block,
    /// Lose what comes, and count it.
    Drop,
}

/// A set of log files that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailConfig {
    /// Files; `*` and `?` match within a path component, `**` over directories.
    pub paths: Vec<String>,
    /// Service the lines belong to; the file's name without extension if not given.
    #[serde(default)]
    pub service: Option<String>,
    /// Labels put on every line.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where to begin in a file that is already there at the start.
    #[serde(default)]
    pub from: TailFrom,
    /// Whether continuation lines (stack traces) are joined to the line they belong to.
    #[serde(default = "yes")]
    pub multiline: bool,
    /// Longest line kept, in bytes; the rest of a longer one is cut and counted.
    #[serde(default = "line_bytes_max")]
    pub line_bytes_max: u32,
}

/// Where to begin in a file that is already there at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TailFrom {
    /// At its beginning.
    Start,
    /// At its end: only what is written from now on.
    #[default]
    End,
}

impl ScrapeConfig {
    /// The whole address of a target; else why it is none. The reason never repeats a password.
    pub fn url(target: &str) -> Result<reqwest::Url, String> {
        let is_whole = target.contains("://");
        let text = if is_whole {
            target.to_owned()
        } else {
            format!("http://{target}")
        };
        // Before anything is repeated: what stands in front of an `@` is shown nowhere.
        if target.contains('@') {
            return Err(
                "a target names user or password, or holds an `@`: write the secret to a file and name it by `token_file`"
                    .to_owned(),
            );
        }
        let mut url = reqwest::Url::parse(&text)
            .map_err(|error| format!("target {target:?} is no address: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!(
                "target {target:?} is no address: write HOST:PORT, or http:// or https:// and more"
            ));
        }
        // The port of HTTP is left out of a parsed address, so that the text is asked.
        let host = target.split(['/', '?', '#']).next().unwrap_or_default();
        if !is_whole
            && host
                .rsplit_once(':')
                .is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            return Err(format!(
                "target {target:?} names no port: write HOST:PORT, or a whole address"
            ));
        }
        if url.path() == "/" {
            url.set_path(Self::PATH);
        }
        Ok(url)
    }

    /// Where metrics are when a target does not say.
    const PATH: &str = "/metrics";
}

impl Default for SourcesConfig {
    fn default() -> Self {
        Self {
            insecure: false,
            token_file: None,
            // What the OpenTelemetry specification sets as the default limit of a receiver.
            body_bytes_max: 64 * 1024 * 1024,
            requests_concurrent_max: 64,
            alerts: ReceiverConfig::default(),
            remote_write: ReceiverConfig::default(),
            otlp: ReceiverConfig::default(),
            changes: ReceiverConfig::default(),
            loki: ReceiverConfig::default(),
            notifications: HookConfig::default(),
            pagerduty: HookConfig::default(),
            webhook: Vec::new(),
            github: ForgeConfig::default(),
            gitlab: ForgeConfig::default(),
            gitea: ForgeConfig::default(),
            host: HostConfig::default(),
            heartbeat: Vec::new(),
            scrape: Vec::new(),
            promql: Vec::new(),
            syslog: SyslogConfig::default(),
            statsd: StatsdConfig::default(),
            journald: JournaldConfig::default(),
            loki_tail: Vec::new(),
            elastic: Vec::new(),
            nats: Vec::new(),
            kafka: Vec::new(),
            kubernetes: Vec::new(),
            tail: Vec::new(),
        }
    }
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Default for StatsdConfig {
    fn default() -> Self {
        Self {
            udp: None,
            flush_s: 10,
            allow: Vec::new(),
        }
    }
}

impl Default for HookConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            hold_s: hold_s(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_s: 5,
            name: None,
        }
    }
}

const fn yes() -> bool {
    true
}

/// Senders notify again every four hours unless told otherwise.
const fn hold_s() -> u32 {
    6 * 3_600
}

fn resolved() -> Vec<String> {
    ["resolved", "ok"].map(str::to_owned).into()
}

const fn grace_s() -> u32 {
    60
}

fn severity() -> String {
    "critical".to_owned()
}

fn job() -> String {
    "scrape".to_owned()
}

const fn interval_s() -> u32 {
    15
}

const fn timeout_s() -> u32 {
    10
}

const fn line_bytes_max() -> u32 {
    64 * 1024
}
