//! Suite `quiet`: how often does an ordinary day wake somebody?
//!
//! Simulated days of normal traffic with daily and weekly seasons, nightly jobs, deploys with counter
//! resets and scrape gaps. Every incident opened is false; findings that inform are counted by check. The days hold
//! metrics alone, minute by minute, as a long past does; one more day of a small shop holds everything, lines and spans
//! too, for the checks on those.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::json;

use super::drive::Feed;
use super::{Report, Scores};
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::model::{Check, FindingId, IncidentId, Time};
use crate::sim::{History, Oddities, Sim, System};

/// Days simulated.
const DAYS: i64 = 28;
/// 2026-01-05T00:00:00Z, a Monday.
const BEGIN: Time = Time::from_secs(1_767_571_200);

const DAY_MS: i64 = 86_400_000;

/// The findings made so far, by check: what a person who looks at everything would have read.
#[derive(Default)]
struct Noticed {
    last: u64,
    by_check: BTreeMap<Check, u64>,
}

impl Noticed {
    /// Counts those made since the last look.
    fn look(&mut self, engine: &Engine) {
        let made = engine.last_finding().0;
        for id in self.last + 1..=made {
            // What began and ended between two looks was on nobody's screen.
            if let Some(finding) = engine.finding(FindingId(id)) {
                *self.by_check.entry(finding.check).or_default() += 1;
            }
        }
        self.last = made;
    }

    fn count(&self) -> f64 {
        self.by_check.values().sum::<u64>() as f64
    }

    /// How many of each check, by `findings_` and its name after `prefix`.
    fn scores(&self, prefix: &str) -> Scores {
        let name = |check: &Check| {
            let check = json!(check);
            let check = check.as_str().unwrap_or_default();
            format!("{prefix}findings_{check}").into()
        };
        let counts = self.by_check.iter();
        counts
            .map(|(check, count)| (name(check), *count as f64))
            .collect()
    }
}

/// Runs the suite on a system of `services` services.
pub fn run(seed: u64, services: usize) -> Report {
    run_days(seed, services, DAYS, DAY_MS)
}

/// Runs it over so many days of metrics, and so long with everything told, in milliseconds.
pub fn run_days(seed: u64, services: usize, days: i64, whole_ms: i64) -> Report {
    let started = Instant::now();
    let coarse = History {
        coarse_ms: days * DAY_MS,
        fine_ms: 0,
    };
    let metrics = watch("metrics", System::generated(services, seed), coarse, seed);
    let whole = History {
        coarse_ms: 0,
        fine_ms: whole_ms,
    };
    let everything = watch("everything", System::shop(), whole, seed);
    let false_incidents = metrics.incidents.len() as f64;
    let hundreds_days = services as f64 / 100.0 * days as f64;
    let mut score = super::named([
        (
            "false_incidents_per_100_services_day",
            false_incidents / hundreds_days,
        ),
        ("findings", metrics.noticed.count()),
        ("samples", metrics.signals as f64),
        ("day_of_everything_findings", everything.noticed.count()),
        (
            "day_of_everything_incidents",
            everything.incidents.len() as f64,
        ),
        ("day_of_everything_signals", everything.signals as f64),
    ]);
    score.extend(metrics.noticed.scores(""));
    score.extend(everything.noticed.scores("day_of_everything_"));
    let mut per_case = metrics.incidents;
    per_case.extend(everything.incidents);
    Report {
        suite: "quiet",
        cases: days as usize,
        score,
        per_case,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// What a system without faults was told of.
struct Watched {
    /// Incidents opened, one object each.
    incidents: Vec<serde_json::Value>,
    noticed: Noticed,
    signals: u64,
}

/// Watches a system from [`BEGIN`] on for as long as the history is; `told` says which of them.
fn watch(told: &str, system: System, history: History, seed: u64) -> Watched {
    let end = BEGIN.plus_ms(history.coarse_ms + history.fine_ms);
    let mut sim = Sim::of(system, Vec::new(), history, Oddities::Ordinary, seed, end);
    let mut feed = Feed::new(Engine::new(EngineConfig::default(), Vec::new()));
    let mut known: BTreeSet<IncidentId> = BTreeSet::new();
    let mut incidents = Vec::new();
    let mut noticed = Noticed::default();
    while let Some(batches) = sim.advance(end) {
        let now = sim.now();
        for batch in batches {
            feed.signals(now, batch);
        }
        feed.tick(now);
        noticed.look(&feed.engine);
        for row in feed.engine.incident_rows() {
            if known.insert(row.id) {
                incidents.push(json!({
                    "told": told, "incident": row.id, "at": now.to_rfc3339(), "entity": row.entity,
                    "title": row.title, "findings": row.findings,
                }));
            }
        }
    }
    Watched {
        incidents,
        noticed,
        signals: feed.signals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_by_check_under_names_of_their_own() {
        let noticed = Noticed {
            last: 5,
            by_check: BTreeMap::from([(Check::LevelShift, 4), (Check::Drift, 1)]),
        };
        let scores = noticed.scores("day_of_everything_");
        let expected = super::super::named([
            ("day_of_everything_findings_drift", 1.0),
            ("day_of_everything_findings_level_shift", 4.0),
        ]);
        assert_eq!(scores, expected);
    }
}
