//! Sentences for what is on the screen: what was seen, what was expected, since when.
//!
//! The text quotes names from telemetry and is untrusted: consoles show it as `SafeText` only.

use super::diagnose::words;
use crate::model::{Band, Time, Unit};

/// Endings that name a unit or kind and say nothing to a reader.
const SILENT_ENDINGS: [&str; 8] = [
    "_total",
    "_sum",
    "_seconds",
    "_milliseconds",
    "_ms",
    "_bytes",
    "_ratio",
    "_percent",
];

/// A metric's name as people say it: `http_request_duration_p99_seconds` is `http request duration p99`.
pub fn subject(name: &str) -> String {
    let mut name = name;
    while let Some(shorter) = SILENT_ENDINGS
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|shorter| !shorter.is_empty())
    {
        name = shorter;
    }
    name.replace('_', " ")
}

/// `p99 4.2 s, expected 0.3–0.6 s, since 12:03`.
pub fn metric(name: &str, seen: f64, expected: Band, unit: Unit, since: Time) -> String {
    format!(
        "{} {}, expected {}, since {}",
        subject(name),
        words::value(seen, unit),
        band(expected, unit),
        clock(since)
    )
}

/// `0.3–0.6 s`; one value when both ends read the same.
pub fn band(band: Band, unit: Unit) -> String {
    let (low, high) = (words::value(band.low, unit), words::value(band.high, unit));
    if low == high {
        return low;
    }
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, a)), Some((_, b))) if a == b => format!("{number}–{high}"),
        _ => format!("{low}–{high}"),
    }
}

/// The time of day in UTC, to the minute.
pub fn clock(at: Time) -> String {
    at.to_utc().format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_seen_and_expected() {
        let band = |low, high| Band { low, high };
        let cases = [
            (
                "http_request_duration_p99_seconds",
                4.2,
                band(0.3, 0.6),
                Unit::Seconds,
                "http request duration p99 4.2 s, expected 300–600 ms, since 12:03",
            ),
            (
                "db_pool_in_use_ratio",
                1.0,
                band(0.3, 0.5),
                Unit::Ratio,
                "db pool in use 100 %, expected 30–50 %, since 12:03",
            ),
            (
                "http_requests_total",
                12.0,
                band(80.0, 80.0),
                Unit::None,
                "http requests 12, expected 80, since 12:03",
            ),
        ];
        for (name, seen, expected, unit, text) in cases {
            assert_eq!(
                metric(name, seen, expected, unit, Time::from_secs(43_380)),
                text
            );
        }
    }
}
