//! `export`: an incident as a document, for those who were not there.
//!
//! Everything in it is untrusted text made safe: control characters are gone, secrets masked, and each
//! format escapes what would be markup.

mod html;
mod markdown;
mod past;

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Common;
use super::output::{Failure, print, print_json};
use super::place::client;
use crate::api::{IncidentDetail, Panels, narrative};
use crate::model::mask::mask_secrets;
use crate::model::{Hypothesis, IncidentId, Phase, Plan, SafeText, Time, Told, counted};

/// Charts in the document, the most unusual ones.
const CHARTS_MAX: usize = 8;
/// Log groups in the document, new ones first.
const LOGS_MAX: usize = 12;
/// Suspects in the document.
const SUSPECTS_MAX: usize = 5;
/// Of many of whom the same is said, so many are named; the JSON document has each entry.
const NAMES_MAX: usize = 20;

/// `stormglass export`
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Number of the incident
    id: u64,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
    /// The file to make; it must not exist. Standard output without it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Documents there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a ticket or a wiki
    #[value(alias = "md")]
    Markdown,
    /// One self-contained page, with charts and the timeline drawn
    Html,
}

/// What both formats tell.
struct Document<'a> {
    detail: &'a IncidentDetail,
    panels: &'a Panels,
    environment: String,
    now: Time,
}

pub async fn run(common: &Common, args: &ExportArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let id = IncidentId(args.id);
    let detail = client.incident(id).await?;
    if common.json {
        return print_json(&detail);
    }
    let view = client.view().await?;
    // Of one that only the journal remembers the engine holds no telemetry.
    let panels = client.panels(id, None).await.unwrap_or_default();
    let panels = past::from_the_beginning(&client, &detail.incident, panels, view.at).await;
    let document = Document {
        detail: &detail,
        panels: &panels,
        environment: clean(&view.environment),
        now: view.at,
    };
    let text = match args.format {
        Format::Markdown => markdown::render(&document),
        Format::Html => html::render(&document),
    };
    let Some(path) = &args.out else {
        return print(&text);
    };
    let failed =
        |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    print(&format!("{} bytes in {}\n", text.len(), path.display()))
}

impl Document<'_> {
    fn title(&self) -> String {
        let incident = &self.detail.incident;
        format!("Incident {}: {}", incident.id, clean(&incident.title))
    }

    /// What a reader wants to know first: names and values.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let incident = &self.detail.incident;
        let mut facts = vec![
            ("Environment", self.environment.clone()),
            (
                "State",
                match incident.merged_into {
                    Some(home) => format!("merged into {home}"),
                    None => self.state(),
                },
            ),
            ("Severity", incident.severity.as_str().to_owned()),
            ("Most affected", clean(incident.entity.as_str())),
            ("Began", incident.began.to_rfc3339()),
        ];
        let ended = match incident.merged_into {
            Some(_) => "Merged",
            None => "Resolved",
        };
        let moments = [
            (
                "Back to normal",
                incident.mitigated.filter(|_| incident.fires() == 0),
            ),
            (ended, incident.resolved),
        ];
        let moments = moments.into_iter();
        facts.extend(moments.filter_map(|(name, at)| Some((name, at?.to_rfc3339()))));
        let owner = incident.owner.as_deref().map_or("nobody".to_owned(), clean);
        facts.push(("Owner", owner));
        let coordination = &incident.coordination;
        for (duty, who) in &coordination.duties {
            facts.push((duty.title(), clean(who)));
        }
        for task in &coordination.tasks {
            let owner = task.owner.as_deref().unwrap_or("nobody");
            let state = match (task.done, task.due) {
                (Some(at), _) => format!("done {}", at.to_rfc3339()),
                (None, Some(due)) => format!("due {}", due.to_rfc3339()),
                (None, None) => "open".to_owned(),
            };
            let text = format!("{} {}, {owner}, {state}", task.id, task.text);
            facts.push(("Task", clean(&text)));
        }
        if let Some(last) = &coordination.status {
            let text = format!("{} by {}: {}", last.at.to_rfc3339(), last.by, last.text);
            facts.push(("Status update", clean(&text)));
        }
        facts.push(("Written", self.now.to_rfc3339()));
        facts
    }

    /// Its phase; of what is hidden, by what and until when, and of what is over, what goes on nevertheless.
    fn state(&self) -> String {
        let incident = &self.detail.incident;
        let fires = u64::from(incident.fires());
        match incident.hidden() {
            Some(held) => clean(&held.words(Time::to_rfc3339)),
            None if incident.phase == Phase::Resolved && fires > 0 => {
                let fires = counted(fires, "alert still fires", "alerts still fire");
                format!("{}, though {fires}", incident.phase.as_str())
            }
            None => incident.phase.as_str().to_owned(),
        }
    }

    /// What is proposed or done about it: of what is part of another, that one tells.
    fn plans(&self) -> &[Plan] {
        match self.detail.incident.merged_into {
            Some(_) => &[],
            None => &self.detail.plans,
        }
    }

    /// Who may have caused it, likewise.
    fn suspects(&self) -> &[Hypothesis] {
        match self.detail.incident.merged_into {
            Some(_) => &[],
            None => &self.detail.incident.diagnosis.hypotheses,
        }
    }

    fn narrative(&self) -> Vec<String> {
        let utc = |at: Time| at.to_utc().format("%H:%M UTC").to_string();
        let told = narrative(&self.detail.incident, &self.detail.plans, &utc);
        told.iter().map(|sentence| clean(sentence)).collect()
    }
}

/// What entries of a timeline say, of many with whom they are and until when.
fn said(told: &Told<'_>) -> String {
    if !told.is_many() {
        return told.text();
    }
    let until = told.until().to_rfc3339();
    format!("{} ({}, until {until})", told.text(), told.names(NAMES_MAX))
}

/// Untrusted text for a document: no control characters, no secrets.
fn clean(text: &str) -> String {
    mask_secrets(&SafeText::new(text).to_string()).into_owned()
}

#[cfg(test)]
mod browser_tests;
#[cfg(test)]
mod tests;
