//! `stormglass demo`: the simulated shop through exactly the pipeline that real telemetry takes.
//!
//! The simulation replaces senders and executors, nothing else: queue, engine, journal, API and
//! console are the real ones. `--headless` drives the engine at full speed in virtual time instead.

use clap::{Args, ValueEnum};

use super::Common;
use super::output::{Failure, print, print_json};
use crate::config::demo_runbooks;
use crate::eval::drive::{self, Approve};
use crate::model::Time;
use crate::sim::Scenario;

/// 2026-01-14T12:00:00Z, a Wednesday: when headless runs start unless told otherwise.
const HEADLESS_START: Time = Time::from_secs(1_768_392_000);

/// Options of the demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// What breaks
    #[arg(default_value_t = Scenario::BadDeploy, value_name = "SCENARIO")]
    scenario: Scenario,
    /// The same seed tells the same story
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run at full speed without a screen, and print what was injected beside what was concluded
    #[arg(long)]
    headless: bool,
    /// What a simulated person approves
    #[arg(long, value_enum, default_value_t = Approval::None, requires = "headless")]
    approve: Approval,
}

/// See [`Approve`].
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Approval {
    /// A plan that heals the fault
    Right,
    /// A plan that does not
    Wrong,
    /// Nothing
    None,
}

/// Runs a scenario and prints its conclusion as one JSON object, or as a few lines.
pub fn run(common: &Common, args: &DemoArgs) -> Result<(), Failure> {
    let approve = match args.approve {
        Approval::Right => Approve::Right,
        Approval::Wrong => Approve::Wrong,
        Approval::None => Approve::None,
    };
    let conclusion = drive::run(
        args.scenario,
        args.seed,
        HEADLESS_START,
        demo_runbooks(),
        approve,
    );
    if common.json {
        print_json(&conclusion)
    } else {
        print(&conclusion.to_string())
    }
}
