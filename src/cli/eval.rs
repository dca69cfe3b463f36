//! `eval`: a public labelled benchmark, or a simulated one, through the engine.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Common;
use super::output::{Failure, line, print, print_json};
use crate::eval::{Report, demo, loghub, nab, nezha, petshop, quiet, rcd, storm, systems};

/// `stormglass eval`
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Which benchmark
    suite: Suite,
    /// Its data, laid out as its authors publish it; simulated suites take none
    dir: Option<PathBuf>,
    /// Seed of a simulated suite
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Services of a simulated suite [default: 100; systems: 40]
    #[arg(long)]
    services: Option<usize>,
}

/// Services of a simulated suite unless told otherwise.
const SERVICES: usize = 100;
/// The same for suite `systems`.
const SERVICES_OF_SYSTEMS: usize = 40;
/// Cases a part of suite `systems`.
const CASES_OF_SYSTEMS: usize = 300;

/// Every suite.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// Metric anomalies.
    Nab,
    /// Log templates.
    Loghub,
    /// Root causes from metrics and a graph.
    Petshop,
    /// Root causes from metrics.
    Rcd,
    /// Root causes from metrics, logs and traces.
    Nezha,
    /// Alert storms, simulated.
    Storm,
    /// Quiet weeks, simulated.
    Quiet,
    /// Root causes anywhere in simulated systems.
    Systems,
    /// The demo's scenarios over many seeds.
    Demo,
}

pub fn run(common: &Common, args: &EvalArgs) -> Result<(), Failure> {
    let services = args.services.unwrap_or(SERVICES);
    let report = match args.suite {
        Suite::Nab => nab::run(dir(args)?),
        Suite::Loghub => loghub::run(dir(args)?),
        Suite::Petshop => petshop::run(dir(args)?),
        Suite::Rcd => rcd::run(dir(args)?),
        Suite::Nezha => nezha::run(dir(args)?),
        Suite::Storm => Ok(storm::run(args.seed, services)),
        Suite::Systems => Ok(systems::run(
            args.seed,
            CASES_OF_SYSTEMS,
            args.services.unwrap_or(SERVICES_OF_SYSTEMS),
        )),
        Suite::Demo => Ok(demo::run(args.seed)),
        Suite::Quiet => Ok(quiet::run(args.seed, services)),
    };
    let report = report.map_err(|error| Failure::new(error.to_string()))?;
    if common.json {
        return print_json(&report);
    }
    print(&text(&report))
}

fn dir(args: &EvalArgs) -> Result<&Path, Failure> {
    args.dir
        .as_deref()
        .ok_or_else(|| Failure::usage("this suite reads published data: give its directory"))
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{}: {} cases in {:.1} s\n",
        report.suite, report.cases, report.seconds
    );
    for (name, value) in &report.score {
        line(&mut text, &format!("  {name:<28} {value:.4}"));
    }
    text
}
