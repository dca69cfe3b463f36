//! Alerts as Alertmanager takes them: `POST /api/v2/alerts`, so that Prometheus and its like need
//! nothing but another address.
//!
//! Resends are idempotent by fingerprint, an alert is resolved once its `endsAt` has passed, and an
//! invalid alert never costs the valid ones beside it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use super::http::{self, Limits, Refusal};
use super::recent::Recent;
use super::{Clock, SignalSender};
use crate::model::{Alert, Fingerprint, Labels, LabelsBuilder, Signal, Time, counted};

/// Most alerts in one request; Prometheus sends 64, others up to some thousands.
const ALERTS_REQUEST_MAX: usize = 65_536;

/// Most labels or annotations of one alert.
const PAIRS_MAX: usize = 128;

/// What is said of an alert with more.
const TOO_MANY_PAIRS: &str = "more than 128 labels or annotations";

/// Annotation sets remembered, to hold one copy of those that repeat.
const ANNOTATIONS_REMEMBERED_MAX: usize = 8_192;

/// Most reasons given in one answer.
const REASONS_MAX: usize = 5;

/// Where alerts are taken.
pub(super) const PATH: &str = "/api/v2/alerts";

/// The receiver; cheap to clone.
#[derive(Clone)]
pub(super) struct Alerts {
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    /// Since when it receives.
    started: Time,
    /// How long an alert without an end is taken to fire.
    resolve_timeout_ms: i64,
    annotations: Arc<Mutex<Recent<u64, Labels>>>,
}

/// What a body held.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    signals: Vec<Signal>,
    /// Why alerts were refused, the first few.
    reasons: Vec<String>,
    refused: u64,
    /// How many were handed over.
    sent: usize,
}

/// An alert as sent. Texts borrow from the body unless they hold escapes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Sent<'a> {
    #[serde(borrow)]
    labels: Pairs<'a>,
    #[serde(borrow)]
    annotations: Pairs<'a>,
    #[serde(borrow)]
    starts_at: Option<Text<'a>>,
    #[serde(borrow)]
    ends_at: Option<Text<'a>>,
    #[serde(borrow, rename = "generatorURL")]
    generator_url: Option<Text<'a>>,
}

/// A JSON string; `None` for any other value, which costs its alert and not those beside it.
struct Text<'a>(Option<Cow<'a, str>>);

/// A JSON object of strings, in the order sent; otherwise why it is none.
struct Pairs<'a>(Result<Vec<(Text<'a>, Text<'a>)>, &'static str>);

/// An item of the list; `None` for what is no object.
struct Item<'a>(Option<Sent<'a>>);

/// A JSON array of alerts, bounded.
struct SentAlerts<'a>(Vec<Item<'a>>);

/// The receiver's routes.
pub(super) fn routes(
    sender: SignalSender,
    limits: Limits,
    clock: Clock,
    resolve_timeout_ms: i64,
) -> Router {
    let alerts = Alerts::new(sender, limits, clock, resolve_timeout_ms);
    Router::new()
        .route(PATH, post(receive))
        .route("/api/v2/status", get(status))
        .with_state(alerts)
}

impl Alerts {
    pub(super) fn new(
        sender: SignalSender,
        limits: Limits,
        clock: Clock,
        resolve_timeout_ms: i64,
    ) -> Self {
        Self {
            sender,
            limits,
            started: clock(),
            clock,
            resolve_timeout_ms,
            annotations: Arc::new(Mutex::new(Recent::new(ANNOTATIONS_REMEMBERED_MAX))),
        }
    }

    /// Reads a list of alerts that came in another way than by request, at `at`: its signals, how many
    /// could not be used, and why.
    pub(super) fn read_message(
        &self,
        message: &[u8],
        at: Time,
    ) -> Result<(Vec<Signal>, u64, Option<String>), String> {
        let taken = self
            .parse(message, at)
            .map_err(|refusal| refusal.to_string())?;
        let why = (taken.refused > 0).then(|| taken.reasons.join("; "));
        Ok((taken.signals, taken.refused, why))
    }

    /// Reads a body; the whole request is refused only if it is not a list of alerts.
    fn parse(&self, body: &[u8], now: Time) -> Result<Taken, Refusal> {
        let sent: SentAlerts<'_> = serde_json::from_slice(body)
            .map_err(|e| Refusal::Malformed(format!("not a list of alerts: {e}")))?;
        let mut taken = Taken {
            signals: Vec::with_capacity(sent.0.len()),
            ..Taken::default()
        };
        let mut builder = LabelsBuilder::default();
        let mut remembered = self
            .annotations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (i, alert) in sent.0.iter().enumerate() {
            let alert = alert.0.as_ref().ok_or_else(|| "not an object".to_owned());
            match alert.and_then(|sent| self.alert(sent, now, &mut builder, &mut remembered)) {
                Ok(alert) => taken.signals.push(Signal::Alert(Box::new(alert))),
                Err(reason) => {
                    taken.refused += 1;
                    if taken.reasons.len() < REASONS_MAX {
                        taken.reasons.push(format!("alert {i}: {reason}"));
                    }
                }
            }
        }
        Ok(taken)
    }

    fn alert<'a>(
        &self,
        sent: &'a Sent<'_>,
        now: Time,
        builder: &mut LabelsBuilder<'a>,
        remembered: &mut Recent<u64, Labels>,
    ) -> Result<Alert, String> {
        let labels = sent.labels.build(builder)?;
        if labels.is_empty() {
            return Err("at least one label with a value is needed".to_owned());
        }
        let annotations = sent.annotations.build(builder)?;
        let annotations = match remembered.get(&annotations.stable_hash()) {
            Some(same) if *same == annotations => same.clone(),
            _ => {
                remembered.put(annotations.stable_hash(), annotations.clone());
                annotations
            }
        };
        let starts_at = instant("startsAt", sent.starts_at.as_ref())?;
        let ends_at = instant("endsAt", sent.ends_at.as_ref())?;
        let ends_at_or_timeout = ends_at.unwrap_or(now.plus_ms(self.resolve_timeout_ms));
        let starts_at = starts_at.unwrap_or_else(|| ends_at.map_or(now, |end| end.min(now)));
        if ends_at.is_some_and(|end| end < starts_at) {
            return Err("endsAt is before startsAt".to_owned());
        }
        if ends_at_or_timeout < starts_at {
            return Err(format!(
                "startsAt {} is ahead of this clock by more than an alert without endsAt is taken to fire ({} s, `engine.alert_resolve_timeout_s`): set the sender's clock, or send endsAt",
                starts_at.to_rfc3339(),
                self.resolve_timeout_ms / 1_000
            ));
        }
        let url = sent.generator_url.as_ref();
        let url = url.map(|url| url.text("generatorURL")).transpose()?;
        Ok(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations,
            starts_at,
            ends_at: ends_at_or_timeout,
            generator_url: url.filter(|url| !url.is_empty()).map(Box::from),
        })
    }
}

impl Pairs<'_> {
    /// Packs the pairs. Empty values are as good as absent, as in Alertmanager.
    fn build<'a>(&'a self, builder: &mut LabelsBuilder<'a>) -> Result<Labels, String> {
        let pairs = self.0.as_ref().map_err(|why| (*why).to_owned())?;
        // Before the builder is begun, which is used again for the next alert.
        for (name, value) in pairs {
            value.text(name.text("a name")?)?;
        }
        for (name, value) in pairs {
            if let (Some(name), Some(value)) =
                (&name.0, value.0.as_deref().filter(|v| !v.is_empty()))
            {
                builder.add(name, value);
            }
        }
        builder.build().map_err(|e| e.to_string())
    }
}

impl Text<'_> {
    /// What it says, if it is a text; `name` is whose value it is.
    fn text(&self, name: &str) -> Result<&str, String> {
        let text = self.0.as_deref();
        text.ok_or_else(|| format!("the value of {name:?} is not a text"))
    }
}

impl Default for Pairs<'_> {
    fn default() -> Self {
        Self(Ok(Vec::new()))
    }
}

/// An instant as sent; absent, empty and the zero time of Go mean none.
fn instant(name: &str, text: Option<&Text<'_>>) -> Result<Option<Time>, String> {
    const GO_ZERO: &str = "0001-01-01T00:00:00";
    match text.map(|text| text.text(name)).transpose()? {
        None | Some("") => Ok(None),
        Some(zero) if zero.starts_with(GO_ZERO) => Ok(None),
        Some(text) => Time::parse_rfc3339(text)
            .map(Some)
            .ok_or_else(|| format!("{name} {text:?} is not an RFC 3339 time")),
    }
}

async fn receive(State(alerts): State<Alerts>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let taken = async {
        let received = alerts.limits.read(&parts.headers, body).await?;
        let content_type = http::content_type(&parts.headers);
        if !matches!(&*content_type, "application/json" | "") {
            let why = format!("content type {content_type:?}: alerts are application/json");
            return Err(Refusal::Unsupported(why));
        }
        let now = (alerts.clock)();
        let parser = alerts.clone();
        let (body, encoding) = (
            received.body.clone(),
            http::content_encoding(&parts.headers),
        );
        let decoder = move || parser.parse(&parser.limits.readable(&encoding, &body)?, now);
        let mut taken = http::decode(received.body.len(), decoder).await?;
        taken.sent = taken.signals.len();
        if !taken.signals.is_empty() {
            alerts.sender.try_send(std::mem::take(&mut taken.signals))?;
        }
        Ok(taken)
    };
    match taken.await {
        Ok(taken) if taken.refused == 0 => StatusCode::OK.into_response(),
        Ok(taken) => {
            let more = taken.refused - taken.reasons.len() as u64;
            let mut reason = taken.reasons.join("; ");
            if more > 0 {
                reason = format!("{reason}; and {more} more");
            }
            alerts.sender.reject(taken.refused, &reason);
            // As Alertmanager does: those beside are taken all the same.
            let refused = counted(taken.refused, "alert was", "alerts were");
            let reason = match taken.sent {
                0 => reason,
                1 => format!("{refused} refused, the other one was taken: {reason}"),
                others => format!("{refused} refused, the {others} others were taken: {reason}"),
            };
            (StatusCode::BAD_REQUEST, Json(reason)).into_response()
        }
        Err(refusal) => {
            refusal.count(&alerts.sender);
            refusal.answer(Json(refusal.to_string()))
        }
    }
}

/// Enough of Alertmanager's status for tools that ask before they send.
async fn status(State(alerts): State<Alerts>) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    Json(json!({
        "cluster": { "name": "stormglass", "status": "disabled", "peers": [] },
        "config": { "original": "" },
        // As Alertmanager means it: when it was started.
        "uptime": alerts.started.to_rfc3339(),
        "versionInfo": {
            "branch": "", "buildDate": "", "buildUser": "", "goVersion": "",
            "revision": "", "version": format!("stormglass {version}"),
        },
    }))
    .into_response()
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text))))
            }

            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Text(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Text<'de>, A::Error> {
                skip_seq(seq).map(|()| Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                skip_map(map).map(|()| Text(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NO_OBJECT: &str = "labels and annotations are objects of texts";
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_unit<E>(self) -> Result<Pairs<'de>, E> {
                Ok(Pairs::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Pairs<'de>, E> {
                Ok(Pairs(Err(NO_OBJECT)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Pairs(Err(NO_OBJECT)))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Pairs(Err(NO_OBJECT)))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Pairs(Err(NO_OBJECT)))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Pairs(Err(NO_OBJECT)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Pairs<'de>, A::Error> {
                skip_seq(seq).map(|()| Pairs(Err(NO_OBJECT)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    if pairs.len() == PAIRS_MAX {
                        skip_map(map)?;
                        return Ok(Pairs(Err(TOO_MANY_PAIRS)));
                    }
                    pairs.push(pair);
                }
                Ok(Pairs(Ok(pairs)))
            }
        }
        deserializer.deserialize_any(Object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Item<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an alert")
            }

            fn visit_unit<E>(self) -> Result<Item<'de>, E> {
                Ok(Item(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Item<'de>, E> {
                Ok(Item(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Item(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Item<'de>, A::Error> {
                skip_seq(seq).map(|()| Item(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                let alert = Sent::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Item(Some(alert)))
            }
        }
        deserializer.deserialize_any(Object)
    }
}

/// Reads past what cannot be used.
fn skip_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// The same of an object.
fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for SentAlerts<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = SentAlerts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of alerts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SentAlerts<'de>, A::Error> {
                let mut alerts = Vec::new();
                while let Some(alert) = seq.next_element()? {
                    if alerts.len() == ALERTS_REQUEST_MAX {
                        let why = format!("more than {ALERTS_REQUEST_MAX} alerts in one request");
                        return Err(serde::de::Error::custom(why));
                    }
                    alerts.push(alert);
                }
                Ok(SentAlerts(alerts))
            }
        }
        deserializer.deserialize_seq(Array)
    }
}
