//! What is followed through the panes of an incident, and where an incident leads that is in no list any more
//! or came back.

mod fixture;

use fixture::{CHECKOUT, Console, at, service};
use stormglass::api::WatchMessage;
use stormglass::model::{
    Delta, Incident, IncidentId, Lane, LogGroup, Phase, Reopened, Time, TimelineEntry, TraceId,
};
use stormglass::tui::{Request, Screen, Tab, Update};

const PAYMENTS: IncidentId = IncidentId(4819);

fn console() -> Console {
    Console::live(120, 40, "mono")
}

fn entry(at: Time, lane: Lane, name: Option<&str>, text: &str) -> TimelineEntry {
    let (entity, text) = (name.map(service), text.into());
    TimelineEntry {
        at,
        lane,
        entity,
        text,
    }
}

/// The fixture with a second trace, from before the deploy, log lines that ended before it, and entries that
/// speak of it.
fn with_more(console: &mut Console) {
    let mut detail = fixture::detail();
    let timeline = &mut detail.incident.timeline;
    timeline.insert(
        0,
        entry(at(0, 10), Lane::Anomaly, Some("checkout"), "long before"),
    );
    timeline.push(entry(
        at(8, 0),
        Lane::Person,
        None,
        "mia: v812 is the third today",
    ));
    timeline.push(entry(at(8, 5), Lane::Person, None, "mia: v8123 is another"));
    console.told(Update::Detail(Box::new(detail)));
    let mut panels = fixture::panels();
    let mut earlier = panels.traces[0].clone();
    (earlier.trace, earlier.start) = (TraceId(0xe), at(0, 30));
    panels.traces.push(earlier);
    let over = LogGroup {
        template: "over before the deploy".into(),
        first_seen: at(0, 0),
        last_seen: at(0, 50),
        ..panels.logs[0].clone()
    };
    panels.logs.push(over);
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(panels),
    });
}

/// Presses keys, and looks for words that must and must not be on the screen then.
fn see(console: &mut Console, keys: &str, there: &[&str], gone: &[&str]) {
    console.press_and_look(keys);
    let screen = console.screen();
    for words in there {
        assert!(screen.contains(words), "{keys}: no {words:?} in\n{screen}");
    }
    for words in gone {
        assert!(!screen.contains(words), "{keys}: {words:?} in\n{screen}");
    }
}

#[test]
fn a_deploy_is_followed_through_timeline_logs_and_traces() {
    let mut console = Console::live(80, 24, "mono");
    with_more(&mut console);
    let only = "Only deploy v812 (ci), and checkout since; Esc ends it";
    let elsewhere = "pool in use 100%";
    let all = ["long before", elsewhere];
    see(&mut console, "enter 1 g g", &all, &["Only"]);
    let of_it = [only, "CheckoutLatencyHigh fires", "v812 is the third"];
    see(
        &mut console,
        "c o",
        &of_it,
        &["long before", elsewhere, "v8123 is"],
    );
    // The cursor stays on the deploy.
    assert!(
        console.screen().contains("\u{25b8}12:01:03Z"),
        "{}",
        console.screen()
    );
    see(
        &mut console,
        "5",
        &[only, "timeout acquiring"],
        &["over before"],
    );
    see(
        &mut console,
        "6",
        &[only, "4bf92f35"],
        &["trace 0000000000000000000000000000000e"],
    );
    // Esc ends it where one is.
    see(
        &mut console,
        "esc",
        &["trace 0000000000000000000000000000000e"],
        &["Only"],
    );
    see(&mut console, "1", &[elsewhere], &["Only"]);
    assert_eq!(console.state.place.screen, Screen::Incident(CHECKOUT));
}

#[test]
fn a_trace_and_an_entity_are_followed_likewise() {
    let mut console = Console::live(80, 24, "mono");
    with_more(&mut console);
    see(
        &mut console,
        "enter 6 o",
        &["Only trace 4bf92f35", "all it went through"],
        &[],
    );
    see(
        &mut console,
        "6",
        &["4bf92f35"],
        &["trace 0000000000000000000000000000000e"],
    );
    see(&mut console, "5", &["timeout acquiring"], &["over before"]);
    see(&mut console, "esc", &["over before"], &["Only"]);
    // From a log line and a chart to what else is told of what they are about.
    for tab in ["4", "5"] {
        let there = ["Only checkout; Esc ends it", "long before"];
        see(
            &mut console,
            &format!("{tab} g g o"),
            &there,
            &["pool in use 100%"],
        );
        see(&mut console, "esc", &["pool in use 100%"], &["Only"]);
    }
    // An entry that is no change leads to the next about the same.
    see(&mut console, "1 g g e o", &["pool in use 100%"], &["Only"]);
}

/// From what was noticed it is one key to the samples or the lines behind it, also when those are fetched
/// only then.
#[test]
fn a_finding_leads_to_its_chart_and_its_lines() {
    let panels = fixture::panels();
    let mut detail = fixture::detail();
    let findings = &mut detail.incident.findings;
    findings[1].series = Some(panels.charts[1].series);
    let mut lines = findings[0].clone();
    lines.since = fixture::at(3, 40);
    lines.text = "5xx 8.1%, expected below 0.4%".into();
    lines.subject = panels.logs[1].template.clone();
    findings.push(lines);
    for is_fetched_late in [false, true] {
        for (down, tab, at) in [
            (2, Tab::Metrics, 1),
            (3, Tab::Logs, 1),
            (0, Tab::Metrics, 0),
        ] {
            let mut console = Console::blank(80, 24, "dark");
            let view = Box::new(fixture::view());
            console.told(Update::Watch(WatchMessage::Snapshot(view)));
            console.told(Update::Detail(Box::new(detail.clone())));
            let told = || Update::Panels {
                incident: CHECKOUT,
                entity: None,
                panels: Box::new(panels.clone()),
            };
            if !is_fetched_late {
                console.told(told());
            }
            console.press_and_look("enter 1 g g");
            console.press_and_look(&"j ".repeat(down));
            console.press_and_look(&(tab as usize + 1).to_string());
            if is_fetched_late {
                console.told(told());
            }
            let found = console.state.cursor(tab).at(3);
            assert_eq!(found, at, "{tab:?}, {down} down, late: {is_fetched_late}");
        }
    }
}

#[test]
fn nothing_that_belongs_to_it_is_said_in_words() {
    let mut console = Console::live(80, 24, "mono");
    see(&mut console, "enter 3 G o", &["Only pg-main"], &[]);
    see(&mut console, "5", &["No log lines of it."], &[]);
    see(
        &mut console,
        "6",
        &["No trace that is kept here belongs to it."],
        &[],
    );
}

/// Payments as it was told while it was an incident of its own, changed.
fn payments(change: impl FnOnce(&mut Incident)) -> Update {
    let mut detail = fixture::detail();
    detail.plans.clear();
    let incident = &mut detail.incident;
    (incident.id, incident.entity) = (PAYMENTS, service("payments"));
    incident.title = "5xx 3.1% of requests, expected below 0.4%".into();
    incident.revision = 1;
    change(incident);
    Update::Detail(Box::new(detail))
}

/// Opens payments, tells that it is gone from the list, and answers what is asked about it then.
fn merge_away(console: &mut Console, change: impl FnOnce(&mut Incident)) {
    console.press_and_look("j wait enter 7");
    console.told(payments(|_| {}));
    console.wait(1_000);
    console.requests.clear();
    console.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::IncidentGone(PAYMENTS)],
    }));
    let asked = [Request::Detail(PAYMENTS)];
    assert_eq!(console.requests, asked);
    console.told(payments(|incident| {
        (incident.revision, incident.phase) = (9, Phase::Resolved);
        incident.resolved = Some(fixture::now().plus_ms(-60_000));
        change(incident);
    }));
}

#[test]
fn the_page_of_an_incident_that_was_merged_away_leads_to_the_other() {
    for (columns, lines) in [(60, 20), (80, 24), (120, 40), (200, 60)] {
        let mut console = Console::live(columns, lines, "mono");
        merge_away(&mut console, |incident| {
            incident.merged_into = Some(CHECKOUT);
        });
        let there = ["merged into #4821", "opens #4821"];
        see(
            &mut console,
            "",
            &there,
            &["Y approves", "waits for approval"],
        );
        // Nothing can be decided about it, and the keys say where to go.
        see(&mut console, "Y", &["#4819 is part of #4821 now"], &[]);
        see(&mut console, "esc 7", &["merged into #4821"], &["PLAN"]);
        assert!(console.commands().is_empty(), "{:?}", console.commands());
        console.press_and_look("enter");
        assert_eq!(console.state.place.screen, Screen::Incident(CHECKOUT));
        console.press_and_look("-");
        see(&mut console, "", &there, &[]);
        console.press_and_look("esc");
        assert_eq!(console.state.place.screen, Screen::Incidents);
    }
}

#[test]
fn an_incident_that_made_room_or_is_not_known_says_so() {
    let mut console = console();
    merge_away(&mut console, |_| {});
    see(
        &mut console,
        "",
        &["#4819  payments  over at 12:12Z", "made room"],
        &["merged"],
    );
    // One that is asked for by its number, and is in no list.
    console.press(":");
    console.type_text("incident 12 why");
    see(
        &mut console,
        "enter",
        &["#12  is in the list no more", "Fetching"],
        &[],
    );
    let asked = console.requests.len();
    console.told(Update::Failed {
        request: Box::new(Request::Detail(IncidentId(12))),
        why: "there is no incident #12".to_owned(),
    });
    see(
        &mut console,
        "",
        &["#12  is not in the list", "there is no incident #12"],
        &[],
    );
    console.wait(60_000);
    let again = |r: &Request| matches!(r, Request::Detail(IncidentId(12)));
    assert!(!console.requests[asked..].iter().any(again), "asked once");
    assert_eq!(console.state.place.tab, Tab::Timeline);
}

#[test]
fn an_incident_that_came_back_says_when_it_began_and_when_it_came_back() {
    let mut console = Console::live(80, 24, "mono");
    let (over, again) = (at(8, 0), at(10, 0));
    let mut view = fixture::view();
    let row = view.incidents.get_mut(&CHECKOUT);
    row.expect("checkout").reopened = Some(again);
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    let mut detail = fixture::detail();
    detail.incident.reopened = Some(Reopened { over, at: again });
    let told = [
        entry(over, Lane::Automation, None, "incident resolved: quiet"),
        entry(again, Lane::Person, None, "reopened by mia"),
    ];
    detail.incident.timeline.extend(told);
    console.told(Update::Detail(Box::new(detail)));
    let there = ["acknowledged again 12:10Z (3m)  owner mia  began 12:03Z"];
    see(&mut console, "enter", &there, &["since 12:03Z (10m)"]);
    let words = ["It was over at 12:08Z and was opened again at 12:10Z."];
    see(&mut console, "2", &words, &[]);
    // In between it was over, and before that it was open since it began.
    let words = ["AS OF 12:08:00Z", "resolved  at 12:08Z"];
    see(&mut console, "1 G k t", &words, &["again 12:10Z"]);
    let words = ["acknowledged  since 12:03Z"];
    see(&mut console, "left", &words, &["again 12:10Z", "resolved"]);
}

#[test]
fn whoever_ends_following_a_trace_stays_on_it() {
    let mut console = Console::live(120, 40, "mono");
    with_more(&mut console);
    let second = fixture::panels().traces[0].spans.len() + 1;
    let downs = vec!["down"; second + 2].join(" ");
    console.press_and_look(&format!("enter 6 {downs}"));
    let cursor = |console: &Console| console.state.cursor(Tab::Traces).at(usize::MAX);
    assert_eq!(cursor(&console), second + 2, "the third line of the second");
    console.press_and_look("o 6 down down");
    assert_eq!(cursor(&console), 2, "it is alone there");
    console.press_and_look("esc");
    assert_eq!(cursor(&console), second + 2);
}

#[test]
fn why_on_a_trace_says_what_it_waited_for_and_where_it_failed() {
    let mut console = Console::live(120, 40, "mono");
    let words = ["Why it is kept", "What all of it waited for", "of its own"];
    see(&mut console, "enter 6 w", &words, &["Why these signals"]);
}
