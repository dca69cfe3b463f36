//! A second memory of "all automation is stopped", for when the journal cannot be written.
//!
//! An empty file beside the socket, which is usually on another volume than the data and needs no
//! space there. It only ever makes a daemon start stopped; it never releases anything.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// Appended to the name of the socket.
const SUFFIX: &str = ".stopped";

/// The mark, and what people must know of it.
#[derive(Debug, Default)]
pub(super) struct StopMark {
    /// `None` where nothing outlives the daemon anyway.
    path: Option<PathBuf>,
    is_set: bool,
    found_at_start: bool,
    notice: String,
}

impl StopMark {
    /// What a daemon keeps that way: what is not kept at all needs no mark, and the mark of another
    /// daemon must stay.
    pub(super) fn of(socket: &Path, keeps: bool) -> Self {
        if keeps {
            Self::beside(socket)
        } else {
            Self::default()
        }
    }

    /// The mark of the daemon with this socket, as an earlier one left it.
    pub(super) fn beside(socket: &Path) -> Self {
        let mut name = OsString::from(socket);
        name.push(SUFFIX);
        let path = PathBuf::from(name);
        let is_set = path.exists();
        let notice = if is_set {
            "all automation is stopped: the last daemon was told so and could not write it down"
        } else {
            ""
        };
        Self {
            path: Some(path),
            is_set,
            found_at_start: is_set,
            notice: notice.to_owned(),
        }
    }

    /// Whether it is there, as far as is known.
    pub(super) fn found(&self) -> bool {
        self.is_set
    }

    /// Sets it, as far as that is possible; what to tell whoever gave the stop.
    pub(super) fn set(&mut self) -> String {
        let made = self.path.as_ref().map(|path| {
            let mut options = OpenOptions::new();
            let made = options.write(true).create(true).truncate(false).open(path);
            made.map(|_| path.display().to_string())
        });
        self.found_at_start = false;
        self.is_set = matches!(made, Some(Ok(_)));
        let memory = match made {
            Some(Ok(path)) => format!("only {path} remembers it over a crash"),
            Some(Err(_)) | None => "a crash would forget it".to_owned(),
        };
        self.notice = format!("all automation is stopped; it is not written down yet and {memory}");
        self.notice.clone()
    }

    /// The journal says it now; that it was found at the start is still worth knowing.
    pub(super) fn written(&mut self) {
        let found = self.found_at_start.then(|| self.notice.clone());
        self.clear();
        if let Some(found) = found.filter(|_| self.notice.is_empty()) {
            self.found_at_start = true;
            self.notice = found;
        }
    }

    /// Removes it: the journal says what holds. One that cannot be removed stays a notice.
    pub(super) fn clear(&mut self) {
        self.found_at_start = false;
        let removed = match &self.path {
            Some(path) if self.is_set => fs::remove_file(path),
            _ => Ok(()),
        };
        self.notice = match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => format!(
                "the next start will be with all automation stopped: {SUFFIX} beside the socket \
                 cannot be removed: {error}"
            ),
            Ok(()) | Err(_) => {
                self.is_set = false;
                String::new()
            }
        };
    }

    /// What people must know; empty when the journal says it all.
    pub(super) fn notice(&self) -> &str {
        &self.notice
    }
}
