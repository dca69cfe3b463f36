//! Deployments and releases told by GitHub, GitLab and Gitea, as changes.
//!
//! Nothing unsigned is read: GitHub and Gitea sign the body (HMAC-SHA256), GitLab sends the secret
//! itself; both are compared in constant time. A delivery that was taken once is not taken again. While the secret
//! cannot be read, a forge is asked to come again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ring::hmac;
use serde_json::{Value, json};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use super::{Hook, head, instant};
use crate::config::ForgeConfig;
use crate::model::{Change, ChangeKind, EntityId, EntityKind, Labels, Signal, Time};
use crate::sources::SignalSender;
use crate::sources::backoff::Backoff;
use crate::sources::http::Refusal;
use crate::sources::recent::Recent;

/// Shorter secrets are guessed, in bytes.
const SECRET_BYTES_MIN: usize = 16;
/// Deliveries remembered, to drop those that come again.
const DELIVERIES_REMEMBERED_MAX: usize = 20_000;
/// Longest title of a change, in bytes.
const TITLE_BYTES_MAX: usize = 512;
/// Longest version shown, in bytes.
const VERSION_BYTES_MAX: usize = 64;
/// Characters of a commit that are shown.
const COMMIT_CHARS: usize = 12;

/// Which of them sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum ForgeKind {
    /// GitHub and its enterprise server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea and Forgejo.
    Gitea,
}

/// A forge whose webhooks are taken.
#[derive(Clone)]
pub(in crate::sources) struct Forge {
    kind: ForgeKind,
    secret_file: PathBuf,
    /// Nothing while the file cannot be read.
    secret: Arc<OnceLock<Secret>>,
    taken: Arc<Mutex<Recent<u128, ()>>>,
}

/// What both sides know.
struct Secret {
    key: hmac::Key,
    /// What the secret itself becomes under its own key: compared instead of it.
    tag: hmac::Tag,
}

/// Why a forge cannot be listened to.
#[derive(Debug, Error)]
#[error("`{setting}` {}: {why}; write it there: it is read again by itself", path.display())]
pub(in crate::sources) struct SecretError {
    pub(in crate::sources) setting: &'static str,
    pub(in crate::sources) path: PathBuf,
    why: String,
}

#[derive(Clone)]
struct Receiver {
    forge: Forge,
    hook: Hook,
}

impl ForgeKind {
    /// Name of its source, and of its section in the config.
    pub(in crate::sources) const fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
        }
    }

    /// The setting of its secret.
    pub(in crate::sources) const fn secret_setting(self) -> &'static str {
        match self {
            Self::GitHub => "sources.github.secret_file",
            Self::GitLab => "sources.gitlab.secret_file",
            Self::Gitea => "sources.gitea.secret_file",
        }
    }

    /// Where its webhooks are taken.
    pub(in crate::sources) const fn path(self) -> &'static str {
        match self {
            Self::GitHub => "/webhook/github",
            Self::GitLab => "/webhook/gitlab",
            Self::Gitea => "/webhook/gitea",
        }
    }

    /// Headers with the kind of event, the id of the delivery, and the proof.
    const fn headers(self) -> [&'static str; 3] {
        match self {
            Self::GitHub => ["x-github-event", "x-github-delivery", "x-hub-signature-256"],
            Self::GitLab => ["x-gitlab-event", "x-gitlab-event-uuid", "x-gitlab-token"],
            Self::Gitea => ["x-gitea-event", "x-gitea-delivery", "x-gitea-signature"],
        }
    }
}

impl Forge {
    /// `None` when the config names no secret. It is not read yet.
    pub(in crate::sources) fn new(kind: ForgeKind, config: &ForgeConfig) -> Option<Self> {
        Some(Self {
            kind,
            secret_file: config.secret_file.clone()?,
            secret: Arc::default(),
            taken: Arc::new(Mutex::new(Recent::new(DELIVERIES_REMEMBERED_MAX))),
        })
    }

    /// Reads the secret that both sides know, unless it was read before.
    pub(in crate::sources) fn learn_secret(&self) -> Result<(), SecretError> {
        if self.secret.get().is_some() {
            return Ok(());
        }
        let secret = Secret::read(&self.secret_file).map_err(|why| SecretError {
            setting: self.kind.secret_setting(),
            path: self.secret_file.clone(),
            why,
        })?;
        // Whoever was faster read the same file.
        let _ = self.secret.set(secret);
        Ok(())
    }

    /// Reads it again and again until it is there, if it is not; until then the source is shown as failed.
    pub(in crate::sources) async fn learn_secret_late(self, sender: SignalSender) {
        let mut backoff = Backoff::new();
        let mut was_missing = false;
        while let Err(error) = self.learn_secret() {
            was_missing = true;
            sender.fail(&error.to_string());
            tokio::time::sleep(backoff.next_wait()).await;
        }
        if was_missing {
            sender.recovered();
        }
    }

    /// The receiver's routes.
    pub(in crate::sources) fn routes(self, hook: Hook) -> Router {
        let path = self.kind.path();
        let state = Receiver { forge: self, hook };
        Router::new().route(path, post(receive)).with_state(state)
    }

    /// Whether the sender knows the secret.
    fn is_proven(&self, secret: &Secret, headers: &HeaderMap, body: &[u8]) -> bool {
        let [_, _, proof] = self.kind.headers();
        let Some(proof) = headers.get(proof).and_then(|value| value.to_str().ok()) else {
            return false;
        };
        match self.kind {
            ForgeKind::GitLab => {
                hmac::verify(&secret.key, proof.as_bytes(), secret.tag.as_ref()).is_ok()
            }
            ForgeKind::GitHub | ForgeKind::Gitea => {
                let hex = proof.strip_prefix("sha256=").unwrap_or(proof);
                unhex(hex).is_some_and(|tag| hmac::verify(&secret.key, body, &tag).is_ok())
            }
        }
    }

    /// Whether a delivery comes for the first time. One without an id is known by its body.
    fn is_new(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let [_, delivery, _] = self.kind.headers();
        let id = headers.get(delivery).map_or(body, |value| value.as_bytes());
        let key = xxh3_128(id);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(&key).is_some() {
            return false;
        }
        taken.put(key, ());
        true
    }

    /// The change an event tells; `None` for one that tells none.
    fn change(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Time,
    ) -> Result<Option<Change>, String> {
        let [event, _, _] = self.kind.headers();
        let event = headers.get(event).and_then(|value| value.to_str().ok());
        let event = event.unwrap_or_default();
        match (self.kind, event) {
            (ForgeKind::GitHub, "deployment_status") => deployment_of_github(&parse(body)?, now),
            (ForgeKind::GitLab, "Deployment Hook") => deployment_of_gitlab(&parse(body)?, now),
            (ForgeKind::GitLab, "Release Hook") => release_of_gitlab(&parse(body)?, now),
            (ForgeKind::GitHub | ForgeKind::Gitea, "release") => {
                release(self.kind, &parse(body)?, now)
            }
            _ => Ok(None),
        }
    }
}

impl Secret {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let secret = text.trim();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!(
                "shorter than {SECRET_BYTES_MIN} bytes: `openssl rand -hex 32` makes a good one"
            ));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, secret.as_bytes());
        Ok(Self { key, tag })
    }
}

async fn receive(State(receiver): State<Receiver>, request: Request) -> Response {
    let Receiver { forge, hook } = receiver;
    let mut is_unproven = false;
    let mut is_replayed = false;
    let taken = hook
        .take(request, |headers, body, now| {
            let Some(secret) = forge.secret.get() else {
                let why =
                    "our copy of the secret cannot be read: see `stormglass doctor`, and try again";
                return Err(Refusal::Unready(why.to_owned()));
            };
            if !forge.is_proven(secret, headers, body) {
                is_unproven = true;
                let why = "the signature or token does not fit the secret".to_owned();
                return Err(Refusal::Malformed(why));
            }
            let change = forge
                .change(headers, body, now)
                .map_err(Refusal::Malformed)?;
            if !forge.is_new(headers, body) {
                is_replayed = true;
                return Ok(Vec::new());
            }
            Ok(change
                .map(|change| Signal::Change(Box::new(change)))
                .into_iter()
                .collect())
        })
        .await;
    match taken {
        Ok(count) => {
            if is_replayed {
                hook.sender.reject(1, "a delivery came a second time");
            }
            Json(json!({ "taken": count })).into_response()
        }
        Err(refusal) if is_unproven => {
            let why = Json(json!({ "error": refusal.to_string() }));
            (StatusCode::UNAUTHORIZED, why).into_response()
        }
        Err(refusal) => refusal.answer(Json(json!({ "error": refusal.to_string() }))),
    }
}

fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))
}

/// A text in an event, by its path.
fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event
        .pointer(pointer)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Like [`text`], of something the event must have.
fn needed<'a>(event: &'a Value, pointer: &str) -> Result<&'a str, String> {
    text(event, pointer).ok_or_else(|| format!("{pointer} is missing"))
}

fn number(event: &Value, pointer: &str) -> Result<u64, String> {
    let number = event.pointer(pointer).and_then(Value::as_u64);
    number.ok_or_else(|| format!("{pointer} is missing"))
}

/// What is told of a change.
#[derive(Default)]
struct Told<'a> {
    id: String,
    service: &'a str,
    version: Option<&'a str>,
    environment: Option<&'a str>,
    by: Option<&'a str>,
    at: Option<Time>,
    labels: Vec<(&'a str, &'a str)>,
}

impl Told<'_> {
    fn into_change(self, now: Time) -> Result<Change, String> {
        let shown = self.version.map(|version| head(version, VERSION_BYTES_MAX));
        let place = self.environment.map(|name| format!(" to {name}"));
        let title = format!(
            "{} {}{}",
            self.service,
            shown.unwrap_or_default(),
            place.unwrap_or_default()
        );
        let environment = self.environment.map(|name| ("environment", name));
        let labels = self.labels.into_iter().chain(environment);
        Ok(Change {
            id: self.id.into(),
            at: self.at.unwrap_or(now),
            kind: ChangeKind::Deploy,
            entity: EntityId::new(EntityKind::Service, self.service),
            title: head(&title, TITLE_BYTES_MAX).into(),
            version: shown.map(Box::from),
            previous_version: None,
            by: self.by.map(Box::from),
            labels: Labels::from_pairs(labels).map_err(|e| e.to_string())?,
        })
    }
}

/// A deployment counts once it succeeded: until then the old version serves.
fn deployment_of_github(event: &Value, now: Time) -> Result<Option<Change>, String> {
    if needed(event, "/deployment_status/state")? != "success" {
        return Ok(None);
    }
    let told = Told {
        id: format!("github-deployment-{}", number(event, "/deployment/id")?),
        service: needed(event, "/repository/name")?,
        version: text(event, "/deployment/sha").map(|sha| head(sha, COMMIT_CHARS)),
        environment: text(event, "/deployment/environment"),
        by: text(event, "/deployment/creator/login"),
        at: instant("created_at", text(event, "/deployment_status/created_at"))?,
        labels: labels(
            event,
            &[
                ("ref", "/deployment/ref"),
                ("url", "/deployment_status/target_url"),
            ],
        ),
    };
    told.into_change(now).map(Some)
}

fn deployment_of_gitlab(event: &Value, now: Time) -> Result<Option<Change>, String> {
    if needed(event, "/status")? != "success" {
        return Ok(None);
    }
    let told = Told {
        id: format!("gitlab-deployment-{}", number(event, "/deployment_id")?),
        service: needed(event, "/project/name")?,
        version: text(event, "/short_sha"),
        environment: text(event, "/environment"),
        by: text(event, "/user/username"),
        // Its time is written in a form of its own ("2021-04-28 21:50:00 +0200").
        at: text(event, "/status_changed_at").and_then(gitlab_time),
        labels: labels(event, &[("ref", "/ref"), ("url", "/deployable_url")]),
    };
    told.into_change(now).map(Some)
}

fn release_of_gitlab(event: &Value, now: Time) -> Result<Option<Change>, String> {
    if needed(event, "/action")? != "create" {
        return Ok(None);
    }
    let told = Told {
        id: format!("gitlab-release-{}", number(event, "/id")?),
        service: needed(event, "/project/name")?,
        version: text(event, "/tag"),
        at: text(event, "/released_at").and_then(gitlab_time),
        labels: labels(event, &[("url", "/url")]),
        ..Told::default()
    };
    told.into_change(now).map(Some)
}

/// GitHub and Gitea tell releases alike.
fn release(kind: ForgeKind, event: &Value, now: Time) -> Result<Option<Change>, String> {
    if needed(event, "/action")? != "published" {
        return Ok(None);
    }
    let told = Told {
        id: format!("{}-release-{}", kind.name(), number(event, "/release/id")?),
        service: needed(event, "/repository/name")?,
        version: text(event, "/release/tag_name"),
        environment: None,
        by: text(event, "/release/author/login"),
        at: instant("published_at", text(event, "/release/published_at"))?,
        labels: labels(event, &[("url", "/release/html_url")]),
    };
    told.into_change(now).map(Some)
}

fn labels<'a>(event: &'a Value, named: &[(&'a str, &str)]) -> Vec<(&'a str, &'a str)> {
    let pairs = named.iter();
    pairs
        .filter_map(|(name, pointer)| Some((*name, text(event, pointer)?)))
        .collect()
}

/// `2021-04-28 21:50:00 +0200`, or RFC 3339.
fn gitlab_time(text: &str) -> Option<Time> {
    let own = chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S %z");
    let own = own.ok().map(|at| Time::from_ms(at.timestamp_millis()));
    own.or_else(|| Time::parse_rfc3339(text))
}

/// Bytes written as hex digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each event that is read, and a real body of it.
    const EVENTS: [(ForgeKind, &str, &str); 5] = [
        (
            ForgeKind::GitHub,
            "deployment_status",
            r#"{"deployment_status":{"state":"success","created_at":"2026-11-20T15:00:00Z","target_url":"https://ci"},
                "deployment":{"id":7,"sha":"279484c09fbe69ded8ccd5e3c6bb2f24","ref":"v2","environment":"prod",
                "creator":{"login":"mia"}},"repository":{"name":"cart"}}"#,
        ),
        (
            ForgeKind::GitHub,
            "release",
            r#"{"action":"published","release":{"id":1,"tag_name":"v2","published_at":"2026-11-20T15:00:00Z",
                "html_url":"https://r","author":{"login":"mia"}},"repository":{"name":"cart"}}"#,
        ),
        (
            ForgeKind::Gitea,
            "release",
            r#"{"action":"published","release":{"id":1,"tag_name":"v2","published_at":"2026-11-20T15:00:00+01:00",
                "html_url":"https://r","author":{"login":"mia"}},"repository":{"name":"cart"}}"#,
        ),
        (
            ForgeKind::GitLab,
            "Deployment Hook",
            r#"{"status":"success","status_changed_at":"2026-11-20 15:00:00 +0100","deployment_id":15,
                "environment":"prod","project":{"name":"shop"},"short_sha":"279484c0","ref":"main",
                "deployable_url":"https://j","user":{"username":"mia"}}"#,
        ),
        (
            ForgeKind::GitLab,
            "Release Hook",
            r#"{"action":"create","id":1,"tag":"v2","released_at":"2026-11-20 15:00:00 UTC","url":"https://r",
                "project":{"name":"shop"}}"#,
        ),
    ];

    const NOW: Time = Time::from_secs(1_795_186_800);

    fn read(kind: ForgeKind, event: &str, body: &[u8]) -> Result<Option<Change>, String> {
        let config = ForgeConfig {
            secret_file: Some(PathBuf::from("/nowhere")),
        };
        let forge = Forge::new(kind, &config).ok_or("a forge")?;
        let mut headers = HeaderMap::new();
        let event = event.parse().map_err(|_| "a header".to_owned())?;
        headers.insert(kind.headers()[0], event);
        forge.change(&headers, body, NOW)
    }

    #[test]
    fn every_real_event_is_a_change() {
        for (kind, event, body) in EVENTS {
            let change = read(kind, event, body.as_bytes()).unwrap();
            assert!(change.is_some(), "{kind:?} {event}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: std::env::var("PROPTEST_CASES").map_or(64, |text| text.parse().unwrap_or(64)),
            ..ProptestConfig::default()
        })]

        /// Whatever a forge that knows the secret sends, cut short, bent, or of other types: it is a change
        /// within bounds, none, or refused by name.
        #[test]
        fn any_body_is_a_change_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
            odd in r#"(null|7|-1e999|18446744073709551615|true|\[\]|\{\}|"[^"\\]{0,40}")"#,
            which in 0..40_usize,
            cut: prop::sample::Index,
            at: prop::sample::Index,
            with in any::<char>(),
        ) {
            for (kind, event, body) in EVENTS {
                let cut = body.floor_char_boundary(cut.index(body.len()));
                let at = body.floor_char_boundary(at.index(body.len()));
                let bent = format!("{}{with}{}", &body[..at], &body[at..]);
                // One of its values replaced by another.
                let colon = body.match_indices(':').map(|(place, _)| place + 1).nth(which % 12);
                let end = colon.map(|from| from + body[from..].find([',', '}']).unwrap_or(0));
                let other = colon.zip(end).map_or_else(String::new, |(from, end)| {
                    format!("{}{odd}{}", &body[..from], &body[end..])
                });
                let all = [&bytes[..], text.as_bytes(), &body.as_bytes()[..cut], bent.as_bytes(), other.as_bytes()];
                for body in all {
                    match read(kind, event, body) {
                        Ok(None) => {}
                        Ok(Some(change)) => {
                            prop_assert!(change.title.len() <= TITLE_BYTES_MAX);
                            prop_assert!(change.version.is_none_or(|v| v.len() <= VERSION_BYTES_MAX));
                        }
                        Err(why) => prop_assert!(!why.is_empty()),
                    }
                }
            }
        }

        #[test]
        fn any_proof_is_compared(proof in r"(sha256=)?([0-9a-f]{0,66}|\PC{0,20})") {
            let _ = unhex(proof.strip_prefix("sha256=").unwrap_or(&proof));
        }
    }
}
