//! The console through a pseudo-terminal: bytes, writes and CPU when idle, the first full frame, what
//! a cursor move costs, and key to glyph, also while 10,000 alerts a second arrive.
//!
//! `cargo bench --bench tui_pty` prints a table beside the budgets. Nothing is asserted.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stormglass");
/// Watched without a key.
const IDLE: Duration = Duration::from_secs(20);
/// Cursor moves measured.
const MOVES: usize = 100;
/// Between keys, so that the preview has settled and moves are measured alone.
const BETWEEN: Duration = Duration::from_millis(180);
/// A glyph later than this is lost.
const GLYPH_MAX: Duration = Duration::from_secs(1);
/// Alerts a second of the storm, and in one request.
const STORM_PER_S: u64 = 10_000;
const BATCH: u64 = 64;
/// Distinct alerts of the storm: it fires the same ones again.
const DISTINCT: u64 = 10_000;
/// The console and the daemon are ready within this.
const READY: Duration = Duration::from_secs(20);
const CHUNKS_MAX: usize = 1_024;
/// Three incidents, so that the cursor has somewhere to go.
const ROWS: &str = r#"[{"labels":{"alertname":"Down0","service":"alpha","severity":"critical"}},{"labels":{"alertname":"Down1","service":"beta","severity":"critical"}},{"labels":{"alertname":"Down2","service":"gamma","severity":"critical"}}]"#;
/// Clock ticks a second in `/proc`.
const TICKS_PER_S: f64 = 100.0;

struct Console {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<(Instant, Vec<u8>)>,
    started: Instant,
    _master: Box<dyn MasterPty + Send>,
}

impl Console {
    fn attach(socket: &Path, cols: u16, rows: u16) -> Self {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("attach");
        command.arg(socket);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (send, output) = sync_channel(CHUNKS_MAX);
        std::thread::spawn(move || {
            let mut chunk = [0; 65_536];
            while let Ok(len @ 1..) = reader.read(&mut chunk) {
                if send.send((Instant::now(), chunk[..len].to_vec())).is_err() {
                    return;
                }
            }
        });
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        Self {
            child,
            keys,
            output,
            started,
            _master: pair.master,
        }
    }

    /// Until the list is on the screen: how long it took, and the bytes it took.
    fn first_frame(&self) -> (Duration, usize) {
        let mut bytes = Vec::new();
        while let Ok((at, chunk)) = self.output.recv_timeout(READY) {
            bytes.extend(chunk);
            if String::from_utf8_lossy(&bytes).contains("LIVE") {
                return (at - self.started, bytes.len());
            }
        }
        (READY, bytes.len())
    }

    /// Bytes and chunks that arrive within `time`.
    fn listen(&self, time: Duration) -> (usize, usize) {
        let end = Instant::now() + time;
        let (mut bytes, mut chunks) = (0, 0);
        while let Ok((_, chunk)) = self
            .output
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            bytes += chunk.len();
            chunks += 1;
        }
        (bytes, chunks)
    }

    /// Times from key to first byte, in order, and the bytes of each answer.
    fn moves(&mut self) -> (Vec<Duration>, Vec<usize>) {
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for at in 0..MOVES {
            self.listen(BETWEEN);
            let pressed = Instant::now();
            self.keys.write_all([b"j", b"k"][at % 2]).unwrap();
            if let Ok((seen, bytes)) = self.output.recv_timeout(GLYPH_MAX) {
                times.push(seen - pressed);
                sizes.push(bytes.len());
            } else {
                times.push(GLYPH_MAX);
            }
        }
        times.sort();
        sizes.sort_unstable();
        (times, sizes)
    }

    fn cpu_s(&self) -> f64 {
        let id = self.child.process_id().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let fields: Vec<&str> = stat.split_whitespace().collect();
        let ticks: f64 = fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap();
        ticks / TICKS_PER_S
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Daemon {
    child: std::process::Child,
    socket: PathBuf,
    listen: String,
}

impl Daemon {
    fn start(dir: &Path) -> Self {
        let free = || {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap().to_string()
        };
        let (listen, otlp) = (free(), free());
        let config = dir.join("config.toml");
        let text = format!("listen = \"{listen}\"\notlp_listen = \"{otlp}\"\n");
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

    fn post(&self, stream: &mut TcpStream, alerts: &str) {
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

/// Sends alerts at the storm's pace until told to stop; counts them.
fn storm(daemon: &Daemon, stop: &AtomicBool, sent: &AtomicU64) {
    let mut stream = TcpStream::connect(&daemon.listen).unwrap();
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let count = sent.load(Ordering::Relaxed);
        let due = started + Duration::from_secs_f64(count as f64 / STORM_PER_S as f64);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        daemon.post(&mut stream, &alerts(count));
        sent.fetch_add(BATCH, Ordering::Relaxed);
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut stream = TcpStream::connect(&daemon.listen).unwrap();
    daemon.post(&mut stream, ROWS);
    std::thread::sleep(Duration::from_secs(2));
    for (cols, rows) in [(80, 24), (200, 60)] {
        let mut console = Console::attach(&daemon.socket, cols, rows);
        let (time, bytes) = console.first_frame();
        console.listen(Duration::from_secs(3));
        let cpu_s = console.cpu_s();
        let (idle, frames) = console.listen(IDLE);
        let cpu = (console.cpu_s() - cpu_s) / IDLE.as_secs_f64() * 100.0;
        println!("{cols}x{rows}");
        println!("  attach to first full frame   {time:>10.1?}   (50 ms)");
        println!("  first frame                  {bytes:>10} B (6,000 B at 80x24)");
        println!(
            "  idle for {IDLE:?}             {idle:>10} B in {frames} frames, {cpu:.3} % CPU (0.1 %)"
        );
        report("key to glyph, quiet", &console.moves());
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| storm(&daemon, &stop, &sent));
            let started = Instant::now();
            report("key to glyph, storm", &console.moves());
            stop.store(true, Ordering::Relaxed);
            let rate = sent.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
            println!("    with {rate:.0} alerts/s arriving");
        });
    }
}

fn report(what: &str, (times, sizes): &(Vec<Duration>, Vec<usize>)) {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "  {what:<28} p50 {:.2?}, p95 {:.2?}, p99 {:.2?} (5 ms); {} B at most in one read of a move (250 B)",
        at(0.5),
        at(0.95),
        at(0.99),
        sizes.last().copied().unwrap_or(0)
    );
}
