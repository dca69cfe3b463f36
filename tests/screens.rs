//! What the console shows: reviewed snapshots of every view at two sizes, in colour and in mono.

mod fixture;

use std::fmt::Write as _;

use fixture::{CHECKOUT, Console};
use ratatui::style::{Color, Modifier, Style};
use stormglass::api::WatchMessage;
use stormglass::model::{Mode, Plan, PlanId, PlanState, Risk, RunId, RunPhase};
use stormglass::tui::{Request, Role, Theme, Update};

/// A bare terminal, a laptop, a large screen and a wall.
const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (300, 80)];

/// The text of a screen, and under it the styled stretches of each line, by name of the role.
fn shot(console: &Console) -> String {
    let theme = &console.state.look.theme;
    let mut text = console.screen();
    text.push_str("\n---- styles ----\n");
    let buffer = console.buffer();
    for (y, line) in buffer
        .content
        .chunks(usize::from(buffer.area.width))
        .enumerate()
    {
        let mut stretches: Vec<(usize, usize, String)> = Vec::new();
        for (x, cell) in line.iter().enumerate() {
            let blank = cell.symbol() == " " && cell.bg == Color::Reset;
            if blank && !cell.modifier.contains(Modifier::REVERSED) {
                continue;
            }
            let name = role_of(theme, cell.style());
            match stretches.last_mut() {
                Some((_, to, last)) if *last == name && x - *to <= 2 => *to = x,
                _ => stretches.push((x, x, name)),
            }
        }
        let words: Vec<String> = stretches
            .iter()
            .filter(|(_, _, name)| name != "body")
            .map(|(from, to, name)| format!("{from}-{to} {name}"))
            .collect();
        if !words.is_empty() {
            let _ = writeln!(text, "{y}: {}", words.join(", "));
        }
    }
    text
}

/// Names of the roles that look like this; several may.
fn role_of(theme: &Theme, style: Style) -> String {
    let looks = |style: Style| (colours(style), style.add_modifier);
    let names: Vec<&str> = Role::ALL
        .into_iter()
        .filter(|role| looks(theme.style(*role)) == looks(style))
        .map(Role::as_str)
        .collect();
    if names.contains(&"body") {
        return "body".to_owned();
    }
    if names.is_empty() {
        format!("{style:?}")
    } else {
        names.join("|")
    }
}

/// Takes snapshots of a view at every size, in colour and in mono.
fn snapshot(name: &str, prepare: impl Fn(&mut Console)) {
    snapshots(name, &SIZES, Console::live, prepare);
}

/// The same of a console that was told nothing but the view.
fn snapshot_before_details(name: &str, prepare: impl Fn(&mut Console)) {
    let begin = |columns, lines, theme: &str| {
        let mut console = Console::blank(columns, lines, theme);
        snap_view(&mut console, |_| {});
        console
    };
    snapshots(name, &SIZES, begin, prepare);
}

fn snapshots(
    name: &str,
    sizes: &[(u16, u16)],
    begin: impl Fn(u16, u16, &str) -> Console,
    prepare: impl Fn(&mut Console),
) {
    for (columns, lines) in sizes.iter().copied() {
        for theme in ["dark", "mono"] {
            let mut console = begin(columns, lines, theme);
            prepare(&mut console);
            insta::assert_snapshot!(format!("{name}_{columns}x{lines}_{theme}"), shot(&console));
            if columns == SIZES[0].0 && theme == "dark" {
                words_say_what_colour_says(name, &console);
            }
        }
    }
}

/// What colour says must be there as a word or a glyph too: a line with a cell in one of these roles
/// holds one of its words.
const SAID_BY: [(Role, &[&str]); 6] = [
    (
        Role::Crit,
        &[
            "P1",
            "NEW",
            "open",
            "bad",
            "FATAL",
            "FAILED",
            "fires",
            "high",
            "failed",
            "cannot be read",
        ],
    ),
    (Role::High, &["P2", "ERROR", "error", "- "]),
    (Role::Blind, &["BLIND", "blind", "no traces"]),
    (
        Role::Stale,
        &[
            "STALE", "LOST", "FROZEN", "LEARNING", "REPLAY", "AS OF", "As of",
        ],
    ),
    (
        Role::Danger,
        &["STOPPED", "HIGH RISK", "[ ", " in  prod-eu ", "unknown"],
    ),
    (Role::Suspect, &["suspect", "#", "0."]),
];

fn words_say_what_colour_says(name: &str, console: &Console) {
    let theme = &console.state.look.theme;
    let buffer = console.buffer();
    let lines = buffer.content.chunks(usize::from(buffer.area.width));
    for (line, text) in lines.zip(console.screen().lines()) {
        for (role, words) in SAID_BY {
            let in_role = line
                .iter()
                .any(|cell| cell.symbol() != " " && role_of(theme, cell.style()) == role.as_str());
            let said = words.iter().any(|word| text.contains(word));
            assert!(
                !in_role || said,
                "{name}: only colour says {role:?} in {text:?}"
            );
        }
    }
}

/// The fixture with its plan changed.
fn with_plan(console: &mut Console, change: impl Fn(&mut Plan)) {
    let mut detail = fixture::detail();
    detail.plans.iter_mut().for_each(change);
    console.told(Update::Detail(Box::new(detail)));
}

fn snap_view(console: &mut Console, change: impl Fn(&mut stormglass::api::View)) {
    let mut view = fixture::view();
    change(&mut view);
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
}

#[test]
fn the_next_right_thing_is_on_the_first_screen() {
    let screen = Console::live(80, 24, "dark").screen();
    for words in [
        "prod-eu",
        "LIVE",
        "4821",
        "p99 latency 4.2s",
        "suspect  checkout  deploy v812",
        "Roll back checkout to v811",
        "1 BLIND",
    ] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
}

#[test]
fn a_beginning_that_is_only_bounded_says_so() {
    for (is_bounded, words) in [(false, "  since 12:03"), (true, "  since before 12:03")] {
        let mut console = Console::live(120, 40, "dark");
        snap_view(&mut console, |view| {
            let row = view.incidents.get_mut(&CHECKOUT).expect("in the fixture");
            row.began_before = is_bounded;
        });
        let screen = console.screen();
        assert!(screen.contains(words), "{words:?} is not in\n{screen}");
    }
}

#[test]
fn incidents() {
    snapshot("incidents", |_| {});
    snapshot("incidents_filtered", |console| {
        console.press("space / p a y");
    });
    snapshot("incidents_frozen", |console| {
        console.press("f");
        console.told(Update::Watch(WatchMessage::Deltas {
            seq: 8,
            at: fixture::now(),
            deltas: vec![stormglass::model::Delta::IncidentGone(CHECKOUT)],
        }));
    });
}

#[test]
fn tabs() {
    let tabs = [
        ("timeline", "1"),
        ("why", "2"),
        ("path", "3"),
        ("metrics", "4"),
        ("logs", "5"),
        ("traces", "6"),
        ("actions", "7"),
    ];
    for (name, key) in tabs {
        snapshot(name, |console| {
            console.press("enter");
            console.press(key);
        });
    }
}

/// The past of an incident, parts of its timeline, the path in layers, what is said of it.
#[test]
fn the_past_and_the_whole() {
    snapshot("travel", |console| {
        console.press_and_look("enter 1 g g j t right");
    });
    snapshot("travel_metrics", |console| {
        console.press_and_look("enter 4 t right");
    });
    snapshot("metrics_compared", |console| {
        console.press_and_look("enter 4 b b b");
        console.answer_recorded(fixture::recorded);
    });
    snapshot("metrics_heatmap", |console| {
        console.press_and_look("enter 4 H");
        console.answer_recorded(fixture::recorded);
    });
    snapshot("timeline_along_a_trace", |console| {
        console.press_and_look("enter 6 j o");
    });
    snapshot("travel_why", |console| console.press_and_look("enter 2 t"));
    snapshot("timeline_range", |console| {
        console.press_and_look("enter 1 g g j m v j j j v");
    });
    snapshot("path_whole", |console| {
        console.press_and_look("enter 3 = j");
    });
    snapshot("path_explained", |console| {
        console.press_and_look("enter 3 j w");
    });
    snapshot("cause", |console| console.press_and_look("g c j"));
    snapshot("split", |console| {
        console.press_and_look("g x space j j space");
    });
    snapshot("merge", |console| console.press_and_look("g m 4 8"));
    snapshot("metric_explained", |console| {
        console.press_and_look("enter 4 w");
        console.told(fixture::why());
    });
    snapshot("desk", |console| {
        console.told(Update::Detail(Box::new(fixture::coordinated())));
        console.press_and_look("enter g d j j j j j");
    });
    snapshot("desk_status", |console| {
        console.told(Update::Detail(Box::new(fixture::coordinated())));
        console.press_and_look("g d G k enter");
    });
    snapshot("desk_handover", |console| {
        console.told(Update::Detail(Box::new(fixture::coordinated())));
        console.press_and_look("g d G enter");
    });
    snapshot("silence", |console| {
        console.press_and_look("z");
        let Some(Request::Preview { matchers }) = console.requests.last().cloned() else {
            panic!("{:?}", console.requests);
        };
        console.told(fixture::preview(&matchers));
    });
    snapshot("silences", |console| {
        snap_view(console, |view| {
            let silence = fixture::silence();
            view.silences.insert(silence.id, silence);
            view.counts.alerts_held = 4;
        });
        console.press_and_look("g z");
    });
    snapshot("seen_before", |console| {
        console.told(Update::Detail(Box::new(fixture::seen_before())));
        console.press_and_look("enter 2 G");
    });
}

#[test]
fn other_views() {
    snapshot("alerts", |console| {
        console.press("g a");
        console.told(Update::Alerts {
            after: None,
            page: fixture::alerts(),
        });
    });
    snapshot("sources", |console| {
        console.press("g s j j wait");
        console.told(Update::Ledger(Box::new(fixture::ledger())));
    });
    snapshot("sources_entities", |console| {
        console.press_and_look("g s");
        console.press_and_look("j");
        console.press_and_look("j");
        console.press("wait");
        console.told(Update::Ledger(Box::new(fixture::ledger())));
        console.press("enter");
    });
    snapshot("explanation", |console| console.press("w"));
    snapshot("help", |console| console.press("?"));
    snapshot("palette", |console| console.press(": a p p r"));
    snapshot("note", |console| {
        console.press("i");
        console.type_text("rolled back by hand");
    });
    snapshot("runbooks", |console| {
        console.press("p");
        console.told(Update::Runbooks {
            incident: CHECKOUT,
            rows: fixture::runbooks(),
        });
    });
}

/// The main views on a light background. Their colours are those of the theme's roles, each of which can be
/// read on it (see the theme's own tests): none is left over from a dark one.
#[test]
fn light_backgrounds() {
    let views = [
        ("incidents", ""),
        ("timeline", "enter 1"),
        ("why", "enter 2"),
        ("path", "enter 3"),
        ("metrics", "enter 4"),
        ("logs", "enter 5"),
        ("traces", "enter 6"),
        ("actions", "enter 7"),
        ("travel", "enter 1 g g j t right"),
        ("heatmap", "enter 4 H"),
        ("explanation", "w"),
        ("alerts", "g a"),
        ("sources", "g s j j wait"),
        ("desk", "g d"),
        ("silence", "z"),
        ("note", "i x"),
        ("help", "?"),
        ("palette", ": a p p r"),
        ("approval", "Y"),
        ("kill_switch", "! wait tab"),
    ];
    let theme = Theme::shipped("light").expect("shipped");
    let painted: Vec<_> = Role::ALL
        .into_iter()
        .map(|role| colours(theme.style(role)))
        .collect();
    for (columns, lines) in [SIZES[0], SIZES[2]] {
        for (name, keys) in views {
            let mut console = Console::live(columns, lines, "light");
            console.press_and_look(keys);
            console.told(Update::Alerts {
                after: None,
                page: fixture::alerts(),
            });
            console.told(Update::Ledger(Box::new(fixture::ledger())));
            console.answer_recorded(fixture::recorded);
            insta::assert_snapshot!(format!("{name}_{columns}x{lines}_light"), shot(&console));
            for cell in console.buffer().content {
                let (symbol, found) = (cell.symbol(), colours(cell.style()));
                assert!(
                    symbol == " " || painted.contains(&found),
                    "{name}: {symbol:?} in {found:?}"
                );
            }
        }
    }
}

/// The colours of a style; none where the terminal's own are meant.
fn colours(style: Style) -> [Option<Color>; 2] {
    [style.fg, style.bg].map(|colour| colour.filter(|colour| *colour != Color::Reset))
}

#[test]
fn dialogs() {
    snapshot("approval", |console| console.press("Y"));
    snapshot("approval_high_risk", |console| {
        with_plan(console, |plan| plan.risk = Risk::High);
        console.press("Y wait");
        console.type_text("check");
        console.press("tab enter");
    });
    snapshot("approval_changed", |console| {
        let mut detail = fixture::detail();
        detail.incident.diagnosis.hypotheses.reverse();
        detail.incident.diagnosis.hypotheses[0].confidence = 0.62;
        detail.incident.diagnosis.hypotheses[1].confidence = 0.31;
        console.told(Update::Detail(Box::new(detail)));
        console.press("Y");
    });
    snapshot("reject", |console| {
        console.press("R");
        console.type_text("not now");
    });
    snapshot("kill_switch", |console| console.press("!"));
    snapshot("settle", |console| {
        with_plan(console, |plan| {
            let run = RunId {
                plan: plan.id,
                phase: RunPhase::Forward,
                step: 0,
            };
            plan.state = PlanState::Unknown { run };
        });
        console.press("Y");
    });
}

#[test]
fn what_did_not_help_and_what_is_next() {
    snapshot("did_not_help", |console| {
        let plan = fixture::plan();
        let mut detail = fixture::detail();
        let by = |state, id, title: &str| Plan {
            id: PlanId(id),
            title: title.into(),
            state,
            ..plan.clone()
        };
        detail.plans = vec![
            by(
                PlanState::Verifying {
                    until: fixture::now(),
                },
                3,
                "Roll back checkout to v811",
            ),
            by(PlanState::Proposed, 4, "Restart checkout"),
            by(
                PlanState::Void {
                    reason: "another runbook fits better".into(),
                },
                5,
                "Scale checkout",
            ),
        ];
        console.told(Update::Detail(Box::new(detail.clone())));
        let reason = "checkout was not back to normal within 5m".into();
        detail.plans[0].state = PlanState::RolledBack { reason };
        console.told(Update::Detail(Box::new(detail)));
        console.press("enter 7");
    });
}

#[test]
fn what_is_not_the_present_says_so() {
    snapshot("learning", |console| {
        snap_view(console, |view| {
            view.incidents.clear();
            view.sources.clear();
            view.mode = Mode::Learning;
        });
    });
    let until = fixture::at(20, 0);
    snapshot("replay", |console| {
        snap_view(console, |view| view.mode = Mode::Replay { until });
        console.press("a");
    });
}

#[test]
fn loading_empty_stale_and_error() {
    for (columns, lines) in SIZES {
        for theme in ["dark", "mono"] {
            let blank = Console::blank(columns, lines, theme);
            insta::assert_snapshot!(
                format!("connecting_{columns}x{lines}_{theme}"),
                shot(&blank)
            );
        }
    }
    snapshot("empty", |console| {
        snap_view(console, |view| {
            view.incidents.clear();
            view.counts.open_by_priority = [0; 4];
        });
    });
    snapshot("first_run", |console| {
        snap_view(console, |view| {
            view.incidents.clear();
            view.counts = stormglass::model::Counts::default();
            view.sources = fixture::sources_of_a_first_run();
        });
    });
    snapshot("stale", |console| console.wait(42_000));
    snapshot("lost", |console| {
        console.told(Update::Lost {
            why: "connection refused".to_owned(),
        });
        console.wait(7_000);
    });
    snapshot("stopped", |console| {
        snap_view(console, |view| {
            view.automation_stopped = true;
            view.banner =
                "database rebuilt from 23 records (was damaged); the old one is now db.damaged-1"
                    .to_owned();
        });
    });
}

#[test]
fn what_is_on_its_way_or_cannot_be_had() {
    snapshot_before_details("detail_loading", |console| console.press("enter"));
    snapshot_before_details("detail_error", |console| {
        console.press("enter");
        fail(console, Request::Detail(CHECKOUT));
    });
    snapshot_before_details("panels_loading", |console| {
        console.told(Update::Detail(Box::new(fixture::detail())));
        console.press("enter 4");
    });
    snapshot_before_details("panels_error", |console| {
        console.told(Update::Detail(Box::new(fixture::detail())));
        console.press("enter 4");
        let entity = None;
        let incident = CHECKOUT;
        fail(console, Request::Panels { incident, entity });
    });
    snapshot("alerts_loading", |console| console.press("g a"));
    snapshot("alerts_error", |console| {
        console.press("g a");
        fail(console, Request::Alerts { after: None });
    });
}

fn fail(console: &mut Console, request: Request) {
    console.told(Update::Failed {
        request: Box::new(request),
        why: "the daemon answered 503 Service Unavailable".to_owned(),
    });
}

/// Each pane with nothing in it; on larger screens they stand side by side.
#[test]
fn panes_with_nothing_in_them() {
    let bare = |console: &mut Console| {
        snap_view(console, |view| {
            let row = view.incidents.get_mut(&CHECKOUT).expect("in the fixture");
            (row.suspect, row.plan) = (None, None);
        });
        console.told(Update::Detail(Box::new(fixture::bare_detail())));
        console.told(Update::Panels {
            incident: CHECKOUT,
            entity: None,
            panels: Box::default(),
        });
        console.press("enter");
    };
    for key in ["1", "2", "3", "4", "5", "6", "7"] {
        let name = format!("bare_{key}");
        snapshots(&name, &SIZES[..1], Console::live, |console| {
            bare(console);
            console.press(key);
        });
    }
    snapshots("bare", &SIZES[1..], Console::live, bare);
}

#[test]
fn other_sizes() {
    for (columns, lines) in [(60, 20), (79, 23), (130, 40), (400, 120)] {
        let console = Console::live(columns, lines, "dark");
        insta::assert_snapshot!(format!("incidents_{columns}x{lines}"), console.screen());
    }
}

#[test]
fn fonts_without_braille_get_blocks() {
    let mut console = Console::live(200, 60, "dark");
    console.state.look.glyphs = stormglass::tui::Glyphs::Block;
    console.press("enter");
    for tab in 1..=7 {
        console.press_and_look(&tab.to_string());
        let screen = console.screen();
        let is_braille = |c: char| ('\u{2800}'..='\u{28ff}').contains(&c);
        assert!(!screen.contains(is_braille), "tab {tab}\n{screen}");
    }
    console.press("4");
    let metrics = console.screen();
    let has_chart = ['\u{2580}', '\u{2584}', '\u{2588}', '\u{2591}'].map(|c| metrics.contains(c));
    assert_eq!(has_chart, [true; 4], "{metrics}");
    insta::assert_snapshot!("metrics_blocks", metrics);
}

#[test]
fn ascii_terminals_get_ascii() {
    let mut console = Console::live(80, 24, "mono");
    console.state.look.glyphs = stormglass::tui::Glyphs::Ascii;
    for tab in ["1", "2", "3", "4", "5", "6", "7"] {
        console.press(tab);
        assert!(console.screen().is_ascii(), "tab {tab}");
    }
    console.press("4");
    insta::assert_snapshot!("metrics_ascii", console.screen());
}
