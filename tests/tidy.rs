//! The hard rules of the house, checked on the source text: layers, purity, length, panics, names.

use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, in lines.
const FILE_LINES_MAX: usize = 700;

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

/// Attributes that take formats out of our hands: with `flatten` serde refuses no unknown key, with `untagged` it
/// says nothing of what was wrong.
const SLACK_FORMATS: [&str; 2] = ["serde(flatten", "serde(untagged"];
/// Where systemd's format is read, and where one of ours is written that nobody reads back.
const SLACK_FORMATS_IN: [&str; 2] = ["src/sources/journald/entry.rs", "src/eval/drive.rs"];

/// What the pure core must not name, outside its tests.
const IMPURE: [&str; 16] = [
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
    "HashMap",
    "HashSet",
    "RandomState",
    "async ",
    "rand::",
];

/// Ways to walk a hash table, whose order is nobody's promise. `retain` is missing because what it
/// keeps does not depend on the order.
const WALKS: [&str; 7] = [
    ".iter(",
    ".iter_mut(",
    ".keys(",
    ".values(",
    ".values_mut(",
    ".into_iter(",
    ".drain(",
];

struct Source {
    path: PathBuf,
    layer: String,
    text: String,
}

impl Source {
    /// Lines outside tests and comments, with their numbers.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self
            .path
            .to_str()
            .is_some_and(|path| path.ends_with("tests.rs"));
        outside_tests(if tests { "" } else { &self.text })
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// The lines of `text` that are neither comments nor part of an item marked `#[cfg(test)]`, with their
/// numbers from 1. Such an item ends, as rustfmt has it, with a lone brace as deep as it began, or with a
/// semicolon before any brace.
fn outside_tests(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut marked: Option<usize> = None;
    let mut is_braced = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let depth = line.len() - line.trim_start().len();
        if marked.is_none() && line.trim() == "#[cfg(test)]" {
            (marked, is_braced) = (Some(depth), false);
            return None;
        }
        if let Some(begun) = marked {
            is_braced |= line.ends_with('{');
            let closes = depth == begun && line.trim() == "}";
            if closes || (!is_braced && line.ends_with(';')) {
                marked = None;
            }
            return None;
        }
        (!line.trim_start().starts_with("//")).then_some((i + 1, line))
    })
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

/// The items a line names after `crate::` or `stormglass::`, also in braces: `crate::{api, model::Time}`.
fn layers_used(line: &str) -> Vec<&str> {
    let mut used = Vec::new();
    for prefix in ["crate::", "stormglass::"] {
        for (start, _) in line.match_indices(prefix) {
            let rest = &line[start + prefix.len()..];
            match rest.strip_prefix('{') {
                None => used.push(name(rest)),
                Some(group) => used.extend(members(group).into_iter().map(name)),
            }
        }
    }
    used
}

/// The word `text` begins with.
fn name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The members of a group in braces, its opening brace already taken; what they hold in braces of
/// their own is theirs.
fn members(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut members) = (0_i32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            ',' if depth == 0 => {
                members.push(group[from..at].trim_start());
                from = at + 1;
            }
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(group[from..at].trim_start());
                return members;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    members.push(group[from..].trim_start());
    members
}

/// Whole `use` items, each with the number of its first line; any other line as it is.
fn statements<'a>(code: impl Iterator<Item = (usize, &'a str)>) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (number, line) in code {
        match found.last_mut() {
            Some((_, begun)) if open => begun.push_str(line.trim()),
            _ => found.push((number, line.to_owned())),
        }
        let begins = line
            .trim_start()
            .trim_start_matches("pub ")
            .starts_with("use ");
        open = (open || begins) && !line.contains(';');
    }
    found
}

/// Names that `text` declares to be hash tables, as fields, bindings or arguments.
fn hash_tables(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for kind in [
        ": FxHashMap<",
        ": &FxHashMap<",
        ": &mut FxHashMap<",
        ": FxHashSet<",
        " = FxHashMap::",
    ] {
        for (at, _) in text.match_indices(kind) {
            let before = &text[..at];
            let from = before
                .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(0, |i| i + 1);
            names.push(&before[from..]);
        }
    }
    // A binding with a type of its own was found by that.
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether `line` walks the table `name`, or lends it to a `for`.
fn walks(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let whole = !before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = &line[at + name.len()..];
        let lent = ["in &", "in &mut ", "in &self.", "in &mut self."]
            .iter()
            .any(|lead| line[..at].ends_with(lead))
            && rest.starts_with(" {");
        whole && (lent || WALKS.iter().any(|walk| rest.starts_with(walk)))
    })
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
        for (number, line) in statements(source.code()) {
            for used in layers_used(&line) {
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
        let tables = hash_tables(&source.text);
        for (number, line) in source.code() {
            for table in tables.iter().filter(|table| walks(line, table)) {
                offences.push(format!(
                    "{}: walks {table}, a hash table",
                    source.at(number)
                ));
            }
            let line = line.replace("FxHashMap", "").replace("FxHashSet", "");
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
        if lines > FILE_LINES_MAX {
            offences.push(format!("{}: {lines} lines", source.path.display()));
        }
        if !source.text.starts_with("//!") {
            offences.push(format!("{}: does not open with //!", source.path.display()));
        }
    }
    report("a file opens with what it is and stays short", &offences);
}

#[test]
fn our_formats_refuse_what_they_do_not_know() {
    let mut offences = Vec::new();
    for source in sources() {
        let is_theirs = SLACK_FORMATS_IN
            .iter()
            .any(|path| source.path.ends_with(path));
        for (number, line) in source.code().filter(|_| !is_theirs) {
            if SLACK_FORMATS.iter().any(|word| line.contains(word)) {
                offences.push(source.at(number));
            }
        }
    }
    report("no flatten and no untagged on our own formats", &offences);
}

#[test]
fn series_of_sources_hold_no_secrets() {
    let mut offences = Vec::new();
    let makes = |source: &Source| {
        source.layer == "sources" && !source.path.ends_with("src/sources/secrets.rs")
    };
    for source in sources().iter().filter(|source| makes(source)) {
        let made = source
            .code()
            .filter(|(_, line)| line.contains("Series::new("));
        offences.extend(made.map(|(number, _)| source.at(number)));
    }
    report("sources make series by secrets::series", &offences);
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
fn layers_are_found_however_they_are_imported() {
    let cases: [(&str, &[&str]); 6] = [
        (
            "use crate::engine::Engine; crate::model::Time",
            &["engine", "model"],
        ),
        ("use stormglass::api;", &["api"]),
        (
            "use crate::{api, engine::{Engine, Input}, model::Time};",
            &["api", "engine", "model"],
        ),
        ("use crate::{api,engine::Engine,};", &["api", "engine", ""]),
        ("use crate::{model::{self, Time}};", &["model"]),
        ("use std::fmt;", &[]),
    ];
    for (line, expected) in cases {
        assert_eq!(layers_used(line), expected, "{line}");
    }
    let code = "use crate::{\n    api,\n    model,\n};\nlet x = 1;";
    assert_eq!(
        statements(outside_tests(code)),
        [
            (1, "use crate::{api,model,};".to_owned()),
            (5, "let x = 1;".to_owned())
        ]
    );
    assert!(rank("daemon") > rank("engine"));
}

#[test]
fn only_tests_are_left_out() {
    let code = "\
fn a() {}
// said
#[cfg(test)]
mod tests;
fn b() {}
    #[cfg(test)]
    fn only_here() {
        hidden();
    }
    fn c() {}
#[cfg(test)]
mod inline {
    const TEXT: &str = \"
not code;
\";
    hidden();
}
fn d() {}";
    let seen: Vec<_> = outside_tests(code).map(|(number, _)| number).collect();
    assert_eq!(seen, [1, 5, 10, 18]);
}

#[test]
fn a_walk_over_a_hash_table_is_seen() {
    let declared = "struct A { by_name: FxHashMap<u8, u8> }\nlet mut seen = FxHashMap::default();";
    assert_eq!(hash_tables(declared), ["by_name", "seen"]);
    let cases = [
        ("self.by_name.iter().map(f)", true),
        ("for x in &self.by_name {", true),
        ("for x in self.by_name.values() {", true),
        ("self.by_name.get(&key)", false),
        ("self.by_name.retain(|k, _| keep(k))", false),
        ("entity_by_name.iter()", false),
        ("for x in &self.by_name_sorted {", false),
    ];
    for (line, expected) in cases {
        assert_eq!(walks(line, "by_name"), expected, "{line}");
    }
}
