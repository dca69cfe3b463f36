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
        let first = of_chart().map(|f| f.since).min();
        let lasts = chart.abnormal_since.is_some() || of_chart().any(Finding::is_open);
        let until = of_chart().filter_map(|f| f.ended).max().filter(|_| !lasts);
        let mut chart = chart.clone();
        chart.abnormal_since = first.or(chart.abnormal_since);
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
