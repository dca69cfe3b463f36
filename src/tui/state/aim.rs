//! What keys would act on, and when the world last put something else there: a key that comes just after
//! that is not believed. Nothing is decided here; it only says whether a key can have meant what it finds.

use crate::model::{IncidentId, PlanId, Time};

use super::State;

/// A key that acts is refused for this long after the world changed what it would act on, in
/// milliseconds: nobody reads a row and decides about it in less.
const GRACE_MS: i64 = 600;

/// What keys would act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    incident: Option<IncidentId>,
    plan: Option<PlanId>,
}

/// That the world put something else before the operator.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    at: Time,
    /// Another incident, and not only another plan of the same one.
    of_incident: bool,
}

impl State {
    /// What keys would act on now.
    pub fn aim(&self) -> Aim {
        Aim {
            incident: self.chosen(),
            plan: self.plan().map(|plan| plan.id),
        }
    }

    /// Notes whether the world, and not the operator, changed what keys would act on. What comes where
    /// nothing was is no surprise: no key can have meant something else.
    pub fn note_shift(&mut self, before: Aim) {
        let after = self.aim();
        let of_incident = before.incident.is_some() && before.incident != after.incident;
        let of_plan = before.plan.is_some() && after.plan.is_some() && before.plan != after.plan;
        if of_incident || of_plan {
            let at = self.now;
            self.shift = Some(Shift { at, of_incident });
        }
    }

    /// Why a key that acts on the incident, or only one `about_a_plan`, is not believed now; `None` when
    /// it is.
    pub fn shifted(&self, about_a_plan: bool) -> Option<String> {
        let shift = self.shift.filter(|s| self.now.since(s.at) < GRACE_MS)?;
        let Aim { incident, plan } = self.aim();
        let what = match (shift.of_incident, incident, plan) {
            (true, Some(incident), _) => incident.to_string(),
            (false, _, Some(plan)) if about_a_plan => plan.to_string(),
            _ => return None,
        };
        Some(format!(
            "{what} came here only this moment; look, then press again"
        ))
    }
}
