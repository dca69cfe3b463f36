//! Fills a runbook's placeholders: `{name}` inside one argument, never splitting, joining or adding one.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::model::{Change, EntityId, IncidentId, Labels, NOT_MEASURED, Runbook, next_placeholder};

/// Longest value filled in, in bytes: names of things are short, payloads are not.
pub const VALUE_BYTES_MAX: usize = 253;

/// Why a runbook could not be rendered for a target.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RenderError {
    /// Nothing gives the parameter a value.
    #[error(
        "parameter {name:?} has no value: {from} is not known of {target}, and there is no default"
    )]
    NoValue {
        /// The parameter.
        name: String,
        /// Where it should come from.
        from: String,
        /// The target.
        target: EntityId,
    },
    /// The value could be taken for something else than a name.
    #[error("parameter {name:?} would become {value:?}, which {why}: refused")]
    Unsafe {
        /// The parameter.
        name: String,
        /// The value, cut to a bounded length.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The values of a runbook's parameters for one target.
pub struct Values {
    values: BTreeMap<String, String>,
    assumed: Vec<String>,
}

impl Values {
    /// Finds every value. `entity` and `incident` need not be declared.
    pub fn new(
        runbook: &Runbook,
        target: &EntityId,
        incident: IncidentId,
        labels: &Labels,
        change: Option<&Change>,
    ) -> Result<Self, RenderError> {
        let known = |from: &str| -> Option<String> {
            let value = match from {
                "entity" => Some(target.name()),
                "change.version" => change.and_then(|c| c.version.as_deref()),
                "change.previous_version" => change.and_then(|c| c.previous_version.as_deref()),
                "incident" => return Some(incident.0.to_string()),
                label => labels.get(label),
            };
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let (mut values, mut assumed) = (BTreeMap::new(), Vec::new());
        let declared = runbook.parameters.iter();
        let mut sources: BTreeMap<&str, (Option<&str>, Option<&str>)> = declared
            .map(|(name, p)| (name.as_str(), (p.from.as_deref(), p.default.as_deref())))
            .collect();
        for implied in ["entity", "incident"] {
            sources.entry(implied).or_insert((Some(implied), None));
        }
        for (name, (from, default)) in sources {
            // `a|b` takes the first that is known: the same thing has many label names.
            let found = from.and_then(|from| from.split('|').find_map(known));
            let value = match (found, default) {
                (Some(value), _) => {
                    check(name, &value)?;
                    value
                }
                // A default is the author's own text, and no fact about this target.
                (None, Some(default)) => {
                    assumed.extend(from.map(|from| assumption(name, default, from, target)));
                    default.to_owned()
                }
                (None, None) => {
                    return Err(RenderError::NoValue {
                        name: name.to_owned(),
                        from: from.unwrap_or(name).to_owned(),
                        target: target.clone(),
                    });
                }
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Self { values, assumed })
    }

    /// What stands in the plan although nothing is known of it: a sentence a value, in the order of names.
    pub fn assumed(&self) -> &[String] {
        &self.assumed
    }

    /// Fills every argument by itself.
    pub fn argv(&self, argv: &[String]) -> Vec<Box<str>> {
        argv.iter().map(|argument| self.text(argument)).collect()
    }

    /// Fills one text. Values are not looked at again, so a value cannot bring in a placeholder.
    pub fn text(&self, template: &str) -> Box<str> {
        let mut filled = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, name, after)) = next_placeholder(rest) {
            filled.push_str(before);
            if let Some(value) = self.values.get(name) {
                filled.push_str(value);
            } else {
                // `config::runbook` refuses unknown names, so a person wrote this as plain text.
                filled.push('{');
                filled.push_str(name);
                filled.push('}');
            }
            rest = after;
        }
        filled.push_str(rest);
        filled.into_boxed_str()
    }
}

/// Says that a value is the runbook's own, for want of one that is known.
fn assumption(name: &str, default: &str, from: &str, target: &EntityId) -> String {
    let labels: Vec<&str> = from.split('|').collect();
    format!(
        "{NOT_MEASURED}{name} = {default} is written in the runbook, for {} is not known of {target}",
        labels.join(" or ")
    )
}

/// Refuses a value from telemetry that could be more than a name: an option, a list, a quoted or
/// escaped text, a path upwards, something a terminal or a remote shell would interpret.
fn check(name: &str, value: &str) -> Result<(), RenderError> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-:/@+~".contains(c);
    let why = if value.len() > VALUE_BYTES_MAX {
        "is too long"
    } else if value.starts_with('-') {
        "looks like an option"
    } else if !value.chars().all(harmless) {
        "has characters that names do not have"
    } else if value.split('/').any(|part| part == "..") {
        "is a path upwards"
    } else {
        return Ok(());
    };
    Err(RenderError::Unsafe {
        name: name.to_owned(),
        value: value.chars().take(VALUE_BYTES_MAX).collect(),
        why,
    })
}
