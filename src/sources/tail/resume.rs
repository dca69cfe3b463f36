//! Which file of now is which of an earlier run: the same one, one that was renamed by rotation, or none.
//!
//! It looks at a bounded number of directory entries, and counts what it cannot find as missed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

use super::file::id_of;
use super::place::{FileId, Place};

/// Most entries of a directory looked at for a file that was renamed.
const ENTRIES_MAX: usize = 10_000;

/// A file that may be the one of an earlier run: where it is now, and how far we were.
pub(super) type Found = (PathBuf, Place);

/// Where an earlier run was in its files.
#[derive(Debug)]
pub(super) struct Earlier {
    by_path: BTreeMap<PathBuf, Place>,
    by_id: BTreeMap<FileId, Place>,
    taken_up: BTreeSet<FileId>,
}

impl Earlier {
    pub(super) fn new(by_path: BTreeMap<PathBuf, Place>) -> Self {
        Self {
            by_id: by_path.values().map(|place| (place.id, *place)).collect(),
            by_path,
            taken_up: BTreeSet::new(),
        }
    }

    /// What to go on with under `path`: the file itself, or the one that had its name and was renamed
    /// since, to be read to its end before the new one.
    pub(super) fn of(&self, path: &Path, matching: &BTreeSet<PathBuf>) -> Option<Found> {
        let here = std::fs::metadata(path).ok().map(|there| id_of(&there));
        if let Some(place) = here.and_then(|id| self.by_id.get(&id)) {
            return Some((path.to_owned(), *place));
        }
        let place = self.by_path.get(path)?;
        let renamed = renamed(path, place.id)?;
        // One that is followed under its own name is no business of this one.
        (!matching.contains(&renamed)).then_some((renamed, *place))
    }

    /// A place that is gone on with.
    pub(super) fn take_up(&mut self, place: Place) {
        self.taken_up.insert(place.id);
    }

    /// What nobody can read any more, file by file.
    pub(super) fn missed(self) -> impl Iterator<Item = String> {
        let left = self.by_path.into_iter();
        left.filter(move |(_, place)| !self.taken_up.contains(&place.id))
            .map(|(path, place)| {
                let (path, offset) = (path.display(), place.offset);
                format!(
                    "{path} was rotated away or emptied while nobody read it: whatever followed byte {offset} is missed"
                )
            })
    }
}

/// Another name of a file in the same directory.
fn renamed(path: &Path, id: FileId) -> Option<PathBuf> {
    let folder = path.parent()?;
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries
        .take(ENTRIES_MAX)
        .filter(|entry| entry.ino() == id.inode)
        .find(|entry| entry.metadata().is_ok_and(|there| id_of(&there) == id))
        .map(|entry| entry.path())
}
