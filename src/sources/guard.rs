//! The token that senders need, where one is asked for: `Authorization: Bearer TOKEN`.
//!
//! It stands before every receiver but those that prove each message by a signature of its own, and
//! before nothing else: whether we live may be asked by anybody. It is compared by its hash, so that how
//! long that takes says nothing of it.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Rhythm, SourceRegistry};

/// Shortest token, in bytes: shorter ones can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Name of the source that counts those who had no token, or another one.
const STRANGERS: &str = "unauthorized";

/// Knows the token by its hash; cheap to clone.
#[derive(Clone)]
pub struct Guard {
    digest: Arc<[u8; 32]>,
}

/// Why the token cannot be used.
#[derive(Debug, Error)]
#[error("`sources.token_file` {}: {why}", path.display())]
pub struct GuardError {
    path: std::path::PathBuf,
    why: String,
}

impl GuardError {
    /// The file that holds the token, or should.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Guard {
    /// Reads the token that a config names, if it names one.
    pub fn read(file: Option<&Path>) -> Result<Option<Self>, GuardError> {
        let Some(path) = file else { return Ok(None) };
        let fail = |why: String| GuardError {
            path: path.to_owned(),
            why,
        };
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN {
            let why = format!(
                "the token is shorter than {TOKEN_BYTES_MIN} bytes; `openssl rand -hex 32` makes one"
            );
            return Err(fail(why));
        }
        Ok(Some(Self {
            digest: Arc::new(Sha256::digest(token).into()),
        }))
    }

    /// Stands before all routes there are so far; who is not let in is counted.
    pub(super) fn before(&self, routes: Router, registry: &SourceRegistry) -> Router {
        let (guard, registry) = (self.clone(), registry.clone());
        routes.layer(from_fn(move |request: Request, next: Next| {
            let (guard, registry) = (guard.clone(), registry.clone());
            async move {
                if guard.admits(request.headers()) {
                    return next.run(request).await;
                }
                let path: String = request.uri().path().chars().take(100).collect();
                let strangers = registry.source(STRANGERS, Rhythm::Sporadic, "receivers");
                strangers.reject(1, &format!("{path}: no token, or another one"));
                refused()
            }
        }))
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()?.split_once(' '));
        given.is_some_and(|(scheme, token)| {
            let digest: [u8; 32] = Sha256::digest(token.trim()).into();
            scheme.eq_ignore_ascii_case("bearer") && digest == *self.digest
        })
    }
}

fn refused() -> Response {
    let why = "a token is needed: send `Authorization: Bearer TOKEN` with the one of `sources.token_file`\n";
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, why).into_response()
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guard")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_let_in_and_a_short_one_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let guard = Guard::read(Some(file.path()))
            .unwrap()
            .expect("it is named");
        for (given, is_let_in) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcde", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
            ("Bearer", false),
            ("", false),
        ] {
            let headers = [(header::AUTHORIZATION, given.parse().unwrap())];
            assert_eq!(
                guard.admits(&headers.into_iter().collect()),
                is_let_in,
                "{given}"
            );
        }
        assert!(!guard.admits(&HeaderMap::new()));
        assert!(Guard::read(None).unwrap().is_none());
        std::fs::write(file.path(), "short").unwrap();
        let why = Guard::read(Some(file.path())).unwrap_err().to_string();
        assert!(why.contains("shorter than 16 bytes"), "{why}");
    }
}
