//! Classes of bytes, and what a run of bytes looks like by them.
//!
//! Classes are bits, so that those of a whole chunk can be collected with one OR a byte.

use super::words::is_source_ending;

pub(super) const LETTER: u16 = 1;
pub(super) const DIGIT: u16 = 1 << 1;
pub(super) const DOT: u16 = 1 << 2;
pub(super) const SLASH: u16 = 1 << 3;
pub(super) const COLON: u16 = 1 << 4;
pub(super) const AT: u16 = 1 << 5;
pub(super) const BACKSLASH: u16 = 1 << 6;
pub(super) const JOINT: u16 = 1 << 7; // other punctuation inside a chunk: - # $ % ~ + * & ^ ! ?
pub(super) const SPACE: u16 = 1 << 8;
pub(super) const DELIMITER: u16 = 1 << 9; // ends a chunk: , ; = ( ) [ ] { } < > " ' ` |
pub(super) const REPEAT: u16 = 1 << 10; // set for a chunk in which punctuation is repeated

const CLASS: [u16; 256] = classes();

const fn classes() -> [u16; 256] {
    let mut table = [LETTER; 256];
    let mut b = 0;
    while b < 128 {
        let byte = b as u8;
        table[b] = if byte.is_ascii_digit() {
            DIGIT
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            LETTER
        } else if byte <= b' ' || byte == 127 {
            SPACE
        } else {
            match byte {
                b'.' => DOT,
                b'/' => SLASH,
                b':' => COLON,
                b'@' => AT,
                b'\\' => BACKSLASH,
                b',' | b';' | b'=' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>'
                | b'"' | b'\'' | b'`' | b'|' => DELIMITER,
                _ => JOINT,
            }
        };
        b += 1;
    }
    table
}

pub(super) const fn class(byte: u8) -> u16 {
    CLASS[byte as usize]
}

/// How often a byte occurs.
pub(super) fn count(bytes: &[u8], wanted: u8) -> usize {
    bytes.iter().map(|&b| usize::from(b == wanted)).sum()
}

/// Punctuation that may stand between the elements of a list of values.
pub(super) fn separates_list(punct: &[u8]) -> bool {
    punct.iter().all(|b| {
        matches!(
            b,
            b',' | b';' | b'-' | b'/' | b':' | b'|' | b'.' | b'#' | b'+' | b'~' | b'*'
        )
    })
}

/// Paths, URLs, mail addresses and names of three or more labels vary though they hold no digit.
pub(super) fn is_value_without_digits(core: &[u8]) -> bool {
    let slashes = count(core, b'/');
    if matches!(core.first(), Some(b'/' | b'\\'))
        || slashes >= 2
        || core.starts_with(b"~/")
        || core.starts_with(b"./")
    {
        return true;
    }
    if core.contains(&b'\\') {
        return true;
    }
    if let Some(at) = core.iter().position(|&b| b == b'@') {
        return at > 0 && at + 1 < core.len();
    }
    !core.contains(&b':') && is_dotted_name(core)
}

/// Three or more labels, and not the name of a constant (`a.b.SOME_EVENT`) or of an exception.
fn is_dotted_name(core: &[u8]) -> bool {
    let dots = count(core, b'.');
    if dots < 2 {
        return false;
    }
    let last = core.rsplit(|&b| b == b'.').next().unwrap_or_default();
    let shouted = last.len() > 1 && last.iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
    !(shouted || last.ends_with(b"Exception") || last.ends_with(b"Error"))
}

/// Whether what stands before `:` or `@` is a name from the program, not a value: a word, or a
/// source file, but no host name.
pub(super) fn is_constant_name(core: &[u8]) -> bool {
    let dotted = || match core.iter().rposition(|&b| b == b'.') {
        Some(dot) => !is_source_ending(&core[dot + 1..]),
        None => false,
    };
    core.len() > 1
        && core
            .iter()
            .all(|&b| class(b) & (DIGIT | SLASH | BACKSLASH) == 0)
        && class(core[0]) == LETTER
        && !dotted()
}
