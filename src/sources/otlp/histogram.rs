//! What a histogram says of the time between two points: mean, 99th percentile, and how its values are spread.
//!
//! Cumulative histograms are compared with their point before; the memory for that is bounded.

use xxhash_rust::xxh3::xxh3_64;

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
    /// What the buckets are cut at, as a hash of it: only those that are cut alike are compared.
    pub cut: u64,
}

impl Counts {
    /// Notes what the buckets are cut at.
    pub(super) fn cut_at(&mut self, bounds: &[f64]) {
        let bytes: Vec<u8> = bounds
            .iter()
            .flat_map(|bound| bound.to_le_bytes())
            .collect();
        self.cut = xxh3_64(&bytes);
    }

    /// What was counted since `before`; everything, if counting began anew in between. No buckets, where they are
    /// others than before: for these, counting begins anew.
    pub(super) fn since(&self, before: &Self) -> Self {
        if self.start != before.start || self.count < before.count {
            return self.clone();
        }
        let both = self.buckets.iter().zip(&before.buckets);
        let grown = both.map(|(now, then)| now.checked_sub(*then)).collect();
        let has_same_buckets = self.cut == before.cut && self.buckets.len() == before.buckets.len();
        Self {
            start: before.start,
            count: self.count - before.count,
            sum: self.sum.zip(before.sum).map(|(now, then)| now - then),
            // One that fell was cut otherwise, as an exponential histogram is that gets a coarser scale.
            buckets: if has_same_buckets { grown } else { None }.unwrap_or_default(),
            cut: self.cut,
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
    /// no upper end, it is at least the last bound. `None` where the bounds are none: they must be finite and rise.
    pub(super) fn p99(&self, bounds: &[f64]) -> Option<f64> {
        if !self.fits(bounds) {
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

    /// Whether these are the bounds of its buckets: finite, rising, and one fewer than there are buckets.
    fn fits(&self, bounds: &[f64]) -> bool {
        let rise = bounds.is_sorted_by(|low, high| low < high);
        let are_finite = bounds.iter().all(|bound| bound.is_finite());
        !bounds.is_empty() && rise && are_finite && self.buckets.len() == bounds.len() + 1
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
    /// Adds a point with these bounds, which must be finite and rise.
    pub(super) fn add(&mut self, at: Time, bounds: &[f64], counts: &Counts) {
        let Some(last) = bounds.len().checked_sub(1).filter(|_| counts.fits(bounds)) else {
            return;
        };
        self.at = self.at.max(Some(at));
        let ends = bounds.iter().copied().chain([f64::INFINITY]);
        // Of what lies above all bounds it is told where that begins: else nobody knew how large it is.
        let has_more = counts.buckets.last().is_some_and(|count| *count > 0);
        for (at, (end, &count)) in ends.zip(&counts.buckets).enumerate() {
            if count > 0 || has_more && at == last {
                self.add_up_to(end, count);
            }
        }
    }

    /// Adds the values of one bucket; where there is no room for its end, to the next higher one.
    fn add_up_to(&mut self, end: f64, count: u64) {
        let known = self
            .ends
            .binary_search_by(|(known, _)| known.total_cmp(&end));
        let place = match known {
            Err(place) if self.ends.len() < ENDS_MAX => {
                self.ends.insert(place, (end, count));
                return;
            }
            Ok(place) | Err(place) => place.min(ENDS_MAX - 1),
        };
        let (known, sum) = &mut self.ends[place];
        *known = known.max(end);
        *sum = sum.saturating_add(count);
    }

    /// How many values each bucket holds, by its end.
    pub(super) fn iter(&self) -> impl Iterator<Item = (f64, u64)> {
        self.ends.iter().copied()
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
            cut: 0,
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
    fn buckets_that_were_cut_otherwise_are_not_compared() {
        let before = counts(1, 10, 5.0, &[4, 6, 0]);
        for coarser in [&[0, 12, 0][..], &[4, 8]] {
            let after = counts(1, 12, 9.0, coarser);
            assert_eq!(after.since(&before), counts(1, 2, 4.0, &[]));
        }
    }

    #[test]
    fn buckets_of_other_bounds_begin_anew() {
        let cut = |bounds: &[f64], counts: Counts| {
            let mut counts = counts;
            counts.cut_at(bounds);
            counts
        };
        let before = cut(&[0.1, 0.5], counts(1, 10, 5.0, &[4, 6, 0]));
        // None of them fell, and they are as many: only the bounds say that they are others.
        let after = cut(&[0.2, 0.9], counts(1, 14, 9.0, &[5, 9, 0]));
        let grown = after.since(&before);
        assert_eq!(
            (grown.count, grown.sum, grown.buckets.len()),
            (4, Some(4.0), 0)
        );
        let next = cut(&[0.2, 0.9], counts(1, 16, 9.0, &[6, 10, 0]));
        assert_eq!(next.since(&after).buckets, [1, 1, 0]);
    }

    #[test]
    fn points_of_different_bounds_are_added_up() {
        let mut grown = Grown::default();
        let at = |second| Time::from_secs(second);
        grown.add(at(5), &[0.1, 0.5], &counts(1, 9, 1.0, &[4, 0, 5]));
        grown.add(at(4), &[0.2, 0.5], &counts(1, 6, 1.0, &[1, 2, 3]));
        let own: Vec<(f64, u64)> = grown.iter().collect();
        assert_eq!(own, [(0.1, 4), (0.2, 1), (0.5, 2), (f64::INFINITY, 8)]);
        assert_eq!(grown.at, Some(at(5)));
        let mut grown = Grown::default();
        grown.add(at(5), &[0.1, 0.5, 1.0], &counts(1, 9, 1.0, &[4, 0, 0, 5]));
        let told: Vec<(f64, u64)> = grown.iter().collect();
        assert_eq!(told, [(0.1, 4), (1.0, 0), (f64::INFINITY, 5)]);
    }

    #[test]
    fn bounds_that_are_none_say_nothing() {
        let mut grown = Grown::default();
        let at = Time::from_secs(9);
        for bounds in [
            &[0.5, 0.2][..],
            &[0.5, 0.5],
            &[f64::NAN, 0.5],
            &[0.5, f64::INFINITY],
            &[0.1],
        ] {
            let point = counts(1, 6, 1.0, &[1, 2, 3]);
            grown.add(at, bounds, &point);
            assert_eq!(point.p99(bounds), None, "{bounds:?}");
        }
        grown.add(at, &[], &counts(1, 6, 1.0, &[6]));
        assert_eq!((grown.at, grown.iter().count()), (None, 0));
    }

    #[test]
    fn more_ends_than_there_is_room_for_lose_no_value() {
        let mut grown = Grown::default();
        let many: Vec<f64> = (1..200).map(f64::from).collect();
        grown.add(Time::from_secs(6), &many, &counts(1, 200, 1.0, &[1; 200]));
        let ends: Vec<(f64, u64)> = grown.iter().collect();
        assert_eq!(ends.len(), ENDS_MAX);
        assert_eq!(ends[0], (1.0, 1));
        assert!(ends[ENDS_MAX - 1].0.is_infinite());
        assert_eq!(ends.iter().map(|(_, count)| count).sum::<u64>(), 200);
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
