//! Causes of their own: when one is believed, and what it explains of others.

use super::*;

#[test]
fn one_change_rolled_out_to_two_services_is_one_cause() {
    let mut town = Town::new(&[("web", "a"), ("web", "b"), ("a", "b")]);
    town.deploy("a", 0);
    let change = Change {
        entity: EntityId::parse("b"),
        ..town
            .changes
            .between(town.entities.intern(&EntityId::parse("a")), NOON, NOON)
            .next()
            .expect("it was deployed")
            .clone()
    };
    let b = town.place("b");
    town.changes.take(b, &change);
    town.odd("b", Errors, true, 2);
    town.odd("a", Errors, true, 3);
    town.odd("web", Errors, true, 4);
    town.until(120);
    assert_eq!(town.incidents().len(), 1, "{:?}", town.incidents());
}

#[test]
fn another_incidents_cause_is_no_failure_of_a_plan() {
    // The gateway calls both pay and search, which are two incidents.
    let mut town = Town::new(&[("gateway", "pay"), ("gateway", "search")]);
    town.deploy("search", 0);
    town.odd("search", Errors, true, 1);
    town.until(40);
    town.deploy("pay", 38);
    town.odd("pay", Errors, true, 40);
    town.until(80);
    town.odd("gateway", Errors, true, 42);
    town.until(100);
    let home = town
        .incidents()
        .iter()
        .find(|(_, root, _)| *root == "pay")
        .map(|(id, ..)| IncidentId(*id))
        .expect("pay is an incident of its own");
    let mut plan = crate::engine::propose::tests::planned("pay");
    plan.incident = home;
    plan.verify.watch = EntityId::parse("gateway");
    let look = |town: &Town| {
        let sight = recovery::Sight {
            correlator: &town.correlator,
            entities: &town.entities,
            topology: &town.topology,
            findings: &town.findings,
            intake: &town.intake,
        };
        recovery::look(&plan, home, sight)
    };
    assert_eq!(look(&town).hurting.as_deref(), Some("service/pay"));
    town.well("pay", Errors);
    let after = look(&town);
    assert_eq!(after.hurting, None, "{after:?}");
}

/// What hurts by itself is believed once nothing has explained it for a minute, and a second such place in
/// an incident is one of its own then.
#[test]
fn what_nothing_explains_for_a_minute_is_a_cause() {
    let mut town = Town::new(&[("shop", "base"), ("shop", "index")]);
    town.odd("shop", Errors, true, 0);
    town.odd("base", Errors, true, 0);
    town.odd("index", Errors, true, 0);
    let base = town.place("base");
    for (at_s, is_sure) in [(30, false), (55, false), (80, true)] {
        town.until(at_s);
        let cause = &town.correlator.causes[&base];
        assert_eq!(cause.is_sure(town.now), is_sure, "after {at_s} s");
    }
    let open: Vec<usize> = town
        .incidents()
        .iter()
        .map(|(.., members)| members.len())
        .collect();
    assert_eq!(open.iter().sum::<usize>(), 3);
    assert_eq!(open.len(), 2, "{:?}", town.incidents());
}

/// A second cause that is only seen long after it began tears no incident apart that people have read.
#[test]
fn only_a_new_cause_splits() {
    for (since_s, incidents) in [(650, 2), (5, 1)] {
        let mut town = Town::new(&[("shop", "base"), ("shop", "index")]);
        town.odd("shop", Errors, true, 0);
        town.odd("base", Errors, true, 0);
        town.odd("index", Latency, false, 5);
        let index = town.place("index");
        town.until(20);
        town.with(|correlator, world| {
            correlator.become_member(index, IncidentId(1), "it is part of it", world);
        });
        town.until(700);
        town.odd("index", Errors, true, since_s);
        town.until(800);
        let open = town.incidents();
        assert_eq!(open.len(), incidents, "since {since_s} s: {open:?}");
    }
}
