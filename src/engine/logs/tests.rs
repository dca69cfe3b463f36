//! The miner as its users see it: lines in, templates out.

use super::*;

/// Every line alone in a fresh miner, and the template it gives.
fn template_of(line: &str) -> String {
    let mut miner = Miner::default();
    let learned = miner.learn(line);
    miner.template(learned.template).unwrap().to_owned()
}

/// Templates after all lines, with the number of lines of each, oldest first.
fn mine(lines: &[&str]) -> Vec<(usize, String)> {
    let mut miner = Miner::default();
    let forms: Vec<FormId> = lines.iter().map(|line| miner.learn(line).form).collect();
    let count = |id| {
        forms
            .iter()
            .filter(|form| miner.resolve(**form) == Some(id))
            .count()
    };
    miner
        .templates()
        .into_iter()
        .map(|(id, text)| (count(id), text.to_owned()))
        .collect()
}

#[test]
fn values_are_recognised_by_shape() {
    let cases = [
        ("", ""),
        ("plain words only", "plain words only"),
        ("took 12 ms", "took <duration>"),
        ("took 1.5s, <1 sec or -3", "took <*> or <number>"),
        ("sent 12 KB at 45%", "sent <size> at <percent>"),
        ("from 10.0.0.1:80 to 10.0.0.2", "from <ip> to <ip>"),
        ("peer fe80::1:2:3 up", "peer <ip> up"),
        ("open /etc/hosts failed", "open <path> failed"),
        ("open C:\\Temp\\x.dll failed", "open <path> failed"),
        ("GET http://a.b/c?d=1&e=x,y done", "GET <url> done"),
        ("id 550e8400-e29b-41d4-a716-446655440000 ok", "id <uuid> ok"),
        ("at 0x7ffe and deadbeef01", "at <hex> and <hex>"),
        ("mail bob@example.com sent", "mail <email> sent"),
        ("user=bob uid=0 tty=", "user=bob uid=<number> tty="),
        ("name=\"View Lock\", ws=null", "name=<text>, ws=<*>"),
        (
            "msg=\"disk is full\" level=warn",
            "msg=\"disk is full\" level=warn",
        ),
        ("Jun 14 15:16:01 host", "<time> host"),
        ("2024-01-02T03:04:05.678Z INFO ready", "<time> INFO ready"),
        ("list 1, 2, 3 done", "list <*> done"),
        ("can't open", "can't open"),
        ("reg......0", "reg......<number>"),
        ("jetty-6.1.26", "jetty<id>"),
        ("conn() ok ()", "conn() ok (<*>)"),
        ("got <no value> here", "got <*> here"),
        (
            "java.io.IOException: Broken pipe",
            "java.io.IOException: Broken pipe",
        ),
        ("login password=hunter2 ok", "login password=<secret> ok"),
    ];
    for (line, template) in cases {
        assert_eq!(template_of(line), template, "{line}");
    }
}

#[test]
fn words_that_vary_become_variables() {
    let lines = [
        "login of user ann ok",
        "login of user bob ok",
        "login of user cy ok",
    ];
    assert_eq!(mine(&lines), [(3, "login of user <*> ok".to_owned())]);
    assert_eq!(mine(&lines[..2]).len(), 2);
}

#[test]
fn states_and_verbs_stay_apart() {
    let lines = [
        "link went UP",
        "link went DOWN",
        "link went LOST",
        "unit nginx started",
        "unit nginx stopped",
    ];
    assert_eq!(mine(&lines).len(), 5);
}
