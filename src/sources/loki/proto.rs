//! Loki's protobuf, `logproto.PushRequest`.

use super::{Entry, Taken};
use crate::model::{FilterSign, LabelFilter, Labels, LabelsBuilder};
use crate::sources::wire::{Fields, Value, WireError};

/// Reads a push: streams (1).
pub(super) fn read(message: &[u8], taken: &mut Taken) -> Result<(), WireError> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            stream(value, taken)?;
        }
        if taken.is_too_much() {
            break;
        }
    }
    Ok(())
}

/// Reads a stream: labels as text (1), then entries (2).
fn stream(value: Value<'_>, taken: &mut Taken) -> Result<(), WireError> {
    let mut of_stream = Ok(Labels::empty());
    let mut fields = value.fields(1)?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => of_stream = labels(value.text(1)?),
            2 => match &of_stream {
                Ok(labels) => taken.line(labels, &entry(value)?),
                Err(why) => taken.refuse(why),
            },
            _ => {}
        }
    }
    Ok(())
}

/// Reads an entry: time (1), line (2), metadata (3).
fn entry(value: Value<'_>) -> Result<Entry<'_>, WireError> {
    let mut entry = Entry {
        at_ns: 0,
        text: "",
        metadata: Vec::new(),
    };
    let mut fields = value.fields(2)?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => entry.at_ns = instant(value)?,
            2 => entry.text = value.text(2)?,
            3 => entry.metadata.push(value.pair(3)?),
            _ => {}
        }
    }
    Ok(entry)
}

/// Reads a `google.protobuf.Timestamp`: seconds (1) and nanoseconds (2).
fn instant(value: Value<'_>) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0_i64, 0);
    let mut fields = value.fields(1)?;
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.int(1)?,
            2 => nanos = value.int(2)?,
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Reads `{app="cart", env="prod"}`, which is written like matchers that only say `=`.
fn labels(text: &str) -> Result<Labels, String> {
    let matchers = LabelFilter::parse_all(text).map_err(|why| format!("labels {text:?}: {why}"))?;
    let mut builder = LabelsBuilder::default();
    for matcher in &matchers {
        if matcher.operator != FilterSign::Is {
            return Err(format!("labels {text:?}: {matcher} is no label"));
        }
        builder.add(&matcher.name, &matcher.value);
    }
    builder.build().map_err(|error| error.to_string())
}
