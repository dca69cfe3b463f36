//! The only text that may reach a screen.
//!
//! Telemetry is hostile: a log line may carry terminal escapes, bidirectional overrides that swap
//! what is read, invisible characters that hide what is approved, or stacks of combining marks that
//! bleed into other rows. [`SafeText`] makes such characters visible, or bounds them.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

/// Longest text kept, in characters; what follows is cut and marked.
const CHARS_MAX: usize = 4_096;
/// Combining marks kept on one base character.
const COMBINING_MAX: usize = 2;
/// Appended to a text that was cut.
const CUT_MARK: &str = "...";

/// Text without control, bidirectional, zero-width, tag or private-use characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SafeText(Box<str>);

impl SafeText {
    /// Makes any text safe for one line of a terminal. Newlines and tabs become a space; other
    /// dangerous characters are written out as `<U+XXXX>`.
    pub fn new(untrusted: &str) -> Self {
        if untrusted.len() <= CHARS_MAX && untrusted.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Self(Box::from(untrusted));
        }
        let mut safe = String::with_capacity(untrusted.len().min(CHARS_MAX));
        let mut combining = 0;
        for (i, c) in untrusted.chars().enumerate() {
            if i == CHARS_MAX {
                safe.push_str(CUT_MARK);
                break;
            }
            if is_combining(c) {
                combining += 1;
                if combining <= COMBINING_MAX && !safe.is_empty() {
                    safe.push(c);
                }
                continue;
            }
            combining = 0;
            match c {
                '\n' | '\r' | '\t' => safe.push(' '),
                c if is_dangerous(c) => {
                    write!(safe, "<U+{:04X}>", u32::from(c)).expect("a String takes any text");
                }
                c => safe.push(c),
            }
        }
        Self(safe.into_boxed_str())
    }

    /// Whether a terminal might obey this character, or show the rest in another order.
    pub fn is_dangerous(c: char) -> bool {
        is_dangerous(c)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that steer a terminal, reorder or hide text, or have no agreed width.
fn is_dangerous(c: char) -> bool {
    matches!(u32::from(c),
        0x00..=0x1f | 0x7f..=0x9f            // C0, DEL, C1
        | 0x00ad | 0x034f | 0x061c           // soft hyphen, grapheme joiner, Arabic letter mark
        | 0x115f..=0x1160 | 0x3164 | 0xffa0  // Hangul fillers
        | 0x17b4..=0x17b5 | 0x180b..=0x180f  // Khmer inherent vowels, Mongolian selectors
        | 0x200b..=0x200f | 0x2028..=0x202e  // zero width, marks, separators, embeddings, overrides
        | 0x2060..=0x206f | 0xfe00..=0xfe0f  // joiners, isolates, variation selectors
        | 0xfeff | 0xfff0..=0xfffb           // byte order mark, specials, interlinear
        | 0xe000..=0xf8ff                    // private use
        | 0x1_d173..=0x1_d17a                  // musical format controls
        | 0xe_0000..=0x10_ffff) // tags, supplementary selectors, private planes
}

/// Marks that are drawn on the character before them.
fn is_combining(c: char) -> bool {
    !is_dangerous(c) && !c.is_ascii() && unicode_width::UnicodeWidthChar::width(c) == Some(0)
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for SafeText {
    fn from(untrusted: &str) -> Self {
        Self::new(untrusted)
    }
}

impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn makes_hostile_text_visible() {
        let cases = [
            ("plain", "plain"),
            ("two\nlines\tand a tab", "two lines and a tab"),
            ("\x1b[31mred", "<U+001B>[31mred"),
            ("a\u{202e}b", "a<U+202E>b"),
            ("zero\u{200b}width", "zero<U+200B>width"),
            ("tag\u{e0041}", "tag<U+E0041>"),
            ("e\u{301}\u{301}\u{301}\u{301}", "e\u{301}\u{301}"),
            ("\u{301}first", "first"),
            ("c1 \u{9b}31m", "c1 <U+009B>31m"),
            ("日本語 ok", "日本語 ok"),
        ];
        for (hostile, safe) in cases {
            assert_eq!(SafeText::new(hostile).as_str(), safe);
        }
    }

    #[test]
    fn cuts_what_is_too_long() {
        let safe = SafeText::new(&"x".repeat(CHARS_MAX + 10));
        assert_eq!(safe.as_str().len(), CHARS_MAX + CUT_MARK.len());
    }

    proptest! {
        #[test]
        fn nothing_dangerous_survives(text in "\\PC*|[\\x00-\\x{10ffff}]{0,200}") {
            let safe = SafeText::new(&text);
            prop_assert!(!safe.as_str().chars().any(is_dangerous));
            prop_assert_eq!(SafeText::new(safe.as_str()), safe.clone());
        }
    }
}
