//! What stays under the operator's eyes and fingers while the world moves on: rows, the beginning, and what
//! is offered; and how what is over is told.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::api::WatchMessage;
use stormglass::model::{Command, Delta, IncidentId, Phase};
use stormglass::tui::{Overlay, Tab, Update};

fn console() -> Console {
    Console::live(80, 24, "dark")
}

/// An incident worse than all others, just opened.
fn worse() -> Delta {
    let mut row = fixture::view().incidents[&CHECKOUT].clone();
    row.id = IncidentId(4900);
    row.owner = None;
    row.began = fixture::now();
    Delta::Incident(row)
}

/// The world takes the row away under the cursor and a key is already on its way.
#[test]
fn a_key_just_after_its_row_changed_is_refused_with_a_sentence() {
    let told = |deltas| {
        Update::Watch(WatchMessage::Deltas {
            seq: 8,
            at: fixture::now(),
            deltas,
        })
    };
    let vanish = || told(vec![Delta::IncidentGone(CHECKOUT)]);
    for key in ["a", "x", "i", "Y", "R", "p", "z"] {
        let mut console = console();
        console.press("w esc wait");
        console.told(vanish());
        console.press(key);
        assert_eq!(console.commands(), [], "{key}");
        let opened = !matches!(console.state.overlay, None | Some(Overlay::Refused(_)));
        assert!(!opened, "{key} opened something");
        if !matches!(key, "Y" | "R") {
            let screen = console.screen();
            let said = "#4819 came here only this moment; look, then press again";
            assert!(screen.contains(said), "{key}: {screen}");
        }
    }
    // Nobody at the keys: the first row follows the worst, and the first key may have meant another.
    let mut console = console();
    console.told(told(vec![worse()]));
    console.press("a");
    assert_eq!(console.commands(), []);
    console.press("wait a");
    let incident = IncidentId(4900);
    assert_eq!(console.commands(), [Command::Acknowledge { incident }]);
    // A row that stays where it is is believed, whatever came above it; so is a stop.
    let incident = IncidentId(4819);
    let mut console = Console::live(80, 24, "dark");
    console.press("down wait");
    console.told(told(vec![worse()]));
    console.press("a");
    assert_eq!(console.commands(), [Command::Acknowledge { incident }]);
    console.told(told(vec![Delta::IncidentGone(incident)]));
    console.press("! wait tab enter");
    let stop = Command::KillSwitch { on: true };
    assert!(console.commands().contains(&stop));
}

#[test]
fn a_key_just_after_a_freeze_took_its_row_is_refused() {
    let mut console = console();
    console.press("f");
    console.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::now(),
        deltas: vec![Delta::IncidentGone(CHECKOUT)],
    }));
    console.press("f a");
    assert_eq!(console.commands(), []);
    assert!(console.screen().contains("came here only this moment"));
}

/// Charts come again every few seconds, the most unusual first: the one under the cursor stays there.
#[test]
fn the_chart_and_the_entry_under_the_cursor_stay_there_when_others_come() {
    let mut console = console();
    console.press_and_look("enter 4 down");
    let mut panels = fixture::panels();
    let chart = panels.charts[1].clone();
    panels.charts.rotate_right(1);
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(panels.clone()),
    });
    let at = console.state.cursor(Tab::Metrics).at(panels.charts.len());
    assert_eq!(panels.charts[at].series, chart.series);

    console.press_and_look("1 g g down down");
    let mut detail = fixture::detail();
    let entry = detail.incident.timeline[2].clone();
    let late = detail.incident.timeline[1].clone();
    detail.incident.timeline.insert(1, late);
    console.told(Update::Detail(Box::new(detail.clone())));
    let at = console
        .state
        .cursor(Tab::Timeline)
        .at(detail.incident.timeline.len());
    assert_eq!(detail.incident.timeline[at], entry);
}

#[test]
fn how_it_began_stays_on_screen_while_the_timeline_follows_its_end() {
    let mut console = console();
    let mut detail = fixture::detail();
    let cause = detail.incident.timeline[0].text.to_string();
    let symptom = detail.incident.timeline[1].text.to_string();
    let many = detail.incident.timeline.len() + 40;
    for n in 0..40 {
        let mut entry = detail.incident.timeline[2].clone();
        entry.at = fixture::at(5, n);
        entry.text = format!("later {n}").into();
        detail.incident.timeline.push(entry);
    }
    console.told(Update::Detail(Box::new(detail)));
    let shown = |console: &Console, words: &str| console.screen().contains(words);
    for keys in ["", "enter", "up up", "ctrl-u"] {
        console.press_and_look(keys);
        let screen = console.screen();
        assert!(
            screen.contains(&cause) && screen.contains(&symptom),
            "{keys}: {screen}"
        );
        let between = screen
            .lines()
            .find(|line| line.contains("more, then the latest"));
        assert!(between.is_some(), "{keys}: {screen}");
    }
    console.press_and_look("G");
    let rows = console
        .screen()
        .lines()
        .filter(|line| line.contains("later "))
        .count();
    let between = format!("... {} more, then the latest", many - 2 - rows);
    assert!(shown(&console, &between), "{}", console.screen());
    assert!(shown(&console, "later 39"));
    console.press_and_look("g g");
    assert!(
        !shown(&console, "more, then the latest"),
        "{}",
        console.screen()
    );
}

#[test]
fn the_footer_offers_only_what_applies() {
    let mut console = console();
    console.press("down down wait");
    let footer = |console: &Console| console.screen().lines().last().map(str::to_owned);
    let line = footer(&console).unwrap_or_default();
    assert!(
        console.screen().contains("mitigated  since 12:11Z (1m)"),
        "{}",
        console.screen()
    );
    assert!(!line.contains("ack") && !line.contains("propose"), "{line}");
    console.press("up wait");
    let line = footer(&console).unwrap_or_default();
    assert!(line.contains("ack"), "{line}");
    // Marked rows are acted on wherever the cursor is.
    console.press("space wait");
    let line = footer(&console).unwrap_or_default();
    assert!(line.contains("ack 1 marked"), "{line}");
}

#[test]
fn what_is_over_says_since_when_and_lasts_no_longer() {
    let mut console = console();
    let mut row = fixture::view().incidents[&IncidentId(4811)].clone();
    row.phase = Phase::Resolved;
    row.began = fixture::at(0, 0);
    row.resolved = Some(fixture::at(10, 0));
    console.told(Update::Watch(WatchMessage::Deltas {
        seq: 8,
        at: fixture::at(40, 0),
        deltas: vec![Delta::Incident(row)],
    }));
    console.press("down down wait");
    let screen = console.screen();
    assert!(
        screen.contains("resolved  at 12:10Z (30m ago) after 10m"),
        "{screen}"
    );
    let listed = screen.lines().find(|line| line.contains("DONE"));
    assert!(
        listed.is_some_and(|line| line.contains(" 10m ")),
        "{screen}"
    );
    let mut wide = Console::live(340, 80, "dark");
    wide.press("down down wait");
    let screen = wide.screen();
    assert!(screen.contains("2 alerts, none firing"), "{screen}");
}
