//! Ids of 64 bits in JSON: as text, for most readers of JSON keep 53 bits of a number. Read as a number too, as they were written
//! before.

use std::fmt::{self, Display};

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serializer};

/// How an id is written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// As anybody counts.
    Decimal,
    /// Sixteen of them, as tools write hashes.
    Hex,
}

/// An id as text for people and JSON, as a number for our own bytes.
pub(super) fn serialize<S: Serializer>(
    id: u64,
    text: &impl Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        serializer.collect_str(text)
    } else {
        serializer.serialize_u64(id)
    }
}

/// An id back from either.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    digits: Digits,
    deserializer: D,
) -> Result<u64, D::Error> {
    if deserializer.is_human_readable() {
        deserializer.deserialize_any(IdVisitor(digits))
    } else {
        u64::deserialize(deserializer)
    }
}

struct IdVisitor(Digits);

impl Visitor<'_> for IdVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id of 64 bits, as text or as a number")
    }

    fn visit_u64<E: de::Error>(self, id: u64) -> Result<u64, E> {
        Ok(id)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let read = match self.0 {
            Digits::Decimal => text.parse(),
            Digits::Hex => u64::from_str_radix(text, 16),
        };
        read.map_err(|error| E::custom(format!("id {text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::model::{Fingerprint, SeriesId, SpanId};

    /// What is written, and that it is read again, as is the number of before.
    fn check<T: Serialize + DeserializeOwned + Debug + PartialEq>(id: &T, number: u64, text: &str) {
        assert_eq!(serde_json::to_value(id).unwrap(), text);
        for written in [format!("\"{text}\""), number.to_string()] {
            assert_eq!(
                serde_json::from_str::<T>(&written).unwrap(),
                *id,
                "{written}"
            );
        }
        let bytes = postcard::to_stdvec(id).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&number).unwrap());
        assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), *id);
    }

    #[test]
    fn ids_beyond_53_bits_come_back_from_json() {
        let wide = 0xfedc_ba98_7654_3211;
        check(&Fingerprint(wide), wide, "fedcba9876543211");
        check(&Fingerprint(10), 10, "000000000000000a");
        check(&SpanId(wide), wide, "fedcba9876543211");
        check(&SeriesId(wide), wide, "18364758544493064721");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "\"\"",
            "\"xyz\"",
            "-1",
            "1.5",
            "null",
            "\"10000000000000000\"",
        ] {
            assert!(serde_json::from_str::<Fingerprint>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<SeriesId>("\"ff\"").is_err());
    }
}
