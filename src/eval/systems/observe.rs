//! What an engine would see of a simulated system: metrics, edges, aliases, and live evidence true and misleading.

use super::make::{QUIET_ROWS, World, counted};
use crate::engine::diagnose::deviation::{Column, ColumnKind, Family, Normal};
use crate::engine::diagnose::{
    Case, Coverage, Dependency, EventKind, LogChange, LogSign, Loss, Onset, Shift, SubjectIx,
    TraceSign,
};
use crate::model::{Change, ChangeKind, EntityId, EntityKind, Labels, Provenance, Time, Unit};
use crate::sim::Noise;

/// Milliseconds of a row.
const ROW_MS: i64 = 60_000;
/// How far an onset may be off.
const ONSET_UNCERTAINTY_MS: i64 = 15_000;
/// The target's deviation at which somebody is alerted.
const ALERT_Z: f64 = 4.0;
/// Share of nodes that report nothing.
const BLIND_SHARE: f64 = 0.05;
/// Share of calls that also show up under an alias of the callee.
const ALIAS_SHARE: f64 = 0.25;
/// Share of cases in which the target is the root itself, where it hurts enough.
const ITSELF_SHARE: f64 = 0.12;

/// What the engine is told beside metrics and edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing.
    MetricsOnly,
    /// Changes, resources, losses, logs, spans, onsets: true ones and misleading ones.
    Live,
    /// As `Live`, but nothing at all of the root.
    RootInvisible,
}

/// A case with its truth.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What the engine sees.
    pub case: Case,
    /// The root.
    pub root: SubjectIx,
}

/// Makes the case of `seed`; `None` when nobody would have been alerted.
pub fn sample(seed: u64, services: usize, telling: Telling) -> Option<Sample> {
    let noise = &mut Noise::new(seed, 21);
    let world = World::make(services, noise);
    let now = Time::from_secs(1_000_000);
    let began = now.plus_ms(-ROW_MS * (world.window - world.fault.from_row) as i64);
    let mut case = Case::new(now, began, world.window);
    case.coverage = Coverage {
        logs: telling != Telling::MetricsOnly,
        ..Coverage::default()
    };
    for (at, service) in world.services.iter().enumerate() {
        let kind = if service.external {
            EntityKind::External
        } else {
            EntityKind::Service
        };
        let subject = case.subject(&EntityId::new(kind, &format!("s{at}")));
        if at == world.fault.root || !noise.chance(BLIND_SHARE) {
            case.subjects[subject].columns = columns(&world, at, noise);
        }
        for call in &service.calls {
            case.dependencies.push(edge(at, call.to));
        }
    }
    add_aliases(&mut case, &world, noise);
    let (target, family) = target(&case, &world, noise)?;
    case.target = Some(target);
    case.family = Some(family);
    if telling != Telling::MetricsOnly {
        tell(&mut case, &world, noise);
    }
    if telling == Telling::RootInvisible {
        if target == world.fault.root {
            return None;
        }
        hide(&mut case, world.fault.root, noise);
    }
    Some(Sample {
        case,
        root: world.fault.root,
    })
}

fn edge(from: SubjectIx, to: SubjectIx) -> Dependency {
    Dependency {
        from,
        to,
        provenance: Provenance::Traced,
        age_ms: 0,
        calls: None,
    }
}

fn columns(world: &World, at: usize, noise: &mut Noise) -> Vec<Column> {
    let p99: Vec<f64> = world.latency_s[at]
        .iter()
        .map(|latency| latency * 2.5 * noise.factor(0.2))
        .collect();
    let mut columns = vec![
        column("latency", ColumnKind::Latency, &world.latency_s[at], true),
        column("latency p99", ColumnKind::Latency, &p99, false),
        column("errors", ColumnKind::Errors, &world.errors[at], true),
    ];
    if !world.services[at].external || noise.chance(0.5) {
        columns.push(column(
            "requests",
            ColumnKind::Traffic,
            &world.requests[at],
            true,
        ));
    }
    columns
}

fn column(name: &str, kind: ColumnKind, rows: &[f64], additive: bool) -> Column {
    let unit = match kind {
        ColumnKind::Latency => Unit::Seconds,
        ColumnKind::Traffic => Unit::None,
        _ => Unit::Ratio,
    };
    let mut quiet = rows[..QUIET_ROWS].to_vec();
    Column {
        name: name.into(),
        unit,
        kind,
        normal: Normal::of(&mut quiet, kind, unit).expect("history is never empty"),
        additive,
        limit: None,
        values: rows[QUIET_ROWS..].to_vec(),
    }
}

/// Names under which callers know a callee: a leaf beside it, or a client that calls it.
fn add_aliases(case: &mut Case, world: &World, noise: &mut Noise) {
    for (from, service) in world.services.iter().enumerate() {
        for call in &service.calls {
            if world.services[call.to].external || !noise.chance(ALIAS_SHARE) {
                continue;
            }
            let part = noise.between(0.1, 1.0);
            let latency: Vec<f64> = world.latency_s[call.to]
                .iter()
                .map(|latency| (latency + 0.002) * noise.factor(0.1))
                .collect();
            let requests: Vec<f64> = world.requests[from]
                .iter()
                .map(|requests| requests * call.per_request * part * (1.0 + 0.05 * noise.normal()))
                .collect();
            let errors: Vec<f64> = world.errors[call.to]
                .iter()
                .zip(&requests)
                .map(|(errors, requests)| counted(*errors, *requests, noise))
                .collect();
            let alias = case.subject(&EntityId::new(
                EntityKind::External,
                &format!("s{}-by-s{from}", call.to),
            ));
            case.subjects[alias].columns = vec![
                column("latency", ColumnKind::Latency, &latency, true),
                column("errors", ColumnKind::Errors, &errors, true),
                column("requests", ColumnKind::Traffic, &requests, true),
            ];
            case.dependencies.push(if noise.chance(0.7) {
                edge(from, alias)
            } else {
                edge(alias, call.to)
            });
        }
    }
}

/// Where and how it is felt: any service above the root, or the root itself, that deviates enough for an alert.
fn target(case: &Case, world: &World, noise: &mut Noise) -> Option<(SubjectIx, Family)> {
    let upstream = world.upstream();
    let mut above = Vec::new();
    let mut itself = Vec::new();
    for (at, subject) in case.subjects.iter().take(world.services.len()).enumerate() {
        if !upstream[at] {
            continue;
        }
        for (name, family) in [("latency", Family::Slow), ("errors", Family::Failing)] {
            let Some(column) = subject.columns.iter().find(|column| &*column.name == name) else {
                continue;
            };
            let rows = &column.values[world.fault.from_row..world.fault.to_row];
            let mean = rows.iter().sum::<f64>() / rows.len() as f64;
            if column.normal.z_from(column.normal.median, mean) > ALERT_Z {
                if at == world.fault.root {
                    itself.push((at, family));
                } else {
                    above.push((at, family));
                }
            }
        }
    }
    let list = if !itself.is_empty() && noise.chance(ITSELF_SHARE) {
        itself
    } else {
        above
    };
    (!list.is_empty()).then(|| list[noise.below(list.len())])
}

/// Live evidence: one true trigger or none, what callers show of it, and what has nothing to do with it.
fn tell(case: &mut Case, world: &World, noise: &mut Noise) {
    let root = world.fault.root;
    let services = world.services.len();
    match noise.below(10) {
        0..=3 => {
            let at = case
                .began
                .plus_ms(-(noise.between(0.0, 5.0) * 60_000.0) as i64);
            push_change(case, root, at);
        }
        4..=5 => {
            case.subjects[root].columns.push(resource(
                "pool",
                0.4,
                0.05,
                noise.between(0.97, 1.0),
                true,
            ));
        }
        6 => {
            case.subjects[root].lost = Some(Loss {
                what: "an instance".into(),
                at: case.began,
            });
        }
        _ => {}
    }
    let upstream = world.upstream();
    let path: Vec<usize> = (0..services).filter(|at| upstream[*at]).collect();
    for _ in 0..2 {
        // Half of the misleading changes hit somebody who hurts.
        let bystander = if noise.chance(0.5) {
            path[noise.below(path.len())]
        } else {
            noise.below(services)
        };
        let at = case
            .began
            .plus_ms(-(noise.between(0.0, 60.0) * 60_000.0) as i64);
        push_change(case, bystander, at);
    }
    for _ in 0..3 {
        let bystander = noise.below(services);
        let used = 0.3 + 0.05 * noise.between(2.0, 6.0);
        case.subjects[bystander]
            .columns
            .push(resource("cpu", 0.3, 0.05, used, false));
    }
    let traced = noise.chance(0.7);
    for (at, hurt) in upstream.into_iter().enumerate() {
        if case.subjects[at].columns.is_empty() {
            continue;
        }
        if traced {
            case.subjects[at].traces = spans(world, at, noise);
        }
        if !hurt {
            continue;
        }
        let delay_ms = if at == root {
            0.0
        } else {
            noise.between(0.0, 40_000.0)
        };
        case.subjects[at].onset = Some(Onset {
            at: case.began.plus_ms(delay_ms as i64),
            uncertainty_ms: ONSET_UNCERTAINTY_MS,
        });
        let logs = world.fault.errors > 0.0 && noise.chance(if at == root { 0.7 } else { 0.4 });
        if logs {
            let strength = noise.between(4.0, 15.0) * if at == root { 1.5 } else { 1.0 };
            case.subjects[at].logs.push(error_line(strength));
        }
    }
    let bystander = noise.below(services);
    let strength = noise.between(2.0, 5.0);
    case.subjects[bystander].logs.push(error_line(strength));
}

fn push_change(case: &mut Case, subject: SubjectIx, at: Time) {
    let id = format!("c{}", case.changes.len());
    case.changes.push(Change {
        id: id.as_str().into(),
        at,
        kind: ChangeKind::Deploy,
        entity: case.subjects[subject].id.clone(),
        title: id.into(),
        version: None,
        previous_version: None,
        by: None,
        labels: Labels::default(),
    });
}

fn resource(name: &str, median: f64, spread: f64, used: f64, limited: bool) -> Column {
    Column {
        name: name.into(),
        unit: Unit::Ratio,
        kind: ColumnKind::Resource,
        normal: Normal {
            median,
            up: spread,
            down: spread,
            samples: QUIET_ROWS as u32,
        },
        additive: false,
        limit: limited.then_some(1.0),
        values: vec![used],
    }
}

fn error_line(score: f64) -> LogSign {
    LogSign {
        kind: EventKind::Log,
        requests: None,
        change: LogChange::New,
        error: true,
        template: "failed".into(),
        count: 20,
        since: None,
        score,
    }
}

fn spans(world: &World, at: usize, noise: &mut Noise) -> TraceSign {
    let shift = |rows: &[f64], kind: ColumnKind, unit: Unit| {
        let mut quiet = rows[..QUIET_ROWS].to_vec();
        let normal = Normal::of(&mut quiet, kind, unit)?;
        let active = &rows[QUIET_ROWS + world.fault.from_row..QUIET_ROWS + world.fault.to_row];
        let now = active.iter().sum::<f64>() / active.len() as f64;
        Some(Shift {
            normal: normal.median,
            now,
            z: normal.z_from(normal.median, now),
        })
    };
    let gap_s = noise.between(0.001, 0.005);
    TraceSign {
        self_time: shift(&world.own_s[at], ColumnKind::Latency, Unit::Seconds),
        self_errors: shift(&world.own_errors[at], ColumnKind::Errors, Unit::Ratio),
        gap: Some(Shift {
            normal: gap_s,
            now: gap_s,
            z: noise.normal(),
        }),
    }
}

/// Takes away everything that is known of the root, in half of the cases its edges too.
fn hide(case: &mut Case, root: SubjectIx, noise: &mut Noise) {
    let id = case.subjects[root].id.clone();
    case.changes.retain(|change| change.entity != id);
    let subject = &mut case.subjects[root];
    subject.columns.clear();
    subject.logs.clear();
    subject.traces = TraceSign::default();
    subject.onset = None;
    subject.lost = None;
    if noise.chance(0.5) {
        case.dependencies
            .retain(|dependency| dependency.from != root && dependency.to != root);
    }
    // An alias is the root seen from outside.
    let name = format!("{}-by-", id.name());
    for subject in case
        .subjects
        .iter_mut()
        .filter(|subject| subject.id.name().starts_with(&name))
    {
        subject.columns.clear();
    }
}
