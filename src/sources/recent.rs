//! A bounded map of what was used of late, in two generations.
//!
//! When the young generation is full it becomes the old one, and the old one is forgotten: constant
//! cost, no list to keep, and what is used at least once a generation stays. It is only looked up,
//! never iterated.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// See the module.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: FxHashMap<K, V>,
    old: FxHashMap<K, V>,
    generation_len_max: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    /// Holds at most `len_max` entries, and at least the latest half of that many.
    pub(super) fn new(len_max: usize) -> Self {
        Self {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            generation_len_max: (len_max / 2).max(1),
        }
    }

    /// The value of `key`, if remembered.
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        if !self.young.contains_key(key) {
            let value = self.old.remove(key)?;
            self.put(*key, value);
        }
        self.young.get(key)
    }

    /// Remembers a value.
    pub(super) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_len_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Entries held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut recent = Recent::new(10);
        recent.put(0, "kept");
        for key in 1..1_000 {
            recent.put(key, "passing");
            assert_eq!(recent.get(&0), Some(&"kept"));
            assert!(recent.young.len() + recent.old.len() <= 10);
        }
        assert_eq!(recent.get(&500), None);
        recent.clear();
        assert_eq!(recent.get(&0), None);
    }
}
