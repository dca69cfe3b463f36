//! What a saga learns while the journal is read back. Nothing here makes a move: what follows from a
//! restart is for `Event::Restarted` to say.

use super::{Flight, HALTED, Saga, stopped_by};
use crate::model::{Plan, PlanState, Process, RunId, Time};

impl Saga {
    /// Remembers, while the journal is read back, what the plan became.
    pub fn remember_plan(&mut self, plan: Plan) {
        // A run a person settled has no report of its own: its end is in the plan.
        let ended = |flight: &mut Flight| plan.results.iter().any(|(run, _)| *run == flight.run);
        self.flight.take_if(ended);
        let (helped, by_hand) = (self.plan.helped, self.plan.by_hand);
        self.plan = helping(plan);
        self.plan.helped |= helped;
        self.plan.by_hand |= by_hand;
    }

    /// Remembers, while the journal is read back, a run that was about to start.
    pub fn remember_intent(&mut self, run: RunId) {
        let silent_after = Time::from_ms(i64::MAX);
        self.flight = Some(Flight { run, silent_after });
    }

    /// Remembers, while the journal is read back, that a run ended.
    pub fn remember_end(&mut self, run: RunId) {
        self.flight.take_if(|flight| flight.run == run);
    }

    /// Remembers, while the journal is read back, which process a run was, or that it is gone.
    pub fn remember_process(&mut self, run: RunId, process: Option<Process>) {
        if self.in_flight() == Some(run) || self.doubted() == Some(run) {
            self.plan.process = process;
        }
    }

    /// Remembers, while the journal is read back, that somebody asked to stop it. One that was over
    /// then was not stopped but undone.
    pub fn remember_stop(&mut self, by: &str) {
        self.plan.by_hand = true;
        if !self.plan.state.is_final() {
            self.stopping = Some(stopped_by(by));
        }
    }

    /// Remembers that the restart was so short that nothing was missed.
    pub fn was_watched(&mut self) {
        self.watched = self.verify_anew;
    }

    /// Remembers, while the journal is read back, that the kill switch was turned on.
    pub fn remember_halt(&mut self) {
        if self.in_flight().or(self.doubted()).is_some() {
            self.plan.by_hand = true;
            self.stopping = Some(Box::from(HALTED));
        }
    }
}

/// The plan, knowing that it helped: a journal of before that was kept says so by its state at the time.
pub(super) fn helping(mut plan: Plan) -> Plan {
    plan.helped |= plan.state == PlanState::Succeeded;
    plan
}
