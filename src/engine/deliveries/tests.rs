//! What of a source is missed, and when: tables of what it delivers.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::engine::findings::Key;
use crate::engine::intake::SourceIx;
use crate::model::{
    Batch, Input, Labels, LogLine, Sample, Series, SourceId, Span, SpanId, SpanKind, Stamped,
    TraceId, Unit,
};

const START_S: i64 = 1_768_392_000;
const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;

/// What a source delivers, from when on and until when, and how often, in seconds.
type Part = (What, i64, i64, i64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Gauge,
    Delta,
    Spans,
    Lines,
}
use What::{Delta, Gauge, Lines, Spans};

impl What {
    fn brings(self) -> Brings {
        Brings::of(&[self.signal(Time::from_secs(START_S))])
    }

    fn signal(self, at: Time) -> Signal {
        let labels = Labels::from_pairs([("service", "cart")]).unwrap();
        let series = |kind| Arc::new(Series::new("load", labels.clone(), kind, Unit::None));
        let sample = |kind| {
            let (series, value) = (series(kind), 1.0);
            Signal::Sample(Sample { series, at, value })
        };
        match self {
            Gauge => sample(SeriesKind::Gauge),
            Delta => sample(SeriesKind::Delta),
            Spans => Signal::Span(Box::new(Span {
                trace: TraceId(at.ms() as u128),
                id: SpanId(1),
                parent: None,
                resource: labels,
                name: "pay".into(),
                kind: SpanKind::Server,
                start: at,
                duration_us: 2_000,
                error: false,
                peer: None,
                weight: None,
            })),
            Lines => Signal::Log(Box::new(LogLine {
                at,
                labels,
                level: None,
                text: Box::from("took 12 ms"),
                trace: None,
                span: None,
            })),
        }
    }
}

/// A second, and what is missed then.
type Told = (i64, Kind, Scope, Quiet);

/// What is told of a source that delivers these until `until_s`, each with the second in which it is told.
fn told(parts: &[Part], until_s: i64) -> Vec<Told> {
    let mut deliveries = Deliveries::default();
    let mut told = Vec::new();
    for second in 0..=until_s {
        let now = Time::from_secs(START_S + second);
        for (what, from_s, to_s, every_s) in parts {
            if (*from_s..*to_s).contains(&second) && (second - from_s) % every_s == 0 {
                deliveries.hear(what.brings(), now);
            }
        }
        if let Some(missed) = deliveries.listen(now) {
            told.push((second, missed.kind, missed.scope, missed.quiet));
        }
    }
    told
}

#[test]
fn each_kind_is_missed_as_it_used_to_come_whatever_else_the_source_brings() {
    use Kind::{Lines as OfLines, Points as OfPoints, Spans as OfSpans};
    use Quiet::{Blind, Unusual};
    use Scope::{Everything, OneKind};
    const DAY_S: i64 = 25 * HOUR_S;
    const ON: i64 = i64::MAX;
    let cases: [(&str, &[Part], i64, &[Told]); 13] = [
        (
            "measurements alone",
            &[(Gauge, 0, HOUR_S, 15)],
            2 * HOUR_S,
            &[(HOUR_S - 15 + 181, OfPoints, Everything, Blind)],
        ),
        (
            "too few to know a pace",
            &[(Gauge, 0, 285, 15)],
            HOUR_S,
            &[],
        ),
        (
            "lines of a source that measured a few times, once",
            &[(Gauge, 0, 60, 15), (Lines, 0, DAY_S, 10)],
            DAY_S + HOUR_S,
            &[(DAY_S - 10 + 601, OfLines, Everything, Blind)],
        ),
        (
            "the same, of lines that are known for two hours",
            &[(Gauge, 0, 60, 15), (Lines, 0, 2 * HOUR_S, 10)],
            3 * HOUR_S,
            &[(2 * HOUR_S - 10 + 601, OfLines, Everything, Unusual)],
        ),
        (
            "a quiet night: no calls, and lines go on",
            &[(Spans, 0, DAY_S, 1), (Lines, 0, ON, 30)],
            DAY_S + 8 * HOUR_S,
            &[(DAY_S - 1 + 601, OfSpans, OneKind, Unusual)],
        ),
        (
            "calls that paused as long before",
            &[
                (Spans, 0, 2 * HOUR_S, 1),
                (Spans, 5 * HOUR_S, 9 * HOUR_S, 1),
                (Lines, 0, ON, 30),
            ],
            17 * HOUR_S,
            &[(2 * HOUR_S - 1 + 601, OfSpans, OneKind, Unusual)],
        ),
        (
            "calls alone, for an hour and a half",
            &[(Spans, 0, HOUR_S + 1_800, 1)],
            3 * HOUR_S,
            &[(HOUR_S + 1_800 - 1 + 601, OfSpans, Everything, Unusual)],
        ),
        (
            "calls alone, all day",
            &[(Spans, 0, DAY_S, 1)],
            DAY_S + HOUR_S,
            &[(DAY_S - 1 + 601, OfSpans, Everything, Blind)],
        ),
        (
            "metrics that a collector loses while its lines go on",
            &[(Gauge, 0, HOUR_S, 15), (Lines, 0, ON, 5)],
            2 * HOUR_S,
            &[(HOUR_S - 15 + 181, OfPoints, OneKind, Blind)],
        ),
        (
            "lines that it loses while metrics go on",
            &[(Gauge, 0, ON, 15), (Lines, 0, DAY_S, 5)],
            DAY_S + 2 * HOUR_S,
            &[(DAY_S - 5 + 601, OfLines, OneKind, Unusual)],
        ),
        (
            "first its lines, then all of it",
            &[(Gauge, 0, 3 * HOUR_S, 15), (Lines, 0, 2 * HOUR_S, 5)],
            4 * HOUR_S,
            &[
                (2 * HOUR_S - 5 + 601, OfLines, OneKind, Unusual),
                (3 * HOUR_S - 15 + 181, OfPoints, Everything, Blind),
            ],
        ),
        (
            "counts are sent when something happens",
            &[(Delta, 0, 3 * HOUR_S, 30)],
            4 * HOUR_S,
            &[(3 * HOUR_S - 30 + 601, OfPoints, Everything, Unusual)],
        ),
        (
            "a pace of which only counts are left",
            &[(Gauge, 0, HOUR_S, 15), (Delta, 0, 4 * HOUR_S, 45)],
            4 * HOUR_S + 500,
            &[],
        ),
    ];
    for (name, parts, until_s, expected) in cases {
        assert_eq!(told(parts, until_s), expected, "{name}");
    }
}

#[test]
fn that_nothing_comes_at_all_is_told_after_that_one_kind_does_not() {
    let parts = [(Spans, 0, 3 * HOUR_S, 1), (Lines, 0, 2 * HOUR_S, 5)];
    let expected = [
        (
            2 * HOUR_S - 5 + 601,
            Kind::Lines,
            Scope::OneKind,
            Quiet::Unusual,
        ),
        (
            3 * HOUR_S - 1 + 601,
            Kind::Spans,
            Scope::Everything,
            Quiet::Unusual,
        ),
    ];
    assert_eq!(told(&parts, 4 * HOUR_S), expected);
}

#[test]
fn a_delivery_in_many_parts_is_one_and_its_source_is_missed_once_it_stops() {
    for (batches, every_s) in [
        (1, 1),
        (1, 15),
        (60, 15),
        (1, 90),
        (2, 90),
        (60, 90),
        (250, 90),
    ] {
        let mut deliveries = Deliveries::default();
        let mut told = [0, 0];
        for second in 0..HOUR_S + 15 * every_s.max(60) {
            let now = Time::from_secs(START_S + second);
            if second < HOUR_S && second % every_s == 0 {
                for n in 0..batches {
                    // Decoded and judged one after the other.
                    deliveries.hear(Gauge.brings(), now.plus_ms(n * 3));
                }
            }
            let missed = deliveries.listen(now.plus_ms(900));
            told[usize::from(second >= HOUR_S)] += usize::from(missed.is_some());
        }
        assert_eq!(told, [0, 1], "{batches} every {every_s} s");
    }
}

#[test]
fn what_is_missed_is_missed_since_no_later_than_now_after_a_clock_was_set_back() {
    let mut deliveries = Deliveries::default();
    let stopped_s = START_S + HOUR_S;
    let mut now = Time::from_secs(START_S);
    while deliveries.blind().is_none() {
        now = now.plus_ms(1_000);
        assert!(now < Time::from_secs(stopped_s + HOUR_S), "it is missed");
        if now < Time::from_secs(stopped_s) {
            deliveries.hear(Gauge.brings(), now);
        }
        deliveries.listen(now);
    }
    let to = Time::from_secs(START_S);
    deliveries.set_back(SetBack { from: now, to });
    assert_eq!(deliveries.blind().map(|missed| missed.since), Some(to));
}

/// An engine that hears these of one source, and what is told of it in the end: the text, and whether it pages.
struct Bench {
    engine: Engine,
    second: i64,
}

impl Bench {
    fn new() -> Self {
        let engine = Engine::new(EngineConfig::default(), Vec::new());
        Self { engine, second: 0 }
    }

    fn hear(&mut self, seconds: i64, whats: &[What]) {
        for _ in 0..seconds {
            let at = Time::from_secs(START_S + self.second);
            let signals: Vec<Signal> = whats.iter().map(|what| what.signal(at)).collect();
            let source = SourceId::new("otlp");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                let stamped = Stamped { seq: 1, at, input };
                self.engine.step(&stamped, &mut Vec::new());
            }
            self.second += 1;
        }
    }

    /// What is told of the source: whether it pages, and what up to the time it names.
    fn told(&self) -> Vec<(bool, String)> {
        let source = SourceIx(0);
        let parts = Kind::ALL.map(|kind| Key::Part(source, kind));
        let keys = [Key::Source(source)].into_iter().chain(parts);
        let open = keys.filter_map(|key| self.engine.findings.of_key(key));
        let text = |text: &str| text.split(" since").next().unwrap_or_default().to_owned();
        open.map(|state| (state.finding.pages, text(&state.finding.text)))
            .collect()
    }
}

#[test]
fn a_part_that_stops_informs_the_whole_pages_and_both_end() {
    let mut bench = Bench::new();
    let told = |pages, text: &str| vec![(pages, text.to_owned())];
    bench.hear(2 * HOUR_S, &[Gauge, Spans, Lines]);
    assert_eq!(bench.told(), []);
    bench.hear(15 * MINUTE_S, &[Gauge, Lines]);
    assert_eq!(bench.told(), told(false, "otlp brings no spans"));
    bench.hear(5 * MINUTE_S, &[]);
    assert_eq!(
        bench.told(),
        told(true, "we are blind on otlp: nothing came from it")
    );
    // Something comes, and measurements do not: it is blind on these.
    bench.hear(2, &[Spans, Lines]);
    assert_eq!(
        bench.told(),
        told(true, "we are blind on the metrics of otlp: none came")
    );
    bench.hear(2, &[Gauge]);
    assert_eq!(bench.told(), []);
    bench.hear(15 * MINUTE_S, &[Gauge]);
    assert_eq!(bench.told(), [], "both paused as long before");
    bench.hear(50 * MINUTE_S, &[Gauge, Lines]);
    assert_eq!(bench.told(), told(false, "otlp brings no spans"));
    bench.hear(2, &[Gauge, Spans, Lines]);
    assert_eq!(bench.told(), []);
}
