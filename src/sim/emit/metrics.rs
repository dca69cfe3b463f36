//! Metrics of services, stores and hosts, as a Prometheus would scrape them.

use std::sync::Arc;

use super::{batch, labels};
use crate::model::{Batch, Sample, Series, SeriesKind, Signal, Time, Unit};
use crate::sim::flow::Flow;
use crate::sim::noise::Noise;
use crate::sim::quirks::Quirks;
use crate::sim::system::{NodeKind, System};

/// One series and its last value, so that counters count on.
#[derive(Clone, Debug)]
struct Gauge {
    series: Arc<Series>,
    total: f64,
}

/// The series of one node.
#[derive(Clone, Debug)]
struct NodeSeries {
    requests: Gauge,
    failures: Gauge,
    p50: Gauge,
    p99: Gauge,
    cpu: Gauge,
    memory: Gauge,
    pool: Option<Gauge>,
    disk: Option<Gauge>,
    hit_ratio: Option<Gauge>,
    lag: Option<Gauge>,
}

/// The series of one host.
#[derive(Clone, Debug)]
struct HostSeries {
    up: Gauge,
    cpu: Gauge,
    memory: Gauge,
    disk: Gauge,
}

/// Emits samples; keeps the counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    nodes: Vec<Option<NodeSeries>>,
    hosts: Vec<HostSeries>,
    noise: Noise,
    backlog: Vec<f64>,
}

impl Metrics {
    /// For one system.
    pub fn new(system: &System, seed: u64) -> Self {
        let nodes = system
            .nodes
            .iter()
            .map(|node| (node.kind != NodeKind::External).then(|| NodeSeries::new(node)))
            .collect();
        Self {
            nodes,
            hosts: system
                .hosts
                .iter()
                .map(|host| HostSeries::new(host))
                .collect(),
            noise: Noise::new(seed, 2),
            backlog: vec![0.0; system.nodes.len()],
        }
    }

    /// Number of series.
    pub fn series(&self) -> usize {
        let per_node = |n: &NodeSeries| {
            6 + [&n.pool, &n.disk, &n.hit_ratio, &n.lag]
                .into_iter()
                .flatten()
                .count()
        };
        self.nodes.iter().flatten().map(per_node).sum::<usize>() + 4 * self.hosts.len()
    }

    /// A process began anew: its counters count from 0.
    pub fn reset(&mut self, index: usize) {
        if let Some(series) = &mut self.nodes[index] {
            series.requests.total = 0.0;
            series.failures.total = 0.0;
        }
    }

    /// One sample a series at `now`, `dt_s` after the last; `down` hosts tell nothing but `up 0`, and
    /// nodes in a gap tell nothing, though they count on.
    pub fn emit(
        &mut self,
        system: &System,
        flow: &Flow,
        quirks: &Quirks,
        down: &[bool],
        now: Time,
        dt_s: f64,
    ) -> Option<Batch> {
        let mut signals = Vec::with_capacity(self.series());
        for i in 0..system.nodes.len() {
            let silent = quirks.in_gap(i, now);
            self.emit_node(system, flow, i, dt_s, &mut |gauge, value| {
                if !silent {
                    signals.push(sample(&gauge.series, now, value));
                }
            });
        }
        for (i, host) in self.hosts.iter_mut().enumerate() {
            if down[i] {
                signals.push(sample(&host.up.series, now, 0.0));
                continue;
            }
            let load = host_load(system, flow, i);
            let cpu = (0.08 + 0.5 * load) * self.noise.factor(0.06);
            signals.push(sample(&host.up.series, now, 1.0));
            signals.push(sample(&host.cpu.series, now, cpu.min(1.0)));
            signals.push(sample(
                &host.memory.series,
                now,
                0.55 + 0.01 * self.noise.normal(),
            ));
            signals.push(sample(
                &host.disk.series,
                now,
                0.41 + 0.000_3 * self.noise.normal(),
            ));
        }
        batch("sim-metrics", signals)
    }

    fn emit_node(
        &mut self,
        system: &System,
        flow: &Flow,
        index: usize,
        dt_s: f64,
        put: &mut impl FnMut(&Gauge, f64),
    ) {
        let (state, node) = (&flow.states[index], &system.nodes[index]);
        let Some(series) = &mut self.nodes[index] else {
            return;
        };
        let requests = self.noise.count(state.rps * dt_s) as f64;
        series.requests.total += requests;
        series.failures.total += self.noise.count(requests * state.errors) as f64;
        put(&series.requests, series.requests.total);
        put(&series.failures, series.failures.total);
        put(
            &series.p50,
            state.p50_ms / 1_000.0 * self.noise.factor(0.02),
        );
        put(&series.p99, state.p99_ms / 1_000.0);
        put(
            &series.cpu,
            (0.04 + 0.8 * state.utilisation * self.noise.factor(0.05)).min(1.0),
        );
        put(&series.memory, node.memory + 0.004 * self.noise.normal());
        if let Some(pool) = &series.pool {
            put(pool, state.pool);
        }
        if let Some(disk) = &series.disk {
            put(disk, state.disk);
        }
        if let Some(hits) = &series.hit_ratio {
            put(hits, state.hit_ratio);
        }
        if let Some(lag) = &series.lag {
            let growth =
                (state.rps * (state.self_errors - 0.02) * dt_s).max(-0.5 * self.backlog[index]);
            self.backlog[index] = (self.backlog[index] + growth).max(0.0);
            put(lag, self.backlog[index] + self.noise.count(6.0) as f64);
        }
    }
}

impl NodeSeries {
    fn new(node: &crate::sim::system::Node) -> Self {
        let gauge =
            |name: &str, unit| Gauge::new(name, "service", &node.name, SeriesKind::Gauge, unit);
        let counter =
            |name: &str| Gauge::new(name, "service", &node.name, SeriesKind::Counter, Unit::None);
        let store = node.kind != NodeKind::Service;
        let (requests, failures, p50, p99) = if store {
            (
                "store_operations_total",
                "store_operation_errors_total",
                "store_operation_duration_p50_seconds",
                "store_operation_duration_p99_seconds",
            )
        } else {
            (
                "http_requests_total",
                "http_request_errors_total",
                "http_request_duration_p50_seconds",
                "http_request_duration_p99_seconds",
            )
        };
        Self {
            requests: counter(requests),
            failures: counter(failures),
            p50: gauge(p50, Unit::Seconds),
            p99: gauge(p99, Unit::Seconds),
            cpu: gauge("process_cpu_utilization_ratio", Unit::Ratio),
            memory: gauge("process_memory_utilization_ratio", Unit::Ratio),
            pool: node
                .pool
                .map(|_| gauge("db_pool_in_use_ratio", Unit::Ratio)),
            disk: node.disk.map(|_| gauge("disk_used_ratio", Unit::Ratio)),
            hit_ratio: (node.kind == NodeKind::Cache)
                .then(|| gauge("cache_hit_ratio", Unit::Ratio)),
            lag: (node.kind == NodeKind::Queue).then(|| gauge("queue_lag_messages", Unit::None)),
        }
    }
}

impl HostSeries {
    fn new(host: &str) -> Self {
        let gauge = |name: &str, unit| Gauge::new(name, "host", host, SeriesKind::Gauge, unit);
        Self {
            up: gauge("up", Unit::None),
            cpu: gauge("node_cpu_utilization_ratio", Unit::Ratio),
            memory: gauge("node_memory_utilization_ratio", Unit::Ratio),
            disk: gauge("node_disk_used_ratio", Unit::Ratio),
        }
    }
}

impl Gauge {
    fn new(name: &str, label: &str, value: &str, kind: SeriesKind, unit: Unit) -> Self {
        let labels = labels([(label, value), ("env", "demo")]);
        Self {
            series: Arc::new(Series::new(name, labels, kind, unit)),
            total: 0.0,
        }
    }
}

fn sample(series: &Arc<Series>, at: Time, value: f64) -> Signal {
    Signal::Sample(Sample {
        series: Arc::clone(series),
        at,
        value: as_printed(series.unit, value),
    })
}

/// With the digits an exporter prints: a process does not know its latency to the femtosecond.
fn as_printed(unit: Unit, value: f64) -> f64 {
    let steps = match unit {
        Unit::Seconds => 1e6,
        Unit::Ratio => 1e5,
        Unit::Percent | Unit::Milliseconds => 1e3,
        Unit::None | Unit::Bytes | Unit::PerSecond | Unit::BytesPerSecond => 1.0,
    };
    (value * steps).round() / steps
}

/// Mean utilisation of what runs on a host.
fn host_load(system: &System, flow: &Flow, host: usize) -> f64 {
    let hosts = system.hosts.len();
    let (sum, count) = (0..system.nodes.len())
        .filter(|&i| system.nodes[i].placement(i, hosts).contains(&host))
        .fold((0.0, 0.0), |(sum, count), i| {
            (sum + flow.states[i].utilisation.min(1.0), count + 1.0)
        });
    sum / f64::max(count, 1.0)
}
