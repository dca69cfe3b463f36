//! What we ship for tools that have no sender of their own (`assets/senders`): run as the tool runs it, with texts
//! that break a careless script, and read by our receivers.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use stormglass::model::{Labels, Signal, Time};

use crate::harness::{NOW, Receivers};

/// The mappings for these tools, as `docs/sources.md` has them.
fn config() -> String {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources.md"));
    let page = page.expect("it is there");
    let blocks = page.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let mappings = ["zabbix", "nagios"].map(|tool| {
        let named = format!("[[sources.webhook]]\nname = \"{tool}\"");
        let mut found = blocks.clone().filter(|block| block.starts_with(&named));
        found.next().expect(tool)
    });
    mappings.concat()
}

fn sender(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets/senders")
        .join(name)
}

/// Runs a script with a `curl` that only writes down what it was given: arguments, and what it was to send.
fn run(script: &str, arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let curl = folder.path().join("curl");
    let text = "#!/bin/sh\necho \"$@\" > \"$0.arguments\"\ncat > \"$0.body\"\n";
    std::fs::write(&curl, text).expect("it is writable");
    std::fs::set_permissions(&curl, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").expect("it is writable");
    let path = std::env::var("PATH").unwrap_or_default();
    let done = Command::new("sh")
        .arg(sender(script))
        .args(arguments)
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env("STORMGLASS_URL", "http://stormglass:9797")
        .env("STORMGLASS_TOKEN_FILE", &token)
        .status();
    assert!(done.expect("there is a shell").success(), "{script}");
    let read = |what: &str| {
        let path = folder.path().join(format!("curl.{what}"));
        std::fs::read_to_string(path).expect("curl was called")
    };
    (read("arguments"), read("body"))
}

/// A script, its arguments, the labels of the alert it makes, and whether that fires.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)], bool);

#[tokio::test]
async fn scripts_for_zabbix_and_nagios_are_read_whatever_they_are_told() {
    let odd = "disk \"C:\\\" full\n\tat 99 % `id` $(id) ü";
    let read = "disk \"C:\\\" full  at 99 % `id` $(id) ü";
    let zabbix = [
        ("alertname", read),
        ("host", "db-1"),
        ("severity", "High"),
        ("team", "ops"),
    ];
    let cases: [Case<'_>; 3] = [
        (
            "zabbix",
            &["17", odd, "db-1", "High", "PROBLEM"],
            &zabbix,
            true,
        ),
        (
            "zabbix",
            &["17", odd, "db-1", "High", "RESOLVED"],
            &zabbix,
            false,
        ),
        (
            "nagios",
            &["web-7", "HTTP", "CRITICAL", odd],
            &[
                ("alertname", "HTTP"),
                ("host", "web-7"),
                ("severity", "CRITICAL"),
            ],
            true,
        ),
    ];
    for (name, arguments, labels, fires) in cases {
        let (told, body) = run(&format!("{name}.sh"), arguments);
        let url = format!("http://stormglass:9797/webhook/in/{name}");
        assert!(
            told.contains(&url) && told.contains("Authorization: Bearer 0123456789abcdef"),
            "{told}"
        );
        let mut receivers = Receivers::with(&config());
        let path = format!("/webhook/in/{name}");
        let json = ("content-type", "application/json");
        let answer = receivers.send("POST", &path, &[json], body.clone()).await;
        assert!(answer.status.is_success(), "{body}: {}", answer.text());
        let signals = receivers.taken();
        let [Signal::Alert(alert)] = &signals[..] else {
            panic!("{signals:?}");
        };
        assert_eq!(
            alert.labels,
            Labels::from_pairs(labels.iter().copied()).expect("short"),
            "{body}"
        );
        assert_eq!(alert.ends_at > NOW, fires);
    }
}

#[tokio::test]
async fn the_template_for_argo_cd_tells_of_a_change() {
    let text = std::fs::read_to_string(sender("argocd-notifications.yaml")).expect("it is shipped");
    let map: Value = serde_saphyr::from_str(&text).expect("YAML");
    let part = |name: &str| -> Value {
        let text = map["data"][name].as_str().expect("a text");
        serde_saphyr::from_str(text).expect("YAML")
    };
    let url = part("service.webhook.stormglass")["url"].clone();
    assert_eq!(url, "http://stormglass:9797/api/v1/changes");
    let sends = part("trigger.on-deployed")[0]["send"][0].clone();
    let template = part(&format!("template.{}", sends.as_str().expect("a name")));
    let body = template["webhook"]["stormglass"]["body"]
        .as_str()
        .expect("a text");
    // What Argo CD's templates would write: JSON, whatever the value is.
    let mut filled = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once("{{toJson ") {
        let (what, after) = after.split_once("}}").expect("it ends");
        let value = match what {
            ".app.metadata.name" => "cart",
            ".app.status.sync.revision" => "4f1d2c9",
            ".app.spec.destination.namespace" => "shop",
            ".app.status.operationState.finishedAt" => "2026-11-20T15:20:00Z",
            composed if composed.starts_with("(printf ") => "a \"text\"",
            unknown => panic!("{unknown}"),
        };
        filled += before;
        filled += &Value::from(value).to_string();
        rest = after;
    }
    filled += rest;
    let mut receivers = Receivers::new();
    let json = ("content-type", "application/json");
    let answer = receivers
        .send("POST", "/api/v1/changes", &[json], filled.clone())
        .await;
    assert!(answer.status.is_success(), "{filled}: {}", answer.text());
    let signals = receivers.taken();
    let [Signal::Change(change)] = &signals[..] else {
        panic!("{signals:?}");
    };
    assert_eq!(change.version.as_deref(), Some("4f1d2c9"));
    assert_eq!(change.entity.name(), "cart");
    assert_eq!(
        change.at,
        Time::parse_rfc3339("2026-11-20T15:20:00Z").expect("a time")
    );
    assert_eq!(change.labels.get("namespace"), Some("shop"));
}
