//! What the flight recorder kept gives the same effects again, byte for byte, in every scenario.

use std::fs;

use stormglass::config::demo_runbooks;
use stormglass::engine::Engine;
use stormglass::eval::drive::placed_config;
use stormglass::model::{Effect, Input, Stamped, Time};
use stormglass::sim::{Scenario, Sim};
use stormglass::store::recorder::{Header, Recording, SegmentWriter};

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
