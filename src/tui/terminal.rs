//! The terminal: raw mode and the alternate screen while the console runs, and everything as it was
//! afterwards, also after a panic, a signal or a stop.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::terminal::{disable_raw_mode, enable_raw_mode};
use rustix::io::Errno;

/// Alternate screen, no cursor, pasted text in brackets.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?2004h";
/// All of it undone, the mouse too.
const LEAVE: &str = "\x1b[?1006l\x1b[?1000l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";
/// Buttons and wheel, with coordinates of any size.
const MOUSE: [&str; 2] = ["\x1b[?1006l\x1b[?1000l", "\x1b[?1000h\x1b[?1006h"];
/// Columns and lines drawn at most, in the top left: no screen that people look at has more, and a window
/// that says it has thousands would take gigabytes and minutes a frame.
const DRAWN_MAX: (u16, u16) = (500, 300);
/// Most of a string that GNU screen passes on at once to the terminal it is in, in bytes: it cuts longer ones.
const PASSED_MAX: usize = 256;
/// A terminal that takes no bytes now is asked again after this long.
const FULL_WAIT: Duration = Duration::from_millis(1);

/// The terminal while the console has it.
#[derive(Debug)]
pub struct Terminal {
    out: File,
    ours: Arc<AtomicBool>,
    within: Option<Multiplexer>,
}

/// What stands between us and the terminal that people look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Multiplexer {
    Screen,
    Tmux,
}

impl Terminal {
    /// Takes the terminal, and sees to it that a panic gives it back.
    pub fn enter() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other(
                "what is drawn needs a terminal; `stormglass --plain` and `stormglass incidents` print lines",
            ));
        }
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let ours = Arc::new(AtomicBool::new(false));
        restore_on_panic(&ours);
        let mut terminal = Self {
            out,
            ours,
            within: Multiplexer::around(|name| {
                std::env::var_os(name).is_some_and(|v| !v.is_empty())
            }),
        };
        terminal.take()?;
        Ok(terminal)
    }

    /// Takes the terminal again, after it was given back.
    pub fn take(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        self.ours.store(true, Ordering::SeqCst);
        self.write(ENTER.as_bytes())
    }

    /// Gives it back.
    pub fn give_back(&mut self) -> io::Result<()> {
        if self.ours.swap(false, Ordering::SeqCst) {
            self.write(LEAVE.as_bytes())?;
            disable_raw_mode()?;
        }
        Ok(())
    }

    /// Whether the console still has it; a panic anywhere takes it away.
    pub fn is_ours(&self) -> bool {
        self.ours.load(Ordering::SeqCst)
    }

    /// Columns and lines to draw.
    pub fn size() -> io::Result<(u16, u16)> {
        let (columns, lines) = crossterm::terminal::size()?;
        Ok(drawn(columns, lines))
    }

    /// Reports the mouse, or does not.
    pub fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.write(MOUSE[usize::from(on)].as_bytes())
    }

    /// Puts text on the clipboard of whoever sits before the terminal (OSC 52).
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        let copies = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
        self.write(through(self.within, &copies).as_bytes())
    }

    /// Writes a frame: one write, unless the terminal takes less at once. It blocks while the link is
    /// slow, so that no queue of stale frames builds up.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => bytes = &bytes[taken..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(FULL_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Multiplexer {
    /// The innermost one, by the variables that each sets.
    fn around(is_set: impl Fn(&str) -> bool) -> Option<Self> {
        if is_set("TMUX") {
            Some(Self::Tmux)
        } else {
            is_set("STY").then_some(Self::Screen)
        }
    }
}

/// A sequence as it gets through what draws us. tmux takes one that copies itself, with `set-clipboard on`, or
/// passes it on, with `allow-passthrough on`: which of them its user has set it does not tell, so that it gets both.
fn through(within: Option<Multiplexer>, sequence: &str) -> String {
    match within {
        None => sequence.to_owned(),
        Some(Multiplexer::Screen) => passed_on(sequence),
        Some(Multiplexer::Tmux) => {
            let doubled = sequence.replace('\x1b', "\x1b\x1b");
            format!("{sequence}\x1bPtmux;{doubled}\x1b\\")
        }
    }
}

/// A sequence that GNU screen does not know, as it passes it on to the terminal it is in: piece by piece, each
/// in a string of its own.
fn passed_on(sequence: &str) -> String {
    let mut text = String::new();
    let mut rest = sequence;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PASSED_MAX));
        let _ = write!(text, "\x1bP{piece}\x1b\\");
        rest = after;
    }
    text
}

/// What is drawn of a window of this size.
pub(super) fn drawn(columns: u16, lines: u16) -> (u16, u16) {
    (columns.min(DRAWN_MAX.0), lines.min(DRAWN_MAX.1))
}

/// Whether an error says that nobody is at the other end of the terminal any more, as a hang-up does.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::IO, Errno::NXIO, Errno::NODEV, Errno::PIPE];
    let code = error.raw_os_error();
    gone.iter().any(|gone| code == Some(gone.raw_os_error()))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.give_back();
    }
}

fn restore_on_panic(ours: &Arc<AtomicBool>) {
    let ours = Arc::clone(ours);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if ours.swap(false, Ordering::SeqCst) {
            let _ = io::stdout().write_all(LEAVE.as_bytes());
            let _ = io::stdout().flush();
            let _ = disable_raw_mode();
        }
        report(info);
    }));
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let all = chunk
            .iter()
            .fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let six = all >> (18 - 6 * at) & 0x3f;
            text.push(if at <= chunk.len() {
                char::from(ALPHABET[six as usize])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Multiplexer, through};

    #[test]
    fn absurd_windows_are_drawn_in_part() {
        let cases = [
            ((80, 24), (80, 24)),
            ((400, 120), (400, 120)),
            ((10_000, 20), (500, 20)),
            ((u16::MAX, u16::MAX), (500, 300)),
        ];
        for ((columns, lines), expected) in cases {
            assert_eq!(super::drawn(columns, lines), expected);
        }
    }

    #[test]
    fn screen_passes_on_what_it_is_told_to_in_pieces() {
        assert_eq!(super::passed_on("ab"), "\x1bPab\x1b\\");
        let long = "x".repeat(super::PASSED_MAX + 1);
        let pieces = super::passed_on(&long);
        let whole = pieces.replace("\x1bP", "").replace("\x1b\\", "");
        assert_eq!((pieces.matches("\x1bP").count(), whole), (2, long));
    }

    #[test]
    fn what_is_copied_finds_its_way_through_what_draws_us() {
        let around = |set: &[&str]| Multiplexer::around(|name| set.contains(&name));
        assert_eq!(around(&[]), None);
        assert_eq!(around(&["STY"]), Some(Multiplexer::Screen));
        assert_eq!(around(&["STY", "TMUX"]), Some(Multiplexer::Tmux));
        let copies = "\x1b]52;c;eA==\x07";
        assert_eq!(through(None, copies), copies);
        let screen = through(Some(Multiplexer::Screen), copies);
        assert_eq!(screen, "\x1bP\x1b]52;c;eA==\x07\x1b\\");
        let tmux = through(Some(Multiplexer::Tmux), copies);
        assert_eq!(
            tmux,
            format!("{copies}\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\")
        );
    }

    #[test]
    fn base64_pads() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (text, expected) in cases {
            assert_eq!(super::base64(text.as_bytes()), expected);
        }
    }
}
