//! What real programs take of the same pre-encoded stream in the same run: `cargo bench --bench peers`.
//!
//! `remote_write` 1.0 over HTTP by two connections: Stormglass whole (detection and recorder on, until the
//! engine has judged the last sample), Prometheus and VictoriaMetrics (until they have answered the last
//! request). Then the memory of many series, soon and once every series knows all it will, spans and syslog lines,
//! of Stormglass alone. `cargo bench --bench peers -- memory` measures one of `write`, `memory`, `spans` and
//! `lines`. It prints what it measured and asserts nothing: `docs/performance.md` says what was printed where.

mod shared;

use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use shared::write_request::{Point, TimeSeries, WriteRequest};
use shared::{Running, Stormglass, free_port, http_client, labels, now_ms, start};

/// Series of the comparison, and of the look at memory.
const SERIES: usize = 50_000;
const SERIES_MANY: usize = 200_000;
/// Samples of one request, as Prometheus sends them.
const SAMPLES_PER_REQUEST: usize = 2_000;
/// Points of each series, and the time between two, in milliseconds: five minutes in all.
const ROUNDS: usize = 60;
/// The same of the look at memory, which is taken after the first of them and after all: by then charts are
/// full, and baselines and shapes have begun.
const ROUNDS_MANY_FIRST: usize = 12;
const ROUNDS_MANY: usize = 420;
/// Of those, made at once: all of them would take more memory than there is.
const ROUNDS_AT_ONCE: usize = 4;
const STEP_MS: i64 = 5_000;
/// Connections that send at once.
const CONNECTIONS: usize = 2;
const SPANS: usize = 600_000;
const SPANS_PER_REQUEST: usize = 2_000;
const LINES: usize = 2_000_000;

/// Stormglass, and where it takes syslog.
struct Ours {
    stormglass: Stormglass,
    syslog: u16,
}

fn main() {
    shared::run(measure());
}

async fn measure() {
    let parts = ["write", "memory", "spans", "lines"];
    let asked: Vec<String> = std::env::args().collect();
    let asked = |part: &str| {
        let is_named = |part: &str| asked.iter().any(|argument| argument == part);
        is_named(part) || !parts.iter().any(|part| is_named(part))
    };
    if asked("write") {
        write().await;
    }
    if asked("memory") {
        memory().await;
    }
    if asked("spans") {
        let ours = ours().await;
        let url = ours.stormglass.url("/v1/traces");
        let took = push(&url, &spans(), "").await;
        let took = took + ours.judged(SPANS).await;
        report(
            "Stormglass, spans over OTLP",
            SPANS,
            took,
            &ours.stormglass.running,
            0,
        );
    }
    if asked("lines") {
        lines().await;
    }
}

async fn write() {
    let stream = stream(SERIES, first_ms(ROUNDS), 0..ROUNDS);
    let samples = SERIES * ROUNDS;
    println!("remote_write 1.0, {SERIES} series, {samples} samples, {CONNECTIONS} connections");
    for (name, peer, url) in [prometheus(), victoria_metrics()].into_iter().flatten() {
        ready(&url).await;
        let took = push(&url, &stream, "snappy").await;
        report(name, samples, took, &peer, SERIES);
    }
    let ours = ours().await;
    let url = ours.stormglass.url("/api/v1/write");
    let took = push(&url, &stream, "snappy").await;
    println!(
        "Stormglass answered the last request after {:.2} s",
        took.as_secs_f64()
    );
    let took = took + ours.judged(samples).await;
    report(
        "Stormglass, end to end",
        samples,
        took,
        &ours.stormglass.running,
        SERIES,
    );
}

async fn memory() {
    let ours = ours().await;
    let url = ours.stormglass.url("/api/v1/write");
    println!(
        "{} KiB resident before",
        ours.stormglass.running.resident_kib()
    );
    let first_ms = first_ms(ROUNDS_MANY);
    let mut took = Duration::ZERO;
    for from in (0..ROUNDS_MANY).step_by(ROUNDS_AT_ONCE) {
        let until = from + ROUNDS_AT_ONCE;
        let part = stream(SERIES_MANY, first_ms, from..until);
        took += push(&url, &part, "snappy").await;
        took += ours.judged(SERIES_MANY * until).await;
        if [ROUNDS_MANY_FIRST, ROUNDS_MANY].contains(&until) {
            let name = format!("Stormglass, {SERIES_MANY} series of {until} points");
            report(
                &name,
                SERIES_MANY * until,
                took,
                &ours.stormglass.running,
                SERIES_MANY,
            );
        }
    }
}

async fn lines() {
    let ours = ours().await;
    let began = Instant::now();
    let port = ours.syslog;
    tokio::task::spawn_blocking(move || log(port))
        .await
        .expect("no panic");
    let took = began.elapsed() + ours.judged(LINES).await;
    let name = "Stormglass, syslog lines over TCP";
    report(name, LINES, took, &ours.stormglass.running, 0);
}

fn report(name: &str, count: usize, took: Duration, peer: &Running, series: usize) {
    let rate = count as f64 / took.as_secs_f64();
    let kib = peer.resident_kib();
    let each = match series {
        0 => String::new(),
        series => format!(", {:.2} KiB a series", kib as f64 / series as f64),
    };
    println!(
        "{name}: {rate:.0}/s ({:.2} s); {} MiB resident{each}",
        took.as_secs_f64(),
        kib / 1_024
    );
}

/// Time of the first of so many points, the last of which is of now.
fn first_ms(rounds: usize) -> i64 {
    now_ms() - rounds as i64 * STEP_MS
}

/// Requests by connection, so that the points of a series stay in order.
fn stream(series: usize, first_ms: i64, rounds: Range<usize>) -> Vec<Vec<Vec<u8>>> {
    let mut by_connection = vec![Vec::new(); CONNECTIONS];
    for round in rounds {
        let at_ms = first_ms + round as i64 * STEP_MS;
        for (n, from) in (0..series).step_by(SAMPLES_PER_REQUEST).enumerate() {
            let one = |n| TimeSeries {
                labels: labels(n),
                samples: vec![Point {
                    value: (round * 100 + (n * 7_919 + round * 31) % 97) as f64,
                    at_ms,
                }],
                ..TimeSeries::default()
            };
            let until = (from + SAMPLES_PER_REQUEST).min(series);
            let request = WriteRequest {
                timeseries: (from..until).map(one).collect(),
                ..WriteRequest::default()
            };
            let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
            by_connection[n % CONNECTIONS].push(body.expect("short"));
        }
    }
    by_connection
}

fn spans() -> Vec<Vec<Vec<u8>>> {
    let now_ns = now_ms() as u64 * 1_000_000;
    let text = |key: &str, value: String| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    let mut by_connection = vec![Vec::new(); CONNECTIONS];
    for (request, from) in (0..SPANS).step_by(SPANS_PER_REQUEST).enumerate() {
        // Traces of four spans: a gateway and three services behind it.
        let span = |n: usize| {
            let trace = n as u128 / 4 + 1;
            let parent = if n.is_multiple_of(4) {
                Vec::new()
            } else {
                (n as u64 / 4 * 4 + 1).to_be_bytes().to_vec()
            };
            Span {
                trace_id: trace.to_be_bytes().to_vec(),
                span_id: (n as u64 + 1).to_be_bytes().to_vec(),
                parent_span_id: parent,
                name: format!("GET /{}", n % 4),
                kind: 2,
                start_time_unix_nano: now_ns,
                end_time_unix_nano: now_ns + 1_000_000 + (n as u64 * 7_919) % 1_000_000,
                ..Span::default()
            }
        };
        let of_service = |service: usize| ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", format!("service-{service}"))],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: (from..from + SPANS_PER_REQUEST)
                    .filter(|n| n % 4 == service)
                    .map(span)
                    .collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        };
        let body = ExportTraceServiceRequest {
            resource_spans: (0..4).map(of_service).collect(),
        };
        by_connection[request % CONNECTIONS].push(body.encode_to_vec());
    }
    by_connection
}

/// Sends syslog lines by one stream, octet-counted.
fn log(port: u16) {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut to = std::io::BufWriter::with_capacity(1 << 20, stream);
    for n in 0..LINES {
        let (service, user) = (n % 20, n.wrapping_mul(7_919) % 100_000);
        let line = format!(
            "<14>1 - node-1 service-{service} 77 - - GET /orders/{user} answered 200 in {} ms",
            n % 250
        );
        write!(to, "{} {line}", line.len()).expect("it reads");
    }
    to.flush().expect("it reads");
}

/// Sends all requests by as many connections; a receiver that is behind is asked again.
async fn push(url: &str, stream: &[Vec<Vec<u8>>], encoding: &str) -> Duration {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for bodies in stream.iter().cloned() {
        let (url, encoding) = (url.to_owned(), encoding.to_owned());
        let client = http_client();
        tasks.spawn(async move {
            for body in bodies {
                let body = bytes::Bytes::from(body);
                loop {
                    let mut request = client
                        .post(&url)
                        .header("content-type", "application/x-protobuf");
                    if !encoding.is_empty() {
                        request = request
                            .header("content-encoding", &encoding)
                            .header("x-prometheus-remote-write-version", "0.1.0");
                    }
                    let answer = request.body(body.clone()).send().await.expect("it answers");
                    if answer.status().is_success() {
                        break;
                    }
                    assert_eq!(answer.status().as_u16(), 503, "{:?}", answer.text().await);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    began.elapsed()
}

fn prometheus() -> Option<(&'static str, Running, String)> {
    let port = free_port();
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("p.yml"), "global: {}\n").expect("writable");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let arguments = [
        format!("--config.file={}", path("p.yml")),
        format!("--storage.tsdb.path={}", path("tsdb")),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    let peer = start("prometheus", &arguments, dir)?;
    Some((
        "Prometheus, storing",
        peer,
        format!("http://127.0.0.1:{port}/api/v1/write"),
    ))
}

fn victoria_metrics() -> Option<(&'static str, Running, String)> {
    let port = free_port();
    let dir = tempfile::tempdir().expect("a folder");
    let arguments = [
        format!("-storageDataPath={}", dir.path().display()),
        format!("-httpListenAddr=127.0.0.1:{port}"),
    ];
    let peer = start("victoria-metrics", &arguments, dir)?;
    Some((
        "VictoriaMetrics, storing",
        peer,
        format!("http://127.0.0.1:{port}/api/v1/write"),
    ))
}

async fn ours() -> Ours {
    let syslog = free_port();
    let more =
        format!("[sources.syslog]\ntcp = \"127.0.0.1:{syslog}\"\n[engine]\nseries_max = 300000\n");
    let stormglass = shared::stormglass(&more).await;
    Ours { stormglass, syslog }
}

impl Ours {
    /// Waits until the engine has taken so many signals; gives how long that took.
    async fn judged(&self, signals: usize) -> Duration {
        let began = Instant::now();
        while self.stormglass.judged().await < signals as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }
}

async fn ready(url: &str) {
    let client = http_client();
    while client.get(url).send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Prometheus answers before it has read its log.
    tokio::time::sleep(Duration::from_secs(2)).await;
}
