//! Spans in; dependencies, calls that are slow or fail, and exemplar traces out.
//!
//! Spans wait in a bounded table until their trace is whole (nothing came for a while), so that
//! parents and children are known whatever the order of arrival. Each window of ten seconds is then
//! judged per edge and per entity. Spans without their parent still count for their own entity.

mod durations;
mod judge;
mod rate;
mod rise;
mod saved;
mod tree;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cusum::Judged;
use super::diagnose::Witness;
use super::distribution::{Distribution, Kind, Shift};
use super::entities::EntityIx;
use super::explain;
use super::requests;
use super::set_back::SetBack;
use super::topology::Topology;
use crate::model::{BaselineVersion, Provenance, Span, Time, TraceId};

pub use durations::Durations;
pub use judge::{ODD_SCORE, ODD_Z, SLOW_SCORE, Sampled, Usual, Verdict, WARM_UP_CALLS, Window};
pub use rate::Rate;
pub use saved::{SavedTraces, TraceTables};
pub use tree::{Part, Tree};

/// Width of a window, in milliseconds.
pub const WINDOW_MS: i64 = 10_000;
/// A trace is whole when nothing came for this long, in milliseconds of engine time.
const WHOLE_AFTER_MS: i64 = 3_000;
/// Spans waiting from which the oldest traces are taken as they are; twice as many are refused.
const SPANS_WAITING_MAX: usize = 100_000;
/// Spans of one trace at most; the rest is counted.
const SPANS_PER_TRACE_MAX: usize = 2_000;
/// Edges and entities watched at most.
const FLOWS_MAX: usize = 20_000;
/// Spans of a trace kept as an example.
const EXEMPLAR_SPANS_MAX: usize = 400;
/// Windows with calls remembered of a flow.
const RECENT_MAX: usize = 36;
/// Nothing is odd any more about calls that did not come for this long, while others do.
const SILENT_MS: i64 = 10 * 60_000;
/// Examples kept, and their spans: those of a thousand entities, as traces commonly are. What comes when there is no
/// room has none until others are old.
const EXEMPLARS_MAX: usize = 4_096;
const EXEMPLAR_SPANS_ALL_MAX: usize = 200_000;
/// Examples older than this give way, in milliseconds.
const EXEMPLAR_MS: i64 = 15 * 60_000;

/// What a window is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flow {
    /// Requests an entity serves.
    Served(EntityIx),
    /// Calls from one entity to another, as the caller sees them.
    Called(EntityIx, EntityIx),
    /// Time an entity spends in itself, and failures that are its own.
    Own(EntityIx),
    /// Time between what the caller waits and what the callee says it took.
    Gap(EntityIx),
}

/// Why a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// It failed.
    Failed,
    /// The slowest of late.
    Slowest,
}

impl Reason {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "error",
            Self::Slowest => "slowest",
        }
    }
}

/// A judged window.
#[derive(Clone, Copy, Debug)]
pub struct JudgedFlow {
    /// About what.
    pub flow: Flow,
    /// End of the window.
    pub at: Time,
    /// Its durations.
    pub slow: Verdict,
    /// Its failures.
    pub failing: Verdict,
    /// How many there are, where samplers say what they keep.
    pub rate: Verdict,
    /// When that began.
    pub rate_since: Time,
    /// When failures became more.
    pub failing_since: Time,
    /// How its durations are spread, where that is not told by the durations themselves.
    pub shape: Judged<Shift>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Waiting {
    parts: Vec<Part>,
    last: Time,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FlowState {
    now: Sampled,
    /// The last windows that held calls, oldest first.
    recent: VecDeque<(Time, Window)>,
    usual: Usual,
    durations: Durations,
    /// Of flows whose samplers say what they keep.
    rate: Option<Box<Rate>>,
    /// Of calls and of requests served.
    shape: Option<Box<Distribution>>,
    /// Start of the first window learned.
    learned_from: Option<Time>,
    /// Start of the first window of those that speak for more failures than usual.
    fails_from: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Exemplar {
    at: Time,
    weight_us: u64,
    trace: TraceId,
    tree: Arc<Tree>,
}

/// What spans have shown.
#[derive(Debug, Default)]
pub struct Traces {
    waiting: BTreeMap<TraceId, Waiting>,
    /// Traces by the time of their last span.
    order: BTreeSet<(Time, TraceId)>,
    spans_waiting: usize,
    flows: BTreeMap<Flow, FlowState>,
    window_end: Time,
    exemplars: BTreeMap<(EntityIx, Reason), Exemplar>,
    /// Spans of the examples, each time they are one.
    spans_kept: usize,
    /// Who is odd, or part of an open incident, and since when: as of the last look, so a minute old at most.
    odd: BTreeMap<EntityIx, Time>,
    seen_any: bool,
    refused: u64,
}

impl Traces {
    /// Takes one span of `entity`, whose other side is `peer`; `false` when too many wait, of its trace or of all.
    pub fn take(
        &mut self,
        span: &Span,
        entity: EntityIx,
        peer: Option<EntityIx>,
        now: Time,
    ) -> bool {
        self.seen_any = true;
        let of_trace = self.waiting.get(&span.trace).map_or(0, |w| w.parts.len());
        if of_trace >= SPANS_PER_TRACE_MAX || self.spans_waiting >= 2 * SPANS_WAITING_MAX {
            return false;
        }
        let waiting = self.waiting.entry(span.trace).or_default();
        self.order.remove(&(waiting.last, span.trace));
        waiting.last = now;
        self.order.insert((now, span.trace));
        waiting.parts.push(Part {
            id: span.id,
            parent: span.parent,
            entity,
            peer,
            name: Arc::clone(&span.name),
            kind: span.kind,
            start: span.start,
            duration_us: span.duration_us,
            error: span.error,
            weight: span.weight,
        });
        self.spans_waiting += 1;
        true
    }

    /// Takes whole traces apart, and judges the window when it is over.
    pub fn tick(
        &mut self,
        now: Time,
        topology: &mut Topology,
        witness: &mut Witness,
    ) -> Vec<JudgedFlow> {
        while let Some(&(last, trace)) = self.order.first() {
            if now.since(last) < WHOLE_AFTER_MS && self.spans_waiting <= SPANS_WAITING_MAX {
                break;
            }
            self.order.pop_first();
            if let Some(waiting) = self.waiting.remove(&trace) {
                self.spans_waiting -= waiting.parts.len();
                self.take_apart(trace, waiting, topology, witness);
            }
        }
        if now < self.window_end {
            return Vec::new();
        }
        self.window_end = Time::from_ms((now.ms() / WINDOW_MS + 1) * WINDOW_MS);
        self.judge(now)
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for waiting in self.waiting.values_mut() {
            back.past(&mut waiting.last);
        }
        let order = self.waiting.iter().map(|(trace, w)| (w.last, *trace));
        self.order = order.collect();
        for state in self.flows.values_mut() {
            for (at, _) in &mut state.recent {
                back.past(at);
            }
            state.durations.set_back(back.to);
            back.past_if(&mut state.learned_from);
            back.past_if(&mut state.fails_from);
            if let Some(rate) = &mut state.rate {
                rate.set_back(back);
            }
            if let Some(shape) = &mut state.shape {
                shape.set_back(back);
            }
        }
        for held in self.exemplars.values_mut() {
            back.past(&mut held.at);
        }
        self.window_end = self.window_end.min(back.to.plus_ms(WINDOW_MS));
    }

    fn judge(&mut self, at: Time) -> Vec<JudgedFlow> {
        // When nobody tells anything, that is no news of a single flow.
        let is_told = self.flows.values().any(|state| !state.now.is_empty());
        let flows = self.flows.iter_mut().filter(|_| is_told);
        let judged = flows.map(|(flow, state)| state.judge(*flow, at));
        judged.filter(JudgedFlow::is_news).collect()
    }

    fn take_apart(
        &mut self,
        trace: TraceId,
        waiting: Waiting,
        topology: &mut Topology,
        witness: &mut Witness,
    ) {
        let at = waiting.last;
        let tree = Tree::new(waiting.parts);
        // Traces are kept or dropped as a whole.
        let of_trace = tree.weight();
        for ix in 0..tree.parts.len() as u32 {
            self.take_part(&tree, ix, of_trace, at, topology);
        }
        requests::take_trace(witness, trace, &tree, at);
        self.keep(trace, tree, at);
    }

    fn take_part(
        &mut self,
        tree: &Tree,
        ix: u32,
        of_trace: Option<f32>,
        at: Time,
        topology: &mut Topology,
    ) {
        let part = &tree.parts[ix as usize];
        let children = &tree.children[ix as usize];
        let weight = part.weight.or(of_trace).map(f64::from);
        let mut answered = None;
        for child in children.iter().map(|child| &tree.parts[*child as usize]) {
            if child.entity != part.entity {
                topology.see(part.entity, child.entity, Provenance::Traced, at);
                answered = Some(child);
            }
        }
        if part.is_outgoing() {
            let callee = answered.map(|child| child.entity).or(part.peer);
            if let Some(callee) = callee.filter(|callee| *callee != part.entity) {
                topology.see(part.entity, callee, Provenance::Traced, at);
                let flow = Flow::Called(part.entity, callee);
                self.add(at, flow, part.duration_us, part.error, weight);
            }
            if let Some(child) = answered {
                let gap_us = part.duration_us.saturating_sub(child.duration_us);
                self.add(at, Flow::Gap(child.entity), gap_us.max(1), false, weight);
            }
        } else {
            let is_entry = tree.parents[ix as usize]
                .is_none_or(|parent| tree.parts[parent as usize].entity != part.entity);
            if is_entry {
                let served = Flow::Served(part.entity);
                self.add(at, served, part.duration_us, part.error, weight);
                let own = Flow::Own(part.entity);
                let (own_us, fails) = (self_time_below(tree, ix), tree.fails_by_itself(ix));
                self.add(at, own, own_us, fails, weight);
            }
        }
    }

    /// Adds a call of which a sampler says how many it stands for, if one does.
    fn add(&mut self, at: Time, flow: Flow, duration_us: u64, error: bool, weight: Option<f64>) {
        if self.flows.len() >= FLOWS_MAX && !self.flows.contains_key(&flow) {
            self.refused += 1;
            return;
        }
        let state = self.flows.entry(flow).or_default();
        let each = weight.unwrap_or(1.0);
        state.now.add(duration_us, error, each);
        state.durations.add(duration_us, each);
        if !matches!(flow, Flow::Served(_) | Flow::Called(..)) {
            return;
        }
        if weight.is_some() {
            state.rate.get_or_insert_default();
        }
        let fresh = || Box::new(Distribution::new(Kind::Measure));
        let seconds = duration_us as f64 / 1e6;
        state
            .shape
            .get_or_insert_with(fresh)
            .add(at, seconds, 1.0, each);
    }

    /// Keeps a trace as the example of every entity for which it is the slowest of late, or failed.
    fn keep(&mut self, trace: TraceId, tree: Tree, at: Time) {
        if tree.parts.len() > EXEMPLAR_SPANS_MAX {
            return;
        }
        let weight_us = tree.duration_us();
        let mut wanted: BTreeSet<(EntityIx, Reason)> = BTreeSet::new();
        for part in &tree.parts {
            wanted.insert((part.entity, Reason::Slowest));
            if part.error {
                wanted.insert((part.entity, Reason::Failed));
            }
        }
        let tree = Arc::new(tree);
        for key in wanted {
            let odd = self.odd.get(&key.0);
            let is_better = self.exemplars.get(&key).is_none_or(|held| {
                // What shows how it began is kept until it is over, but for what shows it better.
                let shows_it = odd.is_some_and(|since| held.tree.start() >= *since);
                match key.1 {
                    Reason::Failed => !shows_it,
                    Reason::Slowest => {
                        let is_old = at.since(held.at) > EXEMPLAR_MS;
                        weight_us > held.weight_us || is_old && !shows_it
                    }
                }
            });
            if is_better && self.make_room(key, tree.parts.len()) {
                let exemplar = Exemplar {
                    at,
                    weight_us,
                    trace,
                    tree: Arc::clone(&tree),
                };
                self.exemplars.insert(key, exemplar);
            }
        }
    }

    /// Makes room for an example of so many spans, which replaces the one of before; whether there is any.
    fn make_room(&mut self, key: (EntityIx, Reason), spans: usize) -> bool {
        let before = self.exemplars.get(&key).map(|held| held.tree.parts.len());
        let kept = self.spans_kept - before.unwrap_or(0) + spans;
        let fits = kept <= EXEMPLAR_SPANS_ALL_MAX
            && (before.is_some() || self.exemplars.len() < EXEMPLARS_MAX);
        if fits {
            self.spans_kept = kept;
        }
        fits
    }

    /// Forgets examples that are old, but for those of entities that are odd since a while: a finding keeps its
    /// examples as long as it lasts. What was slow before that began gives way to anything since.
    pub fn expire(&mut self, now: Time, odd_since: impl Fn(EntityIx) -> Option<Time>) {
        self.odd.clear();
        self.exemplars.retain(|(entity, _), held| {
            let since = odd_since(*entity);
            if let Some(since) = since {
                self.odd.insert(*entity, since);
            }
            if since.is_some_and(|since| held.tree.start() < since) {
                held.weight_us = 0;
            }
            since.is_some() || now.since(held.at) <= 2 * EXEMPLAR_MS
        });
        self.spans_kept = spans_of(self.exemplars.values());
    }

    /// What is known of a flow.
    pub fn flow(&self, flow: Flow) -> Option<&FlowState> {
        self.flows.get(&flow)
    }

    /// How long the calls of a flow take.
    pub fn durations(&self, flow: Flow) -> Option<&Durations> {
        Some(&self.flows.get(&flow)?.durations)
    }

    /// Forgets flows without calls since `since`.
    pub fn retire(&mut self, since: Time) {
        self.flows.retain(|_, state| {
            let last = state.recent.back().map(|(at, _)| *at);
            !state.now.is_empty() || last.is_some_and(|at| at >= since)
        });
    }

    /// Tells every entity it refers to.
    pub fn entities(&self, mark: &mut impl FnMut(EntityIx)) {
        for flow in self.flows.keys() {
            match *flow {
                Flow::Served(of) | Flow::Own(of) | Flow::Gap(of) => mark(of),
                Flow::Called(from, to) => {
                    mark(from);
                    mark(to);
                }
            }
        }
        let waiting = self.waiting.values().flat_map(|waiting| &waiting.parts);
        let kept = self.exemplars.values().flat_map(|e| &e.tree.parts);
        for part in waiting.chain(kept) {
            mark(part.entity);
            part.peer.into_iter().for_each(&mut *mark);
        }
        self.exemplars.keys().for_each(|(entity, _)| mark(*entity));
    }

    /// Examples of an entity, newest first.
    pub fn exemplars(&self, entity: EntityIx) -> impl Iterator<Item = (TraceId, Reason, &Tree)> {
        [Reason::Failed, Reason::Slowest]
            .into_iter()
            .filter_map(move |reason| {
                let held = self.exemplars.get(&(entity, reason))?;
                Some((held.trace, reason, &*held.tree))
            })
    }

    /// What is usual for a flow, and its calls since `since`; `None` when there were none.
    pub fn flow_since(&self, flow: Flow, since: Time) -> Option<(&Usual, Window)> {
        let state = self.flows.get(&flow)?;
        let mut sum = Window::default();
        for (_, window) in state.recent.iter().filter(|(at, _)| *at >= since) {
            sum.merge(window);
        }
        (sum.calls >= 1.0).then_some((&state.usual, sum))
    }

    /// The last windows of a flow that held calls, oldest first.
    pub fn windows(&self, flow: Flow) -> impl Iterator<Item = (Time, &Window)> {
        self.flows
            .get(&flow)
            .into_iter()
            .flat_map(|state| state.recent.iter().map(|(at, window)| (*at, window)))
    }

    /// Callers whose calls to `callee` were traced.
    pub fn callers_of(&self, callee: EntityIx, topology: &Topology) -> Vec<Flow> {
        topology
            .callers(callee)
            .iter()
            .map(|caller| Flow::Called(*caller, callee))
            .filter(|flow| self.flows.contains_key(flow))
            .collect()
    }

    /// Whether an entity reports spans of requests it serves.
    pub fn serves(&self, entity: EntityIx) -> bool {
        self.flows.contains_key(&Flow::Served(entity))
    }

    /// Whether any span was ever seen.
    pub fn seen_any(&self) -> bool {
        self.seen_any
    }

    /// Calls refused because there were too many flows.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl FlowState {
    /// What is usual.
    pub fn usual(&self) -> &Usual {
        &self.usual
    }

    /// The last window that held calls, and its end.
    pub fn latest(&self) -> Option<(Time, &Window)> {
        self.recent.back().map(|(at, window)| (*at, window))
    }

    /// What judges durations and failures: the calls learned.
    pub fn baseline(&self) -> BaselineVersion {
        let since = self.learned_from.unwrap_or_default();
        explain::baseline(self.usual.calls(), WARM_UP_CALLS, since)
    }

    /// How many there are, where samplers say what they keep.
    pub fn rate(&self) -> Option<&Rate> {
        self.rate.as_deref()
    }

    /// How durations are spread.
    pub fn shape(&self) -> Option<&Distribution> {
        self.shape.as_deref()
    }

    /// Judges the window that ends at `at`, and learns it.
    fn judge(&mut self, flow: Flow, at: Time) -> JudgedFlow {
        let sampled = std::mem::take(&mut self.now);
        let mut judged = JudgedFlow {
            flow,
            at,
            slow: Verdict::Usual,
            failing: Verdict::Usual,
            rate: Verdict::Usual,
            rate_since: at,
            failing_since: at.plus_ms(-WINDOW_MS),
            shape: Judged::Usual,
        };
        if let Some(rate) = &mut self.rate {
            judged.rate_since = rate.since();
            judged.rate = rate.judge(at, &sampled);
        }
        if sampled.is_empty() {
            let last = self.recent.back().map_or(at, |(last, _)| *last);
            if at.since(last) >= SILENT_MS {
                (judged.slow, judged.failing) = self.usual.end();
                judged.shape = self
                    .shape
                    .as_mut()
                    .map_or(Judged::Usual, |shape| shape.end());
            }
            return judged;
        }
        let window = sampled.window();
        self.learned_from.get_or_insert(at.plus_ms(-WINDOW_MS));
        (judged.slow, judged.failing) = self.usual.judge(&window);
        if self.usual.fails_more() {
            let began = self.fails_from.get_or_insert(judged.failing_since);
            judged.failing_since = *began;
        } else {
            self.fails_from = None;
        }
        let is_usual = judged.slow.is_usual() && judged.failing.is_usual();
        if [judged.slow, judged.failing].contains(&Verdict::Accepted) {
            self.learned_from = Some(at);
        }
        self.durations.turn(at, is_usual);
        if let Some(shape) = &mut self.shape {
            // That all of them are slower tells it better.
            judged.shape = shape.judge(at, || self.usual.is_slow());
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((at, window));
        judged
    }
}

impl JudgedFlow {
    /// Whether there is anything to tell.
    fn is_news(&self) -> bool {
        [self.slow, self.failing, self.rate] != [Verdict::Usual; 3] || !self.shape.is_usual()
    }
}

fn spans_of<'a>(exemplars: impl Iterator<Item = &'a Exemplar>) -> usize {
    exemplars.map(|held| held.tree.parts.len()).sum()
}

/// Time spent in the entity of a served request: its own span and the internal spans below it.
fn self_time_below(tree: &Tree, ix: u32) -> u64 {
    let entity = tree.parts[ix as usize].entity;
    let mut sum = 0;
    let mut stack = vec![ix];
    let mut steps = 0;
    while let Some(at) = stack.pop() {
        steps += 1;
        if steps > SPANS_PER_TRACE_MAX {
            break;
        }
        sum += tree.self_us(at);
        stack.extend(tree.children[at as usize].iter().copied().filter(|child| {
            let child = &tree.parts[*child as usize];
            child.entity == entity && !child.is_outgoing()
        }));
    }
    sum
}

#[cfg(test)]
mod tests;
