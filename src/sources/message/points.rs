//! Documents of JSON to points of metrics: name, value and labels stand in fields that the config names.
//!
//! Kind and unit are by the name, as Prometheus has them. A value that is no number is refused.

use std::sync::Arc;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::config::MetricFields;
use crate::model::{Labels, Sample, Series, Time};
use crate::sources::document::{Reader, cut, field, text};
use crate::sources::naming::{kind_by_name, unit_by_name};
use crate::sources::secrets;
use crate::sources::series::SeriesCache;

/// Longest name of a metric, in bytes.
const NAME_BYTES_MAX: usize = 256;
/// Most labels of a point that are looked at.
const TAGS_MAX: usize = 128;

/// Reads points.
pub(super) struct Points {
    fields: MetricFields,
    series: SeriesCache,
}

impl Points {
    pub(super) fn new(fields: MetricFields, series_max: u32) -> Self {
        Self {
            fields,
            series: SeriesCache::new(series_max),
        }
    }

    /// The point of a document that was published at `at`; else why it is none.
    pub(super) fn sample(
        &self,
        document: &Map<String, Value>,
        reader: &Reader,
        at: Time,
    ) -> Result<Sample, String> {
        let named = |path: &str| format!("a metric without `{path}`");
        let name = field(document, &self.fields.name).and_then(text);
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| named(&self.fields.name))?;
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("a name longer than {NAME_BYTES_MAX} bytes"));
        }
        let value = field(document, &self.fields.value);
        let value = number(value.ok_or_else(|| named(&self.fields.value))?)
            .ok_or_else(|| format!("the value of {name:?} is no number"))?;
        Ok(Sample {
            series: self.series(&name, document, reader)?,
            at: reader.time(document).unwrap_or(at),
            value,
        })
    }

    fn series(
        &self,
        name: &str,
        document: &Map<String, Value>,
        reader: &Reader,
    ) -> Result<Arc<Series>, String> {
        let tags = field(document, &self.fields.labels).and_then(Value::as_object);
        let tags = tags.into_iter().flatten().take(TAGS_MAX);
        let tags: Vec<(&str, String)> = tags
            .filter_map(|(name, value)| Some((name.as_str(), text(value)?)))
            .collect();
        let told = reader.pairs(document);
        let pairs = || {
            let told = told.iter().chain(&tags);
            told.map(|(name, value)| (*name, cut(value)))
                .chain(reader.own())
        };
        let mut key = Xxh3::new();
        for part in std::iter::once(name).chain(pairs().flat_map(|(name, value)| [name, value])) {
            key.update(&(part.len() as u64).to_le_bytes());
            key.update(part.as_bytes());
        }
        self.series.get_or(key.digest128(), || {
            let labels = Labels::from_pairs(pairs()).map_err(|error| error.to_string())?;
            let (kind, unit) = (kind_by_name(name), unit_by_name(name));
            Ok(secrets::series(name, labels, kind, unit))
        })
    }
}

/// A number, also one that is written as a text; never one that is none.
fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number: &f64| number.is_finite())
}
