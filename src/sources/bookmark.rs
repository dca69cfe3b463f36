//! How far a store was read, kept over a restart: on the disk it is never ahead of what was recorded.
//!
//! One small JSON file for each place that is asked, replaced as a whole. What was handed over waits here
//! with its receipt until the recorder has it; at an orderly stop everything in the queue is still taken.
//! What a place is, is the business of whoever reads there. The disk is never waited for on a thread that
//! others need, but at the end.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::store::recorder::Kept;

/// Version of the format; another one is not read.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Its folder, in the data folder.
const FOLDER: &str = "polled";
/// Most batches that wait for their receipts; then the next one waits as well.
const WAITING_MAX: usize = 64;
/// Least time between two writes: a place that is asked without a pause moves all the time.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// After a write that takes long, the next one waits this many times as long: hundreds of places on a slow
/// disk must not keep everything else from its work.
const REST_TIMES: u32 = 100;

/// The file as written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<P> {
    version: u32,
    /// What is asked where, for whoever reads it.
    of: String,
    place: P,
}

/// What a place may be: small, and written as JSON.
pub(super) trait Place: Clone + PartialEq + Serialize + Send + 'static {}

impl<P: Clone + PartialEq + Serialize + Send + 'static> Place for P {}

/// What becomes of signals that were taken and could not be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unrecorded {
    /// They stay taken; they are counted where they were lost.
    Lost,
    /// They are read again: the place is never beyond them.
    Again,
}

/// Whether something is to be read again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back<P> {
    /// Nothing.
    No,
    /// Everything since reading began.
    Begin,
    /// What comes after a place.
    To(P),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bookmark<P: Place> {
    /// `None` when nothing is kept.
    file: Option<PathBuf>,
    of: String,
    unrecorded: Unrecorded,
    /// Places behind what was handed over, oldest first.
    waiting: VecDeque<(P, Kept)>,
    /// The last one of which all is kept.
    settled: Option<P>,
    /// Whether something was handed over that must be read again.
    goes_back: bool,
    written: Option<P>,
    /// The write that was begun last, until it has ended: there is never a second one beside it.
    writing: Option<Writing<P>>,
    /// Nothing is written before this.
    rests_until: Option<Instant>,
    /// Whether the last write failed: said once.
    is_failing: bool,
}

/// A write that may outlive whoever began it.
#[derive(Debug)]
struct Writing<P> {
    place: P,
    began: Instant,
    task: JoinHandle<io::Result<()>>,
    /// Says when it has ended to who cannot wait for a task.
    ended: mpsc::Receiver<()>,
}

impl<P: Place + DeserializeOwned> Bookmark<P> {
    /// In the data folder, under a name made from what is asked where: another question is another source.
    pub(super) fn new(data_dir: Option<&Path>, of: String, unrecorded: Unrecorded) -> Self {
        let name = format!("{:016x}.json", xxh3_64(of.as_bytes()));
        Self {
            file: data_dir.map(|folder| folder.join(FOLDER).join(name)),
            of,
            unrecorded,
            waiting: VecDeque::new(),
            settled: None,
            goes_back: false,
            written: None,
            writing: None,
            rests_until: None,
            is_failing: false,
        }
    }

    /// Where an earlier run was; else why that cannot be known.
    pub(super) fn read(&mut self) -> Result<Option<P>, String> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        match read(file) {
            Ok(place) => {
                self.written.clone_from(&place);
                self.settled.clone_from(&place);
                Ok(place)
            }
            Err(error) => Err(format!("cannot read {}: {error}", file.display())),
        }
    }
}

impl<P: Place> Bookmark<P> {
    /// Notes that everything before `place` was handed over.
    pub(super) async fn handed_over(&mut self, place: P, kept: Kept) {
        if self.goes_back {
            return;
        }
        self.waiting.push_back((place, kept));
        if self.waiting.len() > WAITING_MAX
            && let Some((_, kept)) = self.waiting.front_mut()
        {
            kept.known().await;
        }
        self.settle().await;
    }

    /// Notes that there was nothing more before `place`.
    pub(super) async fn passed(&mut self, place: P) {
        if self.goes_back {
            return;
        }
        match self.waiting.back_mut() {
            Some((waiting, _)) => *waiting = place,
            None => self.settled = Some(place),
        }
        self.settle().await;
    }

    /// Where to go on, once, if something that was handed over could not be recorded.
    pub(super) async fn back(&mut self) -> Back<P> {
        self.settle().await;
        if std::mem::take(&mut self.goes_back) {
            self.settled.clone().map_or(Back::Begin, Back::To)
        } else {
            Back::No
        }
    }

    /// Finds the last place of which all is kept, and writes it unless one was written just now.
    async fn settle(&mut self) {
        self.look();
        // One that was given up in the middle: an older place must not be written after the next one.
        self.end_write().await;
        if self.rests_until.is_none_or(|until| Instant::now() >= until) {
            self.write_aside().await;
        }
    }

    fn look(&mut self) {
        while let Some((_, kept)) = self.waiting.front_mut()
            && let Some(is_kept) = kept.so_far()
        {
            if !is_kept && self.unrecorded == Unrecorded::Again {
                // What came after it is read again as well, so that nothing is left out.
                self.waiting.clear();
                self.goes_back = true;
                break;
            }
            if let Some((place, _)) = self.waiting.pop_front() {
                self.settled = Some(place);
            }
        }
    }

    /// What is to be written and where, if anything is.
    fn due(&self) -> Option<(PathBuf, Written<P>)> {
        let place = self.settled.as_ref();
        let place = place.filter(|place| self.written.as_ref() != Some(place))?;
        let written = Written {
            version: VERSION,
            of: self.of.clone(),
            place: place.clone(),
        };
        Some((self.file.clone()?, written))
    }

    /// Writes on a thread that may wait for the disk. A write goes on when nobody waits for it any more.
    async fn write_aside(&mut self) {
        let Some((file, written)) = self.due() else {
            return;
        };
        let (place, began) = (written.place.clone(), Instant::now());
        let (end, ended) = mpsc::channel();
        let task = tokio::task::spawn_blocking(move || {
            let outcome = write(&file, &written);
            // Nobody listens but at the end.
            let _ = end.send(());
            outcome
        });
        self.writing = Some(Writing {
            place,
            began,
            task,
            ended,
        });
        self.end_write().await;
    }

    /// Returns once the write that was begun last has ended, if it has not; until then it stays known, also
    /// when this is given up.
    async fn end_write(&mut self) {
        let Some(writing) = &mut self.writing else {
            return;
        };
        let outcome = (&mut writing.task).await;
        let outcome = outcome.unwrap_or_else(|error| Err(error.into()));
        let (place, began) = (writing.place.clone(), writing.began);
        self.writing = None;
        let rest = WRITE_EVERY.max(began.elapsed() * REST_TIMES);
        self.rests_until = Some(Instant::now() + rest);
        self.note(place, outcome);
    }

    /// Notes how a write ended.
    fn note(&mut self, place: P, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => {
                self.written = Some(place);
                self.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    let file = self.file.as_deref().unwrap_or(Path::new(FOLDER));
                    tracing::warn!("{}: {error}", file.display());
                }
            }
        }
    }
}

impl<P: Place> Drop for Bookmark<P> {
    fn drop(&mut self) {
        self.look();
        // What is known not to be recorded is read again by the next run, with all that followed.
        if !self.goes_back
            && let Some((place, _)) = self.waiting.pop_back()
        {
            self.settled = Some(place);
        }
        if let Some(writing) = self.writing.take() {
            // An older place must not be written after this one.
            let _ = writing.ended.recv();
        }
        if let Some((file, written)) = self.due() {
            let outcome = write(&file, &written);
            self.note(written.place, outcome);
        }
    }
}

fn read<P: DeserializeOwned>(file: &Path) -> io::Result<Option<P>> {
    let length = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata?.len(),
    };
    if length > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("{length} bytes: too long")));
    }
    let written: Written<P> = serde_json::from_slice(&fs::read(file)?)?;
    if written.version != VERSION {
        return Err(io::Error::other(format!("version {}", written.version)));
    }
    Ok(Some(written.place))
}

fn write<P: Serialize>(file: &Path, written: &Written<P>) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let draft = file.with_extension("draft");
    let mut new = File::create(&draft)?;
    new.write_all(&serde_json::to_vec(written)?)?;
    // A name given before the content is on the disk may be of an empty file after a power cut.
    new.sync_all()?;
    fs::rename(&draft, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recorder::receipt;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Place {
        next: i64,
    }

    fn place(next: i64) -> Place {
        Place { next }
    }

    proptest::proptest! {
        /// Whatever stands in the file: a place, or a reason why it is none.
        #[test]
        fn any_file_is_a_place_or_none(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            text in r#"\{"version":[0-9]{1,3},"of":"x","place":(\{"next":-?[0-9]{1,25}\}|null|\[\]),?"?[a-z":]{0,9}\}"#,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("place");
            for content in [&bytes[..], text.as_bytes()] {
                fs::write(&file, content).unwrap();
                let _ = read::<Place>(&file);
            }
        }
    }

    fn open(folder: &Path, unrecorded: Unrecorded) -> Bookmark<Place> {
        Bookmark::new(Some(folder), "all of it".to_owned(), unrecorded)
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_that_is_kept_is_never_ahead_of_what_was_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let open = || open(folder.path(), Unrecorded::Lost);
        let kept = || open().read().unwrap().map(|place| place.next);
        let rest = || tokio::time::advance(WRITE_EVERY);
        let mut bookmark = open();
        assert_eq!(bookmark.read(), Ok(None));
        bookmark.passed(place(1)).await;
        assert_eq!(kept(), Some(1), "nothing waits");
        let ((first, first_kept), (second, second_kept)) = (receipt(), receipt());
        bookmark.handed_over(place(2), first_kept).await;
        bookmark.handed_over(place(3), second_kept).await;
        second.give();
        rest().await;
        bookmark.passed(place(4)).await;
        assert_eq!(kept(), Some(1), "the first is not kept yet");
        first.give();
        bookmark.passed(place(5)).await;
        assert_eq!(kept(), Some(5));
        bookmark.passed(place(5)).await;
        bookmark.passed(place(6)).await;
        assert_eq!(kept(), Some(5), "one was written just now");
        rest().await;
        assert_eq!(bookmark.back().await, Back::No);
        assert_eq!(kept(), Some(6), "although nothing came");
        rest().await;
        let (torn, torn_kept) = receipt();
        bookmark.handed_over(place(7), torn_kept).await;
        drop(torn);
        bookmark.passed(place(8)).await;
        assert_eq!(
            kept(),
            Some(8),
            "what is not recorded was taken all the same"
        );
        let (_waits, waits_kept) = receipt();
        bookmark.handed_over(place(9), waits_kept).await;
        drop(bookmark);
        assert_eq!(kept(), Some(9), "what is in the queue is still taken");
    }

    #[tokio::test]
    async fn what_could_not_be_recorded_is_read_again_with_all_that_followed() {
        let folder = tempfile::tempdir().unwrap();
        let mut bookmark = open(folder.path(), Unrecorded::Again);
        bookmark.passed(place(1)).await;
        let [(first, first_kept), (torn, torn_kept), (third, third_kept)] =
            [(); 3].map(|()| receipt());
        bookmark.handed_over(place(2), first_kept).await;
        bookmark.handed_over(place(3), torn_kept).await;
        bookmark.handed_over(place(4), third_kept).await;
        assert_eq!(bookmark.back().await, Back::No, "nothing is known yet");
        third.give();
        drop(torn);
        first.give();
        assert_eq!(bookmark.back().await, Back::To(place(2)));
        assert_eq!(bookmark.back().await, Back::No, "once");
        drop(bookmark);
        let kept = open(folder.path(), Unrecorded::Again).read();
        assert_eq!(kept, Ok(Some(place(2))));
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_any_more_is_not_overtaken() {
        let folder = tempfile::tempdir().unwrap();
        for next in 1..50 {
            let mut bookmark = open(folder.path(), Unrecorded::Lost);
            // Begun and given up, as when a source is stopped in the middle of it.
            let mut passing = Box::pin(bookmark.passed(place(next)));
            std::future::poll_fn(|context| {
                let _ = passing.as_mut().poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            drop(passing);
            drop(bookmark);
            let kept = open(folder.path(), Unrecorded::Lost).read();
            assert_eq!(kept, Ok(Some(place(next))));
            let left = fs::read_dir(folder.path().join(FOLDER)).unwrap().count();
            assert_eq!(left, 1, "nothing but the file");
        }
    }

    #[tokio::test]
    async fn a_write_waits_for_the_one_that_was_given_up_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut bookmark = open(folder.path(), Unrecorded::Lost);
        // As `write_aside` leaves it when it is given up, on a disk that takes its time.
        bookmark.settled = Some(place(1));
        let (file, written) = bookmark.due().unwrap();
        let ((go, gone), (end, ended)) = (mpsc::channel(), mpsc::channel());
        let task = tokio::task::spawn_blocking(move || {
            let _ = gone.recv();
            let outcome = write(&file, &written);
            let _ = end.send(());
            outcome
        });
        bookmark.writing = Some(Writing {
            place: place(1),
            began: Instant::now(),
            task,
            ended,
        });
        let kept = || open(folder.path(), Unrecorded::Lost).read().unwrap();
        for _ in 0..2 {
            let passing = bookmark.passed(place(2));
            let waited = tokio::time::timeout(Duration::from_millis(20), passing).await;
            assert!(waited.is_err(), "it waits, also after it was given up");
            assert_eq!(kept(), None, "nothing is written beside it");
        }
        go.send(()).unwrap();
        bookmark.passed(place(3)).await;
        assert_eq!(bookmark.written, Some(place(1)), "that of before is noted");
        drop(bookmark);
        assert_eq!(kept(), Some(place(3)));
    }

    #[tokio::test]
    async fn a_stop_does_not_jump_over_what_could_not_be_recorded() {
        for (unrecorded, expected) in [(Unrecorded::Again, 2), (Unrecorded::Lost, 4)] {
            let folder = tempfile::tempdir().unwrap();
            let mut bookmark = open(folder.path(), unrecorded);
            bookmark.passed(place(1)).await;
            let [(first, first_kept), (torn, torn_kept), (_waits, waits_kept)] =
                [(); 3].map(|()| receipt());
            bookmark.handed_over(place(2), first_kept).await;
            bookmark.handed_over(place(3), torn_kept).await;
            bookmark.handed_over(place(4), waits_kept).await;
            first.give();
            drop(torn);
            drop(bookmark);
            let kept = open(folder.path(), unrecorded).read();
            assert_eq!(kept, Ok(Some(place(expected))), "{unrecorded:?}");
        }
    }

    #[tokio::test]
    async fn what_is_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut bookmark = open(folder.path(), Unrecorded::Lost);
        bookmark.passed(place(1)).await;
        let file = bookmark.file.clone().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for (bad, why) in [
            (text.replace("\"version\":1", "\"version\":2"), "version 2"),
            (text[..text.len() / 2].to_owned(), "EOF while parsing"),
        ] {
            fs::write(&file, bad).unwrap();
            let error = bookmark.read().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
