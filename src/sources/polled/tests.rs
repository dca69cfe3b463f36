//! A store in memory that shows lines late, answers badly now and then, and is asked over restarts.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::model::{Labels, SourceHealth};
use crate::sources::{Rhythm, SignalQueue, SourceRegistry, signal_queue};

/// Lines with the time from which they are shown, and how often it fails before it answers.
#[derive(Default)]
struct Shelf {
    /// When it is of, when it is shown from, what it says.
    lines: Vec<(i64, i64, u64)>,
    failures: u32,
    asked: Vec<(i64, i64, u32)>,
}

struct Store {
    shelf: Arc<Mutex<Shelf>>,
    now: Arc<AtomicI64>,
    range: (i64, i64),
}

impl LogStore for Store {
    const UNITS_PER_MS: i64 = 1;

    fn place(&self) -> &'static str {
        "the shelf"
    }

    fn begin(&mut self, from: i64, to: i64) {
        self.range = (from, to);
    }

    async fn page(&mut self, lines_max: u32) -> Result<Page, AskError> {
        let now = self.now.load(Ordering::Relaxed);
        let mut held = self.shelf.lock().unwrap();
        held.asked.push((self.range.0, self.range.1, lines_max));
        if held.failures > 0 {
            held.failures -= 1;
            return Err(AskError::Passing("it answers 503".to_owned()));
        }
        if lines_max > 4 {
            return Err(AskError::TooLong);
        }
        let (from, to) = self.range;
        let mut shown: Vec<_> = held.lines.clone();
        shown.retain(|(at, shown, _)| (from..to).contains(at) && *shown <= now);
        shown.sort_unstable();
        let has_more = shown.len() >= lines_max as usize;
        shown.truncate(lines_max as usize);
        let told_until = shown.last().map_or(to, |(at, _, _)| *at);
        self.range.0 = told_until;
        let lines = shown.into_iter().map(|(at, _, id)| Found {
            at,
            id,
            line: LogLine {
                at: Time::from_ms(at),
                labels: Labels::empty(),
                level: None,
                text: id.to_string().into(),
                trace: None,
                span: None,
            },
        });
        Ok(Page {
            lines: lines.collect(),
            told_until,
            has_more,
            ..Page::default()
        })
    }
}

/// A daemon's part: a clock, a queue, and a place to keep what was read.
struct Desk {
    shelf: Arc<Mutex<Shelf>>,
    now: Arc<AtomicI64>,
    registry: SourceRegistry,
    queue: SignalQueue,
    polling: Option<Polling<Store>>,
}

fn config() -> PollConfig {
    PollConfig {
        every_s: 5,
        delay_s: 2,
        late_s: 30,
        catch_up_s: 600,
        lines_max: 8,
        from: TailFrom::End,
        when_full: WhenFull::Block,
    }
}

impl Desk {
    fn new(at_s: i64) -> Self {
        let (registry, queue) = signal_queue();
        Self {
            shelf: Arc::default(),
            now: Arc::new(AtomicI64::new(at_s * 1_000)),
            registry,
            queue,
            polling: None,
        }
    }

    fn start(&mut self, config: PollConfig, folder: Option<&Path>) {
        let mut bookmark = Bookmark::new(folder, "the shelf".to_owned(), Unrecorded::Lost);
        let now = Arc::clone(&self.now);
        let begin = now.load(Ordering::Relaxed) - 2_000;
        let kept = bookmark.read().unwrap();
        let place = kept.unwrap_or(Place {
            next: begin,
            seen: Vec::new(),
        });
        self.polling = Some(Polling {
            window: Window::new(&place),
            lines_max: config.lines_max,
            backoff: Backoff::new(),
            has_read: true,
            bookmark,
            store: Store {
                shelf: Arc::clone(&self.shelf),
                now: Arc::clone(&now),
                range: (0, 0),
            },
            config,
            sender: self.registry.source("shelf", Rhythm::Sporadic, "memory"),
            clock: Arc::new(move || Time::from_ms(now.load(Ordering::Relaxed))),
        });
    }

    fn put(&self, at_s: i64, shown_s: i64, id: u64) {
        let mut held = self.shelf.lock().unwrap();
        held.lines.push((at_s * 1_000, shown_s * 1_000, id));
    }

    /// Turns until the clock says so, in steps of a question; what was taken, in order.
    async fn until(&mut self, at_s: i64) -> Vec<u64> {
        let mut taken = Vec::new();
        while self.now.load(Ordering::Relaxed) < at_s * 1_000 {
            self.now.fetch_add(5_000, Ordering::Relaxed);
            self.polling.as_mut().unwrap().turn().await.unwrap();
            while let Some(mut queued) = self.queue.try_recv() {
                let receipt = queued.receipt();
                for signal in queued.take(Time::ZERO).signals {
                    if let Signal::Log(line) = signal {
                        taken.push(line.text.parse().unwrap());
                    }
                }
                if let Some(receipt) = receipt {
                    receipt.give();
                }
            }
        }
        taken
    }
}

#[tokio::test(start_paused = true)]
async fn late_lines_full_pages_and_failures_cost_nothing_and_nothing_comes_twice() {
    let mut desk = Desk::new(1_000);
    desk.start(config(), None);
    desk.put(990, 0, 0);
    desk.put(1_001, 0, 1);
    // Shown only 20 s after it was: within what each question goes back.
    desk.put(1_002, 1_022, 2);
    // Three lines of each instant, over pages of four; the store refuses more at once.
    for id in 10..30_u64 {
        desk.put(1_003 + (id as i64) / 3, 0, id);
    }
    // Shown a minute late: nobody asks for it any more.
    desk.put(1_004, 1_080, 3);
    desk.shelf.lock().unwrap().failures = 2;
    let mut taken = desk.until(1_100).await;
    taken.sort_unstable();
    let expected: Vec<u64> = [1, 2].into_iter().chain(10..30).collect();
    assert_eq!(taken, expected);
    let row = desk.registry.rows(Time::ZERO).remove(0);
    assert_eq!(
        (row.taken, row.dropped, row.rejected, row.health),
        (22, 0, 0, SourceHealth::Live)
    );
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_last_one_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(1_000);
    let mut all = BTreeSet::new();
    for id in 0..40 {
        desk.put(1_000 + id, 0, id.unsigned_abs());
    }
    for stop_s in [1_010, 1_020, 1_090] {
        desk.start(config(), Some(folder.path()));
        for id in desk.until(stop_s).await {
            assert!(all.insert(id), "{id} twice");
        }
        // As at a crash: nothing is written on the way out.
        let mut polling = desk.polling.take().unwrap();
        polling.bookmark = Bookmark::new(None, String::new(), Unrecorded::Lost);
    }
    assert_eq!(all, (0..40).collect());
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_by_now_is_missed_and_counted() {
    let mut desk = Desk::new(1_000);
    desk.start(config(), None);
    desk.put(1_001, 0, 1);
    desk.put(1_900, 0, 2);
    desk.now.store(2_000_000, Ordering::Relaxed);
    assert_eq!(desk.until(2_010).await, [2]);
    let row = desk.registry.rows(Time::ZERO).remove(0);
    let why = row.last_refusal.unwrap().why;
    assert_eq!(row.dropped, 1);
    assert!(why.contains("older than `catch_up_s`"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_loses_and_counts_only_when_told_to() {
    let mut desk = Desk::new(1_000);
    let lossy = PollConfig {
        when_full: WhenFull::Drop,
        ..config()
    };
    desk.start(lossy, None);
    let sender = desk.registry.source("other", Rhythm::Sporadic, "");
    let filler = Signal::Log(Box::new(LogLine {
        at: Time::ZERO,
        labels: Labels::empty(),
        level: None,
        text: "x".into(),
        trace: None,
        span: None,
    }));
    let full = vec![filler; crate::sources::SIGNALS_QUEUED_MAX as usize];
    sender.try_send(full).unwrap();
    desk.put(1_001, 0, 1);
    desk.now.fetch_add(5_000, Ordering::Relaxed);
    desk.polling.as_mut().unwrap().turn().await.unwrap();
    let rows = desk.registry.rows(Time::ZERO);
    let row = rows.iter().find(|row| row.name == "shelf").unwrap();
    assert_eq!((row.taken, row.dropped), (0, 1));
}
