//! OpenTelemetry over gRPC: `Export` of the three collector services, on a listener of its own.
//!
//! A unary call is a POST over HTTP/2 with five bytes before its message and a status behind its answer;
//! between the two it is the same reader, with the same bounds, as over HTTP. A generated server was not
//! taken: it builds each request up in memory before anybody can say that it is too much.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

use super::answer::{self, CODE_DEADLINE, CODE_OK, CODE_UNAVAILABLE, CODE_UNIMPLEMENTED};
use super::{Otlp, Taken, Telemetry};
use crate::sources::http::{self, Refusal};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// Content type of calls and answers; what follows names the message's format.
const GRPC_TYPE: &str = "application/grpc";
/// A `google.rpc.Status` of `UNAVAILABLE` with a `RetryInfo` of a second, in base64: without it, senders
/// may take a full queue for good.
const RETRY_DETAILS: &str =
    "CA4aMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAQ";

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const DEADLINE: HeaderName = HeaderName::from_static("grpc-timeout");

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    code: i32,
    message: String,
}

/// The services' routes; any other is answered as gRPC wants it.
pub(in crate::sources) fn routes(receiver: Otlp) -> Router {
    let route = |telemetry| {
        post(move |State(otlp): State<Otlp>, request: Request| receive(otlp, telemetry, request))
    };
    let path = |telemetry: Telemetry| {
        let (package, service) = telemetry.service();
        format!("/opentelemetry.proto.collector.{package}.v1.{service}/Export")
    };
    Telemetry::ALL
        .into_iter()
        .fold(Router::new(), |router, telemetry| {
            router.route(&path(telemetry), route(telemetry))
        })
        .fallback(|| async {
            let message = "there are only the Export calls of OpenTelemetry's collector services";
            failed(&Failure::new(CODE_UNIMPLEMENTED, message))
        })
        .with_state(receiver)
}

async fn receive(otlp: Otlp, telemetry: Telemetry, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if !http::content_type(&parts.headers).starts_with(GRPC_TYPE) {
        // What HTTP says, because who asks does not speak gRPC.
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let sender = otlp.sender.clone();
    let work = take(otlp, telemetry, &parts.headers, body);
    let taken = match deadline(&parts.headers) {
        None => work.await,
        // Nothing of a request is handed over before all of it was read, so that nothing is taken that
        // the sender will send again.
        Some(limit) => match timeout(limit, work).await {
            Ok(taken) => taken,
            Err(_elapsed) => {
                let why = "the sender's deadline passed before its request could be read";
                sender.send_back(1, why);
                return failed(&Failure::new(CODE_DEADLINE, why));
            }
        },
    };
    match taken {
        Ok(taken) => {
            if taken.rejected > 0 {
                sender.reject(taken.rejected, taken.reason.as_deref().unwrap_or_default());
            }
            exported(&taken)
        }
        Err(refusal) => {
            refusal.count(&sender);
            failed(&Failure::new(answer::code(&refusal), &refusal.to_string()))
        }
    }
}

async fn take(
    otlp: Otlp,
    telemetry: Telemetry,
    headers: &HeaderMap,
    body: Body,
) -> Result<Taken, Refusal> {
    let received = otlp.limits.read(headers, body).await?;
    let (message, encoding) = message(&received.body, headers)?;
    let format = answer::Format::Protobuf;
    otlp.take((telemetry, format, &encoding), &message).await
}

/// The one message of a unary call, and how it is compressed.
fn message(body: &Bytes, headers: &HeaderMap) -> Result<(Bytes, String), Refusal> {
    let malformed = |why: &str| Refusal::Malformed(format!("the call is not one message: {why}"));
    let Some((&[flag, a, b, c, d], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(malformed("it ends before its length"));
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if rest.len() != length {
        let why = format!("it says {length} bytes and holds {}", rest.len());
        return Err(malformed(&why));
    }
    let encoding = headers.get(ENCODING).and_then(|value| value.to_str().ok());
    let encoding = match (flag, encoding) {
        (0, _) => "",
        (1, Some(encoding)) => encoding,
        (1, None) => return Err(malformed("it is compressed and does not say how")),
        _ => return Err(malformed("its first byte is neither 0 nor 1")),
    };
    Ok((body.slice(PREFIX_BYTES..), encoding.to_owned()))
}

/// How long the sender waits: up to eight digits and a unit.
fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(DEADLINE)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// What was taken, as a message and a status behind it.
fn exported(taken: &Taken) -> Response {
    let message = answer::export_response(taken);
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, CODE_OK.into());
    let body = Full::from(framed).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    speak(response.headers_mut());
    response
}

/// A failure is a status and nothing else.
fn failed(failure: &Failure) -> Response {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    speak(headers);
    headers.insert(STATUS, failure.code.into());
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&failure.message)) {
        headers.insert(MESSAGE, message);
    }
    if failure.code == CODE_UNAVAILABLE {
        headers.insert(DETAILS, HeaderValue::from_static(RETRY_DETAILS));
    }
    response
}

fn speak(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC_TYPE));
    headers.insert(ACCEPTED, HeaderValue::from_static("identity,gzip"));
}

/// A message as a header may hold it: ASCII that can be seen, without the percent sign itself.
fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'%' => "%25".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

impl Failure {
    fn new(code: i32, message: &str) -> Self {
        let message = message.to_owned();
        Self { code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read_in_all_units() {
        let read = |text: &'static str| {
            let headers = [(DEADLINE, HeaderValue::from_static(text))];
            deadline(&headers.into_iter().collect())
        };
        for (text, expected) in [
            ("2H", Some(Duration::from_hours(2))),
            ("99999999M", Some(Duration::from_mins(99_999_999))),
            ("10S", Some(Duration::from_secs(10))),
            ("10m", Some(Duration::from_millis(10))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("100000000S", None),
            ("S", None),
            ("1x", None),
            ("-1S", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_call_is_exactly_one_message() {
        let gzip: HeaderMap = [(ENCODING, HeaderValue::from_static("gzip"))]
            .into_iter()
            .collect();
        let none = HeaderMap::new();
        let read = |body: &[u8], headers| {
            let read = message(&Bytes::copy_from_slice(body), headers);
            read.map(|(message, encoding)| (message.to_vec(), encoding))
                .map_err(|refusal| refusal.to_string())
        };
        assert_eq!(
            read(&[0, 0, 0, 0, 1, 7], &gzip),
            Ok((vec![7], String::new()))
        );
        assert_eq!(
            read(&[1, 0, 0, 0, 1, 7], &gzip),
            Ok((vec![7], "gzip".to_owned()))
        );
        for (body, headers, why) in [
            (&[0, 0, 0, 0][..], &none, "it ends before its length"),
            (&[0, 0, 0, 0, 2, 7], &none, "it says 2 bytes and holds 1"),
            (
                &[0, 0xff, 0xff, 0xff, 0xff],
                &none,
                "it says 4294967295 bytes and holds 0",
            ),
            (&[0, 0, 0, 0, 0, 7], &none, "it says 0 bytes and holds 1"),
            (
                &[1, 0, 0, 0, 0],
                &none,
                "it is compressed and does not say how",
            ),
            (&[2, 0, 0, 0, 0], &none, "its first byte is neither 0 nor 1"),
        ] {
            let why = format!("the call is not one message: {why}");
            assert_eq!(read(body, headers), Err(why));
        }
    }

    #[test]
    fn reasons_travel_in_a_header() {
        assert_eq!(percent_encoded("50 % of\nü"), "50 %25 of%0A%C3%BC");
        let busy = Failure::new(CODE_UNAVAILABLE, "try again");
        assert!(failed(&busy).headers().contains_key(DETAILS));
        let gone = Failure::new(CODE_DEADLINE, "too late");
        let headers = failed(&gone).headers().clone();
        assert_eq!(headers[STATUS], "4");
        assert!(!headers.contains_key(DETAILS));
    }
}
