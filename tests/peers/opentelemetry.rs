//! A real OpenTelemetry SDK sends the spans of three services, and the topology is drawn from them; and metrics of
//! every kind and lines of one.

use stormglass::model::{EntityId, Provenance, SourceHealth};

use crate::harness::{Receiver, free_port, missing};
use crate::peer::{python, run_python};

/// A gateway calls checkout, checkout calls payments and asks a database.
const SENDER: &str = r#"
import sys
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

providers = []

def span_exporter():
    if sys.argv[2] == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        import grpc
        compression = grpc.Compression.Gzip
        return OTLPSpanExporter(endpoint=f"http://{sys.argv[1]}", insecure=True, compression=compression)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter(endpoint=f"http://{sys.argv[1]}/v1/traces")

def tracer(service):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = span_exporter()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    providers.append(provider)
    return provider.get_tracer("test")

gateway, checkout, payments = map(tracer, ["gateway", "checkout", "payments"])
for _ in range(20):
    with gateway.start_as_current_span("GET /buy", kind=SpanKind.SERVER):
        with gateway.start_as_current_span("buy", kind=SpanKind.CLIENT):
            with checkout.start_as_current_span("POST /buy", kind=SpanKind.SERVER):
                with checkout.start_as_current_span("select", kind=SpanKind.CLIENT,
                        attributes={"db.system": "postgresql", "db.namespace": "orders"}):
                    pass
                with checkout.start_as_current_span("pay", kind=SpanKind.CLIENT):
                    with payments.start_as_current_span("POST /pay", kind=SpanKind.SERVER):
                        pass
for provider in providers:
    provider.shutdown()
"#;

/// What each SDK needs besides itself, by protocol.
const HINT: &str = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http \
                    opentelemetry-exporter-otlp-proto-grpc, and name that Python in STORMGLASS_OTEL_PYTHON";

/// A count, a gauge, a histogram with bounds and an exponential one, and lines: for three seconds.
const METERS: &str = r#"
import logging, sys, time
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

address, protocol, temporality = sys.argv[1:]
if protocol == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    to = lambda path: {"endpoint": f"http://{address}", "insecure": True}
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    to = lambda path: {"endpoint": f"http://{address}/v1/{path}"}

delta = {kind: AggregationTemporality.DELTA for kind in (Counter, Histogram)}
exporter = OTLPMetricExporter(**to("metrics"), preferred_temporality=delta if temporality == "delta" else {})
resource = Resource.create({"service.name": "checkout"})
exponential = View(instrument_name="wait", aggregation=ExponentialBucketHistogramAggregation())
meters = MeterProvider(
    resource=resource, views=[exponential],
    metric_readers=[PeriodicExportingMetricReader(exporter, export_interval_millis=500)])
meter = meters.get_meter("test")
orders, wait, pay = meter.create_counter("orders"), meter.create_histogram("wait", "s"), meter.create_histogram("pay", "s")
fuel = meter.create_gauge("fuel")
logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(**to("logs"))))
log = logging.getLogger("shop")
log.addHandler(LoggingHandler(logger_provider=logs))
for n in range(30):
    orders.add(2)
    for histogram in (wait, pay):
        histogram.record(0.01 * (n % 7 + 1))
    fuel.set(0.5 + n)
    log.error("payment %d failed: connection refused", n)
    time.sleep(0.1)
meters.shutdown()
logs.shutdown()
"#;

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_lines_of_a_real_sdk_are_taken() {
    take_meters("http", "cumulative").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_are_those_that_tell_differences_over_grpc() {
    take_meters("grpc", "delta").await;
}

async fn take_meters(protocol: &str, temporality: &str) {
    let probe = format!("import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.{protocol}");
    let Some(python) = python(&probe) else {
        return missing("the OpenTelemetry SDK for Python", HINT);
    };
    let grpc = format!("127.0.0.1:{}", free_port());
    let receiver = Receiver::listening("", &grpc).await;
    let (address, source) = match protocol {
        "grpc" => (receiver.grpc_address(), "otlp grpc"),
        _ => (receiver.address(), "otlp"),
    };
    let args = [&*address, protocol, temporality];
    run_python(python, receiver.dir.path(), METERS, &args).await;
    // The counter, the gauge, and count, sum, mean and quantile of both histograms; and their buckets, which are
    // judged together.
    receiver
        .wait_for("ten series, buckets and the template", |engine| {
            let ledger = engine.ledger(&[]);
            let judged: u64 = ledger.sources.iter().map(|source| source.series).sum();
            let counts = engine.counts();
            (judged == 10 && counts.series > 10 && counts.templates == 1).then_some(())
        })
        .await;
    let row = receiver.source(source);
    let is_well = (row.health, row.rejected, row.dropped) == (SourceHealth::Live, 0, 0);
    assert!(is_well, "{row:?}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_real_sdk_draw_the_topology() {
    let receiver = Receiver::start().await;
    draws_the_topology(receiver, "http").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_do_spans_over_grpc() {
    let address = format!("127.0.0.1:{}", free_port());
    let receiver = Receiver::listening("", &address).await;
    draws_the_topology(receiver, "grpc").await;
}

async fn draws_the_topology(receiver: Receiver, protocol: &str) {
    let probe = format!("import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.{protocol}");
    let Some(python) = python(&probe) else {
        return missing("the OpenTelemetry SDK for Python", HINT);
    };
    let address = match protocol {
        "grpc" => receiver.grpc_address(),
        _ => receiver.address(),
    };
    run_python(python, receiver.dir.path(), SENDER, &[&address, protocol]).await;

    let expected: Vec<_> = [
        ("service/checkout", "database/orders"),
        ("service/checkout", "service/payments"),
        ("service/gateway", "service/checkout"),
    ]
    .map(|(from, to)| (EntityId::parse(from), EntityId::parse(to)))
    .into();
    let wanted = expected.len();
    let mut edges = receiver
        .wait_for("three edges", move |engine| {
            let traced = engine
                .edges()
                .filter(|edge| edge.provenance == Provenance::Traced);
            let edges: Vec<_> = traced.map(|edge| (edge.from, edge.to)).collect();
            (edges.len() >= wanted).then_some(edges)
        })
        .await;
    edges.sort();
    assert_eq!(edges, expected);
    receiver.stop().await;
}
