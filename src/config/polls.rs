//! What sources may be told that ask a store of log lines again and again for what is new.
//!
//! What all of them may be told is a section of its own below theirs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pulls::api;
use super::sources::{TailFrom, WhenFull};

/// How a store is asked: what all of them may be told, `poll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PollConfig {
    /// Time between two questions, in seconds.
    pub every_s: u32,
    /// How old a line is when it is asked for, in seconds.
    pub delay_s: u32,
    /// How far each question goes back for lines that the store showed late, in seconds.
    pub late_s: u32,
    /// How far back lines are asked for that nobody read, in seconds.
    pub catch_up_s: u32,
    /// Lines asked for at once.
    pub lines_max: u32,
    /// Where to begin when nothing was read before.
    pub from: TailFrom,
    /// What happens while the engine is behind.
    pub when_full: WhenFull,
}

/// Lines asked from a Loki.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LokiTailConfig {
    /// Name of the source.
    #[serde(default = "loki")]
    pub name: String,
    /// Address of the server, without `/loki/api/v1`.
    pub url: String,
    /// `LogQL` that selects lines.
    pub query: String,
    /// The tenant, where there are several.
    #[serde(default)]
    pub tenant: Option<String>,
    /// When and how it is asked.
    #[serde(default)]
    pub poll: PollConfig,
    /// An answer that is not there by then is given up, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Labels put on every line.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// File that holds the token the server wants.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl LokiTailConfig {
    /// Where ranges are asked for; else why the address is none. It never repeats a password.
    pub fn url(&self) -> Result<reqwest::Url, String> {
        api(&self.url, "url", "loki/api/v1/query_range")
    }
}

/// Log documents asked from an Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticConfig {
    /// Name of the source.
    #[serde(default = "elastic")]
    pub name: String,
    /// Address of the cluster.
    pub url: String,
    /// Which of the two it is.
    #[serde(default)]
    pub product: ElasticProduct,
    /// Indices, data streams or aliases, with commas and `*`.
    #[serde(default = "index")]
    pub index: String,
    /// What is asked for, in Lucene's words.
    #[serde(default = "everything")]
    pub query: String,
    /// Field that orders documents of the same instant; by the product if not given.
    #[serde(default)]
    pub tie_breaker: Option<String>,
    /// Which field says what.
    #[serde(default)]
    pub document: DocumentFields,
    /// When and how it is asked.
    #[serde(default)]
    pub poll: PollConfig,
    /// An answer that is not there by then is given up, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Labels put on every line.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What the secret of `token_file` is.
    #[serde(default)]
    pub auth: ElasticAuth,
    /// File that holds the secret.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Which of two that have grown apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElasticProduct {
    /// 7.12 or later.
    #[default]
    Elasticsearch,
    /// Any version.
    Opensearch,
}

/// How a secret is presented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElasticAuth {
    /// `ApiKey`, encoded as it is handed out.
    #[default]
    ApiKey,
    /// A bearer token.
    Bearer,
    /// `user:password`.
    Basic,
}

/// Which field of a document of JSON says what, `document`; nested fields are written with dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DocumentFields {
    /// The time.
    pub timestamp: String,
    /// The text.
    pub message: String,
    /// How bad it is.
    pub level: String,
    /// Whose it is.
    pub service: String,
    /// The trace it belongs to.
    pub trace: String,
    /// Labels, by name.
    pub labels: BTreeMap<String, String>,
}

impl ElasticConfig {
    /// Where documents are searched for; else why the address is none. It never repeats a password.
    pub fn url(&self) -> Result<reqwest::Url, String> {
        let is_odd = |c: char| c.is_whitespace() || "/?#\\".contains(c);
        if self.index.is_empty() || self.index.starts_with('_') || self.index.contains(is_odd) {
            return Err(format!("`index` {:?} is no name of indices", self.index));
        }
        self.at(&format!("{}/_search", self.index))
    }

    /// A path below the cluster's address.
    pub fn at(&self, path: &str) -> Result<reqwest::Url, String> {
        api(&self.url, "url", path)
    }
}

impl Default for PollConfig {
    fn default() -> Self {
        Self {
            every_s: 5,
            delay_s: 5,
            late_s: 60,
            catch_up_s: 3_600,
            // What Loki answers at most, unless told otherwise.
            lines_max: 5_000,
            from: TailFrom::default(),
            when_full: WhenFull::default(),
        }
    }
}

/// The names of the Elastic Common Schema.
impl Default for DocumentFields {
    fn default() -> Self {
        Self {
            timestamp: "@timestamp".to_owned(),
            message: "message".to_owned(),
            level: "log.level".to_owned(),
            service: "service.name".to_owned(),
            trace: "trace.id".to_owned(),
            labels: BTreeMap::from([("host".to_owned(), "host.name".to_owned())]),
        }
    }
}

fn elastic() -> String {
    "elastic".to_owned()
}

fn index() -> String {
    "logs-*".to_owned()
}

fn everything() -> String {
    "*".to_owned()
}

fn loki() -> String {
    "loki".to_owned()
}

const fn timeout_s() -> u32 {
    30
}
