//! Words that every text needs.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// A number with its noun: `1 entity`, `2 entities`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// A noun with its article: `a change`, `an instance`. By its first letter, which is right for the words of
/// our own that it is for.
pub fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

/// A length of time in one word for people who read a sentence: `45 seconds`, `1 minute`, `7 days`. What is
/// left over is not told.
pub fn spelled(ms: i64) -> String {
    let s = ms.max(0) as u64 / 1_000;
    match s {
        0..60 => counted(s, "second", "seconds"),
        60..3_600 => counted(s / 60, "minute", "minutes"),
        3_600..172_800 => counted(s / 3_600, "hour", "hours"),
        _ => counted(s / 86_400, "day", "days"),
    }
}

/// A name of at most `width` cells of a terminal: of a longer one the middle gives way to `cut`, for names that begin alike differ
/// at their ends.
pub fn middle(name: &str, width: usize, cut: &str) -> String {
    if name.width() <= width {
        return name.to_owned();
    }
    let room = width.saturating_sub(cut.width());
    let graphemes: Vec<&str> = name.graphemes(true).collect();
    let fitting = |pieces: &mut dyn Iterator<Item = &&str>, room: usize| {
        let mut used = 0;
        let fits = |piece: &&&str| {
            used += piece.width();
            used <= room
        };
        pieces.take_while(fits).count()
    };
    let head = fitting(&mut graphemes.iter(), room.div_ceil(2));
    let tail = fitting(&mut graphemes[head..].iter().rev(), room / 2);
    let (head, tail) = (&graphemes[..head], &graphemes[graphemes.len() - tail..]);
    [&head.concat(), cut, &tail.concat()].concat()
}

/// An argument vector as a shell would have it: each argument quoted if it would be read as several.
/// For people; nothing here is ever given to a shell.
pub fn command_line(argv: &[Box<str>]) -> String {
    super::shown_argv(argv).text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let said = [0, 1, 2].map(|n| counted(n, "entity", "entities"));
        assert_eq!(said, ["0 entities", "1 entity", "2 entities"]);
    }

    #[test]
    fn articles_fit_their_nouns() {
        let said = ["external", "service", "instance", "node"].map(with_article);
        assert_eq!(said, ["an external", "a service", "an instance", "a node"]);
    }

    #[test]
    fn lengths_of_time_are_spelled_out() {
        let cases = [
            (-5, "0 seconds"),
            (1_999, "1 second"),
            (59_000, "59 seconds"),
            (60_000, "1 minute"),
            (7 * 60_000 + 59_000, "7 minutes"),
            (3_600_000, "1 hour"),
            (47 * 3_600_000, "47 hours"),
            (48 * 3_600_000, "2 days"),
            (7 * 86_400_000, "7 days"),
        ];
        for (ms, said) in cases {
            assert_eq!(spelled(ms), said);
        }
    }

    #[test]
    fn long_names_lose_their_middle() {
        let cases = [
            ("checkout", 8, "checkout"),
            ("checkout-api-eu-1", 11, "check…-eu-1"),
            ("日本語サービス", 8, "日本…ス"),
            ("abc", 1, "…"),
            ("e\u{301}e\u{301}e\u{301}e\u{301}", 3, "e\u{301}…e\u{301}"),
        ];
        for (name, width, expected) in cases {
            assert_eq!(middle(name, width, "…"), expected);
        }
        let long = middle(&"日".repeat(200), 60, "…");
        assert!(long.width() <= 60);
    }

    #[test]
    fn arguments_keep_their_borders() {
        let vector = ["kubectl", "set image", "it's", "a;rm -rf", ""].map(Box::from);
        assert_eq!(
            command_line(&vector),
            "kubectl 'set image' 'it'\\''s' 'a;rm -rf' ''"
        );
    }
}
