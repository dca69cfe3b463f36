//! Notifications of other tools, as they send them: what becomes of each, and what is refused.

use axum::http::StatusCode;
use serde_json::{Value, json};
use stormglass::model::{Alert, Change, ChangeKind, EntityId, Fingerprint, Labels, Signal, Time};

use crate::harness::{Answer, NOW, Receivers};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// How long an alert is held that nobody resolves, by default.
const HOLD_MS: i64 = 6 * 3_600_000;

/// As Alertmanager 0.25 sends it; cut to one firing and one resolved alert.
pub const NOTIFICATION: &str = r#"{"receiver":"hook","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"InstanceDown","instance":"127.0.0.1:19999","service":"checkout","severity":"critical"},"annotations":{"summary":"127.0.0.1:19999 of job dead down"},"startsAt":"2026-11-20T15:22:11.087Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://vm:19090/graph?g0.tab=1","fingerprint":"757d65bc88e32a06"},{"status":"resolved","labels":{"alertname":"DiskFull"},"annotations":{},"startsAt":"2026-11-20T15:10:00Z","endsAt":"2026-11-20T15:20:00Z","generatorURL":"","fingerprint":"1b821551d31d953a"}],"groupLabels":{"alertname":"InstanceDown"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://vm:19093","version":"4","groupKey":"{}","truncatedAlerts":3}"#;

/// As Alertmanager 0.25 pages.
pub const PAGERDUTY_EVENT: &str = r#"{"routing_key":"0123456789abcdef0123456789abcdef","dedup_key":"d8a205d1","event_action":"trigger","payload":{"summary":"[FIRING:1] InstanceDown dead (lab)","source":"Alertmanager","severity":"error","custom_details":{"firing":"Labels:\n - alertname = InstanceDown\n - instance = 127.0.0.1:19999\n - service = checkout\n - severity = critical\nAnnotations:\n - summary = down\nSource: http://vm\nLabels:\n - alertname = Other\n","num_firing":"2","num_resolved":"0","resolved":""}},"client":"Alertmanager","client_url":"http://vm:19093/#/alerts?receiver=pd"}"#;

async fn post(receivers: &Receivers, path: &str, body: impl Into<axum::body::Body>) -> Answer {
    receivers.send("POST", path, JSON, body).await
}

fn at(text: &str) -> Time {
    Time::parse_rfc3339(text).expect("a time")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("short")
}

#[tokio::test]
async fn notifications_of_alertmanager_and_grafana_are_taken() {
    let mut receivers = Receivers::new();
    let answer = post(&receivers, "/webhook/alerts", NOTIFICATION).await;
    assert_eq!(
        (answer.status, answer.text()),
        (StatusCode::OK, "{\"taken\":2}")
    );
    let firing = labels(&[
        ("alertname", "InstanceDown"),
        ("instance", "127.0.0.1:19999"),
        ("service", "checkout"),
        ("severity", "critical"),
    ]);
    let resolved = labels(&[("alertname", "DiskFull")]);
    let expected = [
        Alert {
            fingerprint: Fingerprint::of(&firing),
            labels: firing,
            annotations: labels(&[("summary", "127.0.0.1:19999 of job dead down")]),
            starts_at: at("2026-11-20T15:22:11.087Z"),
            ends_at: NOW.plus_ms(HOLD_MS),
            generator_url: Some("http://vm:19090/graph?g0.tab=1".into()),
        },
        Alert {
            fingerprint: Fingerprint::of(&resolved),
            labels: resolved,
            annotations: Labels::empty(),
            starts_at: at("2026-11-20T15:10:00Z"),
            ends_at: at("2026-11-20T15:20:00Z"),
            generator_url: None,
        },
    ];
    assert_eq!(
        receivers.taken(),
        expected.map(|alert| Signal::Alert(Box::new(alert)))
    );
    let row = receivers.row("notifications");
    assert_eq!(
        (row.taken, row.dropped),
        (2, 3),
        "what it left out is counted"
    );

    // Grafana: the same skeleton, and a good deal more.
    let grafana = r#"{"receiver":"x","status":"firing","orgId":1,"version":"1","title":"t","state":"alerting","message":"m","truncatedAlerts":0,"alerts":[{"status":"firing","labels":{"alertname":"High"},"annotations":null,"startsAt":"2026-11-20T15:22:11Z","endsAt":"0001-01-01T00:00:00Z","values":{"A":1.5},"silenceURL":"s","dashboardURL":"d","panelURL":"","imageURL":null}]}"#;
    assert_eq!(
        post(&receivers, "/webhook/alerts", grafana).await.status,
        StatusCode::OK
    );
    assert_eq!(receivers.taken().len(), 1);
}

#[tokio::test]
async fn pagerduty_events_begin_and_end_alerts() {
    let mut receivers = Receivers::new();
    let answer = post(&receivers, "/v2/enqueue", PAGERDUTY_EVENT).await;
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let success =
        json!({"status": "success", "message": "Event processed", "dedup_key": "d8a205d1"});
    assert_eq!((answer.status, said), (StatusCode::ACCEPTED, success));
    let expected = Alert {
        fingerprint: Fingerprint::of(&labels(&[("dedup_key", "d8a205d1")])),
        labels: labels(&[
            ("alertname", "InstanceDown"),
            ("instance", "127.0.0.1:19999"),
            ("service", "checkout"),
            ("severity", "critical"),
        ]),
        annotations: labels(&[("summary", "[FIRING:1] InstanceDown dead (lab)")]),
        starts_at: NOW,
        ends_at: NOW.plus_ms(HOLD_MS),
        generator_url: Some("http://vm:19093/#/alerts?receiver=pd".into()),
    };
    let fingerprint = expected.fingerprint;
    assert_eq!(receivers.taken(), [Signal::Alert(Box::new(expected))]);
    let resolve = r#"{"routing_key":"x","dedup_key":"d8a205d1","event_action":"resolve"}"#;
    assert_eq!(
        post(&receivers, "/v2/enqueue", resolve).await.status,
        StatusCode::ACCEPTED
    );
    match receivers.taken().as_slice() {
        [Signal::Alert(alert)] => {
            assert_eq!((alert.fingerprint, alert.ends_at), (fingerprint, NOW));
        }
        other => panic!("not one alert: {other:?}"),
    }
    let acknowledge = resolve.replace("resolve", "acknowledge");
    assert_eq!(
        post(&receivers, "/v2/enqueue", acknowledge).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(receivers.taken(), []);
    // Without a key, the same trouble is the same alert.
    let keyless = r#"{"routing_key":"x","event_action":"trigger","payload":{"summary":"disk full","source":"db-1","severity":"critical","component":"postgres","class":"disk"}}"#;
    let mut seen = Vec::new();
    for _ in 0..2 {
        post(&receivers, "/v2/enqueue", keyless).await;
        seen.extend(receivers.taken().into_iter().map(|signal| match signal {
            Signal::Alert(alert) => (alert.fingerprint, alert.labels),
            other => panic!("not an alert: {other:?}"),
        }));
    }
    let named = labels(&[
        ("alertname", "disk"),
        ("instance", "db-1"),
        ("service", "postgres"),
        ("severity", "critical"),
    ]);
    assert_eq!(
        (seen.len(), seen[0] == seen[1], &seen[0].1),
        (2, true, &named)
    );
}

/// Who relays what an Alertmanager told adds words of its own; they are not what the alert is about.
#[tokio::test]
async fn what_is_relayed_as_if_to_pagerduty_is_about_what_it_was_about() {
    let relayed = "Labels:\n - alertname = Slow\n - service = cart\n - severity = warning\nAnnotations:\n - summary = slow\n";
    let of_alertmanager = [
        ("alertname", "Slow"),
        ("service", "cart"),
        ("severity", "warning"),
    ];
    let with_cluster = [
        ("alertname", "Slow"),
        ("cluster", "eu"),
        ("service", "cart"),
        ("severity", "warning"),
    ];
    let own = [
        ("alertname", "latency"),
        ("group", "shop"),
        ("instance", "grafana"),
        ("service", "relay"),
        ("severity", "error"),
    ];
    let of_group = [
        ("alertname", "latency"),
        ("group", "shop"),
        ("instance", "grafana"),
        ("service", "shop"),
        ("severity", "error"),
    ];
    let cases = [
        (
            json!({"firing": relayed}),
            Some("relay"),
            &of_alertmanager[..],
        ),
        (
            json!({"firing": "", "resolved": relayed}),
            Some("relay"),
            &of_alertmanager,
        ),
        (
            json!({"firing": relayed, "cluster": "eu"}),
            Some("relay"),
            &with_cluster,
        ),
        (json!({"firing": "no such list"}), Some("relay"), &own),
        (json!("just words"), None, &of_group),
    ];
    let mut receivers = Receivers::new();
    for (at, (details, component, expected)) in cases.into_iter().enumerate() {
        let event = json!({
            "routing_key": "x",
            "dedup_key": format!("relayed-{at}"),
            "event_action": "trigger",
            "payload": {
                "summary": "[FIRING:1] Slow",
                "source": "grafana",
                "severity": "error",
                "component": component,
                "group": "shop",
                "class": "latency",
                "custom_details": details,
            },
        });
        let answer = post(&receivers, "/v2/enqueue", event.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        match receivers.taken().as_slice() {
            [Signal::Alert(alert)] => assert_eq!(alert.labels, labels(expected), "{details}"),
            other => panic!("not one alert: {other:?}"),
        }
    }
}

#[tokio::test]
async fn pagerduty_changes_are_changes() {
    let mut receivers = Receivers::new();
    let body = r#"{"routing_key":"x","payload":{"summary":"Build Success: checkout v812","timestamp":"2026-11-20T15:20:00.000Z","source":"ci-1","custom_details":{"service":"checkout","version":"v812","build_state":"passed"}},"links":[{"href":"https://ci/1"}]}"#;
    for _ in 0..2 {
        let answer = post(&receivers, "/v2/change/enqueue", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        match receivers.taken().as_slice() {
            [Signal::Change(change)] => {
                let expected = Change {
                    id: change.id.clone(),
                    at: at("2026-11-20T15:20:00Z"),
                    kind: ChangeKind::Other,
                    entity: EntityId::parse("service/checkout"),
                    title: "Build Success: checkout v812".into(),
                    version: Some("v812".into()),
                    previous_version: None,
                    by: None,
                    labels: labels(&[("service", "checkout"), ("version", "v812")]),
                };
                assert_eq!(
                    (&**change, &*change.id),
                    (&expected, "pagerduty-2fac843baa1082e6")
                );
            }
            other => panic!("not one change: {other:?}"),
        }
    }
}

#[tokio::test]
async fn one_alert_that_cannot_be_used_costs_none_beside_it() {
    let mut receivers = Receivers::new();
    let body = r#"{"alerts":[
        {"status":"firing","labels":{"alertname":"High"}},
        {"status":"firing","labels":{"alertname":7}},
        {"status":"odd","labels":{"alertname":"Odd"}},
        7,
        {"status":"firing","labels":{"alertname":"Low"},"startsAt":"2026-11-20T15:22:11Z"}
    ]}"#;
    let answer = post(&receivers, "/webhook/alerts", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let said: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((&said["taken"], &said["refused"]), (&2.into(), &3.into()));
    let why = said["error"].as_str().expect("a text");
    for reason in [
        "alert 1: invalid type: integer `7`",
        "alert 2: status \"odd\" is neither firing nor resolved",
        "alert 3: invalid type",
    ] {
        assert!(why.contains(reason), "{why} lacks {reason}");
    }
    let taken = receivers.taken();
    let names = taken.iter().map(|signal| match signal {
        Signal::Alert(alert) => alert.name().to_owned(),
        other => panic!("no alert: {other:?}"),
    });
    assert_eq!(names.collect::<Vec<_>>(), ["High", "Low"]);
    let row = receivers.row("notifications");
    assert_eq!((row.taken, row.rejected), (2, 3));
}

#[tokio::test]
async fn what_is_no_notification_is_refused_with_its_reason() {
    let cases = [
        (
            "/webhook/alerts",
            "[]",
            "not a notification of Alertmanager or Grafana",
        ),
        (
            "/webhook/alerts",
            r#"{"alerts":[{"labels":{}}]}"#,
            "alert 0: at least one label",
        ),
        (
            "/webhook/alerts",
            r#"{"alerts":[{"status":"odd","labels":{"a":"1"}}]}"#,
            "alert 0: status \"odd\" is neither firing nor resolved",
        ),
        (
            "/v2/enqueue",
            "{}",
            "not an event: missing field `event_action`",
        ),
        (
            "/v2/enqueue",
            r#"{"event_action":"resolve"}"#,
            "\"resolve\" needs a dedup_key",
        ),
        (
            "/v2/enqueue",
            r#"{"event_action":"trigger","payload":{"summary":"a","source":"b"}}"#,
            "payload.severity \"\" is none of critical, error, warning, info",
        ),
        (
            "/v2/enqueue",
            r#"{"event_action":"trigger","payload":{"source":"b","severity":"info"}}"#,
            "payload.summary is needed",
        ),
        (
            "/v2/change/enqueue",
            r#"{"payload":{"summary":"a"}}"#,
            "payload.source, or custom_details.service",
        ),
    ];
    let receivers = Receivers::new();
    for (path, body, reason) in cases {
        let answer = post(&receivers, path, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let text = answer.text().replace("\\\"", "\"");
        assert!(text.contains(reason), "{text} lacks {reason}");
    }
    let row = receivers.row("pagerduty");
    assert_eq!(row.rejected, 5);
    let off = "[sources]\nnotifications.enabled = false\npagerduty.enabled = false\n";
    let off = Receivers::with(off);
    for path in ["/webhook/alerts", "/v2/enqueue", "/webhook/github"] {
        assert_eq!(
            post(&off, path, "{}").await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

const SECRET: &str = "It's a Secret to Everybody";

fn forges() -> (Receivers, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory for the secret");
    let file = dir.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).expect("it is writable");
    let sections = ["github", "gitlab", "gitea"];
    let sections =
        sections.map(|name| format!("[sources.{name}]\nsecret_file = \"{}\"\n", file.display()));
    (Receivers::with(&sections.concat()), dir)
}

fn signature(body: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = ring::hmac::sign(&key, body.as_bytes());
    tag.as_ref().iter().fold(String::new(), |hex, byte| {
        let digits = format!("{byte:02x}");
        hex + &digits
    })
}

/// Sends an event as a forge does, proven; gives the changes it became.
async fn tell(
    receivers: &mut Receivers,
    forge: &str,
    event: &str,
    delivery: &str,
    body: &str,
) -> Vec<Change> {
    let signed = signature(body);
    let (names, proof) = match forge {
        "github" => (
            ["x-github-event", "x-github-delivery", "x-hub-signature-256"],
            format!("sha256={signed}"),
        ),
        "gitlab" => (
            ["x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-token"],
            SECRET.to_owned(),
        ),
        _ => (
            ["x-gitea-event", "x-gitea-delivery", "x-gitea-signature"],
            signed,
        ),
    };
    let headers = [
        (names[0], event),
        (names[1], delivery),
        (names[2], proof.as_str()),
    ];
    let path = format!("/webhook/{forge}");
    let answer = receivers
        .send("POST", &path, &headers, body.to_owned())
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let changes = receivers.taken().into_iter().map(|signal| match signal {
        Signal::Change(change) => *change,
        other => panic!("not a change: {other:?}"),
    });
    changes.collect()
}

#[tokio::test]
async fn deployments_and_releases_of_forges_are_changes_once() {
    let github = r#"{"action":"created","deployment_status":{"state":"success","created_at":"2026-11-20T15:20:00Z","target_url":"https://ci/1"},"deployment":{"id":42,"sha":"4f1d2c9aa0b1c2d3e4f5","ref":"main","environment":"production","creator":{"login":"mia"}},"repository":{"name":"checkout","full_name":"shop/checkout"}}"#;
    let gitlab = r#"{"object_kind":"deployment","status":"success","status_changed_at":"2026-11-20 16:20:00 +0100","deployment_id":7,"environment":"staging","project":{"name":"cart"},"short_sha":"279484c0","user":{"username":"max"},"ref":"main","deployable_url":"https://gl/7"}"#;
    let gitea = r#"{"action":"published","release":{"id":3,"tag_name":"v1.2.0","html_url":"https://tea/3","author":{"login":"kim"},"published_at":"2026-11-20T15:20:00Z"},"repository":{"name":"search"}}"#;
    let expected =
        |id: &str, service: &str, title: &str, version: &str, by: &str, pairs: &[(&str, &str)]| {
            Change {
                id: id.into(),
                at: at("2026-11-20T15:20:00Z"),
                kind: ChangeKind::Deploy,
                entity: EntityId::parse(&format!("service/{service}")),
                title: title.into(),
                version: Some(version.into()),
                previous_version: None,
                by: Some(by.into()),
                labels: labels(pairs),
            }
        };
    let cases = [
        (
            ["github", "deployment_status", github],
            expected(
                "github-deployment-42",
                "checkout",
                "checkout 4f1d2c9aa0b1 to production",
                "4f1d2c9aa0b1",
                "mia",
                &[
                    ("environment", "production"),
                    ("ref", "main"),
                    ("url", "https://ci/1"),
                ],
            ),
        ),
        (
            ["gitlab", "Deployment Hook", gitlab],
            expected(
                "gitlab-deployment-7",
                "cart",
                "cart 279484c0 to staging",
                "279484c0",
                "max",
                &[
                    ("environment", "staging"),
                    ("ref", "main"),
                    ("url", "https://gl/7"),
                ],
            ),
        ),
        (
            ["gitea", "release", gitea],
            expected(
                "gitea-release-3",
                "search",
                "search v1.2.0",
                "v1.2.0",
                "kim",
                &[("url", "https://tea/3")],
            ),
        ),
    ];
    let (mut receivers, _dir) = forges();
    for ([forge, event, body], change) in cases {
        assert_eq!(
            tell(&mut receivers, forge, event, "d-1", body).await,
            [change],
            "{forge}"
        );
        assert_eq!(
            tell(&mut receivers, forge, event, "d-1", body).await,
            [],
            "{forge}: a replay"
        );
        assert_eq!(receivers.row(forge).rejected, 1, "{forge}: counted");
        // What is no change is taken and says nothing.
        assert_eq!(
            tell(&mut receivers, forge, "ping", "d-2", "{}").await,
            [],
            "{forge}"
        );
    }
    let pending = github.replace("\"success\"", "\"in_progress\"");
    let told = tell(
        &mut receivers,
        "github",
        "deployment_status",
        "d-3",
        &pending,
    )
    .await;
    assert_eq!(told, [], "the old version still serves");
}

#[tokio::test]
async fn nothing_unproven_is_read() {
    let (mut receivers, _dir) = forges();
    // The example of GitHub's own documentation.
    let proof = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers = [("x-hub-signature-256", proof), ("x-github-event", "ping")];
    let answer = receivers
        .send("POST", "/webhook/github", &headers, "Hello, World!")
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let short = &proof[..proof.len() - 2];
    let cases: [(&str, Vec<(&str, &str)>); 7] = [
        ("github", vec![]),
        ("github", vec![("x-hub-signature-256", "sha256=")]),
        ("github", vec![("x-hub-signature-256", short)]),
        ("github", vec![("x-hub-signature-256", "sha256=zz")]),
        ("gitlab", vec![("x-gitlab-token", "wrong")]),
        ("gitlab", vec![]),
        ("gitea", vec![("x-gitea-signature", "00")]),
    ];
    for (forge, headers) in cases {
        let path = format!("/webhook/{forge}");
        let answer = receivers
            .send("POST", &path, &headers, "Hello, World?")
            .await;
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{forge} {headers:?}"
        );
        assert_eq!(receivers.taken(), []);
    }
    assert_eq!(receivers.row("github").rejected, 4);
}

const MAPPED: &str = r#"
[[sources.webhook]]
name = "zabbix"
items = "/events"
id = "/eventid"
title = "/name"
status = "/state"
at = "/clock"
labels = { alertname = "/name", host = "/host/name", team = "ops", missing = "/not/there" }

[[sources.webhook]]
name = "events"
kind = "change"
id = "/id"
version = "/data/version"
at = "/time"
labels = { service = "/data/app", by = "/data/who" }
"#;

#[tokio::test]
async fn json_of_any_shape_becomes_alerts_by_its_mapping() {
    let mut receivers = Receivers::with(MAPPED);
    let path = "/webhook/in/zabbix";
    let body = r#"{"events":[
        {"eventid":17,"name":"Disk full","host":{"name":"db-1"},"state":"PROBLEM","clock":"1795188000"},
        {"eventid":17,"state":"OK","name":"Disk full"},
        {"eventid":18,"clock":"tomorrow","name":"x"}]}"#;
    let answer = post(&receivers, path, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let expected = json!({"taken": 2, "refused": 1, "error": "\"tomorrow\" (`at`) is no time"});
    assert_eq!(said, expected);
    let fingerprint = Fingerprint::of(&labels(&[("webhook", "zabbix"), ("id", "17")]));
    let annotations = labels(&[("summary", "Disk full")]);
    let named = [
        ("alertname", "Disk full"),
        ("host", "db-1"),
        ("team", "ops"),
    ];
    let begun = Alert {
        fingerprint,
        labels: labels(&named),
        annotations: annotations.clone(),
        starts_at: Time::from_ms(1_795_188_000_000),
        ends_at: NOW.plus_ms(HOLD_MS),
        generator_url: None,
    };
    let over = Alert {
        labels: labels(&[("alertname", "Disk full"), ("team", "ops")]),
        starts_at: NOW,
        ends_at: NOW,
        ..begun.clone()
    };
    let expected = [begun, over].map(|alert| Signal::Alert(Box::new(alert)));
    assert_eq!(receivers.taken(), expected);
    let row = receivers.row("webhook zabbix");
    assert_eq!((row.taken, row.rejected), (2, 1));
    for (path, body, status, why) in [
        (path, "{}", 400, "there is nothing at /events (`items`)"),
        (path, "x", 400, "not JSON"),
        (
            "/webhook/in/nobody",
            "{}",
            404,
            "no [[sources.webhook]] is named \\\"nobody\\\"",
        ),
    ] {
        let answer = post(&receivers, path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{why}");
        assert!(answer.text().contains(why), "{} lacks {why}", answer.text());
    }
}

#[tokio::test]
async fn cloud_events_are_the_same_in_every_mode() {
    let mut receivers = Receivers::with(MAPPED);
    let expected = Change {
        id: "events-a-1".into(),
        at: at("2026-11-20T15:20:00Z"),
        kind: ChangeKind::Deploy,
        entity: EntityId::parse("service/cart"),
        title: "cart v8".into(),
        version: Some("v8".into()),
        previous_version: None,
        by: Some("mia".into()),
        labels: labels(&[("by", "mia"), ("service", "cart")]),
    };
    let data = r#"{"app":"cart","version":"v8","who":"mia"}"#;
    let event = format!(
        r#"{{"specversion":"1.0","id":"a-1","type":"deploy","source":"ci","time":"2026-11-20T15:20:00Z","data":{data}}}"#
    );
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "a-1"),
        ("ce-type", "deploy"),
        ("ce-source", "ci"),
        ("ce-time", "2026-11-20T15:20:00Z"),
    ];
    let structured = [(
        "content-type",
        "application/cloudevents+json; charset=utf-8",
    )];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    // What a proxy says of it besides does not make a whole event the data of one.
    let marked = [structured[0], ("ce-specversion", "1.0")];
    let modes: [(&[(&str, &str)], String); 4] = [
        (&binary, data.to_owned()),
        (&structured, event.clone()),
        (&marked, event.clone()),
        (&batch, format!("[{event}]")),
    ];
    for (headers, body) in modes {
        let answer = receivers
            .send("POST", "/webhook/in/events", headers, body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(
            receivers.taken(),
            [Signal::Change(Box::new(expected.clone()))]
        );
    }
    let answer = receivers
        .send("POST", "/webhook/in/events", &batch, event)
        .await;
    assert!(answer.text().contains("a batch of CloudEvents is a list"));
}

#[tokio::test]
async fn what_no_header_of_a_cloud_event_can_hold_is_read() {
    let config = "[[sources.webhook]]\nname = \"events\"\nkind = \"change\"\ntitle = \"/subject\"\n\
                  labels = { service = \"/source\" }\n";
    let mut receivers = Receivers::with(config);
    for (source, subject, expected) in [
        (
            "b%C3%BCro%207",
            "100%20%25 of 50%",
            ("service/b\u{fc}ro 7", "100 % of 50%"),
        ),
        (
            r#""cart""#,
            r#""say \"hi\" %E2%82%AC""#,
            ("service/cart", "say \"hi\" \u{20ac}"),
        ),
        // Some write what they should encode; a quote that does not end is itself.
        ("b\u{fc}ro", "\"cart", ("service/b\u{fc}ro", "\"cart")),
        ("cart", "%FF%f", ("service/cart", "\u{fffd}%f")),
    ] {
        let headers = [
            ("content-type", "application/vnd.shop.deploy+json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "a-1"),
            ("ce-type", "deploy"),
            ("ce-source", source),
            ("ce-subject", subject),
        ];
        let answer = receivers
            .send("POST", "/webhook/in/events", &headers, "{}")
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        match receivers.taken().as_slice() {
            [Signal::Change(change)] => {
                let told = (change.entity.as_str(), &*change.title);
                assert_eq!(told, expected);
            }
            other => panic!("not one change: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_beat_is_heard_and_counts_as_well() {
    let config = "[[sources.heartbeat]]\nname = \"backup\"\nevery_s = 60\n";
    let mut receivers = Receivers::with(config);
    for method in ["POST", "GET"] {
        let answer = receivers.send(method, "/heartbeat/backup", &[], "").await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{method}");
        match receivers.taken().as_slice() {
            [Signal::Alert(alert)] => assert!(!alert.is_firing(NOW)),
            other => panic!("not one alert: {other:?}"),
        }
    }
    let answer = receivers.send("POST", "/heartbeat/nobody", &[], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.text().contains("no [[sources.heartbeat]] is named"));
}
