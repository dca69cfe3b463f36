//! What is kept: the journal, which is the authority, the database, which is a memory of it, and the
//! checkpoint of what the engine learned.
//!
//! [`Store::append`] is the one way in. It returns when the journal is durable; the database follows
//! and may fail without harm: it is filled again from the journal at the next start.

pub mod checkpoint;
pub mod db;
pub mod journal;
pub mod recorder;
mod run_mark;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::slice;
use std::time::{SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::model::{Dated, Record, Time, counted};
use db::{Db, DbError, Found};
use journal::{CRASH_LINES_MAX, Entry, Head, Journal, JournalError, Line};
use run_mark::RunMark;

/// Name of the journal in the data folder.
pub const JOURNAL_FILE: &str = "journal.jsonl";
/// Name of the database's folder in the data folder.
pub const DB_FOLDER: &str = "db";
/// How often the end of the journal is noted in the database, in appends: it is a second witness
/// against a cut tail, not worth a write for every decision.
const HEAD_EVERY_APPENDS: u32 = 64;

/// What a database that could not be opened means …
const NOT_OPENED: &str =
    "past incidents and messages to people that wait are in memory only until the next start";
/// … and one that failed while it was used: what waited before is still in it.
const FAILED: &str = "past incidents are in memory only until the next start, and messages to people that still wait then may be lost, or sent twice";

/// Journal and database of one daemon.
#[derive(Debug)]
pub struct Store {
    /// The folder itself, locked: unlike the files in it, it is not replaced by a careless hand.
    _folder: File,
    journal: Journal,
    /// Why, and what to do, when it cannot be used: deciding goes on without it.
    db: Result<Db, String>,
    appends: u32,
    /// What opening found and the journal does not say yet: it goes before anything else, and until it is
    /// written, what the database remembers of the end stays.
    owed: Option<Entry>,
    run_mark: RunMark,
}

/// What opening found.
#[derive(Debug, Default)]
pub struct Opened {
    /// Lines of the journal: feed [`Store::records`] to the engine.
    pub lines: u64,
    /// What the operator must know, a sentence each; empty when all is well.
    pub banners: Vec<String>,
    /// Signs that lines were cut off or replaced, for the journal itself.
    doubts: Vec<String>,
}

/// Why nothing can be kept.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The data folder cannot be used.
    #[error(
        "cannot keep anything in {}: {source}; the folder must be this user's own: say another one by `data_dir` or --data-dir",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Store {
    /// Opens or makes everything in `folder`, taking it for this process. Damage never prevents a
    /// start: it is set aside and told.
    pub fn open(folder: &Path) -> Result<(Self, Opened), StoreError> {
        let fail = |source| {
            let path = folder.to_owned();
            StoreError::Folder { path, source }
        };
        keep_private(folder).map_err(fail)?;
        let locked = lock_folder(folder)?;
        let path = folder.join(JOURNAL_FILE);
        let (mut journal, found) = Journal::open(&path)?;
        let mut opened = Opened::default();
        opened.tell_journal(&path, &found);
        let lines_found = journal.head().lines;
        let mut owed = None;
        let opened_db = Db::open(&folder.join(DB_FOLDER));
        if !matches!(opened_db, Err(DbError::InUse)) {
            let db = opened_db.as_ref().ok();
            opened.doubt_end(&path, &found, journal.head(), db.map(|(db, _)| db));
            owed = opened.write_doubts(&mut journal);
        }
        let doubted = journal.head().lines > lines_found;
        opened.lines = journal.head().lines;
        let db = match opened_db {
            Err(DbError::InUse) => return Err(in_use(folder)),
            Err(error) => Err(error),
            Ok((db, found)) => opened
                .take_db(&db, &found, &journal, doubted, owed.is_some())
                .map(|()| db),
        };
        let db = db.map_err(|error| off(&error, NOT_OPENED));
        let store = Self {
            _folder: locked,
            journal,
            db,
            appends: 0,
            owed,
            run_mark: RunMark::of(folder),
        };
        Ok((store, opened))
    }

    /// A run begins; whether the one before never came to its end: it was killed, it crashed, or the
    /// machine went down.
    pub fn begin_run(&self) -> bool {
        self.run_mark.set()
    }

    /// The run ends in order, and everything is kept: while the journal is still owed what opening found, it is not.
    pub fn end_run(&self) {
        if self.owed.is_none() {
            self.run_mark.clear();
        }
    }

    /// Appends and returns when durable; on an error nothing counts as kept.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        if let Some(owed) = &self.owed {
            self.journal.append(slice::from_ref(owed))?;
            self.owed = None;
        }
        self.journal.append(entries)?;
        let Ok(db) = &self.db else {
            return Ok(());
        };
        self.appends += 1;
        let kept = entries
            .iter()
            .try_for_each(|entry| db.keep(&entry.record))
            .and_then(|()| match self.appends % HEAD_EVERY_APPENDS {
                0 => db.put_head(self.journal.head()),
                _ => Ok(()),
            });
        if let Err(error) = kept {
            self.db = Err(off(&error, FAILED));
        }
        Ok(())
    }

    /// Every record, oldest first, as it is read: a journal of any length takes no memory. Lines that
    /// cannot be read were told when it was opened.
    pub fn records(&self) -> io::Result<impl Iterator<Item = io::Result<Dated>> + use<>> {
        records_from(self.journal.path(), 0)
    }

    /// Where to read for the lines after line `after`: see [`Journal::before`].
    pub fn before(&self, after: u64) -> u64 {
        self.journal.before(after)
    }

    /// The journal's file, for reading: a reader needs no lock.
    pub fn journal_path(&self) -> &Path {
        self.journal.path()
    }

    /// The end of the journal.
    pub fn head(&self) -> &Head {
        self.journal.head()
    }

    /// The database, if it can be used.
    pub fn db(&self) -> Option<&Db> {
        self.db.as_ref().ok()
    }

    /// Why there is no database, and what to do; empty when there is one.
    pub fn db_off(&self) -> &str {
        self.db.as_ref().err().map_or("", String::as_str)
    }

    /// Returns when the database has caught up; call it when the daemon ends.
    pub fn flush(&self) -> Result<(), DbError> {
        let Ok(db) = &self.db else { return Ok(()) };
        if self.owed.is_none() {
            db.put_head(self.journal.head())?;
        }
        db.flush()
    }
}

impl Opened {
    fn tell(&mut self, banner: String) {
        tracing::warn!("{banner}");
        self.banners.push(banner);
    }

    fn tell_journal(&mut self, path: &Path, found: &journal::Opened) {
        if let Some(torn) = &found.torn {
            self.tell(format!(
                "journal: the last append did not finish; what there was of it, {}, is now in {}",
                counted(torn.bytes, "byte", "bytes"),
                torn.moved_to.display()
            ));
        }
        if found.end_unknown {
            self.tell(format!(
                "journal: whether lines were cut off cannot be told: the note of its end is missing or unreadable ({}.head)",
                path.display()
            ));
        }
        // Fewer are what a crash leaves behind, and the first record says that the last run ended so.
        if found.lines_after_noted > CRASH_LINES_MAX {
            self.tell(format!(
                "journal: lines may have been cut off: `stormglass audit verify --head` compares with the end you noted elsewhere; {} the end noted in {}.head, more than a crash leaves: an older note was put there",
                counted(found.lines_after_noted, "line follows", "lines follow"),
                path.display()
            ));
        }
        if let Some(broken) = &found.broken {
            self.tell(format!(
                "journal: run `stormglass audit verify`: {broken} ({})",
                path.display()
            ));
        }
    }

    /// Collects what the note of the end and the database say against the journal's end.
    fn doubt_end(&mut self, path: &Path, found: &journal::Opened, head: &Head, db: Option<&Db>) {
        let here = head.lines;
        if found.end_unknown {
            self.doubts.push(format!(
                "the note of the end beside the journal was missing or unreadable, with {here} lines here"
            ));
        }
        let noted = db.map_or(Ok(None), Db::head).unwrap_or_else(|error| {
            self.tell(error.to_string());
            None
        });
        // A crash leaves both notes behind; one alone is left behind by whoever put it there.
        if found.lines_after_noted > 0 && noted.as_ref() == Some(head) {
            let doubt = format!(
                "the note of the end beside the journal was older than its last {}, after a stop in order",
                counted(found.lines_after_noted, "line", "lines")
            );
            self.tell(format!("journal: {doubt} ({})", path.display()));
            self.doubts.push(doubt);
        }
        let Some(noted) = noted else { return };
        if noted.lines > here || (noted.lines == here && noted.hash != head.hash) {
            let noted = noted.lines;
            self.tell(format!(
                "journal: cut or replaced — run `stormglass audit verify`; the database remembers {noted} \
                 lines ending in another way ({})",
                path.display()
            ));
            self.doubts.push(format!(
                "the database remembered {noted} lines ending in another way, with {here} lines here"
            ));
        }
    }

    /// Writes what was found into the journal, whose chain goes on with it; returns what could not be
    /// written, to be tried again with the next records.
    fn write_doubts(&mut self, journal: &mut Journal) -> Option<Entry> {
        if self.doubts.is_empty() {
            return None;
        }
        let at = now();
        let owed = Entry {
            at,
            seq: 0,
            record: Record::Started {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                at,
                found: std::mem::take(&mut self.doubts),
                unclean: false,
            },
        };
        match journal.append(slice::from_ref(&owed)) {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "what was found about the journal's end is not written yet");
                Some(owed)
            }
        }
    }

    /// Tells how the database was found, and fills it from the journal; while something is owed to the
    /// journal, what it remembers of the end stays.
    fn take_db(
        &mut self,
        db: &Db,
        found: &Found,
        journal: &Journal,
        doubted: bool,
        owes: bool,
    ) -> Result<(), DbError> {
        let head = journal.head();
        match found {
            Found::Whole => {}
            Found::Missing if head.lines == 0 => {}
            Found::Missing => self.tell(format!(
                "database rebuilt from {} (was missing)",
                counted(head.lines, "record", "records")
            )),
            Found::Damaged { moved_to, why } => self.tell(format!(
                "database rebuilt from {} (was damaged); the old one is now {}: {why}",
                counted(head.lines, "record", "records"),
                moved_to.display()
            )),
        }
        if owes {
            return Ok(());
        }
        fill(db, journal, doubted)
    }
}

/// The time on the wall: nothing was decided yet, and nobody else has said what time it is.
fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_ms(since_epoch.map_or(0, |since| since.as_millis() as i64))
}

/// Puts into the database what it does not know yet: also a whole one may lag behind after a crash. Of a
/// journal whose end is doubted it is told everything.
fn fill(db: &Db, journal: &Journal, doubted: bool) -> Result<(), DbError> {
    let head = journal.head();
    let known = match db.head()? {
        Some(noted) if noted == *head => return Ok(()),
        // One that contradicts the journal was told; what the journal says counts.
        Some(noted) if noted.lines < head.lines && !doubted => journal.before(noted.lines),
        _ => 0,
    };
    // Of an incident or a plan only the last word is written, and only its place is held.
    let mut last: BTreeMap<(bool, u64), u64> = BTreeMap::new();
    for (place, record) in (0..).zip(records_from(journal.path(), known)?) {
        if let Some(row) = row_of(&record?.record) {
            last.insert(row, place);
        }
    }
    for (place, record) in (0..).zip(records_from(journal.path(), known)?) {
        let record = record?.record;
        if row_of(&record).is_some_and(|row| last.get(&row) == Some(&place)) {
            db.keep(&record)?;
        }
    }
    db.put_head(head)?;
    db.flush()
}

/// What the operator must know when there is no database, and what to do; logged as well.
fn off(error: &DbError, what: &str) -> String {
    let remedy = if error.is_full() {
        "free space and restart"
    } else {
        "mend that and restart"
    };
    let why = format!("{error}: {what}; decisions are safe in the journal: {remedy}");
    tracing::error!("{why}");
    why
}

/// The row of the database that a record changes.
fn row_of(record: &Record) -> Option<(bool, u64)> {
    match record {
        Record::Incident { incident } => Some((false, incident.id.0)),
        Record::Plan { plan } => Some((true, plan.id.0)),
        _ => None,
    }
}

fn records_from(
    path: &Path,
    begins: u64,
) -> io::Result<impl Iterator<Item = io::Result<Dated>> + use<>> {
    let lines = journal::lines_from(path, begins)?;
    Ok(lines.filter_map(|line| match line {
        Ok(line) => line
            .ok()
            .map(|Line { at, record, .. }| Ok(Dated { at, record })),
        Err(error) => Some(Err(error)),
    }))
}

/// Takes the folder for this process, for as long as the file is open.
fn lock_folder(folder: &Path) -> Result<File, StoreError> {
    let fail = |source| {
        let path = folder.to_owned();
        StoreError::Folder { path, source }
    };
    let file = File::open(folder).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(in_use(folder)),
        Err(TryLockError::Error(source)) => Err(fail(source)),
    }
}

fn in_use(folder: &Path) -> StoreError {
    let path = folder.to_owned();
    JournalError::InUse { path }.into()
}

/// Makes the folder if it is missing, and closes it to other users: it holds log lines and commands.
fn keep_private(folder: &Path) -> io::Result<()> {
    const OWNER_ONLY: u32 = 0o700;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(OWNER_ONLY)
        .create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(OWNER_ONLY))
}

#[cfg(test)]
mod tests;
