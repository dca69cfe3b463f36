//! Alerts through the HTTP receiver, ours and Alertmanager's, in the same run: throughput, memory,
//! one alert's way to a console, and how fast a console attaches.
//!
//! `cargo bench --bench alerts` needs Debian's `prometheus-alertmanager`; without it only our own
//! numbers are printed. Each program gets the same requests, rendered before the clock starts.
//! Alertmanager counts as done with its last answer, ours when its engine has judged every alert.

mod shared;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use shared::{Running, Stormglass, free_port, memory, start};
use stormglass::api::WatchMessage;
use stormglass::api::client::Client;
use stormglass::daemon::Clock;
use stormglass::model::{Delta, Time};

/// Distinct alerts of the storm.
const ALERTS: usize = 100_000;
/// Alerts in one request, as Prometheus sends them.
const BATCH: usize = 64;
/// Keep-alive connections.
const CONNECTIONS: usize = 4;
/// Alerts that fire while the way of a single one is measured.
const ACTIVE: usize = 10_000;
/// Single alerts measured.
const SINGLES: usize = 1_000;
/// Consoles attached, one after the other.
const ATTACHES: usize = 20;
/// Whatever is waited for must happen within this.
const DEADLINE: Duration = Duration::from_mins(2);
const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";

/// What one program did.
struct Measured {
    alerts_per_s: f64,
    rss_mib: f64,
    peak_mib: f64,
}

impl Measured {
    /// What a program did that took all alerts in so many seconds.
    fn of(running: &Running, seconds: f64) -> Self {
        let memory = memory(running.pid());
        Self {
            alerts_per_s: ALERTS as f64 / seconds,
            rss_mib: memory.resident_kib as f64 / 1_024.0,
            peak_mib: memory.peak_kib as f64 / 1_024.0,
        }
    }
}

fn main() {
    let requests = requests(ALERTS, "storm");
    let alertmanager = alertmanager(&requests);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ours = stormglass(&runtime, &requests);
    println!("{ALERTS} distinct alerts, batches of {BATCH}, {CONNECTIONS} connections");
    println!(
        "{:<14} {:>10} {:>9} {:>9}",
        "", "alerts/s", "RSS MiB", "peak MiB"
    );
    for (name, measured) in [
        ("alertmanager", alertmanager.as_ref()),
        ("stormglass", Some(&ours)),
    ] {
        if let Some(m) = measured {
            println!(
                "{name:<14} {:>10.0} {:>9.0} {:>9.0}",
                m.alerts_per_s, m.rss_mib, m.peak_mib
            );
        }
    }
    if let Some(am) = &alertmanager {
        println!(
            "ratio          {:>10.2} {:>9.2} {:>9.2}   (bars: at least 2, at most 0.6)",
            ours.alerts_per_s / am.alerts_per_s,
            ours.rss_mib / am.rss_mib,
            ours.peak_mib / am.peak_mib
        );
    }
    single_alerts(&runtime);
}

/// One alert: labels and annotations as a Kubernetes rule set makes them.
fn alert(text: &mut String, run: &str, n: usize, now: Time) {
    write!(
        text,
        r#"{{"labels":{{"alertname":"Rule{}","cluster":"prod-eu","namespace":"team-{}","service":"svc-{}","pod":"svc-{}-{run}-{n}","instance":"10.{}.{}.{}:9100","job":"kubernetes-pods","severity":"{}"}},"annotations":{{"summary":"p99 of svc-{} is above its objective","runbook_url":"https://runbooks.example/rule{}"}},"startsAt":"{}","generatorURL":"http://prometheus:9090/graph?g0.expr=rule{}"}}"#,
        n % 50,
        n % 20,
        n % 200,
        n % 200,
        n / 65_536 % 256,
        n / 256 % 256,
        n % 256,
        ["warning", "critical", "error"][n % 3],
        n % 200,
        n % 50,
        now.to_rfc3339(),
        n % 50,
    )
    .unwrap();
}

fn request(body: &str) -> Vec<u8> {
    format!(
        "POST /api/v2/alerts HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn requests(alerts: usize, run: &str) -> Vec<Vec<u8>> {
    let now = Clock::real().now();
    let all: Vec<usize> = (0..alerts).collect();
    all.chunks(BATCH)
        .map(|chunk| {
            let mut body = String::from("[");
            for (i, n) in chunk.iter().enumerate() {
                body.push_str(if i == 0 { "" } else { "," });
                alert(&mut body, run, *n, now);
            }
            body.push(']');
            request(&body)
        })
        .collect()
}

/// One keep-alive connection.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a request and reads its whole answer; true for a 2xx, false for "try again".
    fn exchange(&mut self, request: &[u8]) -> (bool, String) {
        self.stream.get_mut().write_all(request).unwrap();
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        match status.as_str() {
            "503" | "429" => (false, body),
            s if s.starts_with('2') => (true, body),
            other => panic!("answered {other}: {body}"),
        }
    }
}

/// Sends all requests over several connections; returns how often it was told to try again.
fn storm(address: &str, requests: &[Vec<u8>]) -> usize {
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|lane| {
                scope.spawn(move || {
                    let mut connection = Connection::open(address);
                    let mut again = 0;
                    for request in requests.iter().skip(lane).step_by(CONNECTIONS) {
                        while !connection.exchange(request).0 {
                            again += 1;
                            std::thread::sleep(Duration::from_millis(1));
                        }
                    }
                    again
                })
            })
            .collect();
        senders.into_iter().map(|s| s.join().unwrap()).sum()
    })
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// `None` where it is not installed.
fn alertmanager(requests: &[Vec<u8>]) -> Option<Measured> {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("am.yml");
    std::fs::write(
        &config,
        "route: {receiver: none}\nreceivers: [{name: none}]\n",
    )
    .unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", dir.path().display()),
        format!("--web.listen-address={address}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let running = start(ALERTMANAGER, &arguments, dir)?;
    until("alertmanager listens", || {
        TcpStream::connect(&address).is_ok()
    });
    let begun = Instant::now();
    storm(&address, requests);
    let metrics = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
    // It stores an alert before it answers, so the last answer is the end; the counter proves it.
    let seconds = begun.elapsed().as_secs_f64();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(metrics).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let received: f64 = text
        .lines()
        .filter(|l| l.starts_with("alertmanager_alerts_received_total"))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!(received as usize >= ALERTS, "it took {received}");
    Some(Measured::of(&running, seconds))
}

fn until_firing(runtime: &tokio::runtime::Runtime, client: &Client, alerts: usize) {
    until("stormglass holds all", || {
        let view = runtime.block_on(client.view()).unwrap();
        view.counts.alerts_firing as usize >= alerts
    });
}

fn stormglass(runtime: &tokio::runtime::Runtime, requests: &[Vec<u8>]) -> Measured {
    let daemon = runtime.block_on(shared::stormglass(""));
    let begun = Instant::now();
    let again = storm(&listener(&daemon), requests);
    until_firing(runtime, &daemon.client, ALERTS);
    let seconds = begun.elapsed().as_secs_f64();
    let measured = Measured::of(&daemon.running, seconds);
    attach(runtime, &daemon.client);
    println!("stormglass told senders to try again {again} times");
    measured
}

/// Where it takes alerts.
fn listener(daemon: &Stormglass) -> String {
    format!("127.0.0.1:{}", daemon.http)
}

/// How long a console takes to hold the whole view, with every alert active.
fn attach(runtime: &tokio::runtime::Runtime, client: &Client) {
    let mut took: Vec<Duration> = (0..ATTACHES)
        .map(|_| {
            let fresh = Client::new(client.address().clone()).unwrap();
            let begun = Instant::now();
            runtime.block_on(async {
                let mut watch = fresh.watch().await.unwrap();
                watch.next().await.unwrap().unwrap();
            });
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    let view = runtime.block_on(client.view()).unwrap();
    println!(
        "attach with {ALERTS} alerts: p50 {:.1} ms, max {:.1} ms ({} incidents, {} entities; bar 300 ms)",
        took[ATTACHES / 2].as_secs_f64() * 1e3,
        took[ATTACHES - 1].as_secs_f64() * 1e3,
        view.incidents.len(),
        view.entities.len()
    );
}

/// From the first byte of a POST to the delta on a watch stream, with many alerts active.
fn single_alerts(runtime: &tokio::runtime::Runtime) {
    let daemon = runtime.block_on(shared::stormglass(""));
    storm(&listener(&daemon), &requests(ACTIVE, "before"));
    until_firing(runtime, &daemon.client, ACTIVE);
    let mut took = runtime.block_on(async {
        let mut watch = daemon.client.watch().await.unwrap();
        watch.next().await.unwrap();
        let mut connection = Connection::open(&listener(&daemon));
        let mut took = Vec::new();
        for n in 0..SINGLES {
            let mut body = String::from("[");
            alert(&mut body, "single", n, Clock::real().now());
            body.push(']');
            let request = request(&body);
            let wanted = (ACTIVE + n + 1) as u64;
            let begun = Instant::now();
            assert!(connection.exchange(&request).0, "the queue is empty");
            loop {
                let message = watch.next().await.unwrap().unwrap();
                if let WatchMessage::Deltas { deltas, .. } = message
                    && deltas
                        .iter()
                        .any(|delta| matches!(delta, Delta::Counts(c) if c.alerts_firing >= wanted))
                {
                    break;
                }
            }
            took.push(begun.elapsed());
        }
        took
    });
    took.sort_unstable();
    println!(
        "one alert, POST to delta, {ACTIVE} active: p50 {:.2} ms, p99 {:.2} ms (bars 1 and 10 ms)",
        took[SINGLES / 2].as_secs_f64() * 1e3,
        took[SINGLES * 99 / 100].as_secs_f64() * 1e3
    );
}
