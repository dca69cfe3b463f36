//! Did what a plan acted upon recover? Read off the signals of its own incident alone.
//!
//! Looked at are the place that hurt, the target, and the suspects of the plan's incident. Another
//! incident that is open may hurt the same place: what its cause explains is told with its number and
//! does not count, but an incident's own cause is never excused. Changes nothing.

use std::collections::BTreeSet;

use super::correlate::{Correlator, Held};
use super::entities::{Entities, EntityIx};
use super::findings::Findings;
use super::intake::Intake;
use super::topology::Topology;
use crate::model::{Check, Direction, Finding, IncidentId, Plan, SuspectRole};

/// Dependencies followed from a place that hurts down to the cause of another incident.
const DEPTH_MAX: usize = 6;
/// A suspect at least this sure stands for its incident.
const SUSPECT_CONFIDENCE_MIN: f32 = 0.3;
/// This many points in a row where they were expected before it began end the harm of a series. Its
/// own detector may take longer: after a long fault, normal is what looks odd.
const CALM_POINTS: usize = 4;

/// What is read from.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// The incidents and conditions.
    pub correlator: &'a Correlator,
    /// The entities.
    pub entities: &'a Entities,
    /// The dependencies.
    pub topology: &'a Topology,
    /// The findings.
    pub findings: &'a Findings,
    /// The series, with their recent points.
    pub intake: &'a Intake,
}

/// How the signals of a plan's incident are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The first place that still hurts, and counts.
    pub hurting: Option<Box<str>>,
    /// What still hurts and does not count, with the incident that explains it.
    pub excused: Option<Box<str>>,
}

/// Looks at the signals `plan` is verified by; `home` is the incident it belongs to now.
pub fn look(plan: &Plan, home: IncidentId, sight: Sight<'_>) -> Recovery {
    let Some(held) = sight.correlator.book.get(home) else {
        return Recovery::default();
    };
    let mut recovery = Recovery::default();
    let mut places: Vec<EntityIx> = Vec::new();
    let suspects = sight.suspects(held);
    let watched = [&plan.verify.watch, &plan.target];
    let watched = watched.into_iter().filter_map(|id| sight.entities.find(id));
    for place in watched.chain(suspects.iter().copied()) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    for place in places.into_iter().filter(|at| sight.hurts(*at, held)) {
        let name = sight.entities.id(place).to_string();
        let other = (!suspects.contains(&place))
            .then(|| sight.explained_elsewhere(place, home))
            .flatten();
        match other {
            None => {
                recovery.hurting.get_or_insert(name.into());
            }
            Some((incident, cause)) => {
                let cause = sight.entities.id(cause);
                let text = format!("{name} still hurts, which {cause} in {incident} explains");
                recovery.excused.get_or_insert(text.into());
            }
        }
    }
    recovery
}

impl Sight<'_> {
    /// The entities that are said to be why an incident is: its root and its first suspect.
    fn suspects(&self, held: &Held) -> BTreeSet<EntityIx> {
        let first =
            held.incident.diagnosis.hypotheses.first().filter(|h| {
                h.confidence >= SUSPECT_CONFIDENCE_MIN && h.role != SuspectRole::Impact
            });
        let first = first.and_then(|h| self.entities.find(&h.suspect));
        first.into_iter().chain([held.root]).collect()
    }

    /// Whether signals of this incident say that `place` hurts.
    fn hurts(&self, place: EntityIx, held: &Held) -> bool {
        let id = self.entities.id(place);
        let measured = held
            .incident
            .findings
            .iter()
            .any(|finding| finding.entity == *id && self.still_hurts(finding));
        let Some(condition) = self.correlator.conditions().get(place) else {
            return measured;
        };
        if condition.incident != Some(held.incident.id) {
            return measured;
        }
        // What tells nothing of itself has its findings made by those who call it.
        let sick = condition.findings.iter().any(|finding| {
            self.findings.get(*finding).is_some_and(|state| {
                state.incident == condition.incident && self.still_hurts(&state.finding)
            })
        });
        measured || sick || condition.alerts_firing > 0
    }

    fn still_hurts(&self, finding: &Finding) -> bool {
        // A new log line is news of what happened, no measure of what still does.
        finding.pages
            && finding.is_open()
            && finding.check != Check::NewTemplate
            && !self.is_back(finding)
    }

    /// Whether the series of a finding is where it was expected before.
    fn is_back(&self, finding: &Finding) -> bool {
        let (Some(series), Some(entity)) = (finding.series, self.entities.find(&finding.entity))
        else {
            return false;
        };
        let mut rows = self
            .intake
            .of_entity(entity)
            .iter()
            .map(|ix| self.intake.row(*ix));
        let Some(row) = rows.find(|row| row.series.id == series) else {
            return false;
        };
        let points = self.intake.points(row);
        let latest = points.iter().rev().take(CALM_POINTS);
        let within = |value: f32| match finding.direction {
            Direction::Up => f64::from(value) <= finding.expected.high,
            Direction::Down => f64::from(value) >= finding.expected.low,
        };
        finding.check != Check::Absence
            && points.len() >= CALM_POINTS
            && latest
                .into_iter()
                .all(|point| point.at > finding.since && within(point.value))
    }

    /// Another open incident whose cause still hurts, with that cause: it is below `place`, or it is it.
    fn explained_elsewhere(
        &self,
        place: EntityIx,
        home: IncidentId,
    ) -> Option<(IncidentId, EntityIx)> {
        let causes: Vec<(EntityIx, IncidentId)> = self
            .correlator
            .book
            .iter()
            .filter(|(id, held)| *id != home && held.is_open() && held.is_noisy())
            .flat_map(|(id, held)| self.suspects(held).into_iter().map(move |at| (at, id)))
            .filter(|(at, _)| {
                self.correlator
                    .conditions()
                    .explains(*at, self.entities)
                    .is_some()
            })
            .collect();
        let mut seen = BTreeSet::from([place]);
        let mut ring = vec![place];
        for _ in 0..=DEPTH_MAX {
            if let Some((cause, incident)) = causes.iter().find(|(at, _)| ring.contains(at)) {
                return Some((*incident, *cause));
            }
            ring = ring
                .iter()
                .flat_map(|at| self.topology.callees(*at))
                .copied()
                .filter(|at| seen.insert(*at))
                .collect();
        }
        None
    }
}
