//! The table of settings, the defaults and `docs/config.md` say the same.

use std::collections::BTreeMap;
use std::path::Path;

use stormglass::config::{Config, SETTINGS, parse, reference};

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
    let listed: BTreeMap<String, String> = SETTINGS
        .iter()
        .filter(|s| !s.default.is_empty() && !s.path.contains("[]"))
        .map(|s| (s.path.to_owned(), s.default.to_owned()))
        .collect();
    assert_eq!(listed, held);
}

#[test]
fn every_default_of_a_list_item_is_what_leaving_it_out_means() {
    let mut written = String::from("[[sources.tail]]\npaths = [\"x\"]\n");
    let (absent, _) = parse(&written, "it.toml").expect("paths is all that is needed");
    for setting in SETTINGS.iter().filter(|s| s.section() == "sources.tail[]") {
        if !setting.default.is_empty() {
            written += &[setting.name(), " = ", setting.default, "\n"].concat();
        }
    }
    let (present, _) = parse(&written, "it.toml").expect("defaults are valid");
    assert_eq!(present, absent);
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
