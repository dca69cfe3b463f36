//! What names and units of metrics say: how values accumulate, and in what unit they are.
//!
//! It never guesses beyond the conventions of Prometheus and OpenTelemetry.

use crate::model::{SeriesKind, Unit};

/// Longest name of a metric, in bytes: what OpenTelemetry allows. A name is held for as long as its series.
pub(super) const METRIC_NAME_BYTES_MAX: usize = 255;

/// Refuses what no metric can be called.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("a series has no name".to_owned()),
        1..=METRIC_NAME_BYTES_MAX => Ok(()),
        bytes => Err(format!(
            "a metric's name of {bytes} bytes: at most {METRIC_NAME_BYTES_MAX}"
        )),
    }
}

/// Suffixes of series that only go up, by the conventions of Prometheus.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// Units by the last word of a name once counter suffixes are off.
const UNIT_SUFFIXES: [(&str, Unit); 8] = [
    ("_seconds", Unit::Seconds),
    ("_milliseconds", Unit::Milliseconds),
    ("_ms", Unit::Milliseconds),
    ("_bytes", Unit::Bytes),
    ("_ratio", Unit::Ratio),
    ("_percent", Unit::Percent),
    ("_percentage", Unit::Percent),
    (".utilization", Unit::Ratio),
];

/// How a series accumulates, by its name.
pub(super) fn kind_by_name(name: &str) -> SeriesKind {
    if COUNTER_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
        SeriesKind::Counter
    } else {
        SeriesKind::Gauge
    }
}

/// Unit of a series, by its name. Counts of observations have none, whatever was observed.
pub(super) fn unit_by_name(name: &str) -> Unit {
    if name.ends_with("_count") || name.ends_with("_bucket") {
        return Unit::None;
    }
    let base = name.strip_suffix("_total").unwrap_or(name);
    let base = base.strip_suffix("_sum").unwrap_or(base);
    UNIT_SUFFIXES
        .iter()
        .find(|(suffix, _)| base.ends_with(suffix))
        .map_or(Unit::None, |(_, unit)| *unit)
}

/// Unit by its name in the metadata of Prometheus and OpenMetrics; by the metric's name if it says
/// nothing known.
pub(super) fn unit_of_word(unit: &str, name: &str) -> Unit {
    match unit {
        "seconds" => Unit::Seconds,
        "milliseconds" => Unit::Milliseconds,
        "bytes" => Unit::Bytes,
        "ratio" => Unit::Ratio,
        "percent" => Unit::Percent,
        _ => unit_by_name(name),
    }
}

/// Unit written in UCUM, as OpenTelemetry does; by the name if it says nothing known.
pub(super) fn unit_of_ucum(unit: &str, name: &str) -> Unit {
    match unit {
        "s" => Unit::Seconds,
        "ms" => Unit::Milliseconds,
        "By" => Unit::Bytes,
        "1" if name.ends_with("utilization") || name.ends_with("ratio") => Unit::Ratio,
        "%" => Unit::Percent,
        "" => unit_by_name(name),
        _ => Unit::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(METRIC_NAME_BYTES_MAX + 1);
        assert_eq!(check_name(&long[1..]), Ok(()));
        let why = "a metric's name of 256 bytes: at most 255".to_owned();
        assert_eq!(check_name(&long), Err(why));
        assert_eq!(check_name(""), Err("a series has no name".to_owned()));
    }

    #[test]
    fn names_say_kind_and_unit() {
        let cases = [
            ("http_requests_total", SeriesKind::Counter, Unit::None),
            (
                "process_cpu_seconds_total",
                SeriesKind::Counter,
                Unit::Seconds,
            ),
            ("latency_seconds_sum", SeriesKind::Counter, Unit::Seconds),
            ("latency_seconds_count", SeriesKind::Counter, Unit::None),
            ("latency_seconds_bucket", SeriesKind::Counter, Unit::None),
            ("node_memory_free_bytes", SeriesKind::Gauge, Unit::Bytes),
            ("pool_used_ratio", SeriesKind::Gauge, Unit::Ratio),
            ("system.cpu.utilization", SeriesKind::Gauge, Unit::Ratio),
            ("up", SeriesKind::Gauge, Unit::None),
            ("", SeriesKind::Gauge, Unit::None),
        ];
        for (name, kind, unit) in cases {
            assert_eq!(
                (kind_by_name(name), unit_by_name(name)),
                (kind, unit),
                "{name}"
            );
        }
    }

    #[test]
    fn ucum_units_are_known() {
        let cases = [
            ("s", "d", Unit::Seconds),
            ("ms", "d", Unit::Milliseconds),
            ("By", "d", Unit::Bytes),
            ("1", "system.cpu.utilization", Unit::Ratio),
            ("1", "requests", Unit::None),
            ("{request}", "http.seconds", Unit::None),
            ("", "x_seconds", Unit::Seconds),
        ];
        for (unit, name, expected) in cases {
            assert_eq!(unit_of_ucum(unit, name), expected, "{unit} {name}");
        }
    }
}
