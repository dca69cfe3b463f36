//! A one-line text field: filter, palette, reasons and typed names.

use crossterm::event::KeyCode;
use unicode_segmentation::UnicodeSegmentation;

use crate::model::SafeText;

use super::key::Key;

/// Longest text taken, in bytes.
const BYTES_MAX: usize = 400;

/// Text being typed, with its cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    text: String,
    cursor: usize,
    /// The text was put there for whoever wants it: what is typed first takes its place.
    is_offered: bool,
}

impl Field {
    /// A field that holds `text`, the cursor at its end.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            cursor: text.len(),
            is_offered: false,
        }
    }

    /// A field that offers `text`: it is taken as it is, edited, or replaced by what is typed first.
    pub fn offering(text: &str) -> Self {
        Self {
            is_offered: true,
            ..Self::new(text)
        }
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What was typed, in three parts: before, under and after the cursor.
    pub fn parts(&self) -> [SafeText; 3] {
        let (before, after) = self.text.split_at(self.cursor);
        let under = after.graphemes(true).next().unwrap_or("");
        [before, under, &after[under.len()..]].map(SafeText::new)
    }

    /// Takes a key; `false` when it means nothing here.
    pub fn key(&mut self, key: Key) -> bool {
        let was_offered = std::mem::take(&mut self.is_offered);
        match key.code {
            KeyCode::Backspace => self.delete_back(),
            KeyCode::Delete => self.delete_here(),
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ if key.is_ctrl('u') => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            _ if key.is_ctrl('w') => self.delete_word(),
            _ if key.is_ctrl('a') => self.cursor = 0,
            _ if key.is_ctrl('e') => self.cursor = self.text.len(),
            _ => {
                // What means nothing here, as a turn of the wheel, takes no offer.
                self.is_offered = was_offered;
                match key.typed() {
                    Some(c) => self.insert(&c.to_string()),
                    None => return false,
                }
            }
        }
        true
    }

    /// Inserts text at the cursor, made safe and cut to what fits.
    pub fn insert(&mut self, text: &str) {
        if std::mem::take(&mut self.is_offered) {
            self.text.clear();
            self.cursor = 0;
        }
        let safe = SafeText::new(text);
        for grapheme in safe.as_str().graphemes(true) {
            if self.text.len() + grapheme.len() > BYTES_MAX {
                return;
            }
            self.text.insert_str(self.cursor, grapheme);
            self.cursor += grapheme.len();
        }
    }

    fn before(&self) -> usize {
        self.text[..self.cursor]
            .grapheme_indices(true)
            .next_back()
            .map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let next = self.text[self.cursor..].graphemes(true).next();
        self.cursor + next.map_or(0, str::len)
    }

    fn delete_back(&mut self) {
        let from = self.before();
        self.text.drain(from..self.cursor);
        self.cursor = from;
    }

    fn delete_here(&mut self) {
        let to = self.after();
        self.text.drain(self.cursor..to);
    }

    fn delete_word(&mut self) {
        let before = self.text[..self.cursor].trim_end();
        let from = before.rfind(' ').map_or(0, |at| at + 1);
        self.text.drain(from..self.cursor);
        self.cursor = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits() {
        let mut field = Field::default();
        for c in "check out".chars() {
            assert!(field.key(Key::char(c)));
        }
        assert!(!field.key(Key::plain(KeyCode::F(5))));
        field.key(Key::parse("ctrl-w").unwrap());
        field.key(Key::parse("home").unwrap());
        field.insert("x\x1b");
        field.key(Key::parse("delete").unwrap());
        assert_eq!(field.text(), "x<U+001B>heck ");
        assert_eq!(field.parts().map(|p| p.to_string())[1], "h");
    }

    #[test]
    fn what_is_offered_is_taken_edited_or_replaced() {
        let typed = |keys: &[&str]| {
            let mut field = Field::offering("ana");
            for key in keys {
                field.key(Key::parse(key).unwrap());
            }
            field.text().to_owned()
        };
        assert_eq!(typed(&[]), "ana");
        assert_eq!(typed(&["b", "o"]), "bo");
        assert_eq!(typed(&["backspace", "b"]), "anb");
        assert_eq!(typed(&["end", "b"]), "anab");
        assert_eq!(typed(&["down", "b", "o"]), "bo", "the wheel takes no offer");
    }

    #[test]
    fn is_bounded() {
        let mut field = Field::default();
        field.insert(&"x".repeat(9_999));
        assert_eq!(field.text().len(), BYTES_MAX);
    }
}
