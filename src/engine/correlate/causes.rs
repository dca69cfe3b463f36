//! Is there a cause in this entity itself? What it depends on and the work it gets explain most
//! trouble; what they leave over is a cause of its own.
//!
//! Two entities that each have one are two incidents, however much of the harm they share. Reads
//! findings and the recent past of series; must never look at names, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::{Condition, Conditions};
use super::stages::ONSET_SLACK_MS;
use crate::engine::changes::Changes;
use crate::engine::diagnose::{Proof, words};
use crate::engine::entities::{Entities, EntityIx};
use crate::engine::explain;
use crate::engine::findings::Findings;
use crate::engine::history::Point;
use crate::engine::intake::{Intake, SeriesRow};
use crate::engine::judge::is_harmful;
use crate::engine::roles;
use crate::engine::topology::Topology;
use crate::engine::traces::Traces;
use crate::model::{
    Change, ChangeKind, Check, Direction, EntityKind, Finding, MetricRole, Time, Unit,
};

/// Onsets are read off samples: a cause may look this much later than its effect, in milliseconds.
const SLACK_MS: i64 = 15_000;
/// A change shows within this long, in milliseconds.
const CHANGE_SHOWS_MS: i64 = 2 * 60_000;
/// A resource may fill this much more than work and waiting ask for.
const RESOURCE_SLACK: f64 = 1.3;
/// Waiting in a queue grows with about this power of the load.
const LOAD_POWER: f64 = 6.0;
/// Waiting in a queue is at most this many times 1/(1 - utilisation): the mean of the squared
/// variations of arrivals and service (Kingman 1961).
const VARIABILITY: f64 = 4.0;
/// Work this much above its usual is more work.
const BUSIER: f64 = 1.1;
/// Answers that take this much longer than usual are slow: before it is full, everything varies.
const SLOWER: f64 = 1.3;
/// A resource at this share of its limit is full.
const FULL: f64 = 0.95;
/// How things were right before a resource filled is read off this long, in milliseconds …
const RIGHT_BEFORE_MS: i64 = 60_000;
/// … up to this long before, as the time between two samples goes …
const ROUNDED_MS: i64 = 5_000;
/// … and off so many points at least.
const RIGHT_BEFORE_MIN: usize = 4;
/// The lower and the upper quartile.
const LOWER: usize = 1;
const UPPER: usize = 3;
/// How things were as it filled is read off this long, in milliseconds.
const MOMENTS_MS: i64 = 10_000;
/// Points from before the trouble that tell what was usual, at least.
const BEFORE_MIN: usize = 6;
/// Series of one entity looked at.
const SERIES_MAX: usize = 40;
/// What would explain a cause away may be noticed this long after it, in milliseconds.
const UNPROVEN_MS: i64 = 60_000;
/// Sick entities searched for causes in one round.
const SEARCHED_MAX: usize = 2_000;

/// A cause found in an entity itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCause {
    /// When it began.
    pub since: Time,
    /// Why it is one, in words.
    pub why: String,
    /// The change that set it off: one rolled out to several entities is one cause.
    pub change: Option<Box<str>>,
    /// What of the entity shows it; nothing when only nothing else explains it: what would may be noticed later.
    pub proof: Option<Proof>,
    /// Engine time since which it has been one at every look.
    pub noticed: Time,
}

impl OwnCause {
    /// Whether it is proven, or has gone unexplained long enough.
    pub fn is_sure(&self, now: Time) -> bool {
        self.proof.is_some() || now.since(self.noticed) >= UNPROVEN_MS
    }
}

/// What is read.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Conditions by entity.
    pub conditions: &'a Conditions,
    /// The findings.
    pub findings: &'a Findings,
    /// The entities.
    pub entities: &'a Entities,
    /// The dependencies.
    pub topology: &'a Topology,
    /// The changes.
    pub changes: &'a Changes,
    /// The series, with their recent past.
    pub intake: &'a Intake,
    /// The calls traced.
    pub traces: &'a Traces,
    /// Engine time.
    pub now: Time,
}

impl<'a> Evidence<'a> {
    /// Every entity with a cause of its own, among those on which something is odd.
    pub fn causes(&self) -> BTreeMap<EntityIx, OwnCause> {
        self.conditions
            .iter()
            .filter(|(_, condition)| !condition.findings.is_empty())
            .take(SEARCHED_MAX)
            .filter_map(|(entity, _)| Some((entity, self.own_cause(entity)?)))
            .collect()
    }

    /// The cause in `entity` itself, if there is one.
    fn own_cause(&self, entity: EntityIx) -> Option<OwnCause> {
        let condition = self.conditions.get(entity)?;
        if condition.findings.is_empty() {
            return None;
        }
        self.loss(entity, condition)
            .or_else(|| self.change(entity, condition))
            .or_else(|| self.resource(entity, condition))
            .or_else(|| self.harm(entity, condition))
    }

    fn name(&self, entity: EntityIx) -> &str {
        self.entities.id(entity).name()
    }

    fn findings_of(&self, condition: &'a Condition) -> impl Iterator<Item = &'a Finding> {
        let findings = self.findings;
        condition
            .findings
            .iter()
            .filter_map(move |id| Some(&findings.get(*id)?.finding))
    }

    /// Findings that say it hurts, loud enough to wake somebody.
    fn loud(&self, condition: &'a Condition) -> impl Iterator<Item = &'a Finding> {
        let alerting = condition.is_alerting();
        self.findings_of(condition)
            .filter(move |f| (f.pages || alerting) && is_harmful(f.role, f.direction))
    }

    /// It is gone, and what it runs on is not.
    fn loss(&self, entity: EntityIx, condition: &'a Condition) -> Option<OwnCause> {
        let lost_below = |callee: &&EntityIx| self.conditions.is_lost(**callee);
        if !condition.sum.is_lost || self.topology.callees(entity).iter().any(|c| lost_below(&c)) {
            return None;
        }
        let gone = self
            .findings_of(condition)
            .filter(|f| f.check == Check::Absence && f.pages)
            .min_by_key(|f| f.since)?;
        Some(OwnCause {
            since: gone.since,
            why: format!(
                "{} is gone since {}",
                self.name(entity),
                explain::clock(gone.since)
            ),
            change: None,
            proof: Some(Proof::Loss),
            noticed: self.now,
        })
    }

    /// It was changed right before it began to hurt.
    fn change(&self, entity: EntityIx, condition: &'a Condition) -> Option<OwnCause> {
        let sets_off = |change: &&Change| {
            matches!(
                change.kind,
                ChangeKind::Deploy | ChangeKind::Config | ChangeKind::Flag
            )
        };
        let (change, finding) = self
            .loud(condition)
            .filter_map(|finding| {
                let from = finding.since.plus_ms(-CHANGE_SHOWS_MS);
                let to = finding.since.plus_ms(SLACK_MS);
                let change = self
                    .changes
                    .between(entity, from, to)
                    .filter(sets_off)
                    .last()?;
                Some((change, finding))
            })
            .min_by_key(|(change, finding)| (change.at, finding.since))?;
        Some(OwnCause {
            since: change.at,
            why: format!(
                "{} was changed ({}) {} before {} was odd",
                self.name(entity),
                change.title,
                words::duration(finding.since.since(change.at).max(0)),
                explain::subject(&finding.subject),
            ),
            change: Some(change.id.clone()),
            proof: Some(Proof::Change),
            noticed: self.now,
        })
    }

    /// A resource of it ran out, and neither more work nor a slow dependency fills it that much.
    fn resource(&self, entity: EntityIx, condition: &'a Condition) -> Option<OwnCause> {
        if !condition.sum.pages && !condition.is_alerting() {
            return None;
        }
        let full = self
            .findings_of(condition)
            .filter(|f| f.role == MetricRole::Saturation && f.direction == Direction::Up)
            .filter(|finding| self.fills_by_itself(entity, finding))
            .min_by_key(|f| f.since)?;
        Some(OwnCause {
            since: full.since,
            why: format!(
                "{} of {} ran out since {}, which neither its work nor its dependencies explain",
                explain::subject(&full.subject),
                self.name(entity),
                explain::clock(full.since)
            ),
            change: None,
            proof: Some(Proof::Resource),
            noticed: self.now,
        })
    }

    /// Whether a resource was full before work or waiting could have filled it.
    fn fills_by_itself(&self, entity: EntityIx, finding: &Finding) -> bool {
        let Some(row) = self.series_of(entity, finding) else {
            return false;
        };
        if roles::is_spent_by_work(&row.series.name) {
            return false;
        }
        let points = self.intake.points(row);
        let Some(limit) = limit_of(row.unit) else {
            return false;
        };
        let full = points
            .iter()
            .find(|point| point.at >= finding.since && f64::from(point.value) >= FULL * limit);
        let (Some(full), Some(usual)) = (full, usual(&points, finding.since)) else {
            return false;
        };
        let growth = f64::from(full.value) / usual;
        if roles::is_kept(&row.series.name) {
            return growth > RESOURCE_SLACK;
        }
        let of_databases = roles::is_of_databases(&row.series.name);
        let counts = |callee: &EntityIx| !of_databases || !self.calls_somebody(*callee);
        // Only what was until it was full can have filled it: what fails then is tried again, which is
        // more work.
        let over_usual = |points: &[Point]| lift(points, finding.since, full.at);
        // What had raised work or waiting some time before had raised the resource by then. Of what varied,
        // the benefit of the doubt goes to them.
        let at_once = jump(&points, finding.since, full.at, UPPER);
        let asked_at_once = |points: &[Point]| jump(points, finding.since, full.at, LOWER);
        self.is_more_than_asked(entity, Some(growth), counts, over_usual)
            || self.is_more_than_asked(entity, at_once, counts, asked_at_once)
    }

    /// Whether a resource grew by `growth`, and the work of `entity` and its waiting for what `counts`, as
    /// `measured`, did not grow that much.
    fn is_more_than_asked(
        &self,
        entity: EntityIx,
        growth: Option<f64>,
        counts: impl Fn(&EntityIx) -> bool,
        measured: impl Fn(&[Point]) -> Option<f64>,
    ) -> bool {
        let asked = || self.work(entity, &measured) * self.wait(entity, counts, &measured);
        growth.is_some_and(|growth| growth > RESOURCE_SLACK * asked())
    }

    /// It hurts and calls nobody, what it runs on does not, and it has no more work than it can take. Of
    /// those in the middle of a cascade nobody can tell.
    fn harm(&self, entity: EntityIx, condition: &'a Condition) -> Option<OwnCause> {
        let felt = |f: &&Finding| {
            matches!(
                f.role,
                MetricRole::Latency | MetricRole::Errors | MetricRole::Availability
            ) && f.check.is_metric()
        };
        let first = self.loud(condition).filter(felt).min_by_key(|f| f.since)?;
        let last = self.loud(condition).filter(felt).map(|f| f.since).max()?;
        if self.calls_somebody(entity) || self.hurt_below(entity, last) {
            return None;
        }
        // What is full fails and is tried again, which is more work: where there is more, only what was
        // before tells.
        let ever = Time::from_ms(i64::MAX);
        let work_by = |until| self.work(entity, |points| lift(points, first.since, until));
        let is_busier = work_by(ever) >= BUSIER;
        let full = self.full_since(entity, condition);
        let full = full.filter(|_| is_busier);
        let until = full.map_or(ever, |full| full.plus_ms(-1));
        let work = work_by(until);
        let strained = self
            .findings_of(condition)
            .any(|f| f.role == MetricRole::Saturation && f.direction == Direction::Up);
        let mut early = self
            .loud(condition)
            .filter(felt)
            .filter(|f| f.since <= until);
        let unexplained = early.any(|f| {
            if f.role == MetricRole::Latency {
                return self.is_slow_by_itself(entity, f, until, work);
            }
            // Who is overloaded fails, before its resources are quite at their limits; and of what began with
            // that nobody can tell what came first.
            let is_first = full.is_none_or(|full| full.since(f.since) > SLACK_MS);
            work < BUSIER && is_first || !strained
        });
        unexplained.then(|| OwnCause {
            since: first.since,
            why: format!(
                "{} hurts by itself since {}: it calls nobody, and its work does not explain it",
                self.name(entity),
                explain::clock(first.since)
            ),
            change: None,
            proof: None,
            noticed: self.now,
        })
    }

    /// Whether answers took longer by `until` than `work` times the usual work explains.
    fn is_slow_by_itself(
        &self,
        entity: EntityIx,
        finding: &Finding,
        until: Time,
        work: f64,
    ) -> bool {
        if !self.is_fine(entity, finding) {
            return false;
        }
        let lift = self.lift_of_finding(entity, finding, until);
        let by_work = self.wait_by_work(entity, finding.since, until, work);
        lift.is_none_or(|lift| lift > by_work.max(SLOWER))
    }

    /// How many times as long requests may take because of `work` times the usual work: waiting grows with
    /// a power of it, and is bounded by how busy its processors were.
    fn wait_by_work(&self, entity: EntityIx, since: Time, until: Time, work: f64) -> f64 {
        let busiest = self
            .intake
            .of_entity(entity)
            .iter()
            .take(SERIES_MAX)
            .map(|ix| self.intake.row(*ix))
            .filter(|row| row.role == MetricRole::Saturation && row.is_judged())
            .filter(|row| roles::is_spent_by_work(&row.series.name))
            .filter_map(|row| {
                let limit = limit_of(row.unit)?;
                let points = self.intake.points(row).into_iter();
                points
                    .filter(|point| point.at >= since.plus_ms(-SLACK_MS) && point.at <= until)
                    .map(|point| f64::from(point.value) / limit)
                    .max_by(f64::total_cmp)
            })
            .max_by(f64::total_cmp);
        let by_power = work.powf(LOAD_POWER);
        match busiest {
            Some(busiest) if busiest < 1.0 => by_power.min(VARIABILITY / (1.0 - busiest)),
            _ => by_power,
        }
    }

    /// Since when a resource of it is at its limit.
    fn full_since(&self, entity: EntityIx, condition: &'a Condition) -> Option<Time> {
        self.findings_of(condition)
            .filter(|f| f.role == MetricRole::Saturation && f.direction == Direction::Up)
            .filter_map(|finding| {
                let row = self.series_of(entity, finding)?;
                let limit = limit_of(row.unit)?;
                let points = self.intake.points(row).into_iter();
                let mut since = points.filter(|point| point.at >= finding.since);
                Some(
                    since
                        .find(|point| f64::from(point.value) >= FULL * limit)?
                        .at,
                )
            })
            .min()
    }

    /// Whether it depends on something that is not a machine.
    fn calls_somebody(&self, entity: EntityIx) -> bool {
        let callees = self.topology.callees(entity).iter();
        let mut kinds = callees.map(|callee| self.entities.id(*callee).kind());
        kinds.any(|kind| kind != EntityKind::Host)
    }

    /// Whether something it depends on hurt by `at`, seen through what nobody measures.
    fn hurt_below(&self, entity: EntityIx, at: Time) -> bool {
        self.below(entity).into_iter().any(|callee| {
            self.conditions
                .hurts(callee, self.entities)
                .is_some_and(|c| c.onset <= at.plus_ms(ONSET_SLACK_MS))
        })
    }

    /// What it depends on, and what that depends on where nobody measures it.
    pub fn below(&self, entity: EntityIx) -> BTreeSet<EntityIx> {
        let mut found = BTreeSet::new();
        for &callee in self.topology.callees(entity) {
            found.insert(callee);
            if !self.entities.has_series(callee) {
                found.extend(self.topology.callees(callee));
            }
        }
        found
    }

    /// How many times its usual work an entity got, by what was `measured`, at least 1; 1 when unknown.
    fn work(&self, entity: EntityIx, measured: impl Fn(&[Point]) -> Option<f64>) -> f64 {
        self.most(entity, MetricRole::Traffic, measured)
    }

    /// How many times as long it waits for what it depends on and `counts`, by what was `measured`.
    fn wait(
        &self,
        entity: EntityIx,
        counts: impl Fn(&EntityIx) -> bool,
        measured: impl Fn(&[Point]) -> Option<f64>,
    ) -> f64 {
        let below = self.below(entity);
        if below
            .iter()
            .any(|callee| counts(callee) && self.conditions.is_lost(*callee))
        {
            return f64::INFINITY;
        }
        let callees = below.into_iter().filter(counts);
        callees
            .map(|callee| self.most(callee, MetricRole::Latency, &measured))
            .fold(1.0, f64::max)
    }

    /// The most that was `measured` of the series of a role, at least 1.
    fn most(
        &self,
        entity: EntityIx,
        role: MetricRole,
        measured: impl Fn(&[Point]) -> Option<f64>,
    ) -> f64 {
        let rows = self.intake.of_entity(entity).iter().take(SERIES_MAX);
        rows.map(|ix| self.intake.row(*ix))
            .filter(|row| row.role == role && row.is_judged())
            .filter_map(|row| measured(&self.intake.points(row)))
            .fold(1.0, f64::max)
    }

    /// The series of a finding.
    fn series_of(&self, entity: EntityIx, finding: &Finding) -> Option<&'a SeriesRow> {
        let id = finding.series?;
        let intake = self.intake;
        intake
            .of_entity(entity)
            .iter()
            .map(|ix| intake.row(*ix))
            .find(|row| row.series.id == id)
    }

    /// Whether every point of a finding's series is still known: what came first cannot be read off means.
    fn is_fine(&self, entity: EntityIx, finding: &Finding) -> bool {
        let fine = self
            .series_of(entity, finding)
            .and_then(|row| self.intake.fine_since(row));
        fine.is_none_or(|fine| fine <= finding.since)
    }

    /// The worst of a finding's series by `until`, over what was usual before.
    fn lift_of_finding(&self, entity: EntityIx, finding: &Finding, until: Time) -> Option<f64> {
        let points = self.intake.points(self.series_of(entity, finding)?);
        lift(&points, finding.since, until)
    }
}

/// What a resource is full at, where its unit tells.
const fn limit_of(unit: Unit) -> Option<f64> {
    match unit {
        Unit::Ratio => Some(1.0),
        Unit::Percent => Some(100.0),
        _ => None,
    }
}

/// The highest value from shortly before `since` to `until`, over what was usual before; spikes of
/// single points aside.
fn lift(points: &[Point], since: Time, until: Time) -> Option<f64> {
    let usual = usual(points, since)?;
    let within: Vec<f64> = points
        .iter()
        .filter(|point| point.at >= since.plus_ms(-SLACK_MS) && point.at <= until)
        .map(|point| f64::from(point.value))
        .collect();
    let mut highest = within.clone();
    highest.sort_by(|a, b| b.total_cmp(a));
    // The third highest of a long stretch, the highest of a short one.
    let at = (within.len() / 8).min(2);
    highest.get(at).map(|value| value / usual)
}

/// The highest value in the moments before `full`, over a quartile of what it was right before `since`;
/// `None` where that is 0 or hardly known.
fn jump(points: &[Point], since: Time, full: Time, quartile: usize) -> Option<f64> {
    let within = |long_ms: i64, to: Time| {
        let from = to.plus_ms(-long_ms);
        let stretch = points.iter().filter(move |p| p.at >= from && p.at <= to);
        stretch.map(|point| f64::from(point.value))
    };
    let mut before: Vec<f64> = within(RIGHT_BEFORE_MS, since.plus_ms(-ROUNDED_MS)).collect();
    if before.len() < RIGHT_BEFORE_MIN {
        return None;
    }
    before.sort_by(f64::total_cmp);
    let level = before[before.len() * quartile / 4];
    let highest = within(MOMENTS_MS, full).max_by(f64::total_cmp)?;
    (level > 0.0).then(|| highest / level)
}

/// The median before `since`; `None` where that is 0 or hardly known.
pub fn usual(points: &[Point], since: Time) -> Option<f64> {
    let split = points.partition_point(|point| point.at < since.plus_ms(-SLACK_MS));
    let mut before: Vec<f64> = points[..split].iter().map(|p| f64::from(p.value)).collect();
    if before.len() < BEFORE_MIN {
        return None;
    }
    before.sort_by(f64::total_cmp);
    before
        .get(before.len() / 2)
        .copied()
        .filter(|usual| *usual > 0.0)
}

#[cfg(test)]
#[path = "causes_tests.rs"]
mod tests;
