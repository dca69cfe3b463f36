//! What the sources screen tells of a source of each kind, and of whom it tells: counted by the queue and the engine.

mod fixture;

use std::sync::Arc;

use fixture::{Console, now};
use stormglass::api::WatchMessage;
use stormglass::config::EngineConfig;
use stormglass::engine::Engine;
use stormglass::model::{
    Alert, Fingerprint, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, Stamped, Time,
    Unit,
};
use stormglass::sources::{
    Rhythm, SIGNALS_QUEUED_MAX, SignalQueue, SignalSender, SourceRegistry, signal_queue,
};
use stormglass::tui::Update;

/// Length of what is told, in seconds, and between two deliveries.
const LENGTH_S: i64 = 3_600;
const EVERY_S: i64 = 15;

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Labels {
    Labels::from_pairs(pairs).unwrap()
}

fn sample(labels: Labels, name: &str, at: Time) -> Signal {
    let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
    let value = 1.0;
    Signal::Sample(Sample { series, at, value })
}

fn line(labels: Labels, at: Time) -> Signal {
    Signal::Log(Box::new(LogLine {
        at,
        labels,
        level: None,
        text: "served".into(),
        trace: None,
        span: None,
    }))
}

fn alert(labels: Labels, at: Time) -> Signal {
    Signal::Alert(Box::new(Alert {
        fingerprint: Fingerprint::of(&labels),
        labels,
        annotations: Labels::empty(),
        starts_at: at,
        ends_at: at.plus_ms(60_000),
        generator_url: None,
    }))
}

/// What the senders of a kind send at a time, so many seconds after the first.
type Told = fn(i64, Time) -> Vec<Signal>;

/// Pushed: one service stops for good, one is silent for a while, one sends what it sent before.
fn remote_write(s: i64, at: Time) -> Vec<Signal> {
    let speaking = [
        ("cart", true),
        ("shop", !(900..1_500).contains(&s)),
        ("web", s < 1_800),
    ];
    let speaking = speaking.into_iter().filter(|(_, speaks)| *speaks);
    let samples = speaking.flat_map(|(service, _)| {
        ["requests", "queue_depth"]
            .map(|name| sample(labels([("job", service), ("instance", "a:1")]), name, at))
    });
    let again = sample(
        labels([("job", "cart"), ("instance", "a:1")]),
        "requests",
        at,
    );
    samples.chain([again]).collect()
}

/// Asked for: the clock of one host is ahead, and that of another so far that nothing of it is believed.
fn scrape(_: i64, at: Time) -> Vec<Signal> {
    let hosts = [("n1:9100", 0), ("n2:9100", 120), ("n3:9100", 40 * 86_400)];
    let hosts = hosts.into_iter().flat_map(|(instance, ahead_s)| {
        let labels = labels([("job", "node"), ("instance", instance)]);
        let at = at.plus_ms(ahead_s * 1_000);
        ["up", "node_load1"].map(|name| sample(labels.clone(), name, at))
    });
    hosts.collect()
}

/// A stream: lines of two services, of which one is told late by its host.
fn kafka(_: i64, at: Time) -> Vec<Signal> {
    let late = at.plus_ms(-300_000);
    vec![
        line(labels([("service", "cart"), ("host", "n1")]), at),
        line(labels([("service", "orders"), ("host", "n3")]), at),
        line(labels([("service", "orders"), ("host", "n2")]), late),
    ]
}

/// A file: some of its lines name nobody.
fn tail(s: i64, at: Time) -> Vec<Signal> {
    let mut lines = vec![line(labels([("service", "nginx")]), at)];
    if s % 600 == 0 {
        lines.push(line(labels([("file", "a.log")]), at));
    }
    lines
}

/// Alerts, once in a while.
fn webhook(s: i64, at: Time) -> Vec<Signal> {
    let is_due = s % 900 == 0;
    let host = ["db-1", "db-2"][usize::from(s % 1_800 == 0)];
    let labels = labels([("alertname", "DiskFull"), ("host", host)]);
    is_due.then(|| alert(labels, at)).into_iter().collect()
}

const KINDS: [(&str, Rhythm, &str, Told); 5] = [
    (
        "kafka logs",
        Rhythm::Sporadic,
        "logs.shop on 10.0.0.9:9092",
        kafka,
    ),
    (
        "remote_write",
        Rhythm::Regular,
        "POST /api/v1/write on 127.0.0.1:9797",
        remote_write,
    ),
    (
        "scrape node",
        Rhythm::Regular,
        "3 targets every 15 s",
        scrape,
    ),
    ("tail shop", Rhythm::Sporadic, "/var/log/shop/*.log", tail),
    (
        "webhook zabbix",
        Rhythm::Sporadic,
        "POST /webhook/in/zabbix on 127.0.0.1:9797",
        webhook,
    ),
];

/// Everything that happens, up to now.
struct Hour {
    engine: Engine,
    registry: SourceRegistry,
    queue: SignalQueue,
}

impl Hour {
    fn told() -> Self {
        let (registry, queue) = signal_queue();
        let senders = KINDS.map(|(name, rhythm, detail, _)| registry.source(name, rhythm, detail));
        let mut hour = Self {
            engine: Engine::new(EngineConfig::default(), Vec::new()),
            registry,
            queue,
        };
        for s in (0..=LENGTH_S).step_by(EVERY_S as usize) {
            let at = now().plus_ms((s - LENGTH_S) * 1_000);
            for (sender, (_, _, _, told)) in senders.iter().zip(KINDS) {
                let signals = told(s, at);
                if !signals.is_empty() {
                    sender.try_send(signals).unwrap();
                }
            }
            hour.take(at);
        }
        hour.lose(&senders[0]);
        senders[4].reject(2, "item 0: nothing at /host");
        hour
    }

    /// The engine takes what waits.
    fn take(&mut self, at: Time) {
        let waiting = std::iter::from_fn(|| self.queue.try_recv());
        let inputs = waiting.map(|batch| Input::Signals(batch.take(at)));
        for input in inputs.chain([Input::Tick]) {
            let seq = 1;
            self.engine
                .step(&Stamped { seq, at, input }, &mut Vec::new());
        }
    }

    /// More comes at once than there is room for beside what waits.
    fn lose(&mut self, sender: &SignalSender) {
        let service = labels([("service", "orders"), ("host", "n3")]);
        sender.try_send(vec![line(service.clone(), now())]).unwrap();
        let many = vec![line(service, now()); SIGNALS_QUEUED_MAX as usize];
        sender.send_or_lose(many).unwrap_err();
        self.take(now());
    }
}

#[test]
fn a_source_of_each_kind_tells_how_it_speaks_and_of_whom() {
    let hour = Hour::told();
    let ledger = hour.engine.ledger(&hour.registry.lost());
    for (place, (name, ..)) in KINDS.iter().enumerate() {
        let mut console = Console::live(120, 40, "mono");
        let mut view = fixture::view();
        view.at = now();
        let rows = hour.registry.rows(now()).into_iter();
        view.sources = rows.map(|row| (row.name.clone(), row)).collect();
        console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
        console.told(Update::Ledger(Box::new(ledger.clone())));
        console.press_and_look("g s");
        for _ in 0..place {
            console.press_and_look("j");
        }
        console.press("wait");
        let listed = console.screen();
        console.press_and_look("enter");
        let both = format!(
            "{}\n---- enter ----\n{}",
            trimmed(&listed),
            trimmed(&console.screen())
        );
        insta::assert_snapshot!(format!("source_{}", name.replace(' ', "_")), both);
    }
}

/// A screen without its empty lines.
fn trimmed(screen: &str) -> String {
    let lines = screen.lines().filter(|line| !line.trim().is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// Who waits for a source to speak looks at it: what is told of it is not that of when it was opened.
#[test]
fn what_is_told_of_a_source_goes_on_while_it_is_open() {
    let mut console = Console::live(120, 40, "dark");
    console.press("g s enter");
    let mut view = fixture::view();
    let row = view.sources.values_mut().next().expect("the first");
    assert!(!console.screen().contains("987654 signals taken"));
    row.taken = 987_654;
    console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
    let screen = console.screen();
    assert!(screen.contains("987654 signals taken"), "{screen}");
}

/// Where there is room a name has it; where there is none it loses its middle, for names differ at their ends.
#[test]
fn names_of_sources_have_the_room_there_is() {
    let name = "scrape kubernetes-nodes-of-the-western-region-1";
    let screen = |columns, rows| {
        let mut console = Console::live(columns, rows, "dark");
        let mut view = fixture::view();
        let row = view.sources.values().next().expect("the first").clone();
        let named = stormglass::model::SourceRow {
            name: name.to_owned(),
            health: stormglass::model::SourceHealth::Failed,
            ..row
        };
        view.sources = [(name.to_owned(), named)].into();
        console.told(Update::Watch(WatchMessage::Snapshot(Box::new(view))));
        console.press("g s");
        console.screen()
    };
    let wide = screen(200, 60);
    assert!(wide.contains(name), "{wide}");
    let narrow = screen(80, 24);
    assert!(narrow.contains("scrape ~gion-1"), "{narrow}");
    for screen in [wide, narrow] {
        assert!(screen.contains("1 FAILED"), "{screen}");
        assert!(!screen.contains("BLIND"), "{screen}");
    }
}
