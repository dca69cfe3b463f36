//! The life of one plan: approve, check, run, verify, roll back. `Saga::next` lists every legal move.
//!
//! It decides moves, never whether they are allowed: `govern` answers that first. It never starts a run
//! that was not recorded as an intent before, never starts the same run twice, and never guesses the
//! result of a run it did not hear of: that plan is `Unknown` until a person says.

use crate::engine::set_back::SetBack;
use crate::model::{
    Action, Approval, Effect, Outcome, Plan, PlanState, Record, RunId, RunPhase, Time,
};

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// How long after its timeout a run may stay unreported before its result counts as unknown: the
/// executor needs a moment to kill a process group and to say so.
pub const REPORT_GRACE_MS: i64 = 10_000;

/// What can happen to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A person said yes; `govern` has checked the digest, the role and that it is another person.
    Approved {
        /// Who.
        by: &'a str,
    },
    /// A person said no.
    Rejected {
        /// Who.
        by: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A person wants it stopped and undone.
    RollBackAsked {
        /// Who.
        by: &'a str,
    },
    /// A person says how a run in doubt ended.
    Settled {
        /// How.
        outcome: &'a Outcome,
    },
    /// An executor says how a run ended.
    Finished {
        /// Which.
        run: RunId,
        /// How.
        outcome: &'a Outcome,
    },
    /// The signals the plan is verified by are back to normal.
    Recovered,
    /// What the plan was proposed for is no longer so.
    Shifted {
        /// How.
        reason: &'a str,
    },
    /// All automation was stopped.
    Halted,
    /// Time passed.
    Ticked,
    /// The program started again and the journal ends here.
    Restarted,
}

/// Whether anything may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Automation {
    /// Yes.
    Allowed,
    /// The kill switch is on.
    Stopped,
}

/// The event is not legal in the plan's state; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// The state, in a word.
    pub state: &'static str,
    /// Why that does not allow it.
    pub why: &'static str,
}

/// One plan and the run it has in flight.
#[derive(Clone, Debug, PartialEq)]
pub struct Saga {
    plan: Plan,
    flight: Option<Flight>,
    /// Why it is being stopped, once somebody asked; outlives doubt about the run in flight, so that
    /// a late "it succeeded" can never lead to the next step.
    stopping: Option<Box<str>>,
    /// Verification was interrupted by a restart: its window starts anew at the first tick, because
    /// signals nobody watched say nothing about the fix.
    verify_anew: bool,
}

/// A run that was started and has not been heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flight {
    run: RunId,
    silent_after: Time,
}

/// A legal move.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Move {
    /// Counts the approval and waits for more.
    Count,
    /// Starts this run; the state follows from it.
    Start(RunId),
    /// Asks the executor to stop the run in flight; what follows waits for its end.
    Stop { reason: Box<str> },
    /// Waits for the signals to recover.
    Verify,
    /// The same after a restart: the window starts at the first tick.
    VerifyAnew,
    /// Undoes the latest step that ran and is not yet undone, or ends when there is none.
    Undo { reason: Box<str> },
    /// Asks a person how this run ended.
    Ask(RunId),
    /// Ends.
    End(PlanState),
}

impl Saga {
    /// Of a plan: one just proposed, or one read back from the journal (then send [`Event::Restarted`]).
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            flight: None,
            stopping: None,
            verify_anew: false,
        }
    }

    /// The plan as it is.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The run in flight.
    pub fn in_flight(&self) -> Option<RunId> {
        self.flight.as_ref().map(|flight| flight.run)
    }

    /// Remembers, while the journal is read back, what the plan became.
    pub fn remember_plan(&mut self, plan: Plan) {
        // A run a person settled has no report of its own: its end is in the plan.
        let ended = |flight: &mut Flight| plan.results.iter().any(|(run, _)| *run == flight.run);
        self.flight.take_if(ended);
        self.plan = plan;
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

    /// Remembers, while the journal is read back, that somebody asked to stop it.
    pub fn remember_stop(&mut self, by: &str) {
        self.stopping = Some(stopped_by(by));
    }

    /// Follows a clock that was set back: what is waited for comes as much later from there.
    pub fn set_back(&mut self, back: SetBack) {
        if let Some(flight) = &mut self.flight {
            back.due(&mut flight.silent_after);
        }
        if let PlanState::Verifying { until } = &mut self.plan.state {
            back.due(until);
        }
    }

    /// Makes the move `event` calls for. Effects are appended in the order they must happen:
    /// the plan's record, then the intent, then the run.
    pub fn handle(
        &mut self,
        now: Time,
        event: &Event<'_>,
        automation: Automation,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let step = self.next(now, event)?;
        self.note(now, event);
        self.make(now, step, automation, effects);
        Ok(())
    }

    /// Every legal move, and nothing else.
    fn next(&self, now: Time, event: &Event<'_>) -> Result<Move, Illegal> {
        use PlanState as S;
        let plan = &self.plan;
        let flying = self.in_flight();
        let overdue = self
            .flight
            .as_ref()
            .is_some_and(|flight| now >= flight.silent_after);
        Ok(match (&plan.state, event) {
            // Before anything runs.
            (S::Proposed, Event::Approved { .. }) => {
                if plan.approvals.len() + 1 < plan.approvals_needed.max(1) as usize {
                    Move::Count
                } else {
                    self.first_run()
                }
            }
            (S::Proposed, Event::Rejected { by, reason }) => Move::End(S::Rejected {
                by: (*by).to_owned(),
                reason: Box::from(*reason),
            }),
            (S::Proposed, Event::Shifted { reason }) => Move::End(S::Void {
                reason: Box::from(*reason),
            }),
            (S::Proposed, Event::Ticked) if now >= plan.expires => Move::End(S::Expired),

            // A run ends: as the executor reports, or as a person settles one in doubt.
            (
                S::Checking { .. }
                | S::Running { .. }
                | S::Verifying { .. }
                | S::RollingBack { .. },
                Event::Finished { run, outcome },
            ) if flying == Some(*run) => self.after(*run, outcome),
            (S::Unknown { run: doubted }, Event::Finished { run, outcome })
                if doubted == run && **outcome != Outcome::Unknown =>
            {
                self.after(*run, outcome)
            }
            (S::Unknown { run }, Event::Settled { outcome }) if **outcome != Outcome::Unknown => {
                self.after(*run, outcome)
            }

            // Somebody steps in.
            (
                S::Checking { .. } | S::Running { .. } | S::Verifying { .. },
                Event::RollBackAsked { by },
            ) if self.stopping.is_none() => match flying {
                Some(_) => Move::Stop {
                    reason: stopped_by(by),
                },
                None => Move::Undo {
                    reason: stopped_by(by),
                },
            },
            (S::Succeeded | S::Failed { .. }, Event::RollBackAsked { by })
                if self.undo_left().is_some() =>
            {
                Move::Undo {
                    reason: Box::from(format!("rolled back by {by}")),
                }
            }
            (
                S::Checking { .. }
                | S::Running { .. }
                | S::Verifying { .. }
                | S::RollingBack { .. },
                Event::Halted,
            ) if flying.is_some() => Move::Stop {
                reason: Box::from("stopped by the kill switch"),
            },

            // The executor stays silent.
            (
                S::Checking { .. }
                | S::Running { .. }
                | S::Verifying { .. }
                | S::RollingBack { .. },
                Event::Ticked,
            ) if overdue => doubt(self.current_run()),

            // All steps ran: did it help?
            (S::Verifying { .. }, Event::Recovered) if flying.is_none() => {
                match plan.verify.check {
                    Some(_) => Move::Start(self.run(RunPhase::Verify, 0)),
                    None => Move::End(S::Succeeded),
                }
            }
            (S::Verifying { .. }, Event::Ticked) if self.verify_anew => Move::Verify,
            (S::Verifying { until }, Event::Ticked) if flying.is_none() && now >= *until => {
                Move::Undo {
                    reason: Box::from(format!(
                        "{} did not recover within {} s",
                        plan.verify.watch,
                        plan.verify.recover_within_ms / 1_000
                    )),
                }
            }

            // A crash: what was started and not heard of is in doubt.
            (S::Checking { .. } | S::Running { .. } | S::RollingBack { .. }, Event::Restarted) => {
                doubt(self.current_run())
            }
            (S::Verifying { .. }, Event::Restarted) => match flying {
                Some(run) => doubt(run),
                None => Move::VerifyAnew,
            },
            (state, event) => return Err(illegal(state, event)),
        })
    }

    /// The move after `run` ended with `outcome`.
    fn after(&self, run: RunId, outcome: &Outcome) -> Move {
        let failed = |what: &str| -> Box<str> {
            let title = self.action(run).map_or("a run", |action| &action.title);
            Box::from(format!("{what} \u{201c}{title}\u{201d} {outcome}"))
        };
        let good = *outcome == Outcome::Succeeded;
        match (run.phase, self.stopping.clone()) {
            _ if *outcome == Outcome::Unknown => doubt(run),
            (RunPhase::Precondition, Some(reason)) => Move::End(PlanState::Void { reason }),
            (RunPhase::Precondition | RunPhase::Forward, None) if good => self.run_after(run),
            (RunPhase::Precondition, None) => Move::End(PlanState::Void {
                reason: Box::from(format!("{}; nothing ran", failed("precondition"))),
            }),
            (RunPhase::Forward | RunPhase::Verify, Some(reason)) => Move::Undo { reason },
            (RunPhase::Forward, None) => Move::Undo {
                reason: failed("step"),
            },
            (RunPhase::Verify, None) if good => Move::End(PlanState::Succeeded),
            (RunPhase::Verify, None) => Move::Undo {
                reason: failed("check"),
            },
            (RunPhase::Rollback, _) if good => Move::Undo {
                reason: self.undo_reason(),
            },
            (RunPhase::Rollback, _) => Move::End(PlanState::Failed {
                reason: Box::from(format!(
                    "{}; {}; undo the rest by hand or ask again to roll back",
                    self.undo_reason(),
                    failed("undo")
                )),
            }),
        }
    }

    /// Writes into the plan what the event itself says, before the move is made.
    fn note(&mut self, now: Time, event: &Event<'_>) {
        match event {
            Event::Approved { by } => self.plan.approvals.push(Approval {
                by: (*by).to_owned(),
                at: now,
                digest: self.plan.digest.clone(),
            }),
            Event::Finished { run, outcome } => self.end_run(*run, outcome),
            Event::Settled { outcome } => self.end_run(self.current_run(), outcome),
            Event::Rejected { .. }
            | Event::RollBackAsked { .. }
            | Event::Recovered
            | Event::Shifted { .. }
            | Event::Halted
            | Event::Ticked
            | Event::Restarted => {}
        }
    }

    fn end_run(&mut self, run: RunId, outcome: &Outcome) {
        self.flight = None;
        self.plan.results.push((run, outcome.clone()));
    }

    /// Makes a legal move.
    fn make(&mut self, now: Time, step: Move, automation: Automation, effects: &mut Vec<Effect>) {
        match step {
            Move::Count => {}
            Move::Start(run) => return self.start(now, run, automation, effects),
            Move::Undo { reason } => match self.undo_left() {
                Some(step) => {
                    self.plan.state = PlanState::RollingBack { step, reason };
                    let run = self.run(RunPhase::Rollback, step);
                    return self.start(now, run, automation, effects);
                }
                None => self.plan.state = self.undone(&reason),
            },
            Move::Stop { reason } => {
                self.stopping = Some(reason);
                effects.extend(self.in_flight().map(|run| Effect::Cancel { run }));
                return;
            }
            Move::Verify => {
                self.verify_anew = false;
                let until = now.plus_ms(self.plan.verify.recover_within_ms);
                self.plan.state = PlanState::Verifying { until };
            }
            Move::VerifyAnew => {
                self.verify_anew = true;
                return;
            }
            Move::Ask(run) => {
                effects.extend(self.forget_flight(run));
                self.plan.state = PlanState::Unknown { run };
            }
            Move::End(state) => {
                if let Some(run) = self.in_flight() {
                    effects.extend(self.forget_flight(run));
                }
                self.plan.state = state;
            }
        }
        effects.push(self.record());
    }

    /// Starts a run: state, intent, act, in this order.
    fn start(&mut self, now: Time, run: RunId, automation: Automation, effects: &mut Vec<Effect>) {
        let action = self
            .action(run)
            .filter(|_| automation == Automation::Allowed);
        let Some(action) = action.cloned() else {
            self.plan.state = PlanState::Failed {
                reason: self.held_back(run),
            };
            effects.push(self.record());
            return;
        };
        let step = run.step;
        match run.phase {
            RunPhase::Precondition => self.plan.state = PlanState::Checking { step },
            RunPhase::Forward => self.plan.state = PlanState::Running { step },
            // The caller has set the state, which says more than the run does.
            RunPhase::Verify | RunPhase::Rollback => {}
        }
        self.flight = Some(Flight {
            run,
            silent_after: now.plus_ms(action.timeout_ms.saturating_add(REPORT_GRACE_MS)),
        });
        effects.push(self.record());
        effects.push(Effect::Record(Record::Intent {
            run,
            argv: action.argv.clone(),
        }));
        effects.push(Effect::Run { run, action });
    }

    /// Gives up waiting for the run in flight, if any; asks its executor to stop it for good measure.
    fn forget_flight(&mut self, run: RunId) -> Option<Effect> {
        let unknown = (run, Outcome::Unknown);
        if self.plan.results.last() != Some(&unknown) {
            self.plan.results.push(unknown);
        }
        self.flight
            .take()
            .map(|flight| Effect::Cancel { run: flight.run })
    }

    /// Why it failed when `run` could not be started.
    fn held_back(&self, run: RunId) -> Box<str> {
        let title = self.action(run).map_or("a run", |action| &action.title);
        let before = match &self.plan.state {
            PlanState::RollingBack { reason, .. } => format!("{reason}; "),
            _ => String::new(),
        };
        Box::from(format!(
            "{before}the kill switch is on: \u{201c}{title}\u{201d} was not started"
        ))
    }

    fn first_run(&self) -> Move {
        let phase = if self.plan.preconditions.is_empty() {
            RunPhase::Forward
        } else {
            RunPhase::Precondition
        };
        Move::Start(self.run(phase, 0))
    }

    /// What follows a run that went well, before verification.
    fn run_after(&self, run: RunId) -> Move {
        let next = self.run(run.phase, run.step + 1);
        match run.phase {
            _ if self.action(next).is_some() => Move::Start(next),
            RunPhase::Precondition => Move::Start(self.run(RunPhase::Forward, 0)),
            RunPhase::Forward | RunPhase::Verify | RunPhase::Rollback => Move::Verify,
        }
    }

    /// The latest step that ran and whose undo exists and was never started. A step that failed or
    /// timed out may have done half its work, so it is undone too.
    fn undo_left(&self) -> Option<u32> {
        let has = |phase, step| {
            let run = self.run(phase, step);
            self.plan.results.iter().any(|(done, _)| *done == run)
        };
        (0..self.plan.steps.len() as u32).rev().find(|&step| {
            has(RunPhase::Forward, step)
                && !has(RunPhase::Rollback, step)
                && self.action(self.run(RunPhase::Rollback, step)).is_some()
        })
    }

    /// The end of undoing: `RolledBack` only if everything that ran was undone.
    fn undone(&self, reason: &str) -> PlanState {
        let last = |phase, step| {
            let run = self.run(phase, step);
            let mut of_run = self.plan.results.iter().rev();
            of_run
                .find(|(done, _)| *done == run)
                .map(|(_, outcome)| outcome)
        };
        let left: Vec<&str> = (0..self.plan.steps.len() as u32)
            .filter(|&step| last(RunPhase::Forward, step).is_some())
            .filter(|&step| last(RunPhase::Rollback, step) != Some(&Outcome::Succeeded))
            .filter_map(|step| self.action(self.run(RunPhase::Forward, step)))
            .map(|action| &*action.title)
            .collect();
        if left.is_empty() {
            PlanState::RolledBack {
                reason: Box::from(reason),
            }
        } else {
            let left = left.join("\u{201d}, \u{201c}");
            PlanState::Failed {
                reason: Box::from(format!("{reason}; not undone: \u{201c}{left}\u{201d}")),
            }
        }
    }

    /// Why it is being undone.
    fn undo_reason(&self) -> Box<str> {
        match (&self.plan.state, &self.stopping) {
            (PlanState::RollingBack { reason, .. }, _) | (_, Some(reason)) => reason.clone(),
            // After doubt about an undo, the first reason is only in the journal.
            _ => Box::from("it was being rolled back"),
        }
    }

    /// The run the state speaks of.
    fn current_run(&self) -> RunId {
        match &self.plan.state {
            PlanState::Unknown { run } => *run,
            PlanState::Checking { step } => self.run(RunPhase::Precondition, *step),
            PlanState::RollingBack { step, .. } => self.run(RunPhase::Rollback, *step),
            PlanState::Running { step } => self.run(RunPhase::Forward, *step),
            _ => self.run(RunPhase::Verify, 0),
        }
    }

    fn run(&self, phase: RunPhase, step: u32) -> RunId {
        RunId {
            plan: self.plan.id,
            phase,
            step,
        }
    }

    /// What a run performs; `None` when the plan has no such action.
    fn action(&self, run: RunId) -> Option<&Action> {
        let step = run.step as usize;
        match run.phase {
            RunPhase::Precondition => self.plan.preconditions.get(step),
            RunPhase::Forward => self.plan.steps.get(step),
            RunPhase::Verify => self.plan.verify.check.as_ref(),
            RunPhase::Rollback => self.plan.rollback.get(step)?.as_ref(),
        }
    }

    fn record(&self) -> Effect {
        Effect::Record(Record::Plan {
            plan: Box::new(self.plan.clone()),
        })
    }
}

/// A run whose end is not known. A precondition changes nothing, so not knowing is a no; for
/// everything else a person must say.
fn doubt(run: RunId) -> Move {
    match run.phase {
        RunPhase::Precondition => Move::End(PlanState::Void {
            reason: Box::from("a precondition gave no answer; nothing ran"),
        }),
        RunPhase::Forward | RunPhase::Verify | RunPhase::Rollback => Move::Ask(run),
    }
}

fn stopped_by(by: &str) -> Box<str> {
    Box::from(format!("stopped by {by}"))
}

/// Why `event` does nothing in `state`, for the person who asked.
fn illegal(state: &PlanState, event: &Event<'_>) -> Illegal {
    let why = match event {
        Event::Approved { .. } | Event::Rejected { .. } => "only a proposed plan can be decided",
        Event::RollBackAsked { .. } => match state {
            PlanState::Proposed => "nothing ran yet: reject it instead",
            PlanState::RollingBack { .. } => "it is being rolled back already",
            PlanState::Unknown { .. } => "say first how the run in doubt ended",
            PlanState::Checking { .. }
            | PlanState::Running { .. }
            | PlanState::Verifying { .. } => "it is being stopped already",
            _ => "nothing is left to undo",
        },
        Event::Settled { .. } => match state {
            PlanState::Unknown { .. } => "say whether it succeeded or failed",
            _ => "no run is in doubt",
        },
        Event::Finished { .. } => "that run is not in flight",
        Event::Recovered
        | Event::Shifted { .. }
        | Event::Halted
        | Event::Ticked
        | Event::Restarted => "it changes nothing now",
    };
    Illegal {
        state: state.as_str(),
        why,
    }
}
