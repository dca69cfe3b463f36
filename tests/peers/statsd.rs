//! Datadog's own client sends metrics, an event and a service check.

use stormglass::model::SourceHealth;

use crate::harness::{Receiver, free_port, missing};
use crate::peer::{python, run_python};

/// What an application tells.
const SENDER: &str = r#"
import sys, time
from datadog import initialize, statsd

initialize(statsd_host="127.0.0.1", statsd_port=int(sys.argv[1]), statsd_disable_buffering=True)
tags = ["service:checkout", "env:prod"]
for n in range(30):
    statsd.increment("page.views", tags=tags)
    statsd.gauge("fuel", 0.5 + n, tags=tags)
    statsd.histogram("basket", n, tags=tags)
    statsd.timing("wait", 250 + n, tags=tags)
    statsd.set("users", n % 7, tags=tags)
    time.sleep(0.1)
statsd.event("deploy", "v812 is out", tags=tags + ["version:v812"])
statsd.service_check("redis.can_connect", statsd.CRITICAL, tags=tags, message="refused")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_is_heard() {
    let Some(python) = python("import datadog") else {
        let hint = "pip install datadog, and name that Python in STORMGLASS_OTEL_PYTHON";
        return missing("Datadog's client for Python", hint);
    };
    let port = free_port();
    let config = format!("[sources.statsd]\nudp = \"127.0.0.1:{port}\"\nflush_s = 1\n");
    let receiver = Receiver::with(&config).await;
    run_python(python, receiver.dir.path(), SENDER, &[&port.to_string()]).await;
    // A count, a gauge, a set, and count, mean and quantile of a histogram and of a timer.
    receiver
        .wait_for("nine series and the service check", |engine| {
            let counts = engine.counts();
            (counts.series >= 9 && counts.alerts_firing == 1).then_some(())
        })
        .await;
    let row = receiver.source("statsd");
    let is_well = (row.health, row.rejected, row.dropped) == (SourceHealth::Live, 0, 0);
    assert!(is_well, "{row:?}");
    receiver.stop().await;
}
