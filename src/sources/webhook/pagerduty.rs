//! PagerDuty's Events API v2, inbound: who can page PagerDuty can tell us, by another address.
//!
//! An alert is known by its `dedup_key` alone, since that is all a resolve brings. An acknowledgement
//! changes nothing here: people acknowledge incidents in the console.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Hook, head, instant};
use crate::model::{
    Alert, Change, ChangeKind, EntityId, EntityKind, Fingerprint, Labels, LabelsBuilder, Signal,
    Time,
};
use crate::sources::http::Refusal;

/// Where alerts are taken.
pub(super) const ALERT_PATH: &str = "/v2/enqueue";
/// Where changes are taken.
const CHANGE_PATH: &str = "/v2/change/enqueue";

/// Longest `dedup_key`, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// Longest summary that names an alert, in bytes.
const NAME_BYTES_MAX: usize = 120;
/// Longest title of a change, in bytes.
const TITLE_BYTES_MAX: usize = 1_024;
/// Most labels read from the details.
const DETAIL_LABELS_MAX: usize = 32;
/// Details that say whose alert or change it is.
const ENTITY_DETAILS: [&str; 8] = [
    "service",
    "host",
    "instance",
    "namespace",
    "pod",
    "cluster",
    "database",
    "environment",
];

#[derive(Clone)]
struct Receiver {
    hook: Hook,
    /// How long an alert fires that nobody resolves.
    hold_ms: i64,
}

/// An event about an alert.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event_action")]
    action: String,
    dedup_key: Option<String>,
    payload: Option<Payload>,
    client_url: Option<Box<str>>,
}

/// An event about a change.
#[derive(Deserialize)]
struct ChangeEvent {
    payload: Payload,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Payload {
    summary: Option<String>,
    source: Option<String>,
    severity: Option<String>,
    timestamp: Option<String>,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    custom_details: Value,
}

pub(super) fn routes(hook: Hook, hold_ms: i64) -> Router {
    Router::new()
        .route(ALERT_PATH, post(take_alert))
        .route(CHANGE_PATH, post(take_change))
        .with_state(Receiver { hook, hold_ms })
}

async fn take_alert(State(receiver): State<Receiver>, request: Request) -> Response {
    let mut key = String::new();
    let taken = receiver
        .hook
        .take(request, |_, body, now| {
            let event: Event = serde_json::from_slice(body)
                .map_err(|e| Refusal::Malformed(format!("not an event: {e}")))?;
            key = dedup_key(&event).map_err(Refusal::Malformed)?;
            let alert = alert(event, &key, now, receiver.hold_ms).map_err(Refusal::Malformed)?;
            Ok(alert
                .map(|alert| Signal::Alert(Box::new(alert)))
                .into_iter()
                .collect())
        })
        .await;
    answer(taken, json!({ "dedup_key": key }))
}

async fn take_change(State(receiver): State<Receiver>, request: Request) -> Response {
    let taken = receiver
        .hook
        .take(request, |_, body, now| {
            let event: ChangeEvent = serde_json::from_slice(body)
                .map_err(|e| Refusal::Malformed(format!("not a change event: {e}")))?;
            let change = change(&event.payload, now).map_err(Refusal::Malformed)?;
            Ok(vec![Signal::Change(Box::new(change))])
        })
        .await;
    answer(taken, json!({}))
}

/// Answers as PagerDuty does, so that senders retry what they should and nothing else.
fn answer(taken: Result<usize, Refusal>, mut said: Value) -> Response {
    match taken {
        Ok(_) => {
            said["status"] = json!("success");
            said["message"] = json!("Event processed");
            (StatusCode::ACCEPTED, Json(said)).into_response()
        }
        Err(refusal) => refusal.answer(Json(json!({
            "status": "invalid event",
            "message": "Event object is invalid",
            "errors": [refusal.to_string()],
        }))),
    }
}

/// What the alert is known by: as sent, else made from what it is about.
fn dedup_key(event: &Event) -> Result<String, String> {
    if let Some(key) = event.dedup_key.as_ref().filter(|key| !key.is_empty()) {
        if key.len() > KEY_BYTES_MAX {
            return Err(format!("dedup_key is longer than {KEY_BYTES_MAX} bytes"));
        }
        return Ok(key.clone());
    }
    let Some(payload) = event.payload.as_ref().filter(|_| event.action == "trigger") else {
        return Err(format!("{:?} needs a dedup_key", event.action));
    };
    let parts = [
        &payload.source,
        &payload.class,
        &payload.component,
        &payload.summary,
    ];
    let parts = parts.map(|part| part.as_deref().unwrap_or_default());
    Ok(format!("{:016x}", xxh3_64(parts.join("\u{1f}").as_bytes())))
}

/// The alert of an event; `None` for one that changes nothing.
fn alert(event: Event, key: &str, now: Time, hold_ms: i64) -> Result<Option<Alert>, String> {
    let payload = event.payload.unwrap_or_default();
    let is_over = match event.action.as_str() {
        "trigger" => false,
        "resolve" => true,
        "acknowledge" => return Ok(None),
        other => {
            return Err(format!(
                "event_action {other:?} is none of trigger, acknowledge, resolve"
            ));
        }
    };
    if !is_over {
        payload.check()?;
    }
    let identity = Labels::from_pairs([("dedup_key", key)]).map_err(|e| e.to_string())?;
    let summary = payload.summary.as_deref().unwrap_or_default();
    let annotations = Labels::from_pairs([("summary", head(summary, TITLE_BYTES_MAX))]);
    let at = instant("timestamp", payload.timestamp.as_deref())?.unwrap_or(now);
    let ends_at = if is_over { now } else { now.plus_ms(hold_ms) };
    Ok(Some(Alert {
        fingerprint: Fingerprint::of(&identity),
        labels: payload.labels(key)?,
        annotations: annotations.map_err(|e| e.to_string())?,
        starts_at: at.min(ends_at),
        ends_at,
        generator_url: event.client_url.filter(|url| !url.is_empty()),
    }))
}

fn change(payload: &Payload, now: Time) -> Result<Change, String> {
    let summary = payload.summary.as_deref().unwrap_or_default();
    if summary.is_empty() {
        return Err("payload.summary is needed".to_owned());
    }
    let details = payload.details();
    let detail = |name: &str| details.get(name).map(String::as_str);
    let service = detail("service").or(payload.component.as_deref());
    let service = service
        .or(payload.group.as_deref())
        .or(payload.source.as_deref());
    let service = service.ok_or("payload.source, or custom_details.service, is needed")?;
    let at = instant("timestamp", payload.timestamp.as_deref())?.unwrap_or(now);
    let kind = detail("kind").or(payload.class.as_deref());
    let kind = kind.and_then(|word| ChangeKind::ALL.into_iter().find(|k| k.as_str() == word));
    let version = detail("version").or_else(|| detail("build_number"));
    let content = [
        service,
        summary,
        version.unwrap_or_default(),
        &at.ms().to_string(),
    ];
    let labels = details.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    Ok(Change {
        id: format!(
            "pagerduty-{:016x}",
            xxh3_64(content.join("\u{1f}").as_bytes())
        )
        .into(),
        at,
        kind: kind.unwrap_or(ChangeKind::Other),
        entity: EntityId::new(EntityKind::Service, service),
        title: head(summary, TITLE_BYTES_MAX).into(),
        version: version.map(Box::from),
        previous_version: detail("previous_version").map(Box::from),
        by: detail("by").or_else(|| detail("user")).map(Box::from),
        labels: Labels::from_pairs(labels).map_err(|e| e.to_string())?,
    })
}

impl Payload {
    /// What PagerDuty demands of a trigger.
    fn check(&self) -> Result<(), String> {
        for (name, text) in [("summary", &self.summary), ("source", &self.source)] {
            if text.as_ref().is_none_or(String::is_empty) {
                return Err(format!("payload.{name} is needed"));
            }
        }
        match self.severity.as_deref() {
            Some("critical" | "error" | "warning" | "info") => Ok(()),
            other => Err(format!(
                "payload.severity {:?} is none of critical, error, warning, info",
                other.unwrap_or_default()
            )),
        }
    }

    /// Labels of the alert: what Alertmanager wrote into the details, else what the payload says.
    fn labels(&self, key: &str) -> Result<Labels, String> {
        let details = self.details();
        let mut builder = LabelsBuilder::default();
        let summary = self.summary.as_deref().unwrap_or(key);
        let name = self
            .class
            .as_deref()
            .unwrap_or(head(summary, NAME_BYTES_MAX));
        // Who relays what an Alertmanager told says of itself what would pass for what the alert is about.
        let is_relayed = details.contains_key("alertname");
        let own = |text: &Option<String>| text.clone().filter(|_| !is_relayed);
        let (group, source) = (own(&self.group), own(&self.source));
        let service = own(&self.component).or_else(|| group.clone());
        let of_payload = [
            ("alertname", Some(name)),
            ("severity", self.severity.as_deref()),
            ("service", service.as_deref()),
            ("instance", source.as_deref()),
            ("group", group.as_deref()),
        ];
        for (label, value) in of_payload {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                builder.add(label, value);
            }
        }
        for (label, value) in &details {
            builder.add(label, value);
        }
        builder.build().map_err(|e| e.to_string())
    }

    /// Details that say what it is about.
    fn details(&self) -> BTreeMap<String, String> {
        let Value::Object(details) = &self.custom_details else {
            return BTreeMap::new();
        };
        let texts = |name: &str| {
            details
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let mut labels = of_alertmanager(texts("firing"));
        if labels.is_empty() {
            labels = of_alertmanager(texts("resolved"));
        }
        let named = ENTITY_DETAILS.iter().chain(&[
            "version",
            "build_number",
            "previous_version",
            "by",
            "user",
            "kind",
        ]);
        for name in named {
            if let Some(value) = details.get(*name).and_then(Value::as_str) {
                labels.insert((*name).to_owned(), value.to_owned());
            }
        }
        labels
    }
}

/// The labels of the first alert in what Alertmanager's template writes: ` - name = value` lines
/// between `Labels:` and `Annotations:`.
fn of_alertmanager(text: &str) -> BTreeMap<String, String> {
    let lines = text
        .lines()
        .skip_while(|line| line.trim() != "Labels:")
        .skip(1);
    let pairs = lines.map_while(|line| line.trim_start().strip_prefix("- ")?.split_once(" = "));
    pairs
        .take(DETAIL_LABELS_MAX)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
