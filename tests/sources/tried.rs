//! The table of `docs/sources.md` that says what each source was tried with: every section of the config is in it, and
//! every test that it names is there. And an example of each is among the configs that are tried.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stormglass::config::SourcesConfig;

const HEADING: &str = "## What each was tried with";
/// Sections that are no sources: how all of them are protected and bounded.
const SHARED: [&str; 4] = [
    "insecure",
    "token_file",
    "body_bytes_max",
    "requests_concurrent_max",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What stands in backticks behind the heading.
fn words() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("docs/sources.md")).expect("it is there");
    let (_, table) = page.split_once(HEADING).expect("the heading");
    let words = table.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The names of all functions below a folder.
fn functions(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            functions(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let names = text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split('(').next());
            into.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_source_is_in_the_table_with_tests_that_are_there() {
    let words = words();
    let config = serde_json::to_value(SourcesConfig::default()).expect("plain data");
    let Value::Object(sections) = config else {
        panic!("a table");
    };
    let sections = sections
        .keys()
        .filter(|name| !SHARED.contains(&name.as_str()));
    let sections: Vec<_> = sections.collect();
    let missing: Vec<_> = sections
        .iter()
        .filter(|name| !words.contains(&format!("sources.{name}")))
        .collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let example = root().join("tests/configs/valid/everything.toml");
    let example = fs::read_to_string(example).expect("it is there");
    let missing: Vec<_> = sections
        .iter()
        .filter(|name| !example.contains(&format!("[sources.{name}]")))
        .collect();
    assert!(missing.is_empty(), "without an example: {missing:?}");

    let mut there = BTreeSet::new();
    functions(&root().join("src"), &mut there);
    functions(&root().join("tests"), &mut there);
    // Names of tests are sentences; settings and words have fewer parts.
    let tests = words
        .iter()
        .filter(|word| word.matches('_').count() >= 3 && !word.contains(' '));
    let gone: Vec<_> = tests.filter(|name| !there.contains(*name)).collect();
    assert!(gone.is_empty(), "no such tests: {gone:?}");
}
