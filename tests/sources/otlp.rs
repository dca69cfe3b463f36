//! OTLP over HTTP: recorded requests of the Python SDK, JSON, partial success, refusals.

use std::io::Write;

use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::{Value, json};
use stormglass::model::{
    LogLevel, SeriesKind, Signal, Span, SpanId, SpanKind, Time, TraceId, Unit,
};

use crate::harness::{Receivers, fixture};

/// A header, or an attribute.
type Pair = (&'static str, &'static str);

/// A request and its refusal: path, headers, body, status, reason.
type Refused = (
    &'static str,
    &'static [Pair],
    Vec<u8>,
    StatusCode,
    &'static str,
);

const PROTOBUF: Pair = ("content-type", "application/x-protobuf");
const JSON: Pair = ("content-type", "application/json");

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).expect("in memory");
    encoder.finish().expect("in memory")
}

fn spans(signals: Vec<Signal>) -> Vec<Span> {
    let spans = signals.into_iter().filter_map(|signal| match signal {
        Signal::Span(span) => Some(*span),
        _ => None,
    });
    spans.collect()
}

#[tokio::test]
async fn recorded_traces_are_taken_whole_in_every_encoding() {
    let body = fixture("otlp/traces.pb");
    let sent = ExportTraceServiceRequest::decode(&*body).expect("protobuf");
    let json = serde_json::to_vec(&sent).expect("JSON");
    let requests: [(Vec<Pair>, Vec<u8>); 4] = [
        (vec![PROTOBUF], body.clone()),
        (vec![PROTOBUF, ("content-encoding", "gzip")], gzip(&body)),
        (vec![JSON], json.clone()),
        (vec![JSON, ("content-encoding", "gzip")], gzip(&json)),
    ];
    let mut receivers = Receivers::new();
    let mut first: Option<Vec<Signal>> = None;
    for (headers, body) in requests {
        let answer = receivers.send("POST", "/v1/traces", &headers, body).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], headers[0].1);
        assert_eq!(
            answer.body,
            if headers[0] == JSON {
                b"{}".to_vec()
            } else {
                Vec::new()
            }
        );
        let taken = receivers.taken();
        assert_eq!(*first.get_or_insert_with(|| taken.clone()), taken);
    }
    let expected: Vec<_> = sent
        .resource_spans
        .iter()
        .flat_map(|group| &group.scope_spans)
        .flat_map(|scope| &scope.spans)
        .collect();
    let taken = spans(first.unwrap_or_default());
    assert!(!expected.is_empty());
    assert_eq!(taken.len(), expected.len());
    for (got, sent) in taken.iter().zip(expected) {
        let trace = u128::from_be_bytes(sent.trace_id[..].try_into().expect("16 bytes"));
        let id = u64::from_be_bytes(sent.span_id[..].try_into().expect("8 bytes"));
        assert_eq!((got.trace, got.id), (TraceId(trace), SpanId(id)));
        assert_eq!(got.parent.is_some(), !sent.parent_span_id.is_empty());
        assert_eq!(&*got.name, sent.name);
        assert_eq!(
            got.start.ms().cast_unsigned(),
            sent.start_time_unix_nano / 1_000_000
        );
        assert!(got.resource.get("service.name").is_some());
        assert_eq!(got.resource.get("telemetry.sdk.name"), None);
    }
    assert!(
        taken.iter().any(|span| span.error),
        "the fixture holds errors"
    );
}

#[tokio::test]
async fn recorded_gzip_of_the_sdk_is_read() {
    let mut receivers = Receivers::new();
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    let answer = receivers
        .send("POST", "/v1/traces", &headers, fixture("otlp/traces.pb.gz"))
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!spans(receivers.taken()).is_empty());
}

#[tokio::test]
async fn recorded_logs_are_taken_whole() {
    let body = fixture("otlp/logs.pb");
    let sent = ExportLogsServiceRequest::decode(&*body).expect("protobuf");
    let mut receivers = Receivers::new();
    let answer = receivers.send("POST", "/v1/logs", &[PROTOBUF], body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let taken = receivers.taken();
    let expected: Vec<_> = sent
        .resource_logs
        .iter()
        .flat_map(|group| &group.scope_logs)
        .flat_map(|scope| &scope.log_records)
        .collect();
    assert_eq!(taken.len(), expected.len());
    for (signal, sent) in taken.iter().zip(expected) {
        let Signal::Log(line) = signal else {
            panic!("not a line: {signal:?}");
        };
        assert!(!line.text.is_empty());
        assert_eq!(
            line.trace.is_some(),
            sent.trace_id.iter().any(|byte| *byte != 0)
        );
        assert_eq!(
            line.level == Some(LogLevel::Error),
            (17..=20).contains(&sent.severity_number)
        );
    }
}

#[tokio::test]
async fn recorded_metrics_become_series() {
    let mut receivers = Receivers::new();
    for file in ["otlp/metrics.pb", "otlp/metrics_later.pb"] {
        let body = fixture(file);
        ExportMetricsServiceRequest::decode(&*body).expect("protobuf");
        let answer = receivers
            .send("POST", "/v1/metrics", &[PROTOBUF], body)
            .await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, Vec::new()));
        let taken = receivers.taken();
        assert!(!taken.is_empty());
        for signal in taken {
            let Signal::Sample(sample) = signal else {
                panic!("not a sample: {signal:?}");
            };
            assert!(sample.value.is_finite());
            assert!(sample.series.labels.get("service.name").is_some());
            assert_eq!(sample.series.labels.get("service.version"), None);
        }
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// One metric of service `cart` at `at_s` seconds, with the data given.
fn metric(name: &str, unit: &str, data: (&str, Value)) -> Value {
    let mut metric = json!({"name": name, "unit": unit});
    metric[data.0] = data.1;
    json!({"resourceMetrics": [{
        "resource": {"attributes": [attribute("service.name", "cart")]},
        "scopeMetrics": [{"metrics": [metric]}],
    }]})
}

type Row = (String, SeriesKind, Unit, i64, f64);

async fn metrics(receivers: &mut Receivers, body: &Value) -> Vec<Row> {
    let answer = receivers
        .send("POST", "/v1/metrics", &[JSON], body.to_string())
        .await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, "{}"),
        "{body}"
    );
    let rows = receivers.taken().into_iter().map(|signal| match signal {
        Signal::Sample(sample) => {
            assert_eq!(sample.series.labels.get("service.name"), Some("cart"));
            let series = &sample.series;
            (
                series.name.to_string(),
                series.kind,
                series.unit,
                sample.at.ms(),
                sample.value,
            )
        }
        other => panic!("not a sample: {other:?}"),
    });
    rows.collect()
}

#[tokio::test]
async fn every_kind_of_metric_becomes_the_right_series() {
    let point = |value: Value| json!({"timeUnixNano": "5000000000", "asDouble": value});
    let sum = |temporality: i32, monotonic: bool| json!({"dataPoints": [point(json!(3.5))], "aggregationTemporality": temporality, "isMonotonic": monotonic});
    let whole = json!({"dataPoints": [{"timeUnixNano": 5_000_000_000_u64, "asInt": "-7"}]});
    let row = |name: &str, kind, unit, value| (name.to_owned(), kind, unit, 5_000, value);
    let cases = [
        (
            metric("used", "By", ("gauge", whole)),
            row("used", SeriesKind::Gauge, Unit::Bytes, -7.0),
        ),
        (
            metric("reqs", "1", ("sum", sum(2, true))),
            row("reqs", SeriesKind::Counter, Unit::None, 3.5),
        ),
        (
            metric("live", "", ("sum", sum(2, false))),
            row("live", SeriesKind::Gauge, Unit::None, 3.5),
        ),
        (
            metric("done", "s", ("sum", sum(1, true))),
            row("done", SeriesKind::Delta, Unit::Seconds, 3.5),
        ),
    ];
    let mut receivers = Receivers::new();
    for (body, expected) in cases {
        assert_eq!(metrics(&mut receivers, &body).await, [expected]);
    }
}

#[tokio::test]
async fn histograms_become_count_sum_mean_p99_and_buckets() {
    let histogram = |at_s: u64, count: u64, sum: f64, buckets: [u64; 3]| {
        let point = json!({
            "startTimeUnixNano": "1000000000", "timeUnixNano": (at_s * 1_000_000_000).to_string(),
            "count": count.to_string(), "sum": sum, "explicitBounds": [0.1, 0.5],
            "bucketCounts": buckets.map(|n| n.to_string()),
        });
        metric(
            "d",
            "s",
            (
                "histogram",
                json!({"aggregationTemporality": 2, "dataPoints": [point]}),
            ),
        )
    };
    let row = |name: &str, kind, unit, at_s: i64, value| {
        (name.to_owned(), kind, unit, at_s * 1_000, value)
    };
    let mut receivers = Receivers::new();
    let first = metrics(&mut receivers, &histogram(5, 10, 2.0, [10, 0, 0])).await;
    let counters = |at_s, count, sum| {
        [
            row("d_count", SeriesKind::Counter, Unit::None, at_s, count),
            row("d_sum", SeriesKind::Counter, Unit::Seconds, at_s, sum),
        ]
    };
    assert_eq!(first, counters(5, 10.0, 2.0));
    let second = metrics(&mut receivers, &histogram(6, 14, 3.0, [10, 4, 0])).await;
    let mut expected = counters(6, 14.0, 3.0).to_vec();
    expected.push(row("d_mean", SeriesKind::Gauge, Unit::Seconds, 6, 0.25));
    expected.push(row(
        "d_p99",
        SeriesKind::Gauge,
        Unit::Seconds,
        6,
        0.1 + 0.4 * 0.99,
    ));
    expected.push(row("d_bucket", SeriesKind::Delta, Unit::Seconds, 6, 4.0));
    assert_eq!(second, expected);

    let exponential = json!({"aggregationTemporality": 1, "dataPoints": [{
        "timeUnixNano": "7000000000", "count": "4", "sum": 8.0, "scale": 1,
        "positive": {"offset": 0, "bucketCounts": ["4"]},
    }]});
    let body = metric("e", "ms", ("exponentialHistogram", exponential));
    let got = metrics(&mut receivers, &body).await;
    let expected = [
        row("e_count", SeriesKind::Delta, Unit::None, 7, 4.0),
        row("e_sum", SeriesKind::Delta, Unit::Milliseconds, 7, 8.0),
        row("e_mean", SeriesKind::Gauge, Unit::Milliseconds, 7, 2.0),
        // Between 1 and √2, which ends one of its buckets.
        row(
            "e_p99",
            SeriesKind::Gauge,
            Unit::Milliseconds,
            7,
            1.0 + 0.99 * (std::f64::consts::SQRT_2 - 1.0),
        ),
        row("e_bucket", SeriesKind::Delta, Unit::Milliseconds, 7, 4.0),
    ];
    assert_eq!(got, expected);

    // Another part of the same metric, of the same time: its buckets count as well, and once however often it is sent.
    let mut other = body.clone();
    other["resourceMetrics"][0]["scopeMetrics"][0]["scope"] = json!({"name": "other"});
    for (body, bucket_ms) in [(&other, 7_001), (&other, 7_001), (&body, 7_000)] {
        let part = metrics(&mut receivers, body).await;
        let (bucket, others) = part.split_last().unwrap();
        assert_eq!(others, &expected[..4]);
        assert_eq!(
            (&*bucket.0, bucket.3, bucket.4),
            ("e_bucket", bucket_ms, 4.0)
        );
    }
}

#[tokio::test]
async fn histograms_that_found_no_room_say_the_same_when_they_are_sent_again() {
    let histogram = |temporality: u64, at_s: u64, buckets: [u64; 2]| {
        let point = json!({
            "startTimeUnixNano": "1000000000", "timeUnixNano": (at_s * 1_000_000_000).to_string(),
            "count": buckets.iter().sum::<u64>().to_string(), "sum": 2.0, "explicitBounds": [0.5],
            "bucketCounts": buckets.map(|n| n.to_string()),
        });
        let data = json!({"aggregationTemporality": temporality, "dataPoints": [point]});
        metric(
            if temporality == 1 { "delta" } else { "all" },
            "s",
            ("histogram", data),
        )
    };
    let mut receivers = Receivers::new();
    metrics(&mut receivers, &histogram(2, 5, [10, 0])).await;
    for body in [histogram(2, 6, [14, 0]), histogram(1, 6, [4, 0])] {
        let mut unhurried = Receivers::new();
        metrics(&mut unhurried, &histogram(2, 5, [10, 0])).await;
        let expected = metrics(&mut unhurried, &body).await;
        assert_eq!(expected.len(), 5, "count, sum, mean, p99 and a bucket");

        receivers.fill();
        let refused = receivers
            .send("POST", "/v1/metrics", &[JSON], body.to_string())
            .await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        receivers.taken();
        assert_eq!(metrics(&mut receivers, &body).await, expected);
    }
}

/// One span of service `cart`, with fields laid over the usual ones.
fn span(over: &Value) -> Value {
    let mut span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
        "name": "GET /", "kind": 3, "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1000250000",
    });
    for (key, value) in over.as_object().into_iter().flatten() {
        span[key] = value.clone();
    }
    json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", "cart")]},
        "scopeSpans": [{"spans": [span]}],
    }]})
}

#[tokio::test]
async fn the_other_side_is_named_by_attributes() {
    let cases: [(&[Pair], Option<&str>); 6] = [
        (&[], None),
        (
            &[("peer.service", "stock"), ("server.address", "10.0.0.9")],
            Some("stock"),
        ),
        (
            &[
                ("db.system", "postgresql"),
                ("db.name", "orders"),
                ("server.address", "db1"),
            ],
            Some("database/orders"),
        ),
        (&[("db.system.name", "redis")], Some("database/redis")),
        (
            &[
                ("messaging.system", "kafka"),
                ("messaging.destination.name", "jobs"),
            ],
            Some("queue/jobs"),
        ),
        (&[("net.peer.name", "api.example")], Some("api.example")),
    ];
    let mut receivers = Receivers::new();
    for (attributes, peer) in cases {
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| attribute(k, v)).collect();
        let body = span(&json!({"attributes": attributes, "future": {"field": [1]}})).to_string();
        let answer = receivers.send("POST", "/v1/traces", &[JSON], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let taken = spans(receivers.taken());
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].peer.as_deref(), peer);
        assert_eq!(
            (taken[0].kind, taken[0].duration_us),
            (SpanKind::Client, 250)
        );
    }
}

#[tokio::test]
async fn secrets_in_names_of_spans_are_masked() {
    let mut receivers = Receivers::new();
    let body = span(&json!({"name": "GET http://bob:hunter2@shop/?token=hunter2&n=1"})).to_string();
    let answer = receivers.send("POST", "/v1/traces", &[JSON], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let names: Vec<_> = spans(receivers.taken())
        .into_iter()
        .map(|s| s.name)
        .collect();
    assert_eq!(
        names,
        ["GET http://<secret>@shop/?token=<secret>&n=1".into()]
    );
}

#[tokio::test]
async fn how_a_span_was_sampled_is_told_by_its_trace_state_or_attributes() {
    let rate = |kind: &str| {
        let value = match kind {
            "number" => json!({"intValue": "20"}),
            _ => json!({"stringValue": "20"}),
        };
        json!({"attributes": [{"key": "SampleRate", "value": value}]})
    };
    let cases = [
        (json!({}), None),
        (json!({"traceState": "ot=th:c"}), Some(4.0)),
        (json!({"traceState": "x=1,ot=rv:8;th:8"}), Some(2.0)),
        (rate("number"), Some(20.0)),
        (rate("text"), Some(20.0)),
        (json!({"traceState": "ot=th:zz"}), None),
    ];
    let mut receivers = Receivers::new();
    for (over, weight) in cases {
        let body = span(&over).to_string();
        let answer = receivers.send("POST", "/v1/traces", &[JSON], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let taken = spans(receivers.taken());
        assert_eq!((taken.len(), taken[0].weight), (1, weight), "{over}");
    }
}

#[tokio::test]
async fn exceptions_become_log_lines() {
    let event = json!({"name": "exception", "timeUnixNano": "1000100000", "attributes": [
        attribute("exception.type", "OutOfStock"), attribute("exception.message", "none left"),
        attribute("exception.stacktrace", "at cart.py:7"),
    ]});
    let body =
        span(&json!({"events": [event, {"name": "retry"}], "status": {"code": 2}})).to_string();
    let mut receivers = Receivers::new();
    receivers.send("POST", "/v1/traces", &[JSON], body).await;
    let taken = receivers.taken();
    let [Signal::Log(line), Signal::Span(span)] = &taken[..] else {
        panic!("a line and a span: {taken:?}");
    };
    assert_eq!(&*line.text, "OutOfStock: none left\nat cart.py:7");
    assert_eq!(
        (line.level, line.at),
        (Some(LogLevel::Error), Time::from_ms(1_000))
    );
    assert_eq!((line.trace, line.span), (Some(span.trace), Some(span.id)));
    assert!(span.error);
}

#[tokio::test]
async fn what_cannot_be_used_is_a_partial_success() {
    let mut receivers = Receivers::new();
    let bad = span(&json!({"spanId": "0000000000000000"}));
    let request: ExportTraceServiceRequest = serde_json::from_value(bad.clone()).expect("OTLP");
    let answer = receivers
        .send("POST", "/v1/traces", &[PROTOBUF], request.encode_to_vec())
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let partial = ExportTraceServiceResponse::decode(&*answer.body)
        .expect("protobuf")
        .partial_success
        .expect("a partial success");
    assert_eq!(partial.rejected_spans, 1);
    assert_eq!(
        partial.error_message,
        "a span has no valid trace id and span id"
    );

    let answer = receivers
        .send("POST", "/v1/traces", &[JSON], bad.to_string())
        .await;
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(said["partialSuccess"]["rejectedSpans"], "1");

    let untimed = metric(
        "x",
        "",
        (
            "sum",
            json!({"dataPoints": [{"timeUnixNano": "5", "asInt": 1}]}),
        ),
    );
    let request: ExportMetricsServiceRequest = serde_json::from_value(untimed).expect("OTLP");
    let answer = receivers
        .send("POST", "/v1/metrics", &[PROTOBUF], request.encode_to_vec())
        .await;
    let partial = ExportMetricsServiceResponse::decode(&*answer.body)
        .expect("protobuf")
        .partial_success
        .expect("a partial success");
    assert_eq!(
        partial.error_message,
        "a sum or histogram has no temporality"
    );
    assert_eq!(receivers.taken(), []);
    assert_eq!(receivers.row("otlp").rejected, 3);
}

/// A request of service `cart` with these records, spans or metrics.
fn items(telemetry: &str, items: &Value) -> Value {
    let (groups, scopes, name) = match telemetry {
        "logs" => ("resourceLogs", "scopeLogs", "logRecords"),
        "traces" => ("resourceSpans", "scopeSpans", "spans"),
        _ => ("resourceMetrics", "scopeMetrics", "metrics"),
    };
    json!({ groups: [{ scopes: [{ name: items }] }] })
}

/// An item that cannot be read costs itself: in JSON, where an id or a number is none …
#[tokio::test]
async fn an_unreadable_item_of_json_is_rejected_alone() {
    let log = |trace: &str| json!({"timeUnixNano": "5000000000", "traceId": trace, "body": {"stringValue": "ok"}});
    let span = |trace: &str| json!({"traceId": trace, "spanId": "eee19b7ec3c1b174", "name": "GET /", "startTimeUnixNano": "5000000000", "endTimeUnixNano": "6000000000"});
    let point = |value: Value| json!({"timeUnixNano": "5000000000", "asDouble": value});
    let gauge = |points: Value| json!({"name": "m", "gauge": {"dataPoints": points}});
    let good = "5b8efff798038103d269b633813fc60c";
    let cases = [
        (
            "logs",
            json!([log(good), log("zz"), log(good)]),
            2,
            "rejectedLogRecords",
        ),
        (
            "traces",
            json!([span(good), span("zz"), span(good)]),
            2,
            "rejectedSpans",
        ),
        (
            "metrics",
            json!([gauge(json!([
                point(json!(1)),
                point(json!({})),
                point(json!(2))
            ]))]),
            2,
            "rejectedDataPoints",
        ),
        (
            "metrics",
            json!([gauge(json!([point(json!(1))])), {"name": 7}]),
            1,
            "rejectedDataPoints",
        ),
    ];
    for (telemetry, sent, taken, rejected) in cases {
        let mut receivers = Receivers::new();
        let body = items(telemetry, &sent).to_string();
        let path = format!("/v1/{telemetry}");
        let answer = receivers.send("POST", &path, &[JSON], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(said["partialSuccess"][rejected], "1", "{said}");
        assert_eq!(receivers.taken().len(), taken, "{telemetry}");
        assert_eq!(receivers.row("otlp").rejected, 1);
    }
}

/// … and in protobuf, where a text that is not UTF-8 is kept with what can be read of it, and a record whose
/// bytes end early is rejected.
#[tokio::test]
async fn an_unreadable_item_of_protobuf_is_mended_or_rejected_alone() {
    // LogRecord: body (5), an AnyValue with a text (1).
    let record = |body: &[u8]| {
        let any = [&[0x0a, body.len() as u8], body].concat();
        [&[0x2a, any.len() as u8], &any[..]].concat()
    };
    let records = [
        record(b"good one"),
        record(b"bad \xff\xfe"),
        vec![0x2a, 0x7f],
        record(b"another"),
    ];
    let listed: Vec<u8> = records
        .iter()
        .flat_map(|record| [&[0x12, record.len() as u8], &record[..]].concat())
        .collect();
    let scope = [&[0x12, listed.len() as u8], &listed[..]].concat();
    let body = [&[0x0a, scope.len() as u8], &scope[..]].concat();
    let mut receivers = Receivers::new();
    let answer = receivers.send("POST", "/v1/logs", &[PROTOBUF], body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let texts = receivers.taken().into_iter().map(|signal| match signal {
        Signal::Log(line) => line.text.to_string(),
        other => panic!("not a line: {other:?}"),
    });
    let texts: Vec<String> = texts.collect();
    assert_eq!(texts, ["good one", "bad \u{fffd}\u{fffd}", "another"]);
    assert_eq!(receivers.row("otlp").rejected, 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let bomb = gzip(&vec![0; 70 << 20]);
    let nested = format!(
        "{}1{}",
        r#"{"arrayValue":{"values":["#.repeat(60),
        "]}}".repeat(60)
    );
    let nested =
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{nested}}}]}}]}}]}}"#);
    let objects = format!("[{}]", "{},".repeat(600_000));
    let cases: [Refused; 8] = [
        (
            "traces",
            &[("content-type", "text/plain")],
            vec![],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "OTLP is application/x-protobuf or application/json",
        ),
        (
            "traces",
            &[PROTOBUF, ("content-encoding", "br")],
            vec![],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "only gzip or none",
        ),
        (
            "traces",
            &[PROTOBUF, ("content-encoding", "gzip")],
            b"plain".to_vec(),
            StatusCode::BAD_REQUEST,
            "the body is not gzip",
        ),
        (
            "traces",
            &[PROTOBUF],
            b"\x0a\x7f".to_vec(),
            StatusCode::BAD_REQUEST,
            "not an ExportTraceServiceRequest: the message ends within a field",
        ),
        (
            "metrics",
            &[JSON],
            b"{".to_vec(),
            StatusCode::BAD_REQUEST,
            "not an ExportMetricsServiceRequest: EOF",
        ),
        (
            "logs",
            &[JSON],
            nested.into_bytes(),
            StatusCode::BAD_REQUEST,
            "recursion limit exceeded",
        ),
        (
            "logs",
            &[JSON],
            objects.into_bytes(),
            StatusCode::BAD_REQUEST,
            "send smaller batches",
        ),
        (
            "logs",
            &[PROTOBUF, ("content-encoding", "gzip")],
            bomb,
            StatusCode::PAYLOAD_TOO_LARGE,
            "sources.body_bytes_max",
        ),
    ];
    let mut receivers = Receivers::new();
    for (i, (path, headers, body, status, reason)) in cases.into_iter().enumerate() {
        let answer = receivers
            .send("POST", &format!("/v1/{path}"), headers, body)
            .await;
        assert_eq!(answer.status, status, "{reason}");
        // A google.rpc.Status: its message is readable in either format.
        let said = String::from_utf8_lossy(&answer.body);
        assert!(said.contains(reason), "{said:?} lacks {reason:?}");
        assert_eq!(receivers.taken(), []);
        assert_eq!(receivers.row("otlp").rejected, i as u64 + 1);
    }
}
