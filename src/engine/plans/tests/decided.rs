//! What people decide while the world moves: approvals of what no longer hurts, and stops that end a plan.

use super::*;

#[test]
fn what_no_longer_hurts_is_not_started() {
    let mut desk = desk();
    let mia = person("mia", Role::Responder);
    desk.hurts = false;
    let refused = desk.approve(&mia, 1);
    let Err(Refusal::State { state, why, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!((state.as_str(), why.as_str()), ("proposed", CALM));
    assert_eq!(desk.state(1), "proposed", "it may come back");
    desk.hurts = true;
    assert_eq!(desk.approve(&mia, 1), Ok(()));
    assert_eq!(desk.state(1), "running");
}

#[test]
fn a_stop_with_nothing_to_undo_tells_how_the_plan_ended() {
    let mut book = any("a", Risk::Low);
    book.steps[0].rollback = None;
    let mut desk = Desk::new(PolicyConfig::default(), vec![book]);
    let mia = person("mia", Role::Responder);
    assert_eq!(desk.approve(&mia, 1), Ok(()));
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    desk.happenings();
    assert!(desk.command(&mia, &stop(1)).is_ok());
    assert_eq!(desk.state(1), "failed");
    let told = [
        "plan 1 undo asked by mia: Roll checkout back to v1",
        "plan 1 failed, stopped by mia; not undone: \u{201c}Roll back\u{201d}: Roll checkout back to v1",
    ];
    assert_eq!(desk.happenings(), told);
}

#[test]
fn the_last_wish_to_undo_is_counted() {
    let mut desk = desk();
    let mia = person("mia", Role::Responder);
    assert_eq!(desk.approve(&mia, 1), Ok(()));
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    desk.happenings();
    let undo = desk.undo(1);
    assert!(desk.command(&mia, &undo).is_ok());
    let told = ["plan 1 undo asked by mia (1 of 1): Roll checkout back to v1"];
    assert_eq!(desk.happenings(), told);
}
