//! Live cases as tables: who is suspected, in which part, how sure, and when the engine abstains.

use super::deviation::{Column, ColumnKind, Normal};
use super::*;
use crate::model::{
    Change, ChangeKind, EntityId, Labels, Provenance, SuspectKind, SuspectRole, Time, Unit,
};

mod changes;

const NOON: Time = Time::from_secs(43_200);

fn column(kind: ColumnKind, name: &str, median: f64, spread: f64, now: f64) -> Column {
    let unit = match kind {
        ColumnKind::Latency => Unit::Seconds,
        ColumnKind::Traffic | ColumnKind::Other => Unit::None,
        _ => Unit::Ratio,
    };
    Column {
        name: name.into(),
        unit,
        kind,
        normal: Normal {
            median,
            up: spread,
            down: spread,
            samples: 500,
        },
        additive: true,
        limit: None,
        values: vec![now],
    }
}

fn latency(now: f64) -> Column {
    column(ColumnKind::Latency, "latency", 0.1, 0.01, now)
}

fn change(entity: &str, minutes_before: i64) -> Change {
    Change {
        id: "d1".into(),
        at: NOON.plus_ms(-minutes_before * 60_000),
        kind: ChangeKind::Deploy,
        entity: EntityId::parse(entity),
        title: "v812".into(),
        version: None,
        previous_version: None,
        by: None,
        labels: Labels::default(),
    }
}

/// web -> checkout -> payments -> db, and web -> search; requests 100 a row everywhere.
fn shop(latencies: [(&str, f64); 5]) -> Case {
    let mut case = Case::new(NOON.plus_ms(300_000), NOON, 1);
    for (name, now) in latencies {
        let at = case.subject(&EntityId::parse(name));
        case.subjects[at].columns = vec![
            latency(now),
            column(ColumnKind::Traffic, "requests", 100.0, 5.0, 100.0),
        ];
    }
    for (from, to) in [
        ("web", "checkout"),
        ("web", "search"),
        ("checkout", "payments"),
        ("payments", "database/db"),
    ] {
        let (from, to) = (
            case.subject(&EntityId::parse(from)),
            case.subject(&EntityId::parse(to)),
        );
        case.dependencies.push(Dependency {
            from,
            to,
            provenance: Provenance::Traced,
            age_ms: 0,
            calls: None,
        });
    }
    case.target = Some(0);
    case
}

fn slow_payments() -> Case {
    shop([
        ("web", 1.1),
        ("checkout", 1.1),
        ("payments", 1.1),
        ("database/db", 0.1),
        ("search", 0.1),
    ])
}

fn top(case: &Case) -> (String, &'static str, SuspectRole, f32) {
    let diagnosis = diagnose(case);
    let first = &diagnosis.hypotheses[0];
    (
        first.suspect.to_string(),
        first.cause.as_str(),
        first.role,
        first.confidence,
    )
}

fn subject<'a>(case: &'a mut Case, name: &str) -> &'a mut Subject {
    let at = case.subject(&EntityId::parse(name));
    &mut case.subjects[at]
}

#[test]
fn the_trigger_is_named() {
    type Edit = fn(&mut Case);
    let cases: [(&str, Edit, &str, &str); 6] = [
        (
            "deploy",
            |c| c.changes.push(change("payments", 2)),
            "service/payments",
            "change",
        ),
        (
            "pool full",
            |c| {
                let mut pool = column(ColumnKind::Resource, "pool_used", 0.4, 0.05, 1.0);
                pool.limit = Some(1.0);
                subject(c, "payments").columns.push(pool);
            },
            "service/payments",
            "resource",
        ),
        (
            "instance lost",
            |c| {
                subject(c, "payments").lost = Some(Loss {
                    what: "payments-3".into(),
                    at: NOON,
                });
            },
            "service/payments",
            "instance_loss",
        ),
        (
            "host disk full below",
            |c| {
                let at = c.subject(&EntityId::parse("host/node-3"));
                let from = c.subject(&EntityId::parse("payments"));
                let mut disk = column(ColumnKind::Resource, "disk_used", 0.6, 0.01, 0.99);
                disk.limit = Some(1.0);
                c.subjects[at].columns = vec![disk];
                c.dependencies.push(Dependency {
                    from,
                    to: at,
                    provenance: Provenance::Declared,
                    age_ms: 0,
                    calls: None,
                });
            },
            "host/node-3",
            "resource",
        ),
        (
            "external dependency",
            |c| {
                let at = c.subject(&EntityId::parse("external/bank"));
                let from = c.subject(&EntityId::parse("payments"));
                c.subjects[at].columns = vec![latency(1.1)];
                c.dependencies.push(Dependency {
                    from,
                    to: at,
                    provenance: Provenance::Traced,
                    age_ms: 0,
                    calls: Some(100.0),
                });
            },
            "external/bank",
            "dependency",
        ),
        (
            "surge",
            |c| {
                for name in ["web", "checkout", "payments"] {
                    subject(c, name).columns[1].values = vec![300.0];
                }
            },
            "service/payments",
            "traffic",
        ),
    ];
    for (name, edit, suspect, cause) in cases {
        let mut case = slow_payments();
        edit(&mut case);
        let (found, kind, role, confidence) = top(&case);
        assert_eq!(
            (found.as_str(), kind, role),
            (suspect, cause, SuspectRole::Trigger),
            "{name}"
        );
        assert!(confidence > 0.6, "{name}: {confidence}");
    }
}

#[test]
fn symptoms_alone_are_no_cause() {
    let (suspect, cause, role, confidence) = top(&slow_payments());
    assert_eq!(
        (suspect.as_str(), cause, role),
        ("service/payments", "unknown", SuspectRole::FirstSymptom)
    );
    assert!(confidence <= ABSTAIN_CONFIDENCE, "{confidence}");
    let diagnosis = diagnose(&slow_payments());
    assert_eq!(
        diagnosis
            .not_seen
            .iter()
            .map(|line| &**line)
            .collect::<Vec<_>>(),
        [
            "no cause seen so far on the 5 entities looked at: no change before it began, exhausted resource, lost instance or error of its own"
        ]
    );
}

#[test]
fn evidence_reads_as_sentences_with_numbers() {
    let mut case = slow_payments();
    case.changes.push(change("payments", 2));
    for (name, delay_s) in [("payments", 0), ("checkout", 40), ("web", 60)] {
        subject(&mut case, name).onset = Some(Onset {
            at: NOON.plus_ms(delay_s * 1_000),
            uncertainty_ms: 5_000,
        });
    }
    subject(&mut case, "payments").logs.push(LogSign {
        kind: EventKind::Log,
        requests: None,
        change: LogChange::New,
        error: true,
        template: "timeout after <*> ms".into(),
        count: 42,
        since: Some(NOON),
        score: 20.0,
    });
    let diagnosis = diagnose(&case);
    let texts: Vec<&str> = diagnosis.hypotheses[0]
        .evidence_for
        .iter()
        .map(|e| &*e.text)
        .collect();
    assert_eq!(
        texts,
        [
            "new error line, at least 42 times since 12:00: \"timeout after … ms\"",
            "carries 96 % of the harm felt at web that nothing below explains",
            "deploy v812 2 min before onset",
            "latency 1.1 s against 80 ms–120 ms since 12:00",
            "odd 40 s before anything else",
        ]
    );
    let impact = diagnosis
        .hypotheses
        .iter()
        .find(|h| h.suspect.name() == "web")
        .map(|h| h.role);
    assert_eq!(impact, Some(SuspectRole::Impact));
}

#[test]
fn abstains_when_the_cause_is_out_of_sight() {
    type Edit = fn(&mut Case);
    let cases: [(&str, Edit, &str); 5] = [
        (
            "nothing odd at all",
            |c| {
                c.subjects
                    .iter_mut()
                    .for_each(|s| s.columns[0].values = vec![0.1]);
            },
            "neither slower",
        ),
        (
            "no metrics below",
            |c| {
                for name in ["checkout", "payments", "database/db"] {
                    subject(c, name).columns.clear();
                }
            },
            "nothing is measured on checkout, payments, db",
        ),
        (
            "no dependencies",
            |c| c.dependencies.clear(),
            "no dependencies known",
        ),
        (
            "no target",
            |c| c.target = None,
            "ranked by deviation alone",
        ),
        (
            "old change elsewhere",
            |c| c.changes.push(change("search", 600)),
            "no change",
        ),
    ];
    for (name, edit, said) in cases {
        let mut case = slow_payments();
        edit(&mut case);
        let diagnosis = diagnose(&case);
        let highest = diagnosis
            .hypotheses
            .iter()
            .map(|h| h.confidence)
            .fold(0.0, f32::max);
        assert!(highest <= ABSTAIN_CONFIDENCE, "{name}: {highest}");
        assert!(
            diagnosis.not_seen.iter().any(|line| line.contains(said)),
            "{name}: {:?}",
            diagnosis.not_seen
        );
    }
}

#[test]
fn a_weak_reason_is_named_and_makes_nobody_sure() {
    let sure = |minutes_before: i64| {
        let mut case = slow_payments();
        case.changes.push(change("payments", minutes_before));
        let (suspect, reason, role, confidence) = top(&case);
        assert_eq!((suspect.as_str(), reason), ("service/payments", "change"));
        assert_eq!(role, SuspectRole::Trigger);
        confidence
    };
    assert!(sure(2) > 0.6, "right before: {}", sure(2));
    assert!(sure(14) <= ABSTAIN_CONFIDENCE, "long before: {}", sure(14));
    assert!(sure(7) > sure(9), "it fades, and falls at no minute");
}

#[test]
fn errors_in_logs_are_blamed_on_the_deepest() {
    let mut case = slow_payments();
    for name in ["web", "checkout", "payments"] {
        subject(&mut case, name).logs.push(LogSign {
            kind: EventKind::Log,
            requests: None,
            change: LogChange::More,
            error: true,
            template: "call failed".into(),
            count: 100,
            since: None,
            score: 15.0,
        });
    }
    let (suspect, kind, _, confidence) = top(&case);
    assert_eq!((suspect.as_str(), kind), ("service/payments", "unknown"));
    // Error lines may tell of somebody else's failure: by themselves they explain nothing.
    assert!(confidence <= ABSTAIN_CONFIDENCE, "{confidence}");
    subject(&mut case, "payments").traces.self_errors = Some(Shift {
        normal: 0.0,
        now: 0.2,
        z: 40.0,
    });
    let (suspect, kind, role, confidence) = top(&case);
    assert_eq!(
        (suspect.as_str(), kind, role),
        ("service/payments", "dependency", SuspectRole::FirstSymptom)
    );
    assert!(confidence > 0.6, "{confidence}");
}

#[test]
fn a_change_to_a_bystander_does_not_win() {
    let mut case = slow_payments();
    case.changes.push(change("search", 1));
    subject(&mut case, "payments").traces.self_time = Some(Shift {
        normal: 0.09,
        now: 1.0,
        z: 40.0,
    });
    assert_eq!(top(&case).0, "service/payments");
    let diagnosis = diagnose(&case);
    assert!(matches!(
        diagnosis.hypotheses[0].cause,
        SuspectKind::Dependency
    ));
}

#[test]
fn an_empty_case_is_no_panic() {
    let diagnosis = diagnose(&Case::default());
    assert_eq!(diagnosis.hypotheses, []);
    assert!(!diagnosis.not_seen.is_empty());
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn any_case() -> impl Strategy<Value = Case> {
        let number = prop_oneof![Just(0.0), Just(f64::NAN), -1e9..1e9f64, 0.0..1.0f64];
        let subject = (
            prop::collection::vec((0..5usize, number.clone(), 0.001..10.0f64, number), 0..4),
            0..3u8,
        );
        (
            prop::collection::vec(subject, 1..12),
            prop::collection::vec((0..12usize, 0..12usize), 0..30),
            prop::option::of(0..12usize),
        )
            .prop_map(|(subjects, edges, target)| {
                let kinds = [
                    ColumnKind::Latency,
                    ColumnKind::Errors,
                    ColumnKind::Availability,
                    ColumnKind::Traffic,
                    ColumnKind::Resource,
                ];
                let mut case = Case::new(NOON, NOON, 1);
                for (at, (columns, prefix)) in subjects.iter().enumerate() {
                    let kind = ["service", "external", "host"][usize::from(*prefix)];
                    let at = case.subject(&EntityId::parse(&format!("{kind}/{at}")));
                    case.subjects[at].columns = columns
                        .iter()
                        .map(|(kind, median, spread, now)| {
                            column(
                                kinds[*kind],
                                "m",
                                if median.is_nan() { 0.0 } else { *median },
                                *spread,
                                *now,
                            )
                        })
                        .collect();
                }
                let count = case.subjects.len();
                case.dependencies = edges
                    .into_iter()
                    .map(|(from, to)| Dependency {
                        from: from % count,
                        to: to % count,
                        provenance: Provenance::Traced,
                        age_ms: 0,
                        calls: None,
                    })
                    .collect();
                case.target = target.map(|target| target % count);
                case
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn confidence_is_a_chance_and_the_same_twice(case in any_case()) {
            let diagnosis = diagnose(&case);
            let sum: f32 = diagnosis.hypotheses.iter().map(|h| h.confidence).sum();
            prop_assert!(sum <= 1.001, "{sum}");
            for hypothesis in &diagnosis.hypotheses {
                prop_assert!((0.0..=1.0).contains(&hypothesis.confidence));
            }
            prop_assert_eq!(&diagnosis, &diagnose(&case));
        }

        #[test]
        fn blame_neither_appears_nor_vanishes(case in any_case()) {
            if let Some(blame) = weigh::weigh(&case).blame {
                let sum: f64 = blame.scores.iter().sum();
                prop_assert!((sum - 1.0).abs() < 1e-3, "{}", sum);
            }
        }
    }
}

#[test]
fn nothing_is_told_twice() {
    let mut case = slow_payments();
    let payments = subject(&mut case, "payments");
    let twin = payments.columns[0].clone();
    payments.columns.push(twin);
    for hypothesis in diagnose(&case).hypotheses {
        let said = hypothesis
            .evidence_for
            .iter()
            .chain(&hypothesis.evidence_against);
        let mut texts: Vec<&str> = said.map(|evidence| &*evidence.text).collect();
        let all = texts.len();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), all, "{texts:?}");
    }
}

#[test]
fn where_no_metric_was_seen_the_symptom_is_not_weak() {
    let mut case = slow_payments();
    let target = case.target.expect("it has one");
    case.subjects[target].columns.clear();
    let not_seen = diagnose(&case).not_seen;
    assert!(
        not_seen
            .iter()
            .any(|line| line.starts_with("no metric of ")),
        "{not_seen:?}"
    );
    assert!(
        !not_seen.iter().any(|line| line.contains("0.0 standard")),
        "{not_seen:?}"
    );
}

#[test]
fn nobody_says_of_what_an_alert_alone_names_that_it_is_outside() {
    let mut case = Case::new(NOON.plus_ms(300_000), NOON, 1);
    let at = case.subject(&EntityId::parse("external/DiskFull"));
    case.target = Some(at);
    case.is_alerting = true;
    case.subjects[at].by_alert_alone = true;
    case.subjects[at].onset = Some(Onset {
        at: NOON,
        uncertainty_ms: 5_000,
    });
    let diagnosis = diagnose(&case);
    let first = &diagnosis.hypotheses[0];
    assert!(first.confidence <= 0.3, "{first:?}");
    assert_eq!(first.cause, SuspectKind::Unknown);
    let said = |side: &[crate::model::Evidence]| -> Vec<String> {
        side.iter().map(|e| e.text.to_string()).collect()
    };
    assert_eq!(said(&first.evidence_against), ["known by its alert alone"]);
    let outside = said(&first.evidence_for);
    assert!(
        !outside.iter().any(|text| text.contains("outside")),
        "{outside:?}"
    );
}

#[test]
fn a_normal_that_is_little_known_is_told_of_entities_as_a_whole() {
    let mut case = slow_payments();
    // One metric that is told seldom makes no stranger of its entity.
    for subject in &mut case.subjects {
        if let Some(column) = subject.columns.first_mut() {
            column.normal.samples = 5;
        }
    }
    let told = |case: &Case| {
        let lines = diagnose(case).not_seen;
        lines.into_iter().find(|line| line.contains("little known"))
    };
    assert_eq!(told(&case), None);
    subject(&mut case, "search").is_young = true;
    let said = "normal is little known yet on 1 of 5 entities";
    assert_eq!(told(&case).as_deref(), Some(said));
}

/// A slow database: whoever waits for it has a full pool, time of its own in the queue, and errors that say so.
fn slow_database() -> Case {
    let mut case = shop([
        ("web", 1.1),
        ("checkout", 1.1),
        ("payments", 1.1),
        ("database/db", 0.6),
        ("search", 0.1),
    ]);
    let mut pool = column(ColumnKind::Resource, "pool_used", 0.4, 0.05, 1.0);
    pool.limit = Some(1.0);
    let payments = subject(&mut case, "payments");
    payments.columns.push(pool);
    payments.traces.self_time = Some(Shift {
        normal: 0.04,
        now: 0.8,
        z: 20.0,
    });
    case
}

#[test]
fn who_waits_for_what_has_a_cause_of_its_own_is_a_victim() {
    let mut case = slow_database();
    assert_eq!(top(&case).0, "service/payments", "by its own evidence");
    subject(&mut case, "database/db").own_cause = Some(OwnCause {
        why: "db hurts by itself: it calls nobody".into(),
        proof: None,
    });
    let (suspect, _, _, confidence) = top(&case);
    assert_eq!(suspect, "database/db");
    assert!(confidence > 0.5, "{confidence}");
    let first = diagnose(&case).hypotheses.remove(0);
    let mut told = first.evidence_for.iter();
    assert!(told.any(|e| e.text.contains("calls nobody")), "{first:?}");
}

/// More work at the target explains its trouble only where that work comes; more elsewhere does not, nor less.
#[test]
fn a_surge_counts_only_where_the_target_has_one_as_well() {
    for (busy, value, is_named) in [
        (&["web", "payments"][..], 300.0, true),
        (&["payments"][..], 300.0, false),
        (&["web", "payments"][..], 110.0, false),
        (&["web", "payments"][..], 20.0, false),
    ] {
        let mut case = slow_payments();
        for name in busy {
            subject(&mut case, name).columns[1].values = vec![value];
        }
        let diagnosis = diagnose(&case);
        let mut suspects = diagnosis.hypotheses.iter();
        let payments = suspects.find(|h| h.suspect.name() == "payments");
        let named = payments.map(|h| h.cause.as_str());
        assert_eq!(
            named == Some("traffic"),
            is_named,
            "{busy:?} at {value}: {named:?}"
        );
    }
}

/// The proof of a cause is weighed by itself; that it is one makes it no second fact.
#[test]
fn what_proves_a_cause_counts_once() {
    let score = |proof: Option<Option<Proof>>, is_changed: bool| {
        let mut case = slow_payments();
        if is_changed {
            case.changes.push(change("payments", 0));
        }
        subject(&mut case, "payments").own_cause = proof.map(|proof| OwnCause {
            why: "payments was changed".into(),
            proof,
        });
        let at = case.subject(&EntityId::parse("payments"));
        scores(&case)[at]
    };
    let (none, change) = (score(None, false), score(None, true));
    let proven = score(Some(Some(Proof::Change)), false);
    assert!(change > none && proven > change, "{none} {change} {proven}");
    let both = score(Some(Some(Proof::Change)), true);
    assert!((both - proven).abs() < 1e-9, "{both} {proven}");
    // Two facts are two.
    let other = score(Some(Some(Proof::Loss)), true);
    assert!(other > both + 1.0, "{other} {both}");
}

/// Who is the reason of another incident is no news in this one.
#[test]
fn a_cause_told_in_another_incident_counts_there() {
    let mut case = slow_database();
    subject(&mut case, "database/db").own_cause = Some(OwnCause {
        why: "db hurts by itself".into(),
        proof: Some(Proof::Resource),
    });
    let sure = top(&case).3;
    subject(&mut case, "database/db").told_in = Some(crate::model::IncidentId(7));
    let diagnosis = diagnose(&case);
    let db = diagnosis
        .hypotheses
        .iter()
        .find(|h| h.suspect.name() == "db");
    assert!(
        db.is_none_or(|db| db.confidence < sure / 2.0),
        "{db:?} {sure}"
    );
}
