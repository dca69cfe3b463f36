//! Where in a file something stands: lines for people, ranges of bytes for what they are made of.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line at which the table of this number in a list like `sources.tail` begins.
pub fn line_of(text: &str, list: &str, index: usize) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let (sections, list) = list.rsplit_once('.').unwrap_or(("", list));
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        match table.get(section)?.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return None,
        }
    }
    Some(line_at(text, nth_span(table, list, index).start))
}

/// The line of a setting, written like `sources.syslog.udp`; of the section, where the setting is left out.
pub fn line_of_setting(text: &str, path: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    Some(line_at(text, span_of(root.get_ref(), path).start))
}

/// The line that the path with this number of a `[[sources.tail]]` stands in.
pub fn line_of_tail_path(text: &str, tail: usize, path: usize) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let span = item_span(root.get_ref(), ("tail", tail), ("paths", path));
    Some(line_at(text, span.start))
}

/// The line that a byte stands in, from 1.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    let before = text.as_bytes().get(..byte).unwrap_or_default();
    before.split(|byte| *byte == b'\n').count()
}

/// Where a setting stands, `section.name`.
pub(super) fn span_of(root: &DeTable<'_>, path: &str) -> Range<usize> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some((key, value)) = root.get_key_value(name) else {
        return 0..0;
    };
    match value.get_ref() {
        DeValue::Table(inner) if !rest.is_empty() => span_of(inner, rest),
        _ => key.span(),
    }
}

pub(super) fn nth_span(root: &DeTable<'_>, list: &str, index: usize) -> Range<usize> {
    match root.get(list).map(Spanned::get_ref) {
        Some(DeValue::Array(items)) => items.get(index).map_or(0..0, Spanned::span),
        _ => 0..0,
    }
}

/// Where a `[[sources.NAME]]` stands.
pub(super) fn section_span(root: &DeTable<'_>, name: &str, index: usize) -> Range<usize> {
    match root.get("sources").map(Spanned::get_ref) {
        Some(DeValue::Table(sources)) => nth_span(sources, name, index),
        _ => 0..0,
    }
}

/// Where an item of a list of a `[[sources.NAME]]` stands: name and number of the section, name and number in it.
pub(super) fn item_span(
    root: &DeTable<'_>,
    (section, index): (&str, usize),
    (list, item): (&str, usize),
) -> Range<usize> {
    let Some(DeValue::Table(sources)) = root.get("sources").map(Spanned::get_ref) else {
        return 0..0;
    };
    let Some(DeValue::Array(sections)) = sources.get(section).map(Spanned::get_ref) else {
        return 0..0;
    };
    match sections.get(index).map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => nth_span(table, list, item),
        _ => 0..0,
    }
}

/// Where a setting of a `[[sources.SECTION]]` stands; the section, where it is left out.
pub(super) fn setting_span(
    root: &DeTable<'_>,
    section: &str,
    index: usize,
    setting: &str,
) -> Range<usize> {
    let table = root.get("sources").map(Spanned::get_ref);
    let list = table.and_then(|table| table.as_table()?.get(section));
    let item = list.and_then(|list| list.get_ref().as_array()?.get(index));
    match item.map(Spanned::get_ref) {
        Some(DeValue::Table(table)) => match table.get_key_value(setting) {
            Some((key, _)) => key.span(),
            None => section_span(root, section, index),
        },
        _ => 0..0,
    }
}
