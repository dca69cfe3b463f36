//! The Alertmanager receiver: recorded requests of Prometheus 2.42, refusals, limits.

use axum::http::StatusCode;
use serde_json::Value;
use stormglass::config::EngineConfig;
use stormglass::model::{Alert, Fingerprint, Labels, Signal, Time};

use crate::harness::{Answer, NOW, Receivers, fixture};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

async fn post(receivers: &Receivers, body: impl Into<axum::body::Body>) -> Answer {
    receivers.send("POST", "/api/v2/alerts", JSON, body).await
}

fn alert(labels: &[(&str, &str)], starts_at: Time, ends_at: Time) -> Signal {
    let labels = Labels::from_pairs(labels.iter().copied()).expect("short");
    Signal::Alert(Box::new(Alert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        starts_at,
        ends_at,
        generator_url: None,
    }))
}

fn at(text: &str) -> Time {
    Time::parse_rfc3339(text).expect("a time")
}

#[tokio::test]
async fn a_recorded_alert_fires_and_resolves() {
    let mut receivers = Receivers::new();
    for (file, ends_at, firing) in [
        ("alertmanager/firing.json", "2026-11-20T15:26:11.087Z", true),
        (
            "alertmanager/resolved.json",
            "2026-11-20T15:23:21.087Z",
            false,
        ),
    ] {
        assert_eq!(post(&receivers, fixture(file)).await.status, StatusCode::OK);
        let labels = Labels::from_pairs([
            ("alertname", "InstanceDown"),
            ("cluster", "lab"),
            ("instance", "127.0.0.1:19999"),
            ("job", "dead"),
            ("replica", "a"),
            ("service", "checkout"),
            ("severity", "critical"),
        ])
        .expect("short");
        let annotations = Labels::from_pairs([
            ("runbook_url", "https://runbooks.example/InstanceDown"),
            ("summary", "127.0.0.1:19999 of job dead down"),
        ])
        .expect("short");
        let expected = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations,
            starts_at: at("2026-11-20T15:22:11.087Z"),
            ends_at: at(ends_at),
            generator_url: Some("http://vm:19090/graph?g0.expr=up+%3D%3D+0&g0.tab=1".into()),
        };
        assert_eq!(expected.is_firing(at("2026-11-20T15:24:00Z")), firing);
        assert_eq!(receivers.taken(), [Signal::Alert(Box::new(expected))]);
    }
    let row = receivers.row("alerts");
    assert_eq!((row.taken, row.rejected, row.dropped), (2, 0, 0));
}

#[tokio::test]
async fn missing_times_mean_what_alertmanager_says() {
    let timeout_ms = i64::from(EngineConfig::default().alert_resolve_timeout_s) * 1_000;
    let past = "2026-11-20T15:00:00Z";
    let cases = [
        (r#"{"labels":{"a":"1"}}"#, NOW, NOW.plus_ms(timeout_ms)),
        (
            r#"{"labels":{"a":"1"},"endsAt":"0001-01-01T00:00:00Z","startsAt":""}"#,
            NOW,
            NOW.plus_ms(timeout_ms),
        ),
        (
            r#"{"labels":{"a":"1","empty":""},"startsAt":"2026-11-20T15:00:00Z","annotations":null}"#,
            at(past),
            NOW.plus_ms(timeout_ms),
        ),
        (
            r#"{"labels":{"a":"1"},"endsAt":"2026-11-20T15:00:00Z"}"#,
            at(past),
            at(past),
        ),
    ];
    let mut receivers = Receivers::new();
    for (body, starts_at, ends_at) in cases {
        assert_eq!(
            post(&receivers, format!("[{body}]")).await.status,
            StatusCode::OK
        );
        assert_eq!(
            receivers.taken(),
            [alert(&[("a", "1")], starts_at, ends_at)],
            "{body}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let too_many = format!("[{}{{}}]", "{},".repeat(70_000));
    let wide: Vec<String> = (0..200).map(|i| format!("\"l{i}\":\"x\"")).collect();
    let wide = format!("[{{\"labels\":{{{}}}}}]", wide.join(","));
    let long = format!("[{{\"labels\":{{\"a\":\"{}\"}}}}]", "x".repeat(20_000));
    let deep = "[".repeat(100_000);
    let cases: [(&[u8], &str); 12] = [
        (b"", "not a list of alerts: EOF"),
        (b"{}", "not a list of alerts: invalid type: map, expected an array of alerts"),
        (b"[{\"labels\":{\"a\":1}}]", "alert 0: the value of \"a\" is not a text"),
        (b"[{\"labels\":{\"a\":\"\xff\"}}]", "invalid unicode code point"),
        (b"[{}]", "alert 0: at least one label with a value is needed"),
        (
            br#"[{"labels":{"a":"1"},"endsAt":"tomorrow"}]"#,
            "alert 0: endsAt \"tomorrow\" is not an RFC 3339 time",
        ),
        (
            br#"[{"labels":{"a":"1"},"startsAt":"2026-11-20T15:00:00Z","endsAt":"2026-11-20T14:00:00Z"}]"#,
            "alert 0: endsAt is before startsAt",
        ),
        (
            br#"[{"labels":{"a":"1"},"startsAt":"2100-01-01T00:00:00Z"}]"#,
            "is ahead of this clock by more than an alert without endsAt is taken to fire",
        ),
        (too_many.as_bytes(), "more than 65536 alerts in one request"),
        (wide.as_bytes(), "more than 128 labels or annotations"),
        (long.as_bytes(), "value of label \"a\" is 20000 bytes: at most 16383"),
        (deep.as_bytes(), "EOF while parsing a list"),
    ];
    let mut receivers = Receivers::new();
    for (i, (body, reason)) in cases.into_iter().enumerate() {
        let answer = post(&receivers, body.to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{reason}");
        let Value::String(said) = serde_json::from_slice(&answer.body).expect("JSON") else {
            panic!("the reason is a string: {}", answer.text());
        };
        assert!(said.contains(reason), "{said:?} lacks {reason:?}");
        assert_eq!(receivers.taken(), []);
        assert_eq!(receivers.row("alerts").rejected, i as u64 + 1);
    }
}

#[tokio::test]
async fn compressed_alerts_are_taken_and_other_encodings_are_not() {
    let plain = br#"[{"labels":{"a":"1"}}]"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain).expect("in memory");
    let zipped = encoder.finish().expect("in memory");
    let cases = [
        ("gzip", zipped, StatusCode::OK),
        ("gzip", plain.to_vec(), StatusCode::BAD_REQUEST),
        ("zstd", plain.to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ];
    for (encoding, body, status) in cases {
        let receivers = Receivers::new();
        let headers = [JSON[0], ("content-encoding", encoding)];
        let answer = receivers
            .send("POST", "/api/v2/alerts", &headers, body)
            .await;
        assert_eq!(answer.status, status, "{encoding}: {}", answer.text());
    }
}

#[tokio::test]
async fn an_invalid_alert_does_not_cost_the_valid_ones_beside_it() {
    let mut receivers = Receivers::new();
    let body = r#"[{"labels":{"a":"1"},"endsAt":"2026-11-20T15:00:00Z"},{},{},{},{},{},{},{}]"#;
    let answer = post(&receivers, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(
        answer
            .text()
            .starts_with("\"7 alerts were refused, the other one was taken: alert 1: ")
            && answer.text().ends_with("; and 2 more\""),
        "{}",
        answer.text()
    );
    let past = at("2026-11-20T15:00:00Z");
    assert_eq!(receivers.taken(), [alert(&[("a", "1")], past, past)]);
    assert_eq!(receivers.row("alerts").rejected, 7);
}

#[tokio::test]
async fn an_alert_of_another_shape_does_not_cost_the_valid_ones_beside_it() {
    let past = at("2026-11-20T15:00:00Z");
    for bad in [
        r#"{"labels":{"alertname":5}}"#,
        r#"{"labels":["a"]}"#,
        r#"{"labels":{"a":"b"},"startsAt":{"x":[1]}}"#,
        r#"{"labels":{"a":"b","c":{"d":[null,{"e":1.5}]}}}"#,
        "5",
        "null",
        "[[]]",
        r#""text""#,
    ] {
        let mut receivers = Receivers::new();
        let good = r#"{"labels":{"a":"1"},"endsAt":"2026-11-20T15:00:00Z"}"#;
        let answer = post(&receivers, format!("[{bad},{good}]")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(receivers.taken(), [alert(&[("a", "1")], past, past)]);
        assert_eq!(receivers.row("alerts").rejected, 1, "{bad}");
    }
}

#[tokio::test]
async fn size_type_method_and_switch_are_respected() {
    let receivers = Receivers::with("[sources]\nbody_bytes_max = 1024\n");
    let answer = post(&receivers, " ".repeat(1_025)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.text().contains("sources.body_bytes_max"));
    let text = [("content-type", "text/plain")];
    let answer = receivers.send("POST", "/api/v2/alerts", &text, "[]").await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = receivers.send("DELETE", "/api/v2/alerts", &[], "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let off = Receivers::with("[sources.alerts]\nenabled = false\n");
    assert_eq!(post(&off, "[]").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let mut receivers = Receivers::new();
    let body = format!("[{}]", vec![r#"{"labels":{"a":"1"}}"#; 60_000].join(","));
    let statuses = [
        post(&receivers, body.clone()).await.status,
        post(&receivers, body.clone()).await.status,
    ];
    assert_eq!(statuses, [StatusCode::OK; 2]);
    let answer = post(&receivers, body.clone()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(receivers.taken().len(), 120_000);
    assert_eq!(post(&receivers, body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn tools_that_ask_before_they_send_get_an_answer() {
    let receivers = Receivers::new();
    for path in ["/-/healthy", "/-/ready"] {
        let answer = receivers.send("GET", path, &[], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let answer = receivers.send("GET", "/api/v2/status", &[], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let status: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(status["cluster"]["status"], "disabled");
}
