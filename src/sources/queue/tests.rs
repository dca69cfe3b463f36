//! What a full queue does, what is counted, and how sources are shown.

use super::refusals::WHY_CHARS_MAX;
use super::*;
use crate::model::{Labels, LastOf, LastRefusal, LogLine};

fn lines(count: usize) -> Vec<Signal> {
    let line = LogLine {
        at: Time::ZERO,
        labels: Labels::empty(),
        level: None,
        text: Box::from("x"),
        trace: None,
        span: None,
    };
    vec![Signal::Log(Box::new(line)); count]
}

/// Takes what waits: how many signals each batch has.
fn taken(queue: &mut SignalQueue, now: Time) -> Vec<usize> {
    let waiting = std::iter::from_fn(|| queue.try_recv());
    waiting.map(|batch| batch.take(now).signals.len()).collect()
}

#[tokio::test]
async fn what_comes_together_is_taken_a_few_milliseconds_at_a_time_and_kept_together() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("kafka", Rhythm::Sporadic, "");
    let cases = [
        (0, vec![]),
        (1, vec![1]),
        (BATCH_SIGNALS_MAX, vec![BATCH_SIGNALS_MAX]),
        (
            2 * BATCH_SIGNALS_MAX + 5,
            vec![BATCH_SIGNALS_MAX, BATCH_SIGNALS_MAX, 5],
        ),
    ];
    for (count, expected) in cases {
        sender.send(lines(count)).await.unwrap();
        assert_eq!(taken(&mut queue, Time::ZERO), expected, "{count}");
    }
    assert_eq!(sender.room(), SIGNALS_QUEUED_MAX as usize, "all given back");

    let count = 2 * BATCH_SIGNALS_MAX;
    let mut kept = sender.send_for_receipt(lines(count)).await.unwrap();
    let mut receipts = std::iter::from_fn(|| queue.try_recv()?.receipt());
    receipts.next().unwrap().give();
    assert_eq!(kept.so_far(), None);
    receipts.next().unwrap().give();
    assert_eq!(kept.so_far(), Some(true));
}

#[tokio::test]
async fn more_than_the_queue_holds_takes_all_of_it() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("tail", Rhythm::Sporadic, "");
    let count = SIGNALS_QUEUED_MAX as usize + BATCH_SIGNALS_MAX + 1;
    sender.send(lines(count)).await.unwrap();
    assert_eq!(sender.room(), 0);
    assert_eq!(sender.would_fit(1), Err(SendError::Full));
    assert_eq!(taken(&mut queue, Time::ZERO).iter().sum::<usize>(), count);
    assert_eq!(sender.would_fit(1), Ok(()));
    assert_eq!(registry.rows(Time::ZERO)[0].refused, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_and_counts_until_it_is_read() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("logs", Rhythm::Sporadic, "tail");
    let all = SIGNALS_QUEUED_MAX as usize;
    assert_eq!(sender.try_send(lines(all - 1)), Ok(()));
    assert_eq!(sender.try_send(lines(2)), Err(SendError::Full));
    assert_eq!(sender.try_send(lines(1)), Ok(()));
    let now = Time::from_secs(5);
    assert_eq!(taken(&mut queue, now).iter().sum::<usize>(), all);
    assert_eq!(sender.try_send(lines(2)), Ok(()));
    let why = "the engine is behind and its queue is full, try again in a moment";
    let row = SourceRow {
        name: "logs".to_owned(),
        health: SourceHealth::Live,
        detail: "tail".to_owned(),
        last_seen: Some(now),
        taken: all as u64,
        rejected: 0,
        dropped: 0,
        refused: 2,
        unread: 0,
        last_refusal: Some(LastRefusal {
            at: now,
            why: why.into(),
        }),
        last_of: LastOf {
            sent_back: Some(LastRefusal {
                at: now,
                why: why.into(),
            }),
            ..LastOf::default()
        },
        pace: Pace {
            lag_ms: Some(5_000),
            ..Pace::default()
        },
    };
    assert_eq!(registry.rows(now), vec![row]);
    assert_eq!(sender.send_or_lose(lines(all)), Err(SendError::Full));
    let row = &registry.rows(now)[0];
    assert_eq!((row.refused, row.dropped), (2, all as u64));
}

#[tokio::test]
async fn once_full_it_is_behind_until_an_eighth_is_free() {
    let (registry, mut queue) = signal_queue();
    let [one, other] = ["a", "b"].map(|name| registry.source(name, Rhythm::Regular, ""));
    let all = SIGNALS_QUEUED_MAX as usize;
    assert_eq!(one.try_send(lines(all)), Ok(()));
    assert!(!other.is_behind(), "what waits found its room");
    assert_eq!(one.would_fit(1), Err(SendError::Full));
    let mut is_behind = Vec::new();
    while let Some(batch) = queue.try_recv() {
        drop(batch.take(Time::ZERO));
        is_behind.push(other.is_behind());
    }
    let batches_behind = ROOM_AGAIN / BATCH_SIGNALS_MAX - 1;
    let expected: Vec<bool> = (0..all / BATCH_SIGNALS_MAX)
        .map(|n| n < batches_behind)
        .collect();
    assert_eq!(is_behind, expected);
    assert_eq!(
        one.send_or_lose(lines(all + 1)),
        Ok(()),
        "it takes all there is"
    );
    assert_eq!(one.send_or_lose(lines(1)), Err(SendError::Full));
    assert!(other.is_behind(), "also when it was lost");
    other.send_back_unread("why");
    let rows = registry.rows(Time::ZERO);
    assert_eq!((rows[1].unread, rows[1].refused), (1, 0));
}

#[tokio::test]
async fn what_is_lost_is_counted_for_whom_it_is_of_and_what_is_sent_back_is_not() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("syslog", Rhythm::Sporadic, "");
    let of = |service: &str, count: usize| {
        let mut signals = lines(count);
        for signal in &mut signals {
            if let Signal::Log(line) = signal {
                line.labels = Labels::from_pairs([("service", service)]).unwrap();
            }
        }
        signals
    };
    sender.try_send(lines(1)).unwrap();
    let all = SIGNALS_QUEUED_MAX as usize;
    let mixed: Vec<Signal> = of("cart", all - 5)
        .into_iter()
        .chain(of("shop", 5))
        .collect();
    assert_eq!(sender.send_or_lose(mixed), Err(SendError::Full));
    assert_eq!(sender.try_send(of("web", all)), Err(SendError::Full));
    assert_eq!(taken(&mut queue, Time::ZERO), [1]);
    assert_eq!(sender.send_or_lose(of("cart", 3)), Ok(()));
    let told = registry.lost().into_iter();
    let told: Vec<_> = told
        .map(|lost| {
            let service = lost.labels.get("service").map(str::to_owned);
            (lost.source, service.unwrap(), lost.count)
        })
        .collect();
    let expected = [("cart", all as u64 - 5), ("shop", 5)];
    let expected = expected.map(|(of, count)| (Box::from("syslog"), of.to_owned(), count));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_sender_of_whom_nothing_can_be_taken_is_no_stranger() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("alerts", Rhythm::Sporadic, "receiver");
    sender.reject(2, &format!("not a list {}", "é".repeat(WHY_CHARS_MAX)));
    let at = Time::from_secs(9);
    let row = registry.rows(at).remove(0);
    assert_eq!(row.health, SourceHealth::Rejecting);
    let refusal = row.last_refusal.expect("it was refused");
    assert_eq!(
        (refusal.at, refusal.why.chars().count()),
        (at, WHY_CHARS_MAX)
    );
    assert_eq!(
        registry.rows(Time::from_secs(20))[0]
            .last_refusal
            .as_ref()
            .map(|r| r.at),
        Some(at)
    );
    sender.try_send(lines(1)).unwrap();
    queue.recv().await.unwrap().take(at);
    assert_eq!(registry.rows(at)[0].health, SourceHealth::Live);
}

#[tokio::test]
async fn how_a_source_usually_speaks_is_learned() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("host", Rhythm::Regular, "this host");
    let mut say = |at_s: i64| {
        let mut signals = lines(30);
        if let Some(Signal::Log(line)) = signals.last_mut() {
            line.at = Time::from_ms(at_s * 1_000 - 1_500);
        }
        sender.try_send(signals).unwrap();
        queue.try_recv().unwrap().take(Time::from_secs(at_s));
        registry.rows(Time::from_secs(at_s)).remove(0).pace
    };
    assert_eq!((say(0).usual_ms, say(15).per_minute), (None, None));
    let pace = (2..40).map(|n| say(n * 15)).last().unwrap();
    assert_eq!(
        (pace.per_minute, pace.lag_ms, pace.gaps),
        (Some(120), Some(1_500), 0)
    );
    assert!(
        (15_000..18_000).contains(&pace.usual_ms.unwrap()),
        "{pace:?}"
    );
    assert_eq!(say(39 * 15 + 600).gaps, 1, "ten minutes without a word");
}

#[tokio::test]
async fn a_time_that_cannot_be_is_a_day_off_and_is_forgotten() {
    let (registry, mut queue) = signal_queue();
    let sender = registry.source("otlp", Rhythm::Sporadic, "");
    let now = Time::from_secs(1_768_392_000);
    let mut lag_after = |at: Time| {
        let mut signals = lines(1);
        if let Some(Signal::Log(line)) = signals.last_mut() {
            line.at = at;
        }
        sender.try_send(signals).unwrap();
        queue.try_recv().unwrap().take(now);
        registry.rows(now).remove(0).pace.lag_ms.unwrap()
    };
    assert_eq!(lag_after(Time::from_ms(i64::MAX)), -Pace::LAG_MS_MAX);
    // From here on it sends the right time.
    let later: Vec<i64> = (0..60).map(|_| lag_after(now)).collect();
    assert!(later.is_sorted() && later[59].abs() < 1_000, "{later:?}");
    assert!(lag_after(Time::from_ms(i64::MIN)) <= Pace::LAG_MS_MAX / 4);
}

#[tokio::test]
async fn a_stopped_engine_closes_the_queue() {
    let (registry, queue) = signal_queue();
    let sender = registry.source("logs", Rhythm::Sporadic, "");
    drop(queue);
    assert_eq!(sender.send(lines(1)).await, Err(SendError::Closed));
    assert_eq!(sender.try_send(lines(1)), Err(SendError::Closed));
}

#[tokio::test]
async fn health_follows_rhythm_and_failure() {
    let (registry, mut queue) = signal_queue();
    let regular = registry.source("host", Rhythm::Regular, "this host");
    let sporadic = registry.source("alerts", Rhythm::Sporadic, "receiver");
    let health = |at_s: i64| {
        let rows = registry.rows(Time::from_secs(at_s));
        rows.iter().map(|r| r.health).collect::<Vec<_>>()
    };
    assert_eq!(health(0), [SourceHealth::Waiting, SourceHealth::Waiting]);
    for (sender, at_s) in [(&sporadic, 1), (&regular, 0), (&regular, 1)] {
        sender.try_send(lines(1)).unwrap();
        let batch = queue.recv().await.unwrap();
        batch.take(Time::from_secs(at_s));
    }
    assert_eq!(health(60)[1], SourceHealth::Live);
    assert_eq!(health(900)[1], SourceHealth::Silent, "it was tried out");
    for at_s in [2, 33] {
        regular.try_send(lines(1)).unwrap();
        let batch = queue.recv().await.unwrap();
        batch.take(Time::from_secs(at_s));
    }
    assert_eq!(health(61), [SourceHealth::Live, SourceHealth::Live]);
    assert_eq!(health(129), [SourceHealth::Silent, SourceHealth::Live]);
    assert_eq!(health(200), [SourceHealth::Silent, SourceHealth::Blind]);
    // A clock set back by an hour hides a silent source for as long as any other silence.
    assert_eq!(health(-3_600), [SourceHealth::Live, SourceHealth::Live]);
    assert_eq!(health(-3_400), [SourceHealth::Silent, SourceHealth::Blind]);
    sporadic.fail_standing("no target answers");
    sporadic.try_send(lines(1)).unwrap();
    let batch = queue.recv().await.unwrap();
    batch.take(Time::from_secs(60));
    assert_eq!(health(61)[0], SourceHealth::Failed, "its signals say so");
    sporadic.fail("port 9093 is in use");
    assert_eq!(health(62), [SourceHealth::Failed, SourceHealth::Blind]);
    sporadic.recovered();
    assert_eq!(health(62), [SourceHealth::Live, SourceHealth::Blind]);
}

#[tokio::test]
async fn what_nobody_sent_is_not_heard() {
    let (registry, mut queue) = signal_queue();
    let statsd = registry.source("statsd", Rhythm::Regular, "udp");
    let row = |at_s: i64| {
        let row = registry.rows(Time::from_secs(at_s)).remove(0);
        (row.health, row.last_seen, row.taken)
    };
    // An idle listener looks each second whether there is anything.
    for _ in 0..10 {
        statsd.send_ours_or_lose(Vec::new()).unwrap();
        statsd.send_or_lose(Vec::new()).unwrap();
        statsd.try_send(Vec::new()).unwrap();
        statsd.send(Vec::new()).await.unwrap();
    }
    assert!(queue.is_empty());
    assert_eq!(row(5), (SourceHealth::Waiting, None, 0));
    // Twenty seconds of datagrams, put together each ten.
    for s in 10..=30 {
        statsd.hear(Time::from_secs(s));
        if s % 10 == 0 {
            statsd.send_ours_or_lose(lines(2)).unwrap();
            queue.try_recv().unwrap().take(Time::from_secs(s));
        }
    }
    let heard = Some(Time::from_secs(30));
    assert_eq!(row(35), (SourceHealth::Live, heard, 6));
    // What is told of counts that nobody sends says nothing of anybody.
    statsd.send_ours(lines(2)).await.unwrap();
    queue.try_recv().unwrap().take(Time::from_secs(80));
    assert_eq!(row(89), (SourceHealth::Live, heard, 6));
    assert_eq!(row(91), (SourceHealth::Blind, heard, 6));
}

#[tokio::test]
async fn a_burst_and_no_more_is_silence_and_no_blindness() {
    let (registry, mut queue) = signal_queue();
    for rhythm in [Rhythm::Sporadic, Rhythm::Regular] {
        let sender = registry.source("otlp", rhythm, "");
        for ms in [0, 300, 900, 4_000] {
            sender.try_send(lines(30)).unwrap();
            queue.try_recv().unwrap().take(Time::from_ms(ms));
        }
        let row = |at_s: i64| registry.rows(Time::from_secs(at_s)).remove(0);
        assert_eq!(row(64).health, SourceHealth::Live);
        let later = row(720);
        assert_eq!(later.health, SourceHealth::Silent);
        assert_eq!(later.pace.longest_ms, Some(3_100));
    }
}

#[tokio::test]
async fn a_declared_pause_is_none() {
    let (registry, _queue) = signal_queue();
    let beats = registry.source("heartbeat backup", Rhythm::Declared(90_000_000), "");
    let health = |at_s: i64| registry.rows(Time::from_secs(at_s)).remove(0).health;
    assert_eq!(health(100_000), SourceHealth::Waiting);
    beats.hear(Time::from_secs(100_000));
    assert_eq!(health(190_000), SourceHealth::Live);
    assert_eq!(health(190_001), SourceHealth::Blind);
}

#[tokio::test]
async fn who_spoke_before_a_restart_and_does_not_after_it_is_missed() {
    use SourceHealth::{Blind, Live, Silent, Waiting};
    let (registry, mut queue) = signal_queue();
    let began = Time::from_secs(100_000);
    let every = |pause_s: i64, spoke_s: i64| {
        let mut spoke = Spoke::default();
        let mut at = began.plus_ms(-(spoke_s + 3_600) * 1_000);
        while at <= began.plus_ms(-3_600_000) {
            spoke.hear(at);
            at = at.plus_ms(pause_s * 1_000);
        }
        spoke
    };
    let senders = [
        ("alerts", Rhythm::Sporadic, every(900, 7_200)),
        ("heartbeat", Rhythm::Declared(50_000), every(10, 600)),
        ("loki", Rhythm::Sporadic, every(10, 90_000)),
        ("never", Rhythm::Regular, Spoke::default()),
        ("otlp", Rhythm::Regular, every(30, 600)),
        ("tried", Rhythm::Regular, every(1, 2)),
    ];
    let senders = senders.map(|(name, rhythm, spoke)| {
        let sender = registry.source(name, rhythm, "");
        (sender, spoke)
    });
    let known = senders.iter().filter(|(_, spoke)| spoke.heard > Time::ZERO);
    let known = known.map(|(sender, spoke)| (sender.source().clone(), *spoke));
    registry.remember(&known.collect(), began);
    let rows = |s: i64| registry.rows(began.plus_ms(s * 1_000));
    let health = |s: i64| rows(s).iter().map(|r| r.health).collect::<Vec<_>>();
    // An hour of ours is no silence of theirs.
    assert_eq!(health(60), [Waiting; 6]);
    let expected = [Waiting, Waiting, Silent, Waiting, Blind, Silent];
    assert_eq!(health(120), expected);
    let expected = [Silent, Waiting, Blind, Waiting, Blind, Silent];
    assert_eq!(health(3_700), expected);
    let heard = rows(3_700).into_iter().map(|row| row.last_seen);
    let heard: Vec<_> = heard
        .map(|at| at.map(|at| began.since(at) / 1_000))
        .collect();
    let hour = Some(3_600);
    assert_eq!(heard, [hour, None, hour, None, hour, hour]);
    // A clock set back counts anew.
    assert_eq!(health(-7_200)[4], Waiting);
    assert_eq!(health(-7_000)[4], Blind);
    // Of whom we tell something ourselves, what was recorded may have been that.
    senders[5].0.send_ours(lines(1)).await.unwrap();
    queue.try_recv().unwrap().take(began.plus_ms(3_800_000));
    let tried = &rows(3_900)[5];
    assert_eq!((tried.last_seen, tried.health), (None, Waiting));
    // Who speaks again is missed as one who never paused.
    let otlp = &senders[4].0;
    otlp.try_send(lines(1)).unwrap();
    queue.try_recv().unwrap().take(began.plus_ms(4_000_000));
    assert_eq!(health(4_060)[4], Live);
    assert_eq!(health(4_150)[4], Blind);
}
