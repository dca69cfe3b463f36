//! OTLP's JSON, turned into the protobuf it stands for, so that there is one reader of both.
//!
//! JSON is the rare case (browsers, scripts, `curl`); one copy more is a fair price. An item that cannot be
//! read is rejected alone, at the price of reading such a body once more.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Taken, Telemetry};

/// Most objects in one body: each becomes some hundreds of bytes in memory.
const OBJECTS_MAX: usize = 500_000;

/// Most values in one body, counted by the commas between them.
const VALUES_MAX: usize = 4_000_000;

/// Where the items of a request are, from the outside in, and what one of them is called.
struct Nesting {
    groups: &'static str,
    scopes: &'static str,
    items: &'static str,
    item: &'static str,
}

/// The request as protobuf, or why it cannot be read; items that cannot be read are rejected in `taken`.
pub(super) fn to_protobuf(
    telemetry: Telemetry,
    body: &[u8],
    taken: &mut Taken,
) -> Result<Vec<u8>, String> {
    let pieces = |separator: u8| body.split(|byte| *byte == separator).count();
    if pieces(b'{') > OBJECTS_MAX || pieces(b',') > VALUES_MAX {
        return Err(format!(
            "more than {OBJECTS_MAX} objects or {VALUES_MAX} values: send smaller batches"
        ));
    }
    match telemetry {
        Telemetry::Traces => {
            transcode::<ExportTraceServiceRequest, Span>(telemetry, body, taken, no_parts)
        }
        Telemetry::Metrics => transcode::<ExportMetricsServiceRequest, Metric>(
            telemetry,
            body,
            taken,
            keep_readable_points,
        ),
        Telemetry::Logs => {
            transcode::<ExportLogsServiceRequest, LogRecord>(telemetry, body, taken, no_parts)
        }
    }
}

impl Nesting {
    const fn of(telemetry: Telemetry) -> Self {
        let (groups, scopes, items, item) = match telemetry {
            Telemetry::Traces => ("resourceSpans", "scopeSpans", "spans", "a span"),
            Telemetry::Metrics => ("resourceMetrics", "scopeMetrics", "metrics", "a metric"),
            Telemetry::Logs => ("resourceLogs", "scopeLogs", "logRecords", "a log record"),
        };
        Self {
            groups,
            scopes,
            items,
            item,
        }
    }
}

/// Reads the request `R` of items `I`; `mend` takes out of an item that cannot be read those of its parts
/// that cannot, and says whether there is something left to try.
fn transcode<R: DeserializeOwned + Message, I: DeserializeOwned>(
    telemetry: Telemetry,
    body: &[u8],
    taken: &mut Taken,
    mend: fn(&mut Value, &mut Taken) -> bool,
) -> Result<Vec<u8>, String> {
    let refused = |error| format!("not an {}: {error}", telemetry.request());
    let whole = match serde_json::from_slice::<R>(body) {
        Ok(request) => return Ok(request.encode_to_vec()),
        Err(error) => error,
    };
    // Not JSON at all: what was said first says it best.
    let Ok(mut request) = serde_json::from_slice::<Value>(body) else {
        return Err(refused(whole));
    };
    let nesting = Nesting::of(telemetry);
    let before = taken.rejected;
    for group in list(&mut request, nesting.groups).into_iter().flatten() {
        for scope in list(group, nesting.scopes).into_iter().flatten() {
            let Some(items) = list(scope, nesting.items) else {
                continue;
            };
            items.retain_mut(|item| match I::deserialize(&*item) {
                Ok(_) => true,
                Err(_) if mend(item, taken) && I::deserialize(&*item).is_ok() => true,
                Err(error) => {
                    taken.reject(&format!("{}: {error}", nesting.item));
                    false
                }
            });
        }
    }
    if taken.rejected == before {
        // It is not an item that cannot be read.
        return Err(refused(whole));
    }
    let request: R = serde_json::from_value(request).map_err(refused)?;
    Ok(request.encode_to_vec())
}

/// The list of this name in an object.
fn list<'a>(object: &'a mut Value, name: &str) -> Option<&'a mut Vec<Value>> {
    object.get_mut(name)?.as_array_mut()
}

/// A span or a log record is read whole or not at all.
fn no_parts(_: &mut Value, _: &mut Taken) -> bool {
    false
}

/// Takes those points out of a metric without which it can be read.
fn keep_readable_points(metric: &mut Value, taken: &mut Taken) -> bool {
    const POINTS: &str = "dataPoints";
    const KINDS: [&str; 5] = [
        "gauge",
        "sum",
        "histogram",
        "exponentialHistogram",
        "summary",
    ];
    let Some(kind) = KINDS.into_iter().find(|kind| metric.get(kind).is_some()) else {
        return false;
    };
    let Some(points) = list(&mut metric[kind], POINTS).map(std::mem::take) else {
        return false;
    };
    // Without any point it must be readable, or the points are not what is wrong.
    if Metric::deserialize(&*metric).is_err() {
        return false;
    }
    let mut readable = Vec::with_capacity(points.len());
    for point in points {
        metric[kind][POINTS] = Value::Array(vec![point]);
        let read = Metric::deserialize(&*metric);
        let alone = list(&mut metric[kind], POINTS).and_then(Vec::pop);
        match read {
            Ok(_) => readable.extend(alone),
            Err(error) => taken.reject(&format!("a point: {error}")),
        }
    }
    metric[kind][POINTS] = Value::Array(readable);
    true
}
