//! `init`: a commented config file, after looking at what this machine has and asking about it.
//!
//! It writes one new file and changes nothing else: what senders must be told is printed, never done.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::Common;
use super::output::{Failure, print};
use super::place::default_config_file;
use crate::config::{Setting, sections};
use crate::model::SafeText;

/// A local port that answers within this is taken to be there.
const PROBE: Duration = Duration::from_millis(300);
/// Readable and writable by its owner only: it may come to name tokens.
const MODE: u32 = 0o600;

/// `stormglass init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Ask nothing: take what is found
    #[arg(long)]
    yes: bool,
}

/// What this machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each thing is there or is not"
)]
struct Found {
    prometheus: bool,
    alertmanager: bool,
    node_exporter: bool,
    kubernetes: bool,
    journald: bool,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answers {
    environment: String,
    /// What of it is to be used.
    used: Found,
}

pub fn run(common: &Common, args: &InitArgs) -> Result<(), Failure> {
    let path = common
        .config
        .clone()
        .or_else(default_config_file)
        .ok_or_else(|| Failure::usage("this user has no home: name the file with --config FILE"))?;
    if path.exists() {
        let name = path.display();
        return Err(Failure::new(format!(
            "{name} is there already: edit it, or name another with --config FILE"
        )));
    }
    let found = Found::look();
    print(&found.words())?;
    let answers = if args.yes || !io::stdin().is_terminal() {
        Answers::without_asking(found)
    } else {
        Answers::ask(found)?
    };
    write(&path, &text(&answers))?;
    let next = next(found, answers.used);
    print(&format!("\nWrote {}.\n{next}", path.display()))
}

impl Found {
    fn look() -> Self {
        let answers = |port: u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            TcpStream::connect_timeout(&address, PROBE).is_ok()
        };
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Self {
            prometheus: answers(9_090),
            alertmanager: answers(9_093),
            node_exporter: answers(9_100),
            kubernetes: std::env::var_os("KUBECONFIG").is_some()
                || home.is_some_and(|home| home.join(".kube/config").exists()),
            journald: Path::new("/run/systemd/journal/socket").exists(),
        }
    }

    fn words(self) -> String {
        let mut text = String::from("Looked at this machine:\n");
        for (there, name) in [
            (self.prometheus, "Prometheus at 127.0.0.1:9090"),
            (self.alertmanager, "Alertmanager at 127.0.0.1:9093"),
            (self.node_exporter, "node_exporter at 127.0.0.1:9100"),
            (self.kubernetes, "a kubeconfig"),
            (self.journald, "journald"),
        ] {
            let mark = if there { "found  " } else { "not here" };
            let _ = writeln!(text, "  {mark} {name}");
        }
        text
    }
}

impl Answers {
    fn without_asking(found: Found) -> Self {
        Self {
            environment: "local".to_owned(),
            used: found,
        }
    }

    fn ask(found: Found) -> Result<Self, Failure> {
        let mut answers = Self::without_asking(found);
        answers.environment = ask(
            "What is watched? A name such as prod-eu",
            &answers.environment,
        )?;
        let used = &mut answers.used;
        for (there, question) in [
            (&mut used.node_exporter, "Scrape node_exporter? yes or no"),
            (
                &mut used.alertmanager,
                "Keep silences in step with Alertmanager? yes or no",
            ),
            (
                &mut used.kubernetes,
                "Watch what happens in the Kubernetes cluster? yes or no",
            ),
            (&mut used.journald, "Follow the journal? yes or no"),
        ] {
            *there = *there && ask(question, "yes")?.starts_with(['y', 'Y']);
        }
        Ok(answers)
    }
}

impl Answers {
    /// The entry of a list that what is used takes; nothing for other sections.
    fn written(&self, section: &str) -> &'static str {
        match section {
            "sources.scrape[]" if self.used.node_exporter => {
                "[[sources.scrape]]\njob = \"node\"\ntargets = [\"127.0.0.1:9100\"]\n\n"
            }
            "sources.kubernetes[]" if self.used.kubernetes => {
                "[[sources.kubernetes]]\nname = \"kubernetes\"\n\n"
            }
            "alertmanagers[]" if self.used.alertmanager => {
                "[[alertmanagers]]\nname = \"local\"\nurl = \"http://127.0.0.1:9093\"\n\n"
            }
            _ => "",
        }
    }
}

/// Asks a question; an empty line takes what is proposed.
fn ask(question: &str, proposed: &str) -> Result<String, Failure> {
    print(&format!("{question} [{proposed}]: "))?;
    let _ = io::stdout().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::new(format!("cannot read the answer: {error}")))?;
    let line = SafeText::new(line.trim()).to_string();
    Ok(if line.is_empty() {
        proposed.to_owned()
    } else {
        line
    })
}

/// What to tell the senders that were found, and what those that are used need.
fn next(found: Found, used: Found) -> String {
    let mut text = String::from("`stormglass check` reads it; `stormglass` opens the console.\n");
    if found.prometheus {
        text.push_str(
            "In prometheus.yml, for metrics:\n  remote_write: [{url: http://127.0.0.1:9797/api/v1/write}]\n",
        );
    }
    if found.prometheus || found.alertmanager {
        text.push_str(
            "In prometheus.yml, for alerts:\n  alerting: {alertmanagers: [{static_configs: [{targets: ['127.0.0.1:9797']}]}]}\n",
        );
    }
    if used.kubernetes {
        text.push_str(
            "Kubernetes is watched, and runbooks use kubectl, with the kubeconfig of whoever runs the daemon.\n",
        );
    }
    if used.journald {
        text.push_str(
            "For all of the journal the user of the daemon must be in the group systemd-journal.\n",
        );
    }
    text
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // Never over a file that appeared meanwhile.
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(MODE).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)
}

/// The file: what was answered, and every other setting as a comment with its default.
fn text(answers: &Answers) -> String {
    let mut text = String::from(
        "# Stormglass. Every setting with its default; take away the # to change one.\n# docs/config.md says more.\n\n",
    );
    for section in sections() {
        if !section.path.is_empty() {
            heading(&mut text, section.path);
        }
        text.push_str(answers.written(section.path));
        for setting in section.settings {
            let value = match (section.path, setting.name) {
                ("", "environment") => Some(toml::Value::String(answers.environment.clone())),
                ("sources.journald", "enabled") if answers.used.journald => {
                    Some(toml::Value::Boolean(true))
                }
                _ => None,
            };
            match value {
                Some(value) => {
                    let _ = writeln!(text, "# {}\n{} = {value}\n", setting.doc, setting.name);
                }
                None => commented(&mut text, setting),
            }
        }
    }
    text
}

/// The head of a section, as a comment unless it holds nothing but comments.
fn heading(text: &mut String, section: &str) {
    let head = match section.strip_suffix("[]") {
        Some(list) => format!("# [[{list}]]"),
        None if section.contains("[]") => format!("# [{}]", section.replace("[]", "")),
        // A table may be there and empty.
        None => format!("[{section}]"),
    };
    let _ = writeln!(text, "{head}");
}

fn commented(text: &mut String, setting: &Setting) {
    let default = if setting.default.is_empty() {
        "..."
    } else {
        setting.default
    };
    let _ = writeln!(text, "# {}\n# {} = {default}\n", setting.doc, setting.name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_it_writes_is_a_config() {
        let all = Found {
            prometheus: true,
            alertmanager: true,
            node_exporter: true,
            kubernetes: true,
            journald: true,
        };
        let cases = [("local", Found::default()), ("prod \"eu\" \\ \u{1b}", all)];
        for (environment, used) in cases {
            let answers = Answers {
                environment: environment.to_owned(),
                used,
            };
            let text = text(&answers);
            let (config, warnings) = config::parse(&text, "config.toml").expect(&text);
            assert_eq!(config.environment, environment);
            assert!(warnings.is_empty(), "{warnings:?}");
            let taken = [
                config.sources.scrape.len() == 1,
                config.sources.kubernetes.len() == 1,
                config.alertmanagers.len() == 1,
                config.sources.journald.enabled,
            ];
            assert_eq!(taken, [used == all; 4], "{text}");
            for section in sections() {
                for setting in section.settings {
                    assert!(
                        text.contains(setting.doc),
                        "{}: {}",
                        section.path,
                        setting.name
                    );
                }
            }
        }
    }
}
