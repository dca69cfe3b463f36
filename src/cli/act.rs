//! What people do with an incident: take, give, note, resolve, reopen, and who does what meanwhile.

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::Common;
use super::output::{Failure, incident_number, print, print_json, safe};
use super::place::client;
use crate::api::{handover, narrative};
use crate::model::mask::mask_secrets;
use crate::model::{Command, Coordinate, Duty, EntityId, Impact, IncidentId, Time, counted};

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
    #[arg(required_unless_present_any = ["undo", "change"])]
    entity: Option<String>,
    /// The change that it was, by its id or title as `show` prints it: confirms it
    #[arg(long, value_name = "CHANGE", conflicts_with_all = ["undo", "entity"])]
    change: Option<String>,
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

/// `stormglass forget`
#[derive(Debug, Args)]
pub struct ForgetArgs {
    /// One entity
    one: String,
    /// The other
    other: String,
}

/// `stormglass duty`
#[derive(Debug, Args)]
pub struct DutyArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// Which: commander, operations, communications or scribe
    #[arg(value_parser = duty_named)]
    duty: Duty,
    /// Who has it now; nobody without it
    who: Option<String>,
}

/// `stormglass task`
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// What is to be done: `call the vendor @mia in 15m`
    #[arg(required_unless_present_any = ["done", "undo"])]
    text: Vec<String>,
    /// This task is done
    #[arg(long, value_name = "TASK", conflicts_with = "text")]
    done: Option<u32>,
    /// This task is not done after all
    #[arg(long, value_name = "TASK", conflicts_with_all = ["text", "done"])]
    undo: Option<u32>,
}

/// `stormglass status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    id: u64,
    /// What those outside were told; without it a draft is printed
    text: Vec<String>,
}

/// What `status --json` prints without a text.
#[derive(Debug, Serialize)]
struct Draft<'a> {
    /// What could be told, a paragraph each.
    draft: Vec<Cow<'a, str>>,
}

fn duty_named(word: &str) -> Result<Duty, String> {
    let named = Duty::ALL.into_iter().find(|duty| duty.as_str() == word);
    named.ok_or_else(|| "must be commander, operations, communications or scribe".to_owned())
}

pub async fn duty(common: &Common, args: DutyArgs) -> Result<(), Failure> {
    let (duty, who) = (args.duty, args.who);
    coordinate(common, args.id, Coordinate::Duty { duty, who }).await
}

pub async fn task(common: &Common, args: &TaskArgs) -> Result<(), Failure> {
    let act = match (args.done, args.undo) {
        (Some(task), _) => Coordinate::Done { task, done: true },
        (None, Some(task)) => Coordinate::Done { task, done: false },
        (None, None) => Coordinate::task(&args.text.join(" ")),
    };
    coordinate(common, args.id, act).await
}

pub async fn status(common: &Common, args: &StatusArgs) -> Result<(), Failure> {
    if !args.text.is_empty() {
        let text = args.text.join(" ");
        return coordinate(common, args.id, Coordinate::Status { text }).await;
    }
    let detail = client(common)?.incident(IncidentId(args.id)).await?;
    let utc = |at: Time| at.to_utc().format("%H:%M UTC").to_string();
    let told = narrative(&detail.incident, &detail.plans, &utc);
    let told = told.iter().map(|text| mask_secrets(text));
    if common.json {
        let draft: Vec<_> = told.collect();
        return print_json(&Draft { draft });
    }
    let lines: Vec<String> = told.map(|text| safe(&text)).collect();
    print(&format!("{}\n", lines.join("\n")))
}

pub async fn hand_over(common: &Common, args: &IncidentArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let incident = IncidentId(args.id);
    let (view, detail) = (client.view().await?, client.incident(incident).await?);
    let utc = |at: Time| at.to_utc().format("%H:%M UTC").to_string();
    let parts = handover(&detail, view.at, &utc);
    if common.json {
        return print_json(&parts);
    }
    let mut text = format!("Hand-over of {incident}, {}\n", utc(view.at));
    for (heading, said) in parts {
        let _ = writeln!(text, "\n{heading}");
        for sentence in said {
            let _ = writeln!(text, "- {}", safe(&sentence));
        }
    }
    print(&text)
}

async fn coordinate(common: &Common, id: u64, act: Coordinate) -> Result<(), Failure> {
    let incident = IncidentId(id);
    let done = format!("done: {} on {incident}", act.phrase());
    give(common, Command::Coordinate { incident, act }, &done).await
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

pub async fn forget(common: &Common, args: &ForgetArgs) -> Result<(), Failure> {
    let [one, other] = [&args.one, &args.other].map(|name| EntityId::parse(name));
    let done = format!("{one} and {other} are grouped by evidence alone again");
    give(common, Command::Forget { one, other }, &done).await
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
    let detail = client(common)?.incident(incident).await?;
    let done = resolved(incident, &detail.incident.impact);
    give(common, Command::Resolve { incident }, &done).await
}

/// That an incident is over, and what lasts nevertheless: it will not open it again.
fn resolved(incident: IncidentId, impact: &Impact) -> String {
    let alerts = impact.alerts_firing + impact.alerts_held;
    let alerts = (alerts > 0).then(|| counted(alerts.into(), "alert", "alerts"));
    let findings = (impact.findings_open > 0)
        .then(|| counted(impact.findings_open.into(), "finding", "findings"));
    let lasting: Vec<String> = alerts.into_iter().chain(findings).collect();
    if lasting.is_empty() {
        return format!("{incident} is resolved");
    }
    let lasting = lasting.join(" and ");
    let open = format!("`stormglass reopen {}` does", incident.0);
    format!(
        "{incident} is resolved, though {lasting} still last: they do not open it again, {open}"
    )
}

pub async fn reopen(common: &Common, args: &IncidentArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    let done = format!("{incident} is open again");
    give(common, Command::Reopen { incident }, &done).await
}

pub async fn cause(common: &Common, args: &CauseArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.id);
    if let Some(change) = &args.change {
        return confirm(common, incident, change).await;
    }
    let cause = args.entity.as_deref().map(EntityId::parse);
    let done = match &cause {
        Some(cause) => format!("the cause of {incident} is kept: {cause}"),
        None => format!("the cause of {incident} is taken back"),
    };
    let change = None;
    let command = Command::NameCause {
        incident,
        cause,
        change,
    };
    give(common, command, &done).await
}

/// Confirms a change of an incident as its cause.
async fn confirm(common: &Common, incident: IncidentId, wanted: &str) -> Result<(), Failure> {
    let detail = client(common)?.incident(incident).await?;
    let mut changes = detail.incident.changes.iter();
    let change = changes.find(|change| *change.id == *wanted || *change.title == *wanted);
    let Some(change) = change else {
        let text = format!(
            "{incident} has no change {wanted:?}: `show {}` lists them",
            incident.0
        );
        return Err(Failure::new(text));
    };
    let done = format!("the cause of {incident} is kept: {}", safe(&change.named()));
    let command = Command::NameCause {
        incident,
        cause: Some(change.entity.clone()),
        change: Some(change.id.clone()),
    };
    give(common, command, &done).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_of_what_is_declared_over() {
        let told = |alerts_firing, alerts_held, findings_open| {
            let impact = Impact {
                alerts_firing,
                alerts_held,
                findings_open,
                ..Impact::default()
            };
            resolved(IncidentId(7), &impact)
        };
        assert_eq!(told(0, 0, 0), "#7 is resolved");
        let reopen = "they do not open it again, `stormglass reopen 7` does";
        let cases = [
            ((1, 0, 0), "1 alert"),
            ((1, 2, 1), "3 alerts and 1 finding"),
            ((0, 0, 2), "2 findings"),
        ];
        for ((firing, held, open), lasting) in cases {
            let expected = format!("#7 is resolved, though {lasting} still last: {reopen}");
            assert_eq!(told(firing, held, open), expected);
        }
    }
}
