//! Answers in the type of the request: partial success, or a `google.rpc.Status`.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde_json::json;

use super::{Taken, Telemetry};
use crate::sources::http::{self, Refusal};

/// `OK` of `google.rpc.Code`.
pub(super) const CODE_OK: i32 = 0;
/// `INVALID_ARGUMENT` of `google.rpc.Code`.
const CODE_INVALID: i32 = 3;
/// `DEADLINE_EXCEEDED` of `google.rpc.Code`.
pub(super) const CODE_DEADLINE: i32 = 4;
/// `RESOURCE_EXHAUSTED` of `google.rpc.Code`.
const CODE_EXHAUSTED: i32 = 8;
/// `UNIMPLEMENTED` of `google.rpc.Code`.
pub(super) const CODE_UNIMPLEMENTED: i32 = 12;
/// `UNAVAILABLE` of `google.rpc.Code`.
pub(super) const CODE_UNAVAILABLE: i32 = 14;

/// How request and answer are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Binary protobuf.
    #[default]
    Protobuf,
    /// JSON by OTLP's rules.
    Json,
}

/// `ExportTraceServiceResponse` and its two like: field 1 is the partial success.
#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

impl Format {
    /// By content type; `None` if it is neither.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        match &*http::content_type(headers) {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// 200, with what could not be used.
pub(super) fn partial(telemetry: Telemetry, format: Format, taken: &Taken) -> Response {
    let rejected = i64::try_from(taken.rejected).unwrap_or(i64::MAX);
    let reason = taken.reason.clone().unwrap_or_default();
    let body = match format {
        Format::Protobuf => export_response(taken),
        Format::Json if rejected == 0 => b"{}".to_vec(),
        Format::Json => {
            let field = match telemetry {
                Telemetry::Traces => "rejectedSpans",
                Telemetry::Metrics => "rejectedDataPoints",
                Telemetry::Logs => "rejectedLogRecords",
            };
            // 64-bit numbers are texts in protobuf's JSON.
            let partial = json!({ field: rejected.to_string(), "errorMessage": reason });
            json!({ "partialSuccess": partial })
                .to_string()
                .into_bytes()
        }
    };
    let headers = [(header::CONTENT_TYPE, format.content_type())];
    (StatusCode::OK, headers, body).into_response()
}

/// The answer to a request that was taken, as protobuf.
pub(super) fn export_response(taken: &Taken) -> Vec<u8> {
    let rejected = i64::try_from(taken.rejected).unwrap_or(i64::MAX);
    let partial_success = (rejected > 0).then(|| PartialSuccess {
        rejected,
        error_message: taken.reason.clone().unwrap_or_default(),
    });
    ExportResponse { partial_success }.encode_to_vec()
}

/// What a refusal is to gRPC.
pub(super) const fn code(refusal: &Refusal) -> i32 {
    match refusal {
        Refusal::Malformed(_) | Refusal::Unsupported(_) => CODE_INVALID,
        Refusal::TooLarge(_) => CODE_EXHAUSTED,
        Refusal::TooSlow
        | Refusal::Stalled
        | Refusal::Crowded
        | Refusal::Unready(_)
        | Refusal::Behind
        | Refusal::Busy(_) => CODE_UNAVAILABLE,
    }
}

/// The refusal as a `google.rpc.Status`.
pub(super) fn refused(format: Format, refusal: &Refusal) -> Response {
    let code = code(refusal);
    let message = refusal.to_string();
    let body = match format {
        Format::Protobuf => Status { code, message }.encode_to_vec(),
        Format::Json => json!({ "code": code, "message": message })
            .to_string()
            .into_bytes(),
    };
    let headers = [(header::CONTENT_TYPE, format.content_type())];
    refusal.answer((headers, body))
}
