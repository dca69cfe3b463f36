//! Traces: a sample of requests, each a tree of client and server spans along the dependencies.

use std::sync::Arc;

use super::{batch, labels};
use crate::model::{Batch, Labels, Signal, Span, SpanId, SpanKind, Time, TraceId};
use crate::sim::flow::Flow;
use crate::sim::noise::Noise;
use crate::sim::system::{NodeKind, System};

/// Most spans of one trace; deeper calls are left out.
const SPANS_MAX: usize = 60;
/// Time a call spends on the network, in microseconds.
const NETWORK_US: f64 = 350.0;

/// Emits spans.
#[derive(Clone, Debug)]
pub struct Spans {
    resources: Vec<Labels>,
    names: Vec<Arc<str>>,
    entries: Vec<usize>,
    noise: Noise,
}

/// What a call cost and whether it failed.
struct Served {
    duration_us: f64,
    error: bool,
}

impl Spans {
    /// For one system.
    pub fn new(system: &System, seed: u64) -> Self {
        let resource =
            |name: &str| labels([("service.name", name), ("deployment.environment", "demo")]);
        Self {
            resources: system.nodes.iter().map(|n| resource(&n.name)).collect(),
            names: system
                .nodes
                .iter()
                .map(|n| Arc::from(n.name.as_str()))
                .collect(),
            entries: (0..system.nodes.len())
                .filter(|&i| system.nodes[i].entry_rps > 0.0)
                .collect(),
            noise: Noise::new(seed, 4),
        }
    }

    /// `traces` sampled requests that ended within the `dt_s` seconds up to `now`.
    pub fn emit(
        &mut self,
        system: &System,
        flow: &Flow,
        traces: usize,
        now: Time,
        dt_s: f64,
    ) -> Option<Batch> {
        let mut signals = Vec::new();
        for i in 0..traces {
            let entry = self.entries[i % self.entries.len()];
            let trace =
                TraceId(u128::from(self.noise.bits()) << 64 | u128::from(self.noise.bits()));
            let start = now.plus_ms(-((self.noise.unit() * dt_s * 1_000.0) as i64));
            let mut spans = Vec::new();
            self.serve(system, flow, entry, trace, None, start, 0.0, &mut spans);
            signals.extend(spans.into_iter().map(|span| Signal::Span(Box::new(span))));
        }
        batch("sim-traces", signals)
    }

    /// One request at one node, its calls before itself; `after_us` after the trace began.
    #[expect(
        clippy::too_many_arguments,
        reason = "the walk carries the trace's context as values"
    )]
    fn serve(
        &mut self,
        system: &System,
        flow: &Flow,
        node: usize,
        trace: TraceId,
        parent: Option<SpanId>,
        start: Time,
        after_us: f64,
        spans: &mut Vec<Span>,
    ) -> Served {
        let id = SpanId(self.noise.bits());
        let state = &flow.states[node];
        let mut elapsed_us = 0.35 * state.self_ms * 1_000.0 * self.noise.factor(0.4);
        let tail_us = 0.65 * state.self_ms * 1_000.0 * self.noise.factor(0.4);
        let mut error = self.noise.chance(state.self_errors);
        let calls: Vec<_> = system.callees(node).copied().collect();
        for call in calls {
            if error || spans.len() >= SPANS_MAX {
                break;
            }
            let miss = if call.on_miss {
                (flow.states[call.to].rps / (state.rps * call.calls).max(0.1)).min(1.0)
            } else {
                1.0
            };
            if !self.noise.chance(call.calls.min(1.0) * miss) {
                continue;
            }
            let client = SpanId(self.noise.bits());
            let served = match system.nodes[call.to].kind {
                NodeKind::Service => self.serve(
                    system,
                    flow,
                    call.to,
                    trace,
                    Some(client),
                    start,
                    after_us + elapsed_us + NETWORK_US / 2.0,
                    spans,
                ),
                _ => self.served_without_span(flow, call.to),
            };
            let client_us = served.duration_us + NETWORK_US * self.noise.factor(0.3);
            spans.push(self.span(
                node,
                Some(call.to),
                trace,
                client,
                Some(id),
                start,
                after_us + elapsed_us,
                client_us,
                served.error,
            ));
            elapsed_us += client_us;
            error |= served.error && self.noise.chance(call.fatal);
        }
        let duration_us = elapsed_us + if error { 0.2 * tail_us } else { tail_us };
        spans.push(self.span(
            node,
            None,
            trace,
            id,
            parent,
            start,
            after_us,
            duration_us,
            error,
        ));
        Served { duration_us, error }
    }

    fn served_without_span(&mut self, flow: &Flow, node: usize) -> Served {
        let state = &flow.states[node];
        Served {
            duration_us: state.p50_ms * 1_000.0 * self.noise.factor(0.35),
            error: self.noise.chance(state.errors),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "fills one flat record")]
    fn span(
        &self,
        node: usize,
        callee: Option<usize>,
        trace: TraceId,
        id: SpanId,
        parent: Option<SpanId>,
        start: Time,
        after_us: f64,
        duration_us: f64,
        error: bool,
    ) -> Span {
        Span {
            trace,
            id,
            parent,
            resource: self.resources[node].clone(),
            name: Arc::clone(&self.names[callee.unwrap_or(node)]),
            kind: if callee.is_some() {
                SpanKind::Client
            } else {
                SpanKind::Server
            },
            start: start.plus_ms((after_us / 1_000.0) as i64),
            duration_us: duration_us.max(1.0) as u64,
            error,
            peer: callee.map(|callee| Arc::clone(&self.names[callee])),
            weight: None,
        }
    }
}
