//! Secrets out of log text, before anything of it is kept, counted or shown.
//!
//! Recognises values by the name before them (`password=`, `token:`, `Authorization: Bearer`),
//! by where they stand (the credentials of a URL), and by their own shape (keys that carry their
//! issuer's prefix, JSON web tokens, private key blocks). Rather masks too much than too little;
//! never shortens text that holds no secret, and never reads further than the text it was given.

use std::borrow::Cow;
use std::ops::Range;

/// What stands in place of a secret.
pub const MASK: &str = "<secret>";

/// Names whose value is a secret when `=` or `:` follows. Compared with the end of the name, in
/// lower case and without `-` and `_`, so that `DB_PASSWORD` and `x-api-key` are found.
const SECRET_NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
    "authorization",
    "sessionkey",
    "cookie",
    "signature",
];

/// Prefixes that issuers give their keys, and the length the key has at least.
const KEY_PREFIXES: &[(&str, usize)] = &[
    ("AKIA", 20),
    ("ASIA", 20),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghs_", 20),
    ("ghu_", 20),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xoxa-", 20),
    ("sk_live_", 20),
    ("rk_live_", 20),
    ("AIza", 35),
    ("npm_", 30),
    ("eyJ", 30),
];

/// From this length on, a value of letters and digits after a telling word is taken for a secret.
const OPAQUE_BYTES_MIN: usize = 16;
/// How far the closing quote of a secret may be.
const QUOTED_BYTES_MAX: usize = 4096;

/// The text with every secret replaced by [`MASK`]; borrowed when there is none.
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        let Some(secret) = next_secret(text.as_bytes(), at) else {
            break;
        };
        // Ranges begin and end at ASCII bytes or the ends of the text.
        if !secret.is_empty() && text.get(secret.clone()) != Some(MASK) {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(text.get(copied..secret.start).unwrap_or_default());
            out.push_str(MASK);
            copied = secret.end;
        }
        at = secret.end.max(at + 1);
    }
    match out {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.push_str(text.get(copied..).unwrap_or_default());
            Cow::Owned(out)
        }
    }
}

/// The first secret that begins at or after a word that begins at `from` or later.
fn next_secret(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    while at < text.len() {
        if text[at] == b'-'
            && text[at..].starts_with(b"-----BEGIN ")
            && contains(&text[at..], b"PRIVATE KEY")
        {
            return Some(at..text.len());
        }
        if !is_word(text[at]) {
            if text[at..].starts_with(b"://")
                && let Some(secret) = url_credentials(text, at + 3)
            {
                return Some(secret);
            }
            at += 1;
            continue;
        }
        let end = at + text[at..].iter().take_while(|b| is_word(**b)).count();
        let secret = secret_at_word(text, at..end);
        if secret.is_some() {
            return secret;
        }
        at = end;
    }
    None
}

/// The secret that the word is, or that it introduces.
fn secret_at_word(text: &[u8], word: Range<usize>) -> Option<Range<usize>> {
    let bytes = &text[word.clone()];
    let opaque = text[word.start..]
        .iter()
        .take_while(|b| is_opaque(**b))
        .count();
    let prefixed = KEY_PREFIXES
        .iter()
        .any(|(prefix, length)| opaque >= *length && bytes.starts_with(prefix.as_bytes()));
    if prefixed {
        return Some(word.start..word.start + opaque);
    }
    if bytes.len() > 64 {
        return None;
    }
    if bytes.eq_ignore_ascii_case(b"bearer") || bytes.eq_ignore_ascii_case(b"basic") {
        return opaque_value(text, word.end, 8);
    }
    if !is_secret_name(bytes) {
        return None;
    }
    let mut at = word.end;
    if matches!(text.get(at), Some(b'"' | b'\'')) {
        at += 1; // the name was quoted: "password":"…"
    }
    let gap = spaces(text, at);
    match text.get(at + gap) {
        // "password= user=bob" holds an empty value, "password = bob" does not.
        Some(b'=') if gap == 0 && text.get(at + 1) == Some(&b' ') => return None,
        Some(b'=' | b':') if names_a_folder(text, word.clone(), at + gap + 1) => return None,
        Some(b'=' | b':') => return assigned_value(text, at + gap + 1),
        _ => {}
    }
    opaque_value(text, word.end, OPAQUE_BYTES_MIN)
}

/// The value after `name=` or `name:`; nothing when it is empty or plainly not a secret.
fn assigned_value(text: &[u8], after: usize) -> Option<Range<usize>> {
    let mut start = after + spaces(text, after);
    let escaped = text.get(start) == Some(&b'\\');
    let quote_at = start + usize::from(escaped);
    if let Some(quote @ (b'"' | b'\'')) = text.get(quote_at) {
        start = quote_at + 1;
        let rest = &text[start..text.len().min(start + QUOTED_BYTES_MAX)];
        let length = rest.iter().position(|b| b == quote).unwrap_or(rest.len());
        let length = length - usize::from(escaped && length > 0);
        return ends_on_char(text, start..start + length);
    }
    for scheme in [&b"bearer "[..], b"basic ", b"token "] {
        if text
            .get(start..start + scheme.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(scheme))
        {
            start += scheme.len();
        }
    }
    let length = text[start..].iter().take_while(|b| is_value(**b)).count();
    let value = &text[start..start + length];
    let absent = matches!(
        value,
        b"" | b"null" | b"nil" | b"none" | b"None" | b"true" | b"false" | b"-"
    );
    (!absent).then(|| start..start + length)
}

/// `PWD=/home/bob` and `OLDPWD=` are where a shell stands; any other `pwd=` is a password.
fn names_a_folder(text: &[u8], name: Range<usize>, value: usize) -> bool {
    matches!(&text[name], b"PWD" | b"OLDPWD") && text.get(value) == Some(&b'/')
}

/// A long value without spaces that holds digits and letters, after white space.
fn opaque_value(text: &[u8], after: usize, bytes_min: usize) -> Option<Range<usize>> {
    let start = after + spaces(text, after);
    let value = &text[start..start + text[start..].iter().take_while(|b| is_opaque(**b)).count()];
    let mixed = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    (start > after && value.len() >= bytes_min && mixed).then(|| start..start + value.len())
}

/// `user:password@` of a URL.
fn url_credentials(text: &[u8], start: usize) -> Option<Range<usize>> {
    let authority = text[start..]
        .iter()
        .take_while(|b| !matches!(b, b'/' | b' ' | b'"' | b'\'' | b'?' | b'#' | b'>'))
        .count();
    let authority = &text[start..start + authority];
    let at = authority.iter().rposition(|&b| b == b'@')?;
    authority[..at].contains(&b':').then(|| start..start + at)
}

/// A range cut by a length limit must not end inside a character.
fn ends_on_char(text: &[u8], mut range: Range<usize>) -> Option<Range<usize>> {
    while range.end < text.len() && text[range.end] & 0xC0 == 0x80 {
        range.end += 1;
    }
    (!range.is_empty()).then_some(range)
}

fn is_secret_name(word: &[u8]) -> bool {
    let mut letters = [0_u8; 64];
    let mut length = 0;
    for byte in word.iter().filter(|b| !matches!(b, b'-' | b'_')) {
        letters[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    let (letters, last) = (&letters[..length], letters[..length].last());
    // Hardly any word ends with the same letter, and every word of every line is asked.
    let is_near = |name: &&&str| name.as_bytes().last() == last;
    let mut near = SECRET_NAMES.iter().filter(is_near);
    near.any(|name| letters.ends_with(name.as_bytes()))
}

fn spaces(text: &[u8], at: usize) -> usize {
    text[at.min(text.len())..]
        .iter()
        .take_while(|b| **b == b' ')
        .count()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Bytes of keys, base64 and JSON web tokens.
const fn is_opaque(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/' | b'=' | b'~' | b'|')
}

/// Bytes of an unquoted value.
const fn is_value(byte: u8) -> bool {
    byte > b' '
        && !matches!(
            byte,
            b',' | b';'
                | b'&'
                | b'"'
                | b'\''
                | b')'
                | b'('
                | b']'
                | b'['
                | b'}'
                | b'{'
                | b'<'
                | b'>'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let cases = [
            ("login password=hunter2 ok", "login password=<secret> ok"),
            (
                "DB_PASSWORD: s3cr3t, host: db",
                "DB_PASSWORD: <secret>, host: db",
            ),
            (
                r#"{"user":"bob","password":"p\"w"}"#,
                r#"{"user":"bob","password":"<secret>"w"}"#,
            ),
            ("x-api-key=\"a b c\" next", "x-api-key=\"<secret>\" next"),
            (
                "Authorization: Bearer abc.def-123 done",
                "Authorization: Bearer <secret> done",
            ),
            (
                "curl -H 'authorization: Basic dXNlcjpwYXNz'",
                "curl -H 'authorization: Basic <secret>'",
            ),
            (
                "got bearer 0123abcd4567 from peer",
                "got bearer <secret> from peer",
            ),
            (
                "dial postgres://app:pa55@db:5432/shop",
                "dial postgres://<secret>@db:5432/shop",
            ),
            ("key AKIAIOSFODNN7EXAMPLE used", "key <secret> used"),
            (
                "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N",
                "jwt <secret>",
            ),
            (
                "refreshed token 0123456789abcdef0123456789abcdef",
                "refreshed token <secret>",
            ),
            ("-----BEGIN RSA PRIVATE KEY----- MIIE", "<secret>"),
            ("pwd=hunter2 PWD=hunter2", "pwd=<secret> PWD=<secret>"),
            ("pwd=/8fs3 DB_PWD=/8fs3", "pwd=<secret> DB_PWD=<secret>"),
            ("token=a&token=b", "token=<secret>&token=<secret>"),
            ("password='unclosed \u{e9}", "password='<secret>"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask_secrets(text), masked);
        }
    }

    #[test]
    fn other_text_is_left_alone() {
        for text in [
            "Failed password for root from 10.0.0.1 port 22 ssh2",
            "Executing with tokens:",
            "Adding job token for job_1445144423722_0020 to jobTokenSecretManager",
            "password= user=bob",
            "token: null",
            "PWD=/home/bob ; COMMAND=ls",
            "password=<secret>",
            "GET http://host:80/a@b",
            "basic checks passed",
            "the secret of good soup",
            "",
        ] {
            assert!(matches!(mask_secrets(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
