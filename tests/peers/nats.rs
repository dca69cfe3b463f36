//! A real nats-server with JetStream: messages are acknowledged once they are recorded, over a restart of
//! ours and one of the server's.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, Context, consumer::PullConsumer, stream};
use stormglass::model::SourceHealth;

use crate::harness::{Receiver, free_port, missing};
use crate::peer::Peer;

/// How long a peer may take to do its part.
const PATIENCE: Duration = Duration::from_secs(30);

fn server(port: u16, folder: &std::path::Path) -> Option<Peer> {
    let args = ["-a", "127.0.0.1", "-p"].map(str::to_owned).into_iter();
    let args = args.chain([port.to_string(), "-js".to_owned(), "-sd".to_owned()]);
    let args = args.chain([folder.display().to_string()]);
    let args = args.chain(["--auth", "s3cret-token"].map(str::to_owned));
    Peer::start("nats-server", &args.collect::<Vec<_>>())
}

async fn connect(port: u16) -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let started = Instant::now();
    loop {
        let options = async_nats::ConnectOptions::with_token("s3cret-token".to_owned());
        match options.connect(format!("nats://127.0.0.1:{port}")).await {
            Ok(client) => return jetstream::new(client),
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn publish(context: &Context, subject: &'static str, bodies: impl Iterator<Item = String>) {
    for body in bodies {
        let taken = context.publish(subject, body.into()).await;
        taken.expect("it is sent").await.expect("the stream has it");
    }
}

/// Waits until so many messages were delivered, and all of them are acknowledged.
async fn acknowledged(context: &Context, sequence: u64) {
    let stream = context.get_stream("LOGS").await.expect("it is there");
    let started = Instant::now();
    loop {
        let consumer: Result<PullConsumer, _> = stream.get_consumer("stormglass").await;
        if let Ok(consumer) = consumer {
            let info = consumer.cached_info();
            let floor = info.ack_floor.stream_sequence;
            if floor >= sequence && info.num_ack_pending == 0 {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{info:?}");
        }
        assert!(started.elapsed() < PATIENCE, "there is no consumer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn lines(ids: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    ids.map(|id| {
        format!("{{\"message\":\"payment {id} failed\",\"service\":{{\"name\":\"cart\"}},\"log.level\":\"error\"}}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_a_real_nats_server_is_read_and_acknowledged_once_recorded() {
    let folder = tempfile::tempdir().expect("a directory for the test");
    let port = free_port();
    let Some(peer) = server(port, &folder.path().join("nats")) else {
        return missing("nats-server", "apt-get install nats-server");
    };
    let context = connect(port).await;
    let config = stream::Config {
        name: "LOGS".to_owned(),
        subjects: vec!["logs.>".to_owned()],
        ..stream::Config::default()
    };
    context.create_stream(config).await.expect("a stream");
    publish(&context, "logs.cart", lines(0..100)).await;
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token\n").expect("it is writable");
    let sections = format!(
        "[[sources.nats]]\nurl = \"nats://127.0.0.1:{port}\"\nstream = \"LOGS\"\nsubject = \"logs.>\"\nmessages.format = \"json\"\n\
         from = \"start\"\nmessages_max = 30\ntoken_file = \"{}\"\n",
        token.display()
    );
    let data = folder.path().join("data");
    let receiver = Receiver::keeping(&sections, &data).await;
    receiver
        .wait_for("the template of the lines", |engine| {
            (engine.counts().templates == 1).then_some(())
        })
        .await;
    acknowledged(&context, 100).await;
    // What cannot be read is told and does not come again.
    publish(&context, "logs.odd", std::iter::once("no JSON".to_owned())).await;
    publish(&context, "logs.cart", lines(100..110)).await;
    acknowledged(&context, 111).await;
    let row = receiver.source("nats nats");
    let got = (
        row.health,
        row.taken,
        row.rejected,
        row.dropped,
        row.refused,
    );
    assert_eq!(got, (SourceHealth::Live, 110, 1, 0, 0), "{row:?}");
    receiver.stop().await;
    // What came while nobody read is there afterwards, and nothing of before.
    publish(&context, "logs.cart", lines(110..130)).await;
    let receiver = Receiver::keeping(&sections, &data).await;
    acknowledged(&context, 131).await;
    assert_eq!(receiver.source("nats nats").taken, 20);
    // The server goes away and comes back. It is asked to: killed, it forgets what was acknowledged last.
    peer.end();
    let Some(_peer) = server(port, &folder.path().join("nats")) else {
        return missing("nats-server", "apt-get install nats-server");
    };
    let context = connect(port).await;
    publish(&context, "logs.cart", lines(130..140)).await;
    acknowledged(&context, 141).await;
    let row = receiver.source("nats nats");
    assert_eq!((row.health, row.taken), (SourceHealth::Live, 30), "{row:?}");
    receiver.stop().await;
}
