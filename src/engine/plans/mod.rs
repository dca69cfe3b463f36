//! All plans: the one door between the engine and `propose`, `govern` and `saga`.
//!
//! The engine calls it at five places and appends nothing of its own about plans to the journal:
//!
//! | when | call |
//! |---|---|
//! | an incident's diagnosis changed | [`Plans::propose`] |
//! | a command arrived that [`Plans::takes`] | [`Plans::on_command`]: it appends the decision's record |
//! | `Input::Step` arrived | [`Plans::on_step`] |
//! | time passed | [`Plans::on_tick`] |
//! | the journal is read back | [`Plans::restore`] for each record, then [`Plans::restored`] |
//!
//! After each, [`Plans::drain_happenings`] gives what belongs on timelines and which incidents' rows
//! changed; call [`Plans::propose`] again for those that are open, as a proposal may have expired. Plans never look at incidents by themselves: what they stand on is asked of the caller.

mod reports;
mod restore;
mod revise;
mod set_back;
mod settle;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::govern::{self, Ground};
use super::propose::{self, Candidate, Surroundings};
use super::saga::{Automation, Event, Illegal, Saga};
use crate::config::PolicyConfig;
use crate::model::{
    Actor, Command, Delta, Effect, EntityId, Incident, IncidentId, Labels, Lane, Phase, Plan,
    PlanId, PlanState, Record, Refusal, Runbook, Time,
};
use revise::Revision;
use words::told;

/// Most plans ever made by the engine itself for one incident: a diagnosis that keeps changing its
/// mind must not fill the journal. People may still propose.
pub const PLANS_PER_INCIDENT_MAX: usize = 24;
/// Most plans that are not final, over all incidents.
pub const PLANS_LIVE_MAX: usize = 1_000;
/// Most final plans remembered; they are the record of what helped.
pub const PLANS_FINAL_MAX: usize = 1_000;

/// Why nobody starts what was proposed for harm that nobody sees any more.
const CALM: &str =
    "no alert fires and no finding lasts in its incident now; it is void if that stays so";

/// Something that happened to a plan, for its incident's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The plan.
    pub plan: PlanId,
    /// Its incident.
    pub incident: IncidentId,
    /// The entity acted upon.
    pub entity: EntityId,
    /// A person did it, or the engine.
    pub lane: Lane,
    /// What, untrusted.
    pub text: Box<str>,
}

/// What the engine knows, asked by [`Plans::on_command`] and [`Plans::on_tick`].
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The ground a plan stands on; build it with [`govern::ground`].
    pub ground: &'a dyn Fn(&Plan) -> Ground,
    /// Whether anything of an incident is abnormal now, as far as is known.
    pub hurts: &'a dyn Fn(IncidentId) -> bool,
    /// An incident.
    pub incident: &'a dyn Fn(IncidentId) -> Option<&'a Incident>,
    /// Labels of an entity as an incident shows it: those of what is odd there before its own.
    pub labels: &'a dyn Fn(&Incident, &EntityId) -> Labels,
    /// A change of an entity: by id if given, else the newest deploy.
    pub change: &'a dyn Fn(&EntityId, Option<&str>) -> Option<crate::model::Change>,
}

/// All plans and the rules they obey.
#[derive(Clone, Debug)]
pub struct Plans {
    policy: PolicyConfig,
    runbooks: Vec<Runbook>,
    sagas: BTreeMap<PlanId, Saga>,
    /// Plans that are not final, so that a tick does not walk the past.
    live: BTreeSet<PlanId>,
    by_incident: BTreeMap<IncidentId, Vec<PlanId>>,
    /// When a plan last helped an incident; no older than its plans are remembered.
    helped: BTreeMap<IncidentId, Time>,
    /// When a proposal was taken back while its target was hardly suspect; not kept over a restart, after
    /// which it may be made once more.
    fallen: BTreeMap<PlanId, Time>,
    last_id: u64,
    stopped: bool,
    happenings: Vec<Happening>,
    /// Reports of runs that are not in flight or not known.
    stale_reports: u64,
}

impl Plans {
    /// No plans yet.
    pub fn new(policy: PolicyConfig, runbooks: Vec<Runbook>) -> Self {
        Self {
            policy,
            runbooks,
            sagas: BTreeMap::new(),
            live: BTreeSet::new(),
            by_incident: BTreeMap::new(),
            helped: BTreeMap::new(),
            fallen: BTreeMap::new(),
            last_id: 0,
            stopped: false,
            happenings: Vec::new(),
            stale_reports: 0,
        }
    }

    /// Runbooks loaded.
    pub fn runbooks(&self) -> &[Runbook] {
        &self.runbooks
    }

    /// Whether the kill switch is on.
    pub fn automation_stopped(&self) -> bool {
        self.stopped
    }

    /// All plans remembered, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.sagas.values().map(Saga::plan)
    }

    /// One plan.
    pub fn get(&self, id: PlanId) -> Option<&Plan> {
        self.sagas.get(&id).map(Saga::plan)
    }

    /// Plans of an incident, oldest first.
    pub fn of_incident(&self, id: IncidentId) -> impl Iterator<Item = &Plan> {
        let ids = self.by_incident.get(&id).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.get(*id))
    }

    /// The plan of an incident that matters most now: one that acts, else the best one waiting, else
    /// the latest that ended after it ran.
    pub fn foremost(&self, id: IncidentId) -> Option<&Plan> {
        let weight = |plan: &Plan| match &plan.state {
            PlanState::Unknown { .. } => 4,
            state if govern::acts(state) => 3,
            PlanState::Proposed => 2,
            PlanState::Succeeded | PlanState::RolledBack { .. } | PlanState::Failed { .. } => 1,
            _ => 0,
        };
        // Of several waiting the first made is the best fit; of several ended the last one counts.
        self.of_incident(id)
            .filter(|plan| weight(plan) > 0)
            .reduce(|best, plan| match weight(plan).cmp(&weight(best)) {
                std::cmp::Ordering::Greater => plan,
                std::cmp::Ordering::Equal if weight(plan) == 1 => plan,
                _ => best,
            })
    }

    /// Reports of runs that were not in flight, since the start.
    pub fn stale_reports(&self) -> u64 {
        self.stale_reports
    }

    /// What happened since the last call, in order.
    pub fn drain_happenings(&mut self) -> impl Iterator<Item = Happening> {
        std::mem::take(&mut self.happenings).into_iter()
    }

    /// Proposes runbooks that fit the incident as it is diagnosed now, but not for suspects that are
    /// `elsewhere`, in another incident's hands; takes back proposals nobody approved yet that no longer
    /// are among the best. Cheap to call when nothing changed.
    pub fn propose(
        &mut self,
        now: Time,
        incident: &Incident,
        elsewhere: &[EntityId],
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let hurts = matches!(incident.phase, Phase::Open | Phase::Acknowledged);
        // An expired proposal is renewed as long as the incident lasts; that is no change of mind.
        let counts = |plan: &&Plan| plan.state != PlanState::Expired;
        let known = self.of_incident(incident.id).filter(counts).count();
        if !hurts
            || self.unsettled(incident.id, now)
            || known >= PLANS_PER_INCIDENT_MAX
            || self.live.len() >= PLANS_LIVE_MAX
        {
            return;
        }
        let Revision { withdrawn, fresh } = self.revise(now, incident, elsewhere, world);
        for id in withdrawn {
            let reason = "the diagnosis changed and another runbook fits better";
            self.handle(now, id, &Event::Shifted { reason }, effects);
            self.note_withdrawn(now, id, incident);
        }
        for plan in fresh {
            self.add(plan, Lane::Automation, "", effects);
        }
    }

    /// Whether this command is about plans or automation, and goes to [`Plans::on_command`].
    pub fn takes(what: &Command) -> bool {
        match what {
            Command::Propose { .. }
            | Command::Approve { .. }
            | Command::Reject { .. }
            | Command::RollBack { .. }
            | Command::Settle { .. }
            | Command::KillSwitch { .. } => true,
            Command::Acknowledge { .. }
            | Command::Assign { .. }
            | Command::Note { .. }
            | Command::Mark { .. }
            | Command::Accept { .. }
            | Command::Resolve { .. }
            | Command::Reopen { .. }
            | Command::Merge { .. }
            | Command::Split { .. }
            | Command::Forget { .. }
            | Command::Coordinate { .. }
            | Command::NameCause { .. }
            | Command::Silence { .. }
            | Command::Expire { .. } => false,
        }
    }

    /// Does what a person asks, or refuses. Appends the decision's record first, then what follows.
    pub fn on_command(
        &mut self,
        now: Time,
        by: &Actor,
        what: &Command,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let mut follows = Vec::new();
        let answer = self.decide(now, by, what, world, &mut follows);
        effects.push(Effect::Record(Record::Decision {
            by: by.clone(),
            what: what.clone(),
            refused: answer.clone().err(),
        }));
        effects.append(&mut follows);
        answer
    }

    fn decide(
        &mut self,
        now: Time,
        by: &Actor,
        what: &Command,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        govern::says_enough(what)?;
        let named = match what {
            Command::Approve { plan, .. }
            | Command::Reject { plan, .. }
            | Command::RollBack { plan, .. }
            | Command::Settle { plan, .. } => {
                let known = self.get(*plan).ok_or(Refusal::NoPlan { plan: *plan })?;
                govern::role_allows(by, what, Some(known))?;
                Some(known.id)
            }
            _ => {
                govern::role_allows(by, what, None)?;
                None
            }
        };
        let event = match what {
            Command::Approve { plan, digest } => {
                self.may_approve(now, by, *plan, digest, world, effects)?;
                Event::Approved { by: &by.name }
            }
            Command::Reject { reason, .. } => Event::Rejected {
                by: &by.name,
                reason,
            },
            Command::RollBack { plan, digest } => {
                self.may_roll_back(now, by, *plan, digest.as_deref())?;
                Event::RollBackAsked { by: &by.name }
            }
            Command::Settle { outcome, .. } => Event::Settled { outcome },
            Command::KillSwitch { on } => {
                self.switch(now, *on, effects);
                return Ok(());
            }
            Command::Propose {
                incident,
                runbook,
                target,
            } => return self.propose_chosen(now, by, (*incident, runbook, target), world, effects),
            Command::Acknowledge { .. }
            | Command::Assign { .. }
            | Command::Note { .. }
            | Command::Mark { .. }
            | Command::Accept { .. }
            | Command::Resolve { .. }
            | Command::Reopen { .. }
            | Command::Merge { .. }
            | Command::Split { .. }
            | Command::Forget { .. }
            | Command::Coordinate { .. }
            | Command::NameCause { .. }
            | Command::Silence { .. }
            | Command::Expire { .. } => {
                return Err(Refusal::Policy {
                    why: "this is not about a plan".to_owned(),
                });
            }
        };
        match named {
            Some(id) => self.command(now, id, &event, by, effects),
            None => Ok(()),
        }
    }

    /// Checks an approval; a plan whose ground shifted becomes void on the spot.
    fn may_approve(
        &mut self,
        now: Time,
        by: &Actor,
        id: PlanId,
        digest: &str,
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        govern::may_run_at_all(&self.policy, self.stopped)?;
        let plan = self.get(id).ok_or(Refusal::NoPlan { plan: id })?;
        if plan.state != PlanState::Proposed {
            // The saga says in its own words why this state cannot be approved.
            return Ok(());
        }
        if let Ground::Shifted(reason) = (world.ground)(plan) {
            self.handle(now, id, &Event::Shifted { reason: &reason }, effects);
            return Err(Refusal::State {
                what: id.to_string(),
                state: "void".to_owned(),
                why: reason.into(),
            });
        }
        if !(world.hurts)(plan.incident) {
            // It may come back at the next moment: only what stays calm makes the plan void.
            return Err(Refusal::State {
                what: id.to_string(),
                state: plan.state.as_str().to_owned(),
                why: CALM.to_owned(),
            });
        }
        govern::may_approve(&self.policy, plan, by, digest, now, self.acting())
    }

    /// Checks the wish to undo. Stopping what runs needs nothing but the switch; undoing what is over
    /// is a start like any other.
    fn may_roll_back(
        &self,
        now: Time,
        by: &Actor,
        id: PlanId,
        digest: Option<&str>,
    ) -> Result<(), Refusal> {
        let saga = self.sagas.get(&id).ok_or(Refusal::NoPlan { plan: id })?;
        if saga.plan().runs_unheard().is_some() {
            // It only stops: what follows is held back by the switch itself.
            return Ok(());
        }
        govern::may_run_at_all(&self.policy, self.stopped)?;
        if !saga.may_be_undone() {
            // Acting, or nothing to undo: the saga says so in its own words.
            return Ok(());
        }
        let asked: Vec<&str> = saga.undoers(now).map(|given| &*given.by).collect();
        govern::may_undo(&self.policy, saga.plan(), by, digest, &asked, self.acting())
    }

    /// Plans that act on the world now, or may.
    fn acting(&self) -> impl Iterator<Item = &Plan> {
        let live = self.live.iter().filter_map(|id| self.get(*id));
        live.filter(|plan| govern::acts(&plan.state))
    }

    /// Proposes what a person chose.
    fn propose_chosen(
        &mut self,
        now: Time,
        by: &Actor,
        chosen: (IncidentId, &str, &EntityId),
        world: World<'_>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let plan = self.render_chosen(now, chosen, world)?;
        self.add(plan, Lane::Person, &format!(" by {}", by.name), effects);
        Ok(())
    }

    /// Renders what a person chose, or would choose, and changes nothing.
    pub fn render_chosen(
        &self,
        now: Time,
        (incident, runbook, target): (IncidentId, &str, &EntityId),
        world: World<'_>,
    ) -> Result<Plan, Refusal> {
        let refused = |why: String| Refusal::Runbook {
            runbook: runbook.to_owned(),
            why,
        };
        let of = (world.incident)(incident).ok_or(Refusal::NoIncident { incident })?;
        if self.live.len() >= PLANS_LIVE_MAX {
            return Err(refused(format!("{PLANS_LIVE_MAX} plans are open already")));
        }
        let same = |plan: &&Plan| {
            *plan.runbook == *runbook && plan.target == *target && !plan.state.is_final()
        };
        if let Some(same) = self.of_incident(incident).find(same) {
            return Err(refused(format!("{} is the same and open", same.id)));
        }
        let known = self.runbooks.iter().find(|r| r.name == runbook);
        let known = known.ok_or_else(|| refused("there is none of this name".to_owned()))?;
        let candidate: Candidate<'_> = propose::chosen(known, of, target).map_err(refused)?;
        let record = |runbook: &str, target: &EntityId| self.record_of(runbook, target);
        let around = surroundings(world, &record);
        let id = PlanId(self.last_id + 1);
        let mut plan = propose::plan(id, now, &self.policy, of, &candidate, around)
            .map_err(|error| refused(error.to_string()))?;
        plan.before = self.before(&plan.runbook);
        Ok(plan)
    }

    /// Turns the kill switch.
    fn switch(&mut self, now: Time, on: bool, effects: &mut Vec<Effect>) {
        self.stopped = on;
        effects.push(Effect::Changed(Delta::Automation { stopped: on }));
        if on {
            for id in self.live.clone() {
                self.handle(now, id, &Event::Halted, effects);
            }
        }
    }

    /// Time passed: proposals expire or lose their ground, runs fall silent, verification ends.
    pub fn on_tick(
        &mut self,
        now: Time,
        ground: &dyn Fn(&Plan) -> Ground,
        effects: &mut Vec<Effect>,
    ) {
        for id in self.live.clone() {
            let Some(plan) = self.get(id) else { continue };
            let incident = plan.incident;
            let stands_on = match plan.state {
                PlanState::Proposed | PlanState::Verifying { .. } => ground(plan),
                _ => Ground::Holds,
            };
            if stands_on == Ground::Unheard
                && let Some(saga) = self.sagas.get_mut(&id)
            {
                saga.wait_to_hear(now);
            }
            let event = match &stands_on {
                Ground::Holds | Ground::Unheard => Event::Ticked,
                Ground::Hurts(place) => Event::Hurts { place },
                Ground::Recovered(excused) => Event::Recovered {
                    but: excused.as_deref(),
                },
                Ground::Shifted(_) if self.helped.contains_key(&incident) => Event::Shifted {
                    reason: "another plan helped",
                },
                Ground::Shifted(reason) => Event::Shifted { reason },
            };
            if !self.handle(now, id, &event, effects) {
                self.handle(now, id, &Event::Ticked, effects);
            }
        }
    }

    /// Adds a plan just rendered.
    fn add(&mut self, plan: Plan, lane: Lane, by: &str, effects: &mut Vec<Effect>) {
        effects.push(Effect::Record(Record::Plan {
            plan: Box::new(plan.clone()),
        }));
        let text = format!("{} proposed{by}: {}", plan.id, plan.title);
        self.happen(&plan, lane, text);
        self.put(plan);
    }

    fn put(&mut self, plan: Plan) {
        let id = plan.id;
        self.last_id = self.last_id.max(id.0);
        let of_incident = self.by_incident.entry(plan.incident).or_default();
        if !of_incident.contains(&id) {
            of_incident.push(id);
        }
        if !plan.state.is_final() {
            self.live.insert(id);
        }
        self.sagas.insert(id, Saga::new(plan));
        self.forget_old();
    }

    /// Forgets the oldest final plans beyond [`PLANS_FINAL_MAX`]; the journal keeps them.
    fn forget_old(&mut self) {
        while self.sagas.len() - self.live.len() > PLANS_FINAL_MAX {
            let is_final = |id: &&PlanId| !self.live.contains(id);
            let Some(oldest) = self.sagas.keys().find(is_final).copied() else {
                return;
            };
            let Some(saga) = self.sagas.remove(&oldest) else {
                return;
            };
            self.fallen.remove(&oldest);
            let incident = saga.plan().incident;
            if let Some(ids) = self.by_incident.get_mut(&incident) {
                ids.retain(|id| *id != oldest);
                if ids.is_empty() {
                    self.by_incident.remove(&incident);
                    self.helped.remove(&incident);
                }
            }
        }
    }

    /// A person's event: illegal is a refusal.
    fn command(
        &mut self,
        now: Time,
        id: PlanId,
        event: &Event<'_>,
        by: &Actor,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let automation = self.automation();
        let Some(saga) = self.sagas.get_mut(&id) else {
            return Err(Refusal::NoPlan { plan: id });
        };
        let before = saga.plan().state.clone();
        // The last wish that was needed is answered by the undo, and no longer counted in the plan.
        let undo_wishes = saga.undoers(now).count() + 1;
        saga.handle(now, event, automation, effects)
            .map_err(|Illegal { state, why }| Refusal::State {
                what: id.to_string(),
                state: state.to_owned(),
                why: why.to_owned(),
            })?;
        let plan = saga.plan().clone();
        let said = match event {
            Event::Approved { .. } => format!(
                "approved by {} ({} of {})",
                by.name,
                plan.approvals.len(),
                plan.approvals_needed
            ),
            Event::Rejected { reason, .. } => format!("rejected by {}: {reason}", by.name),
            Event::RollBackAsked { .. } if before.is_final() => format!(
                "undo asked by {} ({undo_wishes} of {})",
                by.name, plan.approvals_needed
            ),
            Event::RollBackAsked { .. } => format!("undo asked by {}", by.name),
            Event::Settled { outcome } => format!("in doubt: {} says it {outcome}", by.name),
            _ => String::from("changed"),
        };
        self.happen(&plan, Lane::Person, format!("{id} {said}: {}", plan.title));
        let may_end = matches!(event, Event::RollBackAsked { .. } | Event::Settled { .. });
        if may_end && plan.state != before && plan.state.is_final() {
            let text = format!("{id} {}: {}", told(&plan), plan.title);
            self.happen(&plan, Lane::Automation, text);
        }
        self.note_helped(now, &plan);
        self.settle_books(&plan);
        Ok(())
    }

    /// An event that is not a command; whether it was legal.
    fn handle(
        &mut self,
        now: Time,
        id: PlanId,
        event: &Event<'_>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let automation = self.automation();
        let Some(saga) = self.sagas.get_mut(&id) else {
            return false;
        };
        let before = saga.plan().state.clone();
        if saga.handle(now, event, automation, effects).is_err() {
            return false;
        }
        let plan = saga.plan().clone();
        let excused = match event {
            Event::Recovered { but } => *but,
            _ => None,
        };
        if plan.state != before || excused.is_some() {
            let but = excused.map_or_else(String::new, |but| format!("; {but}"));
            let text = format!("{id} {}: {}{but}", told(&plan), plan.title);
            self.happen(&plan, Lane::Automation, text);
        }
        self.note_helped(now, &plan);
        self.settle_books(&plan);
        true
    }

    /// Keeps `live` in step with a plan's state: a final plan may come to life again to be undone.
    fn settle_books(&mut self, plan: &Plan) {
        if plan.state.is_final() {
            self.live.remove(&plan.id);
            self.forget_old();
        } else {
            self.live.insert(plan.id);
        }
    }

    /// Whether anything more may run: neither the switch nor the config forbids it.
    const fn automation(&self) -> Automation {
        if self.stopped || !self.policy.allow_run {
            Automation::Stopped
        } else {
            Automation::Allowed
        }
    }

    fn happen(&mut self, plan: &Plan, lane: Lane, text: String) {
        self.happenings.push(Happening {
            plan: plan.id,
            incident: plan.incident,
            entity: plan.target.clone(),
            lane,
            text: text.into_boxed_str(),
        });
    }
}

fn surroundings<'s, 'w: 's>(
    world: World<'w>,
    record: &'s dyn Fn(&str, &EntityId) -> (u32, u32),
) -> Surroundings<'s> {
    Surroundings {
        labels: world.labels,
        change: world.change,
        record,
    }
}

#[cfg(test)]
mod tests;
