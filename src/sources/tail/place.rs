//! Where we are in each file, kept over a restart.
//!
//! One small JSON file for each `[[sources.tail]]`, replaced as a whole. A file is known again by its
//! number and by how it begins, never by its name alone: names are reused by rotation.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::TailConfig;

/// Version of the format that is written.
const VERSION: u32 = 3;
/// The oldest one that is read: it knew no `is_over`, and like the second no `before`.
const VERSION_MIN: u32 = 1;
/// Largest file of places that is read, in bytes: a thousand files with the longest of names.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Its folder, in the data folder.
const FOLDER: &str = "tail";

/// Which file stands behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The first bytes of a file: another one under the same number is not taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// How many.
    pub(super) bytes: u32,
    /// Their hash.
    pub(super) hash: u64,
}

/// How far a file was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) id: FileId,
    pub(super) head: Head,
    /// Where the first line begins that was not handed over.
    pub(super) offset: u64,
    /// The last bytes before that: a file that was emptied and grew beyond it again is not taken for what
    /// was read.
    #[serde(default)]
    pub(super) before: Head,
    /// All of it was handed over and kept, to its end, and nothing has its path any more, or another
    /// file has: nothing is missed when it is gone.
    #[serde(default)]
    pub(super) is_over: bool,
}

impl Place {
    /// At the beginning of a file that was emptied.
    pub(super) const fn anew(id: FileId) -> Self {
        const NONE: Head = Head { bytes: 0, hash: 0 };
        Self {
            id,
            head: NONE,
            offset: 0,
            before: NONE,
            is_over: false,
        }
    }
}

/// The file of places as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    /// The patterns, for whoever reads it.
    patterns: Vec<String>,
    files: BTreeMap<String, Place>,
}

/// The places of one `[[sources.tail]]` on the disk.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    patterns: Vec<String>,
}

impl Places {
    /// In the data folder, under a name made from the patterns: others are another source.
    pub(super) fn new(data_dir: &Path, config: &TailConfig) -> Self {
        let name = xxh3_64(config.paths.join("\0").as_bytes());
        Self {
            path: data_dir.join(FOLDER).join(format!("{name:016x}.json")),
            patterns: config.paths.clone(),
        }
    }

    /// What an earlier run left; `None` if there was none.
    pub(super) fn read(&self) -> io::Result<Option<BTreeMap<PathBuf, Place>>> {
        let length = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?.len(),
        };
        if length > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("{length} bytes: too long")));
        }
        let written: Written = serde_json::from_slice(&fs::read(&self.path)?)?;
        if !(VERSION_MIN..=VERSION).contains(&written.version) {
            return Err(io::Error::other(format!("version {}", written.version)));
        }
        let files = written.files.into_iter();
        Ok(Some(files.map(|(path, at)| (path.into(), at)).collect()))
    }

    /// Replaces what is kept: the old or the new places are there after a crash, never half of them.
    pub(super) fn write(&self, places: &BTreeMap<PathBuf, Place>) -> io::Result<()> {
        // A name that is not UTF-8 cannot be written as JSON: its file begins anew as the config says.
        let named = places.iter();
        let files = named.filter_map(|(path, at)| Some((path.to_str()?.to_owned(), *at)));
        let written = Written {
            version: VERSION,
            patterns: self.patterns.clone(),
            files: files.collect(),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec_pretty(&written)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)
    }

    /// Where they are, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(folder: &Path) -> Places {
        let config = toml::from_str("paths = [\"/var/log/*.log\"]").unwrap();
        Places::new(folder, &config)
    }

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        assert_eq!(places.read().unwrap(), None);
        let id = FileId {
            device: 7,
            inode: u64::MAX,
        };
        let head = Head {
            bytes: 256,
            hash: u64::MAX,
        };
        let offset = 1 << 40;
        let place = Place {
            id,
            head,
            offset,
            before: Head { bytes: 3, hash: 9 },
            is_over: true,
        };
        let kept = BTreeMap::from([("/var/log/a.log".into(), place)]);
        places.write(&kept).unwrap();
        assert_eq!(places.read().unwrap(), Some(kept));
        let text = fs::read_to_string(places.path()).unwrap();
        for (bad, why) in [
            (
                text.replace("\"version\": 3", "\"version\": 4"),
                "version 4",
            ),
            (text[..text.len() / 2].to_owned(), "EOF while parsing"),
        ] {
            fs::write(places.path(), bad).unwrap();
            let error = places.read().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    /// As version 1 wrote it.
    const OF_VERSION_1: &str = r#"{"version": 1, "patterns": ["/var/log/*.log"],
        "files": {"/var/log/a.log": {"id": {"device": 65024, "inode": 1311},
        "head": {"bytes": 256, "hash": 1234567890}, "offset": 88123}}}"#;

    #[test]
    fn what_former_versions_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        fs::create_dir_all(places.path().parent().unwrap()).unwrap();
        fs::write(places.path(), OF_VERSION_1).unwrap();
        let place = Place {
            id: FileId {
                device: 65_024,
                inode: 1_311,
            },
            head: Head {
                bytes: 256,
                hash: 1_234_567_890,
            },
            offset: 88_123,
            before: Head::default(),
            is_over: false,
        };
        let expected = Some(BTreeMap::from([("/var/log/a.log".into(), place)]));
        assert_eq!(places.read().unwrap(), expected);
        let over = OF_VERSION_1.replace("\"version\": 1", "\"version\": 2");
        let over = over.replace("88123}", "88123, \"is_over\": true}");
        fs::write(places.path(), over).unwrap();
        let place = Place {
            is_over: true,
            ..place
        };
        let expected = Some(BTreeMap::from([("/var/log/a.log".into(), place)]));
        assert_eq!(places.read().unwrap(), expected);
    }
}
