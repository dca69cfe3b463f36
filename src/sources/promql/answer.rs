//! What a server answers to a range query, as samples in order of time.
//!
//! Pure. Values that are no numbers are left out, as are series that cannot be named; what a server
//! says it could not do is an error with its own words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::{LabelsBuilder, Sample, Series, SeriesKind, Signal, Time};
use crate::sources::families::{Families, Told};
use crate::sources::naming::{check_name, unit_by_name};
use crate::sources::recent::Recent;
use crate::sources::secrets;

/// Samples by their time.
pub(super) type Steps = BTreeMap<Time, Vec<Signal>>;

/// The label that holds a metric's name.
const NAME_LABEL: &str = "__name__";
/// What a label is called that one of the config's hides.
const EXPORTED: &str = "exported_";
/// Series remembered of one section.
const SERIES_MAX: usize = 400_000;

/// Every answer of the API.
#[derive(Deserialize)]
struct Envelope<'a, T> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    data: Option<T>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Matrix<'a> {
    #[serde(borrow)]
    result: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(default)]
    values: Vec<(f64, Value)>,
}

/// What the server knows of a family.
#[derive(Deserialize)]
struct Family<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    unit: Cow<'a, str>,
}

/// A value, written as a text.
#[derive(Clone, Copy, Debug)]
struct Value(f64);

/// Series of one section, as far as they were met.
#[derive(Debug)]
pub(super) struct Book {
    labels: BTreeMap<String, String>,
    series: Recent<u128, Arc<Series>>,
    /// What names do not tell.
    families: Families,
}

impl Book {
    /// `labels` are put on every series.
    pub(super) fn new(labels: BTreeMap<String, String>) -> Self {
        Self {
            labels,
            series: Recent::new(2 * SERIES_MAX),
            families: Families::default(),
        }
    }

    /// Reads what `/api/v1/metadata` answers.
    pub(super) fn learn_kinds(&mut self, body: &[u8]) -> Result<(), String> {
        let families: BTreeMap<Cow<'_, str>, Vec<Family<'_>>> = data(body)?;
        for (name, told) in families {
            let Some(family) = told.first() else { continue };
            let kind = match &*family.kind {
                "counter" => Some(SeriesKind::Counter),
                "gauge" => Some(SeriesKind::Gauge),
                _ => None,
            };
            if let Some(told) = Told::beyond_name(&name, kind, &family.unit) {
                self.families.learn(&name, told);
            }
        }
        Ok(())
    }

    /// Reads a matrix into `steps`; series without a name get `name`. Gives how many series, and points
    /// of a time that was not asked for, could not be used, and why the first could not.
    pub(super) fn read(
        &mut self,
        body: &[u8],
        name: Option<&str>,
        asked: RangeInclusive<Time>,
        steps: &mut Steps,
    ) -> Result<(u64, Option<String>), String> {
        let matrix: Matrix<'_> = data(body)?;
        let mut refused = (0, None);
        for row in matrix.result {
            match self.series(&row.metric, name) {
                Ok(series) => {
                    for (at_s, Value(value)) in row.values {
                        let at = Time::from_ms((at_s * 1_000.0).round() as i64);
                        if !asked.contains(&at) {
                            refused.0 += 1;
                            let why =
                                || format!("a point of {} was not asked for", at.to_rfc3339());
                            refused.1.get_or_insert_with(why);
                        } else if value.is_finite() {
                            let series = Arc::clone(&series);
                            let sample = Sample { series, at, value };
                            steps.entry(at).or_default().push(Signal::Sample(sample));
                        }
                    }
                }
                Err(why) => {
                    refused.0 += 1;
                    refused.1.get_or_insert(why);
                }
            }
        }
        Ok(refused)
    }

    fn series(
        &mut self,
        metric: &BTreeMap<Cow<'_, str>, Cow<'_, str>>,
        name: Option<&str>,
    ) -> Result<Arc<Series>, String> {
        let mut key = Vec::new();
        for text in metric.iter().flat_map(|(name, value)| [name, value]) {
            key.extend_from_slice(text.as_bytes());
            // No text of JSON holds this byte.
            key.push(0xff);
        }
        key.extend_from_slice(name.unwrap_or_default().as_bytes());
        let key = xxh3_128(&key);
        if let Some(series) = self.series.get(&key) {
            return Ok(Arc::clone(series));
        }
        let own = metric.get(NAME_LABEL).map(|name| &**name);
        // A selector names its series; what an expression makes has the name it was given.
        let name = name.or(own).ok_or(
            "a series has no name: give the expression one, in `named` instead of `select`",
        )?;
        let theirs = metric
            .iter()
            .filter(|(label, value)| label.as_ref() != NAME_LABEL && !value.is_empty());
        let theirs: Vec<(String, &str)> = theirs
            .map(|(label, value)| {
                let hidden = if self.labels.contains_key(label.as_ref()) {
                    EXPORTED
                } else {
                    ""
                };
                (format!("{hidden}{label}"), &**value)
            })
            .collect();
        check_name(name)?;
        let mut builder = LabelsBuilder::default();
        for (label, value) in &theirs {
            builder.add(label, value);
        }
        for (label, value) in &self.labels {
            builder.add(label, value);
        }
        let labels = builder.build().map_err(|error| error.to_string())?;
        let (kind, unit) = match own {
            Some(own) => self.families.of(own),
            // An expression has done what was to be done with counters.
            None => (SeriesKind::Gauge, unit_by_name(name)),
        };
        let series = Arc::new(secrets::series(name, labels, kind, unit));
        self.series.put(key, Arc::clone(&series));
        Ok(series)
    }
}

/// What an answer holds, or why it holds nothing.
fn data<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    let answer: Envelope<'_, T> = serde_json::from_slice(body)
        .map_err(|error| format!("it answers no JSON of the API: {error}"))?;
    match (&*answer.status, answer.data) {
        ("success", Some(data)) => Ok(data),
        _ => Err(answer
            .error
            .map_or_else(|| "it says no reason".to_owned(), Cow::into_owned)),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number written as a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                text.parse().map(Value).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Unit;
    use proptest::prelude::*;

    fn told(steps: &Steps) -> Vec<(i64, String)> {
        let all = steps
            .iter()
            .flat_map(|(at, signals)| signals.iter().map(move |s| (at, s)));
        all.map(|(at, signal)| match signal {
            Signal::Sample(s) => {
                let series = format!(
                    "{} {:?} {:?} {}",
                    s.series.name, s.series.labels, s.series.kind, s.value
                );
                (at.ms(), series)
            }
            other => panic!("not a sample: {other:?}"),
        })
        .collect()
    }

    const ALL: RangeInclusive<Time> = Time::ZERO..=Time::from_ms(i64::MAX);

    fn book() -> Book {
        Book::new([("env".to_owned(), "prod".to_owned())].into())
    }

    #[test]
    fn a_matrix_becomes_samples_by_time() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"a_total","job":"shop","env":"theirs"},"values":[[1.5,"2"],[0,"1"],[3,"NaN"],[4,"+Inf"]]},
            {"metric":{"__name__":"odd","job":"shop"},"values":[[0,"-1e3"]]}]}}"#;
        let kinds = br#"{"status":"success","data":{"odd":[{"type":"counter","help":"","unit":"seconds"}],"a_total":[{"type":"counter"}]}}"#;
        let mut book = book();
        book.learn_kinds(kinds).unwrap();
        assert_eq!(book.families.of("odd").1, Unit::Seconds);
        let mut steps = Steps::new();
        assert_eq!(book.read(body, None, ALL, &mut steps), Ok((0, None)));
        let a = r#"a_total {"env": "prod", "exported_env": "theirs", "job": "shop"} Counter"#;
        let odd = r#"odd {"env": "prod", "job": "shop"} Counter -1000"#;
        let expected = vec![
            (0, format!("{a} 1")),
            (0, odd.to_owned()),
            (1_500, format!("{a} 2")),
        ];
        assert_eq!(told(&steps), expected);
    }

    #[test]
    fn what_has_no_name_gets_the_given_one_or_none() {
        let body = br#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"2"]]}]}}"#;
        let mut steps = Steps::new();
        let (refused, why) = book().read(body, None, ALL, &mut steps).unwrap();
        assert_eq!(
            (refused, why.map(|w| w.contains("`named`")), steps.len()),
            (1, Some(true), 0)
        );
        let read = book().read(body, Some("errors"), ALL, &mut steps);
        assert_eq!(read, Ok((0, None)));
        assert_eq!(
            told(&steps),
            [(1_000, r#"errors {"env": "prod"} Gauge 2"#.to_owned())]
        );
    }

    #[test]
    fn a_point_that_was_not_asked_for_is_counted_and_not_taken() {
        let body = br#"{"status":"success","data":{"result":[{"metric":{"__name__":"a"},
            "values":[[9.999,"1"],[10,"2"],[20,"3"],[20.001,"4"],[1e300,"5"]]}]}}"#;
        let mut steps = Steps::new();
        let asked = Time::from_secs(10)..=Time::from_secs(20);
        let read = book().read(body, None, asked, &mut steps);
        let why = "a point of 1970-01-01T00:00:09.999Z was not asked for".to_owned();
        assert_eq!(read, Ok((3, Some(why))));
        let times: Vec<i64> = told(&steps).into_iter().map(|(at_ms, _)| at_ms).collect();
        assert_eq!(times, [10_000, 20_000]);
    }

    #[test]
    fn what_a_server_cannot_do_is_told_in_its_words() {
        let cases: [(&str, &str); 5] = [
            (
                r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
                "parse error",
            ),
            (r#"{"status":"error"}"#, "it says no reason"),
            (
                "<html>",
                "it answers no JSON of the API: expected value at line 1 column 1",
            ),
            (
                r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,2]]}]}}"#,
                "it answers no JSON of the API: invalid type: integer `2`, expected a number written as a text at line 1 column 65",
            ),
            (
                r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}"#,
                "it answers no JSON of the API: invalid float literal at line 1 column 67",
            ),
        ];
        for (body, expected) in cases {
            let why = book().read(body.as_bytes(), None, ALL, &mut Steps::new());
            assert_eq!(why, Err(expected.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = book().read(&body, None, ALL, &mut Steps::new());
            let _ = book().learn_kinds(&body);
        }

        #[test]
        fn any_value_written_is_read(value: f64) {
            let body = format!(r#"{{"status":"success","data":{{"result":[{{"metric":{{}},"values":[[1,"{value}"]]}}]}}}}"#);
            let mut steps = Steps::new();
            prop_assert!(book().read(body.as_bytes(), Some("x"), ALL, &mut steps).is_ok());
            prop_assert_eq!(steps.len(), usize::from(value.is_finite()));
        }
    }
}
