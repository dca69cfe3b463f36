//! An incident as it was at a moment of its past, made from what is known of it now: what had not
//! happened yet is left out, what was not over yet lasts.
//!
//! Invents nothing: what is not kept by time (how sure the engine was of each suspect) is left as it is
//! known now, and the panes say so.

use crate::api::{IncidentDetail, Panels};
use crate::model::{
    Chart, Finding, Health, Incident, IncidentId, IncidentRow, Lane, LogGroup, Phase, Plan,
    PlanState, Time,
};

/// A step in time, in milliseconds.
pub const STEP_MS: i64 = 15_000;

/// The moment looked at, and the incident as it was then.
#[derive(Debug)]
pub struct Travel {
    /// Which incident.
    pub incident: IncidentId,
    /// When.
    pub at: Time,
    detail: Box<IncidentDetail>,
    panels: Option<Box<Panels>>,
    row: Option<IncidentRow>,
}

impl Travel {
    /// Goes to a moment.
    pub fn to(
        at: Time,
        now: &IncidentDetail,
        panels: Option<&Panels>,
        row: Option<&IncidentRow>,
    ) -> Self {
        let detail = detail_at(now, at);
        let row = row.map(|row| row_at(row, &detail));
        Self {
            incident: now.incident.id,
            at,
            row,
            detail: Box::new(detail),
            panels: panels.map(|panels| Box::new(panels_at(panels, at))),
        }
    }

    /// The incident then.
    pub fn detail(&self) -> &IncidentDetail {
        &self.detail
    }

    /// Its charts, logs and traces then.
    pub fn panels(&self) -> Option<&Panels> {
        self.panels.as_deref()
    }

    /// Its row then.
    pub fn row(&self) -> Option<&IncidentRow> {
        self.row.as_ref()
    }
}

/// The moments at which something happened, in order: what the next and the previous lead to.
pub fn moments(incident: &Incident) -> Vec<Time> {
    let told = incident.timeline.iter().map(|entry| entry.at);
    let ends = incident.findings.iter().filter_map(|f| f.ended);
    let mut moments: Vec<Time> = told.chain(ends).collect();
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// From when to when one can go: from the first thing told of to the present, or to its end.
pub fn extent(incident: &Incident, now: Time) -> (Time, Time) {
    let first = incident.timeline.iter().map(|entry| entry.at).min();
    let first = first.map_or(incident.began, |first| first.min(incident.began));
    let last = incident.resolved.unwrap_or(now);
    (first, last.max(first))
}

fn detail_at(now: &IncidentDetail, at: Time) -> IncidentDetail {
    let mut detail = now.clone();
    let timeline = now.incident.timeline.clone();
    let incident = &mut detail.incident;
    incident.timeline.retain(|entry| entry.at <= at);
    incident.findings.retain(|finding| finding.since <= at);
    for finding in &mut incident.findings {
        finding.ended = finding.ended.filter(|ended| *ended <= at);
    }
    let alerts = incident.timeline.iter().filter(|e| e.lane == Lane::Alert);
    incident.impact.alerts_total = alerts.count() as u32;
    incident.impact.alerts_firing = incident.impact.alerts_total;
    incident.impact.findings_total = incident.findings.len() as u32;
    let open = incident.findings.iter().filter(|f| f.is_open());
    incident.impact.findings_open = open.count() as u32;
    incident.mitigated = incident.mitigated.filter(|when| *when <= at);
    incident.resolved = incident.resolved.filter(|when| *when <= at);
    incident.cause = incident.cause.take().filter(|cause| cause.at <= at);
    incident.updated = at;
    if incident.opened > at {
        incident.diagnosis = crate::model::Diagnosis::default();
        incident.grouping.clear();
    }
    let owned = taken(incident);
    incident.owner = incident.owner.take().filter(|_| owned);
    incident.phase = phase_at(incident, owned);
    let findings = std::mem::take(&mut incident.findings);
    for node in &mut incident.path_nodes {
        if node.onset.is_some_and(|onset| onset > at) {
            (node.onset, node.suspicion) = (None, 0.0);
        }
        if node.health != Health::Blind {
            let of_node = |f: &&Finding| f.entity == node.entity && f.is_open();
            let open: Vec<&Finding> = findings.iter().filter(of_node).collect();
            node.health = match open.as_slice() {
                [] => Health::Ok,
                open if open.iter().any(|f| f.pages) => Health::Bad,
                _ => Health::Odd,
            };
        }
    }
    if let Some(worst) = findings.iter().max_by(|a, b| a.score.total_cmp(&b.score))
        && findings.len() < now.incident.findings.len()
    {
        incident.title.clone_from(&worst.text);
    }
    incident.findings = findings;
    let entities = &mut incident.impact.entities;
    let hurt: std::collections::BTreeSet<_> = incident.findings.iter().map(|f| &f.entity).collect();
    *entities = (hurt.len() as u32).min(*entities);
    incident.plans.clear();
    detail.plans.retain(|plan| plan.created <= at);
    for plan in &mut detail.plans {
        incident.plans.push(plan.id);
        plan.approvals.retain(|approval| approval.at <= at);
        plan.state = state_at(plan, &timeline, at);
    }
    detail
}

/// Whether somebody had taken it, as the timeline tells.
fn taken(incident: &Incident) -> bool {
    let people = incident.timeline.iter().filter(|e| e.lane == Lane::Person);
    let mut words = people.map(|entry| &*entry.text);
    words.any(|text| text.contains("acknowledged") || text.contains("assigned"))
}

fn phase_at(incident: &Incident, owned: bool) -> Phase {
    match (incident.resolved, incident.mitigated) {
        (Some(_), _) => Phase::Resolved,
        (None, Some(_)) => Phase::Mitigated,
        (None, None) if owned => Phase::Acknowledged,
        (None, None) => Phase::Open,
    }
}

/// Where a plan was: as it is now once the timeline tells no more of it, else waiting or running.
fn state_at(plan: &Plan, timeline: &[crate::model::TimelineEntry], at: Time) -> PlanState {
    let name = plan.id.to_string();
    let told = timeline.iter().rev().find(|entry| {
        let mut after = entry.text.match_indices(&name);
        after.any(|(at, name)| {
            let rest = entry.text[at + name.len()..].chars().next();
            !rest.is_some_and(|c| c.is_ascii_digit())
        })
    });
    match told {
        Some(last) if last.at <= at => plan.state.clone(),
        _ if plan.approvals.len() < plan.approvals_needed as usize => PlanState::Proposed,
        Some(_) => PlanState::Running { step: 0 },
        None => plan.state.clone(),
    }
}

fn row_at(row: &IncidentRow, then: &IncidentDetail) -> IncidentRow {
    let incident = &then.incident;
    let first = incident.diagnosis.hypotheses.first();
    IncidentRow {
        phase: incident.phase,
        owner: incident.owner.clone(),
        title: incident.title.clone(),
        suspect: first.map(|h| (h.suspect.clone(), h.confidence)),
        entities: incident.impact.entities,
        alerts: incident.impact.alerts_total,
        findings: incident.impact.findings_total,
        ..row.clone()
    }
}

fn panels_at(now: &Panels, at: Time) -> Panels {
    let charts = now.charts.iter().map(|chart| chart_at(chart, at));
    let logs = now.logs.iter().filter(|group| group.first_seen <= at);
    let traces = now.traces.iter().filter(|trace| trace.start <= at);
    Panels {
        charts: charts.filter(|chart| !chart.times.is_empty()).collect(),
        logs: logs.map(|group| log_at(group, at)).collect(),
        traces: traces.cloned().collect(),
    }
}

fn chart_at(chart: &Chart, at: Time) -> Chart {
    let len = chart.times.partition_point(|time| *time <= at);
    let cut = |values: &[f32]| values[..len.min(values.len())].to_vec();
    let marks = chart.marks.iter().filter(|mark| mark.at <= at);
    Chart {
        times: chart.times[..len].to_vec(),
        values: cut(&chart.values),
        low: cut(&chart.low),
        high: cut(&chart.high),
        abnormal_since: chart.abnormal_since.filter(|since| *since <= at),
        marks: marks.cloned().collect(),
        ..chart.clone()
    }
}

/// The last bucket holds the latest line.
fn log_at(group: &LogGroup, at: Time) -> LogGroup {
    let later_ms = group.last_seen.since(at).max(0);
    let gone = (later_ms / group.bucket_ms.max(1)) as usize;
    let kept = group.buckets.len().saturating_sub(gone);
    let buckets = group.buckets[..kept].to_vec();
    let lost: u64 = group.buckets[kept..].iter().map(|n| u64::from(*n)).sum();
    LogGroup {
        count: group.count.saturating_sub(lost).max(1),
        last_seen: group.last_seen.min(at),
        buckets,
        ..group.clone()
    }
}
