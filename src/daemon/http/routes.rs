//! The API's routes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::alertmanager::alertmanager_routes;
use super::answer::{Answer, ApiError};
use super::caller::{Callers, Peer};
use super::metrics::metrics_routes;
use super::silences::{alertmanager_silence_routes, silence_routes};
use crate::api::filter::Filter;
use crate::api::{
    AlertPage, AuditPage, CommandReply, IncidentDetail, IncidentPage, Page, Panels, RunbookRow,
    View, path,
};
use crate::daemon::Door;
use crate::daemon::gauges::Gauges;
use crate::daemon::hub::Hub;
use crate::daemon::ledger::Ledger;
use crate::daemon::shelf::Shelf;
use crate::engine::Engine;
use crate::engine::raw_lines::Wanted;
use crate::engine::recorded::Asked;
use crate::model::{
    Actor, AlertPlace, Command, Dependence, EntityId, Feedback, Fingerprint, IncidentId,
    IncidentRow, Ledger as SpeakerLedger, Phase, Plan, RawLines, Recorded, RecordedPart, Runbook,
    Time, WhyAnswer,
};
use crate::sources::SourceRegistry;

/// Largest command, in bytes: a long note.
const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Consoles that watch at the same time.
const WATCHES_MAX: usize = 256;
/// Items of a page when nothing else is asked for.
const PAGE_ITEMS: usize = 100;
/// Items of the largest page.
const PAGE_ITEMS_MAX: usize = 1_000;
/// Charts on the metrics pane.
const CHARTS_MAX: usize = 12;
/// Groups on the logs pane.
const LOG_GROUPS_MAX: usize = 50;
/// Traces on the traces pane.
const TRACES_MAX: usize = 5;
/// Longest stretch of a recording that is read for a console, in milliseconds: a day and what is around it.
const STRETCH_MS_MAX: i64 = 26 * 3_600_000;
/// Operators named to whoever gave an incident to somebody else.
const OPERATORS_NAMED_MAX: usize = 10;
/// Final plans listed after those that are not.
const FINAL_PLANS_MAX: usize = 50;

/// What handlers reach.
#[derive(Clone, Debug)]
pub struct Api {
    pub(super) door: Door,
    hub: Arc<Hub>,
    ledger: Ledger,
    shelf: Shelf,
    registry: SourceRegistry,
    pub(super) gauges: Gauges,
    callers: Callers,
    watches: Arc<Semaphore>,
}

/// The person behind a request; a request without one is refused.
pub(super) struct Caller(pub(super) Actor);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IncidentParams {
    state: Option<IncidentState>,
    q: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum IncidentState {
    #[default]
    Open,
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PanelParams {
    entity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedParams {
    from: String,
    to: String,
    part: Option<RecordedPart>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineParams {
    entity: String,
    template: String,
    from: String,
    to: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DependenceParams {
    entity: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunbookParams {
    incident: Option<u64>,
    entity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertParams {
    incident: Option<u64>,
    order: Option<AlertOrder>,
    after: Option<String>,
    limit: Option<usize>,
}

/// In which order alerts come.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AlertOrder {
    /// The most urgent first.
    Urgency,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhyParams {
    series: String,
    at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerParams {
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditParams {
    after: Option<u64>,
    limit: Option<usize>,
}

impl Api {
    pub fn new(
        door: Door,
        hub: Arc<Hub>,
        kept: (Ledger, Shelf),
        gauges: Gauges,
        callers: Callers,
    ) -> Self {
        let (ledger, shelf) = kept;
        Self {
            door,
            hub,
            ledger,
            shelf,
            registry: gauges.registry.clone(),
            gauges,
            callers,
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
        }
    }
}

/// Everything below `/api/v1`, and what Alertmanager's clients read below `/api/v2`, for whoever the connection or the token says they are.
pub fn api_routes(api: Api) -> Router {
    Router::new()
        .route(path::VIEW, get(view))
        .route(path::WATCH, get(watch))
        .route(path::INCIDENTS, get(incidents))
        .route(path::INCIDENT, get(incident))
        .route(path::PANELS, get(panels))
        .route(path::RECORDED, get(recorded))
        .route(path::LINES, get(lines))
        .route(path::DEPENDENCE, get(dependence))
        .route(path::ALERTS, get(alerts))
        .route(path::PLANS, get(plans))
        .route(path::RUNBOOKS, get(runbooks))
        .route(path::FEEDBACK, get(feedback))
        .route(path::WHY, get(why))
        .route(path::LEDGER, get(ledger))
        .route(path::COMMANDS, post(command))
        .route(path::AUDIT, get(audit))
        .merge(metrics_routes())
        .merge(alertmanager_routes())
        .merge(silence_routes())
        .merge(alertmanager_silence_routes())
        .layer(DefaultBodyLimit::max(COMMAND_BYTES_MAX))
        .with_state(api)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
}

async fn view(State(api): State<Api>, Caller(actor): Caller) -> Json<View> {
    Json(api.hub.snapshot(&actor))
}

async fn watch(State(api): State<Api>, Caller(actor): Caller) -> Result<Response, ApiError> {
    let Ok(seat) = Arc::clone(&api.watches).try_acquire_owned() else {
        let message = format!("{WATCHES_MAX} consoles watch already: close one");
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    };
    let console = api.hub.attach(actor);
    let lines = futures_util::stream::unfold((console, seat), |(mut console, seat)| async move {
        let line = console.next().await?;
        Some((Ok::<_, Infallible>(line), (console, seat)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

async fn incidents(
    State(api): State<Api>,
    Caller(actor): Caller,
    params: Result<Query<IncidentParams>, QueryRejection>,
) -> Answer<IncidentPage> {
    let Query(params) = params?;
    let state = params.state.unwrap_or_default();
    let filter = Filter::parse(&params.q.unwrap_or_default());
    let mut rows = api.hub.snapshot(&actor).incidents;
    rows.retain(|_, row| state == IncidentState::All || row.phase != Phase::Resolved);
    if !filter.is_empty() {
        rows = passing(&api, filter, rows).await?;
    }
    let total = rows.len() as u64;
    let after = IncidentId(params.after.unwrap_or(0));
    let items = rows.into_values().filter(|row| row.id > after);
    Ok(Json(page(items, total, params.limit, |row| {
        row.id.0.to_string()
    })))
}

/// The rows a filter lets pass. Of those that touch more than they name the engine knows the rest.
async fn passing(
    api: &Api,
    filter: Filter,
    mut rows: BTreeMap<IncidentId, IncidentRow>,
) -> Result<BTreeMap<IncidentId, IncidentRow>, ApiError> {
    let names_all = |row: &IncidentRow| row.entities as usize <= row.members.len();
    let crowded = rows.extract_if(.., |_, row| !names_all(row));
    let mut crowded: BTreeMap<IncidentId, IncidentRow> = crowded.collect();
    rows.retain(|_, row| filter.incident(row));
    if !crowded.is_empty() {
        let passing = api.door.query(move |engine| {
            crowded.retain(|id, row| filter.incident_of(row, &engine.members(*id)));
            crowded
        });
        rows.extend(passing.await?);
    }
    Ok(rows)
}

async fn incident(
    State(api): State<Api>,
    _: Caller,
    id: Result<Path<u64>, PathRejection>,
) -> Answer<IncidentDetail> {
    let id = IncidentId(id?.0);
    let detail = api.door.query(move |engine| {
        let incident = engine.with_surroundings(engine.incident(id)?.clone());
        let plans = incident
            .plans
            .iter()
            .filter_map(|plan| engine.plan(*plan).cloned())
            .collect();
        Some(IncidentDetail { incident, plans })
    });
    let detail = match detail.await? {
        Some(detail) => Some(detail),
        None => api.ledger.incident(id).await,
    };
    if let Some(detail) = detail {
        return Ok(Json(detail));
    }
    // Without a journal nothing is kept of what was merged but where it went.
    let home = api.door.query(move |engine| engine.home(id)).await?;
    Err(if home == id {
        no_incident(id)
    } else {
        ApiError::not_found(format!("incident {id} was merged into {home}"))
    })
}

async fn panels(
    State(api): State<Api>,
    _: Caller,
    id: Result<Path<u64>, PathRejection>,
    params: Result<Query<PanelParams>, QueryRejection>,
) -> Answer<Panels> {
    let id = IncidentId(id?.0);
    let entity = params?.0.entity.map(|text| EntityId::parse(&text));
    let panels = api.door.query(move |engine| {
        engine.incident(id)?;
        let entity = entity.as_ref();
        Some(Panels {
            charts: engine.charts(id, entity, CHARTS_MAX),
            logs: engine.logs(id, entity, LOG_GROUPS_MAX),
            traces: engine.traces(id, entity, TRACES_MAX),
        })
    });
    panels.await?.map(Json).ok_or_else(|| no_incident(id))
}

async fn recorded(
    State(api): State<Api>,
    _: Caller,
    id: Result<Path<u64>, PathRejection>,
    params: Result<Query<RecordedParams>, QueryRejection>,
) -> Answer<Recorded> {
    let id = IncidentId(id?.0);
    let Query(RecordedParams { from, to, part }) = params?;
    let (from, to) = stretch(&from, &to)?;
    let asked = api
        .door
        .query(move |engine| engine.asked(id, from, to, CHARTS_MAX));
    let asked = if let Some(asked) = asked.await? {
        asked
    } else {
        let kept = api.ledger.incident(id).await;
        let kept = kept.ok_or_else(|| no_incident(id))?;
        Asked::of(&kept.incident, from, to)
    };
    let recorded = api.shelf.read(asked).await;
    recorded
        .map(|recorded| Json(recorded.only(part.unwrap_or_default())))
        .map_err(|why| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn lines(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<LineParams>, QueryRejection>,
) -> Answer<RawLines> {
    let Query(params) = params?;
    let (from, to) = stretch(&params.from, &params.to)?;
    let entity = EntityId::parse(&params.entity);
    let names = api.door.query(move |engine| engine.names_of(entity));
    let wanted = Wanted {
        names: names.await?,
        template: params.template.into(),
        from,
        to,
        limit: params.limit.unwrap_or(PAGE_ITEMS),
    };
    let lines = api.shelf.lines(wanted).await;
    lines
        .map(Json)
        .map_err(|why| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn dependence(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<DependenceParams>, QueryRejection>,
) -> Answer<Dependence> {
    let Query(DependenceParams { entity }) = params?;
    let entity = EntityId::parse(&entity);
    let told = api.door.query(move |engine| engine.dependence(&entity));
    Ok(Json(told.await?))
}

/// A stretch of the recording that may be asked for.
fn stretch(from: &str, to: &str) -> Result<(Time, Time), ApiError> {
    let [from, to] = [from, to].map(Time::parse_rfc3339);
    let stretch = from.zip(to);
    let stretch = stretch.filter(|(from, to)| (1..=STRETCH_MS_MAX).contains(&to.since(*from)));
    stretch.ok_or_else(|| {
        let message =
            "`from` and `to` must be like 2026-11-21T03:00:00Z, in order, at most 26 h apart";
        ApiError::bad_request(message)
    })
}

async fn alerts(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<AlertParams>, QueryRejection>,
) -> Answer<AlertPage> {
    let Query(params) = params?;
    if params.order.is_some() {
        return alerts_by_urgency(&api, params).await;
    }
    let after = match params
        .after
        .as_deref()
        .map(|hex| u64::from_str_radix(hex, 16))
    {
        None => None,
        Some(Ok(fingerprint)) => Some(Fingerprint(fingerprint)),
        Some(Err(_)) => {
            let message = "`after` must be a fingerprint: up to 16 hex digits";
            return Err(ApiError::bad_request(message));
        }
    };
    let incident = params.incident.map(IncidentId);
    let wanted = items(params.limit);
    let (rows, total) = api
        .door
        .query(move |engine| {
            let total = match incident {
                Some(id) => engine
                    .incident(id)
                    .map_or(0, |i| i.impact.alerts_total.into()),
                None => engine.counts().alerts_firing,
            };
            (engine.alerts(after, wanted + 1, incident), total)
        })
        .await?;
    Ok(Json(page(rows.into_iter(), total, params.limit, |row| {
        row.fingerprint.to_string()
    })))
}

async fn alerts_by_urgency(api: &Api, params: AlertParams) -> Answer<AlertPage> {
    if params.incident.is_some() {
        let message = "`order` and `incident` do not go together";
        return Err(ApiError::bad_request(message));
    }
    let after = match params.after.as_deref().map(AlertPlace::parse) {
        None => None,
        Some(Some(after)) => Some(after),
        Some(None) => {
            let message = "`after` must be what `next` of the page before said";
            return Err(ApiError::bad_request(message));
        }
    };
    let wanted = items(params.limit);
    let rows = api.door.query(move |engine| {
        let rows = engine.alerts_by_urgency(after, wanted + 1);
        (rows, engine.counts().alerts_firing)
    });
    let (rows, total) = rows.await?;
    Ok(Json(page(rows.into_iter(), total, params.limit, |row| {
        row.place().to_string()
    })))
}

async fn plans(State(api): State<Api>, _: Caller) -> Answer<Vec<Plan>> {
    let plans = api.door.query(|engine| {
        let (done, mut plans): (Vec<&Plan>, Vec<&Plan>) =
            engine.plans().partition(|plan| plan.state.is_final());
        plans.extend(done.iter().rev().take(FINAL_PLANS_MAX));
        plans.into_iter().cloned().collect()
    });
    Ok(Json(plans.await?))
}

async fn runbooks(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<RunbookParams>, QueryRejection>,
) -> Answer<Vec<RunbookRow>> {
    let Query(RunbookParams { incident, entity }) = params?;
    let of = match (incident, entity) {
        (Some(incident), Some(entity)) => Some((IncidentId(incident), EntityId::parse(&entity))),
        (None, None) => None,
        _ => {
            let message = "`incident` and `entity` go together";
            return Err(ApiError::bad_request(message));
        }
    };
    let row = |runbook: &Runbook| RunbookRow {
        name: runbook.name.clone(),
        title: runbook.title.clone(),
        description: runbook.description.clone(),
        risk: runbook.risk,
        refused: None,
    };
    let rows = api.door.query(move |engine| match of {
        Some((incident, entity)) => {
            let runbooks = engine.runbooks_for(incident, &entity).into_iter();
            let rendered = runbooks.map(|(runbook, rendered)| match rendered {
                Ok(title) => RunbookRow {
                    title: title.into(),
                    ..row(runbook)
                },
                refused => RunbookRow {
                    refused: refused.err(),
                    ..row(runbook)
                },
            });
            rendered.collect()
        }
        None => engine.runbooks().iter().map(row).collect(),
    });
    Ok(Json(rows.await?))
}

async fn why(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<WhyParams>, QueryRejection>,
) -> Answer<WhyAnswer> {
    let Query(WhyParams { series, at }) = params?;
    let at = match at.as_deref().map(Time::parse_rfc3339) {
        None => None,
        Some(Some(at)) => Some(at),
        Some(None) => {
            let message = "`at` must be like 2026-11-21T03:00:00Z";
            return Err(ApiError::bad_request(message));
        }
    };
    let answer = api.door.query(move |engine| engine.why(&series, at));
    Ok(Json(answer.await?))
}

async fn ledger(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<LedgerParams>, QueryRejection>,
) -> Answer<SpeakerLedger> {
    let Query(LedgerParams { source }) = params?;
    let lost = api.registry.lost();
    let asked = move |engine: &Engine| match source {
        Some(source) => engine.ledger_of(&source, &lost),
        None => engine.ledger(&lost),
    };
    Ok(Json(api.door.query(asked).await?))
}

async fn feedback(State(api): State<Api>, _: Caller) -> Answer<Feedback> {
    Ok(Json(api.door.query(Engine::feedback).await?))
}

async fn command(
    State(api): State<Api>,
    Caller(actor): Caller,
    command: Result<Json<Command>, JsonRejection>,
) -> Answer<CommandReply> {
    let Json(command) = command?;
    // What an Alertmanager has may last longer than people may silence; only the daemon says so.
    if let Command::Silence { twin: Some(_), .. } = command {
        return Err(ApiError::bad_request(
            "`twin` is for the daemon to say: leave it out",
        ));
    }
    let mut reply = api.door.command(actor, command).await?;
    if let (Command::Assign { incident, to }, None, None) =
        (&reply.command, &reply.refused, &reply.notice)
    {
        reply.notice = stranger(&api.callers, *incident, to);
    }
    Ok(Json(reply))
}

/// What to say of an incident that was given to somebody who is not known: a slip of the pen is nobody's phone call.
fn stranger(callers: &Callers, incident: IncidentId, to: &str) -> Option<String> {
    if callers.knows(to) {
        return None;
    }
    let operators: Vec<&str> = callers.operators().take(OPERATORS_NAMED_MAX).collect();
    let known = match &*operators {
        [] => String::new(),
        some => format!("; operators are {}", some.join(", ")),
    };
    Some(format!(
        "{incident} is given to {to}, but no operator and no user of this machine is called so{known}"
    ))
}

async fn audit(
    State(api): State<Api>,
    _: Caller,
    params: Result<Query<AuditParams>, QueryRejection>,
) -> Answer<AuditPage> {
    let Query(params) = params?;
    let wanted = items(params.limit);
    let entries = match params.after {
        // One more than asked for says whether there is more.
        Some(after) => api.ledger.read(Some(after), wanted + 1).await,
        None => api.ledger.read(None, wanted).await,
    };
    let (entries, total) =
        entries.map_err(|why| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    let entries = entries.into_iter();
    Ok(Json(page(entries, total, params.limit, |entry| {
        entry.line.to_string()
    })))
}

async fn nothing_here(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no {} here", uri.path()))
}

async fn wrong_method(uri: Uri) -> ApiError {
    let message = format!("{} does not take this method", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

fn no_incident(id: IncidentId) -> ApiError {
    ApiError::not_found(format!("there is no incident {id}"))
}

fn items(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE_ITEMS).clamp(1, PAGE_ITEMS_MAX)
}

/// Cuts a page off `items`, which must go on past its end if there is more.
fn page<T>(
    items_left: impl Iterator<Item = T>,
    total: u64,
    limit: Option<usize>,
    key: impl Fn(&T) -> String,
) -> Page<T> {
    let wanted = items(limit);
    let mut items: Vec<T> = items_left.take(wanted + 1).collect();
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(key);
    Page { items, next, total }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<Peer>();
        let peer = peer.unwrap_or(&Peer::Remote);
        api.callers.actor(peer, &parts.headers).map(Self)
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let message = format!("a command has at most {COMMAND_BYTES_MAX} bytes");
            return Self::new(rejection.status(), message);
        }
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
