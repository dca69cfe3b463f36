//! `rules`: what the team knows of alerts that are one incident, and what other rules would have done.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Common;
use super::output::{Failure, Table, line, print, print_json, safe};
use super::place::{Place, client, settings_of};
use super::replay::begun;
use crate::config::{EngineConfig, RuleConfig};
use crate::daemon::Clock;
use crate::engine::Engine;
use crate::eval::trial::{Outcome, Trial};
use crate::model::{StageRow, Time, counted};
use crate::store::recorder::{Begins, RECORDER_FOLDER, Recording};

/// An hour in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// Incidents that are told of each one that differs; the rest are counted.
const TOLD_MAX: usize = 5;

/// `stormglass rules`
#[derive(Debug, Args)]
pub struct RulesArgs {
    #[command(subcommand)]
    what: RulesCmd,
}

#[derive(Debug, Subcommand)]
enum RulesCmd {
    /// List the rules of the config, with how often each was followed
    List,
    /// Say what rules would have made of what was recorded: through two engines, with and without
    Try(TryArgs),
}

/// What to try on what.
#[derive(Debug, Args)]
struct TryArgs {
    /// A config file whose rules are tried, enabled or not; default: all rules of the config
    file: Option<PathBuf>,
    /// Try them on the last hours that were recorded
    #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u16).range(1..))]
    hours: u16,
    /// Try them on this recording instead, all of it: a file made by `record`, or a recorder's folder
    #[arg(long, value_name = "FILE", conflicts_with = "hours")]
    recording: Option<PathBuf>,
}

/// A rule as `list --json` tells it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    enabled: bool,
    what: String,
    /// Entities it placed and incidents it merged since the daemon's start, if it knows the rule.
    followed: Option<u64>,
}

pub async fn run(common: &Common, args: &RulesArgs) -> Result<(), Failure> {
    match &args.what {
        RulesCmd::List => list(common).await,
        RulesCmd::Try(args) => try_out(common, args),
    }
}

async fn list(common: &Common) -> Result<(), Failure> {
    let place = Place::find(common)?;
    // Without a daemon the rules can be read all the same.
    let stages = match client(common) {
        Ok(client) => client.stages().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let listed = place.config.engine.rules.iter().map(|rule| {
        let mut rows = stages.iter().filter(|row| *row.of == *StageRow::OF_RULE);
        let row = rows.find(|row| *row.name == *rule.name);
        Listed {
            name: rule.name.clone(),
            enabled: rule.enabled,
            what: rule.what(),
            followed: row.map(|row| row.total),
        }
    });
    let listed: Vec<Listed> = listed.collect();
    if common.json {
        return print_json(&listed);
    }
    let mut table = Table::new(["RULE", "ENABLED", "FOLLOWED", "WHAT IT SAYS"]);
    for rule in listed {
        let followed = rule
            .followed
            .map_or_else(|| "-".to_owned(), |n| n.to_string());
        let enabled = if rule.enabled { "yes" } else { "no" };
        table.row([rule.name, enabled.to_owned(), followed, rule.what]);
    }
    print(&table.render())
}

fn try_out(common: &Common, args: &TryArgs) -> Result<(), Failure> {
    let place = Place::find(common)?;
    let now = place.config.engine.rules.clone();
    let then = match &args.file {
        Some(file) => settings_of(file)?.engine.rules,
        None => now.clone(),
    };
    let enabled = |rule: RuleConfig| RuleConfig {
        enabled: true,
        ..rule
    };
    let then: Vec<RuleConfig> = then.into_iter().map(enabled).collect();
    if then == now {
        return Err(Failure::usage(
            "there is nothing to try: give a file with other [[rules]], or write some with `enabled = false`",
        ));
    }
    let (path, from) = if let Some(path) = &args.recording {
        (path.clone(), None)
    } else {
        let from = Clock::real()
            .now()
            .plus_ms(-HOUR_MS * i64::from(args.hours));
        let folder = place.data_dir.join(RECORDER_FOLDER);
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(Failure::new(format!(
                "nothing was recorded in {folder}: is `recorder.enabled` off, or --data-dir another?"
            )));
        }
        (folder, Some(from))
    };
    let outcome = replay(&path, from, &now, &then)?;
    if common.json {
        return print_json(&outcome);
    }
    print(&text(&outcome))
}

/// The recording through two engines that begin alike, but for their rules. Starts of the daemon within
/// it are gone over: what it knew then came from the rules it had.
fn replay(
    path: &Path,
    from: Option<Time>,
    now: &[RuleConfig],
    then: &[RuleConfig],
) -> Result<Outcome, Failure> {
    let mut recording = Recording::open(path, from)?;
    let mut incomplete = Vec::new();
    let mut trial: Option<Trial> = None;
    while let Some(frame) = recording.next_frame()? {
        let trial = trial.get_or_insert_with(|| {
            let begins = frame.begins.as_ref().unwrap_or(&Begins::Unknown);
            let mut engine = |rules: &[RuleConfig]| -> Engine {
                incomplete.clear();
                let with_rules = |engine: &EngineConfig| EngineConfig {
                    rules: rules.to_vec(),
                    ..engine.clone()
                };
                begun(&recording, begins, with_rules, &mut incomplete)
            };
            Trial::new(engine(now), engine(then))
        });
        for stamped in frame.inputs {
            trial.input(stamped);
        }
    }
    let Some(trial) = trial else {
        return Err(Failure::new(format!("{} holds no inputs", path.display())));
    };
    let missing = recording.missing();
    if missing > 0 {
        let inputs = counted(missing, "input is", "inputs are");
        incomplete.push(format!("{inputs} missing in the recording"));
    }
    Ok(trial.conclude(incomplete))
}

fn text(outcome: &Outcome) -> String {
    let Outcome {
        from,
        to,
        alerts,
        incidents_now,
        incidents_then,
        left_out,
        not_compared,
        rules,
        differ,
        incomplete,
        ..
    } = outcome;
    let count = |n: &usize, one, many| counted(*n as u64, one, many);
    let mut text = format!(
        "{} to {}\n{} -> {} with these rules, {incidents_now} as it is now\n",
        from.to_rfc3339(),
        to.to_rfc3339(),
        count(alerts, "alert", "alerts"),
        count(incidents_then, "incident", "incidents"),
    );
    for rule in rules {
        let (name, what) = (safe(&rule.name), safe(&rule.what));
        let times = counted(rule.times, "time", "times");
        line(
            &mut text,
            &format!("rule {name}: followed {times} ({what})"),
        );
    }
    if differ.is_empty() {
        line(&mut text, "no incident differs");
    } else {
        line(&mut text, "these differ:");
    }
    for one in differ {
        let told = one.now.iter().take(TOLD_MAX);
        let mut were: Vec<String> = told.map(|(id, n)| format!("{n} in {id}")).collect();
        if one.now.len() > TOLD_MAX {
            let more = &(one.now.len() - TOLD_MAX);
            were.push(count(more, "other incident", "other incidents"));
        }
        let alerts = count(&one.alerts, "alert", "alerts");
        let (id, title, moved) = (one.incident, safe(&one.title), one.moved);
        let were = were.join(", ");
        line(
            &mut text,
            &format!("  {id} {title}: {alerts}, {moved} moved; now {were}"),
        );
    }
    if *left_out > 0 {
        let decisions = counted(*left_out, "decision or step", "decisions and steps");
        line(&mut text, &format!("left out of both: {decisions}"));
    }
    if *not_compared > 0 {
        let alerts = count(not_compared, "alert", "alerts");
        line(&mut text, &format!("too many to compare: {alerts}"));
    }
    for sentence in incomplete {
        line(&mut text, &format!("incomplete: {}", safe(sentence)));
    }
    text
}
