//! Lives of an engine: restarts, kills, what is told of them.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::engine::correlate::UNHEARD_MS;
use crate::model::{
    Alert, Batch, Change, ChangeKind, ChangeState, Coordinate, Duty, Effect, Fingerprint, Input,
    Labels, Recalled, Refusal, Sample, Series, SeriesKind, Signal, SourceId, Stamped, SuspectKind,
    Time, Unit,
};

const START: Time = Time::from_secs(1_768_392_000);

/// An engine, its clock and its journal.
pub(super) struct Life {
    pub(super) engine: Engine,
    now: Time,
    pub(super) journal: Vec<Dated>,
}

impl Life {
    pub(super) fn begin() -> Self {
        Self {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            now: START,
            journal: Vec::new(),
        }
    }

    /// Ends, and begins again from the journal alone a minute later.
    pub(super) fn restart(&mut self) {
        self.engine = Engine::new(EngineConfig::default(), Vec::new());
        self.engine.restore(&self.journal);
        self.now = self.now.plus_ms(60_000);
        self.journal.push(Dated {
            at: self.now,
            record: Record::Started {
                version: "test".to_owned(),
                at: self.now,
                found: Vec::new(),
                unclean: false,
            },
        });
    }

    /// The lines of the timeline that these begin, with the second after the start of each.
    fn told(&self, beginnings: &[&str]) -> Vec<(i64, &str)> {
        let is_asked = |text: &str| beginnings.iter().any(|begins| text.starts_with(begins));
        let timeline = self.only().timeline.iter();
        timeline
            .filter(|entry| is_asked(&entry.text))
            .map(|entry| (entry.at.since(START) / 1_000, &*entry.text))
            .collect()
    }

    /// Ends, and begins again from the journal and what fired, as the daemon does.
    fn restart_with_alerts(&mut self) {
        let alerts = self.engine.firing_alerts(None, usize::MAX);
        self.restart();
        let recalled = Recalled {
            alerts,
            ..Recalled::default()
        };
        self.step(Input::Recalled(Box::new(recalled)));
    }

    fn step(&mut self, input: Input) {
        let at = self.now;
        let mut effects = Vec::new();
        let stamped = Stamped { seq: 1, at, input };
        self.engine.step(&stamped, &mut effects);
        let records = effects.into_iter().filter_map(|effect| match effect {
            Effect::Record(record) => Some(Dated { at, record }),
            _ => None,
        });
        self.journal.extend(records);
    }

    pub(super) fn decide(&mut self, what: Command) {
        let by = Actor {
            name: "mia".to_owned(),
            role: crate::model::Role::Responder,
        };
        self.step(Input::Command { by, what });
    }

    fn alert(&mut self) {
        self.alerts(&["cart"]);
    }

    pub(super) fn alerts(&mut self, services: &[&str]) {
        let alert = |service: &&str| {
            let pairs = [
                ("alertname", "Down"),
                ("service", *service),
                ("severity", "critical"),
            ];
            let labels = Labels::from_pairs(pairs).unwrap();
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: START,
                ends_at: self.now.plus_ms(3_600_000),
                generator_url: None,
            }))
        };
        let signals = services.iter().map(alert).collect();
        let source = SourceId::new("alerts");
        self.step(Input::Signals(Batch { source, signals }));
    }

    /// A scrape of the cart, and whether it answered.
    fn up(&mut self, value: f64) {
        let labels = Labels::from_pairs([("job", "cart"), ("instance", "cart-1:80")]).unwrap();
        let series = Arc::new(Series::new("up", labels, SeriesKind::Gauge, Unit::None));
        let at = self.now;
        let signals = vec![Signal::Sample(Sample { series, at, value })];
        let source = SourceId::new("scrape shop");
        self.step(Input::Signals(Batch { source, signals }));
    }

    pub(super) fn ticks(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.now = self.now.plus_ms(1_000);
            self.step(Input::Tick);
        }
    }

    fn only(&self) -> &Incident {
        let mut rows = self.engine.incident_rows();
        let row = rows.next().expect("it was opened");
        assert!(rows.next().is_none(), "it is the only one");
        self.engine.incident(row.id).expect("it has a row")
    }

    fn says(&self, text: &str) -> usize {
        let timeline = self.only().timeline.iter();
        timeline.filter(|entry| entry.text.contains(text)).count()
    }
}

#[test]
fn a_restart_is_no_recovery() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(10);
    assert_eq!(life.only().phase, Phase::Open);
    life.restart();
    life.ticks(UNHEARD_MS / 1_000 - 1);
    assert_eq!(life.only().phase, Phase::Open, "nobody said it is over");
    // Its sender speaks in time: it is the same alert, counted and told once.
    life.alert();
    life.ticks(UNHEARD_MS / 1_000);
    assert_eq!(life.only().phase, Phase::Open);
    assert_eq!(life.only().impact.alerts_total, 1);
    assert_eq!(life.says("fires"), 1);
    // Another restart, and nobody speaks: it ends, and says why.
    life.restart();
    life.ticks(UNHEARD_MS / 1_000 + 60);
    assert_eq!(life.only().phase, Phase::Mitigated);
    assert_eq!(life.says("nothing was heard of it since the restart"), 1);
    assert_eq!(life.says("back to normal"), 0);
}

/// Findings alone, and nobody speaks after a kill: the engine is blind, and knows of no recovery.
#[test]
fn time_in_which_nobody_could_be_heard_is_no_quiet_time() {
    let mut life = Life::begin();
    let ups = |life: &mut Life, up: f64, seconds: i64| {
        for second in 0..seconds {
            if second % 15 == 0 {
                life.up(up);
            }
            life.ticks(1);
        }
    };
    ups(&mut life, 1.0, 120);
    ups(&mut life, 0.0, 120);
    assert_eq!(life.only().phase, Phase::Open);
    assert!(life.only().alerts.is_empty(), "of findings alone");
    life.restart();
    life.ticks(1_800);
    assert_eq!(life.only().phase, Phase::Open, "nobody could say");
    ups(&mut life, 1.0, UNHEARD_MS / 1_000 - 60);
    assert_eq!(life.only().phase, Phase::Open, "senders have their time");
    ups(&mut life, 1.0, 120);
    assert_eq!(life.only().phase, Phase::Mitigated);
    // Neither the time in which no daemon ran, nor that until senders speak again, is quiet.
    life.now = life.now.plus_ms(3_600_000);
    life.restart();
    life.ticks(1_800);
    assert_eq!(life.only().phase, Phase::Mitigated);
    ups(&mut life, 1.0, 200);
    assert_eq!(life.only().phase, Phase::Mitigated);
    // Nor is that in which its machine slept.
    life.now = life.now.plus_ms(3_600_000);
    ups(&mut life, 1.0, 60);
    assert_eq!(life.only().phase, Phase::Mitigated);
    ups(&mut life, 1.0, 120);
    assert_eq!(life.only().phase, Phase::Resolved);
}

/// Of what is never heard again it is not known for good.
#[test]
fn who_is_never_heard_again_is_waited_for_for_hours_at_most() {
    let mut life = Life::begin();
    for up in [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] {
        life.up(up);
        life.ticks(15);
    }
    assert_eq!(life.only().phase, Phase::Open);
    life.restart();
    life.ticks(6 * 3_600);
    assert_eq!(life.only().phase, Phase::Open);
    life.ticks(900);
    assert_eq!(life.only().phase, Phase::Resolved);
    assert_eq!(life.says("nothing was heard of it since the restart"), 1);
}

fn change(life: &mut Life, title: &str, after_s: i64) -> Change {
    let change = Change {
        id: title.into(),
        at: START.plus_ms(after_s * 1_000),
        kind: ChangeKind::Deploy,
        entity: EntityId::parse("service/cart"),
        title: title.into(),
        version: None,
        previous_version: None,
        by: None,
        labels: Labels::empty(),
    };
    let signals = vec![Signal::Change(Box::new(change.clone()))];
    let source = SourceId::new("changes");
    life.step(Input::Signals(Batch { source, signals }));
    change
}

#[test]
fn changes_are_told_at_once_and_once_and_the_right_one_is_blamed() {
    let mut life = Life::begin();
    let before = change(&mut life, "cart v9", -2);
    life.alert();
    life.ticks(20);
    // Another one, during the outage.
    let after = change(&mut life, "cart v10", 15);
    let told = |life: &Life| [life.says("cart v9"), life.says("cart v10")];
    assert_eq!(told(&life), [1, 1]);
    life.ticks(90);
    let blamed = |life: &Life| {
        let hypotheses = life.only().diagnosis.hypotheses.iter();
        let causes = hypotheses.filter_map(|hypothesis| match &hypothesis.cause {
            SuspectKind::Change { title, .. } => Some(title.to_string()),
            _ => None,
        });
        causes.collect::<Vec<_>>()
    };
    assert_eq!(blamed(&life), ["cart v9"]);
    life.restart();
    let recalled = Recalled {
        changes: vec![before, after],
        ..Recalled::default()
    };
    life.step(Input::Recalled(Box::new(recalled)));
    life.alert();
    life.ticks(30);
    assert_eq!(told(&life), [1, 1], "{:#?}", life.only().timeline);
    assert_eq!(blamed(&life), ["cart v9"]);
}

#[test]
fn the_first_change_ends_that_none_are_told() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(30);
    let blind = |life: &Life| {
        let mut not_seen = life.only().diagnosis.not_seen.iter();
        not_seen.any(|line| line.starts_with("no feed of changes"))
    };
    assert!(blind(&life));
    change(&mut life, "cart v9", 25);
    life.ticks(60);
    assert!(!blind(&life));
}

#[test]
fn notes_do_not_write_the_incident_again_and_are_kept_all_the_same() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(120);
    let incident = life.only().id;
    let recorded = |life: &Life| {
        let journal = life.journal.iter();
        journal
            .filter(|dated| matches!(dated.record, Record::Incident { .. }))
            .count()
    };
    let before = recorded(&life);
    let note = |life: &mut Life, n: usize| {
        let text = format!("note {n}.");
        life.decide(Command::Note { incident, text });
    };
    (0..50).for_each(|n| note(&mut life, n));
    assert_eq!(recorded(&life), before);
    life.ticks(60);
    assert_eq!(recorded(&life), before + 1, "once for all of them");
    note(&mut life, 50);
    life.restart();
    let told: Vec<usize> = (0..51).map(|n| life.says(&format!("note {n}."))).collect();
    assert_eq!(told, [1; 51]);
}

#[test]
fn taking_what_is_yours_already_changes_nothing_also_over_a_kill() {
    let person = |name: &str| Actor {
        name: name.to_owned(),
        role: crate::model::Role::Responder,
    };
    let mut life = Life::begin();
    life.alert();
    life.ticks(10);
    let incident = life.only().id;
    let ack = Command::Acknowledge { incident };
    let answer = |life: &mut Life, name: &str| {
        let by = person(name);
        let already = life.engine.done_already(&by, &ack);
        let what = ack.clone();
        life.step(Input::Command { by, what });
        let decided = life.journal.iter().rev().find_map(|dated| {
            let Record::Decision { refused, .. } = &dated.record else {
                return None;
            };
            Some(refused.as_ref().map(ToString::to_string))
        });
        (decided.expect("it is recorded"), already)
    };
    let yours = "#1 is yours already: mia has it since 12:00 UTC".to_owned();
    let theirs =
        "incident #1 is acknowledged: mia has it since 12:00 UTC; assign it to ole to take it over";
    assert_eq!(answer(&mut life, "mia"), (None, None));
    let taken = life.only().clone();
    life.ticks(60);
    assert_eq!(answer(&mut life, "mia"), (None, Some(yours.clone())));
    assert_eq!(answer(&mut life, "ole"), (Some(theirs.to_owned()), None));
    life.restart();
    assert_eq!(answer(&mut life, "mia"), (None, Some(yours)));
    assert_eq!(life.told(&["taken"]), [(10, "taken by mia")]);
    assert_eq!(life.only().owned_since, taken.owned_since);
    // Over, it can be reopened; it is not taken.
    life.decide(Command::Resolve { incident });
    let over = "incident #1 is resolved: it is over; reopen it if it is not";
    assert_eq!(answer(&mut life, "mia"), (Some(over.to_owned()), None));
}

#[test]
fn what_people_did_keeps_its_time_over_a_kill() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(30);
    let incident = life.only().id;
    let text = "I look".to_owned();
    life.decide(Command::Note { incident, text });
    life.ticks(5);
    // Decided, and killed before the incident was recorded as it became.
    let decision = |what| Dated {
        at: START.plus_ms(37_000),
        record: Record::Decision {
            by: Actor {
                name: "ole".to_owned(),
                role: crate::model::Role::Responder,
            },
            what,
            refused: None,
        },
    };
    let to = "ann".to_owned();
    life.journal.extend([
        decision(Command::Acknowledge { incident }),
        decision(Command::Assign { incident, to }),
    ]);
    for _ in 0..2 {
        life.restart();
        let people = life.told(&["mia", "ole", "taken"]);
        let expected = [
            (30, "mia: I look"),
            (37, "taken by ole"),
            (37, "ole assigned it to ann"),
        ];
        assert_eq!(people, expected);
        assert_eq!(life.only().owner.as_deref(), Some("ann"));
        assert_eq!(life.only().phase, Phase::Acknowledged);
        life.ticks(20);
    }
    // A recording of an earlier version does not say when: then as before.
    let mut life = Life::begin();
    life.alert();
    life.ticks(1);
    let text = "when?".to_owned();
    life.decide(Command::Note { incident, text });
    life.journal.last_mut().expect("the decision").at = Time::ZERO;
    life.restart();
    assert_eq!(life.told(&["mia"]), [(0, "mia: when?")]);
}

#[test]
fn every_restart_is_told_and_many_are_bounded() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(10);
    let restarts = |life: &Life| -> Vec<i64> {
        let told = life.told(&["restarted"]);
        told.into_iter().map(|(at, _)| at).collect()
    };
    // Killed before the incident was recorded again, and after.
    life.restart();
    life.ticks(2);
    life.restart();
    life.ticks(20);
    life.restart();
    life.ticks(1);
    // One that no record followed is told from the start's own.
    assert_eq!(restarts(&life), [70, 132, 213]);
    assert_eq!(life.only().timeline_dropped, 0);
    for _ in 0..30 {
        life.restart();
        life.step(Input::Tick);
    }
    let told = restarts(&life);
    assert_eq!(told.len(), 20);
    assert_eq!((told[0], told[19]), (70, 213 + 30 * 60));
    assert_eq!(life.only().timeline_dropped, 13);
    // One that was over is not waited for.
    life.decide(Command::Resolve {
        incident: life.only().id,
    });
    life.restart();
    life.ticks(1);
    assert_eq!(restarts(&life), told);
}

#[test]
fn an_incident_opens_after_what_opened_it() {
    let mut life = Life::begin();
    life.alert();
    let order = |life: &Life| -> Vec<String> {
        let timeline = life.only().timeline.iter();
        timeline.map(|entry| entry.text.to_string()).collect()
    };
    assert_eq!(order(&life), ["Down fires", "incident opened"]);
    // A sender whose clock is ahead by a second.
    let mut life = Life::begin();
    life.now = START.plus_ms(-1_000);
    life.alert();
    assert_eq!(order(&life), ["Down fires", "incident opened"]);
}

#[test]
fn who_does_what_outlives_a_restart_and_what_cannot_be_is_refused() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(10);
    let incident = life.only().id;
    let arrange = |life: &mut Life, act: Coordinate| {
        life.decide(Command::Coordinate { incident, act });
    };
    let (duty, who) = (Duty::Scribe, Some("ole".to_owned()));
    arrange(&mut life, Coordinate::Duty { duty, who });
    arrange(&mut life, Coordinate::task("call the vendor @mia in 15m"));
    let (task, done) = (9, true);
    arrange(&mut life, Coordinate::Done { task, done });
    let refused = life.journal.iter().filter(|dated| {
        matches!(&dated.record, Record::Decision { refused: Some(Refusal::State { why, .. }), .. }
            if why == "there is no task 9")
    });
    assert_eq!(refused.count(), 1);
    let before = life.only().coordination.clone();
    assert_eq!(before.duties[&duty], "ole");
    assert_eq!(before.tasks.len(), 1);
    for _ in 0..2 {
        life.restart();
        let after = &life.only().coordination;
        assert_eq!((&after.duties, after.tasks.len()), (&before.duties, 1));
        assert_eq!(life.says("task 1 for mia: call the vendor"), 1);
        life.ticks(120);
    }
}

#[test]
fn an_alert_that_fires_still_fires_after_a_restart() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(10);
    let told = |life: &Life| -> Vec<_> {
        let mut rows = life.engine.firing_alerts(None, usize::MAX);
        for held in &mut rows {
            held.alert.ends_at = Time::ZERO;
        }
        rows
    };
    let before = told(&life);
    for _ in 0..2 {
        life.restart_with_alerts();
        // Nobody speaks: its sender repeats it every hour.
        life.ticks(UNHEARD_MS / 1_000 + 120);
        assert_eq!(life.only().phase, Phase::Open);
        assert_eq!(life.only().impact.alerts_firing, 1);
        assert_eq!(life.only().impact.alerts_total, 1);
        assert_eq!(life.says("fires"), 1);
        assert_eq!(told(&life), before, "when it came is not forgotten");
    }
    assert_eq!(life.engine.corrections().count(), 0);
    // Its end comes as it was told, an hour after it was sent.
    life.ticks(3_600);
    assert_eq!(life.only().phase, Phase::Resolved);
    assert_eq!(life.says("nothing was heard of it since the restart"), 0);
    // What ended while nobody listened waits for its sender instead.
    life.restart_with_alerts();
    assert_eq!(life.engine.alerts_held(), 0);
}

#[test]
fn the_alerts_of_one_incident_are_one_incident_after_a_restart() {
    let mut life = Life::begin();
    life.alerts(&["cart", "pay"]);
    life.ticks(10);
    life.alerts(&["mail"]);
    life.ticks(60);
    assert_eq!(life.only().impact.alerts_firing, 3);
    for _ in 0..2 {
        life.restart_with_alerts();
        life.ticks(UNHEARD_MS / 1_000 + 120);
        assert_eq!(life.only().impact.alerts_firing, 3);
        assert_eq!(life.only().phase, Phase::Open);
    }
}

#[test]
fn what_was_merged_stays_merged() {
    let opened = |id: u64, entity: &str| {
        let at = START.plus_ms(id as i64);
        Incident::opened(IncidentId(id), EntityId::parse(entity), at, at)
    };
    let merged = Incident {
        phase: Phase::Resolved,
        merged_into: Some(IncidentId(1)),
        ..opened(2, "shop")
    };
    let journal = [opened(1, "cart"), merged].map(|incident| Dated {
        at: START,
        record: Record::Incident {
            incident: Box::new(incident),
        },
    });
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    engine.restore(&journal);
    let rows: Vec<_> = engine.incident_rows().map(|row| row.id.0).collect();
    assert_eq!(rows, [1]);
    assert_eq!(engine.correlator.home(IncidentId(2)), IncidentId(1));
}

#[test]
fn a_clock_set_back_is_followed_once_also_over_a_kill() {
    let mut life = Life::begin();
    life.alert();
    life.ticks(30);
    let incident = life.only().id;
    let text = "in the future".to_owned();
    life.decide(Command::Note { incident, text });
    life.ticks(20);
    // It was two hours ahead.
    life.now = START.plus_ms(-7_200_000);
    life.step(Input::Tick);
    let text = "now".to_owned();
    life.decide(Command::Note { incident, text });
    let told = life.told(&["Down", "incident", "mia"]);
    let expected = [
        "Down fires",
        "incident opened",
        "mia: in the future",
        "mia: now",
    ];
    assert_eq!(told, expected.map(|text| (-7_200, text)));
    life.ticks(20);
    let set_back = |life: &Life| {
        let journal = life.journal.iter();
        journal
            .filter(|dated| matches!(dated.record, Record::ClockSetBack { .. }))
            .count()
    };
    assert_eq!(set_back(&life), 1);
    for _ in 0..2 {
        life.restart();
        life.ticks(20);
        assert_eq!(set_back(&life), 1, "it is right since");
    }
}

/// Only a person confirms a change, and that is kept.
#[test]
fn a_change_is_suspected_by_the_engine_and_confirmed_by_a_person() {
    let mut life = Life::begin();
    change(&mut life, "cart v9", -2);
    change(&mut life, "cart v8", -3_000);
    life.alert();
    life.ticks(60);
    let states = |life: &Life| {
        let changes = life.only().changes.iter();
        let state = |change: &crate::model::ChangeOf| (change.title.to_string(), change.state);
        changes.map(state).collect::<Vec<_>>()
    };
    let expected = |state| {
        let (old, new) = ("cart v8".to_owned(), "cart v9".to_owned());
        [(old, ChangeState::None), (new, state)]
    };
    assert_eq!(states(&life), expected(ChangeState::Suspect));
    let incident = life.only().id;
    let confirm = |change: &str| Command::NameCause {
        incident,
        cause: Some(EntityId::parse("cart")),
        change: Some(change.into()),
    };
    life.decide(confirm("cart v7"));
    assert_eq!(life.says("the cause was"), 0, "no such change is known");
    life.decide(confirm("cart v9"));
    let confirmed = "mia: the cause was service/cart, by deploy: cart v9";
    for _ in 0..2 {
        assert_eq!(states(&life), expected(ChangeState::Confirmed));
        assert_eq!(life.says(confirmed), 1, "{:#?}", life.only().timeline);
        life.ticks(60);
        life.restart();
        life.alert();
        life.ticks(30);
    }
    // Killed before the incident was recorded as it became.
    life.decide(Command::NameCause {
        incident,
        cause: None,
        change: None,
    });
    life.ticks(60);
    life.decide(confirm("cart v9"));
    life.restart();
    assert_eq!(states(&life), expected(ChangeState::Confirmed));
    let cause = life.only().cause.as_ref().expect("it was confirmed");
    assert_eq!(
        (cause.by.as_str(), cause.change.as_deref()),
        ("mia", Some("cart v9"))
    );
}
