//! An Elasticsearch and an OpenSearch in this process: `_search` with `search_after`, with and without a
//! point in time, failing now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use stormglass::model::LogLine;

use crate::polled::{Running, now, serve};

/// Time in milliseconds, identity, and what it says.
type Document = (i64, u64, Value);

#[derive(Clone, Default)]
struct Cluster {
    documents: Arc<Mutex<Vec<Document>>>,
    /// What a point in time sees, by its name.
    pits: Arc<Mutex<BTreeMap<String, Vec<Document>>>>,
    opened: Arc<Mutex<u32>>,
    /// Questions that fail before one is answered: some shards first, then all.
    failures: Arc<Mutex<u32>>,
    secrets: Arc<Mutex<BTreeSet<String>>>,
}

impl Cluster {
    fn router(&self) -> Router {
        Router::new()
            .route("/_search", post(search_in_pit))
            .route("/{index}/_search", post(search))
            .route("/{index}/_pit", post(open))
            .route("/_pit", delete(close))
            .with_state(self.clone())
    }

    fn put(&self, ids: std::ops::Range<u64>, at: impl Fn(u64) -> i64) {
        let documents = ids.map(|id| {
            let source = json!({
                "message": format!("line {id}"), "service": {"name": "cart"}, "log.level": "error",
            });
            (at(id), id, source)
        });
        self.documents.lock().unwrap().extend(documents);
    }
}

async fn open(
    State(cluster): State<Cluster>,
    Path(index): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    assert_eq!((&*index, &*query["keep_alive"]), ("shop-*", "2m"));
    *cluster.opened.lock().unwrap() += 1;
    let id = format!("pit {}", cluster.opened.lock().unwrap());
    let seen = cluster.documents.lock().unwrap().clone();
    cluster.pits.lock().unwrap().insert(id.clone(), seen);
    Json(json!({ "id": id }))
}

async fn close(State(cluster): State<Cluster>, Json(body): Json<Value>) -> Json<Value> {
    let id = body["id"].as_str().expect("an id");
    cluster.pits.lock().unwrap().remove(id);
    Json(json!({"succeeded": true}))
}

async fn search_in_pit(
    State(cluster): State<Cluster>,
    headers: HeaderMap,
    Json(question): Json<Value>,
) -> Response {
    let id = question["pit"]["id"].as_str().expect("a point in time");
    let Some(seen) = cluster.pits.lock().unwrap().get(id).cloned() else {
        return (StatusCode::NOT_FOUND, "no search context found").into_response();
    };
    assert_eq!(question["sort"][1], json!({"_shard_doc": "asc"}));
    cluster.answer(&headers, &question, seen)
}

async fn search(
    State(cluster): State<Cluster>,
    Path(index): Path<String>,
    headers: HeaderMap,
    Json(question): Json<Value>,
) -> Response {
    assert_eq!(index, "shop-*");
    assert_eq!(question["sort"][1], json!({"_id": "asc"}));
    let seen = cluster.documents.lock().unwrap().clone();
    cluster.answer(&headers, &question, seen)
}

impl Cluster {
    fn answer(&self, headers: &HeaderMap, question: &Value, mut seen: Vec<Document>) -> Response {
        let secret = headers.get("authorization").map(|value| value.to_str());
        let secret = secret.and_then(Result::ok).unwrap_or_default().to_owned();
        self.secrets.lock().unwrap().insert(secret);
        let failing = {
            let mut failures = self.failures.lock().unwrap();
            let failing = *failures;
            *failures = failures.saturating_sub(1);
            failing
        };
        match failing {
            0 => {}
            1 => {
                let partial = json!({"_shards": {"total": 5, "failed": 2}, "hits": {"hits": []}});
                return Json(partial).into_response();
            }
            _ => return (StatusCode::TOO_MANY_REQUESTS, "circuit breaker").into_response(),
        }
        let range = &question["query"]["bool"]["filter"][0]["range"]["@timestamp"];
        let bounds = range["gte"].as_i64().zip(range["lt"].as_i64());
        let (from, to) = bounds.expect("a range");
        let after = question["search_after"].as_array();
        let after = after.map(|after| (after[0].as_i64().unwrap(), after[1].as_u64().unwrap()));
        seen.retain(|(at, id, _)| {
            (from..to).contains(at) && after.is_none_or(|after| (*at, *id) > after)
        });
        seen.sort_by_key(|(at, id, _)| (*at, *id));
        seen.truncate(usize::try_from(question["size"].as_u64().expect("a size")).expect("few"));
        let hits: Vec<Value> = seen
            .into_iter()
            .map(|(at, id, source)| {
                json!({"_index": "shop-1", "_id": id.to_string(), "_source": source, "sort": [at, id]})
            })
            .collect();
        let mut answer = json!({
            "took": 1, "timed_out": false, "_shards": {"total": 5, "failed": 0},
            "hits": {"hits": hits},
        });
        answer["pit_id"] = question["pit"]["id"].clone();
        Json(answer).into_response()
    }
}

/// Reads a cluster over a restart; its settings besides.
async fn is_read(more: &str) -> Cluster {
    let cluster = Cluster::default();
    let url = serve(cluster.router()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "me:s3cret\n").expect("a folder");
    let sections = format!(
        "[[sources.elastic]]\nname = \"main\"\nurl = \"{url}\"\nindex = \"shop-*\"\nquery = \"log.level:error\"\n\
         poll = {{ every_s = 1, delay_s = 0, lines_max = 7, from = \"start\" }}\ntoken_file = \"{}\"\n{more}",
        secret.display()
    );
    let begin = now().ms() - 60_000;
    // More of one instant than a page holds.
    cluster.put(0..40, |id| begin + id as i64 / 20);
    *cluster.failures.lock().unwrap() = 2;
    let mut running = Running::start(&sections, folder.path());
    let text = |line: LogLine| {
        assert_eq!(line.labels.get("service"), Some("cart"));
        line.text.to_string()
    };
    let mut taken: Vec<String> = running.lines(40).await.into_iter().map(text).collect();
    running.stop(folder.path(), begin + 2).await;
    let later = now().ms();
    cluster.put(40..50, |_| later);
    let mut running = Running::start(&sections, folder.path());
    taken.extend(running.lines(10).await.into_iter().map(text));
    running.stop(folder.path(), later).await;
    assert_eq!(taken.len(), 50);
    let expected: BTreeSet<String> = (0..50).map(|id| format!("line {id}")).collect();
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), expected);
    cluster
}

fn secrets(cluster: &Cluster) -> Vec<String> {
    cluster.secrets.lock().unwrap().iter().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elasticsearch_is_read_from_points_in_time_that_are_ended() {
    let cluster = is_read("").await;
    assert!(*cluster.opened.lock().unwrap() > 1);
    assert_eq!(secrets(&cluster), ["ApiKey me:s3cret"]);
    // One may be open of the question in which it was stopped, each time.
    let left = cluster.pits.lock().unwrap().len();
    assert!(left <= 2, "{left} points in time are left open");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opensearch_is_read_by_id() {
    let cluster = is_read("product = \"opensearch\"\nauth = \"basic\"\n").await;
    assert_eq!(*cluster.opened.lock().unwrap(), 0);
    assert_eq!(secrets(&cluster), ["Basic bWU6czNjcmV0"]);
}
