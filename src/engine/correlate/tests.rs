//! The correlator on small towns: findings in, incidents and their reasons out.

mod causes;
mod life;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::config::RuleConfig;
use crate::engine::alerts::Times;
use crate::engine::findings::{Key, Observation};
use crate::engine::recovery;
use crate::model::{
    Alert, Band, Change, ChangeKind, Check, Direction, EntityId, Explanation, Incident, Labels,
    MetricRole, Provenance, Unit,
};

/// Noon of some day.
const NOON: Time = Time::from_secs(1_768_392_000);

/// A town of services, with what correlation reads and writes.
pub struct Town {
    now: Time,
    entities: Entities,
    topology: Topology,
    findings: Findings,
    alerts: Alerts,
    holds: Holds,
    changes: Changes,
    intake: Intake,
    traces: Traces,
    settling: BTreeSet<IncidentId>,
    correlator: Correlator,
}

impl Town {
    /// Services that depend on each other, all of which measure themselves.
    fn new(calls: &[(&str, &str)]) -> Self {
        let mut town = Self {
            now: NOON,
            entities: Entities::default(),
            topology: Topology::default(),
            findings: Findings::default(),
            alerts: Alerts::default(),
            holds: Holds::default(),
            changes: Changes::default(),
            intake: Intake::default(),
            traces: Traces::default(),
            settling: BTreeSet::new(),
            correlator: Correlator::default(),
        };
        for (from, to) in calls {
            let (from, to) = (town.place(from), town.place(to));
            town.topology.see(from, to, Provenance::Declared, NOON);
        }
        town
    }

    fn place(&mut self, name: &str) -> EntityIx {
        let ix = self.entities.intern(&EntityId::parse(name));
        if !self.entities.has_series(ix) {
            self.entities.add_series(ix, &Labels::empty());
        }
        ix
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Correlator, &mut World<'_>) -> R) -> R {
        let mut world = World {
            now: self.now,
            entities: &mut self.entities,
            topology: &self.topology,
            findings: &mut self.findings,
            alerts: &mut self.alerts,
            holds: &self.holds,
            changes: &self.changes,
            intake: &self.intake,
            traces: &self.traces,
            settling: &self.settling,
            resolve_after_ms: 300_000,
        };
        act(&mut self.correlator, &mut world)
    }

    /// Something is odd on a service since `since_s` after noon.
    fn odd(&mut self, name: &str, role: MetricRole, pages: bool, since_s: i64) {
        let entity = self.place(name);
        let (check, direction) = match role {
            MetricRole::Availability => (Check::Absence, Direction::Down),
            _ => (Check::LevelShift, Direction::Up),
        };
        let ids = &self.entities;
        self.findings.note(
            Observation {
                key: Key::Edge(entity, EntityIx(role as u32), check),
                entity,
                callee: None,
                sick: entity,
                check,
                series: None,
                subject: "p99".into(),
                role,
                unit: Unit::Seconds,
                since: NOON.plus_ms(since_s * 1_000),
                at: self.now,
                expected: Band {
                    low: 0.0,
                    high: 1.0,
                },
                seen: 9.0,
                direction,
                score: 8.0,
                pages,
                text: format!("{name} is odd"),
                explain: Explanation::default(),
            },
            |ix| ids.id(ix).clone(),
        );
        self.look();
    }

    /// What was odd on a service is over.
    fn well(&mut self, name: &str, role: MetricRole) {
        let entity = self.place(name);
        let check = match role {
            MetricRole::Availability => Check::Absence,
            _ => Check::LevelShift,
        };
        let key = Key::Edge(entity, EntityIx(role as u32), check);
        self.findings.end(key, self.now);
        self.look();
    }

    /// An alert fires on a service.
    fn alert(&mut self, name: &str) {
        self.alert_since(name, self.now);
    }

    /// An alert fires on a service, for some time already.
    fn alert_since(&mut self, name: &str, starts_at: Time) {
        self.alert_told(name, "", starts_at, self.now.plus_ms(3_600_000));
    }

    /// An alert on a service is told, with a text unless that is empty.
    fn alert_told(&mut self, name: &str, text: &str, starts_at: Time, ends_at: Time) {
        let entity = self.place(name);
        let labels = [
            ("alertname", name),
            ("service", name),
            ("severity", "error"),
        ];
        let labels = Labels::from_pairs(labels).expect("three labels");
        let alert = Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::from_pairs(Some(("summary", text)).filter(|_| !text.is_empty()))
                .expect("one annotation"),
            starts_at,
            ends_at,
            generator_url: None,
        };
        let (times, _) = Times::of(&alert, self.now, 300_000);
        let change = self.alerts.take(&alert, times, entity, self.now, 100);
        self.with(|correlator, world| correlator.on_alert(change, world));
        self.look();
    }

    fn look(&mut self) {
        for id in self.findings.take_changed() {
            self.with(|correlator, world| correlator.on_finding(id, world));
        }
        self.with(Correlator::settle);
    }

    /// Lets time pass to `at_s` after noon, a second at a time.
    fn until(&mut self, at_s: i64) {
        while self.now < NOON.plus_ms(at_s * 1_000) {
            self.now = self.now.plus_ms(1_000);
            self.with(Correlator::settle);
            self.with(Correlator::tick);
        }
    }

    fn deploy(&mut self, name: &str, at_s: i64) {
        let entity = self.place(name);
        let change = Change {
            id: format!("{name}-1").into(),
            at: NOON.plus_ms(at_s * 1_000),
            kind: ChangeKind::Deploy,
            entity: EntityId::parse(name),
            title: format!("{name} v2").into(),
            version: None,
            previous_version: None,
            by: None,
            labels: Labels::empty(),
        };
        self.changes.take(entity, &change);
    }

    /// Open incidents: number, root, members in order of name.
    fn incidents(&self) -> Vec<(u64, &str, Vec<&str>)> {
        let name = |ix: EntityIx| self.entities.id(ix).name();
        self.correlator
            .book
            .iter()
            .filter(|(_, held)| held.is_open())
            .map(|(id, held)| {
                let mut members: Vec<&str> = held.members.iter().map(|ix| name(*ix)).collect();
                members.sort_unstable();
                (id.0, name(held.root), members)
            })
            .collect()
    }

    fn reasons(&self, id: u64) -> Vec<String> {
        let held = self.correlator.book.get(IncidentId(id));
        let reasons = held.map(|held| held.incident.grouping.clone());
        reasons.into_iter().flatten().map(String::from).collect()
    }
}

use MetricRole::{Availability, Errors, Latency};

#[test]
fn a_cause_seen_last_joins_two_young_incidents() {
    // Two callers of one store open an incident each; the store is seen a minute later.
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("a", Latency, true, 0);
    town.odd("b", Latency, true, 20);
    town.until(40);
    assert_eq!(
        town.incidents(),
        [(1, "a", vec!["a"]), (2, "b", vec!["b"])],
        "nothing explains them yet"
    );
    town.odd("store", Latency, true, 5);
    town.until(60);
    assert_eq!(town.incidents(), [(1, "store", vec!["a", "b", "store"])]);
    let home = town.correlator.home(IncidentId(2));
    assert_eq!(home, IncidentId(1), "plans of the merged one find it");
}

#[test]
fn an_alert_is_told_in_its_latest_words() {
    let mut town = Town::new(&[]);
    let later = NOON.plus_ms(3_600_000);
    let told = |town: &Town| {
        let held = town.correlator.book.get(IncidentId(1)).expect("it opened");
        let alerts = held.incident.timeline.iter();
        let alerts = alerts.filter(|entry| entry.lane == Lane::Alert);
        let lines: Vec<String> = alerts.map(|entry| entry.text.to_string()).collect();
        (held.incident.title.to_string(), lines)
    };
    let sum_up = |town: &mut Town| {
        for id in town.correlator.book.unsummed(town.now, true) {
            town.with(|correlator, world| correlator.sum_up(id, world));
        }
    };
    town.alert_told("cart", "12 % fail", NOON, later);
    town.until(10);
    sum_up(&mut town);
    let first = "cart fires: 12 % fail".to_owned();
    assert_eq!(told(&town).1, std::slice::from_ref(&first));
    town.alert_told("cart", "40 % fail", NOON, later);
    sum_up(&mut town);
    let title = "cart: 40 % fail".to_owned();
    assert_eq!(told(&town), (title, vec![first.clone()]), "no event");
    town.until(20);
    town.alert_told("cart", "40 % fail", NOON, town.now);
    town.until(30);
    town.alert_told("cart", "all fail", town.now, later);
    sum_up(&mut town);
    let lines = [first.as_str(), "cart resolved", "cart fires: all fail"].map(str::to_owned);
    let title = "cart: all fail".to_owned();
    assert_eq!(told(&town), (title, lines.to_vec()));
}

#[test]
fn what_is_kept_of_a_merged_incident_claims_nothing_of_the_present() {
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("a", Latency, true, 0);
    town.odd("b", Latency, true, 20);
    town.until(40);
    town.odd("store", Latency, true, 5);
    town.until(60);
    let kept = town.correlator.book.take_farewells();
    let [merged] = &kept[..] else {
        panic!("one was merged: {kept:?}");
    };
    assert_eq!(merged.merged_into, Some(IncidentId(1)));
    let impact = merged.impact;
    assert_eq!((impact.findings_open, impact.findings_total), (0, 1));
    assert_eq!((impact.alerts_firing, &merged.plans), (0, &Vec::new()));
}

#[test]
fn what_hurts_only_a_little_explains_once_it_belongs() {
    // The store suffers without paging; that hurts its callers only when it is part of an incident.
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("store", Latency, false, 0);
    let store = town.place("store");
    let hurts = |town: &Town| {
        let conditions = town.correlator.conditions();
        conditions.hurts(store, &town.entities).is_some()
    };
    assert!(!hurts(&town));
    assert_eq!(town.incidents(), []);
    town.odd("store", Errors, true, 2);
    town.until(20);
    town.well("store", Errors);
    assert!(hurts(&town), "it belongs to an incident and still suffers");
    town.odd("a", Latency, true, 10);
    town.until(30);
    assert_eq!(town.incidents(), [(1, "store", vec!["a", "store"])]);
    assert_eq!(
        town.reasons(1),
        [
            "opened by store at 12:00",
            "a depends on store, sick since 12:00"
        ]
    );
}

#[test]
fn two_things_that_are_gone_become_two_incidents() {
    // node-2 goes a minute after node-1, and one service calls into both.
    let mut town = Town::new(&[
        ("web", "x"),
        ("web", "y"),
        ("x", "host/node-1"),
        ("x2", "host/node-1"),
        ("y", "host/node-2"),
    ]);
    town.odd("x", Errors, true, 2);
    town.odd("x2", Errors, true, 2);
    town.odd("web", Errors, true, 3);
    town.odd("host/node-1", Availability, true, 0);
    town.until(60);
    town.odd("y", Errors, true, 61);
    town.odd("host/node-2", Availability, true, 60);
    town.until(140);
    assert_eq!(
        town.incidents(),
        [
            (1, "node-1", vec!["node-1", "web", "x", "x2"]),
            (2, "node-2", vec!["node-2", "y"]),
        ]
    );
}

#[test]
fn a_second_cause_splits_an_incident_and_is_told() {
    // pay is hurt by the lost node like everybody; then a deploy breaks it as well.
    let mut town = Town::new(&[
        ("web", "shop"),
        ("web", "pay"),
        ("shop", "host/node-1"),
        ("pay", "host/node-1"),
        ("bills", "pay"),
    ]);
    town.odd("shop", Errors, true, 2);
    town.odd("pay", Latency, true, 2);
    town.odd("web", Errors, true, 3);
    town.odd("host/node-1", Availability, true, 0);
    town.until(30);
    assert_eq!(
        town.incidents(),
        [(1, "node-1", vec!["node-1", "pay", "shop", "web"])]
    );
    town.deploy("pay", 55);
    town.until(60);
    town.odd("pay", Errors, true, 57);
    town.odd("bills", Errors, true, 58);
    town.until(90);
    assert_eq!(
        town.incidents(),
        [
            (1, "node-1", vec!["node-1", "shop", "web"]),
            (2, "pay", vec!["bills", "pay"]),
        ]
    );
    let why = "pay was changed (pay v2) 2 s before p99 was odd";
    assert_eq!(town.reasons(2), [why, "bills fits pay better"]);
    assert!(
        town.reasons(1)
            .last()
            .is_some_and(|told| told.ends_with(&format!("belong to #2 now: {why}"))),
        "{:?}",
        town.reasons(1)
    );
    // Each counts its own.
    let of = |id| {
        let held = town.correlator.book.get(IncidentId(id));
        let impact = held.map(|held| held.incident.impact);
        impact.map(|i| (i.entities, i.findings_open, i.findings_total))
    };
    assert_eq!((of(1), of(2)), (Some((3, 3, 3)), Some((2, 3, 3))));
    let split = town.correlator.placed_by().last();
    assert_eq!(split, Some(("split off", 1)));
}

#[test]
fn what_a_plan_acts_upon_is_not_split() {
    let mut town = Town::new(&[("web", "host/node-1"), ("web", "host/node-2")]);
    town.odd("web", Errors, true, 2);
    town.odd("host/node-1", Availability, true, 0);
    town.until(20);
    assert_eq!(town.incidents(), [(1, "node-1", vec!["node-1", "web"])]);
    town.settling.insert(IncidentId(1));
    town.deploy("web", 25);
    town.odd("web", Latency, true, 26);
    town.until(60);
    assert_eq!(town.incidents().len(), 1);
    town.settling.clear();
    town.until(70);
    assert_eq!(
        town.incidents(),
        [(1, "node-1", vec!["node-1"]), (2, "web", vec!["web"])]
    );
}

#[test]
fn a_persons_word_stands_and_can_be_taken_back() {
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("a", Latency, true, 0);
    town.odd("b", Latency, true, 20);
    town.until(40);
    let (one, two) = (IncidentId(1), IncidentId(2));
    assert!(town.correlator.may_merge(one, one).is_err());
    assert!(town.correlator.may_merge(one, IncidentId(9)).is_err());
    assert_eq!(town.correlator.may_merge(two, one), Ok(()));
    town.with(|correlator, world| correlator.merge_by_hand(two, one, "mia", world));
    town.until(60);
    assert_eq!(town.incidents(), [(1, "a", vec!["a", "b"])]);
    assert!(town.correlator.may_merge(two, one).is_err(), "it is gone");

    let (a, b) = (town.place("a"), town.place("b"));
    assert!(town.correlator.may_split(one, &[]).is_err());
    assert!(town.correlator.may_split(one, &[a, b]).is_err(), "all");
    let store = town.place("store");
    assert!(
        town.correlator.may_split(one, &[store]).is_err(),
        "no member"
    );
    assert_eq!(town.correlator.may_split(one, &[b]), Ok(()));
    town.with(|correlator, world| correlator.split_by_hand(one, &[b], "mia", world));
    assert_eq!(town.incidents(), [(1, "a", vec!["a"]), (3, "b", vec!["b"])]);
    assert_eq!(town.reasons(3), ["mia says that it is another story"]);
    // What explains both is seen now, and does not merge what a person told apart.
    town.odd("store", Latency, true, 5);
    town.until(120);
    assert_eq!(town.incidents().len(), 2, "{:?}", town.incidents());
}

#[test]
fn a_rule_makes_no_one_of_two_causes() {
    let mut town = Town::new(&[("web", "a"), ("shop", "b"), ("mail", "cart")]);
    town.correlator = Correlator::new(&[RuleConfig {
        name: "all errors".to_owned(),
        matchers: vec!["severity=error".to_owned()],
        ..RuleConfig::default()
    }]);
    town.deploy("a", 0);
    town.odd("a", Errors, true, 1);
    town.deploy("b", 5);
    town.odd("b", Errors, true, 6);
    town.odd("cart", Errors, true, 7);
    town.until(25);
    assert_eq!(town.incidents().len(), 3, "{:?}", town.incidents());
    for name in ["a", "b", "cart"] {
        town.alert(name);
    }
    town.until(40);
    assert_eq!(
        town.incidents(),
        [(1, "a", vec!["a", "cart"]), (2, "b", vec!["b"])]
    );
}

#[test]
fn what_was_odd_before_a_restart_is_odd_since_then() {
    let mut town = Town::new(&[]);
    let cart = town.place("cart");
    let (began, now) = (NOON.plus_ms(-60_000), NOON);
    let incident = Incident::opened(IncidentId(4), EntityId::parse("cart"), began, now);
    let onsets = BTreeMap::from([(cart, began)]);
    town.correlator
        .restore(incident, BTreeSet::from([cart]), onsets, cart);
    // Its detector notices anew, as if it had just begun.
    town.odd("cart", Latency, true, 0);
    town.until(20);
    assert_eq!(town.incidents(), [(4, "cart", vec!["cart"])]);
    let onset = town.correlator.conditions().get(cart).map(|c| c.onset);
    assert_eq!(onset, Some(began));
}

/// Nobody is waited for once the end of all that hurt before a restart was told.
#[test]
fn the_end_of_all_that_hurt_before_a_restart_is_heard() {
    let mut town = Town::new(&[]);
    let cart = town.place("cart");
    for (alerts, is_noisy) in [(vec![], false), (vec![Fingerprint(7)], true)] {
        let mut incident = Incident::opened(IncidentId(4), EntityId::parse("cart"), NOON, NOON);
        incident.alerts = alerts;
        town.correlator
            .restore(incident, BTreeSet::from([cart]), BTreeMap::new(), cart);
        let held = town
            .correlator
            .book
            .get_mut(IncidentId(4))
            .expect("it is back");
        assert!(held.is_noisy());
        held.hear_the_end(|_| false);
        assert_eq!(held.is_noisy(), is_noisy);
        held.hear_the_end(|_| true);
        assert!(!held.is_noisy());
    }
}

#[test]
fn a_stray_of_an_hour_ago_is_no_beginning() {
    // Something informed at noon and was not seen again; the fault comes 58 minutes later.
    let mut town = Town::new(&[("a", "store")]);
    town.odd("a", Latency, false, 0);
    town.until(58 * 60);
    town.odd("a", Errors, true, 58 * 60);
    town.until(59 * 60);
    let began = |town: &Town| {
        let held = town.correlator.book.get(IncidentId(1));
        held.map(|held| held.incident.began.since(NOON))
    };
    assert_eq!(began(&town), Some(58 * 60_000));
    // What informed shortly before belongs to the story.
    let mut town = Town::new(&[("a", "store")]);
    town.odd("a", Latency, false, 0);
    town.until(5 * 60);
    town.odd("a", Errors, true, 5 * 60);
    town.until(6 * 60);
    assert_eq!(began(&town), Some(0));
}

#[test]
fn a_vague_beginning_counts_until_a_better_one_is_known() {
    // (second, vague) of each signal, and the second at which the entity is said to have fallen sick.
    let cases: [(&[(i64, bool)], i64); 5] = [
        (&[(10, false), (5, false)], 5),
        (&[(10, false), (5, true)], 10),
        (&[(5, true), (10, false)], 10),
        (&[(5, true), (3, true)], 5),
        (&[(5, true), (10, false), (7, false), (1, true)], 7),
    ];
    let findings = Findings::default();
    for (signals, onset_s) in cases {
        let mut conditions = Conditions::default();
        for (i, (second, is_vague)) in signals.iter().enumerate() {
            let signal = Began {
                since: NOON.plus_ms(second * 1_000),
                until: NOON.plus_ms(60_000),
                pages: false,
                is_vague: *is_vague,
            };
            let condition = conditions.begin(EntityIx(0), signal, &findings, NOON);
            condition.findings.push(FindingId(1 + i as u64));
        }
        let onset = conditions.get(EntityIx(0)).map(|c| c.onset.since(NOON));
        assert_eq!(onset, Some(onset_s * 1_000), "{signals:?}");
    }
}

#[test]
fn a_trend_that_comes_to_matter_keeps_its_beginning() {
    let findings = Findings::default();
    let mut conditions = Conditions::default();
    let signal = |second: i64, until: i64, is_vague| Began {
        since: NOON.plus_ms(second * 1_000),
        until: NOON.plus_ms(until * 1_000),
        pages: false,
        is_vague,
    };
    let onset = |conditions: &Conditions| conditions.get(EntityIx(0)).map(|c| c.onset);
    let condition = conditions.begin(EntityIx(0), signal(5, 60, true), &findings, NOON);
    condition.findings.push(FindingId(1));
    // What was over long before is no better beginning.
    conditions.begin(EntityIx(0), signal(-9_000, -8_000, false), &findings, NOON);
    assert_eq!(onset(&conditions), Some(NOON.plus_ms(5_000)));
    // It pages now; what comes later is no beginning any more.
    conditions.retell(EntityIx(0), signal(5, 90, false));
    conditions.begin(EntityIx(0), signal(70, 90, false), &findings, NOON);
    assert_eq!(onset(&conditions), Some(NOON.plus_ms(5_000)));
}

#[test]
fn an_alert_of_yesterday_bounds_the_beginning() {
    let mut town = Town::new(&[("a", "store")]);
    town.alert_since("a", NOON.plus_ms(-86_400_000));
    town.alert_since("store", NOON.plus_ms(-60_000));
    town.until(20);
    let told = town.correlator.book.iter().map(|(_, held)| {
        let incident = &held.incident;
        (incident.began.since(NOON), incident.began_before)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [(-3_600_000, true), (-60_000, false)]
    );
}

#[test]
fn what_calms_down_keeps_its_name() {
    let mut town = Town::new(&[("gateway", "stock"), ("gateway", "pay")]);
    town.odd("stock", Errors, true, 0);
    town.odd("gateway", Errors, true, 1);
    town.odd("gateway", Latency, true, 1);
    town.until(20);
    let name = |town: &mut Town| {
        town.with(|correlator, world| correlator.sum_up(IncidentId(1), world));
        let held = town.correlator.book.get(IncidentId(1));
        held.map(|held| held.incident.entity.name().to_owned())
    };
    assert_eq!(name(&mut town).as_deref(), Some("gateway"));
    // The gateway is well again before the stock is.
    town.well("gateway", Errors);
    town.well("gateway", Latency);
    assert_eq!(name(&mut town).as_deref(), Some("gateway"));
    // It gets worse again than it ever was: then it is read anew.
    town.odd("stock", Latency, true, 21);
    town.odd("stock", Availability, true, 21);
    town.odd("stock", MetricRole::Saturation, true, 21);
    assert_eq!(name(&mut town).as_deref(), Some("stock"));
}

#[test]
fn a_title_reads_as_over_once_all_of_it_is_and_as_lasting_once_it_is_back() {
    let mut town = Town::new(&[("gateway", "pay")]);
    town.odd("pay", Errors, true, 0);
    town.odd("pay", Latency, true, 1);
    town.until(20);
    let title = |town: &mut Town| {
        town.with(|correlator, world| correlator.sum_up(IncidentId(1), world));
        let held = town.correlator.book.get(IncidentId(1)).expect("it is open");
        held.incident.title.to_string()
    };
    assert_eq!(
        title(&mut town),
        "pay: p99 reached 9.0 s, expected 0 ms–1.0 s"
    );
    // What the title tells of is the last to end.
    town.well("pay", Latency);
    town.until(25);
    town.well("pay", Errors);
    assert_eq!(
        title(&mut town),
        "pay: p99 had reached 9.0 s, expected 0 ms–1.0 s"
    );
    town.odd("pay", Errors, true, 26);
    assert_eq!(
        title(&mut town),
        "pay: p99 reached 9.0 s, expected 0 ms–1.0 s"
    );
}
