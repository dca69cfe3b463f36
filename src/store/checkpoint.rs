//! The checkpoint: what the engine learned, in one file that is whole or not there.
//!
//! The engine's parts are opaque here. A checkpoint is written beside its place and moved there once
//! it is durable; whatever is not exactly as it was written is refused. `docs/formats.md` draws it.
//! It is never needed: without it everything warms up again.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Time;

/// Name of the file in the data folder.
pub const CHECKPOINT_FILE: &str = "checkpoint";
/// First bytes: name and version of the file's own format.
const MAGIC: &[u8; 24] = b"stormglass checkpoint 1\n";
/// Longest part, in bytes.
const PART_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Longest file, in bytes: about half a million series.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// What was written is made durable in pieces of about this many bytes, so that the disk is never kept busy for
/// long: decisions wait for it.
const SYNC_BYTES: u64 = 8 * 1024 * 1024;
/// Length that ends the file; no part is as long.
const END: u32 = u32::MAX;

/// A checkpoint, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Version of the parts, for the engine to judge.
    pub version: u32,
    /// Engine time at which it was begun.
    pub at: Time,
    /// The parts, in order.
    pub parts: Vec<Vec<u8>>,
}

/// Writes a checkpoint, part by part. Dropped before [`Self::finish`], the one before stays, and nothing of this
/// one takes room on the disk.
#[derive(Debug)]
pub struct CheckpointWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    parts: u32,
    bytes: u64,
    /// Bytes that were not made durable yet.
    unsynced_bytes: u64,
    is_in_place: bool,
}

/// Why a checkpoint cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointFileError {
    /// The operating system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// More was learned than a checkpoint holds.
    #[error("more was learned than the {FILE_BYTES_MAX} bytes of a checkpoint hold")]
    TooLong,
}

impl CheckpointWriter {
    /// Begins a checkpoint in `folder`.
    pub fn create(folder: &Path, version: u32, at: Time) -> Result<Self, CheckpointFileError> {
        let fail = io_error(draft(folder));
        let mut file = BufWriter::new(File::create(draft(folder)).map_err(&fail)?);
        let mut header = MAGIC.to_vec();
        header.extend(version.to_le_bytes());
        header.extend(at.ms().to_le_bytes());
        file.write_all(&header).map_err(&fail)?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            parts: 0,
            bytes: header.len() as u64,
            unsynced_bytes: 0,
            is_in_place: false,
        })
    }

    /// Adds a part.
    pub fn part(&mut self, part: &[u8]) -> Result<(), CheckpointFileError> {
        self.bytes += part.len() as u64 + 12;
        if part.len() > PART_BYTES_MAX || self.bytes > FILE_BYTES_MAX {
            return Err(CheckpointFileError::TooLong);
        }
        self.parts += 1;
        let file = &mut self.file;
        file.write_all(&(part.len() as u32).to_le_bytes())
            .and_then(|()| file.write_all(&xxh3_64(part).to_le_bytes()))
            .and_then(|()| file.write_all(part))
            .and_then(|()| {
                self.unsynced_bytes += part.len() as u64;
                if self.unsynced_bytes < SYNC_BYTES {
                    return Ok(());
                }
                self.unsynced_bytes = 0;
                file.flush().and_then(|()| file.get_ref().sync_data())
            })
            .map_err(io_error(draft(&self.folder)))
    }

    /// Makes it durable and puts it in its place; gives its length in bytes.
    pub fn finish(mut self) -> Result<u64, CheckpointFileError> {
        let end = [END.to_le_bytes(), self.parts.to_le_bytes()].concat();
        let place = self.folder.join(CHECKPOINT_FILE);
        self.file
            .write_all(&end)
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all())
            .and_then(|()| fs::rename(draft(&self.folder), &place))
            .map_err(io_error(place.clone()))?;
        self.is_in_place = true;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(place))?;
        Ok(self.bytes + end.len() as u64)
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if !self.is_in_place {
            // One that cannot be removed is written over by the next.
            let _ = fs::remove_file(draft(&self.folder));
        }
    }
}

/// Reads the checkpoint in `folder`; `None` when there is none.
pub fn read(folder: &Path) -> Result<Option<Checkpoint>, CheckpointFileError> {
    let path = folder.join(CHECKPOINT_FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointFileError::Io { path, source }),
    };
    let mut left = Rest {
        file: BufReader::new(file),
        path,
    };
    if left.take::<24>()? != *MAGIC {
        return Err(CheckpointFileError::Damaged("it begins otherwise"));
    }
    let version = u32::from_le_bytes(left.take()?);
    let at = Time::from_ms(i64::from_le_bytes(left.take()?));
    let mut parts = Vec::new();
    loop {
        let length = u32::from_le_bytes(left.take()?);
        if length == END {
            break;
        }
        let sum = u64::from_le_bytes(left.take()?);
        let part = left.take_long(length as usize)?;
        if xxh3_64(&part) != sum {
            return Err(CheckpointFileError::Damaged("a part is not as written"));
        }
        parts.push(part);
    }
    if u32::from_le_bytes(left.take()?) as usize != parts.len() {
        return Err(CheckpointFileError::Damaged("parts are missing"));
    }
    Ok(Some(Checkpoint { version, at, parts }))
}

/// What is still to be read.
struct Rest {
    file: BufReader<File>,
    path: PathBuf,
}

impl Rest {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], CheckpointFileError> {
        let mut bytes = [0; N];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(|error| self.ended(error))?;
        Ok(bytes)
    }

    /// A damaged length must not reserve memory: bytes are taken as far as there are any.
    fn take_long(&mut self, length: usize) -> Result<Vec<u8>, CheckpointFileError> {
        if length > PART_BYTES_MAX {
            return Err(CheckpointFileError::Damaged("a part is too long"));
        }
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(length as u64).read_to_end(&mut bytes);
        match read {
            Ok(read) if read == length => Ok(bytes),
            Ok(_) => Err(CheckpointFileError::Damaged("its end is missing")),
            Err(error) => Err(self.ended(error)),
        }
    }

    fn ended(&self, source: io::Error) -> CheckpointFileError {
        match source.kind() {
            ErrorKind::UnexpectedEof => CheckpointFileError::Damaged("its end is missing"),
            _ => io_error(self.path.clone())(source),
        }
    }
}

fn draft(folder: &Path) -> PathBuf {
    folder.join(format!("{CHECKPOINT_FILE}.new"))
}

fn io_error(path: PathBuf) -> impl Fn(io::Error) -> CheckpointFileError {
    move |source| CheckpointFileError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(folder: &Path, parts: &[&[u8]]) {
        let mut writer = CheckpointWriter::create(folder, 7, Time::from_secs(9)).unwrap();
        for part in parts {
            writer.part(part).unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn what_is_written_is_read_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        let long = vec![0; 70_000];
        for parts in [&[b"one" as &[u8], b"", &long][..], &[b"two"], &[]] {
            write(folder.path(), parts);
            // One that is not finished changes nothing.
            let mut cut = CheckpointWriter::create(folder.path(), 8, Time::ZERO).unwrap();
            cut.part(b"never").unwrap();
            drop(cut);
            assert!(!draft(folder.path()).exists(), "it takes no room");
            let expected = Checkpoint {
                version: 7,
                at: Time::from_secs(9),
                parts: parts.iter().map(|part| part.to_vec()).collect(),
            };
            assert_eq!(read(folder.path()).unwrap(), Some(expected));
        }
    }

    proptest! {
        /// Beginnings that are right, so that what follows is read; the sums of any bytes are wrong.
        #[test]
        fn any_bytes_are_refused(
            begins in 0..3_usize,
            length in any::<u32>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut file = MAGIC[..[0, 23, 24][begins]].to_vec();
            if begins == 2 {
                file.extend([0; 12]);
                file.extend(length.min(END - 1).to_le_bytes());
            }
            file.extend(bytes);
            fs::write(folder.path().join(CHECKPOINT_FILE), file).unwrap();
            prop_assert!(read(folder.path()).is_err());
        }
    }

    #[test]
    fn any_changed_or_missing_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[b"one", b"two"]);
        let path = folder.path().join(CHECKPOINT_FILE);
        let whole = fs::read(&path).unwrap();
        let header = MAGIC.len()..MAGIC.len() + 12;
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(folder.path()).is_err(), "cut at byte {at}");
            let mut changed = whole.clone();
            changed[at] ^= 0x40;
            fs::write(&path, &changed).unwrap();
            // Version and time are for the reader to judge.
            assert!(
                read(folder.path()).is_err() || header.contains(&at),
                "byte {at} changed"
            );
        }
    }
}
