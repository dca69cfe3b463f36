//! Reads the Backstage catalogues that the config names, and joins them with it.
//!
//! Links to other folders are not followed, so that a search always ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::{Catalogue, Config};

/// How deep a folder is searched: repositories keep the file near their root.
const DEPTH_MAX: usize = 8;
/// Most files read.
const FILES_MAX: usize = 10_000;
/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
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
