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
    let in_trouble = (0..clues.len()).map(|at| has_cause[at] || below.reaches(at, &has_cause));
    let is_pushed = pushed_from(case, below, in_trouble.collect());
    for (at, clues) in clues.iter_mut().enumerate() {
        if has_cause[at] {
            continue;
        }
        let kind = if below.reaches(at, &has_cause) {
            ClueKind::Waits
        } else if is_pushed[at] {
            ClueKind::Pushed
        } else {
            continue;
        };
        let mut is_anything = false;
        for clue in clues.iter_mut().filter(|clue| is_passive(clue.kind)) {
            is_anything |= clue.log_odds > 0.0;
            clue.log_odds *= PASSIVE_SHARE;
        }
        // Where nothing is wrong, nothing explains it.
        if is_anything {
            let log_odds = 0.0;
            clues.push(Clue { kind, log_odds });
        }
    }
}

/// Those in trouble, and who gets more work than usual along calls that begin with them: what is tried again
/// at the top is tried again all the way down. Work that comes from nobody in trouble is work like any other,
/// and such a surge may be the cause itself.
fn pushed_from(case: &Case, below: &Below, in_trouble: Vec<bool>) -> Vec<bool> {
    let mut is_pushed = in_trouble;
    let mut open: Vec<SubjectIx> = (0..is_pushed.len()).filter(|at| is_pushed[*at]).collect();
    while let Some(from) = open.pop() {
        for &to in &below.callees[from] {
            if !is_pushed[to] && surge(&case.subjects[to]).is_some() {
                is_pushed[to] = true;
                open.push(to);
            }
        }
    }
    is_pushed
}

/// What waiting, or more work, leaves on whoever has nothing wrong of its own.
const fn is_passive(kind: ClueKind) -> bool {
    matches!(
        kind,
        ClueKind::Saturated(_)
            | ClueKind::Resource(_)
            | ClueKind::SelfTime
            | ClueKind::SelfErrors
            | ClueKind::Log(_)
    )
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

    /// Whether anything of these is among the nearer dependencies of `start`.
    fn reaches(&self, start: SubjectIx, any_of: &[bool]) -> bool {
        let reached = self.within(start, PASSED_ON_DEPTH_MAX);
        reached.into_iter().any(|to| any_of[to])
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

#[cfg(test)]
mod tests {
    use super::super::weigh::weigh;
    use super::super::{Dependency, OwnCause, Proof};
    use super::*;
    use crate::engine::diagnose::deviation::{Column, ColumnKind, Normal};
    use crate::model::{EntityId, Provenance, Time, Unit};

    fn column(kind: ColumnKind, median: f64, now: f64) -> Column {
        Column {
            name: "m".into(),
            unit: Unit::None,
            kind,
            normal: Normal {
                median,
                up: 1.0,
                down: 1.0,
                samples: 500,
            },
            additive: true,
            limit: None,
            values: vec![now],
        }
    }

    /// web -> shop -> store, web -> cache -> shelf and mail -> list, where the store has a cause of its own;
    /// who has an odd resource, and who gets much more work than usual.
    fn said(odd: &[&str], busy: &[&str]) -> Vec<(String, ClueKind)> {
        let mut case = Case::new(Time::from_secs(900), Time::from_secs(600), 1);
        for name in ["web", "shop", "store", "cache", "shelf", "mail", "list"] {
            let at = case.subject(&EntityId::parse(name));
            let work = if busy.contains(&name) { 900.0 } else { 100.0 };
            let used = if odd.contains(&name) { 90.0 } else { 10.0 };
            case.subjects[at].columns = vec![
                column(ColumnKind::Traffic, 100.0, work),
                column(ColumnKind::Resource, 10.0, used),
            ];
        }
        let calls = [
            ("web", "shop"),
            ("shop", "store"),
            ("web", "cache"),
            ("cache", "shelf"),
            ("mail", "list"),
        ];
        for (from, to) in calls {
            let [from, to] = [from, to].map(|name| case.subject(&EntityId::parse(name)));
            case.dependencies.push(Dependency {
                from,
                to,
                provenance: Provenance::Traced,
                age_ms: 0,
                calls: None,
            });
        }
        let store = case.subject(&EntityId::parse("store"));
        case.subjects[store].own_cause = Some(OwnCause {
            why: "it is gone".into(),
            proof: Some(Proof::Resource),
        });
        let weighed = weigh(&case);
        let clues = case.subjects.iter().zip(&weighed.clues);
        let said = clues.flat_map(|(subject, clues)| {
            let passive = clues.iter().map(|clue| clue.kind);
            let passive = passive.filter(|k| matches!(k, ClueKind::Waits | ClueKind::Pushed));
            passive.map(|kind| (subject.id.name().to_owned(), kind))
        });
        said.collect()
    }

    #[test]
    fn only_what_is_wrong_is_explained_by_others() {
        let named = |name: &str, kind| (name.to_owned(), kind);
        assert_eq!(said(&[], &[]), [], "nothing is wrong with who waits");
        assert_eq!(said(&["shop"], &[]), [named("shop", ClueKind::Waits)]);
        // What the work of those in trouble does, and a surge that has nothing to do with them.
        let both = said(&["cache", "list"], &["cache", "list"]);
        assert_eq!(both, [named("cache", ClueKind::Pushed)]);
        let far = said(&["shelf"], &["cache", "shelf"]);
        assert_eq!(far, [named("shelf", ClueKind::Pushed)], "handed on");
        assert_eq!(said(&["shelf"], &["shelf"]), [], "its caller gets no more");
        assert_eq!(said(&[], &["cache"]), [], "more work alone is no trouble");
    }
}
