//! Following files: turns, rotation, restarts.

use std::fs;

use super::*;

fn tail(config: &str) -> Tail {
    Tail::new(toml::from_str(config).unwrap(), "n1".to_owned(), None)
}

fn texts(look: &Look) -> Vec<(&str, &str)> {
    let lines = look.signals.iter().map(|signal| match signal {
        Signal::Log(line) => (line.labels.get("service").unwrap(), &*line.text),
        other => panic!("not a line: {other:?}"),
    });
    lines.collect()
}

/// Looks until nothing more is to be read and joined events are complete.
fn settle(tail: &mut Tail) -> Look {
    let mut all = Look::default();
    for _ in 0..=POLLS_PER_EVENT_MAX + 2 {
        let look = tail.look(Time::from_secs(7));
        all.signals.extend(look.signals);
        all.cut_lines += look.cut_lines;
        all.problem = look.problem;
    }
    all
}

#[test]
fn files_appear_vanish_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = folder.path().join("*.log");
    let mut tail = tail(&format!("paths = [{pattern:?}]\n"));
    let none = tail.look(Time::ZERO);
    let expected = format!("no file matches {}; looking again", pattern.display());
    assert_eq!(none.problem, Some(expected));

    fs::write(
        folder.path().join("cart.log"),
        "one\n\tat a.B.pay(B.java:3)\ntwo\n",
    )
    .unwrap();
    tail.polls = POLLS_PER_SCAN;
    let look = settle(&mut tail);
    assert_eq!(
        texts(&look),
        [("cart", "one\n\tat a.B.pay(B.java:3)"), ("cart", "two")]
    );
    assert_eq!(look.problem, None);

    fs::remove_file(folder.path().join("cart.log")).unwrap();
    for _ in 0..POLLS_GONE_MAX {
        tail.look(Time::ZERO);
    }
    assert!(tail.look(Time::ZERO).problem.is_some());
    fs::write(folder.path().join("cart.log"), "back\n").unwrap();
    tail.polls = POLLS_PER_SCAN;
    assert_eq!(texts(&settle(&mut tail)), [("cart", "back")]);
}

#[test]
fn what_was_there_is_skipped_or_read_as_the_config_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    for (from, expected) in [("end", vec!["new"]), ("start", vec!["old", "new"])] {
        fs::write(&path, "old\n").unwrap();
        let mut tail = tail(&format!(
            "paths = [{path:?}]\nfrom = {from:?}\nmultiline = false"
        ));
        let mut look = tail.look(Time::ZERO);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("new\n\n");
        fs::write(&path, text).unwrap();
        look.signals.extend(settle(&mut tail).signals);
        let got: Vec<_> = texts(&look).into_iter().map(|(_, text)| text).collect();
        assert_eq!(got, expected, "{from}");
    }
}

#[test]
fn labels_say_service_host_file_and_what_the_config_adds() {
    let config = toml::from_str(
        "paths = [\"x\"]\nservice = \"gateway\"\nlabels = { tier = \"edge\", host = \"n2\" }",
    );
    let labels = labels(
        &config.unwrap(),
        "n1",
        Path::new("/var/log/nginx/access.log"),
    );
    let expected = [
        ("host", "n2"),
        ("log.file.path", "/var/log/nginx/access.log"),
        ("service", "gateway"),
        ("tier", "edge"),
    ];
    assert_eq!(labels.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn cut_lines_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, format!("{}\nok\n", "x".repeat(1_000))).unwrap();
    let config = format!("paths = [{path:?}]\nfrom = \"start\"\nline_bytes_max = 300");
    let look = settle(&mut tail(&config));
    assert_eq!((look.cut_lines, look.signals.len()), (1, 2));
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let file = fs::File::options().append(true).create(true).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_busy_file_does_not_starve_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let busy = folder.path().join("a.log");
    let quiet = folder.path().join("b.log");
    let pattern = folder.path().join("*.log");
    let mut tail = tail(&format!(
        "paths = [{pattern:?}]\nfrom = \"start\"\nmultiline = false"
    ));
    let storm = "a line of a storm\n".repeat(2 * EVENTS_PER_BATCH_MAX);
    append(&busy, &storm);
    append(&quiet, "heard\n");
    let mut looks = 0;
    loop {
        looks += 1;
        assert!(looks <= 2, "the quiet file waits for the busy one");
        let look = tail.look(Time::from_secs(7));
        assert!(look.signals.len() < 3 * EVENTS_PER_BATCH_MAX, "a share");
        if texts(&look).contains(&("b", "heard")) {
            break;
        }
        append(&busy, &storm);
    }
}

/// A tail that keeps its places in `folder/data` and follows `folder/*.log`.
fn kept(folder: &Path, multiline: bool) -> Tail {
    let pattern = folder.join("*.log");
    let config = format!("paths = [{pattern:?}]\nmultiline = {multiline}");
    let config = toml::from_str(&config).unwrap();
    Tail::new(config, "n1".to_owned(), Some(&folder.join("data")))
}

/// Everything that is to be read, handed over.
fn all(tail: &mut Tail) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut missed) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let look = tail.look(Time::from_secs(7));
        lines.extend(texts(&look).into_iter().map(|(_, text)| text.to_owned()));
        missed.extend(look.missed);
        tail.is_handed_over = true;
    }
    (lines, missed)
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "before\n");
    let mut first = kept(folder.path(), false);
    assert_eq!(all(&mut first), (vec![], vec![]), "from the end");
    append(&path, "one\nhalf a l");
    assert_eq!(all(&mut first).0, ["one"]);
    drop(first);

    append(&path, "ine\n");
    append(&folder.path().join("new.log"), "written while away\n");
    let mut second = kept(folder.path(), false);
    let expected = ["half a line", "written while away"].map(str::to_owned);
    assert_eq!(all(&mut second), (expected.into(), vec![]));
    drop(second);

    // Rotated while away, and found under its new name: finished before the new one.
    append(&path, "the last of the old\n");
    fs::rename(&path, folder.path().join("a.log.1")).unwrap();
    append(&path, "the first of the new\n");
    let mut third = kept(folder.path(), false);
    let expected = ["the last of the old", "the first of the new"].map(str::to_owned);
    assert_eq!(all(&mut third), (expected.into(), vec![]));
    drop(third);

    // Rotated and gone: counted, by name.
    fs::write(folder.path().join("taken"), "").unwrap();
    fs::rename(folder.path().join("taken"), &path).unwrap();
    let mut fourth = kept(folder.path(), false);
    let (lines, missed) = all(&mut fourth);
    assert_eq!(lines, Vec::<String>::new());
    let named = "a.log was rotated away or emptied while nobody read it: whatever followed byte 21";
    assert!(missed.len() == 1 && missed[0].contains(named), "{missed:?}");
}

#[test]
fn a_crash_repeats_lines_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "");
    let mut first = kept(folder.path(), true);
    all(&mut first);
    append(&path, "one\n\tat a.B.held(B.java:3)\n");
    // What is joined to an event that may go on is not handed over yet.
    assert_eq!(all(&mut first).0, Vec::<String>::new());
    let second_of = |at_s: i64| Time::from_secs(7 + at_s);
    first.look(second_of(5));
    first.look(second_of(10));
    append(&path, "two\n");
    // The process is gone without a word: nothing more is written.
    std::mem::forget(first);
    let mut again = kept(folder.path(), true);
    let look = settle(&mut again);
    assert_eq!(
        texts(&look),
        [("a", "one\n\tat a.B.held(B.java:3)"), ("a", "two")]
    );
}

/// A process that is gone without a word leaves places behind that are some seconds old: what it had
/// read since of a file that is gone by now is no loss, what nobody read is.
#[test]
fn a_crash_tells_no_loss_of_what_was_read() {
    type Act = fn(&Path);
    let remove: Act = |path| fs::remove_file(path).unwrap();
    // Compressed at once: the file that was read is there under no name.
    let rotate: Act = |path| {
        let beside = path.with_extension("next");
        append(&beside, "new\n");
        fs::rename(beside, path).unwrap();
    };
    let empty: Act = |path| {
        fs::write(path, "").unwrap();
        append(path, "x\n");
    };
    let nothing: Act = |_| {};
    // Seconds between the act and the crash: what was taken just before may not be kept yet.
    for (what, alive, after_s, dead, is_missed, again) in [
        ("gone", remove, 2, nothing, false, vec![]),
        ("just gone", remove, 0, nothing, true, vec![]),
        ("rotated", rotate, 2, nothing, false, vec!["new"]),
        ("just rotated", rotate, 0, nothing, true, vec!["new"]),
        ("emptied", empty, 0, nothing, false, vec!["x"]),
        ("gone while dead", nothing, 2, remove, true, vec![]),
        ("rotated while dead", nothing, 2, rotate, true, vec!["new"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "old\n");
        let mut tail = kept(folder.path(), false);
        append(&path, "one\n");
        for at_s in [10, 20, 30] {
            lines_by(&mut tail, at_s);
        }
        append(&path, "two\n");
        assert_eq!(lines_by(&mut tail, 31), ["two"], "{what}");
        alive(&path);
        lines_by(&mut tail, 31 + after_s);
        std::mem::forget(tail);
        dead(&path);
        let (lines, missed) = all(&mut kept(folder.path(), false));
        assert_eq!(lines, again, "{what}");
        assert_eq!(!missed.is_empty(), is_missed, "{what}: {missed:?}");
    }
}

/// What is on the disk of each file, by name: how far it was read, and whether it is over.
fn on_disk(tail: &Tail) -> Vec<(String, u64, bool)> {
    let places = tail.places.as_ref().unwrap().read().unwrap().unwrap();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let places = places.iter();
    let places = places.map(|(path, place)| (name(path), place.offset, place.is_over));
    places.collect()
}

#[test]
fn a_rotation_takes_the_lag_of_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a.log"), folder.path().join("b.log"));
    append(&a, "");
    append(&b, "");
    let mut tail = kept(folder.path(), false);
    for at_s in [10, 20, 30] {
        lines_by(&mut tail, at_s);
    }
    let lagged = |is_over| {
        vec![
            ("a.log".to_owned(), 0, is_over),
            ("b.log".to_owned(), 0, false),
        ]
    };
    assert_eq!(on_disk(&tail), lagged(false));
    // Handed over just before a period, and a rotation that must be told at once just after it.
    append(&b, "of b\n");
    assert_eq!(lines_by(&mut tail, 34), ["of b"]);
    lines_by(&mut tail, 35);
    fs::rename(&a, folder.path().join("a.old")).unwrap();
    lines_by(&mut tail, 36);
    assert_eq!(on_disk(&tail), lagged(true), "`of b` may not be kept yet");
    // A late writer: it is over no more, until that is kept as well.
    append(&folder.path().join("a.old"), "late\n");
    assert_eq!(lines_by(&mut tail, 37), ["late"]);
    assert_eq!(on_disk(&tail), lagged(false));
    lines_by(&mut tail, 39);
    assert_eq!(on_disk(&tail), lagged(true));
    lines_by(&mut tail, 40);
    let caught_up = ("b.log".to_owned(), 5, false);
    assert_eq!(on_disk(&tail).pop(), Some(caught_up), "a period later");
}

/// Every line that is to be read by `at_s`, in order.
fn lines_by(tail: &mut Tail, at_s: i64) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..8 {
        let look = tail.look(Time::from_secs(at_s));
        assert_eq!(look.missed, Vec::<String>::new());
        lines.extend(texts(&look).into_iter().map(|(_, text)| text.to_owned()));
        tail.is_handed_over = true;
    }
    lines
}

#[test]
fn what_is_written_to_a_rotated_file_later_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let rotated = folder.path().join("a.log.1");
    append(&path, "");
    let mut tail = kept(folder.path(), false);
    lines_by(&mut tail, 7);
    append(&path, "before\n");
    assert_eq!(lines_by(&mut tail, 8), ["before"]);
    // logrotate's `create`: the writer is told later.
    fs::rename(&path, &rotated).unwrap();
    append(&path, "");
    assert_eq!(lines_by(&mut tail, 9), Vec::<String>::new());
    append(&rotated, "late\n");
    append(&path, "after\n");
    assert_eq!(lines_by(&mut tail, 10), ["late", "after"]);
    // A stop and a start in between lose nothing and repeat nothing.
    drop(tail);
    append(&rotated, "later\n");
    let mut tail = kept(folder.path(), false);
    assert_eq!(lines_by(&mut tail, 11), ["later"]);
    append(&rotated, "latest\n");
    assert_eq!(lines_by(&mut tail, 45), ["latest"]);
    lines_by(&mut tail, 60);
    assert_eq!(tail.rotated.len(), 0, "closed once it is quiet");
}

#[test]
fn rotations_between_two_looks_lose_nothing() {
    for is_stopped in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "0\n");
        let mut tail = kept(folder.path(), false);
        lines_by(&mut tail, 7);
        if is_stopped {
            drop(tail);
            tail = kept(folder.path(), false);
        }
        for (n, to) in ["a.log.3", "a.log.2", "a.log.1"].iter().enumerate() {
            append(&path, &format!("{}\n", n + 1));
            fs::rename(&path, folder.path().join(to)).unwrap();
            // The clock of a file system ticks some hundred times a second.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        append(&path, "4\n");
        // A copy of what was read is no file in between.
        fs::copy(
            folder.path().join("a.log.3"),
            folder.path().join("a.log.bak"),
        )
        .unwrap();
        assert_eq!(lines_by(&mut tail, 8), ["1", "2", "3", "4"], "{is_stopped}");
    }
}

#[test]
fn a_file_rotated_before_the_first_look_is_read_before_the_one_that_follows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let named = |name: &str| folder.path().join(name);
    let mut tail = tail(&format!("paths = [{path:?}]\nmultiline = false"));
    tail.look(Time::ZERO);
    for (name, text) in [
        ("a.log.1", "1\n"),
        ("a.log.2", "2\n3\n"),
        ("a.log.gz", "packed"),
    ] {
        fs::write(named(name), text).unwrap();
    }
    fs::write(&path, "4\n").unwrap();
    tail.polls = POLLS_PER_SCAN;
    let (mut got, mut missed) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let look = tail.look(Time::ZERO);
        got.extend(texts(&look).into_iter().map(|(_, text)| text.to_owned()));
        missed.extend(look.missed);
    }
    assert_eq!(got, ["1", "2", "3", "4"]);
    let why = format!(
        "{} was rotated 1 more time and compressed before it could be read: those lines are missed",
        path.display()
    );
    assert_eq!(missed, [why]);

    // What is older than the last scan is nothing that was rotated since.
    let mut tail = self::tail(&format!("paths = [{path:?}]\nmultiline = false"));
    fs::rename(&path, named("aside")).unwrap();
    tail.look(Time::ZERO);
    tail.scanned = tail.scanned.map(|at| at + Duration::from_hours(1));
    fs::rename(named("aside"), &path).unwrap();
    tail.polls = POLLS_PER_SCAN;
    let look = tail.look(Time::ZERO);
    assert_eq!(texts(&look), [("a", "4")]);
    assert_eq!(look.missed, Vec::<String>::new());
}

#[test]
fn rotations_that_were_compressed_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "0\n");
    let mut tail = kept(folder.path(), false);
    lines_by(&mut tail, 7);
    fs::rename(&path, folder.path().join("a.log.2")).unwrap();
    append(&folder.path().join("a.log.1.gz"), "not text");
    append(&path, "2\n");
    let (lines, missed) = all(&mut tail);
    assert_eq!(lines, ["2"]);
    assert!(
        missed.len() == 1 && missed[0].contains("a.log was rotated 1 more time and compressed"),
        "{missed:?}"
    );
}

#[test]
fn places_that_did_not_change_are_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    append(&folder.path().join("a.log"), "one\n");
    let mut tail = kept(folder.path(), false);
    for at_s in [10, 20, 30] {
        lines_by(&mut tail, at_s);
    }
    let places = tail.places.as_ref().unwrap().path().to_owned();
    fs::remove_file(&places).unwrap();
    lines_by(&mut tail, 40);
    assert!(!places.exists());
    append(&folder.path().join("a.log"), "two\n");
    for at_s in [50, 60, 70] {
        lines_by(&mut tail, at_s);
    }
    assert!(places.exists());
}
