//! Stack traces arrive as many lines and mean one event: this joins them.
//!
//! For sources that read text line by line (file tail, syslog, standard output). Pure and bounded:
//! it holds one event at most, never looks at a clock, and never drops text without counting it.

/// Most lines of one event; deeper frames say nothing new.
const LINES_MAX: usize = 256;
/// Most bytes of one event.
const BYTES_MAX: usize = 32 * 1024;

/// Joins continuation lines to the line they belong to.
///
/// Push every line; a joined event comes out when the next one begins. Call
/// [`flush`](Self::flush) when the stream pauses or ends.
#[derive(Clone, Debug, Default)]
pub struct LogJoiner {
    event: String,
    lines: usize,
    style: Style,
    cut_lines: u64,
}

/// What the last lines were part of; decides which unindented lines still belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    /// Java and JavaScript: `at …` frames, `Caused by:`.
    Frames,
    /// Python: after the indented frames comes one line, `ValueError: …`.
    Traceback,
    /// Python, behind that line: another traceback may be chained.
    Raised,
    /// Go: `goroutine 1 [running]:`, functions unindented, places behind a tab.
    Goroutine,
}

impl LogJoiner {
    /// Nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Take one line (without its line end); gives the event before it when that is complete.
    pub fn push(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches(['\r', '\n']);
        if self.lines > 0
            && let Some(style) = self.continues(line)
        {
            self.style = style;
            self.append(line);
            return None;
        }
        let done = self.flush();
        self.style = first_line_style(line);
        self.append(line);
        done
    }

    /// The event held, if any; the next line begins another.
    pub fn flush(&mut self) -> Option<String> {
        let held = self.lines > 0;
        self.lines = 0;
        self.style = Style::Plain;
        let event = std::mem::take(&mut self.event);
        held.then_some(event)
    }

    /// Lines left out because their event was too long.
    pub const fn cut_lines(&self) -> u64 {
        self.cut_lines
    }

    fn append(&mut self, line: &str) {
        if self.lines >= LINES_MAX || self.event.len() + line.len() >= BYTES_MAX && self.lines > 0 {
            self.cut_lines += 1;
            return;
        }
        if self.lines > 0 {
            self.event.push('\n');
        }
        self.event.push_str(line);
        self.lines += 1;
    }

    /// Whether the line belongs to the event held, and what the event looks like then.
    fn continues(&self, line: &str) -> Option<Style> {
        let indented = line.starts_with([' ', '\t']);
        let trimmed = line.trim_start();
        if is_frame(trimmed, indented) {
            let style = self.style;
            return Some(if matches!(style, Style::Plain | Style::Raised) {
                Style::Frames
            } else {
                style
            });
        }
        let traceback = trimmed.starts_with("Traceback (most recent call last)");
        match self.style {
            // An empty line stands between a Go panic and its goroutines.
            Style::Plain if trimmed.is_empty() && self.event_panicked() => Some(Style::Plain),
            Style::Plain if trimmed.starts_with("goroutine ") && self.event_panicked() => {
                Some(Style::Goroutine)
            }
            Style::Plain if traceback && self.event_may_throw() => Some(Style::Traceback),
            Style::Plain if is_exception(trimmed) && self.event_may_throw() => Some(Style::Frames),
            Style::Traceback if indented => Some(Style::Traceback),
            Style::Traceback if is_exception(trimmed) => Some(Style::Raised),
            Style::Raised if trimmed.is_empty() || is_chain(trimmed) => Some(Style::Raised),
            Style::Raised if traceback => Some(Style::Traceback),
            Style::Goroutine if is_goroutine_line(line) => Some(Style::Goroutine),
            _ => None,
        }
    }

    fn event_panicked(&self) -> bool {
        self.event.contains("panic: ") || self.event.contains("fatal error: ")
    }

    /// Only a line that reports a failure is followed by a bare exception.
    fn event_may_throw(&self) -> bool {
        self.lines == 1
            && ["ERROR", "error", "Exception", "FATAL", "SEVERE"]
                .iter()
                .any(|word| self.event.contains(word))
    }
}

fn first_line_style(line: &str) -> Style {
    if line.contains("Traceback (most recent call last)") {
        Style::Traceback
    } else if line.starts_with("goroutine ") {
        Style::Goroutine
    } else {
        Style::Plain
    }
}

/// A line that can only be part of a trace.
fn is_frame(trimmed: &str, indented: bool) -> bool {
    indented
        && (trimmed.starts_with("at ")
            || trimmed.starts_with("File \"")
            || trimmed.starts_with("... ") && trimmed.ends_with(" more"))
        || trimmed.starts_with("Caused by: ")
        || indented && trimmed.starts_with("Suppressed: ")
        || indented
            && trimmed.len() > 2
            && trimmed.as_bytes()[0].is_ascii_digit()
            && trimmed.contains(": 0x")
}

/// `java.lang.IllegalStateException: …`, `ValueError: …`, without a time or level before it.
fn is_exception(trimmed: &str) -> bool {
    let name = trimmed.split([':', ' ']).next().unwrap_or_default();
    let named = ["Exception", "Error", "Warning", "Interrupt", "Exit"]
        .iter()
        .any(|end| name.ends_with(end));
    named
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$'))
}

/// What Python writes between chained tracebacks.
fn is_chain(trimmed: &str) -> bool {
    trimmed.starts_with("During handling of the above exception")
        || trimmed.starts_with("The above exception was the direct cause")
}

/// `main.run(0x1, …)`, `created by main.start`, a tab and a place, an empty line between goroutines.
fn is_goroutine_line(line: &str) -> bool {
    line.is_empty()
        || line.starts_with('\t')
        || line.starts_with("goroutine ")
        || line.starts_with("created by ")
        || line.starts_with("exit status ")
        || line.ends_with(')') && !line.contains(' ') && line.contains('.')
        || line.contains("(0x") && line.ends_with(')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn join(text: &str) -> Vec<String> {
        let mut joiner = LogJoiner::new();
        let mut events: Vec<String> = text.lines().filter_map(|line| joiner.push(line)).collect();
        events.extend(joiner.flush());
        events
    }

    #[test]
    fn traces_become_one_event() {
        let cases = [
            (
                "java",
                "10:00 ERROR boom\njava.io.IOException: x\n\tat a.B.c(B.java:1)\nCaused by: d.E: y\n\tat a.B.d(B.java:2)\n\t... 3 more",
            ),
            (
                "python",
                "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nValueError: bad",
            ),
            (
                "python logged",
                "ERROR failed\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'",
            ),
            (
                "go",
                "panic: nil map\n\ngoroutine 1 [running]:\nmain.run(0x1, 0x2)\n\t/src/main.go:10 +0x1d\ncreated by main.start\n\t/src/main.go:5",
            ),
            (
                "javascript",
                "TypeError: x is not a function\n    at f (/app/a.js:1:2)\n    at g (/app/b.js:3:4)",
            ),
        ];
        for (name, trace) in cases {
            let text = format!("before\n{trace}\n2026-11-21 after");
            assert_eq!(join(&text), ["before", trace, "2026-11-21 after"], "{name}");
        }
    }

    #[test]
    fn ordinary_lines_stay_apart() {
        let text = "one\ntwo\n  indented but no frame\nat the end\nError: alone\n";
        assert_eq!(join(text), text.lines().collect::<Vec<_>>());
    }

    #[test]
    fn an_endless_trace_is_cut_and_counted() {
        let mut joiner = LogJoiner::new();
        joiner.push("java.lang.StackOverflowError");
        for _ in 0..10_000 {
            assert_eq!(joiner.push("\tat a.B.c(B.java:1)"), None);
        }
        let event = joiner.flush().unwrap();
        assert!(event.len() <= BYTES_MAX);
        assert_eq!(joiner.cut_lines(), 10_001 - event.lines().count() as u64);
    }

    proptest! {
        #[test]
        fn every_line_comes_out_in_order(lines in proptest::collection::vec("[ \\t]?(at |panic: |Caused by: |goroutine )?[a-z.: ]{0,20}", 1..60)) {
            let joined = join(&lines.join("\n"));
            let expected: Vec<String> = lines.join("\n").lines().map(str::to_owned).collect();
            prop_assert_eq!(joined.join("\n"), expected.join("\n"));
        }
    }
}
