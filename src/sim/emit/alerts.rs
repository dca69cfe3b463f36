//! Alerts of the team's own rules: thresholds that hold for a while, resent until they resolve.

use std::collections::BTreeMap;

use super::{batch, labels};
use crate::model::{Alert, Batch, Fingerprint, Labels, Signal, Time};
use crate::sim::flow::{Flow, NodeState};
use crate::sim::noise::Noise;
use crate::sim::system::{NodeKind, System};

/// A rule fires once it held this long, in milliseconds.
const HOLD_MS: i64 = 30_000;
/// A firing alert is sent again this often, in milliseconds.
const RESEND_MS: i64 = 60_000;
/// A firing alert ends this far ahead unless it is sent again, in milliseconds.
const AHEAD_MS: i64 = 240_000;
/// An unrelated alert flaps with this period, in milliseconds.
const FLAP_MS: i64 = 80_000;

/// One rule at one place.
#[derive(Clone, Debug, Default)]
struct Rule {
    since: Option<Time>,
    started: Option<Time>,
    sent: Time,
}

/// Emits alerts; keeps which rules hold.
#[derive(Clone, Debug)]
pub struct Alerts {
    rules: BTreeMap<(&'static str, usize), Rule>,
    usual_p99_ms: Vec<f64>,
    /// Whether unrelated alerts flap as well.
    pub unrelated: bool,
    noise: Noise,
}

impl Alerts {
    /// For one system whose usual latencies are those of `flow` now.
    pub fn new(flow: &Flow, seed: u64) -> Self {
        Self {
            rules: BTreeMap::new(),
            usual_p99_ms: flow.states.iter().map(|s| s.p99_ms).collect(),
            unrelated: false,
            noise: Noise::new(seed, 5),
        }
    }

    /// Alerts sent at `now`.
    pub fn emit(
        &mut self,
        system: &System,
        flow: &Flow,
        down: &[bool],
        now: Time,
    ) -> Option<Batch> {
        let mut signals = Vec::new();
        for (i, state) in flow.states.iter().enumerate() {
            let node = &system.nodes[i];
            if node.kind == NodeKind::External {
                continue;
            }
            for (name, severity, holds, summary) in rules_of(state, self.usual_p99_ms[i], node.kind)
            {
                let labels = labels([
                    ("alertname", name),
                    ("severity", severity),
                    ("service", &node.name),
                    ("env", "demo"),
                ]);
                self.judge(name, i, holds, now, labels, &summary, &mut signals);
            }
        }
        for (i, &down) in down.iter().enumerate() {
            let host = &system.hosts[i];
            let labels = labels([
                ("alertname", "NodeDown"),
                ("severity", "critical"),
                ("host", host),
                ("env", "demo"),
            ]);
            self.judge(
                "NodeDown",
                i,
                down,
                now,
                labels,
                &format!("{host} has not been scraped"),
                &mut signals,
            );
        }
        if self.unrelated {
            self.flap(system, now, &mut signals);
        }
        batch("sim-alerts", signals)
    }

    /// Alerts that have nothing to do with anything.
    fn flap(&mut self, system: &System, now: Time, signals: &mut Vec<Signal>) {
        let flapping = now.ms().rem_euclid(FLAP_MS) < FLAP_MS / 2;
        let host = &system.hosts[system.hosts.len() - 1];
        let late = labels([
            ("alertname", "BackupLate"),
            ("severity", "warning"),
            ("host", host),
            ("env", "demo"),
        ]);
        self.judge(
            "BackupLate",
            0,
            flapping,
            now,
            late,
            "the nightly backup is late",
            signals,
        );
        let cert = labels([
            ("alertname", "CertExpiresSoon"),
            ("severity", "info"),
            ("service", "notifications"),
            ("env", "demo"),
        ]);
        self.judge(
            "CertExpiresSoon",
            0,
            true,
            now,
            cert,
            "the certificate expires in 13 days",
            signals,
        );
        let spot = labels([
            ("alertname", "SpotPriceHigh"),
            ("severity", "warning"),
            ("env", "demo"),
        ]);
        let high = self.noise.chance(0.5);
        self.judge(
            "SpotPriceHigh",
            0,
            high,
            now,
            spot,
            "spot instances cost more than planned",
            signals,
        );
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one row of the rule table with its place"
    )]
    fn judge(
        &mut self,
        name: &'static str,
        place: usize,
        holds: bool,
        now: Time,
        labels: Labels,
        summary: &str,
        signals: &mut Vec<Signal>,
    ) {
        let rule = self.rules.entry((name, place)).or_default();
        let hold_ms = if name == "BackupLate" || name == "SpotPriceHigh" {
            0
        } else {
            HOLD_MS
        };
        let (starts_at, ends_at) = if holds {
            let since = *rule.since.get_or_insert(now);
            if now.since(since) < hold_ms {
                return;
            }
            let started = *rule.started.get_or_insert(now);
            if rule.sent >= started && now.since(rule.sent) < RESEND_MS {
                return;
            }
            (started, now.plus_ms(AHEAD_MS))
        } else {
            rule.since = None;
            let Some(started) = rule.started.take() else {
                return;
            };
            (started, now)
        };
        rule.sent = now;
        let annotations = self::labels([("summary", summary)]);
        signals.push(Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations,
            starts_at,
            ends_at,
            generator_url: None,
        })));
    }
}

/// The rules of one node: name, severity, whether it holds, summary.
fn rules_of(
    state: &NodeState,
    usual_p99_ms: f64,
    kind: NodeKind,
) -> Vec<(&'static str, &'static str, bool, String)> {
    let mut rules = vec![
        (
            "HighErrorRate",
            "critical",
            state.errors > 0.05,
            format!("{:.1} % of requests fail", 100.0 * state.errors),
        ),
        (
            "HighLatency",
            "warning",
            state.p99_ms > 3.0 * usual_p99_ms + 20.0,
            format!("p99 is {:.0} ms", state.p99_ms),
        ),
        (
            "PoolNearlyExhausted",
            "warning",
            state.pool > 0.9,
            format!("{:.0} % of connections in use", 100.0 * state.pool),
        ),
        (
            "DiskAlmostFull",
            "critical",
            state.disk > 0.9,
            format!("disk {:.0} % full", 100.0 * state.disk),
        ),
    ];
    if kind == NodeKind::Cache {
        let text = format!("hit ratio {:.0} %", 100.0 * state.hit_ratio);
        rules.push(("CacheHitRatioLow", "warning", state.hit_ratio < 0.6, text));
    }
    rules
}
