//! The console through a pseudo-terminal: bytes and CPU when idle, the first full frame, what a cursor
//! move costs, the live feed, and key to glyph, also while 10,000 alerts a second arrive.
//!
//! `cargo bench --bench tui_pty` prints a table beside the budgets; btop and bottom are measured beside it
//! where they are installed, and ours once more over a slow link. Nothing is asserted. What counts is what a terminal shows: the bytes go through a
//! terminal emulator, and a key is answered when the marker is on another incident.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stormglass");
/// What is measured beside us: monitors whose consoles responders know, and a word of their first frame.
const PEERS: [(&str, &str); 2] = [("btop", "proc"), ("btm", "CPU")];
/// The slow link: a round trip, and what passes to the terminal in a second.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(400);
const SLOW_BYTES_PER_S: usize = 32_000;
/// What is read at once from a program behind a slow link: little, so that it notices how slow it is.
const SLOW_CHUNK: usize = 512;
/// Watched without a key.
const IDLE: Duration = Duration::from_secs(20);
/// A feed is watched this long without a key.
const FEED: Duration = Duration::from_secs(10);
/// Cursor moves measured.
const MOVES: usize = 100;
/// Between keys, so that the preview has settled and moves are measured alone.
const BETWEEN: Duration = Duration::from_millis(180);
/// A glyph later than this is lost.
const GLYPH_MAX: Duration = Duration::from_secs(3);
/// Alerts a second of the steady feed and of the storm, and in one request.
const STEADY_PER_S: u64 = 640;
const STORM_PER_S: u64 = 10_000;
const BATCH: u64 = 64;
/// Distinct alerts of the storm: it fires the same ones again.
const DISTINCT: u64 = 10_000;
/// The console and the daemon are ready within this.
const READY: Duration = Duration::from_secs(20);
const CHUNKS_MAX: usize = 1_024;
/// Three incidents, so that the cursor has somewhere to go.
const ROWS: &str = r#"[{"labels":{"alertname":"Down0","service":"alpha","severity":"critical"}},{"labels":{"alertname":"Down1","service":"beta","severity":"critical"}},{"labels":{"alertname":"Down2","service":"gamma","severity":"critical"}}]"#;
/// Marks the selected row.
const MARKER: &str = "\u{25b8}";
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// A program on a terminal.
struct Console {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<(Instant, Vec<u8>)>,
    screen: vt100::Parser,
    /// Half of a round trip; a key and its answer take it once each.
    one_way: Duration,
    started: Instant,
    _master: Box<dyn MasterPty + Send>,
}

/// Output of some stretch of time.
#[derive(Clone, Copy, Debug, Default)]
struct Output {
    bytes: usize,
    reads: usize,
    /// Bytes of the last frame.
    last: usize,
}

/// Answers to keys: times, the bytes of the frame that answered, and of it and everything that followed each, in ascending order.
struct Answers {
    times: Vec<Duration>,
    firsts: Vec<usize>,
    totals: Vec<usize>,
}

impl Console {
    fn attach(socket: &Path, cols: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("attach");
        command.arg(socket);
        Self::start(command, cols, rows, false)
    }

    /// The console at the far end of a slow link.
    fn attach_slowly(socket: &Path, cols: u16, rows: u16) -> Self {
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("attach");
        command.arg(socket);
        command.arg("--slow");
        Self::start(command, cols, rows, true)
    }

    fn start(mut command: CommandBuilder, cols: u16, rows: u16, slow: bool) -> Self {
        let size = PtySize {
            rows,
            cols,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("LC_ALL", "C.UTF-8");
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (send, output) = sync_channel(CHUNKS_MAX);
        std::thread::spawn(move || {
            let mut chunk = vec![0; if slow { SLOW_CHUNK } else { 65_536 }];
            while let Ok(len @ 1..) = reader.read(&mut chunk) {
                let mut arrives = Instant::now();
                if slow {
                    let passes = Duration::from_secs_f64(len as f64 / SLOW_BYTES_PER_S as f64);
                    std::thread::sleep(passes);
                    arrives = Instant::now() + SLOW_ROUND_TRIP / 2;
                }
                if send.send((arrives, chunk[..len].to_vec())).is_err() {
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
            screen: vt100::Parser::new(rows, cols, 0),
            one_way: if slow {
                SLOW_ROUND_TRIP / 2
            } else {
                Duration::ZERO
            },
            started,
            _master: pair.master,
        }
    }

    /// Takes output until the screen is as wanted, or `end`: when it was, and what came.
    fn until(&mut self, end: Instant, wanted: impl Fn(&str) -> bool) -> (Option<Instant>, Output) {
        let mut came = Output::default();
        while let Ok((at, chunk)) = self
            .output
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            // What is still on its way is not seen yet.
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            came.bytes += chunk.len();
            came.reads += 1;
            // One read may hold two frames, of news and of a key: each is looked at by itself.
            let mut seen = false;
            for frame in frames(&chunk) {
                self.screen.process(frame);
                if !seen {
                    came.last = frame.len();
                    seen = wanted(&self.screen.screen().contents());
                }
            }
            if seen {
                return (Some(at), came);
            }
        }
        (None, came)
    }

    fn listen(&mut self, time: Duration) -> Output {
        self.until(Instant::now() + time, |_| false).1
    }

    /// Until everything is on the screen: how long it took, and the bytes it took.
    fn first_frame(&mut self, full: impl Fn(&str) -> bool) -> (Duration, usize) {
        let (at, came) = self.until(self.started + READY, full);
        (at.map_or(READY, |at| at - self.started), came.bytes)
    }

    /// The incident of the row with the marker, if there is one. Not its place: a frame of news that
    /// orders the list anew moves the marker with its incident, and answers no key.
    fn selected(contents: &str) -> Option<u64> {
        let line = contents.lines().find(|line| line.starts_with(MARKER))?;
        line.split_whitespace().find_map(|word| word.parse().ok())
    }

    /// Presses each key in turn and waits until `is_answer` holds for the screen before and after.
    fn press(&mut self, keys: [&[u8]; 2], is_answer: impl Fn(&str, &str) -> bool) -> Answers {
        let mut answers = Answers {
            times: Vec::new(),
            firsts: Vec::new(),
            totals: Vec::new(),
        };
        self.listen(BETWEEN);
        for at in 0..MOVES {
            let before = self.screen.screen().contents();
            let pressed = Instant::now();
            std::thread::sleep(self.one_way);
            self.keys.write_all(keys[at % 2]).unwrap();
            let (seen, first) = self.until(pressed + GLYPH_MAX, |now| is_answer(&before, now));
            answers
                .times
                .push(seen.map_or(GLYPH_MAX, |seen| seen - pressed));
            answers.firsts.push(first.last);
            answers
                .totals
                .push(first.bytes + self.listen(BETWEEN).bytes);
        }
        answers.times.sort();
        answers.firsts.sort_unstable();
        answers.totals.sort_unstable();
        answers
    }

    fn moves(&mut self) -> Answers {
        self.press([b"j", b"k"], |before, now| {
            Self::selected(before) != Self::selected(now)
        })
    }

    /// CPU time of all its threads, in seconds.
    fn cpu_s(&self) -> f64 {
        let id = self.child.process_id().unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
        let ns: u64 = tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok())
            .sum();
        ns as f64 / 1e9
    }

    fn report_idle(&mut self) {
        let cpu_s = self.cpu_s();
        let idle = self.listen(IDLE);
        let cpu = (self.cpu_s() - cpu_s) / IDLE.as_secs_f64() * 100.0;
        println!(
            "  idle for {IDLE:?}                {:>8} B in {} frames, {cpu:.3} % CPU (0.1 %)",
            idle.bytes, idle.reads
        );
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

/// What was read, cut after each synchronized update.
fn frames(chunk: &[u8]) -> Vec<&[u8]> {
    const END: &[u8] = b"\x1b[?2026l";
    let mut frames = Vec::new();
    let mut rest = chunk;
    while let Some(at) = rest.windows(END.len()).position(|bytes| bytes == END) {
        let (frame, tail) = rest.split_at(at + END.len());
        frames.push(frame);
        rest = tail;
    }
    if !rest.is_empty() {
        frames.push(rest);
    }
    frames
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
fn while_fed<R>(daemon: &Daemon, per_s: u64, act: impl FnOnce() -> R) -> (R, f64) {
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

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut stream = TcpStream::connect(&daemon.listen).unwrap();
    daemon.post(&mut stream, ROWS);
    std::thread::sleep(Duration::from_secs(2));
    for (cols, rows) in SIZES {
        println!("stormglass attach, {cols}x{rows}");
        ours(&daemon, cols, rows);
    }
    slowly(&daemon);
    for (name, word) in PEERS {
        let Some(program) = installed(name) else {
            println!("{name} is not installed: not compared with");
            continue;
        };
        for (cols, rows) in SIZES {
            println!("{name}, {cols}x{rows}");
            peer(&program, word, dir.path(), cols, rows);
        }
    }
}

/// Where a program is, if it is anywhere people's programs are.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates.find(|candidate| candidate.is_file())
}

/// Keys over a slow link: an answer takes a round trip and its own bytes. Behind frames that nobody waits
/// for it would take longer, the more the longer the storm lasts.
fn slowly(daemon: &Daemon) {
    let (cols, rows) = SIZES[0];
    println!(
        "stormglass attach, {cols}x{rows}, round trip {SLOW_ROUND_TRIP:?}, {SLOW_BYTES_PER_S} B/s"
    );
    let mut console = Console::attach_slowly(&daemon.socket, cols, rows);
    let (time, bytes) = console.first_frame(|screen| {
        screen.contains("alpha") && !screen.contains("Fetching") && !screen.contains("Connecting")
    });
    println!("  attach to first full frame    {time:>10.1?}, {bytes} B");
    console.listen(Duration::from_secs(2));
    report("key to glyph, quiet", &console.moves());
    let (answers, rate) = while_fed(daemon, STORM_PER_S, || console.moves());
    report(&format!("key to glyph, {rate:.0} alerts/s"), &answers);
}

fn ours(daemon: &Daemon, cols: u16, rows: u16) {
    let mut console = Console::attach(&daemon.socket, cols, rows);
    let (time, bytes) = console.first_frame(|screen| {
        screen.contains("alpha") && !screen.contains("Fetching") && !screen.contains("Connecting")
    });
    println!("  attach to first full frame    {time:>10.1?} (50 ms)");
    println!("  first frame                   {bytes:>8} B (6,000 B at 80x24)");
    console.listen(Duration::from_secs(3));
    console.report_idle();
    report("key to glyph, quiet", &console.moves());
    for per_s in [STEADY_PER_S, STORM_PER_S] {
        let (came, rate) = while_fed(daemon, per_s, || console.listen(FEED));
        println!(
            "  live feed, {rate:>6.0} alerts/s     {:>8.0} B/s (1,000 B/s at 80x24)",
            came.bytes as f64 / FEED.as_secs_f64()
        );
    }
    let (answers, rate) = while_fed(daemon, STORM_PER_S, || console.moves());
    report(&format!("key to glyph, {rate:.0} alerts/s"), &answers);
}

/// The same on another program, as it comes; any byte counts as its answer.
fn peer(program: &Path, word: &str, dir: &Path, cols: u16, rows: u16) {
    let mut command = CommandBuilder::new(program);
    command.env("XDG_CONFIG_HOME", dir);
    let mut console = Console::start(command, cols, rows, false);
    let (time, bytes) = console.first_frame(|screen| screen.contains(word));
    println!("  start to first frame          {time:>10.1?}");
    println!("  first frame                   {bytes:>8} B");
    console.listen(Duration::from_secs(3));
    console.report_idle();
    report(
        "key to glyph, quiet",
        &console.press([b"\x1b[B", b"\x1b[A"], |_, _| true),
    );
}

fn report(what: &str, answers: &Answers) {
    let times = &answers.times;
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let lost = times.iter().filter(|time| **time >= GLYPH_MAX).count();
    println!(
        "  {what:<29} p50 {:.2?}, p95 {:.2?}, p99 {:.2?} (5 ms), {lost} lost",
        at(0.5),
        at(0.95),
        at(0.99)
    );
    println!(
        "    bytes of a move             median {} B, at most {} B (250 B); with what follows, median {} B",
        answers.firsts[MOVES / 2],
        answers.firsts[MOVES - 1],
        answers.totals[MOVES / 2]
    );
}
