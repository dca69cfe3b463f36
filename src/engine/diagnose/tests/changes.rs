//! What a change tells by when it came.

use super::*;

#[test]
fn a_change_before_the_onset_comes_before_one_after_it() {
    // Both lie within what the onset may be off, told in either order.
    for order in [[-2, 20], [20, -2]] {
        let mut case = slow_payments();
        subject(&mut case, "payments").onset = Some(Onset {
            at: NOON,
            uncertainty_ms: 10_000,
        });
        case.changes.extend(order.map(|after_s| Change {
            at: NOON.plus_ms(after_s * 1_000),
            ..change("payments", 0)
        }));
        let diagnosis = diagnose(&case);
        let said = diagnosis.hypotheses.iter().flat_map(|h| &h.evidence_for);
        let deploys: Vec<&str> = said
            .map(|evidence| &*evidence.text)
            .filter(|text| text.contains("deploy"))
            .collect();
        assert_eq!(deploys, ["deploy v812 2 s before onset"], "{order:?}");
    }
}

#[test]
fn what_came_after_an_alert_said_it_began_did_not_set_it_off() {
    // Seconds after the beginning that the alert tells: whether the deploy is named, and how it is told.
    let cases = [
        (-25, true, "deploy v812 25 s before onset"),
        (
            4,
            true,
            "deploy v812 4 s after it began, as far as can be told",
        ),
        (25, false, "deploy v812 came 25 s after it began"),
    ];
    for (after_s, is_named, said) in cases {
        let mut case = slow_payments();
        let payments = subject(&mut case, "payments");
        payments.by_alert_alone = true;
        payments.onset = Some(Onset {
            at: NOON,
            uncertainty_ms: 5_000,
        });
        case.changes.push(Change {
            at: NOON.plus_ms(after_s * 1_000),
            ..change("payments", 0)
        });
        let diagnosis = diagnose(&case);
        let mut suspects = diagnosis.hypotheses.iter();
        let payments = suspects.find(|h| h.suspect.name() == "payments");
        let payments = payments.expect("payments is a suspect");
        let is_change = matches!(payments.cause, SuspectKind::Change { .. });
        assert_eq!(is_change, is_named, "{after_s}: {payments:?}");
        let evidence = payments.evidence_for.iter();
        let mut evidence = evidence.chain(&payments.evidence_against);
        assert!(
            evidence.any(|e| &*e.text == said),
            "{after_s}: {payments:?}"
        );
    }
}

#[test]
fn a_change_counts_by_when_it_came() {
    // Seconds after the onset of payments, which may be off by ten: what is said, and on which side.
    let cases = [
        (-120, "deploy v812 2 min before onset", true),
        (
            2,
            "deploy v812 2 s after it began, as far as can be told",
            true,
        ),
        (
            10,
            "deploy v812 10 s after it began, as far as can be told",
            true,
        ),
        (40, "deploy v812 came 40 s after it began", false),
    ];
    for (after_s, said, speaks_for) in cases {
        let mut case = slow_payments();
        subject(&mut case, "payments").onset = Some(Onset {
            at: NOON,
            uncertainty_ms: 10_000,
        });
        case.changes.push(Change {
            at: NOON.plus_ms(after_s * 1_000),
            ..change("payments", 0)
        });
        let diagnosis = diagnose(&case);
        let payments = diagnosis
            .hypotheses
            .iter()
            .find(|h| h.suspect.name() == "payments")
            .expect("payments is a suspect");
        let side = if speaks_for {
            &payments.evidence_for
        } else {
            &payments.evidence_against
        };
        assert!(
            side.iter().any(|e| &*e.text == said),
            "{after_s}: {payments:?}"
        );
        let is_change = matches!(payments.cause, crate::model::SuspectKind::Change { .. });
        assert_eq!(is_change, speaks_for, "{after_s}");
    }
}

#[test]
fn a_change_right_before_it_got_worse_counts_though_something_was_odd_long_before() {
    // Seconds after payments was first a little odd, five minutes before it got worse: what is said, and
    // whether it speaks for the change.
    let cases = [
        (290, "deploy v812 10 s before it got worse", true),
        (360, "deploy v812 came 6 min after it began", false),
        (-20, "deploy v812 20 s before onset", true),
    ];
    for (after_s, said, speaks_for) in cases {
        let mut case = slow_payments();
        case.changes.push(Change {
            at: NOON.plus_ms((after_s - 300) * 1_000),
            ..change("payments", 0)
        });
        let payments = subject(&mut case, "payments");
        let odd = Onset {
            at: NOON.plus_ms(-300_000),
            uncertainty_ms: 10_000,
        };
        payments.onset = Some(odd);
        payments.worse = Some(Onset { at: NOON, ..odd });
        let diagnosis = diagnose(&case);
        let mut suspects = diagnosis.hypotheses.iter();
        let payments = suspects.find(|h| h.suspect.name() == "payments");
        let payments = payments.expect("payments is a suspect");
        let side = if speaks_for {
            &payments.evidence_for
        } else {
            &payments.evidence_against
        };
        assert!(
            side.iter().any(|e| &*e.text == said),
            "{after_s}: {payments:?}"
        );
    }
}
