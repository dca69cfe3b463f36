//! Causes read off series: an engine watches a few services, and one of them runs out of something.

use std::sync::Arc;

use crate::config::{DeclaredEdge, EngineConfig};
use crate::engine::Engine;
use crate::model::{
    Batch, EntityId, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Time,
    Unit,
};

/// A Wednesday, 12:00.
const START_S: i64 = 1_768_392_000;
const STEP_S: i64 = 5;
/// The pool fills from here on, within a minute.
const FILLS_S: i64 = 2 * 3_600;
const END_S: i64 = FILLS_S + 120;
/// What it waits for has just become slow, as far as samples tell.
const JUST: i64 = 30;

fn gauge(service: &str, name: &str, unit: Unit) -> Arc<Series> {
    let labels = Labels::from_pairs([("service", service)]).unwrap();
    Arc::new(Series::new(name, labels, SeriesKind::Gauge, unit))
}

/// A service whose `pool` runs out while `slow` answers eight times as slowly as usual, for so many seconds
/// already. It calls another service, `quotes`, which calls one more, and a database.
fn watched(pool: &str, slow: &str, slow_for_s: i64) -> Engine {
    let edge = |(from, to): (&str, &str)| DeclaredEdge {
        from: from.to_owned(),
        to: to.to_owned(),
    };
    let calls = [
        ("orders", "quotes"),
        ("orders", "orders-db"),
        ("quotes", "rates"),
    ];
    let config = EngineConfig {
        dependencies: calls.map(edge).into(),
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, Vec::new());
    let fills = gauge("orders", pool, Unit::Ratio);
    let latency = ["orders", "quotes", "orders-db", "rates"]
        .map(|name| (name, gauge(name, "request_duration_seconds", Unit::Seconds)));
    for second in (0..END_S).step_by(STEP_S as usize) {
        let at = Time::from_secs(START_S + second);
        let wobble = 1.0 + (second / STEP_S * 7_919 % 101) as f64 / 2_000.0;
        let filled = (second - FILLS_S).clamp(0, 60) as f64 / 60.0;
        let in_use = (0.3 * wobble + 0.8 * filled).min(1.0);
        let mut samples = vec![(&fills, in_use)];
        for (name, series) in &latency {
            let waits = second >= FILLS_S - slow_for_s && (*name == slow || *name == "orders");
            samples.push((series, wobble * if waits { 0.8 } else { 0.1 }));
        }
        let sample = |(series, value): (&Arc<Series>, f64)| {
            let series = Arc::clone(series);
            Signal::Sample(Sample { series, at, value })
        };
        let batch = Batch {
            source: SourceId::new("test"),
            signals: samples.into_iter().map(sample).collect(),
        };
        for input in [Input::Signals(batch), Input::Tick] {
            engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        }
    }
    engine
}

/// Why something in `orders` itself is a cause, if it is one.
fn cause_in_orders(engine: &Engine) -> Option<&str> {
    let orders = engine.entities.find(&EntityId::parse("orders"))?;
    let cause = engine.correlator.causes.get(&orders)?;
    Some(&cause.why)
}

#[test]
fn connections_to_a_database_are_not_held_while_a_service_is_slow() {
    let engine = watched("db_pool_in_use_ratio", "quotes", JUST);
    let why = cause_in_orders(&engine).expect("nothing it waits for holds connections");
    assert!(why.starts_with("db pool in use of orders ran out"), "{why}");
    let engine = watched("db_pool_in_use_ratio", "orders-db", JUST);
    assert_eq!(cause_in_orders(&engine), None, "its database holds them");
    let engine = watched("worker_pool_in_use_ratio", "quotes", JUST);
    assert_eq!(cause_in_orders(&engine), None, "workers wait for anybody");
}

#[test]
fn what_was_slow_long_before_did_not_fill_a_pool_at_once() {
    let engine = watched("db_pool_in_use_ratio", "orders-db", 600);
    let why =
        cause_in_orders(&engine).expect("its database was as slow while the pool was as ever");
    assert!(why.starts_with("db pool in use of orders ran out"), "{why}");
}
