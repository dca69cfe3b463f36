//! How load flows down the dependencies, and how slowness and failure flow back up.

use super::fault::{Fault, Strain};
use super::noise::Noise;
use super::quirks::Quirks;
use super::system::{NodeKind, System};
use crate::model::Time;

/// Callers give up on one call after this long, in milliseconds.
const CALL_TIMEOUT_MS: f64 = 3_000.0;
/// Share of failed calls that are tried again.
const RETRIED: f64 = 0.5;
/// Share of a pool in use at the daily mean.
const POOL_BASE: f64 = 0.32;
/// Usual share of cache hits.
const HIT_RATIO: f64 = 0.94;
/// How strongly the load noise of one tick carries over to the next, per second.
const LOAD_NOISE_DECAY_PER_S: f64 = 0.02;
const LOAD_NOISE: f64 = 0.03;

const DAY_MS: i64 = 86_400_000;
/// Load on a weekend, of that on a working day.
const WEEKEND_SHARE: f64 = 0.8;
/// 1970-01-07T12:00:00Z, noon of a Wednesday.
const NOON_MS: i64 = 6 * DAY_MS + DAY_MS / 2;

/// A node at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeState {
    /// Requests per second offered to it.
    pub rps: f64,
    /// Share of them that fail.
    pub errors: f64,
    /// Median time to serve, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of it, in milliseconds.
    pub p99_ms: f64,
    /// Own part of the median, in milliseconds.
    pub self_ms: f64,
    /// Own share of failures, without those of its dependencies.
    pub self_errors: f64,
    /// Load over capacity; may pass 1.
    pub utilisation: f64,
    /// Share of its pool in use, 0 to 1.
    pub pool: f64,
    /// Share of its disk in use, 0 to 1.
    pub disk: f64,
    /// Share of lookups that hit, 0 to 1; 1 when it is no cache.
    pub hit_ratio: f64,
    /// Replicas that answer.
    pub replicas: u32,
}

/// The moving state of a system.
#[derive(Clone, Debug)]
pub struct Flow {
    /// One a node, in the system's order.
    pub states: Vec<NodeState>,
    noise: Noise,
    swing: Vec<f64>,
    mean_rps: Vec<f64>,
    phase: Vec<f64>,
    /// How far the clock of its users is ahead of UTC, in milliseconds.
    users_ahead_ms: i64,
    /// Their load on a weekend, of that on a working day.
    weekend_share: f64,
}

impl Flow {
    /// At rest, at the daily mean.
    pub fn new(system: &System, seed: u64) -> Self {
        let mut mean_rps: Vec<f64> = system.nodes.iter().map(|n| n.entry_rps).collect();
        for d in &system.dependencies {
            debug_assert!(d.from < d.to, "load is summed in order of index");
        }
        for from in 0..system.nodes.len() {
            for d in system.callees(from) {
                let miss = if d.on_miss { 1.0 - HIT_RATIO } else { 1.0 };
                mean_rps[d.to] += mean_rps[from] * d.calls * miss;
            }
        }
        let mut noise = Noise::new(seed, 1);
        let phase = system
            .nodes
            .iter()
            .map(|_| noise.between(-0.04, 0.04))
            .collect();
        let count = system.nodes.len();
        Self {
            states: vec![NodeState::default(); count],
            noise,
            swing: vec![0.0; count],
            mean_rps,
            phase,
            users_ahead_ms: 0,
            weekend_share: WEEKEND_SHARE,
        }
    }

    /// Lets its users live where it is noon of a Wednesday at `at`: how busy they are decides what a
    /// fault does to them, and a story told at night should be the one told by day. They know no weekends:
    /// theirs would fall on working days of the calendar by which the load is learned.
    #[must_use]
    pub fn with_noon_at(mut self, at: Time) -> Self {
        self.users_ahead_ms = NOON_MS - at.ms();
        self.weekend_share = 1.0;
        self
    }

    /// Moves to `now`, `dt_s` seconds after the last step.
    pub fn step(
        &mut self,
        system: &System,
        faults: &[Fault],
        quirks: &Quirks,
        now: Time,
        dt_s: f64,
    ) {
        let strains: Vec<Strain> = (0..system.nodes.len())
            .map(|i| {
                let mut strain = Strain::NONE;
                quirks.strain(i, now, &mut strain);
                for fault in faults {
                    fault.strain(system, i, now, &mut strain);
                }
                strain
            })
            .collect();
        self.offer_load(system, &strains, now, dt_s);
        for i in (0..system.nodes.len()).rev() {
            self.states[i] = self.serve(system, i, &strains[i]);
        }
    }

    /// Load, callers first: entry traffic by the hour, calls by dependency, retries of failures.
    fn offer_load(&mut self, system: &System, strains: &[Strain], now: Time, dt_s: f64) {
        let keep = (-dt_s * LOAD_NOISE_DECAY_PER_S).exp();
        let mut rps = vec![0.0; system.nodes.len()];
        for (i, node) in system.nodes.iter().enumerate() {
            self.swing[i] = keep * self.swing[i]
                + (1.0 - keep * keep).sqrt() * LOAD_NOISE * self.noise.normal();
            rps[i] += node.entry_rps
                * season(
                    now.plus_ms(self.users_ahead_ms),
                    self.phase[i],
                    self.weekend_share,
                )
                * self.swing[i].exp();
        }
        for from in 0..system.nodes.len() {
            let hits = hit_ratio_of(system, from, strains);
            for d in system.callees(from) {
                let retry = 1.0 + RETRIED * self.states[d.to].errors;
                let miss = if d.on_miss { 1.0 - hits } else { 1.0 };
                let wobble = (0.3 * self.swing[d.to]).exp();
                rps[d.to] += rps[from] * d.calls * retry * miss * wobble;
            }
        }
        for (state, rps) in self.states.iter_mut().zip(rps) {
            state.rps = rps;
        }
    }

    /// One node, with its callees already done.
    fn serve(&mut self, system: &System, index: usize, strain: &Strain) -> NodeState {
        let node = &system.nodes[index];
        let replicas = node.replicas.saturating_sub(strain.lost);
        let rps = self.states[index].rps;
        let utilisation = rps / (node.replica_rps * f64::from(replicas)).max(0.1);
        let disk = node.disk.map_or(0.0, |base| {
            (base + (1.0 - base) * strain.disk + 0.000_5 * self.noise.normal()).clamp(0.0, 1.0)
        });
        let full = ((disk - 0.97) / 0.03).clamp(0.0, 1.0);
        let (mut wait_ms, mut wait_p99_ms, mut survive, mut store_slow) = (0.0, 0.0, 1.0, 1.0);
        for d in system.callees(index) {
            let callee = &self.states[d.to];
            let calls = if d.on_miss {
                d.calls * (callee.rps / rps.max(0.1)).min(1.0)
            } else {
                d.calls
            };
            wait_ms += calls.min(1.5) * callee.p50_ms.min(CALL_TIMEOUT_MS);
            wait_p99_ms += calls.clamp(0.4, 1.5) * 0.8 * callee.p99_ms.min(CALL_TIMEOUT_MS);
            survive *= 1.0 - (callee.errors * d.fatal * calls.min(1.0)).min(1.0);
            if system.nodes[d.to].kind == NodeKind::Database {
                store_slow = f64::max(store_slow, callee.p50_ms / system.nodes[d.to].own_ms);
            }
        }
        let load = rps / self.mean_rps[index].max(0.1);
        let pool = node.pool.map_or(0.0, |_| {
            let usual = POOL_BASE * load * store_slow.powf(0.5) * self.noise.factor(0.06);
            (usual + strain.leaked).clamp(0.0, 1.0)
        });
        let starved = ((pool - 0.97) / 0.03).clamp(0.0, 1.0);
        let crowd = utilisation.min(0.96);
        let queueing = 1.0 + 0.8 * crowd * crowd / (1.0 - crowd);
        let self_ms = node.own_ms * queueing * strain.slow * self.noise.factor(0.035)
            + 900.0 * starved
            + 60.0 * full;
        let overload = (1.0 - 1.0 / utilisation.max(1.0)).min(0.8);
        let down = if replicas == 0 && node.replicas > 0 {
            1.0
        } else {
            0.0
        };
        let self_errors = (node.own_errors * self.noise.factor(0.3)
            + strain.errors
            + overload
            + 0.25 * starved
            + 0.6 * full
            + down)
            .clamp(0.0, 1.0);
        NodeState {
            rps,
            errors: 1.0 - (1.0 - self_errors) * survive,
            p50_ms: self_ms + wait_ms,
            p99_ms: (2.7 * self_ms + wait_p99_ms) * self.noise.factor(0.05),
            self_ms,
            self_errors,
            utilisation,
            pool,
            disk,
            hit_ratio: if node.kind == NodeKind::Cache {
                (HIT_RATIO * (1.0 - strain.cold) + 0.004 * self.noise.normal()).clamp(0.0, 1.0)
            } else {
                1.0
            },
            replicas,
        }
    }
}

/// Hit ratio of the cache a node looks into before it asks its store.
fn hit_ratio_of(system: &System, from: usize, strains: &[Strain]) -> f64 {
    system
        .callees(from)
        .find(|d| system.nodes[d.to].kind == NodeKind::Cache)
        .map_or(HIT_RATIO, |d| HIT_RATIO * (1.0 - strains[d.to].cold))
}

/// Share of the daily mean at `now`: a working day with an evening peak, weekends with `weekend_share` of that.
fn season(now: Time, phase: f64, weekend_share: f64) -> f64 {
    let days = now.ms() as f64 / DAY_MS as f64;
    let hour = days.fract() + phase;
    let daily = 1.0 - 0.42 * (std::f64::consts::TAU * (hour + 0.09)).cos()
        + 0.12 * (2.0 * std::f64::consts::TAU * (hour - 0.02)).sin();
    // 1970-01-01 was a Thursday: days 2 and 3 of each week are the weekend.
    let weekend = matches!((days as i64).rem_euclid(7), 2 | 3);
    daily * if weekend { weekend_share } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::fault::{FaultKind, Place};
    use super::*;

    fn at_rest(faults: &[Fault], seconds: i64) -> (System, Vec<NodeState>) {
        let system = System::shop();
        let mut flow = Flow::new(&system, 3);
        let quirks = Quirks::none(&system);
        for tick in 0..=seconds / 5 {
            flow.step(
                &system,
                faults,
                &quirks,
                Time::from_secs(36_000 + 5 * tick),
                5.0,
            );
        }
        (system, flow.states)
    }

    #[test]
    fn a_quiet_shop_is_healthy() {
        let (system, states) = at_rest(&[], 300);
        for (node, state) in system.nodes.iter().zip(&states) {
            assert!(state.errors < 0.02, "{}: {state:?}", node.name);
            assert!(state.utilisation < 0.85, "{}: {state:?}", node.name);
            assert!(state.rps > 1.0, "{}: {state:?}", node.name);
        }
    }

    #[test]
    fn users_are_as_busy_at_any_start() {
        let system = System::shop();
        let busy = |start: Time| {
            let mut flow = Flow::new(&system, 3).with_noon_at(start);
            flow.step(
                &system,
                &[],
                &Quirks::none(&system),
                start.plus_ms(90_000),
                5.0,
            );
            flow.states[0].rps.to_bits()
        };
        let noon = busy(Time::from_secs(1_768_392_000));
        let nights = [1_768_392_000 + 36_000, 1_790_000_000, 0].map(|s| busy(Time::from_secs(s)));
        assert_eq!(nights, [noon; 3]);
    }

    #[test]
    fn the_days_before_a_start_are_alike() {
        let flow = Flow::new(&System::shop(), 3).with_noon_at(Time::from_secs(1_768_392_000));
        let busy = |day: i64| {
            let users = Time::from_ms(NOON_MS - day * DAY_MS);
            season(users, 0.0, flow.weekend_share)
        };
        for day in 1..7 {
            assert!((busy(day) - busy(0)).abs() < 1e-9, "{day} days before");
        }
        assert!(season(Time::from_ms(NOON_MS - 3 * DAY_MS), 0.0, WEEKEND_SHARE) < 0.9 * busy(0));
    }

    #[test]
    fn every_fault_hurts_the_front() {
        let (system, quiet) = at_rest(&[], 200);
        let gateway = system.index("gateway").unwrap();
        let cases = [
            (FaultKind::BadDeploy, "checkout"),
            (FaultKind::PoolExhaustion, "payments"),
            (FaultKind::DiskFull, "pg-main"),
            (FaultKind::CacheStampede, "cache"),
            (FaultKind::DependencyLatency, "card-processor"),
        ];
        for (kind, name) in cases {
            let fault = Fault {
                kind,
                place: Place::Node(system.index(name).unwrap()),
                at: Time::from_secs(36_050),
                strength: 1.0,
                healed: None,
                returned: None,
            };
            let (_, states) = at_rest(&[fault], 200);
            let (front, before) = (&states[gateway], &quiet[gateway]);
            assert!(
                front.errors > before.errors + 0.01 || front.p99_ms > 1.5 * before.p99_ms,
                "{kind:?}: {front:?} against {before:?}"
            );
        }
    }
}
