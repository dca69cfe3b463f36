//! Changes from pipelines: `POST /api/v1/changes`, one JSON object or a list of them.
//!
//! ```json
//! {"kind": "deploy", "service": "checkout", "version": "v812", "previous_version": "v811", "by": "ci"}
//! ```
//!
//! A resend is recognised by its `id`; without one, by what it says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::http::{self, Limits, Refusal};
use super::{Clock, SignalSender};
use crate::model::{Change, ChangeKind, EntityId, Labels, Signal, Time};

/// Where changes are taken.
pub(super) const PATH: &str = "/api/v1/changes";

/// Most changes in one request.
const CHANGES_REQUEST_MAX: usize = 1_000;

/// Longest text of one field, in bytes; labels have their own bound.
const TEXT_BYTES_MAX: usize = 4_096;

/// Oldest change taken, in milliseconds before now, unless clocks may be off by more: what the engine keeps
/// of changes, and so what it believes. Older ones explain nothing that is judged today.
const AGE_MS_MAX: i64 = 48 * 3_600_000;

/// The receiver; cheap to clone.
#[derive(Clone)]
struct Changes {
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    /// How far a sender's clock may be off: `engine.clock_skew_s_max`.
    skew_ms_max: i64,
}

/// A change as sent. The format is ours, so that a field we do not know is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    /// `kind/name`, or a bare service name.
    #[serde(borrow)]
    entity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    previous_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    by: Option<Cow<'a, str>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The receiver's routes.
pub(super) fn routes(
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    skew_ms_max: i64,
) -> Router {
    Router::new()
        .route(PATH, post(receive))
        .with_state(Changes {
            sender,
            limits,
            clock,
            skew_ms_max,
        })
}

async fn receive(State(changes): State<Changes>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let taken = async {
        let received = changes.limits.read(&parts.headers, body).await?;
        let content_type = http::content_type(&parts.headers);
        // `curl -d` names the type of a form. A page in a browser could send that without asking,
        // and then names its origin.
        let is_form = content_type == "application/x-www-form-urlencoded"
            && !parts.headers.contains_key(header::ORIGIN);
        if !is_form && !matches!(&*content_type, "application/json" | "") {
            let why = format!("content type {content_type:?}: changes are application/json");
            return Err(Refusal::Unsupported(why));
        }
        let encoding = http::content_encoding(&parts.headers);
        let body = changes.limits.readable(&encoding, &received.body)?;
        let now = (changes.clock)();
        let signals = parse(&body, now, changes.skew_ms_max).map_err(Refusal::Malformed)?;
        let count = signals.len();
        if count > 0 {
            changes.sender.try_send(signals)?;
        }
        Ok(count)
    };
    match taken.await {
        Ok(count) => (StatusCode::OK, Json(json!({ "taken": count }))).into_response(),
        Err(refusal) => {
            refusal.count(&changes.sender);
            refusal.answer(Json(json!({ "error": refusal.to_string() })))
        }
    }
}

/// All changes of a body, or the first reason why it is refused: a pipeline sends few at once, and
/// half of a request taken would be hard to understand.
pub(super) fn parse(body: &[u8], now: Time, skew_ms_max: i64) -> Result<Vec<Signal>, String> {
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let sent: Vec<Sent<'_>> = if is_list {
        serde_json::from_slice(body).map_err(|e| format!("not a list of changes: {e}"))?
    } else {
        let one = serde_json::from_slice(body).map_err(|e| format!("not a change: {e}"))?;
        vec![one]
    };
    if sent.len() > CHANGES_REQUEST_MAX {
        return Err(format!(
            "more than {CHANGES_REQUEST_MAX} changes in one request"
        ));
    }
    sent.iter()
        .enumerate()
        .map(|(i, sent)| {
            let change = change(sent, now).and_then(|change| {
                is_of_our_time(change.at, now, skew_ms_max)?;
                Ok(change)
            });
            let change = change.map_err(|why| format!("change {i}: {why}"))?;
            Ok(Signal::Change(Box::new(change)))
        })
        .collect()
}

/// Refuses what the engine would not believe: whoever sends it is there to be told.
pub(super) fn is_of_our_time(at: Time, now: Time, skew_ms_max: i64) -> Result<(), String> {
    let age_ms_max = AGE_MS_MAX.max(skew_ms_max);
    let text = at.to_rfc3339();
    if at.since(now) > skew_ms_max {
        let s = skew_ms_max / 1_000;
        return Err(format!(
            "at {text} is more than {s} s ahead of this clock (`engine.clock_skew_s_max`)"
        ));
    }
    if now.since(at) > age_ms_max {
        let hours = age_ms_max / 3_600_000;
        return Err(format!(
            "at {text} is more than {hours} hours ago: it explains nothing of today"
        ));
    }
    Ok(())
}

fn change(sent: &Sent<'_>, now: Time) -> Result<Change, String> {
    let entity = match (
        given("entity", sent.entity.as_ref())?,
        given("service", sent.service.as_ref())?,
    ) {
        (Some(entity), None) => EntityId::parse(entity),
        (None, Some(service)) => EntityId::new(crate::model::EntityKind::Service, service),
        (None, None) => return Err("`entity` or `service` is needed".to_owned()),
        (Some(_), Some(_)) => {
            return Err("`entity` and `service` say the same: give one".to_owned());
        }
    };
    let kind = kind(given("kind", sent.kind.as_ref())?)?;
    let at = given("at", sent.at.as_ref())?;
    let version = given("version", sent.version.as_ref())?;
    let title = match given("title", sent.title.as_ref())? {
        Some(title) => title.to_owned(),
        None => [kind.as_str(), entity.name(), version.unwrap_or_default()]
            .join(" ")
            .trim_end()
            .to_owned(),
    };
    let id = match given("id", sent.id.as_ref())? {
        Some(id) => id.to_owned(),
        None => id_of_content(kind, &entity, &title, version, at, now),
    };
    let at = match at {
        None => now,
        Some(at) => {
            Time::parse_rfc3339(at).ok_or_else(|| format!("at {at:?} is not an RFC 3339 time"))?
        }
    };
    let labels = sent.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    Ok(Change {
        id: id.into(),
        at,
        kind,
        title: title.into(),
        version: version.map(Box::from),
        previous_version: given("previous_version", sent.previous_version.as_ref())?.map(Box::from),
        by: given("by", sent.by.as_ref())?.map(Box::from),
        labels: Labels::from_pairs(labels).map_err(|e| e.to_string())?,
        entity,
    })
}

/// The text of a field; empty is as good as absent.
fn given<'a>(name: &str, text: Option<&'a Cow<'_, str>>) -> Result<Option<&'a str>, String> {
    match text.map(|t| &**t) {
        None | Some("") => Ok(None),
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            Err(format!("`{name}` is longer than {TEXT_BYTES_MAX} bytes"))
        }
        Some(text) => Ok(Some(text)),
    }
}

fn kind(word: Option<&str>) -> Result<ChangeKind, String> {
    let Some(word) = word else {
        return Ok(ChangeKind::Deploy);
    };
    let known = ChangeKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == word);
    known.ok_or_else(|| {
        let words: Vec<_> = ChangeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("kind {word:?} is none of {}", words.join(", "))
    })
}

/// An id for a change that has none: the same content, at the same minute if no time is given, is
/// the same change.
fn id_of_content(
    kind: ChangeKind,
    entity: &EntityId,
    title: &str,
    version: Option<&str>,
    at: Option<&str>,
    now: Time,
) -> String {
    const MINUTE_MS: i64 = 60_000;
    let at = at.map_or_else(|| (now.ms() / MINUTE_MS).to_string(), str::to_owned);
    let version = version.unwrap_or_default();
    let content = [kind.as_str(), entity.as_str(), title, version, &at].join("\u{1f}");
    format!("{:016x}", xxh3_64(content.as_bytes()))
}
