//! A real rsyslog relays to us, and a real `logger` speaks to us directly: UDP, TCP by lines and by
//! octet counts, RFC 5424 and RFC 3164.

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

/// A relay that takes datagrams on `from` and forwards each by TCP in both framings, and by UDP.
fn relay(receiver: &Receiver, from: u16, udp: u16, tcp: u16) -> Option<Peer> {
    let dir = receiver.dir.path();
    write(
        dir,
        "rsyslog.conf",
        &format!(
            "global(workDirectory=\"{work}\")\n\
             module(load=\"imudp\")\n\
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{from}\")\n\
             action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\" template=\"RSYSLOG_SyslogProtocol23Format\")\n\
             action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{tcp}\" protocol=\"tcp\" template=\"RSYSLOG_TraditionalForwardFormat\")\n\
             action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{udp}\" protocol=\"udp\" template=\"RSYSLOG_SyslogProtocol23Format\")\n",
            work = dir.display(),
        ),
    );
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

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rsyslog_relays_to_us() {
    let (from, udp, tcp) = (free_port(), free_port(), free_port());
    let receiver = receiver(udp, tcp).await;
    let Some(_relay) = relay(&receiver, from, udp, tcp) else {
        return missing("rsyslogd", "apt-get install rsyslog");
    };
    // The relay needs a moment to listen; what it missed is said again.
    let heard = async {
        while receiver.source("syslog").taken < 3 {
            let port = from.to_string();
            let said = Command::new("logger")
                .args([
                    "-n",
                    "127.0.0.1",
                    "-d",
                    "-P",
                    &port,
                    "-t",
                    "payments",
                    "--rfc3164",
                ])
                .arg("timeout calling gateway after 3002ms")
                .status();
            assert!(said.is_ok_and(|status| status.success()), "logger speaks");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .unwrap_or_else(|_| panic!("nothing relayed: {:?}", receiver.source("syslog")));
    services(&receiver, &["payments"]).await;
    let row = receiver.source("syslog");
    assert_eq!(
        (row.rejected, row.dropped),
        (0, 0),
        "{:?}",
        row.last_refusal
    );
    receiver.stop().await;
}
