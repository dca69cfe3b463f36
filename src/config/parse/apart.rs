//! What sources are told apart by: two of one name would be one row, and share what is kept under it.

use toml::de::DeTable;

use super::Check;
use super::places::{nth_span, setting_span};
use crate::config::{Config, SourcesConfig};

/// Signs of a name that need no escape in an address, beside letters and digits (RFC 3986, 2.3).
const UNRESERVED: [u8; 4] = *b"-._~";

impl Check<'_> {
    /// Names that two share, and names that could stand in no address.
    pub(super) fn apart(&mut self, config: &Config, root: &DeTable<'_>) {
        for (section, setting, names) in named(&config.sources) {
            for (i, name) in twins(&names) {
                let span = setting_span(root, section, i, setting);
                let why = format!(
                    "another [[sources.{section}]] has the `{setting}` {name:?}: give each its own"
                );
                self.error(&span, &why);
            }
        }
        for (i, tail) in config.sources.tail.iter().enumerate() {
            if config.sources.tail[..i]
                .iter()
                .any(|other| other.paths == tail.paths)
            {
                let span = setting_span(root, "tail", i, "paths");
                self.error(
                    &span,
                    "another [[sources.tail]] follows the same `paths`: leave one out",
                );
            }
        }
        let notify: Vec<&str> = config.notify.iter().map(|of| of.name.as_str()).collect();
        let peers = config.alertmanagers.iter().map(|of| of.name.as_str());
        for (list, names) in [("notify", notify), ("alertmanagers", peers.collect())] {
            for (i, name) in twins(&names) {
                let why = format!("another [[{list}]] is named {name:?}: give each its own `name`");
                self.error(&nth_span(root, list, i), &why);
            }
        }
        self.addressed(config, root);
    }

    /// Names that senders must write in an address.
    fn addressed(&mut self, config: &Config, root: &DeTable<'_>) {
        let beats = config.sources.heartbeat.iter().map(|of| of.name.as_str());
        let hooks = config.sources.webhook.iter().map(|of| of.name.as_str());
        let lists: [(&str, &str, Vec<&str>); 2] = [
            ("heartbeat", "/heartbeat/NAME", beats.collect()),
            ("webhook", "/webhook/in/NAME", hooks.collect()),
        ];
        for (section, path, names) in lists {
            for (i, name) in names
                .iter()
                .enumerate()
                .filter(|(_, name)| !is_address_part(name))
            {
                let why = format!(
                    "`sources.{section}.name` is {name:?}, and senders write it in an address, {path}: use letters without accents, digits, `-`, `_` and `.`"
                );
                self.error(&setting_span(root, section, i, "name"), &why);
            }
        }
    }
}

/// Lists of sources with the setting that names each, and the names.
fn named(sources: &SourcesConfig) -> Vec<(&'static str, &'static str, Vec<&str>)> {
    fn all<'a, T>(list: &'a [T], name: impl Fn(&'a T) -> &'a String) -> Vec<&'a str> {
        list.iter().map(|of| name(of).as_str()).collect()
    }
    vec![
        ("heartbeat", "name", all(&sources.heartbeat, |of| &of.name)),
        ("webhook", "name", all(&sources.webhook, |of| &of.name)),
        ("scrape", "job", all(&sources.scrape, |of| &of.job)),
        ("promql", "name", all(&sources.promql, |of| &of.name)),
        ("loki_tail", "name", all(&sources.loki_tail, |of| &of.name)),
        ("elastic", "name", all(&sources.elastic, |of| &of.name)),
        ("nats", "name", all(&sources.nats, |of| &of.name)),
        ("kafka", "name", all(&sources.kafka, |of| &of.name)),
        (
            "kubernetes",
            "name",
            all(&sources.kubernetes, |of| &of.name),
        ),
    ]
}

/// Those of some names that stood before, with their places.
fn twins<'a>(names: &[&'a str]) -> Vec<(usize, &'a str)> {
    let all = names.iter().copied().enumerate();
    all.filter(|(i, name)| names[..*i].contains(name)).collect()
}

/// Whether a name can stand in an address as it is, and is no step up or down in it.
fn is_address_part(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || UNRESERVED.contains(&byte);
    name.bytes().all(is_plain) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_need_no_escape_are_parts_of_an_address() {
        for name in ["backup", "nightly-backup_2.v1~x", "..."] {
            assert!(is_address_part(name), "{name}");
        }
        for name in ["my backup", "a/b", "bäckup", "a?b", "a%20b", ".", ".."] {
            assert!(!is_address_part(name), "{name}");
        }
    }
}
