//! What a metric says of its entity, read from its name, unit and labels.
//!
//! Exporters follow a handful of conventions; the tables below list their words. A metric that
//! fits none is `Other` and judged both ways: a wrong guess costs precision, never silence.

use crate::model::{Labels, MetricRole, Series, SeriesKind, Unit};

/// Parts of names of metrics that carry no behaviour: build facts, start times, configuration.
const NOT_JUDGED: [&str; 9] = [
    "_info",
    "_created",
    "_timestamp",
    "_timestamp_seconds",
    "_start_time_seconds",
    "_boot_time_seconds",
    "_last_reload_seconds",
    "_build",
    "_max_fds",
];

/// How much is left of something: down is bad, but how far down differs, so both ways are watched.
const LEFT_OVER: [&str; 6] = [
    "free",
    "available_bytes",
    "avail",
    "idle",
    "remaining",
    "limit",
];

const ERRORS: [&str; 14] = [
    "error",
    "fail",
    "exception",
    "5xx",
    "timeout",
    "abort",
    "reject",
    "refused",
    "dropped",
    "lost",
    "panic",
    "retrans",
    "dead_letter",
    "conflict",
];

const AVAILABILITY: [&str; 9] = [
    "success",
    "availability",
    "available",
    "healthy",
    "hit_ratio",
    "hit_rate",
    "hit_percent",
    "hits_ratio",
    "uptime_ratio",
];

/// Ends of names of shares of work that something takes off whatever stands behind it, and of what
/// it does not take: caches, buffers, pools of prepared things.
const TAKEN_AND_MISSED: [(&str, &str); 4] = [
    ("hit_ratio", "miss_ratio"),
    ("hit_rate", "miss_rate"),
    ("hit_percent", "miss_percent"),
    ("hits_ratio", "misses_ratio"),
];

const SATURATION: [&str; 24] = [
    "utilization",
    "utilisation",
    "usage",
    "used",
    "in_use",
    "cpu",
    "memory",
    "mem_",
    "heap",
    "disk",
    "pool",
    "queue",
    "lag",
    "backlog",
    "pending",
    "inflight",
    "in_flight",
    "connections",
    "threads",
    "goroutines",
    "open_fds",
    "saturation",
    "pressure",
    "load",
];

const LATENCY: [&str; 11] = [
    "duration",
    "latency",
    "response_time",
    "request_time",
    "elapsed",
    "delay",
    "rtt",
    "ttfb",
    "wait",
    "_time_ms",
    "_time_seconds",
];

const TRAFFIC: [&str; 16] = [
    "request",
    "operations",
    "calls",
    "messages",
    "rps",
    "qps",
    "throughput",
    "received",
    "sent",
    "transmit",
    "receive",
    "packets",
    "bytes_total",
    "orders",
    "events",
    "_count",
];

/// Labels whose value starts with 5 on the failing part of a request counter.
const STATUS_LABELS: [&str; 4] = ["code", "status", "status_code", "http.response.status_code"];

/// Prometheus writes the state of its alerts as series that carry the alerts' labels. They say what a
/// rule thinks of an entity and end when the alert does: an entity is not gone because of that.
const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];

/// Whether a series describes something that never behaves oddly by itself.
pub fn is_judged(name: &str) -> bool {
    !NOT_JUDGED.iter().any(|end| name.ends_with(end)) && !ALERT_SERIES.contains(&name)
}

/// What the series says of its entity.
pub fn role_of(series: &Series) -> MetricRole {
    let name = series.name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if is_up(&name, &series.labels) {
        MetricRole::Availability
    } else if has(&ERRORS) || fails_by_status(&series.labels) {
        MetricRole::Errors
    } else if has(&LEFT_OVER) || series.labels.get("mode") == Some("idle") {
        MetricRole::Other
    } else if has(&AVAILABILITY) {
        MetricRole::Availability
    } else if is_time(series, has(&LATENCY)) {
        MetricRole::Latency
    } else if series.kind == SeriesKind::Gauge && has(&SATURATION) || name.contains("cpu") {
        MetricRole::Saturation
    } else if has(&TRAFFIC) {
        MetricRole::Traffic
    } else {
        MetricRole::Other
    }
}

/// Names beside `…_up` of verdicts on whether something lives.
const VERDICTS: [&str; 4] = ["up", "probe_success", "is_up", "alive"];
/// Words that make something else of an `_up` after them: `scale_up`, `catch_up`.
const UP_TO_SOMETHING: [&str; 13] = [
    "scale", "scaled", "scaling", "catch", "follow", "warm", "back", "backed", "rolled", "clean",
    "look", "step", "network",
];

/// Labels of a part of a host: that it is up says nothing of the host, and it may go down on purpose, as
/// the network devices of containers do.
const PART_LABELS: [&str; 2] = ["device", "interface"];

/// Whether this is a verdict on whether something lives, as a scrape's own `up` and those of exporters
/// on what they look after (`redis_up`): 1 it answers, 0 it does not. A series of this name that ever has
/// another value is none.
pub fn is_up(name: &str, labels: &Labels) -> bool {
    if VERDICTS.contains(&name) {
        return true;
    }
    if PART_LABELS.iter().any(|part| labels.get(part).is_some()) {
        return false;
    }
    let Some(stem) = name.strip_suffix("_up").or(name.strip_suffix("_alive")) else {
        return false;
    };
    let word = stem.rsplit('_').next().unwrap_or(stem);
    !UP_TO_SOMETHING.contains(&word)
}

/// The name of the share that a taker of work misses, when the name is of the share it takes.
pub fn missed_name(name: &str) -> Option<String> {
    TAKEN_AND_MISSED.iter().find_map(|(taken, missed)| {
        let stem = name.strip_suffix(taken)?;
        Some(format!("{stem}{missed}"))
    })
}

/// Whether a resource is spent by work and free again at once, as processors are: full, it says how
/// much work there is. Pools, disks and memory fill for reasons of their own.
pub fn is_spent_by_work(name: &str) -> bool {
    ["cpu", "gpu", "processor", "load1", "load5", "load_average"]
        .iter()
        .any(|word| name.contains(word))
}

/// Whether a resource keeps what is put into it, as disks do, however long the work takes: waiting for
/// somebody fills pools and queues, and no disk.
pub fn is_kept(name: &str) -> bool {
    ["disk", "filesystem", "storage", "volume", "inode"]
        .iter()
        .any(|word| name.contains(word))
}

/// Whether a resource is connections to databases: they are held while a database answers, and not while
/// other services do.
pub fn is_of_databases(name: &str) -> bool {
    ["db_", "db.", "sql", "jdbc", "hikari", "mongo", "datasource"]
        .iter()
        .any(|word| name.contains(word))
}

/// Whether the values are percentiles: they do not add up along calls.
pub fn is_percentile(series: &Series) -> bool {
    const PARTS: [&str; 9] = [
        "p50", "p75", "p90", "p95", "p98", "p99", "p999", "median", "_max",
    ];
    series.labels.get("quantile").is_some() || PARTS.iter().any(|part| series.name.contains(part))
}

/// The unit of a series, from its metadata or else the end of its name.
pub fn unit_of(series: &Series) -> Unit {
    const ENDINGS: [(&str, Unit); 8] = [
        ("_seconds", Unit::Seconds),
        ("_seconds_sum", Unit::Seconds),
        ("_milliseconds", Unit::Milliseconds),
        ("_ms", Unit::Milliseconds),
        ("_bytes", Unit::Bytes),
        ("_bytes_total", Unit::Bytes),
        ("_ratio", Unit::Ratio),
        ("_percent", Unit::Percent),
    ];
    if series.unit != Unit::None {
        return series.unit;
    }
    let name = series.name.strip_suffix("_bucket").unwrap_or(&series.name);
    ENDINGS
        .iter()
        .find(|(end, _)| name.ends_with(end))
        .map_or(Unit::None, |(_, unit)| *unit)
}

/// A gauge of a time to serve, or the sum of such times: a counter of seconds alone is use, not delay.
fn is_time(series: &Series, says_so: bool) -> bool {
    let timed = matches!(unit_of(series), Unit::Seconds | Unit::Milliseconds);
    if series.name.ends_with("_sum") {
        says_so || timed
    } else {
        says_so && series.kind != SeriesKind::Counter
    }
}

/// Whether the labels say that what is counted failed.
pub fn fails_by_status(labels: &Labels) -> bool {
    STATUS_LABELS
        .iter()
        .any(|name| labels.get(name).is_some_and(|code| code.starts_with('5')))
}

/// Whether counters with these labels may count the same requests: no label that both carry tells them apart, but for what
/// became of the requests and who tells it.
pub fn are_of_the_like(one: &Labels, other: &Labels) -> bool {
    let is_apart = |name: &str| name == "instance" || STATUS_LABELS.contains(&name);
    let mut labels = one.iter().filter(|(name, _)| !is_apart(name));
    labels.all(|(name, value)| other.get(name).is_none_or(|of| of == value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_of_the_like_unless_a_label_of_both_tells_them_apart() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let failing = labels(&[("route", "/pay"), ("status", "500"), ("instance", "a")]);
        let cases: [(&[(&str, &str)], bool); 4] = [
            (&[], true),
            (
                &[("route", "/pay"), ("status", "200"), ("instance", "b")],
                true,
            ),
            (&[("method", "GET")], true),
            (
                &[("route", "/"), ("status", "500"), ("instance", "a")],
                false,
            ),
        ];
        for (calls, expected) in cases {
            assert_eq!(
                are_of_the_like(&labels(calls), &failing),
                expected,
                "{calls:?}"
            );
        }
    }

    #[test]
    fn reads_the_usual_names() {
        use MetricRole::{Availability, Errors, Latency, Other, Saturation, Traffic};
        use SeriesKind::{Counter, Gauge};
        let cases = [
            ("http_requests_total", Counter, "", Traffic),
            ("http_requests_total", Counter, "503", Errors),
            ("http_request_errors_total", Counter, "", Errors),
            ("http_request_duration_p99_seconds", Gauge, "", Latency),
            ("http_request_duration_seconds_sum", Counter, "", Latency),
            ("http_request_duration_seconds_count", Counter, "", Traffic),
            ("db_pool_in_use_ratio", Gauge, "", Saturation),
            ("process_cpu_seconds_total", Counter, "", Saturation),
            ("node_memory_MemAvailable_bytes", Gauge, "", Other),
            ("node_filesystem_free_bytes", Gauge, "", Other),
            ("cache_hit_ratio", Gauge, "", Availability),
            ("queue_lag_messages", Gauge, "", Saturation),
            ("up", Gauge, "", Availability),
            ("process_open_fds", Gauge, "", Saturation),
            ("node_network_receive_bytes_total", Counter, "", Traffic),
            ("temperature_celsius", Gauge, "", Other),
        ];
        for (name, kind, code, role) in cases {
            let labels = Labels::from_pairs([("code", code)]).unwrap();
            let series = Series::new(name, labels, kind, Unit::None);
            assert_eq!(role_of(&series), role, "{name} {code}");
        }
        let verdicts = [
            "up",
            "redis_up",
            "my_service_up",
            "probe_success",
            "worker_alive",
        ];
        let none = Labels::empty();
        assert!(verdicts.iter().all(|name| is_up(name, &none)));
        for part in ["device", "interface"] {
            let of_part = Labels::from_pairs([(part, "docker0")]).unwrap();
            assert!(
                is_up("up", &of_part) && !is_up("link_up", &of_part),
                "{part}"
            );
        }
        let others = [
            "scale_up",
            "node_network_up",
            "jobs_scaled_up",
            "messages_to_catch_up",
            "uptime",
            "group",
        ];
        assert!(!others.iter().any(|name| is_up(name, &none)));
        let missed = [
            "redis_hit_ratio",
            "hit_rate",
            "white_ratio",
            "hit_ratio_p50",
        ];
        assert_eq!(
            missed.map(missed_name),
            [
                Some("redis_miss_ratio".to_owned()),
                Some("miss_rate".to_owned()),
                None,
                None
            ]
        );
        assert!(!is_judged("ALERTS") && !is_judged("ALERTS_FOR_STATE"));
        assert!(!is_judged("go_info") && is_judged("information_requests_total"));
    }
}
