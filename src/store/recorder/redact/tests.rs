//! Tests of what a redacted recording keeps, and that no name is in it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::cut::{Begins, Recording, cut};
use super::super::segment::SegmentWriter;
use super::*;
use crate::config::{InhibitConfig, MaintenanceConfig, RuleConfig};
use crate::model::{
    Actor, ChangeKind, Command, IncidentId, LogLevel, LogLine, Role, SeriesKind, Span, SpanId,
    SpanKind, Time, TraceId, Unit,
};

/// The window that holds everything.
const ALL: (Time, Time) = (Time::ZERO, Time::from_secs(1_000));

fn redactor(labels: &[(&str, &str)]) -> Redactor {
    let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
    let mut redactor = Redactor::new(7);
    let signals = vec![sample("up", labels)];
    redactor.gather(&stamped(1, "test", signals));
    redactor
}

fn stamped(seq: u64, source: &str, signals: Vec<Signal>) -> Stamped {
    let source = SourceId::new(source);
    Stamped {
        seq,
        at: Time::from_secs(seq as i64),
        input: Input::Signals(Batch { source, signals }),
    }
}

fn sample(name: &str, labels: Labels) -> Signal {
    Signal::Sample(Sample {
        series: Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None)),
        at: Time::from_secs(1),
        value: 1.0,
    })
}

#[test]
fn words_that_may_tell_are_masked() {
    let text = redactor(&[]).text("user bob@example.org got 502 from /srv/api after retry");
    assert_eq!(
        &*text,
        format!("user {MASK} got {MASK} from {MASK} after retry")
    );
}

#[test]
fn a_name_is_the_same_hash_in_labels_and_texts() {
    let redactor = redactor(&[("service", "checkout"), ("severity", "critical")]);
    let hash = redactor.name("checkout");
    assert_eq!(
        &*redactor.text("Deploy Checkout, then checkout-worker critical"),
        format!("Deploy {hash}, then {hash}-worker critical")
    );
}

#[test]
fn what_is_kept_of_labels_says_nothing_of_anybody() {
    let redactor = redactor(&[]);
    let given = [
        ("code", "502"),
        ("le", "+Inf"),
        ("level", "warn"),
        ("severity", "page-team-falcon"),
        ("status", "5xx"),
    ];
    let redacted = redactor.labels(&Labels::from_pairs(given).unwrap());
    for (name, value) in given {
        let is_kept = redacted.get(name) == Some(value);
        assert_eq!(is_kept, name != "severity", "{name}");
    }
}

#[test]
fn labels_that_are_too_long_as_hashes_lose_their_values() {
    let names: Vec<String> = (0..7_000).map(|n| format!("l{n}")).collect();
    let labels = Labels::from_pairs(names.iter().map(|name| (name.as_str(), "y"))).unwrap();
    let redacted = redactor(&[]).labels(&labels);
    assert_eq!(redacted.len(), names.len());
    assert!(redacted.iter().all(|(_, value)| value.is_empty()));
}

fn line(labels: Labels, text: &str) -> Signal {
    Signal::Log(Box::new(LogLine {
        at: Time::from_secs(1),
        labels,
        level: Some(LogLevel::Warn),
        text: text.into(),
        trace: None,
        span: None,
    }))
}

fn span(resource: Labels, name: &str, peer: &str) -> Signal {
    Signal::Span(Box::new(Span {
        trace: TraceId(1),
        id: SpanId(1),
        parent: None,
        resource,
        name: Arc::from(name),
        kind: SpanKind::Client,
        start: Time::from_secs(1),
        duration_us: 5,
        error: false,
        peer: Some(Arc::from(peer)),
        weight: None,
    }))
}

/// A recording in which everything that has a name has one of these, and says the others.
fn told(names: &[String]) -> (Header, Vec<Stamped>) {
    let name = |i: usize| names[i % names.len()].as_str();
    let said = |i: usize| {
        format!(
            "deploy {} for {}-eu by {}",
            name(i),
            name(i + 1),
            name(i + 2)
        )
    };
    let labels = |i: usize| {
        let given = [
            ("service", name(i)),
            ("severity", name(i + 1)),
            ("url", name(i + 2)),
        ];
        Labels::from_pairs(given).unwrap()
    };
    let change = |i: usize| Change {
        id: Box::from(name(i)),
        at: Time::from_secs(1),
        kind: ChangeKind::Deploy,
        entity: EntityId::parse(name(i)),
        title: said(i).into(),
        version: Some(Box::from(name(i + 1))),
        previous_version: Some(Box::from(name(i + 2))),
        by: Some(Box::from(name(i + 3))),
        labels: labels(i),
    };
    let alert = |i: usize| Alert {
        fingerprint: Fingerprint::of(&labels(i)),
        labels: labels(i),
        annotations: Labels::from_pairs([("summary", said(i).as_str())]).unwrap(),
        starts_at: Time::from_secs(1),
        ends_at: Time::from_secs(900),
        generator_url: Some(format!("http://{}/graph", name(i)).into()),
    };
    let command = Input::Command {
        by: Actor {
            name: name(4).to_owned(),
            role: Role::Responder,
        },
        what: Command::Acknowledge {
            incident: IncidentId(1),
        },
    };
    let recalled = Recalled {
        alerts: vec![FiringAlert {
            alert: alert(3),
            came: Time::from_secs(1),
            source: Some(SourceId::new(&format!("remote_write {}", name(5)))),
            told_at: Some(Time::from_secs(2)),
            unheard: Some(Silenced {
                since: Time::from_secs(3),
                why: format!("nothing came from {} since", name(3)).into(),
                with: vec![SourceId::new(&format!("otlp {}", name(0)))],
            }),
        }],
        changes: vec![change(4)],
        heard: None,
    };
    let inputs = vec![
        // Said before anything of that name is heard of.
        stamped(1, "changes", vec![Signal::Change(Box::new(change(0)))]),
        stamped(
            2,
            &format!("scrape {}", name(1)),
            vec![sample(&format!("{}_orders_total", name(2)), labels(3))],
        ),
        stamped(
            3,
            "loki",
            vec![
                line(labels(0), &said(1)),
                span(labels(1), &said(2), name(3)),
            ],
        ),
        stamped(
            4,
            &format!("heartbeat {}", name(2)),
            vec![Signal::Alert(Box::new(alert(2)))],
        ),
        Stamped {
            seq: 5,
            at: Time::from_secs(5),
            input: command,
        },
        Stamped {
            seq: 6,
            at: Time::from_secs(6),
            input: Input::Recalled(Box::new(recalled)),
        },
    ];
    (header(names), inputs)
}

/// Settings in which all of them are declared.
fn header(names: &[String]) -> Header {
    let name = |i: usize| names[i % names.len()].clone();
    let engine = EngineConfig {
        dependencies: vec![DeclaredEdge {
            from: name(0),
            to: format!("database/{}", name(1)),
        }],
        entities: vec![DeclaredEntity {
            name: name(0),
            aliases: vec![name(1)],
            owner: Some(name(2)),
            tier: Some(1),
            links: [("runbook".to_owned(), format!("https://{}/x", name(3)))].into(),
            labels: [("zone".to_owned(), name(4))].into(),
        }],
        slo: vec![SloConfig {
            name: name(0),
            entity: name(1),
            objective: "99.9".to_owned(),
            failed: format!("{}_failed_total", name(2)),
            total: format!("{}_total", name(2)),
        }],
        maintenance: vec![MaintenanceConfig {
            name: name(0),
            reason: name(1),
            matchers: vec![format!("service={}", name(2))],
            ..MaintenanceConfig::default()
        }],
        inhibit: vec![InhibitConfig {
            name: name(0),
            source: vec![format!("service={}", name(1))],
            ..InhibitConfig::default()
        }],
        rules: vec![RuleConfig {
            name: name(0),
            matchers: vec![format!("service=~{}.*", name(1))],
            ..RuleConfig::default()
        }],
        ..EngineConfig::default()
    };
    Header {
        made_by: "test".to_owned(),
        environment: name(3),
        from: Time::ZERO,
        redacted: false,
        engine,
        runbooks: Vec::new(),
    }
}

/// Everything that a recording says, in lower case.
fn everything(path: &Path) -> String {
    let mut recording = Recording::open(path, None).unwrap();
    let mut told = vec![format!("{:?}", recording.header())];
    while let Some(frame) = recording.next_frame().unwrap() {
        told.push(format!("{:?}", frame.inputs));
        if let Some(Begins::From(beginning)) = frame.begins {
            told.push(format!("{beginning:?}"));
        }
    }
    told.concat().to_lowercase()
}

proptest! {
    /// No value of a label, and no other name, is anywhere in what a stranger gets.
    #[test]
    fn no_name_survives(names in proptest::collection::vec("[a-zA-Z]{4,7}[-_]?[a-zA-Z]{3,8}", 5..9)) {
        // Words of our own format are not names.
        let own = everything_about_nobody();
        prop_assume!(names.iter().all(|name| !own.contains(&name.to_lowercase())));
        let folder = tempfile::tempdir().unwrap();
        let (source, out) = (folder.path().join("in"), folder.path().join("out"));
        let (header, inputs) = told(&names);
        let mut writer = SegmentWriter::new(Vec::new(), &header).unwrap();
        let beginning = Beginning { engine: header.engine.clone(), ..Beginning::default() };
        writer.begin(&beginning).unwrap();
        for stamped in &inputs {
            writer.put(stamped);
        }
        fs::write(&source, writer.finish().unwrap()).unwrap();
        // What is looked for is there to be found.
        prop_assert!(everything(&source).contains(&names[0].to_lowercase()));
        let done = cut(&source, ALL, &out, Some(99)).unwrap();
        prop_assert_eq!((done.inputs, done.withheld), (5, 1));
        let told = everything(&out);
        let bytes = String::from_utf8_lossy(&fs::read(&out).unwrap()).to_lowercase();
        for name in &names {
            let name = name.to_lowercase();
            prop_assert!(!told.contains(&name), "{} in {}", name, told);
            prop_assert!(!bytes.contains(&name), "{} in the bytes", name);
        }
    }
}

/// What a recording says whose names are all single letters.
fn everything_about_nobody() -> String {
    let (header, inputs) = told(&["q".to_owned()]);
    format!("{header:?}{inputs:?}").to_lowercase()
}
