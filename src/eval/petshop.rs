//! `petshop`: root cause from metrics and a call graph, in the layout of the PetShop data set.
//!
//! `SCENARIO/{graph.csv, noissue/metrics.csv, train|test/ISSUE/{metrics.csv, target.json}}`. The quiet frame gives
//! the normals, the issue's frame the window; graph, target node and target metric are given, as its rules say.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::root_cause::{entries, malformed, name_of, pessimistic_rank, read_text, share_within};
use super::{EvalError, Report};
use crate::engine::diagnose::deviation::{Column, ColumnKind, Family, Normal};
use crate::engine::diagnose::{Case, Dependency, scores};
use crate::model::{EntityId, EntityKind, Provenance, Time, Unit};

/// `target.json`.
#[derive(Debug, Deserialize)]
struct Truth {
    target: Target,
    root_cause: RootCause,
}

#[derive(Debug, Deserialize)]
struct Target {
    node: String,
    metric: String,
    timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct RootCause {
    node: String,
}

/// A metrics file: what each column is (node, metric, statistic) and its values by row.
struct Frame {
    columns: Vec<[String; 3]>,
    rows: Vec<Vec<f64>>,
}

/// A call graph as names and pairs.
struct Graph {
    names: Vec<String>,
    calls: Vec<(usize, usize)>,
}

/// Runs the suite over `folder`.
pub fn run(folder: &Path) -> Result<Report, EvalError> {
    let mut ranks = Vec::new();
    let mut per_case = Vec::new();
    let mut seconds = 0.0;
    for scenario in entries(folder)?
        .into_iter()
        .filter(|path| path.join("graph.csv").is_file())
    {
        let graph = read_graph(&scenario.join("graph.csv"))?;
        let quiet = read_frame(&scenario.join("noissue/metrics.csv"))?;
        for issue in issues(&scenario)? {
            let truth_path = issue.join("target.json");
            let truth: Truth = serde_json::from_str(&read_text(&truth_path)?)
                .map_err(|error| malformed(&truth_path, error.to_string()))?;
            let window = read_frame(&issue.join("metrics.csv"))?;
            let begun = Instant::now();
            let case = case(&graph, &quiet, &window, &truth)
                .ok_or_else(|| malformed(&truth_path, "the target is not in the graph"))?;
            let scores = scores(&case);
            seconds += begun.elapsed().as_secs_f64();
            let root = graph
                .names
                .iter()
                .position(|name| *name == truth.root_cause.node);
            let root =
                root.ok_or_else(|| malformed(&truth_path, "the root cause is not in the graph"))?;
            let rank = pessimistic_rank(&scores, root);
            let best =
                (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
            per_case.push(json!({
                "case": format!("{}/{}", name_of(&scenario), name_of(&issue)),
                "expected": truth.root_cause.node,
                "said": best.map(|at| graph.names[at].as_str()),
                "rank": rank,
            }));
            ranks.push(rank);
        }
    }
    Ok(Report {
        suite: "petshop",
        cases: ranks.len(),
        score: super::named([
            ("top1", share_within(&ranks, 1)),
            ("top3", share_within(&ranks, 3)),
        ]),
        per_case,
        seconds,
    })
}

fn issues(scenario: &Path) -> Result<Vec<std::path::PathBuf>, EvalError> {
    let mut issues = Vec::new();
    for part in ["train", "test"] {
        let part = scenario.join(part);
        if part.is_dir() {
            issues.extend(
                entries(&part)?
                    .into_iter()
                    .filter(|path| path.join("target.json").is_file()),
            );
        }
    }
    Ok(issues)
}

fn case(graph: &Graph, quiet: &Frame, window: &Frame, truth: &Truth) -> Option<Case> {
    let at = Time::from_secs(truth.target.timestamp);
    let mut case = Case::new(at, at, window.rows.len());
    let subjects: Vec<usize> = graph
        .names
        .iter()
        .map(|name| case.subject(&EntityId::new(kind_of(name), name)))
        .collect();
    for (from, to) in &graph.calls {
        case.dependencies.push(Dependency {
            from: subjects[*from],
            to: subjects[*to],
            provenance: Provenance::Declared,
            age_ms: 0,
            calls: None,
        });
    }
    let positions: BTreeMap<&str, usize> = graph
        .names
        .iter()
        .map(String::as_str)
        .zip(subjects.iter().copied())
        .collect();
    let history: BTreeMap<&[String; 3], usize> = quiet
        .columns
        .iter()
        .enumerate()
        .map(|(at, key)| (key, at))
        .collect();
    for (at, key) in window.columns.iter().enumerate() {
        let (Some(subject), Some(before)) = (positions.get(key[0].as_str()), history.get(key))
        else {
            continue;
        };
        let Some((kind, unit)) = measured(&key[1]) else {
            continue;
        };
        let mut values = quiet.column(*before);
        let Some(normal) = Normal::of(&mut values, kind, unit) else {
            continue;
        };
        case.subjects[*subject].columns.push(Column {
            name: format!("{} {}", key[1], key[2]).into(),
            unit,
            kind,
            normal,
            additive: matches!(key[2].as_str(), "Average" | "Sum"),
            limit: None,
            values: window.column(at),
        });
    }
    case.target = Some(*positions.get(truth.target.node.as_str())?);
    case.family = match truth.target.metric.as_str() {
        "latency" => Some(Family::Slow),
        "availability" => Some(Family::Failing),
        _ => None,
    };
    Some(case)
}

/// The tracing system names what it only saw from the other end `NAME_client` or `NAME_remote`.
fn kind_of(name: &str) -> EntityKind {
    if name.ends_with("_client") || name.ends_with("_remote") {
        EntityKind::External
    } else {
        EntityKind::Service
    }
}

fn measured(metric: &str) -> Option<(ColumnKind, Unit)> {
    match metric {
        "latency" => Some((ColumnKind::Latency, Unit::Seconds)),
        "availability" => Some((ColumnKind::Availability, Unit::Percent)),
        "requests" => Some((ColumnKind::Traffic, Unit::None)),
        _ => None,
    }
}

fn read_graph(path: &Path) -> Result<Graph, EvalError> {
    let text = read_text(path)?;
    let mut lines = text.lines();
    let header = lines.next().ok_or_else(|| malformed(path, "it is empty"))?;
    let names: Vec<String> = header.split(',').skip(1).map(str::to_owned).collect();
    let mut calls = Vec::new();
    for line in lines {
        let mut fields = line.split(',');
        let caller = fields.next().unwrap_or_default();
        let from = names
            .iter()
            .position(|name| name == caller)
            .ok_or_else(|| malformed(path, format!("{caller:?} has a row but no column")))?;
        let hits = fields
            .enumerate()
            .filter(|(_, cell)| cell.trim().parse().is_ok_and(|calls: f64| calls > 0.0));
        calls.extend(hits.map(|(to, _)| (from, to)));
    }
    Ok(Graph { names, calls })
}

fn read_frame(path: &Path) -> Result<Frame, EvalError> {
    let text = read_text(path)?;
    let mut lines = text.lines();
    let mut header = || -> Vec<&str> {
        lines
            .next()
            .unwrap_or_default()
            .split(',')
            .skip(1)
            .collect()
    };
    let (nodes, metrics, statistics) = (header(), header(), header());
    if nodes.is_empty() || nodes.len() != metrics.len() || nodes.len() != statistics.len() {
        return Err(malformed(path, "the three header rows differ in length"));
    }
    let columns = (0..nodes.len())
        .map(|at| {
            [
                nodes[at].to_owned(),
                metrics[at].to_owned(),
                statistics[at].to_owned(),
            ]
        })
        .collect();
    let rows = lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| {
            line.split(',')
                .skip(1)
                .map(|cell| cell.parse().unwrap_or(f64::NAN))
                .collect()
        })
        .collect();
    Ok(Frame { columns, rows })
}

impl Frame {
    fn column(&self, at: usize) -> Vec<f64> {
        self.rows
            .iter()
            .map(|row| row.get(at).copied().unwrap_or(f64::NAN))
            .collect()
    }
}
