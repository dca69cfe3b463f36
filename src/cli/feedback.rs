//! What people think of findings: said, taken back, and listed for later evaluation.

use clap::{Args, ValueEnum};

use super::Common;
use super::act::give;
use super::output::{Failure, Table, clock, print, print_json, safe};
use super::place::client;
use crate::model::{Command, FindingId, Opinion};

/// `stormglass mark`
#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Number of the finding, as `show` prints it
    finding: u64,
    /// What you think of it
    #[arg(value_enum, required_unless_present = "undo", conflicts_with = "undo")]
    opinion: Option<Word>,
    /// Take back what was said
    #[arg(long)]
    undo: bool,
}

/// `stormglass accept`
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// Number of the finding, as `show` prints it
    finding: u64,
}

/// An opinion as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    /// Not worth telling: the bar rises for the same thing, and a little for the same thing elsewhere
    Noise,
    /// Worth telling
    Useful,
}

pub async fn mark(common: &Common, args: &MarkArgs) -> Result<(), Failure> {
    let finding = FindingId(args.finding);
    let opinion = args.opinion.map(|word| match word {
        Word::Noise => Opinion::Noise,
        Word::Useful => Opinion::Useful,
    });
    let word = opinion.map_or("no longer judged", Opinion::as_str);
    let done = format!("finding {} is {word}", args.finding);
    give(common, Command::Mark { finding, opinion }, &done).await
}

pub async fn accept(common: &Common, args: &AcceptArgs) -> Result<(), Failure> {
    let finding = FindingId(args.finding);
    let done = format!("finding {} is normal from now on", args.finding);
    give(common, Command::Accept { finding }, &done).await
}

pub async fn labels(common: &Common) -> Result<(), Failure> {
    let client = client(common)?;
    let all = client.feedback().await?;
    if common.json {
        return print_json(&all);
    }
    let now = client.view().await?.at;
    let mut table = Table::new(["FINDING", "TIME", "WHO", "OPINION", "ABOUT"]);
    for label in &all.labels {
        table.row([
            label.finding.0.to_string(),
            clock(label.at, now),
            safe(&label.by),
            label.opinion.map_or("", Opinion::as_str).to_owned(),
            safe(&format!("{} on {}", label.subject, label.entity)),
        ]);
    }
    print(&table.render())?;
    let mut table = Table::new(["BAR RAISED BY", "FOR", "ON"]);
    for bar in &all.bars {
        let on = bar.entity.as_ref().map_or("any other", |id| id.as_str());
        let raised = format!("10^{:.1}", bar.raised_by);
        table.row([raised, safe(&bar.subject), safe(on)]);
    }
    print(&format!("\n{}", table.render()))?;
    if !all.bonds.is_empty() {
        let mut table = Table::new(["BELONG", "ENTITIES", "SAID", "BY", "OF"]);
        for bond in &all.bonds {
            table.row([
                bond.bond.as_str().to_owned(),
                safe(&format!("{} {}", bond.one, bond.other)),
                clock(bond.at, now),
                safe(&bond.by),
                bond.incident.to_string(),
            ]);
        }
        print(&format!("\n{}", table.render()))?;
    }
    let held_back = all.held_back;
    print(&format!(
        "\n{held_back} observations held back since the start\n"
    ))
}
