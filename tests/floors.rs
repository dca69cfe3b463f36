//! The published benchmarks may not score worse than `benches/floors.toml` says.
//!
//! `STORMGLASS_BENCH_DATA` names the folder with their data; without it each suite says that it skips,
//! since the data is not ours to ship, and fails where `STORMGLASS_REQUIRE_DATA` is set. Scores only: speed is measured in `benches/`, never here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use stormglass::eval::{
    EvalError, Report, demo, loghub, nab, nezha, petshop, quiet, rcd, storm, systems,
};

/// Nezha comes packed, because unpacked it is ten times as large.
const NEZHA_PACKED: &str = "nezha_tt.tar.zst";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bounds {
    #[serde(default)]
    floor: BTreeMap<String, f64>,
    #[serde(default)]
    ceiling: BTreeMap<String, f64>,
}

fn bounds() -> BTreeMap<String, Bounds> {
    toml::from_str(include_str!("../benches/floors.toml")).expect("floors.toml is well-formed")
}

/// The data, if it is at hand.
fn data(suite: &str) -> Option<PathBuf> {
    let dir = std::env::var_os("STORMGLASS_BENCH_DATA").filter(|dir| !dir.is_empty());
    if dir.is_none() {
        let required = std::env::var_os("STORMGLASS_REQUIRE_DATA").is_some_and(|v| !v.is_empty());
        assert!(
            !required,
            "{suite}: STORMGLASS_REQUIRE_DATA is set and STORMGLASS_BENCH_DATA names no data folder"
        );
        eprintln!("{suite}: skipped, STORMGLASS_BENCH_DATA names no data folder");
    }
    dir.map(PathBuf::from)
}

/// What is worse than recorded, one line each; empty is good.
fn shortfalls(report: &Report, bounds: &Bounds) -> String {
    let mut text = String::new();
    let both = bounds
        .floor
        .iter()
        .map(|(name, bound)| (name, *bound, 1.0, "floor"))
        .chain(
            bounds
                .ceiling
                .iter()
                .map(|(name, bound)| (name, *bound, -1.0, "ceiling")),
        );
    for (name, bound, sign, kind) in both {
        let score = report.score.get(name.as_str()).copied();
        // A score that is missing, or not a number, is no score.
        if !score.is_some_and(|score| sign * score >= sign * bound) {
            let score = score.map_or("missing".to_owned(), |score| score.to_string());
            let _ = writeln!(text, "{}: {name} is {score}, {kind} {bound}", report.suite);
        }
    }
    text
}

fn check(suite: &str, dir: &Path, run: fn(&Path) -> Result<Report, EvalError>) {
    let report = run(dir).unwrap_or_else(|error| panic!("{suite}: {error}"));
    assert!(report.cases > 0, "{suite}: no cases in {}", dir.display());
    judge(suite, &report);
}

/// A report against its bounds.
fn judge(suite: &str, report: &Report) {
    let bounds = bounds();
    let bounds = bounds.get(suite).expect("the suite has its bounds");
    let is_bounded = !bounds.floor.is_empty() || !bounds.ceiling.is_empty();
    assert!(is_bounded, "{suite} has no bounds");
    let worse = shortfalls(report, bounds);
    assert!(worse.is_empty(), "\n{worse}");
    eprintln!("{suite}: {} cases, {:?}", report.cases, report.score);
}

#[test]
fn nab_holds_its_floor() {
    if let Some(dir) = data("nab") {
        check("nab", &dir.join("nab"), nab::run);
    }
}

#[test]
fn loghub_holds_its_floor() {
    if let Some(dir) = data("loghub") {
        check("loghub", &dir.join("loghub_2k"), loghub::run);
    }
}

#[test]
fn petshop_holds_its_floor() {
    if let Some(dir) = data("petshop") {
        check("petshop", &dir.join("petshop"), petshop::run);
    }
}

#[test]
fn rcd_holds_its_floor() {
    if let Some(dir) = data("rcd") {
        check("rcd", &dir.join("rcd_sockshop"), rcd::run);
    }
}

#[test]
fn nezha_holds_its_floor() {
    let Some(dir) = data("nezha") else {
        return;
    };
    let unpacked = tempfile::tempdir().expect("a temporary folder");
    let tar = Command::new("tar")
        .args(["--use-compress-program", "zstd -d --long=27", "-xf"])
        .arg(dir.join(NEZHA_PACKED))
        .arg("-C")
        .arg(unpacked.path())
        .output()
        .expect("tar starts");
    assert!(
        tar.status.success(),
        "{NEZHA_PACKED} cannot be unpacked (it needs tar and zstd): {}",
        String::from_utf8_lossy(&tar.stderr)
    );
    check("nezha", unpacked.path(), nezha::run);
}

/// A few seeded cases of the suites of our own, small enough for a debug build: what a change breaks shows here,
/// and how good they are is measured with `stormglass eval`.
#[test]
fn storm_holds_its_floor() {
    judge("storm", &storm::run_cases(1, 1, 30));
}

#[test]
fn quiet_holds_its_ceiling() {
    judge("quiet", &quiet::run_days(1, 10, 1, 600_000));
}

#[test]
fn demo_holds_its_floor() {
    judge("demo", &demo::run_seeds(1, 1));
}

#[test]
fn systems_holds_its_floor() {
    judge("systems", &systems::run(1, 20, 40));
}

type Scores = &'static [(&'static str, f64)];

#[test]
fn less_than_a_floor_more_than_a_ceiling_and_nothing_fail() {
    let bounds: Bounds =
        toml::from_str("floor = { a = 1.0, b = 2.0 }\nceiling = { c = 3.0 }").expect("well-formed");
    let cases: [(&str, Scores, &str); 5] = [
        ("as recorded", &[("a", 1.0), ("b", 2.0), ("c", 3.0)], ""),
        ("better", &[("a", 1.5), ("b", 2.5), ("c", 2.0)], ""),
        (
            "one lower",
            &[("a", 0.9), ("b", 2.0), ("c", 3.0)],
            "x: a is 0.9, floor 1\n",
        ),
        (
            "one missing",
            &[("a", 1.0), ("c", 3.0)],
            "x: b is missing, floor 2\n",
        ),
        (
            "no number, and too high",
            &[("a", f64::NAN), ("b", 2.0), ("c", 3.1)],
            "x: a is NaN, floor 1\nx: c is 3.1, ceiling 3\n",
        ),
    ];
    for (name, score, expected) in cases {
        let report = Report {
            suite: "x",
            cases: 1,
            score: score
                .iter()
                .map(|(name, score)| ((*name).into(), *score))
                .collect(),
            per_case: Vec::new(),
            seconds: 0.0,
        };
        assert_eq!(shortfalls(&report, &bounds), expected, "{name}");
    }
}
