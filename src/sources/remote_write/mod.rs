//! Prometheus remote write, 1.0 and 2.0: `POST /api/v1/write`, a snappy block of protobuf.
//!
//! The body is read in place; labels already seen are recognised by hashes. A series without a name or
//! with labels too long is refused and counted, never the rest with it. A sender of 2.0 is told what
//! was written, else it would take us for one that did not understand.

mod points;
mod v1;
mod v2;

use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::families::Families;
use super::http::{self, Limits, Refusal, SIGNALS_REQUEST_MAX};
use super::series::SeriesCache;
use super::wire::{Fields, WireError};
use super::{Clock, SignalSender};
use crate::config::EngineConfig;
use crate::model::counted;
use points::{Believed, Taken};

/// Where metrics are taken.
pub(super) const PATH: &str = "/api/v1/write";

/// What a sender of 2.0 expects in every answer: how much of each was written.
const WRITTEN_HEADERS: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// A sample takes about this many bytes, without its labels: when there is less room than a body may hold, its
/// samples are counted before it is decoded.
const SIGNAL_BYTES: usize = 16;

/// The message of 1.0, as a content type names it.
const MESSAGE_V1: &str = "prometheus.WriteRequest";
/// The message of 2.0.
const MESSAGE_V2: &str = "io.prometheus.write.v2.Request";

/// Which message a request carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Version {
    #[default]
    V1,
    V2,
}

/// The receiver; cheap to clone.
#[derive(Clone)]
struct RemoteWrite {
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    /// How far a sample may be from the clock: `engine.clock_skew_s_max`, in milliseconds.
    skew_ms_max: i64,
    seen: Arc<Seen>,
}

/// What senders have told so far.
struct Seen {
    series: SeriesCache,
    /// What metadata announced and names do not say.
    families: RwLock<Families>,
}

/// The receiver's routes.
pub(super) fn routes(
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    engine: &EngineConfig,
) -> Router {
    let series_max = engine.series_max;
    let seen = Arc::new(Seen {
        series: SeriesCache::new(series_max),
        families: RwLock::default(),
    });
    Router::new()
        .route(PATH, post(receive))
        .with_state(RemoteWrite {
            sender,
            limits,
            clock,
            skew_ms_max: i64::from(engine.clock_skew_s_max) * 1_000,
            seen,
        })
}

async fn receive(State(receiver): State<RemoteWrite>, request: Request) -> Response {
    let sender = receiver.sender.clone();
    let (mut response, taken) = match take(receiver, request).await {
        Ok(taken) => {
            if let Some(reason) = &taken.reason {
                sender.reject(taken.refused, reason);
            }
            let response = match taken.complaint() {
                None => StatusCode::NO_CONTENT.into_response(),
                Some(why) => (StatusCode::BAD_REQUEST, why).into_response(),
            };
            (response, taken)
        }
        Err(refusal) => {
            refusal.count(&sender);
            (refusal.answer(format!("{refusal}\n")), Taken::default())
        }
    };
    // Exemplars are left out: none is ever written. A sender of 1.0 ignores these headers.
    let written = [taken.samples, taken.histograms, 0];
    for (name, count) in WRITTEN_HEADERS.into_iter().zip(written) {
        response.headers_mut().insert(name, count.into());
    }
    response
}

async fn take(write: RemoteWrite, request: Request) -> Result<Taken, Refusal> {
    let (parts, body) = request.into_parts();
    let version = version(&parts.headers)?;
    let (limits, room) = (write.limits.clone(), write.sender.clone());
    let received = limits.read_unless_behind(&room, &parts.headers, body);
    let received = received.await?;
    let (seen, body) = (write.seen, received.body.clone());
    let believed = Believed::around((write.clock)(), write.skew_ms_max);
    let decoder = move || {
        let plain = limits.unsnap(&body)?;
        // What will be sent back is not decoded either.
        if plain.len() / SIGNAL_BYTES > room.room() {
            room.would_fit(version.signals(&plain).map_err(malformed(version))?)?;
        }
        seen.read(version, &plain, believed)
    };
    let mut taken = http::decode(received.body.len(), decoder).await?;
    if !taken.signals.is_empty() {
        let signals = std::mem::take(&mut taken.signals);
        write.sender.try_send(signals)?;
    }
    Ok(taken)
}

/// What the headers announce; what is no remote write is refused by name.
fn version(headers: &HeaderMap) -> Result<Version, Refusal> {
    let content_type = http::content_type(headers);
    if !matches!(&*content_type, "application/x-protobuf" | "") {
        let why = format!("content type {content_type:?}: remote write is application/x-protobuf");
        return Err(Refusal::Unsupported(why));
    }
    let encoding = http::content_encoding(headers);
    if !matches!(&*encoding, "snappy" | "") {
        let why = format!("content encoding {encoding:?}: remote write is snappy");
        return Err(Refusal::Unsupported(why));
    }
    let full_type = headers.get(header::CONTENT_TYPE);
    let full_type = full_type.and_then(|value| value.to_str().ok());
    let mut parameters = full_type.unwrap_or_default().split(';').map(str::trim);
    let message = parameters.find_map(|parameter| parameter.strip_prefix("proto="));
    match message.map(|message| message.trim_matches('"')) {
        None | Some(MESSAGE_V1) => Ok(Version::V1),
        Some(MESSAGE_V2) => Ok(Version::V2),
        Some(other) => {
            let why = format!("message {other:?}: taken are {MESSAGE_V1} and {MESSAGE_V2}");
            Err(Refusal::Unsupported(why))
        }
    }
}

impl Taken {
    /// What the sender is told of what it sent that is not taken, if anything is not.
    fn complaint(&self) -> Option<String> {
        let unusable = self.reason.as_ref().map(|reason| {
            let refused = self.refused;
            format!("{refused} series or samples refused, the first: {reason}\n")
        });
        let strange = (self.unbelieved > 0).then(|| {
            let samples = counted(self.unbelieved, "sample is", "samples are");
            format!("{samples} too far from our clock (`engine.clock_skew_s_max`), and not taken\n")
        });
        let complaint: String = unusable.into_iter().chain(strange).collect();
        Some(complaint).filter(|complaint| !complaint.is_empty())
    }
}

impl Version {
    const fn message(self) -> &'static str {
        match self {
            Self::V1 => MESSAGE_V1,
            Self::V2 => MESSAGE_V2,
        }
    }

    /// Signals in a message, by its structure alone: samples, and two for each native histogram.
    fn signals(self, body: &[u8]) -> Result<usize, WireError> {
        let (of_series, of_histogram) = match self {
            Self::V1 => (1, 4),
            Self::V2 => (5, 3),
        };
        let of_sample = 2;
        let mut count = 0;
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            if number != of_series {
                continue;
            }
            let mut fields = value.fields(number)?;
            while let Some((number, _)) = fields.next()? {
                count += usize::from(number == of_sample) + 2 * usize::from(number == of_histogram);
            }
        }
        Ok(count)
    }
}

/// Says that a body is not the message it should be.
fn malformed(version: Version) -> impl Fn(WireError) -> Refusal {
    move |error| Refusal::Malformed(format!("not a {}: {error}", version.message()))
}

impl Seen {
    /// Reads a message.
    fn read(&self, version: Version, body: &[u8], believed: Believed) -> Result<Taken, Refusal> {
        let read = match version {
            Version::V1 => self.read_v1(body, believed),
            Version::V2 => self.read_v2(body, believed),
        };
        let taken = read.map_err(malformed(version))?;
        if let Some(why) = taken.too_much {
            return Err(Refusal::TooLarge(why));
        }
        if taken.is_too_much() {
            let why = format!("more than {SIGNALS_REQUEST_MAX} samples in one request");
            return Err(Refusal::TooLarge(why));
        }
        Ok(taken)
    }
}
