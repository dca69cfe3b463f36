//! Private keys as PEM: a block in one text, and a line of one that came alone.

use std::borrow::Cow;

use super::MASK;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
/// Longest label that is believed, in bytes: `OPENSSH PRIVATE KEY`, `PGP PRIVATE KEY BLOCK`.
const LABEL_BYTES_MAX: usize = 48;
/// Bytes of a line of a block that is not its last: 64, and 70 as OpenSSH writes them.
const LINE_BYTES: std::ops::RangeInclusive<usize> = 60..=76;

/// The text with private keys replaced from their first dash to their last. A block that does not end goes
/// to the end of the text; one that began in an earlier text is known by what its lines look like.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    if is_line_of_block(text) {
        return Cow::Borrowed(MASK);
    }
    if !text.contains(DASHES) {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, block)) = split_at_block(rest) {
        out.push_str(before);
        out.push_str(MASK);
        rest = behind_end(block);
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The text before the first private key, and the rest from its label on.
fn split_at_block(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find(BEGIN) {
        let at = from + found;
        let block = &text[at + BEGIN.len()..];
        if label(block).is_some_and(|label| label.contains("PRIVATE KEY")) {
            return Some((&text[..at], block));
        }
        from = at + BEGIN.len();
    }
    None
}

/// What follows the end of a block that begins with its label.
fn behind_end(block: &str) -> &str {
    let Some(at) = block.find(END) else {
        return "";
    };
    let end = &block[at + END.len()..];
    label(end).map_or("", |label| &end[label.len() + DASHES.len()..])
}

fn label(text: &str) -> Option<&str> {
    let is_label = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ';
    let length = text
        .bytes()
        .take(LABEL_BYTES_MAX)
        .take_while(|b| is_label(b))
        .count();
    text[length..].starts_with(DASHES).then(|| &text[..length])
}

/// One run of base64 as long as PEM makes its lines, and nothing else. Hashes have small letters only, and a
/// path begins with its slash.
fn is_line_of_block(text: &str) -> bool {
    let line = text.trim_ascii();
    let bytes = line.as_bytes();
    let has = |is: fn(&u8) -> bool| bytes.iter().any(is);
    LINE_BYTES.contains(&line.len())
        && bytes[0] != b'/'
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}
