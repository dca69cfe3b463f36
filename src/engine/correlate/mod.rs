//! From a storm of findings and alerts to a few incidents.
//!
//! A signal changes the condition of its entity; entities that are sick and belong nowhere go through
//! [`stages::STAGES`]; what no stage places opens an incident of its own once it has lasted. Then an
//! entity that turns out to explain the root of another incident pulls that one in.
//!
//! Must never do work proportional to the size of an incident for one more alert, and never groups
//! by the text of telemetry.

mod bonds;
mod book;
mod by_hand;
mod causes;
mod condition;
mod deeds;
mod held;
mod held_back;
mod impact;
mod merge;
mod phase;
mod places;
mod rejoin;
mod restarted;
mod rules;
mod set_back;
mod severity;
mod shares;
mod split;
mod stages;
mod summary;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::alerts::{AlertChange, Alerts};
use super::changes::Changes;
use super::diagnose::words;
use super::entities::{Entities, EntityIx};
use super::explain;
use super::findings::Findings;
use super::hold::Holds;
use super::intake::Intake;
use super::topology::Topology;
use super::traces::Traces;
use crate::model::{FindingId, Fingerprint, Health, IncidentId, Lane, Phase, Severity, Time, turn};

use bonds::Bonds;
pub use book::{Book, Every, RESOLVED_MAX};
use causes::{Evidence, OwnCause};
use condition::Began;
pub use condition::{Condition, Conditions};
use deeds::Deeds;
use held::AlertNews;
pub use held::{Due, Hearing, Held};
use held_back::ended_unsaid;
pub use impact::{Sight, felt, headlined, target};
pub use phase::{Event, next as next_phase};
pub use restarted::{UNHEARD_MS, tell_restart};
use rules::Rules;
use stages::{Bringer, Candidate, Place, STAGES, Scene};

/// A finding must last this long before it opens an incident, so that what explains it can be seen
/// as well, in milliseconds of engine time.
const SETTLE_MS: i64 = 10_000;
/// All signals must be quiet this long before an incident counts as mitigated, in milliseconds.
const QUIET_MS: i64 = 15_000;
/// A new signal joins an incident of its entity if the last one joined within this, in milliseconds.
const SAME_INCIDENT_MS: i64 = 30 * 60_000;
/// This many incidents opened within …
const STORM_INCIDENTS: usize = 50;
/// … this long make a storm, in milliseconds.
const STORM_MS: i64 = 60_000;
/// Alert names remembered for "the same alert elsewhere".
const ALERT_NAMES_MAX: usize = 4_096;

/// Everything correlation reads, and the tables it marks.
pub struct World<'a> {
    /// Engine time.
    pub now: Time,
    /// The entities; their health is set here.
    pub entities: &'a mut Entities,
    /// The dependencies.
    pub topology: &'a Topology,
    /// The findings; their incident is set here.
    pub findings: &'a mut Findings,
    /// The alerts; their incident is set here.
    pub alerts: &'a mut Alerts,
    /// What is held back, and why.
    pub holds: &'a Holds,
    /// The changes.
    pub changes: &'a Changes,
    /// The series.
    pub intake: &'a Intake,
    /// The calls traced.
    pub traces: &'a Traces,
    /// Incidents whose signals are in motion because of a plan: they are not split.
    pub settling: &'a BTreeSet<IncidentId>,
    /// An incident is over after being quiet this long, in milliseconds.
    pub resolve_after_ms: i64,
}

/// Merged incidents remembered: plans made for them live on for hours at most.
const MERGED_MAX: usize = 1_000;

/// Groups signals into incidents.
#[derive(Debug, Default)]
pub struct Correlator {
    /// The incidents.
    pub book: Book,
    conditions: Conditions,
    rules: Rules,
    /// What people's merges and splits taught.
    pub bonds: Bonds,
    /// The incident an entity belonged to last.
    last_incident: BTreeMap<EntityIx, IncidentId>,
    by_alert_name: BTreeMap<Box<str>, (IncidentId, Time)>,
    /// Entities to look at in this step.
    queue: VecDeque<EntityIx>,
    /// Entities whose findings have not lasted long enough yet.
    settling: BTreeSet<(Time, EntityIx)>,
    /// Times at which incidents were opened of late, with their ids.
    opened: VecDeque<(Time, IncidentId)>,
    placed_by: [u64; STAGES.len()],
    /// When young incidents were last looked at again.
    rejoined: Time,
    /// Entities with a cause of their own, as of the last look.
    causes: BTreeMap<EntityIx, OwnCause>,
    /// Incidents that a person told apart, each pair with the older first.
    apart: BTreeSet<(IncidentId, IncidentId)>,
    /// Incidents split because they had two causes.
    splits: u64,
    deeds: Deeds,
    /// The incident each merged one is part of.
    merged: BTreeMap<IncidentId, IncidentId>,
    /// The first step after a restart that brought incidents back.
    restarted: Option<Time>,
    /// Incidents came back and do not tell of it yet.
    is_restart_untold: bool,
    /// Those merged since the last look.
    merges: Vec<(IncidentId, IncidentId)>,
}

impl Correlator {
    /// Conditions by entity.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// How many entities each stage placed, in order of the stages.
    pub fn placed_by(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.stages().map(|(name, _, total)| (name, total))
    }

    /// The stages that place entities, in order: name, what they ask, and how many each placed.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let stages = STAGES.iter().zip(self.placed_by);
        let stages = stages.map(|(stage, total)| (stage.name, stage.what, total));
        stages.chain([("split off", "has a cause of its own", self.splits)])
    }

    /// A finding is new, changed or over.
    pub fn on_finding(&mut self, id: FindingId, world: &mut World<'_>) {
        let Some(state) = world.findings.get(id) else {
            return;
        };
        let (sick, incident, is_open) = (state.sick, state.incident, state.finding.is_open());
        let began = Began::of(&state.finding);
        if is_open {
            let conditions = &mut self.conditions;
            let condition = conditions.get(sick);
            if condition.is_some_and(|known| known.findings.contains(&id)) {
                conditions.retell(sick, began);
            } else {
                let condition = conditions.begin(sick, began, world.findings, world.now);
                condition.findings.push(id);
            }
        } else if let Some(condition) = self.conditions.get_mut(sick) {
            condition.findings.retain(|held| *held != id);
        }
        self.conditions.refresh(sick, world.findings);
        if let Some(incident) = incident {
            self.update_finding(incident, id, world);
        }
        if is_open {
            self.queue.push_back(sick);
        } else {
            world.findings.forget(id);
        }
        self.judge_health(sick, world);
    }

    fn update_finding(&mut self, incident: IncidentId, id: FindingId, world: &World<'_>) {
        if let Some(held) = self.book.get_mut(incident)
            && let Some(state) = world.findings.get(id)
        {
            held.put_finding(&state.finding, world.now);
        }
    }

    /// An alert fires, resolves or flaps.
    pub fn on_alert(&mut self, change: AlertChange, world: &mut World<'_>) {
        match change {
            AlertChange::Fired(fingerprint) => self.alert_fired(fingerprint, world),
            AlertChange::Resolved(fingerprint) => self.alert_resolved(fingerprint, world),
            AlertChange::Flapping(fingerprint) => self.alert_flaps(fingerprint, world),
            AlertChange::Retold(fingerprint) => self.alert_retold(fingerprint, world),
            AlertChange::Resent | AlertChange::Refused => {}
        }
    }

    fn alert_fired(&mut self, fingerprint: Fingerprint, world: &mut World<'_>) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        let (entity, severity) = (alert.entity, alert.severity);
        let began = Began::alert(alert.onset);
        let conditions = &mut self.conditions;
        let condition = conditions.begin(entity, began, world.findings, world.now);
        condition.alerts_firing += 1;
        condition.alert_severity = condition.alert_severity.max(Some(severity));
        let (rules, name) = (&mut self.rules, alert.name());
        let hits = &rules.note(&alert.labels, entity, alert.onset, world.now)[..];
        let incident = self.incident_for(entity, Some(Bringer { name, hits }), world);
        if let Some(incident) = incident {
            self.attach_alert(incident, fingerprint, world);
            self.merge_by_rules(entity, hits, world);
        }
        // What it explains, and what explains it, is looked at once the step's signals are in.
        self.queue.push_back(entity);
        self.judge_health(entity, world);
    }

    /// The incident an entity's new signal goes to, placing the entity if it belongs nowhere yet.
    fn incident_for(
        &mut self,
        entity: EntityIx,
        alert: Option<Bringer<'_>>,
        world: &World<'_>,
    ) -> Option<IncidentId> {
        let condition = self.conditions.get(entity)?;
        if let Some(incident) = condition.incident
            && let Some(held) = self.book.get(incident)
            && held.is_open()
            && (held.is_noisy() || world.now.since(held.joined) <= SAME_INCIDENT_MS)
        {
            return Some(incident);
        }
        if let Some(incident) = self.place(entity, alert, world) {
            return Some(incident);
        }
        let condition = self.conditions.get(entity)?;
        let has_lasted = condition.sum.pages && world.now.since(condition.noticed) >= SETTLE_MS;
        if condition.is_alerting() || has_lasted {
            let incident = self.open(entity, world);
            if let Some(alert) = alert {
                self.remember_alert_name(alert.name.into(), incident, world.now);
            }
            return Some(incident);
        }
        if condition.sum.pages {
            self.settling
                .insert((condition.noticed.plus_ms(SETTLE_MS), entity));
        }
        None
    }

    fn remember_alert_name(&mut self, name: Box<str>, incident: IncidentId, now: Time) {
        if self.by_alert_name.len() >= ALERT_NAMES_MAX {
            self.by_alert_name.clear();
        }
        self.by_alert_name.insert(name, (incident, now));
    }

    fn attach_alert(
        &mut self,
        incident: IncidentId,
        fingerprint: Fingerprint,
        world: &mut World<'_>,
    ) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        let news = AlertNews {
            is_new: alert.incident != Some(incident),
            name: alert.name(),
            summary: &alert.summary,
            entity: world.entities.id(alert.entity).clone(),
            severity: alert.severity,
            since: alert.onset,
            began_before: alert.starts_at < alert.onset,
            came: alert.came(),
        };
        if let Some((last, at)) = self.by_alert_name.get_mut(alert.name())
            && *last == incident
        {
            *at = world.now;
        }
        if let Some(held) = self.book.get_mut(incident) {
            held.put_alert(fingerprint, news, world.now);
            wake(held, world.now);
        }
        world.alerts.attach(fingerprint, incident);
        self.deeds.attached += 1;
    }

    fn alert_resolved(&mut self, fingerprint: Fingerprint, world: &mut World<'_>) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        let entity = alert.entity;
        if let Some(held) = alert.incident.and_then(|id| self.book.get_mut(id)) {
            let how = alert.unsaid.as_deref().unwrap_or("resolved");
            let text = format!("{} {how}", alert.name());
            held.end_alert(&text, world.entities.id(entity).clone(), alert.ends_at);
            held.hear_the_end(|alert| world.alerts.get(alert).is_some_and(|alert| !alert.firing));
        }
        self.alert_no_longer_counts(entity, world);
    }

    /// An alert that fires is held back from now on; `why` says by what.
    pub fn on_alert_withheld(
        &mut self,
        fingerprint: Fingerprint,
        why: &str,
        world: &mut World<'_>,
    ) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        let entity = alert.entity;
        if let Some(held) = alert.incident.and_then(|id| self.book.get_mut(id)) {
            let text = format!("{} {why}", alert.name());
            held.end_alert(&text, world.entities.id(entity).clone(), world.now);
        }
        if let Some(id) = world.alerts.get(fingerprint).and_then(|a| a.incident) {
            self.count_held_back(id, world);
        }
        self.alert_no_longer_counts(entity, world);
    }

    fn alert_no_longer_counts(&mut self, entity: EntityIx, world: &mut World<'_>) {
        if let Some(condition) = self.conditions.get_mut(entity) {
            condition.alerts_firing = condition.alerts_firing.saturating_sub(1);
        }
        self.conditions.refresh(entity, world.findings);
        self.judge_health(entity, world);
    }

    /// Told once; until it settles it counts as firing.
    fn alert_flaps(&mut self, fingerprint: Fingerprint, world: &mut World<'_>) {
        let Some(alert) = world.alerts.get(fingerprint) else {
            return;
        };
        let is_counted = !alert.firing;
        let Some(incident) = alert.incident else {
            return;
        };
        let text = format!(
            "{} is flapping; its changes are not told one by one",
            alert.name()
        );
        let entity = world.entities.id(alert.entity).clone();
        let ix = alert.entity;
        if let Some(held) = self.book.get_mut(incident) {
            held.tell(world.now, Lane::Alert, Some(entity), &text);
        }
        // It was counted when it fired; one that just fired again has yet to be.
        if !is_counted {
            if let Some(condition) = self.conditions.get_mut(ix) {
                condition.alerts_firing += 1;
            }
            self.attach_alert(incident, fingerprint, world);
        }
    }

    /// Places what is waiting; at the end of every step that brought signals.
    pub fn settle(&mut self, world: &mut World<'_>) {
        while let Some(&(due, entity)) = self.settling.first()
            && due <= world.now
        {
            self.settling.pop_first();
            self.queue.push_back(entity);
        }
        while let Some(entity) = self.queue.pop_front() {
            self.look_at(entity, world);
        }
    }

    fn look_at(&mut self, entity: EntityIx, world: &mut World<'_>) {
        let Some(condition) = self.conditions.get(entity).filter(|c| c.is_active()) else {
            return;
        };
        let findings = condition.findings.clone();
        let Some(incident) = self.incident_for(entity, None, world) else {
            return;
        };
        for id in findings {
            let is_new = world
                .findings
                .get(id)
                .is_some_and(|state| state.incident != Some(incident));
            if is_new {
                world.findings.attach(id, incident);
                self.deeds.attached += 1;
                self.update_finding(incident, id, world);
                if let Some(held) = self.book.get_mut(incident) {
                    wake(held, world.now);
                }
            }
        }
        self.absorb(entity, incident, world);
        self.judge_health(entity, world);
    }

    /// Asks the stages, and joins what they answer.
    fn place(
        &mut self,
        entity: EntityIx,
        alert: Option<Bringer<'_>>,
        world: &World<'_>,
    ) -> Option<IncidentId> {
        let storm = self.storm(world.now);
        let scene = Scene {
            storm,
            ..self.scene(world)
        };
        let candidate = Candidate {
            entity,
            condition: self.conditions.get(entity)?,
            alert,
            last_incident: self.last_incident.get(&entity).copied(),
        };
        let (stage, place) = STAGES
            .iter()
            .enumerate()
            .filter_map(|(at, stage)| Some((at, (stage.place)(&scene, &candidate)?)))
            .find(|(_, place)| !self.belongs_elsewhere(entity, place.incident, world))?;
        self.placed_by[stage] += 1;
        place
            .rule
            .into_iter()
            .for_each(|rule| self.rules.count(rule));
        Some(self.join(entity, &place, world))
    }

    /// What the stages look at.
    fn scene<'a>(&'a self, world: &'a World<'_>) -> Scene<'a> {
        Scene {
            causes: &self.causes,
            conditions: &self.conditions,
            book: &self.book,
            entities: world.entities,
            topology: world.topology,
            changes: world.changes,
            rules: &self.rules,
            bonds: &self.bonds,
            by_alert_name: &self.by_alert_name,
            but: None,
            storm: None,
            now: world.now,
        }
    }

    /// What tells whether an entity has a cause of its own.
    fn evidence<'a>(&'a self, world: &'a World<'_>) -> Evidence<'a> {
        Evidence {
            conditions: &self.conditions,
            findings: world.findings,
            entities: world.entities,
            topology: world.topology,
            changes: world.changes,
            intake: world.intake,
            traces: world.traces,
            now: world.now,
        }
    }

    fn join(&mut self, entity: EntityIx, place: &Place, world: &World<'_>) -> IncidentId {
        let incident = place.incident;
        let Some(held) = self.book.get_mut(incident) else {
            return incident;
        };
        if place.is_root {
            held.root = entity;
        }
        held.turn(
            Event::Recur {
                owned: held.incident.owner.is_some(),
            },
            world.now,
            &format!("{}{}", turn::CAME_BACK, place.why),
        );
        self.become_member(entity, incident, &place.why, world);
        // Its neighbours may belong here for its sake.
        for &neighbour in world
            .topology
            .callers(entity)
            .iter()
            .chain(world.topology.callees(entity))
        {
            let is_waiting = self
                .conditions
                .get(neighbour)
                .is_some_and(|c| c.is_active() && c.incident.is_none());
            if is_waiting {
                self.queue.push_back(neighbour);
            }
        }
        incident
    }

    fn become_member(
        &mut self,
        entity: EntityIx,
        incident: IncidentId,
        why: &str,
        world: &World<'_>,
    ) {
        let Some(held) = self.book.get_mut(incident) else {
            return;
        };
        held.join(entity, why, world.now);
        told::tell_changes(held, entity, world);
        if let Some(condition) = self.conditions.get_mut(entity) {
            condition.incident = Some(incident);
            // Seen again only after a restart, it was odd before that.
            if let Some(onset) = held.onset_before_restart(entity) {
                condition.onset = condition.onset.min(onset);
            }
        }
        self.last_incident.insert(entity, incident);
    }

    fn open(&mut self, entity: EntityIx, world: &World<'_>) -> IncidentId {
        let now = world.now;
        let began = self.conditions.get(entity).map_or(now, |c| c.onset);
        let id = world.entities.id(entity).clone();
        let why = format!("opened by {} at {}", id.name(), explain::clock(began));
        let incident = self.book.open(entity, id, began, now);
        self.opened.push_back((now, incident));
        self.deeds.opened += 1;
        self.become_member(entity, incident, &why, world);
        if let Some(held) = self.book.get_mut(incident) {
            held.tell(now, Lane::Automation, None, "incident opened");
        }
        for &neighbour in world
            .topology
            .callers(entity)
            .iter()
            .chain(world.topology.callees(entity))
        {
            self.queue.push_back(neighbour);
        }
        incident
    }

    /// The incident of a storm: the first of more than [`STORM_INCIDENTS`] opened within a minute.
    fn storm(&mut self, now: Time) -> Option<IncidentId> {
        while self
            .opened
            .front()
            .is_some_and(|(at, _)| now.since(*at) > STORM_MS)
        {
            self.opened.pop_front();
        }
        (self.opened.len() >= STORM_INCIDENTS)
            .then(|| self.opened.get(STORM_INCIDENTS - 1))
            .flatten()
            .map(|(_, incident)| *incident)
    }

    /// The incident this one is part of now; itself if it was never merged.
    pub fn home(&self, id: IncidentId) -> IncidentId {
        // An incident is only merged into one that lives, so that there is no circle.
        std::iter::successors(Some(id), |id| self.merged.get(id).copied())
            .last()
            .unwrap_or(id)
    }

    /// Incidents merged since the last call, each with the one it is part of now.
    pub fn take_merges(&mut self) -> Vec<(IncidentId, IncidentId)> {
        std::mem::take(&mut self.merges)
    }

    /// The passing of time: phases, old incidents.
    pub fn tick(&mut self, world: &mut World<'_>) {
        self.wait_for_senders(world.now);
        let due: Vec<IncidentId> = self
            .book
            .iter()
            .filter(|(_, held)| held.is_open() && (!held.is_noisy() || held.quiet_since.is_some()))
            .map(|(id, _)| id)
            .collect();
        for id in due {
            self.watch_quiet(id, world);
        }
        self.rejoin(world);
        self.rules.expire(world.now);
        self.book.expire(world.now);
    }

    fn watch_quiet(&mut self, id: IncidentId, world: &mut World<'_>) {
        let now = world.now;
        self.count_held_back(id, world);
        let Some(held) = self.book.peek_mut(id) else {
            return;
        };
        if held.is_noisy() {
            held.quiet_since = None;
            return;
        }
        if held.incident.phase == Phase::Mitigated && held.incident.held.is_some() {
            // What fires and is not told is not over: quiet begins with its end.
            held.quiet_since = Some(now);
            return;
        }
        let quiet_since = *held.quiet_since.get_or_insert(now);
        let quiet_ms = now.since(quiet_since);
        let event = match held.incident.phase {
            Phase::Open | Phase::Acknowledged if quiet_ms >= QUIET_MS => Event::Quiet,
            Phase::Mitigated if quiet_ms >= world.resolve_after_ms => Event::QuietLongEnough,
            _ => return,
        };
        let why = match event {
            Event::Quiet if held.hearing == Hearing::Silent => turn::UNHEARD.to_owned(),
            Event::Quiet if held.incident.impact.alerts_held > 0 => turn::HELD_BACK.to_owned(),
            Event::Quiet if held.has_accepted() => turn::ACCEPTED.to_owned(),
            Event::Quiet if ended_unsaid(id, world.alerts) => turn::UNSAID.to_owned(),
            Event::Quiet => turn::ALL_CALM.to_owned(),
            _ => format!("{}{}", turn::QUIET_FOR, words::duration(quiet_ms)),
        };
        self.turn(id, event, &why, world);
    }

    /// Moves an incident to another phase; whether the move was legal.
    pub fn turn(&mut self, id: IncidentId, event: Event, why: &str, world: &mut World<'_>) -> bool {
        let Some(held) = self.book.get_mut(id) else {
            return false;
        };
        if !held.turn(event, world.now, why) {
            return false;
        }
        if held.is_open() {
            return true;
        }
        held.by_person = event == Event::Resolve;
        let members: Vec<EntityIx> = held.members.iter().copied().collect();
        for member in members {
            self.conditions.release(member);
            self.judge_health(member, world);
        }
        true
    }

    fn judge_health(&self, entity: EntityIx, world: &mut World<'_>) {
        let health = match self.conditions.get(entity) {
            Some(condition) if condition.is_active() => {
                if condition.sum.pages
                    || condition.alert_severity > Some(Severity::Info)
                        && condition.alerts_firing > 0
                {
                    Health::Bad
                } else if condition.sum.is_blind {
                    Health::Blind
                } else {
                    Health::Odd
                }
            }
            _ => Health::Ok,
        };
        if health == Health::Ok && world.entities.health(entity) == Health::Blind {
            return;
        }
        world.entities.set_health(entity, health);
    }
}

/// A signal is abnormal: a mitigated incident is not.
fn wake(held: &mut Held, now: Time) {
    held.quiet_since = None;
    let owned = held.incident.owner.is_some();
    held.turn(Event::Noisy { owned }, now, turn::HURTS_AGAIN);
}
