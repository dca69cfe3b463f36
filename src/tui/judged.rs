//! A chart as an incident looks back at it: since when, and until when, it was odd, and what was expected then.

use crate::model::{Band, Chart, Finding, Time};

/// A chart with what was expected of it when it became odd.
#[derive(Debug)]
pub struct Judged {
    /// Its band stays as it was when it became odd for as long as it was: the baseline goes on learning, and
    /// would soon call the trouble normal.
    pub chart: Chart,
    /// Since when it is as expected again, if it was odd before.
    pub until: Option<Time>,
    /// What was expected when it became odd, as titles and the timeline tell it; `None` when it never was, or
    /// nothing was expected yet.
    pub expected: Option<Band>,
}

impl Judged {
    /// Looks up among an incident's findings when a chart became odd, also when it no longer is.
    pub fn of(findings: &[Finding], chart: &Chart) -> Self {
        let of_chart = || findings.iter().filter(|f| f.series == Some(chart.series));
        let lasts = chart.abnormal_since.is_some() || of_chart().any(Finding::is_open);
        let first = if lasts {
            let open = of_chart().filter(|f| f.is_open()).map(|f| f.since).min();
            open.or(chart.abnormal_since)
        } else {
            last_episode(of_chart().filter_map(|f| Some((f.since, f.ended?))))
        };
        let until = of_chart().filter_map(|f| f.ended).max().filter(|_| !lasts);
        let mut chart = chart.clone();
        chart.abnormal_since = first;
        let Some(since) = first else {
            let expected = None;
            return Self {
                chart,
                until,
                expected,
            };
        };
        let onset = chart.times.partition_point(|at| *at < since);
        let over = until.map_or(chart.times.len(), |until| {
            chart.times.partition_point(|at| *at <= until)
        });
        // Of several the worst is what people are told of.
        let episode = of_chart().filter(|f| f.since >= since && f.is_open() == lasts);
        let worst = episode.max_by(|a, b| a.score.total_cmp(&b.score));
        let expected = worst
            .map(|worst| worst.expected)
            .or_else(|| band_before(&chart, onset));
        if let Some(Band { low, high }) = expected {
            for (band, value) in [(&mut chart.low, low), (&mut chart.high, high)] {
                let odd = band.get_mut(onset..over.max(onset)).unwrap_or_default();
                odd.fill(value as f32);
            }
        }
        Self {
            chart,
            until,
            expected,
        }
    }
}

/// What was expected just before a point of a chart.
fn band_before(chart: &Chart, point: usize) -> Option<Band> {
    let before = point.checked_sub(1)?;
    let (low, high) = (chart.low.get(before)?, chart.high.get(before)?);
    (low.is_finite() && high.is_finite()).then(|| Band {
        low: f64::from(*low),
        high: f64::from(*high),
    })
}

/// Since when it was odd when it was last, from when each finding began and ended: an incident that was
/// opened again holds those of before, between which it was as expected.
fn last_episode(findings: impl Iterator<Item = (Time, Time)>) -> Option<Time> {
    let mut findings: Vec<(Time, Time)> = findings.collect();
    findings.sort_unstable_by_key(|(_, ended)| std::cmp::Reverse(*ended));
    let (last, _) = *findings.first()?;
    let is_part = |since: Time, (began, ended): &(Time, Time)| {
        if *ended >= since {
            since.min(*began)
        } else {
            since
        }
    };
    Some(findings.iter().fold(last, is_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Check, Direction, EntityId, FindingId, MetricRole, SeriesId, Unit};

    fn finding(since_s: i64, ended_s: Option<i64>, high: f64, score: f32) -> Finding {
        Finding {
            id: FindingId(1),
            entity: EntityId::parse("checkout"),
            callee: None,
            check: Check::Spike,
            series: Some(SeriesId(7)),
            subject: "errors".into(),
            role: MetricRole::Errors,
            unit: Unit::PerSecond,
            since: Time::from_secs(since_s),
            last_seen: Time::from_secs(since_s),
            ended: ended_s.map(Time::from_secs),
            expected: Band { low: 0.0, high },
            seen: 9.0,
            direction: Direction::Up,
            score,
            pages: true,
            text: "errors".into(),
            explain: None,
            accepted: None,
        }
    }

    /// What the baseline has learned of the trouble by the time it comes back is not what was expected.
    #[test]
    fn the_band_is_what_people_were_told_was_expected() {
        let chart = Chart {
            series: SeriesId(7),
            entity: EntityId::parse("checkout"),
            title: "checkout errors".into(),
            role: MetricRole::Errors,
            unit: Unit::PerSecond,
            times: (0..6).map(|n| Time::from_secs(n * 10)).collect(),
            values: vec![1.0, 9.0, 1.0, 1.0, 9.0, 9.0],
            low: vec![0.0; 6],
            high: vec![2.0, 2.0, 5.0, 6.0, 7.0, 8.0],
            abnormal_since: Some(Time::from_secs(40)),
            marks: Vec::new(),
        };
        let before = finding(10, Some(20), 2.5, 9.0);
        let [mild, worst] =
            [(4.0, 7.0), (3.0, 8.0)].map(|(high, score)| finding(40, None, high, score));
        let judged = Judged::of(&[before, mild, worst], &chart);
        let expected = Band {
            low: 0.0,
            high: 3.0,
        };
        assert_eq!(judged.expected, Some(expected));
        assert_eq!(judged.chart.high, [2.0, 2.0, 5.0, 6.0, 3.0, 3.0]);
        // Nobody was told of it: what was expected just before.
        let judged = Judged::of(&[], &chart);
        assert_eq!(judged.chart.high, [2.0, 2.0, 5.0, 6.0, 6.0, 6.0]);
    }

    type Case<'a> = (&'a [(i64, i64)], Option<i64>);

    #[test]
    fn the_last_time_it_was_odd_is_not_mixed_with_those_before() {
        let at = Time::from_secs;
        let cases: [Case<'_>; 4] = [
            (&[], None),
            (&[(45, 52)], Some(45)),
            // As expected between 52 and 63.
            (&[(45, 52), (63, 70)], Some(63)),
            (&[(45, 52), (63, 70), (60, 64)], Some(60)),
        ];
        for (findings, since) in cases {
            let findings = findings
                .iter()
                .map(|(began, ended)| (at(*began), at(*ended)));
            assert_eq!(last_episode(findings), since.map(at));
        }
    }
}
