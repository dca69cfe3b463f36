//! The types of variables: what a template shows in place of a value.
//!
//! Types inform people; they never decide which template a line belongs to, because the same
//! statement prints an address today and a host name tomorrow.

use super::bytes::count;
use serde::{Deserialize, Serialize};

/// What kind of value stands at a place of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarType {
    /// Anything: mixed values, or a word that turned out to vary.
    Any,
    /// A plain number, with sign or decimals.
    Number,
    /// A number of bytes.
    Size,
    /// A number of seconds or any other unit of time.
    Duration,
    /// A share in percent.
    Percent,
    /// A date, a time of day, or both.
    Time,
    /// An address, with port or mask.
    Ip,
    /// A host name, with port.
    Host,
    /// A file or request path.
    Path,
    /// A URL.
    Url,
    /// A mail address.
    Email,
    /// A UUID.
    Uuid,
    /// A hexadecimal number.
    Hex,
    /// An identifier: letters and digits.
    Id,
    /// A quoted text.
    Text,
    /// A masked secret.
    Secret,
}

impl VarType {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Any,
        Self::Number,
        Self::Size,
        Self::Duration,
        Self::Percent,
        Self::Time,
        Self::Ip,
        Self::Host,
        Self::Path,
        Self::Url,
        Self::Email,
        Self::Uuid,
        Self::Hex,
        Self::Id,
        Self::Text,
        Self::Secret,
    ];

    /// How the variable is written in a template.
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Any => "<*>",
            Self::Number => "<number>",
            Self::Size => "<size>",
            Self::Duration => "<duration>",
            Self::Percent => "<percent>",
            Self::Time => "<time>",
            Self::Ip => "<ip>",
            Self::Host => "<host>",
            Self::Path => "<path>",
            Self::Url => "<url>",
            Self::Email => "<email>",
            Self::Uuid => "<uuid>",
            Self::Hex => "<hex>",
            Self::Id => "<id>",
            Self::Text => "<text>",
            Self::Secret => "<secret>",
        }
    }

    /// The type that covers both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Secret, _) | (_, Self::Secret) => Self::Secret,
            (Self::Number, Self::Hex) | (Self::Hex, Self::Number) => Self::Hex,
            (Self::Number | Self::Hex | Self::Uuid, Self::Id)
            | (Self::Id, Self::Number | Self::Hex | Self::Uuid) => Self::Id,
            (Self::Ip, Self::Host) | (Self::Host, Self::Ip) => Self::Host,
            (Self::Path, Self::Url) | (Self::Url, Self::Path) => Self::Url,
            _ => Self::Any,
        }
    }

    /// The type of a value, from its text.
    pub(super) fn of(value: &[u8]) -> Self {
        let value = value.strip_prefix(b"#").unwrap_or(value);
        let Some(&first) = value.first() else {
            return Self::Any;
        };
        let has = |wanted: u8| value.contains(&wanted);
        if value == crate::model::mask::MASK.as_bytes() {
            Self::Secret
        } else if matches!(first, b'"' | b'\'') {
            Self::Text
        } else if value.windows(3).any(|w| w == b"://") {
            Self::Url
        } else if is_ip(value) {
            Self::Ip
        } else if let Some(kind) = number(value) {
            kind
        } else if is_time(value) {
            Self::Time
        } else if has(b' ') || has(b',') {
            Self::Any
        } else if is_uuid(value) {
            Self::Uuid
        } else if has(b'@') && has(b'.') {
            Self::Email
        } else if (has(b'/') || has(b'\\')) && value.iter().any(u8::is_ascii_alphabetic) {
            Self::Path
        } else if is_hex(value) {
            Self::Hex
        } else if count(value, b'.') >= 2 && first.is_ascii_alphanumeric() {
            Self::Host
        } else if value.iter().any(u8::is_ascii_digit) {
            Self::Id
        } else {
            Self::Any
        }
    }
}

/// A number, alone or with a unit.
fn number(value: &[u8]) -> Option<VarType> {
    let unsigned = value
        .strip_prefix(b"-")
        .or(value.strip_prefix(b"+"))
        .unwrap_or(value);
    let digits = unsigned
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    if digits == 0 || !unsigned.iter().any(u8::is_ascii_digit) {
        return None;
    }
    let unit: Vec<u8> = unsigned[digits..]
        .iter()
        .filter(|b| **b != b' ')
        .take(16)
        .map(u8::to_ascii_lowercase)
        .collect();
    match unit.as_slice() {
        b"" if count(&unsigned[..digits], b'.') < 2 => Some(VarType::Number),
        b"%" => Some(VarType::Percent),
        b"ns" | b"us" | b"ms" | b"s" | b"sec" | b"secs" | b"second" | b"seconds" | b"m"
        | b"min" | b"mins" | b"minute" | b"minutes" | b"h" | b"hour" | b"hours" | b"hrs"
        | b"day" | b"days" | b"nsec" | b"usec" | b"msec" | b"millis" | b"milliseconds"
        | b"microseconds" | b"nanoseconds" => Some(VarType::Duration),
        b"b" | b"k" | b"kb" | b"mb" | b"gb" | b"tb" | b"kib" | b"mib" | b"gib" | b"tib"
        | b"byte" | b"bytes" | b"kbytes" | b"mbytes" => Some(VarType::Size),
        b"hz" | b"khz" | b"mhz" | b"ghz" => Some(VarType::Number),
        _ => None,
    }
}

/// IPv4, alone or before a port or a mask, perhaps with a slash in front; or IPv6.
fn is_ip(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"/").unwrap_or(value);
    let end = value
        .iter()
        .position(|b| matches!(b, b':' | b'/'))
        .unwrap_or(value.len());
    let octets = value[..end]
        .split(|&b| b == b'.')
        .filter(|part| (1..4).contains(&part.len()) && part.iter().all(u8::is_ascii_digit));
    if octets.count() == 4 && count(&value[..end], b'.') == 3 {
        return value[end..]
            .iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'/'));
    }
    count(value, b':') >= 3
        && !(count(value, b':') == 5 && value.len() == 17)
        && value
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'/' | b'%'))
}

/// Digits joined by `:` or by date punctuation, or beginning with the name of a month or day.
fn is_time(value: &[u8]) -> bool {
    if value.get(..3).is_some_and(super::words::is_date_word) {
        return true;
    }
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let dated = value.len() >= 8
        && value[..4].iter().all(u8::is_ascii_digit)
        && matches!(value[4], b'-' | b'/' | b'.');
    let clock = value
        .windows(3)
        .any(|w| w[0].is_ascii_digit() && w[1] == b':' && w[2].is_ascii_digit());
    (dated || clock)
        && digits >= 3
        && value.iter().all(|b| {
            b.is_ascii_digit()
                || matches!(
                    b,
                    b':' | b'-' | b'/' | b'.' | b',' | b'+' | b'T' | b'Z' | b' '
                )
        })
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, b)| {
            if matches!(at, 8 | 13 | 18 | 23) {
                *b == b'-'
            } else {
                b.is_ascii_hexdigit()
            }
        })
}

fn is_hex(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"0x").or(value.strip_prefix(b"0X"));
    let hex = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    digits.map_or(value.len() >= 6 && hex(value), hex)
}
