//! What diagnosis is told about one incident: its entities, how they depend on each other, and what was seen.
//!
//! Plain data put together by the caller; nothing here measures or concludes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::blame::NodeClass;
use super::deviation::{Column, Family};
use crate::model::{Change, EntityId, EntityKind, IncidentId, Provenance, Time};

/// Position of a subject in [`Case::subjects`].
pub type SubjectIx = usize;

/// One incident as diagnosis sees it.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// The present.
    pub now: Time,
    /// The first abnormal point of the incident.
    pub began: Time,
    /// Where users feel it; without it, deviations alone rank the suspects.
    pub target: Option<SubjectIx>,
    /// How it hurts there, when an alert or objective says so.
    pub family: Option<Family>,
    /// Whether an alert says that it hurts, whatever its metrics say.
    pub is_alerting: bool,
    /// Rows of the incident's window in every column (columns with one value serve all rows).
    pub rows: usize,
    /// The entities, each once.
    pub subjects: Vec<Subject>,
    /// Who depends on whom.
    pub dependencies: Vec<Dependency>,
    /// Recent changes, also to entities that are not subjects.
    pub changes: Vec<Change>,
    /// Which kinds of telemetry reach the engine at all.
    pub coverage: Coverage,
    /// Sources and entities known to be blind, as sentences, untrusted.
    pub blind: Vec<Box<str>>,
    index: BTreeMap<EntityId, SubjectIx>,
}

/// An entity with everything seen on it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The entity.
    pub id: EntityId,
    /// Its metrics that were judged, odd or not.
    pub columns: Vec<Column>,
    /// When it was first odd.
    pub onset: Option<Onset>,
    /// When what makes somebody look began on it, where it was odd some time before.
    pub worse: Option<Onset>,
    /// What its logs say.
    pub logs: Vec<LogSign>,
    /// What spans say of it.
    pub traces: TraceSign,
    /// An instance, pod or node of it that went away.
    pub lost: Option<Loss>,
    /// How often it was the cause of similar past incidents.
    pub record: Option<PastRecord>,
    /// Nothing but an alert says that anything is wrong with it, and since when: that is told, not sampled.
    pub by_alert_alone: bool,
    /// Most of what says how it serves was seen too seldom to know its normal.
    pub is_young: bool,
    /// Another open incident that it belongs to: what it explains of this one's harm is told there.
    pub told_in: Option<IncidentId>,
    /// What neither its work nor what it depends on explains, if there is such a thing.
    pub own_cause: Option<OwnCause>,
}

/// What is wrong with an entity beyond what its work and its dependencies explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCause {
    /// Why it is one, in words.
    pub why: Box<str>,
    /// What of the entity shows it; nothing when only nothing else explains it.
    pub proof: Option<Proof>,
}

/// What shows that a cause is an entity's own. Each is weighed by itself as well, and counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is gone.
    Loss,
    /// It was changed.
    Change,
    /// A resource of it ran out.
    Resource,
}

/// A first abnormal point, and how far it may be off (sampling interval, lateness, clock skew).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Onset {
    /// Event time.
    pub at: Time,
    /// Half width of the uncertainty, milliseconds.
    pub uncertainty_ms: i64,
}

/// What changed about a log template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// Never seen before.
    New,
    /// Far more frequent than usual.
    More,
    /// Usual, and missing now.
    Gone,
}

/// What an event of a request is. Each kind is compared among the requests that hold any of its kind, since
/// spans may be sampled and log lines may lack a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// An operation or a called dependency.
    Span,
    /// A log template.
    Log,
}

/// One odd log template, operation or call of an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSign {
    /// What it is.
    pub kind: EventKind,
    /// What changed about it.
    pub change: LogChange,
    /// Whether its level or text says error.
    pub error: bool,
    /// The template, untrusted.
    pub template: Box<str>,
    /// Lines in the incident's window; requests that hold it, where `requests` are counted.
    pub count: u64,
    /// Requests of the window that were looked at for it; `None` when lines were counted.
    pub requests: Option<u64>,
    /// First of them.
    pub since: Option<Time>,
    /// How odd, in standard deviations.
    pub score: f64,
}

/// A value that left its normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Normal level.
    pub normal: f64,
    /// Level in the incident.
    pub now: f64,
    /// Distance in standard deviations, signed.
    pub z: f64,
}

/// What spans say of an entity beyond its rate, errors and duration.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TraceSign {
    /// Seconds spent in the entity itself, waits for callees removed.
    pub self_time: Option<Shift>,
    /// Share of its spans that fail without a failing child.
    pub self_errors: Option<Shift>,
    /// Seconds between what callers wait and what it says it took: network and queueing.
    pub gap: Option<Shift>,
}

/// Something that was there and is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The instance, pod or node, untrusted.
    pub what: Box<str>,
    /// When it was last there.
    pub at: Time,
}

/// What similar past incidents, labelled by people, turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastRecord {
    /// Incidents of which this entity was the cause.
    pub cause: u32,
    /// Similar incidents with a known cause.
    pub of: u32,
}

/// `from` depends on `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dependency {
    /// The dependent.
    pub from: SubjectIx,
    /// The dependency.
    pub to: SubjectIx,
    /// How we know.
    pub provenance: Provenance,
    /// Milliseconds since it was last confirmed.
    pub age_ms: i64,
    /// Calls per row, when spans tell.
    pub calls: Option<f64>,
}

/// Which kinds of telemetry reach the engine at all; what is missing limits what can be concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Coverage {
    /// Log lines.
    pub logs: bool,
    /// Spans.
    pub traces: bool,
    /// A feed of deploys and other changes.
    pub changes: bool,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            logs: true,
            traces: true,
            changes: true,
        }
    }
}

impl Case {
    /// A case without subjects yet.
    pub fn new(now: Time, began: Time, rows: usize) -> Self {
        Self {
            now,
            began,
            rows,
            ..Self::default()
        }
    }

    /// The position of `id`, added when new.
    pub fn subject(&mut self, id: &EntityId) -> SubjectIx {
        if let Some(at) = self.index.get(id) {
            return *at;
        }
        let at = self.subjects.len();
        self.index.insert(id.clone(), at);
        self.subjects.push(Subject::new(id.clone()));
        at
    }

    /// The position of `id`, if it is a subject.
    pub fn find(&self, id: &EntityId) -> Option<SubjectIx> {
        self.index.get(id).copied()
    }
}

impl Subject {
    /// A subject on which nothing was seen.
    pub fn new(id: EntityId) -> Self {
        Self {
            id,
            columns: Vec::new(),
            onset: None,
            worse: None,
            logs: Vec::new(),
            traces: TraceSign::default(),
            lost: None,
            record: None,
            by_alert_alone: false,
            is_young: false,
            told_in: None,
            own_cause: None,
        }
    }

    /// How blame flow treats it.
    pub fn class(&self) -> NodeClass {
        match self.id.kind() {
            EntityKind::External => NodeClass::Peer,
            _ => NodeClass::Known,
        }
    }

    /// Adds what requests say of an event; where its lines said so already, the clearer of both counts.
    pub fn add_sign(&mut self, sign: LogSign) {
        let same = |known: &&mut LogSign| {
            (known.kind, known.change) == (sign.kind, sign.change)
                && known.template == sign.template
        };
        match self.logs.iter_mut().find(same) {
            Some(known) => {
                let score = known.score.max(sign.score);
                *known = LogSign { score, ..sign };
            }
            None => self.logs.push(sign),
        }
    }

    /// Whether all that is known of it is that an alert names it.
    pub fn is_hearsay(&self) -> bool {
        self.by_alert_alone && self.is_blind()
    }

    /// Whether nothing at all is known about it.
    pub fn is_blind(&self) -> bool {
        self.columns.is_empty()
            && self.logs.is_empty()
            && self.traces == TraceSign::default()
            && self.lost.is_none()
    }
}
