//! Stores of log lines that are asked again and again for what is new: Loki, Elasticsearch.
//!
//! A question goes back a little behind the last one, for lines that the store showed late, and what was
//! taken before is left out (`window`). How far everything was recorded is kept over a restart
//! (`super::bookmark`). One question at a time; while the engine is behind, none, unless the config says to lose
//! lines instead.

mod window;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use super::backoff::Backoff;
use super::bookmark::{Bookmark, Unrecorded};
use super::client::AskError;
use super::{Clock, SendError, SignalSender};
use crate::config::{PollConfig, TailFrom, WhenFull};
use crate::model::{LogLine, Signal, Time};
use window::{Place, Window};

/// Longest line kept, in bytes; the rest of a longer one is cut and counted.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// A store that is asked for ranges of time, page by page.
pub(super) trait LogStore: Send {
    /// How many of its units of time a millisecond is.
    const UNITS_PER_MS: i64;

    /// Where it is, for messages.
    fn place(&self) -> &str;

    /// Begins with a range: from here (included) to there (excluded).
    fn begin(&mut self, from: i64, to: i64);

    /// The next page of the range, of about so many lines, oldest first.
    fn page(&mut self, lines_max: u32) -> impl Future<Output = Result<Page, AskError>> + Send;
}

/// A part of what a store answers to one range.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    pub(super) lines: Vec<Found>,
    /// Everything in the range before this was told by now.
    pub(super) told_until: i64,
    /// Whether there is more in the range.
    pub(super) has_more: bool,
    /// Lines that cannot be used.
    pub(super) refused: u64,
    /// Why the first one cannot.
    pub(super) why: Option<String>,
    /// Lines whose rest was left out.
    pub(super) cut: u64,
    /// Lines that the store has and will not tell, and why.
    pub(super) missed: Option<String>,
}

/// A line as a store tells it.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub(super) at: i64,
    /// What it is known by among those of the same instant.
    pub(super) id: u64,
    pub(super) line: LogLine,
}

impl Page {
    /// Counts a line that cannot be used.
    pub(super) fn refuse(&mut self, why: &str) {
        self.refused += 1;
        self.why.get_or_insert_with(|| why.to_owned());
    }

    /// The text that is kept of a line.
    pub(super) fn cut<'a>(&mut self, text: &'a str) -> &'a str {
        let kept = &text[..text.floor_char_boundary(LINE_BYTES_MAX)];
        self.cut += u64::from(kept.len() < text.len());
        kept
    }
}

/// Asks a store until the future is dropped, or nobody takes anything any more. `of` says what is asked
/// where: under that name its place is kept.
pub(super) async fn poll<S: LogStore>(
    store: S,
    config: PollConfig,
    of: String,
    data_dir: Option<PathBuf>,
    sender: SignalSender,
    clock: Clock,
) {
    let mut bookmark = Bookmark::new(data_dir.as_deref(), of, Unrecorded::Lost);
    let kept = bookmark.read().unwrap_or_else(|why| {
        sender.lose(1, &format!("{why}; lines may be missing"));
        None
    });
    let has_read = kept.is_some();
    let place = kept.unwrap_or_else(|| {
        let back_s = match config.from {
            TailFrom::Start => config.catch_up_s,
            TailFrom::End => config.delay_s,
        };
        Place {
            next: units::<S>(clock().plus_ms(-seconds(back_s))),
            seen: Vec::new(),
        }
    });
    let mut polling = Polling {
        window: Window::new(&place),
        lines_max: config.lines_max,
        backoff: Backoff::new(),
        has_read,
        bookmark,
        store,
        config,
        sender,
        clock,
    };
    while polling.turn().await.is_some() {}
}

/// Asking one store.
struct Polling<S> {
    store: S,
    config: PollConfig,
    sender: SignalSender,
    clock: Clock,
    window: Window,
    bookmark: Bookmark<Place>,
    backoff: Backoff,
    /// Whether anything was read at all, now or by an earlier run: only then can something be missed.
    has_read: bool,
    /// Lines asked for at once: fewer while answers are too long.
    lines_max: u32,
}

impl<S: LogStore> Polling<S> {
    /// Asks for one range, or waits until there is one; `None` when nobody takes it.
    async fn turn(&mut self) -> Option<()> {
        let now = (self.clock)();
        let oldest = units::<S>(now.plus_ms(-seconds(self.config.catch_up_s)));
        if oldest > self.window.next() {
            let missed_s = (oldest - self.window.next()) / (S::UNITS_PER_MS * 1_000);
            if self.has_read {
                let why = format!(
                    "lines of {missed_s} s are missed: they are older than `catch_up_s` by now"
                );
                self.sender.lose(1, &why);
            }
            self.window.give_up(oldest);
        }
        let to = units::<S>(now.plus_ms(-seconds(self.config.delay_s)));
        if to > self.window.next() {
            match self.range(to).await {
                Ok(taken) => {
                    taken?;
                    self.has_read = true;
                    self.backoff = Backoff::new();
                    self.sender.recovered();
                }
                Err(why) => {
                    self.sender.fail(&format!("{}: {why}", self.store.place()));
                    tokio::time::sleep(self.backoff.next_wait()).await;
                    return Some(());
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(self.config.every_s.into())).await;
        Some(())
    }

    /// Takes everything up to `to`; `None` when nobody takes it.
    async fn range(&mut self, to: i64) -> Result<Option<()>, String> {
        let late = seconds(self.config.late_s) * S::UNITS_PER_MS;
        self.store.begin(self.window.from(late), to);
        loop {
            let page = match self.store.page(self.lines_max).await {
                Ok(page) => page,
                Err(AskError::TooLong) if self.lines_max > 1 => {
                    self.lines_max /= 2;
                    continue;
                }
                Err(error) => return Err(error.to_string()),
            };
            let (has_more, told_until) = (page.has_more, page.told_until);
            self.tell(&page);
            let found = page.lines.into_iter();
            let window = &mut self.window;
            let new = found.filter(|found| window.take(found.at, found.id));
            let signals: Vec<Signal> = new.map(|f| Signal::Log(Box::new(f.line))).collect();
            self.window
                .advance(if has_more { told_until } else { to }, late);
            if self.hand_over(signals).await.is_none() {
                return Ok(None);
            }
            if !has_more {
                self.lines_max = self.config.lines_max;
                return Ok(Some(()));
            }
        }
    }

    /// Counts what could not be used.
    fn tell(&self, page: &Page) {
        if let Some(why) = &page.why {
            self.sender.reject(page.refused, why);
        }
        if page.cut > 0 {
            let why = format!("a line longer than {LINE_BYTES_MAX} bytes was cut");
            self.sender.reject(page.cut, &why);
        }
        if let Some(why) = &page.missed {
            self.sender.lose(1, why);
        }
    }

    async fn hand_over(&mut self, signals: Vec<Signal>) -> Option<()> {
        let place = self.window.place();
        if signals.is_empty() {
            self.bookmark.passed(place).await;
            return Some(());
        }
        let sent = match self.config.when_full {
            WhenFull::Block => self.sender.send_for_receipt(signals).await,
            WhenFull::Drop => self.sender.send_or_lose_for_receipt(signals),
        };
        match sent {
            Ok(kept) => self.bookmark.handed_over(place, kept).await,
            // What is lost is counted, and not asked for again.
            Err(SendError::Full) => self.bookmark.passed(place).await,
            Err(SendError::Closed) => return None,
        }
        Some(())
    }
}

/// A time in a store's own units.
fn units<S: LogStore>(at: Time) -> i64 {
    at.ms().saturating_mul(S::UNITS_PER_MS)
}

const fn seconds(seconds: u32) -> i64 {
    seconds as i64 * 1_000
}

#[cfg(test)]
mod tests;
