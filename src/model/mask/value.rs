//! How far a secret goes that a name announced: quoted, credentials of a header, or one word.

use std::ops::Range;

use super::{
    MASK, begins_masked, ends_with_ignoring_case, is_mixed, is_word, opaque_bytes, spaces,
};

/// Names of sessions. Numbers that only count them are no secret.
const SESSION_NAMES: &[&str] = &["sessionid", "session_id", "session-id", "sessid", "sid"];
/// Schemes whose credentials are one word, and stay readable before the mask.
const SCHEMES: &[&str] = &[
    "bearer",
    "basic",
    "token",
    "digest",
    "negotiate",
    "ntlm",
    "apikey",
];
/// Bytes of a value of a lesser name that are looked at to judge what it is.
const JUDGED_BYTES_MAX: usize = 256;
/// Shortest value of `auth=` that is taken for a secret.
const AUTH_BYTES_MIN: usize = 6;
/// Shortest `sid=`, which others use for system ids and security ids.
const SID_BYTES_MIN: usize = 16;
/// Shortest `sig=` that is taken for what signs a URL rather than for a signal.
const SIG_BYTES_MIN: usize = 16;
/// Shortest run of digits that is taken for a session rather than a number of one.
const DIGITS_MIN: usize = 12;
/// Shortest word behind an unknown scheme that is taken for its credentials.
const CREDENTIALS_BYTES_MIN: usize = 8;

/// A quoted text, as deep as it is escaped.
pub(super) struct Quoted {
    /// Between the quotes.
    pub(super) inside: Range<usize>,
    /// Behind the closing quote.
    pub(super) end: usize,
}

impl Quoted {
    /// The quoted text that begins at `start`; one that is not closed goes to the end of the text.
    ///
    /// A quote inside text that is escaped `d` times stands behind `d` backslashes: `"` in plain text, `\"` in a
    /// JSON string, `\\\"` in JSON within JSON. A quote that is itself escaped there has one level more.
    pub(super) fn at(text: &[u8], start: usize) -> Option<Self> {
        let depth = backslashes(text, start);
        let quote = *text.get(start + depth)?;
        if !matches!(quote, b'"' | b'\'') {
            return None;
        }
        let from = start + depth + 1;
        let mut at = from;
        let mut run = 0;
        while at < text.len() {
            let byte = text[at];
            if byte == quote && (run < depth || run % (2 * (depth + 1)) == depth) {
                let inside = from..at - run.min(depth);
                return Some(Self {
                    inside,
                    end: at + 1,
                });
            }
            run = if byte == b'\\' { run + 1 } else { 0 };
            at += 1;
        }
        let inside = from..text.len();
        Some(Self {
            inside,
            end: text.len(),
        })
    }
}

/// What an unquoted value consists of.
#[derive(Clone, Copy)]
pub(super) enum Credentials {
    /// One word, behind the word for its kind: `Bearer abc`.
    One,
    /// `theme=dark; sessionid=…`.
    Cookie,
    /// A scheme and one word, or `username="bob", response="…"`.
    Authorization,
}

impl Credentials {
    /// The value that begins at `start`; may be empty.
    pub(super) fn at(self, text: &[u8], start: usize) -> Range<usize> {
        match self {
            Self::One => one(text, start),
            Self::Cookie => start..pairs(text, start, b';').unwrap_or_else(|| one(text, start).end),
            Self::Authorization => authorization(text, start),
        }
    }
}

/// One word, without the scheme before it.
fn one(text: &[u8], start: usize) -> Range<usize> {
    let start = behind_schemes(text, start, &SCHEMES[..3]);
    start..start + value_bytes(text, start)
}

/// The credentials behind the scheme; together with the scheme when that is not known, as it may be a secret.
fn authorization(text: &[u8], start: usize) -> Range<usize> {
    let known = behind_schemes(text, start, SCHEMES);
    if known > start {
        let word = known..known + value_bytes(text, known);
        return pairs(text, known, b',').map_or(word, |end| known..end);
    }
    let scheme = start + value_bytes(text, start);
    let word = scheme + spaces(text, scheme);
    if word == scheme || begins_masked(&text[word..]) {
        return start..scheme;
    }
    if let Some(end) = pairs(text, word, b',') {
        return start..end;
    }
    let length = opaque_bytes(text, word);
    let is_secret = length >= CREDENTIALS_BYTES_MIN && is_mixed(&text[word..word + length]);
    start..if is_secret { word + length } else { scheme }
}

/// Behind `bearer ` and the like, as often as it stands there.
fn behind_schemes(text: &[u8], start: usize, schemes: &[&str]) -> usize {
    let mut at = start;
    for scheme in schemes {
        let end = at + scheme.len();
        if text.get(end) == Some(&b' ') && text[at..end].eq_ignore_ascii_case(scheme.as_bytes()) {
            at = end + spaces(text, end);
        }
    }
    at
}

/// Where `name=value, name="value"` ends; `None` when no pair begins at `start`.
fn pairs(text: &[u8], start: usize, separator: u8) -> Option<usize> {
    let mut end = None;
    let mut at = start;
    while let Some(after) = pair(text, at, separator) {
        end = Some(after);
        if text.get(after) != Some(&separator) {
            break;
        }
        at = after + 1 + spaces(text, after + 1);
    }
    end
}

/// Where one `name=value` ends.
fn pair(text: &[u8], start: usize, separator: u8) -> Option<usize> {
    let is_name = |b: &u8| is_word(*b) || matches!(b, b'.' | b'%' | b'$' | b'!' | b'*');
    let name = text[start..].iter().take_while(|b| is_name(b)).count();
    let value = start + name + 1;
    if name == 0 || text.get(value - 1) != Some(&b'=') {
        return None;
    }
    if let Some(quoted) = Quoted::at(text, value) {
        return Some(quoted.end);
    }
    let is_value = |b: &u8| *b > b' ' && *b != separator && !matches!(b, b'"' | b'\'' | b'\\');
    Some(value + text[value..].iter().take_while(|b| is_value(b)).count())
}

/// The value of a name that announces a secret only where the value looks like one: `pass`, `auth`, `sig` and sessions.
pub(super) fn of_lesser_name(text: &[u8], name: &[u8], after: usize) -> Option<Range<usize>> {
    let judge = judge_of(name)?;
    let start = after + spaces(text, after);
    if start > after && text[after - 1] == b'=' && text[after - 2] != b' ' {
        return None; // "pass= user=bob"
    }
    if let Some(quoted) = Quoted::at(text, start) {
        let value = &text[quoted.inside.clone()];
        let mut windows = value.windows(MASK.len());
        let is_secret = judge(value) && !windows.any(begins_masked);
        return is_secret.then_some(quoted.inside);
    }
    let looked = &text[start..text.len().min(start + JUDGED_BYTES_MAX)];
    let value = &looked[..value_bytes(looked, 0)];
    // "PASS: all tests" is a sentence; "pass: hunter2" may be one.
    let is_told =
        text[after - 1] == b':' && !(is_mixed(value) && name.iter().any(u8::is_ascii_lowercase));
    (judge(value) && !is_told).then(|| start..start + value_bytes(text, start))
}

type Judge = fn(&[u8]) -> bool;

fn judge_of(name: &[u8]) -> Option<Judge> {
    if is_part(name, b"pass") {
        return Some(|value| !is_ordinary(value) && !is_counted(value));
    }
    if is_part(name, b"auth") {
        return Some(|value| {
            value.len() >= AUTH_BYTES_MIN
                && is_mixed(value)
                && !is_ordinary(value)
                && !is_mechanism(value)
        });
    }
    if is_part(name, b"sig") {
        return Some(|value| value.len() >= SIG_BYTES_MIN && is_mixed(value));
    }
    let end = SESSION_NAMES
        .iter()
        .find(|end| ends_with_ignoring_case(name, end.as_bytes()))?;
    if *end == "sid" {
        return is_part(name, b"sid").then_some(|value| {
            value.len() >= SID_BYTES_MIN && is_mixed(value) && !value.starts_with(b"S-1-")
        });
    }
    Some(|value| {
        let is_number = value.len() < DIGITS_MIN && value.iter().all(u8::is_ascii_digit);
        // Hexadecimal numbers name sessions of a protocol, not of a browser.
        !is_number && !is_ordinary(value) && !value.starts_with(b"0x")
    })
}

/// Whether the word is the name, or has it behind `_`, `-` or as `dbPass`: `bypass` and `compass` do not.
fn is_part(word: &[u8], name: &[u8]) -> bool {
    if !ends_with_ignoring_case(word, name) {
        return false;
    }
    let at = word.len() - name.len();
    let is_camel = word[at].is_ascii_uppercase() && at > 0 && word[at - 1].is_ascii_lowercase();
    at == 0 || matches!(word[at - 1], b'_' | b'-') || is_camel
}

/// What says yes, no, or how it went.
fn is_ordinary(value: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "ok",
        "null",
        "nil",
        "none",
        "undefined",
        "-",
        "pass",
        "passed",
        "fail",
        "failed",
        "failure",
        "success",
        "done",
        "skip",
        "skipped",
        "first",
        "second",
        "third",
        "final",
        "all",
        "enabled",
        "disabled",
        "required",
        "optional",
        "invalid",
        "valid",
        "missing",
        "unknown",
        "error",
        "set",
        "unset",
    ];
    WORDS
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// A number, a share or a duration: `3`, `2/3`, `99.5%`, `12ms`.
fn is_counted(value: &[u8]) -> bool {
    let unit = value
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphabetic() || **b == b'%')
        .count();
    let number = &value[..value.len() - unit];
    unit <= 2
        && !number.is_empty()
        && number
            .iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'/' | b'-' | b':'))
}

/// How somebody logs in: `oauth2`, `scram-sha-256`, `cram-md5`, `tls1.3`, an address or path of who decides.
fn is_mechanism(value: &[u8]) -> bool {
    const STARTS: &[&str] = &[
        "oauth", "scram-", "cram-", "digest-", "kerberos", "krb5", "ntlm", "tls", "/", "http",
    ];
    let starts = |start: &&str| {
        let head = value.get(..start.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
    };
    STARTS.iter().any(starts) || is_counted(value)
}

fn backslashes(text: &[u8], at: usize) -> usize {
    text[at.min(text.len())..]
        .iter()
        .take_while(|b| **b == b'\\')
        .count()
}

/// Bytes of the unquoted value at `at`.
fn value_bytes(text: &[u8], at: usize) -> usize {
    let value = &text[at.min(text.len())..];
    value.iter().take_while(|b| is_value(**b)).count()
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
