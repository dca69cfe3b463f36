//! Decisions made durable before anything comes of them.
//!
//! When the journal cannot be written (a full disk, an unplugged one), records wait in memory, in
//! order, and deciding is off; detection goes on. Once it can be written again, they are caught up.

use std::fmt;

use crate::store::journal::Entry;

/// Records that wait for a broken journal; later ones are lost, and counted.
const BACKLOG_RECORDS_MAX: usize = 10_000;

/// Appends records in order and returns once they are on the disk: all of them, or an error that
/// says why and leaves the journal as it was.
pub(super) type Append = Box<dyn FnMut(&[Entry]) -> Result<(), String> + Send>;

/// The journal, and what waits for it.
pub(super) struct Keeper {
    append: Append,
    backlog: Vec<Entry>,
    lost: u64,
    failing: Option<String>,
}

impl Keeper {
    pub(super) fn new(append: Append) -> Self {
        Self {
            append,
            backlog: Vec::new(),
            lost: 0,
            failing: None,
        }
    }

    /// Makes records durable, after those that wait. On an error they wait as well.
    pub(super) fn keep(&mut self, records: Vec<Entry>) -> Result<(), String> {
        if records.is_empty() && self.backlog.is_empty() {
            return Ok(());
        }
        let lost_before = self.lost;
        for record in records {
            if self.backlog.len() < BACKLOG_RECORDS_MAX {
                self.backlog.push(record);
            } else {
                self.lost += 1;
            }
        }
        match (self.append)(&self.backlog) {
            Ok(()) => {
                self.backlog.clear();
                self.failing = None;
                // Nothing may follow from a record that found no room, whatever else was written.
                match self.lost - lost_before {
                    0 => Ok(()),
                    lost => Err(format!(
                        "{lost} records found no room while it could not be written"
                    )),
                }
            }
            Err(why) => {
                self.failing = Some(why.clone());
                Err(why)
            }
        }
    }

    /// Tries again what waits.
    pub(super) fn retry(&mut self) {
        if self.failing.is_some() {
            // Whether it worked is told by `failing`.
            let _ = self.keep(Vec::new());
        }
    }

    /// Why nothing can be decided, if so.
    pub(super) fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// What the operator must know; empty when all is well.
    pub(super) fn notice(&self) -> String {
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(" ({lost} records lost: the journal has a gap)"),
        };
        match &self.failing {
            Some(why) => format!(
                "journal cannot be written: {why}. Deciding is off, detection goes on; free space, it recovers by itself{lost}"
            ),
            None if self.lost > 0 => format!("journal can be written again{lost}"),
            None => String::new(),
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("backlog", &self.backlog.len())
            .field("lost", &self.lost)
            .field("failing", &self.failing)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::{Record, Time};

    fn record(n: usize) -> Entry {
        let at = Time::from_ms(n as i64);
        let version = n.to_string();
        Entry {
            at,
            seq: n as u64,
            record: Record::Started { version, at },
        }
    }

    #[test]
    fn records_wait_in_order_until_the_journal_can_be_written() {
        let broken = Arc::new(AtomicBool::new(true));
        let written = Arc::new(Mutex::new(Vec::new()));
        let mut keeper = Keeper::new(Box::new({
            let (broken, written) = (Arc::clone(&broken), Arc::clone(&written));
            move |records| {
                if broken.load(Ordering::Relaxed) {
                    return Err("no space left".to_owned());
                }
                written.lock().unwrap().extend_from_slice(records);
                Ok(())
            }
        }));
        assert_eq!(keeper.keep(Vec::new()), Ok(()), "nothing to keep");
        let failed = keeper.keep(vec![record(1), record(2)]);
        assert_eq!(failed, Err("no space left".to_owned()));
        keeper.retry();
        assert_eq!(keeper.failing(), Some("no space left"));
        broken.store(false, Ordering::Relaxed);
        assert_eq!(keeper.keep(vec![record(3)]), Ok(()));
        assert_eq!((keeper.failing(), keeper.notice()), (None, String::new()));
        let expected: Vec<_> = (1..=3).map(record).collect();
        assert_eq!(*written.lock().unwrap(), expected);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let mut keeper = Keeper::new(Box::new(|_| Err("no space left".to_owned())));
        let records = (0..BACKLOG_RECORDS_MAX + 3).map(record).collect();
        assert!(keeper.keep(records).is_err());
        assert_eq!(keeper.backlog.len(), BACKLOG_RECORDS_MAX);
        assert!(keeper.notice().contains("3 records lost"));
    }
}
