//! Every legal move of a plan, and what is refused.

use super::*;
use crate::model::{EntityId, ExecutorKind, IncidentId, PlanId, Risk, Verification};

pub(super) const T0: Time = Time::from_secs(1_000);

pub(super) fn action(title: &str) -> Action {
    Action {
        title: Box::from(title),
        executor: ExecutorKind::Command,
        argv: vec![Box::from("do"), Box::from(title)],
        timeout_ms: 60_000,
    }
}

/// A plan of one precondition, two steps with undo and a check.
pub(super) fn plan() -> Plan {
    Plan {
        id: PlanId(7),
        incident: IncidentId(1),
        runbook: Box::from("fix"),
        title: Box::from("fix checkout"),
        target: EntityId::parse("checkout"),
        risk: Risk::Low,
        because: Vec::new(),
        preconditions: vec![action("look")],
        steps: vec![action("one"), action("two")],
        rollback: vec![Some(action("undo one")), Some(action("undo two"))],
        verify: Verification {
            recover_within_ms: 300_000,
            watch: EntityId::parse("gateway"),
            check: Some(action("probe")),
        },
        digest: Box::from("d"),
        suspicion: None,
        approvals_needed: 1,
        approvals: Vec::new(),
        created: T0,
        expires: T0.plus_ms(900_000),
        state: PlanState::Proposed,
        tried: 0,
        worked: 0,
        before: Vec::new(),
        results: Vec::new(),
        process: None,
        undo_approvals: Vec::new(),
        helped: false,
        by_hand: false,
    }
}

/// What a test does to a saga, in short.
#[derive(Clone, Debug)]
enum Do {
    Approve(&'static str),
    Reject,
    RollBack,
    Settle(Outcome),
    End(RunPhase, u32, Outcome),
    Recover,
    Shift,
    Halt,
    After(i64),
    Restart,
}

fn failed() -> Outcome {
    Outcome::Failed {
        why: "exit 1".to_owned(),
    }
}

/// Drives a plan and prints, line by line, what came of each event.
fn story(plan: Plan, doings: &[Do]) -> Vec<String> {
    let mut saga = Saga::new(plan);
    let mut now = T0;
    let mut automation = Automation::Allowed;
    let mut lines = Vec::new();
    for doing in doings {
        let event = match doing {
            Do::Approve(by) => Event::Approved { by },
            Do::Reject => Event::Rejected {
                by: "mia",
                reason: "no",
            },
            Do::RollBack => Event::RollBackAsked { by: "mia" },
            Do::Settle(outcome) => Event::Settled { outcome },
            Do::End(phase, step, outcome) => Event::Finished {
                run: RunId {
                    plan: saga.plan.id,
                    phase: *phase,
                    step: *step,
                },
                outcome,
            },
            Do::Recover => Event::Recovered { but: None },
            Do::Shift => Event::Shifted { reason: "newer" },
            Do::Halt => {
                automation = Automation::Stopped;
                Event::Halted
            }
            Do::After(ms) => {
                now = now.plus_ms(*ms);
                Event::Ticked
            }
            Do::Restart => Event::Restarted,
        };
        let mut effects = Vec::new();
        match saga.handle(now, &event, automation, &mut effects) {
            Ok(()) => lines.push(tell(&effects)),
            Err(illegal) => lines.push(format!("{}: {}", illegal.state, illegal.why)),
        }
    }
    lines
}

fn tell(effects: &[Effect]) -> String {
    let words: Vec<String> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Record(Record::Plan { plan }) => match &plan.state {
                PlanState::Void { reason }
                | PlanState::Failed { reason }
                | PlanState::RolledBack { reason } => {
                    let by = if plan.by_hand { " by hand" } else { "" };
                    format!("{}{by} ({reason})", plan.state.as_str())
                }
                state => state.as_str().to_owned(),
            },
            Effect::Record(Record::Intent { argv, .. }) => format!("intent {}", argv[1]),
            Effect::Run { action, .. } => format!("run {}", action.title),
            Effect::Cancel { run } => format!("cancel {:?} {}", run.phase, run.step),
            other => format!("{other:?}"),
        })
        .collect();
    words.join(", ")
}

use Outcome::{Succeeded, TimedOut};
use RunPhase::{Forward, Precondition, Rollback, Verify};

#[test]
fn a_plan_that_helps() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::End(Forward, 0, Succeeded),
        Do::End(Forward, 1, Succeeded),
        Do::After(1_000),
        Do::Recover,
        Do::End(Verify, 0, Succeeded),
        Do::After(1_000_000),
    ];
    let told = [
        "checking, intent look, run look",
        "running, intent one, run one",
        "running, intent two, run two",
        "verifying",
        "verifying: it changes nothing now",
        "verifying, intent probe, run probe",
        "succeeded",
        "succeeded: it changes nothing now",
    ];
    assert_eq!(story(plan(), &doings), told);
}

#[test]
fn a_plan_that_does_not_help_is_undone_backwards() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::End(Forward, 0, Succeeded),
        Do::End(Forward, 1, Succeeded),
        Do::After(299_999),
        Do::After(1),
        Do::End(Rollback, 1, Succeeded),
        Do::End(Rollback, 0, Succeeded),
        Do::RollBack,
    ];
    let told = [
        "checking, intent look, run look",
        "running, intent one, run one",
        "running, intent two, run two",
        "verifying",
        "verifying: it changes nothing now",
        "rolling back, intent undo two, run undo two",
        "rolling back, intent undo one, run undo one",
        "rolled back (service/gateway did not recover within 300 s)",
        "rolled back: nothing is left to undo",
    ];
    assert_eq!(story(plan(), &doings), told);
}

#[test]
fn a_failing_check_or_step_is_undone_too() {
    let to_step_two = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::End(Forward, 0, Succeeded),
    ];
    let cases = [
        (
            vec![
                Do::End(Forward, 1, failed()),
                Do::End(Rollback, 1, Succeeded),
                Do::End(Rollback, 0, Succeeded),
            ],
            "rolled back (step \u{201c}two\u{201d} failed: exit 1)",
        ),
        (
            vec![
                Do::End(Forward, 1, TimedOut),
                Do::End(Rollback, 1, failed()),
            ],
            "failed (step \u{201c}two\u{201d} timed out; undo \u{201c}undo two\u{201d} failed: exit 1; \
             undo the rest by hand or ask again to roll back)",
        ),
        (
            vec![
                Do::End(Forward, 1, Succeeded),
                Do::Recover,
                Do::End(Verify, 0, failed()),
                Do::End(Rollback, 1, Succeeded),
                Do::End(Rollback, 0, Succeeded),
            ],
            "rolled back (check \u{201c}probe\u{201d} failed: exit 1)",
        ),
        (
            // A person may go on past an undo that failed; it is not run again.
            vec![
                Do::End(Forward, 1, TimedOut),
                Do::End(Rollback, 1, failed()),
                Do::RollBack,
                Do::End(Rollback, 0, Succeeded),
            ],
            "failed by hand (rolled back by mia; not undone: \u{201c}two\u{201d})",
        ),
    ];
    for (doings, last) in cases {
        let all = [to_step_two.to_vec(), doings].concat();
        assert_eq!(story(plan(), &all).last().map(String::as_str), Some(last));
    }
}

#[test]
fn a_step_without_undo_is_named() {
    let mut no_undo = plan();
    no_undo.rollback[1] = None;
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::End(Forward, 0, Succeeded),
        Do::End(Forward, 1, failed()),
        Do::End(Rollback, 0, Succeeded),
    ];
    let told = story(no_undo, &doings);
    assert_eq!(
        told[3..],
        [
            "rolling back, intent undo one, run undo one",
            "failed (step \u{201c}two\u{201d} failed: exit 1; not undone: \u{201c}two\u{201d})",
        ]
    );
}

#[test]
fn nothing_runs_before_every_approval() {
    let mut two_people = plan();
    two_people.approvals_needed = 2;
    let doings = [
        Do::Recover,
        Do::Settle(Succeeded),
        Do::RollBack,
        Do::End(Precondition, 0, Succeeded),
        Do::Approve("mia"),
        Do::Approve("noor"),
        Do::Approve("olu"),
    ];
    let told = [
        "proposed: it changes nothing now",
        "proposed: no run is in doubt",
        "proposed: nothing ran yet: reject it instead",
        "proposed: that run is not in flight",
        "proposed",
        "checking, intent look, run look",
        "checking: only a proposed plan can be decided",
    ];
    assert_eq!(story(two_people, &doings), told);
}

#[test]
fn a_proposal_ends_without_running() {
    let cases = [
        (Do::Reject, "rejected"),
        (Do::Shift, "void (newer)"),
        (Do::After(900_000), "expired"),
    ];
    for (doing, told) in cases {
        assert_eq!(story(plan(), &[doing]), [told]);
    }
    let refused = [Do::Approve("mia"), Do::End(Precondition, 0, failed())];
    assert_eq!(
        story(plan(), &refused)[1],
        "void (precondition \u{201c}look\u{201d} failed: exit 1; nothing ran)"
    );
}

#[test]
fn stopping_waits_for_the_run_in_flight() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::RollBack,
        Do::RollBack,
        Do::End(Forward, 0, Succeeded),
        Do::End(Rollback, 0, Succeeded),
    ];
    let told = [
        "checking, intent look, run look",
        "running, intent one, run one",
        "cancel Forward 0",
        "running: it is being stopped already",
        "rolling back, intent undo one, run undo one",
        "rolled back by hand (stopped by mia)",
    ];
    assert_eq!(story(plan(), &doings), told);
}

#[test]
fn a_silent_executor_leaves_doubt_and_a_person_settles_it() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::After(60_000 + REPORT_GRACE_MS),
        Do::Settle(Outcome::Unknown),
        Do::Settle(Succeeded),
        Do::End(Forward, 0, Succeeded),
        Do::End(Forward, 1, Succeeded),
    ];
    let told = [
        "checking, intent look, run look",
        "running, intent one, run one",
        "cancel Forward 0, unknown",
        "unknown: say whether it succeeded or failed",
        "running, intent two, run two",
        "running: that run is not in flight",
        "verifying",
    ];
    assert_eq!(story(plan(), &doings), told);
}

#[test]
fn a_restart_never_runs_again_blindly() {
    let running = [Do::Approve("mia"), Do::End(Precondition, 0, Succeeded)];
    let undoing = [running.to_vec(), vec![Do::End(Forward, 0, failed())]].concat();
    let cases = [
        (
            running.to_vec(),
            vec![Do::Restart],
            "cancel Forward 0, unknown",
        ),
        (
            running.to_vec(),
            vec![Do::Restart, Do::Settle(failed())],
            "rolling back, intent undo one, run undo one",
        ),
        (
            // The executor outlived the doubt and knows better.
            running.to_vec(),
            vec![Do::Restart, Do::End(Forward, 0, Succeeded)],
            "running, intent two, run two",
        ),
        (
            undoing.clone(),
            vec![Do::Restart, Do::Settle(Succeeded)],
            "rolled back (it was being rolled back)",
        ),
        (
            vec![Do::Approve("mia")],
            vec![Do::Restart],
            "cancel Precondition 0, void (a precondition gave no answer; nothing ran)",
        ),
    ];
    for (before, after, last) in cases {
        let told = story(plan(), &[before, after].concat());
        assert_eq!(told.last().map(String::as_str), Some(last));
    }
}

#[test]
fn verification_starts_anew_after_a_restart() {
    let mut verifying = plan();
    verifying.state = PlanState::Verifying {
        until: T0.plus_ms(1),
    };
    let doings = [Do::Restart, Do::After(50_000_000), Do::After(299_999)];
    let told = ["", "verifying", "verifying: it changes nothing now"];
    assert_eq!(story(verifying.clone(), &doings), told);
    // What is seen to hurt is not waited for that much longer.
    let mut hurts = Saga::new(verifying.clone());
    let mut hurt = |at_ms: i64, event: Event<'_>| {
        let mut effects = Vec::new();
        let now = T0.plus_ms(at_ms);
        let moved = hurts.handle(now, &event, Automation::Allowed, &mut effects);
        (moved.is_ok(), tell(&effects))
    };
    let place = "gateway";
    assert!(hurt(0, Event::Restarted).0);
    assert!(
        !hurt(10, Event::Hurts { place }).0,
        "nothing was watched yet"
    );
    assert_eq!(hurt(10, Event::Ticked), (true, "verifying".to_owned()));
    assert!(
        !hurt(300_009, Event::Hurts { place }).0,
        "it has its window"
    );
    assert_eq!(
        hurt(300_010, Event::Hurts { place }),
        (
            true,
            "rolled back (gateway did not recover within 300 s)".to_owned()
        )
    );
    // After a short one, it has the window that it had.
    let mut hurts = Saga::new(verifying.clone());
    let mut effects = Vec::new();
    for (at_ms, event, moves) in [
        (0, Event::Restarted, true),
        (0, Event::Hurts { place }, false),
        (0, Event::Ticked, true),
        (0, Event::Hurts { place }, false),
        (1, Event::Hurts { place }, true),
    ] {
        let now = T0.plus_ms(at_ms);
        let moved = hurts.handle(now, &event, Automation::Allowed, &mut effects);
        assert_eq!(moved.is_ok(), moves, "{event:?} after {at_ms} ms");
        hurts.was_watched();
    }
    // Nor is silence a success: the first look after it only begins the wait.
    let doings = [Do::Restart, Do::Recover, Do::Recover];
    let told = ["", "verifying", "verifying, intent probe, run probe"];
    assert_eq!(story(verifying, &doings), told);
}

#[test]
fn a_stop_asked_for_outlives_doubt() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::RollBack,
        Do::After(60_000 + REPORT_GRACE_MS),
        Do::Settle(Succeeded),
    ];
    assert_eq!(
        story(plan(), &doings)[4],
        "rolling back, intent undo one, run undo one"
    );
}

#[test]
fn the_kill_switch_stops_everything_in_place() {
    let doings = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::Halt,
        Do::End(Forward, 0, failed()),
    ];
    let told = story(plan(), &doings);
    assert_eq!(
        told[2..],
        [
            "cancel Forward 0",
            "failed by hand (stopped by the kill switch; the kill switch is on: \u{201c}undo one\u{201d} was not started)",
        ]
    );
}

#[test]
fn what_never_started_is_not_undone() {
    let unwritten = || Outcome::NotStarted {
        why: "disk full".to_owned(),
        alone: false,
    };
    let missing = || Outcome::NotStarted {
        why: "no such program".to_owned(),
        alone: true,
    };
    let at_two = [
        Do::Approve("mia"),
        Do::End(Precondition, 0, Succeeded),
        Do::End(Forward, 0, Succeeded),
    ];
    let undoing = [&at_two[..], &[Do::End(Forward, 1, failed())]].concat();
    let cases = [
        (
            vec![Do::Approve("mia"), Do::End(Precondition, 0, unwritten())],
            "void (precondition \u{201c}look\u{201d} not started: disk full; nothing ran)",
        ),
        (
            [&at_two[..2], &[Do::End(Forward, 0, unwritten())]].concat(),
            "void (step \u{201c}one\u{201d} not started: disk full; nothing ran)",
        ),
        (
            [&at_two[..], &[Do::End(Forward, 1, unwritten())]].concat(),
            "failed (step \u{201c}two\u{201d} not started: disk full; ask to roll back what ran)",
        ),
        (
            // Asked later: only what ran is undone.
            [
                &at_two[..],
                &[Do::End(Forward, 1, unwritten()), Do::RollBack],
            ]
            .concat(),
            "rolling back, intent undo one, run undo one",
        ),
        (
            // An undo that was not started may be started later.
            [
                &undoing[..],
                &[Do::End(Rollback, 1, unwritten()), Do::RollBack],
            ]
            .concat(),
            "rolling back, intent undo two, run undo two",
        ),
        (
            [&at_two[..2], &[Do::End(Forward, 0, missing())]].concat(),
            "void (step \u{201c}one\u{201d} not started: no such program; nothing ran)",
        ),
        (
            // One program that is missing keeps nobody from undoing what ran.
            [&at_two[..], &[Do::End(Forward, 1, missing())]].concat(),
            "rolling back, intent undo one, run undo one",
        ),
        (
            // What never ran is not left to be undone.
            [
                &at_two[..],
                &[
                    Do::End(Forward, 1, missing()),
                    Do::End(Rollback, 0, Succeeded),
                ],
            ]
            .concat(),
            "rolled back (step \u{201c}two\u{201d} not started: no such program)",
        ),
    ];
    for (doings, last) in cases {
        assert_eq!(
            story(plan(), &doings).last().map(String::as_str),
            Some(last)
        );
    }
}
