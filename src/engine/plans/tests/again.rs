//! Proposals the engine took back, and when it makes them again.

use super::*;

/// The plans about `users` that were ever proposed, and what has become of the last.
fn of_users(desk: &Desk) -> (usize, &'static str) {
    let users = EntityId::parse("users");
    let of_users = desk.plans.iter().filter(|plan| plan.target == users);
    let states: Vec<&str> = of_users.map(|plan| plan.state.as_str()).collect();
    (states.len(), states.last().copied().unwrap_or("none"))
}

/// Suspects `checkout` and `users` as much as said, `ms` later.
fn suspect_after(desk: &mut Desk, ms: i64, checkout: f32, users: f32) {
    let mut suspects = vec![
        suspect("checkout", deploy_of("checkout"), checkout),
        suspect("users", deploy_of("users"), users),
    ];
    suspects.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    desk.incident = incident(suspects);
    desk.now = desk.now.plus_ms(ms);
    desk.propose();
}

#[test]
fn what_hovers_about_the_bar_is_not_proposed_again_and_again() {
    let mut desk = desk();
    suspect_after(&mut desk, 0, 0.8, 0.11);
    assert_eq!(of_users(&desk), (1, "proposed"), "the first never waits");
    for _ in 0..8 {
        suspect_after(&mut desk, 5_000, 0.8, 0.09);
        assert_eq!(of_users(&desk), (1, "void"));
        suspect_after(&mut desk, 25_000, 0.8, 0.12);
        assert_eq!(of_users(&desk), (1, "void"));
    }
    // After some minutes it may be asked again.
    suspect_after(&mut desk, 65_000, 0.8, 0.11);
    assert_eq!(of_users(&desk), (2, "proposed"));
}

#[test]
fn what_is_clearly_more_likely_or_first_is_proposed_again_at_once() {
    // How suspect both are when the plan about `users` was taken back a moment ago.
    let cases = [
        (0.8, 0.19, (1, "void")),
        (0.8, 0.21, (2, "proposed")),
        (0.10, 0.12, (2, "proposed")),
    ];
    for (checkout, users, expected) in cases {
        let mut desk = desk();
        suspect_after(&mut desk, 0, 0.8, 0.11);
        suspect_after(&mut desk, 5_000, 0.8, 0.0);
        assert_eq!(of_users(&desk), (1, "void"));
        suspect_after(&mut desk, 5_000, checkout, users);
        assert_eq!(of_users(&desk), expected, "{checkout} {users}");
    }
}

#[test]
fn what_was_crowded_out_is_proposed_again_at_once() {
    // Two runbooks fit each, and three plans wait at most.
    let runbooks = ["a", "b"].map(|name| any(name, Risk::Low)).to_vec();
    let mut desk = Desk::new(PolicyConfig::default(), runbooks);
    suspect_after(&mut desk, 0, 0.4, 0.5);
    assert_eq!(of_users(&desk), (2, "proposed"));
    suspect_after(&mut desk, 5_000, 0.5, 0.4);
    assert_eq!(of_users(&desk), (2, "void"));
    suspect_after(&mut desk, 5_000, 0.4, 0.5);
    assert_eq!(of_users(&desk), (3, "proposed"));
}

#[test]
fn what_hovers_above_the_bar_and_is_crowded_out_rests_too() {
    let runbooks = ["a", "b"].map(|name| any(name, Risk::Low)).to_vec();
    let mut desk = Desk::new(PolicyConfig::default(), runbooks);
    suspect_after(&mut desk, 0, 0.8, 0.15);
    assert_eq!(of_users(&desk), (1, "proposed"));
    let crowd = ["checkout", "cart", "users"]
        .into_iter()
        .zip([0.8, 0.16, 0.15]);
    let crowd = crowd.map(|(name, likely)| suspect(name, deploy_of(name), likely));
    desk.incident = incident(crowd.collect());
    desk.propose();
    assert_eq!(of_users(&desk), (1, "void"));
    suspect_after(&mut desk, 5_000, 0.8, 0.15);
    let users = EntityId::parse("users");
    let of_users = desk.plans.iter().filter(|plan| plan.target == users);
    let told: Vec<(&str, &str)> = of_users
        .map(|plan| (&*plan.runbook, plan.state.as_str()))
        .collect();
    assert_eq!(
        told,
        [("a", "void"), ("b", "proposed")],
        "b is the first of its own"
    );
}
