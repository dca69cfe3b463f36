//! What a syslog message says of itself: read in place where it is written as nearly everybody writes it, by the
//! library wherever it is not.
//!
//! [`plain`] must never read anything otherwise than [`by_library`] does: what it is not sure of it leaves alone.

use chrono::{DateTime, Datelike, FixedOffset};
use syslog_loose::{
    IncompleteDate, Message, Protocol, SyslogFacility, SyslogSeverity, Variant, decompose_pri,
    parse_message_with_year_exact_tz,
};

use super::data;
use crate::model::{Time, TraceId};

/// Further than this from now, a time without a year or zone is a guess that failed, in milliseconds.
const GUESS_MS_MAX: i64 = 26 * 3_600_000;
/// Digits of a priority.
const PRIORITY_DIGITS_MAX: usize = 3;

/// A message taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) at: Option<Time>,
    pub(super) facility: Option<SyslogFacility>,
    pub(super) severity: Option<SyslogSeverity>,
    pub(super) host: Option<&'a str>,
    pub(super) program: Option<&'a str>,
    /// Its text, with whatever space stands before it.
    pub(super) body: &'a str,
    /// Structured data as far as it is kept.
    pub(super) data: String,
    pub(super) trace: Option<TraceId>,
}

/// A message of RFC 5424 with single spaces, names in ASCII and no structured data; `None` for any other.
pub(super) fn plain(text: &str) -> Option<Told<'_>> {
    let text = text.trim().strip_prefix('<')?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > PRIORITY_DIGITS_MAX {
        return None;
    }
    let priority: u8 = text[..digits].parse().ok()?;
    let mut rest = text[digits..].strip_prefix(">1 ")?;
    let at = match word(&mut rest)? {
        "-" => None,
        written => Some(instant(&DateTime::parse_from_rfc3339(written).ok()?)),
    };
    let host = word(&mut rest).filter(|host| !host.ends_with(':'))?;
    let program = word(&mut rest)?;
    // The number of its process and the kind of the message are not used.
    let unused = [word(&mut rest)?, word(&mut rest)?];
    if [program, unused[0], unused[1]].contains(&":") {
        return None;
    }
    let body = rest.strip_prefix('-')?;
    if !(body.is_empty() || body.starts_with(' ')) {
        return None;
    }
    let (facility, severity) = decompose_pri(priority);
    let named = |name: &'_ str| name != "-";
    Some(Told {
        at,
        facility,
        severity,
        host: Some(host).filter(|name| named(name)),
        program: Some(program).filter(|name| named(name)),
        body: body.trim_start_matches([' ', '\t']),
        ..Told::default()
    })
}

/// Takes a word and the space behind it off the beginning.
fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let length = rest.bytes().take_while(u8::is_ascii_graphic).count();
    let (word, behind) = rest.split_at(length);
    *rest = behind.strip_prefix(' ')?;
    (!word.is_empty()).then_some(word)
}

/// Whatever the library takes for a message of either kind; times without a zone are in that of `today`.
pub(super) fn by_library(text: &str, today: DateTime<FixedOffset>) -> Option<Told<'_>> {
    let year = |date: IncompleteDate| nearest_year(date, &today);
    let zone = Some(*today.offset());
    let parsed = parse_message_with_year_exact_tz(text, year, zone, Variant::Either);
    let message = parsed.ok().filter(|message| message.severity.is_some())?;
    Some(Told {
        at: believed(&message, instant(&today)),
        facility: message.facility,
        severity: message.severity,
        host: message.hostname,
        program: message.appname,
        body: message.msg,
        data: data::kept(&message),
        trace: data::trace(&message),
    })
}

/// When it says it happened. A guessed year may lie a month ahead for a sender whose clock is wrong.
fn believed(message: &Message<&str>, now: Time) -> Option<Time> {
    let at = instant(&message.timestamp?);
    let is_guessed = message.protocol == Protocol::RFC3164;
    (!is_guessed || at.since(now).abs() <= GUESS_MS_MAX).then_some(at)
}

fn instant(at: &DateTime<FixedOffset>) -> Time {
    Time::from_ms(at.timestamp_millis())
}

/// The year that brings a date nearest to today: December's messages are read in January too.
fn nearest_year((month, ..): IncompleteDate, today: &DateTime<FixedOffset>) -> i32 {
    match i64::from(month) - i64::from(today.month()) {
        ahead if ahead > 6 => today.year() - 1,
        behind if behind < -6 => today.year() + 1,
        _ => today.year(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn today() -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339("2026-11-20T15:23:30+01:00").unwrap()
    }

    #[test]
    fn what_most_senders_write_is_read_in_place() {
        let written =
            "<165>1 2026-11-20T15:23:30.5+01:00 node-1 cart 77 ID47 - GET /orders: 200 \u{e9}";
        let told = plain(written).unwrap();
        let named = (told.host, told.program, told.body);
        let expected = (Some("node-1"), Some("cart"), "GET /orders: 200 \u{e9}");
        assert_eq!(named, expected);
        let at = Time::parse_rfc3339("2026-11-20T14:23:30.500Z");
        assert_eq!(
            (told.at, told.severity),
            (at, Some(SyslogSeverity::SEV_NOTICE))
        );
        assert_eq!(Some(told), by_library(written, today()));
        for other in [
            "<14>2 - h a p m - text",
            "<14>1  - h a p m - text",
            "<14>1 - h: a p m - text",
            "<14>1 - h a p m [x y=\"1\"] text",
            "<14>1 - h a p m text",
            "<256>1 - h a p m - text",
            "<14>1 yesterday h a p m - text",
            "<14>Nov 20 15:23:30 h a[7]: text",
            "<14>1 - h",
            "<>1 - h a p m - text",
            "text",
            "",
        ] {
            assert_eq!(plain(other), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: std::env::var("PROPTEST_CASES").map_or(256, |text| text.parse().unwrap_or(256)),
            ..ProptestConfig::default()
        })]

        /// What is read in place is what the library reads, and the usual ways to write are read in place.
        #[test]
        fn in_place_or_not_a_message_is_the_same(
            priority in "[0-9]{1,3}|\\+1",
            version in "1|1|2|01",
            at in r"-|2026-11-20T1[0-9]:2[0-9]:30(\.[0-9]{1,9})?(Z|[+-]0[0-9]:[03]0)|Nov 20|\PC{0,4}",
            words in prop::collection::vec(r"-|:|[a-z0-9.:\[\]/-]{1,12}|\PC{0,3}", 4),
            gaps in prop::collection::vec(" | | | |  |\t|", 6),
            data in r"-|-|-|\[a b=.c.\]|\PC{0,4}",
            body in r"|( |\t|\u{feff})?\PC{0,30}",
        ) {
            let mut text = format!("<{priority}>{version}");
            let parts = [&at].into_iter().chain(&words).chain([&data]);
            for (gap, part) in gaps.iter().zip(parts) {
                text.push_str(gap);
                text.push_str(part);
            }
            if !body.is_empty() {
                text.push(' ');
                text.push_str(&body);
            }
            if let Some(told) = plain(&text) {
                prop_assert_eq!(Some(told), by_library(&text, today()), "{}", text);
            }
        }

        #[test]
        fn what_everybody_writes_is_read_in_place(
            priority in 0_u8..192,
            host in "[a-z][a-z0-9.-]{0,20}",
            program in "[a-zA-Z][a-zA-Z0-9_/-]{0,20}",
            body in r"[^\s\x00]{1,20}( [^\s\x00]{1,20}){0,5}",
        ) {
            let text = format!("<{priority}>1 2026-11-20T15:23:30Z {host} {program} 77 - - {body}");
            let told = plain(&text).expect("it is plain");
            prop_assert_eq!((told.host, told.program), (Some(&*host), Some(&*program)));
            prop_assert_eq!(Some(told), by_library(&text, today()), "{}", text);
        }
    }
}
