//! A real OpenTelemetry SDK sends the spans of three services; the topology is drawn from them.

use stormglass::model::{EntityId, Provenance};

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
        let hint = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http \
                    opentelemetry-exporter-otlp-proto-grpc, and name that Python in \
                    STORMGLASS_OTEL_PYTHON";
        return missing("the OpenTelemetry SDK for Python", hint);
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
