//! A real Prometheus scrapes, writes to our remote write receiver, and fires and resolves an alert
//! through our Alertmanager receiver; so do VictoriaMetrics' vmagent and vmalert. Native histograms are
//! written by it too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use prost::Message;
use stormglass::daemon::Clock;
use stormglass::model::{EntityId, Phase, SourceHealth, WhyAnswer};

use crate::harness::{Receiver, free_port, missing, write};
use crate::peer::{self, Peer};

/// The token of the operator that a Prometheus is who scrapes us.
const TOKEN: &str = "a-token-of-some-length";
/// How long a tick may take to come.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the table of our metrics begins with.
const TABLE: &str = "| metric | type | labels | what it says |\n|---|---|---|---|\n";

/// Serves one metric, `shop_broken`, as it is set; gives its port.
async fn target(broken: Arc<AtomicU32>) -> u16 {
    let metrics = move || {
        let value = broken.load(Ordering::Relaxed);
        async move { format!("# TYPE shop_broken gauge\nshop_broken {value}\n") }
    };
    let router = Router::new().route("/metrics", get(metrics));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn prometheus(receiver: &Receiver, target_port: u16) -> Option<Peer> {
    prometheus_with(&[], receiver, target_port)
}

/// One that sends an alert again each second, and says that it ends four times as long after: 4 s in place of 4 min.
fn hasty_prometheus(receiver: &Receiver, target_port: u16) -> Option<Peer> {
    prometheus_with(&["--rules.alert.resend-delay=1s"], receiver, target_port)
}

fn prometheus_with(more: &[&str], receiver: &Receiver, target_port: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    let address = receiver.address();
    write(
        dir,
        "rules.yml",
        "groups: [{ name: shop, rules: [{ alert: ShopBroken, expr: shop_broken == 1, \
         labels: { severity: critical, service: checkout }, annotations: { summary: the shop is broken } }] }]\n",
    );
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yml]\n\
         alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{address}'] }}] }}] }}\n\
         remote_write: [{{ url: 'http://{address}/api/v1/write', queue_config: {{ batch_send_deadline: 1s }} }}]\n\
         scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ['127.0.0.1:{target_port}'] }}] }}]\n"
    );
    peer::prometheus_with(more, dir, free_port(), &config)
}

/// How the daemon itself does, as the page says; and a real `promtool` finds nothing wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_promtool_takes_our_own_metrics_and_the_page_lists_them_all() {
    let kept = tempfile::tempdir().expect("a directory for the test");
    write(kept.path(), "token", TOKEN);
    let token = kept.path().join("token").display().to_string();
    let config = format!(
        "[[operators]]\nname = \"prometheus\"\nrole = \"viewer\"\ntoken_file = \"{token}\"\n\
         [[notify]]\nname = \"pager\"\nurl = \"http://127.0.0.1:9/\"\n"
    );
    let receiver = Receiver::keeping(&config, &kept.path().join("data")).await;
    let url = format!("http://{}/metrics", receiver.address());
    let stranger = reqwest::get(&url).await.expect("it answers");
    assert_eq!(stranger.status(), 401);
    let line = format!("[[\"{}\",\"hello\"]]", Clock::real().now().ms() * 1_000_000);
    let lines =
        format!("{{\"streams\":[{{\"stream\":{{\"service\":\"cart\"}},\"values\":{line}}}]}}");
    let client = reqwest::Client::new();
    let push = client.post(format!("http://{}/loki/api/v1/push", receiver.address()));
    let push = push
        .header(header::CONTENT_TYPE, "application/json")
        .body(lines);
    assert_eq!(push.send().await.expect("it answers").status(), 204);
    let mut text = String::new();
    let asked = Instant::now();
    // Sources are told of at the next tick.
    while !text.contains("_lag_seconds{") {
        assert!(asked.elapsed() < PATIENCE, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        let answer = client.get(&url).bearer_auth(TOKEN).send().await;
        let answer = answer.expect("it answers");
        let kind = answer.headers()[header::CONTENT_TYPE].as_bytes();
        assert_eq!(kind, b"text/plain; version=0.0.4; charset=utf-8");
        text = answer.text().await.expect("text");
    }
    receiver.stop().await;

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let (before, _) = page.split_once(TABLE).expect("it has a table");
    let fresh = format!("{before}{TABLE}{}", table(&text));
    if std::env::var_os("STORMGLASS_BLESS").is_some() {
        std::fs::write(&path, &fresh).expect("docs is writable");
    }
    let page = std::fs::read_to_string(&path).expect("the page is there");
    assert!(
        page == fresh,
        "docs/metrics.md is stale: STORMGLASS_BLESS=1 cargo test --test peers promtool"
    );

    if !peer::is_there("promtool") {
        return missing("promtool", "apt-get install prometheus");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it is there");
    let mut stdin = promtool.stdin.take().expect("it reads");
    stdin.write_all(text.as_bytes()).expect("it reads all");
    drop(stdin);
    let said = promtool.wait_with_output().expect("it ends");
    let complaints = [said.stdout, said.stderr].map(|of| String::from_utf8_lossy(&of).into_owned());
    let nothing = [String::new(), String::new()];
    assert!(
        said.status.success() && complaints == nothing,
        "{complaints:?}"
    );
}

/// What is told, as rows of a table: the head of each metric, and the labels of its samples.
fn table(text: &str) -> String {
    let mut rows = Vec::new();
    let mut help = "";
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some((_, words)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help = words;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        let sample = lines.peek().copied().unwrap_or_default();
        let labels = sample.split_once('{').and_then(|(_, l)| l.rsplit_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels).split(',');
        let labels = labels.filter_map(|label| label.split_once('='));
        let labels: Vec<String> = labels.map(|(name, _)| format!("`{name}`")).collect();
        let labels = labels.join(", ");
        rows.push(format!("| `{name}` | {kind} | {labels} | {help} |\n"));
    }
    rows.concat()
}

/// A vmagent that scrapes the same target and writes to us.
fn vmagent(receiver: &Receiver, target_port: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ['127.0.0.1:{target_port}'] }}] }}]\n"
    );
    write(dir, "vmagent.yml", &config);
    let path = |name: &str| dir.join(name).display().to_string();
    let args = [
        format!("-promscrape.config={}", path("vmagent.yml")),
        format!(
            "-remoteWrite.url=http://{}/api/v1/write",
            receiver.address()
        ),
        format!("-remoteWrite.tmpDataPath={}", path("vmagent")),
        format!("-httpListenAddr=127.0.0.1:{}", free_port()),
    ];
    Peer::start("vmagent", &args)
}

/// A vmalert that asks a VictoriaMetrics, whose alert always fires, and tells us.
fn vmalert(receiver: &Receiver, server: u16) -> Option<(Peer, Peer)> {
    let dir = receiver.dir.path();
    write(
        dir,
        "vmalert.yml",
        "groups: [{ name: shop, interval: 1s, rules: [{ alert: ShopBroken, expr: vector(1), \
         labels: { severity: critical, service: checkout } }] }]\n",
    );
    let path = |name: &str| dir.join(name).display().to_string();
    let server_args = [
        format!("-storageDataPath={}", path("vm")),
        format!("-httpListenAddr=127.0.0.1:{server}"),
    ];
    let server_at = format!("http://127.0.0.1:{server}");
    let args = [
        format!("-rule={}", path("vmalert.yml")),
        format!("-datasource.url={server_at}"),
        format!("-notifier.url=http://{}", receiver.address()),
        format!("-httpListenAddr=127.0.0.1:{}", free_port()),
    ];
    Peer::start("victoria-metrics", &server_args).zip(Peer::start("vmalert", &args))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_vmagent_writes_and_a_real_vmalert_tells_alerts() {
    let receiver = Receiver::start().await;
    let target_port = target(Arc::new(AtomicU32::new(1))).await;
    let agent = vmagent(&receiver, target_port);
    let peers = agent.zip(vmalert(&receiver, free_port()));
    let Some(_peers) = peers else {
        let hint = "apt-get install victoria-metrics";
        return missing("vmagent, vmalert or VictoriaMetrics", hint);
    };
    receiver
        .wait_for("series by remote write, and the alert", |engine| {
            let counts = engine.counts();
            (counts.series > 0 && counts.alerts_firing == 1).then_some(())
        })
        .await;
    for name in ["remote_write", "alerts"] {
        let row = receiver.source(name);
        let is_well = (row.health, row.rejected, row.dropped) == (SourceHealth::Live, 0, 0);
        assert!(is_well, "{row:?}");
    }
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_and_resolves_and_metrics_arrive() {
    let broken = Arc::new(AtomicU32::new(0));
    let receiver = Receiver::start().await;
    let target_port = target(Arc::clone(&broken)).await;
    let Some(_peer) = prometheus(&receiver, target_port) else {
        return missing("prometheus", "apt-get install prometheus");
    };
    receiver
        .wait_for("series by remote write", |engine| {
            (engine.counts().series > 0).then_some(())
        })
        .await;

    broken.store(1, Ordering::Relaxed);
    let incident = receiver
        .wait_for("an incident of the alert", |engine| {
            let firing = engine.counts().alerts_firing == 1;
            let row = engine.incident_rows().find(|row| row.alerts > 0);
            row.filter(|_| firing)
        })
        .await;
    assert_eq!(incident.entity, EntityId::parse("service/checkout"));
    assert_eq!(incident.phase, Phase::Open);

    broken.store(0, Ordering::Relaxed);
    let id = incident.id;
    receiver
        .wait_for("the incident to resolve", move |engine| {
            let resolved = engine
                .incident(id)
                .is_none_or(|i| i.phase == Phase::Resolved);
            (resolved && engine.counts().alerts_firing == 0).then_some(())
        })
        .await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_a_prometheus_that_died_is_not_over() {
    let broken = Arc::new(AtomicU32::new(1));
    let receiver = Receiver::with("engine.alert_resolve_timeout_s = 3\n").await;
    let target_port = target(Arc::clone(&broken)).await;
    let Some(peer) = hasty_prometheus(&receiver, target_port) else {
        return missing("prometheus", "apt-get install prometheus");
    };
    let incident = receiver
        .wait_for("an incident of the alert", |engine| {
            engine.incident_rows().find(|row| row.alerts > 0)
        })
        .await;
    // Until it is known how often it writes.
    receiver
        .wait_for("half a minute of metrics", |engine| {
            (engine.counts().signals >= 6 * 30).then_some(())
        })
        .await;

    drop(peer);
    let id = incident.id;
    let (phase, why) = receiver
        .wait_for("the alert to be missed", move |engine| {
            let rows = engine.alerts(None, 10, Some(id));
            let unheard = rows.first()?.unheard.clone()?;
            Some((engine.incident(id)?.phase, unheard.why))
        })
        .await;
    assert_eq!(phase, Phase::Open, "{why}");
    assert!(why.contains("its sender fell silent"), "{why}");
    // Longer than it takes from the end of an alert to that of its incident.
    let missed = receiver
        .wait_for("half a minute more", move |engine| {
            let row = engine.alerts(None, 10, Some(id)).into_iter().next()?;
            let missed_ms = engine.now().since(row.unheard.as_ref()?.since);
            (missed_ms > 30_000).then_some((row.firing, engine.incident(id)?.phase))
        })
        .await;
    assert_eq!(missed, (true, Phase::Open));

    broken.store(0, Ordering::Relaxed);
    let _peer = hasty_prometheus(&receiver, target_port).expect("it was there");
    let told = receiver
        .wait_for("the incident to resolve", move |engine| {
            let incident = engine.incident(id)?;
            let told = incident.timeline.iter().map(|entry| entry.text.to_string());
            (incident.phase == Phase::Resolved).then(|| told.collect::<Vec<_>>())
        })
        .await;
    let says = |text: &str| told.iter().any(|told| told.contains(text));
    assert!(says("is not heard of since"), "{told:?}");
    // What it reads first may be a value of before it died: then it says itself that this is over.
    let ended = says("ShopBroken resolved") || says("speaks again since");
    assert!(ended, "{told:?}");
    receiver.stop().await;
}

/// `io.prometheus.client.MetricFamily`, as far as a native histogram needs it.
#[derive(Clone, PartialEq, Message)]
struct MetricFamily {
    #[prost(string, tag = "1")]
    name: String,
    /// 4 is a histogram.
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(message, optional, tag = "7")]
    histogram: Option<NativeHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct NativeHistogram {
    #[prost(uint64, tag = "1")]
    count: u64,
    #[prost(double, tag = "2")]
    sum: f64,
    #[prost(sint32, tag = "5")]
    schema: i32,
    #[prost(double, tag = "6")]
    zero_threshold: f64,
    #[prost(message, repeated, tag = "12")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    positive_deltas: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

/// Serves a native histogram in the protobuf format: with each scrape ten more observations of half a second.
async fn native_target() -> u16 {
    let observed = Arc::new(AtomicU64::new(0));
    let metrics = move || {
        let count = 10 + observed.fetch_add(10, Ordering::Relaxed);
        let span = BucketSpan {
            offset: -1,
            length: 1,
        };
        let histogram = NativeHistogram {
            count,
            sum: count as f64 / 2.0,
            schema: 0,
            zero_threshold: 1e-9,
            positive_spans: vec![span],
            positive_deltas: vec![count as i64],
        };
        let family = MetricFamily {
            name: "wait_seconds".to_owned(),
            kind: 4,
            metrics: vec![Metric {
                histogram: Some(histogram),
            }],
        };
        let content_type = "application/vnd.google.protobuf; \
             proto=io.prometheus.client.MetricFamily; encoding=delimited";
        let body = family.encode_length_delimited_to_vec();
        async move { ([(header::CONTENT_TYPE, content_type)], body) }
    };
    let router = Router::new().route("/metrics", get(metrics));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_native_histogram_that_a_real_prometheus_writes_is_its_rate_and_its_mean() {
    let receiver = Receiver::start().await;
    let target_port = native_target().await;
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         remote_write: [{{ url: 'http://{}/api/v1/write', send_native_histograms: true, \
         queue_config: {{ batch_send_deadline: 1s }} }}]\n\
         scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ['127.0.0.1:{target_port}'] }}] }}]\n",
        receiver.address()
    );
    let native = ["--enable-feature=native-histograms"];
    let dir = receiver.dir.path();
    let Some(_peer) = peer::prometheus_with(&native, dir, free_port(), &config) else {
        return missing("prometheus", "apt-get install prometheus");
    };
    let (rate, mean) = receiver
        .wait_for("the rate and the mean of the histogram", |engine| {
            let latest = |metric: &str| match engine.why(&format!("shop {metric}"), None) {
                WhyAnswer::One(why) => why.seen,
                _ => None,
            };
            latest("wait_seconds_count").zip(latest("wait_seconds_sum"))
        })
        .await;
    // Ten a second, however exactly the seconds were kept; half a second each, exactly.
    assert!((5.0..20.0).contains(&rate), "{rate}");
    assert!((mean - 0.5).abs() < 1e-6, "{mean}");
    let row = receiver.source("remote_write");
    let is_well = (row.health, row.rejected) == (SourceHealth::Live, 0);
    assert!(is_well, "{row:?}");
    receiver.stop().await;
}
