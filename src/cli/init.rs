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
    scrape_node_exporter: bool,
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
    print(&format!("\nWrote {}.\n{}", path.display(), next(found)))
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
            scrape_node_exporter: found.node_exporter,
        }
    }

    fn ask(found: Found) -> Result<Self, Failure> {
        let proposed = Self::without_asking(found);
        let environment = ask(
            "What is watched? A name such as prod-eu",
            &proposed.environment,
        )?;
        let scrape_node_exporter = found.node_exporter
            && ask("Scrape node_exporter? yes or no", "yes")?.starts_with(['y', 'Y']);
        Ok(Self {
            environment,
            scrape_node_exporter,
        })
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

/// What to tell the senders that were found.
fn next(found: Found) -> String {
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
    if found.kubernetes {
        text.push_str(
            "Runbooks that use kubectl run with the kubeconfig of whoever runs the daemon.\n",
        );
    }
    if found.journald {
        text.push_str(
            "For the journal: forward it by syslog (`sources.syslog.udp`), or follow files (`[[sources.tail]]`).\n",
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
        if section.path == "sources.scrape[]" && answers.scrape_node_exporter {
            text.push_str("[[sources.scrape]]\njob = \"node\"\ntargets = [\"127.0.0.1:9100\"]\n\n");
        }
        for setting in section.settings {
            if section.path.is_empty() && setting.name == "environment" {
                let value = toml::Value::String(answers.environment.clone());
                let _ = writeln!(text, "# {}\n{} = {value}\n", setting.doc, setting.name);
            } else {
                commented(&mut text, setting);
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
        let cases = [("local", false), ("prod \"eu\" \\ \u{1b}", true)];
        for (environment, scrape_node_exporter) in cases {
            let answers = Answers {
                environment: environment.to_owned(),
                scrape_node_exporter,
            };
            let text = text(&answers);
            let (config, warnings) = config::parse(&text, "config.toml").expect(&text);
            assert_eq!(config.environment, environment);
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(
                config.sources.scrape.len(),
                usize::from(scrape_node_exporter)
            );
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
