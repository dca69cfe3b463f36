//! Keymaps: which keys do what. Read from TOML, checked for conflicts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indexmap::IndexMap;
use thiserror::Error;

use super::action::{ACTIONS, Action};
use super::key::Key;

/// The keymaps shipped, by name.
const SHIPPED: [(&str, &str); 3] = [
    ("default", include_str!("../../keymaps/default.toml")),
    ("vim", include_str!("../../keymaps/vim.toml")),
    ("emacs", include_str!("../../keymaps/emacs.toml")),
];

/// The setting that names the keymap whose lines hold where a file has none.
const INHERITS: &str = "inherits";
/// Longest chain of `inherits`; a longer one is a loop.
const INHERITS_MAX: usize = 4;
/// Keys in sequence at most.
const SEQUENCE_KEYS_MAX: usize = 3;

/// How the page of keys begins.
const PAGE_HEAD: &str = "\
# Keys of the console

Generated from the table of actions and the keymaps: `STORMGLASS_BLESS=1 cargo test --test screens_keys`.

`?` shows the keys and the words of the screen you are on, `:` finds any action by name. `stormglass keys NAME`
prints one keymap; `--keymap NAME` or `keymap = \"NAME\"` in the config chooses it. A keymap is one TOML file in
`keymaps/`: a line an action, alternatives in a list, keys in sequence separated by a blank.
";

/// Which key sequences do what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keymap {
    sequences: IndexMap<Vec<Key>, Action>,
}

/// What keys pressed so far mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// An action.
    Action(Action),
    /// The beginning of a sequence.
    Prefix,
    /// Nothing.
    Nothing,
}

/// Why a keymap was refused.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum KeymapError {
    /// It is not TOML of the right shape.
    #[error("keymap: {0}")]
    Syntax(String),
    /// It names an action that does not exist.
    #[error("keymap: there is no action {action:?}; the nearest is {nearest:?}")]
    Action {
        /// The word found.
        action: String,
        /// The nearest valid one.
        nearest: &'static str,
    },
    /// It names a key that does not exist.
    #[error("keymap: {action}: there is no key {key:?}")]
    Key {
        /// The action.
        action: String,
        /// The word found.
        key: String,
    },
    /// Two actions want the same keys, or one's keys begin the other's.
    #[error("keymap: {keys:?} of {one} is in the way of {other}")]
    Conflict {
        /// The keys.
        keys: String,
        /// One action.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// An action has no key.
    #[error("keymap: {0} has no key")]
    Unbound(&'static str),
    /// The file cannot be read.
    #[error("keymap {path}: {why}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// No keymap has this name.
    #[error("there is no keymap {0:?}; shipped are {names}", names = Keymap::names().collect::<Vec<_>>().join(", "))]
    Unknown(String),
}

impl Keymap {
    /// Names of the keymaps shipped.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.iter().map(|(name, _)| *name)
    }

    /// A keymap that is shipped.
    pub fn shipped(name: &str) -> Result<Self, KeymapError> {
        Self::parse(shipped_text(name)?)
    }

    /// A keymap by its name, or by the path of its file.
    pub fn load(name: &str) -> Result<Self, KeymapError> {
        if !crate::config::is_path(name) {
            return Self::shipped(name);
        }
        let text = std::fs::read_to_string(name).map_err(|error| KeymapError::File {
            path: name.to_owned(),
            why: error.to_string(),
        })?;
        Self::parse(&text)
    }

    /// Reads a keymap: a line `action = ["keys", …]` for every action, or for those that differ from the
    /// shipped keymap that `inherits` names.
    pub fn parse(text: &str) -> Result<Self, KeymapError> {
        let mut sequences: IndexMap<Vec<Key>, Action> = IndexMap::new();
        for (name, alternatives) in lines(text, INHERITS_MAX)? {
            let action = Action::named(&name).ok_or_else(|| KeymapError::Action {
                nearest: nearest_action(&name),
                action: name.clone(),
            })?;
            for keys in alternatives {
                let sequence = parse_sequence(&keys).ok_or_else(|| KeymapError::Key {
                    action: name.clone(),
                    key: keys.clone(),
                })?;
                add(&mut sequences, sequence, action)?;
            }
        }
        let keymap = Self { sequences };
        match ACTIONS.iter().find(|row| keymap.keys(row.action).is_none()) {
            Some(unbound) => Err(KeymapError::Unbound(unbound.name)),
            None => Ok(keymap),
        }
    }

    /// What a sequence of keys means.
    pub fn lookup(&self, keys: &[Key]) -> Lookup {
        if let Some(action) = self.sequences.get(keys) {
            return Lookup::Action(*action);
        }
        if self.sequences.keys().any(|known| known.starts_with(keys)) {
            Lookup::Prefix
        } else {
            Lookup::Nothing
        }
    }

    /// The shortest keys of an action, as shown.
    pub fn keys(&self, action: Action) -> Option<String> {
        self.alternatives(action)
            .into_iter()
            .min_by_key(String::len)
    }

    /// All keys of an action, as shown.
    pub fn alternatives(&self, action: Action) -> Vec<String> {
        self.sequences
            .iter()
            .filter(|(_, bound)| **bound == action)
            .map(|(keys, _)| shown(keys))
            .collect()
    }
}

/// A table of all keys, for the command line and the docs.
pub fn key_table(keymap: &Keymap) -> String {
    let mut table = String::new();
    let mut scope = None;
    for row in &ACTIONS {
        if scope != Some(row.scope) {
            scope = Some(row.scope);
            let gap = if table.is_empty() { "" } else { "\n" };
            let _ = writeln!(table, "{gap}{}", row.scope.as_str());
        }
        let keys = keymap.alternatives(row.action).join(", ");
        let _ = writeln!(table, "  {keys:<16} {:<18} {}", row.name, row.doc);
    }
    table
}

/// The lines of a keymap, its own before those it inherits.
fn lines(text: &str, depth: usize) -> Result<BTreeMap<String, Vec<String>>, KeymapError> {
    let syntax = |error: toml::de::Error| KeymapError::Syntax(error.to_string());
    let mut file: toml::Table = toml::from_str(text).map_err(syntax)?;
    let inherited = match file.remove(INHERITS) {
        Some(toml::Value::String(name)) if depth > 0 => lines(shipped_text(&name)?, depth - 1)?,
        Some(_) => {
            let words = "inherits must be the name of a shipped keymap";
            return Err(KeymapError::Syntax(words.to_owned()));
        }
        None => BTreeMap::new(),
    };
    let own: BTreeMap<String, Vec<String>> = file.try_into().map_err(syntax)?;
    Ok(inherited.into_iter().chain(own).collect())
}

fn shipped_text(name: &str) -> Result<&'static str, KeymapError> {
    let found = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    let (_, text) = found.ok_or_else(|| KeymapError::Unknown(name.to_owned()))?;
    Ok(text)
}

/// `docs/keys.md`: every action with its keys in every shipped keymap.
pub fn key_page() -> Result<String, KeymapError> {
    let keymaps = Keymap::names()
        .map(|name| Ok((name, Keymap::shipped(name)?)))
        .collect::<Result<Vec<_>, KeymapError>>()?;
    let mut page = String::from(PAGE_HEAD);
    let mut scope = None;
    for row in &ACTIONS {
        if scope != Some(row.scope) {
            scope = Some(row.scope);
            let _ = write!(page, "\n## {}\n\n| action |", row.scope.as_str());
            for (name, _) in &keymaps {
                let _ = write!(page, " {name} |");
            }
            page.push_str(" what it does |\n|---|");
            page.push_str(&"---|".repeat(keymaps.len() + 1));
            page.push('\n');
        }
        let _ = write!(page, "| `{}` |", row.name);
        for (_, keymap) in &keymaps {
            let keys: Vec<String> = keymap
                .alternatives(row.action)
                .iter()
                .map(|keys| format!("`{keys}`"))
                .collect();
            let _ = write!(page, " {} |", keys.join(", "));
        }
        let _ = writeln!(page, " {} |", row.doc);
    }
    Ok(page)
}

fn nearest_action(word: &str) -> &'static str {
    ACTIONS
        .iter()
        .map(|row| row.name)
        .min_by_key(|name| strsim::levenshtein(name, word))
        .unwrap_or("help")
}

fn parse_sequence(text: &str) -> Option<Vec<Key>> {
    let keys: Vec<Key> = text
        .split_whitespace()
        .map(Key::parse)
        .collect::<Option<_>>()?;
    (1..=SEQUENCE_KEYS_MAX)
        .contains(&keys.len())
        .then_some(keys)
}

fn add(
    sequences: &mut IndexMap<Vec<Key>, Action>,
    sequence: Vec<Key>,
    action: Action,
) -> Result<(), KeymapError> {
    let in_the_way = sequences
        .iter()
        .find(|(known, _)| known.starts_with(&sequence) || sequence.starts_with(known));
    if let Some((_, other)) = in_the_way {
        return Err(KeymapError::Conflict {
            keys: shown(&sequence),
            one: action.row().name,
            other: other.row().name,
        });
    }
    sequences.insert(sequence, action);
    Ok(())
}

fn shown(keys: &[Key]) -> String {
    let words: Vec<String> = keys.iter().map(Key::to_string).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_keymap_binds_every_action_without_conflict() {
        assert_eq!(Keymap::names().collect::<Vec<_>>(), crate::config::KEYMAPS);
        for name in Keymap::names() {
            let keymap = Keymap::shipped(name).unwrap();
            for row in &ACTIONS {
                assert!(!keymap.alternatives(row.action).is_empty(), "{}", row.name);
            }
        }
    }

    #[test]
    fn bad_keymaps_say_what_is_wrong() {
        let cases = [
            (
                "down = ['j']\nup = ['j']",
                "keymap: \"j\" of up is in the way of down",
            ),
            (
                "top = ['g g']\nup = ['g']",
                "keymap: \"g\" of up is in the way of top",
            ),
            (
                "donw = ['j']",
                "keymap: there is no action \"donw\"; the nearest is \"down\"",
            ),
            (
                "down = ['hyper-j']",
                "keymap: down: there is no key \"hyper-j\"",
            ),
            ("down = ['j']", "keymap: up has no key"),
            (
                "inherits = 'nobody'",
                "there is no keymap \"nobody\"; shipped are default, vim, emacs",
            ),
            (
                "inherits = 'default'\ndown = ['k']",
                "keymap: \"k\" of up is in the way of down",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Keymap::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn sequences_are_looked_up_key_by_key() {
        let keymap = Keymap::shipped("default").unwrap();
        let keys = |text: &str| parse_sequence(text).unwrap();
        assert_eq!(keymap.lookup(&keys("g")), Lookup::Prefix);
        assert_eq!(keymap.lookup(&keys("g g")), Lookup::Action(Action::Top));
        assert_eq!(keymap.lookup(&keys("g 9")), Lookup::Nothing);
    }
}
