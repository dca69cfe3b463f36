//! What all HTTP receivers share: bodies within their limits, and refusals that say why.
//!
//! A body is never read or decompressed beyond the limit, and a refusal never hides its reason. A
//! sender takes a turn only once its body is there, so that slow ones keep nobody waiting.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde_json::json;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{SendError, SignalSender};

/// Longest time a sender may take for one body, in seconds.
const BODY_READ_S_MAX: u64 = 30;
/// Longest time a sender may fall silent within a body, in seconds.
const BODY_STALL_S_MAX: u64 = 10;
/// Bodies of all senders held at once are at most this many times the longest one, …
const BODIES_MAX: u64 = 4;
/// … and never less than this many bytes.
const BODIES_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Bytes of bodies are counted in pieces of this many.
const PIECE_BYTES: usize = 1024;
/// Room taken for a body before its bytes are there, at most, in bytes: what is announced may be a lie.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// Bodies of this many bytes and more are not read while the engine is behind; shorter ones cost little, and may fit.
const UNREAD_BYTES_MIN: u64 = 16 * 1024;

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
    /// The sender took too long for the whole of it.
    #[error("the body did not arrive within {BODY_READ_S_MAX} s")]
    TooSlow,
    /// The sender fell silent within it.
    #[error("the body stopped coming: nothing of it for {BODY_STALL_S_MAX} s")]
    Stalled,
    /// Too many bodies are on their way at once: try again.
    #[error("too many bodies are on their way at once, try again in a moment")]
    Crowded,
    /// What it takes to read it is not there yet: try again.
    #[error("{0}")]
    Unready(String),
    /// The queue to the engine was full a moment ago, and nothing of it was read: try again.
    #[error("{}, nothing of this was read", SendError::Full)]
    Behind,
    /// The queue to the engine is full, or the engine has stopped: try again.
    #[error(transparent)]
    Busy(#[from] SendError),
}

/// Limits that hold for all receivers together; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    body_bytes_max: usize,
    /// Turns to decode.
    requests: Arc<Semaphore>,
    /// Room for bodies, in [`PIECE_BYTES`].
    bodies: Arc<Semaphore>,
}

/// A body, and the right to decode it.
pub(super) struct Received {
    /// As sent.
    pub body: Bytes,
    /// Both given back when the request is done.
    _turn: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
}

/// A body after decompression, and the room it takes beside the one as sent.
#[derive(Debug)]
pub(super) struct Plain {
    bytes: Vec<u8>,
    /// Given back when it was decoded.
    _room: OwnedSemaphorePermit,
}

/// A body that can be read: as sent, or decompressed.
pub(super) enum Readable<'a> {
    /// It was sent as it is.
    AsSent(&'a [u8]),
    /// It was gzip.
    Unzipped(Plain),
}

/// A body as it arrives, and the room it takes.
struct Arrived {
    body: Bytes,
    room: OwnedSemaphorePermit,
}

impl Refusal {
    /// The status that makes a sender do the right thing: retry, or not.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow | Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::Crowded | Self::Unready(_) | Self::Behind | Self::Busy(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Counts the request as rejected if the sender is at fault; what found no room is counted.
    pub(super) fn count(&self, sender: &SignalSender) {
        match self {
            Self::Busy(_) => {}
            Self::Behind => sender.send_back_unread(&self.to_string()),
            Self::Crowded | Self::Unready(_) => sender.send_back(1, &self.to_string()),
            _ => sender.reject(1, &self.to_string()),
        }
    }

    /// The answer, in whatever form the protocol wants its reason.
    pub(super) fn answer(&self, reason: impl IntoResponse) -> Response {
        let mut response = (self.status(), reason).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S.into());
        }
        response
    }
}

impl Limits {
    pub(super) fn new(body_bytes_max: u64, requests_concurrent_max: u32) -> Self {
        let bodies_bytes = body_bytes_max.saturating_mul(BODIES_MAX);
        let pieces = bodies_bytes.max(BODIES_BYTES_MIN) / PIECE_BYTES as u64;
        Self {
            body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
            requests: Arc::new(Semaphore::new(requests_concurrent_max as usize)),
            bodies: Arc::new(Semaphore::new(pieces as usize)),
        }
    }

    /// Reads the body as sent, then waits for its turn.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Received, Refusal> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > self.body_bytes_max as u64) {
            return Err(self.too_large("as sent"));
        }
        let limit = Duration::from_secs(BODY_READ_S_MAX);
        let Ok(arrived) = timeout(limit, self.arrive(body)).await else {
            return Err(Refusal::TooSlow);
        };
        let Arrived { body, room } = arrived?;
        let turn = Arc::clone(&self.requests)
            .acquire_owned()
            .await
            .map_err(|_| Refusal::Busy(SendError::Closed))?;
        Ok(Received {
            body,
            _turn: turn,
            _room: room,
        })
    }

    /// The same of a body that holds many signals. While the engine is behind a long one is taken in and forgotten, so that its
    /// sender can go on with the connection: a storm of what is sent back must not cost what the engine needs to catch up.
    pub(super) async fn read_unless_behind(
        &self,
        sender: &SignalSender,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Received, Refusal> {
        let unread_bytes = UNREAD_BYTES_MIN..=self.body_bytes_max as u64;
        let is_long = body.size_hint().exact();
        if !is_long.is_some_and(|bytes| unread_bytes.contains(&bytes)) || !sender.is_behind() {
            return self.read(headers, body).await;
        }
        let limit = Duration::from_secs(BODY_READ_S_MAX);
        match timeout(limit, forget(body)).await {
            Ok(forgotten) => forgotten.and(Err(Refusal::Behind)),
            Err(_elapsed) => Err(Refusal::TooSlow),
        }
    }

    /// Takes in a body piece by piece, each with the room for it.
    async fn arrive(&self, mut body: Body) -> Result<Arrived, Refusal> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut held = BytesMut::with_capacity(announced.min(AHEAD_BYTES_MAX));
        let mut room = self.room(0)?;
        while let Some(piece) = next_piece(&mut body).await? {
            let bytes = held.len() + piece.len();
            self.check(bytes)?;
            let wanted = bytes.div_ceil(PIECE_BYTES) - room.num_permits();
            room.merge(self.room(wanted)?);
            held.extend_from_slice(&piece);
        }
        let body = held.freeze();
        Ok(Arrived { body, room })
    }

    fn room(&self, pieces: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let pieces = u32::try_from(pieces).map_err(|_| Refusal::Crowded)?;
        let room = Arc::clone(&self.bodies).try_acquire_many_owned(pieces);
        room.map_err(|_| Refusal::Crowded)
    }

    /// Refuses a body that has grown to more than is taken.
    pub(super) fn check(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes > self.body_bytes_max {
            return Err(self.too_large("as sent"));
        }
        Ok(())
    }

    /// Decompresses a body of a receiver that takes gzip and nothing else.
    pub(super) fn readable<'a>(
        &self,
        encoding: &str,
        body: &'a [u8],
    ) -> Result<Readable<'a>, Refusal> {
        match encoding {
            "" => Ok(Readable::AsSent(body)),
            "gzip" => self.gunzip(body).map(Readable::Unzipped),
            other => {
                let why = format!("content encoding {other:?}: only gzip or none");
                Err(Refusal::Unsupported(why))
            }
        }
    }

    /// Decompresses a gzip body, several members included, as far as there is room for it.
    pub(super) fn gunzip(&self, body: &[u8]) -> Result<Plain, Refusal> {
        let mut bytes = Vec::new();
        let mut room = self.room(0)?;
        let limit = self.body_bytes_max as u64;
        let mut decoder = flate2::read::MultiGzDecoder::new(body).take(limit + 1);
        loop {
            let before = bytes.len();
            let mut step = decoder.by_ref().take(AHEAD_BYTES_MAX as u64);
            let read = step.read_to_end(&mut bytes);
            read.map_err(|e| Refusal::Malformed(format!("the body is not gzip: {e}")))?;
            if bytes.len() as u64 > limit {
                return Err(self.too_large("after gzip"));
            }
            if bytes.len() == before {
                return Ok(Plain { bytes, _room: room });
            }
            let wanted = bytes.len().div_ceil(PIECE_BYTES) - room.num_permits();
            room.merge(self.room(wanted)?);
        }
    }

    /// Decompresses a snappy block, if there is room for it.
    pub(super) fn unsnap(&self, body: &[u8]) -> Result<Plain, Refusal> {
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
        let room = self.room(length.div_ceil(PIECE_BYTES))?;
        let bytes = snap::raw::Decoder::new()
            .decompress_vec(body)
            .map_err(malformed)?;
        Ok(Plain { bytes, _room: room })
    }

    fn too_large(&self, when: &str) -> Refusal {
        let limit = self.body_bytes_max;
        Refusal::TooLarge(format!(
            "the body is longer than {limit} bytes {when} (`sources.body_bytes_max`)"
        ))
    }
}

/// The next bytes of a body, if more come; trailers are none.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    let stall = Duration::from_secs(BODY_STALL_S_MAX);
    let frame = timeout(stall, body.frame()).await;
    let Some(frame) = frame.map_err(|_elapsed| Refusal::Stalled)? else {
        return Ok(None);
    };
    let ended = |error| Refusal::Malformed(format!("the body ended early: {error}"));
    Ok(Some(frame.map_err(ended)?.into_data().unwrap_or_default()))
}

/// Takes in a body and keeps nothing of it.
async fn forget(mut body: Body) -> Result<(), Refusal> {
    while next_piece(&mut body).await?.is_some() {}
    Ok(())
}

impl std::ops::Deref for Plain {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::Deref for Readable<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::AsSent(body) => body,
            Self::Unzipped(plain) => plain,
        }
    }
}

/// Says which methods a path takes to whoever came with another: its name is all that an empty answer would tell.
pub(super) async fn say_methods(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW);
    let allowed = allowed.and_then(|methods| methods.to_str().ok());
    let Some(allowed) = allowed.map(|methods| methods.replace(',', " or ")) else {
        return response;
    };
    let error = format!("{path} takes {allowed}, not {method}");
    let told = Json(json!({ "error": error })).into_response();
    *response.body_mut() = told.into_body();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
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
        for plain in [
            limits.gunzip(&gzip(&[7; 1_000])),
            limits.unsnap(&snappy(&[7; 1_000])),
        ] {
            assert_eq!(plain.as_deref(), Ok(&[7; 1_000][..]));
        }
        let bomb = vec![0; 50_000_000];
        for refused in [limits.gunzip(&gzip(&bomb)), limits.unsnap(&snappy(&bomb))] {
            assert!(matches!(refused, Err(Refusal::TooLarge(_))), "{refused:?}");
        }
    }

    #[test]
    fn what_is_decompressed_takes_room_as_well() {
        let limits = Limits::new(BODIES_BYTES_MIN, 8);
        let plain = vec![7; BODIES_BYTES_MIN as usize / 2];
        let sent = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let room = 2 * BODIES_MAX as usize;
        let held: Vec<_> = (0..room).map(|_| limits.unsnap(&sent).unwrap()).collect();
        let refused = [limits.unsnap(&sent), limits.gunzip(&gzip(&plain[..2_048]))];
        for refused in refused {
            assert_eq!(refused.err(), Some(Refusal::Crowded));
        }
        drop(held);
        assert!(limits.unsnap(&sent).is_ok());
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
