//! Loki's push API: JSON and protobuf as its senders write them, and what is refused.

use axum::http::StatusCode;
use prost::Message;
use stormglass::model::{Labels, LogLevel, LogLine, Signal, Time, TraceId};

use crate::harness::{Answer, Receivers};

/// As Loki's documentation and its clients write it.
pub const PUSH: &str = r#"{"streams":[{"stream":{"app":"cart","level":"error"},"values":[["1795188150123456789","payment failed\n",{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}],["1795188150000000000","again"]]}]}"#;

#[derive(Clone, PartialEq, Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    at: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn entry(text: &str, metadata: &[(&str, &str)]) -> Entry {
    let pairs = metadata.iter();
    Entry {
        at: Some(Timestamp {
            seconds: 1_795_188_150,
            nanos: 123_456_789,
        }),
        line: text.to_owned(),
        metadata: pairs
            .map(|(name, value)| Pair {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    }
}

/// A push of one stream, as promtail sends it.
pub fn protobuf(labels: &str, texts: &[(&str, &[(&str, &str)])]) -> Vec<u8> {
    let push = PushRequest {
        streams: vec![Stream {
            labels: labels.to_owned(),
            entries: texts
                .iter()
                .map(|(text, metadata)| entry(text, metadata))
                .collect(),
        }],
    };
    let plain = push.encode_to_vec();
    snap::raw::Encoder::new()
        .compress_vec(&plain)
        .expect("short")
}

async fn post(receivers: &Receivers, kind: &str, body: impl Into<axum::body::Body>) -> Answer {
    let headers = [("content-type", kind)];
    receivers
        .send("POST", "/loki/api/v1/push", &headers, body)
        .await
}

fn line(at_ms: i64, labels: &[(&str, &str)], text: &str) -> LogLine {
    LogLine {
        at: Time::from_ms(at_ms),
        labels: Labels::from_pairs(labels.iter().copied()).expect("short"),
        level: Some(LogLevel::Error),
        text: text.into(),
        trace: None,
        span: None,
    }
}

#[tokio::test]
async fn both_forms_are_the_same_lines() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let stream = [("app", "cart"), ("level", "error")];
    let with_trace = [("app", "cart"), ("level", "error"), ("trace_id", trace)];
    let mut first = line(1_795_188_150_123, &with_trace, "payment failed");
    first.trace = Some(TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
    let mut receivers = Receivers::new();
    let answer = post(&receivers, "application/json", PUSH).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let again = line(1_795_188_150_000, &stream, "again");
    let expected = [first.clone(), again].map(|line| Signal::Log(Box::new(line)));
    assert_eq!(receivers.taken(), expected);
    let body = protobuf(
        r#"{app="cart", level="error"}"#,
        &[("payment failed\n", &[("trace_id", trace)]), ("  ", &[])],
    );
    let answer = post(&receivers, "application/x-protobuf", body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    assert_eq!(receivers.taken(), [Signal::Log(Box::new(first))]);
}

#[tokio::test]
async fn a_bad_line_or_stream_does_not_cost_the_good_ones() {
    let mut receivers = Receivers::new();
    let long = "x".repeat(70_000);
    let body = format!(
        r#"{{"streams":[{{"stream":{{"a":"1"}},"values":[[1795188150000000000,"no text"],["1795188150000000000","{long}"],["1795188150000000000"],["1795188150000000000","good"]]}}]}}"#
    );
    let answer = post(&receivers, "application/json", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let why = "2 streams or lines refused, the first: a time must be nanoseconds as a text\n";
    assert_eq!(answer.text(), why);
    assert_eq!(receivers.taken().len(), 2);
    assert_eq!(receivers.row("loki").rejected, 3, "one was cut");
    for labels in [r#"{a="1"#, r#"{a=~"1"}"#, "a"] {
        let answer = post(
            &receivers,
            "application/x-protobuf",
            protobuf(labels, &[("x", &[])]),
        )
        .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{labels}");
        assert!(
            answer
                .text()
                .contains("1 streams or lines refused, the first: labels")
        );
    }
}

/// Loki answers so too (`reject_old_samples`, `creation_grace_period`): a sender whose lines nobody would see must know.
#[tokio::test]
async fn lines_of_another_time_are_refused_to_their_sender() {
    let mut receivers = Receivers::new();
    let body = r#"{"streams":[{"stream":{"a":"1"},"values":[["1","old"],["1795188150000000000","good"],["1795198150000000000","new"]]}]}"#;
    let answer = post(&receivers, "application/json", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let why = "2 streams or lines refused, the first: at 1970-01-01T00:00:00.000Z is more than 48 hours ago: it explains nothing of today\n";
    assert_eq!(answer.text(), why);
    assert_eq!(receivers.taken().len(), 1);
    assert_eq!(receivers.row("loki").rejected, 2);
}

/// A browser, or a `curl` without `-d`, is told what is wanted.
#[tokio::test]
async fn a_path_says_which_methods_it_takes() {
    let receivers = Receivers::new();
    for (method, path, allowed) in [
        ("GET", "/loki/api/v1/push", "POST"),
        ("GET", "/api/v2/alerts", "POST"),
        ("DELETE", "/api/v2/status", "GET or HEAD"),
        ("PUT", "/v1/traces", "POST"),
    ] {
        let answer = receivers.send(method, path, &[], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(
            answer.text(),
            format!("{{\"error\":\"{path} takes {allowed}, not {method}\"}}")
        );
        assert_eq!(answer.headers["allow"], allowed.replace(" or ", ","));
    }
}

#[tokio::test]
async fn what_is_no_push_is_refused_with_its_reason() {
    let many = format!(
        r#"{{"streams":[{{"stream":{{}},"values":[{}]}}]}}"#,
        vec![r#"["1","x"]"#; 140_000].join(",")
    );
    let cases: [(&str, Vec<u8>, u16, &str); 5] = [
        (
            "application/json",
            b"{}".to_vec(),
            400,
            "not a push: missing field `streams`",
        ),
        (
            "application/json",
            many.into_bytes(),
            413,
            "more than 131072 lines",
        ),
        (
            "application/x-protobuf",
            b"{}".to_vec(),
            400,
            "not a snappy block",
        ),
        (
            "application/x-protobuf",
            snap::raw::Encoder::new()
                .compress_vec(&[0x0a, 0x05])
                .expect("short"),
            400,
            "not a logproto.PushRequest: the message ends within a field",
        ),
        (
            "text/plain",
            b"x".to_vec(),
            415,
            "content type \"text/plain\"",
        ),
    ];
    let mut receivers = Receivers::new();
    for (kind, body, status, why) in cases {
        let answer = post(&receivers, kind, body).await;
        assert_eq!(answer.status.as_u16(), status, "{why}");
        assert!(answer.text().contains(why), "{} lacks {why}", answer.text());
        assert_eq!(receivers.taken(), []);
    }
    let off = Receivers::with("sources.loki.enabled = false\n");
    assert_eq!(
        post(&off, "application/json", PUSH).await.status,
        StatusCode::NOT_FOUND
    );
}
