//! Tests of the ledger, through the engine.

use std::sync::Arc;

use super::*;
use crate::config::EngineConfig;
use crate::model::{
    Batch, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Span, SpanId,
    SpanKind, Stamped, TraceId, Unit,
};

#[test]
fn who_is_missed_is_named_with_its_source() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let start_s = 1_768_392_000;
    for s in (0..600).step_by(10) {
        let at = Time::from_secs(start_s + s);
        // The cart stops after five minutes; its neighbour goes on.
        let speaking: &[&str] = if s < 300 {
            &["cart", "shop"]
        } else {
            &["shop"]
        };
        let sample = |service: &&str, name: &str| {
            let labels = Labels::from_pairs([("service", *service)]).unwrap();
            let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
            let value = 1.0;
            Signal::Sample(Sample { series, at, value })
        };
        let signals = speaking
            .iter()
            .flat_map(|name| [sample(name, "a"), sample(name, "b")]);
        let batch = Batch {
            source: SourceId::new("remote_write"),
            signals: signals.collect(),
        };
        for input in [Input::Signals(batch), Input::Tick] {
            engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        }
    }
    let cart = EntityLedger {
        last_seen: Time::from_secs(start_s + 290),
        every_ms: 10_000,
        per_minute: 12,
        series: 2,
        silent: 2,
        ..EntityLedger::unheard(EntityId::parse("cart"))
    };
    let shop = EntityLedger {
        entity: EntityId::parse("shop"),
        last_seen: Time::from_secs(start_s + 590),
        silent: 0,
        // Who is silent has none: how old its next point will be is not known.
        lag_ms: Some(0),
        skew_ms: Some(0),
        ..cart.clone()
    };
    let expected = SourceLedger {
        name: "remote_write".to_owned(),
        entities: 2,
        told: vec![cart.clone(), shop],
        series: 4,
        silent: 2,
        missed: vec![cart],
        lag_ms: Some(0),
        ..SourceLedger::default()
    };
    assert_eq!(engine.ledger(&[]).sources, [expected]);
    assert_eq!(engine.ledger_of("otlp", &[]).sources, []);
}

/// A sample of a service, of so many milliseconds before it comes.
fn sample(service: &str, name: &str, now: Time, lag_ms: i64) -> Signal {
    let labels = Labels::from_pairs([("service", service)]).unwrap();
    let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
    let (at, value) = (now.plus_ms(-lag_ms), 1.0);
    Signal::Sample(Sample { series, at, value })
}

fn send(engine: &mut Engine, source: &str, at: Time, signals: Vec<Signal>) {
    let source = SourceId::new(source);
    let input = Input::Signals(Batch { source, signals });
    engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
}

#[test]
fn clocks_that_are_off_are_named_by_how_far() {
    let lags = [
        ("cart", 3_000),
        ("shop", 4_000),
        ("mail", 24_000),
        ("slow", 95_000),
        ("early", -1_900),
        ("ahead", -312_000),
        ("tape", 3_500),
    ];
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let now = Time::from_secs(1_768_392_000);
    // Of two series the one that comes first says how late an entity is.
    let signals = lags.iter().flat_map(|(service, lag_ms)| {
        [("a", *lag_ms), ("b", lag_ms + 7_000)]
            .map(|(name, lag_ms)| sample(service, name, now, lag_ms))
    });
    send(&mut engine, "remote_write", now, signals.collect());
    let ledger = engine.ledger(&[]);
    let [source] = &ledger.sources[..] else {
        panic!("{ledger:?}");
    };
    let odd = source.odd_clocks.iter();
    let odd: Vec<_> = odd
        .map(|of| (of.entity.name(), of.lag_ms.unwrap()))
        .collect();
    assert_eq!(source.lag_ms, Some(3_500));
    assert_eq!(
        odd,
        [("ahead", -312_000), ("slow", 95_000), ("mail", 24_000)]
    );
}

/// Points of two metrics of services that one source tells of, for half an hour: of each how old they are and how often
/// they are sent, in seconds, and until when. How many series were silent at a tick, and what is told in the end.
fn delivered(services: &[(&str, i64, i64, i64)]) -> (Vec<u64>, SourceLedger) {
    const EVERY_S: i64 = 15;
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let mut silent = Vec::new();
    for s in 0..1_800 {
        let now = Time::from_secs(1_768_392_000 + s);
        let sent = services
            .iter()
            .filter(|(_, _, pause_s, until_s)| s % pause_s == 0 && s < *until_s);
        let signals = sent.flat_map(|(service, lag_s, pause_s, _)| {
            let held = (0..pause_s / EVERY_S).rev();
            let at = held.map(move |n| now.plus_ms((-lag_s - n * EVERY_S) * 1_000));
            at.flat_map(move |at| ["a", "b"].map(|name| sample(service, name, at, 0)))
        });
        let signals: Vec<_> = signals.collect();
        if !signals.is_empty() {
            send(&mut engine, "remote_write", now, signals);
        }
        let (seq, at, input) = (1, now, Input::Tick);
        engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        silent.push(engine.ledger(&[]).sources[0].silent);
    }
    (silent, engine.ledger(&[]).sources.remove(0))
}

#[test]
fn who_is_late_or_sends_seldom_speaks_all_the_same() {
    let services = [
        ("shop", 0, 15, 1_800),
        ("cart", 0, 15, 1_800),
        ("late", 90, 15, 1_800),
        ("ahead", -100, 15, 1_800),
        ("held", 0, 120, 1_800),
    ];
    let (silent, told) = delivered(&services);
    assert_eq!(silent.iter().max(), Some(&0));
    let told_of = told.told.iter();
    let told_of: Vec<_> = told_of
        .map(|of| {
            let heard_s = of.last_seen.ms() / 1_000 - 1_768_392_000;
            (of.entity.name(), heard_s, of.lag_ms.unwrap(), of.gaps)
        })
        .collect();
    let expected = [
        ("ahead", 1_785, -100_000, 0),
        ("cart", 1_785, 0, 0),
        ("held", 1_680, 0, 0),
        ("late", 1_785, 90_000, 0),
        ("shop", 1_785, 0, 0),
    ];
    assert_eq!(told_of, expected);
}

#[test]
fn who_is_late_and_stops_is_missed() {
    let services = [
        ("shop", 0, 15, 1_800),
        ("late", 90, 15, 900),
        ("ahead", -100, 15, 900),
        ("held", 0, 120, 900),
    ];
    let (silent, told) = delivered(&services);
    let first = silent.iter().position(|silent| *silent > 0);
    assert!(
        first.is_some_and(|s| (900..1_000).contains(&s)),
        "{first:?}"
    );
    let missed: Vec<_> = told.missed.iter().map(|of| of.entity.name()).collect();
    assert_eq!(
        missed,
        ["held", "late", "ahead"],
        "the first that stopped comes first"
    );
}

#[test]
fn a_pause_of_the_source_is_nobody_elses() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    for s in 0..1_200 {
        let now = Time::from_secs(1_768_392_000 + s);
        // After a pause too short to make it blind each is asked in turn.
        let is_paused = (600..655).contains(&s);
        let asked = ["cart", "shop", "mail"].into_iter().enumerate();
        let asked = asked.filter(|(n, _)| !is_paused && s % 15 == 5 * *n as i64);
        let signals = asked.flat_map(|(_, of)| ["a", "b"].map(|name| sample(of, name, now, 0)));
        let signals: Vec<_> = signals.collect();
        if !signals.is_empty() {
            send(&mut engine, "scrape", now, signals);
        }
        let (seq, at, input) = (1, now, Input::Tick);
        engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        let told = engine.ledger(&[]).sources.remove(0);
        assert_eq!((told.silent, s), (0, s));
    }
}

#[test]
fn a_sender_that_is_late_is_named_also_without_others_to_compare_it_with() {
    let lags: [&[i64]; 4] = [
        &[300_000],
        &[3_000, 60_000],
        &[90_000],
        &[200_000, 201_000, 300_000],
    ];
    let named = lags.map(|lags| {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let now = Time::from_secs(1_768_392_000);
        let senders = lags.iter().enumerate();
        let signals = senders.map(|(n, lag_ms)| sample(&format!("s{n}"), "a", now, *lag_ms));
        send(&mut engine, "otlp", now, signals.collect());
        let told = engine.ledger(&[]).sources.remove(0);
        told.odd_clocks.len()
    });
    assert_eq!(named, [1, 1, 0, 3]);
}

#[test]
fn a_flood_of_one_source_leaves_room_for_the_others_and_is_named() {
    let config = EngineConfig {
        series_max: 20,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, Vec::new());
    let now = Time::from_secs(1_768_392_000);
    let flood = (0..40).map(|n| sample(&format!("s{n}"), "flood", now, 0));
    let few = (0..3).map(|n| sample(&format!("t{n}"), "few", now, 0));
    send(&mut engine, "statsd", now, flood.chain(few).collect());
    let calm = vec![
        sample("cart", "calm", now, 0),
        sample("cart", "quiet", now, 0),
    ];
    send(&mut engine, "otlp", now, calm);
    let more = vec![sample("cart", "more", now, 0)];
    send(&mut engine, "otlp", now, more);

    let ledger = engine.ledger(&[]);
    let count = |what: &str, count| Count {
        what: what.to_owned(),
        count,
    };
    let told = ledger.sources.iter();
    let told: Vec<_> = told
        .map(|of| (&*of.name, of.series, &of.unplaced))
        .collect();
    let of_statsd = vec![count("flood", 22), count("few", 3)];
    let of_otlp = vec![count("more", 1)];
    assert_eq!(told, [("otlp", 2, &of_otlp), ("statsd", 18, &of_statsd)]);
    let refused = [
        count("too many series", 1),
        count("too many series of one source", 25),
    ];
    assert_eq!(ledger.refused, refused);
}

/// What is told of an entity beside times: gaps, rejected, dropped, and why.
fn trouble(ledger: &Ledger, source: &str) -> Vec<String> {
    let told = ledger.of_source(source).map(|of| &of.told);
    let told = told.into_iter().flatten();
    let troubled = told.filter(|of| of.gaps + of.rejected + of.dropped > 0);
    let why = |of: &EntityLedger| {
        let why = of.refused.iter();
        let why: Vec<String> = why
            .map(|why| format!("{} {}", why.count, why.what))
            .collect();
        why.join(", ")
    };
    let texts = troubled.map(|of| {
        let EntityLedger {
            entity,
            gaps,
            rejected,
            dropped,
            ..
        } = of;
        format!("{entity} {gaps}/{rejected}/{dropped}: {}", why(of))
    });
    texts.collect()
}

#[test]
fn what_is_refused_is_counted_for_whom_it_is_of() {
    let config = EngineConfig {
        series_max: 4,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config, Vec::new());
    let now = Time::from_secs(1_768_392_000);
    let late = |service, ms| sample(service, "a", now, ms);
    let signals = vec![
        late("cart", 0),
        late("cart", 0),
        late("cart", 5_000),
        late("cart", 6_000),
        late("shop", 0),
        // Known, and of another time.
        late("shop", 40 * 86_400_000),
        // Of whom nothing was ever taken.
        late("host-of-1970", 40 * 86_400_000),
        line([("service", "cart")], now.plus_ms(-40 * 86_400_000)),
        line([("colour", "red")], now),
    ];
    send(&mut engine, "remote_write", now, signals);
    let of_others = (0..3).map(|n| sample("flood", &format!("m{n}"), now, 0));
    send(&mut engine, "otlp", now, of_others.collect());

    let ledger = engine.ledger(&[]);
    let expected = [
        "service/cart 0/4/0: 2 later point already seen, 1 same point already seen, \
         1 time too far from the clock",
        "service/host-of-1970 0/1/0: 1 time too far from the clock",
        "service/shop 0/1/0: 1 time too far from the clock",
    ];
    assert_eq!(trouble(&ledger, "remote_write"), expected);
    let of_source = &ledger.of_source("remote_write").unwrap().refused;
    let of_source: Vec<_> = of_source
        .iter()
        .map(|why| (&*why.what, why.count))
        .collect();
    let expected = [
        ("time too far from the clock", 3),
        ("later point already seen", 2),
        ("same point already seen", 1),
        ("labels name no entity", 1),
    ];
    assert_eq!(of_source, expected, "also what names nobody");
    let flood = ["service/flood 0/0/1: 1 too many series"];
    assert_eq!(trouble(&ledger, "otlp"), flood);
    let refused: u64 = ledger.refused.iter().map(|why| why.count).sum();
    assert_eq!(refused, 8, "each counted once in all");
}

#[test]
fn what_found_no_room_on_its_way_is_counted_for_whom_it_is_of() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let now = Time::from_secs(1_768_392_000);
    send(
        &mut engine,
        "syslog",
        now,
        vec![line([("service", "sshd")], now)],
    );
    let lost = |source: &str, label: &str, value: &str, count| Lost {
        source: source.into(),
        labels: Labels::from_pairs([(label, value)]).unwrap(),
        count,
    };
    let lost = [
        lost("syslog", "service", "sshd", 30),
        lost("syslog", "app", "sshd", 12),
        lost("syslog", "service", "cron", 7),
        lost("syslog", "colour", "red", 5),
        lost("statsd", "service", "sshd", 9),
    ];
    let expected = [
        "service/sshd 0/0/42: 42 the queue to the engine was full",
        "service/cron 0/0/7: 7 the queue to the engine was full",
    ];
    assert_eq!(trouble(&engine.ledger(&lost), "syslog"), expected);
    let never_taken = ["service/sshd 0/0/9: 9 the queue to the engine was full"];
    for ledger in [engine.ledger(&lost), engine.ledger_of("statsd", &lost)] {
        assert_eq!(trouble(&ledger, "statsd"), never_taken);
    }
}

#[test]
fn an_entity_that_falls_silent_while_its_source_goes_on_has_a_gap_once_it_is_back() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let start_s = 1_768_392_000;
    let mut gaps = Vec::new();
    for s in (0..3_600).step_by(10) {
        let at = Time::from_secs(start_s + s);
        // The cart pauses twice; one series of the shop does, and all of them say nothing for half an hour,
        // when the source as a whole is blind.
        let is_blind = (1_500..3_300).contains(&s);
        let cart = !(300..600).contains(&s) && !(900..1_200).contains(&s);
        let part = !(600..900).contains(&s);
        let told = [
            ("cart", "a", cart),
            ("cart", "b", cart),
            ("shop", "a", part),
        ];
        let told = told.iter().chain(&[("shop", "b", true)]);
        let told = told.filter(|(_, _, speaks)| *speaks && !is_blind);
        let signals = told.map(|(service, name, _)| sample(service, name, at, 0));
        send(&mut engine, "remote_write", at, signals.collect());
        let tick = Input::Tick;
        let (seq, input) = (1, tick);
        engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        let now = trouble(&engine.ledger(&[]), "remote_write");
        if gaps.last() != Some(&now) {
            gaps.push(now);
        }
    }
    let of = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let expected = [
        of(&[]),
        of(&["service/cart 1/0/0: "]),
        of(&["service/cart 2/0/0: "]),
    ];
    assert_eq!(gaps, expected);
}

fn line<const N: usize>(labels: [(&str, &str); N], at: Time) -> Signal {
    Signal::Log(Box::new(LogLine {
        at,
        labels: Labels::from_pairs(labels).unwrap(),
        level: None,
        text: "served".into(),
        trace: None,
        span: None,
    }))
}

#[test]
fn who_sends_lines_has_a_pace_a_clock_of_its_host_and_gaps() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let start_s = 1_768_392_000;
    // The clocks of two hosts are wrong, by as much as can be told from a queue that is late.
    let hosts: [(&str, i64); 5] = [("n1", 0), ("n2", 300), ("n3", -90), ("n4", 0), ("n5", 1)];
    for s in (0..7_200).step_by(5) {
        let now = Time::from_secs(start_s + s);
        let speaks = |host: &str| host != "n4" || !(3_000..4_000).contains(&s);
        let hosts = hosts.iter().filter(|(host, _)| speaks(host));
        let lines = hosts.flat_map(|(host, behind_s)| {
            let at = now.plus_ms(-behind_s * 1_000);
            let service = if *host == "n4" { "cron" } else { "sshd" };
            let labels = [("service", service), ("host", *host)];
            // A line that waited comes with each that is new.
            [at.plus_ms(-60_000), at].map(|at| line(labels, at))
        });
        send(&mut engine, "syslog", now, lines.collect());
    }
    let ledger = engine.ledger(&[]);
    let source = ledger.of_source("syslog").unwrap();
    let odd = source.odd_clocks.iter();
    let odd: Vec<_> = odd
        .map(|of| (of.entity.as_str(), of.lag_ms.unwrap() / 10_000))
        .collect();
    assert_eq!(odd, [("host/n2", 30), ("host/n3", -9)]);
    let told = source.told.iter();
    let told: Vec<_> = told
        .map(|of| {
            let every_s = of.every_ms / 1_000;
            (of.entity.as_str(), every_s, of.per_minute, of.gaps)
        })
        .collect();
    assert_eq!(
        told,
        [("service/cron", 5, 24, 1), ("service/sshd", 5, 96, 0)]
    );
}

#[test]
fn nobody_has_a_gap_of_lines_that_no_source_brought() {
    for goes_on in [false, true] {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        for s in (0..7_200).step_by(5) {
            let now = Time::from_secs(1_768_392_000 + s);
            let is_cut = (3_000..4_800).contains(&s);
            let speaks = |service: &&str| !is_cut || goes_on && *service == "cron";
            let services = ["sshd", "cron"].into_iter().filter(speaks);
            let lines: Vec<_> = services.map(|of| line([("service", of)], now)).collect();
            if !lines.is_empty() {
                send(&mut engine, "syslog", now, lines);
            }
        }
        let gaps = trouble(&engine.ledger(&[]), "syslog");
        let expected: &[&str] = if goes_on {
            &["service/sshd 1/0/0: "]
        } else {
            &[]
        };
        assert_eq!(gaps, expected, "{goes_on}");
    }
}

#[test]
fn a_span_that_ends_at_another_time_is_refused_and_moves_no_clock() {
    let mut engine = Engine::new(EngineConfig::default(), Vec::new());
    let now = Time::from_secs(1_768_392_000);
    let span = |lasting_ms: u64| {
        Signal::Span(Box::new(Span {
            trace: TraceId(1),
            id: SpanId(lasting_ms),
            parent: None,
            resource: Labels::from_pairs([("service", "cart")]).unwrap(),
            name: "pay".into(),
            kind: SpanKind::Server,
            start: now.plus_ms(-20),
            duration_us: lasting_ms * 1_000,
            error: false,
            peer: None,
            weight: None,
        }))
    };
    send(
        &mut engine,
        "otlp",
        now,
        vec![span(20), span(40 * 86_400_000)],
    );
    let ledger = engine.ledger(&[]);
    let expected = ["service/cart 0/1/0: 1 time too far from the clock"];
    assert_eq!(trouble(&ledger, "otlp"), expected);
    let source = ledger.of_source("otlp").unwrap();
    assert_eq!(source.odd_clocks, []);
    assert_eq!(source.told[0].last_seen, now);
}
