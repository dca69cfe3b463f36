//! OTLP over gRPC, without a socket: calls as they stand in HTTP/2's bodies, and their statuses.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use proptest::prelude::*;
use prost::Message;
use tower::ServiceExt;

use crate::harness::{Receivers, fixture};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// A call and its refusal: path, headers, body, status, reason.
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], Vec<u8>, &'a str, &'a str);

/// A call's answer: its message, and its status with what else stands behind it.
struct Called {
    http: StatusCode,
    message: Vec<u8>,
    status: HeaderMap,
}

impl Called {
    fn status(&self) -> (&str, &str) {
        let text = |name: &str| {
            self.status
                .get(name)
                .map_or("", |value| value.to_str().expect("ASCII"))
        };
        (text("grpc-status"), text("grpc-message"))
    }
}

/// A message with its five bytes before it.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[flag][..], &length, message].concat()
}

async fn call(
    receivers: &Receivers,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Called {
    let mut request = Request::post(path).header("content-type", "application/grpc+proto");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).expect("well formed");
    let router = receivers.grpc().expect("on by default");
    let response = router.oneshot(request).await.expect("infallible");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("in memory");
    let trailers = body.trailers().cloned();
    Called {
        http: head.status,
        message: body.to_bytes().to_vec(),
        status: trailers.unwrap_or(head.headers),
    }
}

#[tokio::test]
async fn recorded_traces_are_taken_plain_and_gzipped() {
    let body = fixture("otlp/traces.pb");
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(&body).expect("in memory");
    let zipped = zip.finish().expect("in memory");
    let mut receivers = Receivers::new();
    let answer = receivers
        .send(
            "POST",
            "/v1/traces",
            &[("content-type", "application/x-protobuf")],
            body.clone(),
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let over_http = receivers.taken();
    assert!(!over_http.is_empty());
    for (flag, body) in [(0, &body), (1, &zipped)] {
        let headers = [("grpc-encoding", "gzip"), ("grpc-timeout", "10S")];
        let called = call(&receivers, TRACES, &headers, framed(flag, body)).await;
        assert_eq!((called.http, called.status()), (StatusCode::OK, ("0", "")));
        assert_eq!(called.message, framed(0, &[]));
        assert_eq!(receivers.taken(), over_http);
    }
    assert_eq!(receivers.row("otlp grpc").taken, 2 * over_http.len() as u64);
}

#[tokio::test]
async fn what_cannot_be_used_is_told_and_costs_nothing_else() {
    let mut sent =
        ExportTraceServiceRequest::decode(&*fixture("otlp/traces.pb")).expect("protobuf");
    let spans = &mut sent.resource_spans[0].scope_spans[0].spans;
    spans[0].span_id = vec![1, 2, 3];
    let mut receivers = Receivers::new();
    let called = call(&receivers, TRACES, &[], framed(0, &sent.encode_to_vec())).await;
    assert_eq!(called.status(), ("0", ""));
    let answer = ExportTraceServiceResponse::decode(&called.message[5..]).expect("protobuf");
    let partial = answer.partial_success.expect("one span was left out");
    assert_eq!(partial.rejected_spans, 1);
    assert!(!partial.error_message.is_empty());
    assert!(!receivers.taken().is_empty());
    assert_eq!(receivers.row("otlp grpc").rejected, 1);
}

#[tokio::test]
async fn refusals_have_the_status_that_makes_a_sender_do_the_right_thing() {
    let long = "sources.body_bytes_max = 65536";
    let receivers = Receivers::with(long);
    let bomb = {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        zip.write_all(&vec![0; 1_000_000]).expect("in memory");
        zip.finish().expect("in memory")
    };
    let (gzip, zstd) = (("grpc-encoding", "gzip"), ("grpc-encoding", "zstd"));
    let cases: [Refused<'_>; 8] = [
        (TRACES, &[], vec![0, 0], "3", "it ends before its length"),
        (
            TRACES,
            &[],
            framed(0, b"\x0a\x05x"),
            "3",
            "not an ExportTraceServiceRequest",
        ),
        (LOGS, &[], framed(1, b""), "3", "does not say how"),
        (LOGS, &[zstd], framed(1, b"x"), "3", "only gzip or none"),
        (LOGS, &[gzip], framed(1, b"x"), "3", "not gzip"),
        (
            LOGS,
            &[gzip],
            framed(1, &bomb),
            "8",
            "longer than 65536 bytes after gzip",
        ),
        (
            LOGS,
            &[],
            framed(0, &vec![0; 70_000]),
            "8",
            "longer than 65536 bytes as sent",
        ),
        (
            "/grpc.health.v1.Health/Check",
            &[],
            framed(0, b""),
            "12",
            "there are only the Export calls",
        ),
    ];
    for (path, headers, body, status, why) in cases {
        let called = call(&receivers, path, headers, body).await;
        assert_eq!(called.status().0, status, "{why}: {:?}", called.status);
        assert!(called.status().1.contains(why), "{:?}", called.status());
    }
    let late = Body::from_stream(futures_util::stream::pending::<
        Result<Vec<u8>, std::io::Error>,
    >());
    let called = call(&receivers, TRACES, &[("grpc-timeout", "1m")], late).await;
    assert_eq!(called.status().0, "4");
    let plain = Request::post(TRACES)
        .body(Body::empty())
        .expect("well formed");
    let answer = receivers
        .grpc()
        .expect("on")
        .oneshot(plain)
        .await
        .expect("infallible");
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_full_queue_asks_for_another_try() {
    let receivers = Receivers::new();
    let body = framed(0, &fixture("otlp/traces.pb"));
    let refused = loop {
        let called = call(&receivers, TRACES, &[], body.clone()).await;
        if called.status().0 != "0" {
            break called;
        }
    };
    assert_eq!(refused.status().0, "14");
    let details = refused
        .status
        .get("grpc-status-details-bin")
        .expect("RetryInfo");
    // `google.rpc.Status` in base64, as senders read it: UNAVAILABLE, with an `Any` that is a RetryInfo.
    assert!(
        details
            .to_str()
            .expect("ASCII")
            .starts_with("CA4aMAoodHlwZS5nb29nbGVhcGlz")
    );
    assert!(receivers.row("otlp grpc").refused > 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(48, |text| text.parse().unwrap_or(48)),
        ..ProptestConfig::default()
    })]

    /// Any bytes as a call, with and without a frame around them, real ones cut short: each is answered by
    /// a status that blames the sender, or taken.
    #[test]
    fn any_call_gets_a_status(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        flag in 0..3_u8,
        cut: prop::sample::Index,
    ) {
        let real = framed(0, &fixture("otlp/traces.pb"));
        let short = real[..cut.index(real.len())].to_vec();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let statuses: Vec<String> = runtime.expect("a runtime").block_on(async {
            let receivers = Receivers::new();
            let mut statuses = Vec::new();
            for body in [bytes.clone(), framed(flag, &bytes), short] {
                for path in [TRACES, METRICS, LOGS] {
                    let called = call(&receivers, path, &[], body.clone()).await;
                    statuses.push(called.status().0.to_owned());
                }
            }
            statuses
        });
        // OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL (a frame that ends early).
        let fine = |status: &String| ["0", "3", "8", "12", "13"].contains(&status.as_str());
        prop_assert!(statuses.iter().all(fine), "{statuses:?}");
    }
}
