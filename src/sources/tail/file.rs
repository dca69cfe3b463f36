//! One file, followed: new lines, rotation, truncation, lines of bounded length.
//!
//! Every call of [`Follower::read`] does a bounded amount of work and never waits. That another file has
//! its path is told once its own end is reached; it never goes over to that one by itself.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::place::{FileId, Head, Place};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes read from one file before the others have their turn.
const TURN_BYTES_MAX: usize = 256 * 1024;

/// Bytes at the beginning of a file by which it is told from another under the same number.
const HEAD_BYTES_MAX: usize = 256;

/// A file that is followed.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    file: File,
    id: FileId,
    /// How it begins; empty until somebody asks where we are.
    head: Head,
    /// Where the next read begins.
    offset: u64,
    /// Where the line begins that has no end yet.
    line_from: u64,
    /// The line that has no end yet, at most `line_bytes_max` of it.
    partial: Vec<u8>,
    /// Bytes of the current line that were cut off.
    cut_bytes: u64,
    line_bytes_max: usize,
    /// It was emptied since somebody asked.
    was_emptied: bool,
}

/// What one turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    Idle,
    /// Something was read, or the file was begun anew; there may be more.
    Read,
    /// Nothing new, and another file has the path.
    Rotated,
    /// The path is gone, and nothing has taken its place.
    Gone,
}

/// A line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Without its end.
    pub(super) text: &'a str,
    /// Whether its rest was left out because it is too long.
    pub(super) is_cut: bool,
    /// Where in the file it begins.
    pub(super) from: u64,
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
        let (mut file, id) = open_regular(path)?;
        let offset = match begin {
            Begin::Start => 0,
            Begin::End => file.seek(SeekFrom::End(0))?,
        };
        Ok(Self::at(path, file, id, offset, line_bytes_max))
    }

    /// Goes on where an earlier run was: in the file at `found`, which is what `path` was then.
    /// `None` if another file is there by now, or it was emptied.
    pub(super) fn resume(
        path: &Path,
        found: &Path,
        place: &Place,
        line_bytes_max: usize,
    ) -> io::Result<Option<Self>> {
        let (mut file, id) = open_regular(found)?;
        let is_same = id == place.id
            && file.metadata()?.len() >= place.offset
            && head_of(&file, place.head.bytes as usize)? == place.head;
        if !is_same {
            return Ok(None);
        }
        let offset = file.seek(SeekFrom::Start(place.offset))?;
        Ok(Some(Self::at(path, file, id, offset, line_bytes_max)))
    }

    fn at(path: &Path, file: File, id: FileId, offset: u64, line_bytes_max: usize) -> Self {
        Self {
            path: path.to_owned(),
            file,
            id,
            head: Head::default(),
            offset,
            line_from: offset,
            partial: Vec::new(),
            cut_bytes: 0,
            line_bytes_max,
            was_emptied: false,
        }
    }

    /// Where a later run goes on. What begins at `held_from` was read and not yet handed over.
    pub(super) fn place(&mut self, held_from: Option<u64>) -> io::Result<Place> {
        if (self.head.bytes as usize) < HEAD_BYTES_MAX && u64::from(self.head.bytes) < self.offset {
            self.head = head_of(&self.file, HEAD_BYTES_MAX)?;
        }
        Ok(Place {
            id: self.id,
            offset: held_from.unwrap_or(self.line_from),
            head: self.head,
            is_over: false,
        })
    }

    /// Whether it was emptied, and begun anew, since this was asked last.
    pub(super) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.was_emptied)
    }

    /// Gives every whole line that was added to `take`; a bounded number at once.
    pub(super) fn read(&mut self, take: &mut impl FnMut(Line<'_>)) -> io::Result<Turn> {
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
            Ok(there) if id_of(&there) == self.id => Ok(Turn::Idle),
            Ok(_) => Ok(Turn::Rotated),
        }
    }

    /// Which file it is.
    pub(super) const fn id(&self) -> FileId {
        self.id
    }

    /// What the system says of the file, whatever it is called by now.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// How the file begins; `None` for an empty one.
    pub(super) fn head(&self) -> io::Result<Option<Head>> {
        let head = head_of(&self.file, HEAD_BYTES_MAX)?;
        Ok((head != Head::default()).then_some(head))
    }

    /// How the file at a path begins; `None` for an empty one.
    pub(super) fn head_at(path: &Path) -> io::Result<Option<Head>> {
        Self::open(path, Begin::Start, 0)?.head()
    }

    /// Gives the line that has no end, because none will come.
    pub(super) fn end_line(&mut self, take: &mut impl FnMut(Line<'_>)) {
        if !self.partial.is_empty() || self.cut_bytes > 0 {
            let text = String::from_utf8_lossy(&self.partial);
            take(Line {
                text: text.trim_end_matches('\r'),
                is_cut: self.cut_bytes > 0,
                from: self.line_from,
            });
            self.partial.clear();
            self.cut_bytes = 0;
        }
    }

    fn begin_again(&mut self, take: &mut impl FnMut(Line<'_>)) -> io::Result<()> {
        self.end_line(take);
        self.offset = self.file.seek(SeekFrom::Start(0))?;
        self.line_from = self.offset;
        self.head = Head::default();
        self.was_emptied = true;
        Ok(())
    }

    fn read_added(&mut self, take: &mut impl FnMut(Line<'_>)) -> io::Result<usize> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut total = 0;
        while total < TURN_BYTES_MAX {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            total += read;
            self.split(&chunk[..read], take);
        }
        Ok(total)
    }

    fn split(&mut self, chunk: &[u8], take: &mut impl FnMut(Line<'_>)) {
        let mut pieces = chunk.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            let room = self.line_bytes_max - self.partial.len();
            let kept = &piece[..piece.len().min(room)];
            self.partial.extend_from_slice(kept);
            self.cut_bytes += (piece.len() - kept.len()) as u64;
            self.offset += piece.len() as u64;
            if pieces.peek().is_some() {
                self.offset += 1;
                self.end_line(take);
                self.line_from = self.offset;
            }
        }
    }
}

/// Opens what can be read as a log and does not block.
fn open_regular(path: &Path) -> io::Result<(File, FileId)> {
    // A pipe put in a log's place must neither block the look at all others nor be read.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file, id_of(&metadata)))
}

/// The first bytes of a file, at most `bytes_max`, as a fingerprint.
fn head_of(file: &File, bytes_max: usize) -> io::Result<Head> {
    let mut bytes = vec![0; bytes_max];
    let mut len = 0;
    while len < bytes_max {
        match file.read_at(&mut bytes[len..], len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    if len == 0 {
        return Ok(Head::default());
    }
    Ok(Head {
        bytes: len as u32,
        hash: xxh3_64(&bytes[..len]),
    })
}

/// Which file this is.
pub(super) fn id_of(metadata: &Metadata) -> FileId {
    FileId {
        device: metadata.dev(),
        inode: metadata.ino(),
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
        let mut take = |line: Line<'_>| {
            lines.push(format!(
                "{}{}",
                line.text,
                if line.is_cut { "…" } else { "" }
            ));
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
        append(&rotated, "2\nunen");
        append(&path, "3\n");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["2"])));
        assert_eq!(read(&mut follower), (Turn::Rotated, lines(&[])));
        // Whoever writes still has the old one open.
        append(&rotated, "ded\n");
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["unended"])));
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
    fn a_later_run_goes_on_at_the_first_line_not_handed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "one\ntwo\nthr");
        let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
        read(&mut follower);
        let place = follower.place(None).unwrap();
        let held = follower.place(Some(4)).unwrap();
        assert_eq!((place.offset, held.offset), (8, 4));
        append(&path, "ee\nfour\n");
        let resumed = |place: &Place| {
            let resumed = Follower::resume(&path, &path, place, LINE_BYTES_MAX).unwrap();
            resumed.map(|mut follower| read(&mut follower).1)
        };
        assert_eq!(resumed(&place), Some(lines(&["three", "four"])));
        assert_eq!(resumed(&held), Some(lines(&["two", "three", "four"])));
        std::fs::write(&path, "other\ntext\nof the same length\n").unwrap();
        assert_eq!(resumed(&place), None, "the same number, another content");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(resumed(&place), None, "shorter than it was");
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
