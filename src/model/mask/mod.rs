//! Secrets out of log text, before anything of it is kept, counted or shown.
//!
//! Recognises values by the name before them (`password=`, `token:`, `Authorization: Bearer`),
//! by where they stand (the credentials of a URL, the path of a webhook), and by their own shape (keys that carry their
//! issuer's prefix, JSON web tokens, private key blocks). Rather masks too much than too little;
//! never shortens text that holds no secret, and never reads further than the text it was given.
//! Linear in the length of the text, and masking twice is masking once.

mod key_block;
mod url;
mod value;

use std::borrow::Cow;
use std::ops::Range;

use sha2::{Digest, Sha256};

use value::{Credentials, Quoted};

/// What stands in place of a secret.
pub const MASK: &str = "<secret>";

/// How what stands in place of a secret begins in a label, before the digits that tell it from others.
const TAGGED: &str = "<secret-";
/// Hexadecimal digits of a hash that tell one secret of a label from others: all that is needed of a long one, which nobody
/// can guess, and so few of a short one that they give it away to nobody who tries words.
const TAG_DIGITS_MAX: usize = 8;
const TAG_DIGITS_OF_SHORT: usize = 3;
/// What Kubernetes' metrics call an object by that holds secrets.
const OBJECT_LABEL: &str = "secret";

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
    "accountkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "passcode",
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
    ("ghr_", 20),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("xoxa-", 20),
    ("xoxs-", 20),
    ("xoxr-", 20),
    ("xapp-", 20),
    ("sk_live_", 20),
    ("rk_live_", 20),
    ("sk_test_", 20),
    ("rk_test_", 20),
    ("whsec_", 24),
    ("sk-ant-", 30),
    ("sk-proj-", 30),
    ("hvs.", 24),
    ("hvb.", 24),
    ("SG.", 40),
    ("ya29.", 30),
    ("GOCSPX-", 28),
    ("shpat_", 30),
    ("dop_v1_", 40),
    ("dckr_pat_", 30),
    ("pypi-AgEI", 40),
    ("AGE-SECRET-KEY-", 40),
    ("AIza", 35),
    ("npm_", 30),
    ("eyJ", 30),
];

/// The shortest of those keys, in bytes.
const KEY_BYTES_MIN: usize = 20;
/// From this length on, a value of letters and digits after a telling word is taken for a secret.
const OPAQUE_BYTES_MIN: usize = 16;
/// Longest name that is compared, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The text with every secret replaced by [`MASK`]; borrowed when there is none.
pub fn mask_secrets(text: &str) -> Cow<'_, str> {
    match key_block::mask(text) {
        Cow::Borrowed(text) => mask_announced(text),
        Cow::Owned(text) => Cow::Owned(mask_announced(&text).into_owned()),
    }
}

/// The value of an attribute of that name: masked as a whole when the name announces a secret.
pub fn mask_named<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let is_secret = name.len() <= NAME_BYTES_MAX && is_secret_name(name.as_bytes());
    if is_secret && !value.is_empty() && !is_mask(value) {
        return Cow::Borrowed(MASK);
    }
    if is_plain(value) {
        return Cow::Borrowed(value);
    }
    mask_secrets(value)
}

/// Whether a value is shorter than any key and assigns nothing, as most of labels are: then nothing of it is masked.
fn is_plain(value: &str) -> bool {
    let assigns = |byte: u8| matches!(byte, b'=' | b':' | b' ' | b'%');
    value.len() < KEY_BYTES_MIN && !value.bytes().any(assigns)
}

/// The value of a label of that name, where labels tell one thing from another: masked as [`mask_named`] does it, and as a
/// whole told from what was another by a few digits of a hash. The name of an object of Kubernetes is no secret.
pub fn mask_label<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    let masked = if name == OBJECT_LABEL && is_object_name(value) {
        mask_secrets(value)
    } else {
        mask_named(name, value)
    };
    if *masked == *value {
        return Cow::Borrowed(value);
    }
    let masks = masked.matches(MASK).count() * MASK.len();
    let hidden_bytes = (value.len() + masks).saturating_sub(masked.len());
    let digits = if hidden_bytes < OPAQUE_BYTES_MIN {
        TAG_DIGITS_OF_SHORT
    } else {
        TAG_DIGITS_MAX
    };
    let hash = Sha256::digest(value.as_bytes());
    let hash = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let tagged = format!("{TAGGED}{}>", &format!("{hash:08x}")[..digits]);
    Cow::Owned(masked.replacen(MASK, &tagged, 1))
}

/// Whether a value is a mask and nothing else.
fn is_mask(value: &str) -> bool {
    let inside = value
        .strip_prefix(TAGGED)
        .and_then(|rest| rest.strip_suffix('>'));
    let is_tag =
        |tag: &str| tag.len() <= TAG_DIGITS_MAX && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    value == MASK || inside.is_some_and(is_tag)
}

fn begins_masked(text: &[u8]) -> bool {
    text.starts_with(MASK.as_bytes()) || text.starts_with(TAGGED.as_bytes())
}

/// A name as Kubernetes takes it, and no key: in small letters, digits, dots and hyphens.
fn is_object_name(value: &str) -> bool {
    let is_named = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-')
    };
    let is_opaque = value.len() >= OPAQUE_BYTES_MIN
        && is_mixed(value.as_bytes())
        && !value.contains(['.', '-']);
    value.bytes().all(is_named) && !is_opaque
}

fn mask_announced(text: &str) -> Cow<'_, str> {
    let mut out: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        let Some(secret) = next_secret(text.as_bytes(), at) else {
            break;
        };
        // Ranges begin and end at ASCII bytes or the ends of the text.
        if !secret.is_empty() && !text.get(secret.clone()).is_some_and(is_mask) {
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
        if !is_word(text[at]) {
            if text[at..].starts_with(b"://")
                && let Some(secret) = url::secret(text, at + 3)
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
    if let Some(key) = key_at(text, word.start) {
        return Some(key);
    }
    if bytes.len() > NAME_BYTES_MAX {
        return None;
    }
    if bytes.eq_ignore_ascii_case(b"bearer")
        && let Some((value, _)) = value_of(text, word.end)
    {
        return assigned_value(text, bytes, value);
    }
    if bytes.eq_ignore_ascii_case(b"bearer") || bytes.eq_ignore_ascii_case(b"basic") {
        return opaque_value(text, word.end, 8);
    }
    if !is_secret_name(bytes) {
        // Hardly any word has a value, so that the lesser names are looked for behind those alone.
        let (value, _) = value_of(text, word.end)?;
        return value::of_lesser_name(text, bytes, value);
    }
    match value_of(text, word.end) {
        // "password= user=bob" holds an empty value, "password = bob" does not.
        Some((value, Gap::None)) if text[value - 1] == b'=' && text.get(value) == Some(&b' ') => {
            None
        }
        Some((value, _)) if names_a_folder(text, word.clone(), value) => None,
        Some((value, _)) => assigned_value(text, bytes, value),
        None if bytes.starts_with(b"--") => option_value(text, bytes, word.end),
        None => opaque_value(text, word.end, OPAQUE_BYTES_MIN),
    }
}

/// The key that its issuer's prefix betrays. Few words are as long as any key, so that most are dismissed before a prefix is
/// compared.
fn key_at(text: &[u8], start: usize) -> Option<Range<usize>> {
    let shortest = text.get(start..start + KEY_BYTES_MIN)?;
    if !shortest.iter().all(|byte| is_opaque(*byte)) {
        return None;
    }
    let is_prefix = |(prefix, _): &&(&str, usize)| text[start..].starts_with(prefix.as_bytes());
    let (_, bytes_min) = KEY_PREFIXES.iter().find(is_prefix)?;
    let opaque = opaque_bytes(text, start);
    (opaque >= *bytes_min).then(|| start..start + opaque)
}

/// The value of an option of a command, `--password hunter2`; nothing when another option follows.
fn option_value(text: &[u8], name: &[u8], after: usize) -> Option<Range<usize>> {
    let value = after + spaces(text, after);
    if value == after || text.get(value) == Some(&b'-') {
        return None;
    }
    assigned_value(text, name, after)
}

/// Whether white space stands between a name and what assigns to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gap {
    None,
    Some,
}

/// Where the value begins that is assigned at `at`: behind `=`, `:`, `:=` or `=>`, of a name that may be
/// quoted (`"password": …`, `\"password\": …`), or behind the `%3D` of a URL within a URL.
fn value_of(text: &[u8], at: usize) -> Option<(usize, Gap)> {
    if matches!(text.get(at..at + 3), Some(b"%3D" | b"%3d")) {
        return Some((at + 3, Gap::None));
    }
    let mut at = at;
    if matches!(text.get(at), Some(b'"' | b'\'' | b'\\')) {
        let escapes = text[at..].iter().take_while(|b| **b == b'\\').count();
        if !matches!(text.get(at + escapes), Some(b'"' | b'\'')) {
            return None;
        }
        at += escapes + 1;
    }
    let gap = spaces(text, at);
    let at = at + gap;
    let gap = if gap == 0 { Gap::None } else { Gap::Some };
    match (text.get(at)?, text.get(at + 1)) {
        (b'=', Some(b'>')) | (b':', Some(b'=')) => Some((at + 2, gap)),
        (b'=' | b':', _) => Some((at + 1, gap)),
        _ => None,
    }
}

/// The value of a secret's name; nothing when it is empty or plainly not a secret.
fn assigned_value(text: &[u8], name: &[u8], after: usize) -> Option<Range<usize>> {
    let start = after + spaces(text, after);
    if begins_masked(&text[start..]) {
        return None;
    }
    if let Some(quoted) = Quoted::at(text, start) {
        let secret = quoted.inside;
        let is_masked = begins_masked(&text[secret.clone()]);
        return (!secret.is_empty() && !is_masked).then_some(secret);
    }
    let credentials = if ends_with_ignoring_case(name, b"cookie") {
        Credentials::Cookie
    } else if ends_with_ignoring_case(name, b"authorization") {
        Credentials::Authorization
    } else {
        Credentials::One
    };
    let secret = credentials.at(text, start);
    let absent = matches!(
        &text[secret.clone()],
        b"" | b"null" | b"nil" | b"none" | b"None" | b"true" | b"false" | b"-"
    );
    let is_masked = begins_masked(&text[secret.start..]);
    (!absent && !is_masked).then_some(secret)
}

/// `PWD=/home/bob` and `OLDPWD=` are where a shell stands; any other `pwd=` is a password.
fn names_a_folder(text: &[u8], name: Range<usize>, value: usize) -> bool {
    matches!(&text[name], b"PWD" | b"OLDPWD") && text.get(value) == Some(&b'/')
}

/// A long value without spaces that holds digits and letters, after white space.
fn opaque_value(text: &[u8], after: usize, bytes_min: usize) -> Option<Range<usize>> {
    let start = after + spaces(text, after);
    if start == after {
        return None;
    }
    let value = &text[start..start + opaque_bytes(text, start)];
    (value.len() >= bytes_min && is_mixed(value)).then(|| start..start + value.len())
}

fn is_secret_name(word: &[u8]) -> bool {
    let mut letters = [0_u8; NAME_BYTES_MAX];
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

fn ends_with_ignoring_case(word: &[u8], end: &[u8]) -> bool {
    let at = word.len().checked_sub(end.len());
    at.is_some_and(|at| word[at..].eq_ignore_ascii_case(end))
}

fn opaque_bytes(text: &[u8], at: usize) -> usize {
    text[at..].iter().take_while(|b| is_opaque(**b)).count()
}

fn is_mixed(value: &[u8]) -> bool {
    value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic)
}

fn spaces(text: &[u8], at: usize) -> usize {
    text[at.min(text.len())..]
        .iter()
        .take_while(|b| **b == b' ')
        .count()
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Bytes of keys, base64 and JSON web tokens.
const fn is_opaque(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'/' | b'=' | b'~' | b'|')
}

#[cfg(test)]
mod tests;
