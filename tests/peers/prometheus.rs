//! A real Prometheus scrapes, writes to our remote write receiver, and fires and resolves an alert
//! through our Alertmanager receiver.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::routing::get;
use stormglass::model::{EntityId, Phase};

use crate::harness::{Receiver, free_port, missing, write};
use crate::peer::{self, Peer};

/// Serves one metric, `shop_broken`, as it is set; gives its port.
async fn target(broken: Arc<AtomicU32>) -> u16 {
    let metrics = move || {
        let value = broken.load(Ordering::Relaxed);
        async move { format!("# TYPE shop_broken gauge\nshop_broken {value}\n") }
    };
    let router = Router::new().route("/metrics", get(metrics));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn prometheus(receiver: &Receiver, target_port: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    let address = receiver.address();
    write(
        dir,
        "rules.yml",
        "groups: [{ name: shop, rules: [{ alert: ShopBroken, expr: shop_broken == 1, \
         labels: { severity: critical, service: checkout }, annotations: { summary: the shop is broken } }] }]\n",
    );
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yml]\n\
         alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{address}'] }}] }}] }}\n\
         remote_write: [{{ url: 'http://{address}/api/v1/write', queue_config: {{ batch_send_deadline: 1s }} }}]\n\
         scrape_configs: [{{ job_name: shop, static_configs: [{{ targets: ['127.0.0.1:{target_port}'] }}] }}]\n"
    );
    peer::prometheus(dir, free_port(), &config)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_fires_and_resolves_and_metrics_arrive() {
    let broken = Arc::new(AtomicU32::new(0));
    let receiver = Receiver::start().await;
    let target_port = target(Arc::clone(&broken)).await;
    let Some(_peer) = prometheus(&receiver, target_port) else {
        return missing("prometheus", "apt-get install prometheus");
    };
    receiver
        .wait_for("series by remote write", |engine| {
            (engine.counts().series > 0).then_some(())
        })
        .await;

    broken.store(1, Ordering::Relaxed);
    let incident = receiver
        .wait_for("an incident of the alert", |engine| {
            let firing = engine.counts().alerts_firing == 1;
            let row = engine.incident_rows().find(|row| row.alerts > 0);
            row.filter(|_| firing)
        })
        .await;
    assert_eq!(incident.entity, EntityId::parse("service/checkout"));
    assert_eq!(incident.phase, Phase::Open);

    broken.store(0, Ordering::Relaxed);
    let id = incident.id;
    receiver
        .wait_for("the incident to resolve", move |engine| {
            let resolved = engine
                .incident(id)
                .is_none_or(|i| i.phase == Phase::Resolved);
            (resolved && engine.counts().alerts_firing == 0).then_some(())
        })
        .await;
    receiver.stop().await;
}
