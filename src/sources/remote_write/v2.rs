//! Remote write 2.0, `io.prometheus.write.v2.Request`: a table of symbols, and series that refer to it.
//!
//! The table is one request's own, so a series is recognised by the hashes of the symbols it names,
//! each of which is hashed once a request.

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::Seen;
use super::points::{Believed, LABELS_SENT_MAX, Points, Taken, numbers};
use crate::model::{SeriesKind, Unit};
use crate::sources::naming::{kind_by_name, unit_of_word};
use crate::sources::wire::{Fields, Value, WireError};

/// Most symbols of one request: each takes sixteen times the room of the shortest as sent. A request of
/// Prometheus holds some thousands.
const SYMBOLS_MAX: usize = 262_144;
/// Most references of one series: two for each label.
const REFS_MAX: usize = 2 * LABELS_SENT_MAX;

/// A symbol and its hash.
type Symbol<'a> = (&'a str, u128);

/// What a series says of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Metadata {
    /// 1 counter, 2 gauge, …; 0 says nothing.
    kind: u64,
    unit_ref: u64,
}

/// Room that is used again for each series.
#[derive(Debug, Default)]
struct Scratch {
    refs: Vec<u64>,
    key: Vec<u8>,
}

impl Seen {
    /// Reads an `io.prometheus.write.v2.Request`: symbols (4), then series (5).
    pub(super) fn read_v2(&self, body: &[u8], believed: Believed) -> Result<Taken, WireError> {
        let mut taken = Taken::within(believed);
        let Some(symbols) = symbols(body)? else {
            taken.too_much = Some(format!("more than {SYMBOLS_MAX} symbols in one request"));
            return Ok(taken);
        };
        let mut scratch = Scratch::default();
        let mut fields = Fields::of(body);
        while let Some((number, value)) = fields.next()? {
            match number {
                5 => self.series_v2(value.bytes(5)?, &symbols, &mut scratch, &mut taken)?,
                // The series and metadata of 1.0.
                1..=3 => return Err(WireError::Foreign(number)),
                _ => {}
            }
            if taken.is_too_much() {
                break;
            }
        }
        Ok(taken)
    }

    /// Reads a `TimeSeries`: references of labels (1), samples (2), histograms (3), exemplars (4),
    /// metadata (5). The metadata stands behind the samples it describes.
    fn series_v2(
        &self,
        message: &[u8],
        symbols: &[Symbol<'_>],
        scratch: &mut Scratch,
        taken: &mut Taken,
    ) -> Result<(), WireError> {
        scratch.refs.clear();
        let mut metadata = Metadata::default();
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => numbers(1, value, &mut scratch.refs, REFS_MAX)?,
                5 => metadata = Metadata::read(value)?,
                _ => {}
            }
            if scratch.refs.len() > REFS_MAX {
                taken.refuse(&format!("a series has more than {LABELS_SENT_MAX} labels"));
                return Ok(());
            }
        }
        scratch.key.clear();
        let unit_refs = std::iter::once(metadata.unit_ref);
        for at in scratch.refs.iter().copied().chain(unit_refs) {
            let hash = symbol(symbols, at).map_or(u128::MAX, |(_, hash)| *hash);
            scratch.key.extend_from_slice(&hash.to_le_bytes());
        }
        scratch.key.extend_from_slice(&metadata.kind.to_le_bytes());
        let (refs, key) = (&scratch.refs, &scratch.key);
        let mut points = Points::new(taken, |part| {
            let key = xxh3_128_with_seed(key, part.seed());
            let make = || part.series(pairs(refs, symbols), |name| metadata.of(name, symbols));
            self.series.get_or(key, make)
        });
        let mut fields = Fields::of(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                2 => points.sample(value)?,
                3 => points.histogram(value)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Metadata {
    /// Reads a `Metadata`: type (1) and the reference of the unit (4).
    fn read(value: Value<'_>) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        let mut fields = value.fields(5)?;
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => metadata.kind = value.uint(1)?,
                4 => metadata.unit_ref = value.uint(4)?,
                _ => {}
            }
        }
        Ok(metadata)
    }

    fn of(self, name: &str, symbols: &[Symbol<'_>]) -> (SeriesKind, Unit) {
        let kind = match self.kind {
            1 => SeriesKind::Counter,
            2 => SeriesKind::Gauge,
            // Histograms and summaries are judged by the suffixes of their series.
            _ => kind_by_name(name),
        };
        let unit = symbol(symbols, self.unit_ref).map_or("", |(text, _)| text);
        (kind, unit_of_word(unit, name))
    }
}

/// The table of a request; `None` if it is longer than we take.
fn symbols(body: &[u8]) -> Result<Option<Vec<Symbol<'_>>>, WireError> {
    let mut symbols = Vec::new();
    let mut fields = Fields::of(body);
    while let Some((number, value)) = fields.next()? {
        if number == 4 {
            if symbols.len() == SYMBOLS_MAX {
                return Ok(None);
            }
            let text = value.text(4)?;
            symbols.push((text, xxh3_128(text.as_bytes())));
        }
    }
    Ok(Some(symbols))
}

fn symbol<'a, 's>(symbols: &'s [Symbol<'a>], at: u64) -> Option<&'s Symbol<'a>> {
    symbols.get(usize::try_from(at).ok()?)
}

/// The labels of a series: names and values in turn.
fn pairs<'a>(
    refs: &[u64],
    symbols: &[Symbol<'a>],
) -> impl Iterator<Item = Result<(&'a str, &'a str), String>> {
    let text = |at: u64| {
        let symbol = symbol(symbols, at).map(|(text, _)| *text);
        symbol.ok_or_else(|| format!("it refers to symbol {at} of {}", symbols.len()))
    };
    refs.chunks(2).map(move |pair| match pair {
        [name, value] => Ok((text(*name)?, text(*value)?)),
        _ => Err("a label has a name and no value".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::RwLock;

    use super::*;
    use crate::sources::series::SeriesCache;

    fn seen() -> Seen {
        Seen {
            series: SeriesCache::new(10),
            families: RwLock::default(),
        }
    }

    #[test]
    fn a_table_or_a_series_without_end_is_refused() {
        let empty_symbols = [0x22, 0x00].repeat(SYMBOLS_MAX + 1);
        let taken = seen().read_v2(&empty_symbols, Believed::default()).unwrap();
        let why = "more than 262144 symbols in one request";
        assert_eq!(taken.too_much.as_deref(), Some(why));
        let all = seen()
            .read_v2(&empty_symbols[2..], Believed::default())
            .unwrap();
        assert_eq!(all.too_much, None);

        // A series of packed references, all to symbol 0: key 5, then key 1 within.
        let refs = vec![0; REFS_MAX + 2];
        let varint = |n: usize| [(n % 128 + 128) as u8, (n / 128) as u8];
        let mut series = vec![0x0a];
        series.extend(varint(refs.len()));
        series.extend(refs);
        let mut body = vec![0x2a];
        body.extend(varint(series.len()));
        body.extend(series);
        let taken = seen().read_v2(&body, Believed::default()).unwrap();
        let why = "a series has more than 1024 labels";
        assert_eq!((taken.refused, taken.reason.as_deref()), (1, Some(why)));
    }
}
