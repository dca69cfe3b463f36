//! PagerDuty's own client and the SDK of CloudEvents tell us of alerts and changes.

use stormglass::model::{Phase, SourceHealth};

use crate::harness::{Receiver, missing, write};
use crate::peer::{python, run_python};

/// What to do when the clients are not there.
const HINT: &str =
    "pip install pagerduty cloudevents, and name that Python in STORMGLASS_OTEL_PYTHON";

/// What a tool does that can only page PagerDuty: over TLS, the client does without for nobody.
const PAGES: &str = r#"
import datetime, os, sys
os.environ["SSL_CERT_FILE"] = sys.argv[3]
from pagerduty import EventsApiV2Client

client = EventsApiV2Client("0123456789abcdef0123456789abcdef", base_url=sys.argv[1])
details = {"service": "checkout", "version": "v812"}
if sys.argv[2] == "trigger":
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    client.submit("Deploy v812 of checkout", source="ci", custom_details=details, timestamp=now)
    key = client.trigger("Checkout is slow", "node-3", dedup_key="slow-1", severity="critical",
                         payload={"component": "checkout"})
    assert key == "slow-1", key
    client.acknowledge("slow-1")
    unnamed = client.trigger("Disk is full", "node-4", severity="warning")
    client.resolve(unnamed)
else:
    client.resolve("slow-1")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_pagerduty_client_pages_us() {
    let Some(python) = python("import pagerduty") else {
        return missing("PagerDuty's client for Python", HINT);
    };
    let dir = tempfile::tempdir().expect("a directory for the test");
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    write(dir.path(), "cert.pem", &key.cert.pem());
    write(dir.path(), "key.pem", &key.signing_key.serialize_pem());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (cert, secret) = (path("cert.pem"), path("key.pem"));
    let tls = format!("[tls]\ncert_file = {cert:?}\nkey_file = {secret:?}\n");
    let receiver = Receiver::with(&tls).await;
    let address = receiver.address().replace("127.0.0.1", "https://localhost");
    run_python(
        python.clone(),
        dir.path(),
        PAGES,
        &[&address, "trigger", &cert],
    )
    .await;
    let incident = receiver
        .wait_for("an incident of the alert with its service", |engine| {
            let is_one = engine.counts().alerts_firing == 1;
            let row = engine.incident_rows().find(|row| row.alerts > 0);
            row.filter(|_| is_one)
        })
        .await;
    assert_eq!(incident.entity.as_str(), "service/checkout");
    run_python(python, dir.path(), PAGES, &[&address, "resolve", &cert]).await;
    let id = incident.id;
    receiver
        .wait_for("the incident to resolve", move |engine| {
            let incident = engine.incident(id);
            incident
                .is_none_or(|incident| incident.phase == Phase::Resolved)
                .then_some(())
        })
        .await;
    let row = receiver.source("pagerduty");
    let got = (row.health, row.taken, row.rejected, row.dropped);
    // The change, two alerts and their ends; an acknowledgement changes nothing.
    assert_eq!(got, (SourceHealth::Live, 5, 0, 0), "{row:?}");
    receiver.stop().await;
}

/// What a pipeline does that speaks CloudEvents, in both modes.
const EVENTS: &str = r#"
import sys, urllib.request
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

for n, encode in enumerate([to_binary_event, to_structured_event]):
    event = CloudEvent(
        {"type": "deploy", "source": "https://ci.example/b\u00fcro 7", "id": f"run-{n}", "subject": "100 % of \u00fc",
         "datacontenttype": "application/json"},
        {"app": "cart", "version": f"v{n}"})
    message = encode(event)
    request = urllib.request.Request(f"http://{sys.argv[1]}/webhook/in/events", message.body, message.headers)
    assert urllib.request.urlopen(request).status == 200
"#;

/// How they become changes: attributes are at the top, the content is below `data`.
const MAPPED: &str = r#"
[[sources.webhook]]
name = "events"
kind = "change"
id = "/id"
title = "/subject"
version = "/data/version"
labels = { service = "/data/app", by = "/source" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cloudevents_sdk_is_read_in_both_modes() {
    let Some(python) = python("import cloudevents.core.bindings.http") else {
        return missing("the CloudEvents SDK for Python", HINT);
    };
    let receiver = Receiver::with(MAPPED).await;
    let address = receiver.address();
    run_python(python, receiver.dir.path(), EVENTS, &[&address]).await;
    receiver
        .wait_for("the changed service", |engine| {
            let mut entities = engine.entities();
            entities.find_map(|(id, _)| (id.as_str() == "service/cart").then_some(()))
        })
        .await;
    let row = receiver.source("webhook events");
    let got = (row.health, row.taken, row.rejected, row.dropped);
    assert_eq!(got, (SourceHealth::Live, 2, 0, 0), "{row:?}");
    receiver.stop().await;
}
