//! Pulling by PromQL: what an existing Prometheus, VictoriaMetrics or their like knows already, first
//! of the past (`history`), then as it comes.
//!
//! Past and present are asked for in the same way and at the same times, multiples of the interval, so
//! that whoever learns from both cannot tell where one ends. Nothing is asked in parallel; what a server
//! could not answer is asked for again, as far back as the engine still takes it.

mod answer;
mod history;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;

use super::backoff::Backoff;
use super::client::{AskError, Client};
use super::{Clock, SignalSender};
use crate::config::PromqlConfig;
use crate::model::{Time, counted};
use answer::{Book, Steps};

pub use history::{History, Learnt};

/// Most points of one series in one answer: Prometheus refuses more than 11,000.
const POINTS_MAX: i64 = 10_000;
/// Most samples that one question may lead to, over all expressions of a section.
const SAMPLES_MAX: usize = 1_000_000;

/// Where the present begins, once the past was learned from; `None` until then.
pub(super) type Begins = watch::Receiver<Option<Time>>;

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &PromqlConfig) -> String {
    format!("promql {}", config.name)
}

/// Asks one server.
struct Puller {
    config: Arc<PromqlConfig>,
    client: Client,
    url: Url,
    book: Book,
    /// Series and points that could not be used since that was last told, and why the first could not.
    refused: (u64, Option<String>),
}

/// Why a range was not pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PullError {
    /// The answer is too long: ask for less.
    TooMuch,
    /// The server cannot answer now.
    Passing(String),
}

impl Puller {
    fn new(config: &PromqlConfig) -> Result<Self, String> {
        Ok(Self {
            client: Client::new(config.timeout_s, config.token_file.clone())?,
            url: config.url()?,
            book: Book::new(config.labels.clone()),
            config: Arc::new(config.clone()),
            refused: (0, None),
        })
    }

    /// Time between two points, in milliseconds.
    fn step_ms(&self) -> i64 {
        i64::from(self.config.interval_s) * 1_000
    }

    /// The last point that can be asked for at `now`.
    fn latest(&self, now: Time) -> Time {
        let late = now.plus_ms(-i64::from(self.config.delay_s) * 1_000);
        Time::from_ms(late.ms().div_euclid(self.step_ms()) * self.step_ms())
    }

    /// The first point at `from` or later.
    fn first(&self, from: Time) -> Time {
        let step_ms = self.step_ms();
        Time::from_ms((from.ms() + step_ms - 1).div_euclid(step_ms) * step_ms)
    }

    /// All points from `from` to `to`, both included. An expression that the server refuses costs none
    /// of the others.
    async fn pull(&mut self, from: Time, to: Time) -> Result<Steps, PullError> {
        let mut steps = Steps::new();
        let config = Arc::clone(&self.config);
        for (query, name) in config.queries() {
            let body = match self.ask(query, from, to).await {
                Ok(body) => body,
                Err(AskError::TooLong) => return Err(PullError::TooMuch),
                // A range may be too much to work out; a point that is will be asked for again.
                Err(AskError::TooHard(_)) if to > from => return Err(PullError::TooMuch),
                Err(AskError::TooHard(why)) => {
                    return Err(PullError::Passing(format!("{query}: {why}")));
                }
                Err(AskError::Passing(why)) => return Err(PullError::Passing(why)),
                Err(AskError::Refused(why)) => {
                    self.refuse(1, &format!("{query}: {why}"));
                    continue;
                }
            };
            match self.book.read(&body, name, from..=to, &mut steps) {
                Ok((0, _)) => {}
                Ok((count, why)) => {
                    self.refuse(count, &format!("{query}: {}", why.unwrap_or_default()));
                }
                Err(why) => return Err(PullError::Passing(format!("{query}: {why}"))),
            }
            if steps.values().map(Vec::len).sum::<usize>() > SAMPLES_MAX {
                return Err(PullError::TooMuch);
            }
        }
        Ok(steps)
    }

    async fn ask(&self, query: &str, from: Time, to: Time) -> Result<Vec<u8>, AskError> {
        let seconds = |at: Time| format!("{}", at.ms() as f64 / 1_000.0);
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", query)
            .append_pair("start", &seconds(from))
            .append_pair("end", &seconds(to))
            .append_pair("step", &self.config.interval_s.to_string())
            // VictoriaMetrics else moves start and end; others do not know it.
            .append_pair("nocache", "1")
            .finish();
        let request = self.client.http().post(self.url.clone());
        let request = request.header(
            reqwest::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded",
        );
        self.client.ask(request.body(form)).await
    }

    /// Learns kinds of metrics that their names do not tell. A server that knows none is none the worse.
    async fn learn_kinds(&mut self) {
        let mut url = self.url.clone();
        let path = url.path().replace("query_range", "metadata");
        url.set_path(&path);
        if let Ok(body) = self.client.ask(self.client.http().get(url)).await {
            // What cannot be read is told by the names.
            let _ = self.book.learn_kinds(&body);
        }
    }

    fn refuse(&mut self, count: u64, why: &str) {
        self.refused.0 += count;
        self.refused.1.get_or_insert_with(|| why.to_owned());
    }

    /// Counts what could not be used.
    fn tell(&mut self, sender: &SignalSender) {
        if let (count, Some(why)) = std::mem::take(&mut self.refused) {
            sender.reject(count, &why);
        }
    }
}

/// Pulls what comes, from where the past ends, until the future is dropped. What is older than
/// `late_ms_max` is not asked for: the engine would refuse it.
pub(super) async fn pull(
    config: PromqlConfig,
    mut begins: Begins,
    late_ms_max: i64,
    sender: SignalSender,
    clock: Clock,
) {
    let mut puller = match Puller::new(&config) {
        Ok(puller) => puller,
        Err(why) => return sender.fail(&why),
    };
    let Ok(begin) = begins.wait_for(Option::is_some).await.map(|begin| *begin) else {
        return;
    };
    if config.warms.is_some() {
        return sender.describe(&format!("{}: history only", config.url));
    }
    puller.learn_kinds().await;
    let mut live = Live {
        next: puller.first(begin.unwrap_or_else(|| clock())),
        points_max: POINTS_MAX,
        backoff: Backoff::new(),
        late_ms_max,
        puller,
        sender,
        clock,
    };
    while live.turn().await.is_some() {}
}

/// Pulling of the present.
struct Live {
    puller: Puller,
    sender: SignalSender,
    clock: Clock,
    /// The first point that was not asked for.
    next: Time,
    /// Points of one series asked for at once.
    points_max: i64,
    backoff: Backoff,
    late_ms_max: i64,
}

impl Live {
    /// Asks once, or waits until there is something to ask for; `None` when nobody takes it.
    async fn turn(&mut self) -> Option<()> {
        let now = (self.clock)();
        let step_ms = self.puller.step_ms();
        let oldest = self.puller.first(now.plus_ms(-self.late_ms_max));
        if oldest > self.next {
            let missed = oldest.since(self.next) / step_ms;
            let missed = missed.unsigned_abs();
            let points = counted(
                missed,
                "point of each series is",
                "points of each series are",
            );
            self.lose(missed, &format!("{points} too old by now to be asked for"));
            self.next = oldest;
        }
        let latest = self.puller.latest(now);
        if latest < self.next {
            let due = self
                .next
                .plus_ms(i64::from(self.puller.config.delay_s) * 1_000);
            let wait_ms = due.since(now).clamp(1, step_ms);
            tokio::time::sleep(Duration::from_millis(wait_ms.unsigned_abs())).await;
            return Some(());
        }
        let to = latest.min(self.next.plus_ms((self.points_max - 1) * step_ms));
        match self.puller.pull(self.next, to).await {
            Ok(steps) => {
                self.backoff = Backoff::new();
                self.points_max = POINTS_MAX;
                self.next = to.plus_ms(step_ms);
                self.puller.tell(&self.sender);
                self.sender.recovered();
                for signals in steps.into_values() {
                    self.sender.send(signals).await.ok()?;
                }
            }
            Err(PullError::TooMuch) if to > self.next => {
                self.points_max = (self.points_max / 2).max(1);
            }
            Err(PullError::TooMuch) => {
                let why = "the answer for a single point is too long: select fewer series";
                self.lose(1, why);
                self.fail(why).await;
                self.next = to.plus_ms(step_ms);
            }
            Err(PullError::Passing(why)) => self.fail(&why).await,
        }
        Some(())
    }

    /// Counts points that are given up: at least one series of each expression has them.
    fn lose(&self, points: u64, why: &str) {
        let expressions = self.puller.config.queries().count() as u64;
        self.sender.lose(points * expressions, why);
    }

    async fn fail(&mut self, why: &str) {
        self.puller.tell(&self.sender);
        self.sender
            .fail(&format!("{}: {why}", self.puller.config.url));
        tokio::time::sleep(self.backoff.next_wait()).await;
    }
}

#[cfg(test)]
mod tests;
