//! People out: what they should be told, delivered at least once.
//!
//! A message is kept in an outbox before what it tells of is durable, sent at the end of the turn, also when
//! the journal cannot be written, and kept until its receiver took it: a crash in between sends it at
//! the next start. A receiver that does not answer is tried again, ever more rarely, also after a restart; so is one whose
//! secret is not there yet. It never decides what is worth telling, and
//! never writes a secret anywhere.

mod webhook;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::config::NotifyConfig;
use crate::model::{
    IncidentId, Notification, NotifyEvent, ReceiverReach, ReceiverStats, Severity, Time,
};
use crate::store::db::Outbox as Kept;
use webhook::{Sent, Webhook};

/// Messages that wait for all receivers together; beyond it the oldest go, and are counted.
const WAITING_MAX: usize = 1_000;
/// Least time between two messages to one receiver: a storm must not become one for them.
const PACE: Duration = Duration::from_secs(1);
/// First pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for a receiver that is only to be reached: whoever asks for it waits too.
const REACH_WITHIN: Duration = Duration::from_secs(3);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// A message to one receiver, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Name of the receiver.
    pub to: String,
    /// What it is told.
    pub message: Message,
}

/// What a receiver is told, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Counts up; the same when a message is sent again, so that a receiver can tell.
    pub id: u64,
    /// What happened.
    pub event: NotifyEvent,
    /// Which incident.
    pub incident: IncidentId,
    /// How bad.
    pub severity: Severity,
    /// One line, untrusted.
    pub text: String,
    /// What is watched.
    pub environment: String,
    /// When, as RFC 3339.
    pub at: String,
}

/// Why a receiver cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotifyError {
    /// Its settings cannot be followed.
    #[error("{0}")]
    Setting(String),
    /// The file of a secret that they name is not there, or cannot be read: it may be later.
    #[error("{0}")]
    Secret(String),
    /// A variable that they name is not set, or is no address. The environment of a process stays as it is: it will be when
    /// the daemon is started again.
    #[error("{0}")]
    Variable(String),
}

impl NotifyError {
    fn named(self, receiver: &str) -> Self {
        let named = |why: String| format!("[[notify]] {receiver}: {why}");
        match self {
            Self::Setting(why) => Self::Setting(named(why)),
            Self::Secret(why) => Self::Secret(named(why)),
            Self::Variable(why) => Self::Variable(named(why)),
        }
    }
}

/// How fast letters go out.
#[derive(Clone, Copy, Debug)]
struct Pace {
    between: Duration,
    /// After the first failure.
    pause: Duration,
    /// At most; a receiver that still fails after it is told to people.
    pause_max: Duration,
}

/// A receiver that has not answered for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Its name.
    pub name: String,
    /// Why it was not told the last time, without its address.
    pub why: String,
    /// Messages that wait for it.
    pub waiting: usize,
}

/// How telling goes, for whoever asks beside the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gauge {
    /// In order of name.
    receivers: Arc<[NotifyConfig]>,
    /// It keeps none open that its notifier has left.
    outbox: Weak<Outbox>,
    /// Held by who looks whether receivers can be reached: one at a time does.
    looking: Arc<tokio::sync::Mutex<()>>,
}

impl Gauge {
    /// How it goes, by receiver in order of name.
    pub fn read(&self) -> Vec<ReceiverStats> {
        let Some(outbox) = self.outbox.upgrade() else {
            return Vec::new();
        };
        let waiting = outbox.lock();
        let receivers = self.receivers.iter().map(|NotifyConfig { name, .. }| {
            let letters = waiting.letters.values();
            let tally = waiting.tallies.get(name).cloned().unwrap_or_default();
            ReceiverStats {
                name: name.clone(),
                waiting: letters.filter(|letter| letter.to == *name).count() as u64,
                ..tally
            }
        });
        receivers.collect()
    }

    /// Looks now whether each receiver can be reached, without telling it anything; in order of name.
    pub async fn reach(&self) -> Vec<ReceiverReach> {
        let _turn = self.looking.lock().await;
        let mut looks = JoinSet::new();
        for config in self.receivers.iter().cloned() {
            looks.spawn(async move {
                let hook = Notifier::hook(&config).map_err(|error| error.to_string());
                let reached = match hook {
                    Ok(hook) => hook.reach(REACH_WITHIN).await,
                    Err(why) => Err(why),
                };
                ReceiverReach {
                    name: config.name,
                    why_not: reached.err(),
                }
            });
        }
        let mut reached = looks.join_all().await;
        reached.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        reached
    }
}

/// Takes notifications and delivers them in the background; dropping it stops that, and what waits is
/// sent by the next one on the same outbox.
#[derive(Debug)]
pub struct Notifier {
    channels: Vec<(String, Severity)>,
    environment: String,
    outbox: Arc<Outbox>,
    receivers: Arc<[NotifyConfig]>,
    tasks: Vec<JoinHandle<()>>,
}

/// What waits, and where it is kept.
#[derive(Debug)]
struct Outbox {
    waiting: Mutex<Waiting>,
    /// `None` keeps nothing.
    kept: Option<Kept>,
    news: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    letters: BTreeMap<u64, Letter>,
    /// Kept, and not to be sent before [`Notifier::send`].
    held: Vec<Letter>,
    last_id: u64,
    /// Letters given up, since the start.
    lost: u64,
    /// Why each receiver that has failed for a while did so the last time.
    failing: BTreeMap<String, String>,
    /// What became of the tries to tell each receiver, by its name.
    tallies: BTreeMap<String, ReceiverStats>,
}

impl Waiting {
    fn tally(&mut self, name: &str) -> &mut ReceiverStats {
        self.tallies.entry(name.to_owned()).or_default()
    }
}

impl Notifier {
    /// Starts one task for each receiver; what is for one whose secret is not there waits for that. On an error, which
    /// setting is wrong and why.
    pub fn start(
        configs: &[NotifyConfig],
        environment: &str,
        kept: Option<Kept>,
    ) -> Result<Self, NotifyError> {
        let pace = Pace {
            between: PACE,
            pause: PAUSE,
            pause_max: PAUSE_MAX,
        };
        Self::start_at(pace, configs, environment, kept)
    }

    /// Whether a receiver could be told anything, as far as its settings say.
    pub fn check(config: &NotifyConfig) -> Result<(), NotifyError> {
        Webhook::check(config).map_err(|error| error.named(&config.name))
    }

    fn hook(config: &NotifyConfig) -> Result<Webhook, NotifyError> {
        Webhook::new(config).map_err(|error| error.named(&config.name))
    }

    /// The same once its secrets are there.
    async fn hook_late(config: &NotifyConfig, outbox: &Outbox, pace: Pace) -> Webhook {
        let (mut pause, mut told) = (pace.pause, String::new());
        loop {
            let why = match Self::hook(config) {
                Ok(hook) => {
                    outbox.lock().tally(&config.name).failing = None;
                    return hook;
                }
                Err(error) => error.to_string(),
            };
            outbox.lock().tally(&config.name).failing = Some(why.clone());
            if told != why {
                tracing::error!("{why}: what it should be told waits");
                told = why;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(pace.pause_max);
        }
    }

    fn start_at(
        pace: Pace,
        configs: &[NotifyConfig],
        environment: &str,
        kept: Option<Kept>,
    ) -> Result<Self, NotifyError> {
        for config in configs {
            if let Err(error @ NotifyError::Setting(_)) = Self::check(config) {
                return Err(error);
            }
        }
        let outbox = Arc::new(Outbox::open(kept, configs));
        let tasks = configs.iter().map(|config| {
            let (outbox, config) = (Arc::clone(&outbox), config.clone());
            tokio::spawn(async move {
                let hook = Self::hook_late(&config, &outbox, pace).await;
                outbox.deliver(&config.name, &hook, pace).await;
            })
        });
        Ok(Self {
            channels: configs
                .iter()
                .map(|config| (config.name.clone(), config.severity))
                .collect(),
            environment: environment.to_owned(),
            receivers: by_name(configs),
            tasks: tasks.collect(),
            outbox,
        })
    }

    /// Keeps notifications in the outbox, for each receiver that wants them; they go out with the next
    /// [`Self::send`], or after the next start.
    pub fn keep(&self, notes: &[(Time, Notification)]) {
        let wanted = notes.iter().flat_map(|(at, note)| {
            let channels = self.channels.iter();
            let told = channels.filter(|(_, least)| note.severity >= *least);
            told.map(move |(name, _)| (name.as_str(), *at, note))
        });
        self.outbox.keep(&self.environment, wanted);
    }

    /// Sends what was kept since the last time.
    pub fn send(&self) {
        self.outbox.send();
    }

    /// How telling goes, for whoever asks beside the engine.
    pub fn gauge(&self) -> Gauge {
        Gauge {
            receivers: Arc::clone(&self.receivers),
            outbox: Arc::downgrade(&self.outbox),
            looking: Arc::default(),
        }
    }

    /// Stops, and returns when nothing holds the outbox any more.
    pub async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // It was stopped, not done: that is no news.
            let _ = task.await;
        }
    }

    /// The receivers that have failed for about a minute, in order of name.
    pub fn unreached(&self) -> Vec<Unreached> {
        let waiting = self.outbox.lock();
        let failing = waiting.failing.iter();
        failing
            .map(|(name, why)| Unreached {
                name: name.clone(),
                why: why.clone(),
                waiting: waiting.letters.values().filter(|l| l.to == *name).count(),
            })
            .collect()
    }

    /// Letters given up, because too many waited or their receiver refused them.
    pub fn lost(&self) -> u64 {
        self.outbox.lock().lost
    }
}

fn by_name(configs: &[NotifyConfig]) -> Arc<[NotifyConfig]> {
    let mut configs = configs.to_vec();
    configs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    configs.into()
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Outbox {
    fn open(kept: Option<Kept>, configs: &[NotifyConfig]) -> Self {
        let mut waiting = Waiting::default();
        for (id, bytes) in kept.iter().flat_map(Kept::all) {
            waiting.last_id = waiting.last_id.max(id);
            let letter = serde_json::from_slice::<Letter>(&bytes).ok();
            match letter.filter(|letter| configs.iter().any(|c| c.name == letter.to)) {
                Some(letter) => {
                    waiting.letters.insert(id, letter);
                }
                // Nobody of that name is told any more.
                None => kept.iter().for_each(|kept| kept.remove(id)),
            }
        }
        Self {
            waiting: Mutex::new(waiting),
            kept,
            news: watch::Sender::new(()),
        }
    }

    fn keep<'a>(
        &self,
        environment: &str,
        notes: impl Iterator<Item = (&'a str, Time, &'a Notification)>,
    ) {
        let mut waiting = self.lock();
        let begins = waiting.held.len();
        for (to, at, note) in notes {
            waiting.last_id += 1;
            let letter = Letter {
                to: to.to_owned(),
                message: Message {
                    id: waiting.last_id,
                    event: note.event,
                    incident: note.incident,
                    severity: note.severity,
                    text: note.text.to_string(),
                    environment: environment.to_owned(),
                    at: at.to_string(),
                },
            };
            waiting.held.push(letter);
        }
        let new = &waiting.held[begins..];
        if let Some(kept) = self.kept.as_ref().filter(|_| !new.is_empty()) {
            kept.put(new.iter().filter_map(|letter| {
                let bytes = serde_json::to_vec(letter).ok()?;
                Some((letter.message.id, bytes))
            }));
        }
    }

    fn send(&self) {
        let mut waiting = self.lock();
        let held = std::mem::take(&mut waiting.held);
        if held.is_empty() {
            return;
        }
        let held = held.into_iter().map(|letter| (letter.message.id, letter));
        waiting.letters.extend(held);
        while waiting.letters.len() > WAITING_MAX {
            let Some((oldest, letter)) = waiting.letters.pop_first() else {
                break;
            };
            waiting.lost += 1;
            waiting.tally(&letter.to).lost += 1;
            self.kept.iter().for_each(|kept| kept.remove(oldest));
            tracing::error!(to = letter.to, "a notification is given up: too many wait");
        }
        drop(waiting);
        self.news.send_replace(());
    }

    fn first_for(&self, name: &str) -> Option<Letter> {
        let waiting = self.lock();
        let mut letters = waiting.letters.values();
        letters.find(|letter| letter.to == name).cloned()
    }

    fn done(&self, id: u64, was_refused: bool) {
        let mut waiting = self.lock();
        if let Some(letter) = waiting.letters.remove(&id) {
            let tally = waiting.tally(&letter.to);
            tally.sent += u64::from(!was_refused);
            tally.lost += u64::from(was_refused);
        }
        waiting.lost += u64::from(was_refused);
        self.kept.iter().for_each(|kept| kept.remove(id));
    }

    /// Sends one receiver's letters in order, until the task is ended.
    async fn deliver(&self, name: &str, hook: &Webhook, pace: Pace) {
        let mut news = self.news.subscribe();
        let mut pause = pace.pause;
        let mut told = String::new();
        loop {
            let Some(letter) = self.first_for(name) else {
                // The sender lives as long as the outbox does.
                let _ = news.changed().await;
                continue;
            };
            let sent = hook.send(&letter.message).await;
            if !matches!(sent, Sent::Failed(_)) {
                let mut waiting = self.lock();
                waiting.failing.remove(name);
                waiting.tally(name).failing = None;
                told.clear();
            }
            match sent {
                Sent::Taken => {
                    self.done(letter.message.id, false);
                    pause = pace.pause;
                    tokio::time::sleep(pace.between).await;
                }
                Sent::Refused(why) => {
                    tracing::error!(to = name, "a notification is refused for good: {why}");
                    self.done(letter.message.id, true);
                    tokio::time::sleep(pace.between).await;
                }
                Sent::Failed(why) => {
                    self.failed(name, &why);
                    if told != why {
                        tracing::warn!(to = name, "a notification waits: {why}");
                        told.clone_from(&why);
                    }
                    if pause >= pace.pause_max {
                        self.lock().failing.insert(name.to_owned(), why);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(pace.pause_max);
                }
            }
        }
    }

    fn failed(&self, name: &str, why: &str) {
        let mut waiting = self.lock();
        let tally = waiting.tally(name);
        tally.failed += 1;
        tally.failing = Some(why.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing below can leave it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
