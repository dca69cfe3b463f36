//! One recording on disk: a header, then compressed frames, each with its length and checksum.
//!
//! A segment needs no other: everything a frame refers to was told earlier in the same file. What
//! follows the last whole frame is an append that did not finish, and is left alone.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::FRAME_BYTES;
use super::beginning::{Beginning, Told};
use super::decode::Decoder;
use super::encode::Encoder;
use crate::config::EngineConfig;
use crate::model::{Runbook, Stamped, Time};

/// First bytes of every segment.
const MAGIC: &[u8; 8] = b"STORMREC";
/// Version of the format: changes when an older reader would misread.
const VERSION: u32 = 5;
/// The oldest version still read: it does not tell what a daemon began from.
const VERSION_MIN: u32 = 1;
/// Bytes before the header: what the file is, its version, and how long the header is.
const HEAD_BYTES: usize = MAGIC.len() + 8;
/// Longest header, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Largest frame as it is in memory, in bytes; the encoder flushes long before.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// Bytes before each frame: compressed length, length, checksum.
const FRAME_HEAD_BYTES: usize = 16;
/// Compression is cheap rather than tight: columns have done most of the work.
const LEVEL: u32 = 4;

/// What a segment says of itself: enough to replay it elsewhere with the same result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of Stormglass that wrote it.
    pub made_by: String,
    /// Name of the environment.
    pub environment: String,
    /// Time of the first input.
    pub from: Time,
    /// Whether values of labels and texts were made unreadable.
    pub redacted: bool,
    /// Settings of the engine that saw the inputs.
    pub engine: EngineConfig,
    /// Runbooks it had.
    pub runbooks: Vec<Runbook>,
}

/// Why a recording cannot be read.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The operating system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a recording", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
    },
    /// It ends within its header, as one does whose writer was killed when it began: nothing of it can be read.
    #[error("{} breaks off within its header: nothing of its {bytes} bytes can be read", path.display())]
    Headless {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Another version wrote it.
    #[error("{} is of format {found}; this version reads {VERSION_MIN} to {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It was changed or damaged.
    #[error("{}: damaged at byte {at}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the frame begins.
        at: u64,
        /// What is wrong.
        why: String,
    },
}

/// Writes one segment.
#[derive(Debug)]
pub struct SegmentWriter<W> {
    out: W,
    encoder: Encoder,
    deflate: Compress,
    bytes: u64,
}

/// Reads one segment, frame by frame.
#[derive(Debug)]
pub struct SegmentReader {
    path: PathBuf,
    file: BufReader<File>,
    header: Header,
    decoder: Decoder,
    inflate: Decompress,
    at: u64,
    torn_bytes: u64,
    version: u32,
}

impl<W: Write> SegmentWriter<W> {
    /// Writes the header.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let json = serde_json::to_vec(header)?;
        let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&json)?;
        let json = packed.finish()?;
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&(json.len() as u32).to_le_bytes())?;
        out.write_all(&json)?;
        Ok(Self {
            out,
            encoder: Encoder::default(),
            deflate: Compress::new(Compression::new(LEVEL), false),
            bytes: (HEAD_BYTES + json.len()) as u64,
        })
    }

    /// Puts an input into the frame in progress.
    pub fn put(&mut self, stamped: &Stamped) {
        self.encoder.put(stamped);
    }

    /// Puts what a daemon begins from, before its first input.
    pub fn begin(&mut self, beginning: &Beginning) -> io::Result<()> {
        self.encoder.begin(&beginning.head());
        for part in beginning.learned.iter().flat_map(|l| &l.parts) {
            self.encoder.part(part);
            self.flush_large()?;
        }
        for record in &beginning.records {
            self.encoder.record(record);
            self.flush_large()?;
        }
        Ok(())
    }

    fn flush_large(&mut self) -> io::Result<()> {
        if self.pending() >= FRAME_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Bytes of the frame in progress, as they are in memory.
    pub fn pending(&self) -> usize {
        self.encoder.len()
    }

    /// Bytes written.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Samples put.
    pub const fn samples(&self) -> u64 {
        self.encoder.samples()
    }

    /// Series, label sets and names told so far: what bounds the memory of a segment.
    pub fn told(&self) -> usize {
        self.encoder.told()
    }

    /// Writes the frame in progress, if there is anything in it.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.encoder.is_empty() {
            return Ok(());
        }
        let frame = self.encoder.take_frame();
        let mut packed = Vec::with_capacity(frame.len() / 2 + 64);
        let begin = self.deflate.total_in();
        loop {
            let eaten = (self.deflate.total_in() - begin) as usize;
            packed.reserve(1 << 12);
            self.deflate
                .compress_vec(&frame[eaten..], &mut packed, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            let all = (self.deflate.total_in() - begin) as usize == frame.len();
            // Room left over says that the flush itself was written too.
            if all && packed.len() < packed.capacity() {
                break;
            }
        }
        let mut head = [0; FRAME_HEAD_BYTES];
        head[..4].copy_from_slice(&(packed.len() as u32).to_le_bytes());
        head[4..8].copy_from_slice(&(frame.len() as u32).to_le_bytes());
        head[8..].copy_from_slice(&xxh3_64(&packed).to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(&packed)?;
        self.out.flush()?;
        self.bytes += (FRAME_HEAD_BYTES + packed.len()) as u64;
        Ok(())
    }

    /// Where it writes.
    pub const fn out(&self) -> &W {
        &self.out
    }

    /// Hands the header, and all that was written, over to where it writes.
    pub fn hand_over(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Gives what it writes to back; the frame in progress is lost.
    pub fn abandon(self) -> W {
        self.out
    }

    /// Writes what is left and gives the file back.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}

impl SegmentReader {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let io = |source| RecordingError::Io {
            path: path.to_owned(),
            source,
        };
        let not_one = || RecordingError::NotOne {
            path: path.to_owned(),
        };
        let headless = |bytes: usize| RecordingError::Headless {
            path: path.to_owned(),
            bytes: bytes as u64,
        };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        let read = (&mut file).take(HEAD_BYTES as u64).read_to_end(&mut head);
        read.map_err(io)?;
        let magic = &head[..head.len().min(MAGIC.len())];
        if !MAGIC.starts_with(magic) {
            return Err(not_one());
        }
        let Some(rest) = head.get(MAGIC.len()..HEAD_BYTES) else {
            return Err(headless(head.len()));
        };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
        let (found, len) = (number(&rest[..4]), number(&rest[4..]) as usize);
        if !(VERSION_MIN..=VERSION).contains(&found) {
            let path = path.to_owned();
            return Err(RecordingError::Version { path, found });
        }
        if len > HEADER_BYTES_MAX {
            return Err(not_one());
        }
        let mut packed = Vec::new();
        let read = (&mut file).take(len as u64).read_to_end(&mut packed);
        read.map_err(io)?;
        if packed.len() < len {
            return Err(headless(HEAD_BYTES + packed.len()));
        }
        let mut json = Vec::new();
        ZlibDecoder::new(&*packed)
            .take(HEADER_BYTES_MAX as u64)
            .read_to_end(&mut json)
            .map_err(|_| not_one())?;
        let header = serde_json::from_slice(&json).map_err(|error| RecordingError::Damaged {
            path: path.to_owned(),
            at: HEAD_BYTES as u64,
            why: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            decoder: Decoder::default(),
            inflate: Decompress::new(false),
            at: (HEAD_BYTES + len) as u64,
            torn_bytes: 0,
            version: found,
        })
    }

    /// What it says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Bytes after the last whole frame: an append that did not finish.
    pub const fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Whether a start of a daemon says what it began from.
    pub(super) const fn tells_beginnings(&self) -> bool {
        self.version > VERSION_MIN
    }

    /// What the next frame tells; `None` at the end.
    pub(super) fn next_frame(&mut self) -> Result<Option<Vec<Told>>, RecordingError> {
        let Some((packed, len)) = self.packed()? else {
            return Ok(None);
        };
        let frame = self.unpack(&packed, len)?;
        let told = self.decoder.frame(&frame);
        let told = told.map_err(|error| self.damaged(error.to_string()))?;
        self.at += (FRAME_HEAD_BYTES + packed.len()) as u64;
        Ok(Some(told))
    }

    /// The next frame as it is on disk, and its length unpacked; `None` at the end.
    fn packed(&mut self) -> Result<Option<(Vec<u8>, usize)>, RecordingError> {
        let mut head = Vec::with_capacity(FRAME_HEAD_BYTES);
        self.fill(&mut head, FRAME_HEAD_BYTES)?;
        if head.len() < FRAME_HEAD_BYTES {
            self.torn_bytes = head.len() as u64;
            return Ok(None);
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let (packed_len, len) = (number(&head[..4]) as usize, number(&head[4..8]) as usize);
        if len > FRAME_BYTES_MAX || packed_len > FRAME_BYTES_MAX {
            return Err(self.damaged("a frame is larger than any that is written".to_owned()));
        }
        let mut packed = Vec::new();
        self.fill(&mut packed, packed_len)?;
        if packed.len() < packed_len {
            self.torn_bytes = (FRAME_HEAD_BYTES + packed.len()) as u64;
            return Ok(None);
        }
        if xxh3_64(&packed) != number(&head[8..]) {
            return Err(self.damaged("the checksum does not match".to_owned()));
        }
        Ok(Some((packed, len)))
    }

    /// At most `len` bytes: fewer when the file ends.
    fn fill(&mut self, to: &mut Vec<u8>, len: usize) -> Result<(), RecordingError> {
        let read = (&mut self.file).take(len as u64).read_to_end(to);
        read.map(|_| ()).map_err(|source| RecordingError::Io {
            path: self.path.clone(),
            source,
        })
    }

    fn unpack(&mut self, packed: &[u8], len: usize) -> Result<Vec<u8>, RecordingError> {
        let mut frame = Vec::with_capacity(len);
        let begin = self.inflate.total_in();
        // It can give no more than the room made for it, however it was packed.
        let done = self
            .inflate
            .decompress_vec(packed, &mut frame, FlushDecompress::Sync);
        if let Err(error) = done {
            return Err(self.damaged(error.to_string()));
        }
        let eaten = (self.inflate.total_in() - begin) as usize;
        if frame.len() != len || eaten != packed.len() {
            return Err(self.damaged("it unpacks to another length than it says".to_owned()));
        }
        Ok(frame)
    }

    fn damaged(&self, why: String) -> RecordingError {
        RecordingError::Damaged {
            path: self.path.clone(),
            at: self.at,
            why,
        }
    }
}
