//! Exponential histograms on one grid of bounds, so that points of different scales can be compared.
//!
//! The bounds are powers of √2. A scale of 1 or more has them among its own, a coarser one ends its buckets at some
//! of them: no value is put on the wrong side of a bound. What lies beyond the grid counts in its last buckets.

use std::sync::LazyLock;

/// Bounds to an octave.
const STEPS: f64 = 2.0;
/// The scale whose bounds are those of the grid: finer ones have these among theirs.
pub(super) const GRID_SCALE: i64 = 1;
/// The lowest bound and the highest, in steps: 2⁻³² and 2⁴⁸, nanoseconds in seconds to terabytes in bytes.
const LOWEST: i64 = -64;
const HIGHEST: i64 = 96;

/// Upper ends of the grid's buckets; one more bucket lies above.
pub(super) static BOUNDS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let bound = |step: i64| (step as f64 / STEPS).exp2();
    (LOWEST..=HIGHEST).map(bound).collect()
});

/// The bucket of the grid for the bucket of this index at this scale: values up to 2^((index + 1) / 2^scale).
pub(super) fn bucket(index: i64, scale: i64) -> usize {
    let exponent = (index as f64 + 1.0) * (-(scale as f64)).exp2();
    let step = (STEPS * exponent).ceil().max(LOWEST as f64) as i64;
    (step.min(HIGHEST + 1) - LOWEST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_where_the_one_it_is_counted_in_does_or_before() {
        for scale in [-4, -1, 0, 1, 2, 3, 8, 20] {
            for index in [-70, -9, -2, -1, 0, 1, 2, 5, 40] {
                let end = (f64::from(index + 1) * f64::from(-scale).exp2()).exp2();
                let begin = (f64::from(index) * f64::from(-scale).exp2()).exp2();
                let at = bucket(i64::from(index), i64::from(scale));
                let up_to = BOUNDS.get(at).copied().unwrap_or(f64::INFINITY);
                let is_last = at == 0 || at == BOUNDS.len();
                assert!(end <= up_to * (1.0 + 1e-9), "{scale} {index}");
                let below = at.checked_sub(1).map_or(0.0, |below| BOUNDS[below]);
                let is_narrow = scale >= 1;
                assert!(
                    is_last || !is_narrow || begin >= below * (1.0 - 1e-9),
                    "{scale} {index}: {begin} lies below {below}"
                );
            }
        }
    }

    #[test]
    fn what_lies_beyond_the_grid_counts_in_its_last_buckets() {
        for (index, scale, at) in [
            (i64::from(i32::MAX), 0, BOUNDS.len()),
            (i64::from(i32::MIN), 0, 0),
            (0, i64::from(i32::MIN), BOUNDS.len()),
            (-1, -10, (-LOWEST) as usize),
            (0, 20, (1 - LOWEST) as usize),
        ] {
            assert_eq!(bucket(index, scale), at, "{index} at {scale}");
        }
    }
}
