//! Words that every text needs.

/// A number with its noun: `1 entity`, `2 entities`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
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
    fn arguments_keep_their_borders() {
        let vector = ["kubectl", "set image", "it's", "a;rm -rf", ""].map(Box::from);
        assert_eq!(
            command_line(&vector),
            "kubectl 'set image' 'it'\\''s' 'a;rm -rf' ''"
        );
    }
}
