//! What to propose as the diagnosis changes, and which proposals to take back.
//!
//! A suspicion that hovers about the bar must not propose and take back the same plan again and again:
//! what was taken back while its target was hardly suspect rests, until it is clearly above the bar.

use super::{Plans, World, surroundings};
use crate::engine::propose::{
    self, CONFIDENCE_MIN, Candidate, PROPOSALS_PER_INCIDENT_MAX, RenderError,
};
use crate::model::{
    EntityId, Hypothesis, Incident, IncidentId, Plan, PlanId, PlanState, SuspectRole, Time,
};

/// What was taken back while its target was less suspect than this is proposed again at once when it is
/// this suspect, twice the bar: a suspicion wavers by less from one look to the next.
const AGAIN_CONFIDENCE_MIN: f32 = 2.0 * CONFIDENCE_MIN;
/// After this long the bar itself is enough again, in milliseconds: long beside the seconds in which a
/// suspicion wavers.
const REST_MS: i64 = 5 * 60_000;

impl Plans {
    /// Proposals to take back, and plans to propose in their place.
    pub(super) fn revise(
        &self,
        now: Time,
        incident: &Incident,
        elsewhere: &[EntityId],
        world: World<'_>,
    ) -> Revision {
        let record = |runbook: &str, target: &EntityId| self.record_of(runbook, target);
        let around = surroundings(world, &record);
        let mut wanted: Vec<(&str, &EntityId)> = Vec::new();
        let mut fresh = Vec::new();
        let candidates = propose::candidates(&self.runbooks, incident, around);
        let is_ours = |candidate: &&Candidate<'_>| !elsewhere.contains(candidate.target);
        for candidate in candidates.iter().filter(is_ours) {
            if wanted.len() == PROPOSALS_PER_INCIDENT_MAX {
                break;
            }
            let here = (candidate.runbook.name.as_str(), candidate.target);
            match self.had(incident.id, here) {
                Had::Waiting => wanted.push(here),
                Had::Decided => {}
                Had::Fell(at) if !has_rested(now, at, incident, candidate) => {}
                Had::Fell(_) | Had::Never => {
                    let id = PlanId(self.last_id + 1 + fresh.len() as u64);
                    match propose::plan(id, now, &self.policy, incident, candidate, around) {
                        Ok(mut plan) => {
                            wanted.push(here);
                            plan.before = self.before(&plan.runbook);
                            fresh.push(plan);
                        }
                        // Whoever chooses a runbook is told why it cannot be rendered.
                        Err(RenderError::NoValue { .. } | RenderError::Unsafe { .. }) => {}
                    }
                }
            }
        }
        let unwanted = |plan: &&Plan| {
            plan.state == PlanState::Proposed
                && plan.approvals.is_empty()
                && !wanted.contains(&(&*plan.runbook, &plan.target))
                && !plan.is_chosen()
        };
        let withdrawn = self.of_incident(incident.id).filter(unwanted);
        let withdrawn = withdrawn.map(|plan| plan.id).collect();
        Revision { withdrawn, fresh }
    }

    /// Notes that a proposal was taken back, if its target is hardly suspect now: it fell below the bar,
    /// or hovers above it and was crowded out or fits no longer.
    pub(super) fn note_withdrawn(&mut self, now: Time, id: PlanId, incident: &Incident) {
        let Some(plan) = self.get(id) else { return };
        let mut clear = suspects(incident).filter(|of| of.confidence >= AGAIN_CONFIDENCE_MIN);
        if clear.all(|suspect| suspect.suspect != plan.target) {
            self.fallen.insert(id, now);
        }
    }

    /// What became of the same runbook on the same target in this incident.
    fn had(&self, incident: IncidentId, (runbook, target): (&str, &EntityId)) -> Had {
        let same = |plan: &&Plan| *plan.runbook == *runbook && plan.target == *target;
        match self.of_incident(incident).filter(same).last() {
            None => Had::Never,
            Some(plan) => match plan.state {
                PlanState::Proposed => Had::Waiting,
                // Nobody said no, so it may be offered again as things are now.
                PlanState::Expired => Had::Never,
                PlanState::Void { .. } => match self.fallen.get(&plan.id) {
                    Some(at) => Had::Fell(*at),
                    None => Had::Never,
                },
                // It helped, and what it mended came back once it was taken back.
                _ if plan.was_taken_back() => Had::Never,
                _ => Had::Decided,
            },
        }
    }
}

/// See [`Plans::revise`].
pub(super) struct Revision {
    pub(super) withdrawn: Vec<PlanId>,
    pub(super) fresh: Vec<Plan>,
}

/// See [`Plans::had`].
enum Had {
    /// It may be proposed.
    Never,
    /// It was taken back while its target was hardly suspect, then.
    Fell(Time),
    /// It is proposed.
    Waiting,
    /// It runs, ran, or a person said no.
    Decided,
}

/// Whether what was taken back at `fell`, hardly suspect, may be proposed again. The first suspect never waits.
fn has_rested(now: Time, fell: Time, incident: &Incident, candidate: &Candidate<'_>) -> bool {
    let first = suspects(incident).next();
    first.is_some_and(|first| first.suspect == *candidate.target)
        || (candidate.suspect).is_some_and(|of| of.confidence >= AGAIN_CONFIDENCE_MIN)
        || now.since(fell) >= REST_MS
}

/// Hypotheses about what is no mere victim, the most likely one first.
fn suspects(incident: &Incident) -> impl Iterator<Item = &Hypothesis> {
    let hypotheses = incident.diagnosis.hypotheses.iter();
    hypotheses.filter(|hypothesis| hypothesis.role != SuspectRole::Impact)
}
