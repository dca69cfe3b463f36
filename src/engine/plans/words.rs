//! What happened to a plan, in words for its incident's timeline.

use crate::model::{Plan, PlanState};

/// A plan's state as the end of a sentence.
pub(super) fn told(plan: &Plan) -> String {
    let word = plan.state.as_str();
    let because = |reason: &str| {
        if reason.starts_with(word) {
            reason.to_owned()
        } else {
            format!("{word}, {reason}")
        }
    };
    match &plan.state {
        PlanState::RollingBack { reason, .. }
        | PlanState::RolledBack { reason }
        | PlanState::Failed { reason }
        | PlanState::Void { reason } => because(reason),
        PlanState::Checking { step } => {
            format!("{word} {} of {}", step + 1, plan.preconditions.len())
        }
        // Whether it could be started is known with its end only.
        PlanState::Running { step } => format!("starts step {} of {}", step + 1, plan.steps.len()),
        PlanState::Unknown { .. } => {
            "does not know how its last run ended: a person must say".to_owned()
        }
        PlanState::Proposed
        | PlanState::Verifying { .. }
        | PlanState::Succeeded
        | PlanState::Rejected { .. }
        | PlanState::Expired => word.to_owned(),
    }
}
