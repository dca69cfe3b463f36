//! A program in a pseudo-terminal, and what its screen shows. Waits for what is on the screen, never
//! for a time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal};

/// Longest wait for anything: the demo's pace is ten times real time or faster.
pub const DEADLINE: Duration = Duration::from_mins(2);
/// Output is waited for this long at a time.
const STEP: Duration = Duration::from_millis(200);
/// Chunks of output in flight from the terminal.
const CHUNKS_MAX: usize = 64;

/// A running program and its terminal.
pub struct Session {
    pub child: Box<dyn Child + Send + Sync>,
    pub screen: vt100::Parser,
    /// Everything the program wrote, as it wrote it.
    pub written: Vec<u8>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    master: Box<dyn MasterPty + Send>,
}

impl Session {
    /// The console, 80x24.
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_stormglass"));
        command.args(arguments);
        Self::run(command)
    }

    /// Any program, 80x24.
    pub fn run(mut command: CommandBuilder) -> Self {
        let size = PtySize {
            rows: 24,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system()
            .openpty(size)
            .expect("a pseudo-terminal");
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        let child = pair
            .slave
            .spawn_command(command)
            .expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("a reader");
        let keys = pair.master.take_writer().expect("a writer");
        let (send, output) = sync_channel(CHUNKS_MAX);
        std::thread::spawn(move || {
            let mut chunk = [0; 8_192];
            while let Ok(len @ 1..) = reader.read(&mut chunk) {
                if send.send(chunk[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            output,
            screen: vt100::Parser::new(24, 80, 0),
            written: Vec::new(),
            master: pair.master,
        }
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: Signal) {
        let id = self.child.process_id().expect("it runs");
        let id = Pid::from_raw(id.cast_signed()).expect("not zero");
        rustix::process::kill_process(id, signal).expect("it is ours");
    }

    /// Makes the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.screen.screen_mut().set_size(rows, columns);
        self.master.resize(size).expect("the terminal is there");
    }

    /// Whether the terminal echoes and waits for whole lines, as a shell expects it.
    pub fn is_cooked(&self) -> bool {
        /// `ICANON | ECHO` of termios(3) on Linux.
        const CANONICAL_AND_ECHO: u32 = 0o12;
        let modes = self.master.get_termios().expect("a terminal");
        modes.local_flags.bits() & CANONICAL_AND_ECHO == CANONICAL_AND_ECHO
    }

    /// Takes output until the terminal is as it was before the program took it.
    pub fn gives_back(&mut self) {
        let started = Instant::now();
        while !self.is_given_back() && started.elapsed() < DEADLINE {
            match self.output.recv_timeout(STEP) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        assert!(self.is_given_back(), "{}", self.text());
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.written.extend_from_slice(bytes);
    }

    fn is_given_back(&self) -> bool {
        let screen = self.screen.screen();
        let drawn = screen.alternate_screen() || screen.hide_cursor() || screen.bracketed_paste();
        !drawn && self.is_cooked()
    }

    /// What the screen shows, as text.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .expect("the terminal is there");
    }

    /// Takes output until the screen is as wanted, or for at most `wait`.
    pub fn shows_within(&mut self, wait: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let started = Instant::now();
        loop {
            if wanted(&self.text()) {
                return true;
            }
            let left = wait.saturating_sub(started.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => panic!("it ended\n{}", self.text()),
            }
        }
    }

    /// Takes output until these words are on the screen.
    pub fn shows(&mut self, words: &str) {
        let found = self.shows_within(DEADLINE, |screen| screen.contains(words));
        assert!(found, "{words:?} never came up\n{}", self.text());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
    }
}
