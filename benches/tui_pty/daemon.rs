//! A daemon of its own, and alerts sent to it at a pace.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::PROGRAM;

/// Alerts in one request.
const BATCH: u64 = 64;
/// Distinct alerts of a storm: it fires the same ones again.
const DISTINCT: u64 = 10_000;

/// A daemon that ends when this is dropped.
pub struct Daemon {
    child: std::process::Child,
    pub socket: PathBuf,
    pub listen: String,
}

impl Daemon {
    /// Starts one and waits until it is ready.
    pub fn start(dir: &Path) -> Self {
        let free = || {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap().to_string()
        };
        let (listen, otlp) = (free(), free());
        let config = dir.join("config.toml");
        let text =
            format!("listen = \"{listen}\"\notlp_listen = \"{otlp}\"\notlp_grpc_listen = \"\"\n");
        std::fs::write(&config, text).unwrap();
        let socket = dir.join("s.sock");
        let mut child = Command::new(PROGRAM)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--socket")
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.contains("ready")),
            "serve never was ready"
        );
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            socket,
            listen,
        }
    }

    /// Sends alerts.
    pub fn post(&self, stream: &mut TcpStream, alerts: &str) {
        let request = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{alerts}",
            self.listen,
            alerts.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 4_096];
        let len = stream.read(&mut answer).unwrap();
        assert!(
            answer[..len].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer[..len])
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn alerts(from: u64) -> String {
    let mut json = String::from("[");
    for at in from..from + BATCH {
        let comma = if at == from { "" } else { "," };
        let (id, service) = (at % DISTINCT, ["alpha", "beta", "gamma"][(at % 3) as usize]);
        let _ = write!(
            json,
            "{comma}{{\"labels\":{{\"alertname\":\"Storm\",\"service\":\"{service}\",\"severity\":\"warning\",\"id\":\"{id}\"}}}}"
        );
    }
    json.push(']');
    json
}

/// Sends `per_s` alerts a second until told to stop; counts them.
fn feed(daemon: &Daemon, per_s: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let mut stream = TcpStream::connect(&daemon.listen).unwrap();
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let count = sent.load(Ordering::Relaxed);
        let due = started + Duration::from_secs_f64(count as f64 / per_s as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        daemon.post(&mut stream, &alerts(count));
        sent.fetch_add(BATCH, Ordering::Relaxed);
    }
}

/// Runs `act` while alerts arrive; returns what it says and the alerts a second that did.
pub fn while_fed<R>(daemon: &Daemon, per_s: u64, act: impl FnOnce() -> R) -> (R, f64) {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| feed(daemon, per_s, &stop, &sent));
        let started = Instant::now();
        let said = act();
        stop.store(true, Ordering::Relaxed);
        let rate = sent.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
        (said, rate)
    })
}
