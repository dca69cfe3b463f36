//! Remote write 1.0, `prometheus.WriteRequest`: labels already seen are recognised by their bytes.

use std::sync::PoisonError;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Seen;
use super::points::{Points, Taken};
use crate::model::SeriesKind;
use crate::sources::naming::{kind_by_name, unit_by_name};
use crate::sources::wire::{Fields, Value, WireError};

/// Metric families whose type was announced; later ones go by their names.
const FAMILIES_MAX: usize = 50_000;

impl Seen {
    /// Reads a `prometheus.WriteRequest`: series (1) and metadata (3).
    pub(super) fn read_v1(&self, body: &[u8]) -> Result<Taken, WireError> {
        let mut taken = Taken::default();
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.series_v1(value.bytes(number)?, &mut taken)?,
                3 => self.metadata(value)?,
                _ => {}
            }
            if taken.is_too_much() {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads a `prometheus.TimeSeries`: labels (1), samples (2), exemplars (3), histograms (4).
    fn series_v1(&self, message: &[u8], taken: &mut Taken) -> Result<(), WireError> {
        let mut fields = Fields::of(message);
        let mut labels_end = 0;
        let mut samples = fields;
        // Senders write all labels first; their bytes are then one slice to hash.
        while let Some((1, value)) = fields.next()? {
            value.bytes(1)?;
            samples = fields;
            labels_end = message.len() - fields.rest().len();
        }
        let labels = &message[..labels_end];
        let mut points = Points::new(taken, |part| {
            let key = xxh3_128_with_seed(labels, part.seed());
            self.series.get_or(key, || {
                part.series(pairs(labels), |name| self.of_name(name))
            })
        });
        while let Some((number, value)) = samples.next()? {
            match number {
                1 => points.refuse("its labels are not all before its samples"),
                2 => points.sample(value)?,
                4 => points.histogram(value)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn of_name(&self, name: &str) -> (SeriesKind, crate::model::Unit) {
        let kinds = self.kinds.read().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.get(name).copied();
        (
            kind.unwrap_or_else(|| kind_by_name(name)),
            unit_by_name(name),
        )
    }

    /// Reads a `prometheus.MetricMetadata`: type (1) and family name (2). Only what the name does
    /// not say already is kept.
    fn metadata(&self, value: Value<'_>) -> Result<(), WireError> {
        let (mut kind, mut family) = (0, "");
        let mut fields = value.fields(3)?;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = value.uint(1)?,
                2 => family = value.text(2)?,
                _ => {}
            }
        }
        // Histograms and summaries are judged by the suffixes of their series.
        let kind = match kind {
            1 => SeriesKind::Counter,
            2 => SeriesKind::Gauge,
            _ => return Ok(()),
        };
        if kind == kind_by_name(family) {
            return Ok(());
        }
        let mut kinds = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        if kinds.get(family) == Some(&kind) || kinds.len() >= FAMILIES_MAX {
            return Ok(());
        }
        kinds.insert(family.into(), kind);
        drop(kinds);
        self.series.clear();
        Ok(())
    }
}

/// The labels of a series, from their bytes.
fn pairs(labels: &[u8]) -> impl Iterator<Item = Result<(&str, &str), String>> {
    let mut fields = Fields::of(labels);
    std::iter::from_fn(move || {
        let read = fields.next().transpose()?;
        Some(
            read.and_then(|(_, value)| value.pair(1))
                .map_err(|e| e.to_string()),
        )
    })
}
