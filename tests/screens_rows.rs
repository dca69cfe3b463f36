//! Lists that are longer than their place, what is sorted where, and filters that name what there is not.

mod fixture;

use fixture::{CHECKOUT, Console};
use stormglass::api::WatchMessage;
use stormglass::model::{Command, Fingerprint, IncidentId, Severity};
use stormglass::tui::{Event, Key, Update};

/// So many incidents, the first of the fixture many times.
fn crowded(columns: u16, lines: u16, incidents: u64) -> Console {
    let mut view = fixture::view();
    let row = view.incidents[&CHECKOUT].clone();
    view.incidents.clear();
    for id in (1..=incidents).map(IncidentId) {
        view.incidents.insert(id, row.clone());
        if let Some(row) = view.incidents.get_mut(&id) {
            row.id = id;
        }
    }
    view.seq += 1;
    let mut console = Console::live(columns, lines, "mono");
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    console
}

/// So many alerts, the youngest of the service that comes first by name.
fn alerts(console: &mut Console, count: u64) {
    console.press("g a");
    let mut page = fixture::alerts();
    let alert = page.items[0].clone();
    page.items.clear();
    for n in 0..count {
        let mut alert = alert.clone();
        alert.fingerprint = Fingerprint(n);
        alert.severity = [Severity::Critical, Severity::Warning][(n % 2) as usize];
        alert.starts_at = alert.starts_at.plus_ms(n.cast_signed() * 1_000);
        alert.entity = fixture::service(&format!("s{:02}", count - n));
        page.items.push(alert);
    }
    page.total = count;
    console.told(Update::Alerts { after: None, page });
}

/// The services of the alerts on screen, in order.
fn services(console: &Console) -> Vec<String> {
    let screen = console.screen();
    let rows = screen.lines().skip(2);
    let words = rows.flat_map(str::split_whitespace);
    let number = |word: &str| word.strip_prefix('s').and_then(|n| n.parse::<u32>().ok());
    let is_service = |word: &&str| word.len() == 3 && number(word).is_some();
    words.filter(is_service).map(str::to_owned).collect()
}

#[test]
fn a_list_that_goes_on_says_how_far() {
    let heading = |console: &Console| console.screen().lines().nth(1).unwrap_or("").to_owned();
    let mut console = crowded(80, 24, 23);
    assert!(
        heading(&console).contains("SUMMARY  16 more below"),
        "{}",
        console.screen()
    );
    console.press("G");
    assert!(
        heading(&console).contains("SUMMARY  16 more above"),
        "{}",
        console.screen()
    );
    console.press("k k k k k k k k");
    let told = heading(&console);
    assert!(
        told.contains("SUMMARY  14 more above, 2 more below"),
        "{told}"
    );
    assert!(told.trim_end().ends_with("AGE OWNER  ST"), "{told}");
    // Numbers that have no room for the words have room for themselves.
    let mut many = crowded(80, 24, 2_300);
    heading(&many);
    many.press("G k k k k k k k k");
    let told = heading(&many);
    assert!(told.contains("SUMMARY  2285 above, 8 below"), "{told}");
    let all = crowded(80, 24, 5);
    assert!(
        heading(&all).contains("SUMMARY  (by urgency)"),
        "{}",
        all.screen()
    );
    let mut console = crowded(80, 24, 3);
    alerts(&mut console, 40);
    heading(&console);
    console.press("G");
    assert!(
        heading(&console).contains("SUMMARY  19 more above"),
        "{}",
        console.screen()
    );
}

#[test]
fn each_list_is_sorted_by_its_own_keys() {
    let mut console = crowded(80, 24, 3);
    alerts(&mut console, 6);
    let by_urgency = services(&console);
    assert_eq!(by_urgency, ["s02", "s04", "s06", "s01", "s03", "s05"]);
    console.press("down down s");
    assert_eq!(
        services(&console),
        ["s01", "s02", "s03", "s04", "s05", "s06"]
    );
    // The cursor stays on its alert.
    let chosen = console
        .screen()
        .lines()
        .find(|line| line.contains('▸'))
        .map(str::to_owned);
    assert!(
        chosen.as_ref().is_some_and(|row| row.contains("s06")),
        "{chosen:?}"
    );
    assert_eq!(console.state.view_string(), "alerts sort:age");
    console.press("S");
    assert_eq!(
        services(&console),
        ["s06", "s05", "s04", "s03", "s02", "s01"]
    );
    assert_eq!(console.state.view_string(), "alerts sort:age reversed");
    console.press("S s s");
    assert_eq!(services(&console), by_urgency);
    assert_eq!(console.state.view_string(), "alerts");
    console.press("esc");
    assert_eq!(
        console.state.view_string(),
        "incidents",
        "their order is theirs"
    );
}

#[test]
fn no_key_acts_on_the_rows_of_another_screen() {
    for (there, keys) in [
        ("g a", "s S space v = b"),
        ("g s", "s S space v = b"),
        ("enter 1", "s S space"),
        ("enter 4", "s S space"),
    ] {
        for key in keys.split(' ') {
            let mut console = crowded(80, 24, 3);
            console.press("g i");
            let before = format!(
                "{:?}",
                (console.state.view_string(), &console.state.list.marks)
            );
            console.press_and_look(there);
            let place = console.state.view_string();
            let whole = console.state.whole;
            console.press(key);
            if there == "g a" && key.eq_ignore_ascii_case("s") {
                continue;
            }
            assert!(
                console.state.notice.is_some(),
                "{there}: {key} says why it does nothing"
            );
            assert_eq!(console.state.view_string(), place, "{there}: {key}");
            assert_eq!(console.state.whole, whole, "{there}: {key}");
            console.press("q");
            let after = format!(
                "{:?}",
                (console.state.view_string(), &console.state.list.marks)
            );
            assert_eq!(after, before, "{there}: {key}");
        }
    }
}

#[test]
fn a_field_that_is_none_is_told_in_the_filter_line() {
    let cases = [
        (
            "",
            "srevice:checkout",
            "no field srevice, perhaps service; fields: id service",
        ),
        (
            "g a",
            "srevice:checkout",
            "no field srevice, perhaps service; fields: alert service",
        ),
        ("g a", "instanec:a", "no field instanec, perhaps instance"),
        (
            "g s",
            "stat:blind",
            "no field stat, perhaps state; fields: source state where",
        ),
        (
            "enter 4",
            "metric:pool",
            "no field metric; fields: service entity text",
        ),
        ("enter 1", "servce:pool", "no field servce, perhaps service"),
    ];
    for (size, theme) in [((80, 24), "mono"), ((60, 20), "dark"), ((200, 60), "dark")] {
        for (there, typed, told) in cases {
            let mut console = Console::live(size.0, size.1, theme);
            console.press_and_look(there);
            if there == "g a" {
                let mut page = fixture::alerts();
                for alert in &mut page.items {
                    let labels = [("alertname", "Slow"), ("instance", "a:1")];
                    alert.labels = stormglass::model::Labels::from_pairs(labels).expect("labels");
                }
                console.told(Update::Alerts { after: None, page });
            }
            let says = |console: &Console| {
                let screen = console.screen().replace('\n', " ");
                let words: Vec<&str> = screen.split_whitespace().collect();
                words.join(" ").contains(told)
            };
            console.press("/");
            console.type_text(typed);
            let screen = console.screen();
            assert!(says(&console), "{there} {typed}\n{screen}");
            assert!(screen.contains(&format!("/{typed}")), "{screen}");
            console.press("enter");
            assert!(
                says(&console),
                "{there} {typed}, kept\n{}",
                console.screen()
            );
            console.press("/ ctrl-u");
            console.type_text("service:pool");
            assert!(
                !console.screen().contains("no field") || there == "g s",
                "{there}"
            );
        }
    }
}

#[test]
fn a_view_that_asks_for_a_field_that_is_none_says_so() {
    let mut console = Console::live(80, 24, "mono");
    console.press(":");
    console.type_text("incidents /!onwer:mia");
    console.press("enter");
    let screen = console.screen();
    assert!(screen.contains("no field onwer, perhaps owner"), "{screen}");
}

#[test]
fn a_long_banner_takes_the_lines_there_are_and_keeps_its_ends() {
    let text = "journal: run `stormglass audit verify`: line 41 of the journal does not follow the one before \
                it, and everything after it is of another hand; the rest was put aside (/var/lib/stormglass/journal)";
    for ((columns, lines), rows) in [((80, 20), 1), ((80, 24), 2), ((60, 40), 3), ((300, 80), 1)] {
        let mut console = Console::live(columns, lines, "mono");
        let mut view = fixture::view();
        view.seq += 1;
        text.clone_into(&mut view.banner);
        console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
        let screen = console.screen();
        let banner: Vec<&str> = screen.lines().skip(1).take(rows).map(str::trim).collect();
        let told = banner.join(" ");
        assert!(
            told.starts_with("journal: run `stormglass audit verify`"),
            "{screen}"
        );
        assert!(told.ends_with("lib/stormglass/journal)"), "{screen}");
        let below = screen.lines().nth(rows + 1).unwrap_or_default();
        assert!(
            below.contains("SUMMARY") || below.contains("80x24"),
            "{screen}"
        );
    }
}

/// Characters as one read of the terminal gives them; `\n` is Enter.
fn burst(text: &str) -> Event {
    let key = |c: char| match c {
        '\n' => Key::parse("enter").expect("a key"),
        ' ' => Key::parse("space").expect("a key"),
        c => Key::char(c),
    };
    Event::Keys(text.chars().map(key).collect())
}

/// A terminal without bracketed paste sends what is pasted as keys.
#[test]
fn lines_pasted_as_keys_act_on_nothing() {
    let lines = "the pool is full\nask mia to raise it\naXx!Y\n";
    for keys in [
        "i", "/", ":", "A", "R", "p", "?", "x wait", "Y wait", "! wait", "w", "",
    ] {
        let mut console = Console::live(80, 24, "mono");
        console.press_and_look(keys);
        let sent = console.commands().len();
        let place = console.state.view_string();
        console.event(burst(lines));
        console.event(burst("and after that aXx\n"));
        assert_eq!(
            console.commands().len(),
            sent,
            "{keys}\n{}",
            console.screen()
        );
        assert!(console.terminal.is_empty(), "{keys}");
        let list = place.split('/').next().unwrap_or_default().trim();
        assert!(
            console.state.view_string().starts_with(list),
            "{keys}: {place}"
        );
    }
    // It is in the box, as pasted text is, and a person sends it.
    let mut console = Console::live(80, 24, "mono");
    console.press("i");
    console.event(burst("the pool is full\nask mia"));
    console.wait(1_000);
    console.event(burst("\n"));
    let text = "the pool is full\nask mia".to_owned();
    let incident = fixture::CHECKOUT;
    assert_eq!(console.commands(), [Command::Note { incident, text }]);
}

/// On a slow link a person's keys come together too, and do what they would have done one by one.
#[test]
fn keys_that_were_typed_ahead_do_as_they_say() {
    let cases = [
        ("jjj\n4", "incident 4811 metrics"),
        ("/checkout\n", "incidents /checkout"),
        ("/checkout\nj", "incidents /checkout"),
        (":alerts /pool\n", "alerts /pool"),
        ("jjjjjjjjkkkkg", "incidents"),
        ("ss4S", "incidents sort:service reversed"),
    ];
    for (typed, place) in cases {
        let mut console = Console::live(80, 24, "mono");
        console.event(burst(typed));
        assert_eq!(
            console.state.view_string(),
            place,
            "{typed:?}\n{}",
            console.screen()
        );
    }
    let mut console = Console::live(80, 24, "mono");
    console.event(burst("ja"));
    assert_eq!(console.commands().len(), 1);
    // Nothing is done behind the key that leaves.
    let mut console = Console::live(80, 24, "mono");
    console.event(burst("qa"));
    assert_eq!(console.commands(), []);
    // The key that came with the Enter that closed a box does nothing, says so, and does it when it is pressed.
    let mut console = Console::live(80, 24, "mono");
    console.event(burst("/pay\na"));
    assert_eq!(console.commands(), []);
    assert!(
        console.screen().contains("did nothing: press it"),
        "{}",
        console.screen()
    );
    console.wait(300);
    console.event(burst("a"));
    assert_eq!(console.commands().len(), 1);
}
