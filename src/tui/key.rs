//! Keys: how they are written in keymaps, shown in hints, and read from the terminal.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// One key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// What was pressed.
    pub code: KeyCode,
    /// With what held. Shift is dropped for characters, which carry it themselves.
    pub modifiers: KeyModifiers,
}

/// Keys with a name.
const NAMED: [(&str, KeyCode); 16] = [
    ("enter", KeyCode::Enter),
    ("esc", KeyCode::Esc),
    ("tab", KeyCode::Tab),
    ("shift-tab", KeyCode::BackTab),
    ("space", KeyCode::Char(' ')),
    ("backspace", KeyCode::Backspace),
    ("delete", KeyCode::Delete),
    ("insert", KeyCode::Insert),
    ("up", KeyCode::Up),
    ("down", KeyCode::Down),
    ("left", KeyCode::Left),
    ("right", KeyCode::Right),
    ("home", KeyCode::Home),
    ("end", KeyCode::End),
    ("pgup", KeyCode::PageUp),
    ("pgdn", KeyCode::PageDown),
];

impl Key {
    /// A key without modifiers.
    pub const fn plain(code: KeyCode) -> Self {
        Self {
            code,
            modifiers: KeyModifiers::NONE,
        }
    }

    /// A character without modifiers.
    pub const fn char(c: char) -> Self {
        Self::plain(KeyCode::Char(c))
    }

    /// From the terminal; `None` for releases.
    pub fn from_event(event: KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let mut modifiers =
            event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT | KeyModifiers::SHIFT);
        if matches!(event.code, KeyCode::Char(_) | KeyCode::BackTab) {
            modifiers -= KeyModifiers::SHIFT;
        }
        Some(Self {
            code: event.code,
            modifiers,
        })
    }

    /// Reads `j`, `G`, `ctrl-d`, `pgdn`, `f2`, …; `None` when it names no key.
    pub fn parse(word: &str) -> Option<Self> {
        if let Some((_, code)) = NAMED.iter().find(|(name, _)| *name == word) {
            return Some(Self::plain(*code));
        }
        let mut chars = word.chars();
        if let (Some(only), None) = (chars.next(), chars.next()) {
            return Some(Self::char(only));
        }
        for (prefix, modifier) in [
            ("ctrl-", KeyModifiers::CONTROL),
            ("alt-", KeyModifiers::ALT),
            ("shift-", KeyModifiers::SHIFT),
        ] {
            if let Some(rest) = word.strip_prefix(prefix) {
                let mut key = Self::parse(rest)?;
                key.modifiers |= modifier;
                return Some(key);
            }
        }
        let number = word.strip_prefix('f')?.parse().ok()?;
        (1..=12)
            .contains(&number)
            .then_some(Self::plain(KeyCode::F(number)))
    }

    /// The character typed, if it is one without modifiers.
    pub fn typed(self) -> Option<char> {
        match self.code {
            KeyCode::Char(c) if self.modifiers.is_empty() => Some(c),
            _ => None,
        }
    }

    /// Whether it is `ctrl-` and this character.
    pub fn is_ctrl(self, c: char) -> bool {
        self.code == KeyCode::Char(c) && self.modifiers == KeyModifiers::CONTROL
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (modifier, prefix) in [
            (KeyModifiers::CONTROL, "ctrl-"),
            (KeyModifiers::ALT, "alt-"),
            (KeyModifiers::SHIFT, "shift-"),
        ] {
            if self.modifiers.contains(modifier) {
                f.write_str(prefix)?;
            }
        }
        if let Some((name, _)) = NAMED.iter().find(|(_, code)| *code == self.code) {
            return f.write_str(name);
        }
        match self.code {
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "f{n}"),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip() {
        for word in [
            "j",
            "G",
            "!",
            "ctrl-d",
            "alt-enter",
            "shift-tab",
            "space",
            "f2",
            "pgdn",
            "-",
        ] {
            assert_eq!(Key::parse(word).unwrap().to_string(), word);
        }
        for word in ["", "hyper-x", "f13", "ctrl-"] {
            assert_eq!(Key::parse(word), None, "{word}");
        }
    }

    #[test]
    fn shift_is_part_of_a_character() {
        let event = KeyEvent::new(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(Key::from_event(event), Key::parse("G"));
    }
}
