//! Alerts sent, sent again, ended and told in rows.

use super::*;

fn alert(name: &str, starts_s: i64) -> Alert {
    let labels = Labels::from_pairs([("alertname", name)]).unwrap();
    Alert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        starts_at: Time::from_secs(starts_s),
        ends_at: Time::ZERO,
        generator_url: None,
    }
}

fn take(alerts: &mut Alerts, name: &str, now_s: i64, ends_s: i64) -> AlertChange {
    let times = Times {
        starts_at: Time::from_secs(now_s),
        onset: Time::from_secs(now_s),
        ends_at: Time::from_secs(ends_s),
    };
    alerts.take(
        &alert(name, now_s),
        times,
        EntityIx(0),
        Time::from_secs(now_s),
        2,
    )
}

#[test]
fn resends_change_nothing_and_the_end_resolves() {
    use AlertChange::{Fired, Refused, Resent, Resolved};
    let mut alerts = Alerts::default();
    let a = alert("a", 0).fingerprint;
    assert_eq!(take(&mut alerts, "a", 10, 100), Fired(a));
    assert_eq!(take(&mut alerts, "a", 20, 200), Resent);
    assert_eq!(alerts.take_due(Time::from_secs(150)), []);
    assert_eq!(alerts.take_due(Time::from_secs(200)), [a]);
    assert!(alerts.end(a, "unsaid".into(), Time::from_secs(200)));
    assert_eq!(take(&mut alerts, "a", 210, 300), Fired(a));
    assert_eq!(take(&mut alerts, "a", 220, 220), Resolved(a));
    assert_eq!(take(&mut alerts, "never seen", 220, 220), Resent);
    assert_eq!((alerts.firing(), alerts.len()), (0, 1));
    let b = alert("b", 0).fingerprint;
    assert_eq!(take(&mut alerts, "b", 230, 300), Fired(b));
    let c = alert("c", 0).fingerprint;
    assert_eq!(take(&mut alerts, "c", 230, 300), Fired(c), "a made room");
    assert_eq!(take(&mut alerts, "d", 230, 300), Refused);
    assert_eq!((alerts.firing(), alerts.len()), (2, 2));
}

#[test]
fn the_latest_text_and_the_earliest_beginning_are_held() {
    use AlertChange::{Fired, Resent, Resolved, Retold};
    let mut alerts = Alerts::default();
    let a = alert("a", 0).fingerprint;
    let mut send = |starts_s: i64, now_s: i64, ends_s: i64, text: &str| {
        let mut sent = alert("a", starts_s);
        if !text.is_empty() {
            sent.annotations = Labels::from_pairs([("summary", text)]).unwrap();
        }
        let times = Times {
            starts_at: sent.starts_at,
            onset: sent.starts_at,
            ends_at: Time::from_secs(ends_s),
        };
        let change = alerts.take(&sent, times, EntityIx(0), Time::from_secs(now_s), 2);
        let held = alerts.get(a).unwrap();
        (change, held.summary.to_string(), held.starts_at)
    };
    let at = Time::from_secs;
    let cases = [
        // Starts, told, ends, text: what changed, the text and the beginning from then on.
        ((50, 60, 600, "12 % fail"), (Fired(a), "12 % fail", at(50))),
        ((50, 90, 600, "12 % fail"), (Resent, "12 % fail", at(50))),
        ((40, 95, 600, "40 % fail"), (Retold(a), "40 % fail", at(40))),
        ((70, 99, 600, ""), (Resent, "40 % fail", at(40))),
        ((40, 100, 100, ""), (Resolved(a), "40 % fail", at(40))),
        ((105, 110, 600, "all fail"), (Fired(a), "all fail", at(105))),
    ];
    for ((starts_s, now_s, ends_s, text), (change, summary, starts_at)) in cases {
        let got = send(starts_s, now_s, ends_s, text);
        assert_eq!(got, (change, summary.to_owned(), starts_at), "at {now_s}");
    }
}

#[test]
fn times_are_believed_within_limits() {
    let now = Time::from_secs(100_000);
    let cases = [
        (99_990, 99_990, 99_990, None),
        (200_000, 100_000, 100_000, Some(Corrected::AlertAhead)),
        (90_000, 90_000, 96_400, Some(Corrected::AlertAncient)),
        (
            -62_135_596_800,
            -62_135_596_800,
            96_400,
            Some(Corrected::AlertAncient),
        ),
    ];
    for (told_s, starts_s, onset_s, corrected) in cases {
        let times = Times {
            starts_at: Time::from_secs(starts_s),
            onset: Time::from_secs(onset_s),
            ends_at: Time::from_secs(100_300),
        };
        let read = Times::of(&alert("a", told_s), now, 300_000);
        assert_eq!(read, (times, corrected), "{told_s}");
    }
}

#[test]
fn flapping_is_told_once_and_ends_once() {
    use AlertChange::{Fired, Flapping, Resent, Resolved};
    let mut alerts = Alerts::default();
    let a = alert("a", 0).fingerprint;
    let mut told = Vec::new();
    for i in 0..4 {
        told.push(take(&mut alerts, "a", 100 + 40 * i, 1_000));
        told.push(take(&mut alerts, "a", 120 + 40 * i, 120 + 40 * i));
    }
    let expected = [
        Fired(a),
        Resolved(a),
        Fired(a),
        Resolved(a),
        Flapping(a),
        Resent,
        Resent,
        Resent,
    ];
    assert_eq!(told, expected);
    let row = |alerts: &Alerts| {
        let row = alerts.row(a, |_| EntityId::parse("a"));
        row.map(|row| (row.firing, row.flapping))
    };
    assert_eq!(row(&alerts), Some((false, true)));
    assert_eq!(alerts.settle(Time::from_secs(300)), []);
    assert_eq!(alerts.settle(Time::from_secs(900)), [(a, false)]);
    assert_eq!(row(&alerts), Some((false, false)));
    assert_eq!(alerts.settle(Time::from_secs(900)), []);
}

#[test]
fn lists_by_incident() {
    let mut alerts = Alerts::default();
    take(&mut alerts, "a", 10, 100);
    take(&mut alerts, "b", 10, 100);
    let b = alert("b", 0).fingerprint;
    alerts.attach(b, IncidentId(7));
    assert_eq!(
        alerts.of_incident(IncidentId(7), None).collect::<Vec<_>>(),
        [b]
    );
    assert_eq!(alerts.of_incident(IncidentId(7), Some(b)).count(), 0);
    alerts.attach(b, IncidentId(3));
    assert_eq!(alerts.of_incident(IncidentId(7), None).count(), 0);
    assert_eq!(alerts.iter(None).count(), 2);
}
