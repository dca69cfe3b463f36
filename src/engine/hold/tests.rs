//! Alerts held back and told late, as a person sees it: the table, the incidents and what is said.

mod hidden;
mod pages;

use std::sync::Arc;

use super::{End, WAITING_MAX};
use crate::config::{EngineConfig, InhibitConfig, MaintenanceConfig};
use crate::engine::Engine;
use crate::model::{
    Actor, Alert, AlertRow, Batch, Command, Effect, Fingerprint, HoldStage, Input, LabelFilter,
    Labels, Phase, Record, Refusal, Role, Sample, Series, SeriesKind, Severity, Signal, SilenceId,
    SilenceKind, SilencePreview, SilenceSpec, SilenceState, SourceId, Stamped, Time, Unit,
};

/// A Wednesday, 12:00 UTC.
const START: Time = Time::from_secs(1_768_392_000);

/// An engine, its clock and its journal.
struct Bench {
    engine: Engine,
    config: EngineConfig,
    now: Time,
    journal: Vec<Record>,
}

impl Bench {
    fn new(config: EngineConfig) -> Self {
        Self {
            engine: Engine::new(config.clone(), Vec::new()),
            config,
            now: START,
            journal: Vec::new(),
        }
    }

    fn step(&mut self, input: Input) {
        let mut effects = Vec::new();
        let at = self.now;
        self.engine
            .step(&Stamped { seq: 1, at, input }, &mut effects);
        self.journal
            .extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Record(record) => Some(record),
                _ => None,
            }));
    }

    /// So many seconds, a tick each.
    fn pass(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now = self.now.plus_ms(1_000);
            self.step(Input::Tick);
        }
    }

    /// Sends an alert `name@service/severity` that fires, or is over.
    fn alert(&mut self, text: &str, fires: bool) {
        let (name, rest) = text.split_once('@').unwrap();
        let (service, severity) = rest.split_once('/').unwrap();
        let labels = [
            ("alertname", name),
            ("service", service),
            ("severity", severity),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        let alert = Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: self.now,
            ends_at: if fires {
                self.now.plus_ms(24 * 3_600_000)
            } else {
                self.now
            },
            generator_url: None,
        }));
        let source = SourceId::new("test");
        let signals = vec![alert];
        self.step(Input::Signals(Batch { source, signals }));
    }

    /// A source tells of a service.
    fn measure(&mut self, source: &str, service: &str) {
        self.tell(source, service, &[("a", 1.0), ("b", 1.0)]);
    }

    fn tell(&mut self, source: &str, service: &str, told: &[(&str, f64)]) {
        let labels = Labels::from_pairs([("service", service)]).unwrap();
        let sample = |(name, value): &(&str, f64)| {
            let series = Series::new(name, labels.clone(), SeriesKind::Gauge, Unit::None);
            Signal::Sample(Sample {
                series: Arc::new(series),
                at: self.now,
                value: *value,
            })
        };
        let signals = told.iter().map(sample).collect();
        let source = SourceId::new(source);
        self.step(Input::Signals(Batch { source, signals }));
    }

    /// So many seconds in which these sources tell of these services every five.
    fn hear(&mut self, seconds: i64, told: &[(&str, &str)]) {
        for _ in 0..seconds / 5 {
            for (source, service) in told {
                self.measure(source, service);
            }
            self.pass(5);
        }
    }

    fn fire(&mut self, text: &str) {
        self.alert(text, true);
    }

    fn end(&mut self, text: &str) {
        self.alert(text, false);
    }

    /// Mia gives a command; the refusal, if it is one. What was rehearsed is what happened.
    fn give(&mut self, what: Command) -> Option<Refusal> {
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        let input = Input::Command { by, what };
        let (seq, at) = (1, self.now);
        let rehearsed = self.engine.rehearse(&Stamped {
            seq,
            at,
            input: input.clone(),
        });
        let before = self.journal.len();
        self.step(input);
        assert!(
            self.journal[before..].starts_with(&rehearsed),
            "{rehearsed:?}"
        );
        rehearsed.into_iter().find_map(|record| match record {
            Record::Decision { refused, .. } => refused,
            _ => None,
        })
    }

    fn silence(&mut self, matchers: &str, minutes: i64) -> Option<Refusal> {
        let spec = self.spec(matchers, minutes);
        self.give(Command::Silence {
            spec: Box::new(spec),
            twin: None,
        })
    }

    fn spec(&self, matchers: &str, minutes: i64) -> SilenceSpec {
        SilenceSpec {
            id: None,
            kind: SilenceKind::Silence,
            matchers: LabelFilter::parse_all(matchers).unwrap(),
            starts_at: None,
            ends_at: self.now.plus_ms(minutes * 60_000),
            until_resolved: false,
            reason: "a deploy".to_owned(),
        }
    }

    /// Names of the alerts held back, with the stage.
    fn held(&self) -> Vec<(String, HoldStage)> {
        let rows = self.engine.alerts(None, 100, None).into_iter();
        let name = |row: &AlertRow| row.labels.get("alertname").unwrap_or_default().to_owned();
        let mut held: Vec<_> = rows
            .filter_map(|row| Some((name(&row), row.held.as_ref()?.stage)))
            .collect();
        held.sort();
        held
    }

    /// Open incidents: what they are about, and their alerts that fire.
    fn open(&self) -> Vec<(String, u32)> {
        let rows = self.engine.incident_rows();
        rows.filter(|row| row.phase != Phase::Resolved)
            .map(|row| {
                let firing = self.engine.incident(row.id).unwrap().impact.alerts_firing;
                (row.entity.name().to_owned(), firing)
            })
            .collect()
    }

    /// Whether some timeline says so.
    fn says(&self, text: &str) -> bool {
        let rows = self.engine.incident_rows();
        let mut incidents = rows.filter_map(|row| self.engine.incident(row.id));
        incidents.any(|incident| incident.timeline.iter().any(|e| e.text.contains(text)))
    }

    fn stage(&self, name: &str) -> (u64, Option<u64>, Option<u64>) {
        let rows = self.engine.stages();
        let row = rows.iter().find(|row| &*row.name == name).unwrap();
        (row.total, row.now, row.told_late)
    }
}

fn named(names: &[&str], stage: HoldStage) -> Vec<(String, HoldStage)> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), stage))
        .collect()
}

#[test]
fn what_is_silenced_opens_nothing_and_is_told_when_the_silence_ends() {
    let mut bench = Bench::new(EngineConfig::default());
    assert_eq!(bench.silence("service=cart", 10), None);
    bench.fire("SlowCart@cart/critical");
    bench.fire("SlowPay@pay/critical");
    bench.pass(1);
    assert_eq!(bench.open(), [("pay".to_owned(), 1)]);
    assert_eq!(bench.held(), named(&["SlowCart"], HoldStage::Silence));
    assert_eq!(bench.engine.counts().alerts_held, 1);
    let held = bench.engine.alerts(None, 100, None);
    let held = held.iter().find_map(|row| row.held.as_deref()).unwrap();
    assert_eq!(&*held.why, "silence 1 of mia: a deploy");
    let urgent = bench.engine.alerts_by_urgency(None, 100);
    let urgent = urgent.iter().find_map(|row| row.held.as_deref());
    assert_eq!(urgent, Some(held), "in whatever order");
    bench.pass(599);
    assert_eq!(bench.held(), []);
    assert_eq!(
        bench.open(),
        [("pay".to_owned(), 1), ("cart".to_owned(), 1)]
    );
    assert!(bench.says("SlowCart still fires: silence 1 of mia: a deploy; it was held back since"));
    assert_eq!(bench.stage("silences"), (1, Some(0), Some(1)));
    let silence = bench.engine.silence(SilenceId(1)).unwrap();
    assert_eq!(
        (silence.state, silence.hides, silence.hidden_total),
        (SilenceState::Expired, 0, 1)
    );
}

#[test]
fn a_silence_hides_what_fires_already_until_it_is_ended_by_hand() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.fire("SlowCart@cart/critical");
    bench.pass(1);
    assert_eq!(bench.open(), [("cart".to_owned(), 1)]);
    bench.silence("alertname=~\"Slow.*\"", 60);
    assert_eq!(bench.open(), [("cart".to_owned(), 0)]);
    assert!(
        bench.says("SlowCart is silenced until "),
        "the incident says so"
    );
    bench.pass(20);
    assert!(
        bench.says("what still fires is held back"),
        "it did not get well"
    );
    assert_eq!(
        bench.give(Command::Expire {
            silence: SilenceId(1)
        }),
        None
    );
    assert_eq!(bench.open(), [("cart".to_owned(), 1)]);
    assert_eq!(
        bench
            .give(Command::Expire {
                silence: SilenceId(1)
            })
            .map(|why| why.to_string()),
        Some("silence 1 is over already: nothing is left to end".to_owned())
    );
    bench.end("SlowCart@cart/critical");
    assert_eq!(bench.open(), [("cart".to_owned(), 0)]);
}

#[test]
fn until_resolved_ends_with_what_it_hides() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.fire("SlowCart@cart/warning");
    let spec = SilenceSpec {
        until_resolved: true,
        ..bench.spec("service=cart", 600)
    };
    let (spec, twin) = (Box::new(spec), None);
    bench.give(Command::Silence { spec, twin });
    bench.fire("FullCart@cart/warning");
    let state = |bench: &Bench| bench.engine.silence(SilenceId(1)).unwrap().state;
    bench.end("SlowCart@cart/warning");
    bench.pass(1);
    assert_eq!(state(&bench), SilenceState::Active);
    bench.end("FullCart@cart/warning");
    bench.pass(1);
    assert_eq!(state(&bench), SilenceState::Expired);
    let ended = |record: &Record| matches!(record, Record::Silence { silence } if silence.state == SilenceState::Expired);
    assert_eq!(bench.journal.iter().filter(|r| ended(r)).count(), 1);
    bench.fire("SlowCart@cart/warning");
    assert_eq!(bench.held(), [], "it is over");
}

#[test]
fn until_resolved_goes_on_when_another_holds_its_last_alert() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.fire("SlowCart@cart/warning");
    let spec = SilenceSpec {
        until_resolved: true,
        ..bench.spec("service=cart", 60)
    };
    let (spec, twin) = (Box::new(spec), None);
    bench.give(Command::Silence { spec, twin });
    bench.silence("alertname=SlowCart", 600);
    bench.pass(1);
    let silence = |id| bench.engine.silence(SilenceId(id)).unwrap();
    assert_eq!(silence(2).hides, 1, "the longer one holds it now");
    assert_eq!(silence(1).state, SilenceState::Active);
}

#[test]
fn what_is_held_longer_counts_once() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.silence("service=cart", 10);
    bench.fire("SlowCart@cart/critical");
    let spec = SilenceSpec {
        id: Some(SilenceId(1)),
        ..bench.spec("service=cart", 60)
    };
    let (spec, twin) = (Box::new(spec), None);
    assert_eq!(bench.give(Command::Silence { spec, twin }), None);
    let silence = bench.engine.silence(SilenceId(1)).unwrap();
    assert_eq!((silence.hides, silence.hidden_total), (1, 1));
    assert_eq!(bench.stage("silences"), (1, Some(1), Some(0)));
}

#[test]
fn a_preview_looks_at_now_and_back() {
    let mut bench = Bench::new(EngineConfig::default());
    for text in [
        "SlowCart@cart/critical",
        "SlowCart@cart/warning",
        "SlowPay@pay/critical",
    ] {
        bench.fire(text);
        bench.pass(2);
        bench.end(text);
        bench.pass(2);
    }
    bench.fire("SlowCart@cart/critical");
    bench.fire("FullCart@cart/warning");
    let matchers = LabelFilter::parse_all("service=cart").unwrap();
    let expected = SilencePreview {
        now: vec![(Severity::Critical, 1), (Severity::Warning, 1)],
        past: vec![(Severity::Critical, 1), (Severity::Warning, 1)],
        looked_back_ms: 12_000,
        names: vec!["FullCart".into(), "SlowCart".into()],
        incidents: 1,
        findings_now: 0,
        findings_past: 0,
    };
    let mut preview = bench.engine.preview_silence(&matchers);
    preview.names.sort();
    assert_eq!(preview, expected);
}

#[test]
fn silences_outlive_a_restart() {
    let mut bench = Bench::new(EngineConfig::default());
    bench.silence("service=cart", 60);
    bench.silence("service=pay", 60);
    bench.give(Command::Expire {
        silence: SilenceId(2),
    });
    bench.engine = Engine::new(bench.config.clone(), Vec::new());
    let journal = bench.journal.iter().cloned();
    bench.engine.restore(journal.map(Record::undated));
    bench.fire("SlowCart@cart/critical");
    bench.fire("SlowPay@pay/critical");
    bench.pass(1);
    assert_eq!(bench.held(), named(&["SlowCart"], HoldStage::Silence));
    bench.silence("service=shop", 60);
    assert!(
        bench.engine.silence(SilenceId(3)).is_some(),
        "numbers go on"
    );
}

#[test]
fn windows_hold_back_while_they_are_open() {
    let mut bench = Bench::new(EngineConfig {
        maintenance: vec![MaintenanceConfig {
            name: "noon".to_owned(),
            reason: "a move".to_owned(),
            matchers: vec!["service=cart".to_owned()],
            at: Some("12:01".to_owned()),
            minutes: Some(2),
            ..MaintenanceConfig::default()
        }],
        ..EngineConfig::default()
    });
    bench.fire("SlowCart@cart/critical");
    bench.pass(1);
    assert_eq!(bench.open(), [("cart".to_owned(), 1)]);
    bench.pass(59);
    assert_eq!(bench.held(), named(&["SlowCart"], HoldStage::Maintenance));
    bench.silence("service=cart", 1);
    bench.pass(119);
    assert_eq!(
        bench.held(),
        named(&["SlowCart"], HoldStage::Maintenance),
        "the first stage holds"
    );
    bench.pass(1);
    assert_eq!(bench.held(), []);
    assert!(bench.says("SlowCart still fires: maintenance window noon held it back since 12:01"));
    assert_eq!(bench.engine.maintenance()[0].held_total, 1);
}

#[test]
fn what_another_alert_says_is_held_back() {
    let mut bench = Bench::new(EngineConfig {
        inhibit: vec![InhibitConfig {
            name: "down".to_owned(),
            source: vec!["alertname=Down".to_owned()],
            target: vec![
                "alertname!=Down".to_owned(),
                "severity=~\"warning|critical\"".to_owned(),
            ],
            equal: vec!["service".to_owned()],
        }],
        ..EngineConfig::default()
    });
    bench.fire("SlowCart@cart/critical");
    bench.fire("Down@cart/critical");
    bench.fire("FullCart@cart/warning");
    bench.fire("SlowPay@pay/warning");
    assert_eq!(
        bench.held(),
        named(&["FullCart", "SlowCart"], HoldStage::Inhibition)
    );
    bench.end("SlowCart@cart/critical");
    bench.end("Down@cart/critical");
    assert_eq!(bench.held(), []);
    assert!(bench.says("FullCart still fires: what spoke for it since 12:00"));
}

/// An engine to which an alert came and went alone for hours.
fn used_to(text: &str) -> Bench {
    let mut bench = Bench::new(EngineConfig {
        resolve_after_s: 1,
        ..EngineConfig::default()
    });
    for _ in 0..10 {
        bench.fire(text);
        bench.pass(240);
        bench.end(text);
        bench.pass(600);
    }
    bench
}

#[test]
fn what_usually_clears_alone_is_given_the_time_to() {
    let mut bench = used_to("Flaky@cart/warning");
    assert_eq!(bench.stage("transience").1, Some(0));
    let opened = bench.engine.incident_rows().count();
    bench.fire("Flaky@cart/warning");
    bench.pass(200);
    assert_eq!(bench.held(), named(&["Flaky"], HoldStage::Transience));
    let rows = bench.engine.alerts(None, 1, None);
    assert_eq!(
        &*rows[0].held.as_ref().unwrap().why,
        "cleared alone 10 of 10 times, median 4 min"
    );
    bench.end("Flaky@cart/warning");
    bench.pass(600);
    assert_eq!(
        bench.engine.incident_rows().count(),
        opened,
        "nobody was bothered"
    );
    bench.fire("Flaky@cart/warning");
    bench.pass(241);
    assert_eq!(bench.held(), []);
    assert!(bench.says(
        "Flaky did not clear by itself this time (cleared alone 11 of 11 times, median 4 min)"
    ));
    assert_eq!(bench.open().len(), 1);
}

#[test]
fn in_a_storm_none_waits() {
    let mut bench = Bench::new(EngineConfig::default());
    let names = (0..=WAITING_MAX).map(|nth| format!("s{nth}"));
    for service in names {
        let labels = [
            ("alertname", "Flaky"),
            ("service", service.as_str()),
            ("severity", "warning"),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        let alert = Fingerprint::of(&labels);
        let habits = &mut bench.engine.holds.habits;
        for hours in (1..=10).rev() {
            let since = START.plus_ms(-hours * 3_600_000);
            let over = since.plus_ms(240_000);
            habits.fired(alert, &labels, Severity::Warning, since, over);
            habits.ended(alert, End::Alone, over);
        }
        bench.fire(&format!("Flaky@{service}/warning"));
    }
    assert_eq!(bench.held().len(), WAITING_MAX + 1);
    bench.pass(1);
    assert_eq!(bench.held(), []);
}

#[test]
fn nothing_waits_that_is_critical_or_confirmed() {
    let mut bench = used_to("Flaky@cart/critical");
    bench.fire("Flaky@cart/critical");
    assert_eq!(bench.held(), []);
    let mut bench = used_to("Flaky@cart/warning");
    bench.fire("Flaky@cart/warning");
    assert_eq!(bench.held(), named(&["Flaky"], HoldStage::Transience));
    bench.fire("Other@cart/warning");
    bench.pass(1);
    assert_eq!(bench.held(), [], "something else is odd there");
    assert_eq!(bench.open(), [("cart".to_owned(), 2)]);
}

#[test]
fn stages_are_listed_in_order() {
    let bench = Bench::new(EngineConfig::default());
    let stages = bench.engine.stages();
    let names: Vec<&str> = stages.iter().map(|row| &*row.name).collect();
    let expected = [
        "deduplicate",
        "one alert",
        "maintenance",
        "silences",
        "inhibition",
        "blindness",
        "flapping",
        "transience",
        "came back",
    ];
    assert_eq!(names[..9], expected);
    let after = [
        "split off",
        "attach",
        "open",
        "merge",
        "merge by hand",
        "split by hand",
        "severity",
        "phase",
        "each week",
    ];
    assert_eq!(names[names.len() - 9..], after);
}

#[test]
fn a_blind_source_is_one_incident_and_alerts_that_say_no_more_are_held_behind_it() {
    let mut bench = Bench::new(EngineConfig::default());
    let (blind, sees) = ("remote_write", "scrape shop");
    let all = ["cart", "pay", "mail"].map(|service| (blind, service));
    bench.hear(300, &[&all[..], &[(sees, "shop")]].concat());
    bench.fire("CartNoData@cart/critical");
    assert_eq!(bench.open(), [("cart".to_owned(), 1)], "all are heard");
    bench.end("CartNoData@cart/critical");
    bench.pass(1);
    bench.hear(120, &[(sees, "shop")]);
    let blind_on = |bench: &Bench| {
        let open = bench.open().into_iter();
        let open = open.filter(|(entity, _)| entity != "cart" && entity != "shop");
        open.collect::<Vec<_>>()
    };
    assert_eq!(
        blind_on(&bench),
        [(blind.to_owned(), 0)],
        "one, whatever it told of"
    );
    assert!(bench.says("we are blind on remote_write: nothing came from it since"));
    bench.fire("PayNoData@pay/critical");
    bench.fire("MailAbsent@mail/critical");
    bench.fire("SlowPay@mail/critical");
    bench.fire("ShopNoData@shop/critical");
    bench.hear(10, &[(sees, "shop")]);
    let held = named(&["MailAbsent", "PayNoData"], HoldStage::Blindness);
    assert_eq!(bench.held(), held, "the others say more, or are heard");
    let rows = bench.engine.alerts(None, 100, None);
    let why = rows.iter().find_map(|row| row.held.as_deref()).unwrap();
    assert_eq!(
        &*why.why,
        "source remote_write is blind: that nothing is heard is known"
    );
    assert_eq!(bench.stage("blindness"), (2, Some(2), Some(0)));
    // It sees again: one clears in time, the other is told.
    bench.hear(60, &[&all[..], &[(sees, "shop")]].concat());
    assert_eq!(bench.held(), held, "whoever evaluates them needs a moment");
    bench.end("PayNoData@pay/critical");
    bench.hear(150, &[&all[..], &[(sees, "shop")]].concat());
    assert_eq!(bench.held(), []);
    assert!(bench.says("MailAbsent still fires although source remote_write sees again"));
    assert_eq!(bench.stage("blindness"), (2, Some(0), Some(1)));
}

/// Twelve services of one source, of which six fall silent together; what is said of the source, and of
/// how many entities something is open.
fn half_falls_silent(bench: &mut Bench, minutes: i64) -> Vec<(&'static str, &'static str)> {
    let source = "remote_write";
    let all = [
        "a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "b4", "b5", "b6",
    ];
    let all = all.map(|service| (source, service));
    bench.hear(300, &all);
    bench.hear(minutes * 60, &all[6..]);
    all.to_vec()
}

#[test]
fn entities_that_fall_silent_together_are_one_incident_also_after_a_while() {
    let mut bench = Bench::new(EngineConfig::default());
    let all = half_falls_silent(&mut bench, 3);
    assert_eq!(bench.open(), [("remote_write".to_owned(), 0)]);
    assert!(bench.says(
        "we are blind on 6 of 12 entities of remote_write: a1, a2, a3 and 3 more report nothing since"
    ));
    // Alone, each would be told after a quarter of an hour.
    bench.hear(20 * 60, &all[6..]);
    assert_eq!(bench.open(), [("remote_write".to_owned(), 0)]);
    // One of them turns out to be lost: that is told, and the others stay as they are.
    bench.fire("A1Down@a1/critical");
    bench.hear(10, &all[6..]);
    let open = bench.open();
    assert!(open.contains(&("a1".to_owned(), 1)), "{open:?}");
    assert!(open.contains(&("remote_write".to_owned(), 0)), "{open:?}");
}

#[test]
fn alerts_that_say_no_more_than_a_blind_spot_are_held_behind_it_until_it_is_over() {
    let mut bench = Bench::new(EngineConfig::default());
    let all = half_falls_silent(&mut bench, 3);
    bench.fire("A2Absent@a2/critical");
    bench.fire("A3NoData@a3/critical");
    bench.fire("B1NoData@b1/critical");
    bench.hear(10, &all[6..]);
    let held = named(&["A2Absent", "A3NoData"], HoldStage::Blindness);
    assert_eq!(bench.held(), held, "the other one is heard");
    let rows = bench.engine.alerts(None, 100, None);
    let why = rows.iter().find_map(|row| row.held.as_deref()).unwrap();
    assert_eq!(
        &*why.why,
        "source remote_write is blind on a part of what it tells of: that nothing is heard is known"
    );
    // All are heard again: one alert clears, the other is told.
    bench.hear(60, &all);
    bench.end("A3NoData@a3/critical");
    assert_eq!(bench.held(), named(&["A2Absent"], HoldStage::Blindness));
    bench.hear(180, &all);
    assert_eq!(bench.held(), []);
    assert!(bench.says("A2Absent still fires although source remote_write sees again"));
}

#[test]
fn a_few_that_fall_silent_are_no_blind_spot() {
    let mut bench = Bench::new(EngineConfig::default());
    let all = ["a1", "a2", "a3", "a4", "b1", "b2"].map(|service| ("remote_write", service));
    bench.hear(300, &all);
    bench.hear(180, &all[4..]);
    assert_eq!(bench.open(), []);
}

#[test]
fn a_few_targets_that_do_not_answer_are_lost_and_no_blind_spot() {
    let mut bench = Bench::new(EngineConfig::default());
    let (lost, well) = (["a1", "a2", "a3"], ["b1", "b2", "b3", "b4", "b5"]);
    let source = "scrape shop";
    for turn in 0..100 {
        for service in well {
            bench.measure(source, service);
        }
        for service in lost {
            let is_up = turn < 60;
            bench.tell(source, service, &[("up", f64::from(u8::from(is_up)))]);
            if is_up {
                bench.measure(source, service);
            }
        }
        bench.pass(5);
    }
    assert!(bench.says("a1 is lost: it does not answer since"));
    assert!(!bench.says("we are blind on"));
}
