//! Scraping: asks targets for their metrics, as Prometheus does, in its text format or OpenMetrics.
//!
//! Each target has a rhythm and a task of its own. One that does not answer is told as `up 0`, and its
//! series end. Handing over waits while the engine is behind: the next scrape is late, none is queued.

mod text;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use super::client::{http_client, in_full, token};
use super::http::{self, Limits};
use super::naming::check_name;
use super::recent::Recent;
use super::{Clock, SignalSender, secrets};
use crate::config::ScrapeConfig;
use crate::model::{Labels, Sample, Series, SeriesId, SeriesKind, Signal, Time, Unit};
use text::{Families, Format};

/// What we understand, the better first.
const ACCEPTED: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// What says a text is OpenMetrics.
const OPENMETRICS_TYPE: &str = "application/openmetrics-text";
/// Most samples of one scrape; a target with more is refused whole, by name.
const SAMPLES_MAX: usize = 100_000;
/// What Prometheus calls a label of the target that another of ours hides.
const EXPORTED: &str = "exported_";
/// Prometheus' marker of the end of a series.
const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &ScrapeConfig) -> String {
    format!("scrape {}", config.job)
}

/// Scrapes all targets of a section until the future is dropped.
pub(super) async fn scrape(
    config: ScrapeConfig,
    limits: Limits,
    sender: SignalSender,
    clock: Clock,
) {
    let config = Arc::new(config);
    let mut tasks = JoinSet::new();
    let state = Arc::new(Down::new(&config, sender.clone()));
    for (index, target) in config.targets.iter().enumerate() {
        match Target::new(&config, target, limits.clone()) {
            Ok(target) => {
                let (sender, clock, state) = (sender.clone(), clock.clone(), Arc::clone(&state));
                tasks.spawn(target.run(index, sender, clock, state));
            }
            Err(why) => state.note(index, Some(why)),
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Which targets of a section are down, for its row: all of them make it fail, some of them are named.
struct Down {
    sender: SignalSender,
    targets: Vec<String>,
    /// Why, by the target's place in the config.
    reasons: Mutex<BTreeMap<usize, String>>,
}

impl Down {
    fn new(config: &ScrapeConfig, sender: SignalSender) -> Self {
        Self {
            sender,
            targets: config.targets.clone(),
            reasons: Mutex::default(),
        }
    }

    /// Notes how a target was found: `None` for well.
    fn note(&self, index: usize, why: Option<String>) {
        // What is behind this lock is valid after any panic: each write is a single one.
        let mut down = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = match why {
            Some(why) => down.insert(index, why),
            None => down.remove(&index),
        };
        let all = self.targets.join(", ");
        let Some((first, why)) = down.first_key_value() else {
            self.sender.describe(&all);
            return self.sender.recovered();
        };
        let first = self.targets.get(*first).map_or("", String::as_str);
        let (count, total) = (down.len(), self.targets.len());
        if count == total {
            let why = format!("no target answers, the first: {first}: {why}");
            self.sender.fail_standing(&why);
        } else {
            let state = format!("{count} of {total} targets are down, the first: {first}: {why}");
            self.sender.describe(&state);
            self.sender.recovered();
        }
    }
}

/// One target.
struct Target {
    config: Arc<ScrapeConfig>,
    client: reqwest::Client,
    url: reqwest::Url,
    limits: Limits,
    book: Book,
}

/// What is known of a target's series.
struct Book {
    /// Put on every series: job, instance and what the config says.
    labels: Vec<(String, String)>,
    series: Recent<u128, Arc<Series>>,
    /// Series of the scrape before, which end when they are missing in the next one.
    before: BTreeMap<SeriesId, Arc<Series>>,
}

/// An answer as it came.
struct Answer {
    body: Vec<u8>,
    format: Format,
    is_gzip: bool,
}

impl Target {
    fn new(config: &Arc<ScrapeConfig>, target: &str, limits: Limits) -> Result<Self, String> {
        let url = ScrapeConfig::url(target)?;
        let host = url.host_str().ok_or("it names no host")?;
        let port = url.port_or_known_default();
        let instance = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let client = http_client(config.timeout_s)?;
        let own = [("job", config.job.clone()), ("instance", instance)];
        let own = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let given = config.labels.clone().into_iter();
        Ok(Self {
            config: Arc::clone(config),
            client,
            url,
            limits,
            book: Book {
                labels: own.chain(given).collect(),
                series: Recent::new(2 * SAMPLES_MAX),
                before: BTreeMap::new(),
            },
        })
    }

    async fn run(mut self, index: usize, sender: SignalSender, clock: Clock, state: Arc<Down>) {
        let period = Duration::from_secs(self.config.interval_s.into());
        // Targets are spread over the interval, always in the same way.
        let spread = xxh3_64(self.url.as_str().as_bytes()) % period.as_millis().max(1) as u64;
        let mut interval = interval_at(Instant::now() + Duration::from_millis(spread), period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let at = clock();
            let asked = Instant::now();
            let answer = self.ask().await;
            // Who does not answer is down; only what was said can be rejected.
            let is_answered = answer.is_ok();
            let limits = self.limits.clone();
            let mut book = self.book;
            // A long text is read on a thread of its own.
            let bytes = answer.as_ref().map_or(0, |answer| answer.body.len());
            let read = http::decode(bytes, move || {
                let read = answer.and_then(|answer| book.read(&answer, &limits, at));
                let (mut signals, why) = match read {
                    Ok(signals) => (signals, None),
                    Err(why) => (book.end(at), Some(why)),
                };
                book.add_own(&mut signals, at, why.is_none(), asked.elapsed());
                Ok((book, signals, why))
            });
            let Ok((book, signals, why)) = read.await else {
                return sender.fail("reading metrics failed; restart to try again");
            };
            self.book = book;
            if let Some(why) = why.as_ref().filter(|_| is_answered) {
                sender.reject(1, &format!("{}: {why}", self.url));
            }
            state.note(index, why);
            // That a target does not answer is ours to say.
            let told = if is_answered {
                sender.send(signals).await
            } else {
                sender.send_ours(signals).await
            };
            if told.is_err() {
                return;
            }
        }
    }

    /// Asks the target; its answer is read no further than the limit.
    async fn ask(&self) -> Result<Answer, String> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, ACCEPTED)
            .header(ACCEPT_ENCODING, "gzip");
        if let Some(file) = &self.config.token_file {
            request = request.bearer_auth(token(file).await?);
        }
        let mut response = request.send().await.map_err(in_full)?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        let header = |name| response.headers().get(name).map(HeaderValue::as_bytes);
        let is_gzip = header(CONTENT_ENCODING).is_some_and(|value| value == b"gzip");
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        let format = if content_type.starts_with(OPENMETRICS_TYPE.as_bytes()) {
            Format::OpenMetrics
        } else {
            Format::Text
        };
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(in_full)? {
            let bytes = body.len() + piece.len();
            self.limits.check(bytes).map_err(|e| e.to_string())?;
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            body,
            format,
            is_gzip,
        })
    }
}

impl Book {
    /// Reads an answer: its samples, and the ends of series that are no longer among them.
    fn read(&mut self, answer: &Answer, limits: &Limits, at: Time) -> Result<Vec<Signal>, String> {
        let unzipped;
        let plain: &[u8] = if answer.is_gzip {
            unzipped = limits.gunzip(&answer.body).map_err(|e| e.to_string())?;
            &unzipped
        } else {
            &answer.body
        };
        let text = std::str::from_utf8(plain).map_err(|_| "its text is not UTF-8")?;
        let mut signals = Vec::new();
        let mut current = BTreeMap::new();
        text::read(text, answer.format, |sample, families| {
            let series = self.series(&sample, families)?;
            current.insert(series.id, Arc::clone(&series));
            if current.len() > SAMPLES_MAX || signals.len() > SAMPLES_MAX {
                return Err(format!("more than {SAMPLES_MAX} samples"));
            }
            // Values that are no numbers say nothing, but their series is there. A text cannot hold
            // the marker of an end.
            if !sample.value.is_nan() {
                let at = sample.at_ms.map_or(at, Time::from_ms);
                signals.push(point(series, at, sample.value));
            }
            Ok(())
        })?;
        let before = std::mem::replace(&mut self.before, current);
        let ended = before.into_iter();
        let ended = ended.filter(|(id, _)| !self.before.contains_key(id));
        signals.extend(ended.map(|(_, series)| point(series, at, f64::from_bits(STALE_NAN))));
        Ok(signals)
    }

    /// Ends all series: the target did not answer.
    fn end(&mut self, at: Time) -> Vec<Signal> {
        let ended = std::mem::take(&mut self.before).into_values();
        ended
            .map(|series| point(series, at, f64::from_bits(STALE_NAN)))
            .collect()
    }

    /// What Prometheus adds of its own: whether the target answered, how fast, and with how much.
    fn add_own(&mut self, signals: &mut Vec<Signal>, at: Time, is_up: bool, took: Duration) {
        let samples = if is_up { self.before.len() } else { 0 };
        let own = [
            ("up", Unit::None, f64::from(u8::from(is_up))),
            ("scrape_duration_seconds", Unit::Seconds, took.as_secs_f64()),
            ("scrape_samples_scraped", Unit::None, samples as f64),
        ];
        for (name, unit, value) in own {
            let labels = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
            // They were read from the config; what is too long for a label is left out of all series.
            let labels = Labels::from_pairs(labels).unwrap_or_default();
            let series = secrets::series(name, labels, SeriesKind::Gauge, unit);
            signals.push(point(Arc::new(series), at, value));
        }
    }

    /// The series of a sample, known by the bytes of its name and labels.
    fn series(
        &mut self,
        sample: &text::Sample<'_>,
        families: &Families<'_>,
    ) -> Result<Arc<Series>, String> {
        let (kind, unit) = families.of(sample.name);
        // A type that is declared anew makes another series of it.
        let key = xxh3_128_with_seed(sample.series.as_bytes(), kind as u64);
        if let Some(series) = self.series.get(&key) {
            return Ok(Arc::clone(series));
        }
        let (name, labels) = text::labels(sample.series)?;
        check_name(&name)?;
        let own = |label: &str| self.labels.iter().any(|(name, _)| name == label);
        let labels: Vec<(String, &str)> = labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(label, value)| {
                let hidden = if own(label) { EXPORTED } else { "" };
                (format!("{hidden}{label}"), &**value)
            })
            .collect();
        let theirs = labels.iter().map(|(n, v)| (n.as_str(), *v));
        let ours = self.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let labels = Labels::from_pairs(theirs.chain(ours)).map_err(|e| e.to_string())?;
        let series = Arc::new(secrets::series(&name, labels, kind, unit));
        self.series.put(key, Arc::clone(&series));
        Ok(series)
    }
}

fn point(series: Arc<Series>, at: Time, value: f64) -> Signal {
    Signal::Sample(Sample { series, at, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        let labels = [("job", "shop"), ("instance", "h:1")];
        Book {
            labels: labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            series: Recent::new(10),
            before: BTreeMap::new(),
        }
    }

    fn read(book: &mut Book, text: &str) -> Result<Vec<(String, bool, i64)>, String> {
        let answer = Answer {
            body: text.as_bytes().to_vec(),
            format: Format::Text,
            is_gzip: false,
        };
        let signals = book.read(&answer, &Limits::new(1_024, 1), Time::from_ms(7))?;
        Ok(told(signals))
    }

    /// Series, whether it ended, and when.
    fn told(signals: Vec<Signal>) -> Vec<(String, bool, i64)> {
        let samples = signals.into_iter().map(|signal| match signal {
            Signal::Sample(sample) => sample,
            other => panic!("not a sample: {other:?}"),
        });
        samples
            .map(|s| {
                let series = format!("{} {:?}", s.series.name, s.series.labels);
                (series, s.value.is_nan(), s.at.ms())
            })
            .collect()
    }

    #[test]
    fn targets_that_are_down_are_seen_beside_those_that_answer() {
        use crate::model::SourceHealth;
        let (registry, _queue) = crate::sources::signal_queue();
        let config = toml::from_str("targets = [\"a:1\", \"b:1\"]").unwrap();
        let sender = registry.source("scrape", crate::sources::Rhythm::Regular, "a:1, b:1");
        let down = Down::new(&config, sender);
        let told = |index, why: Option<&str>| {
            down.note(index, why.map(str::to_owned));
            let row = registry.rows(Time::ZERO).remove(0);
            (row.health == SourceHealth::Failed, row.detail)
        };
        let cases = [
            (
                0,
                Some("refused"),
                false,
                "1 of 2 targets are down, the first: a:1: refused",
            ),
            (
                1,
                None,
                false,
                "1 of 2 targets are down, the first: a:1: refused",
            ),
            (
                1,
                Some("404"),
                true,
                "no target answers, the first: a:1: refused",
            ),
            (
                0,
                None,
                false,
                "1 of 2 targets are down, the first: b:1: 404",
            ),
            (1, None, false, "a:1, b:1"),
        ];
        for (index, why, is_failed, detail) in cases {
            assert_eq!(told(index, why), (is_failed, detail.to_owned()));
        }
    }

    #[test]
    fn series_carry_their_target_and_end_when_they_are_missing() {
        let mut book = book();
        let a = r#"a {"exported_job": "theirs", "instance": "h:1", "job": "shop"}"#.to_owned();
        let b = r#"b {"instance": "h:1", "job": "shop"}"#.to_owned();
        let both = "a{job=\"theirs\",empty=\"\"} 1\nb 2 5\nc NaN\n";
        let expected = vec![(a.clone(), false, 7), (b.clone(), false, 5)];
        assert_eq!(read(&mut book, both), Ok(expected));
        let c = b.replace("b {", "c {");
        let first = vec![(a.clone(), false, 7), (b, true, 7), (c, true, 7)];
        let mut got = read(&mut book, "a{job=\"theirs\"} 1\n").unwrap();
        got[1..].sort();
        assert_eq!(got, first);
        assert_eq!(told(book.end(Time::from_ms(9))), [(a, true, 9)]);
        assert_eq!(told(book.end(Time::from_ms(9))), []);
    }

    #[test]
    fn what_cannot_be_read_changes_nothing() {
        let mut book = book();
        read(&mut book, "a 1\n").unwrap();
        let long = format!("a{{b=\"{}\"}} 1\n", "x".repeat(20_000));
        for (text, why) in [
            ("a 1\n{} 1\n", "line 2: a series has no name"),
            ("a 1\nb\n", "line 2: a sample has no value"),
            (
                &long,
                "line 1: value of label \"b\" is 20000 bytes: at most 16383",
            ),
        ] {
            assert_eq!(read(&mut book, text), Err(why.to_owned()));
            assert_eq!(book.before.len(), 1);
        }
        let zeros = Answer {
            body: {
                let mut zip =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                std::io::Write::write_all(&mut zip, &[b' '; 5_000]).unwrap();
                zip.finish().unwrap()
            },
            format: Format::Text,
            is_gzip: true,
        };
        let bomb = book.read(&zeros, &Limits::new(1_024, 1), Time::ZERO);
        assert!(
            bomb.unwrap_err()
                .contains("longer than 1024 bytes after gzip")
        );
    }
}
