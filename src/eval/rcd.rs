//! `rcd`: root cause from metrics alone, in the layout of the RCD sock-shop data set.
//!
//! `SERVICE-FAULT/REP/{normal,anomalous}.csv`, columns `SERVICE_METRIC`. No graph and no target are given, so
//! deviations rank the services.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::root_cause::{entries, malformed, name_of, pessimistic_rank, read_text, share_within};
use super::{EvalError, Report};
use crate::engine::diagnose::deviation::{Column, ColumnKind, Normal};
use crate::engine::diagnose::{Case, scores};
use crate::model::{EntityId, EntityKind, Time, Unit};

/// Bytes in the megabyte memory is counted in.
const MEGABYTE: f64 = 1e6;

/// Columns by name.
type Frame = Vec<(String, Vec<f64>)>;

/// Runs the suite over `folder`.
pub fn run(folder: &Path) -> Result<Report, EvalError> {
    let mut ranks = Vec::new();
    let mut per_case = Vec::new();
    let mut seconds = 0.0;
    for fault in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let fault_name = name_of(&fault);
        let Some((service, _)) = fault_name.rsplit_once('-') else {
            return Err(malformed(&fault, "the folder is not called SERVICE-FAULT"));
        };
        for repetition in entries(&fault)?
            .into_iter()
            .filter(|path| path.join("normal.csv").is_file())
        {
            let normal = read_frame(&repetition.join("normal.csv"))?;
            let anomalous = read_frame(&repetition.join("anomalous.csv"))?;
            let begun = Instant::now();
            let case = case(&normal, &anomalous);
            let scores = scores(&case);
            seconds += begun.elapsed().as_secs_f64();
            let root = case.find(&EntityId::new(EntityKind::Service, service));
            let root =
                root.ok_or_else(|| malformed(&repetition, format!("no column of {service}")))?;
            let rank = pessimistic_rank(&scores, root);
            let best =
                (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
            per_case.push(json!({
                "case": format!("{fault_name}/{}", name_of(&repetition)),
                "expected": service,
                "said": best.map(|at| case.subjects[at].id.name().to_owned()),
                "rank": rank,
            }));
            ranks.push(rank);
        }
    }
    let within: Vec<f64> = (1..=5).map(|k| share_within(&ranks, k)).collect();
    Ok(Report {
        suite: "rcd",
        cases: ranks.len(),
        score: super::named([
            ("avg5", within.iter().sum::<f64>() / 5.0),
            ("ac1", within[0]),
        ]),
        per_case,
        seconds,
    })
}

fn case(normal: &Frame, anomalous: &Frame) -> Case {
    let rows = anomalous.first().map_or(0, |(_, values)| values.len());
    let mut case = Case::new(Time::ZERO, Time::ZERO, rows);
    let window: BTreeMap<&str, &Vec<f64>> = anomalous
        .iter()
        .map(|(name, values)| (name.as_str(), values))
        .collect();
    for (name, before) in normal {
        let (Some((service, metric)), Some(after)) =
            (name.split_once('_'), window.get(name.as_str()))
        else {
            continue;
        };
        let (kind, unit, scale) = measured(metric);
        let scaled = |values: &[f64]| {
            values
                .iter()
                .map(|value| value / scale)
                .collect::<Vec<f64>>()
        };
        // A column that never moved has no spread to measure by.
        if constant(before) {
            continue;
        }
        let mut quiet = scaled(before);
        let Some(normal) = Normal::of(&mut quiet, kind, unit) else {
            continue;
        };
        let subject = case.subject(&EntityId::new(EntityKind::Service, service));
        case.subjects[subject].columns.push(Column {
            name: metric.into(),
            unit,
            kind,
            normal,
            additive: false,
            limit: None,
            values: scaled(after),
        });
    }
    case
}

fn constant(values: &[f64]) -> bool {
    values
        .windows(2)
        .all(|pair| pair[0].total_cmp(&pair[1]).is_eq())
}

fn measured(metric: &str) -> (ColumnKind, Unit, f64) {
    match metric.split('_').next().unwrap_or_default() {
        "mem" => (ColumnKind::Resource, Unit::None, MEGABYTE),
        "cpu" => (ColumnKind::Resource, Unit::None, 1.0),
        "lod" => (ColumnKind::Traffic, Unit::None, 1.0),
        "lat" => (ColumnKind::Latency, Unit::Seconds, 1.0),
        "err" => (ColumnKind::Errors, Unit::Ratio, 1.0),
        _ => (ColumnKind::Other, Unit::None, 1.0),
    }
}

fn read_frame(path: &Path) -> Result<Frame, EvalError> {
    let text = read_text(path)?;
    let mut lines = text.lines();
    let header = lines.next().ok_or_else(|| malformed(path, "it is empty"))?;
    let mut frame: Frame = header
        .split(',')
        .map(|name| (name.to_owned(), Vec::new()))
        .collect();
    for line in lines {
        let mut cells = line.split(',');
        for (_, values) in &mut frame {
            values.push(
                cells
                    .next()
                    .and_then(|cell| cell.parse().ok())
                    .unwrap_or(f64::NAN),
            );
        }
    }
    frame.retain(|(name, _)| name != "time");
    Ok(frame)
}
