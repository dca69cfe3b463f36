//! Reading the journal back: plans as they were, and doubt about whatever was in flight.

use super::Plans;
use crate::engine::saga::{Event, Saga};
use crate::model::{Command, Record, StepEventKind, Time};

impl Plans {
    /// Takes one record of the journal; those that are not about plans change nothing.
    pub fn restore(&mut self, record: &Record) {
        match record {
            Record::Plan { plan } => match self.sagas.get_mut(&plan.id) {
                Some(saga) => {
                    saga.remember_plan((**plan).clone());
                    self.settle_books(plan);
                }
                None => self.put((**plan).clone()),
            },
            Record::Intent { run, .. } => {
                if let Some(saga) = self.sagas.get_mut(&run.plan) {
                    saga.remember_intent(*run);
                }
            }
            Record::Result { event } => {
                let Some(saga) = self.sagas.get_mut(&event.run.plan) else {
                    return;
                };
                match &event.kind {
                    StepEventKind::Finished(_) => saga.remember_end(event.run),
                    StepEventKind::Began(process) | StepEventKind::Lives(process) => {
                        saga.remember_process(event.run, Some(process.clone()));
                    }
                    StepEventKind::Gone => saga.remember_process(event.run, None),
                    StepEventKind::Output(_) | StepEventKind::NotKnown => {}
                }
            }
            Record::Decision {
                by,
                what,
                refused: None,
            } => match what {
                Command::KillSwitch { on } => {
                    self.stopped = *on;
                    if *on {
                        self.sagas.values_mut().for_each(Saga::remember_halt);
                    }
                }
                Command::RollBack { plan, .. } => {
                    if let Some(saga) = self.sagas.get_mut(plan) {
                        saga.remember_stop(&by.name);
                    }
                }
                _ => {}
            },
            Record::Decision { .. }
            | Record::Started { .. }
            | Record::ClockSetBack { .. }
            | Record::Label { .. }
            | Record::Silence { .. }
            | Record::Incident { .. } => {}
        }
    }

    /// The restart was so short that nothing was missed: windows of verification go on for what is seen
    /// to hurt.
    pub fn were_watched(&mut self) {
        self.sagas.values_mut().for_each(Saga::was_watched);
    }

    /// The journal ends here: every plan that acted is in doubt. What was in doubt before stays so.
    pub fn restored(&mut self) {
        // Nothing of this is recorded again: reading the same journal gives the same doubt.
        let mut unused = Vec::new();
        for id in self.live.clone() {
            self.handle(Time::ZERO, id, &Event::Restarted, &mut unused);
        }
        self.happenings.clear();
    }
}
