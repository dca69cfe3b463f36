//! What a checkpoint keeps of spans, table by table, so that no part of it takes long.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{EntityIx, Exemplar, Flow, FlowState, Reason, Traces, Waiting, spans_of};
use crate::model::{Time, TraceId};

/// Small things: the end of the window, whether spans were seen at all, spans refused.
pub type SavedTraces = (Time, bool, u64);

/// The tables, as they are put back.
#[derive(Debug, Default)]
pub struct TraceTables {
    /// What is usual, by flow.
    pub flows: Vec<(Flow, FlowState)>,
    /// Spans that wait for the rest of their trace.
    pub waiting: Vec<(TraceId, Waiting)>,
    /// Traces kept as examples.
    pub exemplars: Vec<((EntityIx, Reason), Exemplar)>,
}

impl Traces {
    /// At most `max` flows after `after`.
    pub fn saved_flows(&self, after: Option<Flow>, max: usize) -> Vec<(&Flow, &FlowState)> {
        after_key(&self.flows, after, max)
    }

    /// At most `max` traces that wait, after `after`.
    pub fn saved_waiting(&self, after: Option<TraceId>, max: usize) -> Vec<(&TraceId, &Waiting)> {
        after_key(&self.waiting, after, max)
    }

    /// At most `max` examples after `after`.
    pub fn saved_exemplars(
        &self,
        after: Option<(EntityIx, Reason)>,
        max: usize,
    ) -> Vec<(&(EntityIx, Reason), &Exemplar)> {
        after_key(&self.exemplars, after, max)
    }

    /// Everything that is no table.
    pub fn saved_rest(&self) -> SavedTraces {
        (self.window_end, self.seen_any, self.refused)
    }

    /// Puts everything back; `None` when something refers to an entity beyond `entities`.
    pub fn restored(
        tables: TraceTables,
        (window_end, seen_any, refused): SavedTraces,
        entities: usize,
    ) -> Option<Self> {
        let known = |ix: EntityIx| (ix.0 as usize) < entities;
        let is_whole = tables.flows.iter().all(|(flow, _)| match *flow {
            Flow::Served(of) | Flow::Own(of) | Flow::Gap(of) => known(of),
            Flow::Called(from, to) => known(from) && known(to),
        }) && tables
            .waiting
            .iter()
            .flat_map(|(_, waiting)| &waiting.parts)
            .chain(tables.exemplars.iter().flat_map(|(_, e)| &e.tree.parts))
            .all(|part| known(part.entity) && part.peer.is_none_or(known));
        let waiting: BTreeMap<TraceId, Waiting> = tables.waiting.into_iter().collect();
        is_whole.then(|| Self {
            order: waiting.iter().map(|(id, w)| (w.last, *id)).collect(),
            spans_waiting: waiting.values().map(|w| w.parts.len()).sum(),
            waiting,
            flows: tables.flows.into_iter().collect(),
            spans_kept: spans_of(tables.exemplars.iter().map(|(_, held)| held)),
            exemplars: tables.exemplars.into_iter().collect(),
            odd: BTreeMap::new(),
            window_end,
            seen_any,
            refused,
        })
    }
}

fn after_key<K: Ord, V>(table: &BTreeMap<K, V>, after: Option<K>, max: usize) -> Vec<(&K, &V)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    table.range((from, Bound::Unbounded)).take(max).collect()
}
