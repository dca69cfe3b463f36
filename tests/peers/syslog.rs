//! A real rsyslog relays to us, also over TLS, and a real `logger` speaks to us directly: UDP, TCP by lines and
//! by octet counts, RFC 5424 and RFC 3164.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stormglass::model::{SourceHealth, SourceRow};

use crate::harness::{Receiver, free_port, missing, write};
use crate::peer::Peer;

/// How long a peer may take to deliver.
const PATIENCE: Duration = Duration::from_secs(30);

async fn receiver(udp: u16, tcp: u16) -> Receiver {
    let config =
        format!("[sources.syslog]\nudp = \"127.0.0.1:{udp}\"\ntcp = \"127.0.0.1:{tcp}\"\n");
    Receiver::with(&config).await
}

/// Waits until `count` messages were taken.
async fn taken(receiver: &Receiver, count: u64) -> SourceRow {
    let arrived = async {
        loop {
            let row = receiver.source("syslog");
            if row.taken >= count {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let arrived = tokio::time::timeout(PATIENCE, arrived).await;
    arrived.unwrap_or_else(|_| panic!("not {count}: {:?}", receiver.source("syslog")))
}

/// Services that lines were heard of.
async fn services(receiver: &Receiver, wanted: &[&str]) {
    let wanted: Vec<String> = wanted
        .iter()
        .map(|name| format!("service/{name}"))
        .collect();
    receiver
        .wait_for("the services of the lines", move |engine| {
            let known: Vec<_> = engine.entities().map(|(id, _)| id.to_string()).collect();
            wanted.iter().all(|id| known.contains(id)).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_logger_is_heard() {
    let (udp, tcp) = (free_port(), free_port());
    let receiver = receiver(udp, tcp).await;
    let (udp, tcp) = (udp.to_string(), tcp.to_string());
    let ways: [(&str, &[&str]); 5] = [
        ("udp-new", &["-d", "-P", &udp, "--rfc5424"]),
        ("udp-old", &["-d", "-P", &udp, "--rfc3164"]),
        ("tcp-new", &["-T", "-P", &tcp, "--rfc5424"]),
        ("tcp-old", &["-T", "-P", &tcp, "--rfc3164"]),
        (
            "tcp-octets",
            &["-T", "-P", &tcp, "--octet-count", "--rfc5424"],
        ),
    ];
    for (n, (tag, args)) in (1..).zip(ways) {
        let logger = Command::new("logger")
            .args(["-n", "127.0.0.1", "-t", tag, "-p", "local3.err"])
            .args(args)
            .arg("payment 4711 failed: connection refused")
            .status();
        let Ok(status) = logger else {
            return missing("logger", "apt-get install bsdutils");
        };
        assert!(status.success(), "{tag}");
        taken(&receiver, n).await;
    }
    let row = receiver.source("syslog");
    assert_eq!(
        (row.health, row.taken, row.rejected, row.dropped),
        (SourceHealth::Live, 5, 0, 0)
    );
    services(
        &receiver,
        &["udp-new", "udp-old", "tcp-new", "tcp-old", "tcp-octets"],
    )
    .await;
    receiver.stop().await;
}

/// A relay that takes datagrams on `from` and forwards each by these actions; `globals` are settings of its own.
fn relay(dir: &Path, from: u16, globals: &str, actions: &str) -> Option<Peer> {
    let config = format!(
        "global(workDirectory=\"{work}\" {globals})\n\
         module(load=\"imudp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{from}\")\n\
         {actions}",
        work = dir.display(),
    );
    write(dir, "rsyslog.conf", &config);
    let path = |name: &str| dir.join(name).display().to_string();
    let args = [
        "-n".into(),
        "-f".into(),
        path("rsyslog.conf"),
        "-i".into(),
        path("rsyslog.pid"),
    ];
    Peer::start("rsyslogd", &args)
}

/// Says something to a relay until so much of it arrived: it needs a moment to listen, and what it missed is said
/// again. Nothing may be refused on the way.
async fn relayed(receiver: &Receiver, from: u16, count: u64) {
    let heard = async {
        while receiver.source("syslog").taken < count {
            let port = from.to_string();
            let said = Command::new("logger")
                .args(["-n", "127.0.0.1", "-d", "-P", &port, "-t", "payments"])
                .args(["--rfc3164", "timeout calling gateway after 3002ms"])
                .status();
            assert!(said.is_ok_and(|status| status.success()), "logger speaks");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .unwrap_or_else(|_| panic!("nothing relayed: {:?}", receiver.source("syslog")));
    services(receiver, &["payments"]).await;
    let row = receiver.source("syslog");
    assert_eq!(
        (row.rejected, row.dropped),
        (0, 0),
        "{:?}",
        row.last_refusal
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rsyslog_relays_to_us() {
    let (from, udp, tcp) = (free_port(), free_port(), free_port());
    let receiver = receiver(udp, tcp).await;
    // By TCP in both framings, and by UDP.
    let actions = format!(
        "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" protocol=\"tcp\" template=\"RSYSLOG_TraditionalForwardFormat\")\n\
         action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{udp}\" protocol=\"udp\" template=\"RSYSLOG_SyslogProtocol23Format\")\n"
    );
    let Some(_relay) = relay(receiver.dir.path(), from, "", &actions) else {
        return missing("rsyslogd", "apt-get install rsyslog");
    };
    relayed(&receiver, from, 3).await;
    receiver.stop().await;
}

/// Where Debian keeps rsyslog's driver for TLS.
const TLS_DRIVERS: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/rsyslog/lmnsd_ossl.so",
    "/usr/lib/aarch64-linux-gnu/rsyslog/lmnsd_ossl.so",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rsyslog_relays_over_tls() {
    if !TLS_DRIVERS.iter().any(|driver| Path::new(driver).is_file()) {
        return missing(
            "rsyslog's driver for TLS",
            "apt-get install rsyslog-openssl",
        );
    }
    let dir = tempfile::tempdir().expect("a directory for the test");
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    write(dir.path(), "cert.pem", &key.cert.pem());
    write(dir.path(), "key.pem", &key.signing_key.serialize_pem());
    let (cert, secret) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let (from, tls) = (free_port(), free_port());
    let receiver = Receiver::with(&format!(
        "[tls]\ncert_file = {cert:?}\nkey_file = {secret:?}\n[sources.syslog]\ntls = \"127.0.0.1:{tls}\"\n"
    ))
    .await;
    let globals = format!("DefaultNetstreamDriver=\"ossl\" DefaultNetstreamDriverCAFile={cert:?}");
    let actions = format!(
        "action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tls}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" \
         StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/name\" \
         StreamDriverPermittedPeers=\"localhost\" template=\"RSYSLOG_SyslogProtocol23Format\")\n"
    );
    let Some(_relay) = relay(receiver.dir.path(), from, &globals, &actions) else {
        return missing("rsyslogd", "apt-get install rsyslog");
    };
    relayed(&receiver, from, 1).await;
    receiver.stop().await;
}
