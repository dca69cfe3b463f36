//! `loghub`: grouping accuracy of the log template miner on the labelled 2k samples of Loghub
//! (He et al. 2020) and on the corrected labels (Khan et al. 2022).
//!
//! Reads `SYSTEM/SYSTEM_2k.log_structured.csv`. Each line's `Content` goes through the miner once,
//! in order, as live; a line's group is its form's template at the end of the stream. A group
//! counts only when it is exactly the true group. Labels are never shown to the miner, and there is
//! one configuration for all systems.

use super::{EvalError, Report};
use crate::engine::logs::{FormId, Miner};
use rustc_hash::FxHashMap;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Passes over all lines, each with fresh miners, to measure speed; the median pass counts.
const SPEED_PASSES: usize = 15;

/// One system's lines with their true templates.
struct Labelled {
    lines: Vec<String>,
    truth: Vec<String>,
}

/// How well the groups agree.
struct Grouping {
    correct_lines: usize,
    templates_found: usize,
    templates_true: usize,
    /// The largest groups that are not a true group, by found template.
    wrong: Vec<(usize, String)>,
}

impl Grouping {
    fn accuracy(&self, lines: usize) -> f64 {
        self.correct_lines as f64 / lines.max(1) as f64
    }
}

/// Run the suite on `dir`: either a folder of systems, or one that holds `loghub_2k` and
/// `loghub_2k_corrected`.
pub fn run(dir: &Path) -> Result<Report, EvalError> {
    let original = original(dir);
    let corrected = dir.join("loghub_2k_corrected");
    let mut per_case = Vec::new();
    let mut sums = [0.0_f64; 2];
    let mut all_lines = Vec::new();
    let mut corrected_cases = 0;
    for system in systems(&original)? {
        let labelled = read_labelled(
            &original.join(&system),
            &format!("{system}_2k.log_structured.csv"),
        )?;
        let grouping = group(&labelled);
        let ga = grouping.accuracy(labelled.lines.len());
        let mut case = json!({
            "system": system,
            "lines": labelled.lines.len(),
            "ga": ga,
            "templates_true": grouping.templates_true,
            "templates_found": grouping.templates_found,
            "wrong": grouping.wrong,
        });
        sums[0] += ga;
        let folder = corrected.join(&system);
        if folder.is_dir() {
            let labelled = read_labelled(
                &folder,
                &format!("{system}_2k.log_structured_corrected.csv"),
            )?;
            let ga = group(&labelled).accuracy(labelled.lines.len());
            case["ga_corrected"] = json!(ga);
            sums[1] += ga;
            corrected_cases += 1;
        }
        per_case.push(case);
        all_lines.push(labelled.lines);
    }
    let cases = per_case.len();
    let (lines_per_s, seconds) = speed(&all_lines);
    let mut score = super::named([
        ("ga", sums[0] / cases.max(1) as f64),
        ("lines_per_s", lines_per_s),
    ]);
    if corrected_cases > 0 {
        score.insert("ga_corrected".into(), sums[1] / f64::from(corrected_cases));
    }
    Ok(Report {
        suite: "loghub",
        cases,
        score,
        per_case,
        seconds,
    })
}

/// The folder of the systems: `dir`, or `loghub_2k` in it.
fn original(dir: &Path) -> PathBuf {
    let inner = dir.join("loghub_2k");
    if inner.is_dir() {
        inner
    } else {
        dir.to_owned()
    }
}

/// The lines of each system in `dir`, by its name, for measurements of speed.
pub fn lines(dir: &Path) -> Result<BTreeMap<String, Vec<String>>, EvalError> {
    let original = original(dir);
    systems(&original)?
        .into_iter()
        .map(|system| {
            let file = format!("{system}_2k.log_structured.csv");
            let labelled = read_labelled(&original.join(&system), &file)?;
            Ok((system, labelled.lines))
        })
        .collect()
}

/// Grouping accuracy: the share of lines whose found group is exactly their true group.
fn group(labelled: &Labelled) -> Grouping {
    let mut miner = Miner::default();
    let forms: Vec<FormId> = labelled
        .lines
        .iter()
        .map(|line| miner.learn(line).form)
        .collect();
    // A form that was evicted is its own group: nothing else is known of it any more.
    let found: Vec<u64> = forms
        .iter()
        .map(|form| miner.resolve(*form).map_or(form.0, |template| template.0))
        .collect();
    let mut true_sizes: FxHashMap<&str, usize> = FxHashMap::default();
    for truth in &labelled.truth {
        *true_sizes.entry(truth).or_default() += 1;
    }
    let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (line, group) in found.iter().enumerate() {
        groups.entry(*group).or_default().push(line);
    }
    let mut grouping = Grouping {
        correct_lines: 0,
        templates_found: groups.len(),
        templates_true: true_sizes.len(),
        wrong: Vec::new(),
    };
    for members in groups.values() {
        let truth = &labelled.truth[members[0]];
        if members.len() == true_sizes[truth.as_str()]
            && members.iter().all(|line| labelled.truth[*line] == *truth)
        {
            grouping.correct_lines += members.len();
        } else {
            let template = miner
                .resolve(forms[members[0]])
                .and_then(|id| miner.template(id))
                .unwrap_or_default();
            grouping.wrong.push((members.len(), template.to_owned()));
        }
    }
    grouping.wrong.sort_by(|a, b| b.cmp(a));
    grouping.wrong.truncate(5);
    grouping
}

/// Lines a second on one core, miners fresh for every system and pass; and the time it all took.
fn speed(systems: &[Vec<String>]) -> (f64, f64) {
    let lines: usize = systems.iter().map(Vec::len).sum();
    let mut passes: Vec<f64> = (0..SPEED_PASSES)
        .map(|_| {
            let start = Instant::now();
            for lines in systems {
                let mut miner = Miner::default();
                for line in lines {
                    miner.learn(line);
                }
            }
            start.elapsed().as_secs_f64()
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    (
        lines as f64 / passes[SPEED_PASSES / 2].max(1e-9),
        passes.iter().sum(),
    )
}

/// Folders that hold a system, by name.
fn systems(dir: &Path) -> Result<Vec<String>, EvalError> {
    let failed = |source: io::Error| EvalError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry
            .path()
            .join(format!("{name}_2k.log_structured.csv"))
            .is_file()
        {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        let what = "no folder SYSTEM with SYSTEM_2k.log_structured.csv in it".to_owned();
        return Err(EvalError::Format {
            path: dir.to_owned(),
            what,
        });
    }
    Ok(names)
}

fn read_labelled(folder: &Path, file: &str) -> Result<Labelled, EvalError> {
    let path: PathBuf = folder.join(file);
    let bytes = fs::read(&path).map_err(|source| EvalError::Io {
        path: path.clone(),
        source,
    })?;
    parse_labelled(&String::from_utf8_lossy(&bytes))
        .map_err(|what| EvalError::Format { path, what })
}

fn parse_labelled(text: &str) -> Result<Labelled, String> {
    let mut rows = csv_rows(text).into_iter();
    let header = rows.next().ok_or("the file is empty")?;
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| format!("no column {name:?} in the header"))
    };
    let (content, template) = (column("Content")?, column("EventTemplate")?);
    let mut labelled = Labelled {
        lines: Vec::new(),
        truth: Vec::new(),
    };
    for (number, mut row) in rows.enumerate() {
        if row.len() != header.len() {
            return Err(format!(
                "row {}: {} fields, the header has {}",
                number + 2,
                row.len(),
                header.len()
            ));
        }
        labelled.truth.push(std::mem::take(&mut row[template]));
        labelled.lines.push(std::mem::take(&mut row[content]));
    }
    Ok(labelled)
}

/// Rows of RFC 4180: quoted fields may hold commas, line ends and doubled quotes.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field) = (Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_only_when_it_is_exact() {
        let text = "LineId,Content,EventTemplate\n\
            1,took 5 ms,took <*> ms\n\
            2,took 7 ms,took <*> ms\n\
            3,\"went UP, \"\"now\"\"\",went <*>\n\
            4,\"went DOWN, \"\"now\"\"\",went <*>\n";
        let labelled = parse_labelled(text).unwrap();
        assert_eq!(labelled.lines[2], "went UP, \"now\"");
        let grouping = group(&labelled);
        assert_eq!(
            (
                grouping.correct_lines,
                grouping.templates_true,
                grouping.templates_found
            ),
            (2, 2, 3)
        );
        assert_eq!(grouping.wrong.len(), 2);
    }

    #[test]
    fn files_that_are_not_as_published_are_refused() {
        let refused = |text: &str| parse_labelled(text).err().unwrap_or_default();
        assert_eq!(refused(""), "the file is empty");
        assert_eq!(
            refused("LineId,Content\n"),
            "no column \"EventTemplate\" in the header"
        );
        assert_eq!(
            refused("Content,EventTemplate\na\n"),
            "row 2: 1 fields, the header has 2"
        );
    }

    #[test]
    fn a_folder_is_read_as_its_authors_publish_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(run(dir.path()), Err(EvalError::Format { .. })));
        for (set, file) in [
            ("loghub_2k", "structured"),
            ("loghub_2k_corrected", "structured_corrected"),
        ] {
            let folder = dir.path().join(set).join("Toy");
            fs::create_dir_all(&folder).unwrap();
            let csv = "Content,EventTemplate\nopen /a/b,open <*>\nopen /c/d,open <*>\n";
            fs::write(folder.join(format!("Toy_2k.log_{file}.csv")), csv).unwrap();
        }
        let report = run(dir.path()).unwrap();
        assert_eq!((report.suite, report.cases), ("loghub", 1));
        assert!(
            (report.score["ga"] - 1.0).abs() < 1e-9
                && (report.score["ga_corrected"] - 1.0).abs() < 1e-9
        );
        assert!(report.score["lines_per_s"] > 0.0);
    }
}
