//! What people merged and split, over restarts and kills.

use super::Dated;
use super::tests::Life;
use crate::model::{Bond, Command, EntityId, IncidentId, Record};

fn places(life: &Life) -> Vec<(u64, Vec<String>)> {
    let rows = life.engine.incident_rows();
    let open = rows.map(|row| {
        let members = row.members.iter().map(|member| member.name().to_owned());
        (row.id.0, members.collect())
    });
    open.collect()
}

fn bonds(life: &Life) -> Vec<(String, String, Bond)> {
    let learned = life.engine.feedback().bonds.into_iter();
    let name = |id: EntityId| id.name().to_owned();
    learned
        .map(|said| (name(said.one), name(said.other), said.bond))
        .collect()
}

/// Two services of which the alerts came to one incident, and a person who says that they are two.
fn split() -> Life {
    let mut life = Life::begin();
    life.alerts(&["cart", "pay"]);
    life.ticks(10);
    let all: Vec<String> = vec!["cart".to_owned(), "pay".to_owned()];
    assert_eq!(places(&life), [(1, all)]);
    life.decide(Command::Split {
        incident: IncidentId(1),
        entities: vec![EntityId::parse("pay")],
    });
    life
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_a_person_split_stays_split_over_a_restart() {
    let mut life = split();
    let two = [(1, names(&["cart"])), (2, names(&["pay"]))];
    let apart = [("cart".to_owned(), "pay".to_owned(), Bond::Apart)];
    assert_eq!(
        (&places(&life)[..], &bonds(&life)[..]),
        (&two[..], &apart[..])
    );
    for _ in 0..2 {
        life.restart();
        life.alerts(&["cart", "pay"]);
        life.ticks(60);
        assert_eq!(
            (&places(&life)[..], &bonds(&life)[..]),
            (&two[..], &apart[..])
        );
        let book = &life.engine.correlator.book;
        assert!(book.iter().all(|(_, held)| held.is_pinned));
        let (one, two) = (IncidentId(1), IncidentId(2));
        let entities = &life.engine.entities;
        assert!(life.engine.correlator.keeps_apart(one, two, entities));
    }
    // Merged again, it is one, and so it is the next time.
    life.decide(Command::Merge {
        incident: IncidentId(2),
        into: IncidentId(1),
    });
    let together = [("cart".to_owned(), "pay".to_owned(), Bond::Together)];
    life.restart();
    assert_eq!(places(&life), [(1, names(&["cart", "pay"]))]);
    assert_eq!(bonds(&life), together);
    // What it taught can be taken back, and stays so.
    let (one, other) = (EntityId::parse("pay"), EntityId::parse("cart"));
    let forget = Command::Forget { one, other };
    life.decide(forget.clone());
    assert_eq!(bonds(&life), []);
    life.restart();
    assert_eq!(bonds(&life), []);
    life.decide(forget);
    let refused = life
        .journal
        .iter()
        .rev()
        .find_map(|dated| match &dated.record {
            Record::Decision { refused, .. } => refused.clone(),
            _ => None,
        });
    let refused = refused.map(|refusal| refusal.to_string());
    assert!(refused.is_some_and(|why| why.contains("nobody merged or split")));
}

/// Killed after the decision was durable, wherever in the writing of what the incidents became of it.
#[test]
fn what_a_person_decided_holds_over_a_kill() {
    let merged = || {
        let mut life = split();
        life.decide(Command::Merge {
            incident: IncidentId(2),
            into: IncidentId(1),
        });
        life
    };
    let two = vec![(1, names(&["cart"])), (2, names(&["pay"]))];
    let one = vec![(1, names(&["cart", "pay"]))];
    let cases: [(&dyn Fn() -> Life, _); 2] = [(&split, two), (&merged, one)];
    for (decide, expected) in cases {
        let is_decision = |dated: &Dated| matches!(dated.record, Record::Decision { .. });
        let whole = decide().journal;
        let decided = whole.iter().rposition(is_decision);
        let decided = decided.expect("it was decided");
        for end in decided + 1..=whole.len() {
            let mut life = decide();
            life.journal.truncate(end);
            life.restart();
            let lines = end - decided;
            assert_eq!(
                places(&life),
                expected,
                "{lines} lines from the decision on"
            );
        }
    }
}
