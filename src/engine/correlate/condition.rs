//! What is wrong with each entity right now: the sum of its open findings and firing alerts.

use std::collections::BTreeMap;

use crate::engine::entities::{Entities, EntityIx};
use crate::engine::findings::{FindingState, Findings};
use crate::engine::judge::is_harmful;
use crate::engine::set_back::SetBack;
use crate::model::{Check, Direction, Finding, FindingId, IncidentId, MetricRole, Severity, Time};

/// What only informed and was last odd this long before is no part of how something began, in
/// milliseconds.
const STRAY_MS: i64 = 10 * 60_000;

/// What makes somebody look this long after an entity was first odd is not how that began, but how it
/// got worse, in milliseconds.
const WORSE_MS: i64 = 60_000;

/// The state of one entity on which something is or was odd.
#[derive(Debug)]
pub struct Condition {
    /// Event time of the first signal that is still part of it.
    pub onset: Time,
    /// Whether only vague signals tell that onset so far.
    is_vague: bool,
    /// Engine time at which that was noticed.
    pub noticed: Time,
    /// Findings open.
    pub findings: Vec<FindingId>,
    /// Alerts firing, flapping ones included.
    pub alerts_firing: u32,
    /// Severity of the worst alert since the onset.
    pub alert_severity: Option<Severity>,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    /// What its findings add up to.
    pub sum: Sum,
}

/// What the findings of a condition add up to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each asked for by name"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Some finding may open an incident by itself.
    pub pages: bool,
    /// Requests suffer, or a resource, an instance or a log says something is broken.
    pub is_harmed: bool,
    /// Requests to it suffer, surely enough to page or not.
    pub is_suffering: bool,
    /// It is gone: it answers no more, or tells nothing.
    pub is_lost: bool,
    /// It tells nothing, and whether it is gone nobody knows.
    pub is_blind: bool,
    /// More work than usual arrives.
    pub is_busier: bool,
    /// Any change in the work offered.
    pub work_changed: bool,
    /// The highest score.
    pub score: f32,
}

/// Conditions by entity; only of entities on which something is odd, or that belong to an incident.
#[derive(Debug, Default)]
pub struct Conditions {
    of: BTreeMap<EntityIx, Condition>,
}

/// A signal, as far as it tells when something began.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    /// Its first abnormal point.
    pub since: Time,
    /// Until when it is known to have been odd.
    pub until: Time,
    /// Whether it makes somebody look.
    pub pages: bool,
    /// Whether the first abnormal point is some way before anything went wrong: for the entity it counts
    /// only while nothing else tells when it began, and it never makes an incident older.
    pub is_vague: bool,
}

impl Began {
    /// What a finding tells. A line that was never seen before is odd once, however long it is told.
    /// Silence is counted from the last line, which was still as it should be, and a trend from long
    /// before it matters, as a stretch of values is that vary otherwise.
    pub fn of(finding: &Finding) -> Self {
        let until = match finding.check {
            Check::NewTemplate => finding.since,
            _ => finding.last_seen,
        };
        let is_vague = match finding.check {
            Check::LogSilence => true,
            Check::Saturation | Check::Drift | Check::SpreadChange => !finding.pages,
            _ => false,
        };
        Self {
            since: finding.since,
            until,
            pages: finding.pages,
            is_vague,
        }
    }

    /// What an alert tells.
    pub const fn alert(onset: Time) -> Self {
        Self {
            since: onset,
            until: onset,
            pages: true,
            is_vague: false,
        }
    }

    /// Whether it may be part of how something began at `onset`.
    pub fn is_connected(self, onset: Time) -> bool {
        self.pages || onset.since(self.until) <= STRAY_MS
    }

    /// When what was known to have begun at `onset` began, now that this is known too.
    pub fn earliest(self, onset: Time) -> Time {
        if self.is_connected(onset) && !self.is_vague {
            onset.min(self.since)
        } else {
            onset
        }
    }
}

impl Condition {
    fn new(onset: Time, noticed: Time) -> Self {
        Self {
            onset,
            is_vague: true,
            noticed,
            findings: Vec::new(),
            alerts_firing: 0,
            alert_severity: None,
            incident: None,
            sum: Sum::default(),
        }
    }

    /// A better signal replaces a vague beginning; of two alike the earlier counts.
    fn learn(&mut self, signal: Began) {
        let is_better = self.is_vague && !signal.is_vague && signal.is_connected(self.onset);
        if is_better {
            self.onset = signal.since;
            self.is_vague = false;
        } else {
            self.onset = signal.earliest(self.onset);
        }
    }

    /// Whether anything is odd now.
    pub fn is_active(&self) -> bool {
        !self.findings.is_empty() || self.alerts_firing > 0
    }

    /// Whether `signal` is the first that makes somebody look, long after all that is odd so far.
    fn is_strayed_from(&self, signal: Began, findings: &Findings) -> bool {
        let open = self.findings.iter().filter_map(|id| findings.get(*id));
        let mut odd = open.map(|state| Began::of(&state.finding));
        let is_first = signal.pages && !self.sum.pages && self.alerts_firing == 0;
        is_first
            && odd.all(|odd| {
                !Began {
                    pages: false,
                    ..odd
                }
                .is_connected(signal.since)
            })
    }

    /// Whether something fires that is meant to make somebody look.
    pub fn is_alerting(&self) -> bool {
        self.alerts_firing > 0 && self.alert_severity >= Some(Severity::Warning)
    }

    /// Whether this can be why a dependent is sick. Where the entity measures itself, its own
    /// numbers must say so: somebody's rule about a late backup explains nothing.
    pub fn explains(&self, measures_itself: bool) -> bool {
        (self.sum.pages && self.sum.is_harmed) || (self.is_alerting() && !measures_itself)
    }
}

impl Conditions {
    /// The condition of an entity.
    pub fn get(&self, entity: EntityIx) -> Option<&Condition> {
        self.of.get(&entity)
    }

    /// Every condition, by entity.
    pub fn iter(&self) -> impl Iterator<Item = (EntityIx, &Condition)> {
        self.of
            .iter()
            .map(|(entity, condition)| (*entity, condition))
    }

    /// The condition of an entity, to change.
    pub fn get_mut(&mut self, entity: EntityIx) -> Option<&mut Condition> {
        self.of.get_mut(&entity)
    }

    /// A signal of `entity` joined. Starts anew when nothing was odd, or nothing that mattered and that
    /// was connected in time.
    pub fn begin(
        &mut self,
        entity: EntityIx,
        signal: Began,
        findings: &Findings,
        now: Time,
    ) -> &mut Condition {
        let Began { since, .. } = signal;
        let condition = self
            .of
            .entry(entity)
            .or_insert_with(|| Condition::new(since, now));
        if condition.is_active() && !condition.is_strayed_from(signal, findings) {
            condition.learn(signal);
        } else {
            condition.onset = since;
            condition.is_vague = signal.is_vague;
            condition.noticed = now;
            condition.alert_severity = None;
        }
        condition
    }

    /// A signal of `entity` that joined before has changed: a trend that was only told may matter now.
    pub fn retell(&mut self, entity: EntityIx, signal: Began) {
        if let Some(condition) = self.of.get_mut(&entity)
            && condition.is_vague
        {
            condition.learn(signal);
        }
    }

    /// Sums up the findings of an entity again; a condition that is over and free is forgotten.
    pub fn refresh(&mut self, entity: EntityIx, findings: &Findings) {
        let Some(condition) = self.of.get_mut(&entity) else {
            return;
        };
        condition.sum = Sum::of(condition.findings.iter().filter_map(|id| findings.get(*id)));
        if !condition.is_active() && condition.incident.is_none() {
            self.of.remove(&entity);
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for condition in self.of.values_mut() {
            back.past(&mut condition.onset);
            back.past(&mut condition.noticed);
        }
    }

    /// Lets go of an entity whose incident is over.
    pub fn release(&mut self, entity: EntityIx) {
        if let Some(condition) = self.of.get_mut(&entity) {
            condition.incident = None;
            if !condition.is_active() {
                self.of.remove(&entity);
            }
        }
    }

    /// When the first finding that lasts and makes somebody look began, if the entity had only been a little
    /// odd for some time.
    pub fn worse_since(&self, entity: EntityIx, findings: &Findings) -> Option<Time> {
        let condition = self.get(entity)?;
        let open = condition.findings.iter().filter_map(|id| findings.get(*id));
        let paging = open.filter(|state| state.finding.pages);
        let worse = paging.map(|state| state.finding.since).min()?;
        (worse.since(condition.onset) > WORSE_MS).then_some(worse)
    }

    /// Whether the entity went away.
    pub fn is_lost(&self, entity: EntityIx) -> bool {
        self.get(entity)
            .is_some_and(|condition| condition.sum.is_lost)
    }

    /// Whether the entity is in a state that hurts those who call it. As part of an incident, requests
    /// that suffer are reason enough, however little.
    pub fn hurts(&self, entity: EntityIx, entities: &Entities) -> Option<&Condition> {
        let known =
            |condition: &&Condition| condition.incident.is_some() && condition.sum.is_suffering;
        self.explains(entity, entities)
            .or_else(|| self.get(entity).filter(known))
    }

    /// Whether the entity is in a state that can be why others are sick.
    pub fn explains(&self, entity: EntityIx, entities: &Entities) -> Option<&Condition> {
        self.of
            .get(&entity)
            .filter(|condition| condition.explains(entities.has_series(entity)))
    }
}

impl Sum {
    fn of<'a>(findings: impl Iterator<Item = &'a FindingState>) -> Self {
        let mut sum = Self::default();
        for state in findings {
            let finding = &state.finding;
            sum.pages |= finding.pages;
            sum.score = sum.score.max(finding.score);
            match finding.role {
                MetricRole::Traffic => {
                    sum.work_changed = true;
                    sum.is_busier |= finding.direction == Direction::Up;
                }
                role => {
                    // One of its metrics may stop: of the others it tells.
                    let is_absent =
                        finding.check == Check::Absence && role == MetricRole::Availability;
                    sum.is_lost |= is_absent && finding.pages;
                    if is_absent && !finding.pages {
                        // What we are blind on is not known to suffer.
                        sum.is_blind = true;
                        continue;
                    }
                    sum.is_suffering |=
                        role != MetricRole::Saturation && is_harmful(role, finding.direction);
                    sum.is_harmed |= is_harmful(role, finding.direction)
                        || (role == MetricRole::Other && finding.pages);
                }
            }
        }
        sum
    }
}
