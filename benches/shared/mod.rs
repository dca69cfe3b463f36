//! What the benches share that start whole programs: Stormglass and its peers, their memory, and series as
//! Prometheus would send them. It measures nothing itself.
#![allow(dead_code, reason = "each bench uses a part of it")]

#[path = "../../tests/sources/write_request.rs"]
pub mod write_request;

use std::fmt;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stormglass::api::View;
use stormglass::api::client::{Address, Client};
use tempfile::TempDir;

use write_request::Label;

/// Threads that send: the programs under load need the rest of the machine.
const SENDING_THREADS: usize = 2;
/// Pause between two looks whether a program answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A program under load and what it keeps; ended when dropped.
pub struct Running {
    child: Child,
    /// Where it keeps what it keeps.
    pub dir: TempDir,
}

/// Stormglass with a client of its API.
pub struct Stormglass {
    /// The program.
    pub running: Running,
    /// A client of its own.
    pub client: Client,
    /// Where it takes telemetry.
    pub http: u16,
}

/// Memory of a program, in KiB.
pub struct Memory {
    /// What it takes now.
    pub resident_kib: u64,
    /// The most it ever took.
    pub peak_kib: u64,
}

/// Runs a bench. `cargo test` runs benches too, to see that they start: it asks for no more than that.
pub fn run(measure: impl Future<Output = ()>) {
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SENDING_THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure);
}

/// Starts a program; `None`, with a word about it, where it is not installed.
pub fn start(program: &str, arguments: &[String], dir: TempDir) -> Option<Running> {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Some(Running { child, dir }),
        Err(error) => {
            println!("{program} is left out: {error}");
            None
        }
    }
}

/// Starts Stormglass as it was built with this bench, or another build of it, and waits until it answers.
/// `more` goes on with the sections of its config.
pub async fn stormglass(more: &str) -> Stormglass {
    let http = free_port();
    let dir = tempfile::tempdir().expect("a folder");
    let socket = dir.path().join("s.sock");
    let config = format!(
        "listen = \"127.0.0.1:{http}\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\nsocket = \"{}\"\ndata_dir = \"{}\"\n\
         [sources.host]\nenabled = false\n{more}",
        socket.display(),
        dir.path().join("data").display()
    );
    let file = dir.path().join("c.toml");
    std::fs::write(&file, config).expect("writable");
    let arguments = [
        "--config".to_owned(),
        file.display().to_string(),
        "serve".to_owned(),
    ];
    let built = env!("CARGO_BIN_EXE_stormglass");
    let program = std::env::var("STORMGLASS_BIN").unwrap_or_else(|_| built.to_owned());
    let running = start(&program, &arguments, dir).expect("it was built");
    let client = Client::new(Address::Socket(socket)).expect("a client");
    while client.view().await.is_err() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Stormglass {
        running,
        client,
        http,
    }
}

impl Stormglass {
    /// Where it is reached.
    pub fn socket(&self) -> PathBuf {
        self.running.dir.path().join("s.sock")
    }

    /// An address of its receivers.
    pub fn url(&self, path: impl fmt::Display) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// What a console would see.
    pub async fn view(&self) -> View {
        self.client.view().await.expect("it answers")
    }

    /// Signals judged so far.
    pub async fn judged(&self) -> u64 {
        self.view().await.counts.signals
    }
}

impl Running {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it takes now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        memory(self.pid()).resident_kib
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of the program of this number; nothing of one that is gone.
pub fn memory(pid: u32) -> Memory {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        kib.unwrap_or_default()
    };
    Memory {
        resident_kib: kib("VmRSS:"),
        peak_kib: kib("VmHWM:"),
    }
}

/// A client for telemetry.
pub fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_millis() as i64
}

/// Labels of one of many series, in order of name, as Prometheus sends them: of a thousand services with fifty
/// series each.
pub fn labels(n: usize) -> Vec<Label> {
    let pairs = [
        ("__name__", format!("http_requests_{}_total", n % 10)),
        (
            "instance",
            format!("10.0.{}.{}:9100", n / 50 % 250, n / 12_500),
        ),
        ("job", format!("service-{}", n / 50)),
        ("path", format!("/api/{}", n % 50 / 10)),
    ];
    let label = |(name, value): (&str, String)| Label {
        name: name.to_owned(),
        value,
    };
    pairs.into_iter().map(label).collect()
}
