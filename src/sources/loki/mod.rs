//! Loki's push API: `POST /loki/api/v1/push`, JSON or a snappy block of protobuf, plain or gzip.
//!
//! A stream's labels are those of each of its lines, with the line's structured metadata. A line that
//! cannot be used never costs the others of its request. One of a time that the engine does not believe is refused to
//! its sender, as Loki refuses what is too old for it: nobody would know otherwise.

mod json;
mod proto;
pub(super) mod tail;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::http::{self, Limits, Refusal, SIGNALS_REQUEST_MAX};
use super::{Clock, SignalSender, changes};
use crate::model::{Labels, LogLevel, LogLine, Signal, Time, TraceId};

/// Where streams are taken.
pub(super) const PATH: &str = "/loki/api/v1/push";
/// Longest line kept, in bytes; the rest of a longer one is cut and counted.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Labels and metadata that tell how bad a line is.
const LEVEL_LABELS: [&str; 4] = ["level", "detected_level", "severity", "lvl"];
/// Labels and metadata that tell the trace a line belongs to.
const TRACE_LABELS: [&str; 3] = ["trace_id", "traceID", "traceid"];

/// The receiver; cheap to clone.
#[derive(Clone)]
struct Loki {
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    /// How far a sender's clock may be off: `engine.clock_skew_s_max`.
    skew_ms_max: i64,
}

/// What a body held.
#[derive(Debug, Default)]
struct Taken {
    signals: Vec<Signal>,
    /// Lines whose rest was left out.
    cut: u64,
    /// Streams and lines that could not be used.
    refused: u64,
    /// Why the first one was.
    reason: Option<String>,
}

/// One line as it stands in a request.
struct Entry<'a> {
    at_ns: i64,
    text: &'a str,
    /// What belongs to this line alone.
    metadata: Vec<(&'a str, &'a str)>,
}

/// The receiver's routes.
pub(super) fn routes(
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    skew_ms_max: i64,
) -> Router {
    Router::new().route(PATH, post(receive)).with_state(Loki {
        sender,
        limits,
        clock,
        skew_ms_max,
    })
}

async fn receive(State(loki): State<Loki>, request: Request) -> Response {
    let sender = loki.sender.clone();
    match take(loki, request).await {
        Ok(taken) => {
            if taken.cut > 0 {
                sender.reject(
                    taken.cut,
                    &format!("a line longer than {LINE_BYTES_MAX} bytes was cut"),
                );
            }
            let Some(reason) = taken.reason else {
                return StatusCode::NO_CONTENT.into_response();
            };
            let refused = taken.refused;
            sender.reject(refused, &reason);
            let why = format!("{refused} streams or lines refused, the first: {reason}\n");
            (StatusCode::BAD_REQUEST, why).into_response()
        }
        Err(refusal) => {
            refusal.count(&sender);
            refusal.answer(format!("{refusal}\n"))
        }
    }
}

async fn take(loki: Loki, request: Request) -> Result<Taken, Refusal> {
    let (parts, body) = request.into_parts();
    let received = loki
        .limits
        .read_unless_behind(&loki.sender, &parts.headers, body);
    let received = received.await?;
    let (limits, body) = (loki.limits, received.body.clone());
    let decoder = move || read(&limits, &parts.headers, &body);
    let mut taken = http::decode(received.body.len(), decoder).await?;
    taken.refuse_strange((loki.clock)(), loki.skew_ms_max);
    if !taken.signals.is_empty() {
        let signals = std::mem::take(&mut taken.signals);
        loki.sender.try_send(signals)?;
    }
    Ok(taken)
}

/// Reads a body in the form that its headers announce.
fn read(limits: &Limits, headers: &HeaderMap, body: &[u8]) -> Result<Taken, Refusal> {
    let encoding = http::content_encoding(headers);
    let unzipped;
    let plain = match &*encoding {
        "" | "snappy" => body,
        "gzip" => {
            unzipped = limits.gunzip(body)?;
            &unzipped
        }
        other => {
            let why = format!("content encoding {other:?}: only gzip, snappy or none");
            return Err(Refusal::Unsupported(why));
        }
    };
    let mut taken = Taken::default();
    match &*http::content_type(headers) {
        "application/json" => json::read(plain, &mut taken).map_err(Refusal::Malformed)?,
        // What promtail sends is snappy, whether or not it says so.
        "application/x-protobuf" | "" => {
            let message = limits.unsnap(plain)?;
            proto::read(&message, &mut taken)
                .map_err(|e| Refusal::Malformed(format!("not a logproto.PushRequest: {e}")))?;
        }
        other => {
            let why = format!("content type {other:?}: application/json or application/x-protobuf");
            return Err(Refusal::Unsupported(why));
        }
    }
    if taken.is_too_much() {
        let why = format!("more than {SIGNALS_REQUEST_MAX} lines in one request");
        return Err(Refusal::TooLarge(why));
    }
    Ok(taken)
}

impl Taken {
    fn is_too_much(&self) -> bool {
        self.signals.len() > SIGNALS_REQUEST_MAX
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.reason.get_or_insert_with(|| why.to_owned());
    }

    /// Refuses lines of a time that the engine would not believe.
    fn refuse_strange(&mut self, now: Time, skew_ms_max: i64) {
        let mut first = None;
        let before = self.signals.len();
        self.signals.retain(|signal| {
            let Signal::Log(line) = signal else {
                return true;
            };
            let believed = changes::is_of_our_time(line.at, now, skew_ms_max);
            believed.map_err(|why| first.get_or_insert(why)).is_ok()
        });
        let Some(why) = first else { return };
        self.refuse(&why);
        // That counted one of them.
        self.refused += (before - self.signals.len() - 1) as u64;
    }

    /// Takes a line of a stream. One over the limit is enough to refuse the request.
    fn line(&mut self, stream: &Labels, entry: &Entry<'_>) {
        let text = entry.text.trim_end();
        if text.trim().is_empty() || self.is_too_much() {
            return;
        }
        let labels = if entry.metadata.is_empty() {
            stream.clone()
        } else {
            match Labels::from_pairs(stream.iter().chain(entry.metadata.iter().copied())) {
                Ok(labels) => labels,
                Err(error) => return self.refuse(&error.to_string()),
            }
        };
        let kept = &text[..text.floor_char_boundary(LINE_BYTES_MAX)];
        self.cut += u64::from(kept.len() < text.len());
        let line = line(entry.at_ns, labels, kept);
        self.signals.push(Signal::Log(Box::new(line)));
    }
}

/// A line with what its labels tell of it.
fn line(at_ns: i64, labels: Labels, text: &str) -> LogLine {
    let trace = labels.first_of(&TRACE_LABELS);
    let trace = trace.and_then(|id| u128::from_str_radix(id, 16).ok());
    LogLine {
        at: Time::from_ms(at_ns.div_euclid(1_000_000)),
        level: labels.first_of(&LEVEL_LABELS).and_then(LogLevel::parse),
        labels,
        text: text.into(),
        trace: trace.map(TraceId),
        span: None,
    }
}
