//! The daemon through its API: what consoles and scripts see of it, over a real socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stormglass::api::client::{Address, Client, ClientError, IncidentQuery, Watch};
use stormglass::api::{View, WatchMessage};
use stormglass::config::{Config, OperatorConfig, TlsConfig, parse_runbook};
use stormglass::daemon::{self, Clock, Daemon, DaemonOptions, Telemetry};
use stormglass::engine::CHECKPOINT_VERSION;
use stormglass::model::{
    Command, EntityId, IncidentId, LabelFilter, Labels, LogLine, Phase, Plan, PlanState, Record,
    RecordedPart, Refusal, Role, Runbook, Sample, Series, SeriesKind, Signal, SilenceKind,
    SilenceSpec, SilenceTwin, SourceHealth, Time, Unit,
};
use stormglass::sources::Rhythm;
use tempfile::TempDir;

/// Whatever is waited for must happen within this.
const DEADLINE: Duration = Duration::from_secs(20);

struct Fixture {
    daemon: Daemon,
    client: Client,
    _dir: TempDir,
}

fn options(socket: PathBuf) -> DaemonOptions {
    let mut config = Config {
        environment: "test".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        otlp_listen: None,
        otlp_grpc_listen: None,
        ..Config::default()
    };
    config.sources.host.enabled = false;
    DaemonOptions {
        config,
        runbooks: Vec::new(),
        clock: Clock::real(),
        data_dir: Some(socket.with_file_name("data")),
        socket,
        warnings: tokio::sync::watch::channel(Vec::new()).1,
        telemetry: Telemetry::Live,
    }
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let daemon = daemon::start(options(socket.clone())).await.unwrap();
    let client = Client::new(Address::Socket(socket)).unwrap();
    Fixture {
        daemon,
        client,
        _dir: dir,
    }
}

async fn snapshot(watch: &mut Watch) -> View {
    match watch.next().await.unwrap() {
        Some(WatchMessage::Snapshot(view)) => *view,
        other => panic!("a watch begins with a snapshot, not {other:?}"),
    }
}

/// Applies what the watch says to `view` until `done`.
async fn follow(watch: &mut Watch, view: &mut View, done: impl Fn(&View) -> bool) {
    let until_done = async {
        while !done(view) {
            match watch.next().await.unwrap().expect("the watch goes on") {
                WatchMessage::Snapshot(fresh) => *view = *fresh,
                WatchMessage::Deltas { seq, at, deltas } => view.apply(seq, at, &deltas).unwrap(),
                WatchMessage::Heartbeat { .. } => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, until_done)
        .await
        .expect("it happens in time");
}

/// Posts an alert that pages, as Prometheus would, and follows the watch until it is an incident.
async fn incident(f: &Fixture, watch: &mut Watch, view: &mut View) -> IncidentId {
    let body = r#"[{"labels":{"alertname":"HighErrorRate","service":"checkout","severity":"critical"},"annotations":{"summary":"5xx above 5%"}}]"#;
    let address = f.daemon.listen().unwrap();
    let answer = reqwest::Client::new()
        .post(format!("http://{address}/api/v2/alerts"))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    follow(watch, view, |view| !view.incidents.is_empty()).await;
    *view.incidents.keys().next().unwrap()
}

fn line(text: &str) -> Signal {
    Signal::Log(Box::new(LogLine {
        at: Clock::real().now(),
        labels: Labels::from_pairs([("service", "checkout")]).unwrap(),
        level: None,
        text: Box::from(text),
        trace: None,
        span: None,
    }))
}

#[tokio::test]
async fn a_console_sees_who_it_is_and_what_sources_do() {
    let f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    assert_eq!(view.environment, "test");
    assert_eq!(view.actor.role, Role::Admin);
    let sender = f
        .daemon
        .sources()
        .source("app", Rhythm::Sporadic, "in process");
    sender.send(vec![line("one"), line("two")]).await.unwrap();
    follow(&mut watch, &mut view, |view| {
        view.sources.get("app").is_some_and(|app| app.taken == 2)
    })
    .await;
    assert_eq!(view.sources["app"].health, SourceHealth::Live);
    let again = f.client.view().await.unwrap();
    assert_eq!(
        (again.environment, again.actor),
        (view.environment, view.actor)
    );
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn questions_about_what_is_not_there_are_answered_so() {
    let f = fixture().await;
    let id = IncidentId(7);
    let message = |error: ClientError| match error {
        ClientError::Refused { status, message } => (status, message),
        other => panic!("{other}"),
    };
    let expected = (404, "there is no incident #7".to_owned());
    assert_eq!(message(f.client.incident(id).await.unwrap_err()), expected);
    let panels = f.client.panels(id, None).await;
    assert_eq!(message(panels.unwrap_err()), expected);
    let [then, now] = [1_000, 2_000].map(Time::from_secs);
    let recorded = f.client.recorded(id, (then, now), RecordedPart::All).await;
    assert_eq!(message(recorded.unwrap_err()), expected);
    let (status, why) = message(
        f.client
            .recorded(id, (now, then), RecordedPart::All)
            .await
            .unwrap_err(),
    );
    assert_eq!((status, why.contains("in order")), (400, true), "{why}");
    let page = f.client.incidents(&IncidentQuery::default()).await.unwrap();
    assert_eq!((page.items.len(), page.next, page.total), (0, None, 0));
    assert_eq!(f.client.plans().await.unwrap(), Vec::new());
    let command = Command::Acknowledge { incident: id };
    let reply = f.client.command(&command).await.unwrap();
    assert_eq!(reply.command, command);
    assert!(reply.refused.is_some());
    let spec = SilenceSpec {
        id: None,
        kind: SilenceKind::Silence,
        matchers: LabelFilter::parse_all("service=cart").unwrap(),
        starts_at: None,
        ends_at: Time::from_secs(32_503_680_000),
        until_resolved: false,
        reason: "for ever".to_owned(),
    };
    let twin = Some(SilenceTwin {
        alertmanager: "main".to_owned(),
        id: "x".to_owned(),
    });
    let spec = Box::new(spec);
    let answer = f.client.command(&Command::Silence { spec, twin }).await;
    let only_daemons = "`twin` is for the daemon to say: leave it out";
    assert_eq!(message(answer.unwrap_err()), (400, only_daemons.to_owned()));
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_recorded_of_an_incident_is_read_again() {
    let f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    let id = incident(&f, &mut watch, &mut view).await;
    let sender = f
        .daemon
        .sources()
        .source("app", Rhythm::Sporadic, "in process");
    sender
        .send(vec![line("job 17 done"), line("job 42 done")])
        .await
        .unwrap();
    let found = async |q: &str| {
        let query = IncidentQuery {
            contains: Some(q.to_owned()),
            ..IncidentQuery::default()
        };
        f.client.incidents(&query).await.unwrap().total
    };
    let row = &view.incidents[&id];
    assert_eq!(row.members, std::slice::from_ref(&row.entity), "{row:?}");
    let of = format!("service:{} !owner:nobody", row.entity.name());
    assert_eq!((found(&of).await, found("service:elsewhere").await), (1, 0));
    let told = f.client.dependence(&row.entity).await.unwrap();
    assert!(told.is_known && told.dependents.count() == 0, "{told:?}");
    let until_there = async {
        loop {
            let now = Clock::real().now();
            let (from, to) = (now.plus_ms(-600_000), now);
            let recorded = f
                .client
                .recorded(id, (from, to), RecordedPart::Moment)
                .await
                .unwrap();
            assert_eq!((recorded.from, recorded.to), (from, to));
            if recorded.logs.iter().map(|group| group.count).sum::<u64>() == 2 {
                return recorded;
            }
            // The recorder writes once a second.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let recorded = tokio::time::timeout(DEADLINE, until_there).await.unwrap();
    assert!(recorded.kept_from.is_some_and(|kept| kept > recorded.from));
    let stretch = (recorded.from, recorded.to);
    let lines = f.client.recorded(id, stretch, RecordedPart::Lines).await;
    assert_eq!(lines.unwrap().logs, [], "only what is looked at is sent");
    let [group] = &*recorded.logs else {
        panic!("{:?}", recorded.logs);
    };
    let of = (&group.entity, &*group.template);
    let read = f.client.lines(of, stretch, 1).await.unwrap();
    let texts: Vec<&str> = read.lines.iter().map(|line| &*line.text).collect();
    assert_eq!(
        (read.count, &*texts),
        (2, &["job 42 done"][..]),
        "{group:?}"
    );
    let other = f.client.lines((&group.entity, "no such line"), stretch, 9);
    let other = other.await.unwrap();
    assert_eq!((other.count, other.kept_from), (0, read.kept_from));
    let far = (stretch.0.plus_ms(-100_000_000), stretch.1);
    assert!(f.client.lines(of, far, 1).await.is_err(), "more than 26 h");
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopped_daemon_ends_watches_and_leaves_no_socket() {
    let f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    snapshot(&mut watch).await;
    let socket = f.daemon.socket().to_owned();
    f.daemon.stop().await.unwrap();
    let end = async { while watch.next().await.unwrap().is_some() {} };
    tokio::time::timeout(DEADLINE, end).await.unwrap();
    assert!(!socket.exists());
    let refused = f.client.view().await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unreachable { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn the_listener_gives_health_to_all_and_the_rest_to_nobody_unknown() {
    let f = fixture().await;
    let address = f.daemon.listen().unwrap();
    let get = |path: &str| reqwest::get(format!("http://{address}{path}"));
    assert_eq!(get("/-/ready").await.unwrap().status(), 200);
    assert_eq!(get("/-/healthy").await.unwrap().status(), 200);
    assert_eq!(get("/api/v1/view").await.unwrap().status(), 401);
    assert_eq!(get("/nothing").await.unwrap().status(), 404);
    let remote = Client::new(Address::parse(&address.to_string(), None).unwrap()).unwrap();
    let command = Command::KillSwitch { on: true };
    let refused = remote.command(&command).await.unwrap_err();
    assert!(refused.to_string().contains("token"), "{refused}");
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_daemon_on_the_same_socket_is_refused() {
    let f = fixture().await;
    let second = daemon::start(options(f.daemon.socket().to_owned())).await;
    let message = second.expect_err("the first one lives").to_string();
    assert!(message.contains("stormglass attach"), "{message}");
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn two_consoles_see_each_others_decisions_within_a_second() {
    let f = fixture().await;
    let (mut mine, mut yours) = (
        f.client.watch().await.unwrap(),
        f.client.watch().await.unwrap(),
    );
    let mut my_view = snapshot(&mut mine).await;
    let mut your_view = snapshot(&mut yours).await;
    let id = incident(&f, &mut mine, &mut my_view).await;
    follow(&mut yours, &mut your_view, |view| {
        view.incidents.contains_key(&id)
    })
    .await;
    let decided = std::time::Instant::now();
    let reply = f
        .client
        .command(&Command::Acknowledge { incident: id })
        .await;
    assert_eq!(reply.unwrap().refused, None);
    let acknowledged = |view: &View| view.incidents[&id].phase == Phase::Acknowledged;
    follow(&mut mine, &mut my_view, acknowledged).await;
    follow(&mut yours, &mut your_view, acknowledged).await;
    assert!(decided.elapsed() < Duration::from_secs(1));
    assert_eq!(my_view.incidents, your_view.incidents);
    let detail = f.client.incident(id).await.unwrap();
    assert_eq!(detail.incident.owner, Some(my_view.actor.name));
    // Asking again is no mistake: it says who has it, and since when.
    let again = Command::Acknowledge { incident: id };
    let again = f.client.command(&again).await.unwrap();
    assert_eq!(again.refused, None);
    let notice = again.notice.unwrap();
    let says = format!("{id} is yours already: ");
    assert!(
        notice.starts_with(&says) && notice.ends_with(" UTC"),
        "{notice}"
    );
    let after = f.client.incident(id).await.unwrap().incident;
    assert_eq!(after.timeline, detail.incident.timeline);
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn who_is_given_an_incident_and_is_not_known_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s.sock");
    let mut options = options(socket.clone());
    options.config.operators = vec![OperatorConfig {
        name: "noor".to_owned(),
        uid: Some(54_321),
        role: Role::Responder,
        token_file: None,
        token_env: None,
    }];
    let daemon = daemon::start(options).await.unwrap();
    let client = Client::new(Address::Socket(socket)).unwrap();
    let f = Fixture {
        daemon,
        client,
        _dir: dir,
    };
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    let incident = incident(&f, &mut watch, &mut view).await;
    let notice = async |to: &str| {
        let to = to.to_owned();
        let reply = f.client.command(&Command::Assign { incident, to }).await;
        let reply = reply.unwrap();
        assert_eq!(reply.refused, None, "it is not forbidden");
        reply.notice
    };
    assert_eq!(notice("noor").await, None);
    assert_eq!(notice("root").await, None, "a user of this machine");
    let expected = format!(
        "{incident} is given to nor, but no operator and no user of this machine is called so; operators are noor"
    );
    assert_eq!(notice("nor").await, Some(expected));
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_may_ask_to_be_a_viewer_and_is_held_to_it() {
    let f = fixture().await;
    let wall = f.client.clone().as_viewer();
    assert_eq!(wall.view().await.unwrap().actor.role, Role::Viewer);
    let reply = wall
        .command(&Command::KillSwitch { on: true })
        .await
        .unwrap();
    assert!(
        matches!(reply.refused, Some(Refusal::Role { .. })),
        "{reply:?}"
    );
    assert!(!f.client.view().await.unwrap().automation_stopped);
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_decision_outlives_the_daemon_and_a_damaged_database() {
    let f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    let id = incident(&f, &mut watch, &mut view).await;
    let command = Command::Acknowledge { incident: id };
    f.client.command(&command).await.unwrap();
    let socket = f.daemon.socket().to_owned();
    f.daemon.stop().await.unwrap();
    for file in ["conf", "db"] {
        std::fs::write(socket.with_file_name("data/db").join(file), b"damaged").unwrap();
    }
    let again = daemon::start(options(socket)).await.unwrap();
    let view = f.client.view().await.unwrap();
    assert_eq!(view.incidents[&id].phase, Phase::Acknowledged);
    assert!(view.banner.contains("(was damaged)"), "{}", view.banner);
    // The engine answers only after it has recorded its start.
    f.client.incident(id).await.unwrap();
    let journal = f.client.audit(None, 100).await.unwrap();
    let starts = journal.items.iter();
    let starts = starts.filter(|entry| matches!(entry.record, Record::Started { .. }));
    assert_eq!(starts.count(), 2);
    again.stop().await.unwrap();
}

fn sample(at: Time) -> Signal {
    let labels = Labels::from_pairs([("service", "checkout")]).unwrap();
    let series = Series::new("queue_depth", labels, SeriesKind::Gauge, Unit::None);
    Signal::Sample(Sample {
        series: Arc::new(series),
        at,
        value: 4.0,
    })
}

/// Restarts the daemon of `socket`; gives its banner and the series it knows after the first tick.
async fn restarted(socket: &Path) -> (String, u64) {
    let daemon = daemon::start(options(socket.to_owned())).await.unwrap();
    let client = Client::new(Address::Socket(socket.to_owned())).unwrap();
    let mut watch = client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    follow(&mut watch, &mut view, |view| view.counts.entities > 0).await;
    daemon.stop().await.unwrap();
    (view.banner, view.counts.series)
}

#[tokio::test]
async fn what_was_learned_outlives_the_daemon_and_its_loss_is_told() {
    let f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    let rhythm = Rhythm::Sporadic;
    let sender = f.daemon.sources().source("app", rhythm, "in process");
    let sent = vec![line("one"), sample(Clock::real().now())];
    sender.send(sent).await.unwrap();
    follow(&mut watch, &mut view, |view| view.counts.series == 1).await;
    let socket = f.daemon.socket().to_owned();
    f.daemon.stop().await.unwrap();
    assert_eq!(restarted(&socket).await, (String::new(), 1));

    let checkpoint = socket.with_file_name("data/checkpoint");
    let whole = std::fs::read(&checkpoint).unwrap();
    let mut other_version = whole.clone();
    other_version[24] ^= 0x40;
    let (written, reads) = (CHECKPOINT_VERSION ^ 0x40, CHECKPOINT_VERSION);
    let other = format!("it is of version {written}, this program reads {reads}");
    let cases = [
        (&whole[..whole.len() - 9], "damaged: its end is missing"),
        (&other_version, &other),
    ];
    for (bytes, why) in cases {
        std::fs::write(&checkpoint, bytes).unwrap();
        let again = daemon::start(options(socket.clone())).await.unwrap();
        let banner = f.client.view().await.unwrap().banner;
        assert!(banner.contains(why), "{banner}");
        assert!(banner.contains("baselines warm up again"), "{banner}");
        again.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_engine_is_seen_by_every_console_and_by_the_program() {
    let mut f = fixture().await;
    let mut watch = f.client.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    let asked = f
        .daemon
        .door()
        .query(|_| panic!("a table is not what it was"))
        .await;
    assert!(asked.is_err());
    follow(&mut watch, &mut view, |view| {
        view.banner.contains("ENGINE STOPPED")
    })
    .await;
    let error = f.daemon.failed().await.to_string();
    assert!(error.contains("a table is not what it was"), "{error}");
    let command = Command::KillSwitch { on: true };
    let refused = f.client.command(&command).await.unwrap_err().to_string();
    assert!(refused.contains("the engine has stopped"), "{refused}");
    f.daemon.stop().await.unwrap();
}

/// A certificate for this machine's loopback address, and the key, in PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn operators_reach_the_api_over_tls_with_their_token_and_role() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (cert, key) = certificate();
    let operator = |name: &str, role| OperatorConfig {
        name: name.to_owned(),
        uid: None,
        role,
        token_file: Some(file(name, &format!("a long token of {name}\n"))),
        token_env: None,
    };
    let mut options = options(dir.path().join("s.sock"));
    options.config.tls = TlsConfig {
        cert_file: Some(file("cert.pem", &cert)),
        key_file: Some(file("key.pem", &key)),
    };
    options.config.operators = vec![
        operator("mia", Role::Responder),
        operator("wall", Role::Viewer),
    ];
    let daemon = daemon::start(options).await.unwrap();
    let at = daemon.listen().unwrap();
    let client = |scheme: &str, token: Option<&str>| {
        Client::new(Address::Http {
            url: format!("{scheme}://{at}"),
            token: token.map(str::to_owned),
            authority: Some(cert.clone().into_bytes()),
        })
        .unwrap()
    };
    let mia = client("https", Some("a long token of mia"));
    let wall = client("https", Some("a long token of wall"));
    for (client, name, role) in [
        (&mia, "mia", Role::Responder),
        (&wall, "wall", Role::Viewer),
    ] {
        let actor = client.view().await.unwrap().actor;
        assert_eq!((&*actor.name, actor.role), (name, role));
    }
    let command = Command::KillSwitch { on: true };
    let refused = wall.command(&command).await.unwrap().refused;
    assert!(refused.is_some(), "a viewer decides nothing");
    assert_eq!(mia.command(&command).await.unwrap().refused, None);
    for token in [None, Some("a long token of max"), Some("")] {
        let refused = client("https", token).view().await.unwrap_err();
        assert!(
            matches!(refused, ClientError::Refused { status: 401, .. }),
            "{token:?}: {refused}"
        );
    }
    let clear = client("http", Some("a long token of mia"));
    assert!(
        clear.view().await.is_err(),
        "nothing is answered in the clear"
    );
    daemon.stop().await.unwrap();
}

/// A runbook of one step, which leaves a file behind.
fn leaves_behind(file: &Path) -> Runbook {
    let text = format!(
        r#"
        name = "fix"
        title = "fix {{entity}}"
        description = "leaves a file behind"
        risk = "low"
        match = []
        steps = [{{ title = "one", argv = ["touch", "{}"] }}]
        verify = {{ recover_within_s = 1 }}
        "#,
        file.display()
    );
    parse_runbook(&text, "fix.toml").unwrap()
}

/// Who is who is not what they say: each is recognised by a token of their own.
#[tokio::test]
async fn a_plan_that_takes_two_people_runs_when_two_have_said_yes() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path().join("s.sock"));
    let token = |name: &str| format!("a long token of {name}");
    options.config.operators = [
        ("mia", Role::Responder),
        ("ole", Role::Responder),
        ("wall", Role::Viewer),
    ]
    .map(|(name, role)| {
        let file = dir.path().join(name);
        std::fs::write(&file, token(name)).unwrap();
        OperatorConfig {
            name: name.to_owned(),
            uid: None,
            role,
            token_file: Some(file),
            token_env: None,
        }
    })
    .into();
    options.config.engine.policy.approvals_low = 2;
    let ran = dir.path().join("ran");
    options.runbooks = vec![leaves_behind(&ran)];
    let client = Client::new(Address::Socket(options.socket.clone())).unwrap();
    let daemon = daemon::start(options).await.unwrap();
    let url = format!("http://{}", daemon.listen().unwrap());
    let [mia, ole, wall] = ["mia", "ole", "wall"].map(|name| {
        Client::new(Address::Http {
            url: url.clone(),
            token: Some(token(name)),
            authority: None,
        })
        .unwrap()
    });
    let f = Fixture {
        daemon,
        client,
        _dir: dir,
    };
    let mut watch = ole.watch().await.unwrap();
    let mut view = snapshot(&mut watch).await;
    assert_eq!(view.actor.name, "ole");
    let incident = incident(&f, &mut watch, &mut view).await;

    let refused = async |who: &Client, command: &Command| {
        let reply = who.command(command).await.unwrap();
        reply.refused
    };
    let propose = Command::Propose {
        incident,
        runbook: "fix".to_owned(),
        target: EntityId::parse("checkout"),
    };
    assert_eq!(refused(&mia, &propose).await, None);
    let plan = async || ole.plans().await.unwrap().pop().unwrap();
    let shown = plan().await;
    assert_eq!((shown.approvals_needed, shown.approvals.len()), (2, 0));
    let yes = |digest: &str| Command::Approve {
        plan: shown.id,
        digest: digest.to_owned(),
    };
    let approve = yes(&shown.digest);

    // One person is one person, however often they say it.
    assert_eq!(refused(&mia, &approve).await, None);
    let again = refused(&mia, &approve).await;
    let same = Refusal::SamePerson {
        plan: shown.id,
        name: "mia".to_owned(),
    };
    assert_eq!(again, Some(same));
    let viewer = refused(&wall, &approve).await;
    assert!(matches!(viewer, Some(Refusal::Role { .. })), "{viewer:?}");
    let other = refused(&ole, &yes("of something else")).await;
    assert!(matches!(other, Some(Refusal::Digest { .. })), "{other:?}");
    let waiting = plan().await;
    let by = |plan: &Plan| -> Vec<String> {
        let given = plan.approvals.iter();
        given.map(|approval| approval.by.clone()).collect()
    };
    assert_eq!(waiting.state, PlanState::Proposed);
    assert_eq!(by(&waiting), ["mia"]);
    assert!(!ran.exists(), "nothing runs for one of two");

    assert_eq!(refused(&ole, &approve).await, None);
    let until_it_ran = async {
        while !ran.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, until_it_ran).await.unwrap();
    assert_eq!(by(&plan().await), ["mia", "ole"]);
    let told = f.client.incident(incident).await.unwrap().incident.timeline;
    for said in ["approved by mia (1 of 2)", "approved by ole (2 of 2)"] {
        assert!(told.iter().any(|entry| entry.text.contains(said)), "{said}");
    }
    f.daemon.stop().await.unwrap();
}

#[tokio::test]
async fn what_would_expose_the_api_keeps_the_daemon_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let refused = async |change: &dyn Fn(&mut Config)| {
        let mut options = options(dir.path().join("s.sock"));
        change(&mut options.config);
        daemon::start(options).await.unwrap_err().to_string()
    };
    let open = refused(&|config| config.listen = "0.0.0.0:0".parse().unwrap()).await;
    assert!(
        open.contains("`listen` is 0.0.0.0:0") && open.contains("`tls.cert_file`"),
        "{open}"
    );
    let strangers = refused(&|config| {
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.tls.cert_file = Some(PathBuf::from("c.pem"));
        config.tls.key_file = Some(PathBuf::from("k.pem"));
    });
    let strangers = strangers.await;
    assert!(
        strangers.contains("`listen` is 0.0.0.0:0") && strangers.contains("`token_file ="),
        "{strangers}"
    );
    let half = refused(&|config| config.tls.cert_file = Some(PathBuf::from("c.pem"))).await;
    assert!(half.contains("belong together"), "{half}");
    let (cert, key) = certificate();
    for (name, pem) in [("cert.pem", cert), ("key.pem", key)] {
        std::fs::write(dir.path().join(name), pem).unwrap();
    }
    let without = |config: &mut Config| {
        config.tls.cert_file = Some(dir.path().join("cert.pem"));
        config.tls.key_file = Some(dir.path().join("key.pem"));
        config.sources.syslog.tls = Some("127.0.0.1:0".parse().unwrap());
        config.sources.syslog.client_ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    };
    let authorities = refused(&without).await;
    assert!(
        authorities.contains("/nowhere/ca.pem (`sources.syslog.client_ca_file` in the config)"),
        "{authorities}"
    );
    let none = refused(&|config| {
        config.operators = vec![OperatorConfig {
            name: "mia".to_owned(),
            uid: None,
            role: Role::Viewer,
            token_file: Some(PathBuf::from("/nowhere/token")),
            token_env: None,
        }];
    });
    let none = none.await;
    assert!(
        none.contains("[[operators]] mia: `token_file` /nowhere/token"),
        "{none}"
    );
    let token = Some("a token".to_owned());
    let clear = Client::new(Address::parse("http://192.0.2.1:9797", token).unwrap());
    let clear = clear.unwrap_err().to_string();
    assert!(clear.contains("in the clear"), "{clear}");
}

#[tokio::test]
async fn telemetry_in_the_clear_is_taken_when_told_so_and_the_api_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path().join("s.sock"));
    options.config.listen = "0.0.0.0:0".parse().unwrap();
    options.config.sources.insecure = true;
    let client = Client::new(Address::Socket(options.socket.clone())).unwrap();
    let daemon = daemon::start(options).await.unwrap();
    let port = daemon.listen().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let http = reqwest::Client::new();
    let body = r#"[{"labels":{"alertname":"A","service":"checkout"}}]"#;
    let alert = http.post(format!("{base}/api/v2/alerts")).body(body).send();
    assert_eq!(alert.await.unwrap().status(), 200);
    for path in ["/api/v1/view", "/api/v1/watch", "/api/v1/commands"] {
        let answer = http.get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    let banner = client.view().await.unwrap().banner;
    let expected = "INSECURE: telemetry is taken in the clear on 0.0.0.0:0 (`sources.insecure`)";
    assert_eq!(banner, expected);
    daemon.stop().await.unwrap();
}
