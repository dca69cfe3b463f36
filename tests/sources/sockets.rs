//! Senders that hold connections and send nothing, or slowly: others are served all the same.
//!
//! Over real sockets, with the listener and the limits that the daemon uses.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use stormglass::config::parse;
use stormglass::sources::{Listeners, SourceRegistry, Sources, run, signal_queue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::harness::NOW;

/// A new sender is answered within this, whatever others do: well below what a slow body may take.
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// Most connections of one listener, and of one peer; see `src/sources/connections.rs`.
const ALL: usize = 1_024;
const ONE_PEER: usize = 512;

/// Receivers on a free port, and what is known of them. What they take is read and forgotten.
async fn listening(config: &str) -> (SocketAddr, SourceRegistry) {
    let (config, _) = parse(config, "test.toml").expect("the config is valid");
    let (registry, mut queue) = signal_queue();
    let sources = Sources::new(Arc::new(config), &registry, Arc::new(|| NOW));
    let main = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = main.local_addr().expect("it is bound");
    let listeners = Listeners {
        main: Some(main),
        otlp: None,
        grpc: None,
    };
    tokio::spawn(async move { run(&sources, listeners, None, axum::Router::new()).await });
    tokio::spawn(async move {
        while let Some(queued) = queue.recv().await {
            queued.take(NOW);
        }
    });
    (address, registry)
}

const CONFIG: &str = "otlp_listen = \"\"\notlp_grpc_listen = \"\"\nsources.host.enabled = false\n";

/// Connects from one of this machine's own addresses, 127.0.0.N.
async fn connect(to: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0));
    socket.bind(from).expect("an address of this machine");
    socket.connect(to).await.expect("somebody listens")
}

/// One alert, posted as a new sender would; the first line of the answer.
async fn post(to: SocketAddr, from: u8) -> String {
    let sent = async {
        let mut stream = connect(to, from).await;
        let body = r#"[{"labels":{"alertname":"A"}}]"#;
        let request = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let written = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).await;
        match written.and(read) {
            Ok(_) => answer.lines().next().unwrap_or_default().to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let answered = tokio::time::timeout(SERVED_WITHIN, sent).await;
    answered.unwrap_or_else(|_| "no answer in time".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_keep_nobody_waiting() {
    let (address, _registry) =
        listening(&format!("{CONFIG}sources.requests_concurrent_max = 4\n")).await;
    let head = "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nabc";
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(address, 1).await;
        stream.write_all(head.as_bytes()).await.expect("it is read");
        slow.push(stream);
    }
    assert_eq!(post(address, 1).await, "HTTP/1.1 200 OK");
    assert_eq!(post(address, 2).await, "HTTP/1.1 200 OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_keep_nobody_out() {
    let (address, registry) = listening(CONFIG).await;
    let mut idle = Vec::new();
    for _ in 0..ONE_PEER + 50 {
        idle.push(connect(address, 1).await);
    }
    assert_eq!(
        post(address, 1).await,
        "HTTP/1.1 200 OK",
        "one peer is full"
    );
    for n in 0..ALL {
        idle.push(connect(address, 2 + (n % 4) as u8).await);
    }
    assert_eq!(post(address, 9).await, "HTTP/1.1 200 OK", "all is full");
    assert_eq!(post(address, 1).await, "HTTP/1.1 200 OK");
    // Each that gave way is counted, a moment after its place was taken.
    let gave_way = || {
        let rows = registry.rows(NOW).into_iter();
        rows.filter(|row| row.name == "connections")
            .find(|row| row.refused >= 50)
    };
    let row = async {
        loop {
            match gave_way() {
                Some(row) => return row,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let row = tokio::time::timeout(SERVED_WITHIN, row).await;
    let why = row
        .expect("they are counted")
        .last_refusal
        .expect("why")
        .why;
    assert!(why.contains("was closed for a newcomer"), "{why}");
}
