//! `stormglass demo`: the simulated shop through exactly the pipeline that real telemetry takes.
//!
//! The simulation replaces senders and executors, nothing else: queue, engine, journal, API and
//! console are the real ones. `--headless` drives the engine at full speed in virtual time instead.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use super::Common;
use super::console::{self, LookArgs};
use super::output::{Failure, print, print_json};
use super::place::{Place, own_socket};
use super::replay::moment;
use super::scratch::Scratch;
use crate::config::{Config, demo_runbooks};
use crate::daemon::{self, Clock, Daemon, DaemonOptions, Telemetry};
use crate::eval::drive::{self, Approve, placed_config};
use crate::executors::SimRequest;
use crate::model::{Batch, Outcome, Time};
use crate::sim::{STEP_MS, Scenario, Sim};
use crate::sources::{Rhythm, SignalSender, SourceRegistry};

/// How often it is asked whether the past has been told.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// 2026-01-14T12:00:00Z, a Wednesday: when headless runs start unless told otherwise.
const HEADLESS_START: Time = Time::from_secs(1_768_392_000);
/// How many times as fast as real time the demo runs unless told otherwise.
const SPEED: f64 = 10.0;
/// Fastest the console can be asked to follow.
const SPEED_MAX: f64 = 1_000.0;
/// How long a simulated action takes, in milliseconds of simulated time.
const ACTION_MS: i64 = 2_000;
/// Actions that wait for the simulated system.
const ACTIONS_QUEUED_MAX: usize = 16;

/// Options of the demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// What breaks
    #[arg(default_value_t = Scenario::BadDeploy, value_name = "SCENARIO")]
    scenario: Scenario,
    /// The same seed injects the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When it begins, such as 2026-11-23T00:05:00Z; without it now, or on a Wednesday at noon if headless
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    at: Option<Time>,
    /// How many times as fast as real time
    #[arg(long, default_value_t = SPEED, value_parser = speed, conflicts_with = "headless")]
    speed: f64,
    /// Keep the journal here; by default it is in a temporary folder that is removed at the end
    #[arg(long, value_name = "DIR", conflicts_with = "headless")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    look: LookArgs,
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

/// A simulation shared between the task that feeds its telemetry and the one that acts on it.
#[derive(Clone)]
struct Shop(Arc<Mutex<Sim>>);

/// One sender for each source the simulation speaks as.
struct Senders(Vec<SignalSender>);

/// Runs the demo: on a screen, or without one.
pub async fn run(common: &Common, args: &DemoArgs) -> Result<(), Failure> {
    if common.data_dir.is_some() {
        let why = "--data-dir is for the daemon: a demo keeps its journal in --keep DIR";
        return Err(Failure::usage(why));
    }
    if args.headless || common.json {
        if common.socket.is_some() {
            let why =
                "--socket needs a demo with a screen: without one there is nothing to attach to";
            return Err(Failure::usage(why));
        }
        return conclude(common, args);
    }
    let config = Place::find(common)?.config;
    let scratch = Scratch::new("demo")?;
    let socket = own_socket(common, scratch.path())?;
    let daemon = start(args, config.clone(), &scratch, socket).await?;
    console::on_own(daemon, &config, &args.look.without_session()).await
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(speed) if speed > 0.0 && speed <= SPEED_MAX => Ok(speed),
        _ => Err(format!("must be a number above 0, at most {SPEED_MAX}")),
    }
}

/// Starts a daemon on a simulated shop instead of real sources.
async fn start(
    args: &DemoArgs,
    base: Config,
    scratch: &Scratch,
    socket: PathBuf,
) -> Result<Daemon, Failure> {
    let start = args.at.unwrap_or_else(|| Clock::real().now());
    let start = Time::from_ms(start.ms() / STEP_MS * STEP_MS);
    let shop = Shop::new(Sim::new(args.scenario, args.seed, start));
    let clock = Clock::scaled(start, args.speed);
    let (actions, requests) = mpsc::channel(ACTIONS_QUEUED_MAX);
    let mut engine = placed_config(shop.lock().system());
    // A fast clock must not let a plan expire while somebody reads it.
    let expires_s = f64::from(engine.policy.proposal_expires_s) * args.speed.max(1.0);
    engine.policy.proposal_expires_s = expires_s as u32;
    let options = DaemonOptions {
        config: Config {
            environment: format!("demo {}", args.scenario),
            engine,
            ..base
        },
        runbooks: demo_runbooks(),
        clock: clock.clone(),
        socket,
        data_dir: Some(
            args.keep
                .clone()
                .unwrap_or_else(|| scratch.path().join("data")),
        ),
        warnings: tokio::sync::watch::channel(Vec::new()).1,
        telemetry: Telemetry::Simulated {
            history: Box::new(shop.clone().history(start)),
            simulator: actions,
        },
    };
    let daemon = daemon::start(options).await?;
    tokio::spawn(
        shop.clone()
            .tell(Senders::new(daemon.sources()), clock.clone(), start),
    );
    tokio::spawn(shop.act(requests, clock));
    Ok(daemon)
}

/// Runs a scenario and prints its conclusion as one JSON object, or as a few lines.
fn conclude(common: &Common, args: &DemoArgs) -> Result<(), Failure> {
    let approve = match args.approve {
        Approval::Right => Approve::Right,
        Approval::Wrong => Approve::Wrong,
        Approval::None => Approve::None,
    };
    let conclusion = drive::run(
        args.scenario,
        args.seed,
        args.at.unwrap_or(HEADLESS_START),
        demo_runbooks(),
        approve,
    );
    if common.json {
        print_json(&conclusion)
    } else {
        print(&conclusion.to_string())
    }
}

impl Shop {
    fn new(sim: Sim) -> Self {
        Self(Arc::new(Mutex::new(sim)))
    }

    fn lock(&self) -> MutexGuard<'_, Sim> {
        // A simulation is moved by one call at a time; one that panicked tells no more than before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told before `start`, step by step.
    fn history(self, start: Time) -> impl Iterator<Item = (Time, Vec<Batch>)> + Send {
        std::iter::from_fn(move || {
            let mut sim = self.lock();
            sim.advance(start).map(|batches| (sim.now(), batches))
        })
    }

    /// Sends telemetry as its time comes, once all that was told before `start` is learned, until the engine stops.
    async fn tell(self, senders: Senders, clock: Clock, start: Time) {
        // One simulation tells both: whatever is taken of it here is missing there.
        while self.lock().now() < start {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        loop {
            let next = self.lock().now().plus_ms(STEP_MS);
            tokio::time::sleep(clock.wait_until(next)).await;
            let told = self.lock().advance(clock.now());
            for batch in told.into_iter().flatten() {
                if !senders.send(batch).await {
                    return;
                }
            }
        }
    }

    /// Does what approved plans ask, each after its time.
    async fn act(self, mut requests: mpsc::Receiver<SimRequest>, clock: Clock) {
        while let Some(request) = requests.recv().await {
            tokio::time::sleep(clock.wait_until(clock.now().plus_ms(ACTION_MS))).await;
            let outcome = match self.lock().act(&request.action.argv) {
                Ok(_) => Outcome::Succeeded,
                Err(error) => Outcome::Failed {
                    why: error.to_string(),
                },
            };
            // Nobody waits for the answer once the run was cancelled.
            let _ = request.reply.send(outcome);
        }
    }
}

impl Senders {
    const SOURCES: [(&'static str, Rhythm); 5] = [
        ("sim-metrics", Rhythm::Regular),
        ("sim-logs", Rhythm::Regular),
        ("sim-traces", Rhythm::Regular),
        ("sim-alerts", Rhythm::Sporadic),
        ("sim-changes", Rhythm::Sporadic),
    ];

    fn new(registry: &SourceRegistry) -> Self {
        let sender = |(name, rhythm)| registry.source(name, rhythm, "simulated shop");
        Self(Self::SOURCES.into_iter().map(sender).collect())
    }

    /// Sends a batch as its source; false once the engine has stopped.
    async fn send(&self, batch: Batch) -> bool {
        match self
            .0
            .iter()
            .find(|sender| *sender.source() == batch.source)
        {
            Some(sender) => sender.send(batch.signals).await.is_ok(),
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Signal;
    use crate::sources::signal_queue;

    #[tokio::test]
    async fn nothing_of_the_past_is_told_as_news() {
        let start = HEADLESS_START;
        let shop = Shop::new(Sim::new(Scenario::BadDeploy, 1, start));
        let (registry, mut queue) = signal_queue();
        let (senders, clock) = (Senders::new(&registry), Clock::scaled(start, 100.0));
        let telling = tokio::spawn(shop.clone().tell(senders, clock, start));
        let mut steps = 0;
        for (at, _) in shop.clone().history(start) {
            steps += 1;
            assert!(at <= start);
            if steps % 1_000 == 0 {
                tokio::task::yield_now().await;
                assert!(queue.is_empty(), "told at {at}");
            }
        }
        let told = loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if let Some(told) = queue.try_recv() {
                break told.take(start);
            }
        };
        let at = told.signals.iter().find_map(|signal| match signal {
            Signal::Sample(sample) => Some(sample.at),
            _ => None,
        });
        assert_eq!(at, Some(start.plus_ms(STEP_MS)));
        telling.abort();
    }
}
