//! Scenarios as data: a timeline of alerts with the complete outcome beside it, in virtual time; and
//! the laws of the engine on a simulated outage.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;

use stormglass::config::{DeclaredEdge, EngineConfig};
use stormglass::engine::Engine;
use stormglass::model::{
    Actor, Alert, Batch, Command, Delta, Effect, EntityId, Fingerprint, Health, IncidentId,
    IncidentRow, Input, Labels, Record, Role, Signal, SourceId, Stamped, Time,
};
use stormglass::sim::{Scenario, Sim};

/// How long an alert holds unless it is resolved, in seconds.
const HOLDS_S: i64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Timeline {
    edges: Vec<(String, String)>,
    step: Vec<Step>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at_s: i64,
    alert: Option<BTreeMap<String, String>>,
    resolve: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    at_s: i64,
    alerts_firing: u64,
    incident: Vec<Row>,
    #[serde(default)]
    phases: Vec<PhaseAt>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: u64,
    phase: String,
    severity: String,
    began_s: i64,
    entities: u32,
    alerts: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseAt {
    at_s: i64,
    phase: String,
}

/// An engine with its effects, and what a console would hold.
struct Bench {
    engine: Engine,
    seq: u64,
    effects: Vec<Effect>,
    incidents: BTreeMap<IncidentId, IncidentRow>,
    entities: BTreeMap<EntityId, Health>,
}

impl Bench {
    fn new(config: EngineConfig) -> Self {
        Self {
            engine: Engine::new(config, Vec::new()),
            seq: 0,
            effects: Vec::new(),
            incidents: BTreeMap::new(),
            entities: BTreeMap::new(),
        }
    }

    fn feed(&mut self, at: Time, input: Input) {
        self.seq += 1;
        let first = self.effects.len();
        let stamped = Stamped {
            seq: self.seq,
            at,
            input,
        };
        self.engine.step(&stamped, &mut self.effects);
        for effect in &self.effects[first..] {
            match effect {
                Effect::Changed(Delta::Incident(row)) => {
                    self.incidents.insert(row.id, row.clone());
                }
                Effect::Changed(Delta::IncidentGone(id)) => {
                    self.incidents.remove(id);
                }
                Effect::Changed(Delta::Entity(entity)) => {
                    self.entities.insert(entity.entity.clone(), entity.health);
                }
                _ => {}
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.engine
            .incident_rows()
            .map(|row| Row {
                id: row.id.0,
                phase: row.phase.as_str().to_owned(),
                severity: row.severity.as_str().to_owned(),
                began_s: row.began.ms() / 1_000,
                entities: row.entities,
                alerts: row.alerts,
            })
            .collect()
    }
}

fn signal(labels: &BTreeMap<String, String>, at: Time, ends_at: Time) -> Input {
    let pairs = labels.iter().map(|(name, value)| {
        let name = if name == "name" { "alertname" } else { name };
        (name, value.as_str())
    });
    let labels = Labels::from_pairs(pairs).expect("labels of the scenario are short");
    Input::Signals(Batch {
        source: SourceId::new("alerts"),
        signals: vec![Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: at,
            ends_at,
            generator_url: None,
        }))],
    })
}

#[test]
fn timelines_end_as_written() {
    let mut names: Vec<_> = fs::read_dir("tests/scenarios")
        .expect("the scenarios lie beside this file")
        .map(|entry| entry.expect("readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 5, "scenarios are missing: {names:?}");
    for path in names {
        let text = fs::read_to_string(&path).expect("readable file");
        let timeline: Timeline =
            toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let edge = |(from, to): &(String, String)| DeclaredEdge {
            from: from.clone(),
            to: to.clone(),
        };
        let mut bench = Bench::new(EngineConfig {
            dependencies: timeline.edges.iter().map(edge).collect(),
            ..EngineConfig::default()
        });
        let mut phases = Vec::new();
        for now_s in 90..=timeline.expect.at_s {
            let now = Time::from_secs(now_s);
            for step in timeline.step.iter().filter(|step| step.at_s == now_s) {
                if let Some(labels) = &step.alert {
                    bench.feed(now, signal(labels, now, now.plus_ms(HOLDS_S * 1_000)));
                }
                if let Some(labels) = &step.resolve {
                    bench.feed(now, signal(labels, now, now));
                }
            }
            bench.feed(now, Input::Tick);
            if timeline.expect.phases.iter().any(|p| p.at_s == now_s) {
                let row = bench.rows().into_iter().next().expect("an incident");
                phases.push(PhaseAt {
                    at_s: now_s,
                    phase: row.phase,
                });
            }
        }
        let name = path.display();
        assert_eq!(bench.rows(), timeline.expect.incident, "{name}");
        assert_eq!(phases, timeline.expect.phases, "{name}");
        let firing = bench.engine.counts().alerts_firing;
        assert_eq!(firing, timeline.expect.alerts_firing, "{name}");
    }
}

/// The last minutes of history and the first of an outage, with a person at work.
fn outage(seed: u64) -> Bench {
    let start = Time::from_secs(1_768_392_000);
    let mut sim = Sim::new(Scenario::Storm, seed, start);
    let mut bench = Bench::new(EngineConfig::default());
    let by = Actor {
        name: "mia".to_owned(),
        role: Role::Commander,
    };
    let end = start.plus_ms(180_000);
    while let Some(batches) = sim.advance(end) {
        let now = sim.now();
        for batch in batches {
            bench.feed(now, Input::Signals(batch));
        }
        bench.feed(now, Input::Tick);
        if now == start.plus_ms(150_000) {
            let incident = bench.rows().last().map_or(1, |row| row.id);
            let what = Command::Acknowledge {
                incident: IncidentId(incident),
            };
            let by = by.clone();
            bench.feed(now, Input::Command { by, what });
        }
    }
    bench
}

#[test]
fn the_same_inputs_give_the_same_effects_and_consoles_hold_what_the_engine_says() {
    let (first, second) = (outage(7), outage(7));
    let bytes =
        |bench: &Bench| serde_json::to_string(&bench.effects).expect("effects are plain data");
    assert!(bytes(&first) == bytes(&second), "two runs differ");
    let rows: BTreeMap<IncidentId, IncidentRow> = first
        .engine
        .incident_rows()
        .map(|row| (row.id, row))
        .collect();
    assert!(!rows.is_empty());
    assert_eq!(first.incidents, rows);
    let entities: BTreeMap<EntityId, Health> = first
        .engine
        .entities()
        .map(|(id, health)| (id.clone(), health))
        .collect();
    assert_eq!(first.entities, entities);
}

#[test]
fn the_journal_brings_incidents_back() {
    let before = outage(7);
    let records: Vec<Record> = before
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Record(record) => Some(record.clone()),
            _ => None,
        })
        .collect();
    let mut after = Engine::new(EngineConfig::default(), Vec::new());
    after.restore(records.into_iter().map(Record::undated));
    let known = |engine: &Engine| -> Vec<(IncidentId, Option<String>)> {
        engine
            .incident_rows()
            .map(|row| (row.id, row.owner))
            .collect()
    };
    assert_eq!(known(&after), known(&before.engine));
    assert!(
        known(&after)
            .iter()
            .any(|(_, owner)| owner.as_deref() == Some("mia"))
    );
}
