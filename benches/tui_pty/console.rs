//! A program on a pseudo-terminal, at the end of a link: what it draws goes through a terminal emulator, and
//! counts from when it is there.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::link::{Arrival, Slowness, Way};
use crate::{BETWEEN, GLYPH_MAX, IDLE, MOVES, PROGRAM, READY};

/// Read at once from a program, and the most of it that is on its way.
const CHUNK: usize = 65_536;
const CHUNKS_MAX: usize = 4_096;
/// Marks the selected row.
const MARKER: &str = "\u{25b8}";

/// A program on a terminal.
pub struct Console {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<(Arrival, Vec<u8>)>,
    screen: vt100::Parser,
    /// Half of a round trip; a key and its answer take it once each.
    one_way: Duration,
    /// How long what came had waited behind older frames, and frames and bytes, since it was asked last.
    pub came: Came,
    started: Instant,
    _master: Box<dyn MasterPty + Send>,
}

/// Output of some stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output {
    pub bytes: usize,
    pub reads: usize,
    /// Bytes of the last frame.
    pub last: usize,
}

/// Frames over some stretch of time.
#[derive(Clone, Debug, Default)]
pub struct Came {
    pub waits: Vec<Duration>,
    pub frames: usize,
    pub bytes: usize,
}

/// Answers to keys: times, the bytes of the frame that answered, and of it and everything that followed each, in ascending order.
pub struct Answers {
    pub times: Vec<Duration>,
    pub firsts: Vec<usize>,
    pub totals: Vec<usize>,
}

impl Console {
    /// Ours, on a daemon.
    pub fn attach(socket: &Path, size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("attach");
        command.arg(socket);
        Self::start(command, size, None)
    }

    /// Ours, told that its link is slow, at the far end of one.
    pub fn attach_slowly(socket: &Path, size: (u16, u16), slowness: Slowness) -> Self {
        let mut command = CommandBuilder::new(PROGRAM);
        command.arg("attach");
        command.arg(socket);
        command.arg("--slow");
        Self::start(command, size, Some(slowness))
    }

    /// Any program, seen over a link.
    pub fn start(
        mut command: CommandBuilder,
        (cols, rows): (u16, u16),
        slowness: Option<Slowness>,
    ) -> Self {
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
            let mut chunk = vec![0; CHUNK];
            let mut way = Way::new(slowness);
            while let Ok(len @ 1..) = reader.read(&mut chunk) {
                if send.send((way.send(len), chunk[..len].to_vec())).is_err() {
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
            one_way: slowness.map_or(Duration::ZERO, |slowness| slowness.round_trip / 2),
            came: Came::default(),
            started,
            _master: pair.master,
        }
    }

    /// Takes output until the screen is as wanted, or `end`: when it was, and what came.
    fn until(&mut self, end: Instant, wanted: impl Fn(&str) -> bool) -> (Option<Instant>, Output) {
        let mut came = Output::default();
        while let Ok((Arrival { at, waited }, chunk)) = self
            .output
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            // What is still on its way is not seen yet.
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            came.bytes += chunk.len();
            came.reads += 1;
            self.came.waits.push(waited);
            self.came.bytes += chunk.len();
            // One read may hold two frames, of news and of a key: each is looked at by itself.
            let mut seen = false;
            for frame in frames(&chunk) {
                self.screen.process(frame);
                self.came.frames += 1;
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

    /// Takes whatever comes in this time.
    pub fn listen(&mut self, time: Duration) -> Output {
        self.until(Instant::now() + time, |_| false).1
    }

    /// Until everything is on the screen: how long it took, and the bytes it took.
    pub fn first_frame(&mut self, full: impl Fn(&str) -> bool) -> (Duration, usize) {
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
    pub fn press(&mut self, keys: [&[u8]; 2], is_answer: impl Fn(&str, &str) -> bool) -> Answers {
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

    /// Moves the cursor down and up again.
    pub fn moves(&mut self) -> Answers {
        self.press([b"j", b"k"], |before, now| {
            Self::selected(before) != Self::selected(now)
        })
    }

    /// Presses keys and waits until the screen is as wanted; how long that took.
    pub fn leads_to(&mut self, keys: &[u8], wanted: impl Fn(&str) -> bool) -> Duration {
        let pressed = Instant::now();
        std::thread::sleep(self.one_way);
        self.keys.write_all(keys).unwrap();
        if wanted(&self.screen.screen().contents()) {
            return Duration::ZERO;
        }
        let (seen, _) = self.until(pressed + GLYPH_MAX, wanted);
        seen.map_or(GLYPH_MAX, |seen| seen - pressed)
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

    /// Listens without a key, and prints what came and what it cost.
    pub fn report_idle(&mut self) {
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
