//! Notifications that other tools send about alerts and changes, each in its own shape: Alertmanager
//! and Grafana, PagerDuty's events, GitHub, GitLab and Gitea; and JSON of any shape, by a mapping.
//!
//! A resend changes nothing. Of several alerts each is taken or refused by itself; changes are taken together or not at
//! all.

mod forge;
pub(super) mod mapped;
mod notification;
mod pagerduty;

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;

use super::http::{self, Limits, Refusal};
use super::{Clock, SignalSender};
use crate::config::WebhookConfig;
use crate::model::{Signal, Time};

pub(super) use forge::{Forge, ForgeKind};

/// Where Alertmanager and Grafana notify.
pub(super) const NOTIFICATION_PATH: &str = notification::PATH;
/// Where PagerDuty's events are taken.
pub(super) const PAGERDUTY_PATH: &str = pagerduty::ALERT_PATH;

/// Where webhooks of a kind are taken, by the name of their section in the config; `None` of what is no webhook.
pub fn place_of(section: &str) -> Option<&'static str> {
    let forges = [ForgeKind::GitHub, ForgeKind::GitLab, ForgeKind::Gitea];
    let forge = forges.into_iter().find(|forge| forge.name() == section);
    match section {
        "notifications" => Some(NOTIFICATION_PATH),
        "pagerduty" => Some(PAGERDUTY_PATH),
        _ => forge.map(ForgeKind::path),
    }
}

/// Where the webhook of a `[[sources.webhook]]` is taken.
pub fn place_of_mapped(config: &WebhookConfig) -> String {
    mapped::path(config)
}

/// Most signals of one request.
const SIGNALS_MAX: usize = 10_000;

/// What every receiver of webhooks needs; cheap to clone.
#[derive(Clone)]
pub(super) struct Hook {
    pub(super) sender: SignalSender,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
}

/// The receiver of Alertmanager's and Grafana's webhooks.
pub(super) fn notification_routes(hook: Hook, hold_ms: i64) -> Router {
    notification::routes(hook, hold_ms)
}

/// The receiver of PagerDuty's events.
pub(super) fn pagerduty_routes(hook: Hook, hold_ms: i64) -> Router {
    pagerduty::routes(hook, hold_ms)
}

impl Hook {
    /// Reads a request, makes signals of it and hands them over. What is refused is counted.
    async fn take(
        &self,
        request: Request,
        read: impl FnOnce(&HeaderMap, &[u8], Time) -> Result<Vec<Signal>, Refusal> + Send,
    ) -> Result<usize, Refusal> {
        let (parts, body) = request.into_parts();
        let taken = async {
            let received = self.limits.read(&parts.headers, body).await?;
            let content_type = http::content_type(&parts.headers);
            if !matches!(&*content_type, "application/json" | "") {
                let why = format!("content type {content_type:?}: this is application/json");
                return Err(Refusal::Unsupported(why));
            }
            let encoding = http::content_encoding(&parts.headers);
            let body = self.limits.readable(&encoding, &received.body)?;
            let signals = read(&parts.headers, &body, (self.clock)())?;
            let count = signals.len();
            if count > SIGNALS_MAX {
                let why = format!("more than {SIGNALS_MAX} alerts or changes in one request");
                return Err(Refusal::TooLarge(why));
            }
            if count > 0 {
                self.sender.try_send(signals)?;
            }
            Ok(count)
        };
        let taken = taken.await;
        if let Err(refusal) = &taken {
            refusal.count(&self.sender);
        }
        taken
    }
}

/// An instant as sent; absent, empty and the zero time of Go mean none.
fn instant(name: &str, text: Option<&str>) -> Result<Option<Time>, String> {
    const GO_ZERO: &str = "0001-01-01T00:00:00";
    match text {
        None | Some("") => Ok(None),
        Some(zero) if zero.starts_with(GO_ZERO) => Ok(None),
        Some(text) => Time::parse_rfc3339(text)
            .map(Some)
            .ok_or_else(|| format!("{name} {text:?} is not an RFC 3339 time")),
    }
}

/// The beginning of a text, for a title.
fn head(text: &str, bytes_max: usize) -> &str {
    text[..text.floor_char_boundary(bytes_max)].trim()
}
