//! Series already seen: from the raw bytes of their labels to one shared [`Series`].
//!
//! A sender repeats the same labels with every sample. Their bytes are hashed to 128 bits, and only
//! bytes never seen are parsed. It never holds more series than its bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recent::Recent;
use crate::model::Series;

/// Parts of the cache with a lock each, so that connections seldom wait for one another.
const SHARDS: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    shards: Vec<Mutex<Recent<u128, Arc<Series>>>>,
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
        let series = Arc::new(make()?);
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

/// A cache is valid after any panic: it holds what was put in, or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
