//! Silences over HTTP: our own API, and the same as Alertmanager's clients write and read them.
//!
//! Nothing is decided here: what is asked for becomes a command, and the answer is durable.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{AlertmanagerError, Answer, ApiError};
use super::routes::{Api, Caller};
use crate::api::path;
use crate::engine::Engine;
use crate::model::{
    Actor, Command, FilterSign, LabelFilter, Labels, MaintenanceRow, Refusal, SILENCE_MATCHERS_MAX,
    Silence, SilenceId, SilenceKind, SilencePreview, SilenceSpec, SilenceState, StageRow, Time,
};

/// A matcher as Alertmanager sends it.
#[derive(Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Matcher {
    name: String,
    value: String,
    is_regex: bool,
    /// Absent means that it does.
    #[serde(default = "yes")]
    is_equal: bool,
}

/// A silence as Alertmanager's clients send it; what else they say is nothing to us.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: Option<String>,
    matchers: Vec<Matcher>,
    starts_at: String,
    ends_at: String,
    #[serde(default)]
    comment: String,
}

const fn yes() -> bool {
    true
}

/// Our own routes; making and ending one goes where all commands go.
pub fn silence_routes() -> Router<Api> {
    Router::new()
        .route(path::SILENCES, get(silences))
        .route(path::SILENCE_PREVIEW, get(preview))
        .route(path::MAINTENANCE, get(maintenance))
        .route(path::STAGES, get(stages))
}

/// Alertmanager's.
pub fn alertmanager_silence_routes() -> Router<Api> {
    Router::new()
        .route("/api/v2/silences", get(am_silences).post(am_post))
        .route("/api/v2/silence/{id}", get(am_silence).delete(am_delete))
}

async fn silences(State(api): State<Api>, _: Caller) -> Answer<Vec<Silence>> {
    let all = api
        .door
        .query(|engine| engine.silences().cloned().collect());
    Ok(Json(all.await?))
}

async fn preview(
    State(api): State<Api>,
    _: Caller,
    RawQuery(query): RawQuery,
) -> Answer<SilencePreview> {
    let mut matchers = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name != "match" {
            return Err(ApiError::bad_request(format!(
                "there is no parameter {name:?}: give `match`, once or more"
            )));
        }
        matchers.extend(LabelFilter::parse_all(&value).map_err(ApiError::bad_request)?);
    }
    if matchers.is_empty() || matchers.len() > SILENCE_MATCHERS_MAX {
        let message = format!("give 1 to {SILENCE_MATCHERS_MAX} matchers as `match`");
        return Err(ApiError::bad_request(message));
    }
    let preview = api
        .door
        .query(move |engine| engine.preview_silence(&matchers));
    Ok(Json(preview.await?))
}

async fn maintenance(State(api): State<Api>, _: Caller) -> Answer<Vec<MaintenanceRow>> {
    let rows = api.door.query(Engine::maintenance);
    Ok(Json(rows.await?))
}

async fn stages(State(api): State<Api>, _: Caller) -> Answer<Vec<StageRow>> {
    Ok(Json(api.door.query(Engine::stages).await?))
}

async fn am_silences(
    State(api): State<Api>,
    _: Caller,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Value>>, AlertmanagerError> {
    let mut filters = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name == "filter" {
            filters.extend(LabelFilter::parse_all(&value).map_err(ApiError::bad_request)?);
        }
    }
    let all = api
        .door
        .query(|engine| engine.silences().cloned().collect::<Vec<_>>());
    let all = all.await?;
    let fits = |silence: &&Silence| {
        let said = silence.matchers.iter();
        let said = said.map(|matcher| (matcher.name.as_str(), matcher.value.as_str()));
        let said = Labels::from_pairs(said).unwrap_or_default();
        filters.iter().all(|filter| filter.fits(&said))
    };
    Ok(Json(all.iter().filter(fits).map(as_alertmanager).collect()))
}

async fn am_silence(
    State(api): State<Api>,
    _: Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, AlertmanagerError> {
    let id = read_id(&id?.0)?;
    let found = api
        .door
        .query(move |engine| engine.silence(id).cloned())
        .await?;
    let found = found.ok_or_else(|| refused(&Refusal::NoSilence { silence: id }))?;
    Ok(Json(as_alertmanager(&found)))
}

async fn am_post(
    State(api): State<Api>,
    Caller(actor): Caller,
    body: Result<Json<Posted>, JsonRejection>,
) -> Result<Json<Value>, AlertmanagerError> {
    let body = body.map_err(AlertmanagerError::from);
    // One that cannot be read is a bad request to Alertmanager's clients, whatever is wrong with it.
    let Json(posted) = body.map_err(|error| {
        let error = error.instead(StatusCode::UNPROCESSABLE_ENTITY, StatusCode::BAD_REQUEST);
        error.instead(StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::BAD_REQUEST)
    })?;
    // Whoever is told that there is none makes a new one.
    if let Some(id) = posted.id.as_deref().filter(|id| !id.is_empty()) {
        read_id(id)?;
    }
    let spec = posted.spec().map_err(ApiError::bad_request)?;
    let (spec, twin) = (Box::new(spec), None);
    let made = give(&api, actor, Command::Silence { spec, twin }).await?;
    let id = made.ok_or_else(|| ApiError::bad_request("nothing came of it"))?;
    Ok(Json(json!({ "silenceID": Silence::uuid(id) })))
}

async fn am_delete(
    State(api): State<Api>,
    Caller(actor): Caller,
    id: Result<Path<String>, PathRejection>,
) -> Result<(), AlertmanagerError> {
    let silence = read_id(&id?.0)?;
    let given = give(&api, actor, Command::Expire { silence }).await;
    // The only status beside "not found" with which Alertmanager's clients read a reason here.
    given.map(drop).map_err(|refused| {
        let refused = AlertmanagerError::from(refused);
        refused.instead(StatusCode::BAD_REQUEST, StatusCode::INTERNAL_SERVER_ERROR)
    })
}

/// Gives a command; the silence it was about.
async fn give(api: &Api, by: Actor, what: Command) -> Result<Option<SilenceId>, ApiError> {
    let reply = api.door.command(by, what).await?;
    match reply.refused {
        Some(refusal) => Err(refused(&refusal)),
        None => Ok(reply.silence),
    }
}

fn refused(refusal: &Refusal) -> ApiError {
    let status = match refusal {
        Refusal::NoSilence { .. } => StatusCode::NOT_FOUND,
        Refusal::Role { .. } => StatusCode::FORBIDDEN,
        Refusal::NotDurable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    ApiError::new(status, refusal.to_string())
}

fn read_id(text: &str) -> Result<SilenceId, ApiError> {
    SilenceId::parse(text)
        .ok_or_else(|| ApiError::not_found(format!("there is no silence {text:?} here")))
}

impl Posted {
    fn spec(&self) -> Result<SilenceSpec, String> {
        let instant = |name: &str, text: &str| {
            Time::parse_rfc3339(text).ok_or_else(|| format!("`{name}` is {text:?}: no instant"))
        };
        let id = self.id.as_deref().filter(|id| !id.is_empty());
        let id =
            id.map(|id| SilenceId::parse(id).ok_or_else(|| format!("there is no {id:?} here")));
        let matchers = self.matchers.iter().map(Matcher::read);
        Ok(SilenceSpec {
            id: id.transpose()?,
            kind: SilenceKind::Silence,
            matchers: matchers.collect::<Result<_, _>>()?,
            starts_at: Some(instant("startsAt", &self.starts_at)?),
            ends_at: instant("endsAt", &self.ends_at)?,
            until_resolved: false,
            reason: self.comment.clone(),
        })
    }
}

impl Matcher {
    /// The same as we hold it.
    pub fn read(&self) -> Result<LabelFilter, String> {
        let operator = match (self.is_equal, self.is_regex) {
            (true, false) => FilterSign::Is,
            (false, false) => FilterSign::Differs,
            (true, true) => FilterSign::Like,
            (false, true) => FilterSign::Unlike,
        };
        LabelFilter::new(&self.name, operator, &self.value)
    }

    /// The same as Alertmanager reads it.
    pub fn of(filter: &LabelFilter) -> Self {
        Self {
            name: filter.name.clone(),
            value: filter.value.clone(),
            is_regex: matches!(filter.operator, FilterSign::Like | FilterSign::Unlike),
            is_equal: matches!(filter.operator, FilterSign::Is | FilterSign::Like),
        }
    }
}

/// A silence as `gettableSilence`.
fn as_alertmanager(silence: &Silence) -> Value {
    let matchers: Vec<Matcher> = silence.matchers.iter().map(Matcher::of).collect();
    let state = match silence.state {
        SilenceState::Pending => "pending",
        SilenceState::Active => "active",
        SilenceState::Expired => "expired",
    };
    json!({
        "id": Silence::uuid(silence.id),
        "status": { "state": state },
        "updatedAt": silence.updated.to_rfc3339(),
        "matchers": matchers,
        "startsAt": silence.starts_at.to_rfc3339(),
        "endsAt": silence.ends_at.to_rfc3339(),
        "createdBy": silence.author,
        "comment": silence.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_they_are_written() {
        for text in ["a=\"b\"", "a!=\"b\"", "a=~\"b.*\"", "a!~\"b.*\""] {
            let filter = LabelFilter::parse_all(text).unwrap().remove(0);
            assert_eq!(Matcher::of(&filter).read(), Ok(filter), "{text}");
        }
        let old: Matcher =
            serde_json::from_value(json!({ "name": "a", "value": "b", "isRegex": false })).unwrap();
        assert_eq!(old.read().unwrap().to_string(), "a=\"b\"");
    }

    proptest::proptest! {
        /// Whatever somebody posts: a silence, or a reason why it is none.
        #[test]
        fn any_silence_is_read_or_refused(
            text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
            odd in r#"(null|7|"[^"\\]{0,30}"|"2026-11-21T0[0-9]:00:00Z"|\[\]|true)"#,
            value in "[^\"\\\\]{0,20}",
        ) {
            let shaped = format!(
                "{{\"id\":{odd},\"startsAt\":{odd},\"endsAt\":{odd},\"comment\":{odd},\
                \"matchers\":[{{\"name\":{odd},\"value\":\"{value}\",\"isRegex\":true}}]}}"
            );
            for body in [&text, &shaped] {
                if let Ok(posted) = serde_json::from_str::<Posted>(body)
                    && let Err(why) = posted.spec()
                {
                    proptest::prop_assert!(!why.is_empty());
                }
                let _ = read_id(body);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let posted = |id: &str, ends: &str, value: &str| {
            let body = json!({
                "id": id,
                "matchers": [{ "name": "a", "value": value, "isRegex": true }],
                "startsAt": "2026-11-21T03:00:00Z",
                "endsAt": ends,
                "createdBy": "mia",
                "comment": "why not",
            });
            let posted: Posted = serde_json::from_value(body).unwrap();
            posted.spec().err()
        };
        let cases = [
            ("", "2026-11-21T04:00:00Z", "b", None),
            (
                "x",
                "2026-11-21T04:00:00Z",
                "b",
                Some("there is no \"x\" here"),
            ),
            ("", "soon", "b", Some("`endsAt` is \"soon\": no instant")),
        ];
        for (id, ends, value, why) in cases {
            assert_eq!(posted(id, ends, value).as_deref(), why);
        }
        let why = posted("", "2026-11-21T04:00:00Z", "(").unwrap();
        assert!(why.starts_with("\"(\" is no regular expression"), "{why}");
    }
}
