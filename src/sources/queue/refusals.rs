//! Why something of a source was last not taken: at all, and of each kind of refusal.

use crate::model::{LastOf, LastRefusal, Time};

/// Longest reason kept, in characters.
pub(super) const WHY_CHARS_MAX: usize = 200;

/// What became of something that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Something was wrong with it.
    Rejected,
    /// It is lost.
    Dropped,
    /// Its sender keeps it.
    SentBack,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// The last of all.
    pub(super) last: Option<LastRefusal>,
    pub(super) last_of: LastOf,
    /// The latest of each kind since the last look, in their order. The look stamps them: sources have no clock.
    fresh: Vec<(NotTaken, Box<str>)>,
}

impl Refusals {
    /// Something was not taken.
    pub(super) fn note(&mut self, what: NotTaken, why: &str) {
        let why: String = why.trim().chars().take(WHY_CHARS_MAX).collect();
        self.fresh.retain(|(kind, _)| *kind != what);
        self.fresh.push((what, why.into()));
    }

    /// Looks at what was noted.
    pub(super) fn stamp(&mut self, now: Time) {
        for (what, why) in std::mem::take(&mut self.fresh) {
            let last = Some(LastRefusal { at: now, why });
            self.last.clone_from(&last);
            match what {
                NotTaken::Rejected => self.last_of.rejected = last,
                NotTaken::Dropped => self.last_of.dropped = last,
                NotTaken::SentBack => self.last_of.sent_back = last,
            }
        }
    }
}
