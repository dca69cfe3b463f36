//! One file, followed: new lines, rotation, truncation, lines of bounded length.
//!
//! Every call of [`Follower::read`] does a bounded amount of work and never waits. That another file has
//! its path is told once its own end is reached; it never goes over to that one by itself.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

use super::place::{FileId, Head, Place};

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Bytes read from one file before the others have their turn.
const TURN_BYTES_MAX: usize = 256 * 1024;

/// Bytes at the beginning of a file by which it is told from another under the same number.
const HEAD_BYTES_MAX: usize = 256;

/// Bytes before the place where we are by which it is known that what stands there is still what was read.
const BEFORE_BYTES_MAX: usize = 256;

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
    /// The last bytes before that, at most [`BEFORE_BYTES_MAX`].
    before: Vec<u8>,
    /// Its length and when it was written last, as of the last look.
    seen: Option<(u64, SystemTime)>,
    /// Where the line begins that has no end yet.
    line_from: u64,
    /// The line that has no end yet, at most `line_bytes_max` of it.
    partial: Vec<u8>,
    /// Bytes of the current line that were cut off.
    cut_bytes: u64,
    line_bytes_max: usize,
    /// It was emptied since somebody asked.
    was_emptied: bool,
    /// Bytes that were seen in it and emptied away before they were read, since somebody asked.
    lost_bytes: u64,
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
        Self::at(path, file, id, offset, line_bytes_max)
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
            && head_of(&file, place.head.bytes as usize)? == place.head
            && hash_before(&file, place.offset, place.before.bytes)? == place.before;
        if !is_same {
            return Ok(None);
        }
        let offset = file.seek(SeekFrom::Start(place.offset))?;
        Self::at(path, file, id, offset, line_bytes_max).map(Some)
    }

    fn at(
        path: &Path,
        file: File,
        id: FileId,
        offset: u64,
        line_bytes_max: usize,
    ) -> io::Result<Self> {
        let before = bytes_before(&file, offset, BEFORE_BYTES_MAX)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            id,
            head: Head::default(),
            offset,
            before,
            seen: None,
            line_from: offset,
            partial: Vec::new(),
            cut_bytes: 0,
            line_bytes_max,
            was_emptied: false,
            lost_bytes: 0,
        })
    }

    /// Where a later run goes on. What begins at `held_from` was read and not yet handed over.
    pub(super) fn place(&mut self, held_from: Option<u64>) -> io::Result<Place> {
        if (self.head.bytes as usize) < HEAD_BYTES_MAX && u64::from(self.head.bytes) < self.offset {
            self.head = head_of(&self.file, HEAD_BYTES_MAX)?;
        }
        let offset = held_from.unwrap_or(self.line_from);
        Ok(Place {
            id: self.id,
            offset,
            head: self.head,
            before: hash_before(&self.file, offset, BEFORE_BYTES_MAX as u32)?,
            is_over: false,
        })
    }

    /// Whether it was emptied, and begun anew, since this was asked last.
    pub(super) fn take_emptied(&mut self) -> bool {
        std::mem::take(&mut self.was_emptied)
    }

    /// Bytes that were seen in it and are gone unread, since this was asked last.
    pub(super) fn take_lost_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.lost_bytes)
    }

    /// Gives every whole line that was added to `take`; a bounded number at once.
    pub(super) fn read(&mut self, take: &mut impl FnMut(Line<'_>)) -> io::Result<Turn> {
        let there = self.file.metadata()?;
        let seen = (there.len(), there.modified()?);
        if self.is_written_anew(seen)? {
            // What follows is a new file under the same number.
            self.begin_again(take)?;
        }
        self.seen = Some(seen);
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

    /// The path it is followed under.
    pub(super) fn path(&self) -> &Path {
        &self.path
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

    /// Whether it was emptied in place since the last look. It may have grown beyond where we were by now:
    /// then other bytes stand before that.
    fn is_written_anew(&mut self, now: (u64, SystemTime)) -> io::Result<bool> {
        if now.0 < self.offset {
            return Ok(true);
        }
        if self.seen == Some(now) {
            return Ok(false);
        }
        let here = bytes_before(&self.file, self.offset, self.before.len())?;
        let is_other = here != self.before;
        // A writer that does not append goes on where it was in the emptied file, behind a hole that nobody
        // wrote: so do we. One that ends before us was emptied since its length was looked at.
        let is_as_long = here.len() == self.before.len();
        let is_hole = is_other && is_as_long && here.iter().all(|byte| *byte == 0);
        if is_hole {
            self.before = here;
        }
        Ok(is_other && !is_hole)
    }

    fn begin_again(&mut self, take: &mut impl FnMut(Line<'_>)) -> io::Result<()> {
        let seen_bytes = self.seen.map_or(0, |(length, _)| length);
        self.lost_bytes += seen_bytes.saturating_sub(self.offset);
        self.end_line(take);
        self.before.clear();
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
            self.note_before(&chunk[..read]);
            self.split(&chunk[..read], take);
        }
        Ok(total)
    }

    fn note_before(&mut self, read: &[u8]) {
        let kept = BEFORE_BYTES_MAX.saturating_sub(read.len());
        self.before.drain(..self.before.len().saturating_sub(kept));
        let last = &read[read.len().saturating_sub(BEFORE_BYTES_MAX)..];
        self.before.extend_from_slice(last);
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

/// The bytes of a file before a place, at most `bytes_max`; fewer where it ends before that.
fn bytes_before(file: &File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let bytes = offset.min(bytes_max as u64);
    let mut before = vec![0; bytes as usize];
    let mut len = 0;
    while len < before.len() {
        match file.read_at(&mut before[len..], offset - bytes + len as u64)? {
            0 => break,
            read => len += read,
        }
    }
    before.truncate(len);
    Ok(before)
}

/// The same as a fingerprint, of at most `bytes_max`.
fn hash_before(file: &File, offset: u64, bytes_max: u32) -> io::Result<Head> {
    // What is kept on the disk may say anything.
    let bytes_max = (bytes_max as usize).min(BEFORE_BYTES_MAX);
    let before = bytes_before(file, offset, bytes_max)?;
    if before.is_empty() {
        return Ok(Head::default());
    }
    Ok(Head {
        bytes: before.len() as u32,
        hash: xxh3_64(&before),
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

    proptest::proptest! {
        /// Whatever bytes are written, in whatever pieces: every line comes once, in order, cut and readable,
        /// and never more is held than a line may have.
        #[test]
        fn any_bytes_come_as_lines(
            pieces in proptest::collection::vec(
                proptest::collection::vec(proptest::prop_oneof![
                    proptest::prelude::any::<u8>(),
                    proptest::prelude::Just(b'\n'),
                    proptest::prelude::Just(b'\r'),
                ], 0..60),
                0..8,
            ),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            std::fs::write(&path, "").unwrap();
            let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
            let mut got = Vec::new();
            for piece in &pieces {
                let file = File::options().append(true).open(&path);
                file.unwrap().write_all(piece).unwrap();
                got.extend(read(&mut follower).1);
                proptest::prop_assert!(follower.partial.len() <= LINE_BYTES_MAX);
            }
            let all = pieces.concat();
            let whole = all.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &all[..end]);
            let expected = whole.split(|byte| *byte == b'\n').map(|line| {
                let kept = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
                let cut = if line.len() > LINE_BYTES_MAX { "…" } else { "" };
                format!("{}{cut}", kept.trim_end_matches('\r'))
            });
            // A line without a byte is none.
            let expected: Vec<String> = expected.filter(|line| !line.is_empty()).collect();
            got.retain(|line| !line.is_empty());
            proptest::prop_assert_eq!(got, expected);
        }
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
    fn a_file_emptied_and_grown_beyond_where_we_were_is_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let cases = [
            ("1 first\n2 second\n", "3 third\n4 fourth\n5 fifth\n"),
            // As long as it was, and with the same beginning.
            ("head\n1\n", "head\n2\n"),
            ("head\n1 2 3", "head\n2\n3\n4 5 6\n"),
        ];
        for (before, after) in cases {
            std::fs::write(&path, before).unwrap();
            let mut follower = Follower::open(&path, Begin::Start, 80).unwrap();
            read(&mut follower);
            // What a clock of coarse steps would not show.
            follower.seen = None;
            std::fs::write(&path, after).unwrap();
            let (turn, got) = read(&mut follower);
            let expected: Vec<&str> = before.split('\n').next_back().into_iter().collect();
            let expected = expected.into_iter().filter(|partial| !partial.is_empty());
            let expected: Vec<&str> = expected.chain(after.lines()).collect();
            assert_eq!((turn, got), (Turn::Read, lines(&expected)));
            assert_eq!(follower.take_lost_bytes(), 0, "all of it was read");
            assert!(follower.take_emptied());
            // What is added to what was read is no other file.
            append(&path, "more\n");
            assert_eq!(read(&mut follower), (Turn::Read, lines(&["more"])));
            assert!(!follower.take_emptied());
        }
    }

    #[test]
    fn a_writer_that_goes_on_behind_a_hole_is_followed_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "1\n2\n").unwrap();
        let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
        read(&mut follower);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        file.write_all_at(b"3\n", 4).unwrap();
        follower.seen = None;
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["3"])));
        file.write_all_at(b"4\n", 6).unwrap();
        follower.seen = None;
        assert_eq!(read(&mut follower), (Turn::Read, lines(&["4"])));
        assert!(!follower.take_emptied());
    }

    #[test]
    fn a_file_emptied_since_its_length_was_looked_at_has_no_hole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        for rest in [&b""[..], b"\0"] {
            std::fs::write(&path, "1\n2\n").unwrap();
            let mut follower = Follower::open(&path, Begin::Start, LINE_BYTES_MAX).unwrap();
            read(&mut follower);
            std::fs::write(&path, rest).unwrap();
            let looked_at = (4, SystemTime::UNIX_EPOCH);
            assert!(follower.is_written_anew(looked_at).unwrap());
            assert_eq!(follower.before, b"1\n2\n");
        }
    }

    #[test]
    fn what_was_seen_and_emptied_before_it_was_read_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let line = "x".repeat(999) + "\n";
        std::fs::write(&path, line.repeat(400)).unwrap();
        let mut follower = Follower::open(&path, Begin::Start, 2_000).unwrap();
        let (_, got) = read(&mut follower);
        let read_bytes = TURN_BYTES_MAX as u64;
        assert_eq!(got.len() as u64, read_bytes / 1_000);
        std::fs::write(&path, "anew\n").unwrap();
        // What was read of the line that was begun is given as it is.
        assert_eq!(read(&mut follower).1.last().unwrap(), "anew");
        assert_eq!(follower.take_lost_bytes(), 400_000 - read_bytes);
        assert_eq!(follower.take_lost_bytes(), 0);
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
        // The same beginning, longer than a fingerprint of it, and other lines after that.
        let banner = "=".repeat(HEAD_BYTES_MAX) + "\n";
        std::fs::write(&path, format!("{banner}1 one\n2 two\n")).unwrap();
        let mut follower = Follower::open(&path, Begin::Start, 1_000).unwrap();
        read(&mut follower);
        let place = follower.place(None).unwrap();
        assert_eq!(resumed(&place), Some(lines(&[])));
        std::fs::write(&path, format!("{banner}3 one\n4 two\n5 three\n")).unwrap();
        assert_eq!(resumed(&place), None, "emptied and grown again");
        let unknown = Place {
            before: Head::default(),
            ..place
        };
        assert_eq!(
            resumed(&unknown),
            Some(lines(&["5 three"])),
            "as the version before"
        );
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
