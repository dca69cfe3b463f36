//! A Loki client for Python's logging pushes lines to us as it would to Loki.

use std::process::Command;

use stormglass::model::SourceHealth;

use crate::harness::{Receiver, missing, write};
use crate::opentelemetry::python;

/// What an application logs.
const SENDER: &str = r#"
import logging, sys
import logging_loki

handler = logging_loki.LokiHandler(
    url=f"http://{sys.argv[1]}/loki/api/v1/push", tags={"service": "checkout"}, version="1")
log = logging.getLogger("shop")
log.addHandler(handler)
for n in range(20):
    log.error("payment %d failed: connection refused", n)
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_is_heard() {
    let Some(python) = python("import logging_loki") else {
        let hint =
            "pip install python-logging-loki, and name that Python in STORMGLASS_OTEL_PYTHON";
        return missing("a Loki client for Python", hint);
    };
    let receiver = Receiver::start().await;
    write(receiver.dir.path(), "send.py", SENDER);
    let mut command = Command::new(python);
    command
        .arg(receiver.dir.path().join("send.py"))
        .arg(receiver.address());
    let sent = tokio::task::spawn_blocking(move || command.output()).await;
    let sent = sent.expect("no panic").expect("the sender starts");
    let said = String::from_utf8_lossy(&sent.stderr);
    assert!(
        sent.status.success() && !said.contains("Traceback"),
        "{said}"
    );
    receiver
        .wait_for("the template of the lines", |engine| {
            (engine.counts().templates == 1).then_some(())
        })
        .await;
    let row = receiver.source("loki");
    let got = (row.health, row.taken, row.rejected, row.dropped);
    assert_eq!(got, (SourceHealth::Live, 20, 0, 0), "{row:?}");
    receiver.stop().await;
}
