//! What lies over the screen: who may not decide is told at once, keys that came in one piece act on nothing, a
//! refusal lets moves through, and the footer names the keys of the box and no others.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::api::{IncidentDetail, WatchMessage};
use stormglass::model::{
    Approval, Command, Delta, IncidentId, Lane, Outcome, PlanId, PlanState, Risk, Role, RunId,
    RunPhase, Suspicion, TimelineEntry,
};
use stormglass::tui::{ACTIONS, Action, Event, Key, Keymap, Overlay, TerminalOp, Update};

fn console() -> Console {
    Console::live(100, 40, "dark")
}

/// A console of somebody who may approve what is not of high risk.
fn responders() -> Console {
    let mut console = console();
    let mut view = fixture::view();
    view.actor.role = Role::Responder;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console
}

fn tell(console: &mut Console, detail: &IncidentDetail) {
    console.told(Update::Detail(Box::new(detail.clone())));
    console.screen();
}

/// The only plan of the incident, of this risk, here.
fn plan(risk: Risk, state: PlanState) -> IncidentDetail {
    let mut detail = fixture::detail();
    let plan = &mut detail.plans[0];
    plan.risk = risk;
    plan.state = state;
    if plan.state != PlanState::Proposed {
        let run = forward(plan.id);
        plan.results = vec![(run, Outcome::Succeeded)];
        plan.approvals = vec![Approval {
            by: "ole".to_owned(),
            at: fixture::at(7, 0),
            digest: plan.digest.clone(),
        }];
    }
    detail
}

fn forward(plan: PlanId) -> RunId {
    RunId {
        plan,
        phase: RunPhase::Forward,
        step: 0,
    }
}

/// Text as one read of the terminal gives it; `\n` is Enter.
fn at_once(text: &str) -> Event {
    let key = |c: char| match c {
        '\n' => Key::parse("enter").expect("a key"),
        ' ' => Key::parse("space").expect("a key"),
        c => Key::char(c),
    };
    Event::Keys(text.chars().map(key).collect())
}

const TOO_LOW: &str = "you are a responder (mia); a plan of high risk takes a commander";

/// Told after the name was typed, it cost a responder the minute in which they would have called a commander.
#[test]
fn a_role_too_low_is_told_before_anything_is_typed() {
    for (state, key) in [(PlanState::Proposed, "Y"), (PlanState::Succeeded, "U")] {
        let mut console = responders();
        tell(&mut console, &plan(Risk::High, state));
        console.press_and_look("enter 7");
        let below = console.screen();
        assert!(!below.contains(&format!("{key} approve")), "{below}");
        assert!(!below.contains(&format!("{key} undo")), "{below}");
        console.press_and_look(key);
        let screen = console.screen();
        for words in ["NOT YOU", TOO_LOW] {
            assert!(screen.contains(words), "{words} is missing from\n{screen}");
        }
        for words in ["HIGH RISK", "[ Cancel ]"] {
            assert!(!screen.contains(words), "{words} is in\n{screen}");
        }
        console.press_and_look("c h e c k o u t wait tab wait enter");
        assert_eq!(console.commands(), []);
        // They read it to whoever may.
        let mut page = responders();
        tell(&mut page, &plan(Risk::High, PlanState::Proposed));
        assert!(page.screen().contains(TOO_LOW), "{}", page.screen());
    }
}

#[test]
fn a_role_that_suffices_and_a_brake_are_not_held_up() {
    let mut medium = responders();
    medium.press_and_look("Y wait Y");
    assert_eq!(medium.commands().len(), 1);
    // Whoever sees something run may stop it.
    let mut brake = responders();
    tell(
        &mut brake,
        &plan(Risk::High, PlanState::Running { step: 0 }),
    );
    brake.press_and_look("U wait U");
    assert!(matches!(brake.commands()[..], [Command::RollBack { .. }]));
    // Somebody of a higher role types the name.
    let mut commander = console();
    tell(&mut commander, &plan(Risk::High, PlanState::Proposed));
    commander.press_and_look("Y");
    assert!(commander.screen().contains("HIGH RISK"));
}

#[test]
fn a_step_in_doubt_is_settled_only_by_who_may() {
    let run = forward(fixture::plan().id);
    let mut console = responders();
    tell(&mut console, &plan(Risk::High, PlanState::Unknown { run }));
    for keys in ["Y", "esc enter 7 enter"] {
        console.press_and_look(keys);
        let screen = console.screen();
        assert!(screen.contains(TOO_LOW), "{keys}\n{screen}");
        console.press_and_look("wait j enter");
        assert_eq!(console.commands(), [], "{keys}");
    }
}

#[test]
fn whoever_may_not_allow_automation_again_is_told_by_the_key() {
    let mut console = responders();
    let stopped = Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::Automation { stopped: true }],
    });
    console.told(stopped);
    console.press_and_look("!");
    let screen = console.screen();
    assert!(screen.contains("takes a commander to allow"), "{screen}");
    console.press("wait ! wait !");
    assert_eq!(console.commands(), []);
    let mut stops = responders();
    stops.press("! wait !");
    assert_eq!(stops.commands(), [Command::KillSwitch { on: true }]);
}

/// Terminals without bracketed paste: the first letter of a line may be any key.
#[test]
fn a_line_pasted_as_keys_acts_on_nothing_whatever_it_begins_with() {
    let keymap = Keymap::shipped("default").expect("shipped");
    let boxes = ACTIONS.iter().filter(|row| row.action.opens_box());
    for row in boxes {
        for keys in keymap.alternatives(row.action) {
            if keys.starts_with("ctrl") {
                continue;
            }
            let first = keys.replace(' ', "");
            for rest in ["ll of it is mia", "acknowledge", "4819", "", " ", "noise"] {
                for end in ["\n", "\n\n", "\nok"] {
                    let text = format!("{first}{rest}{end}");
                    let mut console = console();
                    console.told(Update::Runbooks {
                        incident: CHECKOUT,
                        rows: fixture::runbooks(),
                    });
                    console.screen();
                    console.event(at_once(&text));
                    assert_eq!(console.commands(), [], "{text:?}\n{}", console.screen());
                    assert_eq!(console.terminal, [], "{text:?}");
                }
            }
        }
    }
}

/// On a slow link what a person typed ahead comes in one piece as well: it costs them one more Enter.
#[test]
fn what_was_typed_ahead_into_a_box_is_there_and_enter_does_it() {
    let to = "ole".to_owned();
    let incident = CHECKOUT;
    let cases = [
        ("Aole\n", Command::Assign { incident, to }),
        (
            ":acknowledge\n",
            Command::Acknowledge {
                incident: IncidentId(4819),
            },
        ),
    ];
    for (typed, done) in cases {
        let mut console = console();
        if typed.starts_with(':') {
            console.press_and_look("j");
        }
        console.event(at_once(typed));
        let screen = console.screen();
        assert!(
            screen.contains("Enter again does it"),
            "{typed:?}\n{screen}"
        );
        console.wait(300);
        console.event(at_once("\n"));
        assert_eq!(console.commands(), [done], "{typed:?}");
    }
    // What only shows something is done at once.
    let mut console = console();
    console.event(at_once(":sources\n"));
    assert_eq!(console.state.view_string(), "sources");
}

/// `U` where nothing can be undone swallowed every arrow until Esc.
#[test]
fn a_refused_key_lets_the_moves_after_it_through() {
    let mut view = fixture::view();
    view.actor.role = Role::Viewer;
    let viewers = || {
        let mut console = console();
        let message = WatchMessage::Snapshot(Box::new(view.clone()));
        console.told(Update::Watch(message));
        console.screen();
        console
    };
    let cases = [
        ("U down", 4819, false),
        ("i down", 4819, false),
        ("x down down", 4811, false),
        ("x j", 4819, false),
        ("g x j j", 4811, false),
        ("A end", 4811, false),
        // A letter may be the first of a name.
        ("A j", 4821, true),
        ("i k j", 4821, true),
        ("x s j", 4821, true),
        ("R down j", 4811, false),
    ];
    for (keys, at, refuses) in cases {
        let mut console = viewers();
        console.press_and_look(keys);
        let screen = console.screen();
        assert_eq!(
            console.state.chosen(),
            Some(IncidentId(at)),
            "{keys}\n{screen}"
        );
        let is_refused = matches!(console.state.overlay, Some(Overlay::Refused(_)));
        assert_eq!(is_refused, refuses, "{keys}\n{screen}");
        assert_eq!(console.commands(), [], "{keys}");
    }
}

/// The last line.
fn footer(console: &Console) -> String {
    let screen = console.screen();
    screen.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn the_footer_below_a_box_names_its_keys_and_no_others() {
    let cases = [
        (
            "Y",
            "esc leave  j read on  tab button  enter press  Y approve",
        ),
        ("!", "esc leave  tab button  enter press  ! do it"),
        ("x", "esc leave  tab button  enter press"),
        (":", "esc leave  enter do it  tab next"),
        ("?", "esc leave  enter do it  tab next"),
        ("w", "esc leave  j on  y copy"),
        ("i", "esc leave  enter save  alt-enter new line"),
        ("p", "esc leave  enter propose  tab next"),
        ("z", "esc leave  tab next line  enter next, or make it"),
        ("g z", "esc leave  j move  enter end it  z make one"),
        ("g d", "esc leave  j move  enter change"),
        ("g d enter", "esc leave  enter say so"),
        ("g c", "esc leave  j move  enter say so"),
        ("g x", "esc leave  j move  enter say so  space mark"),
    ];
    for (keys, expected) in cases {
        for size in [(60, 20), (80, 24), (200, 60)] {
            let mut console = Console::live(size.0, size.1, "mono");
            let below = footer(&console);
            console.press_and_look(keys);
            assert!(console.state.overlay.is_some(), "{keys}");
            let shown = footer(&console);
            let all = size.0 > 60;
            let shown = shown.trim();
            let is_it = if all {
                shown == expected
            } else {
                expected.starts_with(shown)
            };
            assert!(is_it, "{keys} at {size:?}: {shown:?}");
            console.press_and_look("wait esc esc esc wait wait wait wait wait wait wait");
            assert_eq!(footer(&console), below, "{keys}");
        }
    }
}

/// What the footer names there does something there.
#[test]
fn a_high_risk_dialog_names_no_letter_that_would_be_typed() {
    let mut console = console();
    tell(&mut console, &plan(Risk::High, PlanState::Proposed));
    console.press_and_look("Y");
    let shown = footer(&console);
    assert_eq!(
        shown.trim(),
        "esc leave  down read on  tab button  enter press"
    );
}

/// Until when it can be approved was the first that a small screen cut.
#[test]
fn the_expiry_of_a_plan_is_on_the_smallest_screen() {
    for (columns, lines) in [(60, 20), (80, 24), (400, 120)] {
        let mut console = Console::live(columns, lines, "mono");
        console.press_and_look("Y");
        let screen = console.screen();
        assert!(screen.contains("expires in 21m"), "{columns}\n{screen}");
    }
}

/// A demo, or a daemon elsewhere, is not where the program looks by itself.
#[test]
fn an_exported_incident_is_asked_of_the_daemon_it_is_looked_at_on() {
    let mut console = console();
    console.state.command = "stormglass --socket /run/s.sock".to_owned();
    console.press_and_look("g e");
    let [TerminalOp::Copy(text)] = &console.terminal[..] else {
        panic!("{:?}", console.terminal);
    };
    assert!(
        text.starts_with("stormglass --socket /run/s.sock export 4821 "),
        "{text}"
    );
}

#[test]
fn z_in_the_list_of_silences_makes_one() {
    let mut console = console();
    console.press_and_look("g z z");
    assert!(
        matches!(console.state.overlay, Some(Overlay::Silence(_))),
        "{}",
        console.screen()
    );
}

/// They were lines of a dialog, where no key and no name reached them.
#[test]
fn a_hand_over_a_status_update_and_an_export_are_one_key_and_one_name_away() {
    for (name, shown) in [
        ("hand-over", "Hand-over of #4821"),
        ("status-update", "Status update on #4821, a draft"),
        (
            "export",
            "stormglass export 4821 --format html --out incident-4821.html",
        ),
    ] {
        let action = Action::named(name).expect("an action");
        let keys = Keymap::shipped("default").expect("shipped").keys(action);
        let mut by_key = console();
        by_key.press_and_look(&keys.expect("a key"));
        let mut by_name = console();
        by_name.press(":");
        by_name.type_text(name);
        by_name.screen();
        by_name.press_and_look("enter");
        for console in [by_key, by_name] {
            let screen = console.screen();
            assert!(screen.contains(shown), "{name}\n{screen}");
            let copied = match &console.terminal[..] {
                [TerminalOp::Copy(text)] => text.as_str(),
                _ => "",
            };
            assert_eq!(copied == shown, name == "export", "{copied}");
        }
    }
}

/// A note written after the end stood on the last column, as if it had been written then.
#[test]
fn the_lanes_reach_to_now_after_the_end() {
    let mut detail = fixture::detail();
    let incident = &mut detail.incident;
    incident.resolved = Some(fixture::at(9, 0));
    incident.timeline.push(TimelineEntry {
        at: fixture::at(10, 30),
        lane: Lane::Person,
        entity: None,
        text: "mia: it was the pool".into(),
    });
    let mut console = Console::live(200, 60, "mono");
    tell(&mut console, &detail);
    console.press_and_look("enter 1");
    let screen = console.screen();
    let lanes = screen.lines().find(|line| line.starts_with(" Lanes"));
    let lanes = lanes.unwrap_or_else(|| panic!("no lanes in\n{screen}"));
    assert!(lanes.trim_end().ends_with("12:13:00Z"), "{lanes}");
    let person = screen
        .lines()
        .rev()
        .find(|line| line.starts_with(" person"));
    let person = person.unwrap_or_default();
    assert!(person.trim_end().chars().count() < 180, "{person}");
}

/// "From 12:03: the same key at the other end" stood there after the range was left.
#[test]
fn what_was_said_of_a_range_goes_with_it() {
    for keys in ["v esc", "v j j v", "v esc esc"] {
        let mut console = console();
        console.press_and_look("enter 1 g g j v");
        assert!(console.screen().contains("the same key at the other end"));
        console.press_and_look(keys.strip_prefix("v ").unwrap_or(keys));
        let screen = console.screen();
        assert!(!screen.contains("the same key at"), "{keys}\n{screen}");
    }
}

#[test]
fn a_plan_that_is_over_expires_no_more() {
    let mut console = console();
    console.press_and_look("enter 7 enter");
    assert!(console.screen().contains("expires in"));
    for state in [PlanState::Succeeded, PlanState::Expired] {
        let mut console = self::console();
        tell(&mut console, &plan(Risk::Medium, state.clone()));
        console.press_and_look("enter 7 enter");
        let screen = console.screen();
        assert!(screen.contains("What will run, exactly"), "{screen}");
        assert!(!screen.contains("expires in"), "{state:?}\n{screen}");
    }
}

/// The reasons said 78 % beside a headline that said 0.91.
#[test]
fn reasons_of_then_stand_beside_how_sure_it_is_now() {
    let mut detail = fixture::detail();
    let first = &mut detail.incident.diagnosis.hypotheses[0];
    let (cause, then) = (first.cause.clone(), first.confidence);
    first.confidence = 0.91;
    let suspicion = Suspicion {
        confidence: then,
        cause,
    };
    detail.plans[0].suspicion = Some(suspicion);
    let mut console = console();
    tell(&mut console, &detail);
    console.press_and_look("enter 7");
    let said = format!("by now checkout is suspected with confidence 0.91; {then:.2} then");
    let screen = console.screen();
    assert!(screen.contains(&said), "{said}\n{screen}");
}
