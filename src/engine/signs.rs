//! What was found in the lines and spans of an entity, as diagnosis weighs it.
//!
//! Measures nothing itself and concludes nothing.

use super::Engine;
use super::diagnose::deviation::sigmas;
use super::diagnose::{EventKind, LogChange, LogSign, Shift, TraceSign};
use super::entities::EntityIx;
use super::traces::{Flow, WINDOW_MS};
use crate::model::{Check, MetricRole, Time};

/// Log groups of one entity looked through.
const LOG_GROUPS_MAX: usize = 64;
/// −log10 p of one line whose template was never seen before.
const NEW_LINE_SCORE: f64 = 2.0;
/// Log signs are told up to this many standard deviations.
const LOG_SIGMAS_MAX: f64 = 30.0;
/// Calls this long ago still say how things are now, in milliseconds.
const TRACE_FRESH_MS: i64 = 6 * WINDOW_MS;

impl Engine {
    /// What was found in the lines of an entity.
    pub(super) fn log_signs(&self, ix: EntityIx, began: Time) -> Vec<LogSign> {
        let Some(condition) = self.correlator.conditions().get(ix) else {
            return Vec::new();
        };
        let groups = self
            .logs
            .groups(self.entities.id(ix), began, self.now, LOG_GROUPS_MAX);
        let count_of = |template: &str| {
            groups
                .iter()
                .find(|group| *group.template == *template)
                .map_or(0, |group| group.count)
        };
        condition
            .findings
            .iter()
            .filter_map(|id| self.findings.get(*id))
            .filter_map(|state| {
                let finding = &state.finding;
                let (change, score) = match finding.check {
                    Check::NewTemplate => {
                        // Each line that was never seen before is one more proof.
                        let lines = count_of(&finding.subject) as f64;
                        (LogChange::New, sigmas(lines * NEW_LINE_SCORE))
                    }
                    Check::LogBurst => (LogChange::More, sigmas(f64::from(finding.score))),
                    Check::LogSilence => (LogChange::Gone, sigmas(f64::from(finding.score))),
                    _ => return None,
                };
                Some(LogSign {
                    kind: EventKind::Log,
                    requests: None,
                    change,
                    error: finding.role == MetricRole::Errors,
                    template: finding.subject.clone(),
                    count: match change {
                        // All its lines there ever were.
                        LogChange::New => count_of(&finding.subject),
                        LogChange::More | LogChange::Gone => finding.seen.max(0.0) as u64,
                    },
                    since: Some(finding.since),
                    score: score.min(LOG_SIGMAS_MAX),
                })
            })
            .collect()
    }

    /// What windows of calls say of the inside of an entity.
    pub(super) fn trace_sign(&self, ix: EntityIx, began: Time) -> TraceSign {
        let since = began.max(self.now.plus_ms(-TRACE_FRESH_MS));
        let slower = |flow| {
            let (usual, calls) = self.traces.flow_since(flow, since)?;
            let (normal, _, _) = usual.normal()?;
            Some(Shift {
                normal,
                now: (calls.log_sum / calls.calls).exp(),
                z: usual.z(&calls),
            })
        };
        let own_errors = || {
            let (usual, calls) = self.traces.flow_since(Flow::Own(ix), since)?;
            let (_, _, normal) = usual.normal()?;
            Some(Shift {
                normal,
                now: calls.errors / calls.calls,
                z: sigmas(usual.failing_score(&calls)),
            })
        };
        TraceSign {
            self_time: slower(Flow::Own(ix)),
            self_errors: own_errors(),
            gap: slower(Flow::Gap(ix)),
        }
    }
}
