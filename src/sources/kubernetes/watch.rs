//! One kind of object, listed and then watched: what is there, what changes, what goes.
//!
//! A watch that ends or breaks is taken up where it was; one that is too old (410) begins with a list again,
//! so that nothing stays that is gone. It never gives up, and says what keeps it from working.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Error, Resource};
use serde::de::DeserializeOwned;

use crate::sources::backoff::Backoff;
use crate::sources::failing::Failing;

/// Objects asked for at once.
const PAGE_MAX: u32 = 500;
/// Most objects of one kind that are looked at; what is beyond is told.
const OBJECTS_MAX: usize = 100_000;
/// How long one watch lasts before it is asked for anew, in seconds.
const WATCH_S: u32 = 290;
/// A watch that says nothing for this much longer than it may last is broken.
const WATCH_MAX: Duration = Duration::from_secs(WATCH_S as u64 + 30);
/// How long a page of a list may take.
const LIST_MAX: Duration = Duration::from_mins(1);
/// What the server answers about a version that is too old.
const GONE: u16 = 410;
/// Longest part of an error's text that is shown, in characters.
const WHY_CHARS_MAX: usize = 200;

/// What was seen of objects.
pub(super) enum Seen<K> {
    /// These are all there are.
    All(Vec<K>),
    /// One is there, new or otherwise than before.
    Is(Box<K>),
    /// One went.
    Went(Box<K>),
}

/// Whether anybody takes what is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Yes,
    Closed,
}

/// Why a watch is over.
enum Over {
    /// It is to be taken up where it was.
    Ended,
    /// The same, and it said nothing.
    Mute,
    /// It is too old.
    TooOld,
    /// Nobody takes what is seen.
    Closed,
    Failed(String),
}

/// Watches objects until nobody takes what is seen. `part` is what they are called where it does not work.
pub(super) async fn watch<K, F>(
    api: Api<K>,
    part: &str,
    failing: &Failing,
    mut see: impl FnMut(Seen<K>) -> F,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Future<Output = Taken>,
{
    let mut backoff = Backoff::new();
    // Where to go on; a list comes first.
    let mut version: Option<String> = None;
    loop {
        let over = match &mut version {
            None => match list(&api).await {
                Ok((objects, listed)) => {
                    failing.works(part);
                    version = Some(listed);
                    match see(Seen::All(objects)).await {
                        Taken::Yes => Over::Ended,
                        Taken::Closed => Over::Closed,
                    }
                }
                Err(why) => Over::Failed(why),
            },
            Some(version) => {
                let answered = || failing.works(part);
                let spoke = || backoff = Backoff::new();
                follow(&api, version, &mut see, answered, spoke).await
            }
        };
        match over {
            Over::Ended => {}
            // A server that ends watches at once is not asked in a circle.
            Over::Mute => tokio::time::sleep(backoff.next_wait()).await,
            Over::TooOld => {
                version = None;
                tokio::time::sleep(backoff.next_wait()).await;
            }
            Over::Closed => return,
            Over::Failed(why) => {
                failing.fails(part, why);
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// Everything there is, page by page, and the version it is of.
async fn list<K>(api: &Api<K>) -> Result<(Vec<K>, String), String>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut objects = Vec::new();
    let mut wanted = ListParams::default().limit(PAGE_MAX);
    loop {
        let page = tokio::time::timeout(LIST_MAX, api.list(&wanted)).await;
        let page = page.map_err(|_| format!("no list within {} s", LIST_MAX.as_secs()))?;
        let page = page.map_err(|error| told(&error))?;
        objects.extend(page.items);
        if objects.len() > OBJECTS_MAX {
            return Err(format!(
                "more than {OBJECTS_MAX} objects: name a `namespace`"
            ));
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => wanted = wanted.continue_token(&token),
            None => return Ok((objects, page.metadata.resource_version.unwrap_or_default())),
        }
    }
}

/// Follows changes from a version on, and keeps it up to date. A watch that was answered works, whether or
/// not anything happens; one that spoke is worth taking up at once.
async fn follow<K, F>(
    api: &Api<K>,
    version: &mut String,
    see: &mut impl FnMut(Seen<K>) -> F,
    answered: impl FnOnce(),
    mut spoke: impl FnMut(),
) -> Over
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    F: Future<Output = Taken>,
{
    let wanted = WatchParams::default().timeout(WATCH_S);
    let events = match tokio::time::timeout(LIST_MAX, api.watch(&wanted, version)).await {
        Ok(Ok(events)) => events,
        Ok(Err(error)) => return over(&error),
        Err(_) => return Over::Failed("no answer to a watch".to_owned()),
    };
    answered();
    let mut events = std::pin::pin!(events);
    let mut has_spoken = false;
    loop {
        let event = match tokio::time::timeout(WATCH_MAX, events.next()).await {
            Ok(Some(event)) => event,
            Ok(None) | Err(_) if has_spoken => return Over::Ended,
            Ok(None) | Err(_) => return Over::Mute,
        };
        has_spoken = true;
        let seen = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                note(version, &object);
                Seen::Is(Box::new(object))
            }
            Ok(WatchEvent::Deleted(object)) => {
                note(version, &object);
                Seen::Went(Box::new(object))
            }
            Ok(WatchEvent::Bookmark(mark)) => {
                spoke();
                version.clone_from(&mark.metadata.resource_version);
                continue;
            }
            Ok(WatchEvent::Error(status)) => return over(&Error::Api(status)),
            Err(error) => return over(&error),
        };
        spoke();
        if see(seen).await == Taken::Closed {
            return Over::Closed;
        }
    }
}

fn note<K: Resource>(version: &mut String, object: &K) {
    if let Some(of) = &object.meta().resource_version {
        version.clone_from(of);
    }
}

fn over(error: &Error) -> Over {
    match error {
        Error::Api(status) if status.code == GONE => Over::TooOld,
        error => Over::Failed(told(error)),
    }
}

/// An error as a person would say it.
pub(super) fn told(error: &Error) -> String {
    let text = match error {
        Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        error => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                let said = error.to_string();
                if !text.contains(&said) {
                    text = format!("{text}: {said}");
                }
                cause = error.source();
            }
            text
        }
    };
    text.chars().take(WHY_CHARS_MAX).collect()
}
