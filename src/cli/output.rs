//! What commands print: aligned tables, ages, colour where it is wanted, and failures with what to do.
//!
//! Nothing untrusted is printed but through [`SafeText`].

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use std::process::ExitCode;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::api::client::ClientError;
use crate::daemon::DaemonError;
use crate::model::{SafeText, Severity, Time, middle};
use crate::store::recorder::RecordingError;

/// Between two columns.
const GAP: &str = "  ";

/// Widest column but the last, in cells: a longer name loses its middle, for others share the line. `--json` has all of it.
const CELLS_MAX: usize = 60;

/// Columns of a line whose length is up to senders, where no terminal says how wide it is.
const PIPED_COLUMNS: usize = 200;

/// Why a command failed; printed on the error stream, exit code 1 or 2.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

/// Rows with a heading, aligned when printed.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

/// How a word is shown where colour is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Red,
    Yellow,
    Green,
    Dim,
}

/// Reads the number of an incident as people write it: `4` or `#4`.
pub fn incident_number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    digits.parse().map_err(|_| {
        "that is no incident: give its number, as `stormglass incidents` lists it".to_owned()
    })
}

/// Reads the number of a plan as people write it: `4` or `#4`.
pub fn plan_number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    digits
        .parse()
        .map_err(|_| "that is no plan: give its number, as `stormglass plans` lists it".to_owned())
}

impl Failure {
    /// Refused or failed: exit code 1.
    pub fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, code: 1 }
    }

    /// Not understood: exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, code: 2 }
    }

    /// Prints it as a warning: things go on, as `but` says.
    pub fn warn(&self, but: &str) {
        self.report(false);
        complain(&format!("stormglass: {but}"));
    }

    /// Prints it on the error stream and gives the exit code; as one JSON object for whoever asked for
    /// JSON.
    pub fn report(&self, as_json: bool) -> ExitCode {
        if as_json {
            let told = serde_json::json!({ "error": self.message, "code": self.code });
            complain(&inert(&told.to_string()));
            return ExitCode::from(self.code);
        }
        for line in self.message.lines() {
            complain(&format!("stormglass: {}", SafeText::new(line)));
        }
        ExitCode::from(self.code)
    }
}

/// Prints a line on the error stream. A terminal that is gone takes none, and nobody is left to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Address(_) => Self::usage(error.to_string()),
            _ => Self::new(error.to_string()),
        }
    }
}

impl From<RecordingError> for Failure {
    fn from(error: RecordingError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Self {
        Self::new(error.to_string())
    }
}

impl Table {
    /// A table with these headings.
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).to_vec()],
        }
    }

    /// The same of headings that are known only when it runs.
    pub fn of(headings: Vec<String>) -> Self {
        let rows = vec![headings];
        Self { rows }
    }

    /// Adds a row of as many cells as there are headings.
    pub fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a row; its cells may be styled.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        let mut cells = Vec::from(cells);
        let last = cells.len().saturating_sub(1);
        for cell in &mut cells[..last] {
            // What colours a word stays as it is; such words are short.
            if width(cell) > CELLS_MAX && !cell.contains('\x1b') {
                *cell = middle(cell, CELLS_MAX, "…");
            }
        }
        self.rows.push(cells);
    }

    /// The same with a last column that loses its middle where a line would be longer than the terminal is wide, or than
    /// [`PIPED_COLUMNS`] where there is none: what senders wrote must not fill the screen. `--json` has all of it.
    pub fn render_cut(mut self) -> String {
        let size = crossterm::terminal::size().ok();
        let size = size.filter(|_| io::stdout().is_terminal());
        let columns = size.map_or(PIPED_COLUMNS, |(columns, _)| usize::from(columns));
        self.cut(columns);
        self.render()
    }

    fn cut(&mut self, columns: usize) {
        let widths = self.widths();
        let Some((_, before)) = widths.split_last() else {
            return;
        };
        let taken: usize = before.iter().map(|of| of + GAP.len()).sum();
        let room = columns.saturating_sub(taken).max(CELLS_MAX);
        for row in &mut self.rows {
            if let Some(cell) = row.last_mut()
                && width(cell) > room
            {
                *cell = middle(cell, room, "…");
            }
        }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths = (0..columns).map(|c| {
            let cells = self.rows.iter().filter_map(|row| row.get(c));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        });
        widths.collect()
    }

    /// The text, a line a row, the last column not padded.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, column_width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(column_width - width(cell)));
                line.push_str(GAP);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Width on screen, without what colours it.
fn width(cell: &str) -> usize {
    let mut plain = String::with_capacity(cell.len());
    let mut rest = cell;
    while let Some((before, escape)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = escape.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    plain.width()
}

/// Adds a line to a text.
pub fn line(text: &mut String, content: &str) {
    text.push_str(content);
    text.push('\n');
}

/// Prints to standard output. A reader that has gone away is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    print_on(text).map(|_| ())
}

/// The same; whether somebody still reads.
pub fn print_on(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(format!("cannot print: {error}"))),
    }
}

/// Prints one JSON value and a newline.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(format!("cannot write this as JSON: {e}")))?;
    text.push('\n');
    print(&inert(&text))
}

/// Prints one JSON object on a line of its own, for commands that stream.
pub fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    print_json_on(value).map(drop)
}

/// Likewise; whether anybody still reads.
pub fn print_json_on(value: &impl Serialize) -> Result<bool, Failure> {
    let mut text = serde_json::to_string(value)
        .map_err(|e| Failure::new(format!("cannot write this as JSON: {e}")))?;
    text.push('\n');
    print_on(&inert(&text))
}

/// The same JSON, with every character that a terminal might obey, or that reorders text, as `\\uXXXX`.
fn inert(json: &str) -> String {
    let mut inert = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() || !SafeText::is_dangerous(c) {
            inert.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // A string takes everything.
            let _ = write!(inert, "\\u{unit:04x}");
        }
    }
    inert
}

/// Untrusted text, safe for one line.
pub fn safe(text: &str) -> String {
    SafeText::new(text).to_string()
}

/// A word in a style, if standard output is a terminal that wants colour.
pub fn styled(text: &str, style: Style) -> String {
    let wanted =
        std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && io::stdout().is_terminal();
    let code = match style {
        Style::Bold => "1",
        Style::Red => "31",
        Style::Yellow => "33",
        Style::Green => "32",
        Style::Dim => "2",
        Style::Plain => return text.to_owned(),
    };
    if !wanted {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// `P1` to `P4`.
pub fn priority(severity: Severity) -> String {
    let style = match severity {
        Severity::Critical => Style::Red,
        Severity::Error => Style::Yellow,
        Severity::Warning => Style::Plain,
        Severity::Info => Style::Dim,
    };
    styled(&format!("P{}", severity.priority()), style)
}

/// How long before `now`, coarsely: `45s`, `12m`, `3h`, `4d`.
pub fn age(at: Time, now: Time) -> String {
    let seconds = now.since(at).max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Reads how many lines are wanted: none is a mistake.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(lines) if lines > 0 => Ok(lines),
        _ => Err("must be a whole number, at least 1".to_owned()),
    }
}

/// Local time of day with seconds; with the date when it is not within a day of `now`.
pub fn clock(at: Time, now: Time) -> String {
    let local = at.to_utc().with_timezone(&chrono::Local);
    let same_day = now.since(at).abs() < 86_400_000;
    let format = if same_day {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M"
    };
    local.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_can_neither_steer_a_terminal_nor_reorder_text() {
        let hostile = "a\u{9b}31m \u{202e}b \u{e0041} ü";
        let json = inert(&serde_json::to_string(hostile).expect("a text"));
        assert_eq!(json, r#""a\u009b31m \u202eb \udb40\udc41 ü""#);
        assert_eq!(
            serde_json::from_str::<String>(&json).expect("JSON"),
            hostile
        );
    }

    #[test]
    fn columns_align_by_what_is_seen() {
        let mut table = Table::new(["ID", "WHAT", "AGE"]);
        table.row(["1".into(), "\x1b[31m日本\x1b[0m".into(), "5m".into()]);
        table.row(["22".into(), "plain".into(), String::new()]);
        let expected = "ID  WHAT   AGE\n1   \x1b[31m日本\x1b[0m   5m\n22  plain\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn what_senders_wrote_fills_no_screen() {
        let mut table = Table::new(["ID", "WHAT"]);
        let long = "x".repeat(5_000);
        table.row(["1".into(), format!("begin {long} end")]);
        table.row(["2".into(), "short".into()]);
        table.cut(100);
        let text = table.render();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].width(), 100);
        assert!(lines[1].starts_with("1   begin xx") && lines[1].ends_with("xx end"));
        assert_eq!(lines[2], "2   short");
        // On a narrow terminal there is still something to read.
        let mut table = Table::new(["ID", "WHAT"]);
        table.row(["i".repeat(70), long]);
        table.cut(40);
        let text = table.render();
        let widest = text.lines().map(UnicodeWidthStr::width).max();
        assert_eq!(widest, Some(2 * CELLS_MAX + GAP.len()));
    }

    #[test]
    fn ages_are_coarse() {
        let now = Time::from_secs(1_000_000);
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (61, "1m"),
            (7_300, "2h"),
            (200_000, "2d"),
            (-5, "0s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(age(now.plus_ms(-seconds * 1_000), now), expected);
        }
    }
}
