//! Evidence as short plain sentences with numbers, composed from typed data.
//!
//! The text may hold names from telemetry and is untrusted: callers show it as `SafeText` only.

use std::fmt::Write as _;

use super::case::{EventKind, LogChange, LogSign, Loss, Onset, PastRecord, Shift};
use super::deviation::{BadSide, Column};
use crate::engine::logs::VarType;
use crate::model::{Change, LogLevel, Time, Unit};

/// Characters of a log template that are quoted.
const TEMPLATE_CHARS_MAX: usize = 72;
/// Numbers from here on are told by their size alone: nobody reads three hundred digits.
const DIGITS_FROM: f64 = 1e15;
/// Standard deviations shown as the normal range.
const RANGE_SIGMAS: f64 = 2.0;

/// A value with its unit: `4.2 s`, `320 ms`, `3.1 %`, `1.2 GB`, `812`, `2.4/s`.
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => seconds(value),
        Unit::Milliseconds => seconds(value / 1_000.0),
        Unit::Bytes => bytes(value),
        Unit::Ratio => format!("{} %", number(value * 100.0)),
        Unit::Percent => format!("{} %", number(value)),
        Unit::None => number(value),
        Unit::PerSecond => number(value) + "/s",
        Unit::BytesPerSecond => bytes(value) + "/s",
    }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 {
        format!("{} s", number(value))
    } else if size >= 1.0 {
        format!("{value:.1} s")
    } else if size >= 0.001 || size == 0.0 {
        format!("{} ms", number(value * 1_000.0))
    } else {
        format!("{} µs", number(value * 1_000_000.0))
    }
}

fn bytes(value: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    STEPS
        .iter()
        .find(|(size, _)| value.abs() >= *size)
        .map_or_else(
            || format!("{value:.0} B"),
            |(size, name)| format!("{} {name}", number(value / size)),
        )
}

/// Three significant digits at most, without trailing zeros.
fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        return "no number".to_owned();
    }
    if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("beyond {sign}{:.0e}", f64::MAX);
    }
    if size >= DIGITS_FROM {
        return format!("{value:.0e}");
    }
    let decimals = if size >= 100.0 || size == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else {
        3
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A span of time in words: `40 s`, `2 min`, `3.5 h`, `4 d`.
pub fn duration(ms: i64) -> String {
    let seconds = ms.abs() as f64 / 1_000.0;
    if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else if seconds < 5_400.0 {
        format!("{:.0} min", seconds / 60.0)
    } else if seconds < 172_800.0 {
        format!("{} h", number(seconds / 3_600.0))
    } else {
        format!("{:.0} d", seconds / 86_400.0)
    }
}

/// `p99 4.2 s against 0.3–0.6 s since 12:03`.
pub fn column(column: &Column, worst: f64, since: Option<Onset>) -> String {
    let normal = &column.normal;
    let mut low = normal.median - RANGE_SIGMAS * normal.down;
    if low < 0.0 && normal.median >= 0.0 {
        low = 0.0;
    }
    let mut high = normal.median + RANGE_SIGMAS * normal.up;
    if column.kind.bad_side() == BadSide::Down {
        high = high.min(1.0_f64.max(normal.median));
    }
    let mut text = format!(
        "{} {} against {}–{}",
        column.name,
        value(worst, column.unit),
        value(low, column.unit),
        value(high, column.unit),
    );
    push_since(&mut text, since.map(|onset| onset.at));
    text
}

/// `pool_used 100 of 100 since 12:03`.
pub fn saturated(column: &Column, worst: f64, limit: f64, since: Option<Onset>) -> String {
    let mut text = format!(
        "{} {} of {}, usually {}",
        column.name,
        value(worst, column.unit),
        value(limit, column.unit),
        value(column.normal.median, column.unit),
    );
    push_since(&mut text, since.map(|onset| onset.at));
    text
}

/// `deploy checkout v812 2 min before onset`. What looks later than the onset may have come before it, as the
/// time between two samples goes, else it would not be told as a reason; how much later it looks is said.
pub fn change(change: &Change, onset: Time) -> String {
    let lag_ms = onset.since(change.at);
    let what = named(change);
    if lag_ms >= 0 {
        format!("{what} {} before onset", duration(lag_ms))
    } else {
        let late = duration(lag_ms);
        format!("{what} {late} after it began, as far as can be told")
    }
}

/// `deploy checkout v812 20 s before it got worse`.
pub fn change_worse(change: &Change, worse: Time) -> String {
    let lag = duration(worse.since(change.at));
    format!("{} {lag} before it got worse", named(change))
}

/// `deploy checkout v812 came 3 min after it began`.
pub fn change_later(change: &Change, lag_ms: i64) -> String {
    format!("{} came {} after it began", named(change), duration(lag_ms))
}

fn named(change: &Change) -> String {
    let kind = change.kind.as_str();
    let title = clipped(&change.title);
    if title.to_lowercase().contains(kind) {
        title
    } else {
        format!("{kind} {title}")
    }
}

/// `instance shop-3 gone since 12:01`.
pub fn loss(loss: &Loss) -> String {
    format!("{} gone since {}", clipped(&loss.what), clock(loss.at))
}

/// `new error line, at least 42 times since 12:02: "connection refused by …"`.
pub fn log(sign: &LogSign) -> String {
    if let Some(requests) = sign.requests {
        return in_requests(sign, requests);
    }
    let error = if sign.error { "error line" } else { "log line" };
    // They go on while this is read.
    let times = match sign.count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    let mut text = match sign.change {
        LogChange::New => format!("new {error}, at least {times}"),
        LogChange::More => format!("{error} at least {times}, far more than usual"),
        LogChange::Gone => format!("usual {error} missing"),
    };
    push_since(&mut text, sign.since);
    let _ = write!(text, ": \"{}\"", in_plain(&sign.template));
    text
}

/// `usual log line missing, in 3 of 40 requests looked at since 12:02: "paid"`.
fn in_requests(sign: &LogSign, requests: u64) -> String {
    let what = match (sign.kind, sign.error) {
        (EventKind::Log, true) => "error line",
        (EventKind::Log, false) => "log line",
        (EventKind::Span, true) => "failing operation",
        (EventKind::Span, false) => "operation",
    };
    let (count, of) = (sign.count, requests.max(sign.count));
    let mut text = match sign.change {
        LogChange::New => format!("new {what}, in {count} of {of} requests looked at"),
        LogChange::More => format!("{what} in {count} of {of} requests looked at, more than usual"),
        LogChange::Gone => format!("usual {what} missing, in {count} of {of} requests looked at"),
    };
    push_since(&mut text, sign.since);
    let _ = write!(text, ": \"{}\"", in_plain(&sign.template));
    text
}

/// `its own time 1.8 s against 40 ms`.
pub fn shift(what: &str, shift: Shift, unit: Unit) -> String {
    format!(
        "{what} {} against {}",
        value(shift.now, unit),
        value(shift.normal, unit)
    )
}

/// Hours and minutes, UTC.
pub fn clock(at: Time) -> String {
    at.to_utc().format("%H:%M").to_string()
}

fn push_since(text: &mut String, since: Option<Time>) {
    if let Some(at) = since {
        let _ = write!(text, " since {}", clock(at));
    }
}

/// What a line of this level is called.
pub const fn line_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Fatal => "fatal line",
        LogLevel::Error => "error line",
        LogLevel::Warn => "warning",
        _ => "log line",
    }
}

/// A log template as people quote a line: `…` for what differs from line to line, whatever its type, and
/// for what is too long.
pub fn in_plain(template: &str) -> String {
    const GAP: char = '…';
    let mut plain = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(from) = rest.find('<') {
        let (before, after) = rest.split_at(from);
        let end = after.find('>').filter(|end| is_variable(&after[1..*end]));
        plain.push_str(before);
        let Some(end) = end else {
            plain.push('<');
            rest = &after[1..];
            continue;
        };
        // Two that differ side by side are one to a reader.
        if !plain.trim_end().ends_with(GAP) {
            plain.push(GAP);
        } else if plain.ends_with(' ') {
            plain.pop();
        }
        rest = &after[end + 1..];
    }
    plain.push_str(rest);
    clipped(plain.trim())
}

/// Whether this is what the template miner writes for a part that varies.
fn is_variable(word: &str) -> bool {
    VarType::ALL
        .iter()
        .any(|of| of.placeholder()[1..].strip_suffix('>') == Some(word))
}

/// How often a suspect was the cause of similar incidents.
pub fn record(record: PastRecord) -> String {
    format!(
        "was the cause in {} of {} similar incidents",
        record.cause, record.of
    )
}

/// The first characters of untrusted text, with an ellipsis when cut.
pub fn clipped(text: &str) -> String {
    let mut out: String = text.chars().take(TEMPLATE_CHARS_MAX).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_quoted_in_plain_words() {
        let long = "a".repeat(100);
        let cut = format!("{}…", "a".repeat(TEMPLATE_CHARS_MAX));
        let cases = [
            ("connection refused by <ip>", "connection refused by …"),
            (
                "panic: <*> discount for order <number>",
                "panic: … discount for order …",
            ),
            ("list <*> <*> <number> done", "list … done"),
            ("a < b and <b>bold</b>", "a < b and <b>bold</b>"),
            ("<*>", "…"),
            ("", ""),
            (long.as_str(), cut.as_str()),
        ];
        for (template, plain) in cases {
            assert_eq!(in_plain(template), plain, "{template}");
        }
    }

    #[test]
    fn values_read_like_prose() {
        let cases = [
            (4.2, Unit::Seconds, "4.2 s"),
            (0.32, Unit::Seconds, "320 ms"),
            (0.000_25, Unit::Seconds, "250 µs"),
            (0.0, Unit::Seconds, "0 ms"),
            (1_500.0, Unit::Milliseconds, "1.5 s"),
            (0.031, Unit::Ratio, "3.1 %"),
            (99.95, Unit::Percent, "100 %"),
            (1.25e9, Unit::Bytes, "1.25 GB"),
            (812.4, Unit::None, "812"),
            (1e308, Unit::None, "1e308"),
            (-1e308, Unit::Seconds, "-1e308 s"),
            (1e308, Unit::Bytes, "1e296 TB"),
            (1e308, Unit::Ratio, "beyond 2e308 %"),
            (f64::NEG_INFINITY, Unit::None, "beyond -2e308"),
            (f64::NAN, Unit::Percent, "no number %"),
        ];
        for (number, unit, text) in cases {
            assert_eq!(value(number, unit), text);
        }
    }

    #[test]
    fn durations_read_like_prose() {
        let cases = [
            (40_000, "40 s"),
            (120_000, "2 min"),
            (-120_000, "2 min"),
            (12_600_000, "3.5 h"),
            (400_000_000, "5 d"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration(ms), text);
        }
    }
}
