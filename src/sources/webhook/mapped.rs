//! JSON of any shape, by a mapping in the config: where in it the alert or change stands. CloudEvents too,
//! whichever way they travel.
//!
//! Nothing is guessed: what the mapping does not name is not read. An item that lacks what it must have is
//! refused and counted, never the others of its request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use percent_encoding::percent_decode;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::{Hook, SIGNALS_MAX, head};
use crate::config::{WebhookConfig, WebhookKind};
use crate::model::{
    Alert, Change, ChangeKind, EntityId, EntityKind, Fingerprint, Labels, Signal, Time,
};
use crate::sources::http::{self, Refusal};

/// Where mapped webhooks are taken, before their name.
const PREFIX: &str = "/webhook/in/";
/// Headers of a cloud event in binary mode.
const CLOUD_EVENT_PREFIX: &str = "ce-";
/// What says that a header makes the body a cloud event.
const CLOUD_EVENT_MARK: &str = "ce-specversion";
/// Types of a body that holds whole cloud events: one, or a list.
const EVENT_TYPE: &str = "application/cloudevents+json";
const BATCH_TYPE: &str = "application/cloudevents-batch+json";
/// Longest text of one field, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Numbers above this are milliseconds, not seconds, since the epoch: the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;

/// One section of the config; cheap to clone.
#[derive(Clone)]
struct Receiver {
    hook: Hook,
    config: Arc<WebhookConfig>,
}

/// All sections, by name.
type Receivers = Arc<BTreeMap<String, Receiver>>;

/// What a body held.
#[derive(Default)]
struct Taken {
    signals: Vec<Signal>,
    refused: u64,
    reason: Option<String>,
}

/// Where a section's webhook is taken.
pub(in crate::sources) fn path(config: &WebhookConfig) -> String {
    format!("{PREFIX}{}", config.name)
}

/// The receiver's routes. Of two sections with one name the first counts.
pub(in crate::sources) fn routes(sections: Vec<(Hook, WebhookConfig)>) -> Router {
    let mut receivers = BTreeMap::new();
    for (hook, config) in sections {
        let (name, config) = (config.name.clone(), Arc::new(config));
        receivers.entry(name).or_insert(Receiver { hook, config });
    }
    let receivers: Receivers = Arc::new(receivers);
    Router::new()
        .route(&format!("{PREFIX}{{name}}"), post(receive))
        .with_state(receivers)
}

async fn receive(
    State(receivers): State<Receivers>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let Some(receiver) = receivers.get(&name) else {
        let error = format!("no [[sources.webhook]] is named {name:?}");
        return (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response();
    };
    let sender = receiver.hook.sender.clone();
    match receiver.take(request).await {
        Ok((count, taken)) => match taken.reason {
            None => Json(json!({ "taken": count })).into_response(),
            Some(reason) => {
                sender.reject(taken.refused, &reason);
                let said = json!({ "taken": count, "refused": taken.refused, "error": reason });
                (StatusCode::BAD_REQUEST, Json(said)).into_response()
            }
        },
        Err(refusal) => {
            refusal.count(&sender);
            refusal.answer(Json(json!({ "error": refusal.to_string() })))
        }
    }
}

impl Receiver {
    async fn take(&self, request: Request) -> Result<(usize, Taken), Refusal> {
        let (parts, body) = request.into_parts();
        let received = self.hook.limits.read(&parts.headers, body).await?;
        let now = (self.hook.clock)();
        let encoding = http::content_encoding(&parts.headers);
        let body = self.hook.limits.readable(&encoding, &received.body)?;
        let events = events(&parts.headers, &body)?;
        let mut taken = Taken::default();
        for event in &events {
            for item in self.config.items_of(event).map_err(Refusal::Malformed)? {
                match self.config.signal(item, now) {
                    Ok(signal) => taken.signals.push(signal),
                    Err(why) => {
                        taken.refused += 1;
                        taken.reason.get_or_insert(why);
                    }
                }
                if taken.signals.len() > SIGNALS_MAX {
                    let why = format!("more than {SIGNALS_MAX} items in one request");
                    return Err(Refusal::TooLarge(why));
                }
            }
        }
        let signals = std::mem::take(&mut taken.signals);
        let count = signals.len();
        if count > 0 {
            self.hook.sender.try_send(signals)?;
        }
        Ok((count, taken))
    }
}

/// The events of a body: one JSON value, or one or several CloudEvents.
fn events(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Value>, Refusal> {
    let malformed = |error| Refusal::Malformed(format!("not JSON: {error}"));
    let content_type = http::content_type(headers);
    let is_json = matches!(&*content_type, "" | "application/json" | "text/json")
        || content_type.ends_with("+json");
    if !is_json {
        let why = format!("content type {content_type:?}: application/json or a CloudEvent");
        return Err(Refusal::Unsupported(why));
    }
    let value: Value = serde_json::from_slice(body).map_err(malformed)?;
    match (&*content_type, value) {
        (BATCH_TYPE, Value::Array(events)) => Ok(events),
        (BATCH_TYPE, _) => Err(Refusal::Malformed(
            "a batch of CloudEvents is a list".to_owned(),
        )),
        (EVENT_TYPE, event) => Ok(vec![event]),
        (_, data) if headers.contains_key(CLOUD_EVENT_MARK) => Ok(vec![binary(headers, data)]),
        (_, value) => Ok(vec![value]),
    }
}

/// A cloud event in binary mode: attributes travel as headers, and the body is the data.
fn binary(headers: &HeaderMap, data: Value) -> Value {
    let attributes = headers.iter().filter_map(|(name, text)| {
        let attribute = name.as_str().strip_prefix(CLOUD_EVENT_PREFIX)?;
        Some((attribute.to_owned(), json!(attribute_text(text.as_bytes()))))
    });
    let mut event: Map<String, Value> = attributes.collect();
    event.insert("data".to_owned(), data);
    Value::Object(event)
}

/// What a header says of an event: a quoted string is unquoted, then what no header can hold is percent-decoded (`CloudEvents`
/// 1.0.2, HTTP binding, 3.1.3.2). What is no UTF-8 then is `\u{fffd}`.
fn attribute_text(value: &[u8]) -> String {
    let quoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let unquoted = quoted.map(|inner| {
        let mut plain = Vec::with_capacity(inner.len());
        let mut bytes = inner.iter();
        while let Some(&byte) = bytes.next() {
            // A backslash stands before what is meant as it is written.
            let byte = if byte == b'\\' {
                bytes.next()
            } else {
                Some(&byte)
            };
            plain.extend(byte);
        }
        plain
    });
    let text = unquoted.as_deref().unwrap_or(value);
    percent_decode(text).decode_utf8_lossy().into_owned()
}

impl WebhookConfig {
    /// The items of an event: the list that the mapping names, or the event itself.
    pub(in crate::sources) fn items_of<'a>(
        &self,
        event: &'a Value,
    ) -> Result<Vec<&'a Value>, String> {
        let Some(pointer) = &self.items else {
            return Ok(match event {
                Value::Array(items) => items.iter().collect(),
                one => vec![one],
            });
        };
        match event.pointer(pointer) {
            Some(Value::Array(items)) => Ok(items.iter().collect()),
            Some(one) => Ok(vec![one]),
            None => Err(format!("there is nothing at {pointer} (`items`)")),
        }
    }

    pub(in crate::sources) fn signal(&self, item: &Value, now: Time) -> Result<Signal, String> {
        match self.kind {
            WebhookKind::Alert => self
                .alert(item, now)
                .map(|alert| Signal::Alert(Box::new(alert))),
            WebhookKind::Change => self
                .change(item, now)
                .map(|change| Signal::Change(Box::new(change))),
        }
    }

    fn alert(&self, item: &Value, now: Time) -> Result<Alert, String> {
        let labels = self.labels_of(item);
        let packed = pack(&labels)?;
        if packed.is_empty() {
            return Err("none of `labels` is there".to_owned());
        }
        if !self.fits(item) {
            return Err("nothing that `labels`, `title` or `id` point at is there".to_owned());
        }
        let status = self.status.as_ref().and_then(|pointer| text(item, pointer));
        let is_over = status.is_some_and(|status| {
            let mut words = self.resolved.iter();
            words.any(|word| word.eq_ignore_ascii_case(&status))
        });
        // Whoever gives an id resolves by it, whatever else the labels say by then.
        let fingerprint = match self.id.as_ref().and_then(|pointer| text(item, pointer)) {
            Some(id) => {
                let identity = [("webhook", self.name.as_str()), ("id", id.as_str())];
                Fingerprint::of(&Labels::from_pairs(identity).map_err(|e| e.to_string())?)
            }
            None => Fingerprint::of(&packed),
        };
        let ends_at = if is_over {
            now
        } else {
            now.plus_ms(i64::from(self.hold_s) * 1_000)
        };
        let summary = self.title.as_ref().and_then(|pointer| text(item, pointer));
        let annotations = summary.iter().map(|summary| ("summary", summary.as_str()));
        Ok(Alert {
            fingerprint,
            labels: packed,
            annotations: Labels::from_pairs(annotations).map_err(|e| e.to_string())?,
            starts_at: self.at_of(item)?.unwrap_or(now).min(ends_at),
            ends_at,
            generator_url: None,
        })
    }

    /// Whether anything of an item is used: what the mapping says literally would make an alert of any.
    fn fits(&self, item: &Value) -> bool {
        let named = self.labels.values().chain(&self.title).chain(&self.id);
        let mut pointers = named.filter(|written| written.starts_with('/')).peekable();
        pointers.peek().is_none() || pointers.any(|pointer| text(item, pointer).is_some())
    }

    fn change(&self, item: &Value, now: Time) -> Result<Change, String> {
        let labels = self.labels_of(item);
        let service = labels
            .get("service")
            .ok_or("a change needs `service` among `labels`")?;
        let title = self.title.as_ref().and_then(|pointer| text(item, pointer));
        let version = self
            .version
            .as_ref()
            .and_then(|pointer| text(item, pointer));
        let at = self.at_of(item)?;
        let title = title.unwrap_or_else(|| {
            let version = version.as_deref().unwrap_or_default();
            format!("{service} {version}").trim_end().to_owned()
        });
        let id = self.id.as_ref().and_then(|pointer| text(item, pointer));
        let id = id.unwrap_or_else(|| {
            let minute = at.unwrap_or(now).ms() / 60_000;
            let content = format!("{service}\u{1f}{title}\u{1f}{minute}");
            format!("{:016x}", xxh3_64(content.as_bytes()))
        });
        Ok(Change {
            id: format!("{}-{id}", self.name).into(),
            at: at.unwrap_or(now),
            kind: if version.is_some() {
                ChangeKind::Deploy
            } else {
                ChangeKind::Other
            },
            entity: EntityId::new(EntityKind::Service, service),
            title: title.into(),
            version: version.map(String::into_boxed_str),
            previous_version: None,
            by: labels.get("by").map(|by| by.as_str().into()),
            labels: pack(&labels)?,
        })
    }

    /// Labels by their pointers; what stands there is a text, a number or a flag.
    fn labels_of(&self, item: &Value) -> BTreeMap<&str, String> {
        let labels = self.labels.iter();
        labels
            .filter_map(|(name, pointer)| Some((name.as_str(), text(item, pointer)?)))
            .collect()
    }

    /// A time as RFC 3339, or seconds or milliseconds since the epoch.
    fn at_of(&self, item: &Value) -> Result<Option<Time>, String> {
        let Some(written) = self.at.as_ref().and_then(|pointer| text(item, pointer)) else {
            return Ok(None);
        };
        if let Some(at) = Time::parse_rfc3339(&written) {
            return Ok(Some(at));
        }
        match written.parse::<i64>() {
            Ok(ms) if ms.abs() > SECONDS_MAX => Ok(Some(Time::from_ms(ms))),
            Ok(seconds) => Ok(Some(Time::from_ms(seconds * 1_000))),
            Err(_) => Err(format!("{written:?} (`at`) is no time")),
        }
    }
}

/// What stands at a pointer, as text; one that does not begin with a slash is meant as it is written.
fn text(item: &Value, pointer: &str) -> Option<String> {
    if !pointer.starts_with('/') {
        return Some(pointer.to_owned());
    }
    let text = match item.pointer(pointer)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let text = head(&text, TEXT_BYTES_MAX);
    (!text.is_empty()).then(|| text.to_owned())
}

fn pack(labels: &BTreeMap<&str, String>) -> Result<Labels, String> {
    let pairs = labels.iter().map(|(name, value)| (*name, value.as_str()));
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}
