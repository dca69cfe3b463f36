//! Webhooks of Alertmanager (version 4) and of Grafana, which has the same shape and more.
//!
//! An alert that is missing from a notification is not resolved by that: notifications are cut
//! (`max_alerts`) and grouped. What a notification says it left out is counted as lost. An alert that cannot be used
//! never costs those beside it.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Hook, instant};
use crate::model::{Alert, Fingerprint, Labels, Signal, Time, counted};
use crate::sources::http::Refusal;

/// Most reasons given in one answer.
const REASONS_MAX: usize = 5;

/// Where notifications are taken.
pub(super) const PATH: &str = "/webhook/alerts";

/// A notification. Fields that we do not need are whatever the sender's version makes of them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    alerts: Vec<Value>,
    #[serde(default)]
    truncated_alerts: u64,
}

/// What a notification held beside the alerts that are taken.
#[derive(Default)]
struct Rest {
    /// How many it says it left out.
    left_out: u64,
    /// How many cannot be used.
    refused: u64,
    /// Why, the first few.
    reasons: Vec<String>,
}

/// An alert of a notification.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    status: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: Option<BTreeMap<String, String>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<Box<str>>,
}

#[derive(Clone)]
struct Receiver {
    hook: Hook,
    /// How long an alert fires that nobody resolves: longer than until it is notified again.
    hold_ms: i64,
}

pub(super) fn routes(hook: Hook, hold_ms: i64) -> Router {
    Router::new()
        .route(PATH, post(receive))
        .with_state(Receiver { hook, hold_ms })
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    let mut rest = Rest::default();
    let sender = receiver.hook.sender.clone();
    let taken = receiver
        .hook
        .take(request, |_, body, now| {
            let (signals, beside) = read(body, now, receiver.hold_ms)?;
            rest = beside;
            Ok(signals)
        })
        .await;
    match taken {
        Ok(count) => {
            if rest.left_out > 0 {
                let alerts = counted(rest.left_out, "alert", "alerts");
                let why = format!("a notification left out {alerts} (`max_alerts`)");
                sender.lose(rest.left_out, &why);
            }
            if rest.refused == 0 {
                return Json(json!({ "taken": count })).into_response();
            }
            let error = rest.reasons.join("; ");
            sender.reject(rest.refused, &error);
            let said = json!({ "taken": count, "refused": rest.refused, "error": error });
            (StatusCode::BAD_REQUEST, Json(said)).into_response()
        }
        Err(refusal) => refusal.answer(Json(json!({ "error": refusal.to_string() }))),
    }
}

/// The alerts of a notification, and what else it held.
fn read(body: &[u8], now: Time, hold_ms: i64) -> Result<(Vec<Signal>, Rest), Refusal> {
    let sent: Notification = serde_json::from_slice(body).map_err(|e| {
        Refusal::Malformed(format!(
            "not a notification of Alertmanager or Grafana: {e}"
        ))
    })?;
    let mut signals = Vec::new();
    let mut rest = Rest {
        left_out: sent.truncated_alerts,
        ..Rest::default()
    };
    for (i, sent) in sent.alerts.into_iter().enumerate() {
        let sent = serde_json::from_value(sent).map_err(|e| e.to_string());
        match sent.and_then(|sent| alert(sent, now, hold_ms)) {
            Ok(alert) => signals.push(Signal::Alert(Box::new(alert))),
            Err(why) => {
                rest.refused += 1;
                if rest.reasons.len() < REASONS_MAX {
                    rest.reasons.push(format!("alert {i}: {why}"));
                }
            }
        }
    }
    Ok((signals, rest))
}

fn alert(sent: Sent, now: Time, hold_ms: i64) -> Result<Alert, String> {
    let labels = pack(&sent.labels)?;
    if labels.is_empty() {
        return Err("at least one label with a value is needed".to_owned());
    }
    let starts_at = instant("startsAt", sent.starts_at.as_deref())?.unwrap_or(now);
    let ended = instant("endsAt", sent.ends_at.as_deref())?;
    let ends_at = match sent.status.as_deref() {
        // The status decides; the end is when it says so, or now.
        Some("resolved") => ended.unwrap_or(now).min(now),
        Some("firing") | None => ended
            .filter(|end| *end > now)
            .unwrap_or(now.plus_ms(hold_ms)),
        Some(other) => return Err(format!("status {other:?} is neither firing nor resolved")),
    };
    Ok(Alert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: pack(&sent.annotations.unwrap_or_default())?,
        starts_at: starts_at.min(ends_at),
        ends_at,
        generator_url: sent.generator_url.filter(|url| !url.is_empty()),
    })
}

fn pack(pairs: &BTreeMap<String, String>) -> Result<Labels, String> {
    let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
    Labels::from_pairs(pairs.map(|(n, v)| (n.as_str(), v.as_str()))).map_err(|e| e.to_string())
}
