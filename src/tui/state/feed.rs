//! What the daemon told and when, and what it was told to do and has not answered yet.

use crate::api::View;
use crate::model::{Command, SafeText, Time};
use crate::tui::answers::Answers;
use crate::tui::link::Request;

/// Without a word from the daemon for this long, what is on screen is called stale: two heartbeats
/// and a slow link.
const STALE_AFTER_MS: i64 = 2 * crate::api::HEARTBEAT_MS as i64 + 2_000;
/// A stale screen says its age this often.
const STALE_TOLD_EVERY_MS: i64 = 1_000;
/// A round trip from which a link is slow, in milliseconds: what is fetched is seen to be late. Below the second
/// it is quick; between the two it stays what it was, so that nothing on the screen flickers.
const SLOW_MS: u32 = 100;
const QUICK_MS: u32 = 50;
/// A command that is not answered within this is said to be on its way.
const WAITING_TOLD_MS: i64 = 300;

/// What the daemon told, and when.
#[derive(Debug, Default)]
pub struct Feed {
    /// What the console holds; `None` before the first snapshot.
    pub view: Option<View>,
    /// When something was last heard.
    pub heard: Time,
    /// Why the connection is broken, if it is.
    pub lost: Option<SafeText>,
    /// The screen is held still at this view.
    pub frozen: Option<Box<View>>,
    /// Rows changed since it is held still.
    pub missed: u64,
    /// How long the daemon took to answer of late, in milliseconds.
    pub round_trip_ms: u32,
    /// Whether that is long.
    pub lags: bool,
    /// Whether the operator said that the link is slow.
    pub told_slow: bool,
    /// Commands given and not answered yet, and since when, the oldest first.
    pub sent: Vec<(Command, Time)>,
    /// What became of those that were given together.
    pub answers: Answers,
}

impl Feed {
    /// What is drawn: the view held still, or the latest.
    pub fn shown(&self) -> Option<&View> {
        self.frozen.as_deref().or(self.view.as_ref())
    }

    /// Notes how long the daemon took to answer.
    pub fn note_round_trip(&mut self, ms: u32) {
        self.round_trip_ms = ms;
        match ms {
            SLOW_MS.. => self.lags = true,
            ..QUICK_MS => self.lags = false,
            _ => {}
        }
    }

    /// Whether bytes are dear: as the operator said, or as was measured.
    pub fn is_slow(&self) -> bool {
        self.told_slow || self.lags
    }

    /// How long ago something was heard, when that is too long.
    pub fn stale_ms(&self, now: Time) -> Option<i64> {
        let silent_ms = now.since(self.heard);
        (self.lost.is_some() || silent_ms >= STALE_AFTER_MS).then_some(silent_ms)
    }

    /// When the screen must say how stale it is next: every second, once it is.
    pub(super) fn tells_staleness_at(&self, now: Time) -> Option<Time> {
        self.view.as_ref()?;
        Some(match self.stale_ms(now) {
            Some(_) => now.plus_ms(STALE_TOLD_EVERY_MS),
            None => self.heard.plus_ms(STALE_AFTER_MS),
        })
    }

    /// Notes the commands among what is asked for.
    pub fn note_sent(&mut self, requests: &[Request], now: Time) {
        for request in requests {
            if let Request::Command(command) = request {
                if self.sent.is_empty() {
                    self.answers.clear();
                }
                self.sent.push((command.clone(), now));
            }
        }
    }

    /// Notes that a command was answered, or never will be.
    pub fn answered(&mut self, command: &Command) {
        match self.sent.iter().position(|(sent, _)| sent == command) {
            Some(at) => {
                self.sent.remove(at);
            }
            // Given before the connection was lost: it stands alone.
            None => self.answers.clear(),
        }
    }

    /// What is said of a command that is not answered at once, so that nobody gives it twice.
    pub fn waiting(&self, now: Time) -> Option<String> {
        let (command, at) = self.sent.first()?;
        (now.since(*at) >= WAITING_TOLD_MS).then(|| {
            let more = match self.sent.len() {
                1 => String::new(),
                sent => format!(" (and {} more)", sent - 1),
            };
            format!("sent: {}{more}, waiting for an answer", command.phrase())
        })
    }

    /// When that must be said next.
    pub(super) fn tells_of_waiting_at(&self, now: Time) -> Option<Time> {
        let at = self.sent.first()?.1.plus_ms(WAITING_TOLD_MS);
        (now < at).then_some(at)
    }
}
