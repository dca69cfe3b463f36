//! The whole path in a real terminal: start the demo, wait for the incident, open it, read the
//! suspect, approve the plan, see that it worked. Waits for what is on the screen, never for a time.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longest wait for anything: the demo's pace is ten times real time or faster.
const DEADLINE: Duration = Duration::from_mins(2);
/// A key that a dialog ignores as too quick is pressed again after this long.
const AGAIN: Duration = Duration::from_millis(700);
/// Chunks of output in flight from the terminal.
const CHUNKS_MAX: usize = 64;

struct Session {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    _master: Box<dyn MasterPty + Send>,
}

impl Session {
    fn start(arguments: &[&str]) -> Self {
        let size = PtySize {
            rows: 24,
            cols: 80,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system()
            .openpty(size)
            .expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_stormglass"));
        command.args(arguments);
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
            _master: pair.master,
        }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys
            .write_all(keys.as_bytes())
            .expect("the terminal is there");
    }

    /// Takes output until the screen is as wanted, or for at most `wait`.
    fn shows_within(&mut self, wait: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let started = Instant::now();
        loop {
            if wanted(&self.text()) {
                return true;
            }
            let left = wait.saturating_sub(started.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => panic!("it ended\n{}", self.text()),
            }
        }
    }

    fn shows(&mut self, words: &str) {
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

/// From the start of the demo to the moment the approved plan has run.
fn approved() -> Session {
    let mut demo = Session::start(&["demo", "bad-deploy", "--seed", "1"]);
    demo.shows("Watching");
    demo.shows("Y approve: ");
    demo.press("\r2");
    demo.shows("trigger");
    let suspect = demo.text();
    assert!(suspect.contains("#1 checkout"), "{suspect}");
    demo.press("Y");
    demo.shows("[ Cancel ]");
    assert!(
        demo.text().contains("What will run, exactly"),
        "{}",
        demo.text()
    );
    demo.press("\t");
    for _ in 0..20 {
        demo.press("\r");
        if demo.shows_within(AGAIN, |screen| !screen.contains("[ Cancel ]")) {
            break;
        }
    }
    demo.shows("ran; verifying until");
    demo
}

#[test]
fn from_a_bad_deploy_to_an_approved_fix() {
    let mut demo = approved();
    demo.press("qq");
    assert!(demo.child.wait().expect("it ends").success());
}

#[test]
fn the_approved_fix_is_seen_to_work() {
    let mut demo = approved();
    demo.shows("worked, verified");
}

#[test]
fn a_terminated_console_gives_the_terminal_back() {
    let mut demo = Session::start(&["demo", "bad-deploy", "--seed", "1"]);
    demo.shows("Watching");
    assert!(demo.screen.screen().alternate_screen());
    let id = demo.child.process_id().expect("it runs");
    let id = rustix::process::Pid::from_raw(id.cast_signed()).expect("not zero");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it is ours");
    let started = Instant::now();
    while demo.screen.screen().alternate_screen() && started.elapsed() < DEADLINE {
        if let Ok(bytes) = demo.output.recv_timeout(AGAIN) {
            demo.screen.process(&bytes);
        }
    }
    let screen = demo.screen.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
}
