//! Kubernetes: pods, replica sets, deployments and nodes as they are, and what happens to them.
//!
//! Each kind is listed and watched (`watch`); what is known of the cluster (`state`) becomes samples every few
//! seconds, changes when something is rolled out or scaled, and an alert while a node is not ready; the
//! cluster's own events become log lines (`event`). It only ever reads.

mod event;
#[cfg(test)]
mod properties;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Resource};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::backoff::Backoff;
use super::failing::Failing;
use super::recent::Recent;
use super::{Clock, SendError, SignalSender};
use crate::config::{KubernetesConfig, WhenFull};
use crate::model::{Signal, Time};
use state::{Cluster, Current};
use watch::{Seen, Taken, watch};

/// Events before this are not told when they are listed, in milliseconds: the API keeps them for an hour.
const EVENT_AGE_MS_MAX: i64 = 5 * 60_000;
/// Events remembered, so that none is told twice.
const EVENTS_MAX: usize = 20_000;
/// Whose pods are is learnt before what happened to them, if that does not take longer.
const PODS_FIRST: Duration = Duration::from_secs(10);
/// An alert fires for so many turns unless it is told again.
const HOLD_TURNS: i64 = 4;

/// Watches a cluster until the future is dropped, or nobody takes anything any more.
pub(super) async fn follow(config: KubernetesConfig, sender: SignalSender, clock: Clock) {
    let mut backoff = Backoff::new();
    let client = loop {
        match connect(&config).await {
            Ok(client) => break client,
            Err(why) => {
                sender.fail(&why);
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    };
    sender.recovered();
    let watching = Watching {
        cluster: Mutex::new(Cluster::new(config.cluster.clone())),
        told: Mutex::new(Recent::new(EVENTS_MAX)),
        failing: Failing::new(sender.clone()),
        pods_known: Notify::new(),
        config,
        sender,
        clock,
    };
    // It holds five watches, which are large.
    Box::pin(watching.run(&client)).await;
}

/// A client for the cluster that the config names: of a file, else of where we run.
async fn connect(config: &KubernetesConfig) -> Result<Client, String> {
    // A second call finds the provider installed; that is what it wants.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions {
        context: config.context.clone(),
        ..KubeConfigOptions::default()
    };
    let found = match &config.kubeconfig {
        Some(file) => {
            let told =
                |error: &dyn std::error::Error| format!("`kubeconfig` {}: {error}", file.display());
            let read = Kubeconfig::read_from(file).map_err(|error| told(&error))?;
            let read = Config::from_custom_kubeconfig(read, &options).await;
            read.map_err(|error| told(&error))?
        }
        None if config.context.is_some() => {
            let read = Config::from_kubeconfig(&options).await;
            read.map_err(|error| error.to_string())?
        }
        None => Config::infer().await.map_err(|error| error.to_string())?,
    };
    Client::try_from(found).map_err(|error| watch::told(&error))
}

/// Watching one cluster.
struct Watching {
    config: KubernetesConfig,
    sender: SignalSender,
    clock: Clock,
    cluster: Mutex<Cluster>,
    /// Events that were told, by their identity.
    told: Mutex<Recent<u64, ()>>,
    failing: Failing,
    pods_known: Notify,
}

impl Watching {
    /// Watches everything; over when nobody takes anything any more.
    async fn run(&self, client: &Client) {
        tokio::select! {
            () = self.pods(client) => {}
            () = self.after_pods(client) => {}
            () = watch(self.namespaced::<Deployment>(client), "deployments", &self.failing, |seen| {
                let now = (self.clock)();
                let mut cluster = self.cluster();
                let signals = match seen {
                    Seen::All(all) => cluster.deployments(&all, now),
                    Seen::Is(one) => cluster.deployment(&one, now),
                    Seen::Went(one) => {
                        cluster.deployment_went(&one);
                        Vec::new()
                    }
                };
                drop(cluster);
                self.hand_over(signals)
            }) => {}
            () = watch(everywhere::<Node>(client), "nodes", &self.failing, |seen| {
                let mut cluster = self.cluster();
                match seen {
                    Seen::All(all) => cluster.nodes(&all),
                    Seen::Is(one) => cluster.node(&one),
                    Seen::Went(one) => cluster.node_went(&one),
                }
                drop(cluster);
                self.hand_over(Vec::new())
            }) => {}
            () = self.tell() => {}
        }
    }

    async fn pods(&self, client: &Client) {
        watch(
            self.namespaced::<Pod>(client),
            "pods",
            &self.failing,
            |seen| {
                let now = (self.clock)();
                let mut cluster = self.cluster();
                let signals = match seen {
                    Seen::All(all) => {
                        self.pods_known.notify_one();
                        cluster.pods(&all, now)
                    }
                    Seen::Is(one) => {
                        cluster.pod(&one);
                        Vec::new()
                    }
                    Seen::Went(one) => cluster.pod_went(&one, now),
                };
                drop(cluster);
                self.hand_over(signals)
            },
        )
        .await;
    }

    /// What happens to pods is told once it is known whose they are.
    async fn after_pods(&self, client: &Client) {
        // Where pods may not be seen, the rest is told without.
        let _ = tokio::time::timeout(PODS_FIRST, self.pods_known.notified()).await;
        let sets = watch(
            self.namespaced::<ReplicaSet>(client),
            "replicasets",
            &self.failing,
            |seen| {
                let now = (self.clock)();
                let mut cluster = self.cluster();
                let signals = match seen {
                    Seen::All(all) => cluster.sets(&all, now),
                    Seen::Is(one) => cluster.set(&one, now),
                    Seen::Went(one) => {
                        cluster.set_went(&one);
                        Vec::new()
                    }
                };
                drop(cluster);
                self.hand_over(signals)
            },
        );
        let events = watch(
            self.namespaced::<Event>(client),
            "events",
            &self.failing,
            |seen| {
                let events = match seen {
                    Seen::All(all) => all,
                    Seen::Is(one) => vec![*one],
                    // The API forgets events after an hour.
                    Seen::Went(_) => Vec::new(),
                };
                self.hand_over(self.lines(&events))
            },
        );
        tokio::select! {
            () = sets => {}
            () = events => {}
        }
    }

    /// Lines of events that were not told before and are not old.
    fn lines(&self, events: &[Event]) -> Vec<Signal> {
        let now = (self.clock)();
        let cluster = self.cluster();
        let mut told = lock(&self.told);
        let mut signals = Vec::new();
        for event in events {
            let at = event::at(event).unwrap_or(now);
            let (uid, count) = event::identity(event);
            let key = xxhash_rust::xxh3::xxh3_64(format!("{uid} {count}").as_bytes());
            if now.since(at) > EVENT_AGE_MS_MAX || told.get(&key).is_some() {
                continue;
            }
            told.put(key, ());
            let line = event::line(event, &*cluster, at);
            signals.extend(line.map(|line| Signal::Log(Box::new(line))));
        }
        signals
    }

    /// Tells again and again how everything is that is known as it is now: what cannot be watched falls silent.
    async fn tell(&self) {
        let every = Duration::from_secs(self.config.interval_s.into());
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hold_ms = HOLD_TURNS * 1_000 * i64::from(self.config.interval_s);
        loop {
            turns.tick().await;
            let now: Time = (self.clock)();
            let works = |part| !self.failing.is_failing(part);
            let current = Current {
                pods: works("pods"),
                deployments: works("deployments"),
                nodes: works("nodes"),
            };
            let signals = self.cluster().tell(current, now, hold_ms);
            if self.hand_over(signals).await == Taken::Closed {
                return;
            }
        }
    }

    async fn hand_over(&self, signals: Vec<Signal>) -> Taken {
        if signals.is_empty() {
            return Taken::Yes;
        }
        let sent = match self.config.when_full {
            WhenFull::Block => self.sender.send(signals).await,
            WhenFull::Drop => self.sender.send_or_lose(signals),
        };
        match sent {
            Err(SendError::Closed) => Taken::Closed,
            Ok(()) | Err(SendError::Full) => Taken::Yes,
        }
    }

    /// Objects of the namespace that the config names, or of all.
    fn namespaced<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.config.namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }
}

/// Objects that are of no namespace.
fn everywhere<K>(client: &Client) -> Api<K>
where
    K: Resource<Scope = ClusterResourceScope>,
    K::DynamicType: Default,
{
    Api::all(client.clone())
}

/// What is locked is valid after any panic: it is brought up to date object by object.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
