//! A real receiver that fails, refuses and comes back.

use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::sync::mpsc;

use super::*;
use crate::store::db::Db;

/// Far beyond what a delivery on this machine takes: reached only when something hangs.
const PATIENCE: Duration = Duration::from_mins(1);

type Told = (String, String, serde_json::Value);

#[derive(Clone)]
struct Receiver {
    answers: Arc<AtomicU16>,
    told: mpsc::UnboundedSender<Told>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let message = serde_json::from_str(&body).unwrap();
    let told = (header("authorization"), header("idempotency-key"), message);
    receiver.told.send(told).unwrap();
    StatusCode::from_u16(receiver.answers.load(Ordering::Relaxed)).unwrap()
}

fn note(incident: u64, event: NotifyEvent) -> Notification {
    Notification {
        incident: IncidentId(incident),
        event,
        severity: Severity::Critical,
        text: "checkout is down".into(),
    }
}

#[tokio::test]
async fn who_is_there_is_reached_without_being_told_and_who_is_not_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let (told, mut heard) = mpsc::unbounded_channel();
    let receiver = Receiver {
        answers: Arc::new(AtomicU16::new(200)),
        told,
    };
    let routes = Router::new()
        .route("/hook", post(take))
        .with_state(receiver);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let config = |name: &str, url: Option<String>| NotifyConfig {
        name: name.to_owned(),
        url,
        url_env: Some("STORMGLASS_TEST_NOT_SET".to_owned()).filter(|_| name == "unset"),
        token_file: None,
        token_env: None,
        severity: Severity::Error,
    };
    let configs = [
        config("unset", None),
        config("pager", Some(format!("http://{at}/hook"))),
        config("chat", Some(format!("http://{nobody}/a-secret"))),
    ];
    let notifier = Notifier::start(&configs, "prod", None).unwrap();
    let gauge = notifier.gauge();
    let reached = gauge.reach().await;
    let told = reached.iter().map(|of| (&*of.name, of.why_not.as_deref()));
    let [chat, pager, unset] = told.collect::<Vec<_>>()[..] else {
        panic!("{reached:?}");
    };
    assert_eq!(pager, ("pager", None));
    assert_eq!(chat.0, "chat");
    let why = chat.1.expect("nobody is there");
    assert!(why.contains("refused") && !why.contains("secret"), "{why}");
    let why = unset.1.expect("it has no address");
    assert!(why.contains("`url_env` STORMGLASS_TEST_NOT_SET"), "{why}");
    assert!(heard.try_recv().is_err(), "nobody is told");
    assert_eq!(gauge.read().len(), 3);
    notifier.stop().await;
    assert_eq!(gauge.read(), [], "a gauge keeps no outbox open");
}

#[tokio::test]
async fn what_is_to_be_told_is_told_at_least_once_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "a secret\n").unwrap();
    let answers = Arc::new(AtomicU16::new(503));
    let (told, mut heard) = mpsc::unbounded_channel();
    let receiver = Receiver {
        answers: Arc::clone(&answers),
        told,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let routes = Router::new()
        .route("/hook", post(take))
        .with_state(receiver);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let config = NotifyConfig {
        name: "pager".to_owned(),
        url: Some(format!("http://{at}/hook")),
        url_env: None,
        token_file: Some(token),
        token_env: None,
        severity: Severity::Error,
    };
    let db = folder.path().join("db");
    let start = |db: &Db| {
        let pace = Pace {
            between: Duration::ZERO,
            pause: Duration::from_millis(1),
            pause_max: PAUSE_MAX,
        };
        let configs = std::slice::from_ref(&config);
        Notifier::start_at(pace, configs, "prod", Some(db.outbox().unwrap())).unwrap()
    };
    let mut next = async || {
        let told = tokio::time::timeout(PATIENCE, heard.recv()).await;
        told.expect("it is told").expect("the receiver lives")
    };
    let (kept, _) = Db::open(&db).unwrap();
    let notifier = start(&kept);
    let mild = Notification {
        severity: Severity::Info,
        ..note(9, NotifyEvent::Opened)
    };
    let opened = note(7, NotifyEvent::Opened);
    notifier.keep(&[(Time::ZERO, mild), (Time::from_secs(1_700_000_000), opened)]);
    notifier.send();
    let first = next().await;
    assert_eq!((&*first.0, &*first.1), ("Bearer a secret", "1"));
    let expected = serde_json::json!({
        "id": 1, "event": "opened", "incident": 7, "severity": "critical",
        "text": "checkout is down", "environment": "prod", "at": Time::from_secs(1_700_000_000).to_string(),
    });
    assert_eq!(first.2, expected);
    assert_eq!(next().await.2, expected, "it failed, so it is sent again");
    // Kept, and the daemon ends before it was to be sent.
    notifier.keep(&[(Time::ZERO, note(7, NotifyEvent::Resolved))]);
    notifier.stop().await;
    drop(kept);

    // The next daemon sends what waited, in order, with the same numbers.
    let (kept, _) = Db::open(&db).unwrap();
    let notifier = start(&kept);
    answers.store(200, Ordering::Relaxed);
    let second = loop {
        let told = next().await;
        if told.1 == "2" {
            break told.2;
        }
        assert_eq!(told.1, "1", "in order");
    };
    assert_eq!(second["event"], "resolved");

    // What is refused for good is given up, counted, and does not hold up the others.
    answers.store(404, Ordering::Relaxed);
    notifier.keep(&[(Time::ZERO, note(8, NotifyEvent::Opened))]);
    notifier.send();
    assert_eq!(next().await.1, "3");
    let given_up = async {
        while notifier.lost() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    assert_eq!(kept.outbox().unwrap().all().count(), 0);
}

fn pager(url: Option<&str>, url_env: Option<&str>) -> NotifyConfig {
    NotifyConfig {
        name: "pager".to_owned(),
        url: url.map(str::to_owned),
        url_env: url_env.map(str::to_owned),
        token_file: None,
        token_env: None,
        severity: Severity::Error,
    }
}

#[tokio::test]
async fn a_receiver_that_never_can_be_told_is_refused_with_its_name() {
    let setting = |why: &str| NotifyError::Setting(why.to_owned());
    for (config, why) in [
        (
            pager(None, None),
            setting("[[notify]] pager: give `url` or `url_env`"),
        ),
        (
            pager(Some("ftp://x"), None),
            setting("[[notify]] pager: `url` must begin with http:// or https://"),
        ),
    ] {
        assert_eq!(Notifier::check(&config).as_ref(), Err(&why));
        assert_eq!(Notifier::start(&[config], "prod", None).err(), Some(why));
    }
    let unset = Notifier::check(&pager(None, Some("NO_SUCH_VARIABLE_HERE"))).unwrap_err();
    assert!(
        matches!(&unset, NotifyError::Variable(why) if why.contains("`url_env` NO_SUCH")),
        "{unset}"
    );
}

#[tokio::test]
async fn what_is_for_a_receiver_whose_secret_is_missing_waits_for_it() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let answers = Arc::new(AtomicU16::new(200));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new()
        .route("/hook", post(take))
        .with_state(Receiver { answers, told });
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let config = NotifyConfig {
        token_file: Some(token.clone()),
        ..pager(Some(&url), None)
    };
    let pace = Pace {
        between: Duration::ZERO,
        pause: Duration::from_millis(1),
        pause_max: PAUSE_MAX,
    };
    let notifier = Notifier::start_at(pace, &[config], "prod", None).unwrap();
    notifier.keep(&[(Time::ZERO, note(7, NotifyEvent::Opened))]);
    notifier.send();
    assert_eq!(notifier.outbox.lock().letters.len(), 1);
    std::fs::write(&token, "late\n").unwrap();
    let first = tokio::time::timeout(PATIENCE, heard.recv()).await;
    assert_eq!(
        first.expect("it is told").expect("the receiver lives").0,
        "Bearer late"
    );
    assert_eq!(notifier.lost(), 0);
}

#[tokio::test]
async fn a_receiver_that_cannot_be_reached_is_told_with_its_cause_until_it_can_be() {
    // The port is taken and nobody listens at it yet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/a-secret", socket.local_addr().unwrap());
    let pace = Pace {
        between: Duration::ZERO,
        pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(4),
    };
    let notifier = Notifier::start_at(pace, &[pager(Some(&url), None)], "prod", None).unwrap();
    assert_eq!(notifier.unreached(), []);
    notifier.keep(&[
        (Time::ZERO, note(7, NotifyEvent::Opened)),
        (Time::ZERO, note(8, NotifyEvent::Opened)),
    ]);
    notifier.send();
    let becomes = async |is_reached: bool| {
        let waits = async {
            while notifier.unreached().is_empty() != is_reached {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.unwrap();
    };
    becomes(false).await;
    let unreached = notifier.unreached();
    assert_eq!(unreached.len(), 1);
    let told = &unreached[0];
    assert_eq!((&*told.name, told.waiting), ("pager", 2));
    assert!(told.why.contains("refused"), "{told:?}");
    assert!(!told.why.contains("127.0.0.1"), "{told:?}");
    let (told, mut heard) = mpsc::unbounded_channel();
    let answers = Arc::new(AtomicU16::new(200));
    let routes = Router::new()
        .route("/a-secret", post(take))
        .with_state(Receiver { answers, told });
    let listener = socket.listen(8).unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    becomes(true).await;
    heard.recv().await.expect("the receiver lives");
}
