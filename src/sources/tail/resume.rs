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

    /// Where we were in files that had another name before and are called otherwise by now: each
    /// with the name it had when that was noted.
    pub(super) fn rotated(&self, matching: &BTreeSet<PathBuf>) -> Vec<(PathBuf, Found)> {
        let apart = self.by_path.iter();
        let apart = apart.filter(|(name, place)| {
            !matching.contains(*name) && !self.taken_up.contains(&place.id)
        });
        apart
            .filter_map(|(name, place)| Some((name.clone(), (renamed(name, place.id)?, *place))))
            .collect()
    }

    /// Places that are not gone on with yet.
    pub(super) fn places(&self) -> impl Iterator<Item = (&PathBuf, &Place)> {
        self.by_path.iter()
    }

    /// Splits what is left into files of `waiting`, for a later scan, and what nobody can read any
    /// more, file by file. A file that was read to its end before it went is no loss.
    pub(super) fn settle(self, waiting: &BTreeSet<PathBuf>) -> (Option<Self>, Vec<String>) {
        let left = self.by_path.into_iter();
        let left = left.filter(|(_, place)| !self.taken_up.contains(&place.id));
        let (waiting, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            left.partition(|(path, _)| waiting.contains(path));
        let unread = gone.into_iter().filter(|(_, place)| !place.is_over);
        let missed = unread.map(|(path, place)| {
            let (path, offset) = (path.display(), place.offset);
            format!(
                "{path} was rotated away or emptied while nobody read it: whatever followed byte {offset} is missed"
            )
        });
        let missed = missed.collect();
        ((!waiting.is_empty()).then(|| Self::new(waiting)), missed)
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

#[cfg(test)]
mod tests {
    use super::super::place::Head;
    use super::*;

    #[test]
    fn a_file_that_cannot_be_opened_keeps_its_place_and_others_are_missed() {
        let place = |inode| Place {
            id: FileId { device: 1, inode },
            head: Head::default(),
            offset: 10 * inode,
            before: Head::default(),
            is_over: inode == 4,
        };
        let by_path = [("/a.log", 1), ("/b.log", 2), ("/c.log", 3), ("/d.log", 4)];
        let by_path = by_path.map(|(path, inode)| (PathBuf::from(path), place(inode)));
        let mut earlier = Earlier::new(BTreeMap::from(by_path));
        earlier.take_up(place(1));
        let unopened = BTreeSet::from([PathBuf::from("/b.log")]);
        let (waiting, missed) = earlier.settle(&unopened);
        let why = "/c.log was rotated away or emptied while nobody read it: whatever followed byte 30 is missed";
        assert_eq!(missed, [why]);
        let waiting = waiting.expect("one waits");
        let kept: Vec<_> = waiting.places().collect();
        assert_eq!(kept, [(&PathBuf::from("/b.log"), &place(2))]);
        let (waiting, missed) = waiting.settle(&BTreeSet::new());
        assert!(
            waiting.is_none() && missed.len() == 1,
            "given up in the end"
        );
    }
}
