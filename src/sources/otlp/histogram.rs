//! What a histogram says of the time between two points: mean and 99th percentile.
//!
//! Cumulative histograms are compared with their point before; the memory for that is bounded.

use crate::model::Time;

/// The quantile that becomes a series: what the slowest in a hundred see.
const QUANTILE: f64 = 0.99;

/// Counts of one histogram point, delta or cumulative.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts {
    /// When counting began.
    pub start: Option<Time>,
    /// Observations.
    pub count: u64,
    /// Their sum, if given.
    pub sum: Option<f64>,
    /// Observations per bucket; one more than there are bounds. Empty if not given.
    pub buckets: Vec<u64>,
}

impl Counts {
    /// What was counted since `before`; everything, if counting began anew in between.
    pub(super) fn since(&self, before: &Self) -> Self {
        let continues = self.start == before.start
            && self.count >= before.count
            && self.buckets.len() == before.buckets.len()
            && self
                .buckets
                .iter()
                .zip(&before.buckets)
                .all(|(now, then)| now >= then);
        if !continues {
            return self.clone();
        }
        let buckets = self.buckets.iter().zip(&before.buckets);
        Self {
            start: before.start,
            count: self.count - before.count,
            sum: self.sum.zip(before.sum).map(|(now, then)| now - then),
            buckets: buckets.map(|(now, then)| now - then).collect(),
        }
    }

    /// Mean of the observations.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0)
            .then_some(self.sum)
            .flatten()
            .map(|sum| sum / self.count as f64)
    }

    /// The 99th percentile, taken as evenly spread within its bucket. In the last bucket, which has
    /// no upper end, it is at least the last bound.
    pub(super) fn p99(&self, bounds: &[f64]) -> Option<f64> {
        if bounds.is_empty() || self.buckets.len() != bounds.len() + 1 {
            return None;
        }
        let total: u64 = self.buckets.iter().fold(0, |sum, n| sum.saturating_add(*n));
        let rank = QUANTILE * total as f64;
        let mut below = 0.0;
        for (i, &count) in self.buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
            let count = count as f64;
            if below + count >= rank {
                let last = bounds[bounds.len() - 1];
                let high = bounds.get(i).copied().unwrap_or(last);
                let low = match i.checked_sub(1) {
                    Some(before) => bounds[before],
                    None => high.min(0.0),
                };
                return Some(low + (high - low) * ((rank - below) / count));
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(start_s: i64, count: u64, sum: f64, buckets: &[u64]) -> Counts {
        Counts {
            start: Some(Time::from_secs(start_s)),
            count,
            sum: Some(sum),
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn differences_and_resets() {
        let before = counts(1, 10, 5.0, &[4, 6]);
        let after = counts(1, 15, 9.0, &[5, 10]);
        assert_eq!(after.since(&before), counts(1, 5, 4.0, &[1, 4]));
        for anew in [counts(2, 15, 9.0, &[5, 10]), counts(1, 3, 1.0, &[1, 2])] {
            assert_eq!(anew.since(&before), anew);
        }
    }

    #[test]
    fn mean_and_p99() {
        let bounds = [0.1, 0.5, 1.0];
        let cases: [(&[u64], Option<f64>); 5] = [
            (&[100, 0, 0, 0], Some(0.099)),
            (&[0, 100, 0, 0], Some(0.496)),
            (&[98, 0, 2, 0], Some(0.75)),
            (&[0, 0, 0, 5], Some(1.0)),
            (&[0, 0, 0, 0], None),
        ];
        for (buckets, expected) in cases {
            let got = counts(1, 1, 1.0, buckets).p99(&bounds);
            let close = got.zip(expected).is_none_or(|(a, b)| (a - b).abs() < 1e-9);
            assert!(
                close && got.is_some() == expected.is_some(),
                "{buckets:?}: {got:?}"
            );
        }
        assert_eq!(counts(1, 4, 2.0, &[]).p99(&bounds), None);
        assert_eq!(counts(1, 4, 2.0, &[]).mean(), Some(0.5));
        assert_eq!(counts(1, 0, 0.0, &[]).mean(), None);
    }
}
