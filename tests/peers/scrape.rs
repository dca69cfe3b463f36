//! We scrape a real Prometheus and a real Alertmanager, in whatever format each prefers; and see one go.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use stormglass::model::SourceHealth;

use crate::harness::{Peer, Receiver, free_port, missing, write};

/// A Prometheus that scrapes nothing.
fn prometheus(receiver: &Receiver, port: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    write(dir, "prometheus.yml", "global: { scrape_interval: 1s }\n");
    let child = Command::new("prometheus")
        .arg(format!(
            "--config.file={}",
            dir.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("tsdb").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.ok().map(Peer)
}

fn alertmanager(receiver: &Receiver, port: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    write(
        dir,
        "am.yml",
        "route: { receiver: none }\nreceivers: [{ name: none }]\n",
    );
    let child = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", dir.join("am.yml").display()))
        .arg(format!("--storage.path={}", dir.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.ok().map(Peer)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_targets_are_scraped_and_missed() {
    let (first, second) = (free_port(), free_port());
    let receiver = Receiver::with(&format!(
        "[[sources.scrape]]\njob = \"metrics\"\ninterval_s = 1\ntargets = [\"127.0.0.1:{first}\"]\n\
         [[sources.scrape]]\njob = \"alerting\"\ninterval_s = 1\n\
         targets = [\"http://127.0.0.1:{second}/metrics\"]\n"
    ))
    .await;
    let peers = prometheus(&receiver, first).zip(alertmanager(&receiver, second));
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
    let refusal = receiver
        .source("scrape alerting")
        .last_refusal
        .expect("one does not answer");
    assert!(
        refusal
            .why
            .starts_with(&format!("http://127.0.0.1:{second}/metrics: ")),
        "{}",
        refusal.why
    );
    receiver.stop().await;
}
