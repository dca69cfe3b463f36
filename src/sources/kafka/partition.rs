//! One partition: fetched, handed over, and its place moved once that is recorded.

use std::sync::Arc;
use std::time::Duration;

use rskafka::client::Client;
use rskafka::client::error::Error;
use rskafka::client::partition::{OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::record::{Record, RecordAndOffset};
use serde::{Deserialize, Serialize};

use super::{Kafka, PartitionId, REQUEST_MAX, connect, within};
use crate::config::{TailFrom, WhenFull};
use crate::model::{Signal, Time};
use crate::sources::SendError;
use crate::sources::backoff::Backoff;
use crate::sources::bookmark::{Back, Bookmark, Unrecorded};

/// How long a broker waits for messages before it answers that there are none.
const WAIT: Duration = Duration::from_secs(1);
/// When messages are read again that could not be recorded.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How far a partition was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// Offset of the next message.
    next: i64,
}

/// Reading one partition.
struct Reading<'a> {
    kafka: &'a Kafka,
    id: PartitionId,
    from: TailFrom,
    /// `None` until it is known where to begin.
    next: Option<i64>,
    bookmark: Bookmark<Place>,
    backoff: Backoff,
}

/// Whether anybody takes what is read.
enum Taken {
    Yes,
    Closed,
}

impl Kafka {
    /// Reads a partition until nobody takes anything any more.
    pub(super) async fn read(&self, id: PartitionId, from: TailFrom) {
        let of = format!("kafka {} {}/{}", self.config.name, id.topic, id.number);
        let mut bookmark = Bookmark::new(self.data_dir.as_deref(), of, Unrecorded::Again);
        let kept: Option<Place> = bookmark.read().unwrap_or_else(|why| {
            self.sender
                .lose(1, &format!("{why}; messages may be missing"));
            None
        });
        let mut reading = Reading {
            kafka: self,
            id,
            from,
            next: kept.map(|place| place.next),
            bookmark,
            backoff: Backoff::new(),
        };
        loop {
            let Some(client) = self.client() else {
                tokio::time::sleep(reading.backoff.next_wait()).await;
                continue;
            };
            match reading.run(&client).await {
                Ok(()) => return,
                Err(why) => {
                    self.failing.fails(&reading.name(), why);
                    self.forget(&client);
                    tokio::time::sleep(reading.backoff.next_wait()).await;
                }
            }
        }
    }
}

impl Reading<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.id.topic, self.id.number)
    }

    /// Reads until something fails, and says what; `Ok` when nobody takes anything.
    async fn run(&mut self, client: &Arc<Client>) -> Result<(), String> {
        let unknown = UnknownTopicHandling::Error;
        let partition = client.partition_client(&self.id.topic, self.id.number, unknown);
        let partition = within(partition).await?;
        loop {
            match self.bookmark.back().await {
                Back::No => {}
                Back::Begin => self.go_back(None).await,
                Back::To(place) => self.go_back(Some(place.next)).await,
            }
            let next = match self.next {
                Some(next) => next,
                None => self.begin(&partition).await?,
            };
            let bytes = 1..self.kafka.fetched_bytes_max();
            let wait_ms = WAIT.as_millis() as i32;
            let fetched = partition.fetch_records(next, bytes, wait_ms);
            let fetched = match tokio::time::timeout(REQUEST_MAX, fetched).await {
                Ok(Ok(fetched)) => fetched,
                Ok(Err(error)) if connect::is_out_of_range(&error) => {
                    self.find_again(&partition, next).await?;
                    continue;
                }
                Ok(Err(error)) => return Err(unreadable(next, &error)),
                Err(_) => return Err(format!("no answer within {} s", REQUEST_MAX.as_secs())),
            };
            self.kafka.failing.works(&self.name());
            self.backoff = Backoff::new();
            let (records, end) = fetched;
            if records.is_empty() {
                // What is there besides messages, such as the marks of transactions, is answered at once.
                if end > next {
                    tokio::time::sleep(WAIT).await;
                }
                continue;
            }
            if let Taken::Closed = self.hand_over(records).await {
                return Ok(());
            }
        }
    }

    /// Where to begin in a partition that was never read.
    async fn begin(&mut self, partition: &PartitionClient) -> Result<i64, String> {
        let at = match self.from {
            TailFrom::Start => OffsetAt::Earliest,
            TailFrom::End => OffsetAt::Latest,
        };
        let next = within(partition.get_offset(at)).await?;
        self.next = Some(next);
        self.bookmark.passed(Place { next }).await;
        Ok(next)
    }

    /// Messages were deleted before they were read, or the topic was made anew: goes on with the oldest.
    async fn find_again(&mut self, partition: &PartitionClient, next: i64) -> Result<(), String> {
        let oldest = within(partition.get_offset(OffsetAt::Earliest)).await?;
        let name = self.name();
        let sender = &self.kafka.sender;
        if oldest > next {
            let missed = oldest - next;
            let why = format!("{name}: {missed} messages were deleted before they were read");
            sender.lose(missed.unsigned_abs(), &why);
        } else {
            let why = format!(
                "{name} ends before message {next}, which was to be read: it was made anew, and is read from its beginning"
            );
            sender.lose(1, &why);
        }
        self.next = Some(oldest);
        self.bookmark.passed(Place { next: oldest }).await;
        Ok(())
    }

    /// Reads again what could not be recorded.
    async fn go_back(&mut self, place: Option<i64>) {
        let count = match (self.next, place) {
            (Some(next), Some(place)) => (next - place).unsigned_abs(),
            _ => 1,
        };
        self.next = place;
        let why = "it could not be recorded: the topic has it still, and it is read again";
        self.kafka.sender.send_back(count, why);
        tokio::time::sleep(AGAIN_AFTER).await;
    }

    async fn hand_over(&mut self, records: Vec<RecordAndOffset>) -> Taken {
        let mut signals: Vec<Signal> = Vec::new();
        let sender = &self.kafka.sender;
        let mut next = self.next.unwrap_or_default();
        for RecordAndOffset { record, offset } in records {
            next = offset + 1;
            // A message without a value says that there is none any more under its key.
            let Some(value) = &record.value else { continue };
            match self.kafka.payload.read(value, published(&record)) {
                Ok(taken) => {
                    if let Some(why) = &taken.why {
                        sender.reject(
                            taken.refused,
                            &format!("{}, message {offset}: {why}", self.name()),
                        );
                    }
                    signals.extend(taken.signals);
                }
                Err(why) => sender.reject(1, &format!("{}, message {offset}: {why}", self.name())),
            }
        }
        self.next = Some(next);
        let place = Place { next };
        if signals.is_empty() {
            self.bookmark.passed(place).await;
            return Taken::Yes;
        }
        let sent = match self.kafka.config.when_full {
            WhenFull::Block => sender.send_for_receipt(signals).await,
            WhenFull::Drop => sender.send_or_lose_for_receipt(signals),
        };
        match sent {
            Ok(kept) => self.bookmark.handed_over(place, kept).await,
            // What is lost is counted, and is not read again.
            Err(SendError::Full) => self.bookmark.passed(place).await,
            Err(SendError::Closed) => return Taken::Closed,
        }
        Taken::Yes
    }
}

fn unreadable(next: i64, error: &Error) -> String {
    format!("from message {next}: {}", connect::told(error))
}

/// When a message was published.
fn published(record: &Record) -> Time {
    Time::from_ms(record.timestamp.timestamp_millis())
}
