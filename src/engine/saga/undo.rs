//! What of a plan can be undone, who asked for it, and what is left in the end.

use super::{Move, Saga, has_run};
use crate::model::{Approval, Outcome, PlanState, RunPhase, Time};

impl Saga {
    /// Whether it is over and something of it can be undone.
    pub fn may_be_undone(&self) -> bool {
        matches!(
            self.plan.state,
            PlanState::Succeeded | PlanState::Failed { .. }
        ) && self.undo_left().is_some()
    }

    /// The move when somebody asks to undo what is over: it takes as many people as its approval.
    pub(super) fn asked_to_undo(&self, now: Time, by: &str) -> Move {
        if self.undoers(now).count() + 1 < self.plan.approvals_needed.max(1) as usize {
            Move::Count
        } else {
            let others = self.undoers(now).map(|given| &*given.by);
            let names: Vec<&str> = others.chain([by]).collect();
            Move::Undo {
                reason: Box::from(format!("rolled back by {}", names.join(" and "))),
            }
        }
    }

    /// Those whose wish to undo a plan that is over still counts: no longer than an approval does.
    pub fn undoers(&self, now: Time) -> impl Iterator<Item = &Approval> {
        let counts_for_ms = self.plan.expires.since(self.plan.created);
        let given = self.plan.undo_approvals.iter();
        given.filter(move |given| now.since(given.at) < counts_for_ms)
    }

    /// The latest step that ran and whose undo exists and was never started. A step that failed or
    /// timed out may have done half its work, so it is undone too.
    pub(super) fn undo_left(&self) -> Option<u32> {
        let has = |phase, step| {
            let run = self.run(phase, step);
            let mut results = self.plan.results.iter();
            results.any(|(done, outcome)| *done == run && has_run(outcome))
        };
        (0..self.plan.steps.len() as u32).rev().find(|&step| {
            has(RunPhase::Forward, step)
                && !has(RunPhase::Rollback, step)
                && self.action(self.run(RunPhase::Rollback, step)).is_some()
        })
    }

    /// The end of undoing: `RolledBack` only if everything that ran was undone.
    pub(super) fn undone(&self, reason: &str) -> PlanState {
        let last = |phase, step| {
            let run = self.run(phase, step);
            let mut of_run = self.plan.results.iter().rev();
            of_run
                .find(|(done, outcome)| *done == run && has_run(outcome))
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
    pub(super) fn undo_reason(&self) -> Box<str> {
        match (&self.plan.state, &self.stopping) {
            (PlanState::RollingBack { reason, .. }, _) | (_, Some(reason)) => reason.clone(),
            // After doubt about an undo, the first reason is only in the journal.
            _ => Box::from("it was being rolled back"),
        }
    }
}
