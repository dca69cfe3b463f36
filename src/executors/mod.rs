//! Actions out: performs what the engine asks for, and reports what came of it.
//!
//! Nothing here decides. No run is ever started twice, whatever is asked; a run that was refused as a
//! repetition is not reported, because the first one reports.

mod adopted;
mod command;
mod process;
mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::model::{
    Action, ExecutorKind, Outcome, PlanId, Process, RunId, StepEvent, StepEventKind,
};

use process::Found;

pub use command::{LINE_BYTES_MAX, LINES_MAX, find_program};
pub use sim::{SimHandle, SimRequest};

/// Runs remembered, so that none is repeated. Beyond it the oldest plans are forgotten, and runs of
/// plans as old as those are refused altogether.
const RUNS_REMEMBERED_MAX: usize = 100_000;

/// Performs actions on a tokio runtime and sends [`StepEvent`]s. Cloning shares everything.
#[derive(Clone, Debug)]
pub struct Executors {
    reports: mpsc::Sender<StepEvent>,
    sim: Option<SimHandle>,
    /// What tells runs of this daemon from those of others on the machine.
    realm: Arc<str>,
    runs: Arc<Mutex<Runs>>,
}

/// What was started, and how to stop what still runs.
#[derive(Debug, Default)]
struct Runs {
    started: BTreeSet<RunId>,
    /// Plans up to this one are forgotten.
    forgotten: Option<PlanId>,
    cancel: BTreeMap<RunId, Arc<Notify>>,
}

impl Executors {
    /// Reports go to `reports`; when it is full, executors wait. `sim` is the simulator of the demo.
    /// `realm` names this daemon among those of the machine; it must be the same after a restart.
    pub fn new(reports: mpsc::Sender<StepEvent>, sim: Option<SimHandle>, realm: &str) -> Self {
        Self {
            reports,
            sim,
            realm: Arc::from(realm),
            runs: Arc::default(),
        }
    }

    /// Starts a run and returns at once. Must be called within a tokio runtime.
    /// The last report of a run is always `Finished`.
    pub fn run(&self, run: RunId, action: Action) {
        let cancelled = Arc::new(Notify::new());
        if !self.lock().begin(run, Arc::clone(&cancelled)) {
            tracing::error!(?run, "refused to run the same action a second time");
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            let outcome = match (action.executor, &this.sim) {
                (ExecutorKind::Command, _) => {
                    let reports = this.reports.clone();
                    command::perform(run, &action, &this.realm, &cancelled, reports).await
                }
                (ExecutorKind::Sim, Some(sim)) => sim.perform(run, &action, &cancelled).await,
                (ExecutorKind::Sim, None) => Outcome::Failed {
                    why: "there is no simulator here".to_owned(),
                },
            };
            this.lock().cancel.remove(&run);
            let kind = StepEventKind::Finished(outcome);
            if this.reports.send(StepEvent { run, kind }).await.is_err() {
                tracing::warn!(?run, "nobody is left to hear how the run ended");
            }
        });
    }

    /// Looks after a run of an earlier daemon: tells at once whether it goes on, and later when it ends
    /// or was stopped, or that this cannot be found out. `known` is its process, if somebody wrote it down. It is never started again.
    /// Must be called within a tokio runtime.
    pub fn adopt(&self, run: RunId, known: Option<&Process>) -> StepEvent {
        let found = match known.map(process::look) {
            Some(found @ (Found::Lives(_) | Found::NotKnown)) => found,
            Some(Found::Gone) | None => process::find(run, &self.realm),
        };
        let kind = match found {
            Found::Lives(process) => {
                self.watch(run, process.clone());
                StepEventKind::Lives(process)
            }
            Found::Gone => StepEventKind::Gone,
            Found::NotKnown => StepEventKind::NotKnown,
        };
        let mut runs = self.lock();
        runs.started.insert(run);
        runs.forget_old();
        StepEvent { run, kind }
    }

    /// Waits for the end of a run that was not started here, unless somebody does already.
    fn watch(&self, run: RunId, process: Process) {
        let cancelled = Arc::new(Notify::new());
        if !self.lock().look_after(run, Arc::clone(&cancelled)) {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            adopted::watch(run, &process, &this.realm, &cancelled, &this.reports).await;
            this.lock().cancel.remove(&run);
        });
    }

    /// Asks a run to stop, as often as wanted; its end is reported as any other. Does nothing when it
    /// is not running.
    pub fn cancel(&self, run: RunId) {
        if let Some(cancel) = self.lock().cancel.get(&run) {
            cancel.notify_one();
        }
    }

    /// Runs in flight.
    pub fn in_flight(&self) -> usize {
        self.lock().cancel.len()
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        // Nothing below can leave the maps half changed, so a poisoned lock is still sound.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    /// Notes a run as started; `false` when it was before or may have been.
    fn begin(&mut self, run: RunId, cancel: Arc<Notify>) -> bool {
        if self.forgotten.is_some_and(|last| run.plan <= last) || !self.started.insert(run) {
            return false;
        }
        self.cancel.insert(run, cancel);
        self.forget_old();
        true
    }

    /// Notes a run that goes on without us; `false` when somebody looks after it already. One that was
    /// not found at first may be found later.
    fn look_after(&mut self, run: RunId, cancel: Arc<Notify>) -> bool {
        if self.cancel.contains_key(&run) {
            return false;
        }
        self.cancel.insert(run, cancel);
        true
    }

    fn forget_old(&mut self) {
        while self.started.len() > RUNS_REMEMBERED_MAX {
            let Some(oldest) = self.started.pop_first() else {
                break;
            };
            self.forgotten = Some(oldest.plan);
        }
    }
}

#[cfg(test)]
mod tests;
