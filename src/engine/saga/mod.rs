//! The life of one plan: approve, check, run, verify, roll back. `Saga::next` lists every legal move.
//!
//! It decides moves, never whether they are allowed: `govern` answers that first. It never starts a run
//! that was not recorded as an intent before, never starts the same run twice, and never guesses the
//! result of a run it did not hear of: that plan is `Unknown` until a person says.

use crate::engine::correlate::UNHEARD_MS;
use crate::engine::set_back::SetBack;
use crate::model::{
    Action, Approval, Effect, Outcome, Plan, PlanState, Process, Record, RunId, RunPhase, Time,
};

mod remember;
mod undo;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

/// How long after its timeout a run may stay unreported before its result counts as unknown: the
/// executor needs a moment to kill a process group and to say so.
pub const REPORT_GRACE_MS: i64 = 10_000;

/// Why a plan stops when all automation does.
const HALTED: &str = "stopped by the kill switch";

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
    /// An executor says which process a run is, or that none of it is left.
    Seen {
        /// Which.
        run: RunId,
        /// The process, as long as it lives.
        process: Option<&'a Process>,
    },
    /// The signals the plan is verified by are back to normal.
    Recovered {
        /// What still hurts for another reason, in words.
        but: Option<&'a str>,
    },
    /// They are not.
    Hurts {
        /// The place that still hurts.
        place: &'a str,
    },
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
    /// The restart that interrupted it was so short that nothing was missed.
    watched: bool,
    /// So long silence is no harm: the end of the window, and after a restart more, because nobody had
    /// the time to speak. What is seen to hurt counts from the end of the window.
    silent_until: Time,
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
    /// Asks the executor to stop the run in flight, or the one in doubt that goes on; what follows
    /// waits for its end.
    Stop { reason: Box<str> },
    /// Remembers the process of a run, or that it is gone.
    Know(Option<Process>),
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
            plan: remember::helping(plan),
            flight: None,
            stopping: None,
            verify_anew: false,
            watched: false,
            silent_until: Time::ZERO,
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

    /// Nobody could say yet whether it helped, since the senders of its incident have not spoken since a
    /// restart: that is no sign that it did not.
    pub fn wait_to_hear(&mut self, now: Time) {
        if matches!(self.plan.state, PlanState::Verifying { .. }) {
            self.silent_until = now.plus_ms(self.plan.verify.recover_within_ms);
        }
    }

    /// Follows a clock that was set back: what is waited for comes as much later from there.
    pub fn set_back(&mut self, back: SetBack) {
        if let Some(flight) = &mut self.flight {
            back.due(&mut flight.silent_after);
        }
        if let PlanState::Verifying { until } = &mut self.plan.state {
            back.due(until);
            back.due(&mut self.silent_until);
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
            (state, Event::Finished { run, outcome }) if may_fly(state) && flying == Some(*run) => {
                self.after(*run, outcome)
            }
            (S::Unknown { run: doubted }, Event::Finished { run, outcome })
                if doubted == run && says_how(outcome) =>
            {
                self.after(*run, outcome)
            }
            // What still runs has not ended, whatever anybody says.
            (S::Unknown { run }, Event::Settled { outcome })
                if says_how(outcome) && plan.process.is_none() =>
            {
                self.after(*run, outcome)
            }

            // The process behind a run.
            (state, Event::Seen { run, process }) if may_fly(state) && flying == Some(*run) => {
                Move::Know(process.cloned())
            }
            (S::Unknown { run: doubted }, Event::Seen { run, process }) if doubted == run => {
                Move::Know(process.cloned())
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
            // It may be asked again: the first time, the process may not have listened.
            (S::Unknown { .. }, Event::RollBackAsked { by }) if plan.process.is_some() => {
                Move::Stop {
                    reason: stopped_by(by),
                }
            }
            (_, Event::RollBackAsked { by }) if self.may_be_undone() => self.asked_to_undo(now, by),
            (state, Event::Halted) if may_fly(state) && flying.is_some() => Move::Stop {
                reason: Box::from(HALTED),
            },
            (S::Unknown { .. }, Event::Halted) => Move::Stop {
                reason: Box::from(HALTED),
            },

            // The executor stays silent.
            (state, Event::Ticked) if may_fly(state) && overdue => doubt(self.current_run()),

            // All steps ran: did it help?
            // What was not watched for a while says nothing yet.
            (S::Verifying { .. }, Event::Ticked | Event::Recovered { .. }) if self.verify_anew => {
                Move::Verify
            }
            (S::Verifying { .. }, Event::Recovered { .. }) if flying.is_none() => {
                match plan.verify.check {
                    Some(_) => Move::Start(self.run(RunPhase::Verify, 0)),
                    None => Move::End(S::Succeeded),
                }
            }
            (S::Verifying { until }, Event::Hurts { place })
                if flying.is_none() && now >= *until && (self.watched || !self.verify_anew) =>
            {
                self.undo_unrecovered(place)
            }
            (S::Verifying { .. }, Event::Ticked)
                if flying.is_none() && now >= self.silent_until =>
            {
                self.undo_unrecovered(&plan.verify.watch.to_string())
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

    fn undo_unrecovered(&self, place: &str) -> Move {
        Move::Undo {
            reason: Box::from(format!(
                "{place} did not recover within {} s",
                self.plan.verify.recover_within_ms / 1_000
            )),
        }
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
            _ if !has_run(outcome) => {
                let alone = matches!(outcome, Outcome::NotStarted { alone: true, .. });
                self.not_started(run, &failed(noun(run.phase)), alone)
            }
            (RunPhase::Precondition, Some(reason)) => Move::End(PlanState::Void { reason }),
            (RunPhase::Precondition | RunPhase::Forward, None) if good => self.run_after(run),
            (RunPhase::Precondition, None) => Move::End(PlanState::Void {
                reason: Box::from(format!("{}; nothing ran", failed(noun(run.phase)))),
            }),
            (RunPhase::Forward | RunPhase::Verify, Some(reason)) => Move::Undo { reason },
            (RunPhase::Verify, None) if good => Move::End(PlanState::Succeeded),
            (RunPhase::Forward | RunPhase::Verify, None) => Move::Undo {
                reason: failed(noun(run.phase)),
            },
            (RunPhase::Rollback, _) if good => Move::Undo {
                reason: self.undo_reason(),
            },
            (RunPhase::Rollback, _) => Move::End(PlanState::Failed {
                reason: Box::from(format!(
                    "{}; {}; undo the rest by hand or ask again to roll back",
                    self.undo_reason(),
                    failed(noun(run.phase))
                )),
            }),
        }
    }

    /// The end of a plan whose next run could not be started. Unless it is that run `alone`, its undo could
    /// not be started either, so none is tried; a person may ask for it later.
    fn not_started(&self, run: RunId, what: &str, alone: bool) -> Move {
        let ran = self
            .plan
            .results
            .iter()
            .any(|(done, outcome)| done.phase != RunPhase::Precondition && has_run(outcome));
        let before = match (&self.plan.state, &self.stopping) {
            (PlanState::RollingBack { reason, .. }, _) | (_, Some(reason)) => format!("{reason}; "),
            _ => String::new(),
        };
        if alone && ran && run.phase != RunPhase::Rollback {
            return Move::Undo {
                reason: Box::from(format!("{before}{what}")),
            };
        }
        Move::End(match run.phase {
            RunPhase::Precondition | RunPhase::Forward if !ran => PlanState::Void {
                reason: Box::from(format!("{before}{what}; nothing ran")),
            },
            _ => PlanState::Failed {
                reason: Box::from(format!("{before}{what}; ask to roll back what ran")),
            },
        })
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
            Event::RollBackAsked { by } if self.plan.state.is_final() => {
                self.plan.by_hand = true;
                let mut given: Vec<Approval> = self.undoers(now).cloned().collect();
                given.push(Approval {
                    by: (*by).to_owned(),
                    at: now,
                    digest: self.plan.digest.clone(),
                });
                self.plan.undo_approvals = given;
            }
            Event::RollBackAsked { .. } | Event::Halted => self.plan.by_hand = true,
            Event::Rejected { .. }
            | Event::Seen { .. }
            | Event::Recovered { .. }
            | Event::Hurts { .. }
            | Event::Shifted { .. }
            | Event::Ticked
            | Event::Restarted => {}
        }
    }

    fn end_run(&mut self, run: RunId, outcome: &Outcome) {
        self.flight = None;
        self.plan.process = None;
        self.plan.results.push((run, outcome.clone()));
    }

    /// Makes a legal move.
    fn make(&mut self, now: Time, step: Move, automation: Automation, effects: &mut Vec<Effect>) {
        match step {
            Move::Count => {}
            Move::Start(run) => return self.start(now, run, automation, effects),
            Move::Undo { reason } => match self.undo_left() {
                Some(step) => {
                    self.plan.undo_approvals.clear();
                    self.plan.state = PlanState::RollingBack { step, reason };
                    let run = self.run(RunPhase::Rollback, step);
                    return self.start(now, run, automation, effects);
                }
                None => self.plan.state = self.undone(&reason),
            },
            Move::Stop { reason } => {
                self.stopping = Some(reason);
                let run = self.in_flight().or(self.unheard());
                effects.extend(run.map(|run| Effect::Cancel { run }));
                return;
            }
            Move::Know(process) => {
                self.plan.process = process;
                // A wish to stop it may be older than the restart.
                let run = self.unheard().filter(|_| self.stopping.is_some());
                effects.extend(run.map(|run| Effect::Cancel { run }));
                return;
            }
            Move::Verify => {
                let window = now.plus_ms(self.plan.verify.recover_within_ms);
                let is_anew = std::mem::take(&mut self.verify_anew);
                let patience_ms = if is_anew { UNHEARD_MS } else { 0 };
                self.silent_until = window.plus_ms(patience_ms);
                let until = match self.plan.state {
                    PlanState::Verifying { until } if is_anew && self.watched => until,
                    _ => window,
                };
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
                self.plan.process = None;
                self.plan.helped |= state == PlanState::Succeeded;
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
        self.plan.process = None;
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

    /// The run in doubt.
    fn doubted(&self) -> Option<RunId> {
        match self.plan.state {
            PlanState::Unknown { run } => Some(run),
            _ => None,
        }
    }

    /// The run in doubt, when its process still lives.
    fn unheard(&self) -> Option<RunId> {
        self.doubted().filter(|_| self.plan.process.is_some())
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

/// Whether a run may be in flight in this state.
const fn may_fly(state: &PlanState) -> bool {
    matches!(
        state,
        PlanState::Checking { .. }
            | PlanState::Running { .. }
            | PlanState::Verifying { .. }
            | PlanState::RollingBack { .. }
    )
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

/// Whether an outcome says how a run ended that was started.
const fn says_how(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::Unknown | Outcome::NotStarted { .. })
}

/// Whether there is anything to undo of a run with this outcome.
const fn has_run(outcome: &Outcome) -> bool {
    !matches!(outcome, Outcome::NotStarted { .. })
}

/// What a run is called.
const fn noun(phase: RunPhase) -> &'static str {
    match phase {
        RunPhase::Precondition => "precondition",
        RunPhase::Forward => "step",
        RunPhase::Verify => "check",
        RunPhase::Rollback => "undo",
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
        Event::Settled { outcome } => match state {
            PlanState::Unknown { .. } if says_how(outcome) => {
                "its command still runs: wait for its end, or roll back, which stops it"
            }
            PlanState::Unknown { .. } => "say whether it succeeded or failed",
            _ => "no run is in doubt",
        },
        Event::Finished { .. } | Event::Seen { .. } => "that run is not in flight",
        Event::Recovered { .. }
        | Event::Hurts { .. }
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
