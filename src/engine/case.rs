//! Puts together what diagnosis is told about an incident: its entities and what they depend on,
//! with everything measured on them.
//!
//! Measures nothing itself and concludes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::correlate::{Held, Sight, target};
use super::diagnose::deviation::{Column, ColumnKind, Normal};
use super::diagnose::{
    Case, Coverage, Dependency, LogChange, LogSign, Loss, Onset, Shift, SubjectIx, TraceSign,
};
use super::entities::EntityIx;
use super::explain;
use super::intake::SeriesIx;
use super::traces::{Flow, Usual, WINDOW_MS, Window};
use crate::model::{Band, Check, IncidentId, MetricRole, Time, Unit};

/// Entities of one case at most.
const SUBJECTS_MAX: usize = 400;
/// Dependencies are followed this far below the members of an incident.
const DEPTH_BELOW: usize = 2;
/// Series of one entity looked at.
const COLUMNS_MAX: usize = 40;
/// Changes this long before an incident are weighed, in milliseconds.
const CHANGES_MS: i64 = 6 * 3_600_000;
/// Edges seen within this are used, in milliseconds.
const TRACE_FRESH_MS: i64 = 6 * WINDOW_MS;
/// Points before an incident from which its normal is read; with fewer the detector's is used.
const BEFORE_MIN: usize = 12;
/// Half width of a detector's band, in standard deviations.
const BAND_SIGMAS: f64 = 3.0;
/// How far an onset may be off beyond the sampling interval, in milliseconds.
const ONSET_UNCERTAINTY_MS: i64 = 5_000;
/// At most this much of the recent past stands for "now", in milliseconds.
const NOW_MS_MAX: i64 = 120_000;

impl Engine {
    /// The case of an incident; `None` when it is not known.
    pub(super) fn case_of(&self, id: IncidentId) -> Option<Case> {
        let held = self.correlator.book.get(id)?;
        let began = held.incident.began;
        let mut case = Case::new(self.now, began, 1);
        let chosen = self.subjects_of(held);
        for ix in &chosen {
            let at = case.subject(self.entities.id(*ix));
            self.fill(&mut case, at, *ix, held);
        }
        self.connect(&mut case, &chosen);
        let sight = Sight {
            entities: &self.entities,
            topology: &self.topology,
            conditions: self.correlator.conditions(),
        };
        case.target = case.find(self.entities.id(target(held, &sight)));
        case.changes = chosen
            .iter()
            .flat_map(|ix| {
                self.changes
                    .between(*ix, began.plus_ms(-CHANGES_MS), self.now)
            })
            .cloned()
            .collect();
        case.coverage = Coverage {
            logs: self.seen_logs,
            traces: self.traces.seen_any(),
            changes: self.changes.seen_any(),
        };
        case.blind = self
            .silence
            .blind()
            .map(|(source, since)| {
                format!(
                    "source {} is silent since {}",
                    source.0,
                    explain::clock(since)
                )
                .into()
            })
            .collect();
        Some(case)
    }

    /// The members, then what they depend on, nearest first, bounded.
    fn subjects_of(&self, held: &Held) -> Vec<EntityIx> {
        let mut chosen: Vec<EntityIx> = Vec::new();
        let mut seen: BTreeSet<EntityIx> = BTreeSet::new();
        let mut ring: Vec<EntityIx> = held.members.iter().copied().collect();
        if !seen.contains(&held.root) && !ring.contains(&held.root) {
            ring.push(held.root);
        }
        for _ in 0..=DEPTH_BELOW {
            let mut next = Vec::new();
            for ix in ring {
                if chosen.len() >= SUBJECTS_MAX {
                    return chosen;
                }
                if seen.insert(ix) {
                    chosen.push(ix);
                    next.extend_from_slice(self.topology.callees(ix));
                }
            }
            ring = next;
        }
        chosen
    }

    fn fill(&self, case: &mut Case, at: SubjectIx, ix: EntityIx, held: &Held) {
        let began = held.incident.began;
        let columns = self.columns_of(ix, began);
        let conditions = self.correlator.conditions();
        let onset = conditions
            .get(ix)
            .filter(|_| held.members.contains(&ix))
            .map(|condition| Onset {
                at: condition.onset,
                uncertainty_ms: self.interval_ms(ix) + ONSET_UNCERTAINTY_MS,
            });
        let traces = self.trace_sign(ix);
        let lost = self.silence.lost_since(ix, &self.intake).map(|at| Loss {
            what: self.entities.id(ix).name().into(),
            at,
        });
        let logs = self.log_signs(ix);
        let subject = &mut case.subjects[at];
        subject.columns = columns;
        subject.onset = onset;
        subject.traces = traces;
        subject.lost = lost;
        subject.logs = logs;
    }

    fn interval_ms(&self, ix: EntityIx) -> i64 {
        self.intake
            .of_entity(ix)
            .iter()
            .map(|series| i64::from(self.intake.row(*series).interval_ms))
            .min()
            .unwrap_or(0)
    }

    /// Metrics judged on an entity, failures as a share of requests where both are counted, and what
    /// callers see of it when it tells nothing itself.
    fn columns_of(&self, ix: EntityIx, began: Time) -> Vec<Column> {
        let since = began.max(self.now.plus_ms(-NOW_MS_MAX));
        let mut columns: Vec<Column> = self
            .intake
            .of_entity(ix)
            .iter()
            .take(COLUMNS_MAX)
            .filter_map(|series| self.column_of(*series, began, since))
            .collect();
        share_failures(&mut columns);
        if !self.entities.has_series(ix) {
            columns.extend(self.traced_columns(ix));
        }
        columns
    }

    /// One metric of an entity: what it was before the incident, and what it is now.
    fn column_of(&self, ix: SeriesIx, began: Time, since: Time) -> Option<Column> {
        let row = self.intake.row(ix);
        if !row.is_judged() {
            return None;
        }
        let kind = ColumnKind::of(row.role);
        let points = row.history.points();
        let mut before: Vec<f64> = points
            .iter()
            .filter(|point| point.at < began)
            .map(|point| f64::from(point.value))
            .collect();
        let normal = if before.len() >= BEFORE_MIN {
            Normal::of(&mut before, kind, row.unit)?
        } else {
            normal_of_band(row.judge.band(self.now), row.judge.samples())
        };
        let now = row.history.mean_since(since)?;
        Some(Column {
            name: explain::subject(&row.series.name).into(),
            unit: row.unit,
            kind,
            normal,
            additive: true,
            limit: match (kind, row.unit) {
                (ColumnKind::Resource, Unit::Ratio) => Some(1.0),
                (ColumnKind::Resource, Unit::Percent) => Some(100.0),
                _ => None,
            },
            values: vec![now],
        })
    }

    fn log_signs(&self, ix: EntityIx) -> Vec<LogSign> {
        let Some(condition) = self.correlator.conditions().get(ix) else {
            return Vec::new();
        };
        condition
            .findings
            .iter()
            .filter_map(|id| self.findings.get(*id))
            .filter_map(|state| {
                let finding = &state.finding;
                let change = match finding.check {
                    Check::NewTemplate => LogChange::New,
                    Check::LogBurst => LogChange::More,
                    Check::LogSilence => LogChange::Gone,
                    _ => return None,
                };
                Some(LogSign {
                    change,
                    error: finding.role == MetricRole::Errors,
                    template: finding.subject.clone(),
                    count: finding.seen.max(0.0) as u64,
                    since: Some(finding.since),
                    score: sigmas(f64::from(finding.score)),
                })
            })
            .collect()
    }

    fn trace_sign(&self, ix: EntityIx) -> TraceSign {
        let fresh = |flow| {
            self.traces
                .flow(flow)
                .filter(|(_, _, at)| self.now.since(*at) <= TRACE_FRESH_MS)
        };
        let slower = |flow| {
            let (usual, window, _) = fresh(flow)?;
            let (normal, _, _) = usual.normal()?;
            Some(Shift {
                normal,
                now: (window.log_sum / window.calls).exp(),
                z: usual.z(window),
            })
        };
        let own_errors = || {
            let (usual, window, _) = fresh(Flow::Own(ix))?;
            let (_, _, normal) = usual.normal()?;
            let now = window.errors / window.calls;
            let spread = (normal.max(0.003) / window.calls).sqrt();
            Some(Shift {
                normal,
                now,
                z: (now - normal) / spread,
            })
        };
        TraceSign {
            self_time: slower(Flow::Own(ix)),
            self_errors: own_errors(),
            gap: slower(Flow::Gap(ix)),
        }
    }

    /// Duration and failures of calls to an entity, as its callers see them.
    fn traced_columns(&self, ix: EntityIx) -> Vec<Column> {
        let mut columns = Vec::new();
        let mut flows = self.traces.callers_of(ix, &self.topology);
        flows.insert(0, Flow::Served(ix));
        for flow in flows {
            let Some((usual, window, at)) = self.traces.flow(flow) else {
                continue;
            };
            if self.now.since(at) <= TRACE_FRESH_MS {
                columns.extend(columns_of_flow(usual, window));
            }
        }
        columns
    }

    fn connect(&self, case: &mut Case, chosen: &[EntityIx]) {
        let position: BTreeMap<EntityIx, SubjectIx> = chosen
            .iter()
            .filter_map(|ix| Some((*ix, case.find(self.entities.id(*ix))?)))
            .collect();
        for (from, at) in &position {
            for callee in self.topology.callees(*from) {
                let (Some(to), Some(edge)) =
                    (position.get(callee), self.topology.edge(*from, *callee))
                else {
                    continue;
                };
                let calls = self
                    .traces
                    .flow(Flow::Called(*from, *callee))
                    .map(|(_, window, _)| window.calls);
                case.dependencies.push(Dependency {
                    from: *at,
                    to: *to,
                    provenance: edge.provenance,
                    // Read off labels or the config, it has no age.
                    age_ms: if edge.last_seen == Time::ZERO {
                        0
                    } else {
                        self.now.since(edge.last_seen).max(0)
                    },
                    calls,
                });
            }
        }
    }
}

/// Failures a second become a share of requests, when the entity counts both exactly once.
fn share_failures(columns: &mut [Column]) {
    let only = |columns: &[Column], kind| {
        let mut found = columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.kind == kind && c.unit == Unit::None)
            .map(|(at, _)| at);
        found.next().filter(|_| found.next().is_none())
    };
    let (Some(errors), Some(traffic)) = (
        only(columns, ColumnKind::Errors),
        only(columns, ColumnKind::Traffic),
    ) else {
        return;
    };
    let (usual, now) = (
        columns[traffic].normal.median,
        columns[traffic].values.first().copied().unwrap_or(f64::NAN),
    );
    if usual <= 0.0 || now.is_nan() || now <= 0.0 {
        return;
    }
    let column = &mut columns[errors];
    column.unit = Unit::Ratio;
    column.normal.median = (column.normal.median / usual).min(1.0);
    column.normal.up /= usual;
    column.normal.down /= usual;
    for value in &mut column.values {
        *value = (*value / now).clamp(0.0, 1.0);
    }
}

fn columns_of_flow(usual: &Usual, window: &Window) -> Vec<Column> {
    let Some((seconds, factor, failing)) = usual.normal() else {
        return Vec::new();
    };
    let spread = seconds * (factor - 1.0);
    let column = |name: &str, unit, kind, median, spread: f64, value| Column {
        name: name.into(),
        unit,
        kind,
        normal: Normal {
            median,
            up: spread,
            down: spread,
            samples: usual.calls(),
        },
        additive: true,
        limit: None,
        values: vec![value],
    };
    vec![
        column(
            "duration of calls",
            Unit::Seconds,
            ColumnKind::Latency,
            seconds,
            spread,
            (window.log_sum / window.calls).exp(),
        ),
        column(
            "failing calls",
            Unit::Ratio,
            ColumnKind::Errors,
            failing,
            (failing.max(0.003) / window.calls).sqrt().max(0.01),
            window.errors / window.calls,
        ),
    ]
}

/// The detector's own idea of normal, for series whose recent past is all incident.
fn normal_of_band(band: Band, samples: u32) -> Normal {
    let spread = ((band.high - band.low) / (2.0 * BAND_SIGMAS)).max(f64::MIN_POSITIVE);
    Normal {
        median: f64::midpoint(band.low, band.high),
        up: spread,
        down: spread,
        samples,
    }
}

/// Standard deviations of a normal distribution with the same tail, from −log10 p.
fn sigmas(score: f64) -> f64 {
    (2.0 * std::f64::consts::LN_10 * score.max(0.0)).sqrt()
}
