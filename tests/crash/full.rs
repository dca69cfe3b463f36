//! A disk that is really full, under the whole daemon: what cannot be kept is refused with the reason, the
//! console says so, nothing that is whole is taken for damaged, and it goes on by itself.
//!
//! The disk is a small one in memory. Only root may mount it: for others the test is skipped, and says so;
//! with `STORMGLASS_REQUIRE_PEERS=1` root must be able to.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use stormglass::api::View;
use stormglass::model::{Command, IncidentId};

use crate::kept;
use crate::serve::{Served, configure, journal_of};

/// Its size, as mount takes it: the database takes half a megabyte when it is made.
const SIZE: &str = "size=4m";
/// Notes that may find room in what is left of a page of the journal.
const NOTES_MAX: u32 = 64;

/// A small disk of its own; gone when dropped.
struct Disk {
    place: tempfile::TempDir,
}

impl Disk {
    /// `None` where this may not be done; with `STORMGLASS_REQUIRE_PEERS=1` that is a failure for root.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Process::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(place.path())
            .output();
        let why = match mounted {
            Ok(output) if output.status.success() => return Some(Self { place }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let is_required = std::env::var("STORMGLASS_REQUIRE_PEERS").is_ok_and(|v| v == "1");
        assert!(
            !(is_required && rustix::process::geteuid().is_root()),
            "no small disk to fill: {why}"
        );
        eprintln!("SKIPPED: no small disk to fill, only root can mount one: {why}");
        None
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        let chunk = [0; 4_096];
        while file.write_all(&chunk).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn note(n: u32) -> Command {
    Command::Note {
        incident: IncidentId(1),
        text: format!("note {n} {}", "x".repeat(1_000)),
    }
}

#[tokio::test]
async fn a_full_disk_refuses_says_so_and_is_got_over() {
    let Some(disk) = Disk::mount() else {
        return;
    };
    let home = disk.path();
    configure(home);
    let mut served = Served::start(home);
    served.send_alert().await;
    served.view_until(|view| !view.incidents.is_empty()).await;
    let mut acknowledged = Vec::new();
    let keep = |n: u32| serde_json::to_string(&note(n)).unwrap();

    disk.fill();
    let mut refused = None;
    for n in 0..NOTES_MAX {
        refused = served.client.command(&note(n)).await.unwrap().refused;
        if refused.is_some() {
            break;
        }
        acknowledged.push(keep(n));
    }
    let why = refused.expect("nothing more fits").to_string();
    assert!(why.contains("the disk is full"), "{why}");
    let is_told = |view: &View| view.banner.contains("journal cannot be written");
    served.view_until(is_told).await;

    // It goes on by itself once there is space.
    disk.free();
    served.view_until(|view| !is_told(view)).await;
    let last = note(NOTES_MAX);
    assert_eq!(served.client.command(&last).await.unwrap().refused, None);
    acknowledged.push(keep(NOTES_MAX));

    // A database that only lacks space to be opened is not damaged.
    disk.fill();
    served.kill();
    let mut served = Served::start(home);
    let is_off = |view: &View| view.banner.contains("database: the disk is full");
    served.view_until(is_off).await;
    served.kill();
    disk.free();
    let mut served = Served::start(home);
    served.view_until(|view| !is_off(view)).await;
    served.kill();
    let set_aside = home.join("data/db.damaged-1");
    assert!(!set_aside.exists(), "a full disk is no damage");
    kept::check(&journal_of(home), &home.join("ran"), &acknowledged);
}

/// A limit on the size of files (`ulimit -f`) ends a process by a signal unless it says otherwise.
#[tokio::test]
async fn a_file_that_may_grow_no_further_is_told_and_ends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    configure(home);
    // In blocks of 512 bytes: what the database writes at first fits, and the journal does not for long.
    let limited = ["sh", "-c", "ulimit -f 1400; exec \"$@\"", "sh"];
    let mut served = Served::start_under(&limited, home);
    served.send_alert().await;
    served.view_until(|view| !view.incidents.is_empty()).await;
    let mut refused = None;
    for n in 0..1_000 {
        refused = served.client.command(&note(n)).await.unwrap().refused;
        if refused.is_some() {
            break;
        }
    }
    let why = refused.expect("nothing more fits").to_string();
    assert!(why.contains("File too large"), "{why}");
    let is_told = |view: &View| view.banner.contains("journal cannot be written");
    served.view_until(is_told).await;
    served.kill();
    // Without the limit it goes on with what was kept.
    let mut served = Served::start(home);
    served.view_until(|view| !view.incidents.is_empty()).await;
    assert_eq!(served.client.command(&note(0)).await.unwrap().refused, None);
    served.kill();
}
