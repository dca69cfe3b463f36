//! Starts and stops actions that the engine wants run, whose intent is durable by then.
//!
//! It never decides anything: no executor for an action is a failure the engine is told of.

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::model::{Action, ExecutorKind, Outcome, RunId, StepEvent, StepEventKind};

/// What a simulated system is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SimRequest {
    /// Do this, and report through [`super::Door::steps`].
    Run(RunId, Action),
    /// Leave it.
    Cancel(RunId),
}

/// The executors.
#[derive(Debug)]
pub(super) struct Performer {
    pub(super) steps: mpsc::Sender<StepEvent>,
    pub(super) simulator: Option<mpsc::Sender<SimRequest>>,
    pub(super) runtime: Handle,
}

impl Performer {
    pub(super) fn start(&mut self, run: RunId, action: Action) {
        match action.executor {
            ExecutorKind::Sim => self.simulate(run, action),
            ExecutorKind::Command => self.failed(run, "there is no executor for commands"),
        }
    }

    pub(super) fn cancel(&mut self, run: RunId) {
        if let Some(simulator) = &self.simulator {
            // A full queue means that the run has not started; a closed one, that all have ended.
            let _ = simulator.try_send(SimRequest::Cancel(run));
        }
    }

    fn simulate(&self, run: RunId, action: Action) {
        let sent = self
            .simulator
            .as_ref()
            .is_some_and(|sim| sim.try_send(SimRequest::Run(run, action)).is_ok());
        if !sent {
            self.failed(run, "there is no simulated system here that takes actions");
        }
    }

    /// The report waits for room, without the engine waiting for its own queue.
    fn failed(&self, run: RunId, why: &str) {
        let why = why.to_owned();
        let kind = StepEventKind::Finished(Outcome::Failed { why });
        let steps = self.steps.clone();
        self.runtime.spawn(async move {
            // The engine may have stopped; then the run is found without a result at the next start.
            let _ = steps.send(StepEvent { run, kind }).await;
        });
    }
}
