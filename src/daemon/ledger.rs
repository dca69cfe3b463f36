//! The store as the daemon uses it: appended to by the engine's thread, read by the API beside it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::{AuditEntry, IncidentDetail};
use crate::model::{Dated, IncidentId};
use crate::store::db::Outbox;
use crate::store::journal::{self, Entry, JournalError};
use crate::store::{Opened, Store, StoreError};

/// Journal and database, shared; cheap to clone. Without a store nothing is kept, and that is no
/// error: the decisions about a simulated system are worth nothing afterwards.
#[derive(Clone)]
pub(super) struct Ledger {
    store: Option<Arc<Mutex<Store>>>,
}

impl Ledger {
    /// Opens what is in `data_dir`; `None` keeps nothing.
    pub(super) fn open(data_dir: Option<&Path>) -> Result<(Self, Opened), StoreError> {
        let Some(folder) = data_dir else {
            return Ok((Self { store: None }, Opened::default()));
        };
        let (store, opened) = Store::open(folder)?;
        let store = Some(Arc::new(Mutex::new(store)));
        Ok((Self { store }, opened))
    }

    /// Appends and returns when all of it is durable: at once or not at all. A record that does not fit
    /// a line must not keep the others from being kept; such are left out, and their number returned.
    pub(super) fn append(&self, entries: &[Entry]) -> Result<u64, String> {
        let Some(mut store) = self.lock() else {
            return Ok(0);
        };
        match store.append(entries) {
            Ok(()) => Ok(0),
            Err(StoreError::Journal(error @ JournalError::TooLong { .. })) => {
                tracing::error!(%error, "a record is lost");
                let fitting: Vec<Entry> = entries
                    .iter()
                    .filter(|e| journal::fits(e))
                    .cloned()
                    .collect();
                let kept = store.append(&fitting);
                kept.map_err(|error| error.to_string())?;
                Ok((entries.len() - fitting.len()) as u64)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Where messages to people are kept while they wait, if anything is kept.
    pub(super) fn outbox(&self) -> Option<Outbox> {
        self.lock()?.db()?.outbox().ok()
    }

    /// Why there is no database, and what to do; empty when there is one, or nothing is kept at all.
    pub(super) fn db_off(&self) -> String {
        self.lock()
            .map_or_else(String::new, |store| store.db_off().to_owned())
    }

    /// Returns when the database has caught up with the journal.
    pub(super) fn flush(&self) {
        if let Some(Err(error)) = self.lock().map(|store| store.flush()) {
            tracing::warn!(%error, "the database is filled again at the next start");
        }
    }

    /// A run begins; whether the one before never came to its end.
    pub(super) fn begin_run(&self) -> bool {
        self.lock().is_some_and(|store| store.begin_run())
    }

    /// The run ends in order.
    pub(super) fn end_run(&self) {
        if let Some(store) = self.lock() {
            store.end_run();
        }
    }

    /// Every record, oldest first, as it is read.
    pub(super) fn records(&self) -> io::Result<Box<dyn Iterator<Item = io::Result<Dated>>>> {
        Ok(match self.lock() {
            Some(store) => Box::new(store.records()?),
            None => Box::new(std::iter::empty()),
        })
    }

    /// At most `limit` lines after line `after`, or the last ones, and how many there are in all.
    pub(super) async fn read(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<AuditEntry>, u64), String> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read_now(after, limit));
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// An incident that the engine no longer holds, as it was last recorded.
    pub(super) async fn incident(&self, id: IncidentId) -> Option<IncidentDetail> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.incident_now(id));
        read.await.ok().flatten()
    }

    fn read_now(&self, after: Option<u64>, limit: usize) -> Result<(Vec<AuditEntry>, u64), String> {
        let Some((path, total)) = self.extent() else {
            return Ok((Vec::new(), 0));
        };
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let after = after.unwrap_or_else(|| total.saturating_sub(limit as u64));
        let begins = self.lock().map_or(0, |store| store.before(after));
        let mut entries = Vec::new();
        for line in journal::lines_from(&path, begins).map_err(failed)? {
            if entries.len() >= limit {
                break;
            }
            // A damaged line is for `audit verify` to name.
            let Ok(line) = line.map_err(failed)? else {
                continue;
            };
            if line.n > after {
                entries.push(AuditEntry {
                    line: line.n,
                    at: line.at,
                    record: line.record,
                });
            }
        }
        Ok((entries, total))
    }

    fn incident_now(&self, id: IncidentId) -> Option<IncidentDetail> {
        let store = self.lock()?;
        let db = store.db()?;
        let incident = db.incident(id).ok()??;
        let plans = incident.plans.iter();
        let plans = plans.filter_map(|plan| db.plan(*plan).ok()?).collect();
        Some(IncidentDetail { incident, plans })
    }

    /// Where the journal is, and its lines.
    fn extent(&self) -> Option<(PathBuf, u64)> {
        let store = self.lock()?;
        Some((store.journal_path().to_owned(), store.head().lines))
    }

    /// The store is sound after a panic: an append that did not finish is cut off by the next one.
    fn lock(&self) -> Option<MutexGuard<'_, Store>> {
        let store = self.store.as_ref()?;
        Some(store.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("journal", &self.extent())
            .finish()
    }
}
