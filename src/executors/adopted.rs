//! Runs that an earlier daemon started and did not live to see the end of.
//!
//! How they end is never known, because only a parent is told; so the end is reported as such. One
//! that is stopped on request is known to have failed.

use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{Notify, mpsc};

use super::command::{KILL_AFTER, outlives, stopped};
use super::process;
use crate::model::{Outcome, Process, RunId, StepEvent, StepEventKind};

/// Between two looks at a process that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this long, a process that was killed and lives is said to be out of reach.
const DEATH_WITHIN: Duration = Duration::from_secs(5);

/// Waits for the end of an adopted run, or stops it, as often as that is asked; reports which.
pub(super) async fn watch(
    run: RunId,
    process: &Process,
    realm: &str,
    cancelled: &Notify,
    reports: &mpsc::Sender<StepEvent>,
) {
    let kind = loop {
        let asked = tokio::select! {
            () = gone(process) => false,
            () = cancelled.notified() => true,
        };
        if !asked {
            break StepEventKind::Gone;
        }
        if stop(process).await {
            let left = process::end_strays(run, realm).await;
            let why = stopped(outlives(&left));
            break StepEventKind::Finished(Outcome::Failed { why });
        }
        if process::lives(process) {
            let text = format!("pid {} does not end: stop it by hand", process.pid);
            let kind = StepEventKind::Output(text);
            // The receiver is gone only when the daemon ends.
            let _ = reports.send(StepEvent { run, kind }).await;
        }
    };
    // The same.
    let _ = reports.send(StepEvent { run, kind }).await;
}

async fn gone(process: &Process) {
    while process::lives(process) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Asks the group to end, and ends it; whether it was there and is gone now.
async fn stop(process: &Process) -> bool {
    if process::signal(process, Signal::TERM).is_err() {
        return false;
    }
    if tokio::time::timeout(KILL_AFTER, gone(process))
        .await
        .is_ok()
    {
        return true;
    }
    // An error means that it has just ended, or is out of reach: the next look tells.
    let _ = process::signal(process, Signal::KILL);
    tokio::time::timeout(DEATH_WITHIN, gone(process))
        .await
        .is_ok()
}
