//! Trees of spans, what they measure, and which are kept as examples.

use super::*;
use crate::model::{Labels, SpanId, SpanKind};

const GATEWAY: EntityIx = EntityIx(0);
const CART: EntityIx = EntityIx(1);
const CARDS: EntityIx = EntityIx(2);

fn span(trace: u128, id: u64, parent: Option<u64>, kind: SpanKind, duration_us: u64) -> Span {
    Span {
        trace: TraceId(trace),
        id: SpanId(id),
        parent: parent.map(SpanId),
        resource: Labels::empty(),
        name: Arc::from("op"),
        kind,
        start: Time::from_secs(100),
        duration_us,
        error: false,
        peer: None,
        weight: None,
    }
}

#[test]
fn edges_come_of_parents_and_peers_in_any_order() {
    let mut traces = Traces::default();
    let mut topology = Topology::default();
    let now = Time::from_secs(101);
    traces.take(
        &span(1, 4, Some(3), SpanKind::Client, 5_000),
        CART,
        Some(CARDS),
        now,
    );
    traces.take(
        &span(1, 3, Some(2), SpanKind::Server, 9_000),
        CART,
        None,
        now,
    );
    traces.take(
        &span(1, 1, None, SpanKind::Server, 20_000),
        GATEWAY,
        None,
        now,
    );
    traces.take(
        &span(1, 2, Some(1), SpanKind::Client, 10_000),
        GATEWAY,
        None,
        now,
    );
    traces.tick(Time::from_secs(105), &mut topology, &mut Witness::default());
    let edges: Vec<_> = topology
        .iter()
        .map(|(from, to, e)| (from, to, e.provenance))
        .collect();
    assert_eq!(
        edges,
        [
            (GATEWAY, CART, Provenance::Traced),
            (CART, CARDS, Provenance::Traced)
        ]
    );
    traces.tick(Time::from_secs(111), &mut topology, &mut Witness::default());
    let mean_ms = |flow| {
        let (_, window) = traces.flow_since(flow, Time::ZERO).unwrap();
        (1_000.0 * (window.log_sum / window.calls).exp()).round() as i64
    };
    let flows = [
        Flow::Served(GATEWAY),
        Flow::Own(GATEWAY),
        Flow::Called(GATEWAY, CART),
        Flow::Gap(CART),
        Flow::Own(CART),
        Flow::Called(CART, CARDS),
    ];
    assert_eq!(flows.map(mean_ms), [20, 10, 10, 1, 4, 5]);
    assert_eq!(traces.exemplars(CART).count(), 1);
    assert!(traces.serves(CART) && !traces.serves(CARDS));
}

#[test]
fn examples_of_a_thousand_entities_are_kept_and_their_spans_are_bounded() {
    let mut topology = Topology::default();
    let mut kept = |entities: u32, spans: u64| {
        let mut traces = Traces::default();
        let now = Time::from_secs(101);
        for entity in 0..entities {
            for id in 0..spans {
                let span = span(u128::from(entity) + 1, id, None, SpanKind::Server, 9);
                traces.take(&span, EntityIx(entity), None, now);
            }
            traces.tick(
                now.plus_ms(WHOLE_AFTER_MS),
                &mut topology,
                &mut Witness::default(),
            );
        }
        let with = |entity: &u32| traces.exemplars(EntityIx(*entity)).count() > 0;
        let with = (0..entities).filter(with).count();
        assert_eq!(traces.spans_kept, with * spans as usize);
        let odd_since = |entity: EntityIx| (entity.0 == 7).then_some(now);
        traces.expire(now.plus_ms(3 * EXEMPLAR_MS), odd_since);
        assert_eq!(traces.spans_kept, spans as usize, "one is odd still");
        with
    };
    assert_eq!(kept(1_000, 10), 1_000);
    assert_eq!(kept(600, 400), EXEMPLAR_SPANS_ALL_MAX / 400);
    assert_eq!(kept(10, EXEMPLAR_SPANS_MAX as u64), 10);
}

/// Whoever looks for the cause must not be shown how slow it was once on a day when all was well.
#[test]
fn what_was_slow_before_the_fault_gives_way_to_anything_since() {
    let mut topology = Topology::default();
    let mut traces = Traces::default();
    let began = Time::from_secs(200);
    let mut keep = |traces: &mut Traces, trace: u128, start: Time, ms: u64| {
        let mut served = span(trace, 1, None, SpanKind::Server, ms * 1_000);
        served.start = start;
        let now = start.plus_ms(10_000);
        traces.take(&served, CART, None, now);
        traces.tick(
            now.plus_ms(WHOLE_AFTER_MS),
            &mut topology,
            &mut Witness::default(),
        );
        let kept = traces.exemplars(CART).next();
        kept.map(|(trace, ..)| trace)
    };
    assert_eq!(
        keep(&mut traces, 1, Time::from_secs(100), 900),
        Some(TraceId(1))
    );
    assert_eq!(
        keep(&mut traces, 2, Time::from_secs(210), 300),
        Some(TraceId(1))
    );
    traces.expire(Time::from_secs(240), |_| Some(began));
    assert_eq!(
        keep(&mut traces, 3, Time::from_secs(250), 300),
        Some(TraceId(3))
    );
    assert_eq!(
        keep(&mut traces, 4, Time::from_secs(280), 200),
        Some(TraceId(3))
    );
    let later = Time::from_secs(280 + 2 * EXEMPLAR_MS / 1_000);
    let kept = keep(&mut traces, 5, later, 100);
    assert_eq!(kept, Some(TraceId(3)), "as long as it lasts");
    traces.expire(later.plus_ms(60_000), |_| None);
    let kept = keep(&mut traces, 6, later.plus_ms(120_000), 100);
    assert_eq!(kept, Some(TraceId(6)), "and no longer");
}

/// The first failure shows how it began, and what failed before it shows nothing.
#[test]
fn the_first_trace_that_failed_since_it_began_is_kept() {
    let mut topology = Topology::default();
    let mut traces = Traces::default();
    let began = Time::from_secs(200);
    for (trace, second) in [(1, 100), (2, 210), (3, 250)] {
        let mut served = span(trace, 1, None, SpanKind::Server, 9);
        served.start = Time::from_secs(second);
        served.error = true;
        traces.take(&served, CART, None, served.start);
        let now = served.start.plus_ms(WHOLE_AFTER_MS);
        traces.tick(now, &mut topology, &mut Witness::default());
        traces.expire(now, |_| Some(began));
    }
    let kept: Vec<_> = traces
        .exemplars(CART)
        .map(|(trace, reason, _)| (trace.0, reason))
        .collect();
    assert_eq!(kept, [(2, Reason::Failed), (2, Reason::Slowest)]);
}

#[test]
fn one_trace_cannot_fill_the_table() {
    let mut traces = Traces::default();
    let ids = 0..(SPANS_PER_TRACE_MAX as u64 + 5);
    let taken = ids.filter(|id| {
        let span = span(1, *id, None, SpanKind::Server, 1);
        traces.take(&span, GATEWAY, None, Time::ZERO)
    });
    assert_eq!(taken.count(), SPANS_PER_TRACE_MAX);
}
