//! Who occurs most, of more than can be kept: by the scheme of Misra and Gries (1982).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most kept at once.
const KEPT_MAX: usize = 64;

/// Counts what it is told of. One with more than one part in 64 of all is always among those kept; its count may
/// be too low, never too high.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heaviest<K: Ord> {
    total: u64,
    kept: BTreeMap<K, u64>,
}

impl<K: Ord> Heaviest<K> {
    /// Counts one of `key`; `owned` makes it one's own when it is new.
    pub fn count<Q>(&mut self, key: &Q, owned: impl FnOnce(&Q) -> K)
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.total += 1;
        if let Some(count) = self.kept.get_mut(key) {
            *count += 1;
        } else if self.kept.len() < KEPT_MAX {
            self.kept.insert(owned(key), 1);
        } else {
            self.kept.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// How many were counted, those no longer kept included.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Those kept with their counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.kept.iter().map(|(key, count)| (key, *count))
    }

    /// Those with most first, in order among equals.
    pub fn worst(&self) -> Vec<(&K, u64)> {
        let mut worst: Vec<_> = self.iter().collect();
        worst.sort_by_key(|(_, count)| Reverse(*count));
        worst
    }
}

impl<K: Ord> Default for Heaviest<K> {
    fn default() -> Self {
        Self {
            total: 0,
            kept: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_occurs_often_is_kept_however_many_others_occur_once() {
        let mut heaviest = Heaviest::<Box<str>>::default();
        for n in 0..10_000 {
            heaviest.count(&*format!("rare_{n}"), |name| name.into());
            heaviest.count("often", |name| name.into());
        }
        assert_eq!(heaviest.total(), 20_000);
        assert!(heaviest.iter().count() <= KEPT_MAX);
        let (name, count) = heaviest.worst()[0];
        assert_eq!(&**name, "often");
        assert!((9_000..=10_000).contains(&count), "{count}");
    }
}
