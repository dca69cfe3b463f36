//! The flight recorder as the API reads it: stretches of time that the engine no longer holds.
//!
//! Reads beside the engine, one stretch at a time and for a bounded time: whoever looks at the past must
//! not slow the present. What was not read is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::engine::raw_lines::{self, Wanted};
use crate::engine::recorded::{Asked, LATE_MS, LEAD_MS, Reader};
use crate::model::{RawLines, Recorded, Stamped, Time};
use crate::store::recorder::{self, RECORDER_FOLDER, Recorder, Recording, RecordingError};

/// Longest time one stretch is read; a console waits for it, and what it has by then is shown.
const READ_MAX: Duration = Duration::from_secs(4);
/// Readers waiting behind the one that reads; more are refused.
const WAITING_MAX: usize = 16;

/// The recordings of one daemon; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    folder: Option<Arc<Path>>,
    waiting: Arc<Semaphore>,
    reading: Arc<Semaphore>,
}

impl Shelf {
    /// Of the data folder that the recorder writes to; empty without either.
    pub(super) fn new(recorder: Option<&Recorder>, data_dir: Option<&Path>) -> Self {
        let folder = recorder.and(data_dir);
        let folder = folder.map(|folder| folder.join(RECORDER_FOLDER));
        Self {
            folder: folder.map(|folder: PathBuf| folder.into()),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            reading: Arc::new(Semaphore::new(1)),
        }
    }

    /// Reads what was asked for, as far as it is there and as the time for it allows.
    pub(super) async fn read(&self, asked: Asked) -> Result<Recorded, String> {
        let Some(folder) = self.folder.clone() else {
            let from = asked.from;
            return Ok(Reader::new(asked).finish(None, from));
        };
        self.in_turn(move || read(&folder, asked, READ_MAX)).await
    }

    /// Reads the lines that are wanted, likewise.
    pub(super) async fn lines(&self, wanted: Wanted) -> Result<RawLines, String> {
        let Some(folder) = self.folder.clone() else {
            let from = wanted.from;
            return Ok(raw_lines::Reader::new(wanted).finish(None, from));
        };
        self.in_turn(move || {
            let stretch = (wanted.from, wanted.to);
            let mut reader = raw_lines::Reader::new(wanted);
            let around = (0, raw_lines::LATE_MS);
            let read = each(&folder, stretch, around, READ_MAX, |input| {
                reader.take(input);
            })?;
            Ok(reader.finish(read.kept_from, read.to))
        })
        .await
    }

    async fn in_turn<Read: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<Read, RecordingError> + Send + 'static,
    ) -> Result<Read, String> {
        let busy = || "others read the recording: ask again in a moment".to_owned();
        let _place = self.waiting.try_acquire().map_err(|_| busy())?;
        let _turn = self.reading.acquire().await.map_err(|_| busy())?;
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|error| error.to_string())?;
        read.map_err(|error| format!("the recording cannot be read: {error}"))
    }
}

fn read(folder: &Path, asked: Asked, longest: Duration) -> Result<Recorded, RecordingError> {
    let stretch = (asked.from, asked.to);
    let mut reader = Reader::new(asked);
    let read = each(folder, stretch, (LEAD_MS, LATE_MS), longest, |input| {
        reader.take(input);
    })?;
    Ok(reader.finish(read.kept_from, read.to))
}

/// How much of a recording was read.
struct Extent {
    kept_from: Option<Time>,
    to: Time,
}

/// Gives each input of a stretch, of `lead_ms` before it and of `late_ms` behind it, to `take`, for at most so long.
fn each(
    folder: &Path,
    (from, to): (Time, Time),
    (lead_ms, late_ms): (i64, i64),
    longest: Duration,
    mut take: impl FnMut(&Stamped),
) -> Result<Extent, RecordingError> {
    let started = Instant::now();
    let mut read = Extent {
        kept_from: recorder::kept_from(folder),
        to: from,
    };
    if read.kept_from.is_none() {
        return Ok(read);
    }
    let (from, to) = (from.plus_ms(-lead_ms), to.plus_ms(late_ms));
    // A segment that was only just begun has nothing in it yet.
    let mut recording = match Recording::open(folder, Some(from)) {
        Err(RecordingError::NotOne { .. } | RecordingError::Headless { .. }) => return Ok(read),
        opened => opened?,
    };
    'frames: loop {
        let frame = match recording.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(RecordingError::NotOne { .. }) => break,
            Err(error) => return Err(error),
        };
        for stamped in &frame.inputs {
            if stamped.at > to {
                read.to = to;
                break 'frames;
            }
            if stamped.at >= from {
                take(stamped);
                read.to = read.to.max(stamped.at);
            }
        }
        if started.elapsed() > longest {
            break;
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, EntityId, Incident, IncidentId, Input, Labels, Sample, Series, SeriesKind, Signal,
        SourceId, Stamped, Time, Unit,
    };
    use crate::store::recorder::{Header, SegmentWriter};

    fn at(s: i64) -> Time {
        Time::from_secs(1_000_000 + s)
    }

    /// A recording of a gauge that counts up from 0 at 10 s intervals, in `folder`.
    fn record(folder: &Path) {
        let labels = Labels::from_pairs([("service.name", "cart")]).unwrap();
        let series = Series::new("queue_length", labels, SeriesKind::Gauge, Unit::None);
        let series = Arc::new(series);
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join(format!("{}-1.sgrec", at(0).ms()));
        let file = std::fs::File::create(path).unwrap();
        let header = Header {
            made_by: "test".to_owned(),
            environment: "test".to_owned(),
            from: at(0),
            redacted: false,
            engine: EngineConfig::default(),
            runbooks: Vec::new(),
        };
        let mut writer = SegmentWriter::new(file, &header).unwrap();
        for n in 0..100 {
            let sample = Sample {
                series: Arc::clone(&series),
                at: at(n * 10),
                value: n as f64,
            };
            let source = SourceId::new("test");
            let signals = vec![Signal::Sample(sample)];
            writer.put(&Stamped {
                seq: n as u64 + 1,
                at: at(n * 10),
                input: Input::Signals(Batch { source, signals }),
            });
        }
        writer.finish().unwrap();
    }

    fn asked(from: Time, to: Time) -> Asked {
        let cart = EntityId::parse("cart");
        Asked::of(&Incident::opened(IncidentId(1), cart, from, from), from, to)
    }

    #[test]
    fn a_stretch_says_what_was_read_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = read(folder.path(), asked(at(0), at(10)), READ_MAX).unwrap();
        assert_eq!((nothing.kept_from, nothing.read_to), (None, at(0)));
        record(folder.path());
        let long = Duration::from_mins(1);
        // Asked for, and up to where it was read.
        let cases = [
            ((at(100), at(300)), at(300)),
            ((at(900), at(2_000)), at(990)),
            ((at(5_000), at(6_000)), at(5_000)),
            ((at(-900), at(-500)), at(-500)),
        ];
        for ((from, to), read_to) in cases {
            let recorded = read(folder.path(), asked(from, to), long).unwrap();
            assert_eq!(recorded.kept_from, Some(at(0)));
            assert_eq!(recorded.read_to, read_to, "{from} {to}");
        }
        // Out of time after the first frame: what came until then counts.
        let hurried = read(folder.path(), asked(at(0), at(2_000)), Duration::ZERO).unwrap();
        assert!(hurried.read_to <= at(990), "{:?}", hurried.read_to);
    }
}
