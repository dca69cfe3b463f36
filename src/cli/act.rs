//! What people do with an incident: take, give, note, resolve, reopen.

use clap::Args;

use super::Common;
use super::output::{Failure, incident_number, print, print_json};
use super::place::client;
use crate::model::{Command, EntityId, IncidentId};

/// A command about one incident.
#[derive(Debug, Args)]
pub struct IncidentArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
}

/// `stormglass assign`
#[derive(Debug, Args)]
pub struct AssignArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// Who takes it
    to: String,
}

/// `stormglass note`
#[derive(Debug, Args)]
pub struct NoteArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// What to write down
    #[arg(required = true)]
    text: Vec<String>,
}

/// `stormglass cause`
#[derive(Debug, Args)]
pub struct CauseArgs {
    /// Number of the incident
    id: u64,
    /// Where the cause was: `kind/name`, or a bare service name
    #[arg(required_unless_present = "undo")]
    entity: Option<String>,
    /// Take back what was said
    #[arg(long, conflicts_with = "entity")]
    undo: bool,
}

/// `stormglass merge`
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Number of the incident that is part of another
    id: u64,
    /// Number of the other, which stays
    into: u64,
}

/// `stormglass split`
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// Number of the incident
    id: u64,
    /// Entities that are another story, the cause first: `payments` or `host/node-1`
    #[arg(required = true)]
    entities: Vec<String>,
}

pub async fn merge(common: &Common, args: &MergeArgs) -> Result<(), Failure> {
    let (incident, into) = (IncidentId(args.id), IncidentId(args.into));
    let done = format!("{incident} is part of {into} now; `split` undoes it");
    give(common, Command::Merge { incident, into }, &done).await
}

pub async fn split(common: &Common, args: &SplitArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let entities = args.entities.iter().map(|name| EntityId::parse(name));
    let entities = entities.collect();
    let done = format!("{incident} is split; `merge` undoes it");
    give(common, Command::Split { incident, entities }, &done).await
}

pub async fn acknowledge(common: &Common, args: &IncidentArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let done = format!("{incident} is yours");
    give(common, Command::Acknowledge { incident }, &done).await
}

pub async fn assign(common: &Common, args: AssignArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let done = format!("{incident} is given to {}", args.to);
    let to = args.to;
    give(common, Command::Assign { incident, to }, &done).await
}

pub async fn note(common: &Common, args: NoteArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let text = args.text.join(" ");
    let done = format!("noted on {incident}");
    give(common, Command::Note { incident, text }, &done).await
}

pub async fn resolve(common: &Common, args: &IncidentArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let done = format!("{incident} is resolved");
    give(common, Command::Resolve { incident }, &done).await
}

pub async fn reopen(common: &Common, args: &IncidentArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let done = format!("{incident} is open again");
    give(common, Command::Reopen { incident }, &done).await
}

pub async fn cause(common: &Common, args: &CauseArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let cause = args.entity.as_deref().map(EntityId::parse);
    let done = match &cause {
        Some(cause) => format!("the cause of {incident} is kept: {cause}"),
        None => format!("the cause of {incident} is taken back"),
    };
    give(common, Command::NameCause { incident, cause }, &done).await
}

/// Gives a command and says what came of it; a refusal is a failure.
pub(super) async fn give(common: &Common, command: Command, done: &str) -> Result<(), Failure> {
    let reply = client(common)?.command(&command).await?;
    if common.json {
        print_json(&reply)?;
    }
    match reply.refused {
        Some(refusal) => Err(Failure::new(format!("refused: {refusal}"))),
        None if common.json => Ok(()),
        None => {
            let notice = reply.notice.as_deref();
            print(&format!(
                "{}\n",
                super::output::safe(notice.unwrap_or(done))
            ))
        }
    }
}
