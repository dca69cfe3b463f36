//! The console within real terminal multiplexers, in a terminal of 80x24: what it draws, its keys, its colours, a
//! size that changes, leaving and coming back, and what is copied.
//!
//! One that is not installed is skipped, loudly; with `STORMGLASS_REQUIRE_PEERS=1` it is a failure.

mod pty;

use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Stdio};

use portable_pty::CommandBuilder;
use pty::Session;
use tempfile::TempDir;

/// The console under test.
const DEMO: &str = concat!(env!("CARGO_BIN_EXE_stormglass"), " demo quiet --seed 1");
/// Whatever is copied begins so on the way to a terminal; tmux leaves out where to.
const COPIES: &[u8] = b"\x1b]52;";

/// A program that has terminals of its own and draws one of them on ours.
enum Multiplexer {
    Screen,
    Tmux,
}

/// One that runs a session, until this is dropped.
struct Running {
    kind: Multiplexer,
    /// Its sockets and files: no other session of this machine is seen, and none sees this.
    home: TempDir,
}

impl Multiplexer {
    /// What somebody has in their file who wants to copy, and no line at the bottom.
    const fn settings(&self) -> &'static str {
        match self {
            Self::Screen => "startup_message off\naltscreen on\n",
            Self::Tmux => "set -g set-clipboard on\nset -g status off\n",
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Tmux => "tmux",
        }
    }

    fn is_installed(&self) -> bool {
        let required = std::env::var("STORMGLASS_REQUIRE_PEERS").is_ok_and(|v| v == "1");
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(self.name()).is_file());
        assert!(found || !required, "{} is missing", self.name());
        if !found {
            eprintln!("SKIPPED: {} is missing", self.name());
        }
        found
    }

    fn start(self) -> Running {
        let settings = self.settings();
        self.start_with(settings)
    }

    fn start_with(self, settings: &str) -> Running {
        let home = tempfile::tempdir().expect("a folder");
        let running = Running { kind: self, home };
        std::fs::write(running.place("settings"), settings).expect("it is ours");
        // Screen takes no folder that others may look into.
        let mut folder = std::fs::DirBuilder::new();
        folder.mode(0o700);
        folder.create(running.place("sockets")).expect("a folder");
        running
    }
}

impl Running {
    fn place(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// Its arguments before what is to be done, and its environment.
    fn arguments(&self) -> Vec<String> {
        let [socket, settings] =
            ["sockets/tmux", "settings"].map(|name| self.place(name).display().to_string());
        let words: &[&str] = match self.kind {
            Multiplexer::Screen => &["-U", "-c", &settings],
            Multiplexer::Tmux => &["-f", &settings, "-S", &socket],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// In a terminal of ours.
    fn opens(&self, words: &[&str]) -> Session {
        let mut command = CommandBuilder::new(self.kind.name());
        command.args(self.arguments());
        command.args(words);
        for name in ["STY", "TMUX", "NO_COLOR", "COLORFGBG"] {
            command.env_remove(name);
        }
        command.env("SCREENDIR", self.place("sockets"));
        command.env("HOME", self.home.path());
        command.env("SHELL", "/bin/sh");
        Session::run(command)
    }

    /// Tells it something from outside.
    fn tell(&self, words: &[&str]) {
        let mut command = Command::new(self.kind.name());
        command.args(self.arguments()).args(words);
        command.env("SCREENDIR", self.place("sockets"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("it starts");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        match self.kind {
            Multiplexer::Screen => self.tell(&["-S", "storm", "-X", "quit"]),
            Multiplexer::Tmux => self.tell(&["kill-server"]),
        }
    }
}

/// The line with the footer, counted from 0, once it is the only one.
fn footer_on(session: &mut Session, line: usize) {
    let found = session.shows_within(pty::DEADLINE, |screen| {
        let lines = screen.lines().enumerate();
        let with_keys = lines.filter(|(_, text)| text.contains("? keys"));
        with_keys.map(|(at, _)| at).eq([line])
    });
    assert!(found, "{}", session.text());
}

/// What must hold in each, from the first frame to the last.
fn is_at_home(running: &Running, new: &[&str], leave: &str, back: &[&str]) {
    let mut terminal = running.opens(new);
    terminal.shows("Watching");
    footer_on(&mut terminal, 23);
    let coloured = |session: &Session| {
        let screen = session.screen.screen();
        let mut cells = (0..24).flat_map(|y| (0..80).map(move |x| (y, x)));
        cells.any(|(y, x)| {
            let cell = screen.cell(y, x).expect("on the screen");
            cell.fgcolor() != vt100::Color::Default && !cell.contents().trim().is_empty()
        })
    };
    assert!(coloured(&terminal), "no colour came through");

    // Keys that are one byte, that are sequences, and one that is a sequence of two keys.
    let marked = |screen: &str| screen.lines().position(|line| line.starts_with('\u{25b8}'));
    terminal.press("gs");
    let listed = terminal.shows_within(pty::DEADLINE, |screen| marked(screen).is_some());
    assert!(listed, "{}", terminal.text());
    let first = marked(&terminal.text()).expect("a row has the cursor");
    terminal.press("\x1b[B");
    let moved = terminal.shows_within(pty::DEADLINE, |screen| marked(screen) == Some(first + 1));
    assert!(moved, "{}", terminal.text());
    terminal.press("?");
    terminal.shows("Words of this view");
    terminal.press("\x1b");
    let closed = terminal.shows_within(pty::DEADLINE, |screen| marked(screen) == Some(first + 1));
    assert!(closed, "{}", terminal.text());

    // Another size, and the first one again. Screen redraws in its own time, too late for a test to wait for.
    if matches!(running.kind, Multiplexer::Tmux) {
        terminal.resize(132, 43);
        footer_on(&mut terminal, 42);
        terminal.resize(80, 24);
        footer_on(&mut terminal, 23);
    }

    // Left and taken up again, in a terminal that shows nothing of it yet.
    terminal.press(leave);
    let gone = terminal.shows_within(pty::DEADLINE, |screen| screen.contains("detached"));
    assert!(gone, "{}", terminal.text());
    let mut terminal = running.opens(back);
    terminal.shows("WHERE");
    footer_on(&mut terminal, 23);
    assert_eq!(
        marked(&terminal.text()),
        Some(first + 1),
        "{}",
        terminal.text()
    );

    copies(&mut terminal);
    terminal.press("\x03");
    let ended = terminal.shows_within(pty::DEADLINE, |screen| !screen.contains("WHERE"));
    assert!(ended, "{}", terminal.text());
}

/// What is copied goes through to the terminal outside.
fn copies(terminal: &mut Session) {
    terminal.press("y");
    terminal.shows("Copied");
    let mut written = terminal.written.windows(COPIES.len());
    assert!(written.any(|bytes| bytes == COPIES), "nothing was copied");
}

#[test]
fn it_is_at_home_in_gnu_screen() {
    if !Multiplexer::Screen.is_installed() {
        return;
    }
    let running = Multiplexer::Screen.start();
    let new = [
        "-S",
        "storm",
        "-T",
        "screen",
        "sh",
        "-c",
        &format!("{DEMO}; sleep 1000"),
    ];
    // Screen says that it is detached a moment before others may attach: `-d` waits for that.
    is_at_home(&running, &new, "\x01d", &["-d", "-r", "storm"]);
}

#[test]
fn it_is_at_home_in_tmux() {
    if !Multiplexer::Tmux.is_installed() {
        return;
    }
    let running = Multiplexer::Tmux.start();
    let new = ["new-session", "-s", "storm", &format!("{DEMO}; sleep 1000")];
    is_at_home(&running, &new, "\x02d", &["attach", "-t", "storm"]);
}

/// Whoever lets no program set the clipboard may still let it talk to the terminal outside.
#[test]
fn what_is_copied_goes_through_a_tmux_that_only_passes_it_on() {
    if !Multiplexer::Tmux.is_installed() {
        return;
    }
    let settings =
        "set -g set-clipboard external\nset -g allow-passthrough on\nset -g status off\n";
    let running = Multiplexer::Tmux.start_with(settings);
    let new = ["new-session", "-s", "storm", &format!("{DEMO}; sleep 1000")];
    let mut terminal = running.opens(&new);
    terminal.shows("Watching");
    terminal.press("gs");
    terminal.shows("WHERE");
    copies(&mut terminal);
}
