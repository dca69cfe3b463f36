//! Checks a config file against the table of settings and builds the [`Config`].
//!
//! Every message says file and line, what is wrong and what would be right. It never stops at the
//! first mistake of a file that is valid TOML: all are reported at once.

mod apart;
mod declared;
mod files;
mod places;
mod streams;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::names::unreadable;
use super::settings::{self, is_section};
use super::{Config, Kind, Networks, ScrapeConfig, Setting, SourcesConfig, is_path, sections};
use crate::model::EntityId;

pub use files::{NamedFile, named_files};
use places::{item_span, line_at, nth_span, section_span, span_of};
pub use places::{line_of, line_of_setting, line_of_tail_path};

/// Names that are less alike than this are not offered as what was meant (Jaro-Winkler, 0 to 1).
const LIKENESS_MIN: f64 = 0.75;

/// How much of what the file says is repeated in a message, in characters.
const GOT_CHARS_MAX: usize = 60;

/// Why a file is refused: one message for each mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// `FILE:LINE: what is wrong`, in order of line.
    pub messages: Vec<String>,
}

/// Something odd that does not keep us from starting: `FILE:LINE: what`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning(pub String);

/// Reads the text of a config file; `file` is the name used in messages.
pub fn parse(text: &str, file: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
    let mut check = Check {
        text,
        file,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    let root = DeTable::parse(text).map_err(|e| check.toml_error(&e))?;
    check.table(root.get_ref(), "");
    if !check.errors.is_empty() {
        return Err(check.into_error());
    }
    let config = build(text).map_err(|e| check.toml_error(&e))?;
    check.exposed(&config, root.get_ref());
    check.odd(&config, root.get_ref());
    if !check.errors.is_empty() {
        return Err(check.into_error());
    }
    check.warnings.sort_by_key(|(line, _)| *line);
    let warnings = check.warnings.into_iter().map(|(_, w)| Warning(w));
    Ok((config, warnings.collect()))
}

/// Whether there is anything to watch.
fn is_any_source_on(sources: &SourcesConfig) -> bool {
    let receivers = [
        sources.alerts.enabled,
        sources.remote_write.enabled,
        sources.otlp.enabled,
        sources.changes.enabled,
        sources.loki.enabled,
        sources.notifications.enabled,
        sources.pagerduty.enabled,
        sources.host.enabled,
        sources.journald.enabled,
    ];
    let syslog = &sources.syslog;
    let listens = [syslog.udp, syslog.tcp, syslog.tls, sources.statsd.udp];
    let forges = [&sources.github, &sources.gitlab, &sources.gitea];
    receivers.contains(&true)
        || !sources.tail.is_empty()
        || !sources.scrape.is_empty()
        || !sources.promql.is_empty()
        || !sources.loki_tail.is_empty()
        || !sources.elastic.is_empty()
        || !sources.nats.is_empty()
        || !sources.kafka.is_empty()
        || !sources.kubernetes.is_empty()
        || listens.iter().any(Option::is_some)
        || forges.iter().any(|forge| forge.secret_file.is_some())
}

/// What is wrong with a listener that others can reach and that asks for no token, and the lines that
/// mend it.
pub fn without_token(setting: &str) -> &'static str {
    if setting.starts_with("sources.") {
        "which others can reach, and syslog knows no token: name who may send by `sources.syslog.allow`, ask for certificates by `sources.syslog.client_ca_file`, listen on 127.0.0.1, or accept that by `sources.insecure = true`"
    } else {
        "which others can reach, and senders need no token: make one by `openssl rand -hex 32 > senders.token`, and name it by `token_file = \"senders.token\"` under `[sources]`; or listen on 127.0.0.1"
    }
}

/// The name of those shipped that the path of a theme or keymap may have meant.
pub fn shipped_like(path: &str, shipped: &[&str]) -> Option<String> {
    let stem = std::path::Path::new(path).file_stem()?.to_str()?;
    let known = shipped.iter().map(|name| ((*name).to_owned(), *name));
    most_like(stem, known)
}

/// The file as written: `[[dependencies]]`, `[[entities]]`, `[[slo]]`, `[[maintenance]]`, `[[inhibit]]` and
/// `[[rules]]` are at the top level there, and in the engine's settings here.
fn build(text: &str) -> Result<Config, toml::de::Error> {
    let mut root: toml::Table = toml::from_str(text)?;
    let dependencies = declared(&mut root, "dependencies")?;
    let entities = declared(&mut root, "entities")?;
    let slo = declared(&mut root, "slo")?;
    let maintenance = declared(&mut root, "maintenance")?;
    let inhibit = declared(&mut root, "inhibit")?;
    let rules = declared(&mut root, "rules")?;
    let mut config = Config::deserialize(toml::Value::Table(root))?;
    config.engine.dependencies = dependencies;
    config.engine.entities = entities;
    config.engine.slo = slo;
    config.engine.maintenance = maintenance;
    config.engine.inhibit = inhibit;
    config.engine.rules = rules;
    Ok(config)
}

/// Takes a list of tables out of the file; empty when it is not there.
fn declared<T: DeserializeOwned>(
    root: &mut toml::Table,
    list: &str,
) -> Result<Vec<T>, toml::de::Error> {
    root.remove(list)
        .map_or_else(|| Ok(Vec::new()), toml::Value::try_into)
}

/// A file while it is checked.
struct Check<'a> {
    text: &'a str,
    file: &'a str,
    errors: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl Check<'_> {
    fn table(&mut self, table: &DeTable<'_>, section: &str) {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let path = join(section, name);
            if let Some(setting) = settings::find(section, name) {
                self.value(&path, setting, value);
                continue;
            }
            let list = format!("{path}[]");
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&path) => {
                    self.table(inner, &path);
                    self.needs(inner, &path, &value.span());
                }
                DeValue::Array(items) if is_section(&list) => {
                    for item in items {
                        self.item(item, &list);
                    }
                }
                _ if is_section(&path) => {
                    let (shown, head) = (written(&path), headed(&path));
                    let why = format!("`{shown}` is a section: write {head}");
                    self.error(&key.span(), &why);
                }
                _ if is_section(&list) => {
                    let why = format!("`{path}` is a list of tables: write [[{path}]]");
                    self.error(&key.span(), &why);
                }
                _ => self.unknown(&key.span(), section, name),
            }
        }
    }

    /// One table of a list of tables.
    fn item(&mut self, item: &Spanned<DeValue<'_>>, list: &str) {
        let written = list.trim_end_matches("[]");
        let DeValue::Table(table) = item.get_ref() else {
            let why = format!("`{written}` is a list of tables: write [[{written}]]");
            return self.error(&item.span(), &why);
        };
        self.table(table, list);
        self.needs(table, list, &item.span());
        // What a section below needs is missing too when there is none of it.
        for below in sections() {
            let name = settings::within(below.path, list);
            let absent = name.filter(|name| !name.contains('.') && !table.contains_key(*name));
            for needed in below.settings.iter().filter(|setting| setting.is_needed) {
                if let Some(name) = absent {
                    let why = format!("[[{written}]] needs `{name}.{}`", needed.name);
                    self.error(&item.span(), &why);
                }
            }
        }
    }

    /// What a section lacks that makes no sense without.
    fn needs(&mut self, table: &DeTable<'_>, section: &str, span: &Range<usize>) {
        let needed = sections()
            .filter(|here| here.path == section)
            .flat_map(|here| here.settings)
            .filter(|setting| setting.is_needed && !table.contains_key(setting.name));
        for setting in needed {
            self.error(
                span,
                &format!("{} needs `{}`", headed(section), setting.name),
            );
        }
    }

    fn value(&mut self, path: &str, setting: &Setting, value: &Spanned<DeValue<'_>>) {
        let fits = match (setting.kind, value.get_ref()) {
            (Kind::Text, DeValue::String(_)) | (Kind::Flag, DeValue::Boolean(_)) => true,
            (Kind::Path, DeValue::String(text)) => !text.trim().is_empty(),
            (Kind::Named(names), DeValue::String(text)) => {
                names.contains(&&**text) || is_path(text)
            }
            (Kind::Address, DeValue::String(text)) => text.parse::<SocketAddr>().is_ok(),
            (Kind::AddressOrOff, DeValue::String(text)) => {
                text.is_empty() || text.parse::<SocketAddr>().is_ok()
            }
            (Kind::Integer(min, max), DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix())
                    .is_ok_and(|n| (min..=max).contains(&n))
            }
            (Kind::Choice(words), DeValue::String(text)) => words.contains(&&**text),
            (Kind::TextList | Kind::PathList, DeValue::Array(items)) => {
                !items.is_empty() && items.iter().all(|i| i.get_ref().is_str())
            }
            (Kind::TextTable, DeValue::Table(table)) => {
                table.values().all(|v| v.get_ref().is_str())
            }
            _ => false,
        };
        if !fits {
            let got = self.text.get(value.span()).unwrap_or_default();
            let got: String = got.chars().take(GOT_CHARS_MAX).collect();
            let hint = match (setting.kind, value.get_ref()) {
                (Kind::Named(names) | Kind::Choice(names), DeValue::String(text)) => {
                    let known = names.iter().map(|name| ((*name).to_owned(), *name));
                    most_like(text, known)
                        .map_or_else(String::new, |near| format!(": did you mean \"{near}\"?"))
                }
                _ => String::new(),
            };
            let why = format!(
                "`{}` must be {}, not {got}{hint}",
                written(path),
                setting.kind.words()
            );
            return self.error(&value.span(), &why);
        }
        self.homeless(path, setting.kind, value);
        if let (true, Some(name)) = (setting.name == "name", value.get_ref().as_str())
            && let Some(why) = unreadable(name)
        {
            let why = format!("`{}` {why}", written(path));
            self.error(&value.span(), &why);
        }
    }

    /// A shell makes a folder of `~`; the operating system has a file of that name.
    fn homeless(&mut self, path: &str, kind: Kind, value: &Spanned<DeValue<'_>>) {
        let paths = match (kind, value.get_ref()) {
            (Kind::Path | Kind::Named(_), DeValue::String(_)) => std::slice::from_ref(value),
            (Kind::PathList, DeValue::Array(items)) => items.as_ref(),
            _ => &[],
        };
        for item in paths {
            let Some(named) = item.get_ref().as_str().filter(|text| text.starts_with('~')) else {
                continue;
            };
            let why = format!(
                "`{}` names {named:?}, and `~` is not read as a home here: write the whole path, such as \"/home/NAME/...\"",
                written(path)
            );
            self.error(&item.span(), &why);
        }
    }

    fn unknown(&mut self, span: &Range<usize>, section: &str, name: &str) {
        let place = match section {
            "" => "at the top level".to_owned(),
            section => format!("in {}", headed(section)),
        };
        let hint = match nearest(section, name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", names_in(section).join(", ")),
        };
        self.error(span, &format!("unknown setting `{name}` {place}: {hint}"));
    }

    /// Tokens and telemetry do not travel in the clear, and strangers send nothing.
    fn exposed(&mut self, config: &Config, root: &DeTable<'_>) {
        for (name, address) in config.exposed_listeners() {
            if config.sources.insecure {
                let api = if name == "listen" {
                    "; the API is not served there"
                } else {
                    ""
                };
                let what = format!(
                    "`{name}` is {address} without TLS (`sources.insecure`): whoever can reach it may send telemetry and read along{api}"
                );
                self.warn(&span_of(root, name), &what);
                continue;
            }
            let way_out = if name.starts_with("sources.") {
                "listen on 127.0.0.1, or accept that by `sources.insecure = true`"
            } else if config.sources.token_file.is_none() {
                "give `tls.cert_file`, `tls.key_file` and `sources.token_file`, or listen on 127.0.0.1; for telemetry alone, `sources.insecure = true` does without"
            } else {
                "give `tls.cert_file` and `tls.key_file`, or listen on 127.0.0.1; for telemetry alone, `sources.insecure = true` does without"
            };
            let why = format!("`{name}` is {address}, which others can reach: {way_out}");
            self.error(&span_of(root, name), &why);
        }
        self.tokenless(config, root);
        for (name, allow) in [
            ("sources.syslog.allow", &config.sources.syslog.allow),
            ("sources.statsd.allow", &config.sources.statsd.allow),
        ] {
            if let Err(why) = Networks::parse(allow) {
                self.error(&span_of(root, name), &format!("`{name}`: {why}"));
            }
        }
        if config.sources.syslog.tls.is_some() && !config.tls.is_on() {
            let name = "sources.syslog.tls";
            let why = format!("`{name}` needs `tls.cert_file` and `tls.key_file`");
            self.error(&span_of(root, name), &why);
        }
        if config.sources.syslog.client_ca_file.is_some() && config.sources.syslog.tls.is_none() {
            let name = "sources.syslog.client_ca_file";
            let why = format!("`{name}` asks for certificates over TLS: give `sources.syslog.tls`");
            self.error(&span_of(root, name), &why);
        }
    }

    /// Whoever can reach a listener needs a token to send there.
    fn tokenless(&mut self, config: &Config, root: &DeTable<'_>) {
        for (name, address) in config.tokenless_listeners() {
            if config.sources.insecure {
                let what = format!(
                    "`{name}` is {address} without a token (`sources.insecure`): whoever can reach it may send telemetry"
                );
                self.warn(&span_of(root, name), &what);
                continue;
            }
            let why = format!("`{name}` is {address}, {}", without_token(name));
            self.error(&span_of(root, name), &why);
        }
    }

    /// What is allowed and still worth a word.
    fn odd(&mut self, config: &Config, root: &DeTable<'_>) {
        for (other, setting) in [
            (Some(config.listen), "listen"),
            (config.otlp_listen, "otlp_listen"),
        ] {
            if config.otlp_grpc_listen.is_some() && config.otlp_grpc_listen == other {
                let why = format!(
                    "`otlp_grpc_listen` is the same as `{setting}`: gRPC needs an address of its own"
                );
                self.error(&span_of(root, "otlp_grpc_listen"), &why);
            }
        }
        if config.otlp_listen == Some(config.listen) {
            let what =
                "`otlp_listen` is the same as `listen`, which takes OTLP anyway: it is ignored";
            self.warn(&span_of(root, "otlp_listen"), what);
        }
        if !is_any_source_on(&config.sources) {
            self.warn(
                &span_of(root, "sources"),
                "every source is off: there is nothing to watch",
            );
        }
        for (i, to) in config.notify.iter().enumerate() {
            if to.is_in_the_clear() {
                let what = format!(
                    "`url` of `{}` is http: what is told goes over the network in the clear, its token too; write https",
                    to.name
                );
                self.warn(&nth_span(root, "notify", i), &what);
            }
        }
        for (i, edge) in config.engine.dependencies.iter().enumerate() {
            if edge.from == edge.to {
                let what = format!("`{}` depends on itself: ignored", edge.from);
                self.warn(&nth_span(root, "dependencies", i), &what);
            } else if config.engine.dependencies[..i].contains(edge) {
                let what = format!("`{}` to `{}` is declared twice", edge.from, edge.to);
                self.warn(&nth_span(root, "dependencies", i), &what);
            }
        }
        for (i, slo) in config.engine.slo.iter().enumerate() {
            if slo.budget().is_none() {
                let why = format!(
                    "`objective` is {:?}: say what percentage of requests must succeed, such as \"99.9\"",
                    slo.objective
                );
                self.error(&nth_span(root, "slo", i), &why);
            }
        }
        self.held_back(config, root);
        for (i, peer) in config.alertmanagers.iter().enumerate() {
            // Before anything is repeated: viewers are shown where a source is.
            if peer.url.contains('@') {
                let why = "`url` names user or password, or holds an `@`: write the secret to a file and name it by `token_file`";
                self.error(&nth_span(root, "alertmanagers", i), why);
            } else if !peer.url.starts_with("http://") && !peer.url.starts_with("https://") {
                let why = "`url` must begin with http:// or https://";
                self.error(&nth_span(root, "alertmanagers", i), why);
            }
        }
        self.names(config, root);
        self.apart(config, root);
        self.targets(config, root);
        self.one_meaning(config, root);
    }

    /// Windows that never open and rules that never apply are mistakes.
    fn held_back(&mut self, config: &Config, root: &DeTable<'_>) {
        for (i, window) in config.engine.maintenance.iter().enumerate() {
            let wrong = [window.matchers().err(), window.schedule().err()];
            for why in wrong.into_iter().flatten() {
                self.error(&nth_span(root, "maintenance", i), &why);
            }
        }
        for (i, rule) in config.engine.inhibit.iter().enumerate() {
            let wrong = [rule.sources().err(), rule.targets().err()];
            for why in wrong.into_iter().flatten() {
                self.error(&nth_span(root, "inhibit", i), &why);
            }
        }
        for (i, rule) in config.engine.rules.iter().enumerate() {
            let twin = config.engine.rules[..i]
                .iter()
                .any(|other| other.name == rule.name);
            let twin = twin.then(|| {
                format!(
                    "another [[rules]] is named {:?}: what each joins is counted by its name, so give this one its own",
                    rule.name
                )
            });
            let wrong = [rule.matchers().err(), rule.leaders().err(), twin];
            for why in wrong.into_iter().flatten() {
                self.error(&nth_span(root, "rules", i), &why);
            }
        }
    }

    /// What cannot be scraped is told now, not by a source that never works.
    fn targets(&mut self, config: &Config, root: &DeTable<'_>) {
        for (i, scrape) in config.sources.scrape.iter().enumerate() {
            for (j, target) in scrape.targets.iter().enumerate() {
                if let Err(why) = ScrapeConfig::url(target) {
                    self.error(&item_span(root, ("scrape", i), ("targets", j)), &why);
                }
            }
        }
        for (i, promql) in config.sources.promql.iter().enumerate() {
            let at = section_span(root, "promql", i);
            if let Err(why) = promql.url() {
                self.error(&at, &why);
            }
            if promql.queries().next().is_none() {
                self.error(&at, "nothing to ask for: give `select` or `named`");
            }
        }
        for (i, loki) in config.sources.loki_tail.iter().enumerate() {
            if let Err(why) = loki.url() {
                self.error(&section_span(root, "loki_tail", i), &why);
            }
        }
        for (i, elastic) in config.sources.elastic.iter().enumerate() {
            if let Err(why) = elastic.url() {
                self.error(&section_span(root, "elastic", i), &why);
            }
        }
        self.streams(config, root);
    }

    /// A name that means two entities would make the order of the file decide.
    fn one_meaning(&mut self, config: &Config, root: &DeTable<'_>) {
        let mut meaning: BTreeMap<EntityId, usize> = BTreeMap::new();
        for (i, entity) in config.engine.entities.iter().enumerate() {
            for name in std::iter::once(&entity.name).chain(&entity.aliases) {
                if meaning.insert(EntityId::parse(name), i).is_some() {
                    let why = format!("`{name}` is declared twice: a name has one meaning");
                    self.error(&nth_span(root, "entities", i), &why);
                }
            }
        }
    }

    fn error(&mut self, span: &Range<usize>, why: &str) {
        let line = self.line(span);
        self.errors
            .push((line, format!("{}:{line}: {why}", self.file)));
    }

    fn warn(&mut self, span: &Range<usize>, what: &str) {
        let line = self.line(span);
        self.warnings
            .push((line, format!("{}:{line}: {what}", self.file)));
    }

    /// A file that is not TOML, or that serde refuses although the table did not.
    fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        let line = self.line(&error.span().unwrap_or_default());
        let why = error.message().trim().replace('\n', ", ");
        let got = self.text.lines().nth(line - 1).unwrap_or_default().trim();
        let got: String = got.chars().take(GOT_CHARS_MAX).collect();
        let message = format!(
            "{}:{line}: cannot read `{got}`: {why}; texts are written in double quotes",
            self.file
        );
        ConfigError {
            messages: vec![message],
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        line_at(self.text, span.start)
    }

    fn into_error(mut self) -> ConfigError {
        self.errors.sort_by_key(|(line, _)| *line);
        ConfigError {
            messages: self
                .errors
                .into_iter()
                .map(|(_, message)| message)
                .collect(),
        }
    }
}

/// The known name that was meant: this name in a section below, else the one most like it, in the same section
/// first, then below it, else anywhere. Of other sections it is written in full.
fn nearest(section: &str, name: &str) -> Option<String> {
    let everywhere = || {
        sections().flat_map(|other| {
            let path = move |setting: &Setting| written(&join(other.path, setting.name));
            let shown = move |setting: &'static Setting| (path(setting), setting.name);
            other.settings.iter().map(move |s| (other.path, shown(s)))
        })
    };
    let below = || {
        // Everything is below the top level.
        let is_below = |other| !section.is_empty() && settings::within(other, section).is_some();
        let below = everywhere().filter(move |(other, _)| is_below(other));
        below.map(|(_, shown)| shown)
    };
    let here = names_in(section).into_iter().map(|n| (n.to_owned(), n));
    below()
        .find(|(_, known)| *known == name)
        .map(|(shown, _)| shown)
        .or_else(|| most_like(name, here))
        .or_else(|| most_like(name, below()))
        .or_else(|| most_like(name, everywhere().map(|(_, shown)| shown)))
}

/// Of known names, as they are shown and as they are compared, the one most like `name`.
fn most_like<'a>(name: &str, known: impl Iterator<Item = (String, &'a str)>) -> Option<String> {
    known
        .map(|(shown, compared)| (strsim::jaro_winkler(compared, name), shown))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, shown)| shown)
}

/// Settings and sections directly below a section, each once.
fn names_in(section: &str) -> Vec<&'static str> {
    let here = sections().filter(|here| here.path == section);
    let mut names: Vec<_> = here
        .flat_map(|here| here.settings)
        .map(|setting| setting.name)
        .collect();
    for name in settings::below(section) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn join(section: &str, name: &str) -> String {
    match section {
        "" => name.to_owned(),
        section => format!("{section}.{name}"),
    }
}

/// A section as the file heads it.
fn headed(section: &str) -> String {
    match section.strip_suffix("[]") {
        Some(list) => format!("[[{}]]", written(list)),
        None => format!("[{}]", written(section)),
    }
}

/// A path as a person would say it.
fn written(path: &str) -> String {
    path.replace("[]", "")
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
