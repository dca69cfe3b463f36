//! What lies around an entity, by all dependencies known: who depends on it, however far away, and what of an
//! incident's neighbourhood is well.
//!
//! Only reads. Everything is bounded: whoever looks must not hold up what is judged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Engine;
use super::entities::EntityIx;
use super::topology::Topology;
use crate::model::{
    Beside, Dependence, EntityId, Health, Incident, PathEdge, PathNode, Provenance, Reach, Reached,
    Time,
};

/// Entities followed in one direction.
const FOLLOWED_MAX: usize = 20_000;
/// Of these, named.
const NAMED_MAX: usize = 60;
/// Owners named.
const OWNERS_MAX: usize = 12;
/// Steps from the path of an incident that are looked at.
const STEPS_AROUND: u32 = 2;
/// Entities looked at around one path.
const AROUND_MAX: usize = 2_000;
/// Entities drawn that are no part of the path.
const DRAWN_MAX: usize = 12;

/// Which way dependencies are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To those who depend on it.
    Up,
    /// To what it depends on.
    Down,
}

impl Way {
    fn next(self, of: EntityIx, topology: &Topology) -> &[EntityIx] {
        match self {
            Self::Up => topology.callers(of),
            Self::Down => topology.callees(of),
        }
    }
}

/// How something was found around a path.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The node of the path nearest to it.
    origin: usize,
    way: Way,
    steps: u32,
    via: EntityIx,
}

impl Engine {
    /// Who depends on an entity, and what it depends on.
    pub fn dependence(&self, entity: &EntityId) -> Dependence {
        let found = self.entities.find(entity);
        let reach = |way| found.map_or_else(Reach::default, |ix| self.reach(ix, way));
        Dependence {
            entity: found.map_or(entity, |ix| self.entities.id(ix)).clone(),
            is_known: found.is_some(),
            dependents: reach(Way::Up),
            dependencies: reach(Way::Down),
        }
    }

    fn reach(&self, from: EntityIx, way: Way) -> Reach {
        let mut reach = Reach::default();
        let mut found: BTreeMap<EntityIx, (u32, EntityIx)> = BTreeMap::new();
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((at, steps)) = queue.pop_front() {
            for &next in way.next(at, &self.topology) {
                if next == from || found.contains_key(&next) {
                    continue;
                }
                if found.len() == FOLLOWED_MAX {
                    reach.is_cut = true;
                    break;
                }
                found.insert(next, (steps + 1, at));
                queue.push_back((next, steps + 1));
            }
        }
        // Of those that are only counted nothing is copied.
        let mut owners: BTreeMap<&str, u32> = BTreeMap::new();
        let mut named = Vec::with_capacity(found.len());
        for (ix, (steps, via)) in found {
            let (id, health) = (self.entities.id(ix), self.entities.health(ix));
            let tier = self.entities.tier(ix);
            if reach.by_step.len() < steps as usize {
                reach.by_step.resize(steps as usize, 0);
            }
            reach.by_step[steps as usize - 1] += 1;
            reach.unwell += u32::from(health != Health::Ok);
            if let Some(tier) = tier {
                *reach.tiers.entry(tier).or_default() += 1;
            }
            if let Some(owner) = self.entities.owner(ix) {
                *owners.entry(owner).or_default() += 1;
            }
            let tier = tier.unwrap_or(u8::MAX);
            named.push(((steps, Reverse(health), tier, id), ix, via));
        }
        named.sort_unstable();
        named.truncate(NAMED_MAX);
        let named = named
            .into_iter()
            .map(|((steps, ..), ix, via)| self.reached(ix, steps, via, way));
        reach.named = named.collect();
        let mut owners: Vec<(&str, u32)> = owners.into_iter().collect();
        owners.sort_by_key(|(name, count)| (Reverse(*count), *name));
        let owners = owners.into_iter().take(OWNERS_MAX);
        reach.owners = owners.map(|(name, count)| (name.into(), count)).collect();
        reach
    }

    fn reached(&self, ix: EntityIx, steps: u32, via: EntityIx, way: Way) -> Reached {
        let known = self.entities.entity(ix);
        let edge = match way {
            Way::Up => self.topology.edge(ix, via),
            Way::Down => self.topology.edge(via, ix),
        };
        Reached {
            entity: known.id,
            health: self.entities.health(ix),
            steps,
            via: self.entities.id(via).clone(),
            provenance: edge.map_or(Provenance::Inferred, |edge| edge.provenance),
            last_seen: edge.map_or(Time::ZERO, |edge| edge.last_seen),
            confidence: edge.map_or(0.0, |edge| {
                edge.provenance.confidence_at(edge.last_seen, self.now) as f32
            }),
            owner: known.owner.map(String::into_boxed_str),
            tier: known.tier,
        }
    }

    /// An incident as it is drawn: each dependency on its path confirmed as lately as is known by now, since one in
    /// which nothing else changes is not told anew for that. While it lasts, what is not well within
    /// two steps of its path is appended to that, and what is well is counted beside the node nearest to it.
    pub fn with_surroundings(&self, mut incident: Incident) -> Incident {
        incident.path_edges = self.path_edges(&incident);
        if incident.resolved.is_some() {
            return incident;
        }
        let nodes = incident.path_nodes.iter();
        let places: Vec<Option<EntityIx>> =
            nodes.map(|node| self.entities.find(&node.entity)).collect();
        let (found, cut) = self.near(&places);
        for origin in cut {
            incident.path_nodes[origin].beside.is_cut = true;
        }
        let drawn = self.sick_of(&found);
        for (ix, found) in &found {
            if drawn.contains(ix) {
                continue;
            }
            let beside = &mut incident.path_nodes[found.origin].beside;
            let count = match (self.entities.health(*ix), found.way) {
                (Health::Ok, Way::Up) => &mut beside.callers_well,
                (Health::Ok, Way::Down) => &mut beside.callees_well,
                _ => &mut beside.unwell,
            };
            *count += 1;
        }
        let path_len = places.len();
        let places: Vec<Option<EntityIx>> = places
            .into_iter()
            .chain(drawn.iter().copied().map(Some))
            .collect();
        let nodes = drawn.iter().map(|ix| self.node_beside(*ix));
        incident.path_nodes.extend(nodes);
        for (from, caller) in places.iter().enumerate() {
            for (to, callee) in places.iter().enumerate() {
                let is_new = from >= path_len || to >= path_len;
                let ends = caller.zip(*callee).filter(|_| is_new);
                let edge = ends.and_then(|(from, to)| self.topology.edge(from, to));
                incident.path_edges.extend(edge.map(|edge| PathEdge {
                    from: from as u32,
                    to: to as u32,
                    provenance: edge.provenance,
                    last_seen: edge.last_seen,
                    confidence: edge.provenance.confidence_at(edge.last_seen, self.now) as f32,
                }));
            }
        }
        incident
    }

    /// The dependencies on an incident's path, each confirmed as lately as is known by now: an incident in
    /// which nothing else changes is not told anew for that.
    fn path_edges(&self, incident: &Incident) -> Vec<PathEdge> {
        let place = |at: u32| {
            let node = incident.path_nodes.get(at as usize)?;
            self.entities.find(&node.entity)
        };
        let latest = |edge: &PathEdge| {
            let (from, to) = (place(edge.from)?, place(edge.to)?);
            Some(self.topology.edge(from, to)?.last_seen)
        };
        let edges = incident.path_edges.iter();
        let as_of_now = edges.map(|edge| {
            let last_seen = latest(edge).map_or(edge.last_seen, |at| at.max(edge.last_seen));
            PathEdge {
                last_seen,
                confidence: edge.provenance.confidence_at(last_seen, self.now) as f32,
                ..edge.clone()
            }
        });
        as_of_now.collect()
    }

    /// What lies within two steps of a path, up from whoever depends on it, down from what it depends on; and the
    /// nodes of the path near which there is more than was looked at.
    fn near(&self, path: &[Option<EntityIx>]) -> (BTreeMap<EntityIx, Found>, BTreeSet<usize>) {
        let mut found: BTreeMap<EntityIx, Found> = BTreeMap::new();
        let mut cut = BTreeSet::new();
        let starts = path.iter().enumerate();
        let starts = starts.filter_map(|(origin, ix)| Some((origin, (*ix)?)));
        let mut queue: VecDeque<(EntityIx, usize, Way, u32)> = starts
            .flat_map(|(origin, ix)| [Way::Up, Way::Down].map(|way| (ix, origin, way, 0)))
            .collect();
        while let Some((via, origin, way, steps)) = queue.pop_front() {
            for &next in way.next(via, &self.topology) {
                if path.contains(&Some(next)) || found.contains_key(&next) {
                    continue;
                }
                if found.len() == AROUND_MAX {
                    cut.insert(origin);
                    break;
                }
                let steps = steps + 1;
                let at = Found {
                    origin,
                    way,
                    steps,
                    via,
                };
                found.insert(next, at);
                if steps < STEPS_AROUND {
                    queue.push_back((next, origin, way, steps));
                }
            }
        }
        (found, cut)
    }

    /// Of what was found, what is drawn: whatever is not well, the nearest first, with what leads there.
    fn sick_of(&self, found: &BTreeMap<EntityIx, Found>) -> Vec<EntityIx> {
        let mut unwell: Vec<(u32, Reverse<Health>, EntityIx)> = found
            .iter()
            .map(|(ix, found)| (found.steps, Reverse(self.entities.health(*ix)), *ix))
            .filter(|(_, health, _)| health.0 != Health::Ok)
            .collect();
        unwell.sort_unstable();
        let mut drawn: Vec<EntityIx> = Vec::new();
        for (_, _, ix) in unwell {
            let via = found.get(&ix).map(|found| found.via);
            let via = via.filter(|via| found.contains_key(via) && !drawn.contains(via));
            let wanted = via.into_iter().chain((!drawn.contains(&ix)).then_some(ix));
            let wanted: Vec<EntityIx> = wanted.collect();
            if drawn.len() + wanted.len() <= DRAWN_MAX {
                drawn.extend(wanted);
            }
        }
        drawn
    }

    fn node_beside(&self, ix: EntityIx) -> PathNode {
        let known = self.entities.entity(ix);
        PathNode {
            entity: known.id,
            health: self.entities.health(ix),
            suspicion: 0.0,
            onset: None,
            owner: known.owner.map(String::into_boxed_str),
            tier: known.tier,
            links: known.links,
            is_beside: true,
            beside: Beside::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::model::IncidentId;

    /// An engine that knows these dependencies, and of nothing but them.
    fn knowing(calls: &[(&str, &str)], bad: &[&str]) -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        for (from, to) in calls {
            let [from, to] = [from, to].map(|name| engine.entities.intern(&EntityId::parse(name)));
            let at = Time::from_secs(100);
            engine.topology.see(from, to, Provenance::Traced, at);
        }
        for name in bad {
            let ix = engine.entities.intern(&EntityId::parse(name));
            engine.entities.set_health(ix, Health::Bad);
        }
        engine
    }

    fn names(reach: &Reach) -> Vec<(&str, u32, &str)> {
        let named = reach.named.iter();
        named
            .map(|r| (r.entity.name(), r.steps, r.via.name()))
            .collect()
    }

    #[test]
    fn who_depends_on_it_is_told_however_far_away_and_though_it_is_well() {
        let engine = knowing(
            &[
                ("web", "cart"),
                ("app", "cart"),
                ("edge", "web"),
                ("edge", "app"),
                ("cart", "db"),
                // A circle is gone round once.
                ("db", "edge"),
            ],
            &["web"],
        );
        let told = engine.dependence(&EntityId::parse("cart"));
        assert_eq!(
            names(&told.dependents),
            // What is not well comes first among those as far away.
            [
                ("web", 1, "cart"),
                ("app", 1, "cart"),
                ("edge", 2, "web"),
                ("db", 3, "edge")
            ]
        );
        assert_eq!(told.dependents.by_step, [2, 1, 1]);
        assert_eq!((told.dependents.unwell, told.dependents.is_cut), (1, false));
        assert_eq!(told.dependencies.by_step, [1, 1, 2]);
        let unheard = engine.dependence(&EntityId::parse("nobody"));
        assert!(!unheard.is_known && unheard.dependents.count() == 0);
    }

    #[test]
    fn around_a_path_the_sick_are_drawn_and_the_healthy_counted() {
        let engine = knowing(
            &[
                ("web", "cart"),
                ("app", "cart"),
                ("edge", "web"),
                ("far", "edge"),
                ("cart", "db"),
                ("db", "disk"),
                ("db", "host/h1"),
                // Another caller of the same database is no neighbour of the cart.
                ("shop", "db"),
            ],
            &["edge", "disk"],
        );
        let at = Time::from_secs(200);
        let cart = EntityId::parse("cart");
        let mut incident = Incident::opened(IncidentId(1), cart.clone(), at, at);
        let node = PathNode {
            entity: cart,
            is_beside: false,
            ..engine.node_beside(EntityIx(1))
        };
        incident.path_nodes = vec![node];
        let drawn = engine.with_surroundings(incident.clone());
        let nodes: Vec<(&str, bool)> = drawn
            .path_nodes
            .iter()
            .map(|node| (node.entity.name(), node.is_beside))
            .collect();
        assert_eq!(
            nodes,
            [
                ("cart", false),
                ("web", true),
                ("edge", true),
                ("db", true),
                ("disk", true)
            ]
        );
        let beside = Beside {
            callers_well: 1,
            callees_well: 1,
            unwell: 0,
            is_cut: false,
        };
        assert_eq!(drawn.path_nodes[0].beside, beside);
        let edges = drawn.path_edges.iter().map(|edge| (edge.from, edge.to));
        let edges: Vec<_> = edges.collect();
        assert_eq!(edges, [(0, 3), (1, 0), (2, 1), (3, 4)]);
        // Of what is over, how its neighbours are now says nothing.
        incident.resolved = Some(at);
        assert_eq!(engine.with_surroundings(incident.clone()), incident);
    }

    #[test]
    fn an_edge_is_believed_as_far_as_it_was_confirmed_when_it_is_told() {
        let mut engine = knowing(&[("web", "cart"), ("edge", "web")], &["edge"]);
        engine.now = Time::from_secs(100 + 24 * 3_600);
        let at = Time::from_secs(100);
        let mut incident = Incident::opened(IncidentId(1), EntityId::parse("cart"), at, at);
        let nodes = ["web", "cart"].map(|name| {
            let place = engine.entities.find(&EntityId::parse(name)).unwrap();
            engine.node_beside(place)
        });
        incident.path_nodes = nodes.into();
        incident.path_edges = vec![PathEdge {
            from: 0,
            to: 1,
            provenance: Provenance::Traced,
            last_seen: at,
            confidence: 1.0,
        }];
        let edges = engine.with_surroundings(incident).path_edges.into_iter();
        let believed: Vec<_> = edges
            .map(|edge| (edge.from, edge.to, edge.confidence))
            .collect();
        assert_eq!(believed, [(0, 1, 0.5), (2, 0, 0.5)]);
    }

    #[test]
    fn more_neighbours_than_are_looked_at_are_said_to_be_more() {
        for (callers, is_cut) in [(AROUND_MAX, false), (AROUND_MAX + 1, true)] {
            let names: Vec<String> = (0..callers).map(|n| format!("caller-{n}")).collect();
            let calls: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "cart")).collect();
            let engine = knowing(&calls, &[]);
            let (at, cart) = (Time::from_secs(200), EntityId::parse("cart"));
            let place = engine.entities.find(&cart).unwrap();
            let mut incident = Incident::opened(IncidentId(1), cart, at, at);
            incident.path_nodes = vec![PathNode {
                is_beside: false,
                ..engine.node_beside(place)
            }];
            let drawn = engine.with_surroundings(incident);
            let beside = Beside {
                callers_well: AROUND_MAX as u32,
                is_cut,
                ..Beside::default()
            };
            assert_eq!(drawn.path_nodes[0].beside, beside);
        }
    }
}
