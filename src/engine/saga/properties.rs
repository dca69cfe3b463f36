//! Random sequences of legal and illegal events: what must hold whatever happens.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{T0, action, plan};
use super::*;

#[derive(Clone, Debug)]
enum Random {
    Approve,
    Reject,
    RollBack,
    Settle(Outcome),
    /// Ends the run in flight, or another one.
    EndFlying(Outcome),
    EndAny(RunPhase, u32, Outcome),
    See(bool),
    Recover,
    Shift,
    Switch(Automation),
    Wait(i64),
    Restart,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        4 => Just(Outcome::Succeeded),
        2 => Just(Outcome::Failed { why: "exit 1".to_owned() }),
        1 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Unknown),
        1 => any::<bool>().prop_map(|alone| Outcome::NotStarted { why: "disk full".to_owned(), alone }),
    ]
}

fn phase() -> impl Strategy<Value = RunPhase> {
    prop_oneof![
        Just(RunPhase::Precondition),
        Just(RunPhase::Forward),
        Just(RunPhase::Verify),
        Just(RunPhase::Rollback),
    ]
}

fn random() -> impl Strategy<Value = Random> {
    prop_oneof![
        3 => Just(Random::Approve),
        1 => Just(Random::Reject),
        1 => Just(Random::RollBack),
        2 => outcome().prop_map(Random::Settle),
        8 => outcome().prop_map(Random::EndFlying),
        2 => (phase(), 0..4_u32, outcome()).prop_map(|(p, s, o)| Random::EndAny(p, s, o)),
        2 => any::<bool>().prop_map(Random::See),
        2 => Just(Random::Recover),
        1 => Just(Random::Shift),
        1 => prop_oneof![Just(Automation::Allowed), Just(Automation::Stopped)].prop_map(Random::Switch),
        2 => (0..400_000_i64).prop_map(Random::Wait),
        1 => Just(Random::Restart),
    ]
}

fn shape() -> impl Strategy<Value = Plan> {
    (
        0..3_usize,
        1..4_usize,
        any::<[bool; 4]>(),
        any::<bool>(),
        1..4_u32,
    )
        .prop_map(|(checks, steps, undo, probe, approvals)| {
            let mut plan = plan();
            plan.preconditions = (0..checks).map(|i| action(&format!("look {i}"))).collect();
            plan.steps = (0..steps).map(|i| action(&format!("step {i}"))).collect();
            plan.rollback = (0..steps)
                .map(|i| undo[i].then(|| action(&format!("undo {i}"))))
                .collect();
            plan.verify.check = probe.then(|| action("probe"));
            plan.approvals_needed = approvals;
            plan
        })
}

/// Watches the effects of one saga.
#[derive(Default)]
struct Witness {
    started: BTreeSet<RunId>,
    intended: Option<RunId>,
    undone_down_to: Option<u32>,
}

impl Witness {
    fn see(&mut self, effects: &[Effect], plan: &Plan, automation: Automation) {
        for effect in effects {
            match effect {
                Effect::Record(Record::Intent { run, .. }) => self.intended = Some(*run),
                Effect::Run { run, .. } => {
                    assert_eq!(self.intended.take(), Some(*run), "a run without intent");
                    assert!(self.started.insert(*run), "{run:?} ran twice");
                    assert!(plan.approvals.len() >= plan.approvals_needed as usize);
                    assert_eq!(automation, Automation::Allowed, "ran under the kill switch");
                    self.see_order(*run);
                }
                _ => {}
            }
        }
    }

    /// A run that the journal did not allow: it never was.
    fn unsee(&mut self, run: RunId) {
        self.started.remove(&run);
        if run.phase == RunPhase::Rollback {
            let before = self
                .started
                .iter()
                .filter(|started| started.phase == run.phase);
            self.undone_down_to = before.map(|started| started.step).min();
        }
    }

    fn see_order(&mut self, run: RunId) {
        match run.phase {
            RunPhase::Rollback => {
                assert!(self.undone_down_to.is_none_or(|before| run.step < before));
                let forward = RunId {
                    phase: RunPhase::Forward,
                    ..run
                };
                assert!(self.started.contains(&forward), "undid what never ran");
                self.undone_down_to = Some(run.step);
            }
            _ => assert_eq!(self.undone_down_to, None, "went forward after undoing"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_laws_hold_whatever_happens(plan in shape(), events in prop::collection::vec(random(), 0..40)) {
        let process = Process { pid: 7, mark: Box::from("boot/1"), began: T0 };
        let mut saga = Saga::new(plan);
        let mut witness = Witness::default();
        let mut now = T0;
        let mut automation = Automation::Allowed;
        for random in &events {
            let flying = saga.in_flight();
            let event = match random {
                Random::Approve => Event::Approved { by: "mia" },
                Random::Reject => Event::Rejected { by: "mia", reason: "no" },
                Random::RollBack => Event::RollBackAsked { by: "mia" },
                Random::Settle(outcome) => Event::Settled { outcome },
                Random::EndFlying(outcome) => match flying {
                    Some(run) => Event::Finished { run, outcome },
                    None => Event::Ticked,
                },
                Random::EndAny(phase, step, outcome) => {
                    let run = RunId { plan: saga.plan().id, phase: *phase, step: *step };
                    Event::Finished { run, outcome }
                }
                Random::See(lives) => Event::Seen {
                    run: flying.unwrap_or_else(|| saga.current_run()),
                    process: lives.then_some(&process),
                },
                Random::Recover => Event::Recovered { but: None },
                Random::Shift => Event::Shifted { reason: "newer" },
                Random::Switch(to) => {
                    automation = *to;
                    if *to == Automation::Stopped { Event::Halted } else { Event::Ticked }
                }
                Random::Wait(ms) => {
                    now = now.plus_ms(*ms);
                    Event::Ticked
                }
                Random::Restart => Event::Restarted,
            };
            let before = saga.clone();
            let mut effects = Vec::new();
            let moved = saga.handle(now, &event, automation, &mut effects);
            if let (Ok(()), Event::Finished { run, outcome: Outcome::NotStarted { .. } }) = (&moved, &event) {
                witness.unsee(*run);
            }
            witness.see(&effects, saga.plan(), automation);
            if moved.is_err() {
                prop_assert_eq!(&saga, &before, "an illegal event changed something");
                prop_assert!(effects.is_empty());
            }
            // At most one run is in flight, and only in a state that says so.
            let state = &saga.plan().state;
            let acts = matches!(
                state,
                PlanState::Checking { .. } | PlanState::Running { .. } | PlanState::RollingBack { .. }
            );
            if acts {
                prop_assert!(saga.in_flight().is_some());
            }
            if state.is_final() || matches!(state, PlanState::Unknown { .. } | PlanState::Proposed) {
                prop_assert_eq!(saga.in_flight(), None);
            }
        }
        // Left alone, no plan acts for ever: every run started has ended or is in doubt.
        for _ in 0..20 {
            now = now.plus_ms(1_000_000);
            let _ = saga.handle(now, &Event::Ticked, automation, &mut Vec::new());
        }
        prop_assert_eq!(saga.in_flight(), None);
        for run in &witness.started {
            prop_assert!(saga.plan().results.iter().any(|(done, _)| done == run), "{:?} is forgotten", run);
        }
    }
}
