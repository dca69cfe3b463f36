//! Real programs as child processes: they end with the test, and one that is not there is told, not waited for.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::write;

/// A peer; killed when dropped.
pub struct Peer(Child);

impl Peer {
    /// Starts a program; `None` if it is not there.
    pub fn start(program: &str, args: &[String]) -> Option<Self> {
        spawn(program, args).map(Self)
    }

    /// Asks it to end, as a restart of its service would, and waits until it has.
    pub fn end(mut self) {
        let pid = self.0.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.expect("kill is there").success());
        self.0.wait().expect("it ends");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, which must be a good one; `None` if it is not there.
pub fn run(program: &str, args: &[String]) -> Option<()> {
    let ended = spawn(program, args)?.wait().expect("it ends");
    assert!(ended.success(), "{program} {args:?}: {ended}");
    Some(())
}

fn spawn(program: &str, args: &[String]) -> Option<Child> {
    let mut command = Command::new(program);
    let quiet = command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().ok()
}

/// A Prometheus with this config in a folder of its own, listening at a port.
pub fn prometheus(dir: &Path, port: u16, config: &str) -> Option<Peer> {
    prometheus_with(&[], dir, port, config)
}

/// The same with more arguments.
pub fn prometheus_with(more: &[&str], dir: &Path, port: u16, config: &str) -> Option<Peer> {
    write(dir, "prometheus.yml", config);
    let path = |name: &str| dir.join(name).display().to_string();
    let mut args = vec![
        format!("--config.file={}", path("prometheus.yml")),
        format!("--storage.tsdb.path={}", path("tsdb")),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    Peer::start("prometheus", &args)
}

/// An Alertmanager with this config, without a cluster.
pub fn alertmanager(dir: &Path, port: u16, config: &str) -> Option<Peer> {
    write(dir, "am.yml", config);
    let path = |name: &str| dir.join(name).display().to_string();
    let args = [
        format!("--config.file={}", path("am.yml")),
        format!("--storage.path={}", path("am")),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".to_owned(),
    ];
    Peer::start("prometheus-alertmanager", &args)
}

/// Whether a program is there and says which version it is.
pub fn is_there(program: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}

/// A Python in which `probe` runs, if there is one.
pub fn python(probe: &str) -> Option<String> {
    let python = std::env::var("STORMGLASS_OTEL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", probe]).output();
    found
        .is_ok_and(|output| output.status.success())
        .then_some(python)
}

/// Runs a Python program in a folder to its end, which must be a good one.
pub async fn run_python(python: String, dir: &Path, program: &str, args: &[&str]) {
    write(dir, "send.py", program);
    let mut command = Command::new(python);
    command.arg(dir.join("send.py")).args(args);
    let ended = tokio::task::spawn_blocking(move || command.output()).await;
    let ended = ended.expect("no panic").expect("the program starts");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success() && !said.contains("Traceback"),
        "{said}"
    );
}
