//! Data points of metrics as they lie in the body.

use super::histogram::Counts;
use super::{exponential, time_of_ns};
use crate::sources::wire::{Fields, Value, WireError};

/// Most buckets of one histogram point; SDKs use 160 at most.
const BUCKETS_MAX: usize = 1_024;

/// Flag bit: the point says that there is no value.
const FLAG_NO_VALUE: u64 = 1;

/// What all points have.
#[derive(Clone, Debug, Default)]
pub(super) struct Point<'a> {
    /// Raw `KeyValue`s.
    pub attributes: Vec<&'a [u8]>,
    pub at_ns: u64,
    pub no_value: bool,
}

/// Quantiles, each with its value.
type Quantiles = Vec<(f64, f64)>;

/// Where the common fields of a point type stand.
#[derive(Clone, Copy)]
struct Layout {
    attributes: u32,
    flags: u32,
}

const NUMBER: Layout = Layout {
    attributes: 7,
    flags: 8,
};
const HISTOGRAM: Layout = Layout {
    attributes: 9,
    flags: 10,
};
const EXPONENTIAL: Layout = Layout {
    attributes: 1,
    flags: 10,
};
const SUMMARY: Layout = Layout {
    attributes: 7,
    flags: 8,
};

/// Time of every point type.
const TIME: u32 = 3;

impl<'a> Point<'a> {
    fn see(&mut self, layout: Layout, number: u32, value: Value<'a>) -> Result<(), WireError> {
        if number == layout.attributes {
            self.attributes.push(value.bytes(number)?);
        } else if number == layout.flags {
            self.no_value = value.uint(number)? & FLAG_NO_VALUE != 0;
        } else if number == TIME {
            self.at_ns = value.uint(number)?;
        }
        Ok(())
    }
}

/// A `NumberDataPoint`: double (4) or integer (6).
pub(super) fn number(message: &[u8]) -> Result<(Point<'_>, Option<f64>), WireError> {
    let (mut point, mut number) = (Point::default(), None);
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            4 => number = Some(value.double(4)?),
            6 => number = Some(value.int(6)? as f64),
            _ => point.see(NUMBER, field, value)?,
        }
    }
    Ok((point, number))
}

/// A `HistogramDataPoint`: start (2), count (4), sum (5), buckets (6), bounds (7).
pub(super) fn histogram(message: &[u8]) -> Result<(Point<'_>, Counts, Vec<f64>), WireError> {
    let (mut point, mut counts, mut bounds) = (Point::default(), Counts::default(), Vec::new());
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            2 => counts.start = time_of_ns(value.uint(2)?),
            4 => counts.count = value.uint(4)?,
            5 => counts.sum = Some(value.double(5)?),
            6 => fixed_list(6, value, |bits| counts.buckets.push(bits))?,
            7 => fixed_list(7, value, |bits| bounds.push(f64::from_bits(bits)))?,
            _ => point.see(HISTOGRAM, field, value)?,
        }
        if counts.buckets.len().max(bounds.len()) > BUCKETS_MAX {
            counts.buckets = Vec::new();
            bounds = Vec::new();
        }
    }
    counts.cut_at(&bounds);
    Ok((point, counts, bounds))
}

/// An `ExponentialHistogramDataPoint`, its buckets on the grid of [`super::exponential`]: start (2), count (4),
/// sum (5), scale (6), zeros (7), positive (8) and negative (9) buckets. What is not positive counts as lowest.
pub(super) fn exponential(message: &[u8]) -> Result<(Point<'_>, Counts), WireError> {
    let (mut point, mut counts) = (Point::default(), Counts::default());
    let (mut scale, mut lowest, mut positive) = (0_i64, 0_u64, &[][..]);
    let mut all = true;
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            2 => counts.start = time_of_ns(value.uint(2)?),
            4 => counts.count = value.uint(4)?,
            5 => counts.sum = Some(value.double(5)?),
            6 => scale = i64::from(value.sint32(6)?),
            7 => lowest = lowest.saturating_add(value.uint(7)?),
            8 => positive = value.bytes(8)?,
            9 => {
                all &= exponential_buckets(value.bytes(9)?, |_, count| {
                    lowest = lowest.saturating_add(count);
                })?;
            }
            _ => point.see(EXPONENTIAL, field, value)?,
        }
    }
    // The scale may stand behind the buckets.
    // All scales that are finer than the grid are cut by it alike.
    counts.cut_at(&[scale.min(exponential::GRID_SCALE) as f64]);
    counts.buckets = vec![0; exponential::BOUNDS.len() + 1];
    counts.buckets[0] = lowest;
    all &= exponential_buckets(positive, |index, count| {
        let bucket = &mut counts.buckets[exponential::bucket(index, scale)];
        *bucket = bucket.saturating_add(count);
    })?;
    if !all {
        // A part of them would tell of quicker requests than there were.
        counts.buckets = Vec::new();
    }
    Ok((point, counts))
}

/// The `Buckets` of an exponential histogram: index of the first (1), and counts (2), packed or not. Whether those were
/// all; of too many none is told.
fn exponential_buckets(message: &[u8], mut each: impl FnMut(i64, u64)) -> Result<bool, WireError> {
    let (mut first, mut counts) = (0_i64, Vec::new());
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match (field, value) {
            (1, value) => first = i64::from(value.sint32(1)?),
            (2, Value::Bytes(packed)) => {
                let mut packed = Fields::of(packed);
                while !packed.rest().is_empty() && counts.len() <= BUCKETS_MAX {
                    counts.push(packed.varint()?);
                }
            }
            (2, value) if counts.len() <= BUCKETS_MAX => counts.push(value.uint(2)?),
            _ => {}
        }
    }
    if counts.len() > BUCKETS_MAX {
        return Ok(false);
    }
    (first..)
        .zip(counts)
        .for_each(|(index, count)| each(index, count));
    Ok(true)
}

/// A `SummaryDataPoint`: start (2), count (4), sum (5), quantiles (6) as pairs of quantile and value.
pub(super) fn summary(message: &[u8]) -> Result<(Point<'_>, Counts, Quantiles), WireError> {
    let (mut point, mut counts, mut quantiles) = (Point::default(), Counts::default(), Vec::new());
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            2 => counts.start = time_of_ns(value.uint(2)?),
            4 => counts.count = value.uint(4)?,
            5 => counts.sum = Some(value.double(5)?),
            6 if quantiles.len() < BUCKETS_MAX => quantiles.push(quantile(value)?),
            _ => point.see(SUMMARY, field, value)?,
        }
    }
    Ok((point, counts, quantiles))
}

/// A `ValueAtQuantile`: quantile (1) and value (2).
fn quantile(value: Value<'_>) -> Result<(f64, f64), WireError> {
    let (mut quantile, mut number) = (0.0, 0.0);
    let mut fields = value.fields(6)?;
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => quantile = value.double(1)?,
            2 => number = value.double(2)?,
            _ => {}
        }
    }
    Ok((quantile, number))
}

/// A repeated 64-bit field, packed or not.
fn fixed_list(field: u32, value: Value<'_>, mut push: impl FnMut(u64)) -> Result<(), WireError> {
    match value {
        Value::Fixed64(bits) => push(bits),
        Value::Bytes(packed) => {
            let (numbers, rest) = packed.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(WireError::Truncated);
            }
            // One more than fits is enough for the caller to see that there are too many.
            for number in numbers.iter().take(BUCKETS_MAX + 1) {
                push(u64::from_le_bytes(*number));
            }
        }
        _ => return Err(WireError::Type(field)),
    }
    Ok(())
}
