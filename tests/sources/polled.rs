//! Sources that ask, against servers in this process that speak as the real ones do: over HTTP, with
//! pages, failures and a restart in the middle.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use stormglass::config::parse;
use stormglass::model::{LogLine, Signal, SourceHealth, Time};
use stormglass::sources::{Listeners, SignalQueue, SourceRegistry, Sources, run, signal_queue};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long what was asked for may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
const QUIET: &str = "listen = \"127.0.0.1:0\"\notlp_listen = \"\"\notlp_grpc_listen = \"\"\nsources.host.enabled = false\n";

/// Sources that run, and what they deliver.
pub struct Running {
    queue: SignalQueue,
    pub registry: SourceRegistry,
    task: JoinHandle<()>,
}

impl Running {
    pub fn start(sections: &str, data_dir: &Path) -> Self {
        let (config, _) = parse(&format!("{QUIET}{sections}"), "t.toml").expect("it is valid");
        let (registry, queue) = signal_queue();
        let clock = Arc::new(now);
        let sources = Sources::new(Arc::new(config), &registry, clock).kept_in(Some(data_dir));
        let task = tokio::spawn(async move {
            run(&sources, Listeners::default(), None, Router::new()).await;
        });
        Self {
            queue,
            registry,
            task,
        }
    }

    /// So many lines, all of them recorded.
    pub async fn lines(&mut self, count: usize) -> Vec<LogLine> {
        let mut lines = Vec::new();
        let all = async {
            while lines.len() < count {
                let mut queued = self.queue.recv().await.expect("sources run");
                let receipt = queued.receipt();
                for signal in queued.take(now()).signals {
                    if let Signal::Log(line) = signal {
                        lines.push(*line);
                    }
                }
                if let Some(receipt) = receipt {
                    receipt.give();
                }
            }
        };
        let done = tokio::time::timeout(PATIENCE, all).await;
        assert!(done.is_ok(), "{lines:?}, {:?}", self.registry.rows(now()));
        lines
    }

    /// Stops once the place behind `next` is kept: tasks end a moment after they are told to.
    pub async fn stop(self, data_dir: &Path, next: i64) {
        let kept = async {
            while place(data_dir).is_none_or(|place| place <= next) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let kept = tokio::time::timeout(PATIENCE, kept).await;
        assert!(kept.is_ok(), "kept is {:?}, not {next}", place(data_dir));
        self.task.abort();
        // Cancelled: that is what was asked for.
        let _ = self.task.await;
    }
}

/// The one place that is kept, in its store's units.
fn place(data_dir: &Path) -> Option<i64> {
    let mut files = std::fs::read_dir(data_dir.join("polled")).ok()?.flatten();
    let file = files.find(|file| file.path().extension().is_some_and(|end| end == "json"))?;
    let text = std::fs::read_to_string(file.path()).ok()?;
    let kept: serde_json::Value = serde_json::from_str(&text).ok()?;
    kept["place"]["next"].as_i64()
}

pub fn now() -> Time {
    stormglass::daemon::Clock::real().now()
}

/// Serves on a free port until the test ends.
pub async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// A Loki: time in nanoseconds and text of each line of one stream.
#[derive(Clone, Default)]
struct Loki {
    lines: Arc<Mutex<Vec<(i64, String)>>>,
    failures: Arc<Mutex<u32>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

async fn query_range(
    State(loki): State<Loki>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let failing = {
        let mut failures = loki.failures.lock().unwrap();
        let failing = *failures;
        *failures = failures.saturating_sub(1);
        failing > 0
    };
    if failing {
        return (
            StatusCode::TOO_MANY_REQUESTS,
            "too many outstanding requests",
        )
            .into_response();
    }
    let header = |name| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let seen = (header("X-Scope-OrgID"), header("authorization"));
    loki.asked.lock().unwrap().push(seen);
    assert_eq!(
        (&*query["direction"], &*query["query"]),
        ("forward", "{app=\"cart\"} |= \"x\"")
    );
    let number = |name: &str| query[name].parse::<i64>().expect("nanoseconds");
    let (start, end, limit) = (number("start"), number("end"), number("limit"));
    let mut lines = loki.lines.lock().unwrap().clone();
    lines.retain(|(at, _)| (start..end).contains(at));
    lines.sort();
    lines.truncate(usize::try_from(limit).expect("few"));
    let values: Vec<_> = lines
        .iter()
        .map(|(at, text)| serde_json::json!([at.to_string(), text]))
        .collect();
    axum::Json(serde_json::json!({
        "status": "success",
        "data": {
            "resultType": "streams",
            "result": [{"stream": {"app": "cart", "detected_level": "warn"}, "values": values}],
            "stats": {"summary": {"bytesProcessedPerSecond": 0}},
        },
    }))
    .into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_is_read_page_by_page_and_gone_on_with_after_a_restart() {
    let loki = Loki::default();
    let router = Router::new().route("/loki/api/v1/query_range", get(query_range));
    let url = serve(router.with_state(loki.clone())).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "s3cret\n").expect("a folder");
    let secret = folder.path().join("token").display().to_string();
    let sections = format!(
        "[[sources.loki_tail]]\nname = \"main\"\nurl = \"{url}\"\nquery = '{{app=\"cart\"}} |= \"x\"'\n\
         tenant = \"shop\"\npoll = {{ every_s = 1, delay_s = 0, lines_max = 7, from = \"start\" }}\nlabels = {{ env = \"prod\" }}\n\
         token_file = \"{secret}\"\n"
    );
    let begin = now().ms() * 1_000_000 - 60_000_000_000;
    let put = |ids: std::ops::Range<i64>| {
        let lines = ids.map(|id| (begin + id / 3 * 1_000, format!("x {id}")));
        loki.lines.lock().unwrap().extend(lines);
    };
    put(0..30);
    *loki.failures.lock().unwrap() = 2;
    let mut running = Running::start(&sections, folder.path());
    let texts = |lines: Vec<LogLine>| -> Vec<String> {
        for line in &lines {
            assert_eq!(line.labels.get("env"), Some("prod"));
            assert_eq!(line.level, stormglass::model::LogLevel::parse("warn"));
        }
        lines.iter().map(|line| line.text.to_string()).collect()
    };
    let mut taken = texts(running.lines(30).await);
    let row = running.registry.rows(now()).into_iter();
    let row = row.into_iter().find(|row| row.name == "loki_tail main");
    let row = row.expect("it is registered");
    assert_eq!(
        (row.health, row.taken, row.dropped),
        (SourceHealth::Live, 30, 0)
    );
    running.stop(folder.path(), begin + 10_000).await;
    // What came meanwhile is behind what was read.
    let later = now().ms() * 1_000_000;
    let lines = (30..40).map(|id| (later + id, format!("x {id}")));
    loki.lines.lock().unwrap().extend(lines);
    let mut running = Running::start(&sections, folder.path());
    taken.extend(texts(running.lines(10).await));
    running.stop(folder.path(), later + 10).await;
    let expected: std::collections::BTreeSet<_> = (0..40).map(|id| format!("x {id}")).collect();
    assert_eq!(taken.len(), 40);
    assert_eq!(
        taken.into_iter().collect::<std::collections::BTreeSet<_>>(),
        expected
    );
    let asked = loki.asked.lock().unwrap();
    let expected = ("shop".to_owned(), "Bearer s3cret".to_owned());
    assert!(asked.iter().all(|seen| *seen == expected), "{asked:?}");
}
