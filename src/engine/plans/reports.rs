//! What executors report: output, ends, and which process a run is.

use super::Plans;
use crate::engine::saga::Event;
use crate::model::{
    Effect, Lane, PlanId, PlanState, Process, Record, RunId, StepEvent, StepEventKind, Time,
};

impl Plans {
    /// Takes an executor's report. It is recorded before anything follows from it.
    pub fn on_step(&mut self, now: Time, event: &StepEvent, effects: &mut Vec<Effect>) {
        let id = event.run.plan;
        if !self.sagas.contains_key(&id) {
            self.stale_reports += 1;
            return;
        }
        effects.push(Effect::Record(Record::Result {
            event: event.clone(),
        }));
        let run = event.run;
        let says = match &event.kind {
            StepEventKind::Output(_) => return,
            StepEventKind::Finished(outcome) => Event::Finished { run, outcome },
            StepEventKind::Began(process) | StepEventKind::Lives(process) => {
                let process = Some(process);
                Event::Seen { run, process }
            }
            StepEventKind::Gone => Event::Seen { run, process: None },
            // What was known of it stays as it is.
            StepEventKind::NotKnown => return self.tell_of_process(id, &event.kind),
        };
        if self.handle(now, id, &says, effects) {
            self.tell_of_process(id, &event.kind);
        } else {
            self.stale_reports += 1;
        }
    }

    /// What was found after a restart belongs on the timeline: a person has to do something about it.
    fn tell_of_process(&mut self, id: PlanId, kind: &StepEventKind) {
        let text = match kind {
            StepEventKind::Lives(process) => format!(
                "{id}: its command still runs (pid {} since {})",
                process.pid, process.began
            ),
            StepEventKind::Gone => format!("{id}: its command ended, and nobody heard how"),
            StepEventKind::NotKnown => format!(
                "{id}: whether its command still runs cannot be found out: look before settling it"
            ),
            _ => return,
        };
        if let Some(plan) = self.get(id).cloned() {
            self.happen(&plan, Lane::Automation, text);
        }
    }

    /// Runs whose end nobody heard of, and the process each was when that is known: after a restart, an
    /// executor has to look whether they go on.
    pub fn in_doubt(&self) -> impl Iterator<Item = (RunId, Option<&Process>)> {
        let live = self.live.iter().filter_map(|id| self.get(*id));
        live.filter_map(|plan| match plan.state {
            PlanState::Unknown { run } => Some((run, plan.process.as_ref())),
            _ => None,
        })
    }
}
