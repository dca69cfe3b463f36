//! The simulator of the demo as an executor: a request with a way to answer it.

use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::model::{Action, Outcome, RunId};

/// An action for the simulator. It answers once, when the simulated system has done it.
#[derive(Debug)]
pub struct SimRequest {
    /// The run.
    pub run: RunId,
    /// What to do: a verb and its arguments.
    pub action: Action,
    /// Where the answer goes; nobody listens any more once the run timed out.
    pub reply: oneshot::Sender<Outcome>,
}

/// The way to the simulator.
#[derive(Clone, Debug)]
pub struct SimHandle(mpsc::Sender<SimRequest>);

impl SimHandle {
    /// To a simulator that reads from the other end.
    pub fn new(requests: mpsc::Sender<SimRequest>) -> Self {
        Self(requests)
    }

    /// Asks and waits for the answer, the timeout or the wish to stop.
    pub(super) async fn perform(&self, run: RunId, action: &Action, cancelled: &Notify) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let request = SimRequest {
            run,
            action: action.clone(),
            reply,
        };
        if self.0.send(request).await.is_err() {
            return Outcome::Failed {
                why: "the simulator is gone".to_owned(),
            };
        }
        let timeout = Duration::from_millis(action.timeout_ms.unsigned_abs());
        tokio::select! {
            // The request was taken: without an answer nobody knows what it did.
            outcome = answer => outcome.unwrap_or(Outcome::Unknown),
            () = tokio::time::sleep(timeout) => Outcome::TimedOut,
            () = cancelled.notified() => Outcome::Unknown,
        }
    }
}
