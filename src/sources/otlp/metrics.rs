//! Metrics of an `ExportMetricsServiceRequest` as samples.
//!
//! A histogram or summary `x` becomes `x_count`, `x_sum` and, from what was counted since the point
//! before, `x_mean`, `x_p99` and, over all points of a resource, `x_bucket`.

use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128, xxh3_128_with_seed};

use super::attributes::{
    Pairs, add, identifies_series, key_value, resource_pairs, scalar, submessage, to_labels,
};
use super::exponential;
use super::histogram::{Counts, Grown};
use super::memory::{Draft, Memory, Overtaken};
use super::points::{self, Point};
use super::{ReadError, Taken, time_of_ns};
use crate::model::{Sample, Series, SeriesKind, Signal, Time, Unit};
use crate::sources::naming::{METRIC_NAME_BYTES_MAX, unit_of_ucum};
use crate::sources::secrets;
use crate::sources::series::SeriesCache;
use crate::sources::wire::{Fields, WireError};

/// Reads metrics.
pub(super) struct Metrics {
    series: SeriesCache,
    memory: Memory,
}

/// A metric being read.
struct Metric<'a> {
    resource: &'a [u8],
    resource_hash: u128,
    name: &'a str,
    unit: &'a str,
    scope: &'a [u8],
    /// All of it, as it lies in the body.
    message: &'a [u8],
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
            memory: Memory::new(),
        }
    }

    /// Hands over what was read of a request, and remembers what the next ones are compared with once that is taken.
    pub(super) fn remember<T>(
        &self,
        draft: Draft,
        hand_over: impl FnOnce() -> Result<(), T>,
    ) -> Result<Result<(), T>, Overtaken> {
        self.memory.remember(draft, hand_over)
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
            let scope = scope.bytes(2)?;
            let mut metrics = Fields::of(scope);
            let scope = submessage(scope, 1)?;
            while let Some((number, message)) = metrics.next()? {
                if number == 2 {
                    let metric = Metric {
                        resource,
                        resource_hash,
                        name: "",
                        unit: "",
                        scope,
                        message: message.bytes(2)?,
                    };
                    let read = self.metric(metric, taken);
                    taken.forgive("a metric", read)?;
                }
            }
        }
        Ok(())
    }

    /// Reads a `Metric`: name (1), unit (3), and one kind of data.
    fn metric(&self, mut metric: Metric<'_>, taken: &mut Taken) -> Result<(), ReadError> {
        let mut data = None;
        let mut fields = Fields::of(metric.message);
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
        let recent = match temporality {
            Temporality::Delta => Some(counts),
            Temporality::Cumulative => {
                let key = metric.key(&Part::whole(SeriesKind::Counter, Unit::None), point);
                let draft = &mut taken.draft;
                self.memory.since_last(draft, key, at, counts)
            }
        };
        let Some(recent) = recent else {
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
        let of_all = Part::whole(SeriesKind::Delta, Unit::None);
        let key = metric.key(&of_all, &Point::default());
        let part = metric.part();
        let at = self.memory.time_of_part(&mut taken.draft, key, part, at);
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
    /// Tells one message of it from another.
    fn part(&self) -> u128 {
        xxh3_128_with_seed(self.message, xxh3_64(self.scope))
    }

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
        Ok(secrets::series(
            &name,
            to_labels(&pairs),
            part.kind,
            part.unit,
        ))
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
