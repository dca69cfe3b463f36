//! What a request of remote write brings: samples, and native histograms as their count and sum.
//!
//! A series that cannot be used is refused and counted, never the rest with it.

use std::sync::Arc;

use crate::model::{LabelsBuilder, Sample, Series, SeriesKind, Signal, Time, Unit};
use crate::sources::http::SIGNALS_REQUEST_MAX;
use crate::sources::naming::check_name;
use crate::sources::secrets;
use crate::sources::wire::{Fields, Value, WireError};

/// The label that holds a metric's name.
const NAME_LABEL: &str = "__name__";

/// What Prometheus sends when a series ends; other NaNs are values that nobody can judge.
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// A histogram that goes up and down, by its reset hint.
const RESET_HINT_GAUGE: u64 = 3;

/// Most labels of a series that are looked at: far more than anybody can use.
pub(super) const LABELS_SENT_MAX: usize = 1_024;

/// Times that a sample may be of: the engine refuses those further from its clock, and counts whose they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Believed {
    from_ms: i64,
    to_ms: i64,
}

/// What a body held.
#[derive(Debug, Default)]
pub(super) struct Taken {
    believed: Believed,
    /// Samples and histograms of a time that is not believed, which are not written.
    pub(super) unbelieved: u64,
    pub(super) signals: Vec<Signal>,
    /// Why the first series was refused.
    pub(super) reason: Option<String>,
    pub(super) refused: u64,
    /// Samples that are taken, those left out because they are no numbers included.
    pub(super) samples: u64,
    /// Native histograms that are taken.
    pub(super) histograms: u64,
    /// Why the whole request is refused: something in it has no end.
    pub(super) too_much: Option<String>,
}

/// Which series of a metric a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The metric itself.
    Value,
    /// Observations of a native histogram.
    Count(SeriesKind),
    /// Sum of the observations of a native histogram.
    Sum(SeriesKind),
}

/// The points of one metric with its labels; `find` gives the series of each part.
pub(super) struct Points<'a, F> {
    find: F,
    /// The series of [`Part::Value`], once asked for.
    value: Option<Result<Arc<Series>, String>>,
    pub(super) taken: &'a mut Taken,
}

impl Part {
    /// What its series is called after the metric's name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Value => "",
            Self::Count(_) => "_count",
            Self::Sum(_) => "_sum",
        }
    }

    /// Tells the keys of the parts of one metric apart.
    pub(super) const fn seed(self) -> u64 {
        match self {
            Self::Value => 0,
            Self::Count(SeriesKind::Gauge) => 1,
            Self::Count(_) => 2,
            Self::Sum(SeriesKind::Gauge) => 3,
            Self::Sum(_) => 4,
        }
    }

    /// Makes its series of the labels as sent; `of_name` says kind and unit.
    pub(super) fn series<'a>(
        self,
        labels: impl Iterator<Item = Result<(&'a str, &'a str), String>>,
        of_name: impl FnOnce(&str) -> (SeriesKind, Unit),
    ) -> Result<Series, String> {
        let mut builder = LabelsBuilder::default();
        let mut name = "";
        for label in labels {
            match label? {
                (NAME_LABEL, value) => name = value,
                (_, "") => {}
                (label, value) => builder.add(label, value),
            }
        }
        check_name(name)?;
        let labels = builder.build().map_err(|e| e.to_string())?;
        let (kind, unit) = of_name(name);
        Ok(match self {
            Self::Value => secrets::series(name, labels, kind, unit),
            Self::Count(kind) | Self::Sum(kind) => {
                let unit = match self {
                    Self::Sum(_) => unit,
                    _ => Unit::None,
                };
                secrets::series(&format!("{name}{}", self.suffix()), labels, kind, unit)
            }
        })
    }
}

impl<'a, F: FnMut(Part) -> Result<Arc<Series>, String>> Points<'a, F> {
    pub(super) const fn new(taken: &'a mut Taken, find: F) -> Self {
        Self {
            find,
            value: None,
            taken,
        }
    }

    /// Reads a `Sample`: value (1) and milliseconds (2), the same in both versions.
    pub(super) fn sample(&mut self, value: Value<'_>) -> Result<(), WireError> {
        let (mut number, mut at_ms) = (0.0, 0);
        let mut fields = value.fields(2)?;
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => number = value.double(1)?,
                2 => at_ms = value.int(2)?,
                _ => {}
            }
        }
        let find = &mut self.find;
        match self.value.get_or_insert_with(|| find(Part::Value)) {
            Ok(series) => {
                let series = Arc::clone(series);
                self.taken.samples += self.taken.is_believed(at_ms);
                self.taken.push(series, at_ms, number);
            }
            Err(why) => {
                let why = why.clone();
                self.refuse(&why);
            }
        }
        Ok(())
    }

    /// Reads a `Histogram`, the same in both versions: count (1, or 2 as a double), sum (3), reset
    /// hint (14) and milliseconds (15). Its buckets are left out.
    pub(super) fn histogram(&mut self, value: Value<'_>) -> Result<(), WireError> {
        let (mut count, mut sum, mut hint, mut at_ms) = (0.0, 0.0, 0, 0);
        let mut fields = value.fields(4)?;
        while let Some((field, value)) = fields.next()? {
            match field {
                1 => count = value.uint(1)? as f64,
                2 => count = value.double(2)?,
                3 => sum = value.double(3)?,
                14 => hint = value.uint(14)?,
                15 => at_ms = value.int(15)?,
                _ => {}
            }
        }
        // The marker of an end is written in the sum alone.
        if sum.to_bits() == STALE_NAN {
            count = sum;
        }
        let kind = if hint == RESET_HINT_GAUGE {
            SeriesKind::Gauge
        } else {
            SeriesKind::Counter
        };
        let parts = (self.find)(Part::Count(kind))
            .and_then(|of_count| Ok((of_count, (self.find)(Part::Sum(kind))?)));
        match parts {
            Ok((of_count, of_sum)) => {
                self.taken.histograms += self.taken.is_believed(at_ms);
                self.taken.push(of_count, at_ms, count);
                self.taken.push(of_sum, at_ms, sum);
            }
            Err(why) => self.refuse(&why),
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, why: &str) {
        self.taken.refuse(why);
    }
}

impl Believed {
    /// Those no further from `now` than this, in milliseconds.
    pub(super) const fn around(now: Time, skew_ms_max: i64) -> Self {
        Self {
            from_ms: now.plus_ms(-skew_ms_max).ms(),
            to_ms: now.plus_ms(skew_ms_max).ms(),
        }
    }
}

impl Taken {
    /// Nothing yet, of these times.
    pub(super) fn within(believed: Believed) -> Self {
        Self {
            believed,
            ..Self::default()
        }
    }

    /// 1 for a time that is believed; else 0, and one more is not.
    fn is_believed(&mut self, at_ms: i64) -> u64 {
        let Believed { from_ms, to_ms } = self.believed;
        let is_believed = (from_ms..=to_ms).contains(&at_ms);
        self.unbelieved += u64::from(!is_believed);
        u64::from(is_believed)
    }

    /// Counts a series or sample that is not taken.
    pub(super) fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.reason.get_or_insert_with(|| why.to_owned());
    }

    /// Whether the request holds more than may be taken of one.
    pub(super) fn is_too_much(&self) -> bool {
        self.signals.len() > SIGNALS_REQUEST_MAX
    }

    fn push(&mut self, series: Arc<Series>, at_ms: i64, value: f64) {
        let is_no_number = value.is_nan() && value.to_bits() != STALE_NAN;
        // One over the limit is enough to refuse the request.
        if is_no_number || self.is_too_much() {
            return;
        }
        self.signals.push(Signal::Sample(Sample {
            series,
            at: Time::from_ms(at_ms),
            value,
        }));
    }
}

/// Reads a length-delimited list of numbers, or a single one; stops at the first beyond `max`.
pub(super) fn numbers(
    field: u32,
    value: Value<'_>,
    into: &mut Vec<u64>,
    max: usize,
) -> Result<(), WireError> {
    match value {
        Value::Bytes(packed) => {
            let mut packed = Fields::of(packed);
            while !packed.rest().is_empty() && into.len() <= max {
                into.push(packed.varint()?);
            }
        }
        single => into.push(single.uint(field)?),
    }
    Ok(())
}
