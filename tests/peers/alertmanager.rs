//! A real `amtool` adds alerts and asks for them, with an operator's token; and a real Alertmanager
//! notifies us by its webhook and as if we were PagerDuty.

use std::process::Command;

use serde_json::Value;
use stormglass::model::{LabelFilter, Silence, SilenceKind, SilenceSpec, SilenceState};

use crate::harness::{Receiver, free_port, missing, write};
use crate::peer::{self, Peer, is_there};

/// The token of the operator that `amtool` acts for.
const TOKEN: &str = "a-token-of-some-length";

/// Runs `amtool`; what it prints, or why it fails.
async fn amtool(receiver: &Receiver, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("amtool");
    command
        .arg(format!("--alertmanager.url=http://{}", receiver.address()))
        .arg(format!(
            "--http.config.file={}",
            receiver.dir.path().join("http.yml").display()
        ))
        .args(args);
    let run = tokio::task::spawn_blocking(move || command.output()).await;
    let output = run.expect("no panic").map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as i64)
}

/// Names of the alerts in JSON that `amtool` prints, in order.
fn names(json: &str) -> Vec<String> {
    let alerts: Vec<Value> = serde_json::from_str(json).expect("amtool prints JSON");
    let name = |alert: &Value| alert["labels"]["alertname"].as_str().map(str::to_owned);
    let mut names: Vec<String> = alerts.iter().filter_map(name).collect();
    names.sort();
    names
}

async fn receiver() -> Receiver {
    let secrets = tempfile::tempdir().expect("a directory for the token");
    write(secrets.path(), "token", TOKEN);
    let token = secrets.path().join("token");
    let receiver = Receiver::with(&format!(
        "[[operators]]\nname = \"mia\"\nrole = \"responder\"\ntoken_file = \"{}\"\n",
        token.display()
    ))
    .await;
    let config = format!("authorization: {{ type: Bearer, credentials: {TOKEN} }}\n");
    write(receiver.dir.path(), "http.yml", &config);
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_amtool_adds_and_reads_alerts() {
    if !is_there("amtool") {
        return missing("amtool", "apt-get install prometheus-alertmanager");
    }
    let receiver = receiver().await;
    for (name, service) in [
        ("SlowCheckout", "checkout"),
        ("SlowCart", "cart"),
        ("DiskFull", "cart"),
    ] {
        let labels = [
            format!("alertname={name}"),
            format!("service={service}"),
            "severity=critical".to_owned(),
        ];
        let summary = "--annotation=summary=it is slow, isn't it";
        let added = amtool(
            &receiver,
            &[
                "alert",
                "add",
                "--generator-url=http://rules/disk",
                summary,
                &labels[0],
                &labels[1],
                &labels[2],
            ],
        )
        .await;
        assert_eq!(added, Ok(String::new()), "{name}");
    }
    receiver
        .wait_for("three alerts", |engine| {
            (engine.counts().alerts_firing == 3).then_some(())
        })
        .await;
    let cases: [(&[&str], &[&str]); 6] = [
        (&[], &["DiskFull", "SlowCart", "SlowCheckout"]),
        (&["alertname=DiskFull"], &["DiskFull"]),
        (&["alertname=~Slow.*", "service!=cart"], &["SlowCheckout"]),
        (&["service!~c.*"], &[]),
        (
            &["--receiver=stormglass", "service=checkout"],
            &["SlowCheckout"],
        ),
        (&["--receiver=pager"], &[]),
    ];
    for (args, expected) in cases {
        let args = [&["alert", "query", "-o", "json"], args].concat();
        let printed = amtool(&receiver, &args)
            .await
            .expect("amtool understands us");
        assert_eq!(names(&printed), expected, "{args:?}");
    }
    let linked = amtool(
        &receiver,
        &["alert", "query", "-o", "json", "alertname=DiskFull"],
    )
    .await;
    let linked = linked.expect("amtool understands us");
    let rule = "\"generatorURL\":\"http://rules/disk\"";
    assert!(linked.contains(rule), "{linked}");
    let simple = amtool(&receiver, &["alert", "query", "alertname=DiskFull"]).await;
    let simple = simple.expect("amtool understands us");
    assert!(
        simple.contains("it is slow, isn't it") && simple.contains("active"),
        "{simple}"
    );
    let shown = amtool(&receiver, &["cluster", "show"])
        .await
        .expect("amtool understands us");
    assert!(shown.contains("disabled"), "{shown}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_amtool_silences() {
    if !is_there("amtool") {
        return missing("amtool", "apt-get install prometheus-alertmanager");
    }
    let receiver = receiver().await;
    for service in ["cart", "checkout"] {
        let service = format!("service={service}");
        let args = [
            "alert",
            "add",
            "alertname=Slow",
            &service,
            "severity=critical",
        ];
        amtool(&receiver, &args).await.expect("it is taken");
    }
    let args = [
        "silence",
        "add",
        "--duration=2h",
        "--comment=a deploy",
        "service=~\"cart|basket\"",
        "severity!=info",
    ];
    let id = amtool(&receiver, &args).await.expect("it is taken");
    assert_eq!(id.trim(), "00000000-0000-4000-8000-000000000001");
    let refused = amtool(&receiver, &["silence", "add", "--comment=x", "service=~.*"]).await;
    assert!(refused.is_err(), "it would hide everything: {refused:?}");
    receiver
        .wait_for("the silence", |engine| {
            (engine.counts().alerts_held == 1).then_some(())
        })
        .await;
    let hidden = amtool(&receiver, &["alert", "query", "-o", "json", "--silenced"]).await;
    let hidden = hidden.expect("amtool understands us");
    assert!(
        hidden.contains("\"silencedBy\":[\"00000000-0000-4000-8000-000000000001\"]"),
        "{hidden}"
    );
    let shown = amtool(&receiver, &["alert", "query", "-o", "json", "--active"]).await;
    let shown = shown.expect("amtool understands us");
    assert!(
        shown.contains("checkout") && !shown.contains("cart"),
        "{shown}"
    );
    for (args, found) in [
        (&["silence", "query"][..], true),
        (&["silence", "query", "service=~\"cart.*\""][..], true),
        (&["silence", "query", "service=payments"][..], false),
        (&["silence", "query", "--expired"][..], false),
    ] {
        let listed = amtool(&receiver, args)
            .await
            .expect("amtool understands us");
        assert_eq!(listed.contains("a deploy"), found, "{args:?}: {listed}");
    }
    let expired = amtool(&receiver, &["silence", "expire", id.trim()]).await;
    assert_eq!(expired, Ok(String::new()));
    receiver
        .wait_for("the end of the silence", |engine| {
            let told = engine.incident_rows().map(|row| row.alerts).sum::<u32>() == 2;
            (engine.counts().alerts_held == 0 && told).then_some(())
        })
        .await;
    let again = amtool(&receiver, &["silence", "expire", id.trim()]).await;
    let again = again.expect_err("it is over");
    assert!(again.contains("silence 1 is over already"), "{again}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_amtool_reads_why_a_silence_is_refused() {
    if !is_there("amtool") {
        return missing("amtool", "apt-get install prometheus-alertmanager");
    }
    let receiver = receiver().await;
    // As another Alertmanager exports them, by ids that are none of ours: one is over, the others are not.
    let silence = |id: &str, ends: &str, value: &str| {
        serde_json::json!({
            "id": id,
            "status": { "state": "active" },
            "updatedAt": "2026-11-20T15:00:00.000Z",
            "matchers": [{ "name": "service", "value": value, "isRegex": true, "isEqual": true }],
            "startsAt": "2026-11-20T15:00:00.000Z",
            "endsAt": ends,
            "createdBy": "mia",
            "comment": "moved here",
        })
    };
    let soon = stormglass::model::Time::from_ms(now_ms() + 3_600_000).to_rfc3339();
    let foreign = "5d3ba2a2-0ee8-4d3e-9f2a-111111111111";
    let exported = [
        silence(foreign, &soon, "cart"),
        silence(
            "5d3ba2a2-0ee8-4d3e-9f2a-222222222222",
            "2026-11-20T16:00:00.000Z",
            "basket",
        ),
        silence("5d3ba2a2-0ee8-4d3e-9f2a-333333333333", &soon, "("),
    ];
    let file = receiver.dir.path().join("silences.json");
    let text = serde_json::to_string(&exported).expect("JSON");
    write(receiver.dir.path(), "silences.json", &text);
    let file = file.to_str().expect("a path of text");
    let imported = amtool(&receiver, &["silence", "import", "--worker=1", file]).await;
    let imported = imported.expect_err("two of them cannot be taken");
    for reason in [
        "out of 3 silences",
        "has ended already",
        "is no regular expression",
    ] {
        assert!(imported.contains(reason), "{reason:?}: {imported}");
    }
    let listed = amtool(&receiver, &["silence", "query", "-o", "json"]).await;
    let listed = listed.expect("amtool understands us");
    let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
    let values: Vec<_> = listed
        .iter()
        .map(|of| &of["matchers"][0]["value"])
        .collect();
    assert_eq!(values, ["cart"]);
    let unknown = amtool(&receiver, &["silence", "expire", foreign]).await;
    assert!(unknown.is_err(), "{unknown:?}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_alerts_without_a_token() {
    let receiver = receiver().await;
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    for path in ["alerts", "alerts/groups", "receivers", "silences"] {
        let url = format!("http://{}/api/v2/{path}", receiver.address());
        let answer = http.get(&url).send().await.expect("it answers");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{path}");
        let why = answer.text().await.expect("text");
        assert!(why.contains("`token_file`"), "{path}: {why}");
        let answer = http.get(&url).bearer_auth(TOKEN).send().await;
        assert_eq!(
            answer
                .expect("it answers")
                .text()
                .await
                .expect("text")
                .trim(),
            match path {
                "receivers" => "[{\"name\":\"stormglass\"}]",
                _ => "[]",
            }
        );
    }
    receiver.stop().await;
}

/// An Alertmanager that notifies us in two ways.
fn alertmanager(receiver: &Receiver, port: u16) -> Option<Peer> {
    let us = receiver.address();
    let config = format!(
        "route: {{ receiver: us, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1m }}\n\
         receivers:\n\
         - name: us\n\
         \x20 webhook_configs: [{{ url: 'http://{us}/webhook/alerts', send_resolved: true }}]\n\
         \x20 pagerduty_configs: [{{ url: 'http://{us}/v2/enqueue', routing_key: '0123456789abcdef0123456789abcdef' }}]\n"
    );
    peer::alertmanager(receiver.dir.path(), port, &config)
}

/// Adds the one alert to the Alertmanager at `port`, until it is up to take it.
async fn add_alert(port: u16, ends: &[&str]) {
    for _ in 0..100 {
        let added = Command::new("amtool")
            .arg(format!("--alertmanager.url=http://127.0.0.1:{port}"))
            .args([
                "alert",
                "add",
                "alertname=PoolFull",
                "service=checkout",
                "severity=critical",
            ])
            .args(["--annotation=summary=no connection is free"])
            .args(ends)
            .output()
            .expect("amtool runs");
        if added.status.success() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the Alertmanager takes no alert");
}

/// The comment and the state of each silence of the Alertmanager at `port`, in order of comment.
async fn silences_there(port: u16) -> Vec<(String, String)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = format!("http://127.0.0.1:{port}/api/v2/silences");
    let answer = reqwest::get(&url).await.expect("it answers");
    let all: Vec<Value> = answer.json().await.expect("a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |s: &Value| (text(&s["comment"]), text(&s["status"]["state"]));
    let mut rows: Vec<_> = all.iter().map(row).collect();
    rows.sort();
    rows
}

/// Waits until the Alertmanager at `port` has these silences.
async fn wait_for_silences(port: u16, expected: &[(&str, &str)]) {
    let mut rows = Vec::new();
    for _ in 0..300 {
        rows = silences_there(port).await;
        let seen: Vec<_> = rows.iter().map(|(c, s)| (c.as_str(), s.as_str())).collect();
        if seen == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it has {rows:?}, not {expected:?}");
}

/// Waits until we have a silence for this reason in this state.
async fn wait_for_ours(receiver: &Receiver, reason: &'static str, state: SilenceState) -> Silence {
    let found = receiver.wait_for(reason, move |engine| {
        let mut all = engine.silences();
        all.find(|s| s.reason == reason && s.state == state && s.twins.len() == 1)
            .cloned()
    });
    found.await
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_are_kept_in_step_with_a_real_alertmanager() {
    if !is_there("amtool") {
        return missing("amtool", "apt-get install prometheus-alertmanager");
    }
    let port = free_port();
    let receiver = Receiver::with(&format!(
        "[[alertmanagers]]\nname = \"main\"\nurl = \"http://127.0.0.1:{port}\"\nevery_s = 1\n"
    ))
    .await;
    let Some(_peer) = alertmanager(&receiver, port) else {
        return missing(
            "prometheus-alertmanager",
            "apt-get install prometheus-alertmanager",
        );
    };
    add_alert(port, &[]).await;
    let there = |args: &[&str]| {
        let output = Command::new("amtool")
            .arg(format!("--alertmanager.url=http://127.0.0.1:{port}"))
            .args(args)
            .output()
            .expect("amtool runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    // Made there, it holds back here; ended here, it is over there.
    let id = there(&[
        "silence",
        "add",
        "--author=tom",
        "--comment=there",
        "service=~check.*",
    ]);
    let ours = wait_for_ours(&receiver, "there", SilenceState::Active).await;
    assert_eq!(
        (ours.author.as_str(), &ours.twins[0].id),
        ("tom (main)", &id)
    );
    let expire = receiver
        .give(stormglass::model::Command::Expire { silence: ours.id })
        .await;
    assert_eq!(expire.refused, None);
    wait_for_silences(port, &[("there", "expired")]).await;
    // Made here, it is there; longer there, it is longer here; ended there, it is over here.
    let matchers = LabelFilter::parse_all("service=checkout,severity!=info").expect("matchers");
    let spec = SilenceSpec {
        id: None,
        kind: SilenceKind::Silence,
        matchers,
        starts_at: None,
        ends_at: ours.starts_at.plus_ms(3_600_000),
        until_resolved: false,
        reason: "here".to_owned(),
    };
    let (spec, twin) = (Box::new(spec), None);
    let made = receiver
        .give(stormglass::model::Command::Silence { spec, twin })
        .await;
    assert_eq!(made.refused, None);
    wait_for_silences(port, &[("here", "active"), ("there", "expired")]).await;
    let here = wait_for_ours(&receiver, "here", SilenceState::Active).await;
    there(&["silence", "update", "--duration=5h", &here.twins[0].id]);
    receiver
        .wait_for("the longer silence", move |engine| {
            let ours = engine.silence(here.id)?;
            (ours.ends_at > here.ends_at).then_some(())
        })
        .await;
    there(&["silence", "expire", &here.twins[0].id]);
    wait_for_ours(&receiver, "here", SilenceState::Expired).await;
    let row = receiver.source("alertmanager main");
    assert_eq!(row.rejected, 0, "{row:?}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_alertmanager_notifies_us() {
    if !is_there("amtool") {
        return missing("amtool", "apt-get install prometheus-alertmanager");
    }
    let port = free_port();
    let receiver = Receiver::start().await;
    let Some(_peer) = alertmanager(&receiver, port) else {
        return missing(
            "prometheus-alertmanager",
            "apt-get install prometheus-alertmanager",
        );
    };
    add_alert(port, &[]).await;
    let incident = receiver
        .wait_for("the alert in both shapes, told as one", |engine| {
            let mut rows = engine.incident_rows();
            let row = rows.find(|row| row.entity.to_string() == "service/checkout")?;
            let incident = engine.incident(row.id)?;
            let mut told = incident.timeline.iter();
            told.any(|entry| entry.text.contains("as well"))
                .then_some(row)
        })
        .await;
    assert_eq!(incident.alerts, 1, "one alert by two ways: {incident:?}");
    let ended = stormglass::daemon::Clock::real().now().to_rfc3339();
    add_alert(port, &[&format!("--end={ended}")]).await;
    receiver
        .wait_for("the end of both", |engine| {
            (engine.counts().alerts_firing == 0).then_some(())
        })
        .await;
    for name in ["notifications", "pagerduty"] {
        let row = receiver.source(name);
        assert_eq!((row.rejected, row.dropped), (0, 0), "{row:?}");
    }
    receiver.stop().await;
}
