//! Filters over labels, written as Alertmanager writes matchers: `alertname="HighLatency"`, `instance=~"web-.*"`.
//!
//! A regular expression matches the whole value, and its memory is bounded. A label that is absent has
//! the empty value. On the wire a filter is the text that people write.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Labels;
use super::mask::mask_label;

/// Most memory of a compiled regular expression, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Longest matcher read, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Operators, those of two characters first.
const OPERATORS: [(&str, FilterSign); 4] = [
    ("=~", FilterSign::Like),
    ("!~", FilterSign::Unlike),
    ("!=", FilterSign::Differs),
    ("=", FilterSign::Is),
];

/// One condition on one label.
#[derive(Clone, Debug)]
pub struct LabelFilter {
    /// The label.
    pub name: String,
    /// How it is compared.
    pub operator: FilterSign,
    /// With what: a text, or a regular expression.
    pub value: String,
    /// The same as labels have it, where it is a secret.
    masked: Option<Box<str>>,
    regex: Option<Regex>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterSign {
    /// `=`
    Is,
    /// `!=`
    Differs,
    /// `=~`, the whole value.
    Like,
    /// `!~`
    Unlike,
}

impl LabelFilter {
    /// Makes a matcher; on an error, what is wrong with it.
    pub fn new(name: &str, operator: FilterSign, value: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a matcher names no label".to_owned());
        }
        let regex = match operator {
            FilterSign::Is | FilterSign::Differs => None,
            FilterSign::Like | FilterSign::Unlike => {
                let build = |pattern: &str| {
                    let regex = RegexBuilder::new(pattern)
                        .size_limit(REGEX_BYTES_MAX)
                        .build();
                    regex.map_err(|error| format!("{value:?} is no regular expression: {error}"))
                };
                // By itself first: what is wrong is told of what was written, and no bracket of it closes one of ours.
                build(value)?;
                Some(build(&format!("^(?s:{value})$"))?)
            }
        };
        let masked = mask_label(name, value);
        Ok(Self {
            name: name.to_owned(),
            operator,
            value: value.to_owned(),
            masked: (*masked != *value).then(|| masked.into()),
            regex,
        })
    }

    /// Reads one or more: `a="b"`, or `{a="b", c!~"d.*"}`. Quotes may be left out.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a matcher is longer than {TEXT_BYTES_MAX} bytes"));
        }
        let text = text.trim();
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let mut rest = inside.unwrap_or(text).trim();
        let mut matchers = Vec::new();
        while !rest.is_empty() {
            let (matcher, after) = Self::parse_one(rest)?;
            matchers.push(matcher);
            rest = after.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(rest) => rest.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(format!("{rest:?} stands where a comma should")),
            };
        }
        Ok(matchers)
    }

    /// Reads one, and gives what follows it.
    fn parse_one(text: &str) -> Result<(Self, &str), String> {
        let at = text.find(['=', '!']);
        let at = at.ok_or_else(|| format!("{text:?} is no matcher: it has no = or !="))?;
        let (name, rest) = text.split_at(at);
        let found = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)));
        let (operator, rest) = found.ok_or_else(|| format!("{text:?} is no matcher"))?;
        let (value, after) = value(rest.trim_start())?;
        Ok((Self::new(name.trim(), operator, &value)?, after))
    }

    /// Whether labels fit.
    pub fn fits(&self, labels: &Labels) -> bool {
        self.fits_value(labels.get(&self.name).unwrap_or_default())
    }

    /// Whether it fits labels that do not have its own: one that does narrows nothing down.
    pub fn fits_nothing_said(&self) -> bool {
        self.fits_value("")
    }

    fn fits_value(&self, value: &str) -> bool {
        let is_like = || {
            self.regex
                .as_ref()
                .is_some_and(|regex| regex.is_match(value))
        };
        let is_it = || value == self.value || self.masked.as_deref() == Some(value);
        match self.operator {
            FilterSign::Is => is_it(),
            FilterSign::Differs => !is_it(),
            FilterSign::Like => is_like(),
            FilterSign::Unlike => !is_like(),
        }
    }
}

/// A value in quotes, or up to the next comma.
fn value(text: &str) -> Result<(String, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return Ok((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => match characters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => value.push(escaped),
                // A backslash of a regular expression.
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("a value in quotes has no end".to_owned())
}

impl PartialEq for LabelFilter {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.operator, &self.value) == (&other.name, other.operator, &other.value)
    }
}

impl Eq for LabelFilter {}

impl Serialize for LabelFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LabelFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut read = Self::parse_all(&text).map_err(D::Error::custom)?;
        match (read.pop(), read.is_empty()) {
            (Some(one), true) => Ok(one),
            _ => Err(D::Error::custom(format!("{text:?} is not one matcher"))),
        }
    }
}

impl fmt::Display for LabelFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = OPERATORS
            .iter()
            .find(|(_, operator)| *operator == self.operator);
        let sign = sign.map_or("=", |(sign, _)| sign);
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{}{sign}\"{}\"", self.name, value.replace('\n', "\\n"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_found_by_whoever_knows_it() {
        let masked = mask_label("token", "blue");
        let labels = Labels::from_pairs([("token", &*masked)]).unwrap();
        let fits = |text: &str| LabelFilter::parse_all(text).unwrap()[0].fits(&labels);
        let told = format!("token=\"{masked}\"");
        let found = ["token=blue", "token!=green", &told].map(fits);
        let missed = ["token!=blue", "token=green"].map(fits);
        assert_eq!((found, missed), ([true; 3], [false; 2]));
    }

    #[test]
    fn matchers_are_read_as_alertmanager_writes_them() {
        let labels = [
            ("alertname", "HighLatency"),
            ("instance", "web-1"),
            ("path", "a,\"b\"\\"),
        ];
        let labels = Labels::from_pairs(labels).unwrap();
        let cases = [
            (r#"alertname="HighLatency""#, true),
            ("alertname=HighLatency", true),
            (r#"alertname!="HighLatency""#, false),
            (r#"instance=~"web-.*""#, true),
            (r#"instance=~"web""#, false),
            (r#"instance=~"web-\d""#, true),
            (r#"instance!~"db-.*""#, true),
            (r#"absent="""#, true),
            (r#"absent=~".+""#, false),
            (
                r#"{alertname="HighLatency", instance=~"web-1|web-2",}"#,
                true,
            ),
            (r#"{alertname="HighLatency",instance="db-1"}"#, false),
            (r#"path="a,\"b\"\\""#, true),
            ("{}", true),
        ];
        for (text, fits) in cases {
            let matchers = LabelFilter::parse_all(text).unwrap();
            assert_eq!(matchers.iter().all(|m| m.fits(&labels)), fits, "{text}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_named() {
        let cases = [
            (
                "HighLatency",
                "\"HighLatency\" is no matcher: it has no = or !=",
            ),
            ("a!b", "\"a!b\" is no matcher"),
            ("=\"b\"", "a matcher names no label"),
            ("a=\"b", "a value in quotes has no end"),
            (
                "a=\"b\" c=\"d\"",
                "\"c=\\\"d\\\"\" stands where a comma should",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(LabelFilter::parse_all(text), Err(why.to_owned()), "{text}");
        }
        let bad = LabelFilter::parse_all("a=~\"(\"").unwrap_err();
        assert!(bad.starts_with("\"(\" is no regular expression"), "{bad}");
        assert!(
            LabelFilter::parse_all("a=~\"(x{1000}){1000}\"").is_err(),
            "bounded"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(name in "[a-z_]{1,9}", value in "\\PC{0,20}|[\\\\\"\n,{}=]{0,9}") {
            let matcher = LabelFilter::new(&name, FilterSign::Is, &value).unwrap();
            prop_assert_eq!(LabelFilter::parse_all(&matcher.to_string()), Ok(vec![matcher]));
        }

        #[test]
        fn what_is_sent_is_received(sign in 0..4_usize, value in "[a-z.*+|\\\\d\"]{0,12}") {
            let sign = OPERATORS[sign].1;
            if let Ok(matcher) = LabelFilter::new("a", sign, &value) {
                let json = serde_json::to_string(&matcher).unwrap();
                prop_assert_eq!(serde_json::from_str::<LabelFilter>(&json).unwrap(), matcher);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC|[\"{}=~!\\\\,]){0,60}") {
            let _ = LabelFilter::parse_all(&text);
        }
    }
}
