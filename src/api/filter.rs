//! Filters: what is typed after `/` in the console, given to `list --filter`, and asked as `q` of the API.
//! Words are joined by "and"; each is a substring, `!` inverts it, `~` makes it fuzzy, `key:value` looks in one
//! field only. Case does not matter.

use crate::model::{AlertRow, EntityId, IncidentRow, SourceRow};

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

    /// Whether an incident passes: by what its row tells, or by any entity the row names.
    pub fn incident(&self, row: &IncidentRow) -> bool {
        self.incident_of(row, &row.members.iter())
    }

    /// Whether an incident of these members passes, of which its row names the first only.
    pub fn incident_of<'a>(
        &self,
        row: &IncidentRow,
        members: &(impl Iterator<Item = &'a EntityId> + Clone),
    ) -> bool {
        if self.is_empty() {
            return true;
        }
        let id = row.id.0.to_string();
        let priority = format!("p{}", row.severity.priority());
        let fields: &Fields<'_> = &[
            ("id", &id),
            ("service", row.entity.name()),
            ("entity", row.entity.as_str()),
            ("title", &row.title),
            ("owner", row.owner.as_deref().unwrap_or("")),
            ("state", row.phase.as_str()),
            ("severity", row.severity.as_str()),
            ("priority", &priority),
            ("suspect", row.suspect.as_ref().map_or("", |s| s.0.as_str())),
        ];
        self.terms.iter().all(|term| {
            let found = term.found_in(fields) || term.found_among(members.clone(), fields);
            found != term.invert
        })
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

    /// Whether a source passes, `state` being the word that is shown for its health.
    pub fn source(&self, row: &SourceRow, state: &str) -> bool {
        self.matches(&[
            ("source", &row.name),
            ("state", state),
            ("where", &row.detail),
        ])
    }

    /// Whether something told of an entity passes: a metric, log lines, an entry of a timeline.
    pub fn told(&self, entity: Option<&EntityId>, text: &str) -> bool {
        let (name, whole) = entity.map_or(("", ""), |of| (of.name(), of.as_str()));
        self.matches(&[("service", name), ("entity", whole), ("text", text)])
    }

    fn matches(&self, fields: &Fields<'_>) -> bool {
        let passes = |term: &Term| term.found_in(fields) != term.invert;
        self.terms.iter().all(passes)
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

    /// Whether it is found in the field it names, or in any when it names none that is there.
    fn found_in(&self, fields: &Fields<'_>) -> bool {
        match &self.field {
            Some(field) if fields.iter().any(|(name, _)| name == field) => fields
                .iter()
                .any(|(name, text)| name == field && self.found(text)),
            _ => fields.iter().any(|(_, text)| self.found(text)),
        }
    }

    /// Whether it is found among an incident's members; a term that names another field asks nothing of them.
    fn found_among<'a>(
        &self,
        mut members: impl Iterator<Item = &'a EntityId>,
        fields: &Fields<'_>,
    ) -> bool {
        match self.field.as_deref() {
            Some("service") => members.any(|member| self.found(member.name())),
            Some(other) if other != "entity" && fields.iter().any(|(name, _)| *name == other) => {
                false
            }
            _ => members.any(|member| self.found(member.as_str())),
        }
    }

    fn found(&self, text: &str) -> bool {
        if self.fuzzy {
            score(&self.needle, &text.to_lowercase()).is_some()
        } else if text.is_ascii() {
            // Thousands of rows are looked through while somebody types: nothing is copied for that.
            let (text, needle) = (text.as_bytes(), self.needle.as_bytes());
            let mut parts = text.windows(needle.len());
            parts.any(|part| part.eq_ignore_ascii_case(needle))
        } else {
            text.to_lowercase().contains(&self.needle)
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
            assert_eq!(Filter::parse(filter).told(None, text), expected, "{filter}");
        }
    }

    #[test]
    fn what_is_told_of_an_entity_is_found_by_both() {
        let cart = EntityId::parse("service/cart");
        let cases = [
            ("cart", true),
            ("pool", true),
            ("service:cart pool", true),
            ("service:pool", false),
            ("text:cart", false),
            ("metric:pool", true),
            // Neither may have it.
            ("!pool", false),
            ("!cart", false),
            ("!shop", true),
        ];
        for (filter, passes) in cases {
            let filter = Filter::parse(filter);
            assert_eq!(
                filter.told(Some(&cart), "pool in use"),
                passes,
                "{filter:?}"
            );
        }
        assert!(!Filter::parse("service:cart").told(None, "cart"));
    }

    /// An incident is found by any entity it touches, not only by the one it is named for.
    #[test]
    fn an_incident_is_found_by_each_of_its_entities() {
        let mut row: IncidentRow = serde_json::from_value(serde_json::json!({
            "id": 7, "revision": 1, "phase": "open", "severity": "error", "entity": "service/web",
            "title": "errors 3%", "began": 0, "updated": 0,
            "owner": null, "suspect": null, "entities": 3, "alerts": 0, "findings": 2, "plan": null,
        }))
        .unwrap();
        row.members = ["service/web", "service/Cart", "host/node-3"]
            .map(EntityId::parse)
            .into();
        let cases = [
            ("cart", true),
            ("service:cart", true),
            ("SERVICE:cart", true),
            ("entity:host/node", true),
            ("service:node-3 web", true),
            ("~crt", true),
            ("title:cart", false),
            ("owner:cart", false),
            ("!cart", false),
            ("!service:shop", true),
            ("cart shop", false),
            ("nofield:cart", true),
        ];
        for (filter, passes) in cases {
            assert_eq!(Filter::parse(filter).incident(&row), passes, "{filter}");
        }
        // What the row has no room for is found by whoever knows all members.
        let members = [EntityId::parse("service/shop")];
        let shop = Filter::parse("service:shop");
        assert!(!shop.incident(&row));
        assert!(shop.incident_of(&row, &members.iter()));
    }

    #[test]
    fn closer_fits_score_better() {
        assert!(score("ack", "acknowledge") < score("ack", "a clock"));
        assert_eq!(score("xyz", "acknowledge"), None);
    }
}
