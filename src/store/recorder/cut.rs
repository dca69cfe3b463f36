//! Reading recordings: one file, or a folder of segments, as one stream; and cutting a window out of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::beginning::{Assembly, Beginning, Told};
use super::redact::Redactor;
use super::segment::{Header, RecordingError, SegmentReader, SegmentWriter};
use super::{FRAME_BYTES, list};
use crate::model::{Stamped, Time};

/// Inputs of one or more segments, in order.
#[derive(Debug)]
pub struct Recording {
    waiting: VecDeque<PathBuf>,
    reader: SegmentReader,
    /// Read, and not yet handed out.
    ready: VecDeque<Frame>,
    /// What the daemon whose inputs follow began from, while it is read.
    begins: Option<Assembly>,
    seq: u64,
    missing: u64,
    before: u64,
    torn_bytes: u64,
}

/// Some inputs, read together.
#[derive(Debug, Default)]
pub struct Frame {
    /// Inputs, in order.
    pub inputs: Vec<Stamped>,
    /// The first of them is the first that a daemon took, or that is left of what it took.
    pub begins: Option<Begins>,
}

/// A daemon began.
#[derive(Clone, Debug, PartialEq)]
pub enum Begins {
    /// From this.
    From(Box<Beginning>),
    /// From nobody knows what: the recording is of a time before that was told, or it was withheld.
    Unknown,
    /// Long before: it is in the middle of its work.
    Earlier,
}

/// What was cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Inputs written.
    pub inputs: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Inputs of the window that were left out to hide who did what.
    pub withheld: u64,
    /// When the first and the last input of the window came; `None` when it has none.
    pub spans: Option<(Time, Time)>,
    /// Between them, from when to when nothing was recorded.
    pub gaps: Vec<(Time, Time)>,
}

/// Time without an input that is told as a gap, in milliseconds: while a daemon runs there is one every second.
pub const GAP_MS: i64 = 10_000;

impl Recording {
    /// Opens a file, or a folder of segments. With `from`, segments that end before it are skipped.
    pub fn open(path: &Path, from: Option<Time>) -> Result<Self, RecordingError> {
        let mut waiting: VecDeque<PathBuf> = VecDeque::from([path.to_owned()]);
        if path.is_dir() {
            let listed = list(path).map_err(|source| RecordingError::Io {
                path: path.to_owned(),
                source,
            })?;
            let first = from.map_or(0, |from| {
                let before = listed.iter().take_while(|segment| segment.from <= from);
                before.count().saturating_sub(1)
            });
            waiting = listed.into_iter().skip(first).map(|s| s.path).collect();
        }
        let last = waiting.back().cloned();
        let mut torn_bytes = 0;
        let first = next_reader(&mut waiting, &mut torn_bytes)?;
        let reader = first.ok_or_else(|| match last {
            Some(path) => RecordingError::Headless {
                path,
                bytes: torn_bytes,
            },
            None => RecordingError::NotOne {
                path: path.to_owned(),
            },
        })?;
        Ok(Self {
            waiting,
            reader,
            ready: VecDeque::new(),
            begins: None,
            seq: 0,
            missing: 0,
            before: 0,
            torn_bytes,
        })
    }

    /// What the segment being read says of itself.
    pub const fn header(&self) -> &Header {
        self.reader.header()
    }

    /// Inputs that were made and are not in the recording, as far as numbers tell, but for those before
    /// its first.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Inputs that its first daemon took before the recording begins.
    pub const fn before(&self) -> u64 {
        self.before
    }

    /// Bytes at the ends of segments that a crash left unfinished.
    pub const fn torn_bytes(&self) -> u64 {
        self.torn_bytes + self.reader.torn_bytes()
    }

    /// The next inputs; `None` at the end.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, RecordingError> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some(frame));
            }
            if let Some(told) = self.reader.next_frame()? {
                self.take(told);
                continue;
            }
            let Some(next) = next_reader(&mut self.waiting, &mut self.torn_bytes)? else {
                return Ok(None);
            };
            self.torn_bytes += self.reader.torn_bytes();
            self.reader = next;
        }
    }

    fn take(&mut self, told: Vec<Told>) {
        let mut inputs = Vec::new();
        for told in told {
            match (told, &mut self.begins) {
                (Told::Input(stamped), _) => inputs.push(stamped),
                (Told::Begin(head), _) => {
                    // One frame may end a daemon's inputs and begin the next one's.
                    self.number(std::mem::take(&mut inputs));
                    self.begins = Some(Assembly::new(*head));
                }
                (Told::Part(part), Some(begins)) => begins.part(part),
                (Told::Record(record), Some(begins)) => begins.record(*record),
                // A stray one belongs to nothing.
                (Told::Part(_) | Told::Record(_), None) => {}
            }
        }
        self.number(inputs);
    }

    /// Numbers count up by one while a daemon runs, and begin anew with the next: also in the middle of
    /// what was cut in one piece.
    fn number(&mut self, inputs: Vec<Stamped>) {
        let mut frame = Frame::default();
        for stamped in inputs {
            if let Some(begins) = self.begins(stamped.seq) {
                if !frame.inputs.is_empty() {
                    self.ready.push_back(std::mem::take(&mut frame));
                }
                frame.begins = Some(begins);
            } else {
                self.missing += stamped.seq - self.seq - 1;
            }
            self.seq = stamped.seq;
            frame.inputs.push(stamped);
        }
        if !frame.inputs.is_empty() {
            self.ready.push_back(frame);
        }
    }

    /// How a daemon began whose first input has this number; `None` when it is no first one.
    fn begins(&mut self, seq: u64) -> Option<Begins> {
        let is_first = self.seq == 0;
        if let Some(begins) = self.begins.take() {
            // What was lost between the start and the first input that is there.
            self.missing += seq - 1;
            return Some(Begins::From(Box::new(begins.finish())));
        }
        if !is_first && seq > self.seq {
            return None;
        }
        if is_first && seq > 1 {
            self.before = seq - 1;
            return Some(Begins::Earlier);
        }
        if !is_first {
            self.missing += seq - 1;
        }
        let is_fresh = is_first && self.reader.tells_beginnings();
        Some(if is_fresh {
            // Nothing was told: whoever wrote it began with nothing.
            let header = self.reader.header();
            Begins::From(Box::new(Beginning {
                engine: header.engine.clone(),
                runbooks: header.runbooks.clone(),
                ..Beginning::default()
            }))
        } else {
            Begins::Unknown
        })
    }
}

/// The inputs of a recording from one moment to another, both included.
struct Window {
    recording: Recording,
    from: Time,
    to: Time,
    is_over: bool,
}

/// Some inputs of a window.
struct Piece {
    /// A daemon began with the first of them, from this.
    begins: Option<Box<Beginning>>,
    inputs: Vec<Stamped>,
}

impl Window {
    fn open(source: &Path, (from, to): (Time, Time)) -> Result<Self, RecordingError> {
        Ok(Self {
            recording: Recording::open(source, Some(from))?,
            from,
            to,
            is_over: false,
        })
    }

    /// The next inputs; `None` at the end of the window.
    fn next_piece(&mut self) -> Result<Option<Piece>, RecordingError> {
        if self.is_over {
            return Ok(None);
        }
        let Some(Frame { mut inputs, begins }) = self.recording.next_frame()? else {
            return Ok(None);
        };
        // The window may begin in the middle of a daemon's work.
        let is_whole = inputs.first().is_some_and(|first| first.at >= self.from);
        let end = inputs.iter().position(|stamped| stamped.at > self.to);
        self.is_over = end.is_some();
        inputs.truncate(end.unwrap_or(inputs.len()));
        inputs.retain(|stamped| stamped.at >= self.from);
        let begins = match begins {
            Some(Begins::From(beginning)) if is_whole && !inputs.is_empty() => Some(beginning),
            _ => None,
        };
        Ok(Some(Piece { begins, inputs }))
    }
}

impl Cut {
    /// Notes when inputs came that stand one after the other.
    fn read(&mut self, inputs: &[Stamped]) {
        for stamped in inputs {
            let (first, last) = self.spans.unwrap_or((stamped.at, stamped.at));
            if stamped.at.since(last) > GAP_MS {
                self.gaps.push((last, stamped.at));
            }
            self.spans = Some((first, stamped.at));
        }
    }
}

/// Writes the inputs of a window, from one moment to another, both included, into one file; `salt` makes it unreadable to
/// others while what is the same stays the same. The recording is read twice then: what anybody is called must be known before
/// the first text is written.
pub fn cut(
    source: &Path,
    window: (Time, Time),
    out: &Path,
    salt: Option<u128>,
) -> Result<Cut, RecordingError> {
    let io = |source| RecordingError::Io {
        path: out.to_owned(),
        source,
    };
    let redactor = salt.map(|salt| redactor(Window::open(source, window)?, salt));
    let mut redactor = redactor.transpose()?;
    let mut window = Window::open(source, window)?;
    let header = Header {
        from: window.from,
        redacted: redactor.is_some(),
        ..window.recording.header().clone()
    };
    let header = match &redactor {
        Some(redactor) => redactor.header(header),
        None => header,
    };
    let file = File::create_new(out).map_err(io)?;
    let mut writer = SegmentWriter::new(BufWriter::new(file), &header).map_err(io)?;
    let mut done = Cut::default();
    while let Some(Piece { begins, inputs }) = window.next_piece()? {
        done.read(&inputs);
        if let Some(beginning) = begins {
            let beginning = match &redactor {
                Some(_) => Redactor::beginning(&header, &beginning),
                None => *beginning,
            };
            writer.begin(&beginning).map_err(io)?;
        }
        for stamped in inputs {
            let kept = match &mut redactor {
                Some(redactor) => redactor.input(stamped),
                None => Some(stamped),
            };
            let Some(kept) = kept else {
                done.withheld += 1;
                continue;
            };
            writer.put(&kept);
            done.inputs += 1;
            if writer.pending() >= FRAME_BYTES {
                writer.flush().map_err(io)?;
            }
        }
    }
    writer.flush().map_err(io)?;
    done.bytes = writer.bytes();
    let file = writer.finish().map_err(io)?;
    let file = file.into_inner().map_err(|error| io(error.into()))?;
    file.sync_all().map_err(io)?;
    Ok(done)
}

/// The next segment that has a header. A crash can leave one without: nothing of it can be read, and its bytes count as torn.
fn next_reader(
    waiting: &mut VecDeque<PathBuf>,
    torn_bytes: &mut u64,
) -> Result<Option<SegmentReader>, RecordingError> {
    while let Some(path) = waiting.pop_front() {
        match SegmentReader::open(&path) {
            Err(RecordingError::Headless { bytes, .. }) => *torn_bytes += bytes,
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

/// A redactor that knows what anybody is called in a window.
fn redactor(mut window: Window, salt: u128) -> Result<Redactor, RecordingError> {
    let mut redactor = Redactor::new(salt);
    let header = window.recording.header();
    redactor.gather_declared(&header.environment, &header.engine);
    while let Some(Piece { begins, inputs }) = window.next_piece()? {
        if let Some(beginning) = begins {
            redactor.gather_declared("", &beginning.engine);
        }
        for stamped in &inputs {
            redactor.gather(stamped);
        }
    }
    Ok(redactor)
}
