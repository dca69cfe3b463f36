//! One entity model for every source: labels in, the entity they speak of out.
//!
//! Never invents a second name for the same thing: the same service named by `service.name`, `job`
//! or `app` is one entity.

mod aliases;
mod of_labels;
mod retire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use of_labels::Remembered;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::config::DeclaredEntity;
use crate::model::{Entity, EntityId, EntityKind, Health, Labels, LabelsBuilder, Time};

/// Most entities known at once; what more speak of is counted and taken for [`OVERFLOW`].
pub const ENTITIES_MAX: usize = 200_000;
/// The entity of whatever does not fit.
pub const OVERFLOW: &str = "too-many-entities";
/// Longest name kept, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Position of an entity in the arena; that of a retired one is given to another after a while.
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
/// Jobs that report about machines and pods other than their own.
const REPORTER_JOBS: [&str; 4] = [
    "kube-state-metrics",
    "kubelet",
    "cadvisor",
    "node-problem-detector",
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
    /// The team's catalogue, which goes before what telemetry says.
    catalogue: BTreeMap<EntityId, Card>,
    rows: Vec<EntityRow>,
    index: FxHashMap<EntityId, EntityIx>,
    sorted: BTreeMap<EntityId, EntityIx>,
    /// Entities whose row consoles do not hold yet as it is now.
    changed: Vec<EntityIx>,
    /// Entities consoles hold that are retired.
    gone: Vec<EntityId>,
    /// Places to be given away, the lowest first …
    free: BTreeSet<EntityIx>,
    /// … and those that wait: whoever writes a checkpoint may still refer to who was there before.
    waiting: VecDeque<(Time, EntityIx)>,
    refused: u64,
    /// Counts what makes labels mean something else: a new place, a new name, other labels of an entity.
    changes: u64,
    remembered: Remembered,
}

/// What the catalogue says of an entity.
#[derive(Clone, Debug, Default)]
struct Card {
    aliases: Vec<EntityId>,
    owner: Option<String>,
    tier: Option<u8>,
    links: BTreeMap<String, String>,
    labels: Labels,
}

/// One entity with what is kept about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct EntityRow {
    id: EntityId,
    labels: Labels,
    /// Labels with more than one value in its telemetry: they name a part of it, not the whole.
    many: Vec<Box<str>>,
    /// Follows from what is odd, which is not kept.
    #[serde(skip, default = "healthy")]
    health: Health,
    /// Series that report about it; none means it is only known from others.
    series: u32,
    /// Since when nothing refers to it; the epoch once the place may be given away.
    retired: Option<Time>,
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

/// Which of several of an entity called `name` a series is about, if its labels say so.
pub fn instance<'a>(labels: &'a Labels, name: &str) -> Option<&'a str> {
    let of = |label| labels.get(label).filter(|value| !value.is_empty());
    let named = ["pod", "instance", "target", "addr"]
        .into_iter()
        .find_map(of)?;
    (without_port(named) != name).then_some(named)
}

/// Prometheus calls every target `job` and `instance`; for exporters of machines the instance counts.
fn of_job(job: &str, labels: &Labels, host: Option<EntityId>) -> Resolved {
    let bare = job.rsplit('/').next().unwrap_or(job);
    let instance = labels.first_of(&["instance"]).map(without_port);
    if HOST_JOBS.contains(&bare) {
        let name = instance.unwrap_or(bare);
        return alone(host.unwrap_or_else(|| EntityId::new(EntityKind::Host, clip(name))));
    }
    if let Some(host) = host.clone().filter(|_| REPORTER_JOBS.contains(&bare)) {
        return alone(host);
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

    /// Takes the team's catalogue. Labels beyond what an entity may have are left out.
    pub fn declare(&mut self, declared: &[DeclaredEntity]) {
        for entity in declared {
            let mut labels = LabelsBuilder::default();
            for (name, value) in &entity.labels {
                labels.add(name, value);
            }
            let card = Card {
                aliases: entity.aliases.iter().map(|a| EntityId::parse(a)).collect(),
                owner: entity.owner.clone(),
                tier: entity.tier,
                links: entity.links.clone(),
                labels: labels.build().unwrap_or_default(),
            };
            self.catalogue.insert(EntityId::parse(&entity.name), card);
        }
        self.add_plain_names();
        self.index_aliases();
    }

    /// The position of `id`, added when new. Beyond [`ENTITIES_MAX`] it is the overflow entity's.
    pub fn intern(&mut self, id: &EntityId) -> EntityIx {
        if let Some(ix) = self.index.get(id) {
            return *ix;
        }
        let mut id = id.clone();
        if self.free.is_empty() && self.rows.len() >= ENTITIES_MAX {
            self.refused += 1;
            id = EntityId::new(EntityKind::External, OVERFLOW);
            if let Some(ix) = self.index.get(&id) {
                return *ix;
            }
        }
        let row = EntityRow {
            id: id.clone(),
            labels: Labels::empty(),
            many: Vec::new(),
            health: Health::Ok,
            series: 0,
            retired: None,
            is_changed: true,
        };
        let ix = if let Some(ix) = self.free.pop_first() {
            self.rows[ix.0 as usize] = row;
            ix
        } else {
            self.rows.push(row);
            EntityIx(self.rows.len() as u32 - 1)
        };
        self.changes += 1;
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
        let (mut index, mut sorted) = (FxHashMap::default(), BTreeMap::new());
        let (mut free, mut waiting) = (BTreeSet::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            let ix = EntityIx(at as u32);
            match row.retired {
                None => {
                    index.insert(row.id.clone(), ix);
                    sorted.insert(row.id.clone(), ix);
                }
                Some(Time::ZERO) => {
                    free.insert(ix);
                }
                Some(since) => waiting.push((since, ix)),
            }
        }
        waiting.sort_unstable();
        let mut restored = Self {
            index,
            sorted,
            free,
            waiting: waiting.into(),
            // What runbooks ask for and what the team declares is theirs to say, not the past's.
            asked: self.asked.clone(),
            catalogue: self.catalogue.clone(),
            rows,
            refused,
            ..Self::default()
        };
        restored.index_aliases();
        restored
    }

    /// The position of `id`, if known.
    pub fn find(&self, id: &EntityId) -> Option<EntityIx> {
        self.index.get(id).copied()
    }

    /// The id at a position.
    pub fn id(&self, ix: EntityIx) -> &EntityId {
        &self.rows[ix.0 as usize].id
    }

    /// Every name that telemetry may give it: its own, and its aliases.
    pub fn names(&self, ix: EntityIx) -> impl Iterator<Item = &EntityId> {
        let id = self.id(ix);
        let card = self.catalogue.get(id);
        std::iter::once(id).chain(card.into_iter().flat_map(|card| &card.aliases))
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

    /// One series about it is gone.
    pub fn drop_series(&mut self, ix: EntityIx) {
        let row = &mut self.rows[ix.0 as usize];
        row.series = row.series.saturating_sub(1);
    }

    /// Whether it reports about itself.
    pub fn has_series(&self, ix: EntityIx) -> bool {
        self.rows[ix.0 as usize].series > 0
    }

    /// Keeps the labels that runbooks and owners are found by. Of a label that runbooks ask for, a
    /// second value ends it: a plan must not act on the wrong one of several. Of the others the first
    /// value stays.
    pub fn learn_labels(&mut self, ix: EntityIx, labels: &Labels) {
        let row = &mut self.rows[ix.0 as usize];
        let is_asked = |name: &str| self.asked.binary_search_by(|a| (**a).cmp(name)).is_ok();
        let is_news = |(name, value): &(&str, &str)| match row.labels.get(name) {
            Some(known) => known != *value && is_asked(name),
            None => {
                (KEPT_LABELS.contains(name) || is_asked(name))
                    && !row.many.iter().any(|many| **many == **name)
            }
        };
        let news: Vec<(&str, &str)> = labels.iter().filter(is_news).collect();
        if news.is_empty() {
            return;
        }
        self.changes += 1;
        let disputed = |name: &str| row.labels.get(name).is_some();
        let (ended, new): (Vec<_>, Vec<_>) = news.into_iter().partition(|(name, _)| disputed(name));
        let mut builder = LabelsBuilder::default();
        let kept = row.labels.iter();
        let kept = kept.filter(|(name, _)| !ended.iter().any(|(other, _)| other == name));
        for (name, value) in kept.chain(new) {
            builder.add(name, value);
        }
        let ended: Vec<Box<str>> = ended.into_iter().map(|(name, _)| Box::from(name)).collect();
        if let Ok(all) = builder.build() {
            row.labels = all;
            row.many.extend(ended);
        }
    }

    /// The entity as the console shows it.
    pub fn entity(&self, ix: EntityIx) -> Entity {
        let row = &self.rows[ix.0 as usize];
        let card = self.catalogue.get(&row.id);
        let labels = card.map_or_else(|| row.labels.clone(), |card| card.labels.over(&row.labels));
        Entity {
            id: row.id.clone(),
            kind: row.id.kind(),
            labels,
            owner: self.owner(ix).map(str::to_owned),
            tier: self.tier(ix),
            links: card.map(|card| card.links.clone()).unwrap_or_default(),
        }
    }

    /// The team that owns it, if it is known; untrusted.
    pub fn owner(&self, ix: EntityIx) -> Option<&str> {
        let row = &self.rows[ix.0 as usize];
        let card = self.catalogue.get(&row.id);
        let declared = card.and_then(|card| card.owner.as_deref());
        declared.or_else(|| row.labels.first_of(&["owner", "team"]))
    }

    /// Its business tier, 1 the most important, if it is known.
    pub fn tier(&self, ix: EntityIx) -> Option<u8> {
        let row = &self.rows[ix.0 as usize];
        let declared = self.catalogue.get(&row.id).and_then(|card| card.tier);
        declared.or_else(|| row.labels.get("tier")?.parse().ok())
    }

    /// Entities and how they are, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&EntityId, Health)> {
        self.sorted
            .iter()
            .map(|(id, ix)| (id, self.rows[ix.0 as usize].health))
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Names refused because there are too many.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Entities that are new or changed health since the last call, in order of the change.
    pub fn take_changed(&mut self) -> Vec<EntityIx> {
        let mut changed = std::mem::take(&mut self.changed);
        for ix in &changed {
            self.rows[ix.0 as usize].is_changed = false;
        }
        changed.retain(|ix| self.rows[ix.0 as usize].retired.is_none());
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
    fn a_label_with_two_values_names_a_part_and_is_dropped() {
        let mut entities = Entities::default();
        entities.keep_labels(["pod", "deployment"].into_iter());
        let ix = entities.intern(&EntityId::parse("cart"));
        for pod in ["cart-1", "cart-2", "cart-1"] {
            let pairs = [("pod", pod), ("deployment", "cart"), ("version", pod)];
            entities.learn_labels(ix, &Labels::from_pairs(pairs).unwrap());
        }
        // No runbook asks for the version, so its first value stays.
        let kept = entities.entity(ix).labels;
        assert_eq!(
            kept.iter().collect::<Vec<_>>(),
            [("deployment", "cart"), ("version", "cart-1")]
        );
    }

    #[test]
    fn the_catalogue_goes_before_telemetry_and_its_aliases_are_one_entity() {
        let declared = DeclaredEntity {
            name: "payments".to_owned(),
            aliases: vec!["pay-svc".to_owned(), "host/pay-1".to_owned()],
            owner: Some("money".to_owned()),
            tier: Some(1),
            links: BTreeMap::from([("runbook".to_owned(), "https://wiki/pay".to_owned())]),
            labels: BTreeMap::from([("deployment".to_owned(), "pay".to_owned())]),
        };
        let mut entities = Entities::default();
        let before = entities.intern(&EntityId::parse("pay-svc"));
        entities.declare(std::slice::from_ref(&declared));
        let ix = entities.intern(&EntityId::parse("service/payments"));
        let pairs = [("team", "shop"), ("deployment", "wrong"), ("zone", "a")];
        entities.learn_labels(ix, &Labels::from_pairs(pairs).unwrap());

        let names = ["payments", "pay-svc", "host/pay-1"];
        let found = names.map(|name| entities.find(&EntityId::parse(name)));
        assert_eq!(found, [Some(ix); 3]);
        assert_ne!(before, ix);
        let shown: Vec<_> = entities.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(shown, ["service/payments"]);
        let card = entities.entity(ix);
        assert_eq!(
            (card.owner.as_deref(), card.tier, card.links),
            (Some("money"), Some(1), declared.links)
        );
        assert_eq!(
            card.labels.iter().collect::<Vec<_>>(),
            [("deployment", "pay"), ("team", "shop"), ("zone", "a")]
        );

        // A restart brings back what was learned, and the catalogue still goes before it.
        let rows = |entities: &Entities| {
            let bytes = postcard::to_stdvec(entities.saved_rows(0, 10)).unwrap();
            postcard::from_bytes::<Vec<EntityRow>>(&bytes).unwrap()
        };
        let again = entities.restored(rows(&entities), 0);
        let found = names.map(|name| again.find(&EntityId::parse(name)));
        assert_eq!(found, [Some(ix); 3]);
        assert_eq!(again.entity(ix).owner.as_deref(), Some("money"));
    }

    #[test]
    fn every_dialect_names_the_same_entity() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<(&'a str, Option<&'a str>)>);
        let cases: [Case<'_>; 16] = [
            (
                &[
                    ("job", "kube-state-metrics"),
                    ("node", "n1"),
                    ("instance", "10.0.0.9:8080"),
                ],
                Some(("host/n1", None)),
            ),
            (
                &[
                    ("job", "kube-state-metrics"),
                    ("deployment", "cart"),
                    ("namespace", "shop"),
                ],
                Some(("service/cart", None)),
            ),
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
