//! Simulated systems and faults, seeded, in virtual time: for the demo, tests and benches.
//!
//! [`Sim::advance`] moves to a time and returns the telemetry a team's tools would have sent;
//! [`Sim::act`] does what an executor asks. The truth — what was injected, where, when — is known,
//! and never part of the telemetry.

mod emit;
mod fault;
mod flow;
mod noise;
mod quirks;
mod scenario;
mod system;

use std::cmp::Ordering;

use serde::Serialize;
use thiserror::Error;

pub use fault::{Fault, FaultKind, Place};
pub use noise::Noise;
pub use scenario::{Scenario, UnknownScenario};
pub use system::{Dependency, Node, NodeKind, System};

use crate::model::{
    Batch, Change, ChangeKind, EntityId, EntityKind, Labels, Signal, SourceId, Time,
};
use emit::{Alerts, Logs, Metrics, Spans};
use flow::Flow;
use quirks::Quirks;

/// Time between samples when everything is emitted, in milliseconds.
pub const STEP_MS: i64 = 5_000;
/// Time between samples of the older history, in milliseconds.
const COARSE_STEP_MS: i64 = 60_000;
/// Requests traced a step.
const TRACES_PER_STEP: usize = 8;

/// How much lies before the start of the live part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Metrics only, at a coarse step, in milliseconds.
    pub coarse_ms: i64,
    /// Everything, at the full step, just before the start, in milliseconds.
    pub fine_ms: i64,
}

/// Whether ordinary days are odd in ordinary ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddities {
    /// Only noise and season.
    None,
    /// Also nightly jobs, deploys with counter resets, scrape gaps.
    Ordinary,
}

/// A running simulation.
#[derive(Clone, Debug)]
pub struct Sim {
    system: System,
    flow: Flow,
    faults: Vec<Fault>,
    /// The verb that healed each fault.
    cures: Vec<Option<&'static str>>,
    now: Time,
    start: Time,
    fine_from: Time,
    quirks: Quirks,
    versions: Vec<u32>,
    changes: Vec<Change>,
    metrics: Metrics,
    logs: Logs,
    spans: Spans,
    alerts: Alerts,
}

/// What was injected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The entity at fault.
    pub entity: EntityId,
    /// What was done to it.
    pub kind: FaultKind,
    /// When.
    pub at: Time,
    /// When the right action took hold, if one did.
    pub healed: Option<Time>,
}

/// Why an action did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ActionError {
    /// No such verb, or too few arguments.
    #[error("the simulated system does not know how to {0:?}")]
    Unknown(String),
    /// No such node or host.
    #[error("there is no {0:?} in the simulated system")]
    NoTarget(String),
    /// The version is not one it ever ran.
    #[error("{0} never ran version {1:?}")]
    NoVersion(String, String),
}

impl History {
    /// Enough for warm baselines, in about a second.
    pub const DEMO: Self = Self {
        coarse_ms: 3 * 86_400_000,
        fine_ms: 2 * 3_600_000,
    };
}

impl Sim {
    /// A simulation of `scenario` whose live part starts at `start`; history lies before.
    pub fn new(scenario: Scenario, seed: u64, start: Time) -> Self {
        let system = System::shop();
        let mut noise = Noise::new(seed, 9);
        let faults = scenario.faults(&system, start, &mut noise);
        let flow = Flow::new(&system, seed).with_noon_at(start);
        let mut sim = Self::flowing(
            flow,
            system,
            faults,
            History::DEMO,
            Oddities::None,
            seed,
            start,
        );
        sim.changes = history_of_deploys(&sim.system, seed, start);
        if scenario == Scenario::Storm {
            sim.with_unrelated_alerts()
        } else {
            sim
        }
    }

    /// A simulation of any system with any faults.
    pub fn of(
        system: System,
        faults: Vec<Fault>,
        history: History,
        oddities: Oddities,
        seed: u64,
        start: Time,
    ) -> Self {
        let flow = Flow::new(&system, seed);
        Self::flowing(flow, system, faults, history, oddities, seed, start)
    }

    fn flowing(
        mut flow: Flow,
        system: System,
        faults: Vec<Fault>,
        history: History,
        oddities: Oddities,
        seed: u64,
        start: Time,
    ) -> Self {
        let fine_from = start.plus_ms(-history.fine_ms);
        let begin = fine_from.plus_ms(-history.coarse_ms);
        let quirks = match oddities {
            Oddities::None => Quirks::none(&system),
            Oddities::Ordinary => Quirks::draw(&system, seed, begin, start),
        };
        for _ in 0..3 {
            flow.step(&system, &[], &quirks, begin, 60.0);
        }
        let versions: Vec<u32> = system.nodes.iter().map(|n| n.version).collect();
        let changes = quirks
            .deploys()
            .iter()
            .map(|&(at, i)| {
                deploy_change(
                    &system,
                    i,
                    ChangeKind::Deploy,
                    versions[i] - 1,
                    versions[i],
                    at,
                )
            })
            .collect();
        Self {
            cures: vec![None; faults.len()],
            metrics: Metrics::new(&system, seed),
            logs: Logs::new(&system, seed),
            spans: Spans::new(&system, seed),
            alerts: Alerts::new(&flow, seed),
            now: begin,
            start,
            fine_from,
            quirks,
            versions,
            changes,
            system,
            flow,
            faults,
        }
    }

    /// The system simulated.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// When the live part starts.
    pub fn start(&self) -> Time {
        self.start
    }

    /// Where the simulation is.
    pub fn now(&self) -> Time {
        self.now
    }

    /// What was injected, in order of time.
    pub fn truth(&self) -> Vec<Truth> {
        let mut truth: Vec<Truth> = self
            .faults
            .iter()
            .map(|f| Truth {
                entity: f.entity(&self.system),
                kind: f.kind,
                at: f.at,
                healed: f.healed,
            })
            .collect();
        truth.sort_by_key(|t| t.at);
        truth
    }

    /// Moves one step on, but never beyond `to`; returns what was told at the new time, or `None`
    /// when the next step would lie beyond `to`. Older history is coarse and has metrics only.
    pub fn advance(&mut self, to: Time) -> Option<Vec<Batch>> {
        let step_ms = if self.now < self.fine_from {
            COARSE_STEP_MS
        } else {
            STEP_MS
        };
        let next = self.now.plus_ms(step_ms);
        if next > to {
            return None;
        }
        self.now = next;
        let dt_s = step_ms as f64 / 1_000.0;
        self.flow
            .step(&self.system, &self.faults, &self.quirks, next, dt_s);
        let down = self.hosts_down();
        let mut batches = Vec::with_capacity(5);
        batches.extend(self.due_changes());
        batches.extend(self.metrics.emit(
            &self.system,
            &self.flow,
            &self.quirks,
            &down,
            next,
            dt_s,
        ));
        if step_ms == STEP_MS {
            batches.extend(
                self.spans
                    .emit(&self.system, &self.flow, TRACES_PER_STEP, next, dt_s),
            );
            batches.extend(
                self.logs
                    .emit(&self.system, &self.flow, &self.faults, next, dt_s),
            );
            batches.extend(self.alerts.emit(&self.system, &self.flow, &down, next));
        }
        Some(batches)
    }

    /// Does what a plan's step asks: a verb, a target and arguments. Returns what happened, in words.
    pub fn act(&mut self, argv: &[Box<str>]) -> Result<String, ActionError> {
        let words: Vec<&str> = argv.iter().map(|w| &**w).collect();
        match words[..] {
            ["rollback" | "deploy", target, version] => self.deploy(target, version),
            [
                "restart" | "raise-pool" | "clear-disk" | "warm-cache" | "reroute" | "replace-node",
                target,
            ] => self.cure(words[0], target),
            ["scale", target, delta] => self.scale(target, delta),
            ["lower-pool", target] => self.undo("raise-pool", target),
            ["unroute", target] => self.undo("reroute", target),
            _ => Err(ActionError::Unknown(words.join(" "))),
        }
    }

    /// Lets alerts flap that have nothing to do with any fault.
    #[must_use]
    pub fn with_unrelated_alerts(mut self) -> Self {
        self.alerts.unrelated = true;
        self
    }

    /// Whether a verb on a target heals some fault that is active now.
    pub fn would_heal(&self, argv: &[Box<str>]) -> bool {
        let [verb, target, ..] = argv else {
            return false;
        };
        self.faults
            .iter()
            .any(|f| f.is_active(self.now) && f.healed.is_none() && self.is_cure(f, verb, target))
    }

    fn is_cure(&self, fault: &Fault, verb: &str, target: &str) -> bool {
        let at_fault = fault.entity(&self.system);
        let aimed = EntityId::parse(target).name() == at_fault.name();
        // Calls to a slow outsider are rerouted at whoever calls it.
        let caller = fault.kind == FaultKind::DependencyLatency
            && matches!(fault.place, Place::Node(to) if self.system.dependencies.iter().any(|d| {
                d.to == to && self.system.nodes[d.from].name == EntityId::parse(target).name()
            }));
        fault.kind.cure().contains(&verb) && (aimed || caller)
    }

    fn cure(&mut self, verb: &str, target: &str) -> Result<String, ActionError> {
        let name = self.find(target)?;
        let now = self.now;
        let cured: Vec<usize> = (0..self.faults.len())
            .filter(|&i| self.faults[i].is_active(now) && self.faults[i].healed.is_none())
            .filter(|&i| self.is_cure(&self.faults[i], verb, &name))
            .collect();
        for i in cured {
            let fault = &mut self.faults[i];
            fault.healed = Some(now.plus_ms(STEP_MS));
            self.cures[i] = fault.kind.cure().iter().copied().find(|c| *c == verb);
        }
        Ok(format!("{verb} {name}: done"))
    }

    /// Takes back what `verb` did to a target. What it had healed strikes again.
    fn undo(&mut self, verb: &str, target: &str) -> Result<String, ActionError> {
        let name = self.find(target)?;
        for i in 0..self.faults.len() {
            let is_healer = self.faults[i].healed.is_some() && self.cures[i] == Some(verb);
            if is_healer && self.is_cure(&self.faults[i], verb, &name) {
                let fault = &mut self.faults[i];
                fault.healed = None;
                fault.returned = Some(self.now.plus_ms(STEP_MS));
            }
        }
        Ok(format!("{name}: undone"))
    }

    fn deploy(&mut self, target: &str, version: &str) -> Result<String, ActionError> {
        let name = self.find(target)?;
        let index = self
            .system
            .index(&name)
            .ok_or_else(|| ActionError::NoTarget(name.clone()))?;
        let wanted = version.trim_start_matches('v').parse::<u32>();
        let running = self.versions[index];
        let first = self.system.nodes[index].version;
        let Ok(wanted) = wanted.map_err(drop).and_then(|w| {
            if (first.saturating_sub(1)..=running.max(first + 1)).contains(&w) {
                Ok(w)
            } else {
                Err(())
            }
        }) else {
            return Err(ActionError::NoVersion(name, version.to_owned()));
        };
        let kind = if wanted < running {
            ChangeKind::Rollback
        } else {
            ChangeKind::Deploy
        };
        self.versions[index] = wanted;
        self.changes.push(deploy_change(
            &self.system,
            index,
            kind,
            running,
            wanted,
            // Whoever asked did so after the last step.
            self.now.plus_ms(STEP_MS),
        ));
        match wanted.cmp(&running) {
            Ordering::Less => self.cure("rollback", &name)?,
            Ordering::Greater => self.undo("rollback", &name)?,
            Ordering::Equal => String::new(),
        };
        Ok(format!("{name}: v{running} -> v{wanted}"))
    }

    fn scale(&mut self, target: &str, delta: &str) -> Result<String, ActionError> {
        let name = self.find(target)?;
        let index = self
            .system
            .index(&name)
            .ok_or_else(|| ActionError::NoTarget(name.clone()))?;
        let delta: i32 = delta
            .parse()
            .map_err(|_| ActionError::Unknown(format!("scale {name} by {delta}")))?;
        let node = &mut self.system.nodes[index];
        node.replicas = node.replicas.saturating_add_signed(delta).max(1);
        Ok(format!("{name}: {} replicas", node.replicas))
    }

    /// The bare name of a target that exists.
    fn find(&self, target: &str) -> Result<String, ActionError> {
        let name = EntityId::parse(target).name().to_owned();
        let known = self.system.index(&name).is_some() || self.system.hosts.contains(&name);
        if known {
            Ok(name)
        } else {
            Err(ActionError::NoTarget(target.to_owned()))
        }
    }

    fn hosts_down(&self) -> Vec<bool> {
        let is_down = |host: usize| {
            self.faults.iter().any(|f| {
                f.place == Place::Host(host)
                    && self.now >= f.at
                    && f.healed.is_none_or(|healed| self.now < healed)
            })
        };
        (0..self.system.hosts.len()).map(is_down).collect()
    }

    /// Deploys that took effect since the last step.
    fn due_changes(&mut self) -> Option<Batch> {
        let now = self.now;
        for fault in &self.faults {
            if let (FaultKind::BadDeploy, Place::Node(i)) = (fault.kind, fault.place)
                && self.versions[i] == self.system.nodes[i].version
                && fault.at <= now
                && fault.healed.is_none()
            {
                let from = self.versions[i];
                self.versions[i] = from + 1;
                let change = deploy_change(
                    &self.system,
                    i,
                    ChangeKind::Deploy,
                    from,
                    from + 1,
                    fault.at,
                );
                self.changes.push(change);
            }
        }
        let (due, later) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|c| c.at <= now);
        self.changes = later;
        let due: Vec<Change> = due;
        for change in &due {
            if let Some(index) = self.system.index(change.entity.name()) {
                self.metrics.reset(index);
            }
        }
        let signals: Vec<Signal> = due
            .into_iter()
            .map(|change| Signal::Change(Box::new(change)))
            .collect();
        (!signals.is_empty()).then(|| Batch {
            source: SourceId::new("sim-changes"),
            signals,
        })
    }
}

/// Harmless deploys in the hours before the start, so that "there was a deploy" proves nothing.
fn history_of_deploys(system: &System, seed: u64, start: Time) -> Vec<Change> {
    let mut noise = Noise::new(seed, 10);
    let services: Vec<usize> = (0..system.nodes.len())
        .filter(|&i| system.nodes[i].kind == NodeKind::Service)
        .collect();
    (0..6)
        .map(|_| {
            let index = services[noise.below(services.len())];
            let at = start.plus_ms(-(noise.between(0.25, 30.0) * 3_600_000.0) as i64);
            let version = system.nodes[index].version;
            deploy_change(system, index, ChangeKind::Deploy, version - 1, version, at)
        })
        .collect()
}

fn deploy_change(
    system: &System,
    index: usize,
    kind: ChangeKind,
    from: u32,
    to: u32,
    at: Time,
) -> Change {
    let name = &system.nodes[index].name;
    Change {
        id: format!("{name}-{to}-{}", at.ms()).into(),
        at,
        kind,
        entity: EntityId::new(EntityKind::Service, name),
        title: format!("{name} v{to}").into(),
        version: Some(format!("v{to}").into()),
        previous_version: Some(format!("v{from}").into()),
        by: Some("ci".into()),
        labels: Labels::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A working day at noon.
    const START: Time = Time::from_secs(1_768_392_000);

    fn words(argv: &[&str]) -> Vec<Box<str>> {
        argv.iter().map(|w| Box::from(*w)).collect()
    }

    fn run(sim: &mut Sim, to: Time) -> Vec<Batch> {
        std::iter::from_fn(|| sim.advance(to)).flatten().collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let tell = |seed| {
            let mut sim = Sim::new(Scenario::Storm, seed, START);
            sim.now = START.plus_ms(-60_000);
            serde_json::to_string(&run(&mut sim, START.plus_ms(120_000))).unwrap()
        };
        assert_eq!(tell(1), tell(1));
        assert_ne!(tell(1), tell(2));
    }

    #[test]
    fn only_the_right_action_heals() {
        let cases: [(Scenario, &[&str], &[&str]); 6] = [
            (
                Scenario::BadDeploy,
                &["rollback", "service/checkout", "v437"],
                &["restart", "checkout"],
            ),
            (
                Scenario::PoolExhaustion,
                &["restart", "payments"],
                &["restart", "checkout"],
            ),
            (
                Scenario::DiskFull,
                &["clear-disk", "pg-main"],
                &["restart", "pg-main"],
            ),
            (
                Scenario::CacheStampede,
                &["warm-cache", "cache"],
                &["scale", "catalogue", "+2"],
            ),
            (
                Scenario::DependencyLatency,
                &["reroute", "payments"],
                &["restart", "payments"],
            ),
            (
                Scenario::NodeLoss,
                &["replace-node", "host/node-2"],
                &["replace-node", "node-3"],
            ),
        ];
        for (scenario, right, wrong) in cases {
            let mut sim = Sim::new(scenario, 1, START);
            sim.now = START;
            run(&mut sim, START.plus_ms(180_000));
            sim.act(&words(wrong)).unwrap();
            assert_eq!(
                sim.truth()[0].healed,
                None,
                "{scenario}: {wrong:?} must not heal"
            );
            sim.act(&words(right)).unwrap();
            assert!(
                sim.truth()[0].healed.is_some(),
                "{scenario}: {right:?} must heal"
            );
            run(&mut sim, START.plus_ms(300_000));
            assert!(
                !sim.faults[0].is_active(sim.now()),
                "{scenario}: must be over"
            );
        }
    }

    #[test]
    fn what_healed_and_was_undone_hurts_again() {
        type Argv = &'static [&'static str];
        let cases: [(Scenario, Argv, Argv, bool); 4] = [
            (
                Scenario::BadDeploy,
                &["rollback", "checkout", "v437"],
                &["deploy", "checkout", "v438"],
                true,
            ),
            (
                Scenario::PoolExhaustion,
                &["raise-pool", "payments"],
                &["lower-pool", "payments"],
                true,
            ),
            (
                Scenario::PoolExhaustion,
                &["restart", "payments"],
                &["lower-pool", "payments"],
                false,
            ),
            (
                Scenario::DependencyLatency,
                &["reroute", "payments"],
                &["unroute", "payments"],
                true,
            ),
        ];
        for (scenario, right, undo, returns) in cases {
            let mut sim = Sim::new(scenario, 1, START);
            sim.now = START;
            run(&mut sim, START.plus_ms(180_000));
            let began = sim.truth()[0].at;
            sim.act(&words(right)).unwrap();
            run(&mut sim, START.plus_ms(300_000));
            sim.act(&words(undo)).unwrap();
            run(&mut sim, START.plus_ms(330_000));
            assert_eq!(sim.faults[0].is_active(sim.now()), returns, "{undo:?}");
            assert_eq!(sim.truth()[0].healed.is_none(), returns, "{undo:?}");
            assert_eq!(sim.truth()[0].at, began, "{undo:?}");
            sim.act(&words(right)).unwrap();
            run(&mut sim, START.plus_ms(450_000));
            assert!(!sim.faults[0].is_active(sim.now()), "{right:?} heals again");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let mut sim = Sim::new(Scenario::Quiet, 1, START);
        let cases: [(&[&str], ActionError); 3] = [
            (
                &["explode", "cart"],
                ActionError::Unknown("explode cart".to_owned()),
            ),
            (
                &["restart", "nowhere"],
                ActionError::NoTarget("nowhere".to_owned()),
            ),
            (
                &["rollback", "cart", "v9"],
                ActionError::NoVersion("cart".to_owned(), "v9".to_owned()),
            ),
        ];
        for (argv, refusal) in cases {
            assert_eq!(sim.act(&words(argv)), Err(refusal));
        }
    }
}
