//! Label sets: sorted `name=value` pairs in a single shared allocation.
//!
//! A storm holds hundreds of thousands of label sets, so each is one reference-counted string. Every
//! pair is stored as three ASCII length characters (7 bits of name length, 14 of value length)
//! followed by the name and the value:
//!
//! ```text
//! | name len | value len hi | value len lo | name … | value … |   repeated, sorted by name
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest label name, in bytes: what 7 bits of length can say.
pub const LABEL_NAME_BYTES_MAX: usize = 127;
/// Longest label value, in bytes: what 14 bits of length can say.
pub const LABEL_VALUE_BYTES_MAX: usize = 16_383;

/// Longest set of labels, in bytes as it is kept: it is held for as long as what it is of.
pub const LABELS_BYTES_MAX: usize = 64 * 1024;

/// Length characters before each pair.
const HEADER_BYTES: usize = 3;

/// An immutable, sorted set of labels. Cloning is cheap; equality and order are by content.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Labels(Arc<str>);

/// Why a label was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The name is empty or longer than [`LABEL_NAME_BYTES_MAX`].
    #[error("label name of {0} bytes: must be 1 to {LABEL_NAME_BYTES_MAX}")]
    Name(usize),
    /// All of them together are longer than [`LABELS_BYTES_MAX`].
    #[error("labels of {0} bytes together: at most {LABELS_BYTES_MAX}")]
    All(usize),
    /// The value is longer than [`LABEL_VALUE_BYTES_MAX`].
    #[error("value of label {0:?} is {1} bytes: at most {LABEL_VALUE_BYTES_MAX}")]
    Value(String, usize),
}

/// Collects labels in any order; the last value of a repeated name wins.
#[derive(Debug, Default)]
pub struct LabelsBuilder<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self(Arc::from(""))
    }

    /// Builds from pairs in any order; refuses over-long or empty names and over-long values.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LabelError> {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.add(name, value);
        }
        builder.build()
    }

    /// The value of `name`, if present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }

    /// These, and of `others` what these do not name. Just these if that is more than labels may be.
    #[must_use]
    pub fn over(&self, others: &Self) -> Self {
        let mut builder = LabelsBuilder::default();
        let unnamed = others.iter().filter(|(name, _)| self.get(name).is_none());
        for (name, value) in self.iter().chain(unnamed) {
            builder.add(name, value);
        }
        builder.build().unwrap_or_else(|_| self.clone())
    }

    /// The first of `names` that is present and not empty.
    pub fn first_of(&self, names: &[&str]) -> Option<&str> {
        names
            .iter()
            .find_map(|name| self.get(name).filter(|value| !value.is_empty()))
    }

    /// Pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest: &str = &self.0;
        std::iter::from_fn(move || {
            let header = rest.as_bytes().get(..HEADER_BYTES)?;
            let name_len = usize::from(header[0]);
            let value_len = usize::from(header[1]) << 7 | usize::from(header[2]);
            let body = &rest[HEADER_BYTES..];
            let (name, tail) = body.split_at(name_len);
            let (value, tail) = tail.split_at(value_len);
            rest = tail;
            Some((name, value))
        })
    }

    /// Number of labels.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A stable 64-bit hash of the content, the same on every machine and in every run.
    pub fn stable_hash(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(self.0.as_bytes())
    }

    /// Bytes of heap behind this value, shared between clones.
    pub fn heap_bytes(&self) -> usize {
        self.0.len() + 2 * size_of::<usize>()
    }
}

impl<'a> LabelsBuilder<'a> {
    /// Adds a pair; a later pair of the same name replaces an earlier one.
    pub fn add(&mut self, name: &'a str, value: &'a str) {
        self.pairs.push((name, value));
    }

    /// Sorts, removes repeats and packs. The builder is left empty, its memory kept for reuse.
    pub fn build(&mut self) -> Result<Labels, LabelError> {
        let packed = self.pack();
        self.pairs.clear();
        packed
    }

    fn pack(&mut self) -> Result<Labels, LabelError> {
        self.pairs.sort_by(|a, b| a.0.cmp(b.0));
        let lengths = self.pairs.iter();
        let lengths = lengths.map(|(n, v)| n.len() + v.len() + HEADER_BYTES);
        // What cannot be kept is not copied first; a value that is too long alone is told as that.
        let bytes: usize = lengths.sum();
        let mut text = String::with_capacity(bytes.min(LABELS_BYTES_MAX));
        for (i, &(name, value)) in self.pairs.iter().enumerate() {
            if self.pairs.get(i + 1).is_some_and(|next| next.0 == name) {
                continue;
            }
            if name.is_empty() || name.len() > LABEL_NAME_BYTES_MAX {
                return Err(LabelError::Name(name.len()));
            }
            if value.len() > LABEL_VALUE_BYTES_MAX {
                return Err(LabelError::Value(name.to_owned(), value.len()));
            }
            if bytes > LABELS_BYTES_MAX {
                return Err(LabelError::All(bytes));
            }
            for length in [name.len(), value.len() >> 7, value.len() & 0x7f] {
                text.push(char::from(length as u8));
            }
            text.push_str(name);
            text.push_str(value);
        }
        Ok(Labels(Arc::from(text)))
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The count first: compact formats write it before the pairs.
        let mut map = serializer.serialize_map(Some(self.iter().count()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of label names to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
                let mut pairs: Vec<(String, String)> = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())))
                    .map_err(serde::de::Error::custom)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn sorts_and_keeps_the_last_of_a_repeated_name() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "x"), ("b", "2")]);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.first_of(&["c", "a"]), Some("x"));
        assert_eq!(labels.len(), 2);
    }

    #[test]
    fn refuses_what_the_header_cannot_say() {
        let long = "x".repeat(LABEL_VALUE_BYTES_MAX + 1);
        assert_eq!(Labels::from_pairs([("", "v")]), Err(LabelError::Name(0)));
        assert_eq!(
            Labels::from_pairs([("a", long.as_str())]),
            Err(LabelError::Value("a".to_owned(), LABEL_VALUE_BYTES_MAX + 1))
        );
        let value = "x".repeat(LABEL_VALUE_BYTES_MAX);
        let of_three = 3 * (1 + LABEL_VALUE_BYTES_MAX + HEADER_BYTES);
        let rest = LABELS_BYTES_MAX - of_three - 1 - HEADER_BYTES;
        let many = |last| {
            [
                ("a", &*value),
                ("b", &value),
                ("c", &value),
                ("d", &value[..last]),
            ]
        };
        assert!(Labels::from_pairs(many(rest)).is_ok());
        let more = Labels::from_pairs(many(rest + 1));
        assert_eq!(more, Err(LabelError::All(LABELS_BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn packs_and_unpacks_any_map(map in proptest::collection::btree_map("\\PC{1,20}", "\\PC{0,300}", 0..8)) {
            let short: BTreeMap<&str, &str> = map.iter()
                .filter(|(n, _)| n.len() <= LABEL_NAME_BYTES_MAX)
                .map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let labels = Labels::from_pairs(short.clone()).unwrap();
            prop_assert_eq!(labels.iter().collect::<BTreeMap<_, _>>(), short);
            let json = serde_json::to_string(&labels).unwrap();
            prop_assert_eq!(serde_json::from_str::<Labels>(&json).unwrap(), labels);
        }
    }
}
