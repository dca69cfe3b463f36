//! The command line: one file per group of subcommands, each a client of the API like any script.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 not understood. `--json` prints exactly one object or
//! list, or one object a line where a command streams.

mod act;
mod audit;
mod catalogue;
mod check;
mod console;
mod demo;
mod doctor;
mod eval;
mod export;
mod feedback;
mod init;
mod keys;
mod list;
mod named;
mod output;
mod place;
mod plan;
mod reach;
mod record;
mod replay;
mod rules;
mod scratch;
mod serve;
mod shell;
mod show;
mod silence;
mod watched;
mod why;
mod why_alert;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use output::Failure;

/// Threads of the runtime: sockets are light work, the engine has a thread of its own.
const WORKER_THREADS: usize = 2;
/// The same of one that only asks a daemon: every thread more is one more to wake for each answer.
const CLIENT_THREADS: usize = 1;

/// An incident console for the terminal.
///
/// Without a command it opens the console: on the local daemon if one answers, else on an engine of
/// its own, with this host's telemetry and receivers on loopback.
#[derive(Debug, Parser)]
#[command(name = "stormglass", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    look: console::LookArgs,
    #[command(subcommand)]
    command: Option<Cmd>,
}

/// Options every command takes.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Config file; default: stormglass/config.toml in the user's config directory, if there
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The daemon's socket; a client may also give https://HOST:PORT, with the token in
    /// `STORMGLASS_TOKEN` or `--token-file`
    #[arg(long, global = true, value_name = "ADDR")]
    pub socket: Option<String>,
    /// File that holds the token for a daemon at https://HOST:PORT
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Who vouches for that daemon's certificate, in PEM; default: the system's authorities
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Where journal and history are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Cmd {
    /// Break a simulated shop, find out why, approve the fix, watch it heal
    Demo(demo::DemoArgs),
    /// Open a console on a daemon
    Attach(console::AttachArgs),
    /// Show the state of everything on a large screen, read-only
    Wall(console::WallArgs),
    /// Run engine, receivers, store and API without a screen
    Serve,
    /// Print what a console is told: a snapshot, then changes, one JSON object a line
    Watch,
    /// List incidents
    Incidents(list::IncidentsArgs),
    /// Show everything about an incident
    Show(show::ShowArgs),
    /// Write an incident down for others: Markdown, or one HTML page with charts
    Export(export::ExportArgs),
    /// Take an incident
    Ack(act::IncidentArgs),
    /// Give an incident to somebody
    Assign(act::AssignArgs),
    /// Write something down on an incident
    Note(act::NoteArgs),
    /// Say who commands, operates, communicates or writes down
    Duty(act::DutyArgs),
    /// Give somebody something to do on an incident, or call it done
    Task(act::TaskArgs),
    /// Say what those outside were told; print a draft
    Status(act::StatusArgs),
    /// Print what whoever takes over an incident must know
    Handover(act::IncidentArgs),
    /// Declare an incident over; what still fires is kept, and does not open it again
    Resolve(act::IncidentArgs),
    /// Declare an incident not over
    Reopen(act::IncidentArgs),
    /// Say that an incident is part of another
    Merge(act::MergeArgs),
    /// Say that some entities of an incident are another story
    Split(act::SplitArgs),
    /// Take back what merges and splits taught about two entities: see `labels`
    Forget(act::ForgetArgs),
    /// Say why a series did, or did not, make a finding; or why an alert is told or held back
    Why(why::WhyArgs),
    /// Say that a finding is noise or useful: noise raises the bar for its like
    Mark(feedback::MarkArgs),
    /// Say that the level a metric has moved to is normal now
    Accept(feedback::AcceptArgs),
    /// List what was said of findings, and the bars it raised; and what merges and splits taught
    Labels,
    /// Say what caused an incident, also long after it is over: later suspects are weighed by it
    Cause(act::CauseArgs),
    /// List plans, or show one with everything it would run
    Plans(plan::PlansArgs),
    /// Render a runbook for an incident although the engine did not propose it
    Propose(plan::ProposeArgs),
    /// Approve exactly what a plan shows
    Approve(plan::ApproveArgs),
    /// Reject a plan
    Reject(plan::RejectArgs),
    /// Stop a plan and undo what it did
    Rollback(plan::RollBackArgs),
    /// Say what became of a step whose result is unknown
    Settle(plan::SettleArgs),
    /// Stop or allow all automation
    Automation(plan::AutomationArgs),
    /// List runbooks
    Runbooks,
    /// List alerts
    Alerts(list::AlertsArgs),
    /// Hold alerts back, list what is held back, or look at what that hides
    Silence(silence::SilenceArgs),
    /// Open, close and list maintenance windows
    Maintenance(silence::MaintenanceArgs),
    /// List the stages that signals go through, with what each did
    Stages,
    /// List the rules of correlation, or try others on what was recorded
    Rules(rules::RulesArgs),
    /// Print the journal, or verify that nobody has changed it
    Audit(audit::AuditArgs),
    /// See a recording again: on a console, or as what the engine concluded, one JSON object a line
    Replay(replay::ReplayArgs),
    /// Cut a window out of what was recorded, into one file to hand to a colleague
    Record(record::RecordArgs),
    /// Print the keys of the console
    Keys(keys::KeysArgs),
    /// Print completions for a shell
    Completions(shell::CompletionsArgs),
    /// Print a manual page for `man -l -`, or write one for every command into a directory
    Man(shell::ManArgs),
    /// Look at what this machine has, ask, and write a commented config
    Init(init::InitArgs),
    /// Check the config and say what would be used
    Check,
    /// Say what works and what does not: sources, commands, terminal; and what to do about it
    Doctor(doctor::DoctorArgs),
    /// Run a public benchmark through the engine and score it by its own rule
    Eval(eval::EvalArgs),
}

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // What the parser cannot read cannot say that it wants JSON: the word itself does.
        Err(error) if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") => {
            return Failure::usage(error.to_string().trim_end()).report(true);
        }
        Err(error) => error.exit(),
    };
    let as_json = cli.common.json;
    let threads = match cli.command {
        None | Some(Cmd::Demo(_) | Cmd::Serve) => WORKER_THREADS,
        Some(_) => CLIENT_THREADS,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(Failure::new(format!("cannot start the runtime: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(as_json),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let common = &cli.common;
    let Some(command) = cli.command else {
        return console::run(common, &cli.look).await;
    };
    match command {
        Cmd::Attach(args) => console::attach(common, args).await,
        Cmd::Wall(args) => console::wall(common, args).await,
        Cmd::Demo(args) => demo::run(common, &args).await,
        Cmd::Serve => serve::run(common).await,
        Cmd::Watch => list::watch(common).await,
        Cmd::Incidents(args) => list::incidents(common, &args).await,
        Cmd::Show(args) => show::run(common, &args).await,
        Cmd::Export(args) => export::run(common, &args).await,
        Cmd::Ack(args) => act::acknowledge(common, &args).await,
        Cmd::Assign(args) => act::assign(common, args).await,
        Cmd::Note(args) => act::note(common, args).await,
        Cmd::Duty(args) => act::duty(common, args).await,
        Cmd::Task(args) => act::task(common, &args).await,
        Cmd::Status(args) => act::status(common, &args).await,
        Cmd::Handover(args) => act::hand_over(common, &args).await,
        Cmd::Resolve(args) => act::resolve(common, &args).await,
        Cmd::Reopen(args) => act::reopen(common, &args).await,
        Cmd::Merge(args) => act::merge(common, &args).await,
        Cmd::Split(args) => act::split(common, &args).await,
        Cmd::Forget(args) => act::forget(common, &args).await,
        Cmd::Why(args) => why::run(common, &args).await,
        Cmd::Mark(args) => feedback::mark(common, &args).await,
        Cmd::Accept(args) => feedback::accept(common, &args).await,
        Cmd::Labels => feedback::labels(common).await,
        Cmd::Cause(args) => act::cause(common, &args).await,
        Cmd::Plans(args) => plan::plans(common, &args).await,
        Cmd::Propose(args) => plan::propose(common, args).await,
        Cmd::Approve(args) => plan::approve(common, &args).await,
        Cmd::Reject(args) => plan::reject(common, args).await,
        Cmd::Rollback(args) => plan::roll_back(common, &args).await,
        Cmd::Settle(args) => plan::settle(common, args).await,
        Cmd::Automation(args) => plan::automation(common, &args).await,
        Cmd::Runbooks => list::runbooks(common).await,
        Cmd::Alerts(args) => list::alerts(common, &args).await,
        Cmd::Silence(args) => silence::silence(common, &args).await,
        Cmd::Maintenance(args) => silence::maintenance(common, &args).await,
        Cmd::Stages => silence::stages(common).await,
        Cmd::Rules(args) => rules::run(common, &args).await,
        Cmd::Audit(args) => audit::run(common, &args).await,
        Cmd::Replay(args) => replay::run(common, &args).await,
        Cmd::Record(args) => record::run(common, &args),
        Cmd::Keys(args) => keys::run(common, &args),
        Cmd::Completions(args) => shell::completions(&args),
        Cmd::Man(args) => shell::man(&args),
        Cmd::Init(args) => init::run(common, &args),
        Cmd::Check => check::run(common),
        Cmd::Doctor(args) => doctor::run(common, &args).await,
        Cmd::Eval(args) => eval::run(common, &args),
    }
}
