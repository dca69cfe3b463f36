//! We scrape a real Prometheus and a real Alertmanager, in whatever format each prefers; and see one go.

use std::collections::BTreeSet;

use stormglass::model::SourceHealth;

use crate::harness::{Receiver, free_port, missing};
use crate::peer::{alertmanager, prometheus};

/// What a Prometheus needs that scrapes nothing, and an Alertmanager that tells nobody.
const SCRAPES_NOTHING: &str = "global: { scrape_interval: 1s }\n";
const TELLS_NOBODY: &str = "route: { receiver: none }\nreceivers: [{ name: none }]\n";

#[tokio::test(flavor = "multi_thread")]
async fn real_targets_are_scraped_and_missed() {
    let (first, second) = (free_port(), free_port());
    let receiver = Receiver::with(&format!(
        "[[sources.scrape]]\njob = \"metrics\"\ninterval_s = 1\ntargets = [\"127.0.0.1:{first}\"]\n\
         [[sources.scrape]]\njob = \"alerting\"\ninterval_s = 1\n\
         targets = [\"http://127.0.0.1:{second}/metrics\"]\n"
    ))
    .await;
    let dir = receiver.dir.path();
    let alerting = alertmanager(dir, second, TELLS_NOBODY);
    let peers = prometheus(dir, first, SCRAPES_NOTHING).zip(alerting);
    let Some((_prometheus, alertmanager)) = peers else {
        let hint = "apt-get install prometheus prometheus-alertmanager";
        return missing("prometheus or its alertmanager", hint);
    };
    receiver
        .wait_for("the series of both", |engine| {
            let known: BTreeSet<_> = engine.entities().map(|(id, _)| id.to_string()).collect();
            let both = ["service/alerting", "service/metrics"];
            let is_known = both.iter().all(|id| known.contains(*id));
            (is_known && engine.counts().series > 400).then_some(())
        })
        .await;
    for name in ["scrape alerting", "scrape metrics"] {
        let row = receiver.source(name);
        let is_well = (row.health, row.dropped) == (SourceHealth::Live, 0);
        assert!(is_well, "{row:?}");
    }
    drop(alertmanager);
    receiver
        .wait_for("the incident that one is down", |engine| {
            let mut rows = engine.incident_rows();
            rows.find(|row| row.entity.to_string() == "service/alerting")
        })
        .await;
    // Who does not answer is named, and has said nothing that could be rejected.
    let row = receiver.source("scrape alerting");
    let names_it = row
        .detail
        .contains(&format!("127.0.0.1:{second}/metrics: "));
    assert!(names_it, "{}", row.detail);
    assert_eq!(row.rejected, 0, "{row:?}");
    receiver.stop().await;
}
