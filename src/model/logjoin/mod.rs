//! Stack traces arrive as many lines and mean one event: this joins them.
//!
//! Knows how Go, Java and its kin, JavaScript, .NET, Python, Ruby and Rust print a failure, and keeps a
//! private key together so that it is masked as one. Pure and bounded: it holds one event at most, never looks at a clock, and never drops text without counting
//! it. What a line looks like is in `shape`; which may follow which is here.

mod shape;

pub(crate) use shape::is_frame;

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
    /// Braces open: JavaScript prints what an error carries besides behind its frames.
    braces: u32,
    cut_lines: u64,
}

/// What the last lines were part of; decides which further lines still belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    /// Java, JavaScript and .NET: `at …` frames, `Caused by:`, ` ---> `.
    Frames,
    /// Node.js, nobody caught it: a place in a file alone on its line, the source there, …
    Uncaught,
    /// … a caret below that, …
    Underlined,
    /// … and an error with its frames, up to the version.
    Thrown,
    /// Python: after the indented frames comes one line, `ValueError: …`.
    Traceback,
    /// Python, behind that line: another traceback may be chained.
    Raised,
    /// Python: a tree of tracebacks, drawn with `|` and `+`.
    Group,
    /// Go, before the first goroutine: `panic: …`, the signal, an empty line.
    Panic,
    /// Go: `goroutine 1 [running]:`, functions unindented, places behind a tab.
    Goroutine,
    /// Ruby: `from …` behind a tab; a framework prints them without.
    Ruby,
    /// A private key: every line up to its end, so that all of it is masked.
    Key,
    /// Rust: the line behind the place is the message.
    PanickedAt,
    /// Rust, behind the message: what was compared, the backtrace, a note.
    Panicked,
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
        self.braces = 0;
        let event = std::mem::take(&mut self.event);
        held.then_some(event)
    }

    /// Lines left out because their event was too long.
    pub const fn cut_lines(&self) -> u64 {
        self.cut_lines
    }

    fn append(&mut self, line: &str) {
        if matches!(self.style, Style::Frames | Style::Thrown) {
            let closed = u32::from(line.trim_start().starts_with('}'));
            let opened = u32::from(line.ends_with('{'));
            self.braces = self.braces.saturating_sub(closed).saturating_add(opened);
        }
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
        let trimmed = line.trim_start();
        let indented = trimmed.len() < line.len();
        match self.style {
            Style::Frames => self.frames(line, trimmed, Style::Frames),
            Style::Thrown if trimmed.is_empty() || shape::is_node_version(line) => {
                Some(Style::Thrown)
            }
            Style::Thrown => self.frames(line, trimmed, Style::Thrown),
            // The source stands there whatever it is, but a new event of another sender does not.
            Style::Uncaught
                if self.lines == 1 && !line.starts_with(|c| "{[0123456789".contains(c)) =>
            {
                Some(Style::Uncaught)
            }
            Style::Uncaught if shape::is_caret(trimmed) => Some(Style::Underlined),
            Style::Underlined if trimmed.is_empty() => Some(Style::Underlined),
            Style::Underlined if shape::is_thrown(line) => Some(Style::Thrown),
            Style::Traceback if indented => Some(Style::Traceback),
            Style::Traceback if shape::is_raised(line) => Some(Style::Raised),
            Style::Raised | Style::Group if trimmed.is_empty() || shape::is_chain(trimmed) => {
                Some(self.style)
            }
            Style::Raised | Style::Group if shape::is_traceback(line) => Some(Style::Traceback),
            Style::Raised | Style::Group if shape::is_group(line) => Some(Style::Group),
            Style::Group if shape::is_group_line(line) => Some(Style::Group),
            Style::Panic if trimmed.is_empty() || shape::is_go_signal(trimmed) => {
                Some(Style::Panic)
            }
            Style::Panic if shape::is_goroutine(line) => Some(Style::Goroutine),
            // The word alone makes no panic.
            Style::Plain | Style::Panic => self.begins_trace(line, trimmed),
            Style::Goroutine if shape::is_goroutine_line(line) => Some(Style::Goroutine),
            Style::Ruby if self.is_ruby_line(line, trimmed) => Some(Style::Ruby),
            Style::Key if shape::is_key_line(line) => Some(Style::Key),
            Style::Key if line.contains("-----END ") => Some(Style::Plain),
            Style::PanickedAt => Some(Style::Panicked),
            Style::Panicked if shape::is_rust_line(line) => Some(Style::Panicked),
            _ => None,
        }
    }

    /// A line behind an ordinary one.
    fn begins_trace(&self, line: &str, trimmed: &str) -> Option<Style> {
        if shape::is_ruby_frame(line) {
            return Some(Style::Ruby);
        }
        if is_frame(line) || shape::is_caused_by(trimmed) {
            return Some(Style::Frames);
        }
        let style = if shape::is_traceback(trimmed) {
            Style::Traceback
        } else if shape::is_group(line) {
            Style::Group
        } else if shape::is_exception(trimmed) {
            Style::Frames
        } else if shape::is_ruby_place(trimmed) {
            Style::Ruby
        } else {
            return None;
        };
        self.event_may_throw().then_some(style)
    }

    /// A line behind frames of Java, JavaScript or .NET.
    fn frames(&self, line: &str, trimmed: &str, style: Style) -> Option<Style> {
        let indented = trimmed.len() < line.len();
        let belongs = is_frame(line)
            || shape::is_cause(trimmed)
            || trimmed.starts_with("--- End of ")
            || indented && trimmed.starts_with("[CIRCULAR REFERENCE")
            || self.braces > 0 && (indented || line == "}");
        belongs.then_some(style)
    }

    /// A frame, or the source that Ruby shows between the message and the frames: an empty line, an indented one,
    /// a caret.
    fn is_ruby_line(&self, line: &str, trimmed: &str) -> bool {
        let is_source = match self.lines {
            1 => trimmed.is_empty(),
            2 => self.event.ends_with('\n') && trimmed.len() < line.len(),
            3 => shape::is_caret(trimmed),
            _ => false,
        };
        is_source || shape::is_ruby_frame(line) || shape::is_ruby_place(trimmed)
    }

    /// Only a line that reports a failure is followed by a bare exception.
    fn event_may_throw(&self) -> bool {
        let words = ["ERROR", "error", "Exception", "FATAL", "CRITICAL", "SEVERE"];
        self.lines == 1 && words.iter().any(|word| self.event.contains(word))
    }
}

fn first_line_style(line: &str) -> Style {
    if line.contains("(most recent call last)") {
        return if shape::is_group(line) {
            Style::Group
        } else if line.contains("Traceback (") {
            Style::Traceback
        } else {
            Style::Plain
        };
    }
    if line.contains("panic") {
        return if !line.contains("thread '") || !line.contains("panicked at ") {
            Style::Panic
        } else if shape::ends_at_column(line) {
            Style::PanickedAt
        } else {
            // Before Rust 1.73 the message stands before the place.
            Style::Panicked
        };
    }
    if line.starts_with("fatal error: ") || line.starts_with("SIG") {
        Style::Panic
    } else if shape::is_goroutine(line) {
        Style::Goroutine
    } else if shape::begins_key(line) {
        Style::Key
    } else if shape::is_script_place(line) {
        Style::Uncaught
    } else if shape::is_ruby_raised(line) {
        Style::Ruby
    } else {
        Style::Plain
    }
}

#[cfg(test)]
mod tests;
