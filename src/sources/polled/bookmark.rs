//! How far a store was read, kept over a restart: on the disk it is never ahead of what was recorded.
//!
//! One small JSON file for each place that is asked, replaced as a whole. What was handed over waits here
//! with its receipt until the recorder has it; at an orderly stop everything in the queue is still taken.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::window::Place;
use crate::store::recorder::Kept;

/// Version of the format; another one is not read.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Its folder, in the data folder.
const FOLDER: &str = "polled";
/// Most batches that wait for their receipts; then the next one waits as well.
const WAITING_MAX: usize = 64;

/// The file as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    /// What is asked where, for whoever reads it.
    of: String,
    place: Place,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bookmark {
    /// `None` when nothing is kept.
    file: Option<PathBuf>,
    of: String,
    /// Places behind what was handed over, oldest first.
    waiting: VecDeque<(Place, Kept)>,
    written: Option<Place>,
    /// Whether the last write failed: said once.
    is_failing: bool,
}

impl Bookmark {
    /// In the data folder, under a name made from what is asked where: another question is another source.
    pub(super) fn new(data_dir: Option<&Path>, of: String) -> Self {
        let name = format!("{:016x}.json", xxh3_64(of.as_bytes()));
        Self {
            file: data_dir.map(|folder| folder.join(FOLDER).join(name)),
            of,
            waiting: VecDeque::new(),
            written: None,
            is_failing: false,
        }
    }

    /// Where an earlier run was; else why that cannot be known.
    pub(super) fn read(&mut self) -> Result<Option<Place>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        match read(file) {
            Ok(place) => {
                self.written.clone_from(&place);
                Ok(place)
            }
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        }
    }

    /// Notes that everything before `place` was handed over.
    pub(super) async fn handed_over(&mut self, place: Place, kept: Kept) {
        self.waiting.push_back((place, kept));
        if self.waiting.len() > WAITING_MAX
            && let Some((_, kept)) = self.waiting.front_mut()
        {
            kept.known().await;
        }
        self.settle();
    }

    /// Notes that there was nothing more before `place`.
    pub(super) fn passed(&mut self, place: Place) {
        match self.waiting.back_mut() {
            Some((waiting, _)) => *waiting = place,
            None => self.write(place),
        }
        self.settle();
    }

    /// Writes the last place of which all is kept. What could not be recorded was taken all the same, and
    /// is counted where it was lost.
    fn settle(&mut self) {
        let mut settled = None;
        while let Some((_, kept)) = self.waiting.front_mut()
            && kept.so_far().is_some()
        {
            settled = self.waiting.pop_front();
        }
        if let Some((place, _)) = settled {
            self.write(place);
        }
    }

    fn write(&mut self, place: Place) {
        let Some(file) = &self.file else { return };
        if self.written.as_ref() == Some(&place) {
            return;
        }
        let written = Written {
            version: VERSION,
            of: self.of.clone(),
            place,
        };
        match write(file, &written) {
            Ok(()) => {
                self.written = Some(written.place);
                self.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!("{}: {error}", file.display());
                }
            }
        }
    }
}

impl Drop for Bookmark {
    fn drop(&mut self) {
        if let Some((place, _)) = self.waiting.pop_back() {
            self.write(place);
        }
    }
}

fn read(file: &Path) -> io::Result<Option<Place>> {
    let length = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?.len(),
    };
    if length > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{length} bytes: too long")));
    }
    let written: Written = serde_json::from_slice(&fs::read(file)?)?;
    if written.version != VERSION {
        return Err(io::Error::other(format!("version {}", written.version)));
    }
    Ok(Some(written.place))
}

fn write(file: &Path, written: &Written) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = file.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(written)?)?;
    fs::rename(&draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recorder::receipt;

    fn place(next: i64) -> Place {
        Place {
            next,
            seen: vec![u64::MAX],
        }
    }

    #[tokio::test]
    async fn the_place_that_is_kept_is_never_ahead_of_what_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Bookmark::new(Some(folder.path()), "all of it".to_owned());
        let kept = || open().read().unwrap().map(|place| place.next);
        let mut bookmark = open();
        assert_eq!(bookmark.read(), Ok(None));
        bookmark.passed(place(1));
        assert_eq!(kept(), Some(1), "nothing waits");
        let ((first, first_kept), (second, second_kept)) = (receipt(), receipt());
        bookmark.handed_over(place(2), first_kept).await;
        bookmark.handed_over(place(3), second_kept).await;
        second.give();
        bookmark.passed(place(4));
        assert_eq!(kept(), Some(1), "the first is not kept yet");
        first.give();
        bookmark.passed(place(5));
        assert_eq!(kept(), Some(5));
        let (torn, torn_kept) = receipt();
        bookmark.handed_over(place(6), torn_kept).await;
        drop(torn);
        bookmark.passed(place(7));
        assert_eq!(
            kept(),
            Some(7),
            "what is not recorded was taken all the same"
        );
        let (_waits, waits_kept) = receipt();
        bookmark.handed_over(place(8), waits_kept).await;
        drop(bookmark);
        assert_eq!(kept(), Some(8), "what is in the queue is still taken");
    }

    #[test]
    fn what_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut bookmark = Bookmark::new(Some(folder.path()), "x".to_owned());
        bookmark.passed(place(1));
        let file = bookmark.file.clone().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (bad, why) in [
            (text.replace("\"version\":1", "\"version\":2"), "version 2"),
            (text[..text.len() / 2].to_owned(), "EOF while parsing"),
        ] {
            fs::write(&file, bad).unwrap();
            let error = bookmark.read().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
