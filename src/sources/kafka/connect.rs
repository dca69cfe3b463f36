//! How a Kafka cluster is reached: brokers, TLS, and who we are. A secret is read anew each time and shown
//! nowhere.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rskafka::BackoffConfig;
use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::{Client, ClientBuilder, Credentials, SaslConfig};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::within;
use crate::config::{KafkaConfig, KafkaSasl};
use crate::sources::client::token;

/// Longest answer of a broker, in bytes: what is fetched at once, and one message of Kafka's own bound.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The client tries again by itself for so long, then it says what is wrong.
const RETRIED: Duration = Duration::from_secs(5);

/// A client that one of the brokers answers.
pub(super) async fn client(config: &KafkaConfig) -> Result<Client, String> {
    let mut builder = ClientBuilder::new(config.brokers.clone())
        .client_id("stormglass")
        .max_message_size(ANSWER_BYTES_MAX)
        .backoff_config(BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(RETRIED),
        });
    if config.tls {
        builder = builder.tls_config(tls(config.ca_file.as_deref())?);
    }
    if let Some(sasl) = sasl(config).await? {
        builder = builder.sasl_config(sasl);
    }
    within(builder.build()).await
}

async fn sasl(config: &KafkaConfig) -> Result<Option<SaslConfig>, String> {
    let (Some(user), Some(file)) = (&config.user, &config.password_file) else {
        return Ok(None);
    };
    let kind = match config.sasl {
        KafkaSasl::None => return Ok(None),
        KafkaSasl::Plain => SaslConfig::Plain,
        KafkaSasl::ScramSha256 => SaslConfig::ScramSha256,
        KafkaSasl::ScramSha512 => SaslConfig::ScramSha512,
    };
    let password = token(file).await;
    let password = password.map_err(|why| why.replace("`token_file`", "`password_file`"))?;
    Ok(Some(kind(Credentials::new(user.clone(), password))))
}

/// The system's certificates, and those of a file.
fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates are always odd; one that is missed shows as a broker not trusted.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = ca_file {
        let told = |why: String| format!("`ca_file` {}: {why}", file.display());
        let certs = CertificateDer::pem_file_iter(file).map_err(|error| told(error.to_string()))?;
        for cert in certs {
            let cert = cert.map_err(|error| told(error.to_string()))?;
            roots.add(cert).map_err(|error| told(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// An error as a person would say it.
pub(super) fn told(error: &Error) -> String {
    match error {
        Error::ServerError {
            protocol_error,
            error_message,
            ..
        } => match error_message {
            Some(message) => format!("the broker says {protocol_error:?}: {message}"),
            None => format!("the broker says {protocol_error:?}"),
        },
        error => error.to_string(),
    }
}

/// Whether the offset that was asked for is not there, or not any more.
pub(super) fn is_out_of_range(error: &Error) -> bool {
    let Error::ServerError { protocol_error, .. } = error else {
        return false;
    };
    *protocol_error == ProtocolError::OffsetOutOfRange
}
