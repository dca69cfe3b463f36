//! Turns in the life of an incident, as its timeline tells them.

use super::*;
use crate::engine::correlate::Event;
use crate::model::{Bond, Learned, Regrouped};

impl Town {
    fn incident(&self, id: u64) -> &crate::model::Incident {
        let held = self.correlator.book.get(IncidentId(id));
        &held.expect("it is held").incident
    }

    /// What the timeline of an incident tells in words that begin so, and in which lane.
    fn told(&self, id: u64, begins: &str) -> Vec<(Lane, &str)> {
        let timeline = self.incident(id).timeline.iter();
        let told = timeline.filter(|entry| entry.text.starts_with(begins));
        told.map(|entry| (entry.lane, &*entry.text)).collect()
    }
}

#[test]
fn what_was_merged_is_told_by_the_other_in_its_own_words_alone() {
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("a", Latency, true, 0);
    town.odd("b", Latency, true, 20);
    town.until(40);
    let (one, two) = (IncidentId(1), IncidentId(2));
    town.with(|correlator, world| correlator.merge_by_hand(two, one, "mia", world));
    assert_eq!(town.told(1, "merged into"), []);
    assert_eq!(
        town.told(1, "mia merged"),
        [(Lane::Person, "mia merged #2 into it")]
    );
}

#[test]
fn what_only_informs_opens_nothing_that_is_over_again() {
    let mut town = Town::new(&[("a", "store")]);
    town.odd("a", Latency, true, 0);
    town.until(30);
    town.well("a", Latency);
    town.until(400);
    assert_eq!(town.incident(1).phase, Phase::Resolved);
    // It is told, and belongs to nothing that is open.
    town.odd("a", MetricRole::Other, false, 400);
    town.until(430);
    assert_eq!(town.incident(1).phase, Phase::Resolved);
    assert_eq!(town.incident(1).reopened, None);
    assert_eq!(town.incidents(), []);
    // With what pages it comes back as a whole.
    town.odd("a", Latency, true, 430);
    town.until(431);
    assert_eq!(town.incident(1).phase, Phase::Open);
    let open = town.incident(1).findings.iter().filter(|f| f.is_open());
    assert_eq!(open.count(), 2, "{:?}", town.incident(1).findings);
}

#[test]
fn who_opened_it_again_is_told_in_their_lane_and_when_is_kept() {
    let mut town = Town::new(&[("a", "store")]);
    town.odd("a", Latency, true, 0);
    town.until(30);
    town.well("a", Latency);
    town.until(400);
    let over = town.incident(1).resolved.expect("it was quiet for long");
    assert_eq!(town.incident(1).reopened, None);

    town.odd("a", Latency, true, 400);
    town.until(420);
    let again = town.incident(1).reopened.expect("it came back");
    assert!(again.over == over && again.at > over, "{again:?}");
    let [(lane, _)] = town.told(1, "incident open again")[..] else {
        panic!("{:?}", town.incident(1).timeline)
    };
    assert_eq!(lane, Lane::Anomaly, "its signals did it");

    let turn = |town: &mut Town, event, why: &str| {
        town.with(|correlator, world| correlator.turn(IncidentId(1), event, why, world))
    };
    assert!(turn(&mut town, Event::Resolve, "resolved by mia"));
    town.until(500);
    assert!(turn(
        &mut town,
        Event::Reopen { owned: false },
        "reopened by ole"
    ));
    assert_eq!(
        town.told(1, "reopened by"),
        [(Lane::Person, "reopened by ole")]
    );
    assert_eq!(
        town.incident(1).reopened.map(|again| again.at),
        Some(town.now)
    );
}

/// What a person merged is told as theirs, and as nobody's finding.
#[test]
fn a_persons_merge_claims_no_common_cause() {
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    town.odd("a", Latency, true, 0);
    town.odd("b", Latency, true, 20);
    town.until(40);
    let (one, two) = (IncidentId(1), IncidentId(2));
    town.with(|correlator, world| correlator.merge_by_hand(two, one, "mia", world));
    let incident = town.incident(1);
    let told = incident.timeline.iter().map(|entry| &*entry.text);
    let all: Vec<&str> = told
        .chain(incident.grouping.iter().map(|why| &**why))
        .collect();
    for claim in ["one cause", "turned out"] {
        let claims = all.iter().filter(|text| text.contains(claim));
        assert_eq!(claims.count(), 0, "{all:?}");
    }
    let b = town.place("b");
    town.with(|correlator, world| correlator.split_by_hand(one, &[b], "mia", world));
    assert_eq!(
        town.told(3, "split from"),
        [(
            Lane::Person,
            "split from #1: mia says that it is another story"
        )]
    );
}

impl Town {
    /// All is well on these for a while, and what there was is over.
    fn recover(&mut self, names: &[&str], until_s: i64) {
        for name in names {
            self.well(name, Latency);
        }
        self.until(until_s);
        assert_eq!(self.incidents(), []);
    }
}

#[test]
fn what_people_merged_comes_together_the_next_time() {
    let mut town = Town::new(&[("a", "store"), ("b", "store")]);
    let both = |town: &mut Town, at_s: i64| {
        town.odd("a", Latency, true, at_s);
        town.odd("b", Latency, true, at_s + 20);
        town.until(at_s + 40);
        let count = town.incidents().len();
        if count == 2 {
            town.recover(&["a", "b"], at_s + 1_500);
        }
        count
    };
    assert_eq!(both(&mut town, 0), 2, "nothing says that they are one");
    town.odd("a", Latency, true, 1_600);
    town.odd("b", Latency, true, 1_620);
    town.until(1_640);
    let open: Vec<IncidentId> = town
        .incidents()
        .iter()
        .map(|(id, ..)| IncidentId(*id))
        .collect();
    let [one, two] = open[..] else {
        panic!("{open:?}")
    };
    town.with(|correlator, world| correlator.merge_by_hand(two, one, "mia", world));
    town.recover(&["a", "b"], 3_200);

    assert_eq!(both(&mut town, 3_300), 1, "mia said that they are one");
    let (id, ..) = town.incidents()[0];
    let why = format!("b and a had one story in {one}, as mia said at");
    assert!(
        town.reasons(id)
            .iter()
            .any(|reason| reason.starts_with(&why)),
        "{:?}",
        town.reasons(id)
    );
    let learned: Vec<_> = town.correlator.bonds.all().collect();
    assert_eq!(learned.len(), 1, "{learned:?}");

    town.recover(&["a", "b"], 5_000);
    let (a, b) = (EntityId::parse("a"), EntityId::parse("b"));
    let now = town.now;
    assert!(town.correlator.bonds.forget(&b, &a, "mia", now));
    assert!(!town.correlator.bonds.forget(&b, &a, "mia", now), "once");
    assert_eq!(both(&mut town, 5_100), 2, "that was taken back");
}

#[test]
fn what_people_split_stays_apart_the_next_time() {
    let mut town = Town::new(&[("a", "b")]);
    let both = |town: &mut Town, at_s: i64| {
        town.odd("b", Latency, true, at_s);
        town.odd("a", Latency, true, at_s + 2);
        town.until(at_s + 40);
        town.incidents().len()
    };
    assert_eq!(both(&mut town, 0), 1, "one depends on the other");
    let a = town.place("a");
    town.with(|correlator, world| correlator.split_by_hand(IncidentId(1), &[a], "mia", world));
    assert_eq!(town.incidents().len(), 2);
    town.recover(&["a", "b"], 1_500);
    assert_eq!(both(&mut town, 1_600), 2, "mia said that they are two");
}

#[test]
fn a_bounded_number_of_pairs_is_remembered() {
    let mut bonds = crate::engine::correlate::Bonds::default();
    let place = |n: i64| EntityId::parse(&format!("s{n}"));
    for n in 0..1_010 {
        let said = Regrouped {
            at: NOON.plus_ms(n),
            by: "mia".to_owned(),
            other: IncidentId(2),
            bond: Bond::Together,
            ours: place(n),
            theirs: place(n + 5_000),
        };
        bonds.learn(IncidentId(1), &said);
    }
    let all: Vec<Learned> = bonds.all().collect();
    assert_eq!(all.len(), 1_000);
    assert!(!bonds.knows(&place(9), &place(5_009)), "the oldest left");
    assert!(bonds.knows(&place(10), &place(5_010)));
}

#[test]
fn a_name_changes_only_when_another_is_hurt_most_for_a_minute_and_is_told() {
    let mut town = Town::new(&[("web", "pay"), ("pay", "store"), ("cart", "store")]);
    town.odd("store", Errors, true, 0);
    town.odd("cart", Errors, true, 1);
    town.odd("web", Errors, true, 2);
    town.odd("pay", Errors, true, 3);
    let name = |town: &mut Town| {
        town.with(|correlator, world| correlator.sum_up(IncidentId(1), world));
        town.incident(1).entity.name().to_owned()
    };
    town.until(70);
    assert_eq!(
        name(&mut town),
        "web",
        "more of it is below web than below cart"
    );
    let told = "hurts most at ";
    // For a moment web and pay are well, while cart and what it needs are worse.
    town.well("web", Errors);
    town.well("pay", Errors);
    town.odd("cart", Latency, true, 70);
    town.odd("store", Latency, true, 70);
    assert_eq!(name(&mut town), "web");
    town.until(90);
    assert_eq!(name(&mut town), "web");
    town.odd("web", Errors, true, 90);
    town.odd("pay", Errors, true, 90);
    assert_eq!(name(&mut town), "web");
    assert_eq!(town.told(1, told), []);
    // Now it lasts.
    town.well("web", Errors);
    town.well("pay", Errors);
    town.odd("cart", MetricRole::Saturation, true, 90);
    town.odd("store", MetricRole::Saturation, true, 90);
    assert_eq!(name(&mut town), "web");
    town.until(151);
    assert_eq!(name(&mut town), "cart");
    let text = "hurts most at cart now, before at web";
    assert_eq!(town.told(1, told), [(Lane::Automation, text)]);
}
