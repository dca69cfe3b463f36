//! The values at the places of a template: whether they are spread as they usually are.
//!
//! Of a template on an entity a few places are watched, and a few lines in ten seconds are read for that.
//! What is kept are shares of ranges of values, and of names by hash; never a value itself, but for those
//! few numbers that choose the ranges.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::variable::VarType;
use crate::engine::distribution::{Distribution, Kind, Shift, Standing};
use crate::engine::set_back::SetBack;
use crate::model::{Time, Unit};

/// Places of a template that are watched, the first of those that hold values of a kind that is.
const PLACES_MAX: usize = 4;
/// Lines read in one bucket of ten seconds: enough for a window in three buckets, however many come.
const LINES_PER_BUCKET: u8 = 16;
/// A template is watched from this line on: most never come so often.
pub(super) const WATCHED_FROM: u64 = 32;

/// The places watched of one template on one entity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Values {
    places: Vec<Place>,
    bucket: i64,
    read: u8,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Place {
    /// Its position among the pieces of the template.
    at: u8,
    /// Its position among the variables, from 1.
    ordinal: u8,
    var: VarType,
    /// `None` once it turned out that the values say nothing.
    distribution: Option<Box<Distribution>>,
}

/// One value of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    /// Position of the place among the pieces of the template.
    pub at: u8,
    /// Position among the variables, from 1.
    pub ordinal: u8,
    /// What it is known to hold.
    pub var: VarType,
    /// As it is written.
    pub text: &'a [u8],
}

/// What is odd about the values at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct OddValues {
    /// Position among the variables, from 1.
    pub ordinal: u8,
    /// What they are.
    pub var: VarType,
    /// What has changed.
    pub shift: Shift,
    /// Windows learned before, and since when.
    pub learned: (u32, Time),
}

impl Values {
    /// Whether a line of this bucket is to be read.
    pub(super) fn wants(&mut self, bucket: i64) -> bool {
        if bucket != self.bucket {
            (self.bucket, self.read) = (bucket, 0);
        }
        self.read += u8::from(self.read <= LINES_PER_BUCKET);
        self.read <= LINES_PER_BUCKET
    }

    /// Adds the values of one line.
    pub(super) fn add<'a>(&mut self, at: Time, values: impl Iterator<Item = Value<'a>>) {
        for value in values {
            let Some(kind) = kind_of(value.var) else {
                continue;
            };
            let Some(place) = self.place(&value, kind) else {
                continue;
            };
            if let (Some(distribution), Some(number)) =
                (&mut place.distribution, number_of(value.text, kind))
            {
                distribution.add(at, number, 1.0, 1.0);
            }
        }
    }

    /// The place of a value, watched from now on if there is room.
    fn place(&mut self, value: &Value<'_>, kind: Kind) -> Option<&mut Place> {
        let known = self.places.iter().position(|place| place.at == value.at);
        let fresh = || Place {
            at: value.at,
            ordinal: value.ordinal,
            var: value.var,
            distribution: Some(Box::new(Distribution::new(kind))),
        };
        let ix = match known {
            Some(ix) => ix,
            None if self.places.len() < PLACES_MAX => {
                self.places.push(fresh());
                self.places.len() - 1
            }
            None => return None,
        };
        let place = self.places.get_mut(ix)?;
        if place.var != value.var {
            // It holds more than was thought: what was learned is of something else.
            *place = fresh();
        }
        Some(place)
    }

    /// Judges what came until `now`.
    pub(super) fn turn(&mut self, now: Time) {
        for place in &mut self.places {
            if let Some(distribution) = &mut place.distribution {
                distribution.turn(now);
                if !distribution.is_suited() {
                    place.distribution = None;
                }
            }
        }
    }

    /// What is odd, the surest.
    pub(super) fn odd(&self) -> Option<OddValues> {
        let odd = self.places.iter().filter_map(|place| {
            let distribution = place.distribution.as_ref()?;
            Some(OddValues {
                ordinal: place.ordinal,
                var: place.var,
                shift: distribution.shift()?,
                learned: distribution.learned(),
            })
        });
        odd.max_by(|a, b| a.shift.score.total_cmp(&b.shift.score))
    }

    /// How far each place is known, with what its values are called.
    pub(super) fn standing(&self) -> impl Iterator<Item = (String, Standing)> {
        self.places.iter().map(|place| {
            let of = format!("its {} (value {})", noun(place.var), place.ordinal);
            let known = place.distribution.as_ref();
            (of, known.map_or(Standing::Unsuited, |of| of.standing()))
        })
    }

    /// What is odd is usual from now on.
    pub(super) fn accept(&mut self) {
        let distributions = self
            .places
            .iter_mut()
            .filter_map(|place| place.distribution.as_mut());
        distributions
            .filter(|d| d.shift().is_some())
            .for_each(|d| d.restart());
    }

    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, back: SetBack) {
        let distributions = self
            .places
            .iter_mut()
            .filter_map(|place| place.distribution.as_mut());
        distributions.for_each(|d| d.set_back(back));
    }
}

impl OddValues {
    /// What the values are called.
    pub(super) const fn noun(&self) -> &'static str {
        noun(self.var)
    }

    /// The unit of the ends of the range; `None` for names, which have no range.
    pub(super) const fn unit(&self) -> Option<Unit> {
        match self.var {
            VarType::Duration => Some(Unit::Seconds),
            VarType::Size => Some(Unit::Bytes),
            VarType::Percent => Some(Unit::Percent),
            VarType::Number => Some(Unit::None),
            _ => None,
        }
    }
}

const fn noun(var: VarType) -> &'static str {
    match var {
        VarType::Duration => "durations",
        VarType::Size => "sizes",
        VarType::Percent => "percentages",
        VarType::Ip => "addresses",
        VarType::Host => "hosts",
        VarType::Path => "paths",
        VarType::Url => "URLs",
        VarType::Email => "mail addresses",
        VarType::Hex | VarType::Id | VarType::Uuid => "ids",
        VarType::Number => "numbers",
        VarType::Any | VarType::Time | VarType::Text | VarType::Secret => "values",
    }
}

/// How values of a type are compared; `None` when they are not.
const fn kind_of(var: VarType) -> Option<Kind> {
    match var {
        VarType::Duration | VarType::Size | VarType::Percent => Some(Kind::Measure),
        VarType::Number => Some(Kind::Number),
        VarType::Ip
        | VarType::Host
        | VarType::Path
        | VarType::Url
        | VarType::Email
        | VarType::Uuid
        | VarType::Hex
        | VarType::Id => Some(Kind::Name),
        VarType::Any | VarType::Time | VarType::Text | VarType::Secret => None,
    }
}

fn number_of(text: &[u8], kind: Kind) -> Option<f64> {
    match kind {
        Kind::Measure | Kind::Number => measured(text),
        Kind::Name => Some((xxh3_64(text) >> 11) as f64 / (1_u64 << 53) as f64),
    }
}

/// A number with its unit, or several as in `1m30s`, in seconds, bytes or as it is.
fn measured(text: &[u8]) -> Option<f64> {
    let (sign, mut rest) = match text {
        [b'-', rest @ ..] => (-1.0, rest),
        [b'+' | b'#', rest @ ..] => (1.0, rest),
        _ => (1.0, text),
    };
    let (mut sum, is_empty) = (0.0, rest.is_empty());
    while !rest.is_empty() {
        let length = run(rest, |b| b.is_ascii_digit() || b == b'.');
        let digits = std::str::from_utf8(&rest[..length]).ok()?;
        let number: f64 = digits.parse().ok()?;
        rest = rest[length..].trim_ascii_start();
        let length = run(rest, |b| !b.is_ascii_digit() && b != b' ');
        sum += number * factor(&rest[..length])?;
        rest = rest[length..].trim_ascii_start();
    }
    (!is_empty).then_some(sign * sum)
}

fn run(text: &[u8], is_part: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| is_part(**b)).count()
}

/// What one of a unit is in seconds or bytes; `None` for what is no unit.
fn factor(unit: &[u8]) -> Option<f64> {
    const UNITS: [(&str, f64); 37] = [
        ("", 1.0),
        ("%", 1.0),
        ("ns", 1e-9),
        ("nsec", 1e-9),
        ("nanoseconds", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("usec", 1e-6),
        ("microseconds", 1e-6),
        ("ms", 1e-3),
        ("msec", 1e-3),
        ("millis", 1e-3),
        ("milliseconds", 1e-3),
        ("s", 1.0),
        ("sec", 1.0),
        ("secs", 1.0),
        ("second", 1.0),
        ("seconds", 1.0),
        ("m", 60.0),
        ("min", 60.0),
        ("mins", 60.0),
        ("minute", 60.0),
        ("minutes", 60.0),
        ("h", 3_600.0),
        ("hour", 3_600.0),
        ("hours", 3_600.0),
        ("b", 1.0),
        ("byte", 1.0),
        ("bytes", 1.0),
        ("k", 1e3),
        ("kb", 1e3),
        ("kib", 1_024.0),
        ("mb", 1e6),
        ("mib", 1_048_576.0),
        ("gb", 1e9),
        ("gib", 1_073_741_824.0),
        ("tb", 1e12),
    ];
    let is_it = |(name, _): &&(&str, f64)| unit.eq_ignore_ascii_case(name.as_bytes());
    UNITS.iter().find(is_it).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_with_their_units() {
        let cases = [
            ("12", Some(12.0)),
            ("-3.5", Some(-3.5)),
            ("#7", Some(7.0)),
            ("12ms", Some(0.012)),
            ("1.5 s", Some(1.5)),
            ("850 µs", Some(850e-6)),
            ("1m30s", Some(90.0)),
            ("1h2m3s", Some(3_723.0)),
            ("64 KiB", Some(65_536.0)),
            ("10kB", Some(10_000.0)),
            ("97%", Some(97.0)),
            ("", None),
            ("-", None),
            ("1.2.3", None),
            ("12 apples", None),
            ("1, 2, 3", None),
            ("ms", None),
        ];
        for (text, expected) in cases {
            let read = measured(text.as_bytes());
            let is_right = match (read, expected) {
                (Some(read), Some(expected)) => (read - expected).abs() <= 1e-9 * expected.abs(),
                (read, expected) => read == expected,
            };
            assert!(is_right, "{text}: {read:?}");
        }
    }

    #[test]
    fn few_lines_of_a_bucket_are_read_and_few_places_watched() {
        let mut values = Values::default();
        let read = (0..1_000).filter(|_| values.wants(7)).count();
        assert_eq!(read, usize::from(LINES_PER_BUCKET));
        assert!(values.wants(8));
        let value = |at| Value {
            at,
            ordinal: at + 1,
            var: VarType::Number,
            text: b"3",
        };
        values.add(Time::from_secs(1), (0..20).map(value));
        assert_eq!(values.places.len(), PLACES_MAX);
    }
}
