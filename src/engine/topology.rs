//! Who depends on whom: declared in the config, seen in traces, or read off labels and lines that name
//! whom they could not reach.
//!
//! Edges keep how they are known and when they were last confirmed; nothing here guesses from names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entities::EntityIx;
use super::set_back::SetBack;
use crate::model::{Provenance, Time};

/// Most edges kept; later ones are counted.
pub const EDGES_MAX: usize = 200_000;

/// What is known of one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeState {
    /// The strongest way it is known.
    pub provenance: Provenance,
    /// When it was last confirmed.
    pub last_seen: Time,
}

/// Edges as a checkpoint holds them.
pub type SavedTopology = (Vec<(EntityIx, EntityIx, EdgeState)>, u64);

/// The dependencies known.
#[derive(Debug, Default)]
pub struct Topology {
    edges: BTreeMap<(EntityIx, EntityIx), EdgeState>,
    callees: BTreeMap<EntityIx, Vec<EntityIx>>,
    callers: BTreeMap<EntityIx, Vec<EntityIx>>,
    /// Edges that are shown and not followed, because nobody confirmed them for too long.
    faded: BTreeSet<(EntityIx, EntityIx)>,
    refused: u64,
}

impl Topology {
    /// Notes that `from` depends on `to`. A stronger way of knowing stays; the latest time counts.
    pub fn see(&mut self, from: EntityIx, to: EntityIx, provenance: Provenance, at: Time) {
        if from == to {
            return;
        }
        if let Some(edge) = self.edges.get_mut(&(from, to)) {
            edge.provenance = edge.provenance.max(provenance);
            edge.last_seen = edge.last_seen.max(at);
            if !self.faded.is_empty() && self.faded.remove(&(from, to)) {
                self.follow(from, to);
            }
            return;
        }
        if self.edges.len() >= EDGES_MAX {
            self.refused += 1;
            return;
        }
        let edge = EdgeState {
            provenance,
            last_seen: at,
        };
        self.edges.insert((from, to), edge);
        self.follow(from, to);
    }

    fn follow(&mut self, from: EntityIx, to: EntityIx) {
        insert_sorted(self.callees.entry(from).or_default(), to);
        insert_sorted(self.callers.entry(to).or_default(), from);
    }

    /// Takes an entity out: it turned out to be an alias of another.
    pub fn forget(&mut self, entity: EntityIx) {
        let is_its = |(from, to): &(EntityIx, EntityIx)| *from == entity || *to == entity;
        let faded: Vec<_> = self.faded.iter().copied().filter(is_its).collect();
        for ends in faded {
            self.faded.remove(&ends);
            self.edges.remove(&ends);
        }
        for from in self.callers.remove(&entity).unwrap_or_default() {
            self.edges.remove(&(from, entity));
            if let Some(callees) = self.callees.get_mut(&from) {
                callees.retain(|to| *to != entity);
            }
        }
        for to in self.callees.remove(&entity).unwrap_or_default() {
            self.edges.remove(&(entity, to));
            if let Some(callers) = self.callers.get_mut(&to) {
                callers.retain(|from| *from != entity);
            }
        }
    }

    /// Forgets dependencies seen in calls or lines that were not confirmed since `since`, and those read off
    /// labels of entities that are gone. Those of entities that are `held` are still shown, and fade: nothing
    /// follows them any more until they are confirmed.
    pub fn retire(
        &mut self,
        since: Time,
        has_series: impl Fn(EntityIx) -> bool,
        held: impl Fn(EntityIx) -> bool,
    ) {
        let is_over = |(from, _): (EntityIx, EntityIx), edge: &EdgeState| {
            match edge.provenance {
                Provenance::Declared => false,
                Provenance::Traced => edge.last_seen < since,
                // What was read off labels has no age.
                Provenance::Inferred => {
                    edge.last_seen < since && (edge.last_seen > Time::ZERO || !has_series(from))
                }
            }
        };
        let over = self
            .edges
            .iter()
            .filter(|(ends, edge)| is_over(**ends, edge));
        let over: Vec<_> = over.map(|(ends, _)| *ends).collect();
        for (from, to) in over {
            if held(from) || held(to) {
                self.faded.insert((from, to));
            } else {
                self.faded.remove(&(from, to));
                self.edges.remove(&(from, to));
            }
            remove(&mut self.callees, from, to);
            remove(&mut self.callers, to, from);
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for edge in self.edges.values_mut() {
            back.past(&mut edge.last_seen);
        }
    }

    /// What a checkpoint keeps of them.
    pub fn saved(&self) -> SavedTopology {
        (self.iter().collect(), self.refused)
    }

    /// Puts back what [`Self::saved`] gave, but for declared edges that `is_declared` denies: the
    /// config may have changed since.
    pub fn restored(
        (edges, refused): SavedTopology,
        is_declared: impl Fn(EntityIx, EntityIx) -> bool,
    ) -> Self {
        let mut topology = Self::default();
        for (from, to, edge) in edges {
            if edge.provenance != Provenance::Declared || is_declared(from, to) {
                topology.see(from, to, edge.provenance, edge.last_seen);
            }
        }
        topology.refused = refused;
        topology
    }

    /// What `from` depends on, in order.
    pub fn callees(&self, from: EntityIx) -> &[EntityIx] {
        self.callees.get(&from).map_or(&[], Vec::as_slice)
    }

    /// What depends on `to`, in order.
    pub fn callers(&self, to: EntityIx) -> &[EntityIx] {
        self.callers.get(&to).map_or(&[], Vec::as_slice)
    }

    /// One edge.
    pub fn edge(&self, from: EntityIx, to: EntityIx) -> Option<EdgeState> {
        self.edges.get(&(from, to)).copied()
    }

    /// Every edge, in order.
    pub fn iter(&self) -> impl Iterator<Item = (EntityIx, EntityIx, EdgeState)> {
        self.edges
            .iter()
            .map(|((from, to), edge)| (*from, *to, *edge))
    }

    /// Edges refused because there are too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

fn remove(lists: &mut BTreeMap<EntityIx, Vec<EntityIx>>, of: EntityIx, item: EntityIx) {
    if let Some(list) = lists.get_mut(&of) {
        list.retain(|held| *held != item);
        if list.is_empty() {
            lists.remove(&of);
        }
    }
}

fn insert_sorted(list: &mut Vec<EntityIx>, item: EntityIx) {
    if let Err(at) = list.binary_search(&item) {
        list.insert(at, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What nobody confirms is not followed any more, though an incident still shows it.
    #[test]
    fn stale_edges_fade() {
        let (a, b, c) = (EntityIx(0), EntityIx(1), EntityIx(2));
        let mut topology = Topology::default();
        topology.see(a, b, Provenance::Traced, Time::from_secs(10));
        topology.see(a, c, Provenance::Declared, Time::from_secs(10));
        topology.retire(Time::from_secs(20), |_| true, |_| true);
        assert_eq!(
            (topology.callees(a), topology.callers(b)),
            (&[c][..], &[][..])
        );
        assert!(topology.edge(a, b).is_some(), "it is shown");
        topology.see(a, b, Provenance::Traced, Time::from_secs(30));
        assert_eq!(
            (topology.callees(a), topology.callers(b)),
            (&[b, c][..], &[a][..])
        );
        topology.retire(Time::from_secs(40), |_| true, |_| true);
        topology.retire(Time::from_secs(40), |_| true, |_| false);
        assert_eq!((topology.callees(a), topology.edge(a, b)), (&[c][..], None));
        let sure = [
            Provenance::Inferred,
            Provenance::Traced,
            Provenance::Declared,
        ]
        .map(|how| [0, 24, 48].map(|hours| how.confidence(Some(hours * 3_600_000))));
        assert_eq!(sure, [[0.6, 0.3, 0.15], [1.0, 0.5, 0.25], [1.0; 3]]);
    }

    #[test]
    fn keeps_the_strongest_provenance_and_the_latest_time() {
        let (a, b, c) = (EntityIx(0), EntityIx(1), EntityIx(2));
        let mut topology = Topology::default();
        topology.see(a, b, Provenance::Declared, Time::from_secs(1));
        topology.see(a, b, Provenance::Traced, Time::from_secs(9));
        topology.see(a, b, Provenance::Traced, Time::from_secs(5));
        topology.see(a, a, Provenance::Traced, Time::from_secs(5));
        topology.see(c, b, Provenance::Inferred, Time::from_secs(5));
        let edge = EdgeState {
            provenance: Provenance::Declared,
            last_seen: Time::from_secs(9),
        };
        assert_eq!(topology.edge(a, b), Some(edge));
        assert_eq!(
            (topology.callees(a), topology.callers(b)),
            (&[b][..], &[a, c][..])
        );
        topology.forget(b);
        assert_eq!(topology.iter().count(), 0);
        assert_eq!(
            (topology.callees(a), topology.callers(b)),
            (&[][..], &[][..])
        );
    }
}
