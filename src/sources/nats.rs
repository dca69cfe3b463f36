//! NATS JetStream: a durable consumer that is asked for messages, each acknowledged only once the recorder
//! has what it held on the disk.
//!
//! What cannot be read is told, counted and ended (it would be as bad the next time); what could not be
//! recorded is handed back and comes again. While the engine is behind, nothing is asked for: the stream
//! has it still.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, AckKind, Message};
use futures_util::StreamExt;

use super::backoff::Backoff;
use super::client::token;
use super::message::Payload;
use super::{SendError, SignalSender};
use crate::config::{NatsConfig, TailFrom, WhenFull};
use crate::model::{Signal, Time};
use crate::store::recorder::Kept;

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a question waits for messages.
const WAIT: Duration = Duration::from_secs(1);
/// How long the server waits for an acknowledgement before it sends a message again.
const ACK_WAIT: Duration = Duration::from_mins(1);
/// Longest answer to one question, in bytes.
const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Batches that wait for the recorder; then the next one waits as well.
const WAITING_MAX: usize = 16;
/// When a message comes again that could not be recorded.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &NatsConfig) -> String {
    format!("nats {}", config.name)
}

/// Reads a stream until the future is dropped, or nobody takes anything any more.
pub(super) async fn follow(config: NatsConfig, payload: Payload, sender: SignalSender) {
    let mut backoff = Backoff::new();
    loop {
        let why = match consumer(&config).await {
            Ok(consumer) => {
                sender.recovered();
                let mut following = Following {
                    config: &config,
                    consumer,
                    payload: &payload,
                    sender: &sender,
                    waiting: VecDeque::new(),
                };
                match following.run(&mut backoff).await {
                    Some(why) => why,
                    // Nobody takes anything any more.
                    None => return,
                }
            }
            Err(why) => why,
        };
        sender.fail(&format!("{}: {why}", config.url));
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// Connects, and finds the durable consumer, or makes it.
async fn consumer(config: &NatsConfig) -> Result<PullConsumer, String> {
    // A second call finds the provider installed; that is what it wants.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ConnectOptions::new()
        .name("stormglass")
        .connection_timeout(CONNECT_MAX)
        .request_timeout(Some(CONNECT_MAX));
    if let Some(file) = &config.token_file {
        options = options.token(token(file).await?);
    }
    if let Some(file) = &config.creds_file {
        let read = options.credentials_file(file).await;
        options = read.map_err(|error| format!("`creds_file` {}: {error}", file.display()))?;
    }
    if let Some(file) = &config.ca_file {
        options = options.add_root_certificates(file.clone());
    }
    let client = options.connect(&config.url).await;
    let client = client.map_err(|error| in_full(&error))?;
    let stream = jetstream::new(client).get_stream(&config.stream).await;
    let stream =
        stream.map_err(|error| format!("stream {:?}: {}", config.stream, in_full(&error)))?;
    let wanted = pull::Config {
        durable_name: Some(config.durable.clone()),
        filter_subject: config.subject.clone().unwrap_or_default(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        deliver_policy: match config.from {
            TailFrom::Start => DeliverPolicy::All,
            TailFrom::End => DeliverPolicy::New,
        },
        max_ack_pending: i64::from(config.messages_max) * (WAITING_MAX as i64 + 2),
        ..pull::Config::default()
    };
    let consumer = stream
        .get_or_create_consumer(&config.durable, wanted)
        .await
        .map_err(|error| format!("consumer {:?}: {}", config.durable, in_full(&error)))?;
    let found = &consumer.cached_info().config;
    if found.ack_policy != AckPolicy::Explicit {
        return Err(format!(
            "consumer {:?} is there already and does not acknowledge each message: name another by `durable`",
            config.durable
        ));
    }
    if found.filter_subject != config.subject.as_deref().unwrap_or_default() {
        return Err(format!(
            "consumer {:?} is there already for the subject {:?}: name another by `durable`",
            config.durable, found.filter_subject
        ));
    }
    Ok(consumer)
}

/// An error with everything that led to it.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Reading over one connection.
struct Following<'a> {
    config: &'a NatsConfig,
    consumer: PullConsumer,
    payload: &'a Payload,
    sender: &'a SignalSender,
    /// Messages whose content was handed over and is not known to be recorded, oldest first.
    waiting: VecDeque<(Vec<Message>, Kept)>,
}

impl Following<'_> {
    /// Reads until something fails, and says what; `None` when nobody takes anything.
    async fn run(&mut self, backoff: &mut Backoff) -> Option<String> {
        loop {
            if let Err(why) = self.settle().await {
                return Some(why);
            }
            let messages = match self.ask().await {
                Ok(messages) => messages,
                Err(why) => return Some(why),
            };
            if messages.is_empty() {
                continue;
            }
            *backoff = Backoff::new();
            match self.hand_over(messages).await {
                Ok(taken) => taken?,
                Err(why) => return Some(why),
            }
        }
    }

    /// Messages that come within a moment.
    async fn ask(&self) -> Result<Vec<Message>, String> {
        let batch = self
            .consumer
            .batch()
            .max_messages(self.config.messages_max as usize)
            .max_bytes(BATCH_BYTES_MAX)
            .expires(WAIT)
            .messages()
            .await;
        let mut batch = batch.map_err(|error| in_full(&error))?;
        let mut messages = Vec::new();
        while let Some(message) = batch.next().await {
            messages.push(message.map_err(|error| in_full(&*error))?);
        }
        Ok(messages)
    }

    /// Hands over what messages hold; they are acknowledged later. `Ok(None)` when nobody takes it.
    async fn hand_over(&mut self, messages: Vec<Message>) -> Result<Option<()>, String> {
        let mut signals: Vec<Signal> = Vec::new();
        let mut held = Vec::new();
        for message in messages {
            match self.payload.read(&message.payload, published(&message)) {
                Ok(taken) => {
                    if let Some(why) = &taken.why {
                        self.sender.reject(taken.refused, why);
                    }
                    signals.extend(taken.signals);
                    held.push(message);
                }
                Err(why) => {
                    let subject: String = message.subject.chars().take(100).collect();
                    self.sender.reject(1, &format!("{subject}: {why}"));
                    answer(&message, AckKind::Term).await?;
                }
            }
        }
        let sent = match self.config.when_full {
            WhenFull::Block => self.sender.send_for_receipt(signals).await,
            WhenFull::Drop => self.sender.send_or_lose_for_receipt(signals),
        };
        match sent {
            Ok(kept) => self.waiting.push_back((held, kept)),
            // What is lost is counted, and does not come again.
            Err(SendError::Full) => {
                for message in &held {
                    answer(message, AckKind::Ack).await?;
                }
            }
            Err(SendError::Closed) => return Ok(None),
        }
        Ok(Some(()))
    }

    /// Acknowledges what is recorded, and hands back what could not be.
    async fn settle(&mut self) -> Result<(), String> {
        while let Some((_, kept)) = self.waiting.front_mut() {
            let is_kept = match kept.so_far() {
                Some(is_kept) => is_kept,
                None if self.waiting.len() > WAITING_MAX => {
                    let Some((_, kept)) = self.waiting.front_mut() else {
                        return Ok(());
                    };
                    kept.known().await
                }
                None => return Ok(()),
            };
            let Some((messages, _)) = self.waiting.pop_front() else {
                return Ok(());
            };
            for message in &messages {
                let kind = if is_kept {
                    AckKind::Ack
                } else {
                    AckKind::Nak(Some(AGAIN_AFTER))
                };
                answer(message, kind).await?;
            }
            if !is_kept {
                let count = messages.len() as u64;
                let why = "it could not be recorded: the stream keeps it and sends it again";
                self.sender.send_back(count, why);
            }
        }
        Ok(())
    }
}

async fn answer(message: &Message, kind: AckKind) -> Result<(), String> {
    let answered = message.ack_with(kind).await;
    answered.map_err(|error| format!("cannot acknowledge: {error}"))
}

/// When a message was published.
fn published(message: &Message) -> Time {
    let info = message.info().ok();
    let ns = info.map_or(0, |info| info.published.unix_timestamp_nanos());
    Time::from_ms(i64::try_from(ns / 1_000_000).unwrap_or(0))
}
