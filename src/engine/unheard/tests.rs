//! Senders that fall silent, go on, come back, and those of which nothing is known.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor, Engine};
use crate::model::{
    AlertRow, Batch, Input, Labels, Phase, Recalled, Sample, Series, SeriesKind, Signal, SourceId,
    Stamped, Unit, turn,
};

const PROM: &str = "http://prom:9090";
const OTHER: &str = "http://other:9090";
/// An alert is sent again this often, and ends this long after it was sent, as with Prometheus, in seconds.
const RESEND_S: i64 = 60;
const LEASE_S: i64 = 240;

/// An engine and those who speak to it.
struct Bench {
    engine: Engine,
    now: Time,
    /// Alerts that fire, each with the address of its rule.
    fires: Vec<(&'static str, &'static str)>,
    /// Whether metrics of what the alerts are about come.
    measures: bool,
}

impl Bench {
    fn new() -> Self {
        Self::with(EngineConfig::default())
    }

    fn with(config: EngineConfig) -> Self {
        Self {
            engine: Engine::new(config, Vec::new()),
            now: Time::from_secs(1_768_392_000),
            fires: Vec::new(),
            measures: false,
        }
    }

    fn step(&mut self, input: Input) {
        let (seq, at) = (1, self.now);
        let stamped = Stamped { seq, at, input };
        self.engine.step(&stamped, &mut Vec::new());
    }

    fn take(&mut self, source: &str, signals: Vec<Signal>) {
        let source = SourceId::new(source);
        self.step(Input::Signals(Batch { source, signals }));
    }

    /// Sends an alert that ends so many seconds from now, on the service of its own name.
    fn send(&mut self, name: &str, rules_at: &str, ends_s: i64) {
        let labels = [
            ("alertname", name),
            ("service", name),
            ("severity", "critical"),
        ];
        self.send_labels(&labels, rules_at, ends_s);
    }

    fn send_labels(&mut self, labels: &[(&str, &str)], rules_at: &str, ends_s: i64) {
        let labels = Labels::from_pairs(labels.iter().copied()).unwrap();
        let alert = Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: self.now,
            ends_at: self.now.plus_ms(ends_s * 1_000),
            generator_url: Some(format!("{rules_at}/graph?g0.expr={ends_s}").into()),
        }));
        self.take("alerts", vec![alert]);
    }

    /// So many seconds, a tick each, in which everybody says what there is to say.
    fn pass(&mut self, seconds: i64) {
        for second in 0..seconds {
            if second % RESEND_S == 0 {
                for (name, rules_at) in self.fires.clone() {
                    self.send(name, rules_at, LEASE_S);
                }
            }
            if self.measures && second % 5 == 0 {
                self.measure();
            }
            self.now = self.now.plus_ms(1_000);
            self.step(Input::Tick);
        }
    }

    /// A point of what the alert `slow` is about.
    fn measure(&mut self) {
        let labels = Labels::from_pairs([("service", "slow")]).unwrap();
        let series = Series::new("load", labels, SeriesKind::Gauge, Unit::None);
        let (series, at, value) = (Arc::new(series), self.now, 1.0);
        let sample = Sample { series, at, value };
        self.take("remote_write", vec![Signal::Sample(sample)]);
    }

    /// So many times five minutes, at the beginning of which alerts are sent that are believed for little longer, and
    /// points if there are any.
    fn pass_seldom(&mut self, times: usize, alerts: &[&str], measures: bool) {
        for _ in 0..times {
            for name in alerts {
                self.send(name, PROM, 310);
            }
            if measures {
                self.measure();
            }
            self.pass(300);
        }
    }

    fn row(&self, name: &str) -> AlertRow {
        let rows = self.engine.alerts(None, 100, None).into_iter();
        let mut rows = rows.filter(|row| row.labels.get("alertname") == Some(name));
        rows.next().expect("it is still in the table")
    }

    /// Whether an alert fires, and what is told of it if its sender said nothing.
    fn told(&self, name: &str) -> (bool, String) {
        let row = self.row(name);
        let why = row.unheard.map(|unheard| unheard.why.into_string());
        (row.firing, why.unwrap_or_default())
    }

    /// The phase of the incident of an alert.
    fn phase(&self, name: &str) -> Phase {
        let id = self.row(name).incident.expect("it is part of one");
        self.engine.incident(id).expect("it is kept").phase
    }

    /// Whether its timeline says so.
    fn says(&self, name: &str, text: &str) -> bool {
        let id = self.row(name).incident.expect("it is part of one");
        let incident = self.engine.incident(id).expect("it is kept");
        incident
            .timeline
            .iter()
            .any(|entry| entry.text.contains(text))
    }

    /// Ends, and goes on from a checkpoint so many seconds later.
    fn restart(&mut self, after_s: i64) {
        let mut cursor = CheckpointCursor::default();
        let parts: Vec<_> =
            std::iter::from_fn(|| self.engine.checkpoint_part(&mut cursor)).collect();
        self.engine = Engine::new(EngineConfig::default(), Vec::new());
        let parts = parts.iter().map(Vec::as_slice);
        let alerts = self.engine.restore_checkpoint(CHECKPOINT_VERSION, parts);
        self.now = self.now.plus_ms(after_s * 1_000);
        let alerts = alerts.unwrap();
        self.step(Input::Recalled(Box::new(Recalled {
            alerts,
            ..Recalled::default()
        })));
    }
}

/// Ten minutes of an alert about something that is measured; then nobody speaks for an hour.
fn fallen_silent() -> Bench {
    let mut bench = Bench::new();
    (bench.fires, bench.measures) = (vec![("slow", PROM)], true);
    bench.pass(600);
    (bench.fires, bench.measures) = (vec![], false);
    bench.pass(3_600);
    bench
}

const SILENT: &str = "is not heard of since 12:09: its sender fell silent, and so did remote_write";

#[test]
fn what_a_sender_that_fell_silent_does_not_say_ends_nothing() {
    let mut bench = fallen_silent();
    assert_eq!(bench.told("slow"), (true, SILENT.to_owned()));
    assert_eq!(bench.phase("slow"), Phase::Open);
    assert!(bench.says("slow", SILENT));
    let counts = bench.engine.counts();
    assert_eq!((counts.alerts_firing, counts.alerts_unheard), (1, 1));
    let id = bench.row("slow").incident.unwrap();
    assert_eq!(bench.engine.incident(id).unwrap().impact.alerts_unheard, 1);

    bench.measures = true;
    bench.pass(290);
    assert_eq!(bench.phase("slow"), Phase::Open, "it has its time");
    bench.pass(40);
    let (fires, why) = bench.told("slow");
    let over = "is not sent any more since 12:09: remote_write, which fell silent with its sender, speaks again since 13:10";
    assert_eq!((fires, why.as_str()), (false, over));
    assert_eq!(bench.phase("slow"), Phase::Mitigated);
    assert!(bench.says("slow", turn::UNSAID) && !bench.says("slow", turn::ALL_CALM));
    let id = bench.row("slow").incident.unwrap();
    assert_eq!(bench.engine.incident(id).unwrap().impact.alerts_unheard, 0);
    bench.pass(900);
    let row = bench.engine.incident_rows().find(|row| row.id == id);
    assert_eq!(row.map(|row| row.phase), Some(Phase::Resolved));
}

#[test]
fn what_measures_other_things_ends_no_alert_by_speaking_again() {
    let mut bench = Bench::new();
    // What is measured is `slow`; nobody but its sender tells of the database.
    (bench.fires, bench.measures) = (vec![("database", PROM)], true);
    bench.pass(600);
    (bench.fires, bench.measures) = (vec![], false);
    bench.pass(600);
    assert_eq!(bench.told("database"), (true, SILENT.to_owned()));
    bench.measures = true;
    bench.pass(3_600);
    assert_eq!(bench.told("database"), (true, SILENT.to_owned()));
    bench.fires = vec![("watchdog", PROM)];
    bench.pass(330);
    let (fires, why) = bench.told("database");
    let over = "is not sent any more: its sender, silent since 12:09, speaks again since 13:20 and does not send it";
    assert_eq!((fires, why.as_str()), (false, over));
}

#[test]
fn one_message_and_renewed_silence_end_nothing() {
    for of_sender in [true, false] {
        let mut bench = fallen_silent();
        if of_sender {
            bench.send("watchdog", PROM, LEASE_S);
        } else {
            bench.measures = true;
        }
        bench.pass(5);
        bench.measures = false;
        bench.pass(1_800);
        assert_eq!(bench.told("slow"), (true, SILENT.to_owned()), "{of_sender}");
    }
}

/// An alert-only Prometheus, restarted, sends nothing while nothing fires: what it told since was over by its own word.
#[test]
fn a_sender_that_came_back_and_has_nothing_to_say_is_believed() {
    for is_told in [true, false] {
        let mut bench = Bench::new();
        bench.fires = vec![("slow", PROM)];
        bench.pass(600);
        bench.fires = vec![];
        bench.pass(1_800);
        assert!(bench.told("slow").0, "its sender fell silent");
        bench.fires = vec![("disk", PROM)];
        bench.pass(120);
        bench.fires = vec![];
        if is_told {
            bench.send("disk", PROM, 0);
        }
        bench.pass(100);
        assert!(bench.told("slow").0, "{is_told}: it has its time");
        bench.pass(900);
        let (fires, why) = bench.told("slow");
        assert_eq!(fires, !is_told, "{why}");
        assert_eq!(why.contains("speaks again since 12:40"), is_told, "{why}");
    }
}

#[test]
fn who_speaks_seldom_speaks_again() {
    for of_sender in [true, false] {
        let mut bench = Bench::new();
        bench.pass_seldom(25, &["slow"], !of_sender);
        bench.pass(1_800);
        assert!(bench.told("slow").0, "{of_sender}: it is not heard of");
        let again: &[&str] = if of_sender { &["watchdog"] } else { &[] };
        bench.pass_seldom(1, again, !of_sender);
        bench.pass(3_600);
        assert!(bench.told("slow").0, "{of_sender}: it spoke once");
        bench.pass_seldom(3, again, !of_sender);
        let (fires, why) = bench.told("slow");
        assert!(
            !fires && why.contains("speaks again since"),
            "{of_sender}: {why}"
        );
    }
}

#[test]
fn one_that_is_heard_of_again_goes_on_and_its_end_is_its_senders() {
    let mut bench = fallen_silent();
    bench.fires = vec![("slow", PROM)];
    bench.pass(600);
    assert_eq!(bench.told("slow"), (true, String::new()));
    assert!(bench.says("slow", "slow is sent again"));
    assert_eq!(bench.engine.counts().alerts_unheard, 0);
    bench.fires = vec![];
    bench.send("slow", PROM, 0);
    bench.pass(30);
    assert_eq!(bench.told("slow"), (false, String::new()));
    assert!(bench.says("slow", "slow resolved") && bench.says("slow", turn::ALL_CALM));
}

#[test]
fn an_end_that_is_told_meanwhile_is_an_end() {
    let mut bench = fallen_silent();
    bench.send("slow", PROM, 0);
    bench.pass(30);
    assert_eq!(bench.told("slow"), (false, String::new()));
    assert_eq!(bench.phase("slow"), Phase::Mitigated);
}

#[test]
fn a_sender_that_goes_on_without_it_ends_it_in_time() {
    let mut bench = Bench::new();
    bench.fires = vec![("slow", PROM), ("watchdog", PROM)];
    bench.pass(600);
    bench.fires = vec![("watchdog", PROM)];
    bench.pass(240);
    let (fires, why) = bench.told("slow");
    let expected = "is not sent any more since 12:09, and its sender goes on without it";
    assert_eq!((fires, why.as_str()), (false, expected));
    assert!(bench.says("slow", expected));
}

#[test]
fn another_sender_speaks_for_itself_alone() {
    for (rules_at, goes_on) in [(PROM, true), (OTHER, false)] {
        let mut bench = Bench::new();
        bench.fires = vec![("slow", PROM), ("watchdog", rules_at)];
        bench.pass(600);
        bench.fires.remove(0);
        bench.pass(600);
        assert_eq!(bench.told("slow").0, !goes_on, "{rules_at}");
    }
}

#[test]
fn nothing_is_waited_for_that_nobody_sends_again() {
    let mut bench = Bench::new();
    bench.send("slow", PROM, LEASE_S);
    bench.pass(241);
    let expected = "is not sent any more since 12:00 (its sender has said nothing else since)";
    assert_eq!(bench.told("slow"), (false, expected.to_owned()));
}

#[test]
fn what_is_seen_by_others_is_over_in_time_when_its_sender_is_idle() {
    let mut bench = Bench::new();
    (bench.fires, bench.measures) = (vec![("slow", PROM)], true);
    bench.pass(600);
    bench.fires = vec![];
    bench.pass(600);
    let (fires, why) = bench.told("slow");
    assert!(!fires && why.contains("said nothing else since"), "{why}");
}

#[test]
fn what_nobody_else_tells_of_is_waited_for_and_given_up_in_the_end() {
    let mut bench = Bench::new();
    bench.fires = vec![("slow", PROM)];
    bench.pass(600);
    bench.fires = vec![];
    bench.pass(6 * 3_600 - 600);
    let silent = "is not heard of since 12:09: its sender fell silent";
    assert_eq!(bench.told("slow"), (true, silent.to_owned()));
    bench.pass(900);
    let given_up = "is given up: not heard of since 12:09, as its sender";
    assert_eq!(bench.told("slow"), (false, given_up.to_owned()));
}

#[test]
fn a_heartbeat_stands_for_the_senders_of_a_source() {
    let mut bench = Bench::new();
    bench.send("slow", PROM, LEASE_S);
    let missing = [
        ("alertname", HEARTBEAT_MISSING),
        ("heartbeat", "watchdog"),
        (WATCHES, "remote_write, alerts"),
    ];
    bench.send_labels(&missing, "", 3_600);
    bench.pass(600);
    let silent = "is not heard of since 12:00: the heartbeat that stands for its sender is missing";
    assert_eq!(bench.told("slow"), (true, silent.to_owned()));
    // The next beat; then its time.
    bench.send_labels(&missing, "", 0);
    bench.pass(290);
    assert!(bench.told("slow").0);
    bench.pass(30);
    let (fires, why) = bench.told("slow");
    assert!(!fires && why.contains("speaks again since 12:10"), "{why}");
}

#[test]
fn a_restart_forgets_no_heartbeat() {
    let mut bench = Bench::new();
    let missing = [("alertname", HEARTBEAT_MISSING), (WATCHES, "alerts")];
    bench.send_labels(&missing, "", 3_600);
    bench.pass(10);
    bench.restart(10);
    bench.send("slow", PROM, LEASE_S);
    bench.pass(600);
    let (fires, why) = bench.told("slow");
    assert!(fires && why.contains("heartbeat"), "{why}");
}

/// It was renamed, or another severity was given to it: nobody tells of that alert any more.
#[test]
fn a_heartbeat_that_is_waited_for_no_more_is_forgotten() {
    let mut bench = Bench::new();
    let missing = [("alertname", HEARTBEAT_MISSING), (WATCHES, "alerts")];
    for _ in 0..10 {
        bench.send_labels(&missing, "", 180);
        bench.pass(60);
    }
    bench.restart(10);
    bench.pass(6 * 3_600 + 600);
    bench.send("slow", PROM, LEASE_S);
    bench.pass(LEASE_S + 10);
    let (fires, why) = bench.told("slow");
    assert!(!fires && why.contains("said nothing else since"), "{why}");
}

#[test]
fn heartbeats_known_are_bounded_and_what_finds_no_room_is_counted() {
    let mut senders = Senders::default();
    let mut note = |n: u64, is_missing: bool| {
        senders.note_heartbeat(Heartbeat {
            alert: Fingerprint(n),
            sources: "alerts".into(),
            is_missing,
            told_at: Time::from_secs(n as i64),
        });
        (senders.heartbeats.len(), senders.refused())
    };
    let most = HEARTBEATS_MAX as u64;
    for n in 0..most {
        assert_eq!(note(n, n > 1), (n as usize + 1, 0));
    }
    // Two of them were heard, and make room.
    for n in most..most + 2 {
        assert_eq!(note(n, true), (HEARTBEATS_MAX, 0));
    }
    assert_eq!(note(most + 2, true), (HEARTBEATS_MAX, 1));
    assert_eq!(note(most, false), (HEARTBEATS_MAX, 1), "it is known");
}

#[test]
fn a_heartbeat_that_is_heard_says_that_senders_live() {
    let mut bench = Bench::new();
    bench.fires = vec![("slow", PROM)];
    bench.pass(600);
    bench.fires = vec![];
    let heartbeat = [("alertname", HEARTBEAT_MISSING), (WATCHES, "alerts")];
    for _ in 0..5 {
        bench.send_labels(&heartbeat, "", 0);
        bench.pass(60);
    }
    let (fires, why) = bench.told("slow");
    assert!(
        !fires && why.ends_with("its sender goes on without it"),
        "{why}"
    );
}

#[test]
fn a_restart_ends_nothing_that_is_not_heard_of() {
    for after_s in [0, 20, 1_200] {
        let mut bench = fallen_silent();
        bench.restart(after_s);
        bench.pass(1_800);
        assert_eq!(bench.told("slow"), (true, SILENT.to_owned()), "{after_s} s");
        bench.measures = true;
        bench.pass(330);
        assert!(!bench.told("slow").0, "{after_s} s");
    }
}

#[test]
fn what_is_waited_for_leaves_room() {
    let config = EngineConfig {
        alerts_max: 4,
        ..EngineConfig::default()
    };
    let mut bench = Bench::with(config);
    bench.fires = ["a", "b", "c", "d"].map(|name| (name, PROM)).to_vec();
    bench.pass(600);
    bench.fires = vec![];
    bench.pass(600);
    let counts = bench.engine.counts();
    assert_eq!((counts.alerts_firing, counts.alerts_unheard), (2, 2));
    let (fires, why) = bench.told("d");
    assert!(!fires && why.contains("no room to wait"), "{why}");
}

#[test]
fn nothing_ends_because_we_were_away() {
    let mut bench = Bench::new();
    bench.fires = vec![("slow", PROM)];
    bench.pass(30);
    bench.now = bench.now.plus_ms(3_600_000);
    bench.fires = vec![];
    bench.pass(50);
    assert!(bench.told("slow").0, "its sender had no time yet");
    bench.fires = vec![("slow", PROM)];
    bench.pass(60);
    assert_eq!(bench.told("slow"), (true, String::new()));
}

/// It was dropped as if it had ended hours ago, and its incident said that all is well.
#[test]
fn what_ends_after_we_were_away_ended_now() {
    let mut bench = Bench::new();
    bench.send("slow", PROM, LEASE_S);
    bench.pass(30);
    bench.now = bench.now.plus_ms(3_600_000);
    bench.pass(330);
    let (fires, why) = bench.told("slow");
    assert!(
        !fires && why.contains("has said nothing else since"),
        "{why}"
    );
    assert!(bench.says("slow", turn::UNSAID) && !bench.says("slow", turn::ALL_CALM));
    let id = bench.row("slow").incident.expect("it is part of one");
    let incident = bench.engine.incident(id).expect("it is kept");
    let mut told = incident.timeline.iter();
    let end = told.find(|entry| entry.text.contains("is not sent any more"));
    let ago_ms = bench.now.since(end.expect("its end is told").at);
    assert!(ago_ms < 60_000, "{ago_ms}");
}

#[test]
fn senders_told_apart_are_bounded() {
    let mut senders = Senders::default();
    let mut of = |source: u16, n: usize| {
        let labels = Labels::empty();
        let alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: Time::ZERO,
            ends_at: Time::ZERO,
            generator_url: Some(format!("http://prom-{n}:9090/").into()),
        };
        senders.of(SourceIx(source), &alert)
    };
    let first = of(0, 0);
    for n in 1..SENDERS_MAX {
        assert_ne!(of(0, n), first);
    }
    assert_eq!(of(0, SENDERS_MAX), first, "one too many");
    assert_ne!(of(1, 0), first, "one of another source");
    assert_eq!(senders.all.len(), SENDERS_MAX + 1);
}
