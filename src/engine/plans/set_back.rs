//! A clock that was set back: what waits for a time goes on waiting as long, and what was proposed in
//! a time that never was is void.

use super::Plans;
use crate::engine::saga::Event;
use crate::engine::set_back::SetBack;
use crate::model::{Effect, PlanState};

impl Plans {
    /// Follows a clock that was set back. A proposal and its approvals must not outlive their time
    /// because the clock was wrong when they were made; it is made again if it still fits.
    pub fn set_back(&mut self, back: SetBack, effects: &mut Vec<Effect>) {
        for at in self.helped.values_mut().chain(self.fallen.values_mut()) {
            back.past(at);
        }
        let reason = "the clock was set back after it was proposed";
        for id in self.live.clone() {
            let Some(saga) = self.sagas.get_mut(&id) else {
                continue;
            };
            saga.set_back(back);
            let plan = saga.plan();
            if plan.created > back.to && plan.state == PlanState::Proposed {
                self.handle(back.to, id, &Event::Shifted { reason }, effects);
            }
        }
    }
}
