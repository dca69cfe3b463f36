//! Log lines: a few ordinary ones each tick, and what a service writes when it hurts.

use super::{batch, labels};
use crate::model::{Batch, Labels, LogLevel, LogLine, Signal, Time};
use crate::sim::fault::{Fault, FaultKind, Place};
use crate::sim::flow::Flow;
use crate::sim::noise::Noise;
use crate::sim::system::{NodeKind, System};

/// Most error lines a node writes in one tick.
const ERROR_LINES_MAX: u64 = 4;
/// Below this share of failures a node rarely writes an error line.
const ERROR_SHARE_QUIET: f64 = 0.01;

/// Emits log lines.
#[derive(Clone, Debug)]
pub struct Logs {
    labels: Vec<Labels>,
    noise: Noise,
}

impl Logs {
    /// For one system.
    pub fn new(system: &System, seed: u64) -> Self {
        let emitter = |name: &str| labels([("service", name), ("env", "demo")]);
        Self {
            labels: system.nodes.iter().map(|n| emitter(&n.name)).collect(),
            noise: Noise::new(seed, 3),
        }
    }

    /// Lines written in the `dt_s` seconds up to `now`.
    pub fn emit(
        &mut self,
        system: &System,
        flow: &Flow,
        faults: &[Fault],
        now: Time,
        dt_s: f64,
    ) -> Option<Batch> {
        let mut signals = Vec::new();
        for i in 0..system.nodes.len() {
            if system.nodes[i].kind == NodeKind::External || flow.states[i].replicas == 0 {
                continue;
            }
            for _ in 0..self.noise.count(0.3 * dt_s) {
                let text = self.ordinary(system.nodes[i].kind);
                signals.push(self.line(i, LogLevel::Info, text, now, dt_s));
            }
            for _ in 0..self.error_lines(flow, i, dt_s) {
                let text = self.failure(system, flow, faults, i, now);
                signals.push(self.line(i, LogLevel::Error, text, now, dt_s));
            }
        }
        batch("sim-logs", signals)
    }

    fn error_lines(&mut self, flow: &Flow, index: usize, dt_s: f64) -> u64 {
        let state = &flow.states[index];
        let failing = state.rps * dt_s * state.errors;
        let written = if state.errors < ERROR_SHARE_QUIET {
            0.05 * failing
        } else {
            0.4 * failing
        };
        self.noise.count(written.min(40.0)).min(ERROR_LINES_MAX)
    }

    fn ordinary(&mut self, kind: NodeKind) -> String {
        let (id, ms) = (self.noise.below(90_000) + 10_000, self.noise.below(80) + 1);
        match (kind, self.noise.below(3)) {
            (NodeKind::Service, 0) => format!("GET /api/v2/items/{id} 200 {ms}ms"),
            (NodeKind::Service, 1) => {
                format!("handled request id={id} user={} in {ms}ms", id % 7_001)
            }
            (NodeKind::Service, _) => {
                format!("session {id:08x} refreshed for 10.2.{}.{}", id % 250, ms)
            }
            (NodeKind::Cache, _) => format!("{id} keys sampled, {ms} expired"),
            (NodeKind::Queue, _) => format!("segment {id} rolled at offset {}", id * 31),
            (_, 0) => format!("checkpoint complete: wrote {id} buffers in {ms} ms"),
            (_, _) => format!("automatic vacuum of table \"public.orders\": removed {id} pages"),
        }
    }

    /// The line of a failing request: what only the node at fault can say, or who let it down.
    fn failure(
        &mut self,
        system: &System,
        flow: &Flow,
        faults: &[Fault],
        index: usize,
        now: Time,
    ) -> String {
        let state = &flow.states[index];
        let (id, ms) = (self.noise.below(90_000) + 10_000, state.p99_ms as u64);
        let own = self
            .noise
            .chance(state.self_errors / state.errors.max(1e-9));
        let culprit = faults
            .iter()
            .find(|f| f.place == Place::Node(index) && f.is_active(now));
        if own && let Some(fault) = culprit {
            return match fault.kind {
                FaultKind::BadDeploy => {
                    format!("panic: nil discount for order {id} at apply_discount (pricing.rs:88)")
                }
                FaultKind::PoolExhaustion => format!(
                    "timeout after 3000 ms acquiring a connection for request {id}: pool exhausted (20 of 20 in use)"
                ),
                FaultKind::DiskFull => {
                    format!("could not extend file \"base/16384/{id}\": No space left on device")
                }
                _ => format!("request {id} failed after {ms}ms: internal error"),
            };
        }
        let guilty = system.callees(index).max_by(|a, b| {
            let weight = |d: &crate::sim::system::Dependency| flow.states[d.to].errors * d.fatal;
            weight(a).total_cmp(&weight(b))
        });
        match guilty {
            Some(d) if !own => {
                format!(
                    "call to {} failed for request {id}: status 503 after {ms}ms",
                    system.nodes[d.to].name
                )
            }
            _ => format!("request {id} failed after {ms}ms: internal error"),
        }
    }

    fn line(
        &mut self,
        index: usize,
        level: LogLevel,
        text: String,
        now: Time,
        dt_s: f64,
    ) -> Signal {
        let back_ms = (self.noise.unit() * dt_s * 1_000.0) as i64;
        Signal::Log(Box::new(LogLine {
            at: now.plus_ms(-back_ms),
            labels: self.labels[index].clone(),
            level: Some(level),
            text: text.into_boxed_str(),
            trace: None,
            span: None,
        }))
    }
}
