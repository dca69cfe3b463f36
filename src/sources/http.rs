//! What all HTTP receivers share: bodies within their limits, and refusals that say why.
//!
//! A body is never read or decompressed beyond the limit, and a refusal never hides its reason.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SendError;

/// Longest time a sender may take for one body, in seconds.
const BODY_READ_S_MAX: u64 = 30;

/// When a sender should try again after a full queue, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Bodies longer than this, in bytes, are decoded on a thread of their own, so that a large one
/// does not delay what else its thread serves.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Most signals taken from one request: what the queue holds when it is empty.
pub(super) const SIGNALS_REQUEST_MAX: usize = super::SIGNALS_QUEUED_MAX as usize;

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// It can never be taken as it is.
    #[error("{0}")]
    Malformed(String),
    /// Its content type or encoding is none that we read.
    #[error("{0}")]
    Unsupported(String),
    /// It is longer than we take, before or after decompression.
    #[error("{0}")]
    TooLarge(String),
    /// The sender took too long.
    #[error("the body did not arrive within {BODY_READ_S_MAX} s")]
    TooSlow,
    /// The queue to the engine is full, or the engine has stopped: try again.
    #[error(transparent)]
    Busy(#[from] SendError),
}

/// Limits that hold for all receivers together; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    body_bytes_max: usize,
    requests: Arc<Semaphore>,
}

/// A body, and the right to decode it.
pub(super) struct Received {
    /// As sent.
    pub body: Bytes,
    /// Given back when the request is done.
    _turn: OwnedSemaphorePermit,
}

impl Refusal {
    /// The status that makes a sender do the right thing: retry, or not.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the sender is at fault, so that the request counts as rejected.
    pub(super) fn is_senders(&self) -> bool {
        !matches!(self, Self::Busy(_))
    }

    /// The answer, in whatever form the protocol wants its reason.
    pub(super) fn answer(&self, reason: impl IntoResponse) -> Response {
        let mut response = (self.status(), reason).into_response();
        if let Self::Busy(_) = self {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        response
    }
}

impl Limits {
    pub(super) fn new(body_bytes_max: u64, requests_concurrent_max: u32) -> Self {
        Self {
            body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
            requests: Arc::new(Semaphore::new(requests_concurrent_max as usize)),
        }
    }

    /// Waits for its turn and reads the body as sent.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, Refusal> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.body_bytes_max as u64) {
            return Err(self.too_large("as sent"));
        }
        let turn = Arc::clone(&self.requests)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::Busy(SendError::Closed))?;
        let limit = Duration::from_secs(BODY_READ_S_MAX);
        match tokio::time::timeout(limit, to_bytes(body, self.body_bytes_max)).await {
            Err(_elapsed) => Err(Refusal::TooSlow),
            Ok(Ok(body)) => Ok(Received { body, _turn: turn }),
            Ok(Err(error)) => Err(match std::error::Error::source(&error) {
                Some(cause) if cause.is::<http_body_util::LengthLimitError>() => {
                    self.too_large("as sent")
                }
                _ => Refusal::Malformed(format!("the body ended early: {error}")),
            }),
        }
    }

    /// Decompresses a gzip body, several members included.
    pub(super) fn gunzip(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut plain = Vec::new();
        let limit = self.body_bytes_max as u64;
        flate2::read::MultiGzDecoder::new(body)
            .take(limit + 1)
            .read_to_end(&mut plain)
            .map_err(|e| Refusal::Malformed(format!("the body is not gzip: {e}")))?;
        if plain.len() as u64 > limit {
            return Err(self.too_large("after gzip"));
        }
        Ok(plain)
    }

    /// Decompresses a snappy block.
    pub(super) fn unsnap(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let malformed = |e| Refusal::Malformed(format!("the body is not a snappy block: {e}"));
        let length = snap::raw::decompress_len(body).map_err(malformed)?;
        if length > self.body_bytes_max {
            return Err(self.too_large("after snappy"));
        }
        // The header may promise more than the body can hold: one tag makes at most 64 bytes of
        // at least two.
        if length > body.len().saturating_mul(32).saturating_add(64) {
            let why = format!("the snappy block says {length} bytes, more than it can hold");
            return Err(Refusal::Malformed(why));
        }
        snap::raw::Decoder::new()
            .decompress_vec(body)
            .map_err(malformed)
    }

    fn too_large(&self, when: &str) -> Refusal {
        let limit = self.body_bytes_max;
        Refusal::TooLarge(format!(
            "the body is longer than {limit} bytes {when} (`sources.body_bytes_max`)"
        ))
    }
}

/// Content type without parameters, in lower case; empty when there is none.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim().to_ascii_lowercase()
}

/// Content encoding in lower case; empty for none and for `identity`.
pub(super) fn content_encoding(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|v| v.to_str().ok());
    let value = value.unwrap_or_default().trim().to_ascii_lowercase();
    if value == "identity" {
        return String::new();
    }
    value
}

/// Runs a decoder where it does least harm: here when the body is short, else on its own thread.
pub(super) async fn decode<T: Send + 'static>(
    body_bytes: usize,
    decoder: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if body_bytes <= INLINE_BYTES_MAX {
        return decoder();
    }
    tokio::task::spawn_blocking(decoder)
        .await
        .unwrap_or(Err(Refusal::Busy(SendError::Closed)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn decompression_stops_at_the_limit() {
        let limits = Limits::new(1_000, 1);
        let snappy = |plain: &[u8]| snap::raw::Encoder::new().compress_vec(plain).unwrap();
        assert_eq!(limits.gunzip(&gzip(&[7; 1_000])), Ok(vec![7; 1_000]));
        assert_eq!(limits.unsnap(&snappy(&[7; 1_000])), Ok(vec![7; 1_000]));
        let bomb = vec![0; 50_000_000];
        for refused in [limits.gunzip(&gzip(&bomb)), limits.unsnap(&snappy(&bomb))] {
            assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_snappy_header_that_promises_too_much_is_refused_before_memory_is_taken() {
        let limits = Limits::new(1 << 30, 1);
        let claims_512_mib = [0x80, 0x80, 0x80, 0x80, 0x02, 0x00, 0x41];
        let refused = limits.unsnap(&claims_512_mib);
        assert!(matches!(refused, Err(Refusal::Malformed(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_body_longer_than_announced_is_refused_too() {
        let limits = Limits::new(10, 1);
        let refused = limits
            .read(&HeaderMap::new(), Body::from("01234567890"))
            .await;
        assert_eq!(
            refused.err().map(|r| r.status()),
            Some(StatusCode::PAYLOAD_TOO_LARGE)
        );
        let taken = limits
            .read(&HeaderMap::new(), Body::from("0123456789"))
            .await;
        assert_eq!(taken.ok().map(|r| r.body), Some(Bytes::from("0123456789")));
    }

    #[test]
    fn names_of_types_are_read_without_parameters() {
        let mut headers = HeaderMap::new();
        assert_eq!(content_type(&headers), "");
        headers.insert(
            header::CONTENT_TYPE,
            "Application/JSON; charset=utf-8".parse().unwrap(),
        );
        headers.insert(header::CONTENT_ENCODING, "Identity".parse().unwrap());
        assert_eq!(content_type(&headers), "application/json");
        assert_eq!(content_encoding(&headers), "");
    }
}
