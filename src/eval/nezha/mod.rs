//! `nezha`: root cause from metrics, logs and traces, in the layout of the Nezha data set.
//!
//! Takes the folder that `unpack.sh` made (with `faults.json`), or the folder that holds it as `nezha_tt`. Days are
//! played in order; the fault-free stretch of a day is its history. Nothing later than a fault's own files is seen,
//! and what was seen from two minutes before a fault on is forgotten afterwards.

mod data;
mod topology;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::data::{CpuRow, Fault, Services, Stretch};
use super::root_cause::{malformed, pessimistic_rank, read_text, share_within};
use super::{EvalError, Report};
use crate::engine::diagnose::deviation::{Column, ColumnKind, Normal};
use crate::engine::diagnose::{Case, Dependency, GUARD_MS, SubjectIx, Vocabulary, Witness, scores};
use crate::engine::logs::{FORMS_MAX, Miner, TemplateId};
use crate::model::{EntityId, EntityKind, LogLevel, Provenance, Time, Unit};

/// Seeds over which results on sampled traces are averaged.
const SAMPLING_SEEDS: u64 = 5;
/// The share of traces kept by head sampling, in percent.
const SAMPLED_PERCENT: u64 = 20;
/// CPU history looked at.
const CPU_HISTORY_MS: i64 = 2 * 3_600_000;
/// A CPU sample speaks for the minute before it.
const CPU_INTERVAL_MS: i64 = 60_000;
/// Words among which a line's level is looked for.
const LEVEL_WORDS: usize = 6;

/// Which part of the telemetry the engine gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// All of it.
    Full,
    /// Log lines without their trace ids.
    Unlinked,
    /// Spans of a share of traces; all log lines.
    Sampled {
        /// Draws the sample.
        seed: u64,
    },
}

/// The data set in memory.
struct Data {
    faults: Vec<(Fault, Stretch)>,
    quiet: BTreeMap<String, Stretch>,
    cpu: BTreeMap<usize, Vec<CpuRow>>,
    services: Services,
}

/// The engine's side of one run.
struct Run<'a> {
    data: &'a Data,
    mode: Mode,
    witness: Witness,
    miner: Miner,
    calls: Vec<(usize, usize)>,
    ids: Vec<EntityId>,
}

/// Runs the suite over `folder`.
pub fn run(folder: &Path) -> Result<Report, EvalError> {
    let data = load(&find_root(folder)?)?;
    let begun = Instant::now();
    let full = ranks(&data, Mode::Full);
    let seconds = begun.elapsed().as_secs_f64();
    let unlinked = ranks(&data, Mode::Unlinked);
    let sampled: Vec<Vec<Outcome>> = (0..SAMPLING_SEEDS)
        .map(|seed| ranks(&data, Mode::Sampled { seed }))
        .collect();
    let within = |outcomes: &[Outcome], k: usize| {
        share_within(
            &outcomes
                .iter()
                .map(|outcome| outcome.rank)
                .collect::<Vec<_>>(),
            k,
        )
    };
    let sampled_within =
        |k: usize| sampled.iter().map(|run| within(run, k)).sum::<f64>() / SAMPLING_SEEDS as f64;
    let stretches: Vec<&Stretch> = data
        .quiet
        .values()
        .chain(data.faults.iter().map(|(_, s)| s))
        .collect();
    let score = super::named([
        ("as1", within(&full, 1)),
        ("as3", within(&full, 3)),
        ("as5", within(&full, 5)),
        ("as1_unlinked", within(&unlinked, 1)),
        ("as3_unlinked", within(&unlinked, 3)),
        ("as5_unlinked", within(&unlinked, 5)),
        ("as1_sampled20", sampled_within(1)),
        ("as3_sampled20", sampled_within(3)),
        ("as5_sampled20", sampled_within(5)),
        ("topology_f1_100", topology::edge_f1(&stretches, 100)),
        ("topology_f1_10", topology::edge_f1(&stretches, 10)),
        ("topology_f1_1", topology::edge_f1(&stretches, 1)),
    ]);
    let per_case = data
        .faults
        .iter()
        .enumerate()
        .map(|(at, (fault, _))| {
            json!({
                "case": fault.id,
                "expected": fault.service,
                "said": full[at].said,
                "rank": full[at].rank,
                "rank_unlinked": unlinked[at].rank,
                "rank_sampled20": sampled.iter().map(|run| run[at].rank).collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(Report {
        suite: "nezha",
        cases: data.faults.len(),
        score,
        per_case,
        seconds,
    })
}

fn find_root(folder: &Path) -> Result<PathBuf, EvalError> {
    let found = [folder.to_owned(), folder.join("nezha_tt")]
        .into_iter()
        .find(|path| path.join("faults.json").is_file());
    found.ok_or_else(|| {
        malformed(
            folder,
            "no faults.json here or in nezha_tt; unpack the archive and pass its folder",
        )
    })
}

fn load(root: &Path) -> Result<Data, EvalError> {
    let path = root.join("faults.json");
    let mut faults: Vec<Fault> = serde_json::from_str(&read_text(&path)?)
        .map_err(|error| malformed(&path, error.to_string()))?;
    faults.sort_by_key(|fault| fault.inject_unix);
    let mut services = Services::default();
    let mut quiet = BTreeMap::new();
    let mut cpu = BTreeMap::new();
    for fault in &faults {
        if quiet.contains_key(&fault.day) {
            continue;
        }
        data::cpu(
            &root.join("rca_data").join(&fault.day),
            &mut services,
            &mut cpu,
        )?;
        let mut stretch = data::stretch(
            &root.join("construct_data").join(&fault.day),
            None,
            &mut services,
        )?;
        // The fault-free stretch is given as history; where it was recorded later than the day's first fault,
        // its clock is set back so that it ends before.
        stretch.end_before(Time::from_secs(fault.inject_unix).plus_ms(-2 * GUARD_MS));
        quiet.insert(fault.day.clone(), stretch);
    }
    let faults = faults
        .into_iter()
        .map(|fault| {
            let folder = root.join("rca_data").join(&fault.day);
            let stretch = data::stretch(&folder, Some(&fault.minutes), &mut services)?;
            Ok((fault, stretch))
        })
        .collect::<Result<_, EvalError>>()?;
    Ok(Data {
        faults,
        quiet,
        cpu,
        services,
    })
}

/// What was said about one fault.
struct Outcome {
    rank: usize,
    said: String,
}

fn ranks(data: &Data, mode: Mode) -> Vec<Outcome> {
    let mut run = Run::new(data, mode);
    let mut day = "";
    data.faults
        .iter()
        .map(|(fault, stretch)| {
            if fault.day != day {
                day = &fault.day;
                if let Some(quiet) = data.quiet.get(day) {
                    run.feed(quiet);
                }
            }
            run.judge(fault, stretch)
        })
        .collect()
}

impl<'a> Run<'a> {
    fn new(data: &'a Data, mode: Mode) -> Self {
        let ids: Vec<EntityId> = data
            .services
            .names
            .iter()
            .map(|name| EntityId::new(EntityKind::Service, name))
            .collect();
        Self {
            data,
            mode,
            witness: Witness::default(),
            miner: Miner::new(FORMS_MAX),
            calls: Vec::new(),
            ids,
        }
    }

    /// Plays a stretch: spans and lines in order of time.
    fn feed(&mut self, stretch: &Stretch) {
        let spans: BTreeMap<u64, usize> = stretch
            .spans
            .iter()
            .enumerate()
            .map(|(at, span)| (span.span, at))
            .collect();
        let mut lines = stretch.logs.iter().peekable();
        for span in &stretch.spans {
            while let Some(line) = lines.next_if(|line| line.at <= span.start) {
                self.line(line);
            }
            if !self.keeps(span.trace) {
                continue;
            }
            let Some(seen) = self.witness.look(span.trace, span.service, span.start) else {
                continue;
            };
            self.witness.span(seen, &span.name, false);
            let Some(caller) = spans.get(&span.parent).map(|at| &stretch.spans[*at]) else {
                continue;
            };
            if caller.service != span.service {
                let ends = (caller.service, span.service);
                let waits = (caller.duration_us, span.duration_us);
                let seen = self.witness.look(span.trace, ends.0, span.start);
                if let Some(seen) = seen {
                    self.witness.call(seen, ends.1, waits.0, waits.1);
                }
                if !self.calls.contains(&ends) {
                    self.calls.push(ends);
                }
            }
        }
        for line in lines {
            self.line(line);
        }
        if let Some(end) = stretch.end() {
            self.witness.advance(end);
        }
    }

    fn line(&mut self, line: &data::LogRow) {
        let learned = self.miner.learn(&line.text);
        let trace = line.trace.filter(|_| self.mode != Mode::Unlinked);
        let error = level(&line.text) >= Some(LogLevel::Error);
        let (service, at) = (line.service, line.at);
        let seen = match trace {
            Some(trace) => self.witness.look(trace, service, at),
            None => self
                .witness
                .look_at_run(service, at, learned.template, &line.text),
        };
        if let Some(seen) = seen {
            self.witness.line(seen, learned.template, &line.text, error);
        }
    }

    fn keeps(&self, trace: u64) -> bool {
        match self.mode {
            Mode::Sampled { seed } => sampled(trace, seed, SAMPLED_PERCENT),
            Mode::Full | Mode::Unlinked => true,
        }
    }

    fn judge(&mut self, fault: &Fault, stretch: &Stretch) -> Outcome {
        let alert = Time::from_secs(fault.inject_unix);
        self.feed(stretch);
        let end = stretch.end().unwrap_or(alert);
        let case = self.case(alert, end);
        for service in 0..self.ids.len() {
            let from = alert.plus_ms(-GUARD_MS);
            self.witness.trouble(service, from, end);
        }
        let scores = scores(&case);
        let best =
            (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
        // A service that was never seen is ranked behind everyone.
        let rank = self
            .data
            .services
            .find(&fault.service)
            .map_or(scores.len() + 1, |truth| pessimistic_rank(&scores, truth));
        Outcome {
            rank,
            said: best
                .map(|at| self.data.services.names[at].clone())
                .unwrap_or_default(),
        }
    }

    /// The case as the engine sees it at the end of the fault's own files.
    fn case(&self, alert: Time, now: Time) -> Case {
        let mut case = Case::new(now, alert, 1);
        for id in &self.ids {
            case.subject(id);
        }
        case.dependencies = self
            .calls
            .iter()
            .map(|(from, to)| Dependency {
                from: *from,
                to: *to,
                provenance: Provenance::Traced,
                age_ms: 0,
                calls: None,
            })
            .collect();
        let subjects: BTreeMap<usize, SubjectIx> = (0..self.ids.len()).map(|ix| (ix, ix)).collect();
        self.witness.testify(&mut case, alert, &subjects, self);
        for (service, rows) in &self.data.cpu {
            case.subjects[*service]
                .columns
                .extend(cpu_column(rows, alert, now));
        }
        case
    }
}

impl Vocabulary for Run<'_> {
    fn current(&self, template: TemplateId) -> TemplateId {
        self.miner.current(template).unwrap_or(template)
    }

    fn template(&self, template: TemplateId) -> Option<&str> {
        self.miner.template(template)
    }

    fn service(&self, service: usize) -> &str {
        &self.data.services.names[service]
    }
}

/// CPU in the minutes after the alert against the last two hours before it.
fn cpu_column(rows: &[CpuRow], alert: Time, now: Time) -> Option<Column> {
    let before = (alert.plus_ms(-CPU_HISTORY_MS), alert.plus_ms(-GUARD_MS));
    let mut quiet: Vec<f64> = rows
        .iter()
        .filter(|row| row.at > before.0 && row.at < before.1)
        .map(|row| row.usage)
        .collect();
    let normal = Normal::of(&mut quiet, ColumnKind::Resource, Unit::Ratio)?;
    let window = rows
        .iter()
        .filter(|row| row.at >= alert && row.at <= now.plus_ms(CPU_INTERVAL_MS / 2));
    let highest = window.map(|row| row.usage).max_by(f64::total_cmp)?;
    Some(Column {
        name: "cpu".into(),
        unit: Unit::Ratio,
        kind: ColumnKind::Resource,
        normal,
        additive: false,
        limit: None,
        values: vec![highest],
    })
}

/// Whether head sampling with `seed` keeps this trace.
fn sampled(trace: u64, seed: u64, percent: u64) -> bool {
    xxh3_64_with_seed(&trace.to_le_bytes(), seed) % 100 < percent
}

/// The level a line names near its start.
fn level(text: &str) -> Option<LogLevel> {
    text.split_whitespace()
        .take(LEVEL_WORDS)
        .find_map(LogLevel::parse)
}
