//! What sources may be told that ask others for telemetry instead of being sent it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::sources::{TailFrom, WhenFull};

/// Series asked from a Prometheus or its like by PromQL, first of weeks past, then as they come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromqlConfig {
    /// Name of the source.
    #[serde(default = "prometheus")]
    pub name: String,
    /// Address of the server, without `/api/v1`.
    pub url: String,
    /// Selectors and expressions whose series have names.
    #[serde(default)]
    pub select: Vec<String>,
    /// Expressions, by the name their series get.
    #[serde(default)]
    pub named: BTreeMap<String, String>,
    /// Time between two points of a series, and between two questions, in seconds.
    #[serde(default = "interval_s")]
    pub interval_s: u32,
    /// How long the server waits for late points itself, in seconds.
    #[serde(default = "delay_s")]
    pub delay_s: u32,
    /// An answer that is not there by then is given up, in seconds.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// How much of the past is learned from at the start, in days.
    #[serde(default = "history_days")]
    pub history_days: u32,
    /// The source that pushes the same series: only the past is asked for then.
    #[serde(default)]
    pub warms: Option<String>,
    /// Labels put on every series.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// File that holds the token the server wants.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

impl PromqlConfig {
    /// Where ranges are asked for; else why the address is none. It never repeats a password.
    pub fn url(&self) -> Result<reqwest::Url, String> {
        api(&self.url, "url", "api/v1/query_range")
    }

    /// What is asked: each expression, with the name its series get if they have none.
    pub fn queries(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let selected = self.select.iter().map(|query| (query.as_str(), None));
        let named = self.named.iter();
        selected.chain(named.map(|(name, query)| (query.as_str(), Some(name.as_str()))))
    }
}

/// The systemd journal; off unless turned on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournaldConfig {
    /// Whether the journal is followed.
    pub enabled: bool,
    /// Only these units; all if there are none.
    pub units: Vec<String>,
    /// These files instead of this machine's journal.
    pub files: Vec<String>,
    /// Where to begin when nothing was read before.
    pub from: TailFrom,
}

/// A Kubernetes cluster; in one, or of one's own `kubeconfig`, nothing needs to be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Name of the source.
    #[serde(default = "kubernetes")]
    pub name: String,
    /// What the cluster is called in labels.
    #[serde(default)]
    pub cluster: Option<String>,
    /// File that says where the cluster is and who we are.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// Which context of it.
    #[serde(default)]
    pub context: Option<String>,
    /// The namespace watched; all of them if not given.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Time between two tellings of how everything is, in seconds.
    #[serde(default = "tell_every_s")]
    pub interval_s: u32,
    /// What happens while the engine is behind.
    #[serde(default)]
    pub when_full: WhenFull,
}

/// A path below the address of a server; `setting` is named when that is none.
pub(super) fn api(base: &str, setting: &str, path: &str) -> Result<reqwest::Url, String> {
    // Before anything is repeated: what stands in front of an `@` is shown nowhere.
    if base.contains('@') {
        return Err(format!(
            "`{setting}` names user or password, or holds an `@`: write the secret to a file and name it by `token_file`"
        ));
    }
    let mut url = reqwest::Url::parse(base)
        .map_err(|error| format!("`{setting}` {base:?} is no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!(
            "`{setting}` {base:?} is no address: it begins with http:// or https://"
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{setting}` {base:?} holds more than an address"));
    }
    let below = format!("{}/{path}", url.path().trim_end_matches('/'));
    url.set_path(&below);
    Ok(url)
}

fn kubernetes() -> String {
    "kubernetes".to_owned()
}

fn prometheus() -> String {
    "prometheus".to_owned()
}

const fn interval_s() -> u32 {
    30
}

const fn tell_every_s() -> u32 {
    15
}

const fn delay_s() -> u32 {
    30
}

const fn timeout_s() -> u32 {
    30
}

const fn history_days() -> u32 {
    14
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_path_and_no_secret() {
        let told = |base: &str| api(base, "url", "api/v1/x").map(String::from);
        let cases = [
            ("http://p:9090", Ok("http://p:9090/api/v1/x")),
            ("https://m/prom/", Ok("https://m/prom/api/v1/x")),
            (
                "p:9090",
                Err("`url` \"p:9090\" is no address: it begins with http:// or https://"),
            ),
            (
                "http://p/?x=1",
                Err("`url` \"http://p/?x=1\" holds more than an address"),
            ),
            (
                "http://me:secret@p",
                Err(
                    "`url` names user or password, or holds an `@`: write the secret to a file and name it by `token_file`",
                ),
            ),
        ];
        for (base, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(told(base), expected);
        }
    }
}
