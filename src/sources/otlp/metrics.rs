//! Metrics of an `ExportMetricsServiceRequest` as samples.
//!
//! A histogram or summary `x` becomes `x_count`, `x_sum` and, from what was counted since the point
//! before, `x_mean`, `x_p99` and, over all points of a resource, `x_bucket`.

use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::attributes::{
    Pairs, add, identifies_series, key_value, resource_pairs, scalar, submessage, to_labels,
};
use super::exponential;
use super::histogram::{Counts, Grown};
use super::points::{self, Point};
use super::{ReadError, Taken, time_of_ns};
use crate::model::{Sample, Series, SeriesKind, Signal, Time, Unit};
use crate::sources::naming::{METRIC_NAME_BYTES_MAX, unit_of_ucum};
use crate::sources::recent::Recent;
use crate::sources::series::SeriesCache;
use crate::sources::wire::{Fields, WireError};

/// Cumulative histograms whose last point is remembered, at some 150 bytes to 8 KiB each, exponential ones at 1.3 KiB;
/// and metrics of which it is known when their buckets were told last.
const HISTOGRAMS_REMEMBERED_MAX: usize = 20_000;
/// Buckets that are told this much before the last ones, in milliseconds, are told with those: they came in parts.
const PARTS_MS: i64 = 60_000;

/// Reads metrics.
pub(super) struct Metrics {
    series: SeriesCache,
    histograms: Mutex<Recent<u128, Arc<Counts>>>,
    /// When the buckets of a metric were told last.
    buckets_told: Mutex<Recent<u128, Time>>,
}

/// A metric being read.
struct Metric<'a> {
    resource: &'a [u8],
    resource_hash: u128,
    name: &'a str,
    unit: &'a str,
}

/// How the points of a metric relate to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Temporality {
    Delta,
    Cumulative,
}

impl Metrics {
    pub(super) fn new(series_max: u32) -> Self {
        Self {
            series: SeriesCache::new(series_max),
            histograms: Mutex::new(Recent::new(HISTOGRAMS_REMEMBERED_MAX)),
            buckets_told: Mutex::new(Recent::new(HISTOGRAMS_REMEMBERED_MAX)),
        }
    }

    /// Reads a whole request.
    pub(super) fn read(&self, message: &[u8], taken: &mut Taken) -> Result<(), ReadError> {
        let mut groups = Fields::of(message);
        while let Some((number, group)) = groups.next()? {
            if number == 1 {
                self.group(group.bytes(1)?, taken)?;
            }
        }
        Ok(())
    }

    /// Reads `ResourceMetrics`: resource (1), scopes (2), each with metrics (2).
    fn group(&self, group: &[u8], taken: &mut Taken) -> Result<(), ReadError> {
        let resource = submessage(group, 1)?;
        let resource_hash = xxh3_128(resource);
        let mut scopes = Fields::of(group);
        while let Some((number, scope)) = scopes.next()? {
            if number != 2 {
                continue;
            }
            let mut metrics = scope.fields(2)?;
            while let Some((number, message)) = metrics.next()? {
                if number == 2 {
                    let metric = Metric {
                        resource,
                        resource_hash,
                        name: "",
                        unit: "",
                    };
                    let read = self.metric(metric, message.bytes(2)?, taken);
                    taken.forgive("a metric", read)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a `Metric`: name (1), unit (3), and one kind of data.
    fn metric<'a>(
        &self,
        mut metric: Metric<'a>,
        message: &'a [u8],
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let mut data = None;
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => metric.name = value.text(1)?,
                3 => metric.unit = value.text(3)?,
                5 | 7 | 9..=11 => data = Some((number, value.bytes(number)?)),
                _ => {}
            }
        }
        let Some((kind, data)) = data else {
            return Ok(());
        };
        if metric.name.is_empty() || metric.name.len() > METRIC_NAME_BYTES_MAX {
            taken.reject("a metric has no name, or one that is too long");
            return Ok(());
        }
        // Data: points (1), temporality (2), monotonic (3).
        let (mut temporality, mut monotonic) = (0, false);
        let mut fields = Fields::of(data);
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => temporality = value.uint(2)?,
                3 => monotonic = value.uint(3)? != 0,
                _ => {}
            }
        }
        let temporality = match (kind, temporality) {
            (5 | 11, _) | (_, 2) => Temporality::Cumulative,
            (_, 1) => Temporality::Delta,
            _ => {
                taken.reject("a sum or histogram has no temporality");
                return Ok(());
            }
        };
        let mut points = Fields::of(data);
        let mut grown = Grown::default();
        while let Some((number, point)) = points.next()? {
            if number == 1 {
                let point = point.bytes(1)?;
                let read = match kind {
                    5 => self.number(&metric, SeriesKind::Gauge, point, taken),
                    7 => self.number(&metric, temporality.sum(monotonic), point, taken),
                    9 => self.histogram(&metric, temporality, point, &mut grown, taken),
                    10 => self.exponential(&metric, temporality, point, &mut grown, taken),
                    _ => self.summary(&metric, point, taken),
                };
                taken.forgive("a point", read)?;
            }
        }
        self.buckets(&metric, &grown, taken)
    }

    fn number(
        &self,
        metric: &Metric<'_>,
        kind: SeriesKind,
        point: &[u8],
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let (point, number) = points::number(point)?;
        let Some(at) = time_of_ns(point.at_ns) else {
            taken.reject("a point has no time");
            return Ok(());
        };
        let value = match number {
            // The series ended.
            _ if point.no_value => f64::NAN,
            Some(value) if !value.is_nan() => value,
            _ => {
                taken.reject("a point has no value");
                return Ok(());
            }
        };
        let unit = unit_of_ucum(metric.unit, metric.name);
        let series = self.series(metric, &Part::whole(kind, unit), &point)?;
        taken.push(Signal::Sample(Sample { series, at, value }))
    }

    fn histogram(
        &self,
        metric: &Metric<'_>,
        temporality: Temporality,
        point: &[u8],
        grown: &mut Grown,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let (point, counts, bounds) = points::histogram(point)?;
        let buckets = Some((&*bounds, grown));
        self.distribution(metric, temporality, &point, counts, buckets, taken)
    }

    fn exponential(
        &self,
        metric: &Metric<'_>,
        temporality: Temporality,
        point: &[u8],
        grown: &mut Grown,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let (point, counts) = points::exponential(point)?;
        let buckets = Some((&**exponential::BOUNDS, grown));
        self.distribution(metric, temporality, &point, counts, buckets, taken)
    }

    fn summary(
        &self,
        metric: &Metric<'_>,
        point: &[u8],
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let (point, counts, quantiles) = points::summary(point)?;
        self.distribution(metric, Temporality::Cumulative, &point, counts, None, taken)?;
        let Some(at) = time_of_ns(point.at_ns) else {
            return Ok(());
        };
        let p99 = quantiles
            .iter()
            .find(|(quantile, _)| (quantile - 0.99).abs() < 1e-9);
        if let Some(&(_, value)) = p99.filter(|(_, value)| !value.is_nan()) {
            self.derived(metric, "_p99", &point, at, Some(value), taken)?;
        }
        Ok(())
    }

    /// `_count`, `_sum`, `_mean` and `_p99` of one point of a distribution; where it has buckets, what they grew by
    /// is added up.
    fn distribution(
        &self,
        metric: &Metric<'_>,
        temporality: Temporality,
        point: &Point<'_>,
        counts: Counts,
        buckets: Option<(&[f64], &mut Grown)>,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let Some(at) = time_of_ns(point.at_ns) else {
            taken.reject("a point has no time");
            return Ok(());
        };
        if point.no_value {
            return Ok(());
        }
        let kind = temporality.sum(true);
        let unit = unit_of_ucum(metric.unit, metric.name);
        let part = |suffix, unit| Part {
            suffix,
            ..Part::whole(kind, unit)
        };
        let series = self.series(metric, &part("_count", Unit::None), point)?;
        let value = counts.count as f64;
        taken.push(Signal::Sample(Sample { series, at, value }))?;
        if let Some(value) = counts.sum.filter(|sum| !sum.is_nan()) {
            let series = self.series(metric, &part("_sum", unit), point)?;
            taken.push(Signal::Sample(Sample { series, at, value }))?;
        }
        let Some(recent) = self.since_last(metric, temporality, point, counts) else {
            return Ok(());
        };
        self.derived(metric, "_mean", point, at, recent.mean(), taken)?;
        let Some((bounds, grown)) = buckets else {
            return Ok(());
        };
        grown.add(at, bounds, &recent);
        self.derived(metric, "_p99", point, at, recent.p99(bounds), taken)
    }

    /// What the buckets of all points of a metric grew by.
    fn buckets(
        &self,
        metric: &Metric<'_>,
        grown: &Grown,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let Some(at) = grown.at else {
            return Ok(());
        };
        let at = self.after_the_last(metric, at);
        let unit = unit_of_ucum(metric.unit, metric.name);
        for (end, count) in grown.iter() {
            let part = Part {
                suffix: "_bucket",
                end: Some(end),
                ..Part::whole(SeriesKind::Delta, unit)
            };
            let series = self.series(metric, &part, &Point::default())?;
            let value = count as f64;
            taken.push(Signal::Sample(Sample { series, at, value }))?;
        }
        Ok(())
    }

    /// The time of buckets that are told now: those of one metric may come in several parts of one time, of other
    /// scopes or in other requests, and each part counts.
    fn after_the_last(&self, metric: &Metric<'_>, at: Time) -> Time {
        let key = metric.key(
            &Part::whole(SeriesKind::Delta, Unit::None),
            &Point::default(),
        );
        let mut told = self
            .buckets_told
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let last = told.get(&key).copied();
        let is_part = |last: &Time| (0..=PARTS_MS).contains(&last.since(at));
        let at = last.filter(is_part).map_or(at, |last| last.plus_ms(1));
        told.put(key, at);
        at
    }

    /// What was counted since the last point; `None` for the first one of a cumulative histogram.
    fn since_last(
        &self,
        metric: &Metric<'_>,
        temporality: Temporality,
        point: &Point<'_>,
        counts: Counts,
    ) -> Option<Counts> {
        if temporality == Temporality::Delta {
            return Some(counts);
        }
        let key = metric.key(&Part::whole(SeriesKind::Counter, Unit::None), point);
        let mut remembered = self
            .histograms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let recent = remembered.get(&key).map(|before| counts.since(before));
        remembered.put(key, Arc::new(counts));
        recent
    }

    fn derived(
        &self,
        metric: &Metric<'_>,
        suffix: &'static str,
        point: &Point<'_>,
        at: Time,
        value: Option<f64>,
        taken: &mut Taken,
    ) -> Result<(), ReadError> {
        let Some(value) = value.filter(|value| value.is_finite()) else {
            return Ok(());
        };
        let unit = unit_of_ucum(metric.unit, metric.name);
        let part = Part {
            suffix,
            ..Part::whole(SeriesKind::Gauge, unit)
        };
        let series = self.series(metric, &part, point)?;
        taken.push(Signal::Sample(Sample { series, at, value }))
    }

    fn series(
        &self,
        metric: &Metric<'_>,
        part: &Part,
        point: &Point<'_>,
    ) -> Result<Arc<Series>, WireError> {
        let key = metric.key(part, point);
        self.series.get_or(key, || metric.make(part, point))
    }
}

/// One series that a metric becomes.
struct Part {
    suffix: &'static str,
    kind: SeriesKind,
    unit: Unit,
    /// Upper end, of a bucket.
    end: Option<f64>,
}

impl Part {
    const fn whole(kind: SeriesKind, unit: Unit) -> Self {
        Self {
            suffix: "",
            kind,
            unit,
            end: None,
        }
    }
}

impl Metric<'_> {
    /// Hash of everything that tells one series from another, as it lies in the body.
    fn key(&self, part: &Part, point: &Point<'_>) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(&self.resource_hash.to_le_bytes());
        for text in [self.name, part.suffix, self.unit] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(&[part.kind as u8]);
        hash.update(&part.end.map_or(0, f64::to_bits).to_le_bytes());
        for attribute in &point.attributes {
            hash.update(&(attribute.len() as u64).to_le_bytes());
            hash.update(attribute);
        }
        hash.digest128()
    }

    fn make(&self, part: &Part, point: &Point<'_>) -> Result<Series, WireError> {
        let mut pairs = Pairs::new();
        resource_pairs(self.resource, &mut pairs)?;
        pairs.retain(|(key, _)| identifies_series(key));
        for attribute in &point.attributes {
            let (key, value) = key_value(attribute)?;
            add(&mut pairs, key, scalar(value)?);
        }
        if let Some(end) = part.end {
            let end = if end.is_finite() {
                end.to_string()
            } else {
                "+Inf".to_owned()
            };
            add(&mut pairs, "le", Some(end.into()));
        }
        let name = [self.name, part.suffix].concat();
        Ok(Series::new(&name, to_labels(&pairs), part.kind, part.unit))
    }
}

impl Temporality {
    /// How the series of a sum accumulates.
    const fn sum(self, monotonic: bool) -> SeriesKind {
        match (self, monotonic) {
            (Self::Cumulative, true) => SeriesKind::Counter,
            (Self::Cumulative, false) => SeriesKind::Gauge,
            (Self::Delta, _) => SeriesKind::Delta,
        }
    }
}
