//! What is alike, what people said, and what a diagnosis makes of it.

use super::*;
use crate::config::EngineConfig;
use crate::engine::Engine;
use crate::engine::propose::tests::{deploy_of, suspect};
use crate::model::{
    Actor, Band, Check, Command, Direction, Effect, Finding, FindingId, Input, MetricRole, Phase,
    Record, Refusal, Role, Severity, Stamped, SuspectRole, TrueCause, Unit,
};

/// An incident in which these entities were odd in these metrics, suspecting the first.
fn incident(id: u64, odd: &[(&str, &str)]) -> Incident {
    let at = Time::from_secs(id as i64 * 100);
    let finding = |(number, (entity, metric)): (usize, &(&str, &str))| Finding {
        id: FindingId(number as u64 + 1),
        entity: EntityId::parse(entity),
        callee: None,
        check: Check::LevelShift,
        series: None,
        subject: Box::from(*metric),
        role: MetricRole::Latency,
        unit: Unit::None,
        since: at,
        last_seen: at,
        ended: None,
        expected: Band {
            low: 0.0,
            high: 1.0,
        },
        seen: 9.0,
        direction: Direction::Up,
        score: 9.0,
        pages: true,
        text: Box::from("odd"),
        explain: None,
        accepted: None,
    };
    let mut incident = Incident::opened(IncidentId(id), EntityId::parse(odd[0].0), at, at);
    incident.phase = Phase::Resolved;
    incident.severity = Severity::Error;
    incident.findings = odd.iter().enumerate().map(finding).collect();
    incident.diagnosis.hypotheses = vec![suspect(odd[0].0, deploy_of(odd[0].0), 0.8)];
    incident
}

const POOL: [(&str, &str); 3] = [
    ("payments", "pool_in_use"),
    ("checkout", "latency"),
    ("gateway", "latency"),
];
const DISK: [(&str, &str); 2] = [("host/db1", "disk_used"), ("database/orders", "latency")];

fn memory(past: &[Incident]) -> Memory {
    let mut memory = Memory::default();
    for incident in past {
        memory.note(incident, std::iter::empty());
    }
    memory
}

/// The similar past incidents, with their likeness in percent.
fn told(memory: &Memory, incident: &Incident) -> Vec<(u64, u32)> {
    let percent = |s: &Similar| (s.incident.0, (s.likeness * 100.0).round() as u32);
    memory.like(incident).iter().map(percent).collect()
}

#[test]
fn the_likest_come_first_and_the_unlike_not_at_all() {
    let half = [POOL[0], POOL[1], ("cart", "errors")];
    let past = [incident(1, &POOL), incident(2, &DISK), incident(3, &half)];
    let memory = memory(&past);
    assert_eq!(told(&memory, &incident(9, &POOL)), [(1, 100), (3, 54)]);
    assert_eq!(told(&memory, &incident(9, &DISK)), [(2, 100)]);
    assert_eq!(told(&memory, &incident(9, &[("search", "errors")])), []);
}

#[test]
fn an_incident_is_not_like_itself_nor_like_what_came_later() {
    let memory = memory(&[incident(5, &POOL), incident(7, &POOL)]);
    assert_eq!(told(&memory, &incident(5, &POOL)), []);
    assert_eq!(told(&memory, &incident(6, &POOL)), [(5, 100)]);
}

#[test]
fn noting_again_replaces_and_keeps_what_people_said() {
    let mut memory = memory(&[incident(1, &POOL)]);
    let payments = EntityId::parse("payments");
    assert!(memory.label(IncidentId(1), Some(&payments)));
    memory.note(&incident(1, &DISK), std::iter::empty());
    assert_eq!(told(&memory, &incident(9, &POOL)), []);
    let cause = memory.like(&incident(9, &DISK))[0].cause.clone();
    assert_eq!(cause, Some(payments));
    assert!(!memory.label(IncidentId(2), None), "it was never seen");
}

#[test]
fn it_stays_bounded() {
    let mut memory = Memory::default();
    for id in 0..PAST_MAX as u64 + 10 {
        let entity = format!("svc-{id}");
        memory.note(&incident(id, &[(&entity, "latency")]), std::iter::empty());
    }
    assert_eq!(memory.past.len(), PAST_MAX);
    assert_eq!(memory.past.keys().next(), Some(&IncidentId(10)));
    // Each has three things of its own; the shape of a slow service is everybody's.
    assert_eq!(memory.shown_by.len(), PAST_MAX * 3 + 1);
}

/// Confidences of a diagnosis of [`POOL`] in percent, with the last reason for and against.
fn recalled(memory: &Memory) -> Vec<(String, u32, String, String)> {
    let mut diagnosis = Diagnosis {
        hypotheses: vec![
            suspect("checkout", deploy_of("checkout"), 0.4),
            suspect("payments", SuspectKind::Traffic, 0.3),
        ],
        ..Diagnosis::default()
    };
    memory.recall(&incident(90, &POOL), &mut diagnosis);
    let last = |all: &[Evidence]| all.last().map_or(String::new(), |e| e.text.to_string());
    let row = |h: &Hypothesis| {
        assert_eq!(h.role, SuspectRole::Trigger);
        let percent = (h.confidence * 100.0).round() as u32;
        let name = h.suspect.name().to_owned();
        (
            name,
            percent,
            last(&h.evidence_for),
            last(&h.evidence_against),
        )
    };
    diagnosis.hypotheses.iter().map(row).collect()
}

#[test]
fn what_people_said_moves_a_confidence_within_bounds() {
    let deploy = "deploy v2 one minute before onset".to_owned();
    let row = |name: &str, percent, why: &str, against: &str| {
        (name.to_owned(), percent, why.to_owned(), against.to_owned())
    };
    let nothing_known = [
        row("checkout", 40, &deploy, ""),
        row("payments", 30, &deploy, ""),
    ];
    assert_eq!(recalled(&Memory::default()), nothing_known);
    // An incident like this one, about which nobody said anything, changes no confidence.
    let mut memory = memory(&[incident(1, &POOL)]);
    assert_eq!(recalled(&memory), nothing_known);
    // Named: the suspect of then was right, and it is the same thing again.
    memory.label(IncidentId(1), Some(&EntityId::parse("payments")));
    let again = "it caused #1, 100 % alike";
    assert_eq!(
        recalled(&memory),
        [
            row("payments", 54, again, ""),
            row("checkout", 40, &deploy, ""),
        ]
    );
    // Named otherwise, again and again: that kind of suspect is believed less, but never below the floor.
    let gateway = EntityId::parse("gateway");
    for id in 2..60 {
        memory.note(&incident(id, &DISK), std::iter::empty());
        memory.label(IncidentId(id), Some(&gateway));
    }
    let often_wrong = "first suspects of this kind (change) were right in 1 of 59 incidents whose cause people named";
    assert_eq!(
        recalled(&memory),
        [
            row("payments", 54, again, ""),
            row("checkout", 28, &deploy, often_wrong),
        ]
    );
    // Taken back: as if nobody had said it.
    for id in 1..60 {
        memory.label(IncidentId(id), None);
    }
    assert_eq!(recalled(&memory), nothing_known);
}

#[test]
fn the_cause_written_on_an_incident_counts() {
    let mut labelled = incident(1, &POOL);
    labelled.cause = Some(TrueCause {
        entity: EntityId::parse("gateway"),
        change: None,
        by: "mia".to_owned(),
        at: Time::ZERO,
    });
    let rates = memory(&[labelled, incident(2, &POOL)]).hit_rates();
    assert_eq!(
        rates,
        [HitRate {
            kind: Box::from("change"),
            right: 0,
            of: 1
        }]
    );
}

#[test]
fn a_restart_remembers() {
    let by = Actor {
        name: "mia".to_owned(),
        role: Role::Responder,
    };
    let payments = EntityId::parse("payments");
    let what = Command::NameCause {
        incident: IncidentId(1),
        cause: Some(payments.clone()),
        change: None,
    };
    let records = [
        Record::Incident {
            incident: Box::new(incident(1, &POOL)),
        },
        Record::Decision {
            by: by.clone(),
            what: what.clone(),
            refused: None,
        },
    ];
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    engine.restore(records.map(Record::undated));
    let similar = engine.memory.like(&incident(9, &POOL));
    assert_eq!(similar[0].cause, Some(payments));

    // Incidents nobody knows have no cause.
    let mut effects = Vec::new();
    let unknown = Command::NameCause {
        incident: IncidentId(77),
        cause: None,
        change: None,
    };
    let input = Stamped {
        seq: 1,
        at: Time::from_secs(200),
        input: Input::Command { by, what: unknown },
    };
    engine.step(&input, &mut effects);
    let refused = effects.iter().find_map(|effect| match effect {
        Effect::Record(Record::Decision { refused, .. }) => refused.clone(),
        _ => None,
    });
    let incident = IncidentId(77);
    assert_eq!(refused, Some(Refusal::NoIncident { incident }));
}

/// A confidence in percent.
fn percent(confidence: f32) -> u32 {
    (confidence * 100.0).round() as u32
}

/// The past lifts nobody above what evidence of their kind allows, nor all of them above one.
#[test]
fn what_is_remembered_lifts_within_limits() {
    let mut memory = memory(&[incident(1, &POOL)]);
    memory.label(IncidentId(1), Some(&EntityId::parse("payments")));
    let recalled = |first: f32, second: f32, limit: f32| {
        let mut hypotheses = vec![
            suspect("checkout", SuspectKind::Traffic, first),
            suspect("payments", SuspectKind::Unknown, second),
        ];
        hypotheses[1].limit = limit;
        let mut diagnosis = Diagnosis {
            hypotheses,
            ..Diagnosis::default()
        };
        memory.recall(&incident(90, &POOL), &mut diagnosis);
        diagnosis
    };
    let of = |diagnosis: &Diagnosis, name: &str| {
        let mut all = diagnosis.hypotheses.iter();
        let found = all.find(|h| h.suspect.name() == name);
        percent(found.expect("it is a suspect").confidence)
    };
    let symptoms = recalled(0.2, 0.25, 0.3);
    assert_eq!(of(&symptoms, "payments"), 30, "symptoms alone are no cause");
    let free = recalled(0.2, 0.25, 0.97);
    assert!(of(&free, "payments") > 40);
    let crowded = recalled(0.5, 0.45, 0.97);
    let all: f32 = crowded.hypotheses.iter().map(|h| h.confidence).sum();
    assert!((all - 1.0).abs() < 1e-5, "{all}");
    assert!(of(&crowded, "payments") > of(&crowded, "checkout"));
}

/// What led to the wrong suspect again and again counts less, and the version of the weights says by how many.
#[test]
fn a_method_that_misled_counts_less_within_bounds() {
    let led_by = |id: u64, method| {
        let mut of = incident(id, &DISK);
        let evidence = &mut of.diagnosis.hypotheses[0].evidence_for;
        evidence[0].method = Some(method);
        // However much the past repeats it, that led nobody to it.
        let repeated = Evidence {
            text: "was the cause before".into(),
            weight: 9.0,
            method: Some(Method::Past),
        };
        evidence.push(repeated);
        of
    };
    let mut memory = Memory::default();
    for id in 1..=40 {
        memory.note(&led_by(id, Method::Logs), std::iter::empty());
        memory.label(IncidentId(id), Some(&EntityId::parse("gateway")));
    }
    for id in 41..=44 {
        memory.note(&led_by(id, Method::Traces), std::iter::empty());
        memory.label(IncidentId(id), Some(&EntityId::parse(DISK[0].0)));
    }
    let rate = |method, right, of| MethodRate { method, right, of };
    let expected = [rate(Method::Traces, 4, 4), rate(Method::Logs, 0, 40)];
    assert_eq!(memory.method_rates(), expected);
    assert_eq!(memory.weights().to_string(), "1.44");
    let confidence = |method| {
        let mut hypothesis = suspect("search", SuspectKind::Unknown, 0.5);
        hypothesis.evidence_for[0].method = Some(method);
        let mut diagnosis = Diagnosis {
            hypotheses: vec![hypothesis],
            ..Diagnosis::default()
        };
        memory.recall(&incident(90, &POOL), &mut diagnosis);
        assert_eq!(diagnosis.weights, memory.weights());
        let against = &diagnosis.hypotheses[0].evidence_against;
        let why = against.last().map(|evidence| evidence.text.to_string());
        (percent(diagnosis.hypotheses[0].confidence), why)
    };
    assert_eq!(confidence(Method::Traces), (50, None));
    let (misled, why) = confidence(Method::Logs);
    assert_eq!(misled, percent(0.5 * TRUST_MIN));
    let why = why.expect("it says so");
    assert!(
        why.contains("this method led to (logs) were right in 0 of 40"),
        "{why}"
    );
}
