//! The wait between a call as its caller saw it and as its callee served it: network and queueing.
//!
//! Client duration minus server duration, per edge, on a log scale (Nezha's network faults show nowhere
//! else). Streaming and bounded; must never learn from an incident (see [`Troubles`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::behaviour::ServiceIx;
use super::case::Shift;
use super::deviation::sorted_quantile;
use super::troubles::Troubles;
use crate::model::Time;

/// Gaps remembered, over all edges; each edge may have its share of them, within limits.
const GAPS_MAX: usize = 262_144;
const GAPS_PER_EDGE_MIN: usize = 64;
const GAPS_PER_EDGE_MAX: usize = 1_024;
/// Edges remembered; further ones are not learned.
const EDGES_MAX: usize = GAPS_MAX / GAPS_PER_EDGE_MIN;
/// The smallest spread believed, on the log scale: a tenth.
const SPREAD_MIN: f64 = 0.1;
/// The median absolute deviation of a normal distribution, in standard deviations.
const MAD_SIGMAS: f64 = 0.6745;
/// Calls in the window at which a shift is half believed.
const HALF_BELIEVED_CALLS: f64 = 1.0;
/// Calls the typical spread counts for beside an edge's own.
const TYPICAL_CALLS: f64 = 5.0;

/// The streaming memory of gaps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gaps {
    /// By caller and callee: when, and the gap on the log scale, oldest first.
    #[serde(with = "indexmap::map::serde_seq")]
    edges: IndexMap<(ServiceIx, ServiceIx), VecDeque<(Time, f32)>>,
}

impl Gaps {
    /// Notes one call: the caller waited `client_us`, the callee served for `server_us`.
    pub fn observe(
        &mut self,
        from: ServiceIx,
        to: ServiceIx,
        client_us: u64,
        server_us: u64,
        at: Time,
    ) {
        if self.edges.len() >= EDGES_MAX && !self.edges.contains_key(&(from, to)) {
            return;
        }
        let share = GAPS_MAX / self.edges.len().max(1);
        let share = share.clamp(GAPS_PER_EDGE_MIN, GAPS_PER_EDGE_MAX);
        let gaps = self.edges.entry((from, to)).or_default();
        while gaps.len() >= share {
            gaps.pop_front();
        }
        gaps.push_back((at, scaled(client_us.saturating_sub(server_us)) as f32));
    }

    /// Forgets edges without a call since `since`.
    pub fn retire(&mut self, since: Time) {
        self.edges
            .retain(|_, gaps| gaps.back().is_some_and(|(at, _)| *at >= since));
    }

    /// Forgets calls of a time that never was, after `now`.
    pub fn set_back(&mut self, now: Time) {
        for gaps in self.edges.values_mut() {
            gaps.retain(|(at, _)| *at <= now);
        }
        self.edges.retain(|_, gaps| !gaps.is_empty());
    }

    /// The services that call and are called.
    pub fn services(&self) -> impl Iterator<Item = ServiceIx> {
        self.edges.keys().flat_map(|(from, to)| [*from, *to])
    }

    /// How the gap of calls into each of `services` since `since` differs from before `since − guard_ms`.
    pub fn odd(
        &self,
        since: Time,
        guard_ms: i64,
        services: &BTreeSet<ServiceIx>,
        troubles: &Troubles,
    ) -> BTreeMap<ServiceIx, Shift> {
        let quiet_until = since.plus_ms(-guard_ms);
        let part = |gaps: &VecDeque<(Time, f32)>, keep: &dyn Fn(Time) -> bool| -> Vec<f64> {
            gaps.iter()
                .filter(|(at, _)| keep(*at))
                .map(|(_, gap)| f64::from(*gap))
                .collect()
        };
        let edges = || {
            let all = self.edges.iter();
            all.filter(|((_, to), _)| services.contains(to))
        };
        let usual: BTreeMap<(ServiceIx, ServiceIx), Usual> = edges()
            .filter_map(|(edge, gaps)| {
                let is_quiet = |at| {
                    at < quiet_until && !troubles.hold(edge.0, at) && !troubles.hold(edge.1, at)
                };
                Some((*edge, Usual::of(part(gaps, &is_quiet))?))
            })
            .collect();
        let Some(typical) = Usual::typical(usual.values()) else {
            return BTreeMap::new();
        };
        let mut sums: BTreeMap<ServiceIx, Sum> = BTreeMap::new();
        for (edge, gaps) in edges() {
            let mut after = part(gaps, &|at| at >= since);
            if after.is_empty() {
                continue;
            }
            let sum = sums.entry(edge.1).or_default();
            after.sort_by(f64::total_cmp);
            let now = sorted_quantile(&after, 0.5);
            let before = usual.get(edge).copied().unwrap_or(Usual {
                calls: 0.0,
                ..typical
            });
            // A spread seen in few calls leans on the typical one.
            let spread = (before.calls * before.spread + TYPICAL_CALLS * typical.spread)
                / (before.calls + TYPICAL_CALLS);
            let calls = after.len() as f64;
            let trust = calls / (calls + HALF_BELIEVED_CALLS);
            sum.calls += calls;
            sum.z += calls * trust * (now - before.middle) / spread.max(SPREAD_MIN);
            sum.usual += calls * before.middle;
            sum.now += calls * now;
        }
        let shifts = sums.into_iter().map(|(to, sum)| Some((to, sum.shift()?)));
        shifts.flatten().collect()
    }
}

/// What is normal on one edge, on the log scale.
#[derive(Clone, Copy, Debug)]
struct Usual {
    calls: f64,
    middle: f64,
    spread: f64,
}

impl Usual {
    fn of(mut gaps: Vec<f64>) -> Option<Self> {
        let (middle, spread) = middle_and_spread(&mut gaps)?;
        Some(Self {
            calls: gaps.len() as f64,
            middle,
            spread,
        })
    }

    /// The middle of all edges; its spread covers both the spread on an edge and that between edges' calls.
    fn typical<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        let (mut middles, mut spreads): (Vec<f64>, Vec<f64>) =
            all.map(|usual| (usual.middle, usual.spread)).unzip();
        let (middle, between) = middle_and_spread(&mut middles)?;
        spreads.sort_by(f64::total_cmp);
        Some(Self {
            calls: 0.0,
            middle,
            spread: sorted_quantile(&spreads, 0.5).max(between),
        })
    }
}

/// Median, and median absolute deviation in standard deviations; sorts the values.
fn middle_and_spread(values: &mut [f64]) -> Option<(f64, f64)> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = sorted_quantile(values, 0.5);
    let mut distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    distances.sort_by(f64::total_cmp);
    Some((middle, sorted_quantile(&distances, 0.5) / MAD_SIGMAS))
}

/// Weighted sums over the edges into a service.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: f64,
    z: f64,
    usual: f64,
    now: f64,
}

impl Sum {
    fn shift(self) -> Option<Shift> {
        (self.calls > 0.0).then(|| Shift {
            normal: seconds(self.usual / self.calls),
            now: seconds(self.now / self.calls),
            z: self.z / self.calls,
        })
    }
}

/// Half a millisecond is added so that tiny gaps do not spread out on the log scale.
fn scaled(gap_us: u64) -> f64 {
    (gap_us as f64 / 1_000.0 + 0.5).ln()
}

fn seconds(scaled: f64) -> f64 {
    (scaled.exp() - 0.5).max(0.0) / 1_000.0
}
