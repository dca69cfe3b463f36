//! A server in this process that answers ranges, now and then badly.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Router, response::IntoResponse};
use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Signal, SourceHealth};
use crate::sources::{Rhythm, SourceRegistry, signal_queue};

const DAY_S: i64 = 86_400;
/// What time it is: a quarter past a minute.
const NOW_S: i64 = 1_795_188_015;

/// What the server does, and what it was asked.
#[derive(Default)]
struct Script {
    /// Answers 503 this many times.
    failures: AtomicU32,
    /// Answers that would hold more points of one series than this are too long.
    points_max: AtomicI64,
    /// Refuses these with 422 instead of answering too long.
    is_strict: AtomicBool,
    asked: Mutex<Vec<(i64, i64)>>,
}

/// A server at a free port.
async fn server(script: Arc<Script>) -> String {
    let answer = |State(script): State<Arc<Script>>, body: String| async move {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
        if script.failures.load(Ordering::Relaxed) > 0 {
            script.failures.fetch_sub(1, Ordering::Relaxed);
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let number = |name: &str| form[name].parse::<i64>().unwrap();
        let (start, end, step) = (number("start"), number("end"), number("step"));
        if form["query"] == "bad(" {
            let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
            return (StatusCode::BAD_REQUEST, error).into_response();
        }
        script.asked.lock().unwrap().push((start, end));
        if (end - start) / step >= script.points_max.load(Ordering::Relaxed) {
            if script.is_strict.load(Ordering::Relaxed) {
                let error =
                    r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
                return (StatusCode::UNPROCESSABLE_ENTITY, error).into_response();
            }
            return "x"
                .repeat(super::super::client::ANSWER_BYTES_MAX + 1)
                .into_response();
        }
        let mut rows = Vec::new();
        for series in 0..3 {
            let mut values = String::new();
            // Not every series has a point at every time.
            for at in (start..=end)
                .step_by(step as usize)
                .filter(|at| at / step % (series + 2) != 0)
            {
                let _ = write!(values, "[{at},\"{}\"],", (at * (series + 1)) % 1_009);
            }
            let metric =
                format!("{{\"__name__\":\"a_total\",\"job\":\"shop\",\"instance\":\"{series}\"}}");
            rows.push(format!(
                "{{\"metric\":{metric},\"values\":[{}]}}",
                values.trim_end_matches(',')
            ));
        }
        let rows = rows.join(",");
        format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{rows}]}}}}"
        )
        .into_response()
    };
    let router = Router::new()
        .route("/api/v1/query_range", post(answer))
        .with_state(script);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://127.0.0.1:{port}")
}

fn script(points_max: i64) -> Arc<Script> {
    let script = Script::default();
    script.points_max.store(points_max, Ordering::Relaxed);
    Arc::new(script)
}

fn config(url: &str, more: &str) -> PromqlConfig {
    let text = format!("url = \"{url}\"\nselect = ['{{job=\"shop\"}}']\n{more}");
    toml::from_str(&text).unwrap()
}

fn clock() -> Clock {
    Arc::new(|| Time::from_secs(NOW_S))
}

/// A history, what it says of its source, and where the present begins.
fn history(
    config: &PromqlConfig,
    learned_until: Time,
) -> (Option<History>, SourceRegistry, Begins) {
    let (registry, _queue) = signal_queue();
    let sender = registry.source("promql prometheus", Rhythm::Regular, &config.url);
    let begins = watch::Sender::new(Some(Time::ZERO));
    let told = begins.subscribe();
    let history = History::new(vec![(config, sender, begins)], learned_until, clock());
    (history, registry, told)
}

/// All samples of a history in order, as text.
async fn all(history: &mut History) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(chapter) = history.next().await {
        for (at, batches) in chapter {
            told.extend(batches.iter().flat_map(|batch| texts(at, batch)));
        }
    }
    told
}

fn texts(at: Time, batch: &Batch) -> impl Iterator<Item = String> {
    batch.signals.iter().map(move |signal| match signal {
        Signal::Sample(s) => {
            let series = s.series.labels.get("instance").unwrap_or_default();
            format!(
                "{} {} {} {series} {}",
                batch.source.0,
                at.ms(),
                s.at.ms(),
                s.value
            )
        }
        other => panic!("not a sample: {other:?}"),
    })
}

#[tokio::test]
async fn the_past_is_the_same_in_whatever_pieces_it_comes() {
    let mut told = Vec::new();
    // Limits that make it ask in long and in short pieces, and a server that fails at first.
    for (points_max, failures, is_strict) in [
        (10_000, 0, false),
        (77, 0, false),
        (77, 0, true),
        (1_000, 2, false),
    ] {
        let script = script(points_max);
        script.is_strict.store(is_strict, Ordering::Relaxed);
        script.failures.store(failures, Ordering::Relaxed);
        let url = server(Arc::clone(&script)).await;
        let config = config(&url, "interval_s = 60\ndelay_s = 0\nhistory_days = 1\n");
        let (history, registry, begins) = history(&config, Time::ZERO);
        let mut history = history.expect("there is a past");
        assert_eq!(*begins.borrow(), None, "the present waits");
        told.push(all(&mut history).await);
        assert!(history.progress() > 0.99, "{}", history.progress());
        drop(history);
        // A minute that has not begun to be told belongs to the present.
        let begin = Time::from_secs(NOW_S - 15 + 60);
        assert_eq!(*begins.borrow(), Some(begin));
        let row = registry.rows(clock()()).remove(0);
        assert_eq!((row.health, row.rejected), (SourceHealth::Waiting, 0));
        assert!(script.asked.lock().unwrap().len() > 2, "in pieces");
    }
    assert_eq!(told[0].len(), (0..3).map(|s| of_day(s + 2)).sum::<usize>());
    assert!(told[0].len() > 2_000 && told.iter().all(|all| *all == told[0]));
}

/// Minutes of the last day that a series has a point at.
fn of_day(missing: i64) -> usize {
    let (from, to) = ((NOW_S - DAY_S + 60) / 60, NOW_S / 60);
    (from..=to).filter(|minute| minute % missing != 0).count()
}

#[tokio::test]
async fn what_was_learned_before_is_not_asked_for_again() {
    let script = script(10_000);
    let url = server(Arc::clone(&script)).await;
    let config = config(&url, "interval_s = 60\nwarms = \"remote_write\"\n");
    let until = Time::from_secs(NOW_S - 3_600);
    let mut an_hour = history(&config, until).0.expect("there is a past");
    let told = all(&mut an_hour).await;
    let first = script.asked.lock().unwrap()[0].0;
    assert_eq!(first, NOW_S - 15 - 3_600 + 60);
    // Told as if the one that pushes these series had, when the present would have told it.
    let at_ms = (first + 30) * 1_000;
    assert!(
        told[0].starts_with(&format!("remote_write {at_ms} {}", first * 1_000)),
        "{}",
        told[0]
    );
    let recent = Time::from_secs(NOW_S - 300);
    let (none, _, begins) = history(&config, recent);
    assert!(none.is_none(), "too short to be worth it");
    assert_eq!(*begins.borrow(), Some(recent));
}

#[tokio::test]
async fn an_expression_that_is_refused_costs_no_other() {
    let url = server(script(10_000)).await;
    let config = config(
        &url,
        "interval_s = 60\nhistory_days = 1\nnamed = { broken = \"bad(\" }\n",
    );
    let (history, registry, _begins) = history(&config, Time::from_secs(NOW_S - 7_200));
    let told = all(&mut history.expect("there is a past")).await;
    assert!(!told.is_empty());
    let row = registry.rows(clock()()).remove(0);
    let why = row.last_refusal.expect("it was told").why;
    assert!(
        row.rejected > 0 && why.contains("bad(: it answers 400 Bad Request"),
        "{why}"
    );
}

#[tokio::test]
async fn the_present_goes_on_where_the_past_ended_and_never_further_back_than_is_taken() {
    let script = script(10_000);
    let config = config(
        &server(Arc::clone(&script)).await,
        "interval_s = 60\ndelay_s = 0\n",
    );
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("promql prometheus", Rhythm::Regular, "");
    let (begins, begin) = watch::channel(None);
    let pulling = tokio::spawn(pull(config, begin, 600_000, sender, clock()));
    begins.send_replace(Some(Time::from_secs(NOW_S - 7_200)));
    let first = queue.recv().await.expect("points").take(clock()());
    let oldest = NOW_S - 15 - 600 + 60;
    assert_eq!(script.asked.lock().unwrap()[..], [(oldest, NOW_S - 15)]);
    assert!(matches!(&first.signals[0], Signal::Sample(s) if s.at == Time::from_secs(oldest)));
    let row = registry.rows(clock()()).remove(0);
    assert!(
        row.last_refusal
            .expect("told")
            .why
            .starts_with("110 points of each series are too old")
    );
    assert_eq!((row.dropped, row.rejected), (110, 0));
    pulling.abort();
}

#[tokio::test]
async fn a_single_point_that_is_given_up_is_counted_and_one_that_may_come_is_not() {
    for (is_strict, dropped, why) in [(false, 1, "too long"), (true, 0, "too many samples")] {
        let script = script(0);
        script.is_strict.store(is_strict, Ordering::Relaxed);
        let url = server(Arc::clone(&script)).await;
        let config = config(&url, "interval_s = 60\ndelay_s = 0\n");
        let (registry, _queue) = signal_queue();
        let mut live = Live {
            puller: Puller::new(&config).unwrap(),
            sender: registry.source("promql prometheus", Rhythm::Regular, ""),
            clock: clock(),
            next: Time::from_secs(NOW_S - 15),
            points_max: POINTS_MAX,
            backoff: Backoff::new(),
            late_ms_max: 600_000,
        };
        assert_eq!(live.turn().await, Some(()));
        let row = registry.rows(clock()()).remove(0);
        assert_eq!((row.dropped, row.rejected), (dropped, 0));
        let given_up_ms = live.next.since(Time::from_secs(NOW_S - 15));
        assert_eq!(given_up_ms, dropped as i64 * 60_000);
        assert!(row.detail.contains(why), "{row:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn points_of_any_time_are_multiples_of_the_interval(
        interval_s in 1_u32..4_000, delay_s in 0_u32..600, at_ms in 0_i64..2_000_000_000_000
    ) {
        let config = config("http://p", &format!("interval_s = {interval_s}\ndelay_s = {delay_s}\n"));
        let puller = Puller::new(&config).unwrap();
        let at = Time::from_ms(at_ms);
        let (first, latest) = (puller.first(at), puller.latest(at));
        for point in [first, latest] {
            prop_assert_eq!(point.ms() % puller.step_ms(), 0);
        }
        prop_assert!((0..puller.step_ms()).contains(&first.since(at)));
        let late_ms = at.since(latest) - i64::from(delay_s) * 1_000;
        prop_assert!((0..puller.step_ms()).contains(&late_ms));
    }
}
