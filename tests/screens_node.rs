//! From a node of the path to its metrics, logs and traces, and to the pages about it.

mod fixture;

use fixture::{CHECKOUT, Console, database, service};
use stormglass::model::{
    Beside, Dependence, EntityId, Health, PathEdge, PathNode, Phase, Provenance, Reach, Reached,
};
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

/// What the engine knows of who depends on checkout: more than the incident touches.
fn dependence() -> Dependence {
    let reached = |name: &str, steps, via: EntityId, provenance| Reached {
        entity: EntityId::parse(name),
        health: Health::Ok,
        steps,
        via,
        provenance,
        last_seen: fixture::now().plus_ms(-12_000),
        confidence: 1.0,
        owner: Some("shop".into()),
        tier: Some(1),
    };
    let host = EntityId::parse("host/node-3");
    Dependence {
        entity: service("checkout"),
        is_known: true,
        dependents: Reach {
            by_step: vec![2, 9, 6],
            unwell: 2,
            tiers: [(1, 3), (2, 9)].into(),
            owners: vec![("shop".into(), 11), ("pay\u{1b}[2Jments".into(), 1)],
            named: vec![
                reached(
                    "service/gateway",
                    1,
                    service("checkout"),
                    Provenance::Traced,
                ),
                reached("service/kiosk", 2, service("gateway"), Provenance::Declared),
            ],
            is_cut: false,
        },
        dependencies: Reach {
            by_step: vec![1],
            named: vec![Reached {
                last_seen: stormglass::model::Time::ZERO,
                ..reached("host/node-3", 1, host, Provenance::Inferred)
            }],
            ..Reach::default()
        },
    }
}

/// Whoever is well is no part of the incident, and depends on the node all the same.
#[test]
fn what_depends_on_a_node_is_asked_of_everything_known() {
    let mut console = console();
    console.press_and_look("w");
    let asked = Request::Dependence(service("checkout"));
    assert!(console.requests.contains(&asked), "{:?}", console.requests);
    let waiting = console.screen();
    assert!(waiting.contains("Asking the engine"), "{waiting}");
    assert!(waiting.contains("gateway calls it"), "{waiting}");
    let answer = |of: &str| Update::Dependence {
        entity: service(of),
        told: Box::new(dependence()),
    };
    // Of another node, asked for before.
    console.told(answer("gateway"));
    assert!(console.screen().contains("Asking the engine"));
    console.told(answer("checkout"));
    let screen = console.screen();
    for words in [
        "17 entities: 2 directly, 9 two steps away, 6 further; 2 not well",
        "by tier: 3 of tier 1, 9 of tier 2",
        "by owner: 11 of shop, 1 of pay",
        "gateway calls it: traced, last confirmed 10s ago; tier 1, owned by",
        "kiosk calls gateway: declared",
        "and 15 more",
        "it runs on node-3: inferred, 60 % sure; tier 1",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    assert!(!screen.contains("Asking the engine"), "{screen}");
    console.press_and_look("esc w");
    console.told(Update::Lost { why: "cut".into() });
    let screen = console.screen();
    assert!(screen.contains("ask again"), "{screen}");
    assert!(screen.contains("gateway calls it"), "{screen}");
}

#[test]
fn in_the_past_nothing_is_asked_of_the_present() {
    let mut console = console();
    console.press_and_look("1 t 3 w");
    let is_asked = |r: &Request| matches!(r, Request::Dependence(_));
    assert!(
        !console.requests.iter().any(is_asked),
        "{:?}",
        console.requests
    );
}

/// What is well around the path is counted where it stands; what is not is drawn, and said to be no part of it.
#[test]
fn what_is_around_the_path_is_counted_or_drawn() {
    let mut detail = fixture::detail();
    let nodes = &mut detail.incident.path_nodes;
    nodes[0].beside = Beside {
        callers_well: 9,
        callees_well: 3,
        unwell: 1,
        is_cut: false,
    };
    let mut sick = nodes[2].clone();
    (sick.entity, sick.is_beside, sick.onset) = (service("kiosk"), true, None);
    nodes.push(sick);
    nodes.push(stormglass::model::PathNode {
        entity: EntityId::parse("host/node-3"),
        ..nodes[5].clone()
    });
    let edges = &mut detail.incident.path_edges;
    for (from, to) in [(5, 2), (1, 6)] {
        edges.push(stormglass::model::PathEdge {
            from,
            to,
            ..edges[1].clone()
        });
    }
    let mut console = console();
    console.told(Update::Detail(Box::new(detail.clone())));
    let screen = console.screen();
    for words in [
        "+12 healthy +1 not well",
        "kiosk",
        "(not of it)",
        "runs pg-main, traced",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    let mut wide = Console::live(200, 60, "dark");
    wide.told(Update::Detail(Box::new(detail)));
    wide.press_and_look("enter 3 =");
    let screen = wide.screen();
    for words in [
        "not of it",
        "+3 healthy within two steps",
        "+9 healthy within two steps",
    ] {
        assert!(screen.contains(words), "{words}: {screen}");
    }
    // Nobody is made a part of the incident for standing beside it.
    console.press_and_look("g c");
    assert!(
        !console.screen().contains("node-3 "),
        "{}",
        console.screen()
    );
}

#[test]
fn how_a_call_is_known_is_whole_beside_other_panes() {
    let mut console = Console::live(120, 40, "dark");
    console.press_and_look("enter 3");
    let screen = console.screen();
    for words in [
        "CALL KNOWN BY",
        "traced 0s ago",
        "declared 23h ago",
        "inferred 11m ago",
    ] {
        assert!(screen.contains(words), "{words}\n{screen}");
    }
}

/// A path of so many services: each but the first is called by the one at half its number.
fn large(nodes: u32) -> Update {
    let mut detail = fixture::detail();
    let incident = &mut detail.incident;
    let (node, edge) = (
        incident.path_nodes[3].clone(),
        incident.path_edges[0].clone(),
    );
    incident.path_nodes = (0..nodes)
        .map(|at| PathNode {
            entity: service(&format!("node-{at:02}")),
            ..node.clone()
        })
        .collect();
    let call = |at: u32| PathEdge {
        from: at / 2,
        to: at,
        ..edge.clone()
    };
    incident.path_edges = (1..nodes).map(call).collect();
    incident.revision += 1;
    Update::Detail(Box::new(detail))
}

#[test]
fn a_large_path_is_drawn_whole_where_there_is_room_and_counted_where_there_is_none() {
    let shown = |screen: &str, nodes: u32| {
        let names = (0..nodes).map(|at| format!("node-{at:02}"));
        names.filter(|name| screen.contains(name.as_str())).count()
    };
    let cases = [
        ((200, 60), "enter 3 =", 14, 14, ""),
        ((200, 60), "enter 3 =", 30, 30, ""),
        ((400, 120), "enter 3 =", 30, 30, ""),
        (
            (200, 60),
            "enter 3 =",
            60,
            40,
            "20 entities more that did not fit",
        ),
        ((80, 24), "enter 3", 30, 15, "and 15 more"),
    ];
    for ((columns, lines), keys, nodes, seen, more) in cases {
        let mut console = Console::live(columns, lines, "dark");
        console.told(large(nodes));
        console.press_and_look(keys);
        let screen = console.screen();
        assert_eq!(shown(&screen, nodes), seen, "{columns}x{lines}\n{screen}");
        assert!(screen.contains(more), "{columns}x{lines}\n{screen}");
        // Every node that is drawn can be chosen.
        console.press_and_look("G");
        let row = console.state.cursor(Tab::Path).at(usize::MAX);
        assert_eq!(row, seen - 1, "{columns}x{lines}\n{}", console.screen());
    }
}

#[test]
fn a_drawing_is_laid_out_when_a_path_is_told_and_never_by_drawing_it() {
    let mut console = Console::live(200, 60, "dark");
    console.press_and_look("enter 3 =");
    let is_tree = |console: &Console| console.screen().contains("CALL KNOWN BY");
    assert!(!is_tree(&console), "{}", console.screen());
    console.state.drawn = None;
    assert!(is_tree(&console), "{}", console.screen());
    console.wait(1);
    assert!(!is_tree(&console), "{}", console.screen());
}
