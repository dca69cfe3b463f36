//! Appending, tampering, tearing and filling the disk.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Actor, Command, IncidentId, Role};

const T0: Time = Time::from_secs(1_000);

/// A note, as a decision of its own length, so that no two lines are alike.
fn entry(n: u64) -> Entry {
    Entry {
        at: T0.plus_ms(n as i64),
        seq: n,
        record: Record::Decision {
            by: Actor {
                name: "mia".to_owned(),
                role: Role::Responder,
            },
            what: Command::Note {
                incident: IncidentId(1),
                text: format!("note {n} {}", "\u{1b}x".repeat(n as usize)),
            },
            refused: None,
        },
    }
}

/// What `verify` says, without waiting for a daemon that may still write.
fn verified(kept: &Kept, expected: Option<&Head>) -> io::Result<Result<Verified, Broken>> {
    chain::verify_within(&kept.path(), expected, Duration::ZERO)
}

/// A journal of `count` lines, closed again.
struct Kept {
    folder: tempfile::TempDir,
}

/// A folder in memory where there is one: these tests sync thousands of times.
fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl Kept {
    fn new(count: u64) -> Self {
        let kept = Self {
            folder: memory_folder(),
        };
        let (mut journal, opened) = Journal::open(&kept.path()).unwrap();
        assert_eq!(opened, Opened::default());
        let entries: Vec<Entry> = (1..=count).map(entry).collect();
        for batch in entries.chunks(2) {
            journal.append(batch).unwrap();
        }
        kept
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path()).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn write(&self, lines: &[String]) {
        fs::write(self.path(), lines.concat()).unwrap();
    }

    fn verify(&self) -> Result<u64, String> {
        verified(self, None)
            .unwrap()
            .map(|verified| verified.lines)
            .map_err(|broken| broken.to_string())
    }

    fn entries(&self) -> Vec<Entry> {
        let read = lines(&self.path()).unwrap();
        read.map(|line| line.unwrap().unwrap())
            .map(
                |Line {
                     at, seq, record, ..
                 }| Entry { at, seq, record },
            )
            .collect()
    }
}

#[test]
fn what_is_appended_is_read_back_and_chained() {
    let kept = Kept::new(5);
    assert_eq!(kept.verify(), Ok(5));
    assert_eq!(kept.entries(), (1..=5).map(entry).collect::<Vec<_>>());
    let (mut journal, opened) = Journal::open(&kept.path()).unwrap();
    assert_eq!(opened, Opened::default());
    assert_eq!(journal.head().lines, 5);
    journal.append(&[]).unwrap();
    journal.append(&[entry(6)]).unwrap();
    assert_eq!(kept.verify(), Ok(6));
}

#[test]
fn the_first_line_is_as_documented() {
    let kept = Kept::new(1);
    assert_eq!(
        kept.lines()[0],
        "{\"n\":1,\"at\":1000001,\
         \"prev\":\"a053f67c78b33f45b43ca1eafcb4d1c0bd1a9899993bec7c1126bf870a7a549a\",\
         \"seq\":1,\"record\":{\"record\":\"decision\",\"by\":{\"name\":\"mia\",\"role\":\"responder\"},\
         \"what\":{\"command\":\"note\",\"incident\":1,\"text\":\"note 1 \\u001bx\"},\"refused\":null}}\n"
    );
}

#[test]
fn two_processes_cannot_share_a_journal() {
    let kept = Kept::new(1);
    let (_held, _) = Journal::open(&kept.path()).unwrap();
    assert!(matches!(
        Journal::open(&kept.path()),
        Err(JournalError::InUse { .. })
    ));
}

type Tamper = Box<dyn Fn(&mut Vec<String>)>;

#[test]
fn tampering_is_named_by_line() {
    let edit = |lines: &mut Vec<String>, line: usize| {
        lines[line - 1] = lines[line - 1].replacen("mia", "eve", 1);
    };
    let mut cases: Vec<(Tamper, String)> = Vec::new();
    for line in 1..=6 {
        cases.push((
            Box::new(move |lines| edit(lines, line)),
            format!("line {line} was changed"),
        ));
        cases.push((
            Box::new(move |lines| lines[line - 1] = "{}\n".to_owned()),
            format!("line {line} is damaged"),
        ));
        let gone = if line == 6 {
            "was cut off"
        } else {
            "is missing"
        };
        cases.push((
            Box::new(move |lines| drop(lines.remove(line - 1))),
            format!("line {line} {gone}"),
        ));
        cases.push((
            Box::new(move |lines| lines.truncate(line - 1)),
            format!("line {line} was cut off"),
        ));
        cases.push((
            Box::new(move |lines| lines.insert(line, lines[line - 1].clone())),
            format!("line {} is out of order", line + 1),
        ));
    }
    for line in 1..6 {
        cases.push((
            Box::new(move |lines| lines.swap(line - 1, line)),
            format!("line {line} is out of order"),
        ));
        // The link itself is changed, not the record.
        cases.push((
            Box::new(move |lines| {
                lines[line] = lines[line].replacen("\"prev\":\"", "\"prev\":\"0", 1);
            }),
            format!("line {} was changed", line + 1),
        ));
    }
    for (n, (tamper, told)) in cases.iter().enumerate() {
        let kept = Kept::new(6);
        let mut lines = kept.lines();
        tamper(&mut lines);
        kept.write(&lines);
        assert_eq!(kept.verify(), Err(told.clone()), "case {n}");
        // The daemon still starts, says so, and goes on behind the last line.
        let (mut journal, opened) = Journal::open(&kept.path()).unwrap();
        assert_eq!(
            opened.broken.map(|broken| broken.to_string()),
            Some(told.clone())
        );
        journal.append(&[entry(9)]).unwrap();
        drop(journal);
        assert!(
            kept.verify().is_err(),
            "case {n} is forgotten after an append"
        );
    }
}

#[test]
fn a_journal_cut_at_any_byte_is_noticed_and_goes_on() {
    let kept = Kept::new(3);
    let whole = fs::read(kept.path()).unwrap();
    let head_path = kept.folder.path().join("journal.head");
    let head = fs::read(&head_path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|&i| whole[i] == b'\n').collect();
    for length in 0..whole.len() {
        fs::write(kept.path(), &whole[..length]).unwrap();
        fs::write(&head_path, &head).unwrap();
        let lines = ends.iter().filter(|&&end| end < length).count() as u64;
        let (mut journal, opened) = Journal::open(&kept.path()).unwrap();
        let cut = Broken {
            line: lines + 1,
            kind: BrokenKind::Cut,
        };
        assert_eq!(opened.broken, Some(cut), "at byte {length}");
        let torn = length
            - ends
                .iter()
                .rfind(|&&end| end < length)
                .map_or(0, |end| end + 1);
        let moved = opened.torn.map(|torn| {
            let bytes = fs::read(&torn.moved_to).unwrap();
            fs::remove_file(torn.moved_to).unwrap();
            bytes
        });
        assert_eq!(
            moved,
            (torn > 0).then(|| whole[length - torn..length].to_vec()),
            "at byte {length}"
        );
        journal.append(&[entry(4)]).unwrap();
        assert_eq!(kept.entries().len() as u64, lines + 1);
    }
}

#[test]
fn a_torn_append_that_was_never_acknowledged_is_no_fault() {
    let kept = Kept::new(3);
    let good = fs::read(kept.path()).unwrap();
    for tail in ["{\"n\":4,\"at\":", "garbage\n{\"n\":5\n", "\0\0\0\0"] {
        fs::write(kept.path(), [&good, tail.as_bytes()].concat()).unwrap();
        let (_, opened) = Journal::open(&kept.path()).unwrap();
        assert_eq!(opened.broken, None);
        let torn = opened.torn.unwrap();
        assert_eq!(torn.bytes, tail.len() as u64);
        assert_eq!(fs::read(&torn.moved_to).unwrap(), tail.as_bytes());
        assert_eq!(fs::read(kept.path()).unwrap(), good);
        assert_eq!(kept.verify(), Ok(3));
    }
    let aside = fs::read_dir(kept.folder.path()).unwrap();
    let torn = aside.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().contains(".torn-")
    });
    assert_eq!(torn.count(), 3, "each is kept under its own name");
}

#[test]
fn any_changed_byte_is_noticed() {
    let kept = Kept::new(3);
    let whole = fs::read(kept.path()).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(kept.path(), &bytes).unwrap();
        assert!(kept.verify().is_err(), "byte {at}");
    }
}

#[test]
fn a_lagging_or_missing_head_is_caught_up() {
    let kept = Kept::new(3);
    let head = kept.folder.path().join("journal.head");
    let at_three = fs::read(&head).unwrap();
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    journal.append(&[entry(4)]).unwrap();
    drop(journal);
    for (lagging, end_unknown, lines_after_noted) in [
        (&at_three[..], false, 1),
        (b"", true, 0),
        (b"not a head", true, 0),
    ] {
        fs::write(&head, lagging).unwrap();
        let (journal, opened) = Journal::open(&kept.path()).unwrap();
        let expected = Opened {
            end_unknown,
            lines_after_noted,
            ..Opened::default()
        };
        assert_eq!((journal.head().lines, opened), (4, expected));
    }
    fs::remove_file(&head).unwrap();
    let (_, opened) = Journal::open(&kept.path()).unwrap();
    assert!(opened.end_unknown, "a cut would go unnoticed");
    fs::remove_file(&head).unwrap();
    let unchecked = verified(&kept, None).unwrap().unwrap();
    assert!(!unchecked.end_checked);
}

/// Whoever puts an older note there can cut the journal down to it: that it is older is seen.
#[test]
fn an_older_note_of_the_end_is_named() {
    let kept = Kept::new(3);
    let head = kept.folder.path().join("journal.head");
    let at_three = fs::read(&head).unwrap();
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    for n in 4..=9 {
        journal.append(&[entry(n)]).unwrap();
    }
    drop(journal);
    let told = || verified(&kept, None).unwrap().unwrap();
    assert_eq!(told().lines_after_noted, 0);
    fs::write(&head, &at_three).unwrap();
    assert_eq!(told().lines_after_noted, 6);
    assert!(told().is_end_known(), "a crash leaves as much");
    // The one who put it there cuts the journal, but not down to the note.
    kept.write(&kept.lines()[..7]);
    assert_eq!(told().lines_after_noted, 4);
    let noted = Head::parse(std::str::from_utf8(&at_three).unwrap()).unwrap();
    let by_hand = verified(&kept, Some(&noted)).unwrap().unwrap();
    assert_eq!(by_hand.lines_after_noted, 0, "whoever noted it knows");
    let (mut journal, opened) = Journal::open(&kept.path()).unwrap();
    assert_eq!(opened.lines_after_noted, 4);
    journal.append(&[entry(8)]).unwrap();
    assert_eq!(told().lines_after_noted, 0, "it is caught up");
    for n in 0..CRASH_LINES_MAX {
        journal.append(&[entry(9 + n)]).unwrap();
    }
    drop(journal);
    fs::write(&head, &at_three).unwrap();
    assert!(!told().is_end_known(), "a crash leaves less");
}

#[test]
fn a_record_too_long_changes_nothing() {
    let kept = Kept::new(1);
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    let mut long = entry(2);
    long.record = Record::Started {
        version: "x".repeat(LINE_BYTES_MAX),
        at: T0,
        found: Vec::new(),
        unclean: false,
    };
    assert!(matches!(
        journal.append(&[entry(2), long]),
        Err(JournalError::TooLong { .. })
    ));
    journal.append(&[entry(2)]).unwrap();
    assert_eq!(kept.verify(), Ok(2));
}

#[test]
fn a_full_disk_is_told_and_recovered_from() {
    // /dev/full says "no space left" to every write.
    let kept = Kept::new(2);
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    let disk = std::mem::replace(
        &mut journal.file,
        OpenOptions::new().append(true).open("/dev/full").unwrap(),
    );
    assert!(matches!(
        journal.append(&[entry(3)]),
        Err(JournalError::Full { .. })
    ));
    journal.file = disk;
    // What half an append left behind is cut off before the next one.
    (&journal.file).write_all(b"{\"n\":3,").unwrap();
    journal.append(&[entry(3)]).unwrap();
    assert_eq!(kept.verify(), Ok(3));
}

#[test]
fn what_follows_a_line_is_read_without_what_was_before() {
    let kept = Kept::new(2);
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    for batch in 0..10 {
        let entries: Vec<Entry> = (0..100).map(|i| entry((batch + i) % 7)).collect();
        journal.append(&entries).unwrap();
    }
    let check = |journal: &Journal| {
        for after in [0, 1, 300, 998, 1_001, 1_002] {
            let lines = lines_from(&kept.path(), journal.before(after)).unwrap();
            let numbers: Vec<u64> = lines.map(|line| line.unwrap().unwrap().n).collect();
            assert!(
                numbers[0] <= after + 1 && after < numbers[0] + 512,
                "{}",
                numbers[0]
            );
            let wanted = numbers.iter().filter(|n| **n > after);
            assert!(wanted.copied().eq(after + 1..=1_002), "after {after}");
        }
    };
    check(&journal);
    drop(journal);
    check(&Journal::open(&kept.path()).unwrap().0);
}

#[test]
fn nothing_is_written_to_a_journal_that_was_deleted_or_replaced() {
    let kept = Kept::new(2);
    let aside = kept.folder.path().join("aside");
    let (mut journal, _) = Journal::open(&kept.path()).unwrap();
    let mut refused = || {
        matches!(
            journal.append(&[entry(3)]),
            Err(JournalError::Replaced { .. })
        )
    };
    fs::rename(kept.path(), &aside).unwrap();
    assert!(refused(), "deleted");
    fs::copy(&aside, kept.path()).unwrap();
    assert!(refused(), "replaced by a copy");
    fs::rename(&aside, kept.path()).unwrap();
    journal.append(&[entry(3)]).unwrap();
    assert_eq!(kept.verify(), Ok(3));
}

proptest! {
    /// Whatever stands in the file: it is opened or refused, read as far as it can be, and judged.
    #[test]
    fn any_file_is_opened_or_refused_and_read(
        keeps in 0..4_u64,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in r#"(\{"n":[0-9]{1,20},"at":[0-9]{1,20},"prev":"[0-9a-f]{0,64}"[a-z":{},]{0,40}\n){0,3}"#,
    ) {
        let kept = Kept::new(keeps);
        let mut file = fs::read(kept.path()).unwrap();
        file.extend(text.as_bytes());
        file.extend(&bytes);
        fs::write(kept.path(), &file).unwrap();
        let read = lines(&kept.path()).unwrap().take(file.len() + 1).count();
        prop_assert!(read <= file.len(), "an item takes a byte at least");
        let _ = verified(&kept, None);
        let _ = Journal::open(&kept.path());
    }
}
