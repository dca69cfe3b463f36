//! What is simulated: nodes, what they depend on and where they run.

use super::noise::Noise;
use crate::model::{EntityId, EntityKind};

/// Sort of node: decides which metrics, logs and spans it emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Serves requests and emits spans.
    Service,
    /// A database: metrics and logs, no spans of its own.
    Database,
    /// A cache in memory: like a database, with a hit ratio.
    Cache,
    /// A queue: like a database, with a lag.
    Queue,
    /// Outside the team's reach: seen only in the client spans of its callers.
    External,
}

/// A node in its normal state.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, unique.
    pub name: String,
    /// Its sort.
    pub kind: NodeKind,
    /// Own time to serve, without dependencies, in milliseconds.
    pub own_ms: f64,
    /// Share of requests that fail by itself.
    pub own_errors: f64,
    /// Requests per second one replica can take.
    pub replica_rps: f64,
    /// Replicas, spread over the hosts.
    pub replicas: u32,
    /// Share of its memory limit in use.
    pub memory: f64,
    /// Share of its disk in use, if it has one of its own.
    pub disk: Option<f64>,
    /// Connections to its database that it may hold, if it has a pool.
    pub pool: Option<f64>,
    /// Version running at the start.
    pub version: u32,
    /// Requests per second that arrive from outside at the daily mean.
    pub entry_rps: f64,
}

/// `from` calls `to`.
#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    /// Index of the caller.
    pub from: usize,
    /// Index of the callee.
    pub to: usize,
    /// Calls per request of the caller.
    pub calls: f64,
    /// Share of the callee's failures that fail the caller too.
    pub fatal: f64,
    /// Whether calls are made only on a cache miss of the caller's cache.
    pub on_miss: bool,
}

/// A simulated system. Dependencies are acyclic and point to later nodes.
#[derive(Clone, Debug)]
pub struct System {
    /// Nodes, callers before callees.
    pub nodes: Vec<Node>,
    /// Calls.
    pub dependencies: Vec<Dependency>,
    /// Names of hosts.
    pub hosts: Vec<String>,
}

impl Node {
    fn new(name: &str, kind: NodeKind, own_ms: f64, replica_rps: f64, replicas: u32) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            own_ms,
            own_errors: 0.000_8,
            replica_rps,
            replicas,
            memory: 0.46,
            disk: None,
            pool: None,
            version: 0,
            entry_rps: 0.0,
        }
    }

    /// Host indexes its replicas run on, of `hosts` hosts; none for externals.
    pub fn placement(&self, index: usize, hosts: usize) -> Vec<usize> {
        match self.kind {
            NodeKind::External => Vec::new(),
            _ => (0..self.replicas as usize)
                .map(|r| (index + r) % hosts.max(1))
                .collect(),
        }
    }
}

impl System {
    /// Index of a node by name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// The entity a node is known as.
    pub fn entity(&self, index: usize) -> EntityId {
        let node = &self.nodes[index];
        let kind = match node.kind {
            NodeKind::External => EntityKind::External,
            _ => EntityKind::Service,
        };
        EntityId::new(kind, &node.name)
    }

    /// Which service runs on which host: what a scheduler would tell.
    pub fn placements(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().enumerate().flat_map(|(i, node)| {
            let hosts = node.placement(i, self.hosts.len());
            hosts
                .into_iter()
                .map(|h| (node.name.as_str(), self.hosts[h].as_str()))
        })
    }

    /// Dependencies of one node.
    pub fn callees(&self, from: usize) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(move |d| d.from == from)
    }

    /// The demo's shop: seventeen nodes on four hosts.
    pub fn shop() -> Self {
        use NodeKind::{Cache, Database, External, Queue, Service};
        let mut nodes = vec![
            Node::new("gateway", Service, 4.0, 260.0, 3),
            Node::new("checkout", Service, 22.0, 45.0, 3),
            Node::new("recommendations", Service, 12.0, 90.0, 2),
            Node::new("search", Service, 18.0, 80.0, 2),
            Node::new("users", Service, 7.0, 130.0, 2),
            Node::new("cart", Service, 6.0, 130.0, 2),
            Node::new("catalogue", Service, 9.0, 160.0, 3),
            Node::new("payments", Service, 28.0, 40.0, 3),
            Node::new("inventory", Service, 8.0, 70.0, 2),
            Node::new("shipping", Service, 10.0, 60.0, 2),
            Node::new("notifications", Service, 14.0, 60.0, 2),
            Node::new("cache", Cache, 0.8, 2_400.0, 1),
            Node::new("search-index", Database, 14.0, 240.0, 1),
            Node::new("pg-catalogue", Database, 3.5, 420.0, 1),
            Node::new("pg-main", Database, 3.0, 700.0, 1),
            Node::new("queue", Queue, 1.5, 900.0, 1),
            Node::new("card-processor", External, 120.0, 10_000.0, 1),
        ];
        for (i, node) in nodes.iter_mut().enumerate() {
            node.version = 400 + 37 * i as u32;
            if matches!(node.kind, Database | Queue | Cache) {
                node.own_errors = 0.000_1;
            }
            if matches!(node.kind, Database | Queue) {
                node.disk = Some(0.52 + 0.02 * (i % 5) as f64);
            }
        }
        nodes[0].entry_rps = 300.0;
        let mut shop = Self {
            nodes,
            dependencies: Vec::new(),
            hosts: (1..=4).map(|n| format!("node-{n}")).collect(),
        };
        let calls = [
            ("gateway", "checkout", 0.12, 0.9),
            ("gateway", "catalogue", 0.55, 0.8),
            ("gateway", "search", 0.25, 0.7),
            ("gateway", "users", 0.35, 0.6),
            ("gateway", "cart", 0.30, 0.7),
            ("gateway", "recommendations", 0.30, 0.05),
            ("checkout", "payments", 1.0, 1.0),
            ("checkout", "inventory", 1.0, 0.9),
            ("checkout", "cart", 1.0, 0.9),
            ("checkout", "shipping", 1.0, 0.6),
            ("checkout", "pg-main", 2.0, 1.0),
            ("recommendations", "catalogue", 0.5, 0.5),
            ("recommendations", "cache", 1.0, 0.1),
            ("search", "search-index", 1.0, 1.0),
            ("users", "cache", 1.0, 0.1),
            ("cart", "cache", 1.0, 0.4),
            ("catalogue", "cache", 2.0, 0.1),
            ("payments", "card-processor", 1.0, 1.0),
            ("payments", "pg-main", 2.0, 1.0),
            ("inventory", "pg-main", 1.0, 1.0),
            ("shipping", "queue", 1.0, 0.9),
            ("notifications", "queue", 1.0, 0.9),
        ];
        for (from, to, calls, fatal) in calls {
            shop.connect(from, to, calls, fatal, false);
        }
        shop.connect("catalogue", "pg-catalogue", 2.0, 1.0, true);
        shop.connect("users", "pg-main", 1.0, 1.0, true);
        for name in ["checkout", "payments", "inventory", "users"] {
            if let Some(i) = shop.index(name) {
                shop.nodes[i].pool = Some(20.0);
            }
        }
        if let Some(i) = shop.index("notifications") {
            shop.nodes[i].entry_rps = 12.0;
        }
        shop
    }

    /// A layered system of `services` services, with databases, caches and queues among the leaves:
    /// one in five nodes is a store. At least 5 nodes.
    pub fn generated(services: usize, seed: u64) -> Self {
        use NodeKind::{Cache, Database, Queue, Service};
        const LAYERS: usize = 4;
        let services = services.max(5);
        let mut noise = Noise::new(seed, 0x5157);
        let stores = services / 5;
        let mut system = Self {
            nodes: Vec::with_capacity(services),
            dependencies: Vec::new(),
            hosts: (1..=(services / 4).max(3))
                .map(|n| format!("node-{n}"))
                .collect(),
        };
        for i in 0..services {
            let store = i >= services - stores;
            let kind = match (store, i % 3) {
                (false, _) => Service,
                (true, 0) => Cache,
                (true, 1) => Database,
                (true, _) => Queue,
            };
            let name = if store {
                format!("store-{i:03}")
            } else {
                format!("svc-{i:03}")
            };
            let mut node = Node::new(
                &name,
                kind,
                noise.between(3.0, 25.0),
                0.0,
                2 + (i % 3) as u32,
            );
            node.version = 100 + i as u32;
            node.disk = (kind == Database || kind == Queue).then(|| noise.between(0.3, 0.6));
            node.pool = (kind == Service && i % 4 == 0).then_some(20.0);
            system.nodes.push(node);
        }
        let fronts = (services / 12).max(1);
        for front in &mut system.nodes[..fronts] {
            front.entry_rps = noise.between(80.0, 250.0);
        }
        let callers = services - stores;
        for from in 0..callers {
            let layer_end = (((from * LAYERS / callers) + 1) * callers / LAYERS + 1).min(callers);
            let wanted = 1 + noise.below(3);
            for _ in 0..wanted {
                let low = (from + 1).max(layer_end.min(callers));
                let to = if low < callers && noise.chance(0.65) {
                    low + noise.below((callers - low).min(services / LAYERS).max(1))
                } else {
                    callers + noise.below(stores)
                };
                if to > from && !system.callees(from).any(|d| d.to == to) {
                    let calls = noise.between(0.3, 1.2);
                    let fatal = noise.between(0.5, 1.0);
                    system.dependencies.push(Dependency {
                        from,
                        to,
                        calls,
                        fatal,
                        on_miss: false,
                    });
                }
            }
        }
        system.feed_orphans(fronts, &mut noise);
        system.size_for_load();
        system
    }

    fn connect(&mut self, from: &str, to: &str, calls: f64, fatal: f64, on_miss: bool) {
        let index = |name| {
            self.index(name)
                .expect("the shop's table names its own nodes")
        };
        let (from, to) = (index(from), index(to));
        self.dependencies.push(Dependency {
            from,
            to,
            calls,
            fatal,
            on_miss,
        });
    }

    /// Gives every node without a caller one.
    fn feed_orphans(&mut self, fronts: usize, noise: &mut Noise) {
        for to in fronts..self.nodes.len() {
            if self.dependencies.iter().any(|d| d.to == to) {
                continue;
            }
            let callers = self
                .nodes
                .iter()
                .take(to)
                .filter(|n| n.kind == NodeKind::Service)
                .count();
            let from = noise.below(callers.min(to));
            let calls = noise.between(0.3, 1.0);
            self.dependencies.push(Dependency {
                from,
                to,
                calls,
                fatal: 0.8,
                on_miss: false,
            });
        }
    }

    /// Sets replica capacity so that each node runs at about 45 % at the daily mean.
    fn size_for_load(&mut self) {
        const UTILISATION: f64 = 0.45;
        let mut rps: Vec<f64> = self.nodes.iter().map(|n| n.entry_rps).collect();
        for from in 0..self.nodes.len() {
            for d in self.dependencies.iter().filter(|d| d.from == from) {
                rps[d.to] += rps[from] * d.calls;
            }
        }
        for (node, rps) in self.nodes.iter_mut().zip(rps) {
            node.replica_rps = (rps / UTILISATION / f64::from(node.replicas)).max(5.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_point_to_later_nodes_and_reach_everything() {
        for system in [
            System::shop(),
            System::generated(20, 1),
            System::generated(100, 2),
            System::generated(500, 3),
        ] {
            assert!(
                system
                    .dependencies
                    .iter()
                    .all(|d| d.from < d.to && d.to < system.nodes.len())
            );
            let unreached = (0..system.nodes.len())
                .filter(|&i| system.nodes[i].entry_rps == 0.0)
                .filter(|&i| !system.dependencies.iter().any(|d| d.to == i))
                .count();
            assert_eq!(unreached, 0);
        }
    }
}
