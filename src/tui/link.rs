//! The door between the console and whatever serves the API: what it asks for, and what it is told.
//!
//! The console's state knows only these two enums, so a test feeds updates and reads requests, and
//! the transport lives elsewhere.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::sync::mpsc;

use crate::api::{AlertPage, CommandReply, IncidentDetail, Panels, RunbookRow, WatchMessage};
use crate::model::{
    Command, Dependence, EntityId, IncidentId, LabelFilter, Ledger, RawLines, Recorded, SeriesId,
    SilencePreview, Time, WhyAnswer,
};

use super::state::Purpose;

/// Updates waiting for the console; when full the transport waits, and the daemon's outbox for this
/// console overflows into a fresh snapshot.
pub const UPDATES_MAX: usize = 256;
/// Requests waiting for the transport; the console refuses further ones with a message.
pub const REQUESTS_MAX: usize = 64;

/// What the console asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The watch stream from a fresh snapshot.
    Snapshot,
    /// Everything about one incident.
    Detail(IncidentId),
    /// Its charts, logs and traces, of one entity if given.
    Panels {
        /// Which incident.
        incident: IncidentId,
        /// Narrowed to this entity.
        entity: Option<EntityId>,
    },
    /// What the flight recorder kept of an incident.
    Recorded {
        /// Which incident.
        incident: IncidentId,
        /// What it is for.
        purpose: Purpose,
        /// From when.
        from: Time,
        /// Until when.
        to: Time,
    },
    /// A page of alerts.
    Alerts {
        /// After this place, as the previous page said.
        after: Option<String>,
    },
    /// The alerts of an incident.
    AlertsOf {
        /// Which incident.
        incident: IncidentId,
    },
    /// The runbooks loaded, and which of them cannot be chosen for an incident and a target.
    Runbooks {
        /// Which incident.
        incident: IncidentId,
        /// The entity to act upon.
        target: EntityId,
    },
    /// Why a series did, or did not, make a finding.
    Why {
        /// Which series.
        series: SeriesId,
        /// At this time; now without it.
        at: Option<Time>,
    },
    /// The latest log lines of a template.
    Lines {
        /// Whose.
        entity: EntityId,
        /// The template, as its group has it.
        template: Box<str>,
        /// So many.
        limit: usize,
        /// From when.
        from: Time,
        /// Until when.
        to: Time,
    },
    /// Who depends on an entity, and what it depends on.
    Dependence(EntityId),
    /// What the engine knows of who should speak.
    Ledger,
    /// What a silence would hide.
    Preview {
        /// All must fit an alert's labels.
        matchers: Vec<LabelFilter>,
    },
    /// Something to do; answered by [`Update::Replied`].
    Command(Command),
}

/// What the console is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The watch stream broke; the transport tries again by itself.
    Lost {
        /// Why, in words.
        why: String,
    },
    /// A line of the watch stream.
    Watch(WatchMessage),
    /// Answer to [`Request::Detail`].
    Detail(Box<IncidentDetail>),
    /// Answer to [`Request::Panels`].
    Panels {
        /// Which incident.
        incident: IncidentId,
        /// Narrowed to this entity.
        entity: Option<EntityId>,
        /// What was asked for.
        panels: Box<Panels>,
    },
    /// Answer to [`Request::Recorded`].
    Recorded {
        /// Which incident.
        incident: IncidentId,
        /// As asked for.
        purpose: Purpose,
        /// What was asked for.
        recorded: Box<Recorded>,
    },
    /// Answer to [`Request::AlertsOf`].
    AlertsOf {
        /// Which incident.
        incident: IncidentId,
        /// The first of them.
        page: AlertPage,
    },
    /// Answer to [`Request::Alerts`].
    Alerts {
        /// As asked for.
        after: Option<String>,
        /// The page.
        page: AlertPage,
    },
    /// Answer to [`Request::Runbooks`].
    Runbooks {
        /// Which incident.
        incident: IncidentId,
        /// What was asked for.
        rows: Vec<RunbookRow>,
    },
    /// Answer to [`Request::Why`].
    Why {
        /// Which series.
        series: SeriesId,
        /// What was asked for.
        answer: Box<WhyAnswer>,
    },
    /// Answer to [`Request::Lines`].
    Lines {
        /// Whose.
        entity: EntityId,
        /// As asked for.
        template: Box<str>,
        /// What the recording has of them.
        read: Box<RawLines>,
    },
    /// Answer to [`Request::Dependence`].
    Dependence {
        /// Of which entity it was asked: its answer may know it by another name.
        entity: EntityId,
        /// What was asked for.
        told: Box<Dependence>,
    },
    /// Answer to [`Request::Ledger`].
    Ledger(Box<Ledger>),
    /// Answer to [`Request::Preview`].
    Preview {
        /// As asked for.
        matchers: Vec<LabelFilter>,
        /// What they would hide.
        preview: Box<SilencePreview>,
    },
    /// Answer to [`Request::Command`].
    Replied(CommandReply),
    /// A command was sent and its answer never came: it may be done all the same.
    InDoubt {
        /// What was to be done.
        command: Box<Command>,
        /// What happened, and what to do, in words.
        why: String,
    },
    /// A request could not be answered.
    Failed {
        /// What was asked for.
        request: Box<Request>,
        /// Why, in words.
        why: String,
    },
}

/// The console's end of the door.
#[derive(Debug)]
pub struct Link {
    /// What the console is told.
    pub updates: mpsc::Receiver<Update>,
    /// What it asks for.
    pub requests: mpsc::Sender<Request>,
    /// How long the daemon took to answer of late, in milliseconds; 0 until it has.
    pub round_trip_ms: Arc<AtomicU32>,
}

/// The transport's end of the door.
#[derive(Debug)]
pub struct FarEnd {
    /// To tell the console.
    pub updates: mpsc::Sender<Update>,
    /// What the console asks for.
    pub requests: mpsc::Receiver<Request>,
    /// Where the transport notes how long an answer took, in milliseconds.
    pub round_trip_ms: Arc<AtomicU32>,
}

impl Link {
    /// Both ends.
    pub fn pair() -> (Self, FarEnd) {
        let (tell, updates) = mpsc::channel(UPDATES_MAX);
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let round_trip_ms = Arc::new(AtomicU32::new(0));
        let far = FarEnd {
            updates: tell,
            requests: asked,
            round_trip_ms: Arc::clone(&round_trip_ms),
        };
        let link = Self {
            updates,
            requests,
            round_trip_ms,
        };
        (link, far)
    }
}
