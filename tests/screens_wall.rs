//! What the wall shows: snapshots at several sizes, and what it must not show.

mod fixture;

use fixture::Console;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use stormglass::api::WatchMessage;
use stormglass::model::{Health, IncidentId, Mode, Severity};
use stormglass::tui::wall::{Wall, WallOptions};
use stormglass::tui::{Event, Update, draw_wall, update};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (300, 80)];

fn wall(columns: u16, lines: u16, theme: &str, shown: WallOptions) -> Wall {
    Wall::new(Console::live(columns, lines, theme).state, shown)
}

fn text(wall: &Wall) -> String {
    let (columns, lines) = wall.state.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, lines));
    draw_wall(wall, &mut buffer);
    fixture::text_of(&buffer)
}

#[test]
fn the_wall() {
    for (columns, lines) in SIZES {
        for theme in ["dark", "mono"] {
            let name = format!("wall_{columns}x{lines}_{theme}");
            let wall = wall(columns, lines, theme, WallOptions::default());
            insta::assert_snapshot!(name, text(&wall));
        }
    }
    let shown = WallOptions {
        text: true,
        quiet: Some((12, 14)),
    };
    insta::assert_snapshot!(
        "wall_text_quiet_200x60",
        text(&wall(200, 60, "dark", shown))
    );
}

/// What the wall is in, and what it says then.
const STAGES: [(&str, &str); 5] = [
    ("loading", "Connecting"),
    ("empty", "No incident is open"),
    ("live", "checkout"),
    ("stale", "STALE"),
    ("error", "LOST"),
];

#[test]
fn the_wall_says_in_words_what_it_is_in() {
    for (stage, words) in STAGES {
        for (columns, lines) in SIZES {
            let screens = ["dark", "mono"].map(|theme| {
                let mut console = match stage {
                    "loading" => Console::blank(columns, lines, theme),
                    _ => Console::live(columns, lines, theme),
                };
                if stage == "empty" {
                    let mut view = fixture::view();
                    view.incidents.clear();
                    view.entities.clear();
                    view.counts = stormglass::model::Counts::default();
                    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
                }
                let mut wall = Wall::new(console.state, WallOptions::default());
                let now = wall.state.now;
                match stage {
                    "stale" => drop(update(&mut wall.state, now.plus_ms(31_000), Event::Tick)),
                    "error" => {
                        let why = "connection refused".to_owned();
                        let lost = Event::Update(Update::Lost { why });
                        drop(update(&mut wall.state, now.plus_ms(7_000), lost));
                    }
                    _ => {}
                }
                text(&wall)
            });
            let shown = &screens[0];
            assert!(
                shown.contains(words),
                "{stage} {columns}x{lines}: no {words:?} in\n{shown}"
            );
            assert_eq!(screens[0], screens[1], "{stage} {columns}x{lines}");
        }
    }
}

#[test]
fn names_of_people_and_free_text_are_shown_only_when_allowed() {
    let shown = |text| WallOptions { text, quiet: None };
    let closed = text(&wall(200, 60, "dark", shown(false)));
    let open = text(&wall(200, 60, "dark", shown(true)));
    for words in ["mia", "ole", "p99 latency 4.2s"] {
        assert!(!closed.contains(words), "{words} in\n{closed}");
        assert!(open.contains(words), "{words} not in\n{open}");
    }
}

#[test]
fn what_is_silenced_does_not_look_well() {
    for (columns, lines) in SIZES {
        let mut wall = wall(columns, lines, "mono", WallOptions::default());
        let mut view = fixture::view();
        fixture::silenced(&mut view);
        view.incidents.retain(|id, _| *id == fixture::CHECKOUT);
        wall.state.feed.view = Some(view);
        let shown = text(&wall);
        let of_checkout: Vec<&str> = shown
            .lines()
            .filter(|line| line.contains("checkout"))
            .collect();
        assert!(!of_checkout.is_empty(), "{shown}");
        let is_well = |line: &&&str| line.contains(" ok ") || line.contains("MIT");
        assert_eq!(of_checkout.iter().find(is_well), None, "{shown}");
        assert!(
            shown.contains("silenced until"),
            "{columns}x{lines}\n{shown}"
        );
    }
}

#[test]
fn what_is_old_is_covered() {
    let mut wall = wall(120, 40, "dark", WallOptions::default());
    let lost = Update::Lost {
        why: "connection refused".to_owned(),
    };
    let heard = wall.state.now;
    update(&mut wall.state, heard.plus_ms(29_000), Event::Update(lost));
    assert!(text(&wall).contains("LOST"));
    update(&mut wall.state, heard.plus_ms(31_000), Event::Tick);
    let covered = text(&wall);
    assert!(
        covered.contains("STALE: nothing was heard for 30s"),
        "{covered}"
    );
    assert!(!covered.contains("checkout"), "{covered}");
}

/// A wall of these services, all shown after one another: how often each page, and what it says.
fn pages(wall: &mut Wall, count: i64) -> Vec<String> {
    let first = wall.state.now.ms() / 15_000 * 15_000;
    let page = |page: i64| {
        let now = stormglass::model::Time::from_ms(first + page * 15_000);
        (wall.state.now, wall.state.feed.heard) = (now, now);
        text(wall)
    };
    (0..count).map(page).collect()
}

#[test]
fn many_services_that_are_not_well_are_paged_and_the_others_counted() {
    let mut wall = wall(80, 24, "dark", WallOptions::default());
    let mut view = fixture::view();
    view.mode = Mode::Live;
    for at in 0..200 {
        let health = if at < 60 { Health::Odd } else { Health::Ok };
        view.entities
            .insert(fixture::service(&format!("s{at:03}")), health);
    }
    wall.state.feed.view = Some(view);
    let pages = pages(&mut wall, 40);
    let is_seen = |at: &i32| pages.iter().any(|page| page.contains(&format!("s{at:03}")));
    assert_eq!((0..60).filter(is_seen).count(), 60, "{}", pages[0]);
    assert_eq!((60..200).filter(is_seen).count(), 0, "{}", pages[0]);
    assert!(pages[0].contains(" more are ok"), "{}", pages[0]);
    assert_ne!(pages[0], pages[1]);
}

/// Who is part of a grave incident stands before who is only bad, and what fits is on one page.
#[test]
fn services_stand_by_priority_and_one_page_is_enough_where_they_fit() {
    for (columns, lines) in [(80, 24), (120, 40), (200, 60)] {
        let mut wall = wall(columns, lines, "dark", WallOptions::default());
        let view = wall.state.feed.view.as_mut().expect("live");
        view.entities.clear();
        let mut row = view.incidents[&fixture::CHECKOUT].clone();
        view.incidents.clear();
        let services = [
            ("a-lone", Health::Bad),
            ("grave", Health::Odd),
            ("b-grave", Health::Ok),
        ];
        for (name, health) in services {
            view.entities.insert(fixture::service(name), health);
        }
        for at in 0..19 {
            let name = fixture::service(&format!("w{at:02}"));
            view.entities.insert(name, Health::Ok);
        }
        for (id, severity, entity) in [
            (1, Severity::Critical, "grave"),
            (2, Severity::Critical, "b-grave"),
            (3, Severity::Warning, "a-lone"),
            (4, Severity::Warning, "w18"),
        ] {
            (row.id, row.severity, row.entity) =
                (IncidentId(id), severity, fixture::service(entity));
            row.members = [row.entity.clone()].into();
            view.incidents.insert(row.id, row.clone());
        }
        let pages = pages(&mut wall, 4);
        let shown = &pages[0];
        assert!(
            pages.iter().all(|page| !page.contains("page 1 of")),
            "{shown}"
        );
        let at = |name: &str| {
            shown
                .find(name)
                .unwrap_or_else(|| panic!("no {name}: {shown}"))
        };
        assert!(
            at(" grave ") < at("b-grave") && at("b-grave") < at("a-lone"),
            "{shown}"
        );
        assert!(at("a-lone") < at("w00") && at("w18") > 0, "{shown}");
    }
}

/// Five incidents on a screen with large digits and no room for charts: services keep their lines.
#[test]
fn incidents_leave_services_their_grid() {
    for (columns, lines) in [(100, 40), (112, 36), (200, 40)] {
        let mut wall = wall(columns, lines, "dark", WallOptions::default());
        let view = wall.state.feed.view.as_mut().expect("live");
        let row = view.incidents.values().next().expect("an incident").clone();
        for id in 1..=6 {
            let mut another = row.clone();
            another.id = IncidentId(id);
            view.incidents.insert(another.id, another);
        }
        let screen = text(&wall);
        let at = format!("{columns}x{lines}\n{screen}");
        assert!(screen.contains("the worst first"), "{at}");
        assert!(screen.contains("pg-main"), "no services at {at}");
        assert!(screen.contains(" 5 of 9 open incidents"), "{at}");
    }
}

/// Of a recording nobody must think that it is the present.
#[test]
fn a_recording_is_told_from_the_present() {
    let mut wall = wall(100, 40, "dark", WallOptions::default());
    wall.state.feed.view.as_mut().expect("live").mode = Mode::Replay {
        until: fixture::at(30, 0),
    };
    assert!(text(&wall).contains("REPLAY"), "{}", text(&wall));
}
