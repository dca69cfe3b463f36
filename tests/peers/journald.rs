//! A real journal, written by systemd's own writer and read by its own reader, also over a restart.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stormglass::model::{EntityId, SourceHealth};

use crate::harness::{Receiver, missing};

const WRITER: &str = "/usr/lib/systemd/systemd-journal-remote";

/// Appends entries to a journal, as exported by another machine; false without a writer.
fn append(journal: &Path, from: u64, count: u64) -> bool {
    let writer = Command::new(WRITER)
        .arg("-o")
        .args([journal, Path::new("-")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut writer) = writer else {
        return false;
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_us = now.expect("after 1970").as_micros() as u64;
    let mut stdin = writer.stdin.take().expect("it was piped");
    for n in from..from + count {
        let at_us = now_us + n;
        let entry = format!(
            "__REALTIME_TIMESTAMP={at_us}\n__MONOTONIC_TIMESTAMP={n}\n\
             _BOOT_ID=08a5690a2eed47cf92ac0a5d2e3cf6b0\n_HOSTNAME=node-1\nPRIORITY=3\n\
             _SYSTEMD_UNIT=checkout.service\nMESSAGE=payment {n} failed\n\n"
        );
        stdin.write_all(entry.as_bytes()).expect("it reads");
    }
    drop(stdin);
    writer.wait().expect("it ends").success()
}

/// Waits until the source has taken so many entries, and no more than that.
async fn taken(receiver: &Receiver, count: u64) {
    let started = Instant::now();
    loop {
        let row = receiver.source("journald");
        if row.taken >= count {
            assert_eq!(
                (row.taken, row.rejected, row.health),
                (count, 0, SourceHealth::Live),
                "{row:?}"
            );
            return;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{row:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_journal_is_followed_and_gone_on_with() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let journal = dir.path().join("remote.journal");
    let has_reader = Command::new("journalctl").arg("--version").output().is_ok();
    if !has_reader || !append(&journal, 0, 5) {
        return missing(
            "a journal",
            "apt-get install systemd systemd-journal-remote",
        );
    }
    let sections = format!(
        "[sources.journald]\nenabled = true\nfrom = \"start\"\nfiles = [\"{}\"]\n",
        journal.display()
    );
    let data = dir.path().join("data");
    let receiver = Receiver::keeping(&sections, &data).await;
    taken(&receiver, 5).await;
    assert!(append(&journal, 100, 3));
    taken(&receiver, 8).await;
    receiver
        .wait_for("the service of the unit", |engine| {
            let checkout = EntityId::parse("service/checkout");
            engine
                .entities()
                .any(|(id, _)| *id == checkout)
                .then_some(())
        })
        .await;
    receiver.stop().await;

    // What is written meanwhile is read at the next start, and nothing twice.
    assert!(append(&journal, 200, 4));
    let receiver = Receiver::keeping(&sections, &data).await;
    taken(&receiver, 4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    taken(&receiver, 4).await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_a_journal_says_so() {
    let asked = Command::new("journalctl").arg("--lines=0").output();
    let has_none = asked.is_ok_and(|answer| {
        let said = String::from_utf8_lossy(&answer.stderr).into_owned();
        said.contains("No journal files were")
    });
    if !has_none {
        return eprintln!("SKIPPED: there is a journal on this machine");
    }
    let receiver = Receiver::with("[sources.journald]\nenabled = true\n").await;
    let started = Instant::now();
    loop {
        let row = receiver.source("journald");
        if row.health == SourceHealth::Failed {
            let begins = "there is no journal here that we may read";
            assert!(row.detail.starts_with(begins), "{row:?}");
            break;
        }
        assert!(started.elapsed() < Duration::from_mins(1), "{row:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    receiver.stop().await;
}
