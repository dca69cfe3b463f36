//! Tests of intake: rates, means, refusals.

use super::*;
use crate::model::Labels;

struct Bench {
    intake: Intake,
    entities: Entities,
    topology: Topology,
    refusals: Refusals,
    speakers: Speakers,
}

impl Bench {
    fn new() -> Self {
        Self {
            intake: Intake::default(),
            entities: Entities::default(),
            topology: Topology::default(),
            refusals: Refusals::default(),
            speakers: Speakers::default(),
        }
    }

    fn take(&mut self, series: &Arc<Series>, at_s: i64, value: f64) -> Vec<(SeriesIx, f64)> {
        let sample = Sample {
            series: Arc::clone(series),
            at: Time::from_secs(at_s),
            value,
        };
        let limits = Limits {
            series_max: 3,
            of_one_source: 3,
            skew_ms_max: 60_000,
        };
        let mut catalogue = Catalogue {
            entities: &mut self.entities,
            topology: &mut self.topology,
            refusals: &mut self.refusals,
            speakers: &mut self.speakers,
            now: Time::from_secs(1_000),
        };
        self.intake
            .take(&sample, SourceIx(0), limits, &mut catalogue)
            .values
            .into_iter()
            .flatten()
            .map(|v| (v.series, v.value))
            .collect()
    }
}

fn series(name: &str, kind: SeriesKind) -> Arc<Series> {
    let labels = Labels::from_pairs([("service", "cart"), ("host", "n1")]).unwrap();
    Arc::new(Series::new(name, labels, kind, Unit::None))
}

type Case = (i64, f64, Vec<(SeriesIx, f64)>);

#[test]
fn counters_become_rates_and_survive_resets() {
    let mut bench = Bench::new();
    let requests = series("requests_total", SeriesKind::Counter);
    let ix = SeriesIx(0);
    let cases: [Case; 4] = [
        (990, 100.0, vec![]),
        (995, 150.0, vec![(ix, 10.0)]),
        (1_000, 20.0, vec![(ix, 4.0)]),
        (1_010, 120.0, vec![(ix, 10.0)]),
    ];
    for (at_s, raw, expected) in cases {
        assert_eq!(bench.take(&requests, at_s, raw), expected, "{at_s}");
    }
    let (cart, host) = (EntityId::parse("cart"), EntityId::parse("host/n1"));
    let edge = bench.topology.edge(
        bench.entities.find(&cart).unwrap(),
        bench.entities.find(&host).unwrap(),
    );
    assert_eq!(edge.map(|e| e.provenance), Some(Provenance::Inferred));
}

#[test]
fn sums_and_counts_become_means_in_any_order() {
    for reversed in [false, true] {
        let mut bench = Bench::new();
        let sum = series("request_duration_seconds_sum", SeriesKind::Counter);
        let count = series("request_duration_seconds_count", SeriesKind::Counter);
        let mut all = Vec::new();
        for (at_s, seconds, requests) in [(990, 1.0, 10.0), (995, 3.0, 20.0)] {
            let mut points = [(&sum, seconds), (&count, requests)];
            if reversed {
                points.reverse();
            }
            for (series, value) in points {
                all.extend(bench.take(series, at_s, value));
            }
        }
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        assert_eq!(all.iter().map(|v| v.1).collect::<Vec<_>>(), [0.2, 2.0]);
        assert_eq!(bench.intake.row(all[0].0).role, MetricRole::Latency);
    }
}

#[test]
fn refuses_and_counts() {
    let mut bench = Bench::new();
    let gauge = series("temperature", SeriesKind::Gauge);
    for (at_s, value) in [
        (1_000, 1.0),
        (1_000, 1.0),
        (999, 1.0),
        (1_001, f64::INFINITY),
    ] {
        bench.take(&gauge, at_s, value);
    }
    bench.take(&gauge, 1_100, 1.0);
    bench.take(&gauge, 1_002, f64::NAN);
    assert!(bench.intake.row(SeriesIx(0)).is_silent);
    for name in ["a", "b", "c", "d"] {
        bench.take(&series(name, SeriesKind::Gauge), 1_000, 1.0);
    }
    assert_eq!(
        bench.refusals.iter().collect::<Vec<_>>(),
        [
            (Refused::Skew, 1),
            (Refused::Late, 1),
            (Refused::Duplicate, 1),
            (Refused::NotFinite, 1),
            (Refused::SeriesMax, 2),
        ]
    );
    let worst = Some((SourceIx(0), "c"));
    assert_eq!(bench.refusals.worst_offender(), worst);
}
