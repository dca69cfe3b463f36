//! The end of the journal, noted in a small file beside it: `FILE.head`, one line, written in place.
//!
//! It may lag behind the journal after a crash and is then caught up; it never runs ahead, because it
//! is written after the lines it speaks of are durable.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::chain::genesis;

/// Digits of the line count: fixed, so that the line is always overwritten as a whole.
const COUNT_DIGITS: usize = 20;
/// `COUNT HASH\n`
const FILE_BYTES: usize = COUNT_DIGITS + 1 + 64 + 1;

/// How many lines a journal has, and the hash of the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Lines.
    pub lines: u64,
    /// SHA-256, in hex, of the last line; of the format's name when there is none.
    pub hash: String,
}

impl Default for Head {
    /// Of an empty journal.
    fn default() -> Self {
        Self {
            lines: 0,
            hash: genesis(),
        }
    }
}

impl Head {
    /// Reads it as `FILE.head` says it: `LINES HASH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (lines, hash) = text.trim().split_once(' ')?;
        let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then_some(())?;
        Some(Self {
            lines: lines.parse().ok()?,
            hash: hash.to_owned(),
        })
    }
}

/// `FILE.head`, open.
#[derive(Debug)]
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Of the journal at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let path = beside(path);
        let named = |error: io::Error| {
            let why = format!("{} beside it: {error}", path.display());
            io::Error::new(error.kind(), why)
        };
        options.open(&path).map(Self).map_err(named)
    }

    /// What is noted; `None` when nothing is, or nothing that can be read.
    pub fn read(&self) -> Option<Head> {
        let mut bytes = [0; FILE_BYTES];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        Head::parse(std::str::from_utf8(&bytes).ok()?)
    }

    /// Takes away what cannot be read.
    pub fn clear(&self) -> io::Result<()> {
        self.0.set_len(0)
    }

    /// Notes the end.
    pub fn write(&self, head: &Head) -> io::Result<()> {
        let text = format!("{:0COUNT_DIGITS$} {}\n", head.lines, head.hash);
        self.0.write_all_at(text.as_bytes(), 0)
    }
}

/// What is noted beside the journal at `path`.
pub(super) fn read_beside(path: &Path) -> Option<Head> {
    Head::parse(&std::fs::read_to_string(beside(path)).ok()?)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head");
    PathBuf::from(name)
}
