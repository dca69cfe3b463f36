//! OTLP's JSON, turned into the protobuf it stands for, so that there is one reader of both.
//!
//! JSON is the rare case (browsers, scripts, `curl`); one copy more is a fair price.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde::de::DeserializeOwned;

use super::Telemetry;

/// Most objects in one body: each becomes some hundreds of bytes in memory.
const OBJECTS_MAX: usize = 500_000;

/// Most values in one body, counted by the commas between them.
const VALUES_MAX: usize = 4_000_000;

/// The request as protobuf, or why it cannot be read.
pub(super) fn to_protobuf(telemetry: Telemetry, body: &[u8]) -> Result<Vec<u8>, String> {
    let pieces = |separator: u8| body.split(|byte| *byte == separator).count();
    if pieces(b'{') > OBJECTS_MAX || pieces(b',') > VALUES_MAX {
        return Err(format!(
            "more than {OBJECTS_MAX} objects or {VALUES_MAX} values: send smaller batches"
        ));
    }
    match telemetry {
        Telemetry::Traces => transcode::<ExportTraceServiceRequest>(telemetry, body),
        Telemetry::Metrics => transcode::<ExportMetricsServiceRequest>(telemetry, body),
        Telemetry::Logs => transcode::<ExportLogsServiceRequest>(telemetry, body),
    }
}

fn transcode<T: DeserializeOwned + Message>(
    telemetry: Telemetry,
    body: &[u8],
) -> Result<Vec<u8>, String> {
    let request: T =
        serde_json::from_slice(body).map_err(|e| format!("not an {}: {e}", telemetry.request()))?;
    Ok(request.encode_to_vec())
}
