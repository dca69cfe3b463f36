//! Messages of every format, as they are and as they should not be.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{DocumentFields, MetricFields};
use crate::sources::{Rhythm, signal_queue};

/// 2026-11-22, when the messages of these tests are read.
const NOW_S: i64 = 1_795_305_600;

fn now() -> Time {
    Time::from_secs(NOW_S)
}

fn payload(format: StreamFormat) -> Payload {
    let (registry, _queue) = signal_queue();
    let sender = registry.source("stream", Rhythm::Sporadic, "");
    let around = Surroundings {
        limits: Limits::new(1 << 20, 1),
        clock: Arc::new(now),
        series_max: 100,
        skew_ms_max: 300_000,
        resolve_timeout_ms: 300_000,
    };
    let mapping =
        "name = \"m\"\nitems = \"/items\"\nid = \"/id\"\nlabels = { alertname = \"/name\" }";
    let config = MessageConfig {
        format,
        document: DocumentFields::default(),
        metric: MetricFields::default(),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        mapping: Some(toml::from_str(mapping).unwrap()),
    };
    Payload::new(config, &sender, around)
}

/// What is told of each signal, how many items were refused, and why the first was.
fn read(format: StreamFormat, text: &str) -> (Vec<String>, u64, String) {
    let taken = payload(format).read(text.as_bytes(), now()).unwrap();
    let signals = taken.signals.iter().map(told).collect();
    (signals, taken.refused, taken.why.unwrap_or_default())
}

fn told(signal: &Signal) -> String {
    let ago = |at: Time| (at.ms() - now().ms()) / 1_000;
    match signal {
        Signal::Log(line) => format!("{} {}", ago(line.at), line.text),
        Signal::Sample(sample) => {
            let (series, labels) = (&sample.series, sample.series.labels.iter());
            let labels: Vec<_> = labels.map(|(n, v)| format!("{n}={v}")).collect();
            let (name, kind, at) = (&series.name, series.kind, ago(sample.at));
            format!("{at} {name} {} {kind:?} {}", sample.value, labels.join(","))
        }
        Signal::Alert(alert) => format!("{} ends {}", alert.name(), ago(alert.ends_at)),
        Signal::Change(change) => format!("{} {}", ago(change.at), change.title),
        Signal::Span(span) => span.name.to_string(),
    }
}

#[test]
fn documents_alone_and_in_lists_become_lines() {
    let text = r#"[{"message":"a","service.name":"cart","@timestamp":"2026-11-21T23:59:30Z"},{"text":"b"},7,{"message":"c"}]"#;
    let (lines, refused, why) = read(StreamFormat::Json, text);
    assert_eq!(
        (lines, refused),
        (vec!["-30 a".to_owned(), "0 c".to_owned()], 2)
    );
    assert_eq!(
        why,
        "a document without a message: name its field by `message`"
    );
    assert_eq!(read(StreamFormat::Json, r#"{"message":"a"}"#).0, ["0 a"]);
}

#[test]
fn documents_become_points_of_metrics() {
    let text = r#"[{"name":"http_requests_total","value":7,"labels":{"code":"500","host":"n1"},"service":{"name":"cart"}},
        {"name":"queue.depth","value":"3.5","@timestamp":"2026-11-21T23:59:30Z"},
        {"name":"x","value":"NaN"},{"value":1},{"name":"y"}]"#;
    let (points, refused, why) = read(StreamFormat::Metrics, text);
    let expected = [
        "0 http_requests_total 7 Counter code=500,env=prod,host=n1,service=cart",
        "-30 queue.depth 3.5 Gauge env=prod",
    ];
    assert_eq!((points, refused), (expected.map(str::to_owned).into(), 3));
    assert_eq!(why, "the value of \"x\" is no number");
}

#[test]
fn alerts_and_changes_are_as_over_http() {
    let list = r#"[{"labels":{"alertname":"Slow"}},{"labels":{}},{"labels":{"alertname":"Over"},"endsAt":"2026-11-21T23:59:00Z"}]"#;
    let (alerts, refused, _) = read(StreamFormat::Alerts, list);
    assert_eq!(
        (alerts, refused),
        (
            vec!["Slow ends 300".to_owned(), "Over ends -60".to_owned()],
            1
        )
    );
    let one = r#" {"labels":{"alertname":"Slow"}}"#;
    assert_eq!(read(StreamFormat::Alerts, one).0, ["Slow ends 300"]);
    let change = r#"{"service":"cart","version":"v2","at":"2026-11-21T23:58:00Z"}"#;
    assert_eq!(
        read(StreamFormat::Changes, change).0,
        ["-120 deploy cart v2"]
    );
    let mapped = r#"{"items":[{"id":7,"name":"DiskFull"},{"id":8}]}"#;
    let (alerts, refused, why) = read(StreamFormat::Mapped, mapped);
    assert_eq!(
        (alerts, refused),
        (vec!["DiskFull ends 21600".to_owned()], 1)
    );
    assert_eq!(why, "none of `labels` is there");
}

/// What a mapping says literally would make an alert of anything.
#[test]
fn an_item_that_holds_nothing_of_its_mapping_is_no_alert() {
    let signal = |mapping: &str, item: &str| {
        let mapping: crate::config::WebhookConfig = toml::from_str(mapping).unwrap();
        let item = serde_json::from_str(item).unwrap();
        let signal = mapping.signal(&item, now());
        signal.map(|signal| told(&signal))
    };
    let mapping =
        "name = \"m\"\ntitle = \"/text\"\nlabels = { source = \"ci\", alertname = \"/name\" }";
    let nothing = Err("nothing that `labels`, `title` or `id` point at is there".to_owned());
    assert_eq!(signal(mapping, r#"{"other":1}"#), nothing);
    let named = signal(mapping, r#"{"name":"Slow"}"#);
    assert_eq!(named, Ok("Slow ends 21600".to_owned()));
    assert!(signal(mapping, r#"{"text":"slow"}"#).is_ok());
    let literal = "name = \"m\"\nlabels = { alertname = \"Called\" }";
    assert!(signal(literal, "{}").is_ok(), "it asks for nothing");
}

#[test]
fn a_change_that_was_published_long_ago_is_not_taken_for_one_of_today() {
    let payload = payload(StreamFormat::Changes);
    let at = now().plus_ms(-100 * 3_600_000);
    let taken = payload
        .read(br#"{"service":"cart","version":"v2"}"#, at)
        .unwrap();
    assert_eq!((taken.signals.len(), taken.refused), (0, 1));
    assert!(taken.why.unwrap().contains("more than 48 hours ago"));
}

#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let cases = [
        (StreamFormat::Json, "7", "neither a document"),
        (StreamFormat::Json, "{", "not a document of JSON"),
        (StreamFormat::Metrics, "x", "not a document of JSON"),
        (StreamFormat::Alerts, "7", ""),
        (StreamFormat::Alerts, "{", "not a list of alerts"),
        (
            StreamFormat::Changes,
            "{}",
            "change 0: `entity` or `service` is needed",
        ),
        (StreamFormat::Mapped, "{}", "there is nothing at /items"),
        (
            StreamFormat::OtlpLogs,
            "\u{1}",
            "not an ExportLogsServiceRequest",
        ),
    ];
    for (format, text, why) in cases {
        match payload(format).read(text.as_bytes(), now()) {
            Ok(taken) => assert!(why.is_empty() && taken.refused == 1, "{format:?} {taken:?}"),
            Err(error) => assert!(!why.is_empty() && error.contains(why), "{format:?} {error}"),
        }
    }
}

proptest! {
    /// Whatever a message holds, in whichever format it should be: no panic, and no more signals than
    /// bytes.
    #[test]
    fn any_message_is_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
        odd in r#"(null|7|-1e999|true|\[\]|\[\[1\]\]|\{\}|"x"|\{"name":"y"\}|\{"a":1\})"#,
    ) {
        let shaped = format!(
            "[{{\"name\":{odd},\"value\":{odd},\"labels\":{odd},\"service\":{odd},\"at\":{odd},\"items\":{odd}}}]"
        );
        let formats = [
            StreamFormat::Json,
            StreamFormat::Metrics,
            StreamFormat::Alerts,
            StreamFormat::Changes,
            StreamFormat::Mapped,
            StreamFormat::OtlpTraces,
            StreamFormat::OtlpMetrics,
            StreamFormat::OtlpLogs,
        ];
        for format in formats {
            let payload = payload(format);
            for message in [&bytes[..], text.as_bytes(), shaped.as_bytes()] {
                if let Ok(taken) = payload.read(message, Time::ZERO) {
                    prop_assert!(taken.signals.len() <= message.len());
                }
            }
        }
    }
}
