//! Runbooks: the shipped ones, and text to a checked [`Runbook`].
//!
//! It never reads a file; whoever does passes the text and the name to blame.

use std::collections::BTreeSet;

use thiserror::Error;
use toml::de::DeTable;

use super::names::unreadable;
use crate::model::{ChangeKind, Runbook, RunbookError, next_placeholder};

/// Longest time a step may take, in seconds: a person waits for it.
const TIMEOUT_S_MAX: u32 = 3_600;
/// Most steps, and most preconditions, of one runbook.
const STEPS_MAX: usize = 20;
/// Most arguments of one action.
const ARGUMENTS_MAX: usize = 64;
/// Longest argument or title, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Longest time to wait for recovery, in seconds.
const RECOVER_S_MAX: u32 = 86_400;
/// Kinds of cause a rule may name, as [`crate::model::SuspectKind::as_str`] spells them.
const CAUSES: [&str; 6] = [
    "change",
    "resource",
    "traffic",
    "instance_loss",
    "dependency",
    "unknown",
];
/// Placeholders that need no parameter.
const IMPLIED: [&str; 2] = ["entity", "incident"];

/// The shipped runbooks: file name and text, as a user would write them.
const SHIPPED: [(&str, &str); 14] = [
    (
        "cancel-long-postgres-queries",
        include_str!("../../assets/runbooks/cancel-long-postgres-queries.toml"),
    ),
    (
        "clean-package-cache",
        include_str!("../../assets/runbooks/clean-package-cache.toml"),
    ),
    (
        "drain-kubernetes-node",
        include_str!("../../assets/runbooks/drain-kubernetes-node.toml"),
    ),
    (
        "pause-systemd-timer",
        include_str!("../../assets/runbooks/pause-systemd-timer.toml"),
    ),
    (
        "raise-pgbouncer-pool",
        include_str!("../../assets/runbooks/raise-pgbouncer-pool.toml"),
    ),
    (
        "raise-redis-memory",
        include_str!("../../assets/runbooks/raise-redis-memory.toml"),
    ),
    (
        "replace-kubernetes-pod",
        include_str!("../../assets/runbooks/replace-kubernetes-pod.toml"),
    ),
    (
        "restart-container",
        include_str!("../../assets/runbooks/restart-container.toml"),
    ),
    (
        "restart-kubernetes-deployment",
        include_str!("../../assets/runbooks/restart-kubernetes-deployment.toml"),
    ),
    (
        "restart-systemd-unit",
        include_str!("../../assets/runbooks/restart-systemd-unit.toml"),
    ),
    (
        "rollback-kubernetes-deployment",
        include_str!("../../assets/runbooks/rollback-kubernetes-deployment.toml"),
    ),
    (
        "scale-kubernetes-deployment",
        include_str!("../../assets/runbooks/scale-kubernetes-deployment.toml"),
    ),
    (
        "switch-postgres-leader",
        include_str!("../../assets/runbooks/switch-postgres-leader.toml"),
    ),
    (
        "vacuum-journal",
        include_str!("../../assets/runbooks/vacuum-journal.toml"),
    ),
];

/// The runbooks of the simulated shop.
const DEMO: [(&str, &str); 8] = [
    (
        "demo/clear-disk",
        include_str!("../../assets/runbooks/demo/clear-disk.toml"),
    ),
    (
        "demo/raise-pool",
        include_str!("../../assets/runbooks/demo/raise-pool.toml"),
    ),
    (
        "demo/replace-node",
        include_str!("../../assets/runbooks/demo/replace-node.toml"),
    ),
    (
        "demo/reroute",
        include_str!("../../assets/runbooks/demo/reroute.toml"),
    ),
    (
        "demo/restart",
        include_str!("../../assets/runbooks/demo/restart.toml"),
    ),
    (
        "demo/rollback",
        include_str!("../../assets/runbooks/demo/rollback.toml"),
    ),
    (
        "demo/scale",
        include_str!("../../assets/runbooks/demo/scale.toml"),
    ),
    (
        "demo/warm-cache",
        include_str!("../../assets/runbooks/demo/warm-cache.toml"),
    ),
];

/// Why a runbook file is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunbookFileError {
    /// It is not the TOML of a runbook.
    #[error("{file}:{line}: {what}")]
    Syntax {
        /// Which file.
        file: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It is one that must not run.
    #[error("{file}: {source}")]
    Invalid {
        /// Which file.
        file: String,
        /// Why not.
        source: RunbookError,
    },
    /// Two files hold a runbook of the same name.
    #[error("{file}: there is already a runbook named {name:?}; names are unique")]
    Duplicate {
        /// Which file.
        file: String,
        /// The name.
        name: String,
    },
}

/// The shipped runbooks, by name.
pub fn shipped_runbooks() -> Vec<Runbook> {
    embedded(&SHIPPED)
}

/// The runbooks of the demo's simulated shop, by name.
pub fn demo_runbooks() -> Vec<Runbook> {
    embedded(&DEMO)
}

/// Reads and checks one runbook; `file` is named in errors.
pub fn parse_runbook(text: &str, file: &str) -> Result<Runbook, RunbookFileError> {
    let runbook: Runbook = toml::from_str(text).map_err(|error| RunbookFileError::Syntax {
        file: file.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        what: error.message().to_owned(),
    })?;
    for (key, told) in [("name", &runbook.name), ("title", &runbook.title)] {
        if let Some(why) = unreadable(told) {
            return Err(RunbookFileError::Syntax {
                file: file.to_owned(),
                line: line_of_key(text, key),
                what: format!("`{key}` {why}"),
            });
        }
    }
    check(&runbook).map_err(|source| RunbookFileError::Invalid {
        file: file.to_owned(),
        source,
    })?;
    Ok(runbook)
}

/// A team's own runbooks added to others: one of the same name replaces the shipped one.
pub fn with_own(
    shipped: Vec<Runbook>,
    own: &[(String, String)],
) -> Result<Vec<Runbook>, RunbookFileError> {
    let mut all = shipped;
    let mut names = BTreeSet::new();
    for (file, text) in own {
        let runbook = parse_runbook(text, file)?;
        if !names.insert(runbook.name.clone()) {
            return Err(RunbookFileError::Duplicate {
                file: file.clone(),
                name: runbook.name,
            });
        }
        all.retain(|other| other.name != runbook.name);
        all.push(runbook);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

fn embedded(files: &[(&str, &str)]) -> Vec<Runbook> {
    let parse = |(file, text): &(&str, &str)| {
        parse_runbook(text, file).expect("the shipped runbooks are parsed by a test")
    };
    files.iter().map(parse).collect()
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

/// The line of a setting at the top level.
fn line_of_key(text: &str, key: &str) -> usize {
    let root = DeTable::parse(text).ok();
    let span = root.and_then(|root| Some(root.get_ref().get_key_value(key)?.0.span()));
    line_of(text, span.map_or(0, |span| span.start))
}

/// What must hold of any runbook before it may be proposed.
fn check(runbook: &Runbook) -> Result<(), RunbookError> {
    if runbook.steps.is_empty() {
        return Err(RunbookError::NoStep(runbook.name.clone()));
    }
    check_bounds(runbook)?;
    check_rules(runbook)?;
    for (title, argv, timeout_s) in actions(runbook) {
        if argv.first().is_none_or(String::is_empty) {
            return Err(RunbookError::NoProgram(
                runbook.name.clone(),
                title.to_owned(),
            ));
        }
        if timeout_s == 0 || timeout_s > TIMEOUT_S_MAX {
            return Err(RunbookError::Timeout {
                runbook: runbook.name.clone(),
                title: title.to_owned(),
                timeout_s,
                timeout_s_max: TIMEOUT_S_MAX,
            });
        }
        // Telemetry may say what a program works on, never which program.
        if let Some(program) = argv.first().filter(|p| next_placeholder(p).is_some()) {
            return Err(RunbookError::ProgramPlaceholder {
                runbook: runbook.name.clone(),
                program: program.clone(),
            });
        }
        for text in argv {
            check_text(runbook, text)?;
        }
        check_text(runbook, title)?;
    }
    check_text(runbook, &runbook.title)
}

/// Counts and times that a plan can bear.
fn check_bounds(runbook: &Runbook) -> Result<(), RunbookError> {
    let arguments = actions(runbook).map(|(_, argv, _)| argv.len()).max();
    let recover_s = runbook.verify.recover_within_s;
    let bounds = [
        ("the number of steps", runbook.steps.len(), STEPS_MAX),
        (
            "the number of preconditions",
            runbook.preconditions.len().max(1),
            STEPS_MAX,
        ),
        (
            "the number of arguments",
            arguments.unwrap_or(1).max(1),
            ARGUMENTS_MAX,
        ),
        (
            "recover_within_s",
            recover_s as usize,
            RECOVER_S_MAX as usize,
        ),
    ];
    match bounds
        .iter()
        .find(|(_, value, max)| *value == 0 || value > max)
    {
        None => Ok(()),
        Some((what, value, max)) => Err(RunbookError::Bound {
            runbook: runbook.name.clone(),
            what: (*what).to_owned(),
            value: *value,
            max: *max,
        }),
    }
}

/// A rule that names a cause or change there is not would never fit, and nobody would know why.
fn check_rules(runbook: &Runbook) -> Result<(), RunbookError> {
    let changes = ChangeKind::ALL.map(ChangeKind::as_str);
    for rule in &runbook.rules {
        let words = [
            ("cause", &rule.cause, &CAUSES[..]),
            ("change", &rule.change, &changes[..]),
        ];
        for (what, word, allowed) in words {
            let Some(word) = word else { continue };
            if !allowed.contains(&word.as_str()) {
                return Err(RunbookError::Word {
                    runbook: runbook.name.clone(),
                    what: what.to_owned(),
                    word: word.clone(),
                    allowed: allowed.join(", "),
                });
            }
        }
    }
    Ok(())
}

/// A text of bearable length without control characters, whose placeholders are known.
fn check_text(runbook: &Runbook, text: &str) -> Result<(), RunbookError> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(RunbookError::Text {
            runbook: runbook.name.clone(),
            text: text.chars().take(60).collect(),
        });
    }
    placeholders_known(runbook, text)
}

/// Every argument vector with its title and timeout.
fn actions(runbook: &Runbook) -> impl Iterator<Item = (&str, &[String], u32)> {
    let checks = runbook
        .preconditions
        .iter()
        .map(|p| (&*p.title, &*p.argv, p.timeout_s));
    let steps = runbook
        .steps
        .iter()
        .map(|s| (&*s.title, &*s.argv, s.timeout_s));
    let undos = runbook.steps.iter().filter_map(|s| {
        s.rollback
            .as_deref()
            .map(|argv| (&*s.title, argv, s.timeout_s))
    });
    let verify = runbook
        .verify
        .argv
        .as_deref()
        .map(|argv| ("verify", argv, 1));
    checks.chain(steps).chain(undos).chain(verify)
}

fn placeholders_known(runbook: &Runbook, text: &str) -> Result<(), RunbookError> {
    let mut rest = text;
    while let Some((_, name, after)) = next_placeholder(rest) {
        if !IMPLIED.contains(&name) && !runbook.parameters.contains_key(name) {
            return Err(RunbookError::Placeholder {
                runbook: runbook.name.clone(),
                placeholder: name.to_owned(),
            });
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "name = 'x'\ntitle = 't'\ndescription = 'd'\nrisk = 'low'\nmatch = []\n";

    #[test]
    fn the_shipped_runbooks_are_valid_and_named_after_their_files() {
        for (file, text) in SHIPPED {
            assert_eq!(parse_runbook(text, file).unwrap().name, file);
        }
        for (file, text) in DEMO {
            assert_eq!(
                parse_runbook(text, file).unwrap().name,
                file.replace('/', "-")
            );
        }
        assert!(shipped_runbooks().len() >= 8);
        assert!(demo_runbooks().is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let step = |argv: &str| {
            format!(
                "{MINIMAL}verify = {{ recover_within_s = 9 }}\n[[steps]]\ntitle = 's'\nargv = {argv}\n"
            )
        };
        let cases = [
            (
                format!("{MINIMAL}steps = []\nverify = {{ recover_within_s = 9 }}\n"),
                "f: runbook \"x\" has no step",
            ),
            (step("[]"), "f: runbook \"x\": \"s\" has no program to run"),
            (
                step("['echo', '{nobody}']"),
                "f: runbook \"x\": placeholder {nobody} names no parameter",
            ),
            (
                step("['{entity}']"),
                "f: runbook \"x\": the program {entity} may not come from a placeholder",
            ),
            (
                step("['echo', \"\\u001b\"]"),
                "f: runbook \"x\": \"\\u{1b}\" is too long or has control characters",
            ),
            (
                step("['echo']").replace("match = []", "match = [{ cause = 'deploy' }]"),
                "f: runbook \"x\": cause \"deploy\" is none of change, resource, traffic, \
                 instance_loss, dependency, unknown",
            ),
            (
                step("['echo']").replace("= 9", "= 0"),
                "f: runbook \"x\": recover_within_s is 0, must be 1 to 86400",
            ),
            (
                step("['echo']\ntimeout_s = 0"),
                "f: runbook \"x\": \"s\" may take 0 s; it must be 1 to 3600",
            ),
            (
                step("['echo']").replace("name = 'x'", "name = ''"),
                "f:1: `name` is \"\", and a name is needed",
            ),
            (
                step("['echo']").replace("title = 't'", "title = ' \u{3000}'"),
                "f:2: `title` is blank: give it a name",
            ),
            (
                step("['echo']").replace("name = 'x'", "name = 'x '"),
                "f:1: `name` begins or ends with a blank",
            ),
            (
                format!("{MINIMAL}stepz = []\n"),
                "f:6: unknown field `stepz`",
            ),
        ];
        for (text, message) in cases {
            let said = parse_runbook(&text, "f").unwrap_err().to_string();
            assert!(
                said.starts_with(message),
                "{said:?} should start with {message:?}"
            );
        }
    }

    #[test]
    fn a_team_may_replace_a_shipped_runbook_but_not_name_two_alike() {
        let own = |name: &str| {
            let text = MINIMAL.replace("'x'", &format!("'{name}'"))
                + "verify = { recover_within_s = 9 }\n[[steps]]\ntitle = 's'\nargv = ['true']\n";
            (format!("{name}.toml"), text)
        };
        let all = with_own(shipped_runbooks(), &[own("vacuum-journal"), own("ours")]).unwrap();
        assert_eq!(all.len(), SHIPPED.len() + 1);
        let replaced = all.iter().find(|r| r.name == "vacuum-journal").unwrap();
        assert_eq!(replaced.title, "t");
        let twice = with_own(Vec::new(), &[own("ours"), own("ours")]);
        let expected = RunbookFileError::Duplicate {
            file: "ours.toml".to_owned(),
            name: "ours".to_owned(),
        };
        assert_eq!(twice, Err(expected));
    }
}
