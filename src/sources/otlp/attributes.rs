//! Attributes as labels: of resources, spans, records and points.
//!
//! Values that are lists or maps are not labels and are left out; text longer than a label may be
//! is cut. Attributes that change with every restart without saying what a thing is are left out.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use crate::model::mask::mask_secrets;
use crate::model::{LABEL_NAME_BYTES_MAX, LABEL_VALUE_BYTES_MAX, Labels, LabelsBuilder};
use crate::sources::recent::Recent;
use crate::sources::wire::{Fields, Value, WireError};

/// Resources remembered: one for each process that sends.
const RESOURCES_REMEMBERED_MAX: usize = 20_000;

/// Names of spans and peers remembered, to hold one copy of each.
const TEXTS_REMEMBERED_MAX: usize = 50_000;

/// Most attributes of one thing that become labels.
const ATTRIBUTES_MAX: usize = 128;

/// How deep values may nest before a body counts as malformed.
const DEPTH_MAX: usize = 32;

/// Resource attributes that say nothing of who sends: SDK, process and operating system details.
const NOISE_PREFIXES: [&str; 3] = ["telemetry.", "process.", "os."];

/// Attributes that change with a deploy: a series that had them would begin anew with every
/// version, exactly when its history matters.
const VERSION_PREFIXES: [&str; 4] = [
    "service.version",
    "container.image",
    "container.id",
    "k8s.pod.start_time",
];

/// Key of an attribute whose own is not UTF-8.
const NO_NAME: &str = "\u{fffd}";

/// Attributes that may become labels, in the order sent.
pub(super) type Pairs<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// What is remembered of resources and texts.
pub(super) struct Resources {
    labels: Mutex<Recent<u128, Labels>>,
    texts: Mutex<Recent<u128, Arc<str>>>,
}

impl Resources {
    pub(super) fn new() -> Self {
        Self {
            labels: Mutex::new(Recent::new(RESOURCES_REMEMBERED_MAX)),
            texts: Mutex::new(Recent::new(TEXTS_REMEMBERED_MAX)),
        }
    }

    /// Labels of a `Resource`, shared between all that it sent.
    pub(super) fn labels(&self, resource: &[u8]) -> Result<Labels, WireError> {
        let key = xxh3_128(resource);
        if let Some(labels) = lock(&self.labels).get(&key) {
            return Ok(labels.clone());
        }
        let mut pairs = Pairs::new();
        resource_pairs(resource, &mut pairs)?;
        let labels = to_labels(&pairs);
        lock(&self.labels).put(key, labels.clone());
        Ok(labels)
    }

    /// One shared copy of a text, secrets masked: a client may name its spans after whole addresses.
    pub(super) fn text(&self, text: &str) -> Arc<str> {
        let key = xxh3_128(text.as_bytes());
        let mut texts = lock(&self.texts);
        if let Some(shared) = texts.get(&key) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = Arc::from(&*mask_secrets(text));
        texts.put(key, Arc::clone(&shared));
        shared
    }
}

/// The message of `number` within a message, wherever it stands; empty when it is absent.
pub(super) fn submessage(message: &[u8], number: u32) -> Result<&[u8], WireError> {
    let mut found: &[u8] = &[];
    let mut fields = Fields::of(message);
    while let Some((field, value)) = fields.next()? {
        if field == number {
            found = value.bytes(number)?;
        }
    }
    Ok(found)
}

/// Attributes of a `Resource` that say who sends.
pub(super) fn resource_pairs<'a>(
    resource: &'a [u8],
    pairs: &mut Pairs<'a>,
) -> Result<(), WireError> {
    let mut fields = Fields::of(resource);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            let (key, value) = key_value(value.bytes(1)?)?;
            if !NOISE_PREFIXES.iter().any(|noise| key.starts_with(noise)) {
                add(pairs, key, scalar(value)?);
            }
        }
    }
    Ok(())
}

/// Whether an attribute belongs to the identity of a series.
pub(super) fn identifies_series(key: &str) -> bool {
    let is_uid = key.starts_with("k8s.") && key.rsplit('.').next() == Some("uid");
    !is_uid
        && !VERSION_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
}

/// Adds a pair that fits into a label; empty values are as good as absent.
pub(super) fn add<'a>(pairs: &mut Pairs<'a>, key: &'a str, value: Option<Cow<'a, str>>) {
    let fits = !key.is_empty() && key.len() <= LABEL_NAME_BYTES_MAX;
    if let Some(value) = value.filter(|value| fits && !value.is_empty())
        && pairs.len() < ATTRIBUTES_MAX
    {
        pairs.push((key, cut(value)));
    }
}

/// Labels of pairs that [`add`] let through.
pub(super) fn to_labels(pairs: &Pairs<'_>) -> Labels {
    let mut builder = LabelsBuilder::default();
    for (key, value) in pairs {
        builder.add(key, value);
    }
    builder
        .build()
        .expect("every pair was added with a length that fits")
}

/// Key and `AnyValue` of a `KeyValue`.
pub(super) fn key_value(message: &[u8]) -> Result<(&str, &[u8]), WireError> {
    let (mut key, mut value): (&str, &[u8]) = ("", &[]);
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => key = std::str::from_utf8(field.bytes(1)?).unwrap_or(NO_NAME),
            2 => value = field.bytes(2)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The text of an `AnyValue` that is a text, flag or number; `None` for others.
pub(super) fn scalar(any: &[u8]) -> Result<Option<Cow<'_, str>>, WireError> {
    let mut text = None;
    let mut fields = Fields::of(any);
    while let Some((number, value)) = fields.next()? {
        text = match number {
            1 => Some(value.text_lossy(1)?),
            2 => Some(Cow::Borrowed(if value.uint(2)? == 0 {
                "false"
            } else {
                "true"
            })),
            3 => Some(Cow::Owned(value.int(3)?.to_string())),
            4 => Some(Cow::Owned(value.double(4)?.to_string())),
            _ => None,
        };
    }
    Ok(text)
}

/// Any `AnyValue` as one line of text: lists as `[a, b]`, maps as `{k: v}`.
pub(super) fn render(any: &[u8], out: &mut String) -> Result<(), WireError> {
    render_within(any, out, DEPTH_MAX)
}

fn render_within(any: &[u8], out: &mut String, depth_left: usize) -> Result<(), WireError> {
    let depth_left = depth_left.checked_sub(1).ok_or(WireError::Depth)?;
    if let Some(text) = scalar(any)? {
        out.push_str(&text);
        return Ok(());
    }
    let mut fields = Fields::of(any);
    while let Some((number, value)) = fields.next()? {
        match number {
            5 => render_list(value, out, '[', ']', |item, out| {
                render_within(item, out, depth_left)
            })?,
            6 => render_list(value, out, '{', '}', |item, out| {
                let (key, value) = key_value(item)?;
                let _ = write!(out, "{key}: ");
                render_within(value, out, depth_left)
            })?,
            7 => {
                let _ = write!(out, "<{} bytes>", value.bytes(7)?.len());
            }
            _ => {}
        }
    }
    Ok(())
}

fn render_list(
    list: Value<'_>,
    out: &mut String,
    open: char,
    close: char,
    mut item: impl FnMut(&[u8], &mut String) -> Result<(), WireError>,
) -> Result<(), WireError> {
    out.push(open);
    let mut fields = list.fields(5)?;
    let mut first = true;
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            if !std::mem::take(&mut first) {
                out.push_str(", ");
            }
            item(value.bytes(1)?, out)?;
        }
    }
    out.push(close);
    Ok(())
}

/// Cuts text to the length of a label value, at a character.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= LABEL_VALUE_BYTES_MAX {
        return text;
    }
    let end = text.floor_char_boundary(LABEL_VALUE_BYTES_MAX);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

/// A cache is valid after any panic: it holds what was put in, or not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
