//! Keeps our silences and those of Alertmanagers in step, through their API.
//!
//! It asks every few seconds, decides by [`plan()`] alone, and changes ours by commands like anybody
//! else's, so that they are in the journal. One that does not answer is shown as a source that failed;
//! nothing of ours ends because of it.

mod plan;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use tokio::task::JoinHandle;

use super::Door;
use super::clock::Clock;
use super::http::Matcher;
use crate::config::AlertmanagerConfig;
use crate::model::{
    Actor, Command, LabelFilter, Refusal, Role, SafeText, Silence, SilenceState, Time,
};
use crate::sources::{Rhythm, SignalSender, SourceRegistry, http_client, in_full, token};
use plan::{Errand, Theirs, body, link, plan, spec_of};

/// How long an Alertmanager may take to answer, in seconds.
const TIMEOUT_S: u32 = 10;
/// Largest answer read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Most things done in one round; the next one goes on.
const ERRANDS_MAX: usize = 200;
/// Silences that cannot be taken, each told once; beyond it they are told again.
const REFUSED_MAX: usize = 1_000;

/// One Alertmanager.
struct Follower {
    config: AlertmanagerConfig,
    http: Client,
    door: Door,
    source: SignalSender,
    clock: Clock,
    /// Theirs that we cannot take, told already.
    refused: BTreeSet<String>,
    /// Commands that our engine would refuse again: each would be one more line of the journal.
    hopeless: BTreeSet<String>,
}

/// A silence on the wire.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Gettable {
    id: String,
    status: Status,
    updated_at: String,
    matchers: Vec<Matcher>,
    starts_at: String,
    ends_at: String,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
struct Status {
    state: String,
}

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "silenceID")]
    id: String,
}

/// Starts following each; abort the tasks to stop.
pub(super) fn follow(
    config: &[AlertmanagerConfig],
    door: &Door,
    registry: &SourceRegistry,
    clock: &Clock,
) -> Result<Vec<JoinHandle<()>>, String> {
    let each = config.iter().map(|config| {
        let http = http_client(TIMEOUT_S);
        let http = http.map_err(|error| format!("[[alertmanagers]] {}: {error}", config.name))?;
        let name = format!("alertmanager {}", config.name);
        let follower = Follower {
            config: config.clone(),
            http,
            door: door.clone(),
            source: registry.source(&name, Rhythm::Regular, &config.url),
            clock: clock.clone(),
            refused: BTreeSet::new(),
            hopeless: BTreeSet::new(),
        };
        Ok(tokio::spawn(follower.run()))
    });
    each.collect()
}

impl Follower {
    async fn run(mut self) {
        let every = Duration::from_secs(u64::from(self.config.every_s.max(1)));
        loop {
            match self.round().await {
                Ok(()) => {
                    self.source.recovered();
                    // That it answers is what it says.
                    self.source.hear(self.clock.now());
                }
                Err(why) => self.source.fail(&why),
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Compares once, and does what must be done.
    async fn round(&mut self) -> Result<(), String> {
        let theirs = self.theirs().await?;
        let ours = self
            .door
            .query(|engine| engine.silences().cloned().collect::<Vec<_>>());
        let ours = ours.await.map_err(|error| error.to_string())?;
        let mut errands = plan(&self.config.name, self.config.push, &theirs, &ours);
        errands.retain(|errand| !self.is_hopeless(errand));
        // One that fails must not keep the others from being done.
        let mut first_error = Ok(());
        for errand in errands.into_iter().take(ERRANDS_MAX) {
            let done = self.run_errand(errand).await;
            first_error = first_error.and(done);
        }
        first_error
    }

    fn is_hopeless(&self, errand: &Errand) -> bool {
        matches!(errand, Errand::Command { what, .. } if self.hopeless.contains(&fingerprint(what)))
    }

    async fn run_errand(&mut self, errand: Errand) -> Result<(), String> {
        match errand {
            Errand::Command { author, what } => self.give(&author, what).await,
            Errand::Delete(id) => self.delete(&id).await,
            Errand::Post { silence, id } => {
                let made = self.post(&silence, id.as_deref()).await?;
                if id.as_deref() == Some(&made) {
                    return Ok(());
                }
                // Somebody may have changed it since, or ended it.
                let id = silence.id;
                let now = self.door.query(move |engine| engine.silence(id).cloned());
                let now = now.await.map_err(|error| error.to_string())?;
                match now.filter(|silence| silence.state != SilenceState::Expired) {
                    Some(now) => {
                        let link = link(&self.config.name, &made, spec_of(&now));
                        self.give("", link).await
                    }
                    None => self.delete(&made).await,
                }
            }
        }
    }

    async fn delete(&self, id: &str) -> Result<(), String> {
        let what = format!("silence/{id}");
        let request = self.request(Method::DELETE, &what).await?;
        let answer = request.send().await;
        let status = answer.map_err(in_full)?.status();
        // Somebody else may have ended it meanwhile.
        let is_done = status.is_success() || status == StatusCode::NOT_FOUND;
        is_done
            .then_some(())
            .ok_or_else(|| format!("it answers {status} to an end"))
    }

    async fn post(&self, silence: &Silence, id: Option<&str>) -> Result<String, String> {
        let request = self.request(Method::POST, "silences").await?;
        let request = request.json(&body(silence, id));
        let answer = request.send().await.map_err(in_full)?;
        let status = answer.status();
        let bytes = bounded(answer).await?;
        if !status.is_success() {
            let why = String::from_utf8_lossy(&bytes);
            let why: String = SafeText::new(&why).to_string().chars().take(200).collect();
            return Err(format!("it answers {status} to {}: {why}", silence.id));
        }
        let made: Made = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its answer cannot be read: {error}"))?;
        Ok(made.id)
    }

    /// Gives a command in the name of whoever did it there. What the engine refuses is told once.
    async fn give(&mut self, author: &str, what: Command) -> Result<(), String> {
        let by = Actor {
            name: match author {
                "" => format!("alertmanager {}", self.config.name),
                author => format!("{author} ({})", self.config.name),
            },
            role: Role::Responder,
        };
        let (about, print) = (what.phrase(), fingerprint(&what));
        let reply = self.door.command(by, what).await;
        let refused = reply.map_err(|error| error.to_string())?.refused;
        if let Some(refusal) = refused {
            // Others, such as a full disk, may be over by the next round.
            if matches!(refusal, Refusal::Silence { .. } | Refusal::Empty { .. }) {
                if self.hopeless.len() >= REFUSED_MAX {
                    self.hopeless.clear();
                }
                self.hopeless.insert(print);
            }
            self.refuse(&about, &refusal.to_string());
        }
        Ok(())
    }

    fn refuse(&mut self, what: &str, why: &str) {
        if self.refused.len() >= REFUSED_MAX {
            self.refused.clear();
        }
        if self.refused.insert(what.to_owned()) {
            self.source.reject(1, &format!("{what}: {why}"));
        }
    }

    async fn theirs(&mut self) -> Result<Vec<Theirs>, String> {
        let request = self.request(Method::GET, "silences").await?;
        let answer = request.send().await.map_err(in_full)?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let bytes = bounded(answer).await?;
        let all: Vec<Gettable> = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its list cannot be read: {error}"))?;
        let mut theirs = Vec::new();
        for silence in all {
            let id = silence.id.clone();
            match silence.read() {
                Ok(read) => theirs.push(read),
                Err(why) => self.refuse(&format!("silence {id}"), &why),
            }
        }
        Ok(theirs)
    }

    async fn request(&self, method: Method, what: &str) -> Result<reqwest::RequestBuilder, String> {
        let url = format!("{}/api/v2/{what}", self.config.url.trim_end_matches('/'));
        let request = self.http.request(method, url);
        Ok(match &self.config.token_file {
            Some(file) => request.bearer_auth(token(file).await?),
            None => request,
        })
    }
}

/// What a command says, all of it.
fn fingerprint(what: &Command) -> String {
    serde_json::to_string(what).expect("a command is plain data")
}

/// An answer, read no further than its bound.
async fn bounded(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(in_full)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!(
                "its answer is longer than {ANSWER_BYTES_MAX} bytes"
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl Gettable {
    fn read(self) -> Result<Theirs, String> {
        let instant =
            |text: &str| Time::parse_rfc3339(text).ok_or_else(|| format!("{text:?} is no instant"));
        let matchers: Result<Vec<LabelFilter>, String> =
            self.matchers.iter().map(Matcher::read).collect();
        Ok(Theirs {
            is_over: self.status.state == "expired",
            updated: instant(&self.updated_at)?,
            starts_at: instant(&self.starts_at)?,
            ends_at: instant(&self.ends_at)?,
            matchers: matchers?,
            author: self.created_by,
            reason: self.comment,
            id: self.id,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever an Alertmanager answers: silences that we can hold, or a reason why not.
        #[test]
        fn any_answer_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
            odd in r#"(null|7|"[^"\\]{0,30}"|"2026-11-21T0[0-9]:00:00Z"|\[\]|true)"#,
            name in "[^\"\\\\]{0,20}",
            value in "[^\"\\\\]{0,20}",
            is_regex in any::<bool>(),
        ) {
            let shaped = format!(
                "[{{\"id\":\"x\",\"status\":{{\"state\":{odd}}},\"updatedAt\":{odd},\"startsAt\":{odd},\"endsAt\":{odd},\
                \"matchers\":[{{\"name\":\"{name}\",\"value\":\"{value}\",\"isRegex\":{is_regex}}}]}}]"
            );
            for body in [&bytes[..], text.as_bytes(), shaped.as_bytes()] {
                let all = serde_json::from_slice::<Vec<Gettable>>(body).unwrap_or_default();
                for silence in all {
                    let matchers = silence.matchers.len();
                    match silence.read() {
                        Ok(theirs) => prop_assert_eq!(theirs.matchers.len(), matchers),
                        Err(why) => prop_assert!(!why.is_empty()),
                    }
                }
                let _ = serde_json::from_slice::<Made>(body);
            }
        }
    }
}
