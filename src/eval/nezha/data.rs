//! Reads Nezha's published layout: spans, log lines and per-pod metrics as CSV files by minute.
//!
//! Lines that cannot be read are counted, never guessed at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::eval::EvalError;
use crate::eval::root_cause::{entries, read_text};
use crate::model::Time;

/// One injected fault, as `faults.json` describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// Identity.
    pub id: String,
    /// When it was injected, seconds since the epoch (the published `inject_timestamp` is off by hours).
    pub inject_unix: i64,
    /// The service of the injected pod.
    pub service: String,
    /// Day folder.
    pub day: String,
    /// File prefixes, `HH_MM`.
    pub minutes: Vec<String>,
}

/// A span.
#[derive(Clone, Debug)]
pub struct SpanRow {
    /// Hash of the trace id.
    pub trace: u64,
    /// Hash of the span id.
    pub span: u64,
    /// Hash of the parent's id, 0 at the root.
    pub parent: u64,
    /// Service index.
    pub service: usize,
    /// Operation.
    pub name: String,
    /// Start.
    pub start: Time,
    /// Duration in microseconds.
    pub duration_us: u64,
}

/// A log line.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Hash of the trace id, if the line carries one.
    pub trace: Option<u64>,
    /// Service index.
    pub service: usize,
    /// When it was written.
    pub at: Time,
    /// What was written.
    pub text: String,
}

/// One CPU sample of a service's pod.
#[derive(Clone, Copy, Debug)]
pub struct CpuRow {
    /// When.
    pub at: Time,
    /// Share of the limit, 0..1.
    pub usage: f64,
}

/// A stretch of telemetry.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// Spans, in order of start.
    pub spans: Vec<SpanRow>,
    /// Log lines, in order of time.
    pub logs: Vec<LogRow>,
}

impl Stretch {
    /// When its last span or line began.
    pub fn end(&self) -> Option<Time> {
        let spans = self.spans.last().map(|span| span.start);
        spans.max(self.logs.last().map(|line| line.at))
    }

    /// Sets its clock back so that it ends before `limit`; left alone if it does.
    pub fn end_before(&mut self, limit: Time) {
        let late_ms = self.end().map_or(0, |end| end.since(limit));
        if late_ms > 0 {
            self.spans
                .iter_mut()
                .for_each(|span| span.start = span.start.plus_ms(-late_ms));
            self.logs
                .iter_mut()
                .for_each(|line| line.at = line.at.plus_ms(-late_ms));
        }
    }
}

/// The services met so far, by name.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Names by index.
    pub names: Vec<String>,
    index: BTreeMap<String, usize>,
}

impl Services {
    /// The index of the service a pod belongs to: its name without the two suffixes the deployment adds.
    pub fn of_pod(&mut self, pod: &str) -> usize {
        let name = pod.rsplitn(3, '-').nth(2).unwrap_or(pod);
        if let Some(at) = self.index.get(name) {
            return *at;
        }
        let at = self.names.len();
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), at);
        at
    }

    /// The index of a known service.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

/// Reads the spans and logs of `folder` (`rca_data/DAY` or `construct_data/DAY`), of these minutes or of all.
pub fn stretch(
    folder: &Path,
    minutes: Option<&[String]>,
    services: &mut Services,
) -> Result<Stretch, EvalError> {
    let mut found = Stretch::default();
    for path in files(&folder.join("trace"), minutes, "_trace.csv")? {
        read_spans(&read_text(&path)?, services, &mut found.spans);
    }
    for path in files(&folder.join("log"), minutes, "_log.csv")? {
        read_logs(&read_text(&path)?, services, &mut found.logs);
    }
    found.spans.sort_by_key(|span| span.start);
    found.logs.sort_by_key(|line| line.at);
    Ok(found)
}

fn files(
    folder: &Path,
    minutes: Option<&[String]>,
    suffix: &str,
) -> Result<Vec<PathBuf>, EvalError> {
    if let Some(minutes) = minutes {
        return Ok(minutes
            .iter()
            .map(|minute| folder.join(format!("{minute}{suffix}")))
            .collect());
    }
    let mut paths = entries(folder)?;
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    Ok(paths)
}

fn hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

fn read_spans(text: &str, services: &mut Services, spans: &mut Vec<SpanRow>) {
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        // Operation names may hold commas: count the fixed ones from both ends.
        let [trace, span, parent, pod, name @ .., start, _end, duration] = fields.as_slice() else {
            continue;
        };
        let (Ok(start_ns), Ok(duration_us)) = (start.parse::<i64>(), duration.trim().parse())
        else {
            continue;
        };
        spans.push(SpanRow {
            trace: hash(trace),
            span: hash(span),
            parent: if *parent == "root" { 0 } else { hash(parent) },
            service: services.of_pod(pod),
            name: name.join(","),
            start: Time::from_ms(start_ns / 1_000_000),
            duration_us,
        });
    }
}

fn read_logs(text: &str, services: &mut Services, logs: &mut Vec<LogRow>) {
    for line in text.lines().skip(1) {
        // Messages hold unquoted commas: only the first seven separate fields.
        let fields: Vec<&str> = line.splitn(8, ',').collect();
        let [_, nanos, _node, pod, _container, trace, _span, message] = fields.as_slice() else {
            continue;
        };
        let Ok(at_ns) = nanos.parse::<i64>() else {
            continue;
        };
        logs.push(LogRow {
            trace: (!trace.is_empty()).then(|| hash(trace)),
            service: services.of_pod(pod),
            at: Time::from_ms(at_ns / 1_000_000),
            text: unwrapped(message),
        });
    }
}

/// The application's own line from the container runtime's JSON in a CSV cell.
fn unwrapped(cell: &str) -> String {
    #[derive(Deserialize)]
    struct Line {
        log: String,
    }
    let cell = cell
        .strip_prefix('"')
        .and_then(|c| c.strip_suffix('"'))
        .unwrap_or(cell);
    let json = cell.replace("\"\"", "\"");
    serde_json::from_str::<Line>(&json).map_or(json, |line| line.log.trim_end().to_owned())
}

/// CPU samples of each service in `folder/metric`, in order of time.
pub fn cpu(
    folder: &Path,
    services: &mut Services,
    samples: &mut BTreeMap<usize, Vec<CpuRow>>,
) -> Result<(), EvalError> {
    for path in files(&folder.join("metric"), None, "_metric.csv")? {
        let text = read_text(&path)?;
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let column = |name: &str| header.iter().position(|field| *field == name);
        let (Some(at), Some(pod), Some(usage)) = (
            column("TimeStamp"),
            column("PodName"),
            column("CpuUsageRate(%)"),
        ) else {
            continue;
        };
        for line in lines {
            let fields: Vec<&str> = line.split(',').collect();
            let (Some(Ok(secs)), Some(pod), Some(Ok(usage))) = (
                fields.get(at).map(|f| f.parse::<i64>()),
                fields.get(pod),
                fields.get(usage).map(|f| f.parse::<f64>()),
            ) else {
                continue;
            };
            let row = CpuRow {
                at: Time::from_secs(secs),
                usage: usage / 100.0,
            };
            samples.entry(services.of_pod(pod)).or_default().push(row);
        }
    }
    for rows in samples.values_mut() {
        rows.sort_by_key(|row| row.at);
    }
    Ok(())
}
