//! One incident as it is held: what consoles see of it, and the bookkeeping behind.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::Began;
use super::impact::{self, Sight};
use super::phase::{self, Event};
use super::severity;
use crate::engine::entities::{Entities, EntityIx};
use crate::model::{
    EntityId, Finding, FindingId, Fingerprint, Incident, IncidentRow, Lane, Phase, PlanId,
    ROW_MEMBERS_MAX, Severity, Time, TimelineEntry, turn,
};

const FINDINGS_MAX: usize = 200;
/// Fingerprints kept on one incident; all of them can be paged through.
const ALERTS_MAX: usize = 200;
/// Reasons why its signals are one, kept on one incident; the rest are counted.
const REASONS_MAX: usize = 200;
/// Members recorded with one incident, by which they find it again after a restart.
const MEMBERS_RECORDED_MAX: usize = 2_000;
/// Plans listed on one incident; older ones are counted.
const PLANS_MAX: usize = 100;
/// An incident is named after another of its entities only once that one was hurt most for so long, in
/// milliseconds: a name that changes between two looks is taken for another incident.
const PLACE_MS: i64 = 60_000;
/// Alerts told one by one in a timeline; a storm is told by its count.
const ALERTS_TOLD_MAX: u32 = 40;

/// One incident with its bookkeeping.
#[derive(Debug)]
pub struct Held {
    /// What consoles see.
    pub incident: Incident,
    /// The deepest entity that explains the others, as far as is known.
    pub root: EntityIx,
    /// Entities that belong to it.
    pub members: BTreeSet<EntityIx>,
    /// Engine time at which the last new signal joined.
    pub joined: Time,
    /// Since when nothing is odd, in engine time.
    pub quiet_since: Option<Time>,
    /// Whether a person declared it over.
    pub by_person: bool,
    /// When it was last diagnosed.
    pub diagnosed: Option<Time>,
    /// What is to be done about it.
    pub pending: Pending,
    /// When the journal last got it.
    pub recorded: Time,
    /// When its severity, title and place were last read.
    pub summed: Option<Time>,
    /// The plan that matters most, and its state in a word.
    pub plan: Option<(PlanId, Box<str>)>,
    /// Worst severity of its alerts.
    pub alert_severity: Option<Severity>,
    /// Whether its signals were heard since the start.
    pub hearing: Hearing,
    /// For how long nobody could be heard who tells of it, while it was waited for or quiet, in milliseconds.
    pub deaf_ms: i64,
    /// Whether a person said what belongs to it: then it is not split by itself.
    pub is_pinned: bool,
    /// Since when members were odd when a restart forgot it.
    pub onsets: BTreeMap<EntityIx, Time>,
    /// Reasons and plans for which there was no room.
    pub untold: u64,
    /// Its severity and phase as of the last step that changed it.
    pub(super) seen: (Severity, Phase),
    /// Who is hurt most now, if it is not who it is named after, and since when.
    pub(super) moves_to: Option<(EntityIx, Time)>,
    /// Most signals that paged at once since it was last quiet.
    paging_most: usize,
    alerts_firing: u32,
    findings_open: BTreeSet<FindingId>,
}

/// What is known of the signals an incident had before a restart. Signals are not in the journal, and
/// silence is no health: senders are given their time to speak again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// They are known.
    Heard,
    /// They may still be abnormal: nobody had the time to say.
    Waiting,
    /// They had their time, and said nothing.
    Silent,
}

/// What is to be done about an incident before the step ends, or on a later tick.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Something changed that diagnosis should know.
    pub diagnosis: bool,
    /// Severity, title and place may have changed.
    pub summary: bool,
    /// The journal is to keep it as it is.
    pub record: Due,
}

/// Whether the journal is to keep an incident as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// It has it.
    No,
    /// Before long.
    Later,
    /// At the end of the step.
    Now,
}

impl Held {
    pub(super) fn new(incident: Incident, root: EntityIx, now: Time) -> Self {
        Self {
            seen: (incident.severity, incident.phase),
            incident,
            root,
            members: BTreeSet::new(),
            joined: now,
            recorded: now,
            quiet_since: None,
            by_person: false,
            diagnosed: None,
            pending: Pending {
                diagnosis: true,
                summary: true,
                record: Due::No,
            },
            summed: None,
            plan: None,
            alert_severity: None,
            hearing: Hearing::Heard,
            deaf_ms: 0,
            is_pinned: false,
            onsets: BTreeMap::new(),
            untold: 0,
            moves_to: None,
            paging_most: 0,
            alerts_firing: 0,
            findings_open: BTreeSet::new(),
        }
    }

    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.incident.phase != Phase::Resolved
    }

    /// Whether any of its signals is abnormal now, or may still be since before a restart.
    pub fn is_noisy(&self) -> bool {
        self.has_signals() || self.hearing == Hearing::Waiting
    }

    /// Whether any of its signals is known to be abnormal now.
    pub fn has_signals(&self) -> bool {
        self.alerts_firing > 0 || !self.findings_open.is_empty()
    }

    /// Notes how much of it pages now.
    pub fn note_paging(&mut self) {
        self.paging_most = self.paging_most.max(self.paging());
    }

    fn paging(&self) -> usize {
        let findings = self.incident.findings.iter();
        let findings = findings.filter(|finding| finding.pages && finding.is_open());
        findings.count() + self.alerts_firing as usize
    }

    /// Who it is named after: whoever is hurt most. While it is new that is read anew each time; later
    /// another takes the name, and is told of, when that is worse, or has lasted.
    pub fn place(&mut self, sight: &Sight<'_>, now: Time) -> EntityIx {
        let named = sight.entities.find(&self.incident.entity);
        let named = named.filter(|at| self.members.contains(at));
        let fresh = match self.stays_at(sight) {
            Some(at) => at,
            None => impact::target(self, sight),
        };
        let moves_to = self.moves_to.take();
        let is_new = now.since(self.incident.opened) < PLACE_MS;
        let Some(named) = named.filter(|named| *named != fresh && !is_new) else {
            return fresh;
        };
        let (_, since) = moves_to
            .filter(|(to, _)| *to == fresh)
            .unwrap_or((fresh, now));
        let at_fresh = severity::judge(&severity::facts(self, fresh, sight));
        let is_worse = at_fresh.severity > self.incident.severity;
        if !is_worse && now.since(since) < PLACE_MS {
            self.moves_to = Some((fresh, since));
            self.pending.summary = true;
            return named;
        }
        let [to, from] = [fresh, named].map(|at| sight.entities.id(at).clone());
        let text = format!("hurts most at {} now, before at {}", to.name(), from.name());
        self.tell(now, Lane::Automation, Some(to), &text);
        fresh
    }

    /// Where it stays while it calms down: who hurts last is not who was hurt most. `None` while it is as
    /// bad as it ever was.
    fn stays_at(&self, sight: &Sight<'_>) -> Option<EntityIx> {
        if self.paging() >= self.paging_most {
            return None;
        }
        let at = sight.entities.find(&self.incident.entity)?;
        if !self.members.contains(&at) {
            return None;
        }
        let fresh = impact::target(self, sight);
        let verdict = severity::judge(&severity::facts(self, fresh, sight));
        (verdict.severity <= self.incident.severity).then_some(at)
    }

    /// Whether so many alerts are all that is known to be abnormal.
    pub fn has_only_alerts(&self, alerts: u32) -> bool {
        self.alerts_firing == alerts && self.findings_open.is_empty()
    }

    /// What hid it is gone: if nothing of it fires any more, it is calm from now on, and not since it was hidden.
    pub fn calm_after_all(&mut self, now: Time) {
        if self.incident.phase == Phase::Mitigated
            && self.incident.held.is_none()
            && !self.has_signals()
        {
            self.incident.mitigated = Some(now);
            let lane = phase::lane(Event::Quiet);
            self.incident.tell_turn(now, lane, turn::ALL_CALM);
            self.pending.record = Due::Now;
        }
    }

    /// Moves to another phase if the move is legal; whether it did.
    pub fn turn(&mut self, event: Event, now: Time, why: &str) -> bool {
        let Some(next) = phase::next(self.incident.phase, event) else {
            return false;
        };
        let incident = &mut self.incident;
        incident.phase = next;
        match next {
            Phase::Mitigated => {
                incident.mitigated = Some(now);
                self.paging_most = 0;
            }
            Phase::Resolved => {
                incident.resolved = Some(now);
                self.paging_most = 0;
            }
            Phase::Open | Phase::Acknowledged => incident.lasts_again(now),
        }
        self.incident.tell_turn(now, phase::lane(event), why);
        self.pending.record = Due::Now;
        true
    }

    /// Writes a line into the timeline: see [`Incident::tell`].
    pub fn tell(&mut self, at: Time, lane: Lane, entity: Option<EntityId>, text: &str) {
        self.incident.tell(at, lane, entity, text);
    }

    /// Adds an entity, with the reason it belongs here.
    pub fn join(&mut self, entity: EntityIx, why: &str, now: Time) {
        if !self.members.insert(entity) {
            return;
        }
        self.joined = now;
        self.pending.diagnosis = true;
        self.pending.record = self.pending.record.max(Due::Later);
        self.incident.impact.entities = self.members.len() as u32;
        self.note_reason(why);
    }

    /// Writes down why its signals are one incident.
    pub fn note_reason(&mut self, why: &str) {
        if self.incident.grouping.len() < REASONS_MAX {
            self.incident.grouping.push(why.into());
        } else {
            self.untold += 1;
        }
    }

    /// Since when a member was odd that is seen again for the first time since a restart.
    pub fn onset_before_restart(&mut self, entity: EntityIx) -> Option<Time> {
        let onset = self.onsets.remove(&entity)?;
        // Later it is odd anew.
        (self.hearing == Hearing::Waiting).then_some(onset)
    }

    /// Whether some of it ended without recovery: its level is the new normal.
    pub fn has_accepted(&self) -> bool {
        self.incident.findings.iter().any(|f| f.accepted.is_some())
    }

    /// Adds a finding, or takes over how it is now.
    pub fn put_finding(&mut self, finding: &Finding, now: Time) {
        let incident = &mut self.incident;
        let is_open = finding.is_open();
        let place = incident
            .findings
            .binary_search_by_key(&finding.id, |f| f.id);
        let is_new = match place {
            Ok(at) => {
                incident.findings[at].clone_from(finding);
                false
            }
            Err(at) => {
                // Beyond the bound only the open set remembers it.
                let is_new = !self.findings_open.contains(&finding.id);
                if is_new && incident.findings.len() < FINDINGS_MAX {
                    incident.findings.insert(at, finding.clone());
                }
                is_new
            }
        };
        if is_new {
            incident.impact.findings_total += 1;
            incident.began = Began::of(finding).earliest(incident.began);
            self.joined = now;
            self.tell(
                finding.since,
                Lane::Anomaly,
                Some(finding.entity.clone()),
                &finding.text,
            );
        }
        self.pending.diagnosis = true;
        self.pending.summary = true;
        if is_open {
            self.findings_open.insert(finding.id);
        } else if self.findings_open.remove(&finding.id)
            && let (Some(accepted), Some(at)) = (&finding.accepted, finding.ended)
        {
            self.tell(at, Lane::Automation, Some(finding.entity.clone()), accepted);
        }
        self.incident.impact.findings_open = self.findings_open.len() as u32;
    }

    /// Adds an alert that fires.
    pub fn put_alert(&mut self, fingerprint: Fingerprint, alert: AlertNews<'_>, now: Time) {
        let incident = &mut self.incident;
        // After a restart senders tell again what is counted already.
        let is_told = self.hearing == Hearing::Waiting
            && (incident.alerts.contains(&fingerprint)
                || incident.alerts.len() >= ALERTS_MAX && alert.came <= self.recorded);
        if alert.is_new && !is_told {
            incident.impact.alerts_total += 1;
            if incident.alerts.len() < ALERTS_MAX {
                incident.alerts.push(fingerprint);
            }
            if alert.since <= incident.began {
                incident.began = alert.since;
                incident.began_before |= alert.began_before;
            }
            self.joined = now;
        }
        self.pending.diagnosis = true;
        self.pending.summary = true;
        self.alert_severity = self.alert_severity.max(Some(alert.severity));
        self.alerts_firing += 1;
        self.incident.impact.alerts_firing = self.alerts_firing;
        if is_told {
            return;
        }
        if self.incident.impact.alerts_total <= ALERTS_TOLD_MAX {
            let text = TimelineEntry::alert_fires(alert.name, alert.summary);
            // A sender's clock may be ahead; nothing fires after it was told.
            let since = alert.since.min(alert.came);
            let timeline = &self.incident.timeline;
            if !alert.is_new && timeline.iter().any(|e| e.at == since && *e.text == *text) {
                // It was held back meanwhile, and never stopped.
                return;
            }
            self.tell(since, Lane::Alert, Some(alert.entity), &text);
        } else {
            self.incident.timeline_dropped += 1;
        }
    }

    /// An alert of it is over, or no longer counts; `text` says which and why.
    pub fn end_alert(&mut self, text: &str, entity: EntityId, at: Time) {
        self.alerts_firing = self.alerts_firing.saturating_sub(1);
        self.incident.impact.alerts_firing = self.alerts_firing;
        self.tell_of_alert(text, entity, at);
    }

    /// What became of an alert of it, as long as they are told one by one.
    pub fn tell_of_alert(&mut self, text: &str, entity: EntityId, at: Time) {
        self.pending.summary = true;
        if self.incident.impact.alerts_total <= ALERTS_TOLD_MAX {
            self.tell(at, Lane::Alert, Some(entity), text);
        } else {
            self.incident.timeline_dropped += 1;
        }
    }

    /// After a restart: once the end of all that was abnormal was told, nobody is waited for.
    pub fn hear_the_end(&mut self, is_over: impl Fn(Fingerprint) -> bool) {
        let mut alerts = self.incident.alerts.iter();
        let mut findings = self.incident.findings.iter();
        if self.hearing == Hearing::Waiting
            && alerts.all(|alert| is_over(*alert))
            && findings.all(|finding| finding.ended.is_some())
        {
            self.hearing = Hearing::Heard;
        }
    }

    /// Members that are another incident's from now on.
    pub fn leave(&mut self, members: &BTreeSet<EntityIx>) {
        self.members.retain(|member| !members.contains(member));
        // What left has not calmed down.
        self.paging_most = 0;
        self.incident.impact.entities = self.members.len() as u32;
        self.pending.diagnosis = true;
        self.pending.summary = true;
    }

    /// Findings that are another incident's from now on.
    pub fn give_findings(&mut self, given: &[FindingId]) {
        let incident = &mut self.incident;
        incident
            .findings
            .retain(|finding| !given.contains(&finding.id));
        let held = given.iter().filter(|id| self.findings_open.remove(id));
        incident.impact.findings_total -= (held.count() as u32).min(incident.impact.findings_total);
        incident.impact.findings_open = self.findings_open.len() as u32;
    }

    /// An alert that is another incident's from now on; whether it counted as firing.
    pub fn give_alert(&mut self, fingerprint: Fingerprint, counted: bool) {
        let incident = &mut self.incident;
        incident.alerts.retain(|held| *held != fingerprint);
        incident.impact.alerts_total = incident.impact.alerts_total.saturating_sub(1);
        self.alerts_firing = self.alerts_firing.saturating_sub(u32::from(counted));
        incident.impact.alerts_firing = self.alerts_firing;
    }

    /// Takes in everything another incident holds.
    pub fn absorb(&mut self, other: Held) {
        let Incident {
            began,
            began_before,
            findings,
            alerts,
            impact,
            owner,
            owned_since,
            timeline,
            grouping,
            timeline_dropped,
            plans,
            regrouped,
            ..
        } = other.incident;
        let incident = &mut self.incident;
        incident.began = incident.began.min(began);
        incident.began_before |= began_before;
        if incident.owner.is_none() {
            (incident.owner, incident.owned_since) = (owner, owned_since);
        }
        incident.impact.alerts_total += impact.alerts_total;
        incident.impact.findings_total += impact.findings_total;
        let room = ALERTS_MAX.saturating_sub(incident.alerts.len());
        incident.alerts.extend(alerts.into_iter().take(room));
        incident.findings.extend(findings);
        incident.findings.sort_by_key(|finding| finding.id);
        incident.findings.truncate(FINDINGS_MAX);
        // What was made for either goes on, the newest first where there is no room for all.
        incident.plans.extend(plans);
        incident.plans.sort_unstable();
        incident.plans.dedup();
        let excess = incident.plans.len().saturating_sub(PLANS_MAX);
        incident.plans.drain(..excess);
        self.untold += excess as u64;
        incident.timeline_dropped += timeline_dropped;
        incident.regrouped.extend(regrouped);
        for reason in grouping {
            self.note_reason(&reason);
        }
        for entry in timeline {
            self.tell(entry.at, entry.lane, entry.entity, &entry.text);
        }
        self.untold += other.untold;
        self.members.extend(other.members);
        for (entity, onset) in other.onsets {
            let known = self.onsets.entry(entity).or_insert(onset);
            *known = onset.min(*known);
        }
        if other.hearing == Hearing::Waiting {
            self.hearing = Hearing::Waiting;
        }
        self.findings_open.extend(other.findings_open);
        self.alerts_firing += other.alerts_firing;
        self.alert_severity = self.alert_severity.max(other.alert_severity);
        let impact = &mut self.incident.impact;
        impact.entities = self.members.len() as u32;
        impact.alerts_firing = self.alerts_firing;
        impact.findings_open = self.findings_open.len() as u32;
        self.pending.diagnosis = true;
    }

    /// The incident as the journal keeps it.
    pub fn snapshot(&mut self, entities: &Entities) -> Incident {
        let members = self.members.iter().take(MEMBERS_RECORDED_MAX);
        self.incident.members = members.map(|ix| entities.id(*ix).clone()).collect();
        self.incident.clone()
    }

    /// The row consoles hold.
    pub fn row(&self, entities: &Entities) -> IncidentRow {
        let incident = &self.incident;
        let members = self.members.iter().take(ROW_MEMBERS_MAX);
        IncidentRow {
            id: incident.id,
            revision: incident.revision,
            phase: incident.phase,
            severity: incident.severity,
            entity: incident.entity.clone(),
            title: incident.title.clone(),
            began: incident.began,
            began_before: incident.began_before,
            updated: incident.updated,
            mitigated: incident.mitigated,
            resolved: incident.resolved,
            reopened: incident.reopened.map(|reopened| reopened.at),
            owner: incident.owner.clone(),
            suspect: incident
                .diagnosis
                .hypotheses
                .first()
                .map(|first| (first.suspect.clone(), first.confidence)),
            entities: incident.impact.entities,
            members: members.map(|ix| entities.id(*ix).clone()).collect(),
            alerts: incident.impact.alerts_total,
            alerts_firing: incident.impact.alerts_firing,
            alerts_unheard: incident.impact.alerts_unheard,
            alerts_held: incident.impact.alerts_held,
            held: incident.held.clone(),
            findings: incident.impact.findings_total,
            findings_open: incident.impact.findings_open,
            plan: self.plan.clone(),
        }
    }
}

/// What an incident wants to know of an alert.
#[derive(Debug)]
pub struct AlertNews<'a> {
    /// Whether it is the first time in this incident.
    pub is_new: bool,
    /// Its name.
    pub name: &'a str,
    /// Its summary.
    pub summary: &'a str,
    /// Its entity.
    pub entity: EntityId,
    /// Its severity.
    pub severity: Severity,
    /// When it began, as far as that is believed.
    pub since: Time,
    /// Whether its sender says that it began earlier still.
    pub began_before: bool,
    /// When it came.
    pub came: Time,
}
