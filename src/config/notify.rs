//! Who is told of incidents, wherever they are.

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

const fn error() -> Severity {
    Severity::Error
}
