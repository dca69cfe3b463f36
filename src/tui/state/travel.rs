//! An incident as it was at a moment of its past, made from what is known of it now: what had not
//! happened yet is left out, what was not over yet lasts.
//!
//! Invents nothing: what is not kept by time (how sure the engine was of each suspect) is left as it is
//! known now, and the panes say so.

use std::collections::BTreeMap;

use crate::api::{IncidentDetail, Panels};
use crate::model::{
    ALERT_AGAIN, ALERT_NOT_CLEAR, ALERT_STILL_FIRES, ALERT_UNHEARD, ASSIGNED_TO, Beside, Chart,
    ChartMark, EntityId, Finding, Health, Incident, IncidentId, IncidentRow, Lane, LogGroup, Phase,
    Plan, PlanState, Recorded, TAKEN_BY, Time, TimelineEntry,
    turn::{self, Turn},
};

/// A step in time, in milliseconds.
pub const STEP_MS: i64 = 15_000;

/// Charts that reach back less than this before a moment say little of it, in milliseconds.
const REACH_MS_MIN: i64 = 5 * 60_000;
/// What is read of the recording around a moment: before it, and after it at least, in milliseconds.
const BEHIND_MS: i64 = 60 * 60_000;
const AHEAD_MS: i64 = 10 * 60_000;

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
    /// Whether the panes show what was recorded; else what the engine still holds.
    is_recorded: bool,
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
            is_recorded: false,
        }
    }

    /// Whether the charts held do not reach so far back that they say anything of this moment.
    pub fn is_beyond(&self, panels: Option<&Panels>) -> bool {
        let held = panels.and_then(super::extent);
        held.is_some_and(|(from, _)| self.at < from.plus_ms(REACH_MS_MIN))
    }

    /// What to read of the recording: what led to this moment, and some of what followed, so that a step
    /// further needs no other reading.
    pub fn stretch(&self) -> (Time, Time) {
        // In whole steps, so that a small step asks for the same.
        let middle = Time::from_ms(self.at.ms() / AHEAD_MS * AHEAD_MS);
        (middle.plus_ms(-BEHIND_MS), middle.plus_ms(2 * AHEAD_MS))
    }

    /// Shows what was recorded of that time: charts of the series held now, without a band, for what was
    /// expected then is not kept.
    pub fn take_recorded(&mut self, recorded: &Recorded, now: &Panels) {
        if !(recorded.from..=recorded.read_to).contains(&self.at) {
            return;
        }
        let at = self.at;
        let line = |chart: &Chart| recorded.lines.iter().find(|l| l.series == chart.series);
        let charts = now.charts.iter().filter_map(|chart| {
            let line = line(chart)?;
            let then = Chart {
                times: line.times.clone(),
                values: line.values.clone(),
                low: Vec::new(),
                high: Vec::new(),
                abnormal_since: chart.abnormal_since.filter(|since| *since <= at),
                marks: self.marks(chart, recorded.from),
                ..chart.clone()
            };
            Some(then)
        });
        let panels = Panels {
            charts: charts.collect(),
            logs: recorded.logs.clone(),
            traces: recorded.traces.clone(),
        };
        self.panels = Some(Box::new(panels_at(&panels, at)));
        self.is_recorded = true;
    }

    /// Whether the panes show what was recorded.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Changes and alerts of a chart's entity since `from`.
    fn marks(&self, chart: &Chart, from: Time) -> Vec<ChartMark> {
        let entries = self.detail.incident.timeline.iter().filter(|entry| {
            matches!(entry.lane, Lane::Change | Lane::Alert)
                && entry.entity.as_ref() == Some(&chart.entity)
                && entry.at >= from
        });
        let mark = |entry: &TimelineEntry| ChartMark {
            at: entry.at,
            lane: entry.lane,
            text: entry.text.clone(),
        };
        entries.map(mark).collect()
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
    let alerts = alerts_at(&incident.timeline);
    incident.impact.alerts_total = alerts.total;
    incident.impact.alerts_firing = alerts.firing;
    incident.impact.alerts_held = 0;
    // What held it back then is only known while that lasts.
    incident.held = incident.held.take().filter(|held| held.since <= at);
    incident.impact.alerts_unheard = alerts.unheard;
    incident.impact.findings_total = incident.findings.len() as u32;
    let open = incident.findings.iter().filter(|f| f.is_open());
    incident.impact.findings_open = open.count() as u32;
    // Only the latest spell is kept beside the timeline, and it may have begun later.
    let (calm, over) = spells_at(&incident.timeline);
    incident.mitigated = incident.mitigated.filter(|when| *when <= at).or(calm);
    incident.resolved = incident.resolved.filter(|when| *when <= at).or(over);
    if let Some(again) = incident.reopened.take_if(|again| again.at > at)
        && again.over <= at
    {
        incident.resolved = Some(again.over);
    }
    incident.cause = incident.cause.take().filter(|cause| cause.at <= at);
    incident.changes.retain(|change| change.at <= at);
    incident.judge_changes();
    incident.updated = at;
    if incident.opened > at {
        incident.diagnosis = crate::model::Diagnosis::default();
        incident.grouping.clear();
    }
    incident.owner = owner_at(incident, at);
    incident.phase = phase_at(incident);
    // How neighbours are now says nothing of then.
    incident.path_nodes.retain(|node| !node.is_beside);
    let len = incident.path_nodes.len() as u32;
    incident
        .path_edges
        .retain(|edge| edge.from.max(edge.to) < len);
    let findings = std::mem::take(&mut incident.findings);
    for node in &mut incident.path_nodes {
        node.beside = Beside::default();
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

/// How many alerts a timeline tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Alerts {
    total: u32,
    /// Of which it tells no end.
    firing: u32,
    /// Of those, whose sender fell silent.
    unheard: u32,
}

/// What a timeline tells last of an alert.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Fires,
    Unheard,
    Over,
}

impl Last {
    /// By the words after its name.
    fn told(words: &str) -> Self {
        let fires = [ALERT_STILL_FIRES, ALERT_NOT_CLEAR, ALERT_AGAIN];
        if fires.iter().any(|fires| words.starts_with(fires)) {
            Self::Fires
        } else if words.starts_with(ALERT_UNHEARD) {
            Self::Unheard
        } else {
            Self::Over
        }
    }
}

fn alerts_at(timeline: &[TimelineEntry]) -> Alerts {
    // By entity and name: all that an entry says of which alert it is about.
    let mut told: BTreeMap<(Option<&EntityId>, &str), Last> = BTreeMap::new();
    for entry in timeline.iter().filter(|entry| entry.lane == Lane::Alert) {
        let entity = entry.entity.as_ref();
        let new = entry.fires();
        // `SlowCart still fires: …` is about `SlowCart`.
        let is_known = |name: &str| {
            let of = name.strip_suffix(" still");
            of.is_some_and(|of| told.contains_key(&(entity, of)))
        };
        if let Some(name) = new.filter(|name| !is_known(name)) {
            told.insert((entity, name), Last::Fires);
            continue;
        }
        for ((of, name), last) in &mut told {
            let words = entry.text.strip_prefix(name);
            if let Some(words) = words.and_then(|words| words.strip_prefix(' '))
                && *of == entity
            {
                *last = Last::told(words);
            }
        }
    }
    let count = |is: fn(Last) -> bool| told.values().filter(|last| is(**last)).count() as u32;
    Alerts {
        total: told.len() as u32,
        firing: count(|last| last != Last::Over),
        unheard: count(|last| last == Last::Unheard),
    }
}

/// Since when it was mitigated, and since when resolved, at the end of a timeline.
fn spells_at(timeline: &[TimelineEntry]) -> (Option<Time>, Option<Time>) {
    let (mut calm, mut over) = (None, None);
    for entry in timeline {
        match turn::told(entry) {
            Some(Turn::Calm) => calm = Some(entry.at),
            Some(Turn::Over) => over = Some(entry.at),
            Some(Turn::Hurting) => (calm, over) = (None, None),
            None => {}
        }
    }
    (calm, over)
}

/// Who had it: who has it now, or from whom they took it, as the timeline tells.
fn owner_at(incident: &Incident, at: Time) -> Option<String> {
    if incident.owned_since.is_some_and(|since| since <= at) {
        return incident.owner.clone();
    }
    let people = incident.timeline.iter().filter(|e| e.lane == Lane::Person);
    let told = people.rev().filter(|entry| entry.at <= at);
    let mut owners = told.filter_map(|entry| given_to(&entry.text));
    owners.next().map(str::to_owned)
}

/// To whom an entry says that the incident was given. A note names its author before a colon.
fn given_to(text: &str) -> Option<&str> {
    let assigned = text.split_once(ASSIGNED_TO);
    let assigned = assigned.filter(|(by, _)| !by.contains(':'));
    text.strip_prefix(TAKEN_BY)
        .or_else(|| assigned.map(|(_, to)| to))
}

fn phase_at(incident: &Incident) -> Phase {
    match (incident.resolved, incident.mitigated) {
        (Some(_), _) => Phase::Resolved,
        (None, Some(_)) => Phase::Mitigated,
        (None, None) if incident.owner.is_some() => Phase::Acknowledged,
        (None, None) => Phase::Open,
    }
}

/// Where a plan was: as it is now once the timeline tells no more of it, else waiting or running.
fn state_at(plan: &Plan, timeline: &[TimelineEntry], at: Time) -> PlanState {
    match super::plans::last_told(timeline, plan) {
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
        alerts_firing: incident.impact.alerts_firing,
        alerts_unheard: incident.impact.alerts_unheard,
        alerts_held: incident.impact.alerts_held,
        held: incident.held.clone(),
        findings: incident.impact.findings_total,
        findings_open: incident.impact.findings_open,
        mitigated: incident.mitigated,
        resolved: incident.resolved,
        reopened: incident.reopened.map(|again| again.at),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(texts: &[&str]) -> Alerts {
        let entry = |text: &&str| TimelineEntry {
            at: Time::ZERO,
            lane: Lane::Alert,
            entity: Some(EntityId::parse("cart")),
            text: (*text).into(),
        };
        alerts_at(&texts.iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn an_alert_is_over_when_its_end_is_told_and_by_nothing_else() {
        let cases: [(&[&str], [u32; 3]); 9] = [
            (&["slow fires"], [1, 1, 0]),
            (&["slow fires: 3 s"], [1, 1, 0]),
            (&["slow fires: 3 s", "slow resolved"], [1, 0, 0]),
            (&["slow fires: 3 s", "slow cart fires: 4 s"], [2, 2, 0]),
            (
                &["slow fires: 3 s", "slow is not heard of since 12:09: x"],
                [1, 1, 1],
            ),
            (
                &[
                    "slow fires: 3 s",
                    "slow is not heard of since 12:09: x",
                    "slow is sent again",
                ],
                [1, 1, 0],
            ),
            (
                &[
                    "slow fires: 3 s",
                    "slow is held back: x",
                    "slow still fires: x",
                ],
                [1, 1, 0],
            ),
            (
                &[
                    "slow fires: 3 s",
                    "slow is held back: x",
                    "slow did not clear by itself this time",
                ],
                [1, 1, 0],
            ),
            (
                &[
                    "slow fires: 3 s",
                    "slow is sent again",
                    "slow is not sent any more since 12:09",
                ],
                [1, 0, 0],
            ),
        ];
        for (texts, [total, firing, unheard]) in cases {
            let expected = Alerts {
                total,
                firing,
                unheard,
            };
            assert_eq!(told(texts), expected, "{texts:?}");
        }
    }
}
