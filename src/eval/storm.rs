//! Suite `storm`: are unlike alerts of one cause one incident, and two faults two?
//!
//! Each case is a generated system with one to three overlapping faults that propagate along the
//! dependencies, with flapping, duplicate, late and unrelated alerts. Faults overlap in time and in
//! place: what one of them hurts is, or calls, what another hurts. Faults that never meet any
//! grouping by topology tells apart, and one that no rule notices makes no storm; neither is drawn.
//!
//! Which fault an alert belongs to is known by counterfactual: each fault is also simulated alone, and
//! an alert that fires there, about something that alerts in no other of those runs, is that fault's.
//! Alerts about what several faults hurt, or of none alone, are not scored; unrelated ones are causes
//! of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use super::Report;
use super::drive::{Feed, placed_config};
use crate::engine::Engine;
use crate::model::{
    Alert, AlertRow, Batch, EntityId, Fingerprint, IncidentId, IncidentRow, Signal, Time,
};
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
/// Suspects written down for each incident.
const HYPOTHESES_SHOWN: usize = 3;
/// Most rows of alerts read from the engine.
const ALERT_ROWS_MAX: usize = 100_000;

/// Fewest alerts of a fault about what no other fault hurts.
const FAULT_ALERTS_MIN: usize = 4;
/// The largest fault of a case has at most this many times the alerts of the smallest: pairs of alerts
/// hardly count what is smaller still.
const EXTENT_RATIO_MAX: usize = 4;
/// Faults refused in a row after which the one before them gives way.
const REFUSED_MAX: usize = 12;
/// Faults drawn for a case before it is left with those that overlap.
const DRAWS_MAX: usize = 100;

/// One simulated storm with its truth.
struct Case {
    system: System,
    storms: Vec<Storm>,
    seed: u64,
}

/// One fault, with what the rules say when there is no other.
struct Storm {
    fault: Fault,
    alone: Told,
}

impl Storm {
    /// What it hurts when there is no other.
    fn hurt(&self) -> BTreeSet<usize> {
        self.alone.values().filter_map(|tale| tale.node).collect()
    }
}

/// Alerts told by a run.
type Told = BTreeMap<Fingerprint, Tale>;

/// What is known of one alert.
struct Tale {
    /// Its first start.
    at: Time,
    /// Its name.
    name: String,
    /// The node it is about, if it is about one.
    node: Option<usize>,
}

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
    unnamed: usize,
}

/// Runs the suite on systems of `services` services.
pub fn run(seed: u64, services: usize) -> Report {
    run_cases(seed, CASES, services)
}

/// Runs so many cases of it.
pub fn run_cases(seed: u64, cases: u64, services: usize) -> Report {
    let mut tallies = Vec::new();
    let mut per_case = Vec::new();
    let mut seconds = 0.0;
    for n in 0..cases {
        let case = Case::draw(seed.wrapping_mul(1_000) + n, services);
        let (tally, groups, spent) = case.score();
        seconds += spent;
        per_case.push(json!({
            "seed": case.seed,
            "faults": case.faults(),
            "pairwise_f1": tally.f1, "ari": tally.ari,
            "time_only_f1": tally.time_only_f1, "topology_only_f1": tally.topology_only_f1,
            "incidents": tally.incidents, "alerts": tally.episodes, "faults_hidden": tally.hidden,
            "faults_unnamed": tally.unnamed, "groups": groups,
        }));
        tallies.push(tally);
    }
    let mean =
        |value: fn(&Tally) -> f64| tallies.iter().map(value).sum::<f64>() / tallies.len() as f64;
    let total = |value: fn(&Tally) -> usize| tallies.iter().map(value).sum::<usize>() as f64;
    Report {
        suite: "storm",
        cases: tallies.len(),
        score: super::named([
            ("pairwise_f1", mean(|t| t.f1)),
            ("ari", mean(|t| t.ari)),
            ("time_only_f1", mean(|t| t.time_only_f1)),
            ("topology_only_f1", mean(|t| t.topology_only_f1)),
            (
                "noise_reduction",
                1.0 - total(|t| t.incidents) / total(|t| t.episodes).max(1.0),
            ),
            ("faults_hidden", total(|t| t.hidden)),
            ("faults_unnamed", total(|t| t.unnamed)),
        ]),
        per_case,
        seconds,
    }
}

impl Case {
    /// One to three faults in a generated system. One so large that nothing else is left to be told apart
    /// from it is dropped again, when others are wanted.
    fn draw(seed: u64, services: usize) -> Self {
        let mut noise = Noise::new(seed, 20);
        let count = 1 + noise.below(3);
        let mut case = Self {
            system: System::generated(services, seed),
            storms: Vec::with_capacity(count),
            seed,
        };
        let map = Map::of(&case.system);
        let mut refused = 0;
        for _ in 0..DRAWS_MAX {
            if case.storms.len() == count {
                break;
            }
            let (kind, place) = draw_fault(&case.system, &mut noise);
            let after_ms = 40_000.0 + noise.between(0.0, 90_000.0);
            let fault = Fault {
                kind,
                place,
                at: START.plus_ms(after_ms as i64),
                strength: noise.between(0.8, 1.3),
                healed: None,
                returned: None,
            };
            if case.storms.iter().any(|other| other.fault.place == place) {
                continue;
            }
            let alone = told_by(case.sim(vec![fault.clone()]), &map);
            case.storms.push(Storm { fault, alone });
            if case.is_a_storm(&map) {
                refused = 0;
                continue;
            }
            case.storms.pop();
            refused += 1;
            if refused == REFUSED_MAX {
                refused = 0;
                case.storms.pop();
            }
        }
        case
    }

    /// Whether its faults meet, and each keeps alerts of its own that can be told from those of the others.
    fn is_a_storm(&self, map: &Map) -> bool {
        let Some((newest, before)) = self.storms.split_last() else {
            return false;
        };
        let mut others = before.iter();
        let meets = before.is_empty() || others.any(|other| map.meet(&other.alone, &newest.alone));
        let own = self.own_alerts();
        let fewest = own.iter().min().copied().unwrap_or(0);
        let most = own.iter().max().copied().unwrap_or(0);
        meets && fewest >= FAULT_ALERTS_MIN && fewest * EXTENT_RATIO_MAX >= most
    }

    /// How many alerts each fault has about what no other fault hurts.
    fn own_alerts(&self) -> Vec<usize> {
        let hurt: Vec<BTreeSet<usize>> = self.storms.iter().map(Storm::hurt).collect();
        let is_shared = |of: usize, node: usize| {
            let mut others = hurt.iter().enumerate().filter(|(at, _)| *at != of);
            others.any(|(_, hurt)| hurt.contains(&node))
        };
        let count = |(at, storm): (usize, &Storm)| {
            let nodes = storm.alone.values().filter_map(|tale| tale.node);
            nodes.filter(|node| !is_shared(at, *node)).count()
        };
        self.storms.iter().enumerate().map(count).collect()
    }

    fn faults(&self) -> Vec<Value> {
        let tell = |storm: &Storm| {
            let fault = &storm.fault;
            json!({"kind": fault.kind, "entity": fault.entity(&self.system), "alerts": storm.alone.len()})
        };
        self.storms.iter().map(tell).collect()
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
        let map = Map::of(&self.system);
        let faults = self
            .storms
            .iter()
            .map(|storm| storm.fault.clone())
            .collect();
        let mut told = Told::new();
        let mut feed = Feed::new(Engine::new(placed_config(&self.system), Vec::new()));
        let mut sim = self.sim(faults).with_unrelated_alerts();
        let mut delivery = Delivery::new(self.seed);
        let mut episodes = BTreeSet::new();
        let started = Instant::now();
        while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
            let now = sim.now();
            for batch in batches {
                note_alerts(&batch, &map, &mut told, &mut episodes);
                for delivered in delivery.deliver(batch, now) {
                    feed.signals(now, delivered);
                }
            }
            feed.tick(now);
        }
        let spent = started.elapsed().as_secs_f64();
        let rows = feed.engine.alerts(None, ALERT_ROWS_MAX, None);
        let truth = self.truth_of(&told);
        let incidents = feed.engine.incident_rows().count();
        let tally = Tally {
            incidents,
            episodes: episodes.len(),
            hidden: hidden(&truth, &rows, self.storms.len()),
            unnamed: self.unnamed(&feed.engine),
            ..compare(&map, &truth, &rows, &told)
        };
        (tally, groups(&feed.engine, &truth, &rows), spent)
    }

    /// Faults whose place is the first suspect of no incident: whoever reads all incidents does not read of them.
    fn unnamed(&self, engine: &Engine) -> usize {
        let rows: Vec<_> = engine.incident_rows().collect();
        let suspects: BTreeSet<&EntityId> = rows.iter().filter_map(suspected).collect();
        let places = self
            .storms
            .iter()
            .map(|storm| storm.fault.entity(&self.system));
        places.filter(|place| !suspects.contains(place)).count()
    }

    /// The cause of each alert about something that only one fault hurts: to which of two incidents a
    /// shared victim is counted is a matter of taste.
    fn truth_of(&self, told: &Told) -> BTreeMap<Fingerprint, usize> {
        const UNRELATED: [&str; 3] = ["BackupLate", "CertExpiresSoon", "SpotPriceHigh"];
        let hurts = |storm: &Storm, node: usize| storm.alone.values().any(|t| t.node == Some(node));
        let mut truth = BTreeMap::new();
        for (fingerprint, tale) in told {
            if let Some(own) = UNRELATED.iter().position(|u| *u == tale.name) {
                truth.insert(*fingerprint, self.storms.len() + own);
                continue;
            }
            let Some(node) = tale.node else {
                continue;
            };
            let by = (0..self.storms.len()).filter(|i| hurts(&self.storms[*i], node));
            if let [cause] = by.collect::<Vec<_>>()[..]
                && self.storms[cause].alone.contains_key(fingerprint)
            {
                truth.insert(*fingerprint, cause);
            }
        }
        truth
    }
}

/// Who depends on whom, as a grouping by topology alone would know it: services, and the hosts that
/// carry them.
struct Map {
    names: Vec<String>,
    edges: Vec<(usize, usize)>,
}

impl Map {
    fn of(system: &System) -> Self {
        let mut names: Vec<String> = system.nodes.iter().map(|n| n.name.clone()).collect();
        names.extend(system.hosts.iter().cloned());
        let at = |name: &str| names.iter().position(|n| n == name);
        let placed = system
            .placements()
            .filter_map(|(service, host)| Some((at(service)?, at(host)?)));
        let called = system.dependencies.iter().map(|d| (d.from, d.to));
        let edges = called.chain(placed).collect();
        Self { names, edges }
    }

    fn place(&self, alert: &Alert) -> Option<usize> {
        let name = alert
            .labels
            .get("service")
            .or_else(|| alert.labels.get("host"))?;
        self.names.iter().position(|n| n == name)
    }

    /// Whether something that alerts in one is, or depends on, something that alerts in the other.
    fn meet(&self, one: &Told, other: &Told) -> bool {
        let places =
            |told: &Told| -> BTreeSet<usize> { told.values().filter_map(|t| t.node).collect() };
        let (one, other) = (places(one), places(other));
        let crosses = |(from, to): &(usize, usize)| {
            (one.contains(from) && other.contains(to)) || (other.contains(from) && one.contains(to))
        };
        !one.is_disjoint(&other) || self.edges.iter().any(crosses)
    }

    /// Groups alerts whose entities are connected through entities that also alert.
    fn groups(&self, told: &Told) -> BTreeMap<Fingerprint, usize> {
        let alerting: BTreeSet<usize> = told.values().filter_map(|tale| tale.node).collect();
        let mut group: Vec<usize> = (0..self.names.len()).collect();
        loop {
            let before = group.clone();
            for &(from, to) in &self.edges {
                if alerting.contains(&from) && alerting.contains(&to) {
                    let low = group[from].min(group[to]);
                    group[from] = low;
                    group[to] = low;
                }
            }
            if group == before {
                break;
            }
        }
        let nowhere = self.names.len();
        told.iter()
            .enumerate()
            .map(|(i, (fingerprint, tale))| {
                (*fingerprint, tale.node.map_or(nowhere + i, |n| group[n]))
            })
            .collect()
    }
}

fn compare(
    map: &Map,
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
        topology_only_f1: pairwise_f1(&truth_labels, &labels(&map.groups(told))),
        ..Tally::default()
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

fn note_alerts(
    batch: &Batch,
    map: &Map,
    told: &mut Told,
    episodes: &mut BTreeSet<(Fingerprint, Time)>,
) {
    for signal in &batch.signals {
        if let Signal::Alert(alert) = signal {
            episodes.insert((alert.fingerprint, alert.starts_at));
            told.entry(alert.fingerprint).or_insert_with(|| Tale {
                at: alert.starts_at,
                name: alert.name().to_owned(),
                node: map.place(alert),
            });
        }
    }
}

/// Every alert a run tells.
fn told_by(mut sim: Sim, map: &Map) -> Told {
    let mut told = Told::new();
    while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
        for batch in &batches {
            note_alerts(batch, map, &mut told, &mut BTreeSet::new());
        }
    }
    told
}

/// Groups alerts by gaps in time.
fn by_time(told: &Told) -> BTreeMap<Fingerprint, usize> {
    let mut by_start: Vec<(Time, Fingerprint)> =
        told.iter().map(|(f, tale)| (tale.at, *f)).collect();
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

/// The place that an incident suspects first.
fn suspected(row: &IncidentRow) -> Option<&EntityId> {
    row.suspect.as_ref().map(|(suspect, _)| suspect)
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
                "suspect": suspected(&incident),
                "hypotheses": engine.incident(incident.id).map(|i| {
                    i.diagnosis.hypotheses.iter().take(HYPOTHESES_SHOWN).collect::<Vec<_>>()
                }),
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
    fn faults_of_a_case_tell_alerts_and_meet() {
        let case = (0..20)
            .map(|seed| Case::draw(seed, 40))
            .find(|case| case.storms.len() > 1)
            .expect("two in three cases have more than one fault");
        let map = Map::of(&case.system);
        let [one, other, ..] = &case.storms[..] else {
            panic!("more than one fault")
        };
        assert!(one.alone.len().min(other.alone.len()) >= FAULT_ALERTS_MIN);
        assert!(map.meet(&one.alone, &other.alone));
        let both: Told = one
            .alone
            .iter()
            .chain(&other.alone)
            .map(|(f, tale)| {
                (
                    *f,
                    Tale {
                        name: tale.name.clone(),
                        ..*tale
                    },
                )
            })
            .collect();
        let groups: BTreeSet<usize> = map.groups(&both).into_values().collect();
        assert_eq!(groups.len(), 1, "nothing but topology: one group");
    }
}
