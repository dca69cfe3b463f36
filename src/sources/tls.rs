//! TLS of the listeners: certificate and key from files, TLS 1.2 and 1.3, by rustls.
//!
//! It never runs without a certificate, and never asks a client for one: people bring a token.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsConfig;

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
        let (cert, key) = match (&config.cert_file, &config.key_file) {
            (None, None) => return Ok(None),
            (Some(cert), Some(key)) => (cert, key),
            _ => return Err(TlsError::Half),
        };
        let file = |path: &Path, setting, why: String| TlsError::File {
            path: path.to_owned(),
            setting,
            why,
        };
        let chain = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| file(cert, "tls.cert_file", error.to_string()))?;
        if chain.is_empty() {
            let why = "no certificate in it".to_owned();
            return Err(file(cert, "tls.cert_file", why));
        }
        let secret = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| file(key, "tls.key_file", error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .map_err(TlsError::Pair)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(Self(TlsAcceptor::from(Arc::new(server)))))
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

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
