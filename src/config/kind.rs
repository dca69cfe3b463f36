//! What a setting takes, in the table and in words.

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A path.
    Path,
    /// `IP:PORT`.
    Address,
    /// `IP:PORT`, or empty for off.
    AddressOrOff,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Integer(i64, i64),
    /// One of the names shipped, or the path of a file.
    Named(&'static [&'static str]),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A list of texts, at least one.
    TextList,
    /// A list of paths, at least one.
    PathList,
    /// A table of texts.
    TextTable,
}

/// Themes shipped.
pub const THEMES: &[&str] = &[
    "dark",
    "light",
    "mono",
    "high-contrast",
    "red-green",
    "blue-yellow",
];
/// Keymaps shipped.
pub const KEYMAPS: &[&str] = &["default", "vim", "emacs"];

/// Whether the name of a theme or keymap is the path of a file rather than one that is shipped.
pub fn is_path(name: &str) -> bool {
    name.contains('/')
        || std::path::Path::new(name)
            .extension()
            .is_some_and(|end| end == "toml")
}

impl Kind {
    /// What it takes, in words.
    pub fn words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "an address, \"IP:PORT\"".to_owned(),
            Self::AddressOrOff => "an address, \"IP:PORT\", or \"\" for none".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Integer(min, max) => format!("a whole number from {min} to {max}"),
            Self::Named(names) => {
                format!("one of \"{}\", or the path of a file", names.join("\", \""))
            }
            Self::Choice(words) => format!("one of \"{}\"", words.join("\", \"")),
            Self::TextList => "a list of texts, at least one".to_owned(),
            Self::PathList => "a list of paths, at least one".to_owned(),
            Self::TextTable => "a table of texts".to_owned(),
        }
    }
}
