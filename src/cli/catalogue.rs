//! Reads the Backstage catalogues that the config names, and joins them with it.
//!
//! Links to other folders are not followed, so that a search always ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{Catalogue, Config};
use crate::model::counted;

/// How deep a folder is searched: repositories keep the file near their root.
const DEPTH_MAX: usize = 8;
/// Most files read.
const FILES_MAX: usize = 10_000;
/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What is told of errors that are none any more, while the daemon knows what it knew at its start.
const PUT_RIGHT: &str =
    "put right on the disk: what it says now takes effect at the next start of the daemon";
/// What Backstage calls the file.
const NAMES: [&str; 2] = ["catalog-info.yaml", "catalog-info.yml"];

/// What catalogues gave, and what of them could not be used.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Entities taken.
    pub entities: usize,
    /// What could not be read or understood, one sentence each. Other teams write these files: the
    /// rest is used without them.
    pub refused: Vec<String>,
}

/// Catalogues of which something was left out when the daemon started: what of them is still wrong on the disk. What the daemon
/// knows does not change meanwhile.
#[derive(Debug)]
pub(super) struct Watch {
    config: Config,
    /// How much was left out at the start.
    left_out: usize,
    seen: Stamps,
    refused: Vec<String>,
}

/// The files, each with its time and length; `None` of one that cannot be looked at.
type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

impl Watch {
    /// Of what `refused` was left out just now.
    pub(super) fn new(config: &Config, refused: Vec<String>) -> Self {
        Self {
            config: config.clone(),
            left_out: refused.len(),
            seen: stamps(config),
            refused,
        }
    }

    /// Whether anything was left out at the start.
    pub(super) const fn is_needed(&self) -> bool {
        self.left_out > 0
    }

    /// What is to be told now. Files are read again only once one of them has changed.
    pub(super) fn look(&mut self) -> Vec<String> {
        let stamps = stamps(&self.config);
        if self.seen != stamps {
            self.seen = stamps;
            self.refused = with_catalogue(self.config.clone()).1.refused;
        }
        let mut told = self.refused.clone();
        let mended = self.left_out.saturating_sub(told.len());
        if mended > 0 {
            let (one, many) = ("error of the catalogue is", "errors of the catalogue are");
            let mended = counted(mended as u64, one, many);
            told.push(format!("{mended} {PUT_RIGHT}"));
        }
        told
    }
}

fn stamps(config: &Config) -> Stamps {
    let named = config.catalogue.iter();
    // What cannot be searched is told when it is read.
    let files = named.flat_map(|named| files(named, &mut Vec::new()));
    let stamp = |file: PathBuf| {
        let about = fs::metadata(&file).ok();
        let stamp = about.and_then(|about| Some((about.modified().ok()?, about.len())));
        (file, stamp)
    };
    files.map(stamp).collect()
}

/// The config with what its catalogues say.
pub(super) fn with_catalogue(mut config: Config) -> (Config, Taken) {
    let mut catalogue = Catalogue::default();
    let mut taken = Taken::default();
    for named in &config.catalogue {
        for file in files(named, &mut taken.refused) {
            match read(&file) {
                Ok(text) => {
                    let added = catalogue.add(&text, &file.display().to_string());
                    taken.entities += added.taken;
                    let refused = added.refused.iter().map(ToString::to_string);
                    taken.refused.extend(refused);
                }
                Err(error) => taken.refused.push(unreadable(&file, &error)),
            }
        }
    }
    catalogue.join(&mut config.engine);
    (config, taken)
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    format!("cannot read {path} (`catalogue`): {error}")
}

/// The file itself, or the catalogue files below a folder, in order of path.
fn files(named: &Path, refused: &mut Vec<String>) -> Vec<PathBuf> {
    match fs::metadata(named) {
        Ok(about) if about.is_dir() => {}
        Ok(_) => return vec![named.to_owned()],
        Err(error) => {
            refused.push(unreadable(named, &error));
            return Vec::new();
        }
    }
    let mut found = Vec::new();
    let mut folders = vec![(named.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                refused.push(unreadable(&folder, &error));
                continue;
            }
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && NAMES.iter().any(|name| entry.file_name() == *name) {
                found.push(entry.path());
            }
        }
    }
    let shown = named.display();
    if found.is_empty() {
        refused.push(format!("no {} below {shown} (`catalogue`)", NAMES[0]));
    }
    if found.len() > FILES_MAX {
        refused.push(format!(
            "more than {FILES_MAX} catalogue files below {shown} (`catalogue`): the rest is left out"
        ));
    }
    found.sort();
    found.truncate(FILES_MAX);
    found
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        let why = format!("it is larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(named: &Path) -> Config {
        Config {
            catalogue: vec![named.to_owned()],
            ..Config::default()
        }
    }

    #[test]
    fn folders_are_searched_and_files_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, name: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(
                path,
                format!("kind: Component\nmetadata: {{ name: {name} }}\n"),
            )
            .unwrap();
        };
        write("cart/catalog-info.yaml", "cart");
        write("deep/er/catalog-info.yml", "search");
        write("cart/other.yaml", "left-out");
        // A folder that holds itself would never end.
        std::os::unix::fs::symlink(folder.path(), folder.path().join("deep/loop")).unwrap();

        let names = |config: &Config| -> Vec<String> {
            let entities = config.engine.entities.iter();
            entities.map(|entity| entity.name.clone()).collect()
        };
        let (read, taken) = with_catalogue(config(folder.path()));
        assert_eq!(names(&read), ["service/cart", "service/search"]);
        assert_eq!((taken.entities, taken.refused), (2, Vec::new()));
        let (read, _) = with_catalogue(config(&folder.path().join("cart/other.yaml")));
        assert_eq!(names(&read), ["service/left-out"]);

        // One bad file costs itself only.
        fs::write(folder.path().join("cart/catalog-info.yaml"), "kind: [").unwrap();
        let (read, taken) = with_catalogue(config(folder.path()));
        assert_eq!(names(&read), ["service/search"]);
        assert_eq!(taken.refused.len(), 1);
        assert!(taken.refused[0].contains("catalog-info.yaml:1: "));
    }

    #[test]
    fn what_is_put_right_is_told_until_it_is_taken_and_nothing_is_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog-info.yaml");
        fs::write(&file, "kind: [").unwrap();
        let config = config(folder.path());
        let mut watch = Watch::new(&config, with_catalogue(config.clone()).1.refused);
        let wrong = watch.look();
        assert!(watch.is_needed() && wrong.len() == 1, "{wrong:?}");
        // Of the same length and time: nobody looks into it.
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let good = "kind: Component\nmetadata: { name: cart }\n";
        fs::write(&file, &good[..7]).unwrap();
        let touch = |at| {
            fs::File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(at)
        };
        touch(written).unwrap();
        assert_eq!(watch.look(), wrong);
        fs::write(&file, good).unwrap();
        let told = watch.look();
        assert_eq!(told, [format!("1 error of the catalogue is {PUT_RIGHT}")]);
        assert_eq!(watch.look(), told, "until then");
        fs::write(&file, "kind: [").unwrap();
        assert_eq!(watch.look(), wrong);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let says = |named: &Path| with_catalogue(config(named)).1.refused.join("; ");
        assert!(says(folder.path()).starts_with("no catalog-info.yaml below "));
        assert!(says(&folder.path().join("nowhere")).contains("(`catalogue`): "));
        let huge = folder.path().join("huge.yaml");
        fs::write(&huge, " ".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
        assert!(says(&huge).contains("larger than"));
    }
}
