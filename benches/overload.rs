//! Three times what it can take, for a minute: `cargo bench --bench overload`.
//!
//! First two senders, as fast as they are answered, say what this machine can take. Then many send three
//! times as much by the clock, whatever they are answered: what is refused they keep and send again a
//! second later, as Prometheus does. Datagrams that nobody can send again come beside, and somebody writes
//! notes on an incident. Afterwards senders hand in what they still hold, and everything is added up: what was
//! accepted must have been judged, what was dropped must have been counted. Senders share the machine with what they
//! measure, and so they do no more than they must: requests that are compressed already, over connections of their own. It
//! prints and asserts nothing: `docs/performance.md` says what was printed where.

mod shared;

use std::collections::{HashMap, VecDeque};
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prost::Message;
use shared::write_request::{Point, TimeSeries};
use shared::{Stormglass, free_port, http_client, labels, memory, now_ms};
use stormglass::api::client::{Address, Client, IncidentQuery};
use stormglass::model::{Command, IncidentId, SourceRow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Series of all senders together.
const SERIES: usize = 50_000;
/// Samples of one request, as Prometheus sends them.
const SAMPLES_PER_REQUEST: usize = 2_000;
/// Connections that find out what it can take, and for how long, in seconds.
const CAPACITY_SENDERS: usize = 2;
const CAPACITY_S: u64 = 10;
/// How many times that is sent, for how long, in seconds, and by how many.
const TIMES: f64 = 3.0;
const OVERLOAD_S: u64 = 60;
const SENDERS: usize = SERIES / SAMPLES_PER_REQUEST;
/// Connections of each sender, as Prometheus has shards.
const SHARDS: usize = 4;
/// A refused request is sent again after this long, in milliseconds: what `Retry-After` says.
const RETRY_MS: u64 = 1_000;
/// Requests that one connection keeps to send again; with more it gives up the oldest, as any sender must.
const KEPT_MAX: usize = 16;
/// Senders hand in what they hold for this long at most, in seconds.
const HAND_IN_S: u64 = 60;
/// Datagrams a second that come beside.
const DATAGRAMS_PER_S: u64 = 20_000;
/// Every series is known and most of its memory taken after this long, in seconds: what it takes later is growth.
const EARLY_S: u64 = 30;
/// Time between two notes on the incident, in milliseconds.
const NOTE_EVERY_MS: u64 = 100;
/// Bytes of a time in milliseconds as a varint, from 2004 to 2109.
const AT_BYTES: usize = 6;
/// Bytes of a value, the tag of the time, and the time: what each request writes anew.
const POINT_BYTES: usize = 8 + 1 + AT_BYTES;
/// The shortest and the longest copy of a snappy block, and how far back one reaches.
const COPY_BYTES: std::ops::RangeInclusive<usize> = 4..=64;
const COPY_BACK_MAX: usize = (1 << 16) - 1;

/// Longest head of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4_096;

/// One request of some series as it goes over the wire, whose times and values are written anew each time.
struct Template {
    request: Vec<u8>,
    /// Where the value of each sample is, as it is: its time is right behind, but for a tag.
    points: Vec<usize>,
    last_ms: i64,
    round: u64,
}

/// What senders were answered.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    requests: u64,
    accepted: u64,
    refused: u64,
    /// Refused with anything but 429 and 503.
    otherwise: u64,
    given_up: u64,
    handed_in: u64,
}

/// What one request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accepted,
    /// 429 or 503.
    TryAgain,
    /// Anything else, or nothing.
    Otherwise,
}

/// One kept connection that sends a request and waits for its answer; opened again when it breaks.
struct Connection {
    port: u16,
    stream: Option<TcpStream>,
}

/// Stormglass, and where it takes syslog.
struct Ours {
    stormglass: Stormglass,
    syslog: u16,
}

fn main() {
    shared::run(measure());
}

async fn measure() {
    let ours = ours().await;
    let capacity = capacity(&ours).await;
    println!("what it can take: {capacity:.0} samples/s from {CAPACITY_SENDERS} connections");
    let incident = ours.incident().await;
    let before = ours.stormglass.judged().await;
    let row_before = ours.row("remote_write").await;
    println!(
        "memory before: {} MiB",
        ours.stormglass.running.resident_kib() / 1_024
    );

    let stop = Arc::new(AtomicBool::new(false));
    let pid = ours.stormglass.running.pid();
    let memory = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || peak_kib(pid, &stop)
    });
    let datagrams = std::thread::spawn({
        let (stop, port) = (Arc::clone(&stop), ours.syslog);
        move || send_datagrams(port, &stop)
    });
    // On a thread of its own, as a person's console is: senders must not delay what is measured.
    let notes = std::thread::spawn({
        let (address, stop) = (Address::Socket(ours.stormglass.socket()), Arc::clone(&stop));
        move || {
            let client = Client::new(address).expect("a client");
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("a runtime");
            runtime.block_on(write_notes(client, incident, stop))
        }
    });
    let (told, took) = overload(&ours, TIMES * capacity).await;
    stop.store(true, Ordering::Relaxed);
    let (early_kib, peak_kib) = memory.join().expect("no panic");
    let datagrams = datagrams.join().expect("no panic");
    let mut notes = notes.join().expect("no panic");
    tokio::time::sleep(Duration::from_secs(2)).await;

    let per_request = SAMPLES_PER_REQUEST as u64;
    println!(
        "offered {:.0} samples/s for {:.0} s ({:.1} times): {} requests, {} accepted, {} answered 429 or 503, {} otherwise",
        (told.requests * per_request) as f64 / took.as_secs_f64(),
        took.as_secs_f64(),
        (told.requests * per_request) as f64 / took.as_secs_f64() / capacity,
        told.requests,
        told.accepted,
        told.refused,
        told.otherwise,
    );
    println!(
        "afterwards {} more were handed in; senders gave up {} that they could not keep",
        told.handed_in, told.given_up
    );
    let sources = ours.stormglass.view().await.sources;
    let row = |name: &str| sources.get(name).cloned();
    report_counts(told, row_before.as_ref(), datagrams, &row);
    let judged = ours.settled().await - before;
    let lines_taken = row("syslog").map_or(0, |row| row.taken);
    println!(
        "accepted {} samples and {lines_taken} lines, judged {judged}: {} lost",
        (told.accepted + told.handed_in) * per_request,
        ((told.accepted + told.handed_in) * per_request + lines_taken) as i64 - judged as i64,
    );
    println!(
        "memory: {} MiB at its peak within the first {EARLY_S} s, {} MiB at its peak of all, {} MiB afterwards",
        early_kib / 1_024,
        peak_kib / 1_024,
        ours.stormglass.running.resident_kib() / 1_024
    );
    notes.sort_by(f64::total_cmp);
    let at = |share: f64| notes[((notes.len() - 1) as f64 * share) as usize];
    println!(
        "{} commands, durable: p50 {:.1} ms, p99 {:.1} ms, slowest {:.1} ms, {} of them over 50 ms",
        notes.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        notes.iter().filter(|took_ms| **took_ms > 50.0).count()
    );
}

/// Requests that were sent back: those that were read count by their samples.
fn sent_back(row: &SourceRow) -> u64 {
    row.refused / SAMPLES_PER_REQUEST as u64 + row.unread
}

fn report_counts(
    told: Told,
    row_before: Option<&SourceRow>,
    datagrams: u64,
    row: &impl Fn(&str) -> Option<SourceRow>,
) {
    if let Some(row) = row("remote_write") {
        println!(
            "remote_write counts {} requests sent back, {} of them unread (senders were told so of {}), {} rejected, {} dropped",
            sent_back(&row) - row_before.map_or(0, sent_back),
            row.unread - row_before.map_or(0, |row| row.unread),
            told.refused,
            row.rejected,
            row.dropped
        );
    }
    if let Some(row) = row("syslog") {
        println!(
            "syslog: {datagrams} datagrams sent, {} taken, {} dropped and counted, {} rejected: {} unaccounted for",
            row.taken,
            row.dropped,
            row.rejected,
            datagrams as i64 - (row.taken + row.dropped + row.rejected) as i64
        );
    }
}

/// Samples a second that it judges when nobody sends faster than they are answered.
async fn capacity(ours: &Ours) -> f64 {
    let until = Instant::now() + Duration::from_secs(CAPACITY_S);
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..CAPACITY_SENDERS {
        let mut templates: Vec<Template> = (0..SENDERS)
            .filter(|n| n % CAPACITY_SENDERS == sender)
            .map(|n| Template::new(n * SAMPLES_PER_REQUEST))
            .collect();
        let mut connection = Connection::new(ours.stormglass.http);
        tasks.spawn(async move {
            let mut n = 0;
            while Instant::now() < until {
                let template = n % templates.len();
                let request = templates[template].request();
                n += 1;
                while connection.ask(request).await != Answer::Accepted {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            n as u64
        });
    }
    let mut requests = 0;
    while let Some(done) = tasks.join_next().await {
        requests += done.expect("no panic");
    }
    let samples = requests * SAMPLES_PER_REQUEST as u64;
    while ours.stormglass.judged().await < samples {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    samples as f64 / began.elapsed().as_secs_f64()
}

/// Sends `rate` samples a second by the clock, then hands in what is still held; how long the sending took.
async fn overload(ours: &Ours, rate: f64) -> (Told, Duration) {
    let connections = SENDERS * SHARDS;
    let each_s = SAMPLES_PER_REQUEST as f64 * connections as f64 / rate;
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..connections {
        // Shards of one sender have series of their own, so that the points of each stay in order.
        let template = Template::new(SERIES + n * SAMPLES_PER_REQUEST);
        let first = began + Duration::from_secs_f64(each_s * n as f64 / connections as f64);
        let connection = Connection::new(ours.stormglass.http);
        tasks.spawn(send_by_the_clock(connection, template, first, each_s));
    }
    let mut all = Told::default();
    let mut took = Duration::ZERO;
    while let Some(done) = tasks.join_next().await {
        let (told, sent_for) = done.expect("no panic");
        all.requests += told.requests;
        all.accepted += told.accepted;
        all.refused += told.refused;
        all.otherwise += told.otherwise;
        all.given_up += told.given_up;
        all.handed_in += told.handed_in;
        took = took.max(sent_for);
    }
    (all, took)
}

async fn send_by_the_clock(
    mut connection: Connection,
    mut template: Template,
    first: Instant,
    each_s: f64,
) -> (Told, Duration) {
    let mut told = Told::default();
    let mut kept: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let until = first + Duration::from_secs(OVERLOAD_S);
    let mut due = first;
    // A machine that cannot send as much ends in time all the same; what was offered is printed.
    while due < until && Instant::now() < until {
        tokio::time::sleep_until(due.into()).await;
        due += Duration::from_secs_f64(each_s);
        let is_due = |(at, _): &(Instant, Vec<u8>)| *at <= Instant::now();
        let held = kept.pop_front_if(|front| is_due(front));
        let held = held.map(|(_, request)| request);
        let request = match held.as_deref() {
            Some(request) => request,
            None => template.request(),
        };
        told.requests += 1;
        let answer = connection.ask(request).await;
        told.count(answer);
        if answer == Answer::Accepted {
            told.accepted += 1;
            continue;
        }
        let again = Instant::now() + Duration::from_millis(RETRY_MS);
        kept.push_back((again, held.unwrap_or_else(|| template.request.clone())));
        if kept.len() > KEPT_MAX {
            kept.pop_front();
            told.given_up += 1;
        }
    }
    let took = first.elapsed();
    let until = Instant::now() + Duration::from_secs(HAND_IN_S);
    while let Some((_, request)) = kept.pop_front() {
        if Instant::now() > until {
            told.given_up += 1 + kept.len() as u64;
            break;
        }
        let answer = connection.ask(&request).await;
        told.count(answer);
        if answer == Answer::Accepted {
            told.handed_in += 1;
        } else {
            kept.push_front((Instant::now(), request));
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
    }
    (told, took)
}

impl Told {
    fn count(&mut self, answer: Answer) {
        self.refused += u64::from(answer == Answer::TryAgain);
        self.otherwise += u64::from(answer == Answer::Otherwise);
    }
}

impl Connection {
    fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Sends a whole request, and waits for its answer.
    async fn ask(&mut self, request: &[u8]) -> Answer {
        match self.try_ask(request).await {
            Ok(status) => match status {
                200..300 => Answer::Accepted,
                429 | 503 => Answer::TryAgain,
                _ => Answer::Otherwise,
            },
            Err(error) => {
                eprintln!("no answer: {error}");
                self.stream = None;
                Answer::Otherwise
            }
        }
    }

    async fn try_ask(&mut self, request: &[u8]) -> std::io::Result<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        stream.write_all(request).await?;
        let odd = |what: &str| std::io::Error::other(format!("an answer {what}"));
        let mut answer = [0; ANSWER_BYTES_MAX];
        let mut held = 0;
        loop {
            let read = stream.read(&mut answer[held..]).await?;
            if read == 0 {
                return Err(odd("that breaks off"));
            }
            held += read;
            let text = std::str::from_utf8(&answer[..held]).map_err(|_| odd("of no text"))?;
            let Some((lines, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            // None has a body but says how long it is.
            let length = lines
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(Ok(0), str::parse::<usize>);
            if body.len() < length.map_err(|_| odd("without a length"))? {
                continue;
            }
            let status = lines
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok());
            return status.ok_or_else(|| odd("without a status"));
        }
    }
}

/// Writes a note every now and then; how long each took, in milliseconds.
async fn write_notes(client: Client, incident: IncidentId, stop: Arc<AtomicBool>) -> Vec<f64> {
    let mut took = Vec::new();
    let mut every = tokio::time::interval(Duration::from_millis(NOTE_EVERY_MS));
    while !stop.load(Ordering::Relaxed) {
        every.tick().await;
        let text = format!("note {}", took.len());
        let began = Instant::now();
        let note = Command::Note { incident, text };
        let reply = client.command(&note).await.expect("it answers");
        assert_eq!(reply.refused, None);
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    took
}

fn send_datagrams(port: u16, stop: &AtomicBool) -> u64 {
    const AT_ONCE: u64 = 20;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to = ("127.0.0.1", port);
    let began = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..AT_ONCE {
            let line = format!("<14>1 - node-1 cart 77 - - GET /orders/{sent} answered 200");
            sent += u64::from(socket.send_to(line.as_bytes(), to).is_ok());
        }
        let due = Duration::from_secs_f64(sent as f64 / DATAGRAMS_PER_S as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    sent
}

/// The most it took, in its first seconds and in all.
fn peak_kib(pid: u32, stop: &AtomicBool) -> (u64, u64) {
    let began = Instant::now();
    let (mut early, mut peak) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        peak = peak.max(memory(pid).resident_kib);
        if began.elapsed().as_secs() < EARLY_S {
            early = peak;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    (early, peak)
}

impl Template {
    fn new(first: usize) -> Self {
        let (mut message, mut points) = (Vec::new(), Vec::new());
        for n in first..first + SAMPLES_PER_REQUEST {
            let series = TimeSeries {
                labels: labels(n),
                samples: vec![Point {
                    value: 1.0,
                    at_ms: now_ms(),
                }],
                ..TimeSeries::default()
            };
            // `WriteRequest.timeseries` is field 1, and length-delimited.
            message.push(0x0a);
            series
                .encode_length_delimited(&mut message)
                .expect("vectors grow");
            points.push(message.len() - POINT_BYTES);
        }
        let (block, mut points) = compressed(&message, &points);
        let mut request = format!(
            "POST /api/v1/write HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/x-protobuf\r\n\
             content-encoding: snappy\r\nx-prometheus-remote-write-version: 0.1.0\r\ncontent-length: {}\r\n\r\n",
            block.len()
        )
        .into_bytes();
        for point in &mut points {
            *point += request.len();
        }
        request.extend_from_slice(&block);
        Self {
            request,
            points,
            last_ms: 0,
            round: 0,
        }
    }

    /// The next request: all its samples are of now.
    fn request(&mut self) -> &[u8] {
        let at_ms = now_ms().max(self.last_ms + 1);
        (self.last_ms, self.round) = (at_ms, self.round + 1);
        let at: [u8; AT_BYTES] = std::array::from_fn(|i| {
            let more = if i + 1 < AT_BYTES { 0x80 } else { 0 };
            (at_ms >> (7 * i)) as u8 & 0x7f | more
        });
        for (n, &point) in self.points.iter().enumerate() {
            let noise = (n as u64 * 7_919 + self.round * 31) % 97;
            let value = (self.round * 100 + noise) as f64;
            self.request[point..point + 8].copy_from_slice(&value.to_le_bytes());
            self.request[point + 9..point + POINT_BYTES].copy_from_slice(&at);
        }
        &self.request
    }
}

/// A snappy block in which the points stand as they are and nothing is copied from them, and where they stand.
fn compressed(plain: &[u8], points: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let (mut block, mut places) = (Vec::new(), Vec::new());
    prost::encoding::encode_varint(plain.len() as u64, &mut block);
    let mut seen: HashMap<&[u8], usize> = HashMap::new();
    let mut is_point = vec![false; plain.len()];
    let mut begin = 0;
    for &point in points {
        is_point[point..point + POINT_BYTES].fill(true);
        let (mut at, mut literal) = (begin, begin);
        while at + COPY_BYTES.start() <= point {
            let key = &plain[at..at + COPY_BYTES.start()];
            let from = seen
                .insert(key, at)
                .filter(|from| at - from <= COPY_BACK_MAX);
            let same = from.map_or(0, |from| {
                let ends = (at..point).zip(from..at).take(*COPY_BYTES.end());
                ends.take_while(|&(a, b)| plain[a] == plain[b] && !is_point[b])
                    .count()
            });
            let Some(from) = from.filter(|_| COPY_BYTES.contains(&same)) else {
                at += 1;
                continue;
            };
            push_literal(&mut block, &plain[literal..at]);
            block.push(((same - 1) as u8) << 2 | 2);
            block.extend_from_slice(&((at - from) as u16).to_le_bytes());
            at += same;
            literal = at;
        }
        push_literal(&mut block, &plain[literal..point]);
        push_literal(&mut block, &plain[point..point + POINT_BYTES]);
        places.push(block.len() - POINT_BYTES);
        begin = point + POINT_BYTES;
    }
    let read = snap::raw::Decoder::new().decompress_vec(&block);
    assert_eq!(read.as_deref(), Ok(plain), "a snappy block");
    (block, places)
}

fn push_literal(block: &mut Vec<u8>, bytes: &[u8]) {
    // As long as one that says its length in its first byte may be.
    for piece in bytes.chunks(60) {
        block.push(((piece.len() - 1) as u8) << 2);
        block.extend_from_slice(piece);
    }
}

async fn ours() -> Ours {
    let syslog = free_port();
    let more =
        format!("[sources.syslog]\nudp = \"127.0.0.1:{syslog}\"\n[engine]\nseries_max = 300000\n");
    let stormglass = shared::stormglass(&more).await;
    Ours { stormglass, syslog }
}

impl Ours {
    /// An incident to write on.
    async fn incident(&self) -> IncidentId {
        let url = self.stormglass.url("/api/v2/alerts");
        let alert = serde_json::json!([{
            "labels": {"alertname": "Overload", "service": "shop", "severity": "critical"},
        }]);
        let sent = http_client().post(url).json(&alert).send().await;
        assert!(sent.expect("it answers").status().is_success());
        loop {
            let page = self
                .stormglass
                .client
                .incidents(&IncidentQuery::default())
                .await;
            if let Some(row) = page.expect("it answers").items.first() {
                return row.id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn row(&self, name: &str) -> Option<SourceRow> {
        let sources = self.stormglass.view().await.sources;
        sources.get(name).cloned()
    }

    /// Signals judged, once no more of them come.
    async fn settled(&self) -> u64 {
        loop {
            let before = self.stormglass.judged().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            if self.stormglass.judged().await == before {
                return before;
            }
        }
    }
}
