//! A Loki client for Python's logging pushes lines to us as it would to Loki.

use stormglass::model::SourceHealth;

use crate::harness::{Receiver, missing};
use crate::peer::{python, run_python};

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
    run_python(python, receiver.dir.path(), SENDER, &[&receiver.address()]).await;
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
