//! Incidents: what a storm of findings and alerts was turned into.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Beside, ChangeKind, ChangeOf, ChangeState, Coordination, Diagnosis, EntityId, Finding,
    Fingerprint, Health, HeldBack, Hypothesis, PlanId, Provenance, Regrouped, Severity,
    SuspectKind, Time, TrueCause,
};

/// Most timeline entries kept on one incident; later ones are counted in `timeline_dropped`.
pub const TIMELINE_ENTRIES_MAX: usize = 500;

/// Of a timeline full of what people did, so many lines of its beginning stay; the oldest after them leave.
const BEGINNING_KEPT: usize = 100;

/// Identity of an incident; counts up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub u64);

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has taken it.
    Open,
    /// A person has.
    Acknowledged,
    /// Signals are back to normal, watched for a while.
    Mitigated,
    /// Over.
    Resolved,
}

/// Lane of the timeline an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A deploy, a config edit, …
    Change,
    /// Something the engine noticed.
    Anomaly,
    /// Somebody else's rule.
    Alert,
    /// A person said or decided something.
    Person,
    /// A plan or the engine's own housekeeping.
    Automation,
}

/// One line of an incident's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When it happened (event time).
    pub at: Time,
    /// Its lane.
    pub lane: Lane,
    /// What it is about, if one entity.
    pub entity: Option<EntityId>,
    /// What happened, untrusted.
    pub text: Box<str>,
}

/// What stands in the entry that tells that an alert fires, behind its name.
const ALERT_FIRES: &str = " fires";
/// How the entry goes on after its name that tells that an alert is not counted as over: it was held back and fires on, …
pub const ALERT_STILL_FIRES: &str = "still fires";
/// … or waited in vain to clear, …
pub const ALERT_NOT_CLEAR: &str = "did not clear by itself";
/// … its sender fell silent, …
pub const ALERT_UNHEARD: &str = "is not heard of since";
/// … or tells of it again after that.
pub const ALERT_AGAIN: &str = "is sent again";
/// How the entry begins that tells who took an incident; their name follows.
pub const TAKEN_BY: &str = "taken by ";
/// What stands in the entry that tells who gave an incident to whom, between their names.
pub const ASSIGNED_TO: &str = " assigned it to ";

/// That an incident which was over was opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reopened {
    /// When it had been over.
    pub over: Time,
    /// When it was opened again.
    pub at: Time,
}

/// How far an incident reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// Entities with a finding or alert of this incident.
    pub entities: u32,
    /// Alerts that fire now.
    pub alerts_firing: u32,
    /// Alerts that fire as well and are held back: by a silence, a window, or what says it already.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub alerts_held: u32,
    /// Of those that fire, alerts whose sender fell silent: nobody knows whether they still do.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub alerts_unheard: u32,
    /// Alerts ever attached.
    pub alerts_total: u32,
    /// Findings that last now.
    pub findings_open: u32,
    /// Findings ever attached.
    pub findings_total: u32,
}

/// Whether there is nothing to write down.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
pub(super) fn is_none_of_them(count: &u32) -> bool {
    *count == 0
}

/// A node on the path from suspects to those hurt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathNode {
    /// The entity.
    pub entity: EntityId,
    /// How it is now.
    pub health: Health,
    /// Confidence that it is the cause, 0 when it is no suspect.
    pub suspicion: f32,
    /// First abnormal time, if any.
    pub onset: Option<Time>,
    /// Team that owns it, if it is known; untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// Business tier, 1 the most important, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
    /// Pages about it, by what they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// It is no part of the incident: it stands within two steps of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_beside: bool,
    /// What stands around it and is not drawn.
    #[serde(default, skip_serializing_if = "Beside::is_nothing")]
    pub beside: Beside,
}

/// An edge on the path; indexes into [`Incident::path_nodes`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathEdge {
    /// Index of the dependent.
    pub from: u32,
    /// Index of the dependency.
    pub to: u32,
    /// How we know.
    pub provenance: Provenance,
    /// When it was last confirmed.
    pub last_seen: Time,
    /// How far it is believed, from 0 to 1, at the moment it is told: what nobody confirms fades.
    #[serde(default)]
    pub confidence: f32,
}

/// Everything known about one incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Identity.
    pub id: IncidentId,
    /// Counts up with every change; a console that holds another revision asks again.
    pub revision: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// How bad, from impact.
    pub severity: Severity,
    /// Why it is that bad: where, and the reasons; untrusted.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub priority_why: Box<str>,
    /// One line: the worst symptom and where, untrusted.
    pub title: Box<str>,
    /// The entity most affected.
    pub entity: EntityId,
    /// Event time of its first abnormal point.
    pub began: Time,
    /// Whether a sender says that it began earlier still, longer ago than is believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub began_before: bool,
    /// When it was opened here.
    pub opened: Time,
    /// When it last changed.
    pub updated: Time,
    /// When its signals were back to normal.
    pub mitigated: Option<Time>,
    /// When it was resolved.
    pub resolved: Option<Time>,
    /// That it was over and opened again: the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<Reopened>,
    /// Who took it.
    pub owner: Option<String>,
    /// When they took it or were given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_since: Option<Time>,
    /// What caused it, as a person found.
    #[serde(default)]
    pub cause: Option<TrueCause>,
    /// The incident it turned out to be part of; it is nothing of its own any more.
    #[serde(default)]
    pub merged_into: Option<IncidentId>,
    /// What people said of it and of others, by merging and splitting; bounded by the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regrouped: Vec<Regrouped>,
    /// Who does what, and what those outside were told.
    #[serde(default, skip_serializing_if = "Coordination::is_empty")]
    pub coordination: Coordination,
    /// How far it reaches.
    pub impact: Impact,
    /// What holds its alerts back that fire and are not told, if any are: what does so longest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<HeldBack>>,
    /// The entities that belong to it, as of when it was last recorded; bounded by the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<EntityId>,
    /// Why these signals are one incident, one sentence a stage, untrusted.
    pub grouping: Vec<Box<str>>,
    /// Findings, oldest first; bounded by the engine, the rest are counted in `impact`.
    pub findings: Vec<Finding>,
    /// Alerts, oldest first; bounded likewise.
    pub alerts: Vec<Fingerprint>,
    /// Changes that may have set it off, oldest first; bounded by the engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ChangeOf>,
    /// Suspects.
    pub diagnosis: Diagnosis,
    /// Path and blast radius: nodes, suspects first.
    pub path_nodes: Vec<PathNode>,
    /// Path and blast radius: edges.
    pub path_edges: Vec<PathEdge>,
    /// Plans proposed for it, newest last.
    pub plans: Vec<PlanId>,
    /// What happened, in order of time.
    pub timeline: Vec<TimelineEntry>,
    /// Timeline entries that did not fit.
    pub timeline_dropped: u32,
}

/// What hides an incident in this phase of which nothing else hurts.
pub(super) fn hidden(held: Option<&HeldBack>, phase: Phase, hurts: bool) -> Option<&HeldBack> {
    held.filter(|_| phase != Phase::Resolved && !hurts)
}

impl TimelineEntry {
    /// The words that tell that an alert fires. A summary that says its name again, or nothing, is left out.
    pub fn alert_fires(name: &str, summary: &str) -> String {
        if summary.is_empty() || summary.eq_ignore_ascii_case(name) {
            return format!("{name}{ALERT_FIRES}");
        }
        format!("{name}{ALERT_FIRES}: {summary}")
    }

    /// The name of the alert that it tells the firing of, if it does.
    pub fn fires(&self) -> Option<&str> {
        let (name, summary) = self.text.split_once(ALERT_FIRES)?;
        (summary.is_empty() || summary.starts_with(": ")).then_some(name)
    }
}

impl Incident {
    /// One that is opened at `now` on `entity`, where trouble began at `began`; nothing else is known yet.
    pub fn opened(id: IncidentId, entity: EntityId, began: Time, now: Time) -> Self {
        Self {
            id,
            revision: 0,
            phase: Phase::Open,
            severity: Severity::Info,
            priority_why: Box::default(),
            title: entity.name().into(),
            entity,
            began,
            began_before: false,
            opened: now,
            updated: now,
            mitigated: None,
            resolved: None,
            reopened: None,
            owner: None,
            owned_since: None,
            cause: None,
            merged_into: None,
            regrouped: Vec::new(),
            coordination: Coordination::default(),
            impact: Impact::default(),
            held: None,
            members: Vec::new(),
            grouping: Vec::new(),
            findings: Vec::new(),
            alerts: Vec::new(),
            changes: Vec::new(),
            diagnosis: Diagnosis::default(),
            path_nodes: Vec::new(),
            path_edges: Vec::new(),
            plans: Vec::new(),
            timeline: Vec::new(),
            timeline_dropped: 0,
        }
    }
}

impl Incident {
    /// What hides it, if all that is abnormal about it are alerts that are held back: it is neither healed nor over.
    pub fn hidden(&self) -> Option<&HeldBack> {
        let hurts = self.impact.alerts_firing > 0 || self.impact.findings_open > 0;
        hidden(self.held.as_deref(), self.phase, hurts)
    }

    /// How many of its alerts fire, told or held back.
    pub const fn fires(&self) -> u32 {
        self.impact.alerts_firing + self.impact.alerts_held
    }

    /// Where it is in its life, in a word; of what is hidden, how.
    pub fn state_word(&self) -> &'static str {
        self.hidden().map_or(self.phase.as_str(), HeldBack::as_str)
    }

    /// Somebody has it from `at` on.
    pub fn give(&mut self, to: &str, at: Time) {
        self.owner = Some(to.to_owned());
        self.owned_since = Some(at);
    }

    /// What caused it, as a person found; or that they took that back. The line of the timeline.
    pub fn find_cause(
        &mut self,
        at: Time,
        by: &str,
        cause: Option<&EntityId>,
        change: Option<&str>,
    ) -> String {
        self.cause = cause.map(|entity| TrueCause {
            entity: entity.clone(),
            change: change.map(Box::from),
            by: by.to_owned(),
            at,
        });
        self.judge_changes();
        let confirmed = self.changes.iter();
        let confirmed = confirmed.filter(|change| change.state == ChangeState::Confirmed);
        match (cause, { confirmed }.next()) {
            (Some(cause), Some(change)) => {
                format!("{by}: the cause was {cause}, by {}", change.named())
            }
            (Some(cause), None) => format!("{by}: the cause was {cause}"),
            (None, _) => format!("{by} took back what caused it"),
        }
    }

    /// What is thought of its changes follows from its suspects, and from what a person found.
    pub fn judge_changes(&mut self) {
        let confirmed = self.cause.as_ref().and_then(|cause| cause.change.as_ref());
        for change in &mut self.changes {
            let is_named = |hypothesis: &Hypothesis| match &hypothesis.cause {
                SuspectKind::Change { id, .. } => *id == change.id,
                SuspectKind::Traffic => {
                    change.kind == ChangeKind::Traffic && hypothesis.suspect == change.entity
                }
                _ => false,
            };
            change.state = if confirmed == Some(&change.id) {
                ChangeState::Confirmed
            } else if self.diagnosis.hypotheses.iter().any(is_named) {
                ChangeState::Suspect
            } else {
                ChangeState::None
            };
        }
    }

    /// Leaves out changes beyond `most`: what came after it began and nobody suspects first, the latest first.
    pub fn drop_changes(&mut self, most: usize) {
        let began = self.began;
        let is_idle = |change: &ChangeOf| change.state == ChangeState::None;
        while self.changes.len() > most {
            let mut changes = self.changes.iter();
            let later = changes.rposition(|change| is_idle(change) && change.at > began);
            let idle = || self.changes.iter().position(is_idle);
            self.changes.remove(later.or_else(idle).unwrap_or(0));
        }
    }

    /// It lasts from `at` on, though it may have been calm or over.
    pub fn lasts_again(&mut self, at: Time) {
        self.mitigated = None;
        if let Some(over) = self.resolved.take() {
            self.reopened = Some(Reopened { over, at });
        }
    }

    /// Writes a line into the timeline, in order of time, and within a moment in the order they came, but that
    /// signals come before what was done about them. Beyond the bound it is counted.
    pub fn tell(&mut self, at: Time, lane: Lane, entity: Option<EntityId>, text: &str) {
        let is_full = self.timeline.len() >= TIMELINE_ENTRIES_MAX;
        // What people wrote is worth more than one more signal of many.
        if is_full && matches!(lane, Lane::Anomaly | Lane::Alert) {
            self.timeline_dropped += 1;
            return;
        }
        self.put(at, lane, entity, text);
    }

    /// Writes a turn of its life into the timeline, as [`Self::tell`] does, but that no room is no reason to
    /// leave it out, whatever its lane.
    pub fn tell_turn(&mut self, at: Time, lane: Lane, text: &str) {
        self.put(at, lane, None, text);
    }

    fn put(&mut self, at: Time, lane: Lane, entity: Option<EntityId>, text: &str) {
        let timeline = &mut self.timeline;
        if timeline.len() >= TIMELINE_ENTRIES_MAX {
            self.timeline_dropped += 1;
            let is_signal =
                |entry: &TimelineEntry| matches!(entry.lane, Lane::Anomaly | Lane::Alert);
            let leaves = timeline.iter().rposition(is_signal);
            timeline.remove(leaves.unwrap_or(BEGINNING_KEPT));
        }
        let is_act = |lane| matches!(lane, Lane::Person | Lane::Automation);
        let place =
            timeline.partition_point(|entry| (entry.at, is_act(entry.lane)) <= (at, is_act(lane)));
        let text = text.into();
        timeline.insert(
            place,
            TimelineEntry {
                at,
                lane,
                entity,
                text,
            },
        );
    }
}

impl Phase {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Mitigated => "mitigated",
            Self::Resolved => "resolved",
        }
    }

    /// How soon somebody should look: the lowest first. One that is taken is as urgent as before.
    pub const fn urgency(self) -> u8 {
        match self {
            Self::Open | Self::Acknowledged => 0,
            Self::Mitigated => 1,
            Self::Resolved => 2,
        }
    }
}

impl Lane {
    /// All lanes, in the order they are drawn.
    pub const ALL: [Self; 5] = [
        Self::Change,
        Self::Anomaly,
        Self::Alert,
        Self::Person,
        Self::Automation,
    ];

    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Anomaly => "anomaly",
            Self::Alert => "alert",
            Self::Person => "person",
            Self::Automation => "automation",
        }
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_that_fires_says_its_name_once() {
        let cases = [
            ("Down", "Down", "Down fires"),
            ("Down", "down", "Down fires"),
            ("Down", "", "Down fires"),
            ("Down", "db-1 is down", "Down fires: db-1 is down"),
        ];
        for (name, summary, told) in cases {
            let text = TimelineEntry::alert_fires(name, summary);
            assert_eq!(text, told);
            let entry = TimelineEntry {
                at: Time::ZERO,
                lane: Lane::Alert,
                entity: None,
                text: text.into(),
            };
            assert_eq!(entry.fires(), Some(name));
        }
    }

    fn texts(incident: &Incident) -> Vec<&str> {
        incident.timeline.iter().map(|entry| &*entry.text).collect()
    }

    #[test]
    fn a_timeline_is_in_order_of_time_and_signals_before_what_they_caused() {
        let at = Time::from_secs;
        let entity = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), entity, at(5), at(9));
        incident.tell(at(9), Lane::Automation, None, "opened");
        incident.tell(at(9), Lane::Alert, None, "fires");
        incident.tell(at(7), Lane::Person, None, "before");
        incident.tell(at(9), Lane::Alert, None, "fires too");
        incident.tell(at(9), Lane::Person, None, "mine");
        incident.tell(at(10), Lane::Change, None, "after");
        let expected = ["before", "fires", "fires too", "opened", "mine", "after"];
        assert_eq!(texts(&incident), expected);
    }

    #[test]
    fn the_latest_of_very_many_notes_is_kept() {
        let entity = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), entity, Time::ZERO, Time::ZERO);
        for n in 0..=TIMELINE_ENTRIES_MAX {
            let text = format!("note {n}");
            incident.tell(Time::from_secs(n as i64), Lane::Person, None, &text);
        }
        let last = format!("note {TIMELINE_ENTRIES_MAX}");
        assert_eq!(incident.timeline.len(), TIMELINE_ENTRIES_MAX);
        assert_eq!(texts(&incident).last(), Some(&last.as_str()));
        assert!(texts(&incident).contains(&"note 99"));
        assert!(!texts(&incident).contains(&"note 100"));
    }

    #[test]
    fn what_people_say_takes_the_place_of_signals_in_a_full_timeline() {
        let entity = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), entity, Time::ZERO, Time::ZERO);
        for n in 0..TIMELINE_ENTRIES_MAX {
            incident.tell(Time::from_secs(n as i64), Lane::Alert, None, "fires");
        }
        let late = Time::from_secs(9_000);
        incident.tell(late, Lane::Alert, None, "one more");
        incident.tell(late, Lane::Person, None, "I look");
        assert_eq!(incident.timeline.len(), TIMELINE_ENTRIES_MAX);
        assert_eq!(incident.timeline_dropped, 2);
        assert_eq!(texts(&incident).last(), Some(&"I look"));
        assert!(!texts(&incident).contains(&"one more"));
    }
}
