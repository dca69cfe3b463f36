//! A receiver that takes JSON over HTTP.

use std::time::Duration;

use reqwest::{Client, StatusCode};

use super::{Message, NotifyError};
use crate::config::NotifyConfig;

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where to, and with which secret; neither is ever printed, as the address may be one too.
pub(super) struct Webhook {
    client: Client,
    url: String,
    token: Option<String>,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Sent {
    /// It was taken.
    Taken,
    /// It will never be taken.
    Refused(String),
    /// It may be taken later.
    Failed(String),
}

impl Webhook {
    pub fn new(config: &NotifyConfig) -> Result<Self, NotifyError> {
        let (url, token) = told_where(config)?;
        // Somebody else in this process may have chosen one; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            client: client.map_err(|error| NotifyError::Setting(error.to_string()))?,
            url,
            token,
        })
    }

    /// The same as far as the settings say, and the files and variables that they name: nothing is made for it.
    pub fn check(config: &NotifyConfig) -> Result<(), NotifyError> {
        told_where(config).map(drop)
    }

    /// Whether anything answers at the address, whatever it says: nothing is told, and nobody is disturbed. If not, why.
    pub async fn reach(&self, patience: Duration) -> Result<(), String> {
        let asked = self.client.head(&self.url).timeout(patience);
        match asked.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_timeout() => {
                Err(format!("no answer within {} s", patience.as_secs()))
            }
            Err(error) => Err(self.cause(&error)),
        }
    }

    pub async fn send(&self, message: &Message) -> Sent {
        let mut request = self
            .client
            .post(&self.url)
            .header("idempotency-key", message.id)
            .json(message);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        match request.send().await {
            Err(error) => Sent::Failed(self.cause(&error)),
            Ok(answer) => match answer.status() {
                status if status.is_success() => Sent::Taken,
                status @ (StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => {
                    Sent::Failed(format!("it answers {status}"))
                }
                status if status.is_client_error() => Sent::Refused(status.to_string()),
                status => Sent::Failed(format!("it answers {status}")),
            },
        }
    }

    /// The innermost cause: the outer ones say only that it failed. The address may hold a secret, so no part of it is said.
    fn cause(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() {
            return format!("no answer within {} s", TIMEOUT.as_secs());
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        if std::ptr::addr_eq(cause, error) {
            return "the request cannot be sent".to_owned();
        }
        let url = reqwest::Url::parse(&self.url).ok();
        match url.as_ref().and_then(reqwest::Url::host_str) {
            // A certificate that is for another host names the one that was wanted.
            Some(host) => cause.to_string().replace(host, "the host"),
            None => cause.to_string(),
        }
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// The address, and the token if one is sent along.
fn told_where(config: &NotifyConfig) -> Result<(String, Option<String>), NotifyError> {
    use NotifyError::{Secret, Setting, Variable};
    let (url, name_of_it) = match (&config.url, &config.url_env) {
        (Some(url), None) => (url.clone(), "`url`".to_owned()),
        (None, Some(variable)) => {
            let url = variable_named("url_env", variable)?;
            (url, format!("`url_env` {variable}"))
        }
        _ => return Err(Setting("give `url` or `url_env`".to_owned())),
    };
    let unusable = |why: String| {
        let why = format!("{name_of_it}{why}");
        if config.url.is_some() {
            Setting(why)
        } else {
            Variable(why)
        }
    };
    let parsed = reqwest::Url::parse(&url).map_err(|error| unusable(format!(": {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(unusable(" must begin with http:// or https://".to_owned()));
    }
    let token = match (&config.token_file, &config.token_env) {
        (None, None) => None,
        (Some(file), None) => {
            let text = std::fs::read_to_string(file);
            let told = |error| Secret(format!("`token_file` {}: {error}", file.display()));
            Some(text.map_err(told)?)
        }
        (None, Some(variable)) => Some(variable_named("token_env", variable)?),
        (Some(_), Some(_)) => return Err(Setting("give `token_file` or `token_env`".to_owned())),
    };
    Ok((url, token.map(|token| token.trim().to_owned())))
}

fn variable_named(setting: &str, variable: &str) -> Result<String, NotifyError> {
    let told = |error| NotifyError::Variable(format!("`{setting}` {variable}: {error}"));
    std::env::var(variable).map_err(told)
}
