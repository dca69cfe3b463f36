//! Tests of the recorder: what is put comes back, damage is named, the budget holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::config::EngineConfig;
use crate::model::{
    Batch, Input, Labels, LogLevel, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Span,
    SpanId, SpanKind, TraceId, Unit,
};

fn header() -> Header {
    Header {
        made_by: "0".to_owned(),
        environment: "test".to_owned(),
        from: Time::ZERO,
        redacted: false,
        engine: EngineConfig::default(),
        runbooks: Vec::new(),
    }
}

fn series(name: &str) -> Arc<Series> {
    let labels = Labels::from_pairs([("service", name)]).expect("short");
    Arc::new(Series::new("cpu", labels, SeriesKind::Gauge, Unit::Ratio))
}

fn stamped(seq: u64, at_s: i64, signals: Vec<Signal>) -> Stamped {
    let source = SourceId::new("test");
    Stamped {
        seq,
        at: Time::from_secs(at_s),
        input: Input::Signals(Batch { source, signals }),
    }
}

fn sample(series: &Arc<Series>, at: i64, value: f64) -> Signal {
    Signal::Sample(Sample {
        series: Arc::clone(series),
        at: Time::from_ms(at),
        value,
    })
}

fn line(text: &str) -> Signal {
    Signal::Log(Box::new(LogLine {
        at: Time::from_secs(3),
        labels: Labels::from_pairs([("service", "cart")]).expect("short"),
        level: Some(LogLevel::Warn),
        text: Box::from(text),
        trace: Some(TraceId(u128::MAX)),
        span: None,
    }))
}

fn span(id: u64, parent: Option<u64>) -> Signal {
    Signal::Span(Box::new(Span {
        trace: TraceId(7 << 70),
        id: SpanId(id),
        parent: parent.map(SpanId),
        resource: Labels::from_pairs([("service.name", "cart")]).expect("short"),
        name: Arc::from("GET /cart"),
        kind: SpanKind::Server,
        start: Time::from_secs(4),
        duration_us: 1_500,
        error: id.is_multiple_of(2),
        peer: parent.map(|_| Arc::from("cache")),
        weight: None,
    }))
}

/// As text, so that a NaN equals itself.
fn text(inputs: &[Stamped]) -> String {
    format!("{inputs:?}")
}

fn write(inputs: &[Stamped], frame_of: usize) -> Vec<u8> {
    let mut writer = SegmentWriter::new(Vec::new(), &header()).expect("memory");
    for (i, stamped) in inputs.iter().enumerate() {
        writer.put(stamped);
        if i % frame_of == 0 {
            writer.flush().expect("memory");
        }
    }
    writer.finish().expect("memory")
}

fn read(folder: &Path, bytes: &[u8]) -> Result<(Vec<Stamped>, u64), RecordingError> {
    let path = folder.join("one");
    fs::write(&path, bytes).expect("a temporary folder");
    let mut recording = Recording::open(&path, None)?;
    let mut inputs = Vec::new();
    while let Some(frame) = recording.next_frame()? {
        inputs.extend(frame.inputs);
    }
    Ok((inputs, recording.torn_bytes()))
}

fn mixed() -> Vec<Stamped> {
    let (a, b) = (series("a"), series("b"));
    let mut inputs = vec![
        stamped(
            1,
            1,
            vec![
                line("disk /dev/sda1 is full"),
                span(1, None),
                span(2, Some(1)),
            ],
        ),
        stamped(
            2,
            1,
            vec![span(3, Some(1)), sample(&a, 900, -0.0), line("")],
        ),
    ];
    for seq in 3..40 {
        let value = seq as f64 * 0.01;
        inputs.push(stamped(
            seq,
            seq as i64,
            vec![
                sample(&a, seq as i64 * 1_000, value),
                sample(&b, seq as i64 * 1_000, seq as f64 / 3.0),
            ],
        ));
    }
    inputs.push(stamped(
        40,
        50,
        vec![
            sample(&b, i64::MIN, f64::NAN),
            sample(&a, i64::MAX, f64::INFINITY),
        ],
    ));
    inputs.push(Stamped {
        seq: 41,
        at: Time::from_secs(51),
        input: Input::Tick,
    });
    inputs
}

#[test]
fn what_was_put_comes_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for frame_of in [1, 7, 1_000] {
        let (inputs, torn) = read(folder.path(), &write(&mixed(), frame_of)).expect("just written");
        assert_eq!((text(&inputs), torn), (text(&mixed()), 0));
    }
}

#[test]
fn secrets_are_not_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for said in [
        "login password=hunter2",
        r#"{"password":"p\"hunter2"}"#,
        "Cookie: theme=dark; sessionid=hunter2",
        "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
    ] {
        let said = stamped(1, 1, vec![line(said)]);
        let (inputs, _) = read(folder.path(), &write(&[said], 1)).expect("just written");
        assert!(!text(&inputs).contains("hunter2"), "{}", text(&inputs));
    }
}

#[test]
fn an_unfinished_end_loses_that_frame_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = write(&mixed(), 1);
    let (inputs, torn) = read(folder.path(), &bytes[..bytes.len() - 3]).expect("torn is no damage");
    assert_eq!(text(&inputs), text(&mixed()[..40]));
    assert!(torn > 0);
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = write(&mixed(), 1);
    let mut flipped = bytes.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut newer = bytes.clone();
    newer[8] = 9;
    let cases = [
        (flipped, "the checksum does not match"),
        (newer, "is of format 9"),
        (
            b"something else, of some length".to_vec(),
            "is not a recording",
        ),
        (b"STORMRED".to_vec(), "is not a recording"),
        (Vec::new(), "nothing of its 0 bytes can be read"),
        (bytes[..9].to_vec(), "nothing of its 9 bytes can be read"),
        (bytes[..40].to_vec(), "nothing of its 40 bytes can be read"),
    ];
    for (bytes, said) in cases {
        let error = read(folder.path(), &bytes).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// A daemon that is killed when it begins a segment leaves one without a header, among those of before and after.
#[test]
fn a_segment_without_a_header_keeps_no_other_from_being_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = write(&mixed(), 1);
    let segments = [
        &whole[..0],
        &whole[..20],
        &whole[..],
        &whole[..0],
        &whole[..30],
    ];
    for (n, bytes) in segments.into_iter().enumerate() {
        let file = folder.path().join(format!("{n:013}-0.{SEGMENT_ENDING}"));
        fs::write(file, bytes).expect("writable");
    }
    let mut recording = Recording::open(folder.path(), None).expect("one can be read");
    let mut inputs = Vec::new();
    while let Some(frame) = recording.next_frame().expect("no damage") {
        inputs.extend(frame.inputs);
    }
    assert_eq!(text(&inputs), text(&mixed()));
    assert_eq!(recording.torn_bytes(), 20 + 30);
}

fn options(folder: &Path, bytes_max: u64) -> RecorderOptions {
    RecorderOptions {
        folder: folder.to_owned(),
        bytes_max,
        left_bytes: 0,
        header: header(),
    }
}

/// Twelve hours of one noisy series through the recorder's own thread.
fn record_hours(folder: &Path, bytes_max: u64, pinned: Option<i64>) -> RecorderStatus {
    let noisy = series("noisy");
    let recorder =
        Recorder::start(options(folder, bytes_max), Beginning::default()).expect("a thread");
    if let Some(began_s) = pinned {
        let (id, margin) = (IncidentId(1), 60_000);
        let began = Time::from_secs(began_s);
        let pin = Pin {
            from: began.plus_ms(-margin),
            to: Some(began.plus_ms(margin)),
        };
        assert!(recorder.send(Message::Pin(id, pin)));
    }
    for seq in 1..=720u64 {
        let at = seq as i64 * 60;
        let value = (seq as f64).sin();
        recorder.record(stamped(seq, at, vec![sample(&noisy, at * 1_000, value)]));
    }
    let status = Arc::clone(&recorder.status);
    drop(recorder);
    let status = status.lock().expect("no panic").clone();
    assert_eq!((status.lost_inputs, &status.failing), (0, &None));
    status
}

#[test]
fn the_oldest_go_first_and_incidents_last() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = record_hours(&folder.path().join("all"), u64::MAX, None);
    assert_eq!(all.segments, 12);
    let half = folder.path().join("half");
    let kept = record_hours(&half, all.bytes / 2, None);
    let firsts = |folder: &Path| -> Vec<i64> {
        let listed = list(folder).expect("it is there");
        listed.iter().map(|s| s.from.ms() / 1_000).collect()
    };
    assert!(kept.bytes <= all.bytes / 2 && kept.segments >= 4);
    assert!(firsts(&half)[0] > 6 * 3_600, "{:?}", firsts(&half));
    let pinned = folder.path().join("pinned");
    record_hours(&pinned, all.bytes / 2, Some(7_800));
    assert_eq!(firsts(&pinned)[0], 7_260, "{:?}", firsts(&pinned));
}

#[test]
fn a_disk_without_room_is_left_to_others_but_for_what_incidents_need() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = record_hours(folder.path(), u64::MAX, None);
    assert_eq!(all.segments, 12);
    let full = RecorderOptions {
        left_bytes: u64::MAX,
        ..options(folder.path(), u64::MAX)
    };
    let recorder = Recorder::start(full, Beginning::default()).expect("a thread");
    let pin = Pin {
        from: Time::from_secs(7_800),
        to: Some(Time::from_secs(7_900)),
    };
    assert!(recorder.send(Message::Pin(IncidentId(1), pin)));
    for seq in 1..=3 {
        recorder.record(stamped(seq, 50_000, Vec::new()));
    }
    let status = Arc::clone(&recorder.status);
    drop(recorder);
    let status = status.lock().expect("no panic").clone();
    let why = status.failing.expect("nothing is recorded");
    let is_said = why.contains(" GiB of the disk are left to decisions; ");
    assert!(is_said && why.ends_with(" GiB are free"), "{why}");
    assert_eq!((status.lost_inputs, status.unpinned), (3, 0));
    let left = list(folder.path()).expect("it is there");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].from, Time::from_secs(7_260));
}

/// A disk of 2 MiB that nobody else writes to, and the least that was ever free on it.
static LEAST_FREE: AtomicU64 = AtomicU64::new(u64::MAX);

fn free_on_a_small_disk(folder: &Path) -> u64 {
    let taken: u64 = list(folder).map_or(0, |all| all.iter().map(|of| of.bytes).sum());
    let free = (2u64 << 20).saturating_sub(taken);
    LEAST_FREE.fetch_min(free, Ordering::Relaxed);
    free
}

#[test]
fn a_burst_larger_than_the_disk_leaves_others_their_part_and_what_is_lost_is_counted() {
    const INPUTS: u64 = 256;
    const LEFT_BYTES: u64 = 128 << 10;
    // Text that packs badly: 8 MiB of it, half of that when packed.
    let mut state = 1u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{:x}", state >> 32)
    };
    let mut burst = |folder: &Path, pins: &[(IncidentId, Pin)]| {
        let small = RecorderOptions {
            left_bytes: LEFT_BYTES,
            ..options(folder, u64::MAX)
        };
        let recorder = Recorder::start_on(small, Beginning::default(), free_on_a_small_disk);
        let recorder = recorder.expect("a thread");
        for (id, pin) in pins {
            assert!(recorder.send(Message::Pin(*id, *pin)));
        }
        for seq in 1..=INPUTS {
            let text: Vec<String> = (0..4_096).map(|_| noise()).collect();
            recorder.record(stamped(seq, seq as i64, vec![line(&text.join(" "))]));
        }
        let gauge = recorder.gauge();
        drop(recorder);
        let status = gauge.read();
        let least = LEAST_FREE.swap(u64::MAX, Ordering::Relaxed);
        assert!(least >= LEFT_BYTES, "{least} bytes were left: {status:?}");
        let mut recording = Recording::open(folder, None).expect("there is some");
        let kept: usize = frames(&mut recording)
            .iter()
            .map(|(_, inputs)| inputs)
            .sum();
        (status, kept as u64)
    };
    // Without an incident the oldest make room, and nothing that comes is lost.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (status, kept) = burst(folder.path(), &[]);
    assert_eq!((status.lost_inputs, &status.failing), (0, &None));
    assert!((1..INPUTS).contains(&kept), "{kept}");
    assert!(status.bytes > 1 << 20 && status.segments > 2, "{status:?}");
    // What an incident needs stays, and what finds no room beside it is counted.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all = Pin {
        from: Time::ZERO,
        to: None,
    };
    let (status, kept) = burst(folder.path(), &[(IncidentId(1), all)]);
    assert_eq!(status.unpinned, 0);
    assert!(status.failing.is_some() && kept > 0, "{status:?}");
    assert_eq!(status.lost_inputs, INPUTS - kept);
}

#[tokio::test]
async fn a_receipt_is_given_for_what_is_on_the_disk_and_torn_for_what_is_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = folder.path().join("good");
    let recorder = Recorder::start(options(&good, u64::MAX), Beginning::default());
    let recorder = recorder.expect("a thread");
    let (given, mut kept) = receipt();
    let lost = recorder.lost_inputs();
    recorder.record(stamped(1, 60, Vec::new()));
    recorder.promise(given, lost);
    assert!(kept.known().await);
    let path = list(&good).expect("it is there").remove(0).path;
    let read = read(folder.path(), &fs::read(path).expect("it is there"));
    assert_eq!(read.expect("good").0.len(), 1);
    // Stopping keeps what was handed over.
    let (given, mut kept) = receipt();
    recorder.record(stamped(2, 61, Vec::new()));
    recorder.promise(given, recorder.lost_inputs());
    drop(recorder);
    assert_eq!(kept.so_far(), Some(true));
    // A file stands where the folder should be.
    let bad = folder.path().join("bad");
    fs::write(&bad, "x").expect("a temporary folder");
    let recorder = Recorder::start(options(&bad, u64::MAX), Beginning::default());
    let recorder = recorder.expect("a thread");
    let (given, mut kept) = receipt();
    let lost = recorder.lost_inputs();
    recorder.record(stamped(1, 60, Vec::new()));
    recorder.promise(given, lost);
    assert!(!kept.known().await);
    // Something before it was lost.
    let (given, mut kept) = receipt();
    recorder.promise(given, lost);
    assert!(!kept.known().await);
}

#[test]
fn a_cut_has_the_window_and_a_redacted_one_no_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("source");
    fs::write(&source, write(&mixed(), 5)).expect("a temporary folder");
    let window = (Time::from_secs(1), Time::from_secs(12));
    let (plain, hidden) = (folder.path().join("plain"), folder.path().join("hidden"));
    let done = cut(&source, window, &plain, None).expect("a good recording");
    assert_eq!((done.inputs, done.withheld), (12, 0));
    assert_eq!(done.spans, Some((Time::from_secs(1), Time::from_secs(12))));
    let (inputs, _) = read(folder.path(), &fs::read(&plain).expect("just cut")).expect("good");
    assert_eq!(text(&inputs), text(&mixed()[..12]));
    cut(&source, window, &hidden, Some(42)).expect("a good recording");
    let (inputs, _) = read(folder.path(), &fs::read(&hidden).expect("just cut")).expect("good");
    assert_eq!(inputs.len(), 12);
    let text = text(&inputs);
    for name in ["cart", "cache", "sda1", "/cart"] {
        assert!(!text.contains(name), "{name} in {text}");
    }
}

/// What each frame begins with, in a word, and its inputs.
fn frames(recording: &mut Recording) -> Vec<(Option<&'static str>, usize)> {
    let mut frames = Vec::new();
    while let Some(frame) = recording.next_frame().expect("a good recording") {
        let begins = frame.begins.map(|begins| match begins {
            Begins::From(beginning) if *beginning == known() => "known",
            Begins::From(_) => "fresh",
            Begins::Unknown => "unknown",
            Begins::Earlier => "earlier",
        });
        frames.push((begins, frame.inputs.len()));
    }
    frames
}

/// A daemon that knew something.
fn known() -> Beginning {
    let at = Time::from_secs(7);
    let version = "test".to_owned();
    Beginning {
        learned: Some(Learned {
            version: 7,
            parts: vec![vec![1, 2, 3], Vec::new(), vec![9; 300]],
        }),
        records: vec![crate::model::Dated {
            at: Time::from_secs(8),
            record: crate::model::Record::Started {
                version,
                at,
                found: Vec::new(),
                unclean: false,
            },
        }],
        lacks: vec!["a thing".to_owned()],
        ..Beginning::default()
    }
}

fn with_numbers(from_s: i64, seqs: &[u64]) -> Vec<Stamped> {
    let numbered = (from_s..).zip(seqs);
    numbered
        .map(|(at_s, seq)| stamped(*seq, at_s, Vec::new()))
        .collect()
}

#[test]
fn restarts_are_seen_in_the_middle_of_what_was_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("three.sgrec");
    let inputs = with_numbers(100, &[1, 2, 3, 1, 2, 1]);
    std::fs::write(&path, write(&inputs, inputs.len())).expect("a place for it");
    let mut recording = Recording::open(&path, None).expect("a good recording");
    assert_eq!(
        frames(&mut recording),
        [
            (Some("fresh"), 1),
            (None, 2),
            (Some("unknown"), 2),
            (Some("unknown"), 1)
        ]
    );
    assert_eq!((recording.missing(), recording.before()), (0, 0));
}

#[test]
fn what_a_daemon_began_from_is_told_also_in_what_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("recorder");
    // The second loses its first inputs, so that numbers alone do not tell that it is another.
    for (from_s, seqs) in [(100, &[1, 2, 3][..]), (110, &[5, 6, 8]), (120, &[1, 2])] {
        let recorder = Recorder::start(options(&source, u64::MAX), known()).expect("a thread");
        for stamped in with_numbers(from_s, seqs) {
            recorder.record(stamped);
        }
    }
    let known_then = |inputs| (Some("known"), inputs);
    let mut whole = Recording::open(&source, None).expect("a good recording");
    assert_eq!(
        frames(&mut whole),
        [known_then(3), known_then(3), known_then(2)]
    );
    assert_eq!((whole.missing(), whole.before()), (5, 0));

    let always = (Time::ZERO, Time::from_secs(1_000));
    let (plain, hidden) = (folder.path().join("plain"), folder.path().join("hidden"));
    cut(&source, always, &plain, None).expect("a good recording");
    let mut again = Recording::open(&plain, None).expect("just cut");
    assert_eq!(
        frames(&mut again),
        [known_then(3), known_then(3), known_then(2)]
    );
    cut(&source, always, &hidden, Some(42)).expect("a good recording");
    let mut hidden = Recording::open(&hidden, None).expect("just cut");
    let first = hidden.next_frame().expect("just cut").expect("inputs");
    let Some(Begins::From(beginning)) = first.begins else {
        panic!("{first:?}");
    };
    assert_eq!((beginning.learned, beginning.records), (None, Vec::new()));
    assert_eq!(beginning.lacks.len(), 2, "{:?}", beginning.lacks);

    let late = (Time::from_secs(102), Time::from_secs(1_000));
    let tail = folder.path().join("tail");
    cut(&plain, late, &tail, None).expect("a good recording");
    let mut tail = Recording::open(&tail, None).expect("just cut");
    assert_eq!(frames(&mut tail)[0], (Some("earlier"), 1));
    assert_eq!(tail.before(), 2);
}

#[test]
fn too_much_learned_is_left_out_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = options(folder.path(), 8 * known().learned_bytes() - 1);
    let recorder = Recorder::start(small, known()).expect("a thread");
    recorder.record(stamped(1, 1, Vec::new()));
    drop(recorder);
    let mut recording = Recording::open(folder.path(), None).expect("just recorded");
    let frame = recording.next_frame().expect("good").expect("inputs");
    let Some(Begins::From(beginning)) = frame.begins else {
        panic!("{frame:?}");
    };
    assert_eq!((beginning.learned, beginning.records.len()), (None, 1));
    assert_eq!(beginning.lacks.len(), 2, "{:?}", beginning.lacks);
}

#[test]
fn records_of_format_2_are_read_without_their_times() {
    let dated = &known().records[0];
    let mut encoder = encode::Encoder::default();
    encoder.record(dated);
    // What is told now, and what was told then.
    let mut columns = encoder.columns;
    columns[encode::OPS].push(encode::OP_RECORD);
    let json = serde_json::to_vec(&dated.record).expect("memory");
    wire::put_bytes(&mut columns[encode::JSON], &json);
    let mut frame = Vec::new();
    for column in &columns {
        wire::put_bytes(&mut frame, column);
    }
    let told = decode::Decoder::default().frame(&frame).expect("a frame");
    let undated = dated.record.clone().undated();
    let expected = [dated.clone(), undated].map(|dated| beginning::Told::Record(Box::new(dated)));
    assert_eq!(told, expected);
}

#[test]
fn recordings_of_version_3_are_read_and_how_spans_were_sampled_comes_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = fs::read("tests/fixtures/recording-3.sgrec").expect("it is there");
    let (inputs, _) = read(folder.path(), &bytes).expect("an old recording");
    assert_eq!(text(&inputs), text(&mixed()));
    let weighed = |id, told: Option<f32>| match span(id, None) {
        Signal::Span(span) => Signal::Span(Box::new(Span {
            weight: told,
            ..*span
        })),
        other => other,
    };
    let signals = vec![
        weighed(1, Some(1.0)),
        weighed(2, None),
        weighed(3, Some(99.5)),
        weighed(4, Some(Span::WEIGHT_MAX)),
    ];
    let inputs = [stamped(1, 1, signals)];
    let (back, _) = read(folder.path(), &write(&inputs, 1)).expect("just written");
    assert_eq!(text(&back), text(&inputs));
}

#[test]
fn recordings_of_version_1_are_read() {
    let path = Path::new("tests/fixtures/recording-1.sgrec");
    let mut recording = Recording::open(path, None).expect("an old recording");
    let begins: Vec<_> = frames(&mut recording)
        .into_iter()
        .filter_map(|(begins, _)| begins)
        .collect();
    assert_eq!(begins, ["unknown", "unknown", "unknown"]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = fs::read(path).expect("it is there");
    let (mut inputs, _) = read(folder.path(), &bytes).expect("an old recording");
    inputs.truncate(mixed().len());
    assert_eq!(text(&inputs), text(&mixed()));
}

proptest! {
    #[test]
    fn any_values_come_back(
        values in prop::collection::vec((0..4usize, any::<f64>(), any::<i64>()), 1..200),
        rounded in prop::collection::vec((0..4usize, -1_000_000i64..1_000_000, 0..6i32), 0..200),
    ) {
        let all: Vec<Arc<Series>> = ["a", "b", "c", "d"].map(series).into();
        let mut signals: Vec<Signal> = values.iter().map(|(s, v, at)| sample(&all[*s], *at, *v)).collect();
        signals.extend(rounded.iter().map(|(s, v, e)| sample(&all[*s], 5, *v as f64 / 10f64.powi(*e))));
        let inputs = [stamped(1, 1, signals)];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (back, _) = read(folder.path(), &write(&inputs, 1)).expect("just written");
        prop_assert_eq!(text(&back), text(&inputs));
    }

    #[test]
    fn hostile_columns_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Whatever it says of them, it returns.
        let _ = decode::Decoder::default().frame(&bytes);
    }

    #[test]
    fn bent_files_are_read_as_far_as_they_are_whole(
        place in any::<prop::sample::Index>(),
        by in 1u8..=255,
        cut in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let good = write(&mixed(), 2);
        let mut bent = good.clone();
        let at = place.index(bent.len());
        bent[at] = bent[at].wrapping_add(by);
        let longer = [&good[..], &tail].concat();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inputs = mixed().len();
        for file in [&bent[..], &good[..cut.index(good.len())], &longer, &tail] {
            if let Ok((read, _)) = read(folder.path(), file) {
                prop_assert!(read.len() <= inputs);
            }
        }
    }

    #[test]
    fn bent_frames_are_refused_without_a_panic(place in 0..2_000usize, by in 1u8..=255) {
        let mut encoder = encode::Encoder::default();
        for stamped in &mixed() {
            encoder.put(stamped);
        }
        let mut frame = encoder.take_frame();
        let place = place % frame.len();
        frame[place] = frame[place].wrapping_add(by);
        let _ = decode::Decoder::default().frame(&frame);
    }
}
