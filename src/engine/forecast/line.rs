//! Does it grow, how fast, and when does it end? Two ways to tell growth from chance, and an interval.
//!
//! A straight line suits what is noisy around a trend: ordinary least squares, with as many independent
//! points as the scatter's autocorrelation leaves (Bartlett 1935), that one corrected for what taking
//! out the line hides of it (Marriott and Pope 1954). Steps suit what wanders or bends: the mean of the
//! steps between the means of equal stretches of time, exact for a random walk and cautious for all
//! else. Whichever is surer speaks. Pure arithmetic: no state, no clock.

/// Points a line needs.
const POINTS_MIN: usize = 24;
/// Independent points a line needs: with fewer, how few is itself too uncertain.
const INDEPENDENT_MIN: f64 = 12.0;
/// Stretches of time whose means are compared.
const STRETCHES: usize = 13;
/// Standard errors to each side of an interval that holds nine times in ten.
const INTERVAL_ERRORS: f64 = 1.645;

/// Growth, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// Value at the last point.
    pub(super) level: f64,
    /// Growth, in units a millisecond.
    pub(super) slope: f64,
    /// Standard error of the slope.
    slope_error: f64,
    /// Variance that a millisecond of wandering adds.
    wander: f64,
    /// −log10 of the chance of such growth where there is none.
    pub(super) score: f64,
    /// Time from the first point to the last, in milliseconds.
    pub(super) span_ms: f64,
}

/// When a limit is reached, in milliseconds from the last point.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_field_names, reason = "units stay in names")]
pub(super) struct Ahead {
    /// At this pace.
    pub(super) likely_ms: f64,
    /// Nine times in ten not before …
    pub(super) early_ms: f64,
    /// … and not after; infinite when it may well never be.
    pub(super) late_ms: f64,
}

impl Growth {
    /// The growth of `points`, pairs of milliseconds and values in order of time; `None` when they are
    /// too few or do not move.
    pub(super) fn of(points: &[(f64, f64)]) -> Option<Self> {
        let (first, last) = (points.first()?.0, points.last()?.0);
        if points.len() < POINTS_MIN || last <= first {
            return None;
        }
        let line = by_line(points, last - first);
        let steps = by_steps(points, first, last - first);
        [line, steps]
            .into_iter()
            .flatten()
            .max_by(|a, b| a.score.total_cmp(&b.score))
    }

    /// When it reaches `limit`; `None` when it does not move towards it.
    pub(super) fn ahead(&self, limit: f64) -> Option<Ahead> {
        let left = limit - self.level;
        if self.slope <= 0.0 || left < 0.0 {
            return None;
        }
        let likely_ms = left / self.slope;
        // What the slope may be off, and how far the value may wander on the way (first passage of a
        // walk with drift), as an error of the pace.
        let wandering = (self.wander / likely_ms.max(1.0)).sqrt();
        let error = INTERVAL_ERRORS * self.slope_error.hypot(wandering);
        let slowest = self.slope - error;
        Some(Ahead {
            likely_ms,
            early_ms: left / (self.slope + error),
            late_ms: if slowest > 0.0 {
                left / slowest
            } else {
                f64::INFINITY
            },
        })
    }
}

/// A straight line through all points.
fn by_line(points: &[(f64, f64)], span_ms: f64) -> Option<Growth> {
    let n = points.len() as f64;
    let last = points.last()?.0;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let mean_t = mean(&|p| p.0 - last);
    let mean_v = mean(&|p| p.1);
    let (mut tt, mut tv) = (0.0, 0.0);
    for (at, value) in points {
        let t = at - last - mean_t;
        tt += t * t;
        tv += t * (value - mean_v);
    }
    let slope = tv / tt;
    let off: Vec<f64> = points
        .iter()
        .map(|(at, value)| value - mean_v - slope * (at - last - mean_t))
        .collect();
    let scatter = off.iter().map(|r| r * r).sum::<f64>();
    let lag: f64 = off.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let seen = lag / scatter.max(f64::MIN_POSITIVE);
    let repeats = ((n * seen + 2.0) / (n - 4.0)).clamp(0.0, 0.99);
    // What is seen of it is uncertain: two standard errors more are assumed.
    let repeats = (repeats + 2.0 * ((1.0 - repeats * repeats) / n).sqrt()).min(0.99);
    let independent = n * (1.0 - repeats) / (1.0 + repeats);
    if independent < INDEPENDENT_MIN {
        return None;
    }
    let variance = (scatter / n).max(least(mean_v)) * independent / (independent - 2.0);
    let slope_error = (variance / (tt / n) / independent).sqrt();
    Some(Growth {
        level: mean_v - slope * mean_t,
        slope,
        slope_error,
        wander: 0.0,
        score: rarity(slope.abs() / slope_error, independent - 2.0),
        span_ms,
    })
}

/// The steps between the means of equal stretches of time.
fn by_steps(points: &[(f64, f64)], first: f64, span_ms: f64) -> Option<Growth> {
    let mut sums = [(0.0, 0.0); STRETCHES];
    for (at, value) in points {
        let share = (at - first) / span_ms * STRETCHES as f64;
        let (sum, count) = &mut sums[(share as usize).min(STRETCHES - 1)];
        *sum += value;
        *count += 1.0;
    }
    if sums.iter().any(|(_, count)| *count == 0.0) {
        return None;
    }
    let means = sums.map(|(sum, count)| sum / count);
    let steps: Vec<f64> = means.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let n = steps.len() as f64;
    let mean = steps.iter().sum::<f64>() / n;
    let squares = steps.iter().map(|step| (step - mean).powi(2)).sum::<f64>();
    // Means of stretches of a walk differ by less than the walk, by two thirds in variance, and repeat
    // themselves by a quarter (Working 1960), so that fewer of them are independent.
    let variance = 1.5 * (squares / (n - 1.0)).max(least(means[0]));
    let stretch_ms = span_ms / STRETCHES as f64;
    let error = (variance / n).sqrt();
    Some(Growth {
        level: points.last()?.1,
        slope: mean / stretch_ms,
        slope_error: error / stretch_ms,
        wander: variance / stretch_ms,
        score: rarity(mean.abs() / error, (n - 1.0) / 1.5),
        span_ms,
    })
}

/// What cannot be told apart by the 32 bits that are kept is no scatter to trust.
fn least(value: f64) -> f64 {
    (1e-6 * value.abs()).max(1e-12).powi(2)
}

/// −log10 of the chance of `t` standard errors, both ways, with few degrees of freedom taken into
/// account: the tail of Student's distribution by the normal one of Wallace (1959).
fn rarity(t: f64, freedom: f64) -> f64 {
    let freedom = freedom.max(1.0);
    let z = (freedom * (t * t / freedom).ln_1p()).sqrt() * (8.0 * freedom + 1.0)
        / (8.0 * freedom + 3.0);
    if z < 1.0 {
        return 0.0;
    }
    // The tail of the normal distribution, by its leading term.
    (z * z / 2.0 + (z * (std::f64::consts::TAU / 4.0).sqrt()).ln()) / std::f64::consts::LN_10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::dice::Dice;

    fn minutes(values: impl IntoIterator<Item = f64>) -> Vec<(f64, f64)> {
        let at = |(minute, value)| (f64::from(minute) * 60_000.0, value);
        (0_i32..).zip(values).map(at).collect()
    }

    #[test]
    fn chance_is_no_growth_whatever_the_noise() {
        // Of 4,000 series of each kind without any trend, with a score of 3 four may be beyond it.
        const SERIES: usize = 4_000;
        let mut dice = Dice(3);
        let kinds = [
            "independent",
            "Laplace",
            "AR(0.5)",
            "AR(0.9)",
            "AR(0.97)",
            "random walk",
        ];
        let mut beyond = [[0_u32; 2]; 6];
        for _ in 0..SERIES {
            let mut state = [0.0_f64; 4];
            let mut columns: [Vec<f64>; 6] = Default::default();
            for _ in 0..88 {
                let unit = dice.normal();
                let laplace = (2.0 * dice.unit()).min(1.0).ln() - (2.0 * dice.unit()).min(1.0).ln();
                for (value, share) in state.iter_mut().zip([0.5, 0.9, 0.97, 1.0]) {
                    *value = share * *value + unit;
                }
                let [half, slow, slower, walk] = state;
                let values = [unit, laplace, half, slow, slower, walk];
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(100.0 + value);
                }
            }
            for (kind, column) in columns.into_iter().enumerate() {
                if let Some(growth) = Growth::of(&minutes(column)) {
                    beyond[kind][0] += u32::from(growth.score >= 3.0);
                    beyond[kind][1] += u32::from(growth.score >= 6.0);
                }
            }
        }
        for (kind, [three, six]) in kinds.iter().zip(beyond) {
            println!("{kind}: {three} beyond 3, {six} beyond 6 of {SERIES}");
            assert!(three <= 20 && six == 0, "{kind}: {three}, {six}");
        }
    }

    #[test]
    fn growth_is_found_and_its_end_lies_in_the_interval() {
        const LIMIT: f64 = 150.0;
        type Story = fn(f64, &mut Dice) -> f64;
        // Each reaches the limit so many minutes after the last point.
        let stories: [(&str, Story, f64); 3] = [
            ("a leak", |m, d| 50.0 + 0.5 * m + d.normal(), 113.0),
            ("a fast leak", |m, d| 50.0 + m + 0.2 * d.normal(), 13.0),
            ("exact", |m, _| 50.0 + 0.25 * m, 313.0),
        ];
        for (name, story, minutes_left) in stories {
            let mut within = 0;
            for seed in 0..200 {
                let mut dice = Dice(seed);
                let values: Vec<f64> = (0..88).map(|m| story(f64::from(m), &mut dice)).collect();
                let growth = Growth::of(&minutes(values)).unwrap();
                assert!(growth.score > 6.0, "{name}: {growth:?}");
                let ahead = growth.ahead(LIMIT).unwrap();
                assert!(ahead.early_ms <= ahead.likely_ms && ahead.likely_ms <= ahead.late_ms);
                let left_ms = minutes_left * 60_000.0;
                let slack_ms = 0.01 * left_ms + 1_000.0;
                within += i32::from(
                    ahead.early_ms - slack_ms <= left_ms && left_ms <= ahead.late_ms + slack_ms,
                );
            }
            println!("{name}: {within} of 200 intervals hold");
            assert!(within >= 160, "{name}: {within} of 200");
        }
    }

    #[test]
    fn what_bends_or_wanders_upwards_grows() {
        let bent = (0..88).map(|m| 50.0 + 0.6 * f64::from(m) + 0.002 * f64::from(m).powi(2));
        assert!(Growth::of(&minutes(bent)).unwrap().score > 6.0);
        let mut dice = Dice(11);
        let mut walk = 50.0;
        let wandering = (0..88).map(|_| {
            walk += 1.0 + 0.5 * dice.normal();
            walk
        });
        let growth = Growth::of(&minutes(wandering)).unwrap();
        assert!(growth.score > 6.0, "{growth:?}");
        let ahead = growth.ahead(200.0).unwrap();
        assert!(ahead.late_ms > 1.1 * ahead.likely_ms, "{ahead:?}");
    }

    #[test]
    fn what_is_short_or_still_has_no_growth() {
        assert_eq!(Growth::of(&[]), None);
        assert_eq!(Growth::of(&minutes((0..23).map(f64::from))), None);
        assert_eq!(Growth::of(&[(5.0, 1.0); 40]), None);
        let falls = Growth::of(&minutes((0..88).map(|m| 100.0 - f64::from(m)))).unwrap();
        assert_eq!(falls.ahead(150.0), None);
        let still = Growth::of(&minutes([7.0; 88]));
        assert!(still.is_none_or(|growth| growth.score < 1.0 && growth.ahead(9.0).is_none()));
    }
}
