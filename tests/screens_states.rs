//! Every view in every state, at every size, in colour and in mono: what is on its way, empty, old or
//! cannot be had says so in words. The screens of a view in one state are one snapshot.

mod fixture;

use std::fmt::Write as _;

use fixture::{CHECKOUT, Console};
use ratatui::buffer::Cell;
use ratatui::style::Color;
use stormglass::api::{Page, Panels, View, WatchMessage};
use stormglass::tui::{Screen, Tab, Update};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (300, 80)];

/// A view: its name, the keys that lead to it, what it shows when all is there, and when nothing is.
struct Shown {
    name: &'static str,
    keys: &'static str,
    live: &'static str,
    empty: &'static str,
}

const fn shown(
    name: &'static str,
    keys: &'static str,
    live: &'static str,
    empty: &'static str,
) -> Shown {
    Shown {
        name,
        keys,
        live,
        empty,
    }
}

#[rustfmt::skip]
const VIEWS: [Shown; 10] = [
    shown("incidents", "", "p99 latency 4.2s", "No open incident"),
    shown("timeline", "enter 1", "CheckoutLatencyHigh fires", "Nothing yet"),
    shown("why", "enter 2", "#1 checkout  confidence 0.78", "Unknown: the evidence"),
    shown("path", "enter 3", "mobile-api", "No dependencies are known"),
    shown("metrics", "enter 4", "http_request_duration_p99", "No metric of these entities"),
    shown("logs", "enter 5", "timeout acquiring connection", "No log lines"),
    shown("traces", "enter 6", "critical path", "No traces of these entities"),
    shown("actions", "enter 7", "Roll back checkout to v811", "No plan fits"),
    shown("alerts", "g a", "CheckoutLatencyHigh", "No alert fires"),
    shown("sources", "g s", "remote_write", "No source is configured"),
];

/// What a view is in.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Loading,
    Empty,
    Live,
    Stale,
    Error,
}

const STAGES: [Stage; 5] = [
    Stage::Loading,
    Stage::Empty,
    Stage::Live,
    Stage::Stale,
    Stage::Error,
];

fn tell_view(console: &mut Console, change: impl FnOnce(&mut View)) {
    let mut view = fixture::view();
    change(&mut view);
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
}

fn tell_alerts(console: &mut Console, page: Page<stormglass::model::AlertRow>) {
    console.told(Update::Alerts { after: None, page });
}

/// Nothing of the incident is known but that it is there.
fn tell_bare(console: &mut Console) {
    console.told(Update::Detail(Box::new(fixture::bare_detail())));
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(Panels::default()),
    });
}

fn console(view: &Shown, stage: Stage, (columns, lines): (u16, u16), theme: &str) -> Console {
    let mut console = match stage {
        Stage::Loading | Stage::Empty => Console::blank(columns, lines, theme),
        _ => Console::live(columns, lines, theme),
    };
    let of_incident = view.keys.starts_with("enter");
    match stage {
        // Before the first word there is no view to be in.
        Stage::Loading if !of_incident && view.name != "alerts" => return console,
        Stage::Loading => tell_view(&mut console, |_| {}),
        Stage::Empty => tell_view(&mut console, |told| {
            told.sources.clear();
            if !of_incident {
                told.incidents.clear();
            }
            if let Some(row) = told.incidents.get_mut(&CHECKOUT) {
                (row.suspect, row.plan) = (None, None);
            }
        }),
        Stage::Live | Stage::Stale | Stage::Error => {}
    }
    console.press_and_look(view.keys);
    match stage {
        Stage::Loading => {}
        Stage::Empty => {
            tell_bare(&mut console);
            let (items, next, total) = (Vec::new(), None, 0);
            tell_alerts(&mut console, Page { items, next, total });
        }
        Stage::Live => tell_alerts(&mut console, fixture::alerts()),
        Stage::Stale => {
            tell_alerts(&mut console, fixture::alerts());
            console.wait(42_000);
        }
        Stage::Error => {
            tell_alerts(&mut console, fixture::alerts());
            let why = "connection refused".to_owned();
            console.told(Update::Lost { why });
            console.wait(7_000);
        }
    }
    console
}

/// What must be read on the screen, one of each.
fn words(view: &Shown, stage: Stage) -> Vec<Vec<&'static str>> {
    match stage {
        Stage::Loading => vec![vec!["Connecting", "Fetching"]],
        Stage::Empty => vec![vec![view.empty]],
        Stage::Live => vec![vec![view.live], vec!["LIVE"]],
        Stage::Stale => vec![vec![view.live], vec!["STALE"]],
        Stage::Error => vec![vec![view.live], vec!["LOST"], vec!["Connection lost"]],
    }
}

#[test]
fn every_view_says_in_words_what_it_is_in() {
    for view in &VIEWS {
        for stage in STAGES {
            for size in SIZES {
                let screens =
                    ["dark", "mono"].map(|theme| console(view, stage, size, theme).screen());
                for words in words(view, stage) {
                    let said = words.iter().any(|word| screens[0].contains(word));
                    let name = view.name;
                    assert!(
                        said,
                        "{name} {stage:?} {size:?}: no {words:?} in\n{}",
                        screens[0]
                    );
                }
                // Colour adds to words and takes none away.
                assert_eq!(screens[0], screens[1], "{} {stage:?} {size:?}", view.name);
                let mono = console(view, stage, size, "mono").buffer();
                let reset = |cell: &Cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset);
                let coloured = mono.content.iter().find(|cell| !reset(cell));
                assert_eq!(coloured, None, "{} {stage:?} {size:?}", view.name);
            }
        }
    }
}

/// One page a view and state, all sizes below each other. What dark and mono show is the same text, as the
/// test above asserts; which role each part has is in the snapshots of `screens.rs`.
#[test]
fn the_screens_of_each_view_and_state() {
    for view in &VIEWS {
        for stage in STAGES {
            let mut page = String::new();
            for size in SIZES {
                let screen = console(view, stage, size, "dark").screen();
                let lines = screen.trim_end().lines().map(str::trim_end);
                let (columns, rows) = size;
                let _ = writeln!(page, "==== {columns}x{rows}");
                lines.for_each(|line| {
                    let _ = writeln!(page, "{line}");
                });
            }
            let stage = format!("{stage:?}").to_lowercase();
            insta::assert_snapshot!(format!("states_{}_{stage}", view.name), page);
        }
    }
}

#[test]
fn what_is_silenced_is_said_to_be_and_never_to_be_well() {
    for size in SIZES {
        let mut console = Console::live(size.0, size.1, "dark");
        let mut view = fixture::view();
        let detail = fixture::silenced(&mut view);
        view.incidents.retain(|id, _| *id == CHECKOUT);
        console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
        assert!(console.screen().contains(" SIL"), "{}", console.screen());
        console.press_and_look("enter");
        console.told(Update::Detail(Box::new(detail)));
        let screen = console.screen();
        let head: Vec<&str> = screen.lines().take(8).collect();
        let head = head.join("\n");
        for words in ["silenced", "until", "2 alerts fire"] {
            assert!(head.contains(words), "{size:?}: no {words:?} in\n{screen}");
        }
        assert!(!head.contains("normal"), "{size:?}\n{screen}");
    }
}

/// The name of the view that a screen and its pane are; a new one does not compile before it is among `VIEWS`.
fn name_of(screen: Screen, tab: Tab) -> &'static str {
    match (screen, tab) {
        (Screen::Incidents, _) => "incidents",
        (Screen::Incident(_), Tab::Timeline) => "timeline",
        (Screen::Incident(_), Tab::Why) => "why",
        (Screen::Incident(_), Tab::Path) => "path",
        (Screen::Incident(_), Tab::Metrics) => "metrics",
        (Screen::Incident(_), Tab::Logs) => "logs",
        (Screen::Incident(_), Tab::Traces) => "traces",
        (Screen::Incident(_), Tab::Actions) => "actions",
        (Screen::Alerts, _) => "alerts",
        (Screen::Sources, _) => "sources",
    }
}

/// Every view in every state at every size: as many pages as there are views and states, each with all sizes,
/// and none that nothing draws any more.
#[test]
fn the_matrix_is_complete() {
    let lists = [Screen::Incidents, Screen::Alerts, Screen::Sources];
    let lists = lists.map(|screen| (screen, Tab::Timeline));
    let panes = Tab::ALL.map(|tab| (Screen::Incident(CHECKOUT), tab));
    let mut named: Vec<&str> = lists
        .into_iter()
        .chain(panes)
        .map(|(s, t)| name_of(s, t))
        .collect();
    let mut drawn: Vec<&str> = VIEWS.iter().map(|view| view.name).collect();
    named.sort_unstable();
    drawn.sort_unstable();
    assert_eq!(named, drawn);
    for view in &VIEWS {
        let console = console(view, Stage::Live, SIZES[0], "dark");
        let place = &console.state.place;
        assert_eq!(name_of(place.screen, place.tab), view.name, "{}", view.keys);
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots");
    let files = std::fs::read_dir(folder).expect("the snapshots");
    let mut held: Vec<String> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_prefix("screens_states__states_")?.to_owned()))
        .collect();
    let mut wanted: Vec<String> = Vec::new();
    for view in &VIEWS {
        for stage in STAGES {
            wanted.push(format!("{}_{stage:?}.snap", view.name).to_lowercase());
        }
    }
    held.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(held, wanted);
    for name in wanted {
        let path = format!("{folder}/screens_states__states_{name}");
        let page = std::fs::read_to_string(path).expect("a snapshot");
        let sizes: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("==== "))
            .collect();
        assert_eq!(
            sizes,
            SIZES.map(|(columns, lines)| format!("{columns}x{lines}")),
            "{name}"
        );
    }
}

/// A value that was measured long ago must not pass for what is now.
#[test]
fn a_chart_whose_series_fell_silent_says_for_how_long() {
    for (points_left, silent) in [(90, None), (81, None), (30, Some("silent for 10m"))] {
        let mut console = Console::live(120, 40, "dark");
        console.press_and_look("enter 4");
        let mut panels = fixture::panels();
        for chart in &mut panels.charts {
            chart.times.truncate(points_left);
            for line in [&mut chart.values, &mut chart.low, &mut chart.high] {
                line.truncate(points_left);
            }
        }
        console.told(Update::Panels {
            incident: CHECKOUT,
            entity: None,
            panels: Box::new(panels),
        });
        let screen = console.screen();
        let said = screen.lines().find_map(|line| {
            let (_, rest) = line.split_once("silent for")?;
            rest.split_whitespace().next().map(str::to_owned)
        });
        let said = said.map(|length| format!("silent for {}", length.trim_end_matches(',')));
        assert_eq!(said.as_deref(), silent, "{points_left} points\n{screen}");
    }
}
