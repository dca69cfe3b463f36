//! Heartbeats: jobs that say they are well, and alerts about those that fall silent (dead man's switch).
//!
//! `POST /heartbeat/NAME` (or GET, for what can only fetch) is a beat. Who is overdue is an alert, told
//! again as long as it lasts, and over with the next beat. After a restart each has its whole time again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::{Clock, SignalSender};
use crate::config::HeartbeatConfig;
use crate::model::{Alert, Fingerprint, Labels, Signal, Time, spelled};

/// Where beats are taken, before their name.
const PREFIX: &str = "/heartbeat/";
/// Time between two looks at who is overdue, in milliseconds.
const LOOK_EVERY_MS: u64 = 1_000;
/// Time between two tellings of the same alert, in milliseconds …
const TELL_EVERY_MS: i64 = 60_000;
/// … each of which holds so long.
const HOLD_MS: i64 = 180_000;
/// Name of the alerts.
const ALERT_NAME: &str = "HeartbeatMissing";

/// One heartbeat that is waited for; cheap to clone.
#[derive(Clone)]
pub(super) struct Heartbeat {
    config: Arc<HeartbeatConfig>,
    sender: SignalSender,
    /// When it was heard last, or began to be waited for.
    heard_ms: Arc<AtomicI64>,
    /// Whether it was heard at all since then.
    is_heard: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Receiver {
    heartbeats: Arc<BTreeMap<String, Heartbeat>>,
    clock: Clock,
}

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &HeartbeatConfig) -> String {
    format!("heartbeat {}", config.name)
}

/// Where a heartbeat is taken.
pub(super) fn path(config: &HeartbeatConfig) -> String {
    format!("{PREFIX}{}", config.name)
}

/// The receiver's routes. Of two sections with one name the first counts.
pub(super) fn routes(heartbeats: Vec<Heartbeat>, clock: Clock) -> Router {
    let mut by_name = BTreeMap::new();
    for heartbeat in heartbeats {
        by_name
            .entry(heartbeat.config.name.clone())
            .or_insert(heartbeat);
    }
    let heartbeats = Arc::new(by_name);
    Router::new()
        .route(&format!("{PREFIX}{{name}}"), get(beat).post(beat))
        .with_state(Receiver { heartbeats, clock })
}

async fn beat(State(receiver): State<Receiver>, Path(name): Path<String>) -> Response {
    let Some(heartbeat) = receiver.heartbeats.get(&name) else {
        let error = format!("no [[sources.heartbeat]] is named {name:?}");
        return (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response();
    };
    let now = (receiver.clock)();
    heartbeat.heard_at(now);
    heartbeat.sender.hear(now);
    // The end of an alert that was told, or nothing new; both show that it was heard. What finds no room
    // now is told by the watch in a moment.
    let _ = heartbeat.sender.try_send(vec![heartbeat.alert(now, now)]);
    StatusCode::NO_CONTENT.into_response()
}

impl Heartbeat {
    pub(super) fn new(config: HeartbeatConfig, sender: SignalSender, now: Time) -> Self {
        sender.await_from(now);
        Self {
            config: Arc::new(config),
            sender,
            heard_ms: Arc::new(AtomicI64::new(now.ms())),
            is_heard: Arc::default(),
        }
    }

    fn heard_at(&self, now: Time) {
        self.heard_ms.store(now.ms(), Ordering::Relaxed);
        self.is_heard.store(true, Ordering::Relaxed);
    }

    /// Tells when it is overdue, until the future is dropped.
    pub(super) async fn watch(self, clock: Clock) {
        let mut told_at = None;
        loop {
            tokio::time::sleep(Duration::from_millis(LOOK_EVERY_MS)).await;
            if let Some(signal) = self.look(clock(), &mut told_at)
                && self.sender.send_ours(vec![signal]).await.is_err()
            {
                return;
            }
        }
    }

    /// How long it may be silent, in milliseconds.
    pub(super) fn patience_ms(config: &HeartbeatConfig) -> i64 {
        (i64::from(config.every_s) + i64::from(config.grace_s)) * 1_000
    }

    /// What is to be told now; `told_at` is when its absence was told last.
    fn look(&self, now: Time, told_at: &mut Option<Time>) -> Option<Signal> {
        let heard = Time::from_ms(self.heard_ms.load(Ordering::Relaxed));
        if now.since(heard) <= Self::patience_ms(&self.config) {
            // Told again, in case the beat itself found no room.
            return told_at.take().map(|_| self.alert(now, now));
        }
        if told_at.is_some_and(|at| now.since(at) < TELL_EVERY_MS) {
            return None;
        }
        *told_at = Some(now);
        Some(self.alert(now, now.plus_ms(HOLD_MS)))
    }

    fn alert(&self, now: Time, ends_at: Time) -> Signal {
        let heard = Time::from_ms(self.heard_ms.load(Ordering::Relaxed));
        let due = heard.plus_ms(i64::from(self.config.every_s) * 1_000);
        let config = &self.config;
        let own = [
            ("alertname", ALERT_NAME),
            ("heartbeat", config.name.as_str()),
            ("severity", config.severity.as_str()),
        ];
        let given = config.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        // They were read from the config; what is too long for a label is left out.
        let labels = Labels::from_pairs(own.into_iter().chain(given));
        let labels = labels
            .or_else(|_| Labels::from_pairs(own))
            .unwrap_or_default();
        let (name, at) = (&config.name, heard.to_utc().format("%d %b %H:%M UTC"));
        let every = spelled(i64::from(config.every_s) * 1_000);
        let summary = if self.is_heard.load(Ordering::Relaxed) {
            format!("{name} was last heard {at}, and should be every {every}")
        } else {
            format!("{name} was never heard since we started, {at}, and should be every {every}")
        };
        let annotations = Labels::from_pairs([("summary", summary.as_str())]).unwrap_or_default();
        Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations,
            starts_at: due.min(now),
            ends_at,
            generator_url: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceHealth;
    use crate::sources::{Rhythm, signal_queue};

    #[test]
    fn who_is_overdue_is_told_until_the_next_beat() {
        let (registry, _queue) = signal_queue();
        let config = toml::from_str(
            "name = \"backup\"\nevery_s = 100\ngrace_s = 20\nlabels = { service = \"backup\" }\n",
        );
        let sender = registry.source("heartbeat backup", Rhythm::Sporadic, "");
        let heartbeat = Heartbeat::new(config.unwrap(), sender, Time::ZERO);
        let (mut told_at, mut said) = (None, String::new());
        // Seconds, and whether the alert that is told then fires; `None` for nothing.
        let mut look = |at_s: i64| {
            let now = Time::from_secs(at_s);
            let signal = heartbeat.look(now, &mut told_at)?;
            let Signal::Alert(alert) = signal else {
                panic!("not an alert: {signal:?}");
            };
            assert_eq!(alert.labels.get("service"), Some("backup"));
            let summary = alert
                .annotations
                .get("summary")
                .unwrap_or_default()
                .to_owned();
            said = summary;
            Some((alert.is_firing(now), alert.starts_at.ms() / 1_000))
        };
        assert_eq!(look(120), None, "within its grace");
        assert_eq!(look(121), Some((true, 100)));
        assert_eq!(look(180), None, "told already");
        assert_eq!(look(181), Some((true, 100)), "told again");
        heartbeat.heard_at(Time::from_secs(190));
        assert_eq!(look(191), Some((false, 191)));
        assert_eq!(look(192), None);
        assert_eq!(look(311), Some((true, 290)));
        assert_eq!(
            said,
            "backup was last heard 01 Jan 00:03 UTC, and should be every 1 minute"
        );
    }

    #[tokio::test]
    async fn one_that_never_beat_says_so_and_does_not_live_by_what_we_say() {
        let (registry, mut queue) = signal_queue();
        let config = toml::from_str("name = \"backup\"\nevery_s = 60\n").unwrap();
        let rhythm = Rhythm::Declared(Heartbeat::patience_ms(&config));
        let sender = registry.source("heartbeat backup", rhythm, "here");
        let heartbeat = Heartbeat::new(config, sender.clone(), Time::ZERO);
        let health = |s: i64| registry.rows(Time::from_secs(s)).remove(0).health;
        let patience_s = Heartbeat::patience_ms(&heartbeat.config) / 1_000;
        assert_eq!(health(patience_s), SourceHealth::Waiting);
        assert_eq!(health(patience_s + 1), SourceHealth::Blind);
        let now = Time::from_secs(121);
        let signal = heartbeat.look(now, &mut None).unwrap();
        let Signal::Alert(alert) = &signal else {
            panic!("not an alert: {signal:?}");
        };
        assert_eq!(
            alert.annotations.get("summary"),
            Some(
                "backup was never heard since we started, 01 Jan 00:00 UTC, and should be every 1 minute"
            )
        );
        sender.send_ours(vec![signal]).await.unwrap();
        let batch = queue.try_recv().unwrap();
        assert_eq!(batch.take(now).signals.len(), 1);
        let row = registry.rows(now).pop().unwrap();
        assert_eq!(
            (row.health, row.last_seen, row.taken),
            (SourceHealth::Blind, None, 0),
            "what we say ourselves is not taken of it"
        );
        heartbeat.heard_at(now);
        sender.try_send(vec![heartbeat.alert(now, now)]).unwrap();
        queue.try_recv().unwrap().take(now);
        let row = registry.rows(now).pop().unwrap();
        assert_eq!(
            (row.health, row.last_seen, row.taken),
            (SourceHealth::Live, Some(now), 1)
        );
    }
}
