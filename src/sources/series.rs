//! Series already seen: from the raw bytes of their labels to one shared [`Series`].
//!
//! A sender repeats the same labels with every sample. Their bytes are hashed to 128 bits, and only
//! bytes never seen are parsed. It never holds more series than its bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashSet;

use super::recent::Recent;
use crate::model::Series;

/// Parts of the cache with a lock each, so that connections seldom wait for one another.
const SHARDS: usize = 16;

/// Metric names shared between their series; with more than that they are collected anew.
const NAMES_MAX: usize = 16_384;

/// See the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    shards: Vec<Mutex<Recent<u128, Arc<Series>>>>,
    /// A name is written once, however many series have it.
    names: Mutex<FxHashSet<Arc<str>>>,
}

impl SeriesCache {
    /// Remembers at most about `series_max` series.
    pub(super) fn new(series_max: u32) -> Self {
        // Two generations: the younger half of the bound is sure to be remembered.
        let shard_len_max = 2 * (series_max as usize).div_ceil(SHARDS);
        Self {
            shards: (0..SHARDS)
                .map(|_| Mutex::new(Recent::new(shard_len_max)))
                .collect(),
            names: Mutex::default(),
        }
    }

    /// The series of `key`, made by `make` if it is not remembered.
    pub(super) fn get_or<E>(
        &self,
        key: u128,
        make: impl FnOnce() -> Result<Series, E>,
    ) -> Result<Arc<Series>, E> {
        let mut shard = lock(&self.shards[(key >> 64) as usize % SHARDS]);
        if let Some(series) = shard.get(&key) {
            return Ok(Arc::clone(series));
        }
        let mut series = make()?;
        series.name = self.shared_name(series.name);
        let series = Arc::new(series);
        shard.put(key, Arc::clone(&series));
        Ok(series)
    }

    fn shared_name(&self, name: Arc<str>) -> Arc<str> {
        let mut names = lock(&self.names);
        if let Some(shared) = names.get(&name) {
            return Arc::clone(shared);
        }
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(Arc::clone(&name));
        name
    }

    /// Forgets all, because what is known of their kinds has changed.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }
}

/// A cache is valid after any panic: it holds what was put in, or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Labels, SeriesKind, Unit};

    #[test]
    fn series_of_one_name_share_it_and_are_made_once() {
        let cache = SeriesCache::new(100);
        let find = |key: u128, name: &str, path: &str| {
            let make = || {
                let labels = Labels::from_pairs([("path", path)])?;
                Ok::<_, crate::model::LabelError>(Series::new(
                    name,
                    labels,
                    SeriesKind::Counter,
                    Unit::None,
                ))
            };
            cache.get_or(key, make).expect("short labels")
        };
        let (cart, pay) = (
            find(1, "requests_total", "/cart"),
            find(2, "requests_total", "/pay"),
        );
        assert!(Arc::ptr_eq(&cart.name, &pay.name));
        assert!(
            Arc::ptr_eq(&cart, &find(1, "another", "/other")),
            "known by its key"
        );
        assert_ne!(find(3, "errors_total", "/cart").name, cart.name);
    }
}
