//! Changes by JSON: what pipelines send, and what they get wrong.

use axum::http::StatusCode;
use stormglass::model::{Change, ChangeKind, EntityId, Labels, Signal, Time};

use crate::harness::{Answer, NOW, Receivers};

async fn post(receivers: &Receivers, body: impl Into<axum::body::Body>) -> Answer {
    let json = [("content-type", "application/json")];
    receivers.send("POST", "/api/v1/changes", &json, body).await
}

#[tokio::test]
async fn a_full_and_a_short_change_are_taken() {
    let mut receivers = Receivers::new();
    let full = r#"{"id":"run-7","at":"2026-11-20T15:00:00Z","kind":"rollback","entity":"database/orders",
        "title":"orders back to 14","version":"14","previous_version":"15","by":"mia \u2764","labels":{"env":"prod"}}"#;
    let answer = post(
        &receivers,
        format!("[{full},{{\"service\":\"checkout\",\"version\":\"v812\"}}]"),
    )
    .await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, "{\"taken\":2}")
    );
    let taken = receivers.taken();
    let Some(Signal::Change(short)) = taken.get(1) else {
        panic!("a change: {taken:?}");
    };
    let expected = [
        Change {
            id: "run-7".into(),
            at: Time::parse_rfc3339("2026-11-20T15:00:00Z").expect("a time"),
            kind: ChangeKind::Rollback,
            entity: EntityId::parse("database/orders"),
            title: "orders back to 14".into(),
            version: Some("14".into()),
            previous_version: Some("15".into()),
            by: Some("mia ❤".into()),
            labels: Labels::from_pairs([("env", "prod")]).expect("short"),
        },
        Change {
            id: short.id.clone(),
            at: NOW,
            kind: ChangeKind::Deploy,
            entity: EntityId::parse("service/checkout"),
            title: "deploy checkout v812".into(),
            version: Some("v812".into()),
            previous_version: None,
            by: None,
            labels: Labels::empty(),
        },
    ];
    assert_eq!(
        taken,
        expected.map(|change| Signal::Change(Box::new(change)))
    );
}

#[tokio::test]
async fn a_resend_without_id_has_the_same_id_and_another_change_has_not() {
    let mut receivers = Receivers::new();
    for body in [
        r#"{"service":"a","version":"1"}"#,
        r#"{"service":"a","version":"1"}"#,
        r#"{"service":"a","version":"2"}"#,
    ] {
        assert_eq!(post(&receivers, body).await.status, StatusCode::OK);
    }
    let ids: Vec<_> = receivers
        .taken()
        .into_iter()
        .map(|signal| match signal {
            Signal::Change(change) => change.id,
            other => panic!("not a change: {other:?}"),
        })
        .collect();
    assert_eq!(
        (ids.len(), ids[0] == ids[1], ids[1] == ids[2]),
        (3, true, false)
    );
}

#[tokio::test]
async fn what_curl_sends_is_taken_and_what_a_page_sends_is_not() {
    let form = ("content-type", "application/x-www-form-urlencoded");
    let cases: [(&[(&str, &str)], StatusCode); 4] = [
        (&[form], StatusCode::OK),
        (&[], StatusCode::OK),
        (
            &[form, ("origin", "https://evil.example")],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            &[("content-type", "text/plain")],
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
    ];
    for (headers, status) in cases {
        let receivers = Receivers::new();
        let body = r#"{"service":"checkout"}"#;
        let answer = receivers
            .send("POST", "/api/v1/changes", headers, body)
            .await;
        assert_eq!(answer.status, status, "{headers:?}");
    }
}

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn a_change_of_another_time_is_refused_at_the_door() {
    let receivers = Receivers::new();
    let at = |at: Time| format!(r#"{{"service":"a","at":"{}"}}"#, at.to_rfc3339());
    let ahead = "ahead of this clock (`engine.clock_skew_s_max`)";
    let cases = [
        (at(NOW.plus_ms(-47 * HOUR_MS)), None),
        (at(NOW.plus_ms(HOUR_MS)), None),
        (at(Time::ZERO), Some("is more than 48 hours ago")),
        (
            at(NOW.plus_ms(-49 * HOUR_MS)),
            Some("is more than 48 hours ago"),
        ),
        (at(NOW.plus_ms(2 * HOUR_MS)), Some(ahead)),
        (
            r#"{"service":"a","at":"2100-01-01T00:00:00Z"}"#.to_owned(),
            Some(ahead),
        ),
    ];
    for (body, refused) in cases {
        let answer = post(&receivers, body.clone()).await;
        let status = match refused {
            None => StatusCode::OK,
            Some(_) => StatusCode::BAD_REQUEST,
        };
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(
            answer.text().contains(refused.unwrap_or_default()),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn a_compressed_change_is_taken_and_another_encoding_is_not() {
    let plain = br#"{"service":"checkout"}"#;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, plain).expect("in memory");
    let zipped = encoder.finish().expect("in memory");
    let cases = [
        ("gzip", zipped, StatusCode::OK),
        ("identity", plain.to_vec(), StatusCode::OK),
        ("gzip", plain.to_vec(), StatusCode::BAD_REQUEST),
        ("zstd", plain.to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ];
    for (encoding, body, status) in cases {
        let receivers = Receivers::new();
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", encoding),
        ];
        let answer = receivers
            .send("POST", "/api/v1/changes", &headers, body)
            .await;
        assert_eq!(answer.status, status, "{encoding}: {}", answer.text());
    }
}

#[tokio::test]
async fn mistakes_are_named() {
    let long = format!(r#"{{"service":"a","title":"{}"}}"#, "x".repeat(5_000));
    let many = format!("[{}]", vec![r#"{"service":"a"}"#; 1_001].join(","));
    let cases = [
        ("", "not a change: EOF"),
        ("nonsense", "not a change: expected"),
        ("{}", "change 0: `entity` or `service` is needed"),
        (
            r#"{"service":"a","entity":"b"}"#,
            "change 0: `entity` and `service` say the same: give one",
        ),
        (
            r#"{"service":"a","verison":"1"}"#,
            "unknown field `verison`",
        ),
        (
            r#"{"service":"a","kind":"explosion"}"#,
            "kind \"explosion\" is none of deploy, config, scale, flag, rollback, traffic, calendar, change",
        ),
        (
            r#"[{"service":"a"},{"service":"a","at":"noon"}]"#,
            "change 1: at \"noon\" is not an RFC 3339 time",
        ),
        (&long, "`title` is longer than 4096 bytes"),
        (&many, "more than 1000 changes in one request"),
    ];
    let mut receivers = Receivers::new();
    for (i, (body, reason)) in cases.into_iter().enumerate() {
        let answer = post(&receivers, body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{reason}");
        let said: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let said = said["error"].as_str().expect("a text");
        assert!(said.contains(reason), "{said:?} lacks {reason:?}");
        assert_eq!(receivers.taken(), []);
        assert_eq!(receivers.row("changes").rejected, i as u64 + 1);
    }
}
