//! Documents of JSON to log lines: which field says what is the config's business.
//!
//! A field is found whether its path is written with dots (`{"log.level": …}`), as nested objects
//! (`{"log": {"level": …}}`), or as a mixture. Depth is bounded by the path that is looked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::DocumentFields;
use crate::model::{Labels, LogLevel, LogLine, Time, TraceId};

/// Longest value that becomes a label, in bytes; the rest of a longer one is left out.
const VALUE_BYTES_MAX: usize = 256;

/// Reads documents as a config says.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    fields: DocumentFields,
    /// Labels put on every line.
    own: BTreeMap<String, String>,
}

impl Reader {
    pub(super) fn new(fields: DocumentFields, own: BTreeMap<String, String>) -> Self {
        Self { fields, own }
    }

    /// Labels put on everything.
    pub(super) fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        self.own.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// What a document says of the fields that become labels, the service among them.
    pub(super) fn pairs<'a>(&'a self, document: &Map<String, Value>) -> Vec<(&'a str, String)> {
        let told = |path: &String| field(document, path).and_then(text);
        let service = told(&self.fields.service).map(|value| ("service", value));
        let labels = self.fields.labels.iter();
        let labels = labels.filter_map(|(name, path)| Some((name.as_str(), told(path)?)));
        labels.chain(service).collect()
    }

    /// Every field that is read.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let fields = &self.fields;
        let named = [
            &fields.timestamp,
            &fields.message,
            &fields.level,
            &fields.service,
            &fields.trace,
        ];
        let labels = fields.labels.values();
        named.into_iter().chain(labels).map(String::as_str)
    }

    /// The time a document is of, as its own field says it.
    pub(super) fn time(&self, document: &Map<String, Value>) -> Option<Time> {
        match field(document, &self.fields.timestamp)? {
            Value::String(text) => Time::parse_rfc3339(text),
            Value::Number(number) => number.as_i64().map(Time::from_ms),
            _ => None,
        }
    }

    /// The message of a document, if it has one that says anything.
    pub(super) fn message(&self, document: &Map<String, Value>) -> Option<String> {
        let message = text(field(document, &self.fields.message)?)?;
        let message = message.trim_end();
        (!message.trim().is_empty()).then(|| message.to_owned())
    }

    /// A line of what a document tells besides its message.
    pub(super) fn line(
        &self,
        document: &Map<String, Value>,
        at: Time,
        message: &str,
    ) -> Result<LogLine, String> {
        let fields = &self.fields;
        let told = |path: &String| field(document, path).and_then(text);
        let pairs = self.pairs(document);
        let pairs = pairs.iter().map(|(name, value)| (*name, cut(value)));
        let labels = Labels::from_pairs(pairs.chain(self.own()));
        let labels = labels.map_err(|error| error.to_string())?;
        let trace = told(&fields.trace);
        let trace = trace.and_then(|id| u128::from_str_radix(&id, 16).ok());
        Ok(LogLine {
            at,
            labels,
            level: told(&fields.level).and_then(|word| LogLevel::parse(&word)),
            text: message.into(),
            trace: trace.map(TraceId),
            span: None,
        })
    }
}

/// What is kept of a value that becomes a label.
pub(super) fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_BYTES_MAX)]
}

/// The value behind a path with dots.
pub(super) fn field<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let mut dots = path.match_indices('.').map(|(at, _)| at);
    dots.find_map(|at| {
        let inner = object.get(&path[..at])?.as_object()?;
        field(inner, &path[at + 1..])
    })
}

/// What a value says as text; of a list, its first.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(items) => items.first().filter(|item| !item.is_array()).and_then(text),
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader() -> Reader {
        let fields = DocumentFields {
            labels: BTreeMap::from([("pod".to_owned(), "kubernetes.pod.name".to_owned())]),
            ..DocumentFields::default()
        };
        let own = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        Reader::new(fields, own)
    }

    fn object(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn fields_are_found_nested_or_dotted() {
        let reader = reader();
        let documents = [
            r#"{"@timestamp":"2026-11-20T15:00:00.5Z","message":"out \n","log":{"level":"error"},
                "service":{"name":"cart"},"kubernetes":{"pod.name":"cart-1"},"trace.id":"ff"}"#,
            r#"{"@timestamp":1795186800500,"message":["out"],"log.level":"ERROR","service.name":"cart",
                "kubernetes":{"pod":{"name":"cart-1"}},"trace":{"id":"ff"}}"#,
        ];
        let lines = documents.map(|text| {
            let document = object(text);
            let at = reader.time(&document).unwrap();
            let message = reader.message(&document).unwrap();
            reader.line(&document, at, &message).unwrap()
        });
        let labels = [("env", "prod"), ("pod", "cart-1"), ("service", "cart")];
        assert_eq!(lines[0].labels.iter().collect::<Vec<_>>(), labels);
        assert_eq!(
            (&*lines[0].text, lines[0].level, lines[0].trace),
            ("out", Some(LogLevel::Error), Some(TraceId(255)))
        );
        assert_eq!(lines[0], lines[1]);
    }

    #[test]
    fn what_is_missing_or_odd_is_left_out() {
        let reader = reader();
        let document = object(r#"{"@timestamp":{},"message":"  ","service":{"name":{}},"log":7}"#);
        assert_eq!(reader.time(&document), None);
        assert_eq!(reader.message(&document), None);
        let line = reader.line(&document, Time::ZERO, "x").unwrap();
        assert_eq!((line.labels.get("service"), line.level), (None, None));
    }

    proptest! {
        /// Whatever a document holds: no panic, and labels within their bounds.
        #[test]
        fn any_document_is_read(
            message in ".{0,80}",
            long in "[a-zé]{0,600}",
            odd in r#"(null|7|true|\[\]|\[\[1\]\]|\{\}|"x"|\{"name":"y"\})"#,
            level in ".{0,8}",
        ) {
            let reader = reader();
            let text = format!(
                "{{\"@timestamp\":{odd},\"message\":{},\"service\":{odd},\"log.level\":{},\
                 \"kubernetes.pod.name\":{},\"trace\":{odd}}}",
                Value::from(message), Value::from(level), Value::from(long),
            );
            let document = object(&text);
            let _ = reader.time(&document);
            if let Some(message) = reader.message(&document) {
                let line = reader.line(&document, Time::ZERO, &message).unwrap();
                let is_short = |(_, value): (&str, &str)| value.len() <= VALUE_BYTES_MAX;
                prop_assert!(line.labels.iter().all(is_short));
            }
        }
    }
}
