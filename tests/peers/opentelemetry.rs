//! A real OpenTelemetry SDK sends the spans of three services; the topology is drawn from them.

use std::process::Command;

use stormglass::model::{EntityId, Provenance};

use crate::harness::{Receiver, missing, write};

/// A gateway calls checkout, checkout calls payments and asks a database.
const SENDER: &str = r#"
import sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

providers = []

def tracer(service):
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=f"http://{sys.argv[1]}/v1/traces")
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

/// A Python in which `probe` runs, if there is one.
pub fn python(probe: &str) -> Option<String> {
    let python = std::env::var("STORMGLASS_OTEL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", probe]).output();
    found
        .is_ok_and(|output| output.status.success())
        .then_some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_a_real_sdk_draw_the_topology() {
    let probe = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http";
    let Some(python) = python(probe) else {
        let hint = "pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http, and name \
                    that Python in STORMGLASS_OTEL_PYTHON";
        return missing("the OpenTelemetry SDK for Python", hint);
    };
    let receiver = Receiver::start().await;
    write(receiver.dir.path(), "send.py", SENDER);
    let mut command = Command::new(python);
    command
        .arg(receiver.dir.path().join("send.py"))
        .arg(receiver.address());
    let sent = tokio::task::spawn_blocking(move || command.output()).await;
    let sent = sent.expect("no panic").expect("the sender starts");
    assert!(
        sent.status.success(),
        "{}",
        String::from_utf8_lossy(&sent.stderr)
    );

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
