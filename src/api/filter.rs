//! Filters: what is typed after `/` in the console, given to `list --filter`, and asked as `q` of the API.
//! Words are joined by "and"; each is a substring, `!` inverts it, `~` makes it fuzzy, `key:value` looks in one
//! field only. Case does not matter. A word that names no field there is stands for itself, colon and all, as an
//! address with a port does; [`Filter::advice`] says so.

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
    /// The field it names, and what is looked for there.
    named: Option<(String, String)>,
    /// All of it, for when there is no such field.
    whole: String,
}

/// Fields of an incident.
pub const INCIDENT_FIELDS: [&str; 9] = [
    "id", "service", "entity", "title", "owner", "state", "severity", "priority", "suspect",
];
/// Fields of every alert; its labels are fields as well.
pub const ALERT_FIELDS: [&str; 6] = ["alert", "service", "entity", "state", "severity", "summary"];
/// Fields of a source.
pub const SOURCE_FIELDS: [&str; 3] = ["source", "state", "where"];
/// Fields of what is told of an entity.
pub const TOLD_FIELDS: [&str; 3] = ["service", "entity", "text"];
/// Label that names an alert.
const ALERT_NAME: &str = "alertname";
/// A field and one that is typed for it differ by less than this, from 0, alike, to 1.
const UNLIKE: f64 = 0.5;

/// Something that can be filtered: a name and a text for each field.
type Fields<'a> = [(&'a str, &'a str)];

/// Texts with the names of their fields.
fn named<'a, const N: usize>(names: [&'a str; N], texts: [&'a str; N]) -> [(&'a str, &'a str); N] {
    std::array::from_fn(|at| (names[at], texts[at]))
}

/// Whether it may be meant for the name of a field, as no address or time of day is.
fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.".contains(c))
}

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

    /// What to say of the first field named that is none of `fields`: the one it is most like, and all there are.
    pub fn advice(&self, fields: &[&str]) -> Option<String> {
        let mut named = self.terms.iter().filter_map(|term| term.named.as_ref());
        let (wrong, _) = named.find(|(name, _)| is_word(name) && !fields.contains(&&**name))?;
        let like = |field: &str| 1.0 - strsim::normalized_damerau_levenshtein(field, wrong);
        let nearest = fields.iter().min_by(|a, b| like(a).total_cmp(&like(b)));
        let nearest = nearest.filter(|field| like(field) < UNLIKE);
        let nearest = nearest.map_or_else(String::new, |field| format!(", perhaps {field}"));
        let fields = fields.join(" ");
        Some(format!("no field {wrong}{nearest}; fields: {fields}"))
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
        let texts = [
            id.as_str(),
            row.entity.name(),
            row.entity.as_str(),
            &row.title,
            row.owner.as_deref().unwrap_or(""),
            row.phase.as_str(),
            row.severity.as_str(),
            &priority,
            row.suspect.as_ref().map_or("", |s| s.0.as_str()),
        ];
        let fields: &Fields<'_> = &named(INCIDENT_FIELDS, texts);
        self.terms.iter().all(|term| {
            let found = term.found_in(fields) || term.found_among(members.clone(), fields);
            found != term.invert
        })
    }

    /// Whether an alert passes.
    pub fn alert(&self, row: &AlertRow) -> bool {
        if self.is_empty() {
            return true;
        }
        let texts = [
            row.labels.get(ALERT_NAME).unwrap_or(""),
            row.entity.name(),
            row.entity.as_str(),
            row.state(),
            row.severity.as_str(),
            &row.summary,
        ];
        // A label may have the name of a field: `severity` is both a rank of ours and a word of theirs.
        let mut fields = named(ALERT_FIELDS, texts).to_vec();
        fields.extend(row.labels.iter());
        self.matches(&fields)
    }

    /// Whether a source passes, `state` being the word that is shown for its health.
    pub fn source(&self, row: &SourceRow, state: &str) -> bool {
        self.matches(&named(SOURCE_FIELDS, [&row.name, state, &row.detail]))
    }

    /// Whether something told of an entity passes: a metric, log lines, an entry of a timeline.
    pub fn told(&self, entity: Option<&EntityId>, text: &str) -> bool {
        let (name, whole) = entity.map_or(("", ""), |of| (of.name(), of.as_str()));
        self.matches(&named(TOLD_FIELDS, [name, whole, text]))
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
        let whole = word.to_lowercase();
        let named = whole.split_once(':');
        let named = named.filter(|(field, needle)| !field.is_empty() && !needle.is_empty());
        let named = named.map(|(field, needle)| (field.to_owned(), needle.to_owned()));
        (!whole.is_empty()).then_some(Self {
            invert,
            fuzzy,
            named,
            whole,
        })
    }

    /// The field it names, if there is such a one, and what is looked for.
    fn aim(&self, fields: &Fields<'_>) -> (Option<&str>, &str) {
        let is_known = |field: &str| fields.iter().any(|(name, _)| *name == field);
        match &self.named {
            Some((field, needle)) if is_known(field) => (Some(field), needle),
            _ => (None, &self.whole),
        }
    }

    /// Whether it is found in the field it names, or in any when it names none that is there.
    fn found_in(&self, fields: &Fields<'_>) -> bool {
        let (field, needle) = self.aim(fields);
        let is_asked = |name: &str| field.is_none_or(|field| field == name);
        let mut asked = fields.iter().filter(|(name, _)| is_asked(name));
        asked.any(|(_, text)| self.found(needle, text))
    }

    /// Whether it is found among an incident's members; a term that names another field asks nothing of them.
    fn found_among<'a>(
        &self,
        mut members: impl Iterator<Item = &'a EntityId>,
        fields: &Fields<'_>,
    ) -> bool {
        match self.aim(fields) {
            (Some("service"), needle) => members.any(|member| self.found(needle, member.name())),
            (Some("entity") | None, needle) => {
                members.any(|member| self.found(needle, member.as_str()))
            }
            (Some(_), _) => false,
        }
    }

    fn found(&self, needle: &str, text: &str) -> bool {
        if self.fuzzy {
            score(needle, &text.to_lowercase()).is_some()
        } else if text.is_ascii() {
            // Thousands of rows are looked through while somebody types: nothing is copied for that.
            let (text, needle) = (text.as_bytes(), needle.as_bytes());
            let mut parts = text.windows(needle.len());
            parts.any(|part| part.eq_ignore_ascii_case(needle))
        } else {
            text.to_lowercase().contains(needle)
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
            // A field that is none is no reason to look for half of what was typed.
            ("nofield:x", "nofield x", false),
            ("!nofield:x", "nofield x", true),
            ("10.0.0.1:8080", "dial 10.0.0.1:8080 refused", true),
            ("10.0.0.1:80", "port 80", false),
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
            ("metric:pool", false),
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
            ("srevice:cart", false),
            ("title:errors service:cart", true),
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
    fn a_field_that_is_none_is_told_with_the_one_it_is_like() {
        let cases = [
            ("service:cart owner:mia checkout", None),
            ("10.0.0.1:8080 12:04 {a:b}", None),
            (
                "!~srevice:checkout",
                Some("no field srevice, perhaps service; "),
            ),
            ("service:a onwer:b", Some("no field onwer, perhaps owner; ")),
            (
                "xyzzy:a",
                Some("no field xyzzy; fields: id service entity "),
            ),
        ];
        for (filter, begins) in cases {
            let told = Filter::parse(filter).advice(&INCIDENT_FIELDS);
            let as_said = match (&told, begins) {
                (Some(told), Some(begins)) => told.starts_with(begins),
                (told, begins) => told.is_none() && begins.is_none(),
            };
            assert!(as_said, "{filter}: {told:?}");
        }
    }

    #[test]
    fn an_alert_is_found_by_what_it_shows_and_by_its_labels() {
        let row: AlertRow = serde_json::from_value(serde_json::json!({
            "fingerprint": "00000000000000aa", "labels": {"alertname": "SlowCart", "severity": "page",
            "instance": "10.0.0.1:8080"}, "summary": "p99 is 3 s", "entity": "service/cart",
            "severity": "critical", "starts_at": 0, "ends_at": 0, "firing": true, "incident": null,
        }))
        .unwrap();
        let cases = [
            ("alert:slow", true),
            ("service:cart", true),
            ("state:fires", true),
            ("state:held", false),
            ("severity:page", true),
            ("severity:critical", true),
            ("instance:10.0", true),
            ("10.0.0.1:8080", true),
            ("summary:cart", false),
            ("team:cart", false),
            ("!team:cart", true),
        ];
        for (filter, passes) in cases {
            assert_eq!(Filter::parse(filter).alert(&row), passes, "{filter}");
        }
    }

    #[test]
    fn closer_fits_score_better() {
        assert!(score("ack", "acknowledge") < score("ack", "a clock"));
        assert_eq!(score("xyz", "acknowledge"), None);
    }
}
