//! Who may use the API, and how the listener is protected.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::Role;

/// A person, `[[operators]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// Name in the journal; on the socket, the user of this machine.
    pub name: String,
    /// Number of their user on this machine; goes before the name.
    #[serde(default)]
    pub uid: Option<u32>,
    /// What they may do.
    #[serde(default = "viewer")]
    pub role: Role,
    /// File that holds their token, on one line.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Environment variable that holds their token.
    #[serde(default)]
    pub token_env: Option<String>,
}

/// The listener's certificate, `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and those that vouch for it, in PEM.
    pub cert_file: Option<PathBuf>,
    /// Its private key, in PEM.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether there is a certificate with its key.
    pub fn is_on(&self) -> bool {
        self.cert_file.is_some() && self.key_file.is_some()
    }
}

const fn viewer() -> Role {
    Role::Viewer
}
