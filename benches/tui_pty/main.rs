//! The console through a pseudo-terminal: bytes and CPU when idle, the first full frame, what a cursor
//! move costs, the live feed, and key to glyph, also while 10,000 alerts a second arrive.
//!
//! `cargo bench --bench tui_pty` prints a table beside the budgets; btop and bottom are measured beside it
//! where they are installed. All of them once more over a slow link, 400 ms and 32 kB/s, between the program
//! and its terminal; ours also with that link between console and daemon. Nothing is asserted. What counts is
//! what a terminal shows: the bytes go through a terminal emulator, and a key is answered when the marker is
//! on another incident.

mod console;
mod daemon;
mod link;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portable_pty::CommandBuilder;

use console::{Answers, Came, Console};
use daemon::{Daemon, while_fed};
use link::Slowness;

/// Ours.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_stormglass");
/// What is measured beside us: monitors whose consoles responders know, and a word of their first frame.
const PEERS: [(&str, &str); 2] = [("btop", "proc"), ("btm", "CPU")];
/// A bad link.
const SLOW: Slowness = Slowness {
    round_trip: Duration::from_millis(400),
    bytes_per_s: 32_000,
};
/// Watched without a key.
pub const IDLE: Duration = Duration::from_secs(20);
/// A feed is watched this long without a key.
const FEED: Duration = Duration::from_secs(10);
/// Cursor moves measured.
pub const MOVES: usize = 100;
/// Bytes that a move may cost.
const MOVE_BYTES: usize = 250;
/// Between keys, so that the preview has settled and moves are measured alone.
pub const BETWEEN: Duration = Duration::from_millis(180);
/// A glyph later than this is lost.
pub const GLYPH_MAX: Duration = Duration::from_secs(3);
/// Alerts a second of the steady feed and of the storm.
const STEADY_PER_S: u64 = 640;
const STORM_PER_S: u64 = 10_000;
/// The console and the daemon are ready within this.
pub const READY: Duration = Duration::from_secs(20);
/// Three incidents, so that the cursor has somewhere to go.
const ROWS: &str = r#"[{"labels":{"alertname":"Down0","service":"alpha","severity":"critical"}},{"labels":{"alertname":"Down1","service":"beta","severity":"critical"}},{"labels":{"alertname":"Down2","service":"gamma","severity":"critical"}}]"#;
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let mut stream = TcpStream::connect(&daemon.listen).unwrap();
    daemon.post(&mut stream, ROWS);
    std::thread::sleep(Duration::from_secs(2));
    for (cols, rows) in SIZES {
        println!("stormglass attach, {cols}x{rows}");
        ours(&daemon, (cols, rows));
    }
    for size in SIZES {
        slowly(&daemon, size);
    }
    far_away(&daemon);
    for (name, word) in PEERS {
        let Some(program) = installed(name) else {
            println!("{name} is not installed: not compared with");
            continue;
        };
        for (cols, rows) in SIZES {
            println!("{name}, {cols}x{rows}");
            peer(&program, word, dir.path(), (cols, rows), None);
        }
        println!("{name}, 80x24, {}", said(SLOW));
        peer(&program, word, dir.path(), SIZES[0], Some(SLOW));
    }
}

/// Where a program is, if it is anywhere people's programs are.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates.find(|candidate| candidate.is_file())
}

fn said(slowness: Slowness) -> String {
    let Slowness {
        round_trip,
        bytes_per_s,
    } = slowness;
    format!("round trip {round_trip:?}, {bytes_per_s} B/s")
}

/// Whether all of the list and of the incident beside it is on the screen.
fn is_full(screen: &str) -> bool {
    screen.contains("alpha") && !screen.contains("Fetching") && !screen.contains("Connecting")
}

fn ours(daemon: &Daemon, size: (u16, u16)) {
    let mut console = Console::attach(&daemon.socket, size);
    let (time, bytes) = console.first_frame(is_full);
    println!("  attach to first full frame    {time:>10.1?} (50 ms)");
    println!("  first frame                   {bytes:>8} B (6,000 B at 80x24)");
    console.listen(Duration::from_secs(3));
    console.report_idle();
    report("key to glyph, quiet", &console.moves(), "5 ms");
    for per_s in [STEADY_PER_S, STORM_PER_S] {
        let (came, rate) = while_fed(daemon, per_s, || console.listen(FEED));
        println!(
            "  live feed, {rate:>6.0} alerts/s     {:>8.0} B/s (1,000 B/s at 80x24)",
            came.bytes as f64 / FEED.as_secs_f64()
        );
    }
    let (answers, rate) = while_fed(daemon, STORM_PER_S, || console.moves());
    report(
        &format!("key to glyph, {rate:.0} alerts/s"),
        &answers,
        "5 ms",
    );
}

/// Keys over a slow link: an answer takes a round trip and its own bytes. Behind frames that nobody waits
/// for it would take longer, the more the longer a storm lasts.
fn slowly(daemon: &Daemon, (cols, rows): (u16, u16)) {
    println!("stormglass attach --slow, {cols}x{rows}, {}", said(SLOW));
    let mut console = Console::attach_slowly(&daemon.socket, (cols, rows), SLOW);
    let (time, bytes) = console.first_frame(is_full);
    println!("  attach to first full frame    {time:>10.1?}, {bytes} B");
    console.listen(Duration::from_secs(2));
    report("key to glyph, quiet", &console.moves(), "400 ms");
    console.came = Came::default();
    let (_, rate) = while_fed(daemon, STORM_PER_S, || console.listen(FEED));
    report_queue(
        &format!("no key, {rate:.0} alerts/s"),
        &mut console,
        Some(FEED),
    );
    let (answers, rate) = while_fed(daemon, STORM_PER_S, || console.moves());
    report(
        &format!("key to glyph, {rate:.0} alerts/s"),
        &answers,
        "400 ms",
    );
    report_queue("behind older frames", &mut console, None);
}

/// A console here on a daemon far away: what it holds answers at once, what it must ask for takes a round
/// trip.
fn far_away(daemon: &Daemon) {
    let (cols, rows) = SIZES[0];
    println!(
        "stormglass attach, {cols}x{rows}, {} between console and daemon",
        said(SLOW)
    );
    let socket = link::proxy(&daemon.socket, SLOW);
    let mut console = Console::attach(&socket, (cols, rows));
    let (time, bytes) = console.first_frame(is_full);
    println!("  attach to first full frame    {time:>10.1?}, {bytes} B");
    console.listen(Duration::from_secs(2));
    report("key to glyph, quiet", &console.moves(), "5 ms");
    let (answers, rate) = while_fed(daemon, STORM_PER_S, || console.moves());
    report(
        &format!("key to glyph, {rate:.0} alerts/s"),
        &answers,
        "5 ms",
    );
    // Charts are asked for only when they are looked at.
    let opened = console.leads_to(b"\r4", |screen| {
        screen
            .lines()
            .next()
            .is_some_and(|head| head.contains("Metrics"))
    });
    let shown = console.leads_to(b"", |screen| !screen.contains("Fetching"));
    println!(
        "  enter and 4 to the page       {opened:>10.1?} (5 ms), to its metrics {shown:.1?} more (400 ms)"
    );
}

/// The same on another program, as it comes; any byte counts as its answer.
fn peer(program: &Path, word: &str, dir: &Path, size: (u16, u16), slowness: Option<Slowness>) {
    let mut command = CommandBuilder::new(program);
    command.env("XDG_CONFIG_HOME", dir);
    let mut console = Console::start(command, size, slowness);
    let (time, bytes) = console.first_frame(|screen| screen.contains(word));
    println!("  start to first frame          {time:>10.1?}");
    println!("  first frame                   {bytes:>8} B");
    console.listen(Duration::from_secs(3));
    console.report_idle();
    console.came = Came::default();
    let answers = console.press([b"\x1b[B", b"\x1b[A"], |_, _| true);
    report("key to glyph, quiet", &answers, "any byte");
    if slowness.is_some() {
        report_queue("behind older frames", &mut console, None);
    }
}

fn at<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share) as usize).copied()
}

fn report(what: &str, answers: &Answers, budget: &str) {
    let times = &answers.times;
    let at = |share| at(times, share).unwrap_or(GLYPH_MAX);
    let lost = times.iter().filter(|time| **time >= GLYPH_MAX).count();
    println!(
        "  {what:<29} p50 {:.2?}, p95 {:.2?}, p99 {:.2?} ({budget}), {lost} lost",
        at(0.5),
        at(0.95),
        at(0.99)
    );
    let dear = answers.firsts.iter().filter(|bytes| **bytes > MOVE_BYTES);
    println!(
        "    bytes of a move             median {} B, at most {} B ({MOVE_BYTES} B), {} of {MOVES} above; with what follows, median {} B",
        answers.firsts[MOVES / 2],
        answers.firsts[MOVES - 1],
        dear.count(),
        answers.totals[MOVES / 2]
    );
}

/// How long what came had waited for what was sent before it: a queue of stale frames would grow.
fn report_queue(what: &str, console: &mut Console, over: Option<Duration>) {
    let Came {
        mut waits,
        frames,
        bytes,
    } = std::mem::take(&mut console.came);
    waits.sort();
    let at = |share| at(&waits, share).unwrap_or_default();
    let pace = over.map_or_else(String::new, |over| {
        let per_s = |n: usize| n as f64 / over.as_secs_f64();
        format!(
            "; {:.1} frames/s (2), {:.0} B/s",
            per_s(frames),
            per_s(bytes)
        )
    });
    println!(
        "  {what:<29} waited p50 {:.1?}, p95 {:.1?}, most {:.1?}{pace}",
        at(0.5),
        at(0.95),
        at(1.0)
    );
}
