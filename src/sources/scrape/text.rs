//! Prometheus' text format 0.0.4 and OpenMetrics 1.0, line by line, borrowing from the text.
//!
//! It reads what both have in common and where they differ (the unit of a timestamp); a line that
//! cannot be read is an error that names it, and the rest of the text is not used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::model::{SeriesKind, Unit};
use crate::sources::naming::{kind_by_name, unit_by_name, unit_of_word};

/// Suffixes of the samples of a family; the family itself is declared without them.
const FAMILY_SUFFIXES: [&str; 5] = ["_total", "_count", "_sum", "_bucket", "_created"];

/// Which of the two formats a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Timestamps are milliseconds.
    Text,
    /// Timestamps are seconds, and the text ends with `# EOF`.
    OpenMetrics,
}

/// A sample as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// Name and labels, unread.
    pub(super) series: &'a str,
    /// Its metric's name.
    pub(super) name: &'a str,
    pub(super) value: f64,
    pub(super) at_ms: Option<i64>,
}

/// Families declared so far: how they accumulate, and their unit.
#[derive(Debug, Default)]
pub(super) struct Families<'a> {
    kinds: BTreeMap<&'a str, &'a str>,
    units: BTreeMap<&'a str, &'a str>,
}

/// Name and value of a label.
pub(super) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Gives every sample to `take`, with the families declared before it.
pub(super) fn read<'a>(
    text: &'a str,
    format: Format,
    mut take: impl FnMut(Sample<'a>, &Families<'a>) -> Result<(), String>,
) -> Result<(), String> {
    let mut families = Families::default();
    for (n, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if comment.trim() == "EOF" {
                return Ok(());
            }
            families.declare(comment);
        } else if !line.is_empty() {
            let sample = sample(line, format);
            sample
                .and_then(|sample| take(sample, &families))
                .map_err(|why| format!("line {n}: {why}"))?;
        }
    }
    match format {
        Format::Text => Ok(()),
        Format::OpenMetrics => Err("the text is cut off: it has no # EOF".to_owned()),
    }
}

impl<'a> Families<'a> {
    /// Reads `TYPE name kind` and `UNIT name unit`; other comments are for people.
    fn declare(&mut self, comment: &'a str) {
        let mut words = comment.split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("TYPE"), Some(name), Some(kind)) => self.kinds.insert(name, kind),
            (Some("UNIT"), Some(name), Some(unit)) => self.units.insert(name, unit),
            _ => None,
        };
    }

    /// How a metric accumulates, and in what unit it is.
    pub(super) fn of(&self, name: &str) -> (SeriesKind, Unit) {
        let bases = FAMILY_SUFFIXES
            .iter()
            .filter_map(|end| name.strip_suffix(end));
        let family = std::iter::once(name).chain(bases);
        let family = family
            .into_iter()
            .find(|family| self.kinds.contains_key(family));
        let declared = family.and_then(|family| self.kinds.get(family).copied());
        let kind = match declared {
            Some("counter") if name.ends_with("_created") => SeriesKind::Gauge,
            Some("counter") => SeriesKind::Counter,
            Some("gauge" | "info" | "stateset" | "gaugehistogram") => SeriesKind::Gauge,
            // Parts of histograms and summaries, and what nobody declared.
            _ => kind_by_name(name),
        };
        let unit = family.and_then(|family| self.units.get(family).copied());
        let is_count = name.ends_with("_count") || name.ends_with("_bucket");
        let unit = match unit {
            Some(unit) if !is_count => unit_of_word(unit, name),
            _ => unit_by_name(name),
        };
        (kind, unit)
    }
}

/// Reads `name{labels} value [timestamp] [# exemplar]`.
fn sample(line: &str, format: Format) -> Result<Sample<'_>, String> {
    let name_end = line.find(|c: char| c == '{' || c.is_ascii_whitespace());
    let name_end = name_end.ok_or("a sample has no value")?;
    let mut series_end = name_end;
    if line[name_end..].starts_with('{') {
        series_end += labels_end(&line[name_end..])?;
    }
    let mut words = line[series_end..].split_ascii_whitespace();
    let value = words.next().ok_or("a sample has no value")?;
    let value = number(value).ok_or_else(|| format!("value {value:?} is no number"))?;
    let at_ms = match words.next() {
        None | Some("#") => None,
        Some(word) => Some(instant(word, format)?),
    };
    Ok(Sample {
        series: &line[..series_end],
        name: &line[..name_end],
        value,
        at_ms,
    })
}

/// Reads a number as Go writes it: `NaN`, `+Inf` and `-Inf` included.
fn number(word: &str) -> Option<f64> {
    word.parse().ok()
}

fn instant(word: &str, format: Format) -> Result<i64, String> {
    let wrong = || format!("timestamp {word:?} is no number");
    match format {
        Format::Text => word.parse().map_err(|_| wrong()),
        Format::OpenMetrics => {
            let seconds: f64 = word.parse().map_err(|_| wrong())?;
            Ok((seconds * 1_000.0) as i64)
        }
    }
}

/// Bytes up to and with the brace that ends the labels; one within quotes does not.
fn labels_end(text: &str) -> Result<usize, String> {
    let mut bytes = text.bytes().enumerate();
    let mut is_quoted = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if is_quoted => {
                bytes.next();
            }
            b'"' => is_quoted = !is_quoted,
            b'}' if !is_quoted => return Ok(at + 1),
            _ => {}
        }
    }
    Err("labels have no end".to_owned())
}

/// Reads name and labels of a series. A name may stand in quotes among the labels.
pub(super) fn labels(series: &str) -> Result<(Cow<'_, str>, Vec<Label<'_>>), String> {
    let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut name = Cow::Borrowed(name);
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.starts_with('}') || rest.is_empty() {
            return Ok((name, labels));
        }
        if rest.starts_with('"') {
            let (text, after) = quoted(rest)?;
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix('=') {
                let (value, after) = quoted(after.trim_start())?;
                labels.push((text, value));
                rest = after;
            } else {
                name = text;
            }
            continue;
        }
        let (label, after) = rest.split_once('=').ok_or("a label has no value")?;
        let (value, after) = quoted(after.trim_start())?;
        labels.push((Cow::Borrowed(label.trim()), value));
        rest = after;
    }
}

/// Reads a text in quotes, and gives what follows it.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), String> {
    let inside = text
        .strip_prefix('"')
        .ok_or("a label's value is not quoted")?;
    let mut plain = String::new();
    let mut from = 0;
    let mut bytes = inside.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let after = &inside[at + 1..];
                if from == 0 {
                    return Ok((Cow::Borrowed(&inside[..at]), after));
                }
                plain.push_str(&inside[from..at]);
                return Ok((Cow::Owned(plain), after));
            }
            b'\\' => {
                plain.push_str(&inside[from..at]);
                from = at + 1;
                match bytes.next() {
                    Some((_, b'n')) => {
                        plain.push('\n');
                        from += 1;
                    }
                    // What stands behind the backslash is taken as it is.
                    Some((_, b'"' | b'\\')) | None => {}
                    Some(_) => plain.push('\\'),
                }
            }
            _ => {}
        }
    }
    Err("a label's value has no end".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every sample as text: series, kind and unit, value, time.
    fn all(text: &str, format: Format) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        read(text, format, |sample, families| {
            let (kind, unit) = families.of(sample.name);
            let (name, labels) = labels(sample.series)?;
            let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
            let at = sample
                .at_ms
                .map_or_else(String::new, |at| format!(" @{at}"));
            all.push(format!(
                "{name} [{}] {kind:?} {unit:?} {}{at}",
                labels.join(" "),
                sample.value
            ));
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn the_text_format_is_read_with_its_types() {
        let text = r#"# HELP http_requests_total Requests, by \"code\".
# TYPE http_requests_total counter
http_requests_total{code="200",path="C:\\DIR\\\n\"x}\""} 1027 1395066363000
http_requests_total{ code = "500" , } 3
# TYPE pool_count gauge
pool_count 7
# TYPE rpc summary
rpc{quantile="0.99"} NaN
rpc_sum 1.7560473e+07
rpc_count 2693
undeclared_bytes +Inf
minimal 12 -3982045
"#;
        let expected = [
            r#"http_requests_total [code="200" path="C:\\DIR\\\n\"x}\""] Counter None 1027 @1395066363000"#,
            r#"http_requests_total [code="500"] Counter None 3"#,
            "pool_count [] Gauge None 7",
            r#"rpc [quantile="0.99"] Gauge None NaN"#,
            "rpc_sum [] Counter None 17560473",
            "rpc_count [] Counter None 2693",
            "undeclared_bytes [] Gauge Bytes inf",
            "minimal [] Gauge None 12 @-3982045",
        ];
        assert_eq!(
            all(text, Format::Text),
            Ok(expected.map(str::to_owned).into())
        );
    }

    #[test]
    fn openmetrics_is_read_to_its_end() {
        let text = "# TYPE acme_http counter\n# UNIT acme_http seconds\n\
            acme_http_total{path=\"/\"} 4 1520879607.789 # {trace_id=\"K\"} 0.67\n\
            acme_http_created 1520430000.123\n\
            # TYPE lat histogram\n# UNIT lat seconds\nlat_bucket{le=\"0.1\"} 8\nlat_sum 324789.3\n\
            {\"with.dots\",\"a.b\"=\"c\"} 1\n# EOF\nbehind the end\n";
        let expected = [
            "acme_http_total [path=\"/\"] Counter Seconds 4 @1520879607789",
            "acme_http_created [] Gauge Seconds 1520430000.123",
            "lat_bucket [le=\"0.1\"] Counter None 8",
            "lat_sum [] Counter Seconds 324789.3",
            "with.dots [a.b=\"c\"] Gauge None 1",
        ];
        assert_eq!(
            all(text, Format::OpenMetrics),
            Ok(expected.map(str::to_owned).into())
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let cases = [
            ("a 1\nb\n", Format::Text, "line 2: a sample has no value"),
            ("a x\n", Format::Text, "line 1: value \"x\" is no number"),
            ("a{b=\"c\" 1\n", Format::Text, "line 1: labels have no end"),
            ("a{b} 1\n", Format::Text, "line 1: a label has no value"),
            (
                "a{b=c} 1\n",
                Format::Text,
                "line 1: a label's value is not quoted",
            ),
            (
                "a 1 soon\n",
                Format::Text,
                "line 1: timestamp \"soon\" is no number",
            ),
            (
                "a 1\n",
                Format::OpenMetrics,
                "the text is cut off: it has no # EOF",
            ),
            ("<html>\n", Format::Text, "line 1: a sample has no value"),
        ];
        for (text, format, why) in cases {
            assert_eq!(all(text, format), Err(why.to_owned()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC|[\"{}=\\\\,# \n]|NaN|[0-9]){0,120}") {
            let _ = all(&text, Format::Text);
            let _ = all(&text, Format::OpenMetrics);
        }

        #[test]
        fn any_label_is_read_as_it_was_written(value in "[^\r\n]{0,40}", name in "[a-z_]{1,9}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let series = format!("m{{{name}=\"{escaped}\"}}");
            let (metric, labels) = labels(&series).expect("it was written so");
            prop_assert_eq!((&*metric, labels), ("m", vec![(name.into(), value.into())]));
        }
    }
}
