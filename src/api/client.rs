//! A client of the API, over the daemon's Unix socket or HTTP: used by the command line and by the
//! console alike, so that neither can do what a script cannot.
//!
//! It never retries a command: whether one was taken is for its caller to find out.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{
    API_VERSION, AlertPage, AuditPage, CommandReply, ErrorBody, HEARTBEAT_MS, IncidentDetail,
    IncidentPage, Panels, ROLE_HEADER, RunbookRow, View, WatchMessage, path,
};
use crate::model::{
    Command, Dependence, EntityId, Feedback, Fingerprint, IncidentId, LabelFilter, Ledger,
    MaintenanceRow, Plan, RawLines, ReceiverReach, Recorded, RecordedPart, Silence, SilencePreview,
    StageRow, Stats, Time, WhyAnswer,
};

/// Longest answer to anything but `watch`, in milliseconds.
const ANSWER_MS_MAX: u64 = 10_000;
/// A watch that is silent for this many heartbeats is taken for dead.
const HEARTBEATS_MISSED_MAX: u64 = 3;
/// Longest message taken from a watch, in bytes: a view of some 500,000 entities.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Stands for the host where the transport is a Unix socket.
const SOCKET_BASE: &str = "http://localhost";

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket: the peer's credentials say who we are.
    Socket(PathBuf),
    /// An HTTP listener, with an operator's token.
    Http {
        /// `https://host:port`; plain `http` only to this machine.
        url: String,
        /// The token; without one only health endpoints answer.
        token: Option<String>,
        /// Who vouches for the daemon's certificate, in PEM; the system's authorities if not given.
        authority: Option<Vec<u8>>,
    },
}

/// Speaks to one daemon; cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    address: Address,
    /// Whether it asks to be taken for a viewer.
    viewer: bool,
}

/// Which incidents to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentQuery {
    /// Resolved ones too.
    pub all: bool,
    /// Only those that pass this [`super::filter::Filter`].
    pub contains: Option<String>,
    /// Continue after this one.
    pub after: Option<IncidentId>,
    /// At most this many.
    pub limit: Option<usize>,
}

/// The watch stream: a snapshot first, then what changes.
#[derive(Debug)]
pub struct Watch {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to hold no newline.
    scanned: usize,
    address: Address,
}

/// Why the daemon could not be asked, or what it answered instead.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens, or the connection broke.
    #[error("no daemon answers at {address}: {why} (start one with `stormglass serve`)")]
    Unreachable {
        /// Where.
        address: Address,
        /// What failed.
        why: String,
        /// Somebody was reached first, and may have taken what was asked.
        reached: bool,
    },
    /// A command was sent and its answer never came.
    #[error("{what}: {why}; it may still be done: look {look} before trying again")]
    InDoubt {
        /// What was to be done.
        what: String,
        /// Why there is no answer.
        why: String,
        /// Where it is seen whether it was done.
        look: String,
    },
    /// Somebody is there and says nothing.
    #[error(
        "the daemon at {address} did not answer within {} s: it is stopped, overloaded, or all its connections are taken; its log may say more", ANSWER_MS_MAX / 1_000
    )]
    Unanswered {
        /// Where.
        address: Address,
    },
    /// The socket is there, and this user may not open it.
    #[error(
        "a daemon's socket is at {address}, but this user may not use it (permission denied): run this as the user of the daemon, open it to your group (`socket_group` in the daemon's config, with an `[[operators]]` entry for what you may do), or come over the listener with a token (`--socket https://HOST:PORT`)"
    )]
    Forbidden {
        /// Where.
        address: Address,
    },
    /// The address is not one.
    #[error("{0:?} is not an address: give a socket path or https://HOST:PORT")]
    Address(String),
    /// It answers, and not by TLS.
    #[error("{0} speaks HTTP, not TLS: write http://, or give its listener a certificate")]
    NoTls(Address),
    /// A token would travel in the clear.
    #[error("a token is not sent to {0} in the clear: use https://HOST:PORT")]
    Clear(Address),
    /// The certificate of the authority cannot be used.
    #[error("the authority's certificate cannot be used: {0}")]
    Authority(String),
    /// The daemon said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The answer is not what this version understands.
    #[error("the answer of {address} to {what} is not understood: {why}")]
    Answer {
        /// Who answered.
        address: Address,
        /// To what.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// The daemon speaks another version.
    #[error(
        "{address} speaks version {theirs} of the API, this program {API_VERSION}: use the same version of both"
    )]
    Version {
        /// Who.
        address: Address,
        /// Its version.
        theirs: u32,
    },
    /// Neither news nor a heartbeat: what is on the screen is stale.
    #[error("nothing heard for {} s", silent_ms / 1_000)]
    Silent {
        /// Who.
        address: Address,
        /// How long.
        silent_ms: u64,
    },
}

impl Address {
    /// Reads an address as people write it: a path, `unix:PATH`, `HOST:PORT`, `http://HOST:PORT` or
    /// `https://HOST:PORT`.
    pub fn parse(text: &str, token: Option<String>) -> Result<Self, ClientError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Socket(PathBuf::from(path)));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let url = text.trim_end_matches('/').to_owned();
            return Ok(Self::Http {
                url,
                token,
                authority: None,
            });
        }
        if text.contains('/') {
            return Ok(Self::Socket(PathBuf::from(text)));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                let url = format!("http://{text}");
                Ok(Self::Http {
                    url,
                    token,
                    authority: None,
                })
            }
            _ => Err(ClientError::Address(text.to_owned())),
        }
    }
}

/// Whether what is sent there stays on this machine.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Http { url, .. } => f.write_str(url),
        }
    }
}

impl Client {
    /// A client for `address`. Nothing is sent yet. The system's authorities are read only where a
    /// certificate will be judged: on a common machine that takes some 15 ms.
    pub fn new(address: Address) -> Result<Self, ClientError> {
        // Somebody else in this process may have chosen one; any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder().no_proxy();
        let (base, token) = match &address {
            Address::Socket(path) => {
                builder = builder.unix_socket(path.as_path()).tls_certs_only([]);
                (SOCKET_BASE, None)
            }
            Address::Http {
                url,
                token,
                authority,
            } => {
                if let Some(pem) = authority {
                    let bad = |error: reqwest::Error| ClientError::Authority(error.to_string());
                    let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(bad)?;
                    builder = builder.tls_certs_only(certificates);
                } else if !url.starts_with("https:") {
                    builder = builder.tls_certs_only([]);
                }
                (url.as_str(), token.clone())
            }
        };
        let base = Url::parse(base).map_err(|_| ClientError::Address(base.to_owned()))?;
        if token.is_some() && base.scheme() == "http" && !is_this_machine(&base) {
            return Err(ClientError::Clear(address));
        }
        let http = builder.build().map_err(|e| unreachable(&address, &e))?;
        Ok(Self {
            http,
            base,
            token,
            address,
            viewer: false,
        })
    }

    /// The same client with no more rights than a viewer has, whoever runs it.
    #[must_use]
    pub fn as_viewer(self) -> Self {
        Self {
            viewer: true,
            ..self
        }
    }

    /// Where it connects.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Everything a console needs for its first screen.
    pub async fn view(&self) -> Result<View, ClientError> {
        let view: View = self.get(path::VIEW, &[]).await?;
        check_version(&self.address, view.version)?;
        Ok(view)
    }

    /// A snapshot, then what changes, until the connection ends.
    pub async fn watch(&self) -> Result<Watch, ClientError> {
        let request = self.request(Method::GET, path::WATCH, &[]);
        let response = request
            .send()
            .await
            .map_err(|e| unreachable(&self.address, &e))?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        Ok(Watch {
            response,
            buffer: Vec::new(),
            scanned: 0,
            address: self.address.clone(),
        })
    }

    /// A page of incidents.
    pub async fn incidents(&self, query: &IncidentQuery) -> Result<IncidentPage, ClientError> {
        let mut pairs = vec![("state", if query.all { "all" } else { "open" }.to_owned())];
        pairs.extend(query.contains.clone().map(|text| ("q", text)));
        pairs.extend(query.after.map(|after| ("after", after.0.to_string())));
        pairs.extend(query.limit.map(|limit| ("limit", limit.to_string())));
        self.get(path::INCIDENTS, &pairs).await
    }

    /// Everything about one incident.
    pub async fn incident(&self, id: IncidentId) -> Result<IncidentDetail, ClientError> {
        self.get(&with_id(path::INCIDENT, id), &[]).await
    }

    /// What the metrics, logs and traces panes of an incident draw, of one entity if given.
    pub async fn panels(
        &self,
        id: IncidentId,
        entity: Option<&EntityId>,
    ) -> Result<Panels, ClientError> {
        let pairs: Vec<_> = entity
            .map(|e| ("entity", e.as_str().to_owned()))
            .into_iter()
            .collect();
        self.get(&with_id(path::PANELS, id), &pairs).await
    }

    /// What the flight recorder kept of an incident between two moments.
    pub async fn recorded(
        &self,
        id: IncidentId,
        (from, to): (Time, Time),
        part: RecordedPart,
    ) -> Result<Recorded, ClientError> {
        let part = match part {
            RecordedPart::All => "all",
            RecordedPart::Lines => "lines",
            RecordedPart::Heat => "heat",
            RecordedPart::Moment => "moment",
        };
        let pairs = [
            ("from", from.to_string()),
            ("to", to.to_string()),
            ("part", part.to_owned()),
        ];
        self.get(&with_id(path::RECORDED, id), &pairs).await
    }

    /// The latest log lines of a template between two moments, as the flight recorder has them.
    pub async fn lines(
        &self,
        (entity, template): (&EntityId, &str),
        (from, to): (Time, Time),
        limit: usize,
    ) -> Result<RawLines, ClientError> {
        let pairs = [
            ("entity", entity.as_str().to_owned()),
            ("template", template.to_owned()),
            ("from", from.to_string()),
            ("to", to.to_string()),
            ("limit", limit.to_string()),
        ];
        self.get(path::LINES, &pairs).await
    }

    /// Who depends on an entity, and what it depends on.
    pub async fn dependence(&self, entity: &EntityId) -> Result<Dependence, ClientError> {
        let pairs = [("entity", entity.as_str().to_owned())];
        self.get(path::DEPENDENCE, &pairs).await
    }

    /// A page of alerts, of one incident if given.
    pub async fn alerts(
        &self,
        incident: Option<IncidentId>,
        after: Option<Fingerprint>,
        limit: usize,
    ) -> Result<AlertPage, ClientError> {
        let mut pairs = vec![("limit", limit.to_string())];
        if let Some(id) = incident {
            pairs.push(("incident", id.0.to_string()));
        }
        if let Some(after) = after {
            pairs.push(("after", after.to_string()));
        }
        self.get(path::ALERTS, &pairs).await
    }

    /// A page of alerts, the most urgent of all first; `after` is `next` of the page before.
    pub async fn alerts_by_urgency(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<AlertPage, ClientError> {
        let mut pairs = vec![
            ("limit", limit.to_string()),
            ("order", "urgency".to_owned()),
        ];
        pairs.extend(after.map(|after| ("after", after.to_owned())));
        self.get(path::ALERTS, &pairs).await
    }

    /// Plans that are not final, and the latest final ones.
    pub async fn plans(&self) -> Result<Vec<Plan>, ClientError> {
        self.get(path::PLANS, &[]).await
    }

    /// Runbooks loaded; for an incident and an entity to act upon, with what cannot be chosen there.
    pub async fn runbooks(
        &self,
        of: Option<(IncidentId, &EntityId)>,
    ) -> Result<Vec<RunbookRow>, ClientError> {
        let pairs = of.map_or_else(Vec::new, |(id, entity)| {
            let entity = entity.as_str().to_owned();
            vec![("incident", id.0.to_string()), ("entity", entity)]
        });
        self.get(path::RUNBOOKS, &pairs).await
    }

    /// All silences, those over of late included.
    pub async fn silences(&self) -> Result<Vec<Silence>, ClientError> {
        self.get(path::SILENCES, &[]).await
    }

    /// What matchers would hide now, and would have hidden in the last week.
    pub async fn preview_silence(
        &self,
        matchers: &[LabelFilter],
    ) -> Result<SilencePreview, ClientError> {
        let pairs: Vec<_> = matchers.iter().map(|m| ("match", m.to_string())).collect();
        self.get(path::SILENCE_PREVIEW, &pairs).await
    }

    /// Maintenance windows of the config.
    pub async fn maintenance(&self) -> Result<Vec<MaintenanceRow>, ClientError> {
        self.get(path::MAINTENANCE, &[]).await
    }

    /// The stages signals go through, with what each did.
    pub async fn stages(&self) -> Result<Vec<StageRow>, ClientError> {
        self.get(path::STAGES, &[]).await
    }

    /// What people said of findings, and the bars that follow from it.
    pub async fn feedback(&self) -> Result<Feedback, ClientError> {
        self.get(path::FEEDBACK, &[]).await
    }

    /// How the daemon itself does.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get(path::STATS, &[]).await
    }

    /// Which receivers of notifications can be reached now.
    pub async fn reached(&self) -> Result<Vec<ReceiverReach>, ClientError> {
        self.get(path::REACHED, &[]).await
    }

    /// Who should speak, and does.
    pub async fn ledger(&self) -> Result<Ledger, ClientError> {
        self.get(path::LEDGER, &[]).await
    }

    /// The same of one source, with many more of the entities it tells of.
    pub async fn ledger_of(&self, source: &str) -> Result<Ledger, ClientError> {
        self.get(path::LEDGER, &[("source", source.to_owned())])
            .await
    }

    /// Why a series did, or did not, make a finding at `at`, or now.
    pub async fn why(&self, series: &str, at: Option<Time>) -> Result<WhyAnswer, ClientError> {
        let mut pairs = vec![("series", series.to_owned())];
        pairs.extend(at.map(|at| ("at", at.to_rfc3339())));
        self.get(path::WHY, &pairs).await
    }

    /// A page of the journal, newest last.
    pub async fn audit(&self, after: Option<u64>, limit: usize) -> Result<AuditPage, ClientError> {
        let mut pairs = vec![("limit", limit.to_string())];
        if let Some(line) = after {
            pairs.push(("after", line.to_string()));
        }
        self.get(path::AUDIT, &pairs).await
    }

    /// Gives a command. The reply may be a refusal; when it arrives the decision is durable.
    pub async fn command(&self, command: &Command) -> Result<CommandReply, ClientError> {
        let reply = self.post(path::COMMANDS, command).await;
        reply.map_err(|error| doubted(command, error))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        pairs: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.answer(path, self.request(Method::GET, path, pairs))
            .await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, &[]).json(body);
        self.answer(path, request).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        pairs: &[(&str, String)],
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(path);
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = self.http.request(method, url);
        if self.viewer {
            request = request.header(ROLE_HEADER, "viewer");
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        what: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = request
            .timeout(Duration::from_millis(ANSWER_MS_MAX))
            .send()
            .await
            .map_err(|e| unreachable(&self.address, &e))?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let body = response
            .bytes()
            .await
            .map_err(|e| unreachable(&self.address, &e))?;
        decode(&self.address, what, &body)
    }
}

impl Watch {
    /// The next message; `None` when the daemon ended the stream. Heartbeats are messages too, so
    /// silence means that the daemon or the network is gone. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<WatchMessage>, ClientError> {
        let silent_ms = HEARTBEAT_MS * HEARTBEATS_MISSED_MAX;
        loop {
            if let Some(message) = self.buffered()? {
                return Ok(Some(message));
            }
            let chunk =
                tokio::time::timeout(Duration::from_millis(silent_ms), self.response.chunk())
                    .await
                    .map_err(|_| ClientError::Silent {
                        address: self.address.clone(),
                        silent_ms,
                    })?
                    .map_err(|e| unreachable(&self.address, &e))?;
            match chunk {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
            if self.buffer.len() > MESSAGE_BYTES_MAX {
                return Err(ClientError::Answer {
                    address: self.address.clone(),
                    what: path::WATCH.to_owned(),
                    why: format!("a message is longer than {MESSAGE_BYTES_MAX} bytes"),
                });
            }
        }
    }

    fn buffered(&mut self) -> Result<Option<WatchMessage>, ClientError> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        let end = self.scanned + at;
        let message = decode(&self.address, path::WATCH, &self.buffer[..end]);
        self.buffer.drain(..=end);
        self.scanned = 0;
        let message = message?;
        if let WatchMessage::Snapshot(view) = &message {
            check_version(&self.address, view.version)?;
        }
        Ok(Some(message))
    }
}

fn with_id(path: &str, id: IncidentId) -> String {
    path.replace("{id}", &id.0.to_string())
}

fn check_version(address: &Address, theirs: u32) -> Result<(), ClientError> {
    if theirs == API_VERSION {
        return Ok(());
    }
    Err(ClientError::Version {
        address: address.clone(),
        theirs,
    })
}

fn decode<T: DeserializeOwned>(
    address: &Address,
    what: &str,
    body: &[u8],
) -> Result<T, ClientError> {
    serde_json::from_slice(body).map_err(|e| ClientError::Answer {
        address: address.clone(),
        what: what.to_owned(),
        why: e.to_string(),
    })
}

/// The innermost cause says what the operating system said; the outer ones only that it failed.
fn unreachable(address: &Address, error: &reqwest::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let denied = cause
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if denied && matches!(address, Address::Socket(_)) {
        let address = address.clone();
        return ClientError::Forbidden { address };
    }
    let address = address.clone();
    // Whoever answers a TLS hello in another protocol is there, only not by this one.
    if matches!(&address, Address::Http { url, .. } if url.starts_with("https:"))
        && cause.to_string().contains("InvalidContentType")
    {
        return ClientError::NoTls(address);
    }
    // Nobody there refuses at once; a host that cannot be reached is as good as nobody.
    if error.is_timeout() && !error.is_connect() {
        return ClientError::Unanswered { address };
    }
    ClientError::Unreachable {
        address,
        why: cause.to_string(),
        reached: !error.is_connect(),
    }
}

/// A command that has left and is not answered may still be carried out: that is another thing to say
/// than that it was not.
fn doubted(command: &Command, error: ClientError) -> ClientError {
    let why = match error {
        ClientError::Unanswered { address } => {
            let seconds = ANSWER_MS_MAX / 1_000;
            format!("no answer from the daemon at {address} within {seconds} s")
        }
        ClientError::Unreachable {
            address,
            why,
            reached: true,
        } => format!("the connection to {address} broke ({why})"),
        error => return error,
    };
    let look = match command {
        Command::Approve { plan, .. }
        | Command::Reject { plan, .. }
        | Command::RollBack { plan, .. }
        | Command::Settle { plan, .. } => format!("at {plan}"),
        _ => "whether it was".to_owned(),
    };
    let what = command.phrase();
    ClientError::InDoubt { what, why, look }
}

async fn refusal(response: reqwest::Response) -> ClientError {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let message = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(body) => body.error,
        Err(_) if status == StatusCode::NOT_FOUND => "there is no such thing here".to_owned(),
        Err(_) => format!("the daemon answered {status}"),
    };
    ClientError::Refused {
        status: status.as_u16(),
        message,
    }
}

#[cfg(test)]
mod tests;
