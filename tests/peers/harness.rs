//! A whole daemon in this process, and what tests against peers need besides.

use std::path::Path;
use std::time::{Duration, Instant};

use stormglass::api::CommandReply;
use stormglass::config::parse;
use stormglass::daemon::{Clock, Daemon, DaemonOptions, Telemetry, start};
use stormglass::engine::Engine;
use stormglass::model::{Actor, Command, Role, SourceRow};
use tempfile::TempDir;

/// How long a peer may take to do its part.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon with receivers on a free port.
pub struct Receiver {
    daemon: Daemon,
    /// For whatever a peer needs on disk.
    pub dir: TempDir,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more settings: sections of a config file.
    pub async fn with(sections: &str) -> Self {
        Self::listening(sections, "").await
    }

    /// With a data folder that outlives it.
    pub async fn keeping(sections: &str, data_dir: &Path) -> Self {
        Self::build(sections, "", Some(data_dir)).await
    }

    /// With OTLP over gRPC at an address.
    pub async fn listening(sections: &str, grpc: &str) -> Self {
        Self::build(sections, grpc, None).await
    }

    async fn build(sections: &str, grpc: &str, data_dir: Option<&Path>) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let config = format!(
            "listen = \"127.0.0.1:0\"\notlp_listen = \"\"\notlp_grpc_listen = \"{grpc}\"\nsources.host.enabled = false\n\
             engine.resolve_after_s = 1\n{sections}"
        );
        let (config, _) = parse(&config, "test.toml").expect("the config is valid");
        let daemon = start(DaemonOptions {
            config,
            runbooks: Vec::new(),
            clock: Clock::real(),
            socket: dir.path().join("s.sock"),
            data_dir: data_dir.map(Path::to_owned),
            warnings: tokio::sync::watch::channel(Vec::new()).1,
            telemetry: Telemetry::Live,
        })
        .await
        .expect("the daemon starts");
        Self { daemon, dir }
    }

    /// `IP:PORT` of the receivers.
    pub fn address(&self) -> String {
        let address = self.daemon.listen().expect("a live daemon listens");
        address.to_string()
    }

    /// `IP:PORT` where OTLP is taken over gRPC.
    pub fn grpc_address(&self) -> String {
        let address = self.daemon.otlp_grpc_listen();
        address.expect("it was asked for").to_string()
    }

    /// How a source is.
    pub fn source(&self, name: &str) -> SourceRow {
        let mut rows = self.daemon.sources().rows(Clock::real().now()).into_iter();
        rows.find(|row| row.name == name)
            .expect("the source is registered")
    }

    /// Asks the engine until it answers; panics with what was waited for when patience ends.
    pub async fn wait_for<T: Send + 'static>(
        &self,
        what: &str,
        ask: impl Fn(&Engine) -> Option<T> + Clone + Send + 'static,
    ) -> T {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let ask = ask.clone();
            let answer = self.daemon.door().query(move |engine| ask(engine)).await;
            if let Some(answer) = answer.expect("the engine runs") {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let state = self.daemon.door().query(describe).await;
        let state = state.expect("the engine runs");
        panic!("waited {PATIENCE:?} for {what}; the engine at the end:\n{state}");
    }

    /// Gives a command as an operator would.
    pub async fn give(&self, what: Command) -> CommandReply {
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        let reply = self.daemon.door().command(by, what).await;
        reply.expect("the engine runs")
    }

    pub async fn stop(self) {
        self.daemon.stop().await.expect("the daemon stops");
    }
}

/// What the engine holds, for whoever reads a failure.
fn describe(engine: &Engine) -> String {
    let mut lines = vec![format!("{} {:?}", engine.now(), engine.counts())];
    for row in engine.incident_rows() {
        lines.push(format!("{} {:?} {}", row.id, row.phase, row.title));
        let incident = engine.incident(row.id).into_iter();
        for entry in incident.flat_map(|incident| &incident.timeline) {
            lines.push(format!("  {} {}", entry.at, entry.text));
        }
    }
    lines.join("\n")
}

/// Says that a peer is missing; a failure where peers are required.
pub fn missing(peer: &str, hint: &str) {
    let required = std::env::var("STORMGLASS_REQUIRE_PEERS").is_ok_and(|v| v == "1");
    assert!(!required, "{peer} is missing: {hint}");
    eprintln!("SKIPPED: {peer} is missing: {hint}");
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Writes a file below the test's directory.
pub fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("the directory is writable");
}
