//! What a cluster holds, as far as it says anything: pods and whose they are, deployments, nodes. Objects in,
//! signals out; no I/O.
//!
//! Ownership goes from a pod over its replica set to its deployment, and stands in the labels of whatever is
//! told of it, with the node it runs on: the engine reads entities and topology off them, as it does for
//! every other source. Rollouts and scalings become changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::event::time;
use crate::model::{
    Alert, Change, ChangeKind, EntityId, EntityKind, Fingerprint, Labels, Sample, Series,
    SeriesKind, Signal, Time, Unit,
};
use crate::sources::secrets;

/// Which revision of its deployment a replica set is.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Which it was before it was rolled back to.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Labels of pods that name the service, as telemetry does.
const SERVICE_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app"];
/// Rollouts before this are of no use to anybody, in milliseconds.
const ROLLOUT_AGE_MS_MAX: i64 = 48 * 3_600_000;

/// Where an object is: namespace and name.
type Place = (String, String);
/// Labels of whatever is told of an object.
pub(super) type Pairs = Vec<(&'static str, String)>;
/// Name, key, labels and value of a series.
type Value = (&'static str, String, Pairs, f64);

/// Says whose an object is.
pub(super) trait Owners {
    /// Labels of an object by its kind, namespace and name.
    fn labels(&self, kind: &str, namespace: &str, name: &str) -> Pairs;
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// Its name, if the config gives one.
    name: Option<String>,
    pods: BTreeMap<Place, PodRow>,
    sets: BTreeMap<Place, SetRow>,
    deployments: BTreeMap<Place, DeploymentRow>,
    /// Whether each is ready.
    nodes: BTreeMap<String, bool>,
    /// Nodes of which an alert fires, and since when.
    down: BTreeMap<String, Time>,
    /// The service that the pods of a deployment say they are.
    services: BTreeMap<Place, (&'static str, String)>,
    series: BTreeMap<(&'static str, String), Arc<Series>>,
}

/// Which kinds are known as they are now: their last list or watch works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) pods: bool,
    pub(super) deployments: bool,
    pub(super) nodes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PodRow {
    node: Option<String>,
    service: Option<(&'static str, String)>,
    /// Kind and name of what runs it.
    owner: Option<(String, String)>,
    is_ready: bool,
    /// Whether it ran to its end: then it need not be ready.
    is_over: bool,
    restarts: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SetRow {
    uid: String,
    deployment: Option<String>,
    revision: i64,
    images: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DeploymentRow {
    desired: i32,
    available: i32,
}

impl PodRow {
    /// Whether it is missed when it is not there: one of a job is to end, and one that ended is not ready.
    fn is_to_stay(&self) -> bool {
        let is_of_job = self.owner.as_ref().is_some_and(|(kind, _)| kind == "Job");
        !self.is_over && !is_of_job
    }
}

impl Cluster {
    pub(super) fn new(name: Option<String>) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// All pods there are.
    pub(super) fn pods(&mut self, pods: &[Pod], now: Time) -> Vec<Signal> {
        let rows: BTreeMap<Place, PodRow> = pods
            .iter()
            .map(|pod| (place(&pod.metadata), row(pod)))
            .collect();
        let gone = self
            .pods
            .keys()
            .filter(|place| !rows.contains_key(*place))
            .cloned();
        let gone: Vec<Place> = gone.collect();
        let mut signals = Vec::new();
        for place in gone {
            signals.extend(self.forget_pod(&place, now));
        }
        self.pods = rows;
        signals
    }

    /// A pod is there.
    pub(super) fn pod(&mut self, pod: &Pod) {
        self.pods.insert(place(&pod.metadata), row(pod));
    }

    /// A pod went: its series end.
    pub(super) fn pod_went(&mut self, pod: &Pod, now: Time) -> Vec<Signal> {
        self.forget_pod(&place(&pod.metadata), now)
    }

    fn forget_pod(&mut self, place: &Place, now: Time) -> Vec<Signal> {
        if self.pods.remove(place).is_none() {
            return Vec::new();
        }
        self.end_pod(place, now)
    }

    /// Ends the series of a pod, if it has any.
    fn end_pod(&mut self, place: &Place, now: Time) -> Vec<Signal> {
        let key = format!("pod/{}/{}", place.0, place.1);
        let ended = ["k8s.pod.ready", "k8s.pod.restarts"]
            .map(|name| self.series.remove(&(name, key.clone())));
        let ended = ended.into_iter().flatten();
        let stale = |series| Sample {
            series,
            at: now,
            value: f64::NAN,
        };
        ended.map(|series| Signal::Sample(stale(series))).collect()
    }

    /// All replica sets there are: rollouts of late.
    pub(super) fn sets(&mut self, sets: &[ReplicaSet], now: Time) -> Vec<Signal> {
        let before = std::mem::take(&mut self.sets);
        let rows = sets.iter().map(|set| (place(&set.metadata), set_row(set)));
        self.sets = rows.collect();
        self.learn_services();
        let changes = sets.iter().filter_map(|set| {
            let known = before.get(&place(&set.metadata));
            self.rollout(set, known, now)
        });
        changes
            .map(|change| Signal::Change(Box::new(change)))
            .collect()
    }

    /// A replica set is there.
    pub(super) fn set(&mut self, set: &ReplicaSet, now: Time) -> Vec<Signal> {
        let row = set_row(set);
        let before = self.sets.insert(place(&set.metadata), row.clone());
        if before
            .as_ref()
            .is_none_or(|before| before.revision != row.revision)
        {
            self.learn_services();
        }
        let change = self.rollout(set, before.as_ref(), now);
        change
            .map(|change| Signal::Change(Box::new(change)))
            .into_iter()
            .collect()
    }

    /// A replica set went.
    pub(super) fn set_went(&mut self, set: &ReplicaSet) {
        self.sets.remove(&place(&set.metadata));
    }

    /// A new revision of a deployment, if the set is one: when it was made, or now if an old one is taken
    /// up again, which is a rollback.
    fn rollout(&self, set: &ReplicaSet, before: Option<&SetRow>, now: Time) -> Option<Change> {
        let row = set_row(set);
        let namespace = set.metadata.namespace.clone().unwrap_or_default();
        let deployment = row.deployment.clone()?;
        let annotations = set.metadata.annotations.as_ref();
        let is_again = annotations.is_some_and(|all| all.contains_key(REVISION_HISTORY));
        let at = match before {
            Some(before) if before.revision == row.revision => return None,
            Some(_) => now,
            None if is_again => return None,
            None => time(set.metadata.creation_timestamp.as_ref()?.0),
        };
        // The first revision is what a deployment began with, and no change of it.
        if row.revision < 2 || now.since(at) > ROLLOUT_AGE_MS_MAX {
            return None;
        }
        let others = self.sets.iter().filter(|((of, _), other)| {
            *of == namespace && other.deployment == row.deployment && other.uid != row.uid
        });
        let others = others.map(|(_, other)| other);
        let previous = others
            .filter(|other| other.revision < row.revision)
            .max_by_key(|other| other.revision);
        let (version, previous_version) = versions(&row.images, previous.map(|set| &*set.images));
        let kind = match previous {
            _ if is_again => ChangeKind::Rollback,
            Some(previous) if previous.images == row.images => ChangeKind::Config,
            _ => ChangeKind::Deploy,
        };
        let pairs = self.labels("Deployment", &namespace, &deployment);
        let revision = row.revision;
        let title = match (&version, kind) {
            (_, ChangeKind::Config) => {
                format!("{deployment} revision {revision}: same images, other settings")
            }
            (Some(version), _) => format!("{deployment} {version}, revision {revision}"),
            (None, _) => format!("{deployment} revision {revision}"),
        };
        Some(Change {
            id: format!("k8s-{}-{revision}", row.uid).into(),
            at,
            kind,
            entity: entity(&pairs, &deployment),
            title: title.into(),
            version: version.map(String::into_boxed_str),
            previous_version: previous_version.map(String::into_boxed_str),
            by: None,
            labels: pack(&pairs),
        })
    }

    /// All deployments there are.
    pub(super) fn deployments(&mut self, deployments: &[Deployment], now: Time) -> Vec<Signal> {
        let before = std::mem::take(&mut self.deployments);
        let mut signals = Vec::new();
        for deployment in deployments {
            let known = before.get(&place(&deployment.metadata)).cloned();
            signals.extend(self.put_deployment(deployment, known.as_ref(), now));
        }
        let gone = before
            .keys()
            .filter(|place| !self.deployments.contains_key(*place));
        for (namespace, name) in gone {
            let key = format!("deployment/{namespace}/{name}");
            self.series.retain(|(_, of), _| *of != key);
        }
        signals
    }

    /// A deployment is there.
    pub(super) fn deployment(&mut self, deployment: &Deployment, now: Time) -> Vec<Signal> {
        let known = self.deployments.remove(&place(&deployment.metadata));
        self.put_deployment(deployment, known.as_ref(), now)
    }

    /// A deployment went.
    pub(super) fn deployment_went(&mut self, deployment: &Deployment) {
        let (namespace, name) = place(&deployment.metadata);
        let key = format!("deployment/{namespace}/{name}");
        self.series.retain(|(_, of), _| *of != key);
        self.deployments.remove(&(namespace, name));
    }

    fn put_deployment(
        &mut self,
        deployment: &Deployment,
        before: Option<&DeploymentRow>,
        now: Time,
    ) -> Vec<Signal> {
        let spec = deployment.spec.as_ref();
        let status = deployment.status.as_ref();
        let row = DeploymentRow {
            // What is not said is one.
            desired: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            available: status
                .and_then(|status| status.available_replicas)
                .unwrap_or(0),
        };
        let place = place(&deployment.metadata);
        let scaled = before.filter(|before| before.desired != row.desired);
        let change = scaled.map(|before| {
            let pairs = self.labels("Deployment", &place.0, &place.1);
            let uid = deployment.metadata.uid.as_deref().unwrap_or_default();
            let generation = deployment.metadata.generation.unwrap_or_default();
            let (from, to) = (before.desired, row.desired);
            Signal::Change(Box::new(Change {
                id: format!("k8s-{uid}-scale-{generation}").into(),
                at: now,
                kind: ChangeKind::Scale,
                entity: entity(&pairs, &place.1),
                title: format!("{} scaled from {from} to {to}", place.1).into(),
                version: None,
                previous_version: None,
                by: None,
                labels: pack(&pairs),
            }))
        });
        self.deployments.insert(place, row);
        change.into_iter().collect()
    }

    /// All nodes there are.
    pub(super) fn nodes(&mut self, nodes: &[Node]) {
        let rows = nodes
            .iter()
            .filter_map(|node| Some((node.metadata.name.clone()?, is_node_ready(node))));
        self.nodes = rows.collect();
        let nodes = &self.nodes;
        self.series
            .retain(|(name, of), _| *name != "k8s.node.ready" || nodes.contains_key(of));
    }

    /// A node is there.
    pub(super) fn node(&mut self, node: &Node) {
        if let Some(name) = node.metadata.name.clone() {
            self.nodes.insert(name, is_node_ready(node));
        }
    }

    /// A node went.
    pub(super) fn node_went(&mut self, node: &Node) {
        if let Some(name) = &node.metadata.name {
            self.nodes.remove(name);
            self.series.remove(&("k8s.node.ready", name.clone()));
        }
    }

    /// How everything is now of the kinds that are `current`, and alerts about nodes, which fire for `hold_ms`
    /// unless told again: one that fires does not end because nothing is known.
    pub(super) fn tell(&mut self, current: Current, now: Time, hold_ms: i64) -> Vec<Signal> {
        self.learn_services();
        let mut signals = self.end_pods_over(now);
        for (name, key, pairs, value) in self.values(current) {
            let series = self
                .series
                .entry((name, key))
                .or_insert_with(|| Arc::new(series(name, &pairs)));
            // A pod that moved, or whose owner is known by now.
            if series.labels != pack(&pairs) {
                *series = Arc::new(self::series(name, &pairs));
            }
            let series = Arc::clone(series);
            signals.push(Signal::Sample(Sample {
                series,
                at: now,
                value,
            }));
        }
        signals.extend(self.node_alerts(now, hold_ms));
        signals
    }

    /// Ends the series of pods that ran to their end and are still listed.
    fn end_pods_over(&mut self, now: Time) -> Vec<Signal> {
        let over = self.pods.iter().filter(|(_, pod)| pod.is_over);
        let over: Vec<Place> = over.map(|(place, _)| place.clone()).collect();
        let ended = over.iter().flat_map(|place| self.end_pod(place, now));
        ended.collect()
    }

    /// Name, key, labels and value of whatever is told.
    fn values(&self, current: Current) -> Vec<Value> {
        let mut told: Vec<Value> = Vec::new();
        let pods = self.pods.iter().filter(|_| current.pods);
        for ((namespace, name), pod) in pods.filter(|(_, pod)| pod.is_to_stay()) {
            let pairs = self.labels("Pod", namespace, name);
            let key = format!("pod/{namespace}/{name}");
            told.push((
                "k8s.pod.ready",
                key.clone(),
                pairs.clone(),
                f64::from(pod.is_ready),
            ));
            told.push(("k8s.pod.restarts", key, pairs, f64::from(pod.restarts)));
        }
        let deployments = self.deployments.iter().filter(|_| current.deployments);
        for ((namespace, name), row) in deployments {
            let pairs = self.labels("Deployment", namespace, name);
            let key = format!("deployment/{namespace}/{name}");
            let missing = row.desired.saturating_sub(row.available).max(0);
            told.push((
                "k8s.deployment.desired",
                key.clone(),
                pairs.clone(),
                f64::from(row.desired),
            ));
            told.push(("k8s.deployment.unavailable", key, pairs, f64::from(missing)));
        }
        for (name, is_ready) in self.nodes.iter().filter(|_| current.nodes) {
            let pairs = self.labels("Node", "", name);
            told.push(("k8s.node.ready", name.clone(), pairs, f64::from(*is_ready)));
        }
        told
    }

    fn node_alerts(&mut self, now: Time, hold_ms: i64) -> Vec<Signal> {
        let down: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, is_ready)| !**is_ready)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &down {
            self.down.entry(name.clone()).or_insert(now);
        }
        let mut signals = Vec::new();
        let (nodes, cluster) = (&self.nodes, self.name.clone());
        self.down.retain(|name, since| {
            let is_down = nodes.get(name) == Some(&false);
            let ends_at = if is_down { now.plus_ms(hold_ms) } else { now };
            signals.push(Signal::Alert(Box::new(node_alert(
                name,
                cluster.as_deref(),
                *since,
                ends_at,
            ))));
            is_down
        });
        signals
    }
}

impl Owners for Cluster {
    fn labels(&self, kind: &str, namespace: &str, name: &str) -> Pairs {
        let mut pairs: Pairs = Vec::new();
        pairs.extend(self.name.clone().map(|name| ("k8s.cluster.name", name)));
        if !namespace.is_empty() {
            pairs.push(("k8s.namespace.name", namespace.to_owned()));
        }
        let name = name.to_owned();
        let at = (namespace.to_owned(), name.clone());
        match kind {
            "Pod" => {
                pairs.push(("k8s.pod.name", name));
                let Some(pod) = self.pods.get(&at) else {
                    return pairs;
                };
                pairs.extend(pod.service.clone());
                pairs.extend(pod.node.clone().map(|node| ("k8s.node.name", node)));
                if let Some((kind, owner)) = &pod.owner {
                    pairs.extend(self.owner(kind, namespace, owner));
                }
            }
            "Deployment" => {
                // The service that its pods say they are, so that both are one entity.
                pairs.extend(self.services.get(&at).cloned());
                pairs.push(("k8s.deployment.name", name));
            }
            "Node" => pairs.push(("k8s.node.name", name)),
            kind => pairs.extend(self.owner(kind, namespace, &name)),
        }
        pairs
    }
}

impl Cluster {
    /// Learns from pods which service each deployment is.
    fn learn_services(&mut self) {
        let named = self.pods.iter().filter_map(|((namespace, _), pod)| {
            let (service, (kind, owner)) = pod.service.clone().zip(pod.owner.as_ref())?;
            match self.owner(kind, namespace, owner)? {
                ("k8s.deployment.name", name) => Some(((namespace.clone(), name), service)),
                _ => None,
            }
        });
        self.services = named.collect();
    }

    /// The workload behind an owner: of a replica set its deployment.
    fn owner(&self, kind: &str, namespace: &str, name: &str) -> Option<(&'static str, String)> {
        let label = match kind {
            "ReplicaSet" => {
                let set = self.sets.get(&(namespace.to_owned(), name.to_owned()))?;
                return set
                    .deployment
                    .clone()
                    .map(|name| ("k8s.deployment.name", name));
            }
            "Deployment" => "k8s.deployment.name",
            "StatefulSet" => "k8s.statefulset.name",
            "DaemonSet" => "k8s.daemonset.name",
            "Job" => "k8s.job.name",
            "CronJob" => "k8s.cronjob.name",
            _ => return None,
        };
        Some((label, name.to_owned()))
    }
}

fn place(meta: &ObjectMeta) -> Place {
    let name = meta.name.clone().unwrap_or_default();
    (meta.namespace.clone().unwrap_or_default(), name)
}

fn controller(meta: &ObjectMeta) -> Option<&OwnerReference> {
    let mut owners = meta.owner_references.iter().flatten();
    owners.find(|owner| owner.controller == Some(true))
}

fn row(pod: &Pod) -> PodRow {
    let labels = pod.metadata.labels.as_ref();
    let named = |label: &&'static str| Some((*label, labels?.get(*label)?.clone()));
    let status = pod.status.as_ref();
    let mut conditions = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten();
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    let phase = status.and_then(|status| status.phase.as_deref());
    PodRow {
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        service: SERVICE_LABELS.iter().find_map(named),
        owner: controller(&pod.metadata).map(|owner| (owner.kind.clone(), owner.name.clone())),
        is_ready: conditions.any(|found| found.type_ == "Ready" && found.status == "True"),
        is_over: matches!(phase, Some("Succeeded" | "Failed")),
        restarts: containers
            .into_iter()
            .flatten()
            .map(|container| container.restart_count)
            .fold(0, i32::saturating_add),
    }
}

fn set_row(set: &ReplicaSet) -> SetRow {
    let annotations = set.metadata.annotations.as_ref();
    let revision = annotations.and_then(|all| all.get(REVISION));
    let owner = controller(&set.metadata).filter(|owner| owner.kind == "Deployment");
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let containers = template
        .and_then(|template| template.spec.as_ref())
        .map(|spec| &*spec.containers);
    SetRow {
        uid: set.metadata.uid.clone().unwrap_or_default(),
        deployment: owner.map(|owner| owner.name.clone()),
        revision: revision.and_then(|text| text.parse().ok()).unwrap_or(0),
        images: images(containers.unwrap_or_default()),
    }
}

fn images(containers: &[Container]) -> Vec<String> {
    containers
        .iter()
        .filter_map(|container| container.image.clone())
        .collect()
}

/// What a rollout led to and from: tags of the first image that differs, else of the first.
fn versions(images: &[String], previous: Option<&[String]>) -> (Option<String>, Option<String>) {
    let previous = previous.unwrap_or_default();
    let differs = |(at, image): &(usize, &String)| previous.get(*at) != Some(*image);
    let (at, image) = match images.iter().enumerate().find(differs) {
        Some(found) => found,
        None => match images.first() {
            Some(image) => (0, image),
            None => return (None, None),
        },
    };
    (tag(image), previous.get(at).and_then(|image| tag(image)))
}

/// `registry:5000/shop/cart:v2@sha256:…` is `v2`; without a tag, the beginning of the digest.
fn tag(image: &str) -> Option<String> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let digest = || digest.map(|digest| digest.chars().take(19).collect());
    last.split_once(':')
        .map(|(_, tag)| tag.to_owned())
        .or_else(digest)
}

fn is_node_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|found| found.type_ == "Ready" && found.status == "True")
}

fn node_alert(name: &str, cluster: Option<&str>, since: Time, ends_at: Time) -> Alert {
    let pairs = [
        ("alertname", "KubernetesNodeNotReady"),
        ("severity", "critical"),
        ("node", name),
    ];
    let cluster = cluster.map(|cluster| ("k8s.cluster.name", cluster));
    let labels = Labels::from_pairs(pairs.into_iter().chain(cluster)).unwrap_or_default();
    let summary = format!("node {name} is not ready");
    Alert {
        fingerprint: Fingerprint::of(&labels),
        annotations: Labels::from_pairs([("summary", &*summary)]).unwrap_or_default(),
        labels,
        starts_at: since,
        ends_at,
        generator_url: None,
    }
}

fn series(name: &str, pairs: &Pairs) -> Series {
    let kind = match name {
        "k8s.pod.restarts" => SeriesKind::Counter,
        _ => SeriesKind::Gauge,
    };
    secrets::series(name, pack(pairs), kind, Unit::None)
}

/// Labels too many or too long to be any are none.
fn pack(pairs: &Pairs) -> Labels {
    let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
    Labels::from_pairs(pairs).unwrap_or_default()
}

/// The service that a workload's pods say they are, else the workload.
fn entity(pairs: &Pairs, name: &str) -> EntityId {
    let service = pairs
        .iter()
        .find(|(label, _)| SERVICE_LABELS.contains(label));
    let name = service.map_or(name, |(_, value)| value.as_str());
    EntityId::new(EntityKind::Service, name)
}
