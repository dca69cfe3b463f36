//! Paths of a pattern: `*` and `?` within a component, `**` over directories.
//!
//! It visits a bounded number of entries and never follows a link to a directory under `**`, so
//! that a loop of links ends.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most directory entries visited for one pattern.
const ENTRIES_MAX: usize = 100_000;

/// Deepest directory below a `**`.
const DEPTH_MAX: usize = 32;

/// Files that match, in order of path, at most `files_max`.
pub(super) fn files(pattern: &str, files_max: usize) -> Vec<PathBuf> {
    let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let root = if pattern.starts_with('/') { "/" } else { "." };
    let mut walk = Walk {
        found: BTreeSet::new(),
        files_max,
        entries_left: ENTRIES_MAX,
    };
    walk.below(Path::new(root), &parts, DEPTH_MAX);
    walk.found.into_iter().collect()
}

struct Walk {
    found: BTreeSet<PathBuf>,
    files_max: usize,
    entries_left: usize,
}

impl Walk {
    fn below(&mut self, folder: &Path, parts: &[&str], depth_left: usize) {
        let Some((part, rest)) = parts.split_first() else {
            return;
        };
        if *part == "**" {
            self.below(folder, rest, depth_left);
            let Some(depth_left) = depth_left.checked_sub(1) else {
                return;
            };
            for (path, is_folder) in self.entries(folder) {
                if is_folder {
                    self.below(&path, parts, depth_left);
                }
            }
        } else if part.contains(['*', '?']) {
            for (path, _) in self.entries(folder) {
                let name = path.file_name().and_then(|name| name.to_str());
                if name.is_some_and(|name| matches(part.as_bytes(), name.as_bytes())) {
                    self.reached(&path, rest, depth_left);
                }
            }
        } else {
            self.reached(&folder.join(part), rest, depth_left);
        }
    }

    fn reached(&mut self, path: &Path, rest: &[&str], depth_left: usize) {
        if !rest.is_empty() {
            self.below(path, rest, depth_left);
        } else if self.found.len() < self.files_max && path.is_file() {
            self.found.insert(path.to_owned());
        }
    }

    /// Entries of a folder, each with whether it is a folder itself (links are not).
    fn entries(&mut self, folder: &Path) -> Vec<(PathBuf, bool)> {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let entries: Vec<_> = entries
            .flatten()
            .take(self.entries_left)
            .map(|entry| {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                (entry.path(), is_folder)
            })
            .collect();
        self.entries_left -= entries.len();
        entries
    }
}

/// Whether a name fits a pattern of `*`, `?` and plain characters. Linear but for backtracking to
/// the last star.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_patterns() {
        let cases = [
            ("*.log", "a.log", true),
            ("*.log", ".log", true),
            ("*.log", "a.log.1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaybz", true),
            ("*a*b*", "xbya", false),
            ("", "", true),
            ("**", "any", true),
        ];
        for (pattern, name, fits) in cases {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn walks_folders_and_survives_a_loop_of_links() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        for file in ["x.log", "a/y.log", "a/b/z.log", "a/b/z.txt"] {
            std::fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("a/b/loop")).unwrap();
        let found = |pattern: &str, files_max| -> Vec<String> {
            let pattern = format!("{}/{pattern}", root.display());
            let found = files(&pattern, files_max).into_iter();
            found
                .map(|path| path.strip_prefix(root).unwrap().display().to_string())
                .collect()
        };
        assert_eq!(found("*.log", 9), ["x.log"]);
        assert_eq!(found("*/*.log", 9), ["a/y.log"]);
        assert_eq!(found("**/*.log", 9), ["a/b/z.log", "a/y.log", "x.log"]);
        assert_eq!(found("**/*.log", 2).len(), 2);
        assert_eq!(found("a/b/z.txt", 9), ["a/b/z.txt"]);
        assert_eq!(found("none/*", 9), Vec::<String>::new());
    }
}
