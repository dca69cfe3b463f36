//! Elasticsearch and OpenSearch as sources that are asked: `_search` with `search_after`, oldest first.
//!
//! A tie breaker orders documents of the same instant: `_shard_doc` of a point in time in Elasticsearch,
//! `_id` in OpenSearch, or a field that the config names. Answers of which shards are missing are not
//! taken: they are asked for again.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use super::client::{AskError, Client, Scheme};
use super::document::Reader;
use super::polled::{Found, LogStore, Page};
use crate::config::{ElasticAuth, ElasticConfig, ElasticProduct};
use crate::model::Time;

/// How long a point in time may rest between two pages.
const PIT_KEPT: &str = "2m";

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &ElasticConfig) -> String {
    format!("elastic {}", config.name)
}

/// What is asked where: another question begins anew.
pub(super) fn of(config: &ElasticConfig) -> String {
    format!("elastic {} {} {}", config.url, config.index, config.query)
}

/// One cluster.
pub(super) struct Elastic {
    config: ElasticConfig,
    client: Client,
    reader: Reader,
    /// Where documents are searched for, and where points in time are made and ended.
    search: Url,
    search_in_pit: Url,
    open_pit: Url,
    close_pit: Url,
    from: i64,
    to: i64,
    /// The point in time that this range is read from.
    pit: Option<String>,
    /// Where the last page of the range ended.
    after: Option<Value>,
}

/// An answer as sent. What else is in it is of no interest.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards", default)]
    shards: Shards,
    pit_id: Option<String>,
    hits: Hits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shards {
    total: u64,
    failed: u64,
}

#[derive(Debug, Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
struct Hit {
    #[serde(rename = "_index", default)]
    index: String,
    #[serde(rename = "_id", default)]
    id: String,
    #[serde(rename = "_source", default)]
    source: Map<String, Value>,
    #[serde(default)]
    sort: Vec<Value>,
}

#[derive(Deserialize)]
struct Opened {
    id: String,
}

impl Elastic {
    pub(super) fn new(config: &ElasticConfig) -> Result<Self, String> {
        let scheme = match config.auth {
            ElasticAuth::ApiKey => Scheme::ApiKey,
            ElasticAuth::Bearer => Scheme::Bearer,
            ElasticAuth::Basic => Scheme::Basic,
        };
        let client = Client::new(config.timeout_s, config.token_file.clone())?;
        let mut open_pit = config.at(&format!("{}/_pit", config.index))?;
        open_pit
            .query_pairs_mut()
            .append_pair("keep_alive", PIT_KEPT)
            .append_pair("ignore_unavailable", "true");
        let mut search = config.url()?;
        search
            .query_pairs_mut()
            .append_pair("ignore_unavailable", "true");
        let mut search_in_pit = config.at("_search")?;
        for url in [&mut search, &mut search_in_pit] {
            url.query_pairs_mut()
                .append_pair("allow_partial_search_results", "false");
        }
        Ok(Self {
            client: client.with_scheme(scheme),
            reader: Reader::new(config.document.clone(), config.labels.clone()),
            search,
            search_in_pit,
            open_pit,
            close_pit: config.at("_pit")?,
            config: config.clone(),
            from: 0,
            to: 0,
            pit: None,
            after: None,
        })
    }

    /// The field that orders what is of the same instant; `None` where a point in time does.
    fn tie_breaker(&self) -> Option<&str> {
        match (&self.config.tie_breaker, self.config.product) {
            (Some(field), _) => Some(field),
            (None, ElasticProduct::Opensearch) => Some("_id"),
            (None, ElasticProduct::Elasticsearch) => None,
        }
    }

    async fn post(&self, url: &Url, body: &Value) -> Result<Vec<u8>, AskError> {
        self.client
            .ask(self.client.http().post(url.clone()).json(body))
            .await
    }

    async fn open(&mut self) -> Result<String, AskError> {
        let opened = self.post(&self.open_pit, &json!({})).await?;
        let opened: Opened = serde_json::from_slice(&opened).map_err(|error| {
            AskError::Passing(format!("not a point in time of Elasticsearch: {error}"))
        })?;
        Ok(opened.id)
    }

    /// Ends the point in time, so that it costs the cluster nothing more.
    async fn close(&mut self) {
        if let Some(id) = self.pit.take() {
            let request = self.client.http().delete(self.close_pit.clone());
            // It ends by itself as well.
            let _ = self.client.ask(request.json(&json!({ "id": id }))).await;
        }
    }

    fn question(&self, lines_max: u32) -> Value {
        let timestamp = self.config.document.timestamp.as_str();
        let fields: Vec<&str> = self.reader.names().collect();
        let tie_breaker = self.tie_breaker().unwrap_or("_shard_doc");
        let mut question = json!({
            "size": lines_max,
            "track_total_hits": false,
            "_source": fields,
            "query": { "bool": { "filter": [
                { "range": { timestamp: { "gte": self.from, "lt": self.to, "format": "epoch_millis" } } },
                { "query_string": { "query": self.config.query } },
            ] } },
            "sort": [
                { timestamp: { "order": "asc", "numeric_type": "date", "unmapped_type": "date" } },
                { tie_breaker: "asc" },
            ],
        });
        if let Some(id) = &self.pit {
            question["pit"] = json!({ "id": id, "keep_alive": PIT_KEPT });
        }
        if let Some(after) = &self.after {
            question["search_after"] = after.clone();
        }
        question
    }
}

impl LogStore for Elastic {
    const UNITS_PER_MS: i64 = 1;

    fn place(&self) -> &str {
        &self.config.url
    }

    fn begin(&mut self, from: i64, to: i64) {
        (self.from, self.to) = (from, to);
        self.pit = None;
        self.after = None;
    }

    async fn page(&mut self, lines_max: u32) -> Result<Page, AskError> {
        if self.tie_breaker().is_none() && self.pit.is_none() {
            self.pit = Some(self.open().await?);
        }
        let url = match self.pit {
            Some(_) => &self.search_in_pit,
            None => &self.search,
        };
        let range = (self.from, self.to);
        let body = self.post(url, &self.question(lines_max)).await;
        let read = body.and_then(|body| {
            read(&body, &self.reader, range, lines_max).map_err(AskError::Passing)
        });
        let (page, after, pit) = match read {
            Ok(read) => read,
            // The same page is asked for again, in pieces.
            Err(AskError::TooLong) => return Err(AskError::TooLong),
            Err(error) => {
                self.close().await;
                return Err(error);
            }
        };
        self.after = after.or(self.after.take());
        if self.pit.is_some() && pit.is_some() {
            self.pit = pit;
        }
        if !page.has_more {
            self.close().await;
        }
        Ok(page)
    }
}

/// A page, where it ends, and under which name its point in time is known from now on.
type Read = (Page, Option<Value>, Option<String>);

/// Reads an answer to a range.
fn read(
    body: &[u8],
    reader: &Reader,
    (from, to): (i64, i64),
    lines_max: u32,
) -> Result<Read, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|error| format!("not an answer of Elasticsearch: {error}"))?;
    if answer.timed_out || answer.shards.failed > 0 {
        let Shards { failed, total } = answer.shards;
        return Err(format!(
            "it could not search everything: {failed} of {total} shards failed"
        ));
    }
    let hits = answer.hits.hits;
    let mut page = Page {
        has_more: hits.len() >= lines_max as usize,
        told_until: to,
        ..Page::default()
    };
    let mut last = None;
    for hit in hits {
        let at = hit.sort.first().and_then(Value::as_i64);
        let at = at.filter(|at| (from..to).contains(at));
        let at = at.ok_or("a document does not tell where it stands in the order asked for")?;
        let mut id = Xxh3::new();
        id.update(hit.index.as_bytes());
        id.update(&[0]);
        id.update(hit.id.as_bytes());
        take(reader, &hit.source, at, id.digest(), &mut page);
        page.told_until = if page.has_more { at } else { to };
        last = Some(Value::Array(hit.sort));
    }
    Ok((page, last, answer.pit_id))
}

fn take(reader: &Reader, document: &Map<String, Value>, at: i64, id: u64, page: &mut Page) {
    let Some(message) = reader.message(document) else {
        return page.refuse("a document without a message: name its field by `message`");
    };
    let kept = page.cut(&message);
    match reader.line(document, Time::from_ms(at), kept) {
        Ok(line) => page.lines.push(Found { at, id, line }),
        Err(why) => page.refuse(&why),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::config::DocumentFields;

    fn reader() -> Reader {
        Reader::new(DocumentFields::default(), BTreeMap::new())
    }

    fn answer(hits: &str) -> String {
        format!(
            "{{\"timed_out\":false,\"_shards\":{{\"failed\":0}},\"hits\":{{\"hits\":[{hits}]}}}}"
        )
    }

    #[test]
    fn pages_go_on_where_they_end_and_bad_documents_cost_no_good_ones() {
        let hits = r#"{"_index":"l","_id":"1","_source":{"message":"a","service":{"name":"cart"}},"sort":[5,1]},
            {"_index":"l","_id":"2","_source":{"text":"b"},"sort":[6,2]},
            {"_index":"m","_id":"1","_source":{"message":"c"},"sort":[6,3]}"#;
        let (page, after, _) = read(answer(hits).as_bytes(), &reader(), (0, 10), 3).unwrap();
        let told: Vec<_> = page.lines.iter().map(|l| (l.at, &*l.line.text)).collect();
        assert_eq!(told, [(5, "a"), (6, "c")]);
        assert_ne!(page.lines[0].id, page.lines[1].id);
        assert_eq!((page.has_more, page.told_until, page.refused), (true, 6, 1));
        assert_eq!(after, Some(json!([6, 3])));
        let (page, after, _) = read(answer("").as_bytes(), &reader(), (0, 10), 3).unwrap();
        assert_eq!((page.has_more, page.told_until, after), (false, 10, None));
    }

    #[test]
    fn what_is_not_whole_is_not_taken() {
        let cases = [
            (
                r#"{"timed_out":true,"hits":{"hits":[]}}"#,
                "it could not search everything",
            ),
            (
                r#"{"_shards":{"total":5,"failed":2},"hits":{"hits":[]}}"#,
                "2 of 5 shards failed",
            ),
            (
                &answer(r#"{"sort":["x"]}"#),
                "does not tell where it stands",
            ),
            (&answer(r#"{"sort":[99]}"#), "does not tell where it stands"),
            ("<html>", "not an answer of Elasticsearch"),
        ];
        for (body, why) in cases {
            let error = read(body.as_bytes(), &reader(), (0, 10), 3).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_question_says_the_range_the_fields_and_the_order() {
        let text = "url = \"http://es\"\nindex = \"logs-*\"\nquery = \"level:error\"\n";
        let mut elastic = Elastic::new(&toml::from_str(text).unwrap()).unwrap();
        elastic.begin(5, 10);
        elastic.pit = Some("p".to_owned());
        elastic.after = Some(json!([6, 3]));
        let question = elastic.question(100);
        assert_eq!(question["pit"], json!({"id": "p", "keep_alive": "2m"}));
        assert_eq!(question["sort"][1], json!({"_shard_doc": "asc"}));
        assert_eq!(question["search_after"], json!([6, 3]));
        let range = &question["query"]["bool"]["filter"][0]["range"]["@timestamp"];
        assert_eq!((&range["gte"], &range["lt"]), (&json!(5), &json!(10)));
        assert_eq!(elastic.search.path(), "/logs-*/_search");
        let text = format!("{text}product = \"opensearch\"\n");
        let elastic = Elastic::new(&toml::from_str(&text).unwrap()).unwrap();
        assert_eq!(elastic.question(1)["sort"][1], json!({"_id": "asc"}));
    }

    proptest! {
        /// Whatever is answered: no panic, nothing out of range, no more lines than documents.
        #[test]
        fn any_answer_is_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            text in r#"[\[\]{}",:0-9a-z_\\ -]{0,120}"#,
            at in any::<i64>(),
            to in any::<i64>(),
            cut in 0..200_usize,
        ) {
            let good = answer(&format!("{{\"_id\":\"1\",\"_source\":{{\"message\":\"x\"}},\"sort\":[{at}]}}"));
            let cut = &good[..cut.min(good.len())];
            for body in [&bytes[..], answer(&text).as_bytes(), good.as_bytes(), cut.as_bytes()] {
                if let Ok((page, ..)) = read(body, &reader(), (0, to), 1) {
                    prop_assert!(page.lines.len() <= body.len());
                    prop_assert!(page.lines.iter().all(|line| (0..to).contains(&line.at)));
                }
            }
        }
    }
}
