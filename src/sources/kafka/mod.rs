//! Kafka: every partition of the topics is read from where an earlier run was, which is never beyond what
//! the recorder has on the disk.
//!
//! How far a partition was read is kept by us (`super::bookmark`), not by a consumer group: it moves once
//! what was read is recorded, and what could not be recorded is read again. A message that cannot be read
//! is told, counted and passed. While the engine is behind, nothing is fetched: the topic has it still.

mod connect;
mod partition;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rskafka::client::Client;
use tokio::sync::{Notify, mpsc};

use super::SignalSender;
use super::backoff::Backoff;
use super::failing::Failing;
use super::message::Payload;
use crate::config::{KafkaConfig, TailFrom};

/// Time between two looks for new partitions.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long one request may take, with everything that is tried again meanwhile.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Most partitions of one source; what is beyond is told.
const PARTITIONS_MAX: usize = 256;
/// What they are called together where not all can be read. No topic has such a name.
const ALL_PARTITIONS: &str = "all partitions";
/// Bytes that all partitions of a source fetch at once, …
const FETCHED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// … of which each has at least this much. A longer message comes all the same, alone.
const FETCHED_BYTES_MIN: usize = 64 * 1024;
/// Partitions found that wait to be read.
const FOUND_MAX: usize = 16;

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &KafkaConfig) -> String {
    format!("kafka {}", config.name)
}

/// Where it reads.
pub(super) fn place(config: &KafkaConfig) -> String {
    format!(
        "{} at {}",
        config.topics.join(", "),
        config.brokers.join(", ")
    )
}

/// Reads topics until the future is dropped, or nobody takes anything any more.
pub(super) async fn follow(
    config: KafkaConfig,
    payload: Payload,
    data_dir: Option<PathBuf>,
    sender: SignalSender,
) {
    let failing = Failing::new(sender.clone());
    let kafka = Kafka {
        config,
        payload,
        data_dir,
        sender,
        client: Mutex::default(),
        is_forgotten: Notify::new(),
        failing,
        partitions: Mutex::default(),
    };
    let (found, mut to_read) = mpsc::channel(FOUND_MAX);
    let mut looking = std::pin::pin!(kafka.look(found));
    let mut reading = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = &mut looking => return,
            Some((id, from)) = to_read.recv() => reading.push(kafka.read(id, from)),
            // A partition is read until nobody takes anything any more.
            Some(()) = reading.next(), if !reading.is_empty() => return,
        }
    }
}

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PartitionId {
    topic: String,
    number: i32,
}

/// One section of the config.
struct Kafka {
    config: KafkaConfig,
    payload: Payload,
    data_dir: Option<PathBuf>,
    sender: SignalSender,
    /// What is asked by, while it works.
    client: Mutex<Option<Arc<Client>>>,
    /// Told when it did not.
    is_forgotten: Notify,
    /// Partitions, topics, or all of it under the names of the brokers.
    failing: Failing,
    /// Partitions that are read.
    partitions: Mutex<BTreeSet<PartitionId>>,
}

impl Kafka {
    /// Looks for partitions again and again. Those that are there at the first look begin where the config
    /// says; one that comes later begins at its beginning, so that nothing of it is left out.
    async fn look(&self, found: mpsc::Sender<(PartitionId, TailFrom)>) {
        let mut from = self.config.from;
        let mut backoff = Backoff::new();
        loop {
            let wait = match self.partitions().await {
                Ok(all) => {
                    backoff = Backoff::new();
                    self.failing.works(&self.brokers());
                    for id in self.new_ones(all) {
                        if found.send((id, from)).await.is_err() {
                            return;
                        }
                    }
                    from = TailFrom::Start;
                    LOOK_EVERY
                }
                Err(why) => {
                    self.failing.fails(&self.brokers(), why);
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.is_forgotten.notified() => {}
            }
        }
    }

    /// The partitions of our topics, as the cluster knows them.
    async fn partitions(&self) -> Result<Vec<PartitionId>, String> {
        let client = if let Some(client) = self.client() {
            client
        } else {
            let client = Arc::new(connect::client(&self.config).await?);
            *lock(&self.client) = Some(Arc::clone(&client));
            client
        };
        let topics = match within(client.list_topics()).await {
            Ok(topics) => topics,
            Err(why) => {
                self.forget(&client);
                return Err(why);
            }
        };
        for wanted in &self.config.topics {
            if topics.iter().any(|topic| topic.name == *wanted) {
                self.failing.works(wanted);
            } else {
                self.failing.fails(
                    wanted,
                    "the cluster has no such topic, or does not show it to us".to_owned(),
                );
            }
        }
        let ours = topics
            .into_iter()
            .filter(|topic| self.config.topics.contains(&topic.name));
        let ids = ours.flat_map(|topic| {
            let name = topic.name;
            let numbers = topic.partitions.into_iter();
            numbers.map(move |number| PartitionId {
                topic: name.clone(),
                number,
            })
        });
        Ok(ids.collect())
    }

    /// Those that are not read yet, as many as there is room for; they count as read from now on.
    fn new_ones(&self, all: Vec<PartitionId>) -> Vec<PartitionId> {
        let mut read = lock(&self.partitions);
        let mut new: Vec<_> = all.into_iter().filter(|id| !read.contains(id)).collect();
        let room = PARTITIONS_MAX.saturating_sub(read.len());
        if new.len() > room {
            let left = new.len() - room;
            let why = format!(
                "more than {PARTITIONS_MAX}, {left} are not read: name fewer topics in one section"
            );
            self.failing.fails(ALL_PARTITIONS, why);
            new.truncate(room);
        } else {
            self.failing.works(ALL_PARTITIONS);
        }
        read.extend(new.iter().cloned());
        new
    }

    /// What a partition may fetch at once, in bytes.
    fn fetched_bytes_max(&self) -> i32 {
        let share = FETCHED_BYTES_MAX / lock(&self.partitions).len().max(1);
        i32::try_from(share.max(FETCHED_BYTES_MIN)).unwrap_or(i32::MAX)
    }

    fn brokers(&self) -> String {
        self.config.brokers.join(", ")
    }

    fn client(&self) -> Option<Arc<Client>> {
        lock(&self.client).clone()
    }

    /// A client that failed is made anew, with the secrets of then.
    fn forget(&self, client: &Arc<Client>) {
        let mut current = lock(&self.client);
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, client))
        {
            *current = None;
            self.is_forgotten.notify_one();
        }
    }
}

/// What a request answers, if it does in time.
async fn within<T>(
    request: impl Future<Output = Result<T, rskafka::client::error::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(REQUEST_MAX, request).await {
        Ok(answered) => answered.map_err(|error| connect::told(&error)),
        Err(_) => Err(format!("no answer within {} s", REQUEST_MAX.as_secs())),
    }
}

/// What is locked is valid after any panic: it is replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
