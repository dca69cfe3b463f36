//! Who is told of incidents, wherever they are.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::Severity;

/// A receiver of notifications, `[[notify]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifyConfig {
    /// Name in messages, and of what waits for it.
    pub name: String,
    /// Where JSON is posted to.
    #[serde(default)]
    pub url: Option<String>,
    /// Environment variable that holds the address instead.
    #[serde(default)]
    pub url_env: Option<String>,
    /// File that holds a bearer token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Environment variable that holds it instead.
    #[serde(default)]
    pub token_env: Option<String>,
    /// Milder incidents are not told.
    #[serde(default = "error")]
    pub severity: Severity,
}

impl NotifyConfig {
    /// Whether what is told leaves the machine unencrypted. An address from the environment is not looked at.
    pub fn is_in_the_clear(&self) -> bool {
        let plain = self
            .url
            .as_deref()
            .and_then(|url| url.strip_prefix("http://"));
        plain.is_some_and(|rest| {
            let host = rest.split('/').next().unwrap_or(rest);
            let name =
                host.rsplit_once(':').map_or(
                    host,
                    |(name, port)| {
                        if port.ends_with(']') { host } else { name }
                    },
                );
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            name != "localhost" && !address.is_ok_and(|address| address.is_loopback())
        })
    }
}

const fn error() -> Severity {
    Severity::Error
}
