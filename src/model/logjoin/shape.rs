//! What single lines of stack traces look like, language by language.
//!
//! Each asks for enough that a sentence does not pass: a word such as `at` or `from` is never enough.

use std::ffi::OsStr;
use std::path::Path;

use crate::model::LogLevel;

/// An indented line that can only be part of a trace of Java, JavaScript, .NET, Python, Ruby or of a
/// native one.
pub(crate) fn is_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    if trimmed.len() == line.len() {
        return false;
    }
    if let Some(place) = trimmed.strip_prefix("at ") {
        return is_place(place);
    }
    match trimmed.as_bytes().first() {
        Some(b'F') => trimmed.starts_with("File \"") && trimmed.contains("\", line "),
        Some(b'.') => is_elision(trimmed),
        Some(b'-') => trimmed.starts_with("---> ") || trimmed.starts_with("--- End of "),
        Some(b'S') => trimmed.starts_with("Suppressed: "),
        Some(b'f') => is_ruby_frame(line),
        Some(b'0'..=b'9') => trimmed.contains(": 0x"),
        _ => false,
    }
}

/// The word before a place in an asynchronous function of JavaScript, and the space after it.
const ASYNC: &str = "async\u{20}";

/// `a.B.c(B.java:1)`, `Shop.Get(String id) in /src/P.cs:line 12`, `f (/app/a.js:1:2)`, `./src/a.rs:2:5`.
fn is_place(place: &str) -> bool {
    let place = place.trim_end().trim_end_matches(" {");
    let Some((called, arguments)) = place.split_once('(') else {
        return place == "<anonymous>" || is_column(place.strip_prefix(ASYNC).unwrap_or(place));
    };
    let is_called = !called.is_empty()
        && !called.contains(' ')
        && called.bytes().any(|b| b"._<$/".contains(&b));
    // JavaScript puts a space before the place, and words before the name.
    let inside = arguments.trim_end_matches(')');
    is_called
        || called.ends_with(' ')
            && place.ends_with(')')
            && (ends_in_number(inside, ':').is_some()
                || ["<anonymous>", "native"].contains(&inside)
                || inside.strip_prefix("index ").is_some_and(is_number))
}

/// `/app/a.js:1:2`, `node:events:517:28`: a file with its line and column.
fn is_column(place: &str) -> bool {
    ends_in_number(place, ':')
        .and_then(|line| ends_in_number(line, ':'))
        .is_some_and(|file| {
            !file.contains(' ') && (file.contains(['/', '.', '\\']) || file.starts_with("node:"))
        })
}

/// `... 23 more`, `... 12 common frames omitted`, `... 10 levels...`.
fn is_elision(trimmed: &str) -> bool {
    let Some((count, what)) = trimmed
        .strip_prefix("... ")
        .and_then(|rest| rest.split_once(' '))
    else {
        return false;
    };
    is_number(count) && ["more", "common frames omitted", "levels..."].contains(&what.trim_end())
}

/// `Caused by: a.b.CException: …`, without frames before it.
pub(super) fn is_caused_by(trimmed: &str) -> bool {
    trimmed
        .strip_prefix("Caused by: ")
        .is_some_and(|rest| is_exception(rest) || exception_name(rest).contains('.'))
}

/// The same behind frames, where any class may be the cause.
pub(super) fn is_cause(trimmed: &str) -> bool {
    trimmed.strip_prefix("Caused by: ").is_some_and(|rest| {
        let name = rest.split(':').next().unwrap_or_default();
        is_dotted(name)
    })
}

/// `java.lang.IllegalStateException: …`, `ValueError: …`, without a time or level before it.
pub(super) fn is_exception(trimmed: &str) -> bool {
    let name = exception_name(trimmed);
    let named = ["Exception", "Error", "Warning", "Interrupt", "Exit"]
        .iter()
        .any(|end| name.ends_with(end));
    named && is_dotted(name)
}

fn exception_name(trimmed: &str) -> &str {
    trimmed.split([':', ' ']).next().unwrap_or_default()
}

fn is_dotted(name: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'$');
    !name.is_empty() && name.bytes().all(is_name)
}

/// What ends a traceback of Python: any class may be raised, `socket.gaierror: …`, `KeyboardInterrupt`.
pub(super) fn is_raised(line: &str) -> bool {
    let name = line.split_once(": ").map_or(line, |(name, _)| name);
    let name = name.strip_suffix(':').unwrap_or(name);
    is_dotted(name)
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && LogLevel::parse(name).is_none()
}

pub(super) fn is_traceback(line: &str) -> bool {
    line.trim_start()
        .starts_with("Traceback (most recent call last)")
}

/// What Python writes between chained tracebacks.
pub(super) fn is_chain(trimmed: &str) -> bool {
    trimmed.starts_with("During handling of the above exception")
        || trimmed.starts_with("The above exception was the direct cause")
}

/// `  + Exception Group Traceback (most recent call last):`.
pub(super) fn is_group(line: &str) -> bool {
    line.trim_start()
        .starts_with("+ Exception Group Traceback (most recent call last)")
}

/// A line of the tree a group is drawn as.
pub(super) fn is_group_line(line: &str) -> bool {
    line.starts_with(' ') && {
        let trimmed = line.trim_start();
        trimmed.starts_with('|') || trimmed.starts_with("+-") || is_group(line)
    }
}

/// `goroutine 1 [running]:`.
pub(super) fn is_goroutine(line: &str) -> bool {
    let state = line
        .strip_prefix("goroutine ")
        .and_then(|rest| rest.split_once(" ["));
    state.is_some_and(|(number, state)| {
        number.split(' ').next().is_some_and(is_number) && state.ends_with("]:")
    })
}

/// `[signal SIGSEGV: …]`, and a panic within a panic.
pub(super) fn is_go_signal(trimmed: &str) -> bool {
    ["[signal SIG", "panic: ", "runtime stack:", "PC=0x"]
        .iter()
        .any(|start| trimmed.starts_with(start))
}

/// `main.run(0x1, …)`, `created by main.start`, a tab and a place, an empty line between goroutines.
pub(super) fn is_goroutine_line(line: &str) -> bool {
    if let Some(place) = line.strip_prefix('\t') {
        return place.contains(".go:") || place.contains(".s:") || place.contains(" +0x");
    }
    line.is_empty()
        || is_goroutine(line)
        || line.starts_with("created by ")
        || line.starts_with("[originating from goroutine ")
        || line.starts_with("...additional frames elided")
        || line.strip_prefix("exit status ").is_some_and(is_number)
        || is_go_call(line)
}

/// `main.(*Cart).total(0xc000, {0x1, 0x2})`: a name with a dot, glued to its arguments.
fn is_go_call(line: &str) -> bool {
    if !line.ends_with(')') {
        return false;
    }
    let mut depth = 0_usize;
    let opening = line.bytes().enumerate().rev().find(|(_, byte)| {
        match byte {
            b')' => depth += 1,
            b'(' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let Some((opening, _)) = opening else {
        return false;
    };
    let name = &line[..opening];
    name == "panic" || !name.contains(char::is_whitespace) && name.contains('.')
}

/// `\tfrom app.rb:3:in 'pay'`.
pub(super) fn is_ruby_frame(line: &str) -> bool {
    let trimmed = line.trim_start();
    trimmed.len() < line.len() && trimmed.strip_prefix("from ").is_some_and(is_ruby_place)
        || trimmed.len() < line.len() && is_elision(trimmed) && trimmed.ends_with("levels...")
}

/// `app/models/cart.rb:23:in 'Cart#total'`, with a backtick before Ruby 3.4.
pub(super) fn is_ruby_place(trimmed: &str) -> bool {
    let place = trimmed.strip_prefix("from ").unwrap_or(trimmed).trim_end();
    match place.split_once(":in ") {
        Some((file, method)) => {
            ends_in_number(file, ':').is_some()
                && method.starts_with(['\'', '`'])
                && method.ends_with('\'')
        }
        None => ends_in_number(place, ':').is_some_and(is_ruby_file),
    }
}

fn is_ruby_file(file: &str) -> bool {
    Path::new(file).extension() == Some(OsStr::new("rb"))
}

/// `app.rb:3:in 'pay': declined (CardError)`: what the frames are of.
pub(super) fn is_ruby_raised(line: &str) -> bool {
    line.contains(".rb:")
        && line.split_once(":in ").is_some_and(|(file, method)| {
            ends_in_number(file, ':').is_some_and(is_ruby_file) && method.starts_with(['\'', '`'])
        })
}

/// A file of a script and its line, alone: Node.js begins so when nobody caught an error.
pub(super) fn is_script_place(line: &str) -> bool {
    let Some(file) = ends_in_number(line, ':') else {
        return false;
    };
    let script = [".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx"];
    !file.contains(' ')
        && (file.starts_with("node:") || script.iter().any(|end| file.ends_with(end)))
}

/// What points into the line of source above it.
pub(super) fn is_caret(trimmed: &str) -> bool {
    trimmed.starts_with('^') && trimmed.bytes().all(|b| matches!(b, b'^' | b' '))
}

/// `TypeError: …`, `AssertionError [ERR_ASSERTION]: …`, `[UnhandledPromiseRejection: …`.
pub(super) fn is_thrown(line: &str) -> bool {
    is_exception(line.strip_prefix("Uncaught ").unwrap_or(line))
        || line.starts_with('[') && is_exception(&line[1..])
        || line.starts_with("[UnhandledPromiseRejection: ")
}

/// `Node.js v20.11.0`, the last line of a process.
pub(super) fn is_node_version(line: &str) -> bool {
    line.strip_prefix("Node.js v")
        .is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
}

/// `… panicked at src/main.rs:2:5:`, below which the message stands.
pub(super) fn ends_at_column(line: &str) -> bool {
    let place = line.strip_suffix(':');
    place.and_then(|place| ends_in_number(place, ':')).is_some()
}

/// What Rust prints behind the message: what was compared, the backtrace, a note.
pub(super) fn is_rust_line(line: &str) -> bool {
    let trimmed = line.trim_start();
    if trimmed.len() == line.len() {
        return line == "stack backtrace:"
            || line.starts_with("note: run with `RUST_BACKTRACE=")
            || line.starts_with("note: Some details are omitted");
    }
    let (number, _) = trimmed.split_once(": ").unwrap_or((trimmed, ""));
    is_number(number)
        || number == "left"
        || number == "right"
        || trimmed.strip_prefix("at ").is_some_and(is_place)
}

/// The first line of a private key that does not end in it.
pub(super) fn begins_key(line: &str) -> bool {
    line.ends_with("PRIVATE KEY-----") && line.contains("-----BEGIN ")
}

/// A line of a private key: base64, a header, or the empty one between.
pub(super) fn is_key_line(line: &str) -> bool {
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let line = line.trim();
    line.bytes().all(is_base64) || line.starts_with("Proc-Type: ") || line.starts_with("DEK-Info: ")
}

/// The text before `separator` and a number at the end.
fn ends_in_number(text: &str, separator: char) -> Option<&str> {
    let (before, number) = text.rsplit_once(separator)?;
    is_number(number).then_some(before)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
