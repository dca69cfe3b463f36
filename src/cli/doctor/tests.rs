//! Tests of what `doctor` finds and advises.

use super::*;
use crate::model::{Count, EntityId, EntityLedger, LastOf, LastRefusal, Pace};

fn row(health: SourceHealth) -> SourceRow {
    SourceRow {
        name: "otlp".to_owned(),
        health,
        detail: "http://h:1".to_owned(),
        last_seen: Some(Time::from_secs(100)),
        taken: 7,
        rejected: 0,
        dropped: 0,
        refused: 0,
        unread: 0,
        last_refusal: None,
        last_of: LastOf::default(),
        pace: Pace::default(),
    }
}

#[test]
fn of_one_source_all_that_was_not_taken_is_told() {
    let failed = SourceRow {
        rejected: 3,
        refused: 1,
        unread: 2,
        last_refusal: Some(LastRefusal {
            at: Time::from_secs(160),
            why: "the engine is behind".into(),
        }),
        ..row(SourceHealth::Failed)
    };
    let now = Time::from_secs(163);
    let told = in_detail(&failed, &Ledger::default(), now);
    let told: Vec<&str> = told.iter().map(|check| check.found.as_str()).collect();
    let why = "since the daemon was started: the last 3 s ago, the engine is behind";
    let expected = [
        "http://h:1; last heard 1 min ago".to_owned(),
        format!("3 items were rejected {why}"),
        format!("1 signal and 2 unread requests sent back {why}"),
    ];
    assert_eq!(told, expected);
    let (live, ledger) = (row(SourceHealth::Live), Ledger::default());
    assert_eq!(in_detail(&live, &ledger, now).len(), 1);
    let rejecting = SourceRow {
        health: SourceHealth::Live,
        refused: 0,
        unread: 0,
        ..failed
    };
    assert_eq!(
        in_detail(&rejecting, &ledger, now).len(),
        1,
        "nothing is told twice"
    );
}

#[test]
fn what_was_rejected_and_what_was_lost_each_have_their_own_reason() {
    let last = |s: i64, why: &str| {
        Some(LastRefusal {
            at: Time::from_secs(s),
            why: why.into(),
        })
    };
    let both = SourceRow {
        rejected: 3,
        dropped: 2,
        refused: 4,
        last_refusal: last(160, "the queue is full"),
        last_of: LastOf {
            rejected: last(100, "no metric"),
            dropped: last(130, "too many series"),
            sent_back: last(160, "the queue is full"),
        },
        ..row(SourceHealth::Live)
    };
    let now = Time::from_secs(163);
    let told = in_detail(&both, &Ledger::default(), now);
    let told: Vec<_> = told.into_iter().map(|told| told.found).collect();
    let expected = [
        "2 signals were lost since the daemon was started: the last 33 s ago, too many series",
        "3 items were rejected since the daemon was started: the last 1 min ago, no metric",
        "4 signals sent back since the daemon was started: the last 3 s ago, the queue is full",
    ];
    assert_eq!(told, expected);
}

#[test]
fn each_trouble_of_a_source_has_its_words_and_its_advice() {
    let live = || row(SourceHealth::Live);
    let pace = |lag_ms| Pace {
        lag_ms: Some(lag_ms),
        ..Pace::default()
    };
    let refusal = LastRefusal {
        at: Time::ZERO,
        why: "no metric".into(),
    };
    let cases = [
        (live(), Verdict::Well, "7 taken"),
        (
            row(SourceHealth::Waiting),
            Verdict::Well,
            "nothing came since the daemon was started",
        ),
        (
            row(SourceHealth::Failed),
            Verdict::Broken,
            "http://h:1; last heard 1 min ago",
        ),
        (
            SourceRow {
                pace: Pace {
                    usual_ms: Some(15_000),
                    ..Pace::default()
                },
                ..row(SourceHealth::Blind)
            },
            Verdict::Broken,
            "last heard 1 min ago, usually again within 15 s: we are blind",
        ),
        (
            SourceRow {
                last_refusal: Some(refusal.clone()),
                ..row(SourceHealth::Rejecting)
            },
            Verdict::Broken,
            "nothing of what it sends can be used: the last 3 min ago, no metric",
        ),
        (
            SourceRow {
                dropped: 3,
                ..live()
            },
            Verdict::Warning,
            "3 signals were lost since the daemon was started",
        ),
        (
            SourceRow {
                pace: pace(90_000),
                ..live()
            },
            Verdict::Warning,
            "old when it comes",
        ),
        (
            SourceRow {
                pace: pace(-9_000),
                ..live()
            },
            Verdict::Warning,
            "ahead of ours",
        ),
        (
            SourceRow {
                pace: pace(-Pace::LAG_MS_MAX),
                ..live()
            },
            Verdict::Warning,
            "its clock is wrong: what it sends is dated 24 h or more from now",
        ),
        (
            SourceRow {
                pace: pace(Pace::LAG_MS_MAX),
                ..live()
            },
            Verdict::Warning,
            "dated 24 h or more ago when it comes: its clock is wrong, or it sends what it kept",
        ),
        (
            SourceRow {
                rejected: 2,
                last_refusal: Some(refusal),
                ..live()
            },
            Verdict::Warning,
            "2 items were rejected since the daemon was started: the last 3 min ago, no metric",
        ),
    ];
    for (row, verdict, found) in cases {
        let checked = source(&row, &Ledger::default(), Time::from_secs(200));
        assert_eq!(checked.verdict, verdict, "{checked:?}");
        assert!(checked.found.contains(found), "{checked:?}");
        assert_eq!(
            checked.advice.is_empty(),
            verdict == Verdict::Well,
            "{checked:?}"
        );
    }
}

#[test]
fn a_source_is_found_by_its_name_or_a_part_that_no_other_has() {
    let names = ["otlp", "otlp grpc", "tail /var/log/shop"];
    let cases = [
        ("otlp", Ok("otlp")),
        ("grpc", Ok("otlp grpc")),
        ("shop", Ok("tail /var/log/shop")),
        ("o", Err(())),
        ("loki", Err(())),
    ];
    for (asked, expected) in cases {
        assert_eq!(meant(asked, &names).map_err(drop), expected, "{asked}");
    }
}

#[test]
fn senders_of_another_time_and_floods_are_named() {
    let of = |name: &str, skew_ms| EntityLedger {
        skew_ms: Some(skew_ms),
        ..EntityLedger::unheard(EntityId::parse(name))
    };
    let odd = SourceLedger {
        name: "otlp".to_owned(),
        odd_clocks: vec![of("host/n7", -312_000), of("cart", 95_000)],
        ..SourceLedger::default()
    };
    let flooding = SourceLedger {
        unplaced: vec![Count {
            what: "requests".to_owned(),
            count: 7,
        }],
        ..odd.clone()
    };
    let cases = [
        (
            odd,
            "2 senders have another time: host/n7 is 5 min ahead, service/cart is 1 min late",
        ),
        (
            flooding,
            "new series of it find no place, most of requests (7)",
        ),
    ];
    for (known, found) in cases {
        let ledger = Ledger {
            sources: vec![known],
            ..Ledger::default()
        };
        let checked = source(&row(SourceHealth::Live), &ledger, Time::from_secs(200));
        assert_eq!(
            (checked.verdict, &*checked.found),
            (Verdict::Warning, found)
        );
    }
}

#[test]
fn what_is_lost_is_not_told_to_be_harmless() {
    for reason in Refused::ALL {
        let ledger = Ledger {
            refused: vec![Count {
                what: reason.as_str().to_owned(),
                count: 3,
            }],
            ..Ledger::default()
        };
        let [told] = &refusals(&ledger)[..] else {
            panic!("{reason:?} is told once");
        };
        let repeats = matches!(reason, Refused::Late | Refused::Duplicate);
        assert_eq!(told.advice.starts_with("nothing"), repeats, "{told:?}");
        assert_ne!(told.advice, SET_RIGHT, "{reason:?} has words of its own");
    }
}

#[test]
fn what_the_engine_has_no_room_for_is_told_with_what_to_do() {
    let ledger = Ledger {
        refused: vec![Count {
            what: ENTITIES_FULL.to_owned(),
            count: 3,
        }],
        ..Ledger::default()
    };
    let told = refusals(&ledger);
    let expected = [warn(
        "engine",
        &format!("3 refused since the daemon was started: {ENTITIES_FULL}"),
        ON_ENTITIES_FULL,
    )];
    assert_eq!(told, expected);
}

#[test]
fn how_late_a_source_is_is_told_of_what_was_taken() {
    let late = SourceRow {
        pace: Pace {
            lag_ms: Some(20 * WRONG_MS),
            ..Pace::default()
        },
        ..row(SourceHealth::Live)
    };
    let taken = |lag_ms| {
        let known = SourceLedger {
            name: late.name.clone(),
            lag_ms,
            ..SourceLedger::default()
        };
        Ledger {
            sources: vec![known],
            ..Ledger::default()
        }
    };
    for (lag_ms, verdict) in [(Some(900), Verdict::Well), (None, Verdict::Warning)] {
        let told = source(&late, &taken(lag_ms), Time::ZERO);
        assert_eq!(told.verdict, verdict, "{told:?}");
    }
}

#[test]
fn one_that_is_quiet_says_for_how_long_and_what_was_longest_so_far() {
    for (longest_ms, why) in [
        (Some(240_000), "its longest pause so far: 4 min"),
        (None, "it was heard once so far"),
    ] {
        let quiet = SourceRow {
            last_seen: Some(Time::ZERO),
            pace: Pace {
                longest_ms,
                ..Pace::default()
            },
            ..row(SourceHealth::Silent)
        };
        let told = source(&quiet, &Ledger::default(), Time::from_secs(720));
        let found = format!("7 taken, last heard 12 min ago ({why})");
        assert_eq!(told, well("source otlp", &found));
    }
}
