//! Puts together what diagnosis is told about an incident: its entities and what they depend on,
//! with everything measured on them.
//!
//! Measures nothing itself and concludes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::correlate::{self, Condition, Held, Sight};
use super::deliveries::Scope;
use super::diagnose::deviation::{Column, ColumnKind, Normal};
use super::diagnose::{Case, Coverage, Dependency, Loss, Onset, OwnCause, SubjectIx, TraceSign};
use super::entities::EntityIx;
use super::explain;
use super::history::Point;
use super::intake::SeriesIx;
use super::roles;
use super::traces::{Flow, Usual, WINDOW_MS, Window};
use crate::model::{Band, DOWN, EntityId, Finding, Incident, IncidentId, Time, Unit};

/// Entities of one case at most.
const SUBJECTS_MAX: usize = 400;
/// Dependencies are followed this far below the members of an incident.
const DEPTH_BELOW: usize = 2;
/// Series of one entity looked at.
const COLUMNS_MAX: usize = 40;
/// Changes this long before an incident are weighed, in milliseconds.
const CHANGES_MS: i64 = 6 * 3_600_000;
/// Rows of an incident's window at most.
const ROWS_MAX: i64 = 32;
/// Width of a row at least, in milliseconds.
const ROW_MS_MIN: i64 = 10_000;
/// An incident that began this much later is another story, in milliseconds.
const LATER_STORY_MS: i64 = 20_000;
/// Rows that one older point may stand for.
const FILLED_ROWS: usize = 3;
/// Rows before the incident began, to tell slow drift from the incident.
const ROWS_BEFORE: i64 = 3;
/// Spread of a share of failures at least.
const SHARE_SPREAD_MIN: f64 = 0.002;
/// Points before an incident from which its normal is read; with fewer the detector's is used.
const BEFORE_MIN: usize = 12;
/// Samples that "it answers" stands for.
const LOST_SAMPLES: u32 = 200;
/// Half width of a detector's band, in standard deviations.
const BAND_SIGMAS: f64 = 3.0;
/// What fell sick further from the incident's begin belongs to another story, in milliseconds.
const ONSET_APART_MS: i64 = 5 * 60_000;
/// This many times the usual work makes a full resource a consequence; retries of failing calls
/// alone rarely more than triple it.
const BUSIER_MIN: f64 = 4.0;
/// Share of its log evidence that counts against a victim.
const EXCUSED_SHARE: f64 = 0.2;
/// A normal taught by fewer values than this is called young.
const YOUNG_SAMPLES: u32 = 30;
/// How far an onset may be off beyond the sampling interval, in milliseconds.
const ONSET_UNCERTAINTY_MS: i64 = 5_000;
/// The rows of a case.
#[derive(Clone, Copy, Debug)]
struct Rows {
    began: Time,
    from: Time,
    width_ms: i64,
    count: usize,
}

impl Engine {
    /// The case of an incident; `None` when it is not known.
    pub(super) fn case_of(&self, id: IncidentId) -> Option<Case> {
        let held = self.correlator.book.get(id)?;
        let began = held.incident.began;
        let window = Rows::of(began, self.now);
        let mut case = Case::new(self.now, began, window.count);
        let chosen = self.subjects_of(held);
        for ix in &chosen {
            let at = case.subject(self.entities.id(*ix));
            self.fill(&mut case, at, *ix, held, window);
        }
        self.testify(&mut case, &chosen, began);
        self.connect(&mut case, &chosen);
        let sight = Sight {
            entities: &self.entities,
            topology: &self.topology,
            conditions: self.correlator.conditions(),
        };
        let target = correlate::target(held, &sight);
        case.target = case.find(self.entities.id(target));
        let felt = self.correlator.conditions().get(target);
        case.is_alerting = felt.is_some_and(Condition::is_alerting);
        excuse_victims(&mut case);
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
            .map(|(source, missed)| {
                let since = explain::clock(missed.since);
                match missed.scope {
                    Scope::Everything => format!("source {} is silent since {since}", source.0),
                    Scope::OneKind => {
                        let kind = missed.kind.as_str();
                        format!("source {} brings no {kind} since {since}", source.0)
                    }
                }
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
                if seen.insert(ix) && !self.is_later_story(ix, held) {
                    chosen.push(ix);
                    next.extend_from_slice(self.topology.callees(ix));
                }
            }
            ring = next;
        }
        chosen
    }

    /// The other open incident an entity belongs to, if any.
    fn other_story(&self, ix: EntityIx, held: &Held) -> Option<&Incident> {
        let condition = self.correlator.conditions().get(ix)?;
        let other = self.correlator.book.get(condition.incident?)?;
        (other.is_open() && other.incident.id != held.incident.id).then_some(&other.incident)
    }

    /// Suspects of an incident that another open one suspects as well, and holds: what is to be done about
    /// them is proposed there.
    pub(super) fn suspects_elsewhere(&self, id: IncidentId) -> Vec<EntityId> {
        let Some(held) = self.correlator.book.get(id) else {
            return Vec::new();
        };
        let suspects = held.incident.diagnosis.hypotheses.iter();
        let suspects = suspects.map(|hypothesis| &hypothesis.suspect);
        let is_elsewhere = |suspect: &&EntityId| {
            let ix = self.entities.find(suspect);
            let other = ix.and_then(|ix| self.other_story(ix, held));
            other.is_some_and(|other| {
                let mut known = other.diagnosis.hypotheses.iter();
                known.any(|hypothesis| hypothesis.suspect == **suspect)
            })
        };
        suspects.filter(is_elsewhere).cloned().collect()
    }

    /// Whether an entity belongs to another open incident that began clearly later: it cannot be why
    /// this one began.
    fn is_later_story(&self, ix: EntityIx, held: &Held) -> bool {
        self.other_story(ix, held)
            .is_some_and(|other| other.began.since(held.incident.began) > LATER_STORY_MS)
    }

    fn fill(&self, case: &mut Case, at: SubjectIx, ix: EntityIx, held: &Held, window: Rows) {
        let columns = self.columns_of(ix, window);
        let is_young = self.is_young(ix, &columns);
        let conditions = self.correlator.conditions();
        let by_alert_alone = self.is_by_alert_alone(ix, held);
        let onset = conditions
            .get(ix)
            .filter(|condition| {
                let apart_ms = condition.onset.since(window.began).abs();
                held.members.contains(&ix) || condition.is_active() && apart_ms <= ONSET_APART_MS
            })
            .map(|condition| Onset {
                at: condition.onset,
                uncertainty_ms: ONSET_UNCERTAINTY_MS
                    + if by_alert_alone {
                        0
                    } else {
                        self.interval_ms(ix)
                    },
            });
        let worse = onset.and_then(|onset| {
            let at = conditions.worse_since(ix, &self.findings)?;
            Some(Onset { at, ..onset })
        });
        let traces = self.trace_sign(ix, window.began);
        let lost = self.silence.lost_since(ix, &self.intake).map(|at| Loss {
            what: self.entities.id(ix).name().into(),
            at,
        });
        let logs = self.log_signs(ix, window.began);
        let told_in = self.other_story(ix, held).map(|other| other.id);
        let own_cause = self.correlator.own_cause(ix, self.now);
        let subject = &mut case.subjects[at];
        subject.own_cause = own_cause.map(|cause| OwnCause {
            why: cause.why.as_str().into(),
            proof: cause.proof,
        });
        subject.told_in = told_in;
        subject.columns = columns;
        subject.is_young = is_young;
        subject.by_alert_alone = by_alert_alone;
        subject.onset = onset;
        subject.worse = worse;
        subject.traces = traces;
        subject.lost = lost;
        subject.logs = logs;
    }

    /// Whether an alert fires on an entity, and nothing that was found in this incident is about it.
    fn is_by_alert_alone(&self, ix: EntityIx, held: &Held) -> bool {
        let id = self.entities.id(ix);
        let is_about = |f: &Finding| f.entity == *id || f.callee.as_ref() == Some(id);
        let condition = self.correlator.conditions().get(ix);
        condition.is_some_and(|c| c.is_alerting() && c.findings.is_empty())
            && !held.incident.findings.iter().any(is_about)
    }

    /// Whether most of what says how an entity serves was seen too seldom to know its normal: of latency,
    /// errors and traffic, or where none of these is measured, of all.
    fn is_young(&self, ix: EntityIx, columns: &[Column]) -> bool {
        let rows = self.intake.of_entity(ix).iter();
        let rows = rows.map(|series| self.intake.row(*series));
        let judged = rows.filter(|row| row.is_judged());
        let mut known: Vec<(ColumnKind, u32)> = judged
            .map(|row| (ColumnKind::of(row.role), row.judge.samples()))
            .collect();
        if known.is_empty() {
            // Judged by its spans alone, if at all.
            known.extend(columns.iter().map(|c| (c.kind, c.normal.samples)));
        }
        let says_how = |kind| {
            matches!(
                kind,
                ColumnKind::Latency | ColumnKind::Errors | ColumnKind::Traffic
            )
        };
        if known.iter().any(|(kind, _)| says_how(*kind)) {
            known.retain(|(kind, _)| says_how(*kind));
        }
        let young = known.iter().filter(|(_, samples)| *samples < YOUNG_SAMPLES);
        2 * young.count() > known.len()
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
    fn columns_of(&self, ix: EntityIx, window: Rows) -> Vec<Column> {
        let mut columns: Vec<Column> = self
            .intake
            .of_entity(ix)
            .iter()
            .take(COLUMNS_MAX)
            .filter_map(|series| self.column_of(*series, window))
            .collect();
        columns.extend(self.missed_columns(ix, window));
        share_failures(&mut columns);
        if self.silence.lost_since(ix, &self.intake).is_some() {
            return vec![lost_column()];
        }
        if !self.entities.has_series(ix) {
            columns.extend(self.traced_columns(ix, window));
        }
        columns
    }

    /// One metric of an entity: what it was before the incident, and row by row since.
    fn column_of(&self, ix: SeriesIx, window: Rows) -> Option<Column> {
        let row = self.intake.row(ix);
        // A scrape's own verdict is told as a loss.
        if !row.is_judged() || roles::is_up(&row.series.name, &row.series.labels) {
            return None;
        }
        let kind = ColumnKind::of(row.role);
        let points = self.intake.points(row);
        let mut before: Vec<f64> = points
            .iter()
            .filter(|point| point.at < window.began)
            .map(|point| f64::from(point.value))
            .collect();
        let normal = if before.len() >= BEFORE_MIN {
            Normal::of(&mut before, kind, row.unit)?
        } else {
            normal_of_band(row.judge.band(self.now), row.judge.samples())
        };
        Some(Column {
            name: explain::subject(&row.series.name).into(),
            unit: row.unit,
            kind,
            normal,
            additive: !roles::is_percentile(&row.series),
            limit: match (kind, row.unit) {
                (ColumnKind::Resource, Unit::Ratio) => Some(1.0),
                (ColumnKind::Resource, Unit::Percent) => Some(100.0),
                _ => None,
            },
            values: window.means(&points)?,
        })
    }

    /// Hit ratios read the other way round: misses are work that somebody else has to do, which
    /// makes them a cause and not only a symptom.
    fn missed_columns(&self, ix: EntityIx, window: Rows) -> Vec<Column> {
        self.intake
            .of_entity(ix)
            .iter()
            .take(COLUMNS_MAX)
            .filter_map(|series| {
                let name = roles::missed_name(&self.intake.row(*series).series.name)?;
                let hits = self.column_of(*series, window)?;
                Some(missed(&hits, explain::subject(&name).into()))
            })
            .collect()
    }

    /// Duration and failures of calls to an entity, as its callers see them.
    fn traced_columns(&self, ix: EntityIx, rows: Rows) -> Vec<Column> {
        let mut flows = self.traces.callers_of(ix, &self.topology);
        flows.insert(0, Flow::Served(ix));
        flows
            .into_iter()
            .filter_map(|flow| {
                let (usual, _) = self.traces.flow_since(flow, rows.from)?;
                let mut windows = vec![Window::default(); rows.count];
                for (at, window) in self.traces.windows(flow) {
                    // A window's calls were made before its end.
                    if let Some(row) = rows.row(at.plus_ms(-WINDOW_MS / 2)) {
                        windows[row].merge(window);
                    }
                }
                Some(columns_of_flow(usual, &windows))
            })
            .flatten()
            .collect()
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
                    // Sampled calls are not in the unit of the requests counted by the services.
                    calls: None,
                });
            }
        }
    }
}

impl Rows {
    /// Rows from shortly before an incident to now: at most [`ROWS_MAX`], each at least
    /// [`ROW_MS_MIN`] wide.
    fn of(began: Time, now: Time) -> Self {
        let from = began.plus_ms(-ROWS_BEFORE * ROW_MS_MIN);
        let width_ms = (now.since(from) / ROWS_MAX + 1).max(ROW_MS_MIN);
        Self {
            began,
            from,
            width_ms,
            count: (now.since(from) / width_ms + 1).clamp(1, ROWS_MAX) as usize,
        }
    }

    /// The row of a time, if it lies in the window.
    fn row(&self, at: Time) -> Option<usize> {
        let row = at.since(self.from).div_euclid(self.width_ms);
        usize::try_from(row).ok().filter(|row| *row < self.count)
    }

    /// Means of points by row, NaN where there are none; `None` when there are none at all.
    fn means(&self, points: &[Point]) -> Option<Vec<f64>> {
        let mut sums = vec![(0.0, 0.0); self.count];
        for point in points {
            if let Some(row) = self.row(point.at) {
                let (sum, count) = &mut sums[row];
                *sum += f64::from(point.value);
                *count += 1.0;
            }
        }
        let any = sums.iter().any(|(_, count)| *count > 0.0);
        any.then(|| {
            let mut means: Vec<f64> = sums.into_iter().map(|(sum, count)| sum / count).collect();
            // An older point is the mean of the time before it.
            for row in (0..means.len().saturating_sub(1)).rev() {
                let later = (row + 1..means.len().min(row + FILLED_ROWS + 1))
                    .find(|later| means[*later].is_finite());
                if let Some(later) = later.filter(|_| means[row].is_nan()) {
                    means[row] = means[later];
                }
            }
            means
        })
    }
}

/// Failures a second become a share of requests, when the entity counts both exactly once.
fn share_failures(columns: &mut [Column]) {
    let only = |columns: &[Column], kind| {
        let mut found = columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.kind == kind && matches!(c.unit, Unit::None | Unit::PerSecond))
            .map(|(at, _)| at);
        found.next().filter(|_| found.next().is_none())
    };
    let (Some(errors), Some(traffic)) = (
        only(columns, ColumnKind::Errors),
        only(columns, ColumnKind::Traffic),
    ) else {
        return;
    };
    let usual = columns[traffic].normal.median;
    if usual <= 0.0 {
        return;
    }
    let requests = columns[traffic].values.clone();
    let column = &mut columns[errors];
    column.unit = Unit::Ratio;
    column.normal.median = (column.normal.median / usual).min(1.0);
    // Two requests in a thousand are life.
    column.normal.up = (column.normal.up / usual).max(SHARE_SPREAD_MIN);
    column.normal.down = (column.normal.down / usual).max(SHARE_SPREAD_MIN);
    for (value, requests) in column.values.iter_mut().zip(requests) {
        *value = if requests > 0.0 {
            (*value / requests).clamp(0.0, 1.0)
        } else {
            f64::NAN
        };
    }
}

/// What far more work, or the loss of a part, does to an entity is a consequence: a full resource,
/// errors of its own and time of its own are then no evidence against it.
fn excuse_victims(case: &mut Case) {
    let mut excused: BTreeSet<SubjectIx> = case
        .dependencies
        .iter()
        .filter(|edge| case.subjects[edge.to].lost.is_some())
        .map(|edge| edge.from)
        .collect();
    // When users themselves ask for more, work is the story and excuses nobody.
    let is_surge = case
        .target
        .is_some_and(|target| is_busier(&case.subjects[target].columns));
    for at in 0..case.subjects.len() {
        let subject = &mut case.subjects[at];
        if is_surge || !is_busier(&subject.columns) {
            continue;
        }
        excused.insert(at);
        for column in &mut subject.columns {
            if column.kind != ColumnKind::Traffic {
                column.kind = ColumnKind::Other;
            }
        }
    }
    for at in excused {
        let subject = &mut case.subjects[at];
        for column in subject
            .columns
            .iter_mut()
            .filter(|column| column.kind == ColumnKind::Resource)
        {
            column.kind = ColumnKind::Other;
            column.limit = None;
        }
        for sign in &mut subject.logs {
            sign.score *= EXCUSED_SHARE;
        }
        subject.traces = TraceSign::default();
    }
}

fn is_busier(columns: &[Column]) -> bool {
    columns.iter().any(|column| {
        column.kind == ColumnKind::Traffic
            && column.normal.median > 0.0
            && column
                .values
                .iter()
                .any(|value| *value >= BUSIER_MIN * column.normal.median)
    })
}

/// What is measured on something that is gone: that it is.
fn lost_column() -> Column {
    Column {
        name: DOWN.into(),
        unit: Unit::Ratio,
        kind: ColumnKind::Resource,
        normal: Normal {
            median: 0.0,
            up: 0.01,
            down: 0.01,
            samples: LOST_SAMPLES,
        },
        additive: false,
        limit: None,
        values: vec![1.0],
    }
}

/// The complement of a share of work that is taken off others.
fn missed(hits: &Column, name: Box<str>) -> Column {
    let whole = if hits.unit == Unit::Percent {
        100.0
    } else {
        1.0
    };
    Column {
        name,
        kind: ColumnKind::Resource,
        normal: Normal {
            median: whole - hits.normal.median,
            up: hits.normal.down,
            down: hits.normal.up,
            samples: hits.normal.samples,
        },
        limit: None,
        values: hits.values.iter().map(|value| whole - value).collect(),
        ..hits.clone()
    }
}

/// Durations and failures of calls, a window a row.
fn columns_of_flow(usual: &Usual, rows: &[Window]) -> Vec<Column> {
    let Some((seconds, factor, failing)) = usual.normal() else {
        return Vec::new();
    };
    let calls: f64 = rows.iter().map(|row| row.calls).sum();
    let column = |name: &str, unit, kind, median, spread: f64, values| Column {
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
        values,
    };
    // Rows without calls divide zero by zero: missing.
    let durations = rows.iter().map(|row| (row.log_sum / row.calls).exp());
    let failures = rows.iter().map(|row| row.errors / row.calls);
    vec![
        column(
            "duration of calls",
            Unit::Seconds,
            ColumnKind::Latency,
            seconds,
            seconds * (factor - 1.0),
            durations.collect(),
        ),
        column(
            "failing calls",
            Unit::Ratio,
            ColumnKind::Errors,
            failing,
            (failing.max(0.003) / calls.max(1.0)).sqrt().max(0.01),
            failures.collect(),
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
