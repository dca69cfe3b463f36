//! Speed of diagnosis on one large incident: 1,000 entities, 10,000 findings, 4,000 dependencies. And of a tick of the
//! engine while 5,000 incidents are open.
//!
//! `cargo bench --bench diagnose`. The bars are 50 and 5 ms.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::engine::diagnose::deviation::{Column, ColumnKind, Normal};
use stormglass::engine::diagnose::{
    Case, Dependency, EventKind, LogChange, LogSign, Onset, Shift, diagnose,
};
use stormglass::model::{
    Alert, Batch, Change, ChangeKind, EntityId, Fingerprint, Input, Labels, Phase, Provenance,
    Sample, Series, SeriesKind, Signal, SourceId, Stamped, Time, Unit,
};

/// Entities of the incident.
const ENTITIES: usize = 1_000;
/// Findings per entity.
const FINDINGS: usize = 10;
/// Calls per entity.
const CALLS: usize = 4;
/// Incidents that are open while the engine ticks.
const OPEN: usize = 5_000;
/// Ticks after which all of them are diagnosed and told.
const SETTLED_TICKS: usize = 1_200;
/// Rows of the window.
const ROWS: usize = 10;

fn column(kind: ColumnKind, at: usize, row_value: impl Fn(usize) -> f64) -> Column {
    Column {
        name: format!("m{at}").into(),
        unit: Unit::Ratio,
        kind,
        normal: Normal {
            median: 0.1,
            up: 0.01,
            down: 0.01,
            samples: 500,
        },
        additive: at < 4,
        limit: None,
        values: (0..ROWS).map(row_value).collect(),
    }
}

/// A tree-like system whose harm grows towards the root in the middle.
fn incident() -> Case {
    let kinds = [
        ColumnKind::Latency,
        ColumnKind::Errors,
        ColumnKind::Traffic,
        ColumnKind::Resource,
        ColumnKind::Other,
    ];
    let began = Time::from_secs(1_000_000);
    let mut case = Case::new(began.plus_ms(600_000), began, ROWS);
    for entity in 0..ENTITIES {
        let at = case.subject(&EntityId::parse(&format!("s{entity}")));
        let harm = if entity % 3 == 0 { 0.5 } else { 0.02 } + (entity % 17) as f64 * 0.01;
        let subject = &mut case.subjects[at];
        subject.columns = (0..FINDINGS)
            .map(|finding| {
                column(kinds[finding % kinds.len()], finding, |row| {
                    0.1 + harm * (row % 5) as f64
                })
            })
            .collect();
        subject.onset = Some(Onset {
            at: began.plus_ms((entity * 37 % 60_000) as i64),
            uncertainty_ms: 5_000,
        });
        subject.traces.self_time = Some(Shift {
            normal: 0.1,
            now: 0.1 + harm,
            z: harm * 20.0,
        });
        if entity % 5 == 0 {
            subject.logs.push(LogSign {
                kind: EventKind::Log,
                requests: None,
                change: LogChange::New,
                error: true,
                template: "refused by <ip>".into(),
                count: 9,
                since: None,
                score: harm * 30.0,
            });
        }
    }
    for from in 0..ENTITIES {
        for call in 1..=CALLS {
            let to = from * CALLS + call;
            case.dependencies.push(Dependency {
                from,
                to: if to < ENTITIES {
                    to
                } else {
                    (from + call * 97) % ENTITIES
                },
                provenance: Provenance::Traced,
                age_ms: 0,
                calls: None,
            });
        }
    }
    case.changes = (0..50)
        .map(|at| Change {
            id: format!("c{at}").into(),
            at: began.plus_ms(-at * 30_000),
            kind: ChangeKind::Deploy,
            entity: EntityId::parse(&format!("s{}", at * 13)),
            title: "v2".into(),
            version: None,
            previous_version: None,
            by: None,
            labels: Labels::default(),
        })
        .collect();
    case.target = Some(0);
    case
}

/// An engine with its clock.
struct Desk {
    engine: Engine,
    at: Time,
    seq: u64,
}

impl Desk {
    /// An engine in which many incidents are open, each of a service that measures itself, and are diagnosed.
    fn crowded() -> Self {
        let engine = Engine::new(EngineConfig::default(), Vec::new());
        let at = Time::from_secs(1_000_000);
        let mut desk = Self { engine, at, seq: 0 };
        let services: Vec<usize> = (0..OPEN).collect();
        for some in services.chunks(100) {
            let signals = some.iter().flat_map(|n| desk.trouble(*n)).collect();
            let source = SourceId::new("bench");
            desk.step(Input::Signals(Batch { source, signals }));
            desk.tick();
        }
        (0..SETTLED_TICKS).for_each(|_| desk.tick());
        let open = desk.engine.incident_rows();
        let open = open.filter(|row| row.phase != Phase::Resolved).count();
        // And one of the source, which tells nothing more.
        assert_eq!(open, OPEN + 1, "every service has an incident of its own");
        desk
    }

    /// What one service tells: a sample, and an alert of its own that fires for long.
    fn trouble(&self, n: usize) -> [Signal; 2] {
        let service = format!("s{n}");
        let labels = Labels::from_pairs([("service", service.as_str())]).unwrap();
        let series = Series::new("load", labels, SeriesKind::Gauge, Unit::None);
        let (series, at, value) = (Arc::new(series), self.at, 1.0);
        let name = format!("Trouble{n}");
        let labels = [
            ("alertname", name.as_str()),
            ("service", service.as_str()),
            ("severity", "error"),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        let alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: at,
            ends_at: at.plus_ms(30 * 86_400_000),
            generator_url: None,
        };
        let sample = Signal::Sample(Sample { series, at, value });
        [sample, Signal::Alert(Box::new(alert))]
    }

    fn step(&mut self, input: Input) {
        self.seq += 1;
        let (seq, at) = (self.seq, self.at);
        let stamped = Stamped { seq, at, input };
        let mut effects = Vec::new();
        self.engine.step(&stamped, &mut effects);
        black_box(effects);
    }

    fn tick(&mut self) {
        self.at = self.at.plus_ms(1_000);
        self.step(Input::Tick);
    }
}

fn benches(criterion: &mut Criterion) {
    let mut desk = Desk::crowded();
    criterion.bench_function("tick/5000_open_incidents", |bencher| {
        bencher.iter(|| desk.tick());
    });
    let case = incident();
    criterion.bench_function("diagnose/1000_entities_10000_findings", |bencher| {
        bencher.iter(|| black_box(diagnose(black_box(&case))));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
