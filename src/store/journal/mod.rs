//! The journal: an append-only file of decisions and what came of them, the authority over everything else.
//!
//! One JSON object a line; each line carries the SHA-256 of the bytes of the line before, so that no
//! line can be changed, cut, moved or slipped in unnoticed. A small file beside it remembers the end,
//! so that a shortened journal is noticed too. `docs/formats.md` draws the bytes.
//!
//! Never rewritten, never rotated: the only bytes ever taken out are those of an append that did not
//! finish, and they are moved aside, not lost.

mod chain;
mod head;
mod index;

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::{Record, Time};

pub use chain::{Broken, BrokenKind, CRASH_LINES_MAX, Doubt, Lines, Verified, verify};
pub use head::Head;

/// Longest line written or read, in bytes. A record that is longer is refused: an incident is
/// bounded by the engine, so a longer one is a mistake, and the reader must not be made to hold it.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number, from 1.
    pub n: u64,
    /// When the input that caused it was received.
    pub at: Time,
    /// SHA-256, in hex, of the bytes of the line before without its newline; of the format's name
    /// for the first line.
    pub prev: String,
    /// Sequence number of the input that caused it; 0 for the daemon's own.
    pub seq: u64,
    /// The fact.
    pub record: Record,
}

/// A record and the input that caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When the input was received.
    pub at: Time,
    /// Its sequence number; 0 for the daemon's own.
    pub seq: u64,
    /// The fact.
    pub record: Record,
}

/// The journal, open for appending by this process alone.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
    head: Head,
    head_file: head::HeadFile,
    /// Where its lines begin.
    index: index::Index,
    /// Bytes of the file that are known to be durable.
    durable_bytes: u64,
    /// A write failed: the end of the file is not known until it was cut back.
    doubtful: bool,
}

/// What was found on opening.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The end of an append that did not finish, moved aside.
    pub torn: Option<Torn>,
    /// The first line that is not what was written, if any. The journal goes on behind its last
    /// line, and `audit verify` keeps naming this one.
    pub broken: Option<Broken>,
    /// There are lines, and the note of the end beside them is gone or cannot be read: whether later ones
    /// were cut off cannot be told.
    pub end_unknown: bool,
    /// Lines after the noted end. A crash leaves up to [`CRASH_LINES_MAX`]; more, or any after a stop in
    /// order, mean that an older note was put there, and that lines may have been cut off.
    pub lines_after_noted: u64,
}

/// See [`Opened::torn`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Bytes moved.
    pub bytes: u64,
    /// Where they are now.
    pub moved_to: PathBuf,
}

/// Why the journal cannot be used.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Another process has it open.
    #[error("{} is in use by another daemon", path.display())]
    InUse {
        /// The journal.
        path: PathBuf,
    },
    /// The file that is open is no longer the one of that name; nothing was written.
    #[error(
        "{} was deleted or replaced while it was in use: put it back, or restart", path.display()
    )]
    Replaced {
        /// The journal.
        path: PathBuf,
    },
    /// No space is left; nothing was written.
    #[error("{}: the disk is full", path.display())]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// A record is too long; nothing was written.
    #[error("a record of {bytes} bytes: at most {LINE_BYTES_MAX} fit a line")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The operating system refused; nothing counts as written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Journal {
    /// Opens or makes a journal and takes it for this process. A torn end is moved aside first.
    pub fn open(path: &Path) -> Result<(Self, Opened), JournalError> {
        let fail = |source| io_error(path, source);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(JournalError::InUse { path });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
        let head_file = head::HeadFile::open(path).map_err(fail)?;
        let expected = head_file.read();
        let end_is_noted = expected.is_some();
        if !end_is_noted {
            // What stood there must not be left behind the note that is written over it.
            head_file.clear().map_err(fail)?;
        }
        let mut scan = chain::scan(path, expected)
            .map_err(fail)?
            .without_torn_lines();
        scan.index.cut(scan.good_bytes);
        let torn = move_torn(path, &file, &scan).map_err(fail)?;
        // The name of a new file is durable only when its folder is.
        sync_folder(path).map_err(fail)?;
        if scan.head.lines == 0 {
            // From the first line on, a missing note is suspicious.
            head_file.write(&scan.head).map_err(fail)?;
        }
        let end_unknown = !end_is_noted && scan.head.lines > 0;
        let lines_after_noted = scan.lines_after_noted();
        let identity = identity(&file.metadata().map_err(fail)?);
        let journal = Self {
            path: path.to_owned(),
            file,
            identity,
            head: scan.head,
            head_file,
            index: scan.index,
            durable_bytes: scan.good_bytes,
            doubtful: false,
        };
        let broken = scan.broken;
        let opened = Opened {
            torn,
            broken,
            end_unknown,
            lines_after_noted,
        };
        Ok((journal, opened))
    }

    /// Appends entries and returns when they are durable: one write and one sync for all of them.
    /// On an error none of them counts, and the next append starts by cutting off what is left.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.check_place()?;
        if self.doubtful {
            self.cut_back()?;
        }
        let (bytes, head) = self.lines_of(entries)?;
        let first = self.head.lines;
        self.doubtful = true;
        let mut file = &self.file;
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(source) = written {
            let error = io_error(&self.path, source);
            // Best effort: if this fails too, the next append tries again before it writes.
            let _ = self.cut_back();
            return Err(error);
        }
        self.doubtful = false;
        let mut begins = self.durable_bytes;
        for (n, line) in (first + 1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
            self.index.take(n, begins);
            begins += line.len() as u64;
        }
        self.durable_bytes = begins;
        self.head = head;
        // The journal is the authority: a head that lags behind is caught up at the next append.
        if let Err(error) = self.head_file.write(&self.head) {
            tracing::warn!(path = %self.path.display(), %error, "cannot note the journal's end");
        }
        Ok(())
    }

    /// The number of lines and the hash of the last one.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The byte of the file at which to begin reading for the lines after line `after`: at most a few
    /// hundred lines before them.
    pub fn before(&self, after: u64) -> u64 {
        self.index.before(after)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is written to a file without a name is lost with this process: nobody may be told that it
    /// is kept.
    fn check_place(&self) -> Result<(), JournalError> {
        let path = &self.path;
        match std::fs::metadata(path) {
            Ok(found) if identity(&found) == self.identity => Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(path, source)),
            Ok(_) | Err(_) => Err(JournalError::Replaced { path: path.clone() }),
        }
    }

    /// The bytes of the lines for `entries`, and the head after them.
    fn lines_of(&self, entries: &[Entry]) -> Result<(Vec<u8>, Head), JournalError> {
        let mut head = self.head.clone();
        let mut bytes = Vec::new();
        for entry in entries {
            let begin = bytes.len();
            let line = chain::LineRef {
                n: head.lines.saturating_add(1),
                at: entry.at,
                prev: &head.hash,
                seq: entry.seq,
                record: &entry.record,
            };
            serde_json::to_writer(&mut bytes, &line)
                .map_err(|error| io_error(&self.path, error.into()))?;
            let length = bytes.len() - begin;
            if length > LINE_BYTES_MAX {
                return Err(JournalError::TooLong { bytes: length });
            }
            head = Head {
                lines: head.lines.saturating_add(1),
                hash: chain::hash(&bytes[begin..]),
            };
            bytes.push(b'\n');
        }
        Ok((bytes, head))
    }

    /// Cuts off whatever a failed append left, so that the file ends with its last durable line.
    fn cut_back(&mut self) -> Result<(), JournalError> {
        self.file
            .set_len(self.durable_bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|source| io_error(&self.path, source))?;
        self.doubtful = false;
        Ok(())
    }
}

/// What tells a file from another one that has got its name.
fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Reads a journal from its first line; a line that cannot be read is an error item, and reading goes on.
pub fn lines(path: &Path) -> io::Result<Lines> {
    lines_from(path, 0)
}

/// The same from a line on that begins at this byte, as [`Journal::before`] gives it.
pub fn lines_from(path: &Path, begins: u64) -> io::Result<Lines> {
    Lines::open(path, begins)
}

/// Whether an entry fits a line.
pub fn fits(entry: &Entry) -> bool {
    // The number and the hash are not known yet; they are never longer than this.
    let longest = chain::LineRef {
        n: u64::MAX,
        at: entry.at,
        prev: &Head::default().hash,
        seq: entry.seq,
        record: &entry.record,
    };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &longest).is_ok() && length.0 <= LINE_BYTES_MAX
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves the bytes after the last whole line into `FILE.torn-N`.
fn move_torn(path: &Path, file: &File, scan: &chain::Scan) -> io::Result<Option<Torn>> {
    let length = file.metadata()?.len();
    if length <= scan.good_bytes {
        return Ok(None);
    }
    let mut tail = file;
    tail.seek(SeekFrom::Start(scan.good_bytes))?;
    let (moved_to, mut aside) = new_beside(path)?;
    let bytes = io::copy(&mut tail, &mut aside)?;
    aside.sync_all()?;
    sync_folder(path)?;
    file.set_len(scan.good_bytes)?;
    file.sync_all()?;
    Ok(Some(Torn { bytes, moved_to }))
}

/// Makes `FILE.torn-N` with the first N that is free.
fn new_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut n = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".torn-{n}"));
        let beside = PathBuf::from(name);
        match File::create_new(&beside) {
            Ok(file) => return Ok((beside, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => n += 1,
            Err(error) => return Err(error),
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn io_error(path: &Path, source: io::Error) -> JournalError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::Full { path },
        _ => JournalError::Io { path, source },
    }
}

#[cfg(test)]
mod tests;
