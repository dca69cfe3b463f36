//! The laws that hold whatever is fed: exact replay, also from a checkpoint, snapshots that equal deltas,
//! and a journal from which incidents and plans can be rebuilt.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use stormglass::api::{API_VERSION, View};
use stormglass::config::{EngineConfig, demo_runbooks};
use stormglass::engine::{CHECKPOINT_VERSION, CheckpointCursor, Engine};
use stormglass::eval::drive::placed_config;
use stormglass::model::{
    Actor, Batch, Command, Counts, Delta, Effect, ExecutorKind, Incident, Input, Labels, Outcome,
    Phase, Plan, PlanState, Record, Role, Sample, Series, SeriesKind, Signal, SourceId, Stamped,
    StepEvent, StepEventKind, Time, Unit,
};
use stormglass::sim::{Scenario, Sim};

/// 2026-01-14T12:00:00Z.
const START: Time = Time::from_secs(1_768_392_000);
/// How much of a scenario is lived through, in milliseconds.
const LIVE_MS: i64 = 4 * 60_000;
/// Inputs between two checkpoints.
const CHECKPOINT_INPUTS: u64 = 499;
/// A person approves the first plan this long after the start, in milliseconds.
const APPROVE_AFTER_MS: i64 = 110_000;

/// Inputs of a scenario in which somebody approves, and the effects of each on an engine.
struct Told {
    inputs: Vec<Stamped>,
    effects: Vec<Vec<Effect>>,
    engine: Engine,
}

fn fresh(sim: &Sim) -> Engine {
    Engine::new(placed_config(sim.system()), demo_runbooks())
}

/// Lives through a scenario; what the simulated system does upon an action depends on the effects, so
/// the inputs are recorded on the way.
fn live(scenario: Scenario) -> Told {
    let mut sim = Sim::new(scenario, 1, START);
    let engine = fresh(&sim);
    let mut told = Told {
        inputs: Vec::new(),
        effects: Vec::new(),
        engine,
    };
    while let Some(batches) = sim.advance(START) {
        let at = sim.now();
        for batch in batches {
            let runs = told.feed(at, Input::Signals(batch));
            assert!(runs.is_empty(), "history runs nothing");
        }
        told.feed(at, Input::Tick);
    }
    let mut due = Vec::new();
    for second in 1..=LIVE_MS / 1_000 {
        let now = START.plus_ms(second * 1_000);
        while let Some(batches) = sim.advance(now) {
            for batch in batches {
                due.extend(told.feed(now, Input::Signals(batch)));
            }
        }
        due.extend(told.feed(now, Input::Tick));
        if second * 1_000 == APPROVE_AFTER_MS {
            due.extend(told.approve_first(now));
        }
        for (run, argv) in std::mem::take(&mut due) {
            let outcome = sim.act(&argv).map_or_else(
                |error| Outcome::Failed {
                    why: error.to_string(),
                },
                |_| Outcome::Succeeded,
            );
            let event = StepEvent {
                run,
                kind: StepEventKind::Finished(outcome),
            };
            due.extend(told.feed(now, Input::Step(event)));
        }
    }
    told
}

/// The storm, lived through once for all tests.
fn storm() -> &'static Told {
    static STORM: OnceLock<Told> = OnceLock::new();
    STORM.get_or_init(|| live(Scenario::Storm))
}

impl Told {
    /// Feeds one input and returns the actions it starts.
    fn feed(&mut self, at: Time, input: Input) -> Vec<(stormglass::model::RunId, Vec<Box<str>>)> {
        let stamped = Stamped {
            seq: self.inputs.len() as u64 + 1,
            at,
            input,
        };
        let mut effects = Vec::new();
        self.engine.step(&stamped, &mut effects);
        self.inputs.push(stamped);
        let runs = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Run { run, action } if action.executor == ExecutorKind::Sim => {
                    Some((*run, action.argv.clone()))
                }
                _ => None,
            })
            .collect();
        self.effects.push(effects);
        runs
    }

    fn approve_first(&mut self, now: Time) -> Vec<(stormglass::model::RunId, Vec<Box<str>>)> {
        let proposed = self
            .engine
            .plans()
            .find(|plan| plan.state == PlanState::Proposed);
        let Some((plan, digest)) = proposed.map(|plan| (plan.id, plan.digest.to_string())) else {
            return Vec::new();
        };
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Commander,
        };
        self.feed(
            now,
            Input::Command {
                by,
                what: Command::Approve { plan, digest },
            },
        )
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.effects
            .iter()
            .flatten()
            .filter_map(|effect| match effect {
                Effect::Record(record) => Some(record),
                _ => None,
            })
    }
}

fn view_of(engine: &Engine) -> View {
    View {
        version: API_VERSION,
        seq: 0,
        at: Time::ZERO,
        environment: String::new(),
        actor: Actor {
            name: String::new(),
            role: Role::Viewer,
        },
        incidents: engine.incident_rows().map(|row| (row.id, row)).collect(),
        entities: engine
            .entities()
            .map(|(id, health)| (id.clone(), health))
            .collect(),
        counts: engine.counts(),
        sources: BTreeMap::new(),
        silences: engine.silences().map(|s| (s.id, s.clone())).collect(),
        home: String::new(),
        closes_after_s: 0,
        automation_stopped: engine.automation_stopped(),
        mode: stormglass::model::Mode::Live,
        banner: String::new(),
    }
}

/// A console counts its messages and dates them; a snapshot made here has neither.
fn undated(mut view: View) -> View {
    view.seq = 0;
    view.at = Time::ZERO;
    view
}

/// What the totals must say after a tick, counted anew from the rows where rows can say it.
fn recounted(engine: &Engine) -> Counts {
    let mut counts = Counts {
        open_by_priority: [0; 4],
        entities: engine.entities().count() as u64,
        ..engine.counts()
    };
    for row in engine
        .incident_rows()
        .filter(|row| row.phase != Phase::Resolved)
    {
        counts.open_by_priority[usize::from(row.severity.priority()) - 1] += 1;
    }
    counts
}

#[test]
fn the_same_inputs_give_the_same_effects_and_views() {
    let told = storm();
    assert!(
        told.effects
            .iter()
            .flatten()
            .any(|e| matches!(e, Effect::Run { .. })),
        "nothing ran"
    );
    let mut engine = fresh(&Sim::new(Scenario::Storm, 1, START));
    let mut view = view_of(&engine);
    for (stamped, expected) in told.inputs.iter().zip(&told.effects) {
        let mut effects = Vec::new();
        engine.step(stamped, &mut effects);
        let bytes = |effects: &[Effect]| serde_json::to_string(effects).unwrap();
        assert_eq!(
            bytes(&effects),
            bytes(expected),
            "effects of input {}",
            stamped.seq
        );
        let deltas: Vec<Delta> = effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Changed(delta) => Some(delta),
                _ => None,
            })
            .collect();
        if !deltas.is_empty() {
            view.apply(view.seq + 1, stamped.at, &deltas).unwrap();
            assert_eq!(
                undated(view.clone()),
                undated(view_of(&engine)),
                "snapshot and deltas part after input {}",
                stamped.seq
            );
        }
        if matches!(stamped.input, Input::Tick) {
            assert_eq!(
                engine.counts(),
                recounted(&engine),
                "totals after input {}",
                stamped.seq
            );
        }
    }
    assert_eq!(told.inputs.len(), told.effects.len());
}

#[test]
fn the_journal_rebuilds_incidents_and_plans() {
    let told = live(Scenario::BadDeploy);
    let sim = Sim::new(Scenario::BadDeploy, 1, START);
    let mut rebuilt = fresh(&sim);
    rebuilt.restore(told.records().cloned().map(Record::undated));
    let incidents = |engine: &Engine| -> Vec<_> {
        // What changes without a decision (title, entity, suspects) is diagnosed anew from telemetry.
        let of = |i: &Incident| (i.id, i.phase, i.owner.clone(), i.opened);
        engine
            .incident_rows()
            .filter_map(|row| engine.incident(row.id).map(of))
            .collect()
    };
    let plans = |engine: &Engine| -> Vec<_> {
        let of = |p: &Plan| (p.id, p.digest.clone(), p.approvals.clone(), p.state.clone());
        engine.plans().map(of).collect()
    };
    assert!(!incidents(&told.engine).is_empty());
    assert!(!plans(&told.engine).is_empty());
    assert_eq!(incidents(&rebuilt), incidents(&told.engine));
    assert_eq!(plans(&rebuilt), plans(&told.engine));
}

/// A fresh engine that got everything `engine` has learned.
fn restored(engine: &Engine, sim: &Sim) -> Engine {
    let mut cursor = CheckpointCursor::default();
    let parts: Vec<Vec<u8>> = std::iter::from_fn(|| engine.checkpoint_part(&mut cursor)).collect();
    let mut fresh = fresh(sim);
    let parts = parts.iter().map(Vec::as_slice);
    fresh.restore_checkpoint(CHECKPOINT_VERSION, parts).unwrap();
    fresh
}

#[test]
fn a_checkpoint_goes_on_as_if_nothing_happened() {
    let told = storm();
    let sim = Sim::new(Scenario::Storm, 1, START);
    let mut engine = fresh(&sim);
    let mut checkpoints = 0;
    for (stamped, expected) in told.inputs.iter().zip(&told.effects) {
        // Restarted again and again while nothing is odd; then the storm comes.
        let is_quiet = engine.counts().findings_open == 0 && engine.incident_rows().count() == 0;
        if is_quiet && stamped.seq % CHECKPOINT_INPUTS == 0 {
            engine = restored(&engine, &sim);
            checkpoints += 1;
        }
        let mut effects = Vec::new();
        engine.step(stamped, &mut effects);
        assert_eq!(
            serde_json::to_string(&effects).unwrap(),
            serde_json::to_string(expected).unwrap(),
            "effects of input {}, after {checkpoints} checkpoints",
            stamped.seq
        );
    }
    assert!(checkpoints > 5, "{checkpoints} checkpoints");
    assert!(engine.incident_rows().count() > 0, "nothing happened");
}

/// Two entities report every five seconds; then the engine is away for ten minutes.
#[test]
fn a_pause_of_the_engine_is_nobodys_silence() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut seq = 0;
    let mut step = |engine: &mut Engine, at: Time, input: Input| {
        seq += 1;
        engine.step(&Stamped { seq, at, input }, &mut Vec::new());
    };
    let sample = |service: &str, metric: &str, at: Time| {
        let labels = Labels::from_pairs([("service", service)]).unwrap();
        let series = Arc::new(Series::new(metric, labels, SeriesKind::Gauge, Unit::None));
        let value = 1.0;
        Signal::Sample(Sample { series, at, value })
    };
    for second in 1..1_200 {
        let at = START.plus_ms(second * 1_000);
        if (300..900).contains(&second) {
            continue;
        }
        // After the pause, the second entity is back half a minute later than the first.
        for (service, from) in [("cart", 900), ("search", 930)] {
            if second % 5 == 0 && (second < 300 || second >= from) {
                let signals = ["depth", "size"].map(|metric| sample(service, metric, at));
                let source = SourceId(Arc::from("app"));
                let signals = signals.into();
                step(&mut engine, at, Input::Signals(Batch { source, signals }));
            }
        }
        step(&mut engine, at, Input::Tick);
        assert_eq!(engine.counts().findings_open, 0, "second {second}");
    }
}

/// Whoever reads the headline finds its curve first, whatever else scores higher meanwhile.
#[test]
fn the_first_chart_is_of_what_the_title_tells() {
    let engine = &storm().engine;
    let mut charted = 0;
    for row in engine.incident_rows() {
        let charts = engine.charts(row.id, None, 12);
        let Some(first) = charts.first().filter(|_| row.findings > 0) else {
            continue;
        };
        let name = first.title.strip_prefix(first.entity.name()).unwrap();
        assert_eq!(first.entity, row.entity);
        assert!(
            row.title.contains(name.trim()),
            "{} is not {name}",
            row.title
        );
        charted += 1;
    }
    assert!(charted > 1, "{charted} incidents with charts");
}
