//! Remote write 1.0: a recorded request of Prometheus 2.42, kinds and units, refusals, limits.

use axum::http::StatusCode;
use prost::Message;
use stormglass::model::{Labels, Sample, Series, SeriesKind, Signal, Time, Unit};

use crate::harness::{Answer, Receivers, fixture};

const HEADERS: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// What Prometheus sends when a series ends.
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Point {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    at_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
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
            .map(|&(value, at_ms)| Point { value, at_ms })
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
    let metadata = WriteRequest {
        timeseries: Vec::new(),
        metadata: vec![
            Metadata {
                kind: 2,
                family: "pool_sum".to_owned(),
            },
            Metadata {
                kind: 1,
                family: "errors".to_owned(),
            },
        ],
    };
    let answer = post(&receivers, compress(&metadata.encode_to_vec())).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    for (name, kind) in [
        ("pool_sum", SeriesKind::Gauge),
        ("errors", SeriesKind::Counter),
    ] {
        post(&receivers, one(name)).await;
        assert_eq!(kind_of(receivers.taken()), (kind, Unit::None), "{name}");
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
        .map(|sample| (sample.value.to_bits(), sample.at.ms()))
        .collect();
    assert_eq!(got, [(STALE_NAN, 2), (f64::INFINITY.to_bits(), 3)]);
}

#[tokio::test]
async fn a_bad_series_does_not_cost_the_good_ones() {
    let mut receivers = Receivers::new();
    let long = "x".repeat(20_000);
    let mut native = series(&[("__name__", "native")], &[]);
    native.histograms.push(vec![0x08, 0x01]);
    let body = request(vec![
        series(&[("job", "nameless")], &[(1.0, 1), (2.0, 2)]),
        series(&[("__name__", "long"), ("l", &long)], &[(1.0, 1)]),
        native,
        series(&[("__name__", "good"), ("empty", "")], &[(7.0, 9)]),
    ]);
    let answer = post(&receivers, body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.text(),
        "4 series or samples refused, the first: a series has no name\n"
    );
    let good = Series::new("good", Labels::empty(), SeriesKind::Gauge, Unit::None);
    let good = Sample {
        series: std::sync::Arc::new(good),
        at: Time::from_ms(9),
        value: 7.0,
    };
    assert_eq!(receivers.taken(), [Signal::Sample(good)]);
    assert_eq!(receivers.row("remote_write").rejected, 4);
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
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let cases = [
        (("content-type", v2), "remote write 2.0 is not supported"),
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
