//! Series already seen: from the raw bytes of their labels to one shared [`Series`].
//!
//! A sender repeats the same labels with every sample. Their bytes are hashed to 128 bits, and only
//! bytes never seen are parsed. It never holds more series than its bound. The metrics of one target mostly have
//! the same labels, and the series of one metric its name: each is kept once.

use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashSet;

use super::recent::Recent;
use crate::model::{Labels, Series};

/// Parts of the cache with a lock each, so that connections seldom wait for one another.
const SHARDS: usize = 16;

/// Metric names, and sets of labels, shared between their series; with more than that they are collected anew. Those
/// of one target come close together.
const SHARED_MAX: usize = 16_384;

/// See the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    shards: Vec<Mutex<Recent<u128, Arc<Series>>>>,
    names: Mutex<FxHashSet<Arc<str>>>,
    labels: Mutex<FxHashSet<Labels>>,
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
            labels: Mutex::default(),
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
        series.name = shared(&self.names, series.name);
        series.labels = shared(&self.labels, series.labels);
        let series = Arc::new(series);
        shard.put(key, Arc::clone(&series));
        Ok(series)
    }

    /// Forgets all, because what is known of their kinds has changed.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            lock(shard).clear();
        }
    }
}

/// What is equal to `one` and kept already, else `one`, which is kept from now on.
fn shared<T: Clone + Eq + Hash>(kept: &Mutex<FxHashSet<T>>, one: T) -> T {
    let mut kept = lock(kept);
    if let Some(before) = kept.get(&one) {
        return before.clone();
    }
    if kept.len() >= SHARED_MAX {
        kept.clear();
    }
    kept.insert(one.clone());
    one
}

/// A cache is valid after any panic: it holds what was put in, or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SeriesKind, Unit};

    #[test]
    fn series_of_one_name_or_one_target_share_it_and_are_made_once() {
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
        let errors = find(3, "errors_total", "/cart");
        assert_ne!(errors.name, cart.name);
        let text = |series: &Series| series.labels.get("path").map(str::as_ptr);
        assert_eq!(text(&errors), text(&cart), "their labels are kept once");
        assert_ne!(text(&errors), text(&pay));
    }
}
