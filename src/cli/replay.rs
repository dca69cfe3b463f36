//! `replay`: a recording through an engine again, with what people decided then. Nothing in it runs, and
//! nothing can be decided in it now.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Common;
use super::console::{self, LookArgs};
use super::output::{Failure, print_json_line};
use super::place::{Place, own_socket};
use super::scratch::Scratch;
use crate::config::{Config, EngineConfig};
use crate::daemon::{self, Clock, DaemonOptions, Replay, Replayed, Telemetry};
use crate::engine::Engine;
use crate::model::{Effect, Input, SafeText, Stamped, Time, counted};
use crate::store::recorder::{Begins, Recording};

/// Fastest a console is asked to follow.
const SPEED_MAX: f64 = 1_000.0;

/// `stormglass replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A file made by `record`, or the folder of a recorder
    file: PathBuf,
    /// How many times as fast as it happened; `max` without a screen
    #[arg(long, value_name = "N|max")]
    speed: Option<Speed>,
    /// Show from here on; what was before is gone through at once, so that baselines are warm
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    from: Option<Time>,
    /// Stop here
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    to: Option<Time>,
    #[command(flatten)]
    look: LookArgs,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as the engine can.
    Max,
    /// So many times as fast as it happened.
    Times(f64),
}

/// A line of `--json`.
#[derive(Serialize)]
struct Told<'a> {
    seq: u64,
    at: Time,
    effect: &'a Effect,
}

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    inputs: u64,
    samples: u64,
    effects: u64,
    missing_inputs: u64,
    torn_bytes: u64,
    restarts: u64,
    /// What the engine knew then and does not know here, a sentence each: without any, and with no input
    /// missing, the effects are those of then.
    incomplete: Vec<String>,
}

pub async fn run(common: &Common, args: &ReplayArgs) -> Result<(), Failure> {
    let recording = Recording::open(&args.file, None)?;
    if common.json {
        return print_effects(recording, args).await;
    }
    let speed = match args.speed {
        None => 1.0,
        Some(Speed::Times(speed)) => speed,
        Some(Speed::Max) => {
            return Err(Failure::usage(
                "a console cannot follow `--speed max`: add --json, or give a number",
            ));
        }
    };
    show(common, args, recording, speed).await
}

pub(super) fn moment(text: &str) -> Result<Time, String> {
    Time::parse_rfc3339(text).ok_or_else(|| "must be like 2026-11-21T03:00:00Z".to_owned())
}

/// The engine that saw what follows, as it began, with these settings instead of its own; what cannot be
/// told of that goes to `incomplete`.
pub(super) fn begun(
    recording: &Recording,
    begins: &Begins,
    settings: impl Fn(&EngineConfig) -> EngineConfig,
    incomplete: &mut Vec<String>,
) -> Engine {
    let header = recording.header();
    let fresh = || Engine::new(settings(&header.engine), header.runbooks.clone());
    match begins {
        Begins::From(beginning) => {
            let mut engine = Engine::new(settings(&beginning.engine), beginning.runbooks.clone());
            let learned = beginning.learned.as_ref();
            let learned = learned.map(|l| (l.version, l.parts.iter().map(Vec::as_slice)));
            if let Err(error) = engine.begin_from(learned, &beginning.records) {
                incomplete.push(format!(
                    "what had been learned before a start cannot be read: {error}"
                ));
            }
            incomplete.extend(beginning.lacks.iter().cloned());
            engine
        }
        Begins::Unknown => {
            incomplete.push("what the daemon knew at a start is not in the recording".to_owned());
            fresh()
        }
        Begins::Earlier => {
            incomplete.push(format!(
                "it begins in the middle of a daemon's work: what was known from {} before is not in the recording",
                counted(recording.before(), "input", "inputs")
            ));
            fresh()
        }
    }
}

/// An engine as it was at a time of a recording, or at its end, and when that was.
pub(super) fn engine_at(file: &Path, at: Option<Time>) -> Result<(Engine, Time), Failure> {
    let mut recording = Recording::open(file, None)?;
    let is_later = |time: Time| at.is_some_and(|at| time > at);
    let mut reached = recording.header().from;
    let header = recording.header();
    let mut engine = Engine::new(header.engine.clone(), header.runbooks.clone());
    let mut effects = Vec::new();
    'read: while let Some(frame) = recording.next_frame()? {
        if frame.inputs.first().is_none_or(|first| is_later(first.at)) {
            break 'read;
        }
        if let Some(begins) = &frame.begins {
            engine = begun(&recording, begins, EngineConfig::clone, &mut Vec::new());
        }
        for stamped in &frame.inputs {
            if is_later(stamped.at) {
                break 'read;
            }
            engine.step(stamped, &mut effects);
            effects.clear();
            reached = stamped.at;
        }
    }
    Ok((engine, at.unwrap_or(reached)))
}

/// Every effect, one JSON object a line, then a summary.
async fn print_effects(mut recording: Recording, args: &ReplayArgs) -> Result<(), Failure> {
    let header = recording.header();
    let mut engine = Engine::new(header.engine.clone(), header.runbooks.clone());
    let mut summary = Summary {
        inputs: 0,
        samples: 0,
        effects: 0,
        missing_inputs: 0,
        torn_bytes: 0,
        restarts: 0,
        incomplete: Vec::new(),
    };
    let mut clock: Option<Clock> = None;
    let mut effects = Vec::new();
    'read: while let Some(frame) = recording.next_frame()? {
        if let Some(begins) = &frame.begins {
            engine = begun(
                &recording,
                begins,
                EngineConfig::clone,
                &mut summary.incomplete,
            );
            summary.restarts += u64::from(summary.inputs > 0);
        }
        for stamped in &frame.inputs {
            if args.to.is_some_and(|to| stamped.at > to) {
                break 'read;
            }
            let shown = args.from.is_none_or(|from| stamped.at >= from);
            if let (true, Some(Speed::Times(speed))) = (shown, args.speed) {
                let clock = clock.get_or_insert_with(|| Clock::scaled(stamped.at, speed));
                tokio::time::sleep(clock.wait_until(stamped.at)).await;
            }
            engine.step(stamped, &mut effects);
            summary.inputs += 1;
            summary.samples += signals(stamped);
            for effect in effects.drain(..).filter(|_| shown) {
                summary.effects += 1;
                let (seq, at) = (stamped.seq, stamped.at);
                let effect = &effect;
                print_json_line(&Told { seq, at, effect })?;
            }
        }
    }
    summary.missing_inputs = recording.missing();
    summary.torn_bytes = recording.torn_bytes();
    print_json_line(&summary)?;
    if summary.torn_bytes > 0 {
        let (file, torn) = (args.file.display(), summary.torn_bytes);
        let text = format!("{file} breaks off: {torn} bytes of it are no whole record");
        Failure::new(text).warn("what lies before was replayed");
    }
    Ok(())
}

fn signals(stamped: &Stamped) -> u64 {
    match &stamped.input {
        Input::Signals(batch) => batch.signals.len() as u64,
        Input::Recalled(recalled) => (recalled.alerts.len() + recalled.changes.len()) as u64,
        Input::Tick | Input::Command { .. } | Input::Step(_) => 0,
    }
}

/// The recording on a console, at its own pace: what came in and what people decided.
async fn show(
    common: &Common,
    args: &ReplayArgs,
    recording: Recording,
    speed: f64,
) -> Result<(), Failure> {
    let base = Place::find(common)?.config;
    let (from, until) = extent(args)?;
    let header = recording.header().clone();
    let config = Config {
        environment: format!("replay {}", header.environment),
        engine: header.engine,
        ..base
    };
    let scratch = Scratch::new("replay")?;
    let daemon = daemon::start(DaemonOptions {
        config: config.clone(),
        runbooks: header.runbooks,
        clock: Clock::scaled_until(from, speed, until),
        socket: own_socket(common, scratch.path())?,
        data_dir: None,
        warnings: tokio::sync::watch::channel(Vec::new()).1,
        telemetry: Telemetry::Recorded(Replay {
            inputs: Box::new(Inputs::new(recording, args.to)),
            from,
            until,
            speed,
        }),
    })
    .await?;
    console::on_own(daemon, &config, &args.look.without_session()).await
}

/// When the shown part begins and ends: one pass over the file, which also finds damage before the
/// screen is taken.
fn extent(args: &ReplayArgs) -> Result<(Time, Time), Failure> {
    let mut recording = Recording::open(&args.file, None)?;
    let (mut first, mut last) = (None, Time::ZERO);
    while let Some(frame) = recording.next_frame()? {
        for stamped in frame.inputs {
            first.get_or_insert(stamped.at);
            last = stamped.at;
        }
    }
    let Some(first) = first else {
        return Err(Failure::new(format!(
            "{} holds no inputs",
            args.file.display()
        )));
    };
    let from = args.from.map_or(first, |from| from.max(first));
    Ok((from, args.to.map_or(last, |to| to.min(last))))
}

/// What a recording holds, input by input.
struct Inputs {
    recording: Recording,
    to: Option<Time>,
    read: VecDeque<Replayed>,
}

impl Inputs {
    fn new(recording: Recording, to: Option<Time>) -> Self {
        Self {
            recording,
            to,
            read: VecDeque::new(),
        }
    }
}

impl Iterator for Inputs {
    type Item = Replayed;

    fn next(&mut self) -> Option<Replayed> {
        while self.read.is_empty() {
            // The file was read once before: what fails now is gone for good.
            let frame = match self.recording.next_frame() {
                Ok(frame) => frame?,
                Err(error) => {
                    tracing::error!("{}", SafeText::new(&error.to_string()));
                    return None;
                }
            };
            let mut incomplete = Vec::new();
            let begins = frame.begins.map(|begins| {
                let engine = begun(
                    &self.recording,
                    &begins,
                    EngineConfig::clone,
                    &mut incomplete,
                );
                Replayed::Begins(Box::new(engine), incomplete.join("; "))
            });
            let inputs = frame.inputs.into_iter().map(Replayed::Input);
            self.read.extend(begins.into_iter().chain(inputs));
        }
        let past_end = |to: Time| matches!(&self.read[0], Replayed::Input(next) if next.at > to);
        if self.to.is_some_and(past_end) {
            return None;
        }
        self.read.pop_front()
    }
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(speed) if speed > 0.0 && speed <= SPEED_MAX => Ok(Self::Times(speed)),
            _ => Err(format!(
                "must be `max`, or a number above 0, at most {SPEED_MAX}"
            )),
        }
    }
}
