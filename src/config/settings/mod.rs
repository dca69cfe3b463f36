//! The table of settings: what a file may say, what each setting means, and within which bounds.
//!
//! It is the only list, a part of it in each file here. It checks every key of a file, names the nearest one
//! for a typo, and makes `docs/config.md`; a test keeps it in step with the defaults of
//! [`Config`](super::Config). It never says how a setting is used.

mod asked;
mod engine;
mod general;
mod machine;
mod receivers;
mod streams;

use super::kind::Kind;

/// A table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Where it stands: `sources.host`; `name[]` is a list of tables, empty the top level.
    pub path: &'static str,
    /// What it may say, besides the sections below it.
    pub settings: &'static [Setting],
}

/// One setting of a section.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// What it is called there.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default as written in the file; empty when there is none.
    pub default: &'static str,
    /// Whether its table makes no sense without it.
    pub is_needed: bool,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// The parts of the table, in the order of the reference.
const PARTS: [&[Section]; 6] = [
    general::SECTIONS,
    receivers::SECTIONS,
    machine::SECTIONS,
    asked::SECTIONS,
    streams::SECTIONS,
    engine::SECTIONS,
];

/// Every section, in the order of the reference: a section stands before those below it.
pub fn sections() -> impl Iterator<Item = &'static Section> {
    PARTS.into_iter().flatten()
}

/// Where a source begins that has read nothing yet.
const FROM: Kind = Kind::Choice(&["start", "end"]);
/// What a source does that can choose while the engine is behind.
const WHEN_FULL: Kind = Kind::Choice(&["block", "drop"]);

/// A setting that may be left out.
const fn setting(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        is_needed: false,
        doc,
    }
}

/// A setting without which its table makes no sense.
const fn needed(name: &'static str, kind: Kind, doc: &'static str) -> Setting {
    Setting {
        name,
        kind,
        default: "",
        is_needed: true,
        doc,
    }
}

/// The setting of this name in a section.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Setting> {
    let here = sections().find(|here| here.path == section)?;
    here.settings.iter().find(|setting| setting.name == name)
}

/// The names of the sections right below a section, without the `[]` of lists; some more than once.
pub(super) fn below(section: &str) -> impl Iterator<Item = &'static str> {
    sections().filter_map(move |other| {
        let rest = within(other.path, section)?;
        let name = rest.split('.').next()?;
        Some(name.trim_end_matches("[]"))
    })
}

/// Whether there is a section here, or below.
pub(super) fn is_section(path: &str) -> bool {
    sections().any(|section| section.path == path || within(section.path, path).is_some())
}

/// What is left of a path that stands below another, if it does.
pub(super) fn within<'a>(path: &'a str, section: &str) -> Option<&'a str> {
    match section {
        "" => Some(path).filter(|path| !path.is_empty()),
        section => path.strip_prefix(section)?.strip_prefix('.'),
    }
}
