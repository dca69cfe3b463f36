//! Alertmanagers whose silences are kept in step with ours.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An Alertmanager, `[[alertmanagers]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Its name in lists.
    pub name: String,
    /// Where it is: what stands before `/api/v2`.
    pub url: String,
    /// File that holds a bearer token for it.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// How often it is asked, in seconds.
    #[serde(default = "every_s")]
    pub every_s: u32,
    /// Whether silences made here are made there as well.
    #[serde(default = "yes")]
    pub push: bool,
}

const fn every_s() -> u32 {
    15
}

const fn yes() -> bool {
    true
}
