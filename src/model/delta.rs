//! What a console holds, row by row. Each delta replaces one row; `api::View::apply` puts it in place.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{
    EntityId, HeldBack, IncidentId, Pace, Phase, PlanId, RefusedOf, Severity, Silence, SilenceId,
    Time,
};

/// One change to what consoles hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// An incident is new or changed.
    Incident(IncidentRow),
    /// An incident left the view (old and resolved).
    IncidentGone(IncidentId),
    /// An entity's health changed.
    Entity(EntityHealth),
    /// An entity left the view: nothing was heard of it for long.
    EntityGone(EntityId),
    /// Totals changed.
    Counts(Counts),
    /// A source's state changed.
    Source(SourceRow),
    /// A silence is new or changed.
    Silence(Box<Silence>),
    /// A silence left the view: it is long over.
    SilenceGone(SilenceId),
    /// The kill switch was turned.
    Automation {
        /// Whether automation is stopped.
        stopped: bool,
    },
    /// What is shown is of another kind from now on.
    Mode(Mode),
    /// Something the operator must know: a rebuilt store, a full disk. Empty takes it away.
    Banner(String),
}

/// What a console is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The present.
    #[default]
    Live,
    /// History, gone through at once to learn what is normal.
    Learning,
    /// A recording, in which nothing can be decided.
    Replay {
        /// When it ends.
        until: Time,
    },
}

/// Entities of an incident that its row names; of more only the daemon knows.
pub const ROW_MEMBERS_MAX: usize = 64;

/// An incident as a row. Everything else about it is asked for when somebody looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentRow {
    /// Identity.
    pub id: IncidentId,
    /// [`super::Incident::revision`].
    pub revision: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// How bad.
    pub severity: Severity,
    /// The entity most affected.
    pub entity: EntityId,
    /// One line, untrusted.
    pub title: Box<str>,
    /// Event time of its first abnormal point.
    pub began: Time,
    /// [`super::Incident::began_before`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub began_before: bool,
    /// When it last changed.
    pub updated: Time,
    /// When its signals were back to normal, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigated: Option<Time>,
    /// When it was resolved, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Time>,
    /// When it was opened again last, if it was over before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<Time>,
    /// Who took it.
    pub owner: Option<String>,
    /// The first suspect and its confidence.
    pub suspect: Option<(EntityId, f32)>,
    /// Entities touched.
    pub entities: u32,
    /// Which: the first [`ROW_MEMBERS_MAX`] of them, so that it is found by each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<EntityId>,
    /// Alerts ever attached.
    pub alerts: u32,
    /// Alerts that fire now.
    #[serde(default)]
    pub alerts_firing: u32,
    /// Of these, alerts whose sender fell silent.
    #[serde(default, skip_serializing_if = "super::incident::is_none_of_them")]
    pub alerts_unheard: u32,
    /// Alerts that fire as well and are held back.
    #[serde(default, skip_serializing_if = "super::incident::is_none_of_them")]
    pub alerts_held: u32,
    /// [`super::Incident::held`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<HeldBack>>,
    /// Findings ever attached.
    pub findings: u32,
    /// Findings that last now.
    #[serde(default)]
    pub findings_open: u32,
    /// The plan that matters most now, and its state in a word.
    pub plan: Option<(PlanId, Box<str>)>,
}

impl IncidentRow {
    /// The order in which people should look: what needs somebody before what calms down before what is
    /// over, then the worst, then the latest.
    pub fn by_urgency(&self, other: &Self) -> Ordering {
        (self.phase.urgency().cmp(&other.phase.urgency()))
            .then(other.severity.cmp(&self.severity))
            .then(other.began.cmp(&self.began))
            .then(other.id.cmp(&self.id))
    }

    /// [`super::Incident::hidden`].
    pub fn hidden(&self) -> Option<&HeldBack> {
        let hurts = self.alerts_firing > 0 || self.findings_open > 0;
        super::incident::hidden(self.held.as_deref(), self.phase, hurts)
    }

    /// [`super::Incident::state_word`].
    pub fn state_word(&self) -> &'static str {
        self.hidden().map_or(self.phase.as_str(), HeldBack::as_str)
    }

    /// How many of its alerts fire, told or held back.
    pub const fn fires(&self) -> u32 {
        self.alerts_firing + self.alerts_held
    }

    /// How long it has lasted by `now`, in milliseconds; what is resolved lasts no longer.
    pub fn lasted_ms(&self, now: Time) -> i64 {
        self.resolved.unwrap_or(now).since(self.began)
    }
}

/// How an entity is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing open on it.
    #[default]
    Ok,
    /// Something informs.
    Odd,
    /// Something pages.
    Bad,
    /// It should speak and does not.
    Blind,
}

/// An entity and its health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityHealth {
    /// The entity.
    pub entity: EntityId,
    /// How it is.
    pub health: Health,
}

/// Totals for the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Incidents open, acknowledged or mitigated, by priority 1 to 4.
    pub open_by_priority: [u32; 4],
    /// Alerts firing.
    pub alerts_firing: u64,
    /// Of these, held back from incidents and people.
    #[serde(default)]
    pub alerts_held: u64,
    /// Of these, with a sender that fell silent: nobody knows whether they still fire.
    #[serde(default)]
    pub alerts_unheard: u64,
    /// Findings open.
    pub findings_open: u64,
    /// Entities known.
    pub entities: u64,
    /// Series with a detector.
    pub series: u64,
    /// Log templates known.
    pub templates: u64,
    /// Signals taken since the start.
    pub signals: u64,
    /// Signals refused by the engine, for any reason, since the start.
    pub refused: u64,
    /// Signals taken otherwise than they were told (times nobody can believe), since the start.
    #[serde(default)]
    pub corrected: u64,
    /// Series retired after a long silence, since the start.
    #[serde(default)]
    pub retired: u64,
}

/// How a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceHealth {
    /// Nothing came since the daemon was started, and nothing is missed: it never spoke, or did so before and may well be
    /// silent for so long.
    Waiting,
    /// Data arrives.
    Live,
    /// It spoke, and is silent for longer than it usually is. It speaks when something happens, or was not heard for
    /// long enough to be waited for: that may be nothing.
    Silent,
    /// It spoke, and is silent for much longer than it usually is.
    Blind,
    /// Its sender speaks, and nothing of it could be taken so far: see [`SourceRow::last_refusal`].
    Rejecting,
    /// It cannot work: the reason is in [`SourceRow::detail`].
    Failed,
}

/// A source as a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// How it is.
    pub health: SourceHealth,
    /// Where it listens, reads or connects; or what is wrong.
    pub detail: String,
    /// Last data, also of before the daemon was started; `None` before the first.
    pub last_seen: Option<Time>,
    /// Signals taken.
    pub taken: u64,
    /// Signals or requests refused as malformed, and signals that the engine refused for what they say.
    pub rejected: u64,
    /// Signals lost: a queue was full and their sender keeps nothing, nobody read them in time, or the engine had no room.
    pub dropped: u64,
    /// Signals sent back because a queue was full: their sender keeps them and tries again.
    #[serde(default)]
    pub refused: u64,
    /// Requests sent back unread for the same reason: how many signals they hold nobody knows.
    #[serde(default)]
    pub unread: u64,
    /// The last thing that was rejected, dropped or sent back.
    #[serde(default)]
    pub last_refusal: Option<LastRefusal>,
    /// The last thing of each kind of these.
    #[serde(default)]
    pub last_of: LastOf,
    /// How it usually speaks.
    #[serde(default)]
    pub pace: Pace,
}

impl SourceRow {
    /// Counts what the engine refused of what was handed to it.
    pub fn refuse(&mut self, refused: &RefusedOf) {
        self.rejected += refused.rejected;
        self.dropped += refused.dropped;
        self.taken = self
            .taken
            .saturating_sub(refused.rejected + refused.dropped);
        if self.taken == 0 && self.health == SourceHealth::Live {
            self.health = SourceHealth::Rejecting;
        }
        let (rejected, dropped) = (
            refused.last_of.rejected.as_ref(),
            refused.last_of.dropped.as_ref(),
        );
        later(&mut self.last_of.rejected, rejected);
        later(&mut self.last_of.dropped, dropped);
        later(&mut self.last_refusal, rejected);
        later(&mut self.last_refusal, dropped);
    }
}

/// The last things that a source could not take, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastOf {
    /// Something was wrong with it.
    pub rejected: Option<LastRefusal>,
    /// There was no room for it, and it is lost.
    pub dropped: Option<LastRefusal>,
    /// There was no room for it, and its sender keeps it.
    pub sent_back: Option<LastRefusal>,
}

/// Something a source could not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefusal {
    /// When.
    pub at: Time,
    /// Why, bounded in length, untrusted: it may repeat what was sent.
    pub why: Box<str>,
}

/// The later of two refusals stays.
fn later(last: &mut Option<LastRefusal>, other: Option<&LastRefusal>) {
    let at = last.as_ref().map(|last| last.at);
    if let Some(other) = other.filter(|other| Some(other.at) >= at) {
        *last = Some(other.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_somebody_comes_first_whatever_its_priority() {
        // As it comes over the wire: rows grow, and the order does not depend on what is added.
        let row = |id: u64, phase: Phase, severity: Severity, began_s: i64| -> IncidentRow {
            let row = serde_json::json!({
                "id": id,
                "revision": 0,
                "phase": phase,
                "severity": severity,
                "entity": EntityId::parse("cart"),
                "title": "",
                "began": Time::from_secs(began_s),
                "updated": Time::ZERO,
                "owner": null,
                "suspect": null,
                "entities": 1,
                "alerts": 1,
                "findings": 0,
                "plan": null,
            });
            serde_json::from_value(row).unwrap()
        };
        let mut rows = [
            row(1, Phase::Resolved, Severity::Critical, 90),
            row(2, Phase::Mitigated, Severity::Critical, 80),
            row(3, Phase::Open, Severity::Warning, 10),
            row(4, Phase::Open, Severity::Error, 10),
            row(5, Phase::Acknowledged, Severity::Error, 20),
            row(6, Phase::Open, Severity::Error, 10),
        ];
        rows.sort_by(IncidentRow::by_urgency);
        assert_eq!(rows.map(|row| row.id.0), [5, 6, 4, 3, 2, 1]);
    }
}
