//! Loki as a source that is asked: `GET /loki/api/v1/query_range`, forward, again and again.
//!
//! Its own tail (a websocket) tells nothing of what came while nobody listened, drops lines for slow
//! listeners and ends with the connection; ranges can be asked for again.

use std::collections::BTreeMap;
use std::ops::Range;

use reqwest::Url;
use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

use super::json::{self, Stream};
use crate::config::LokiTailConfig;
use crate::model::Labels;
use crate::sources::client::{AskError, Client};
use crate::sources::polled::{Found, LogStore, Page};

/// Header that names the tenant.
const TENANT: &str = "X-Scope-OrgID";

/// Name of the source that a section of the config becomes.
pub(in crate::sources) fn name(config: &LokiTailConfig) -> String {
    format!("loki_tail {}", config.name)
}

/// What is asked where: another question begins anew.
pub(in crate::sources) fn of(config: &LokiTailConfig) -> String {
    let tenant = config.tenant.as_deref().unwrap_or_default();
    format!("loki {} {tenant} {}", config.url, config.query)
}

/// One Loki.
pub(in crate::sources) struct Loki {
    config: LokiTailConfig,
    client: Client,
    url: Url,
    /// What is left to be asked for.
    range: Range<i64>,
}

/// An answer as sent. What else is in it is of no interest.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Lines<'a> {
    #[serde(borrow)]
    result: Vec<Stream<'a>>,
}

/// What an answer holds; metric queries answer something else than lines.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    result_type: String,
}

impl Loki {
    pub(in crate::sources) fn new(config: &LokiTailConfig) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(config.timeout_s, config.token_file.clone())?,
            url: config.url()?,
            config: config.clone(),
            range: 0..0,
        })
    }
}

impl LogStore for Loki {
    const UNITS_PER_MS: i64 = 1_000_000;

    fn place(&self) -> &str {
        &self.config.url
    }

    fn begin(&mut self, from: i64, to: i64) {
        self.range = from..to;
    }

    async fn page(&mut self, lines_max: u32) -> Result<Page, AskError> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("query", &self.config.query)
            .append_pair("start", &self.range.start.to_string())
            .append_pair("end", &self.range.end.to_string())
            .append_pair("limit", &lines_max.to_string())
            .append_pair("direction", "forward");
        let mut request = self.client.http().get(url);
        if let Some(tenant) = &self.config.tenant {
            request = request.header(TENANT, tenant);
        }
        let body = self.client.ask(request).await?;
        let page = read(&body, &self.config.labels, &self.range, lines_max);
        let page = page.map_err(AskError::Refused)?;
        self.range.start = page.told_until;
        Ok(page)
    }
}

/// Reads an answer to a range.
fn read(
    body: &[u8],
    own: &BTreeMap<String, String>,
    range: &Range<i64>,
    lines_max: u32,
) -> Result<Page, String> {
    let answer: Result<Answer<Lines<'_>>, _> = serde_json::from_slice(body);
    let streams = answer.map_err(|error| no_lines(body, &error))?.data.result;
    let mut page = Page::default();
    let mut told = 0_usize;
    let mut last = range.start;
    for stream in &streams {
        told += stream.values.len();
        let pairs = stream.stream.iter().map(|(n, v)| (&**n, &**v));
        let own = own.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let labels = Labels::from_pairs(pairs.chain(own));
        for value in &stream.values {
            match (&labels, json::entry(value)) {
                (Ok(_), Ok(entry)) if !range.contains(&entry.at_ns) => {
                    page.refuse("a line of a time that was not asked for");
                }
                (Ok(labels), Ok(entry)) => {
                    last = last.max(entry.at_ns);
                    take(labels, &entry, &mut page);
                }
                (Err(error), _) => page.refuse(&error.to_string()),
                (_, Err(why)) => page.refuse(why),
            }
        }
    }
    page.lines.sort_by_key(|found| found.at);
    page.has_more = told >= lines_max as usize;
    page.told_until = last;
    if page.has_more && last <= range.start {
        page.told_until = range.start.saturating_add(1);
        page.missed = Some(format!(
            "more than {lines_max} lines of one nanosecond: Loki tells no more of them"
        ));
    }
    Ok(page)
}

/// Why an answer holds no lines.
fn no_lines(body: &[u8], error: &serde_json::Error) -> String {
    match serde_json::from_slice::<Answer<Kind>>(body) {
        Ok(answer) if answer.data.result_type != "streams" => format!(
            "`query` asks for {}, not for lines: leave out what counts them",
            answer.data.result_type
        ),
        _ => format!("not an answer of Loki: {error}"),
    }
}

/// Takes a line of a stream; one without text is none.
fn take(labels: &Labels, entry: &super::Entry<'_>, page: &mut Page) {
    let text = entry.text.trim_end();
    if text.trim().is_empty() {
        return;
    }
    let mut id = Xxh3::new();
    id.update(&labels.stable_hash().to_le_bytes());
    id.update(text.as_bytes());
    let kept = page.cut(text);
    page.lines.push(Found {
        at: entry.at_ns,
        id: id.digest(),
        line: super::line(entry.at_ns, labels.clone(), kept),
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(result: &str) -> Vec<u8> {
        let text = format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"streams\",\"result\":[{result}],\"stats\":{{}}}}}}"
        );
        text.into_bytes()
    }

    #[test]
    fn lines_of_all_streams_come_in_order_with_their_labels() {
        let body = answer(
            r#"{"stream":{"app":"cart","level":"error"},"values":[["2000000","late"],["1000000","early "],["3","   "]]},
               {"stream":{"app":"shop"},"values":[["1500000","between"],[5,"no text"]]}"#,
        );
        let own = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        let page = read(&body, &own, &(0..3_000_000), 100).unwrap();
        let told: Vec<_> = page
            .lines
            .iter()
            .map(|found| {
                let line = &found.line;
                let app = line.labels.get("app").unwrap_or_default();
                assert_eq!(line.labels.get("env"), Some("prod"));
                (found.at, app, &*line.text, line.level.is_some())
            })
            .collect();
        let expected = [
            (1_000_000, "cart", "early", true),
            (1_500_000, "shop", "between", false),
            (2_000_000, "cart", "late", true),
        ];
        assert_eq!(told, expected);
        assert_eq!((page.has_more, page.told_until), (false, 2_000_000));
        assert_eq!(
            (page.refused, page.why.as_deref()),
            (1, Some("a time must be nanoseconds as a text"))
        );
    }

    #[test]
    fn a_full_page_goes_on_where_it_ends_and_never_stands_still() {
        let body = answer(r#"{"stream":{},"values":[["5","a"],["7","b"]]}"#);
        let page = read(&body, &BTreeMap::new(), &(5..100), 2).unwrap();
        assert_eq!(
            (page.has_more, page.told_until, page.missed),
            (true, 7, None)
        );
        let body = answer(r#"{"stream":{},"values":[["5","a"],["5","b"]]}"#);
        let page = read(&body, &BTreeMap::new(), &(5..100), 2).unwrap();
        assert_eq!((page.has_more, page.told_until), (true, 6));
        assert!(page.missed.is_some());
    }

    #[test]
    fn what_are_no_lines_is_refused_by_name() {
        let cases = [
            (
                r#"{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"2"]]}]}}"#,
                "`query` asks for matrix, not for lines",
            ),
            (
                r#"{"data":{"resultType":"streams","result":7}}"#,
                "not an answer of Loki",
            ),
            ("<html>", "not an answer of Loki"),
        ];
        for (body, why) in cases {
            let error = read(body.as_bytes(), &BTreeMap::new(), &(0..9), 10).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        /// Whatever is answered: no panic, no more lines than were told, and the range moves on.
        #[test]
        fn any_answer_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            text in r#"[\[\]{}",:0-9a-z\\ -]{0,120}"#,
            at in any::<i64>(),
            from in -9..i64::MAX,
            cut in 0..200_usize,
        ) {
            let good = answer(&format!("{{\"stream\":{{\"a\":\"b\"}},\"values\":[[\"{at}\",\"x\"]]}}"));
            for body in [&bytes[..], &answer(&text), &good, &good[..cut.min(good.len())]] {
                if let Ok(page) = read(body, &BTreeMap::new(), &(from..i64::MAX), 1) {
                    prop_assert!(page.lines.len() <= body.len());
                    prop_assert!(!page.has_more || page.told_until > from);
                }
            }
        }
    }
}
