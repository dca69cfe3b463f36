//! The flight recorder: every input of the engine, as it was stamped, so that any hour can be seen again.
//!
//! Segments of a few minutes lie in one folder within a byte budget, and leave room on the disk to others. The
//! oldest go first, but those an incident needs go last. Recording never holds up the engine: a disk that cannot follow loses
//! telemetry from the recording, and that is counted and told; decisions are the journal's business.

mod beginning;
mod cut;
mod decode;
mod encode;
mod receipt;
mod redact;
mod room;
mod segment;
mod wire;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use beginning::{Beginning, Learned};
pub use cut::{Begins, Cut, Frame, GAP_MS, Recording, cut};
pub use receipt::{Kept, Receipt, receipt};
pub use room::{left_bytes, words as bytes_in_words};
pub use segment::{Header, RecordingError, SegmentReader, SegmentWriter};

use crate::model::{Incident, IncidentId, Input, Phase, Stamped, Time, counted};

/// Name of the recorder's folder in the data folder.
pub const RECORDER_FOLDER: &str = "recorder";
/// Ending of a segment's name.
pub const SEGMENT_ENDING: &str = "sgrec";
/// What a crash may lose, and what is not yet there to be cut, in real time.
pub const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// A frame is written early when it is this large in memory, in bytes.
const FRAME_BYTES: usize = 4 << 20;
/// What was written is made durable in pieces of about this many bytes, so that the disk is never kept busy for
/// long: decisions wait for it.
const SYNC_BYTES: u64 = 2 << 20;
/// A segment covers at most this much engine time, in milliseconds.
const SEGMENT_MS: i64 = 60 * 60_000;
/// A segment grows to this many bytes at most, give or take a frame.
const SEGMENT_BYTES: u64 = 64 << 20;
/// One, and what was learned before a start, is at most this part of all that may be there, so that what is deleted for
/// room is never most of it …
const SEGMENT_SHARE: u64 = 8;
/// … but it grows to this many bytes however little there is.
const SEGMENT_BYTES_MIN: u64 = 256 << 10;
/// After the disk was full, so many times as much must be free as the smallest segment takes.
const SEGMENTS_AHEAD: u64 = 2;
/// A segment names at most this many series, label sets and names: bounds memory.
const SEGMENT_TOLD_MAX: usize = 1 << 20;
/// Inputs that wait for the disk; later ones are not recorded, and counted.
const QUEUE_INPUTS_MAX: usize = 8_192;
/// Signals in the inputs that wait: bounds memory when batches are large.
const QUEUE_SIGNALS_MAX: u64 = 2_000_000;
/// After an error, recording is tried again this much later.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// An incident keeps this much engine time before it began, and after it ended, in milliseconds.
const PIN_MARGIN_MS: i64 = 15 * 60_000;
/// Pinned incidents remembered; the oldest are let go.
const PINS_MAX: usize = 1_000;

/// Where and how much to record.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Folder of the segments; made if missing.
    pub folder: PathBuf,
    /// Bytes all segments may take together.
    pub bytes_max: u64,
    /// Bytes of the disk that are left free, whatever the budget: see [`left_bytes`].
    pub left_bytes: u64,
    /// What each segment says of itself; its time is set when it begins.
    pub header: Header,
}

/// How recording goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// Inputs that could not be recorded, since the start.
    pub lost_inputs: u64,
    /// Segments with an incident in them that had to go all the same.
    pub unpinned: u64,
    /// Why nothing is recorded now, if so.
    pub failing: Option<String>,
}

/// The engine's side: hands inputs to the recorder's thread.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<SyncSender<Message>>,
    /// Signals handed over and not yet written.
    waiting: Arc<AtomicU64>,
    status: Arc<Mutex<RecorderStatus>>,
    thread: Option<JoinHandle<()>>,
}

/// How recording goes, for whoever asks beside the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Mutex<RecorderStatus>>);

impl Gauge {
    /// How it goes.
    pub fn read(&self) -> RecorderStatus {
        let status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.clone()
    }
}

enum Message {
    Input(Box<Stamped>),
    Pin(IncidentId, Pin),
    Learned(Learned),
    /// Whoever delivered what came before wants to know when it is kept; with the inputs lost before it came.
    Promise(Receipt, u64),
}

/// Engine time an incident needs; without an end it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pin {
    from: Time,
    to: Option<Time>,
}

/// The thread's side.
struct Tape {
    options: RecorderOptions,
    /// Says how many bytes are free where a folder is.
    free_bytes: fn(&Path) -> u64,
    waiting: Arc<AtomicU64>,
    status: Arc<Mutex<RecorderStatus>>,
    /// What the daemon began from, until it is written.
    beginning: Option<Box<Beginning>>,
    current: Option<Current>,
    /// Bytes of the segments before that, as they were last listed.
    closed_bytes: u64,
    pins: BTreeMap<IncidentId, Pin>,
    retry_at: Option<Instant>,
    /// Given back with the next write to the disk; as many as inputs at most, as each comes with one.
    promises: Vec<Receipt>,
}

struct Current {
    path: PathBuf,
    writer: SegmentWriter<BufWriter<File>>,
    from: Time,
    /// It grows to this many bytes, give or take a frame.
    bytes_max: u64,
    /// Inputs in the frame in progress.
    inputs_pending: u64,
    /// Bytes of it that are known to be durable.
    synced_bytes: u64,
}

/// A segment as its name tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    from: Time,
    path: PathBuf,
    bytes: u64,
}

impl Recorder {
    /// Starts the thread; what the daemon begins from is told before its first input. A folder that cannot be used is told by [`Recorder::status`], not here:
    /// watching is worth more than recording.
    pub fn start(options: RecorderOptions, beginning: Beginning) -> io::Result<Self> {
        Self::start_on(options, beginning, room::free_bytes)
    }

    fn start_on(
        options: RecorderOptions,
        mut beginning: Beginning,
        free_bytes: fn(&Path) -> u64,
    ) -> io::Result<Self> {
        beginning.keep_within(options.bytes_max / SEGMENT_SHARE);
        let (queue, inbox) = sync_channel(QUEUE_INPUTS_MAX);
        let status = Arc::new(Mutex::new(RecorderStatus::default()));
        let waiting = Arc::new(AtomicU64::new(0));
        let tape = Tape {
            options,
            free_bytes,
            waiting: Arc::clone(&waiting),
            status: Arc::clone(&status),
            beginning: Some(Box::new(beginning)),
            current: None,
            closed_bytes: 0,
            pins: BTreeMap::new(),
            retry_at: None,
            promises: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || tape.run(&inbox))?;
        Ok(Self {
            queue: Some(queue),
            waiting,
            status,
            thread: Some(thread),
        })
    }

    /// Records an input, after the engine has seen it. Never waits.
    pub fn record(&self, stamped: Stamped) {
        let signals = signals(&stamped);
        if self.waiting.load(Ordering::Relaxed) + signals > QUEUE_SIGNALS_MAX {
            return self.lose();
        }
        self.waiting.fetch_add(signals, Ordering::Relaxed);
        if !self.send(Message::Input(Box::new(stamped))) {
            self.waiting.fetch_sub(signals, Ordering::Relaxed);
            self.lose();
        }
    }

    /// Inputs that could not be recorded so far; ask before an input that is to have a receipt.
    pub fn lost_inputs(&self) -> u64 {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.lost_inputs
    }

    /// Gives the receipt for the last input back once that is on the disk. If anything was lost since
    /// `lost_inputs` was asked, it is torn.
    pub fn promise(&self, receipt: Receipt, lost_inputs: u64) {
        // A full queue drops it, which says the same.
        let _ = self.send(Message::Promise(receipt, lost_inputs));
    }

    /// Tells what the daemon begins from instead of what it knew at its start; call it before the first
    /// input.
    pub fn learned(&self, learned: Learned) {
        if !self.send(Message::Learned(learned)) {
            self.lose();
        }
    }

    /// Waits while much is waiting: for a past that is read as fast as it is taken.
    pub fn catch_up(&self) {
        let works = || self.thread.as_ref().is_some_and(|t| !t.is_finished());
        while works() && self.waiting.load(Ordering::Relaxed) > QUEUE_SIGNALS_MAX / 16 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Keeps what an incident needs for as long as the budget allows.
    pub fn pin(&self, incident: &Incident, now: Time) {
        let pin = Pin {
            from: incident.began.plus_ms(-PIN_MARGIN_MS),
            to: (incident.phase == Phase::Resolved).then(|| now.plus_ms(PIN_MARGIN_MS)),
        };
        if !self.send(Message::Pin(incident.id, pin)) {
            self.lose();
        }
    }

    /// How it goes.
    pub fn status(&self) -> RecorderStatus {
        self.gauge().read()
    }

    /// The same for whoever asks beside the engine.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.status))
    }

    fn send(&self, message: Message) -> bool {
        let queue = self.queue.as_ref();
        queue.is_some_and(|queue| queue.try_send(message).is_ok())
    }

    fn lose(&self) {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.lost_inputs += 1;
    }
}

impl Drop for Recorder {
    /// Waits until what was handed over is written.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A recorder that panicked has nothing left to write.
            let _ = thread.join();
        }
    }
}

impl Tape {
    fn run(mut self, inbox: &Receiver<Message>) {
        let mut flushed = Instant::now();
        // Nothing is there before the first start, and that is no failure.
        let listed = list(&self.options.folder).unwrap_or_default();
        let bytes = listed.iter().map(|segment| segment.bytes).sum();
        self.closed_bytes = bytes;
        self.tell(|status| (status.bytes, status.segments) = (bytes, listed.len() as u64));
        loop {
            let patience = FLUSH_EVERY.saturating_sub(flushed.elapsed());
            match inbox.recv_timeout(patience) {
                Ok(Message::Input(stamped)) => {
                    self.put(&stamped);
                    self.waiting.fetch_sub(signals(&stamped), Ordering::Relaxed);
                }
                Ok(Message::Pin(id, pin)) => self.pin(id, pin),
                Ok(Message::Promise(receipt, lost)) => self.promise(receipt, lost),
                Ok(Message::Learned(learned)) => {
                    if let Some(beginning) = &mut self.beginning {
                        beginning.learned = Some(learned);
                        beginning.keep_within(self.options.bytes_max / SEGMENT_SHARE);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                self.flush();
                flushed = Instant::now();
            }
        }
    }

    /// Keeps a receipt until the next write. One is torn by whatever was lost since its input came, also when
    /// that was another's.
    fn promise(&mut self, receipt: Receipt, lost: u64) {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.lost_inputs == lost && status.failing.is_none() {
            self.promises.push(receipt);
        }
    }

    fn pin(&mut self, id: IncidentId, pin: Pin) {
        self.pins.insert(id, pin);
        while self.pins.len() > PINS_MAX {
            self.pins.pop_first();
        }
    }

    fn put(&mut self, stamped: &Stamped) {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return self.tell(|status| status.lost_inputs += 1);
        }
        if self.current.as_ref().is_some_and(|c| c.is_full(stamped.at)) {
            self.close();
        }
        let current = match self.current.take() {
            Some(current) => Ok(current),
            None => self.begin(stamped.at),
        };
        match current {
            Ok(mut current) => {
                current.writer.put(stamped);
                current.inputs_pending += 1;
                let is_large = current.writer.pending() as u64 >= current.frame_bytes_max();
                self.current = Some(current);
                if is_large {
                    self.flush();
                }
            }
            Err(error) => {
                self.fail(&error);
                self.tell(|status| status.lost_inputs += 1);
            }
        }
    }

    fn begin(&mut self, from: Time) -> io::Result<Current> {
        fs::create_dir_all(&self.options.folder)?;
        let ample = self.ample_bytes();
        if self.lacking_bytes(ample) > 0 {
            self.make_room(ample);
        }
        if self.lacking_bytes(ample) > 0 {
            return Err(self.no_room());
        }
        let share = self.share_bytes();
        let bytes_max = share.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES);
        if let Some(beginning) = &mut self.beginning {
            beginning.keep_within(share);
        }
        let path = self.new_path(from)?;
        let begun = self.begin_in(&path, from);
        // What has no header is no segment.
        let writer = begun.inspect_err(|_| drop(fs::remove_file(&path)))?;
        self.retry_at = None;
        self.tell(|status| status.segments += 1);
        self.went_on();
        Ok(Current {
            path,
            writer,
            from,
            bytes_max,
            inputs_pending: 0,
            synced_bytes: 0,
        })
    }

    /// Makes the file of a segment.
    fn new_path(&self, from: Time) -> io::Result<PathBuf> {
        // Two runs may begin at the same time of a simulated clock.
        let mut run = 0;
        loop {
            let name = format!("{:013}-{run}.{SEGMENT_ENDING}", from.ms().max(0));
            let path = self.options.folder.join(name);
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => run += 1,
                made => return made.map(|_| path),
            }
        }
    }

    /// Writes what comes before the first input.
    fn begin_in(&mut self, path: &Path, from: Time) -> io::Result<SegmentWriter<BufWriter<File>>> {
        let file = File::options().append(true).open(path)?;
        let header = Header {
            from,
            ..self.options.header.clone()
        };
        let mut writer = SegmentWriter::new(BufWriter::new(file), &header)?;
        if let Some(beginning) = &self.beginning {
            writer.begin(beginning)?;
            self.beginning = None;
        }
        // A crash before the first frame leaves a segment that can be read, and says so.
        writer.hand_over()?;
        Ok(writer)
    }

    fn flush(&mut self) {
        self.write_frame();
        if self.current.is_some() && self.lacking_bytes(self.options.left_bytes) > 0 {
            self.close();
        }
    }

    /// Writes the frame in progress, if it leaves to others what is theirs of the disk.
    fn write_frame(&mut self) {
        let Some(current) = &self.current else {
            return;
        };
        // Packed it is no longer, but for what says how it is packed.
        let pending = current.writer.pending() as u64;
        let left = self.options.left_bytes;
        let wanted = left.saturating_add(pending + pending / 8);
        if pending > 0 && self.lacking_bytes(wanted) > 0 {
            self.make_room(wanted);
            if self.lacking_bytes(wanted) > 0 {
                let error = self.no_room();
                self.abandon();
                return self.fail(&error);
            }
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let mut flushed = current.writer.flush();
        let bytes = current.writer.bytes();
        // Who waits for a receipt forgets what it is for: it is not left to the system when that is written.
        if !self.promises.is_empty() || bytes - current.synced_bytes >= SYNC_BYTES {
            flushed = flushed.and_then(|()| current.writer.out().get_ref().sync_data());
            current.synced_bytes = bytes;
        }
        match flushed {
            Ok(()) => {
                current.inputs_pending = 0;
                let bytes = self.closed_bytes + bytes;
                self.tell(|status| status.bytes = bytes);
                self.promises.drain(..).for_each(Receipt::give);
            }
            Err(error) => {
                self.abandon();
                self.fail(&error);
            }
        }
    }

    /// Leaves the segment as it is up to its last whole frame; what is in progress is lost.
    fn abandon(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        let whole = current.writer.bytes();
        let (file, _) = current.writer.abandon().into_parts();
        // Readers leave a torn end alone; without it the disk has its room again.
        let _ = file.set_len(whole);
        self.tell(|status| status.lost_inputs += current.inputs_pending);
    }

    fn free_bytes(&self) -> u64 {
        (self.free_bytes)(&self.options.folder)
    }

    fn lacking_bytes(&self, wanted: u64) -> u64 {
        wanted.saturating_sub(self.free_bytes())
    }

    /// As much room as a new segment waits for, so that not every frame needs one of its own.
    fn ample_bytes(&self) -> u64 {
        let left = self.options.left_bytes;
        left.saturating_add((left / 4).max(SEGMENTS_AHEAD * SEGMENT_BYTES_MIN))
    }

    /// The part of all that may be there which one segment takes, as there is room now.
    fn share_bytes(&self) -> u64 {
        let free = self.free_bytes().saturating_sub(self.options.left_bytes);
        let all = self.closed_bytes.saturating_add(free);
        all.min(self.options.bytes_max) / SEGMENT_SHARE
    }

    fn no_room(&self) -> io::Error {
        let [left, ample] = [self.options.left_bytes, self.ample_bytes()].map(room::words);
        let why = format!(
            "the last {left} of the disk are left to decisions; recording goes on once {ample} are free"
        );
        io::Error::new(io::ErrorKind::StorageFull, why)
    }

    fn close(&mut self) {
        self.write_frame();
        if let Some(current) = self.current.take() {
            let closed = current.writer.finish();
            let closed = closed.and_then(|file| file.into_inner().map_err(Into::into));
            match closed.and_then(|file| file.sync_data()) {
                Ok(()) => self.promises.drain(..).for_each(Receipt::give),
                Err(error) => self.fail(&error),
            }
        }
        self.make_room(self.options.left_bytes);
    }

    /// Nothing can be recorded for a while; said once, until it can.
    fn fail(&mut self, error: &io::Error) {
        let why = format!("{}: {error}", self.options.folder.display());
        self.promises.clear();
        self.retry_at = Some(Instant::now() + RETRY_AFTER);
        self.tell(|status| {
            if status.failing.is_none() {
                tracing::warn!("nothing is recorded: {why}");
            }
            status.failing = Some(why);
        });
    }

    fn went_on(&self) {
        self.tell(|status| {
            if status.failing.take().is_some() {
                let lost = counted(status.lost_inputs, "input is", "inputs are");
                tracing::info!("recording goes on; {lost} missing in it since the start");
            }
        });
    }

    /// Deletes whole segments, oldest first, until the budget holds; those with an incident last. For room on
    /// the disk, which others may have taken, only those without, until so much is free. The one in progress stays.
    fn make_room(&mut self, wanted: u64) {
        let mut listed = match list(&self.options.folder) {
            Ok(listed) => listed,
            Err(error) => return self.fail(&error),
        };
        let mut bytes: u64 = listed.iter().map(|s| s.bytes).sum();
        let mut unpinned = 0;
        let mut lacking = match self.lacking_bytes(wanted) {
            0 => 0,
            _ => self.lacking_bytes(wanted.max(self.ample_bytes())),
        };
        let open = self.current.as_ref().map(|current| &current.path);
        loop {
            let is_closed = |i: &usize| open != Some(&listed[*i].path);
            let Some(oldest) = (0..listed.len()).find(is_closed) else {
                break;
            };
            let mut closed = (0..listed.len()).filter(is_closed);
            let free = closed.find(|i| !self.is_pinned(&listed, *i));
            let is_over = bytes > self.options.bytes_max;
            if !is_over && (lacking == 0 || free.is_none()) {
                break;
            }
            unpinned += u64::from(free.is_none());
            let gone = listed.remove(free.unwrap_or(oldest));
            if let Err(error) = fs::remove_file(&gone.path) {
                return self.fail(&error);
            }
            bytes -= gone.bytes;
            lacking = lacking.saturating_sub(gone.bytes);
        }
        let segments = listed.len() as u64;
        let is_open = |of: &&Listed| open == Some(&of.path);
        let open_bytes: u64 = listed.iter().filter(is_open).map(|of| of.bytes).sum();
        self.closed_bytes = bytes - open_bytes;
        self.tell(|status| {
            status.bytes = bytes;
            status.segments = segments;
            status.unpinned += unpinned;
        });
    }

    /// A segment ends where the next one begins.
    fn is_pinned(&self, listed: &[Listed], place: usize) -> bool {
        let from = listed[place].from;
        let until = listed.get(place + 1).map(|next| next.from);
        self.pins.values().any(|pin| {
            pin.to.is_none_or(|to| from <= to) && until.is_none_or(|until| until >= pin.from)
        })
    }

    /// What people see of it.
    fn tell(&self, change: impl FnOnce(&mut RecorderStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Current {
    fn is_full(&self, now: Time) -> bool {
        now.since(self.from) >= SEGMENT_MS
            || self.writer.bytes() >= self.bytes_max
            || self.writer.told() >= SEGMENT_TOLD_MAX
    }

    /// No frame takes more than its segment may.
    fn frame_bytes_max(&self) -> u64 {
        self.bytes_max.min(FRAME_BYTES as u64)
    }
}

/// What an input weighs in the queue.
fn signals(stamped: &Stamped) -> u64 {
    match &stamped.input {
        Input::Signals(batch) => 1 + batch.signals.len() as u64,
        Input::Recalled(recalled) => 1 + recalled.alerts.len() as u64,
        Input::Tick | Input::Command { .. } | Input::Step(_) => 1,
    }
}

/// Since when there is a recording in a folder; `None` when there is none.
pub fn kept_from(folder: &Path) -> Option<Time> {
    let listed = list(folder).ok()?;
    listed.first().map(|segment| segment.from)
}

/// The segments of a folder, oldest first; other files are left alone.
fn list(folder: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_segment = path.extension().is_some_and(|e| e == SEGMENT_ENDING);
        let name = path.file_stem().and_then(|name| name.to_str());
        let from = name.and_then(|name| name.split('-').next()?.parse().ok());
        if let (true, Some(from)) = (is_segment, from) {
            listed.push(Listed {
                from: Time::from_ms(from),
                bytes: entry.metadata()?.len(),
                path,
            });
        }
    }
    listed.sort();
    Ok(listed)
}

#[cfg(test)]
mod tests;
