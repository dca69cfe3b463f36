//! From a node of the path to its metrics, logs and traces, and to the pages about it.

mod fixture;

use fixture::{CHECKOUT, Console, database, service};
use stormglass::model::{EntityId, Health, Phase};
use stormglass::tui::{Request, Screen, Tab, TerminalOp, Update};

fn console() -> Console {
    let mut console = Console::live(80, 24, "dark");
    console.press_and_look("enter 3");
    console
}

/// Which entities' panels were asked for.
fn asked(console: &Console) -> Vec<Option<EntityId>> {
    let of = |request: &Request| match request {
        Request::Panels { entity, .. } => Some(entity.clone()),
        _ => None,
    };
    console.requests.iter().filter_map(of).collect()
}

fn answer(console: &mut Console, entity: EntityId) {
    let mut panels = fixture::panels();
    panels.charts.retain(|chart| chart.entity == entity);
    console.told(Update::Panels {
        incident: CHECKOUT,
        entity: Some(entity),
        panels: Box::new(panels),
    });
}

fn place(console: &Console) -> (Screen, Tab) {
    (console.state.place.screen, console.state.place.tab)
}

#[test]
fn enter_on_a_node_shows_it_alone_until_esc() {
    let mut console = console();
    console.press_and_look("down enter");
    assert_eq!(place(&console), (Screen::Incident(CHECKOUT), Tab::Metrics));
    let waiting = console.screen();
    assert!(waiting.contains("Only gateway; Esc shows all"), "{waiting}");
    assert!(waiting.contains("Fetching"), "{waiting}");
    assert_eq!(asked(&console), [Some(service("gateway"))]);
    answer(&mut console, service("gateway"));
    // What is asked for again, and in the other panes, is that node too.
    console.wait(6_000);
    console.press_and_look("5 6");
    assert_eq!(asked(&console).len(), 2);
    assert!(asked(&console).iter().all(Option::is_some));
    assert!(console.screen().contains("Only gateway"));
    console.press_and_look("esc");
    assert_eq!(place(&console).1, Tab::Path);
    assert!(console.state.node.is_none());
    console.press_and_look("4");
    assert!(!console.screen().contains("Only "), "{}", console.screen());
}

#[test]
fn the_same_key_shows_all_again_and_an_answer_about_another_node_is_not_shown() {
    let mut console = console();
    console.press_and_look("O");
    answer(&mut console, database("pg-main"));
    assert!(
        console.screen().contains("Fetching"),
        "{}",
        console.screen()
    );
    answer(&mut console, service("checkout"));
    assert!(
        !console.screen().contains("Fetching"),
        "{}",
        console.screen()
    );
    console.press_and_look("O");
    assert!(console.state.node.is_none());
    // On a wide screen the panes beside the path follow, and the cursor stays on the path.
    let mut wide = Console::live(200, 60, "dark");
    wide.press_and_look("enter 3 enter");
    assert_eq!(place(&wide).1, Tab::Path);
    let screen = wide.screen();
    assert_eq!(screen.matches("Only checkout; Esc").count(), 3, "{screen}");
}

#[test]
fn a_node_that_cannot_be_fetched_says_why_and_is_tried_again() {
    let mut console = console();
    console.press_and_look("enter");
    let request = Request::Panels {
        incident: CHECKOUT,
        entity: Some(service("checkout")),
    };
    console.told(Update::Failed {
        request: Box::new(request),
        why: "the daemon is busy".to_owned(),
    });
    let screen = console.screen();
    assert!(
        screen.contains("Cannot be fetched: the daemon is busy"),
        "{screen}"
    );
    assert_eq!(asked(&console).len(), 1);
    console.wait(2_500);
    assert_eq!(asked(&console).len(), 2);
}

#[test]
fn pages_about_a_node_are_copied() {
    let mut console = console();
    console.press_and_look("L");
    assert!(console.state.overlay.is_none());
    let screen = console.screen();
    assert!(
        screen.contains("No page about checkout is known"),
        "{screen}"
    );
    let mut detail = fixture::detail();
    let links = &mut detail.incident.path_nodes[0].links;
    let long = format!("https://wiki.example/{}", "runbook/".repeat(20));
    links.insert(
        "dashboard".to_owned(),
        "https://grafana.example/d/1".to_owned(),
    );
    links.insert("runbook".to_owned(), long.clone());
    console.told(Update::Detail(Box::new(detail)));
    console.press_and_look("L down");
    let screen = console.screen();
    let shown: String = screen.split_whitespace().collect();
    assert!(screen.contains("dashboard"), "{screen}");
    assert!(
        shown.contains(&long),
        "the whole link is there to be read: {screen}"
    );
    console.press("enter");
    assert_eq!(console.terminal, [TerminalOp::Copy(long)]);
    assert!(console.screen().contains("Copied: runbook of checkout."));
}

/// Each stands in the tree once: a call of one that stands elsewhere is told in words.
#[test]
fn no_call_is_dropped_from_the_tree() {
    let mut console = console();
    let mut detail = fixture::detail();
    let edges = &mut detail.incident.path_edges;
    let mut second = edges[3].clone();
    (second.from, second.to) = (3, 4);
    edges.push(second);
    console.told(Update::Detail(Box::new(detail)));
    let screen = console.screen();
    let row = |name: &str| {
        screen
            .lines()
            .find(|line| line.contains(name))
            .unwrap_or("")
    };
    let (database, app) = (row(" pg-main"), row(" mobile-api"));
    assert!(
        database.contains("called by checkout, traced 0s ago"),
        "{screen}"
    );
    assert!(app.contains("inferred 11m ago; also by web"), "{screen}");
}

#[test]
fn what_was_odd_is_told_with_its_end() {
    let mut console = console();
    let mut detail = fixture::detail();
    let incident = &mut detail.incident;
    incident.phase = Phase::Mitigated;
    incident.mitigated = Some(fixture::at(11, 0));
    incident.findings[0].ended = Some(fixture::at(9, 30));
    for node in &mut incident.path_nodes {
        node.health = Health::Ok;
    }
    console.told(Update::Detail(Box::new(detail)));
    let screen = console.screen();
    // By its own findings; without any, by the incident.
    for words in ["12:03:00Z to 12:09:30Z", "12:03:40Z to 12:11:00Z  traced"] {
        assert!(screen.contains(words), "{words} is missing from\n{screen}");
    }
}
