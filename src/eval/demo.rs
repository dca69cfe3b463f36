//! Suite `demo`: every scenario of the demo over many seeds. Is each fault found, how soon, and does
//! the right suspect come first?

use std::time::Instant;

use serde_json::json;

use super::Report;
use super::drive::{self, Approve, Conclusion};
use crate::config::demo_runbooks;
use crate::model::Time;
use crate::sim::Scenario;

/// Seeds for each scenario.
const SEEDS: u64 = 20;
/// 2026-01-14T12:00:00Z.
const START: Time = Time::from_secs(1_768_392_000);

/// Runs every scenario with twenty seeds, counting from `seed`.
pub fn run(seed: u64) -> Report {
    run_seeds(seed, SEEDS)
}

/// Runs every scenario with so many seeds.
pub fn run_seeds(seed: u64, seeds: u64) -> Report {
    let started = Instant::now();
    let runs: Vec<Conclusion> = Scenario::ALL
        .into_iter()
        .flat_map(|scenario| (seed..seed + seeds).map(move |seed| (scenario, seed)))
        .map(|(scenario, seed)| drive::run(scenario, seed, START, demo_runbooks(), Approve::None))
        .collect();
    let seconds = started.elapsed().as_secs_f64();
    let truths: Vec<_> = runs.iter().flat_map(|run| &run.truth).collect();
    let faults = truths.len().max(1) as f64;
    let share = |count: usize| count as f64 / faults;
    let worst_s = |ms: &dyn Fn(&drive::TruthRow) -> Option<i64>| {
        // A fault that was never found is later than any bound.
        truths
            .iter()
            .map(|t| ms(t).map_or(f64::MAX, |ms| ms as f64 / 1_000.0))
            .fold(0.0, f64::max)
    };
    let quiet: usize = runs
        .iter()
        .filter(|run| run.truth.is_empty())
        .map(|run| run.incidents.len())
        .sum();
    Report {
        suite: "demo",
        cases: runs.len(),
        score: super::named([
            (
                "found",
                share(truths.iter().filter(|t| t.incident_ms.is_some()).count()),
            ),
            (
                "right_first",
                share(truths.iter().filter(|t| t.rank == Some(1)).count()),
            ),
            ("first_finding_s_worst", worst_s(&|t| t.first_finding_ms)),
            ("incident_s_worst", worst_s(&|t| t.incident_ms)),
            ("suspect_s_worst", worst_s(&|t| t.suspect_ms)),
            ("incidents_on_quiet", quiet as f64),
            (
                "incidents_per_fault",
                (runs.iter().map(|r| r.incidents.len()).sum::<usize>() - quiet) as f64 / faults,
            ),
        ]),
        per_case: runs.iter().map(row).collect(),
        seconds,
    }
}

fn row(run: &Conclusion) -> serde_json::Value {
    json!({
        "scenario": run.scenario,
        "seed": run.seed,
        "truth": run.truth.iter().map(|t| json!({
            "entity": t.truth.entity, "rank": t.rank,
            "first_finding_ms": t.first_finding_ms, "incident_ms": t.incident_ms,
            "suspect_ms": t.suspect_ms,
        })).collect::<Vec<_>>(),
        "incidents": run.incidents.iter().map(|i| json!({
            "title": i.title,
            "suspects": i.suspects.iter().map(|s| json!([s.entity, s.cause, s.confidence])).collect::<Vec<_>>(),
            "plans": i.plans.iter().map(|p| json!([p.runbook, p.target, p.right])).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_of_the_week_tells_no_other_story() {
        // 2026-11-23T00:10:00Z, a Monday: what is known of working days was learned on a Friday.
        let monday = Time::from_secs(1_795_392_600);
        let run = drive::run(
            Scenario::BadDeploy,
            1,
            monday,
            demo_runbooks(),
            Approve::None,
        );
        assert_eq!(run.incidents.len(), 1, "{:?}", run.incidents);
        assert_eq!(run.truth[0].rank, Some(1), "{:?}", run.incidents);
    }
}
