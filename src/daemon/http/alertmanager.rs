//! Alertmanager's API v2 for those who read: alerts, groups, receivers, for `amtool` and its like;
//! silences are beside it.
//!
//! An alert is held by its labels; of its annotations the summary is kept, and the link to its rule beside it. A group is an incident.
//! Answers are written page by page, so that a storm of alerts is never in memory as text.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::answer::{AlertmanagerError, ApiError};
use super::routes::{Api, Caller};
use crate::model::{AlertRow, Fingerprint, HoldStage, IncidentId, LabelFilter, Silence};

/// Alerts asked of the engine at once.
const PAGE_ALERTS: usize = 1_000;
/// Most incidents in the answer for groups; the newest.
const GROUPS_MAX: usize = 1_000;
/// Most alerts of one group.
const GROUP_ALERTS_MAX: usize = 1_000;
/// Most matchers of a request.
const MATCHERS_MAX: usize = 64;
/// The one receiver there is: people.
const RECEIVER: &str = "stormglass";

/// What a request wants to see.
#[derive(Debug, Default)]
struct Wanted {
    matchers: Vec<LabelFilter>,
    /// States that are not asked for, as their parameters are called.
    hides: Vec<&'static str>,
    /// Not for us.
    other_receiver: bool,
}

/// The routes; who asks needs to be known, as everywhere in the API.
pub fn alertmanager_routes() -> Router<Api> {
    Router::new()
        .route("/api/v2/alerts", get(alerts))
        .route("/api/v2/alerts/groups", get(groups))
        .route("/api/v2/receivers", get(receivers))
}

async fn alerts(
    State(api): State<Api>,
    _: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, AlertmanagerError> {
    let wanted = Wanted::read(query.as_deref()).map_err(ApiError::bad_request)?;
    let start = Pages {
        api,
        wanted,
        after: None,
        is_first: true,
        is_done: false,
    };
    let pages = futures_util::stream::unfold(start, |mut pages| async move {
        let text = pages.next().await?;
        Some((Ok::<_, Infallible>(text), pages))
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, Body::from_stream(pages)).into_response())
}

/// The alerts as text, page by page.
struct Pages {
    api: Api,
    wanted: Wanted,
    /// What the last page ended with.
    after: Option<Fingerprint>,
    is_first: bool,
    is_done: bool,
}

impl Pages {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        let after = self.after;
        let rows = self
            .api
            .door
            .query(move |engine| engine.alerts(after, PAGE_ALERTS, None));
        // The engine has stopped: the list ends in the middle, which no reader takes for a whole one.
        let rows = rows.await.ok()?;
        let mut text = String::new();
        for row in rows.iter().filter(|row| self.wanted.fits(row)) {
            text.push(if std::mem::take(&mut self.is_first) {
                '['
            } else {
                ','
            });
            text.push_str(&alert(row).to_string());
        }
        self.after = rows.last().map(|row| row.fingerprint);
        if rows.len() < PAGE_ALERTS {
            self.is_done = true;
            text.push_str(if self.is_first { "[]\n" } else { "]\n" });
        }
        Some(text.into())
    }
}

async fn groups(
    State(api): State<Api>,
    _: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Value>>, AlertmanagerError> {
    let wanted = Wanted::read(query.as_deref()).map_err(ApiError::bad_request)?;
    let mut left: VecDeque<IncidentId> = api
        .door
        .query(|engine| {
            let with_alerts = engine.incident_rows().filter(|row| row.alerts > 0);
            with_alerts.map(|row| row.id).collect()
        })
        .await?;
    // The newest are those that somebody works on.
    left.drain(..left.len().saturating_sub(GROUPS_MAX));
    let mut groups = Vec::new();
    for id in left {
        let rows = api
            .door
            .query(move |engine| engine.alerts(None, GROUP_ALERTS_MAX, Some(id)));
        let rows = rows.await?;
        let alerts: Vec<Value> = rows
            .iter()
            .filter(|row| wanted.fits(row))
            .map(alert)
            .collect();
        if !alerts.is_empty() {
            groups.push(json!({
                "labels": { "incident": id.to_string() },
                "receiver": { "name": RECEIVER },
                "alerts": alerts,
            }));
        }
    }
    Ok(Json(groups))
}

async fn receivers(_: State<Api>, _: Caller) -> Json<Value> {
    Json(json!([{ "name": RECEIVER }]))
}

impl Wanted {
    /// Reads `filter=…&active=false&receiver=…`; what we do not know is ignored, as Alertmanager does.
    fn read(query: Option<&str>) -> Result<Self, String> {
        let mut wanted = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "filter" => wanted.matchers.extend(LabelFilter::parse_all(&value)?),
                "active" if value == "false" => wanted.hides.push("active"),
                "silenced" if value == "false" => wanted.hides.push("silenced"),
                "inhibited" if value == "false" => wanted.hides.push("inhibited"),
                "receiver" => {
                    let receiver =
                        LabelFilter::new("receiver", crate::model::FilterSign::Like, &value)?;
                    let ours = crate::model::Labels::from_pairs([("receiver", RECEIVER)]);
                    wanted.other_receiver = !receiver.fits(&ours.unwrap_or_default());
                }
                _ => {}
            }
            if wanted.matchers.len() > MATCHERS_MAX {
                return Err(format!("more than {MATCHERS_MAX} matchers"));
            }
        }
        Ok(wanted)
    }

    fn fits(&self, row: &AlertRow) -> bool {
        let state = match row.held.as_ref().map(|held| held.stage) {
            None | Some(HoldStage::Transience) => "active",
            Some(HoldStage::Silence | HoldStage::Maintenance) => "silenced",
            Some(HoldStage::Inhibition | HoldStage::Blindness) => "inhibited",
        };
        row.firing
            && !self.hides.contains(&state)
            && !self.other_receiver
            && self
                .matchers
                .iter()
                .all(|matcher| matcher.fits(&row.labels))
    }
}

/// Whether an alert is told, and what holds it back if not.
fn status(row: &AlertRow) -> Value {
    let held = row.held.as_deref();
    let silenced = held.and_then(|held| held.silence).map(Silence::uuid);
    let inhibited = held.and_then(|held| held.inhibited_by);
    let is_window = held.is_some_and(|held| held.stage == HoldStage::Maintenance);
    let muted = held.filter(|_| is_window && silenced.is_none());
    let is_told = silenced.is_none() && inhibited.is_none() && muted.is_none();
    json!({
        "inhibitedBy": inhibited.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "mutedBy": muted.iter().map(|held| &held.by).collect::<Vec<_>>(),
        "silencedBy": silenced.iter().collect::<Vec<_>>(),
        "state": if is_told { "active" } else { "suppressed" },
    })
}

/// An alert as `gettableAlert`.
fn alert(row: &AlertRow) -> Value {
    let mut annotations = json!({});
    if !row.summary.is_empty() {
        annotations["summary"] = json!(row.summary);
    }
    let starts_at = row.starts_at.to_rfc3339();
    let mut told = json!({
        "annotations": annotations,
        "endsAt": row.ends_at.to_rfc3339(),
        "fingerprint": row.fingerprint.to_string(),
        "labels": row.labels,
        "receivers": [{ "name": RECEIVER }],
        "startsAt": starts_at,
        "status": status(row),
        // When it was last sent is not kept.
        "updatedAt": starts_at,
    });
    if let Some(url) = &row.generator_url {
        told["generatorURL"] = json!(url);
    }
    told
}
