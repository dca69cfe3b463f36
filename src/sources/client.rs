//! What sources that ask others over HTTP share: one answer at a time, bounded in time and length.
//!
//! An answer is never read or decompressed beyond its limit, a secret is read anew each time and shown
//! nowhere, and no redirect is followed: it could lead the secret elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING};
use reqwest::{RequestBuilder, StatusCode};
use thiserror::Error;

use super::http::{Limits, Refusal};

/// Longest answer, in bytes, as sent and after decompression.
pub(super) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest part of an error's text that is kept, in bytes.
const WHY_BYTES_MAX: usize = 512;

/// Asks one server; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    token_file: Option<PathBuf>,
    scheme: Scheme,
    limits: Limits,
}

/// How a secret is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `Bearer TOKEN`.
    Bearer,
    /// `ApiKey TOKEN`, as Elasticsearch wants it.
    ApiKey,
    /// A `user:password`.
    Basic,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum AskError {
    /// It may work when asked again.
    #[error("{0}")]
    Passing(String),
    /// Asked like this it never works.
    #[error("{0}")]
    Refused(String),
    /// It could not work that out: it may be less that it can.
    #[error("{0}")]
    TooHard(String),
    /// The answer is longer than is taken: ask for less.
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

impl Client {
    pub(super) fn new(timeout_s: u32, token_file: Option<PathBuf>) -> Result<Self, String> {
        Ok(Self {
            http: http_client(timeout_s)?,
            token_file,
            scheme: Scheme::Bearer,
            limits: Limits::new(ANSWER_BYTES_MAX as u64, 1),
        })
    }

    /// Presents its secret in another way than as a bearer token.
    pub(super) fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// What requests are made of.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Asks, and reads the whole answer; what is not a success is an error with what it says.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Vec<u8>, AskError> {
        let mut request = request.header(ACCEPT_ENCODING, "gzip");
        if let Some(file) = &self.token_file {
            let token = token(file).await.map_err(AskError::Passing)?;
            request = match self.scheme {
                Scheme::Bearer => request.bearer_auth(token),
                Scheme::ApiKey => request.header(AUTHORIZATION, format!("ApiKey {token}")),
                Scheme::Basic => {
                    let (user, password) = token.split_once(':').unwrap_or((&token, ""));
                    request.basic_auth(user, Some(password))
                }
            };
        }
        let passing = |error| AskError::Passing(in_full(error));
        let mut response = request.send().await.map_err(passing)?;
        let status = response.status();
        let is_gzip = response
            .headers()
            .get(CONTENT_ENCODING)
            .is_some_and(|value| value == "gzip");
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(passing)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        let body = if is_gzip { self.unzip(&body)? } else { body };
        if status.is_success() {
            return Ok(body);
        }
        Err(refused(status, &body))
    }

    fn unzip(&self, body: &[u8]) -> Result<Vec<u8>, AskError> {
        match self.limits.gunzip(body) {
            Ok(plain) => Ok(plain.to_vec()),
            Err(Refusal::TooLarge(_)) => Err(AskError::TooLong),
            Err(refusal) => Err(AskError::Passing(refusal.to_string())),
        }
    }
}

/// What a status means: one that blames us never gets better by asking again, but for being too fast,
/// or for a secret that is renewed.
fn refused(status: StatusCode, body: &[u8]) -> AskError {
    let text = String::from_utf8_lossy(&body[..body.len().min(WHY_BYTES_MAX)]);
    let text = text.trim();
    let why = if text.is_empty() {
        format!("it answers {status}")
    } else {
        format!("it answers {status}: {text}")
    };
    match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => AskError::Passing(why),
        // Prometheus says so of too many samples, VictoriaMetrics of most failures.
        StatusCode::UNPROCESSABLE_ENTITY => AskError::TooHard(why),
        status if status.is_client_error() => AskError::Refused(why),
        _ => AskError::Passing(why),
    }
}

/// A client that follows nobody elsewhere.
pub(crate) fn http_client(timeout_s: u32) -> Result<reqwest::Client, String> {
    // A second call finds the provider installed; that is what it wants.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(Duration::from_secs(timeout_s.into()))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())
}

/// An error with everything that led to it, and without the address, which stands beside it.
pub(crate) fn in_full(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The token a server wants, read anew each time: others renew it.
pub(crate) async fn token(file: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| format!("`token_file` {}: {error}", file.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_get_better_is_asked_again() {
        let cases = [
            (
                500,
                "",
                AskError::Passing("it answers 500 Internal Server Error".to_owned()),
            ),
            (
                429,
                "slow",
                AskError::Passing("it answers 429 Too Many Requests: slow".to_owned()),
            ),
            (
                401,
                "",
                AskError::Passing("it answers 401 Unauthorized".to_owned()),
            ),
            (
                400,
                " bad \n",
                AskError::Refused("it answers 400 Bad Request: bad".to_owned()),
            ),
            (
                422,
                "too many samples",
                AskError::TooHard(
                    "it answers 422 Unprocessable Entity: too many samples".to_owned(),
                ),
            ),
            (
                302,
                "",
                AskError::Passing("it answers 302 Found".to_owned()),
            ),
        ];
        for (status, body, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(refused(status, body.as_bytes()), expected);
        }
        let long = refused(StatusCode::NOT_FOUND, &[b'x'; 5_000]).to_string();
        assert!(long.len() < 600, "{}", long.len());
    }
}
