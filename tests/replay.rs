//! What the flight recorder kept gives the same effects again, byte for byte, in every scenario.

use std::fs;

use stormglass::api::client::{Address, Client};
use stormglass::api::{View, WatchMessage};
use stormglass::config::{Config, EngineConfig, demo_runbooks};
use stormglass::daemon::{self, Clock, DaemonOptions, Replay, Replayed, Telemetry};
use stormglass::engine::{CHECKPOINT_VERSION, CheckpointCursor, Engine, Essentials};
use stormglass::eval::drive::placed_config;
use stormglass::model::{
    Actor, Command, Dated, Effect, FiringAlert, IncidentId, Input, Mode, Recalled, Record, Refusal,
    Role, Stamped, Time,
};
use stormglass::sim::{Scenario, Sim};
use stormglass::store::recorder::{
    Beginning, Begins, Header, Learned, Recorder, RecorderOptions, Recording, SegmentWriter,
};

/// 2026-01-14T12:00:00Z.
const START: Time = Time::from_secs(1_768_392_000);
/// How much of a scenario's past is told, in milliseconds: enough for baselines to page.
const PAST_MS: i64 = 40 * 60_000;
/// How much of a scenario is lived through, in milliseconds.
const LIVE_MS: i64 = 3 * 60_000;
/// Inputs in a frame of the recording.
const FRAME_INPUTS: usize = 100;

fn inputs(scenario: Scenario) -> (Engine, Header, Vec<Stamped>) {
    let mut sim = Sim::new(scenario, 3, START);
    let (engine, runbooks) = (placed_config(sim.system()), demo_runbooks());
    let mut inputs = Vec::new();
    let mut stamp = |at: Time, input: Input| {
        let seq = inputs.len() as u64 + 1;
        inputs.push(Stamped { seq, at, input });
    };
    while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
        let at = sim.now();
        if at.since(START) < -PAST_MS {
            continue;
        }
        for batch in batches {
            stamp(at, Input::Signals(batch));
        }
        stamp(at, Input::Tick);
    }
    let header = Header {
        made_by: "test".to_owned(),
        environment: scenario.to_string(),
        from: START,
        redacted: false,
        engine: engine.clone(),
        runbooks: runbooks.clone(),
    };
    (Engine::new(engine, runbooks), header, inputs)
}

fn step(engine: &mut Engine, inputs: &[Stamped], told: &mut Vec<u8>) {
    let mut effects: Vec<Effect> = Vec::new();
    for stamped in inputs {
        engine.step(stamped, &mut effects);
        for effect in effects.drain(..) {
            serde_json::to_writer(&mut *told, &effect).expect("memory");
        }
    }
}

#[test]
fn every_scenario_replays_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for scenario in Scenario::ALL {
        let (mut engine, header, inputs) = inputs(scenario);
        let mut told = Vec::new();
        step(&mut engine, &inputs, &mut told);
        assert!(told.len() > 1_000, "{scenario} tells something");

        let mut writer = SegmentWriter::new(Vec::new(), &header).expect("memory");
        for (i, stamped) in inputs.iter().enumerate() {
            writer.put(stamped);
            if i % FRAME_INPUTS == 0 {
                writer.flush().expect("memory");
            }
        }
        let path = folder.path().join(scenario.as_str());
        fs::write(&path, writer.finish().expect("memory")).expect("a temporary folder");

        let mut recording = Recording::open(&path, None).expect("just written");
        let header = recording.header().clone();
        let mut engine = Engine::new(header.engine, header.runbooks);
        let mut again = Vec::new();
        while let Some(frame) = recording.next_frame().expect("just written") {
            step(&mut engine, &frame.inputs, &mut again);
        }
        assert!(told == again, "{scenario} is told in another way");
        assert_eq!((recording.missing(), recording.torn_bytes()), (0, 0));
    }
}

/// A recording of a bad deploy with somebody who takes the incident at its end.
fn with_a_decision() -> (Header, Vec<Stamped>, IncidentId) {
    let (mut engine, header, mut inputs) = inputs(Scenario::BadDeploy);
    step(&mut engine, &inputs, &mut Vec::new());
    let incident = engine.incident_rows().next().expect("an incident").id;
    let last = inputs.last().expect("inputs");
    let (seq, at) = (last.seq + 1, last.at);
    let by = Actor {
        name: "mia".to_owned(),
        role: Role::Responder,
    };
    let what = Command::Acknowledge { incident };
    let input = Input::Command { by, what };
    inputs.push(Stamped { seq, at, input });
    (header, inputs, incident)
}

/// Steps an engine as a daemon would, and keeps what a daemon keeps.
#[derive(Default)]
struct Life {
    journal: Vec<Dated>,
    told: Vec<u8>,
}

impl Life {
    fn step(&mut self, engine: &mut Engine, inputs: &[Stamped]) {
        let mut effects = Vec::new();
        for stamped in inputs {
            engine.step(stamped, &mut effects);
            for effect in effects.drain(..) {
                serde_json::to_writer(&mut self.told, &effect).expect("memory");
                if let Effect::Record(record) = effect {
                    let at = stamped.at;
                    self.journal.push(Dated { at, record });
                }
            }
        }
    }

    /// What a daemon begins from that is started now.
    fn beginning(&self, engine: &Engine, header: &Header) -> Beginning {
        let mut cursor = CheckpointCursor::default();
        let parts = std::iter::from_fn(|| engine.checkpoint_part(&mut cursor)).collect();
        let mut essentials = Essentials::default();
        for record in &self.journal {
            essentials.take(record.clone());
        }
        let (records, left_out) = essentials.finish();
        assert_eq!(left_out, 0);
        Beginning {
            engine: header.engine.clone(),
            runbooks: header.runbooks.clone(),
            learned: Some(Learned {
                version: CHECKPOINT_VERSION,
                parts,
            }),
            records,
            lacks: Vec::new(),
        }
    }
}

/// An engine as a daemon restores it: from the checkpoint and its whole journal.
fn restored(beginning: &Beginning, journal: &[Dated]) -> (Engine, Vec<FiringAlert>) {
    let mut engine = Engine::new(beginning.engine.clone(), beginning.runbooks.clone());
    let learned = beginning.learned.as_ref().expect("a checkpoint");
    let parts = learned.parts.iter().map(Vec::as_slice);
    let firing = engine.restore_checkpoint(learned.version, parts);
    engine.restore(journal);
    (engine, firing.expect("just written"))
}

#[test]
fn a_recording_over_restarts_replays_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut engine, header, inputs) = inputs(Scenario::Storm);
    let mut life = Life::default();
    let mut beginning = Beginning {
        engine: header.engine.clone(),
        runbooks: header.runbooks.clone(),
        ..Beginning::default()
    };
    let odd_from = inputs.partition_point(|stamped| stamped.at <= START.plus_ms(90_000));
    let (before, after) = inputs.split_at(odd_from);
    let (middle, end) = after.split_at(after.len() / 2);
    for (run, inputs) in [before, middle, end].into_iter().enumerate() {
        let mut recalled = Vec::new();
        if run > 0 {
            beginning = life.beginning(&engine, &header);
            (engine, recalled) = restored(&beginning, &life.journal);
        }
        let options = RecorderOptions {
            folder: folder.path().to_owned(),
            bytes_max: u64::MAX,
            left_bytes: 0,
            header: header.clone(),
        };
        let recorder = Recorder::start(options, beginning.clone()).expect("a thread");
        let mut fed = Vec::new();
        let at = inputs.first().expect("inputs").at;
        let mut take = |at: Time, input: Input| {
            let seq = fed.len() as u64 + 1;
            fed.push(Stamped { seq, at, input });
        };
        if run > 0 {
            take(
                at,
                Input::Recalled(Box::new(Recalled {
                    alerts: recalled,
                    changes: Vec::new(),
                    heard: Some(at),
                })),
            );
            // Somebody writes to an incident that is older than the restart.
            let incident = engine.incident_rows().next().expect("an incident").id;
            let by = Actor {
                name: "mia".to_owned(),
                role: Role::Responder,
            };
            let text = format!("restart {run}");
            let what = Command::Note { incident, text };
            take(at, Input::Command { by, what });
        }
        for stamped in inputs {
            take(stamped.at, stamped.input.clone());
        }
        life.step(&mut engine, &fed);
        for stamped in fed {
            recorder.record(stamped);
        }
        recorder.catch_up();
    }
    let refused = |dated: &&Dated| {
        matches!(
            dated.record,
            Record::Decision {
                refused: Some(_),
                ..
            }
        )
    };
    assert_eq!(life.journal.iter().find(refused), None);

    let mut recording = Recording::open(folder.path(), None).expect("just written");
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let (mut again, mut begun) = (Life::default(), 0);
    while let Some(frame) = recording.next_frame().expect("just written") {
        if let Some(Begins::From(beginning)) = frame.begins {
            begun += 1;
            engine = Engine::new(beginning.engine.clone(), beginning.runbooks.clone());
            let learned = beginning.learned.as_ref();
            let learned = learned.map(|l| (l.version, l.parts.iter().map(Vec::as_slice)));
            engine
                .begin_from(learned, &beginning.records)
                .expect("it is of this version");
        }
        again.step(&mut engine, &frame.inputs);
    }
    assert_eq!((begun, recording.missing()), (3, 0));
    assert!(life.told == again.told, "it is told in another way");
}

#[tokio::test]
async fn a_replay_shows_what_was_decided_and_takes_no_decision() {
    let (header, inputs, incident) = with_a_decision();
    let dir = tempfile::tempdir().unwrap();
    let until = inputs.last().expect("inputs").at;
    let socket = dir.path().join("s.sock");
    let daemon = daemon::start(DaemonOptions {
        config: Config {
            engine: header.engine,
            ..Config::default()
        },
        runbooks: header.runbooks,
        clock: Clock::scaled_until(START, 1_000.0, until),
        socket: socket.clone(),
        data_dir: None,
        warnings: tokio::sync::watch::channel(Vec::new()).1,
        telemetry: Telemetry::Recorded(Replay {
            inputs: Box::new(inputs.into_iter().map(Replayed::Input)),
            from: START,
            until,
            speed: 1_000.0,
        }),
    })
    .await
    .unwrap();
    let client = Client::new(Address::Socket(socket)).unwrap();
    let mut watch = client.watch().await.unwrap();
    let mut held: Option<View> = None;
    while held.as_ref().is_none_or(|view| {
        let row = view.incidents.get(&incident);
        row.is_none_or(|row| row.owner.is_none())
    }) {
        match watch.next().await.unwrap().expect("the daemon runs") {
            WatchMessage::Snapshot(view) => held = Some(*view),
            WatchMessage::Deltas { seq, at, deltas } => {
                let view = held.as_mut().expect("a snapshot comes first");
                view.apply(seq, at, &deltas).unwrap();
            }
            WatchMessage::Heartbeat { .. } => {}
        }
    }
    let view = held.expect("a snapshot");
    assert_eq!(view.mode, Mode::Replay { until });
    assert_eq!(view.incidents[&incident].owner.as_deref(), Some("mia"));
    let reply = client.command(&Command::Reopen { incident }).await.unwrap();
    assert_eq!(reply.refused, Some(Refusal::Replay));
    daemon.stop().await.unwrap();
}
