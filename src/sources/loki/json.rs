//! Loki's JSON: `{"streams": [{"stream": {labels}, "values": [["<ns>", "line", {metadata}]]}]}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Entry, Taken};
use crate::model::Labels;

/// A push as sent.
#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

/// A stream as sent, and as answered.
#[derive(Deserialize)]
pub(super) struct Stream<'a> {
    #[serde(borrow)]
    pub(super) stream: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Each a list: the time in nanoseconds as a text, the line, and metadata if there is any.
    pub(super) values: Vec<Vec<Value>>,
}

/// Reads a body. The whole request is refused only if it is no push.
pub(super) fn read(body: &[u8], taken: &mut Taken) -> Result<(), String> {
    let push: Push<'_> =
        serde_json::from_slice(body).map_err(|error| format!("not a push: {error}"))?;
    for stream in &push.streams {
        let pairs = stream.stream.iter().map(|(n, v)| (&**n, &**v));
        match Labels::from_pairs(pairs) {
            Ok(labels) => {
                for value in &stream.values {
                    match entry(value) {
                        Ok(entry) => taken.line(&labels, &entry),
                        Err(why) => taken.refuse(why),
                    }
                }
            }
            Err(error) => taken.refuse(&error.to_string()),
        }
        if taken.is_too_much() {
            break;
        }
    }
    Ok(())
}

/// Reads one value of a stream.
pub(super) fn entry(value: &[Value]) -> Result<Entry<'_>, &'static str> {
    let (at_ns, text, metadata) = match value {
        [at_ns, text] => (at_ns, text, None),
        [at_ns, text, metadata] => (at_ns, text, metadata.as_object()),
        _ => return Err("a value is a list of a time, a line and perhaps metadata"),
    };
    let at_ns = at_ns.as_str().and_then(|text| text.parse().ok());
    let metadata = metadata.into_iter().flatten();
    Ok(Entry {
        at_ns: at_ns.ok_or("a time must be nanoseconds as a text")?,
        text: text.as_str().ok_or("a line must be a text")?,
        metadata: metadata
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect(),
    })
}
