//! Numbers, ages and times as people read them; the results are ASCII. Pure but for [`Zone::Machine`].

use chrono::{Offset, TimeZone};

use crate::model::{Band, Time, Unit};

/// Ages under a minute are shown in steps of this many seconds, so that they do not flicker.
const AGE_STEP_S: i64 = 5;

/// From this many minutes on, ages over a slow link are shown in steps of so many.
const COARSE_FROM_MIN: i64 = 10;
const COARSE_STEP_MIN: i64 = 5;

/// How instants are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The operator's time zone.
    pub zone: Zone,
    /// Whether UTC is shown instead.
    pub utc: bool,
}

/// Where the operator's clock hangs. How far it is from UTC is asked for each instant: a console may be open when
/// the clocks change, and what happened before is told as the clock on the wall had it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// That of this machine.
    Machine,
    /// That of a place.
    Of(chrono_tz::Tz),
}

impl Zone {
    /// Seconds east of UTC at an instant.
    fn offset_s(self, at: Time) -> i64 {
        let Some(at) = chrono::DateTime::from_timestamp_millis(at.ms()) else {
            return 0;
        };
        let at = at.naive_utc();
        let offset = match self {
            Self::Machine => chrono::Local.offset_from_utc_datetime(&at),
            Self::Of(zone) => zone.offset_from_utc_datetime(&at).fix(),
        };
        offset.local_minus_utc().into()
    }
}

impl Clock {
    /// In the time zone of this machine.
    pub const fn local(utc: bool) -> Self {
        let zone = Zone::Machine;
        Self { zone, utc }
    }

    /// `12:04`, with a `Z` when it is UTC.
    pub fn minute(self, at: Time) -> String {
        let (hours, minutes, _) = self.parts(at);
        format!("{hours:02}:{minutes:02}{}", self.suffix())
    }

    /// The hour of the day, as shown.
    pub fn hour(self, at: Time) -> u8 {
        self.parts(at).0 as u8
    }

    /// `12:04:31`, with a `Z` when it is UTC.
    pub fn second(self, at: Time) -> String {
        let (hours, minutes, seconds) = self.parts(at);
        format!("{hours:02}:{minutes:02}:{seconds:02}{}", self.suffix())
    }

    fn suffix(self) -> &'static str {
        if self.utc { "Z" } else { "" }
    }

    fn parts(self, at: Time) -> (i64, i64, i64) {
        let offset_s = if self.utc { 0 } else { self.zone.offset_s(at) };
        let day_s = (at.ms().div_euclid(1_000) + offset_s).rem_euclid(86_400);
        (day_s / 3_600, day_s / 60 % 60, day_s % 60)
    }
}

/// `45s`, `12m`, `5h`, `3d`; a negative age is `0s`.
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..60 => format!("{}s", seconds / AGE_STEP_S * AGE_STEP_S),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// An age over a slow link: `<1m`, `4m`, `25m`, `5h`, `3d`, so that rows that grow old rarely change.
pub fn coarse_age(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0 => "<1m".to_owned(),
        1..COARSE_FROM_MIN => age(ms),
        COARSE_FROM_MIN..60 => format!("{}m", minutes / COARSE_STEP_MIN * COARSE_STEP_MIN),
        _ => age(ms),
    }
}

/// A pause, a lag or the difference of two clocks, for a sentence: `850ms`, `15s`, `12m`, `3h`, `2d`.
pub fn lasting(ms: i64) -> String {
    match ms.max(0) {
        ms @ ..1_000 => format!("{ms}ms"),
        ms @ ..60_000 => format!("{}s", ms / 1_000),
        ms => age(ms),
    }
}

/// How long something took that is over, for a sentence: `45s`, `12m`, `1h46m`, `3d4h`.
pub fn lasted(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    let two = |many, big, few, small| match few {
        0 => format!("{many}{big}"),
        _ => format!("{many}{big}{few}{small}"),
    };
    match minutes {
        0..60 => age(ms),
        60..2_880 => two(minutes / 60, 'h', minutes % 60, 'm'),
        _ => two(minutes / 1_440, 'd', minutes / 60 % 24, 'h'),
    }
}

/// A length of time to the precision that matters: `500ms`, `90s`, `15m`, `2h`.
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms}ms"),
        1_000..120_000 => format!("{}s", ms / 1_000),
        120_000..7_200_000 => format!("{}m", ms / 60_000),
        _ => format!("{}h", ms / 3_600_000),
    }
}

/// Numbers from here on are told by their size alone: nobody reads three hundred digits.
const DIGITS_FROM: f64 = 1e15;

/// A value with its unit: `4.2s`, `3.1%`, `1.5GiB`, `12.4k`.
pub fn value(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "none".to_owned();
    }
    match unit {
        Unit::None => scaled(value, 1_000.0, &["", "k", "M", "G", "T"]),
        Unit::Seconds => seconds(value),
        Unit::Milliseconds => seconds(value / 1_000.0),
        Unit::Bytes => scaled(value, 1_024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
        Unit::Ratio => format!("{}%", short(value * 100.0)),
        Unit::Percent => format!("{}%", short(value)),
        Unit::PerSecond => self::value(value, Unit::None) + "/s",
        Unit::BytesPerSecond => self::value(value, Unit::Bytes) + "/s",
    }
}

/// A band: `0.3s to 0.6s`, or one value when both ends read the same.
pub fn band(band: Band, unit: Unit) -> String {
    let (low, high) = (value(band.low, unit), value(band.high, unit));
    if low == high {
        low
    } else {
        format!("{low} to {high}")
    }
}

/// A count: `950`, `12.4k`, `3.1M`.
pub fn count(n: u64) -> String {
    if n < 10_000 {
        n.to_string()
    } else {
        scaled(n as f64, 1_000.0, &["", "k", "M", "G", "T"])
    }
}

/// A count with its noun: `1 entity`, `14 entities`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Microseconds of a span: `850us`, `12.5ms`, `4.2s`.
pub fn micros(us: u64) -> String {
    if us < 1_000 {
        format!("{us}us")
    } else {
        seconds(us as f64 / 1e6)
    }
}

fn seconds(s: f64) -> String {
    if s != 0.0 && s.abs() < 1.0 {
        format!("{}ms", short(s * 1_000.0))
    } else {
        format!("{}s", short(s))
    }
}

fn scaled(value: f64, base: f64, suffixes: &[&str]) -> String {
    let mut scaled = value;
    let mut at = 0;
    while scaled.abs() >= base && at + 1 < suffixes.len() {
        scaled /= base;
        at += 1;
    }
    format!("{}{}", short(scaled), suffixes[at])
}

/// Three digits at most after the first, no trailing zeros.
fn short(value: f64) -> String {
    if value.abs() >= DIGITS_FROM {
        return format!("{value:.0e}");
    }
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 1.0 => 1,
        v if v >= 0.1 => 2,
        0.0 => 0,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        let cases = [
            (4.23, Unit::Seconds, "4.2s"),
            (0.42, Unit::Seconds, "420ms"),
            (1_250.0, Unit::Milliseconds, "1.2s"),
            (0.031, Unit::Ratio, "3.1%"),
            (100.0, Unit::Percent, "100%"),
            (1_610_612_736.0, Unit::Bytes, "1.5GiB"),
            (12_400.0, Unit::None, "12.4k"),
            (0.0, Unit::None, "0"),
            (f64::NAN, Unit::None, "none"),
            (2.4, Unit::PerSecond, "2.4/s"),
            (f64::NAN, Unit::PerSecond, "none"),
            (1_610_612_736.0, Unit::BytesPerSecond, "1.5GiB/s"),
        ];
        for (number, unit, expected) in cases {
            assert_eq!(value(number, unit), expected);
        }
    }

    #[test]
    fn ages_coarsen() {
        let cases = [
            (-5, "0s"),
            (4_000, "0s"),
            (47_000, "45s"),
            (12 * 60_000, "12m"),
            (5 * 3_600_000, "5h"),
            (72 * 3_600_000, "3d"),
        ];
        for (ms, expected) in cases {
            assert_eq!(age(ms), expected);
        }
    }

    #[test]
    fn ages_are_coarse_over_a_slow_link() {
        let cases = [
            (-5, "<1m"),
            (47, "<1m"),
            (60, "1m"),
            (9 * 60 + 59, "9m"),
            (14 * 60, "10m"),
            (59 * 60, "55m"),
            (60 * 60, "1h"),
            (72 * 3_600, "3d"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(coarse_age(seconds * 1_000), expected);
        }
    }

    #[test]
    fn what_is_over_is_told_in_two_units() {
        let cases = [
            (-5, "0s"),
            (47_000, "45s"),
            (59 * 60_000, "59m"),
            (3_600_000, "1h"),
            (106 * 60_000, "1h46m"),
            (47 * 3_600_000 + 59 * 60_000, "47h59m"),
            (48 * 3_600_000 + 59 * 60_000, "2d"),
            (76 * 3_600_000, "3d4h"),
        ];
        for (ms, expected) in cases {
            assert_eq!(lasted(ms), expected);
        }
    }

    #[test]
    fn times_follow_the_zone() {
        let at = Time::parse_rfc3339("2026-11-21T23:30:05Z").unwrap();
        let mut clock = Clock {
            zone: Zone::Of(chrono_tz::Europe::Berlin),
            utc: false,
        };
        assert_eq!(clock.minute(at), "00:30");
        clock.utc = true;
        assert_eq!(clock.second(at), "23:30:05Z");
    }

    /// In the night the clocks go back, what happened before is told as they went then.
    #[test]
    fn each_time_is_told_as_the_clocks_went_then() {
        let clock = Clock {
            zone: Zone::Of(chrono_tz::Europe::Berlin),
            utc: false,
        };
        for (utc, local) in [
            ("2026-10-25T00:59:00Z", "02:59"),
            ("2026-10-25T01:01:00Z", "02:01"),
            ("2026-03-29T00:59:00Z", "01:59"),
            ("2026-03-29T01:01:00Z", "03:01"),
        ] {
            let at = Time::parse_rfc3339(utc).unwrap();
            assert_eq!(clock.minute(at), local, "{utc}");
        }
    }
}
