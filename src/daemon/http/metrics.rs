//! How the daemon does, for those who watch it: as JSON, and in Prometheus' text format 0.0.4.
//!
//! Of what senders say nothing becomes a label: names of sources, receivers and states alone do.

use std::fmt::Write;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::routes::{Api, Caller};
use crate::api::path;
use crate::model::{
    ReceiverReach, ReceiverStats, RecorderStats, SourceHealth, SourceRow, Stats, TickStats,
};

/// The content type that says which format it is.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What metrics of a daemon are called first.
const PREFIX: &str = "stormglass_";

/// What a metric does over time.
#[derive(Clone, Copy)]
enum Type {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something was, and how much of it in all.
    Summary,
}

/// A metric of each source.
type OfSource = (
    &'static str,
    Type,
    &'static str,
    fn(&SourceRow) -> Option<f64>,
);
/// A metric of each receiver of notifications.
type OfReceiver = (&'static str, Type, &'static str, fn(&ReceiverStats) -> f64);
/// A metric of the flight recorder.
type OfRecorder = (&'static str, Type, &'static str, fn(&RecorderStats) -> f64);
/// A metric of the engine or its queue.
type OfEngine = (&'static str, Type, &'static str, fn(&Stats) -> u64);

const OF_SOURCES: &[OfSource] = &[
    (
        "source_signals_accepted_total",
        Type::Counter,
        "Signals of a source that the engine took.",
        |row| Some(row.taken as f64),
    ),
    (
        "source_signals_rejected_total",
        Type::Counter,
        "Signals or requests of a source that were refused as malformed.",
        |row| Some(row.rejected as f64),
    ),
    (
        "source_signals_dropped_total",
        Type::Counter,
        "Signals of a source that were lost: there was no room, and their sender keeps nothing.",
        |row| Some(row.dropped as f64),
    ),
    (
        "source_signals_returned_total",
        Type::Counter,
        "Signals of a source that were sent back for want of room: their sender tries again.",
        |row| Some(row.refused as f64),
    ),
    (
        "source_requests_returned_total",
        Type::Counter,
        "Requests of a source that were sent back unread for want of room: their sender tries again.",
        |row| Some(row.unread as f64),
    ),
    (
        "source_silences_total",
        Type::Counter,
        "Silences of a source so long that we were blind on it.",
        |row| Some(row.pace.gaps as f64),
    ),
    (
        "source_lag_seconds",
        Type::Gauge,
        "How old what a source says is when it comes; negative when its clock is ahead.",
        |row| row.pace.lag_ms.map(seconds),
    ),
    (
        "source_last_heard_timestamp_seconds",
        Type::Gauge,
        "When a source was last heard, also before a restart.",
        |row| row.last_seen.map(|at| seconds(at.ms())),
    ),
];

const OF_RECEIVERS: &[OfReceiver] = &[
    (
        "notifications_sent_total",
        Type::Counter,
        "Notifications that a receiver took.",
        |receiver| receiver.sent as f64,
    ),
    (
        "notifications_failed_total",
        Type::Counter,
        "Tries to tell a receiver that failed; each is tried again.",
        |receiver| receiver.failed as f64,
    ),
    (
        "notifications_lost_total",
        Type::Counter,
        "Notifications that a receiver refused for good, or that were given up.",
        |receiver| receiver.lost as f64,
    ),
    (
        "notifications_waiting",
        Type::Gauge,
        "Notifications that wait for a receiver.",
        |receiver| receiver.waiting as f64,
    ),
];

const OF_RECORDER: &[OfRecorder] = &[
    (
        "recorder_size_bytes",
        Type::Gauge,
        "Bytes of the recording.",
        |recorder| recorder.bytes as f64,
    ),
    (
        "recorder_size_limit_bytes",
        Type::Gauge,
        "Bytes the recording may take.",
        |recorder| recorder.bytes_max as f64,
    ),
    (
        "recorder_segments",
        Type::Gauge,
        "Segments of the recording.",
        |recorder| recorder.segments as f64,
    ),
    (
        "recorder_inputs_lost_total",
        Type::Counter,
        "Inputs of the engine that could not be recorded.",
        |recorder| recorder.lost_inputs as f64,
    ),
    (
        "recorder_incident_segments_deleted_total",
        Type::Counter,
        "Segments that an incident needs and that had to go all the same.",
        |recorder| recorder.unpinned as f64,
    ),
    (
        "recorder_failing",
        Type::Gauge,
        "1 while nothing can be recorded.",
        |recorder| f64::from(u8::from(recorder.failing.is_some())),
    ),
];

const OF_ENGINE: &[OfEngine] = &[
    (
        "engine_signals_total",
        Type::Counter,
        "Signals the engine took, of all sources.",
        |stats| stats.counts.signals,
    ),
    (
        "engine_signals_refused_total",
        Type::Counter,
        "Signals the engine refused: for their time, or for want of room.",
        |stats| stats.counts.refused,
    ),
    (
        "engine_signals_corrected_total",
        Type::Counter,
        "Signals the engine took otherwise than they were told: with times nobody can believe.",
        |stats| stats.counts.corrected,
    ),
    (
        "engine_series_retired_total",
        Type::Counter,
        "Series that were silent for so long that they were let go.",
        |stats| stats.counts.retired,
    ),
    (
        "engine_series",
        Type::Gauge,
        "Series with a detector.",
        |stats| stats.counts.series,
    ),
    ("engine_entities", Type::Gauge, "Entities known.", |stats| {
        stats.counts.entities
    }),
    (
        "engine_log_templates",
        Type::Gauge,
        "Log templates known.",
        |stats| stats.counts.templates,
    ),
    (
        "engine_queue_signals",
        Type::Gauge,
        "Signals that wait for the engine.",
        |stats| stats.queue.signals,
    ),
    (
        "engine_queue_limit_signals",
        Type::Gauge,
        "Signals that find room before the engine.",
        |stats| stats.queue.signals_max,
    ),
    ("findings_open", Type::Gauge, "Findings open.", |stats| {
        stats.counts.findings_open
    }),
    ("alerts_firing", Type::Gauge, "Alerts firing.", |stats| {
        stats.counts.alerts_firing
    }),
    (
        "alerts_held",
        Type::Gauge,
        "Alerts firing that are held back from incidents and people.",
        |stats| stats.counts.alerts_held,
    ),
    (
        "alerts_unheard",
        Type::Gauge,
        "Alerts firing whose sender fell silent.",
        |stats| stats.counts.alerts_unheard,
    ),
];

/// How a source can be, and the word for it.
const HEALTHS: [(SourceHealth, &str); 6] = [
    (SourceHealth::Waiting, "waiting"),
    (SourceHealth::Live, "live"),
    (SourceHealth::Silent, "silent"),
    (SourceHealth::Blind, "blind"),
    (SourceHealth::Rejecting, "rejecting"),
    (SourceHealth::Failed, "failed"),
];

/// The routes; who asks needs to be known, as everywhere in the API.
pub fn metrics_routes() -> Router<Api> {
    Router::new()
        .route(path::STATS, get(stats))
        .route(path::METRICS, get(metrics))
        .route(path::REACHED, get(reached))
}

async fn stats(State(api): State<Api>, _: Caller) -> Json<Stats> {
    Json(api.gauges.read())
}

async fn reached(State(api): State<Api>, _: Caller) -> Json<Vec<ReceiverReach>> {
    let Some(notifier) = &api.gauges.notifier else {
        return Json(Vec::new());
    };
    Json(notifier.reach().await)
}

async fn metrics(State(api): State<Api>, _: Caller) -> Response {
    let kind = [(header::CONTENT_TYPE, TEXT_FORMAT)];
    (kind, exposition(&api.gauges.read())).into_response()
}

/// All of it as text, each metric with its samples together.
fn exposition(stats: &Stats) -> String {
    let mut text = String::new();
    head(
        &mut text,
        "build_info",
        Type::Gauge,
        "The version that runs.",
    );
    sample(&mut text, "build_info", &[("version", &stats.version)], 1.0);
    for (name, kind, help, value) in OF_ENGINE {
        head(&mut text, name, *kind, help);
        sample(&mut text, name, &[], value(stats) as f64);
    }
    of_ticks(&mut text, stats.ticks);
    head(
        &mut text,
        "incidents",
        Type::Gauge,
        "Incidents held, by phase.",
    );
    for (phase, count) in &stats.incidents {
        let labels = [("phase", phase.as_str())];
        sample(&mut text, "incidents", &labels, *count as f64);
    }
    of_sources(&mut text, &stats.sources);
    for (name, kind, help, value) in OF_RECORDER {
        if let Some(recorder) = &stats.recorder {
            head(&mut text, name, *kind, help);
            sample(&mut text, name, &[], value(recorder));
        }
    }
    for (name, kind, help, value) in OF_RECEIVERS {
        head(&mut text, name, *kind, help);
        for receiver in &stats.receivers {
            let labels = [("receiver", &*receiver.name)];
            sample(&mut text, name, &labels, value(receiver));
        }
    }
    text
}

fn of_ticks(text: &mut String, ticks: TickStats) {
    let name = "engine_tick_seconds";
    let help = "How long the engine's ticks take, one a second.";
    head(text, name, Type::Summary, help);
    sample(text, "engine_tick_seconds_sum", &[], from_ns(ticks.sum_ns));
    sample(text, "engine_tick_seconds_count", &[], ticks.count as f64);
    let last = ("engine_last_tick_seconds", "The last tick.", ticks.last_ns);
    let help = "The longest tick since the daemon was started.";
    let longest = ("engine_longest_tick_seconds", help, ticks.longest_ns);
    for (name, help, took_ns) in [last, longest] {
        head(text, name, Type::Gauge, help);
        sample(text, name, &[], from_ns(took_ns));
    }
}

fn of_sources(text: &mut String, sources: &[SourceRow]) {
    for (name, kind, help, value) in OF_SOURCES {
        head(text, name, *kind, help);
        for row in sources {
            if let Some(value) = value(row) {
                sample(text, name, &[("source", &row.name)], value);
            }
        }
    }
    let name = "source_state";
    head(
        text,
        name,
        Type::Gauge,
        "1 for how a source is, 0 for how it is not.",
    );
    for row in sources {
        for (health, word) in HEALTHS {
            let labels = [("source", &*row.name), ("state", word)];
            sample(
                text,
                name,
                &labels,
                f64::from(u8::from(row.health == health)),
            );
        }
    }
}

fn head(text: &mut String, name: &str, kind: Type, help: &str) {
    let kind = match kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Summary => "summary",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
    );
}

fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels = labels.iter();
    let labels: Vec<String> = labels
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect();
    let labels = match &*labels {
        [] => String::new(),
        some => format!("{{{}}}", some.join(",")),
    };
    let _ = writeln!(text, "{PREFIX}{name}{labels} {value}");
}

/// A label's value as the format wants it.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"");
    value.replace('\n', r"\n")
}

fn from_ns(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Counts, LastOf, Pace, Phase, QueueStats, Time};

    fn stats() -> Stats {
        Stats {
            version: "1.2.3".to_owned(),
            at: Time::from_secs(60),
            sources: vec![SourceRow {
                name: "tail \"a\\b\"\nc".to_owned(),
                health: SourceHealth::Blind,
                detail: "/secret/path".to_owned(),
                last_seen: Some(Time::from_ms(1_500)),
                taken: 7,
                rejected: 1,
                dropped: 2,
                refused: 3,
                unread: 4,
                last_refusal: None,
                last_of: LastOf::default(),
                pace: Pace {
                    lag_ms: Some(-250),
                    gaps: 5,
                    ..Pace::default()
                },
            }],
            counts: Counts {
                signals: 1 << 40,
                ..Counts::default()
            },
            incidents: vec![(Phase::Open, 2), (Phase::Resolved, 0)],
            queue: QueueStats {
                signals: 9,
                signals_max: 131_072,
            },
            ticks: TickStats {
                count: 3,
                sum_ns: 2_500_000,
                last_ns: 500_000,
                longest_ns: 1_000_000,
            },
            recorder: Some(RecorderStats {
                bytes: 4_096,
                failing: Some("full".to_owned()),
                ..RecorderStats::default()
            }),
            receivers: vec![ReceiverStats {
                name: "pager".to_owned(),
                sent: 6,
                ..ReceiverStats::default()
            }],
        }
    }

    #[test]
    fn what_is_counted_is_told_as_prometheus_reads_it() {
        let text = exposition(&stats());
        let expected = [
            r#"stormglass_build_info{version="1.2.3"} 1"#,
            "stormglass_engine_signals_total 1099511627776",
            "stormglass_engine_queue_signals 9",
            "# TYPE stormglass_engine_tick_seconds summary",
            "stormglass_engine_tick_seconds_sum 0.0025",
            "stormglass_engine_tick_seconds_count 3",
            "stormglass_engine_last_tick_seconds 0.0005",
            "stormglass_engine_longest_tick_seconds 0.001",
            r#"stormglass_incidents{phase="open"} 2"#,
            r#"stormglass_source_signals_accepted_total{source="tail \"a\\b\"\nc"} 7"#,
            r#"stormglass_source_lag_seconds{source="tail \"a\\b\"\nc"} -0.25"#,
            r#"stormglass_source_last_heard_timestamp_seconds{source="tail \"a\\b\"\nc"} 1.5"#,
            r#"stormglass_source_state{source="tail \"a\\b\"\nc",state="blind"} 1"#,
            r#"stormglass_source_state{source="tail \"a\\b\"\nc",state="live"} 0"#,
            "stormglass_recorder_size_bytes 4096",
            "stormglass_recorder_failing 1",
            r#"stormglass_notifications_sent_total{receiver="pager"} 6"#,
        ];
        for line in expected {
            assert!(text.lines().any(|told| told == line), "{line} in:\n{text}");
        }
        assert!(!text.contains("/secret"), "where a source is, is no label");
    }
}
