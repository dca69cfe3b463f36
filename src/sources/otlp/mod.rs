//! OpenTelemetry over HTTP: `POST /v1/traces`, `/v1/metrics` and `/v1/logs`, protobuf or JSON; and over
//! gRPC, in `grpc`.
//!
//! The answer has the type of the request. What cannot be used is counted in `partial_success`,
//! never the rest of the request with it; only a body that cannot be read is refused.

mod answer;
mod attributes;
mod exponential;
mod grpc;
mod histogram;
mod json;
mod logs;
mod memory;
mod metrics;
mod points;
mod sampling;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;

use super::http::{self, Limits, Refusal, SIGNALS_REQUEST_MAX};
use super::wire::WireError;
use super::{Clock, SendError, SignalSender};
use crate::model::{Signal, Time};
use answer::Format;

pub(super) use grpc::routes as grpc_routes;

/// Paths of the receiver, below which there is one for each kind of telemetry.
pub(super) const PATH: &str = "/v1/{traces,metrics,logs}";

/// Times a request is read at most: once more for each that was taken meanwhile and told of the same histograms.
const READS_MAX: usize = 4;

/// Which kind of telemetry a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telemetry {
    Traces,
    Metrics,
    Logs,
}

/// The receiver; cheap to clone.
#[derive(Clone)]
pub(super) struct Otlp {
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    traces: Arc<traces::Traces>,
    metrics: Arc<metrics::Metrics>,
    logs: Arc<logs::Logs>,
}

/// What a body held.
#[derive(Debug, Default)]
struct Taken {
    signals: Vec<Signal>,
    /// Items of the request that could not be used.
    rejected: u64,
    /// Why the first one could not.
    reason: Option<String>,
    /// What later requests are compared with, once this one is taken.
    draft: memory::Draft,
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq)]
enum ReadError {
    Wire(WireError),
    TooMany,
}

/// The receiver's routes over HTTP.
pub(super) fn routes(receiver: Otlp) -> Router {
    let route = |telemetry| {
        post(move |State(otlp): State<Otlp>, request: Request| receive(otlp, telemetry, request))
    };
    Router::new()
        .route("/v1/traces", route(Telemetry::Traces))
        .route("/v1/metrics", route(Telemetry::Metrics))
        .route("/v1/logs", route(Telemetry::Logs))
        .with_state(receiver)
}

async fn receive(otlp: Otlp, telemetry: Telemetry, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::of(&parts.headers);
    let sender = otlp.sender.clone();
    let taken = async {
        let format = format.ok_or_else(|| unsupported(&parts.headers))?;
        let received = otlp
            .limits
            .read_unless_behind(&otlp.sender, &parts.headers, body);
        let received = received.await?;
        let encoding = http::content_encoding(&parts.headers);
        let message = (telemetry, format, &*encoding);
        otlp.take(message, &received.body).await
    };
    match taken.await {
        Ok(taken) => {
            if taken.rejected > 0 {
                sender.reject(taken.rejected, taken.reason.as_deref().unwrap_or_default());
            }
            answer::partial(telemetry, format.unwrap_or_default(), &taken)
        }
        Err(refusal) => {
            refusal.count(&sender);
            answer::refused(format.unwrap_or_default(), &refusal)
        }
    }
}

fn unsupported(headers: &HeaderMap) -> Refusal {
    let content_type = http::content_type(headers);
    Refusal::Unsupported(format!(
        "content type {content_type:?}: OTLP is application/x-protobuf or application/json"
    ))
}

impl Otlp {
    pub(super) fn new(sender: SignalSender, limits: Limits, clock: Clock, series_max: u32) -> Self {
        let resources = Arc::new(attributes::Resources::new());
        Self {
            traces: Arc::new(traces::Traces::new(Arc::clone(&resources))),
            metrics: Arc::new(metrics::Metrics::new(series_max)),
            logs: Arc::new(logs::Logs::new(resources)),
            sender,
            limits,
            clock,
        }
    }

    /// Reads a message, of this telemetry, format and encoding, and hands over what it holds.
    async fn take(
        &self,
        (telemetry, format, encoding): (Telemetry, Format, &str),
        message: &Bytes,
    ) -> Result<Taken, Refusal> {
        for _ in 0..READS_MAX {
            let (reader, bytes, encoding) = (self.clone(), message.clone(), encoding.to_owned());
            let decoder = move || reader.read(telemetry, format, &encoding, &bytes);
            let mut taken = http::decode(message.len(), decoder).await?;
            let signals = std::mem::take(&mut taken.signals);
            let draft = std::mem::take(&mut taken.draft);
            if let Ok(sent) = self.metrics.remember(draft, || self.hand_over(signals)) {
                sent?;
                return Ok(taken);
            }
        }
        let why = "others that tell of the same come with it, try again in a moment";
        Err(Refusal::Unready(why.to_owned()))
    }

    fn hand_over(&self, signals: Vec<Signal>) -> Result<(), SendError> {
        if signals.is_empty() {
            return Ok(());
        }
        self.sender.try_send(signals)
    }

    /// Reads a message of protobuf that came in another way than by request: its signals, how many items
    /// could not be used, and why the first could not.
    pub(super) fn read_message(
        &self,
        telemetry: Telemetry,
        message: &[u8],
    ) -> Result<(Vec<Signal>, u64, Option<String>), String> {
        let taken = self.read(telemetry, Format::Protobuf, "", message);
        let taken = taken.map_err(|refusal| refusal.to_string())?;
        // Its reader alone reads with it, and hands over what it holds or does not go on.
        let _ = self.metrics.remember(taken.draft, || Ok::<(), ()>(()));
        Ok((taken.signals, taken.rejected, taken.reason))
    }

    fn read(
        &self,
        telemetry: Telemetry,
        format: Format,
        encoding: &str,
        body: &[u8],
    ) -> Result<Taken, Refusal> {
        let plain = self.limits.readable(encoding, body)?;
        let mut taken = Taken::default();
        let transcoded;
        let message = match format {
            Format::Protobuf => &*plain,
            Format::Json => {
                transcoded =
                    json::to_protobuf(telemetry, &plain, &mut taken).map_err(Refusal::Malformed)?;
                &transcoded
            }
        };
        let now = (self.clock)();
        let read = match telemetry {
            Telemetry::Traces => self.traces.read(message, &mut taken),
            Telemetry::Metrics => self.metrics.read(message, &mut taken),
            Telemetry::Logs => self.logs.read(message, now, &mut taken),
        };
        match read {
            Ok(()) => Ok(taken),
            Err(ReadError::Wire(e)) => {
                let what = telemetry.request();
                Err(Refusal::Malformed(format!("not an {what}: {e}")))
            }
            Err(ReadError::TooMany) => Err(Refusal::TooLarge(format!(
                "more than {SIGNALS_REQUEST_MAX} signals in one request"
            ))),
        }
    }
}

impl Telemetry {
    const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// Package and name of its service in gRPC.
    const fn service(self) -> (&'static str, &'static str) {
        match self {
            Self::Traces => ("trace", "TraceService"),
            Self::Metrics => ("metrics", "MetricsService"),
            Self::Logs => ("logs", "LogsService"),
        }
    }

    const fn request(self) -> &'static str {
        match self {
            Self::Traces => "ExportTraceServiceRequest",
            Self::Metrics => "ExportMetricsServiceRequest",
            Self::Logs => "ExportLogsServiceRequest",
        }
    }
}

impl Taken {
    fn push(&mut self, signal: Signal) -> Result<(), ReadError> {
        if self.signals.len() >= SIGNALS_REQUEST_MAX {
            return Err(ReadError::TooMany);
        }
        self.signals.push(signal);
        Ok(())
    }

    fn reject(&mut self, why: &str) {
        self.rejected += 1;
        self.reason.get_or_insert_with(|| why.to_owned());
    }

    /// An item that cannot be read is rejected alone: its bytes were counted off before it was looked into.
    fn forgive(&mut self, item: &str, read: Result<(), ReadError>) -> Result<(), ReadError> {
        match read {
            Err(ReadError::Wire(error)) => {
                self.reject(&format!("{item}: {error}"));
                Ok(())
            }
            read => read,
        }
    }
}

impl From<WireError> for ReadError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Nanoseconds since the epoch, as OTLP has them; `None` when not given.
fn time_of_ns(ns: u64) -> Option<Time> {
    const NS_PER_MS: u64 = 1_000_000;
    (ns > 0).then(|| Time::from_ms((ns / NS_PER_MS).cast_signed()))
}
