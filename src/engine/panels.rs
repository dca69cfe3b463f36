//! What somebody looks at, made when asked for: alert rows, charts, log groups, example traces.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::correlate::{self, Held};
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::intake::{SeriesIx, SeriesRow};
use super::traces::{Reason, Tree};
use crate::model::{
    AlertPlace, AlertRow, Chart, ChartMark, EntityId, Finding, FindingId, Fingerprint, Hypothesis,
    Incident, IncidentId, Lane, LogGroup, SeriesId, SuspectKind, Time, TimelineEntry, TraceId,
    TraceView,
};

/// Entities of an incident looked through for charts, logs and traces.
const ENTITIES_MAX: usize = 40;
/// Marks on one chart.
const MARKS_MAX: usize = 20;
/// Logs this long before an incident began are not new, in milliseconds.
const NEW_LOGS_MS: i64 = 60_000;

/// Where a chart stands among those of an incident; earlier ones are smaller.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    /// What of its incident it tells.
    tier: u8,
    /// Of where it hurts most, of the first suspect, or of others.
    place: u8,
    felt: Reverse<u8>,
    since: Time,
}

/// What of an incident says where its charts stand: the same for every one of them.
struct Told<'a> {
    incident: &'a Incident,
    /// The finding its title tells of.
    title: Option<FindingId>,
    first: Option<&'a Hypothesis>,
    /// What most matters of each series it has findings of.
    of_series: BTreeMap<SeriesId, &'a Finding>,
}

impl<'a> Told<'a> {
    fn new(held: &'a Held) -> Self {
        let incident = &held.incident;
        let mut of_series = BTreeMap::new();
        for finding in &incident.findings {
            let Some(series) = finding.series else {
                continue;
            };
            let matters = |finding: &Finding| (finding.pages, Reverse(finding.since));
            let told = of_series.entry(series).or_insert(finding);
            if matters(finding) >= matters(told) {
                *told = finding;
            }
        }
        Self {
            incident,
            title: correlate::headlined(held, &incident.entity).map(|title| title.id),
            first: incident.diagnosis.hypotheses.first(),
            of_series,
        }
    }

    /// Where the chart of a series of `entity` stands.
    fn standing(&self, row: &SeriesRow, entity: &EntityId) -> Standing {
        let told = self.of_series.get(&row.series.id);
        let first = self.first.filter(|first| first.suspect == *entity);
        let limits = first.is_some_and(|first| {
            let SuspectKind::Resource { metric } = &first.cause else {
                return false;
            };
            let name = &row.series.name;
            **metric == **name || **metric == *explain::subject(name)
        });
        let tier = match told {
            Some(told) if self.title == Some(told.id) => 0,
            _ if limits => 1,
            Some(told) if told.pages => 2,
            Some(_) => 3,
            None => 4,
        };
        let place = match first {
            _ if *entity == self.incident.entity => 0,
            Some(_) => 1,
            None => 2,
        };
        Standing {
            tier,
            place,
            felt: Reverse(correlate::felt(row.role)),
            since: told.map_or(Time::ZERO, |told| told.since),
        }
    }
}

impl Engine {
    /// Alerts after `after` in order of fingerprint, at most `limit`, of one incident if given.
    pub fn alerts(
        &self,
        after: Option<Fingerprint>,
        limit: usize,
        incident: Option<IncidentId>,
    ) -> Vec<AlertRow> {
        let row = |fingerprint| self.alert_row(fingerprint);
        match incident {
            Some(id) => self
                .alerts
                .of_incident(id, after)
                .take(limit)
                .filter_map(row)
                .collect(),
            None => self
                .alerts
                .iter(after)
                .take(limit)
                .filter_map(|(fingerprint, _)| row(fingerprint))
                .collect(),
        }
    }

    /// Alerts after the place `after`, the most urgent first, at most `limit`.
    pub fn alerts_by_urgency(&self, after: Option<AlertPlace>, limit: usize) -> Vec<AlertRow> {
        let mut places: Vec<AlertPlace> = self
            .alerts
            .iter(None)
            .map(|(id, state)| AlertPlace::of(state.firing, state.severity, state.starts_at, id))
            .filter(|place| after.is_none_or(|after| *place > after))
            .collect();
        if places.len() > limit {
            // All of a storm need not be in order for its first page.
            places.select_nth_unstable(limit);
            places.truncate(limit);
        }
        places.sort_unstable();
        let row = |place: &AlertPlace| self.alert_row(place.fingerprint());
        places.iter().filter_map(row).collect()
    }

    /// One alert, with what holds it back.
    fn alert_row(&self, fingerprint: Fingerprint) -> Option<AlertRow> {
        let entity = |ix| self.entities.id(ix).clone();
        let row = self.alerts.row(fingerprint, entity)?;
        let held = self.holds.told(fingerprint).map(Box::new);
        Some(AlertRow { held, ..row })
    }

    /// Charts of the series behind an incident, at most `limit`; of one entity if given. First what its
    /// title tells, then what limits the first suspect, then where users feel it, as they feel it. A
    /// chart moves only when the title tells of something else, when another suspect is first, or when
    /// findings of its own begin or end: how odd each of them is does not count.
    pub fn charts(&self, id: IncidentId, entity: Option<&EntityId>, limit: usize) -> Vec<Chart> {
        let told = self.correlator.book.get(id).map(Told::new);
        let standing = |ix: SeriesIx| {
            let row = self.intake.row(ix);
            let told = told.as_ref()?;
            Some(told.standing(row, self.entities.id(row.entity)))
        };
        let mut series: Vec<(Option<Standing>, SeriesIx)> = self
            .entities_of(id, entity)
            .into_iter()
            .flat_map(|ix| self.intake.of_entity(ix))
            .filter(|ix| self.intake.row(**ix).is_judged())
            .map(|ix| (standing(*ix), *ix))
            .collect();
        series.sort_unstable();
        series
            .into_iter()
            .take(limit)
            .map(|(_, ix)| self.chart(ix, id))
            .collect()
    }

    /// Log groups of the entities of an incident, new ones first, at most `limit`.
    pub fn logs(&self, id: IncidentId, entity: Option<&EntityId>, limit: usize) -> Vec<LogGroup> {
        let Some(incident) = self.incident(id) else {
            return Vec::new();
        };
        let since = incident.began.plus_ms(-NEW_LOGS_MS);
        let mut groups: Vec<LogGroup> = self
            .entities_of(id, entity)
            .into_iter()
            .flat_map(|ix| {
                self.logs
                    .groups(self.entities.id(ix), since, self.now, limit)
            })
            .collect();
        groups.sort_by(|a, b| {
            let key = |g: &LogGroup| (g.is_new, g.level, g.count);
            key(b).cmp(&key(a)).then_with(|| a.entity.cmp(&b.entity))
        });
        groups.truncate(limit);
        groups
    }

    /// Exemplar traces of an incident, of one entity if given, at most `limit`: those of its time before
    /// older ones.
    pub fn traces(
        &self,
        id: IncidentId,
        entity: Option<&EntityId>,
        limit: usize,
    ) -> Vec<TraceView> {
        let began = self.incident(id).map_or(Time::ZERO, |held| held.began);
        let mut seen = BTreeSet::new();
        let entities = self.entities_of(id, entity).into_iter();
        let mut found: Vec<_> = entities
            .flat_map(|ix| self.traces.exemplars(ix))
            .filter(|(trace, ..)| seen.insert(*trace))
            .collect();
        found.sort_by_key(|(.., tree)| tree.start() < began);
        found.truncate(limit);
        let view = |(trace, reason, tree): (TraceId, Reason, &Tree)| TraceView {
            trace,
            start: tree.start(),
            reason: reason.as_str().into(),
            spans: tree.rows(|ix| self.entities.id(ix).clone()),
        };
        found.into_iter().map(view).collect()
    }

    /// Every entity an incident touches, in a fixed order; none when it is not known.
    pub fn members(&self, id: IncidentId) -> impl Iterator<Item = &EntityId> + Clone {
        let held = self.correlator.book.get(id).into_iter();
        let members = held.flat_map(|held| held.members.iter());
        members.map(|ix| self.entities.id(*ix))
    }

    /// The entity asked for, or those of the incident: suspects first, then the other members.
    pub(super) fn entities_of(&self, id: IncidentId, entity: Option<&EntityId>) -> Vec<EntityIx> {
        if let Some(entity) = entity {
            return self.entities.find(entity).into_iter().collect();
        }
        let Some(held) = self.correlator.book.get(id) else {
            return Vec::new();
        };
        let suspects = held
            .incident
            .diagnosis
            .hypotheses
            .iter()
            .filter_map(|h| self.entities.find(&h.suspect));
        let mut chosen: Vec<EntityIx> = Vec::new();
        for ix in suspects.chain(held.members.iter().copied()) {
            if chosen.len() < ENTITIES_MAX && !chosen.contains(&ix) {
                chosen.push(ix);
            }
        }
        chosen
    }

    fn chart(&self, ix: SeriesIx, id: IncidentId) -> Chart {
        let row = self.intake.row(ix);
        let points = self.intake.points(row);
        let times: Vec<_> = points.iter().map(|point| point.at).collect();
        let entity = self.entities.id(row.entity).clone();
        let is_shown = |entry: &&TimelineEntry| {
            let is_own = entry.entity.as_ref() == Some(&entity);
            // A change at one entity is why another is sick.
            (entry.lane == Lane::Change || entry.lane == Lane::Alert && is_own)
                && times.first().is_some_and(|first| entry.at >= *first)
        };
        let marks = self.incident(id).map_or_else(Vec::new, |incident| {
            incident
                .timeline
                .iter()
                .filter(is_shown)
                .take(MARKS_MAX)
                .map(|entry| ChartMark {
                    at: entry.at,
                    lane: entry.lane,
                    text: entry.text.clone(),
                })
                .collect()
        });
        Chart {
            series: row.series.id,
            title: format!("{} {}", entity.name(), explain::subject(&row.series.name)).into(),
            entity,
            role: row.role,
            unit: row.unit,
            times,
            values: points.iter().map(|point| point.value).collect(),
            low: points.iter().map(|point| point.low).collect(),
            high: points.iter().map(|point| point.high).collect(),
            abnormal_since: self
                .findings
                .of_key(Key::Series(ix))
                .map(|state| state.finding.since),
            marks,
        }
    }
}
