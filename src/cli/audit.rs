//! `audit`: the journal as people read it, and whether it is what was written.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Common;
use super::output::{Failure, Table, at_least_one, clock, print, print_json, safe};
use super::place::{Place, client};
use crate::api::AuditEntry;
use crate::model::{Opinion, Record, StepEventKind, command_line, counted};
use crate::store::JOURNAL_FILE;
use crate::store::journal::{self, Doubt, Head, Verified};

/// Lines printed when nothing else is asked for: the latest.
const LINES: usize = 50;
/// Lines asked for at once.
const LINES_PAGE: usize = 1_000;

/// `stormglass audit`
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    what: Option<AuditCmd>,
    /// Only lines after this one
    #[arg(long, value_name = "LINE")]
    after: Option<u64>,
    /// At most this many lines, the latest of them without --after
    #[arg(long, default_value_t = LINES, value_parser = at_least_one)]
    limit: usize,
}

/// What about the journal.
#[derive(Debug, Subcommand)]
enum AuditCmd {
    /// Check every line against the one before; names the first that was changed, cut or moved
    Verify {
        /// A journal elsewhere; no daemon is needed
        file: Option<PathBuf>,
        /// Where it ended when you last looked, as `journal.jsonl.head` said then
        #[arg(long, value_name = "LINES HASH")]
        head: Option<String>,
    },
}

pub async fn run(common: &Common, args: &AuditArgs) -> Result<(), Failure> {
    match &args.what {
        Some(AuditCmd::Verify { file, head }) => verify(common, file.clone(), head.as_deref()),
        None => lines(common, args).await,
    }
}

fn verify(common: &Common, file: Option<PathBuf>, head: Option<&str>) -> Result<(), Failure> {
    let path = match file {
        Some(path) => path,
        // The default folder may be another daemon's.
        None if common.socket.is_some() && common.data_dir.is_none() => {
            return Err(Failure::usage(
                "a journal is checked where it lies, and --socket does not say where that daemon keeps its own: give --data-dir DIR, or the file",
            ));
        }
        None => Place::data_dir_for_client(common)?.join(JOURNAL_FILE),
    };
    let head = match head {
        Some(text) => Some(Head::parse(text).ok_or_else(|| {
            Failure::usage("--head: write it as it stands in journal.jsonl.head: LINES HASH")
        })?),
        None => None,
    };
    let name = path.display();
    let checked = journal::verify(&path, head.as_ref()).map_err(|error| {
        let elsewhere = match error.kind() {
            ErrorKind::NotFound => {
                " (a daemon that keeps it elsewhere: give --data-dir, or the file)"
            }
            _ => "",
        };
        Failure::new(format!("cannot read {name}: {error}{elsewhere}"))
    })?;
    let verified = match checked {
        Ok(verified) => verified,
        Err(broken) => {
            if common.json {
                print_json(&broken)?;
            }
            return Err(Failure::new(format!("{name}: {broken}")));
        }
    };
    if common.json {
        print_json(&verified)?;
    }
    let lines = counted(verified.lines, "line", "lines");
    if let Some(gap) = gap(&verified, &name.to_string()) {
        return Err(Failure::new(format!(
            "{name}: {lines}, each as it was written; but {gap}"
        )));
    }
    if common.json {
        return Ok(());
    }
    let crash = crash(&verified, &name.to_string());
    print(&format!("{name}: {lines}, as written{crash}\n"))
}

/// Why lines may be missing although those that are there are as they were written.
fn gap(verified: &Verified, name: &str) -> Option<String> {
    const BY_HAND: &str = "give the end as you noted it with --head";
    if !verified.end_checked {
        return Some(format!(
            "{name}.head is missing or unreadable, so that nobody can tell whether later lines were cut off: {BY_HAND}"
        ));
    }
    if !verified.is_end_known() {
        let after = verified.lines_after_noted;
        return Some(format!(
            "{name}.head is older than the last {after} of them, more than a crash leaves behind: most likely an older one was put there, and nobody can tell whether later lines were cut off: {BY_HAND}"
        ));
    }
    let doubts = doubts(&verified.doubts)?;
    Some(format!(
        "{doubts}: whether lines were cut off or replaced before that, nobody can tell"
    ))
}

/// What a crash left behind, which is no sign that anybody touched the journal; empty when there is nothing.
fn crash(verified: &Verified, name: &str) -> String {
    let mut left = Vec::new();
    if verified.lines_after_noted > 0 {
        let after = counted(verified.lines_after_noted, "line", "lines");
        left.push(format!(
            "; {name}.head is {after} behind, as a crash leaves it: the next start notes the end anew"
        ));
    }
    if verified.unfinished_bytes > 0 {
        let bytes = counted(verified.unfinished_bytes, "byte", "bytes");
        left.push(format!(
            ", and {bytes} of an unfinished line, which the next start drops"
        ));
    }
    left.concat()
}

/// What starts found about the lines before them; `None` when none found anything.
fn doubts(doubts: &[Doubt]) -> Option<String> {
    let each = doubts.iter().map(|doubt| {
        let found = doubt.found.join("; ");
        let at = doubt.at.to_rfc3339();
        format!("line {} (start of {at}) says: {}", doubt.line, safe(&found))
    });
    (!doubts.is_empty()).then(|| each.collect::<Vec<_>>().join("; "))
}

async fn lines(common: &Common, args: &AuditArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let mut entries: Vec<AuditEntry> = Vec::new();
    let mut after = match args.after {
        // One answer holds no more than a page: the latest of more begin so many lines before the end.
        None if args.limit > LINES_PAGE => {
            let total = client.audit(None, 1).await?.total;
            Some(total.saturating_sub(args.limit as u64))
        }
        after => after,
    };
    loop {
        let wanted = args
            .limit
            .saturating_sub(entries.len())
            .clamp(1, LINES_PAGE);
        let page = client.audit(after, wanted).await?;
        after = page.items.last().map(|entry| entry.line);
        entries.extend(page.items);
        if page.next.is_none() || entries.len() >= args.limit {
            break;
        }
    }
    if common.json {
        return print_json(&entries);
    }
    let now = client.view().await?.at;
    let mut table = Table::new(["LINE", "TIME", "WHO", "WHAT"]);
    for entry in &entries {
        let (who, what) = words(&entry.record);
        let line = entry.line.to_string();
        table.row([line, clock(entry.at, now), safe(&who), safe(&what)]);
    }
    print(&table.render())
}

/// Who and what, in one line of plain words; `--json` has everything.
fn words(record: &Record) -> (String, String) {
    let engine = || "engine".to_owned();
    match record {
        Record::Started {
            version,
            found,
            unclean,
            ..
        } => ("daemon".to_owned(), started(version, found, *unclean)),
        Record::ClockSetBack { from, to } => (
            "daemon".to_owned(),
            format!("clock set back from {from} to {to}"),
        ),
        Record::Label { label } => {
            let opinion = label.opinion.map_or("not judged", Opinion::as_str);
            let what = format!(
                "finding {} is {opinion}: {} on {}",
                label.finding.0, label.subject, label.entity
            );
            (label.by.clone(), what)
        }
        Record::Silence { silence } => {
            let (id, kind, matchers) =
                (silence.id.0, silence.kind.as_str(), silence.matchers_text());
            let what = format!("{kind} {id} until {}: {matchers}", silence.ends_at);
            (engine(), what)
        }
        Record::Decision { by, what, refused } => {
            let outcome = refused
                .as_ref()
                .map_or_else(String::new, |why| format!(" REFUSED: {why}"));
            (by.name.clone(), format!("{}{outcome}", what.phrase()))
        }
        Record::Incident { incident } => {
            let (id, phase) = (incident.id, incident.phase.as_str());
            (
                engine(),
                format!("incident {id} {phase}: {}", incident.title),
            )
        }
        Record::Plan { plan } => {
            let (id, state) = (plan.id, plan.state.as_str());
            (engine(), format!("{id} {state}: {}", plan.title))
        }
        Record::Intent { run, argv } => (engine(), format!("{run} runs: {}", command_line(argv))),
        Record::Result { event } => {
            let what = result(&event.kind);
            ("executor".to_owned(), format!("{} {what}", event.run))
        }
    }
}

/// A start, and what it says of the run before.
fn started(version: &str, found: &[String], unclean: bool) -> String {
    if !found.is_empty() {
        return format!("FOUND at its start: {}", found.join("; "));
    }
    let before = if unclean {
        "; the run before DID NOT END IN ORDER: killed, crashed, the machine went down, or the journal could not be written"
    } else {
        ""
    };
    format!("started, version {version}{before}")
}

/// What was heard of a run.
fn result(kind: &StepEventKind) -> String {
    match kind {
        StepEventKind::Output(line) => format!("says: {line}"),
        StepEventKind::Finished(outcome) => outcome.to_string(),
        StepEventKind::Began(process) => format!("is pid {}", process.pid),
        StepEventKind::Lives(process) => format!(
            "still runs after a restart: pid {} since {}",
            process.pid, process.began
        ),
        StepEventKind::Gone => "ended while nobody listened".to_owned(),
        StepEventKind::NotKnown => {
            "may still run after a restart: that cannot be found out".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Actor, Command, IncidentId, Outcome, PlanId, Refusal, Role, RunId, RunPhase, StepEvent,
    };

    #[test]
    fn lines_are_plain_words() {
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        let run = RunId {
            plan: PlanId(3),
            phase: RunPhase::Forward,
            step: 0,
        };
        let decision = |what, refused| Record::Decision {
            by: by.clone(),
            what,
            refused,
        };
        let plan = PlanId(3);
        let digest = "9f2c".to_owned();
        let cases = [
            (
                decision(
                    Command::Acknowledge {
                        incident: IncidentId(1),
                    },
                    None,
                ),
                ("mia", "acknowledge #1"),
            ),
            (
                decision(
                    Command::Approve { plan, digest },
                    Some(Refusal::NoPlan { plan }),
                ),
                ("mia", "approve plan 3 REFUSED: there is no plan 3"),
            ),
            (
                Record::Intent {
                    run,
                    argv: vec!["kubectl".into(), "scale".into(), "two words".into()],
                },
                ("engine", "plan 3, step 1 runs: kubectl scale 'two words'"),
            ),
            (
                Record::Result {
                    event: StepEvent {
                        run,
                        kind: StepEventKind::Finished(Outcome::Succeeded),
                    },
                },
                ("executor", "plan 3, step 1 succeeded"),
            ),
        ];
        for (record, (who, what)) in cases {
            assert_eq!(words(&record), (who.to_owned(), what.to_owned()));
        }
    }
}
