//! What sources may be told that read streams of messages.
//!
//! How messages are read is a section of its own below theirs, the same for all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::polls::DocumentFields;
use super::sources::{TailFrom, WebhookConfig, WhenFull};

/// Longest name that Kafka gives a topic, in bytes.
const TOPIC_BYTES_MAX: usize = 249;

/// Messages of a NATS `JetStream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NatsConfig {
    /// Name of the source.
    #[serde(default = "nats")]
    pub name: String,
    /// Address of a server, `nats://HOST:PORT` or `tls://HOST:PORT`; of a cluster, any of it.
    pub url: String,
    /// The stream.
    pub stream: String,
    /// Subjects, with `*` and `>`; all of the stream if not given.
    #[serde(default)]
    pub subject: Option<String>,
    /// Name of the durable consumer.
    #[serde(default = "durable")]
    pub durable: String,
    /// How messages are read.
    pub messages: MessageSettings,
    /// Messages asked for at once.
    #[serde(default = "messages_max")]
    pub messages_max: u32,
    /// Where a consumer begins that is not there yet.
    #[serde(default)]
    pub from: TailFrom,
    /// What happens while the engine is behind.
    #[serde(default)]
    pub when_full: WhenFull,
    /// File that holds the token the server wants.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// File with a user's credentials, as `nsc` writes it.
    #[serde(default)]
    pub creds_file: Option<PathBuf>,
    /// Certificates that vouch for the server, besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Topics of a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Name of the source.
    #[serde(default = "kafka")]
    pub name: String,
    /// Addresses of brokers to begin with, `HOST:PORT`.
    pub brokers: Vec<String>,
    /// The topics.
    pub topics: Vec<String>,
    /// How messages are read.
    pub messages: MessageSettings,
    /// Where to begin in a topic that was not read before.
    #[serde(default)]
    pub from: TailFrom,
    /// What happens while the engine is behind.
    #[serde(default)]
    pub when_full: WhenFull,
    /// Whether brokers are spoken to over TLS.
    #[serde(default)]
    pub tls: bool,
    /// Certificates that vouch for the brokers, besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How we say who we are.
    #[serde(default)]
    pub sasl: KafkaSasl,
    /// Who we are.
    #[serde(default)]
    pub user: Option<String>,
    /// File that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// How a Kafka is told who we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaSasl {
    /// It is not.
    #[default]
    None,
    /// The password itself: over TLS alone.
    Plain,
    /// SCRAM-SHA-256.
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    /// SCRAM-SHA-512.
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

/// What the messages of a stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFormat {
    /// A document of JSON, or a list of them: log lines.
    Json,
    /// The same as metrics, one point each.
    Metrics,
    /// Alerts, as Alertmanager takes them.
    Alerts,
    /// Changes, as we take them.
    Changes,
    /// Alerts or changes of any shape, by the mapping of a webhook.
    Mapped,
    /// An `ExportTraceServiceRequest`.
    OtlpTraces,
    /// An `ExportMetricsServiceRequest`.
    OtlpMetrics,
    /// An `ExportLogsServiceRequest`.
    OtlpLogs,
}

/// How messages of a stream are read, as a section says it: `messages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageSettings {
    /// What they hold.
    pub format: StreamFormat,
    /// Which field of a document says what.
    #[serde(default)]
    pub document: DocumentFields,
    /// And which of a metric.
    #[serde(default)]
    pub metric: MetricFields,
    /// Name of the `[[sources.webhook]]` whose mapping reads messages that are mapped.
    #[serde(default)]
    pub mapping: Option<String>,
    /// Labels put on every line and every metric.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// How messages of a stream are read, with what reads those that are mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageConfig {
    /// What they hold.
    pub format: StreamFormat,
    /// Which field of a document says what.
    pub document: DocumentFields,
    /// And which of a metric.
    pub metric: MetricFields,
    /// Labels put on every line and every metric.
    pub labels: BTreeMap<String, String>,
    /// What reads those that are mapped.
    pub mapping: Option<WebhookConfig>,
}

/// Which field of a document is what of a metric, `metric`; nested fields are written with dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricFields {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// An object whose entries are its labels.
    pub labels: String,
}

impl Default for MetricFields {
    fn default() -> Self {
        let [name, value, labels] = ["name", "value", "labels"].map(str::to_owned);
        Self {
            name,
            value,
            labels,
        }
    }
}

impl MessageSettings {
    /// Whether what is to be mapped names a mapping that is there; else what is wrong.
    pub(super) fn check(&self, webhooks: &[WebhookConfig]) -> Result<(), String> {
        match (self.format, self.mapping.as_deref()) {
            (StreamFormat::Mapped, None) => Err(
                "`messages.format = \"mapped\"` needs `messages.mapping`, the `name` of a [[sources.webhook]]"
                    .to_owned(),
            ),
            (StreamFormat::Mapped, Some(name)) if named(webhooks, name).is_none() => Err(format!(
                "`messages.mapping` {name:?} is the `name` of no [[sources.webhook]]"
            )),
            (StreamFormat::Mapped, Some(_)) | (_, None) => Ok(()),
            (_, Some(_)) => Err("`messages.mapping` is for `messages.format = \"mapped\"` alone".to_owned()),
        }
    }

    /// The same with the mapping itself.
    pub fn with_mapping(&self, webhooks: &[WebhookConfig]) -> MessageConfig {
        let mapping = self.mapping.as_deref();
        MessageConfig {
            format: self.format,
            document: self.document.clone(),
            metric: self.metric.clone(),
            labels: self.labels.clone(),
            mapping: mapping.and_then(|name| named(webhooks, name)).cloned(),
        }
    }
}

/// The webhook of a name.
fn named<'a>(webhooks: &'a [WebhookConfig], name: &str) -> Option<&'a WebhookConfig> {
    webhooks.iter().find(|webhook| webhook.name == name)
}

impl NatsConfig {
    /// Whether it can be asked at all; else why not. The reason never repeats a password.
    pub fn check(&self) -> Result<(), String> {
        if self.url.contains('@') {
            return Err(
                "`url` names user or password, or holds an `@`: write the secret to a file and name it by `token_file` or `creds_file`"
                    .to_owned(),
            );
        }
        let host = ["nats://", "tls://"]
            .iter()
            .find_map(|scheme| self.url.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', ' '])) {
            return Err(format!(
                "`url` {:?} is no address: it is nats://HOST:PORT or tls://HOST:PORT",
                self.url
            ));
        }
        for (setting, name) in [("stream", &self.stream), ("durable", &self.durable)] {
            let is_odd = |c: char| c.is_whitespace() || ".*>/\\".contains(c);
            if name.is_empty() || name.contains(is_odd) {
                return Err(format!("`{setting}` {name:?} is no name that NATS takes"));
            }
        }
        Ok(())
    }
}

impl KafkaConfig {
    /// Whether it can be asked at all; else why not.
    pub fn check(&self) -> Result<(), String> {
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(_))) || broker.contains(['/', '@', ' ']) {
                return Err(format!(
                    "`brokers` {broker:?} is no address: it is HOST:PORT"
                ));
            }
        }
        for topic in &self.topics {
            let is_odd = |c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c);
            if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || topic.contains(is_odd) {
                return Err(format!("`topics` {topic:?} is no name of a topic"));
            }
        }
        let has_secret = self.user.is_some() && self.password_file.is_some();
        match self.sasl {
            KafkaSasl::None if self.user.is_some() || self.password_file.is_some() => Err(
                "`user` and `password_file` need `sasl`: say how the brokers want them".to_owned(),
            ),
            KafkaSasl::None => Ok(()),
            _ if !has_secret => Err("`sasl` needs `user` and `password_file`".to_owned()),
            KafkaSasl::Plain if !self.tls => Err(
                "`sasl = \"plain\"` without `tls = true` would show the password to everybody on the way"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

fn nats() -> String {
    "nats".to_owned()
}

fn durable() -> String {
    "stormglass".to_owned()
}

fn kafka() -> String {
    "kafka".to_owned()
}

const fn messages_max() -> u32 {
    500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kafka_that_cannot_be_asked_is_told() {
        let told = |more: &str| {
            let text = format!("topics = [\"a\"]\nmessages.format = \"json\"\n{more}");
            let config: KafkaConfig = toml::from_str(&text).unwrap();
            config.check().err().unwrap_or_default()
        };
        let secret = "user = \"me\"\npassword_file = \"/x\"";
        let cases = [
            ("brokers = [\"k:9092\", \"[::1]:9092\"]".to_owned(), ""),
            (
                "brokers = [\"k\"]".to_owned(),
                "`brokers` \"k\" is no address",
            ),
            (
                "brokers = [\"kafka://k:1\"]".to_owned(),
                "`brokers` \"kafka://k:1\" is no address",
            ),
            (
                format!("brokers = []\n{secret}"),
                "`user` and `password_file` need `sasl`",
            ),
            (
                "brokers = []\nsasl = \"plain\"".to_owned(),
                "`sasl` needs `user`",
            ),
            (
                format!("brokers = []\nsasl = \"plain\"\n{secret}"),
                "`sasl = \"plain\"` without `tls = true`",
            ),
            (
                format!("brokers = []\nsasl = \"scram_sha_256\"\n{secret}"),
                "",
            ),
        ];
        for (more, why) in cases {
            let error = told(&more);
            let is_right = error.starts_with(why) && error.is_empty() == why.is_empty();
            assert!(is_right, "{more}: {error}");
        }
    }

    #[test]
    fn what_cannot_work_is_told_and_no_secret_with_it() {
        let told = |url: &str, stream: &str| {
            let text = format!("url = {url:?}\nstream = {stream:?}\nmessages.format = \"json\"");
            let config: NatsConfig = toml::from_str(&text).unwrap();
            config.check().err().unwrap_or_default()
        };
        let cases = [
            ("nats://n:4222", "LOGS", ""),
            ("tls://n", "LOGS", ""),
            ("n:4222", "LOGS", "`url` \"n:4222\" is no address"),
            ("nats://me:secret@n", "LOGS", "`url` names user or password"),
            ("nats://n", "a.b", "`stream` \"a.b\" is no name"),
        ];
        for (url, stream, why) in cases {
            let error = told(url, stream);
            assert!(
                error.starts_with(why) && error.is_empty() == why.is_empty(),
                "{error}"
            );
            assert!(!error.contains("secret@"), "{error}");
        }
    }
}
