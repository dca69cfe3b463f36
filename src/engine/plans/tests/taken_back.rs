//! Plans that helped and that a person took back all the same.

use super::*;

#[test]
fn what_helped_and_was_taken_back_is_offered_again_when_it_hurts() {
    let mia = person("mia", Role::Responder);
    // What becomes of the plan before it is undone by hand, and whether it is proposed again.
    let cases = [(Outcome::Succeeded, true), (Outcome::TimedOut, false)];
    for (undone, again) in cases {
        let mut desk = Desk::new(PolicyConfig::default(), vec![any("a", Risk::Low)]);
        desk.approve(&mia, 1).expect("mia may");
        desk.end(1, RunPhase::Forward, Outcome::Succeeded);
        desk.ground = Ground::Recovered(None);
        desk.tick(1_000);
        assert_eq!(desk.state(1), "succeeded");
        desk.happenings();
        let undo = desk.undo(1);
        desk.command(&mia, &undo).expect("mia may");
        desk.end(1, RunPhase::Rollback, undone);
        desk.ground = Ground::Holds;
        desk.now = desk.now.plus_ms(10 * 60_000);
        desk.propose();
        assert_eq!(desk.state(2) == "proposed", again);
        if again {
            let said = desk.happenings();
            let told = |words: &str| said.iter().any(|said| said.starts_with(words));
            assert!(told("plan 1 undo asked by mia"), "{said:?}");
            assert!(told("plan 1 rolled back by mia: "), "{said:?}");
            let plan = desk.plans.get(PlanId(2)).expect("it is proposed");
            assert_eq!((plan.tried, plan.worked), (1, 1), "it had helped");
        }
    }
}
