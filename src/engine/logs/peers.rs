//! Whom a line says that it could not reach: `dial tcp 10.0.0.7:5432: connection refused`.
//!
//! Only what stands where an address stands is a name here: before a port, in a URL, or after "connect to".
//! Never guesses from words that happen to be somebody's name.

/// Part of every phrase that says that a connection failed or was lost, whatever it begins with.
const HINTS: [&str; 2] = ["onnect", "ONNREFUSED"];
/// What lines say, in small letters, when something could not be reached.
const FAILURES: [&str; 11] = [
    "connection refused",
    "connection reset",
    "connection timed out",
    "connection timeout",
    "connect timeout",
    "connect timed out",
    "failed to connect",
    "could not connect",
    "cannot connect",
    "unable to connect",
    "econnrefused",
];
/// Words that, with a "to", lead to a name that nothing else marks as an address.
const CONNECTS: [&str; 5] = [
    "connect",
    "connecting",
    "connection",
    "connected",
    "connections",
];
/// Words before the name of somebody who came to us.
const INBOUND: [&str; 3] = ["from", "client", "peer"];
/// Longest part of a line that is read, in bytes: what failed is said at its beginning.
const READ_BYTES_MAX: usize = 512;
/// Names that are taken from one line.
const NAMES_MAX: usize = 4;

/// Names and addresses that a line says it could not reach, as they are written, without ports. Empty for
/// almost every line, and cheap then.
pub fn unreachable(text: &str) -> Vec<&str> {
    let text = &text[..text.floor_char_boundary(READ_BYTES_MAX)];
    if !HINTS.iter().any(|hint| text.contains(hint)) {
        return Vec::new();
    }
    let small = text.to_ascii_lowercase();
    if !FAILURES.iter().any(|failure| small.contains(failure)) {
        return Vec::new();
    }
    let mut names = Vec::new();
    let (mut before, mut last) = ("", "");
    for word in text.split_ascii_whitespace() {
        let towards = last.eq_ignore_ascii_case("to") && is_one_of(before, &CONNECTS);
        if let Some(name) = address(word, towards).filter(|_| !is_one_of(last, &INBOUND))
            && names.len() < NAMES_MAX
            && !names.contains(&name)
        {
            names.push(name);
        }
        (before, last) = (last, word);
    }
    names
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The name in a word that is an address: `"db.shop:5432",`, `http://db/x`; any word where one must be.
fn address(word: &str, is_one: bool) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // `user=app@db:5432`, `tcp://db`: what is before says how, not whom.
    let (has_scheme, rest) = match word.rsplit_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, word),
    };
    let rest = rest.split('/').next().unwrap_or(rest);
    let rest = rest.rsplit(['@', '=', '(']).next().unwrap_or(rest);
    let rest = rest.trim_start_matches(|c| !is_name(c));
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let port = after.strip_prefix(':').unwrap_or_default();
    let has_port = port.starts_with(|c: char| c.is_ascii_digit());
    let name = name.trim_matches(['.', '-']);
    // `12:00:05` and `main.go:17` are no addresses of anybody: a name begins with a letter, and whether it
    // is somebody's is for the caller to know.
    let is_somebody = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "localhost";
    (is_somebody && (has_port || has_scheme || is_one)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_for_an_address_is_a_name() {
        let cases: [(&str, &[&str]); 16] = [
            ("dial tcp db:5432: connect: connection refused", &["db"]),
            (
                "Connection to payments refused: connection refused",
                &["payments"],
            ),
            (
                "could not connect to server: \"pg-main\" (port 5432)",
                &["server"],
            ),
            (
                "Failed to connect to http://search.shop.svc:8080/q?x=1",
                &["search.shop.svc"],
            ),
            ("connect ECONNREFUSED redis-cart:6379", &["redis-cart"]),
            ("connect timeout, host=orders:80, retries=3", &["orders"]),
            (
                "amqp://app@queue-1:5672 connection reset by peer",
                &["queue-1"],
            ),
            ("connection reset from web:41234", &[]),
            ("connection refused by gateway:443", &["gateway"]),
            ("connection refused", &[]),
            ("search was refused a connection", &[]),
            ("12:00:05 connection timed out after 30s", &[]),
            ("connect: connection refused 10.0.0.7:5432", &[]),
            ("connected to db:5432", &[]),
            ("connection refused: localhost:5432", &[]),
            ("all is well at db:5432", &[]),
        ];
        for (line, names) in cases {
            assert_eq!(unreachable(line), names, "{line}");
        }
        let long = format!("{} connection refused db:1", "x".repeat(2 * READ_BYTES_MAX));
        assert!(unreachable(&long).is_empty());
    }
}
