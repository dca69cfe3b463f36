//! Plans: listed, shown with everything they would run, approved as shown, rejected, rolled back.
//!
//! An approval binds the digest of what was printed here; without a person at the terminal the
//! digest has to be given, so that no script approves what nobody has seen.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead as _, IsTerminal};

use clap::{Args, ValueEnum};

use super::act::give;
use super::list::dash;
use super::output::{
    Failure, Style, Table, age, clock, incident_number, plan_number, print, print_json, safe,
    styled,
};
use super::place::client;
use super::{Common, output};
use crate::api::View;
use crate::api::client::Client;
use crate::model::{
    Action, Command, EntityId, IncidentId, Outcome, Plan, PlanId, PlanState, Risk, Time, counted,
    shown_argv,
};

/// Digits of a digest that are enough to tell plans apart on a screen.
const DIGEST_SHOWN: usize = 12;

/// An incident that was merged into one that was merged, and so on, is followed this far.
const MERGES_MAX: usize = 16;

/// `stormglass plans`
#[derive(Debug, Args)]
pub struct PlansArgs {
    /// Number of a plan to show in full
    #[arg(value_parser = plan_number)]
    id: Option<u64>,
    /// Those that are over, too
    #[arg(long)]
    all: bool,
}

/// `stormglass rollback`
#[derive(Debug, Args)]
pub struct RollBackArgs {
    /// Number of the plan
    #[arg(value_parser = plan_number)]
    id: u64,
    /// Digest of the plan you saw, when it is over: undoes it without asking, and only that
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
}

/// `stormglass propose`
#[derive(Debug, Args)]
pub struct ProposeArgs {
    /// Number of the incident
    #[arg(value_parser = incident_number)]
    incident: u64,
    /// Name of the runbook
    runbook: String,
    /// The entity to act upon: `kind/name`, or a service's name
    target: String,
}

/// `stormglass approve`
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Number of the plan
    #[arg(value_parser = plan_number)]
    id: u64,
    /// Digest of the plan you saw: approves without asking, and only that
    #[arg(long, value_name = "HEX")]
    digest: Option<String>,
}

/// `stormglass reject`
#[derive(Debug, Args)]
pub struct RejectArgs {
    /// Number of the plan
    #[arg(value_parser = plan_number)]
    id: u64,
    /// Why
    #[arg(required = true)]
    reason: Vec<String>,
}

/// `stormglass settle`
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// Number of the plan
    #[arg(value_parser = plan_number)]
    id: u64,
    /// What became of the step in doubt
    outcome: Settled,
    /// What went wrong
    #[arg(long, default_value = "a person found it failed")]
    why: String,
}

/// `stormglass automation`
#[derive(Debug, Args)]
pub struct AutomationArgs {
    /// Stop everything, or allow it again
    switch: Switch,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Settled {
    /// It was done.
    Succeeded,
    /// It was not.
    Failed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    /// Nothing runs any more.
    Stop,
    /// Approved plans run.
    Allow,
}

pub async fn plans(common: &Common, args: &PlansArgs) -> Result<(), Failure> {
    let client = client(common)?;
    let mut plans = client.plans().await?;
    if let Some(id) = args.id {
        let plan = find(plans, PlanId(id))?;
        if common.json {
            return print_json(&plan);
        }
        let view = client.view().await?;
        let home = home_of(&client, &view, plan.incident).await;
        return print(&page(&plan, home, view.at));
    }
    if !args.all {
        plans.retain(|plan| !plan.state.is_final());
    }
    if common.json {
        return print_json(&plans);
    }
    if plans.is_empty() {
        return print("no plans\n");
    }
    let view = client.view().await?;
    let now = view.at;
    let mut homes = BTreeMap::new();
    for plan in &plans {
        if let Entry::Vacant(home) = homes.entry(plan.incident) {
            home.insert(home_of(&client, &view, plan.incident).await);
        }
    }
    let mut table = Table::new([
        "PLAN", "INCIDENT", "RISK", "STATE", "YES", "EXPIRES", "DIGEST", "WHAT",
    ]);
    for plan in &plans {
        let expires = match plan.state {
            PlanState::Proposed => format!("in {}", age(now, plan.expires)),
            _ => dash(),
        };
        table.row([
            plan.id.0.to_string(),
            homes[&plan.incident].to_string(),
            risk(plan.risk),
            plan.state.as_str().to_owned(),
            format!("{}/{}", plan.approvals.len(), plan.approvals_needed),
            expires,
            plan.digest.chars().take(DIGEST_SHOWN).collect(),
            safe(&plan.title),
        ]);
    }
    print(&table.render())
}

pub async fn approve(common: &Common, args: &ApproveArgs) -> Result<(), Failure> {
    let plan = PlanId(args.id);
    let done = format!("{plan} is approved");
    let digest = if let Some(digest) = &args.digest {
        digest.clone()
    } else {
        // That there is no such plan matters more than how it is agreed to.
        let known = find(client(common)?.plans().await?, plan)?;
        can_be_asked(common, plan)?;
        shown_and_agreed(common, known, "approve exactly this").await?
    };
    give(common, Command::Approve { plan, digest }, &done).await
}

/// Whether a person at the terminal can be asked about a plan.
fn can_be_asked(common: &Common, id: PlanId) -> Result<(), Failure> {
    if io::stdin().is_terminal() && !common.json {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "nobody is at the terminal to look at {id}: give --digest with the digest that `stormglass plans {} --json` shows",
        id.0
    )))
}

/// Prints the plan, asks the person at the terminal, and returns the digest of what was printed.
async fn shown_and_agreed(common: &Common, plan: Plan, to: &str) -> Result<String, Failure> {
    let id = plan.id;
    can_be_asked(common, id)?;
    if !plan.can_be_shown() {
        return Err(Failure::new(format!(
            "what {id} runs is too long to be shown, so nobody can agree to it here: read `stormglass plans {} --json`, then give --digest",
            id.0
        )));
    }
    let client = client(common)?;
    let password = match plan.risk {
        Risk::High => safe(plan.target.name()),
        Risk::Low | Risk::Medium => "yes".to_owned(),
    };
    let question = format!("\nType `{password}` to {to}: ");
    let view = client.view().await?;
    let home = home_of(&client, &view, plan.incident).await;
    print(&(page(&plan, home, view.at) + &question))?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::new(format!("cannot read your answer: {error}")))?;
    if answer.trim() == password {
        Ok(plan.digest.into_string())
    } else {
        Err(Failure::new("nothing was decided"))
    }
}

pub async fn propose(common: &Common, args: ProposeArgs) -> Result<(), Failure> {
    let incident = IncidentId(args.incident);
    let done = format!(
        "{} is proposed for {incident}: see `stormglass plans`",
        args.runbook
    );
    let command = Command::Propose {
        incident,
        runbook: args.runbook,
        target: EntityId::parse(&args.target),
    };
    give(common, command, &done).await
}

pub async fn reject(common: &Common, args: RejectArgs) -> Result<(), Failure> {
    let plan = PlanId(args.id);
    let reason = args.reason.join(" ");
    let done = format!("{plan} is rejected");
    give(common, Command::Reject { plan, reason }, &done).await
}

pub async fn roll_back(common: &Common, args: &RollBackArgs) -> Result<(), Failure> {
    let plan = PlanId(args.id);
    let done = format!("{plan} is being undone");
    let known = find(client(common)?.plans().await?, plan)?;
    // Stopping what runs must be quick; what is over is undone as carefully as it was started.
    let digest = match &args.digest {
        None if known.state.is_final() => {
            Some(shown_and_agreed(common, known, "undo exactly this").await?)
        }
        digest => digest.clone(),
    };
    give(common, Command::RollBack { plan, digest }, &done).await
}

pub async fn settle(common: &Common, args: SettleArgs) -> Result<(), Failure> {
    let plan = PlanId(args.id);
    let outcome = match args.outcome {
        Settled::Succeeded => Outcome::Succeeded,
        Settled::Failed => Outcome::Failed { why: args.why },
    };
    let done = format!("{plan} goes on");
    give(common, Command::Settle { plan, outcome }, &done).await
}

pub async fn automation(common: &Common, args: &AutomationArgs) -> Result<(), Failure> {
    let (on, done) = match args.switch {
        Switch::Stop => (true, "all automation is stopped"),
        Switch::Allow => (false, "automation is allowed"),
    };
    give(common, Command::KillSwitch { on }, done).await
}

fn find(plans: Vec<Plan>, id: PlanId) -> Result<Plan, Failure> {
    plans
        .into_iter()
        .find(|plan| plan.id == id)
        .ok_or_else(|| Failure::new(format!("there is no {id}")))
}

/// The incident that holds the plans made for `id` by now: what that was merged into, if it was.
async fn home_of(client: &Client, view: &View, id: IncidentId) -> IncidentId {
    let mut home = id;
    for _ in 0..MERGES_MAX {
        if view.incidents.contains_key(&home) {
            break;
        }
        // One that is long over, or nobody remembers: the number it was made for has to do.
        let Ok(detail) = client.incident(home).await else {
            break;
        };
        let Some(into) = detail.incident.merged_into else {
            break;
        };
        home = into;
    }
    home
}

/// Everything an approver must see.
fn page(plan: &Plan, home: IncidentId, now: Time) -> String {
    let mut text = String::new();
    let parts = [
        heading(plan, home, now),
        record(plan, now),
        actions(plan),
        outcomes(plan),
    ];
    for content in parts.iter().flatten() {
        output::line(&mut text, content);
    }
    output::line(&mut text, &format!("digest   {}", plan.digest));
    text
}

/// What it is, of what, how risky, and who has agreed.
fn heading(plan: &Plan, home: IncidentId, now: Time) -> Vec<String> {
    let merged = if home == plan.incident {
        String::new()
    } else {
        format!(", merged into {home}")
    };
    vec![
        format!("{} {}", plan.id, styled(&safe(&plan.title), Style::Bold)),
        format!(
            "for {}{merged} · on {} · {} risk · {}",
            plan.incident,
            safe(plan.target.as_str()),
            risk(plan.risk),
            state(plan, now)
        ),
        format!(
            "approvals {} of {} · proposed {} · expires {}",
            plan.approvals.len(),
            plan.approvals_needed,
            clock(plan.created, now),
            clock(plan.expires, now)
        ),
    ]
}

/// What became of it before, and why it is proposed.
fn record(plan: &Plan, now: Time) -> Vec<String> {
    let mut lines = vec![format!(
        "tried {} on this target before, helped {}",
        counted(plan.tried.into(), "time", "times"),
        plan.worked
    )];
    lines.extend(plan.before.iter().map(|past| {
        let why = past.why.as_deref().map(|why| format!(": {}", safe(why)));
        format!(
            "  {} {} on {}, {}{}",
            clock(past.at, now),
            past.plan,
            safe(past.target.as_str()),
            past.ended,
            why.unwrap_or_default()
        )
    }));
    let because = plan.because.iter();
    lines.extend(because.map(|why| format!("  because {}", safe(why))));
    lines
}

/// What would run, in order, what undoes it, and what verifies it.
fn actions(plan: &Plan) -> Vec<String> {
    let checks = plan.preconditions.iter();
    let mut lines: Vec<String> = checks
        .map(|check| format!("first    {}", action(check)))
        .collect();
    for (i, step) in plan.steps.iter().enumerate() {
        lines.push(format!("step {}   {}", i + 1, action(step)));
        lines.push(match plan.rollback.get(i).and_then(Option::as_ref) {
            Some(undo) => format!("  undone by {}", action(undo)),
            None => "  cannot be undone".to_owned(),
        });
    }
    lines.push(verified_by(plan));
    let check = plan.verify.check.iter();
    lines.extend(check.map(|check| format!("  and by {}", action(check))));
    lines
}

/// What ran and how it ended, and who asked to undo it.
fn outcomes(plan: &Plan) -> Vec<String> {
    let results = plan.results.iter().map(|(run, outcome)| {
        format!(
            "result   {:?} {}: {}",
            run.phase,
            run.step + 1,
            safe(&outcome.to_string())
        )
    });
    let undoing = plan.undo_approvals.iter();
    let undoing = undoing.map(|asked| format!("undo     asked by {}", safe(&asked.by)));
    results.chain(undoing).collect()
}

/// What must recover for it to count as verified, and within which time.
fn verified_by(plan: &Plan) -> String {
    let mut watched = safe(plan.verify.watch.as_str());
    if plan.target != plan.verify.watch {
        watched = format!("{watched}, {}", safe(plan.target.as_str()));
    }
    format!(
        "verified by {watched} and the incident's first suspect recovering within {} s",
        plan.verify.recover_within_ms / 1_000
    )
}

fn state(plan: &Plan, now: Time) -> String {
    let word = plan.state.as_str();
    if let Some(process) = plan.runs_unheard() {
        return format!(
            "{word}: its command still runs, pid {} since {}; wait for its end, or stop it with `stormglass rollback {}`",
            process.pid,
            clock(process.began, now),
            plan.id.0
        );
    }
    match &plan.state {
        PlanState::RolledBack { reason }
        | PlanState::Failed { reason }
        | PlanState::Void { reason }
        | PlanState::RollingBack { reason, .. } => format!("{word}: {}", safe(reason)),
        PlanState::Rejected { by, reason } => format!("{word} by {}: {}", safe(by), safe(reason)),
        PlanState::Unknown { .. } => {
            format!("{word}: say what happened with `stormglass settle`")
        }
        _ => word.to_owned(),
    }
}

/// The argument vector, as no other looks.
fn action(action: &Action) -> String {
    let argv = shown_argv(&action.argv).text;
    format!("{argv}  ({})", safe(&action.title))
}

fn risk(risk: Risk) -> String {
    let style = match risk {
        Risk::Low => Style::Green,
        Risk::Medium => Style::Yellow,
        Risk::High => Style::Red,
    };
    styled(risk.as_str(), style)
}
