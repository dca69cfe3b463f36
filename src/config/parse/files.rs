//! Which files a config names, and where: whether they are there is for others to look.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::places::line_at;
use super::{join, settings, written};
use crate::config::Kind;

/// Endings of names of settings whose file nobody else should read.
const SECRETS: [&str; 5] = [
    "token_file",
    "secret_file",
    "key_file",
    "creds_file",
    "password_file",
];

/// Settings whose files say who may come in, or keep others from reading along: nothing starts without these.
const DOORS: [&str; 5] = [
    "operators.token_file",
    "sources.syslog.client_ca_file",
    "sources.token_file",
    "tls.cert_file",
    "tls.key_file",
];

/// A file that a config names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// The line it is named in.
    pub line: usize,
    /// The setting, as a person would say it.
    pub setting: String,
    /// The file.
    pub path: PathBuf,
    /// Whether it holds what nobody else should know.
    pub is_secret: bool,
    /// Whether it says who may come in.
    pub lets_in: bool,
}

/// The files that a config names by settings that end in `_file`, and its `kubeconfig`s, in order of line. Of a file that is no
/// TOML, none.
pub fn named_files(text: &str) -> Vec<NamedFile> {
    let mut found = Vec::new();
    if let Ok(root) = DeTable::parse(text) {
        walk(text, root.get_ref(), "", &mut found);
    }
    found.sort_by_key(|file: &NamedFile| file.line);
    found
}

fn walk(text: &str, table: &DeTable<'_>, section: &str, found: &mut Vec<NamedFile>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = join(section, name);
        match value.get_ref() {
            DeValue::Table(inner) => walk(text, inner, &path, found),
            DeValue::Array(items) => {
                for inner in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    walk(text, inner, &format!("{path}[]"), found);
                }
            }
            DeValue::String(file) => {
                let setting = settings::find(section, name);
                let is_file = name.ends_with("_file") || name == "kubeconfig";
                if is_file && setting.is_some_and(|setting| setting.kind == Kind::Path) {
                    let setting = written(&path);
                    found.push(NamedFile {
                        line: line_at(text, value.span().start),
                        path: PathBuf::from(&**file),
                        is_secret: SECRETS.contains(&name),
                        lets_in: DOORS.contains(&setting.as_str()),
                        setting,
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_let_in_are_settings() {
        for door in DOORS {
            let (section, name) = door.rsplit_once('.').unwrap();
            let lists = [section.to_owned(), format!("{section}[]")];
            let found = lists
                .iter()
                .find_map(|section| settings::find(section, name));
            assert!(
                found.is_some_and(|setting| setting.kind == Kind::Path),
                "{door}"
            );
        }
    }

    #[test]
    fn files_are_found_with_their_lines() {
        let text = "data_dir = \"/d\"\n[tls]\ncert_file = \"c\"\nkey_file = \"k\"\n\n[[sources.scrape]]\ntargets = [\"h:1\"]\ntoken_file = \"t\"\n[[sources.kubernetes]]\nkubeconfig = \"kc\"\n";
        let found: Vec<_> = named_files(text)
            .into_iter()
            .map(|file| (file.line, file.setting, file.is_secret, file.lets_in))
            .collect();
        let expected = [
            (3, "tls.cert_file", false, true),
            (4, "tls.key_file", true, true),
            (8, "sources.scrape.token_file", true, false),
            (10, "sources.kubernetes.kubeconfig", false, false),
        ];
        assert_eq!(
            found,
            expected.map(|(line, name, is, lets)| (line, name.to_owned(), is, lets))
        );
        assert_eq!(named_files("[["), []);
    }
}
