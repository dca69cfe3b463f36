//! One syslog message as a log line: RFC 5424, RFC 3164, or whatever somebody sent instead.
//!
//! Nothing that holds text is refused: what is not syslog is a line of its sender. Structured data is part of the text,
//! never a label: who sends is told by the header alone.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, Local, TimeZone};
use syslog_loose::{SyslogFacility, SyslogSeverity};
use xxhash_rust::xxh3::xxh3_64;

use super::header::{self, Told};
use crate::model::{Labels, LabelsBuilder, LogLevel, LogLine, Signal, Time};
use crate::sources::recent::Recent;

/// Label sets remembered of datagrams, to hold one copy of those that repeat.
const LABELS_OF_DATAGRAMS_MAX: usize = 4_096;
/// The same of one stream: there may be hundreds.
const LABELS_OF_STREAM_MAX: usize = 512;
/// Longest host and program together whose labels are remembered, in bytes: usual names are far shorter, and what
/// strangers make us hold of a stream stays below 200 KiB.
const NAMES_REMEMBERED_BYTES_MAX: usize = 128;
/// Longest name of a host or program used, in bytes; RFC 5424 allows 255 and 48.
const NAME_BYTES_MAX: usize = 255;
/// What a program is called that does not say.
const NAMELESS: &str = "syslog";
/// Reads the messages of one listener or connection.
#[derive(Debug)]
pub(super) struct Reader {
    labels: Recent<u64, Labels>,
    /// The zone of times that name none; this machine's if not given.
    zone: Option<FixedOffset>,
    /// The moment asked for last, in that zone.
    today: Option<(Time, DateTime<FixedOffset>)>,
    /// What labels are remembered by, to be written anew for each message.
    key: Vec<u8>,
}

impl Reader {
    /// For the datagrams of everybody. Times without a zone are taken to be in the zone of this machine.
    pub(super) fn of_datagrams() -> Self {
        Self::new(LABELS_OF_DATAGRAMS_MAX, None)
    }

    /// For one stream; the same holds for times.
    pub(super) fn of_stream() -> Self {
        Self::new(LABELS_OF_STREAM_MAX, None)
    }

    fn new(labels_max: usize, zone: Option<FixedOffset>) -> Self {
        Self {
            labels: Recent::new(labels_max),
            zone,
            today: None,
            key: Vec::new(),
        }
    }

    /// Reads a message; `None` if it holds no text.
    pub(super) fn read(&mut self, raw: &[u8], peer: IpAddr, now: Time) -> Option<Signal> {
        let text = text_of(raw);
        let text = text.trim_matches(['\n', '\r', '\0', ' ']);
        let told = self.take_apart(text, now);
        let body = told.body.trim_start_matches(['\u{feff}', ' ']).trim_end();
        let text: Box<str> = match (body, &*told.data) {
            ("", "") => return None,
            ("", data) => data.into(),
            (body, "") => body.into(),
            (body, data) => format!("{body} {data}").into(),
        };
        Some(Signal::Log(Box::new(LogLine {
            at: told.at.unwrap_or(now),
            labels: self.labels(&told, peer),
            level: told.severity.map(level),
            text,
            trace: told.trace,
            span: None,
        })))
    }

    /// What follows the rules of one of the two; a text without a priority follows none.
    fn take_apart<'a>(&mut self, text: &'a str, now: Time) -> Told<'a> {
        let by_rule = || header::plain(text).or_else(|| header::by_library(text, self.today(now)?));
        let told = text.starts_with('<').then(by_rule).flatten();
        told.unwrap_or(Told {
            body: text,
            ..Told::default()
        })
    }

    /// The time of day where times name no zone; the messages of one moment share it.
    fn today(&mut self, now: Time) -> Option<DateTime<FixedOffset>> {
        if self.today.is_none_or(|(at, _)| at != now) {
            self.today = Some((now, local(now, self.zone)?));
        }
        self.today.map(|(_, today)| today)
    }

    /// Program, host and facility; the address for a host that does not say.
    fn labels(&mut self, told: &Told<'_>, peer: IpAddr) -> Labels {
        let named = told.host.filter(|host| is_name(host));
        let address = named.is_none().then(|| peer.to_string());
        let host = named.or(address.as_deref()).unwrap_or_default();
        let program = told.program.filter(|name| is_name(name));
        let service = program.unwrap_or(NAMELESS);
        let facility = told.facility.map_or("user", SyslogFacility::as_str);
        self.key.clear();
        for part in [host, service, facility] {
            self.key.extend_from_slice(part.as_bytes());
            self.key.push(0);
        }
        let key = xxh3_64(&self.key);
        if let Some(labels) = self.labels.get(&key) {
            return labels.clone();
        }
        let mut builder = LabelsBuilder::default();
        builder.add("host", host);
        builder.add("service", service);
        builder.add("syslog.facility", facility);
        let labels = builder.build().unwrap_or_default();
        if host.len() + service.len() <= NAMES_REMEMBERED_BYTES_MAX {
            self.labels.put(key, labels.clone());
        }
        labels
    }
}

/// The bytes as text; what is none is replaced.
fn text_of(raw: &[u8]) -> Cow<'_, str> {
    // Nearly all of it is text, which is seen much faster as a whole than piece by piece.
    std::str::from_utf8(raw).map_or_else(|_| String::from_utf8_lossy(raw), Cow::Borrowed)
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text != "-"
}

/// The time of day where times name no zone. A machine's own zone is asked anew each time: its offset
/// changes twice a year.
fn local(now: Time, zone: Option<FixedOffset>) -> Option<DateTime<FixedOffset>> {
    if let Some(zone) = zone {
        return zone.timestamp_millis_opt(now.ms()).single();
    }
    let here = Local.timestamp_millis_opt(now.ms()).single()?;
    Some(here.fixed_offset())
}

const fn level(severity: SyslogSeverity) -> LogLevel {
    match severity {
        SyslogSeverity::SEV_EMERG | SyslogSeverity::SEV_ALERT | SyslogSeverity::SEV_CRIT => {
            LogLevel::Fatal
        }
        SyslogSeverity::SEV_ERR => LogLevel::Error,
        SyslogSeverity::SEV_WARNING => LogLevel::Warn,
        SyslogSeverity::SEV_NOTICE | SyslogSeverity::SEV_INFO => LogLevel::Info,
        SyslogSeverity::SEV_DEBUG => LogLevel::Debug,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::data::{DATA_BYTES_MAX, PARAM_BYTES_MAX};
    use super::*;
    use crate::model::TraceId;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    const NOW: &str = "2026-11-20T15:23:30Z";

    fn time(text: &str) -> Time {
        Time::parse_rfc3339(text).unwrap()
    }

    fn read(raw: &[u8], now: &str) -> Option<LogLine> {
        let zone = FixedOffset::east_opt(3_600).unwrap();
        match Reader::new(8, Some(zone)).read(raw, PEER, time(now)) {
            Some(Signal::Log(line)) => Some(*line),
            other => {
                assert_eq!(other, None);
                None
            }
        }
    }

    fn line_of([host, service, facility]: [&str; 3]) -> Labels {
        let pairs = [
            ("host", host),
            ("service", service),
            ("syslog.facility", facility),
        ];
        Labels::from_pairs(pairs).unwrap()
    }

    fn line(
        at: &str,
        [host, service, facility]: [&str; 3],
        level: Option<LogLevel>,
        text: &str,
    ) -> LogLine {
        LogLine {
            at: time(at),
            labels: line_of([host, service, facility]),
            level,
            text: text.into(),
            trace: None,
            span: None,
        }
    }

    #[test]
    fn real_messages_of_both_kinds_are_read() {
        let bytes = "<131>1 2026-11-20T15:23:21.725862+00:00 vm payments - PAY01 [timeQuality tzKnown=\"1\" isSynced=\"0\"][meta@32473 traceId=\"4bf92f3577b34da6a3ce929d0e0e4736\" svc=\"checkout\"] timeout calling gateway after 3002ms\n";
        let mut expected = line(
            "2026-11-20T15:23:21.725Z",
            ["vm", "payments", "local0"],
            Some(LogLevel::Error),
            "timeout calling gateway after 3002ms",
        );
        expected.trace = Some(TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736));
        expected.text = "timeout calling gateway after 3002ms [meta@32473 svc=\"checkout\"]".into();
        assert_eq!(read(bytes.as_bytes(), NOW), Some(expected));
        let cases = [
            (
                "<165>1 2026-11-20T15:22:14.003Z host.example app 1234 ID47 - \u{feff}multiline first#012#011at com.foo",
                line(
                    "2026-11-20T15:22:14.003Z",
                    ["host.example", "app", "local4"],
                    Some(LogLevel::Info),
                    "multiline first#012#011at com.foo",
                ),
            ),
            (
                "<36>Nov 20 15:23:21 vm sshd: Failed password for invalid user admin",
                line(
                    "2026-11-20T14:23:21Z",
                    ["vm", "sshd", "auth"],
                    Some(LogLevel::Warn),
                    "Failed password for invalid user admin",
                ),
            ),
            (
                "<13>Nov 20 15:22:15 web-7 cron[77]: (root) CMD (run-parts)",
                line(
                    "2026-11-20T14:22:15Z",
                    ["web-7", "cron", "user"],
                    Some(LogLevel::Info),
                    "(root) CMD (run-parts)",
                ),
            ),
            (
                "no priority: a line of its sender",
                line(
                    NOW,
                    ["10.0.0.7", "syslog", "user"],
                    None,
                    "no priority: a line of its sender",
                ),
            ),
            (
                "<13>1 - - - - - - nobody says anything",
                line(
                    NOW,
                    ["10.0.0.7", "syslog", "user"],
                    Some(LogLevel::Info),
                    "nobody says anything",
                ),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text.as_bytes(), NOW), Some(expected), "{text}");
        }
        for empty in [
            "",
            "\n",
            "<13>1 2026-11-20T15:22:15Z a b - - -",
            "<13>1 2026-11-20T15:22:15Z a b - - - \u{feff} ",
        ] {
            assert_eq!(read(empty.as_bytes(), NOW), None, "{empty:?}");
        }
    }

    #[test]
    fn structured_data_ends_the_text_as_it_was_sent() {
        let x = |count| "x".repeat(count);
        let many: Vec<String> = (0..200).map(|n| format!("p{n}=\"{n}\"")).collect();
        let mut fitting = "[a@1".to_owned();
        for param in &many {
            if fitting.len() + 1 + param.len() >= DATA_BYTES_MAX {
                break;
            }
            fitting = format!("{fitting} {param}");
        }
        let as_sent = "[ex@32473 iut=\"3\" esc=\"a\\\"b\\]c\\\\d\"]";
        let cases = [
            (as_sent.to_owned(), as_sent.to_owned()),
            (
                "[a@1 x=\"1\"][b@1 x=\"2\" ü=\"é\"][c@1]".into(),
                "[a@1 x=\"1\"] [b@1 x=\"2\" ü=\"é\"]".into(),
            ),
            // Of the message, its way and its signature, not of what happened.
            (
                "[origin software=\"rsyslogd\"][meta sequenceId=\"29\"][timeQuality tzKnown=\"1\"][ssign SIG=\"a\"][ssign-cert FRAG=\"b\"]".into(),
                String::new(),
            ),
            (
                "[a@1 empty=\"\" traceId=\"ff\"][b@1 x=\"1\"]".into(),
                "[b@1 x=\"1\"]".into(),
            ),
            (
                format!("[a@1 x=\"{}\"]", x(PARAM_BYTES_MAX + 1)),
                format!("[a@1 x=\"{}\"]", x(PARAM_BYTES_MAX)),
            ),
            // An escape is kept whole or not at all.
            (
                format!("[a@1 x=\"{}\\\"\"]", x(PARAM_BYTES_MAX - 1)),
                format!("[a@1 x=\"{}\"]", x(PARAM_BYTES_MAX - 1)),
            ),
            (format!("[a@1 {name}=\"1\"]", name = x(2_000)), String::new()),
            (
                format!("[a@1 x=\"1\"][b@1 {name}=\"1\"]", name = x(2_000)),
                "[a@1 x=\"1\"]".into(),
            ),
            (format!("[a@1 {}]", many.join(" ")), format!("{fitting}]")),
        ];
        for (data, expected) in cases {
            let text = format!("<13>1 - n app - - {data} it works");
            let line = read(text.as_bytes(), NOW).expect("there is text");
            let gap = if expected.is_empty() { "" } else { " " };
            assert_eq!(&*line.text, format!("it works{gap}{expected}"), "{data}");
            assert!(expected.len() <= DATA_BYTES_MAX);
            assert_eq!(line.labels, line_of(["n", "app", "user"]), "{data}");
        }
        let alone = read(b"<13>1 - n app - - [a@1 x=\"1\"]", NOW).expect("there is text");
        assert_eq!(&*alone.text, "[a@1 x=\"1\"]");
    }

    #[test]
    fn structured_data_takes_the_place_of_no_program_and_no_host() {
        for data in [
            "[service name=\"billing\"][host name=\"x\"]",
            "[k8s pod.name=\"billing-7\"]",
            "[syslog facility=\"x\"]",
        ] {
            for (head, expected) in [
                ("<13>1 - n app - -", ["n", "app", "user"]),
                ("<13>1 - - - - -", ["10.0.0.7", "syslog", "user"]),
            ] {
                let text = format!("{head} {data} it works");
                let line = read(text.as_bytes(), NOW).expect("there is text");
                assert_eq!(line.labels, line_of(expected), "{text}");
            }
        }
    }

    #[test]
    fn what_strangers_send_does_not_make_label_sets() {
        let mut reader = Reader::of_stream();
        let mut held_after = |message: &dyn Fn(usize) -> String| {
            for n in 0..2 * LABELS_OF_STREAM_MAX {
                let line = reader.read(message(n).as_bytes(), PEER, time(NOW));
                assert!(line.is_some(), "there is text");
            }
            reader.labels.len()
        };
        let request = |n| format!("<13>1 - n app - - [app@1 requestId=\"{n}\"] it works");
        assert_eq!(held_after(&request), 1, "one set for all of them");
        let long = "x".repeat(NAMES_REMEMBERED_BYTES_MAX);
        let long = |n| format!("<13>1 - {long}{n} app - - - it works");
        assert_eq!(held_after(&long), 1, "long names are not remembered");
        let many = |n| format!("<13>1 - n{n} app - - - it works");
        let held = held_after(&many);
        assert!(
            (LABELS_OF_STREAM_MAX / 2..=LABELS_OF_STREAM_MAX).contains(&held),
            "{held}"
        );
    }

    #[test]
    fn only_32_hex_digits_are_a_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let signed = format!("+{}", &id[1..]);
        for (sent, expected) in [
            (id, Some(TraceId(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736))),
            ("+ff", None),
            ("ff", None),
            (&*signed, None),
            ("4bf92f3577b34da6a3ce929d0e0e47360", None),
        ] {
            let text = format!("<13>1 - n app - - [m@1 traceId=\"{sent}\"] x");
            let line = read(text.as_bytes(), NOW).expect("there is text");
            assert_eq!(line.trace, expected, "{sent}");
        }
    }

    #[test]
    fn the_zone_of_this_machine_is_the_one_of_the_moment() {
        for at in ["2026-01-15T12:00:00Z", "2026-07-15T12:00:00Z"] {
            let here = Local.timestamp_millis_opt(time(at).ms()).single().unwrap();
            let today = local(time(at), None).unwrap();
            assert_eq!(today.offset(), here.fixed_offset().offset());
        }
    }

    #[test]
    fn a_date_without_a_year_is_the_nearest_one() {
        let cases = [
            (
                "<13>Dec 31 23:59:58 n app: x",
                "2027-01-01T00:00:30Z",
                "2026-12-31T22:59:58Z",
            ),
            (
                "<13>Jan  1 00:00:02 n app: x",
                "2026-12-31T22:59:30Z",
                "2026-12-31T23:00:02Z",
            ),
            // Months off: what the sender's clock says cannot be used.
            (
                "<13>Jun  1 00:00:02 n app: x",
                "2026-11-20T00:00:00Z",
                "2026-11-20T00:00:00Z",
            ),
        ];
        for (text, now, at) in cases {
            assert_eq!(
                read(text.as_bytes(), now).map(|line| line.at),
                Some(time(at)),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_line_or_none(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&raw, NOW);
        }

        #[test]
        fn any_header_keeps_its_text(
            pri in 0..300_u32,
            header in "\\PC{0,60}",
            text in "[a-z]{3,20}",
        ) {
            let message = format!("<{pri}>1 2026-11-20T15:22:15Z {header} {text}");
            let line = read(message.as_bytes(), NOW).expect("there is text");
            prop_assert!(line.text.contains(&text) , "{line:?}");
        }
    }
}
