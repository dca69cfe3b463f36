//! Files that had a path before the one that has it now: kept open for writers that still hold them,
//! and found when several rotations lie between two looks.
//!
//! It looks at a bounded number of directory entries, and never takes a copy for another file.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Followed;
use super::file::{Follower, id_of};
use super::place::{FileId, Head};
use crate::model::{Time, counted};

/// A rotated file is kept open for at least this long, in milliseconds: its writer is told to open the
/// new one after the rotation, not with it, …
const KEPT_MS_MIN: i64 = 30_000;

/// … and until it has not grown for this long, in milliseconds.
const QUIET_MS_MIN: i64 = 10_000;

/// Most rotated files of one `[[sources.tail]]` kept open; the longest kept gives way.
pub(super) const ROTATED_MAX: usize = 1_024;

/// Most files read that came and went between two looks at one path.
const BETWEEN_MAX: usize = 64;

/// Most entries of a directory looked at.
const ENTRIES_MAX: usize = 10_000;

/// How long after a rotation its file may still be written to, when files in between are looked for.
const LATE_WRITES: Duration = Duration::from_secs(30);

/// Files are stamped by a clock that goes in steps, and lags behind ours by as much as one.
const COARSE: Duration = Duration::from_millis(20);

/// Endings of names whose content we cannot read.
const COMPRESSED: [&str; 6] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z"];

/// A file that was rotated away.
pub(super) struct Rotated {
    /// The path it had.
    pub(super) base: PathBuf,
    /// What it is called by now, under which its place is kept; `None` for one that was removed.
    pub(super) name: Option<PathBuf>,
    pub(super) followed: Followed,
    /// Whether its end was reached: until then, what came after it waits.
    pub(super) is_caught_up: bool,
    kept_since: Time,
    grew_at: Time,
}

/// What came and went between the file that was followed and the one that is there now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Between {
    /// Oldest first.
    pub(super) files: Vec<PathBuf>,
    /// What the followed file is called by now.
    pub(super) old_name: Option<PathBuf>,
    /// Files that nobody can read, each with the reason.
    pub(super) missed: Vec<String>,
}

impl Rotated {
    pub(super) const fn new(
        base: PathBuf,
        name: Option<PathBuf>,
        followed: Followed,
        now: Time,
    ) -> Self {
        Self {
            base,
            name,
            followed,
            is_caught_up: false,
            kept_since: now,
            grew_at: now,
        }
    }

    /// Notes whether a look at it found something; `false` once it may be closed.
    pub(super) fn looked(&mut self, has_grown: bool, now: Time) -> bool {
        if has_grown {
            self.grew_at = now;
        } else {
            self.is_caught_up = true;
        }
        now.since(self.kept_since) < KEPT_MS_MIN || now.since(self.grew_at) < QUIET_MS_MIN
    }
}

/// The file that was followed under a path.
struct Own {
    id: FileId,
    head: Option<Head>,
}

/// Looks for the files that had `path` after `old` and before the one that has it now, except those of
/// `known`, which are read already.
pub(super) fn between(
    path: &Path,
    old: &Follower,
    known: &BTreeSet<FileId>,
) -> io::Result<Between> {
    let before = old.metadata()?;
    // A writer may go on after the next file was made, but not for long.
    let ended = before.modified()?.checked_sub(LATE_WRITES);
    let begun = ended.map_or(born(&before), |ended| ended.max(born(&before)));
    let own = Own {
        id: id_of(&before),
        head: old.head()?,
    };
    since(path, begun, Some(&own), known)
}

/// Looks for the files that came under `path` after `scanned` and were rotated away before the one that
/// has it now, which is the first that is followed.
pub(super) fn before_the_first(
    path: &Path,
    scanned: SystemTime,
    known: &BTreeSet<FileId>,
) -> io::Result<Between> {
    let scanned = scanned.checked_sub(COARSE).unwrap_or(scanned);
    since(path, scanned, None, known)
}

/// Files born after `begun` and before the one at `path` whose names begin with its own.
fn since(
    path: &Path,
    begun: SystemTime,
    own: Option<&Own>,
    known: &BTreeSet<FileId>,
) -> io::Result<Between> {
    let mut between = Between::default();
    let (Some(folder), Some(base)) = (path.parent(), path.file_name()) else {
        return Ok(between);
    };
    let here = std::fs::metadata(path)?;
    let head = own.and_then(|own| own.head);
    let mut compressed = 0;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)?.flatten().take(ENTRIES_MAX) {
        let name = entry.file_name();
        let is_sibling =
            name != base && name.as_encoded_bytes().starts_with(base.as_encoded_bytes());
        let Some(there) = entry.metadata().ok().filter(|_| is_sibling) else {
            continue;
        };
        let id = id_of(&there);
        if own.is_some_and(|own| own.id == id) {
            between.old_name = Some(entry.path());
            continue;
        }
        let is_between = (begun..=born(&here)).contains(&born(&there));
        if !there.is_file() || !is_between || known.contains(&id) || id == id_of(&here) {
            continue;
        }
        let shown = name.to_string_lossy();
        if COMPRESSED.iter().any(|ending| shown.ends_with(ending)) {
            compressed += 1;
        } else if head.is_none() || Follower::head_at(&entry.path())? != head {
            found.push((born(&there), there.modified()?, entry.path()));
        }
    }
    found.sort();
    // The oldest of those compressed is the followed one itself, if that is gone.
    let is_own = own.is_some() && between.old_name.is_none();
    let lost = compressed - usize::from(is_own && compressed > 0);
    between.miss(path, lost, &mut found);
    between.files = found.into_iter().map(|(_, _, path)| path).collect();
    Ok(between)
}

impl Between {
    /// Says what is not read: compressed files, and the oldest of more than are read at once.
    fn miss<T>(&mut self, path: &Path, compressed: usize, found: &mut Vec<T>) {
        let shown = path.display();
        if compressed > 0 {
            self.missed.push(format!(
                "{shown} was rotated {} and compressed before it could be read: those lines are missed",
                counted(compressed as u64, "more time", "more times")
            ));
        }
        if found.len() > BETWEEN_MAX {
            let more = found.len() - BETWEEN_MAX;
            found.drain(..more);
            self.missed.push(format!(
                "{shown} was rotated more than {BETWEEN_MAX} times between two looks: {} missed",
                counted(more as u64, "file is", "files are")
            ));
        }
    }
}

/// The path that a rotated file had: the one whose name its own begins with.
pub(super) fn base_of<'a>(
    name: &Path,
    mut paths: impl Iterator<Item = &'a PathBuf>,
) -> Option<&'a PathBuf> {
    let own = name.file_name()?.as_encoded_bytes();
    paths.find(|path| {
        let base = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
        path.parent() == name.parent() && base.is_some_and(|base| own.starts_with(base))
    })
}

/// When a file was made; where the file system does not say, when it was written last.
fn born(metadata: &Metadata) -> SystemTime {
    let born = metadata.created().or_else(|_| metadata.modified());
    born.unwrap_or(SystemTime::UNIX_EPOCH)
}
