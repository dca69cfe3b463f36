//! The hard rules of the house, checked on the source text: layers, purity, length, panics, names.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines; flat tables carry the marker below.
const FILE_LINES_MAX: usize = 700;
/// A file that is one flat table says so in its first lines with this marker.
const TABLE_MARKER: &str = "//! Flat table:";

/// Layers from the bottom; a layer may use those before it in this list.
const LAYERS: [&str; 14] = [
    "model",
    "config",
    "api",
    "engine",
    "sim",
    "store",
    "notify",
    "executors",
    "sources",
    "eval",
    "daemon",
    "tui",
    "cli",
    "main",
];

/// Pairs that must not meet although one lies below the other: user, used.
const STRANGERS: [(&str, &str); 8] = [
    ("engine", "api"),
    ("tui", "daemon"),
    ("sources", "engine"),
    ("executors", "engine"),
    ("notify", "engine"),
    ("store", "engine"),
    ("tui", "engine"),
    ("tui", "store"),
];

/// What the pure core must not name, outside its tests.
const IMPURE: [&str; 13] = [
    "std::time",
    "SystemTime",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "tokio::",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "HashMap<",
    "rand::",
];

struct Source {
    path: PathBuf,
    layer: String,
    text: String,
}

impl Source {
    /// Lines outside tests, which stand at the end of a file or in a `…tests.rs`, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .path
            .to_str()
            .is_some_and(|path| path.ends_with("tests.rs"));
        let text = if tests { "" } else { &self.text };
        text.lines()
            .enumerate()
            .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
            .map(|(i, line)| (i + 1, line))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    rust_files(&root.join("src"), &mut paths);
    paths.sort();
    assert!(
        paths.len() > 20,
        "the walk over src found {} files",
        paths.len()
    );
    paths
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(root.join("src")).unwrap();
            let first = inside
                .components()
                .next()
                .unwrap()
                .as_os_str()
                .to_str()
                .unwrap();
            let layer = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            Source {
                path: path.strip_prefix(root).unwrap().to_owned(),
                layer,
                text,
            }
        })
        .collect()
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|l| *l == layer)
}

/// Layers named after `crate::` or `stormglass::` on a line.
fn layers_used(line: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for prefix in ["crate::", "stormglass::"] {
        for (start, _) in line.match_indices(prefix) {
            let rest = &line[start + prefix.len()..];
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            used.push(&rest[..end]);
        }
    }
    used
}

fn report(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn imports_point_down() {
    let mut offences = Vec::new();
    for source in sources().iter().filter(|s| s.layer != "lib") {
        let Some(own) = rank(&source.layer) else {
            offences.push(format!(
                "{}: {} is no layer",
                source.path.display(),
                source.layer
            ));
            continue;
        };
        for (number, line) in source.code() {
            for used in layers_used(line) {
                let up = rank(used).is_some_and(|used| used > own);
                let strangers = STRANGERS.contains(&(source.layer.as_str(), used));
                if up || strangers {
                    offences.push(format!(
                        "{}: {} uses {used}",
                        source.at(number),
                        source.layer
                    ));
                }
            }
        }
    }
    report("a layer uses only those below it", &offences);
}

#[test]
fn the_core_is_pure() {
    let mut offences = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.layer == "engine" || s.layer == "model")
    {
        for (number, line) in source.code() {
            // FxHashMap is a lookup table here; iterating one is what the replay tests would catch.
            let line = line.replace("FxHashMap<", "");
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                offences.push(format!("{}: {word}", source.at(number)));
            }
        }
    }
    report(
        "engine and model do no I/O, read no clock and iterate no hash map",
        &offences,
    );
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut offences = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let table = source
            .text
            .lines()
            .take(5)
            .any(|line| line.starts_with(TABLE_MARKER));
        if lines > FILE_LINES_MAX && !table {
            offences.push(format!("{}: {lines} lines", source.path.display()));
        }
        if !source.text.starts_with("//!") {
            offences.push(format!("{}: does not open with //!", source.path.display()));
        }
    }
    report("a file opens with what it is and stays short", &offences);
}

#[test]
fn nothing_panics_without_a_reason() {
    let mut offences = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for word in [".unwrap()", "todo!(", "unimplemented!(", ".expect(\"\")"] {
                if line.contains(word) {
                    offences.push(format!("{}: {word}", source.at(number)));
                }
            }
        }
    }
    report("expect says why it cannot fail; nothing unwraps", &offences);
}

#[test]
fn queues_are_bounded() {
    let mut offences = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            if line.contains("unbounded") && line.contains('(') {
                offences.push(source.at(number));
            }
        }
    }
    report("every queue is bounded", &offences);
}

#[test]
fn the_rules_can_fail() {
    assert_eq!(
        layers_used("use crate::engine::Engine; crate::model::Time"),
        ["engine", "model"]
    );
    assert_eq!(layers_used("use std::fmt;"), Vec::<&str>::new());
    assert!(rank("daemon") > rank("engine"));
}
