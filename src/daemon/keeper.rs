//! Decisions made durable before anything comes of them.
//!
//! When the journal cannot be written (a full disk, an unplugged one), what happened waits in memory,
//! in order, and deciding is off; detection goes on. Once it can be written again, that is caught up.
//! What was about to be decided never waits: it is refused.

use std::fmt;

use crate::model::counted;
use crate::store::journal::{self, Entry};

/// Records that wait for a broken journal; later ones are lost, and counted.
const BACKLOG_RECORDS_MAX: usize = 10_000;
/// Records written at a time while catching up: a journal that still fails costs no more than that.
const CATCH_UP_RECORDS: usize = 64;
/// Longest pause between two tries, in ticks; each pause is twice the one before.
const PAUSE_TICKS_MAX: u32 = 8;

/// Appends records in order and returns once they are on the disk: how many of them do not fit a line
/// and are lost, or an error that says why and leaves the journal as it was.
pub(super) type Append = Box<dyn FnMut(&[Entry]) -> Result<u64, String> + Send>;

/// The journal, and what waits for it.
pub(super) struct Keeper {
    append: Append,
    /// In order; empty unless the journal fails.
    backlog: Vec<Entry>,
    lost: u64,
    failing: Option<Failing>,
}

/// The journal cannot be written.
#[derive(Debug)]
struct Failing {
    why: String,
    /// Ticks until it is tried again, and the pause after that.
    wait_ticks: u32,
    pause_ticks: u32,
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

    /// Makes what happened durable, and what is about to be decided with it. On an error nothing is
    /// decided, and what happened waits.
    pub(super) fn keep(&mut self, happened: Vec<Entry>, decided: &[Entry]) -> Result<(), String> {
        if let Some(failing) = &self.failing {
            // `retry` finds out when that is over, so that a storm does not.
            let why = failing.why.clone();
            self.wait(happened);
            return Err(why);
        }
        if !decided.iter().all(journal::fits) {
            return Err("the record of it is longer than a line of the journal".to_owned());
        }
        let mut records = happened;
        let happened = records.len();
        records.extend_from_slice(decided);
        if records.is_empty() {
            return Ok(());
        }
        match (self.append)(&records) {
            Ok(0) => Ok(()),
            Ok(lost) => {
                self.lost += lost;
                // Nothing may follow from a record that is not there, whatever else was written.
                let records = counted(lost, "record is", "records are");
                Err(format!("{records} longer than a line of the journal"))
            }
            Err(why) => {
                records.truncate(happened);
                self.wait(records);
                self.fail(why.clone(), 1);
                Err(why)
            }
        }
    }

    /// Tries again what waits, when it is time: call it each tick.
    pub(super) fn retry(&mut self) {
        let Some(failing) = &mut self.failing else {
            return;
        };
        failing.wait_ticks -= 1;
        if failing.wait_ticks > 0 {
            return;
        }
        let pause_ticks = (failing.pause_ticks * 2).min(PAUSE_TICKS_MAX);
        while !self.backlog.is_empty() {
            let some = self.backlog.len().min(CATCH_UP_RECORDS);
            match (self.append)(&self.backlog[..some]) {
                Ok(lost) => {
                    self.lost += lost;
                    self.backlog.drain(..some);
                }
                Err(why) => return self.fail(why, pause_ticks),
            }
        }
        self.failing = None;
    }

    fn fail(&mut self, why: String, pause_ticks: u32) {
        self.failing = Some(Failing {
            why,
            wait_ticks: pause_ticks,
            pause_ticks,
        });
    }

    fn wait(&mut self, records: Vec<Entry>) {
        let room = BACKLOG_RECORDS_MAX - self.backlog.len();
        self.lost += records.len().saturating_sub(room) as u64;
        self.backlog.extend(records.into_iter().take(room));
    }

    /// Whether all that happened is in the journal.
    pub(super) fn holds_nothing_back(&self) -> bool {
        self.failing.is_none() && self.backlog.is_empty() && self.lost == 0
    }

    /// What the operator must know; empty when all is well.
    pub(super) fn notice(&self) -> String {
        let lost = match self.lost {
            0 => String::new(),
            lost => {
                let records = counted(lost, "record", "records");
                format!(" ({records} lost: the journal has a gap)")
            }
        };
        match &self.failing {
            Some(Failing { why, .. }) => format!(
                "journal cannot be written: {why}. Deciding is off, detection goes on; once that is put right it recovers by itself{lost}"
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
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::{Record, Time};

    fn record(n: usize) -> Entry {
        let at = Time::from_ms(n as i64);
        let version = n.to_string();
        Entry {
            at,
            seq: n as u64,
            record: Record::Started {
                version,
                at,
                found: Vec::new(),
                unclean: false,
            },
        }
    }

    fn records(numbers: impl IntoIterator<Item = usize>) -> Vec<Entry> {
        numbers.into_iter().map(record).collect()
    }

    /// A journal that can be broken, and how many records each append brought.
    #[derive(Default)]
    struct Disk {
        broken: bool,
        written: Vec<Entry>,
        tries: Vec<usize>,
    }

    fn keeper() -> (Keeper, Arc<Mutex<Disk>>) {
        let disk = Arc::<Mutex<Disk>>::default();
        let of_keeper = Arc::clone(&disk);
        let append = move |records: &[Entry]| {
            let mut disk = of_keeper.lock().unwrap();
            disk.tries.push(records.len());
            if disk.broken {
                return Err("no space left".to_owned());
            }
            disk.written.extend_from_slice(records);
            Ok(0)
        };
        (Keeper::new(Box::new(append)), disk)
    }

    #[test]
    fn what_happened_waits_in_order_and_what_was_to_be_decided_does_not() {
        let (mut keeper, disk) = keeper();
        let full = || Err("no space left".to_owned());
        assert_eq!(keeper.keep(Vec::new(), &[]), Ok(()), "nothing to keep");
        disk.lock().unwrap().broken = true;
        assert_eq!(keeper.keep(records(1..3), &records([90])), full());
        assert_eq!(keeper.keep(records(3..5), &records([91])), full());
        disk.lock().unwrap().broken = false;
        assert_eq!(keeper.keep(Vec::new(), &records([92])), full());
        keeper.retry();
        assert_eq!(keeper.keep(records([5]), &records([6])), Ok(()));
        assert_eq!(keeper.notice(), "");
        assert_eq!(disk.lock().unwrap().written, records(1..7));
    }

    #[test]
    fn a_journal_that_fails_is_tried_ever_more_rarely_with_a_few_records() {
        let (mut keeper, disk) = keeper();
        disk.lock().unwrap().broken = true;
        let _ = keeper.keep(records(0..1_000), &[]);
        for _ in 0..31 {
            keeper.retry();
            let _ = keeper.keep(records([1_000]), &[]);
        }
        // After 1, 2, 4, 8, 8 and 8 ticks.
        let tries = [vec![1_000], vec![CATCH_UP_RECORDS; 6]].concat();
        assert_eq!(disk.lock().unwrap().tries, tries);
        disk.lock().unwrap().broken = false;
        for _ in 0..PAUSE_TICKS_MAX {
            keeper.retry();
        }
        assert_eq!(disk.lock().unwrap().written.len(), 1_031);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let (mut full, disk) = keeper();
        disk.lock().unwrap().broken = true;
        assert!(full.keep(records(0..BACKLOG_RECORDS_MAX + 3), &[]).is_err());
        assert_eq!(full.backlog.len(), BACKLOG_RECORDS_MAX);
        assert!(full.notice().contains("3 records lost"));

        let mut too_long = Keeper::new(Box::new(|_| Ok(1)));
        assert!(too_long.keep(records(0..2), &[]).is_err());
        assert!(too_long.notice().contains("1 record lost"));
    }
}
