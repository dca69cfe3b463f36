//! How the rest of the program reaches the engine's thread: bounded queues, one for each kind of
//! errand, so that a storm of signals cannot delay a person.

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::api::CommandReply;
use crate::engine::Engine;
use crate::model::{Actor, Command, StepEvent};

/// Commands waiting; people are slow, so more than this is a script gone wild, and it waits.
const COMMANDS_QUEUED_MAX: usize = 256;
/// Reports of executors waiting; an executor that prints faster waits.
const STEPS_QUEUED_MAX: usize = 1_024;
/// Questions waiting; a console that asks faster waits.
const QUERIES_QUEUED_MAX: usize = 256;

/// The engine's thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the engine has stopped")]
pub struct EngineStopped;

/// Commands, reports and questions for the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    commands: mpsc::Sender<CommandRequest>,
    steps: mpsc::Sender<StepEvent>,
    queries: mpsc::Sender<Query>,
}

/// A command on its way; the reply is sent once the decision is durable.
#[derive(Debug)]
pub(super) struct CommandRequest {
    pub(super) by: Actor,
    pub(super) what: Command,
    pub(super) reply: oneshot::Sender<CommandReply>,
}

/// A question, answered on the engine's thread between two inputs.
pub(super) type Query = Box<dyn FnOnce(&Engine) + Send>;

/// The engine's ends of the queues.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) commands: mpsc::Receiver<CommandRequest>,
    pub(super) steps: mpsc::Receiver<StepEvent>,
    pub(super) queries: mpsc::Receiver<Query>,
}

pub(super) fn door() -> (Door, Inbox) {
    let (commands, commands_in) = mpsc::channel(COMMANDS_QUEUED_MAX);
    let (steps, steps_in) = mpsc::channel(STEPS_QUEUED_MAX);
    let (queries, queries_in) = mpsc::channel(QUERIES_QUEUED_MAX);
    let door = Door {
        commands,
        steps,
        queries,
    };
    let inbox = Inbox {
        commands: commands_in,
        steps: steps_in,
        queries: queries_in,
    };
    (door, inbox)
}

impl Door {
    /// Gives a command and waits until the answer is durable.
    pub async fn command(&self, by: Actor, what: Command) -> Result<CommandReply, EngineStopped> {
        let (reply, answer) = oneshot::channel();
        let request = CommandRequest { by, what, reply };
        self.commands
            .send(request)
            .await
            .map_err(|_| EngineStopped)?;
        answer.await.map_err(|_| EngineStopped)
    }

    /// Asks the engine something. `ask` must be quick: detection waits for it.
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, EngineStopped> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |engine| {
            // Whoever asked may have gone; then nobody misses the answer.
            let _ = reply.send(ask(engine));
        });
        self.queries.send(query).await.map_err(|_| EngineStopped)?;
        answer.await.map_err(|_| EngineStopped)
    }

    /// Where executors report.
    pub fn steps(&self) -> mpsc::Sender<StepEvent> {
        self.steps.clone()
    }
}
