//! Reads the Backstage catalogues that the config names, and joins them with it.
//!
//! Links to other folders are not followed, so that a search always ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::output::Failure;
use crate::config::{Catalogue, Config};

/// How deep a folder is searched: repositories keep the file near their root.
const DEPTH_MAX: usize = 8;
/// Most files read.
const FILES_MAX: usize = 10_000;
/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What Backstage calls the file.
const NAMES: [&str; 2] = ["catalog-info.yaml", "catalog-info.yml"];

/// The config with what its catalogues say, and how many entities they gave.
pub(super) fn with_catalogue(mut config: Config) -> Result<(Config, usize), Failure> {
    let mut catalogue = Catalogue::default();
    let mut taken = 0;
    for named in &config.catalogue {
        for file in files(named)? {
            let shown = file.display().to_string();
            let text = read(&file).map_err(|error| unreadable(&file, &error))?;
            taken += catalogue
                .add(&text, &shown)
                .map_err(|error| Failure::usage(error.to_string()))?;
        }
    }
    catalogue.join(&mut config.engine);
    Ok((config, taken))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let path = path.display();
    Failure::usage(format!("cannot read {path} (`catalogue`): {error}"))
}

/// The file itself, or the catalogue files below a folder, in order of path.
fn files(named: &Path) -> Result<Vec<PathBuf>, Failure> {
    let about = fs::metadata(named).map_err(|error| unreadable(named, &error))?;
    if !about.is_dir() {
        return Ok(vec![named.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![(named.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let kind = entry
                .file_type()
                .map_err(|error| unreadable(&entry.path(), &error))?;
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && NAMES.iter().any(|name| entry.file_name() == *name) {
                found.push(entry.path());
            }
        }
        if found.len() > FILES_MAX {
            let named = named.display();
            return Err(Failure::usage(format!(
                "more than {FILES_MAX} catalogue files below {named} (`catalogue`): name fewer folders"
            )));
        }
    }
    if found.is_empty() {
        let named = named.display();
        return Err(Failure::usage(format!(
            "no {} below {named} (`catalogue`)",
            NAMES[0]
        )));
    }
    found.sort();
    Ok(found)
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
        let (read, taken) = with_catalogue(config(folder.path())).unwrap();
        assert_eq!(names(&read), ["service/cart", "service/search"]);
        assert_eq!(taken, 2);
        let (read, _) = with_catalogue(config(&folder.path().join("cart/other.yaml"))).unwrap();
        assert_eq!(names(&read), ["service/left-out"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let says = |named: &Path| {
            let failure = with_catalogue(config(named)).unwrap_err();
            format!("{failure:?}")
        };
        assert!(says(folder.path()).contains("no catalog-info.yaml below "));
        assert!(says(&folder.path().join("nowhere")).contains("(`catalogue`): "));
        let huge = folder.path().join("huge.yaml");
        fs::write(&huge, " ".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
        assert!(says(&huge).contains("larger than"));
    }
}
