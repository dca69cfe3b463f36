//! One syslog message as a log line: RFC 5424, RFC 3164, or whatever somebody sent instead.
//!
//! Nothing that holds text is refused: what is not syslog is a line of its sender.

use std::net::IpAddr;

use chrono::{DateTime, Datelike, FixedOffset, Local, TimeZone};
use syslog_loose::{
    IncompleteDate, Message, SyslogSeverity, Variant, parse_message_with_year_exact_tz,
};
use xxhash_rust::xxh3::Xxh3;

use crate::model::{
    LABEL_NAME_BYTES_MAX, Labels, LabelsBuilder, LogLevel, LogLine, Signal, Time, TraceId,
};
use crate::sources::recent::Recent;

/// Label sets remembered, to hold one copy of those that repeat.
const LABELS_REMEMBERED_MAX: usize = 4_096;
/// Longest name of a host or program used, in bytes; RFC 5424 allows 255 and 48.
const NAME_BYTES_MAX: usize = 255;
/// Further than this from now, a time without a year or zone is a guess that failed, in milliseconds.
const GUESS_MS_MAX: i64 = 26 * 3_600_000;
/// What a program is called that does not say.
const NAMELESS: &str = "syslog";
/// Elements of structured data that tell of the message and its clock, not of who sent it (RFC 5424, 7.1 and 7.3): they
/// differ from message to message.
const ELEMENTS_LEFT_OUT: [&str; 2] = ["timeQuality", "meta"];
/// Parameters of structured data kept of a message, at most.
const PARAMS_MAX: usize = 32;
/// Longest value kept of one, in bytes; what is longer is cut.
const PARAM_BYTES_MAX: usize = 1_024;
/// Names under which structured data carries a trace.
const TRACE_PARAMS: [&str; 4] = ["traceId", "trace_id", "traceid", "trace-id"];
/// Length of the id of a trace, in hex digits.
const TRACE_DIGITS: usize = 32;

/// Reads the messages of one listener or connection.
#[derive(Debug)]
pub(super) struct Reader {
    labels: Recent<u64, Labels>,
    /// The zone of times that name none; this machine's if not given.
    zone: Option<FixedOffset>,
}

impl Reader {
    /// Times without a zone are taken to be in the zone of this machine.
    pub(super) fn new() -> Self {
        Self::in_zone(None)
    }

    fn in_zone(zone: Option<FixedOffset>) -> Self {
        Self {
            labels: Recent::new(LABELS_REMEMBERED_MAX),
            zone,
        }
    }

    /// Reads a message; `None` if it holds no text.
    pub(super) fn read(&mut self, raw: &[u8], peer: IpAddr, now: Time) -> Option<Signal> {
        let text = String::from_utf8_lossy(raw);
        let text = text.trim_matches(['\n', '\r', '\0', ' ']);
        let message = self.parse(text, now);
        let body = message.as_ref().map_or(text, |message| message.msg);
        let body = body.trim_start_matches(['\u{feff}', ' ']).trim_end();
        if body.is_empty() {
            return None;
        }
        let trace = message.as_ref().and_then(trace);
        let at = message.as_ref().and_then(|message| message.timestamp);
        Some(Signal::Log(Box::new(LogLine {
            at: at.map_or(now, |at| Time::from_ms(at.timestamp_millis())),
            labels: self.labels(message.as_ref(), peer),
            level: message
                .as_ref()
                .and_then(|message| message.severity)
                .map(level),
            text: body.into(),
            trace,
            span: None,
        })))
    }

    /// What follows the rules of one of the two; a text without a priority follows none.
    fn parse<'a>(&self, text: &'a str, now: Time) -> Option<Message<&'a str>> {
        if !text.starts_with('<') {
            return None;
        }
        let today = local(now, self.zone)?;
        let year = |date: IncompleteDate| nearest_year(date, &today);
        let zone = Some(*today.offset());
        let parsed = parse_message_with_year_exact_tz(text, year, zone, Variant::Either);
        let mut message = parsed.ok().filter(|message| message.severity.is_some())?;
        // A guessed year may lie a month ahead for a sender whose clock is wrong.
        message.timestamp = message.timestamp.filter(|at| {
            let is_3164 = message.protocol == syslog_loose::Protocol::RFC3164;
            let off_ms = at.timestamp_millis().saturating_sub(now.ms());
            !is_3164 || off_ms.abs() <= GUESS_MS_MAX
        });
        Some(message)
    }

    /// Program, host, facility and structured data; the address for a host that does not say.
    fn labels(&mut self, message: Option<&Message<&str>>, peer: IpAddr) -> Labels {
        let address = peer.to_string();
        let host = message.and_then(|message| message.hostname);
        let host = host.filter(|host| is_name(host)).unwrap_or(&address);
        let service = message.and_then(|message| message.appname);
        let service = service.filter(|name| is_name(name)).unwrap_or(NAMELESS);
        let facility = message.and_then(|message| message.facility);
        let facility = facility.map_or("user", syslog_loose::SyslogFacility::as_str);
        let params = message.map_or_else(Vec::new, params);
        let mut hash = Xxh3::new();
        let named = params.iter().flat_map(|(name, value)| [&**name, value]);
        for part in [host, service, facility].into_iter().chain(named) {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        let key = hash.digest();
        if let Some(labels) = self.labels.get(&key) {
            return labels.clone();
        }
        let mut builder = LabelsBuilder::default();
        builder.add("host", host);
        builder.add("service", service);
        builder.add("syslog.facility", facility);
        for (name, value) in &params {
            builder.add(name, value);
        }
        let labels = builder.build().unwrap_or_default();
        self.labels.put(key, labels.clone());
        labels
    }
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

/// The year that brings a date nearest to today: December's messages are read in January too.
fn nearest_year((month, ..): IncompleteDate, today: &DateTime<FixedOffset>) -> i32 {
    match i64::from(month) - i64::from(today.month()) {
        ahead if ahead > 6 => today.year() - 1,
        behind if behind < -6 => today.year() + 1,
        _ => today.year(),
    }
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

/// What structured data says of the sender: `element.parameter` with its value, in order. Names that no label can have
/// are left out, and traces, which have a place of their own.
fn params(message: &Message<&str>) -> Vec<(String, String)> {
    let elements = message.structured_data.iter();
    let of_sender = elements.filter(|element| !ELEMENTS_LEFT_OUT.contains(&element.id));
    of_sender
        .flat_map(|element| element.params().map(|param| (element.id, param)))
        .filter(|(_, (name, value))| !TRACE_PARAMS.contains(name) && !value.is_empty())
        .map(|(id, (name, mut value))| {
            value.truncate(value.floor_char_boundary(PARAM_BYTES_MAX));
            (format!("{id}.{name}"), value)
        })
        .filter(|(name, _)| name.len() <= LABEL_NAME_BYTES_MAX)
        .take(PARAMS_MAX)
        .collect()
}

/// The trace a message belongs to, by its structured data.
fn trace(message: &Message<&str>) -> Option<TraceId> {
    let elements = message.structured_data.iter();
    let mut params = elements.flat_map(|element| &element.params);
    let (_, id) = params.find(|(name, _)| TRACE_PARAMS.contains(name))?;
    // The parser would take a sign, and shorter ids are those of another format.
    let is_id = id.len() == TRACE_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit());
    let id = u128::from_str_radix(id, 16).ok().filter(|_| is_id)?;
    Some(TraceId(id))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    const NOW: &str = "2026-11-20T15:23:30Z";

    fn time(text: &str) -> Time {
        Time::parse_rfc3339(text).unwrap()
    }

    fn read(raw: &[u8], now: &str) -> Option<LogLine> {
        let zone = FixedOffset::east_opt(3_600).unwrap();
        match Reader::in_zone(Some(zone)).read(raw, PEER, time(now)) {
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
        expected.labels = with(&expected.labels, &[("meta@32473.svc", "checkout")]);
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

    fn with(labels: &Labels, more: &[(&str, &str)]) -> Labels {
        let more = Labels::from_pairs(more.iter().copied()).unwrap();
        more.over(labels)
    }

    #[test]
    fn structured_data_is_labels() {
        let long = "x".repeat(PARAM_BYTES_MAX + 1);
        let many: Vec<String> = (0..40).map(|n| format!("p{n}=\"{n}\"")).collect();
        let name = "n".repeat(LABEL_NAME_BYTES_MAX);
        let cases: [(String, Vec<(&str, &str)>); 8] = [
            (
                "[ex@32473 iut=\"3\" esc=\"a\\\"b\\]c\\\\d\"]".into(),
                vec![("ex@32473.iut", "3"), ("ex@32473.esc", "a\"b]c\\d")],
            ),
            (
                "[a@1 x=\"1\"][b@1 x=\"2\"][c@1]".into(),
                vec![("a@1.x", "1"), ("b@1.x", "2")],
            ),
            (
                "[origin software=\"rsyslogd\" swVersion=\"8.2302\"]".into(),
                vec![
                    ("origin.software", "rsyslogd"),
                    ("origin.swVersion", "8.2302"),
                ],
            ),
            // Of the message, not of its sender.
            (
                "[meta sequenceId=\"29\"][timeQuality tzKnown=\"1\"]".into(),
                vec![],
            ),
            (
                "[a@1 x=\"1\" x=\"2\" empty=\"\" ü=\"é\"]".into(),
                vec![("a@1.x", "2"), ("a@1.ü", "é")],
            ),
            (format!("[a@1 {name}=\"1\" x=\"2\"]"), vec![("a@1.x", "2")]),
            (format!("[a@1 x=\"{long}\"]"), vec![("a@1.x", &long[1..])]),
            (format!("[a@1 {}]", many.join(" ")), Vec::new()),
        ];
        for (data, expected) in cases {
            let text = format!("<13>1 - n app - - {data} it works");
            let line = read(text.as_bytes(), NOW).expect("there is text");
            assert_eq!(&*line.text, "it works", "{data}");
            let plain = line_of(["n", "app", "user"]);
            if data.contains("p39") {
                assert_eq!(line.labels.len(), plain.len() + PARAMS_MAX);
                continue;
            }
            assert_eq!(line.labels, with(&plain, &expected), "{data}");
        }
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
            prop_assert!(line.text.ends_with(&text) , "{line:?}");
        }
    }
}
