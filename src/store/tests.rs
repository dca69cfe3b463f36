//! A database that is missing, damaged, old or behind, and who is told.

use std::fs;

use super::*;
use crate::model::{EntityId, Incident, IncidentId, Time};

fn incident(id: u64, revision: u64) -> Incident {
    let gateway = EntityId::parse("gateway");
    Incident {
        revision,
        ..Incident::opened(IncidentId(id), gateway, Time::ZERO, Time::ZERO)
    }
}

fn entry(id: u64, revision: u64) -> Entry {
    Entry {
        at: Time::ZERO,
        seq: revision,
        record: Record::Incident {
            incident: Box::new(incident(id, revision)),
        },
    }
}

/// A store that kept two incidents, closed again.
fn kept() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, opened) = Store::open(folder.path()).unwrap();
    assert!(opened.lines == 0 && opened.banners.is_empty());
    store
        .append(&[entry(1, 1), entry(2, 1), entry(1, 2)])
        .unwrap();
    store.flush().unwrap();
    folder
}

fn revisions(store: &Store) -> Vec<(u64, u64)> {
    let db = store.db().unwrap();
    let kept = |id| db.incident(IncidentId(id)).unwrap();
    [3, 2, 1]
        .into_iter()
        .filter_map(|id| Some((id, kept(id)?.revision)))
        .collect()
}

#[test]
fn a_run_that_never_came_to_its_end_is_known_at_the_next_start() {
    let folder = kept();
    let store = || Store::open(folder.path()).unwrap().0;
    assert!(!store().begin_run());
    assert!(store().begin_run(), "nobody ended the first");
    store().end_run();
    store().end_run();
    assert!(!store().begin_run(), "it came to its end");
}

#[test]
fn what_is_kept_is_there_again() {
    let folder = kept();
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(opened.banners, Vec::<String>::new());
    assert_eq!(opened.lines, 3);
    assert_eq!(store.records().unwrap().map(Result::unwrap).count(), 3);
    assert_eq!(revisions(&store), [(2, 1), (1, 2)]);
    let db = store.db().unwrap();
    assert_eq!(db.incident(IncidentId(1)).unwrap(), Some(incident(1, 2)));
    assert_eq!(db.incident(IncidentId(9)).unwrap(), None);
}

#[test]
fn a_missing_database_is_rebuilt_and_told() {
    let folder = kept();
    fs::remove_dir_all(folder.path().join(DB_FOLDER)).unwrap();
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(
        opened.banners,
        ["database rebuilt from 3 records (was missing)"]
    );
    assert_eq!(revisions(&store), [(2, 1), (1, 2)]);
}

/// A crash or a full disk while sled writes a snapshot leaves its beginning.
#[test]
fn an_unfinished_snapshot_is_no_damage() {
    let folder = kept();
    let begun = folder
        .path()
        .join(DB_FOLDER)
        .join("snap.00000000000FFFFF.generating");
    for text in ["", "half a snapshot"] {
        fs::write(&begun, text).unwrap();
        let (store, opened) = Store::open(folder.path()).unwrap();
        assert_eq!(opened.banners, Vec::<String>::new());
        assert_eq!(revisions(&store), [(2, 1), (1, 2)]);
        assert!(!begun.exists());
    }
}

/// sled meets some of this with an error, some with a panic, and some with an empty database.
#[test]
fn a_damaged_database_is_set_aside_rebuilt_and_told() {
    let text: &[u8] = b"not a database";
    let cases: [(&str, &[&str], &[u8]); 5] = [
        ("both files overwritten", &["conf", "db"], text),
        ("the data overwritten", &["db"], text),
        ("the data of nulls", &["db"], &[0; 4096]),
        ("the data cut to nothing", &["db"], b""),
        ("the settings overwritten", &["conf"], text),
    ];
    for (name, files, content) in cases {
        let folder = kept();
        for file in files {
            fs::write(folder.path().join(DB_FOLDER).join(file), content).unwrap();
        }
        let (store, opened) = Store::open(folder.path()).unwrap();
        assert_eq!(opened.banners.len(), 1, "{name}: {:?}", opened.banners);
        let banner = &opened.banners[0];
        assert!(
            banner.starts_with("database rebuilt from 3 records (was damaged); "),
            "{name}: {banner}"
        );
        assert!(folder.path().join("db.damaged-1").exists(), "{name}");
        assert_eq!(revisions(&store), [(2, 1), (1, 2)], "{name}");
    }
}

#[test]
fn a_first_start_that_was_cut_short_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let draft = folder.path().join("db.new");
    drop(sled::open(&draft).unwrap());
    let (_, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(opened.banners, Vec::<String>::new());
    assert!(!draft.exists());
}

#[test]
fn a_database_of_another_version_is_rebuilt() {
    let folder = kept();
    let other = sled::open(folder.path().join(DB_FOLDER)).unwrap();
    other.insert("version", &[9]).unwrap();
    other.flush().unwrap();
    drop(other);
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert!(opened.banners[0].contains("it is of version [9], this program writes 1"));
    assert_eq!(revisions(&store), [(2, 1), (1, 2)]);
}

#[test]
fn a_database_that_lags_behind_catches_up() {
    let folder = kept();
    let (mut journal, _) = Journal::open(&folder.path().join(JOURNAL_FILE)).unwrap();
    journal.append(&[entry(3, 1)]).unwrap();
    drop(journal);
    let (store, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(opened.banners, Vec::<String>::new());
    assert_eq!(revisions(&store), [(3, 1), (2, 1), (1, 2)]);
}

#[test]
fn a_journal_replaced_together_with_its_head_is_told_by_the_database() {
    let folder = kept();
    for name in ["journal.jsonl", "journal.jsonl.head"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let (_, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(opened.banners.len(), 1);
    assert!(opened.banners[0].contains("the database remembers 3 lines"));
}

/// Whoever cut the journal may set its note right, or take it away: the start that finds it writes it down,
/// and the next ones take nothing back.
#[test]
fn a_doubted_end_is_in_the_journal_for_ever() {
    type Harm = fn(&Path);
    fn cut(folder: &Path) {
        let path = folder.join(JOURNAL_FILE);
        let text = fs::read_to_string(&path).unwrap();
        let first = text.split_inclusive('\n').next().unwrap();
        fs::write(path, first).unwrap();
    }
    fn note(folder: &Path, text: &str) {
        fs::write(folder.join("journal.jsonl.head"), text).unwrap();
    }
    let harms: [(Harm, &[&str]); 5] = [
        (
            |folder| {
                cut(folder);
                let (_, end) = journal_end(folder);
                note(folder, &format!("{:020} {end}\n", 1));
            },
            &["the database remembered 3 lines ending in another way, with 1 lines here"],
        ),
        (
            |folder| {
                cut(folder);
                fs::remove_file(folder.join("journal.jsonl.head")).unwrap();
            },
            &[
                "the note of the end beside the journal was missing or unreadable, with 1 lines here",
                "the database remembered 3 lines ending in another way, with 1 lines here",
            ],
        ),
        (
            |folder| fs::remove_file(folder.join("journal.jsonl.head")).unwrap(),
            &[
                "the note of the end beside the journal was missing or unreadable, with 3 lines here",
            ],
        ),
        (
            |folder| note(folder, &"garbage ".repeat(40)),
            &[
                "the note of the end beside the journal was missing or unreadable, with 3 lines here",
            ],
        ),
        (
            |folder| note(folder, &format!("{:020} {}\n", 0, Head::default().hash)),
            &[
                "the note of the end beside the journal was older than its last 3 lines, after a stop in order",
            ],
        ),
    ];
    for (harm, expected) in harms {
        let folder = kept();
        harm(folder.path());
        for start in 0..3 {
            let (mut store, opened) = Store::open(folder.path()).unwrap();
            assert_eq!(opened.banners.is_empty(), start > 0, "{expected:?}");
            store.append(&[entry(4, start)]).unwrap();
            store.flush().unwrap();
        }
        let path = folder.path().join(JOURNAL_FILE);
        let verified = journal::verify(&path, None).unwrap().unwrap();
        let found: Vec<_> = verified.doubts.iter().map(|doubt| &doubt.found).collect();
        assert_eq!(found, [expected]);
        assert!(verified.end_checked && verified.lines_after_noted == 0);
    }
}

/// Lines, and the hash of the last one.
fn journal_end(folder: &Path) -> (u64, String) {
    let path = folder.join(JOURNAL_FILE);
    let verified = journal::verify(&path, Some(&Head::default()))
        .unwrap()
        .unwrap();
    (verified.lines, verified.hash)
}

/// A crash leaves both notes behind: nothing to doubt.
#[test]
fn a_note_that_a_crash_left_behind_is_no_doubt() {
    let folder = kept();
    let note = folder.path().join("journal.jsonl.head");
    let old = fs::read(&note).unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    store.append(&[entry(4, 1)]).unwrap();
    drop(store);
    fs::write(&note, old).unwrap();
    let (_, opened) = Store::open(folder.path()).unwrap();
    assert_eq!(opened.banners, [""; 0]);
    let path = folder.path().join(JOURNAL_FILE);
    let verified = journal::verify(&path, None).unwrap().unwrap();
    assert_eq!(verified.doubts, []);
    assert!(verified.is_end_known());
}

#[test]
fn a_second_daemon_is_refused() {
    let folder = kept();
    let _held = Store::open(folder.path()).unwrap();
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::Journal(JournalError::InUse { .. }))
    ));
}

#[test]
fn a_second_daemon_is_refused_also_when_the_journal_was_deleted() {
    let folder = kept();
    let mut held = Store::open(folder.path()).unwrap().0;
    for name in ["journal.jsonl", "journal.jsonl.head"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert!(matches!(
        Store::open(folder.path()),
        Err(StoreError::Journal(JournalError::InUse { .. }))
    ));
    assert!(matches!(
        held.append(&[entry(3, 1)]),
        Err(StoreError::Journal(JournalError::Replaced { .. }))
    ));
    let beside = Db::open(&folder.path().join(DB_FOLDER));
    assert!(matches!(beside, Err(DbError::InUse)), "never damaged");
    assert!(folder.path().join(DB_FOLDER).exists());
}
