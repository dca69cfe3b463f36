//! Evidence that travels: what a callee, or work that others make, leaves on those it reaches is no evidence
//! against them. Must never look at names or text.

use super::case::{Case, SubjectIx};
use super::weigh::{Clue, ClueKind, surge};

/// Evidence that a flagged dependency shows at least as strongly is mostly passed on from there.
const PASSED_ON_SHARE: f64 = 0.2;
/// How deep dependencies are searched for the source of passed-on evidence.
const PASSED_ON_DEPTH_MAX: usize = 4;
/// What this leaves of the evidence of those whose work and dependencies explain them: what waits for a slow
/// callee holds its connections, and what is tried again is more work.
const PASSIVE_SHARE: f64 = 0.2;

/// Errors in logs and spans travel up: where a dependency shows them as strongly, they are mostly passed on.
pub fn discount_passed_on(below: &Below, clues: &mut [Vec<Clue>]) {
    let travels = |kind: ClueKind| matches!(kind, ClueKind::Log(_) | ClueKind::SelfErrors);
    let strength: Vec<f64> = clues
        .iter()
        .map(|clues| {
            clues
                .iter()
                .filter(|c| travels(c.kind))
                .map(|c| c.log_odds)
                .fold(0.0, f64::max)
        })
        .collect();
    for at in 0..clues.len() {
        if strength[at] <= 0.0 {
            continue;
        }
        let deeper = below
            .within(at, PASSED_ON_DEPTH_MAX)
            .into_iter()
            .any(|to| strength[to] >= strength[at]);
        if deeper {
            for clue in clues[at].iter_mut().filter(|clue| travels(clue.kind)) {
                clue.log_odds *= PASSED_ON_SHARE;
            }
        }
    }
}

/// Where something has a cause of its own, whoever depends on it, or gets more work, and has none is a victim: its
/// pools are full because it waits, its own time is the time in their queue, and its errors tell of that.
pub fn discount_passive(case: &Case, below: &Below, clues: &mut [Vec<Clue>]) {
    let has_cause: Vec<bool> = case
        .subjects
        .iter()
        .map(|subject| subject.own_cause.is_some())
        .collect();
    if !has_cause.contains(&true) {
        return;
    }
    for (at, clues) in clues.iter_mut().enumerate() {
        if has_cause[at] {
            continue;
        }
        let reached = below.within(at, PASSED_ON_DEPTH_MAX);
        let waits = reached.into_iter().any(|to| has_cause[to]);
        if !waits && surge(&case.subjects[at]).is_none() {
            continue;
        }
        for clue in clues.iter_mut() {
            if matches!(
                clue.kind,
                ClueKind::Saturated(_)
                    | ClueKind::Resource(_)
                    | ClueKind::SelfTime
                    | ClueKind::SelfErrors
                    | ClueKind::Log(_)
            ) {
                clue.log_odds *= PASSIVE_SHARE;
            }
        }
        clues.push(Clue {
            kind: ClueKind::Passive,
            log_odds: 0.0,
        });
    }
}

/// Dependencies by subject.
pub struct Below {
    callees: Vec<Vec<SubjectIx>>,
}

impl Below {
    pub fn of(case: &Case) -> Self {
        let mut callees = vec![Vec::new(); case.subjects.len()];
        for dependency in case.dependencies.iter().filter(|d| d.from != d.to) {
            callees[dependency.from].push(dependency.to);
        }
        Self { callees }
    }

    pub fn all(&self, start: SubjectIx) -> Vec<bool> {
        let mut seen = vec![false; self.callees.len()];
        let mut stack = vec![start];
        while let Some(at) = stack.pop() {
            for &to in &self.callees[at] {
                if !seen[to] {
                    seen[to] = true;
                    stack.push(to);
                }
            }
        }
        seen
    }

    /// Dependencies at most `depth` edges below `start`, without itself.
    pub fn within(&self, start: SubjectIx, depth: usize) -> Vec<SubjectIx> {
        let mut found = vec![start];
        let mut from = 0;
        for _ in 0..depth {
            let to = found.len();
            for next in from..to {
                for &callee in &self.callees[found[next]] {
                    if !found.contains(&callee) {
                        found.push(callee);
                    }
                }
            }
            from = to;
        }
        found.remove(0);
        found
    }
}
