//! What a document shows of an incident whose beginning the engine no longer holds: charts and log lines
//! read from the flight recorder.
//!
//! Never invents a band: what was expected is known only for as long as something was odd, from what was
//! told of it then.

use crate::api::Panels;
use crate::api::client::Client;
use crate::model::{
    Chart, ChartMark, Finding, Incident, Lane, Recorded, RecordedLine, RecordedPart, SeriesId, Time,
};

/// Shown before an incident began and after it was over, in milliseconds.
const AROUND_MS: i64 = 15 * 60_000;
/// Most that is read of one incident, from before it began, in milliseconds; a daemon reads no more at once.
const READ_MS_MAX: i64 = 24 * 60 * 60_000;

/// The panels of an incident from before it began: as they are held, or as they were recorded where those
/// no longer reach so far back. Without a recording they stay as they are.
pub async fn from_the_beginning(
    client: &Client,
    incident: &Incident,
    held: Panels,
    now: Time,
) -> Panels {
    if reaches(&held.charts, incident.began) {
        return held;
    }
    let asked = client.recorded(incident.id, stretch(incident, now), RecordedPart::Moment);
    match asked.await {
        Ok(recorded) => recorded_panels(incident, held, recorded),
        Err(_) => held,
    }
}

/// Whether charts show what was before a moment.
fn reaches(charts: &[Chart], began: Time) -> bool {
    let firsts = charts.iter().filter_map(|chart| chart.times.first());
    firsts.min().is_some_and(|first| *first < began)
}

/// From before it began until after it was over.
fn stretch(incident: &Incident, now: Time) -> (Time, Time) {
    let from = incident.began.plus_ms(-AROUND_MS);
    let over = incident.resolved.map(|over| over.plus_ms(AROUND_MS));
    let to = over.unwrap_or(now).min(now).min(from.plus_ms(READ_MS_MAX));
    (from, to.max(from.plus_ms(1)))
}

/// What was recorded in place of what is held; what was not recorded stays.
fn recorded_panels(incident: &Incident, held: Panels, recorded: Recorded) -> Panels {
    // What was odd comes first, the oddest of it first.
    let mut odd: Vec<&Finding> = incident.findings.iter().collect();
    odd.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut order: Vec<_> = odd.iter().filter_map(|finding| finding.series).collect();
    order.extend(held.charts.iter().map(|chart| chart.series));
    let place = |line: &RecordedLine| order.iter().position(|series| *series == line.series);
    let mut lines = recorded.lines;
    lines.sort_by_key(|line| place(line).unwrap_or(usize::MAX));
    let charts = lines.into_iter().filter_map(|line| {
        let known = held.charts.iter().find(|chart| chart.series == line.series);
        let found = odd
            .iter()
            .find(|finding| finding.series == Some(line.series));
        let mut chart = match (known, found) {
            (Some(chart), _) => chart.clone(),
            (None, Some(finding)) => chart_of(line.series, finding),
            (None, None) => return None,
        };
        let unknown = vec![f32::NAN; line.times.len()];
        chart.marks = changes(incident, &chart, recorded.from);
        chart.abnormal_since = None;
        (chart.low, chart.high) = (unknown.clone(), unknown);
        (chart.times, chart.values) = (line.times, line.values);
        Some(chart)
    });
    let charts: Vec<Chart> = charts.collect();
    if charts.is_empty() {
        return held;
    }
    let logs = if recorded.logs.is_empty() {
        held.logs
    } else {
        recorded.logs
    };
    Panels {
        charts,
        logs,
        ..held
    }
}

/// The chart of a series that nobody holds any more, as what was found in it names it.
fn chart_of(series: SeriesId, finding: &Finding) -> Chart {
    Chart {
        series,
        entity: finding.entity.clone(),
        title: format!("{} {}", finding.entity.name(), finding.subject).into(),
        role: finding.role,
        unit: finding.unit,
        times: Vec::new(),
        values: Vec::new(),
        low: Vec::new(),
        high: Vec::new(),
        abnormal_since: None,
        marks: Vec::new(),
    }
}

/// What was changed of a chart's entity.
fn changes(incident: &Incident, chart: &Chart, from: Time) -> Vec<ChartMark> {
    let entries = incident.timeline.iter().filter(|entry| {
        entry.lane == Lane::Change
            && entry.entity.as_ref() == Some(&chart.entity)
            && entry.at >= from
    });
    let mark = |entry: &crate::model::TimelineEntry| ChartMark {
        at: entry.at,
        lane: entry.lane,
        text: entry.text.clone(),
    };
    entries.map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Band, Check, Direction, EntityId, FindingId, IncidentId, MetricRole, TimelineEntry, Unit,
    };
    use crate::tui::Judged;

    fn at(minute: i64) -> Time {
        Time::from_secs(minute * 60)
    }

    /// Odd from minute 60 to 70, over since 75.
    fn incident() -> Incident {
        let entity = EntityId::parse("service/gateway");
        let mut incident = Incident::opened(IncidentId(4), entity.clone(), at(60), at(61));
        incident.resolved = Some(at(75));
        incident.findings = vec![Finding {
            id: FindingId(1),
            entity: entity.clone(),
            callee: None,
            check: Check::Spike,
            series: Some(SeriesId(7)),
            subject: "http_request_errors".into(),
            role: MetricRole::Errors,
            unit: Unit::PerSecond,
            since: at(60),
            last_seen: at(70),
            ended: Some(at(70)),
            expected: Band {
                low: 0.0,
                high: 3.0,
            },
            seen: 8.0,
            direction: Direction::Up,
            score: 9.0,
            pages: true,
            text: "http request errors 8/s, expected 0–3/s".into(),
            explain: None,
            accepted: None,
        }];
        incident.timeline = vec![TimelineEntry {
            at: at(59),
            lane: Lane::Change,
            entity: Some(entity),
            text: "deploy: gateway v2".into(),
        }];
        incident
    }

    fn recorded(incident: &Incident, now: Time) -> Recorded {
        let (from, to) = stretch(incident, now);
        let times: Vec<Time> = (45..90).map(at).collect();
        Recorded {
            from,
            to,
            kept_from: Some(at(0)),
            read_to: to,
            lines: vec![RecordedLine {
                series: SeriesId(7),
                values: vec![1.0; times.len()],
                times,
            }],
            heat: Vec::new(),
            logs: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// Hours later the engine's charts hold nothing of the incident, and nothing of a series that is gone.
    #[test]
    fn an_old_incident_is_drawn_from_before_it_began_until_after_it_was_over() {
        let incident = incident();
        let now = at(600);
        assert_eq!(stretch(&incident, now), (at(45), at(90)));
        assert!(!reaches(&[], incident.began));
        let panels = recorded_panels(&incident, Panels::default(), recorded(&incident, now));
        let [chart] = &panels.charts[..] else {
            panic!("{:?}", panels.charts)
        };
        assert!(reaches(&panels.charts, incident.began));
        assert_eq!(&*chart.title, "gateway http_request_errors");
        assert_eq!(chart.marks.len(), 1);
        // What was expected is drawn for as long as it was odd, and for no longer.
        let judged = Judged::of(&incident.findings, chart);
        let known = judged.chart.high.iter().filter(|high| high.is_finite());
        assert_eq!(known.copied().collect::<Vec<f32>>(), [3.0; 11]);
        assert_eq!(judged.chart.abnormal_since, Some(at(60)));
    }

    #[test]
    fn what_is_not_over_is_read_up_to_now_and_a_day_at_most() {
        let mut incident = incident();
        incident.resolved = None;
        assert_eq!(stretch(&incident, at(80)), (at(45), at(80)));
        let days_later = at(60 + 3 * 24 * 60);
        assert_eq!(stretch(&incident, days_later), (at(45), at(45 + 24 * 60)));
    }
}
