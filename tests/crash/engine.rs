//! Killed at any moment (SIGKILL), nothing that was acknowledged is lost and nothing runs twice.
//!
//! The victim is this test itself, started as a child that is engine, store and a noting executor and
//! nothing else, in virtual time; `serve` does the same to the whole daemon. What is left on
//! the disk is held against what was acknowledged. The child's `main` is the ignored test [`CHILD`].

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::model::{
    Actor, Alert, Batch, Command, Effect, Fingerprint, IncidentId, Input, Labels, Outcome, Plan,
    Record, Role, RunId, Runbook, Signal, SourceId, Stamped, StepEvent, StepEventKind, Time,
};
use stormglass::store::journal::{self, Entry};
use stormglass::store::{JOURNAL_FILE, Store};

use crate::kept::{self, Random, name_of};

/// How often a child is killed.
const KILLS: u32 = 60;
/// Latest acknowledgement after which it is killed.
const ACKNOWLEDGED_MAX: u64 = 14;
/// Longest wait between an acknowledgement and the kill, in microseconds: within the next decision.
const JITTER_US_MAX: u64 = 3_000;
/// Seconds of engine time before the child decides anything.
const SETTLE_TICKS: u32 = 120;
/// Name of the test that is the child's program.
const CHILD: &str = "engine::child";
/// Says to the child where to work.
const FOLDER: &str = "STORMGLASS_CRASH_FOLDER";
/// What the child ran, one line each, written at the moment it ran.
const RAN_FILE: &str = "ran";

#[test]
fn no_acknowledged_decision_is_lost_and_nothing_runs_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(0x5eed);
    let mut acknowledged = Vec::new();
    let mut torn = 0;
    for _ in 0..KILLS {
        let after = random.below(ACKNOWLEDGED_MAX) + 1;
        let jitter = Duration::from_micros(random.below(JITTER_US_MAX));
        acknowledged.extend(kill_after(folder.path(), after, jitter));
        torn += usize::from(
            !fs::read(journal_of(folder.path()))
                .unwrap()
                .ends_with(b"\n"),
        );
        kept::check(
            &journal_of(folder.path()),
            &folder.path().join(RAN_FILE),
            &acknowledged,
        );
    }
    assert!(
        acknowledged.len() > KILLS as usize,
        "the child hardly ever got to work"
    );
    let verified = journal::verify(&journal_of(folder.path()), None).unwrap();
    let records = kept::records(&journal_of(folder.path()));
    let ended = |state| kept::plans_in(&records, state);
    println!(
        "{KILLS} kills, {} decisions acknowledged, {torn} torn appends, {verified:?}, \
         plans rolled back {}, in doubt {}",
        acknowledged.len(),
        ended("rolled back"),
        ended("unknown"),
    );
    assert!(ended("rolled back") > 0, "no plan ever went all the way");
}

fn journal_of(folder: &Path) -> PathBuf {
    folder.join(JOURNAL_FILE)
}

/// Starts the child, reads acknowledgements, kills it, and gives all it said until it was dead.
fn kill_after(folder: &Path, count: u64, jitter: Duration) -> Vec<String> {
    let mut child = start(folder);
    let said = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in said.lines() {
        let line = line.unwrap();
        // The test harness writes its own words on the same line before the first of ours.
        let Some((_, decision)) = line.split_once("ack ") else {
            continue;
        };
        acknowledged.push(decision.to_owned());
        if acknowledged.len() as u64 >= count && !killed {
            std::thread::sleep(jitter);
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(
        killed,
        "the child ended by itself, {status}: {acknowledged:?}"
    );
    acknowledged
}

fn start(folder: &Path) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the program of the child processes"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    Life::new(Path::new(&folder)).live();
}

/// A daemon in small: engine, store, and an executor that notes what it ran.
struct Life {
    store: Store,
    engine: Engine,
    ran: File,
    now: Time,
    seq: u64,
    notes: u64,
}

impl Life {
    fn new(folder: &Path) -> Self {
        let (store, opened) = Store::open(folder).unwrap();
        assert!(
            opened.banners.iter().all(|b| {
                b.contains("did not finish") || b.contains("those of its last moments")
            }),
            "{:?}",
            opened.banners
        );
        let lines = journal::lines(store.journal_path()).unwrap();
        let last = lines.map(|line| line.unwrap().unwrap()).last();
        let records = || store.records().unwrap().map(Result::unwrap);
        let notes = records()
            .filter(|dated| matches!(dated.record, Record::Decision { .. }))
            .count() as u64;
        let mut engine = Engine::new(EngineConfig::default(), vec![runbook()]);
        engine.restore(records());
        Self {
            engine,
            ran: OpenOptions::new()
                .append(true)
                .create(true)
                .open(folder.join(RAN_FILE))
                .unwrap(),
            now: last
                .as_ref()
                .map_or(Time::from_secs(1_700_000_000), |line| {
                    line.at.plus_ms(1_000)
                }),
            seq: last.map_or(1, |line| line.seq + 1),
            notes,
            store,
        }
    }

    fn live(&mut self) -> ! {
        self.feed(Input::Signals(Batch {
            source: SourceId::new("alerts"),
            signals: vec![Signal::Alert(Box::new(alert(self.now)))],
        }));
        // An alert must stand for a while before it is an incident.
        for _ in 0..SETTLE_TICKS {
            self.now = self.now.plus_ms(1_000);
            self.feed(Input::Tick);
        }
        loop {
            self.now = self.now.plus_ms(1_000);
            self.feed(Input::Tick);
            let next = self.next_command();
            self.command(next);
        }
    }

    /// Approves what waits, settles what is in doubt, proposes when there is nothing, else notes.
    fn next_command(&mut self) -> Command {
        let open = self.engine.incident_rows().map(|row| row.id).max();
        let live = |plan: &&Plan| !plan.state.is_final();
        let plan = self.engine.plans().find(live);
        if let Some(decision) = plan.and_then(kept::decision) {
            return decision;
        }
        if let (None, Some(incident)) = (plan, open) {
            return kept::proposal(incident);
        }
        self.notes += 1;
        Command::Note {
            incident: open.unwrap_or(IncidentId(1)),
            text: format!("note {}", self.notes),
        }
    }

    fn command(&mut self, what: Command) {
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Commander,
        };
        let said = serde_json::to_string(&what).unwrap();
        let runs = self.feed(Input::Command { by, what });
        println!("ack {said}");
        self.run(runs);
    }

    /// Steps the engine, and returns once its records are durable.
    fn feed(&mut self, input: Input) -> Vec<RunId> {
        let mut effects = Vec::new();
        let stamped = Stamped {
            seq: self.seq,
            at: self.now,
            input,
        };
        self.seq += 1;
        self.engine.step(&stamped, &mut effects);
        let mut entries = Vec::new();
        let mut runs = Vec::new();
        for effect in effects {
            match effect {
                Effect::Record(record) => entries.push(Entry {
                    at: stamped.at,
                    seq: stamped.seq,
                    record,
                }),
                Effect::Run { run, .. } => runs.push(run),
                Effect::Changed(_) | Effect::Cancel { .. } | Effect::Notify(_) => {}
            }
        }
        self.store.append(&entries).unwrap();
        runs
    }

    fn run(&mut self, runs: Vec<RunId>) {
        let mut waiting = VecDeque::from(runs);
        while let Some(run) = waiting.pop_front() {
            writeln!(self.ran, "{}", name_of(run)).unwrap();
            let kind = StepEventKind::Finished(Outcome::Succeeded);
            waiting.extend(self.feed(Input::Step(StepEvent { run, kind })));
        }
    }
}

/// Two steps with undo, watched for so short that it is undone while the alert still fires.
fn runbook() -> Runbook {
    toml::from_str(
        r#"
        name = "fix"
        title = "fix {entity}"
        description = "d"
        risk = "low"
        match = []
        preconditions = [{ title = "look", argv = ["true"] }]
        steps = [
            { title = "one", argv = ["true"], rollback = ["true"] },
            { title = "two", argv = ["true"], rollback = ["true"] },
        ]
        verify = { recover_within_s = 3 }
        "#,
    )
    .unwrap()
}

fn alert(now: Time) -> Alert {
    let labels = [
        ("alertname", "CheckoutDown"),
        ("service", "checkout"),
        ("severity", "critical"),
    ];
    let labels = Labels::from_pairs(labels).unwrap();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        starts_at: now,
        ends_at: now.plus_ms(86_400_000),
        generator_url: None,
    }
}
