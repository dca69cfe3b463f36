//! What somebody looks at, made when asked for: alert rows, charts, log groups, example traces.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Engine;
use super::correlate;
use super::entities::EntityIx;
use super::explain;
use super::findings::Key;
use super::intake::SeriesIx;
use super::traces::{Reason, Tree};
use crate::model::{
    AlertPlace, AlertRow, Chart, ChartMark, EntityId, Finding, Fingerprint, IncidentId, Lane,
    LogGroup, SuspectKind, Time, TimelineEntry, TraceId, TraceView,
};

/// Entities of an incident looked through for charts, logs and traces.
const ENTITIES_MAX: usize = 40;
/// Marks on one chart.
const MARKS_MAX: usize = 20;
/// Logs this long before an incident began are not new, in milliseconds.
const NEW_LOGS_MS: i64 = 60_000;

/// Where a chart stands among those of an incident; earlier ones are smaller.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Standing {
    /// What of its incident it tells.
    tier: u8,
    /// Of where it hurts most, of the first suspect, or of others.
    place: u8,
    felt: Reverse<u8>,
    since: Time,
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
    /// title tells, then what limits the first suspect, then where users feel it, as they feel it. No
    /// score orders them: whoever looks at one finds it where it was.
    pub fn charts(&self, id: IncidentId, entity: Option<&EntityId>, limit: usize) -> Vec<Chart> {
        let mut series: Vec<(Standing, SeriesIx)> = self
            .entities_of(id, entity)
            .into_iter()
            .flat_map(|ix| self.intake.of_entity(ix))
            .filter(|ix| self.intake.row(**ix).is_judged())
            .map(|ix| (self.standing(*ix, id), *ix))
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

    /// Where the chart of a series stands among those of an incident.
    fn standing(&self, ix: SeriesIx, id: IncidentId) -> Standing {
        let row = self.intake.row(ix);
        let Some(held) = self.correlator.book.get(id) else {
            return Standing::default();
        };
        let incident = &held.incident;
        let entity = self.entities.id(row.entity);
        let is_of_it = |finding: &&Finding| finding.series == Some(row.series.id);
        let told = incident.findings.iter().filter(is_of_it);
        let told = told.max_by_key(|finding| (finding.pages, Reverse(finding.since)));
        let headlined = correlate::headlined(held, &incident.entity);
        let first = incident.diagnosis.hypotheses.first();
        let limits = first
            .filter(|first| first.suspect == *entity)
            .is_some_and(|first| {
                let SuspectKind::Resource { metric } = &first.cause else {
                    return false;
                };
                let name = &row.series.name;
                **metric == **name || **metric == *explain::subject(name)
            });
        let tier = match told {
            Some(told) if headlined.is_some_and(|title| title.id == told.id) => 0,
            _ if limits => 1,
            Some(told) if told.pages => 2,
            Some(_) => 3,
            None => 4,
        };
        let place = if *entity == incident.entity {
            0
        } else if first.is_some_and(|first| first.suspect == *entity) {
            1
        } else {
            2
        };
        Standing {
            tier,
            place,
            felt: Reverse(correlate::felt(row.role)),
            since: told.map_or(Time::ZERO, |told| told.since),
        }
    }

    fn chart(&self, ix: SeriesIx, id: IncidentId) -> Chart {
        let row = self.intake.row(ix);
        let points = self.intake.points(row);
        let times: Vec<_> = points.iter().map(|point| point.at).collect();
        let entity = self.entities.id(row.entity).clone();
        let is_shown = |entry: &&TimelineEntry| {
            matches!(entry.lane, Lane::Change | Lane::Alert)
                && entry.entity.as_ref() == Some(&entity)
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
