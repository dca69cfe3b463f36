//! The wire types of the API and [`View::apply`], shared by daemon, command line and console.
//!
//! Nothing here knows the engine, and nothing but [`client`] does I/O. The rows themselves live in
//! `model`.

pub mod client;
pub mod filter;
mod handover;
mod narrative;
mod view;

use serde::{Deserialize, Serialize};

use crate::model::{
    AlertRow, Chart, Command, Incident, IncidentRow, LogGroup, Plan, Record, Refusal, SilenceId,
    Time, TraceView,
};

pub use handover::{Part, handover};
pub use narrative::{WriteTime, narrative};
pub use view::{Gap, View};

/// Version of the wire format; a console refuses a daemon of another one.
pub const API_VERSION: u32 = 3;

/// An idle watch says that it is alive this often, in milliseconds.
pub const HEARTBEAT_MS: u64 = 5_000;

/// A request with this header set to `viewer` may look and nothing else, whoever sends it.
pub const ROLE_HEADER: &str = "stormglass-role";

/// Paths of the API, below the socket or listener.
pub mod path {
    /// `GET`: the whole [`super::View`].
    pub const VIEW: &str = "/api/v1/view";
    /// `GET`: newline-delimited [`super::WatchMessage`]s, a snapshot first.
    pub const WATCH: &str = "/api/v1/watch";
    /// `GET`: a [`super::Page`] of incidents; `?state=open|all&q=FILTER&after=ID&limit=N`, where the filter is a
    /// [`super::filter::Filter`].
    pub const INCIDENTS: &str = "/api/v1/incidents";
    /// `GET`: one [`super::IncidentDetail`].
    pub const INCIDENT: &str = "/api/v1/incidents/{id}";
    /// `GET`: [`super::Panels`] of an incident; `?entity=…` narrows.
    pub const PANELS: &str = "/api/v1/incidents/{id}/panels";
    /// `GET`: [`super::Recorded`](crate::model::Recorded): what the flight recorder kept of an
    /// incident, `?from=TIME&to=TIME&part=all|lines|heat|moment`.
    pub const RECORDED: &str = "/api/v1/incidents/{id}/recorded";
    /// `GET`: [`super::RawLines`](crate::model::RawLines): the log lines of one template as the flight recorder
    /// has them, secrets masked; `?entity=…&template=…&from=TIME&to=TIME&limit=N`.
    pub const LINES: &str = "/api/v1/lines";
    /// `GET`: [`super::Dependence`](crate::model::Dependence): who depends on an entity, directly and through
    /// others, and what it depends on; `?entity=…`.
    pub const DEPENDENCE: &str = "/api/v1/dependence";
    /// `GET`: a [`super::Page`] of alerts; `?after=FINGERPRINT&limit=N&incident=ID`, or with
    /// `order=urgency` what fires first, the worst, the newest: then `after` is `next` of the page before.
    pub const ALERTS: &str = "/api/v1/alerts";
    /// `GET`: all plans that are not final, and the latest final ones.
    pub const PLANS: &str = "/api/v1/plans";
    /// `GET`: names, titles and risks of the runbooks loaded; `?incident=ID&entity=…` says which of
    /// them cannot be rendered for that.
    pub const RUNBOOKS: &str = "/api/v1/runbooks";
    /// `POST`: a [`super::Command`](crate::model::Command); answers a [`super::CommandReply`].
    pub const COMMANDS: &str = "/api/v1/commands";
    /// `GET`: [`super::Feedback`](crate::model::Feedback): what people said of findings, and the bars
    /// that follow from it. A finding is marked by the command `mark`.
    pub const FEEDBACK: &str = "/api/v1/feedback";
    /// `GET`: [`super::WhyAnswer`](crate::model::WhyAnswer): why a series did or did not make a finding;
    /// `?series=…&at=RFC3339`.
    pub const WHY: &str = "/api/v1/why";
    /// `GET`: all [`super::Silence`](crate::model::Silence)s, those over of late included. One is made,
    /// changed and ended by the commands `silence` and `expire`.
    pub const SILENCES: &str = "/api/v1/silences";
    /// `GET`: a [`super::SilencePreview`](crate::model::SilencePreview): what matchers would hide now, and
    /// would have hidden in the last week; `?match=service="cart"&match=…`.
    pub const SILENCE_PREVIEW: &str = "/api/v1/silences/preview";
    /// `GET`: maintenance windows of the config as [`super::MaintenanceRow`](crate::model::MaintenanceRow)s.
    pub const MAINTENANCE: &str = "/api/v1/maintenance";
    /// `GET`: the stages signals go through as [`super::StageRow`](crate::model::StageRow)s, in order.
    pub const STAGES: &str = "/api/v1/stages";
    /// `GET`: [`super::Ledger`](crate::model::Ledger): who should speak, and does.
    pub const LEDGER: &str = "/api/v1/ledger";
    /// `GET`: [`super::Stats`](crate::model::Stats): how the daemon itself does.
    pub const STATS: &str = "/api/v1/stats";
    /// `GET`: a list of [`super::ReceiverReach`](crate::model::ReceiverReach): who of `[[notify]]` can be reached now.
    pub const REACHED: &str = "/api/v1/reached";
    /// `GET`: what [`STATS`] says, in Prometheus' text format.
    pub const METRICS: &str = "/metrics";
    /// `GET`: the journal, newest last; `?after=LINE&limit=N`.
    pub const AUDIT: &str = "/api/v1/audit";
}

/// One line of the watch stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchMessage {
    /// Everything; replaces what the console holds.
    Snapshot(Box<View>),
    /// What changed since the previous message.
    Deltas {
        /// Sequence number of this message: one more than the last one.
        seq: u64,
        /// Engine time.
        at: Time,
        /// Rows to replace, in order.
        deltas: Vec<crate::model::Delta>,
    },
    /// Nothing changed; the time is now this.
    Heartbeat {
        /// Engine time.
        at: Time,
    },
}

/// Everything about one incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentDetail {
    /// The incident.
    pub incident: Incident,
    /// Its plans, oldest first.
    pub plans: Vec<Plan>,
}

/// What the metrics, logs and traces panes draw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Panels {
    /// Charts, the most unusual first.
    pub charts: Vec<Chart>,
    /// Log groups, new ones first.
    pub logs: Vec<LogGroup>,
    /// Exemplar traces.
    pub traces: Vec<TraceView>,
}

/// A part of a long list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `after` for the next part; `None` at the end.
    pub next: Option<String>,
    /// Items in the whole list.
    pub total: u64,
}

/// A page of alerts.
pub type AlertPage = Page<AlertRow>;

/// A page of incidents.
pub type IncidentPage = Page<IncidentRow>;

/// A page of the journal.
pub type AuditPage = Page<AuditEntry>;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number, from 1.
    pub line: u64,
    /// When it was written, in engine time.
    pub at: Time,
    /// What was decided or happened.
    pub record: Record,
}

/// A runbook as a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunbookRow {
    /// Its name.
    pub name: String,
    /// What it does.
    pub title: String,
    /// What it is for.
    pub description: String,
    /// How dangerous it is.
    pub risk: crate::model::Risk,
    /// Why it cannot be chosen for the incident asked about, if so.
    #[serde(default)]
    pub refused: Option<String>,
}

/// The answer to a command: durable when it arrives, unless a notice says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReply {
    /// What was asked.
    pub command: Command,
    /// Why not, if it was refused.
    pub refused: Option<Refusal>,
    /// What must be known of one that was obeyed: a brake works also when it cannot be written down, and
    /// what was asked for may be so already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// The silence that was made, changed or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<SilenceId>,
}

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What failed, where, and what to do.
    pub error: String,
}
