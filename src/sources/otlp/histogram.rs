//! What a histogram says of the time between two points: mean, 99th percentile, and how its values are spread.
//!
//! Cumulative histograms are compared with their point before; the memory for that is bounded.

use crate::model::Time;

/// The quantile that becomes a series: what the slowest in a hundred see.
const QUANTILE: f64 = 0.99;

/// Ends of buckets of one metric at most: no more are looked at.
const ENDS_MAX: usize = 64;

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

/// What all points of one metric counted since their points before, by upper ends of buckets. Whoever asks how the
/// values are spread asks it of all points together, so that attributes multiply no series.
#[derive(Debug, Default)]
pub(super) struct Grown {
    /// The latest time of a point.
    pub at: Option<Time>,
    /// In rising order.
    ends: Vec<(f64, u64)>,
}

impl Grown {
    /// Adds a point with these bounds.
    pub(super) fn add(&mut self, at: Time, bounds: &[f64], counts: &Counts) {
        if bounds.is_empty() || counts.buckets.len() != bounds.len() + 1 {
            return;
        }
        self.at = self.at.max(Some(at));
        let ends = bounds.iter().copied().chain([f64::INFINITY]);
        for (end, count) in ends.zip(&counts.buckets).filter(|(_, count)| **count > 0) {
            match self
                .ends
                .binary_search_by(|(known, _)| known.total_cmp(&end))
            {
                Ok(place) => self.ends[place].1 = self.ends[place].1.saturating_add(*count),
                Err(place) if self.ends.len() < ENDS_MAX => self.ends.insert(place, (end, *count)),
                Err(_) => {}
            }
        }
    }

    /// How many values came up to each end at which any did.
    pub(super) fn up_to(&self) -> impl Iterator<Item = (f64, u64)> {
        self.ends.iter().scan(0_u64, |sum, (end, count)| {
            *sum = sum.saturating_add(*count);
            Some((*end, *sum))
        })
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
    fn points_of_different_bounds_are_summed_up() {
        let mut grown = Grown::default();
        let at = |second| Time::from_secs(second);
        grown.add(at(5), &[0.1, 0.5], &counts(1, 9, 1.0, &[4, 0, 5]));
        grown.add(at(4), &[0.2, 0.5], &counts(1, 6, 1.0, &[1, 2, 3]));
        grown.add(at(9), &[0.2, 0.5], &counts(1, 6, 1.0, &[1, 2]));
        let up_to: Vec<(f64, u64)> = grown.up_to().collect();
        assert_eq!(up_to, [(0.1, 4), (0.2, 5), (0.5, 7), (f64::INFINITY, 15)]);
        assert_eq!(grown.at, Some(at(5)), "what has no bounds says nothing");
        let many: Vec<f64> = (1..200).map(f64::from).collect();
        grown.add(at(6), &many, &counts(1, 200, 1.0, &[1; 200]));
        assert_eq!(grown.up_to().count(), ENDS_MAX);
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
