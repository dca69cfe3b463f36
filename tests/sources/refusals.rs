//! Input that nobody should send, to every receiver over HTTP: each kind is refused by a name of its own, or
//! taken and refused by name in the engine, and never in silence.

use std::io::Write;

use serde_json::{Value, json};
use stormglass::config::EngineConfig;
use stormglass::engine::{Corrected, Engine, Refused};
use stormglass::model::{Batch, Input, SourceId, Stamped, Time};

use crate::harness::{NOW, Receivers};

/// What a body may be long in these tests.
const BODY_BYTES_MAX: usize = 65_536;
const CONFIG: &str = "sources.body_bytes_max = 65536\n[[sources.webhook]]\nname = \"any\"\nitems = \"/events\"\n\
    id = \"/id\"\ntitle = \"/name\"\nstatus = \"/state\"\nat = \"/at\"\nlabels = { alertname = \"/name\" }\n";

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const WRITE_V2: (&str, &str) = (
    "content-type",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
);
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// Receivers of JSON.
const JSON_PATHS: [&str; 9] = [
    "/api/v2/alerts",
    "/api/v1/changes",
    "/loki/api/v1/push",
    "/webhook/alerts",
    "/v2/enqueue",
    "/webhook/in/any",
    "/v1/logs",
    "/v1/traces",
    "/v1/metrics",
];

/// Receivers of protobuf, with their headers, and how they compress.
const PROTOBUF_PATHS: [(&str, (&str, &str), Packing); 6] = [
    ("/api/v1/write", PROTOBUF, Packing::Snappy),
    ("/api/v1/write", WRITE_V2, Packing::Snappy),
    ("/loki/api/v1/push", PROTOBUF, Packing::Snappy),
    ("/v1/logs", PROTOBUF, Packing::Gzip),
    ("/v1/traces", PROTOBUF, Packing::Gzip),
    ("/v1/metrics", PROTOBUF, Packing::Gzip),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Snappy,
    Gzip,
}

/// A request, and what must be said of it.
struct Case {
    what: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    says: &'static str,
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(plain)
        .expect("short")
}

fn of_json(path: &'static str) -> Vec<Case> {
    let case = |what, body, status, says| Case {
        what,
        path,
        headers: vec![JSON],
        body,
        status,
        says,
    };
    let mut bomb = case(
        "a bomb",
        gzip(&vec![b' '; 40 << 20]),
        413,
        "longer than 65536 bytes after gzip",
    );
    bomb.headers.push(GZIP);
    let deep = |open: &str, close: &str| {
        let depth = 2_000;
        format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    // OTLP wants fields that nobody knows left out, however deep; the values it knows may not be deep.
    let deep_maps = match path {
        "/v1/logs" => {
            let body = deep("{\"arrayValue\":{\"values\":[", "]}}");
            let body = String::from_utf8(body).expect("text");
            format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{\"body\":{body}}}]}}]}}]}}").into_bytes()
        }
        "/v1/traces" | "/v1/metrics" => deep("[{\"a\":", "}]"),
        _ => deep("{\"a\":", "}"),
    };
    let not_text = b"{\"\xff\xfe\": [\"\xc3\x28\"]}".to_vec();
    vec![
        bomb,
        case(
            "too long",
            vec![b' '; BODY_BYTES_MAX + 1],
            413,
            "longer than 65536 bytes as sent",
        ),
        case("deep lists", deep("[", "]"), 400, ""),
        case("deep maps", deep_maps, 400, ""),
        case("not UTF-8", not_text, 400, ""),
        case("nothing", Vec::new(), 400, ""),
    ]
}

fn of_protobuf(
    path: &'static str,
    kind: (&'static str, &'static str),
    packing: Packing,
) -> Vec<Case> {
    let packed = |plain: &[u8]| match packing {
        Packing::Snappy => snappy(plain),
        Packing::Gzip => gzip(plain),
    };
    let encoding = match packing {
        Packing::Snappy => SNAPPY,
        Packing::Gzip => GZIP,
    };
    let case = |what, body, status, says| Case {
        what,
        path,
        headers: vec![kind, encoding],
        body,
        status,
        says,
    };
    let after = match packing {
        Packing::Snappy => "longer than 65536 bytes after snappy",
        Packing::Gzip => "longer than 65536 bytes after gzip",
    };
    vec![
        case(
            "too long",
            vec![0; BODY_BYTES_MAX + 1],
            413,
            "longer than 65536 bytes as sent",
        ),
        case("a bomb", packed(&vec![0; 1 << 20]), 413, after),
        case(
            "not compressed",
            b"\xff\xff\xff\xff\xff\xff".to_vec(),
            400,
            "",
        ),
        case("not protobuf", packed(b"\xff\xff\xff\xff"), 400, ""),
        case(
            "promises more than it has",
            packed(b"\x0a\xff\xff\xff\xff\x07"),
            400,
            "",
        ),
    ]
}

#[tokio::test]
async fn what_nobody_should_send_is_refused_by_name_everywhere() {
    let json = JSON_PATHS.into_iter().flat_map(of_json);
    let binary = PROTOBUF_PATHS.into_iter();
    let binary = binary.flat_map(|(path, kind, packing)| of_protobuf(path, kind, packing));
    let mut receivers = Receivers::with(CONFIG);
    let mut wrong = Vec::new();
    for case in json.chain(binary) {
        let answer = receivers
            .send("POST", case.path, &case.headers, case.body)
            .await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        let taken = receivers.taken().len();
        let is_named = said.contains(case.says) && said.trim().len() > 10;
        if answer.status.as_u16() != case.status || !is_named || taken > 0 {
            let (what, path, status) = (case.what, case.path, answer.status);
            wrong.push(format!("{path}: {what}: {status}, {taken} taken: {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A body of each receiver of JSON that tells of something at a time, in milliseconds, and what the engine says
/// of a time that is none of ours: far ahead, long ago.
fn of_time(path: &str, at_ms: i64) -> Option<Value> {
    let at = Time::from_ms(at_ms).to_rfc3339();
    let ns = (i128::from(at_ms) * 1_000_000).to_string();
    let resource =
        json!({"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]});
    Some(match path {
        "/api/v2/alerts" => {
            json!([{"labels": {"alertname": "Down", "service": "cart"}, "startsAt": at}])
        }
        "/api/v1/changes" => json!({"service": "cart", "version": "1", "at": at}),
        "/loki/api/v1/push" => {
            json!({"streams": [{"stream": {"app": "cart"}, "values": [[ns, "it failed"]]}]})
        }
        "/webhook/alerts" => {
            json!({"version": "4", "status": "firing", "alerts": [{"status": "firing",
            "labels": {"alertname": "Down", "service": "cart"}, "annotations": {}, "startsAt": at,
            "endsAt": "0001-01-01T00:00:00Z"}]})
        }
        "/webhook/in/any" => {
            json!({"events": [{"id": 7, "name": "Down", "state": "firing", "at": at}]})
        }
        "/v1/logs" => json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [
            {"timeUnixNano": ns, "body": {"stringValue": "it failed"}}]}]}]}),
        "/v1/traces" => json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [
            {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x", "kind": 2,
             "startTimeUnixNano": ns, "endTimeUnixNano": ns}]}]}]}),
        "/v1/metrics" => {
            json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [
            {"name": "x", "gauge": {"dataPoints": [{"timeUnixNano": ns, "asDouble": 1.0}]}}]}]}]})
        }
        _ => return None,
    })
}

/// What came of a request: refused by the receiver, or by the engine, or its time corrected.
async fn told(path: &str, at_ms: i64) -> String {
    let mut receivers = Receivers::with(CONFIG);
    let Some(body) = of_time(path, at_ms) else {
        return "carries no time".to_owned();
    };
    let answer = receivers
        .send("POST", path, &[JSON], body.to_string())
        .await;
    if !answer.status.is_success() {
        return format!("answered {}", answer.status.as_u16());
    }
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let signals = receivers.taken();
    assert_eq!(signals.len(), 1, "{path}");
    let source = SourceId::new("test");
    let input = Input::Signals(Batch { source, signals });
    engine.step(
        &Stamped {
            seq: 1,
            at: NOW,
            input,
        },
        &mut Vec::new(),
    );
    let refused = engine.refusals().find(|(_, count)| *count > 0);
    let corrected = engine.corrections().find(|(_, count)| *count > 0);
    match (refused, corrected) {
        (Some((Refused::Skew, 1)), None) => "refused as of another time".to_owned(),
        (None, Some((Corrected::AlertAhead, 1))) => "counts from when it came".to_owned(),
        (None, Some((Corrected::AlertAncient, 1))) => "counts from the oldest believed".to_owned(),
        (None, None) => "taken".to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn times_far_ahead_and_long_ago_are_named_everywhere() {
    const YEAR_MS: i64 = 365 * 24 * 3_600_000;
    let skew = "refused as of another time";
    let (ahead, ancient) = (
        "counts from when it came",
        "counts from the oldest believed",
    );
    let expected = [
        ("/api/v2/alerts", "answered 400", ancient),
        ("/api/v1/changes", "answered 400", "answered 400"),
        ("/loki/api/v1/push", "answered 400", "answered 400"),
        ("/webhook/alerts", ahead, ancient),
        ("/v2/enqueue", "carries no time", "carries no time"),
        ("/webhook/in/any", ahead, ancient),
        ("/v1/logs", skew, skew),
        ("/v1/traces", skew, skew),
        ("/v1/metrics", skew, skew),
    ];
    assert_eq!(expected.map(|row| row.0), JSON_PATHS);
    let mut seen = Vec::new();
    for (path, ..) in expected {
        assert_eq!(
            told(path, NOW.ms())
                .await
                .replace("carries no time", "taken"),
            "taken",
            "{path}"
        );
        let ahead = told(path, NOW.ms() + 50 * YEAR_MS).await;
        let ancient = told(path, NOW.ms() - 50 * YEAR_MS).await;
        seen.push((path, ahead, ancient));
    }
    let expected =
        expected.map(|(path, ahead, ancient)| (path, ahead.to_owned(), ancient.to_owned()));
    assert_eq!(seen, expected);
}
