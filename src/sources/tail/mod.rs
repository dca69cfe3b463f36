//! Log files, followed through rotation and truncation; patterns pick up files as they appear.
//!
//! Reading waits while the engine is behind, so that nothing is lost that the file still holds. Files
//! take turns, so that a busy one never keeps the others waiting. A rotated file is read beside the new
//! one while its writer may still hold it. How far each was handed over is kept over a restart; what
//! was rotated away in between and cannot be found is counted.

mod event;
mod file;
mod glob;
mod place;
mod resume;
mod rotated;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Clock, SignalSender};
use crate::config::{TailConfig, TailFrom};
use crate::model::logjoin::LogJoiner;
use crate::model::{Labels, Signal, Time, counted};
use event::{Taker, labels, signal};
use file::{Begin, Follower, Turn};
use place::{FileId, Place, Places};
use resume::Earlier;
use rotated::{Between, ROTATED_MAX, Rotated, base_of, before_the_first, between};

/// Whether any file matches a pattern now.
pub fn matches_any(pattern: &str) -> bool {
    !glob::files(pattern, 1).is_empty()
}

/// Rest between two looks at the files, in milliseconds.
const POLL_MS: u64 = 250;

/// Looks between two expansions of the patterns: every five seconds.
const POLLS_PER_SCAN: u64 = 20;

/// Most files of one `[[sources.tail]]`.
const FILES_MAX: usize = 1_024;

/// Looks that a joined event waits for more lines before it counts as complete: a second.
const POLLS_PER_EVENT_MAX: u32 = 4;

/// Looks that a vanished file is kept open, for writers that still hold it: half a minute.
const POLLS_GONE_MAX: u32 = 120;

/// Scans that the place in a file is kept which cannot be opened: a minute.
const SCANS_UNOPENED_MAX: u64 = 12;

/// Most events handed over at once.
const EVENTS_PER_BATCH_MAX: usize = 8_192;

/// Time between two writes of the places, in milliseconds. Each writes what was handed over at the
/// one before, so that a crash has this long to lose nothing: lines come twice rather than never.
const PLACES_EVERY_MS: i64 = 5_000;

/// Time after the last line of a file was taken before it counts as over, in milliseconds: twice what the
/// recorder takes to have it on the disk. Until then a crash may lose that line, and tells so.
const OVER_AFTER_MS: i64 = 2_000;

/// All files of one `[[sources.tail]]`.
struct Tail {
    config: TailConfig,
    host: String,
    files: BTreeMap<PathBuf, Followed>,
    /// Files that had these paths before, the longest kept first.
    rotated: Vec<Rotated>,
    /// The file that had its turn last; the next look begins behind it.
    served: Option<PathBuf>,
    polls: u64,
    /// When the last scan began, by the clock that files are stamped by.
    scanned: Option<SystemTime>,
    /// What the last scan could not open.
    unopened: Option<String>,
    /// `None` when nothing is kept.
    places: Option<Places>,
    /// Where an earlier run was, until all of it is gone on with or given up.
    earlier: Option<Earlier>,
    /// What the last look found is in the queue.
    is_handed_over: bool,
    /// How far every file was handed over; `None` until that was noted once.
    handed_over: Option<BTreeMap<PathBuf, Place>>,
    /// The same as of the last write, which is what the next one writes.
    settled: Option<BTreeMap<PathBuf, Place>>,
    /// What is on the disk, so that the same is not written again; `None` when that is not known.
    written: Option<BTreeMap<PathBuf, Place>>,
    written_at: Time,
    /// What is on the disk is wrong about which files are over or were emptied: see
    /// [`Tail::correct_places`].
    is_stale: bool,
    /// What was missed while we were away, to be counted by the next look.
    missed: Vec<String>,
}

/// A file and what is known of it.
struct Followed {
    follower: Follower,
    labels: Labels,
    joiner: LogJoiner,
    /// Where the event begins that the joiner holds.
    held_from: Option<u64>,
    /// Whether it was read since its place was noted.
    is_read: bool,
    /// Whether its end was reached after its path was gone, or another file's, and all of it is kept
    /// by now.
    is_over: bool,
    /// When the last of it was taken.
    taken_at: Time,
    polls_idle: u32,
    polls_gone: u32,
}

/// What one look at the files found.
#[derive(Default)]
struct Look {
    signals: Vec<Signal>,
    cut_lines: u64,
    missed: Vec<String>,
    problem: Option<String>,
    more: bool,
}

/// Name of the source that a section of the config becomes.
pub(super) fn name(config: &TailConfig) -> String {
    format!("tail {}", config.paths.join(" "))
}

/// Follows the files until the future is dropped.
pub(super) async fn follow(
    config: TailConfig,
    host: String,
    data_dir: Option<PathBuf>,
    sender: SignalSender,
    clock: Clock,
) {
    let mut tail = Tail::new(config, host, data_dir.as_deref());
    loop {
        let now = clock();
        let looked = tokio::task::spawn_blocking(move || {
            let look = tail.look(now);
            (tail, look)
        });
        // Only a panic can keep a look from coming back, and its files with it.
        let Ok((back, look)) = looked.await else {
            sender.fail("following files failed; restart to try again");
            return;
        };
        tail = back;
        if look.cut_lines > 0 {
            sender.reject(look.cut_lines, "a line is longer than `line_bytes_max`");
        }
        for missed in &look.missed {
            sender.lose(1, missed);
        }
        match &look.problem {
            Some(problem) => sender.fail(problem),
            None => sender.recovered(),
        }
        if !look.signals.is_empty() && sender.send(look.signals).await.is_err() {
            return;
        }
        tail.is_handed_over = true;
        if !look.more {
            tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
        }
    }
}

impl Tail {
    fn new(config: TailConfig, host: String, data_dir: Option<&Path>) -> Self {
        let places = data_dir.map(|folder| Places::new(folder, &config));
        let mut missed = Vec::new();
        let left = places.as_ref().and_then(|places| {
            places.read().unwrap_or_else(|error| {
                let path = places.path().display();
                missed.push(format!("cannot read {path}: {error}; lines may be missing"));
                None
            })
        });
        Self {
            config,
            host,
            files: BTreeMap::new(),
            rotated: Vec::new(),
            served: None,
            polls: 0,
            scanned: None,
            unopened: None,
            places,
            is_handed_over: false,
            handed_over: left.clone(),
            settled: left.clone(),
            written: left.clone(),
            earlier: left.map(Earlier::new),
            written_at: Time::ZERO,
            is_stale: false,
            missed,
        }
    }

    /// One look at all files, in turns: it begins behind the file that the last one ended with.
    fn look(&mut self, now: Time) -> Look {
        let mut look = Look::default();
        self.note_places();
        if self.polls.is_multiple_of(POLLS_PER_SCAN) {
            self.scan(now);
        }
        look.problem.clone_from(&self.unopened);
        self.polls += 1;
        let unfinished = self.look_at_rotated(now, &mut look);
        let (mut lost, mut rotated) = (Vec::new(), Vec::new());
        for path in self.turns() {
            if look.signals.len() >= EVENTS_PER_BATCH_MAX {
                look.more = true;
                break;
            }
            // What came before it is read first.
            if unfinished.contains(&path) {
                continue;
            }
            let Some(followed) = self.files.get_mut(&path) else {
                continue;
            };
            match followed.look(self.config.multiline, now, &mut look) {
                Ok(Turn::Rotated) => rotated.push(path.clone()),
                Ok(Turn::Gone) if followed.polls_gone >= POLLS_GONE_MAX => lost.push(path.clone()),
                Ok(_) => {}
                Err(error) => {
                    look.problem = Some(format!("cannot read {}: {error}", path.display()));
                    lost.push(path.clone());
                }
            }
            self.served = Some(path);
        }
        for path in lost {
            if let Some(followed) = self.files.remove(&path) {
                followed.close(self.config.multiline, now, &mut look);
            }
        }
        for path in rotated {
            look.more = true;
            if let Err(error) = self.rotate(&path, now) {
                look.problem = Some(format!("cannot open {}: {error}", path.display()));
            }
        }
        look.missed.append(&mut self.missed);
        self.write_places(now, &mut look);
        if self.files.is_empty() && look.problem.is_none() {
            let paths = self.config.paths.join(", ");
            look.problem = Some(format!("no file matches {paths}; looking again"));
        }
        look
    }

    /// Every file once, first those behind the one that was served last.
    fn turns(&self) -> Vec<PathBuf> {
        let is_behind = |path: &&PathBuf| self.served.as_ref().is_none_or(|last| *path > last);
        let behind = self.files.keys().filter(is_behind);
        let before = self.files.keys().filter(|path| !is_behind(path));
        behind.chain(before).cloned().collect()
    }

    /// Reads what late writers added to rotated files; gives the paths of those not read to their end.
    fn look_at_rotated(&mut self, now: Time, look: &mut Look) -> BTreeSet<PathBuf> {
        let multiline = self.config.multiline;
        let mut unfinished = BTreeSet::new();
        let mut index = 0;
        while let Some(rotated) = self.rotated.get_mut(index) {
            let has_room = look.signals.len() < EVENTS_PER_BATCH_MAX;
            if !has_room || unfinished.contains(&rotated.base) {
                look.more |= !has_room;
                if !rotated.is_caught_up {
                    unfinished.insert(rotated.base.clone());
                }
                index += 1;
                continue;
            }
            let turn = rotated.followed.look(multiline, now, look);
            // One that cannot be read any more is as good as gone, and that is told.
            let is_kept = match turn {
                Ok(turn) => rotated.looked(turn == Turn::Read, now),
                Err(error) => {
                    let path = rotated.base.display();
                    look.problem = Some(format!("cannot read what {path} was: {error}"));
                    false
                }
            };
            if !is_kept {
                let closed = self.rotated.remove(index);
                closed.followed.close(multiline, now, look);
                continue;
            }
            if !rotated.is_caught_up {
                unfinished.insert(rotated.base.clone());
            }
            index += 1;
        }
        unfinished
    }

    /// Goes over to the file that has a path now. The one before is kept beside it, and so are those
    /// that came and went in between.
    fn rotate(&mut self, path: &Path, now: Time) -> io::Result<()> {
        let line_bytes_max = self.config.line_bytes_max as usize;
        let Some(old) = self.files.get(path) else {
            return Ok(());
        };
        let mut between = between(path, &old.follower, &self.known())?;
        let new = Follower::open(path, Begin::Start, line_bytes_max)?;
        let labels = old.labels.clone();
        let new = Followed::new(new, labels.clone());
        if let Some(old) = self.files.insert(path.to_owned(), new) {
            let name = between.old_name.take();
            self.keep(Rotated::new(path.to_owned(), name, old, now));
        }
        self.keep_between(path, between, &labels, now);
        Ok(())
    }

    /// The files that are read.
    fn known(&self) -> BTreeSet<FileId> {
        let rotated = self.rotated.iter().map(|r| &r.followed);
        let followed = self.files.values().chain(rotated);
        followed.map(|followed| followed.follower.id()).collect()
    }

    /// Reads files that had a path before the one that has it now, the oldest first.
    fn keep_between(&mut self, path: &Path, between: Between, labels: &Labels, now: Time) {
        let line_bytes_max = self.config.line_bytes_max as usize;
        self.missed.extend(between.missed);
        for name in between.files {
            match Follower::open(&name, Begin::Start, line_bytes_max) {
                Ok(file) => {
                    let followed = Followed::new(file, labels.clone());
                    self.keep(Rotated::new(path.to_owned(), Some(name), followed, now));
                }
                Err(error) => {
                    let why = format!("cannot open {}: {error}; it is missed", name.display());
                    self.missed.push(why);
                }
            }
        }
    }

    fn keep(&mut self, rotated: Rotated) {
        if self.rotated.len() >= ROTATED_MAX {
            let given_up = self.rotated.remove(0);
            if !given_up.is_caught_up {
                let path = given_up.base.display();
                let why = format!(
                    "more than {ROTATED_MAX} rotated files: {path} was not read to its end"
                );
                self.missed.push(why);
            }
        }
        self.rotated.push(rotated);
    }

    /// Opens files that match and are not followed yet.
    fn scan(&mut self, now: Time) {
        let mut unopened = BTreeSet::new();
        self.unopened = None;
        let is_first = self.polls == 0;
        let scanned = self.scanned.replace(SystemTime::now());
        let matching: BTreeSet<PathBuf> = self
            .config
            .paths
            .iter()
            .flat_map(|pattern| glob::files(pattern, FILES_MAX))
            .collect();
        for path in &matching {
            if self.files.len() >= FILES_MAX {
                break;
            }
            if self.files.contains_key(path) {
                continue;
            }
            match self.open(path, &matching, is_first) {
                Ok(follower) => {
                    let labels = labels(&self.config, &self.host, path);
                    if let Some(scanned) = scanned {
                        self.find_rotated_unseen(path, scanned, &matching, now);
                    }
                    self.files
                        .insert(path.clone(), Followed::new(follower, labels));
                }
                Err(error) => {
                    let why = format!("cannot open {}: {error}", path.display());
                    self.unopened = Some(why);
                    unopened.insert(path.clone());
                }
            }
        }
        self.resume_rotated(&matching, now);
        // What is not found by now will not be; what cannot be opened may be in a moment.
        if let Some(earlier) = self.earlier.take() {
            if self.polls >= SCANS_UNOPENED_MAX * POLLS_PER_SCAN {
                unopened.clear();
            }
            let (waiting, missed) = earlier.settle(&unopened);
            self.earlier = waiting;
            self.missed.extend(missed);
        }
    }

    /// Takes up files that came and had their path rotated away since the last scan, before any look at it.
    fn find_rotated_unseen(
        &mut self,
        path: &Path,
        scanned: SystemTime,
        matching: &BTreeSet<PathBuf>,
        now: Time,
    ) {
        let Ok(mut unseen) = before_the_first(path, scanned, &self.known()) else {
            // A folder that cannot be read is told by what is in it.
            return;
        };
        unseen.files.retain(|name| !matching.contains(name));
        let labels = labels(&self.config, &self.host, path);
        self.keep_between(path, unseen, &labels, now);
    }

    /// Goes on in files that were rotated shortly before the earlier run ended.
    fn resume_rotated(&mut self, matching: &BTreeSet<PathBuf>, now: Time) {
        let line_bytes_max = self.config.line_bytes_max as usize;
        let found = self.earlier.as_ref().map(|e| e.rotated(matching));
        for (name, (found, place)) in found.unwrap_or_default() {
            // One that is followed under a name of its own is no business of this one.
            if matching.contains(&found) {
                continue;
            }
            let base = base_of(&name, matching.iter()).unwrap_or(&name);
            let resumed = Follower::resume(base, &found, &place, line_bytes_max);
            if let Ok(Some(follower)) = resumed {
                let followed = Followed::new(follower, labels(&self.config, &self.host, base));
                self.keep(Rotated::new(base.clone(), Some(found), followed, now));
                if let Some(earlier) = &mut self.earlier {
                    earlier.take_up(place);
                }
            }
        }
    }

    /// Opens a file where an earlier run was in it, else where the config says.
    fn open(
        &mut self,
        path: &Path,
        matching: &BTreeSet<PathBuf>,
        is_first: bool,
    ) -> io::Result<Follower> {
        let line_bytes_max = self.config.line_bytes_max as usize;
        let begin = match self.config.from {
            TailFrom::End if is_first && self.earlier.is_none() => Begin::End,
            _ => Begin::Start,
        };
        if let Some(earlier) = &mut self.earlier
            && let Some((found, place)) = earlier.of(path, matching)
            && let Some(resumed) = Follower::resume(path, &found, &place, line_bytes_max)?
        {
            earlier.take_up(place);
            return Ok(resumed);
        }
        Follower::open(path, begin, line_bytes_max)
    }

    /// Notes how far every file was handed over, once the queue has what was read.
    fn note_places(&mut self) {
        if !std::mem::take(&mut self.is_handed_over) || self.places.is_none() {
            return;
        }
        let places = self.handed_over.get_or_insert_default();
        let names = self.rotated.iter().filter_map(|r| r.name.as_ref());
        let names: BTreeSet<&PathBuf> = self.files.keys().chain(names).collect();
        places.retain(|path, _| names.contains(path));
        // Where we were in files that cannot be opened for now.
        let waiting = self.earlier.iter().flat_map(Earlier::places);
        places.extend(waiting.map(|(path, place)| (path.clone(), *place)));
        let rotated = self.rotated.iter_mut();
        let rotated = rotated.filter_map(|r| Some((r.name.as_ref()?, &mut r.followed)));
        for (path, followed) in self.files.iter_mut().chain(rotated) {
            if !std::mem::take(&mut followed.is_read) {
                continue;
            }
            // A file that cannot be read is told by the look at it.
            if let Ok(place) = followed.follower.place(followed.held_from) {
                let is_over = followed.is_over;
                places.insert(path.clone(), Place { is_over, ..place });
            }
        }
        self.correct_places();
    }

    /// What is written lags behind, so that a crash repeats lines rather than losing some. Of a file that is
    /// over or was emptied meanwhile there is nothing to repeat: that alone is put right at once, or a
    /// start after a crash would tell that it was missed. How far the others were read is not touched.
    fn correct_places(&mut self) {
        let mut is_over_by_id = BTreeMap::new();
        let mut emptied = BTreeSet::new();
        let rotated = self.rotated.iter_mut().map(|r| &mut r.followed);
        for followed in self.files.values_mut().chain(rotated) {
            let id = followed.follower.id();
            is_over_by_id.insert(id, followed.is_over);
            if followed.follower.take_emptied() {
                emptied.insert(id);
            }
        }
        let correct = |place: &mut Place| {
            let before = *place;
            if emptied.contains(&place.id) {
                *place = Place::anew(place.id);
            }
            // Also back: a late writer may add to a file that was over.
            if let Some(is_over) = is_over_by_id.get(&place.id) {
                place.is_over = *is_over;
            }
            *place != before
        };
        for place in self.settled.iter_mut().flat_map(BTreeMap::values_mut) {
            correct(place);
        }
        for place in self.written.iter_mut().flat_map(BTreeMap::values_mut) {
            self.is_stale |= correct(place);
        }
    }

    /// Writes what was handed over one period ago, once a period; in between only what must not wait.
    fn write_places(&mut self, now: Time, look: &mut Look) {
        let mut must_write = std::mem::take(&mut self.is_stale);
        if now.since(self.written_at) >= PLACES_EVERY_MS {
            self.written_at = now;
            let settled = std::mem::replace(&mut self.settled, self.handed_over.clone());
            must_write |= settled != self.written;
            self.written = settled;
        }
        if let (true, Some(places), Some(written)) = (must_write, &self.places, &self.written)
            && let Err(error) = places.write(written)
        {
            let path = places.path().display();
            look.problem = Some(format!("cannot write {path}: {error}"));
            // The next period tries again.
            self.written = None;
        }
    }
}

/// A stop in order ends with everything handed over that was read.
impl Drop for Tail {
    fn drop(&mut self) {
        self.note_places();
        if let (Some(places), Some(handed_over)) = (&self.places, &self.handed_over)
            && self.written != self.handed_over
            && let Err(error) = places.write(handed_over)
        {
            let path = places.path().display();
            tracing::warn!(%path, %error, "lines will be read again");
        }
    }
}

impl Followed {
    fn new(follower: Follower, labels: Labels) -> Self {
        Self {
            follower,
            labels,
            joiner: LogJoiner::new(),
            held_from: None,
            // So that a file that is never written to has a place as well.
            is_read: true,
            is_over: false,
            taken_at: Time::ZERO,
            polls_idle: 0,
            polls_gone: 0,
        }
    }

    /// Reads what was added.
    fn look(&mut self, multiline: bool, now: Time, look: &mut Look) -> io::Result<Turn> {
        let (held_from, joiner) = (&mut self.held_from, &mut self.joiner);
        let mut taker = Taker {
            labels: &self.labels,
            joiner: multiline.then_some((joiner, held_from)),
            now,
            look,
        };
        let turn = self.follower.read(&mut |line| taker.take(line))?;
        let lost_bytes = self.follower.take_lost_bytes();
        if lost_bytes > 0 {
            let (path, bytes) = (self.follower.path(), counted(lost_bytes, "byte", "bytes"));
            let why = format!(
                "{} was emptied before {bytes} of it were read",
                path.display()
            );
            look.missed.push(why);
        }
        match turn {
            Turn::Read => {
                look.more = true;
                self.is_read = true;
                self.taken_at = now;
                (self.polls_idle, self.polls_gone) = (0, 0);
            }
            Turn::Idle | Turn::Rotated => {
                (self.polls_idle, self.polls_gone) = (self.polls_idle + 1, 0);
            }
            Turn::Gone => {
                self.polls_idle += 1;
                self.polls_gone += 1;
            }
        }
        if self.polls_idle >= POLLS_PER_EVENT_MAX {
            self.flush(now, look);
        }
        let is_over = matches!(turn, Turn::Rotated | Turn::Gone)
            && self.held_from.is_none()
            && now.since(self.taken_at) >= OVER_AFTER_MS;
        self.is_read |= is_over != self.is_over;
        self.is_over = is_over;
        Ok(turn)
    }

    /// Gives what is held of a file that will not come back.
    fn close(mut self, multiline: bool, now: Time, look: &mut Look) {
        let mut taker = Taker {
            labels: &self.labels,
            joiner: multiline.then_some((&mut self.joiner, &mut self.held_from)),
            now,
            look,
        };
        self.follower.end_line(&mut |line| taker.take(line));
        self.flush(now, look);
    }

    fn flush(&mut self, now: Time, look: &mut Look) {
        let event = self.joiner.flush();
        if self.held_from.take().is_some() {
            self.is_read = true;
            self.taken_at = now;
        }
        let signal = event.and_then(|text| signal(text, &self.labels, now));
        look.signals.extend(signal);
    }
}

#[cfg(test)]
mod tests;
