//! How far a column of numbers is from its own normal, robustly and on the side that hurts.
//!
//! The same two types serve the live engine (which keeps streaming baselines) and the benchmark
//! loaders (which compute the baseline from a quiet frame). Nothing here may look at names.

use crate::model::{Band, Finding, MetricRole, Unit};

/// What a column measures; it decides which direction is bad and what can be compared with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ColumnKind {
    /// Seconds per request; up is bad.
    Latency,
    /// Failed requests as a share of all, 0..1; up is bad.
    Errors,
    /// Successful requests as a share of all, 0..1; down is bad.
    Availability,
    /// Requests per row; odd both ways, and never blamed by itself.
    Traffic,
    /// Use of something finite (CPU, memory, pool, disk); odd both ways.
    Resource,
    /// Anything else; odd both ways, and only that.
    Other,
}

/// The direction in which a column hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadSide {
    /// Larger is worse.
    Up,
    /// Smaller is worse.
    Down,
    /// Any departure is odd.
    Both,
}

/// What kind of harm a column shows; only harm of one family can be added up along a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Requests take longer.
    Slow,
    /// Requests fail.
    Failing,
}

impl ColumnKind {
    /// The kind of a metric with this role.
    pub fn of(role: MetricRole) -> Self {
        match role {
            MetricRole::Latency => Self::Latency,
            MetricRole::Errors => Self::Errors,
            MetricRole::Availability => Self::Availability,
            MetricRole::Traffic => Self::Traffic,
            MetricRole::Saturation => Self::Resource,
            MetricRole::Other => Self::Other,
        }
    }

    /// The direction that hurts.
    pub fn bad_side(self) -> BadSide {
        match self {
            Self::Latency | Self::Errors => BadSide::Up,
            Self::Availability => BadSide::Down,
            Self::Traffic | Self::Resource | Self::Other => BadSide::Both,
        }
    }

    /// The harm this column shows, if it shows harm to requests at all.
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Latency => Some(Family::Slow),
            Self::Errors | Self::Availability => Some(Family::Failing),
            Self::Traffic | Self::Resource | Self::Other => None,
        }
    }

    /// How far `value` is from nothing at all: the failing share of an availability, else the size.
    pub fn level(self, value: f64) -> f64 {
        match self {
            // In percent it is far above one, in shares it never is.
            Self::Availability if value.abs() > AVAILABILITY_SHARE_MAX => (100.0 - value).abs(),
            Self::Availability => (1.0 - value).abs(),
            _ => value.abs(),
        }
    }

    /// The smallest spread that is believed, in the column's unit: half a millisecond, two requests in
    /// a thousand, one point of a resource share. Below it, a constant history would make every ripple huge.
    fn spread_floor(self) -> f64 {
        match self {
            Self::Latency => 0.000_5,
            Self::Errors | Self::Availability => 0.002,
            Self::Traffic => 1.0,
            Self::Resource | Self::Other => 0.03,
        }
    }
}

/// A column's normal: its middle, and one spread for each side because real tails are lopsided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// The median of quiet values.
    pub median: f64,
    /// One standard deviation upwards, in the column's unit; never zero.
    pub up: f64,
    /// One standard deviation downwards; never zero.
    pub down: f64,
    /// How many values taught it.
    pub samples: u32,
}

/// Spread never below this share of the median: ordinary systems wander that much between days.
const SPREAD_SHARE_OF_MEDIAN: f64 = 0.03;
/// A tail's 1 % or 99 % point counts as this many standard deviations.
const TAIL_SIGMAS: f64 = 3.0;
/// The interquartile range of a normal distribution, in standard deviations.
const IQR_SIGMAS: f64 = 1.349;
/// Values it takes until a normal is half believed.
const HALF_BELIEVED_SAMPLES: f64 = 20.0;
/// An availability above this is in percent.
const AVAILABILITY_SHARE_MAX: f64 = 1.5;
/// A band's half width, in standard deviations.
const BAND_SIGMAS: f64 = 3.0;
/// Samples a band of a check that is past its warm-up stands for.
const BAND_SAMPLES: u32 = 200;
/// Deviations beyond this say nothing more than "far out".
pub const Z_MAX: f64 = 50.0;

impl Normal {
    /// The normal of quiet `values` (any order, sorted in place; NaN are dropped). `None` when there are none.
    pub fn of(values: &mut Vec<f64>, kind: ColumnKind, unit: Unit) -> Option<Self> {
        values.retain(|v| v.is_finite());
        if values.is_empty() {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let quantile = |q: f64| sorted_quantile(values, q);
        Some(Self::from_quantiles(
            [
                quantile(0.01),
                quantile(0.25),
                quantile(0.5),
                quantile(0.75),
                quantile(0.99),
            ],
            u32::try_from(values.len()).unwrap_or(u32::MAX),
            kind,
            unit,
        ))
    }

    /// The normal from the 1, 25, 50, 75 and 99 % points, as a streaming sketch keeps them.
    pub fn from_quantiles(points: [f64; 5], samples: u32, kind: ColumnKind, unit: Unit) -> Self {
        let [q01, q25, median, q75, q99] = points;
        let spread = ((q75 - q25) / IQR_SIGMAS)
            .max(SPREAD_SHARE_OF_MEDIAN * kind.level(median))
            .max(kind.spread_floor() / base_units(unit));
        Self {
            median,
            up: spread.max((q99 - median) / TAIL_SIGMAS),
            down: spread.max((median - q01) / TAIL_SIGMAS),
            samples,
        }
    }

    /// Trust in this normal, 0..1: little history means little.
    pub fn trust(&self) -> f64 {
        let samples = f64::from(self.samples);
        samples / (samples + HALF_BELIEVED_SAMPLES)
    }

    /// Signed distance of `value` from `reference` in standard deviations of the side it lies on.
    pub fn z_from(&self, reference: f64, value: f64) -> f64 {
        let delta = value - reference;
        if delta >= 0.0 {
            delta / self.up
        } else {
            delta / self.down
        }
    }

    /// How bad `value` is, in standard deviations: positive only on the side that hurts.
    pub fn badness(&self, side: BadSide, value: f64) -> f64 {
        let z = self.z_from(self.median, value);
        match side {
            BadSide::Up => z.max(0.0),
            BadSide::Down => (-z).max(0.0),
            BadSide::Both => z.abs(),
        }
    }
}

/// One metric of an entity: its normal and its values in the rows of the incident's window.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name shown, untrusted.
    pub name: Box<str>,
    /// Unit of the normal and the values.
    pub unit: Unit,
    /// What it measures.
    pub kind: ColumnKind,
    /// Quiet behaviour.
    pub normal: Normal,
    /// Whether excess times requests adds up along calls (a mean or a share does, a percentile does not).
    pub additive: bool,
    /// The value at which the resource is exhausted, where known.
    pub limit: Option<f64>,
    /// One value a row, NaN where missing; a single value stands for every row.
    pub values: Vec<f64>,
}

impl Column {
    /// The column of what a check noticed: its expected band as the normal, the value seen as the only row.
    pub fn of_finding(finding: &Finding) -> Self {
        let Band { low, high } = finding.expected;
        let kind = ColumnKind::of(finding.role);
        let half = ((high - low) / 2.0).abs();
        let median = f64::midpoint(low, high);
        let spread = (half / BAND_SIGMAS)
            .max(SPREAD_SHARE_OF_MEDIAN * kind.level(median))
            .max(f64::MIN_POSITIVE);
        let normal = Normal {
            median,
            up: spread,
            down: spread,
            samples: BAND_SAMPLES,
        };
        Self {
            name: finding.subject.clone(),
            unit: finding.unit,
            kind,
            normal,
            additive: false,
            limit: None,
            values: vec![finding.seen],
        }
    }

    /// Factor from this column's unit to seconds or shares.
    pub fn base_units(&self) -> f64 {
        base_units(self.unit)
    }

    /// The value of `row`, NaN when missing.
    pub fn at(&self, row: usize) -> f64 {
        if self.values.len() == 1 {
            self.values[0]
        } else {
            self.values.get(row).copied().unwrap_or(f64::NAN)
        }
    }

    /// The value that departs most from normal on the bad side, and its badness; `None` without values.
    pub fn worst(&self) -> Option<(f64, f64)> {
        let side = self.kind.bad_side();
        self.values
            .iter()
            .filter(|value| value.is_finite())
            .map(|value| {
                (
                    *value,
                    self.normal.badness(side, *value) * self.normal.trust(),
                )
            })
            .max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Factor from a unit to seconds or shares.
pub fn base_units(unit: Unit) -> f64 {
    match unit {
        Unit::Milliseconds => 0.001,
        Unit::Percent => 0.01,
        Unit::None
        | Unit::Seconds
        | Unit::Bytes
        | Unit::Ratio
        | Unit::PerSecond
        | Unit::BytesPerSecond => 1.0,
    }
}

/// Linear interpolation between the sorted values around quantile `q`; the slice must not be empty.
pub fn sorted_quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    let part = at - low as f64;
    sorted[low] * (1.0 - part) + sorted[high] * part
}

/// The share of belief in a deviation of `z` standard deviations: 0 at none, half at `half`, near 1 when far out.
pub fn gate(z: f64, half: f64) -> f64 {
    let squared = z * z;
    squared / (squared + half * half)
}

/// Standard deviations of a normal distribution with the same tail, from −log10 p.
pub fn sigmas(score: f64) -> f64 {
    (2.0 * std::f64::consts::LN_10 * score.max(0.0)).sqrt()
}
