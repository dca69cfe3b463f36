//! The mouse: it puts cursors somewhere, on every layout, and decides nothing.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::model::IncidentId;
use stormglass::tui::{Event, Screen, Tab, Update};

/// Clicks on the first place where these words stand.
fn click(console: &mut Console, words: &str) {
    let screen = console.screen();
    let found = screen.lines().enumerate().find_map(|(line, text)| {
        let before = &text[..text.find(words)?];
        Some((before.chars().count(), line))
    });
    let (column, line) = found.unwrap_or_else(|| panic!("no {words:?} in\n{screen}"));
    console.event(Event::Click(column as u16, line as u16));
}

fn place(console: &Console) -> (Screen, Tab) {
    (console.state.place.screen, console.state.place.tab)
}

#[test]
fn a_click_puts_the_cursor_on_a_row() {
    for (columns, lines) in [(60, 20), (80, 24), (120, 40), (200, 60)] {
        let mut console = Console::live(columns, lines, "dark");
        click(&mut console, "4819");
        assert_eq!(console.state.list.selected(), Some(IncidentId(4819)));
        assert_eq!(place(&console).0, Screen::Incidents, "nothing is opened");
        click(&mut console, "queue lag");
        assert_eq!(console.state.list.selected(), Some(IncidentId(4811)));
    }
    let mut console = Console::live(80, 24, "dark");
    console.press("g s");
    click(&mut console, "otlp");
    let sources = fixture::view().sources;
    let at = console.state.sources.cursor.at(sources.len());
    assert_eq!(sources.keys().nth(at).map(String::as_str), Some("otlp"));
    console.press("g a");
    console.told(Update::Alerts {
        after: None,
        page: fixture::alerts(),
    });
    click(&mut console, "GatewayErrors");
    assert_eq!(console.state.alerts.cursor.at(2), 1);
}

#[test]
fn a_click_gives_the_keys_to_a_pane() {
    let opened = |tab| (Screen::Incident(CHECKOUT), tab);
    let mut console = Console::live(80, 24, "dark");
    console.press("enter");
    click(&mut console, "6 Traces");
    assert_eq!(place(&console), opened(Tab::Traces));
    click(&mut console, "1 Timeline");
    click(&mut console, "pool in use 100%");
    assert_eq!(place(&console), opened(Tab::Timeline));
    assert_eq!(console.state.cursor(Tab::Timeline).at(9), 2);
    // On a wide screen all panes are there: a row takes the keys, and so does the title.
    let mut console = Console::live(200, 60, "dark");
    console.screen();
    click(&mut console, "retrying payment");
    assert_eq!(place(&console), opened(Tab::Logs));
    assert_eq!(console.state.cursor(Tab::Logs).at(3), 1);
    click(&mut console, "7 Actions");
    assert_eq!(place(&console), opened(Tab::Actions));
    click(&mut console, "4819");
    assert_eq!(place(&console).0, Screen::Incidents);
}

#[test]
fn no_click_and_no_wheel_decides_anything() {
    let mut console = Console::live(80, 24, "dark");
    console.press("Y wait");
    let dialog = console.screen();
    for line in 0..24 {
        for column in 0..80 {
            console.event(Event::Click(column, line));
        }
    }
    assert_eq!(console.screen(), dialog, "a dialog is answered by keys");
    for turns in [1, 1, -1, 1] {
        console.event(Event::Wheel(turns));
    }
    assert_eq!(console.commands(), []);
    assert!(console.state.overlay.is_some());
    console.press("esc");
    for line in 0..24 {
        for column in 0..80 {
            console.event(Event::Click(column, line));
            console.screen();
        }
    }
    assert_eq!(console.commands(), []);
    assert!(console.state.overlay.is_none());
}

#[test]
fn the_wheel_reads_on_in_what_lies_over_the_screen() {
    let mut console = Console::live(80, 24, "dark");
    console.press("?");
    let before = console.screen();
    console.event(Event::Wheel(1));
    assert_ne!(console.screen(), before);
    console.event(Event::Wheel(-1));
    assert_eq!(console.screen(), before);
}
