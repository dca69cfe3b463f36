//! The table of settings, the defaults and `docs/config.md` say the same.

use std::collections::BTreeMap;
use std::path::Path;

use stormglass::config::{Config, Section, parse, reference, sections};

#[test]
fn the_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let page = reference::markdown();
    if std::env::var_os("STORMGLASS_BLESS").is_some() {
        std::fs::write(&path, &page).expect("docs is writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "docs/config.md is stale: STORMGLASS_BLESS=1 cargo test --test config_reference"
    );
}

#[test]
fn the_table_lists_every_setting_with_its_default() {
    let config = toml::Table::try_from(Config::default()).expect("the default is plain data");
    let mut held = BTreeMap::new();
    flatten("", &config, &mut held);
    // Lists begin empty and options begin absent: they have no default to compare.
    held.retain(|_, value| value != "[]");
    let mut listed = BTreeMap::new();
    for section in sections().filter(|section| !section.path.contains("[]")) {
        for setting in section.settings.iter().filter(|s| !s.default.is_empty()) {
            let path = format!("{}.{}", section.path, setting.name);
            let path = path.trim_start_matches('.').to_owned();
            listed.insert(path, setting.default.to_owned());
        }
    }
    assert_eq!(listed, held);
}

#[test]
fn every_default_of_a_list_item_is_what_leaving_it_out_means() {
    let webhook = "[[sources.webhook]]\nname = \"w\"\nlabels = { alertname = \"/x\" }\n";
    let cases = [
        ("notify", "name = \"n\"\nurl = \"http://n\""),
        ("alertmanagers", "name = \"a\"\nurl = \"http://a\""),
        (
            "sources.webhook",
            "name = \"x\"\nlabels = { alertname = \"/x\" }",
        ),
        ("sources.heartbeat", "name = \"h\"\nevery_s = 60"),
        ("sources.scrape", "targets = [\"n:9100\"]"),
        ("sources.promql", "url = \"http://p\"\nselect = [\"up\"]"),
        (
            "sources.loki_tail",
            "url = \"http://l\"\nquery = \"{a=\\\"b\\\"}\"",
        ),
        ("sources.elastic", "url = \"http://e\""),
        (
            "sources.nats",
            "url = \"nats://n\"\nstream = \"S\"\nmessages.format = \"json\"",
        ),
        (
            "sources.kafka",
            "brokers = [\"k:9092\"]\ntopics = [\"t\"]\nmessages.format = \"json\"",
        ),
        ("sources.kubernetes", ""),
        ("sources.tail", "paths = [\"x\"]"),
        ("rules", "name = \"r\"\nsame = [\"cluster\"]"),
    ];
    for (list, needed) in cases {
        let path = format!("{list}[]");
        let mut written = format!("{webhook}[[{list}]]\n{needed}\n");
        let (absent, _) = parse(&written, "it.toml").expect(list);
        let here = |section: &&Section| section.path.starts_with(&path);
        for section in sections().filter(here) {
            let below = section.path[path.len()..].trim_start_matches('.');
            for setting in section.settings.iter().filter(|s| !s.default.is_empty()) {
                let name = [below, ".", setting.name].concat();
                let name = name.trim_start_matches('.');
                written += &[name, " = ", setting.default, "\n"].concat();
            }
        }
        let (present, _) = parse(&written, "it.toml").expect("defaults are valid");
        assert_eq!(present, absent, "{list}");
    }
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&path, inner, into),
            value => {
                into.insert(path, value.to_string());
            }
        }
    }
}
