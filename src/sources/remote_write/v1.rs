//! Remote write 1.0, `prometheus.WriteRequest`: labels already seen are recognised by their bytes.

use std::sync::PoisonError;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::Seen;
use super::points::{Believed, Points, Taken};
use crate::model::{SeriesKind, Unit};
use crate::sources::families::Told;
use crate::sources::wire::{Fields, Value, WireError};

impl Seen {
    /// Reads a `prometheus.WriteRequest`: series (1) and metadata (3).
    pub(super) fn read_v1(&self, body: &[u8], believed: Believed) -> Result<Taken, WireError> {
        let mut taken = Taken::within(believed);
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => self.series_v1(value.bytes(number)?, &mut taken)?,
                3 => self.metadata(value)?,
                // The symbols and series of 2.0, which reserves the numbers of 1.0 to tell them apart.
                4 | 5 => return Err(WireError::Foreign(number)),
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

    fn of_name(&self, name: &str) -> (SeriesKind, Unit) {
        let families = self.families.read();
        families.unwrap_or_else(PoisonError::into_inner).of(name)
    }

    /// Reads a `prometheus.MetricMetadata`: type (1), family name (2) and unit (5). Only what the name does
    /// not say already is kept.
    fn metadata(&self, value: Value<'_>) -> Result<(), WireError> {
        let (mut kind, mut family, mut unit) = (0, "", "");
        let mut fields = value.fields(3)?;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => kind = value.uint(1)?,
                2 => family = value.text(2)?,
                5 => unit = value.text(5)?,
                _ => {}
            }
        }
        let kind = match kind {
            1 => Some(SeriesKind::Counter),
            2 => Some(SeriesKind::Gauge),
            _ => None,
        };
        let Some(told) = Told::beyond_name(family, kind, unit) else {
            return Ok(());
        };
        let mut families = self
            .families
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_news = families.learn(family, told);
        drop(families);
        if is_news {
            self.series.clear();
        }
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
