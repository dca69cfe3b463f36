//! Alerts through the HTTP receiver, ours and Alertmanager's, in the same run: throughput, memory,
//! one alert's way to a console, and how fast a console attaches.
//!
//! `cargo bench --bench alerts` needs Debian's `prometheus-alertmanager`; without it only our own
//! numbers are printed. Each program gets the same requests, rendered before the clock starts.
//! Alertmanager counts as done with its last answer, ours when its engine has judged every alert.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stormglass::api::WatchMessage;
use stormglass::api::client::{Address, Client};
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

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let requests = requests(ALERTS, "storm");
    let dir = tempfile::tempdir().unwrap();
    let alertmanager = Path::new(ALERTMANAGER)
        .exists()
        .then(|| alertmanager(&dir.path().join("am"), &requests));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ours = stormglass(&runtime, &dir.path().join("sg"), &requests);
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
    single_alerts(&runtime, &dir.path().join("single"));
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

fn memory(pid: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| -> f64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    (kib("VmRSS:") / 1_024.0, kib("VmHWM:") / 1_024.0)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn alertmanager(dir: &Path, requests: &[Vec<u8>]) -> Measured {
    std::fs::create_dir_all(dir).unwrap();
    let config = dir.join("am.yml");
    std::fs::write(
        &config,
        "route: {receiver: none}\nreceivers: [{name: none}]\n",
    )
    .unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let child = Command::new(ALERTMANAGER)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", dir.display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let running = Running(child);
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
    let (rss_mib, peak_mib) = memory(running.0.id());
    Measured {
        alerts_per_s: ALERTS as f64 / seconds,
        rss_mib,
        peak_mib,
    }
}

struct Daemon {
    running: Running,
    listen: String,
    client: Client,
}

fn daemon(dir: &Path) -> Daemon {
    std::fs::create_dir_all(dir).unwrap();
    let socket = dir.join("s.sock");
    let config = dir.join("c.toml");
    std::fs::write(
        &config,
        "listen = \"127.0.0.1:0\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\n[sources.host]\nenabled = false\n",
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_stormglass"))
        .arg("--config")
        .arg(&config)
        .arg("--socket")
        .arg(&socket)
        .arg("--data-dir")
        .arg(dir.join("data"))
        .arg("serve")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = log
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("ready"))
        .unwrap();
    std::thread::spawn(move || log.count());
    let (_, after) = ready.split_once("listen=").unwrap();
    let listen = after.split_whitespace().next().unwrap();
    let listen = listen.trim_matches('"').to_owned();
    Daemon {
        running: Running(child),
        listen,
        client: Client::new(Address::Socket(socket)).unwrap(),
    }
}

fn until_firing(runtime: &tokio::runtime::Runtime, client: &Client, alerts: usize) {
    until("stormglass holds all", || {
        let view = runtime.block_on(client.view()).unwrap();
        view.counts.alerts_firing as usize >= alerts
    });
}

fn stormglass(runtime: &tokio::runtime::Runtime, dir: &Path, requests: &[Vec<u8>]) -> Measured {
    let daemon = daemon(dir);
    let begun = Instant::now();
    let again = storm(&daemon.listen, requests);
    until_firing(runtime, &daemon.client, ALERTS);
    let seconds = begun.elapsed().as_secs_f64();
    let (rss_mib, peak_mib) = memory(daemon.running.0.id());
    attach(runtime, &daemon.client);
    println!("stormglass told senders to try again {again} times");
    Measured {
        alerts_per_s: ALERTS as f64 / seconds,
        rss_mib,
        peak_mib,
    }
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
fn single_alerts(runtime: &tokio::runtime::Runtime, dir: &Path) {
    let daemon = daemon(dir);
    storm(&daemon.listen, &requests(ACTIVE, "before"));
    until_firing(runtime, &daemon.client, ACTIVE);
    let mut took = runtime.block_on(async {
        let mut watch = daemon.client.watch().await.unwrap();
        watch.next().await.unwrap();
        let mut connection = Connection::open(&daemon.listen);
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
