//! One entity model for every source: labels in, the entity they speak of out.
//!
//! Never invents a second name for the same thing: the same service named by `service.name`, `job`
//! or `app` is one entity.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::model::{Entity, EntityId, EntityKind, Health, Labels, LabelsBuilder};

/// Most entities known at once; what more speak of is counted and taken for [`OVERFLOW`].
pub const ENTITIES_MAX: usize = 200_000;
/// The entity of whatever does not fit.
pub const OVERFLOW: &str = "too-many-entities";
/// Longest name kept, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Position of an entity in the arena; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityIx(pub u32);

/// Labels that name a service, the most telling first.
const SERVICE_LABELS: [&str; 15] = [
    "service.name",
    "service_name",
    "service",
    "app.kubernetes.io/name",
    "app_kubernetes_io_name",
    "app",
    "application",
    "k8s.deployment.name",
    "deployment",
    "k8s.statefulset.name",
    "statefulset",
    "k8s.daemonset.name",
    "daemonset",
    "systemd.unit",
    "container",
];
/// Labels that name a pod.
const POD_LABELS: [&str; 4] = ["k8s.pod.name", "pod", "pod_name", "kubernetes_pod_name"];
/// Labels that name a machine.
const HOST_LABELS: [&str; 7] = [
    "host.name",
    "host",
    "hostname",
    "node",
    "k8s.node.name",
    "nodename",
    "kubernetes_node",
];
/// Labels that name a database.
const DATABASE_LABELS: [&str; 3] = ["db.name", "datname", "database"];
/// Labels that name a queue or topic.
const QUEUE_LABELS: [&str; 4] = [
    "topic",
    "queue",
    "messaging.destination.name",
    "consumergroup",
];
/// Jobs whose instances are machines.
const HOST_JOBS: [&str; 8] = [
    "node",
    "node-exporter",
    "node_exporter",
    "windows",
    "windows_exporter",
    "telegraf",
    "collectd",
    "blackbox",
];
/// Labels of an entity worth keeping whatever the runbooks: what owners and groupings ask for.
const KEPT_LABELS: [&str; 22] = [
    "app",
    "availability_zone",
    "cloud.region",
    "cluster",
    "container",
    "deployment",
    "deployment.environment",
    "env",
    "environment",
    "job",
    "k8s.cluster.name",
    "k8s.deployment.name",
    "k8s.namespace.name",
    "namespace",
    "owner",
    "region",
    "service.version",
    "systemd.unit",
    "team",
    "tier",
    "version",
    "zone",
];

/// What labels speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The entity.
    pub entity: EntityId,
    /// The machine it runs on, when the labels say so and it is not the entity itself.
    pub host: Option<EntityId>,
}

/// The entities known.
#[derive(Debug, Default)]
pub struct Entities {
    /// Names of labels that runbooks ask for, sorted.
    asked: Vec<Box<str>>,
    rows: Vec<EntityRow>,
    index: FxHashMap<EntityId, EntityIx>,
    sorted: BTreeMap<EntityId, EntityIx>,
    /// Entities whose row consoles do not hold yet as it is now.
    changed: Vec<EntityIx>,
    refused: u64,
}

/// One entity with what is kept about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntityRow {
    id: EntityId,
    labels: Labels,
    /// Follows from what is odd, which is not kept.
    #[serde(skip, default = "healthy")]
    health: Health,
    /// Series that report about it; none means it is only known from others.
    series: u32,
    #[serde(skip)]
    is_changed: bool,
}

const fn healthy() -> Health {
    Health::Ok
}

/// Reads the entity out of labels; `None` when they name none.
pub fn resolve(labels: &Labels) -> Option<Resolved> {
    let host = labels
        .first_of(&HOST_LABELS)
        .map(|name| EntityId::new(EntityKind::Host, clip(without_port(name))));
    let job = labels.get("job").filter(|job| !job.is_empty());
    let entity = if let Some(name) = labels.first_of(&SERVICE_LABELS) {
        EntityId::new(EntityKind::Service, clip(name))
    } else if let Some(name) = labels.first_of(&POD_LABELS) {
        EntityId::new(EntityKind::Pod, clip(name))
    } else if let Some(job) = job {
        return Some(of_job(job, labels, host));
    } else if let Some(name) = labels.first_of(&QUEUE_LABELS) {
        EntityId::new(EntityKind::Queue, clip(name))
    } else if let Some(name) = labels.first_of(&DATABASE_LABELS) {
        EntityId::new(EntityKind::Database, clip(name))
    } else if let Some(host) = host {
        return Some(alone(host));
    } else {
        let name = labels.first_of(&["instance"])?;
        return Some(alone(EntityId::new(
            EntityKind::Host,
            clip(without_port(name)),
        )));
    };
    Some(Resolved { entity, host })
}

fn alone(entity: EntityId) -> Resolved {
    Resolved { entity, host: None }
}

/// Prometheus calls every target `job` and `instance`; for exporters of machines the instance counts.
fn of_job(job: &str, labels: &Labels, host: Option<EntityId>) -> Resolved {
    let bare = job.rsplit('/').next().unwrap_or(job);
    let instance = labels.first_of(&["instance"]).map(without_port);
    if HOST_JOBS.contains(&bare) {
        let name = instance.unwrap_or(bare);
        return alone(host.unwrap_or_else(|| EntityId::new(EntityKind::Host, clip(name))));
    }
    Resolved {
        entity: EntityId::new(EntityKind::Service, clip(bare)),
        host,
    }
}

/// `node-3:9100` is `node-3`; an IPv6 address in brackets loses its port only.
fn without_port(address: &str) -> &str {
    match address.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => address,
    }
}

fn clip(name: &str) -> &str {
    let name = name.trim();
    &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
}

impl Entities {
    /// Keeps these labels of every entity too: without them no runbook that asks for one ever fits.
    pub fn keep_labels<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.asked.extend(names.map(Box::from));
        self.asked.sort();
        self.asked.dedup();
    }

    /// The position of `id`, added when new. Beyond [`ENTITIES_MAX`] it is the overflow entity's.
    pub fn intern(&mut self, id: &EntityId) -> EntityIx {
        if let Some(ix) = self.index.get(id) {
            return *ix;
        }
        let mut id = id.clone();
        if self.rows.len() >= ENTITIES_MAX {
            self.refused += 1;
            id = EntityId::new(EntityKind::External, OVERFLOW);
            if let Some(ix) = self.index.get(&id) {
                return *ix;
            }
        }
        let ix = EntityIx(self.rows.len() as u32);
        self.rows.push(EntityRow {
            id: id.clone(),
            labels: Labels::empty(),
            health: Health::Ok,
            series: 0,
            is_changed: true,
        });
        self.changed.push(ix);
        self.index.insert(id.clone(), ix);
        self.sorted.insert(id, ix);
        ix
    }

    /// At most `max` rows from position `from` on, for a checkpoint.
    pub fn saved_rows(&self, from: usize, max: usize) -> &[EntityRow] {
        let from = from.min(self.rows.len());
        &self.rows[from..self.rows.len().min(from + max)]
    }

    /// Puts back what [`Self::saved_rows`] gave; positions are the same as then.
    pub fn restored(&self, rows: Vec<EntityRow>, refused: u64) -> Self {
        let place = |(at, row): (usize, &EntityRow)| (row.id.clone(), EntityIx(at as u32));
        Self {
            index: rows.iter().enumerate().map(place).collect(),
            sorted: rows.iter().enumerate().map(place).collect(),
            changed: Vec::new(),
            // What the runbooks ask for is theirs to say, not the past's.
            asked: self.asked.clone(),
            rows,
            refused,
        }
    }

    /// The position of `id`, if known.
    pub fn find(&self, id: &EntityId) -> Option<EntityIx> {
        self.index.get(id).copied()
    }

    /// The id at a position.
    pub fn id(&self, ix: EntityIx) -> &EntityId {
        &self.rows[ix.0 as usize].id
    }

    /// How it is.
    pub fn health(&self, ix: EntityIx) -> Health {
        self.rows[ix.0 as usize].health
    }

    /// Sets how it is; consoles are told by [`Self::take_changed`].
    pub fn set_health(&mut self, ix: EntityIx, health: Health) {
        let row = &mut self.rows[ix.0 as usize];
        if row.health == health {
            return;
        }
        row.health = health;
        if !row.is_changed {
            row.is_changed = true;
            self.changed.push(ix);
        }
    }

    /// Notes one more series about it, and the labels worth keeping.
    pub fn add_series(&mut self, ix: EntityIx, labels: &Labels) {
        self.rows[ix.0 as usize].series += 1;
        self.learn_labels(ix, labels);
    }

    /// Whether it reports about itself.
    pub fn has_series(&self, ix: EntityIx) -> bool {
        self.rows[ix.0 as usize].series > 0
    }

    /// Keeps the labels that runbooks and owners are found by; the first value of a name stays.
    pub fn learn_labels(&mut self, ix: EntityIx, labels: &Labels) {
        let row = &mut self.rows[ix.0 as usize];
        let is_kept = |name: &str| {
            KEPT_LABELS.contains(&name) || self.asked.binary_search_by(|a| (**a).cmp(name)).is_ok()
        };
        let is_news = |name: &str| is_kept(name) && row.labels.get(name).is_none();
        if !labels.iter().any(|(name, _)| is_news(name)) {
            return;
        }
        let mut builder = LabelsBuilder::default();
        for (name, value) in labels.iter().filter(|(name, _)| is_news(name)) {
            builder.add(name, value);
        }
        for (name, value) in row.labels.iter() {
            builder.add(name, value);
        }
        if let Ok(all) = builder.build() {
            row.labels = all;
        }
    }

    /// The entity as the console shows it.
    pub fn entity(&self, ix: EntityIx) -> Entity {
        let row = &self.rows[ix.0 as usize];
        Entity {
            id: row.id.clone(),
            kind: row.id.kind(),
            labels: row.labels.clone(),
            owner: row.labels.first_of(&["owner", "team"]).map(str::to_owned),
            tier: row.labels.get("tier").and_then(|tier| tier.parse().ok()),
        }
    }

    /// Entities and how they are, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&EntityId, Health)> {
        self.sorted
            .iter()
            .map(|(id, ix)| (id, self.rows[ix.0 as usize].health))
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Names refused because there are too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Entities that are new or changed health since the last call, in order of the change.
    pub fn take_changed(&mut self) -> Vec<EntityIx> {
        let changed = std::mem::take(&mut self.changed);
        for ix in &changed {
            self.rows[ix.0 as usize].is_changed = false;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_runbooks_ask_for_are_kept() {
        let pairs = [("unit", "nginx.service"), ("host", "h1"), ("pid", "12")];
        let labels = Labels::from_pairs(pairs).unwrap();
        let mut entities = Entities::default();
        entities.keep_labels(["unit", "host"].into_iter());
        let ix = entities.intern(&EntityId::parse("nginx"));
        entities.learn_labels(ix, &labels);
        let kept = entities.entity(ix).labels;
        assert_eq!(
            kept.iter().collect::<Vec<_>>(),
            [("host", "h1"), ("unit", "nginx.service")]
        );
    }

    #[test]
    fn every_dialect_names_the_same_entity() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, Option<&'a str>)>);
        let cases: [Case<'_>; 14] = [
            (
                &[("service.name", "cart"), ("host.name", "n1")],
                Some(("service/cart", Some("host/n1"))),
            ),
            (
                &[("service", "cart"), ("job", "scrape")],
                Some(("service/cart", None)),
            ),
            (
                &[("job", "prod/cart"), ("instance", "10.0.0.1:80")],
                Some(("service/cart", None)),
            ),
            (
                &[("job", "node"), ("instance", "n1:9100")],
                Some(("host/n1", None)),
            ),
            (
                &[
                    ("job", "node-exporter"),
                    ("node", "n1"),
                    ("instance", "10.0.0.1:9100"),
                ],
                Some(("host/n1", None)),
            ),
            (&[("app", "cart")], Some(("service/cart", None))),
            (
                &[("app.kubernetes.io/name", "cart"), ("pod", "cart-1")],
                Some(("service/cart", None)),
            ),
            (
                &[("pod", "cart-1"), ("node", "n1")],
                Some(("pod/cart-1", Some("host/n1"))),
            ),
            (&[("host", "n1")], Some(("host/n1", None))),
            (&[("instance", "[::1]:9100")], Some(("host/[::1]", None))),
            (&[("instance", "fe80::1")], Some(("host/fe80::1", None))),
            (&[("topic", "orders")], Some(("queue/orders", None))),
            (&[("datname", "shop")], Some(("database/shop", None))),
            (&[("alertname", "X")], None),
        ];
        for (pairs, expected) in cases {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            let found = resolve(&labels);
            let found = found
                .as_ref()
                .map(|r| (r.entity.as_str(), r.host.as_ref().map(EntityId::as_str)));
            assert_eq!(found, expected, "{pairs:?}");
        }
    }

    #[test]
    fn tells_each_change_once() {
        let mut entities = Entities::default();
        let cart = entities.intern(&EntityId::parse("cart"));
        assert_eq!(entities.intern(&EntityId::parse("service/cart")), cart);
        entities.set_health(cart, Health::Bad);
        assert_eq!(entities.take_changed(), [cart]);
        entities.set_health(cart, Health::Bad);
        assert_eq!(entities.take_changed(), []);
        entities.set_health(cart, Health::Ok);
        assert_eq!(entities.take_changed(), [cart]);
    }

    #[test]
    fn keeps_the_labels_runbooks_ask_for() {
        let mut entities = Entities::default();
        let cart = entities.intern(&EntityId::parse("cart"));
        let first = Labels::from_pairs([("env", "prod"), ("le", "0.5")]).unwrap();
        let second = Labels::from_pairs([("env", "dev"), ("team", "shop")]).unwrap();
        entities.add_series(cart, &first);
        entities.add_series(cart, &second);
        let entity = entities.entity(cart);
        assert_eq!(
            entity.labels,
            Labels::from_pairs([("env", "prod"), ("team", "shop")]).unwrap()
        );
        assert_eq!(entity.owner.as_deref(), Some("shop"));
    }
}
