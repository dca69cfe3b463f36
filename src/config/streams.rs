//! What sources may be told that read streams of messages.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::polls::{self, DocumentFields};
use super::sources::{TailFrom, WhenFull};

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
    /// What messages hold.
    pub format: StreamFormat,
    /// Field of the time.
    #[serde(default = "polls::timestamp")]
    pub timestamp: String,
    /// Field of the text.
    #[serde(default = "polls::message")]
    pub message: String,
    /// Field of the level.
    #[serde(default = "polls::level")]
    pub level: String,
    /// Field of the service.
    #[serde(default = "polls::service")]
    pub service: String,
    /// Field of the trace.
    #[serde(default = "polls::trace")]
    pub trace: String,
    /// Fields that become labels, by the label's name.
    #[serde(default = "polls::fields")]
    pub fields: BTreeMap<String, String>,
    /// Messages asked for at once.
    #[serde(default = "messages_max")]
    pub messages_max: u32,
    /// Where a consumer begins that is not there yet.
    #[serde(default)]
    pub from: TailFrom,
    /// What happens while the engine is behind.
    #[serde(default)]
    pub when_full: WhenFull,
    /// Labels put on every line.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
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

/// What the messages of a stream hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFormat {
    /// A document of JSON, or a list of them: log lines.
    Json,
    /// An `ExportTraceServiceRequest`.
    OtlpTraces,
    /// An `ExportMetricsServiceRequest`.
    OtlpMetrics,
    /// An `ExportLogsServiceRequest`.
    OtlpLogs,
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

    /// Which field says what.
    pub fn document(&self) -> DocumentFields {
        DocumentFields {
            timestamp: self.timestamp.clone(),
            message: self.message.clone(),
            level: self.level.clone(),
            service: self.service.clone(),
            trace: self.trace.clone(),
            labels: self.fields.clone(),
        }
    }
}

fn nats() -> String {
    "nats".to_owned()
}

fn durable() -> String {
    "stormglass".to_owned()
}

const fn messages_max() -> u32 {
    500
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_told_and_no_secret_with_it() {
        let told = |url: &str, stream: &str| {
            let text = format!("url = {url:?}\nstream = {stream:?}\nformat = \"json\"");
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
