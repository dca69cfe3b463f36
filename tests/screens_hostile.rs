//! Hostile text in every field of every view: through a terminal emulator, no escape passes and
//! nothing outside the rectangle of a view changes.

mod fixture;

use fixture::{CHECKOUT, Console};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use serde_json::Value;
use stormglass::api::WatchMessage;
use stormglass::model::{Delta, EntityId, IncidentId, Phase, Recorded, Time};
use stormglass::tui::wall::{Wall, WallOptions};
use stormglass::tui::{Event, ScreenWriter, Update};

/// Escapes that clear, move, retitle and recolour; bidi overrides, tags, zero width, wide and
/// combining characters.
const HOSTILE: &str = "\x1b[2J\x1b[1;1H\x1b]0;owned\x07\x1b]52;c;eA==\x07\u{9b}31mEVIL\u{202e}\u{200b}\u{e0041}日本e\u{301}\u{301}\u{301}\u{301}\r\n\t\x08\x7f";
/// Fields whose text is a fixed word of the format or an id, not somebody's text.
const FIXED: [&str; 24] = [
    "phase",
    "severity",
    "kind",
    "role",
    "check",
    "unit",
    "direction",
    "health",
    "provenance",
    "lane",
    "state",
    "risk",
    "executor",
    "level",
    "fingerprint",
    "series",
    "digest",
    "trace",
    "entity",
    "callee",
    "suspect",
    "target",
    "watch",
    "outcome",
];

/// The same value with every free text replaced.
fn poison<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    poison_with(value, HOSTILE)
}

fn poison_with<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T, poison: &str) -> T {
    let mut json = serde_json::to_value(value).expect("fixtures serialize");
    replace(&mut json, poison);
    serde_json::from_value(json).expect("only free text was replaced")
}

fn replace(json: &mut Value, poison: &str) {
    match json {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value {
                    Value::String(text)
                        if name == "entity" || name == "suspect" || name == "target" =>
                    {
                        *text = format!("service/{poison}");
                    }
                    Value::String(_) if FIXED.contains(&name.as_str()) => {}
                    other => replace(other, poison),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, poison)),
        Value::String(text) => poison.clone_into(text),
        _ => {}
    }
}

fn poisoned(columns: u16, lines: u16) -> Console {
    saying(HOSTILE, columns, lines)
}

/// A console that is told `text` wherever somebody else may write.
fn saying(text: &str, columns: u16, lines: u16) -> Console {
    let mut console = Console::live(columns, lines, "dark");
    let mut view = fixture::view();
    text.clone_into(&mut view.environment);
    text.clone_into(&mut view.banner);
    text.clone_into(&mut view.actor.name);
    for row in view.incidents.values_mut() {
        *row = poison_with(row, text);
    }
    let mut silence = fixture::silence();
    text.clone_into(&mut silence.reason);
    text.clone_into(&mut silence.author);
    view.silences.insert(silence.id, silence);
    for row in view.sources.values_mut() {
        *row = poison_with(row, text);
    }
    console.told(Update::Watch(stormglass::api::WatchMessage::Snapshot(
        Box::new(view),
    )));
    let mut detail = fixture::detail();
    detail.incident.coordination = fixture::coordinated().incident.coordination;
    for task in &mut detail.incident.coordination.tasks {
        *task = poison_with(task, text);
    }
    for who in detail.incident.coordination.duties.values_mut() {
        text.clone_into(who);
    }
    detail.incident.coordination.status = poison_with(&detail.incident.coordination.status, text);
    detail.incident.timeline = poison_with(&detail.incident.timeline, text);
    detail.incident.diagnosis.hypotheses = poison_with(&detail.incident.diagnosis.hypotheses, text);
    detail.incident.diagnosis.not_seen = poison_with(&detail.incident.diagnosis.not_seen, text);
    detail.incident.grouping = poison_with(&detail.incident.grouping, text);
    detail.incident.findings = poison_with(&detail.incident.findings, text);
    detail.incident.path_nodes = poison_with(&detail.incident.path_nodes, text);
    for plan in &mut detail.plans {
        *plan = poison_with(plan, text);
    }
    console.told(Update::Detail(Box::new(detail)));
    tell_panels(&mut console, text);
    console.told(Update::Runbooks {
        incident: CHECKOUT,
        rows: fixture::runbooks()
            .iter()
            .map(|row| poison_with(row, text))
            .collect(),
    });
    console
}

fn hostile_recording(from: Time, to: Time) -> Recorded {
    let mut recorded = fixture::recorded(from, to);
    recorded.traces.clear();
    let mut recorded = poison(&recorded);
    for heat in &mut recorded.heat {
        // As the charts name it, so that it is drawn.
        heat.entity = stormglass::model::EntityId::parse(&format!("service/{HOSTILE}"));
    }
    recorded
}

/// Draws through an emulator and checks what came out.
fn check(console: &Console, what: &str) {
    let draw = |buf: &mut Buffer| stormglass::tui::draw(&console.state, buf);
    check_drawn(console.state.size, draw, what);
}

fn check_drawn((columns, lines): (u16, u16), draw: impl Fn(&mut Buffer), what: &str) {
    let mut writer = ScreenWriter::new(columns, lines);
    let bytes = writer.frame(&draw).to_owned();
    let mut rest = bytes.as_str();
    while let Some(at) = rest.find('\x1b') {
        rest = &rest[at + 1..];
        let end = rest
            .find(|c: char| c.is_ascii_alphabetic())
            .expect("a sequence ends");
        let (sequence, tail) = rest.split_at(end + 1);
        let ours = ["[?2026h", "[?2026l", "[0m", "[2J"].contains(&sequence)
            || (sequence.starts_with('[') && sequence.ends_with(['m', 'H', 'C']));
        assert!(ours, "{what}: {sequence:?} passed");
        rest = tail;
    }
    for c in bytes.chars() {
        let bad = (c.is_control() && c != '\x1b')
            || matches!(u32::from(c), 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe0000..=0xe0fff);
        assert!(!bad, "{what}: {c:?} passed");
    }
    let mut emulator = vt100::Parser::new(lines, columns, 0);
    emulator.process(bytes.as_bytes());
    let mut buffer = Buffer::empty(Rect::new(0, 0, columns, lines));
    draw(&mut buffer);
    for y in 0..lines {
        let mut skip = 0;
        for x in 0..columns {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let shown = emulator
                .screen()
                .cell(y, x)
                .expect("inside")
                .contents()
                .to_owned();
            let drawn = buffer[(x, y)].symbol().to_owned();
            let shown = if shown.is_empty() {
                " ".to_owned()
            } else {
                shown
            };
            let width = unicode_width::UnicodeWidthStr::width(drawn.as_str());
            // A wide glyph cut by the edge of a pane is blanked by the writer.
            if width < 2 || shown != " " {
                assert_eq!(shown, drawn, "{what}: at {x},{y}");
                skip = width.saturating_sub(1);
            }
        }
    }
}

/// Keys that lead to every view, dialog and box; alerts are told apart.
const VIEWS: [&str; 44] = [
    "",
    "enter",
    "enter 2",
    "enter 3",
    "enter 4",
    "enter 5",
    "enter 6",
    "enter 7",
    "g s",
    "w",
    "?",
    ":",
    "Y",
    "R",
    "A",
    "i",
    "!",
    "p",
    "x",
    "enter 3 w",
    "enter 5 w",
    "enter 7 w",
    "enter 1 t left",
    "enter 2 t",
    "enter 4 t",
    "enter 3 =",
    "enter 4 b",
    "enter 4 H",
    "enter 6 o",
    "g c",
    "g x",
    "g m",
    "g d",
    "z",
    "g z",
    "g d G enter",
    "g d G k enter",
    "enter 1 g g o",
    "enter 1 g g o 5",
    "enter 1 g g o 6",
    "enter 4 o",
    "enter 5 o",
    "enter 5 enter",
    "u",
];

fn tell_alerts(console: &mut Console, text: &str) {
    let items = fixture::alerts().items;
    console.told(Update::Alerts {
        after: None,
        page: stormglass::api::Page {
            items: items.iter().map(|row| poison_with(row, text)).collect(),
            next: None,
            total: 2,
        },
    });
}

#[test]
fn no_view_lets_hostile_text_through() {
    for (columns, lines) in [(60, 20), (80, 24), (130, 40), (200, 60)] {
        for keys in VIEWS {
            let mut console = poisoned(columns, lines);
            console.screen();
            console.press(keys);
            console.answer_recorded(hostile_recording);
            console.answer_lines(&[HOSTILE, "\n\n", HOSTILE]);
            check(&console, &format!("{columns}x{lines} {keys:?}"));
            console.event(Event::Paste(HOSTILE.to_owned()));
            check(&console, &format!("{columns}x{lines} {keys:?}, pasted"));
        }
        let mut console = poisoned(columns, lines);
        console.press("g a");
        tell_alerts(&mut console, HOSTILE);
        check(&console, "alerts");
        for into in [None, Some(IncidentId(4819))] {
            let mut console = poisoned(columns, lines);
            console.press("enter");
            let mut gone = fixture::detail();
            gone.incident.title = HOSTILE.into();
            gone.incident.entity = EntityId::parse(&format!("service/{HOSTILE}"));
            gone.incident.timeline = poison(&gone.incident.timeline);
            gone.incident.phase = Phase::Resolved;
            gone.incident.merged_into = into;
            console.told(Update::Watch(WatchMessage::Deltas {
                seq: 8,
                at: fixture::now(),
                deltas: vec![Delta::IncidentGone(gone.incident.id)],
            }));
            console.told(Update::Detail(Box::new(gone)));
            check(&console, &format!("gone, {into:?}"));
        }
    }
}

/// What hostile text is made of.
const PIECES: [&str; 26] = [
    "\x1b[2J",
    "\x1b[999;999H",
    "\x1b]0;owned\x07",
    "\x1bP1$r\x1b\\",
    "\x1b[?1049l",
    "\u{9b}31m",
    "\u{202e}",
    "\u{2066}",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "\u{fe0f}",
    "\u{e0041}",
    "\u{301}",
    "e\u{301}\u{301}\u{301}",
    "日本",
    "\u{1f469}\u{200d}\u{1f467}",
    "שלום",
    "\u{fdfa}",
    "\r",
    "\n",
    "\t",
    "\x08",
    "\x7f",
    "\0",
    "a word ",
];
/// Panes of an incident, and what explains them.
const PANES: [&str; 16] = [
    "enter 1",
    "enter 2",
    "enter 3",
    "enter 4",
    "enter 5",
    "enter 6",
    "enter 7",
    "enter 1 w",
    "enter 4 w",
    "enter 5 w",
    "enter 1 t left",
    "enter 3 =",
    "enter 4 b",
    "enter 4 H",
    "enter 6 o",
    "Y",
];

/// A console whose incident says `text` wherever somebody may write, and nothing else does.
fn incident_saying(text: &str, (columns, lines): (u16, u16)) -> Console {
    let mut console = Console::live(columns, lines, "dark");
    let mut detail = fixture::detail();
    let incident = &mut detail.incident;
    incident.timeline = poison_with(&incident.timeline, text);
    incident.diagnosis.hypotheses = poison_with(&incident.diagnosis.hypotheses, text);
    incident.diagnosis.not_seen = poison_with(&incident.diagnosis.not_seen, text);
    incident.grouping = poison_with(&incident.grouping, text);
    incident.findings = poison_with(&incident.findings, text);
    incident.path_nodes = poison_with(&incident.path_nodes, text);
    for plan in &mut detail.plans {
        *plan = poison_with(plan, text);
    }
    console.told(Update::Detail(Box::new(detail)));
    tell_panels(&mut console, text);
    console
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(96))]

    /// Whatever an incident says stays within its panes: no escape passes, what the terminal shows is what
    /// was drawn, and the lines of the chrome above and below are those of an incident that says nothing
    /// hostile.
    #[test]
    fn what_an_incident_says_stays_in_its_panes(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 1..12),
        size in proptest::sample::select(vec![(60, 20), (80, 24), (130, 40), (200, 60)]),
        keys in proptest::sample::select(&PANES[..]),
    ) {
        let text = pieces.concat();
        let mut hostile = incident_saying(&text, size);
        let mut kind = incident_saying("kind", size);
        for console in [&mut hostile, &mut kind] {
            console.screen();
            console.press_and_look(keys);
            console.answer_recorded(hostile_recording);
        }
        let what = format!("{size:?} {keys:?} {text:?}");
        check(&hostile, &what);
        let (hostile, kind) = (hostile.screen(), kind.screen());
        let ends = |screen: &str| {
            let lines: Vec<String> = screen.lines().map(str::to_owned).collect();
            (lines.first().cloned(), lines.last().cloned())
        };
        assert_eq!(ends(&hostile), ends(&kind), "{what}");
    }

    /// Whatever is told, of anything, in any view, dialog or box, at any size: what the terminal shows is
    /// what was drawn, and no escape passes.
    #[test]
    fn no_view_lets_any_text_through(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 1..12),
        columns in 20_u16..220,
        lines in 5_u16..70,
        keys in proptest::sample::select(&VIEWS[..]),
        typed in proptest::bool::ANY,
    ) {
        let text = pieces.concat();
        let mut console = saying(&text, columns, lines);
        console.screen();
        console.press_and_look(keys);
        console.answer_recorded(hostile_recording);
        if typed {
            console.event(Event::Paste(text.clone()));
        }
        check(&console, &format!("{columns}x{lines} {keys:?} {text:?}"));
    }

    /// The same of what is no incident's: alerts, and the wall that shows all it may.
    #[test]
    fn neither_alerts_nor_the_wall_let_any_text_through(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 1..12),
        columns in 20_u16..320,
        lines in 5_u16..90,
    ) {
        let text = pieces.concat();
        let what = format!("{columns}x{lines} {text:?}");
        let mut console = saying(&text, columns, lines);
        console.press("g a");
        tell_alerts(&mut console, &text);
        check(&console, &what);
        let shown = WallOptions { text: true, quiet: None };
        let wall = Wall::new(saying(&text, columns, lines).state, shown);
        check_drawn((columns, lines), |buf| stormglass::tui::draw_wall(&wall, buf), &what);
    }

    /// What charts, log lines and traces say changes no cell outside the panes that show them.
    #[test]
    fn what_telemetry_says_stays_in_its_rectangle(
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 1..12),
        pane in proptest::sample::select(&["enter 4", "enter 5", "enter 6"][..]),
        (size, inside) in proptest::sample::select(&RECTANGLES[..]),
    ) {
        let text = pieces.concat();
        let [hostile, kind] = [&*text, "kind"].map(|text| {
            let mut console = Console::live(size.0, size.1, "dark");
            tell_panels(&mut console, text);
            console.screen();
            console.press_and_look(pane);
            console.buffer()
        });
        for y in 0..size.1 {
            for x in 0..size.0 {
                let at = Position::new(x, y);
                if !inside.iter().any(|rect| rect.contains(at)) {
                    assert_eq!(hostile[at], kind[at], "{size:?} {pane:?} {text:?} at {x},{y}");
                }
            }
        }
    }
}

/// Where charts, log lines and traces are drawn: below the tabs of a page, and in the columns of a large
/// screen whatever pane has the keys.
const RECTANGLES: [((u16, u16), &[Rect]); 2] = [
    ((80, 24), &[Rect::new(0, 6, 80, 17)]),
    (
        (200, 60),
        // Logs below list and path; metrics and traces at the right.
        &[Rect::new(0, 27, 71, 26), Rect::new(144, 1, 56, 52)],
    ),
];

/// Charts, log lines and traces that say `text`.
fn tell_panels(console: &mut Console, text: &str) {
    let mut panels = fixture::panels();
    // A JSON value in memory holds no number of 128 bits.
    panels.traces[0].trace = stormglass::model::TraceId(7);
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: None,
        panels: Box::new(poison_with(&panels, text)),
    });
}

#[test]
fn what_is_copied_is_safe() {
    let mut console = poisoned(80, 24);
    console.press("y");
    let stormglass::tui::TerminalOp::Copy(text) = &console.terminal[0] else {
        panic!("not a copy: {:?}", console.terminal);
    };
    assert!(!text.contains('\x1b'), "{text:?}");
}
