//! One line of StatsD or DogStatsD: a metric, an event or a service check, borrowed from the datagram.

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Message<'a> {
    Metric(Metric<'a>),
    Event(Event<'a>),
    Check(Check<'a>),
}

/// `name:value|type|@rate|#tags`, with several values in DogStatsD's later versions.
#[derive(Debug, PartialEq)]
pub(super) struct Metric<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    pub(super) values: Vec<&'a str>,
    /// Part of what happened that is told, in (0, 1].
    pub(super) rate: f64,
    pub(super) tags: Tags<'a>,
}

/// How a metric's values are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `c`: added up.
    Count,
    /// `g`: the last one counts; `+` and `-` change it.
    Gauge,
    /// `ms`: times, in milliseconds.
    Time,
    /// `h` and `d`: a distribution of anything.
    Histogram,
    /// `s`: different values are counted.
    Set,
}

/// `_e{title length,text length}:title|text|…`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    pub(super) at_s: Option<i64>,
    pub(super) tags: Tags<'a>,
}

/// `_sc|name|status|…`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check<'a> {
    pub(super) name: &'a str,
    pub(super) status: Status,
    pub(super) at_s: Option<i64>,
    pub(super) text: &'a str,
    pub(super) tags: Tags<'a>,
}

/// What a service check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    Warning,
    Critical,
    Unknown,
}

/// Names and values; a tag without a value has the value `true`.
pub(super) type Tags<'a> = Vec<(&'a str, &'a str)>;

/// Most values of one line.
const VALUES_MAX: usize = 1_024;
/// Most tags of one line.
const TAGS_MAX: usize = 64;

/// Reads a line.
pub(super) fn read(line: &str) -> Result<Message<'_>, String> {
    if let Some(event) = line.strip_prefix("_e{") {
        return read_event(event).map(Message::Event);
    }
    if let Some(check) = line.strip_prefix("_sc|") {
        return read_check(check).map(Message::Check);
    }
    read_metric(line).map(Message::Metric)
}

fn read_metric(line: &str) -> Result<Metric<'_>, String> {
    let mut parts = line.split('|');
    let told = parts.next().unwrap_or_default();
    let (name, values) = told.split_once(':').ok_or("a metric has no value")?;
    if name.is_empty() {
        return Err("a metric has no name".to_owned());
    }
    let kind = match parts.next() {
        Some("c") => Kind::Count,
        Some("g") => Kind::Gauge,
        Some("ms") => Kind::Time,
        Some("h" | "d") => Kind::Histogram,
        Some("s") => Kind::Set,
        Some(other) => return Err(format!("type {other:?} is none of c, g, ms, h, d, s")),
        None => return Err("a metric has no type".to_owned()),
    };
    let values: Vec<&str> = match kind {
        // The members of a set may hold anything.
        Kind::Set => vec![values],
        _ => values.split(':').take(VALUES_MAX + 1).collect(),
    };
    if values.len() > VALUES_MAX {
        return Err(format!("a metric has more than {VALUES_MAX} values"));
    }
    let mut metric = Metric {
        name,
        kind,
        values,
        rate: 1.0,
        tags: Vec::new(),
    };
    for part in parts {
        if let Some(rate) = part.strip_prefix('@') {
            let rate = rate.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0);
            metric.rate = rate.ok_or_else(|| format!("sample rate {part:?} is not in (0, 1]"))?;
        } else if let Some(text) = part.strip_prefix('#') {
            metric.tags = tags(text);
        }
        // Others (container, timestamp) are for agents.
    }
    Ok(metric)
}

fn read_event(rest: &str) -> Result<Event<'_>, String> {
    let wrong = || "an event's lengths are wrong".to_owned();
    let (lengths, rest) = rest.split_once("}:").ok_or_else(wrong)?;
    let (title_len, text_len) = lengths.split_once(',').ok_or_else(wrong)?;
    let title_len: usize = title_len.parse().map_err(|_| wrong())?;
    let text_len: usize = text_len.parse().map_err(|_| wrong())?;
    let (title, rest) = rest.split_at_checked(title_len).ok_or_else(wrong)?;
    let rest = rest.strip_prefix('|').ok_or_else(wrong)?;
    let (text, rest) = rest.split_at_checked(text_len).ok_or_else(wrong)?;
    let (at_s, tags) = fields(rest);
    Ok(Event {
        title,
        text,
        at_s,
        tags,
    })
}

fn read_check(rest: &str) -> Result<Check<'_>, String> {
    let (name, rest) = rest
        .split_once('|')
        .ok_or("a service check has no status")?;
    let (status, rest) = rest.split_once('|').unwrap_or((rest, ""));
    let status = match status {
        "0" => Status::Ok,
        "1" => Status::Warning,
        "2" => Status::Critical,
        "3" => Status::Unknown,
        other => {
            return Err(format!(
                "status {other:?} of a service check is none of 0 to 3"
            ));
        }
    };
    if name.is_empty() {
        return Err("a service check has no name".to_owned());
    }
    // The message stands last and may hold anything.
    let (rest, text) = rest.split_once("m:").unwrap_or((rest, ""));
    let (at_s, tags) = fields(rest);
    Ok(Check {
        name,
        status,
        at_s,
        text,
        tags,
    })
}

/// What may follow: a time (`d:`), a host (`h:`), tags (`#`); others say nothing that is used.
fn fields(rest: &str) -> (Option<i64>, Tags<'_>) {
    let (mut at_s, mut all) = (None, Vec::new());
    for part in rest.split('|') {
        if let Some(text) = part.strip_prefix('#') {
            all.extend(tags(text));
        } else if let Some(seconds) = part.strip_prefix("d:") {
            at_s = seconds.parse().ok();
        } else if let Some(host) = part.strip_prefix("h:") {
            all.push(("host", host));
        }
    }
    (at_s, all)
}

fn tags(text: &str) -> Tags<'_> {
    let tags = text.split(',').filter(|tag| !tag.is_empty());
    tags.take(TAGS_MAX)
        .map(|tag| tag.split_once(':').unwrap_or((tag, "true")))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn metric<'a>(
        name: &'a str,
        kind: Kind,
        values: &[&'a str],
        rate: f64,
        tags: &[(&'a str, &'a str)],
    ) -> Message<'a> {
        Message::Metric(Metric {
            name,
            kind,
            values: values.to_vec(),
            rate,
            tags: tags.to_vec(),
        })
    }

    #[test]
    fn lines_of_both_dialects_are_read() {
        let cases = [
            (
                "page.views:1|c",
                metric("page.views", Kind::Count, &["1"], 1.0, &[]),
            ),
            (
                "page.views:1|c|@0.1|#env:prod,canary",
                metric(
                    "page.views",
                    Kind::Count,
                    &["1"],
                    0.1,
                    &[("env", "prod"), ("canary", "true")],
                ),
            ),
            (
                "fuel:-0.5|g",
                metric("fuel", Kind::Gauge, &["-0.5"], 1.0, &[]),
            ),
            (
                "t:320:1:2|ms|c:abc|T1656581400",
                metric("t", Kind::Time, &["320", "1", "2"], 1.0, &[]),
            ),
            (
                "users:a:b|s",
                metric("users", Kind::Set, &["a:b"], 1.0, &[]),
            ),
            (
                "_e{5,4}:title|te|t|d:17|h:n1|p:low|#env:dev",
                Message::Event(Event {
                    title: "title",
                    text: "te|t",
                    at_s: Some(17),
                    tags: vec![("host", "n1"), ("env", "dev")],
                }),
            ),
            (
                "_sc|redis.up|2|d:17|#env:dev|m:refused | again",
                Message::Check(Check {
                    name: "redis.up",
                    status: Status::Critical,
                    at_s: Some(17),
                    text: "refused | again",
                    tags: vec![("env", "dev")],
                }),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let cases = [
            ("a", "a metric has no value"),
            (":1|c", "a metric has no name"),
            ("a:1", "a metric has no type"),
            ("a:1|x", "type \"x\" is none of c, g, ms, h, d, s"),
            ("a:1|c|@2", "sample rate \"@2\" is not in (0, 1]"),
            ("a:1|c|@NaN", "sample rate \"@NaN\" is not in (0, 1]"),
            ("_e{9,1}:a|b", "an event's lengths are wrong"),
            ("_sc|a", "a service check has no status"),
            (
                "_sc|a|7",
                "status \"7\" of a service check is none of 0 to 3",
            ),
        ];
        for (line, why) in cases {
            assert_eq!(read(line), Err(why.to_owned()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "(_e\\{|_sc\\||\\PC|[0-9|:@#,{}]){0,60}") {
            let _ = read(&line);
        }
    }
}
