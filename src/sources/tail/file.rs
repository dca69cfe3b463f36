//! One file, followed: new lines, rotation, truncation, lines of bounded length.
//!
//! Every call of [`Follower::read`] does a bounded amount of work and never waits. A rotated file is
//! read to its end before the new one is begun.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes read from one file before the others have their turn.
const TURN_BYTES_MAX: usize = 1024 * 1024;

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    file: File,
    id: FileId,
    /// Where the next read begins.
    offset: u64,
    /// The line that has no end yet, at most `line_bytes_max` of it.
    partial: Vec<u8>,
    /// Bytes of the current line that were cut off.
    cut_bytes: u64,
    line_bytes_max: usize,
}

/// What one turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    Idle,
    /// Something was read, or the file was begun anew; there may be more.
    Read,
    /// The path is gone, and nothing has taken its place.
    Gone,
}

/// Which file stands behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Start,
    End,
}

impl Follower {
    /// Opens a file.
    pub(super) fn open(path: &Path, begin: Begin, line_bytes_max: usize) -> io::Result<Self> {
        // A pipe put in a log's place must neither block the look at all others nor be read.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let id = FileId::of(&metadata);
        let offset = match begin {
            Begin::Start => 0,
            Begin::End => file.seek(SeekFrom::End(0))?,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            id,
            offset,
            partial: Vec::new(),
            cut_bytes: 0,
            line_bytes_max,
        })
    }

    /// Gives every whole line that was added to `take`, with whether it was cut; a bounded number
    /// at once.
    pub(super) fn read(&mut self, take: &mut impl FnMut(&str, bool)) -> io::Result<Turn> {
        if self.file.metadata()?.len() < self.offset {
            // Truncated in place: what follows is a new file under the same number.
            self.begin_again(take)?;
        }
        if self.read_added(take)? > 0 {
            return Ok(Turn::Read);
        }
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Turn::Gone),
            Err(error) => Err(error),
            Ok(there) if FileId::of(&there) == self.id => Ok(Turn::Idle),
            Ok(_) => {
                self.end_line(take);
                *self = Self::open(&self.path, Begin::Start, self.line_bytes_max)?;
                Ok(Turn::Read)
            }
        }
    }

    /// Gives the line that has no end, because none will come.
    pub(super) fn end_line(&mut self, take: &mut impl FnMut(&str, bool)) {
        if !self.partial.is_empty() || self.cut_bytes > 0 {
            let line = String::from_utf8_lossy(&self.partial);
            take(line.trim_end_matches('\r'), self.cut_bytes > 0);
            self.partial.clear();
            self.cut_bytes = 0;
        }
    }

    fn begin_again(&mut self, take: &mut impl FnMut(&str, bool)) -> io::Result<()> {
        self.end_line(take);
        self.offset = self.file.seek(SeekFrom::Start(0))?;
        Ok(())
    }

    fn read_added(&mut self, take: &mut impl FnMut(&str, bool)) -> io::Result<usize> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut total = 0;
        while total < TURN_BYTES_MAX {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            self.offset += read as u64;
            total += read;
            self.split(&chunk[..read], take);
        }
        Ok(total)
    }

    fn split(&mut self, chunk: &[u8], take: &mut impl FnMut(&str, bool)) {
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = self.line_bytes_max - self.partial.len();
            let kept = &piece[..piece.len().min(room)];
            self.partial.extend_from_slice(kept);
            self.cut_bytes += (piece.len() - kept.len()) as u64;
            if pieces.peek().is_some() {
                self.end_line(take);
            }
        }
    }
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LINE_BYTES_MAX: usize = 10;

    fn append(path: &Path, text: &str) {
        let file = File::options().append(true).create(true).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(follower: &mut Follower) -> (Turn, Vec<String>) {
        let mut lines = Vec::new();
        let mut take = |line: &str, cut: bool| {
            lines.push(format!("{line}{}", if cut { "…" } else { "" }));
        };
        let turn = follower.read(&mut take).unwrap();
        (turn, lines)
    }

    fn lines(expected: &[&str]) -> Vec<String> {
        expected.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_pipe_in_its_place_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let refused = Follower::open(&path, Begin::End, LINE_BYTES_MAX).unwrap_err();
        assert_eq!(refused.to_string(), "it is not a regular file");
    }

    #[test]
    fn whole_lines_come_once_and_long_ones_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "old\n");
        let mut follower = Follower::open(&path, Begin::End, LINE_BYTES_MAX).unwrap();
        assert_eq!(read(&mut follower), (Turn::Idle, lines(&[])));
        append(&path, "one\r\ntw");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["one"])));
        append(&path, "o\n\n0123456789abc");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["two"])));
        append(&path, "def\nlast\n");
        assert_eq!(
            read(&mut follower),
            (Turn::Read, lines(&["0123456789…", "last"]))
        );
        let mut again = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
        assert_eq!(read(&mut again).1.len(), 5);
    }

    #[test]
    fn a_rotated_file_is_finished_before_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "1\n");
        let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["1"])));
        let rotated = folder.path().join("a.log.1");
        std::fs::rename(&path, &rotated).unwrap();
        assert_eq!(read(&mut follower), (Turn::Gone, lines(&[])));
        append(&rotated, "2\nunended");
        append(&path, "3\n");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["2"])));
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["unended"])));
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["3"])));
        assert_eq!(read(&mut follower), (Turn::Idle, lines(&[])));
    }

    #[test]
    fn a_truncated_file_is_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "first\nsecond\n");
        let mut follower = Follower::open(&path, Begin::End, LINE_BYTES_MAX).unwrap();
        File::create(&path).unwrap();
        append(&path, "anew\n");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["anew"])));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, b"\xff\x00ok\n").unwrap();
        let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["\u{fffd}\0ok"])));
    }
}
