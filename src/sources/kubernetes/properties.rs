//! Hostile objects: whatever an API server says of a cluster, it is told within bounds, and nothing panics.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use proptest::prelude::*;

use super::event;
use super::state::{Cluster, Current};
use crate::model::Time;

/// Longest a node's alert is held, in milliseconds.
const HOLD_MS: i64 = 60_000;

/// An object with the fields that are read of every kind: each `text`, `number` and `time` that stands alone is a place.
const SHAPE: &str = r#"{"metadata": {"name": text, "namespace": text, "uid": text, "generation": number,
    "creationTimestamp": time, "labels": {"app": text},
    "annotations": {"deployment.kubernetes.io/revision": text, "deployment.kubernetes.io/revision-history": text},
    "ownerReferences": [{"apiVersion": "apps/v1", "kind": text, "name": text, "uid": "u", "controller": true}]},
    "spec": {"replicas": number, "nodeName": text, "containers": [{"name": "c", "image": text}], "selector": {},
    "template": {"spec": {"containers": [{"name": "c", "image": text}]}}},
    "status": {"replicas": number, "availableReplicas": number, "phase": text,
    "conditions": [{"type": "Ready", "status": text, "lastTransitionTime": time}], "containerStatuses": [
    {"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": number},
    {"name": "d", "image": "i", "imageID": "", "ready": true, "restartCount": number}]},
    "eventTime": time, "note": text, "reason": text, "type": "Warning", "deprecatedCount": number,
    "deprecatedLastTimestamp": time, "regarding": {"kind": "Pod", "namespace": text, "name": text}}"#;

/// What stands in the places of an object, each as JSON says it.
#[derive(Clone, Debug)]
struct Values {
    texts: Vec<String>,
    numbers: Vec<i32>,
    times: Vec<&'static str>,
    /// One place holds something of another type.
    odd: (usize, &'static str),
}

fn values() -> impl Strategy<Value = Values> {
    let number = prop_oneof![
        prop::sample::select(vec![i32::MAX, i32::MIN, 0, 1, 3]),
        any::<i32>()
    ];
    let time = prop::sample::select(vec![
        "\"2026-11-21T23:00:00Z\"",
        "\"0000-01-01T00:00:00Z\"",
        "\"9999-12-30T22:00:00.999999Z\"",
        "\"-009999-01-02T01:59:59Z\"",
        "null",
    ]);
    let text = prop_oneof![
        "[a-z0-9:/@.-]{0,40}",
        "\\PC{0,12}",
        prop::sample::select(vec![
            "True",
            "ReplicaSet",
            "Job",
            "Deployment",
            "7",
            "Running"
        ])
        .prop_map(str::to_owned),
    ];
    let text = text.prop_map(|text| serde_json::to_string(&text).expect("a text"));
    let odd = prop::sample::select(vec!["null", "[]", "{}", "7", "-1e999", "true", "\"x\""]);
    (
        prop::collection::vec(text, 1..12),
        prop::collection::vec(number, 1..6),
        prop::collection::vec(time, 1..4),
        // Mostly nowhere: an object with one wrong type is refused as a whole.
        (0..80_usize, odd),
    )
        .prop_map(|(texts, numbers, times, odd)| Values {
            texts,
            numbers,
            times,
            odd,
        })
}

/// An object that can be read as every kind, with these values in its places.
fn object(values: &Values) -> String {
    let mut place = 0;
    let mut put = |kind: &str| {
        place += 1;
        if place == values.odd.0 {
            return values.odd.1.to_owned();
        }
        match kind {
            "text" => values.texts[place % values.texts.len()].clone(),
            "number" => values.numbers[place % values.numbers.len()].to_string(),
            _ => values.times[place % values.times.len()].to_owned(),
        }
    };
    let words = SHAPE.split_inclusive([' ', ',', '}', '\n']);
    words
        .map(|word| {
            let bare = word.trim_end_matches([' ', ',', '}', ']', '\n']);
            match bare {
                "text" | "number" | "time" => word.replacen(bare, &put(bare), 1),
                _ => word.to_owned(),
            }
        })
        .collect()
}

/// Feeds one object as whatever kinds it can be read as; how many signals came of it.
fn feed(cluster: &mut Cluster, json: &[u8], now: Time) -> usize {
    let mut signals = 0;
    if let Ok(pod) = serde_json::from_slice::<Pod>(json) {
        cluster.pod(&pod);
        signals += cluster.pods(&[pod], now).len();
    }
    if let Ok(set) = serde_json::from_slice::<ReplicaSet>(json) {
        signals += cluster.set(&set, now).len();
        signals += cluster.sets(&[set], now).len();
    }
    if let Ok(deployment) = serde_json::from_slice::<Deployment>(json) {
        signals += cluster.deployment(&deployment, now).len();
        signals += cluster.deployments(&[deployment], now).len();
    }
    if let Ok(node) = serde_json::from_slice::<Node>(json) {
        cluster.node(&node);
        cluster.nodes(&[node]);
    }
    if let Ok(told) = serde_json::from_slice::<Event>(json) {
        let _ = event::identity(&told);
        let at = event::at(&told).unwrap_or(now);
        signals += usize::from(event::line(&told, &*cluster, at).is_some());
    }
    let all = Current {
        pods: true,
        deployments: true,
        nodes: true,
    };
    signals + cluster.tell(all, now, HOLD_MS).len()
}

#[test]
fn an_object_with_the_right_types_is_read_as_every_kind() {
    let values = Values {
        texts: vec!["\"a\"".to_owned()],
        numbers: vec![2],
        times: vec!["\"2026-11-21T23:00:00Z\""],
        odd: (0, "null"),
    };
    let mut cluster = Cluster::new(None);
    let json = object(&values);
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
    serde_json::from_str::<Pod>(&json).expect("a pod");
    serde_json::from_str::<ReplicaSet>(&json).expect("a replica set");
    serde_json::from_str::<Deployment>(&json).expect("a deployment");
    serde_json::from_str::<Node>(&json).expect("a node");
    serde_json::from_str::<Event>(&json).expect("an event");
    assert!(
        feed(
            &mut cluster,
            json.as_bytes(),
            Time::from_secs(1_795_305_600)
        ) > 3
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(64, |text| text.parse().unwrap_or(64)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_object_is_told_within_bounds(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        values in values(),
        more in values(),
        cut: prop::sample::Index,
    ) {
        let mut cluster = Cluster::new(Some("eu".to_owned()));
        let first = object(&values);
        let second = object(&more);
        let cut = first.floor_char_boundary(cut.index(first.len()));
        for (n, json) in [first.as_bytes(), second.as_bytes(), &first.as_bytes()[..cut], &bytes].into_iter().enumerate() {
            let now = Time::from_secs(1_795_305_600 + n as i64);
            let signals = feed(&mut cluster, json, now);
            prop_assert!(signals <= 64, "{signals} signals of one object");
        }
    }
}
