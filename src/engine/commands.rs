//! What people ask for: decided, recorded, then done.

use std::collections::BTreeMap;

use super::Engine;
use super::alerts::Alerts;
use super::changes::Changes;
use super::correlate::{Correlator, Due, Event, Hearing, Held, next_phase};
use super::entities::{Entities, EntityIx};
use super::findings::Findings;
use super::govern::{self, Ground, Scene};
use super::intake::Intake;
use super::plans::{Plans, World};
use super::recovery::{self, Recovery, Sight};
use super::topology::Topology;
use crate::model::{
    ASSIGNED_TO, Actor, Change, ChangeKind, Command, Coordinate, Coordination, Effect, EntityId,
    Incident, IncidentId, Input, Labels, LabelsBuilder, Lane, PERSON_TEXT_BYTES_MAX, Plan,
    PlanState, Record, Refusal, Runbook, Silence, Stamped, StepEvent, Time, turn,
};

/// Changes this old are no longer "the newest deploy", in milliseconds.
const CHANGE_MS: i64 = 2 * 24 * 3_600_000;

/// How much a known name must be like one that is not known to be told beside it, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// What plans ask of the engine, as plain functions over its tables.
struct Around<'a> {
    correlator: &'a Correlator,
    entities: &'a Entities,
    changes: &'a Changes,
    alerts: &'a Alerts,
    intake: &'a Intake,
    topology: &'a Topology,
    findings: &'a Findings,
    now: Time,
}

impl Around<'_> {
    fn as_world<R>(&self, act: impl FnOnce(World<'_>) -> R) -> R {
        act(World {
            ground: &|plan| self.ground(plan),
            hurts: &|id| self.hurts(id),
            incident: &|id| self.incident(id),
            labels: &|incident, id| self.labels(incident, id),
            change: &|id, wanted| self.change(id, wanted),
        })
    }

    /// Shortly after a start an incident may hurt that nobody has told of again.
    fn hurts(&self, id: IncidentId) -> bool {
        let held = self.correlator.book.get(self.correlator.home(id));
        held.is_some_and(Held::is_noisy)
    }

    fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let home = self.correlator.home(id);
        Some(&self.correlator.book.get(home)?.incident)
    }

    /// Labels of an entity: those of what is odd there before its own, which are the same for all its
    /// telemetry. The one pod of a service that an incident is about is named by its series only.
    fn labels(&self, incident: &Incident, id: &EntityId) -> Labels {
        let Some(ix) = self.entities.find(id) else {
            return Labels::empty();
        };
        let own = self.entities.entity(ix).labels;
        let findings = incident.findings.iter().filter(|f| f.entity == *id);
        let of_findings = findings.filter_map(|f| self.intake.labels(f.series?));
        let alerts = incident.alerts.iter().filter_map(|a| self.alerts.get(*a));
        let of_alerts = alerts.filter(|a| a.entity == ix).map(|a| &a.labels);
        agreed(of_findings.chain(of_alerts)).over(&own)
    }

    /// A change of an entity: by id if given, else the newest deploy.
    fn change(&self, id: &EntityId, wanted: Option<&str>) -> Option<Change> {
        let ix = self.entities.find(id)?;
        let from = self.now.plus_ms(-CHANGE_MS);
        self.changes
            .between(ix, from, self.now)
            .filter(|change| match wanted {
                Some(wanted) => *change.id == *wanted,
                None => change.kind == ChangeKind::Deploy,
            })
            .last()
            .cloned()
    }

    fn sight(&self) -> Sight<'_> {
        Sight {
            correlator: self.correlator,
            entities: self.entities,
            topology: self.topology,
            findings: self.findings,
            intake: self.intake,
        }
    }

    fn ground(&self, plan: &Plan) -> Ground {
        let home = self.correlator.home(plan.incident);
        let held = self.correlator.book.get(home);
        let is_waiting = held.is_some_and(|held| held.hearing == Hearing::Waiting);
        let recovery = match plan.state {
            PlanState::Proposed => Recovery::default(),
            _ => recovery::look(plan, home, self.sight()),
        };
        if is_waiting && plan.state != PlanState::Proposed && recovery.hurting.is_none() {
            // Only harm can be known already.
            return Ground::Unheard;
        }
        let newest = self
            .entities
            .find(&plan.target)
            .and_then(|ix| self.changes.between(ix, plan.created, self.now).last());
        govern::ground(
            plan,
            Scene {
                incident: self.incident(plan.incident),
                recovery: &recovery,
                newest_change: newest,
            },
        )
    }
}

/// What all who have a label say alike; a label with two values says nothing.
fn agreed<'a>(all: impl Iterator<Item = &'a Labels>) -> Labels {
    let mut said: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (name, value) in all.flat_map(Labels::iter) {
        said.entry(name)
            .and_modify(|held| *held = held.filter(|held| *held == value))
            .or_insert(Some(value));
    }
    let mut builder = LabelsBuilder::default();
    for (name, value) in said {
        if let Some(value) = value {
            builder.add(name, value);
        }
    }
    builder.build().unwrap_or_default()
}

/// As much of a note as is kept: of those of old journals, which were taken at any length.
pub(super) fn cut_note(text: &str) -> &str {
    &text[..text.floor_char_boundary(PERSON_TEXT_BYTES_MAX)]
}

fn silence_record(silence: Silence) -> Record {
    let silence = Box::new(silence);
    Record::Silence { silence }
}

/// The record of a decision.
fn decision(by: &Actor, what: &Command, refused: Option<Refusal>) -> Record {
    Record::Decision {
        by: by.clone(),
        what: what.clone(),
        refused,
    }
}

impl Engine {
    /// Runs `act` on the plans with the rest of the engine as their world.
    pub(super) fn with_plans<R>(&mut self, act: impl FnOnce(&mut Plans, World<'_>) -> R) -> R {
        let around = Around {
            correlator: &self.correlator,
            entities: &self.entities,
            changes: &self.changes,
            alerts: &self.alerts,
            intake: &self.intake,
            topology: &self.topology,
            findings: &self.findings,
            now: self.now,
        };
        let plans = &mut self.plans;
        around.as_world(|world| act(plans, world))
    }

    /// The engine as plans see it, to look at. [`Self::with_plans`] cannot use it: it changes the plans
    /// meanwhile.
    fn around(&self, now: Time) -> Around<'_> {
        Around {
            correlator: &self.correlator,
            entities: &self.entities,
            changes: &self.changes,
            alerts: &self.alerts,
            intake: &self.intake,
            topology: &self.topology,
            findings: &self.findings,
            now,
        }
    }

    /// Each runbook with the title of the plan it would become for this incident and target, or why a
    /// person could not choose it.
    pub fn runbooks_for(
        &self,
        incident: IncidentId,
        target: &EntityId,
    ) -> Vec<(&Runbook, Result<Box<str>, String>)> {
        let around = self.around(self.now);
        let rendered = |runbook: &Runbook| {
            let chosen = (incident, runbook.name.as_str(), target);
            let plan = around.as_world(|world| self.plans.render_chosen(self.now, chosen, world));
            plan.map(|plan| plan.title)
                .map_err(|refusal| match refusal {
                    // Its name stands beside the reason.
                    Refusal::Runbook { why, .. } => why,
                    refusal => refusal.to_string(),
                })
        };
        let runbooks = self.plans.runbooks().iter();
        runbooks
            .map(|runbook| (runbook, rendered(runbook)))
            .collect()
    }

    /// The records that [`Engine::step`] will make of a command, as far as they decide anything:
    /// written down first, they are durable before the decision acts. Nothing changes; other inputs
    /// have none.
    pub fn rehearse(&self, stamped: &Stamped) -> Vec<Record> {
        let Input::Command { by, what } = &stamped.input else {
            return Vec::new();
        };
        let now = self.now.max(stamped.at);
        if let Some(refusal) = self.refused_target(by, what) {
            return vec![decision(by, what, Some(refusal))];
        }
        if !Plans::takes(what) {
            return self.rehearse_own(now, by, what);
        }
        let around = self.around(now);
        let mut plans = self.plans.clone();
        let mut effects = Vec::new();
        // The answer is in the record it appended.
        let _ = around.as_world(|world| plans.on_command(now, by, what, world, &mut effects));
        let records = effects.into_iter().filter_map(|effect| match effect {
            Effect::Record(record) => Some(record),
            _ => None,
        });
        records.collect()
    }

    /// The same for commands that are not about plans.
    fn rehearse_own(&self, now: Time, by: &Actor, what: &Command) -> Vec<Record> {
        let allowed = self.may(by, what);
        let decided = allowed.and_then(|()| match what {
            Command::Mark { finding, opinion } => {
                let label = self.label(now, by, *finding, *opinion)?;
                let label = Box::new(label);
                Ok(Some(Record::Label { label }))
            }
            _ => Ok(self.decided_silence(now, by, what)?.map(silence_record)),
        });
        let (record, refused) = match decided {
            Ok(record) => (record, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let decision = decision(by, what, refused);
        std::iter::once(decision).chain(record).collect()
    }

    /// The silence that a command makes, changes or ends, as it is then.
    fn decided_silence(
        &self,
        now: Time,
        by: &Actor,
        what: &Command,
    ) -> Result<Option<Silence>, Refusal> {
        match what {
            Command::Silence { spec, twin } => {
                self.draft_silence(now, by, spec, twin.as_ref()).map(Some)
            }
            Command::Expire { silence } => self.draft_expiry(now, *silence).map(Some),
            _ => Ok(None),
        }
    }

    /// Puts a silence in force, or ends one.
    fn decide_silence(
        &mut self,
        by: &Actor,
        what: &Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if let Some(silence) = self.decided_silence(self.now, by, what)? {
            effects.push(Effect::Record(silence_record(silence.clone())));
            self.put_silence(silence);
        }
        Ok(())
    }

    /// A person asks for something.
    pub(super) fn on_command(&mut self, by: &Actor, what: &Command, effects: &mut Vec<Effect>) {
        let now = self.now;
        if let Some(refusal) = self.refused_target(by, what) {
            effects.push(Effect::Record(decision(by, what, Some(refusal))));
            return;
        }
        if Plans::takes(what) {
            // The answer is in the record it appended.
            let _ = self.with_plans(|plans, world| plans.on_command(now, by, what, world, effects));
            return;
        }
        // What follows from a decision stands behind it, as it does for plans.
        let mut follows = Vec::new();
        let answer = self.may(by, what).and_then(|()| match what {
            Command::Mark { finding, opinion } => self.mark(by, *finding, *opinion, &mut follows),
            Command::Silence { .. } | Command::Expire { .. } => {
                self.decide_silence(by, what, &mut follows)
            }
            _ => self.decide(by, what),
        });
        effects.push(Effect::Record(decision(by, what, answer.err())));
        effects.append(&mut follows);
    }

    /// Why a plan cannot be for an entity that neither the engine nor the incident knows. Whatever else
    /// is wrong with the command is for the plans to say.
    fn refused_target(&self, by: &Actor, what: &Command) -> Option<Refusal> {
        let Command::Propose {
            incident,
            runbook,
            target,
        } = what
        else {
            return None;
        };
        govern::role_allows(by, what, None).ok()?;
        let home = self.correlator.home(*incident);
        let of = &self.correlator.book.get(home)?.incident;
        // After a start, an incident may know what telemetry has not told of again.
        let is_known = self.entities.find(target).is_some()
            || of.entity == *target
            || of.members.contains(target)
            || of.diagnosis.hypotheses.iter().any(|h| h.suspect == *target);
        if is_known {
            return None;
        }
        let near = match self.entity_like(target) {
            Some(like) => format!("is {like} meant?"),
            None => format!("the incident is about {}", of.entity),
        };
        Some(Refusal::Runbook {
            runbook: runbook.clone(),
            why: format!("there is no entity {target}: {near}"),
        })
    }

    /// The known entity whose name is most like that of `target`, if any is like it.
    fn entity_like(&self, target: &EntityId) -> Option<&EntityId> {
        let alike = |id: &EntityId| strsim::jaro_winkler(id.name(), target.name());
        let likely = self.entities().map(|(id, _)| (alike(id), id));
        likely
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, id)| id)
    }

    /// Whether a command about an incident would be obeyed.
    pub(super) fn may(&self, by: &Actor, what: &Command) -> Result<(), Refusal> {
        govern::role_allows(by, what, None)?;
        govern::says_enough(what)?;
        match what {
            Command::Acknowledge { incident } => self.may_take(by, *incident),
            Command::Resolve { incident } => self.may_turn(*incident, Event::Resolve),
            Command::Reopen { incident } => {
                let owned = self.known(*incident)?.owner.is_some();
                self.may_turn(*incident, Event::Reopen { owned })
            }
            Command::Assign { incident, .. } | Command::Note { incident, .. } => {
                self.known(*incident).map(|_| ())
            }
            Command::Coordinate { incident, act } => {
                self.coordinated(by, *incident, act).map(|_| ())
            }
            Command::Merge { incident, into } => {
                self.known(*incident)?;
                self.known(*into)?;
                self.correlator.may_merge(*incident, *into)
            }
            Command::Split { incident, entities } => {
                self.known(*incident)?;
                let members = self.places(entities);
                self.correlator.may_split(*incident, &members)
            }
            Command::NameCause {
                incident, change, ..
            } => {
                let id = self.correlator.home(*incident);
                if let Some(change) = change {
                    return self.may_confirm(id, change);
                }
                // An incident that left the book is still remembered.
                if self.memory.remembers(id) {
                    return Ok(());
                }
                self.known(id).map(|_| ())
            }
            Command::Forget { one, other } => self.may_forget(one, other),
            Command::Accept { finding } => self.may_accept(*finding).map(|_| ()),
            Command::Propose { .. }
            | Command::Approve { .. }
            | Command::Reject { .. }
            | Command::RollBack { .. }
            | Command::Settle { .. }
            | Command::Mark { .. }
            | Command::Silence { .. }
            | Command::Expire { .. }
            | Command::KillSwitch { .. } => Ok(()),
        }
    }

    /// The places of entities that are known.
    fn places(&self, entities: &[EntityId]) -> Vec<EntityIx> {
        entities
            .iter()
            .filter_map(|id| self.entities.find(id))
            .collect()
    }

    /// Commands about incidents; those about plans went elsewhere.
    pub(super) fn decide(&mut self, by: &Actor, what: &Command) -> Result<(), Refusal> {
        match what {
            Command::Acknowledge { incident } => self.take(by, *incident)?,
            Command::Assign { incident, to } => {
                self.known(*incident)?;
                let line = format!("{}{ASSIGNED_TO}{to}", by.name);
                self.tell(*incident, &line);
                self.give(*incident, to);
            }
            Command::Note { incident, text } => {
                self.known(*incident)?;
                self.tell(*incident, &format!("{}: {text}", by.name));
            }
            Command::Resolve { incident } => {
                self.turn(
                    *incident,
                    Event::Resolve,
                    &format!("{}{}", turn::RESOLVED_BY, by.name),
                )?;
            }
            Command::Reopen { incident } => {
                let owned = self.known(*incident)?.owner.is_some();
                self.turn(
                    *incident,
                    Event::Reopen { owned },
                    &format!("{}{}", turn::REOPENED_BY, by.name),
                )?;
            }
            Command::Coordinate { incident, act } => {
                let (coordination, line) = self.coordinated(by, *incident, act)?;
                self.tell(*incident, &line);
                self.write(*incident, |incident| incident.coordination = coordination);
            }
            Command::Merge { incident, into } => {
                self.with_correlator(|correlator, world| {
                    correlator.merge_by_hand(*incident, *into, &by.name, world);
                });
            }
            Command::Split { incident, entities } => {
                let members = self.places(entities);
                self.with_correlator(|correlator, world| {
                    correlator.split_by_hand(*incident, &members, &by.name, world);
                });
            }
            Command::NameCause {
                incident,
                cause,
                change,
            } => {
                self.name_cause(by, *incident, cause.as_ref(), change.as_deref())?;
            }
            Command::Forget { one, other } => {
                let (bonds, now) = (&mut self.correlator.bonds, self.now);
                bonds.forget(one, other, &by.name, now);
            }
            Command::Accept { finding } => self.accept(by, *finding)?,
            Command::Propose { .. }
            | Command::Approve { .. }
            | Command::Reject { .. }
            | Command::RollBack { .. }
            | Command::Settle { .. }
            | Command::Mark { .. }
            | Command::Silence { .. }
            | Command::Expire { .. }
            | Command::KillSwitch { .. } => {}
        }
        Ok(())
    }

    /// How people work together on an incident after a change, and its line in the timeline.
    fn coordinated(
        &self,
        by: &Actor,
        id: IncidentId,
        act: &Coordinate,
    ) -> Result<(Coordination, String), Refusal> {
        let incident = self.known(id)?;
        let mut coordination = incident.coordination.clone();
        match coordination.apply(self.now, &by.name, act) {
            Ok(line) => Ok((coordination, line)),
            Err(why) => Err(Refusal::State {
                what: id.to_string(),
                state: incident.phase.as_str().to_owned(),
                why,
            }),
        }
    }

    /// A person says what it was, or takes that back. An incident that left the book is still remembered.
    fn name_cause(
        &mut self,
        by: &Actor,
        id: IncidentId,
        cause: Option<&EntityId>,
        change: Option<&str>,
    ) -> Result<(), Refusal> {
        let id = self.correlator.home(id);
        let remembered = self.memory.label(id, cause);
        if self.incident(id).is_none() {
            return if remembered {
                Ok(())
            } else {
                Err(Refusal::NoIncident { incident: id })
            };
        }
        let (now, who) = (self.now, &by.name);
        self.write(id, |incident| {
            let line = incident.find_cause(now, who, cause, change);
            incident.tell(now, Lane::Person, None, &line);
        });
        Ok(())
    }

    /// Whether a change can be confirmed: it is one of the incident's.
    fn may_confirm(&self, id: IncidentId, change: &str) -> Result<(), Refusal> {
        let incident = self.known(id)?;
        if incident.changes.iter().any(|known| *known.id == *change) {
            return Ok(());
        }
        let known: Vec<&str> = incident.changes.iter().map(|known| &*known.id).collect();
        Err(Refusal::State {
            what: format!("change {change}"),
            state: format!("none of {id}"),
            why: match known[..] {
                [] => "no change is known that may have set it off".to_owned(),
                _ => format!("it has {}", known.join(", ")),
            },
        })
    }

    /// Whether people said anything of two entities that can be taken back.
    fn may_forget(&self, one: &EntityId, other: &EntityId) -> Result<(), Refusal> {
        if self.correlator.bonds.knows(one, other) {
            return Ok(());
        }
        Err(Refusal::State {
            what: format!("the pair of {} and {}", one.name(), other.name()),
            state: "not learned".to_owned(),
            why: "nobody merged or split incidents of these two".to_owned(),
        })
    }

    pub(super) fn known(&self, id: IncidentId) -> Result<&Incident, Refusal> {
        self.incident(id).ok_or_else(|| {
            let home = self.correlator.home(id);
            if home == id {
                return Refusal::NoIncident { incident: id };
            }
            // Nobody is to act on more than they looked at: the number is for them to say.
            Refusal::State {
                what: format!("incident {id}"),
                state: "merged".to_owned(),
                why: format!("it is part of {home} now, name that one"),
            }
        })
    }

    pub(super) fn turn(&mut self, id: IncidentId, event: Event, why: &str) -> Result<(), Refusal> {
        self.may_turn(id, event)?;
        self.with_correlator(|correlator, world| correlator.turn(id, event, why, world));
        Ok(())
    }

    fn may_turn(&self, id: IncidentId, event: Event) -> Result<(), Refusal> {
        let phase = self.known(id)?.phase;
        if next_phase(phase, event).is_some() {
            return Ok(());
        }
        Err(Refusal::State {
            what: format!("incident {id}"),
            state: phase.as_str().to_owned(),
            why: match event {
                Event::Reopen { .. } => "only a resolved incident can be reopened".to_owned(),
                _ => "it is over already".to_owned(),
            },
        })
    }

    pub(super) fn write(&mut self, id: IncidentId, change: impl FnOnce(&mut Incident)) {
        if let Some(held) = self.correlator.book.get_mut(id) {
            change(&mut held.incident);
        }
        self.correlator.book.record_later(id);
    }

    fn tell(&mut self, id: IncidentId, text: &str) {
        let now = self.now;
        if let Some(held) = self.correlator.book.get_mut(id) {
            held.tell(now, Lane::Person, None, text);
        }
        self.correlator.book.record_later(id);
    }

    /// An executor reports.
    pub(super) fn on_step_event(&mut self, event: &StepEvent, effects: &mut Vec<Effect>) {
        let now = self.now;
        self.plans.on_step(now, event, effects);
    }

    /// Time passed for plans.
    pub(super) fn tick_plans(&mut self, effects: &mut Vec<Effect>) {
        let now = self.now;
        self.with_plans(|plans, world| plans.on_tick(now, world.ground, effects));
    }

    /// Proposes what fits an incident as it is diagnosed now.
    pub(super) fn propose(&mut self, id: IncidentId, effects: &mut Vec<Effect>) {
        let now = self.now;
        let elsewhere = self.suspects_elsewhere(id);
        self.with_plans(|plans, world| {
            if let Some(incident) = (world.incident)(id) {
                plans.propose(now, incident, &elsewhere, world, effects);
            }
        });
    }

    /// Writes what happened to plans into the incidents they are for.
    pub(super) fn tell_of_plans(&mut self) {
        for happening in self.plans.drain_happenings() {
            let foremost = self
                .correlator
                .book
                .get(self.correlator.home(happening.incident))
                .map(|held| held.incident.id);
            let Some(held) = foremost.and_then(|id| self.correlator.book.get_mut(id)) else {
                continue;
            };
            if !held.incident.plans.contains(&happening.plan) {
                held.incident.plans.push(happening.plan);
            }
            held.tell(
                self.now,
                happening.lane,
                Some(happening.entity),
                &happening.text,
            );
            held.pending.record = Due::Now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_say_alike_is_said() {
        let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        let all = [
            labels(&[("pod", "cart-1"), ("node", "n1"), ("le", "1")]),
            labels(&[("pod", "cart-1"), ("node", "n2")]),
            labels(&[("pod", "cart-1"), ("node", "n1")]),
        ];
        let said = agreed(all.iter());
        assert_eq!(
            said.iter().collect::<Vec<_>>(),
            [("le", "1"), ("pod", "cart-1")]
        );
        assert_eq!(agreed(std::iter::empty()), Labels::empty());
    }
}
