//! Speed of diagnosis on one large incident: 1,000 entities, 10,000 findings, 4,000 dependencies.
//!
//! `cargo bench --bench diagnose`. The bar is 50 ms.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use stormglass::engine::diagnose::deviation::{Column, ColumnKind, Normal};
use stormglass::engine::diagnose::{Case, Dependency, LogChange, LogSign, Onset, Shift, diagnose};
use stormglass::model::{Change, ChangeKind, EntityId, Labels, Provenance, Time, Unit};

/// Entities of the incident.
const ENTITIES: usize = 1_000;
/// Findings per entity.
const FINDINGS: usize = 10;
/// Calls per entity.
const CALLS: usize = 4;
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

fn benches(criterion: &mut Criterion) {
    let case = incident();
    criterion.bench_function("diagnose/1000_entities_10000_findings", |bencher| {
        bencher.iter(|| black_box(diagnose(black_box(&case))));
    });
}

criterion_group!(all, benches);
criterion_main!(all);
