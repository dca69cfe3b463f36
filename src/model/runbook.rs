//! Runbooks: fixes a team has written down, before they are rendered for an incident.
//!
//! `config` reads them from TOML; `engine::propose` matches and renders them. Placeholders are
//! `{name}` inside one argument and never split or join arguments: there is no shell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{EntityKind, ExecutorKind, MetricRole, Risk};

/// A runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runbook {
    /// Unique name, kebab-case.
    pub name: String,
    /// What it does, one line; may hold placeholders.
    pub title: String,
    /// What it is for and what may go wrong, for the person who approves.
    pub description: String,
    /// How dangerous it is.
    pub risk: Risk,
    /// People who must approve it, when policy asks for fewer.
    #[serde(default)]
    pub approvals: Option<u32>,
    /// Fits if any rule fits.
    #[serde(rename = "match", default)]
    pub rules: Vec<MatchRule>,
    /// Values to fill in.
    #[serde(default)]
    pub parameters: BTreeMap<String, RunbookParameter>,
    /// Must all succeed before the first step.
    #[serde(default)]
    pub preconditions: Vec<Precondition>,
    /// Steps, in order; at least one.
    pub steps: Vec<RunbookStep>,
    /// How to see whether it helped.
    pub verify: VerifyRule,
}

/// When a runbook fits a suspect: every field given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchRule {
    /// Kind of cause: `change`, `resource`, `traffic`, `instance_loss`, `dependency`, `unknown`.
    pub cause: Option<String>,
    /// Kind of change, when the cause is one: `deploy`, `config`, …
    pub change: Option<String>,
    /// A part of the metric's or log template's name that must occur in the evidence, any of these.
    pub subject: Vec<String>,
    /// Role of the metric in evidence.
    pub role: Option<MetricRole>,
    /// Kind of entity.
    pub entity: Option<EntityKind>,
    /// Entity labels that must be present with this value (`*` any).
    pub labels: BTreeMap<String, String>,
}

impl Runbook {
    /// Names of entity labels that its rules or its parameters ask for.
    pub fn labels_asked(&self) -> impl Iterator<Item = &str> {
        let of_rules = self.rules.iter().flat_map(|rule| rule.labels.keys());
        let from = self.parameters.values().filter_map(|p| p.from.as_deref());
        // Words that are no labels ask for ones nobody sends.
        of_rules
            .map(String::as_str)
            .chain(from.flat_map(|from| from.split('|')))
    }
}

/// A value a runbook needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunbookParameter {
    /// Where it comes from: an entity label's name, or one of `entity`, `change.version`,
    /// `change.previous_version`, `incident`. `a|b` takes the first that is known.
    pub from: Option<String>,
    /// Used when `from` gives nothing.
    pub default: Option<String>,
}

/// A check before the first step; exit code 0 is a yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precondition {
    /// What must hold, in words.
    pub title: String,
    /// Program and arguments, may hold placeholders.
    pub argv: Vec<String>,
    /// In seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u32,
}

/// One step, with its undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunbookStep {
    /// What it does, in words.
    pub title: String,
    /// Who performs it.
    #[serde(default = "default_executor")]
    pub executor: ExecutorKind,
    /// Program and arguments, may hold placeholders.
    pub argv: Vec<String>,
    /// In seconds.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u32,
    /// Program and arguments that undo it; absent when it has no undo. It also runs after the step
    /// failed or timed out, so it must be harmless when the step did nothing or only half its work.
    pub rollback: Option<Vec<String>>,
}

/// How to see whether it helped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRule {
    /// The incident's signals must be back to normal within this long, in seconds.
    pub recover_within_s: u32,
    /// A check to run as well: program and arguments, exit code 0 is success.
    pub argv: Option<Vec<String>>,
}

/// Why a runbook is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunbookError {
    /// It has no step.
    #[error("runbook {0:?} has no step")]
    NoStep(String),
    /// A step or check has an empty argument vector.
    #[error("runbook {0:?}: {1:?} has no program to run")]
    NoProgram(String, String),
    /// Telemetry would choose the program.
    #[error("runbook {runbook:?}: the program {program} may not come from a placeholder")]
    ProgramPlaceholder {
        /// The runbook.
        runbook: String,
        /// The program as written.
        program: String,
    },
    /// A rule names a cause or change that there is not.
    #[error("runbook {runbook:?}: {what} {word:?} is none of {allowed}")]
    Word {
        /// The runbook.
        runbook: String,
        /// The field.
        what: String,
        /// What it says.
        word: String,
        /// What it may say.
        allowed: String,
    },
    /// A number or count is out of bounds.
    #[error("runbook {runbook:?}: {what} is {value}, must be 1 to {max}")]
    Bound {
        /// The runbook.
        runbook: String,
        /// The field.
        what: String,
        /// What it is.
        value: usize,
        /// What it may be.
        max: usize,
    },
    /// A text is too long or not printable.
    #[error("runbook {runbook:?}: {text:?} is too long or has control characters")]
    Text {
        /// The runbook.
        runbook: String,
        /// Its beginning.
        text: String,
    },
    /// A placeholder names no parameter.
    #[error("runbook {runbook:?}: placeholder {{{placeholder}}} names no parameter")]
    Placeholder {
        /// The runbook.
        runbook: String,
        /// The placeholder.
        placeholder: String,
    },
    /// A timeout is out of bounds.
    #[error(
        "runbook {runbook:?}: {title:?} may take {timeout_s} s; it must be 1 to {timeout_s_max}"
    )]
    Timeout {
        /// The runbook.
        runbook: String,
        /// The step or check.
        title: String,
        /// What it says.
        timeout_s: u32,
        /// The most it may say.
        timeout_s_max: u32,
    },
}

/// The first placeholder of a text: what is before it, its name, what is after it. Only a lower-case
/// identifier in braces is one, so `{.spec.replicas}`, `{{.State}}` and JSON stay as they are.
pub fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut searched = 0;
    while let Some(open) = text[searched..].find('{').map(|at| searched + at) {
        let name_at = open + 1;
        let name_len = text[name_at..]
            .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(text.len() - name_at);
        let (name, after) = text[name_at..].split_at(name_len);
        let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
        if let Some(after) = after.strip_prefix('}').filter(|_| begins_well) {
            return Some((&text[..open], name, after));
        }
        searched = name_at;
    }
    None
}

fn default_timeout_s() -> u32 {
    60
}

fn default_executor() -> ExecutorKind {
    ExecutorKind::Command
}
