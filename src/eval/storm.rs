//! Suite `storm`: are unlike alerts of one cause one incident, and two faults two?
//!
//! Each case is a generated system with one to three overlapping faults that propagate along the
//! dependencies, with flapping, duplicate, late and unrelated alerts. Which fault an alert belongs to
//! is known by counterfactual: each fault is also simulated alone, and an alert that fires in exactly
//! one of those runs is that fault's. Alerts of several faults at once, or of none alone, are not
//! scored; unrelated ones are causes of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use super::Report;
use super::drive::{Feed, placed_config};
use crate::engine::Engine;
use crate::model::{AlertRow, Batch, EntityId, Fingerprint, IncidentId, Signal, Time};
use crate::sim::{Fault, FaultKind, History, NodeKind, Noise, Oddities, Place, Sim, System};

/// Cases a run.
const CASES: u64 = 12;
/// How long a case lasts, in milliseconds.
const LIVE_MS: i64 = 8 * 60_000;
/// History before each case.
const HISTORY: History = History {
    coarse_ms: 86_400_000,
    fine_ms: 1_800_000,
};
/// 2026-01-14T12:00:00Z.
const START: Time = Time::from_secs(1_768_392_000);
/// Alerts closer than this belong together when only time counts, in milliseconds.
const TIME_ONLY_GAP_MS: i64 = 120_000;
/// Share of notifications delivered twice.
const DUPLICATES: f64 = 0.2;
/// Share of notifications delivered late.
const LATE: f64 = 0.1;
/// Most rows of alerts read from the engine.
const ALERT_ROWS_MAX: usize = 100_000;

/// One simulated storm with its truth.
struct Case {
    system: System,
    faults: Vec<Fault>,
    seed: u64,
}

/// Alerts told by a run, with their first start.
type Told = BTreeMap<Fingerprint, (Time, String)>;

/// What was counted in one case.
#[derive(Clone, Copy, Default)]
struct Tally {
    f1: f64,
    ari: f64,
    time_only_f1: f64,
    topology_only_f1: f64,
    incidents: usize,
    episodes: usize,
    hidden: usize,
}

/// Runs the suite on systems of `services` services.
pub fn run(seed: u64, services: usize) -> Report {
    let mut tallies = Vec::new();
    let mut per_case = Vec::new();
    let mut seconds = 0.0;
    for n in 0..CASES {
        let case = Case::draw(seed.wrapping_mul(1_000) + n, services);
        let (tally, groups, spent) = case.score();
        seconds += spent;
        per_case.push(json!({
            "seed": case.seed,
            "faults": case.faults.iter().map(|f| json!({"kind": f.kind, "entity": f.entity(&case.system)})).collect::<Vec<_>>(),
            "pairwise_f1": tally.f1, "ari": tally.ari,
            "time_only_f1": tally.time_only_f1, "topology_only_f1": tally.topology_only_f1,
            "incidents": tally.incidents, "alerts": tally.episodes, "faults_hidden": tally.hidden,
            "groups": groups,
        }));
        tallies.push(tally);
    }
    let mean =
        |value: fn(&Tally) -> f64| tallies.iter().map(value).sum::<f64>() / tallies.len() as f64;
    let total = |value: fn(&Tally) -> usize| tallies.iter().map(value).sum::<usize>() as f64;
    Report {
        suite: "storm",
        cases: tallies.len(),
        score: BTreeMap::from([
            ("pairwise_f1", mean(|t| t.f1)),
            ("ari", mean(|t| t.ari)),
            ("time_only_f1", mean(|t| t.time_only_f1)),
            ("topology_only_f1", mean(|t| t.topology_only_f1)),
            (
                "noise_reduction",
                1.0 - total(|t| t.incidents) / total(|t| t.episodes).max(1.0),
            ),
            ("faults_hidden", total(|t| t.hidden)),
        ]),
        per_case,
        seconds,
    }
}

impl Case {
    /// One to three faults in a generated system.
    fn draw(seed: u64, services: usize) -> Self {
        let system = System::generated(services, seed);
        let mut noise = Noise::new(seed, 20);
        let count = 1 + noise.below(3);
        let mut faults: Vec<Fault> = Vec::new();
        while faults.len() < count {
            let (kind, place) = draw_fault(&system, &mut noise);
            if faults.iter().any(|f| f.place == place) {
                continue;
            }
            let after_ms = 40_000.0 + noise.between(0.0, 90_000.0);
            let strength = noise.between(0.8, 1.3);
            faults.push(Fault {
                kind,
                place,
                at: START.plus_ms(after_ms as i64),
                strength,
                healed: None,
            });
        }
        Self {
            system,
            faults,
            seed,
        }
    }

    fn sim(&self, faults: Vec<Fault>) -> Sim {
        Sim::of(
            self.system.clone(),
            faults,
            HISTORY,
            Oddities::None,
            self.seed,
            START,
        )
    }

    fn score(&self) -> (Tally, Vec<Value>, f64) {
        let alone: Vec<BTreeSet<Fingerprint>> = self
            .faults
            .iter()
            .map(|fault| told_by(self.sim(vec![fault.clone()])).into_keys().collect())
            .collect();
        let mut told = Told::new();
        let mut feed = Feed::new(Engine::new(placed_config(&self.system), Vec::new()));
        let mut sim = self.sim(self.faults.clone()).with_unrelated_alerts();
        let mut delivery = Delivery::new(self.seed);
        let mut episodes = BTreeSet::new();
        let started = Instant::now();
        while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
            let now = sim.now();
            for batch in batches {
                note_alerts(&batch, &mut told, &mut episodes);
                for delivered in delivery.deliver(batch, now) {
                    feed.signals(now, delivered);
                }
            }
            feed.tick(now);
        }
        let spent = started.elapsed().as_secs_f64();
        let rows = feed.engine.alerts(None, ALERT_ROWS_MAX, None);
        let truth = truth_of(&told, &alone);
        let incidents = feed.engine.incident_rows().count();
        let tally = Tally {
            incidents,
            episodes: episodes.len(),
            hidden: hidden(&truth, &rows, alone.len()),
            ..self.compare(&truth, &rows, &told)
        };
        (tally, groups(&feed.engine, &truth, &rows), spent)
    }

    fn compare(
        &self,
        truth: &BTreeMap<Fingerprint, usize>,
        rows: &[AlertRow],
        told: &Told,
    ) -> Tally {
        let mut alone = usize::MAX;
        let engine: BTreeMap<Fingerprint, usize> = rows
            .iter()
            .map(|row| {
                alone -= 1;
                (
                    row.fingerprint,
                    row.incident.map_or(alone, |IncidentId(id)| id as usize),
                )
            })
            .collect();
        let truth_labels: Vec<usize> = truth.values().copied().collect();
        let labels = |of: &BTreeMap<Fingerprint, usize>| -> Vec<usize> {
            truth
                .keys()
                .enumerate()
                .map(|(i, f)| of.get(f).copied().unwrap_or(usize::MAX / 2 - i))
                .collect()
        };
        let engine = labels(&engine);
        Tally {
            f1: pairwise_f1(&truth_labels, &engine),
            ari: adjusted_rand(&truth_labels, &engine),
            time_only_f1: pairwise_f1(&truth_labels, &labels(&by_time(told))),
            topology_only_f1: pairwise_f1(&truth_labels, &labels(&self.by_topology(rows))),
            ..Tally::default()
        }
    }

    /// Groups alerts whose entities are connected through entities that also alert.
    fn by_topology(&self, rows: &[AlertRow]) -> BTreeMap<Fingerprint, usize> {
        let names: Vec<&str> = self.system.nodes.iter().map(|n| n.name.as_str()).collect();
        let place = |entity: &EntityId| names.iter().position(|n| *n == entity.name());
        let alerting: BTreeSet<usize> = rows.iter().filter_map(|row| place(&row.entity)).collect();
        let mut group: Vec<usize> = (0..names.len()).collect();
        loop {
            let before = group.clone();
            for d in &self.system.dependencies {
                if alerting.contains(&d.from) && alerting.contains(&d.to) {
                    let low = group[d.from].min(group[d.to]);
                    group[d.from] = low;
                    group[d.to] = low;
                }
            }
            if group == before {
                break;
            }
        }
        rows.iter()
            .enumerate()
            .map(|(i, row)| {
                (
                    row.fingerprint,
                    place(&row.entity).map_or(names.len() + i, |p| group[p]),
                )
            })
            .collect()
    }
}

/// Delivers some notifications twice and some late.
struct Delivery {
    noise: Noise,
    held: Vec<(Time, Batch)>,
}

impl Delivery {
    fn new(seed: u64) -> Self {
        Self {
            noise: Noise::new(seed, 21),
            held: Vec::new(),
        }
    }

    fn deliver(&mut self, batch: Batch, now: Time) -> Vec<Batch> {
        if !batch.signals.iter().any(|s| matches!(s, Signal::Alert(_))) {
            return vec![batch];
        }
        let (due, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.held = held;
        let mut out: Vec<Batch> = Vec::from_iter(due)
            .into_iter()
            .map(|(_, b): (Time, Batch)| b)
            .collect();
        let mut punctual = Batch {
            source: batch.source.clone(),
            signals: Vec::new(),
        };
        for signal in batch.signals {
            let one = Batch {
                source: batch.source.clone(),
                signals: vec![signal.clone()],
            };
            if self.noise.chance(LATE) {
                let late_ms = self.noise.between(15_000.0, 60_000.0) as i64;
                self.held.push((now.plus_ms(late_ms), one));
                continue;
            }
            if self.noise.chance(DUPLICATES) {
                out.push(one);
            }
            punctual.signals.push(signal);
        }
        out.push(punctual);
        out
    }
}

fn draw_fault(system: &System, noise: &mut Noise) -> (FaultKind, Place) {
    let any = |noise: &mut Noise, fits: &dyn Fn(usize) -> bool| {
        let fitting: Vec<usize> = (0..system.nodes.len()).filter(|&i| fits(i)).collect();
        fitting[noise.below(fitting.len())]
    };
    let kind_is = |kind: NodeKind| move |i: usize| system.nodes[i].kind == kind;
    match noise.below(5) {
        0 => (
            FaultKind::BadDeploy,
            Place::Node(any(noise, &kind_is(NodeKind::Service))),
        ),
        1 => (
            FaultKind::PoolExhaustion,
            Place::Node(any(noise, &|i| system.nodes[i].pool.is_some())),
        ),
        2 => (
            FaultKind::DiskFull,
            Place::Node(any(noise, &|i| system.nodes[i].disk.is_some())),
        ),
        3 => (
            FaultKind::DependencyLatency,
            Place::Node(any(noise, &kind_is(NodeKind::Database))),
        ),
        _ => (
            FaultKind::NodeLoss,
            Place::Host(noise.below(system.hosts.len())),
        ),
    }
}

fn note_alerts(batch: &Batch, told: &mut Told, episodes: &mut BTreeSet<(Fingerprint, Time)>) {
    for signal in &batch.signals {
        if let Signal::Alert(alert) = signal {
            episodes.insert((alert.fingerprint, alert.starts_at));
            told.entry(alert.fingerprint)
                .or_insert_with(|| (alert.starts_at, alert.name().to_owned()));
        }
    }
}

/// Every alert a run tells.
fn told_by(mut sim: Sim) -> Told {
    let mut told = Told::new();
    while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
        for batch in &batches {
            note_alerts(batch, &mut told, &mut BTreeSet::new());
        }
    }
    told
}

/// The cause of each alert that has exactly one.
fn truth_of(told: &Told, alone: &[BTreeSet<Fingerprint>]) -> BTreeMap<Fingerprint, usize> {
    const UNRELATED: [&str; 3] = ["BackupLate", "CertExpiresSoon", "SpotPriceHigh"];
    let mut truth = BTreeMap::new();
    for (fingerprint, (_, name)) in told {
        let causes: Vec<usize> = (0..alone.len())
            .filter(|&i| alone[i].contains(fingerprint))
            .collect();
        match (UNRELATED.iter().position(|u| u == name), causes[..].len()) {
            (Some(own), _) => truth.insert(*fingerprint, alone.len() + own),
            (None, 1) => truth.insert(*fingerprint, causes[0]),
            _ => None,
        };
    }
    truth
}

/// Groups alerts by gaps in time.
fn by_time(told: &Told) -> BTreeMap<Fingerprint, usize> {
    let mut by_start: Vec<(Time, Fingerprint)> =
        told.iter().map(|(f, (at, _))| (*at, *f)).collect();
    by_start.sort_unstable();
    let (mut group, mut last) = (0, None);
    by_start
        .into_iter()
        .map(|(at, fingerprint)| {
            if last.is_some_and(|last| at.since(last) > TIME_ONLY_GAP_MS) {
                group += 1;
            }
            last = Some(at);
            (fingerprint, group)
        })
        .collect()
}

/// Every incident with the causes of its alerts and why its entities are one.
fn groups(engine: &Engine, truth: &BTreeMap<Fingerprint, usize>, rows: &[AlertRow]) -> Vec<Value> {
    engine
        .incident_rows()
        .map(|incident| {
            let mut causes: BTreeMap<String, usize> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.incident == Some(incident.id)) {
                let cause = truth
                    .get(&row.fingerprint)
                    .map_or_else(|| "several or none".to_owned(), ToString::to_string);
                *causes.entry(cause).or_default() += 1;
            }
            json!({
                "incident": incident.id, "title": incident.title, "causes": causes,
                "grouping": engine.incident(incident.id).map(|i| &i.grouping),
            })
        })
        .collect()
}

/// Faults whose alerts are in no incident, or only in one where another fault has more.
fn hidden(truth: &BTreeMap<Fingerprint, usize>, rows: &[AlertRow], faults: usize) -> usize {
    let mut share: BTreeMap<IncidentId, BTreeMap<usize, usize>> = BTreeMap::new();
    for row in rows {
        if let (Some(incident), Some(&cause)) = (row.incident, truth.get(&row.fingerprint)) {
            *share.entry(incident).or_default().entry(cause).or_default() += 1;
        }
    }
    let alerts_of = |fault: usize| truth.values().filter(|cause| **cause == fault).count();
    let leads = |fault: usize| {
        share.values().any(|causes| {
            let own = causes.get(&fault).copied().unwrap_or(0);
            own > 0 && causes.values().all(|count| *count <= own)
        })
    };
    (0..faults)
        .filter(|&fault| alerts_of(fault) > 0 && !leads(fault))
        .count()
}

/// Number of pairs in groups of the given sizes.
fn pairs(sizes: impl Iterator<Item = usize>) -> f64 {
    sizes.map(|n| n as f64 * (n as f64 - 1.0) / 2.0).sum()
}

/// Pairs together in truth, in the guess, and in both.
fn pair_counts(truth: &[usize], guess: &[usize]) -> (f64, f64, f64) {
    let (mut t, mut g, mut both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (a, b) in truth.iter().zip(guess) {
        *t.entry(a).or_insert(0_usize) += 1;
        *g.entry(b).or_insert(0_usize) += 1;
        *both.entry((a, b)).or_insert(0_usize) += 1;
    }
    (
        pairs(t.into_values()),
        pairs(g.into_values()),
        pairs(both.into_values()),
    )
}

/// F1 over pairs that belong together; 1 when there is none to find and none was claimed.
fn pairwise_f1(truth: &[usize], guess: &[usize]) -> f64 {
    let (t, g, both) = pair_counts(truth, guess);
    if t + g == 0.0 {
        1.0
    } else {
        2.0 * both / (t + g)
    }
}

/// Adjusted Rand index (Hubert and Arabie 1985).
fn adjusted_rand(truth: &[usize], guess: &[usize]) -> f64 {
    let (t, g, both) = pair_counts(truth, guess);
    let all = pairs(std::iter::once(truth.len())).max(1.0);
    let (expected, most) = (t * g / all, 0.5 * (t + g));
    if (most - expected).abs() < f64::EPSILON {
        1.0
    } else {
        (both - expected) / (most - expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_known_groupings() {
        let truth = [0, 0, 0, 1, 1, 2];
        let cases: [(&[usize], f64, f64); 3] = [
            (&[5, 5, 5, 7, 7, 9], 1.0, 1.0),
            (&[1, 1, 1, 1, 1, 1], 2.0 * 4.0 / 19.0, 0.0),
            (&[1, 2, 3, 4, 5, 6], 0.0, 0.0),
        ];
        for (guess, f1, ari) in cases {
            assert!((pairwise_f1(&truth, guess) - f1).abs() < 1e-9, "{guess:?}");
            assert!(
                (adjusted_rand(&truth, guess) - ari).abs() < 1e-9,
                "{guess:?}"
            );
        }
    }

    #[test]
    fn every_fault_drawn_tells_alerts_of_its_own() {
        let case = Case::draw(3, 40);
        let alone: Vec<BTreeSet<Fingerprint>> = case
            .faults
            .iter()
            .map(|f| told_by(case.sim(vec![f.clone()])).into_keys().collect())
            .collect();
        assert!(
            alone.iter().any(|alerts| !alerts.is_empty()),
            "{:?}",
            case.faults
        );
    }
}
