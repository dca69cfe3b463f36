//! Argument vectors as people read them before they approve: no two different ones look the same.
//!
//! An argument is shown as it is when it is plain, else in single quotes, else, when it holds anything
//! but visible ASCII, as `$'…'` with escapes; a shell would read each form back as exactly the argument.
//! Letters beyond ASCII are escaped too, since some of them look like others.

use std::fmt::Write as _;

use super::Plan;

/// Longest argument vector that is shown whole, in characters: what nobody can read, nobody approves.
pub const ARGV_SHOWN_CHARS_MAX: usize = 4_000;

/// An argument vector as it is shown. When it is not [`ArgvShown::is_whole`], it says so at its end, and
/// must not be approved from what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgvShown {
    /// The text: visible ASCII and spaces only.
    pub text: String,
    /// Whether that is all of it.
    pub is_whole: bool,
}

/// Shows an argument vector.
pub fn shown_argv(argv: &[Box<str>]) -> ArgvShown {
    let quoted: Vec<String> = argv.iter().map(|argument| quoted(argument)).collect();
    let mut text = quoted.join(" ");
    // It is ASCII, so bytes are characters.
    let is_whole = text.len() <= ARGV_SHOWN_CHARS_MAX;
    if !is_whole {
        let more = text.len() - ARGV_SHOWN_CHARS_MAX;
        text.truncate(ARGV_SHOWN_CHARS_MAX);
        write!(text, " [{more} MORE CHARACTERS: too long to be shown]")
            .expect("a String takes any text");
    }
    ArgvShown { text, is_whole }
}

impl Plan {
    /// Whether everything the plan may run can be shown whole.
    pub fn can_be_shown(&self) -> bool {
        let undo = self.rollback.iter().flatten();
        self.preconditions
            .iter()
            .chain(&self.steps)
            .chain(undo)
            .chain(&self.verify.check)
            .all(|action| shown_argv(&action.argv).is_whole)
    }
}

fn quoted(argument: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let is_visible = |c: char| c == ' ' || c.is_ascii_graphic();
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument.to_owned()
    } else if argument.chars().all(is_visible) {
        format!("'{}'", argument.replace('\'', "'\\''"))
    } else {
        format!("$'{}'", argument.chars().map(escaped).collect::<String>())
    }
}

fn escaped(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        '\'' => "\\'".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c == ' ' || c.is_ascii_graphic() => c.to_string(),
        c if c.is_ascii() => format!("\\x{:02x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::SafeText;

    fn shown(argv: &[&str]) -> String {
        let argv: Vec<Box<str>> = argv.iter().map(|arg| Box::from(*arg)).collect();
        shown_argv(&argv).text
    }

    #[test]
    fn an_argument_vector_is_read_as_it_will_run() {
        let cases = [
            (
                &["systemctl", "restart", "a b", "it's", ""][..],
                r"systemctl restart 'a b' 'it'\''s' ''",
            ),
            (
                &["x\ny", "x y", "$HOME", r"\n"],
                r"$'x\ny' 'x y' '$HOME' '\n'",
            ),
            (
                &["\u{1b}[31m", "\u{202e}gpj"],
                r"$'\x1b[31m' $'\U0000202egpj'",
            ),
            // A Cyrillic letter that looks like a Latin one.
            (&["р\u{430}y", "pay"], r"$'\U00000440\U00000430y' pay"),
            (&["$'a'", "it's\n"], r"'$'\''a'\''' $'it\'s\n'"),
        ];
        for (argv, expected) in cases {
            assert_eq!(shown(argv), expected);
        }
    }

    #[test]
    fn what_is_too_long_says_so() {
        let long = [Box::from("a".repeat(ARGV_SHOWN_CHARS_MAX))];
        assert!(shown_argv(&long).is_whole);
        let longer = [long[0].clone(), Box::from("b")];
        let shown = shown_argv(&longer);
        assert!(!shown.is_whole);
        assert!(
            shown
                .text
                .ends_with("a [2 MORE CHARACTERS: too long to be shown]")
        );
    }

    /// Reads what is shown as a POSIX shell with `$'…'` would.
    fn read(text: &str) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut chars = text.chars().peekable();
        while chars.peek().is_some() {
            let mut argument = String::new();
            while let Some(c) = chars.next_if(|c| *c != ' ') {
                match c {
                    '\'' => argument.extend(chars.by_ref().take_while(|c| *c != '\'')),
                    '\\' => argument.extend(chars.next()),
                    '$' => {
                        chars.next();
                        while let Some(c) = chars.next_if(|c| *c != '\'') {
                            let escape = if c == '\\' { chars.next() } else { None };
                            let mut hex = |digits: usize| {
                                let text: String = chars.by_ref().take(digits).collect();
                                u32::from_str_radix(&text, 16).ok().and_then(char::from_u32)
                            };
                            argument.extend(match escape {
                                None => Some(c),
                                Some('n') => Some('\n'),
                                Some('r') => Some('\r'),
                                Some('t') => Some('\t'),
                                Some('x') => hex(2),
                                Some('U') => hex(8),
                                Some(c) => Some(c),
                            });
                        }
                        chars.next();
                    }
                    c => argument.push(c),
                }
            }
            chars.next();
            arguments.push(argument);
        }
        arguments
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_read_back_so_no_two_look_the_same(
            argv in prop::collection::vec(prop_oneof![any::<String>(), "[a $'\\\\\n]{0,6}"], 1..4)
        ) {
            let boxed: Vec<Box<str>> = argv.iter().map(|arg| Box::from(arg.as_str())).collect();
            let shown = shown_argv(&boxed);
            prop_assert!(shown.is_whole);
            let safe = SafeText::new(&shown.text);
            prop_assert_eq!(safe.as_str(), &shown.text, "nothing is hidden");
            prop_assert_eq!(read(&shown.text), argv);
        }
    }
}
