//! Plans on screen from approval to end: what is next, what became of one, how one is taken back.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::api::{CommandReply, IncidentDetail, WatchMessage};
use stormglass::model::{
    Approval, CHOSEN_BY_A_PERSON, Command, Delta, IncidentId, Lane, Outcome, Phase, Plan, PlanId,
    PlanState, Process, Refusal, Risk, RunId, RunPhase, TimelineEntry,
};
use stormglass::tui::{Request, Update};

fn console() -> Console {
    Console::live(80, 24, "dark")
}

/// Plan 1, 2 and 3 wait.
fn three_plans() -> IncidentDetail {
    let mut detail = fixture::detail();
    let plan = fixture::plan();
    let title = |id| format!("Title {id}").into();
    detail.plans = (1..=3)
        .map(|id| Plan {
            id: PlanId(id),
            title: title(id),
            ..plan.clone()
        })
        .collect();
    detail
}

fn tell(console: &mut Console, detail: &IncidentDetail) {
    console.told(Update::Detail(Box::new(detail.clone())));
    console.screen();
}

fn approved(plan: &mut Plan, minute: i64, state: PlanState) {
    plan.approvals = vec![Approval {
        by: "mia".to_owned(),
        at: fixture::at(minute, 0),
        digest: plan.digest.clone(),
    }];
    plan.state = state;
}

fn rolled_back(reason: &str) -> PlanState {
    PlanState::RolledBack {
        reason: reason.into(),
    }
}

fn result(plan: &Plan, outcome: Outcome) -> (RunId, Outcome) {
    let run = RunId {
        plan: plan.id,
        phase: RunPhase::Forward,
        step: 0,
    };
    (run, outcome)
}

fn chosen(console: &Console) -> Option<PlanId> {
    console.state.plan().map(|plan| plan.id)
}

/// Ends the findings of the entity that hurt.
fn calm(detail: &mut IncidentDetail) {
    for finding in &mut detail.incident.findings {
        finding.ended = Some(fixture::now());
    }
    detail.incident.impact.findings_open = 0;
    detail.incident.impact.alerts_firing = 0;
}

#[test]
fn after_the_right_fix_nothing_is_offered_and_the_cursor_stays() {
    let mut console = console();
    let mut detail = three_plans();
    approved(&mut detail.plans[2], 5, rolled_back("no recovery in time"));
    let until = fixture::now();
    approved(&mut detail.plans[0], 7, PlanState::Verifying { until });
    tell(&mut console, &detail);
    console.press("enter 7");
    assert_eq!(chosen(&console), Some(PlanId(1)));
    detail.plans[0].state = PlanState::Succeeded;
    calm(&mut detail);
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));
    let screen = console.screen();
    assert!(
        screen.contains("plan 1 worked, verified: Title 1"),
        "{screen}"
    );
    assert!(!screen.contains("approves plan 2"), "{screen}");
    console.press("Y wait Y");
    assert_eq!(console.commands(), []);
    // What becomes void or is forgotten brings the old failure nowhere near the first row.
    detail.plans[1].state = PlanState::Void {
        reason: "calm".into(),
    };
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));
    console.press("esc");
    assert_eq!(chosen(&console), Some(PlanId(1)));
}

/// What the plan watched is calm, and something else is not: that it worked is not all there is to say.
#[test]
fn what_still_lasts_after_a_success_is_said() {
    let mut console = console();
    let mut detail = three_plans();
    approved(&mut detail.plans[0], 7, PlanState::Succeeded);
    calm(&mut detail);
    detail.incident.impact.alerts_firing = 2;
    tell(&mut console, &detail);
    let screen = console.screen();
    let words = "wait: 2 alerts still fire, then 5m of quiet; plan 1 worked, verified";
    assert!(screen.contains(words), "{screen}");
    detail.incident.impact.alerts_firing = 0;
    tell(&mut console, &detail);
    assert!(
        console
            .screen()
            .contains("closes when quiet for 5m; plan 1 worked, verified")
    );
}

/// An open incident beside a plan that worked: when that was seen, and what it waits for.
#[test]
fn what_an_incident_waits_for_after_a_success_is_said() {
    let mut console = console();
    let mut detail = three_plans();
    approved(&mut detail.plans[0], 7, PlanState::Succeeded);
    calm(&mut detail);
    detail.incident.timeline.push(TimelineEntry {
        at: fixture::at(11, 30),
        lane: Lane::Automation,
        entity: None,
        text: "plan 1 succeeded: Title 1".into(),
    });
    tell(&mut console, &detail);
    let words = "closes when quiet for 5m; plan 1 worked, verified at 12:11";
    let screen = console.screen();
    assert!(screen.contains(words), "{screen}");
    console.press_and_look("enter 7");
    let words = "worked, verified at 12:11Z; the incident: closes when quiet for 5m";
    let screen = console.screen();
    assert!(screen.contains(words), "{screen}");
    let created = detail.plans[0].created;
    let seconds = console.state.clock.second(created);
    console.press_and_look("w");
    let screen = console.screen();
    assert!(
        screen.contains(&format!("Why it was proposed, as things were at {seconds}")),
        "{screen}"
    );
    detail.incident.phase = Phase::Mitigated;
    detail.incident.mitigated = Some(fixture::at(12, 0));
    tell(&mut console, &detail);
    let screen = console.screen();
    assert!(
        screen.contains("wait: closes at 12:17Z if quiet; plan 1 worked, verified at 12:11Z"),
        "{screen}"
    );
}

/// A finding is not over the moment its signal is normal: no other plan is offered for it then.
#[test]
fn what_was_last_abnormal_before_a_success_offers_nothing() {
    let mut console = console();
    let mut detail = three_plans();
    approved(&mut detail.plans[0], 7, PlanState::Succeeded);
    for finding in &mut detail.incident.findings {
        finding.last_seen = fixture::at(10, 0);
    }
    let told = |minute, lane, text: &str| TimelineEntry {
        at: fixture::at(minute, 0),
        lane,
        entity: None,
        text: text.into(),
    };
    let timeline = &mut detail.incident.timeline;
    timeline.push(told(11, Lane::Automation, "plan 1 succeeded: Title 1"));
    timeline.push(told(12, Lane::Person, "plan 1 did it, thanks"));
    detail.incident.impact.alerts_firing = 0;
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));
    let screen = console.screen();
    let words = "wait: 6 findings still last, then 5m of quiet; plan 1 verified 12:11Z";
    assert!(screen.contains(words), "{screen}");
    assert!(!screen.contains("approves plan"), "{screen}");
    // What is abnormal after it is another matter.
    for finding in &mut detail.incident.findings {
        finding.last_seen = fixture::at(11, 30);
    }
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(2)));
    detail.plans.truncate(1);
    tell(&mut console, &detail);
    let screen = console.screen();
    assert!(
        screen.contains("plan 1 helped at 12:11Z, but checkout hurts again"),
        "{screen}"
    );
}

/// The plan for the first suspect was rejected: the next one is for another, and says so.
#[test]
fn a_plan_for_another_than_the_suspect_says_so() {
    let mut console = console();
    let mut detail = three_plans();
    detail.plans[0].target = fixture::service("users");
    tell(&mut console, &detail);
    let words = "Y approves plan 1: Title 1  medium risk, not the suspect";
    let screen = console.screen();
    assert!(screen.contains(words), "{screen}");
    detail.plans[0].because = vec![CHOSEN_BY_A_PERSON.into()];
    tell(&mut console, &detail);
    assert!(!console.screen().contains("not the suspect"));
}

/// What happens to a plan meanwhile.
type Change<'a> = &'a dyn Fn(&mut Plan);

#[test]
fn a_dialog_says_at_once_that_its_plan_is_gone() {
    let void = PlanState::Void {
        reason: "a newer deploy of checkout".into(),
    };
    let rejected = PlanState::Rejected {
        by: "ole".to_owned(),
        reason: "not now".into(),
    };
    let until = fixture::now();
    let cases: [(Change<'_>, &str); 5] = [
        (
            &|plan| plan.state = void.clone(),
            "plan 1 is void: a newer deploy of checkout",
        ),
        (
            &|plan| plan.state = rejected.clone(),
            "ole rejected plan 1: not now",
        ),
        (
            &|plan| plan.state = PlanState::Expired,
            "plan 1 has expired",
        ),
        (
            &|plan| approved(plan, 9, PlanState::Verifying { until }),
            "mia approved plan 1 meanwhile: it is verifying",
        ),
        (
            &|plan| plan.digest = "another".into(),
            "plan 1 is another than the one shown: read it again",
        ),
    ];
    for (change, said) in cases {
        let mut console = console();
        let mut detail = three_plans();
        tell(&mut console, &detail);
        console.press("wait Y wait");
        assert!(console.screen().contains("Y again approves"));
        change(&mut detail.plans[0]);
        tell(&mut console, &detail);
        let screen = console.screen();
        assert!(screen.contains(&format!("TOO LATE  {said}")), "{screen}");
        assert!(!screen.contains("[ Approve"), "{screen}");
        // A yes that was on its way decides nothing and leaves the dialog where it is.
        console.press("Y wait Y");
        assert!(
            console.screen().contains("TOO LATE"),
            "{}",
            console.screen()
        );
        console.press("tab enter");
        assert_eq!(console.commands(), [], "{said}");
        assert!(console.state.overlay.is_none());
    }
}

#[test]
fn a_dialog_expires_while_it_is_read_and_on_a_screen_held_still() {
    let mut console = console();
    let mut detail = three_plans();
    detail.plans[0].expires = fixture::now().plus_ms(5_000);
    tell(&mut console, &detail);
    console.press("wait Y wait");
    let at = fixture::now().plus_ms(6_000);
    console.told(Update::Watch(WatchMessage::Heartbeat { at }));
    let screen = console.screen();
    assert!(screen.contains("TOO LATE  plan 1 has expired"), "{screen}");
    let mut frozen = Console::live(80, 24, "dark");
    frozen.press("f Y wait");
    let mut row = fixture::view().incidents[&CHECKOUT].clone();
    row.plan = Some((PlanId(3), "void".into()));
    frozen.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::Incident(row)],
    }));
    let screen = frozen.screen();
    assert!(screen.contains("TOO LATE  plan 3 is void now"), "{screen}");
    frozen.press("Y wait Y tab enter");
    assert_eq!(frozen.commands(), []);
}

#[test]
fn who_else_approved_is_shown_while_the_dialog_is_open() {
    let mut console = console();
    let mut detail = three_plans();
    detail.plans[0].approvals_needed = 2;
    tell(&mut console, &detail);
    console.press("wait");
    console.press_and_look("Y G");
    assert!(
        console.screen().contains("none given yet"),
        "{}",
        console.screen()
    );
    detail.plans[0].approvals = vec![Approval {
        by: "ole".to_owned(),
        at: fixture::now(),
        digest: detail.plans[0].digest.clone(),
    }];
    tell(&mut console, &detail);
    assert!(
        console.screen().contains("given by ole"),
        "{}",
        console.screen()
    );
    console.press("wait Y");
    assert_eq!(console.commands().len(), 1);
}

/// Whoever said yes waits, and is not told to say yes again.
#[test]
fn who_approved_is_told_that_it_takes_another_person() {
    for (by, there, gone) in [
        (
            "mia",
            "plan 3 waits for another person: 1 of 2 approved",
            "Y approve",
        ),
        ("ole", "next     Y approves", "plan 3 waits"),
    ] {
        let mut console = Console::live(120, 40, "dark");
        let mut detail = fixture::detail();
        let plan = &mut detail.plans[0];
        plan.approvals_needed = 2;
        approved(plan, 7, PlanState::Proposed);
        plan.approvals[0].by = by.to_owned();
        tell(&mut console, &detail);
        console.press_and_look("enter 7");
        let screen = console.screen();
        assert!(screen.contains(there), "no {there:?} in\n{screen}");
        assert!(!screen.contains(gone), "{gone:?} in\n{screen}");
        let words = "waits for another person: 1 of 2 approved";
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn what_hurts_again_or_a_person_chose_since_is_offered_after_a_success() {
    let mut detail = three_plans();
    approved(&mut detail.plans[0], 7, PlanState::Succeeded);
    let mut console = console();
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(2)), "it hurts");
    calm(&mut detail);
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)), "it is calm");
    detail.plans[2].because = vec![CHOSEN_BY_A_PERSON.into()];
    detail.plans[2].created = fixture::at(9, 0);
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(3)), "chosen since");
}

#[test]
fn a_plan_that_failed_under_the_cursor_stays_there_and_no_key_is_promised() {
    let mut console = console();
    let mut detail = three_plans();
    let until = fixture::now();
    approved(&mut detail.plans[2], 7, PlanState::Verifying { until });
    tell(&mut console, &detail);
    console.press("enter 7");
    let reason =
        "search, which is three hops away and was never named before, did not recover in 5m";
    detail.plans[2].state = rolled_back(reason);
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(3)));
    let screen = console.screen();
    assert!(screen.contains("plan 1 waits: Title 1"), "{screen}");
    let flat: Vec<&str> = screen.split_whitespace().collect();
    let whole = format!("plan 3 did not help: rolled back, because {reason}");
    assert!(
        flat.join(" ").contains(&whole),
        "the reason is cut: {screen}"
    );
}

/// Whether a plan helps is not known of one that never ran to its end.
#[test]
fn a_step_that_never_ran_is_no_plan_that_did_not_help() {
    let alone = true;
    let missing = Outcome::NotStarted {
        why: "no such program".to_owned(),
        alone,
    };
    let failed = Outcome::Failed {
        why: "exit code 1".to_owned(),
    };
    for (outcome, words) in [
        (missing, "plan 3 did not get through: rolled back, because"),
        (failed, "plan 3 did not get through: rolled back, because"),
        (
            Outcome::Succeeded,
            "plan 3 did not help: rolled back, because",
        ),
    ] {
        let mut console = Console::live(120, 40, "dark");
        let mut detail = fixture::detail();
        let plan = &mut detail.plans[0];
        plan.results = vec![result(plan, outcome)];
        approved(plan, 7, rolled_back("why it was"));
        tell(&mut console, &detail);
        let screen = console.screen();
        assert!(screen.contains(words), "no {words:?} in\n{screen}");
    }
}

#[test]
fn a_plan_stopped_by_a_person_did_not_fail() {
    for (by_hand, reason, words) in [
        (
            true,
            "stopped by mia",
            "plan 3 was stopped by mia, and undone.",
        ),
        (
            true,
            "rolled back by mia",
            "plan 3 was rolled back by mia, and undone.",
        ),
        (
            false,
            "no recovery",
            "plan 3 did not help and was rolled back: no recovery",
        ),
    ] {
        let mut console = console();
        let mut detail = three_plans();
        approved(&mut detail.plans[2], 7, PlanState::Running { step: 0 });
        tell(&mut console, &detail);
        detail.plans[2].state = rolled_back(reason);
        detail.plans[2].by_hand = by_hand;
        tell(&mut console, &detail);
        let notice = console.state.notice.as_ref().map(|n| n.text.to_string());
        assert_eq!(notice.as_deref(), Some(words));
    }
}

/// A fix that helped and was taken back did not fail, wherever that is told.
#[test]
fn a_plan_that_helped_and_was_taken_back_is_told_so() {
    let mut console = Console::live(100, 40, "dark");
    let mut detail = fixture::detail();
    let plan = &mut detail.plans[0];
    plan.results = vec![result(plan, Outcome::Succeeded)];
    plan.helped = true;
    let until = fixture::now();
    approved(plan, 7, PlanState::Verifying { until });
    tell(&mut console, &detail);
    detail.plans[0].state = rolled_back("rolled back by root");
    tell(&mut console, &detail);
    let screen = console.screen();
    let words = "tried    plan 3 helped, and was rolled back by root";
    assert!(screen.contains(words), "{screen}");
    let words = "plan 3 had helped, and was rolled back by root.";
    assert!(screen.contains(words), "{screen}");
    console.press("enter 7");
    let screen = console.screen();
    assert!(!screen.contains("did not"), "{screen}");
}

/// Presses keys on an incident whose one plan ran and is in this state.
fn undoing(risk: Risk, state: PlanState, keys: &str) -> Console {
    let mut console = Console::live(100, 40, "dark");
    let mut detail = fixture::detail();
    let plan = &mut detail.plans[0];
    plan.risk = risk;
    plan.results = vec![result(plan, Outcome::Succeeded)];
    if let Some(Some(undo)) = plan.rollback.first_mut() {
        undo.title = "undo: Roll back".into();
    }
    plan.state = state;
    tell(&mut console, &detail);
    console.press(keys);
    console
}

fn roll_back() -> Command {
    Command::RollBack {
        plan: PlanId(3),
        digest: Some(fixture::plan().digest.to_string()),
    }
}

/// Of what runs: without a digest the engine refuses it once the plan is over.
fn stop() -> Command {
    Command::RollBack {
        plan: PlanId(3),
        digest: None,
    }
}

#[test]
fn a_brake_shows_what_has_run_by_now() {
    let mut detail = fixture::detail();
    let again = detail.plans[0].steps[0].clone();
    detail.plans[0].steps.push(again);
    let undo = detail.plans[0].rollback[0].clone();
    detail.plans[0].rollback.push(undo);
    detail.plans[0].state = PlanState::Running { step: 0 };
    let mut console = Console::live(100, 40, "dark");
    tell(&mut console, &detail);
    console.press("U wait");
    let undone = |console: &Console| console.screen().matches("undo: Roll forward").count();
    assert_eq!(undone(&console), 1, "{}", console.screen());
    detail.plans[0].results = vec![result(&detail.plans[0], Outcome::Succeeded)];
    detail.plans[0].state = PlanState::Running { step: 1 };
    tell(&mut console, &detail);
    assert_eq!(undone(&console), 2, "{}", console.screen());
    console.press("U");
    assert_eq!(console.commands(), [stop()]);
}

#[test]
fn a_plan_is_undone_only_after_its_undo_was_shown() {
    let console = undoing(Risk::Medium, PlanState::Succeeded, "U");
    let screen = console.screen();
    for words in [
        "Roll back plan 3",
        "undo of: Roll back",
        "$ kubectl rollout undo deployment/checkout --to-revision=812",
        "your yes binds digest 9f2c41d07be3",
        "[ Cancel ]",
    ] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
    assert_eq!(console.commands(), []);
    let failed = || PlanState::Failed {
        reason: "exit 1".into(),
    };
    let running = || PlanState::Running { step: 0 };
    let cases = [
        (Risk::Medium, PlanState::Succeeded, "U wait U", true),
        (Risk::Medium, PlanState::Succeeded, "U U", false),
        (Risk::Medium, PlanState::Succeeded, "U wait enter", false),
        (Risk::Medium, failed(), "U wait tab enter", true),
        (Risk::High, PlanState::Succeeded, "U wait tab enter", false),
        (
            Risk::High,
            PlanState::Succeeded,
            "U c h e c k o u t wait tab enter",
            true,
        ),
        (Risk::High, running(), "U wait U", true),
        (
            Risk::Medium,
            rolled_back("stopped by mia"),
            "U wait U",
            false,
        ),
    ];
    for (risk, state, keys, does) in cases {
        let expected = match (does, state.is_final()) {
            (true, true) => vec![roll_back()],
            (true, false) => vec![stop()],
            (false, _) => vec![],
        };
        let commands = undoing(risk, state.clone(), keys).commands();
        assert_eq!(commands, expected, "{risk:?} {state:?} {keys}");
    }
}

#[test]
fn what_was_taken_back_after_the_end_is_said() {
    let mut console = console();
    let mut detail = fixture::detail();
    calm(&mut detail);
    detail.incident.phase = stormglass::model::Phase::Resolved;
    approved(&mut detail.plans[0], 9, rolled_back("rolled back by mia"));
    detail.plans[0].by_hand = true;
    let mut view = fixture::view();
    let row = view.incidents.get_mut(&fixture::CHECKOUT).expect("a row");
    row.phase = stormglass::model::Phase::Resolved;
    row.resolved = Some(fixture::now());
    row.alerts_firing = 0;
    console.told(Update::Watch(stormglass::api::WatchMessage::Snapshot(
        Box::new(view),
    )));
    tell(&mut console, &detail);
    console.press("G");
    console.screen();
    console.press("wait enter");
    let screen = console.screen();
    let words = "nothing: it is over; plan 3 was rolled back by mia";
    assert!(screen.contains(words), "{screen}");
}

#[test]
fn an_undo_binds_what_was_shown() {
    let mut changed = fixture::detail();
    changed.plans[0].state = PlanState::Succeeded;
    changed.plans[0].digest = "another".into();
    let mut ended = fixture::detail();
    ended.plans[0].state = PlanState::Succeeded;
    for (state, after) in [
        (PlanState::Succeeded, changed),
        (PlanState::Running { step: 0 }, ended),
    ] {
        let mut console = undoing(Risk::Medium, state, "U wait");
        tell(&mut console, &after);
        console.press("U");
        assert_eq!(console.commands(), []);
        let screen = console.screen();
        assert!(screen.contains("TOO LATE"), "{screen}");
    }
}

#[test]
fn enter_on_cancel_says_that_nothing_was_done() {
    for keys in ["x wait enter", "Y wait enter", "! wait enter"] {
        let mut console = console();
        console.press(keys);
        let screen = console.screen();
        assert!(
            screen.contains("Cancelled: nothing was done"),
            "{keys}\n{screen}"
        );
    }
    let mut console = console();
    console.press("x wait tab enter");
    assert_eq!(
        console.commands(),
        [Command::Resolve { incident: CHECKOUT }]
    );
}

#[test]
fn runbooks_come_by_fit_then_risk_and_say_what_was_tried_in_vain() {
    let mut console = console();
    let mut detail = fixture::detail();
    let row = |name: &str, risk| stormglass::api::RunbookRow {
        name: name.to_owned(),
        title: format!("Do {name}"),
        description: String::new(),
        risk,
        refused: None,
    };
    let mut tried = fixture::plan();
    tried.runbook = "b-tried".into();
    approved(&mut tried, 5, rolled_back("no recovery"));
    detail.plans = vec![tried, fixture::plan()];
    tell(&mut console, &detail);
    console.press("p");
    console.told(Update::Runbooks {
        incident: CHECKOUT,
        rows: vec![
            row("a-dangerous", Risk::High),
            row("b-tried", Risk::Low),
            row("c-small", Risk::Low),
            row("rollback-deployment", Risk::Medium),
        ],
    });
    let screen = console.screen();
    let at = |name: &str| screen.lines().position(|line| line.contains(name));
    let order = ["rollback-deployment", "c-small", "a-dangerous", "b-tried"].map(at);
    assert!(
        order.is_sorted() && order[0].is_some(),
        "{order:?}\n{screen}"
    );
    assert!(screen.contains("tried in vain: Do b-tried"), "{screen}");
    console.press("enter");
    assert!(matches!(
        console.commands().as_slice(),
        [Command::Propose { runbook, .. }] if runbook == "rollback-deployment"
    ));
}

/// Whoever proposes a plan looks at it next, and not at what the cursor was on.
#[test]
fn what_was_just_proposed_is_under_the_cursor() {
    let mut console = console();
    let mut detail = three_plans();
    approved(&mut detail.plans[0], 5, rolled_back("no recovery"));
    tell(&mut console, &detail);
    console.press_and_look("enter 7 G");
    assert_eq!(chosen(&console), Some(PlanId(1)));
    let propose = |console: &mut Console| {
        console.press("p");
        console.told(Update::Runbooks {
            incident: CHECKOUT,
            rows: fixture::runbooks(),
        });
        console.screen();
        console.press("enter");
        console.commands().pop().expect("a command")
    };
    let answered = |command: Command, refused| CommandReply {
        command,
        refused,
        notice: None,
        silence: None,
    };
    let new = |id| Plan {
        id: PlanId(id),
        runbook: "scale-deployment".into(),
        because: vec![CHOSEN_BY_A_PERSON.into()],
        ..fixture::plan()
    };
    // What was refused is waited for no more: somebody else's moves nothing.
    let command = propose(&mut console);
    console.told(Update::Replied(answered(
        command,
        Some(Refusal::KillSwitch),
    )));
    detail.plans.push(new(4));
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));

    let command = propose(&mut console);
    console.told(Update::Replied(answered(command, None)));
    let screen = console.screen();
    assert!(screen.contains("scale-deployment is proposed."), "{screen}");
    assert!(!screen.contains("see Actions"), "{screen}");
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));
    detail.plans.push(new(5));
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(5)));
    // Once: from then on the cursor is the operator's.
    console.press_and_look("G");
    tell(&mut console, &detail);
    assert_eq!(chosen(&console), Some(PlanId(1)));
}

#[test]
fn a_filter_that_nothing_passes_says_only_that() {
    let mut console = console();
    console.press("/");
    console.type_text("nosuchthing");
    console.press("enter");
    let screen = console.screen();
    assert!(
        screen.contains("No incident with /nosuchthing. Esc shows all."),
        "{screen}"
    );
    assert!(!screen.contains("remote_write"), "{screen}");
}

#[test]
fn a_view_of_no_incident_says_so() {
    for (view, words) in [
        ("incident 0", "There is no such incident: #0."),
        ("nonsense", "There is no view \"nonsense\"."),
    ] {
        let mut console = Console::blank(80, 24, "dark");
        console.state.go_first = Some(view.to_owned());
        let view = Box::new(fixture::view());
        console.told(Update::Watch(WatchMessage::Snapshot(view)));
        let notice = console.state.notice.as_ref().map(|n| n.text.to_string());
        assert_eq!(notice.as_deref(), Some(words));
    }
}

#[test]
fn alerts_come_by_urgency_then_newest() {
    let mut console = console();
    console.press("g a");
    let mut page = fixture::alerts();
    let mut row = page.items[1].clone();
    let mut next = |id, name: &str, minute, firing| {
        row.fingerprint = stormglass::model::Fingerprint(id);
        row.labels = stormglass::model::Labels::from_pairs([("alertname", name)]).expect("short");
        row.starts_at = fixture::at(minute, 0);
        row.firing = firing;
        row.clone()
    };
    page.items.insert(0, next(8, "Over", 9, false));
    page.items.insert(0, next(9, "Newer", 8, true));
    console.told(Update::Alerts { after: None, page });
    let screen = console.screen();
    let at = |name: &str| screen.lines().position(|line| line.contains(name));
    let order = [
        "AGE STATE INC",
        "CheckoutLatency",
        "Newer",
        "GatewayErrors",
        "Over",
    ]
    .map(at);
    assert!(
        order.is_sorted() && order[0].is_some(),
        "{order:?}\n{screen}"
    );
}

/// What policy would refuse is not offered, and a yes that would only be refused is dead.
#[test]
fn a_yes_that_policy_would_refuse_is_dead_and_not_offered() {
    let stop = |seq, stopped| {
        Update::Watch(WatchMessage::Deltas {
            seq,
            at: fixture::now(),
            deltas: vec![Delta::Automation { stopped }],
        })
    };
    let mut stopped = Console::live(100, 40, "dark");
    stopped.told(stop(8, true));
    let screen = stopped.screen();
    assert!(!screen.contains("Y approve"), "{screen}");
    assert!(screen.contains("! allows it again"), "{screen}");
    stopped.press("Y wait Y wait Y");
    let screen = stopped.screen();
    for words in ["NOT NOW", "all automation is stopped: ! allows it again"] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
    assert_eq!(stopped.commands(), []);
    // Allowed again, the same dialog lives.
    stopped.told(stop(9, false));
    stopped.press("wait Y");
    assert_eq!(stopped.commands().len(), 1);

    let mut beside = Console::live(100, 40, "dark");
    let mut detail = three_plans();
    let until = fixture::at(30, 0);
    approved(&mut detail.plans[0], 5, PlanState::Verifying { until });
    tell(&mut beside, &detail);
    beside.press_and_look("enter 7 j");
    let screen = beside.screen();
    assert!(!screen.contains("reads and approves"), "{screen}");
    let why = "plan 1 acts on checkout: wait for it";
    assert!(screen.contains(why), "{screen}");
    beside.press("Y wait Y");
    let screen = beside.screen();
    assert!(
        screen.contains("NOT NOW") && screen.contains(why),
        "{screen}"
    );
    assert_eq!(beside.commands(), []);
}

#[test]
fn after_a_wrong_name_the_field_has_the_keys_again() {
    let cases = [
        ("c a r t wait tab enter", 0, "not the target's name"),
        ("c a r t wait enter", 0, "not the target's name"),
        ("wait enter", 0, "type the target's name first"),
        (
            "c a r t wait tab enter backspace backspace backspace backspace c h e c k o u t wait tab wait enter",
            1,
            "",
        ),
        ("c h e c k o u t wait enter", 0, "Enter once more"),
        ("c h e c k o u t wait enter enter", 0, "Too quick"),
        ("c h e c k o u t wait enter wait enter", 1, ""),
        ("c h e c k o u t wait tab tab wait enter", 0, "Cancelled"),
    ];
    for (keys, sent, words) in cases {
        let mut console = undoing(Risk::High, PlanState::Succeeded, "U wait");
        console.press(keys);
        assert_eq!(console.commands().len(), sent, "{keys}");
        let screen = console.screen();
        assert!(screen.contains(words), "{keys}: {words}\n{screen}");
    }
}

#[test]
fn an_undo_says_that_the_plan_helped_and_what_it_may_bring_back() {
    let screen = undoing(Risk::Medium, PlanState::Succeeded, "U").screen();
    for words in [
        "IT HELPED: checkout",
        "the first suspect is a change of checkout",
    ] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
    let failed = PlanState::Failed {
        reason: "exit 1".into(),
    };
    let screen = undoing(Risk::Medium, failed, "U").screen();
    assert!(!screen.contains("IT HELPED"), "{screen}");
}

#[test]
fn the_kill_switch_is_confirmed_by_its_own_key() {
    let mut console = console();
    console.press("! wait !");
    assert_eq!(console.commands(), [Command::KillSwitch { on: true }]);
    let mut hasty = self::console();
    hasty.press("! !");
    assert_eq!(hasty.commands(), []);
}

/// Killed and started again while a step ran: the daemon found its process, and nothing was lost.
#[test]
fn a_command_that_still_runs_has_no_lost_result() {
    let run = RunId {
        plan: PlanId(3),
        phase: RunPhase::Forward,
        step: 0,
    };
    let mut detail = fixture::detail();
    detail.plans[0].state = PlanState::Unknown { run };
    let lost = detail.clone();
    detail.plans[0].process = Some(Process {
        pid: 2893,
        mark: "boot/7".into(),
        began: fixture::at(7, 0),
    });
    let runs = "its command still runs, pid 2893 since 12:07:00Z";

    let mut console = console();
    tell(&mut console, &detail);
    console.press_and_look("enter 7");
    let screen = console.screen();
    for words in ["U stops plan 3: its command still runs, pid 2893", runs] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
    for words in ["what became of", "result unknown", "Y settle"] {
        assert!(!screen.contains(words), "{words} is in\n{screen}");
    }
    console.press_and_look("Y");
    let screen = console.screen();
    assert!(!screen.contains("decide later"), "{screen}");
    assert!(screen.contains("wait, or U stops it"), "{screen}");
    // The dialog was open before the process was found.
    tell(&mut console, &lost);
    console.press_and_look("Y wait");
    assert!(console.screen().contains("decide later"));
    tell(&mut console, &detail);
    let screen = console.screen();
    assert!(screen.contains(runs), "{screen}");
    console.press_and_look("j enter");
    assert_eq!(console.commands(), []);
    // What that dialog names stops it from there too.
    tell(&mut console, &lost);
    console.press_and_look("Y wait U");
    let screen = console.screen();
    assert!(
        screen.contains("say first what became of this step"),
        "{screen}"
    );
    assert!(screen.contains("decide later"), "{screen}");
    tell(&mut console, &detail);
    console.press_and_look("U");
    let screen = console.screen();
    assert!(screen.contains("Roll back plan 3:"), "{screen}");
    console.press_and_look("wait U");
    assert_eq!(console.commands(), [stop()]);
}

/// Every word of a command and of what it does is on screen; the prompt stands before it once.
#[test]
fn a_long_command_is_one_command_and_nothing_of_it_is_cut() {
    let mut detail = fixture::detail();
    let step = &mut detail.plans[0].steps[0];
    step.title =
        "Grow the volume of the database that is full, then wait for its file system".into();
    let arguments = (0..9).map(|at| format!("--argument-number-{at}").into());
    step.argv = [Box::from("lvextend")]
        .into_iter()
        .chain(arguments)
        .collect();
    let run = RunId {
        plan: PlanId(3),
        phase: RunPhase::Forward,
        step: 0,
    };
    for state in [PlanState::Proposed, PlanState::Unknown { run }] {
        let is_asked = state == PlanState::Proposed;
        detail.plans[0].state = state;
        let mut console = Console::live(80, 50, "dark");
        tell(&mut console, &detail);
        console.press_and_look("Y");
        let screen = console.screen();
        for at in 0..9 {
            let words = format!("--argument-number-{at}");
            assert!(screen.contains(&words), "{words} is missing from\n{screen}");
        }
        assert!(screen.contains("file system"), "{screen}");
        let prompts = screen.matches("$ ").count();
        // The check, the step and its undo, or the step alone.
        assert!(
            prompts == if is_asked { 3 } else { 1 },
            "{prompts} in\n{screen}"
        );
        assert!(
            !is_asked || screen.contains("(stopped after 2m)"),
            "{screen}"
        );
    }
}

/// Incident 9, in which the one plan was made, is merged into the one looked at, which holds it since.
/// `is_behind` says whether the console still has an older word of incident 9.
fn merged(state: PlanState, is_behind: bool) -> Console {
    const BORN: IncidentId = IncidentId(9);
    let mut console = Console::live(100, 40, "dark");
    let mut detail = fixture::detail();
    let plan = &mut detail.plans[0];
    plan.incident = BORN;
    if is_behind {
        let mut old = detail.clone();
        old.incident.id = BORN;
        old.incident.updated = fixture::at(4, 0);
        tell(&mut console, &old);
    }
    let plan = &mut detail.plans[0];
    plan.results = vec![result(plan, Outcome::Succeeded)];
    plan.state = state;
    tell(&mut console, &detail);
    console
}

/// The engine decides a plan in the incident that holds it by now, and so does the console.
#[test]
fn a_plan_of_an_incident_that_was_merged_is_decided_all_the_same() {
    let approve = Command::Approve {
        plan: PlanId(3),
        digest: fixture::plan().digest.to_string(),
    };
    let reject = Command::Reject {
        plan: PlanId(3),
        reason: "x".to_owned(),
    };
    let run = RunId {
        plan: PlanId(3),
        phase: RunPhase::Forward,
        step: 0,
    };
    let settle = Command::Settle {
        plan: PlanId(3),
        outcome: Outcome::Succeeded,
    };
    let cases = [
        (PlanState::Proposed, "Y wait Y", approve, "still hurt"),
        (PlanState::Proposed, "R x enter", reject, "3"),
        (PlanState::Succeeded, "U wait U", roll_back(), "IT HELPED"),
        (PlanState::Unknown { run }, "Y wait j enter", settle, "3"),
    ];
    for is_behind in [false, true] {
        for (state, keys, command, words) in cases.clone() {
            let mut console = merged(state, is_behind);
            let (open, rest) = keys.split_once(' ').expect("a key and more");
            console.press_and_look(open);
            let screen = console.screen();
            assert!(!screen.contains("TOO LATE"), "{keys}:\n{screen}");
            assert!(!screen.contains("not known"), "{keys}:\n{screen}");
            assert!(screen.contains(words), "{keys}: {words}\n{screen}");
            console.press_and_look(rest);
            assert_eq!(console.commands(), [command], "{keys}, behind {is_behind}");
        }
    }
}

/// Merged while the dialog is open: what holds the plan by now is asked for.
#[test]
fn what_holds_the_plan_of_an_open_dialog_is_asked_for() {
    let mut console = Console::live(100, 40, "dark");
    let into = IncidentId(4819);
    console.press("Y wait");
    let mut view = fixture::view();
    view.incidents.remove(&fixture::CHECKOUT);
    let row = view.incidents.get_mut(&into).expect("another incident");
    row.plan = None;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    assert!(console.screen().contains("TOO LATE"));
    assert!(
        console
            .requests
            .contains(&Request::Detail(fixture::CHECKOUT))
    );
    let mut gone = fixture::detail();
    gone.incident.revision += 1;
    gone.incident.phase = Phase::Resolved;
    gone.incident.merged_into = Some(into);
    tell(&mut console, &gone);
    assert!(console.requests.contains(&Request::Detail(into)));
    let mut detail = fixture::detail();
    detail.incident.id = into;
    tell(&mut console, &detail);
    let screen = console.screen();
    assert!(!screen.contains("TOO LATE"), "{screen}");
    assert!(screen.contains("still hurt"), "{screen}");
    console.press("wait Y");
    assert_eq!(console.commands().len(), 1);
}
