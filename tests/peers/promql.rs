//! A real Prometheus and a real VictoriaMetrics that know two days of the past: it is learned from, and
//! the present goes on from there.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use stormglass::daemon::Clock;
use stormglass::model::{SourceHealth, WhyAnswer};

use crate::harness::{Receiver, free_port, missing, write};
use crate::peer::{self, Peer, run};

/// Distance of the points of the past, in seconds.
const STEP_S: i64 = 10;
/// Points of the past: two days, up to five minutes ago.
const POINTS: i64 = 2 * 8_640;

/// How a line of the past says its time.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// The past of one series, a load with a rhythm of a day.
fn past(unit: Unit) -> String {
    let end = Clock::real().now().ms() / 1_000 / STEP_S * STEP_S - 300;
    let mut text = String::from("# TYPE shop_load gauge\n");
    for at in (end - POINTS * STEP_S..end).step_by(STEP_S as usize) {
        let of_day = (at % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
        let load = 100.0 + 20.0 * of_day.sin() + ((at * 7_919) % 13) as f64;
        let at = match unit {
            Unit::Seconds => at,
            Unit::Milliseconds => at * 1_000,
        };
        let _ = writeln!(text, "shop_load{{job=\"shop\"}} {load} {at}");
    }
    text
}

/// A Prometheus with that past, which also scrapes itself.
fn prometheus(dir: &Path, port: u16) -> Option<Peer> {
    write(dir, "past.txt", &format!("{}# EOF\n", past(Unit::Seconds)));
    let path = |name: &str| dir.join(name).display().to_string();
    let args = ["tsdb", "create-blocks-from", "openmetrics"].map(str::to_owned);
    let args = [&args[..], &[path("past.txt"), path("tsdb")]].concat();
    run("promtool", &args)?;
    let config = format!(
        "global: {{ scrape_interval: 1s }}\n\
         scrape_configs: [{{ job_name: itself, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}]\n"
    );
    peer::prometheus(dir, port, &config)
}

/// The same as a VictoriaMetrics.
async fn victoria_metrics(dir: &Path, port: u16) -> Option<Peer> {
    let args = [
        format!("-storageDataPath={}", dir.join("vm").display()),
        format!("-httpListenAddr=127.0.0.1:{port}"),
        "-retentionPeriod=1".to_owned(),
        format!("-selfScrapeInterval={}s", 1),
    ];
    let peer = Peer::start("victoria-metrics", &args)?;
    let base = format!("http://127.0.0.1:{port}");
    ready(&format!("{base}/health")).await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let import = client.post(format!("{base}/api/v1/import/prometheus"));
    let imported = import
        .body(past(Unit::Milliseconds))
        .send()
        .await
        .expect("it answers");
    assert!(imported.status().is_success(), "{imported:?}");
    let flush = client
        .get(format!("{base}/internal/force_flush"))
        .send()
        .await;
    assert!(flush.expect("it answers").status().is_success());
    Some(peer)
}

/// Waits until an address answers well.
async fn ready(url: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let started = Instant::now();
    while started.elapsed() < Duration::from_mins(1) {
        let answer = client.get(url).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{url} does not answer");
}

/// Learns from a server, then sees what it tells of itself.
async fn learns(port: u16, select: &str, delay_s: u32) {
    let receiver = Receiver::with(&format!(
        "[[sources.promql]]\nurl = \"http://127.0.0.1:{port}\"\nselect = [\"shop_load\", '{select}']\n\
         interval_s = {STEP_S}\ndelay_s = {delay_s}\nhistory_days = 3\n"
    ))
    .await;
    let baseline = receiver
        .wait_for("a baseline of the past", |engine| {
            match engine.why("shop_load", None) {
                WhyAnswer::One(why) => Some(why.baseline),
                _ => None,
            }
        })
        .await;
    assert!(i64::from(baseline.samples) > POINTS - 10, "{baseline:?}");
    assert_eq!(&*baseline.maturity, "mature", "{baseline:?}");
    receiver
        .wait_for("the present", |engine| {
            (engine.counts().series > 1).then_some(())
        })
        .await;
    let started = Instant::now();
    loop {
        let row = receiver.source("promql prometheus");
        if row.taken > 0 && row.health == SourceHealth::Live {
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{row:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_of_a_real_prometheus_is_learned_from() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let port = free_port();
    let Some(_peer) = prometheus(dir.path(), port) else {
        return missing("prometheus with promtool", "apt-get install prometheus");
    };
    ready(&format!("http://127.0.0.1:{port}/-/ready")).await;
    learns(port, "up", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_past_of_a_real_victoria_metrics_is_learned_from() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let port = free_port();
    let Some(_peer) = victoria_metrics(dir.path(), port).await else {
        return missing("victoria-metrics", "apt-get install victoria-metrics");
    };
    // It shows nothing younger than that.
    learns(port, "process_resident_memory_bytes", 30).await;
}
