//! The database: incidents and plans for quick reading, in sled.
//!
//! It is a memory of the journal and never the authority: damaged or missing, it is set aside and
//! filled again. sled recovers some damage to an empty database without a word; therefore a database
//! is made beside its place and moved there once its version is durable, and one without a version is
//! a damaged one. Keys are `version (1 byte) | id (8 bytes, big-endian)`, values are JSON;
//! `docs/formats.md` draws them.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::journal::Head;
use crate::model::{Incident, IncidentId, Plan, PlanId, Record};

/// Version of keys and values; a database of another one is filled again from the journal.
const VERSION: u8 = 1;
/// Memory sled may use for its page cache, in bytes: small, because the engine holds what is open.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// How often sled makes durable what it has, in milliseconds: rarely, because a decision that is being written to the
/// journal waits for it. What a crash takes is filled again from the journal, and the outbox does not rely on it.
const FLUSH_EVERY_MS: u64 = 10_000;

/// What sled says when another process has the database; it has no kind of its own for that.
const SLED_LOCKED: &str = "could not acquire lock";

/// How the name of a snapshot ends that sled has not finished.
const SLED_UNFINISHED: &str = "generating";

/// Tries to open a database that is locked, and the pause between two: two seconds in all.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

const KEY_HEAD: &str = "journal_head";
const KEY_VERSION: &str = "version";

/// The database, open.
#[derive(Debug)]
pub struct Db {
    sled: sled::Db,
    incidents: sled::Tree,
    plans: sled::Tree,
}

/// Messages to people that wait, by number; cheap to clone. What cannot be kept is logged: it is sent
/// all the same.
#[derive(Clone, Debug)]
pub struct Outbox(sled::Tree);

impl Outbox {
    /// Keeps messages durably, with one sync for all of them.
    pub fn put(&self, messages: impl IntoIterator<Item = (u64, Vec<u8>)>) {
        let mut kept = messages
            .into_iter()
            .map(|(id, message)| self.0.insert(id.to_be_bytes(), message));
        let kept = kept.try_for_each(|kept| kept.map(drop));
        if let Err(error) = kept.and_then(|()| self.0.flush()) {
            tracing::warn!(%error, "messages to people would not outlive a restart");
        }
    }

    /// Forgets a message; at worst it is sent once more after a restart.
    pub fn remove(&self, id: u64) {
        if let Err(error) = self.0.remove(id.to_be_bytes()) {
            tracing::warn!(%error, "a message to people may be sent once more");
        }
    }

    /// Every message, by number.
    pub fn all(&self) -> impl Iterator<Item = (u64, Vec<u8>)> + use<> {
        self.0.iter().filter_map(|row| {
            let (key, message) = row.ok()?;
            let id = u64::from_be_bytes(key.as_ref().try_into().ok()?);
            Some((id, message.to_vec()))
        })
    }
}

/// How the database was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As it was left.
    Whole,
    /// None was there.
    Missing,
    /// It could not be read and is now there, renamed.
    Damaged {
        /// Where it is now.
        moved_to: PathBuf,
        /// What was wrong.
        why: String,
    },
}

/// Why a database that is there was not opened.
enum Unopened {
    /// What is wrong with it.
    Damaged(String),
    /// It is somebody else's problem, and stays where it is.
    Refused(DbError),
}

/// Why the database cannot be used.
#[derive(Debug, Error)]
pub enum DbError {
    /// sled said no.
    #[error("database: {0}")]
    Sled(#[from] sled::Error),
    /// A value is not what this version writes.
    #[error("database: a value cannot be read: {0}")]
    Value(#[from] serde_json::Error),
    /// Another process has it open; it is whole, as far as is known.
    #[error("database: in use by another daemon")]
    InUse,
    /// The disk is full; the database is whole, as far as is known.
    #[error("database: the disk is full")]
    Full,
    /// sled cannot work in such a time; the database is whole, as far as is known.
    #[error("database: the system's clock says a time before 1970")]
    Clock,
    /// It could not be set aside.
    #[error("database: {0}")]
    Io(#[from] std::io::Error),
}

/// sled panics in a time before 1970, which would pass for damage.
fn is_of_our_era(now: SystemTime) -> Result<(), DbError> {
    let since = now.duration_since(UNIX_EPOCH);
    since.map(|_| ()).map_err(|_| DbError::Clock)
}

impl Db {
    /// Opens or makes the database in `folder`. A damaged one is renamed, and a fresh one made.
    /// The caller must hold the journal: its lock keeps a second daemon out.
    pub fn open(folder: &Path) -> Result<(Self, Found), DbError> {
        is_of_our_era(SystemTime::now())?;
        if !folder.exists() {
            return Ok((Self::make(folder)?, Found::Missing));
        }
        match Self::recover(folder) {
            Ok(db) => Ok((db, Found::Whole)),
            Err(Unopened::Refused(error)) => Err(error),
            Err(Unopened::Damaged(why)) => {
                let moved_to = set_aside(folder)?;
                Ok((Self::make(folder)?, Found::Damaged { moved_to, why }))
            }
        }
    }

    /// Makes an empty database. It appears in `folder` whole or not at all: a crash on the way leaves
    /// no folder that looks damaged at the next start.
    fn make(folder: &Path) -> Result<Self, DbError> {
        let draft = suffixed(folder, ".new");
        match std::fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let db = Self::try_open(&draft)?;
        db.sled.insert(KEY_VERSION, &[VERSION])?;
        db.sled.flush()?;
        drop(db);
        std::fs::rename(&draft, folder)?;
        Ok(Self::try_open(folder)?)
    }

    /// Opens what is there. sled panics on some damage instead of returning an error: both are a
    /// reason in words here. What somebody else writes to, or what only lacks space, is not damaged.
    fn recover(folder: &Path) -> Result<Self, Unopened> {
        let open = || -> Result<Self, Unopened> {
            let db = Self::try_open(folder)?;
            db.check_version()?;
            Ok(db)
        };
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            let why = "sled could not recover it".to_owned();
            Err(Unopened::Damaged(why))
        })
    }

    /// Whoever holds the journal is alone: a database that is locked all the same is let go of by sled's
    /// own threads in a moment, after the last use of it was dropped.
    fn try_open(folder: &Path) -> Result<Self, sled::Error> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS));
        // Whoever lets go of it may leave the beginning of a snapshot: each try removes it anew.
        let open = || {
            remove_unfinished(folder)
                .map_err(sled::Error::Io)
                .and_then(|()| config.open())
        };
        let mut opened = open();
        for _ in 0..LOCK_TRIES {
            if !opened.as_ref().is_err_and(is_locked) {
                break;
            }
            thread::sleep(LOCK_PAUSE);
            opened = open();
        }
        let sled = opened?;
        Ok(Self {
            incidents: sled.open_tree("incidents")?,
            plans: sled.open_tree("plans")?,
            sled,
        })
    }

    fn check_version(&self) -> Result<(), Unopened> {
        let why = match self.sled.get(KEY_VERSION)?.as_deref() {
            Some([VERSION]) => return Ok(()),
            Some(other) => format!("it is of version {other:?}, this program writes {VERSION}"),
            None => "it names no version, its content is lost".to_owned(),
        };
        Err(Unopened::Damaged(why))
    }

    /// Keeps what a record says of incidents and plans; other records change nothing.
    pub fn keep(&self, record: &Record) -> Result<(), DbError> {
        match record {
            Record::Incident { incident } => put(&self.incidents, incident.id.0, incident),
            Record::Plan { plan } => put(&self.plans, plan.id.0, plan),
            Record::Started { .. }
            | Record::ClockSetBack { .. }
            | Record::Label { .. }
            | Record::Silence { .. }
            | Record::Decision { .. }
            | Record::Intent { .. }
            | Record::Result { .. } => Ok(()),
        }
    }

    /// An incident as it was last recorded.
    pub fn incident(&self, id: IncidentId) -> Result<Option<Incident>, DbError> {
        get(&self.incidents, id.0)
    }

    /// A plan as it was last recorded.
    pub fn plan(&self, id: PlanId) -> Result<Option<Plan>, DbError> {
        get(&self.plans, id.0)
    }

    /// Messages to people that wait.
    pub fn outbox(&self) -> Result<Outbox, DbError> {
        Ok(Outbox(self.sled.open_tree("outbox")?))
    }

    /// Notes the end of the journal, a second witness to its `.head` file.
    pub fn put_head(&self, head: &Head) -> Result<(), DbError> {
        self.sled.insert(KEY_HEAD, serde_json::to_vec(head)?)?;
        Ok(())
    }

    /// The end of the journal as last noted.
    pub fn head(&self) -> Result<Option<Head>, DbError> {
        let noted = self.sled.get(KEY_HEAD)?;
        Ok(noted
            .map(|bytes| serde_json::from_slice(&bytes))
            .transpose()?)
    }

    /// Returns when everything kept so far is durable.
    pub fn flush(&self) -> Result<(), DbError> {
        self.sled.flush()?;
        Ok(())
    }
}

impl From<sled::Error> for Unopened {
    fn from(error: sled::Error) -> Self {
        match error {
            error if is_locked(&error) => Self::Refused(DbError::InUse),
            sled::Error::Io(cause) if is_full(&cause) => Self::Refused(DbError::Full),
            sled::Error::Io(cause) if is_of_system(&cause) => Self::Refused(DbError::Io(cause)),
            // Its own words end in an empty backtrace.
            sled::Error::Corruption { .. } => Self::Damaged("its checksums do not fit".to_owned()),
            error => Self::Damaged(error.to_string()),
        }
    }
}

impl DbError {
    /// Whether it is only space that lacks.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Sled(sled::Error::Io(cause)) | Self::Io(cause) => is_full(cause),
            Self::Sled(_) | Self::Value(_) | Self::InUse | Self::Clock => false,
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    error.to_string().contains(SLED_LOCKED)
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// Whether the operating system kept us from reading, rather than that what was read makes no sense. sled
/// has no other sign of damage for some files than a kind that fits none here.
fn is_of_system(error: &std::io::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Other
            | ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
    )
}

fn key(id: u64) -> [u8; 9] {
    let mut key = [VERSION; 9];
    key[1..].copy_from_slice(&id.to_be_bytes());
    key
}

fn put<T: Serialize>(tree: &sled::Tree, id: u64, value: &T) -> Result<(), DbError> {
    tree.insert(key(id), serde_json::to_vec(value)?)?;
    Ok(())
}

fn get<T: DeserializeOwned>(tree: &sled::Tree, id: u64) -> Result<Option<T>, DbError> {
    let bytes = tree.get(key(id))?;
    Ok(bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()?)
}

/// Removes the beginnings of snapshots that a crash or a full disk left: sled takes the newest one for a
/// snapshot, and the database for damaged. It removes the one before only when the next is whole.
fn remove_unfinished(folder: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == SLED_UNFINISHED) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Renames `FOLDER` to `FOLDER.damaged-N` with the first N that is free.
fn set_aside(folder: &Path) -> std::io::Result<PathBuf> {
    let mut n = 1;
    loop {
        let aside = suffixed(folder, &format!(".damaged-{n}"));
        if !aside.exists() {
            std::fs::rename(folder, &aside)?;
            return Ok(aside);
        }
        n += 1;
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_the_era_is_no_damage() {
        let second = Duration::from_secs(1);
        assert!(is_of_our_era(UNIX_EPOCH + second).is_ok());
        let refused = is_of_our_era(UNIX_EPOCH - second);
        assert!(matches!(refused, Err(DbError::Clock)));
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let cases = [
            (ErrorKind::PermissionDenied, "refused"),
            (ErrorKind::ReadOnlyFilesystem, "refused"),
            (ErrorKind::StorageFull, "full"),
            (ErrorKind::QuotaExceeded, "full"),
            (ErrorKind::UnexpectedEof, "damaged"),
            (ErrorKind::InvalidData, "damaged"),
        ];
        for (kind, expected) in cases {
            let found = match Unopened::from(sled::Error::Io(kind.into())) {
                Unopened::Refused(error) if error.is_full() => "full",
                Unopened::Refused(DbError::Io(_)) => "refused",
                Unopened::Refused(other) => panic!("{kind}: {other}"),
                Unopened::Damaged(_) => "damaged",
            };
            assert_eq!(found, expected, "{kind}");
        }
    }
}
