//! Names that people tell things apart by: there is something to see, and two that look alike are alike.

use crate::model::SafeText;

/// What is wrong with a name, as the end of a sentence that begins with the setting; `None` for a good one.
pub(super) fn unreadable(name: &str) -> Option<String> {
    if name.is_empty() {
        let why = "is \"\", and a name is needed: give it one that people can read";
        return Some(why.to_owned());
    }
    if name.trim().is_empty() {
        return Some("is blank: give it a name that people can read".to_owned());
    }
    if let Some(hidden) = name.chars().find(|c| SafeText::is_dangerous(*c)) {
        let number = u32::from(hidden);
        let why = format!("holds U+{number:04X}, which nobody sees: leave it out");
        return Some(why);
    }
    if name.trim() != name {
        let why = "begins or ends with a blank, and looks like the name without: leave it out";
        return Some(why.to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_and_told_apart() {
        let cases = [
            ("checkout", None),
            ("bereit für Zürich 日本", None),
            ("", Some("is \"\"")),
            (" \u{3000}\t", Some("is blank")),
            ("\u{200b}", Some("holds U+200B")),
            ("a\u{202e}b", Some("holds U+202E")),
            ("a\nb", Some("holds U+000A")),
            (" a", Some("begins or ends with a blank")),
            ("a\u{a0}", Some("begins or ends with a blank")),
        ];
        for (name, expected) in cases {
            let why = unreadable(name);
            let is_right = match (expected, &why) {
                (Some(begins), Some(why)) => why.starts_with(begins),
                (expected, why) => expected.is_none() && why.is_none(),
            };
            assert!(is_right, "{name:?}: {why:?}");
        }
    }
}
