//! The flight recorder: bytes a sample on the demo's metrics, and the speed of writing, reading and
//! replaying them.
//!
//! `cargo bench --bench recorder`

use std::fs;
use std::hint::black_box;
use std::time::Instant;

use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::model::{Batch, Input, Signal, Stamped, Time};
use stormglass::sim::{Scenario, Sim};
use stormglass::store::recorder::{Header, Recording, SegmentWriter};

/// 2026-01-14T12:00:00Z.
const START: Time = Time::from_secs(1_768_392_000);
/// Live part of the scenario recorded, in milliseconds.
const LIVE_MS: i64 = 60 * 60_000;

fn inputs(keep: impl Fn(&Signal) -> bool) -> (Vec<Stamped>, u64) {
    let mut sim = Sim::new(Scenario::BadDeploy, 1, START);
    let (mut inputs, mut signals) = (Vec::new(), 0);
    while let Some(batches) = sim.advance(START.plus_ms(LIVE_MS)) {
        let at = sim.now();
        let batches = batches.into_iter().map(|Batch { source, signals }| Batch {
            source,
            signals: signals.into_iter().filter(&keep).collect(),
        });
        for batch in batches.filter(|batch| !batch.signals.is_empty()) {
            signals += batch.signals.len() as u64;
            let seq = inputs.len() as u64 + 1;
            let input = Input::Signals(batch);
            inputs.push(Stamped { seq, at, input });
        }
    }
    (inputs, signals)
}

fn measure(what: &str, keep: impl Fn(&Signal) -> bool) {
    let header = Header {
        made_by: String::new(),
        environment: String::new(),
        from: START,
        redacted: false,
        engine: EngineConfig::default(),
        runbooks: Vec::new(),
    };
    let (inputs, signals) = inputs(keep);
    let rate = |began: Instant| signals as f64 / began.elapsed().as_secs_f64();

    let began = Instant::now();
    let mut writer = SegmentWriter::new(Vec::new(), &header).expect("memory");
    let mut second = START;
    for stamped in &inputs {
        // As live: a frame a second.
        if stamped.at.since(second) >= 1_000 {
            writer.flush().expect("memory");
            second = stamped.at;
        }
        writer.put(stamped);
    }
    let bytes = writer.finish().expect("memory");
    let written = rate(began);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("one");
    fs::write(&path, &bytes).expect("a temporary folder");
    let began = Instant::now();
    let mut recording = Recording::open(&path, None).expect("just written");
    while let Some(frame) = recording.next_frame().expect("just written") {
        black_box(frame);
    }
    let read = rate(began);

    let began = Instant::now();
    let mut recording = Recording::open(&path, None).expect("just written");
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut effects = Vec::new();
    while let Some(frame) = recording.next_frame().expect("just written") {
        for stamped in &frame.inputs {
            engine.step(stamped, &mut effects);
            effects.clear();
        }
    }
    let replayed = rate(began);
    println!(
        "{what}: {signals} signals, {:.2} bytes each; written {written:.0}/s, read {read:.0}/s, replayed {replayed:.0}/s",
        bytes.len() as f64 / signals as f64
    );
}

fn main() {
    measure("metrics", |signal| matches!(signal, Signal::Sample(_)));
    measure("logs", |signal| matches!(signal, Signal::Log(_)));
    measure("spans", |signal| matches!(signal, Signal::Span(_)));
}
