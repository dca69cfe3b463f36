//! Input that nobody should send, to what does not speak HTTP: datagrams, streams, files, and servers that are
//! asked. Each kind is refused by a name of its own and counted, or taken as far as it can be used; none in silence.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use stormglass::config::{EngineConfig, parse};
use stormglass::engine::{Engine, Refused};
use stormglass::model::{Batch, Input, Signal, SourceId, SourceRow, Stamped, Time};
use stormglass::sources::{
    Listeners, SignalQueue, SourceRegistry, Sources, Tls, run, signal_queue,
};
use tokio::io::AsyncWriteExt;

use crate::harness::NOW;
use crate::polled::serve;
use crate::syslog::connect;

const PATIENCE: Duration = Duration::from_secs(30);
/// As long as a syslog message may be.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// Sources that run, without an engine behind them.
struct Running {
    registry: SourceRegistry,
    queue: SignalQueue,
}

impl Running {
    fn start(config: &str) -> Self {
        let listen = free_port();
        let config = format!(
            "listen = \"{listen}\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\nsources.host.enabled = false\n{config}"
        );
        let (config, _) = parse(&config, "test.toml").expect("the config is valid");
        let tls = Tls::from_config(&config.tls).expect("the files are good");
        let (registry, queue) = signal_queue();
        let sources = Sources::new(Arc::new(config), &registry, Arc::new(|| NOW));
        tokio::spawn(async move { run(&sources, Listeners::default(), tls, Router::new()).await });
        Self { registry, queue }
    }

    /// How a source is once it has said this of something that was not taken, or of itself.
    async fn once(&self, name: &str, says: &str) -> SourceRow {
        let row = || {
            let mut rows = self.registry.rows(NOW).into_iter();
            rows.find(|row| row.name == name).expect("it is registered")
        };
        let is_said = |row: &SourceRow| {
            let refused = row.last_refusal.as_ref();
            row.detail.contains(says) || refused.is_some_and(|last| last.why.contains(says))
        };
        let waited = async {
            while !is_said(&row()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        assert!(waited.is_ok(), "{says:?}: {:?}", row());
        row()
    }

    /// The next signal.
    async fn signal(&mut self) -> Signal {
        loop {
            let queued = tokio::time::timeout(PATIENCE, self.queue.recv()).await;
            let queued = queued.expect("it comes in time").expect("it runs");
            if let Some(signal) = queued.take(NOW).signals.into_iter().next() {
                return signal;
            }
        }
    }
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// Sends a datagram again and again until the source has said this: whether it listens yet nobody knows.
async fn send_until(
    running: &Running,
    name: &str,
    to: SocketAddr,
    datagram: &[u8],
    says: &str,
) -> SourceRow {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let sending = async {
        loop {
            // Refused by the system while nobody listens.
            let _ = socket.send_to(datagram, to);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        row = running.once(name, says) => row,
        () = sending => unreachable!("it sends for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_that_cannot_be_used_are_refused_by_name() {
    let (syslog, statsd) = (free_port(), free_port());
    let running = Running::start(&format!(
        "sources.syslog.udp = \"{syslog}\"\nsources.statsd.udp = \"{statsd}\"\n"
    ));
    let long_name = format!("{}:1|c", "x".repeat(60_000));
    let cases: [(&str, SocketAddr, &[u8], &str); 9] = [
        ("syslog", syslog, b"", "a message without text"),
        (
            "syslog",
            syslog,
            b"<13>1 - n app - - -",
            "a message without text",
        ),
        ("statsd", statsd, b"a:\xff\xfe|c", "a datagram is not UTF-8"),
        ("statsd", statsd, b"a:x|c", "value \"x\" is no number"),
        ("statsd", statsd, b"a:NaN|g", "NaN"),
        ("statsd", statsd, b"a:1e999|g", "1e999"),
        ("statsd", statsd, b"_e{999999,4}:deploy|v812", "event"),
        ("statsd", statsd, b"_sc|redis|7", "service check"),
        ("statsd", statsd, long_name.as_bytes(), "bytes"),
    ];
    for (name, to, datagram, says) in cases {
        let row = send_until(&running, name, to, datagram, says).await;
        assert!(row.rejected > 0 && row.taken == 0, "{says}: {row:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_not_utf8_is_kept_readable() {
    let syslog = free_port();
    let mut running = Running::start(&format!("sources.syslog.tcp = \"{syslog}\"\n"));
    let mut stream = connect(syslog).await;
    let text = b"<13>1 - n app - - - bad \xff\xfe byte\n";
    stream.write_all(text).await.expect("it is read");
    let Signal::Log(line) = running.signal().await else {
        panic!("not a line");
    };
    assert_eq!(&*line.text, "bad \u{fffd}\u{fffd} byte");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_cannot_be_used_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let (cert, secret) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, key.cert.pem()).expect("writable");
    std::fs::write(&secret, key.signing_key.serialize_pem()).expect("writable");
    let (clear, tls) = (free_port(), free_port());
    let running = Running::start(&format!(
        "sources.syslog.tcp = \"{clear}\"\nsources.syslog.tls = \"{tls}\"\n\
         [tls]\ncert_file = {cert:?}\nkey_file = {secret:?}\n"
    ));
    let long = format!("<13>1 - n app - - - {}\n", "x".repeat(MESSAGE_BYTES_MAX));
    let counted = format!("{} {}", long.len() - 1, long.trim_end());
    let endless = vec![b'x'; 3 * MESSAGE_BYTES_MAX];
    let cut = "a message longer than 65536 bytes was cut";
    let cases: [(&str, SocketAddr, &[u8], &str); 7] = [
        ("a line without end", clear, &endless, cut),
        ("a long line", clear, long.as_bytes(), cut),
        ("a long count", clear, counted.as_bytes(), cut),
        (
            "more announced than sent",
            clear,
            b"9999999 <13>1 - n app - - - x",
            "broke off within a message",
        ),
        (
            "no message",
            clear,
            b"<13>1 - n app - - -\n",
            "a message without text",
        ),
        (
            "in the clear",
            tls,
            b"<13>1 - n app - - - x\n",
            "no TLS handshake with 127.0.0.1",
        ),
        ("zeros", tls, &[0; 64], "no TLS handshake with 127.0.0.1"),
    ];
    let mut rejected = 0;
    for (what, to, bytes, says) in cases {
        let mut stream = connect(to).await;
        // Whoever is refused may be cut off while it sends.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let waited = async {
            loop {
                let row = running.once("syslog", says).await;
                if row.rejected > rejected {
                    break row.rejected;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        rejected = waited.unwrap_or_else(|_| panic!("{what} is not counted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_named_and_long_lines_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let (long, pipe) = (folder.path().join("a.log"), folder.path().join("b.log"));
    std::fs::write(&long, format!("{}\n\u{0}bad\n", "x".repeat(5_000))).expect("writable");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let config = |path: &std::path::Path| {
        format!("[[sources.tail]]\npaths = [{path:?}]\nfrom = \"start\"\nline_bytes_max = 300\n")
    };
    let mut running = Running::start(&format!("{}{}", config(&long), config(&pipe)));
    let row = running
        .once(
            &format!("tail {}", long.display()),
            "longer than `line_bytes_max`",
        )
        .await;
    assert_eq!(row.rejected, 1, "{row:?}");
    let Signal::Log(line) = running.signal().await else {
        panic!("not a line");
    };
    assert_eq!(line.text.len(), 300);
    running
        .once(&format!("tail {}", pipe.display()), "no file matches")
        .await;
}

/// A server that answers everything in the same way.
async fn answers(content_type: &'static str, is_gzip: bool, body: Vec<u8>) -> String {
    let body = axum::body::Bytes::from(body);
    let answer = move || {
        let body = Body::from(body.clone());
        async move {
            let mut answer = Response::builder().header("content-type", content_type);
            if is_gzip {
                answer = answer.header("content-encoding", "gzip");
            }
            answer.body(body).expect("well formed")
        }
    };
    serve(Router::new().fallback(answer)).await
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

/// A section that scrapes a server.
fn scraping(url: &str) -> String {
    let host = url.trim_start_matches("http://");
    format!(
        "sources.body_bytes_max = 1048576\n\
         [[sources.scrape]]\njob = \"node\"\ntargets = [\"{host}\"]\ninterval_s = 3\ntimeout_s = 3\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_answer_with_anything_are_named_as_failing() {
    let deep = [b"[".repeat(5_000), b"]".repeat(5_000)].concat();
    let bomb = gzip(&vec![b' '; 20 << 20]);
    let cases: [(bool, Vec<u8>, &str); 5] = [
        (false, b"\xff\xfe\xfd".to_vec(), "not UTF-8"),
        (false, deep, "line 1"),
        (false, b"<html>login</html>".to_vec(), "line 1"),
        (true, bomb, "longer than 1048576 bytes after gzip"),
        (true, b"plain".to_vec(), "not gzip"),
    ];
    for (is_gzip, body, says) in cases {
        let url = answers("text/plain; version=0.0.4", is_gzip, body).await;
        let running = Running::start(&scraping(&url));
        let row = running.once("scrape node", says).await;
        assert!(row.detail.contains("no target answers"), "{row:?}");
    }
}

/// What the engine says of a signal of a source.
fn judged(signal: Signal) -> Vec<(Refused, u64)> {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let signals = vec![signal];
    let source = SourceId::new("test");
    let stamped = Stamped {
        seq: 1,
        at: NOW,
        input: Input::Signals(Batch { source, signals }),
    };
    engine.step(&stamped, &mut Vec::new());
    engine.refusals().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn times_far_ahead_and_long_ago_are_refused_as_of_another_time() {
    for at_ms in [NOW.ms() + 50 * YEAR_MS, NOW.ms() - 50 * YEAR_MS] {
        let syslog = free_port();
        let mut running = Running::start(&format!("sources.syslog.tcp = \"{syslog}\"\n"));
        let mut stream = connect(syslog).await;
        let at = Time::from_ms(at_ms).to_rfc3339();
        let text = format!("<13>1 {at} n app - - - it failed\n");
        stream.write_all(text.as_bytes()).await.expect("it is read");
        assert_eq!(
            judged(running.signal().await),
            [(Refused::Skew, 1)],
            "syslog {at}"
        );

        let page = format!("a 1 {at_ms}\n").into_bytes();
        let url = answers("text/plain; version=0.0.4", false, page).await;
        let mut running = Running::start(&scraping(&url));
        let is_sent = |signal: &Signal| matches!(signal, Signal::Sample(sample) if &*sample.series.name == "a");
        let sample = loop {
            let signals = running
                .queue
                .recv()
                .await
                .expect("it runs")
                .take(NOW)
                .signals;
            if let Some(sample) = signals.into_iter().find(is_sent) {
                break sample;
            }
        };
        assert_eq!(judged(sample), [(Refused::Skew, 1)], "scrape {at}");
    }
}
