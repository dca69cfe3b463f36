//! TLS of the listeners: certificate and key from files, TLS 1.2 and 1.3, by rustls.
//!
//! It never runs without a certificate. It asks clients for one only where their protocol knows no token, which is
//! syslog, and only if the config names who vouches for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, TlsConfig};

/// A handshake takes at most this long, in seconds.
const HANDSHAKE_S_MAX: u64 = 10;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// One of the two files is not named.
    #[error("`tls.cert_file` and `tls.key_file` belong together: give both, or none")]
    Half,
    /// A file cannot be used.
    #[error("{} (`{setting}` in the config): {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The setting it came from.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The two do not fit together.
    #[error("the certificate of `tls.cert_file` and the key of `tls.key_file`: {0}")]
    Pair(rustls::Error),
}

/// Makes connections secret; cheap to clone.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl Tls {
    /// Reads certificate and key; `None` when the config names none.
    pub fn from_config(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        Self::with_clients(config, None)
    }

    /// The same for a listener whose clients show a certificate that an authority in this file, named
    /// `sources.syslog.client_ca_file` in the config, vouches for.
    pub(super) fn with_clients(
        config: &TlsConfig,
        client_ca: Option<&Path>,
    ) -> Result<Option<Self>, TlsError> {
        let (cert, key) = match (&config.cert_file, &config.key_file) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert, key),
            _ => return Err(TlsError::Half),
        };
        let chain = certificates(cert, "tls.cert_file")?;
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| unusable(key, "tls.key_file", error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?;
        let server = match client_ca {
            None => server.with_no_client_auth(),
            Some(path) => {
                let setting = "sources.syslog.client_ca_file";
                let mut roots = RootCertStore::empty();
                for authority in certificates(path, setting)? {
                    roots
                        .add(authority)
                        .map_err(|error| unusable(path, setting, error.to_string()))?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                server.with_client_cert_verifier(
                    verifier.map_err(|error| unusable(path, setting, error.to_string()))?,
                )
            }
        };
        let mut server = server
            .with_single_cert(chain, secret)
            .map_err(TlsError::Pair)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Self(TlsAcceptor::from(Arc::new(server)))))
    }

    /// Whether what listeners with authorities of their own need can be used.
    pub fn check_clients(config: &Config) -> Result<(), TlsError> {
        let authorities = config.sources.syslog.client_ca_file.as_deref();
        Self::with_clients(&config.tls, authorities).map(drop)
    }

    /// The same for connections that speak HTTP/2 and nothing else, as gRPC does.
    pub(super) fn http2(&self) -> Self {
        let mut server = (**self.0.config()).clone();
        server.alpn_protocols = vec![b"h2".to_vec()];
        Self(TlsAcceptor::from(Arc::new(server)))
    }

    /// The connection, once both sides agree; `None` when they do not.
    pub(super) async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let limit = Duration::from_secs(HANDSHAKE_S_MAX);
        let shaken = tokio::time::timeout(limit, self.0.accept(stream)).await;
        shaken.ok()?.ok()
    }
}

/// The certificates of a file; there is one at least.
fn certificates(
    path: &Path,
    setting: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, setting, error.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, setting, "no certificate in it".to_owned()));
    }
    Ok(found)
}

fn unusable(path: &Path, setting: &'static str, why: String) -> TlsError {
    TlsError::File {
        path: path.to_owned(),
        setting,
        why,
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
