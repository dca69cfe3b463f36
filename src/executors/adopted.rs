//! Runs that an earlier daemon started and did not live to see the end of.
//!
//! How they end is never known, because only a parent is told; so the end is reported as such. One
//! that is stopped on request is known to have failed.

use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot};

use super::command::KILL_AFTER;
use super::process;
use crate::model::{Outcome, Process, RunId, StepEvent, StepEventKind};

/// Between two looks at a process that is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After this long, a process that was killed and lives is said to be out of reach.
const DEATH_WITHIN: Duration = Duration::from_secs(5);

/// Waits for the end of an adopted run, or stops it; reports which.
pub(super) async fn watch(
    run: RunId,
    process: &Process,
    cancelled: oneshot::Receiver<()>,
    reports: &mpsc::Sender<StepEvent>,
) {
    let stopped = tokio::select! {
        () = gone(process) => false,
        Ok(()) = cancelled => stop(process).await,
    };
    let kind = if stopped {
        let why = "stopped on request".to_owned();
        StepEventKind::Finished(Outcome::Failed { why })
    } else {
        gone_or_told(run, process, reports).await;
        StepEventKind::Gone
    };
    // The receiver is gone only when the daemon ends.
    let _ = reports.send(StepEvent { run, kind }).await;
}

/// Waits for the end of one that could not be stopped, and says that it could not.
async fn gone_or_told(run: RunId, process: &Process, reports: &mpsc::Sender<StepEvent>) {
    if !process::lives(process) {
        return;
    }
    let text = format!("pid {} does not end: stop it by hand", process.pid);
    let kind = StepEventKind::Output(text);
    let _ = reports.send(StepEvent { run, kind }).await;
    gone(process).await;
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
