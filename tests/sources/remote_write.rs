//! Remote write: a recorded request of Prometheus 2.42, requests of 2.0 as its specification draws
//! them, kinds and units, native histograms, refusals, limits.

use axum::http::StatusCode;
use prost::Message;
use stormglass::model::{Labels, Sample, Series, SeriesKind, Signal, Time, Unit};
use stormglass::sources::SIGNALS_QUEUED_MAX;

use crate::harness::{Answer, NOW, Receivers, fixture};
use crate::write_request::{Histogram, Label, Metadata, Point, TimeSeries, WriteRequest};

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// What Prometheus sends when a series ends.
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    timeseries: Vec<TimeSeriesV2>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    exemplars: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<MetadataV2>,
}

#[derive(Clone, PartialEq, Message)]
struct MetadataV2 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

fn series(labels: &[(&str, &str)], points: &[(f64, i64)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        samples: points
            .iter()
            .map(|&(value, ms)| Point {
                value,
                at_ms: NOW.ms() + ms,
            })
            .collect(),
        histograms: Vec::new(),
    }
}

fn request(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let request = WriteRequest {
        timeseries,
        metadata: Vec::new(),
    };
    compress(&request.encode_to_vec())
}

fn compress(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(plain)
        .expect("short")
}

async fn post(receivers: &Receivers, body: Vec<u8>) -> Answer {
    receivers.send("POST", "/api/v1/write", HEADERS, body).await
}

fn samples(signals: Vec<Signal>) -> Vec<Sample> {
    signals
        .into_iter()
        .map(|signal| match signal {
            Signal::Sample(sample) => sample,
            other => panic!("not a sample: {other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn a_recorded_request_is_taken_whole() {
    let mut receivers = Receivers::new();
    let body = fixture("remote_write/prometheus.snappy");
    let plain = snap::raw::Decoder::new()
        .decompress_vec(&body)
        .expect("snappy");
    let sent = WriteRequest::decode(&*plain).expect("protobuf");
    assert_eq!(
        post(&receivers, body.clone()).await.status,
        StatusCode::NO_CONTENT
    );
    let taken = samples(receivers.taken());
    let expected: Vec<_> = sent
        .timeseries
        .iter()
        .flat_map(|series| series.samples.iter().map(move |point| (series, point)))
        .filter(|(_, point)| !point.value.is_nan())
        .collect();
    assert!(expected.len() > 100, "the fixture holds many series");
    assert_eq!(taken.len(), expected.len());
    for (sample, (series, point)) in taken.iter().zip(&expected) {
        assert_eq!(sample.at, Time::from_ms(point.at_ms));
        assert_eq!(sample.value.to_bits(), point.value.to_bits());
        let labels: Vec<_> = series
            .labels
            .iter()
            .map(|l| (&*l.name, &*l.value))
            .collect();
        let name = labels
            .iter()
            .find(|(name, _)| *name == "__name__")
            .expect("named");
        let others = labels.iter().filter(|(name, _)| *name != "__name__");
        assert_eq!(&*sample.series.name, name.1);
        assert_eq!(
            sample.series.labels,
            Labels::from_pairs(others.copied()).expect("short")
        );
    }
    // The same series are the same objects the next time.
    assert_eq!(post(&receivers, body).await.status, StatusCode::NO_CONTENT);
    for (again, before) in samples(receivers.taken()).iter().zip(&taken) {
        assert!(std::sync::Arc::ptr_eq(&again.series, &before.series));
    }
}

#[tokio::test]
async fn kinds_come_from_names_and_metadata() {
    let mut receivers = Receivers::new();
    let kind_of = |signals: Vec<Signal>| {
        let taken = samples(signals);
        assert_eq!(taken.len(), 1);
        (taken[0].series.kind, taken[0].series.unit)
    };
    let one = |name| request(vec![series(&[("__name__", name)], &[(1.0, 5)])]);
    let cases = [
        ("requests_total", (SeriesKind::Counter, Unit::None)),
        ("latency_seconds_sum", (SeriesKind::Counter, Unit::Seconds)),
        ("free_bytes", (SeriesKind::Gauge, Unit::Bytes)),
        ("pool_sum", (SeriesKind::Counter, Unit::None)),
    ];
    for (name, expected) in cases {
        post(&receivers, one(name)).await;
        assert_eq!(kind_of(receivers.taken()), expected, "{name}");
    }
    let told = |kind, family: &str, unit: &str| Metadata {
        kind,
        family: family.to_owned(),
        unit: unit.to_owned(),
    };
    let metadata = WriteRequest {
        timeseries: Vec::new(),
        metadata: vec![
            told(2, "pool_sum", ""),
            told(1, "errors", ""),
            // A histogram: its series say by their names how they accumulate.
            told(3, "wait", "seconds"),
            told(2, "fill", "ratio"),
        ],
    };
    let answer = post(&receivers, compress(&metadata.encode_to_vec())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for (name, kind, unit) in [
        ("pool_sum", SeriesKind::Gauge, Unit::None),
        ("errors", SeriesKind::Counter, Unit::None),
        ("wait_sum", SeriesKind::Counter, Unit::Seconds),
        ("wait_count", SeriesKind::Counter, Unit::None),
        ("fill", SeriesKind::Gauge, Unit::Ratio),
    ] {
        post(&receivers, one(name)).await;
        assert_eq!(kind_of(receivers.taken()), (kind, unit), "{name}");
    }
}

#[tokio::test]
async fn stale_markers_pass_and_other_nans_do_not() {
    let mut receivers = Receivers::new();
    let points = [
        (f64::NAN, 1),
        (f64::from_bits(STALE_NAN), 2),
        (f64::INFINITY, 3),
    ];
    let body = request(vec![series(&[("__name__", "q")], &points)]);
    assert_eq!(post(&receivers, body).await.status, StatusCode::NO_CONTENT);
    let got: Vec<_> = samples(receivers.taken())
        .into_iter()
        .map(|sample| (sample.value.to_bits(), sample.at.since(NOW)))
        .collect();
    assert_eq!(got, [(STALE_NAN, 2), (f64::INFINITY.to_bits(), 3)]);
}

#[tokio::test]
async fn a_bad_series_does_not_cost_the_good_ones() {
    let mut receivers = Receivers::new();
    let long = "x".repeat(20_000);
    let body = request(vec![
        series(&[("job", "nameless")], &[(1.0, 1), (2.0, 2)]),
        series(&[("__name__", "long"), ("l", &long)], &[(1.0, 1)]),
        series(&[("__name__", "good"), ("empty", "")], &[(7.0, 9)]),
    ]);
    let answer = post(&receivers, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.text(),
        "3 series or samples refused, the first: a series has no name\n"
    );
    let good = Series::new("good", Labels::empty(), SeriesKind::Gauge, Unit::None);
    let good = Sample {
        series: std::sync::Arc::new(good),
        at: NOW.plus_ms(9),
        value: 7.0,
    };
    assert_eq!(receivers.taken(), [Signal::Sample(good)]);
    assert_eq!(receivers.row("remote_write").rejected, 3);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_reason() {
    let too_many = request(vec![series(&[("__name__", "x")], &vec![(1.0, 1); 140_000])]);
    let zeros = compress(&vec![0; 200 << 20]);
    let cases: [(Vec<u8>, StatusCode, &str); 7] = [
        (Vec::new(), StatusCode::BAD_REQUEST, "not a snappy block"),
        (
            b"{}".to_vec(),
            StatusCode::BAD_REQUEST,
            "not a snappy block",
        ),
        (
            vec![0xff, 0xff, 0xff, 0x1f, 0x00],
            StatusCode::BAD_REQUEST,
            "more than it can hold",
        ),
        (
            compress(&[0x0a, 0x05]),
            StatusCode::BAD_REQUEST,
            "ends within a field",
        ),
        (
            compress(b"\x08\x01"),
            StatusCode::BAD_REQUEST,
            "field 1 has another type",
        ),
        (
            too_many,
            StatusCode::PAYLOAD_TOO_LARGE,
            "more than 131072 samples",
        ),
        (
            zeros,
            StatusCode::PAYLOAD_TOO_LARGE,
            "sources.body_bytes_max",
        ),
    ];
    let mut receivers = Receivers::new();
    for (i, (body, status, reason)) in cases.into_iter().enumerate() {
        let answer = post(&receivers, body).await;
        assert_eq!(answer.status, status, "{reason}");
        assert!(
            answer.text().contains(reason),
            "{:?} lacks {reason:?}",
            answer.text()
        );
        assert_eq!(receivers.taken(), []);
        assert_eq!(receivers.row("remote_write").rejected, i as u64 + 1);
    }
}

#[tokio::test]
async fn other_versions_and_encodings_are_named() {
    let v3 = "application/x-protobuf;proto=io.prometheus.write.v3.Request";
    let cases = [
        (
            ("content-type", v3),
            "message \"io.prometheus.write.v3.Request\": taken are",
        ),
        (
            ("content-type", "application/json"),
            "remote write is application/x-protobuf",
        ),
        (("content-encoding", "zstd"), "remote write is snappy"),
    ];
    let receivers = Receivers::new();
    for (header, reason) in cases {
        let answer = receivers.send("POST", "/api/v1/write", &[header], "").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(
            answer.text().contains(reason),
            "{:?} lacks {reason:?}",
            answer.text()
        );
    }
}

const HEADERS_V2: &[(&str, &str)] = &[
    (
        "content-type",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    ),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "2.0.0"),
];

/// What an answer says was written: samples, histograms, exemplars.
fn written(answer: &Answer) -> [&str; 3] {
    ["samples", "histograms", "exemplars"].map(|what| {
        let name = format!("x-prometheus-remote-write-{what}-written");
        answer.headers[&name].to_str().expect("a number")
    })
}

fn sample(name: &str, kind: SeriesKind, unit: Unit, value: f64, at_ms: i64) -> Signal {
    let labels = Labels::from_pairs([("job", "shop")]).expect("short");
    Signal::Sample(Sample {
        series: std::sync::Arc::new(Series::new(name, labels, kind, unit)),
        at: NOW.plus_ms(at_ms),
        value,
    })
}

#[tokio::test]
async fn version_2_is_taken_and_says_what_was_written() {
    let mut receivers = Receivers::new();
    let symbols = ["", "__name__", "requests", "job", "shop", "wait", "seconds"];
    let metadata = |kind, unit_ref| Some(MetadataV2 { kind, unit_ref });
    let request = RequestV2 {
        symbols: symbols.map(str::to_owned).into(),
        timeseries: vec![
            TimeSeriesV2 {
                labels_refs: vec![1, 2, 3, 4],
                samples: vec![
                    Point {
                        value: 1.0,
                        at_ms: NOW.ms() + 5,
                    },
                    Point {
                        value: 2.0,
                        at_ms: NOW.ms() + 6,
                    },
                ],
                metadata: metadata(1, 0),
                exemplars: vec![vec![]],
                ..TimeSeriesV2::default()
            },
            TimeSeriesV2 {
                labels_refs: vec![3, 4, 1, 5],
                histograms: vec![Histogram {
                    count: 9,
                    sum: 4.5,
                    positive_deltas: vec![1, 2],
                    at_ms: NOW.ms() + 7,
                    ..Histogram::default()
                }],
                metadata: metadata(3, 6),
                ..TimeSeriesV2::default()
            },
        ],
    };
    let body = compress(&request.encode_to_vec());
    for _ in 0..2 {
        let answer = receivers
            .send("POST", "/api/v1/write", HEADERS_V2, body.clone())
            .await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
        assert_eq!(written(&answer), ["2", "1", "0"]);
        let counter = SeriesKind::Counter;
        let expected = [
            sample("requests", counter, Unit::None, 1.0, 5),
            sample("requests", counter, Unit::None, 2.0, 6),
            sample("wait_count", counter, Unit::None, 9.0, 7),
            sample("wait_sum", counter, Unit::Seconds, 4.5, 7),
        ];
        assert_eq!(receivers.taken(), expected);
    }
    // Other symbols under the same numbers are other series.
    let mut other = request.clone();
    "replies".clone_into(&mut other.symbols[2]);
    other.timeseries.truncate(1);
    // A label without a value, and one beyond the table: refused, and said.
    for refs in [vec![1, 2, 3], vec![1, 99]] {
        other.timeseries.push(TimeSeriesV2 {
            labels_refs: refs,
            samples: vec![Point {
                value: 1.0,
                at_ms: NOW.ms() + 5,
            }],
            ..TimeSeriesV2::default()
        });
    }
    let body = compress(&other.encode_to_vec());
    let answer = receivers
        .send("POST", "/api/v1/write", HEADERS_V2, body)
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let why = "2 series or samples refused, the first: a label has a name and no value\n";
    assert_eq!((answer.text(), written(&answer)), (why, ["2", "0", "0"]));
    let names: Vec<_> = samples(receivers.taken())
        .iter()
        .map(|s| s.series.name.clone())
        .collect();
    assert_eq!(names, ["replies".into(), "replies".into()]);
}

#[tokio::test]
async fn times_that_are_not_believed_are_refused_by_name_and_not_written() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let mut receivers = Receivers::new();
    let points = [(1.0, 0), (1.0, -YEAR_MS), (1.0, YEAR_MS), (1.0, -3_600_000)];
    let sent = series(&[("__name__", "a")], &points);
    let v2 = RequestV2 {
        symbols: ["", "__name__", "a"].map(str::to_owned).to_vec(),
        timeseries: vec![TimeSeriesV2 {
            labels_refs: vec![1, 2],
            samples: sent.samples.clone(),
            ..TimeSeriesV2::default()
        }],
    };
    let v2 = compress(&v2.encode_to_vec());
    let why = "2 samples are too far from our clock (`engine.clock_skew_s_max`), and not taken\n";
    for (headers, body) in [(HEADERS, request(vec![sent])), (HEADERS_V2, v2)] {
        let answer = receivers.send("POST", "/api/v1/write", headers, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!((answer.text(), written(&answer)), (why, ["2", "0", "0"]));
        // The engine refuses the others, and counts whose they are.
        assert_eq!(receivers.taken().len(), 4);
    }
}

#[tokio::test]
async fn a_message_of_the_other_version_is_refused() {
    let receivers = Receivers::new();
    let v1 = request(vec![series(&[("__name__", "a")], &[(1.0, 0)])]);
    let v2 = RequestV2 {
        symbols: vec![String::new()],
        timeseries: vec![TimeSeriesV2::default()],
    };
    let v2 = compress(&v2.encode_to_vec());
    let cases = [
        (
            HEADERS_V2,
            v1,
            "not a io.prometheus.write.v2.Request: field 1 is one of the other",
        ),
        (
            HEADERS,
            v2,
            "not a prometheus.WriteRequest: field 4 is one of the other",
        ),
    ];
    for (headers, body, why) in cases {
        let answer = receivers.send("POST", "/api/v1/write", headers, body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text().starts_with(why), "{}", answer.text());
        assert_eq!(written(&answer), ["0", "0", "0"]);
    }
}

#[tokio::test]
async fn native_histograms_are_their_count_and_sum() {
    let mut receivers = Receivers::new();
    let mut native = series(&[("__name__", "wait_seconds"), ("job", "shop")], &[]);
    let point = |count, count_float, sum, reset_hint, ms: i64| Histogram {
        count,
        count_float,
        sum,
        positive_deltas: Vec::new(),
        reset_hint,
        at_ms: NOW.ms() + ms,
    };
    native.histograms = vec![
        point(3, 0.0, 1.5, 0, 1),
        point(0, 2.5, 1.25, 3, 2),
        point(0, 0.0, f64::from_bits(STALE_NAN), 0, 3),
    ];
    let answer = post(&receivers, request(vec![native])).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let taken = samples(receivers.taken());
    let got: Vec<_> = taken
        .iter()
        .map(|s| {
            let ms = s.at.since(NOW);
            (&*s.series.name, s.series.kind, s.value.to_bits(), ms)
        })
        .collect();
    let (count, sum) = ("wait_seconds_count", "wait_seconds_sum");
    let (counter, gauge) = (SeriesKind::Counter, SeriesKind::Gauge);
    let expected = [
        (count, counter, 3.0_f64.to_bits(), 1),
        (sum, counter, 1.5_f64.to_bits(), 1),
        (count, gauge, 2.5_f64.to_bits(), 2),
        (sum, gauge, 1.25_f64.to_bits(), 2),
        (count, counter, STALE_NAN, 3),
        (sum, counter, STALE_NAN, 3),
    ];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn what_finds_no_room_is_sent_back_whole_and_counted_before_it_is_read() {
    let mut receivers = Receivers::new();
    let many: Vec<_> = (0..SIGNALS_QUEUED_MAX - 3)
        .map(|n| (1.0, i64::from(n)))
        .collect();
    let fill = request(vec![series(&[("__name__", "fills")], &many)]);
    assert_eq!(post(&receivers, fill).await.status, StatusCode::NO_CONTENT);

    let mut native = series(&[("__name__", "wait_seconds")], &[(1.0, 1), (2.0, 2)]);
    native.histograms = vec![Histogram {
        count: 3,
        count_float: 0.0,
        sum: 1.5,
        positive_deltas: Vec::new(),
        reset_hint: 0,
        at_ms: NOW.ms() + 1,
    }];
    let v1 = request(vec![
        native.clone(),
        series(&[("__name__", "a")], &[(1.0, 1)]),
    ]);
    let v2 = RequestV2 {
        symbols: ["", "__name__", "wait_seconds"].map(str::to_owned).to_vec(),
        timeseries: vec![TimeSeriesV2 {
            labels_refs: vec![1, 2],
            samples: native.samples.clone(),
            histograms: native.histograms.clone(),
            exemplars: vec![Vec::new()],
            metadata: None,
        }],
    };
    let v2 = compress(&v2.encode_to_vec());
    // Two samples and a histogram are four signals, and three find room.
    for (headers, body, sent_back) in [(HEADERS, v1, 5), (HEADERS_V2, v2, 4)] {
        let before = receivers.row("remote_write").refused;
        let answer = receivers.send("POST", "/api/v1/write", headers, body).await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.text()
        );
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(receivers.row("remote_write").refused - before, sent_back);
    }
    // What is no request is refused for good all the same; what fits is taken.
    let broken = post(
        &receivers,
        compress(&[0x0a, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a].repeat(9)),
    )
    .await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let fits = request(vec![series(
        &[("__name__", "a")],
        &[(1.0, 1), (1.0, 2), (1.0, 3)],
    )]);
    assert_eq!(post(&receivers, fits).await.status, StatusCode::NO_CONTENT);
    // A long one is not even read while the engine is behind: it is no request, and nobody finds out.
    let long = post(&receivers, vec![0; 16 * 1024]).await;
    assert_eq!(long.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(long.headers["retry-after"], "1");
    assert!(
        long.text().ends_with("nothing of this was read\n"),
        "{}",
        long.text()
    );
    let row = receivers.row("remote_write");
    assert_eq!((row.refused, row.unread), (9, 1));
    assert_eq!(receivers.taken().len(), SIGNALS_QUEUED_MAX as usize);
    let long = post(&receivers, vec![0; 16 * 1024]).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
    assert_eq!(receivers.row("remote_write").unread, 1);
}
