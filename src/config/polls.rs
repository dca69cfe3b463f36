//! What sources may be told that ask a store of log lines again and again for what is new.
//!
//! What several of them may be told is one struct, flattened into each. Serde cannot refuse unknown keys of
//! such a section; the table of settings does, with file and line.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pulls::api;
use super::sources::{TailFrom, WhenFull};

/// How a store is asked: what all of them may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollConfig {
    /// Time between two questions, in seconds.
    #[serde(default = "every_s")]
    pub every_s: u32,
    /// How old a line is when it is asked for, in seconds.
    #[serde(default = "delay_s")]
    pub delay_s: u32,
    /// How far each question goes back for lines that the store showed late, in seconds.
    #[serde(default = "late_s")]
    pub late_s: u32,
    /// How far back lines are asked for that nobody read, in seconds.
    #[serde(default = "catch_up_s")]
    pub catch_up_s: u32,
    /// Lines asked for at once.
    #[serde(default = "lines_max")]
    pub lines_max: u32,
    /// Where to begin when nothing was read before.
    #[serde(default)]
    pub from: TailFrom,
    /// What happens while the engine is behind.
    #[serde(default)]
    pub when_full: WhenFull,
}

/// Lines asked from a Loki.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(flatten)]
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
    #[serde(flatten)]
    pub document: DocumentFields,
    /// When and how it is asked.
    #[serde(flatten)]
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

/// Which field of a document of JSON says what; nested fields are written with dots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentFields {
    /// The time.
    #[serde(default = "timestamp")]
    pub timestamp: String,
    /// The text.
    #[serde(default = "message")]
    pub message: String,
    /// How bad it is.
    #[serde(default = "level")]
    pub level: String,
    /// Whose it is.
    #[serde(default = "service")]
    pub service: String,
    /// The trace it belongs to.
    #[serde(default = "trace")]
    pub trace: String,
    /// Labels, by name.
    #[serde(rename = "fields", default = "fields")]
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

/// The names of the Elastic Common Schema.
impl Default for DocumentFields {
    fn default() -> Self {
        Self {
            timestamp: timestamp(),
            message: message(),
            level: level(),
            service: service(),
            trace: trace(),
            labels: fields(),
        }
    }
}

fn timestamp() -> String {
    "@timestamp".to_owned()
}

fn message() -> String {
    "message".to_owned()
}

fn level() -> String {
    "log.level".to_owned()
}

fn service() -> String {
    "service.name".to_owned()
}

fn trace() -> String {
    "trace.id".to_owned()
}

fn fields() -> BTreeMap<String, String> {
    BTreeMap::from([("host".to_owned(), "host.name".to_owned())])
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

const fn every_s() -> u32 {
    5
}

const fn delay_s() -> u32 {
    5
}

const fn late_s() -> u32 {
    60
}

const fn catch_up_s() -> u32 {
    3_600
}

/// What Loki answers at most, unless told otherwise.
const fn lines_max() -> u32 {
    5_000
}

const fn timeout_s() -> u32 {
    30
}
