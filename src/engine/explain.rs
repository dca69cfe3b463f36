//! Sentences for what is on the screen: what was seen, what was expected, since when.
//!
//! The text quotes names from telemetry and is untrusted: consoles show it as `SafeText` only.

use super::detect::{Broken, DETECTOR_VERSION, Maturity, Rarity, Stretch};
use super::diagnose::words;
use super::distribution::{Shift, Standing};
use super::traces::Durations;
use crate::model::{Band, BaselineVersion, Check, Explanation, Time, Unit};

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
        "{} {}, {}, since {}",
        subject(name),
        words::value(seen, unit),
        against(seen, expected, unit),
        clock(since)
    )
}

/// What was expected where `seen` was: `expected 0.3–0.6 s`. A value may be odd for those before it and lie
/// where one such value is usual, or so little outside that both read the same: then that is said.
pub fn against(seen: f64, expected: Band, unit: Unit) -> String {
    let range = band(expected, unit);
    if (expected.low..=expected.high).contains(&seen) {
        return format!("usual for one value ({range}), not for so many");
    }
    let end = if seen > expected.high {
        expected.high
    } else {
        expected.low
    };
    if words::value(seen, unit) != words::value(end, unit) {
        return format!("expected {range}");
    }
    let side = if seen > expected.high {
        "above"
    } else {
        "below"
    };
    format!("just {side} the expected {range}")
}

/// `p99 stands still at 4.2 s since 12:03`.
pub fn sustained(name: &str, check: Check, seen: f64, unit: Unit, since: Time) -> String {
    let (name, value, since) = (subject(name), words::value(seen, unit), clock(since));
    match check {
        Check::FlatLine => format!("{name} stands still at {value} since {since}"),
        Check::SpreadChange => {
            format!("{name} varies otherwise than usual since {since}, now {value}")
        }
        Check::Drift => {
            format!("{name} creeps away from its usual level since {since}, now {value}")
        }
        _ => format!("{name} lost its usual pattern since {since}, now {value}"),
    }
}

/// `38 % of its durations lie above 400 ms since 12:03, usually 2 %`.
pub fn shift(of: &str, shift: &Shift, unit: Unit) -> String {
    let value = |value| words::value(value, unit);
    let range = match (shift.above, shift.up_to) {
        (Some(above), Some(up_to)) => format!("between {} and {}", value(above), value(up_to)),
        (Some(above), None) => format!("above {}", value(above)),
        (None, Some(up_to)) => format!("at or below {}", value(up_to)),
        (None, None) => "anywhere".to_owned(),
    };
    format!(
        "{} of {of} lie {range} {}",
        words::value(shift.seen, Unit::Ratio),
        usually(shift)
    )
}

/// `backup runs comes every 60 min: what was due at 12:00 did not come`.
pub fn broken(what: &str, broken: &Broken) -> String {
    let every = words::duration(broken.period_ms);
    let came = match broken.came {
        Some(at) => format!("came at {}", clock(at)),
        None => "did not come".to_owned(),
    };
    let due = about(broken.due);
    format!("{what} comes every {every}: what was due at {due} {came}")
}

/// How far it is known how values are spread, and what it would take to be told.
pub fn spread(of: &str, standing: Standing) -> String {
    match standing {
        Standing::Gathering => format!("how {of} are spread is not known yet"),
        Standing::Learning(windows, needed) => {
            format!("how {of} are spread is being learned: {windows} of {needed} windows")
        }
        Standing::Watching(evidence, needed) => format!(
            "that {of} are spread otherwise than usual: the evidence is {evidence:.1}, and {needed:.1} is needed"
        ),
        Standing::Unsuited => format!("how {of} are spread says nothing"),
    }
}

/// `since 12:03, usually 2 %`.
pub fn usually(shift: &Shift) -> String {
    let usual = words::value(shift.usual, Unit::Ratio);
    format!("since {}, usually {usual}", clock(shift.since))
}

/// `0.3–0.6 s`; one value when both ends read the same.
pub fn band(band: Band, unit: Unit) -> String {
    let (low, high) = (words::value(band.low, unit), words::value(band.high, unit));
    if low == high {
        return low;
    }
    if let (Some(number), true) = (low.strip_suffix("/s"), high.ends_with("/s"))
        && !number.contains(' ')
    {
        return format!("{number}–{high}");
    }
    match (low.rsplit_once(' '), high.rsplit_once(' ')) {
        (Some((number, a)), Some((_, b))) if a == b => format!("{number}–{high}"),
        _ => format!("{low}–{high}"),
    }
}

/// How unusual something is, in words of whoever knows.
pub fn told(unusual: impl Into<Box<str>>) -> Explanation {
    Explanation {
        unusual: unusual.into(),
        ..Explanation::default()
    }
}

/// What stands behind a finding of windows rather than of a series.
pub fn rarity(score: f32) -> Explanation {
    let unusual = match score {
        score if score >= 9.0 => {
            "never, by chance, in thousands of years of ordinary minutes".to_owned()
        }
        score if score >= 1.0 => format!(
            "one ordinary window in {} looks like this by chance",
            thousands(10_f64.powf(f64::from(score)))
        ),
        _ => "this happens on ordinary days".to_owned(),
    };
    told(unusual)
}

/// The baseline of what is judged in windows: that of `samples` since `since`, mature from `needed` on.
pub fn baseline(samples: u32, needed: u32, since: Time) -> BaselineVersion {
    let maturity = if samples >= needed {
        Maturity::Mature
    } else {
        Maturity::Learning
    };
    BaselineVersion {
        checks: DETECTOR_VERSION,
        samples,
        since,
        maturity: maturity.as_str().into(),
        is_seasonal: false,
    }
}

/// `60 values in a row, each such as one in 100 was before`.
pub fn stretch(stretch: &Stretch) -> String {
    if stretch.check == Check::FlatLine {
        return "it stood still many times longer than ever before".to_owned();
    }
    let one_in = 10_f32.powf(stretch.score).round();
    let samples = stretch.samples;
    format!("{samples} values in a row, each such as one in {one_in} was before")
}

/// `slower than 99 % of its calls in the last hours: half took 82 ms at most, 99 % 240 ms`.
pub fn slower(seen_s: f64, durations: &Durations) -> Option<String> {
    let usual = durations.usual()?;
    let share = durations
        .share_quicker(seen_s)
        .filter(|share| *share > 0.0)?;
    let value = |seconds| words::value(seconds, Unit::Seconds);
    Some(format!(
        "a typical call is slower than {} of the calls of the last hours: half took {} at most, 99 % {}",
        words::value(share, Unit::Ratio),
        value(usual.p50),
        value(usual.p99)
    ))
}

/// `higher than on any working day around 14:00 in 12 days`, from what the baseline keeps.
pub fn unusual(rarity: &Rarity) -> String {
    const DAY_MS: i64 = 86_400_000;
    let way = if rarity.deviation > 0.0 {
        "higher"
    } else {
        "lower"
    };
    let days = rarity.age_ms / DAY_MS;
    let rank = match rarity.as_far {
        0 => format!(
            "further from normal than any of the last {} values",
            rarity.of
        ),
        n => format!(
            "{n} of the last {} values were as far from normal",
            rarity.of
        ),
    };
    let is_record = rarity
        .record
        .is_some_and(|before| rarity.deviation.abs() >= before);
    if days < 2 || !is_record {
        return rank;
    }
    let utc = rarity.at.to_utc();
    let kind = match utc.format("%u").to_string().as_str() {
        "6" | "7" => "weekend day",
        _ => "working day",
    };
    let hour = utc.format("%H:00");
    format!(
        "{way}, against what is expected, than on any {kind} around {hour} in {days} days; {rank}"
    )
}

fn thousands(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.0} million", v / 1e6),
        v if v >= 1e3 => format!("{:.0} thousand", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// The time of day in UTC, to the nearest minute: what is due then is known no better.
pub fn about(at: Time) -> String {
    const HALF_MINUTE_MS: i64 = 30_000;
    clock(at.plus_ms(HALF_MINUTE_MS))
}

/// The time of day in UTC, to the minute.
pub fn clock(at: Time) -> String {
    at.to_utc().format("%H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_told_as_odd_for_lying_where_it_was_expected() {
        let rate = |seen, low, high| against(seen, Band { low, high }, Unit::PerSecond);
        let cases = [
            (rate(7.8, 0.0, 5.31), "expected 0–5.31/s"),
            (
                rate(4.8, 0.0, 5.31),
                "usual for one value (0–5.31/s), not for so many",
            ),
            (
                rate(1_116.0, 826.0, 1_141.0),
                "usual for one value (826–1141/s), not for so many",
            ),
            (
                rate(297.4, 198.0, 296.6),
                "just above the expected 198–297/s",
            ),
            (
                rate(197.6, 198.4, 297.0),
                "just below the expected 198–297/s",
            ),
        ];
        for (told, expected) in cases {
            assert_eq!(told, expected);
        }
    }

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
            (
                "http_requests_errors_total",
                2.4,
                band(0.0, 1.34),
                Unit::PerSecond,
                "http requests errors 2.4/s, expected 0–1.34/s, since 12:03",
            ),
            (
                "network_receive_bytes_total",
                4e6,
                band(1e6, 2e6),
                Unit::BytesPerSecond,
                "network receive 4 MB/s, expected 1–2 MB/s, since 12:03",
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
