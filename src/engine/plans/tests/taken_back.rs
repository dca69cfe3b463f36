//! Plans that a person took back: those that had helped, and those that had not.

use super::*;

/// A desk whose plan 1 is proposed, and its time begins.
fn desk() -> Desk {
    Desk::new(PolicyConfig::default(), vec![any("a", Risk::Low)])
}

/// Proposes once what plan 1 left behind has settled and hurts: the record told with what is proposed,
/// if it is.
fn offered_again(desk: &mut Desk) -> Option<(u32, u32)> {
    desk.ground = Ground::Holds;
    desk.now = desk.now.plus_ms(10 * 60_000);
    desk.propose();
    let again = desk.plans.get(PlanId(2))?;
    Some((again.tried, again.worked))
}

/// Undoes plan 1, which is over, to its end.
fn take_back(desk: &mut Desk, by: &Actor, undone: Outcome) {
    let undo = desk.undo(1);
    desk.command(by, &undo).expect("it is over");
    desk.end(1, RunPhase::Rollback, undone);
}

#[test]
fn what_helped_and_was_taken_back_is_offered_again_when_it_hurts() {
    let mia = person("mia", Role::Responder);
    // What becomes of the undo, and the record told when it is proposed again.
    let cases = [
        (Outcome::Succeeded, Some((1, 1))),
        (Outcome::TimedOut, None),
    ];
    for (undone, again) in cases {
        let mut desk = desk();
        desk.approve(&mia, 1).expect("mia may");
        desk.end(1, RunPhase::Forward, Outcome::Succeeded);
        desk.ground = Ground::Recovered(None);
        desk.tick(1_000);
        assert_eq!(desk.state(1), "succeeded");
        desk.happenings();
        take_back(&mut desk, &mia, undone);
        assert_eq!(offered_again(&mut desk), again);
        if again.is_some() {
            let said = desk.happenings();
            let told = |words: &str| said.iter().any(|said| said.starts_with(words));
            assert!(told("plan 1 undo asked by mia"), "{said:?}");
            assert!(told("plan 1 rolled back by mia: "), "{said:?}");
        }
    }
}

#[test]
fn what_did_not_help_is_not_offered_again_though_a_person_undid_it() {
    let mia = person("mia", Role::Responder);
    let noor = person("noor", Role::Commander);
    let mut desk = desk();
    desk.approve(&mia, 1).expect("mia may");
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    let stop = Command::KillSwitch { on: true };
    desk.command(&mia, &stop).expect("anybody may stop");
    // It still hurts when the time is over, and the switch holds the undo back.
    desk.ground = Ground::Hurts(Box::from("service/gateway"));
    desk.tick(10 * 60_000);
    assert_eq!(desk.state(1), "failed");
    let release = Command::KillSwitch { on: false };
    desk.command(&noor, &release).expect("noor commands");
    take_back(&mut desk, &mia, Outcome::Succeeded);
    assert_eq!(desk.state(1), "rolled back");
    let target = desk.plans.get(PlanId(1)).map(|plan| plan.target.clone());
    let target = target.expect("it is remembered");
    assert_eq!(desk.plans.record_of("a", &target), (1, 0), "no help");
    assert_eq!(offered_again(&mut desk), None);
}

#[test]
fn what_helped_after_a_doubt_is_offered_again_and_so_after_a_restart() {
    let mia = person("mia", Role::Responder);
    let mut desk = desk();
    desk.approve(&mia, 1).expect("mia may");
    desk.plans = restored(&desk.effects);
    assert_eq!(desk.state(1), "unknown");
    let settle = Command::Settle {
        plan: PlanId(1),
        outcome: Outcome::Succeeded,
    };
    desk.command(&mia, &settle).expect("mia may");
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    assert_eq!(desk.state(1), "succeeded");
    take_back(&mut desk, &mia, Outcome::Succeeded);
    let before_it_was_kept = |effect: &Effect| match effect {
        Effect::Record(Record::Plan { plan }) => {
            let mut plan = plan.clone();
            plan.helped = false;
            Effect::Record(Record::Plan { plan })
        }
        other => other.clone(),
    };
    let old: Vec<Effect> = desk.effects.iter().map(before_it_was_kept).collect();
    for journal in [&desk.effects, &old] {
        let plans = restored(journal);
        assert_eq!(plans.get(PlanId(1)), desk.plans.get(PlanId(1)));
    }
    assert_eq!(offered_again(&mut desk), Some((1, 1)));
}
