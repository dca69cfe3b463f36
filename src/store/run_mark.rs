//! A file that lies in the data folder while a daemon runs on it: one that is found at a start says that the
//! run before did not come to its end. It says nothing else, and what cannot be written here stops nobody.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file in the data folder.
const NAME: &str = "running";

/// The mark of this run.
#[derive(Debug)]
pub(super) struct RunMark {
    folder: PathBuf,
}

impl RunMark {
    /// The mark in a folder that this process has taken.
    pub(super) fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Sets it; whether an earlier run left one.
    pub(super) fn set(&self) -> bool {
        let path = self.folder.join(NAME);
        if path.exists() {
            return true;
        }
        let made = File::create(path).and_then(|_| self.sync());
        if let Err(error) = made {
            tracing::warn!(%error, "the next start will not know whether this run ended in order");
        }
        false
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        let removed = fs::remove_file(self.folder.join(NAME)).and_then(|()| self.sync());
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the next start will take this run for one that was killed");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// The folder's list of files is on the disk as well.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}
