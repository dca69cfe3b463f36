//! Filters: what is typed after `/`. Words are joined by "and"; each is a substring, `!` inverts it,
//! `~` makes it fuzzy, `key:value` looks in one field only. Case does not matter.

use crate::model::{AlertRow, IncidentRow};

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    invert: bool,
    fuzzy: bool,
    field: Option<String>,
    needle: String,
}

/// Something that can be filtered: a name and a text for each field.
type Fields<'a> = [(&'static str, &'a str)];

impl Filter {
    /// Parses what was typed; anything is valid.
    pub fn parse(text: &str) -> Self {
        Self {
            text: text.trim().to_owned(),
            terms: text.split_whitespace().filter_map(Term::parse).collect(),
        }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it lets everything pass.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether an incident passes.
    pub fn incident(&self, row: &IncidentRow) -> bool {
        if self.is_empty() {
            return true;
        }
        let id = row.id.0.to_string();
        let priority = format!("p{}", row.severity.priority());
        self.matches(&[
            ("id", &id),
            ("service", row.entity.name()),
            ("entity", row.entity.as_str()),
            ("title", &row.title),
            ("owner", row.owner.as_deref().unwrap_or("")),
            ("state", row.phase.as_str()),
            ("severity", row.severity.as_str()),
            ("priority", &priority),
            ("suspect", row.suspect.as_ref().map_or("", |s| s.0.as_str())),
        ])
    }

    /// Whether an alert passes; its labels are fields.
    pub fn alert(&self, row: &AlertRow) -> bool {
        self.terms.iter().all(|term| {
            let named = term
                .field
                .as_deref()
                .and_then(|field| row.labels.get(field));
            if let Some(value) = named {
                return term.found(value) != term.invert;
            }
            let fixed = [
                row.summary.as_ref(),
                row.entity.as_str(),
                row.severity.as_str(),
            ];
            let found = fixed.into_iter().any(|text| term.found(text))
                || row.labels.iter().any(|(_, value)| term.found(value));
            found != term.invert
        })
    }

    /// Whether plain text passes.
    pub fn line(&self, text: &str) -> bool {
        self.matches(&[("text", text)])
    }

    fn matches(&self, fields: &Fields<'_>) -> bool {
        self.terms.iter().all(|term| {
            let found = match &term.field {
                Some(field) if fields.iter().any(|(name, _)| name == field) => fields
                    .iter()
                    .any(|(name, text)| name == field && term.found(text)),
                _ => fields.iter().any(|(_, text)| term.found(text)),
            };
            found != term.invert
        })
    }
}

impl Term {
    fn parse(word: &str) -> Option<Self> {
        let (invert, word) = strip(word, '!');
        let (fuzzy, word) = strip(word, '~');
        let (field, needle) = match word.split_once(':') {
            Some((field, needle)) if !field.is_empty() && !needle.is_empty() => {
                (Some(field.to_lowercase()), needle)
            }
            _ => (None, word),
        };
        (!needle.is_empty()).then(|| Self {
            invert,
            fuzzy,
            field,
            needle: needle.to_lowercase(),
        })
    }

    fn found(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        if self.fuzzy {
            score(&self.needle, &text).is_some()
        } else {
            text.contains(&self.needle)
        }
    }
}

fn strip(word: &str, mark: char) -> (bool, &str) {
    match word.strip_prefix(mark) {
        Some(rest) => (true, rest),
        None => (false, word),
    }
}

/// How well `needle` fits as a subsequence of `text`, both in lower case; lower is better.
/// Gaps cost one each, a late start costs a little.
pub fn score(needle: &str, text: &str) -> Option<usize> {
    let mut cost = 0;
    let mut rest = text.char_indices();
    let mut last: Option<usize> = None;
    for wanted in needle.chars().filter(|c| !c.is_whitespace()) {
        let (at, _) = rest.find(|(_, c)| *c == wanted)?;
        cost += match last {
            Some(last) => at - last - 1,
            None => at,
        };
        last = Some(at);
    }
    Some(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined_by_and() {
        let cases = [
            ("", "anything", true),
            ("pay", "Payments", true),
            ("pay err", "payments ok", false),
            ("!pay", "payments", false),
            ("!pay", "checkout", true),
            ("~pmt", "payments", true),
            ("~tmp", "payments", false),
            ("nofield:x", "nofield x", true),
        ];
        for (filter, text, expected) in cases {
            assert_eq!(Filter::parse(filter).line(text), expected, "{filter}");
        }
    }

    #[test]
    fn closer_fits_score_better() {
        assert!(score("ack", "acknowledge") < score("ack", "a clock"));
        assert_eq!(score("xyz", "acknowledge"), None);
    }
}
