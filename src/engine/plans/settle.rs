//! The time after a plan acted: what its incident's signals say then is the plan's doing.

use super::Plans;
use crate::engine::govern;
use crate::engine::saga::Saga;
use crate::model::{EntityId, IncidentId, PastRun, Plan, PlanState, Time};

/// After a plan helped, its incident's signals may take this long to ease before what they say is
/// read as news again, in milliseconds: queues drain, rates over minutes look back.
pub const SETTLE_MS: i64 = 2 * 60_000;
/// Earlier runs of a runbook told with a plan.
const BEFORE_MAX: usize = 5;

impl Plans {
    /// Whether an incident's signals are in motion because of a plan: one acts, or has just helped.
    /// Half-healed signals name wrong causes, so neither the diagnosis nor the proposals follow them.
    pub fn unsettled(&self, id: IncidentId, now: Time) -> bool {
        let helped = self.helped.get(&id);
        helped.is_some_and(|at| now.since(*at) < SETTLE_MS)
            || self.of_incident(id).any(|plan| govern::acts(&plan.state))
    }

    /// When a plan last helped an incident, if one did.
    pub fn helped_at(&self, id: IncidentId) -> Option<Time> {
        self.helped.get(&id).copied()
    }

    /// Every incident that is [`Self::unsettled`].
    pub fn all_unsettled(&self, now: Time) -> impl Iterator<Item = IncidentId> {
        let acting = self.live.iter().filter_map(|id| self.get(*id));
        let acting = acting.filter(|plan| govern::acts(&plan.state));
        let helped = self.helped.iter();
        let helped = helped.filter(move |(_, at)| now.since(**at) < SETTLE_MS);
        acting
            .map(|plan| plan.incident)
            .chain(helped.map(|(incident, _)| *incident))
    }

    /// An incident became part of another; its plans stand on that one from now on.
    pub fn follow(&mut self, merged: IncidentId, kept: IncidentId) {
        let plans = self.by_incident.remove(&merged).unwrap_or_default();
        self.by_incident.entry(kept).or_default().extend(plans);
        if let Some(at) = self.helped.remove(&merged) {
            let latest = self.helped.entry(kept).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    /// Notes when a plan helped.
    pub(super) fn note_helped(&mut self, now: Time, plan: &Plan) {
        if plan.state == PlanState::Succeeded {
            self.helped.insert(plan.incident, now);
        }
    }

    /// Times a runbook was tried on a target, and times it helped, among the plans remembered.
    pub(super) fn record_of(&self, runbook: &str, target: &EntityId) -> (u32, u32) {
        let ended = self.iter().filter(|plan| {
            *plan.runbook == *runbook && plan.target == *target && plan.state.has_run()
        });
        ended.fold((0, 0), |(tried, worked), plan| {
            (tried + 1, worked + u32::from(plan.helped))
        })
    }

    /// How a runbook went the last times, among the plans remembered, newest first.
    pub(super) fn before(&self, runbook: &str) -> Vec<PastRun> {
        let of_runbook = self.sagas.values().rev().map(Saga::plan);
        of_runbook
            .filter(|plan| *plan.runbook == *runbook)
            .filter_map(past_run)
            .take(BEFORE_MAX)
            .collect()
    }
}

/// A plan that ran and ended.
fn past_run(plan: &Plan) -> Option<PastRun> {
    let why = match &plan.state {
        PlanState::Succeeded => None,
        PlanState::RolledBack { reason } | PlanState::Failed { reason } => Some(reason.clone()),
        _ => return None,
    };
    Some(PastRun {
        plan: plan.id,
        target: plan.target.clone(),
        at: plan.approvals.last().map_or(plan.created, |last| last.at),
        ended: plan.state.as_str().into(),
        why,
    })
}
