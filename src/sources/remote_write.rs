//! Prometheus remote write 1.0: `POST /api/v1/write`, a snappy block of protobuf.
//!
//! The body is read in place; labels already seen are recognised by the hash of their bytes. A
//! series without a name or with labels too long is refused and counted, never the rest with it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use xxhash_rust::xxh3::xxh3_128;

use super::SignalSender;
use super::http::{self, Limits, Refusal, SIGNALS_REQUEST_MAX};
use super::naming::{kind_by_name, unit_by_name};
use super::series::SeriesCache;
use super::wire::{Fields, Value, WireError};
use crate::model::{LabelsBuilder, Sample, Series, SeriesKind, Signal, Time};

/// Where metrics are taken.
pub(super) const PATH: &str = "/api/v1/write";

/// The label that holds a metric's name.
const NAME_LABEL: &str = "__name__";

/// What Prometheus sends when a series ends; other NaNs are values that nobody can judge.
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// Metric families whose type was announced; later ones go by their names.
const FAMILIES_MAX: usize = 50_000;

/// The receiver; cheap to clone.
#[derive(Clone)]
struct RemoteWrite {
    sender: SignalSender,
    limits: Limits,
    seen: Arc<Seen>,
}

/// What senders have told so far.
struct Seen {
    series: SeriesCache,
    /// Kinds announced by metadata that differ from what the name says.
    kinds: RwLock<BTreeMap<Box<str>, SeriesKind>>,
}

/// What a body held.
#[derive(Debug, Default)]
struct Taken {
    signals: Vec<Signal>,
    /// Why the first series was refused.
    reason: Option<String>,
    refused: u64,
}

/// The receiver's routes.
pub(super) fn routes(sender: SignalSender, limits: Limits, series_max: u32) -> Router {
    let seen = Arc::new(Seen {
        series: SeriesCache::new(series_max),
        kinds: RwLock::default(),
    });
    Router::new()
        .route(PATH, post(receive))
        .with_state(RemoteWrite {
            sender,
            limits,
            seen,
        })
}

async fn receive(State(receiver): State<RemoteWrite>, request: Request) -> Response {
    let sender = receiver.sender.clone();
    match take(receiver, request).await {
        Ok(Taken { reason: None, .. }) => StatusCode::NO_CONTENT.into_response(),
        Ok(Taken {
            reason: Some(reason),
            refused,
            ..
        }) => {
            sender.reject(refused, &reason);
            let why = format!("{refused} series or samples refused, the first: {reason}\n");
            (StatusCode::BAD_REQUEST, why).into_response()
        }
        Err(refusal) => {
            refusal.count(&sender);
            refusal.answer(format!("{refusal}\n"))
        }
    }
}

async fn take(write: RemoteWrite, request: Request) -> Result<Taken, Refusal> {
    let (parts, body) = request.into_parts();
    check_headers(&parts.headers)?;
    let received = write.limits.read(&parts.headers, body).await?;
    let (limits, seen, body) = (write.limits, write.seen, received.body.clone());
    let decoder = move || seen.parse(&limits.unsnap(&body)?);
    let mut taken = http::decode(received.body.len(), decoder).await?;
    if !taken.signals.is_empty() {
        let signals = std::mem::take(&mut taken.signals);
        write.sender.try_send(signals)?;
    }
    Ok(taken)
}

/// Refuses by name what is remote write, but not 1.0.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let full_type = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if full_type.contains("io.prometheus.write.v2") {
        let why = "remote write 2.0 is not supported: send prometheus.WriteRequest (1.0)";
        return Err(Refusal::Unsupported(why.to_owned()));
    }
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
    Ok(())
}

impl Seen {
    /// Reads a `prometheus.WriteRequest`.
    fn parse(&self, body: &[u8]) -> Result<Taken, Refusal> {
        let malformed = |e| Refusal::Malformed(format!("not a prometheus.WriteRequest: {e}"));
        let mut taken = Taken::default();
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next().map_err(malformed)? {
            match number {
                1 => self
                    .series(value.bytes(number).map_err(malformed)?, &mut taken)
                    .map_err(malformed)?,
                3 => self.metadata(value).map_err(malformed)?,
                _ => {}
            }
            if taken.signals.len() > SIGNALS_REQUEST_MAX {
                let why = format!("more than {SIGNALS_REQUEST_MAX} samples in one request");
                return Err(Refusal::TooLarge(why));
            }
        }
        Ok(taken)
    }

    /// Reads a `prometheus.TimeSeries`: labels (1), samples (2), exemplars (3), histograms (4).
    fn series(&self, message: &[u8], taken: &mut Taken) -> Result<(), WireError> {
        let mut fields = Fields::of(message);
        let mut labels_end = 0;
        let mut samples = fields;
        // Senders write all labels first; their bytes are then one slice to hash.
        while let Some((1, value)) = fields.next()? {
            value.bytes(1)?;
            samples = fields;
            labels_end = message.len() - fields.rest().len();
        }
        let labels = &message[..labels_end];
        let made = self.series.get_or(xxh3_128(labels), || self.make(labels));
        let mut points = Points {
            series: made,
            taken,
        };
        while let Some((number, value)) = samples.next()? {
            match number {
                1 => points.refuse("its labels are not all before its samples"),
                2 => points.sample(value)?,
                4 => points.refuse("native histograms are not supported"),
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes a series from the bytes of its labels.
    fn make(&self, labels: &[u8]) -> Result<Series, String> {
        let mut builder = LabelsBuilder::default();
        let mut name = "";
        let mut fields = Fields::of(labels);
        while let Some((_, value)) = fields.next().map_err(|e| e.to_string())? {
            let (label, value) = label(value).map_err(|e| e.to_string())?;
            match label {
                NAME_LABEL => name = value,
                _ if value.is_empty() => {}
                _ => builder.add(label, value),
            }
        }
        if name.is_empty() {
            return Err("a series has no name".to_owned());
        }
        let labels = builder.build().map_err(|e| e.to_string())?;
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.get(name).copied();
        Ok(Series::new(
            name,
            labels,
            kind.unwrap_or_else(|| kind_by_name(name)),
            unit_by_name(name),
        ))
    }

    /// Reads a `prometheus.MetricMetadata`: type (1) and family name (2). Only what the name does
    /// not say already is kept.
    fn metadata(&self, value: Value<'_>) -> Result<(), WireError> {
        let (mut kind, mut family) = (0, "");
        let mut fields = value.fields(3)?;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = value.uint(1)?,
                2 => family = value.text(2)?,
                _ => {}
            }
        }
        // Histograms and summaries are judged by the suffixes of their series.
        let kind = match kind {
            1 => SeriesKind::Counter,
            2 => SeriesKind::Gauge,
            _ => return Ok(()),
        };
        if kind == kind_by_name(family) {
            return Ok(());
        }
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if kinds.get(family) == Some(&kind) || kinds.len() >= FAMILIES_MAX {
            return Ok(());
        }
        kinds.insert(family.into(), kind);
        drop(kinds);
        self.series.clear();
        Ok(())
    }
}

/// Samples of one series, or the reason why there are none.
struct Points<'a> {
    series: Result<Arc<Series>, String>,
    taken: &'a mut Taken,
}

impl Points<'_> {
    /// Reads a `prometheus.Sample`: value (1) and milliseconds (2).
    fn sample(&mut self, value: Value<'_>) -> Result<(), WireError> {
        let (mut number, mut at_ms) = (0.0, 0);
        let mut fields = value.fields(2)?;
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => number = value.double(1)?,
                2 => at_ms = value.int(2)?,
                _ => {}
            }
        }
        match &self.series {
            Ok(_) if f64::is_nan(number) && number.to_bits() != STALE_NAN => {}
            // One over the limit is enough to refuse the request.
            Ok(_) if self.taken.signals.len() > SIGNALS_REQUEST_MAX => {}
            Ok(series) => self.taken.signals.push(Signal::Sample(Sample {
                series: Arc::clone(series),
                at: Time::from_ms(at_ms),
                value: number,
            })),
            Err(why) => {
                let why = why.clone();
                self.refuse(&why);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, why: &str) {
        self.taken.refused += 1;
        self.taken.reason.get_or_insert_with(|| why.to_owned());
    }
}

/// Reads a `prometheus.Label`: name (1) and value (2).
fn label(value: Value<'_>) -> Result<(&str, &str), WireError> {
    let (mut name, mut text) = ("", "");
    let mut fields = value.fields(1)?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.text(1)?,
            2 => text = value.text(2)?,
            _ => {}
        }
    }
    Ok((name, text))
}
