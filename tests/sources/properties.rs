//! Hostile bodies to every receiver: any bytes, real requests cut short or bent. Each gets an answer
//! that says whose fault it is, and nothing panics or takes memory without bound.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use crate::harness::{Receivers, fixture};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const WRITE_V2: (&str, &str) = (
    "content-type",
    "application/x-protobuf;proto=io.prometheus.write.v2.Request",
);
const JSON: (&str, &str) = ("content-type", "application/json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

/// What GitLab proves itself with, so that what it sends is read.
const SECRET: &str = "0123456789abcdef";

/// Receivers that are off by default: a mapping, and a forge that sends its secret along.
static CONFIG: LazyLock<(NamedTempFile, String)> = LazyLock::new(|| {
    let file = NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), SECRET).expect("a file");
    let config = format!(
        "[[sources.webhook]]\nname = \"any\"\nitems = \"/data/events\"\nid = \"/id\"\ntitle = \"/name\"\n\
         status = \"/state\"\nat = \"/at\"\nlabels = {{ alertname = \"/name\", host = \"/host/0\" }}\n\
         [sources.gitlab]\nsecret_file = \"{}\"\n",
        file.path().display()
    );
    (file, config)
});

/// How many cases a property tries: few in the suite, as many as `PROPTEST_CASES` says in a long run.
fn cases_max() -> ProptestConfig {
    let told = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig::with_cases(told.and_then(|text| text.parse().ok()).unwrap_or(64))
}

/// A path, its headers and a real body for it.
type Case = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>);

fn cases() -> Vec<Case> {
    let change = br#"{"service":"cart","version":"1","at":"2026-11-20T15:00:00Z"}"#;
    let json = br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"5","body":
        {"kvlistValue":{"values":[{"key":"a","value":{"intValue":"1"}}]}}}]}]}]}"#;
    let spans = br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
        "scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "name":"x","kind":2,"startTimeUnixNano":"1795188150000000000","endTimeUnixNano":"1795188150500000000"}]}]}]}"#;
    let metrics = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","unit":"s","histogram":
        {"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"1795188150000000000","count":"3","sum":4.5,
        "bucketCounts":["1","2"],"explicitBounds":[1.0]}]}}]}]}]}"#;
    let event = br#"{"specversion":"1.0","type":"x","source":"y","id":"1","data":{"events":
        [{"id":7,"name":"Disk","state":"firing","at":"2026-11-20T15:00:00Z","host":["n1"]}]}}"#;
    let deployment = br#"{"object_kind":"deployment","status":"success","status_changed_at":"2026-11-20 15:00:00 +0100",
        "deployment_id":15,"environment":"prod","project":{"name":"shop"},"short_sha":"279484c0"}"#;
    vec![
        (
            "/api/v2/alerts",
            vec![JSON],
            fixture("alertmanager/firing.json"),
        ),
        (
            "/api/v1/write",
            vec![PROTOBUF, SNAPPY],
            fixture("remote_write/prometheus.snappy"),
        ),
        // Read as 2.0, the request of 1.0 is as good as any bytes.
        (
            "/api/v1/write",
            vec![WRITE_V2, SNAPPY],
            fixture("remote_write/prometheus.snappy"),
        ),
        ("/api/v1/changes", vec![JSON], change.to_vec()),
        (
            "/loki/api/v1/push",
            vec![JSON],
            crate::loki::PUSH.as_bytes().to_vec(),
        ),
        (
            "/loki/api/v1/push",
            vec![PROTOBUF],
            crate::loki::protobuf("{app=\"cart\"}", &[("a line", &[("a", "b")])]),
        ),
        (
            "/webhook/alerts",
            vec![JSON],
            crate::webhooks::NOTIFICATION.as_bytes().to_vec(),
        ),
        (
            "/v2/enqueue",
            vec![JSON],
            crate::webhooks::PAGERDUTY_EVENT.as_bytes().to_vec(),
        ),
        (
            "/v2/change/enqueue",
            vec![JSON],
            br#"{"routing_key":"k","payload":{"summary":"Build 17","timestamp":"2026-11-20T15:00:00.000+0000",
                "source":"ci","custom_details":{"service":"cart"}},"links":[{"href":"https://ci","text":"x"}]}"#
                .to_vec(),
        ),
        (
            "/webhook/in/any",
            vec![
                JSON,
                ("ce-id", "1"),
                ("ce-type", "disk%20%ff%"),
                ("ce-specversion", "1.0"),
            ],
            br#"{"events":[{"id":7,"name":"Disk","state":"firing","host":["n1"]}]}"#.to_vec(),
        ),
        ("/v1/traces", vec![PROTOBUF], fixture("otlp/traces.pb")),
        (
            "/v1/traces",
            vec![PROTOBUF, GZIP],
            fixture("otlp/traces.pb.gz"),
        ),
        ("/v1/metrics", vec![PROTOBUF], fixture("otlp/metrics.pb")),
        ("/v1/logs", vec![PROTOBUF], fixture("otlp/logs.pb")),
        ("/v1/logs", vec![JSON], json.to_vec()),
        ("/v1/traces", vec![JSON], spans.to_vec()),
        ("/v1/metrics", vec![JSON], metrics.to_vec()),
        ("/webhook/in/any", vec![JSON], event.to_vec()),
        (
            "/webhook/in/any",
            vec![("content-type", "application/cloudevents-batch+json")],
            [&b"["[..], event, b"]"].concat(),
        ),
        (
            "/webhook/gitlab",
            vec![
                JSON,
                ("x-gitlab-event", "Deployment Hook"),
                ("x-gitlab-token", SECRET),
            ],
            deployment.to_vec(),
        ),
    ]
}

/// Receivers that take all requests of one try: they are dear to make, and must bear what came before.
struct Bench {
    runtime: tokio::runtime::Runtime,
    receivers: Receivers,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            runtime: runtime.expect("a runtime"),
            receivers: Receivers::with(&CONFIG.1),
        }
    }

    /// Sends all bodies of one case; every answer must be taken (2xx) or refused as the sender's (4xx).
    fn send(&mut self, case: &Case, bodies: Vec<Vec<u8>>) -> Result<(), TestCaseError> {
        let (path, headers, _) = case;
        let receivers = &mut self.receivers;
        let statuses: BTreeSet<u16> = self.runtime.block_on(async {
            let mut statuses = BTreeSet::new();
            for body in bodies {
                let answer = receivers.send("POST", path, headers, body).await;
                statuses.insert(answer.status.as_u16());
                receivers.taken();
            }
            statuses
        });
        let fine = statuses
            .iter()
            .all(|status| matches!(status, 200 | 202 | 204 | 400 | 413));
        prop_assert!(fine, "{path}: {statuses:?}");
        Ok(())
    }
}

/// The remote write body without its compression, so that what is bent is protobuf.
fn bend(case: &Case, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (path, _, body) = case;
    let mut body = body.clone();
    if *path == "/api/v1/write" {
        let mut plain = snap::raw::Decoder::new()
            .decompress_vec(&body)
            .expect("a fixture");
        change(&mut plain);
        return snap::raw::Encoder::new()
            .compress_vec(&plain)
            .expect("short");
    }
    change(&mut body);
    body
}

proptest! {
    #![proptest_config(cases_max())]

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut bench = Bench::new();
        for case in cases() {
            let bent = bend(&case, |body| body.clone_from(&bytes));
            bench.send(&case, vec![bytes.clone(), bent])?;
        }
    }

    #[test]
    fn real_requests_cut_short_or_bent_get_an_answer(
        cut: prop::sample::Index,
        at: prop::sample::Index,
        length in 1..9_usize,
        with: [u8; 8],
    ) {
        let mut bench = Bench::new();
        for case in cases() {
            let short = bend(&case, |body| body.truncate(cut.index(body.len())));
            let raw_short = case.2[..cut.index(case.2.len())].to_vec();
            let bent = bend(&case, |body| {
                let at = at.index(body.len());
                let end = (at + length).min(body.len());
                body[at..end].copy_from_slice(&with[..end - at]);
            });
            let doubled = bend(&case, |body| body.extend_from_within(..));
            bench.send(&case, vec![short, raw_short, bent, doubled])?;
        }
    }

    /// Text that is almost JSON is what scripts get wrong.
    #[test]
    fn any_json_gets_an_answer(text in r#"[\[\]{}",:0-9a-z\\ ]{0,200}"#) {
        let mut bench = Bench::new();
        for case in cases().into_iter().filter(|(_, headers, _)| headers.contains(&JSON)) {
            bench.send(&case, vec![text.clone().into_bytes()])?;
        }
    }
}
