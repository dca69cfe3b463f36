//! Syslog over real sockets: streams in both framings, over TLS, broken off; and what is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stormglass::config::parse;
use stormglass::engine::logs::Miner;
use stormglass::model::{LogLine, Signal, SourceRow};
use stormglass::sources::{
    Listeners, SIGNALS_QUEUED_MAX, SignalQueue, SourceRegistry, Sources, Tls, run, signal_queue,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::NOW;

const PATIENCE: Duration = Duration::from_secs(20);

struct Syslog {
    registry: SourceRegistry,
    queue: SignalQueue,
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

impl Syslog {
    fn start(config: &str, tls: Option<&str>) -> Self {
        let listen = free_port();
        let config = format!(
            "listen = \"{listen}\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\nsources.host.enabled = false\n{config}"
        );
        let (config, _) = parse(&config, "test.toml").expect("the config is valid");
        let tls = tls.and_then(|_| Tls::from_config(&config.tls).expect("the files are good"));
        let (registry, queue) = signal_queue();
        let sources = Sources::new(Arc::new(config), &registry, Arc::new(|| NOW));
        let routes = axum::Router::new();
        tokio::spawn(async move { run(&sources, Listeners::default(), tls, routes).await });
        Self { registry, queue }
    }

    fn row(&self) -> SourceRow {
        let rows = self.registry.rows(NOW).into_iter();
        let mut rows = rows.filter(|row| row.name == "syslog");
        rows.next().expect("it is registered")
    }

    /// The next lines.
    async fn lines(&mut self, count: usize) -> Vec<LogLine> {
        let mut lines = Vec::new();
        while lines.len() < count {
            let queued = tokio::time::timeout(PATIENCE, self.queue.recv()).await;
            let queued = queued.expect("lines come in time").expect("it runs");
            let signals = queued.take(NOW).signals.into_iter();
            lines.extend(signals.map(|signal| match signal {
                Signal::Log(line) => *line,
                other => panic!("not a line: {other:?}"),
            }));
        }
        lines
    }

    /// Their texts.
    async fn texts(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines(count).await.into_iter();
        lines.map(|line| line.text.into()).collect()
    }

    async fn until(&self, done: impl Fn(&SourceRow) -> bool) -> SourceRow {
        let waited = async {
            while !done(&self.row()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        assert!(waited.is_ok(), "{:?}", self.row());
        self.row()
    }
}

/// Connects as soon as somebody listens.
pub async fn connect(address: SocketAddr) -> TcpStream {
    let connected = async {
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let connected = tokio::time::timeout(PATIENCE, connected).await;
    connected.expect("it listens in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_read_in_any_framing_and_a_broken_one_is_counted() {
    let address = free_port();
    let mut syslog = Syslog::start(&format!("sources.syslog.tcp = \"{address}\"\n"), None);
    let mut stream = connect(address).await;
    let text = "<13>Nov 20 15:22:15 n app: one\n31 <13>Nov 20 15:22:15 n app: two\n<13>1 - n app - - - three\n<13>1 - n app - - -\n";
    stream.write_all(text.as_bytes()).await.expect("it is read");
    assert_eq!(syslog.texts(3).await, ["one", "two", "three"]);
    stream
        .write_all(b"99 <13>1 - n app")
        .await
        .expect("it is read");
    drop(stream);
    let row = syslog.until(|row| row.rejected == 2).await;
    let why = row.last_refusal.expect("it says why").why;
    assert!(
        why.contains("127.0.0.1 broke off within a message"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_in_structured_data_makes_no_label_sets_and_no_templates() {
    let address = free_port();
    let mut syslog = Syslog::start(&format!("sources.syslog.tcp = \"{address}\"\n"), None);
    let mut stream = connect(address).await;
    let count = 500;
    for n in 0..count {
        let id = format!("{:08x}-{:04x}", n * 2_654_435_761_u64 % (1 << 32), n);
        let data = format!("[app@1 requestId=\"{id}\" user=\"mia {n}\"][service name=\"{n}\"]");
        let text = format!("<11>1 - n app - - {data} cannot reach the gateway\n");
        stream.write_all(text.as_bytes()).await.expect("it is read");
    }
    let lines = syslog.lines(count as usize).await;
    let mut miner = Miner::default();
    let mut templates = std::collections::BTreeSet::new();
    for line in &lines {
        assert_eq!(line.labels, lines[0].labels);
        templates.insert(miner.learn(&line.text).template);
    }
    assert_eq!(templates.len(), 1, "{}", lines[0].text);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_come_over_tls() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let (cert, secret) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, key.cert.pem()).expect("it is writable");
    std::fs::write(&secret, key.signing_key.serialize_pem()).expect("it is writable");
    let address = free_port();
    let config = format!(
        "[tls]\ncert_file = {cert:?}\nkey_file = {secret:?}\n[sources.syslog]\ntls = \"{address}\"\n"
    );
    let mut syslog = Syslog::start(&config, Some("on"));
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = connect(address).await;
    let name = ServerName::try_from("localhost").expect("a name");
    let connected = TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await;
    let mut stream = connected.expect("both agree");
    let text = b"<13>1 - n app - - - a secret\n";
    stream.write_all(text).await.expect("it is read");
    stream.flush().await.expect("it is read");
    assert_eq!(syslog.texts(1).await, ["a secret"]);
    // Somebody who speaks in the clear is told nothing, and counted.
    let mut clear = connect(address).await;
    clear.write_all(text).await.expect("it is read");
    let row = syslog.until(|row| row.rejected == 1).await;
    let why = row.last_refusal.expect("it says why").why;
    assert_eq!(&*why, "no TLS handshake with 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_only_who_shows_a_certificate_of_the_authority_may_send() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let file = |name: &str, pem: String| {
        std::fs::write(dir.path().join(name), pem).expect("it is writable");
    };
    let server = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    file("cert.pem", server.cert.pem());
    file("key.pem", server.signing_key.serialize_pem());
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("it may sign itself");
        (cert.pem(), rcgen::Issuer::new(params, key))
    };
    let ((pem, ours), (_, foreign)) = (authority("ours"), authority("foreign"));
    file("ca.pem", pem);
    let address = free_port();
    let path = |name: &str| dir.path().join(name);
    let config = format!(
        "[tls]\ncert_file = {:?}\nkey_file = {:?}\n[sources.syslog]\ntls = \"{address}\"\nclient_ca_file = {:?}\n",
        path("cert.pem"),
        path("key.pem"),
        path("ca.pem")
    );
    let mut syslog = Syslog::start(&config, Some("on"));
    let shown = |issuer: &rcgen::Issuer<'_, rcgen::KeyPair>| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["node-1".to_owned()]).expect("a name");
        let cert = params.signed_by(&key, issuer).expect("it signs");
        (cert.der().clone(), key.serialize_der())
    };
    let cases = [
        (None, 1, false),
        (Some(shown(&foreign)), 2, false),
        (Some(shown(&ours)), 2, true),
    ];
    for (shown, refused, may_send) in cases {
        let mut roots = RootCertStore::empty();
        roots.add(server.cert.der().clone()).expect("a certificate");
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_root_certificates(roots);
        let client = match shown {
            None => client.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivatePkcs8KeyDer::from(key).into();
                let client = client.with_client_auth_cert(vec![cert], key);
                client.expect("they belong together")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = connect(address).await;
        let connected = TlsConnector::from(Arc::new(client)).connect(name, stream);
        // A client learns of its refusal when it reads or writes on, so writing may fail.
        if let Ok(mut stream) = connected.await {
            let _ = stream.write_all(b"<13>1 - n app - - - a secret\n").await;
            let _ = stream.flush().await;
            if may_send {
                assert_eq!(syslog.texts(1).await, ["a secret"]);
            }
        }
        let row = syslog.until(|row| row.rejected == refused).await;
        assert_eq!(row.taken, u64::from(may_send));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_cannot_be_read_stop_only_what_comes_over_tls() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let server = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let file = |name: &str, pem: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).expect("it is writable");
        path
    };
    let cert = file("cert.pem", server.cert.pem());
    let key = file("key.pem", server.signing_key.serialize_pem());
    let (tcp, tls) = (free_port(), free_port());
    let config = format!(
        "[tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n[sources.syslog]\ntcp = \"{tcp}\"\ntls = \"{tls}\"\nclient_ca_file = \"/nowhere/ca.pem\"\n",
    );
    let mut syslog = Syslog::start(&config, Some("on"));
    let mut stream = connect(tcp).await;
    let text = b"<13>1 - n app - - - in the clear\n";
    stream.write_all(text).await.expect("it is read");
    assert_eq!(syslog.texts(1).await, ["in the clear"]);
    let told = syslog.row().detail;
    let expected = format!("tcp {tcp}; nothing is taken over tls {tls}: /nowhere/ca.pem");
    assert!(told.starts_with(&expected), "{told}");
    assert!(TcpStream::connect(tls).await.is_err(), "nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_engine_is_behind_a_stream_waits_or_drops_as_told() {
    let lines = SIGNALS_QUEUED_MAX as usize + 20_000;
    let text = "<13>1 - n app - - - x\n".repeat(1_000);
    for when_full in ["block", "drop"] {
        let address = free_port();
        let config =
            format!("[sources.syslog]\ntcp = \"{address}\"\nwhen_full = \"{when_full}\"\n");
        let mut syslog = Syslog::start(&config, None);
        let mut stream = connect(address).await;
        let written = tokio::spawn({
            let text = text.clone();
            async move {
                for _ in 0..lines / 1_000 {
                    stream.write_all(text.as_bytes()).await.expect("it is read");
                }
            }
        });
        let sent = lines / 1_000 * 1_000;
        if when_full == "drop" {
            let row = syslog.until(|row| row.dropped > 0).await;
            assert!(
                row.last_refusal
                    .is_some_and(|last| last.why.contains("queue is full"))
            );
            written.await.expect("the sender never waits for long");
            let dropped = async |syslog: &Syslog| syslog.row().dropped as usize;
            let mut taken = 0;
            while taken + dropped(&syslog).await < sent {
                taken += syslog.texts(1).await.len();
            }
            assert_eq!(taken + dropped(&syslog).await, sent);
        } else {
            assert_eq!(syslog.texts(sent).await.len(), sent);
            written.await.expect("all of it was written");
            assert_eq!(syslog.row().dropped, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_networks_that_are_let_in_may_send() {
    let address = free_port();
    let mut syslog = Syslog::start(
        &format!(
            "[sources.syslog]\ntcp = \"{address}\"\nudp = \"{address}\"\nallow = [\"127.0.0.2\", \"fd00::/8\"]\n"
        ),
        None,
    );
    // Closed as soon as it is there, and counted.
    drop(connect(address).await);
    let row = syslog.until(|row| row.rejected == 1).await;
    let why = row.last_refusal.expect("one was refused").why;
    assert!(
        why.starts_with("127.0.0.1 is in none of the networks"),
        "{why}"
    );
    let send = |from: &str, text: &str| {
        let socket = std::net::UdpSocket::bind(from).expect("an address of this machine");
        let sent = socket.send_to(text.as_bytes(), address);
        sent.expect("it is sent");
    };
    send("127.0.0.1:0", "<13>1 - n app - - - stranger");
    syslog.until(|row| row.rejected == 2).await;
    send("127.0.0.2:0", "<13>1 - n app - - - datagram");
    assert_eq!(syslog.texts(1).await, ["datagram"]);
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 2], 0).into())
        .expect("an address of this machine");
    let mut stream = socket.connect(address).await.expect("it listens");
    let text = b"<13>1 - n app - - - stream\n";
    stream.write_all(text).await.expect("it is read");
    assert_eq!(syslog.texts(1).await, ["stream"]);
}
