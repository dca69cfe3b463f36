//! Keys in, screen and requests out: what pressing does, and above all what it does not do.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::api::{CommandReply, IncidentDetail, WatchMessage};
use stormglass::model::{
    AlertRow, CHOSEN_BY_A_PERSON, ChangeKind, ChangeOf, ChangeState, Command, Coordinate, Delta,
    Duty, FindingId, HeldBack, HoldStage, IncidentId, Lane, Mode, Opinion, Outcome, PastRun,
    PlanId, PlanState, RawLine, RawLines, Refusal, Reopened, Risk, Role, RunId, RunPhase, Severity,
    Time, TimelineEntry, turn,
};
use stormglass::tui::{
    ACTIONS, Back, Event, Key, Keymap, Lookup, Overlay, Purpose, Request, Screen, ScreenWriter,
    Session, Tab, TerminalOp, Update, draw,
};

fn console() -> Console {
    Console::live(80, 24, "dark")
}

fn approve() -> Command {
    Command::Approve {
        plan: PlanId(3),
        digest: fixture::plan().digest.to_string(),
    }
}

#[test]
fn keys_give_commands() {
    let cases: [(&str, Vec<Command>); 9] = [
        (
            "down a",
            vec![Command::Acknowledge {
                incident: IncidentId(4819),
            }],
        ),
        (
            "down space space a",
            vec![
                Command::Acknowledge {
                    incident: IncidentId(4811),
                },
                Command::Acknowledge {
                    incident: IncidentId(4819),
                },
            ],
        ),
        (
            "down down X",
            vec![Command::Reopen {
                incident: IncidentId(4811),
            }],
        ),
        (
            "x wait tab enter",
            vec![Command::Resolve { incident: CHECKOUT }],
        ),
        ("! wait tab enter", vec![Command::KillSwitch { on: true }]),
        (
            "R n o enter",
            vec![Command::Reject {
                plan: PlanId(3),
                reason: "no".to_owned(),
            }],
        ),
        (
            "A o l e enter",
            vec![Command::Assign {
                incident: CHECKOUT,
                to: "ole".to_owned(),
            }],
        ),
        (
            "i h i alt-enter y o enter",
            vec![Command::Note {
                incident: CHECKOUT,
                text: "hi\nyo".to_owned(),
            }],
        ),
        ("Y wait tab enter", vec![approve()]),
    ];
    for (keys, expected) in cases {
        let mut console = console();
        console.press(keys);
        assert_eq!(console.commands(), expected, "{keys}");
    }
}

#[test]
fn nothing_approves_by_accident() {
    let cases = [
        ("a typed-ahead burst", "Y tab enter"),
        ("enter on the button the dialog opens on", "Y wait enter"),
        (
            "a held key",
            "Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y",
        ),
        ("leaving", "Y wait tab esc"),
        ("a word with the letter that says yes", "Y wait m a y Y e s"),
        ("a word and Enter", "Y wait tab o k enter"),
        ("a word with the sign of the kill switch", "! wait w o w !"),
        ("typing in the filter", "/ Y Y enter"),
        ("typing in the palette", ": Y Y esc"),
        ("typing a note", "i Y Y esc"),
        ("typing a reason", "R Y Y esc"),
        ("the kill switch, too quick", "! tab enter enter"),
        ("declaring over, too quick", "x tab enter"),
    ];
    for (what, keys) in cases {
        let mut console = console();
        console.press(keys);
        assert_eq!(console.commands(), [], "{what}");
    }
}

#[test]
fn pasted_text_never_approves() {
    for keys in ["", "Y wait", "Y wait tab", "! wait tab"] {
        let mut console = console();
        console.press(keys);
        console.event(Event::Paste("Y\r\ncheckout\r\n".to_owned()));
        assert_eq!(console.commands(), [], "{keys}");
    }
}

#[test]
fn a_second_y_approves_after_a_pause() {
    let mut console = console();
    console.press("Y wait Y");
    assert_eq!(console.commands(), [approve()]);
}

#[test]
fn high_risk_wants_the_name_typed() {
    let dangerous = |typed: &str, pasted: &str| {
        let mut console = console();
        let mut detail = fixture::detail();
        detail.plans[0].risk = Risk::High;
        console.told(Update::Detail(Box::new(detail)));
        console.press("Y wait");
        console.type_text(typed);
        console.event(Event::Paste(pasted.to_owned()));
        console.press("tab wait enter");
        console.commands()
    };
    assert_eq!(dangerous("", ""), []);
    assert_eq!(dangerous("check", "out"), []);
    assert_eq!(dangerous("Checkout", ""), []);
    assert_eq!(dangerous("checkout", ""), [approve()]);
}

#[test]
fn a_plan_that_changed_under_the_dialog_is_not_approved() {
    let mut console = console();
    console.press("Y wait");
    let mut detail = fixture::detail();
    detail.plans[0].digest = "another".into();
    console.told(Update::Detail(Box::new(detail)));
    let screen = console.screen();
    assert!(
        screen.contains("plan 3 is another than the one shown"),
        "{screen}"
    );
    console.press("tab enter");
    assert_eq!(console.commands(), []);
}

/// The incident whose plan is in doubt about its first step.
fn in_doubt() -> IncidentDetail {
    let mut detail = fixture::detail();
    let run = RunId {
        plan: PlanId(3),
        phase: RunPhase::Forward,
        step: 0,
    };
    detail.plans[0].state = PlanState::Unknown { run };
    detail
}

#[test]
fn a_step_in_doubt_is_settled_by_a_person() {
    let settle = |keys: &str| {
        let mut console = console();
        console.told(Update::Detail(Box::new(in_doubt())));
        console.screen();
        console.press("Y");
        console.screen();
        console.press(keys);
        console.commands()
    };
    let said = |outcome| {
        vec![Command::Settle {
            plan: PlanId(3),
            outcome,
        }]
    };
    assert_eq!(settle("wait enter"), []);
    assert_eq!(settle("down enter"), []);
    assert_eq!(settle("wait down enter"), said(Outcome::Succeeded));
    let why = "settled by a person".to_owned();
    assert_eq!(
        settle("wait down down enter"),
        said(Outcome::Failed { why })
    );
}

#[test]
fn a_doubt_that_somebody_else_settled_is_settled_no_more() {
    let mut console = console();
    let mut detail = in_doubt();
    console.told(Update::Detail(Box::new(detail.clone())));
    console.screen();
    console.press("Y wait down");
    assert!(console.screen().contains("decide later"));

    detail.plans[0].state = PlanState::Verifying {
        until: fixture::now(),
    };
    detail.incident.timeline.push(TimelineEntry {
        at: fixture::now(),
        lane: Lane::Person,
        entity: None,
        text: "plan 3 in doubt: ole says it succeeded: roll back".into(),
    });
    console.told(Update::Detail(Box::new(detail)));
    let screen = console.screen();
    assert!(
        screen.contains("settled meanwhile: plan 3 is verifying; plan 3 in doubt:"),
        "{screen}"
    );
    assert!(!screen.contains("decide later"), "{screen}");
    console.press("wait enter");
    assert_eq!(console.commands(), []);
    assert!(console.screen().contains("Nothing was decided"));
}

#[test]
fn how_a_call_is_known_has_an_age_only_if_it_was_ever_seen() {
    let mut console = console();
    let mut detail = fixture::detail();
    detail.incident.path_edges[0].last_seen = Time::ZERO;
    console.told(Update::Detail(Box::new(detail)));
    console.press("enter 3 w");
    let screen = console.screen();
    assert!(!screen.contains("confirmed 2"), "{screen}");
    assert!(
        screen.contains("- pg-main: traced\n") || screen.contains("- pg-main: traced "),
        "{screen}"
    );
    assert!(!screen.contains("pg-main: traced, last"), "{screen}");
}

#[test]
fn a_viewer_is_told_why_a_key_is_dead() {
    let mut console = console();
    let mut view = fixture::view();
    view.actor.role = Role::Viewer;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    for keys in ["a", "Y", "R", "U", "!", "i", "x"] {
        console.press(keys);
        assert_eq!(console.commands(), [], "{keys}");
        let screen = console.screen();
        assert!(screen.contains("you are a viewer"), "{keys}\n{screen}");
    }
}

#[test]
fn answers_and_refusals_are_told() {
    let mut console = console();
    let command = Command::Acknowledge { incident: CHECKOUT };
    let reply = |refused| CommandReply {
        command: command.clone(),
        refused,
        notice: None,
        silence: None,
    };
    console.told(Update::Replied(reply(None)));
    assert!(console.screen().contains("You have #4821."));
    console.told(Update::Replied(reply(Some(Refusal::KillSwitch))));
    assert!(
        console
            .screen()
            .contains("Refused: all automation is stopped")
    );
    console.told(Update::Failed {
        request: Box::new(Request::Command(command)),
        why: "no daemon answers".to_owned(),
    });
    assert!(
        console
            .screen()
            .contains("Not done: acknowledge #4821: no daemon answers")
    );
}

/// A command whose answer never came may be done all the same: it is not said to be undone.
#[test]
fn a_command_without_an_answer_is_in_doubt() {
    let mut console = console();
    console.press("Y wait Y");
    let why = "approve plan 3: no answer; it may still be done: look at plan 3";
    console.told(Update::InDoubt {
        command: Box::new(approve()),
        why: why.to_owned(),
    });
    let screen = console.screen();
    assert!(screen.contains(&format!("In doubt: {why}.")), "{screen}");
    assert!(!screen.contains("Not done"), "{screen}");
    console.wait(10_000);
    assert!(!console.screen().contains("waiting for an answer"));
}

/// Whoever sees nothing happen presses again: the footer says what is on its way.
#[test]
fn what_was_sent_and_is_not_answered_is_said() {
    let mut console = console();
    let waits = |console: &Console| {
        let screen = console.screen();
        let last = screen.lines().last().unwrap_or_default().to_owned();
        last.contains("waiting for an answer").then_some(last)
    };
    console.press("Y wait Y");
    assert_eq!(waits(&console), None);
    let due = console.state.deadline().expect("something is due");
    assert_eq!(due.since(console.now), 300);
    console.wait(299);
    assert_eq!(waits(&console), None);
    console.wait(1);
    let said = " sent: approve plan 3, waiting for an answer";
    assert_eq!(waits(&console).as_deref(), Some(said));
    console.press("R x enter");
    let more = " sent: approve plan 3 (and 1 more), waiting for an answer";
    assert_eq!(waits(&console).as_deref(), Some(more));
    for command in console.commands() {
        console.told(Update::Replied(CommandReply {
            command,
            refused: None,
            notice: None,
            silence: None,
        }));
    }
    console.wait(10_000);
    assert_eq!(waits(&console), None);
}

/// The banner fits the smallest screen, whatever broke the connection.
#[test]
fn a_lost_connection_is_told_in_one_line() {
    let daemon = "/run/user/1000/stormglass/stormglass.sock";
    let cases = [
        (
            "nothing heard for 15 s".to_owned(),
            " Connection lost: nothing heard for 15 s. Trying again; what you see is old.",
        ),
        (
            format!("no daemon answers at {daemon}: Connection refused (os error 111)"),
            "; trying again",
        ),
    ];
    for (why, end) in cases {
        let mut console = console();
        console.told(Update::Lost { why });
        let screen = console.screen();
        let banner = screen.lines().nth(1).unwrap_or_default().trim_end();
        assert!(banner.starts_with(" Connection lost: n"), "{banner}");
        assert!(banner.ends_with(end), "{banner}");
    }
}

#[test]
fn keys_lead_somewhere_and_back() {
    let incident = Screen::Incident(CHECKOUT);
    let cases = [
        ("enter", incident, Tab::Timeline),
        ("enter 4", incident, Tab::Metrics),
        ("enter tab", incident, Tab::Why),
        ("enter shift-tab", incident, Tab::Actions),
        ("enter 4 esc", Screen::Incidents, Tab::Metrics),
        ("g a", Screen::Alerts, Tab::Timeline),
        ("g s q", Screen::Incidents, Tab::Timeline),
        ("enter 3 g s -", incident, Tab::Path),
        ("enter 3 [", incident, Tab::Timeline),
        ("enter 3 [ ]", incident, Tab::Path),
        ("enter g g", incident, Tab::Timeline),
        ("enter 3 c", incident, Tab::Timeline),
    ];
    for (keys, screen, tab) in cases {
        let mut console = console();
        console.screen();
        console.press(keys);
        assert_eq!(
            (console.state.place.screen, console.state.place.tab),
            (screen, tab),
            "{keys}"
        );
    }
}

#[test]
fn quitting_copying_and_suspending_reach_the_terminal() {
    let cases = [
        ("q", TerminalOp::Quit),
        ("enter ctrl-c", TerminalOp::Quit),
        ("ctrl-z", TerminalOp::Suspend),
        ("ctrl-l", TerminalOp::Redraw),
        ("f2", TerminalOp::Mouse(true)),
        (
            "y",
            TerminalOp::Copy(
                "#4821 service/checkout p99 latency 4.2s, expected 0.3s to 0.6s".to_owned(),
            ),
        ),
    ];
    for (keys, expected) in cases {
        let mut console = console();
        console.press(keys);
        assert_eq!(console.terminal, [expected], "{keys}");
    }
}

#[test]
fn every_action_is_reached_by_key_and_by_palette() {
    let keymap = Keymap::shipped("default").expect("shipped");
    for row in &ACTIONS {
        let keys = keymap.keys(row.action).expect("every action has a key");
        let mut by_key = console();
        by_key.screen();
        by_key.press(&keys);
        let mut by_name = console();
        by_name.screen();
        by_name.press(":");
        by_name.type_text(row.name);
        by_name.screen();
        by_name.press("enter");
        assert_eq!(by_key.commands(), by_name.commands(), "{}", row.name);
        assert_eq!(by_key.terminal, by_name.terminal, "{}", row.name);
        let kind = |console: &Console| {
            console
                .state
                .overlay
                .as_ref()
                .map(std::mem::discriminant::<Overlay>)
        };
        assert_eq!(kind(&by_key), kind(&by_name), "{}", row.name);
        assert_eq!(
            by_key.state.place.screen, by_name.state.place.screen,
            "{}",
            row.name
        );
    }
}

#[test]
fn a_filter_stays_until_esc() {
    let mut console = console();
    console.press("/ p a y enter");
    assert_eq!(console.state.list.order(), [IncidentId(4819)]);
    console.press("esc");
    assert_eq!(console.state.list.order().len(), 3);
}

#[test]
fn a_gap_asks_for_a_snapshot() {
    let mut console = console();
    let deltas = |seq| {
        Update::Watch(WatchMessage::Deltas {
            seq,
            at: fixture::now(),
            deltas: vec![Delta::IncidentGone(CHECKOUT)],
        })
    };
    console.told(deltas(8));
    assert_eq!(console.requests, [Request::Detail(IncidentId(4819))]);
    console.requests.clear();
    console.told(deltas(10));
    assert_eq!(console.requests, [Request::Snapshot]);
}

#[test]
fn details_are_fetched_when_the_cursor_rests_and_when_they_change() {
    let mut console = console();
    console.press("down");
    assert_eq!(console.requests, []);
    console.wait(150);
    assert_eq!(console.requests, [Request::Detail(IncidentId(4819))]);
    console.requests.clear();
    console.press("up");
    console.wait(150);
    let mut row = fixture::view().incidents[&CHECKOUT].clone();
    row.revision = 2;
    console.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::Incident(row)],
    }));
    assert_eq!(console.requests, [Request::Detail(CHECKOUT)]);
}

#[test]
fn an_alert_page_leads_to_the_next() {
    let mut console = console();
    console.press("g a");
    let mut page = fixture::alerts();
    page.next = Some("2".to_owned());
    page.total = 4;
    console.told(Update::Alerts { after: None, page });
    console.requests.clear();
    console.press("down");
    let after = Some("2".to_owned());
    assert_eq!(
        console.requests,
        [Request::Alerts {
            after: after.clone()
        }]
    );
    console.told(Update::Alerts {
        after,
        page: fixture::alerts(),
    });
    assert!(console.screen().contains("4 shown"), "{}", console.screen());
}

#[test]
fn a_frozen_screen_holds_still_and_counts() {
    let mut console = console();
    console.press("f");
    let before = console.screen();
    console.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::IncidentGone(CHECKOUT)],
    }));
    let after = console.screen();
    assert!(after.contains("FROZEN 12:13Z, 1 new"), "{after}");
    assert_eq!(
        before.lines().skip(1).collect::<Vec<_>>(),
        after.lines().skip(1).collect::<Vec<_>>()
    );
    console.press("f");
    assert!(!console.screen().contains("4821"));
}

/// An incident worse than all others, just opened.
fn worse() -> Delta {
    let mut row = fixture::view().incidents[&CHECKOUT].clone();
    row.id = IncidentId(4900);
    row.began = fixture::now();
    Delta::Incident(row)
}

#[test]
fn the_cursor_is_on_the_worst_incident_until_somebody_is_at_the_keys() {
    let deltas = || {
        Update::Watch(WatchMessage::Deltas {
            seq: 8,
            at: fixture::now(),
            deltas: vec![worse()],
        })
    };
    let mut alone = console();
    alone.told(deltas());
    assert_eq!(alone.state.list.selected(), Some(IncidentId(4900)));
    let mut attended = console();
    attended.press("w esc");
    attended.told(deltas());
    assert_eq!(attended.state.list.selected(), Some(CHECKOUT));
}

#[test]
fn the_plan_under_the_cursor_stays_there_when_the_order_changes() {
    let mut console = console();
    let mut detail = fixture::detail();
    detail.plans = (1..=3)
        .map(|id| {
            let mut plan = fixture::plan();
            plan.id = PlanId(id);
            plan
        })
        .collect();
    console.told(Update::Detail(Box::new(detail.clone())));
    console.press("enter 7");
    console.screen();
    console.press("down down");
    assert_eq!(console.state.plan().map(|plan| plan.id), Some(PlanId(3)));
    detail.plans[0].state = PlanState::Expired;
    console.told(Update::Detail(Box::new(detail.clone())));
    assert_eq!(console.state.plan().map(|plan| plan.id), Some(PlanId(3)));
    console.press("g g");
    detail.plans[1].state = PlanState::Expired;
    console.told(Update::Detail(Box::new(detail)));
    let first = console.state.plan().map(|plan| plan.id);
    assert_eq!(first, Some(PlanId(3)), "the first row is what matters now");
}

#[test]
fn help_explains_the_words_of_the_view_and_does_what_a_key_does() {
    let mut console = console();
    console.press("enter 3 ?");
    let screen = console.screen();
    for words in ["Words of this view", "callers below", "traced 5m"] {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
    console.type_text("inferred");
    assert!(console.screen().contains("move together"));
    console.press("enter");
    assert!(console.state.overlay.is_some(), "a word does nothing");
    console.press("esc ?");
    console.type_text("kill-switch");
    console.screen();
    console.press("enter");
    assert!(matches!(
        console.state.overlay,
        Some(Overlay::Confirm { .. })
    ));
}

#[test]
fn the_page_of_keys_is_fresh() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys.md");
    let page = stormglass::tui::key_page().expect("shipped keymaps are sound");
    if std::env::var_os("STORMGLASS_BLESS").is_some() {
        std::fs::write(&path, &page).expect("docs is writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/keys.md is stale: STORMGLASS_BLESS=1 cargo test --test screens_keys"
    );
}

#[test]
fn emacs_fingers_leave_boxes_with_ctrl_g() {
    let mut console = console();
    console.state.keymap = Keymap::shipped("emacs").expect("shipped");
    console.press("alt-x");
    assert!(console.state.overlay.is_some());
    console.press("ctrl-g");
    assert!(console.state.overlay.is_none());
}

#[test]
fn a_cursor_move_costs_few_bytes() {
    /// What a move may cost on the line.
    const BYTES_MAX: usize = 250;
    // The story of a plan is the exception: it is never that of another than the one under the cursor.
    let places = [
        "", "enter 1", "enter 3", "enter 4", "enter 5", "enter 6", "g a", "g s",
    ];
    let sizes = [(80, 24), (120, 40), (200, 60)];
    let everywhere = places
        .iter()
        .flat_map(|place| sizes.map(|size| (*place, size)));
    for (place, (columns, lines)) in everywhere {
        let mut console = Console::live(columns, lines, "dark");
        let mut detail = fixture::detail();
        for entry in &mut detail.incident.timeline {
            entry.text = format!(
                "{} {}",
                entry.text,
                "and more than fits on a line ".repeat(3)
            )
            .into();
        }
        console.told(Update::Detail(Box::new(detail)));
        console.press(place);
        console.told(Update::Alerts {
            after: None,
            page: fixture::alerts(),
        });
        let mut writer = ScreenWriter::new(columns, lines);
        let mut frame = |console: &Console| writer.frame(|buf| draw(&console.state, buf)).len();
        frame(&console);
        console.press("g g wait");
        frame(&console);
        for key in ["down", "down", "up"] {
            console.press(key);
            let bytes = frame(&console);
            assert!(
                bytes <= BYTES_MAX,
                "{place:?} {key} at {columns}x{lines}: {bytes} bytes"
            );
        }
    }
}

/// A list longer than its pane scrolls, which a terminal does by itself.
#[test]
fn a_move_that_scrolls_costs_few_bytes() {
    const BYTES_MAX: usize = 250;
    let mut console = console();
    let mut page = fixture::alerts();
    for at in 10..90 {
        let mut alert = page.items[at % 2].clone();
        alert.fingerprint = stormglass::model::Fingerprint(at as u64);
        alert.starts_at = alert.starts_at.plus_ms(at as i64 * 1_000);
        alert.summary = format!("{at} of 90 in a summary of the usual length").into();
        page.items.push(alert);
    }
    console.press("g a");
    console.told(Update::Alerts { after: None, page });
    let mut writer = ScreenWriter::new(80, 24);
    let mut terminal = vt100::Parser::new(24, 80, 0);
    for at in 0..60 {
        let bytes = writer.frame(|buf| draw(&console.state, buf)).to_owned();
        terminal.process(bytes.as_bytes());
        assert!(
            at == 0 || bytes.len() <= BYTES_MAX,
            "{at}: {} bytes",
            bytes.len()
        );
        console.press(if at < 40 { "j" } else { "k" });
    }
    terminal.process(writer.frame(|buf| draw(&console.state, buf)).as_bytes());
    let shown: Vec<String> = terminal.screen().rows(0, 80).collect();
    assert_eq!(shown.join("\n").trim_end(), console.screen().trim_end());
}

#[test]
fn a_view_is_a_string_that_can_be_typed() {
    let cases = [
        (
            "incident 4819 why",
            Screen::Incident(IncidentId(4819)),
            Tab::Why,
        ),
        ("incidents sort:age /pay", Screen::Incidents, Tab::Timeline),
        ("alerts /pool", Screen::Alerts, Tab::Timeline),
    ];
    for (text, screen, tab) in cases {
        let mut console = console();
        console.press(":");
        console.type_text(text);
        assert!(console.screen().contains(text), "{}", console.screen());
        console.press("enter");
        assert_eq!(
            (console.state.place.screen, console.state.place.tab),
            (screen, tab),
            "{text}"
        );
        console.press(":");
        let here = format!("You are at: {text}");
        assert!(console.screen().contains(&here), "{}", console.screen());
    }
    let mut console = console();
    console.press(":");
    console.type_text("incident 9999 why");
    console.press("enter");
    // It may be part of another one: the daemon is asked.
    let asked = Screen::Incident(IncidentId(9999));
    assert_eq!(console.state.place.screen, asked);
}

/// The way back leads to a view as it was left, filter and order included.
#[test]
fn history_knows_what_was_shown() {
    let mut console = console();
    let mut goes = |keys: &str, there: &str| {
        console.press_and_look(keys);
        assert_eq!(console.state.view_string(), there, "{keys}");
    };
    goes("/ p a y enter s", "incidents sort:age /pay");
    goes("enter 5 / p o o l enter", "incident 4819 logs /pool");
    goes("esc q esc", "incidents sort:age");
    goes("g s [", "incidents sort:age");
    goes("[", "incident 4819 logs");
    goes("[ [", "incidents sort:age /pay");
    goes("] ]", "incident 4819 logs");
    goes("g s - -", "sources");
}

#[test]
fn what_changed_since_the_last_look_is_told_and_marked() {
    let mut console = Console::blank(80, 24, "mono");
    let looked = fixture::at(4, 0);
    let mut view = fixture::view();
    let search = view.incidents.get_mut(&IncidentId(4811)).expect("a row");
    search.updated = looked;
    console.state.since_looked(looked);
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console.state.since_looked(looked);
    let screen = console.screen();
    let told = "Since you looked, 9m ago: 0 opened, 2 changed, 0 over; * marks them.";
    assert!(screen.contains(told), "{screen}");
    let marked = |screen: &str| -> Vec<bool> {
        let rows = screen.lines().skip(2).take(3);
        rows.map(|row| row.chars().nth(1) == Some('*')).collect()
    };
    assert_eq!(marked(&screen), [true, true, false]);
    console.press("enter esc");
    assert_eq!(marked(&console.screen()), [false, true, false]);
}

/// A dropped connection ends a console; the next one is where that was, and a shift later it is not.
#[test]
fn a_console_goes_back_to_the_view_that_was_left_just_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("console.json");
    let view = fixture::view();
    for (minutes, words) in [(2, "#4819 Why"), (600, "incidents")] {
        let mut left = console();
        left.press_and_look("j enter 2");
        let here = left.state.view_string();
        assert_eq!(here, "incident 4819 why");
        let at = view.at.plus_ms(-minutes * 60_000);
        let mut session = Session::load(Some(&file));
        session
            .look(&Session::place_of(&view), at, &here)
            .expect("it is written");
        let mut console = Console::blank(80, 24, "mono");
        console.state.session = Session::load(Some(&file));
        let told = WatchMessage::Snapshot(Box::new(view.clone()));
        console.told(Update::Watch(told));
        let screen = console.screen();
        let header = screen.lines().next().unwrap_or_default();
        assert!(header.contains(words), "after {minutes} min: {header}");
        assert!(screen.contains("Since you looked") || screen.contains("since you looked"));
        console.press_and_look("-");
        assert!(console.screen().contains("incidents"));
    }
}

/// While nothing was heard for minutes the world went on.
#[test]
fn after_a_connection_was_lost_for_long_it_is_told_what_changed() {
    let mut view = fixture::view();
    for (minutes, told) in [(0, false), (5, true)] {
        let mut console = console();
        view.at = fixture::now().plus_ms(minutes * 60_000);
        let row = view.incidents.get_mut(&CHECKOUT).expect("checkout");
        row.updated = view.at;
        let why = "connection refused".to_owned();
        console.told(Update::Lost { why });
        console.told(Update::Watch(WatchMessage::Snapshot(Box::new(
            view.clone(),
        ))));
        let screen = console.screen();
        let words = "Since you looked, 5m ago: 0 opened, 1 changed, 0 over";
        assert_eq!(screen.contains(words), told, "{minutes} min: {screen}");
    }
}

#[test]
fn the_plan_a_person_chose_comes_before_the_engines() {
    let mut console = console();
    let mut detail = fixture::detail();
    let mut chosen = fixture::plan();
    chosen.id = PlanId(9);
    chosen.because = vec![CHOSEN_BY_A_PERSON.into()];
    detail.plans.push(chosen);
    console.told(Update::Detail(Box::new(detail)));
    let screen = console.screen();
    assert!(screen.contains("Y approves plan 9"), "{screen}");
    assert!(screen.contains("Y approve plan 9"), "{screen}");
    console.press("wait Y");
    assert!(console.screen().contains("Approve plan 9:"));
}

#[test]
fn runbooks_are_found_by_typing_and_those_that_cannot_be_used_say_why() {
    let mut console = console();
    console.press("p");
    let target = fixture::service("checkout");
    let asked = Request::Runbooks {
        incident: CHECKOUT,
        target: target.clone(),
    };
    assert_eq!(console.requests, [asked]);
    console.told(Update::Runbooks {
        incident: CHECKOUT,
        rows: fixture::runbooks(),
    });
    console.requests.clear();
    console.press("u n i t enter");
    let screen = console.screen();
    assert!(
        screen.contains("is not known of service/checkout"),
        "{screen}"
    );
    assert_eq!(console.requests, []);
    console.press("backspace backspace backspace backspace s c a l enter");
    let propose = Command::Propose {
        incident: CHECKOUT,
        runbook: "scale-deployment".to_owned(),
        target,
    };
    assert_eq!(console.requests, [Request::Command(propose)]);
}

#[test]
fn nothing_is_decided_in_a_replay() {
    let mut console = console();
    let mut view = fixture::view();
    view.mode = Mode::Replay {
        until: fixture::at(20, 0),
    };
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console.requests.clear();
    for key in ["a", "Y", "p", "!", "x"] {
        console.press(key);
        let screen = console.screen();
        assert!(
            screen.contains("nothing can be decided in it"),
            "{key}: {screen}"
        );
        console.press("esc");
        assert!(console.state.overlay.is_none(), "{key}");
    }
    assert_eq!(console.requests, []);
}

#[test]
fn actions_work_on_the_marks() {
    let commands = |keys: &str| {
        let mut console = console();
        console.press(keys);
        assert!(console.state.list.marks.is_empty(), "{keys}");
        console.commands()
    };
    let incidents = [IncidentId(4811), IncidentId(4819)];
    assert_eq!(
        commands("down space space A o l e enter"),
        incidents.map(|incident| Command::Assign {
            incident,
            to: "ole".to_owned(),
        })
    );
    assert_eq!(
        commands("down space space x wait tab enter"),
        incidents.map(|incident| Command::Resolve { incident })
    );
}

#[test]
fn what_became_of_the_marks_is_told_together() {
    let acted = |refused: [Option<Refusal>; 2]| {
        let mut console = console();
        console.press("down space space a");
        let commands = console.commands();
        assert_eq!(commands.len(), refused.len());
        for (command, refused) in commands.into_iter().zip(refused) {
            console.told(Update::Replied(CommandReply {
                command,
                refused,
                notice: None,
                silence: None,
            }));
        }
        console.screen()
    };
    let screen = acted([None, None]);
    assert!(screen.contains("You have #4811 and #4819."), "{screen}");
    let screen = acted([Some(Refusal::KillSwitch), None]);
    assert!(screen.contains("Refused: all automation"), "{screen}");
    assert!(screen.contains("You have #4819."), "{screen}");
}

#[test]
fn several_are_declared_over_by_name() {
    let mut console = console();
    console.press("down space space x");
    let screen = console.screen();
    assert!(screen.contains("Declare #4811 and #4819 over?"), "{screen}");
}

#[test]
fn a_theme_is_looked_at_before_it_is_taken() {
    let mut console = console();
    let worn = |console: &Console| console.state.look.theme.name().to_owned();
    console.press(": l i g h");
    assert_eq!(worn(&console), "light");
    console.press("backspace backspace backspace backspace");
    assert_eq!(worn(&console), "dark", "nothing is chosen any more");
    console.press("l i g h esc");
    assert_eq!(worn(&console), "dark", "Esc goes back");
    console.press(": l i g h enter");
    assert_eq!(worn(&console), "light");
    assert!(console.state.overlay.is_none());
}

#[test]
fn the_dialog_says_how_it_went_the_last_times() {
    let mut console = Console::live(200, 60, "dark");
    let mut detail = fixture::detail();
    detail.plans[0].before = vec![PastRun {
        plan: PlanId(1),
        target: fixture::service("search"),
        at: fixture::at(-50, 0),
        ended: "rolled back".into(),
        why: Some("search did not recover".into()),
    }];
    console.told(Update::Detail(Box::new(detail)));
    console.press("Y");
    let screen = console.screen();
    let words = "1h ago plan 1 on search: rolled back, search did not recover";
    assert!(screen.contains(words), "{screen}");
}

#[test]
fn what_is_thought_of_an_incident_is_said_from_the_console() {
    let incident = CHECKOUT;
    let entity = |name| fixture::service(name);
    let mark = |opinion| Command::Mark {
        finding: FindingId(1),
        opinion: Some(opinion),
    };
    let cases = [
        ("enter 1 g g j d", mark(Opinion::Noise)),
        ("enter 3 u", mark(Opinion::Useful)),
        (
            "g c enter",
            Command::NameCause {
                incident,
                cause: Some(entity("checkout")),
                change: None,
            },
        ),
        (
            "g x j space j space enter",
            Command::Split {
                incident,
                entities: vec![fixture::database("pg-main"), entity("gateway")],
            },
        ),
        (
            "g m 4 8 1 9 enter",
            Command::Merge {
                incident,
                into: IncidentId(4819),
            },
        ),
    ];
    for (keys, expected) in cases {
        let mut console = console();
        console.press_and_look(keys);
        assert_eq!(console.commands(), [expected], "{keys}");
    }
    for keys in ["enter 1 g g d", "g x enter", "g m 9 9 enter", "g c esc"] {
        let mut console = console();
        console.press_and_look(keys);
        assert_eq!(console.commands(), [], "{keys}");
    }
}

/// The same key again takes back what was said.
#[test]
fn an_opinion_is_taken_back() {
    let mut console = console();
    console.press("enter 3 u");
    let command = console.commands()[0].clone();
    console.told(Update::Replied(CommandReply {
        command,
        refused: None,
        notice: None,
        silence: None,
    }));
    assert!(console.screen().contains("Useful: p99 latency"));
    console.press("u");
    let taken = Command::Mark {
        finding: FindingId(1),
        opinion: None,
    };
    assert_eq!(console.commands()[1..], [taken]);
}

#[test]
fn the_past_is_looked_at_and_left() {
    let shows = |console: &Console, words: &str| console.screen().contains(words);
    let mut console = console();
    console.press_and_look("enter 1 g g j t");
    assert!(shows(&console, "AS OF 12:03:00"));
    assert!(!shows(&console, "pool in use 100%"), "it comes 20 s later");
    assert!(shows(&console, "open  since") && shows(&console, "owner nobody"));
    console.press_and_look("right");
    assert!(shows(&console, "AS OF 12:03:20") && shows(&console, "pool in use 100%"));
    console.press_and_look("3");
    assert!(shows(&console, "gateway") && shows(&console, "ok"));
    // Nothing is decided in the past.
    console.press_and_look("a Y");
    assert_eq!(console.commands(), []);
    assert!(shows(&console, "comes back to now"));
    console.press_and_look("esc");
    console.press_and_look(", left");
    assert!(shows(&console, "AS OF 12:03:00"));
    // What comes meanwhile does not bring the present back.
    console.told(Update::Detail(Box::new(fixture::detail())));
    assert!(shows(&console, "AS OF 12:03:00"));
    console.press_and_look("t");
    assert!(shows(&console, "LIVE"));
    console.press_and_look("t esc");
    assert!(shows(&console, "LIVE") && shows(&console, "Path"));
    console.press_and_look("t q");
    assert!(
        shows(&console, "LIVE"),
        "leaving the incident leaves its past"
    );
}

/// Who has it, and what fires, was so from when the timeline tells it.
#[test]
fn the_past_knows_who_had_it_and_which_alerts_fired() {
    let mut console = Console::live(119, 35, "dark");
    let mut detail = fixture::detail();
    let entity = detail.incident.timeline[0].entity.clone();
    let told = |minute, lane, entity, text: &str| TimelineEntry {
        at: fixture::at(minute, 0),
        lane,
        entity,
        text: text.into(),
    };
    let over = "CheckoutLatencyHigh resolved";
    detail.incident.timeline.extend([
        told(8, Lane::Alert, entity, over),
        told(9, Lane::Person, None, "mia assigned it to ole"),
    ]);
    detail.incident.owner = Some("ole".to_owned());
    detail.incident.owned_since = Some(fixture::at(9, 0));
    console.told(Update::Detail(Box::new(detail)));
    console.press_and_look("enter 1 G t");
    for (keys, words) in [
        ("", ["AS OF 12:09", "owner ole", "1 alert, none firing"]),
        ("left", ["AS OF 12:08", "owner mia", "1 alert, none firing"]),
        ("left", ["AS OF 12:07:10", "owner mia", "1 alert firing"]),
        (
            "left left",
            ["AS OF 12:04:01", "owner nobody", "1 alert firing"],
        ),
    ] {
        console.press_and_look(keys);
        let screen = console.screen();
        for words in words {
            assert!(screen.contains(words), "no {words:?} in\n{screen}");
        }
    }
}

/// Only the latest spell of calm is kept beside the timeline, which tells of all of them.
#[test]
fn the_past_knows_when_it_was_calm_and_when_it_hurt_again() {
    let mut console = Console::live(119, 35, "dark");
    let mut detail = fixture::detail();
    let told = |minute, lane, text: &str| TimelineEntry {
        at: fixture::at(minute, 0),
        lane,
        entity: None,
        text: text.into(),
    };
    detail.incident.timeline.extend([
        told(8, Lane::Automation, turn::ALL_CALM),
        told(9, Lane::Anomaly, turn::HURTS_AGAIN),
        told(10, Lane::Automation, turn::HELD_BACK),
        told(10, Lane::Person, "resolved by mia"),
        told(
            11,
            Lane::Anomaly,
            "incident open again: it came back within 10m",
        ),
        told(12, Lane::Person, "mia: all signals are back to normal"),
    ]);
    detail.incident.reopened = Some(Reopened {
        over: fixture::at(10, 0),
        at: fixture::at(11, 0),
    });
    console.told(Update::Detail(Box::new(detail)));
    console.press_and_look("enter 1 G t");
    for (keys, words) in [
        ("", "AS OF 12:12:00 acknowledged again 12:11Z"),
        ("left", "AS OF 12:11:00 acknowledged again 12:11Z"),
        ("left", "AS OF 12:10:00 resolved  at 12:10Z"),
        ("left", "AS OF 12:09:00 acknowledged  since 12:03Z"),
        ("left", "AS OF 12:08:00 mitigated  since 12:08Z (0s)"),
        ("left", "AS OF 12:07:10 acknowledged  since 12:03Z"),
    ] {
        console.press_and_look(keys);
        let screen = console.screen();
        let (head, phase) = words.split_at("AS OF 12:00:00".len());
        for words in [head, phase.trim_start()] {
            assert!(screen.contains(words), "no {words:?} in\n{screen}");
        }
    }
}

/// What is done to an alert before it is told.
type Change<'a> = &'a dyn Fn(&mut AlertRow);

/// Who is not told of an alert learns by whom it was held back, and what it would have done.
#[test]
fn an_alert_that_is_held_back_says_what_it_would_do_otherwise() {
    let held = |alert: &mut AlertRow| {
        alert.incident = None;
        alert.held = Some(Box::new(HeldBack {
            stage: HoldStage::Silence,
            by: "silence 3".into(),
            why: "known, mended with v813 (ole)".into(),
            since: fixture::at(4, 0),
            until: Some(fixture::at(20, 0)),
            silence: None,
            inhibited_by: None,
        }));
    };
    let elsewhere = |alert: &mut AlertRow| {
        held(alert);
        alert.entity = fixture::service("mail");
    };
    let informs = |alert: &mut AlertRow| {
        held(alert);
        alert.severity = Severity::Info;
    };
    let cases: [(Change<'_>, &[&str]); 4] = [
        (&|_| {}, &["It belongs to #4821", "nobody silenced it"]),
        (
            &held,
            &[
                "no incident: it is held back",
                "silence 3: known, mended with v813 (ole); since 12:04Z, until 12:20Z at the latest",
                "it would count on #4821, which is about service/checkout",
            ],
        ),
        (
            &elsewhere,
            &["or open one as P1: none is about service/mail now"],
        ),
        (&informs, &["it only informs"]),
    ];
    for (change, said) in cases {
        let mut console = console();
        let mut page = fixture::alerts();
        page.items.truncate(1);
        change(&mut page.items[0]);
        console.press("g a");
        console.told(Update::Alerts { after: None, page });
        console.press("w");
        let screen = console.screen();
        let words: Vec<&str> = screen.split_whitespace().collect();
        let unbroken = words.join(" ");
        for words in said {
            assert!(unbroken.contains(words), "no {words:?} in\n{screen}");
        }
    }
}

/// Whoever finds no key for what they want finds the one that shows all, however narrow it is.
#[test]
fn the_key_of_help_is_on_every_footer() {
    for (columns, lines) in [(60, 20), (80, 24), (120, 40)] {
        for keys in [
            "", "enter", "2", "3", "4", "5", "6", "7", "1 t", "g a", "g s",
        ] {
            let mut console = Console::live(columns, lines, "dark");
            console.press_and_look("enter");
            console.press_and_look(keys);
            let screen = console.screen();
            let footer = screen.trim_end().lines().next_back().unwrap_or_default();
            // Over a box it would do nothing: there the way back matters.
            let wanted = if console.state.overlay.is_some() {
                "esc leave"
            } else {
                "? keys"
            };
            assert!(footer.contains(wanted), "{columns} {keys:?}: {footer}");
        }
    }
}

#[test]
fn a_part_of_the_timeline_is_shown_and_all_of_it_again() {
    let entries = |console: &Console| {
        let screen = console.screen();
        let rows = screen
            .lines()
            .map(|line| line.trim_start_matches([' ', '\u{25b8}']));
        rows.filter(|row| row.starts_with("12:")).count()
    };
    let mut console = console();
    console.press_and_look("enter 1 g g j");
    let all = entries(&console);
    console.press_and_look("v j j v");
    assert_eq!(entries(&console), 3);
    console.press_and_look("esc");
    assert_eq!(entries(&console), all);
    console.press_and_look("g g > > >");
    let near = entries(&console);
    assert!(near < all, "{near}");
    console.press_and_look("< < <");
    assert_eq!(entries(&console), all);
    console.press_and_look("m j j ' y");
    let copied = format!("{:?}", console.terminal.last());
    assert!(copied.contains("deploy v812"), "{copied}");
}

#[test]
fn who_does_what_is_arranged_from_the_console() {
    let incident = CHECKOUT;
    let duty = Duty::Commander;
    let who = |who: &str| Some(who.to_owned());
    let cases = [
        // Whoever opens it takes the duty; another name is typed over it.
        (
            "g d enter enter",
            Coordinate::Duty {
                duty,
                who: who("mia"),
            },
        ),
        (
            "g d enter ctrl-u o l e enter",
            Coordinate::Duty {
                duty,
                who: who("ole"),
            },
        ),
        (
            "g d enter ctrl-u enter",
            Coordinate::Duty { duty, who: None },
        ),
        (
            "g d j j j j enter",
            Coordinate::Done {
                task: 1,
                done: false,
            },
        ),
        (
            "g d j j j j j enter",
            Coordinate::Done {
                task: 2,
                done: true,
            },
        ),
        (
            "g d G k k enter c a l l space @ m i a space i n space 5 m enter",
            Coordinate::Task {
                text: "call".to_owned(),
                owner: who("mia"),
                due_ms: Some(300_000),
            },
        ),
    ];
    for (keys, act) in cases {
        let mut console = console();
        let mut detail = fixture::coordinated();
        if keys.starts_with("g d enter") {
            detail = fixture::detail();
        }
        console.told(Update::Detail(Box::new(detail)));
        console.press_and_look(keys);
        let expected = Command::Coordinate { incident, act };
        assert_eq!(console.commands(), [expected], "{keys}");
        assert!(console.state.overlay.is_some(), "{keys}");
    }
}

#[test]
fn a_status_update_begins_with_a_draft_and_says_when_it_is_due() {
    let mut console = console();
    console.told(Update::Detail(Box::new(fixture::coordinated())));
    assert!(
        console
            .screen()
            .contains("status update DUE, 1 task overdue")
    );
    console.press_and_look("g d G k enter");
    assert!(
        console
            .screen()
            .contains("The likely cause is the change deploy v812")
    );
    console.type_text("Hello. ");
    console.press("enter");
    let [
        Command::Coordinate {
            act: Coordinate::Status { text },
            ..
        },
    ] = &console.commands()[..]
    else {
        panic!("{:?}", console.commands());
    };
    assert!(text.starts_with("Hello. p99 latency"), "{text}");
    assert!(text.contains("Next update by 12:43 UTC."), "{text}");
}

#[test]
fn a_hand_over_tells_what_is_open_and_is_copied() {
    let mut console = console();
    console.told(Update::Detail(Box::new(fixture::coordinated())));
    console.press_and_look("g d G enter");
    let screen = console.screen();
    assert!(
        screen.contains("Hand-over of #4821, 12:13 UTC: y copies it"),
        "{screen}"
    );
    console.press_and_look("y");
    let Some(TerminalOp::Copy(text)) = console.terminal.last() else {
        panic!("{:?}", console.terminal);
    };
    for words in [
        "The likely cause is the change deploy v812",
        "plan 3 is proposed, until 12:34 UTC: Roll back checkout to v811 (medium risk).",
        "Owner mia, commander mia, operations nobody, communications ole, scribe nobody.",
        "To do, 2: call the payment provider (mia, OVERDUE since 12:10 UTC).",
        "Told at 12:04 UTC by ole: We are on it.",
        "The next update was due at 12:12 UTC.",
        "mia: looking at v812, asked the team",
        "no traces from db-2",
    ] {
        assert!(
            text.replace("\n  ", " ").contains(words),
            "{words} is not in\n{text}"
        );
    }
    console.press_and_look("esc");
    assert!(console.state.overlay.is_none());
}

/// Nothing is silenced without a reason, nor before it was said what that hides.
#[test]
fn a_silence_is_made_after_seeing_what_it_hides() {
    let mut console = console();
    console.press("g a");
    console.told(Update::Alerts {
        after: None,
        page: fixture::alerts(),
    });
    console.press("z");
    let Some(Request::Preview { matchers }) = console.requests.last().cloned() else {
        panic!("{:?}", console.requests);
    };
    let words: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert!(words[0].contains("CheckoutLatencyHigh") && words[1].contains("checkout"));
    console.type_text("too loud");
    console.press("enter");
    assert_eq!(console.commands(), [], "not yet known what it hides");
    console.told(fixture::preview(&matchers));
    assert!(console.screen().contains("it hides 2 critical alerts"));
    console.press("enter");
    let [Command::Silence { spec, .. }] = &console.commands()[..] else {
        panic!("{:?}", console.commands());
    };
    assert_eq!(
        (&spec.matchers, spec.reason.as_str()),
        (&matchers, "too loud")
    );
    assert_eq!(spec.ends_at, fixture::now().plus_ms(3_600_000));
    assert!(!spec.until_resolved, "unless it is asked for");
    // Other matchers are another silence: it is asked again, and not made meanwhile.
    let mut console = fixture::Console::live(80, 24, "dark");
    console.press("z up up up");
    console.told(fixture::preview(&matchers));
    console.press("ctrl-u");
    console.type_text("service=cart");
    console.press("enter enter enter");
    console.type_text("because");
    console.press("enter");
    assert_eq!(console.commands(), []);
    assert!(matches!(
        console.requests.last(),
        Some(Request::Preview { .. })
    ));
}

/// A silence that also ends once all it hides has resolved is made with a key.
#[test]
fn a_silence_until_resolved_is_made_in_the_dialog() {
    let mut console = console();
    console.press("g a");
    console.told(Update::Alerts {
        after: None,
        page: fixture::alerts(),
    });
    console.press("z");
    let Some(Request::Preview { matchers }) = console.requests.last().cloned() else {
        panic!("{:?}", console.requests);
    };
    console.told(fixture::preview(&matchers));
    assert!(console.screen().contains("[ ] all it hides has resolved"));
    console.press("up space");
    assert!(console.screen().contains("[x] all it hides has resolved"));
    console.press("enter");
    console.type_text("until it is mended");
    console.press("enter");
    let [Command::Silence { spec, .. }] = &console.commands()[..] else {
        panic!("{:?}", console.commands());
    };
    assert!(spec.until_resolved);
    assert_eq!(spec.reason, "until it is mended");
}

/// An incident is titled by what hurts most; what can be silenced are its alerts.
#[test]
fn a_silence_of_an_incident_is_of_its_alerts() {
    let mut console = console();
    console.press("z");
    assert!(
        console
            .requests
            .contains(&Request::AlertsOf { incident: CHECKOUT })
    );
    let mut page = fixture::alerts();
    page.items.truncate(1);
    page.items[0].firing = true;
    console.told(Update::AlertsOf {
        incident: CHECKOUT,
        page,
    });
    let Some(Request::Preview { matchers }) = console.requests.last().cloned() else {
        panic!("{:?}", console.requests);
    };
    assert!(
        matchers[0].to_string().contains("alertname"),
        "{matchers:?}"
    );
    console.told(Update::Preview {
        matchers,
        preview: Box::default(),
    });
    let screen = console.screen();
    assert!(screen.contains("It would hide NOTHING"), "{screen}");
}

#[test]
fn a_silence_is_ended_by_two_enters() {
    let mut console = console();
    let mut view = fixture::view();
    let silence = fixture::silence();
    view.silences.insert(silence.id, silence.clone());
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console.press("g z enter j enter");
    assert_eq!(console.commands(), []);
    console.press("enter");
    let silence = silence.id;
    assert_eq!(console.commands(), [Command::Expire { silence }]);
}

#[test]
fn the_lines_of_a_group_are_read_when_asked_for() {
    let mut console = console();
    console.press_and_look("enter 5");
    let asks = |request: &Request| matches!(request, Request::Lines { .. });
    assert!(!console.requests.iter().any(asks), "not before");
    console.press_and_look("enter");
    let asked = console.requests.iter().rev().find(|request| asks(request));
    let Some(Request::Lines {
        entity,
        template,
        from,
        to,
        ..
    }) = asked.cloned()
    else {
        panic!("{:?}", console.requests);
    };
    assert!(to.since(from) <= 15 * 60_000);
    assert!(console.screen().contains("Reading the flight recorder"));
    let line = |s: i64, text: &str| RawLine {
        at: to.plus_ms(-1_000 * s),
        text: text.into(),
    };
    let read = Box::new(RawLines {
        from,
        to,
        kept_from: Some(from.plus_ms(1)),
        read_to: to,
        count: 7,
        lines: vec![line(9, "earlier\x1b[31m"), line(1, "later\n  at Cart.pay")],
    });
    let answer = |template: &str| Update::Lines {
        entity: entity.clone(),
        template: template.into(),
        read: read.clone(),
    };
    console.told(answer("of another group"));
    assert!(console.screen().contains("Reading the flight recorder"));
    console.told(answer(&template));
    let screen = console.screen();
    let place = |words: &str| {
        screen
            .find(words)
            .unwrap_or_else(|| panic!("{words}: {screen}"))
    };
    assert!(place("later") < place("at Cart.pay") && place("at Cart.pay") < place("earlier"));
    place("The latest 2 of 7 lines from");
    place("recording goes back no further.");
    console.press_and_look("esc enter");
    console.told(Update::Lost { why: "cut".into() });
    assert!(
        console.screen().contains("ask again"),
        "{}",
        console.screen()
    );
}

#[test]
fn metrics_are_compared_with_what_was_recorded() {
    let shows = |console: &Console, words: &str| console.screen().contains(words);
    let mut console = console();
    console.press_and_look("enter 4 b b b");
    let asked: Vec<i64> = console
        .requests
        .iter()
        .filter_map(|request| match request {
            Request::Recorded { from, to, .. } => Some(to.since(*from)),
            _ => None,
        })
        .collect();
    assert_eq!(asked.len(), 3, "an hour, a day, a week before");
    assert!(shows(&console, "a week before: fetching"));
    console.answer_recorded(fixture::recorded);
    let screen = console.screen();
    assert!(screen.contains("- - a week before: "), "{screen}");
    // Of that time nothing was kept: said, and since when there is something.
    console.press_and_look("b b");
    let (from, to) = (fixture::at(-62, 0), fixture::at(-47, 0));
    console.told(Update::Recorded {
        incident: CHECKOUT,
        purpose: Purpose::Before(Back::Hour),
        recorded: Box::new(stormglass::model::Recorded {
            kept_from: Some(to.plus_ms(600_000)),
            read_to: from,
            lines: Vec::new(),
            ..fixture::recorded(from, to)
        }),
    });
    let screen = console.screen();
    assert!(
        screen.contains("not recorded: the recording goes back"),
        "{screen}"
    );
    console.press_and_look("b b b");
    assert!(!shows(&console, "before:"));
}

#[test]
fn a_moment_that_charts_do_not_reach_is_read_from_the_recording() {
    let mut console = console();
    // The charts begin after the moment.
    let mut panels = fixture::panels();
    let late = fixture::at(12, 0);
    for chart in &mut panels.charts {
        let shift_ms = late.since(chart.times[0]);
        chart
            .times
            .iter_mut()
            .for_each(|at| *at = at.plus_ms(shift_ms));
    }
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(panels),
    });
    console.press_and_look("enter 4 t");
    assert!(
        console.screen().contains("No metric of then: fetching"),
        "{}",
        console.screen()
    );
    console.answer_recorded(|from, to| stormglass::model::Recorded {
        read_to: to,
        ..fixture::recorded(from, to)
    });
    let screen = console.screen();
    assert!(screen.contains("from the recording"), "{screen}");
    // A small step needs no other reading, and what is new of the incident does not lose it.
    let asked = console.requests.len();
    console.press_and_look(",");
    console.told(Update::Detail(Box::new(fixture::detail())));
    let screen = console.screen();
    assert!(screen.contains("from the recording"), "{screen}");
    let recorded = |r: &&Request| matches!(r, Request::Recorded { .. });
    assert_eq!(console.requests[asked..].iter().filter(recorded).count(), 0);
}

/// The engine holds half an hour: an incident of an hour ago is drawn from its beginning all the same.
#[test]
fn a_chart_reaches_back_to_how_it_began_and_is_zoomed() {
    let mut console = console();
    let mut panels = fixture::panels();
    let late = fixture::at(8, 0);
    for chart in &mut panels.charts {
        let shift_ms = late.since(chart.times[0]);
        for at in &mut chart.times {
            *at = at.plus_ms(shift_ms);
        }
    }
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(panels),
    });
    console.press_and_look("enter");
    let charts = |console: &Console| -> Vec<(stormglass::model::Time, stormglass::model::Time)> {
        let stretch = |request: &Request| match request {
            Request::Recorded {
                purpose: Purpose::Charts,
                from,
                to,
                ..
            } => Some((*from, *to)),
            _ => None,
        };
        console.requests.iter().filter_map(stretch).collect()
    };
    assert_eq!(charts(&console), [], "nobody looks at it");
    console.press_and_look("4");
    // Five minutes before it began, up to what is held and a little more.
    assert_eq!(charts(&console), [(fixture::at(-2, 0), fixture::at(10, 0))]);
    let screen = console.screen();
    assert!(screen.contains("before this chart (fetching)"), "{screen}");
    console.answer_recorded(fixture::recorded);
    let screen = console.screen();
    assert!(!screen.contains("before this chart"), "{screen}");
    // Its time axis begins there, and what was changed then is marked.
    let has_axis =
        |screen: &str, from: &str| screen.lines().any(|line| line.trim().starts_with(from));
    assert!(has_axis(&screen, "11:58"), "{screen}");
    assert!(screen.contains("deploy v812"), "{screen}");
    console.press_and_look("> >");
    let [.., (from, to)] = charts(&console)[..] else {
        panic!("zoomed to is read");
    };
    assert!(
        from < fixture::at(3, 0) && to > fixture::at(3, 0),
        "around how it began"
    );
    assert_eq!(console.state.place.tab, Tab::Metrics);
    let zoomed = console.state.lanes.range;
    console.press_and_look(",");
    assert!(console.state.lanes.range < zoomed && console.state.travel.is_none());
    console.press_and_look("esc");
    assert_eq!(console.state.lanes.range, None);
    assert_eq!(console.state.place.tab, Tab::Metrics);
}

/// The past is compared with what was recorded before it, too.
#[test]
fn in_the_past_charts_are_compared_as_well() {
    let mut console = console();
    console.press_and_look("enter 4 b t");
    let asked = console.requests.len();
    console.press_and_look("b");
    let day = |r: &Request| {
        matches!(
            r,
            Request::Recorded {
                purpose: Purpose::Before(Back::Day),
                ..
            }
        )
    };
    assert!(
        console.requests[asked..].iter().any(day),
        "{:?}",
        &console.requests[asked..]
    );
}

#[test]
fn a_trace_is_followed_along_the_timeline_and_left() {
    let mut console = console();
    console.press_and_look("enter 6 j o");
    let screen = console.screen();
    assert!(screen.contains("Only trace 4bf92f35"), "{screen}");
    assert!(
        screen.contains("deploy v812") && !screen.contains("pool in use 100%"),
        "{screen}"
    );
    console.press_and_look("esc");
    let screen = console.screen();
    assert!(
        !screen.contains("Only trace") && screen.contains("pool in use 100%"),
        "{screen}"
    );
    console.press_and_look("3 G o");
    let screen = console.screen();
    assert!(
        screen.contains("Only pg-main") && screen.contains("pool in use 100%"),
        "{screen}"
    );
    assert!(!screen.contains("deploy v812 (ci)"), "{screen}");
}

#[test]
fn a_slow_link_is_told_and_a_quick_one_is_not() {
    let mut console = console();
    // Around the bound it stays what it was.
    for (ms, words) in [
        (12, ""),
        (80, ""),
        (180, " rtt 200ms"),
        (80, " rtt 100ms"),
        (2_400, " rtt 2s"),
        (40, ""),
    ] {
        console.state.feed.note_round_trip(ms);
        let screen = console.screen();
        let header = screen.lines().next().expect("a header");
        assert_eq!(header.contains("rtt"), !words.is_empty(), "{header}");
        assert!(header.contains(words), "{header}");
    }
}

/// A change that the engine suspects is confirmed where a cause is named, and by nobody else.
#[test]
fn a_change_is_confirmed_in_the_dialog_that_names_a_cause() {
    let change = |id: &str, minute, state| ChangeOf {
        id: id.into(),
        at: fixture::at(minute, 0),
        kind: ChangeKind::Deploy,
        entity: fixture::service("checkout"),
        title: format!("checkout {id}").into(),
        state,
    };
    let mut detail = fixture::detail();
    detail.incident.changes = vec![
        change("v812", 1, ChangeState::Suspect),
        change("v813", 2, ChangeState::None),
    ];
    detail.incident.priority_why = "checkout: 14.0 % of what users ask fails".into();
    let mut console = Console::live(120, 200, "dark");
    console.told(Update::Detail(Box::new(detail)));
    console.press("g c");
    let screen = console.screen();
    assert!(
        screen.contains("deploy: checkout v812 (suspect)"),
        "{screen}"
    );
    console.press("enter");
    let command = Command::NameCause {
        incident: CHECKOUT,
        cause: Some(fixture::service("checkout")),
        change: Some("v812".into()),
    };
    assert_eq!(console.commands(), [command]);
    console.press_and_look("enter 2");
    let screen = console.screen();
    assert!(screen.contains("Why it is P1"), "{screen}");
    assert!(
        screen.contains("14.0 % of what users ask fails"),
        "{screen}"
    );
}

/// Text with every letter that acts, and with a filter as one types it.
const TYPED: &str = "service:checkout aAiudxXYRU!zpwq gmgxgc tfov";

/// A world, the keys that lead to a view of it, and how wide its terminal is.
fn views() -> Vec<(String, Console)> {
    let tabs = (1..=7).map(|tab| format!("enter {tab}"));
    let screens = ["", "g a", "g s", "enter t"].map(str::to_owned);
    let keys: Vec<String> = screens.into_iter().chain(tabs).collect();
    let viewer = || {
        let mut view = fixture::view();
        view.actor.role = Role::Viewer;
        Update::Watch(WatchMessage::Snapshot(Box::new(view)))
    };
    let bare = || Update::Detail(Box::new(fixture::bare_detail()));
    let lost = || Update::Lost {
        why: "gone".to_owned(),
    };
    let mut found = Vec::new();
    for (columns, lines) in [(80, 24), (200, 60)] {
        let live = || Console::live(columns, lines, "dark");
        let told = |update| {
            let mut console = live();
            console.told(update);
            console
        };
        let worlds: [(&str, &dyn Fn() -> Console); 5] = [
            ("live", &live),
            ("a viewer", &|| told(viewer())),
            ("no plan", &|| told(bare())),
            ("lost", &|| told(lost())),
            ("nothing heard", &|| Console::blank(columns, lines, "dark")),
        ];
        for (world, begin) in worlds {
            for keys in &keys {
                let mut console = begin();
                console.press_and_look(keys);
                found.push((format!("{world}, {keys:?}, {columns}x{lines}"), console));
            }
        }
    }
    found
}

/// A filter that did not open let the text typed next act: `service:checkout` wrote a note.
#[test]
fn what_is_typed_after_a_key_that_opens_a_box_acts_on_nothing() {
    let keymap = Keymap::shipped("default").expect("shipped");
    let boxes = ACTIONS.iter().filter(|row| row.action.opens_box());
    for row in boxes {
        let keys = keymap.keys(row.action).expect("every action has a key");
        for before in ["", "g "] {
            for (of, mut console) in views() {
                let place = |console: &Console| {
                    let view = console.state.view_string();
                    let place = view.split(" /").next().map(str::to_owned);
                    (place, console.state.list.marks.len())
                };
                let was = (place(&console), console.terminal.clone());
                // A sequence that begins like another goes its own way.
                let pressed = format!("{before}{keys}");
                let first_two = pressed
                    .split(' ')
                    .take(2)
                    .map(|key| Key::parse(key).unwrap());
                let first_two: Vec<Key> = first_two.collect();
                if !before.is_empty() && keymap.lookup(&first_two) != Lookup::Nothing {
                    continue;
                }
                console.press(&pressed);
                console.type_text(TYPED);
                let of = format!("{before}{keys} on {of}\n{}", console.screen());
                assert_eq!(console.commands(), [], "{of}");
                assert_eq!((place(&console), console.terminal.clone()), was, "{of}");
                assert!(console.state.overlay.is_some(), "{of}");
            }
        }
    }
}

#[test]
fn what_was_refused_can_be_tried_again_and_left() {
    let mut console = console();
    let mut view = fixture::view();
    view.actor.role = Role::Viewer;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console.press("i");
    let live = WatchMessage::Snapshot(Box::new(fixture::view()));
    console.told(Update::Watch(live));
    console.press("i o k enter");
    let text = "ok".to_owned();
    let incident = CHECKOUT;
    assert_eq!(console.commands(), [Command::Note { incident, text }]);
    assert!(console.state.overlay.is_none());
}

#[test]
fn every_list_is_filtered_and_says_so_when_nothing_is_left() {
    let cases = [
        ("enter 4", "p99", "duration_p99", "pool_in_use"),
        ("enter 4", "text:pool", "pool_in_use", "duration_p99"),
        (
            "enter 4",
            "!service:checkout",
            "pool_in_use",
            "duration_p99",
        ),
        ("enter 5", "!pool", "retrying payment", "timeout acquiring"),
        ("g s", "state:blind", "remote_write", "otlp"),
    ];
    for (keys, typed, left, gone) in cases {
        let mut console = console();
        console.press_and_look(keys);
        let all = console.screen();
        console.press("/");
        console.type_text(typed);
        console.press("enter");
        let screen = console.screen().to_lowercase();
        assert!(
            screen.contains(&left.to_lowercase()),
            "{typed}\n{screen}\nof\n{all}"
        );
        assert!(!screen.contains(gone), "{typed}\n{screen}");
        let here = console.state.view_string();
        console.press_and_look("n N");
        assert_eq!(
            console.state.view_string(),
            here,
            "what is left is what matches"
        );
        console.press("/ ctrl-u");
        console.type_text("nowhere");
        console.press("enter");
        assert!(
            console.screen().contains("Esc shows all"),
            "{}",
            console.screen()
        );
        console.press_and_look("esc");
        assert!(console.screen().contains(gone), "{}", console.screen());
    }
}

#[test]
fn the_footer_of_zoomed_charts_says_how_to_go_along_and_back() {
    let mut console = console();
    console.press_and_look("enter 4");
    let footer = |console: &Console| console.screen().lines().last().unwrap().to_owned();
    let zoomed = [", earlier", ". later", "esc all the time"];
    let said = |console: &Console| zoomed.map(|words| footer(console).contains(words));
    assert_eq!(said(&console), [false; 3], "{}", footer(&console));
    assert!(
        footer(&console).contains("/ filter"),
        "{}",
        footer(&console)
    );
    console.press_and_look("> wait wait wait wait wait wait wait");
    assert_eq!(said(&console), [true; 3], "{}", footer(&console));
    console.press_and_look("esc");
    assert_eq!(said(&console), [false; 3], "{}", footer(&console));
}
