//! Blame flow: who, below the place that hurts, carries the harm nobody further down explains.
//!
//! One unit of blame starts at the target and is pushed from caller to callee, as far as the callee's own
//! excess can account for the caller's; what nobody explains stays. A node's score is the flow that stays.
//! Edges may be missing: what stays may leap, at a discount, to a node nobody knows to be connected, if
//! that node moved with it and more sharply. Pure arithmetic; must never look at an entity's name.

use crate::model::Unit;

use super::deviation::{BadSide, Column, ColumnKind, Family, Z_MAX, gate};

/// Position of a node in [`System::nodes`].
pub type NodeIx = usize;

/// How we know a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeClass {
    /// It reports about itself.
    Known,
    /// Only seen from the other end of a call: an external service, or an alias of a known one.
    Peer,
}

/// A node with what was measured there.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// How we know it.
    pub class: NodeClass,
    /// Its metrics; may be empty.
    pub columns: &'a [Column],
    /// Whether spans show its own time and errors as always: then what it suffers comes from its callees.
    pub is_well_inside: bool,
}

/// A dependency: `from` calls `to`.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// The caller.
    pub from: NodeIx,
    /// The callee.
    pub to: NodeIx,
    /// Calls per row over this edge, when spans tell.
    pub calls: Option<f64>,
    /// How far the edge is believed, 0..1 (traced or declared 1, inferred or stale less).
    pub belief: f64,
}

/// Everything blame flow looks at.
#[derive(Clone, Debug)]
pub struct System<'a> {
    /// The nodes.
    pub nodes: Vec<Node<'a>>,
    /// The dependencies.
    pub edges: Vec<Edge>,
    /// Where it hurts.
    pub target: NodeIx,
    /// How it hurts; `None` takes the family in which the target deviates most.
    pub family: Option<Family>,
    /// Rows in the incident's window.
    pub rows: usize,
}

/// What a node suffers in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Harm {
    /// Standard deviations from normal, shrunk by trust; 0 or more.
    pub z: f64,
    /// Seconds, or share of failures, a request suffers beyond normal.
    pub excess: f64,
    /// Requests per row, when measured.
    pub requests: Option<f64>,
    /// Excess as a share of the normal level.
    pub relative: f64,
}

/// The outcome of one flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    /// The flow that stays at each node; sums to 1.
    pub scores: Vec<f64>,
    /// The flow that passes through each node, itself included.
    pub through: Vec<f64>,
    /// Harm of each node as (slow, failing).
    pub harm: Vec<[Harm; 2]>,
    /// The hurting node's own deviation in the family asked about.
    pub target_z: f64,
}

/// Deviation at which harm is half believed.
const HALF_BELIEVED_Z: f64 = 2.0;
/// … or this share of the target's own deviation, if that is less …
const HALF_BELIEVED_OF_TARGET: f64 = 0.5;
/// … but never below this.
const HALF_BELIEVED_Z_MIN: f64 = 0.7;
/// Weight of "it is slow because a callee fails" and the reverse.
const CROSS_FAMILY_SHARE: f64 = 0.5;
/// Added latency at which callers typically give up and fail, in seconds.
const TIMEOUT_S: f64 = 1.0;
/// A peer's part in a split with known callees; else an alias outranks the service behind it.
const PEER_SPLIT: f64 = 0.3;
/// How much an exhausted resource below a service may explain; it cannot be summed like requests.
const RESOURCE_SHARE: f64 = 0.8;
/// Deviation at which a resource is half believed: they wander more than requests do.
const HALF_BELIEVED_RESOURCE_Z: f64 = 4.0;
/// The part of unexplained blame that may leap to a node without a known path.
const LEAP_SHARE: f64 = 0.8;
/// A leap needs at least this likeness over the rows.
const LEAP_LIKENESS_MIN: f64 = 0.3;
/// Rounds of pushing: twice the deepest call chain worth following, and enough for any cycle to fade.
const ROUNDS_MAX: usize = 48;
/// Flow smaller than this is dropped where it is.
const FLOW_MIN: f64 = 1e-6;
/// Something always stays, so that cycles end.
const STAY_MIN: f64 = 0.02;
/// What stays at a node that is well inside, of what its callees leave unexplained: levels of different
/// metrics do not add up exactly, spans do, but they may be a sample.
const WELL_INSIDE_STAY: f64 = 0.25;
/// Explained share at which the rest is half believed to come the same way: there may be unknown callees.
const HALF_PASSED_ON_SHARE: f64 = 0.1;
/// Nodes without metrics are looked through at most this deep.
const BLIND_DEPTH_MAX: usize = 3;

/// Runs blame flow.
pub fn blame(system: &System<'_>) -> Blame {
    let count = system.nodes.len();
    let weights = RowWeights::of(system);
    let harm: Vec<[Harm; 2]> = system
        .nodes
        .iter()
        .map(|node| [Family::Slow, Family::Failing].map(|family| node_harm(node, family, &weights)))
        .collect();
    let family = weights.family as usize;
    let target_z = harm[system.target][family].z;
    let mut callees: Vec<Vec<&Edge>> = vec![Vec::new(); count];
    for edge in system.edges.iter().filter(|edge| edge.from != edge.to) {
        callees[edge.from].push(edge);
    }
    let half_z = (target_z * HALF_BELIEVED_OF_TARGET).clamp(HALF_BELIEVED_Z_MIN, HALF_BELIEVED_Z);
    let resource_only = system
        .nodes
        .iter()
        .map(|node| worst_resource(node, &weights))
        .collect();
    let scene = Scene {
        system,
        harm,
        callees,
        resource_only,
        half_z,
    };
    let start = state(system.target, family);
    let mut steps = scene.known_steps();
    let known = scene.flow(start, &steps);
    for (from, leap) in scene.leaps(&known, &steps) {
        steps[from].push(leap);
    }
    let flow = scene.flow(start, &steps);
    Blame {
        scores: per_node(&flow.rest),
        through: per_node(&flow.through),
        harm: scene.harm,
        target_z,
    }
}

/// Which rows matter: those in which the target hurts, and those in which it does not.
struct RowWeights {
    bad: Vec<f64>,
    good: Vec<f64>,
    family: Family,
}

impl RowWeights {
    fn of(system: &System<'_>) -> Self {
        let target = &system.nodes[system.target];
        let badness = |family: Family| -> Vec<f64> {
            (0..system.rows)
                .map(|row| row_badness(target, family, row))
                .collect()
        };
        let total = |rows: &[f64]| rows.iter().sum::<f64>();
        let (slow, failing) = (badness(Family::Slow), badness(Family::Failing));
        let family = system.family.unwrap_or(if total(&failing) >= total(&slow) {
            Family::Failing
        } else {
            Family::Slow
        });
        let chosen = match family {
            Family::Slow => slow,
            Family::Failing => failing,
        };
        let worst = chosen.iter().copied().fold(0.0, f64::max);
        if worst <= 0.0 {
            return Self {
                bad: vec![1.0; system.rows],
                good: vec![0.0; system.rows],
                family,
            };
        }
        let good = chosen
            .iter()
            .map(|z| {
                if *z < worst * GOOD_ROW_SHARE && *z < GOOD_ROW_Z_MAX {
                    1.0
                } else {
                    0.0
                }
            })
            .collect();
        Self {
            bad: chosen,
            good,
            family,
        }
    }

    fn mean(weights: &[f64], column: &Column) -> Option<f64> {
        let mut sum = 0.0;
        let mut weight_sum = 0.0;
        for (row, weight) in weights.iter().enumerate() {
            let value = column.at(row);
            if value.is_finite() && *weight > 0.0 {
                sum += weight * value;
                weight_sum += weight;
            }
        }
        (weight_sum > 0.0).then(|| sum / weight_sum)
    }
}

/// A row counts as good when the target is below this share of its worst row …
const GOOD_ROW_SHARE: f64 = 0.25;
/// … and below this many standard deviations.
const GOOD_ROW_Z_MAX: f64 = 2.0;

fn row_badness(node: &Node<'_>, family: Family, row: usize) -> f64 {
    let mut sum = 0.0;
    let mut seen = 0u32;
    for column in node
        .columns
        .iter()
        .filter(|c| c.kind.family() == Some(family))
    {
        let value = column.at(row);
        if value.is_finite() {
            sum += column.normal.badness(column.kind.bad_side(), value);
            seen += 1;
        }
    }
    if seen == 0 {
        0.0
    } else {
        sum / f64::from(seen)
    }
}

fn node_harm(node: &Node<'_>, family: Family, weights: &RowWeights) -> Harm {
    let requests = node
        .columns
        .iter()
        .find(|c| c.kind == ColumnKind::Traffic)
        .and_then(|c| RowWeights::mean(&weights.bad, c).or(Some(c.normal.median)));
    let mut z_sum = 0.0;
    let mut seen = 0u32;
    let mut excess = [(0.0, 0u32); 2];
    let mut relative = 0.0_f64;
    for column in node
        .columns
        .iter()
        .filter(|c| c.kind.family() == Some(family))
    {
        let Some(now) = RowWeights::mean(&weights.bad, column) else {
            continue;
        };
        let sign = if column.kind.bad_side() == BadSide::Down {
            -1.0
        } else {
            1.0
        };
        let median = column.normal.median;
        let reference = RowWeights::mean(&weights.good, column).map_or(median, |good| {
            if (good - median) * sign > 0.0 {
                good
            } else {
                median
            }
        });
        let worse = ((now - reference) * sign).max(0.0);
        let per_request = match (column.kind, column.unit, requests) {
            // A count of failures rather than a share of requests.
            (ColumnKind::Errors, Unit::None | Unit::PerSecond, Some(requests))
                if requests > 0.0 =>
            {
                worse / requests
            }
            _ => worse * column.base_units(),
        };
        z_sum +=
            (column.normal.z_from(reference, now) * sign).clamp(0.0, Z_MAX) * column.normal.trust();
        seen += 1;
        let slot = &mut excess[usize::from(column.additive)];
        *slot = (slot.0 + per_request, slot.1 + 1);
        let spread = if sign > 0.0 {
            column.normal.up
        } else {
            column.normal.down
        };
        relative = relative.max(worse / (column.kind.level(median) + spread));
    }
    if seen == 0 {
        return Harm {
            requests,
            ..Harm::default()
        };
    }
    let z = z_sum / f64::from(seen);
    let (sum, parts) = if excess[1].1 > 0 {
        excess[1]
    } else {
        excess[0]
    };
    let per_request = sum / f64::from(parts.max(1));
    Harm {
        z,
        excess: per_request,
        requests: requests.filter(|r| *r > 0.0),
        relative,
    }
}

/// One possible step of the flow, from a node's harm of one family to a callee's harm of the same or the other.
#[derive(Clone, Copy, Debug)]
struct Step {
    to: State,
    /// How much of the caller's harm the callee explains, 0..1.
    share: f64,
    /// Its weight when several callees compete.
    split: f64,
}

/// A node and the family of harm that is being followed there: `2 * node + family`.
type State = usize;

fn state(node: NodeIx, family: usize) -> State {
    2 * node + family
}

/// What every stage of one run looks at.
struct Scene<'a> {
    system: &'a System<'a>,
    harm: Vec<[Harm; 2]>,
    callees: Vec<Vec<&'a Edge>>,
    /// For nodes that serve no requests (hosts, disks, pools): how far their worst resource is out.
    resource_only: Vec<Option<f64>>,
    /// Deviation at which a callee's harm is half believed: lower when the target itself hurts little.
    half_z: f64,
}

impl Scene<'_> {
    /// The steps along known edges, for every state.
    fn known_steps(&self) -> Vec<Vec<Step>> {
        let mut steps = vec![Vec::new(); 2 * self.system.nodes.len()];
        for from in 0..self.system.nodes.len() {
            let mut seen = vec![from];
            self.collect(from, from, 1.0, 0, &mut seen, &mut steps);
        }
        steps
    }

    /// Adds the steps of `from` over the edges of `via` (itself, or a blind node being looked through).
    fn collect(
        &self,
        from: NodeIx,
        via: NodeIx,
        belief: f64,
        depth: usize,
        seen: &mut Vec<NodeIx>,
        steps: &mut [Vec<Step>],
    ) {
        for edge in &self.callees[via] {
            if seen.contains(&edge.to) {
                continue;
            }
            seen.push(edge.to);
            let believed = belief * edge.belief;
            if self.is_blind(edge.to) {
                if depth < BLIND_DEPTH_MAX {
                    self.collect(from, edge.to, believed, depth + 1, seen, steps);
                }
                continue;
            }
            let part = self.edge_part(edge);
            for family in 0..2 {
                for step in self
                    .steps_to(from, family, edge.to, part, believed)
                    .into_iter()
                    .flatten()
                {
                    steps[state(from, family)].push(step);
                }
            }
        }
    }

    fn is_blind(&self, node: NodeIx) -> bool {
        self.resource_only[node].is_none() && !serves_requests(&self.system.nodes[node])
    }

    /// The part of the callee's requests that came over this edge.
    fn edge_part(&self, edge: &Edge) -> f64 {
        match (edge.calls, self.harm[edge.to][0].requests) {
            (Some(calls), Some(requests)) if requests > 0.0 => (calls / requests).clamp(0.0, 1.0),
            _ => 1.0,
        }
    }

    /// How `to` explains the harm of `family` at `from`: by the same harm, and at a discount by the other.
    fn steps_to(
        &self,
        from: NodeIx,
        family: usize,
        to: NodeIx,
        part: f64,
        belief: f64,
    ) -> [Option<Step>; 2] {
        let caller = &self.harm[from][family];
        let carried = |callee: &Harm| {
            let requests = callee.requests.or(caller.requests).unwrap_or(1.0);
            let needed = caller.excess * caller.requests.unwrap_or(requests);
            if needed > 0.0 {
                (callee.excess * requests * part / needed).min(1.0)
            } else {
                0.0
            }
        };
        let same = &self.harm[to][family];
        let other = &self.harm[to][1 - family];
        if let Some(z) = self.resource_only[to] {
            let share = RESOURCE_SHARE * gate(z, HALF_BELIEVED_RESOURCE_Z) * belief;
            let step = Step {
                to: state(to, family),
                share,
                split: share,
            };
            return [(share > SHARE_MIN).then_some(step), None];
        }
        let same_share = gate(same.z, self.half_z) * carried(same);
        let volume = match (other.requests, caller.requests) {
            (Some(served), Some(made)) => (served * part / made).min(1.0),
            _ => 1.0,
        };
        let plausible = if family == Family::Failing as usize {
            gate(other.excess, TIMEOUT_S)
                .min(volume / caller.excess.max(1e-9))
                .min(1.0)
        } else {
            volume
        };
        let other_share =
            CROSS_FAMILY_SHARE * plausible * gate(other.z, self.half_z) * (1.0 - same_share);
        let weight = match self.system.nodes[to].class {
            NodeClass::Known => 1.0,
            NodeClass::Peer => PEER_SPLIT,
        };
        [(same_share, family), (other_share, 1 - family)].map(|(share, family)| {
            let share = share * belief;
            (share > SHARE_MIN).then(|| Step {
                to: state(to, family),
                share,
                split: share * weight,
            })
        })
    }
}

/// How far the worst resource of a node that serves no requests is out, upwards; `None` for other nodes.
fn worst_resource(node: &Node<'_>, weights: &RowWeights) -> Option<f64> {
    if serves_requests(node) {
        return None;
    }
    node.columns
        .iter()
        .filter(|column| column.kind == ColumnKind::Resource)
        .filter_map(|column| {
            let now = RowWeights::mean(&weights.bad, column)?;
            Some(column.normal.z_from(column.normal.median, now) * column.normal.trust())
        })
        .max_by(f64::total_cmp)
        .filter(|z| *z > 0.0)
}

/// Shares below this are not worth following.
const SHARE_MIN: f64 = 1e-3;

fn serves_requests(node: &Node<'_>) -> bool {
    node.columns
        .iter()
        .any(|column| column.kind.family().is_some())
}

/// Flow at rest and flow that passed, per state.
struct Flow {
    rest: Vec<f64>,
    through: Vec<f64>,
}

fn per_node(states: &[f64]) -> Vec<f64> {
    states
        .chunks_exact(2)
        .map(|pair| pair[0] + pair[1])
        .collect()
}

/// The nodes that can be reached from `start` along `next`, `start` itself excluded unless on a cycle.
fn reachable(start: NodeIx, next: &[Vec<NodeIx>]) -> Vec<bool> {
    let mut seen = vec![false; next.len()];
    let mut stack = vec![start];
    while let Some(node) = stack.pop() {
        for &to in &next[node] {
            if !seen[to] {
                seen[to] = true;
                stack.push(to);
            }
        }
    }
    seen
}

impl Scene<'_> {
    /// The part of the flow through a state that stays there.
    fn stay_of(&self, at: State, steps: &[Step]) -> f64 {
        if steps.iter().all(|step| step.split <= 0.0) {
            return 1.0;
        }
        let explained = steps.iter().map(|s| s.share).sum::<f64>();
        let passed_on = if self.system.nodes[at / 2].is_well_inside {
            (1.0 - WELL_INSIDE_STAY) * gate(explained, HALF_PASSED_ON_SHARE)
        } else {
            0.0
        };
        ((1.0 - explained) * (1.0 - passed_on)).max(STAY_MIN)
    }

    /// Pushes one unit from `start` until it rests.
    fn flow(&self, start: State, steps: &[Vec<Step>]) -> Flow {
        let count = steps.len();
        let mut rest = vec![0.0; count];
        let mut through = vec![0.0; count];
        let mut moving = vec![0.0; count];
        moving[start] = 1.0;
        for _ in 0..ROUNDS_MAX {
            let mut next = vec![0.0; count];
            let mut left = 0.0;
            for from in 0..count {
                let amount = moving[from];
                if amount < FLOW_MIN {
                    rest[from] += amount;
                    continue;
                }
                through[from] += amount;
                let split_sum: f64 = steps[from].iter().map(|s| s.split).sum();
                let stay = self.stay_of(from, &steps[from]);
                rest[from] += amount * stay;
                for step in &steps[from] {
                    let pushed = amount * (1.0 - stay) * step.split / split_sum;
                    next[step.to] += pushed;
                    left += pushed;
                }
            }
            moving = next;
            if left < FLOW_MIN {
                break;
            }
        }
        for (rest, amount) in rest.iter_mut().zip(moving) {
            *rest += amount;
        }
        Flow { rest, through }
    }

    /// Leaps from where blame rests to nodes without a known path, as if an edge were missing.
    fn leaps(&self, known: &Flow, steps: &[Vec<Step>]) -> Vec<(State, Step)> {
        let count = self.system.nodes.len();
        let mut down: Vec<Vec<NodeIx>> = vec![Vec::new(); count];
        let mut up: Vec<Vec<NodeIx>> = vec![Vec::new(); count];
        for edge in &self.system.edges {
            down[edge.from].push(edge.to);
            up[edge.to].push(edge.from);
        }
        let patterns: Vec<Vec<f64>> = self
            .system
            .nodes
            .iter()
            .map(|node| pattern(node, self.system.rows))
            .collect();
        let mut moves = Vec::new();
        for from in 0..count {
            if (0..2).all(|family| known.rest[state(from, family)] < LEAP_FROM_MIN) {
                continue;
            }
            let (below, above) = (reachable(from, &down), reachable(from, &up));
            for family in 0..2 {
                let at = state(from, family);
                if known.rest[at] < LEAP_FROM_MIN {
                    continue;
                }
                let mut found: Vec<Step> = Vec::new();
                for to in 0..count {
                    if to == from || below[to] || above[to] {
                        continue;
                    }
                    let likeness = likeness(&patterns[from], &patterns[to]);
                    if likeness < LEAP_LIKENESS_MIN {
                        continue;
                    }
                    for step in self
                        .steps_to(from, family, to, 1.0, likeness)
                        .into_iter()
                        .flatten()
                    {
                        let sharper =
                            sharper(&self.harm[from][family], &self.harm[to][step.to % 2]);
                        found.push(Step {
                            share: step.share * sharper,
                            split: step.split * sharper,
                            ..step
                        });
                    }
                }
                let total: f64 = found.iter().map(|s| s.share).sum();
                if total <= 0.0 {
                    continue;
                }
                let stay = self.stay_of(at, &steps[at]);
                let scale = stay * LEAP_SHARE * total.min(1.0) / total;
                moves.extend(found.into_iter().map(|step| {
                    (
                        at,
                        Step {
                            share: step.share * scale,
                            split: step.split * scale,
                            ..step
                        },
                    )
                }));
            }
        }
        moves
    }
}

/// Blame resting below this amount does not leap.
const LEAP_FROM_MIN: f64 = 0.02;

/// Whether `to` moved more sharply than `from`, relative to its own level, 0..1: harm thins out on its way up.
fn sharper(from: &Harm, to: &Harm) -> f64 {
    let ratio = to.relative / from.relative.max(1e-9);
    let squared = ratio * ratio;
    ((squared - 1.0) / (squared + 1.0)).max(0.0)
}

fn pattern(node: &Node<'_>, rows: usize) -> Vec<f64> {
    (0..rows)
        .map(|row| {
            row_badness(node, Family::Slow, row).max(row_badness(node, Family::Failing, row))
        })
        .collect()
}

/// Cosine of two badness patterns, 0..1.
fn likeness(a: &[f64], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = norm(a) * norm(b);
    if scale > 0.0 { dot / scale } else { 0.0 }
}
