//! A real Kafka client's own brokers: librdkafka runs a cluster of them inside `kcat`, and `kcat` produces.
//! Messages are read once each, over a restart of ours and a cluster made anew.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stormglass::model::{SourceHealth, SourceRow};

use crate::harness::{Receiver, missing};

/// How long a peer may take to do its part.
const PATIENCE: Duration = Duration::from_secs(30);

/// Brokers that live as long as the `kcat` in which they run.
struct Cluster {
    kcat: Child,
    brokers: String,
}

impl Cluster {
    /// Two brokers with a topic of four partitions; `None` if there is no `kcat`.
    fn start(folder: &Path) -> Option<Self> {
        let log = folder.join("cluster.log");
        let said = File::create(&log).expect("the folder is writable");
        let mut command = Command::new("kcat");
        command.args(["-P", "-b", "none", "-t", "logs", "-X"]);
        command.args(["test.mock.num.brokers=2", "-d", "mock"]);
        // It runs until its input ends.
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let kcat = command.stderr(said).spawn().ok()?;
        let mut cluster = Self {
            kcat,
            brokers: String::new(),
        };
        let started = Instant::now();
        while cluster.brokers.is_empty() {
            assert!(started.elapsed() < PATIENCE, "no brokers");
            std::thread::sleep(Duration::from_millis(50));
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let found = said.split_once("bootstrap.servers=");
            let found = found.and_then(|(_, rest)| rest.split_once('\n'));
            cluster
                .brokers
                .push_str(found.map_or("", |(brokers, _)| brokers));
        }
        Some(cluster)
    }

    /// Produces one message for each line, compressed as asked.
    fn produce(&self, topic: &str, compression: &str, lines: &[String]) {
        let mut command = Command::new("kcat");
        command.args(["-P", "-b", &self.brokers, "-t", topic, "-p", "-1"]);
        let codec = format!("compression.codec={compression}");
        command.args(["-X", &codec, "-q"]);
        let mut kcat = command.stdin(Stdio::piped()).spawn().expect("it is there");
        let mut input = kcat.stdin.take().expect("it is piped");
        let text = lines.join("\n");
        input.write_all(text.as_bytes()).expect("it reads");
        drop(input);
        assert!(kcat.wait().expect("it ends").success());
    }

    /// Produces one message of a file.
    fn produce_file(&self, topic: &str, file: &Path) {
        let mut command = Command::new("kcat");
        command.args(["-P", "-b", &self.brokers, "-t", topic, "-q"]);
        let ended = command.arg(file).status().expect("it is there");
        assert!(ended.success());
    }

    fn section(&self, more: &str) -> String {
        let brokers: Vec<_> = self.brokers.split(',').collect();
        format!("[[sources.kafka]]\nbrokers = {brokers:?}\nfrom = \"start\"\n{more}\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kcat.kill();
        let _ = self.kcat.wait();
    }
}

fn lines(ids: std::ops::Range<u32>) -> Vec<String> {
    let line = |id| {
        format!(
            "{{\"message\":\"payment {id} failed\",\"service\":{{\"name\":\"cart\"}},\"log.level\":\"error\"}}"
        )
    };
    ids.map(line).collect()
}

/// Waits until a source has taken so much.
async fn taken(receiver: &Receiver, source: &str, count: u64) -> SourceRow {
    let started = Instant::now();
    loop {
        let row = receiver.source(source);
        if row.taken >= count {
            return row;
        }
        assert!(started.elapsed() < PATIENCE, "{row:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until as many messages as that are kept to be before where reading goes on.
async fn kept(data: &Path, count: i64) {
    let started = Instant::now();
    loop {
        let folder = std::fs::read_dir(data.join("polled"));
        let files = folder.into_iter().flatten().flatten();
        let places = files.filter_map(|file| {
            let text = std::fs::read_to_string(file.path()).ok()?;
            let file: serde_json::Value = serde_json::from_str(&text).ok()?;
            file["place"]["next"].as_i64()
        });
        let sum: i64 = places.sum();
        if sum == count {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{sum} of {count}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn counts(row: &SourceRow) -> (SourceHealth, u64, u64, u64, u64) {
    let (taken, rejected) = (row.taken, row.rejected);
    (row.health, taken, rejected, row.dropped, row.refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_read_once_over_restarts_and_its_place_is_what_was_recorded() {
    let folder = tempfile::tempdir().expect("a directory for the test");
    let Some(cluster) = Cluster::start(folder.path()) else {
        return missing("kcat", "apt-get install kcat");
    };
    for (i, compression) in ["none", "gzip", "snappy", "lz4", "zstd"].iter().enumerate() {
        let first = i as u32 * 20;
        cluster.produce("logs", compression, &lines(first..first + 20));
    }
    let section = cluster.section("topics = [\"logs\"]\nmessages.format = \"json\"");
    let data = folder.path().join("data");
    let receiver = Receiver::keeping(&section, &data).await;
    taken(&receiver, "kafka kafka", 100).await;
    kept(&data, 100).await;
    let templates = |engine: &stormglass::engine::Engine| engine.counts().templates;
    let found = receiver.wait_for("the template", move |engine| Some(templates(engine)));
    assert_eq!(found.await, 1);
    // What cannot be read is told, and passed.
    cluster.produce("logs", "none", &["no JSON".to_owned()]);
    cluster.produce("logs", "none", &lines(100..110));
    let row = taken(&receiver, "kafka kafka", 110).await;
    kept(&data, 111).await;
    assert_eq!(counts(&row), (SourceHealth::Live, 110, 1, 0, 0), "{row:?}");
    let refusal = receiver.source("kafka kafka").last_refusal;
    let why = refusal.expect("one was refused").why;
    assert!(
        why.starts_with("logs/") && why.contains("not a document"),
        "{why}"
    );
    receiver.stop().await;
    // What came while nobody read is there afterwards, and nothing of before.
    cluster.produce("logs", "none", &lines(110..130));
    let receiver = Receiver::keeping(&section, &data).await;
    taken(&receiver, "kafka kafka", 20).await;
    kept(&data, 131).await;
    let row = receiver.source("kafka kafka");
    assert_eq!(counts(&row), (SourceHealth::Live, 20, 0, 0, 0), "{row:?}");
    receiver.stop().await;
    // Another cluster in its place: shorter than what was read, so that it must be a new one.
    drop(cluster);
    let Some(cluster) = Cluster::start(folder.path()) else {
        return missing("kcat", "apt-get install kcat");
    };
    cluster.produce("logs", "none", &lines(0..4));
    let section = cluster.section("topics = [\"logs\"]\nmessages.format = \"json\"");
    let receiver = Receiver::keeping(&section, &data).await;
    let row = taken(&receiver, "kafka kafka", 4).await;
    kept(&data, 4).await;
    assert!(row.dropped > 0, "what is missing is told: {row:?}");
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn otlp_metrics_alerts_and_changes_come_over_topics() {
    let folder = tempfile::tempdir().expect("a directory for the test");
    let Some(cluster) = Cluster::start(folder.path()) else {
        return missing("kcat", "apt-get install kcat");
    };
    let metrics = |value: u32| {
        format!(
            "{{\"name\":\"queue_depth\",\"value\":{value},\"labels\":{{\"service\":\"cart\"}}}}"
        )
    };
    let alert =
        |name: &str| format!("{{\"labels\":{{\"alertname\":\"{name}\",\"service\":\"cart\"}}}}");
    let change = "{\"service\":\"cart\",\"version\":\"v2\"}".to_owned();
    cluster.produce("metrics", "none", &[metrics(1), metrics(2), metrics(3)]);
    cluster.produce("alerts", "none", &[alert("Slow"), alert("Failing")]);
    cluster.produce("changes", "none", &[change]);
    let spans = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/otlp/traces.pb");
    cluster.produce_file("spans", &spans);
    let formats = [
        ("metrics", "metrics"),
        ("alerts", "alerts"),
        ("changes", "changes"),
        ("spans", "otlp_traces"),
    ];
    let sections = formats.map(|(topic, format)| {
        cluster.section(&format!(
            "name = \"{topic}\"\ntopics = [\"{topic}\"]\nmessages.format = \"{format}\""
        ))
    });
    let receiver = Receiver::with(&sections.concat()).await;
    for (source, count) in [("metrics", 3), ("alerts", 2), ("changes", 1), ("spans", 1)] {
        let row = taken(&receiver, &format!("kafka {source}"), count).await;
        assert_eq!(
            (row.health, row.rejected),
            (SourceHealth::Live, 0),
            "{row:?}"
        );
    }
    let firing = |engine: &stormglass::engine::Engine| engine.counts().alerts_firing;
    let fires = receiver.wait_for("both alerts", move |engine| {
        (firing(engine) == 2).then_some(())
    });
    fires.await;
    receiver.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_and_a_topic_that_is_not_are_told() {
    let folder = tempfile::tempdir().expect("a directory for the test");
    let Some(cluster) = Cluster::start(folder.path()) else {
        return missing("kcat", "apt-get install kcat");
    };
    let absent = "[[sources.kafka]]\nname = \"absent\"\nbrokers = [\"127.0.0.1:1\"]\ntopics = [\"logs\"]\nmessages.format = \"json\"\n";
    let nowhere = cluster.section(
        "name = \"nowhere\"\ntopics = [\"logs\", \"nowhere\"]\nmessages.format = \"json\"",
    );
    let receiver = Receiver::with(&format!("{absent}{nowhere}")).await;
    for (source, told) in [
        ("kafka absent", "127.0.0.1:1: "),
        ("kafka nowhere", "nowhere: the cluster has no such topic"),
    ] {
        let started = Instant::now();
        loop {
            let row = receiver.source(source);
            if row.health == SourceHealth::Failed && row.detail.starts_with(told) {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{row:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    // The topic that is there is read all the same.
    cluster.produce("logs", "none", &lines(0..5));
    taken(&receiver, "kafka nowhere", 5).await;
    receiver.stop().await;
}
