//! A cluster whose API server plays a script: lists, watches that end, break or are too old. Bodies have the
//! shape of the real API's.

#![allow(clippy::needless_pass_by_value, reason = "bodies read like the API's")]

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::model::{ChangeKind, SourceHealth, SourceRow};
use crate::sources::{Rhythm, SignalQueue, SourceRegistry, signal_queue};

/// 2026-11-22 00:00:00 UTC.
const NOW_S: i64 = 1_795_305_600;
const PATIENCE: Duration = Duration::from_secs(20);

const PODS: &str = "/api/v1/pods";
const NODES: &str = "/api/v1/nodes";
const SETS: &str = "/apis/apps/v1/replicasets";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const EVENTS: &str = "/apis/events.k8s.io/v1/events";

fn now() -> Time {
    Time::from_secs(NOW_S)
}

/// What the server answers next.
enum Answer {
    /// Events, and then the end.
    Ends(Vec<Value>),
    /// Events, and then the connection breaks within one.
    Breaks(Vec<Value>),
    /// A status instead.
    Status(u16, &'static str),
}

/// What is answered of one kind of object.
#[derive(Default)]
struct Script {
    lists: VecDeque<Value>,
    watches: VecDeque<Answer>,
}

/// A server with a script for each path. What was asked is kept: path, version watched from.
#[derive(Clone, Default)]
struct Server {
    scripts: Arc<Mutex<BTreeMap<&'static str, Script>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn list(self, path: &'static str, version: &str, items: Vec<Value>) -> Self {
        let list = json!({
            "kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": version}, "items": items,
        });
        self.push(path, |script| script.lists.push_back(list))
    }

    fn watch(self, path: &'static str, answer: Answer) -> Self {
        self.push(path, |script| script.watches.push_back(answer))
    }

    fn push(self, path: &'static str, put: impl FnOnce(&mut Script)) -> Self {
        put(lock(&self.scripts).entry(path).or_default());
        self
    }

    fn asked(&self, path: &str) -> Vec<String> {
        let asked = lock(&self.asked);
        let its = asked.iter().filter_map(|line| line.strip_prefix(path));
        its.map(str::to_owned).collect()
    }
}

async fn answer(
    State(server): State<Server>,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let is_watch = query.get("watch").is_some_and(|word| word == "true");
    let version = query.get("resourceVersion").cloned().unwrap_or_default();
    let what = if is_watch {
        format!(" watch {version}")
    } else {
        " list".to_owned()
    };
    lock(&server.asked).push(format!("{}{what}", uri.path()));
    let mut scripts = lock(&server.scripts);
    let script = scripts.get_mut(uri.path());
    if !is_watch {
        let empty = json!({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []});
        let list = script.and_then(|script| match script.lists.len() {
            // The last one stays as it is.
            1 => script.lists.front().cloned(),
            _ => script.lists.pop_front(),
        });
        let list = list.unwrap_or(empty);
        let code = list["code"].as_u64().map_or(200, |code| code as u16);
        let code = StatusCode::from_u16(code).unwrap();
        return (code, axum::Json(list)).into_response();
    }
    let lines = |events: Vec<Value>| {
        let lines = events.into_iter().map(|event| format!("{event}\n"));
        lines
            .map(|line| Ok(Bytes::from(line)))
            .collect::<Vec<io::Result<Bytes>>>()
    };
    match script.and_then(|script| script.watches.pop_front()) {
        // Nothing happens any more.
        None => Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()).into_response(),
        Some(Answer::Ends(events)) => {
            Body::from_stream(stream::iter(lines(events))).into_response()
        }
        Some(Answer::Breaks(events)) => {
            let mut lines = lines(events);
            lines.push(Ok(Bytes::from_static(b"{\"type\":\"ADDED\",\"obj")));
            // What came before the break is sent before it: a body that waits is flushed.
            let broken = stream::once(async {
                tokio::task::yield_now().await;
                Err(io::Error::other("the connection breaks"))
            });
            Body::from_stream(stream::iter(lines).chain(broken)).into_response()
        }
        Some(Answer::Status(code, message)) => {
            let code = StatusCode::from_u16(code).unwrap();
            (code, axum::Json(status(code.as_u16(), message))).into_response()
        }
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Expired", "code": code,
    })
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(version: &str) -> Value {
    let meta = json!({"resourceVersion": version, "creationTimestamp": null});
    event(
        "BOOKMARK",
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": meta}),
    )
}

fn owned(kind: &str, name: &str) -> Value {
    json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true, "blockOwnerDeletion": true}])
}

fn pod(name: &str, version: &str, is_ready: bool, restarts: i32) -> Value {
    let ready = if is_ready { "True" } else { "False" };
    json!({
        "metadata": {
            "name": name, "namespace": "shop", "uid": name, "resourceVersion": version,
            "labels": {"app": "cart", "pod-template-hash": "7d9f"},
            "ownerReferences": owned("ReplicaSet", "cart-7d9f"),
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "cart", "image": "registry:5000/shop/cart:v2"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-21T23:00:00Z"}],
            "containerStatuses": [{
                "name": "cart", "image": "cart:v2", "imageID": "", "ready": is_ready,
                "restartCount": restarts, "state": {"running": {"startedAt": "2026-11-21T23:00:00Z"}}
            }],
        },
    })
}

/// A replica set of the cart, made so many minutes ago.
fn set(hash: &str, image: &str, revision: u32, minutes: i64, was: Option<&str>) -> Value {
    let made = now().plus_ms(-minutes * 60_000).to_rfc3339();
    let mut annotations = json!({"deployment.kubernetes.io/revision": revision.to_string()});
    if let Some(was) = was {
        annotations["deployment.kubernetes.io/revision-history"] = json!(was);
    }
    json!({
        "metadata": {
            "name": format!("cart-{hash}"), "namespace": "shop", "uid": hash,
            "resourceVersion": "7", "creationTimestamp": made, "annotations": annotations,
            "ownerReferences": owned("Deployment", "cart"),
        },
        "spec": {
            "replicas": 3, "selector": {"matchLabels": {"app": "cart"}},
            "template": {"spec": {"containers": [{"name": "cart", "image": image}]}},
        },
    })
}

fn deployment(generation: i64, desired: i32, available: i32) -> Value {
    json!({
        "metadata": {
            "name": "cart", "namespace": "shop", "uid": "d1", "generation": generation, "resourceVersion": "5",
        },
        "spec": {
            "replicas": desired, "selector": {"matchLabels": {"app": "cart"}},
            "template": {"spec": {"containers": []}},
        },
        "status": {"availableReplicas": available},
    })
}

fn node(ready: &str) -> Value {
    json!({
        "metadata": {"name": "node-1", "resourceVersion": "3"},
        "status": {"conditions": [
            {"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready},
        ]},
    })
}

fn told(uid: &str, kind: &str, count: i32, minutes: i64, note: &str) -> Value {
    let at = now().plus_ms(-minutes * 60_000).to_rfc3339();
    json!({
        "metadata": {"name": uid, "namespace": "shop", "uid": uid, "resourceVersion": "9"},
        "type": kind, "reason": "BackOff", "note": note, "action": "x",
        "eventTime": null, "deprecatedLastTimestamp": at, "deprecatedCount": count,
        "reportingController": "kubelet", "reportingInstance": "node-1",
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "cart-7d9f-a", "apiVersion": "v1"},
    })
}

/// A source that watches a server.
struct Watched {
    registry: SourceRegistry,
    queue: SignalQueue,
    _folder: tempfile::TempDir,
}

impl Watched {
    async fn start(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("config");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: k, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let config = format!("cluster = \"eu\"\ninterval_s = 1\nkubeconfig = {kubeconfig:?}");
        let (registry, queue) = signal_queue();
        let sender = registry.source("kubernetes", Rhythm::Regular, "");
        let config = toml::from_str(&config).unwrap();
        tokio::spawn(follow(config, sender, Arc::new(now)));
        Self {
            registry,
            queue,
            _folder: folder,
        }
    }

    fn row(&self) -> SourceRow {
        self.registry.rows(now()).remove(0)
    }

    /// The first signal of which something is to be said.
    async fn first<T>(&mut self, what: &str, wanted: impl Fn(&Signal) -> Option<T>) -> T {
        let found = async {
            loop {
                let queued = self.queue.recv().await.unwrap();
                let signals = queued.take(now()).signals;
                if let Some(found) = signals.iter().find_map(&wanted) {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("waited for {what}"))
    }
}

/// Name, labels and value of a sample.
fn sample(signal: &Signal) -> Option<(String, String, f64)> {
    let Signal::Sample(sample) = signal else {
        return None;
    };
    let labels = sample.series.labels.iter().map(|(n, v)| format!("{n}={v}"));
    let labels = labels.collect::<Vec<_>>().join(",");
    Some((sample.series.name.to_string(), labels, sample.value))
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_told_with_their_owners_and_a_watch_that_breaks_or_is_too_old_loses_nothing() {
    let pods = || vec![pod("cart-7d9f-a", "10", true, 0)];
    let server = Server::default()
        .list(PODS, "10", pods())
        .list(PODS, "20", vec![])
        .list(SETS, "7", vec![set("7d9f", "shop/cart:v2", 1, 600, None)])
        .watch(
            PODS,
            Answer::Breaks(vec![
                event("MODIFIED", pod("cart-7d9f-a", "11", true, 1)),
                bookmark("12"),
            ]),
        )
        .watch(
            PODS,
            Answer::Ends(vec![event("MODIFIED", pod("cart-7d9f-a", "13", false, 4))]),
        )
        .watch(PODS, Answer::Status(500, "etcd leader changed"))
        .watch(
            PODS,
            Answer::Ends(vec![event(
                "ERROR",
                status(410, "too old resource version: 13 (20)"),
            )]),
        );
    let mut watched = Watched::start(&server).await;
    let of_pod = "app=cart,k8s.cluster.name=eu,k8s.deployment.name=cart,k8s.namespace.name=shop,k8s.node.name=node-1,k8s.pod.name=cart-7d9f-a";
    let restarts = |signal: &Signal| {
        let (name, labels, value) = sample(signal)?;
        (name == "k8s.pod.restarts" && labels.contains("k8s.deployment.name") && value >= 4.0)
            .then_some(labels)
    };
    assert_eq!(watched.first("four restarts", restarts).await, of_pod);
    let ended = |signal: &Signal| {
        sample(signal)
            .filter(|(_, _, value)| value.is_nan())
            .map(|(name, _, _)| name)
    };
    assert_eq!(
        watched.first("the end of its series", ended).await,
        "k8s.pod.ready"
    );
    let expected = [
        " list",
        " watch 10",
        " watch 12",
        " watch 13",
        " watch 13",
        " list",
    ];
    assert_eq!(server.asked(PODS)[..6], expected);
    assert_eq!(watched.row().health, SourceHealth::Live);
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_scalings_and_rollbacks_are_changes() {
    let second = |revision, was| set("7d9f", "shop/cart:v2", revision, 10, was);
    let server = Server::default()
        .list(PODS, "1", vec![pod("cart-7d9f-a", "1", true, 0)])
        .list(
            SETS,
            "7",
            vec![set("6c8b", "shop/cart:v1", 1, 6_000, None), second(2, None)],
        )
        .watch(
            SETS,
            Answer::Ends(vec![
                event("MODIFIED", second(2, None)),
                event("ADDED", set("5e5e", "shop/cart:v2", 3, 0, None)),
                event("MODIFIED", set("6c8b", "shop/cart:v1", 4, 6_000, Some("1"))),
            ]),
        )
        .list(DEPLOYMENTS, "5", vec![deployment(4, 3, 3)])
        .watch(
            DEPLOYMENTS,
            Answer::Ends(vec![
                event("MODIFIED", deployment(5, 5, 3)),
                event("MODIFIED", deployment(5, 5, 5)),
            ]),
        );
    let mut watched = Watched::start(&server).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let change = |signal: &Signal| match signal {
            Signal::Change(change) => Some(change.clone()),
            _ => None,
        };
        told.push(watched.first("a change", change).await);
    }
    told.sort_by(|a, b| a.id.cmp(&b.id));
    let ago = |at: Time| now().since(at) / 60_000;
    let told: Vec<_> = told
        .iter()
        .map(|c| {
            (
                c.kind,
                c.entity.name(),
                &*c.title,
                c.previous_version.as_deref(),
                ago(c.at),
            )
        })
        .collect();
    let expected = [
        (
            ChangeKind::Config,
            "cart",
            "cart revision 3: same images, other settings",
            Some("v2"),
            0,
        ),
        (
            ChangeKind::Rollback,
            "cart",
            "cart v1, revision 4",
            Some("v2"),
            0,
        ),
        (
            ChangeKind::Deploy,
            "cart",
            "cart v2, revision 2",
            Some("v1"),
            10,
        ),
        (
            ChangeKind::Scale,
            "cart",
            "cart scaled from 3 to 5",
            None,
            0,
        ),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_become_lines_once_and_a_node_that_is_not_ready_an_alert() {
    let server = Server::default()
        .list(PODS, "1", vec![pod("cart-7d9f-a", "1", true, 0)])
        .list(
            EVENTS,
            "9",
            vec![
                told("e1", "Warning", 1, 60, "too old"),
                told(
                    "e2",
                    "Warning",
                    1,
                    1,
                    "Back-off restarting failed container",
                ),
                told("e3", "Normal", 1, 0, "Pulled image"),
            ],
        )
        .watch(EVENTS, Answer::Status(410, "too old resource version"))
        .watch(
            EVENTS,
            Answer::Ends(vec![event(
                "MODIFIED",
                told("e2", "Warning", 2, 0, "Back-off again"),
            )]),
        )
        .list(NODES, "3", vec![node("True")])
        .watch(
            NODES,
            Answer::Ends(vec![event("MODIFIED", node("Unknown"))]),
        );
    let mut watched = Watched::start(&server).await;
    let (mut lines, mut alert) = (Vec::new(), None);
    while lines.len() < 3 || alert.is_none() {
        let wanted = |signal: &Signal| match signal {
            Signal::Log(_) | Signal::Alert(_) => Some(signal.clone()),
            _ => None,
        };
        // Lines of one batch come one after the other.
        let queued = tokio::time::timeout(PATIENCE, watched.queue.recv()).await;
        for signal in queued
            .expect("they come in time")
            .unwrap()
            .take(now())
            .signals
        {
            match wanted(&signal) {
                Some(Signal::Log(line)) => {
                    let service = line.labels.get("app").unwrap_or_default().to_owned();
                    lines.push((
                        format!("{:?}", line.level.unwrap()),
                        service,
                        line.text.to_string(),
                    ));
                }
                Some(Signal::Alert(fired)) => alert = Some(fired),
                _ => {}
            }
        }
    }
    let line = |level: &str, text: &str| {
        (
            level.to_owned(),
            "cart".to_owned(),
            format!("BackOff: {text}"),
        )
    };
    let expected = [
        line("Warn", "Back-off restarting failed container"),
        line("Info", "Pulled image"),
        line("Warn", "Back-off again"),
    ];
    assert_eq!(lines, expected);
    let alert = alert.unwrap();
    assert_eq!(
        (alert.name(), alert.labels.get("node")),
        ("KubernetesNodeNotReady", Some("node-1"))
    );
    assert_eq!(alert.ends_at.since(now()), 4_000);
}

/// What a cluster tells while these kinds are known: names of series, and values.
fn values(cluster: &mut Cluster, current: Current) -> Vec<(String, f64)> {
    let signals = cluster.tell(current, now(), 1_000);
    let samples = signals.iter().filter_map(sample);
    samples.map(|(name, _, value)| (name, value)).collect()
}

const ALL: Current = Current {
    pods: true,
    deployments: true,
    nodes: true,
};

#[test]
fn a_pod_of_a_job_is_never_missed_and_one_that_ran_to_its_end_ends_its_series() {
    let typed = |value: &Value| -> Pod { serde_json::from_value(value.clone()).unwrap() };
    let mut cluster = Cluster::new(None);
    let mut job = pod("tidy-29-a", "1", true, 0);
    job["metadata"]["labels"] = json!({});
    job["metadata"]["ownerReferences"] = owned("Job", "tidy-29");
    cluster.pod(&typed(&job));
    assert!(values(&mut cluster, ALL).is_empty());
    job["status"]["phase"] = json!("Succeeded");
    cluster.pod(&typed(&job));
    assert!(values(&mut cluster, ALL).is_empty());
    assert_eq!(cluster.pod_went(&typed(&job), now()).len(), 0);

    let mut by_hand = pod("by-hand", "1", true, 0);
    by_hand["metadata"]["ownerReferences"] = json!([]);
    cluster.pod(&typed(&by_hand));
    let told = [("k8s.pod.ready", 1.0), ("k8s.pod.restarts", 0.0)];
    let told = told.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(values(&mut cluster, ALL), told);
    by_hand["status"]["phase"] = json!("Succeeded");
    cluster.pod(&typed(&by_hand));
    let ended = values(&mut cluster, ALL);
    assert!(
        ended.len() == 2 && ended.iter().all(|(_, value)| value.is_nan()),
        "{ended:?}"
    );
    assert!(values(&mut cluster, ALL).is_empty(), "once");
}

#[test]
fn what_cannot_be_watched_falls_silent_and_a_node_that_was_down_still_is() {
    let mut cluster = Cluster::new(None);
    let typed: Pod = serde_json::from_value(pod("cart-7d9f-a", "1", true, 0)).unwrap();
    cluster.pod(&typed);
    let typed: Deployment = serde_json::from_value(deployment(1, 3, 3)).unwrap();
    cluster.deployment(&typed, now());
    let typed: Node = serde_json::from_value(node("Unknown")).unwrap();
    cluster.node(&typed);
    assert_eq!(values(&mut cluster, ALL).len(), 5);
    for (current, expected) in [
        (Current { pods: false, ..ALL }, 3),
        (
            Current {
                deployments: false,
                ..ALL
            },
            3,
        ),
        (
            Current {
                nodes: false,
                ..ALL
            },
            4,
        ),
    ] {
        let signals = cluster.tell(current, now(), 1_000);
        let samples = signals.iter().filter_map(sample).count();
        assert_eq!(samples, expected, "{current:?}");
        let fires =
            |signal: &Signal| matches!(signal, Signal::Alert(alert) if alert.ends_at > now());
        assert_eq!(signals.iter().filter(|signal| fires(signal)).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_seen_is_told_and_the_rest_is_watched() {
    let server = Server::default()
        .list(NODES, "3", vec![node("True")])
        .push(PODS, |script| {
            script.lists.push_back(status(
                403,
                "pods is forbidden: User \"u\" cannot list resource \"pods\"",
            ));
        });
    let mut watched = Watched::start(&server).await;
    let ready = |signal: &Signal| {
        sample(signal)
            .filter(|(name, _, _)| name == "k8s.node.ready")
            .map(|(_, labels, value)| (labels, value))
    };
    let expected = ("k8s.cluster.name=eu,k8s.node.name=node-1".to_owned(), 1.0);
    assert_eq!(watched.first("the node", ready).await, expected);
    let row = watched.row();
    assert_eq!(row.health, SourceHealth::Failed, "{row:?}");
    assert!(
        row.detail
            .starts_with("pods: the API server answers 403: pods is forbidden"),
        "{row:?}"
    );
}
