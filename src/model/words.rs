//! Words that every text needs.

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
    fn arguments_keep_their_borders() {
        let vector = ["kubectl", "set image", "it's", "a;rm -rf", ""].map(Box::from);
        assert_eq!(
            command_line(&vector),
            "kubectl 'set image' 'it'\\''s' 'a;rm -rf' ''"
        );
    }
}
