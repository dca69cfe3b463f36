//! The miner as its users see it: lines in, templates out.

use super::*;
use proptest::prelude::*;

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

#[test]
fn two_names_that_vary_together_become_variables() {
    let lines = [
        "user ann left host red now",
        "user bob left host blue now",
        "user cy left host pink now",
        "user di left host grey now",
    ];
    assert_eq!(mine(&lines), [(4, "user <*> left host <*> now".to_owned())]);
}

#[test]
fn a_value_of_known_shape_claims_the_word_at_its_place() {
    let lines = [
        "Invalid user webmaster from 1.2.3.4",
        "Invalid user test9 from 1.2.3.4",
        "Invalid user FILTER from 1.2.3.4",
    ];
    assert_eq!(
        mine(&lines),
        [(3, "Invalid user <id> from <ip>".to_owned())]
    );
    // A state is not a value, even where values were seen.
    assert_eq!(mine(&["moved on to 17", "moved on to RUNNING"]).len(), 2);
}

#[test]
fn flags_are_parameters_and_switches_after_words_are_not() {
    let flags = ["cache down true now", "cache down false now"];
    assert_eq!(mine(&flags), [(2, "cache down <*> now".to_owned())]);
    assert_eq!(mine(&["swap turned on", "swap turned off"]).len(), 2);
    assert_eq!(
        mine(&["retry=true x", "retry=null x"]),
        [(2, "retry=<*> x".to_owned())]
    );
}

#[test]
fn types_widen_with_what_is_seen() {
    let lines: Vec<String> = (0..8)
        .map(|n| {
            format!(
                "peer {} up",
                if n < 4 {
                    "10.0.0.1".to_owned()
                } else {
                    format!("db.eu.example{n}")
                }
            )
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(mine(&lines), [(8, "peer <host> up".to_owned())]);
}

#[test]
fn a_merge_keeps_the_oldest_name_and_corrects_earlier_lines() {
    let mut miner = Miner::default();
    let first = miner.learn("login of user ann ok");
    let second = miner.learn("login of user bob ok");
    assert!(first.is_new && second.is_new && first.template != second.template);
    let third = miner.learn("login of user cy ok");
    assert_eq!((third.template, third.is_new), (first.template, false));
    assert_eq!(miner.merges().len(), 2);
    assert_eq!(miner.resolve(second.form), Some(first.template));
    assert_eq!(miner.current(second.template), Some(first.template));
    assert_eq!(
        miner.template(second.template),
        Some("login of user <*> ok")
    );
    assert_eq!(miner.variables(first.template), [VarType::Any]);
    let unseen = miner.learn("login of user dora ok");
    assert_eq!((unseen.template, unseen.is_new), (first.template, false));
    assert!(miner.merges().is_empty());
}

#[test]
fn ids_are_the_same_in_another_process_and_after_a_restart() {
    let lines: Vec<String> = (0..300)
        .map(|n| {
            format!(
                "job {} of user u{} took {} ms in {}",
                n % 7,
                n,
                n,
                ["a", "b", "c", "d"][n % 4]
            )
        })
        .collect();
    let (mut a, mut b) = (Miner::default(), Miner::default());
    for line in &lines[..150] {
        assert_eq!(a.learn(line), b.learn(line));
    }
    let saved = serde_json::to_string(&a).unwrap();
    let mut restored: Miner = serde_json::from_str(&saved).unwrap();
    for line in &lines[150..] {
        assert_eq!(restored.learn(line), b.learn(line));
    }
    assert_eq!(
        serde_json::to_string(&restored).unwrap(),
        serde_json::to_string(&b).unwrap()
    );
}

/// A word of six letters for every number.
fn word(mut n: u64) -> String {
    let letter = |_| {
        let letter = char::from(b'a' + (n % 26) as u8);
        n /= 26;
        letter
    };
    (0..6).map(letter).collect()
}

#[test]
fn a_flood_is_bounded_counted_and_named() {
    let mut miner = Miner::new(256);
    let steady = "request 17 served from cache";
    for n in 0..20_000_u64 {
        miner.learn(&format!("flood {} {}", word(n * 7_919), word(n * 104_729)));
        if n % 50 == 0 {
            miner.learn(steady);
        }
    }
    let stats = miner.stats();
    assert_eq!(miner.forms(), 256);
    assert!(miner.templates().len() <= 256);
    assert!(
        stats.forms_evicted >= 19_700 && stats.templates_evicted > 19_000,
        "{stats:?}"
    );
    assert_eq!(
        miner.worst_offender().map(|(_, forms)| forms >= 19_000),
        Some(true)
    );
    assert!(miner.worst_offender().unwrap().0.starts_with("flood "));
    assert!(!miner.learn(steady).is_new, "what repeats survives a flood");
    assert!(serde_json::to_string(&miner).unwrap().len() < 600_000);
}

#[test]
fn secrets_are_never_kept() {
    let mut miner = Miner::default();
    for secret in ["hunter", "letmein", "swordfish", "abc123XYZ456def7"] {
        miner.learn(&format!("connect password={secret} as app"));
        miner.learn(&format!("retry Authorization: Bearer {secret}12345678"));
        miner.learn(&format!("dial postgres://app:{secret}@db/shop"));
    }
    let kept = serde_json::to_string(&miner).unwrap();
    for secret in ["hunter", "letmein", "swordfish", "abc123XYZ456def7"] {
        assert!(!kept.contains(secret), "{secret}");
    }
    assert_eq!(miner.templates().len(), 3);
}

proptest! {
    #[test]
    fn any_text_is_mined_within_bounds(lines in proptest::collection::vec("\\PC{0,200}|[ -~]{0,300}|(/|:|\\.|<|>|=|\"|'|\\\\|[a-z0-9 ]){0,120}", 1..80)) {
        let mut miner = Miner::new(32);
        for line in &lines {
            let learned = miner.learn(line);
            prop_assert_eq!(miner.resolve(learned.form), Some(learned.template));
            prop_assert!(miner.template(learned.template).is_some());
            prop_assert!(miner.forms() <= 32);
            let again = miner.learn(line);
            prop_assert!(!again.is_new);
            prop_assert_eq!(again.form, learned.form);
        }
        let saved = serde_json::to_string(&miner).unwrap();
        let restored: Miner = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(serde_json::to_string(&restored).unwrap(), saved);
    }

    #[test]
    fn any_bytes_are_mined(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
        let text = String::from_utf8_lossy(&bytes);
        let mut miner = Miner::default();
        let learned = miner.learn(&text);
        prop_assert!(miner.template(learned.template).is_some_and(|template| template.len() < 8_192));
    }
}
