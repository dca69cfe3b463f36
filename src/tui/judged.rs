//! A chart as an incident looks back at it: since when, and until when, it was odd, and what was expected then.

use crate::model::{Chart, Finding, Time};

/// A chart with what was expected of it when it became odd.
#[derive(Debug)]
pub struct Judged {
    /// Its band stays as it was just before the onset while it was odd: the baseline goes on learning, and
    /// would soon call the trouble normal.
    pub chart: Chart,
    /// Since when it is as expected again, if it was odd before.
    pub until: Option<Time>,
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
        if let Some(since) = chart.abnormal_since {
            let onset = chart.times.partition_point(|at| *at < since);
            let over = until.map_or(chart.times.len(), |until| {
                chart.times.partition_point(|at| *at <= until)
            });
            for band in [&mut chart.low, &mut chart.high] {
                let before = onset.checked_sub(1).and_then(|at| band.get(at).copied());
                let odd = band.get_mut(onset..over.max(onset)).unwrap_or_default();
                if let Some(before) = before.filter(|value| value.is_finite()) {
                    odd.fill(before);
                }
            }
        }
        Self { chart, until }
    }
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
